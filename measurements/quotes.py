"""Addresses that a text quotes, and that no step of the measurement names.

Behind NAT a probe does not know its public address, and a page may quote it ("Your IP: …"). So every address
in a text that may be a client's goes, except those that the measurement itself saw as a server, a resolver, a
router or an answer. It is found in the forms that can be told without knowing it: four numbers between dots,
dashes or underscores, padded or not; IPv6 as it is written, and in host names; reverse names; all of that
through two layers of escapes, as UTF-16, and in base64. `clients` tells versions and the like apart.

As in `disguises` there are two ways to look: `suspects` is fast, for nearly no text holds four such numbers.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import AddressValueError, IPv4Address, IPv6Address

from measurements.address_forms import Address, at_home
from measurements.clients import BEFORE, BEHIND, embedded, public, speaks_of_client
from measurements.disguises import Mark, Span, merged, parted, struck
from measurements.escapes import layers, readings, undone

_Found = tuple[int, int, Address]  # start, end, whose
_ROUNDS = 4  # a strike may change what stands beside another address


@dataclass(frozen=True)
class Quotes:
    """Finds clients' addresses in texts; `known` are addresses that are evidence."""

    known: frozenset[Address]

    def suspects(self, text: bytes) -> bool:
        """Say whether `spans` could find anything in `text`."""
        return self.suspects_read(text, undone(text))

    def suspects_read(self, text: bytes, bare: bytes) -> bool:
        """Say the same of a text whose escapes were undone already, as `bare`."""
        both = text if bare == text else text + b"\n" + bare
        return _some_dotted(both) or _some_grouped(both) or _some_nibbles(bare) or _some_encoded(bare)

    def spans(self, text: bytes) -> list[Span]:
        """Find where `text` holds a client's address, in order, none overlapping."""
        if not any(True for reading in readings(text) for _ in self._in(reading)):
            return []  # as nearly always; what follows is slow
        found: list[Span] = []
        for reading, origins in layers(text):
            found += (
                Span(origins[start], origins[end], "address", str(address)) for start, end, address in self._in(reading)
            )
        return merged(found)

    def strike(self, text: bytes, mark: Mark) -> bytes:
        """Put a mark in the place of every client's address; the very same `text` when it has none."""
        for _ in range(_ROUNDS):
            spans = self.spans(text)
            if not spans:
                break
            text = struck(text, spans, mark)
        return text

    def in_binary(self, data: bytes) -> bool:
        """Say whether binary data, such as a certificate, holds a client's address as text."""
        if not self.suspects(data):
            return False
        return any(True for text in (data, parted(data)) for _ in (*self._dotted(text), *self._grouped(text)))

    def without_cut(self, body: bytes) -> bytes:
        """Drop the beginning of an address, three of its numbers or more, at the end of a body that was cut there."""
        for _ in range(_ROUNDS):
            tail = _CUT.search(body, max(0, len(body) - BEFORE))
            if tail is None or not self._begins_client(tail[0], body[max(0, tail.start() - BEFORE) : tail.start()]):
                break
            body = body[: tail.start()]
        return body

    def _begins_client(self, tail: bytes, before: bytes) -> bool:
        if any(str(address).encode().startswith(tail) for address in self.known):
            return False
        if b"." not in tail:
            return True
        octets = (*map(int, filter(None, tail.split(b"."))), 1)[:4]
        return max(octets) <= 255 and public(IPv4Address(bytes(octets))) and speaks_of_client(octets, before, b"")

    # One reading of a text

    def _in(self, text: bytes) -> Iterator[_Found]:
        if _some_dotted(text):
            yield from self._dotted(text)
        if _some_grouped(text):
            yield from self._grouped(text)
        if _some_nibbles(text):
            yield from self._reversed(text)
        if _some_encoded(text):
            yield from self._encoded(text)

    def _strange(self, address: Address) -> bool:
        return public(address) and address not in self.known

    def _dotted(self, text: bytes) -> Iterator[_Found]:
        """Find four numbers, each a byte, between dots, dashes or underscores."""
        for match in _IPV4.finditer(text):
            octets = _octets(match)
            start, end = match.start(), match.end(5)
            separator = match[2]
            if octets is None or _goes_on(text, start, end, separator):
                continue
            forward, backward = IPv4Address(bytes(octets)), IPv4Address(bytes(octets[::-1]))
            if _REVERSE_NAME.match(text, end):
                if self._strange(backward):
                    yield start, end, backward
                continue
            in_name = separator != b"."
            if in_name and ({forward, backward} & self.known or not (public(forward) or public(backward))):
                continue
            if not in_name and not self._strange(forward):
                continue
            before, behind = text[max(0, start - BEFORE) : start], text[end : end + BEHIND]
            if not _ESCAPED.search(before) and speaks_of_client(octets, before, behind, in_name=in_name):
                yield start, end, forward if public(forward) else backward

    def _grouped(self, text: bytes) -> Iterator[_Found]:
        """Find IPv6 addresses, those that hold an IPv4 one too, and those in host names."""
        for match in _IPV6.finditer(text):
            start, end = match.span()
            for stop in (end, end - 1, start + match[0].rfind(b":")):  # behind it: nothing, a colon, a port
                address = _ipv6(text[start:stop])
                if address is not None:
                    client = embedded(address)
                    if self._strange(client) and not _inside_another(text, start, stop):
                        closed = _BRACKET.match(text, stop) if text[start - 1 : start] == b"[" else None
                        yield (start - 1, closed.end(), client) if closed else (start, stop, client)
                    break
        for match in _IPV6_IN_NAME.finditer(text):
            address = _ipv6(match[0].replace(b"-", b":").replace(b"_", b":"))
            if address is not None and self._strange(address):
                yield *match.span(), address

    def _reversed(self, text: bytes) -> Iterator[_Found]:
        """Find the names under which IPv6 addresses are looked up."""
        for match in _NIBBLES.finditer(text):
            address = IPv6Address(int(match[1].replace(b".", b"")[::-1], 16))
            if self._strange(address):
                yield *match.span(1), address

    def _encoded(self, text: bytes) -> Iterator[_Found]:
        """Find addresses in base64, where letters, four by four, stand for digits and dots."""
        for match in _BASE64.finditer(text):
            yield from self._decoded(text, *match.span())

    def _decoded(self, text: bytes, start: int, end: int) -> Iterator[_Found]:
        first = start - 4 if start >= 4 and _LETTERS.fullmatch(text, start - 4, start) else start
        rest = _LETTERS.match(text, end)
        last = rest.end() if rest else end
        coded = text[first:last].translate(_URL_SAFE)
        for plain in _IPV4.finditer(base64.b64decode(coded + b"=" * (-len(coded) % 4))):
            octets = _octets(plain) if plain[2] == b"." else None
            address = IPv4Address(bytes(octets)) if octets else None
            if octets and address and self._strange(address) and speaks_of_client(octets, b"", b""):
                yield first + plain.start() // 3 * 4, min(last, first + -(-plain.end(5) // 3) * 4), address


