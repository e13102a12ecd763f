"""Ways of asking that several nettests share; they stand on `Network` alone."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass

from measurements import nat64
from measurements.model import AnyObservation, DnsLookup, Purpose, View
from measurements.reading import is_address
from probe.network import Network, Resolver

RECORDS = ("A", "AAAA")


@dataclass(frozen=True, slots=True)
class Candidate:
    """An address worth trying, the lookup that gave it, and whose lookup that was."""

    address: str
    lookup: DnsLookup | None
    view: View


async def look_up(net: Network, name: str, cause: AnyObservation | None = None) -> list[DnsLookup]:
    """Ask every view for a name's addresses, and our own resolver for its HTTPS record, all side by side.

    An IP address needs no lookup and gives an empty list.
    """
    if is_address(name):
        return []
    async with asyncio.TaskGroup() as group:
        asked = []
        if net.peers.local is not None:
            asked = [
                group.create_task(net.lookup(name, rtype, net.peers.local, cause=cause))
                for rtype in (*RECORDS, "HTTPS")
            ]
        asked += [
            group.create_task(net.lookup(name, rtype, resolver, cause=cause))
            for resolver in net.peers.trusted
            for rtype in RECORDS
        ]
    return [task.result() for task in asked]


def candidates(net: Network, host: str, lookups: Iterable[DnsLookup]) -> list[Candidate]:
    """Choose whom to connect to: three from each view first, the families in turn, `limits.addresses` at most.

    Private addresses are left out: no public site has one, and a volunteer's own devices are not ours to ask.
    """
    if is_address(host):
        if not net.is_private(host):
            return [Candidate(host, None, View.LOCAL)]
        net.spent.limits.append("private_address")
        return []
    by_view: dict[View, list[Candidate]] = {View.LOCAL: [], View.TRUSTED: []}
    known: set[str] = set()
    private = False
    for view, chosen in by_view.items():
        families = [
            [(a, q) for q in lookups if q.view is view and q.rtype == rtype for a in q.addresses] for rtype in RECORDS
        ]
        for given, lookup in _in_turn(families):
            address = nat64.plain(given, net.preconditions.nat64)  # what a translator made up is reached as it is
            if not _usable(net, address) or address in known:
                continue
            known.add(address)
            if net.is_private(address):
                private = True
            else:
                chosen.append(Candidate(address, lookup, view))
    local, trusted = by_view[View.LOCAL], by_view[View.TRUSTED]
    if len(local) + len(trusted) > net.limits.addresses:
        net.spent.limits.append("addresses")
    if private:
        net.spent.limits.append("private_address")
    half = net.limits.addresses // 2
    first = local[:half] + trusted[:half]
    return (first + local[half:] + trusted[half:])[: net.limits.addresses]


def _usable(net: Network, address: str) -> bool:
    """Whether an address may be tried: IPv6 that leads nowhere here would only seem to fail."""
    found = net.preconditions
    return ":" not in address or (found.ipv6_route is not False and found.ipv6_alive is not False)


def _in_turn(families: list[list[tuple[str, DnsLookup]]]) -> Iterable[tuple[str, DnsLookup]]:
    for i in range(max((len(f) for f in families), default=0)):
        for family in families:
            if i < len(family):
                yield family[i]


def harmless_name(name: str) -> str:
    """Make a name as long as `name` that nobody owns or blocks (RFC 2606, .example and .test, or one label).

    It is no witness's own name either: a server may know its own and refuse all others.
    """
    suffix = next((s for s in (".example", ".test") if len(name) > len(s)), "")
    letters = len(name) - len(suffix)
    labels = []
    while letters > 63:
        labels.append("w" * 31)
        letters -= 32
    labels.append("w" * letters)
    harmless = ".".join(labels) + suffix
    return harmless if harmless != name else "x" + harmless[1:]


def endpoint(address: str, port: int) -> str:
    """Write an address and a port as one word."""
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


async def find_address(net: Network, name: str, rtype: str | None = None) -> str | None:
    """Find a peer's address: what a trusted resolver gives, or our own where none of them answers.

    Without `rtype` it is an IPv4 address, where there is a route for one.
    """
    resolvers: list[Resolver] = [*net.peers.trusted, *([net.peers.local] if net.peers.local else [])]
    before = net.preconditions
    rtype = rtype or ("A" if before.ipv4_route is not False or before.nat64 else "AAAA")
    found = await asyncio.gather(
        *(
            net.lookup(name, rtype, each, view=View.FOLLOW_UP, purpose=Purpose.WITNESS, linger=0.0, timeout=2.0)
            for each in resolvers
        )
    )
    return next((a for lookup in found for a in lookup.addresses if not net.is_private(a)), None)
