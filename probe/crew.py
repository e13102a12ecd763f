"""The crew: measures targets side by side, as far as the line and the day's data allow, and keeps what it saw.

Each measurement is judged, handed to the store before anything else, and then told to whoever wants to know what
follows from it. What it depends on is read from the store in a thread, so that no timing waits for a disk.

The line is shared by so many measurements at once. One whose nettest is in `ALONE` has it to itself, for its timings
are the finding: it waits until those that run have ended, and nothing begins before it has.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import structlog
from msgspec import structs

from measurements.model import Measurement, Outcome, PaceSoFar, Past, Target, Verdict
from probe.harmless import THROTTLING, TRACE, Errand
from probe.measuring import Bench, Order
from probe.purse import Purse
from probe.schedule import wants_full_body

SPACING = 0.05  # seconds between two starts, so that no burst leaves this machine
REMEMBERED = 24 * 3600.0  # seconds of history that a verdict may look at
ALONE = frozenset({THROTTLING})  # nettests that share the line with nothing
MOST = {THROTTLING: 12_000_000}  # bytes that a measurement may take and must have, where that is more than usual
OWN_COST = frozenset({TRACE, THROTTLING})  # nettests that take more than the routine, and are not reckoned with it

log = structlog.get_logger("wazi.agent")

Judge = Callable[[Measurement, tuple[Past, ...]], Verdict]


class Earlier(Protocol):
    """A measurement of the past, as far as judging again needs it."""

    @property
    def nettest(self) -> str: ...

    @property
    def started(self) -> float: ...

    @property
    def verdict(self) -> Verdict | None: ...


class Shelf(Protocol):
    """What the crew asks of a store. Awaiting what `add` returns raises when it was not stored."""

    def add(self, measurement: Measurement, verdict: Verdict | None = None) -> Awaitable[None]: ...

    def last_sequence(self, probe_id: str) -> int: ...

    def next_sequence(self, probe_id: str) -> int: ...

    def last_full_body(self, url: str, probe_id: str | None = None) -> float | None: ...

    def history(self, target: str, probe_id: str, *, since: float, limit: int = 100) -> Sequence[Earlier]: ...

    def pace_so_far(self, url: str, probe_id: str, asn: int | None) -> PaceSoFar: ...


@dataclass(frozen=True, slots=True)
class News:
    """What a measurement brought: the fact, the opinion, and what its nettest had found of the target within a day."""

    order: Order
    measurement: Measurement
    verdict: Verdict
    past: tuple[Past, ...] = ()

    @property
    def spent(self) -> int:
        """The bytes it took."""
        return self.measurement.sent + self.measurement.received


class Line:
    """The line to the internet: `width` share it at once, or one has it to itself."""

    def __init__(self, width: int) -> None:
        self._width = width
        self._slots = asyncio.Semaphore(width)
        self._door = asyncio.Lock()  # it lets in one after the other: whoever waits for all slots is not overtaken

    async def take(self, *, alone: bool = False) -> int:
        """Wait for a slot, or for all of them; return how many were taken."""
        taken = 0
        try:
            async with self._door:
                while taken < (self._width if alone else 1):
                    await self._slots.acquire()
                    taken += 1
        except asyncio.CancelledError:
            self.give_back(taken)
            raise
        return taken

    def give_back(self, count: int) -> None:
        """Free so many slots."""
        for _ in range(count):
            self._slots.release()

    async def widen(self, width: int) -> None:
        """Let another number share it, once it is free."""
        if width != self._width:
            await self.take(alone=True)
            self._width = width
            self.give_back(width)

    @contextlib.asynccontextmanager
    async def shared(self) -> AsyncIterator[None]:
        """Hold a slot while the block runs."""
        taken = await self.take()
        try:
            yield
        finally:
            self.give_back(taken)


class Crew:
    """Measures and keeps. `heard` is told every piece of news, `fail` what ends everything."""

    def __init__(
        self,
        probe_id: str,
        *,
        bench: Bench,
        shelf: Shelf,
        purse: Purse,
        width: int,
        judge: Judge,
        heard: Callable[[News], None],
        fail: Callable[[Exception], None],
    ) -> None:
        self.probe_id = probe_id
        self.bench = bench
        self.shelf = shelf
        self.purse = purse
        self.line = Line(width)
        self.judge = judge
        self.heard = heard
        self.fail = fail
        self.measured = 0
        self.troubled: set[str] = set()  # URLs that were not accessible last time
        self.paid = asyncio.Event()  # a measurement has ended, and what was put aside for it is free

    async def measure(self, errands: Iterable[Errand]) -> int:
        """Measure side by side as far as the line and the data allow; return how many were begun, from the first."""
        stop = self.bench.stop
        begun = 0
        async with asyncio.TaskGroup() as group:
            for errand in errands:
                slots = await self.line.take(alone=errand.nettest in ALONE)
                reserved = await self._reserve(errand)
                if reserved is None:
                    self.line.give_back(slots)
                    break
                begun += 1
                group.create_task(self._measure_one(errand, reserved, slots))
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(stop.asked.wait(), SPACING)
        return begun

    async def _reserve(self, errand: Errand) -> int | None:
        """Put aside the data of a measurement, waiting for others when little is left; None to begin no more."""
        while not self.bench.stop.asked.is_set():
            reserved = self.purse.reserve(errand.target, MOST.get(errand.nettest))
            if reserved is not None or self.purse.idle:
                return reserved
            self.paid.clear()
            await self.paid.wait()
        return None

    async def _measure_one(self, errand: Errand, reserved: int, slots: int) -> None:
        try:
            order, past = await asyncio.to_thread(self.order, errand)
            news = await self._measure_and_judge(order, past)
            if news is not None:
                await self._keep(news)
        except Exception as error:
            self.fail(error)
        finally:
            self.purse.release(reserved)
            self.paid.set()
            self.line.give_back(slots)

    async def _measure_and_judge(self, order: Order, earlier: Sequence[Earlier]) -> News | None:
        """Measure; a mistake of ours costs this measurement, which may not be fit to keep, and no other."""
        past = _past(earlier)
        try:
            measurement, verdict = await self.bench.measure(order, lambda fact: self.judge(fact, past))
        except Exception:
            log.exception("a measurement was lost", nettest=order.nettest)
            return None
        return News(order, measurement, verdict, _past(one for one in earlier if one.nettest == order.nettest))

    def order(self, errand: Errand) -> tuple[Order, Sequence[Earlier]]:
        """Read from the store what a measurement depends on."""
        now = self.bench.clocks().wall
        target = errand.target
        last_full = self.shelf.last_full_body(target.url, self.probe_id)
        order = Order(
            target=target,
            nettest=errand.nettest,
            full_body=target.url in self.troubled or wants_full_body(target.url, last_full, now),
            placebo=errand.placebo,
            pace=self._pace_so_far(target) if errand.nettest == THROTTLING else None,
        )
        return order, self.shelf.history(target.url, self.probe_id, since=now - REMEMBERED)

    def _pace_so_far(self, target: Target) -> PaceSoFar:
        return self.shelf.pace_so_far(target.url, self.probe_id, self.bench.vantage.asn)

    async def _keep(self, news: News) -> None:
        """Number a measurement and hand it to the store before anything else, and wait until it is durable.

        Nothing may come between the two: in the order of their numbers measurements are chained.
        """
        number = self.shelf.next_sequence(self.probe_id)
        news = replace(news, measurement=structs.replace(news.measurement, sequence=number))
        verdict = news.verdict
        stored = self.shelf.add(news.measurement, verdict if verdict.rules_version else None)
        counted = self.purse.spend(news.spent)
        if news.order.nettest not in OWN_COST:
            self._learn(news)
        self.measured += 1
        self.heard(news)
        log.debug("verdict", outcome=verdict.outcome, mechanism=verdict.mechanism, id=news.measurement.id)
        await stored
        await counted
        self.count_looking()

    def _learn(self, news: News) -> None:
        """Remember of a target what the next runs need: its cost, and whether it is in trouble."""
        target = news.order.target
        self.purse.learn(target, news.measurement.started, news.spent, routine=not news.order.full_body)
        if news.verdict.outcome is Outcome.ACCESSIBLE:
            self.troubled.discard(target.url)
        else:
            self.troubled.add(target.url)

    def count_looking(self) -> None:
        """Count what looking at the network took."""
        spent, self.bench.spent_looking = self.bench.spent_looking, 0
        if spent:
            self.purse.spend(spent)


def _past(earlier: Iterable[Earlier]) -> tuple[Past, ...]:
    return tuple(Past(started=entry.started, verdict=entry.verdict) for entry in earlier if entry.verdict)
