"""`wazi import`: put measurements from files into the store.

A measurement whose id is stored already is told and skipped, so that importing goes on where it was interrupted when
the same command is given again. A verdict that comes along is kept as what it is, an opinion of its version of the
rules; what has none is judged. What is read and not yet durable is bounded in number and bytes. A line that cannot be
read, judged or stored is named, and the rest goes on.

What is imported gets no link in a chain: only the probe that measured can chain it (docs/decisions/0032). Its votes
are counted afterwards as those of any other measurement, into events of the time that they are from. Where somebody is
to be alerted, `wazi run` counts them, which tells of what is news (docs/decisions/0037).
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from measurements.model import Measurement, Verdict
from measurements.printable import clean, plural
from probe.commands.building import counting_rules, judge_with, load_settings
from probe.commands.console import FINE, UNSETTLED, Common, Refusal, advancing, say
from probe.commands.inputs import STDIN, opened, refuse_missing, size
from probe.records import BadRecord, Record, read_records

if TYPE_CHECKING:
    from measurements.store import Receipt, Store
    from probe.settings import Settings

WAITING = 200  # measurements that are not yet durable
WAITING_BYTES = 32 * 1024 * 1024
AT_ONCE = 2000  # votes that are counted before it is shown how far it is
TOLD = 5  # duplicates that are told by their place
CANNOT_STORE = 74  # EX_IOERR of sysexits.h

log = logging.getLogger(__name__)


def import_files(common: Common, files: Sequence[str]) -> int:
    """Store every measurement of every file and return the exit code."""
    from measurements.store import StoreBroken, StoreError, StoreFull, open_store

    refuse_missing(files)
    settings = load_settings(common)
    judge = judge_with(settings)
    try:
        store = open_store(settings.store.url)
    except StoreError as error:
        raise Refusal(str(error)) from None
    for notice in store.notices:
        say(notice)
    if common.verbose:
        from probe.commands import logs

        logs.configure(verbose=True, for_people=True)
    else:
        logging.getLogger("measurements").addHandler(logging.NullHandler())  # what is refused is told here, by its line
    desk = _Desk(store, lambda fact: judge(fact, ()))
    try:
        with store:
            for record in _records(files):
                desk.take(record)
            desk.finish()
            counted = _count(store, settings)
    except KeyboardInterrupt:
        store.close()  # what was taken is stored before anything is said of it
        desk.settle_quietly()
        say(f"interrupted; {desk.told()}. The same command goes on from there")
        raise
    except (StoreFull, StoreBroken) as error:
        raise Refusal(f"{error} ({desk.told()})", CANNOT_STORE) from None
    say(desk.told())
    if counted:
        say(counted)
    return UNSETTLED if desk.bad or not desk.kept + desk.duplicates else FINE


def _count(store: Store, settings: Settings) -> str:
    """Count the votes that wait, unless `wazi run` has somebody to alert of them; say what came of it."""
    from measurements.standing import Standing

    waiting = store.ledger.position().waiting
    if not waiting:
        return ""
    if settings.alerts:
        return f"{plural(waiting, 'vote')} to be counted: `wazi run` does, and alerts of what is news"
    standing, done, events = Standing(store.ledger, counting_rules(settings)), 0, set[str]()
    with advancing("counting votes", lambda: waiting) as advance:
        while True:
            events |= {event.id for event in standing.catch_up(AT_ONCE)}
            done += AT_ONCE
            advance(min(done, waiting))
            if not standing.is_behind:
                break
    if standing.trouble:
        return standing.trouble
    found = f"{plural(len(events), 'event')} new or changed: `wazi events --all`" if events else "no event"
    return f"{plural(waiting, 'vote')} counted, {found}"


@dataclass(slots=True)
class _Waiting:
    """A measurement that is on its way into the store."""

    record: Record
    receipt: Receipt


@dataclass(slots=True)
class _Desk:
    """Takes records, and counts what became of them."""

    store: Store
    judge: Callable[[Measurement], Verdict]
    kept: int = 0
    duplicates: int = 0
    bad: int = 0
    waiting: deque[_Waiting] = field(default_factory=deque)
    bytes: int = 0
    ids: set[str] = field(default_factory=set)

    def take(self, record: Record | BadRecord) -> None:
        """Store a record unless it is there already."""
        from measurements.store import StoreBroken, StoreError, StoreFull

        if isinstance(record, BadRecord):
            return self._complain(record)
        identifier = record.measurement.id
        try:
            if identifier in self.ids or self.store.has(identifier):
                return self._duplicate(record)
            verdict = record.verdict if record.verdict and record.verdict.rules_version else None
            verdict = verdict or self.judge(record.measurement)
        except (StoreFull, StoreBroken):
            raise
        except StoreError as error:
            return self._complain(BadRecord(record.place, str(error)))
        except Exception as error:  # foreign data finds every way to be odd, a chain deeper than the stack among them
            log.debug("%s cannot be judged", record.place, exc_info=True)
            return self._complain(BadRecord(record.place, f"cannot be judged: {error or type(error).__name__}"))
        self.waiting.append(_Waiting(record, self.store.add(record.measurement, verdict, chained=False)))
        self.ids.add(identifier)
        self.bytes += record.size
        while len(self.waiting) > WAITING or (self.bytes > WAITING_BYTES and self.waiting):
            self._settle()
        return None

    def finish(self) -> None:
        """Wait until all that was taken is durable, or was refused."""
        while self.waiting:
            self._settle()

    def settle_quietly(self) -> None:
        """Count what became durable, though something went wrong."""
        self.kept += sum(one.receipt.exception(0) is None for one in self.waiting)
        self.waiting.clear()

    def told(self) -> str:
        """Say in a sentence what became of all."""
        said = [f"{plural(self.kept, 'measurement')} imported"]
        if self.duplicates:
            said.append(f"{self.duplicates} skipped that were stored already")
        if self.bad:
            said.append(f"{self.bad} left out that could not be read, judged or stored")
        return ", ".join(said)

    def _settle(self) -> None:
        from measurements.store import StoreBroken, StoreFull

        one = self.waiting.popleft()
        self.ids.discard(one.record.measurement.id)
        self.bytes -= one.record.size
        error = one.receipt.exception()
        if isinstance(error, StoreFull | StoreBroken):
            self.settle_quietly()
            raise error
        if error is not None:
            self._complain(BadRecord(one.record.place, str(error)))
        else:
            self.kept += 1

    def _duplicate(self, record: Record) -> None:
        self.duplicates += 1
        if self.duplicates <= TOLD:
            say(clean(f"{record.place}: measurement {record.measurement.id} is stored already, skipped", 1000))
        elif self.duplicates == TOLD + 1:
            say("more of those are only counted")

    def _complain(self, record: BadRecord) -> None:
        self.bad += 1
        say(clean(str(record), 1000))


def _records(files: Sequence[str]) -> Iterator[Record | BadRecord]:
    """Yield what is in the files, with a bar on the terminal by the bytes that were read."""
    sizes = [size(name) for name in files]
    total = None if None in sizes else sum(length or 0 for length in sizes)
    with advancing("importing", None if total is None else lambda: total, size=True) as advance:
        before = 0
        for name, length in zip(files, sizes, strict=True):
            with opened(name) as stream:
                for record in read_records(stream, "stdin" if name == STDIN else name):
                    yield record
                    if total is not None:
                        advance(before + stream.tell())
            before += length or 0
