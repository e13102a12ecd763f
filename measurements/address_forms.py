"""The forms of one address: needles to look for quickly, and exact patterns.

A needle is what is left of a form when everything but digits (or hex digits) and zeros is deleted from
a text, which folds all paddings, separators and compressions into one; `disguises` prepares the text.

An address that is distinctive is found wherever it stands. One that millions of homes share (10.0.0.2)
or that is nearly all zeros is found only as a whole token and in fewer disguises: it tells little, and
`v10.0.0.2.1` may be innocent.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

from measurements.letters import BASE32, BASE64, Base, based

Address = IPv4Address | IPv6Address

HOMES = tuple(
    map(
        ip_network,
        "10.0.0.0/8 100.64.0.0/10 169.254.0.0/16 172.16.0.0/12 192.168.0.0/16 fc00::/7 fe80::/10".split(),  # noqa: SIM905
    )
)
"""Space that no network announces: the addresses of homes, offices and carriers' insides."""

DIGITS, HEX = b"123456789", b"123456789abcdef"
_SHORT = 6  # a needle shorter than this would be in every text

_LONG = 12  # letters of base64 that no text holds by chance

_ENDPOINT = re.compile(r"(?:\[([^\[\]]*)\]|([0-9.]+))(?::\d+)?")


def parse(text: str) -> Address | None:
    """Read an address, or one with a zone, brackets or a port; None when it is none."""
    endpoint = _ENDPOINT.fullmatch(text.strip())
    bare = (endpoint[1] or endpoint[2] or "") if endpoint else text.strip()
    try:
        return ip_address(bare.partition("%")[0])
    except ValueError:
        return None


def at_home(address: Address) -> bool:
    """Whether an address belongs to the space of homes and other private networks."""
    return any(address in network for network in HOMES if network.version == address.version)


def faces(address: Address) -> Iterator[Address]:
    """Yield the addresses to look for: the IPv4 address inside an IPv6 one tells as much.

    One that names no machine (loopback, unspecified, multicast) gives none.
    """
    if address.is_loopback or address.is_unspecified or address.is_multicast:
        return
    if isinstance(address, IPv4Address):
        yield address
    elif address.ipv4_mapped is not None:
        yield from faces(address.ipv4_mapped)
    else:
        yield address
        if address.sixtofour is not None:
            yield from faces(address.sixtofour)
        if address.teredo is not None:
            yield from faces(address.teredo[1])


def distinctive(address: Address) -> bool:
    """Whether its digits in a text can hardly be part of something else."""
    if isinstance(address, IPv4Address):
        return not at_home(address) and len(set(address.packed)) >= 3 and address.packed.count(0) <= 1
    return _digits_that_count(address) >= 9


def unmistakable(address: Address) -> bool:
    """Whether its bits can hardly be there by chance."""
    if isinstance(address, IPv4Address):
        return distinctive(address)
    return _digits_that_count(address) >= (9 if at_home(address) else 5)


def _digits_that_count(address: IPv6Address) -> int:
    return len(address.packed.hex().replace("0", ""))


# Needles


def needles(address: Address) -> Iterator[tuple[str, bytes]]:
    """Yield (stream of `disguises`, needle) so that the forms that `patterns` finds hold one of them."""
    for stream, forms, kept in (
        ("digits", _decimal_forms(address), DIGITS + b"0"),
        ("hex", _hex_forms(address), HEX + b"0"),
    ):
        for form in forms:
            full = bytes(c for c in form.lower() if c in kept)
            bare = full.replace(b"0", b"")
            if len(bare) >= _SHORT:
                yield stream, bare
            elif len(full) > _SHORT or distinctive(address):
                yield f"{stream} and zeros", full
            else:
                yield from (("raw", written) for written in _ways_to_write(form))
    for base in (BASE64, BASE32):
        for run, _ in _in_letters(address, base):
            yield base.name, run[:_LONG]
    for raw in _raw_forms(address):
        yield "raw", raw
    for digest in _digests(address):
        yield "digests", digest.hex().encode()
    for digest in _digests(address, "sha256"):
        yield "base64", based(digest, BASE64, 0)[0][:_LONG]
    for written in _in_other_digits(address):
        for each in (written.encode(), _misread(written)):
            yield "beyond ASCII", bytes(c for c in each if c >= 0x80)
        yield "lower", _in_json(written)


def _ways_to_write(form: bytes) -> Iterator[bytes]:
    yield from (form, form.upper())
    yield from (form.replace(b".", separator) for separator in (b"-", b"_", b"[.]"))


