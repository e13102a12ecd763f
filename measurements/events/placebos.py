"""How often honest votes err, measured on harmless targets, and the null rates that follow.

A placebo that votes against access shows how often that happens without a block: as a first vote, as one that follows
another of its probe within six hours, and as one that follows another probe's. Each rate is the upper bound of
what was counted in four weeks, with as many clean votes lent as make the bound what is assumed without a count. So it
rises with the first failure, and falls only with evidence. docs/decisions/0028 says how far it may fall, and why.

A day (UTC) is ruled by the days that ended two days before it began, like the threshold: what no late vote can change
any more rules it, so that the same votes meet the same rates in whatever order they come. A rate that rules was
therefore known before the vote that is weighed with it, which is all that the promise asks of it.
"""

from __future__ import annotations

from collections.abc import Container, Mapping

import msgspec

from measurements.bounds import upper
from measurements.events.past import DAY
from measurements.events.rates import LASTING, LEAST, RATES, Rates, clean_votes
from measurements.events.thresholds import LAG, is_a_measurement
from measurements.model import Strength, Vote

_SPAN, _KEPT = 28, 60  # days
_MOST_LINES = 64

Faults = dict[Strength, dict[str, tuple[float, bool]]]
"""Of each strength the probes that failed within six hours: when last, and whether their last vote was that."""


class Tally(msgspec.Struct, array_like=True):
    """Votes of placebos, in pairs: how many spoke against access, of how many."""

    first: int = 0
    again: int = 0  # right after one of the same probe
    after: int = 0
    anew: int = 0  # after one of the same probe, and access in between
    between: int = 0
    elsewhere: int = 0  # after one of another probe
    others: int = 0

    def add(self, other: Tally) -> None:
        """Count what the other counted."""
        for name in self.__struct_fields__:
            setattr(self, name, getattr(self, name) + getattr(other, name))


class Day(msgspec.Struct, array_like=True):
    """What a day showed: measurements of placebos, and their votes by strength."""

    measurements: int = 0
    tallies: dict[Strength, Tally] = {}


class Measured(msgspec.Struct, frozen=True, kw_only=True):
    """Rates in force, and the placebo votes they are from: (against, of so many). None of these: they are assumed.

    `first` counts measurements, as a harmless target may fail in one layer of each.
    """

    rates: Rates
    first: tuple[int, int] = (0, 0)
    follow: tuple[int, int] = (0, 0)
    elsewhere: tuple[int, int] = (0, 0)


class Placebos:
    """Counts the votes of placebos, each once and for good, and knows the null rates that rule a time."""

    def __init__(self, days: dict[int, Day] | None = None, assumed: Mapping[Strength, Rates] = RATES) -> None:
        self._days = {} if days is None else days
        self._assumed = assumed
        self._known: dict[int, dict[Strength, Measured]] = {}

    def count(self, vote: Vote, faults: Faults, blocked: Container[Strength]) -> None:
        """Count the next vote of a place, whose `faults` are kept here.

        What has alarmed (`blocked`) is left to the gates: from then on it is a change, and not how often votes err.
        """
        day = self._day(int(vote.time // DAY))
        day.measurements += is_a_measurement(vote)
        for strength in (vote.strength,) if vote.blocked else tuple(faults):
            if strength not in blocked:
                tally = day.tallies.setdefault(strength, Tally())
                _tell(tally, vote, faults.setdefault(strength, {}))

    def of(self, strength: Strength, time: float) -> Rates:
        """Return the null rates of a strength that rule a time."""
        return self.at(time)[strength].rates

    def at(self, time: float) -> dict[Strength, Measured]:
        """Return the null rates that rule a time, and what they are from."""
        day = int(time // DAY)
        found = self._known.get(day)
        if found is None:
            if len(self._known) > _KEPT:
                self._known.clear()
            found = self._known[day] = {strength: self._measure(strength, day) for strength in Strength}
        return found

    def state(self) -> dict[int, Day]:
        """Return the counts by day (days since the epoch)."""
        return self._days

    def _measure(self, strength: Strength, day: int) -> Measured:
        total, measurements = Tally(), 0
        for one in range(day - LAG - _SPAN + 1, day - LAG + 1):
            counted = self._days.get(one)
            if counted is not None:
                measurements += counted.measurements
                total.add(counted.tallies.get(strength, Tally()))
        assumed, least = self._assumed[strength], LEAST[strength]
        firsts = max(total.first, measurements - total.after - total.between - total.others)
        follow = max(
            _bound(total.again, total.after, assumed.follow), _bound(total.anew, total.between, assumed.follow)
        )
        return Measured(
            rates=Rates(
                floor=max(least.floor, _bound(total.first, firsts, assumed.floor)),
                follow=max(least.follow, follow),
                elsewhere=max(least.elsewhere, _bound(total.elsewhere, total.others, assumed.elsewhere)),
                is_known=assumed.is_known,
            ),
            first=(total.first, firsts),
            follow=(total.again + total.anew, total.after + total.between),
            elsewhere=(total.elsewhere, total.others),
        )

    def _day(self, number: int) -> Day:
        day = self._days.get(number)
        if day is None:
            day = self._days[number] = Day()
            for old in [one for one in self._days if one < max(self._days) - _KEPT]:
                del self._days[old]
        return day


def _tell(tally: Tally, vote: Vote, lines: dict[str, tuple[float, bool]]) -> None:
    """Count a vote as what it is after the failures of these lines, and remember it if it fails."""
    for probe in [probe for probe, (last, _) in lines.items() if vote.time - last > LASTING]:
        del lines[probe]
    own = lines.get(vote.probe)
    if own is not None and own[1]:
        tally.after += 1
        tally.again += vote.blocked
    elif own is not None:
        tally.between += 1
        tally.anew += vote.blocked
    elif lines:
        tally.others += 1
        tally.elsewhere += vote.blocked
    else:
        tally.first += vote.blocked
    if vote.blocked and (own is not None or len(lines) < _MOST_LINES):
        lines[vote.probe] = (vote.time, True)
    elif own is not None:
        lines[vote.probe] = (own[0], False)


def _bound(against: int, votes: int, assumed: float) -> float:
    """Return the upper bound of a rate, with the clean votes lent that make it what is assumed."""
    return upper(against, votes + clean_votes(assumed)) if votes else assumed
