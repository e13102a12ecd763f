"""Votes of a store become its events: once each, across restarts, kills, and other programs on the same store."""

from __future__ import annotations

import math
import random
import signal
import time
from collections.abc import Callable, Iterable

import pytest
from msgspec.structs import replace

from measurements.alerts.notice import Change, Notice
from measurements.alerts.routing import Rule
from measurements.events.detector import detect
from measurements.events.nouns import Event, Settings, Status
from measurements.model import Measurement, Verdict, Vote
from measurements.standing import AHEAD, SILENT, Standing, recall
from measurements.store import Store, open_store, tables
from tests.measurements.alerts.happenings import changes, sendable
from tests.measurements.store.child import forked
from tests.measurements.store.samples import ACCESSIBLE, BLOCKED, START, measurement

HOUR = 3600.0
SETTINGS = Settings(volume_per_week=2000.0, fixed_volume=True)


def hourly(
    hours: Iterable[int], blocked: Callable[[int], bool] = lambda hour: 48 <= hour < 60, probe_id: str = "p1"
) -> list[tuple[Measurement, Verdict]]:
    """A measurement every hour, with its verdict."""
    return [
        (
            measurement(hour + 1, id=f"{hour:030x}{probe_id[-1]}0", started=START + hour * HOUR, probe_id=probe_id),
            BLOCKED if blocked(hour) else ACCESSIBLE,
        )
        for hour in hours
    ]


def later() -> float:
    """Tell a time at which whoever counted before has been silent for long."""
    return time.time() + 2 * SILENT


def keep(store: Store, made: list[tuple[Measurement, Verdict]]) -> None:
    for fact, verdict in made:
        store.add(fact, verdict)
    store.flush(30)


def all_votes(store: Store) -> list[Vote]:
    return store.ledger.votes(["example.org"], since=0.0, until=2 * START, limit=100_000)


def test_a_block_opens_is_confirmed_and_ends_once(store: Store) -> None:
    standing = Standing(store.ledger, SETTINGS)
    told: list[Event] = []
    for one in hourly(range(84)):
        keep(store, [one])
        told += standing.catch_up()
    assert [event.status for event in told] == [Status.UNCONFIRMED, Status.CONFIRMED, Status.CLOSED]
    assert (told[0].opened - START) / HOUR == 48.0
    (event,) = store.ledger.events()
    assert event == told[-1]
    assert list(store.ledger.events()) == detect(all_votes(store), SETTINGS)
    assert [kept.status for _, kept in store.ledger.versions(event.id)] == [event.status for event in told]
    assert store.measurement(event.witnesses[0]).verdict == BLOCKED
    assert standing.trouble == ""
    assert store.ledger.position().waiting == 0


def test_all_that_waits_is_counted_at_once_or_so_much_as_is_asked_for(store: Store) -> None:
    keep(store, hourly(range(300)))
    waiting = store.ledger.position().waiting
    assert waiting == 600
    standing = Standing(store.ledger, SETTINGS)
    standing.catch_up(70)
    assert store.ledger.position().waiting == waiting - 70
    standing.catch_up()
    assert store.ledger.position().waiting == 0
    assert standing.catch_up() == []


def test_a_restart_goes_on_where_it_stopped(url: str) -> None:
    for since in range(0, 84, 7):
        with open_store(url) as store:
            keep(store, hourly(range(since, since + 7)))
            Standing(store.ledger, SETTINGS, now=later).catch_up(5)  # and is killed before it has counted all
    with open_store(url) as store:
        before = store.ledger.position().number
        with store.ledger.turn() as turn:
            assert turn.votes(1)[0][0] > before > 0  # what was counted is not looked at again
        Standing(store.ledger, SETTINGS, now=later).catch_up()
        assert list(store.ledger.events()) == detect(all_votes(store), SETTINGS)
        assert [event.status for event in store.ledger.events()] == [Status.CLOSED]


def test_votes_that_come_late_change_what_was_said(store: Store) -> None:
    standing = Standing(store.ledger, SETTINGS)
    keep(store, hourly(range(60)))
    standing.catch_up()
    (before,) = store.ledger.events()
    keep(store, hourly(range(40, 56), probe_id="p2"))
    standing.catch_up()
    (after,) = store.ledger.events(only_open=True)
    assert (before.probe_count, after.probe_count) == (1, 2)
    assert before.confirmed is not None
    assert after.confirmed is not None
    assert after.confirmed < before.confirmed  # a second line had seen it as well
    still = [event for event in detect(all_votes(store), SETTINGS) if event.is_open]
    assert [after] == still


def of_long_ago(hours: int = 120) -> list[tuple[Measurement, Verdict]]:
    """What an import brings: the same site blocked in the same network, a year before, seen by somebody else."""
    return [
        (
            measurement(hour + 1, id=f"{hour:030x}ff", started=START - 365 * 86_400 + hour * HOUR, probe_id="theirs"),
            BLOCKED if 48 <= hour < 60 or hours - 40 < hour < hours - 20 else ACCESSIBLE,
        )
        for hour in range(hours)
    ]


