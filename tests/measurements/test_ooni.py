"""OONI's records, of every version and however odd, become sound trees of our own nouns."""

from __future__ import annotations

import json
import string
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from measurements.bogons import Bogons
from measurements.judge import Case, judge
from measurements.model import (
    AnyObservation,
    ControlQuery,
    DnsLookup,
    Failure,
    HttpExchange,
    Measurement,
    Outcome,
    Purpose,
    TcpConnect,
    TlsHandshake,
    View,
    decode,
    encode,
)
from measurements.ooni import OoniError, read
from measurements.ooni_fields import failure_of

CASES = Path(__file__).parent.parent / "cases" / "ooni"
FILES = sorted(CASES.glob("*.json"))
BOGONS = Bogons.parse("prefix,why\n10.0.0.0/8,private use\n", "a list of this test")

Record = dict[str, Any]


def record(name: str) -> Record:
    loaded: Record = json.loads((CASES / f"{name}.json").read_text())
    return loaded


def outcome(measurement: Measurement) -> str:
    verdict = judge(Case(measurement=measurement, bogons=BOGONS))
    return " ".join(filter(None, (verdict.outcome, verdict.mechanism, verdict.confidence)))


def told(measurement: Measurement) -> list[str]:
    """Tell every step that is not the control's in a line: cause > step, whose view, and how it went."""
    lines = []
    for step in measurement.observations:
        if step.view is View.CONTROL:
            continue
        above = f"{step.cause}>" if step.cause else ""
        how = step.failure or (step.status if isinstance(step, HttpExchange) else "ok")
        view = "" if step.view is View.LOCAL else f" {step.purpose or step.view}"
        lines.append(f"{above}{step.id} {brief(step)}{view} {how}")
    return lines


def brief(step: AnyObservation) -> str:
    match step:
        case DnsLookup():
            return f"{step.protocol} {step.name} {step.rtype} [{' '.join(step.addresses)}]"
        case TcpConnect():
            return f"tcp {step.address}:{step.port}"
        case TlsHandshake():
            return f"tls {step.address} {step.name}"
        case HttpExchange():
            return f"http {step.url} at {step.address}"
        case ControlQuery():
            return "control"
        case _:
            return "?"


def test_there_are_records_of_both_versions() -> None:
    versions = {json.loads(path.read_text())["test_version"] for path in FILES}
    assert versions == {"0.5.28", "0.4.3", "0.1.0", "0.0.1"}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_record_becomes_a_sound_tree_and_comes_back_from_json(path: Path) -> None:
    whole = read(json.loads(path.read_text()))
    assert sound(whole)
    assert decode(encode(whole), Measurement) == whole
    assert (whole.source, whole.nettest, whole.vantage.country, whole.vantage.asn) == ("ooni", "web", "KE", 64500)
    assert whole.vantage.resolver == "198.51.100.53"
    assert whole.started == 1772600767.0
    assert whole.preconditions.reason is None
    assert whole.preconditions.detail == ""


def sound(whole: Measurement) -> bool:
    """Say whether ids count up, every cause stands before its effect, and the layers fit."""
    by_id = {step.id: step for step in whole.observations}
    assert list(by_id) == list(range(1, len(whole.observations) + 1))
    for step in whole.observations:
        above = by_id[step.cause] if step.cause is not None else None
        assert above is None or above.id < step.id
        if step.view is View.CONTROL:
            assert isinstance(above, ControlQuery)
        elif isinstance(step, TlsHandshake):
            assert isinstance(above, TcpConnect)
            assert (above.address, above.port) == (step.address, step.port)
            assert above.failure is None
        elif isinstance(step, HttpExchange) and above is not None and not isinstance(above, HttpExchange):
            assert isinstance(above, TcpConnect | TlsHandshake)
            assert above.failure is None
            assert above.address == step.address
    return True


