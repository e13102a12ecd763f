"""What is taken out of a store again, when somebody set a term: measurements by stretches of time, and pages.

Four things stay whatever the term is. What an event names as its witnesses is evidence, and stays with its pages; only
its votes go, which were counted. A measurement whose votes were not yet counted waits until they were. Events and gaps,
and the links of the chain, are never touched. A page stays while it is still seen (`body_seen`).

On SQLite rows go in small batches, with pauses in which the writer has the file. What is deleted is overwritten with
zeros (`secure_delete`), the -wal is emptied afterwards, since it holds older copies of pages of the file, and free
space at the end of the file is given back to the disk in small steps. On PostgreSQL a month goes by dropping its
tables; its witnesses move into fresh tables of the same month within the same transaction. That needs a lock that
everybody's statements wait for, so it is asked for last, and given up after two seconds in favour of a later attempt.
"""

from __future__ import annotations

import logging
import re
import sqlite3
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import NamedTuple

from sqlalchemy import Connection, Engine, delete, func, select, text, tuple_
from sqlalchemy.exc import OperationalError, SQLAlchemyError
from sqlalchemy.sql.elements import ColumnElement

from measurements.store import tables
from measurements.store.errors import StoreBusy, StoreError, explain
from measurements.store.ledger import LIVE
from measurements.store.months import PARTITIONED, attach, bounds, in_their_months, month_of
from measurements.store.packing import digests, unpack
from measurements.store.sqlite_file import INCREMENTAL, make_shrinkable

BATCH = 200
CANDIDATES = 10_000
SERVED = 20  # times as many pages at once on a server, where telling how much is used takes longer
STEP = 256  # pages of the file that are given back in one step: a megabyte
LOCKED = "55P03"
_DELETING = 0x44524F50  # PostgreSQL's advisory lock for deleting what is due
_AN_ID = re.compile(rb"\b[0-9a-f]{32}\b")
SHARE = 2.0  # of the time of a batch that is left to others after it
_WAIT = "2s"

_fact, _opinion, _vote, _body, _seen = tables.measurement, tables.verdict, tables.vote, tables.body, tables.body_seen

log = logging.getLogger(__name__)


class Stretch(NamedTuple):
    """A month, or the part of it that is before some time (`until`, exclusive); UTC seconds."""

    month: str
    since: float
    until: float

    @property
    def is_whole(self) -> bool:
        """Whether it is the month to its end."""
        return self.until >= bounds(self.month)[1]


