"""QUIC over real sockets, against real servers and hostile ones."""

from __future__ import annotations

import asyncio
import gzip
import time
from typing import Any

import pytest
import trustme

from measurements.model import Failure, HttpExchange, QuicHandshake
from probe.network import Limits
from probe.wire.quic import INITIAL_SIZE, first_datagram, read_versions, version_question
from tests.lab.quic_packets import quic_name
from tests.probe.wire.conftest import NAME, Keys
from tests.probe.wire.peers import free_port, network, run
from tests.probe.wire.quic_peers import Respond, echo, flood, http3_server, junk, other_versions, page, silent, udp_peer


def shake(
    keys: Keys,
    leaf: trustme.LeafCert | None = None,
    *,
    name: str | None = NAME,
    verify: str | None = None,
    **server: Any,
) -> tuple[QuicHandshake, HttpExchange]:
    """Shake hands with a real server and fetch its page."""

    async def work() -> tuple[QuicHandshake, HttpExchange]:
        address = server.get("address", "127.0.0.1")
        async with http3_server(leaf or keys.leaf, **server) as port, network(ca_file=keys.ca_file) as net:
            hands = await net.quic(address, port, name=name, verify=verify)
            began = time.perf_counter()
            read = await net.exchange(hands, f"https://{NAME}/path?query")
            assert time.perf_counter() - began < 2
            return hands, read

    return run(work())


def fetch(
    keys: Keys, respond: Respond, *, limits: Limits | None = None, full: bool = True, **given: Any
) -> HttpExchange:
    async def work() -> HttpExchange:
        async with (
            http3_server(keys.leaf, respond) as port,
            network(ca_file=keys.ca_file, limits=limits, full_body=full) as net,
        ):
            hands = await net.quic("127.0.0.1", port, name=NAME)
            assert hands.failure is None, hands.detail
            return await net.exchange(hands, f"https://{NAME}/", **given)

    return run(work())


def test_a_handshake_and_a_page(keys: Keys) -> None:
    hands, read = shake(keys)
    assert (hands.failure, hands.alpn, hands.version, hands.answered) == (None, "h3", "0x00000001", True)
    assert hands.ended
    assert len(hands.chain) == 2
    assert hands.issuer
    assert hands.cipher
    assert hands.name == hands.verified_name == NAME
    assert hands.sent >= INITIAL_SIZE
    assert hands.received > 1000
    assert hands.datagrams >= 1
    assert (read.failure, read.status, read.http_version, read.title) == (None, 200, "HTTP/3", "Asked")
    asked = dict(line.split(b": ", 1) for line in read.body.removeprefix(b"<title>Asked</title>").split(b"\n"))
    assert (asked[b":method"], asked[b":authority"], asked[b":path"]) == (b"GET", NAME.encode(), b"/path?query")
    assert b"Firefox" in asked[b"user-agent"]
    assert b"host" not in asked
    assert read.wire_bytes > read.body_length
    assert read.cause == hands.id


def test_ipv6_and_a_retry(keys: Keys) -> None:
    hands, read = shake(keys, address="::1", retry=True)
    assert (hands.failure, hands.address, read.status) == (None, "::1", 200)


def test_a_bad_certificate_is_taken_and_judged(keys: Keys) -> None:
    stranger = trustme.CA().issue_cert(NAME)
    hands, read = shake(keys, stranger)
    assert hands.failure is Failure.SSL_UNKNOWN_AUTHORITY
    assert hands.ended
    assert hands.issuer
    assert read.status == 200
    hands, _ = shake(keys, name="other.example")
    assert (hands.failure, hands.name) == (Failure.SSL_INVALID_HOSTNAME, "other.example")
    hands, _ = shake(keys, name=None, verify=NAME)
    assert (hands.failure, hands.name) == (None, None)


def test_an_alert_is_told_from_silence(keys: Keys) -> None:
    hands, read = shake(keys, alpn=["something-else"])
    assert (hands.failure, hands.answered, hands.ended) == (Failure.SSL_FAILED_HANDSHAKE, True, False)
    assert hands.closed == 0x100 + 120
    assert hands.detail.startswith("alert: 120")
    assert read.failure is Failure.INVALID_ARGUMENT


@pytest.mark.parametrize(
    ("answer", "failure", "answered"),
    [
        (silent, Failure.TIMEOUT, False),
        (junk, Failure.TIMEOUT, False),
        (flood, Failure.SSL_FAILED_HANDSHAKE, False),
        (other_versions, Failure.QUIC_INCOMPATIBLE_VERSION, True),
    ],
)
def test_peers_that_do_not_shake_hands(answer: Any, failure: Failure, answered: bool) -> None:
    async def work() -> None:
        async with udp_peer(answer) as (port, heard), network() as net:
            began = time.perf_counter()
            hands = await net.quic("127.0.0.1", port, name=NAME, timeout=1.5)
            assert time.perf_counter() - began < 2
            assert (hands.failure, hands.answered, hands.ended) == (failure, answered, False), hands.detail
            assert all(len(datagram) >= INITIAL_SIZE for datagram in heard)
            assert quic_name(heard) == NAME
            assert hands.sent <= 4 * INITIAL_SIZE
            assert hands.datagrams <= 400
            assert net.spent.connections == 1

    run(work())