@pytest.mark.parametrize(
    ("name", "verdict"),
    [
        ("accessible.05", "accessible"),
        ("accessible.04", "accessible"),
        ("accessible.old", "accessible"),
        ("dns_nxdomain.05", "blocked dns.nxdomain likely"),
        ("dns_nxdomain.04", "blocked dns.nxdomain likely"),
        ("dns_android.04", "blocked dns.no_answer likely"),
        ("dns_bogon.05", "blocked dns.bogon likely"),
        ("dns_bogon.04", "blocked dns.bogon likely"),
        ("tcp_timeout.05", "blocked tcp.timeout likely"),
        ("tcp_timeout.04", "blocked tcp.timeout likely"),
        ("tls_reset.05", "blocked tls.reset likely"),
        ("tls_reset.04", "blocked tls.reset likely"),
        ("tls_reset.old", "blocked tls.reset likely"),
        ("tls_timeout.05", "blocked tls.timeout likely"),
        ("tls_timeout.04", "blocked tls.timeout likely"),
        ("http_reset.05", "blocked http.reset likely"),
        ("http_reset.04", "blocked http.reset likely"),
        ("http_diff.05", "unreachable"),
        ("http_diff.04", "unreachable"),
        ("control_failure.05", "accessible"),
        ("control_failure.04", "accessible"),
        ("down.05", "down"),
        ("down.04", "down"),
        ("expired_certificate.05", "server_side"),
        ("ipv6_without_route.04", "accessible"),
    ],
)
def test_records_are_judged_by_the_same_rules(name: str, verdict: str) -> None:
    assert outcome(read(record(name))) == verdict


QUIET = ("accessible", "control_failure", "down", "expired", "ipv6", "http_diff")


@pytest.mark.parametrize("path", [p for p in FILES if p.name.startswith(QUIET)], ids=lambda path: path.stem)
def test_nothing_quiet_is_blocked(path: Path) -> None:
    assert judge(Case(measurement=read(json.loads(path.read_text())), bogons=BOGONS)).outcome is not Outcome.BLOCKED


def test_version_05_is_linked_by_transaction_and_depth() -> None:
    name, other, at = "news.example.org", "media.example.net", "192.0.2.80"
    assert told(read(record("redirect_then_nxdomain.05"))) == [
        f"1 system {name} A [{at}] ok",
        f"2 udp {name} A [{at}] follow_up ok",
        f"3 udp {name} AAAA [] follow_up dns_no_answer",
        "4 control ok",
        f"1>11 tcp {at}:80 ok",
        f"11>12 http http://{name}/ at {at} 301",
        f"12>13 tcp {at}:443 ok",
        f"13>14 tls {at} {name} ok",
        f"14>15 http https://{name}/ at {at} 302",
        f"15>16 system {other} A [] dns_nxdomain_error",
        f"15>17 udp {other} A [] follow_up dns_nxdomain_error",
        f"15>18 udp {other} AAAA [] follow_up dns_no_answer",
    ]


def test_version_04_fetches_over_connections_that_it_does_not_record() -> None:
    whole = read(record("redirect_then_nxdomain.04"))
    name, other, at = "news.example.org", "media.example.net", "192.0.2.80"
    assert told(whole)[3:] == [
        f"1>8 tcp {at}:80 ok",
        f"8>9 http http://{name}/ at {at} 301",
        f"9>10 tcp {at}:443 ok",
        f"10>11 tls {at} {name} ok",
        f"11>12 http https://{name}/ at {at} 302",
        f"12>13 system {other} A [] dns_nxdomain_error",
    ]
    inferred = [step.id for step in whole.observations if "did not record" in step.detail]
    assert inferred == [10, 11]
    assert "the request tells of this lookup" in whole.observations[12].detail


def test_addresses_from_elsewhere_are_not_our_own_lookups() -> None:
    steps = told(read(record("dns_bogon.05")))
    assert "1>11 tcp 10.10.34.35:443 generic_timeout_error" in steps
    assert "4>12 tcp 192.0.2.80:443 trusted ok" in steps


def test_an_address_that_only_the_test_helper_gave_follows_from_the_control() -> None:
    data = record("dns_bogon.05")
    data["test_keys"]["queries"] = [q for q in data["test_keys"]["queries"] if q["engine"] != "doh"]
    steps = told(read(data))
    assert "4>11 tcp 192.0.2.80:443 trusted ok" in steps
    assert steps[3] == "4 control ok"


