"""When news leave: quiet hours where clocks are put forward, digests, cool-downs; and how a hook does over time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from measurements.alerts.notice import Change
from measurements.alerts.pace import DOWN, Health, Patience
from measurements.alerts.routing import Heard, Item, Quiet, Rule, is_same_place, to_tell, together, when
from measurements.events.nouns import Kind, Status
from tests.measurements.alerts.happenings import NOON, ended, event

OPENED, UPDATED, CLOSED = Change.OPENED, Change.UPDATED, Change.CLOSED
NIGHT = Quiet(22 * 3600.0, 7 * 3600.0)
BERLIN = ZoneInfo("Europe/Berlin")


def at(text: str, zone: Any = UTC) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=zone).timestamp()


def leaves(rule: Rule, now: float, *, since: float | None = None, kind: Kind = Kind.BLOCKING) -> float:
    """Return when an opening leaves."""
    wait = when(rule, Heard(since=now if since is None else since), event(kind=kind), (OPENED,), now)
    return now if wait is None else wait.until


@pytest.mark.parametrize(
    ("now", "until"),
    [
        ("2026-09-22T12:00", "2026-09-22T12:00"),
        ("2026-09-22T22:00", "2026-09-23T07:00"),
        ("2026-09-23T06:59:59", "2026-09-23T07:00"),
        ("2026-09-23T07:00", "2026-09-23T07:00"),
        ("2026-10-24T23:00", "2026-10-25T07:00"),  # the night in which Berlin puts its clocks back
        ("2026-03-28T23:00", "2026-03-29T07:00"),  # and the one in which it puts them forward
    ],
)
def test_quiet_hours_are_those_of_the_place(now: str, until: str) -> None:
    rule = Rule(name="phone", quiet=NIGHT, zone=BERLIN)
    assert leaves(rule, at(now, BERLIN)) == at(until, BERLIN)


def test_quiet_hours_that_end_where_the_clock_jumps_end_all_the_same() -> None:
    gap, twice = (Rule(name="p", quiet=Quiet(0.0, 2.5 * 3600.0), zone=BERLIN) for _ in range(2))
    assert leaves(gap, at("2026-03-29T01:00", BERLIN)) == at("2026-03-29T01:30", UTC)
    late = at("2026-10-25T00:40", UTC)  # 02:40 for the first time
    assert leaves(twice, late) == late
    again = at("2026-10-25T01:10", UTC)  # 02:10 for the second time
    assert leaves(twice, again) == at("2026-10-25T01:30", UTC)


def test_urgent_kinds_wait_for_neither_night_nor_digest() -> None:
    rule = Rule(name="p", quiet=NIGHT, digest=6 * 3600.0, urgent=frozenset({Kind.OUTAGE}))
    midnight = at("2026-09-22T23:00")
    assert leaves(rule, midnight, kind=Kind.OUTAGE) == midnight
    assert leaves(rule, midnight) == at("2026-09-23T07:00")  # the digest of midnight waits for the morning


@pytest.mark.parametrize(
    ("digest", "now", "until"),
    [
        (6 * 3600.0, "2026-09-22T12:30", "2026-09-22T18:00"),
        (6 * 3600.0, "2026-09-22T18:00", "2026-09-23T00:00"),
        (7 * 3600.0, "2026-09-22T22:00", "2026-09-23T00:00"),
        (86_400.0, "2026-09-22T12:30", "2026-09-23T00:00"),
        (7 * 86_400.0, "2026-09-22T12:30", "2026-09-28T00:00"),  # a Monday
    ],
)
def test_a_digest_leaves_at_whole_numbers_of_its_length(digest: float, now: str, until: str) -> None:
    zone = timezone(timedelta(hours=3))
    rule = Rule(name="p", digest=digest, zone=zone)
    assert leaves(rule, at(now, zone)) == at(until, zone)
    assert leaves(rule, at(until, zone), since=at(now, zone)) == at(until, zone)


@given(
    now=st.floats(0.0, 4e9),
    since=st.floats(0.0, 4e9),
    told=st.floats(0.0, 4e9),
    digest=st.floats(0.0, 31 * 86_400.0),
    opens=st.integers(0, 86_399),
    closes=st.integers(1, 86_400),
    zone=st.sampled_from([UTC, BERLIN, ZoneInfo("Asia/Kathmandu"), ZoneInfo("America/St_Johns")]),
)
def test_news_leave_in_the_end_whatever_the_clocks_say(
    now: float, since: float, told: float, digest: float, opens: int, closes: int, zone: Any
) -> None:
    quiet = None if opens == closes % 86_400 else Quiet(opens, closes)
    rule = Rule(name="p", digest=digest, quiet=quiet, zone=zone)
    heard = Heard(since=since, told=CLOSED, at=told)
    closings = [(told, ended())]
    for _ in range(4):
        wait = when(rule, heard, event(), (OPENED,), now, closings)
        if wait is None:
            return
        assert now < wait.until <= now + 33 * 86_400.0
        now = wait.until
    raise AssertionError("it never leaves")


def test_updates_are_damped_unless_the_status_changed() -> None:
    rule = Rule(name="p", update_every=3600.0)
    heard = Heard(since=NOON, told=OPENED, status=Status.CONFIRMED, at=NOON - 60.0)
    wait = when(rule, heard, event(), (UPDATED,), NOON)
    assert wait is not None
    assert (wait.until, wait.held) == (NOON + 3540.0, False)
    assert when(rule, heard, event(status=Status.UNCONFIRMED, reason="placebo"), (UPDATED,), NOON) is None
    assert when(rule, heard, ended(), (CLOSED,), NOON) is None


def test_what_is_told_follows_from_what_was_told() -> None:
    rule = Rule(name="p")
    nothing, opened, closed = (Heard(since=NOON, told=told) for told in (None, OPENED, CLOSED))
    assert to_tell(rule, nothing, event(), event()) == (OPENED,)
    assert to_tell(rule, nothing, event(), None) == ()
    assert to_tell(rule, nothing, event(status=Status.UNCONFIRMED), event()) == ()
    assert to_tell(rule, nothing, ended(), event()) == (OPENED, CLOSED)
    assert to_tell(rule, nothing, ended(), ended()) == (CLOSED,)
    assert to_tell(rule, opened, event(), None) == (UPDATED,)
    assert to_tell(rule, opened, event(status=Status.WITHDRAWN, reason="merged"), None) == (CLOSED,)
    assert to_tell(rule, closed, event(), event()) == (OPENED,)


def test_a_place_is_a_kind_with_a_target_and_a_network_in_common() -> None:
    assert is_same_place(event("a", targets=("x", "y")), event("b", targets=("y",)))
    assert not is_same_place(event("a", targets=("x",)), event("b", targets=("y",)))
    assert not is_same_place(event("a", targets=("x",), asns=(1,)), event("b", targets=("x",), asns=(2,)))
    assert not is_same_place(event("a", targets=("x",)), event("b", targets=("x",), kind=Kind.THROTTLING))
    assert is_same_place(*(event(name, kind=Kind.OUTAGE, targets=()) for name in ("a", "b")))


def test_messages_are_cut_where_they_grow_too_long() -> None:
    items = [Item(event=event(f"e{n:03}"), changes=(OPENED, CLOSED), since=NOON + n) for n in range(120)]
    groups = together(items)
    assert [len(group) for group in groups] == [50, 50, 20]
    assert [item.event.id for group in groups for item in group] == [f"e{n:03}" for n in range(120)]


@given(failures=st.integers(1, 200), chance=st.floats(0.0, 1.0))
def test_a_pause_grows_to_some_hours_and_no_further(failures: int, chance: float) -> None:
    patience = Patience()
    pause = patience.backoff(failures, chance)
    assert patience.first / 2 <= pause <= patience.most * 1.5
    assert patience.backoff(failures + 1, chance) >= pause
    assert patience.scaled(0.01).backoff(failures, chance) == pytest.approx(pause / 100)


def test_a_hook_is_down_when_different_messages_fail_and_one_success_ends_it() -> None:
    health = Health(Patience(), lambda: 0.5)
    for _ in range(10):
        health.fails("poison", 0.0, asked=None)
    assert not health.is_down
    assert (health.hold, health.news) == (0.0, 0.0)
    for number in range(DOWN):
        health.fails(f"m{number}", 100.0, asked=None)
    assert health.is_down
    assert 100.0 < health.news <= health.hold
    assert health.news <= 400.0
    health.soon()
    assert (health.hold, health.news) == (0.0, 0.0)
    assert health.works()
    assert not health.works()


@pytest.mark.parametrize(("asked", "granted"), [(60.0, 60.0), (-5.0, 0.0), (1e9, 6 * 3600.0)])
def test_a_wish_to_wait_holds_the_whole_hook(asked: float, granted: float) -> None:
    health = Health(Patience(), lambda: 0.5)
    health.fails("m", 100.0, asked=asked)
    assert health.hold == health.news == 100.0 + granted
