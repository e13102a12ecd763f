"""One series: what it takes to change its standing, what must not, and that nothing is lost in between."""

from __future__ import annotations

import math
from random import Random

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from measurements.events.cells import Cell, CellState
from measurements.events.changes import Change, Direction
from measurements.events.past import Access
from measurements.events.rates import FULL, PARTIAL, RATES, Rates, null_rates, threshold, weigh
from measurements.model import Strength

REPORTED, PROVEN = RATES[Strength.REPORTED], RATES[Strength.PROVEN]
HOUR, DAY = 3600.0, 86400.0
LIST = threshold(100 * 24 * 7)  # the shipped list, hourly


def give(cell: Cell, said: str, start: float, every: float, h: float = LIST, probe: str = "p") -> list[Change]:
    """Add a vote for each letter, b for blocked; the witness is the vote's number."""
    changes = (cell.add(start + i * every, c == "b", probe, f"{probe}{i}", h) for i, c in enumerate(said))
    return [change for change in changes if change is not None]


def test_a_block_that_all_votes_show_is_found_and_ends() -> None:
    cell = Cell(REPORTED)
    assert give(cell, "o" * 40, 0, 8 * HOUR) == []
    [onset] = give(cell, "bbbb", 40 * 8 * HOUR, 8 * HOUR)
    assert (onset.direction, onset.blocked, onset.votes) == (Direction.ONSET, 4, 4)
    assert onset.bracket[0] < 40 * 8 * HOUR <= onset.bracket[1]
    assert onset.witnesses == ("p0", "p1", "p2", "p3")
    assert onset.log_evidence >= LIST
    assert cell.is_blocked
    [end] = give(cell, "b" * 30 + "o" * 12, 44 * 8 * HOUR, 8 * HOUR)
    assert end.direction is Direction.END
    assert end.bracket[0] <= (44 + 29) * 8 * HOUR < end.bracket[1]
    assert not cell.is_blocked


def test_a_proven_block_seen_by_one_probe_is_found_within_three_hours() -> None:
    cell = Cell(PROVEN)
    give(cell, "o" * 48, 0, HOUR)
    start = 48 * HOUR
    minutes = (0, 15, 30, 60, 90, 120, 150, 180)
    told = [cell.add(start + 60.0 * m, True, "p", f"w{m}", LIST) for m in minutes]
    [change] = [change for change in told if change]
    assert change.time <= start + 3 * HOUR


def test_state_goes_through_any_encoding() -> None:
    cell, twin = Cell(REPORTED), Cell(REPORTED)
    for i, said in enumerate("ooobobbooo" * 4 + "bbbbbbbbbb" * 4):
        assert cell.add(i * HOUR, said == "b", "p", str(i), 9.0) == twin.add(i * HOUR, said == "b", "p", str(i), 9.0)
        kept = msgspec.json.encode(twin.state())
        twin = Cell.restore(msgspec.json.decode(kept, type=CellState), REPORTED)
        assert twin.state() == cell.state()


def test_votes_out_of_order_are_refused() -> None:
    cell = Cell(REPORTED)
    cell.add(5.0, False, "p", "w", LIST)
    for bad in (4.0, math.nan, math.inf):
        with pytest.raises(ValueError, match="in order"):
            cell.add(bad, False, "p", "w", LIST)


def test_where_failing_is_usual_nothing_is_gained_by_it() -> None:
    cell = Cell(Rates(floor=0.95, follow=0.95, elsewhere=0.95))
    assert give(cell, "b" * 100, 0, HOUR, h=1.0) == []
    assert cell.suspicion is None


# What can only lower a score


VOTE = st.tuples(
    st.sampled_from([0.0, 60.0, HOUR, 7 * HOUR, 30 * HOUR, 90 * HOUR]), st.booleans(), st.sampled_from("pqr")
)
VOTES = st.lists(VOTE, max_size=60)


def cast(cell: Cell, votes: list[tuple[float, bool, str]], h: float) -> list[Change | None]:
    time, told = 0.0, []
    for i, (after, blocked, probe) in enumerate(votes):
        time += after
        told.append(cell.add(time, blocked, probe, str(i), h))
    return told


def height(cell: Cell) -> float:
    return cell.suspicion.log_evidence if cell.suspicion else 0.0


@given(VOTES, st.sampled_from([REPORTED, PROVEN]), st.booleans())
def test_votes_for_the_state_and_silence_only_lower_a_score(
    votes: list[tuple[float, bool, str]], rates: Rates, late: bool
) -> None:
    cell = Cell(rates)
    cast(cell, votes, 7.0)
    before, time = height(cell), cell.state().time
    twin = Cell.restore(cell.state(), rates)
    after = max(0.0, time) + (200 * HOUR if late else 60.0)
    for one in (cell, twin):
        was = one.is_blocked
        one.add(after, was, "p" if one is cell else "new", "w", 1e9)
        assert height(one) <= before


