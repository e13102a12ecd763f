"""The detector's own figures: false alarms under honest noise, delays, brackets, and votes that are lost.

`scripts/accuracy --detector` prints them. Nothing is measured here: votes are simulated (`noise`),
so the figures say what the statistics do when the world is as they assume and, of some kinds of noise, when it is not.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass

from measurements.bounds import count_bounds
from measurements.events.rates import RATES, threshold
from measurements.model import Strength
from tests.lab.accuracy.report import section, table, target_table
from tests.lab.accuracy.targets import Target
from tests.measurements.events.noise import (
    HOUR,
    Alarms,
    Found,
    Noise,
    alarms,
    blocks,
    bursts,
    exact_alarms,
    independent,
    pursued,
    sticky,
)  # fmt: skip

VOTES, RUNS = 30_000_000, 3_000
SHARES = 10  # each kind of noise is worked off in so many parts, and one if nothing is promised of it
WEEKLY = 280_000.0  # 40,000 votes a day
SHIPPED = 100 * 24 * 7.0  # a list of a hundred, hourly, from one line
ASKED_AGAIN = tuple(60.0 * minutes for minutes in (15, 30, 60, 90, 120, 150, 181))
REPORTED, PROVEN = RATES[Strength.REPORTED], RATES[Strength.PROVEN]

# Mean delay in votes by the share of votes that show the block, for a false alarm in so many votes: the table of a
# comparison of six statistics (p0 = .05, p1 = .7, thresholds by a Markov chain), which this one is held against.
STRENGTHS = (1.0, 0.9, 0.7, 0.5, 0.3)
DELAYS = {
    1e3: (3.0, 3.3, 4.4, 7.1, 17.0),
    1e4: (4.0, 4.5, 6.0, 10.0, 32.0),
    1e5: (4.0, 4.8, 7.1, 13.0, 48.0),
    1e6: (5.0, 6.0, 8.9, 16.0, 68.0),
}


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of honest noise. `assumed` is whether it is as the promise assumes."""

    name: str
    noise: Callable[[], Noise]
    rate: float = 0.05
    strength: Strength = Strength.REPORTED
    every: float = HOUR
    asked_again: tuple[float, ...] = ()
    lines: int = 1
    assumed: bool = True


def _pursued(name: str, noise: Callable[[], Noise], *, assumed: bool = True) -> Kind:
    return Kind(name, noise, 0.002, Strength.PROVEN, asked_again=ASKED_AGAIN, assumed=assumed)


KINDS = {
    kind.name: kind
    for kind in (
        Kind("independent, 5 %, hourly", lambda: independent),
        Kind("independent, 5 %, every 8 h", lambda: independent, every=8 * HOUR),
        Kind("one in three fails again, hourly", lambda: sticky(0.3)),
        Kind("faults of 45 minutes, hourly", lambda: bursts(45)),
        Kind("faults of 45 minutes, three lines", lambda: bursts(45), every=HOUR / 3, lines=3),
        Kind("faults of 90 minutes, 2 %, hourly", lambda: bursts(90), rate=0.02),
        _pursued("proven, 0.2 %, 40 % fail again", lambda: sticky(0.4)),
        Kind("faults of 90 minutes, 5 %, hourly", lambda: bursts(90), assumed=False),
        _pursued("proven, 0.2 %, faults of 45 minutes", lambda: bursts(45), assumed=False),
        Kind("one in three fails again, every 8 h", lambda: sticky(0.3), every=8 * HOUR, assumed=False),
        Kind("young series, 20 %, every 8 h", lambda: independent, 0.2, every=8 * HOUR, assumed=False),
    )
}


def noisy(name: str, votes: int, seed: int) -> Alarms:
    """Let one kind of noise vote."""
    kind = KINDS[name]
    return alarms(
        kind.noise(), kind.rate, RATES[kind.strength], threshold(WEEKLY, series=1), votes, seed, every=kind.every,
        asked_again=kind.asked_again, lines=kind.lines,
    )  # fmt: skip


