"""How long a store keeps what it holds: what is due, written to an archive where one is set, and then deleted.

Nothing is deleted that nobody asked to delete: without terms everything stays. With `keep` a measurement goes when it
is older, with its verdicts and votes; with `keep_bodies` the pages go before, once they were not seen for so long. With
`keep_size` the oldest goes when the store is larger: pages that were not seen for a week, then measurements older than
that, then younger pages and measurements. What `Discards` never deletes stays in any case.

Terms are kept in whole days (UTC), and in whole months where a store is kept by month or an archive is written, so that
the archive has one file a month. Where an archive is set, a measurement goes only after a file that holds it, whole and
with its pages, is on the disk; if that fails, nothing is deleted.
"""

from __future__ import annotations

import hashlib
import logging
import os
import threading
import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from measurements.exports import jsonl
from measurements.exports.files import fresh_file
from measurements.store.discards import Discards, Stretch
from measurements.store.errors import StoreBusy, StoreError
from measurements.store.months import bounds, month_of

if TYPE_CHECKING:
    from measurements.exports.judged import Judged
    from measurements.store import Kept, Store

DAY = 86_400.0
RECENT = 7 * DAY  # what is younger goes last, when space is short
ENOUGH = 0.9  # of `keep_size`, to which it is brought back

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Terms:
    """How long to keep what: seconds for measurements and for pages, bytes in all; None is for ever.

    `archive` is a folder into which measurements are written before they are deleted.
    """

    keep: float | None = None
    keep_bodies: float | None = None
    keep_size: int | None = None
    archive: Path | None = None

    @property
    def are_any(self) -> bool:
        """Whether anything is ever to be deleted."""
        return any(term is not None for term in (self.keep, self.keep_bodies, self.keep_size))


@dataclass(slots=True)
class Tidied:
    """What was deleted, or would be: measurements and pages; the files written; and what went wrong, in sentences."""

    measurements: int = 0
    pages: int = 0
    files: list[Path] = field(default_factory=list)
    trouble: list[str] = field(default_factory=list)


