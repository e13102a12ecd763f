"""An event drawn in lines of text: one row a part, time from left to right.

A column is a stretch of time: `#` where all votes were against access, `.` where all were for it, `+` where both
came, and nothing where nobody voted, because a gap is no answer. Without votes a row says what the detector found: `?`
where the change lies, `#` between onset and end. All of it but the names is ASCII, so that any terminal shows it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from measurements.events.nouns import Event, Part, Standing
from measurements.model import Vote
from measurements.printable import clean

_MOST_ROWS = 12
_LABEL = 34  # columns, at most
_LEAST = 20  # columns of time, at least
_AROUND = 0.15  # of the event's length is shown before and after it
_HOUR = 3600.0
_LATEST = 253_402_300_799.0  # the last second that has a date


def timeline(event: Event, votes: Iterable[Vote] = (), width: int = 80) -> str:
    """Draw an event in lines of at most `width` columns (54 at least); `votes` are those of its parts, in any order."""
    parts = event.parts[:_MOST_ROWS]
    labels = [_label(part) for part in parts]
    margin = min(_LABEL, max([len(label) for label in labels], default=0)) + 2
    room = max(_LEAST, width - margin)
    cast = _by_part(votes)
    start, end = _span(event, [vote.time for part in parts for vote in cast.get(_key(part), ())])
    scale = _Scale(start, (end - start) / room, room)
    rows = [
        f"{_cut(label, margin - 2):<{margin}}{_row(part, cast.get(_key(part)), scale, event)}".rstrip()
        for part, label in zip(parts, labels, strict=True)
    ]
    if len(event.parts) > len(parts):
        rows.append(f"and {len(event.parts) - len(parts)} more")
    return "\n".join([*rows, " " * margin + _axis(scale)])


class _Scale:
    """Which column a time is in."""

    def __init__(self, start: float, step: float, columns: int) -> None:
        self.start, self.step, self.columns = start, step, columns

    def column(self, time: float) -> int:
        """Return the column of a time, the nearest one for what is outside."""
        return min(self.columns - 1, max(0, int((time - self.start) / self.step)))

    def shows(self, time: float) -> bool:
        return self.start <= time <= self.start + self.step * self.columns


def _span(event: Event, voted: Sequence[float]) -> tuple[float, float]:
    """Return from when until when to draw: what is not over, until the last of the times of its votes."""
    first = min([part.onset[0] for part in event.parts], default=event.onset[0])
    last = max([part.end[1] for part in event.parts if part.end], default=event.onset[1])
    last = max([last, event.updated, event.onset[1], *(voted if event.is_open else ())])
    around = max(_HOUR, (last - first) * _AROUND)
    return max(0.0, first - around), min(last + around, _LATEST)


def _row(part: Part, votes: Sequence[Vote] | None, scale: _Scale, event: Event) -> str:
    if not votes:
        return _found(part, scale, event)
    seen: dict[int, set[bool]] = {}
    for vote in votes:
        if scale.shows(vote.time):
            seen.setdefault(scale.column(vote.time), set()).add(vote.blocked)
    return "".join(_mark(seen.get(column, set())) for column in range(scale.columns))


def _mark(answers: set[bool]) -> str:
    if len(answers) == 2:
        return "+"
    return " " if not answers else "#" if True in answers else "."


def _found(part: Part, scale: _Scale, event: Event) -> str:
    """Draw what the detector found of a part."""
    row = ["."] * scale.columns
    until = scale.columns - 1 if part.end is None else scale.column(part.end[1])
    if part.standing is Standing.CLEARED:
        until = scale.column(part.onset[1])
    for column in range(scale.column(part.onset[1]), until + 1):
        row[column] = "#"
    for bracket in (part.onset, part.end):
        if bracket is not None:
            for column in range(scale.column(bracket[0]), scale.column(bracket[1])):
                row[column] = "?"
    return "".join(row)


def _axis(scale: _Scale) -> str:
    """Return times below the columns they stand for, as many as there is room for."""
    width = len("01-31 12:30")
    marks = max(1, min(4, scale.columns // (width + 4)))
    line = ""
    for number in range(marks):
        column = number * (scale.columns - width) // max(1, marks - 1) if marks > 1 else 0
        moment = datetime.fromtimestamp(scale.start + column * scale.step, UTC)
        line = f"{line:<{column}}{moment:%m-%d %H:%M}"
    return f"{line} UTC" if len(line) + 4 <= scale.columns else line


def _by_part(votes: Iterable[Vote]) -> dict[tuple[str, int, str, str], list[Vote]]:
    cast: dict[tuple[str, int, str, str], list[Vote]] = {}
    for vote in votes:
        cast.setdefault((vote.country, vote.asn, vote.target, vote.layer), []).append(vote)
    return cast


def _key(part: Part) -> tuple[str, int, str, str]:
    return part.country, part.asn, part.target, part.layer


def _label(part: Part) -> str:
    network = f" AS{part.asn}" if part.asn else ""
    return clean(f"{part.target} {part.layer}{network}", 200)


def _cut(text: str, room: int) -> str:
    return text if len(text) <= room else f"{text[: room - 1]}~"
