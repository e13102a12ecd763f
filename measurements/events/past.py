"""The past of a series: how often it spoke against a state in the last four weeks, in little memory."""

from __future__ import annotations

import msgspec

DAY = 86400.0
SPAN = 4 * DAY
SPANS = 7
NEVER = -1e15  # before any vote: a number, which any encoding keeps
_KEPT = 24  # votes: before as many, with none against, a change that begins now cannot have been
_MOST = 2 * _KEPT


class PastState(msgspec.Struct, frozen=True, array_like=True):
    """Spans of four days, the oldest first: when each began (UTC seconds), votes against the state, and all votes."""

    starts: tuple[float, ...] = ()
    against: tuple[int, ...] = ()
    votes: tuple[int, ...] = ()


_NONE = PastState()


class Past:
    """Counts votes over the last seven spans of four days."""

    __slots__ = ("_against", "_starts", "_votes")

    def __init__(self, state: PastState = _NONE) -> None:
        self._starts = list(state.starts)
        self._against = list(state.against)
        self._votes = list(state.votes)

    def add(self, against: int, votes: int, time: float) -> None:
        """Count votes that were given up to `time`."""
        start = time // SPAN * SPAN
        if not self._starts or self._starts[-1] != start:
            self._starts.append(start)
            self._against.append(0)
            self._votes.append(0)
            self._forget(time)
        self._against[-1] += against
        self._votes[-1] += votes

    def totals(self, time: float) -> tuple[int, int]:
        """Return the votes against, and all votes, of the last four weeks."""
        self._forget(time)
        return sum(self._against), sum(self._votes)

    def state(self) -> PastState:
        """Return what is remembered."""
        return PastState(tuple(self._starts), tuple(self._against), tuple(self._votes))

    def _forget(self, time: float) -> None:
        while self._starts and self._starts[0] <= time - SPANS * SPAN:
            del self._starts[0], self._against[0], self._votes[0]


class AccessState(msgspec.Struct, frozen=True, array_like=True):
    """What an `Access` remembers."""

    past: PastState = _NONE
    before: float = NEVER
    times: tuple[float, ...] = ()


class Access:
    """All votes for access of a place: the times of the last ones, and the past before those, for a new series.

    A bracket reaches no further back than 24 such votes: by then the null rate of a series that saw nothing else is at
    most .12, and the path of either alternative has fallen by more than brackets hold.
    """

    __slots__ = ("before", "past", "times")

    def __init__(self, state: AccessState | None = None) -> None:
        state = state or AccessState()
        self.past, self.before, self.times = Past(state.past), state.before, list(state.times)

    def add(self, time: float) -> None:
        """Count a vote; they come in order."""
        times = self.times
        times.append(time)
        if len(times) > _MOST:
            self.before = times[_KEPT - 1]
            self.past.add(0, _KEPT, self.before)
            del times[:_KEPT]

    def state(self) -> AccessState:
        """Return what is remembered."""
        return AccessState(self.past.state(), self.before, tuple(self.times))
