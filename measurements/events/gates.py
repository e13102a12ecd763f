"""What must hold, beyond the statistics of its cells, before an event is confirmed.

The statistics allow for chance, and for faults that last. The gates are for what no rate of error describes:

- *One line.* Two lines must have voted blocked for a target, or three hours lie between the first such vote and
  another. A line is a probe: a vote tells of no more. Whoever runs two probes on one line tells them one id.
- *Elsewhere.* Two other countries that moved for the same target within six hours point to the site. Networks of the
  same country never do: that is what a national block looks like.
- *Placebo.* A harmless site that became blocked in the same network within six hours points to the network, or to us.
- *Software.* All blocked votes are of one version of the software, and another sees nothing but access.

Whether claims as a whole are suspended (placebos raise more alarms than is promised) is `suspended`.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence

from measurements.events import pairs
from measurements.events.grouping import Entry
from measurements.events.nouns import Settings, Standing
from measurements.events.spells import Place, Spell

WEEK = 604_800.0
_SURPRISE = 0.01  # so seldom do as many placebo alarms come where the promise is kept


def confirmation(
    entries: Sequence[Entry],
    same_target: Mapping[str, Iterable[Entry]],
    alarms: Sequence[tuple[float, Place]],
    networks: Callable[[str, str], int],
    far: float,
) -> tuple[float | None, str]:
    """Return when an event was confirmed, or None and the word for what holds it back.

    `same_target` finds all spells about a target, of any country; `alarms` are those of placebos, by when they began;
    `networks` counts those that vote on a target in a country; `far` is how long changes may lie apart and still point
    to one another, in seconds.
    """
    by_target: dict[str, list[Entry]] = {}
    for entry in entries:
        by_target.setdefault(entry.place.target, []).append(entry)
    found = [
        _of_target(group, same_target[target], alarms, networks(group[0].place.country, target), far)
        for target, group in by_target.items()
    ]
    times = [time for time, reason in found if time is not None and not reason]
    if times:
        return min(times), ""
    reasons = {reason for _, reason in found}
    return None, next(word for word in ("elsewhere", "placebo", "software", "one_line", "evidence") if word in reasons)


def _of_target(
    entries: list[Entry], everywhere: Iterable[Entry], alarms: Sequence[tuple[float, Place]], networks: int, far: float
) -> tuple[float | None, str]:
    spells = [entry.spell for entry in entries]
    crossings = [spell.crossed for spell in spells] + [pairs.crossed(entries, networks, far)]
    crossed = min((time for time in crossings if time is not None), default=None)
    if crossed is None:
        return None, "evidence"
    if _others(entries, everywhere, far):
        return None, "elsewhere"
    here = [(entry.place.country, entry.place.asn, entry.first) for entry in entries]
    if any((c, a) == (place.country, place.asn) and abs(time - t) <= far for time, place in alarms for c, a, t in here):
        return None, "placebo"
    if _by_software(spells):
        return None, "software"
    sure = sure_since(spells)
    return (None, "one_line") if sure is None else (max(crossed, sure), "")


def _others(entries: list[Entry], everywhere: Iterable[Entry], far: float) -> bool:
    """Whether two other countries moved for the target too, at about the time."""
    home = entries[0].place.country
    near = {
        other.place.country
        for other in everywhere
        if other.place.country not in ("", home)
        and other.spell.standing is not Standing.CLEARED
        and any(other.is_near(entry, far) for entry in entries)
    }
    return len(near) >= 2


def _by_software(spells: list[Spell]) -> bool:
    accusing = {version for spell in spells for version in spell.accusing}
    clearing = {version for spell in spells for version in spell.clearing}
    return len(accusing) == 1 and bool(clearing - accusing)


def sure_since(spells: Sequence[Spell]) -> float | None:
    """Return when a second line had voted blocked, or one line for long enough."""
    lines: dict[str, float] = {}
    for spell in spells:
        for probe, time in spell.lines.items():
            lines[probe] = min(time, lines.get(probe, math.inf))
    second = sorted(lines.values())[1:2]
    lasting = [spell.lasting for spell in spells if spell.lasting is not None]
    return min([*second, *lasting], default=None)


def suspended(alarms: Iterable[float], now: float, settings: Settings) -> float | None:
    """Return until when claims are suspended, because placebos alarm more often than is promised, or None.

    Within the promise a week has so many placebo alarms, or more, with a chance of less than 1 in 100.
    """
    times = sorted(alarms)
    enough = surprising(settings.false_alarms_per_week * settings.placebo_share)
    recent = times[bisect_right(times, now - WEEK) : bisect_left(times, math.nextafter(now, math.inf))]
    return recent[-enough] + WEEK if len(recent) >= enough else None


def surprising(mean: float) -> int:
    """Return the least count that a Poisson variable of this mean reaches with a chance of at most 1 in 100."""
    count, term = 0, math.exp(-mean)
    left = 1.0 - term
    while left > _SURPRISE and term > 0.0:
        count += 1
        term *= mean / count
        left -= term
    return count + 1
