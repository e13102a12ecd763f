"""One thread writes, and it writes in batches.

`submit` puts a change on the open batch and returns at once, so that it may be called in a `finally`
and from the event loop. The thread takes whatever has gathered, at most 500 changes, makes rows of them
(encoding happens here, outside the transaction), and stores them in one transaction with one fsync: the
busier the probe, the larger the batches. A batch has one future, shared by the receipts of its changes.

When a batch is refused because of a row, it is stored again row by row, so that one bad row loses only
itself and is named. When the database went away, the batch is tried again for a few seconds: ids were
chosen before measuring, so a repeated insert changes nothing. When the disk failed, nothing is tried
again: after a failed fsync the system may have dropped what it could not write, and a second attempt
that "works" proves nothing.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

from sqlalchemy import Connection, Engine

from measurements.store import statements, tables
from measurements.store.errors import StoreBroken, StoreError, concerns_the_row, explain, is_passing
from measurements.store.months import Months
from measurements.store.packing import Rows

BATCH = 500
PATIENCE = 5.0  # seconds during which a batch is tried again after the server went away

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Change:
    name: str
    make: Callable[[], Rows]


@dataclass(frozen=True, slots=True)
class _Made:
    index: int
    name: str
    rows: Rows


@dataclass(slots=True)
class _Batch:
    changes: list[_Change] = field(default_factory=list)
    done: Future[dict[int, StoreError]] = field(default_factory=Future)

    def __post_init__(self) -> None:
        self.done.set_running_or_notify_cancel()  # a cancelled waiter must not cancel everybody's future


class Receipt:
    """The promise that a change will be stored: wait for it with `result()` or `await` it.

    Both raise StoreError when it was not stored. Nobody has to: what is lost is logged by name as well.
    """

    __slots__ = ("_done", "_index")

    def __init__(self, done: Future[dict[int, StoreError]], index: int) -> None:
        self._done = done
        self._index = index

    def done(self) -> bool:
        """Tell whether it was stored or refused."""
        return self._done.done()

    def result(self, timeout: float | None = None) -> None:
        """Wait until it is durable; raises StoreError, or TimeoutError after `timeout` seconds."""
        self._answer(self._done.result(timeout))

    def exception(self, timeout: float | None = None) -> StoreError | None:
        """Wait, and return why it was not stored, or None when it was."""
        return self._done.result(timeout).get(self._index)

    def __await__(self) -> Generator[object, None, None]:
        failures = yield from asyncio.wrap_future(self._done).__await__()
        self._answer(failures)

    def _answer(self, failures: dict[int, StoreError]) -> None:
        if self._index in failures:
            raise failures[self._index]


class Writer:
    """Owns the writing thread; `place` names the store in errors, `months` has its tables made.

    One at a time of those that share `queue` may write: then our own long transactions are waited for as long as they
    take, and what the database's own patience bounds is other programs.
    """

    def __init__(self, engine: Engine, place: str, months: Months, queue: AbstractContextManager[object]) -> None:
        self._queue = queue
        self._engine = engine.execution_options(wazi_writes=True)  # it reads the end of a chain, and goes on from there
        self._months = months
        self._place = place
        self._changed = threading.Condition()
        self._waiting: deque[_Batch] = deque()
        self._writing: _Batch | None = None
        self._closing = False
        self._patience = PATIENCE
        self.trouble: StoreError | None = None  # why the last batch was not stored; None when it was
        self._thread = threading.Thread(target=self._run, name="wazi-store", daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """How many changes are not yet durable."""
        with self._changed:
            batches = [*self._waiting, *([self._writing] if self._writing else [])]
            return sum(len(batch.changes) for batch in batches)

    def submit(self, name: str, make: Callable[[], Rows]) -> Receipt:
        """Queue a change, whose rows `make` gives; `name` names it in errors. Never blocks or raises."""
        with self._changed:
            if self._closing:
                error = StoreError(f"{name} was not stored: the store is closed")
                log.error("%s", error)
                refused: Future[dict[int, StoreError]] = Future()
                refused.set_result({0: error})
                return Receipt(refused, 0)
            if not self._waiting or len(self._waiting[-1].changes) >= BATCH:
                self._waiting.append(_Batch())
                self._changed.notify()
            batch = self._waiting[-1]
            batch.changes.append(_Change(name, make))
            return Receipt(batch.done, len(batch.changes) - 1)

    def flush(self, timeout: float | None = None) -> None:
        """Wait until everything queued so far is durable or was refused; raises TimeoutError."""
        with self._changed:
            last = self._waiting[-1] if self._waiting else self._writing
        if last is not None:
            last.done.result(timeout)

    def close(self) -> None:
        """Store what is queued and end the thread."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join()

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._closing)
                if not self._waiting:
                    return
                batch = self._writing = self._waiting.popleft()
            try:
                failures = self._write(batch.changes)
            except Exception as error:  # the thread must outlive its own mistakes, and nobody may wait for ever
                log.exception("the store's writer failed")
                failures = dict.fromkeys(range(len(batch.changes)), StoreError(f"the store's writer failed: {error!r}"))
            with self._changed:
                self._writing = None
            batch.done.set_result(failures)

    def _write(self, changes: Sequence[_Change]) -> dict[int, StoreError]:
        """Store changes and return what was lost, by position."""
        failures: dict[int, StoreError] = {}
        made: list[_Made] = []
        for index, change in enumerate(changes):
            try:
                made.append(_Made(index, change.name, change.make()))
            except Exception as error:  # whatever is wrong with one value, the others are stored
                failures[index] = StoreError(f"{change.name} was not stored: {error}")
        if made:
            failures |= self._store(made)
        for loss in {id(loss): loss for loss in failures.values()}.values():
            log.error("%s", loss)
        return failures

    def _store(self, made: Sequence[_Made]) -> dict[int, StoreError]:
        if isinstance(self.trouble, StoreBroken):
            return {one.index: self.trouble for one in made}
        try:
            failures = self._patiently(made)
        except Exception as error:
            self.trouble = explain(error, self._place)
            self._patience = 0.0  # the next batches try once each, so that closing stays quick
            lost = ", ".join(one.name for one in made[:3]) + (f" and {len(made) - 3} more" if len(made) > 3 else "")
            log.error("not stored: %s", lost)
            return {one.index: self.trouble for one in made}
        self.trouble, self._patience = None, PATIENCE
        return failures

    def _patiently(self, made: Sequence[_Made]) -> dict[int, StoreError]:
        """Store a batch, and again while the database is away for a moment."""
        end, pause = time.monotonic() + self._patience, 0.1
        while True:
            try:
                return self._once(made)
            except Exception as error:
                if not is_passing(error) or time.monotonic() + pause > end:
                    raise
                log.warning("%s Trying again.", explain(error, self._place))
            time.sleep(pause)
            pause *= 2

    def _once(self, made: Sequence[_Made]) -> dict[int, StoreError]:
        self._months.make_for(row["started"] for one in made for row in one.rows.get(tables.measurement, ()))
        try:
            with self._queue, self._engine.begin() as connection:
                statements.insert(connection, [one.rows for one in made])
        except Exception as error:
            if not concerns_the_row(error):
                raise
            self._months.forget()
            return self._one_by_one(made)
        return {}

    def _one_by_one(self, made: Sequence[_Made]) -> dict[int, StoreError]:
        """Store each change in its own savepoint, still with one commit, and name those that are refused."""
        failures: dict[int, StoreError] = {}
        with self._queue, self._engine.begin() as connection:
            for one in made:
                try:
                    self._months.make_for(row["started"] for row in one.rows.get(tables.measurement, ()))
                    self._insert_one(connection, one)
                except Exception as error:
                    if not concerns_the_row(error):
                        raise
                    failures[one.index] = StoreError(f"{one.name} was not stored: {explain(error, self._place)}")
        return failures

    @staticmethod
    def _insert_one(connection: Connection, one: _Made) -> None:
        with connection.begin_nested():
            statements.insert(connection, [one.rows])
