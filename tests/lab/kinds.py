"""What kind of scenario one is, read off its chapter and the verdict it deserves with a control.

The figures of an accuracy report, and the look-alikes of the book, mean different things for each kind.
"""

from __future__ import annotations

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
