"""What the system would do with a packet; asking sends nothing.

Connecting a UDP socket tells the address of ours that a packet would carry. For the device and the gateway the
kernel is asked over netlink (rtnetlink(7), RTM_GETROUTE) rather than read in /proc/net/route: that shows the main
table alone, and WireGuard, among others, keeps its routes in another.
"""

from __future__ import annotations

import ipaddress
import socket
import struct
from collections.abc import Iterable

import httpx

from probe.network import Peers, Route
from probe.wire.sockets import Endpoint, open_socket

WELL_KNOWN = {4: Endpoint("1.1.1.1", 443), 6: Endpoint("2606:4700:4700::1111", 443)}

_NETLINK, _ROUTE = 16, 0  # AF_NETLINK, NETLINK_ROUTE
_NEW_ROUTE, _GET_ROUTE, _REQUEST = 24, 26, 1
_DESTINATION, _DEVICE, _GATEWAY, _SOURCE = 1, 4, 5, 7
_HEADER, _MESSAGE = struct.Struct("=IHHII"), struct.Struct("=BBBBBBBBI")
_PATIENCE = 1.0


def source_address(peer: Endpoint) -> str | None:
    """Return the address of ours that a packet to `peer` would carry, or None without a route."""
    try:
        with open_socket(peer.family, socket.SOCK_DGRAM) as sock:
            sock.connect(peer.pair)
            return str(sock.getsockname()[0])
    except OSError:
        return None


def route_to(peer: Endpoint) -> Route | None:
    """Return the way that a packet to `peer` would take, or None without one."""
    source = source_address(peer)
    if source is None:
        return None
    told = _ask_kernel(peer)
    device = told.get(_DEVICE)
    gateway = told.get(_GATEWAY)
    return Route(
        device=_name(struct.unpack("=I", device)[0]) if device and len(device) == 4 else "",
        gateway=str(ipaddress.ip_address(gateway)) if gateway and len(gateway) in (4, 16) else None,
        source=source,
    )


def _ask_kernel(peer: Endpoint) -> dict[int, bytes]:
    """Return the attributes of the kernel's answer, by number; empty where it does not answer."""
    wanted = socket.inet_pton(peer.family, peer.address)
    body = _MESSAGE.pack(peer.family, 8 * len(wanted), 0, 0, 0, 0, 0, 0, 0)
    body += struct.pack("=HH", 4 + len(wanted), _DESTINATION) + wanted
    request = _HEADER.pack(_HEADER.size + len(body), _GET_ROUTE, _REQUEST, 1, 0) + body
    try:
        with socket.socket(_NETLINK, socket.SOCK_RAW, _ROUTE) as sock:
            sock.settimeout(_PATIENCE)
            sock.sendto(request, (0, 0))
            data = sock.recv(4096)
    except OSError:  # a sandbox may have none
        return {}
    if len(data) < _HEADER.size + _MESSAGE.size or _HEADER.unpack_from(data)[1] != _NEW_ROUTE:
        return {}
    return _attributes(data[_HEADER.size + _MESSAGE.size :])


def _attributes(data: bytes) -> dict[int, bytes]:
    found: dict[int, bytes] = {}
    while len(data) >= 4:
        size, kind = struct.unpack_from("=HH", data)
        if not 4 <= size <= len(data):
            break
        found[kind] = data[4:size]
        data = data[(size + 3) & ~3 :]
    return found


def _name(index: int) -> str:
    try:
        return socket.if_indextoname(index)
    except OSError:  # it has gone meanwhile
        return ""


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
