"""APScheduler, with the few things that the agent asks of it: one job a campaign, in UTC, kept in memory.

When a campaign runs again is told by `probe.schedule`; APScheduler waits until then. Late runs are one run
(`coalesce`, however late), and a run that still goes on is not begun again (`max_instances`): it follows as soon as
that one has ended. Beside the campaigns there are things that happen once, at a time; each has a name, and saying it
again moves it. The scheduler waits on a clock that stands still while the computer sleeps and reckons with one that
can be set: who notices either must say so here. It knows the computer's clock only; the times of this module are
those of the tempo it was given.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

import structlog
from apscheduler.events import EVENT_JOB_ERROR, EVENT_JOB_EXECUTED, EVENT_JOB_MAX_INSTANCES, JobExecutionEvent
from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.triggers.base import BaseTrigger
from apscheduler.triggers.date import DateTrigger

from probe.clocks import Tempo
from probe.schedule import Campaign, next_run

log = structlog.get_logger("wazi.agent")


class Timetable:
    """When each campaign runs next. Times are UTC seconds since the epoch."""

    def __init__(self, tempo: Tempo | None = None) -> None:
        self._tempo = tempo or Tempo()
        self._campaigns: dict[str, Campaign] = {}
        self._scheduler = AsyncIOScheduler(timezone="UTC")
        self._scheduler.add_listener(self._left_out, EVENT_JOB_MAX_INSTANCES)
        self._scheduler.add_listener(self._ended, EVENT_JOB_EXECUTED | EVENT_JOB_ERROR)
        self._owed: set[str] = set()

    def add(self, campaign: Campaign, first: float, run: Callable[[Campaign], Awaitable[None]]) -> None:
        """Run a campaign at `first` and then whenever it is due; one of the same name gives way to it."""
        self._campaigns[campaign.name] = campaign
        self._scheduler.add_job(
            run,
            _Due(campaign, self._tempo),
            args=[campaign],
            id=campaign.name,
            coalesce=True,
            max_instances=1,
            misfire_grace_time=None,
            next_run_time=self._at(first),
            replace_existing=True,
        )

    def remove(self, campaign: str) -> None:
        """Run a campaign no more; what runs goes on."""
        del self._campaigns[campaign]
        self._owed.discard(campaign)
        self._scheduler.remove_job(campaign)

    def at(self, name: str, when: float, run: Callable[[], Awaitable[None]]) -> None:
        """Run something once, at `when`; what was to happen under that name before happens no more."""
        self._scheduler.add_job(
            run, DateTrigger(self._at(when)), id=name, replace_existing=True, misfire_grace_time=None, coalesce=True
        )

    def start(self) -> None:
        """Begin to run what is due."""
        self._scheduler.start()

    def next_run(self, name: str) -> float | None:
        """Say when a campaign runs next, or when a thing that happens once does."""
        job = self._scheduler.get_job(name)
        return self._tempo.from_computer(job.next_run_time.timestamp()) if job and job.next_run_time else None

    def run_at(self, campaign: str, when: float) -> None:
        """Run a campaign next at `when` instead."""
        if self._scheduler.get_job(campaign) is not None:  # it may have been taken away while it ran
            self._scheduler.modify_job(campaign, next_run_time=self._at(when))

    def clock_was_set(self, step: float, now: float) -> None:
        """Move all that is due by as much as the clock was set, to `now`.

        Moments stay where they are: one that has come or gone by it is lived up to at once.
        """
        for job in self._scheduler.get_jobs():
            due = self._tempo.from_computer(job.next_run_time.timestamp()) + step
            campaign = self._campaigns.get(job.id)
            if campaign is not None:
                same = campaign.moment(now) == campaign.moment(now - step)
                due = campaign.due_by(due, now) if same else now
            job.modify(next_run_time=self._at(due))

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
            self._scheduler.modify_job(event.job_id, next_run_time=datetime.now(UTC))
        self._owed.discard(event.job_id)

    def _at(self, seconds: float) -> datetime:
        return datetime.fromtimestamp(self._tempo.to_computer(seconds), UTC)


class _Due(BaseTrigger):  # type: ignore[misc]  # APScheduler has no types
    """What APScheduler asks when a campaign is due again."""

    def __init__(self, campaign: Campaign, tempo: Tempo) -> None:
        self._campaign, self._tempo = campaign, tempo

    def get_next_fire_time(self, previous: datetime | None, now: datetime) -> datetime:
        """Say when a campaign is due again that was due at `previous`; these are the computer's times."""
        at, last = (self._tempo.from_computer((time or now).timestamp()) for time in (now, previous))
        wobble = random.uniform(-1.0, 1.0)  # noqa: S311 - it hides a pattern, it keeps no secret
        return datetime.fromtimestamp(self._tempo.to_computer(next_run(self._campaign, last, at, wobble)), UTC)
