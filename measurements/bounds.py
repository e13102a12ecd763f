"""Exact bounds for a rate that was seen k times in n, and for a count.

Clopper and Pearson (Biometrika 26, 1934): the upper bound is the rate under which so few would still be seen
with a chance of one in twenty. It errs on the safe side for every rate and every n, which an average with
something added to it does not: 2 of 20 is .1, (2+1)/(20+20) is .075, and the bound is .283.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache

CONFIDENCE = 0.95
_CLOSE = 1e-11
_MOST_STEPS = 60
_NEGLIGIBLE = 1e-16


@lru_cache(maxsize=1 << 14)
def upper(k: int, n: int, confidence: float = CONFIDENCE) -> float:
    """Return the upper bound of a rate that was seen k times in n: one-sided, exact, 1 where nothing is known."""
    if not 0 <= k <= n:
        raise ValueError(f"a rate cannot have been seen {k} times in {n}")
    if k == n:
        return 1.0
    alpha = math.log1p(-confidence)
    if k == 0:
        return -math.expm1(alpha / n)
    # Newton's method on the logarithm, which falls ever faster: from the second step on it comes from above.
    p = (k + 1) / (n + 1)
    for _ in range(_MOST_STEPS):
        chance, slope = _log_at_most(k, n, p)
        before, p = p, min(p + (alpha - chance) / slope, (1.0 + p) / 2)
        if abs(p - before) <= _CLOSE * p:
            break
    return p


def lower(k: int, n: int, confidence: float = CONFIDENCE) -> float:
    """Return the lower bound of a rate that was seen k times in n: one-sided, exact."""
    return 1.0 - upper(n - k, n, confidence)


def at_most(k: int, n: int, p: float) -> float:
    """Return the chance of at most k in n, when each has the chance p: 0 < p < 1 and k < n."""
    return min(1.0, math.exp(_log_at_most(k, n, p)[0]))


def count_bounds(k: int, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Return both bounds, each one-sided, of the mean of a count (Poisson) that came out as k once."""
    return (_mean(k - 1, confidence) if k else 0.0), _mean(k, 1.0 - confidence)


def _log_at_most(k: int, n: int, p: float) -> tuple[float, float]:
    """Return the logarithm of the chance of at most k in n, and how it changes with p."""
    ways = math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
    odds = (1.0 - p) / p
    terms = _terms(k, lambda i: i * odds / (n - i + 1))
    chance = ways + k * math.log(p) + (n - k) * math.log1p(-p) + math.log(terms)
    return chance, -(n - k) / ((1.0 - p) * terms)


def _mean(k: int, chance: float) -> float:
    """Return the mean at which a count of at most k has this chance; halving."""
    least, most = 0.0, 2.0 * k + 40.0
    while most - least > _CLOSE * most:
        middle = (least + most) / 2
        terms = _terms(k, lambda i, mean=middle: i / mean)  # type: ignore[misc]
        if k * math.log(middle) - middle - math.lgamma(k + 1) + math.log(terms) > math.log(chance):
            least = middle
        else:
            most = middle
    return most


def _terms(k: int, ratio: Callable[[int], float]) -> float:
    """Add the terms k, k-1 … 0 in units of the first; each is the one before times a ratio that falls with k."""
    total = term = 1.0
    for i in range(k, 0, -1):
        step = ratio(i)
        term *= step
        total += term
        if step < 1.0 and term < total * _NEGLIGIBLE:
            break
    return total
