"""What is due, what the day's data allow, and what was missed. Pure: the time is always an argument.

Times are UTC seconds since the epoch. A campaign asks about a list of targets again and again. Three
things may keep it from doing so, and each is recorded as a gap with its reason, so that nobody takes
silence for access: the probe did not run or slept, the campaign's window was closed, the network or
the day's data did not allow it.

When the data left do not suffice for the rest of the day, each run gets its share, and the targets
whose last measurement is oldest go first: all of them are seen sometimes, rather than some never.
"""

from __future__ import annotations

import hashlib
import math
import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from measurements.model import Target

DAY = 86_400.0
RESTED = 60.0  # seconds between two runs of a campaign, however often the probe is started
SLEPT = 30.0  # seconds by which clocks must disagree before it means something


@dataclass(frozen=True, slots=True)
class Window:
    """The part of each UTC day in which a campaign may measure, in seconds from midnight.

    One that closes before it opens spans midnight; one that closes when it opens is always open.
    """

    opens: float
    closes: float

    def is_open(self, now: float) -> bool:
        """Tell whether the window is open."""
        second = now % DAY
        if self.opens < self.closes:
            return self.opens <= second < self.closes
        return second >= self.opens or second < self.closes


@dataclass(frozen=True, slots=True)
class Campaign:
    """Targets that one nettest measures every `every` seconds, give or take `jitter` seconds."""

    name: str
    targets: tuple[Target, ...]
    nettest: str
    every: float
    jitter: float = 0.0
    window: Window | None = None  # all day

    def may_run(self, now: float) -> bool:
        """Tell whether the campaign's window is open."""
        return self.window is None or self.window.is_open(now)


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run measures, in order, and what it must leave for later."""

    chosen: tuple[Target, ...]
    deferred: tuple[Target, ...] = ()


@dataclass(frozen=True, slots=True)
class Instant:
    """One moment on three clocks, in seconds: `monotonic` stands still while a computer sleeps, `boottime` does not."""

    wall: float
    monotonic: float
    boottime: float


@dataclass(frozen=True, slots=True)
class Stall:
    """A stretch that passed unseen between two looks at the clocks; `why` is asleep or stalled.

    `step` is by how much the wall clock was set meanwhile, 0 when it ran as it should.
    """

    why: str | None
    seconds: float
    step: float


def first_run(last: float | None, every: float, now: float) -> float:
    """Say when a campaign that last began at `last` is due after a start: at once, as whoever started it expects.

    Only a probe that is started again and again must not measure each time: it rests for a minute.
    """
    if last is None or last > now:  # a clock that was set back must not silence the campaign
        return now
    return max(now, last + min(every, RESTED))


def runs_due(last: float, every: float, now: float) -> int:
    """Count the runs that were due after `last`, up to now."""
    return max(0, math.floor((now - last) / every))


def shuffled(targets: Iterable[Target], seed: object) -> tuple[Target, ...]:
    """Put targets in an order that nobody can foretell without the seed."""
    order = list(targets)
    random.Random(str(seed)).shuffle(order)  # noqa: S311 - it hides a pattern, it keeps no secret
    return tuple(order)


def plan(order: Sequence[Target], *, costs: Mapping[str, int], measured: Mapping[str, float], allowance: float) -> Plan:
    """Choose what `allowance` bytes suffice for: all of it, or those measured longest ago.

    `costs` and `measured` map a URL to the bytes its last measurement took and to when that was. A target
    of which nothing is known costs nothing here: no guess keeps a site from being measured for the first time.
    """
    if expected_cost(order, costs) <= allowance:
        return Plan(tuple(order))
    left = allowance
    chosen = set()
    for target in sorted(order, key=lambda target: measured.get(target.url, 0.0)):
        cost = costs.get(target.url, 0)
        if cost <= left:
            chosen.add(target.url)
            left -= cost
    return Plan(
        tuple(target for target in order if target.url in chosen),
        tuple(target for target in order if target.url not in chosen),
    )


def expected_cost(targets: Iterable[Target], costs: Mapping[str, int]) -> int:
    """Say how many bytes a run over `targets` will take, as far as is known."""
    return sum(costs.get(target.url, 0) for target in targets)


def allowance(
    campaign: Campaign, campaigns: Iterable[Campaign], *, left: int, costs: Mapping[str, int], now: float
) -> float:
    """Say how many of the `left` bytes of today a run of `campaign` may take.

    All of them as long as they suffice for the day's other runs, else its share.
    """
    own = expected_cost(campaign.targets, costs)
    day = own + sum(runs_left(other, now) * expected_cost(other.targets, costs) for other in campaigns)
    if not own or day <= left:
        return max(0, left)
    return max(0, left) * own / day


def runs_left(campaign: Campaign, now: float) -> int:
    """Count the runs that follow one at `now` before the UTC day ends."""
    count = math.ceil((end_of_day(now) - now) / campaign.every) - 1
    return sum(campaign.may_run(now + run * campaign.every) for run in range(1, count + 1))


def wants_full_body(url: str, last_full: float | None, now: float) -> bool:
    """Say whether a page is due to be read in full: once a day, at an hour of the target's own.

    The hours are spread over the day, so that the data are spent evenly.
    """
    if last_full is None:
        return True
    hour = int.from_bytes(hashlib.sha256(url.encode()).digest()[:4]) / 2**32 * DAY
    return math.floor((now - hour) / DAY) > math.floor((last_full - hour) / DAY)


def day_of(now: float) -> str:
    """Write the UTC day, as 2026-11-23."""
    return datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%d")


def end_of_day(now: float) -> float:
    """Say when the UTC day ends."""
    return (math.floor(now / DAY) + 1) * DAY


def stall(before: Instant, after: Instant, expected: float) -> Stall:
    """Compare two looks at the clocks that should be `expected` seconds apart."""
    awake = after.monotonic - before.monotonic
    passed = after.boottime - before.boottime
    step = after.wall - before.wall - passed
    step = step if abs(step) >= SLEPT else 0.0
    if passed - awake >= SLEPT:
        return Stall("asleep", passed - expected, step)
    if awake - expected >= SLEPT:
        return Stall("stalled", awake - expected, step)
    return Stall(None, 0.0, step)
