"""What those share who see to what follows from a find: whom to send, when, and where to say what was left out."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from measurements.model import Target
from probe.crew import Crew
from probe.harmless import harmless_of
from probe.schedule import Campaign
from probe.silence import Silence
from probe.timetable import Timetable

SeeThrough = Callable[[str, Awaitable[None]], Awaitable[None]]
"""Sees a piece of work through under a name: what it raises ends the agent, which waits for it when it ends."""


@dataclass(frozen=True, slots=True)
class Desk:
    """The crew, the timetable, the record of silences, the campaigns of now, and the harmless sites."""

    crew: Crew
    timetable: Timetable
    silence: Silence
    campaigns: Callable[[], Sequence[Campaign]]
    witnesses: Callable[[], tuple[Target, ...]]
    see_through: SeeThrough

    @property
    def now(self) -> float:
        """The wall clock."""
        return self.crew.bench.clocks().wall

    @property
    def stopping(self) -> bool:
        """Whether nothing new may begin."""
        return self.crew.bench.stop.asked.is_set()

    @property
    def targets(self) -> tuple[Target, ...]:
        """Each target of the campaigns and of their moments once."""
        asked = [campaign.targets for campaign in self.campaigns()]
        asked += [moment.targets for campaign in self.campaigns() for moment in campaign.moments]
        return tuple({target.url: target for targets in asked for target in targets}.values())

    @property
    def harmless(self) -> tuple[Target, ...]:
        """The sites that are there to be asked without a question."""
        return harmless_of(self.witnesses(), self.targets)

    def at(self, name: str, when: float, run: Callable[[], Awaitable[None]]) -> None:
        """Have something run at a time, once, instead of what was to run under that name."""
        if self.stopping:
            return
        due = self.timetable.next_run(name)
        if due is not None and abs(due - when) < 1.0:
            return

        async def work() -> None:
            await self.see_through(name, run())

        self.timetable.at(name, when, work)

    def soon(self, nettest: str, url: str) -> float | None:
        """Say when a campaign asks about a target next."""
        mine = [campaign for campaign in self.campaigns() if campaign.nettest == nettest]
        times = [(self.timetable.next_run(campaign.name), campaign) for campaign in mine]
        return min(
            (due for due, one in times if due is not None and any(t.url == url for t in one.at(due).targets)),
            default=None,
        )

    async def judgeable(self) -> bool:
        """Look at the network, unless that was done a moment ago; tell whether it can be judged, and we may go on."""
        async with self.crew.line.shared():  # nor is what has the line to itself disturbed by a look
            found = await self.crew.bench.preconditions()
        self.crew.count_looking()
        return found.reason is None and not self.stopping

    def put_off(self, count: int, what: str, until: float) -> None:
        """Say what the day's data did not allow."""
        self.silence.add(self.now, until, "budget", f"{count} {what} were put off: {self.crew.purse.account}")
