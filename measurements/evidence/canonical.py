"""One fact, one text, one digest: canonical JSON (RFC 8785), and the canonical record of a measurement.

A record is what is kept of a measurement, written so that whoever has the same fact has the same bytes: each page body
is replaced by the SHA-256 of its kept copy (as the store does), so that a page may be dropped later; fields that have
their default value are left out, so that a later version that knows more fields writes the same bytes of an old
measurement; bytes are base64. RFC 8785 has only the numbers that a double holds: a whole number beyond 2^53 is
written as a string of its digits, as its appendix D advises, and NaN or infinity as null. `read_record` takes both.

`record` does not call `rfc8785`, which takes four times as long, and a probe hashes all that it measures: msgspec
escapes text as RFC 8785 demands, keys come sorted from a plan made once for each kind of value, and only such floats
as the two write differently are written by `rfc8785`. A test holds the two together.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import cache
from hashlib import sha256
from typing import Any

import msgspec
import rfc8785

from measurements.model import AnyObservation, HttpExchange, Measurement

BODY_LIMIT = 64 * 1024
"""Bytes of a page that are kept."""
EXACT = 2**53 - 1
"""Up to here a double holds every whole number."""

Bodies = dict[bytes, bytes]
_ALIKE = 1e-3  # from here to 2^53 the two write floats that are not whole numbers alike
_encode = msgspec.json.Encoder().encode


def canonical(value: object) -> bytes:
    """Write a plain JSON value (dict, list, str, int, float, bool or None) as RFC 8785 says.

    Raises ValueError for what has no such form: NaN, infinity, whole numbers beyond 2^53, half a surrogate pair, keys
    that are no text, and anything that is not JSON.
    """
    try:
        return rfc8785.dumps(value)  # type: ignore[arg-type]  # it checks what it is given
    except (UnicodeEncodeError, RecursionError) as error:  # of keys, which it does not guard
        raise ValueError(f"has no canonical form: {error}") from None


def line(**members: str | int) -> bytes:
    """Write an object of texts and whole numbers in canonical form, in a tenth of the time that `canonical` takes."""
    return _encode({key: _plain(members[key]) for key in sorted(members)})


def without_bodies(measurement: Measurement) -> tuple[Measurement, Bodies]:
    """Return a measurement that names its pages by the SHA-256 of their kept copies, and the copies by digest."""
    bodies: Bodies = {}
    observations = tuple(_without_body(step, bodies) for step in measurement.observations)
    return msgspec.structs.replace(measurement, observations=observations), bodies


def record(measurement: Measurement) -> bytes:
    """Write the canonical record of a measurement; raises ValueError for text with half a surrogate pair."""
    return record_as_kept(without_bodies(measurement)[0])


def record_as_kept(bare: Measurement) -> bytes:
    """Write the canonical record of a measurement that names its pages already, as the store keeps it."""
    return _encode(_plain(bare))


def record_digest(measurement: Measurement) -> str:
    """Return the SHA-256 of the canonical record, in hexadecimal."""
    return sha256(record(measurement)).hexdigest()


def read_record(data: bytes) -> Measurement:
    """Read a canonical record, whose pages are digests; raises `msgspec.DecodeError` or its ValidationError."""
    return msgspec.json.decode(data, type=Measurement, strict=False)


def _without_body(step: AnyObservation, bodies: Bodies) -> AnyObservation:
    if not isinstance(step, HttpExchange) or not step.body:
        return step
    copy = step.body[:BODY_LIMIT]
    digest = sha256(copy).digest()
    bodies[digest] = copy
    return msgspec.structs.replace(step, body=digest)


def _plain(value: Any) -> Any:
    """Return what msgspec writes in canonical form."""
    kind = type(value)
    if kind is str or kind is bool or value is None or kind is bytes:
        return value
    if kind is float:
        return _float(value)
    if kind is int:
        return value if -EXACT <= value <= EXACT else str(value)
    if kind is tuple:
        return [_plain(one) for one in value]
    if isinstance(value, msgspec.Struct):
        return _fields(value, kind)
    return value  # a word of an enumeration


def _float(number: float) -> Any:
    size = abs(number)
    if _ALIKE <= size <= EXACT or not size:
        return int(number) if number.is_integer() else number
    if not math.isfinite(number):
        return None
    return msgspec.Raw(rfc8785.dumps(number))


def _fields(value: msgspec.Struct, kind: type[msgspec.Struct]) -> Mapping[str, Any]:
    written: dict[str, Any] = {}
    for key, name, default in _plan(kind):
        if name is None:
            written[key] = default  # the tag
            continue
        found = getattr(value, name)
        if found is not default and found != default:
            written[key] = _plain(found)
    return written


@cache
def _plan(kind: type[msgspec.Struct]) -> tuple[tuple[str, str | None, Any], ...]:
    """List the keys of a kind of value in order, each with its field (None: the tag) and its default."""
    plan: list[tuple[str, str | None, Any]] = [
        (field.encode_name, field.name, field.default) for field in msgspec.structs.fields(kind)
    ]
    config = kind.__struct_config__
    if config.tag is not None:
        plan.append((str(config.tag_field), None, config.tag))
    return tuple(sorted(plan))