def _octets(match: re.Match[bytes]) -> tuple[int, ...] | None:
    """Read the four numbers of `_IPV4`; None unless they are bytes, all padded with zeros or none."""
    parts = match.group(1, 3, 4, 5)
    octets = tuple(map(int, parts))
    padded = any(len(part) > 1 and part.startswith(b"0") for part in parts)
    return None if max(octets) > 255 or (padded and any(len(part) < 3 for part in parts)) else octets


def _inside_another(text: bytes, start: int, end: int) -> bool:
    """Whether an IPv6 address is only the end of a longer one of private space."""
    before = _GROUPS_BEFORE.search(text, max(0, start - 40), start)
    whole = _ipv6(before[0] + text[start:end]) if before else None
    return whole is not None and at_home(whole)


def _goes_on(text: bytes, start: int, end: int, separator: bytes) -> bool:
    """Whether four numbers are part of a longer row; a long number beside them is a port or a time instead."""
    before = _ROW_BEFORE.search(text, max(0, start - 6), start)
    if before and separator in before.groups() and (separator == b"." or not _HOST_BEHIND.match(text, end)):
        return True
    behind = _ROW_BEHIND.match(text, end)
    return behind is not None and behind[1] == separator


def _ipv6(text: bytes) -> IPv6Address | None:
    try:
        return IPv6Address(text.decode("ascii"))
    except AddressValueError:
        return None


# What a text is turned into before it is searched quickly


def _table(**classes: bytes) -> bytes:
    """Make a table that turns each character of a class into the class's letter, and any other into a space."""
    table = bytearray(b" " * 256)
    for letter, characters in classes.items():
        for character in characters:
            table[character] = ord(letter)
    return bytes(table)