def _decimal_forms(address: Address) -> Iterator[bytes]:
    """Yield forms of which the decimal digits alone, in order, are looked for."""
    yield b"%d" % int(address)
    for text in _spellings(address):
        yield b" ".join(b"%d" % c for c in text)
    if isinstance(address, IPv4Address):
        a, b, c, d = address.packed
        backwards = int.from_bytes(address.packed, "little")
        yield from (b"%d" % backwards, b"%o" % int(address), b"%o" % backwards)
        if distinctive(address):
            yield from (b"%d.%d.%d" % (a, b, c << 8 | d), b"%d.%d" % (a, b << 16 | c << 8 | d))
            yield from (b"%d" % (2**32 - number) for number in (int(address), backwards))
        for octets in ((a, b, c, d), (d, c, b, a)):
            for form in (b"%d", b"%03d", b"%o", b"0%o", b"%04o"):
                yield b".".join(form % octet for octet in octets)
            yield b"=2E".join(b"%d" % octet for octet in octets)
    elif unmistakable(address):
        for _, half in _halves_of_ipv6(address):
            yield from (b"%d" % half, b"%d" % (2**64 - half))


def _hex_forms(address: Address) -> Iterator[bytes]:
    """Yield forms of which the hex digits alone, in order, are looked for."""
    digits = address.packed.hex().encode()
    yield digits
    yield address.packed[::-1].hex().encode()
    for text in _spellings(address):
        yield text.hex().encode()
    if isinstance(address, IPv4Address):
        for octets in (address.packed, address.packed[::-1]):
            yield b".".join(b"%x" % octet for octet in octets)
            yield b".".join(b"0x%x" % octet for octet in octets)
        yield b"%x:%x" % _halves(address)
        return
    yield digits[::-1]
    full = address.exploded.encode().split(b":")
    for groups in (full, [group.lstrip(b"0") or b"0" for group in full], str(address).encode().split(b":")):
        yield b":".join(groups)
        yield b"=3A".join(groups)
    yield b":".join(full[:6]) + b":%d.%d.%d.%d" % tuple(address.packed[12:])
    if address.is_global:
        yield b":".join(full[:4])
        yield digits[:16][::-1]


def _raw_forms(address: Address) -> Iterator[bytes]:
    raw = address.packed
    if not unmistakable(address):
        yield bytes((0x87, len(raw))) + raw  # iPAddress of a certificate's subjectAltName (RFC 5280, 4.2.1.6)
        return
    yield raw
    if not raw.isascii():
        yield raw.decode("latin-1").encode()


def _spellings(address: Address) -> tuple[bytes, ...]:
    """The ways to write an address that are themselves encoded."""
    plain = str(address).encode()
    if isinstance(address, IPv4Address):
        return plain, plain.replace(b".", b"-")
    bare = b":".join(b"%x" % int(group, 16) for group in address.exploded.split(":"))
    return tuple(dict.fromkeys((plain, plain.upper(), address.exploded.encode(), bare)))


def _digests(address: Address, *algorithms: str) -> Iterator[bytes]:
    """Yield unsalted hashes, of an address that is worth it: anyone can try 2^32 until one fits."""
    if not at_home(address):
        for algorithm in algorithms or ("md5", "sha1", "sha256", "sha512"):
            yield hashlib.new(algorithm, str(address).encode(), usedforsecurity=False).digest()


_OTHER_DIGITS = ("\u0660.", "\u0660\u066b", "\u06f0.", "\u06f0\u066b", "\u0966.", "\u09e6.", "\uff10.", "\uff10\uff0e")
"""Zero and the dot between numbers: Arabic, Persian, Devanagari, Bengali, full width."""


def _in_other_digits(address: Address) -> Iterator[str]:
    """Yield an address as pages write it in the digits of their language."""
    if isinstance(address, IPv4Address) and distinctive(address):
        for pair in _OTHER_DIGITS:
            digits = {ord("0") + n: chr(ord(pair[0]) + n) for n in range(10)}
            yield str(address).translate({**digits, ord("."): pair[1]})


def _misread(text: str) -> bytes:
    """Return what becomes of a text in UTF-8 that was read as Latin-1, as headers are."""
    return text.encode().decode("latin-1").encode()


def _in_json(text: str) -> bytes:
    return "".join(c if c.isascii() else f"\\u{ord(c):04x}" for c in text).encode()