def test_what_is_imported_from_long_ago_changes_nothing_that_is_counted_now(store: Store) -> None:
    standing = Standing(store.ledger, Settings())
    told: list[Event] = []
    for hour in range(84):
        keep(store, hourly([hour]))
        told += standing.catch_up()
        if hour == 50:  # the block has begun and is not confirmed yet
            keep(store, of_long_ago())
            waiting = store.ledger.position().waiting
            assert waiting == 2 * len(of_long_ago())
            assert standing.catch_up() == []
            memory = recall(store.ledger.position().header)
            assert memory is not None
            assert memory.refused == waiting
    votes = [vote for vote in all_votes(store) if vote.probe == "p1"]
    assert list(store.ledger.events()) == detect(votes, Settings()) == told[-1:]


def test_what_is_imported_before_anything_was_measured_says_of_what_time_it_is(store: Store) -> None:
    """So whoever rings for news can leave out what is long past, and what is measured later is found as ever."""
    keep(store, of_long_ago())
    standing = Standing(store.ledger, Settings())
    old = {event.id: event for event in standing.catch_up()}
    assert len(old) == 2
    assert max(event.updated for event in old.values()) < START - 300 * 86_400
    told: list[Event] = []
    for hour in range(84):
        keep(store, hourly([hour]))
        told += standing.catch_up()
    mine = [event for event in told if event.id not in old]
    assert [event.status for event in mine] == [Status.UNCONFIRMED, Status.CONFIRMED, Status.CLOSED]
    assert (mine[0].opened - START) / HOUR == 48.0


def test_what_is_imported_rings_for_nothing_that_is_long_past(url: str) -> None:
    clock, phone = START, Rule(name="phone")
    with open_store(url, now=lambda: clock) as store:
        store.ledger.route([phone], lambda: None)
        standing = Standing(store.ledger, Settings(), now=lambda: clock)
        keep(store, of_long_ago())
        assert len({event.id for event in standing.catch_up()}) == 2
        assert sendable(store, phone, clock) == []
        told: list[Notice] = []
        for hour in range(84):
            clock = START + hour * HOUR + 60.0
            keep(store, hourly([hour]))
            standing.catch_up()
            told += sendable(store, phone, clock)
    assert [[change for change, _ in message] for message in changes(told)] == [[Change.OPENED], [Change.CLOSED]]
    assert told[0].news[0].event.opened == START + 48 * HOUR


def test_what_began_and_ended_in_votes_that_waited_is_not_told_as_going_on(url: str) -> None:
    clock, phone = START + 84 * HOUR, Rule(name="phone")
    with open_store(url, now=lambda: clock) as store:
        store.ledger.route([phone], lambda: None)
        standing = Standing(store.ledger, SETTINGS, now=lambda: clock)
        keep(store, hourly(range(84)))
        assert standing.catch_up(112)[-1].status is Status.CONFIRMED  # as of 28 hours ago
        assert sendable(store, phone, clock) == []
        assert standing.catch_up()[-1].status is Status.CLOSED
        assert [[change for change, _ in told] for told in changes(sendable(store, phone, clock))] == [
            [Change.OPENED, Change.CLOSED]
        ]


def test_what_is_in_the_store_counts_and_not_what_is_in_memory(store: Store) -> None:
    """If somebody else had a turn, an old memory would count from the wrong place."""
    first, second = Standing(store.ledger, SETTINGS, now=later), Standing(store.ledger, SETTINGS, now=later)
    for index, one in enumerate(hourly(range(84))):
        keep(store, [one])
        standing = (first, second)[index % 2]
        standing.catch_up()
    assert list(store.ledger.events()) == detect(all_votes(store), SETTINGS)


@pytest.mark.postgres
def test_of_two_programs_one_counts_until_it_falls_silent(postgres_url: str) -> None:
    with open_store(postgres_url) as one, open_store(postgres_url) as other:
        now = time.time()
        first = Standing(one.ledger, SETTINGS, now=lambda: now)
        second = Standing(other.ledger, SETTINGS, now=lambda: now)
        keep(one, hourly(range(50)))
        assert len(first.catch_up()) == 1
        keep(other, hourly(range(50, 84)))
        assert second.catch_up() == []
        assert other.ledger.position().waiting > 0
        second_later = Standing(other.ledger, SETTINGS, now=lambda: now + 61.0)
        assert second_later.catch_up()
        assert first.catch_up() == []
        assert list(one.ledger.events()) == detect(all_votes(one), SETTINGS)


def test_other_settings_hold_from_the_next_turn_on(store: Store) -> None:
    standing = Standing(store.ledger, SETTINGS)
    keep(store, hourly(range(50)))
    standing.catch_up()
    before = recall(store.ledger.position().header)
    standing.use(replace(SETTINGS, false_alarms_per_week=0.01))
    keep(store, hourly(range(50, 56)))
    standing.catch_up()
    after = recall(store.ledger.position().header)
    assert before is not None
    assert after is not None
    assert (before.false_alarms_per_week, after.false_alarms_per_week) == (1.0, 0.01)
    assert after.threshold == pytest.approx(before.threshold + math.log(100))
    assert list(store.ledger.events()) == detect(all_votes(store), replace(SETTINGS, false_alarms_per_week=0.01))


