import itertools
import random
from collections.abc import Callable, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from measurements.model import Outcome, Past, Target, Verdict, Where
from probe.again import (
    BIN,
    BLOCKED,
    MOST_SERIES,
    MOST_UNREACHABLE,
    MOST_WAITING,
    PERSISTENCE,
    SOON,
    Again,
    find,
    found_since,
)

HOUR = 3600.0
AMPLE = 1e12
OPEN, SHUT = Verdict(outcome=Outcome.ACCESSIBLE), Verdict(outcome=Outcome.BLOCKED)
GONE, ODD = Verdict(outcome=Outcome.UNREACHABLE), Verdict(outcome=Outcome.INCONCLUSIVE)
SLOW = Verdict(outcome=Outcome.THROTTLED)
AT_HOME = Verdict(outcome=Outcome.BLOCKED, where=Where.LOCAL)


def target(number: int = 0) -> Target:
    host = f"t{number}.example"
    return Target(url=f"https://{host}/", scheme="https", host=host, port=443)


def never(series: object) -> float | None:
    return None


class World:
    """A site that says what `says` tells at each time, a probe that asks it, and what the store remembers."""

    def __init__(self, says: Callable[[float], Verdict], nettest: str = "web", seed: int = 0) -> None:
        self.says, self.nettest = says, nettest
        self.chance = random.Random(seed)
        self.again = Again(self.chance)
        self.told: list[Past] = []

    def measure(self, when: float) -> None:
        verdict = self.says(when)
        past = [one for one in self.told if one.started > when - 24 * HOUR]
        self.again.heard(self.nettest, target(), when, verdict, past, 1000)
        self.again.admit(when, AMPLE)
        self.told.append(Past(started=when, verdict=verdict))

    def restart(self) -> None:
        """Forget everything, and take up what the store knows."""
        self.again = Again(self.chance)
        newest, *older = sorted(self.told, key=lambda one: one.started, reverse=True)
        if newest.verdict.outcome is not Outcome.ACCESSIBLE:
            self.again.heard(self.nettest, target(), newest.started, newest.verdict, older, 1000)
            self.again.admit(newest.started, AMPLE)

    def live(self, until: float, campaign: Sequence[float] = (), restarts: Sequence[float] = ()) -> list[float]:
        """Ask what is due and what a campaign asks; return when the site was asked beyond the campaign, in minutes."""
        asked: list[float] = []
        now = 0.0
        events = sorted([(when, "campaign") for when in campaign] + [(when, "restart") for when in restarts])
        while True:
            due = self.again.next_due
            following = events[0][0] if events else until
            if due is not None and max(now, due) < following:
                now = max(now, due)
                later = [when for when, kind in events if kind == "campaign"]
                for _ in self.again.take(now, 8, lambda series: later[0] if later else None):  # noqa: B023
                    asked.append(now / 60)
                    self.measure(now)
                self.again.admit(now, AMPLE)
            elif events:
                now, kind = events.pop(0)
                if kind == "campaign":
                    self.measure(now)
                else:
                    self.restart()
            else:
                return asked


def test_a_verdict_is_a_find_or_an_answer_or_neither() -> None:
    said = [find(one) for one in (OPEN, SHUT, SLOW, GONE)]
    assert [(one.against, one.proven) for one in said if one] == [
        (False, True),
        (True, True),
        (True, True),
        (True, False),
    ]
    silent = [Outcome.DOWN, Outcome.SERVER_SIDE, Outcome.INVALID, Outcome.INCONCLUSIVE]
    assert [find(Verdict(outcome=one)) for one in silent] == [None] * 4
    assert find(AT_HOME) is None, "the volunteer's own router is no news"


def test_a_block_is_asked_about_after_1_5_15_30_and_60_minutes_and_until_three_hours_have_passed() -> None:
    for seed in range(200):
        asked = World(lambda when: SHUT, seed=seed).live(24 * HOUR, [0.0])
        for minutes, step, before in zip(asked, BLOCKED, (0.0, *BLOCKED), strict=False):
            assert abs(minutes * 60 - step) <= 0.2 * (step - before)
        assert len(asked) == len(BLOCKED)
        assert asked == sorted(asked)
        assert PERSISTENCE < asked[-1] * 60 <= PERSISTENCE + 480, "one line alone must see it for three hours"
    first = {World(lambda when: SHUT, seed=seed).live(HOUR, [0.0])[0] for seed in range(20)}
    assert len(first) == 20, "nobody can set a clock by it"


def test_what_is_only_unreachable_is_asked_three_times_and_throttling_too() -> None:
    assert [round(minutes / 5) * 5 for minutes in World(lambda when: GONE).live(24 * HOUR, [0.0])] == [5, 15, 60]
    slow = World(lambda when: SLOW, "throttling").live(24 * HOUR, [0.0])
    assert len(slow) == 3
    assert slow[-1] > 180


@pytest.mark.parametrize("verdict", [OPEN, AT_HOME, ODD, Verdict(outcome=Outcome.DOWN)])
def test_nothing_else_is_asked_again(verdict: Verdict) -> None:
    assert World(lambda when: verdict).live(24 * HOUR, [0.0]) == []


