"""Which of the routers and resolvers that a measurement names are the volunteer's own.

They are those with a private address, and those of the volunteer's own prefix, which would tell nearly as much as
the address itself: with IPv6 the home's router has such a one. A private router beyond the first foreign one is a
network's, and evidence.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from functools import lru_cache
from ipaddress import ip_network

from measurements.address_forms import Address, at_home, parse
from measurements.model import Capture, DnsLookup, Hop, Measurement, QuicHandshake


@lru_cache(maxsize=4096)
def address_of(endpoint: str) -> Address | None:
    """Read an address, or an address and a port; None when it is none."""
    return parse(endpoint)


def home_routers(measurement: Measurement, own: Collection[Address]) -> dict[str, str]:
    """Return every address of the home that resolvers, replies and the first hops have, with a token for each.

    The tokens are `private-1`, `private-2` …, in order of appearance.
    """
    prefixes = tuple(ip_network((each, 24 if each.version == 4 else 48), strict=False) for each in own)

    def ours(address: Address) -> bool:
        return at_home(address) or any(address in prefix for prefix in prefixes if prefix.version == address.version)

    met = [(ttl, address) for ttl, router in _routers(measurement) if (address := address_of(router)) is not None]
    foreign = min((ttl for ttl, address in met if not ours(address)), default=256)
    heard = [address for each in _heard(measurement) if each and (address := address_of(each)) and ours(address)]
    tokens: dict[str, str] = {}
    for address in (*heard, *(address for ttl, address in met if ttl < foreign)):
        tokens.setdefault(str(address), f"private-{len(tokens) + 1}")
    return tokens


def _routers(measurement: Measurement) -> Iterator[tuple[int, str]]:
    """Yield (distance, address) of every router that answered a packet with a limited TTL."""
    for step in measurement.observations:
        if isinstance(step, Hop) and step.router:
            yield step.ttl, step.router
        elif isinstance(step, DnsLookup) and step.ip_ttl is not None:
            yield from ((step.ip_ttl, error.source) for error in step.icmp if error.source)
    for distance, source in _icmp_captured(measurement):
        if distance is not None:
            yield distance, source


def _icmp_captured(measurement: Measurement) -> Iterator[tuple[int | None, str]]:
    """Yield (distance, source) of ICMP errors that were captured; no distance where no `Hop` tells it."""
    steps = measurement.observations
    sent = {step.local_port: step.ttl for step in steps if isinstance(step, Hop) and step.local_port is not None}
    for step in steps:
        if isinstance(step, Capture):
            yield from ((sent.get(p.local_port), p.source) for p in step.packets if p.protocol == "icmp")


def _heard(measurement: Measurement) -> Iterator[str | None]:
    """Yield every resolver, and every source of a reply or of an error about an ordinary question."""
    yield measurement.vantage.resolver
    for step in measurement.observations:
        if isinstance(step, DnsLookup):
            yield step.resolver
            yield from (reply.source for reply in step.replies)
            if step.ip_ttl is None:
                yield from (error.source for error in step.icmp)
        elif isinstance(step, QuicHandshake):
            yield from (error.source for error in step.icmp)
    yield from (source for distance, source in _icmp_captured(measurement) if distance is None)
