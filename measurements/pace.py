"""Is a name slower than another? Pairs of transfers, and what they weigh.

A pair is the same object of the same server, asked for under the target's name and under a harmless one, in an
order that a coin decided. Its vote is 1 when the target's leg was slower by `MARGIN`. What lines do by themselves
is learnt from pairs that differ in nothing (two harmless names): their order is as random, so one leg of them is
slower by the margin twice as often as a target's leg is by chance, and half their rate, taken at its upper 95 %
bound (Clopper and Pearson 1934), is `q0`, which is never below a floor.

Each vote multiplies the evidence by how much likelier it is where the name is throttled (`Q1`) than by chance
(`q0`): whatever the line does, as long as chance has no more than `q0`, the expected evidence stays 1 or less, so
that it ever reaches 1000 has a probability of 1 in 1000 (Ville 1939), however often one looks. Evidence goes on over
sessions. A throttle may begin at any of them, so the stake is spread: most of it on the first, a part on each later
one, together 1 (a mixture of e-processes, each of which begins with its session). The promise is thereby for all
sessions of a target together, for ever. A session that ends clear gives the evidence up, which only lowers it.

All of it is pure. Rates are bit/s of body.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from statistics import median, quantiles

from measurements.bounds import at_most, upper
from measurements.model import (
    OURS,
    AnyObservation,
    Mechanism,
    PaceSoFar,
    Purpose,
    TcpConnect,
    Throttling,
    TlsHandshake,
    Transfer,
)

MARGIN = 4.0  # times slower, which is a vote
HEAD = 16_000  # bytes that say little: slow start, and the burst that a policer lets pass
Q0, Q1 = 0.12, 0.9  # votes expected of chance (at least), and of a throttle
ALPHA = 0.001  # false claims allowed, per target and for ever
CLEAR = -4.0  # evidence of a session at which it is over
SESSION = math.log(20.0)  # evidence that a session which claims has by itself
NEEDED = 24  # pairs that differ in nothing, before anything is claimed
SLOW_LINE = 200_000.0  # bit/s below which a harmless leg is nothing to be measured against
FAST = 20_000_000.0  # bit/s that are fast enough: what is above differs by milliseconds, which show nothing
SLUMP = 16.0  # times slower than the harmless legs before it: nothing to be measured against either
ROUND_TRIPS = 3.0  # how far the times to connect of two legs may differ
SHORTEST = 0.005  # seconds: times to connect below this are alike
EVEN, CRAWL = 0.35, 512_000.0  # what a policer's rates show: their spread, or their being this low
FREEZE = range(10_000, 25_001)  # bytes after which a frozen transfer stops
FROZEN_SECONDS = 5.0  # of nothing, by which it is called frozen
FROZEN = 3  # such legs
FIRST_STAKE = 0.8  # on the first session; the rest on all later ones
NOTHING = -50.0  # the logarithm of no evidence at all
KEPT_RATES = 24
LATER = 8.0  # times as long as the first leg of a pair took, which the second may take
STEADY = 0.15  # q0 up to which four votes in a row are enough
TOO_WILD = 0.45  # q0 beyond which pairs cannot tell a throttle from chance


@dataclass(frozen=True, slots=True)
class Leg:
    """One transfer of a pair: its rate, and what may keep it from counting."""

    transfer: Transfer
    connected: float | None  # seconds
    certificate: bytes | None
    evidence: tuple[int, ...]

    @property
    def unfit(self) -> str | None:
        """Say in a word why it is nobody's pace, or None. One that was too slow for its time is fit."""
        t = self.transfer
        if t.failure in OURS:
            return "interrupted"
        if t.failure is not None and t.received <= HEAD:
            return "failed"
        if t.received == 0:
            return "failed"
        return "other_object" if t.ended == "whole" and t.received < t.wanted else None

    @property
    def early(self) -> bool:
        """Whether it ended within what says little."""
        return self.transfer.received <= HEAD

    @property
    def frozen(self) -> bool:
        """Whether it stopped for good where a freeze stops it."""
        t = self.transfer
        last = t.samples[-1][0] if t.samples else 0.0
        return t.ended in ("stall", "time") and t.received in FREEZE and t.elapsed - last >= FROZEN_SECONDS

    @property
    def rate(self) -> float:
        """The goodput after the first `HEAD` bytes; of less, and of what came at once, the whole.

        A transfer that did not end has the rate that it had when it was left, its last silence included.
        """
        t = self.transfer
        end = t.elapsed if t.ended in ("stall", "time", "failure") else t.samples[-1][0] if t.samples else t.elapsed
        at, so_far = self._head()
        if end - at <= 0 or t.received - so_far <= 0:
            at, so_far = 0.0, 0
        return 8.0 * (t.received - so_far) / max(end - at, 0.001)

    def _head(self) -> tuple[float, int]:
        """When the first `HEAD` bytes were there, between two samples; or the first sample, if that is more."""
        before = (0.0, 0)
        for at, total in self.transfer.samples:
            if total >= HEAD:
                if before == (0.0, 0):
                    return (at, total)
                share = (HEAD - before[1]) / (total - before[1])
                return (before[0] + share * (at - before[0]), HEAD)
            before = (at, total)
        return (0.0, 0)


