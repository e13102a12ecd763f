"""The statements that write, in the two dialects, each so that doing it again changes nothing.

Only `spent` counts up: after a commit whose answer was lost it may be counted twice, which errs on the
side of the volunteer's purse.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import lru_cache

from sqlalchemy import Connection, Dialect, Table, case, literal_column, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.sql.compiler import SQLCompiler

from measurements.store import tables
from measurements.store.chaining import chained
from measurements.store.errors import StoreError
from measurements.store.months import PARTITIONED, in_their_months, known, on_months, started, with_time
from measurements.store.packing import Row, Rows, unpack

log = logging.getLogger(__name__)

_TABLES = (
    tables.body_seen,  # before the page: whoever deletes pages that were not seen for long waits for it
    tables.body,
    tables.measurement,
    tables.link,
    tables.verdict,
    tables.gap,
    tables.probe,
    tables.spent,
    tables.vote,
)
_SEEN_AGAIN = "86400.0"  # seconds after which a page that is seen again is marked as seen
_NUMBERING = 0x564F5445  # PostgreSQL's advisory lock for giving votes their numbers

_IN_MONTHS = {table.name for table in PARTITIONED}

Insert = sqlite.Insert | postgresql.Insert


def insert(connection: Connection, changes: Sequence[Rows]) -> None:
    """Store the rows of several changes, each table in one round trip.

    Votes go last: while they get their numbers, nobody else's may become visible (`_alone`).
    """
    rows = {table: [row for change in changes for row in change.get(table, ())] for table in _TABLES}
    pages = {row["sha256"]: row for row in rows[tables.body]}
    rows[tables.body] = [pages[key] for key in sorted(pages)]  # in one order, or two that write might lock each other
    if rows[tables.link]:  # before the facts, or all of them would seem to be known
        rows[tables.link], last = chained(connection, rows[tables.link])
        rows[tables.probe] += last
    rows[tables.body_seen] = [{"sha256": row["sha256"], "seen": row["stored_at"]} for row in rows[tables.body]]
    rows[tables.probe] = _highest(rows[tables.probe])
    facts = rows.pop(tables.measurement)
    if facts and not _all_new(connection, facts):
        foreign = _other_content(connection, facts)
        voted = foreign | _judged(connection, facts)
        rows[tables.verdict] = [row for row in rows[tables.verdict] if row["measurement_id"] not in foreign]
        rows[tables.vote] = [row for row in rows[tables.vote] if row["measurement_id"] not in voted]
    if connection.dialect.name == "postgresql":
        for table in (tables.verdict, tables.vote):
            rows[table] = _with_time(connection, rows[table], facts)
    for table, some in rows.items():
        if some:
            if table is tables.vote:
                _alone(connection)
            _execute(connection, table, some)


def _all_new(connection: Connection, facts: Sequence[Row]) -> bool:
    """Store the facts that are not there; tell whether that is all of them.

    In months the table `known` decides what is there, since a key with the time in it cannot: of a fact that came with
    another time before, no second row is made.
    """
    if connection.dialect.name != "postgresql":
        return _execute(connection, tables.measurement, facts) == len(facts)
    if _execute(connection, known, [{"id": row["id"], "started": row["started"]} for row in facts]) == len(facts):
        _execute(connection, tables.measurement, facts)
        return True
    times = _times(connection, {row["id"] for row in facts})
    _execute(connection, tables.measurement, [row for row in facts if row["started"] == times[row["id"]]])
    return False


def _with_time(connection: Connection, rows: Sequence[Row], facts: Sequence[Row]) -> list[Row]:
    """Put into rows when their measurements began; raises StoreError when one is about no measurement."""
    times = {row["id"]: row["started"] for row in facts}
    others = {row["measurement_id"] for row in rows} - times.keys()
    if others:
        times |= _times(connection, others)
        for key in others - times.keys():
            raise StoreError(f"no measurement {key.hex()} is stored")
    return [{**row, "started": times[row["measurement_id"]]} for row in rows]


def _times(connection: Connection, keys: set[bytes]) -> dict[bytes, float]:
    """Tell when measurements began that are known."""
    found = connection.execute(select(known.c.id, known.c.started).where(known.c.id.in_(keys)))
    return {row.id: row.started for row in found}


def _execute(connection: Connection, table: Table, rows: Sequence[Row]) -> int:
    """Run a table's statement over rows, straight on the driver; return how many rows it changed.

    The values are what both drivers take as they are, so that SQLAlchemy's work on each of them, a third
    of the time of a batch, can be done once for the statement instead.
    """
    sql, keys = _compiled(table, connection.dialect)
    parameters = [tuple([row[key] for key in keys]) for row in rows] if keys else list(rows)
    if not parameters:
        return 0
    return connection.exec_driver_sql(sql, parameters).rowcount


@lru_cache(maxsize=64)
def _compiled(table: Table, dialect: Dialect) -> tuple[str, tuple[str, ...]]:
    """Return a table's statement, and the order of its parameters where they have one."""
    there = with_time(table) if dialect.name == "postgresql" else table
    keys = [column.name for column in there.columns if (table, column.name) != (tables.vote, "number")]
    compiled = _insert(there, dialect.name).compile(dialect=dialect, column_keys=keys)
    return str(compiled), tuple(compiled.positiontup or ()) if isinstance(compiled, SQLCompiler) else ()


