"""The threshold in force on each day, from the volume that was measured before it.

A day (UTC) is ruled by the seven days that ended two days before it began. What no late vote can change any more rules
it, so that the same votes meet the same threshold in whatever order they come. Before a week has been counted, the
volume that the settings expect stands in.
"""

from __future__ import annotations

import math

import msgspec

from measurements.events.nouns import Settings
from measurements.events.past import DAY
from measurements.events.rates import threshold
from measurements.model import Vote

ENDING = 7.0
"""The threshold for the end of a block: a wrong end, once in 1,100 votes of a blocked cell, alarms nobody."""

ALONE, IN_TWO = math.log(3 / 2), math.log(2)
"""What a proven or failed series adds to the threshold, because it may spend two thirds of what is allowed, and what
two of different networks together add to that (`pairs`), because they may spend one third."""

LEAST_SITES = 20
IN_A_CROWD = math.log(3 / LEAST_SITES)
"""What the series of sites that fail together adds: it may spend the other third of what failed ones are allowed, and
has a vote in so many measurements at the most."""

_ONE_EACH = frozenset({"blind", "quic", "throttle"})  # of a known measurement's votes one or two are in these layers
LAG, _WEEK, _KEPT = 3, 7, 16  # days


def is_a_measurement(vote: Vote) -> bool:
    """Whether to count a vote where measurements are counted."""
    return not vote.witness or vote.layer in _ONE_EACH


class VolumeState(msgspec.Struct):
    """Votes by day (days since the epoch), and the first day that had any."""

    daily: dict[int, int] = {}
    first: int | None = None


class Thresholds:
    """Counts measurements, and knows the threshold at a time. `newest` is the time of the newest vote."""

    def __init__(self, settings: Settings, state: VolumeState | None = None) -> None:
        self._settings = settings
        self._state = state or VolumeState()
        self._known: dict[int, float] = {}
        self._by_volume: dict[float, float] = {}
        self._since = self._until = 0.0  # the day of the last vote, how many it had since, and its threshold
        self._day, self._more, self._threshold = 0, 0, 0.0
        self.newest = 0.0

    def count(self, vote: Vote) -> float:
        """Count the measurement that a vote is of, by those of its layers that all have; return the threshold.

        A vote that names no measurement counts itself.
        """
        if not self._since <= vote.time < self._until:
            self._turn(int(vote.time // DAY))
        if not vote.witness or vote.layer in _ONE_EACH:  # is_a_measurement, without its call
            self._more += 1
        return self._threshold

    def at(self, time: float) -> float:
        """Return the threshold (of the log evidence) that rules at a time."""
        day = int(time // DAY)
        found = self._known.get(day)
        if found is None:
            found = self._known[day] = self._of(self.volume(day))
        return found

    def volume(self, day: int) -> float:
        """Return how many votes a week are reckoned with on a day."""
        settings, state = self._settings, self.state()
        ruling = range(day - LAG - _WEEK + 1, day - LAG + 1)
        if settings.fixed_volume or state.first is None or state.first > ruling.start:
            return settings.volume_per_week
        return float(sum(state.daily.get(one, 0) for one in ruling)) or settings.volume_per_week

    def state(self) -> VolumeState:
        """Return the counts."""
        if self._more:
            self._state.daily[self._day] = self._state.daily.get(self._day, 0) + self._more
            self._more = 0
        return self._state

    def _turn(self, day: int) -> None:
        state = self.state()
        if day not in state.daily:
            state.daily[day] = 0
            state.first = day if state.first is None else min(day, state.first)
            self._known.clear()
            for old in [kept for kept in state.daily if kept < max(state.daily) - _KEPT]:
                del state.daily[old]
        self._day, self._since, self._until = day, day * DAY, (day + 1) * DAY
        self._threshold = self.at(self._since)

    def _of(self, volume: float) -> float:
        found = self._by_volume.get(volume)
        if found is None:
            settings = self._settings
            found = threshold(volume, settings.false_alarms_per_week, settings.strengths)
            self._by_volume[volume] = found
        return found
