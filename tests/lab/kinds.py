"""What kind of scenario one is, read off its chapter and the verdict it deserves with a control.

The figures of an accuracy report, and the look-alikes of the book, mean different things for each kind.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum

from tests.lab.scenario import Delay, Expect, Scenario

ACCUSATIONS = frozenset({"blocked", "throttled"})
VOLUNTEERS = "home"  # the chapter about the faults of volunteers' own networks


class Kind(StrEnum):
    CENSORING = "censoring"  # somebody interferes, and that can be proven
    VOLUNTEER = "volunteer"  # the volunteer's own network has a fault
    OPEN = "open"  # nothing is done to the traffic, and the site opens
    QUIET = "quiet"  # anything else that must accuse nobody


def kind_of(scenario: Scenario, chapter: str) -> Kind:
    """Sort one scenario; what must be called blocked or throttled is censoring in whatever chapter it stands."""
    if ACCUSATIONS & {allowed(scenario.expect)[0]}:
        return Kind.CENSORING
    if chapter == VOLUNTEERS:
        return Kind.VOLUNTEER
    untouched = all(isinstance(mechanism, Delay) and not mechanism.loss for mechanism in scenario.mechanisms)
    return Kind.OPEN if untouched and allowed(scenario.expect) == ("accessible",) else Kind.QUIET


def allowed(expect: Expect) -> tuple[str, ...]:
    """Return the outcomes that are right, the first one first."""
    return (expect.outcome,) if isinstance(expect.outcome, str) else expect.outcome


def look_alike(scenario: Scenario, chapters: Mapping[str, Sequence[Scenario]]) -> Scenario | None:
    """Return the scenario that looks like this one and must accuse nobody; None when there is none.

    It is the one that `alike` names, else the first quiet one about the same target: of its chapter, or of any.
    """
    quiet = [
        (chapter, other)
        for chapter, others in chapters.items()
        for other in others
        if kind_of(other, chapter) is not Kind.CENSORING
    ]
    if scenario.alike is not None:
        return next((other for _, other in quiet if other.name == scenario.alike), None)
    same = [
        (chapter, other)
        for chapter, other in quiet
        if (other.target, other.nettest) == (scenario.target, scenario.nettest)
    ]
    own = [other for chapter, other in same if scenario.name in {one.name for one in chapters[chapter]}]
    return next(iter([*own, *(other for _, other in same)]), None)
