"""Reading measurements that somebody wrote to a file: Wazi's lines, or OONI's.

A file is one JSON object a line, or one JSON value over many lines (OONI's API gives such), plain or
compressed (gzip, zstandard: told by its first bytes). It is read in bounded memory, and nobody vouches
for it: a line that is too long, is no JSON, or holds no measurement becomes a `BadRecord` naming the
place, and the rest goes on.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, Protocol, cast

import msgspec
import zstandard

from measurements.model import Measurement
from measurements.ooni import read as read_ooni

MAX_LINE = 32 * 1024 * 1024
MAX_WINDOW = 128 * 1024 * 1024

_GZIP, _ZSTANDARD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
_DAMAGE = (EOFError, zlib.error, zstandard.ZstdError, gzip.BadGzipFile)


@dataclass(frozen=True, slots=True)
class BadRecord:
    """A place in a file that holds no measurement, and why."""

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


def read_records(stream: BinaryIO, name: str) -> Iterator[Measurement | BadRecord]:
    """Yield what a file holds, in order; `name` names it in complaints."""
    number = 0
    lines = _lines(_plain(stream))
    while True:
        try:
            line = next(lines, None)
        except _DAMAGE as error:
            yield BadRecord(f"{name}:{number + 1}", f"the file is damaged here ({error}); what follows is lost")
            return
        if line is None:
            return
        number += 1
        if len(line) > MAX_LINE:
            yield BadRecord(f"{name}:{number}", f"longer than {MAX_LINE} bytes")
        elif number == 1 and (records := _whole(line, lines)) is not None:
            for index, record in enumerate(records, 1):
                yield _record(record, f"{name}:{index}")
            return
        elif line.strip():
            yield _record(line, f"{name}:{number}")


def _plain(stream: BinaryIO) -> BinaryIO:
    """Decompress a stream when its first bytes say that it is compressed."""
    head = cast(Peekable, stream).peek(4)[:4]
    if head.startswith(_GZIP):
        return cast(BinaryIO, gzip.GzipFile(fileobj=stream))
    if head == _ZSTANDARD:
        reader = zstandard.ZstdDecompressor(max_window_size=MAX_WINDOW)
        return cast(BinaryIO, _Lines(reader.stream_reader(stream, read_across_frames=True)))
    return stream


class _Lines:
    """Lines of a reader that has none of its own, read in blocks."""

    def __init__(self, reader: zstandard.ZstdDecompressionReader) -> None:
        self._reader = reader
        self._rest = b""

    def readline(self, limit: int) -> bytes:
        pieces: list[bytes] = []
        size = 0
        while True:
            block = self._rest or self._reader.read(65_536)
            end = block.find(b"\n") + 1 or len(block)
            end = min(end, limit - size)
            pieces.append(block[:end])
            self._rest = block[end:]
            size += end
            if not block or size >= limit or pieces[-1].endswith(b"\n"):
                return b"".join(pieces)


def _lines(stream: BinaryIO) -> Iterator[bytes]:
    """Yield lines; one that is longer than `MAX_LINE` comes cut, and the rest of it is skipped."""
    while line := stream.readline(MAX_LINE + 1):
        yield line
        while len(line) > MAX_LINE and not line.endswith(b"\n"):
            line = stream.readline(MAX_LINE + 1)
            if not line:
                return


def _whole(first: bytes, rest: Iterator[bytes]) -> list[msgspec.Raw] | None:
    """Read a file that is one JSON value over several lines; None when its first line stands for itself."""
    try:
        value = msgspec.json.decode(first, type=msgspec.Raw)
    except msgspec.DecodeError:
        if first.strip() not in (b"{", b"["):
            return None
        value = msgspec.Raw(_join(first, rest))
    if not bytes(value).lstrip().startswith(b"["):
        return None if bytes(value) == first.strip() else [value]
    try:
        return msgspec.json.decode(value, type=list[msgspec.Raw])
    except msgspec.DecodeError:
        return [value]


def _join(first: bytes, rest: Iterator[bytes]) -> bytes:
    pieces = [first]
    size = len(first)
    for line in rest:
        pieces.append(line)
        size += len(line)
        if size > MAX_LINE:
            break
    return b"".join(pieces)


def _record(data: bytes | msgspec.Raw, place: str) -> Measurement | BadRecord:
    if len(bytes(data)) > MAX_LINE:
        return BadRecord(place, f"longer than {MAX_LINE} bytes")
    try:
        shape = msgspec.json.decode(data, type=_Shape)
        if shape.test_keys or shape.test_name:
            return read_ooni(msgspec.json.decode(data, type=dict))
        if shape.measurement:
            return msgspec.json.decode(shape.measurement, type=Measurement)
        if shape.observations:
            return msgspec.json.decode(data, type=Measurement)
    except msgspec.ValidationError as error:
        return BadRecord(place, f"no measurement: {error}")
    except msgspec.DecodeError as error:
        return BadRecord(place, f"no JSON: {error}")
    except RecursionError:
        return BadRecord(place, "no measurement: nested too deeply")
    except (ValueError, TypeError, LookupError, AttributeError) as error:  # foreign data finds every way to be odd
        return BadRecord(place, f"no measurement: {error}")
    return BadRecord(place, "no measurement: neither a line of Wazi's nor one of OONI's")
