"""IPv4 addresses inside IPv6 ones, as a NAT64 and its DNS64 write them (RFC 6052, 7050).

A provider that gives its users IPv6 alone answers for a site that has IPv4 alone with an address made up of the
provider's prefix and the site's. That is no lie: it is the site's address, in other clothes.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

ARPA = "ipv4only.arpa"
"""The name that has these IPv4 addresses and no other, so that whatever else is said of it was made up."""

KNOWN = frozenset({"192.0.0.170", "192.0.0.171"})
LENGTHS = (96, 64, 56, 48, 40, 32)  # the lengths that a prefix may have, the most usual first
_SKIPPED = 8  # the ninth byte, bits 64 to 71, stays free in all but the longest


def embed(address: str, prefix: str) -> str:
    """Return the IPv6 address by which a NAT64 with this prefix ("2001:db8::/96") reaches an IPv4 address."""
    network = ipaddress.IPv6Network(prefix)
    data = bytearray(network.network_address.packed)
    for byte, place in zip(ipaddress.IPv4Address(address).packed, _places(network.prefixlen), strict=True):
        data[place] = byte
    return str(ipaddress.IPv6Address(bytes(data)))


def plain(address: str, prefix: str | None) -> str:
    """Return the IPv4 address that is written in an IPv6 address of this prefix; any other address as it is."""
    if prefix is None or ":" not in address:
        return address
    network, parsed = ipaddress.IPv6Network(prefix), ipaddress.IPv6Address(address)
    return _inside(parsed, network.prefixlen) if parsed in network else address


def find_prefix(addresses: Iterable[str]) -> str | None:
    """Find the prefix that was put before the addresses of `ipv4only.arpa` (RFC 7050, 3); None when there is none."""
    for text in addresses:
        try:
            address = ipaddress.IPv6Address(text)
        except ValueError:
            continue
        for length in LENGTHS:
            if _inside(address, length) in KNOWN:
                return str(ipaddress.IPv6Network((address, length), strict=False))
    return None


def _places(length: int) -> list[int]:
    """Return where the four bytes stand behind a prefix of `length` bits."""
    start = length // 8
    return [place for place in range(start, start + 5) if length == 96 or place != _SKIPPED][:4]


def _inside(address: ipaddress.IPv6Address, length: int) -> str:
    return str(ipaddress.IPv4Address(bytes(address.packed[place] for place in _places(length))))
