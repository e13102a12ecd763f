"""Reading votes that somebody wrote to a CSV file, and putting them in the order of their times.

The first line names the columns, in any order. Nobody vouches for a file: a line that cannot be read becomes a
`BadRecord` that names the line and the column and says what to do, and the rest goes on. Lines are read one at a time;
to put votes in order, at most `RUN` of them are held, and sorted runs of a longer file wait in temporary ones, which
are gone when the program ends.
"""

from __future__ import annotations

import csv
import heapq
import math
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from typing import IO, Any, BinaryIO

import msgspec

from measurements.events.rooms import order
from measurements.model import Strength, Vote
from probe.records import DAMAGE, BadRecord, lines_of, unpacked

NEEDED = ("time", "probe", "country", "asn", "target", "layer", "blocked")
RUN = 200_000  # votes held at once: about 100 MB
_BITE = 1_000  # votes of a run that are read back at once
MAX_LINE = 64 * 1024
_LONGEST = 2_048  # characters of a field
_MOST_KNOWN = 20_000  # words of a column that are kept
_LATEST = 253_402_300_799.0  # the year 9999, in seconds
_YES, _NO = frozenset({"1", "true", "yes"}), frozenset({"0", "false", "no"})


class BadHeader(Exception):
    """The first line does not name the columns that votes need."""


class _Bad(Exception):
    """What is wrong with a field."""


class VoteReader:
    """Reads one file; `name` names it in complaints.

    Raises `BadHeader` when the first line does not say what the columns are. `ignored` are the columns that mean
    nothing here.
    """

    def __init__(self, stream: BinaryIO, name: str) -> None:
        self._name = name
        self._lines = lines_of(unpacked(stream), MAX_LINE)
        columns = self._header()
        self._width = len(columns)
        self.ignored = [column for column in columns if column not in FIELDS]
        self._fields = {
            column: _Field(column, columns.index(column) if column in columns else None) for column in FIELDS
        }

    def __iter__(self) -> Iterator[Vote | BadRecord]:
        number = 1
        while True:
            try:
                line = next(self._lines, None)
            except DAMAGE as error:
                yield BadRecord(
                    f"{self._name}:{number + 1}", f"the file is damaged here ({error}); what follows is lost"
                )
                return
            if line is None:
                return
            number += 1
            if not line.strip():
                continue
            try:
                yield self._vote(line)
            except _Bad as bad:
                yield BadRecord(f"{self._name}:{number}", str(bad))

    def _header(self) -> list[str]:
        try:
            first = next(self._lines, b"")
        except DAMAGE as error:
            raise BadHeader(f"{self._name}: cannot be read ({error})") from None
        columns = [column.strip().lower() for column in _split(first.decode("utf-8-sig", "replace"))]
        missing = [column for column in NEEDED if column not in columns]
        if missing:
            found = ", ".join(columns)[:200] or "nothing"
            raise BadHeader(
                f"{self._name}:1: the first line must name the columns {','.join(NEEDED)}; "
                f"{', '.join(missing)} missing, found {found}"
            )
        twice = sorted({column for column in columns if columns.count(column) > 1})
        if twice:
            raise BadHeader(f"{self._name}:1: the first line names {', '.join(twice)} more than once")
        return columns

    def _vote(self, line: bytes) -> Vote:
        if len(line) > MAX_LINE:
            raise _Bad(f"the line is longer than {MAX_LINE} bytes")
        row = _split(line.decode("utf-8", "replace"))
        if len(row) != self._width:
            raise _Bad(f"the line has {len(row)} fields, the first line names {self._width}")
        return Vote(**{column: field.read(row) for column, field in self._fields.items()})


class _Field:
    """Reads one column, and knows what it read lately: most words come again and again."""

    __slots__ = ("_column", "_known", "_place", "_reader")

    def __init__(self, column: str, place: int | None) -> None:
        self._column, self._place = column, place
        self._reader = FIELDS[column]
        self._known: dict[str, Any] = {}

    def read(self, row: list[str]) -> Any:
        text = "" if self._place is None else row[self._place]
        known = self._known
        if text in known:
            return known[text]
        try:
            value = self._reader(text.strip())
        except _Bad as bad:
            raise _Bad(f"column {self._column}: {bad}") from None
        if len(known) >= _MOST_KNOWN:
            known.clear()
        known[text] = value
        return value


