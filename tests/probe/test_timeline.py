"""An event in lines of text."""

from __future__ import annotations

import msgspec
import pytest

from measurements.events.nouns import Event, Kind, Part, Standing
from probe.timeline import timeline
from tests.measurements.events.votes_of import HOUR, START, live, series, within


def rows(text: str) -> list[str]:
    return text.split("\n")


def test_votes_are_drawn_where_they_were_cast() -> None:
    votes = [*series("x.com", within(48, 60), hours=90), *series("x.com", probe="p2", hours=47.0)]
    kept = [vote for vote in votes if not 52 < (vote.time - START) / HOUR < 56]
    (event,) = live(kept)[0].events()
    first, axis = rows(timeline(event, kept, 100))
    assert first.startswith("x.com tls AS64500  ")
    drawn = first.removeprefix("x.com tls AS64500  ")
    assert set(drawn) == {".", "#", " "}
    blocked = drawn.strip(". ")
    assert blocked[0] == blocked[-1] == "#"
    assert "   " in blocked  # nobody voted, and nothing is drawn
    assert "01-02" in axis
    assert all(len(row) <= 100 for row in (first, axis))


def test_what_is_not_over_is_drawn_until_its_last_vote() -> None:
    """An event says when it last had news, which may be long ago, and votes go on."""
    votes = list(series("x.com", within(48, 200), hours=200))
    (event,) = live(votes)[0].events()
    assert event.is_open
    assert event.updated < START + 60 * HOUR
    first, axis = rows(timeline(event, votes, 100))
    drawn = first.removeprefix("x.com tls AS64500  ")
    assert drawn.count("#") > 4 * drawn.count(".")
    assert "01-09" in axis


def test_votes_of_both_kinds_in_a_column() -> None:
    votes = [*series("x.com", within(40, 60), hours=60), *series("x.com", probe="p2", hours=60, first=0.01)]
    (event,) = live(series("x.com", within(40, 60), hours=60))[0].events()
    assert "+" in rows(timeline(event, votes, 80))[0]


def test_without_votes_the_brackets_are_drawn() -> None:
    (event,) = live(series("x.com", within(48, 60), hours=90))[0].events()
    drawn = rows(timeline(event, (), 90))[0].removeprefix("x.com tls AS64500  ")
    assert "".join(dict.fromkeys(drawn)) == ".?#"
    assert drawn.strip(".").startswith("?")


def test_what_goes_on_is_drawn_to_the_edge_and_what_was_cleared_is_not() -> None:
    (event,) = live(series("x.com", within(48, 99)))[0].events()
    assert rows(timeline(event, (), 90))[0].endswith("##")
    (event,) = live(series("x.com", within(48, 49)))[0].events()
    assert rows(timeline(event, (), 90))[0].endswith("..")


def test_many_parts_and_long_names_are_cut() -> None:
    parts = tuple(
        Part(target="a" * 60, layer="tls", standing=Standing.BLOCKED, onset=(START, START + HOUR)) for _ in range(15)
    )
    event = Event(id="1", kind=Kind.BLOCKING, onset=(START, START), parts=parts, updated=START + HOUR)
    lines = rows(timeline(event, (), 60))
    assert len(lines) == 14
    assert lines[12] == "and 3 more"
    assert lines[0].startswith("a" * 33 + "~  ")


@pytest.mark.parametrize("width", [1, 54, 55, 80, 200])
def test_no_line_is_wider_than_asked(width: int) -> None:
    (event,) = live(series("x.com", within(48, 60), hours=90))[0].events()
    assert all(len(row) <= max(54, width) for row in rows(timeline(event, (), width)))


def test_an_event_without_parts_has_its_axis() -> None:
    event = Event(id="1", kind=Kind.OUTAGE, onset=(START, START + HOUR))
    assert rows(timeline(event)) == [timeline(event)]
    assert "01-01" in timeline(event)


def test_a_name_cannot_act_on_the_terminal() -> None:
    (event,) = live(series("x.com", within(48, 60), hours=90))[0].events()
    part = msgspec.structs.replace(event.parts[0], target="x\x1b[31m.com")
    assert "\x1b" not in timeline(msgspec.structs.replace(event, parts=(part,)))
