"""Counting: results joined with what the book says of their scenarios, and the rates and quantiles of them.

Beside every rate stand the bounds between which the true one lies with 95 % (E. B. Wilson, 1927): a clean sheet of
few runs proves little, and the bounds say how little.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from tests.lab.accuracy.results import Result
from tests.lab.accuracy.throttles import NETTEST
from tests.lab.kinds import ACCUSATIONS, Kind, allowed, kind_of
from tests.lab.scenario import Delay, Expect, Scenario

_Z = 1.959964  # 95 %, both sides


@dataclass(frozen=True, slots=True)
class Rate:
    """`hits` of `count`."""

    hits: int
    count: int

    @property
    def value(self) -> float:
        return self.hits / self.count if self.count else math.nan

    @property
    def bounds(self) -> tuple[float, float]:
        """Return Wilson's bounds of 95 %; of nothing, nothing is known."""
        if not self.count:
            return 0.0, 1.0
        n, p, z = self.count, self.value, _Z
        middle = (p + z * z / (2 * n)) / (1 + z * z / n)
        reach = z / (1 + z * z / n) * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
        return max(0.0, middle - reach), min(1.0, middle + reach)


@dataclass(frozen=True, slots=True)
class Case:
    """One whole result, and what the book says about it now."""

    scenario: Scenario
    chapter: str
    result: Result

    @property
    def kind(self) -> Kind:
        return kind_of(self.scenario, self.chapter)

    @property
    def control(self) -> bool:
        return self.result.run.control

    @property
    def expect(self) -> Expect:
        return self.scenario.expected(control=self.control)

    @property
    def got(self) -> str:
        return self.result.said.get("outcome") or "nothing"

    @property
    def expected(self) -> str:
        """The outcome that counts as the right one: what was said, when that is allowed, else the first allowed."""
        right = allowed(self.expect)
        return self.got if self.got in right else right[0]

    @property
    def certain(self) -> bool:
        """Whether nothing but an accusation is right with a control; else chance may let the probe miss it."""
        return set(allowed(self.scenario.expect)) <= ACCUSATIONS

    @property
    def accused(self) -> bool:
        return self.got in ACCUSATIONS

    @property
    def wrong(self) -> list[str]:
        """Where the verdict is something else than the book wants, field by field."""
        return self.expect.disagreements(dict(self.result.said))

    @property
    def paced(self) -> bool:
        """Whether pairs of transfers were to be laid: such verdicts are counted apart."""
        return self.scenario.nettest == NETTEST

    @property
    def far(self) -> bool:
        """Whether the world is 100 ms away, there and back, and nothing else is odd."""
        return any(isinstance(one, Delay) and one.rtt == 100 for one in self.scenario.mechanisms)

    def says(self, field: str) -> bool | None:
        """Whether `field` is exactly what it should be; None where the book says that it cannot be known."""
        wanted = getattr(self.expect, field)
        right = (wanted,) if isinstance(wanted, str) else wanted
        if not right or "unknown" in right:
            return None
        return self.result.said.get(field) in right


def cases(book: Mapping[str, Scenario], chapters: Mapping[str, str], results: Iterable[Result]) -> list[Case]:
    """Join whole results with the book; `chapters` names each scenario's."""
    return [
        Case(book[result.run.scenario], chapters[result.run.scenario], result)
        for result in results
        if not result.broken and result.run.scenario in book
    ]


def rate(of: Iterable[Case], hit: Callable[[Case], bool | None]) -> Rate:
    """Count hits among the cases for which there is an answer."""
    answers = [answer for case in of if (answer := hit(case)) is not None]
    return Rate(sum(answers), len(answers))


def confusion(of: Iterable[Case]) -> Counter[tuple[str, str]]:
    """Count (expected, got)."""
    return Counter((case.expected, case.got) for case in of)


@dataclass(frozen=True, slots=True)
class Spread:
    """Where most values of a quantity lie; `worst_of` is the case with the largest."""

    median: float
    ninety: float
    worst: float
    worst_of: Case


def spread(of: Sequence[Case], quantity: Callable[[Case], float]) -> Spread | None:
    """Return the spread of a quantity; None of no cases."""
    if not of:
        return None
    ordered = sorted(of, key=quantity)
    values = [quantity(case) for case in ordered]
    return Spread(quantile(values, 0.5), quantile(values, 0.9), values[-1], ordered[-1])


def quantile(ordered: Sequence[float], share: float) -> float:
    """Return the smallest value that at least `share` of all do not exceed."""
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def overrun(case: Case) -> float:
    """Seconds by which a measurement outlived its deadline, at least 0."""
    return max(0.0, case.result.runtime - case.result.limit) if case.result.limit else 0.0


def fired(of: Iterable[Case], rules: Iterable[str]) -> dict[str, set[str]]:
    """Return for each rule the scenarios in which it found something."""
    found: dict[str, set[str]] = {rule: set() for rule in rules}
    for case in of:
        for rule in case.result.rules:
            found.setdefault(rule, set()).add(case.scenario.name)
    return found