@given(VOTES, st.integers(0, 60), st.sampled_from([REPORTED, PROVEN]))
def test_a_restored_cell_goes_on_as_if_it_had_never_stopped(
    votes: list[tuple[float, bool, str]], at: int, rates: Rates
) -> None:
    cell, time = Cell(rates), 0.0
    twin = Cell(rates)
    for i, (after, blocked, probe) in enumerate(votes):
        time += after
        if i == at:
            twin = Cell.restore(msgspec.msgpack.decode(msgspec.msgpack.encode(twin.state()), type=CellState), rates)
        assert cell.add(time, blocked, probe, str(i), 7.0) == twin.add(time, blocked, probe, str(i), 7.0)
        assert cell.suspicion == twin.suspicion
    assert cell.state() == twin.state()


@given(VOTES, st.sampled_from([REPORTED, PROVEN]))
def test_what_is_told_holds_together(votes: list[tuple[float, bool, str]], rates: Rates) -> None:
    cell, direction = Cell(rates), Direction.ONSET
    for change in cast(cell, votes, 5.0):
        if change is None:
            continue
        assert change.direction is direction
        direction = Direction.END if direction is Direction.ONSET else Direction.ONSET
        assert change.bracket[0] <= change.bracket[1] <= change.time
        assert change.since <= change.time
        assert change.log_evidence >= change.nulls.threshold == 5.0
        assert 0 <= change.blocked <= change.votes
        assert len(change.witnesses) <= 20
        assert change.nulls.p0 < change.nulls.p1


# The null hypothesis, by enumeration


@pytest.mark.parametrize("rates", [REPORTED, PROVEN], ids=["reported", "proven"])
@pytest.mark.parametrize("gaps", [(HOUR,), (8 * HOUR,), (900.0, HOUR, 7 * HOUR), (2 * HOUR, 30 * HOUR)])
@pytest.mark.parametrize("h", [2.0, 4.0, 6.0])
def test_false_alarms_keep_to_the_bound_of_each_vote(rates: Rates, gaps: tuple[float, ...], h: float) -> None:
    """Every series of ten votes from two probes, each as likely as the worst that the null allows."""
    length = 10

    def onsets(cell: Cell, struck: dict[str, float], i: int, time: float) -> float:
        if i == length:
            return 0.0
        time, probe = time + gaps[i % len(gaps)], "pq"[i % 2]
        lately = {other for other, last in struck.items() if time - last <= 6 * HOUR}
        null = rates.follow if probe in lately else rates.elsewhere if lately else rates.floor
        twin = Cell.restore(cell.state(), rates)
        assert cell.add(time, False, probe, "", h) is None
        expected = (1.0 - null) * onsets(cell, struck, i + 1, time)
        found = twin.add(time, True, probe, "", h) is not None
        return expected + null * (1.0 if found else onsets(twin, {**struck, probe: time}, i + 1, time))

    assert 0.0 < onsets(Cell(rates), {}, 0, 0.0) <= length * (PARTIAL + FULL) * math.exp(-h)


@given(st.floats(0.001, 0.999), st.floats(0.001, 0.999))
def test_no_vote_gains_on_average(p0: float, p0_partial: float) -> None:
    """The mean of each likelihood ratio is one where the null rate is true, and less where it is smaller."""
    weights = weigh(p0, p0_partial)
    for rate, up, down in zip((p0_partial, p0, p0), weights[::2], weights[1::2], strict=True):
        for true in (rate, rate / 2):
            assert true * math.exp(up) + (1 - true) * math.exp(down) <= 1.0 + 1e-9


# Null rates


@pytest.mark.parametrize(
    ("against", "votes", "rates", "full", "partial", "lent"),
    [
        (0, 0, REPORTED, 0.0495, 1.0, 59),  # nothing is known: the floor is assumed, for a full block only
        (0, 20, REPORTED, 0.05, 0.139, 39),
        (1, 20, REPORTED, 0.078, 0.216, 39),
        (9, 20, REPORTED, 0.653, 0.653, 0),  # its own past contradicts the floor
        (2, 200, REPORTED, 0.05, 0.05, 0),
        (40, 200, REPORTED, 0.253, 0.253, 0),
        (0, 0, PROVEN, 0.002, 0.002, 1497),
        (1, 700, PROVEN, 0.00317, 0.00317, 797),
        (30, 100, PROVEN, 0.384, 0.384, 0),
    ],
)
def test_null_rates(against: int, votes: int, rates: Rates, full: float, partial: float, lent: int) -> None:
    found = null_rates(against, votes, rates)
    assert found[:2] == pytest.approx((full, partial), rel=0.03)
    assert found[2] == lent


def test_a_block_does_not_become_its_own_baseline() -> None:
    cell = Cell(REPORTED)
    give(cell, "o" * 100, 0, 8 * HOUR)
    [onset] = give(cell, "b" * 50, 800 * HOUR, 8 * HOUR)
    [_] = give(cell, "o" * 60, 1200 * HOUR, 8 * HOUR)
    [again] = give(cell, "b" * 10, 1680 * HOUR, 8 * HOUR)
    assert again.nulls.p0 == onset.nulls.p0 == 0.05
    assert again.votes == onset.votes


