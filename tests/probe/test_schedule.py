import itertools
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from measurements.model import Target
from probe.schedule import (
    DAY,
    Campaign,
    Instant,
    Moment,
    Plan,
    Stall,
    Window,
    allowance,
    day_of,
    end_of_day,
    expected_cost,
    first_run,
    next_run,
    plan,
    rest_of_day,
    runs_due,
    shuffled,
    stall,
    stretches,
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


def runs_left(campaign: Campaign, now: float) -> int:
    return sum(stretch.runs for stretch in rest_of_day(campaign, now))


def test_runs_left_today() -> None:
    assert runs_left(campaign(), MIDNIGHT) == 23
    assert runs_left(campaign(), MIDNIGHT + 23.5 * HOUR) == 0
    assert runs_left(campaign(window=Window(8 * HOUR, 10 * HOUR)), MIDNIGHT) == 2


# Moments

NOON = MIDNIGHT + 12 * HOUR
SHORT = targets(2)
VOTE = Moment(NOON, NOON + 2 * HOUR, 300.0, 0.0, SHORT)
COUNT = Moment(NOON + 2 * HOUR, NOON + 3 * HOUR, 600.0, 60.0, SHORT)


def election(*moments: Moment, window: Window | None = None) -> Campaign:
    return Campaign("c", targets(20), "web", HOUR, jitter=0.0, window=window, moments=moments or (VOTE,))


def test_in_a_moment_a_campaign_is_another_and_after_it_the_old_one() -> None:
    one = election(VOTE, COUNT)
    told = [(one.at(now).every, len(one.at(now).targets)) for now in (NOON - 0.1, NOON, COUNT.since, COUNT.until)]
    assert told == [(HOUR, 20), (300.0, 2), (600.0, 2), (HOUR, 20)]
    assert (one.moment(NOON - 1), one.moment(NOON + 1)) == (None, VOTE)
    assert [one.next_moment(now) for now in (NOON - 1, NOON, COUNT.since)] == [VOTE, COUNT, None]
    assert [one.next_edge(now) for now in (NOON - 1, NOON, COUNT.since, COUNT.until)] == [
        NOON, COUNT.since, COUNT.until, None,
    ]  # fmt: skip


def test_a_moment_outdoes_the_window() -> None:
    nightly = election(window=Window(22 * HOUR, 2 * HOUR))
    assert [nightly.may_run(now) for now in (NOON - 1, NOON, VOTE.until)] == [False, True, False]
    assert nightly.at(NOON).may_run(NOON)
    assert sum(one.runs for one in rest_of_day(nightly, MIDNIGHT + 3 * HOUR)) == 24 + 2


def runs(one: Campaign, since: float, until: float, wobble: float = 0.0) -> list[float]:
    """Return when a campaign runs that was due at `since`."""
    due = [since]
    while (then := next_run(one, due[-1], due[-1], wobble)) < until:
        due.append(then)
    return due


def test_a_moment_begins_and_ends_with_a_run() -> None:
    begins = NOON - 1.5 * HOUR
    due = runs(election(), begins, NOON + 4 * HOUR)
    assert due[:3] == [begins, begins + HOUR, NOON]
    assert due[3:26] == [NOON + 300.0 * number for number in range(1, 24)]
    assert due[26:] == [VOTE.until, VOTE.until + HOUR]


@given(st.floats(-1, 1), st.floats(0, 2 * DAY), st.floats(0, 3 * DAY))
def test_the_next_run_is_later_than_now_and_no_edge_is_missed(wobble: float, last: float, passed: float) -> None:
    one = election(VOTE, COUNT)
    now = MIDNIGHT + last + passed
    due = next_run(one, MIDNIGHT + last, now, wobble)
    assert now < due <= now + 2 * HOUR
    edge = one.next_edge(now)
    assert edge is None or due <= edge


def test_runs_that_were_missed_are_left_out_and_jitter_is_added() -> None:
    wobbly = replace(election(), jitter=360.0)
    assert next_run(wobbly, MIDNIGHT, MIDNIGHT + 3.5 * HOUR) == MIDNIGHT + 4 * HOUR
    assert next_run(wobbly, MIDNIGHT, MIDNIGHT, 0.5) == MIDNIGHT + HOUR + 180
    assert next_run(wobbly, MIDNIGHT, MIDNIGHT + 4 * HOUR - 60, -1.0) == MIDNIGHT + 4 * HOUR - 59, "never in the past"


def test_the_runs_of_a_day_are_counted_with_its_moments() -> None:
    told = [(one.in_moment, one.runs) for one in stretches(election(VOTE, COUNT), MIDNIGHT, MIDNIGHT + DAY)]
    assert told == [(False, 12), (True, 24), (True, 6), (False, 9)]
    assert [one.runs for one in rest_of_day(election(), NOON)] == [23, 10]


def test_the_days_data_are_kept_for_its_moments() -> None:
    """A moment that wants 24 runs of 2 targets in 100 runs of one: what comes before shares what it leaves."""
    one = election()
    early = MIDNIGHT + 4 * HOUR
    later = 24 * 2 * COST  # the moment
    ordinary = (1 + 7 + 10) * 20 * COST  # this run, seven before the moment, ten from its end on
    everything = later + ordinary
    assert allowance(one, [one], left=everything, costs=COSTS, now=early) == everything
    share = allowance(one, [one], left=later + ordinary // 2, costs=COSTS, now=early)
    assert share == pytest.approx(20 * COST / 2)
    assert allowance(one, [one], left=later, costs=COSTS, now=early) == pytest.approx(later * 0.1 / 18)
    assert allowance(one, [one], left=later, costs=COSTS, now=NOON) == pytest.approx(2 * COST), "and then it has them"
    assert allowance(one, [one], left=later // 2, costs=COSTS, now=NOON) == pytest.approx(COST)
    assert allowance(one, [one], left=0, costs=COSTS, now=early) == 0
    assert allowance(one, [one], left=-9, costs=COSTS, now=NOON) == 0


def test_a_day_with_a_moment_keeps_its_budget_and_the_moment_is_whole() -> None:
    """If the budget is half of what the day would take, every run within the moment still asks about its whole list."""
    one = election()
    budget = (24 * 2 * COST + 22 * 20 * COST) // 2
    spent = 0
    measured: dict[str, float] = {}
    sizes: list[tuple[bool, int]] = []
    for now in runs(one, MIDNIGHT, MIDNIGHT + DAY):
        share = allowance(one, [one], left=budget - spent, costs=COSTS, now=now)
        chosen = plan(shuffled(one.at(now).targets, now), costs=COSTS, measured=measured, allowance=share).chosen
        spent += len(chosen) * COST
        measured |= dict.fromkeys((t.url for t in chosen), now)
        sizes.append((one.moment(now) is not None, len(chosen)))
    assert spent <= budget
    assert {size for within, size in sizes if within} == {2}
    assert min(size for within, size in sizes if not within) >= 5
    assert len(measured) == 20


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
