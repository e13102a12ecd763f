"""The day's data, with as many measurements at once as are allowed, and no clock that ticks."""

from __future__ import annotations

import random

import pytest

from measurements.model import Target
from probe.network import Limits
from probe.purse import UNKNOWN_COST, Purse

TROUBLE = Limits().body_wire + Limits().follow_up_bytes
MOST = UNKNOWN_COST + TROUBLE
DAY = 86_400.0


class Ledger:
    """The store's part: counts what it is told."""

    def __init__(self, spent: int = 0) -> None:
        self.spent = spent

    async def add_spent(self, probe_id: str, spent: int) -> None: ...

    def spent_today(self, probe_id: str) -> int:
        return self.spent


def target(number: int) -> Target:
    name = f"t{number}.example"
    return Target(url=f"https://{name}/", scheme="https", host=name, port=443)


def purse_of(budget: int, spent: int = 0) -> Purse:
    purse = Purse(Ledger(spent), "p", budget, lambda: 0.0, TROUBLE)
    purse.open()
    return purse


def live_through_a_day(purse: Purse, rng: random.Random, slots: int, failing: float) -> tuple[int, int]:
    """Measure until nothing may begin, ending in any order; return how many were, and how many ran at once."""
    running: list[tuple[int, int]] = []
    measured = highest = 0
    while True:
        if len(running) < slots and (reserved := purse.reserve(target(measured))) is not None:
            running.append((reserved, MOST if rng.random() < failing else rng.randrange(5_000, 40_000)))
            measured += 1
            highest = max(highest, len(running))
        elif running:
            reserved, cost = running.pop(rng.randrange(len(running)))
            purse.spend(cost).close()  # type: ignore[attr-defined]  # nobody waits for this ledger
            purse.release(reserved)
        else:
            return measured, highest


@pytest.mark.parametrize("budget", [1_000_000, 5_000_000, 50_000_000])
@pytest.mark.parametrize("failing", [0.0, 0.3, 1.0])
def test_the_budget_is_overrun_by_one_measurement_at_most(budget: int, failing: float) -> None:
    for seed in range(20):
        purse = purse_of(budget)
        measured, highest = live_through_a_day(purse, random.Random(seed), slots=20, failing=failing)
        assert budget <= purse.spent <= budget + MOST
        assert purse.idle
        assert measured >= budget // MOST
        assert highest == min(20, max(1, budget // MOST))


def test_one_may_begin_on_whatever_is_left_and_then_none() -> None:
    purse = purse_of(1_000_000, spent=999_999)
    reserved = purse.reserve(target(1))
    assert reserved == MOST
    assert purse.reserve(target(2)) is None
    purse.release(reserved)
    purse.spend(1).close()  # type: ignore[attr-defined]
    assert purse.left == 0
    assert purse.reserve(target(2)) is None


def test_what_a_target_took_last_time_is_put_aside_with_what_may_come_on_top() -> None:
    purse = purse_of(50_000_000)
    purse.learn(target(1), 0.0, 90_000, routine=True)
    purse.learn(target(2), 0.0, 600_000, routine=False)
    assert purse.reserve(target(1)) == 90_000 + TROUBLE
    assert purse.reserve(target(2)) == MOST


def test_a_clock_that_is_set_over_midnight_and_back_gives_nothing_away_twice() -> None:
    now = DAY - 60.0
    purse = Purse(Ledger(400), "p", 1000, lambda: now, TROUBLE)
    purse.open()
    purse.spend(300).close()  # type: ignore[attr-defined]
    now = DAY + 60.0
    assert purse.left == 1000
    purse.spend(50).close()  # type: ignore[attr-defined]
    now = DAY - 30.0
    assert purse.left == 300
    now = DAY + 90.0
    assert purse.left == 950
