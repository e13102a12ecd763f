"""The threshold in force on each day, from the volume that was measured before it.

A day (UTC) is ruled by the seven days that ended two days before it began. What no late vote can change any more rules
it, so that the same votes meet the same threshold in whatever order they come. Before a week has been counted, the
volume that the settings expect stands in.
"""

from __future__ import annotations

import msgspec

from measurements.events.nouns import Settings
from measurements.events.rates import threshold
from measurements.model import Vote

ENDING = 7.0
"""The threshold for the end of a block: a wrong end, once in 1,100 votes of a blocked cell, alarms nobody."""

_ONE_EACH = ("blind", "quic", "throttle")  # of a known measurement's votes one or two are in these layers
_DAY = 86_400.0
_LAG, _WEEK, _KEPT = 3, 7, 16  # days


class VolumeState(msgspec.Struct):
    """Votes by day (days since the epoch), and the first day that had any."""

    daily: dict[int, int] = {}
    first: int | None = None


class Thresholds:
    """Counts votes, and knows the threshold at a time."""

    def __init__(self, settings: Settings, state: VolumeState | None = None) -> None:
        self._settings = settings
        self.state = state or VolumeState()
        self._known: dict[int, float] = {}
        self._by_volume: dict[float, float] = {}

    def count(self, vote: Vote) -> None:
        """Count the measurement that a vote is of: by those of its layers that all have, or the vote itself."""
        if vote.witness and vote.layer not in _ONE_EACH:
            return
        day, daily = int(vote.time // _DAY), self.state.daily
        if day in daily:
            daily[day] += 1
            return
        daily[day] = 1
        if self.state.first is None or day < self.state.first:
            self.state.first = day
        self._known.clear()
        for old in [kept for kept in daily if kept < max(daily) - _KEPT]:
            del daily[old]

    def at(self, time: float) -> float:
        """Return the threshold (of the log evidence) that rules at a time."""
        day = int(time // _DAY)
        found = self._known.get(day)
        if found is None:
            found = self._known[day] = self._of(self.volume(day))
        return found

    def volume(self, day: int) -> float:
        """Return how many votes a week are reckoned with on a day."""
        settings, state = self._settings, self.state
        ruling = range(day - _LAG - _WEEK + 1, day - _LAG + 1)
        if settings.fixed_volume or state.first is None or state.first > ruling.start:
            return settings.volume_per_week
        return float(sum(state.daily.get(one, 0) for one in ruling)) or settings.volume_per_week

    def _of(self, volume: float) -> float:
        found = self._by_volume.get(volume)
        if found is None:
            settings = self._settings
            found = threshold(volume, settings.false_alarms_per_week, settings.strengths)
            self._by_volume[volume] = found
        return found
