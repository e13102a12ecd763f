"""When throttling is tested: on suspicion, and of a few targets a day without one (`probe.suspicion`).

A test takes much data and has the line to itself, so it is never routine: a target is tested once in six hours at
most, all tests together take a quarter of the day's data, and where many targets are slow at once, which is the
line's doing more likely than anybody's, two of them are tested and no more. A suspicion that a test could not settle,
for the line must be known first, is looked into again after an hour.
"""

from __future__ import annotations

import asyncio
import random
from typing import Protocol

import structlog

from measurements.model import Outcome, Target
from probe.crew import News
from probe.desk import Desk
from probe.harmless import THROTTLING, UNFIT, Errand
from probe.schedule import day_of, end_of_day
from probe.suspicion import Paces, pace, sample, suspicious

NAME = ":sample"  # in the timetable: no campaign can be called so
APART = 6 * 3600.0  # seconds between two tests of a target
SOONER = 3600.0  # the same where the last one could not tell
AT_ONCE = 2
SHARE = 0.25  # of the day's data
USUAL = 5_000_000  # bytes that a test takes on a line that is not known and does not waver

log = structlog.get_logger("wazi.agent")


class Annals(Protocol):
    """What is asked of a store about the past."""

    def last_measured(self, url: str, nettest: str, probe_id: str) -> float | None: ...


class Pacing:
    """Which targets are to be tested for throttling. `samples` a day without suspicion; None to test none at all."""

    def __init__(self, desk: Desk, annals: Annals, chance: random.Random, samples: int | None) -> None:
        self.desk = desk
        self.annals = annals
        self.chance = chance
        self.samples = samples if THROTTLING in desk.crew.bench.nettests else None
        self.paces = Paces()
        self.suspects: dict[str, Target] = {}
        self._undecided: set[str] = set()  # URLs of which the last test could not tell
        self._day = ""
        self._spent = 0

    def go_on_with(self, samples: int | None) -> None:
        """Take another number of samples a day."""
        self.samples = samples if THROTTLING in self.desk.crew.bench.nettests else None
        self.plan()

    def heard(self, news: News) -> None:
        """Learn from a measurement how fast a site is, or that it is suspicious."""
        order, fact = news.order, news.measurement
        if order.nettest == THROTTLING:
            self._tested(news)
        if order.placebo or order.nettest in UNFIT or self.samples is None:
            return
        seen = pace(fact)
        past = self.paces.of(order.target.url, full=seen.full) if seen else ()
        why = suspicious(fact, past)
        if why is not None:
            log.info("suspicious", why=why, id=fact.id)
            self.suspects[order.target.url] = order.target
        elif seen is not None and news.verdict.outcome is Outcome.ACCESSIBLE:
            self.paces.learn(order.target.url, seen)

    def _tested(self, news: News) -> None:
        self._today()
        self._spent += news.spent
        url, outcome = news.order.target.url, news.verdict.outcome
        if outcome is Outcome.ACCESSIBLE:
            self.paces.forget(url)
        if outcome is Outcome.INCONCLUSIVE:
            self._undecided.add(url)
        else:
            self._undecided.discard(url)

    def plan(self) -> None:
        """See that the next target of the day's sample is tested at its time."""
        if not self.samples:
            return
        now = self.desk.now
        later = end_of_day(now)
        days = (sample(self.desk.targets, self.samples, day, self.desk.crew.probe_id) for day in (now, later))
        due = next(((when, target) for day in days for when, target in day if when > now), None)
        if due is None:
            return
        when, target = due

        async def run() -> None:
            if self.samples:
                await self._test([target])
            self.plan()

        self.desk.at(NAME, when, run)

    async def test_suspects(self) -> None:
        """Test what was suspicious, each target once in a while."""
        waiting, self.suspects = list(self.suspects.values()), {}
        self.chance.shuffle(waiting)
        await self._test(waiting)

    async def _test(self, targets: list[Target]) -> None:
        desk = self.desk
        named = {target.url for target in desk.targets}  # the settings may have changed since it was chosen
        fit = [target for target in targets if target.url in named]
        due = [target for target in fit if await asyncio.to_thread(self._is_due, target)][:AT_ONCE]
        if not due or not await desk.judgeable():
            return
        room = int((desk.crew.purse.budget * SHARE - self._today()) // USUAL)
        chosen = due[: max(0, room)]
        done = await desk.crew.measure([Errand(THROTTLING, target) for target in chosen])
        log.info("throttling tested", targets=done, put_off=len(due) - done)
        if done < len(due) and not desk.stopping:
            desk.put_off(len(due) - done, "tests of throttling", desk.now + APART)

    def _is_due(self, target: Target) -> bool:
        last = self.annals.last_measured(target.url, THROTTLING, self.desk.crew.probe_id)
        apart = SOONER if target.url in self._undecided else APART
        return last is None or not 0 <= self.desk.now - last < apart

    def _today(self) -> int:
        """The bytes that tests took today, in this life."""
        today = day_of(self.desk.now)
        if today != self._day:
            self._day, self._spent = today, 0
        return self._spent
