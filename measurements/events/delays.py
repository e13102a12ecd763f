"""How long a full block takes to be told of and confirmed, at the present threshold: the detector itself says it.

A site that answered at every interval stops answering for good. Votes come as a probe would cast them, and the
detector that is in force counts them; what it tells, and when, is the delay. It is measured from the first vote against
access, since when nobody saw it before that.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

import msgspec

from measurements.events.detector import Detector
from measurements.events.nouns import Settings, Status
from measurements.events.rates import RATES, Rates, threshold
from measurements.model import Strength, Vote

_WELL = 48  # votes for access before the block
_PATIENCE = 14 * 86_400.0
_SECOND = 120.0  # seconds by which a second probe asks later than the first
_ANY = 1e6


class Delay(msgspec.Struct, frozen=True, kw_only=True):
    """Seconds from the first vote against access until an event is told and until it is confirmed.

    `votes` is how many votes against that takes. None stands for more than two weeks.
    """

    strength: Strength
    probes: int
    told: float | None
    confirmed: float | None
    votes: int | None


def delays(
    settings: Settings,
    height: float,
    every: float,
    again: Sequence[float],
    again_unreachable: Sequence[float],
    rates: Mapping[Strength, Rates] = RATES,
) -> tuple[Delay, ...]:
    """Work out the delays for one probe and for two on different lines, for proven blocks and for unreachable sites.

    `height` is the threshold in force, `every` the seconds between two measurements of a target by a probe; `again` are
    the seconds after which a proven find is asked for again, and `again_unreachable` those for an unproven one;
    `rates` are the null rates in force.
    """
    each = threshold(_ANY, settings.false_alarms_per_week, settings.strengths)
    volume = _ANY * math.exp(height - each)
    fixed = msgspec.structs.replace(settings, volume_per_week=volume, fixed_volume=True, lateness=0.0)
    asked = {Strength.PROVEN: again, Strength.FAILED: again_unreachable}
    return tuple(
        _delay(fixed, rates, strength, probes, every, asked[strength]) for strength in asked for probes in (1, 2)
    )


def _delay(
    settings: Settings,
    rates: Mapping[Strength, Rates],
    strength: Strength,
    probes: int,
    every: float,
    again: Sequence[float],
) -> Delay:
    detector = Detector(settings, rates)
    told: float | None = None
    against = 0
    began = _WELL * every
    for vote in _votes(strength, probes, every, again):
        against += vote.blocked
        for event in detector.add(vote):
            told = vote.time - began if told is None else told
            if event.status is Status.CONFIRMED:
                waited = vote.time - began
                return Delay(strength=strength, probes=probes, told=told, confirmed=waited, votes=against)
    return Delay(strength=strength, probes=probes, told=told, confirmed=None, votes=None)


def _votes(strength: Strength, probes: int, every: float, again: Sequence[float]) -> Iterator[Vote]:
    began = _WELL * every
    for number in range(_WELL):
        for probe in range(probes):
            yield _vote(number * every + probe * _SECOND, probe, None)
    repeats = [wait for wait in again if wait < _PATIENCE]
    routine = [every * number for number in range(int(_PATIENCE / every) + 1)]
    for wait in sorted({*routine, *repeats}):
        for probe in range(probes):
            yield _vote(began + wait + probe * _SECOND, probe, strength)


def _vote(time: float, probe: int, strength: Strength | None) -> Vote:
    return Vote(
        time=time,
        probe=f"p{probe}",
        target="site.example",
        layer="tls",
        blocked=strength is not None,
        strength=strength or Strength.PROVEN,
        witness=f"{probe}/{time}",
    )
