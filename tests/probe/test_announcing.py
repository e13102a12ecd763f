"""Events in words: how sure they are is always said, and what is promised is said in words that people understand."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from measurements.events.delays import Delay
from measurements.events.nouns import Event, Kind, Status
from measurements.events.placebos import Measured
from measurements.events.rates import RATES
from measurements.model import Strength
from measurements.standing import Memory
from probe.announcing import event_line, event_page, promise, standing_lines

EVENT = Event(
    id="0123456789abcdef",
    kind=Kind.BLOCKING,
    onset=(1_790_000_000.0, 1_790_000_600.0),
    opened=1_790_000_600.0,
    updated=1_790_000_600.0,
    targets=("x.com",),
    summary="x.com blocked on AS1 in TZ (not confirmed)",
    log_evidence=4.0,
    threshold=10.0,
    blocked=2,
    votes=2,
    probe_count=1,
)
MEMORY = Memory(false_alarms_per_week=1.0, threshold=10.0, suspended=None, newest=0.0, refused=0, header=b"")


@pytest.mark.parametrize(
    ("rate", "words"),
    [
        (1.0, "on average one false alarm a week; a 63 % chance of at least one in any week"),
        (0.1, "on average 0.1 false alarms a week; a 10 % chance of at least one in any week"),
        (0.01, "on average 0.01 false alarms a week; a 1 % chance of at least one in any week"),
        (2.0, "on average 2 false alarms a week; an 86 % chance of at least one in any week"),
        (50.0, "on average 50 false alarms a week; a 99 % chance or more of at least one in any week"),
    ],
)
def test_a_promise_is_said_as_people_understand_it(rate: float, words: str) -> None:
    assert promise(rate) == words


def test_a_line_has_no_more_than_its_room_and_says_how_sure() -> None:
    assert event_line(EVENT) == "01234567  09-21 14:23  unconfirmed  x.com blocked on AS1 in TZ (not confirmed)"
    assert len(event_line(EVENT, width=60)) <= 60
    assert "\x1b[33munconfirmed\x1b[0m" in event_line(EVENT, colour=True)
    assert "\x1b" not in event_line(replace(EVENT, summary="a\x1b[2Jb"))


def test_a_page_says_what_its_numbers_do_not_say() -> None:
    page = event_page(EVENT)
    assert page.startswith("unconfirmed  x.com blocked")
    assert "55 times likelier if access changed than if not; 22,000 are needed. That is no odds of censorship" in page
    assert "how        not known" in page
    assert "2 of 2 votes against access, by 1 probe" in page
    assert page.endswith("  none")
    merged = replace(EVENT, status=Status.WITHDRAWN, into="ff", confirmed=1_790_000_700.0, notes=("It is a part.",))
    page = event_page(merged, versions=[(1.0, EVENT), (2.0, merged)])
    assert "part of event ff" in page
    assert "confirmed  2026-09-21 14:25 UTC" in page
    assert "  It is a part." in page
    assert "1970-01-01 00:00 UTC  unconfirmed: x.com" in page
    assert page.endswith(
        "1970-01-01 00:00 UTC  withdrawn: x.com blocked on AS1 in TZ (not confirmed)\n    It is a part."
    )


def test_great_evidence_is_said_by_its_power_of_ten() -> None:
    assert " 10^21 times likelier" in event_page(replace(EVENT, log_evidence=50.0))


def test_what_is_suspended_refused_or_waits_is_said() -> None:
    calm = "\n".join(standing_lines([], MEMORY, 0, None, []))
    assert "0 open events; `wazi events --all` shows old ones" in calm
    assert "33,000 to 1 at the present volume" in calm
    assert "SUSPENDED" not in calm
    worried = replace(MEMORY, suspended=1_790_000_600.0, refused=3)
    said = "\n".join(standing_lines([EVENT], worried, 7, None, []))
    assert "SUSPENDED until 2026-09-21 14:23 UTC: harmless sites alarm too often" in said
    assert "3 votes came too late" in said
    assert "7 votes to be counted: where this lasts, the log says why" in said
    assert "01234567" in said
    assert standing_lines([], None, 0, None, [])[1:] == []


def test_rates_of_error_are_said_with_what_they_are_from() -> None:
    def said(**measured: tuple[int, int]) -> str:
        found = Measured(rates=RATES[Strength.PROVEN], **measured)
        return standing_lines([], replace(MEMORY, rates={Strength.PROVEN: found}), 0, None, [])[-1]

    words = "errors   a proven block: taken to be wrong 0.002 of the time, and 0.4 right after another "
    assert said() == words + "(assumed: no harmless site was asked yet)"
    assert said(first=(0, 700)) == words + "(0 of 700 placebos; the latter is assumed)"
    assert said(first=(1, 700), follow=(2, 6)) == words + "(1 of 700 placebos; 2 of 6 after another)"


def test_delays_are_said_in_the_unit_that_fits() -> None:
    def said(told: float | None, confirmed: float | None, probes: int = 1) -> str:
        wait = Delay(strength=Strength.PROVEN, probes=probes, told=told, confirmed=confirmed, votes=5)
        return standing_lines([], None, 0, None, [wait])[-1]

    assert said(0.0, 20.0).endswith("seen by one probe: told at once, confirmed after 1 min (5 votes)")
    assert said(600.0, 10_800.0, 2).endswith(
        "two probes on different lines: told after 10 min, confirmed after 3 h (5 votes)"
    )
    assert said(0.0, 400_000.0).endswith("confirmed after 5 days (5 votes)")
    assert said(0.0, None).endswith("not within two weeks")
