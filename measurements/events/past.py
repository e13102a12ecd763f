"""The past of one series: how often it spoke against a state in the last four weeks, in little memory."""

from __future__ import annotations

import msgspec

DAY = 86400.0
SPAN = 4 * DAY
SPANS = 7


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
