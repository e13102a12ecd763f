"""A look at the network before a batch, within `LONGEST` seconds, and a glance during it.

All canaries fly side by side. A resolver that is slow gets as long as a measurement would give it, for a slow
network can be judged. IPv6 whose route leads nowhere is found out, so that nothing is concluded from it; and where
there is IPv6 alone, the prefix by which the provider's NAT64 reaches IPv4 (RFC 7050). What is sent and read counts
among what looking costs.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from measurements import nat64
from measurements.model import DnsLookup, Preconditions, View
from probe.network import Network, Resolver
from probe.vantage.canaries import (
    FOREIGN,
    HEAD_START,
    SECURE,
    Seen,
    ask_control,
    date_again,
    in_clear,
    over_ipv6,
    secure,
    within,
)
from probe.vantage.judging import Ground, conclude, doubts_clock
from probe.vantage.machine import Machine

LONGEST = 3.0
FOREIGN_WITNESSES, DOMESTIC_WITNESSES, CONTROLS = 2, 1, 2
A_HOP = 0.5
ORDINARY = Machine()
SOMEWHERE = "192.0.2.1"  # nobody's (RFC 5737): a packet that may make one hop finds the gateway on any way


@dataclass(frozen=True, slots=True)
class Sight:
    """What was found, and the address from which a control saw us come: for redaction and the ASN, never kept."""

    preconditions: Preconditions
    public_address: str | None = None


async def look(net: Network, machine: Machine = ORDINARY, now: Callable[[], float] = time.time) -> Sight:
    """Find out whether this network can be judged, and what of it; `now` is this machine's clock."""
    net.reach_ipv4_through(None)
    local = net.peers.local
    ground = Ground(net.route(ipv6=False), net.route(ipv6=True), machine, local.address if local else None)
    if not ground.routed or ground.tunnelled:
        return Sight(conclude(ground, Seen(), net, now()))
    return await _Look(net, ground, now).run()


async def glance(net: Network) -> bool:
    """Say whether the network still does what it did: our resolver names a witness, and that answers in clear."""
    foreign = [w for w in net.peers.witnesses if not w.domestic][:1]
    resolver = next(iter([*([net.peers.local] if net.peers.local else []), *net.peers.trusted]), None)
    if not foreign or resolver is None:
        return True
    seen = Seen()
    rtype = "A" if net.route(ipv6=False) or net.preconditions.nat64 else "AAAA"
    patience = max(LONGEST, net.limits.dns_timeout)
    lookup = await net.lookup(foreign[0].name, rtype, resolver, view=View.FOLLOW_UP, linger=0.0, timeout=patience)
    public = [a for a in lookup.addresses if not net.is_private(a)]

    async def find(name: str) -> list[str]:
        return public

    await within(LONGEST, [asyncio.create_task(in_clear(net, foreign[0], find, seen))])
    step = seen.tries[0].step if seen.tries else None
    return step is not None and step.failure is None and getattr(step, "status", None) != 511


