"""Two plots of the detector for docs/events.md: `scripts/accuracy --detector --plots docs/plots`.

The blocks are simulated, and the same seed gives the same file, to the byte.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from pathlib import Path

import pygal
from pygal.style import Style

from measurements.events.rates import RATES, threshold
from measurements.model import Strength
from tests.lab.accuracy.detector import SHIPPED, STRENGTHS
from tests.measurements.events.noise import blocks

FARTHEST = 60  # votes
VOLUMES = tuple(10 ** (step / 4) for step in range(12, 25))
COLOURS = ("#0072b2", "#009e73", "#e69f00", "#d55e00", "#cc79a7")  # told apart by most eyes (Okabe and Ito)
_REPORTED = RATES[Strength.REPORTED]


def draw(folder: Path, runs: int, seed: int) -> list[Path]:
    """Write power.svg and delay.svg into a folder, and return where."""
    folder.mkdir(parents=True, exist_ok=True)
    return [_write(power(runs, seed), folder / "power.svg"), _write(delay(runs, seed), folder / "delay.svg")]


def power(runs: int, seed: int) -> pygal.XY:
    """Return the share of blocks found within so many votes, for one false alarm a week and a list of a hundred."""
    chart = _chart("Share of blocks found", "Votes since the block began, more than six hours apart", "Found (%)")
    for strength in STRENGTHS:
        taken = _taken(strength, threshold(SHIPPED), runs, seed)
        points = [(n, 100.0 * sum(one <= n for one in taken) / runs) for n in range(FARTHEST + 1)]
        chart.add(_name(strength), points)
    chart.range = (0, 100)
    chart.x_labels = list(range(0, FARTHEST + 1, 10))
    return chart


def delay(runs: int, seed: int) -> pygal.XY:
    """Return the mean number of votes until a block is found, against how seldom a false alarm may be."""
    chart = _chart("Mean delay", "Measurements for each false alarm that is allowed", "Votes until it is found")
    for strength in STRENGTHS:
        points = []
        for volume in VOLUMES:
            taken = _taken(strength, threshold(volume), runs, seed)
            points.append((math.log10(volume), statistics.fmean(taken)))
        chart.add(_name(strength), points)
    chart.x_labels = [3, 4, 5, 6]
    chart.x_value_formatter = lambda value: f"{10**value:,.0f}"
    return chart


def _taken(strength: float, height: float, runs: int, seed: int) -> Sequence[int]:
    found = blocks(strength, _REPORTED, height, runs, seed, noise=0.0)
    return [one.votes for one in found if one.votes is not None]


def _name(strength: float) -> str:
    return "in every vote" if strength == 1.0 else f"in {strength:.0%} of votes"


def _chart(title: str, x_title: str, y_title: str) -> pygal.XY:
    style = Style(
        background="white", plot_background="white", colors=COLOURS, font_family="sans-serif", title_font_size=20,
        label_font_size=14, major_label_font_size=14, legend_font_size=15, stroke_width=3,
    )  # fmt: skip
    chart = pygal.XY(
        style=style, title=title, x_title=x_title, y_title=y_title, show_dots=False, js=[], no_prefix=True,
        legend_at_bottom=True, legend_at_bottom_columns=5, truncate_legend=-1, width=900, height=520, pretty_print=True,
        disable_xml_declaration=True, include_x_axis=True,
    )  # fmt: skip
    chart.uuid = "plot"
    return chart


def _write(chart: pygal.XY, path: Path) -> Path:
    path.write_text(chart.render(is_unicode=True) + "\n")
    return path