@dataclass(frozen=True, slots=True)
class Pair:
    """Two legs: the target's first, or two that differ in nothing."""

    alike: bool
    one: Leg | None
    other: Leg | None
    evidence: tuple[int, ...]

    @property
    def unfit(self) -> str | None:
        """Say in a word why its legs cannot be compared."""
        if self.one is None or self.other is None:
            return "failed"
        for leg in (self.one, self.other):
            if leg.unfit is not None:
                return leg.unfit
        if self.one.certificate != self.other.certificate:
            return "other_server"
        times = sorted(max(leg.connected or 0.0, SHORTEST) for leg in (self.one, self.other))
        return "round_trips" if times[1] > ROUND_TRIPS * times[0] else None


def pace_of(transfer: Transfer) -> float:
    """The rate of one transfer, in bit/s."""
    return Leg(transfer, None, None, ()).rate


PACES = (Purpose.PACE_TARGET, Purpose.PACE_HARMLESS, Purpose.PACE_ALIKE)


def pairs_in(observations: Sequence[AnyObservation]) -> list[Pair]:
    """Find the pairs of a measurement, in the order in which they were laid; a leg that never began is None."""
    by_id = {o.id: o for o in observations}
    found: dict[int, list[Transfer]] = {}
    for step in observations:
        if isinstance(step, Transfer) and step.purpose in PACES:
            found.setdefault(step.pair, []).append(step)
    return [_pair([_leg(t, by_id) for t in found[number]]) for number in sorted(found)]


def _leg(transfer: Transfer, by_id: dict[int, AnyObservation]) -> Leg:
    connected, certificate, ids = None, None, [transfer.id]
    step = by_id.get(transfer.cause or 0)
    if isinstance(step, TlsHandshake):
        certificate = step.chain[0] if step.chain else None
        ids.append(step.id)
        step = by_id.get(step.cause or 0)
    if isinstance(step, TcpConnect):
        connected = step.elapsed
        ids.append(step.id)
    return Leg(transfer, connected, certificate, tuple(sorted(ids)))


def _pair(legs: list[Leg]) -> Pair:
    evidence = tuple(sorted(i for leg in legs for i in leg.evidence))
    alike = [leg for leg in legs if leg.transfer.purpose is Purpose.PACE_ALIKE]
    if alike:
        return Pair(True, alike[0], alike[1] if len(alike) > 1 else None, evidence)
    sides = [
        next((leg for leg in legs if leg.transfer.purpose is side), None)
        for side in (Purpose.PACE_TARGET, Purpose.PACE_HARMLESS)
    ]
    return Pair(False, sides[0], sides[1], evidence)


@dataclass(slots=True)
class Tally:
    """The pairs of one session, counted in order."""

    votes: list[bool] = field(default_factory=list)
    skipped: dict[str, int] = field(default_factory=dict)
    alike_legs: int = 0
    alike_apart: int = 0
    target: list[Leg] = field(default_factory=list)  # of pairs that count
    harmless: list[Leg] = field(default_factory=list)
    ratios: list[float] = field(default_factory=list)
    evidence: list[int] = field(default_factory=list)  # ids of pairs that count
    usual: list[float] = field(default_factory=list)  # rates under harmless names
    seen: int = 0  # pairs of both kinds
    laid: int = 0  # pairs about the target, whether or not they count
    spent: int = 0  # bytes of their objects

    def add(self, pair: Pair) -> None:
        """Count one pair."""
        self.seen += 1
        if not pair.alike:
            self.laid += 1
            self.spent += sum(leg.transfer.received for leg in (pair.one, pair.other) if leg is not None)
        if pair.unfit is not None or pair.one is None or pair.other is None:
            if not pair.alike:
                self._skip(pair.unfit or "failed")
        elif pair.alike:
            rates = sorted((_seen(pair.one), _seen(pair.other)))
            fit = [self._reference(rate) is None for rate in rates]
            self.alike_legs += sum(fit)
            self.alike_apart += fit[1] and rates[0] * MARGIN < rates[1]
            if not any(fit):
                self._skip(self._reference(rates[1]) or "")
            self.usual += rates
        else:
            slow, against = _seen(pair.one), _seen(pair.other)
            why = self._reference(against)
            self.usual.append(against)
            if why is not None:
                self._skip(why)
                return
            self.votes.append(slow * MARGIN < against)
            self.target.append(pair.one)
            self.harmless.append(pair.other)
            self.ratios.append(pair.other.rate / max(pair.one.rate, 1.0))
            self.evidence += pair.evidence

    def _reference(self, rate: float) -> str | None:
        """Say why a harmless leg is nothing to be measured against; None when it is."""
        if rate < SLOW_LINE:
            return "slow_line"
        slumped = len(self.usual) >= 2 and rate * SLUMP < median(self.usual)
        return "slump" if slumped else None

    def _skip(self, why: str) -> None:
        self.skipped[why] = self.skipped.get(why, 0) + 1

    @property
    def frozen(self) -> bool:
        """Whether the target's legs froze; the harmless ones beside them did not, or they would not count."""
        return sum(leg.frozen for leg in self.target) >= FROZEN


