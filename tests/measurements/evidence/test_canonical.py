"""Canonical JSON by RFC 8785's own examples, and records that digest to the same wherever they have been."""

from __future__ import annotations

import io
import json
import math
import struct
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec
import pytest
import rfc8785
from hypothesis import example, given
from hypothesis import strategies as st
from msgspec.structs import replace

from measurements import model
from measurements.evidence.canonical import (
    BODY_LIMIT,
    canonical,
    read_record,
    record,
    record_as_kept,
    record_digest,
    without_bodies,
)
from measurements.model import HttpExchange, Measurement, decode, encode
from probe.records import Record, read_records
from tests.measurements.store.samples import measurement, measurements

GOLDEN = Path(__file__).parent / "golden"

RFC_8785_APPENDIX_B = {
    "0000000000000000": "0",
    "8000000000000000": "0",
    "0000000000000001": "5e-324",
    "8000000000000001": "-5e-324",
    "7fefffffffffffff": "1.7976931348623157e+308",
    "ffefffffffffffff": "-1.7976931348623157e+308",
    "4340000000000000": "9007199254740992",
    "c340000000000000": "-9007199254740992",
    "4430000000000000": "295147905179352830000",
    "44b52d02c7e14af5": "9.999999999999997e+22",
    "44b52d02c7e14af6": "1e+23",
    "44b52d02c7e14af7": "1.0000000000000001e+23",
    "444b1ae4d6e2ef4e": "999999999999999700000",
    "444b1ae4d6e2ef4f": "999999999999999900000",
    "444b1ae4d6e2ef50": "1e+21",
    "3eb0c6f7a0b5ed8c": "9.999999999999997e-7",
    "3eb0c6f7a0b5ed8d": "0.000001",
    "41b3de4355555553": "333333333.3333332",
    "41b3de4355555554": "333333333.33333325",
    "41b3de4355555555": "333333333.3333333",
    "41b3de4355555556": "333333333.3333334",
    "41b3de4355555557": "333333333.33333343",
    "becbf647612f3696": "-0.0000033333333333333333",
    "43143ff3c1cb0959": "1424953923781206.2",
}


class Holder(msgspec.Struct, frozen=True):
    """Something with a float that has no default."""

    value: float


def double(bits: str) -> float:
    value: float = struct.unpack(">d", bytes.fromhex(bits))[0]
    return value


@pytest.mark.parametrize(("bits", "text"), RFC_8785_APPENDIX_B.items())
def test_numbers_are_written_as_the_standard_shows(bits: str, text: str) -> None:
    assert canonical(double(bits)).decode() == text
    assert record_as_kept(Holder(double(bits))).decode() == f'{{"value":{text}}}'  # type: ignore[arg-type]


def test_objects_are_written_as_the_standard_shows() -> None:
    value = {
        "numbers": [333333333.33333329, 1e30, 4.50, 2e-3, 0.000000000000000000000000001],
        "string": '€$\u000f\nA\'B"\\\\"/',
        "literals": [None, True, False],
    }
    assert canonical(value).decode() == (
        '{"literals":[null,true,false],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],'
        '"string":"€$\\u000f\\nA\'B\\"\\\\\\\\\\"/"}'
    )
    keys = ["\u20ac", "\r", "\ufb33", "1", "\U0001f600", "\u0080", "\u00f6"]
    assert list(json.loads(canonical(dict.fromkeys(keys)))) == [keys[at] for at in (1, 3, 5, 6, 0, 4, 2)]


@pytest.mark.parametrize(
    "value", [math.nan, math.inf, 2**53, -(2**53), "\ud800", {"\udc00": 1}, {1: 2}, {"a": {1}}, b"bytes", object()]
)
def test_what_has_no_canonical_form_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match=r"."):
        canonical(value)


@given(measurements)
def test_a_record_is_what_the_library_writes_and_reads_back(fact: Measurement) -> None:
    bare, bodies = without_bodies(fact)
    written = record(fact)
    assert written == record_as_kept(bare)
    assert written == rfc8785.dumps(json.loads(written, parse_int=float))
    assert read_record(written) == bare
    assert {sha256(copy).digest() for copy in bodies.values()} == bodies.keys()


