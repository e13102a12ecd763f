"""JSON is taken in one form only."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from measurements.evidence.canonical import canonical
from measurements.evidence.strict import MOST_BYTES, NotCanonical, check_canonical, strict_json

values: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53) + 1, 2**53 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"]), max_size=3), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(values)
@example(1e16)
@example([1e-5, 0.0, -0.0, 1e21, 5e-324, 123456.0])
@example({"\U0001f600": 1, "\uffff": 2})
def test_the_canonical_form_is_taken_and_python_s_only_where_it_is_the_same(value: Any) -> None:
    right = canonical(value)
    check_canonical(right, "it")
    for other in (json.dumps(value), json.dumps(value, separators=(",", ":"), sort_keys=True, ensure_ascii=False)):
        if other.encode() != right:
            with pytest.raises(NotCanonical):
                check_canonical(other.encode(), "it")


BAD = {
    "a key twice": b'{"a":1,"a":1}',
    "keys in another order": b'{"b":1,"a":1}',
    "a space": b'{"a": 1}',
    "a line end": b'{"a":1}\n',
    "a mark of the order of bytes": b'\xef\xbb\xbf{"a":1}',
    "an escape where none must be": b'{"a":"\\u0041"}',
    "a solidus escaped": b'{"a":"\\/"}',
    "half a surrogate pair": b'{"a":"\\ud800"}',
    "bytes that are no UTF-8": b'{"a":"\xff"}',
    "an overlong form": b'{"a":"\xc0\xaf"}',
    "NaN": b'{"a":NaN}',
    "infinity": b'{"a":-Infinity}',
    "more than a double holds": b'{"a":12345678901234567890}',
    "a number of 5,000 digits": b'{"a":1' + b"0" * 5000 + b"}",
    "a whole number with a point": b'{"a":1.0}',
    "an exponent": b'{"a":1e2}',
    "minus nought": b'{"a":-0}',
    "a nought before": b'{"a":01}',
    "deep nesting": b"[" * 100_000 + b"]" * 100_000,
    "deep objects": b'{"a":' * 50_000 + b"1" + b"}" * 50_000,
    "nothing": b"",
    "two values": b"1 2",
    "another encoding": '{"a":1}'.encode("utf-16"),
}


@pytest.mark.parametrize("data", BAD.values(), ids=BAD)
def test_no_other_form_is_taken(data: bytes) -> None:
    with pytest.raises(NotCanonical, match="it ") as refusal:
        strict_json(data, "it", dict[str, Any])
    assert len(str(refusal.value)) < 400


def test_a_text_too_large_is_not_read() -> None:
    with pytest.raises(NotCanonical, match="larger"):
        check_canonical(b"1" * (MOST_BYTES + 1), "it")


def test_the_kind_must_be_right() -> None:
    with pytest.raises(NotCanonical, match="it is not what it must be"):
        strict_json(b'{"a":1}', "it", list[int])
    assert strict_json(b"[1,2]", "it", list[int]) == [1, 2]
