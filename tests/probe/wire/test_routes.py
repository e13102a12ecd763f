"""Which way packets take, as this machine's own kernel says."""

from __future__ import annotations

from measurements.model import View
from probe.network import Peers, Resolver, Route
from probe.wire.routes import public_peer, route_to, source_address
from probe.wire.sockets import Endpoint


def test_the_kernel_tells_device_and_source() -> None:
    assert route_to(Endpoint("127.0.0.1", 443)) == Route("lo", None, "127.0.0.1")
    assert route_to(Endpoint("::1", 443)) == Route("lo", None, "::1")
    assert source_address(Endpoint("127.0.0.9", 443)) == "127.0.0.1"


def test_where_no_packet_can_go_there_is_none() -> None:
    assert route_to(Endpoint("255.255.255.255", 443)) is None, "a broadcast needs leave"
    assert source_address(Endpoint("255.255.255.255", 443)) is None


def test_the_peer_is_a_trusted_resolver_of_the_family_or_a_known_one() -> None:
    trusted = tuple(Resolver(url, View.TRUSTED) for url in ("https://named.example/dns-query", "https://192.0.2.53/q"))
    peers = Peers(local=None, trusted=trusted)
    assert public_peer(peers, ipv6=False) == Endpoint("192.0.2.53", 443)
    assert public_peer(peers, ipv6=True).address.startswith("2606:")