def test_what_is_done_besides_on_another_port_is_no_part_of_the_story() -> None:
    besides = [s for s in read(record("http_reset.05")).observations if s.purpose is not None]
    assert [(brief(s), s.purpose) for s in besides] == [
        ("tcp 192.0.2.80:443", Purpose.OTHER_PORT),
        ("tls 192.0.2.80 news.example.org", Purpose.OTHER_PORT),
    ]


def test_late_replies_stand_beside_the_first_one() -> None:
    lookup = read(record("dns_injected.05")).observations[1]
    assert isinstance(lookup, DnsLookup)
    assert lookup.view is View.LOCAL
    assert [[a.data for a in reply.answers] for reply in lookup.replies] == [["198.51.100.66"], ["192.0.2.80"]]


def test_what_the_test_helper_saw() -> None:
    whole = read(record("accessible.05"))
    query = next(s for s in whole.observations if isinstance(s, ControlQuery))
    assert (query.url, query.endpoints) == ("https://news.example.org/", ("192.0.2.80:443",))
    assert (query.resolved, query.dns_failure) == (("192.0.2.80",), None)
    assert query.ip_asns == (("192.0.2.80", 64496),)
    steps = [s for s in whole.observations if s.view is View.CONTROL]
    assert [type(s).__name__ for s in steps] == ["DnsLookup", "DnsLookup", "TcpConnect", "TlsHandshake", "HttpExchange"]
    page = steps[-1]
    assert isinstance(page, HttpExchange)
    assert (page.status, page.title, page.body_length) == (200, "Example News: today", 693)


def test_no_test_helper_and_one_that_failed_are_two_things() -> None:
    data = record("accessible.04")
    del data["test_keys"]["control"]
    assert not any(isinstance(s, ControlQuery) for s in read(data).observations)
    failed = next(s for s in read(record("control_failure.05")).observations if isinstance(s, ControlQuery))
    assert failed.failure is Failure.UNKNOWN
    assert "all available test helpers failed" in failed.detail


def test_the_page_and_its_forms() -> None:
    plain = read(record("accessible.05")).observations[-1]
    odd = read(record("accessible.old")).observations[-1]
    assert isinstance(plain, HttpExchange)
    assert isinstance(odd, HttpExchange)
    assert plain.title == odd.title == "Example News: today"
    assert plain.http_version == "HTTP/2"
    assert odd.body == plain.body + b"\xff\xfe"
    assert plain.body_sha256 is not None
    assert plain.headers == (("Content-Type", "text/html; charset=utf-8"), ("Server", "nginx/1.25.3"))
    assert dict(odd.headers)["Server"] == "nginx\ufffd"


def test_certificates_in_both_forms() -> None:
    data = record("accessible.05")
    shake = data["test_keys"]["tls_handshakes"][0]
    shake["peer_certificates"] = [{"format": "base64", "data": "MAEB"}, "MAECAg=="]
    tls = next(s for s in read(data).observations if isinstance(s, TlsHandshake) and s.view is not View.CONTROL)
    assert tls.chain == (b"0\x01\x01", b"0\x01\x02\x02")
    shake["peer_certificates"] = ["no base64"]
    tls = next(s for s in read(data).observations if isinstance(s, TlsHandshake) and s.view is not View.CONTROL)
    assert tls.chain == ()
    assert "no certificate" in tls.detail


def test_handshakes_of_old_records_are_matched_in_time() -> None:
    data = record("ipv6_without_route.04")
    keys = data["test_keys"]
    keys["tcp_connect"][0] |= {"t": 0.2, "status": {"failure": None, "success": True}}
    keys["tls_handshakes"] = [{**keys["tls_handshakes"][0], "t": t} for t in (0.25, 0.4)]
    for shake in keys["tls_handshakes"]:
        del shake["address"]
    keys["tls_handshakes"][1]["failure"] = "connection_reset"
    steps = told(read(data))
    assert any("tls 2001:db8::80 news.example.org ok" in line for line in steps)
    assert any("tls 192.0.2.80 news.example.org connection_reset" in line for line in steps)


