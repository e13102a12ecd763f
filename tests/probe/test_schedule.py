import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from measurements.model import Target
from probe.schedule import (
    DAY,
    Campaign,
    Instant,
    Plan,
    Stall,
    Window,
    allowance,
    day_of,
    end_of_day,
    expected_cost,
    first_run,
    plan,
    runs_due,
    runs_left,
    shuffled,
    stall,
    wants_full_body,
)

HOUR = 3600.0
MIDNIGHT = 20_000 * DAY
COST = 20_000


def target(name: str) -> Target:
    return Target(url=f"https://{name}.example/", scheme="https", host=f"{name}.example", port=443)


def targets(count: int) -> tuple[Target, ...]:
    return tuple(target(f"t{number}") for number in range(count))


COSTS = dict.fromkeys((t.url for t in targets(20)), COST)


def campaign(count: int = 3, every: float = HOUR, window: Window | None = None) -> Campaign:
    return Campaign("c", targets(count), "web", every, jitter=0.0, window=window)


def test_a_campaign_runs_in_its_window_and_without_one_always() -> None:
    assert campaign().may_run(MIDNIGHT)
    nightly = campaign(window=Window(22 * HOUR, 2 * HOUR))
    assert {hour for hour in range(24) if nightly.may_run(MIDNIGHT + hour * HOUR)} == {22, 23, 0, 1}


def test_the_first_run_after_a_start_is_due_at_once_but_not_twice_a_minute() -> None:
    assert first_run(None, HOUR, 1000.0) == 1000.0
    assert first_run(1000.0, HOUR, 1020.0) == 1060.0
    assert first_run(1000.0, 30.0, 1020.0) == 1030.0
    assert first_run(1000.0, HOUR, 1100.0) == 1100.0
    assert first_run(1000.0, HOUR, 9000.0) == 9000.0
    assert first_run(99_999.0, HOUR, 1000.0) == 1000.0


@pytest.mark.parametrize(("hours", "due"), [(0.5, 0), (1.0, 1), (1.9, 1), (2.0, 2), (10.5, 10), (-5, 0)])
def test_runs_that_were_due_are_counted(hours: float, due: int) -> None:
    assert runs_due(0.0, HOUR, hours * HOUR) == due


def test_shuffling_loses_nobody_and_depends_on_the_seed() -> None:
    order = shuffled(targets(30), "a")
    assert sorted(t.url for t in order) == sorted(t.url for t in targets(30))
    assert order == shuffled(targets(30), "a")
    assert order != shuffled(targets(30), "b")


def test_a_run_that_the_budget_allows_is_left_as_it_is() -> None:
    order = targets(5)
    assert plan(order, costs=COSTS, measured={}, allowance=5 * COST) == Plan(order)


def test_when_data_are_short_those_measured_longest_ago_go_first() -> None:
    order = targets(3)
    measured = {order[0].url: 30.0, order[1].url: 10.0, order[2].url: 20.0}
    chosen = plan(order, costs=COSTS, measured=measured, allowance=2 * COST)
    assert chosen == Plan((order[1], order[2]), (order[0],))


def test_nothing_is_chosen_without_data() -> None:
    assert plan(targets(2), costs=COSTS, measured={}, allowance=0) == Plan((), targets(2))


def test_what_is_not_known_yet_is_measured_first() -> None:
    order = targets(3)
    costs = {order[1].url: COST}
    assert plan(order, costs=costs, measured={}, allowance=0) == Plan((order[0], order[2]), (order[1],))
    assert allowance(campaign(3), [campaign(3)], left=5, costs={}, now=MIDNIGHT) == 5


costs = st.lists(st.integers(1, 500_000), min_size=1, max_size=12)


@given(costs, st.integers(0, 3_000_000), st.lists(st.floats(0, 1e9), min_size=12, max_size=12))
def test_a_plan_keeps_its_allowance_and_forgets_nobody(sizes: list[int], left: int, times: list[float]) -> None:
    order = targets(len(sizes))
    known = {t.url: size for t, size in zip(order, sizes, strict=True)}
    measured = {t.url: time for t, time in zip(order, times, strict=False)}
    made = plan(order, costs=known, measured=measured, allowance=left)
    assert expected_cost(made.chosen, known) <= left
    assert sorted(t.url for t in made.chosen + made.deferred) == sorted(t.url for t in order)
    assert list(made.chosen) == [t for t in order if t in made.chosen]


