"""Lookups over HTTPS: unbound, and resolvers that misbehave."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest
import trustme

from measurements.model import DnsLookup, Failure, View
from probe.network import Limits, Peers, Resolver
from probe.wire import Wire
from tests.probe.wire.conftest import NAME, Keys, Unbound
from tests.probe.wire.peers import (
    NoBogons,
    Serve,
    UdpPeer,
    answer,
    network,
    reset,
    run,
    server_context,
    tcp_peer,
)

LIMITS = Limits(dns_timeout=1.0)


def doh(port: int, host: str = "127.0.0.1") -> Resolver:
    return Resolver(f"https://{host}:{port}/dns-query", View.TRUSTED)


async def read_query(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    length = next(line.split(b":")[1] for line in head.split(b"\r\n") if line.lower().startswith(b"content-length"))
    return await reader.readexactly(int(length))


def ok(body: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Type: application/dns-message\r\nContent-Length: %d\r\n\r\n" % len(body) + body


def ask(keys: Keys, serve: Serve, *, certificate: trustme.LeafCert | None = None, **options: Any) -> DnsLookup:
    async def main() -> DnsLookup:
        context = server_context(certificate or keys.leaf)
        async with (
            tcp_peer(serve, context) as port,
            network(ca_file=keys.ca_file, limits=LIMITS) as net,
        ):
            return await net.lookup(NAME, "A", doh(port), **options)

    return run(main())


async def serve_truth(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while True:
        writer.write(ok(answer(await read_query(reader), "192.0.2.1")))


def test_unbound_over_http2(keys: Keys, unbound: Unbound) -> None:
    async def main() -> None:
        async with network(ca_file=keys.ca_file) as net:
            first = await net.lookup(NAME, "A", doh(unbound.https))
            assert net.spent.connections == 1
            others = await asyncio.gather(
                *(net.lookup(NAME, rtype, doh(unbound.https)) for rtype in ("A", "AAAA", "HTTPS") * 5),
                net.lookup("missing.example", "A", doh(unbound.https), checking_disabled=True),
                net.lookup("a..b", "A", doh(unbound.https)),
            )
            assert net.spent.connections == 1
            assert net.spent.sent > 300
            assert "127.0.0.1" in net.own_addresses
        assert (first.failure, first.protocol, first.view) == (None, "doh", View.TRUSTED)
        assert sorted(first.addresses) == ["192.0.2.1", "192.0.2.2"]
        assert first.replies[0].source == doh(unbound.https).address
        assert [step.failure for step in others] == [None] * 15 + [Failure.DNS_NXDOMAIN, Failure.INVALID_ARGUMENT]

    run(main())


def test_the_certificate_is_verified(keys: Keys) -> None:
    for certificate, failure in (
        (trustme.CA().issue_cert("127.0.0.1"), Failure.SSL_UNKNOWN_AUTHORITY),
        (keys.authority.issue_cert("other.example"), Failure.SSL_INVALID_HOSTNAME),
    ):
        lookup = ask(keys, serve_truth, certificate=certificate)
        assert (lookup.failure, lookup.replies) == (failure, ())


def test_a_resolver_that_does_not_answer_the_question(keys: Keys) -> None:
    async def other_question(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        query = await read_query(reader)
        writer.write(ok(answer(query, "192.0.2.1").replace(b"\x04site", b"\x04evil")))

    async def junk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_query(reader)
        writer.write(ok(b"<html>portal</html>"))

    for serve, problem in ((other_question, "wrong_question"), (junk, "malformed")):
        lookup = ask(keys, serve)
        assert (lookup.failure, lookup.replies[0].problem) == (Failure.DNS_MISBEHAVING, problem)
        assert lookup.addresses == ()


@pytest.mark.parametrize(
    ("response", "failure"),
    [
        (b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n", Failure.HTTP_REQUEST_FAILED),
        (
            b"HTTP/1.1 302 Found\r\nLocation: https://127.0.0.1/\r\nContent-Length: 0\r\n\r\n",
            Failure.HTTP_REQUEST_FAILED,
        ),
        (b"SSH-2.0\r\n\r\n", Failure.HTTP_INVALID_RESPONSE),
        (ok(bytes(70_000)), Failure.DNS_MISBEHAVING),
        (b"", Failure.EOF),
    ],
)
def test_a_resolver_that_is_none(keys: Keys, response: bytes, failure: Failure) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_query(reader)
        writer.write(response)
        await writer.drain()

    assert ask(keys, serve).failure is failure


def test_resets_silence_and_refusal_stay_distinct(keys: Keys) -> None:
    async def cut(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_query(reader)
        reset(writer)

    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(-1)

    async def refused() -> DnsLookup:
        async with network(ca_file=keys.ca_file) as net:
            return await net.lookup(NAME, "A", doh(1))

    assert ask(keys, cut).failure is Failure.CONNECTION_RESET
    assert ask(keys, hang, timeout=0.3).failure is Failure.TIMEOUT
    assert run(refused()).failure is Failure.CONNECTION_REFUSED


def test_a_kept_connection_that_was_closed_costs_no_lookup(keys: Keys) -> None:
    connections = 0

    async def once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        writer.write(ok(answer(await read_query(reader), "192.0.2.1")))
        await read_query(reader)  # and hang up instead of answering the second one

    async def main() -> None:
        async with (
            tcp_peer(once, server_context(keys.leaf)) as port,
            network(ca_file=keys.ca_file, limits=LIMITS) as net,
        ):
            lookups = [await net.lookup(NAME, "A", doh(port)) for _ in range(3)]
        assert [step.failure for step in lookups] == [None] * 3
        assert connections == 3

    run(main())


def test_a_resolver_given_by_name_is_found_through_the_local_one(keys: Keys, unbound: Unbound) -> None:
    lying = False

    def reply(peer: UdpPeer, query: bytes, source: Any, ttl: int | None) -> None:
        peer.send(answer(query, rcode=3) if lying else answer(query, "127.0.0.1"), source)

    async def main() -> None:
        nonlocal lying
        with UdpPeer(reply) as local:
            peers = Peers(local.resolver)
            async with network(ca_file=keys.ca_file, limits=LIMITS, peers=peers) as net:
                found = await net.lookup(NAME, "A", doh(unbound.https, NAME))
                assert [str(q.question[0].name) for q in local.queries] == [f"{NAME}."]
                lying = True
                kept = await net.lookup(NAME, "A", doh(unbound.https, NAME))
            async with network(ca_file=keys.ca_file, limits=LIMITS, peers=peers) as net:
                lost = await net.lookup(NAME, "A", doh(unbound.https, NAME))
        assert (found.failure, kept.failure) == (None, None)
        assert lost.failure is Failure.DNS_NXDOMAIN
        assert lost.detail.startswith(f"finding {NAME}")
        async with network(ca_file=keys.ca_file) as net:
            assert (await net.lookup(NAME, "A", doh(unbound.https, NAME))).failure is Failure.NO_DNS_ANSWER

    run(main())


@pytest.mark.parametrize(("wires", "rounds"), [(1, 150), (40, 3)], ids=["standing", "opening"])
def test_lookups_that_are_cancelled_do_not_spoil_the_shared_connection(
    keys: Keys, unbound: Unbound, wires: int, rounds: int
) -> None:
    rng = random.Random(7)

    async def one_wire() -> None:
        async with Wire(peers=Peers(None), limits=Limits(), bogons=NoBogons(), ca_file=keys.ca_file) as wire:
            for _ in range(rounds):
                async with wire.network() as net:
                    tasks = [asyncio.create_task(net.lookup(NAME, "A", doh(unbound.https))) for _ in range(3)]
                    await asyncio.sleep(rng.random() * 0.004)
                    tasks[0].cancel()
                    results = await asyncio.gather(*tasks, return_exceptions=True)
                    assert len(net.observations) == 3
                for result in results[1:]:
                    assert isinstance(result, DnsLookup)
                    assert result.failure is None, result

    async def main() -> None:
        for _ in range(wires):
            await one_wire()

    run(main())


def test_a_kept_connection_that_went_silent_costs_no_lookup(keys: Keys) -> None:
    connections = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        writer.write(ok(answer(await read_query(reader), "192.0.2.1")))
        await reader.read(-1)

    async def main() -> None:
        async with (
            tcp_peer(serve, server_context(keys.leaf)) as port,
            network(ca_file=keys.ca_file, limits=LIMITS) as net,
        ):
            first, second = await net.lookup(NAME, "A", doh(port)), await net.lookup(NAME, "A", doh(port))
        assert (first.failure, second.failure, connections) == (None, None, 2)
        assert 0.5 <= second.elapsed < 1.0

    run(main())
