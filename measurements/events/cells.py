"""One series of votes, watched for a change: when does a site that answered stop, and when does it answer again?

A restarted log-likelihood ratio (CUSUM; Page 1954, Lorden 1971). A vote against the present state raises a score
by the logarithm of how much likelier it is under a change than without one, a vote for it lowers the score, and the
score never falls below zero. Two alternatives run side by side: a change that shows in nine votes of ten, and one
that shows in half of them. A change is claimed when a score reaches the threshold (`rates`), which asks that no vote
is weighed with too small a null rate:

- The null rate is the upper bound of the series' own past in this state, never below a floor. A young series is lent
  clean votes, and its own take their place. Votes of a suspicion wait until it is cleared, and those of a change
  never count, so that a block cannot become its own baseline.
- Failures last. For six hours after a vote against, the same probe's votes are weighed with the null rate of a
  repeated failure, and other probes' with a rate for those.
- Silence is not evidence: after a day without votes a score is halved for each day of it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

import msgspec

from measurements.events.changes import Change, Direction, Nulls, Suspicion
from measurements.events.nouns import Bracket
from measurements.events.past import DAY, NEVER, Past, PastState
from measurements.events.rates import (
    ENDING,
    FULL,
    LASTING,
    PARTIAL,
    Rates,
    Weights,
    ending_rate,
    full_ending,
    null_rates,
    weigh,
)

NEAR = 4.0  # moments within so much of the likeliest are in the bracket

_SHARE_SHOWS = 3  # votes against, from which on they can tell half of all from most
_FADED = 0.5  # a score below this, after a silence, is none
_MOST_MOMENTS, _MOST_PROBES, _MOST_NAMED = 24, 32, 20


Ruling = Callable[[float], Rates]
"""The rates that rule a time, known before it."""

Moment = tuple[float, float, float, float]
"""When a change may have been: after, at the latest, and the path and the half path then."""


class CellState(msgspec.Struct, frozen=True, kw_only=True):
    """All that a cell remembers: at most some kilobytes, whatever the history. To be kept and given back, not read."""

    blocked: bool = False
    time: float = NEVER  # of the last vote
    same: float = NEVER  # of the last vote for the state
    partial: float = 0.0  # the scores
    full: float = 0.0
    path: float = 0.0  # the log likelihood ratio without restarts, and its lowest: of a change that shows in most votes
    lowest: float = 0.0
    half_path: float = 0.0  # and of one that shows in half of them
    half_lowest: float = 0.0
    moments: tuple[Moment, ...] = ()
    suspected: bool = False
    since: float = NEVER
    against: int = 0  # votes of this suspicion
    votes: int = 0
    early: tuple[str, ...] = ()  # their witnesses
    late: tuple[str, ...] = ()
    probes: tuple[str, ...] = ()
    struck: tuple[tuple[str, float], ...] = ()  # when a probe last voted against the state
    wary: float = NEVER  # until when votes are weighed as following another
    crowded: float = NEVER  # until when this holds for probes that are not in `struck` as well
    unfiled: int = 0  # votes that the past does not have yet, and how many of them were against the state
    unfiled_against: int = 0
    due: int = 0  # so many of them, or this time, and the null rate is found anew
    stale: float = NEVER
    p0: float = 1.0
    p0_partial: float = 1.0
    assumed: int = 0
    rates: Rates | None = None  # as they ruled when the null rate was last found; None: as the cell is given them
    well: PastState = PastState()
    past: PastState = PastState()  # of the present state


_FRESH = CellState()


class Cell:
    """One series of votes. Give it votes in the order of their times, one a probe and bin, and it tells of changes.

    The threshold is given with each vote, because the volume that it follows from changes; a detector may give
    another one while `is_blocked`, as the blocked series are few. A `ruling` says which rates rule, where they change.
    Votes of one time are taken as they come: sort them.
    """

    __slots__ = (
        "_against", "_assumed", "_base", "_blocked", "_crowded", "_due", "_early", "_elsewhere", "_follow", "_full",
        "_half_lowest", "_half_path", "_late", "_lowest", "_moments", "_p0", "_p0_partial", "_p1", "_partial", "_past",
        "_path", "_probes", "_rates", "_ruling", "_same", "_since", "_stale", "_struck", "_suspected", "_time",
        "_unfiled", "_unfiled_against", "_votes", "_wary", "_well",
    )  # fmt: skip

    def __init__(self, rates: Rates, state: CellState = _FRESH, ruling: Ruling | None = None) -> None:
        self._rates, self._ruling = state.rates or rates, ruling
        self._blocked, self._suspected = state.blocked, state.suspected
        self._time, self._same, self._since = state.time, state.same, state.since
        self._partial, self._full = state.partial, state.full
        self._path, self._lowest = state.path, state.lowest
        self._half_path, self._half_lowest = state.half_path, state.half_lowest
        self._moments = list(state.moments)
        self._against, self._votes = state.against, state.votes
        self._early, self._late, self._probes = list(state.early), list(state.late), list(state.probes)
        self._struck, self._wary, self._crowded = dict(state.struck), state.wary, state.crowded
        self._unfiled, self._unfiled_against = state.unfiled, state.unfiled_against
        self._due, self._stale = state.due, state.stale
        self._well, self._past = Past(state.well), Past(state.past)
        self._use(state.p0, state.p0_partial, state.assumed)

    @classmethod
    def restore(cls, state: CellState, rates: Rates, ruling: Ruling | None = None) -> Cell:
        """Return the cell that gave this state; it goes on as if it had never stopped."""
        return cls(rates, state, ruling)

    @classmethod
    def forked(
        cls, rates: Rates, past: PastState, before: float, times: Iterable[float], ruling: Ruling | None = None
    ) -> Cell:
        """Return the cell of a series that saw nothing but votes for the state: those at `times`, and a past.

        `before` is the time of the last vote of that past, or NEVER.
        """
        cell = cls(rates, CellState(time=before, same=before, past=past))
        for time in times:
            cell.add(time, False, "", "", math.inf)
        cell._ruling = ruling
        return cell

    @property
    def is_blocked(self) -> bool:
        """Whether the last change was an onset."""
        return self._blocked

    @property
    def suspected_since(self) -> float | None:
        """The time of the vote that began the present suspicion."""
        return self._since if self._suspected else None

    @property
    def suspicion(self) -> Suspicion | None:
        """What speaks for a change, while no threshold is reached."""
        if not self._suspected:
            return None
        bracket, likeliest, open_ended = self._bracket()
        return Suspicion(
            since=self._since,
            bracket=bracket,
            likeliest=likeliest,
            open_ended=open_ended,
            log_evidence=self._evidence(),
            blocked=self._votes - self._against if self._blocked else self._against,
            votes=self._votes,
            witnesses=(*self._early, *self._late),
            probes=tuple(self._probes),
            nulls=self._nulls(math.inf),
        )

    def add(self, time: float, blocked: bool, probe: str, witness: str, threshold: float) -> Change | None:
        """Weigh one vote; return the change that it settles, if it does.

        `time` is UTC seconds and never before that of the last vote (else ValueError).
        """
        if not 0.0 <= time - self._time <= DAY:
            self._pause(time)
        if self._unfiled >= self._due or time >= self._stale:
            self._renew(time)
        path, half = self._path, self._half_path
        if path < self._lowest:
            self._lowest = path
        if half < self._half_lowest:
            self._half_lowest = half
        if path <= self._lowest + NEAR or half <= self._half_lowest + NEAR:
            self._moments.append((self._time, time, path, half))
            if len(self._moments) > _MOST_MOMENTS:
                self._thin()
        weights = self._base if time > self._wary else self._wary_weights(time, probe)
        self._time = time
        if blocked is not self._blocked:
            return self._weigh_against(time, probe, witness, weights, threshold)
        self._same = time
        self._path = path + weights[5]
        self._half_path = half + weights[1]
        if not self._suspected:
            self._unfiled += 1
            return None
        self._votes += 1
        partial, full = self._partial + weights[1], self._full + weights[3]
        self._partial = partial if partial > 0.0 else 0.0
        self._full = full if full > 0.0 else 0.0
        if partial <= 0.0 and full <= 0.0:
            self._clear()
        return None

    def state(self) -> CellState:
        """Return all that the cell remembers."""
        return CellState(
            blocked=self._blocked,
            time=self._time,
            same=self._same,
            partial=self._partial,
            full=self._full,
            path=self._path,
            lowest=self._lowest,
            half_path=self._half_path,
            half_lowest=self._half_lowest,
            moments=tuple(self._moments),
            suspected=self._suspected,
            since=self._since,
            against=self._against,
            votes=self._votes,
            early=tuple(self._early),
            late=tuple(self._late),
            probes=tuple(self._probes),
            struck=tuple(self._struck.items()),
            wary=self._wary,
            crowded=self._crowded,
            unfiled=self._unfiled,
            unfiled_against=self._unfiled_against,
            due=self._due,
            stale=self._stale,
            p0=self._p0,
            p0_partial=self._p0_partial,
            assumed=self._assumed,
            well=self._well.state(),
            past=self._past.state(),
            rates=self._rates,
        )

    # -- votes

    def _weigh_against(
        self, time: float, probe: str, witness: str, weights: Weights, threshold: float
    ) -> Change | None:
        self._path += weights[4]
        self._half_path += weights[0]
        self._partial += weights[0]
        self._full += weights[2]
        self._strike(time, probe)
        if not self._suspected:
            self._suspected, self._since = True, time
        self._votes += 1
        self._against += 1
        if probe not in self._probes and len(self._probes) < _MOST_NAMED:
            self._probes.append(probe)
        if len(self._early) < _MOST_NAMED // 2:
            self._early.append(witness)
        else:
            self._late.append(witness)
            del self._late[: -_MOST_NAMED // 2]
        if self._evidence() >= threshold:
            return self._turn(time, threshold)
        if self._partial <= 0.0 and self._full <= 0.0:  # the null rate is so high that nothing can be gained
            self._clear()
        return None

    def _strike(self, time: float, probe: str) -> None:
        """Remember that this probe's next votes follow one."""
        if probe not in self._struck and len(self._struck) >= _MOST_PROBES:
            self._struck = {other: last for other, last in self._struck.items() if time - last <= LASTING}
            if len(self._struck) >= _MOST_PROBES:
                self._crowded = self._wary = time + LASTING
                return
        self._struck[probe] = time
        self._wary = time + LASTING

    def _wary_weights(self, time: float, probe: str) -> Weights:
        last = self._struck.get(probe, NEVER)
        return self._follow if time <= self._crowded or time - last <= LASTING else self._elsewhere

    def _pause(self, time: float) -> None:
        """Weaken what a silence leaves behind; refuse votes out of order."""
        gap = time - self._time
        if not 0.0 <= gap < math.inf:
            raise ValueError(f"votes of one series come in order: {time} after {self._time}")
        kept = 2.0 ** (-gap / DAY)
        self._partial = self._partial * kept if self._partial * kept >= _FADED else 0.0
        self._full = self._full * kept if self._full * kept >= _FADED else 0.0
        if self._suspected and self._partial <= 0.0 and self._full <= 0.0:
            self._clear()

    # -- null rates

    def _renew(self, time: float) -> None:
        """Find the null rate from the past; what a suspicion began with holds until it is over."""
        self._stale = time + DAY
        if self._suspected:
            return
        if self._ruling is not None:
            self._rates = self._ruling(time)
        self._file(time)
        against, votes = self._past.totals(time)
        self._due = max(8, votes // 4)
        if self._blocked:
            p0 = ending_rate(against, votes)
            self._use(p0, p0, 0)
        else:
            self._use(*null_rates(against, votes, self._rates))

    def _use(self, p0: float, p0_partial: float, assumed: int) -> None:
        rates = ENDING if self._blocked else self._rates
        self._p0, self._p0_partial, self._assumed = p0, p0_partial, assumed
        self._p1 = full_ending(p0) if self._blocked else FULL
        self._base = weigh(p0, p0_partial, self._p1)
        self._follow = weigh(max(p0, rates.follow), max(p0_partial, rates.follow), self._p1)
        self._elsewhere = weigh(max(p0, rates.elsewhere), max(p0_partial, rates.elsewhere), self._p1)

    def _clear(self) -> None:
        """Let a suspicion go: its votes become part of the past."""
        self._unfiled += self._votes
        self._unfiled_against += self._against
        self._forget_suspicion()

    def _forget_suspicion(self) -> None:
        self._suspected = False
        self._partial = self._full = 0.0
        self._against = self._votes = 0
        self._early, self._late, self._probes = [], [], []

    def _file(self, time: float) -> None:
        self._past.add(self._unfiled_against, self._unfiled, time)
        self._unfiled = self._unfiled_against = 0

    # -- changes

    def _turn(self, time: float, threshold: float) -> Change:
        """Tell of the change, and begin to watch for the opposite one."""
        bracket, likeliest, open_ended = self._bracket()
        change = Change(
            direction=Direction.END if self._blocked else Direction.ONSET,
            bracket=bracket,
            likeliest=likeliest,
            open_ended=open_ended,
            since=self._since,
            time=time,
            log_evidence=self._evidence(),
            blocked=self._votes - self._against if self._blocked else self._against,
            votes=self._votes,
            witnesses=(*self._early, *self._late),
            probes=tuple(self._probes),
            nulls=self._nulls(threshold),
        )
        self._file(time)
        self._struck = {}
        if self._blocked:
            self._past = self._well
            self._wary = self._crowded = self._same + LASTING
        else:
            self._well, self._past = self._past, Past()
            self._wary = self._crowded = NEVER
        self._past.add(self._votes - self._against, self._votes, time)
        self._blocked = not self._blocked
        self._path = self._lowest = self._half_path = self._half_lowest = 0.0
        self._moments = []
        self._forget_suspicion()
        self._renew(time)
        return change

    def _evidence(self) -> float:
        return max(self._partial, self._full)

    def _nulls(self, threshold: float) -> Nulls:
        rates = ENDING if self._blocked else self._rates
        is_full = self._full >= self._partial
        p0 = self._p0 if is_full else self._p0_partial
        return Nulls(
            p0=p0,
            follow=max(p0, rates.follow),
            elsewhere=max(p0, rates.elsewhere),
            p1=self._p1 if is_full else PARTIAL,
            threshold=threshold,
            assumed=self._assumed,
        )

    # -- brackets

    def _bracket(self) -> tuple[Bracket, Bracket, bool]:
        """Return the likelihood set of the alternative that is ahead, its best, and whether it begins with no vote."""
        is_full = self._full >= self._partial or self._against < _SHARE_SHOWS
        which, lowest = (2, self._lowest) if is_full else (3, self._half_lowest)
        near = [moment for moment in self._moments if moment[which] <= lowest + NEAR]
        best = min(near, key=lambda moment: moment[which])
        return _between(near[0], near[-1]), _between(best, best), near[0][0] == NEVER

    def _thin(self) -> None:
        """Drop moments that can be in no bracket any more, and join neighbours if too many are left."""
        most, half = self._lowest + NEAR, self._half_lowest + NEAR
        near = [moment for moment in self._moments if moment[2] <= most or moment[3] <= half]
        if len(near) > _MOST_MOMENTS // 2:
            pairs = ((near[i], near[min(i + 1, len(near) - 1)]) for i in range(0, len(near), 2))
            near = [(a[0], b[1], min(a[2], b[2]), min(a[3], b[3])) for a, b in pairs]
        self._moments = near


def _between(first: Moment, last: Moment) -> Bracket:
    """Return the time from the first moment to the last; what began with the first vote of all begins there."""
    return (first[1] if first[0] == NEVER else first[0]), last[1]
