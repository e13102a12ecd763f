"""Escapes: characters written as something else, for a URL, for HTML, for JSON, or as UTF-16.

Each may lie inside another, so two layers are undone; a text is also read as it is, for `%203.0.113.9` may
be read in two ways. Every repetition is bounded, for a page may be made to be slow to search.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product

_BYTES = {
    bytes(pair): bytes((int(bytes(pair), 16),))
    for pair in product(b"0123456789abcdefABCDEF", b"0123456789abcdefABCDEF")
}
_NAMED = {b"period": b".", b"colon": b":", b"lowbar": b"_", b"comma": b",", b"hyphen": b"-", b"dash": b"-"}


def _hex_byte(match: re.Match[bytes]) -> bytes:
    return _BYTES[match[1]]


def _entity(match: re.Match[bytes]) -> bytes:
    if match[3]:
        return _NAMED[match[3]]
    if not (match[1] or match[2]):
        return b""  # what is not seen
    code = int(match[1]) if match[1] else int(match[2], 16)
    return bytes((code,)) if code < 256 else match[0]


def _nothing(match: re.Match[bytes]) -> bytes:
    return b""


@dataclass(frozen=True)
class _Escape:
    mark: bytes  # what a text without this escape does not hold
    pattern: re.Pattern[bytes]
    value: Callable[[re.Match[bytes]], bytes]


_ESCAPES = (
    _Escape(b"%", re.compile(rb"%(?:25){0,4}(?:u00)?([0-9A-Fa-f]{2})"), _hex_byte),
    _Escape(
        b"&",
        re.compile(
            rb"&(?:amp;){0,4}(?:#0*([0-9]{1,3})(?![0-9]);?|#[xX]0*([0-9A-Fa-f]{1,2})(?![0-9A-Fa-f]);?"
            rb"|(period|colon|lowbar|comma|hyphen|dash);|(?:#8203|#8204|#8205|#8288|#173|shy|zwnj|zwj|ZeroWidthSpace);)"
        ),
        _entity,
    ),
    _Escape(b"\\", re.compile(rb"\\\\{0,3}(?:u00|u\{0{0,4}|x)([0-9A-Fa-f]{2})\}?"), _hex_byte),
)
_EVERY_OTHER = _Escape(b"\0", re.compile(rb"\x00"), _nothing)  # UTF-16; `undone` leaves it: who searches drops it


def undone(text: bytes) -> bytes:
    """Undo two layers of escapes."""
    return _once_undone(_once_undone(text))


def _once_undone(text: bytes) -> bytes:
    for escape in _ESCAPES:
        if escape.mark in text:
            text = escape.pattern.sub(escape.value, text)
    return text


def readings(text: bytes) -> Iterator[bytes]:
    """Yield the text as it is, and with one and two layers of escapes undone where there are any."""
    yield text
    for _ in range(2):
        bare = _once_undone(text.replace(b"\0", b""))
        if bare == text:
            return
        yield bare
        text = bare


def layers(text: bytes) -> Iterator[tuple[bytes, Sequence[int]]]:
    """Yield what `readings` does, and with each the places of its characters.

    A place is where in `text` a byte, or the end, came from.
    """
    origins: Sequence[int] = range(len(text) + 1)
    yield text, origins
    for _ in range(2):
        bare = text
        for escape in (_EVERY_OTHER, *_ESCAPES):
            bare, origins = _undo(bare, origins, escape)
        if bare == text:
            return
        yield bare, origins
        text = bare


def _undo(text: bytes, origins: Sequence[int], escape: _Escape) -> tuple[bytes, Sequence[int]]:
    parts: list[bytes] = []
    places: list[int] = []
    at = 0
    for match in escape.pattern.finditer(text):
        character = escape.value(match)
        parts += (text[at : match.start()], character)
        places += origins[at : match.start()]
        places += [origins[match.start()]] * len(character)
        at = match.end()
    if not parts:
        return text, origins
    return b"".join((*parts, text[at:])), [*places, *origins[at:]]
