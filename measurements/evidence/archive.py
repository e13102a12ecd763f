"""The file that a bundle is: a ZIP of the plainest kind, every byte of which follows from what it holds.

Any `unzip` opens it. Its files are stored and not compressed, one after the other, dated 1980-01-01, without comments,
extra fields, folders or links, and under plain names in ASCII. So there is one such ZIP for a list of files and no
other, and reading is strict: it is parsed, made again from what was found, and compared byte by byte. What another ZIP
program wrote is not one of ours, whatever it holds, and a file can be neither a bomb nor two things to two programs:
what is stored has the size that it has.

Source: APPNOTE.TXT 6.3.10 of PKWARE, sections 4.3 and 4.4.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Iterable
from typing import NamedTuple

MOST_BYTES = 128 * 1024 * 1024
MOST_FILES = 20_000
LONGEST_NAME = 120

_LOCAL, _CENTRAL, _END = b"PK\3\4", b"PK\1\2", b"PK\5\6"
_LOCAL_HEADER = struct.Struct("<4s5H3I2H")
_CENTRAL_HEADER = struct.Struct("<4s6H3I5H2I")
_END_RECORD = struct.Struct("<4s4H2IH")
_VERSION = 10  # what it takes to unpack: nothing but storing
_MADE_BY = 3 << 8 | 20  # as on Unix, so that `unzip` sets the mode
_DAY = 1 << 5 | 1  # 1980-01-01, the first day that a ZIP knows
_MODE = 0o100644 << 16
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*(?:/[A-Za-z0-9_][A-Za-z0-9._-]*){0,4}")


class BadArchive(ValueError):
    """What was read is no ZIP of ours; the text says where it stops being one."""


class Archive(NamedTuple):
    """Files in their order, and the names of those whose content is not what its check sum says."""

    files: dict[str, bytes]
    damaged: frozenset[str]


def name_is_plain(name: str) -> bool:
    """Tell whether a file may have this name: ASCII, no `..`, nothing hidden, no absolute path."""
    return len(name) <= LONGEST_NAME and _NAME.fullmatch(name) is not None


def write(files: Iterable[tuple[str, bytes]]) -> bytes:
    """Make the ZIP of some files, in their order; raises ValueError for a name or a size that may not be."""
    body, directory = bytearray(), bytearray()
    seen: set[str] = set()
    for name, content in files:
        if not name_is_plain(name) or name in seen:
            raise ValueError(f"no file of a bundle may be called {name!r}, or twice")
        seen.add(name)
        local, central = _headers(name, zlib.crc32(content), len(content), len(body))
        body += local
        body += content
        directory += central
        if len(body) + len(directory) > MOST_BYTES or len(seen) > MOST_FILES:
            raise ValueError(f"a bundle may have {MOST_FILES} files and {MOST_BYTES} bytes, and this is more")
    end = _END_RECORD.pack(_END, 0, 0, len(seen), len(seen), len(directory), len(body), 0)
    return bytes(body + directory + end)


def read(data: bytes) -> Archive:
    """Read a ZIP that `write` made; raises BadArchive for any other, in time that grows with its size."""
    if len(data) > MOST_BYTES:
        raise BadArchive(f"it is larger than {MOST_BYTES} bytes")
    if not data.startswith((_LOCAL, _END)):
        raise BadArchive("it does not begin as a ZIP does")
    if len(data) < _END_RECORD.size or not data[-_END_RECORD.size :].startswith(_END):
        raise BadArchive("it does not end as such a ZIP does: it was cut, or something was added")
    *_, count, size, start, _ = _END_RECORD.unpack_from(data, len(data) - _END_RECORD.size)
    if count > MOST_FILES:
        raise BadArchive(f"it has more than {MOST_FILES} files")
    if start + size + _END_RECORD.size != len(data):
        raise BadArchive("its directory is not where its end says")
    files: dict[str, bytes] = {}
    damaged: set[str] = set()
    place, where = start, 0
    for number in range(1, count + 1):
        name, content, fits, place, where = _entry(data, number, place, where, start)
        if name in files:
            raise BadArchive(f"it holds {name} twice")
        files[name] = content
        if not fits:
            damaged.add(name)
    if where != start or place != start + size:
        raise BadArchive("it holds bytes that belong to no file")
    if _END_RECORD.pack(_END, 0, 0, count, count, size, start, 0) != data[-_END_RECORD.size :]:
        raise BadArchive("its last record is not as it must be")
    return Archive(files, frozenset(damaged))


def _entry(data: bytes, number: int, place: int, where: int, start: int) -> tuple[str, bytes, bool, int, int]:
    """Read one file: its name, its content, whether the check sum fits, and where the next ones are."""
    if place + _CENTRAL_HEADER.size > len(data):
        raise BadArchive(f"its directory ends before file {number}")
    head = _CENTRAL_HEADER.unpack_from(data, place)
    check, size, length = head[7], head[9], head[10]
    raw = data[place + _CENTRAL_HEADER.size : place + _CENTRAL_HEADER.size + length]
    name = raw.decode("ascii", "replace")
    if len(raw) != length or not name_is_plain(name):
        raise BadArchive(f"file {number} has a name that no file of a bundle has")
    local, central = _headers(name, check, size, where)
    if data[place : place + len(central)] != central:
        raise BadArchive(f"the entry of {name} in the directory is not as it must be")
    if data[where : where + len(local)] != local or where + len(local) + size > start:
        raise BadArchive(f"what stands before {name} is not as it must be")
    content = data[where + len(local) : where + len(local) + size]
    return name, content, zlib.crc32(content) == check, place + len(central), where + len(local) + size


def _headers(name: str, check: int, size: int, where: int) -> tuple[bytes, bytes]:
    """Return what stands before a file, and its entry in the directory."""
    raw = name.encode("ascii")
    local = _LOCAL_HEADER.pack(_LOCAL, _VERSION, 0, 0, 0, _DAY, check, size, size, len(raw), 0)
    central = _CENTRAL_HEADER.pack(
        *(_CENTRAL, _MADE_BY, _VERSION, 0, 0, 0, _DAY, check, size, size, len(raw), 0, 0, 0, 0, _MODE, where)
    )
    return local + raw, central + raw
