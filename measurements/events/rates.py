"""What votes are weighed with, and the threshold that keeps the promise on false alarms.

Without a change a likelihood ratio is a supermartingale, whatever the order and the times of votes, as long as the
chance of a vote against the present state, given all before it, is at most the null rate p0 that it is weighed with.
An excursion of a score from zero begins with such a vote, and so at p1/p0; by Doob's inequality it reaches the height
h at most once in p0/p1 · e^h. Such votes come at most at the rate p0, so each vote raises a false alarm with a chance
of at most p1 · e^-h. `threshold` is that, turned round; docs/decisions/0021 has the proof for layers and strengths.
"""

from __future__ import annotations

import math
from functools import lru_cache

import msgspec

from measurements.events.chance import CONFIDENCE
from measurements.model import Strength

PARTIAL, FULL = 0.5, 0.9  # the alternatives: the share of votes that show a change
SHARE = 0.8  # of the false alarms allowed that the full alternative may spend
LOG_PARTIAL, LOG_FULL = math.log(1 - SHARE), math.log(SHARE)
_COST = (1 - SHARE) * PARTIAL + SHARE * FULL
_MIDDLE = 0.7  # what brackets are drawn with

Weights = tuple[float, float, float, float, float, float]


def threshold(volume_per_week: float, false_alarms_per_week: float = 1.0, series: int = 2) -> float:
    """Return the score that keeps false alarms to a mean of so many a week.

    `volume_per_week` counts measurements, over all targets and networks: a measurement gives at most one vote
    against, in one of its layers. `series` is how many strengths are watched side by side.
    """
    if not (volume_per_week >= 0 and false_alarms_per_week > 0 and series >= 1):
        raise ValueError("a threshold needs a volume, a rate of false alarms above zero, and a series")
    return math.log(max(1.0, volume_per_week * series * _COST / false_alarms_per_week))


class Rates(msgspec.Struct, frozen=True, kw_only=True):
    """How often honest votes of one strength speak against the present state.

    `floor` is the least null rate of a vote; `follow` that of a vote whose probe had one within six hours;
    `elsewhere` that of a vote while another probe had one. `placebo` measurements give better ones in time.
    """

    floor: float = 0.05
    follow: float = 0.4
    elsewhere: float = 0.4


RATES: dict[Strength, Rates] = {
    Strength.PROVEN: Rates(floor=0.002, elsewhere=0.005),
    Strength.REPORTED: Rates(),
    Strength.FAILED: Rates(),
}

ENDING = Rates()
"""Of an answer during a block, of any strength: a block may be partial."""


@lru_cache(maxsize=1 << 12)
def weigh(p0: float) -> Weights:
    """Return what a vote against and one for the state add: to the partial score, the full one, and the path."""
    return (*_weigh(p0, PARTIAL), *_weigh(p0, FULL), *_weigh(p0, _MIDDLE))


def _weigh(p0: float, p1: float) -> tuple[float, float]:
    return (math.log(p1 / p0), math.log((1.0 - p1) / (1.0 - p0))) if p0 < p1 else (0.0, 0.0)


@lru_cache(maxsize=64)
def clean_votes(rate: float) -> int:
    """Return how many votes without one against it take to bound the rate like this."""
    return math.ceil(math.log(1.0 - CONFIDENCE) / math.log1p(-rate))
