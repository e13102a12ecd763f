"""What votes are weighed with, and the threshold that keeps the promise on false alarms.

Without a change a likelihood ratio is a supermartingale, whatever the order and the times of votes, as long as the
chance of a vote against the present state, given all before it, is at most the null rate p0 that it is weighed with.
An excursion of a score from zero begins with such a vote, and so at p1/p0; it reaches the height h at most once in
p0/p1 · e^h (Ville). Such votes come at most at the rate p0, so each vote raises a false alarm with a chance of at
most p1 · e^-h. `threshold` is that, turned round; docs/decisions/0020 has the proof for layers and strengths.
"""

from __future__ import annotations

import math
from functools import lru_cache

import msgspec

from measurements.bounds import CONFIDENCE, at_most, upper
from measurements.model import Strength

PARTIAL, FULL = 0.5, 0.9  # the alternatives: the share of votes that show a change
_RARE = 0.01  # a past with so small a chance contradicts the floor
_LEAST = 20.0  # the evidence ratio that any claim needs: more than one vote at a floor of .05 gives
_MIDDLE = 0.7  # what brackets are drawn with

LASTING = 6 * 3600.0  # seconds: so long after a vote against the state, others are no news of their own

Weights = tuple[float, float, float, float, float, float]


def threshold(volume_per_week: float, false_alarms_per_week: float = 1.0, series: int = 2) -> float:
    """Return the score that keeps false alarms to a mean of so many a week.

    `volume_per_week` counts measurements, over all targets and networks: a measurement gives at most one vote
    against, in one of its layers. `series` is how many strengths are watched side by side. Where so
    little is watched that the promise would let a single vote pass, 20 to 1 are asked for.
    """
    if not (volume_per_week >= 0 and false_alarms_per_week > 0 and series >= 1):
        raise ValueError("a threshold needs a volume, a rate of false alarms above zero, and a series")
    return math.log(max(_LEAST, volume_per_week * series * (PARTIAL + FULL) / false_alarms_per_week))


class Rates(msgspec.Struct, frozen=True, kw_only=True):
    """How often honest votes of one strength speak against the present state.

    `floor` is the least null rate of a vote; `follow` that of a vote whose probe had one within six hours;
    `elsewhere` that of a vote while another probe had one. Whether the floor `is_known` for every series, because
    harmless targets measure it, or is but what most series keep to, which each has to show for itself.
    """

    floor: float = 0.05
    follow: float = 0.4
    elsewhere: float = 0.4
    is_known: bool = False


RATES: dict[Strength, Rates] = {
    Strength.PROVEN: Rates(floor=0.002, elsewhere=0.005, is_known=True),
    Strength.REPORTED: Rates(),
    Strength.FAILED: Rates(),
}

LEAST: dict[Strength, Rates] = {
    Strength.PROVEN: Rates(floor=0.001, follow=0.4, elsewhere=0.005, is_known=True),
    Strength.REPORTED: Rates(follow=0.1),
    Strength.FAILED: Rates(),
}
"""How far placebos may lower what `RATES` assumes: a harmless target tells little of what only other targets do.

Nor is a placebo of ours asked again within minutes, as what is blocked or unreachable is: how often its failures are
repeated bounds that of `reported` votes only, whose placebos somebody else asked like the rest.
"""

TOGETHER = Rates(floor=0.002)
"""Of an hour in which unrelated sites fail at once (`together`): twice the chance that counts as too many."""

ENDING = Rates()
"""Of an answer during a block, of any strength: a block may be partial."""


@lru_cache(maxsize=1 << 12)
def weigh(p0: float, p0_partial: float, full: float = FULL) -> Weights:
    """Return what a vote against and one for the state add: to the partial score, the full one, and the path.

    The path of the partial alternative, which draws its brackets, is its score without restarts.
    """
    return (*_weigh(p0_partial, PARTIAL), *_weigh(p0, full), *_weigh(p0, _MIDDLE))


def full_ending(p0: float) -> float:
    """Return the full alternative for an end: a block seen in few votes ends when it is seen in a tenth of those."""
    return max(FULL, 1.0 - (1.0 - p0) / 10.0)


def _weigh(p0: float, p1: float) -> tuple[float, float]:
    return (math.log(p1 / p0), math.log((1.0 - p1) / (1.0 - p0))) if p0 < p1 else (0.0, 0.0)


@lru_cache(maxsize=1 << 14)
def null_rates(against: int, votes: int, rates: Rates) -> tuple[float, float, int]:
    """Return the null rate for the full alternative and for the partial one, and how many votes were lent for it.

    A young series is lent clean votes, as many as make the bound the floor, and its own take their place. It is lent
    none when its own past contradicts the floor, nor for the partial alternative unless the floor is known: whether
    half of the votes are many can only be told from a past.
    """
    own = upper(against, _rounded(against, votes))
    lent = max(0, clean_votes(rates.floor) - votes)
    if not lent or _is_above(rates.floor, against, votes):
        p0 = max(rates.floor, own)
        return p0, p0, 0
    p0 = max(rates.floor, upper(against, votes + lent))
    return p0, p0 if rates.is_known else max(p0, own), lent


def _is_above(rate: float, against: int, votes: int) -> bool:
    """Whether a past surely shows a higher rate: so many votes against come with a chance of less than 1 in 100."""
    return against > 0 and 1.0 - at_most(against - 1, votes, rate) < _RARE


def ending_rate(against: int, votes: int) -> float:
    """Return the null rate of an answer during a block: nothing is lent, as a block may be partial."""
    return max(ENDING.floor, upper(against, _rounded(against, votes)))


@lru_cache(maxsize=64)
def clean_votes(rate: float) -> int:
    """Return how many votes without one against it take to bound the rate like this."""
    return math.ceil(math.log(1.0 - CONFIDENCE) / math.log1p(-rate))


def _rounded(against: int, votes: int) -> int:
    """Round down by a part in 64 at most, which errs on the safe side and asks for fewer different bounds."""
    step = max(0, votes.bit_length() - 7)
    return max(against, votes >> step << step) if against else votes
