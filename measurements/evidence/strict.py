"""Reading JSON that somebody may have written to be read two ways: there is one form of a value, and no other is taken.

RFC 8785 gives every value one text. What is read is written again, and must be the same bytes; so a key that comes
twice, a space, another way to write a number or a letter, and bytes that are no UTF-8 are all refused.
"""

from __future__ import annotations

import json
from typing import Any, TypeVar

import msgspec

from measurements.evidence.canonical import canonical

MOST_BYTES = 16 * 1024 * 1024
"""Of one text: reading it takes twenty times as much memory."""

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
        value: Any = json.loads(data.decode("utf-8"), parse_constant=_refuse)
        same = canonical(value) == data
    except (ValueError, RecursionError) as error:
        raise NotCanonical(f"{what} is not JSON: {_brief(error)}") from None
    if not same:
        raise NotCanonical(f"{what} is not in the one form of RFC 8785")


def _refuse(word: str) -> None:
    raise ValueError(f"{word} is no number")


def _brief(error: Exception) -> str:
    return "it is nested too deeply" if isinstance(error, RecursionError) else str(error)[:200]
