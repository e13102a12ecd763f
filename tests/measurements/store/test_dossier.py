"""A dossier holds what a store knows about an event, within bounds, and counts what it leaves out."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace
from sqlalchemy import update

from measurements import dossier
from measurements.dossier import gather, thin
from measurements.events.nouns import Event, Kind, Settings
from measurements.model import Gap, Measurement, Outcome, Vantage, Verdict, Vote
from measurements.standing import Standing, keep_outages
from measurements.store import NotFound, Store, open_store, tables
from tests.measurements.store.samples import ACCESSIBLE, BLOCKED, START, measurement

HOUR = 3600.0
SETTINGS = Settings(volume_per_week=2000.0, fixed_volume=True)
INVALID = Verdict(outcome=Outcome.INVALID, reason="captive", summary="A portal.", rules_version=1)


def fact(hour: float, *, probe: str = "p1", asn: int = 24757, **fields: object) -> Measurement:
    made = measurement(int(hour) + 1, started=START + hour * HOUR, probe_id=probe, **fields)  # type: ignore[arg-type]
    return replace(made, vantage=Vantage(probe_id=probe, country="ET", asn=asn))


def two_days(store: Store) -> Event:
    """Keep a block of twelve hours as two lines saw it, an open third network, a placebo, a portal, and a gap."""
    for hour in range(60):
        blocked = 24 <= hour < 36
        for probe in ("p1", "p2"):
            store.add(fact(hour, probe=probe), BLOCKED if blocked else ACCESSIBLE)
        store.add(fact(hour + 0.1, probe="p3", asn=36907), ACCESSIBLE)
        store.add(replace(fact(hour + 0.2, host="example.com"), placebo=True), ACCESSIBLE)
    store.add(fact(30.5), INVALID)
    store.add_gap(Gap(probe_id="p1", since=START + 31 * HOUR, until=START + 31.5 * HOUR, why="asleep"))
    store.add_gap(Gap(probe_id="p1", since=START + 900 * HOUR, until=START + 901 * HOUR, why="off"))
    store.flush(30)
    Standing(store.ledger, SETTINGS).catch_up()
    (event,) = store.ledger.events()
    return event


def test_it_holds_both_sides_whole_and_when_nobody_looked(store: Store) -> None:
    event = two_days(store)
    found = gather(store, event.id[:6])
    assert found.event == event
    assert [version for _, version in found.versions] == [version for _, version in store.ledger.versions(event.id)]
    assert len(found.witnesses) == 24 > len(event.witnesses)
    assert {kept.measurement.vantage.probe_id for kept in found.witnesses} == {"p1", "p2"}
    assert all(kept.verdict == BLOCKED for kept in found.witnesses)
    assert all(kept.measurement.observations[2].body for kept in found.witnesses)  # type: ignore[union-attr]
    times = [(kept.measurement.started - START) / HOUR for kept in found.accesses]
    assert times == sorted(times)
    assert {23.0, 36.0} <= set(times)  # the last one before, and the first one after
    assert any(kept.measurement.vantage.asn == 36907 for kept in found.accesses)  # another network meanwhile
    assert {vote.target for vote in found.placebos} == {"example.com"}
    assert [(gap.probe_id, gap.why) for gap in found.gaps] == [("p1", "asleep")]
    told = {(tally.asn, tally.outcome, tally.reason): tally.count for tally in found.outcomes}
    assert told[24757, Outcome.BLOCKED, ""] == 24
    assert told[24757, Outcome.INVALID, "captive"] == 1
    assert told[36907, Outcome.ACCESSIBLE, ""] >= 12
    assert all(vote.layer in ("dns", "blind") for vote in found.votes)
    assert {vote.asn for vote in found.votes} == {24757, 36907}
    assert found.left_out.witnesses == found.left_out.votes == 0


def test_an_open_event_is_looked_at_until_its_last_vote(store: Store) -> None:
    """Once it is sure, an event has no news for days, and goes on all the same."""
    for hour in range(120):
        store.add(fact(hour), BLOCKED if hour >= 24 else ACCESSIBLE)
    store.flush(30)
    Standing(store.ledger, SETTINGS).catch_up()
    (event,) = store.ledger.events(only_open=True)
    found = gather(store, event.id)
    assert event.updated < START + 100 * HOUR
    assert found.seen == START + 119 * HOUR == found.votes[-1].time
    assert found.witnesses[-1].measurement.started == found.seen
    assert len(found.witnesses) + found.left_out.witnesses == 96


def test_what_is_left_out_is_counted(store: Store) -> None:
    event = two_days(store)
    whole, part = gather(store, event.id), gather(store, event.id, most_witnesses=20, most_accesses=3)
    assert (len(part.witnesses), part.left_out.witnesses) == (20, 4)
    assert len(part.accesses) == 3
    assert part.left_out.accesses == whole.left_out.accesses + len(whole.accesses) - 3
    named = [kept.measurement.id for kept in part.witnesses]
    assert set(event.witnesses) <= set(named)
    few = gather(store, event.id, most_witnesses=2)
    assert (len(few.witnesses), few.left_out.witnesses) == (2, 22)


def test_a_witness_that_is_gone_or_damaged_is_named(store: Store) -> None:
    event = two_days(store)
    gone = "f" * 32
    with store.ledger.turn() as turn:
        turn.save(turn.number, turn.header, {}, [replace(event, witnesses=(gone, *event.witnesses))])
    spoiled = bytes.fromhex(event.witnesses[0])
    with store._engine.begin() as connection:
        table = tables.measurement
        connection.execute(update(table).where(table.c.id == spoiled).values(encoded=b"damaged"))
    found = gather(store, event.id)
    assert found.lost == (gone,)
    assert found.damaged == (spoiled.hex(),)
    assert len(found.witnesses) == 23
    assert found.left_out.witnesses == 0


def test_an_outage_has_its_gaps_and_no_votes(tmp_path: Path) -> None:
    with open_store(f"sqlite:///{tmp_path}/wazi.db") as store:
        gap = Gap(
            probe_id="p1",
            since=START,
            until=START + HOUR,
            why="outage",
            worked=START - 60.0,
            failed=START + 3000.0,
            restored=True,
        )
        store.add_gap(gap)
        store.flush(30)
        (event,) = keep_outages(store.ledger, [gap], country="ET", asn=24757)
        found = gather(store, event.id)
        assert found.gaps == (gap,)
        assert (found.votes, found.witnesses, found.placebos) == ((), (), ())
        with pytest.raises(NotFound, match="no event begins with"):
            gather(store, "0" if not event.id.startswith("0") else "1")


def test_thinning_keeps_both_ends_and_spreads() -> None:
    assert thin(range(10), 10) == list(range(10))
    assert thin(range(10), 4) == [0, 3, 6, 9]
    assert thin(range(10), 1) == [0]
    assert thin(range(10), 0) == []


def test_many_votes_are_thinned_and_many_targets_left_out() -> None:
    """The bounds themselves, by a reader that is told smaller ones."""
    event = Event(id="e", kind=Kind.BLOCKING, onset=(0.0, 1.0), updated=100.0)
    reader = dossier._Votes(event, 5)
    votes = [Vote(time=float(i), probe="p", target="t", layer="tls", blocked=True) for i in range(20)]
    reader.read("t", votes)
    assert len(reader.kept) == 5
    assert reader.thinned == 15
