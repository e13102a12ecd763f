"""Asking again about what was found, among harmless sites, as far as the day's data allow (`probe.again`).

After a restart what was pending follows from the verdicts in the store.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol

import structlog

from measurements.model import Outcome, Past, Target, Verdict
from probe.again import MINUTE, PERSISTENCE, Again, Key, find
from probe.crew import REMEMBERED, Earlier, News
from probe.desk import Desk
from probe.harmless import TRACE, UNFIT, Crowd, Errand
from probe.purse import UNKNOWN_COST

NAME = ":again"  # in the timetable: no campaign can be called so
PAUSE = 30.0  # seconds between two batches
AT_ONCE = 8
SHARE = 0.25  # of what is left of the day's data
UNJUDGED = 5 * MINUTE  # after which a network that could not be judged is looked at again

log = structlog.get_logger("wazi.agent")


class Recorded(Earlier, Protocol):
    """A measurement of the past that is known by its target."""

    @property
    def url(self) -> str: ...


class Annals(Protocol):
    """What is asked of a store about the past."""

    def measurements(self, *, since: float | None = None, probe_id: str | None = None) -> Iterator[Recorded]: ...

    def history(self, target: str, probe_id: str, *, since: float, limit: int = 100) -> Sequence[Earlier]: ...


class Confirming:
    """What is asked again. `chance` draws times, company and order."""

    def __init__(self, desk: Desk, annals: Annals, chance: random.Random) -> None:
        self.desk = desk
        self.annals = annals
        self.chance = chance
        self.again = Again(chance)
        self.open: dict[str, Target] = {}  # by URL: answered last time, and so good company
        self._asking = False
        self._last = 0.0  # when the last batch ended, and for how long nothing is asked after it
        self._rest = PAUSE
        self._said: set[Key] = set()  # what waits for room, and was said to

    def remember(self) -> None:
        """Take up what was pending when the probe ended; reads the store."""
        now, probe_id = self.desk.now, self.desk.crew.probe_id
        targets = {target.url: target for target in self.desk.targets}
        asked = ({one.nettest for one in self.desk.campaigns()} | UNFIT) - {TRACE}
        recent = self.annals.measurements(since=now - PERSISTENCE - 15 * MINUTE, probe_id=probe_id)
        for nettest, url in sorted({(one.nettest, one.url) for one in recent if _is_against(one.verdict)}):
            if url in targets and nettest in asked:
                entries = self.annals.history(url, probe_id, since=now - REMEMBERED)
                told = [one for one in entries if one.nettest == nettest]
                past = [Past(started=one.started, verdict=one.verdict) for one in told if one.verdict]
                self._take_up(nettest, targets[url], [one for one in past if find(one.verdict) is not None])

    def _take_up(self, nettest: str, target: Target, past: Iterable[Past]) -> None:
        newest, *older = sorted(past, key=lambda one: one.started, reverse=True)
        if newest.verdict.outcome is not Outcome.ACCESSIBLE:
            self.again.heard(nettest, target, newest.started, newest.verdict, older, 3 * UNKNOWN_COST)

    def heard(self, news: News) -> None:
        """Take note of a verdict."""
        order, verdict = news.order, news.verdict
        if order.placebo or order.nettest == TRACE:
            return
        if verdict.outcome is Outcome.ACCESSIBLE:
            self.open[order.target.url] = order.target
        else:
            self.open.pop(order.target.url, None)
        cost = news.spent + 2 * UNKNOWN_COST  # and that of its company, and of the looks at the network
        self.again.heard(order.nettest, order.target, news.measurement.started, verdict, news.past, cost)
        self.plan()

    def plan(self) -> None:
        """Let in what there is room for, and see that it is asked when it is due."""
        self.again.admit(self.desk.now, self.desk.crew.purse.left * SHARE)
        due = self.again.next_due
        if due is not None and not self._asking:
            self.desk.at(NAME, max(due, self._last + self._rest), self._run)

    def say_what_waits(self) -> None:
        """Record, once for each find, that it is not asked about again because others are, or for want of data."""
        new = self.again.waiting - self._said
        self._said = set(self.again.waiting)
        if new:
            runs = (self.desk.timetable.next_run(campaign.name) for campaign in self.desk.campaigns())
            until = min((run for run in runs if run is not None), default=self.desk.now + PERSISTENCE)
            others = len(self.again.running)
            self.desk.put_off(len(new), f"finds to be confirmed, beside {others} others that are asked again,", until)

    async def _run(self) -> None:
        self._asking, self._rest = True, PAUSE
        try:
            await self._ask()
        finally:
            self._asking = False
            self._last = self.desk.now
            self.plan()

    async def _ask(self) -> None:
        """Ask what is due, among at least as many harmless sites."""
        desk = self.desk
        self.again.keep({target.url for target in desk.targets})
        if not self.again.running:
            return
        if not self._crowd().size:
            log.warning("nothing is asked again: there is no harmless site to hide it among")
            self._rest = 15 * MINUTE
            return
        if not await desk.judgeable():
            self._rest = UNJUDGED
            return
        crowd = self._crowd()
        taken = self.again.take(desk.now, min(AT_ONCE, crowd.size), lambda one: desk.soon(one.nettest, one.target.url))
        if not taken:
            return
        errands = crowd.hide([Errand(one.nettest, one.target) for one in taken], self.chance)
        log.info("asking again", targets=len(taken), others=len(errands) - len(taken), waiting=len(self.again.waiting))
        done = await desk.crew.measure(errands)
        asked = {(one.nettest, one.target.url) for one in taken}
        missed = sum((one.nettest, one.target.url) in asked for one in errands[done:])
        if missed and not desk.stopping:
            desk.put_off(missed, "questions about what was found", desk.now + 15 * MINUTE)

    def _crowd(self) -> Crowd:
        hosts = {one.target.host for one in self.again.running}
        known = {target.url for target in self.desk.targets}
        answering = tuple(target for url, target in self.open.items() if url in known)
        return Crowd(self.desk.harmless, answering).without(hosts)


def _is_against(verdict: Verdict | None) -> bool:
    said = None if verdict is None else find(verdict)
    return said is not None and said.against
