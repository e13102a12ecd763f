"""Commitments: they open with the salt and the value, with nothing else, and tell nothing without."""

from __future__ import annotations

import hashlib
import hmac

from hypothesis import given
from hypothesis import strategies as st

from measurements.commitments import (
    Removal,
    commitment,
    commitments_in,
    host_mark,
    is_mark,
    mark,
    opens,
    removals,
    salt_of,
)

SECRET, ID = bytes(range(32)), "ab" * 16
SALT = salt_of(SECRET, ID)

values = st.one_of(st.text(max_size=40), st.binary(max_size=40))
kinds = st.sampled_from(["address", "cookie", "certificate", "router"])


def test_a_commitment_is_what_three_lines_of_python_make_of_it() -> None:
    salt = hmac.new(SECRET, b"wazi redaction\x00" + ID.encode(), hashlib.sha256).digest()
    made = hmac.new(salt, b"address\x00203.0.113.77", hashlib.sha256).hexdigest()[:32]
    assert salt == SALT
    assert commitment(SALT, "address", "203.0.113.77") == made


@given(kinds, values)
def test_it_opens_with_its_salt_kind_and_value(kind: str, value: str | bytes) -> None:
    made = commitment(SALT, kind, value)
    assert opens(made, SALT, kind, value)
    assert not opens(made, salt_of(SECRET, "ac" * 16), kind, value)
    assert not opens(made, salt_of(bytes(32), ID), kind, value)
    assert not opens(made, SALT, kind + "s", value)
    assert not opens(made, SALT, kind, f"{value}x" if isinstance(value, str) else value + b"x")
    assert not opens(made[:-1], SALT, kind, value)


def test_a_guessable_salt_opens_nothing() -> None:
    assert not opens(commitment(b"", "address", "x"), b"", "address", "x")


def test_one_value_has_one_commitment_in_a_measurement_and_another_elsewhere() -> None:
    other = salt_of(SECRET, "ac" * 16)
    assert commitment(SALT, "address", "x") == commitment(SALT, "address", b"x")
    assert commitment(SALT, "address", "x") != commitment(other, "address", "x")


def test_the_list_is_read_back_also_from_older_measurements() -> None:
    listed = (
        Removal("1.body", "address", "3f" * 16),
        Removal("1.headers", "client"),
        Removal("private-1", "router", "00" * 16),
        Removal("", "address"),
    )
    assert tuple(removals(map(str, listed))) == listed
    assert str(listed[0]) == "1.body: address " + "3f" * 16
    assert list(removals(["1.headers: client"])) == [Removal("1.headers", "client")]
    assert list(removals(["", "nothing", "x: y z", "x: address 3f"])) == []


def test_marks_are_found_in_a_text() -> None:
    one, other = "3f" * 16, "0a" * 16
    text = f"a {mark('address', one)} b http://host-{host_mark(other)}/ {mark('cookie', None)} {host_mark(None)}"
    assert list(commitments_in(text.encode())) == [one, other]
    assert (mark("cookie", None), host_mark(None)) == ("[redacted:cookie]", "redacted.invalid")
    for marked in (mark("client", one), mark("cookie", None)):
        assert is_mark(marked)
        assert is_mark(marked.encode())
        assert not is_mark(marked + "x")
    assert not is_mark("[redacted:cookie:3f]")