def figures(votes: int, runs: int, processes: int, seed: int = 0) -> tuple[str, list[Target]]:
    """Return the report, in Markdown, and what was promised."""
    with ProcessPoolExecutor(processes) as pool:
        part = max(1, votes // SHARES)
        shares = {name: SHARES if kind.assumed else 1 for name, kind in KINDS.items()}
        jobs = {name: [pool.submit(noisy, name, part, seed + i) for i in range(shares[name])] for name in KINDS}
        counted = {name: _added([job.result() for job in parts]) for name, parts in jobs.items()}
    silence, promised = _silence(counted)
    delays, equal = _delays(runs, seed)
    brackets, covered = _brackets(runs, seed)
    lost, thinned = _lost(runs, seed)
    proven, soon = _proven(runs, seed)
    targets = [*promised, *equal, *covered, *thinned, *soon]
    parts = [
        section("Targets", target_table(targets)),
        section("False alarms", silence),
        section("Delay in votes, more than six hours apart", delays),
        section("Brackets", brackets),
        section("Votes that are lost", lost),
        section("Proven blocks", proven),
    ]
    return "\n".join(parts), targets


def _added(parts: Iterable[Alarms]) -> Alarms:
    parts = list(parts)
    return Alarms(*(sum(getattr(part, name) for part in parts) for name in ("votes", "onsets", "lasting")))


def _silence(counted: dict[str, Alarms]) -> tuple[str, list[Target]]:
    rows, targets = [], []
    for name, found in counted.items():
        promise = found.votes / WEEKLY
        least, most = count_bounds(found.onsets)
        rows.append(
            (name, f"{found.votes:,}", f"{promise:.1f}", found.onsets, f"{least:.1f} to {most:.1f}", found.lasting)
        )
        if KINDS[name].assumed:
            reached = True if most <= promise else False if least > promise else None
            targets.append(
                Target(f"False alarms within the promise: {name}", f"{found.onsets} of {promise:.1f}", reached)
            )
    headings = ("Noise", "Votes", "Promised at most", "False onsets", "95 % bounds", "… after 3 h")
    return table(headings, rows), targets


def _delays(runs: int, seed: int) -> tuple[str, list[Target]]:
    rows, worst = [], ("", 0.0)
    for length, row in DELAYS.items():
        for name, height in (("equal", equal_height(length)), ("promised", threshold(length, series=1))):
            found = [_mean(blocks(p, REPORTED, height, runs, seed, noise=0.0)) for p in STRENGTHS]
            rows.append(
                (
                    f"{length:,.0f}, {name}",
                    f"{height:.2f}",
                    *(f"{one:.1f} ({was:g})" for one, was in zip(found, row, strict=True)),
                )
            )
            for p, one, was in zip(STRENGTHS, found, row, strict=True):
                if name == "equal" and p >= 0.5 and one / was > 1.0 + worst[1]:
                    worst = (
                        f"{one:.2f} votes instead of {was:g}, at {p:.0%} and one in {length:,.0f}",
                        one / was - 1.0,
                    )
    headings = ("A false alarm in so many votes", "Threshold", *(f"{p:.0%}" for p in STRENGTHS))
    target = Target("Delays within 10 % of the table, for blocks of 50 % and more", worst[0], worst[1] <= 0.1)
    return table(headings, rows), [target]


def equal_height(length: float) -> float:
    """Return the threshold that gives a false alarm in so many votes, by the exact chain, without followers."""
    low, high = 1.0, math.log(2.0 * length)
    for _ in range(14):
        middle = (low + high) / 2
        low, high = (middle, high) if exact_alarms(REPORTED.floor, middle, 0.02) > 1.0 / length else (low, middle)
    return high


def _mean(found: Iterable[Found]) -> float:
    return statistics.fmean(one.votes for one in found if one.votes is not None)


def _brackets(runs: int, seed: int) -> tuple[str, list[Target]]:
    rows, targets = [], []
    for every in (8 * HOUR, HOUR):
        for p in (1.0, 0.9, 0.7, 0.5):
            found = [one for one in blocks(p, REPORTED, threshold(SHIPPED), runs, seed, every=every) if one.votes]
            share = sum(one.covered for one in found) / max(1, len(found))
            rows.append(
                (
                    f"{p:.0%}, every {every / HOUR:.0f} h",
                    f"{len(found) / runs:.1%}",
                    f"{_mean(found):.1f}",
                    f"{share:.1%}",
                )
            )
            if p in (1.0, 0.5):
                least = 0.95 if p == 1.0 else 0.85
                targets.append(
                    Target(
                        f"Brackets that hold the onset, {rows[-1][0]}: at least {least:.0%}",
                        rows[-1][3],
                        share >= least,
                    )
                )
    return table(
        ("Votes that show it", "Found in 2,000 votes", "Mean delay in votes", "Bracket holds the onset"), rows
    ), targets


def _lost(runs: int, seed: int) -> tuple[str, list[Target]]:
    rows, targets = [], []
    for p in (1.0, 0.7):
        hours: list[float] = []
        for keep in (1.0, 0.5, 0.25, 0.1):
            found = [
                one.seconds / HOUR
                for one in blocks(p, REPORTED, threshold(SHIPPED), runs, seed, every=HOUR, keep=keep)
                if one.seconds
            ]
            hours.append(statistics.fmean(found))
            rows.append(
                (f"{p:.0%}, {keep:.0%} kept", f"{len(found) / runs:.1%}", f"{hours[-1]:.0f}", f"{hours[-1] * keep:.1f}")
            )
        worst = max(later / hours[0] * keep for later, keep in zip(hours, (1.0, 0.5, 0.25, 0.1), strict=True))
        targets.append(
            Target(f"Fewer votes cost their share of time and no more, {p:.0%}", f"{worst:.2f} times it", worst <= 1.1)
        )
    return table(("Votes that show it", "Found", "Mean delay in hours", "… in votes"), rows), targets


def _proven(runs: int, seed: int) -> tuple[str, list[Target]]:
    one = [pursued(PROVEN, threshold(SHIPPED), seed + i, lines=1) for i in range(runs)]
    two = [pursued(PROVEN, threshold(2 * SHIPPED), seed + i, lines=2) for i in range(runs)]
    rows, targets = [], []
    for name, found, most in (("one line", one, 180.0), ("two lines, from the second's first verdict", two, 20.0)):
        minutes = sorted(one / 60 for one in found)
        rows.append((name, f"{statistics.median(minutes):.0f}", f"{minutes[-1]:.0f}"))
        targets.append(
            Target(
                f"A proven block, {name}: the threshold within {most:.0f} minutes",
                f"{minutes[-1]:.0f} at worst",
                minutes[-1] <= most,
            )
        )
    return table(("Seen by", "Median, minutes", "Worst"), rows), targets