def _seen(leg: Leg) -> float:
    """The rate by which a leg is compared."""
    return min(leg.rate, FAST)


def tally(observations: Sequence[AnyObservation]) -> Tally:
    """Count the pairs of a measurement."""
    counted = Tally()
    for pair in pairs_in(observations):
        counted.add(pair)
    return counted


# -- weighing


def weigh(counted: Tally, so_far: PaceSoFar, now: float = 0.0) -> Throttling:
    """Weigh a session on top of those before it; `now` is when it began."""
    legs, apart = so_far.alike_legs + counted.alike_legs, so_far.alike_apart + counted.alike_apart
    calibrated = legs >= 2 * NEEDED
    q0 = chance_of_apart(legs, apart)
    before = so_far.last
    sessions, evidence = (before.sessions, before.evidence) if before else (0, NOTHING)
    gained = 0.0
    usable = calibrated and q0 <= TOO_WILD
    if counted.votes and usable:
        sessions += 1
        gained = sum(factor(vote, q0) for vote in counted.votes)
        evidence = max(NOTHING, log_sum(evidence, stake(sessions)) + gained)
    if gained <= CLEAR:
        evidence = NOTHING
    rates = [leg.rate for leg in counted.target]
    low, high, covers = interval_of_median(rates)
    spread = spread_of(rates)
    mechanism = None
    if evidence >= -math.log(ALPHA) and gained >= SESSION:
        even = (spread is not None and spread <= EVEN) or (rates and median(rates) < CRAWL)
        mechanism = Mechanism.THROTTLE_STALL if counted.frozen else Mechanism.THROTTLE_RATE if even else None
    kept = (*(before.rates if before else ()), *((now + leg.transfer.started, leg.rate) for leg in counted.target))
    return Throttling(
        started=before.started if before else now,
        last=now,
        sessions=sessions,
        evidence=evidence,
        session_evidence=gained,
        pairs=len(counted.votes),
        slower=sum(counted.votes),
        skipped=tuple(sorted(counted.skipped.items())),
        alike_legs=counted.alike_legs,
        alike_apart=counted.alike_apart,
        calibrated=calibrated,
        q0=q0,
        rates=kept[-KEPT_RATES:],
        rate=median(rates) if rates else None,
        rate_low=low,
        rate_high=high,
        covers=covers,
        harmless_rate=median(leg.rate for leg in counted.harmless) if rates else None,
        ratio=median(counted.ratios) if rates else None,
        spread=spread,
        spent=counted.spent,
        mechanism=mechanism,
    )


def factor(slower: bool, q0: float) -> float:
    """The logarithm by which one vote changes the evidence."""
    return math.log(Q1 / q0) if slower else math.log((1.0 - Q1) / (1.0 - q0))


def stake(session: int) -> float:
    """The logarithm of the stake on a throttle that begins with this session, the first being 1."""
    return math.log(FIRST_STAKE if session == 1 else (1.0 - FIRST_STAKE) / (session * (session - 1)))


def log_sum(a: float, b: float) -> float:
    """Add two numbers by their logarithms."""
    return max(a, b) + math.log1p(math.exp(-abs(a - b)))


def leg_time(other: Transfer, most: float) -> float:
    """How long a pair's second leg may take, in seconds, by what its first took: enough to see a freeze, at least.

    A leg that is eight times slower is slower by the margin, and more of it costs only data.
    """
    if other.ended != "whole":
        return most
    return min(most, max(LATER * other.elapsed, FROZEN_SECONDS + 2.0))


def settled(found: Throttling) -> bool:
    """Whether a session has said what it can: a claim, or that it is clear."""
    return found.mechanism is not None or found.session_evidence <= CLEAR


def chance_of_apart(legs: int, apart: int) -> float:
    """How often a target's leg is slower by the margin by chance, at most: `q0`.

    A pair that differs in nothing gives two legs to measure against, and is apart when either lags behind the other;
    its rate is that of both directions together, of which a target's leg has one.
    """
    pairs = legs // 2
    return 0.5 if pairs == 0 else max(Q0, upper(min(apart, pairs), pairs) / 2.0)


def interval_of_median(rates: Iterable[float]) -> tuple[float | None, float | None, float]:
    """Between which two values the median lies, and how surely, at least 0.95 when there are six or more.

    Exact whatever the distribution: each value is above the true median with probability one half.
    """
    ordered = sorted(rates)
    n = len(ordered)
    if n == 0:
        return None, None, 0.0
    outside = 0  # values left out at each end
    while 2.0 * at_most(outside + 1, n, 0.5) <= 0.05:
        outside += 1
    covers = max(0.0, 1.0 - 2.0 * at_most(outside, n, 0.5)) if n > 1 else 0.0
    return ordered[outside], ordered[n - 1 - outside], covers


def spread_of(rates: Sequence[float]) -> float | None:
    """The distance between the quartiles over the median; None for fewer than three."""
    if len(rates) < 3:
        return None
    first, middle, third = quantiles(rates, n=4, method="inclusive")
    return (third - first) / max(middle, 1.0)
