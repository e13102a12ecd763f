"""How late the event loop runs.

When the machine is busy, a step's end is seen late and a timing says more about us than about the network.
One task sleeps for a short while, again and again, and notes by how much it overslept.
"""

from __future__ import annotations

import asyncio
import time

INTERVAL = 0.05


class LagWatch:
    """The worst lateness since this watch began, in seconds."""

    def __init__(self, sampler: LagSampler) -> None:
        self._sampler = sampler
        self._worst = 0.0

    @property
    def worst(self) -> float:
        """The worst so far; a sample that is overdue right now counts too."""
        running = self in self._sampler.watches
        return max(self._worst, self._sampler.overdue) if running else self._worst

    def note(self, lag: float) -> None:
        self._worst = max(self._worst, lag)

    def stop(self) -> None:
        """Keep the value as it is now."""
        self._worst = self.worst
        self._sampler.watches.discard(self)


class LagSampler:
    """The task that sleeps, and whoever watches it."""

    def __init__(self) -> None:
        self.watches: set[LagWatch] = set()
        self._due = float("inf")
        self._task: asyncio.Task[None] | None = None

    @property
    def overdue(self) -> float:
        return max(0.0, time.perf_counter() - self._due)

    def watch(self) -> LagWatch:
        watch = LagWatch(self)
        self.watches.add(watch)
        return watch

    def start(self) -> None:
        self._due = time.perf_counter() + INTERVAL
        self._task = asyncio.create_task(self._sample(), name="event-loop lag")

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
        self._due = float("inf")

    async def _sample(self) -> None:
        while True:
            self._due = time.perf_counter() + INTERVAL
            await asyncio.sleep(INTERVAL)
            lag = self.overdue
            for watch in self.watches:
                watch.note(lag)
