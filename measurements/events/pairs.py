"""Two networks at once: what two cells of a target show together.

Each series has its own null rate while another probe suspects something (`Rates.elsewhere`), because a fault of the
site, or of ours, shows in many places. A series over two networks of a country weighs the votes of both, and those for
access in the second before it was blocked speak against it. Its score is the sum of what the two cells found, with the
first vote of the second weighed again at that rate, so it needs no state of its own. There are as many such series for
a vote as the target has other networks in the country, and they share a third of what is allowed (`thresholds`).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import combinations

from measurements.events.grouping import Entry
from measurements.events.rates import FULL
from measurements.events.spells import MOST_WELL
from measurements.events.thresholds import IN_TWO
from measurements.model import Strength


def crossed(entries: Sequence[Entry], networks: int, far: float) -> float | None:
    """Return the time of the vote with which two networks were enough together, or None.

    `entries` are the spells about one target in one country, which has votes from so many `networks`.
    """
    proven = sorted((e for e in entries if e.spell.strength is Strength.PROVEN), key=lambda e: (e.first, e.place))
    times = [
        time
        for one, two in combinations(proven, 2)
        if one.place.asn != two.place.asn and one.place.layer == two.place.layer and two.first - one.first <= far
        for time in _reached(one, two, networks)
    ]
    return min(times, default=None)


def _reached(one: Entry, two: Entry, networks: int) -> Iterator[float]:
    """Yield the times at which a pair has enough."""
    between = sum(time > one.first for time in two.spell.well)
    if between == MOST_WELL:
        return
    dependent = two.spell.elsewhere
    if not 0.0 < dependent < FULL:
        return
    cost = math.log(dependent / two.spell.p0) + between * math.log((1.0 - dependent) / (1.0 - FULL))
    needed = max(one.spell.threshold, two.spell.threshold) + IN_TWO + math.log(max(1, networks - 1)) + cost
    score = {0: 0.0, 1: 0.0}
    steps = sorted([*((t, 0, e) for t, e in one.spell.trail), *((t, 1, e) for t, e in two.spell.trail)])
    for time, which, evidence in steps:
        score[which] = evidence
        if min(score.values()) > 0.0 and sum(score.values()) >= needed:
            yield time
