"""Outages: from gaps to events, and what is none."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from measurements.events.nouns import Kind, Status
from measurements.events.outages import outages
from measurements.model import Gap

NOON = 1_764_590_400.0  # 2025-12-01 12:00 UTC


def gap(since: float, until: float, why: str = "outage", **known: Any) -> Gap:
    """Make a gap; times are minutes after noon."""
    edges = {key: NOON + 60 * known[key] for key in ("worked", "failed") if key in known}
    made = Gap(probe_id="p", since=NOON + 60 * since, until=NOON + 60 * until, why=why, restored=known.get("restored"))
    return replace(made, **edges)


def minutes(bracket: tuple[float, float] | None) -> tuple[float, ...] | None:
    return None if bracket is None else tuple((edge - NOON) / 60 for edge in bracket)


def test_an_outage_has_brackets_between_what_worked_and_what_failed() -> None:
    (event,) = outages([gap(10, 40, worked=4, failed=35, restored=True)], country="KE", asn=64500)
    assert (event.kind, event.status, event.reason) == (Kind.OUTAGE, Status.CLOSED, "ended")
    assert (minutes(event.onset), minutes(event.end)) == ((4, 10), (35, 40))
    assert (event.countries, event.asns, event.probes) == (("KE",), (64500,), ("p",))
    assert event.confirmed == NOON + 35 * 60
    assert event.summary == (
        "From 2025-12-01 12:10 UTC until 2025-12-01 12:40 UTC nothing could be reached from this probe, though its "
        "link was up."
    )


@pytest.mark.parametrize("why", ["off", "offline", "asleep", "stalled", "window", "budget", "captive", "vpn"])
def test_power_that_is_off_a_cable_that_is_pulled_and_all_else_is_no_outage(why: str) -> None:
    assert outages([gap(10, 40, why, worked=4, failed=35, restored=True)]) == []


def test_a_probe_that_was_never_connected_had_no_outage() -> None:
    assert outages([gap(10, 40, failed=35)]) == []


def test_one_look_that_failed_is_unconfirmed_and_a_second_confirms() -> None:
    (first,) = outages([gap(10, 10, worked=4, failed=10)])
    (second,) = outages([gap(10, 10.5, worked=4, failed=10.5)])
    assert (first.status, first.confirmed, first.end) == (Status.UNCONFIRMED, None, None)
    assert (second.status, second.confirmed) == (Status.CONFIRMED, NOON + 630)
    assert first.id == second.id
    assert "and still at 2025-12-01 12:10 UTC" in first.summary


def test_the_gaps_of_several_campaigns_are_one_outage() -> None:
    a = gap(10, 40, worked=4, failed=35, restored=True)
    b = gap(12, 41, worked=4, failed=36, restored=True)
    (event,) = outages([b, a])
    assert (minutes(event.onset), minutes(event.end)) == ((4, 10), (36, 41))
    assert event.id == outages([a])[0].id


def test_what_a_kill_cut_off_goes_on_in_the_next_life_when_nothing_worked_between() -> None:
    before, off = gap(10, 20, worked=4, failed=18), gap(20, 60, "off")
    (event,) = outages([before, off, gap(61, 90, worked=4, failed=85, restored=True)])
    assert (minutes(event.onset), minutes(event.end)) == ((4, 10), (85, 90))
    assert event.notes == ("Nothing was seen for 41 minutes of it: the probe did not run.",)
    two = outages([before, off, gap(61, 90, worked=60, failed=85, restored=True)])
    assert [minutes(event.onset) for event in two] == [(4, 10), (60, 61)]
    assert [event.end is None for event in two] == [True, False]


def test_two_outages_and_two_probes_are_told_apart() -> None:
    first = gap(10, 40, worked=4, failed=35, restored=True)
    second = gap(50, 60, worked=45, failed=55, restored=True)
    other = Gap(probe_id="q", since=first.since, until=first.until, why="outage", worked=first.worked)
    events = outages([second, other, first])
    assert [event.probes for event in events] == [("p",), ("p",), ("q",)]
    assert len({event.id for event in events}) == 3