def test_a_swallowed_handshake_is_sent_again_seldom() -> None:
    async def work() -> None:
        async with udp_peer(silent) as (port, heard), network() as net:
            await net.quic("127.0.0.1", port, name=NAME, timeout=3.5)
            assert 2 <= len(heard) <= 4

    run(work())


def test_a_closed_port_is_refused_after_a_grace() -> None:
    async def work() -> None:
        async with network() as net:
            port = free_port()
            for step in (
                await net.quic("127.0.0.1", port, name=NAME),
                await net.version_negotiation("127.0.0.1", port),
            ):
                assert step.failure is Failure.CONNECTION_REFUSED, step.detail
                assert 0.2 < step.elapsed < 1
                assert [(e.type, e.code, e.source) for e in step.icmp][:1] == [(3, 3, "127.0.0.1")]
            assert "127.0.0.1" in net.own_addresses

    run(work())


def test_no_route_and_no_address() -> None:
    async def work() -> None:
        async with network() as net:
            assert (await net.quic("no address", 443, name=NAME)).failure is Failure.INVALID_ARGUMENT
            assert (await net.version_negotiation("127.0.0.1", 99999)).failure is Failure.INVALID_ARGUMENT

    run(work())


def test_a_deadline_keeps_the_step() -> None:
    async def work() -> None:
        async with udp_peer(silent) as (port, _), network() as net:
            await net.version_negotiation("127.0.0.1", port, timeout=0.1)  # what is imported once takes its time
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.2):
                    await net.quic("127.0.0.1", port, name=NAME)
            [_, step] = net.observations
            assert isinstance(step, QuicHandshake)
            assert (step.failure, step.sent) == (Failure.INTERRUPTED, INITIAL_SIZE)

    run(work())


# -- versions


def test_a_server_tells_its_versions(keys: Keys) -> None:
    async def work() -> None:
        async with http3_server(keys.leaf) as port, network() as net:
            step = await net.version_negotiation("127.0.0.1", port)
            assert (step.failure, step.answered, step.ended) == (None, True, False)
            assert "0x00000001" in step.versions
            assert step.name is None

    run(work())


@pytest.mark.parametrize("answer", [silent, junk, flood])
def test_what_is_no_answer_about_versions(answer: Any) -> None:
    async def work() -> None:
        async with udp_peer(answer) as (port, heard), network() as net:
            step = await net.version_negotiation("127.0.0.1", port, timeout=1.3)
            assert step.failure is not None
            assert not step.answered
            assert step.versions == ()
            assert len(heard) <= 2

    run(work())


def test_a_version_question_is_reserved_and_long_enough() -> None:
    question, ours, theirs = version_question()
    assert len(question) == INITIAL_SIZE
    assert question[0] & 0xC0 == 0xC0
    assert all(octet & 0x0F == 0x0A for octet in question[1:5])
    head = b"\x80\0\0\0\0" + bytes([8]) + ours + bytes([8]) + theirs
    assert read_versions(head + b"\0\0\0\1" + b"\x6b\x33\x43\xcf", ours, theirs) == ("0x00000001", "0x6b3343cf")
    assert len(read_versions(head + b"\0\0\0\1" * 500, ours, theirs) or ()) == 32
    for wrong in (b"", head, head + b"\0\0\0", head[1:], b"\0" + head[1:] + b"\0\0\0\1", question):
        assert read_versions(wrong, ours, theirs) is None
    assert read_versions(head + b"\0\0\0\1", theirs, ours) is None


def test_a_first_datagram_carries_the_name() -> None:
    assert quic_name([first_datagram(NAME)]) == NAME
    assert quic_name([first_datagram(None)]) is None
    assert len(first_datagram(NAME)) == INITIAL_SIZE


# -- pages


def test_bodies_are_decoded_and_bounded(keys: Keys) -> None:
    whole = b"<title>Zipped</title>" + b"a" * 100_000
    zipped = page(200, gzip.compress(whole), (b"content-encoding", b"gzip"))
    read = fetch(keys, zipped)
    assert (read.failure, read.title, read.body_length, read.truncated) == (None, "Zipped", len(whole), None)
    read = fetch(keys, zipped, body_limit=1000)
    assert (read.body_length, read.truncated) == (1000, "sample")
    read = fetch(keys, page(200, gzip.compress(b"\0" * 50_000_000), (b"content-encoding", b"gzip")))
    assert (read.truncated, read.body_length) == ("decoded", Limits().body_decoded)


