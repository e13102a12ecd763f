"""`trace`: where on the way does it happen?

The target is opened as a browser would, which shows what fails: a lookup, a connection, a handshake or a
request. Then the very packets at issue are sent with a rising IP TTL, so that each dies one router further
on: some under the target's name, and some under a harmless name that is as long. Where the target's are
answered, or die, while the harmless ones still meet a router, there somebody interferes. SYNs of the same
TTL name the routers, towards the target and towards an unrelated site.

The harmless packets go first, several distances at once. Those with the name go one distance after the
other, two at a time, and no further than needed: what follows a name on its way may be barred for minutes.
At the place that was found both are asked once more, and the name is sent as far towards a witness, which
shows whether the name alone is the trigger. All of it is bounded in packets and in seconds.

Routers tell an unprivileged process who they are (`Network.hop`). Where the system grants raw packets, ours are
watched meanwhile, so that the IP TTL and the flags of what came back are known (`Network.capture`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator
from urllib.parse import urldefrag, urlsplit

from measurements.model import AnyObservation, DnsLookup, Hop, HttpExchange, Purpose, Target, View
from measurements.reading import Flow, Leg, Reading, is_address
from probe.follow_up import follow_up, neighbour_of
from probe.network import Network, Resolver
from probe.steps import Candidate, candidates, endpoint, find_address, harmless_name, look_up

MOST_PACKETS = 200  # connections, SYNs and queries of the walks
LONGEST = 30.0  # seconds that the walks may take
ABREAST = 4  # distances at once, where no name is at stake
SILENT = 4  # distances without any answer after which nothing more is expected
TRY = 4.0  # seconds for a step at the ordinary TTL
CONTROL_PATIENCE = 5.0  # seconds for a control's answer once all else is done


async def measure(target: Target, net: Network) -> None:
    """Find out what fails, and walk the way towards it."""
    async with asyncio.TaskGroup() as meanwhile:
        asking = await _open(target, net, meanwhile)
        story = Reading(target, net.observations, net.is_private)
        if net.preconditions.reason is None:
            await _Walking(net, story, story.troubled or story.legs[-1]).go()
        if asking is not None:
            await asyncio.wait({asking}, timeout=CONTROL_PATIENCE)
            asking.cancel()


# -- opening the target as a browser would


async def _open(target: Target, net: Network, meanwhile: asyncio.TaskGroup) -> asyncio.Task[object] | None:
    """Go from redirect to redirect until something fails or a page comes; returns the question to the control."""
    url, cause = target.url, None
    lookups: list[DnsLookup] = []
    visited: set[str] = set()
    asking: asyncio.Task[object] | None = None
    for leg in range(net.limits.redirects + 1):
        visited.add(urldefrag(url).url)
        host = urlsplit(url).hostname or ""
        again = [q for q in lookups if q.name == host]
        lookups = again or await look_up(net, host, cause)
        chosen = _tried(candidates(net, host, lookups))
        if leg == 0 and net.peers.controls:
            asking = meanwhile.create_task(_ask_control(net, url, [endpoint(c.address, target.port) for c in chosen]))
        pages = await asyncio.gather(*(_page(net, url, c, cause if again else c.lookup or cause) for c in chosen))
        page = next((p for p in pages if p is not None and p.failure is None), None)
        if page is None or page.redirect is None or not _followed(net, page.redirect, visited):
            break
        url, cause = page.redirect, page
    return asking


async def _ask_control(net: Network, url: str, endpoints: list[str]) -> object:
    return await net.ask_control(url, endpoints)


def _tried(chosen: list[Candidate]) -> list[Candidate]:
    """Take one address a family of those that our own resolver gave, and one that only others know."""
    first: dict[tuple[View, bool], Candidate] = {}
    for candidate in chosen:
        first.setdefault((candidate.view, ":" in candidate.address), candidate)
    local = [c for (view, _), c in first.items() if view is View.LOCAL]
    return local + [c for (view, _), c in first.items() if view is View.TRUSTED][:1]


def _followed(net: Network, url: str, visited: set[str]) -> bool:
    """Whether a browser would follow a redirect, and we may."""
    there = urlsplit(url)
    private = is_address(there.hostname or "") and net.is_private(there.hostname or "")
    return there.scheme in ("http", "https") and urldefrag(url).url not in visited and not private


async def _page(net: Network, url: str, candidate: Candidate, cause: AnyObservation | None) -> HttpExchange | None:
    """Fetch a page from one address, under its certificate where there is one to ask for."""
    parts = urlsplit(url)
    host, encrypted = parts.hostname or "", parts.scheme == "https"
    port = parts.port or (443 if encrypted else 80)
    enough = net.limits.body_routine  # a trace is not about pages
    tcp = await net.connect(candidate.address, port, cause=cause, view=candidate.view, timeout=TRY)
    if tcp.failure is not None or not encrypted:
        return None if tcp.failure is not None else await net.exchange(tcp, url, body_limit=enough, timeout=TRY)
    tls = await net.handshake(tcp, name=None if is_address(host) else host, verify=host, timeout=TRY)
    return await net.exchange(tls, url, body_limit=enough, timeout=TRY) if tls.failure is None else None


# -- walking the way

Send = Callable[[int], Awaitable[Hop | None]]
"""Sends one packet with this TTL; None when the allowance is spent."""


class _Walking:
    """The walks of one measurement, towards the leg that is in doubt, within one allowance."""

    def __init__(self, net: Network, story: Reading, leg: Leg) -> None:
        self.net = net
        self.story = story
        self.leg = leg
        self.name = leg.host
        self.harmless = harmless_name(leg.host)
        self.packets = 0

    async def go(self) -> None:
        """Walk towards the resolvers where the lookup is in doubt, and towards the site."""
        flow = self._flow()
        resolvers = self._resolvers() if _lookup_doubted(self.leg) else []
        peers = [resolver.address for resolver in resolvers]
        if flow is not None:
            peers.append(endpoint(flow.tcp.address, flow.tcp.port))
        if not peers:
            return
        async with self.net.capture(peers):
            try:
                async with asyncio.timeout(LONGEST):
                    await self._walk_all(flow, resolvers)
            except TimeoutError:
                self.net.spent.limits.append("trace_time")

    async def _walk_all(self, flow: Flow | None, resolvers: list[Resolver]) -> None:
        """Walk towards the resolvers, beside all that is asked of a doubted lookup elsewhere; then along the flow."""
        if resolvers:
            async with asyncio.TaskGroup() as group:
                group.create_task(follow_up(self.net, self.story, self.leg))
                for resolver in resolvers:
                    group.create_task(self._walk_lookup(resolver))
        if flow is not None and not (resolvers and flow.secure):
            await self._walk_flow(flow)

    def _flow(self) -> Flow | None:
        """Choose the flow to walk along: one that failed, at an address that others gave too if there is one."""
        known = self.leg.trusted_addresses
        flows = [f for f in self.leg.flows if not self.net.is_private(f.tcp.address)]
        ranked = sorted(flows, key=lambda f: (bool(known) and f.tcp.address not in known, f.failed is None))
        return ranked[0] if ranked else None

    async def _send(
        self, address: str, port: int, probe: str, ttl: int, purpose: Purpose, name: str | None = None
    ) -> Hop | None:
        if not self._allowed():
            return None
        return await self.net.hop(address, port, probe=probe, ttl=ttl, name=name, purpose=purpose)

    def _allowed(self) -> bool:
        self.packets += 1
        if self.packets > MOST_PACKETS:
            if "trace" not in self.net.spent.limits:
                self.net.spent.limits.append("trace")
            return False
        return True

    def _sender(self, address: str, port: int, probe: str, purpose: Purpose, name: str | None = None) -> Send:
        return lambda ttl: self._send(address, port, probe, ttl, purpose, name)

    # -- along a connection

    async def _walk_flow(self, flow: Flow) -> None:
        """Walk beside a harmless name, or where no connection stands or there is no name, beside a neighbour."""
        address, port = flow.tcp.address, flow.tcp.port
        witness = await self._find_witness(address)
        probe = "hello" if self.leg.encrypted else "request"
        if flow.tcp.failure is not None or is_address(self.name):
            beside = neighbour_of(address, {*self.leg.local_addresses, *self.leg.trusted_addresses})
            ours = self._sender(address, port, "syn", Purpose.TRACE_TARGET)
            theirs = self._sender(beside, port, "syn", Purpose.TRACE_NEIGHBOUR)
            await self._walk(ours, theirs, None, witness)
            return
        await self._harmless_at_target(flow)
        ours = self._sender(address, port, probe, Purpose.TRACE_TARGET, self.name)
        theirs = self._sender(address, port, probe, Purpose.TRACE_HARMLESS, self.harmless)
        path = self._sender(address, port, "syn", Purpose.TRACE_PATH)
        place = await self._walk(ours, theirs, path, witness)
        if place is not None and witness is not None:
            at = 443 if self.leg.encrypted else 80
            harmless = self._sender(witness, at, probe, Purpose.HARMLESS_AT_WITNESS, self.harmless)
            named = self._sender(witness, at, probe, Purpose.TARGET_AT_WITNESS, self.name)
            await harmless(place)
            await asyncio.gather(named(place), named(place))

    async def _walk(self, ours: Send, theirs: Send, path: Send | None, witness: str | None) -> int | None:
        """Walk with the harmless packets, then with ours; returns where ours are stopped, which is asked again."""
        past = None if witness is None else self._sender(witness, 443, "syn", Purpose.TRACE_WITNESS)
        reach = await self._walk_harmless(theirs, path, past)
        place = await self._walk_name(ours, reach)
        if place is not None:
            await asyncio.gather(theirs(place), ours(place), theirs(place), theirs(place + 1))
        return place

    async def _find_witness(self, address: str) -> str | None:
        """Find a witness's address of the same protocol."""
        family = "AAAA" if ":" in address else "A"
        names = [w.name for w in self.net.peers.witnesses if w.name != self.name]
        found = await asyncio.gather(*(find_address(self.net, name, family) for name in names[:3]))
        return next((a for a in found if a is not None and a != address), None)

    async def _harmless_at_target(self, flow: Flow) -> None:
        """Ask for a harmless name at the target's own address, at the ordinary TTL."""
        beside = Purpose.HARMLESS_AT_TARGET
        address, port = flow.tcp.address, flow.tcp.port
        tcp = await self.net.connect(address, port, view=View.FOLLOW_UP, purpose=beside, timeout=TRY)
        if tcp.failure is not None:
            return
        if self.leg.encrypted:
            await self.net.handshake(tcp, name=self.harmless, timeout=TRY)
        else:
            enough = self.net.limits.body_routine // 4
            await self.net.exchange(tcp, f"http://{self.harmless}/", body_limit=enough, timeout=TRY)

    async def _walk_harmless(self, theirs: Send, path: Send | None, past: Send | None) -> int:
        """Walk until the packets arrive, or until nothing answers any more; returns how far they came."""
        silent = 0
        sends = [send for send in (theirs, path, past) if send is not None]
        arriving = len(sends) - (past is not None)
        for distances in _stages(self.net.limits.max_hops):
            met = await asyncio.gather(*(asyncio.gather(*(send(ttl) for send in sends)) for ttl in distances))
            for ttl, hops in zip(distances, met, strict=True):
                answers = _answers(hops[:arriving])
                if answers - {"expired", "silence"}:
                    return ttl
                silent = 0 if "expired" in answers else silent + 1
                if silent == SILENT:
                    return ttl
        return self.net.limits.max_hops

    async def _walk_name(self, ours: Send, reach: int) -> int | None:
        """Walk until the name's packets are answered, or die; returns where, None where they go all the way."""
        silences: list[int] = []
        for ttl in range(1, reach + 1):
            answers = _answers(await asyncio.gather(ours(ttl), ours(ttl)))
            if not answers or answers - {"expired", "silence"}:
                return ttl if answers and ttl < reach else None
            silences = [] if "expired" in answers else [*silences, ttl]
            if len(silences) == SILENT:
                break
        return silences[0] if len(silences) > 1 else None

    # -- along a lookup

    def _resolvers(self) -> list[Resolver]:
        """Choose whom to ask: our own resolver, and one far away over plain DNS."""
        local = self.net.peers.local
        hosts = [urlsplit(r.address).hostname or "" for r in self.net.peers.trusted if r.is_doh]
        plain = [Resolver(endpoint(host, 53), View.FOLLOW_UP) for host in hosts if is_address(host)]
        return ([local] if local is not None and not local.is_doh else []) + plain[:1]

    async def _walk_lookup(self, resolver: Resolver) -> None:
        """Put the question with a rising TTL, for the name and for a harmless one, twice each."""
        trusted = {q.rtype for q in self.leg.trusted if q.addresses}
        rtype = "AAAA" if trusted == {"AAAA"} else "A"

        async def ask(name: str, ttl: int, purpose: Purpose) -> DnsLookup | None:
            if not self._allowed():
                return None
            return await self.net.lookup(
                name, rtype, resolver, view=View.FOLLOW_UP, purpose=purpose, ip_ttl=ttl, linger=0.0, timeout=1.0
            )

        async def ask_all(ttl: int) -> list[DnsLookup]:
            """Ask twice for each name, side by side; returns what became of the harmless one."""
            named = (ask(self.name, ttl, Purpose.TRACE_TARGET) for _ in range(2))
            harmless = (ask(self.harmless, ttl, Purpose.TRACE_HARMLESS) for _ in range(2))
            met = await asyncio.gather(*harmless, *named)
            return [lookup for lookup in met[:2] if lookup is not None]

        silent = 0
        for distances in _stages(self.net.limits.max_hops):
            for met in await asyncio.gather(*(ask_all(ttl) for ttl in distances)):
                silent = 0 if any(q.icmp or q.valid_replies for q in met) else silent + 1
                if any(q.valid_replies for q in met) or silent == SILENT:
                    return


def _stages(longest: int) -> Iterator[range]:
    """Cut the way into stretches that are walked at once."""
    for first in range(1, longest + 1, ABREAST):
        yield range(first, min(first + ABREAST, longest + 1))


def _answers(met: Iterable[Hop | None]) -> set[str]:
    """What answered; a packet that could not be sent, or had no connection to travel on, says nothing."""
    return {hop.answer for hop in met if hop is not None and hop.failure is None}


def _lookup_doubted(leg: Leg) -> bool:
    """Whether our own lookup gave none of the addresses that others give, or contradicted itself."""
    if is_address(leg.host) or not leg.lookups or any(f.secure for f in leg.local_flows):
        return False
    known = set(leg.trusted_addresses)
    doubled = any(len({r.answers for r in q.valid_replies}) > 1 for q in leg.lookups)
    return bool(known) and (doubled or not known & set(leg.local_addresses))
