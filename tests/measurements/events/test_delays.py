"""The delays that are promised are those that the detector keeps."""

from __future__ import annotations

from measurements.events.delays import Delay, delays
from measurements.events.nouns import Settings
from measurements.events.rates import threshold
from measurements.model import Strength

HOUR = 3600.0
AGAIN = tuple(60.0 * minutes for minutes in (1, 5, 15, 30, 60, 90, 120, 150, 181))


def work_out(volume: float = 13_440.0, every: float = HOUR, again: tuple[float, ...] = AGAIN) -> dict[str, Delay]:
    settings = Settings()
    found = delays(settings, threshold(volume, 1.0, settings.strengths), every, again, ())
    return {f"{wait.strength} {wait.probes}": wait for wait in found}


def test_a_proven_block_is_told_at_once_and_confirmed_as_the_issue_asks() -> None:
    found = work_out()
    one, two = found["proven 1"], found["proven 2"]
    assert (one.told, two.told) == (0.0, 0.0)
    assert one.confirmed is not None
    assert two.confirmed is not None
    assert one.confirmed <= 3 * HOUR + 60.0
    assert two.confirmed <= 20 * 60.0


def test_an_unreachable_site_takes_longer_and_two_probes_are_faster() -> None:
    found = work_out()
    one, two = found["failed 1"], found["failed 2"]
    assert one.confirmed is not None
    assert two.confirmed is not None
    assert 3 * HOUR < two.confirmed < one.confirmed <= 24 * HOUR
    assert one.told is not None
    assert one.told > 0.0  # a weak vote is not told before there are enough


def test_more_volume_and_rarer_questions_take_longer() -> None:
    few, many = work_out(2_000.0)["failed 1"], work_out(1_000_000.0)["failed 1"]
    seldom = work_out(every=6 * HOUR, again=())["proven 1"]
    assert few.confirmed is not None
    assert many.confirmed is not None
    assert few.confirmed < many.confirmed
    assert few.votes is not None
    assert many.votes is not None
    assert few.votes < many.votes
    assert seldom.confirmed is not None
    assert 12 * HOUR <= seldom.confirmed <= 48 * HOUR


def test_what_takes_longer_than_two_weeks_has_no_delay() -> None:
    never = work_out(every=4 * 86_400.0, again=())["failed 1"]
    assert (never.strength, never.confirmed, never.votes) == (Strength.FAILED, None, None)