def when(text: str) -> float:
    """Read a time: ISO 8601 (UTC where it names no zone) or seconds since the epoch; raises `ValueError`."""
    try:
        time = float(text)
    except ValueError:
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            raise _Bad(f"{_short(text)} is no time; write 2026-01-31T12:30:00Z, or seconds since the epoch") from None
        time = moment.replace(tzinfo=moment.tzinfo or UTC).timestamp()
    if not (math.isfinite(time) and 0.0 <= time <= _LATEST):
        raise _Bad(f"{_short(text)} is out of range; write seconds since 1970, not milliseconds")
    return time


def _truth(text: str) -> bool:
    word = text.lower()
    if word in _YES:
        return True
    if word in _NO:
        return False
    raise _Bad(f"{_short(text)} is neither yes nor no; write 1, true or yes, or 0, false or no")


def _strength(text: str) -> Strength:
    try:
        return Strength(text.lower() or Strength.REPORTED)
    except ValueError:
        raise _Bad(f"{_short(text)} is no strength; write {', '.join(Strength)} or nothing") from None


def _some(text: str) -> str:
    if not text:
        raise _Bad("is empty; every vote needs one")
    return _any(text)


def _any(text: str) -> str:
    if len(text) > _LONGEST:
        raise _Bad(f"is longer than {_LONGEST} characters")
    return text


def _network(text: str) -> int:
    digits = text.upper().removeprefix("AS")
    if digits and not (digits.isascii() and digits.isdigit() and len(digits) < 12 and int(digits) < 1 << 32):
        raise _Bad(f"{_short(text)} is no network; write 36924 or AS36924, or nothing when it is unknown")
    return int(digits or 0)


FIELDS: dict[str, Callable[[str], Any]] = {
    "time": when,
    "probe": _some,
    "country": lambda text: _any(text).upper(),
    "asn": _network,
    "target": _some,
    "layer": lambda text: _some(text).lower(),
    "blocked": _truth,
    "strength": _strength,
    "witness": _any,
    "mechanism": _any,
    "software": _any,
    "placebo": lambda text: bool(text) and _truth(text),
}
"""What reads each column; of those that are not NEEDED an empty field says nothing."""


def _split(line: str) -> list[str]:
    line = line.rstrip("\r\n")
    return next(csv.reader([line]), []) if '"' in line else line.split(",")


def _short(text: str) -> str:
    return repr(text if len(text) <= 40 else f"{text[:39]}…")


class Sorter:
    """Takes votes in any order, and gives them back in that of their times, in bounded memory."""

    def __init__(self, run: int = RUN) -> None:
        self._run = run
        self._held: list[Vote] = []
        self._spilled: list[IO[bytes]] = []
        self._files = ExitStack()
        self.count = 0
        self.first, self.last = math.inf, -math.inf

    def __enter__(self) -> Sorter:
        return self

    def __exit__(self, *_: object) -> None:
        self._files.close()

    def add(self, vote: Vote) -> None:
        """Take a vote."""
        self.count += 1
        self.first, self.last = min(self.first, vote.time), max(self.last, vote.time)
        self._held.append(vote)
        if len(self._held) >= self._run:
            self._spill()

    def votes(self) -> Iterator[Vote]:
        """Yield all votes in order."""
        self._held.sort(key=order)
        if not self._spilled:
            return iter(self._held)
        return heapq.merge(*(_read_back(file) for file in self._spilled), iter(self._held), key=order)

    def _spill(self) -> None:
        self._held.sort(key=order)
        file: IO[bytes] = self._files.enter_context(tempfile.TemporaryFile())  # noqa: SIM115 - `_files` closes it
        for start in range(0, len(self._held), _BITE):
            bite = msgspec.msgpack.encode(self._held[start : start + _BITE])
            file.write(len(bite).to_bytes(4, "big") + bite)
        self._spilled.append(file)
        self._held.clear()


def _read_back(file: IO[bytes]) -> Iterator[Vote]:
    file.seek(0)
    while head := file.read(4):
        yield from msgspec.msgpack.decode(file.read(int.from_bytes(head, "big")), type=list[Vote])