class Keeping:
    """Keeps a store to its terms. `complete` judges what was never judged, for the archive; `now` is the clock.

    Every method may be called from any thread, `tidy` one at a time.
    """

    def __init__(
        self, store: Store, terms: Terms, complete: Callable[[Kept], Judged], *, now: Callable[[], float] = time.time
    ) -> None:
        self._store = store
        self._discards: Discards = store.discards
        self._complete = complete
        self._now = now
        self._ended = threading.Event()
        self.terms = terms

    def end(self) -> None:
        """Let `tidy` end after the batch that it is at."""
        self._ended.set()

    def is_too_large(self) -> bool:
        """Tell whether the store is larger than it shall be; quick."""
        return self.terms.keep_size is not None and self._discards.used() > self.terms.keep_size

    def due(self) -> Tidied:
        """Count what age alone would delete now."""
        found = Tidied()
        kept = self._discards.witnesses()
        for stretch in self._stretches():
            found.measurements += sum(1 for _ in self._discards.due(stretch, kept))
        seen = self._pages_before()
        found.pages = 0 if seen is None else self._discards.pages_before(seen)
        return found

    def following(self, growth: float | None) -> list[str]:
        """Say in sentences what goes next and when; `growth` is bytes a day."""
        if not self.terms.are_any:
            return ["nothing is ever deleted: [store] keep, keep_bodies and keep_size are not set"]
        said, now = [], self._now()
        if self.terms.keep is not None:
            oldest = self._discards.oldest(self._discards.witnesses())
            if oldest is not None:
                month = month_of(oldest)
                end = bounds(month)[1] if self._by_month else oldest // DAY * DAY + DAY
                said.append(f"next      measurements of {month.replace('_', '-')} {_when(end + self.terms.keep, now)}")
        if self.terms.keep_bodies is not None and (seen := self._discards.longest_unseen()) is not None:
            when = _when(seen + self.terms.keep_bodies, now)
            said.append(f"next      pages that were not seen for longest {when}")
        if self.terms.keep_size is not None:
            left = self.terms.keep_size - self._discards.used()
            if left < 0:
                said.append("next      the store is larger than keep_size: the oldest of it goes soon")
            elif growth:
                said.append(f"next      keep_size is reached in about {round(left / growth):,} days")
        return said

    def tidy(self) -> Tidied:
        """Delete what is due, and what is too much; raises nothing: what goes wrong is in `trouble`."""
        done = Tidied()
        if not self.terms.are_any:
            return done
        try:
            with self._discards.alone() as alone:
                if alone:
                    self._tidy(done)
        except (StoreError, OSError) as error:
            done.trouble.append(str(error))
            log.error("the store could not be tidied: %s", error)
        return done

    def _tidy(self, done: Tidied) -> None:
        kept = self._discards.witnesses()
        pages = self._discards.pages_of(kept)
        seen = self._pages_before()
        if seen is not None and self.terms.archive is None:
            done.pages += self._discards.discard_pages(seen, pages, self._ended.is_set)
        for stretch in self._stretches():
            if not self._ended.is_set():
                self._let_go(stretch, kept, done, self._ended.is_set)
        if seen is not None and self.terms.archive is not None:
            done.pages += self._discards.discard_pages(self._unshown(seen, kept), pages, self._ended.is_set)
        if self.is_too_large():
            self._make_room(kept, pages, done)
        if done.measurements or done.pages:
            self._discards.give_back(self._ended.is_set)

    # What is due

    def _stretches(self) -> list[Stretch]:
        """Return what is older than `keep`, in whole months or days."""
        if self.terms.keep is None:
            return []
        before = self._now() - self.terms.keep
        found = self._discards.stretches(before // DAY * DAY)
        return [stretch for stretch in found if stretch.is_whole] if self._by_month else found

    def _pages_before(self) -> float | None:
        """Return until when a page must have been seen last to go; a measurement that is kept may show it until then.

        With an archive no page goes before its measurements, which are written with their pages.
        """
        ends = []
        if self.terms.keep is not None:
            before = (self._now() - self.terms.keep) // DAY * DAY
            ends.append((bounds(month_of(before))[0] if self._by_month else before) - DAY)
        if self.terms.keep_bodies is not None and self.terms.archive is None:
            ends.append(self._now() - self.terms.keep_bodies)
        return max(ends, default=None)

    def _unshown(self, seen: float, kept: Collection[bytes]) -> float:
        """Return until when a page must have been seen last, at most `seen`, so that nothing shows it that may go yet.

        What stayed behind (a month that is being read, votes that were not counted) is written with its pages later.
        """
        if self.terms.archive is None or (oldest := self._discards.oldest(kept)) is None:
            return seen
        return min(seen, oldest - DAY)

    @property
    def _by_month(self) -> bool:
        return self._discards.by_month or self.terms.archive is not None

    # Doing it

    def _let_go(
        self, stretch: Stretch, kept: Collection[bytes], done: Tidied, enough: Callable[[], bool] = lambda: False
    ) -> None:
        only: set[bytes] | None = None
        path = None
        if self.terms.archive is not None:
            only = set(self._discards.due(stretch, kept))
            if not only:
                return
            path = self._write(self.terms.archive, stretch, only)
        try:
            gone = self._discards.discard(stretch, kept, only, enough if only is None else lambda: False)
        except StoreBusy as error:
            if str(error) not in done.trouble:
                done.trouble.append(str(error))
            gone = 0
        done.measurements += gone
        if path is None or only is None:
            return
        if not gone:  # a copy at each attempt would fill the disk
            for written in (path, _sum_beside(path)):
                written.unlink(missing_ok=True)
            return
        done.files.append(path)
        if gone < len(only):
            log.warning("%d measurements that were written to the archive are kept for now", len(only) - gone)

    def _make_room(self, kept: Collection[bytes], pages: Collection[bytes], done: Tidied) -> None:
        """Delete the oldest until the store has nine tenths of its size."""
        assert self.terms.keep_size is not None
        aim = self.terms.keep_size * ENOUGH

        def enough() -> bool:
            return self._ended.is_set() or self._discards.used() <= aim

        def let_go(until: float) -> None:
            if self.terms.archive is None:
                done.pages += self._discards.discard_pages(until, pages, enough)
            for stretch in self._oldest_first(until):
                if enough():
                    return
                self._let_go(stretch, kept, done, enough)
                done.pages += self._discards.discard_pages(self._unshown(stretch.until - DAY, kept), pages, enough)

        let_go(self._now() - RECENT)
        gone = -1
        while not enough() and gone < done.measurements + done.pages:  # again for what came meanwhile
            gone = done.measurements + done.pages
            let_go(self._now())
        if not enough() and self.is_too_large():
            done.trouble.append(
                "the store is larger than [store] keep_size, and what is left are witnesses of events, measurements "
                "whose votes wait to be counted, or the month that goes on"
            )

    def _oldest_first(self, until: float) -> Iterator[Stretch]:
        """Yield what may go for its size: months, and days of one that goes on where it is written to an archive."""
        for stretch in self._discards.stretches(until):
            if stretch.is_whole or self.terms.archive is None:
                if stretch.is_whole or not self._discards.by_month:
                    yield stretch
                continue
            end = max(stretch.since, 0.0)
            while end < until and not self._discards.by_month:
                end = min(end + DAY, until)
                yield Stretch(stretch.month, stretch.since, end)

    # The archive

    def _write(self, folder: Path, stretch: Stretch, only: Collection[bytes]) -> Path:
        """Write measurements to a fresh file of the archive, and its sum beside it; raises OSError and StoreError."""
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for draft in folder.glob(".measurements-*.part"):  # of a program that was killed, not of one that writes
            if draft.stat().st_mtime < self._now() - DAY:
                draft.unlink()
        path = _fresh(folder, f"measurements-{stretch.month.replace('_', '-')}")
        with fresh_file(path) as stream:
            count = jsonl.write(self._rows(stretch, only), stream)
        if count != len(only):
            path.unlink()
            raise StoreError(
                f"{len(only) - count} measurements of {stretch.month.replace('_', '-')} cannot be read, so that month "
                "was not written to the archive and nothing of it was deleted"
            )
        with path.open("rb") as file:
            sum_of_it = hashlib.file_digest(file, "sha256").hexdigest()
        with fresh_file(_sum_beside(path)) as stream:
            stream.write(f"{sum_of_it}  {path.name}\n".encode())
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        return path

    def _rows(self, stretch: Stretch, only: Collection[bytes]) -> Iterator[Judged]:
        from measurements.store.queries import Filter

        since = None if stretch.since == float("-inf") else stretch.since
        for kept in self._store.stream(Filter(since=since, until=stretch.until)):
            if self._ended.is_set():
                raise StoreError("writing to the archive was stopped; nothing of that month was deleted")
            if bytes.fromhex(kept.measurement.id) in only:
                yield self._complete(kept)


def _when(due: float, now: float) -> str:
    if due <= now:
        return "are due"
    return f"go on {datetime.fromtimestamp(due, UTC).date().isoformat()}"


def _sum_beside(path: Path) -> Path:
    return path.with_name(f"{path.name}.sha256")


def _fresh(folder: Path, name: str) -> Path:
    path, count = folder / f"{name}.jsonl.zst", 1
    while path.exists():
        count += 1
        path = folder / f"{name}-{count}.jsonl.zst"
    return path