def test_what_a_campaign_asks_meanwhile_is_not_asked_twice() -> None:
    """No vote counts twice in a quarter of an hour: of an hourly campaign's questions each saves one."""
    for seed in range(100):
        world = World(lambda when: SHUT, seed=seed)
        asked = world.live(24 * HOUR, [0.0, HOUR, 2 * HOUR, 3 * HOUR, 4 * HOUR])
        assert len(asked) in (6, 7)
        late = sorted(minutes for minutes in [*asked, 60.0, 120.0, 180.0] if minutes > 12)
        assert min(b - a for a, b in itertools.pairwise(late)) * 60 > BIN / 2
        times = [one.started for one in world.told]
        assert max(times) - min(times) >= PERSISTENCE


@pytest.mark.parametrize("minutes", [160, 170, 178])
def test_what_was_asked_shortly_before_the_three_hours_does_not_stand_for_the_last_question(minutes: int) -> None:
    world = World(lambda when: SHUT)
    asked = world.live(24 * HOUR, [0.0, minutes * 60.0])
    assert asked[-1] > 180
    assert world.told[-1].started - world.told[0].started >= PERSISTENCE


def test_what_a_campaign_is_about_to_ask_is_left_to_it() -> None:
    again = Again(random.Random(1))
    again.heard("web", target(), 0.0, SHUT)
    again.admit(0.0, AMPLE)
    for soon, taken in ((1000.0, 0), (5000.0, 1), (None, 1)):
        again = Again(random.Random(1))
        again.heard("web", target(), 0.0, SHUT)
        again.admit(0.0, AMPLE)
        assert len(again.take(900.0, 8, lambda series, soon=soon: soon)) == taken  # type: ignore[misc]
        (series,) = again.running
        assert series.due[0] > 1000


def test_a_site_that_opens_is_asked_once_more_and_then_let_be() -> None:
    for opens in (30.0, 200.0, 2 * HOUR):
        world = World(lambda when: SHUT if when < opens else OPEN)  # noqa: B023
        asked = world.live(24 * HOUR, [0.0])
        open_ones = [minutes for minutes in asked if minutes * 60 >= opens]
        assert len(open_ones) == 2
        assert 4 <= open_ones[1] - open_ones[0] <= 6
        assert world.again.running == ()


def test_a_block_that_goes_on_for_days_has_one_series() -> None:
    campaign = [hour * HOUR for hour in range(72)]
    asked = World(lambda when: SHUT).live(72 * HOUR, campaign)
    assert max(asked) < 190
    assert World(lambda when: SHUT).live(72 * HOUR, campaign, [30 * HOUR, 50.5 * HOUR]) == asked, "nor does a restart"


def test_a_block_that_comes_and_goes_costs_no_more_than_one_that_stays() -> None:
    for seed in range(20):
        chance = random.Random(seed)
        world = World(lambda when: chance.choice((SHUT, OPEN)), seed=seed)  # noqa: B023
        asked = world.live(12 * HOUR, [hour * HOUR for hour in range(12)])
        assert len(asked) <= 12 / 3 * (len(BLOCKED) + 12), "some series, each with some openings"
        for start in range(10):
            assert sum(start * 60 <= minutes < start * 60 + 60 for minutes in asked) <= 14


def test_a_site_that_was_unreachable_and_is_found_blocked_begins_anew() -> None:
    world = World(lambda when: GONE if when < 2 * HOUR else SHUT)
    asked = world.live(24 * HOUR, [0.0, HOUR, 2 * HOUR])
    assert len([minutes for minutes in asked if minutes < 120]) == 2, "the third is the campaign's"
    assert len([minutes for minutes in asked if minutes > 120]) == len(BLOCKED)


def test_a_verdict_that_says_nothing_is_an_answer_too_and_a_weaker_one_goes_on() -> None:
    asked = World(lambda when: SHUT if when < 10 else ODD).live(24 * HOUR, [0.0])
    assert len(asked) == len(BLOCKED)
    asked = World(lambda when: SHUT if when < 10 else GONE).live(24 * HOUR, [0.0])
    assert len(asked) == len(BLOCKED)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.floats(1.0, 4 * HOUR), max_size=4), st.integers(0, 1000))
def test_a_restart_neither_forgets_nor_repeats(restarts: list[float], seed: int) -> None:
    world = World(lambda when: SHUT, seed=seed)
    asked = world.live(24 * HOUR, [0.0], restarts)
    assert len(asked) == len(BLOCKED)
    times = [one.started for one in world.told]
    assert max(times) - min(times) >= PERSISTENCE
    late = [minutes for minutes in asked if minutes > 10]
    assert min((b - a for a, b in itertools.pairwise(late)), default=99) > 5


def test_since_when_it_was_found_is_read_from_the_past() -> None:
    def past(*said: Verdict) -> list[Past]:
        return [Past(started=float(at), verdict=verdict) for at, verdict in enumerate(said)]

    assert found_since([], proven=True) is None
    assert found_since(past(SHUT, OPEN), proven=True) is None
    assert found_since(past(SHUT, OPEN, SHUT, ODD, SHUT), proven=True) == 2
    assert found_since(past(OPEN, GONE, SHUT), proven=True) == 2
    assert found_since(past(OPEN, GONE, SHUT), proven=False) == 1
    assert found_since(past(OPEN, GONE, AT_HOME), proven=True) is None