def test_deferring_is_fair_over_time() -> None:
    order = targets(10)
    measured: dict[str, float] = {}
    counts = dict.fromkeys((t.url for t in order), 0)
    for run in range(100):
        mixed = shuffled(order, run)
        for one in plan(mixed, costs=COSTS, measured=measured, allowance=3 * COST).chosen:
            measured[one.url] = run
            counts[one.url] += 1
    assert max(counts.values()) - min(counts.values()) <= 2


def test_a_run_may_take_all_that_is_left_while_it_suffices_for_the_day() -> None:
    hourly = campaign(1)
    day = 24 * COST
    assert allowance(hourly, [hourly], left=day, costs=COSTS, now=MIDNIGHT) == day
    assert allowance(hourly, [hourly], left=day // 2, costs=COSTS, now=MIDNIGHT) == COST / 2
    assert allowance(hourly, [hourly], left=-5, costs=COSTS, now=MIDNIGHT) == 0


def test_campaigns_share_what_is_left() -> None:
    big, small = campaign(9), campaign(1)
    noon = MIDNIGHT + 23.5 * HOUR
    left = 5 * COST
    assert allowance(big, [big, small], left=left, costs=COSTS, now=noon) == left
    now = MIDNIGHT + 22.5 * HOUR
    assert allowance(small, [big, small], left=left, costs=COSTS, now=now) == pytest.approx(left / 11)


def test_a_day_of_paced_runs_keeps_the_budget_and_is_never_blind() -> None:
    hourly = campaign(20)
    spent = 0
    measured: dict[str, float] = {}
    sizes = []
    for run in range(24):
        now = MIDNIGHT + run * HOUR
        share = allowance(hourly, [hourly], left=3_300_000 - spent, costs=COSTS, now=now)
        made = plan(shuffled(hourly.targets, run), costs=COSTS, measured=measured, allowance=share)
        spent += len(made.chosen) * COST
        sizes.append(len(made.chosen))
        measured |= dict.fromkeys((t.url for t in made.chosen), now)
    assert 3_200_000 < spent <= 3_300_000
    assert min(sizes) >= 5
    assert len(measured) == 20


def test_runs_left_today() -> None:
    assert runs_left(campaign(), MIDNIGHT) == 23
    assert runs_left(campaign(), MIDNIGHT + 23.5 * HOUR) == 0
    assert runs_left(campaign(window=Window(8 * HOUR, 10 * HOUR)), MIDNIGHT) == 2


def test_a_page_is_read_in_full_once_a_day_whenever_the_runs_fall() -> None:
    url = "https://t.example/"
    assert wants_full_body(url, None, MIDNIGHT)
    last = MIDNIGHT
    days = []
    for run in range(1, 7 * 24):
        now = MIDNIGHT + run * HOUR
        if wants_full_body(url, last, now):
            days.append(now)
            last = now
    assert len(days) == 7
    assert all(later - earlier == DAY for earlier, later in itertools.pairwise(days))


def test_full_pages_are_spread_over_the_day() -> None:
    due = [
        sum(wants_full_body(t.url, MIDNIGHT + run * HOUR, MIDNIGHT + (run + 1) * HOUR) for t in targets(240))
        for run in range(24)
    ]
    assert sum(due) == 240
    assert max(due) < 30


def test_days() -> None:
    assert day_of(0.0) == "1970-01-01"
    assert day_of(DAY - 0.1) == "1970-01-01"
    assert end_of_day(0.0) == end_of_day(DAY - 1) == DAY


def test_clocks_tell_sleep_from_stalling_from_a_clock_that_was_set() -> None:
    zero = Instant(1000.0, 50.0, 70.0)

    def after(wall: float, monotonic: float, boottime: float) -> Stall:
        return stall(zero, Instant(1000.0 + wall, 50.0 + monotonic, 70.0 + boottime), 60.0)

    assert after(60.1, 60.1, 60.1) == Stall(None, 0.0, 0.0)
    assert after(8 * HOUR, 60.0, 8 * HOUR) == Stall("asleep", 8 * HOUR - 60, 0.0)
    assert after(300.0, 300.0, 300.0) == Stall("stalled", 240.0, 0.0)
    assert after(60.0 - HOUR, 60.0, 60.0) == Stall(None, 0.0, -HOUR)
    assert after(2 * HOUR, 60.0, HOUR) == Stall("asleep", HOUR - 60, HOUR)
