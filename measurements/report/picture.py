"""The timeline as a picture: inline SVG that needs no colour, no script, and nothing from elsewhere.

Time runs from left to right in UTC. A tall dark bar is measurements against access, a short one for it; where both
fall into one column the dark part is as tall as its share. A cross saw nothing, hatching is time in which nobody
looked, and a dashed box holds the moment of a change. What colour says, shape says as well. The same rows are drawn
twice, for wide pages and for telephones; a style sheet chooses.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import NamedTuple

from measurements.events.nouns import Bracket
from measurements.report.language import Language
from measurements.report.rows import Row, Rows, Says

INK, DARK, LIGHT, PALE, GRID = "#1f2933", "#7a1f12", "#4b9cc9", "#fdf1d8", "#d5dbe1"
_DAY = 86_400.0
_STEPS = (900.0, 1800.0, 3600.0, 7200.0, 10_800.0, 21_600.0, 43_200.0, _DAY, 2 * _DAY, 7 * _DAY, 14 * _DAY, 28 * _DAY)
_LANE, _BAR, _SHORT = 22.0, 18.0, 6.0
_AXIS, _TOP = 40.0, 4.0
_SHARES = 6  # in how many steps a share is drawn


class _Sheet(NamedTuple):
    """How wide a picture is, where its lanes begin, and in how many columns time is cut."""

    key: str
    width: float
    left: float
    above: float  # room over a lane for its label
    columns: int
    font: float
    apart: float  # pixels between ticks, at least


_WIDE = _Sheet("wide", 960.0, 240.0, 0.0, 144, 13.0, 74.0)
_NARROW = _Sheet("narrow", 360.0, 2.0, 24.0, 60, 13.0, 66.0)


class _Scale(NamedTuple):
    """Which place on the sheet a time has."""

    since: float
    until: float
    left: float
    right: float

    def x(self, time: float) -> float:
        share = (time - self.since) / max(1.0, self.until - self.since)
        return self.left + min(1.0, max(0.0, share)) * (self.right - self.left)


def pictures(rows: Rows, title: str, description: str, key: str, language: Language) -> str:
    """Draw rows twice, as SVG; `key` makes the ids in it unique on a page. Every text is escaped."""
    return "".join(_draw(rows, title, description, f"{key}-{sheet.key}", sheet, language) for sheet in (_WIDE, _NARROW))


def _draw(rows: Rows, title: str, description: str, key: str, sheet: _Sheet, language: Language) -> str:
    scale = _Scale(rows.since, rows.until, sheet.left, sheet.width - 8.0)
    step = _LANE + sheet.above + 4.0
    height = _TOP + step * len(rows.rows) + _AXIS
    bottom = height - _AXIS
    parts = [
        _open("title", {"id": f"{key}-title"}) + escape(title) + "</title>",
        _open("desc", {"id": f"{key}-desc"}) + escape(description) + "</desc>",
        _hatching(key),
        *_axis(scale, sheet, bottom, language),
    ]
    for number, row in enumerate(rows.rows):
        top = _TOP + number * step
        parts += _labels(row, top, sheet)
        parts += _lane(row, top + sheet.above, scale, sheet, key)
    return (
        _open(
            "svg",
            {
                "xmlns": "http://www.w3.org/2000/svg",
                "viewBox": f"0 0 {sheet.width:g} {height:g}",
                "class": f"timeline {sheet.key}",
                "role": "img",
                "aria-labelledby": f"{key}-title {key}-desc",
                "direction": "ltr",
            },
        )
        + "".join(parts)
        + "</svg>"
    )


def _lane(row: Row, top: float, scale: _Scale, sheet: _Sheet, key: str) -> Iterator[str]:
    base = top + _LANE - 1.0
    yield _line(scale.left, base, scale.right, base, "grid", GRID)
    for bracket in (row.onset, row.end):
        if bracket is not None:
            yield _box(bracket, top, scale)
    for since, until in row.gaps:
        yield _rect(
            scale.x(since), top, max(2.0, scale.x(until) - scale.x(since)), _LANE - 1.0, "gap", f"url(#{key}-hatch)"
        )
    for since, until in row.down:
        yield _rect(scale.x(since), base - _BAR, max(2.0, scale.x(until) - scale.x(since)), _BAR, "against", DARK)
    yield from _marks(row, base, scale, sheet)


def _marks(row: Row, base: float, scale: _Scale, sheet: _Sheet) -> Iterator[str]:
    """Draw what each column of time brought, in one path a kind."""
    count = sheet.columns
    columns: list[list[int]] = [[0, 0, 0] for _ in range(count)]
    for time, said in row.marks:
        if scale.since <= time <= scale.until:
            index = min(count - 1, int((time - scale.since) / max(1.0, scale.until - scale.since) * count))
            columns[index][said] += 1
    width = (scale.right - scale.left) / count
    against, access, nothing = [], [], []
    for start, stop, (share, unseen) in _runs(columns):
        x, wide = scale.left + start * width, (stop - start) * width - 1.0
        if unseen:
            middle, high = x + wide / 2, base - 6.0
            nothing.append(f"M{middle - 3:.1f} {high - 3:.1f}l6 6m0-6l-6 6")
            continue
        tall = _SHORT + (_BAR - _SHORT) * share if share else 0.0
        if share < 1.0:
            access.append(f"M{x:.1f} {base:.1f}v-{_SHORT:g}h{wide:.1f}v{_SHORT:g}z")
        if share:
            low = base if share == 1.0 else base - _SHORT
            against.append(f"M{x:.1f} {low:.1f}V{base - max(tall, _SHORT + 3.0):.1f}h{wide:.1f}V{low:.1f}z")
    if access:
        yield _path(access, "access", fill=LIGHT)
    if against:
        yield _path(against, "against", fill=DARK)
    if nothing:
        yield _path(nothing, "nothing", fill="none", stroke=INK)


def _runs(columns: Sequence[Sequence[int]]) -> Iterator[tuple[int, int, tuple[float, bool]]]:
    """Yield each column that holds a mark, with its share of marks against access, or that it only saw nothing."""
    for index, counted in enumerate(columns):
        told = counted[Says.AGAINST] + counted[Says.ACCESS]
        if told:
            yield index, index + 1, (math.ceil(_SHARES * counted[Says.AGAINST] / told) / _SHARES, False)
        elif counted[Says.NOTHING]:
            yield index, index + 1, (0.0, True)


def _labels(row: Row, top: float, sheet: _Sheet) -> Iterator[str]:
    room = (sheet.left or sheet.width) / (0.58 * sheet.font) if not sheet.above else sheet.width / (0.58 * sheet.font)
    where = f" {row.where}" if row.where else ""
    name = row.name if len(row.name) + len(where) <= room else row.name[: max(6, int(room - len(where)) - 1)] + "…"
    y = top + (19.0 if sheet.above else 16.0)
    style = {"class": "label", "font-size": f"{sheet.font:g}", "fill": INK}
    yield (
        _open("text", {"x": "2", "y": f"{y:g}", **style})
        + escape(name)
        + _open("tspan", {"class": "where", "dx": "6", "fill": "#52606d"})
        + escape(row.where)
        + "</tspan></text>"
    )


def _axis(scale: _Scale, sheet: _Sheet, bottom: float, language: Language) -> Iterator[str]:
    """Draw ticks at round moments, days below the first clock of each."""
    per_pixel = (scale.until - scale.since) / max(1.0, scale.right - scale.left)
    least = sheet.apart * per_pixel
    step = next((one for one in _STEPS if one >= least), math.ceil(least / _DAY) * _DAY)
    day = ""
    for number in range(math.ceil(scale.since / step), math.floor(scale.until / step) + 1):
        time = number * step
        x = scale.x(time)
        yield _line(x, _TOP, x, bottom + 4.0, "grid", GRID)
        today = language.short_day(time)
        label = today if step >= _DAY else language.clock(time)
        anchor = "middle" if 16.0 < x < sheet.width - 16.0 else "start" if x <= 16.0 else "end"
        yield _text(label, x, bottom + 17.0, sheet, anchor)
        if step < _DAY and today != day:
            yield _text(today, x, bottom + 33.0, sheet, anchor, bold=True)
        day = today
    yield _text("UTC", sheet.width - 2.0, bottom + 33.0, sheet, "end")


def _box(bracket: Bracket, top: float, scale: _Scale) -> str:
    left, right = scale.x(bracket[0]), scale.x(bracket[1])
    place = {
        "x": f"{left:.1f}",
        "y": f"{top:.1f}",
        "width": f"{max(3.0, right - left):.1f}",
        "height": f"{_LANE - 1:g}",
    }
    style = {"class": "change", "fill": PALE, "stroke": "#8a6d1f", "stroke-dasharray": "3 2"}
    return _open("rect", {**place, **style}, end="/")


def _hatching(key: str) -> str:
    lines = _open("path", {"d": "M0 6L6 0M-1 1L1 -1M5 7L7 5", "stroke": "#7b8794", "fill": "none"}, end="/")
    size = {"width": "6", "height": "6", "patternUnits": "userSpaceOnUse"}
    return f"<defs>{_open('pattern', {'id': f'{key}-hatch', **size})}{lines}</pattern></defs>"


def _text(text: str, x: float, y: float, sheet: _Sheet, anchor: str, *, bold: bool = False) -> str:
    style = {"class": "tick", "font-size": f"{sheet.font - 1:g}", "text-anchor": anchor}
    if bold:
        style["font-weight"] = "bold"
    return _open("text", {"x": f"{x:.1f}", "y": f"{y:.1f}", "fill": INK, **style}) + escape(text) + "</text>"


def _rect(x: float, y: float, width: float, height: float, kind: str, fill: str) -> str:
    sizes = {"x": f"{x:.1f}", "y": f"{y:.1f}", "width": f"{width:.1f}", "height": f"{height:g}"}
    return _open("rect", {**sizes, "class": kind, "fill": fill}, end="/")


def _line(x1: float, y1: float, x2: float, y2: float, kind: str, stroke: str) -> str:
    ends = {"x1": f"{x1:.1f}", "y1": f"{y1:.1f}", "x2": f"{x2:.1f}", "y2": f"{y2:.1f}"}
    return _open("line", {**ends, "class": kind, "stroke": stroke}, end="/")


def _path(pieces: Sequence[str], kind: str, **style: str) -> str:
    return _open("path", {"d": "".join(pieces), "class": kind, **style}, end="/")


def _open(name: str, attributes: Mapping[str, str], end: str = "") -> str:
    """Write a tag; every attribute is escaped."""
    written = "".join(f' {key}="{escape(value)}"' for key, value in attributes.items())
    return f"<{name}{written}{end}>"
