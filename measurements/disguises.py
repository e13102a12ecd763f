"""Where an address stands in a text, in whatever disguise.

A page, a header, a host name or a certificate may say a visitor's address plainly or in disguise:
padded, dashed, reversed, in hex, octal or decimal, escaped for a URL, for HTML or for JSON, in base64
at any of three alignments, inside an IPv6 address, hashed, or as raw bytes (`address_forms` lists them).

Almost no text holds one, so there are two ways to look. `suspects` is fast and errs on the side of
suspicion: it deletes what is not a digit, and looks for a few needles in the rest. `spans` is slow and
exact. Both look through up to two layers of escapes, and at the text as it is: `%203.0.113.9` may be read in
two ways.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import product

from measurements.address_forms import DIGITS, HEX, Address, faces, needles, parse, patterns, unmistakable

Span = tuple[int, int]


@dataclass(frozen=True)
class Disguises:
    """All forms of some addresses."""

    addresses: tuple[Address, ...]

    @cached_property
    def _needles(self) -> dict[str, tuple[bytes, ...]]:
        found: dict[str, set[bytes]] = {}
        for address in self.addresses:
            for stream, needle in needles(address):
                found.setdefault(stream, set()).add(needle)
        return {stream: _shortest(of_stream) for stream, of_stream in found.items()}

    @cached_property
    def _single(self) -> tuple[Disguises, ...]:
        return tuple(Disguises((address,)) for address in self.addresses)

    @cached_property
    def _patterns(self) -> tuple[re.Pattern[bytes], ...]:
        return tuple(re.compile(p) for address in self.addresses for p in dict.fromkeys(patterns(address)))

    def suspects(self, text: bytes) -> bool:
        """Say whether `spans` could find anything in `text`."""
        bare = _undone(_undone(text))
        both = text if bare == text else text + b"\n" + bare
        for stream, of_stream in self._needles.items():
            prepared = _STREAMS[stream](both if stream in _AS_IT_IS else bare)
            if any(needle in prepared for needle in of_stream):
                return True
        return False

    def spans(self, text: bytes) -> list[Span]:
        """Find where `text` holds an address in any form: (start, end), in order, none overlapping."""
        if not self.suspects(text):
            return []
        found: list[Span] = []
        for one in self._single if len(self.addresses) > 1 else (self,):
            if one.suspects(text):
                for reading, origins in _layers(text):
                    for pattern in one._patterns:
                        found += ((origins[m.start()], origins[m.end()]) for m in pattern.finditer(reading))
        return _merged(found)

    def in_binary(self, data: bytes) -> bool:
        """Say whether binary data, such as a certificate, holds an address.

        What stands beside a text there is no text: the tag of a DER sequence looks like a "0". So of an
        address that cannot be mistaken the suspicion is enough.
        """
        return self.suspects(data) and any(
            bool(one.spans(data)) or (unmistakable(address) and one.suspects(data))
            for address, one in zip(self.addresses, self._single, strict=True)
        )

    def strike(self, text: bytes, marker: bytes) -> bytes:
        """Put `marker` in the place of every form of an address; the very same `text` when it has none."""
        spans = self.spans(text)
        if not spans:
            return text
        parts: list[bytes] = []
        at = 0
        for start, end in spans:
            parts += (text[at:start], marker)
            at = end
        return b"".join((*parts, text[at:]))


@lru_cache(maxsize=64)
def disguises(texts: frozenset[str]) -> Disguises:
    """Make the `Disguises` of some addresses; what is no address, or names no machine, is left out."""
    addresses = {address for text in texts if (address := parse(text)) is not None}
    found = {face for address in addresses for face in faces(address)}
    return Disguises(tuple(sorted(found, key=lambda a: (a.version, int(a)))))


def _shortest(of_stream: set[bytes]) -> tuple[bytes, ...]:
    """Leave out the needles that hold another one."""
    return tuple(one for one in sorted(of_stream) if not any(other in one for other in of_stream if other != one))


def _merged(spans: Iterable[Span]) -> list[Span]:
    merged: list[Span] = []
    for start, end in sorted(spans):
        if merged and start < merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged


# What a text is turned into before needles are looked for

_LOWER = bytes(range(256)).lower()
_URL_SAFE = bytes.maketrans(b"-_", b"+/")


def _all_but(kept: bytes) -> bytes:
    return bytes(set(range(256)) - set(kept) - set(kept.upper()))


_NO_DIGIT, _NO_HEX = _all_but(DIGITS), _all_but(HEX)
_NO_DIGIT_NOR_ZERO, _NO_HEX_NOR_ZERO = _all_but(DIGITS + b"0"), _all_but(HEX + b"0")

_STREAMS: dict[str, Callable[[bytes], bytes]] = {
    "digits": lambda text: text.translate(None, _NO_DIGIT),
    "digits and zeros": lambda text: text.translate(None, _NO_DIGIT_NOR_ZERO),
    "hex": lambda text: text.translate(_LOWER, _NO_HEX),
    "hex and zeros": lambda text: text.translate(_LOWER, _NO_HEX_NOR_ZERO),
    "base64": lambda text: text.translate(_URL_SAFE, b"\r\n\\\0"),
    "base32": lambda text: text.upper(),
    "raw": lambda text: text,
}
_AS_IT_IS = frozenset({"digits", "digits and zeros", "raw"})
"""Streams of the text with and without its escapes; the others are costly, and only without."""


# Escapes; every repetition is bounded, for a page may be made to be slow to search

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
            rb"&(?:amp;){0,4}(?:#0*([0-9]{1,3});?|#[xX]0*([0-9A-Fa-f]{1,2});?|(period|colon|lowbar|comma|hyphen|dash);)"
        ),
        _entity,
    ),
    _Escape(b"\\", re.compile(rb"\\\\{0,3}(?:u00|u\{0{0,4}|x)([0-9A-Fa-f]{2})\}?"), _hex_byte),
)
_EVERY_OTHER = _Escape(b"\0", re.compile(rb"\x00"), _nothing)  # UTF-16; streams drop it by themselves


def _undone(text: bytes) -> bytes:
    """Undo one layer of escapes."""
    for escape in _ESCAPES:
        if escape.mark in text:
            text = escape.pattern.sub(escape.value, text)
    return text


def _layers(text: bytes) -> Iterator[tuple[bytes, Sequence[int]]]:
    """Yield the text as it is, and with one and two layers of escapes undone where there are any.

    With each comes the place in `text` that every byte, and the end, came from.
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
