"""What an answer becomes in our own nouns, and what of a hostile one is believed."""

from __future__ import annotations

import base64
import zlib
from typing import Any

import msgspec
import pytest

from measurements.model import DnsLookup, Failure, HttpExchange, QuicHandshake, TcpConnect, TlsHandshake, View
from probe.control.agreement import differ, without_contradictions
from probe.control.protocol import read_answer
from probe.control.reading import MAX_ENDPOINTS, MAX_HEADERS, PAGE_BYTES, Account, account
from tests.probe.control.examples import ADDRESS, OTHER, SIXTH, URL, answer, down

CONTROL = "https://control.example/"
ASKED = (f"{ADDRESS}:443", f"{OTHER}:443")


def read(value: Any, url: str = URL) -> Account:
    return account(read_answer(msgspec.json.encode(value)), url, ASKED, CONTROL)


def steps(said: Account, kind: type) -> list[Any]:
    return [s for s in said.steps if isinstance(s, kind)]


def packed(data: bytes) -> str:
    return base64.b64encode(data).decode()


@pytest.mark.parametrize(
    ("sent", "body"),
    [
        (packed(zlib.compress(b"a page")), b"a page"),
        (packed(zlib.compress(b"a page")[:-4]), b"a page"),
        (packed(zlib.compress(bytes(10**7))), bytes(PAGE_BYTES)),
        (packed(b"no zlib"), b""),
        ("", b""),
        (None, b""),
    ],
    ids=["whole", "cut", "bomb", "nonsense", "empty", "null"],
)
def test_the_beginning_of_a_page_is_unpacked_as_far_as_it_may(sent: str | None, body: bytes) -> None:
    told = answer()
    told["http_request"]["x_body"] = sent
    (page,) = steps(read(told), HttpExchange)
    assert page.body == body


@pytest.mark.parametrize(
    ("word", "own", "failure"),
    [
        ("unknown_error", "eof_error", Failure.EOF),
        ("unknown_error", "no such word", Failure.UNKNOWN),
        ("unknown_error", None, Failure.UNKNOWN),
        ("connection_refused_error", "eof_error", Failure.CONNECTION_REFUSED),
        (None, "eof_error", None),
    ],
)
def test_a_control_s_own_word_tells_more_where_the_helper_s_tells_nothing(
    word: str | None, own: str | None, failure: Failure | None
) -> None:
    told = answer()
    told["http_request"] |= {"failure": word, "x_failure": own}
    (page,) = steps(read(told), HttpExchange)
    assert page.failure is failure


def test_every_part_becomes_a_step_seen_by_the_control() -> None:
    said = read(answer(x_client_address="198.51.100.7"))
    assert {s.view for s in said.steps} == {View.CONTROL}
    assert {(s.id, s.cause) for s in said.steps} == {(0, None)}
    assert said.resolved == (ADDRESS, SIXTH)
    assert said.dns_failure is None
    assert said.ip_asns == ((ADDRESS, 64500),)
    assert said.client_address == "198.51.100.7"

    a, aaaa = steps(said, DnsLookup)
    assert (a.resolver, a.protocol, a.name, a.rtype) == (CONTROL, "control", "news.example", "A")
    assert (a.addresses, aaaa.addresses) == ((ADDRESS,), (SIXTH,))
    assert (a.failure, aaaa.failure) == (None, None)
    assert len(a.valid_replies) == 1

    assert {(s.address, s.port): (s.failure, s.detail) for s in steps(said, TcpConnect)} == {
        (ADDRESS, 443): (None, ""),
        (OTHER, 443): (Failure.TIMEOUT, ""),
        (SIXTH, 443): (Failure.UNKNOWN, "connect_error"),
    }
    (tls,) = steps(said, TlsHandshake)
    assert (tls.address, tls.port, tls.name, tls.verified_name, tls.failure) == (
        ADDRESS,
        443,
        "news.example",
        "news.example",
        None,
    )
    assert steps(said, QuicHandshake) == []
    (page,) = steps(said, HttpExchange)
    assert (page.url, page.status, page.title, page.body_length, page.failure) == (URL, 200, "The News", 1256, None)
    assert page.header("server") == "ngx"


