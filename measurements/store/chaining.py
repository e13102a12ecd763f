"""Links for what is about to be stored, in the transaction that stores it: a chain that is there is whole.

Whoever adds to a chain holds its lock until the transaction ends, so that two programs that measure as one probe into
one PostgreSQL make one chain; an SQLite file has one writer at a time anyway. A link takes the number of its
measurement. Where numbers before it were given to measurements that were never stored, a note says so; where its
number is taken already, it gets the next one.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, RowMapping, select

from measurements.evidence.canonical import EXACT
from measurements.evidence.chain import Link, genesis, link_after, note_after
from measurements.store import tables
from measurements.store.months import known
from measurements.store.packing import Row

_CHAINING = 0x57414348  # PostgreSQL's advisory lock for adding to a chain, with the probe's hash
_HOLE = "These numbers were given to measurements that could not be stored."

_link = tables.link


def chained(connection: Connection, rows: Sequence[Row]) -> tuple[list[Row], list[Row]]:
    """Complete the rows of links of measurements that are new; return them, and the last number of each probe."""
    made: list[Row] = []
    last: list[Row] = []
    for probe_id in sorted({row["probe_id"] for row in rows}):
        lock(connection, probe_id)
        mine: dict[bytes, Row] = {}
        for row in rows:
            if row["probe_id"] == probe_id:
                mine.setdefault(row["measurement_id"], row)
        key = (known if connection.dialect.name == "postgresql" else tables.measurement).c.id
        before = set(connection.execute(select(key).where(key.in_(mine))).scalars())
        fresh = [row for mark, row in mine.items() if mark not in before]
        if fresh:
            made += _continued(head(connection, probe_id), fresh)
            last.append({"probe_id": probe_id, "last_sequence": made[-1]["sequence"]})
    return made, last


def lock(connection: Connection, probe_id: str) -> None:
    """Let nobody else add to a probe's chain until this transaction ends."""
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql("SELECT pg_advisory_xact_lock(%s::int, hashtext(%s))", (_CHAINING, probe_id))


def head(connection: Connection, probe_id: str) -> Link | None:
    """Return the last link of a probe's chain."""
    statement = select(_link).where(_link.c.probe_id == probe_id).order_by(_link.c.sequence.desc()).limit(1)
    row = connection.execute(statement).mappings().one_or_none()
    return None if row is None else as_link(row)


def as_link(row: RowMapping) -> Link:
    """Read a link."""
    return Link(
        probe_id=row["probe_id"],
        sequence=row["sequence"],
        measurement_id=row["measurement_id"].hex(),
        record=row["record"].hex(),
        chain=row["chain"].hex(),
        note=row["note"],
    )


def as_row(link: Link) -> Row:
    """Return the row of a link."""
    return {
        "probe_id": link.probe_id,
        "sequence": link.sequence,
        "measurement_id": bytes.fromhex(link.measurement_id),
        "record": bytes.fromhex(link.record),
        "chain": bytes.fromhex(link.chain),
        "note": link.note,
    }


def _continued(last: Link | None, fresh: Sequence[Row]) -> list[Row]:
    """Make the links of some measurements, and the notes of holes between them, after the last one there is."""
    probe_id = fresh[0]["probe_id"]
    before = max(fresh[0]["sequence"] - 1, 0)  # of a new chain: what was measured before it has no link
    number, chain = (before, genesis(probe_id, before)) if last is None else (last.sequence, last.chain)
    rows: list[Row] = []
    for row in fresh:
        wanted = row["sequence"] if number < row["sequence"] <= EXACT else number + 1
        if wanted > number + 1:
            hole = note_after(chain, probe_id=probe_id, first=number + 1, last=wanted - 1, kind="hole", why=_HOLE)
            rows.append(as_row(hole))
            chain = hole.chain
        link = link_after(
            chain,
            probe_id=probe_id,
            sequence=wanted,
            measurement_id=row["measurement_id"].hex(),
            record=row["record"].hex(),
        )
        rows.append(as_row(link))
        number, chain = link.sequence, link.chain
    return rows
