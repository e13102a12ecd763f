"""Sixty ways and more in which a server, a page or a certificate may say a visitor's address.

They are written from what such things do (nginx, PHP, JavaScript, name servers, load balancers), and
know nothing of how redaction looks for them.
"""

from __future__ import annotations

import base64
import hashlib
import ipaddress
import json
from collections.abc import Callable
from urllib.parse import quote

Encode = Callable[[bytes], bytes]


def _each(form: str) -> Callable[[str], bytes]:
    return lambda text: "".join(form.format(ord(c)) for c in text).encode()


def _base64_at(lead: int, text: bytes) -> bytes:
    """Encode `text` behind `lead` other bytes and before others, as part of a longer token."""
    return base64.b64encode(b"x" * lead + text + b"yz")


def _digits(address: str, zero: str) -> str:
    return address.translate({ord("0") + n: ord(zero) + n for n in range(10)})


def _token(plain: str) -> bytes:
    """Make a token as cookies and URLs carry it: base64url of JSON, between two others and without padding."""
    parts = ({"alg": "HS256"}, {"sub": 7, "ip": plain, "exp": 1}, {"x": 1})
    made = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=") for part in parts]
    return b".".join(made)


def _common(plain: str, packed: bytes) -> dict[str, bytes]:
    raw = plain.encode()
    return {
        "plain": raw,
        "hex": packed.hex().encode(),
        "hex, upper case": packed.hex().upper().encode(),
        "0x hex": b"0x" + packed.hex().encode(),
        "hex with colons": packed.hex(":").encode(),
        "hex with dashes, upper case": packed.hex("-").upper().encode(),
        "hex with spaces": packed.hex(" ").encode(),
        "\\x hex": "".join(f"\\x{b:02x}" for b in packed).encode(),
        "%-escaped raw bytes": "".join(f"%{b:02X}" for b in packed).encode(),
        "urlencoded raw bytes": quote(packed).encode(),
        "decimal": str(int.from_bytes(packed, "big")).encode(),
        "raw bytes": packed,
        "every character %-escaped": _each("%{:02X}")(plain),
        "every character %-escaped twice": _each("%25{:02x}")(plain),
        "every character a decimal entity": _each("&#{};")(plain),
        "every character a hex entity": _each("&#x{:x};")(plain),
        "every character a padded entity": _each("&#0{:03};")(plain),
        "every character \\u-escaped": _each("\\u{:04x}")(plain),
        "every character \\x-escaped": _each("\\x{:02x}")(plain),
        "hex of the text": raw.hex().encode(),
        "base64 of the text": base64.b64encode(raw),
        "base64 of the text after 1 byte": _base64_at(1, raw),
        "base64 of the text after 2 bytes": _base64_at(2, raw),
        "base64 of raw bytes": base64.b64encode(packed),
        "base64 of raw bytes after 1 byte": _base64_at(1, packed),
        "base64 of raw bytes after 2 bytes": _base64_at(2, packed),
        "base64url of raw bytes": base64.urlsafe_b64encode(packed).rstrip(b"="),
        "base32 of the text": base64.b32encode(raw),
        "base64 of JSON in a token": _token(plain),
        "UTF-16, little-endian": plain.encode("utf-16-le"),
        "UTF-16, big-endian": plain.encode("utf-16-be"),
        "character codes": ",".join(str(ord(c)) for c in plain).encode(),
        "md5": hashlib.md5(raw).hexdigest().encode(),
        "sha1": hashlib.sha1(raw).hexdigest().encode(),
        "sha256": hashlib.sha256(raw).hexdigest().upper().encode(),
        "sha512": hashlib.sha512(raw).hexdigest().encode(),
        "sha256 in base64": base64.b64encode(hashlib.sha256(raw).digest()),
    }