class _Look:
    """One look: what flies, and what has come back."""

    def __init__(self, net: Network, ground: Ground, now: Callable[[], float]) -> None:
        self.net, self.ground, self.now = net, ground, now
        self.seen = Seen()
        self.foreign = [w for w in net.peers.witnesses if not w.domestic][:FOREIGN_WITNESSES]
        self.domestic = [w for w in net.peers.witnesses if w.domestic][:DOMESTIC_WITNESSES]
        self.names = [w.name for w in (*self.foreign, *self.domestic)]
        self.names += [h for h in map(_named_host, net.peers.controls[:CONTROLS]) if h is not None]
        self.patience = max(LONGEST, net.limits.dns_timeout)
        self.ours: dict[str, asyncio.Task[None]] = {}
        self.theirs: list[asyncio.Task[None]] = []

    async def run(self) -> Sight:
        net, seen = self.net, self.seen
        arpa = asyncio.create_task(self._find_nat64())
        if self.ground.ipv4 is None:
            await arpa
        self._ask_resolvers()
        hops = 2 if self.ground.behind_bridge else 1
        flights = [arpa]
        for witness in (*self.foreign, *self.domestic):
            flights.append(asyncio.create_task(secure(net, witness, self._addresses, seen, hops)))
            if not witness.domestic:
                flights.append(asyncio.create_task(in_clear(net, witness, self._addresses, seen)))
        for url in net.peers.controls[:CONTROLS]:
            flights.append(asyncio.create_task(ask_control(net, url, self._addresses, seen)))
        if self.ground.ipv6 is not None and self.ground.ipv4 is not None:
            flights += [asyncio.create_task(over_ipv6(net, w.name, seen)) for w in self.foreign]
        await within(LONGEST, [*flights, *self.theirs])
        await within(self.patience - LONGEST + 0.1, list(self.ours.values()))
        if doubts_clock(seen, self.now()):
            again = [asyncio.create_task(date_again(net, t, seen)) for t in seen.of(FOREIGN, way=SECURE)]
            await within(LONGEST, again)
        found = conclude(self.ground, seen, net, self.now())
        if found.reason == "offline" and not seen.hops:
            seen.hops.append(await net.hop(SOMEWHERE, 443, probe="syn", ttl=1, timeout=A_HOP))
            found = conclude(self.ground, seen, net, self.now())
        return Sight(found, seen.public_address)

    async def _find_nat64(self) -> None:
        """Ask our resolver what it makes of a name that has known IPv4 addresses and no other (RFC 7050)."""
        if self.ground.ipv6 is None or self.net.peers.local is None:
            return
        said = await self.net.lookup(
            nat64.ARPA, "AAAA", self.net.peers.local, view=View.FOLLOW_UP, linger=0.0, timeout=self.patience_at_first
        )
        prefix = nat64.find_prefix(said.addresses)
        if prefix is not None:
            self.ground.nat64 = prefix
            self.net.reach_ipv4_through(prefix)

    @property
    def patience_at_first(self) -> float:
        return LONGEST if self.ground.ipv4 is not None else self.patience

    @property
    def _rtype(self) -> str:
        return "A" if self.ground.ipv4 is not None or self.ground.nat64 else "AAAA"

    def _ask_resolvers(self) -> None:
        local = self.net.peers.local
        if local is not None:
            self.ours = {name: asyncio.create_task(self._ask_ours(name, local)) for name in dict.fromkeys(self.names)}
        first = self.names[:1]
        self.theirs = [asyncio.create_task(self._ask_theirs(name, r)) for r in self.net.peers.trusted for name in first]

    async def _ask_ours(self, name: str, resolver: Resolver) -> None:
        self.seen.lookups[name] = await self._ask(name, resolver, self.patience)

    async def _ask_theirs(self, name: str, resolver: Resolver) -> None:
        self.seen.trusted.append(await self._ask(name, resolver, LONGEST))

    async def _ask(self, name: str, resolver: Resolver, timeout: float) -> DnsLookup:
        return await self.net.lookup(name, self._rtype, resolver, view=View.FOLLOW_UP, linger=0.0, timeout=timeout)

    async def _addresses(self, name: str) -> list[str]:
        """Find a name's addresses: by our own resolver, or by a trusted one where ours is slow or has none."""
        own = self.ours.get(name)
        if own is not None:
            await asyncio.wait({own}, timeout=HEAD_START)
            if found := self._public([q for n, q in self.seen.lookups.items() if n == name]):
                return found
        for resolver in self.net.peers.trusted:
            if self.theirs:
                await asyncio.wait(self.theirs, return_when=asyncio.FIRST_COMPLETED)
            if found := self._public([q for q in self.seen.trusted if q.name == name]):
                return found
            if any(q.failure is None for q in self.seen.trusted) or not self.theirs:
                lookup = await self._ask(name, resolver, LONGEST)
                self.seen.trusted.append(lookup)
                if found := self._public([lookup]):
                    return found
        if own is not None:
            await asyncio.wait({own})
        return self._public([q for n, q in self.seen.lookups.items() if n == name])

    def _public(self, lookups: Sequence[DnsLookup]) -> list[str]:
        return [a for q in lookups for a in q.addresses if not self.net.is_private(a)]


def _named_host(url: str) -> str | None:
    host = urlsplit(url).hostname or ""
    return None if ":" in host or host.replace(".", "").isdigit() else host
