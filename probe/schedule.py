"""What is due, what the day's data allow, and what was missed. Pure: the time is always an argument.

Times are UTC seconds since the epoch. A campaign asks about a list of targets again and again. Three
things may keep it from doing so, and each is recorded as a gap with its reason, so that nobody takes
silence for access: the probe did not run or slept, the campaign's window was closed, the network or
the day's data did not allow it.

When the data left do not suffice for the rest of the day, each run gets its share, and the targets
whose last measurement is oldest go first: all of them are seen sometimes, rather than some never.

A campaign may have moments, such as election day, in which it measures more often, and perhaps less. They
begin and end with a run, and their data are put by: what runs before them shares what they leave.
"""

from __future__ import annotations

import hashlib
import math
import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from measurements.model import Target

DAY = 86_400.0
RESTED = 60.0  # seconds between two runs of a campaign, however often the probe is started
SLEPT = 30.0  # seconds by which clocks must disagree before it means something
SPARED = 0.1  # the share of the data left that ordinary runs have, whatever a moment wants: none is blind until then
SOON = 0.001  # seconds within which two times are the same


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
class Moment:
    """A stretch from `since` up to `until` in which a campaign asks about `targets` every `every` seconds instead."""

    since: float
    until: float
    every: float
    jitter: float
    targets: tuple[Target, ...]


@dataclass(frozen=True, slots=True)
class Campaign:
    """Targets that one nettest measures every `every` seconds, give or take `jitter` seconds.

    No two of its `moments` overlap. In them its window does not count: they say more exactly when to measure.
    """

    name: str
    targets: tuple[Target, ...]
    nettest: str
    every: float
    jitter: float = 0.0
    window: Window | None = None  # all day
    moments: tuple[Moment, ...] = ()

    def may_run(self, now: float) -> bool:
        """Tell whether the campaign's window is open, or one of its moments has come."""
        return self.window is None or self.window.is_open(now) or self.moment(now) is not None

    def moment(self, now: float) -> Moment | None:
        """Return the moment that has come, if one has."""
        return next((moment for moment in self.moments if moment.since <= now < moment.until), None)

    def next_moment(self, now: float) -> Moment | None:
        """Return the moment that comes next, if one does."""
        return min((one for one in self.moments if one.since > now), key=lambda one: one.since, default=None)

    def at(self, now: float) -> Campaign:
        """Return the campaign as it is at a time, whatever comes after."""
        moment = self.moment(now)
        if moment is None:
            return replace(self, moments=())
        return replace(self, targets=moment.targets, every=moment.every, jitter=moment.jitter, window=None, moments=())

    def next_edge(self, now: float) -> float | None:
        """Say when a moment next begins or ends."""
        edges = (edge for moment in self.moments for edge in (moment.since, moment.until))
        return min((edge for edge in edges if edge > now + SOON), default=None)

    def due_by(self, due: float, now: float) -> float:
        """Say when a run that is due at `due` is due when moments count too, which none may miss."""
        edge = self.next_edge(now)
        return due if edge is None else min(due, edge)


@dataclass(frozen=True, slots=True)
class Stretch:
    """A part of a campaign's time in which it stays as it is, and the number of its runs."""

    campaign: Campaign
    in_moment: bool
    runs: int


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


def next_run(campaign: Campaign, last: float, now: float, wobble: float = 0.0) -> float:
    """Say when a campaign is due again after the run that was due at `last`; later than `now`.

    Runs that were missed since are left out. `wobble`, from -1 to 1, is the part of the jitter that this run gets;
    where a moment begins or ends there is none.
    """
    pace = campaign.at(now)
    missed = runs_due(last, pace.every, now)
    due = last + (missed + 1) * pace.every + wobble * pace.jitter
    return campaign.due_by(max(due, now + 1.0), now)


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

    All of them as long as they suffice for the day's other runs, else its share: of everything within a moment, and
    before or after one of what the day's moments leave, or of a tenth where they leave less.
    """
    own = expected_cost(campaign.at(now).targets, costs)
    later = [stretch for one in campaigns for stretch in rest_of_day(one, now)]
    moments, others = (sum(_cost(one, costs) for one in later if one.in_moment is kind) for kind in (True, False))
    if not own or own + moments + others <= left:
        return max(0, left)
    if campaign.moment(now) is not None:
        return max(0, left) * min(1.0, own / (own + moments))
    free = max(left - moments, left * SPARED, 0)
    return free * min(1.0, own / (own + others))


def _cost(stretch: Stretch, costs: Mapping[str, int]) -> int:
    return stretch.runs * expected_cost(stretch.campaign.targets, costs)


def rest_of_day(campaign: Campaign, now: float) -> Iterator[Stretch]:
    """Yield what follows a run at `now` before the UTC day ends."""
    return stretches(campaign, now, end_of_day(now), begun=True)


def stretches(campaign: Campaign, since: float, until: float, *, begun: bool = False) -> Iterator[Stretch]:
    """Yield the parts of a time in which a campaign stays as it is; the first has a run at once unless `begun`."""
    while since < until:
        edge = campaign.next_edge(since)
        ends = until if edge is None else min(edge, until)
        pace = campaign.at(since)
        times = (since + number * pace.every for number in range(int(begun), math.ceil((ends - since) / pace.every)))
        yield Stretch(pace, campaign.moment(since) is not None, sum(pace.may_run(time) for time in times))
        since, begun = ends, False


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
