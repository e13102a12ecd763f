"""A table a month, on a real PostgreSQL: made in time, used for what it holds, and no fact comes twice."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from alembic import command
from sqlalchemy import Connection, create_engine, make_url, select, text

from measurements.model import Outcome
from measurements.store import Filter, NotFound, Store, StoreError, open_store, queries, tables
from measurements.store.migrations import configuration
from measurements.store.months import ahead_of, bounds, in_their_months, made, month_of
from measurements.store.packing import pack
from measurements.store.queries import Query
from tests.measurements.store import postgres
from tests.measurements.store.samples import ACCESSIBLE, BLOCKED, START, measurement

DAY = 86_400.0
NOW = datetime(2026, 11, 26, 12, tzinfo=UTC).timestamp()


def at(year: int, month: int, day: int = 15) -> float:
    return datetime(year, month, day, tzinfo=UTC).timestamp()


def months_of(store: Store) -> set[str]:
    with store._engine.connect() as connection:
        return made(connection)


@pytest.mark.parametrize(
    ("time", "month"),
    [
        (NOW, "2026_11"),
        (at(2026, 12, 1) - 0.001, "2026_11"),
        (at(2026, 12, 1), "2026_12"),
        (at(2010, 1, 1), "2010_01"),
        (at(2010, 1, 1) - 0.001, "early"),
        (0.0, "early"),
        (-1e300, "early"),
        (at(2059, 12, 31), "2059_12"),
        (at(2060, 1, 1), "late"),
        (1e300, "late"),
        (float("inf"), "late"),
        (float("nan"), "late"),
    ],
)
def test_a_time_is_in_one_month(time: float, month: str) -> None:
    assert month_of(time) == month
    since, until = bounds(month)
    assert since <= time < until or month == "late"


def test_months_follow_one_another() -> None:
    assert bounds("early") == (float("-inf"), at(2010, 1, 1))
    assert bounds("2026_12") == (at(2026, 12, 1), at(2027, 1, 1))
    assert bounds("late") == (at(2060, 1, 1), float("inf"))
    assert ahead_of(NOW) == ["2026_11", "2026_12", "2027_01"]
    assert ahead_of(0.0) == ["early", "2010_01", "2010_02"]
    assert ahead_of(at(2059, 12)) == ["2059_12", "late", "late"]


@pytest.mark.postgres
def test_months_are_made_ahead_and_when_a_row_of_another_comes(postgres_url: str) -> None:
    clock = [NOW]
    with open_store(postgres_url, now=lambda: clock[0]) as store:
        assert months_of(store) == {"2026_11", "2026_12", "2027_01"}
        times = [at(2013, 5), 0.0, at(2031, 2), 1e12, NOW]
        for number, time in enumerate(times):
            store.add(measurement(number, started=time), BLOCKED).result(30)
        assert months_of(store) == {"2026_11", "2026_12", "2027_01", "2013_05", "2031_02", "early", "late"}
        assert [entry.started for entry in store.measurements(newest_first=False)] == sorted(times)
        assert store.outcomes() == {Outcome.BLOCKED: 5}
        assert store.ledger.position().waiting == 10
        clock[0] = at(2026, 12, 1)
        store.add(measurement(9, started=NOW + 1.0)).result(30)
        assert "2027_02" in months_of(store)


@pytest.mark.postgres
def test_two_that_bring_the_same_old_months_make_each_once(postgres_url: str) -> None:
    stores = [open_store(postgres_url, now=lambda: NOW) for _ in range(2)]

    def bring(store: Store) -> None:
        for month in range(1, 13):
            store.add(measurement(month, id=f"{month:032x}", started=at(2020, month)), BLOCKED).result(60)

    threads = [threading.Thread(target=bring, args=(store,)) for store in stores]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [entry.sequence for entry in stores[0].measurements()] == list(range(12, 0, -1))
    assert len(months_of(stores[1])) == 15
    for store in stores:
        store.close()


@pytest.mark.postgres
def test_an_id_is_one_fact_whatever_its_month(postgres_url: str, caplog: pytest.LogCaptureFixture) -> None:
    first = measurement(1, id="ab" * 16, started=at(2026, 3))
    other = measurement(1, id="ab" * 16, started=at(2026, 7))
    with open_store(postgres_url, now=lambda: NOW) as store:
        receipts = [store.add(one, BLOCKED) for one in (first, other, first)]  # in one batch
        assert [receipt.exception(30) for receipt in receipts] == [None, None, None]
        assert caplog.text.count("came again with other content") == 1  # and only once
        store.add(other, ACCESSIBLE).result(30)
        assert caplog.text.count("came again with other content") == 2
        assert [kept.measurement for kept in store.evidence()] == [first]
        assert [opinion.verdict for opinion in store.verdicts(first.id)] == [BLOCKED]
        assert store.ledger.position().waiting == 2
        assert store.has(first.id)
        assert store.measurement("abab").measurement == first


@pytest.mark.postgres
def test_a_measurement_that_is_gone_before_its_id_is_told(postgres_url: str) -> None:
    with open_store(postgres_url, now=lambda: NOW) as store:
        store.add(measurement(1, id="ab" * 16, started=at(2026, 3))).result(30)
        with store._engine.begin() as connection:
            connection.exec_driver_sql("DELETE FROM measurement")
        with pytest.raises(NotFound, match=f"{'ab' * 16} is no longer kept"):
            store.measurement("abab")


@pytest.mark.postgres
def test_a_month_that_somebody_dropped_is_made_again(postgres_url: str) -> None:
    with open_store(postgres_url, now=lambda: NOW) as store:
        store.add(measurement(1, started=at(2020, 1))).result(30)
        with store._engine.begin() as connection:
            connection.exec_driver_sql("DROP TABLE measurement_2020_01, verdict_2020_01, vote_2020_01")
        store.add(measurement(2, started=at(2020, 1)), BLOCKED).result(30)
        assert [entry.sequence for entry in store.measurements()] == [2]


@pytest.mark.postgres
def test_a_user_without_the_right_to_make_tables_is_told(postgres_server: postgres.Server) -> None:
    url = postgres_server.new_database()
    name = url.split("/")[3].split("?")[0]
    open_store(url, now=lambda: at(2026, 9)).close()
    postgres_server.sql(name, f"CREATE ROLE {name} LOGIN")
    postgres_server.sql(name, f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {name}")
    postgres_server.sql(name, f"GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO {name}")
    theirs = url.replace("probe@", f"{name}@")
    with open_store(theirs, now=lambda: at(2026, 9)) as store:
        assert store.notices == ()
        good, bad = store.add(measurement(1, started=at(2026, 10))), store.add(measurement(2, started=at(2020, 1)))
        assert good.exception(30) is None
        assert "no tables for that month" in str(bad.exception(30))
        assert "owner" in str(bad.exception(30))
    with open_store(theirs, now=lambda: NOW) as store:
        (notice,) = store.notices
        assert "2026-12, 2027-01" in notice
        assert "wazi store upgrade" in notice


@pytest.fixture(scope="module")
def full(postgres_server: postgres.Server) -> Iterator[Store]:
    """Thirty months of measurements, a few hundred each, as SQL makes them."""
    url = postgres_server.new_database()
    with open_store(url, now=lambda: NOW) as store:
        for month in range(30):
            store.add(measurement(month + 1, id=f"{month:032x}", started=NOW - month * 30.4 * DAY), BLOCKED)
        store.flush(60)
        with store._engine.begin() as connection:
            connection.exec_driver_sql(_MORE)
            connection.exec_driver_sql("ANALYZE")
        yield store


_MORE = """
    WITH more AS (
        INSERT INTO measurement
        SELECT substr(sha256(id || n::text::bytea), 1, 16), probe_id, sequence, nettest,
            'https://h' || n || '.example/', 'h' || n || '.example', category,
            country, asn, greatest(started - n, 1710000000), runtime, source, full_body, digest, encoded
        FROM measurement, generate_series(1, 200) n RETURNING id, started
    ), ids AS (INSERT INTO known SELECT id, started FROM more)
    INSERT INTO verdict (measurement_id, rules_version, judged_at, outcome, summary, findings, started)
    SELECT id, 1, started, 'accessible', 'It loads.', '[]', started FROM more