def test_a_block_that_was_there_before_us_is_told_as_open_ended() -> None:
    [change] = give(Cell(PROVEN), "b" * 12, 1000.0, HOUR)
    assert change.open_ended
    assert change.bracket[0] == 1000.0
    assert change.nulls.assumed == 1497


def test_followers_count_little_and_other_lines_more() -> None:
    def evidence(probes: str) -> float:
        cell = Cell(PROVEN)
        for i, probe in enumerate(probes):
            cell.add(1000.0 + 900.0 * i, True, probe, "", 99.0)
        return height(cell)

    assert evidence("p") == pytest.approx(math.log(0.9 / 0.002))
    assert evidence("pp") == pytest.approx(evidence("p") + math.log(0.9 / 0.4))
    assert evidence("pq") == pytest.approx(evidence("p") + math.log(0.9 / 0.005))
    assert evidence("pqp") == pytest.approx(evidence("pq") + math.log(0.9 / 0.4))


def test_a_crowd_of_probes_is_not_remembered_one_by_one() -> None:
    """More lines than are remembered are taken for one: the score may not grow by forgetting."""
    cell = Cell(PROVEN)
    for i in range(40):
        cell.add(1000.0 + i, True, f"p{i}", "", 1e9)
    before = height(cell)
    cell.add(1100.0, True, "new", "", 1e9)
    assert height(cell) == pytest.approx(before + math.log(0.9 / 0.4))
    assert len(cell.state().struck) == 32
    cell.add(1100.0 + 7 * HOUR, True, "p40", "", 1e9)  # the old ones are forgotten then
    assert cell.state().struck == (("p40", 1100.0 + 7 * HOUR),)


def test_memory_is_bounded() -> None:
    cell = Cell(REPORTED)
    chance = Random(1)
    sizes = []
    for i in range(60_000):
        cell.add(i * 1800.0, chance.random() < 0.25, f"probe-{i % 50}", f"witness-{i}", 1e9)
        if i % 10_000 == 9_999:
            sizes.append(len(msgspec.msgpack.encode(cell.state())))
    assert max(sizes) < 6_000


def test_a_false_answer_within_a_block_ends_nothing() -> None:
    cell = Cell(PROVEN)
    give(cell, "o" * 50 + "b" * 40, 0, HOUR)
    assert cell.is_blocked
    assert give(cell, "oobobbboob" * 3, 90 * HOUR, HOUR) == []


def test_after_an_end_votes_still_follow_the_last_blocked_one() -> None:
    cell = Cell(PROVEN)
    [_, end] = give(cell, "o" * 20 + "b" * 30 + "o" * 14, 0, 900.0, h=7.0)
    assert end.direction is Direction.END
    cell.add(64 * 900.0, True, "q", "", 99.0)
    assert height(cell) == pytest.approx(math.log(0.9 / 0.4))


@pytest.mark.parametrize("bad", [(-1.0, 1.0, 1), (100.0, 0.0, 1), (100.0, 1.0, 0), (math.nan, 1.0, 1)])
def test_a_threshold_needs_numbers_that_make_sense(bad: tuple[float, float, int]) -> None:
    with pytest.raises(ValueError, match="threshold"):
        threshold(*bad)


def test_the_threshold_rises_with_what_is_watched() -> None:
    assert threshold(0) == math.log(20) > math.log(FULL / REPORTED.floor)  # one vote is never enough
    assert threshold(16_800) == pytest.approx(math.log(16_800 * 2 * 1.4))
    assert threshold(16_800, 0.1) == pytest.approx(threshold(16_800) + math.log(10))


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    clean=st.integers(0, 300),
    rates=st.sampled_from((REPORTED, PROVEN)),
    share=st.sampled_from((0.5, 0.9)),
)
def test_a_series_that_begins_with_its_first_accusation_is_as_if_it_had_always_been(
    seed: int, clean: int, rates: Rates, share: float
) -> None:
    chance = Random(seed)
    access, always, time = Access(), Cell(rates), 0.0
    for _ in range(clean):
        time += chance.choice((900.0, 3600.0, 8 * 3600.0))
        access.add(time)
        always.add(time, False, "p", "", LIST)
    state = msgspec.msgpack.decode(msgspec.msgpack.encode(access.state()), type=type(access.state()))
    forked = Cell.forked(rates, state.past, state.before, state.times)
    found: dict[Cell, Change] = {}
    for number in range(80):
        time += 7 * HOUR
        blocked = number == 0 or chance.random() < share
        for cell in (always, forked):
            change = cell.add(time, blocked, "p", str(number), LIST)
            if change is not None and cell not in found:
                found[cell] = change
    # the two pasts were not counted at the same moments, so that their null rates differ by a little
    assert (always in found) == (forked in found)
    if found:
        one, two = found[always], found[forked]
        assert abs(one.time - two.time) <= 14 * HOUR
        assert two.nulls.p0 == pytest.approx(one.nulls.p0, abs=0.02)
        assert two.open_ended == one.open_ended
        assert max(one.bracket[0], two.bracket[0]) <= min(one.bracket[1], two.bracket[1])
