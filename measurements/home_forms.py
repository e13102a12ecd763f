"""What else tells a home: the hardware addresses (MAC) of its devices, and the names of the machine and its network.

A hardware address comes back from captive portals, with or without separators, in base64 or hashed, and inside an IPv6
address that was made of it (EUI-64, RFC 4291). A name comes back as it is, in whatever case, or in base64.

A name may be a word that anybody writes. So a domain is looked for when it has two labels or more and is not
one that half the world uses at home; a machine's name alone when it has a hyphen or a digit (`anna-laptop`) and is not
what systems call themselves; any other (`anna`) only as the first label of a name of a home's (`anna.lan`).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass

from measurements.letters import BASE64, based

_LONG = 12  # letters of base64 that no text holds by chance

# Hardware addresses

_HARDWARE = re.compile(r"[0-9a-fA-F]{2}([:-])(?:[0-9a-fA-F]{2}\1){4}[0-9a-fA-F]{2}")
_GAP = rb"(?:[\\%&#=:;.,\-_ |+]{0,3}(?:0x|u00|x)?|=3a)"  # between two bytes
_COLON = rb"(?:[:\-_.]|=3a|\[:\])"
_FIRST_HALF = rb"\[?(?:(?<![0-9a-f:])[0-9a-f]{0,4}(?::[0-9a-f]{0,4}){1,4}:)?"
_ZONE = rb"(?:%[^\]\s]{1,20}(?=\]))?\]?"


@dataclass(frozen=True)
class Hardware:
    """The address of a network card."""

    raw: bytes

    kind = "hardware"

    def __str__(self) -> str:
        return self.raw.hex(":")

    @property
    def certain(self) -> bool:
        """Whether its digits can hardly be there by chance."""
        return len(_bare(self.raw)) >= 9

    def needles(self) -> Iterator[tuple[str, bytes]]:
        """Yield (stream of `disguises`, needle) so that the forms that `patterns` finds hold one of them."""
        yield "hex", _bare(self.raw)
        yield "hex", _bare(self._interface)
        yield "hex", _bare(self._interface)[::-1]
        yield "hex", b"=3a".join(_pairs(self.raw.hex().encode())).replace(b"=", b"").replace(b"0", b"")
        yield from (("raw", raw) for raw in self._raw_forms())
        yield from (("digests", digest) for digest in self._digests())
        yield from (("base64", run[:_LONG]) for text in self._spellings() for run, _ in _in_base64(text))

    def patterns(self) -> Iterator[bytes]:
        """Yield regular expressions for every form."""
        own, interface = self.raw.hex().encode(), self._interface.hex().encode()
        yield rb"(?i:(?<![0-9a-f])" + _GAP.join(_pairs(own)) + rb"(?![0-9a-f]))"
        groups = [b"0{0,3}%x" % int(interface[i : i + 4], 16) for i in range(0, 16, 4)]
        yield rb"(?i:" + _FIRST_HALF + rb"(?<![0-9a-f])" + _COLON.join(groups) + rb"(?![0-9a-f])" + _ZONE + rb")"
        nibbles = [interface[i : i + 1] for i in range(16)]
        for row in (nibbles, nibbles[::-1]):
            yield rb"(?i:" + rb"[.\-]?".join(row) + rb")"
        yield from (rb"(?i:" + digest + rb")" for digest in self._digests())
        yield from map(re.escape, self._raw_forms())
        yield from (pattern for text in self._spellings() for _, pattern in _in_base64(text))

    @property
    def _interface(self) -> bytes:
        return bytes((self.raw[0] ^ 2,)) + self.raw[1:3] + b"\xff\xfe" + self.raw[3:]

    def _raw_forms(self) -> Iterator[bytes]:
        if self.certain:
            yield from dict.fromkeys((self.raw, self.raw.decode("latin-1").encode()))

    def _spellings(self) -> Iterator[bytes]:
        for text in (self.raw.hex(":"), self.raw.hex("-"), self.raw.hex()):
            yield from dict.fromkeys((text.encode(), text.upper().encode()))

    def _digests(self) -> Iterator[bytes]:
        """Yield unsalted hashes: of one maker's cards there are 2^24."""
        for text in self._spellings():
            for algorithm in ("md5", "sha1", "sha256"):
                yield hashlib.new(algorithm, text, usedforsecurity=False).hexdigest().encode()


