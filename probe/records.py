"""Reading measurements that somebody wrote to a file: Wazi's lines, or OONI's.

A file is one JSON object a line, or one JSON value over many lines (OONI's API gives such), plain or
compressed (gzip, zstandard: told by its first bytes). It is read in bounded memory, and nobody vouches
for it: a line that is too long, is no JSON, or holds no measurement becomes a `BadRecord` naming the
place, and the rest goes on. JSON that is not quite what RFC 8259 wants (NaN, half a surrogate pair, bytes that
are no UTF-8, numbers and nesting beyond measure), as the programs of ten years wrote it, is read as far as it goes.
"""

from __future__ import annotations

import gzip
import json
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, BinaryIO, Protocol, cast

import msgspec
import zstandard

from measurements.model import Measurement, Verdict
from measurements.ooni import opinion
from measurements.ooni import read as read_ooni

MAX_LINE = 32 * 1024 * 1024
MAX_WINDOW = 128 * 1024 * 1024
_BITE = 256
MAX_DEPTH = 100  # what is nested deeper is left out
MAX_DIGITS = 300  # an integer with more is read as the float that it overflows to
_NESTING = re.compile(r'"(?:[^"\\]++|\\.)*+"|[\[\]{}]', re.DOTALL)

_GZIP, _ZSTANDARD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
_FOREIGN = {
    b"BZh": "compressed by bzip2",
    b"\xfd7zX": "compressed by xz",
    b"PK\x03\x04": "a ZIP archive",
    b"PAR1": "Parquet",
    b"SQLi": "an SQLite file",
}
"""What people give for lines, by its first bytes: it is named once, and not line by line."""
_MARK = b"\xef\xbb\xbf"  # which some programs write before UTF-8
DAMAGE = (EOFError, zlib.error, zstandard.ZstdError, gzip.BadGzipFile)


@dataclass(frozen=True, slots=True)
class Record:
    """A measurement, the place in a file that it is from, how many bytes it took there, and the verdict beside it."""

    place: str
    measurement: Measurement
    size: int = field(default=0, compare=False)
    verdict: Verdict | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class BadRecord:
    """A place in a file that cannot be read, and why."""

    place: str
    why: str

    def __str__(self) -> str:
        return f"{self.place}: {self.why}"


class Peekable(Protocol):
    """A binary stream that can be looked into without reading it."""

    def peek(self, size: int = ..., /) -> bytes: ...


class _Shape(msgspec.Struct):
    """What tells the kinds of record apart."""

    measurement: msgspec.Raw = msgspec.Raw()
    observations: msgspec.Raw = msgspec.Raw()
    test_keys: msgspec.Raw = msgspec.Raw()
    test_name: msgspec.Raw = msgspec.Raw()


def read_records(stream: BinaryIO, name: str, *, max_line: int = MAX_LINE) -> Iterator[Record | BadRecord]:
    """Yield what a file holds, in order; `name` names it in complaints. A record has `max_line` bytes at most."""
    number = 0
    if (kind := _foreign(stream)) is not None:
        yield BadRecord(name, f"this is {kind}: give JSON lines, plain or compressed by gzip or zstandard")
        return
    lines = lines_of(unpacked(stream), max_line)
    while True:
        try:
            line = next(lines, None)
        except DAMAGE as error:
            yield BadRecord(f"{name}:{number + 1}", f"the file is damaged here ({error}); what follows is lost")
            return
        if line is None:
            return
        number += 1
        if number == 1:
            line = line.removeprefix(_MARK)
        if len(line) > max_line:
            yield BadRecord(f"{name}:{number}", f"longer than {max_line} bytes")
        elif number == 1 and (records := _whole(line, lines, max_line)) is not None:
            for index, record in enumerate(records, 1):
                yield _record(record, f"{name}:{index}")
            return
        elif line.strip():
            yield _record(line, f"{name}:{number}")


def _foreign(stream: BinaryIO) -> str | None:
    head = cast(Peekable, stream).peek(4)
    return next((kind for begin, kind in _FOREIGN.items() if head.startswith(begin)), None)


def unpacked(stream: BinaryIO) -> BinaryIO:
    """Decompress a stream when its first bytes say that it is compressed."""
    head = cast(Peekable, stream).peek(4)[:4]
    if head.startswith(_GZIP):
        return cast(BinaryIO, gzip.GzipFile(fileobj=stream))
    if head == _ZSTANDARD:
        return cast(BinaryIO, _ZstandardLines(stream))
    return stream


