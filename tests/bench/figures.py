"""A figure: one number a round, what it should be, and how it is shown.

Rounds differ, because other work of the machine gets in between; the median decides whether a target is
met, and the smallest and largest are shown beside it.
"""

from __future__ import annotations

import os
import platform
import ssl
import statistics
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

_HEADINGS = ("Figure", "Unit", "Min", "Median", "Max", "Target", "Met")


@dataclass(frozen=True, slots=True)
class Figure:
    """One quantity, measured once a round. `at_most` or `at_least` is its target, if it has one."""

    part: str
    name: str
    unit: str
    rounds: tuple[float, ...]
    at_most: float | None = None
    at_least: float | None = None
    note: str = ""

    @property
    def median(self) -> float:
        return statistics.median(self.rounds)

    @property
    def met(self) -> bool | None:
        """Whether the median keeps the target; None when there is no target."""
        if self.at_most is not None:
            return self.median <= self.at_most
        return None if self.at_least is None else self.median >= self.at_least

    def for_programs(self) -> dict[str, Any]:
        """Return the figure as JSON takes it."""
        return {
            "part": self.part,
            "name": self.name,
            "unit": self.unit,
            "rounds": list(self.rounds),
            "min": min(self.rounds),
            "median": self.median,
            "max": max(self.rounds),
            "at_most": self.at_most,
            "at_least": self.at_least,
            "met": self.met,
            "note": self.note,
        }

    def row(self) -> tuple[str, ...]:
        """Return the cells of the table's row."""
        target = "" if self.at_most is None else f"≤ {number(self.at_most)}"
        target = target if self.at_least is None else f"≥ {number(self.at_least)}"
        met = {None: "", True: "yes", False: "NO"}[self.met]
        spread = (min(self.rounds), self.median, max(self.rounds))
        return (self.name, self.unit, *map(number, spread), target, met)


def number(value: float) -> str:
    """Write a number with three digits that matter."""
    if value == 0 or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.2f}" if abs(value) >= 1 else f"{value:.3f}"


def ratios(above: Sequence[float], below: Sequence[float]) -> tuple[float, ...]:
    """Divide round by round."""
    return tuple(a / b for a, b in zip(above, below, strict=True))


def table(figures: Iterable[Figure]) -> str:
    """Lay figures out as a table (Markdown), with what is to be known about them below."""
    figures = list(figures)
    rows = [_HEADINGS, *(figure.row() for figure in figures)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEADINGS))]
    lines = [_line(row, widths) for row in rows]
    lines.insert(1, "|" + "|".join("-" * (width + 1) + ("-" if i < 2 else ":") for i, width in enumerate(widths)) + "|")
    notes = list(dict.fromkeys(figure.note for figure in figures if figure.note))
    return "\n".join([*lines, "", *(f"- {note}" for note in notes)]).rstrip() + "\n"


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    padded = [
        f"{cell:<{w}}" if i < 2 else f"{cell:>{w}}" for i, (cell, w) in enumerate(zip(cells, widths, strict=True))
    ]
    return "| " + " | ".join(padded) + " |"


def circumstances() -> dict[str, str]:
    """Say when and on what kind of machine this is."""
    kernel = ".".join(platform.release().split(".")[:2])
    openssl = " ".join(ssl.OPENSSL_VERSION.split()[:2])
    return {
        "date": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        "machine": f"{os.cpu_count()} × {_processor()}, {_memory()}, Linux {kernel}",
        "python": f"{platform.python_implementation()} {platform.python_version()}, {openssl}",
        "load": f"{os.getloadavg()[0]:.1f} at the start",
    }


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def _memory() -> str:
    return f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB"


def say(text: str) -> None:
    """Tell people how far it is."""
    print(text, file=sys.stderr, flush=True)
