"""Simulated series of votes: honest noise of several kinds, and blocks of several strengths.

Everything follows from a seed. Noise is a function that tells, vote by vote, whether an honest vote fails.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from random import Random

from measurements.events.cells import Cell
from measurements.events.changes import Change, Direction
from measurements.events.rates import Rates, weigh

HOUR = 3600.0
LASTING = 3 * HOUR  # so long a line alone must see a block
LENGTH = 2_000  # votes of one series: twelve weeks of hourly ones

Noise = Callable[[Random, float], Callable[[float], bool]]  # (chance, rate) -> (time -> does it fail?)


def independent(chance: Random, rate: float) -> Callable[[float], bool]:
    """Fail by chance, whatever happened before."""
    draw = chance.random
    return lambda time: draw() < rate


def sticky(again: float) -> Noise:
    """Fail at the same rate over all, and once more with the chance `again` when the vote before failed."""

    def noise(chance: Random, rate: float) -> Callable[[float], bool]:
        fresh = rate * (1 - again) / (1 - rate)
        failed, draw = False, chance.random

        def fails(time: float) -> bool:
            nonlocal failed
            failed = draw() < (again if failed else fresh)
            return failed

        return fails

    return noise


def bursts(minutes: float) -> Noise:
    """Fail at the same rate over all, in faults of this mean length during which every vote fails."""

    def noise(chance: Random, rate: float) -> Callable[[float], bool]:
        on = 60.0 * minutes
        off = on * (1 - rate) / rate
        until, failing = 0.0, True

        def fails(time: float) -> bool:
            nonlocal until, failing
            while until <= time:
                failing = not failing
                until += chance.expovariate(1 / (on if failing else off))
            return failing

        return fails

    return noise


@dataclass(frozen=True, slots=True)
class Alarms:
    """What honest noise did: votes given, onsets that were claimed, and those that still stood three hours later."""

    votes: int
    onsets: int
    lasting: int


def alarms(
    noise: Noise, rate: float, rates: Rates, threshold: float, votes: int, seed: int, *, every: float = HOUR,
    asked_again: tuple[float, ...] = (), lines: int = 1,
) -> Alarms:  # fmt: skip
    """Count the false onsets among so many votes, in series of 2,000 that each begin anew.

    `lines` probes take turns, each with noise of its own. After a failure in a series that is well, its probe asks
    again after these many seconds, as the agent does, and those votes count like others.
    """
    chance, given, onsets, lasting = Random(seed), 0, 0, 0
    while given < votes:
        cell, time, until = Cell(rates), 0.0, given + min(LENGTH, votes - given)
        fails = [noise(chance, rate) for _ in range(lines)]
        plan: list[tuple[float, int]] = []
        waiting, turn = math.inf, 0
        while given < until:
            given += 1
            if plan and plan[0][0] <= time + every:
                time, line = plan.pop(0)
            else:
                time, line = time + every, turn % lines
                turn += 1
            failed = fails[line](time)
            change = cell.add(time, failed, f"p{line}", "", threshold)
            if change is not None:
                onset = change.direction is Direction.ONSET
                onsets += onset
                waiting = change.since + LASTING if onset else math.inf
            if failed:
                if time >= waiting and cell.is_blocked:
                    lasting, waiting = lasting + 1, math.inf
                if asked_again and not plan:
                    plan = [(time + later, line) for later in asked_again]
    return Alarms(given, onsets, lasting)


@dataclass(frozen=True, slots=True)
class Found:
    """One simulated block: votes and seconds from its onset to the claim (None: none in time), and the bracket."""

    votes: int | None
    seconds: float | None
    covered: bool


def blocks(
    strength: float, rates: Rates, threshold: float, runs: int, seed: int, *, every: float = 8 * HOUR,
    noise: float = 0.05, keep: float = 1.0, most: int = 2_000,
) -> Iterator[Found]:  # fmt: skip
    """Let a block begin at a moment between two votes, after sixty quiet ones, and see when it is found.

    `strength` is the share of votes that it shows in, `noise` of those that fail before, `keep` of those that are not
    lost on the way. `most` is how many votes are waited for.
    """
    chance = Random(seed)
    for _ in range(runs):
        cell, time = Cell(rates), 0.0
        for _ in range(60):
            time += every
            if chance.random() < keep:
                cell.add(time, chance.random() < noise, "p", "", math.inf)
        onset = time + chance.random() * every
        change, given = None, 0
        while change is None and given < most:
            time += every
            given += 1
            if chance.random() < keep:
                change = cell.add(time, chance.random() < strength, "p", "", threshold)
        yield found(change, given, onset)


def found(change: Change | None, votes: int, onset: float) -> Found:
    """Say how soon, and whether the bracket holds the truth."""
    if change is None:
        return Found(None, None, False)
    return Found(votes, change.time - onset, change.bracket[0] <= onset <= change.bracket[1])


def exact_alarms(p0: float, threshold: float, grid: float = 0.01) -> float:
    """Return how often a vote begins an excursion that ends in a false onset, when all are weighed with p0.

    By the chain of each score on a grid, both added: u(w) = p0 u(w + against) + (1 - p0) u(w + for), with u = 1 above
    the threshold and 0 at zero.
    """
    weights = weigh(p0, p0)
    total = 0.0
    for up, down in (weights[:2], weights[2:4]):
        top = math.ceil(threshold / grid)
        rise, fall = round(up / grid), round(-down / grid)
        u = [0.0] * (top + 1)
        for _ in range(200):
            moved = 0.0
            for w in range(top, 0, -1):
                above = 1.0 if w + rise >= top else u[w + rise]
                new = p0 * above + (1 - p0) * (u[w - fall] if w > fall else 0.0)
                moved = max(moved, abs(new - u[w]))
                u[w] = new
            if moved < 1e-15:
                break
        total += p0 * (1.0 if rise >= top else u[rise])
    return total


def pursued(rates: Rates, threshold: float, seed: int, *, lines: int) -> float:
    """Let a proven block begin that every vote shows; return the seconds from the last line's first vote to the claim.

    Every line asks hourly, and again after each first verdict as the agent does, about a fifth early or late. One vote
    a line and quarter of an hour counts.
    """
    chance, cell = Random(seed), Cell(rates)
    onset = 100 * HOUR
    votes: list[tuple[float, int]] = []
    last = onset
    for line in range(lines):
        first = onset + chance.random() * HOUR
        last = max(last, first)
        votes += [(first + i * HOUR, line) for i in range(-90, 6)]
        gaps = (1, 4, 10, 15, 30, 30, 30, 30, 31)
        time = first
        for gap in gaps:
            time += 60.0 * gap * (1.0 + 0.2 * (2 * chance.random() - 1))
            votes.append((time, line))
    bins: set[tuple[int, int]] = set()
    for time, line in sorted(votes):
        if (line, int(time // 900)) in bins:
            continue
        bins.add((line, int(time // 900)))
        if cell.add(time, time >= onset, f"p{line}", "", threshold):
            return time - last
    raise AssertionError("it was not found at all")
