"""The loop: what is due is measured, judged and stored, until somebody says stop.

A run of a campaign looks at the network first, then measures its targets in an order nobody can foretell,
a few at a time, as far as the day's data allow. Whatever keeps it from measuring becomes a gap in the store.
What was found blocked beyond doubt is traced after the run, each target once a day.

A store that fails stops everything: measuring what cannot be kept only costs the volunteer.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import structlog

from measurements.model import Confidence, Gap, Measurement, Outcome, Past, Target, Verdict
from probe.heartbeat import INTERVAL, CampaignState, Heartbeat
from probe.measuring import Bench, Order
from probe.network import Limits
from probe.purse import Purse
from probe.schedule import DAY, Campaign, Instant, first_run, shuffled, stall, wants_full_body
from probe.silence import Silence
from probe.timetable import Timetable
from probe.version import software

SPACING = 0.05  # seconds between two starts, so that no burst leaves this machine
LOOK_AGAIN = 300.0  # seconds after which a network that could not be judged is looked at again
REMEMBERED = 24 * 3600.0  # seconds of history that a verdict may look at
ENDING = 3.0  # seconds that what was cut may take to end
TRACE = "trace"  # the nettest that says where a block is

log = structlog.get_logger("wazi.agent")


class Earlier(Protocol):
    """A measurement of the past, as far as judging again needs it."""

    @property
    def started(self) -> float: ...

    @property
    def verdict(self) -> Verdict | None: ...


class Store(Protocol):
    """What the agent asks of a store. Awaiting what a writing method returns raises when it was not stored."""

    def add(self, measurement: Measurement, verdict: Verdict | None = None) -> Awaitable[None]: ...

    def add_gap(self, gap: Gap) -> Awaitable[None]: ...

    def add_spent(self, probe_id: str, spent: int) -> Awaitable[None]: ...

    def spent_today(self, probe_id: str) -> int: ...

    def next_sequence(self, probe_id: str) -> int: ...

    def last_full_body(self, url: str, probe_id: str | None = None) -> float | None: ...

    def last_measured(self, url: str, nettest: str, probe_id: str) -> float | None: ...

    def history(self, target: str, probe_id: str, *, since: float, limit: int = 100) -> Sequence[Earlier]: ...


class Heart(Protocol):
    """Where the sign of life is left."""

    def write(self, beat: Heartbeat) -> None: ...

    def read(self) -> Heartbeat | None: ...


class StoreFailed(Exception):
    """The store failed while measuring; the text says why."""


@dataclass(frozen=True, slots=True)
class Duties:
    """What an agent is to do: for which probe, which campaigns, and within which bounds."""

    probe_id: str
    campaigns: Sequence[Campaign]
    budget: int  # bytes a UTC day
    concurrency: int
    limits: Limits = field(default_factory=Limits)  # of a measurement


class Agent:
    """The loop and what it remembers. `report` is told every verdict once it is on its way to the store."""

    def __init__(
        self,
        duties: Duties,
        *,
        bench: Bench,
        store: Store,
        heart: Heart,
        judge: Callable[[Measurement, tuple[Past, ...]], Verdict],
        report: Callable[[Measurement, Verdict], None],
    ) -> None:
        self.duties = duties
        self.bench = bench
        self.store = store
        self.heart = heart
        self.judge = judge
        self.report = report
        self.probe_id = duties.probe_id
        trouble = duties.limits.body_wire + duties.limits.follow_up_bytes
        self.purse = Purse(store, self.probe_id, duties.budget, self._now, trouble)
        self.paid = asyncio.Event()  # a measurement has ended, and what was put aside for it is free
        self.silence = Silence(store, self.probe_id, self._now)
        self.started = self._now()
        self.measured = 0
        self.failure: Exception | None = None
        self.last_runs: dict[str, float] = {}
        self.troubled: set[str] = set()  # URLs that were not accessible last time
        self.to_trace: dict[str, Target] = {}  # by URL: found blocked, and not traced since
        self.running: set[asyncio.Task[None]] = set()
        self.slots = asyncio.Semaphore(duties.concurrency)
        self.timetable = Timetable()

    async def run(self) -> None:
        """Measure until `bench.stop` is asked; raises StoreFailed when the store fails."""
        self.purse.open()
        self._remember_last_life()
        for campaign in self.duties.campaigns:
            due = first_run(self.last_runs.get(campaign.name), campaign.every, self._now())
            self.timetable.add(campaign, due, self._job)
        self.timetable.start()
        log.info("started", campaigns=len(self.duties.campaigns), software=software())
        watching = asyncio.create_task(self._watch())
        try:
            await self.bench.stop.asked.wait()
        finally:
            await self._end(watching)
        if self.failure is not None:
            raise StoreFailed(str(self.failure)) from self.failure

    async def _job(self, campaign: Campaign) -> None:
        """Run a campaign once; nothing may leave here, or the scheduler would log it as its own failure."""
        task = asyncio.current_task()
        assert task is not None
        self.running.add(task)
        try:
            await self._run_campaign(campaign)
        except asyncio.CancelledError:
            log.warning("run cut", campaign=campaign.name)
        except Exception as error:
            self._give_up(error)
        finally:
            self.running.discard(task)

    async def _run_campaign(self, campaign: Campaign) -> None:
        if not campaign.may_run(self._now()):
            self.silence.begin(campaign.name, "window", f"The window of campaign {campaign.name} was closed.")
            return
        found = await self.bench.preconditions()
        self._count_looking()
        if self.bench.stop.asked.is_set():
            return
        self.last_runs[campaign.name] = self._now()
        order = shuffled(campaign.targets, secrets.token_hex(8))
        if found.reason is None:
            self.silence.end(campaign.name)
            await self._measure_all(campaign, order)
            await self._trace_blocked()
            return
        log.warning("network cannot be judged", reason=found.reason, campaign=campaign.name)
        if not self.silence.is_open(campaign.name):  # one measurement shows it, the rest would only cost
            await self._measure_some(campaign.nettest, order[:1])
        self.silence.begin(campaign.name, found.reason, f"Campaign {campaign.name}: {found.detail}")
        self.timetable.run_at(campaign.name, self._now() + min(campaign.every, LOOK_AGAIN))

    async def _measure_all(self, campaign: Campaign, order: tuple[Target, ...]) -> None:
        now = self._now()
        chosen = self.purse.plan(campaign, self.duties.campaigns, order).chosen
        done = await self._measure_some(campaign.nettest, chosen)
        if not self.bench.stop.asked.is_set():
            await self.bench.look_after()
            self._count_looking()
        deferred = len(order) - done
        log.info("run ended", campaign=campaign.name, measured=done, deferred=deferred, spent_today=self.purse.spent)
        if deferred and not self.bench.stop.asked.is_set():
            what = f"{deferred} of {len(order)} targets of campaign {campaign.name} were put off"
            spent = f"{self.purse.spent} of {self.purse.budget} bytes of the day were spent"
            self.silence.add(now, now + campaign.every, "budget", f"{what}: {spent}.")

    async def _trace_blocked(self) -> None:
        """Trace what was found blocked, unless it was traced within a day; the store remembers, over restarts too."""
        waiting, self.to_trace = self.to_trace, {}
        due = [target for target in waiting.values() if await asyncio.to_thread(self._trace_is_due, target)]
        if due and not self.bench.stop.asked.is_set():
            log.info("tracing", targets=len(due), traced=await self._measure_some(TRACE, due))

    def _trace_is_due(self, target: Target) -> bool:
        last = self.store.last_measured(target.url, TRACE, self.probe_id)
        return last is None or not 0 <= self._now() - last < DAY

    async def _measure_some(self, nettest: str, targets: Sequence[Target]) -> int:
        """Measure side by side as far as slots and data allow; return how many were begun."""
        stop = self.bench.stop
        begun = 0
        async with asyncio.TaskGroup() as group:
            for target in targets:
                await self.slots.acquire()
                reserved = await self._reserve(target)
                if reserved is None:
                    self.slots.release()
                    break
                begun += 1
                group.create_task(self._measure_one(nettest, target, reserved))
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(stop.asked.wait(), SPACING)
        return begun

    async def _reserve(self, target: Target) -> int | None:
        """Put aside the data of a measurement, waiting for others when little is left; None to begin no more."""
        while not self.bench.stop.asked.is_set():
            reserved = self.purse.reserve(target)
            if reserved is not None or self.purse.idle:
                return reserved
            self.paid.clear()
            await self.paid.wait()
        return None

    async def _measure_one(self, nettest: str, target: Target, reserved: int) -> None:
        try:
            order, past = await asyncio.to_thread(self._order, nettest, target)
            judged = await self._measure_and_judge(order, past)
            if judged is not None:
                await self._keep(order, *judged)
        except Exception as error:
            self._give_up(error)
        finally:
            self.purse.release(reserved)
            self.paid.set()
            self.slots.release()

    async def _measure_and_judge(self, order: Order, past: tuple[Past, ...]) -> tuple[Measurement, Verdict] | None:
        """Measure; a mistake of ours costs this measurement, which may not be fit to keep, and no other."""
        try:
            return await self.bench.measure(order, lambda fact: self.judge(fact, past))
        except Exception:
            log.exception("a measurement was lost", nettest=order.nettest)
            return None

    def _order(self, nettest: str, target: Target) -> tuple[Order, tuple[Past, ...]]:
        """Read from the store what a measurement depends on: in a thread, so that no timing waits for it."""
        now = self._now()
        last_full = self.store.last_full_body(target.url, self.probe_id)
        entries = self.store.history(target.url, self.probe_id, since=now - REMEMBERED)
        past = tuple(Past(started=entry.started, verdict=entry.verdict) for entry in entries if entry.verdict)
        order = Order(
            target=target,
            nettest=nettest,
            sequence=self.store.next_sequence(self.probe_id),
            full_body=target.url in self.troubled or wants_full_body(target.url, last_full, now),
        )
        return order, past

    async def _keep(self, order: Order, measurement: Measurement, verdict: Verdict) -> None:
        """Hand a measurement to the store before anything else, and wait until it is durable."""
        stored = self.store.add(measurement, verdict if verdict.rules_version else None)
        spent = measurement.sent + measurement.received
        counted = self.purse.spend(spent)
        if order.nettest != TRACE:  # which costs more than the routine, and is judged by what it could trace
            self._learn(order, measurement, verdict)
        self.measured += 1
        self.report(measurement, verdict)
        log.debug("verdict", outcome=verdict.outcome, mechanism=verdict.mechanism, id=measurement.id)
        await stored
        await counted
        self._count_looking()

    def _learn(self, order: Order, measurement: Measurement, verdict: Verdict) -> None:
        """Remember of a target what the next runs need: its cost, whether it is in trouble, whether to trace it."""
        spent = measurement.sent + measurement.received
        self.purse.learn(order.target, measurement.started, spent, routine=not order.full_body)
        if verdict.outcome is Outcome.ACCESSIBLE:
            self.troubled.discard(order.target.url)
        else:
            self.troubled.add(order.target.url)
        confirmed = verdict.outcome is Outcome.BLOCKED and verdict.confidence is Confidence.CONFIRMED
        if confirmed and TRACE in self.bench.nettests:
            self.to_trace[order.target.url] = order.target

    def _count_looking(self) -> None:
        spent, self.bench.spent_looking = self.bench.spent_looking, 0
        if spent:
            self.purse.spend(spent)

    def _remember_last_life(self) -> None:
        """Record since when the probe was silent, and what it waited for before that."""
        last = self.heart.read()
        if last is None or last.probe_id != self.probe_id:
            return
        for gap in last.open_gaps:
            self.silence.add(gap.since, last.alive, gap.why, gap.detail)
        self.last_runs = {one.name: one.last_run for one in last.campaigns if one.last_run is not None}
        self._silent_since(last.alive, "off", "Wazi did not run")

    def _silent_since(self, since: float, why: str, what: str) -> None:
        self.silence.add_if_due(since, why, what, self.duties.campaigns, self.last_runs)

    # Signs of life

    async def _watch(self) -> None:
        before = self.bench.clocks()
        while True:
            self._beat(running=True)
            await asyncio.sleep(INTERVAL)
            now = self.bench.clocks()
            self._notice(before, now)
            before = now

    def _notice(self, before: Instant, now: Instant) -> None:
        """Make up for sleep and for a clock that was set, both of which the scheduler would not notice."""
        seen = stall(before, now, INTERVAL)
        if seen.step:
            log.warning("the clock was set", seconds=round(seen.step))
            self.timetable.clock_was_set(seen.step)
        if seen.why is not None:
            self._silent_since(now.wall - seen.seconds, seen.why, "The computer slept or stood still")
            self.timetable.wake_up()

    def _beat(self, *, running: bool) -> None:
        beat = Heartbeat(
            alive=self._now(),
            started=self.started,
            pid=os.getpid(),
            running=running,
            software=software(),
            probe_id=self.probe_id,
            measured=self.measured,
            spent=self.purse.spent,
            budget=self.purse.budget,
            campaigns=tuple(self._state(campaign) for campaign in self.duties.campaigns),
            open_gaps=self.silence.open_gaps,
        )
        try:
            self.heart.write(beat)
        except OSError as error:
            log.warning("no sign of life could be left", why=error.strerror)

    def _state(self, campaign: Campaign) -> CampaignState:
        return CampaignState(
            name=campaign.name,
            targets=len(campaign.targets),
            last_run=self.last_runs.get(campaign.name),
            next_run=self.timetable.next_run(campaign.name),
        )

    # The end

    def _give_up(self, error: Exception) -> None:
        """Stop everything because of an error; the first one is the one that counts."""
        if self.failure is None:
            self.failure = error
            log.error("stopping", why=str(error))
        self.bench.stop.asked.set()
        self.bench.stop.cut.set()

    async def _end(self, watching: asyncio.Task[None]) -> None:
        """Let what runs end, or cut it; close the gaps; say goodbye."""
        self.timetable.pause()
        watching.cancel()
        if running := set(self.running):
            await self._wait_for(running)
        self.silence.end_all()
        self._beat(running=False)
        self.timetable.close()
        log.info("stopped", measured=self.measured)

    async def _wait_for(self, running: set[asyncio.Task[None]]) -> None:
        cut = asyncio.create_task(self.bench.stop.cut.wait())
        done = asyncio.create_task(asyncio.wait(running))
        either: set[asyncio.Task[Any]] = {cut, done}
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        cut.cancel()
        done.cancel()
        _done, late = await asyncio.wait(running, timeout=ENDING)
        for task in late:
            task.cancel()
        if late:
            await asyncio.wait(late, timeout=1.0)

    def _now(self) -> float:
        return self.bench.clocks().wall
