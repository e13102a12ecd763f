"""What a store knows about an event goes into a bundle: both sides, what verdicts look back to, and what is lost."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from msgspec.structs import replace
from sqlalchemy import delete, update

from measurements.dossier import thin
from measurements.evidence import collect as collecting
from measurements.evidence.bundle import Item, Role
from measurements.evidence.chain import Keys, SignedCheckpoint
from measurements.evidence.collect import Collected, chains_of, collect, with_keys
from measurements.evidence.extras import gaps_file
from measurements.evidence.rejudge import Judge, judge_by
from measurements.fingerprints import Fingerprints
from measurements.model import Gap, Measurement, Verdict
from measurements.standing import keep_outages
from measurements.store import NotFound, Store, open_store, tables
from tests.measurements.evidence.chains import Pen
from tests.probe.witnessed import FRIEND, PROBE, START, days, fill
from tests.scripted import BOGONS

JUDGE: Judge = judge_by(BOGONS, Fingerprints())


def pen(seed: int) -> Pen:
    return Pen(random.Random(seed))


def rows(lone: bool = False) -> list[tuple[Measurement, Verdict]]:
    """The days of `witnessed`, of the probe alone or of both."""
    return [row for row in days() if not lone or row[0].vantage.probe_id == PROBE]


def of_role(found: Collected, role: Role) -> list[Item]:
    return [item for item in found.items if item.role is role]


def test_both_sides_are_collected_and_stand_in_their_chains(store: Store) -> None:
    event = fill(store, rows())
    for probe in (PROBE, FRIEND):
        store.chains.sign(probe, pen(1), START)
    found = collect(store, [event.id[:6], event.id], JUDGE)
    assert [one.event for one in found.told] == [event]
    assert len(found.told[0].versions) == len(store.ledger.versions(event.id))
    assert (len(of_role(found, Role.WITNESS)), len(of_role(found, Role.ACCESS))) == (24, 40)
    assert found.missing == []
    for probe in (PROBE, FRIEND):
        assert found.linked[probe] == {item.link for item in found.items if of(item) == probe}
    mine, friends = chains_of(store, found.linked)
    assert [chain.probe for chain in (mine, friends)] == [PROBE, FRIEND]
    assert [link.sequence for link in mine.links] == list(range(1, 61))
    assert [point.sequence for point in mine.checkpoints] == [60]
    assert mine.keys.keys == (pen(1).public,)


def of(item: Item) -> str:
    return item.measurement.vantage.probe_id


def test_what_a_verdict_looks_back_to_comes_along(store: Store) -> None:
    """Where a bundle has no room for all of a long block, a confirmed verdict needs an earlier one beside it."""
    event = fill(store, rows())
    whole = collect(store, [event.id], JUDGE)
    assert of_role(whole, Role.EARLIER) == []  # each has one beside it
    last = whole.items[23]
    assert last.opinions[-1].verdict.confidence == "confirmed"
    adding = collecting._Collecting(store, JUDGE, Collected())
    adding._add(store.measurement(last.measurement.id), Role.WITNESS)
    adding.add_earlier()
    adding.finish()
    (earlier,) = of_role(adding.found, Role.EARLIER)
    assert earlier.opinions[-1].verdict.confidence == "likely"  # which needs none before it
    assert earlier.measurement.started <= last.measurement.started - 900.0


def test_what_is_lost_or_damaged_is_named_with_its_place_in_the_chain(path: Path) -> None:
    with open_store(f"sqlite:///{path}") as store:
        lose(store)


def lose(store: Store) -> None:
    event = fill(store, rows(lone=True))
    gone, spoiled = event.witnesses[0], event.witnesses[1]
    with store._engine.begin() as connection:
        for table in (tables.verdict, tables.vote):
            connection.execute(delete(table).where(table.c.measurement_id == bytes.fromhex(gone)))
        connection.execute(delete(tables.measurement).where(tables.measurement.c.id == bytes.fromhex(gone)))
        connection.execute(
            update(tables.measurement)
            .where(tables.measurement.c.id == bytes.fromhex(spoiled))
            .values(encoded=b"damaged")
        )
    found = collect(store, [event.id], JUDGE)
    why = {one.id: one.why for one in found.missing}
    assert why[gone] == f"it is no longer kept; 25 in the chain of {PROBE} is its digest"
    assert why[spoiled] == f"it is damaged in the store; 26 in the chain of {PROBE} is its digest"
    assert {25, 26} <= found.linked[PROBE]
    assert gone not in {item.measurement.id for item in found.items}


def test_pages_that_are_no_longer_kept_are_named(store: Store) -> None:
    event = fill(store, rows(lone=True))
    with store._engine.begin() as connection:
        connection.execute(delete(tables.body))
    found = collect(store, [event.id], JUDGE)
    assert all(not item.bodies for item in found.items)
    assert {one.why for one in found.missing} == {"a page that is no longer kept; its digest is in the record"}


def test_an_event_that_is_not_there_is_told(store: Store) -> None:
    with pytest.raises(NotFound, match="no event begins with ab"):
        collect(store, ["ab"], JUDGE)


# Which links and checkpoints are shown; no store


@pytest.mark.parametrize(
    ("numbers", "points", "end", "shown"),
    [
        ([5], [], 9, [(1, 9)]),
        ([5], [3, 7], 9, [(4, 7)]),
        ([3], [3, 7], 9, [(1, 7)]),
        ([8], [3, 7], 9, [(8, 9)]),
        ([5, 100_000], [3, 7, 99_990, 100_010], 100_010, [(4, 7), (99_991, 100_010)]),
        ([5], [3, 7, 19_000, 30_000], 30_000, [(4, 19_000)]),
        ([], [3, 7], 9, []),
    ],
)
def test_stretches(numbers: list[int], points: list[int], end: int, shown: list[tuple[int, int]]) -> None:
    assert collecting._stretches(numbers, points, end) == shown


def test_of_many_checkpoints_those_are_shown_that_are_needed_and_some_more() -> None:
    bare = SignedCheckpoint(probe_id="p", sequence=0, chain="", time=0, key_id="", signature="")
    some = [replace(bare, sequence=n, time=n, stamp=b"s" * (n % 500 == 0)) for n in range(10, 20_000, 10)]
    shown = collecting._points(some, [5005, 5006, 9000], [(5001, 19_990)])
    numbers = [one.sequence for one in shown]
    assert {5000, 5010, 8990, 9000, 19_990} <= set(numbers)
    assert sum(bool(one.stamp) for one in shown) >= 20
    assert len(shown) <= 60
    assert numbers == sorted(numbers)
    assert len(thin(some, 30)) == 30


def test_keys_that_the_store_does_not_know_are_added() -> None:
    new = Keys(keys=(pen(2).public,))
    (only,) = with_keys([], PROBE, new)
    assert (only.probe, only.keys, only.links) == (PROBE, new, ())
    (again,) = with_keys([replace(only, keys=Keys(keys=(pen(3).public,)))], PROBE, new)
    assert again.keys.keys == (pen(2).public, pen(3).public)


def test_an_outage_has_no_records_and_its_gaps_are_there(path: Path) -> None:
    gap = Gap(
        probe_id=PROBE,
        since=START,
        until=START + 3600.0,
        why="outage",
        worked=START - 60.0,
        failed=START + 3000.0,
        restored=True,
    )
    with open_store(f"sqlite:///{path}") as store:
        store.add_gap(gap)
        store.flush(30)
        (event,) = keep_outages(store.ledger, [gap], country="ET", asn=24757)
        found = collect(store, [event.id], JUDGE)
        assert (found.items, found.missing, found.linked) == ([], [], {})
        assert b'"why":"outage"' in gaps_file(one for dossier in found.dossiers for one in dossier.gaps)
