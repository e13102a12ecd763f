"""APScheduler, with the few things that the agent asks of it: one job a campaign, in UTC, kept in memory.

Late runs are one run (`coalesce`, however late), and a run that still goes on is not begun again
(`max_instances`): it follows as soon as that one has ended. Beside the campaigns there are things that happen once,
at a time; each has a name, and saying it again moves it. The scheduler waits on a clock that stands still while the
computer sleeps and reckons with one that can be set: who notices either must say so here.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

import structlog
from apscheduler.events import EVENT_JOB_ERROR, EVENT_JOB_EXECUTED, EVENT_JOB_MAX_INSTANCES, JobExecutionEvent
from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.triggers.date import DateTrigger
from apscheduler.triggers.interval import IntervalTrigger

from probe.schedule import Campaign

log = structlog.get_logger("wazi.agent")


class Timetable:
    """When each campaign runs next. Times are UTC seconds since the epoch."""

    def __init__(self) -> None:
        self._scheduler = AsyncIOScheduler(timezone="UTC")
        self._scheduler.add_listener(self._left_out, EVENT_JOB_MAX_INSTANCES)
        self._scheduler.add_listener(self._ended, EVENT_JOB_EXECUTED | EVENT_JOB_ERROR)
        self._owed: set[str] = set()

    def add(self, campaign: Campaign, first: float, run: Callable[[Campaign], Awaitable[None]]) -> None:
        """Run a campaign at `first` and then every so often."""
        self._scheduler.add_job(
            run,
            IntervalTrigger(seconds=campaign.every, jitter=campaign.jitter or None, timezone=UTC),
            args=[campaign],
            id=campaign.name,
            coalesce=True,
            max_instances=1,
            misfire_grace_time=None,
            next_run_time=_at(first),
        )

    def at(self, name: str, when: float, run: Callable[[], Awaitable[None]]) -> None:
        """Run something once, at `when`; what was to happen under that name before happens no more."""
        self._scheduler.add_job(
            run, DateTrigger(_at(when)), id=name, replace_existing=True, misfire_grace_time=None, coalesce=True
        )

    def start(self) -> None:
        """Begin to run what is due."""
        self._scheduler.start()

    def next_run(self, name: str) -> float | None:
        """Say when a campaign runs next, or when a thing that happens once does."""
        job = self._scheduler.get_job(name)
        return float(job.next_run_time.timestamp()) if job and job.next_run_time else None

    def run_at(self, campaign: str, when: float) -> None:
        """Run a campaign next at `when` instead."""
        self._scheduler.modify_job(campaign, next_run_time=_at(when))

    def clock_was_set(self, step: float) -> None:
        """Move all that is due by as much as the clock was set."""
        for job in self._scheduler.get_jobs():
            job.modify(next_run_time=job.next_run_time + timedelta(seconds=step))

    def wake_up(self) -> None:
        """Look at the clock now."""
        self._scheduler.wakeup()

    def pause(self) -> None:
        """Begin nothing more."""
        self._scheduler.pause()

    def close(self) -> None:
        """Let go of everything; it does not wait for what runs."""
        self._scheduler.shutdown(wait=False)

    def _left_out(self, event: JobExecutionEvent) -> None:
        log.warning("a run waits: the one before it is not done", campaign=event.job_id)
        self._owed.add(event.job_id)

    def _ended(self, event: JobExecutionEvent) -> None:
        if event.job_id in self._owed and self._scheduler.get_job(event.job_id) is not None:
            self.run_at(event.job_id, datetime.now(UTC).timestamp())
        self._owed.discard(event.job_id)


def _at(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
