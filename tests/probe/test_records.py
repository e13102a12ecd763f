import bz2
import gzip
import io
import json
import lzma
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from measurements.exports.jsonl import line
from measurements.model import Measurement, Outcome, Target, TcpConnect, Vantage, Verdict, encode
from probe.records import BadRecord, Record, read_records

TARGET = Target(url="https://site.example/", scheme="https", host="site.example", port=443)


def made(number: int) -> Measurement:
    step = TcpConnect(id=1, address="192.0.2.1", port=443)
    return Measurement(
        id=f"{number:032x}",
        sequence=number,
        nettest="tcp",
        target=TARGET,
        vantage=Vantage(probe_id="p"),
        started=1.0,
        observations=(step,),
    )


def printed(number: int) -> bytes:
    return line(made(number), Verdict(outcome=Outcome.ACCESSIBLE))


OONI = {
    "test_name": "web_connectivity",
    "test_version": "0.4.3",
    "input": "https://site.example/",
    "measurement_start_time": "2026-11-01 10:00:00",
    "probe_asn": "AS64500",
    "probe_cc": "KE",
    "test_keys": {"queries": [], "tcp_connect": [], "requests": []},
}


def read(data: bytes, **options: int) -> list[Measurement | BadRecord]:
    records = read_records(io.BufferedReader(io.BytesIO(data)), "f", **options)
    return [record.measurement if isinstance(record, Record) else record for record in records]


def plain(data: bytes) -> bytes:
    return data


def two_frames(data: bytes) -> bytes:
    return zstandard.compress(data[:50]) + zstandard.ZstdCompressor(write_content_size=False).compress(data[50:])


@pytest.mark.parametrize("pack", [plain, gzip.compress, zstandard.compress, two_frames])
def test_lines_are_read_plain_or_compressed(pack: Callable[[bytes], bytes]) -> None:
    data = b"\n".join([printed(1).strip(), b"", encode(made(2)), json.dumps(OONI).encode()])
    first, second, third = read(pack(data))
    assert first == made(1)
    assert second == made(2)
    assert isinstance(third, Measurement)
    assert third.source == "ooni"
    assert third.vantage.asn == 64500


@pytest.mark.parametrize("value", [OONI, [OONI, OONI]])
@pytest.mark.parametrize("indent", [None, 2])
def test_one_json_value_over_many_lines_is_read_too(value: object, indent: int | None) -> None:
    records = read(json.dumps(value, indent=indent).encode())
    assert len(records) == (2 if isinstance(value, list) else 1)
    assert all(isinstance(record, Measurement) for record in records)


def test_a_bad_line_is_named_and_the_rest_goes_on() -> None:
    bad = [b"{", b"junk", b"[1]", b"{}", b'{"measurement": {}}', b"\xff\xfe", b"[" * 5000, b'{"test_keys": 7}']
    records = read(b"\n".join([encode(made(1)), *bad, encode(made(2))]))
    assert records[0] == made(1)
    assert records[-1] == made(2)
    assert [record.place for record in records[1:-1] if isinstance(record, BadRecord)] == [
        f"f:{number}" for number in range(2, 10)
    ]
    assert str(records[2]).startswith("f:3: no JSON")


def test_a_line_that_is_too_long_costs_no_more_than_the_limit() -> None:
    long = b'{"x": "' + b"y" * 5000 + b'"}'
    limit = len(encode(made(1))) + 10
    first, second, third = read(b"\n".join([long, encode(made(1)), long]), max_line=limit)
    assert isinstance(first, BadRecord)
    assert first.why == f"longer than {limit} bytes"
    assert second == made(1)
    assert isinstance(third, BadRecord)
    assert third.place == "f:3"


@pytest.mark.parametrize("pack", [gzip.compress, zstandard.compress])
def test_a_damaged_archive_is_named_once(pack: Callable[[bytes], bytes]) -> None:
    whole = pack(b"".join(printed(number) for number in range(300)))
    records = read(whole[: len(whole) // 2])
    assert all(isinstance(record, Measurement) for record in records[:-1])
    assert isinstance(records[-1], BadRecord)
    assert "damaged" in records[-1].why or "no JSON" in records[-1].why


def test_a_mark_before_the_first_line_is_no_part_of_it() -> None:
    assert read(b"\xef\xbb\xbf" + encode(made(1)) + b"\r\n" + encode(made(2)) + b"\r\n") == [made(1), made(2)]


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (bz2.compress(b"x"), "compressed by bzip2"),
        (lzma.compress(b"x"), "compressed by xz"),
        (b"PK\x03\x04rest", "a ZIP archive"),
        (b"PAR1\n\n\n", "Parquet"),
        (b"SQLite format 3\0", "an SQLite file"),
    ],
)
def test_what_holds_no_lines_is_named_once(data: bytes, kind: str) -> None:
    (record,) = read(data)
    assert str(record) == f"f: this is {kind}: give JSON lines, plain or compressed by gzip or zstandard"


def test_an_empty_file_holds_nothing() -> None:
    assert read(b"") == []
    assert read(b"\n \n") == []


def test_a_real_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl.gz"
    path.write_bytes(gzip.compress(printed(1) * 3))
    with path.open("rb") as stream:
        assert list(read_records(stream, "x")) == [Record(f"x:{number}", made(1)) for number in (1, 2, 3)]


@given(st.binary(max_size=300))
def test_no_bytes_break_the_reader(data: bytes) -> None:
    for record in read(data):
        assert isinstance(record, Measurement | BadRecord)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.sampled_from([*OONI, *OONI["test_keys"], "measurement"]), inner, max_size=4)
        ),
    )
)
def test_no_json_breaks_the_reader(value: object) -> None:
    mixed = {**OONI, "test_keys": value}
    for record in read(json.dumps(value).encode() + b"\n" + json.dumps(mixed).encode()):
        assert isinstance(record, Measurement | BadRecord)
