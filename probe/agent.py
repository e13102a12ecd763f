"""The loop: what is due is measured, judged and stored, until somebody says stop.

A run of a campaign looks at the network first, then has its targets measured in an order nobody can foretell,
as far as the day's data allow (`probe.crew`). Whatever keeps it from measuring becomes a gap in the store. What
follows from what was found is for `probe.aftermath`.

A store that fails stops everything: measuring what cannot be kept only costs the volunteer.
"""

from __future__ import annotations

import asyncio
import os
import random
import secrets
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import structlog

from measurements.model import Gap, Measurement, Outcome, Preconditions, Target, Vantage, Verdict
from probe.aftermath import Aftermath, Annals
from probe.clocks import Tempo
from probe.crew import Crew, Judge, News, Shelf
from probe.desk import Desk
from probe.harmless import SHARE, Errand, Placebos
from probe.heartbeat import INTERVAL, CampaignState, Heartbeat, SettingsState, state_of
from probe.measuring import DOUBTED, FRESH, Bench
from probe.network import Limits
from probe.purse import Counters, Purse
from probe.schedule import Campaign, Instant, first_run, next_run, shuffled, stall
from probe.silence import GapKeeper, Silence, why_silent
from probe.timetable import Timetable
from probe.version import software

ANSWERED = frozenset({Outcome.ACCESSIBLE, Outcome.SERVER_SIDE})  # outcomes that show that the network works
ENDING = 3.0  # seconds that what was cut may take to end

log = structlog.get_logger("wazi.agent")


class Store(Shelf, Annals, Counters, GapKeeper, Protocol):
    """What the agent asks of a store, for itself and for those who work for it."""


class Heart(Protocol):
    """Where the sign of life is left."""

    def write(self, beat: Heartbeat) -> None: ...

    def read(self) -> Heartbeat | None: ...


class StoreFailed(Exception):
    """The store failed while measuring; the text says why."""


@dataclass(frozen=True, slots=True)
class Duties:
    """What an agent is to do: for which probe, which campaigns, and within which bounds.

    `witnesses` are the harmless sites among which others are asked. `samples` is how many targets a day are tested for
    throttling without suspicion; None where none is to be tested at all.
    """

    probe_id: str
    campaigns: Sequence[Campaign]
    budget: int  # bytes a UTC day
    concurrency: int
    limits: Limits = field(default_factory=Limits)  # of a measurement
    witnesses: tuple[Target, ...] = ()
    samples: int | None = None


