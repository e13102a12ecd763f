"""Commitments to what was taken out of a measurement: they tell nothing, and can be opened later.

A commitment is an HMAC-SHA256 (RFC 2104) of what was taken out, under the salt of its measurement. Who has the salt
and the value can show that just this was taken out, and that it was the same wherever the same commitment stands.
Without the salt nobody can try all addresses until one fits: it is 256 bits, and not kept with the measurement.

Each measurement has a salt of its own, made of the probe's redaction secret and the measurement's id. So one can be
opened and the others stay shut, and one value has unlike commitments in two measurements.

128 bits of each are kept: room is scarce in a host's name. To find a second value for a given one takes 2^128 tries,
and to find two that share one, for a volunteer who would cheat so, 2^64.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

NO_HOST = "redacted.invalid"  # RFC 2606: may stand in a URL, and cannot exist
SALT_BYTES = 32

_DIGITS = 32  # of a commitment, in hex
_ENTRY = re.compile(r"(?P<place>.*): (?P<kind>[a-z]+)(?: (?P<commitment>[0-9a-f]{32}))?", re.DOTALL)


@dataclass(frozen=True, slots=True, order=True)
class Removal:
    """One thing that was taken out: where (`1.body`, or the token that stands for a router), what kind, what it was.

    `commitment` are 32 hex digits; None where none was made: in a measurement of somebody else's, or of an older
    version, and for what was cut off half.
    """

    place: str
    kind: str
    commitment: str | None = None

    def __str__(self) -> str:
        return f"{self.place}: {self.kind}" + (f" {self.commitment}" if self.commitment else "")


def removals(redacted: Iterable[str]) -> Iterator[Removal]:
    """Read `Measurement.redacted`; what cannot be read is passed over."""
    for entry in redacted:
        if (match := _ENTRY.fullmatch(entry)) is not None:
            yield Removal(match["place"], match["kind"], match["commitment"])


def salt_of(secret: bytes, measurement_id: str) -> bytes:
    """Make the salt of one measurement from the probe's redaction secret: 32 bytes."""
    return hmac.digest(secret, b"wazi redaction\0" + measurement_id.encode(), "sha256")


def commitment(salt: bytes, kind: str, value: str | bytes) -> str:
    """Commit to a value: 32 hex digits, the first half of an HMAC-SHA256 of kind, NUL and value under the salt."""
    raw = value.encode("utf-8", "surrogatepass") if isinstance(value, str) else value
    return hmac.digest(salt, kind.encode() + b"\0" + raw, "sha256").hex()[:_DIGITS]


def opens(committed: str, salt: bytes, kind: str, value: str | bytes) -> bool:
    """Say whether a commitment was made of this value under this salt."""
    return len(salt) == SALT_BYTES and hmac.compare_digest(committed.encode(), commitment(salt, kind, value).encode())


# What stands in the place of what was taken out

_MARK = rb"\[redacted:[a-z]{1,20}(?::[0-9a-f]{32})?\]"
_WHOLE_MARK = re.compile(_MARK)
_ANY_MARK = re.compile(_MARK + rb"|redacted\.invalid")
_COMMITTED = re.compile(rb"\[redacted:[a-z]{1,20}:([0-9a-f]{32})\]|r([0-9a-f]{32})\.redacted\.invalid")


def mark(kind: str, committed: str | None) -> str:
    """Write what stands in a text for people: `[redacted:address:3f2a…]`, without a salt `[redacted:address]`."""
    return f"[redacted:{kind}:{committed}]" if committed else f"[redacted:{kind}]"


def host_mark(committed: str | None) -> str:
    """Write what stands in a name or a URL: `r3f2a….redacted.invalid`, without a salt `redacted.invalid`.

    It begins with a letter, so that numbers before it (`1-2-3-`) do not go on in it.
    """
    return f"r{committed}.{NO_HOST}" if committed else NO_HOST


def is_mark(text: str | bytes) -> bool:
    """Say whether a text is nothing but one mark."""
    raw = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
    return _WHOLE_MARK.fullmatch(raw) is not None


def holds_mark(text: bytes) -> bool:
    """Say whether a mark stands in a text."""
    return _ANY_MARK.search(text) is not None


def commitments_in(text: bytes) -> Iterator[str]:
    """Yield every commitment that stands in a text, in order."""
    for match in _COMMITTED.finditer(text):
        yield (match[1] or match[2]).decode()
