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
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import NamedTuple

from measurements.address_forms import DIGITS, HEX, Address, faces, needles, parse, patterns, unmistakable
from measurements.escapes import layers, undone


class Span(NamedTuple):
    """Where a text holds something, what kind of thing, and what it is in its usual form, whatever its disguise."""

    start: int
    end: int
    kind: str
    value: str


Mark = Callable[[str, str], bytes]
"""Makes what is put in the place of a thing, of its kind and its usual form."""


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
    def _patterns(self) -> tuple[tuple[re.Pattern[bytes], str], ...]:
        found = {pattern: value for address in self.addresses for pattern, value in patterns(address)}
        return tuple((re.compile(pattern), value) for pattern, value in found.items())

    def suspects(self, text: bytes) -> bool:
        """Say whether `spans` could find anything in `text`."""
        return self.suspects_read(text, undone(text))

    def suspects_read(self, text: bytes, bare: bytes) -> bool:
        """Say the same of a text whose escapes were undone already, as `bare`."""
        both = text if bare == text else text + b"\n" + bare
        for stream, of_stream in self._needles.items():
            prepared = _STREAMS[stream](both if stream in _AS_IT_IS else bare)
            if any(needle in prepared for needle in of_stream):
                return True
        return False

    def spans(self, text: bytes) -> list[Span]:
        """Find where `text` holds an address in any form, in order, none overlapping."""
        if not self.suspects(text):
            return []
        found: list[Span] = []
        for one in self._single if len(self.addresses) > 1 else (self,):
            if one.suspects(text):
                for reading, origins in layers(text):
                    for pattern, value in one._patterns:
                        found += (
                            Span(origins[m.start()], origins[m.end()], "address", value)
                            for m in pattern.finditer(reading)
                        )
        return merged(found)

    def in_binary(self, data: bytes) -> bool:
        """Say whether binary data, such as a certificate, holds an address.

        What stands beside a text there is no text: the tag of a DER sequence looks like a "0". So of an
        address that cannot be mistaken the suspicion is enough.
        """
        return self.suspects(data) and any(
            bool(one.spans(data)) or (unmistakable(address) and one.suspects(data))
            for address, one in zip(self.addresses, self._single, strict=True)
        )

    def strike(self, text: bytes, mark: Mark) -> bytes:
        """Put a mark in the place of every form of an address; the very same `text` when it has none."""
        return struck(text, self.spans(text), mark)


@lru_cache(maxsize=64)
def disguises(texts: frozenset[str]) -> Disguises:
    """Make the `Disguises` of some addresses; what is no address, or names no machine, is left out."""
    addresses = {address for text in texts if (address := parse(text)) is not None}
    found = {face for address in addresses for face in faces(address)}
    return Disguises(tuple(sorted(found, key=lambda a: (a.version, int(a)))))


def _shortest(of_stream: set[bytes]) -> tuple[bytes, ...]:
    """Leave out the needles that hold another one."""
    return tuple(one for one in sorted(of_stream) if not any(other in one for other in of_stream if other != one))


def struck(text: bytes, spans: Sequence[Span], mark: Mark) -> bytes:
    """Put a mark in the place of each span; the very same `text` when there are none."""
    if not spans:
        return text
    parts: list[bytes] = []
    at = 0
    for span in spans:
        parts += (text[at : span.start], mark(span.kind, span.value))
        at = span.end
    return b"".join((*parts, text[at:]))


def merged(spans: Iterable[Span]) -> list[Span]:
    """Make one span of those that overlap; it is what the first of them is, an address rather than its network."""
    apart: list[Span] = []
    for span in sorted(spans):
        if apart and span.start < apart[-1].end:
            last = apart[-1]
            what = span if "/" in last.value and "/" not in span.value else last
            apart[-1] = Span(last.start, max(span.end, last.end), what.kind, what.value)
        else:
            apart.append(span)
    return apart


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