def test_handshakes_over_quic_become_steps_too() -> None:
    worked = {"server_name": "news.example", "status": True, "failure": None}
    failed = {"server_name": "news.example", "status": False, "failure": "generic_timeout_error"}
    said = read(
        answer(
            quic_handshake={f"{ADDRESS}:443": worked, f"{OTHER}:443": failed, "192.0.2.200:443": worked, "x": worked}
        )
    )
    assert [(q.address, q.port, q.name, q.failure, q.answered) for q in steps(said, QuicHandshake)] == [
        (ADDRESS, 443, "news.example", None, True),
        (OTHER, 443, "news.example", Failure.TIMEOUT, False),
    ]
    other = read(answer(quic_handshake={f"{ADDRESS}:443": failed}))
    agreed = without_contradictions(said, other)
    assert [q.address for q in steps(agreed, QuicHandshake)] == [OTHER]


@pytest.mark.parametrize(
    ("dns", "failure", "rcode"),
    [
        ({"failure": "dns_name_error", "addrs": []}, Failure.DNS_NXDOMAIN, "NXDOMAIN"),
        ({"failure": None, "addrs": []}, Failure.NO_DNS_ANSWER, "NOERROR"),
        ({"failure": None, "addrs": None}, Failure.NO_DNS_ANSWER, "NOERROR"),
        ({"failure": "dns_server_failure", "addrs": []}, Failure.DNS_MISBEHAVING, None),
        ({"failure": "unknown_error"}, Failure.UNKNOWN, None),
    ],
)
def test_a_name_without_addresses_fails_in_both_lookups(dns: Any, failure: Failure, rcode: str | None) -> None:
    page = {"body_length": -1, "failure": "dns_lookup_error", "status_code": -1}
    said = read(answer(dns=dns, tcp_connect={}, tls_handshake={}, http_request=page))
    lookups = steps(said, DnsLookup)
    assert said.dns_failure == failure
    assert [q.failure for q in lookups] == [failure, failure]
    assert [[r.rcode for r in q.replies] for q in lookups] == [[rcode] if rcode else []] * 2
    assert steps(said, HttpExchange)[0].failure == failure


def test_a_name_with_one_family_lacks_only_the_other() -> None:
    lookups = steps(read(answer(dns={"failure": None, "addrs": [ADDRESS]})), DnsLookup)
    assert [q.failure for q in lookups] == [None, Failure.NO_DNS_ANSWER]


def test_an_address_as_url_was_never_looked_up() -> None:
    said = read(answer(dns={"failure": None, "addrs": []}), f"https://{ADDRESS}/")
    assert not steps(said, DnsLookup)
    assert (said.resolved, said.dns_failure) == ((), None)
    assert (ADDRESS, 443) in {(s.address, s.port) for s in steps(said, TcpConnect)}


def test_a_failed_page_has_neither_status_nor_length() -> None:
    (page,) = steps(read(down()), HttpExchange)
    assert (page.failure, page.status, page.body_length, page.title) == (Failure.TIMEOUT, None, 0, None)


def test_a_redirect_target_that_did_not_resolve_is_no_failure_of_the_name() -> None:
    said = read(answer(http_request={"body_length": -1, "failure": "dns_lookup_error", "status_code": -1}))
    assert said.dns_failure is None
    assert steps(said, HttpExchange)[0].failure is Failure.DNS_NON_RECOVERABLE


def test_a_page_that_was_not_asked_for_is_no_step() -> None:
    assert not steps(read(answer(http_request=None)), HttpExchange)
    untouched = {"body_length": 0, "failure": None, "title": "", "headers": None, "status_code": 0}
    assert not steps(read(answer(http_request=untouched)), HttpExchange)


def test_missing_and_null_parts_are_forgiven() -> None:
    assert read({}).steps == ()
    assert read(dict.fromkeys(answer())).steps == ()
    said = read({"tcp_connect": {f"{ADDRESS}:443": {"status": True}}, "new_key": [1]})
    assert [s.failure for s in said.steps] == [None]


def test_a_step_that_says_it_failed_and_not_why_has_failed() -> None:
    (tcp,) = read({"tcp_connect": {f"{ADDRESS}:443": {"status": False, "failure": None}}}).steps
    assert tcp.failure is Failure.UNKNOWN
    (tcp,) = read({"tcp_connect": {f"{ADDRESS}:443": {"status": True, "failure": "connection_reset"}}}).steps
    assert tcp.failure is Failure.CONNECTION_RESET