def _insert(table: Table, dialect: str) -> Insert:
    statement: Insert = sqlite.insert(table) if dialect == "sqlite" else postgresql.insert(table)
    if table.name in _IN_MONTHS and dialect == "postgresql":
        return statement.on_conflict_do_nothing()  # its keys hold the time, which is one for each measurement
    if table is tables.body_seen:
        newer = statement.excluded.seen
        again = tables.body_seen.c.seen < newer - literal_column(_SEEN_AGAIN)
        return statement.on_conflict_do_update(index_elements=["sha256"], set_={"seen": newer}, where=again)
    if table is tables.probe:
        new, old = statement.excluded.last_sequence, tables.probe.c.last_sequence
        return statement.on_conflict_do_update(
            index_elements=["probe_id"], set_={"last_sequence": case((new > old, new), else_=old)}
        )
    if table is tables.spent:
        return statement.on_conflict_do_update(
            index_elements=["probe_id", "day"], set_={"bytes": tables.spent.c.bytes + statement.excluded.bytes}
        )
    if table is tables.vote:
        return statement.on_conflict_do_nothing(index_elements=["measurement_id", "layer", "strength"])
    return statement.on_conflict_do_nothing(index_elements=[column.name for column in table.primary_key])


def _alone(connection: Connection) -> None:
    """Let nobody else number votes until this transaction ends; on SQLite nobody else writes at all.

    Otherwise a vote could become visible after one with a higher number, and whoever reads on from there misses it.
    """
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_NUMBERING})")


def _judged(connection: Connection, facts: Sequence[Row]) -> set[bytes]:
    """Return the measurements that have a verdict already: their votes follow it, and are cast once."""
    column = tables.verdict.c.measurement_id
    here = on_months(started("verdict").between(*_span(facts)))
    found = connection.execute(select(column).where(column.in_({row["id"] for row in facts}), here))
    return {key for (key,) in found}


def _span(facts: Sequence[Row]) -> tuple[float, float]:
    times = [row["started"] for row in facts]
    return min(times), max(times)


def _highest(rows: Sequence[Row]) -> list[Row]:
    """Keep the highest sequence number of each probe: one row a batch, and no row twice in a statement."""
    ordered = sorted(rows, key=lambda row: row["last_sequence"])
    return list({row["probe_id"]: row for row in ordered}.values())


def _other_content(connection: Connection, facts: Sequence[Row]) -> set[bytes]:
    """Return the ids under which another fact is stored already, and log them. The first one stays.

    Raises StoreError when both came at once: one after the other the first one keeps its verdict.
    """
    table = tables.measurement
    wanted = {row["id"] for row in facts}
    mine = (table.c.id.in_(wanted), in_their_months(wanted))
    stored = select(table.c.id, table.c.digest, table.c.encoded).where(*mine)
    before = {row.id: row for row in connection.execute(stored)}
    others = []
    for row in facts:
        first = before.get(row["id"])
        if first is None or first.digest == row["digest"] or _same(row, first.encoded, first.digest):
            continue
        others.append(row)
    foreign = {row["id"] for row in others}
    if sum(row["id"] in foreign for row in facts) > len(foreign):
        raise StoreError("one id came with two contents at once")
    for row in others:
        log.error(
            "measurement %s came again with other content (sequence %s of probe %s): the first one stays",
            row["id"].hex(),
            row["sequence"],
            row["probe_id"],
        )
    return foreign


def _same(row: Row, encoded: bytes, digest: bytes) -> bool:
    """Compare by value: another version of this program may encode the same fact in other bytes."""
    name = row["id"].hex()
    try:
        return unpack(name, encoded, digest) == unpack(name, row["encoded"], row["digest"])
    except StoreError:
        return False
