"""Votes into events: how many a second in batch, how long a vote takes live, and what memory a long history takes.

The votes are those of honest series, in the order of their times, with one failure in fifty. The bare side keeps one
score a series with one alternative and a fixed null rate, in a dictionary: the least that is a detector at all.
"""

from __future__ import annotations

import gc
import math
import time
import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from random import Random
from typing import Any

from measurements.events.cells import Cell
from measurements.events.detector import Detector, in_order
from measurements.events.nouns import Settings
from measurements.events.rates import RATES
from measurements.model import Strength, Vote
from tests.bench.figures import Figure, ratios, say

PART = "detector"
SERIES, HOURS = 100, 500
LONG = 10  # times as long a history
MEMORY, FEW = 800, 10  # hours, which is more than the four weeks that a series looks back, and series
LIVE = 4_000
H = 11.0
START = 1_767_225_600.0
_NOTE = (
    "detector: one core. Batch is `wazi detect` without its file; live adds votes one by one to a detector that keeps "
    "the votes of 48 hours for late ones. Memory is what Python allocated for it."
)

Row = tuple[float, int, bool]


def run(rounds: int) -> Iterator[Figure]:
    """Measure the detector beside the bare one."""
    taken: dict[str, list[float]] = {name: [] for name in ("bare", "cells", "batch", "short", "long")}
    short, long = list(votes(HOURS)), list(votes(HOURS * LONG))
    for number in range(rounds):
        rows = [(vote.time, int(vote.asn), vote.blocked) for vote in short]
        taken["bare"].append(len(rows) / _seconds(bare, rows))
        taken["cells"].append(len(rows) / _seconds(cells, rows))
        taken["batch"].append(len(short) / _seconds(batch, short))
        taken["short"].append(live(short))
        taken["long"].append(live(long))
        say(f"detector: round {number + 1} of {rounds}")
    memory = [kept(hours) / 2**20 for hours in (MEMORY, MEMORY * LONG)]
    yield Figure(PART, "Votes in batch", "/s", tuple(taken["batch"]), at_least=200_000.0, note=_NOTE)
    yield Figure(PART, "Votes in batch, the series alone", "/s", tuple(taken["cells"]))
    yield Figure(PART, "Votes in batch, bare", "/s", tuple(taken["bare"]))
    yield Figure(PART, "Votes in batch, against bare", "ratio", ratios(taken["batch"], taken["bare"]))
    yield Figure(PART, f"A vote live, after {HOURS} hours", "µs", tuple(taken["short"]), at_most=1_000.0)
    yield Figure(PART, f"A vote live, after {HOURS * LONG:,} hours", "µs", tuple(taken["long"]), at_most=1_000.0)
    yield Figure(
        PART, "A vote live, long history against short", "ratio", ratios(taken["long"], taken["short"]), at_most=1.5
    )
    yield Figure(PART, f"Memory of {FEW} series, {MEMORY} hours", "MiB", (memory[0],))
    yield Figure(PART, f"Memory, {LONG} times the history", "ratio", (memory[1] / memory[0],), at_most=1.2)


def votes(hours: int, many: int = SERIES, seed: int = 1) -> Iterator[Vote]:
    """Yield a vote an hour and series, of which one in fifty says blocked; in order."""
    chance = Random(seed)
    for hour in range(hours):
        for series in range(many):
            blocked = chance.random() < 0.02
            yield Vote(
                time=START + hour * 3600.0 + series,
                probe="p1",
                country="TZ",
                asn=series,
                target="https://site.example/",
                layer="tls",
                blocked=blocked,
                strength=Strength.REPORTED,
                witness=f"{hour}/{series}" if blocked else "",
            )


def bare(rows: Sequence[Row]) -> int:
    """Keep one score a series."""
    scores: dict[int, float] = {}
    up, down, alarms = math.log(0.7 / 0.05), math.log(0.3 / 0.95), 0
    for _, series, blocked in rows:
        score = scores.get(series, 0.0) + (up if blocked else down)
        alarms += score >= H
        scores[series] = score if score > 0.0 else 0.0
    return alarms


def cells(rows: Sequence[Row]) -> int:
    """Keep one cell a series."""
    rates = RATES[Strength.REPORTED]
    kept_cells = [Cell(rates) for _ in range(SERIES)]
    changes = 0
    for moment, series, blocked in rows:
        changes += kept_cells[series].add(moment, blocked, "p1", "", H) is not None
    return changes


def batch(some: Sequence[Vote]) -> int:
    """Find the events in votes that are in order."""
    return sum(1 for _ in in_order(some, Settings()))


def live(some: Sequence[Vote]) -> float:
    """Return the mean microseconds of CPU of the last votes, each added by itself."""
    detector, coming = Detector(Settings()), iter(some)
    for vote in islice(coming, len(some) - LIVE):
        detector.add(vote)
    last = list(coming)
    began = time.process_time()
    for vote in last:
        detector.add(vote)
    return (time.process_time() - began) / len(last) * 1e6


def kept(hours: int) -> float:
    """Return the bytes that a detector holds after the votes of so many hours."""
    gc.collect()
    tracemalloc.start()
    detector = Detector(Settings())
    for vote in votes(hours, FEW):
        detector.add(vote)
    gc.collect()
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return float(held)


def _seconds(work: Callable[[Any], object], some: Sequence[object]) -> float:
    gc.collect()
    began = time.process_time()
    work(some)
    return time.process_time() - began
