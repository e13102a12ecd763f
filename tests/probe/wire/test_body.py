"""Bodies and titles, as a peer may send them in pieces."""

from __future__ import annotations

import gzip
import random
import time
import zlib
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from probe.wire.body import KEPT, MOST_MEMBERS, Body, find_title


def read(data: bytes, encoding: str = "", *, most: int = 1 << 20, piece: int = 4096) -> Body:
    body = Body(encoding, most, "decoded")
    for start in range(0, len(data), piece):
        if not body.feed(data[start : start + piece]):
            return body
    body.finish()
    return body


def raw_deflate(data: bytes) -> bytes:
    squeeze = zlib.compressobj(9, zlib.DEFLATED, -15)
    return squeeze.compress(data) + squeeze.flush()


CODINGS: dict[str, Callable[[bytes], bytes]] = {
    "": bytes,
    "gzip": gzip.compress,
    "x-gzip": gzip.compress,
    "deflate": zlib.compress,
    "DEFLATE ": raw_deflate,
}


@given(st.binary(max_size=3000), st.sampled_from(sorted(CODINGS)), st.integers(1, 500), st.integers(1, 40))
def test_whatever_the_pieces_the_body_is_the_same(data: bytes, coding: str, piece: int, repeat: int) -> None:
    body = read(CODINGS[coding](data * repeat), coding, piece=piece)
    assert (body.truncated, body.length) == (None, len(data) * repeat)
    assert bytes(body.kept) == (data * repeat)[:KEPT]


@pytest.mark.parametrize("coding", sorted(CODINGS))
def test_the_cap_is_exact(coding: str) -> None:
    data = random.Random(1).randbytes(200_000)
    packed = CODINGS[coding](data)
    assert read(packed, coding, most=200_000).truncated is None
    cut = read(packed, coding, most=199_999)
    assert (cut.truncated, cut.length) == ("decoded", 199_999)
    assert len(cut.kept) == KEPT


def test_members_follow_each_other_up_to_a_number() -> None:
    assert bytes(read(gzip.compress(b"ab") + gzip.compress(b"cd"), "gzip").kept) == b"abcd"
    assert read(gzip.compress(b"x") * MOST_MEMBERS, "gzip").length == MOST_MEMBERS
    assert read(gzip.compress(b"x") * (MOST_MEMBERS + 1), "gzip").truncated == "encoding"


def test_padding_behind_a_compressed_body_is_forgiven() -> None:
    body = read(gzip.compress(b"page") + bytes(5000), "gzip", piece=10)
    assert (body.truncated, bytes(body.kept)) == (None, b"page")


def test_a_body_that_ends_early_says_so() -> None:
    body = read(gzip.compress(random.Random(1).randbytes(10_000))[:5000], "gzip")
    assert body.truncated == "encoding"
    assert "ended early" in body.problem


@pytest.mark.parametrize("coding", ["br", "zstd", "gzip, gzip", "x" * 5000])
def test_other_codings_are_kept_as_they_came_within_the_cap(coding: str) -> None:
    body = read(b"z" * 5000, coding)
    assert (body.truncated, body.length) == ("encoding", 5000)
    assert len(body.problem) < 200
    assert read(b"z" * 5000, coding, most=100).truncated == "decoded"


@pytest.mark.parametrize(
    ("page", "title"),
    [
        (b"<html><TITLE lang='en'>\n  Wide &amp;\topen </TITLE>", "Wide & open"),
        (b"<titlebar>no</titlebar><title>yes</title>", "yes"),
        (b"<title>unfinished", "unfinished"),
        (b"<title", None),
        (b"no title", None),
        (b"<title></title>", ""),
        ("<title>Привет</title>".encode(), "Привет"),
        (b"<title>" + b"x" * 10_000 + b"</title>", "x" * 512),
    ],
)
def test_titles(page: bytes, title: str | None) -> None:
    assert find_title(page, None) == title


@pytest.mark.parametrize("charset", ["iso-8859-1", '"latin1"', "no-such-charset", "base64", "undefined"])
def test_a_title_is_decoded_as_the_page_says_or_somehow(charset: str) -> None:
    title = find_title("<title>é</title>".encode("latin-1"), f"text/html; charset={charset}")
    assert title == ("é" if "1" in charset else "\N{REPLACEMENT CHARACTER}")


def test_finding_a_title_takes_linear_time() -> None:
    began = time.perf_counter()
    for page in (b"<title" * 10_000, b"<titlex>" * 8000, b"<title " * 9000 + b"</title" * 9000):
        find_title(page[:KEPT], "text/html; charset" + " " * 60_000)
    assert time.perf_counter() - began < 0.5
