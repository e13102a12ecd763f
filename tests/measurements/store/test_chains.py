"""Each probe's measurements are chained as they are stored, through kills, and what was signed of them is kept."""

from __future__ import annotations

import random
import threading

import pytest
from msgspec.structs import replace
from sqlalchemy import delete, update

from measurements.evidence.canonical import record
from measurements.evidence.chain import Kind, Link, bad_signature, holes, read_note
from measurements.evidence.checking import find_fault
from measurements.exports.judged import Judged
from measurements.keeping import DAY, Keeping, Terms
from measurements.store import NotFound, Store, open_store, tables
from measurements.store.packing import pack
from tests.measurements.evidence.chains import Pen
from tests.measurements.store.samples import ACCESSIBLE, BLOCKED, START, measurement


def add(store: Store, *numbers: int, probe_id: str = "probe") -> None:
    for number in numbers:
        store.add(measurement(number, probe_id=probe_id), ACCESSIBLE)
    store.flush(10)


def chain_of(store: Store, probe_id: str = "probe") -> list[Link]:
    return list(store.chains.links(probe_id))


def numbers(store: Store, probe_id: str = "probe") -> list[int]:
    return [link.sequence for link in store.chains.links(probe_id)]


def fits(store: Store, probe_id: str = "probe") -> bool:
    checkpoints, keys = store.chains.checkpoints(probe_id), store.chains.keys(probe_id)
    return find_fault(store.chains.links(probe_id), checkpoints, keys) is None


def meddle(store: Store, statement: object) -> None:
    with store._engine.execution_options(wazi_writes=True).begin() as connection:
        connection.execute(statement)  # type: ignore[call-overload]


def test_every_measurement_gets_a_link_to_its_record(store: Store) -> None:
    facts = [measurement(number, body=b"page") for number in range(1, 8)]
    for fact in facts:
        store.add(fact, BLOCKED)
    store.flush(10)
    links = chain_of(store)
    assert [link.measurement_id for link in links] == [fact.id for fact in facts]
    assert [link.sequence for link in links] == list(range(1, 8))
    assert find_fault(links) is None
    assert store.chains.record(facts[2].id) == record(facts[2])
    assert [one.record for one in store.chains.records("probe")] == [record(fact) for fact in facts]
    assert store.chains.link_of(facts[3].id) == links[3]
    assert store.chains.link_of("ff" * 16) is None
    assert store.chains.head("probe") == links[-1]
    assert list(store.chains.links("probe", 2, 4)) == links[1:4]
    assert store.chains.length("probe") == 7
    assert store.chains.probes() == ["probe"]
    with pytest.raises(NotFound):
        store.chains.record("ff" * 16)


def test_the_same_measurement_again_adds_no_link(store: Store) -> None:
    fact = measurement()
    for _ in range(2):
        store.add(fact, ACCESSIBLE)
        store.add(fact, ACCESSIBLE)
        store.add(replace(fact, runtime=9.0), ACCESSIBLE)
        store.flush(10)
    assert len(chain_of(store)) == 1
    assert store.chains.record(fact.id) == record(fact)


def test_what_others_measured_has_no_link(store: Store) -> None:
    fact = measurement(5, probe_id="other")
    store.add_rows("an import", pack(fact, ACCESSIBLE, START)).result(10)
    assert store.chains.probes() == []
    assert store.chains.record(fact.id) == record(fact)
    store.add(fact, ACCESSIBLE).result(10)
    assert store.chains.probes() == []
    assert store.chains.unchained("other") == 1


def test_a_number_that_was_never_stored_is_told_of_in_the_chain(store: Store) -> None:
    add(store, 1, 2, 5)
    links = chain_of(store)
    assert [link.sequence for link in links] == [1, 2, 4, 5]
    assert list(holes(links)) == [(3, 4, "hole 1")]
    assert find_fault(links) is None
    assert "could not be stored" in str(read_note(links[2]))


def test_a_refused_measurement_leaves_no_link(store: Store) -> None:
    add(store, 1)
    lost = store.add(replace(measurement(2), target=replace(measurement().target, host="\ud800")))
    add(store, 3)
    assert lost.exception(10) is not None
    assert numbers(store) == [1, 2, 3]
    assert fits(store)


def test_a_row_that_the_database_refuses_leaves_no_link(store: Store) -> None:
    good, bad = measurement(1), measurement(2)
    rows = pack(bad, ACCESSIBLE, START, chained=True)
    rows[tables.verdict][0]["rules_version"] = None
    receipts = [store.add(good), store.add_rows("bad", rows), store.add(measurement(3))]
    assert [receipt.exception(10) is None for receipt in receipts] == [True, False, True]
    assert numbers(store) == [1, 2, 3]
    assert fits(store)
    assert store.chains.link_of(bad.id) is None


def test_numbers_that_are_taken_or_beyond_measure_get_the_next_one(store: Store) -> None:
    add(store, 7, 3, 7, 0, 2**53, 8)
    assert numbers(store) == [7, 8, 9, 10, 11, 12]
    assert fits(store)


def test_each_probe_has_its_own_chain(store: Store) -> None:
    for number in range(1, 6):
        add(store, number, probe_id="one")
        add(store, number + 10, probe_id="two")
    assert numbers(store, "one") == [1, 2, 3, 4, 5]
    assert numbers(store, "two") == [11, 12, 13, 14, 15]
    assert fits(store, "one")
    assert fits(store, "two")


