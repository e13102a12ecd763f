"""Asking again: a site that was found blocked is no news until it was found so again. Pure: time and chance are given.

A first find begins a series: the same target is asked by the same nettest after about 1, 5, 15, 30 and 60 minutes,
and on until three hours have passed, which is how long one line alone must see a block before it counts. A vote
counts once in a quarter of an hour, and more is not asked. A site that was only unreachable has weaker votes, which
could not settle it in three hours however often it were asked: it is asked three times. A test of throttling takes a
hundred times the data, and is made three times more.

What a campaign asks meanwhile counts as well, so nothing is asked twice. A find that only goes on begins nothing:
a site that is blocked for a year has one series. One that opens is asked once more a little later, and then let be;
should it be shut again within the three hours, the series goes on.

How many series run at once is bounded, and by the data they will take; the others wait until there is room. Nothing is
written down: what was found is in the store, and a series follows from it.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Container, Iterable
from dataclasses import dataclass, replace

from measurements.model import Outcome, Past, Target, Verdict, Where
from probe.harmless import THROTTLING

MINUTE = 60.0
PERSISTENCE = 3 * 3600.0  # seconds for which one line alone must see a block (detection.md 5, verdict-critique.md 4.3)
BLOCKED = tuple(MINUTE * minutes for minutes in (1, 5, 15, 30, 60, 90, 120, 150, 181))
THROTTLED = tuple(MINUTE * minutes for minutes in (15, 60, 181))
UNREACHABLE = tuple(MINUTE * minutes for minutes in (5, 15, 60))
JITTER = 0.2  # of the time between two questions
BIN = 900.0  # seconds in which one vote counts
OPENED = 5 * MINUTE  # after which a site that opened is asked once more
MOST_SERIES = 12
MOST_UNREACHABLE = 4  # of those
MOST_WAITING = 1000
SOON = 15.0  # seconds by which a question may be early, so that several go together

Key = tuple[str, str]
"""The nettest and the URL."""


@dataclass(frozen=True, slots=True)
class Find:
    """What a verdict says of access: `against` it, and whether that is `proven`."""

    against: bool
    proven: bool = True


def find(verdict: Verdict) -> Find | None:
    """Read a verdict; None when it says nothing of access, or speaks of the volunteer's own router."""
    if verdict.outcome is Outcome.ACCESSIBLE:
        return Find(against=False)
    if verdict.where is Where.LOCAL:
        return None
    if verdict.outcome in (Outcome.BLOCKED, Outcome.THROTTLED):
        return Find(against=True)
    return Find(against=True, proven=False) if verdict.outcome is Outcome.UNREACHABLE else None


def found_since(past: Iterable[Past], *, proven: bool) -> float | None:
    """Say since when a target has been found so, without having answered in between; None when it was not."""
    since = None
    for one in sorted(past, key=lambda one: one.started, reverse=True):
        said = find(one.verdict)
        if said is None:
            continue
        if not said.against:
            break
        if said.proven or not proven:
            since = one.started
    return since


@dataclass(frozen=True, slots=True)
class Series:
    """What is still to be asked about one find. Times are UTC seconds; `cost` is what a question takes, in bytes."""

    nettest: str
    target: Target
    since: float
    proven: bool
    due: tuple[float, ...]
    cost: int
    asked: float  # when it was asked last
    opened: bool = False

    @property
    def key(self) -> Key:
        """What tells it from others."""
        return self.nettest, self.target.url

    @property
    def left(self) -> int:
        """The bytes that the rest will take."""
        return self.cost * len(self.due)

    def after(self, when: float) -> Series:
        """Leave out what a question at `when` has answered."""
        return replace(self, due=tuple(due for due in self.due if not self._answered(due, when)), asked=when)

    def moved(self, step: float) -> Series:
        """Move it with a clock that was set."""
        due = tuple(due + step for due in self.due)
        return replace(self, since=self.since + step, due=due, asked=self.asked + step)

    def _answered(self, due: float, when: float) -> bool:
        """Tell whether a question at `when` was the one that is due then.

        The margin is more than two draws of the same question may be apart, and less than two questions are: a series
        that is begun anew after a restart repeats none.
        """
        wait = due - self.since
        if wait >= PERSISTENCE and not self.opened:
            return when - self.since >= PERSISTENCE
        return when >= due - min(BIN, wait / 3)