class Discards:
    """Takes out of a store what its terms say.

    `broken` tells why nothing may be written; one at a time of those that share `queue` may write; `pause` waits.
    """

    def __init__(
        self,
        engine: Engine,
        place: str,
        path: Path | None,
        broken: Callable[[], StoreError | None],
        queue: AbstractContextManager[object],
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self._engine = engine
        self._writing = engine.execution_options(wazi_writes=True)
        self._place = place
        self._path = path
        self._broken = broken
        self._queue = queue
        self._pause = pause
        self._pages_of: dict[bytes, set[bytes]] = {}
        self.by_month = engine.dialect.name == "postgresql"

    @contextmanager
    def alone(self) -> Iterator[bool]:
        """Tell whether nobody else who shares the store is deleting, and keep it so; an SQLite file has one writer."""
        if not self.by_month:
            yield True
            return
        with self._connection() as connection:
            mine = bool(connection.execute(text("SELECT pg_try_advisory_lock(:key)"), {"key": _DELETING}).scalar_one())
            connection.rollback()  # the lock is the session's, and an open transaction would hinder cleaning
            try:
                yield mine
            finally:
                if mine:
                    connection.execute(text("SELECT pg_advisory_unlock(:key)"), {"key": _DELETING})

    # What stays

    def witnesses(self) -> frozenset[bytes]:
        """Return the ids of the measurements that any event names, or ever named, also one that cannot be read."""
        found: set[bytes] = set()
        with self._connection() as connection:
            for table in (tables.event, tables.event_version):
                for (encoded,) in connection.execute(select(table.c.encoded)):
                    found.update(bytes.fromhex(name.decode()) for name in _AN_ID.findall(encoded))
        return frozenset(found)

    def uncounted(self) -> int:
        """Return how many measurements wait until their votes are counted."""
        with self._connection() as connection:
            counted = _counted(connection)
            waiting = select(func.count(_vote.c.measurement_id.distinct())).where(_vote.c.number > counted)
            return int(connection.execute(waiting).scalar_one())

    # Measurements

    def stretches(self, before: float) -> list[Stretch]:
        """Return the months in which anything was measured before a time, the oldest first; the last one cut there."""
        found: list[Stretch] = []
        since = float("-inf")
        with self._connection() as connection:
            while since < before:
                later = _fact.c.started < before if since == float("-inf") else _fact.c.started.between(since, before)
                first = connection.execute(select(func.min(_fact.c.started)).where(later)).scalar_one()
                if first is None or first >= before:
                    break
                month = month_of(first)
                since = bounds(month)[1]
                found.append(Stretch(month, bounds(month)[0], min(since, before)))
        return found

    def oldest(self, kept: Collection[bytes] = ()) -> float | None:
        """Return when the first measurement began that is in the store, and not among `kept`."""
        keys = (_fact.c.started, _fact.c.id)
        with self._connection() as connection:
            some = select(*keys).order_by(*keys).execution_options(yield_per=BATCH)
            with connection.execute(some) as rows:
                return next((float(row.started) for row in rows if row.id not in kept), None)

    def due(self, stretch: Stretch, kept: Collection[bytes]) -> Iterator[bytes]:
        """Yield the ids in a stretch that may go: all but `kept`, and those whose votes were not yet counted."""
        after = None
        while True:
            with self._connection() as connection:
                page, free = _page(connection, stretch, after, kept)
            yield from free
            if len(page) < BATCH:
                return
            after = page[-1]

    def discard(
        self,
        stretch: Stretch,
        kept: Collection[bytes],
        only: Collection[bytes] | None = None,
        enough: Callable[[], bool] = lambda: False,
    ) -> int:
        """Delete what may go in a stretch, of that only what is in `only` if that is given; return how many went.

        It goes from the oldest on, until it is `enough`. On PostgreSQL the stretch must be a whole month, and goes at
        once; where something came into it that is not in `only`, nothing goes. Raises StoreError; StoreBusy where
        somebody goes on reading it.
        """
        if self.by_month:
            return self._drop(stretch, kept, only)
        gone, after = 0, None
        while not enough():
            with self._connection(writing=True) as connection:
                began = time.monotonic()  # others are not left more time for having been waited for
                page, free = _page(connection, stretch, after, kept)
                _silence(connection, [key for _, key in page if key in kept])
                going = [key for key in free if only is None or key in only]
                if going:
                    for column in (_vote.c.measurement_id, _opinion.c.measurement_id, _fact.c.id):
                        connection.execute(delete(column.table).where(column.in_(going)))
            gone += len(going)
            if len(page) < BATCH:
                break
            after = page[-1]
            self._pause((time.monotonic() - began) * SHARE)
        return gone

    def _drop(self, stretch: Stretch, kept: Collection[bytes], only: Collection[bytes] | None) -> int:
        """Drop the tables of a month, and put back what stays."""
        month = stretch.month
        names = [f"{table.name}_{month}" for table in PARTITIONED]
        try:
            with self._connection(writing=True) as connection:
                connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{_WAIT}'")
                connection.exec_driver_sql(f"LOCK TABLE {', '.join(names)} IN SHARE MODE")  # nobody writes to it now
                numbers = {"number": _counted(connection), "kept": list(kept)}
                connection.exec_driver_sql(_SILENCED.format(month=month), numbers)
                stays = connection.exec_driver_sql(_STAYS.format(month=month), numbers).scalars().all()
                total = select(func.count()).select_from(_fact).where(*_within(stretch))
                going = int(connection.execute(total).scalar_one()) - len(stays)
                if not going or (only is not None and going != len(only)):
                    return 0
                since, until = bounds(month)
                gone = (since, until, stays)
                connection.exec_driver_sql(
                    "DELETE FROM known WHERE started >= %s AND started < %s AND id <> ALL(%s)", gone
                )
                for table, name in zip(PARTITIONED, names, strict=True):
                    if stays:
                        key = "id" if table is _fact else "measurement_id"
                        connection.exec_driver_sql(f"CREATE TABLE {name}_left (LIKE {table.name} INCLUDING ALL)")
                        rows = f"SELECT * FROM {name} WHERE {key} = ANY(%s)"  # noqa: S608
                        connection.exec_driver_sql(f"INSERT INTO {name}_left {rows}", (stays,))
                for name in names:
                    connection.exec_driver_sql(f"DROP TABLE {name}")
                    if stays:
                        connection.exec_driver_sql(f"ALTER TABLE {name}_left RENAME TO {name}")
                if stays:
                    attach(connection, month)
            return going
        except StoreError as error:
            cause = getattr(error.__cause__, "orig", None)
            if isinstance(error.__cause__, OperationalError) and getattr(cause, "sqlstate", None) == LOCKED:
                raise StoreBusy(
                    f"measurements of {month.replace('_', '-')} are being read by another program: they go another time"
                ) from error
            raise

    # Pages

    def pages_of(self, ids: Collection[bytes]) -> set[bytes]:
        """Return the digests of the pages that some measurements name; those that are damaged name none."""
        new = [key for key in ids if key not in self._pages_of]
        for begin in range(0, len(new), BATCH):
            some = new[begin : begin + BATCH]
            with self._connection() as connection:
                mine = (_fact.c.id.in_(some), in_their_months(some))
                rows = connection.execute(select(_fact.c.id, _fact.c.encoded, _fact.c.digest).where(*mine)).all()
            for row in rows:
                try:
                    self._pages_of[row.id] = digests(unpack(row.id.hex(), row.encoded, row.digest))
                except StoreError as error:
                    log.error("%s: its pages are not looked after", error)
        return set().union(*(self._pages_of.get(key, set()) for key in ids))

    def longest_unseen(self) -> float | None:
        """Return when the page that was not seen for longest was last seen."""
        with self._connection() as connection:
            found: float | None = connection.execute(select(func.min(_seen.c.seen))).scalar()
        return found

    def pages_before(self, seen: float) -> int:
        """Count the pages that were last seen before a time."""
        with self._connection() as connection:
            return int(connection.execute(select(func.count()).where(_seen.c.seen < seen)).scalar_one())

    def discard_pages(self, seen: float, kept: Collection[bytes], enough: Callable[[], bool] = lambda: False) -> int:
        """Delete pages that were last seen before a time, the longest unseen first, until it is `enough`."""
        gone, after = 0, (float("-inf"), b"")
        each = BATCH * (SERVED if self.by_month else 1)
        while True:
            follows = () if not after[1] else (tuple_(_seen.c.seen, _seen.c.sha256) > after,)
            wanted = select(_seen.c.seen, _seen.c.sha256).where(_seen.c.seen < seen, *follows)
            with self._connection() as connection:  # all that is small is read, and sorted: there is no index to do it
                oldest = connection.execute(wanted.order_by(*wanted.selected_columns).limit(CANDIDATES)).all()
            keys = [row.sha256 for row in oldest if row.sha256 not in kept]
            for begin in range(0, len(keys), each):
                if enough():
                    return gone
                gone += self._delete_pages(keys[begin : begin + each], seen)
            if len(oldest) < CANDIDATES:
                return gone
            after = (oldest[-1].seen, oldest[-1].sha256)

    def _delete_pages(self, keys: Sequence[bytes], seen: float) -> int:
        """Delete those of some pages that were not seen since; return how many there were."""
        with self._connection(writing=True) as connection:
            began = time.monotonic()
            still = select(_seen.c.sha256).where(_seen.c.sha256.in_(keys), _seen.c.seen < seen)
            going = connection.execute(still.with_for_update(skip_locked=True)).scalars().all()
            for table in (_body, _seen):
                connection.execute(delete(table).where(table.c.sha256.in_(going)))
        self._pause((time.monotonic() - began) * SHARE)
        return len(going)

    # Space

    def used(self) -> int:
        """Return the bytes that are taken: of the file without its free pages, or of the tables on the server."""
        with self._connection() as connection:
            if not self.by_month:
                pages, free, size = (
                    connection.exec_driver_sql(f"PRAGMA {name}").scalar_one()
                    for name in ("page_count", "freelist_count", "page_size")
                )
                return int((pages - free) * size)
            # What was deleted from `body` is used again, and the table does not shrink: what is in it counts.
            return int(connection.execute(text(_USED)).scalar_one())

    def make_shrinkable(self) -> bool:
        """Rewrite a file of an older version so that it can give space back; tell whether the file can do that now.

        Nobody writes meanwhile, so it is for a store that is not measured into.
        """
        if self._path is None:
            return True
        with self._raw():
            self._engine.dispose()
        try:
            return make_shrinkable(self._path)
        except sqlite3.Error as error:
            raise explain(error, self._place) from error

    def give_back(self, enough: Callable[[], bool] = lambda: False) -> None:
        """Give free space back to the disk where the file can do that, and leave nothing deleted in the -wal."""
        if self.by_month:
            return
        with self._raw() as connection:
            left = _free(connection)
            while left and not enough() and connection.execute("PRAGMA auto_vacuum").fetchone()[0] == INCREMENTAL:
                with self._queue:
                    began, before = time.monotonic(), left
                    connection.executescript(f"PRAGMA incremental_vacuum({STEP})")  # `execute` would take a single step
                    left = _free(connection)
                if left >= before:
                    break
                self._pause((time.monotonic() - began) * SHARE)
            with self._queue:
                connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()  # in vain while somebody reads

    @contextmanager
    def _raw(self) -> Iterator[sqlite3.Connection]:
        if (refusal := self._broken()) is not None:
            raise refusal
        borrowed = self._engine.raw_connection()
        try:
            assert isinstance(borrowed.driver_connection, sqlite3.Connection)
            yield borrowed.driver_connection
        except sqlite3.Error as error:
            raise explain(error, self._place) from error
        finally:
            borrowed.close()

    @contextmanager
    def _connection(self, *, writing: bool = False) -> Iterator[Connection]:
        if writing and (refusal := self._broken()) is not None:
            raise refusal
        try:
            if writing:
                with self._queue, self._writing.begin() as connection:
                    yield connection
            else:
                with self._engine.connect() as connection:
                    yield connection
        except (SQLAlchemyError, UnicodeDecodeError) as error:
            raise explain(error, self._place) from error


_SILENCED = "DELETE FROM vote_{month} WHERE number <= %(number)s AND measurement_id = ANY(%(kept)s)"
_STAYS = """
    SELECT id FROM measurement_{month} WHERE id = ANY(%(kept)s)
    UNION SELECT measurement_id FROM vote_{month} WHERE number > %(number)s
"""
_USED = """
    SELECT coalesce(sum(pg_total_relation_size(inhrelid)), 0) + pg_total_relation_size('known')
        + (SELECT coalesce(sum(octet_length(copy)), 0) FROM body)
    FROM pg_inherits WHERE inhparent IN ('measurement'::regclass, 'verdict'::regclass, 'vote'::regclass)
        AND inhrelid IN (SELECT oid FROM pg_class WHERE relkind = 'r')
"""


def _page(
    connection: Connection, stretch: Stretch, after: tuple[float, bytes] | None, kept: Collection[bytes]
) -> tuple[list[tuple[float, bytes]], list[bytes]]:
    """Read some of a stretch, and which of it may go."""
    follows = () if after is None else (tuple_(_fact.c.started, _fact.c.id) > after,)
    rows = select(_fact.c.started, _fact.c.id).where(*_within(stretch), *follows)
    page = [(row.started, row.id) for row in connection.execute(rows.order_by(*rows.selected_columns).limit(BATCH))]
    free = [key for _, key in page if key not in kept]
    late = select(_vote.c.measurement_id).where(_vote.c.measurement_id.in_(free), _vote.c.number > _counted(connection))
    waiting = set(connection.execute(late).scalars()) if free else set()
    return page, [key for key in free if key not in waiting]


def _free(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA freelist_count").fetchone()[0])


def _within(stretch: Stretch) -> tuple[ColumnElement[bool], ...]:
    lower = () if stretch.since == float("-inf") else (_fact.c.started >= stretch.since,)
    return (*lower, _fact.c.started < stretch.until)


def _silence(connection: Connection, witnesses: Sequence[bytes]) -> None:
    """Take back votes of witnesses that stay while what was measured around them goes.

    Should all be counted anew, they alone would accuse: an event that ended long ago would seem to go on.
    """
    if witnesses:
        theirs = _vote.c.measurement_id.in_(witnesses)
        connection.execute(delete(_vote).where(theirs, _vote.c.number <= _counted(connection)))


def _counted(connection: Connection) -> int:
    """Return the number of the last vote that was counted."""
    number = select(tables.detector.c.number).where(tables.detector.c.name == LIVE)
    return int(connection.execute(number).scalar() or 0)
