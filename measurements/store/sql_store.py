"""The store as the rooms see it: writing is queued, reading is paged.

Reading goes in pages, each a short transaction of its own that continues after the last row of the one
before, so that an export of a year needs little memory, keeps no snapshot open (which would keep
SQLite's -wal from shrinking) and runs beside the writer. Rows added meanwhile may appear or not.

Every method may be called from any thread. Those that read wait for the database, about a millisecond
on SQLite; an event loop that cannot afford that calls them by `asyncio.to_thread`.
"""

from __future__ import annotations

import logging
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from sqlalchemy import Connection, Engine, RowMapping, func, select
from sqlalchemy.exc import SQLAlchemyError

from measurements.model import Gap, Measurement, Outcome, PaceSoFar, Verdict
from measurements.store import paces, queries, tables
from measurements.store.chains import Chains
from measurements.store.claims import Claims
from measurements.store.deliveries import Deliveries
from measurements.store.discards import Discards
from measurements.store.errors import NotFound, StoreBroken, StoreError, explain
from measurements.store.ledger import Ledger
from measurements.store.measures import Measures, measures
from measurements.store.months import Months
from measurements.store.packing import (
    Outline,
    Rows,
    digests,
    id_bytes,
    pack,
    pack_gap,
    pack_verdict,
    unpack,
    unpack_body,
    unpack_verdict,
    with_bodies,
)
from measurements.store.queries import Filter, Key, Query
from measurements.store.records import Entry, Health, Kept, Opinion
from measurements.store.sqlite_file import Lock
from measurements.store.writer import Receipt, Writer

_PAGE = 500  # rows of a list
_WHOLE_PAGE = 20  # whole measurements, each with its pages
_BARE_PAGE = 200  # measurements in outline

log = logging.getLogger(__name__)

Read = RowMapping


