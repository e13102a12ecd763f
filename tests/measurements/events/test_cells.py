"""One series: what it takes to change its standing, what must not, and that nothing is lost in between."""

from __future__ import annotations

import math

import msgspec
import pytest

from measurements.events.cells import Cell, CellState
from measurements.events.changes import Change, Direction
from measurements.events.rates import RATES, Rates, threshold
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
