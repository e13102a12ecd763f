"""Bounds that are exact: by the sums they stand for, and by the values that books print."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from measurements.bounds import at_most, count_bounds, lower, upper


def summed(k: int, n: int, p: float) -> float:
    return math.fsum(math.comb(n, i) * p**i * (1 - p) ** (n - i) for i in range(k + 1))


@pytest.mark.parametrize(
    ("k", "n", "bound"),
    [(2, 20, 0.2826), (0, 58, 0.0503), (0, 59, 0.0495), (0, 1, 0.95), (0, 0, 1.0), (5, 5, 1.0), (1, 1497, 0.00317)],
)
def test_upper_bounds(k: int, n: int, bound: float) -> None:
    assert upper(k, n) == pytest.approx(bound, abs=1e-4)


@given(st.integers(1, 120).flatmap(lambda n: st.tuples(st.integers(0, n - 1), st.just(n))), st.floats(0.01, 0.99))
def test_a_bound_leaves_just_its_chance(of: tuple[int, int], p: float) -> None:
    k, n = of
    assert at_most(k, n, p) == pytest.approx(summed(k, n, p), rel=1e-9, abs=1e-300)
    assert summed(k, n, upper(k, n)) == pytest.approx(0.05, rel=1e-6)
    assert lower(k, n) <= k / n < upper(k, n)
    assert upper(k, n) < upper(k + 1, n)
    assert upper(k, n + 1) < upper(k, n) or k == n


@pytest.mark.parametrize("of", [(1, 10**7), (5_000, 10**5), (99_999, 10**5), (10**5, 10**6)])
def test_long_histories(of: tuple[int, int]) -> None:
    k, n = of
    assert k / n < upper(k, n) < k / n + 6 * math.sqrt((k + 1) / n / n)
    assert at_most(k, n, upper(k, n)) == pytest.approx(0.05, rel=1e-6)


def test_impossible_rates_are_refused() -> None:
    with pytest.raises(ValueError, match="3 times in 2"):
        upper(3, 2)


@pytest.mark.parametrize(
    ("k", "least", "most"), [(0, 0.0, 2.9957), (1, 0.05129, 4.7439), (10, 5.4254, 16.9622), (107, 90.6, 125.6)]
)
def test_bounds_of_a_count(k: int, least: float, most: float) -> None:
    assert count_bounds(k) == pytest.approx((least, most), rel=2e-3)
