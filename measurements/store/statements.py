"""The statements that write, in the two dialects, each so that doing it again changes nothing.

Only `spent` counts up: after a commit whose answer was lost it may be counted twice, which errs on the
side of the volunteer's purse.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import lru_cache

from sqlalchemy import Connection, Dialect, Table, case, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.sql.compiler import SQLCompiler

from measurements.store import tables
from measurements.store.chaining import chained
from measurements.store.errors import StoreError
from measurements.store.packing import Row, Rows, unpack

log = logging.getLogger(__name__)

_TABLES = (
    tables.body,
    tables.measurement,
    tables.link,
    tables.verdict,
    tables.gap,
    tables.probe,
    tables.spent,
    tables.vote,
)
_NUMBERING = 0x564F5445  # PostgreSQL's advisory lock for giving votes their numbers

Insert = sqlite.Insert | postgresql.Insert


def insert(connection: Connection, changes: Sequence[Rows]) -> None:
    """Store the rows of several changes, each table in one round trip.

    Votes go last: while they get their numbers, nobody else's may become visible (`_alone`).
    """
    rows = {table: [row for change in changes for row in change.get(table, ())] for table in _TABLES}
    rows[tables.body] = list({row["sha256"]: row for row in rows[tables.body]}.values())
    if rows[tables.link]:  # before the facts, or all of them would seem to be known
        rows[tables.link], last = chained(connection, rows[tables.link])
        rows[tables.probe] += last
    rows[tables.probe] = _highest(rows[tables.probe])
    facts = rows.pop(tables.measurement)
    if facts and _execute(connection, tables.measurement, facts) != len(facts):
        foreign = _other_content(connection, facts)
        voted = foreign | _judged(connection, facts)
        rows[tables.verdict] = [row for row in rows[tables.verdict] if row["measurement_id"] not in foreign]
        rows[tables.vote] = [row for row in rows[tables.vote] if row["measurement_id"] not in voted]
    for table, some in rows.items():
        if some:
            if table is tables.vote:
                _alone(connection)
            _execute(connection, table, some)


def _execute(connection: Connection, table: Table, rows: Sequence[Row]) -> int:
    """Run a table's statement over rows, straight on the driver; return how many rows it changed.

    The values are what both drivers take as they are, so that SQLAlchemy's work on each of them, a third
    of the time of a batch, can be done once for the statement instead.
    """
    sql, keys = _compiled(table, connection.dialect)
    parameters = [tuple([row[key] for key in keys]) for row in rows] if keys else list(rows)
    return connection.exec_driver_sql(sql, parameters).rowcount


@lru_cache(maxsize=64)
def _compiled(table: Table, dialect: Dialect) -> tuple[str, tuple[str, ...]]:
    """Return a table's statement, and the order of its parameters where they have one."""
    keys = [column.name for column in table.columns if column is not tables.vote.c.number]
    compiled = _insert(table, dialect.name).compile(dialect=dialect, column_keys=keys)
    return str(compiled), tuple(compiled.positiontup or ()) if isinstance(compiled, SQLCompiler) else ()


def _insert(table: Table, dialect: str) -> Insert:
    statement: Insert = sqlite.insert(table) if dialect == "sqlite" else postgresql.insert(table)
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
    found = connection.execute(select(column).where(column.in_({row["id"] for row in facts})))
    return {key for (key,) in found}


def _highest(rows: Sequence[Row]) -> list[Row]:
    """Keep the highest sequence number of each probe: one row a batch, and no row twice in a statement."""
    ordered = sorted(rows, key=lambda row: row["last_sequence"])
    return list({row["probe_id"]: row for row in ordered}.values())


def _other_content(connection: Connection, facts: Sequence[Row]) -> set[bytes]:
    """Return the ids under which another fact is stored already, and log them. The first one stays."""
    table = tables.measurement
    wanted = {row["id"] for row in facts}
    known = {
        row.id: row
        for row in connection.execute(select(table.c.id, table.c.digest, table.c.encoded).where(table.c.id.in_(wanted)))
    }
    foreign: set[bytes] = set()
    for row in facts:
        first = known.get(row["id"])
        if first is None or first.digest == row["digest"] or _same(row, first.encoded, first.digest):
            continue
        foreign.add(row["id"])
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
