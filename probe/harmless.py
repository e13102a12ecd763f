"""Harmless targets: asked among the others, so that errors can be counted and questions hide. Pure: chance is given.

A *placebo* is a site that nobody blocks, asked by the same nettest in the same circumstances as the real ones. What
is said against it is an error, or a failure of the line: its rate is that of our own mistakes. One measurement in ten
is one. Only those whom the settings name are asked: witnesses, and targets of the category CTRL.

A question that is asked again goes among at least as many harmless ones, in an order nobody can foretell: what can be
seen on the wire is never a list of blocked sites alone. For these the sites of the same campaigns that answer do as
well, and at least one is a placebo, so that repeated questions have theirs too.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from measurements.model import CONTROL_CATEGORY, Target

SHARE = 0.1  # of all measurements
TRACE, THROTTLING = "trace", "throttling"
UNFIT = frozenset({TRACE, THROTTLING})  # nettests that compare with something harmless by themselves
ROUTINE = "web"


@dataclass(frozen=True, slots=True)
class Errand:
    """A target to measure by a nettest; a placebo is a harmless one, asked only to learn how often we err."""

    nettest: str
    target: Target
    placebo: bool = False


def harmless_of(witnesses: Iterable[Target], targets: Iterable[Target]) -> tuple[Target, ...]:
    """Return each harmless target once: witnesses, and the targets that are there to be."""
    named = [*witnesses, *(target for target in targets if target.category == CONTROL_CATEGORY)]
    return tuple({target.url: target for target in named}.values())


class Placebos:
    """Mixes placebos into runs, one measurement in ten over time, however short the runs are.

    `measured` is how many measurements the probe made before: one that is started often goes on where it was.
    """

    def __init__(self, chance: random.Random, measured: int = 0) -> None:
        self._chance = chance
        self._owed = measured * SHARE % 1

    def among(self, errands: Sequence[Errand], harmless: Sequence[Target]) -> Sequence[Errand]:
        """Put as many placebos as are owed among the errands of a run, in any order."""
        fit = [errand for errand in errands if errand.nettest not in UNFIT]
        if not fit or not harmless:
            return errands
        self._owed += len(fit) * SHARE / (1 - SHARE)
        count = int(self._owed)
        self._owed -= count
        drawn = [self._chance.choice(harmless) for _ in range(max(0, count - len(harmless)))]
        drawn += self._chance.sample(harmless, min(count, len(harmless)))
        nettests = self._chance.choices(fit, k=count)
        placebos = (Errand(like.nettest, target, placebo=True) for like, target in zip(nettests, drawn, strict=True))
        return _shuffled([*errands, *placebos], self._chance)


@dataclass(frozen=True, slots=True)
class Crowd:
    """Whom questions can hide among: harmless targets, and those of the campaigns that answer."""

    harmless: tuple[Target, ...]
    open: tuple[Target, ...] = ()

    def without(self, hosts: Iterable[str]) -> Crowd:
        """Leave out the sites that are asked about."""
        taken = set(hosts)
        return Crowd(
            tuple(target for target in self.harmless if target.host not in taken),
            tuple(target for target in self.open if target.host not in taken),
        )

    @property
    def size(self) -> int:
        """How many sites it has."""
        return len({target.host for target in (*self.harmless, *self.open)})

    def hide(self, asked: Sequence[Errand], chance: random.Random) -> Sequence[Errand]:
        """Put as many others among `asked` as there are, in any order; needs a crowd of that size without them."""
        placebos = {target.host: Errand(ROUTINE, target, placebo=True) for target in self.harmless}
        others = {target.host: Errand(ROUTINE, target) for target in self.open if target.host not in placebos}
        first = chance.sample(sorted(placebos), min(1, len(placebos), len(asked)))
        rest = chance.sample(sorted((placebos | others).keys() - set(first)), len(asked) - len(first))
        drawn = [(placebos | others)[host] for host in (*first, *rest)]
        like = [ROUTINE if errand.nettest in UNFIT else errand.nettest for errand in asked]
        around = [Errand(nettest, one.target, one.placebo) for nettest, one in zip(like, drawn, strict=True)]
        return _shuffled([*asked, *around], chance)


def _shuffled(errands: list[Errand], chance: random.Random) -> Sequence[Errand]:
    chance.shuffle(errands)
    return errands
