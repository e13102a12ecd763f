"""How large a store is, part by part: rows, bytes, the oldest and the newest, and how fast it grows.

Cheap on large stores too: what would need a look at every row is then an estimate, and says so. SQLite tells the bytes
of a table by reading the whole file (`dbstat`, where it was compiled in), so only small files are asked; of others the
bytes are estimated from a few hundred rows. PostgreSQL knows the bytes, and how many rows it saw last.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

import msgspec
from sqlalchemy import Connection, Engine, func, select, text
from sqlalchemy.exc import SQLAlchemyError

from measurements.store import tables
from measurements.store.months import PARTITIONED, made

SMALL = 200e6  # bytes of a file that is read whole
SAMPLE = 300  # rows
WEEK = 7 * 86_400.0

_fact = tables.measurement


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """A table. What is None was not looked for; `about_rows` and `about_bytes` mark estimates."""

    name: str
    rows: int | None
    bytes: int | None
    oldest: float | None = None
    newest: float | None = None
    about_rows: bool = False
    about_bytes: bool = False


class Measures(msgspec.Struct, frozen=True, kw_only=True):
    """A store's size: the bytes on disk, and those that are free there (None on a server).

    `used` bytes hold something, `reusable` ones are free in the file, `growth` is bytes a day.
    """

    place: str
    size: int
    free: int | None
    parts: tuple[Part, ...]
    used: int
    reusable: int
    growth: float | None


def measures(engine: Engine, now: float, *, place: str, size: int, free: int | None, used: int) -> Measures:
    """Measure a store; raises what the database raises."""
    with engine.connect() as connection:
        if engine.dialect.name == "sqlite":
            names = ("page_count", "page_size")
            pages, each = (connection.exec_driver_sql(f"PRAGMA {name}").scalar_one() for name in names)
            parts = tuple(_of_file(connection, pages * each))
            reusable = pages * each - used
        else:
            parts, reusable = tuple(_of_server(connection)), 0
        lately = select(func.count()).select_from(_fact).where(_fact.c.started.between(now - WEEK, now))
        recent = int(connection.execute(lately).scalar_one())
    facts = sum(part.rows or 0 for part in parts if part.name.startswith("measurement"))
    growth = recent / 7.0 * used / facts if facts and recent else None
    return Measures(place=place, size=size, free=free, parts=parts, used=used, reusable=max(reusable, 0), growth=growth)


def _of_file(connection: Connection, size: int) -> Iterator[Part]:
    sizes: dict[str, int] = {}
    if size <= SMALL:
        with suppress(SQLAlchemyError):  # where it is not compiled in
            sizes = {name: int(taken) for name, taken in connection.exec_driver_sql(_PAGES)}
    for table in tables.metadata.tables.values():
        if size <= SMALL or table.name in ("event", "gap"):
            rows, guessed = int(connection.execute(select(func.count()).select_from(table)).scalar_one()), False
        elif table.dialect_options["sqlite"]["with_rowid"] is False:
            continue  # nothing but counting tells its rows
        else:
            span = f"SELECT coalesce(max(rowid) - min(rowid) + 1, 0) FROM {table.name}"  # noqa: S608
            rows, guessed = int(connection.exec_driver_sql(span).scalar_one()), True
        taken, about = sizes.get(table.name), False
        if taken is None and table.name in ("measurement", "body"):
            content = "encoded" if table is _fact else "copy"
            some = f"SELECT avg(length({content})) FROM (SELECT {content} FROM {table.name} LIMIT {SAMPLE})"  # noqa: S608
            taken, about = int((connection.exec_driver_sql(some).scalar() or 0) * rows), True
        first, last = _span(connection) if table is _fact else (None, None)
        yield Part(
            name=str(table.name),
            rows=rows,
            bytes=taken,
            oldest=first,
            newest=last,
            about_rows=guessed,
            about_bytes=about,
        )


def _span(connection: Connection, name: str = "measurement") -> tuple[float | None, float | None]:
    ends = "SELECT (SELECT min(started) FROM {0}), (SELECT max(started) FROM {0})"  # one search in an index each
    first, last = connection.exec_driver_sql(ends.format(name)).one()
    return first, last


def _of_server(connection: Connection) -> Iterator[Part]:
    parts = {f"{table.name}_{month}" for table in PARTITIONED for month in made(connection)}
    whole = {*parts, "known", *(name for name in tables.metadata.tables if name not in _IN_MONTHS)}
    for name, rows, taken in connection.execute(text(_CATALOGUE), {"names": sorted(whole)}):
        first, last = _span(connection, name) if name.startswith("measurement_") else (None, None)
        if rows < 0 or taken < 100_000:  # never looked at by the server, or soon counted
            counted = connection.exec_driver_sql(f'SELECT count(*) FROM "{name}"').scalar_one()  # noqa: S608
            yield Part(name=name, rows=counted, bytes=taken, oldest=first, newest=last)
        else:
            yield Part(name=name, rows=int(rows), bytes=taken, oldest=first, newest=last, about_rows=True)


_IN_MONTHS = {table.name for table in PARTITIONED}
_PAGES = """
    SELECT m.tbl_name, sum(s.pgsize) FROM dbstat s JOIN sqlite_master m ON m.name = s.name
    WHERE s.aggregate = TRUE GROUP BY m.tbl_name
"""
_CATALOGUE = """
    SELECT relname, reltuples, pg_total_relation_size(oid) FROM pg_class
    WHERE relname = ANY(:names) AND relkind = 'r' AND pg_table_is_visible(oid) ORDER BY relname
"""