@pytest.mark.parametrize(
    ("failure", "url", "last"),
    [
        (
            "generic_timeout_error",
            "https://other.example.net/",
            "http https://other.example.net/ at  generic_timeout_error",
        ),
        ("connection_reset", "https://other.example.net/", "tls  other.example.net connection_reset"),
        ("ssl_invalid_hostname", "https://other.example.net/", "tls  other.example.net ssl_invalid_hostname"),
        ("connection_refused", "https://other.example.net/", "tcp :443 connection_refused"),
        ("connection_reset", "http://other.example.net/", "http http://other.example.net/ at  connection_reset"),
        ("eof_error", "http://192.0.2.99:8080/", "http http://192.0.2.99:8080/ at 192.0.2.99 eof_error"),
        ("dns_lookup_error", "http://other.example.net/", "system other.example.net A [] dns_non_recoverable_failure"),
        ("unknown_failure: ?", "http://other.example.net/", "http http://other.example.net/ at  unknown_failure"),
    ],
)
def test_a_failed_hop_of_version_04_is_told_as_far_as_its_layer_is_known(failure: str, url: str, last: str) -> None:
    data = record("redirect_then_nxdomain.04")
    third, second, _ = data["test_keys"]["requests"]
    second["response"]["headers_list"] = [["Location", url]]
    third["request"]["url"] = url
    third["failure"] = failure
    whole = read(data)
    assert told(whole)[-1].partition(" ")[2] == last
    assert sound(whole)
    assert not outcome(whole).startswith("accessible")


@pytest.mark.parametrize(
    ("words", "failure"),
    [
        *((f.value, f) for f in Failure),
        ("dns_lookup_error", Failure.DNS_NON_RECOVERABLE),
        ("dns_name_error", Failure.DNS_NXDOMAIN),
        ("android_dns_cache_no_data", Failure.NO_DNS_ANSWER),
        ("ssl_unknown_autority", Failure.SSL_UNKNOWN_AUTHORITY),
        ("tcp_timed_out_error", Failure.TIMEOUT),
        ("response_never_received", Failure.EOF),
        ("unknown_failure: dial tcp [scrubbed]: connect: no route to host", Failure.HOST_UNREACHABLE),
        ("unknown_failure: stopped after too many redirects", Failure.UNKNOWN),
        ("a word of the year 2031", Failure.UNKNOWN),
        ("", Failure.UNKNOWN),
        (None, None),
        (False, Failure.UNKNOWN),
        (["connection_reset"], Failure.UNKNOWN),
    ],
)
def test_words_for_failures(words: object, failure: Failure | None) -> None:
    known, detail = failure_of(words)
    assert known is failure
    assert detail or words in (None, "") or words in {f.value for f in Failure}


def test_a_bogon_failure_with_its_answer_is_an_answer() -> None:
    data = record("dns_bogon.05")
    data["test_keys"]["queries"][0]["failure"] = "dns_bogon_error"
    first = read(data).observations[0]
    assert isinstance(first, DnsLookup)
    assert (first.failure, first.addresses, first.detail) == (None, ("10.10.34.35",), "dns_bogon_error")


def test_the_same_record_has_the_same_id_and_another_has_another() -> None:
    data = record("accessible.05")
    first = read(data).id
    assert len(first) == 32
    assert read(data | {"test_runtime": 9.0}).id == first
    assert read(data | {"measurement_uid": "20260304050609.654321_KE_webconnectivity_fedcba9876543210"}).id != first
    nameless = {key: value for key, value in data.items() if key != "measurement_uid"}
    assert read(nameless).id == read(dict(nameless)).id != first
    assert read(nameless | {"input": "https://example.com/"}).id != read(nameless).id


def test_a_probes_address_that_stands_in_the_record_is_taken_out() -> None:
    data = record("accessible.05")
    data["probe_ip"] = "203.0.113.77"
    data["test_keys"]["requests"][0]["response"]["body"] = "Hello 203.0.113.77!"
    page = read(data).observations[-1]
    assert isinstance(page, HttpExchange)
    assert page.body == b"Hello [redacted:address]!"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"test_name": "telegram"}, "telegram"),
        ({"test_name": None, "test_keys": None}, "test_name is missing, and so are test_keys"),
        ({"test_name": 5, "test_keys": []}, "test_name is missing, and so are test_keys"),
    ],
)
def test_other_records_are_refused_in_words(change: Record, words: str) -> None:
    with pytest.raises(OoniError, match=words):
        read(record("accessible.05") | change)


