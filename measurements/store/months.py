"""A table a month on PostgreSQL: what was measured, what it was judged to mean, and how that votes.

`measurement`, `verdict` and `vote` are partitioned by when the measurement began (UTC), so that what concerns a
stretch of time reads only the months of it, an index stays small enough for memory, and a month goes by dropping
its tables. The tables of a month are made ahead, for this month and two more, and for any other month at the moment
a row of it arrives, since imports bring old ones. What lies outside of `FIRST` to `LAST`, where only a wrong clock
measures, shares `early` and `late`. So no row is without a place, and there is no partition for the rest, whose rows
would hinder making the right one later.

A key of a partitioned table has to hold the time, so that it cannot keep an id from coming twice with two times. The
table `known` does: one small row for each measurement, its id and when it began, in no partition. Whoever looks for
an id finds there which month to look into. Verdicts and votes hold the time as well, on PostgreSQL only, and have no
foreign key, which would hinder dropping a month.

SQLite has none of this: the definitions in `tables` are its tables as they are, and conditions that only help to
choose a month are left out of its statements (`on_months`).
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Collection, Iterable
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    Boolean,
    Column,
    Connection,
    Double,
    Engine,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    literal_column,
    select,
    text,
)
from sqlalchemy.exc import ProgrammingError
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.elements import ColumnElement
from sqlalchemy.sql.functions import FunctionElement

from measurements.store import tables

PARTITIONED = (tables.measurement, tables.verdict, tables.vote)
FIRST, LAST = (2010, 1), (2060, 1)  # the months that have tables of their own: from here, until there
EARLY, LATE = "early", "late"
AHEAD = 2  # months
_MAKING = 0x4D4F4E54  # PostgreSQL's advisory lock for making the tables of a month
_REFUSED = "42501"

known = Table(
    "known",
    MetaData(),
    Column("id", LargeBinary, nullable=False),
    Column("started", Double, nullable=False),
    PrimaryKeyConstraint("id"),
)

log = logging.getLogger(__name__)


class on_months(FunctionElement[bool]):  # written like a function in a statement
    """Hold where a condition holds, which follows from the others, and is left out where there are no months."""

    type = Boolean()
    inherit_cache = True

    def __init__(self, condition: ColumnElement[bool]) -> None:
        super().__init__(condition)


@compiles(on_months)
def _left_out(_element: on_months, _compiler: SQLCompiler, **_options: Any) -> str:
    return "1 = 1"


@compiles(on_months, "postgresql")
def _kept(element: on_months, compiler: SQLCompiler, **options: Any) -> str:
    (condition,) = element.clauses
    return f"({compiler.process(condition, **options)})"


def started(name: str) -> ColumnElement[float]:
    """Name the time in a table (or alias) of verdicts or votes, which only PostgreSQL has there."""
    return literal_column(f"{name}.started", Double())


def in_their_months(ids: Collection[bytes]) -> ColumnElement[bool]:
    """Look only into the months in which some measurements began: no month has an index that begins with the id."""
    times = select(known.c.started).where(known.c.id.in_(ids))
    return on_months(tables.measurement.c.started.in_(times))


def with_time(table: Table) -> Table:
    """Describe a table as PostgreSQL has it, with the time in verdicts and votes."""
    if table is tables.measurement or table not in PARTITIONED:
        return table
    columns = [Column(column.name, column.type, nullable=column.nullable) for column in table.columns]
    return Table(table.name, MetaData(), *columns, Column("started", Double, nullable=False))


def month_of(time: float) -> str:
    """Name the month of a time in UTC seconds since the epoch: `2026_11`, or `early` or `late`."""
    if not time >= _begin(*FIRST):
        return LATE if time != time else EARLY  # PostgreSQL takes what is no number for larger than any
    if time >= _begin(*LAST):
        return LATE
    moment = datetime.fromtimestamp(time, UTC)
    return f"{moment.year:04}_{moment.month:02}"


def bounds(month: str) -> tuple[float, float]:
    """Return when a month begins, and when the next one does, in UTC seconds since the epoch."""
    if month == EARLY:
        return float("-inf"), _begin(*FIRST)
    if month == LATE:
        return _begin(*LAST), float("inf")
    year, number = (int(part) for part in month.split("_"))
    return _begin(year, number), _begin(*_next(year, number))


def ahead_of(now: float) -> list[str]:
    """Name the month of a time and those that are made ahead of it."""
    months = [month_of(now)]
    while len(months) <= AHEAD:
        months.append(month_of(bounds(months[-1])[1]))
    return months


def made(connection: Connection) -> set[str]:
    """Return the months that have their tables."""
    found = connection.execute(
        text("SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'measurement'::regclass")
    )
    return {name.strip('"').rpartition(".")[2].removeprefix("measurement_") for (name,) in found}


def make(connection: Connection, wanted: Iterable[str]) -> None:
    """Make the tables of those months that have none, in the connection's transaction.

    They are made beside and then attached, which lets others go on reading and writing.
    """
    connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _MAKING})
    for month in sorted(set(wanted) - made(connection)):
        for table in PARTITIONED:
            connection.exec_driver_sql(f"CREATE TABLE {table.name}_{month} (LIKE {table.name} INCLUDING ALL)")
        attach(connection, month)
        log.info("the tables of the month %s were made", month)


def attach(connection: Connection, month: str) -> None:
    """Make tables with the names of a month its partitions."""
    since, until = (_literal(bound) for bound in bounds(month))
    for table in PARTITIONED:
        values = f"FROM ({since}) TO ({until})"
        connection.exec_driver_sql(
            f"ALTER TABLE {table.name} ATTACH PARTITION {table.name}_{month} FOR VALUES {values}"
        )


class Months:
    """Sees to it that there are tables for what is going to be stored; `now` is the clock, in UTC seconds.

    On SQLite it has nothing to do. `trouble` says why tables could not be made, in a sentence.
    """

    def __init__(self, engine: Engine, now: Callable[[], float]) -> None:
        self._engine = engine
        self._now = now
        self._made: set[str] = set()
        self._guard = threading.Lock()
        self.trouble: str | None = None

    def make_for(self, times: Iterable[float] = ()) -> None:
        """Make what is missing for rows of these times, and ahead; raises what the database raises.

        Where this user may not, `trouble` says so, and the rows that have no table are refused when they come.
        """
        if self._engine.dialect.name != "postgresql":
            return
        wanted = {*ahead_of(self._now()), *map(month_of, times)}
        with self._guard:
            if wanted <= self._made:
                return
            with self._engine.begin() as connection:
                self._made = made(connection)
            missing = ", ".join(sorted(wanted - self._made))
            if not missing:
                return
            try:
                with self._engine.begin() as connection:
                    make(connection, wanted)
            except ProgrammingError as error:
                if getattr(error.orig, "sqlstate", None) != _REFUSED:
                    raise
                self.trouble = (
                    f"this user may not make the tables of {missing.replace('_', '-')}, and what is measured in that "
                    "time will not be stored: let the owner of the tables run `wazi store upgrade` once a month, or "
                    "run Wazi as the owner"
                )
                log.error("%s", self.trouble)
                self._made |= wanted  # not asked again for each batch
            else:
                self.trouble = None
                self._made |= wanted

    def forget(self) -> None:
        """Look again which tables there are: somebody else may have dropped a month."""
        with self._guard:
            self._made = set()


def _next(year: int, month: int) -> tuple[int, int]:
    return (year, month + 1) if month < 12 else (year + 1, 1)


def _begin(year: int, month: int) -> float:
    return datetime(year, month, 1, tzinfo=UTC).timestamp()


def _literal(bound: float) -> str:
    return {float("-inf"): "MINVALUE", float("inf"): "MAXVALUE"}.get(bound) or f"{bound:.0f}"
