"""Gaps: the stretches in which nothing was measured, each with its reason.

A campaign that cannot measure opens a gap, which ends when it measures again, or with the process. The
heartbeat carries open gaps along, so that one which a kill cut off is still recorded at the next start.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Protocol

import structlog
from msgspec.structs import replace

from measurements.model import Gap, Preconditions
from probe.schedule import Campaign, stretches

SHORTEST = 60.0  # seconds: a shorter silence is not recorded
LOOK_AGAIN = (30.0, 60.0, 120.0, 300.0)  # seconds after which a network that cannot be judged is looked at again
ABSENT = frozenset({"offline", "gateway_only", "nothing_passes"})  # reasons for which nothing was reached at all

log = structlog.get_logger("wazi.agent")


class GapKeeper(Protocol):
    """Where gaps are kept."""

    def add_gap(self, gap: Gap) -> Awaitable[None]: ...


def why_silent(found: Preconditions) -> str:
    """Name the reason of a gap in which the network could not be judged.

    A machine that has a route, over which nothing answers, has an outage; one without is offline.
    """
    linked = found.ipv4_route or found.ipv6_route
    return "outage" if found.reason in ABSENT and linked else found.reason or "error"


class Silence:
    """The gaps of one probe; `now` is the wall clock. `worked` is the last time that the network was seen to work."""

    def __init__(self, keeper: GapKeeper, probe_id: str, now: Callable[[], float]) -> None:
        self.worked: float | None = None
        self._keeper = keeper
        self._probe_id = probe_id
        self._now = now
        self._open: dict[str, Gap] = {}
        self._looks: dict[str, int] = {}

    @property
    def open_gaps(self) -> tuple[Gap, ...]:
        """The gaps that have not ended, up to now."""
        return tuple(replace(gap, until=self._now()) for gap in self._open.values())

    def is_open(self, campaign: str) -> bool:
        """Tell whether a campaign is in a gap."""
        return campaign in self._open

    @property
    def failing(self) -> tuple[str, ...]:
        """The campaigns whose last look at the network failed."""
        return tuple(name for name, gap in self._open.items() if gap.failed is not None)

    def works(self, when: float) -> None:
        """Take note that the network was seen to work at a time."""
        self.worked = when if self.worked is None else max(when, self.worked)

    def begin(self, campaign: str, why: str, detail: str) -> None:
        """Open a campaign's gap, or go on with the one that has the same reason."""
        gap = self._open.get(campaign)
        if gap is not None and gap.why == why:
            return
        self.end(campaign)
        now = self._now()
        self._open[campaign] = Gap(probe_id=self._probe_id, since=now, until=now, why=why, detail=detail)

    def failed(self, campaign: str, why: str, detail: str, since: float) -> float:
        """Open a gap, or go on with it, because of a look that failed; the first one in a row failed at `since`.

        Returns after how many seconds to look again: soon at first, so that the end is known closely.
        """
        now = self._now()
        gap = self._open.get(campaign)
        if gap is None or gap.why != why:
            self.end(campaign, restored=None if gap is None else False)
            worked = self.worked if self.worked is None else min(self.worked, since)
            gap = Gap(probe_id=self._probe_id, since=since, until=now, why=why, detail=detail, worked=worked)
            self._looks[campaign] = 0
        self._open[campaign] = replace(gap, failed=now)
        pause = LOOK_AGAIN[min(self._looks[campaign], len(LOOK_AGAIN) - 1)]
        self._looks[campaign] += 1
        return pause

    def end(self, campaign: str, *, restored: bool | None = None) -> None:
        """End a campaign's gap, if it is in one; `restored` when the network works again."""
        gap = self._open.pop(campaign, None)
        if gap is not None:
            self._add(replace(gap, until=self._now(), restored=restored if gap.failed is not None else None))

    def end_all(self) -> None:
        """End every gap."""
        for campaign in tuple(self._open):
            self.end(campaign)

    def add(self, since: float, until: float, why: str, detail: str) -> None:
        """Record a gap that is over, or whose end is known."""
        self._add(Gap(probe_id=self._probe_id, since=since, until=until, why=why, detail=detail))

    def add_cut_off(self, gaps: Iterable[Gap], until: float) -> None:
        """Record gaps that were open when the probe last gave a sign of life."""
        for gap in gaps:
            self._add(replace(gap, until=until))

    def _add(self, gap: Gap) -> None:
        log.info("gap", why=gap.why, seconds=round(gap.until - gap.since))
        self._keeper.add_gap(gap)

    def add_if_due(
        self, since: float, why: str, what: str, campaigns: Iterable[Campaign], last_runs: Mapping[str, float]
    ) -> None:
        """Record a silence from `since` until now in which runs were due."""
        now = self._now()
        begun = [one for one in campaigns if one.name in last_runs]
        due = sum(part.runs for one in begun for part in stretches(one, last_runs[one.name], now, begun=True))
        if due and now - since >= SHORTEST:
            self.add(since, now, why, f"{what}; runs that were due meanwhile: {due}.")
