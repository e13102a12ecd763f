"""The day's data: what was spent, what running measurements may take, and what is left.

What a measurement takes is known afterwards, and one that fails takes many times what one that works does.
So each that begins has the most put aside that it may ordinarily take. What is put aside never exceeds what
is left, however many run at once; when it would, they wait for each other, until one at a time is left to
begin. So the budget is overrun by what one measurement takes at most, and by what a site gets past its caps:
each step of a measurement is bounded, and a chain of long redirects may reach that bound at every step.

The sum is kept in the store, so that a restart does not give the volunteer's data away twice.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from measurements.model import Target
from probe.schedule import Campaign, Plan, allowance, day_of, plan
from probe.wording import size

UNKNOWN_COST = 20_000  # bytes that a routine measurement probably takes of which nothing is known yet


class Counters(Protocol):
    """Where the sum of the day is kept."""

    def add_spent(self, probe_id: str, spent: int) -> Awaitable[None]: ...

    def spent_today(self, probe_id: str) -> int: ...


class Purse:
    """Counts bytes against the budget of each UTC day.

    `trouble` is what a measurement may take beyond a routine one: a page in full, and following up.
    """

    def __init__(
        self, counters: Counters, probe_id: str, budget: int, now: Callable[[], float], trouble: int = 0
    ) -> None:
        self.budget = budget
        self._trouble = trouble
        self._counters = counters
        self._probe_id = probe_id
        self._now = now
        self._day = ""
        self._spent = 0
        self._before: dict[str, int] = {}  # of other days
        self._reserved = 0
        self._costs: dict[str, int] = {}  # of routine measurements: one that reads a page in full is once a day
        self._times: dict[str, float] = {}

    def open(self) -> None:
        """Read what was spent today already."""
        self._day, self._spent = day_of(self._now()), self._counters.spent_today(self._probe_id)

    def allow(self, budget: int, trouble: int) -> None:
        """Go on with another budget; what was spent stays spent."""
        self.budget, self._trouble = budget, trouble

    @property
    def spent(self) -> int:
        """The bytes spent today."""
        today = day_of(self._now())
        if today != self._day:  # a clock that is set over midnight and back gives nothing away twice
            self._before[self._day] = self._spent
            self._day, self._spent = today, self._before.pop(today, 0)
        return self._spent

    @property
    def account(self) -> str:
        """Say why more is not spent now, in a sentence that follows a colon."""
        return f"{size(self.spent)} of the day's {size(self.budget)} were spent, and the rest must last the day."

    @property
    def left(self) -> int:
        """The bytes that may still be spent today, by what runs too."""
        return self.budget - self.spent

    @property
    def idle(self) -> bool:
        """Whether nothing is put aside."""
        return self._reserved == 0

    def plan(
        self, campaign: Campaign, campaigns: Sequence[Campaign], order: Sequence[Target], part: float = 1.0
    ) -> Plan:
        """Choose what a run of `campaign` may measure, where campaigns may take `part` of what is left."""
        share = allowance(campaign, campaigns, left=int(self.left * part), costs=self._costs, now=self._now())
        return plan(order, costs=self._costs, measured=self._times, allowance=share)

    def reserve(self, target: Target, needed: int | None = None) -> int | None:
        """Put aside the most that a measurement may take, and return it; None when it must not begin.

        While others run there must be enough for all of them; a single one may begin on whatever is left, unless it is
        said what it needs: then there must be as much.
        """
        most = self._costs.get(target.url, UNKNOWN_COST) + self._trouble if needed is None else needed
        whole = needed is not None or not self.idle
        if self.left <= 0 or (whole and most > self.left - self._reserved):
            return None
        self._reserved += most
        return most

    def release(self, reserved: int) -> None:
        """Give back what was put aside."""
        self._reserved -= reserved

    def spend(self, count: int) -> Awaitable[None]:
        """Count bytes; awaiting it raises when the store could not."""
        self._spent = self.spent + count
        return self._counters.add_spent(self._probe_id, count)

    def learn(self, target: Target, when: float, cost: int, *, routine: bool) -> None:
        """Remember what a measurement took, for the next plans."""
        self._times[target.url] = when
        if routine:
            self._costs[target.url] = cost