class _ZstandardLines:
    """Lines of a zstandard file.

    The library's own reader takes a file that was cut off for one that ended, so frames are followed here, in
    bites so small that even a bomb (one byte becomes 30,000) stays within some megabytes.
    """

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._frame = self._new_frame()
        self._begun = False
        self._plain = b""

    def readline(self, limit: int) -> bytes:
        """Read up to the end of a line, at most `limit` bytes; raises ZstdError for a file that was cut off."""
        pieces: list[bytes] = []
        room = limit
        while room and (block := self._plain or self._more()):
            end = min(block.find(b"\n") + 1 or len(block), room)
            pieces.append(block[:end])
            self._plain = block[end:]
            room -= end
            if pieces[-1].endswith(b"\n"):
                break
        return b"".join(pieces)

    def _more(self) -> bytes:
        """Decompress until there is something, or return nothing at the end."""
        while packed := self._frame.unused_data or self._stream.read(_BITE):
            if self._frame.eof:
                self._frame = self._new_frame()
            self._begun = True
            if plain := self._frame.decompress(packed):
                return plain
        if self._begun and not self._frame.eof:
            raise zstandard.ZstdError("it was cut off")
        return b""

    @staticmethod
    def _new_frame() -> zstandard.ZstdDecompressionObj:
        return zstandard.ZstdDecompressor(max_window_size=MAX_WINDOW).decompressobj()


def lines_of(stream: BinaryIO, longest: int) -> Iterator[bytes]:
    """Yield lines; one that is too long comes cut, and the rest of it is skipped."""
    while line := stream.readline(longest + 1):
        yield line
        while line and len(line) > longest and not line.endswith(b"\n"):
            line = stream.readline(longest + 1)


def _whole(first: bytes, rest: Iterator[bytes], longest: int) -> list[msgspec.Raw] | None:
    """Read a file that is one JSON value, a record or a list of them; None when each line stands for itself."""
    start = first.strip()
    if start in (b"{", b"["):
        start = _join(start, rest, longest)
    elif not start.startswith(b"["):
        return None
    if start.startswith(b"{"):
        return [msgspec.Raw(start)]
    try:
        return msgspec.json.decode(start, type=list[msgspec.Raw])
    except (msgspec.DecodeError, RecursionError):
        found = _forgiven(start)
        return (
            [msgspec.Raw(json.dumps(one).encode()) for one in found]
            if isinstance(found, list)
            else [msgspec.Raw(start)]
        )


def _join(first: bytes, rest: Iterator[bytes], longest: int) -> bytes:
    pieces = [first]
    size = len(first)
    for line in rest:
        pieces.append(line)
        size += len(line)
        if size > longest:
            break
    return b"".join(pieces)


def _record(data: bytes | msgspec.Raw, place: str) -> Record | BadRecord:
    try:
        try:
            shape = msgspec.json.decode(data, type=_Shape)
            if shape.test_keys or shape.test_name:
                return _ooni(msgspec.json.decode(data, type=dict), data, place)
        except (msgspec.DecodeError, RecursionError) as error:
            found = _forgiven(bytes(data))
            if not isinstance(found, dict) or not {"test_keys", "test_name"} & found.keys():
                raise error from None
            return _ooni(found, data, place)
        if shape.measurement:
            measurement = msgspec.json.decode(shape.measurement, type=Measurement)
            return Record(place, measurement, len(bytes(data)), _verdict(data))
        if shape.observations:
            return Record(place, msgspec.json.decode(data, type=Measurement), len(bytes(data)))
    except msgspec.ValidationError as error:
        return BadRecord(place, f"no measurement: {error}")
    except msgspec.DecodeError as error:
        return BadRecord(place, f"no JSON: {error}")
    except RecursionError:
        return BadRecord(place, "no measurement: nested too deeply")
    except (ValueError, TypeError, LookupError, AttributeError) as error:  # foreign data finds every way to be odd
        return BadRecord(place, f"no measurement: {error}")
    return BadRecord(place, "no measurement: neither a line of Wazi's nor one of OONI's")


def _ooni(record: dict[str, Any], data: bytes | msgspec.Raw, place: str) -> Record:
    return Record(place, read_ooni(record), len(bytes(data)), opinion(record))


def _verdict(data: bytes | msgspec.Raw) -> Verdict | None:
    """Read the verdict that stands beside a measurement; None when there is none that can be read."""
    try:
        return msgspec.json.decode(data, type=Verdict)
    except msgspec.ValidationError:
        return None


def _forgiven(data: bytes) -> Any:
    """Read JSON that is not quite JSON; None when it is none at all."""
    try:
        return json.loads(_shallow(data.decode("utf-8-sig", "replace")), strict=False, parse_int=_whole_number)
    except ValueError:
        return None


def _whole_number(digits: str) -> int | float:
    return int(digits) if len(digits) <= MAX_DIGITS else float(digits)


def _shallow(text: str) -> str:
    """Put null for what is nested too deeply to be read."""
    kept: list[str] = []
    depth = at = 0
    for found in _NESTING.finditer(text):
        if found[0] in "[{":
            depth += 1
            if depth == MAX_DEPTH + 1:
                kept += (text[at : found.start()], "null")
        elif found[0] in "]}":
            depth -= 1
            if depth == MAX_DEPTH:
                at = found.end()
    return "".join((*kept, text[at:] if depth <= MAX_DEPTH else ""))