class Again:
    """The series that run, those that wait for room, and what is known to be shut."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self._running: dict[Key, Series] = {}
        self._waiting: dict[Key, Series] = {}
        self._shut: dict[Key, bool] = {}  # found so and not open since: whether it was proven
        self._begun: dict[Key, float] = {}  # since when the last series was, for one that opened and is shut again

    @property
    def running(self) -> tuple[Series, ...]:
        """The series that run."""
        return tuple(self._running.values())

    @property
    def waiting(self) -> frozenset[Key]:
        """What waits for room."""
        return frozenset(self._waiting)

    @property
    def next_due(self) -> float | None:
        """When the next question is due."""
        return min((series.due[0] for series in self._running.values()), default=None)

    def heard(
        self, nettest: str, target: Target, when: float, verdict: Verdict, past: Iterable[Past] = (), cost: int = 0
    ) -> None:
        """Take note of a verdict, whoever asked for it; `past` holds what the nettest found within a day."""
        key = nettest, target.url
        said = find(verdict)
        if said is None:
            self._go_on(key, when)
        elif not said.against:
            self._opened(key, when)
        elif key in self._shut and self._shut[key] >= said.proven:
            self._go_on(key, when)
        else:
            self._begin(Series(nettest, target, when, said.proven, (), cost, when), past)

    def _begin(self, series: Series, past: Iterable[Past]) -> None:
        key, when, proven = series.key, series.since, series.proven
        before = self._begun.get(key, -PERSISTENCE)
        if when - before >= PERSISTENCE or key in self._shut:
            before = when
        since = found_since(past, proven=proven)
        since = min(before, when if since is None else since)
        if len(self._begun) > MOST_WAITING:
            self._begun = {one: then for one, then in self._begun.items() if when - then < PERSISTENCE}
        self._begun[key], self._shut[key] = since, proven
        series = replace(series, since=since, due=self._times(series.nettest, since, proven=proven)).after(when)
        self._running.pop(key, None)
        if series.due and len(self._waiting) < MOST_WAITING:
            self._waiting[key] = series

    def _times(self, nettest: str, since: float, *, proven: bool) -> tuple[float, ...]:
        steps = (THROTTLED if nettest == THROTTLING else BLOCKED) if proven else UNREACHABLE
        times = []
        for before, step in zip((0.0, *steps), steps, strict=False):
            lot = self._chance.uniform(-JITTER, JITTER) * (step - before)
            times.append(since + step + (abs(lot) if step >= PERSISTENCE else lot))
        return tuple(times)

    def _opened(self, key: Key, when: float) -> None:
        self._shut.pop(key, None)
        self._waiting.pop(key, None)
        series = self._running.pop(key, None)
        if series is not None and not series.opened:
            again = when + OPENED * self._chance.uniform(1 - JITTER, 1 + JITTER)
            self._running[key] = replace(series, due=(again,), asked=when, opened=True)

    def _go_on(self, key: Key, when: float) -> None:
        for group in (self._running, self._waiting):
            if key in group:
                series = group.pop(key).after(when)
                if series.due:
                    group[key] = series

    def keep(self, urls: Container[str]) -> None:
        """Ask about nothing but these any more: the settings may have changed."""
        self._running = {key: series for key, series in self._running.items() if key[1] in urls}
        self._waiting = {key: series for key, series in self._waiting.items() if key[1] in urls}

    def admit(self, now: float, allowance: float) -> int:
        """Let in those that wait as long as all that run take at most `allowance` bytes more; return how many.

        What is proven goes first, then what was found first.
        """
        admitted = 0
        for series in sorted(self._waiting.values(), key=lambda one: (not one.proven, one.since)):
            rest = tuple(due for due in series.due if due > now) or series.due[-1:]
            series = replace(series, due=rest)
            mine = [one for one in self._running.values() if not one.proven]
            if len(self._running) >= MOST_SERIES or (not series.proven and len(mine) >= MOST_UNREACHABLE):
                continue
            if series.left + sum(one.left for one in self._running.values()) > allowance:
                continue
            del self._waiting[series.key]
            self._running[series.key] = series
            admitted += 1
        return admitted

    def take(self, now: float, most: int, soon: Callable[[Series], float | None]) -> tuple[Series, ...]:
        """Return at most `most` series that are due, those asked longest ago first, and count them as asked.

        `soon` says when a campaign asks about the same: what it is about to ask is left to it.
        """
        due = [series for series in self._running.values() if series.due[0] <= now + SOON]
        taken: list[Series] = []
        for series in sorted(due, key=lambda series: series.asked):
            campaign = soon(series)
            left_to_it = campaign is not None and now <= campaign <= now + min(BIN / 2, (now - series.since) / 4)
            if not left_to_it and len(taken) >= most:
                continue
            if not left_to_it:
                taken.append(series)
            self._go_on(series.key, max(now, series.due[0]))
        return tuple(taken)

    def clock_was_set(self, step: float) -> None:
        """Move everything with the clock."""
        self._running = {key: series.moved(step) for key, series in self._running.items()}
        self._waiting = {key: series.moved(step) for key, series in self._waiting.items()}
        self._begun = {key: then + step for key, then in self._begun.items()}