def of_ipv4(address: str) -> dict[str, bytes]:
    """Give the ways to say an IPv4 address, by name."""
    packed = ipaddress.IPv4Address(address).packed
    octets = [str(b) for b in packed]
    number = int.from_bytes(packed, "big")
    texts = {
        "zero-padded": ".".join(o.zfill(3) for o in octets),
        "dashed name": "host-" + "-".join(octets) + ".dsl.example.net",
        "padded dashed name": "ip" + "-".join(o.zfill(3) for o in octets) + ".example.net",
        "underscored": "_".join(octets),
        "reverse name": ".".join(reversed(octets)) + ".in-addr.arpa",
        "reverse dashed name": "-".join(reversed(octets)) + ".pool.example.net",
        "before a port": address + ":443",
        "%2E for dots": "%2E".join(octets),
        "%252e for dots": "%252e".join(octets),
        "=2E for dots": "=2E".join(octets),
        "entities for dots": "&#46;".join(octets),
        "hex entities for dots": "&#x2e;".join(octets),
        "&period; for dots": "&period;".join(octets),
        "\\u002e for dots": "\\u002e".join(octets),
        "defanged": "[.]".join(octets),
        "JSON numbers": "[" + ", ".join(octets) + "]",
        "octal parts": ".".join(f"0{b:o}" for b in packed),
        "padded octal parts": ".".join(f"{b:04o}" for b in packed),
        "hex parts": ".".join(f"0x{b:x}" for b in packed),
        "octal": f"0{number:o}",
        "little-endian decimal": str(int.from_bytes(packed, "little")),
        "little-endian hex": packed[::-1].hex(),
        "three parts": f"{octets[0]}.{octets[1]}.{number & 0xFFFF}",
        "two parts": f"{octets[0]}.{number & 0xFFFFFF}",
        "IPv4-mapped": "::ffff:" + address,
        "IPv4-mapped in hex": f"::ffff:{number >> 16:x}:{number & 0xFFFF:x}",
        "IPv4-mapped in full": f"0000:0000:0000:0000:0000:ffff:{number >> 16:04x}:{number & 0xFFFF:04x}",
        "NAT64": f"64:ff9b::{number >> 16:x}:{number & 0xFFFF:x}",
        "6to4": f"2002:{number >> 16:x}:{number & 0xFFFF:x}::1",
        "in tags": "<b>" + "</b>.<b>".join(octets) + "</b>",
        "spaces around dots": " . ".join(octets),
        "dot in words": " dot ".join(octets),
        "zero-width spaces": ".\u200b".join(octets),
        "soft hyphens as entities": ".&shy;".join(octets),
        "zero-width spaces as entities": "&#8203;.".join(octets),
        "thousands": f"{number:,}",
        "signed decimal": str(number - 2**32),
        "signed little-endian decimal": str(int.from_bytes(packed, "little") - 2**32),
        "Persian digits": _digits(address, "\u06f0"),
        "Arabic digits and separators": _digits(address, "\u0660").replace(".", "\u066b"),
        "full-width digits and dots": _digits(address, "\uff10").replace(".", "\uff0e"),
        "Hindi digits in JSON": json.dumps(_digits(address, "\u0966"))[1:-1].upper().replace("\\U", "\\u"),
    }
    return _common(address, packed) | {name: text.encode() for name, text in texts.items()}


def of_ipv6(address: str) -> dict[str, bytes]:
    """Give the ways to say an IPv6 address, by name."""
    parsed = ipaddress.IPv6Address(address)
    plain, full = str(parsed), parsed.exploded
    bare = ":".join(f"{int(g, 16):x}" for g in full.split(":"))
    nibbles = list(parsed.packed.hex())
    tail = ".".join(str(b) for b in parsed.packed[12:])
    texts = {
        "upper case": plain.upper(),
        "in full": full,
        "in full, upper case": full.upper(),
        "without zeros to fill": bare,
        "in brackets with a port": f"[{plain}]:443",
        "with a zone": f"{plain}%eth0",
        "dotted end": ":".join(full.split(":")[:6]) + ":" + tail,
        "reverse name": ".".join(reversed(nibbles)) + ".ip6.arpa",
        "nibbles": ".".join(nibbles),
        "ipv6-literal.net": plain.replace(":", "-") + ".ipv6-literal.net",
        "dashed name": "host-" + full.replace(":", "-") + ".example.net",
        "underscored": bare.replace(":", "_"),
        "%3A for colons": plain.replace(":", "%3A"),
        "%253a for colons": full.replace(":", "%253a"),
        "=3A for colons": plain.replace(":", "=3A"),
        "entities for colons": plain.replace(":", "&#58;"),
        "hex entities for colons": full.replace(":", "&#x3A;"),
        "&colon; for colons": plain.replace(":", "&colon;"),
        "\\u003a for colons": bare.replace(":", "\\u003a"),
        "base64 of the full form": base64.b64encode(full.encode()).decode(),
        "base64 without zeros to fill": base64.b64encode(bare.encode()).decode(),
        "two decimals": f"{int(parsed) >> 64} {int(parsed) & (1 << 64) - 1}",
        "signed decimal of the end": str((int(parsed) & (1 << 64) - 1) - 2**64),
    }
    return _common(plain, parsed.packed) | {name: text.encode() for name, text in texts.items()}
