"""What follows from what was found: a block beyond doubt is traced, a first find is confirmed, a slow site is tested.

Each has its room: traces are here, `probe.confirming` asks again, `probe.pacing` tests throttling. None of it delays
a campaign's run: what waits for the end of a run goes on beside the next ones, and what has a time has a time of its
own. A placebo is followed by nothing.
"""

from __future__ import annotations

import asyncio
import random
from typing import Protocol

import structlog

from measurements.model import Confidence, Outcome, Target
from probe import confirming, pacing
from probe.confirming import Confirming
from probe.crew import News
from probe.desk import Desk
from probe.harmless import TRACE, UNFIT, Errand
from probe.pacing import Pacing
from probe.schedule import DAY

log = structlog.get_logger("wazi.agent")


class Annals(confirming.Annals, pacing.Annals, Protocol):
    """What is asked of a store about the past."""


class Aftermath:
    """What is still to be done about what was found. `samples` is how many targets a day are tested for throttling."""

    def __init__(self, desk: Desk, annals: Annals, chance: random.Random, samples: int | None) -> None:
        self.desk = desk
        self.annals = annals
        self.confirming = Confirming(desk, annals, chance)
        self.pacing = Pacing(desk, annals, chance, samples)
        self.to_trace: dict[str, Target] = {}  # by URL: found blocked, and not traced since

    def heard(self, news: News) -> None:
        """Take note of what follows from a measurement."""
        self.confirming.heard(news)
        self.pacing.heard(news)
        if news.order.placebo or news.order.nettest in UNFIT:
            return
        verdict, target = news.verdict, news.order.target
        confirmed = verdict.outcome is Outcome.BLOCKED and verdict.confidence is Confidence.CONFIRMED
        if confirmed and TRACE in self.desk.crew.bench.nettests:
            self.to_trace[target.url] = target

    def begin(self) -> None:
        """Set the times of what has one."""
        self.confirming.plan()
        self.pacing.plan()

    def clock_was_set(self, step: float) -> None:
        """Move what is planned with the clock."""
        self.confirming.again.clock_was_set(step)

    @property
    def is_waiting(self) -> bool:
        """Whether something waits for the end of a run."""
        return bool(self.to_trace or self.pacing.suspects or self.confirming.again.waiting)

    async def after_run(self) -> None:
        """Do what waited for the end of a run."""
        self.confirming.say_what_waits()
        await self._trace()
        await self.pacing.test_suspects()

    async def _trace(self) -> None:
        """Trace what was found blocked, unless it was traced within a day: the store remembers, over restarts too."""
        waiting, self.to_trace = self.to_trace, {}
        fit = [target for target in self.desk.targets if target.url in waiting]  # the settings may have changed
        due = [target for target in fit if await asyncio.to_thread(self._trace_is_due, target)]
        if due and not self.desk.stopping:
            traced = await self.desk.crew.measure([Errand(TRACE, target) for target in due])
            log.info("traced", targets=len(due), traced=traced)

    def _trace_is_due(self, target: Target) -> bool:
        last = self.annals.last_measured(target.url, TRACE, self.desk.crew.probe_id)
        return last is None or not 0 <= self.desk.now - last < DAY