@pytest.mark.postgres
def test_two_programs_may_measure_into_one_database(postgres_url: str) -> None:
    """Two probes at once, and two that were given one name: chains stay whole, and nothing is lost."""
    with open_store(postgres_url) as here, open_store(postgres_url) as there:
        stores = [(here, "one"), (there, "two"), (here, "both"), (there, "both")]

        def write(store: Store, probe_id: str) -> None:
            for number in range(1, 31):
                store.add(measurement(number, probe_id=probe_id), ACCESSIBLE).result(30)

        threads = [threading.Thread(target=write, args=one) for one in stores]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert [here.chains.length(name) for name in ("one", "two", "both")] == [30, 30, 60]
        assert all(fits(here, name) for name in ("one", "two", "both"))


def test_what_is_dropped_leaves_its_link(store: Store) -> None:
    add(store, 1, 2, 3)
    for table in (tables.vote, tables.verdict):
        meddle(store, delete(table))
    meddle(store, delete(tables.measurement).where(tables.measurement.c.sequence < 3))
    assert [one.record is None for one in store.chains.records("probe")] == [True, True, False]
    assert fits(store)


def test_a_chain_is_signed_as_it_grows(store: Store) -> None:
    pen = Pen(random.Random(1))
    assert store.chains.sign("probe", pen, START).checkpoint is None
    add(store, 1, 2)
    first = store.chains.sign("probe", pen, START + 0.5)
    assert first.is_new
    assert store.chains.sign("probe", pen, START + 1).checkpoint == first.checkpoint
    assert not store.chains.sign("probe", pen, START + 1).is_new
    add(store, 3)
    second = store.chains.sign("probe", pen, START + 2, remembered=first.checkpoint).checkpoint
    assert [one.sequence for one in store.chains.checkpoints("probe")] == [2, 3]
    assert store.chains.last_checkpoint("probe") == second
    assert store.chains.keys("probe").keys == (pen.public,)
    assert second is not None
    assert bad_signature(second, store.chains.keys("probe")) is None
    assert fits(store)
    store.chains.add_stamp(second, b"token")
    assert [one.stamp for one in store.chains.checkpoints("probe")] == [b"", b"token"]


def test_what_was_changed_since_the_last_checkpoint_is_told_of_in_the_chain(store: Store) -> None:
    pen = Pen(random.Random(1))
    add(store, 1, 2)
    store.chains.sign("probe", pen, START)
    add(store, 3, 4)
    meddle(store, update(tables.link).where(tables.link.c.sequence == 3).values(record=b"\0" * 32))
    signed = store.chains.sign("probe", pen, START)
    assert "was changed" in signed.remarks[0]
    note = chain_of(store)[-1]
    assert read_note(note) == {"first": 5, "last": 5, "sequence": 3, "wazi": "fault 1", "what": "changed"}
    assert signed.checkpoint is not None
    assert signed.checkpoint.chain == note.chain
    assert store.next_sequence("probe") == 6
    add(store, 6)
    assert store.chains.sign("probe", pen, START).remarks == ()
    fault = find_fault(chain_of(store))
    assert fault is not None
    assert (fault.kind, fault.sequence) == (Kind.CHANGED, 3)


def test_a_chain_that_was_made_anew_is_noticed_when_it_is_signed(store: Store) -> None:
    pen = Pen(random.Random(1))
    add(store, 1, 2)
    store.chains.sign("probe", pen, START)
    meddle(store, delete(tables.link))
    add(store, 3, 4)
    signed = store.chains.sign("probe", pen, START)
    assert "the checkpoint at 2 does not fit" in signed.remarks[0]
    assert "fault 1" in chain_of(store)[-1].note
    assert store.chains.sign("probe", pen, START).remarks == ()


def test_an_older_copy_of_the_store_is_noticed_and_told_of_in_the_chain(store: Store) -> None:
    pen = Pen(random.Random(1))
    add(store, 1, 2)
    store.chains.sign("probe", pen, START)
    add(store, 3, 4, 5)
    lost = store.chains.sign("probe", pen, START).checkpoint
    assert lost is not None
    meddle(store, delete(tables.checkpoint).where(tables.checkpoint.c.sequence > 2))
    meddle(store, delete(tables.link).where(tables.link.c.sequence > 2))
    signed = store.chains.sign("probe", pen, START, remembered=lost)
    assert "an older copy" in signed.remarks[0]
    assert numbers(store) == [1, 2, 6]
    assert fits(store)
    assert store.next_sequence("probe") == 7
    links = chain_of(store)
    assert find_fault(links, [*store.chains.checkpoints("probe"), lost], store.chains.keys("probe")) is None
    assert store.chains.sign("probe", pen, START, remembered=signed.checkpoint).remarks == ()


def test_retention_leaves_a_chain_that_fits(url: str) -> None:
    """Pages go first, then measurements; what is left of the chain still shows that nothing else was altered."""
    now = 1_795_651_200.0  # 26 November 2026
    with open_store(url, now=lambda: now) as store:
        facts = [measurement(n, started=now - day * DAY, body=b"%d" % n) for n, day in enumerate((900, 800, 300, 1), 1)]
        for fact in facts:
            store.add(fact, ACCESSIBLE)
        store.flush(10)
        with store.ledger.turn() as turn:
            turn.save(turn.votes(100)[-1][0], b"", {}, ())
        store.chains.sign("probe", Pen(random.Random(1)), now)
        meddle(store, update(tables.body_seen).values(seen=now - 300 * DAY))
        terms = Terms(keep=400 * DAY, keep_bodies=100 * DAY)
        tidied = Keeping(store, terms, lambda kept: Judged(kept.measurement, ACCESSIBLE), now=lambda: now).tidy()
        assert (tidied.measurements, tidied.pages > 0) == (2, True)
        assert [one.record for one in store.chains.records("probe")] == [None, None, record(facts[2]), record(facts[3])]
        assert numbers(store) == [1, 2, 3, 4]
        assert fits(store)
