"""What the system would do with a packet: connecting a UDP socket asks, and sends nothing."""

from __future__ import annotations

import socket
from collections.abc import Iterable

import httpx

from probe.network import Peers
from probe.wire.sockets import Endpoint, open_socket

WELL_KNOWN = {4: Endpoint("1.1.1.1", 443), 6: Endpoint("2606:4700:4700::1111", 443)}


def source_address(peer: Endpoint) -> str | None:
    """Return the address of ours that a packet to `peer` would carry, or None without a route."""
    try:
        with open_socket(peer.family, socket.SOCK_DGRAM) as sock:
            sock.connect(peer.pair)
            return str(sock.getsockname()[0])
    except OSError:
        return None


def public_peer(peers: Peers, *, ipv6: bool) -> Endpoint:
    """Choose a public address to ask about: a trusted resolver's, else a well-known one."""
    family = socket.AF_INET6 if ipv6 else socket.AF_INET
    return next((e for e in _endpoints(peers) if e.family == family), WELL_KNOWN[6 if ipv6 else 4])


def _endpoints(peers: Peers) -> Iterable[Endpoint]:
    for resolver in peers.trusted:
        try:
            if resolver.is_doh:
                url = httpx.URL(resolver.address)
                yield Endpoint.of(url.host, url.port or 443)
            else:
                yield Endpoint.parse(resolver.address)
        except ValueError:  # given by name
            continue