_HEX = b"0123456789abcdefABCDEF"
_NUMBERS = _table(n=b"0123456789", s=b".-_")
_GROUPS = _table(h=_HEX, c=b":-_")
_CLASSES = _table(X=b"LMNO", Y=b"CDSTijyz")
_URL_SAFE = bytes.maketrans(b"-_", b"+/")

_FOUR = re.compile(rb"nsn{1,3}sn{1,3}sn")
_SOME_GROUPS = re.compile(rb"hhhhc(?:(?:h{1,4}c){5}h|(?:h{1,4}c){0,6}c)")
_SOME_BASE64 = re.compile(rb"XY..XY")


def _some_dotted(text: bytes) -> bool:
    return _FOUR.search(text.translate(_NUMBERS, b"\0")) is not None


def _some_grouped(text: bytes) -> bool:
    groups = text.translate(_GROUPS, b"\0")
    return b"cchhhhch" in groups or _SOME_GROUPS.search(groups) is not None


def _some_nibbles(text: bytes) -> bool:
    return b"ip6.arpa" in text


def _some_encoded(text: bytes) -> bool:
    return _SOME_BASE64.search(text.translate(_CLASSES)) is not None and _BASE64.search(text) is not None


# Forms; every repetition is bounded

_IPV4 = re.compile(
    rb"(?:(?<![0-9])|(?<=\\u[0-9A-Fa-f]{4}))"
    rb"(?=([0-9]{1,3})([.\-_])([0-9]{1,3})\2([0-9]{1,3})\2([0-9]{1,3})(?![0-9]))"
)
_ROW_BEFORE = re.compile(rb"(?:(?<![0-9A-Za-z])[0-9]{1,3}([\-_])|(?<![0-9])[0-9]{1,3}(\.))\Z")
_ROW_BEHIND = re.compile(rb"([.\-_])[0-9]{1,3}(?![0-9])")
_HOST_BEHIND = re.compile(rb"\.[A-Za-z]")
_REVERSE_NAME = re.compile(rb"\.in-addr\.arpa", re.IGNORECASE)
_ESCAPED = re.compile(
    rb"(?:%[0-9A-Fa-f]{2}|\\u00[0-9A-Fa-f]{2}|\\x[0-9A-Fa-f]{2}|&#(?:[0-9]{2}|[xX][0-9A-Fa-f]{2});)\Z"
)
"""What the next layer reads as a character: there it is decided."""
_IPV6 = re.compile(
    rb"(?<![0-9A-Fa-f])(?:[23][0-9A-Fa-f]{3}(?::[0-9A-Fa-f]{0,4}){2,8}(?:(?:\.[0-9]{1,3}){3})?"
    rb"|(?:64:[fF]{2}9[bB]::|::[fF]{4}:(?:0:)?|(?:0{1,4}:){5}[fF]{4}:)[0-9A-Fa-f]{1,4}:[0-9A-Fa-f]{1,4})"
    rb"(?![0-9A-Fa-f])"
)
_BRACKET = re.compile(rb"(?:%[^\]\s]{1,20})?\]")
_GROUPS_BEFORE = re.compile(rb"(?<![0-9A-Za-z])[0-9A-Fa-f:]{1,39}:\Z")
_IPV6_IN_NAME = re.compile(
    rb"(?<![0-9A-Za-z])[23][0-9A-Fa-f]{3}(?:([-_])(?:[0-9A-Fa-f]{1,4}\1){6}[0-9A-Fa-f]{1,4}(?![0-9A-Za-z])"
    rb"|(?:-[0-9A-Fa-f]{0,4}){2,7}(?=\.ipv6-literal\.net))"
)
_NIBBLES = re.compile(rb"(?<![0-9A-Fa-f.])((?:[0-9A-Fa-f]\.){31}[0-9A-Fa-f])\.ip6\.arpa")
_BASE64 = re.compile(rb"(?:[L-O][CDSTijyz][AEIMQUYcgkosw048][uwxyz0-5]){2,5}")
_LETTERS = re.compile(rb"[A-Za-z0-9+/_-]{2,4}")
_CUT = re.compile(
    rb"(?:(?<![0-9.\-])(?:[0-9]{1,3}(?:\.[0-9]{1,3}){2,3}|(?:[0-9]{1,3}\.){2,3})"
    rb"|(?<![0-9A-Za-z:])[23][0-9A-Fa-f]{3}(?::[0-9A-Fa-f]{0,4}){2,7})\Z"
)