def test_what_was_neither_asked_nor_looked_up_is_passed_over() -> None:
    ok = {"status": True, "failure": None}
    said = read(
        answer(
            tcp_connect={"203.0.113.66:443": ok, "junk": ok, f"{ADDRESS}:0": ok, f"{ADDRESS}:443": ok},
            tls_handshake={"203.0.113.66:443": {**ok, "server_name": "news.example"}},
            ip_info={"203.0.113.66": {"asn": 1}, "junk": {"asn": 2}, ADDRESS: {"asn": -5}, SIXTH: None},
            dns={"failure": None, "addrs": ["cname.example", "", ADDRESS, ADDRESS, "fe80::1%eth0"]},
            x_client_address="<script>",
        )
    )
    assert said.resolved == (ADDRESS,)
    assert [(s.address, s.port) for s in steps(said, TcpConnect)] == [(ADDRESS, 443)]
    assert steps(said, TlsHandshake) == []
    assert said.ip_asns == ()
    assert said.client_address is None


def test_counts_and_lengths_are_bounded() -> None:
    ok = {"status": True, "failure": None}
    many = [f"10.0.{i // 250}.{i % 250 + 1}" for i in range(1000)]
    said = read(
        answer(
            dns={"failure": None, "addrs": many},
            tcp_connect={f"{ADDRESS}:{port}": ok for port in range(1, 2000)},
            http_request={
                "body_length": 2**62,
                "failure": "x" * 10_000,
                "title": "t" * 100_000,
                "headers": {f"X-{i}": "v" * 10_000 for i in range(500)},
                "status_code": 99,
            },
        )
    )
    assert len(said.resolved) == 64
    assert len(steps(said, TcpConnect)) == MAX_ENDPOINTS
    (page,) = steps(said, HttpExchange)
    assert len(page.headers) == MAX_HEADERS
    assert max(len(v) for _, v in page.headers) <= 2048
    assert len(page.title or "") <= 2048
    assert len(page.detail) <= 120
    assert page.status is None
    assert page.body_length == 2**40


def test_a_status_that_is_none_is_a_failure() -> None:
    (page,) = steps(read(answer(http_request={"failure": None, "status_code": 700})), HttpExchange)
    assert (page.failure, page.detail) == (Failure.HTTP_INVALID_RESPONSE, "status 700")


NXDOMAIN = answer(
    dns={"failure": "dns_name_error", "addrs": []},
    tcp_connect={},
    tls_handshake={},
    http_request={"body_length": -1, "failure": "dns_lookup_error", "status_code": -1},
)
ELSEWHERE = answer(dns={"failure": None, "addrs": ["203.0.113.9"]}, tcp_connect={}, tls_handshake={})
FORBIDDEN = answer(http_request={"body_length": 9, "failure": None, "status_code": 403, "title": "No"})
OTHER_WAY = answer(
    tcp_connect={
        f"{ADDRESS}:443": {"status": False, "failure": "connect_error"},
        f"{OTHER}:443": {"status": True, "failure": None},
        f"[{SIXTH}]:443": {"status": True, "failure": None},
    },
    tls_handshake={},
)


@pytest.mark.parametrize(
    ("one", "other", "about"),
    [
        (answer(), answer(), None),
        (down(), down(), None),
        (NXDOMAIN, NXDOMAIN, None),
        (answer(), ELSEWHERE, None),
        (answer(), FORBIDDEN, None),
        (answer(), answer(http_request=None), None),
        (answer(), NXDOMAIN, "whether the name has addresses"),
        (answer(), down(), "whether the site answers"),
        (answer(), OTHER_WAY, "whether any of its addresses can be reached"),
    ],
)
def test_two_controls_disagree_only_about_whether_it_works(one: Any, other: Any, about: str | None) -> None:
    assert differ(read(one), read(other)) == about
    assert differ(read(other), read(one)) == about


def test_what_only_one_of_two_could_reach_is_left_out() -> None:
    untrusted = answer(
        tls_handshake={f"{ADDRESS}:443": {"server_name": "", "status": False, "failure": "ssl_unknown_authority"}}
    )
    kept = without_contradictions(read(answer()), read(untrusted))
    assert {(s.address, s.port) for s in steps(kept, TcpConnect)} == {(OTHER, 443), (SIXTH, 443)}
    assert not steps(kept, TlsHandshake)
    assert steps(kept, HttpExchange)


def test_what_only_one_of_two_looked_at_is_kept() -> None:
    said = read(answer())
    assert without_contradictions(said, read(ELSEWHERE)) == said
