"""OONI's format: OONI's own code loads it, and our own reads it back as it was."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from msgspec.structs import replace

from measurements.exports.judged import Judged
from measurements.exports.ooni import FIELDS, blocking, record, write
from measurements.judge import Case, judge
from measurements.model import (
    AnyObservation,
    DnsAnswer,
    DnsLookup,
    DnsReply,
    Failure,
    HttpExchange,
    Measurement,
    Mechanism,
    Outcome,
    TcpConnect,
    TlsHandshake,
    Vantage,
    Verdict,
    View,
    Where,
    encode,
)
from measurements.ooni import opinion, read
from measurements.targets import normalise
from tests.measurements.blocked_worlds import BLOCKED
from tests.measurements.exports.theirs import loaded
from tests.measurements.quiet_worlds import QUIET
from tests.measurements.store import samples
from tests.measurements.worlds import HOST, SITE, Disruption, play
from tests.scripted import BOGONS

WORLDS = [world for world in (*BLOCKED, *QUIET) if world.nettest == "web"]
URL = f"https://{HOST}/"
Kind = Mechanism


def made(world: Disruption) -> Judged:
    verdict, net = play(world)
    measurement = net.measurement(normalise(world.url), world.nettest)
    vantage = Vantage(probe_id="secret-probe", country="ET", asn=24757, resolver="198.51.100.53:53")
    return Judged(replace(measurement, vantage=vantage, id=f"{abs(hash(world.name)):032x}"[:32]), verdict)


def exported(*rows: Judged) -> list[dict[str, Any]]:
    stream = io.BytesIO()
    assert write(iter(rows), stream) == len(rows)
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def without_ours(told: dict[str, Any]) -> dict[str, Any]:
    keys = {name: value for name, value in told["test_keys"].items() if name != "x_wazi"}
    return {**told, "test_keys": keys}


@pytest.mark.parametrize("world", WORLDS, ids=lambda world: world.name)
def test_a_record_is_read_back_whole_and_judged_alike(world: Disruption) -> None:
    row = made(world)
    (told,) = exported(row)
    back = read(told)
    assert judge(Case(back, BOGONS)) == judge(Case(row.measurement, BOGONS)) == row.verdict == opinion(told)
    anonymous = replace(row.measurement.vantage, probe_id=back.vantage.probe_id)
    assert back == replace(row.measurement, vantage=anonymous, sequence=0)
    assert "secret-probe" not in json.dumps(told)


@pytest.mark.parametrize("world", BLOCKED, ids=lambda world: world.name)
def test_without_our_part_of_it_a_record_tells_less_and_nothing_else(world: Disruption) -> None:
    row = made(world)
    again = judge(Case(read(without_ours(record_of(row))), BOGONS))
    assert again.outcome in (Outcome.BLOCKED, Outcome.UNREACHABLE)
    assert again.mechanism in (None, row.verdict.mechanism)


def record_of(row: Judged) -> dict[str, Any]:
    return exported(row)[0]


@given(samples.measurements, samples.verdicts)
def test_anything_is_read_back(measurement: Measurement, verdict: Verdict) -> None:
    steps = tuple(replace(step, id=n) for n, step in enumerate(measurement.observations, 1))
    measurement = replace(measurement, nettest="web", observations=steps)
    told = record_of(Judged(measurement, verdict))
    back = read(told)
    same = replace(measurement, sequence=0, vantage=replace(measurement.vantage, probe_id=back.vantage.probe_id))
    assert (back, opinion(told)) == (same, verdict)


def test_what_somebody_changed_in_our_part_is_read_as_any_other_record() -> None:
    told = record_of(made(WORLDS[0]))
    told["test_keys"]["x_wazi"] = {"measurement": {"id": 7}, "verdict": {"outcome": "lovely"}}
    back = read(told)
    assert back.source == "ooni"
    assert "test_keys.x_wazi.measurement" in back.preconditions.detail
    assert opinion(told) is None


@pytest.mark.timeout(300)  # the first time, OONI's package is installed
def test_oonidata_loads_what_we_write(tmp_path: Path) -> None:
    rows = [made(world) for world in WORLDS]
    file = tmp_path / "measurements.jsonl"
    with file.open("wb") as stream:
        write(rows, stream)
    records = [json.loads(line) for line in file.read_bytes().splitlines()]
    for row, told, theirs in zip(rows, records, loaded(file), strict=True):
        keys, mine = theirs["test_keys"], told["test_keys"]
        assert theirs["class"] == "WebConnectivity"
        assert theirs["probe_cc"] == "ET"
        assert theirs["probe_asn"] == "AS24757"
        assert theirs["input"] == row.measurement.target.url
        assert (keys["accessible"], keys["blocking"]) == blocking(row.verdict)
        for name in ("queries", "tcp_connect", "tls_handshakes", "requests"):
            assert len(keys[name]) == len(mine[name])
            assert [entry["failure"] for entry in keys[name] if "failure" in entry] == [
                entry["failure"] for entry in mine[name] if "failure" in entry
            ]
        kept = [step.body for step in row.measurement.observations if isinstance(step, HttpExchange)]
        assert [body for body in theirs["bodies"] if body.encode("latin-1") not in kept] == []
        assert keys["client_resolver"] == "198.51.100.53"
        if mine["control"]:
            assert keys["control"]["tcp_connect"].keys() == mine["control"]["tcp_connect"].keys()


PAGE = b"<title>A page</title>\xff\x00"
STEPS: tuple[AnyObservation, ...] = (
    DnsLookup(
        id=1,
        resolver="198.51.100.53:53",
        protocol="udp",
        name=HOST,
        rtype="A",
        started=0.1,
        elapsed=0.5,
        replies=(
            DnsReply(
                arrival=0.02,
                source="198.51.100.53",
                rcode="NOERROR",
                answers=(DnsAnswer(name=HOST, rtype="A", data=SITE, ttl=60),),
            ),
            DnsReply(arrival=0.03, source="198.51.100.53", rcode="NXDOMAIN"),
        ),
    ),
    TcpConnect(id=2, cause=1, address=SITE, port=443, started=0.2, elapsed=0.1),
    TlsHandshake(id=3, cause=2, address=SITE, port=443, name=HOST, chain=(b"\x30\x01",), version="TLSv1.3", alpn="h2"),
    HttpExchange(
        id=4,
        cause=3,
        url=URL,
        status=302,
        headers=(("location", "/next"), ("server", "a"), ("server", "b")),
        redirect=URL + "next",
        http_version="HTTP/2",
        body=PAGE,
        body_length=len(PAGE),
    ),
    TcpConnect(id=5, cause=4, address="2001:db8::1", port=443, failure=Failure.TIMEOUT),
    TlsHandshake(id=6, cause=2, address=SITE, port=443, name=HOST, failure=Failure.SSL_UNKNOWN_AUTHORITY),
    HttpExchange(id=7, cause=6, url=URL, status=200, body=b"Blocked"),
    DnsLookup(id=8, view=View.TRUSTED, resolver="https://192.0.2.1/", protocol="doh", name=HOST, rtype="AAAA",
              failure=Failure.NO_DNS_ANSWER),
)  # fmt: skip


def test_the_lists_hold_what_their_formats_say() -> None:
    fact = Measurement(
        id="ab" * 16,
        sequence=9,
        nettest="web",
        target=normalise(URL),
        vantage=Vantage(probe_id="p"),
        started=1_790_000_000.25,
        runtime=2.5,
        software="wazi 0.1.0",
        observations=STEPS,
    )
    told = record_of(Judged(fact, Verdict(outcome=Outcome.UNREACHABLE)))
    assert told.keys() == FIELDS.keys()
    assert told["measurement_start_time"] == "2026-09-21 14:13:20"
    assert (told["probe_cc"], told["probe_asn"], told["probe_ip"]) == ("ZZ", "AS0", "127.0.0.1")
    assert (told["software_name"], told["software_version"]) == ("wazi", "0.1.0")
    assert told["report_id"].startswith("20260921T000000Z_webconnectivity_ZZ_0_n1_")
    keys = told["test_keys"]
    query, trusted = keys["queries"]
    assert query["answers"] == [{"answer_type": "A", "ipv4": SITE, "ttl": 60}]
    assert (query["engine"], query["failure"], query["t0"], query["t"]) == ("udp", None, 0.1, pytest.approx(0.12))
    assert query["tags"] == ["depth=0", "classic"]
    assert (trusted["engine"], trusted["failure"], trusted["answers"]) == ("doh", "dns_no_answer", None)
    (late,) = keys["x_dns_duplicate_responses"]
    assert (late["failure"], late["transaction_id"]) == ("dns_nxdomain_error", 1)
    assert [(c["ip"], c["status"], c["tags"][0], c["transaction_id"]) for c in keys["tcp_connect"]] == [
        (SITE, {"blocked": None, "failure": None, "success": True}, "depth=0", 2),
        ("2001:db8::1", {"blocked": None, "failure": "generic_timeout_error", "success": False}, "depth=1", 5),
    ]
    good, bad = keys["tls_handshakes"]
    assert good["peer_certificates"] == [{"format": "base64", "data": "MAE="}]
    assert (good["address"], good["server_name"], good["negotiated_protocol"]) == (f"{SITE}:443", HOST, "h2")
    assert bad["failure"] == "ssl_unknown_authority"
    (page,) = keys["requests"]  # no browser would have seen the other
    assert page["response"]["body"] == {"format": "base64", "data": "PHRpdGxlPkEgcGFnZTwvdGl0bGU+/wA="}
    assert page["response"]["headers_list"] == [["location", "/next"], ["server", "a"], ["server", "b"]]
    assert (page["response"]["code"], page["alpn"], page["transaction_id"]) == (302, "h2", 2)
    assert keys["http_experiment_failure"] == "generic_timeout_error"
    assert read(told).observations == STEPS


@pytest.mark.parametrize(
    ("verdict", "words"),
    [
        (Verdict(outcome=Outcome.ACCESSIBLE), (True, False)),
        (Verdict(outcome=Outcome.DOWN), (False, False)),
        (Verdict(outcome=Outcome.SERVER_SIDE), (False, False)),
        (Verdict(outcome=Outcome.UNREACHABLE), (False, None)),
        (Verdict(outcome=Outcome.INVALID), (None, None)),
        (Verdict(outcome=Outcome.THROTTLED, mechanism=Kind.THROTTLE_RATE), (None, None)),
        (Verdict(outcome=Outcome.BLOCKED, mechanism=Kind.DNS_BOGON), (False, "dns")),
        (Verdict(outcome=Outcome.BLOCKED, mechanism=Kind.DNS_BOGON, where=Where.LOCAL), (None, None)),
        (Verdict(outcome=Outcome.BLOCKED, mechanism=Kind.TCP_RESET), (False, "tcp_ip")),
        (Verdict(outcome=Outcome.BLOCKED, mechanism=Kind.TLS_MITM), (False, "http-failure")),
        (Verdict(outcome=Outcome.BLOCKED, mechanism=Kind.HTTP_RESET), (False, "http-failure")),
        (Verdict(outcome=Outcome.BLOCKED, mechanism=Kind.HTTP_BLOCKPAGE), (False, "http-diff")),
    ],
)
def test_a_verdict_in_their_words(verdict: Verdict, words: tuple[bool | None, str | bool | None]) -> None:
    assert blocking(verdict) == words


def test_only_what_the_web_test_measured_has_a_place() -> None:
    fact = samples.measurement(nettest="dns")
    stream = io.BytesIO()
    assert write([Judged(fact, samples.ACCESSIBLE), Judged(samples.measurement(), samples.ACCESSIBLE)], stream) == 1
    assert stream.getvalue().count(b"\n") == 1


def test_a_report_is_a_day_of_one_probe_and_names_neither() -> None:
    def report(probe: str, started: float) -> str:
        fact = samples.measurement(probe_id=probe, started=started)
        told: str = record(fact, samples.ACCESSIBLE)["report_id"]
        return told

    first = report("a", samples.START)
    assert report("a", samples.START + 3600) == first
    assert len({first, report("a", samples.START + 86400), report("b", samples.START), report("a", 1e20)}) == 4
    assert msgspec.json.decode(encode(record(samples.measurement(), samples.ACCESSIBLE)))["report_id"]