def _halves_of_ipv6(address: IPv6Address) -> Iterator[tuple[str, int]]:
    """Yield (what it is, number) of both halves, as databases keep them, where they are long enough."""
    if address.is_global:
        yield str(ip_network((address, 64), strict=False)), int(address) >> 64
    if (low := int(address) & (1 << 64) - 1) >> 40:
        yield str(address), low


def _halves(address: IPv4Address) -> tuple[int, int]:
    return int(address) >> 16, int(address) & 0xFFFF


def _in_letters(address: Address, base: Base) -> Iterator[tuple[bytes, bytes]]:
    """Yield (run, pattern) of `letters.based` for every text in `base` that an address may be in."""
    if at_home(address):
        if base is BASE64 and len(str(address)) >= 10:  # portals send it along
            yield from (based(str(address).encode(), base, lead) for lead in base.leads)
        return
    for text in _spellings(address) if base is BASE64 else _spellings(address)[:1]:
        for lead in base.leads:
            yield based(text, base, lead)
    if unmistakable(address):
        for lead in base.leads:
            yield based(address.packed, base, lead)
        return
    run, pattern = based(address.packed, base, 0)
    yield run, _between(rb"(?<![A-Za-z0-9+/_-])", rb"(?![A-Za-z0-9+/_-])", pattern)


# Patterns

_TAGS = rb"(?:<[^<>0-9]{0,40}>|\xe2\x80[\x8b-\x8f]|\xe2\x81\xa0|\xc2\xad|\xef\xbb\xbf"  # and what is not seen
_TAGS += rb"|\xc3\xa2\xc2\x80\xc2[\x8b-\x8f]|\xc3\x82\xc2\xad){0,4}"  # the same misread as Latin-1
_DOT = rb"(?:" + _TAGS + rb"(?: ?[.\-_:,/] ?| |=2e|\[\.\]|\(\.\)|[\[( ]dot[\]) ])" + _TAGS + rb")"
_COLON = rb"(?:[:\-_.]|=3a|\[:\])"
_GAP = rb"[\\%&#=:;.,\-_ |+]{0,3}(?:0x|u00|x)?"  # between two bytes in hex
_NOT_IN_NUMBER = rb"(?<![0-9])", rb"(?![0-9])"
_NOT_IN_HEX = rb"(?<![0-9a-f])", rb"(?![0-9a-f])"
_ANYWHERE = rb"", rb""


def patterns(address: Address) -> Iterator[tuple[bytes, str]]:
    """Yield (regular expression, what it finds) for every form of an address, and of an IPv6 home's network."""
    for pattern in _any_case_patterns(address):
        yield rb"(?i:" + pattern + rb")", str(address)
    yield from ((re.escape(raw), str(address)) for raw in _raw_forms(address))
    for base in (BASE64, BASE32):
        yield from ((pattern, str(address)) for _, pattern in _in_letters(address, base))
    for digest in _digests(address, "sha256"):
        yield based(digest, BASE64, 0)[1], str(address)
    for written in _in_other_digits(address):
        yield from ((re.escape(each), str(address)) for each in (written.encode(), _misread(written)))
        yield rb"(?i:" + re.escape(_in_json(written)) + rb")", str(address)
    if isinstance(address, IPv6Address) and unmistakable(address):
        for value, half in _halves_of_ipv6(address):
            yield _between(*_NOT_IN_NUMBER, rb"%d|-%d" % (half, 2**64 - half)), value
    if isinstance(address, IPv6Address) and address.is_global:
        network = str(ip_network((address, 64), strict=False))
        yield from ((rb"(?i:" + pattern + rb")", network) for pattern in _of_network(address))


def _any_case_patterns(address: Address) -> Iterator[bytes]:
    yield from (digest.hex().encode() for digest in _digests(address))
    for text in _spellings(address):
        yield _GAP.join(b"%02x" % c for c in text)
        if unmistakable(address):
            yield _between(*_NOT_IN_NUMBER, rb"[^0-9]{1,6}".join(b"%d" % c for c in text))
    number = b"%d" % int(address)
    yield _between(rb"(?<![0-9.])", rb"(?![0-9])", rb"0*" + number)
    if distinctive(address):
        thousands = [number[max(0, i - 3) : i] for i in range(len(number), 0, -3)][::-1]
        yield _between(rb"(?<![0-9.,])", rb"(?![0-9])", rb"(?:[,.'_ ]|\xc2\xa0|\xe2\x80\xaf)".join(thousands))
    for raw in (address.packed, address.packed[::-1]):
        edges = _ANYWHERE if unmistakable(address) else _NOT_IN_HEX
        yield _between(*edges, rb"(?:0x)?" + _GAP.join(b"%02x" % byte for byte in raw))
    yield from _dotted(address) if isinstance(address, IPv4Address) else _grouped(address)


