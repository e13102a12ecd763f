"""Letters that stand for a few bits each: base64 and base32 (RFC 4648), plain or safe in a URL.

A text may stand anywhere in what was encoded, so that the letters at its ends stand for its neighbours' bits too.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import product


@dataclass(frozen=True)
class Base:
    name: str
    bits: int
    leads: tuple[int, ...]  # how many bits of the first letter may belong to what stands before
    letters: tuple[bytes, ...]  # the characters that stand for each value, the needle's one first


_UPPER = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ"
BASE64 = Base("base64", 6, (0, 2, 4), (*(bytes((c,)) for c in _UPPER + _UPPER.lower() + b"0123456789"), b"+-", b"/_"))
BASE32 = Base("base32", 5, (0,), tuple(bytes(dict.fromkeys((c, *bytes((c,)).lower()))) for c in _UPPER + b"234567"))


def based(raw: bytes, base: Base, lead: int) -> tuple[bytes, bytes]:
    """Return (run, pattern) of `raw` in letters, `lead` bits of the first of which belong to what stands before.

    `run` are the letters that `raw` alone decides; `pattern` adds those at both ends of which it decides some bits.
    """
    bits = "." * lead + "".join(f"{byte:08b}" for byte in raw)
    bits += "." * (-len(bits) % base.bits)
    symbols = [bits[i : i + base.bits] for i in range(0, len(bits), base.bits)]
    run = b"".join(base.letters[int(symbol, 2)][:1] for symbol in symbols if "." not in symbol)
    return run, rb"\\?[\r\n]*".join(b"[" + re.escape(_fitting(symbol, base)) + b"]" for symbol in symbols)


def _fitting(symbol: str, base: Base) -> bytes:
    values = product(*("01" if bit == "." else bit for bit in symbol))
    return b"".join(base.letters[int("".join(value), 2)] for value in values)