def test_a_memory_that_cannot_be_read_is_made_anew(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    keep(store, hourly(range(54)))
    Standing(store.ledger, SETTINGS).catch_up()
    before = list(store.ledger.events())
    assert len(before) == 1
    with store.ledger.turn() as turn:
        turn.save(turn.number, b"from another version", {}, ())
    keep(store, hourly(range(54, 55)))
    assert Standing(store.ledger, SETTINGS, now=later).catch_up() == []
    assert "another version" in caplog.text
    with store.ledger.turn() as turn:
        memory = recall(turn.header)
        assert memory is not None
        assert memory.newest == START + 54 * HOUR
        turn.save(turn.number, turn.header, {"no cell": b"no state"}, ())
    keep(store, hourly(range(55, 56)))
    assert Standing(store.ledger, SETTINGS, now=later).catch_up() == []
    assert "counted anew" in caplog.text
    keep(store, hourly(range(56, 84)))
    Standing(store.ledger, SETTINGS, now=later).catch_up()
    after = list(store.ledger.events())
    assert [event.id for event in after] == [event.id for event in before]
    assert after == detect(all_votes(store), SETTINGS)


def test_damage_that_is_no_format_error_is_counted_anew_as_well(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    """If the bytes of a text are no text, and an event that has news cannot be read."""
    keep(store, hourly(range(50)))
    Standing(store.ledger, SETTINGS).catch_up()
    with store.ledger.turn() as turn:
        cells = {name: state.replace(b"example.org", b"\xffxample.org") for name, state in turn.cells().items()}
        assert cells != turn.cells()
        turn.save(turn.number, turn.header, cells, ())
    with store._engine.begin() as connection:
        connection.execute(tables.event.update().values(encoded=b"damaged"))
    keep(store, hourly(range(50, 54)))
    standing = Standing(store.ledger, SETTINGS, now=later)
    assert len(standing.catch_up()) == 1
    assert standing.trouble == ""
    assert "counted anew" in caplog.text
    assert list(store.ledger.events()) == detect(all_votes(store), SETTINGS)


def test_a_failure_is_said_keeps_nobody_from_storing_and_passes(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    keep(store, hourly(range(10)))
    standing = Standing(store.ledger, SETTINGS)
    standing.catch_up()
    with store._engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE detector_cell RENAME TO elsewhere")
    keep(store, hourly(range(10, 54)))
    assert standing.catch_up() == []
    assert standing.catch_up() == []
    assert "votes wait to be counted" in standing.trouble
    assert caplog.text.count("votes wait to be counted") == 1  # said once, not every few seconds
    assert store.count() == 54
    with store._engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE elsewhere RENAME TO detector_cell")
    assert len(standing.catch_up()) == 1
    assert standing.trouble == ""
    assert list(store.ledger.events()) == detect(all_votes(store), SETTINGS)


def test_a_vote_of_a_time_that_has_not_come_is_not_counted(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    """Counted, it would make every later vote come too late."""
    now = START + 84 * HOUR
    standing = Standing(store.ledger, SETTINGS, now=lambda: now)
    keep(store, hourly(range(10)))
    wrong = measurement(99, id=f"{99:032x}", started=now + AHEAD + 1.0, probe_id="p9")
    keep(store, [(wrong, BLOCKED)])
    standing.catch_up()
    assert "a time that has not come" in caplog.text
    keep(store, hourly(range(10, 84)))
    standing.catch_up()
    (event,) = store.ledger.events()
    assert (event.status, event.probes) == (Status.CLOSED, ("p1",))
    memory = recall(store.ledger.position().header)
    assert memory is not None
    assert (memory.refused, memory.newest) == (0, START + 83 * HOUR)
    assert list(store.ledger.events()) == detect([v for v in all_votes(store) if v.probe == "p1"], SETTINGS)


def test_a_mistake_of_ours_is_said_and_not_raised(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    keep(store, hourly(range(3)))
    with store._engine.begin() as connection:
        connection.exec_driver_sql("UPDATE vote SET strength = 'doubtful'")
    standing = Standing(store.ledger, SETTINGS)
    assert standing.catch_up() == []
    assert "mistake of this program" in standing.trouble
    assert "doubtful" in caplog.text


@pytest.mark.timeout(300)
def test_kill_9_loses_no_vote_and_counts_none_twice(url: str) -> None:
    chance = random.Random(23)
    for _ in range(4):
        with forked("count", url) as (child, printed):
            assert [printed.readline() for _ in range(12)][-1]  # or no event would open, where a machine is busy
            time.sleep(chance.uniform(0.0, 0.3))
            child.kill()
            child.join()
        assert child.exitcode == -signal.SIGKILL
    with open_store(url) as store:
        Standing(store.ledger, SETTINGS, now=later).catch_up()
        votes = all_votes(store)
        assert len(votes) > 40
        events = sorted(store.ledger.events(), key=lambda event: (event.opened, event.id))
        assert events
        assert events == detect(votes, SETTINGS)
        with store.ledger.turn() as turn:
            assert turn.votes(10) == []
            assert 4 < turn.turn < len(votes)