@given(st.floats(allow_nan=False, allow_infinity=False))
@example(1e-3)
@example(math.nextafter(1e-3, 0))
@example(2.0**53 - 1)
@example(4503599627370495.5)
def test_any_number_is_written_as_the_library_does(value: float) -> None:
    assert record_as_kept(Holder(value)) == rfc8785.dumps({"value": value})  # type: ignore[arg-type]


def test_a_number_beyond_a_double_loses_no_measurement() -> None:
    fact = replace(measurement(2**63 - 1), sent=2**53, received=2**53 - 1, connections=-(2**60))
    written = record(fact)
    assert json.loads(written)["sequence"] == str(2**63 - 1)
    assert json.loads(written)["received"] == 2**53 - 1
    assert read_record(written) == without_bodies(fact)[0]
    assert record_as_kept(read_record(written)) == written


def test_a_number_that_is_none_is_written_as_null() -> None:
    for value in (math.nan, math.inf, -math.inf):
        assert json.loads(record(replace(measurement(), runtime=value)))["runtime"] is None


def test_half_a_surrogate_pair_is_refused_as_the_store_refuses_it() -> None:
    fact = replace(measurement(), software="\ud83d")
    with pytest.raises(ValueError, match="surrogate"):
        record(fact)
    with pytest.raises(ValueError, match="surrogate"):
        encode(fact)


def test_a_record_is_the_same_after_an_export_and_an_import() -> None:
    fact = replace(measurement(body=b"\xff\0<html>"), started=1_790_000_000.123456, runtime=1.0)
    line = b'{"schema":1,"measurement":%s}\n' % encode(fact)
    [back] = read_records(io.BufferedReader(io.BytesIO(line)), "file")
    assert isinstance(back, Record)
    assert record_digest(back.measurement) == record_digest(fact)


def test_only_the_kept_part_of_a_page_counts() -> None:
    page = b"x" * (BODY_LIMIT + 5)
    whole, kept = (measurement(id="0" * 32, body=body) for body in (page, page[:BODY_LIMIT]))
    step = whole.observations[2]
    assert isinstance(step, HttpExchange)
    same = replace(whole, observations=(*whole.observations[:2], replace(step, body=page[:BODY_LIMIT])))
    assert record_digest(same) == record_digest(whole) != record_digest(kept)  # they differ in body_length


def test_a_later_version_with_more_fields_writes_the_same_record() -> None:
    fact = measurement()

    class Later(Measurement, frozen=True, kw_only=True):
        """The measurement of a version to come."""

        weather: str | None = None
        winds: tuple[float, ...] = ()

    later = decode(encode(fact), Later)
    assert record(later) == record(fact)
    assert record(replace(later, weather="dry")) != record(fact)


def test_the_golden_records_keep_their_digests() -> None:
    """Records of released versions must digest to the same for ever: never change these files, only add to them."""
    digests = dict(line.split() for line in (GOLDEN / "digests").read_text().splitlines())
    assert digests
    for name, digest in digests.items():
        kept = (GOLDEN / f"{name}.json").read_bytes()
        assert sha256(kept).hexdigest() == digest
        assert record_as_kept(read_record(kept)) == kept
        assert record_as_kept(decode(encode(read_record(kept)), Measurement)) == kept


def test_no_default_has_changed() -> None:
    """A field that was left out of a record, for it had its default, must mean the same for ever.

    Only add to the file: what a new field's default is.
    """
    kept: dict[str, dict[str, Any]] = json.loads((GOLDEN / "defaults.json").read_text())
    assert {name: {field: now[field] for field in kept[name]} for name, now in defaults().items()} == kept


def defaults() -> dict[str, dict[str, Any]]:
    """Return the defaults of all that a measurement consists of."""
    found: dict[str, dict[str, Any]] = {}
    for kind in vars(model).values():
        if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
            named = [field for field in msgspec.structs.fields(kind) if field.default is not msgspec.NODEFAULT]
            found[kind.__name__] = {field.name: json.loads(encode(field.default)) for field in named}
    return found
