"""What follows from what was found: a block beyond doubt is traced, each target once a day.

The store remembers what was traced, over restarts too.
"""

from __future__ import annotations

import asyncio
from typing import Protocol

import structlog

from measurements.model import Confidence, Outcome, Target
from probe.crew import OWN_COST, Crew, Errand, News
from probe.schedule import DAY

TRACE = "trace"  # the nettest that says where a block is

log = structlog.get_logger("wazi.agent")


class Annals(Protocol):
    """What is asked of a store about the past."""

    def last_measured(self, url: str, nettest: str, probe_id: str) -> float | None: ...


class Aftermath:
    """What is still to be done about what was found."""

    def __init__(self, crew: Crew, *, annals: Annals) -> None:
        self.crew = crew
        self.annals = annals
        self.to_trace: dict[str, Target] = {}  # by URL: found blocked, and not traced since

    def heard(self, news: News) -> None:
        """Take note of what follows from a measurement."""
        if news.order.placebo or news.order.nettest in OWN_COST:
            return
        verdict, target = news.verdict, news.order.target
        confirmed = verdict.outcome is Outcome.BLOCKED and verdict.confidence is Confidence.CONFIRMED
        if confirmed and TRACE in self.crew.bench.nettests:
            self.to_trace[target.url] = target

    async def trace(self) -> None:
        """Trace what was found blocked, unless it was traced within a day."""
        waiting, self.to_trace = self.to_trace, {}
        due = [target for target in waiting.values() if await asyncio.to_thread(self._trace_is_due, target)]
        if due and not self.crew.bench.stop.asked.is_set():
            traced = await self.crew.measure([Errand(TRACE, target) for target in due])
            log.info("traced", targets=len(due), traced=traced)

    def _trace_is_due(self, target: Target) -> bool:
        last = self.annals.last_measured(target.url, TRACE, self.crew.probe_id)
        return last is None or not 0 <= self.crew.bench.clocks().wall - last < DAY