def _between(before: bytes, after: bytes, pattern: bytes) -> bytes:
    return before + rb"(?:" + pattern + rb")" + after


def _dotted(address: IPv4Address) -> Iterator[bytes]:
    """Yield patterns of four numbers in a row, forwards and backwards, and of what they add up to."""
    numbers = [rb"(?:0*%d|0x0*%x|0+%o)" % (octet, octet, octet) for octet in address.packed]
    backwards = int.from_bytes(address.packed, "little")
    yield _between(*_NOT_IN_NUMBER, rb"0+%o|0+%o" % (int(address), backwards))
    yield _between(b"", rb"(?![0-9a-f])", rb"(?:ffff:|ff9b::|ff9b:1::|2002:)0*%x:0*%x" % _halves(address))
    for row in (numbers, numbers[::-1]):
        if distinctive(address):
            yield _between(*_NOT_IN_NUMBER, _DOT.join(row))
            continue
        yield _between(rb"(?<![0-9a-z])(?<![0-9]\.)", rb"(?!\.?[0-9]|[a-z])", rb"(?:\.|\[\.\]|=2e)".join(row))
        for separator in (b"-", b"_"):
            yield _between(rb"(?<![0-9])(?<![0-9]%s)" % separator, rb"(?!%s?[0-9])" % separator, separator.join(row))
    if distinctive(address):
        a, b, c, d = address.packed
        yield _between(*_NOT_IN_NUMBER, b"%d" % backwards)
        yield _between(*_NOT_IN_NUMBER, b"-%d|-%d" % (2**32 - int(address), 2**32 - backwards))
        yield _between(*_NOT_IN_NUMBER, rb"%d\.%d\.%d" % (a, b, c << 8 | d))
        yield _between(*_NOT_IN_NUMBER, rb"%d\.%d" % (a, b << 16 | c << 8 | d))
        yield _between(*_NOT_IN_HEX, rb"[.:\-]".join(b"0?%x" % octet for octet in (a, b, c, d)))


def _grouped(address: IPv6Address) -> Iterator[bytes]:
    """Yield patterns of eight groups however zeros are written, and of nibbles."""
    groups = [int(group, 16) for group in address.exploded.split(":")]
    edges = _NOT_IN_HEX if distinctive(address) else (rb"(?<![0-9a-f:])", rb"(?![0-9a-f:])")
    tail = rb"\.".join(b"%d" % byte for byte in address.packed[12:])
    zone = rb"(?:%[^\]\s]{1,20}(?=\]))?"
    yield _between(*edges, rb"\[?" + _joined(groups) + zone + rb"\]?")
    yield _between(*edges, rb"\[?" + _joined(groups[:6]) + _COLON + tail + rb"\]?")
    nibbles = [bytes((c,)) for c in address.packed.hex().encode()]
    for row in (nibbles, nibbles[::-1]):
        yield _between(*_NOT_IN_HEX, rb"[.\-:_ ]?".join(row))


def _of_network(address: IPv6Address) -> Iterator[bytes]:
    """Yield patterns of the /64 around it, which tells as much."""
    groups = [int(group, 16) for group in address.exploded.split(":")]
    nibbles = [bytes((c,)) for c in address.packed.hex().encode()]
    prefix = _COLON.join(rb"0{0,3}%x" % group for group in groups[:4])
    yield _between(*_NOT_IN_HEX, rb"\[?" + prefix + _COLON + rb"(?:[0-9a-f:.\-_]*[0-9a-f:]\]?)?")
    yield b"".join(nibbles[:16]) + rb"[0-9a-f]{0,16}"
    yield rb"(?:[0-9a-f][.\-]){0,16}" + rb"[.\-]".join(nibbles[:16][::-1])


def _joined(groups: Sequence[int]) -> bytes:
    """Write a pattern of groups in which a run of zeros may be written out, cut short or left out."""
    pattern, zeros = b"", 0
    for place, group in enumerate(groups):
        if group == 0:
            zeros += 1
            continue
        if zeros:
            before, more = (b"", 1) if zeros == place else (_COLON, 0)
            pattern += before + rb"(?:0{0,4}" + _COLON + rb"){1,%d}" % (zeros + more)
        elif place:
            pattern += _COLON
        pattern += rb"0{0,3}%x" % group
        zeros = 0
    return pattern + (_COLON + rb"(?:0{0,4}" + _COLON + rb"){0,%d}0{0,4}" % zeros if zeros else b"")
