"""Whether an address in a text may be a client's, or the digits are a version, a date or something else.

Only public unicast addresses are clients', and those of carriers' insides (100.64.0.0/10, RFC 6598), which a
carrier's own page sees. What looks like an address may be a version (`jquery-3.6.0.1`, `Brave/120.1.61.109`)
or part of a drawing: what stands before and behind it and the size of its numbers tell. By size alone fewer than
one of 100,000 addresses is taken for a version. In doubt it is a client.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address, ip_network

from measurements.address_forms import Address

BEFORE, BEHIND = 48, 16  # bytes that are looked at

_NOBODYS = tuple(
    ip_network(network)
    for network in (
        *("0.0.0.0/8", "10.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.168.0.0/16"),
        *("192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24"),
        *("224.0.0.0/3", "2001:db8::/32", "3fff::/20"),
    )
)
"""Private, reserved and multicast space (RFC 6890, RFC 9637)."""
_RANGES = tuple((int(n.network_address), int(n.broadcast_address)) for n in _NOBODYS if n.version == 4)
_UNICAST = ip_network("2000::/3")


def public(address: Address) -> bool:
    """Whether an address may be that of a machine out in the world."""
    if isinstance(address, IPv4Address):
        number = int(address)
        named = number & 0xFFFFFF  # x.0.0.0 is a network's name, or a browser's version
        return named != 0 and not any(first <= number <= last for first, last in _RANGES)
    return address in _UNICAST and not any(address in nobodys for nobodys in _NOBODYS if nobodys.version == 6)


def embedded(address: IPv6Address) -> Address:
    """Return the IPv4 address that a mapped or translated (NAT64) IPv6 address stands for, else the address."""
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return IPv4Address(int(address) & 0xFFFFFFFF) if int(address) >> 32 == 0x64FF9B << 64 else address


_VERSION = re.compile(
    rb"(?:(?:version|(?<![a-z])(?:ver|vers|versi\xc3\xb3n|vers\xc3\xa3o|release|rel|rev|revision|build|firmware|fw|sdk)"
    rb"|\xe7\x89\x88\xe6\x9c\xac|\xd0\xb2\xd0\xb5\xd1\x80\xd1\x81\xd0\xb8\xd1\x8f)"
    rb"(?:</?[a-z]{1,8}>|[\"'\\\s:=._@\[(#>-]){0,6}|(?<![a-z])v[.=]?)\Z",
    re.IGNORECASE,
)
_CLIENT = re.compile(
    rb"(?:(?<![a-z])|client|user|your|remote|my|real|visitor|peer|source|src|from)[_-]?ip(?:v?[46])?(?![a-z])"
    rb"|addr(?!ess(?::[0-9a-f]{32})?\])|client(?!(?::[0-9a-f]{32})?\])|adres|direcci|endere|visitor|remote|whois|lookup"
    rb"|check|trace|report|\bhost\b",
    re.IGNORECASE,
)
"""Words for whose address it is; what redaction puts in its place is none."""
_PRODUCT = re.compile(rb"(?:\A|[^A-Za-z0-9/.])[A-Za-z][A-Za-z0-9_+-]*/\Z")
_STUCK_BEFORE = re.compile(
    rb"(?:(?<!\\)[A-Za-z]|\\[A-Za-z]{2,}|[A-Za-z]\)?[-_@+]|[^/]/|(?<![0-9])(?:19|20)[0-9]{2}[.\-_])\Z"
)
_STUCK_BEHIND = re.compile(rb"[A-Za-z]|[-_+][A-Za-z]|\.(?:min|js|css|zip|tar|tgz|gz|exe|apk|deb|rpm|msi|dmg|jar)\b")


def speaks_of_client(octets: Sequence[int], before: bytes, behind: bytes, *, in_name: bool = False) -> bool:
    """Whether four numbers of a text are an address, from what stands before and behind them.

    `in_name` says that they stand as in a host's name, such as `dsl-41-220-17-33`.
    """
    before, behind = before[-BEFORE:], behind[:BEHIND]
    large = sum(octet >= 100 for octet in octets) >= 3 and 0 not in octets  # no version is
    if _VERSION.search(before):
        return large
    if _CLIENT.search(before):
        return True
    if octets[0] < 32 and max(octets[1:]) < 10:
        return False
    if not in_name and _PRODUCT.search(before):
        return large
    if in_name or _STUCK_BEFORE.search(before) or _STUCK_BEHIND.match(behind):
        return sum(octet < 32 for octet in octets) < 3 and octets.count(0) < 2
    return True
