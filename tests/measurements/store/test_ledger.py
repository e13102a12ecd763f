"""Votes in order of arrival, events that are amended and never deleted, and turns that are all or nothing."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest
from alembic import command
from msgspec.structs import replace
from sqlalchemy import Connection, Engine, create_engine, make_url

from measurements.events.nouns import Event, Kind, Status
from measurements.evidence.chain import follows, genesis
from measurements.model import Mechanism, Outcome, Strength, Verdict, Vote, Where
from measurements.store import NotFound, Store, StoreError, open_store, tables, upgrade
from measurements.store.migrations import configuration
from measurements.store.packing import Rows, pack
from tests.measurements.store.samples import ACCESSIBLE, BLOCKED, START, measurement

EVENT = Event(
    id="e1f0a2",
    kind=Kind.BLOCKING,
    countries=("ET",),
    asns=(24757,),
    targets=("example.org",),
    layers=("tls",),
    onset=(START, START + 600.0),
    opened=START + 600.0,
    updated=START + 600.0,
)


def arrived(store: Store, limit: int = 1000) -> list[tuple[int, Vote]]:
    with store.ledger.turn() as turn:
        return turn.votes(limit)


def said(store: Store) -> list[tuple[str, bool, Strength]]:
    return [(vote.layer, vote.blocked, vote.strength) for _, vote in arrived(store)]


def save(store: Store, *events: Event, number: int = 0) -> list[Event]:
    with store.ledger.turn() as turn:
        return turn.save(number, b"header", {}, events)


def test_the_first_verdict_casts_the_votes(store: Store) -> None:
    fact = measurement(7, probe_id="p7")
    store.add(fact, BLOCKED).result(10)
    votes = [vote for _, vote in arrived(store)]
    against = next(vote for vote in votes if vote.blocked)
    assert against == Vote(
        time=fact.started,
        probe="p7",
        country="ET",
        asn=24757,
        target="example.org",
        layer="dns",
        blocked=True,
        strength=Strength.PROVEN,
        witness=fact.id,
        mechanism="dns.bogon",
    )
    assert {vote.layer for vote in votes} == {"dns", "blind"}


def test_votes_follow_the_verdict_that_was_first_and_are_cast_once(store: Store) -> None:
    fact = measurement(1)
    store.add(fact).result(10)
    assert arrived(store) == []
    store.add(fact, BLOCKED).result(10)
    cast = said(store)
    assert ("dns", True, Strength.PROVEN) in cast
    store.add(fact, BLOCKED).result(10)
    later = replace(ACCESSIBLE, rules_version=2)
    store.add(fact, later).result(10)
    store.add_verdict(fact.id, replace(ACCESSIBLE, rules_version=3)).result(10)
    assert said(store) == cast
    assert [opinion.verdict.outcome for opinion in store.verdicts(fact.id)] == [
        Outcome.BLOCKED,
        Outcome.ACCESSIBLE,
        Outcome.ACCESSIBLE,
    ]


def test_another_fact_under_a_known_id_casts_no_vote(store: Store) -> None:
    fact = measurement(1)
    store.add(fact).result(10)
    store.add(measurement(2, id=fact.id, host="other.example"), BLOCKED).result(10)
    assert arrived(store) == []


def test_numbers_grow_in_the_order_of_arrival(store: Store) -> None:
    for sequence in (3, 1, 2):
        store.add(measurement(sequence), ACCESSIBLE).result(10)
    numbered = arrived(store)
    numbers = [number for number, _ in numbered]
    assert numbers == sorted(set(numbers))
    times = list(dict.fromkeys(vote.time for _, vote in numbered))
    assert times == [START + 3, START + 1, START + 2]
    assert arrived(store, limit=2) == numbered[:2]


def test_whoever_follows_the_numbers_misses_no_vote_while_many_write(url: str) -> None:
    """If one writer's votes became visible after another's that have higher numbers, some would be missed."""
    each, writers = 120, 3
    stores = [open_store(url)]
    stores += [open_store(url) if url.startswith("postgres") else stores[0] for _ in range(writers - 1)]

    def write(store: Store, name: str) -> None:
        for sequence in range(each):
            store.add(measurement(sequence, probe_id=name), ACCESSIBLE).result(30)

    threads = [threading.Thread(target=write, args=(store, f"p{n}")) for n, store in enumerate(stores)]
    for thread in threads:
        thread.start()
    seen: list[Vote] = []
    running = True
    while running:
        running = any(thread.is_alive() for thread in threads)
        with stores[0].ledger.turn() as turn:
            new = turn.votes(50 if running else 100_000)
            if new:
                turn.save(new[-1][0], b"", {}, ())
        seen += [vote for _, vote in new]
        time.sleep(0.001)
    for store in set(stores):
        store.close()
    witnesses = {vote.witness for vote in seen}
    assert len(witnesses) == each * writers
    assert len(seen) == len({(vote.witness, vote.layer) for vote in seen})


def test_a_turn_is_all_or_nothing(store: Store) -> None:
    store.add(measurement(1), BLOCKED).result(10)

    def fail() -> None:
        with store.ledger.turn() as turn:
            turn.save(turn.votes(10)[-1][0], b"half", {"cell": b"half"}, [EVENT])
            raise RuntimeError("killed here")

    with pytest.raises(RuntimeError, match="killed"):
        fail()
    assert list(store.ledger.events()) == []
    with store.ledger.turn() as turn:
        assert (turn.turn, turn.number, turn.header, turn.cells()) == (0, 0, b"", {})


def test_what_a_turn_saves_the_next_one_finds(store: Store) -> None:
    store.add(measurement(1), BLOCKED).result(10)
    with store.ledger.turn() as turn:
        last = turn.votes(10)[-1][0]
        assert turn.save(last, b"one", {"a|tls": b"A" * 5000, "b|dns": b"B"}, [EVENT]) == [EVENT]
    with store.ledger.turn() as turn:
        assert (turn.turn, turn.number, turn.header, turn.votes(10)) == (1, last, b"one", [])
        assert turn.cells() == {"a|tls": b"A" * 5000, "b|dns": b"B"}
        turn.save(last, b"two", {"b|dns": b"C"}, ())
    assert store.ledger.position().header == b"two"
    with store.ledger.turn() as turn:
        assert turn.cells() == {"a|tls": b"A" * 5000, "b|dns": b"C"}
        turn.begin_anew()
        assert (turn.number, turn.header, turn.cells(), len(turn.votes(10))) == (0, b"", {}, 2)
    with store.ledger.turn("another") as turn:
        assert (turn.turn, turn.cells(), len(turn.votes(10))) == (0, {}, 2)


def test_turns_wait_for_one_another(url: str) -> None:
    with open_store(url) as first:
        second = open_store(url) if url.startswith("postgres") else first
        order: list[str] = []

        def wait_for_it() -> None:
            with second.ledger.turn() as turn:
                order.append(f"second sees turn {turn.turn}")

        with first.ledger.turn() as turn:
            other = threading.Thread(target=wait_for_it)
            other.start()
            time.sleep(0.3)
            order.append("first")
            turn.save(0, b"", {}, ())
        other.join(10)
        assert order == ["first", "second sees turn 1"]
        second.close()


def test_an_event_is_amended_in_place_and_keeps_a_version_of_each_news(store: Store) -> None:
    assert save(store, EVENT) == [EVENT]
    more = replace(EVENT, votes=9, blocked=9, log_evidence=12.5, updated=START + 900.0)
    assert save(store, more) == []  # one more vote that agrees is no news
    confirmed = replace(more, status=Status.CONFIRMED, confirmed=START + 7200.0, updated=START + 7200.0)
    assert save(store, confirmed) == [confirmed]
    closed = replace(confirmed, status=Status.CLOSED, reason="ended", end=(START + 8000.0, START + 8600.0))
    assert save(store, closed) == [closed]
    assert list(store.ledger.events()) == [closed]
    kept = [event for _, event in store.ledger.versions(EVENT.id)]
    assert kept == [EVENT, confirmed, closed]
    assert store.ledger.event("e1f") == closed


def test_what_was_never_told_is_not_withdrawn(store: Store) -> None:
    gone = replace(EVENT, status=Status.WITHDRAWN, reason="merged", into="other")
    assert save(store, gone) == []
    assert list(store.ledger.events()) == []
    save(store, EVENT)
    assert save(store, gone) == [gone]
    assert list(store.ledger.events()) == [gone]


def test_events_are_listed_newest_first_and_found_by_how_they_begin(store: Store) -> None:
    old = replace(EVENT, id="aa01", opened=START, updated=START, status=Status.CLOSED)
    withdrawn = replace(EVENT, id="aa02", opened=START + 50.0, updated=START + 90.0, status=Status.WITHDRAWN)
    new = replace(EVENT, id="bb01", opened=START + 100.0, status=Status.CONFIRMED)
    save(store, old, replace(withdrawn, status=Status.CONFIRMED), new)
    save(store, withdrawn)
    ledger = store.ledger
    assert list(ledger.events()) == [new, withdrawn, old]
    assert list(ledger.events(only_open=True)) == [new]
    assert list(ledger.events(since=START + 60.0)) == [new, withdrawn]
    assert ledger.event(" BB") == new
    for wrong, words in (("aa", "more than one event.*aa01, aa02"), ("cc", "no event begins with cc"), (" ", "needs")):
        with pytest.raises(NotFound, match=words):
            ledger.event(wrong)


def test_more_events_than_a_page_are_all_listed(store: Store) -> None:
    many = [replace(EVENT, id=f"{n:04x}", opened=START + n // 3) for n in range(450)]  # some at once, where a page ends
    save(store, *many)
    assert list(store.ledger.events()) == many[::-1]


def test_how_far_it_came_is_told(store: Store) -> None:
    before = store.ledger.position()
    assert (before.updated, before.number, before.waiting, before.since) == (None, 0, 0, None)
    store.add(measurement(1), BLOCKED).result(10)
    store.add(measurement(2), BLOCKED).result(10)
    waiting = store.ledger.position()
    assert (waiting.waiting, waiting.since) == (4, START + 1)
    save(store, number=arrived(store)[1][0])
    after = store.ledger.position()
    assert (after.waiting, after.since) == (2, START + 2)
    assert after.updated == pytest.approx(time.time(), abs=60)


def test_the_votes_of_a_stretch_of_time_can_be_read(store: Store) -> None:
    for sequence in range(5):
        store.add(measurement(sequence, host=f"h{sequence % 2}.example"), BLOCKED).result(10)
    found = store.ledger.votes(["h0.example"], since=START, until=START + 4, limit=100)
    assert [vote.time - START for vote in found] == [0, 0, 2, 2]
    assert {vote.target for vote in found} == {"h0.example"}
    assert len(store.ledger.votes(["h0.example", "h1.example"], since=0, until=START * 2, limit=3)) == 3


def test_a_reader_may_look_but_takes_no_turn(url: str) -> None:
    with open_store(url) as store:
        save(store, EVENT)
    with open_store(url, read_only=True) as store:
        assert list(store.ledger.events()) == [EVENT]
        assert store.ledger.position().header == b"header"
        with pytest.raises(StoreError, match="reading only"), store.ledger.turn():
            pass


def test_an_event_that_cannot_be_read_is_named_and_hides_no_other(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    other = replace(EVENT, id="bb01", opened=EVENT.opened - 1.0)
    save(store, EVENT, other)
    with store._engine.begin() as connection:
        connection.execute(tables.event.update().where(tables.event.c.id == EVENT.id).values(encoded=b"{}"))
    assert list(store.ledger.events()) == [other]
    assert f"event {EVENT.id} cannot be read" in caplog.text
    with pytest.raises(StoreError, match=f"event {EVENT.id} cannot be read"):
        store.ledger.event(EVENT.id)


def old_engine(url: str) -> Engine:
    """Connect to a store that does not exist yet, past all that would upgrade it."""
    if url.startswith("postgres"):
        return create_engine(make_url(url).set(drivername="postgresql+psycopg"))
    path = Path(make_url(url).database or "")
    path.parent.mkdir()
    return create_engine(url)


def fill(connection: Connection, rows: Rows) -> None:
    for table, some in rows.items():
        if some and table is not tables.vote:
            connection.execute(table.insert(), list(some))


def test_a_store_of_the_first_version_is_upgraded_with_all_that_it_holds(url: str) -> None:
    facts = [measurement(n, host=f"h{n}.example", probe_id=f"p{n}", body=b"%d" % n) for n in range(30)]
    engine = old_engine(url)
    with engine.begin() as connection:
        config = configuration()
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
        if connection.dialect.name == "sqlite":
            connection.exec_driver_sql(f"PRAGMA application_id = {tables.APPLICATION_ID}")
        for fact in facts:
            fill(connection, pack(fact, BLOCKED, 1.0))
    engine.dispose()
    with pytest.raises(StoreError, match="wazi store upgrade"):
        open_store(url, read_only=True)
    assert upgrade(url) == ("0001", tables.HEAD)
    with open_store(url) as store:
        assert sorted(kept.measurement.sequence for kept in store.evidence()) == list(range(30))
        assert store.outcomes() == {Outcome.BLOCKED: 30}
        assert [kept.measurement for kept in store.evidence()] == facts
        assert arrived(store) == []  # counting begins with the upgrade
        assert list(store.ledger.events()) == []
        again = Verdict(outcome=Outcome.BLOCKED, mechanism=Mechanism.TLS_RESET, where=Where.NETWORK, rules_version=2)
        store.add(measurement(31), again).result(10)
        store.add(facts[0], again).result(10)
        assert {vote.time for _, vote in arrived(store)} == {START + 31}
        assert store.chains.probes() == ["probe"]  # chains begin with the upgrade, too
        store.add(measurement(store.next_sequence("p5"), probe_id="p5")).result(10)
        [link] = store.chains.links("p5")
        assert (link.sequence, store.chains.unchained("p5")) == (6, 1)
        assert follows(genesis("p5", 5), link)