@pytest.mark.parametrize("name", [None, 5, [], {}])
def test_a_record_whose_test_is_not_named_is_read_by_its_keys(name: object) -> None:
    whole = read(record("accessible.05") | {"test_name": name})
    assert outcome(whole) == "accessible"
    assert "test_name is missing" in whole.preconditions.detail


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (None, "input is missing"),
        (5, "input is not a text; input is missing"),
        ("no url", "input is no URL of the web: no url holds a space"),
        ("dnslookup://example.org/", "input is no URL of the web: "),
        ("http://", "input is no URL of the web: "),
    ],
)
def test_a_record_of_no_url_is_inconclusive_and_says_why(value: object, words: str) -> None:
    whole = read(record("tls_reset.05") | {"input": value})
    verdict = judge(Case(measurement=whole, bogons=BOGONS))
    assert (whole.observations, verdict.outcome, verdict.reason) == ((), Outcome.INCONCLUSIVE, "odd_record")
    assert words in verdict.summary


@pytest.mark.parametrize("value", [None, [], "text", 5])
def test_what_is_no_object_is_refused(value: Any) -> None:
    with pytest.raises(OoniError, match="no object"):
        read(value)


def test_a_url_that_we_would_not_ask_is_still_read() -> None:
    whole = read(record("accessible.05") | {"input": "https://user@news.example.org/"})
    assert (whole.target.host, whole.target.port) == ("news.example.org", 443)


@pytest.mark.parametrize("keys", [None, {}, [], "text"])
def test_without_its_keys_a_record_is_inconclusive_with_a_named_reason(keys: object) -> None:
    whole = read(record("accessible.05") | {"test_keys": keys})
    assert whole.observations == ()
    verdict = judge(Case(measurement=whole, bogons=BOGONS))
    assert (verdict.outcome, verdict.reason) == (Outcome.INCONCLUSIVE, "odd_record")
    assert "test_keys is missing or empty" in verdict.summary


ODD: list[tuple[str, Callable[[Record], object], str]] = [
    ("a port", lambda k: k["tcp_connect"][0].update(port="443"), "tcp_connect"),
    ("a time", lambda k: k["queries"][0].update(t="soon"), "queries[0].t is not a number"),
    ("not a number", lambda k: k["queries"][0].update(t=float("nan")), "queries[0].t is not a number"),
    ("a huge number", lambda k: k["requests"][0].update(t=10**400), "requests[0].t is not a number"),
    ("an address", lambda k: k["queries"][0]["answers"][0].update(ipv4="localhost"), "ipv4 is not an address"),
    ("a status", lambda k: k["requests"][0]["response"].update(code=20000), "code is not a whole number"),
    ("a body", lambda k: k["requests"][0]["response"].update(body={"format": "rot13", "data": "x"}), "body is neither"),
    ("headers", lambda k: k["requests"][0]["response"].update(headers_list=[["a"]]), "headers_list holds"),
    ("tags", lambda k: k["tls_handshakes"][0].update(tags=[5, "depth=x"]), "tags holds more than texts"),
    (
        "control's dns",
        lambda k: k["control"].update(dns={"addrs": "192.0.2.80", "failure": None}),
        "addrs is not a list",
    ),
]


@pytest.mark.parametrize(("change", "words"), [o[1:] for o in ODD], ids=[o[0] for o in ODD])
def test_an_odd_field_is_at_worst_a_note(change: Callable[[Record], object], words: str) -> None:
    data = record("accessible.05")
    change(data["test_keys"])
    whole = read(data)
    notes = "; ".join((*(step.detail for step in whole.observations), whole.preconditions.detail))
    assert words in notes or words == "tcp_connect"
    assert not outcome(whole).startswith("blocked")


def test_what_was_odd_is_said_beside_what_is_missing() -> None:
    data = record("accessible.05")
    data["test_keys"]["requests"] = "none"
    verdict = judge(Case(measurement=read(data), bogons=BOGONS))
    assert verdict.outcome is Outcome.INCONCLUSIVE
    assert verdict.summary.endswith("The record is odd: test_keys.requests is not a list.")


