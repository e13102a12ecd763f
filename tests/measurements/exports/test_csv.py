import csv
import io
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from measurements.exports.columns import COLUMNS
from measurements.exports.csv import escape, read, unescape, write
from measurements.exports.judged import Judged
from measurements.model import Finding, Measurement, Mechanism, Outcome, Target, Vantage, Verdict

TARGET = Target(url="https://site.example/", scheme="https", host="site.example", port=443, category="NEWS")


def row(**changes: object) -> Judged:
    measurement = Measurement(
        id="0f" * 16, sequence=7, nettest="web", target=TARGET, vantage=Vantage(probe_id="p1", asn=64500), started=1.5
    )
    finding = Finding(rule="tls.reset_by_name", outcome=Outcome.BLOCKED, evidence=(9, 4))
    verdict = Verdict(
        outcome=Outcome.BLOCKED, mechanism=Mechanism.TLS_RESET, summary="It is reset.", findings=(finding,)
    )
    return Judged(measurement, msgspec.structs.replace(verdict, **changes))


def exported(*rows: Judged) -> bytes:
    stream = io.BytesIO()
    assert write(iter(rows), stream) == len(rows)
    return stream.getvalue()


@given(st.text(st.characters()))
def test_any_text_is_read_back_exactly(text: str) -> None:
    assert unescape(escape(text)) == text


@given(st.text(st.characters()))
def test_any_text_is_read_back_exactly_from_a_file(text: str) -> None:
    (back,) = read(io.BytesIO(exported(row(summary=text))))
    assert back["summary"] == text


FORMULA = ("=", "+", "-", "@", "＝", "＋", "－", "＠")


@given(st.text(st.sampled_from("=+-@|%'\";, \t\r\n\\x3b＝1e.A") | st.characters()))
def test_no_cell_begins_a_formula_wherever_a_spreadsheet_splits_it(text: str) -> None:
    first, *rest = re.split(r"[;\t\r\n]", escape(text))
    assert first.startswith("'") or not first.lstrip(" \"'").startswith(FORMULA)
    for cell in rest:
        assert not cell.lstrip(" \"'").startswith(FORMULA)


@pytest.mark.parametrize(
    ("text", "cell"),
    [
        ("plain words", "plain words"),
        ("=1+1", "'=1+1"),
        (" @SUM(A1)", "' @SUM(A1)"),
        ("＝1", "'＝1"),
        ("'quoted", "''quoted"),
        ("007", "'007"),
        ("12e45", "'12e45"),
        ("1,234.5 %", "'1,234.5 %"),
        ("a;=b", r"a\x3b=b"),
        ('a; "=b', r'a\x3b "=b'),
        ("a;b", "a;b"),
        ("two\r\nlines", r"two\x0d\x0alines"),
        ("back\\slash", r"back\\slash"),
        ("bell\x07 and line\u2028", r"bell\x07 and line\u2028"),
    ],
)
def test_escaping(text: str, cell: str) -> None:
    assert escape(text) == cell
    assert unescape(cell) == text


def test_a_row_holds_what_the_columns_promise() -> None:
    heading, line, rest = exported(row()).decode().split("\r\n")
    assert heading == ",".join(COLUMNS)
    assert rest == ""
    cells = dict(zip(COLUMNS, next(csv.reader([line])), strict=True))
    assert cells["id"] == "0f" * 16
    assert cells["started"] == "1970-01-01T00:00:01.500000Z"
    assert cells["outcome"] == "blocked"
    assert cells["mechanism"] == "tls.reset"
    assert cells["confidence"] == ""
    assert cells["asn"] == "64500"
    assert cells["rules"] == "tls.reset_by_name"
    assert cells["evidence"] == "4 9"


def test_a_time_no_calendar_holds_is_written_as_a_number() -> None:
    odd = row()._replace(measurement=msgspec.structs.replace(row().measurement, started=1e20))
    (back,) = read(io.BytesIO(exported(odd)))
    assert back["started"] == "1e+20"


def test_little_is_held_back() -> None:
    stream = io.BytesIO()
    sizes = []

    def rows() -> Iterator[Judged]:
        for _ in range(200):
            sizes.append(len(stream.getvalue()))
            yield row()

    write(rows(), stream)
    each = len(stream.getvalue()) / 200
    assert max(each * n - size for n, size in enumerate(sizes)) < 20_000
    assert not stream.closed


@given(st.floats(-6e10, 2.5e11))
def test_a_time_is_written_as_the_calendar_has_it(seconds: float) -> None:
    odd = row()._replace(measurement=msgspec.structs.replace(row().measurement, started=seconds))
    (back,) = read(io.BytesIO(exported(odd)))
    written = datetime.fromisoformat(back["started"])
    assert abs(written - datetime(1970, 1, 1, tzinfo=UTC) - timedelta(seconds=seconds)) <= timedelta(microseconds=1)
