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
_HALVINGS = 48  # to a part in 10^14
_NEGLIGIBLE = 1e-15


@lru_cache(maxsize=1 << 14)
def upper(k: int, n: int, confidence: float = CONFIDENCE) -> float:
    """Return the upper bound of a rate that was seen k times in n: one-sided, exact, 1 where nothing is known."""
    if not 0 <= k <= n:
        raise ValueError(f"a rate cannot have been seen {k} times in {n}")
    if k == n:
        return 1.0
    if k == 0:
        return -math.expm1(math.log1p(-confidence) / n)
    return _last(lambda p: at_most(k, n, p) > 1.0 - confidence, k / n, 1.0)


def lower(k: int, n: int, confidence: float = CONFIDENCE) -> float:
    """Return the lower bound of a rate that was seen k times in n: one-sided, exact."""
    return 1.0 - upper(n - k, n, confidence)


def at_most(k: int, n: int, p: float) -> float:
    """Return the chance of at most k in n, when each has the chance p: 0 < p < 1 and k < n."""
    ways = math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
    term = math.exp(ways + k * math.log(p) + (n - k) * math.log1p(-p))
    return _sum(term, k, lambda i: i * (1.0 - p) / ((n - i + 1) * p))


def count_bounds(k: int, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Return both bounds, each one-sided, of the mean of a count (Poisson) that came out as k once."""
    far = 2.0 * k + 40.0
    least = _last(lambda mean: _count_at_most(k - 1, mean) > confidence, 0.0, far) if k else 0.0
    return least, _last(lambda mean: _count_at_most(k, mean) > 1.0 - confidence, 0.0, far)


def _count_at_most(k: int, mean: float) -> float:
    return _sum(math.exp(k * math.log(mean) - mean - math.lgamma(k + 1)), k, lambda i: i / mean)


def _sum(term: float, k: int, ratio: Callable[[int], float]) -> float:
    """Add the terms k, k-1 … 0, of which each is the one before times a ratio that falls as it goes down."""
    total = 0.0
    while k >= 0 and (term > total * _NEGLIGIBLE or ratio(k) > 1.0):
        total += term
        term *= ratio(k)
        k -= 1
    return min(1.0, total)


def _last(holds: Callable[[float], bool], least: float, most: float) -> float:
    """Halve the range towards the last place where something holds."""
    for _ in range(_HALVINGS):
        middle = (least + most) / 2
        if holds(middle):
            least = middle
        else:
            most = middle
    return most
