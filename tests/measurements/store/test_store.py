"""One suite on SQLite and on a real PostgreSQL: what is stored comes back, and what is kept stays kept."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import tracemalloc
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
import zstandard
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from hypothesis import HealthCheck, given, settings
from msgspec.structs import replace
from sqlalchemy import func, select, text

from measurements.model import Gap, HttpExchange, Measurement, Outcome, Verdict
from measurements.store import Filter, NotFound, Store, StoreError, open_store, tables
from measurements.store.migrations import configuration
from measurements.store.packing import pack
from tests.measurements.store import samples
from tests.measurements.store.samples import ACCESSIBLE, BLOCKED, START, measurement


def rows_of(store: Store, table: Any) -> int:
    with store._engine.connect() as connection:
        return connection.execute(select(func.count()).select_from(table)).scalar_one()


def test_a_measurement_comes_back_with_its_page_and_verdict(store: Store) -> None:
    fact = measurement()
    store.add(fact, BLOCKED).result(10)
    kept = store.measurement(fact.id)
    assert (kept.measurement, kept.verdict) == (fact, BLOCKED)
    assert kept.judged_at is not None


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(fact=samples.measurements, verdict=samples.verdicts)
def test_any_measurement_survives_the_round_trip(store: Store, fact: Measurement, verdict: Verdict) -> None:
    known = [kept.measurement.id for kept in store.evidence() if kept.measurement.id == fact.id]
    store.add(fact, verdict).result(10)
    kept = store.measurement(fact.id)
    if known:  # hypothesis chose an id again: the first one stays
        return
    assert kept.measurement == fact
    shown = replace(
        verdict,
        summary=verdict.summary.replace("\0", "␀"),
        reason=None if verdict.reason is None else verdict.reason.replace("\0", "␀"),
    )
    assert kept.verdict == shown


def test_a_repeated_insert_changes_nothing(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    fact = measurement()
    with caplog.at_level(logging.ERROR):
        for _ in range(3):
            store.add(fact, BLOCKED).result(10)
        same_batch = [store.add(fact, BLOCKED) for _ in range(20)]
        assert all(receipt.exception(10) is None for receipt in same_batch)
    assert (store.count(), rows_of(store, tables.verdict), rows_of(store, tables.body)) == (1, 1, 1)
    assert caplog.records == []


def test_the_same_id_with_other_content_is_noticed_and_the_first_stays(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    first = measurement(1, id="ab" * 16)
    other = measurement(2, id="ab" * 16, body=b"something else")
    store.add(first, BLOCKED).result(10)
    store.add(other, replace(ACCESSIBLE, rules_version=2)).result(10)
    kept = store.measurement("ab")
    assert (kept.measurement, kept.verdict) == (first, BLOCKED)
    assert [entry.rules_version for entry in [o.verdict for o in store.verdicts(first.id)]] == [1]
    assert "came again with other content" in caplog.text
    assert first.id in caplog.text


def test_the_same_fact_in_other_bytes_is_the_same_fact(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    fact = measurement()
    store.add(fact).result(10)
    older = {table: [dict(row) for row in rows] for table, rows in pack(fact, None, 1.0).items()}
    spaced = zstandard.decompress(older[tables.measurement][0]["encoded"]).replace(b'{"', b'{ "')
    older[tables.measurement][0] |= {
        "encoded": zstandard.compress(spaced),
        "digest": hashlib.sha256(spaced).digest(),
    }
    store.add_rows("again", older).result(10)
    assert caplog.records == []


def test_judging_again_destroys_nothing(store: Store) -> None:
    fact = measurement()
    store.add(fact, BLOCKED).result(10)
    store.add_verdict(fact.id, replace(ACCESSIBLE, rules_version=2)).result(10)
    store.add_verdict(fact.id, replace(ACCESSIBLE, rules_version=1)).result(10)
    assert [o.verdict for o in store.verdicts(fact.id)] == [BLOCKED, replace(ACCESSIBLE, rules_version=2)]
    assert [entry.verdict for entry in store.measurements()] == [replace(ACCESSIBLE, rules_version=2)]
    assert store.count(outcome=Outcome.BLOCKED) == 0
    assert store.outcomes() == {Outcome.ACCESSIBLE: 1}


def test_one_bad_row_loses_only_itself_and_is_named(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    good = [measurement(n) for n in range(1, 60)]
    beyond = measurement(2**70)  # no database holds such an integer
    misnamed = measurement(3, id="not-hex")
    broken = replace(measurement(4), software="\ud800")  # cannot be encoded
    receipts = {fact.id: store.add(fact, ACCESSIBLE) for fact in [*good[:30], beyond, misnamed, broken, *good[30:]]}
    bad = {key: receipt.exception(10) for key, receipt in receipts.items() if receipt.exception(10)}
    assert set(bad) == {beyond.id, misnamed.id, broken.id}
    assert all(key in str(error) for key, error in bad.items())
    assert all(key in caplog.text for key in bad)
    assert store.count() == len(good)
    with pytest.raises(StoreError, match=beyond.id):
        receipts[beyond.id].result()
    store.add(measurement(5)).result(10)  # and it goes on


def test_a_verdict_on_nothing_is_refused(store: Store) -> None:
    error = store.add_verdict("cd" * 16, BLOCKED).exception(10)
    assert error is not None
    assert "cd" * 16 in str(error)
    assert rows_of(store, tables.verdict) == 0


def test_a_page_is_stored_once_and_at_most_64_kib_of_it(store: Store) -> None:
    page = b"a" * 70_000
    for n in range(5):
        store.add(measurement(n, body=page))
    store.add(measurement(9, body=b""))
    store.flush(10)
    assert rows_of(store, tables.body) == 1
    bodies = [step.body for kept in store.evidence() for step in kept.measurement.observations[2:]
              if isinstance(step, HttpExchange)]  # fmt: skip
    assert bodies == [page[:65536]] * 5 + [b""]


def test_a_receipt_can_be_awaited_and_a_cancelled_waiter_spoils_nothing(store: Store) -> None:
    async def scenario() -> None:
        first, second = store.add(measurement(1)), store.add(measurement(2))

        async def wait() -> None:
            await first

        waiter = asyncio.create_task(wait())
        await asyncio.sleep(0)
        waiter.cancel()
        await asyncio.gather(waiter, return_exceptions=True)
        await second
        with pytest.raises(StoreError, match="not-hex"):
            await store.add(measurement(3, id="not-hex"))

    asyncio.run(scenario())
    store.add(measurement(4)).result(10)
    assert store.count() == 3


def test_closing_stores_everything_and_adding_afterwards_is_refused(url: str, caplog: pytest.LogCaptureFixture) -> None:
    with open_store(url) as store:
        receipts = [store.add(measurement(n), ACCESSIBLE) for n in range(1200)]
    assert all(receipt.exception(0) is None for receipt in receipts)
    late = store.add(measurement(5))
    assert "closed" in str(late.exception(0))
    assert "closed" in caplog.text
    store.close()
    with open_store(url, read_only=True) as again:
        assert again.count() == 1200


def test_the_list_is_filtered_ordered_and_limited(store: Store) -> None:
    for n in range(1, 7):
        store.add(measurement(n, host="a.example" if n % 2 else "b.example"), BLOCKED if n > 4 else ACCESSIBLE)
    store.add(measurement(7, host="c.example", probe_id="other"))
    store.flush(10)

    def found(**filters: Any) -> list[int]:
        entries = [entry.sequence for entry in store.measurements(**filters)]
        whole = [kept.measurement.sequence for kept in store.evidence(**{"newest_first": True, **filters})]
        assert whole == entries
        return entries

    assert found() == [7, 6, 5, 4, 3, 2, 1]
    assert found(newest_first=False, limit=2) == [1, 2]
    assert found(since=START + 3, until=START + 6) == [5, 4, 3]
    assert found(target="b.example") == [6, 4, 2]
    assert found(target="https://a.example/") == [5, 3, 1]
    assert found(outcome=Outcome.BLOCKED) == [6, 5]
    assert found(outcome=Outcome.BLOCKED, target="a.example", limit=1) == [5]
    assert found(probe_id="other") == [7]
    assert found(limit=0) == []
    assert found(target="' OR 1=1 --") == []
    assert store.count(target="a.example", outcome=Outcome.ACCESSIBLE) == 2
    assert store.outcomes() == {Outcome.ACCESSIBLE: 4, Outcome.BLOCKED: 2, None: 1}


def test_a_stream_is_chosen_by_what_an_export_asks_for(store: Store) -> None:
    for n in range(1, 7):
        fact = measurement(n, host="a.example" if n % 2 else "b.example")
        vantage = replace(fact.vantage, country="KE" if n < 3 else "ET", asn=64500 + n)
        target = replace(fact.target, category="NEWS" if n < 5 else "GRP")
        store.add(replace(fact, vantage=vantage, target=target), ACCESSIBLE if n > 1 else None).result(10)
    ids = [kept.measurement.id for kept in store.stream(Filter())]
    store.add_verdict(ids[3], replace(BLOCKED, rules_version=2)).result(10)

    def found(after: str | None = None, **wanted: Any) -> list[int]:
        streamed = [kept.measurement.sequence for kept in store.stream(Filter(**wanted), after=after)]
        assert store.amount(Filter(**wanted), after=after) == len(streamed)
        return streamed

    assert found() == [1, 2, 3, 4, 5, 6]
    assert found(after=ids[2]) == [4, 5, 6]
    assert found(after=ids[2], until=START + 6) == [4, 5]
    assert found(countries=("KE",)) == [1, 2]
    assert found(countries=("KE", "ZZ"), asns=(64502, 64503)) == [2]
    assert found(categories=("GRP", "XYZ")) == [5, 6]
    assert found(rules_version=1) == [2, 3, 4, 5, 6]
    assert found(rules_version=2) == [4]
    assert found(rules_version=1, outcome=Outcome.BLOCKED) == []
    assert found(rules_version=2, outcome=Outcome.BLOCKED) == found(outcome=Outcome.BLOCKED) == [4]
    assert {kept.verdict.outcome for kept in store.stream(Filter(rules_version=1)) if kept.verdict} == {"accessible"}
    with pytest.raises(NotFound, match="no measurement has the id"):
        found(after="00" * 16)
    outlines = [kept.measurement for kept in store.stream(Filter(), whole=False)]
    assert [(len(fact.observations), fact.id) for fact in outlines] == [(3, key) for key in ids]
    assert store.has(ids[0])
    assert not store.has("00" * 16)


def test_pages_meet_without_a_gap_when_many_rows_have_one_time(store: Store) -> None:
    for n in range(1203):
        store.add(measurement(n, started=START + n // 600))
    store.flush(30)
    for newest_first in (True, False):
        found = [entry.id for entry in store.measurements(newest_first=newest_first)]
        assert len(found) == len(set(found)) == 1203
        times = [entry.started for entry in store.measurements(newest_first=newest_first)]
        assert times == sorted(times, reverse=newest_first)
    assert len(list(store.measurements(limit=501))) == 501


def test_streaming_whole_measurements_needs_little_memory(store: Store) -> None:
    pages = 400
    for n in range(pages):
        store.add(measurement(n, body=n.to_bytes(2, "big") * 20_000))
        if n % 100 == 0:
            store.flush(30)
    store.flush(30)
    next(store.evidence())
    tracemalloc.start()
    count = sum(1 for _ in store.evidence())
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert count == pages
    assert peak < 6_000_000  # all of them are 16 MB


def test_an_id_is_found_by_its_beginning(store: Store) -> None:
    for key in ("ab12" + "0" * 28, "ab1f" + "0" * 28, "ff" * 16, "0" * 32):
        store.add(measurement(id=key)).result(10)
    assert store.measurement("ab12").measurement.id.startswith("ab12")
    assert store.measurement("AB1F ").measurement.id.startswith("ab1f")
    assert store.measurement("f").measurement.id == "ff" * 16
    assert store.measurement("0" * 32).measurement.id == "0" * 32
    with pytest.raises(NotFound, match="more than one"):
        store.measurement("ab1")
    with pytest.raises(NotFound, match="no measurement begins with c"):
        store.measurement("c")
    for nonsense in ("", "xyz", "0" * 33, "%"):
        with pytest.raises(NotFound, match="not the beginning"):
            store.measurement(nonsense)


def test_history_is_the_judged_past_of_one_target_and_probe(store: Store) -> None:
    for n in range(1, 6):
        store.add(measurement(n), ACCESSIBLE if n % 2 else BLOCKED)
    store.add(measurement(6))
    store.add(measurement(7, probe_id="other"), BLOCKED)
    store.add(measurement(8, host="other.example"), BLOCKED)
    store.flush(10)
    past = store.history("example.org", "probe", since=START + 2)
    assert [entry.sequence for entry in past] == [5, 4, 3, 2]
    assert [entry.verdict for entry in past] == [ACCESSIBLE, BLOCKED, ACCESSIBLE, BLOCKED]
    assert [entry.sequence for entry in store.history("https://example.org/", "probe", since=0, limit=1)] == [5]


def test_unjudged_gives_what_these_rules_have_not_seen(store: Store) -> None:
    facts = [measurement(n) for n in range(45)]
    for n, fact in enumerate(facts):
        store.add(fact, ACCESSIBLE if n % 3 == 0 else None)
    store.flush(10)
    assert list(store.unjudged(1)) == [fact for n, fact in enumerate(facts) if n % 3]
    assert list(store.unjudged(2)) == facts
    for fact in store.unjudged(1):  # judging while reading
        store.add_verdict(fact.id, BLOCKED)
    store.flush(10)
    assert list(store.unjudged(1)) == []


def test_sequence_numbers_go_on_where_they_ended(url: str) -> None:
    with open_store(url) as store:
        assert [store.next_sequence("probe") for _ in range(3)] == [1, 2, 3]
        assert store.next_sequence("other") == 1
        store.add(measurement(2))
        store.add(measurement(3))
    with open_store(url) as store:
        assert store.next_sequence("probe") == 4
        assert store.next_sequence("other") == 1
        store.add(measurement(2))  # its number is taken: in the chain it stands at the next one
    with open_store(url) as store:
        assert store.next_sequence("probe") == 5


def test_gaps_are_kept_once(store: Store) -> None:
    gaps = [
        Gap(probe_id="probe", since=START, until=START + 60, why="stopped", detail="the probe was not running"),
        Gap(probe_id="probe", since=START + 100, until=START + 160, why="budget"),
    ]
    for gap in [*gaps, *gaps]:
        store.add_gap(gap)
    store.flush(10)
    assert store.gaps() == gaps
    assert store.gaps(since=START + 60) == gaps[1:]
    assert store.gaps(probe_id="other") == []


def test_spent_data_is_summed_by_utc_day_across_restarts(url: str) -> None:
    evening = datetime(2026, 11, 23, 23, 59, tzinfo=UTC).timestamp()
    with open_store(url, now=lambda: evening) as store:
        store.add_spent("probe", 1000)
        store.add_spent("probe", 234)
        store.add_spent("other", 5)
    with open_store(url, now=lambda: evening - 80_000) as store:
        store.add_spent("probe", 1).result(10)
        assert (store.spent_today("probe"), store.spent_today("other")) == (1235, 5)
    with open_store(url, now=lambda: evening + 60) as store:
        assert store.spent_today("probe") == 0


def test_the_last_full_read_is_remembered(store: Store) -> None:
    url = "https://example.org/"
    assert store.last_full_body(url) is None
    store.add(measurement(1, truncated="sample")).result(10)
    assert store.last_full_body(url) is None
    store.add(measurement(2, truncated="decoded")).result(10)
    store.add(measurement(3, truncated="sample")).result(10)
    store.add(measurement(4, probe_id="other")).result(10)
    assert store.last_full_body(url, "probe") == START + 2
    assert store.last_full_body(url) == START + 4


def test_the_last_measurement_by_a_nettest_is_remembered(url: str) -> None:
    asked = ("https://example.org/", "trace", "probe")
    with open_store(url) as store:
        assert store.last_measured(*asked) is None
        store.add(measurement(2, nettest="trace"))
        store.add(measurement(1, nettest="trace"))
        store.add(measurement(3))
        store.add(measurement(4, nettest="trace", probe_id="other"))
        store.add(measurement(5, nettest="trace", host="example.net")).result(10)
        assert store.last_measured(*asked) == START + 2
    with open_store(url) as store:
        assert store.last_measured(*asked) == START + 2


def test_health_says_how_the_store_is(store: Store) -> None:
    store.add(measurement(1), BLOCKED)
    store.add(measurement(5))
    store.flush(10)
    health = store.health()
    assert (health.measurements, health.first, health.last) == (2, START + 1, START + 5)
    assert (health.version, health.waiting, health.trouble, health.notices) == (tables.HEAD, 0, None, ())
    assert health.size > 0
    assert health.backend in health.place or health.place.endswith("wazi.db")


def test_a_reader_works_beside_the_writer_and_cannot_write(url: str) -> None:
    with open_store(url) as store, open_store(url, read_only=True) as reader:
        store.add(measurement(1), BLOCKED).result(10)
        assert [entry.verdict for entry in reader.measurements()] == [BLOCKED]
        assert reader.health().measurements == 1
        listing = reader.measurements()
        next(listing)
        store.add(measurement(2)).result(10)
        assert reader.count() == 2
        for write in (lambda: reader.add(measurement(3)), lambda: reader.next_sequence("probe")):
            with pytest.raises(StoreError, match="reading only"):
                write()
        reader.flush()
        with pytest.raises(Exception, match=r"readonly|read-only"), reader._engine.begin() as connection:
            connection.execute(tables.gap.delete())


def test_a_newer_store_is_refused_and_left_alone(url: str) -> None:
    with open_store(url) as store:
        store.add(measurement(1)).result(10)
        with store._engine.begin() as connection:
            connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    for read_only in (True, False):
        with pytest.raises(StoreError, match="newer Wazi"):
            open_store(url, read_only=read_only)


def test_a_reader_asks_for_an_upgrade_of_old_tables(url: str) -> None:
    with open_store(url) as store, store._engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '0000'"))
    with pytest.raises(StoreError, match="wazi store upgrade"):
        open_store(url, read_only=True)


def test_the_migrations_make_the_tables_of_this_build(store: Store) -> None:
    assert ScriptDirectory.from_config(configuration()).get_current_head() == tables.HEAD
    with store._engine.connect() as connection:
        options = {"compare_type": True, "include_name": _is_no_part}
        context = MigrationContext.configure(connection, opts=options)
        differences = compare_metadata(context, tables.metadata)
    found = sorted((kind, thing.table.name, thing.name) for kind, *_, thing in differences)
    assert found == ([] if store.health().backend == "sqlite" else _OF_MONTHS)


def _is_no_part(name: str | None, kind: str, _parents: object) -> bool:
    """Leave out the tables of the months, and the table that only they need."""
    parts = tuple(f"{table.name}_" for table in (tables.measurement, tables.verdict, tables.vote))
    return kind != "table" or not (name or "").startswith((*parts, "known"))


# What PostgreSQL has otherwise: see `measurements.store.months`.
_OF_MONTHS = [
    ("add_constraint", "vote", "uq_vote"),  # it holds the time there
    ("add_fk", "verdict", "fk_verdict_measurement_id"),
    ("add_fk", "vote", "fk_vote_measurement_id"),
    ("add_index", "measurement", "ix_measurement_started_id"),  # the primary key there
    ("remove_column", "verdict", "started"),
    ("remove_column", "vote", "started"),
    ("remove_constraint", "vote", "uq_vote"),
    ("remove_index", "measurement", "ix_measurement_started"),  # BRIN
]


def test_every_field_of_a_verdict_has_a_column() -> None:
    fields = {field.name for field in msgspec.structs.fields(Verdict)}
    assert fields == {column.name for column in tables.verdict.c} - {"measurement_id", "judged_at"}


def test_damaged_rows_are_named_and_the_others_are_given(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    good, bad, worse = measurement(1), measurement(2), measurement(3)
    for fact in (good, bad, worse):
        store.add(fact, BLOCKED).result(10)
    column = tables.measurement.c
    with store._engine.begin() as connection:
        encoded = pack(measurement(9), None, 1.0)[tables.measurement][0]["encoded"]
        change = tables.measurement.update()
        connection.execute(change.where(column.id == bytes.fromhex(bad.id)).values(encoded=encoded))
        connection.execute(change.where(column.id == bytes.fromhex(worse.id)).values(encoded=b"(\xb5/\xfdjunk"))
        connection.execute(tables.body.update().values(copy=b"junk"))
        connection.execute(tables.verdict.update().values(outcome="blacked"))
    assert [entry.verdict for entry in store.measurements()] == [None, None, None]
    kept = [kept.measurement for kept in store.evidence()]
    assert [fact.id for fact in kept] == [good.id]
    assert isinstance(kept[0].observations[2], HttpExchange)
    assert kept[0].observations[2].body == b""
    assert bad.id in caplog.text
    assert worse.id in caplog.text
    assert "the page" in caplog.text
    assert f"the verdict on measurement {good.id}" in caplog.text
    with pytest.raises(StoreError, match=bad.id):
        store.measurement(bad.id)
