"""Gaps: the stretches in which nothing was measured, each with its reason.

A campaign that cannot measure opens a gap, which ends when it measures again, or with the process. The
heartbeat carries open gaps along, so that one which a kill cut off is still recorded at the next start.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Protocol

import structlog

from measurements.model import Gap
from probe.schedule import Campaign, stretches

SHORTEST = 60.0  # seconds: a shorter silence is not recorded

log = structlog.get_logger("wazi.agent")


class GapKeeper(Protocol):
    """Where gaps are kept."""

    def add_gap(self, gap: Gap) -> Awaitable[None]: ...


class Silence:
    """The gaps of one probe; `now` is the wall clock."""

    def __init__(self, keeper: GapKeeper, probe_id: str, now: Callable[[], float]) -> None:
        self._keeper = keeper
        self._probe_id = probe_id
        self._now = now
        self._open: dict[str, Gap] = {}

    @property
    def open_gaps(self) -> tuple[Gap, ...]:
        """The gaps that have not ended, up to now."""
        return tuple(self._gap(gap.since, self._now(), gap.why, gap.detail) for gap in self._open.values())

    def is_open(self, campaign: str) -> bool:
        """Tell whether a campaign is in a gap."""
        return campaign in self._open

    def begin(self, campaign: str, why: str, detail: str) -> None:
        """Open a campaign's gap, or go on with the one that has the same reason."""
        gap = self._open.get(campaign)
        if gap is not None and gap.why == why:
            return
        self.end(campaign)
        self._open[campaign] = self._gap(self._now(), self._now(), why, detail)

    def end(self, campaign: str) -> None:
        """End a campaign's gap, if it is in one."""
        gap = self._open.pop(campaign, None)
        if gap is not None:
            self.add(gap.since, self._now(), gap.why, gap.detail)

    def end_all(self) -> None:
        """End every gap."""
        for campaign in tuple(self._open):
            self.end(campaign)

    def add(self, since: float, until: float, why: str, detail: str) -> None:
        """Record a gap that is over, or whose end is known."""
        log.info("gap", why=why, seconds=round(until - since))
        self._keeper.add_gap(self._gap(since, until, why, detail))

    def add_if_due(
        self, since: float, why: str, what: str, campaigns: Iterable[Campaign], last_runs: Mapping[str, float]
    ) -> None:
        """Record a silence from `since` until now in which runs were due."""
        now = self._now()
        begun = [one for one in campaigns if one.name in last_runs]
        due = sum(part.runs for one in begun for part in stretches(one, last_runs[one.name], now, begun=True))
        if due and now - since >= SHORTEST:
            self.add(since, now, why, f"{what}; runs that were due meanwhile: {due}.")

    def _gap(self, since: float, until: float, why: str, detail: str) -> Gap:
        return Gap(probe_id=self._probe_id, since=since, until=until, why=why, detail=detail)