class Store:
    """What was measured and what it was judged to mean. Made by `open_store`; close it when done.

    `notices` are sentences for people about what happened while opening; `ledger` holds the votes and events,
    `deliveries` what alert hooks are told of them, `claims` who sends it, `chains` the chains of what was measured.
    """

    def __init__(
        self,
        engine: Engine,
        place: str,
        *,
        path: Path | None = None,
        lock: Lock | None = None,
        read_only: bool = False,
        notices: tuple[str, ...] = (),
        upgraded_from: str | None = None,
        now: Callable[[], float] = time.time,
        months: Months | None = None,
    ) -> None:
        self.place = place
        self.notices = notices
        self.upgraded_from = upgraded_from
        self._engine = engine
        self._path = path
        self._by_month = engine.dialect.name != "sqlite"
        self._lock = lock
        self._now = now
        self._sequences: dict[str, int] = {}
        self._sequences_guard = threading.Lock()
        # SQLite has whoever waits for its lock look again in up to a tenth of a second; our own threads can do better.
        queue: AbstractContextManager[object] = threading.Lock() if self._path else nullcontext()
        self._writer = None if read_only else Writer(engine, place, months or Months(engine, now), queue)
        self.discards = Discards(engine, place, path, self._broken, queue)
        self.ledger = Ledger(engine, place, now, self._broken, queue)
        self.chains = Chains(engine, place, self._broken, self._was_given)
        self.deliveries = Deliveries(engine, place, self._broken, queue)
        self.claims = Claims(engine, place)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # Writing

    def add(self, measurement: Measurement, verdict: Verdict | None = None, *, chained: bool = True) -> Receipt:
        """Queue a measurement, and what it was judged to mean; returns at once and never raises.

        It becomes the next link of its probe's chain (`chained`: it was measured here, and not brought from elsewhere),
        and its first verdict casts its votes. Adding it again changes nothing; another measurement under the same id
        is logged and not stored.
        """
        now = self._now()
        return self._queue(f"measurement {measurement.id}", lambda: pack(measurement, verdict, now, chained=chained))

    def add_verdict(self, measurement_id: str, verdict: Verdict) -> Receipt:
        """Queue an opinion about a stored measurement; one by the same rules_version stays, and so do the votes."""
        now = self._now()
        name = f"the verdict on measurement {measurement_id}"
        return self._queue(name, lambda: pack_verdict(measurement_id, verdict, now))

    def add_gap(self, gap: Gap) -> Receipt:
        """Queue a stretch without measuring."""
        return self._queue(f"the gap of {gap.probe_id} since {gap.since}", lambda: pack_gap(gap))

    def add_spent(self, probe_id: str, spent: int) -> Receipt:
        """Queue bytes that were spent today (UTC), to be added to the day's sum."""
        row = {"probe_id": probe_id, "day": self._today(), "bytes": spent}
        return self._queue(f"{spent} bytes spent by {probe_id}", lambda: {tables.spent: [row]})

    def add_rows(self, name: str, rows: Rows) -> Receipt:
        """Queue rows that `packing.pack` made already, of others' measurements; `name` names them in errors."""
        return self._queue(name, lambda: rows)

    def flush(self, timeout: float | None = None) -> None:
        """Wait until everything queued so far is durable or was refused; raises TimeoutError."""
        if self._writer is not None:
            self._writer.flush(timeout)

    def close(self) -> None:
        """Store everything that is queued, and let go of the files. Closing again does nothing."""
        if self._writer is not None:
            self._writer.close()
        self.claims.close()
        self._engine.dispose()
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def next_sequence(self, probe_id: str) -> int:
        """Return the next sequence number of a probe: one more than any that was stored or given out.

        Numbers that were given out and never stored, because the process was killed, are given again.
        """
        if self._writer is None:
            raise StoreError(f"the store {self.place} was opened for reading only")
        with self._sequences_guard:
            if probe_id not in self._sequences:
                self._sequences[probe_id] = self.last_sequence(probe_id)
            self._sequences[probe_id] += 1
            return self._sequences[probe_id]

    def _was_given(self, probe_id: str, number: int) -> None:
        """Give no number up to this one any more."""
        with self._sequences_guard:
            self._sequences[probe_id] = max(number, self._sequences.get(probe_id, 0))

    # Reading

    def last_sequence(self, probe_id: str) -> int:
        """Return the highest sequence number that a probe has stored; 0 when none."""
        column = tables.probe.c.last_sequence
        return int(self._value(select(column).where(tables.probe.c.probe_id == probe_id)) or 0)

    def measurements(
        self,
        *,
        since: float | None = None,
        until: float | None = None,
        target: str | None = None,
        outcome: Outcome | None = None,
        probe_id: str | None = None,
        limit: int | None = None,
        newest_first: bool = True,
    ) -> Iterator[Entry]:
        """Stream the list, in bounded memory. `target` is a URL, or a host name; `until` is exclusive."""
        wanted = Filter(since, until, target, outcome, probe_id)
        for page in self._entries(wanted, limit, newest_first, whole=False):
            yield from map(_entry, page)

    def evidence(
        self,
        *,
        since: float | None = None,
        until: float | None = None,
        target: str | None = None,
        outcome: Outcome | None = None,
        probe_id: str | None = None,
        limit: int | None = None,
        newest_first: bool = False,
    ) -> Iterator[Kept]:
        """Stream whole measurements; one that is damaged is logged by name and left out."""
        wanted = Filter(since, until, target, outcome, probe_id)
        for page in self._entries(wanted, limit, newest_first, whole=True):
            for row, measurement in self._whole(page):
                yield _kept(row, measurement)

    def stream(self, wanted: Filter, *, after: str | None = None, whole: bool = True) -> Iterator[Kept]:
        """Stream measurements, the oldest first, from the one that follows the id `after`.

        Unless they are `whole`, they come as outlines: their observations may be counted, and not looked at. Raises
        NotFound when `after` is not stored; what is damaged is logged by name and left out.
        """
        place = self._place_of(after)
        for page in self._entries(wanted, None, False, whole=True, after=place, size=None if whole else _BARE_PAGE):
            for row, measurement in self._whole(page) if whole else self._unpacked(page, Outline):
                yield _kept(row, measurement)

    def amount(self, wanted: Filter, *, after: str | None = None) -> int:
        """Count what `stream` would give."""
        return int(self._value(queries.count(wanted, self._place_of(after))))

    def has(self, measurement_id: str) -> bool:
        """Tell whether a measurement is stored; raises StoreError when its id is not 32 hex digits."""
        return bool(self._rows(queries.place(id_bytes(measurement_id))))

    def measurement(self, prefix: str) -> Kept:
        """Find one by its id or the beginning of it; raises NotFound when none or several begin so."""
        digits = prefix.strip().lower()
        if not 1 <= len(digits) <= 32 or set(digits) - set("0123456789abcdef"):
            raise NotFound(f"{prefix!r} is not the beginning of an id: ids are 32 hexadecimal digits")
        found = [row["id"].hex() for row in self._rows(queries.by_prefix(digits, by_month=self._by_month))]
        if not found:
            raise NotFound(f"no measurement begins with {digits}: `wazi list` shows their ids")
        if len(found) > 1:
            some = ", ".join(found[:3]) + (", …" if len(found) > 3 else "")
            raise NotFound(f"more than one measurement begins with {digits} ({some}): give more digits")
        row = next(iter(self._rows(queries.one(bytes.fromhex(found[0]), by_month=self._by_month))), None)
        if row is None:  # its id outlives it in the index of a store by months, for a moment or after a mishap
            raise NotFound(f"the measurement {found[0]} is no longer kept")
        bare = unpack(found[0], row["encoded"], row["digest"])
        return _kept(row, with_bodies(bare, self._copies(digests(bare))))

    def verdicts(self, measurement_id: str) -> list[Opinion]:
        """Return every opinion about a measurement, by version of the rules."""
        rows = self._rows(queries.opinions(id_bytes(measurement_id)))
        return [Opinion(judged_at=row["judged_at"], verdict=unpack_verdict(row)) for row in rows]

    def history(self, target: str, probe_id: str, *, since: float, limit: int = 100) -> list[Entry]:
        """Return the judged measurements of a URL or host by one probe since then, newest first."""
        wanted = queries.history(target, probe_id, since, limit, by_month=self._by_month)
        return [_entry(row) for row in self._rows(wanted)]

    def unjudged(self, rules_version: int) -> Iterator[Measurement]:
        """Stream the measurements that this version of the rules has not judged, oldest first."""
        after: Key | None = None
        while page := self._rows(queries.unjudged(rules_version, after, _WHOLE_PAGE)):
            after = (page[-1]["started"], page[-1]["id"])
            yield from (measurement for _, measurement in self._whole(page))

    def gaps(self, *, since: float | None = None, probe_id: str | None = None) -> list[Gap]:
        """Return the gaps that ended after `since`, in order."""
        table = tables.gap
        statement = select(table).order_by(table.c.since, table.c.probe_id, table.c.why)
        if since is not None:
            statement = statement.where(table.c.until > since)
        if probe_id is not None:
            statement = statement.where(table.c.probe_id == probe_id)
        return [Gap(**row) for row in self._rows(statement)]

    def count(
        self,
        *,
        since: float | None = None,
        until: float | None = None,
        target: str | None = None,
        outcome: Outcome | None = None,
        probe_id: str | None = None,
    ) -> int:
        """Count measurements."""
        return int(self._value(queries.count(Filter(since, until, target, outcome, probe_id))))

    def outcomes(self, *, since: float | None = None, until: float | None = None) -> dict[Outcome | None, int]:
        """Count measurements by the outcome of their latest verdict; None are those without one."""
        with self._connection() as connection:
            counted = connection.execute(queries.outcomes(Filter(since, until))).all()
        return {None if outcome is None else Outcome(outcome): number for outcome, number in counted}

    def spent_today(self, probe_id: str) -> int:
        """Return the bytes that a probe spent today (UTC), as far as they are durable."""
        table = tables.spent
        statement = select(table.c.bytes).where(table.c.probe_id == probe_id, table.c.day == self._today())
        return int(self._value(statement) or 0)

    def last_full_body(self, url: str, probe_id: str | None = None) -> float | None:
        """Return when a page of `url` was last read to its end or to the full cap; None when never."""
        value: float | None = self._value(queries.last_full_body(url, probe_id))
        return value

    def last_measured(self, url: str, nettest: str, probe_id: str) -> float | None:
        """Return when a probe last measured `url` by a nettest; None when never."""
        value: float | None = self._value(queries.last_measured(url, nettest, probe_id))
        return value

    def pace_so_far(self, url: str, probe_id: str, asn: int | None) -> PaceSoFar:
        """Return what a probe's sessions of pairs know of a URL, and of the network that they were laid in."""
        now = self._now()
        wanted = paces.wanted(url, probe_id, now, by_month=self._by_month)
        rows = {row["id"]: row for query in wanted for row in self._rows(query)}
        return paces.sum_up(((row["asn"], row["url"], _verdict(row)) for row in rows.values()), url, asn, now)

    def health(self) -> Health:
        """Look at the store for `wazi status`."""
        fact = tables.measurement.c
        totals: Query = select(
            func.count().label("measurements"),
            func.min(fact.started).label("first"),
            func.max(fact.started).label("last"),
        ).select_from(tables.measurement)
        trouble = self._writer.trouble if self._writer else None
        return Health(
            place=self.place,
            backend=self._engine.dialect.name,
            version=tables.HEAD,
            gaps=self._value(select(func.count()).select_from(tables.gap)),
            size=self._size(),
            free=self._free(),
            waiting=self._writer.waiting if self._writer else 0,
            trouble=str(trouble) if trouble else None,
            notices=self.notices,
            **self._rows(totals)[0],
        )

    def measures(self) -> Measures:
        """Measure how large the store is, part by part, for `wazi store stats`."""
        size, free, used = self._size(), self._free(), self.discards.used()
        try:
            return measures(self._engine, self._now(), place=self.place, size=size, free=free, used=used)
        except SQLAlchemyError as error:
            raise explain(error, self.place) from error

    def _free(self) -> int | None:
        return shutil.disk_usage(self._path.parent).free if self._path else None

    def _broken(self) -> StoreError | None:
        if self._writer is None:
            return StoreError(f"the store {self.place} was opened for reading only")
        return self._writer.trouble if isinstance(self._writer.trouble, StoreBroken) else None

    def _queue(self, name: str, make: Callable[[], Rows]) -> Receipt:
        if self._writer is None:
            raise StoreError(f"the store {self.place} was opened for reading only")
        return self._writer.submit(name, make)

    def _entries(
        self,
        wanted: Filter,
        limit: int | None,
        newest_first: bool,
        *,
        whole: bool,
        after: Key | None = None,
        size: int | None = None,
    ) -> Iterator[Sequence[Read]]:
        left = limit
        size = size or (_WHOLE_PAGE if whole else _PAGE)
        while left is None or left > 0:
            asked = size if left is None else min(size, left)
            how = {"newest_first": newest_first, "whole": whole, "by_month": self._by_month}
            page = self._rows(queries.entries(wanted, after, asked, **how))
            if page:
                yield page
            if len(page) < asked:
                return
            after = (page[-1]["started"], page[-1]["id"])
            left = None if left is None else left - len(page)

    def _place_of(self, measurement_id: str | None) -> Key | None:
        if measurement_id is None:
            return None
        found = self._rows(queries.place(id_bytes(measurement_id)))
        if not found:
            raise NotFound(f"no measurement has the id {measurement_id}: `wazi list` shows their ids")
        return (found[0]["started"], found[0]["id"])

    def _whole(self, page: Sequence[Read]) -> Iterator[tuple[Read, Measurement]]:
        bare = list(self._unpacked(page, Measurement))
        copies = self._copies({digest for _, measurement in bare for digest in digests(measurement)})
        return ((row, with_bodies(measurement, copies)) for row, measurement in bare)

    @staticmethod
    def _unpacked(page: Sequence[Read], kind: type[Measurement]) -> Iterator[tuple[Read, Measurement]]:
        for row in page:
            try:
                yield row, unpack(row["id"].hex(), row["encoded"], row["digest"], kind)
            except StoreError as error:
                log.error("%s: left out", error)

    def _copies(self, wanted: set[bytes]) -> dict[bytes, bytes]:
        """Fetch the stored copies of pages; one that is damaged is logged and left out."""
        copies: dict[bytes, bytes] = {}
        if not wanted:
            return copies
        table = tables.body
        for row in self._rows(select(table.c.sha256, table.c["copy"]).where(table.c.sha256.in_(wanted))):
            try:
                copies[row["sha256"]] = unpack_body(row["sha256"], row["copy"])
            except StoreError as error:
                log.error("%s: left out", error)
        return copies

    def _size(self) -> int:
        if self._path is None:
            return int(self._value(select(func.pg_database_size(func.current_database()))))
        files = (self._path, self._path.with_name(self._path.name + "-wal"))
        return sum(file.stat().st_size for file in files if file.exists())

    def _today(self) -> str:
        return datetime.fromtimestamp(self._now(), UTC).date().isoformat()

    def _rows(self, statement: Query) -> Sequence[Read]:
        with self._connection() as connection:
            return connection.execute(statement).mappings().all()

    def _value(self, statement: Query) -> Any:
        with self._connection() as connection:
            return connection.execute(statement).scalar()

    @contextmanager
    def _connection(self) -> Iterator[Connection]:
        try:
            with self._engine.connect() as connection:
                yield connection
        except (SQLAlchemyError, UnicodeDecodeError) as error:
            raise explain(error, self.place) from error


def _entry(row: Read) -> Entry:
    return Entry(
        id=row["id"].hex(),
        judged_at=row["judged_at"],
        verdict=_verdict(row),
        **{column.name: row[column.name] for column in queries.LIST_COLUMNS if column.name != "id"},
    )


def _kept(row: Read, measurement: Measurement) -> Kept:
    return Kept(measurement=measurement, judged_at=row["judged_at"], verdict=_verdict(row))


def _verdict(row: Read) -> Verdict | None:
    """Read the opinion beside a fact; one that cannot be read is logged, and must not hide the fact."""
    if row["outcome"] is None:
        return None
    try:
        return unpack_verdict(row)
    except StoreError as error:
        log.error("%s: left out", error)
        return None