def _bare(raw: bytes) -> bytes:
    return raw.hex().replace("0", "").encode()


def _pairs(digits: bytes) -> list[bytes]:
    return [digits[i : i + 2] for i in range(0, len(digits), 2)]


def _in_base64(text: bytes) -> Iterator[tuple[bytes, bytes]]:
    for lead in BASE64.leads:
        run, pattern = based(text, BASE64, lead)
        if len(run) >= _LONG:
            yield run, pattern


# Names

_NAME = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?(?:\.[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?){0,10}")
_LABEL = 6  # letters of a machine's name that is looked for alone
_DOMAIN = 6
_ANYBODYS = re.compile(
    r"(?:local|lan|home|localdomain|localhost|internal|intranet|private|corp|router|gateway|arpa|workgroup|invalid"
    r"|test|example)"
    r"|home\.arpa|(?:[\w-]+\.)*(?:cluster\.local|compute\.internal|localhost|localdomain|google\.internal)"
    r"|(?:localhost|raspberrypi|raspberry|ubuntu|debian|fedora|centos|kali|arch|archlinux|manjaro|mint|openwrt|router"
    r"|gateway|server|desktop|laptop|notebook|pc|host|macbook|macmini|imac|mac|vm|docker|pi|nas|wazi|probe|node|test"
    r"|dev|my|home|linux)"
    r"(?:[-_]?(?:[0-9]{1,4}|live|server|desktop|pro|air|mini|book|pc|laptop|vm|host|linux|probe))*"
)
"""Names that say nothing about whose they are."""
_OF_A_HOME = rb"(?:local|lan|home|localdomain|home\.arpa|internal|intranet|private|corp|fritz\.box|speedport\.ip)"


@dataclass(frozen=True)
class Name:
    """The name of a machine, or of the network it is in; in small letters."""

    text: str

    kind = "name"
    certain = False

    def __str__(self) -> str:
        return self.text

    def needles(self) -> Iterator[tuple[str, bytes]]:
        """Yield (stream of `disguises`, needle) so that the forms that `patterns` finds hold one of them."""
        if not self._alone:
            yield "lower", self.text.encode() + b"."
            return
        yield "lower", self.text.encode()
        for written in self._spellings():
            yield from (("base64", run[:_LONG]) for run, _ in _in_base64(written))

    def patterns(self) -> Iterator[bytes]:
        """Yield regular expressions for every form."""
        name = re.escape(self.text.encode())
        before = rb"(?<![a-z0-9_-])"
        if not self._alone:
            yield rb"(?i:" + before + name + rb"(?=\." + _OF_A_HOME + rb"(?![a-z0-9_-])))"
            return
        behind = rb"(?!\.?[a-z0-9_-])" if "." in self.text else rb"(?![a-z0-9_-])"
        yield rb"(?i:" + before + name + behind + rb")"
        for written in self._spellings():
            yield from (pattern for _, pattern in _in_base64(written))

    def shares(self, host: str) -> bool:
        """Whether a host has this name, is in its domain, or has a domain that it is in."""
        return f".{host}".endswith(f".{self.text}") or (host != "" and self.text.endswith(f".{host}"))

    @property
    def _alone(self) -> bool:
        """Whether it is looked for wherever it stands."""
        return "." in self.text or (len(self.text) >= _LABEL and re.search(r"[0-9-]", self.text) is not None)

    def _spellings(self) -> Iterator[bytes]:
        yield from dict.fromkeys((self.text.encode(), self.text.upper().encode(), self.text.capitalize().encode()))


def at_home(text: str) -> Hardware | Name | None:
    """Read a hardware address or a name; None when it is neither, or says nothing about whose it is."""
    if _HARDWARE.fullmatch(text):
        raw = bytes.fromhex(re.sub("[:-]", "", text))
        told = raw not in (bytes(6), b"\xff" * 6) and len(_bare(raw)) >= 6
        return Hardware(raw) if told else None
    name = text.lower().strip(".")
    if not _NAME.fullmatch(name) or _ANYBODYS.fullmatch(name) or len(name) < (_DOMAIN if "." in name else 3):
        return None
    return Name(name)
