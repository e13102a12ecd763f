"""Where an address stands in a text, in whatever disguise.

A page, a header, a host name or a certificate may say a visitor's address plainly or in disguise:
padded, dashed, reversed, in hex, octal or decimal, escaped for a URL, for HTML or for JSON, in base64
at any of three alignments, inside an IPv6 address, hashed, or as raw bytes (`address_forms` lists them). So may
it say what else tells a home: hardware addresses and names (`home_forms`).

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
from measurements.home_forms import Hardware, Name, at_home


class Span(NamedTuple):
    """Where a text holds something, what kind of thing, and what it is in its usual form, whatever its disguise."""

    start: int
    end: int
    kind: str
    value: str


Mark = Callable[[str, str], bytes]
"""Makes what is put in the place of a thing, of its kind and its usual form."""


Thing = Address | Hardware | Name
"""What is looked for."""


@dataclass(frozen=True)
class Disguises:
    """All forms of some addresses, hardware addresses and names."""

    things: tuple[Thing, ...]

    @cached_property
    def addresses(self) -> tuple[Address, ...]:
        return tuple(thing for thing in self.things if not isinstance(thing, Hardware | Name))

    @cached_property
    def _needles(self) -> dict[str, tuple[bytes, ...]]:
        found: dict[str, set[bytes]] = {}
        for thing in self.things:
            for stream, needle in thing.needles() if isinstance(thing, Hardware | Name) else needles(thing):
                found.setdefault(stream, set()).add(needle)
        return {stream: _shortest(of_stream) for stream, of_stream in found.items()}

    @cached_property
    def _single(self) -> tuple[Disguises, ...]:
        return tuple(_of((thing,)) for thing in self.things)

    @cached_property
    def _patterns(self) -> tuple[tuple[re.Pattern[bytes], str, str], ...]:
        """Return (expression, kind, what it finds) of every form."""
        found: dict[bytes, tuple[str, str]] = {}
        for thing in self.things:
            if isinstance(thing, Hardware | Name):
                found |= {pattern: (thing.kind, str(thing)) for pattern in thing.patterns()}
            else:
                found |= {pattern: ("address", value) for pattern, value in patterns(thing)}
        return tuple((re.compile(pattern), kind, value) for pattern, (kind, value) in found.items())

    def but_for(self, host: str) -> Disguises:
        """Return those of all but the names that `host` bears as well: whoever chose that target wrote them."""
        if not any(isinstance(thing, Name) and thing.shares(host) for thing in self.things):
            return self
        return _of(tuple(thing for thing in self.things if not (isinstance(thing, Name) and thing.shares(host))))

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
        """Find where `text` holds a thing in any form, in order, none overlapping."""
        if not self.suspects(text):
            return []
        found: list[Span] = []
        for one in self._single if len(self.things) > 1 else (self,):
            if one.suspects(text):
                for reading, origins in layers(text):
                    for pattern, kind, value in one._patterns:
                        found += (
                            Span(origins[m.start()], origins[m.end()], kind, value) for m in pattern.finditer(reading)
                        )
        return merged(found)

    def in_binary(self, data: bytes) -> bool:
        """Say whether binary data, such as a certificate, holds a thing.

        What stands beside a text there is no text: the tag of a DER sequence looks like a "0". So of
        what cannot be mistaken the suspicion is enough.
        """
        return self.suspects(data) and any(
            one.suspects(data) and (_certain(thing) or bool(one.spans(data) or one.spans(parted(data))))
            for thing, one in zip(self.things, self._single, strict=True)
        )

    def strike(self, text: bytes, mark: Mark) -> bytes:
        """Put a mark in the place of every form of a thing; the very same `text` when it has none."""
        return struck(text, self.spans(text), mark)


def _certain(thing: Thing) -> bool:
    return thing.certain if isinstance(thing, Hardware | Name) else unmistakable(thing)


@lru_cache(maxsize=64)
def disguises(texts: frozenset[str]) -> Disguises:
    """Make the `Disguises` of addresses, hardware addresses and names; what is none, or says nothing, is left out."""
    found: set[Thing] = set()
    for text in texts:
        address = parse(text)
        other = at_home(text) if address is None else None
        found |= {*faces(address)} if address is not None else {other} if other is not None else set()
    return _of(tuple(sorted(found, key=lambda thing: (str(type(thing)), str(thing)))))


@lru_cache(maxsize=64)
def _of(things: tuple[Thing, ...]) -> Disguises:
    return Disguises(things)  # which keeps its patterns


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
    """Make one span of those that overlap; it is what the longest of them is, an address rather than its network."""
    apart: list[Span] = []
    for span in sorted(spans):
        if apart and span.start < apart[-1].end:
            last = apart[-1]
            whole, part = "/" not in span.value, "/" in last.value
            longer = span.end - span.start > last.end - last.start and whole is not part
            what = span if longer or (whole and part) else last
            apart[-1] = Span(last.start, max(span.end, last.end), what.kind, what.value)
        else:
            apart.append(span)
    return apart


_DER_TAG = re.compile(rb"[01](?=[^ -~]|\Z)")  # of a sequence or a set, behind a text in DER


def parted(data: bytes) -> bytes:
    """Put a space between the texts of a certificate and what looks like the next digit."""
    return _DER_TAG.sub(b" ", data)


# What a text is turned into before needles are looked for

_LOWER = bytes(range(256)).lower()
_URL_SAFE = bytes.maketrans(b"-_", b"+/")


def _all_but(kept: bytes) -> bytes:
    return bytes(set(range(256)) - set(kept) - set(kept.upper()))


_NO_DIGIT, _NO_HEX = _all_but(DIGITS), _all_but(HEX)
_NO_DIGIT_NOR_ZERO, _NO_HEX_NOR_ZERO = _all_but(DIGITS + b"0"), _all_but(HEX + b"0")

_CLASSES = bytes(ord("h") if c in b"0123456789abcdefABCDEF" else ord(" ") for c in range(256))
_DIGEST = re.compile(rb"h{32,}")


def _digests(text: bytes) -> bytes:
    """Return the rows of hex digits that are long enough for a digest, of which few texts have any."""
    classes = text.translate(_CLASSES, b"\0")
    if b"h" * 32 not in classes:
        return b""
    dense = text.replace(b"\0", b"").lower()
    return b" ".join(dense[match.start() : match.end()] for match in _DIGEST.finditer(classes))


_STREAMS: dict[str, Callable[[bytes], bytes]] = {
    "digits": lambda text: text.translate(None, _NO_DIGIT),
    "digits and zeros": lambda text: text.translate(None, _NO_DIGIT_NOR_ZERO),
    "hex": lambda text: text.translate(_LOWER, _NO_HEX),
    "hex and zeros": lambda text: text.translate(_LOWER, _NO_HEX_NOR_ZERO),
    "digests": _digests,
    "base64": lambda text: text.translate(_URL_SAFE, b"\r\n\\\0"),
    "base32": lambda text: text.upper(),
    "beyond ASCII": lambda text: text.translate(None, bytes(range(0x80))),
    "lower": lambda text: text.translate(_LOWER, b"\0"),
    "raw": lambda text: text,
}
_AS_IT_IS = frozenset({"digits", "digits and zeros", "raw"})
"""Streams of the text with and without its escapes; the others are costly, and only without."""