def test_a_large_page_is_read_to_the_cap_and_the_routine_sample_costs_little(keys: Keys) -> None:
    large = page(200, b"<title>Large</title>" + b"x" * 3_000_000)
    read = fetch(keys, large)
    assert read.truncated == "wire"
    assert 400_000 < read.wire_bytes < 700_000
    read = fetch(keys, large, full=False)
    assert (read.truncated, read.body_length) == ("sample", 16 * 1024)
    assert read.wire_bytes < 100_000


def test_headers_redirects_and_refusals(keys: Keys) -> None:
    many = [(f"x-{n}".encode(), b"v" * 100) for n in range(200)]
    read = fetch(keys, page(404, b"", *many))
    assert (read.status, len(read.headers), read.failure) == (404, 128, None)
    read = fetch(keys, page(302, b"", (b"location", b"/there#part")))
    assert read.redirect == f"https://{NAME}/there"
    read = fetch(keys, page(302, b"", (b"location", b"https:///")))
    assert read.failure is Failure.HTTP_INVALID_REDIRECT
    read = fetch(keys, page(200, b"", (b"x-huge", b"v" * 60_000)))
    assert read.failure is Failure.HTTP_INVALID_RESPONSE


def test_what_goes_wrong_with_a_page(keys: Keys) -> None:
    def nothing(http: Any, stream: int, asked: Any) -> None:
        pass

    def half(http: Any, stream: int, asked: Any) -> None:
        http.send_headers(stream, [(b":status", b"200")])
        http.send_data(stream, b"<title>Half</title>", end_stream=False)

    def leaves(http: Any, stream: int, asked: Any) -> None:
        http._quic.close(error_code=0x100)

    def errs(http: Any, stream: int, asked: Any) -> None:
        http._quic.close(error_code=0x2, reason_phrase="no")

    def resets(http: Any, stream: int, asked: Any) -> None:
        http._quic.reset_stream(stream, 0x10B)

    def nonsense(http: Any, stream: int, asked: Any) -> None:
        http._quic.send_stream_data(stream, b"\x01\x05hello" * 10, end_stream=True)

    def empty(http: Any, stream: int, asked: Any) -> None:
        http._quic.send_stream_data(stream, b"", end_stream=True)

    assert fetch(keys, nothing, timeout=0.5).failure is Failure.TIMEOUT
    read = fetch(keys, half, timeout=0.5)
    assert (read.status, read.title, read.failure, read.truncated) == (200, "Half", Failure.TIMEOUT, "time")
    assert fetch(keys, leaves).failure is Failure.EOF
    assert fetch(keys, errs).failure is Failure.CONNECTION_REFUSED
    assert fetch(keys, resets).failure is Failure.CONNECTION_RESET
    assert fetch(keys, nonsense).failure is Failure.HTTP_INVALID_RESPONSE
    assert fetch(keys, empty).failure in (Failure.EOF, Failure.HTTP_INVALID_RESPONSE)


def test_interim_responses_are_passed_over(keys: Keys) -> None:
    def hints(http: Any, stream: int, asked: Any) -> None:
        http.send_headers(stream, [(b":status", b"103"), (b"link", b"</style.css>")])
        echo(http, stream, asked)

    assert fetch(keys, hints).status == 200


def test_a_connection_serves_two_pages_and_none_after_it_was_cut(keys: Keys) -> None:
    async def work() -> None:
        async with http3_server(keys.leaf) as port, network(ca_file=keys.ca_file) as net:
            hands = await net.quic("127.0.0.1", port, name=NAME)
            first = await net.exchange(hands, f"https://{NAME}/1")
            second = await net.exchange(hands, f"https://{NAME}/2", headers={"User-Agent": "me"})
            assert (first.status, second.status) == (200, 200)
            assert b"user-agent: me" in second.body
            cut = await net.exchange(hands, f"https://{NAME}/3", body_limit=5)
            assert cut.truncated == "sample"
            late = await net.exchange(hands, f"https://{NAME}/4")
            assert late.failure is Failure.INVALID_ARGUMENT

    run(work())


def test_a_hop_for_quic_hears_a_server_and_a_closed_port(keys: Keys) -> None:
    async def work() -> None:
        async with http3_server(keys.leaf) as port, network() as net:
            assert (await net.hop("127.0.0.1", port, probe="initial", ttl=9, name=NAME)).answer == "data"
            assert (await net.hop("127.0.0.1", free_port(), probe="initial", ttl=9)).answer == "unreachable"
        async with udp_peer(silent) as (port, heard), network() as net:
            hop = await net.hop("127.0.0.1", port, probe="initial", ttl=9, name=NAME, timeout=0.3)
            assert (hop.answer, hop.failure, quic_name(heard)) == ("silence", None, NAME)

    run(work())