def found(again: Again, count: int, verdict: Verdict = SHUT, cost: int = 1000, start: int = 0) -> None:
    for number in range(start, start + count):
        again.heard("web", target(number), float(number), verdict, (), cost)


def test_many_finds_at_once_are_bounded_by_number_and_the_rest_wait_for_room() -> None:
    again = Again(random.Random(1))
    found(again, 100)
    assert again.admit(100.0, AMPLE) == MOST_SERIES
    assert len(again.running) == MOST_SERIES
    assert len(again.waiting) == 100 - MOST_SERIES
    first = again.running[0]
    again.heard("web", first.target, 200.0, OPEN)
    again.heard("web", first.target, 500.0, OPEN)
    assert again.admit(500.0, AMPLE) == 1
    again.heard("web", target(99), 600.0, OPEN)
    assert len(again.waiting) == 100 - MOST_SERIES - 2, "what opened waits no more"


def test_what_runs_is_bounded_by_the_data_it_will_take() -> None:
    again = Again(random.Random(1))
    found(again, 100, cost=100_000)
    assert again.admit(100.0, 3 * len(BLOCKED) * 100_000.0) == 3
    assert again.admit(100.0, 3 * len(BLOCKED) * 100_000.0) == 0
    assert Again(random.Random(1)).admit(0.0, 0.0) == 0


def test_what_is_proven_goes_first_and_weak_finds_leave_room() -> None:
    again = Again(random.Random(1))
    found(again, 20, GONE)
    assert again.admit(20.0, AMPLE) == MOST_UNREACHABLE
    found(again, 20, start=20)
    again.admit(40.0, AMPLE)
    assert sum(one.proven for one in again.running) == MOST_SERIES - MOST_UNREACHABLE
    again = Again(random.Random(1))
    found(again, 5, GONE)
    found(again, 20, start=5)
    again.admit(30.0, AMPLE)
    assert all(one.proven for one in again.running)


def test_no_more_are_asked_at_once_than_is_allowed_and_those_asked_longest_ago_go_first() -> None:
    again = Again(random.Random(1))
    found(again, 9)
    again.admit(10.0, AMPLE)
    turns = [{one.target.host for one in again.take(400.0, 3, never)} for _ in range(4)]
    assert [len(turn) for turn in turns] == [3, 3, 3, 0]
    assert set.union(*turns) == {target(number).host for number in range(9)}
    assert again.take(0.0, 9, never) == ()


def test_what_is_due_in_a_moment_goes_with_the_others() -> None:
    again = Again(random.Random(1))
    found(again, 1)
    again.admit(0.0, AMPLE)
    due = again.next_due
    assert due is not None
    assert again.take(due - SOON - 1, 8, never) == ()
    assert len(again.take(due - SOON + 1, 8, never)) == 1


def test_a_series_that_waited_too_long_asks_what_is_left_of_it_or_lapses() -> None:
    again = Again(random.Random(1))
    found(again, 1)
    again.admit(2 * HOUR, AMPLE)
    (series,) = again.running
    assert min(series.due) > 2 * HOUR
    again = Again(random.Random(1))
    found(again, 1)
    again.admit(9 * HOUR, AMPLE)
    (series,) = again.running
    assert len(series.due) == 1, "it was not seen for three hours yet, and is asked at once"
    again = Again(random.Random(1))
    found(again, 1)
    again.heard("web", target(0), 9 * HOUR, SHUT)
    assert (again.admit(9 * HOUR, AMPLE), len(again.waiting)) == (0, 0), "a campaign has seen it meanwhile"


def test_what_the_settings_name_no_more_is_let_be() -> None:
    again = Again(random.Random(1))
    found(again, MOST_SERIES + 8)
    again.admit(20.0, AMPLE)
    again.keep({target(0).url, target(MOST_SERIES).url})
    assert [series.target for series in again.running] == [target(0)]
    assert again.waiting == {("web", target(MOST_SERIES).url)}


def test_memory_is_bounded() -> None:
    again = Again(random.Random(1))
    for number in range(3 * MOST_WAITING):
        again.heard("web", target(number), number * 10.0, SHUT)
    assert len(again.waiting) == MOST_WAITING
    assert len(again._begun) <= 2 * MOST_WAITING


def test_everything_moves_with_a_clock_that_was_set() -> None:
    again = Again(random.Random(1))
    found(again, MOST_SERIES + 1)
    again.admit(20.0, AMPLE)
    before = again.next_due
    again.clock_was_set(-HOUR)
    assert before is not None
    assert again.next_due == before - HOUR
    last = target(MOST_SERIES)
    again.heard("web", last, 30.0 - HOUR, OPEN)
    again.heard("web", last, 40.0 - HOUR, SHUT)
    assert again._begun["web", last.url] == MOST_SERIES - HOUR
