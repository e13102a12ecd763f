"""Gaps: what is recorded of a stretch without measuring, and when it is looked at again."""

from __future__ import annotations

import asyncio

import pytest

from measurements.model import Gap, Preconditions
from probe.silence import LOOK_AGAIN, Silence, why_silent


class Keeper:
    def __init__(self) -> None:
        self.gaps: list[Gap] = []

    def add_gap(self, gap: Gap) -> asyncio.Future[None]:
        self.gaps.append(gap)
        return None  # type: ignore[return-value]  # nobody waits for this keeper


class Story:
    """A silence whose clock a test moves."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.keeper = Keeper()
        self.silence = Silence(self.keeper, "p", lambda: self.now)


@pytest.mark.parametrize(
    ("found", "why"),
    [
        (Preconditions(reason="offline", ipv4_route=False, ipv6_route=False), "offline"),
        (Preconditions(reason="offline"), "offline"),
        (Preconditions(reason="offline", ipv4_route=True), "outage"),
        (Preconditions(reason="gateway_only", ipv6_route=True), "outage"),
        (Preconditions(reason="nothing_passes", ipv4_route=True), "outage"),
        (Preconditions(reason="captive", ipv4_route=True), "captive"),
        (Preconditions(reason="vpn", ipv4_route=True), "vpn"),
    ],
)
def test_a_dead_line_is_told_from_a_pulled_cable(found: Preconditions, why: str) -> None:
    assert why_silent(found) == why


def test_a_gap_knows_its_edges_and_looks_are_close_at_first() -> None:
    story = Story()
    silence = story.silence
    silence.works(900.0)
    silence.works(800.0)
    pauses = []
    for _ in range(6):
        pauses.append(silence.failed("c", "outage", "x", 990.0))
        (shown,) = silence.open_gaps
        assert (shown.since, shown.until, shown.failed) == (990.0, story.now, story.now)
        story.now += pauses[-1]
    assert pauses == [*LOOK_AGAIN, LOOK_AGAIN[-1], LOOK_AGAIN[-1]]
    silence.end("c", restored=True)
    (gap,) = story.keeper.gaps
    assert (gap.worked, gap.since, gap.restored) == (900.0, 990.0, True)
    assert gap.failed is not None
    assert gap.until - gap.failed == LOOK_AGAIN[-1]


def test_a_cable_that_is_pulled_during_an_outage_is_another_gap() -> None:
    story = Story()
    story.silence.failed("c", "outage", "x", 1000.0)
    story.now = 1030.0
    assert story.silence.failed("c", "offline", "y", 1030.0) == LOOK_AGAIN[0]
    story.silence.end_all()
    outage, offline = story.keeper.gaps
    assert (outage.why, outage.until, outage.restored, outage.worked) == ("outage", 1030.0, False, None)
    assert (offline.why, offline.restored) == ("offline", None)


def test_a_closed_window_says_nothing_of_the_network() -> None:
    story = Story()
    story.silence.begin("c", "window", "closed")
    story.now = 1100.0
    story.silence.begin("c", "window", "closed")
    story.silence.end("c", restored=True)
    story.silence.end("c", restored=True)
    (gap,) = story.keeper.gaps
    assert (gap.since, gap.until, gap.failed, gap.restored) == (1000.0, 1100.0, None, None)


def test_what_was_cut_off_ends_with_the_last_sign_of_life_and_keeps_its_edges() -> None:
    story = Story()
    story.silence.works(900.0)
    story.silence.failed("c", "outage", "x", 1000.0)
    later = Story()
    later.silence.add_cut_off(story.silence.open_gaps, 1020.0)
    (gap,) = later.keeper.gaps
    assert (gap.since, gap.until, gap.worked, gap.failed, gap.restored) == (1000.0, 1020.0, 900.0, 1000.0, None)
