"""Lookups over UDP and TCP."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import dns.flags
import pytest

from measurements.model import DnsLookup, Failure, View
from probe.network import Limits, Resolver
from tests.probe.wire.conftest import Unbound
from tests.probe.wire.peers import UdpPeer, answer, free_port, network, run

NAME = "site.example"


async def ask(peer: UdpPeer, **options: Any) -> DnsLookup:
    async with network() as net:
        return await net.lookup(NAME, options.pop("rtype", "A"), peer.resolver, **options)


def test_a_forged_reply_and_the_true_one_are_both_kept() -> None:
    def reply(peer: UdpPeer, query: bytes, source: Any, ttl: int | None) -> None:
        peer.send(answer(query, "10.1.2.3"), source, ttl=49)
        asyncio.get_running_loop().call_later(0.1, lambda: peer.send(answer(query, "203.0.113.5"), source, ttl=61))

    async def main() -> None:
        with UdpPeer(reply) as peer:
            lookup = await ask(peer, linger=0.3)
        assert lookup.failure is None
        assert lookup.addresses == ("10.1.2.3",)
        assert [(r.problem, r.answers[0].data, r.ip_ttl) for r in lookup.replies] == [
            (None, "10.1.2.3", 49),
            (None, "203.0.113.5", 61),
        ]
        assert lookup.replies[1].arrival - lookup.replies[0].arrival > 0.08
        assert 0.3 <= lookup.elapsed < 1.0

    run(main())


def test_what_cannot_answer_is_recorded_and_never_trusted() -> None:
    stranger: UdpPeer

    def reply(peer: UdpPeer, query: bytes, source: Any, ttl: int | None) -> None:
        good = answer(query, "192.0.2.66")
        peer.send(b"\0junk", source)
        peer.send(bytes([good[0] ^ 1]) + good[1:], source)
        peer.send(good.replace(b"\x04site", b"\x04evil"), source)
        stranger.sock.sendto(good, source)
        asyncio.get_running_loop().call_later(0.05, lambda: peer.send(answer(query, "192.0.2.1"), source))

    async def main() -> None:
        nonlocal stranger
        with UdpPeer(lambda *unused: None, "127.0.0.2") as stranger, UdpPeer(reply) as peer:
            lookup = await ask(peer, linger=0.0)
        assert [r.problem for r in lookup.replies] == [
            "malformed",
            "wrong_id",
            "wrong_question",
            "foreign_source",
            None,
        ]
        assert lookup.replies[3].source == f"127.0.0.2:{stranger.port}"
        assert lookup.addresses == ("192.0.2.1",)

    run(main())


def test_replies_that_are_all_wrong_are_a_timeout() -> None:
    def reply(peer: UdpPeer, query: bytes, source: Any, ttl: int | None) -> None:
        good = answer(query, "192.0.2.66")
        peer.send(bytes([good[0] ^ 1]) + good[1:], source)

    async def main() -> None:
        with UdpPeer(reply) as peer:
            lookup = await ask(peer, timeout=0.2)
        assert lookup.failure is Failure.TIMEOUT
        assert [r.problem for r in lookup.replies] == ["wrong_id"] * 2  # the question was sent once more
        assert lookup.addresses == ()

    run(main())


def test_a_flood_leaves_room_for_the_true_reply_and_is_bounded() -> None:
    def reply(peer: UdpPeer, query: bytes, source: Any, ttl: int | None) -> None:
        good = answer(query, "192.0.2.1")
        for number in range(100):
            peer.send(bytes([good[0] ^ 1 ^ (number & 2)]) + good[1:], source)
        peer.send(good, source)

    async def main() -> None:
        with UdpPeer(reply) as peer:
            async with network() as net:
                lookup = await net.lookup(NAME, "A", peer.resolver, linger=0.1)
                assert net.spent.limits == ["dns_replies"]
        assert lookup.addresses == ("192.0.2.1",)
        assert len(lookup.replies) == 25

    run(main())


def test_without_linger_the_first_valid_reply_ends_the_lookup() -> None:
    async def main() -> None:
        with UdpPeer(lambda peer, query, source, ttl: peer.send(answer(query, "192.0.2.1"), source)) as peer:
            quick, patient = await ask(peer, linger=0.0), await ask(peer)
        assert quick.elapsed < 0.5
        assert Limits().dns_linger <= patient.elapsed

    run(main())


@pytest.mark.parametrize(("ip_ttl", "queries"), [(None, 2), (9, 1)])
def test_a_query_that_was_lost_is_sent_once_more(ip_ttl: int | None, queries: int) -> None:
    """If nothing came in part of the time, the same query goes out again; one that measures the path is one packet."""

    def reply(peer: UdpPeer, query: bytes, source: Any, ttl: int | None) -> None:
        if len(peer.queries) == 2:
            peer.send(answer(query, "192.0.2.1"), source)

    async def main() -> None:
        with UdpPeer(reply) as peer:
            lookup = await ask(peer, linger=0.0, timeout=1.0, ip_ttl=ip_ttl)
        assert lookup.failure is (None if queries == 2 else Failure.TIMEOUT)
        assert len(peer.queries) == queries
        assert len({query.id for query in peer.queries}) == 1

    run(main())


def test_a_closed_port_is_a_refusal_heard_by_icmp() -> None:
    async def main() -> None:
        resolver = Resolver(f"127.0.0.1:{free_port()}", View.LOCAL)
        async with network() as net:
            began = time.perf_counter()
            lookup = await net.lookup(NAME, "A", resolver)
            assert time.perf_counter() - began < 2.0
        assert lookup.failure is Failure.CONNECTION_REFUSED
        [error] = lookup.icmp
        assert (error.source, error.type, error.code, error.error) == ("127.0.0.1", 3, 3, "ECONNREFUSED")

    run(main())


def test_ipv6_is_the_same() -> None:
    def reply(peer: UdpPeer, query: bytes, source: Any, ttl: int | None) -> None:
        peer.send(answer(query, "2001:db8::5"), source, ttl=33)

    async def main() -> None:
        with UdpPeer(reply, "::1") as peer:
            lookup = await ask(peer, rtype="AAAA", linger=0.0, ip_ttl=9)
            port = peer.port
        assert lookup.addresses == ("2001:db8::5",)
        assert (lookup.replies[0].ip_ttl, lookup.replies[0].source) == (33, f"[::1]:{port}")
        assert (peer.ttls, lookup.ip_ttl) == ([9], 9)
        async with network() as net:
            refused = await net.lookup(NAME, "A", Resolver(f"[::1]:{port}", View.LOCAL))
        assert refused.failure is Failure.CONNECTION_REFUSED
        assert (refused.icmp[0].source, refused.icmp[0].type, refused.icmp[0].code) == ("::1", 1, 4)

    run(main())


def test_the_ip_ttl_and_the_cd_bit_reach_the_resolver() -> None:
    async def main() -> None:
        with UdpPeer(lambda peer, query, source, ttl: peer.send(answer(query, "192.0.2.1"), source)) as peer:
            await ask(peer, linger=0.0, ip_ttl=5, checking_disabled=True)
        assert peer.ttls == [5]
        assert peer.queries[0].flags & dns.flags.CD

    run(main())


def test_unbound_answers_and_refuses(unbound: Unbound) -> None:
    resolver = Resolver(f"127.0.0.1:{unbound.plain}", View.LOCAL)

    async def main() -> None:
        async with network() as net:
            a, aaaa, https, missing, refused, dropped = await asyncio.gather(
                net.lookup(NAME, "A", resolver, linger=0.0),
                net.lookup(NAME, "AAAA", resolver, linger=0.0),
                net.lookup(NAME, "HTTPS", resolver, linger=0.0),
                net.lookup("missing.example", "A", resolver, linger=0.0),
                net.lookup("refused.example", "A", resolver, linger=0.0),
                net.lookup("dropped.example", "A", resolver, timeout=0.3),
            )
            assert net.spent.connections == 6
            assert net.spent.sent > 6 * 30
        assert sorted(a.addresses) == ["192.0.2.1", "192.0.2.2"]
        assert aaaa.addresses == ("2001:db8::1",)
        assert "192.0.2.1" in https.replies[0].answers[0].data
        assert (missing.failure, missing.replies[0].rcode) == (Failure.DNS_NXDOMAIN, "NXDOMAIN")
        assert refused.failure is Failure.DNS_REFUSED
        assert (dropped.failure, dropped.replies) == (Failure.TIMEOUT, ())

    run(main())


def test_a_cut_reply_is_asked_again_over_tcp(unbound: Unbound) -> None:
    async def main() -> None:
        async with network() as net:
            lookup = await net.lookup(
                "wide.example", "A", Resolver(f"127.0.0.1:{unbound.plain}", View.LOCAL), linger=0.0
            )
            assert net.spent.limits == ["dns_answers"]
        assert (lookup.failure, lookup.protocol) == (None, "tcp")
        assert [(r.problem, r.truncated) for r in lookup.replies] == [("truncated", True), (None, False)]
        assert len(lookup.addresses) == 64
        assert lookup.replies[1].size > 3000

    run(main())


def test_when_tcp_fails_after_a_cut_reply_the_lookup_says_so() -> None:
    def reply(peer: UdpPeer, query: bytes, source: Any, ttl: int | None) -> None:
        peer.send(answer(query, flags=dns.flags.TC), source)

    async def main() -> None:
        with UdpPeer(reply) as peer:
            lookup = await ask(peer, linger=0.0)
        assert (lookup.failure, lookup.protocol) == (Failure.CONNECTION_REFUSED, "tcp")
        assert lookup.detail.startswith("cut over UDP")
        assert lookup.replies[0].problem == "truncated"

    run(main())


@pytest.mark.parametrize("name", ["a..b", "x" * 70 + ".example", ""])
def test_a_bad_name_is_a_failed_lookup(name: str) -> None:
    async def main() -> None:
        async with network() as net:
            lookup = await net.lookup(name, "A", Resolver("127.0.0.1:9", View.LOCAL))
        assert lookup.failure is Failure.INVALID_ARGUMENT
        assert net.spent.sent == 0

    run(main())


def test_a_bad_resolver_is_the_callers_mistake() -> None:
    async def main() -> None:
        async with network() as net:
            with pytest.raises(ValueError, match="not an address and a port"):
                await net.lookup(NAME, "A", Resolver("resolver.example", View.LOCAL))

    run(main())
