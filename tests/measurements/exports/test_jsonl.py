import io

import msgspec

from measurements.exports.jsonl import line, write
from measurements.exports.judged import Judged
from measurements.model import (
    Finding,
    HttpExchange,
    Measurement,
    Outcome,
    PaceSoFar,
    Target,
    TcpConnect,
    Throttling,
    Transfer,
    Vantage,
    Verdict,
    decode,
)

URL = "http://site.example/"
MEASUREMENT = Measurement(
    id="ab" * 16,
    sequence=1,
    nettest="web",
    target=Target(url=URL, scheme="http", host="site.example", port=80),
    vantage=Vantage(probe_id="p1", country="KE"),
    started=1.0,
    observations=(
        TcpConnect(id=1, address="192.0.2.1", port=80),
        HttpExchange(id=2, cause=1, url=URL, status=200, body=b"<html>\x00", body_length=7, title="Hello"),
        Transfer(
            id=3, cause=1, url=URL, host="x.example", pair=2, received=9, samples=((0.25, 4), (1.5, 9)), ended="time"
        ),
    ),
)
VERDICT = Verdict(
    outcome=Outcome.ACCESSIBLE,
    summary="The page came.",
    findings=(Finding(rule="http.page", outcome=Outcome.ACCESSIBLE, summary="The page came.", evidence=(2,)),),
    rules_version=3,
)
FIELDS = [
    "schema", "target", "outcome", "mechanism", "trigger", "where", "pattern", "confidence", "reason", "summary",
    "findings", "rules_version", "vantage", "measurement",
]  # fmt: skip


def test_a_line_has_exactly_the_agreed_fields() -> None:
    text = line(MEASUREMENT, VERDICT)
    assert text.endswith(b"}\n")
    assert text.count(b"\n") == 1
    record = msgspec.json.decode(text)
    assert list(record) == FIELDS
    assert record["schema"] == 1
    assert record["target"] == URL
    assert record["confidence"] is None
    assert record["findings"] == [{"rule": "http.page", "outcome": "accessible", "mechanism": None, "evidence": [2]}]
    assert record["vantage"]["country"] == "KE"


def test_what_pairs_weigh_is_in_the_line() -> None:
    state = Throttling(started=1.0, last=2.0, pairs=4, slower=4, evidence=7.8, rate=128_000.0)
    finding = Finding(rule="throttling.throttled", outcome=Outcome.THROTTLED, throttling=state)
    verdict = msgspec.structs.replace(VERDICT, outcome=Outcome.THROTTLED, findings=(finding,))
    known = msgspec.structs.replace(MEASUREMENT, pace=PaceSoFar(last=state, alike_legs=48))
    record = msgspec.json.decode(line(known, verdict))
    assert msgspec.convert(record["findings"][0]["throttling"], Throttling) == state
    assert msgspec.convert(record["measurement"]["pace"], PaceSoFar) == known.pace


def test_bodies_are_left_out_unless_asked_for() -> None:
    for bodies, body in ((False, b""), (True, b"<html>\x00")):
        record = msgspec.json.decode(line(MEASUREMENT, VERDICT, bodies=bodies))
        measurement = msgspec.convert(record["measurement"], Measurement, builtin_types=())
        page = measurement.observations[1]
        assert isinstance(page, HttpExchange)
        assert (page.body, page.title) == (body, "Hello")
        assert measurement.observations[0] == MEASUREMENT.observations[0]


def test_an_export_keeps_everything() -> None:
    stream = io.BytesIO()
    assert write(iter([Judged(MEASUREMENT, VERDICT)] * 2), stream) == 2
    first, second = stream.getvalue().splitlines()
    assert first == second
    record = decode(first, dict)
    assert list(record) == FIELDS
    assert msgspec.convert(record["measurement"], Measurement, builtin_types=()) == MEASUREMENT
    assert record["findings"][0]["summary"] == "The page came."