"""


def plan_of(store: Store, query: Query) -> tuple[set[str], str]:
    """Run a query; return the months of measurements that were looked into, and the plan."""
    compiled = query.compile(dialect=store._engine.dialect, compile_kwargs={"render_postcompile": True})
    with store._engine.connect() as connection:
        explain = f"EXPLAIN (ANALYZE, TIMING OFF, SUMMARY OFF) {compiled}"
        lines = [line for (line,) in connection.exec_driver_sql(explain, compiled.params)]
    used = "\n".join(line for line in lines if "never executed" not in line)
    return set(re.findall(r" on (?:measurement|verdict|vote)_(\d{4}_\d\d)", used)), used


@pytest.mark.postgres
@pytest.mark.parametrize(
    ("query", "most"),
    [
        (queries.entries(Filter(), None, 50, newest_first=True, whole=False, by_month=True), 3),
        (queries.entries(Filter(until=NOW - 300 * DAY), None, 50, newest_first=True, whole=True, by_month=True), 1),
        (queries.entries(Filter(), (NOW - 300 * DAY, b""), 9, newest_first=False, whole=True, by_month=True), 2),
        (queries.entries(Filter(NOW - 20 * DAY, outcome=Outcome.BLOCKED), None, 5, newest_first=True, whole=False), 3),
        (queries.history("h7.example", "probe", NOW - 2 * DAY, 20, by_month=True), 3),
        (queries.count(Filter(since=NOW - 100 * DAY, until=NOW - 80 * DAY)), 2),
        (queries.outcomes(Filter(since=NOW - 100 * DAY, until=NOW - 80 * DAY)), 2),
        (queries.one(bytes(15) + b"\7", by_month=True), 1),
        (queries.place(bytes(15) + b"\7"), 1),
        (queries.opinions(bytes(15) + b"\7"), 1),
        (select(tables.measurement.c.id).where(in_their_months([bytes(15) + b"\7", bytes(15) + b"\x09"])), 2),
        (queries.last_measured("https://h7.example/", "web", "probe"), 3),
    ],
)  # fmt: skip
def test_only_the_months_that_matter_are_looked_into(full: Store, query: Query, most: int) -> None:
    touched, plan = plan_of(full, query)
    assert 1 <= len(touched) <= most, plan


@pytest.mark.postgres
def test_a_list_sorts_nothing_and_a_host_is_found_by_an_index(full: Store) -> None:
    newest = queries.entries(Filter(), None, 50, newest_first=True, whole=False, by_month=True)
    assert "Sort" not in plan_of(full, newest)[1]
    assert "host_started_idx" in plan_of(full, queries.history("h7.example", "probe", NOW - DAY, 9, by_month=True))[1]


@pytest.mark.postgres
def test_a_turn_reads_few_votes_of_many(full: Store) -> None:
    with full.ledger.turn() as turn:
        assert [number for number, _ in turn.votes(3)] == [1, 2, 3]


def fill(connection: Connection, started: list[float]) -> None:
    """Fill a store of an older version, votes too."""
    for number, time in enumerate(started):
        rows = pack(measurement(number, id=f"{number:032x}", started=time, body=b"%d" % number), BLOCKED, START)
        for table in (tables.body, tables.measurement, tables.verdict, tables.vote):
            connection.execute(table.insert(), list(rows[table]))


@pytest.mark.postgres
def test_a_store_without_months_is_moved_into_them_whole(postgres_url: str) -> None:
    times = [at(2013, 5), 0.0, 1e12, at(2026, 12, 1), at(2026, 12, 1) - 1.0, NOW, NOW, at(2010, 1, 1), at(2060, 1, 1)]
    engine = create_engine(make_url(postgres_url).set(drivername="postgresql+psycopg"))
    with engine.begin() as connection:
        config = configuration()
        config.attributes["connection"] = connection
        command.upgrade(config, "0003")
        fill(connection, times)
        verdicts = connection.execute(text("SELECT * FROM verdict ORDER BY measurement_id")).all()
        votes = connection.execute(text("SELECT * FROM vote ORDER BY number")).all()
    with open_store(postgres_url, now=lambda: NOW) as store, engine.connect() as connection:
        assert store.upgraded_from == "0003"
        assert [kept.measurement.started for kept in store.evidence()] == sorted(times)
        assert all(kept.measurement.observations[2].body for kept in store.evidence())  # type: ignore[union-attr]
        for name, key, before in (("verdict", "measurement_id", verdicts), ("vote", "number", votes)):
            after = connection.execute(text(f"SELECT * FROM {name} ORDER BY {key}")).all()
            assert [tuple(row)[:-1] for row in after] == [tuple(row) for row in before]
        rows = connection.execute(text("SELECT known.started, m.started FROM known JOIN measurement m USING (id)"))
        assert len([a for a, b in rows if a == b]) == len(times)
        store.add(measurement(20, started=NOW), BLOCKED).result(30)
        with store.ledger.turn() as turn:
            assert [number for number, _ in turn.votes(100)] == list(range(1, 2 * len(times) + 3))
        error = store.add_verdict("cd" * 16, BLOCKED).exception(30)
        assert isinstance(error, StoreError)
        assert tables.HEAD == "0006"
    engine.dispose()