@pytest.mark.parametrize("oddly", [None, 5, [], "AAAA"])
def test_a_query_that_does_not_tell_its_type_denies_no_address(oddly: object) -> None:
    data = record("accessible.05")
    for query in data["test_keys"]["queries"]:
        query["failure"], query["answers"], query["query_type"] = "dns_no_answer", None, oddly
    assert not [
        s for s in read(data).observations if isinstance(s, DnsLookup) and s.rtype == "A" and s.view is View.LOCAL
    ]
    data["test_keys"]["queries"][0] |= {"failure": "dns_nxdomain_error"}
    first = read(data).observations[0]
    assert isinstance(first, DnsLookup)
    assert first.rtype == ("AAAA" if oddly == "AAAA" else "A")


def test_an_endpoint_without_a_port_is_left_out() -> None:
    data = record("tcp_timeout.05")
    data["test_keys"]["tcp_connect"][0]["port"] = None
    assert not [s for s in read(data).observations if isinstance(s, TcpConnect) and s.view is not View.CONTROL]


def test_lone_surrogates_and_long_lists_are_bounded() -> None:
    data = record("accessible.05")
    data["test_keys"]["requests"][0]["request"]["url"] = "https://news.example.org/\ud800"
    data["test_keys"]["queries"] *= 2_000
    whole = read(data)
    assert decode(encode(whole), Measurement) == whole
    assert len(whole.observations) < 1_100


scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=8),
    st.sampled_from(["", "0", "ssl_x", "::1"]),
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(string.ascii_lowercase), inner),
    max_leaves=6,
)


def places(value: object, path: tuple[object, ...] = ()) -> list[tuple[object, ...]]:
    """List the path to everything inside a record."""
    found = [path] if path else []
    if isinstance(value, dict):
        for key, inner in value.items():
            found += places(inner, (*path, key))
    elif isinstance(value, list):
        for n, inner in enumerate(value):
            found += places(inner, (*path, n))
    return found


MUTABLE = {path.stem: places(json.loads(path.read_text())) for path in FILES}


@st.composite
def mutants(draw: st.DrawFn, names: tuple[str, ...]) -> Record:
    """Take a record and delete, or replace by anything, up to four things in it."""
    name = draw(st.sampled_from(names))
    mutant = record(name)
    for path in draw(st.lists(st.sampled_from(MUTABLE[name]), min_size=1, max_size=4)):
        *above, last = path
        inner: Any = mutant
        try:
            for key in above:
                inner = inner[key]
            if draw(st.booleans()):
                del inner[last]
            else:
                inner[last] = draw(values)
        except (KeyError, IndexError, TypeError):
            continue  # an earlier change took it away
    return mutant


def read_or_refuse(data: Record) -> Measurement | None:
    try:
        return read(data)
    except OoniError:
        return None


@settings(max_examples=400, deadline=None)
@given(mutants(tuple(MUTABLE)))
def test_whatever_is_changed_or_missing_nothing_is_raised_but_the_refusal(mutant: Record) -> None:
    whole = read_or_refuse(mutant)
    if whole is not None:
        assert sound(whole)
        assert decode(encode(whole), Measurement) == whole
        judge(Case(measurement=whole, bogons=BOGONS))


@settings(max_examples=400, deadline=None)
@given(mutants(tuple(name for name in MUTABLE if name.startswith(QUIET))))
def test_what_is_missing_or_odd_never_accuses(mutant: Record) -> None:
    whole = read_or_refuse(mutant)
    assert whole is None or judge(Case(measurement=whole, bogons=BOGONS)).outcome is not Outcome.BLOCKED


@settings(max_examples=200, deadline=None)
@given(st.dictionaries(st.text(max_size=6), values), values)
def test_any_object_is_read_or_refused(other: Record, keys: object) -> None:
    base = {"test_name": "web_connectivity", "input": "https://example.org/", "test_keys": keys}
    assert sound(read(other | base))
    assert read_or_refuse(other) is None
