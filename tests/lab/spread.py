"""A spread of the book for every day: few verdicts, and yet each kind of them. `scripts/accuracy` runs all.

Kinds are what a verdict is about: its chapter, what it says, what does it, which rule finds it. Each kind that no
earlier pick has covered brings the case whose digest with the kind's name is smallest. So whoever adds a
scenario changes few picks, and taking away one that was not picked changes none.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from tests.lab.book.shown import Shown
from tests.lab.kinds import kind_of
from tests.lab.scenario import Scenario


class Case(NamedTuple):
    """A scenario, with or without a control."""

    scenario: Scenario
    control: bool


def spread(chapters: Mapping[str, Sequence[Scenario]], shown: Iterable[Shown]) -> tuple[Case, ...]:
    """Pick the cases, in the book's order; the scenarios that show a rule at work or at rest are all among them."""
    book = {scenario.name: scenario for chapter in chapters.values() for scenario in chapter}
    every = {
        Case(scenario, control): frozenset(_kinds(scenario, chapter, control))
        for chapter, scenarios in chapters.items()
        for scenario in scenarios
        for control in (True, False)
    }
    picked = {Case(book[name], one.control) for one in shown for name in (one.fires, one.silent) if name in book}
    covered = {kind for case in picked for kind in every[case]}
    for kind in sorted({kind for kinds in every.values() for kind in kinds} - covered):
        if kind not in covered:
            best = min((case for case, kinds in every.items() if kind in kinds), key=lambda case: _rank(kind, case))
            picked.add(best)
            covered |= every[best]
    return tuple(case for case in every if case in picked)


def mixtures(cases: Iterable[Case]) -> list[Scenario]:
    """Return one scenario for each mixture of mechanisms among the cases: enough to see that the lab works."""
    found: dict[frozenset[str], Scenario] = {}
    for scenario, _ in cases:
        found.setdefault(frozenset(type(one).__name__ for one in scenario.mechanisms), scenario)
    return list(found.values())


def _kinds(scenario: Scenario, chapter: str, control: bool) -> Iterator[str]:
    """Name what a case is an example of; the first letters say in which order kinds are served, the rarest first."""
    expect = scenario.expected(control=control)
    said = (expect.outcome, expect.mechanism, expect.trigger, expect.reason)
    outcome, mechanism, trigger, reason = (field if isinstance(field, str) else (field or ("",))[0] for field in said)
    for one in scenario.mechanisms:
        yield f"a: does {type(one).__name__}"
    yield f"b: {outcome} {mechanism}"
    yield f"c: {outcome} {reason}"
    yield f"d: {outcome} by {trigger}"
    yield f"e: nettest {scenario.nettest}"
    yield f"f: {kind_of(scenario, chapter)} {'with' if control else 'without'} a control"
    yield f"g: chapter {chapter}"


def _rank(kind: str, case: Case) -> str:
    return hashlib.sha256(f"{kind}\0{case.scenario.name}\0{case.control}".encode()).hexdigest()
