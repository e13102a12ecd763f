"""Reading votes that somebody wrote to a CSV file, and putting them in the order of their times.

The first line names the columns, in any order. Nobody vouches for a file: a line that cannot be read becomes a
`BadLine` that names the line and the column and says what to do, and the rest goes on. Lines are read one at a time; to
put votes in order, at most `RUN` of them are held, and sorted runs of a longer file wait in temporary ones, which are
gone when the program ends.
"""

from __future__ import annotations

import csv
import heapq
import math
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import IO, BinaryIO, TypeVar

import msgspec

from measurements.events.rooms import order
from measurements.model import Strength, Vote
from probe.records import DAMAGE, lines_of, unpacked

NEEDED = ("time", "probe", "country", "asn", "target", "layer", "blocked")
OPTIONAL = ("strength", "witness", "mechanism", "software", "placebo")
RUN = 200_000  # votes held at once: about 100 MB
_BITE = 1_000  # votes of a run that are read back at once
MAX_LINE = 64 * 1024
_LONGEST = 2_048  # characters of a field
_LATEST = 253_402_300_799.0  # the year 9999, in seconds
_YES, _NO = frozenset({"1", "true", "yes"}), frozenset({"0", "false", "no"})

T = TypeVar("T")


class BadHeader(Exception):
    """The first line does not name the columns that votes need."""


@dataclass(frozen=True, slots=True)
class BadLine:
    """A line that holds no vote, and why."""

    place: str
    why: str

    def __str__(self) -> str:
        return f"{self.place}: {self.why}"


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
        self._seen: dict[str, str] = {}  # one copy of what is said again and again
        self._networks: dict[str, int] = {}
        self._columns = self._header()

    @property
    def ignored(self) -> list[str]:
        return [column for column in self._columns if column not in (*NEEDED, *OPTIONAL)]

    def __iter__(self) -> Iterator[Vote | BadLine]:
        number = 1
        while True:
            try:
                line = next(self._lines, None)
            except DAMAGE as error:
                yield BadLine(f"{self._name}:{number + 1}", f"the file is damaged here ({error}); what follows is lost")
                return
            if line is None:
                return
            number += 1
            if not line.strip():
                continue
            try:
                yield self._vote(line)
            except _Bad as bad:
                yield BadLine(f"{self._name}:{number}", str(bad))

    def _header(self) -> list[str]:
        try:
            first = next(self._lines, b"")
        except DAMAGE as error:
            raise BadHeader(f"{self._name}: cannot be read ({error})") from None
        columns = [column.strip().lower() for column in _fields(first.decode("utf-8-sig", "replace"))]
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
        fields = _fields(line.decode("utf-8", "replace"))
        if len(fields) != len(self._columns):
            raise _Bad(f"the line has {len(fields)} fields, the first line names {len(self._columns)}")
        row = dict(zip(self._columns, fields, strict=True))
        blocked = _field(row, "blocked", _truth)
        return Vote(
            time=_field(row, "time", when),
            probe=_field(row, "probe", self._text),
            country=self._same(row["country"].strip().upper()[:_LONGEST]),
            asn=_field(row, "asn", self._network),
            target=_field(row, "target", self._text),
            layer=_field(row, "layer", self._text).lower(),
            blocked=blocked,
            strength=_field(row, "strength", _strength) if "strength" in row else Strength.REPORTED,
            witness=row.get("witness", "").strip()[:_LONGEST],
            mechanism=self._same(row.get("mechanism", "").strip()[:_LONGEST]) if blocked else "",
            software=self._same(row.get("software", "").strip()[:_LONGEST]),
            placebo=_field(row, "placebo", _truth) if row.get("placebo", "").strip() else False,
        )

    def _same(self, text: str) -> str:
        if len(self._seen) > 100_000:
            self._seen.clear()
        return self._seen.setdefault(text, text)

    def _text(self, text: str) -> str:
        text = text.strip()
        if not text:
            raise _Bad("is empty; every vote needs one")
        if len(text) > _LONGEST:
            raise _Bad(f"is longer than {_LONGEST} characters")
        return self._same(text)

    def _network(self, text: str) -> int:
        known = self._networks.get(text)
        if known is None:
            digits = text.strip().upper().removeprefix("AS")
            if digits and not (digits.isascii() and digits.isdigit() and len(digits) < 12 and int(digits) < 1 << 32):
                raise _Bad(f"{_short(text)} is no network; write 36924 or AS36924, or nothing when it is unknown")
            known = self._networks[text] = int(digits or 0)
        return known


def when(text: str) -> float:
    """Read a time: ISO 8601 (UTC where it names no zone) or seconds since the epoch; raises `ValueError`."""
    text = text.strip()
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
    word = text.strip().lower()
    if word in _YES:
        return True
    if word in _NO:
        return False
    raise _Bad(f"{_short(text)} is neither yes nor no; write 1, true or yes, or 0, false or no")


def _strength(text: str) -> Strength:
    word = text.strip().lower()
    if not word:
        return Strength.REPORTED
    try:
        return Strength(word)
    except ValueError:
        raise _Bad(f"{_short(text)} is no strength; write {', '.join(Strength)} or nothing") from None


def _field(row: dict[str, str], column: str, read: Callable[[str], T]) -> T:
    try:
        return read(row[column])
    except _Bad as bad:
        raise _Bad(f"column {column}: {bad}") from None


def _fields(line: str) -> list[str]:
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
