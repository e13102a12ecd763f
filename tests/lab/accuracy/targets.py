"""What Wazi promises to reach, and whether it does.

A target is a sentence, what was found, and whether that reaches it; None when no run says anything about it.
Repetitions of one scenario are not independent of each other, so counts are given beside rates.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tests.lab.accuracy.tally import Case, Rate, Spread, overrun, rate, spread
from tests.lab.kinds import Kind

REPETITIONS = 20  # what the promise of silence is about


@dataclass(frozen=True, slots=True)
class Target:
    """One promise. `reached` is None when nothing that was run is about it."""

    promise: str
    found: str
    reached: bool | None


def targets(of: Sequence[Case]) -> list[Target]:
    """Hold every promise against the cases; what chance may hide is told of among the rates."""
    paced, of = [case for case in of if case.paced], [case for case in of if not case.paced]
    censoring = [case for case in of if case.kind is Kind.CENSORING and case.certain]
    silent = [case for case in of if case.kind in (Kind.QUIET, Kind.OPEN)]
    volunteers = [case for case in of if case.kind is Kind.VOLUNTEER]
    controlled = [case for case in censoring if case.control]
    return [
        at_least("Blocking found, with a control", 0.98, rate(controlled, lambda case: case.accused)),
        at_least("… with the exact mechanism, where it can be known", 0.95, agreement(controlled, "mechanism")),
        at_least("… with the exact trigger, where it can be known", 0.90, agreement(controlled, "trigger")),
        at_least(
            "Blocking found, without a control",
            0.85,
            rate((case for case in censoring if not case.control), lambda case: case.accused),
        ),
        none("Quiet scenarios called blocked or throttled", silent, lambda case: case.accused),
        none("Quiet scenarios called unreachable where the book does not say so", silent, falsely_unreachable),
        none("Volunteers' own faults that became an accusation", volunteers, lambda case: case.accused),
        none("Volunteers' own faults judged otherwise than the book says", volunteers, misjudged),
        *costs(of, controlled),
        *pace_targets(paced),
    ]


def pace_targets(of: Sequence[Case]) -> list[Target]:
    """Hold the promises about throttling: what is found of each rate, how soon, and that nobody else is accused."""
    wanted = [case for case in of if case.kind is Kind.CENSORING and case.control]
    crawling = [case for case in wanted if case.scenario.name == "pace-128"]
    honest = [case for case in of if case.kind is not Kind.CENSORING or not case.control]
    return [
        at_least("Throttling found, over all lines", 0.90, rate(wanted, lambda case: case.accused)),
        at_least("… at 128 kbit/s within 5 pairs and 1.5 MB", 0.99, rate(crawling, soon)),
        at_least("… with the exact mechanism", 0.95, agreement(wanted, "mechanism")),
        none("Lines without a throttle, or without a control, called throttled", honest, lambda case: case.accused),
    ]


def soon(case: Case) -> bool:
    return case.accused and case.result.pace is not None and case.result.pace.soon


def agreement(of: Sequence[Case], field: str) -> Rate:
    """Count the cases whose field is exactly right, among those where the book says what it is."""
    return rate(of, lambda case: case.says(field))


def falsely_unreachable(case: Case) -> bool:
    return case.got == "unreachable" and case.expected != "unreachable"


def misjudged(case: Case) -> bool:
    """Whether outcome or reason is wrong, or what cannot be judged is said without a sentence."""
    return bool(case.wrong) or (case.got == "invalid" and not case.result.said.get("summary"))


def costs(of: Sequence[Case], blocked: Sequence[Case]) -> list[Target]:
    far = [case for case in of if case.kind is Kind.OPEN and case.far]
    return [
        at_most("Time of a verdict, worst", 45, spread(of, seconds), "s", lambda s: s.worst),
        at_most("Bytes of a verdict, worst", 800, spread(of, kilobytes), "kB", lambda s: s.worst),
        at_most("Time of a blocked verdict, median", 15, spread(blocked, seconds), "s", lambda s: s.median),
        at_most("Bytes of a blocked verdict, median", 150, spread(blocked, kilobytes), "kB", lambda s: s.median),
        at_most("Time of an open site at 100 ms, worst", 3, spread(far, seconds), "s", lambda s: s.worst),
        at_most("A measurement outlives its deadline by", 1, spread(of, overrun), "s", lambda s: s.worst),
    ]


def seconds(case: Case) -> float:
    return case.result.runtime


def kilobytes(case: Case) -> float:
    return case.result.size / 1000


def at_least(promise: str, wanted: float, found: Rate) -> Target:
    text = f"{percent(found)} ({found.hits} of {found.count})" if found.count else "no run"
    return Target(f"{promise}: at least {wanted:.0%}", text, found.value >= wanted if found.count else None)


def none(promise: str, of: Sequence[Case], bad: Callable[[Case], bool]) -> Target:
    """Promise that something never happens, and say in how many repetitions of each it did not."""
    found = rate(of, bad)
    if not found.count:
        return Target(f"{promise}: none", "no run", None)
    seeds = {case.result.run.seed for case in of}
    text = f"{found.hits} of {found.count} runs, {len(seeds)} × each, at most {found.bounds[1]:.2%}"
    return Target(f"{promise}: none in {REPETITIONS} repetitions", text, not found.hits)


def at_most(promise: str, wanted: float, found: Spread | None, unit: str, which: Callable[[Spread], float]) -> Target:
    if found is None:
        return Target(f"{promise}: at most {wanted:g} {unit}", "no run", None)
    value = which(found)
    where = f" ({found.worst_of.scenario.name})" if value == found.worst else ""
    return Target(f"{promise}: at most {wanted:g} {unit}", f"{value:.3g} {unit}{where}", value <= wanted)


def percent(found: Rate) -> str:
    """Write a rate with its bounds."""
    low, high = found.bounds
    return f"{found.value:.1%} [{low:.1%}, {high:.1%}]" if found.count else "no run"