class Agent:
    """The loop and what it remembers. `report` is told every verdict once it is on its way to the store."""

    def __init__(
        self,
        duties: Duties,
        *,
        bench: Bench,
        store: Store,
        heart: Heart,
        judge: Judge,
        report: Callable[[Measurement, Verdict], None],
        tempo: Tempo | None = None,
        chance: random.Random | None = None,
        about_settings: Callable[[], SettingsState | None] = lambda: None,
        keep_outages: Callable[[Sequence[Gap], Vantage], object] = lambda gaps, vantage: None,
    ) -> None:
        self.duties = duties
        self.bench = bench
        self.heart = heart
        self.report = report
        self.about_settings = about_settings
        self.keep_outages = keep_outages
        self.probe_id = duties.probe_id
        self.purse = Purse(store, self.probe_id, duties.budget, self._now, _trouble(duties.limits))
        self.silence = Silence(store, self.probe_id, self._now)
        self.tempo = tempo or Tempo()
        self.timetable = Timetable(self.tempo)
        self.crew = Crew(
            self.probe_id,
            bench=bench,
            shelf=store,
            purse=self.purse,
            width=duties.concurrency,
            judge=judge,
            heard=self._heard,
            fail=self._give_up,
        )
        chance = chance or random.SystemRandom()
        self.desk = Desk(
            self.crew,
            self.timetable,
            self.silence,
            lambda: self.duties.campaigns,
            lambda: self.duties.witnesses,
            self._guard,
        )
        self.placebos = Placebos(chance, store.last_sequence(self.probe_id))
        self.aftermath = Aftermath(self.desk, store, chance, duties.samples)
        self.started = self._now()
        self.failure: Exception | None = None
        self.last_runs: dict[str, float] = {}
        self.running: set[asyncio.Task[None]] = set()

    @property
    def measured(self) -> int:
        """How many measurements were made in this life."""
        return self.crew.measured

    async def run(self) -> None:
        """Measure until `bench.stop` is asked; raises StoreFailed when the store fails."""
        self.purse.open()
        self._remember_last_life()
        await asyncio.to_thread(self.aftermath.confirming.remember)
        for campaign in self.duties.campaigns:
            due = first_run(self.last_runs.get(campaign.name), campaign.at(self._now()).every, self._now())
            self.timetable.add(campaign, due, self._job)
        self.timetable.start()
        self.aftermath.begin()
        log.info("started", campaigns=len(self.duties.campaigns), software=software())
        watching = asyncio.create_task(self._watch())
        try:
            await self.bench.stop.asked.wait()
        finally:
            await self._end(watching)
        if self.failure is not None:
            raise StoreFailed(str(self.failure)) from self.failure

    def go_on_with(self, duties: Duties, *, bench: Bench, judge: Judge) -> None:
        """Take other duties, another bench and other rules; what is being measured ends with the old ones.

        What is remembered stays: last runs, what was spent, what is still to be looked into.
        """
        bench.own |= self.bench.own
        bench.worked, bench.failing_since = self.bench.worked, self.bench.failing_since
        self.bench = self.crew.bench = bench
        self.crew.judge = judge
        self.purse.allow(duties.budget, _trouble(duties.limits))
        self._begin("the width of the line", self.crew.line.widen(duties.concurrency))
        old = {campaign.name: campaign for campaign in self.duties.campaigns}
        self.duties = duties
        self.aftermath.pacing.go_on_with(duties.samples)
        for campaign in duties.campaigns:
            before = old.pop(campaign.name, None)
            if campaign != before:
                self.timetable.add(campaign, self._due(campaign, before), self._job)
        for name in old:
            self.timetable.remove(name)
            self.silence.end(name)
        self._beat(running=True)

    def _due(self, campaign: Campaign, before: Campaign | None) -> float:
        """Say when a campaign that was changed is due: at once if it is in another moment, else when it comes round."""
        now = self._now()
        last = self.last_runs.get(campaign.name)
        if before is None or last is None or before.moment(now) != campaign.moment(now):
            return first_run(last, campaign.at(now).every, now)
        return campaign.due_by(max(now, last + campaign.at(now).every), now)

    async def _job(self, campaign: Campaign) -> None:
        await self._guard(campaign.name, self._run_campaign(campaign))
        if self.aftermath.is_waiting and not self.bench.stop.asked.is_set():
            self._begin("aftermath", self.aftermath.after_run())

    def _begin(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        """Begin something beside what runs, which ends with the agent."""
        task = asyncio.create_task(self._guard(name, work))
        self.running.add(task)

    async def _guard(self, name: str, work: Awaitable[None]) -> None:
        """See something through; no error may leave here, or the scheduler would log it as its own failure."""
        task = asyncio.current_task()
        assert task is not None
        self.running.add(task)
        try:
            await work
        except asyncio.CancelledError:
            log.warning("cut", what=name)
        except Exception as error:
            self._give_up(error)
        finally:
            self.running.discard(task)

    async def _run_campaign(self, campaign: Campaign) -> None:
        if not campaign.may_run(self._now()):
            self.silence.begin(campaign.name, "window", f"The window of campaign {campaign.name} was closed.")
            return
        async with self.crew.line.shared():  # what has the line to itself is not disturbed by a look at it either
            found = await self.bench.preconditions(DOUBTED if self.silence.is_open(campaign.name) else FRESH)
        self.crew.count_looking()
        if self.bench.stop.asked.is_set():
            return
        now = self.last_runs[campaign.name] = self._now()
        await asyncio.to_thread(self._leave, self._life(running=True))  # or a kill would forget this run
        order = shuffled(campaign.at(now).targets, secrets.token_hex(8))
        if found.reason is None:
            self._worked(self.bench.worked)
            was_failing = bool(self.silence.failing)
            self.silence.end(campaign.name, restored=True)
            if was_failing:
                self._begin("outages", self._tell_of_outages())
            for other in self.silence.failing:
                self.timetable.run_at(other, self._now())
            await self._measure_all(campaign, order)
            if self.bench.stop.asked.is_set():
                return
            if self.bench.looked_at is None:  # a glance has shown that the network is not what it was
                await self.bench.preconditions()
            found = self.bench.looked  # if it failed meanwhile, the gap begins now, and not in an hour
            if found.reason is None:
                return
        elif not self.silence.is_open(campaign.name):  # one measurement shows it, the rest would only cost
            await self.crew.measure([Errand(campaign.nettest, order[0])])
        self._cannot_judge(campaign, found)

    def _cannot_judge(self, campaign: Campaign, found: Preconditions) -> None:
        """Take note of a look that failed, and see that there is another soon."""
        if campaign not in self.duties.campaigns:
            return  # it was changed or taken away meanwhile
        log.warning("network cannot be judged", reason=found.reason, campaign=campaign.name)
        now = self._now()
        since = now if self.bench.failing_since is None else self.bench.failing_since
        detail = f"Campaign {campaign.name}: {found.detail}"
        pause = self.silence.failed(campaign.name, why_silent(found), detail, since)
        self._begin("outages", self._tell_of_outages())
        again = now + min(campaign.at(now).every, pause)
        self.timetable.run_at(campaign.name, campaign.due_by(again, now))

    async def _tell_of_outages(self) -> None:
        """Have events made of the gaps, also of those that go on."""
        await asyncio.to_thread(self.keep_outages, self.silence.open_gaps, self.bench.vantage)

    def _worked(self, when: float | None) -> None:
        if when is not None:
            self.silence.works(when)

    async def _measure_all(self, campaign: Campaign, order: tuple[Target, ...]) -> None:
        now = self._now()
        part = 1.0 - SHARE if self.desk.harmless else 1.0  # the rest is for placebos
        chosen = self.purse.plan(campaign, self.duties.campaigns, order, part).chosen
        planned = [Errand(campaign.nettest, target) for target in chosen]
        errands = self.placebos.among(planned, self.desk.harmless)
        begun = await self.crew.measure(errands)
        done = sum(not errand.placebo for errand in errands[:begun])
        if not self.bench.stop.asked.is_set():
            await self.bench.look_after()
            self.crew.count_looking()
        deferred = len(order) - done
        log.info("run ended", campaign=campaign.name, measured=done, deferred=deferred, spent_today=self.purse.spent)
        if deferred and not self.bench.stop.asked.is_set():
            what = f"{deferred} of {len(order)} targets of campaign {campaign.name} were put off"
            until = next_run(campaign, now, now)
            self.silence.add(now, until, "budget", f"{what}: {self.purse.account}")

    def _heard(self, news: News) -> None:
        """See to what follows from a measurement that is on its way to the store, and report it."""
        if news.verdict.outcome in ANSWERED:
            self.silence.works(news.measurement.started)
        self.aftermath.heard(news)
        self.report(news.measurement, news.verdict)

    def _remember_last_life(self) -> None:
        """Record since when the probe was silent, and what it waited for before that."""
        last = self.heart.read()
        if last is None or last.probe_id != self.probe_id:
            return
        self.silence.add_cut_off(last.open_gaps, last.alive)
        self._worked(last.worked)
        self.last_runs = {one.name: one.last_run for one in last.campaigns if one.last_run is not None}
        clocks = self.bench.clocks()
        what = "Wazi did not run" if not last.running else "Wazi was killed"
        if clocks.wall - clocks.boottime > last.alive:
            what += ", and this computer was off or started anew"
        self._silent_since(last.alive, "off", what)

    def _silent_since(self, since: float, why: str, what: str) -> None:
        self.silence.add_if_due(since, why, what, self.duties.campaigns, self.last_runs)

    # Signs of life

    async def _watch(self) -> None:
        before = self.bench.clocks()
        while True:
            await asyncio.to_thread(self._leave, self._life(running=True))  # a slow disk delays no measurement
            await asyncio.sleep(self.tempo.wait(INTERVAL))
            now = self.bench.clocks()
            self._notice(before, now)
            before = now

    def _notice(self, before: Instant, now: Instant) -> None:
        """Make up for sleep and for a clock that was set, both of which the scheduler would not notice."""
        seen = stall(before, now, INTERVAL)
        if seen.step:
            log.warning("the clock was set", seconds=round(seen.step))
            self.timetable.clock_was_set(seen.step, now.wall)
            self.aftermath.clock_was_set(seen.step)
        if seen.why is not None:
            self._silent_since(now.wall - seen.seconds, seen.why, "The computer slept or stood still")
            self.timetable.wake_up()

    def _beat(self, *, running: bool) -> None:
        self._leave(self._life(running=running))

    def _life(self, *, running: bool) -> Heartbeat:
        return Heartbeat(
            alive=self._now(),
            started=self.started,
            pid=os.getpid(),
            running=running,
            software=software(),
            probe_id=self.probe_id,
            measured=self.crew.measured,
            spent=self.purse.spent,
            budget=self.purse.budget,
            campaigns=tuple(map(self._state, self.duties.campaigns)),
            open_gaps=self.silence.open_gaps,
            asked_again=len(self.aftermath.confirming.again.running),
            waiting=len(self.aftermath.confirming.again.waiting),
            worked=self.silence.worked,
            settings=self.about_settings(),
        )

    def _leave(self, beat: Heartbeat) -> None:
        try:
            self.heart.write(beat)
        except OSError as error:
            log.warning("no sign of life could be left", why=error.strerror)

    def _state(self, campaign: Campaign) -> CampaignState:
        last, due = self.last_runs.get(campaign.name), self.timetable.next_run(campaign.name)
        return state_of(campaign, self._now(), last, due)

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


def _trouble(limits: Limits) -> int:
    """Say how much a measurement in trouble may take beyond a routine one, in bytes."""
    return limits.body_wire + limits.follow_up_bytes
