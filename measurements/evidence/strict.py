"""Reading JSON that somebody may have written to be read two ways: there is one form of a value, and no other is taken.

RFC 8785 gives every value one text. What is read is written again, and must be the same bytes; so a key that comes
twice, a space, another way to write a number or a letter, and bytes that are no UTF-8 are all refused.
"""

from __future__ import annotations

import json
import re
from typing import Annotated, TypeVar

import msgspec

from measurements.evidence.canonical import EXACT, canonical

Number = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
"""A number of a chain; beyond 2^53 it is written as text."""
Seconds = Annotated[int, msgspec.Meta(ge=0, le=253_402_300_799)]
"""UTC seconds since the epoch, up to the year 9999."""
MOST_BYTES = 8 * 1024 * 1024
"""Of one text: reading it takes twenty times as much memory."""

_DOUBTFUL = re.compile(
    rb"(?:^|[:,\[])-?(?:[0-9]{16}|[0-9]+(?:\.[0-9]+)?[eE]|[0-9]+\.0(?![0-9]))|(?:^|[:,\[])-0|[\xf0-\xff]"
)

T = TypeVar("T")


class NotCanonical(ValueError):
    """A text is not canonical JSON, or not of the kind that it must be; the sentence names what it is of."""


def strict_json(data: bytes, what: str, kind: type[T]) -> T:
    """Read one canonical value of a kind; raises NotCanonical, which names `what`."""
    check_canonical(data, what)
    try:
        return msgspec.json.decode(data, type=kind, strict=False)
    except (ValueError, RecursionError) as error:  # msgspec's errors are ValueErrors
        raise NotCanonical(f"{what} is not what it must be: {_brief(error)}") from None


def check_canonical(data: bytes, what: str) -> None:
    """See that a text is canonical JSON; raises NotCanonical."""
    if len(data) > MOST_BYTES:
        raise NotCanonical(f"{what} is larger than {MOST_BYTES} bytes")
    try:
        text = data.decode("utf-8")
        same = _is_plain(text, data)
        if not same:
            same = canonical(json.loads(text, parse_int=_whole, parse_constant=_refuse)) == data
    except (ValueError, RecursionError) as error:
        raise NotCanonical(f"{what} is not JSON: {_brief(error)}") from None
    if not same:
        raise NotCanonical(f"{what} is not in the one form of RFC 8785")


def _is_plain(text: str, data: bytes) -> bool:
    """Tell, at a tenth of the cost, that a text is canonical as Python's own encoder writes it; False may be wrong.

    The two differ in some numbers, and in the order of keys with letters beyond U+FFFF.
    """
    if _DOUBTFUL.search(data):
        return False
    value = json.loads(text, parse_constant=_refuse)
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode() == data


def _whole(digits: str) -> int | float:
    """Read a whole number; beyond 2^53 it is that of a double, as RFC 8785 has it."""
    number = int(digits)
    return number if -EXACT <= number <= EXACT else float(number)


def _refuse(word: str) -> None:
    raise ValueError(f"{word} is no number")


def _brief(error: Exception) -> str:
    return "it is nested too deeply" if isinstance(error, RecursionError) else str(error)[:200]
