"""The steps that are taken only when something failed: what the two proofs need, gently.

*Alive* and *between* are asked apart. Does the name fail at unrelated servers where an equally long
harmless name works (3 + 3, interleaved)? Does a harmless name work at the target's own address, first and
last? Where on the path does the packet die, or whence comes the forged answer (rising IP TTL, for the
target, for a harmless name or a neighbour, and for a witness)? Is the resolver alive for other names, does
an address without a resolver answer? Once more after a pause: does it last?

No more than `limits.follow_up_connections` and `limits.follow_up_bytes` are spent; what there is no
allowance for is left out and recorded as the limit `follow_up`.
"""

from __future__ import annotations

import asyncio
import ipaddress
import secrets
from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

from measurements.model import (
    ControlQuery,
    DnsLookup,
    Failure,
    Hop,
    HttpExchange,
    Purpose,
    TcpConnect,
    TlsHandshake,
    View,
)
from measurements.reading import Flow, Leg, Reading, failed_like, hops, identical, is_address
from probe.network import LARGE, Network, Resolver
from probe.steps import endpoint, find_address, harmless_name

TIMEOUT = 4.0  # of a follow-up step: the harmless twin beside it shows whether that is enough here
PAIRS = 3
Attempt = Callable[[str, str, Purpose], Awaitable[bool]]
Send = Callable[[int], Awaitable[Hop | None]]


async def follow_up(net: Network, story: Reading, leg: Leg) -> None:
    """Gather the proofs that `leg` lacks."""
    if net.preconditions.reason is not None:
        return  # where nothing works, nothing more can be learnt
    asking = _FollowUp(net, story, leg)
    failing = next((f for f in leg.local_flows if f.failed is not None), None)
    flow = failing or (leg.local_flows[0] if leg.local_flows else None)
    async with asyncio.TaskGroup() as group:
        if not is_address(leg.host) and not any(_given_by_others(leg, f) for f in leg.local_flows):
            group.create_task(asking.ask_dns())
        if flow is not None:
            group.create_task(asking.ask_path(flow))
        group.create_task(asking.ask_control_again())


def _given_by_others(leg: Leg, flow: Flow) -> bool:
    """Whether a flow's address is beyond the suspicion that the lookup lied about it."""
    return flow.secure or flow.tcp.address in leg.trusted_addresses


class _FollowUp:
    def __init__(self, net: Network, story: Reading, leg: Leg) -> None:
        self.net = net
        self.story = story
        self.leg = leg
        self.name = leg.host
        self.harmless = harmless_name(leg.host)
        self._bytes_before = net.spent.sent + net.spent.received
        self._opened = 0
        self._servers: list[str] | None = None
        self._witness6: list[str] | None = None
        self._finding = asyncio.Lock()

    # Allowance

    def allowed(self) -> bool:
        """Whether one more connection is within the allowance, against which it then counts.

        Steps run side by side: what counted only once it ended would be allowed too often.
        """
        spent = self.net.spent.sent + self.net.spent.received - self._bytes_before
        limits = self.net.limits
        if self._opened < limits.follow_up_connections and spent < limits.follow_up_bytes:
            self._opened += 1
            return True
        if "follow_up" not in self.net.spent.limits:
            self.net.spent.limits.append("follow_up")
        return False

    async def connect(self, address: str, port: int, purpose: Purpose) -> TcpConnect | None:
        """Open a follow-up connection; None when it failed or the allowance is spent."""
        if not self.allowed():
            return None
        tcp = await self.net.connect(address, port, view=View.FOLLOW_UP, purpose=purpose, timeout=TIMEOUT)
        return tcp if tcp.failure is None else None

    async def witness_addresses(self) -> list[str]:
        """Find up to three witnesses' addresses, once: all different, and none of them the target's own."""
        async with self._finding:
            if self._servers is None:
                names = [w.name for w in self.net.peers.witnesses if w.name != self.name]
                servers: list[str] = []
                related = {*self.leg.local_addresses, *self.leg.trusted_addresses}
                for start in range(0, len(names), PAIRS):
                    found = await asyncio.gather(*(find_address(self.net, n) for n in names[start : start + PAIRS]))
                    servers += [a for a in found if a is not None and a not in (*servers, *related)]
                    if len(servers) >= PAIRS or not any(found):
                        break
                self._servers = servers[:PAIRS]
        return self._servers

    # The name

    async def ask_dns(self) -> None:
        """Ask what shows whether our resolver, or something before it, lies about the name."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._resolver_alive())
            group.create_task(self._serverless())
            group.create_task(self._first_hop())
            group.create_task(self._dns_pairs())
            group.create_task(self._sibling())
            group.create_task(self._where_it_leads())
            group.create_task(self._true_addresses())
            group.create_task(self._repeat_lookup())

    @property
    def _rtype(self) -> str:
        """The record type in which the trouble shows: A, unless the name has only AAAA."""
        trusted = {q.rtype for q in self.leg.trusted if q.addresses}
        return "AAAA" if trusted == {"AAAA"} else "A"

    def _local_failures(self) -> set[Failure | None]:
        return {q.failure for q in self.leg.lookups if q.rtype == self._rtype}

    async def _lookup(
        self,
        name: str,
        resolver: Resolver,
        purpose: Purpose,
        *,
        timeout: float = 2.0,
        ip_ttl: int | None = None,
        checking_disabled: bool = False,
    ) -> DnsLookup:
        return await self.net.lookup(
            name,
            self._rtype,
            resolver,
            view=View.FOLLOW_UP,
            purpose=purpose,
            linger=0.0,
            timeout=timeout,
            ip_ttl=ip_ttl,
            checking_disabled=checking_disabled,
        )

    async def _resolver_alive(self) -> None:
        local = self.net.peers.local
        if local is None:
            return
        for witness in self.net.peers.witnesses[:2]:
            await self._lookup(witness.name, local, Purpose.HARMLESS_AT_RESOLVER)
        if Failure.DNS_SERVFAIL in self._local_failures():
            await self._lookup(self.name, local, Purpose.CHECKING_DISABLED, checking_disabled=True)

    async def _serverless(self) -> None:
        """Put the question to a witness, which runs no resolver: whatever answers was forged on the way."""
        servers = await self.witness_addresses()
        if servers:
            nobody = Resolver(f"{servers[0]}:53", View.FOLLOW_UP)
            for _ in range(2):
                await asyncio.gather(
                    self._lookup(self.harmless, nobody, Purpose.HARMLESS_SERVERLESS, timeout=1.5),
                    self._lookup(self.name, nobody, Purpose.SERVERLESS, timeout=1.5),
                )

    def _plain_resolvers(self) -> list[Resolver]:
        """The trusted resolvers' own addresses, over plain UDP."""
        hosts = [urlsplit(r.address).hostname or "" for r in self.net.peers.trusted if r.is_doh]
        return [Resolver(f"{host}:53", View.FOLLOW_UP) for host in hosts if is_address(host) and ":" not in host]

    async def _first_hop(self) -> None:
        """Ask with a packet that cannot leave the first hop: an answer is the volunteer's own router's."""
        for resolver in self._plain_resolvers()[:1]:
            await self._lookup(self.name, resolver, Purpose.FIRST_HOP, ip_ttl=1, timeout=1.0)

    async def _dns_pairs(self) -> None:
        """Ask unrelated resolvers for the name beside a harmless one when ours gives no answer."""
        if Failure.TIMEOUT not in self._local_failures():
            return
        resolvers = self._plain_resolvers()[:PAIRS]

        async def at(resolver: Resolver, times: int) -> None:
            for _ in range(times):
                await self._lookup(self.harmless, resolver, Purpose.HARMLESS_AT_WITNESS)
                await self._lookup(self.name, resolver, Purpose.TARGET_AT_WITNESS)

        async with asyncio.TaskGroup() as group:
            for i, resolver in enumerate(resolvers):
                group.create_task(at(resolver, PAIRS // len(resolvers) + (i < PAIRS % len(resolvers))))

    async def _sibling(self) -> None:
        """Ask for a name nobody can have stored, where the answer may be stale rather than a lie."""
        if not self.leg.public(self.leg.local_addresses):
            return
        sibling = f"w{secrets.token_hex(4)}.{self.name}"
        resolvers = [r for r in (self.net.peers.local, *self.net.peers.trusted[:1]) if r is not None]
        for resolver in resolvers:
            await self._lookup(sibling, resolver, Purpose.SIBLING_AT_RESOLVER)

    async def _where_it_leads(self) -> None:
        """Look at the page behind a suspicious answer, for the name and for a harmless one."""
        for address in self.leg.public(self.leg.local_addresses)[:1]:
            for host, purpose in ((self.name, Purpose.OTHER_PORT), (self.harmless, Purpose.HARMLESS_AT_TARGET)):
                await self._request(address, host, purpose)

    async def _true_addresses(self) -> None:
        """Prove the addresses that others gave: the trusted resolvers', or else the control's."""
        flows = [f for f in self.leg.flows if not f.local]
        if any(f.secure for f in flows):
            return
        control = next((o for o in self.net.observations if isinstance(o, ControlQuery) and o.resolved), None)
        if not flows and control is not None and control.url == self.leg.url:
            for address in self.leg.public(control.resolved)[:2]:
                if not self.allowed():
                    return
                tcp = await self.net.connect(address, self.leg.port, cause=control, view=View.TRUSTED, timeout=TIMEOUT)
                if tcp.failure is None and self.leg.encrypted:
                    await self.net.handshake(tcp, name=self.name, timeout=TIMEOUT)
                elif tcp.failure is None:
                    await self.net.exchange(tcp, self.leg.url, timeout=TIMEOUT)
        elif not self.leg.encrypted:
            for flow in flows[:2]:
                if flow.tcp.failure is None and not flow.pages:
                    await self.net.exchange(flow.tcp, self.leg.url, timeout=TIMEOUT)
            for flow in flows[:1]:
                await self._prove_by_certificate(flow)

    async def _prove_by_certificate(self, flow: Flow) -> None:
        """Ask an address that others gave for the name's certificate, which says more than a page in clear."""
        if not self.allowed():
            return
        lookup = self.story.by_id.get(flow.tcp.cause or 0)
        tcp = await self.net.connect(flow.tcp.address, 443, cause=lookup, view=View.TRUSTED, timeout=TIMEOUT)
        if tcp.failure is None:
            await self.net.handshake(tcp, name=self.name, timeout=TIMEOUT)

    async def _repeat_lookup(self) -> None:
        local = self.net.peers.local
        if local is not None:
            await self._again(lambda: self._lookup(self.name, local, Purpose.REPETITION))

    # The path

    async def ask_path(self, flow: Flow) -> None:
        """Ask what shows who stops, or answers for, the connection of `flow`."""
        if flow.tcp.failure is not None:
            if failed_like(flow.tcp.failure):
                await self._ask_tcp(flow.tcp)
        elif self.leg.encrypted and not flow.secure:
            if flow.tls is not None and failed_like(flow.tls.failure):
                await self._ask_about_name(flow, "hello", self._handshake)
        elif self.leg.encrypted:
            await self._ask_about_name(flow, "hello", self._handshake_and_page)
        else:
            await self._ask_about_name(flow, "request", self._request)

    async def _ask_tcp(self, tcp: TcpConnect) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self.connect(tcp.address, 80 if tcp.port == 443 else 443, Purpose.OTHER_PORT))
            group.create_task(self._trace_syn(tcp))
            group.create_task(self._again(lambda: self.connect(tcp.address, tcp.port, Purpose.REPETITION)))

    async def _ask_about_name(self, flow: Flow, probe: str, attempt: Attempt) -> None:
        """Harmless first; then the pairs, the traces and a repetition; harmless last.

        A page in clear that nothing speaks against but the want of a control gets the pairs, and then, unless the
        same page comes from a witness too, no more than the trace that shows whether it comes from the site's
        address at all. A page or a certificate that comes for any name is traced so too.
        """
        address = flow.tcp.address
        named = not is_address(self.name)
        in_clear = not self.leg.encrypted and flow.page is not None and flow.page.failure is None
        doubted = in_clear and self.story.control is None
        if named and doubted:
            await self._pairs(attempt)
            theirs = self.story_now().follow_ups(HttpExchange, Purpose.TARGET_AT_WITNESS)
            if flow.page is None or not any(identical(flow.page, page) for page in theirs):
                await self._trace_syn(flow.tcp)
                if self._answered_early():
                    await self._prove_by_certificate(flow)  # is there a site at all behind what answers for it?
                return
        if named:
            await attempt(address, self.harmless, Purpose.HARMLESS_AT_TARGET)
        async with asyncio.TaskGroup() as group:
            if named and not doubted:
                group.create_task(self._pairs(attempt))
            if self._same_for_any_name(flow):
                group.create_task(self._trace_syn(flow.tcp))  # who is it that answers us?
            else:
                group.create_task(self._trace_name(address, probe))
            if probe == "hello" and flow.tls is not None and not flow.tls.ended:
                group.create_task(self._handshake(address, self.name, Purpose.OTHER_HELLO, hello=LARGE))
            group.create_task(self._again(lambda: attempt(address, self.name, Purpose.REPETITION)))
        if named:
            await attempt(address, self.harmless, Purpose.HARMLESS_AT_TARGET)

    def _answered_early(self) -> bool:
        """Whether a connection was taken at a distance where those to a neighbour still go on."""
        story = self.story_now()
        beside = hops(story.follow_ups(Hop, Purpose.TRACE_NEIGHBOUR))
        ours = hops(story.follow_ups(Hop, Purpose.TRACE_TARGET))
        return any(h.answer == "open" and t in beside and beside[t].answer == "expired" for t, h in ours.items())

    def _same_for_any_name(self, flow: Flow) -> bool:
        """Whether what answered has a certificate, or gives one page for the name and for a harmless one."""
        if flow.tls is not None:
            return flow.tls.issuer is not None
        beside = self.story_now().follow_ups(HttpExchange, Purpose.HARMLESS_AT_TARGET)
        return flow.page is not None and any(identical(flow.page, page) for page in beside)

    async def _again(self, step: Callable[[], Awaitable[object]]) -> None:
        """Take a step after a pause."""
        await self.net.pause(self.net.limits.repetition_pause)
        await step()

    def story_now(self) -> Reading:
        """Read what has been observed up to now."""
        return Reading(self.story.target, self.net.observations, self.net.is_private)

    async def _handshake(self, address: str, name: str, purpose: Purpose, hello: str = "classic") -> bool:
        """Shake hands under `name`; True when it ended, under whatever certificate."""
        return (await self._hands(address, name, purpose, hello)) is not None

    async def _hands(self, address: str, name: str, purpose: Purpose, hello: str = "classic") -> TlsHandshake | None:
        tcp = await self.connect(address, self.leg.port if self.leg.encrypted else 443, purpose)
        if tcp is None:
            return None
        sni = None if is_address(name) else name
        tls = await self.net.handshake(tcp, name=sni, verify=name, purpose=purpose, hello=hello, timeout=TIMEOUT)
        return tls if tls.ended else None

    async def _handshake_and_page(self, address: str, name: str, purpose: Purpose) -> bool:
        """Shake hands and fetch a page; True when something was answered."""
        tls = await self._hands(address, name, purpose)
        if tls is None:
            return False
        page = await self.net.exchange(
            tls, self._url("https", name), purpose=purpose, timeout=TIMEOUT, body_limit=self._sample
        )
        return page.failure is None

    @property
    def _sample(self) -> int:
        """How many bytes of a follow-up's page are enough to know it again."""
        return self.net.limits.body_routine // 4

    def _url(self, scheme: str, name: str) -> str:
        """Write the leg's own URL under `name`: what was asked first must be asked again."""
        asked = urlsplit(self.leg.url)
        path = asked.path if asked.scheme == scheme else ""
        query = f"?{asked.query}" if path and asked.query and name == self.name else ""
        return f"{scheme}://{name}{path or '/'}{query}"

    async def _request(self, address: str, name: str, purpose: Purpose) -> bool:
        """Fetch a page in clear under the Host `name`; True when something was answered."""
        port = 80 if self.leg.encrypted else self.leg.port
        tcp = await self.connect(address, port, purpose)
        if tcp is None:
            return False
        page = await self.net.exchange(
            tcp, self._url("http", name), purpose=purpose, timeout=TIMEOUT, body_limit=self._sample
        )
        return page.failure is None

    async def _pairs(self, attempt: Attempt) -> None:
        """Try the name beside a harmless one at unrelated servers: three pairs, on three servers if there are.

        The harmless name goes first, so that what a name leaves behind on the path cannot touch it; a server
        that does not take the harmless name is no witness for this.
        """
        servers = await self.witness_addresses()

        async def first(address: str) -> str | None:
            return address if await attempt(address, self.harmless, Purpose.HARMLESS_AT_WITNESS) else None

        async with asyncio.TaskGroup() as group:
            tries = [group.create_task(first(address)) for address in servers]
        fit = [address for task in tries if (address := task.result())]

        async def at(address: str, times: int) -> None:
            for again in range(times):
                if again and not await attempt(address, self.harmless, Purpose.HARMLESS_AT_WITNESS):
                    return
                await attempt(address, self.name, Purpose.TARGET_AT_WITNESS)

        async with asyncio.TaskGroup() as group:
            for i, address in enumerate(fit):
                group.create_task(at(address, PAIRS // len(fit) + (i < PAIRS % len(fit))))

    # The place

    async def _hop(
        self, address: str, port: int, probe: str, ttl: int, purpose: Purpose, name: str | None
    ) -> Hop | None:
        if not self.allowed():
            return None
        return await self.net.hop(address, port, probe=probe, ttl=ttl, name=name, purpose=purpose)

    async def _trace_name(self, address: str, probe: str) -> None:
        """Trace the name towards the target, beside a harmless one; SYNs name the routers."""
        if is_address(self.name):
            return
        port = self.leg.port

        async def name(ttl: int) -> Hop | None:
            return await self._hop(address, port, probe, ttl, Purpose.TRACE_TARGET, self.name)

        async def harmless(ttl: int) -> Hop | None:
            return await self._hop(address, port, probe, ttl, Purpose.TRACE_HARMLESS, self.harmless)

        async def path(ttl: int) -> Hop | None:
            return await self._hop(address, port, "syn", ttl, Purpose.TRACE_PATH, None)

        await self._trace(name, harmless, path)

    async def _trace_syn(self, tcp: TcpConnect) -> None:
        """Trace the first packet of a connection, towards the target and towards a neighbour of it."""
        beside = neighbour_of(tcp.address, {*self.leg.local_addresses, *self.leg.trusted_addresses})

        async def target(ttl: int) -> Hop | None:
            return await self._hop(tcp.address, tcp.port, "syn", ttl, Purpose.TRACE_TARGET, None)

        async def neighbour(ttl: int) -> Hop | None:
            return await self._hop(beside, tcp.port, "syn", ttl, Purpose.TRACE_NEIGHBOUR, None)

        await self._trace(target, neighbour)

    async def _trace(self, ours: Send, theirs: Send, *path: Send) -> None:
        """Send packets ever further along the path until something answers for the site, or they die.

        Where that happens while those of `theirs` go on, the place is found. It is asked once more, for a
        router's answer may be lost or come late; and whether another router stands beyond it.
        """
        found, silences = False, 0
        for ttl in range(1, self.net.limits.max_hops + 1):
            mine = await ours(ttl)
            if mine is None or (found and mine.answer != "expired"):
                return
            if mine.answer == "expired":
                silences = 0
                continue
            other, *_ = await asyncio.gather(
                theirs(ttl), *(send(ttl) for send in path), self._trace_witness(ttl, mine.address)
            )
            if other is None or other.answer not in ("expired", "silence"):
                return
            if other.answer == "expired":
                again, _ = await asyncio.gather(ours(ttl), theirs(ttl + 1))
                found = again is not None and again.answer == mine.answer
            silences += mine.answer == "silence"
            if mine.answer != "silence" or silences == 3:
                return

    async def _trace_witness(self, ttl: int, target: str) -> None:
        """See which router stands at that distance on the way to an unrelated site, by the target's protocol."""
        if ":" not in target:
            servers = await self.witness_addresses()
        else:
            async with self._finding:
                if self._witness6 is None:
                    names = [w.name for w in self.net.peers.witnesses if w.name != self.name][:PAIRS]
                    found = await asyncio.gather(*(find_address(self.net, n, "AAAA") for n in names))
                    self._witness6 = [a for a in found if a is not None and a != target]
            servers = self._witness6
        for address in servers[:1]:
            await self._hop(address, 443, "syn", ttl, Purpose.TRACE_WITNESS, None)

    # The second opinion

    async def ask_control_again(self) -> None:
        """Ask the control about the leg itself when the chain had moved on from what it was asked before."""
        if self.net.peers.controls and self.leg.url != self.story.target.url:
            endpoints = [endpoint(f.tcp.address, f.tcp.port) for f in self.leg.flows]
            await self.net.ask_control(self.leg.url, endpoints)


def neighbour_of(address: str, taken: set[str]) -> str:
    """Choose an address beside `address` in its own /24 (IPv4) or /64 (IPv6) that is not one of the site's."""
    here = ipaddress.ip_address(address)
    net = ipaddress.ip_network(f"{address}/{24 if here.version == 4 else 64}", strict=False)
    for step in (1, -1, 2, -2, 3, -3):
        beside = here + step
        inside = beside in net and beside not in (net.network_address, net.broadcast_address)
        if inside and str(beside) not in taken:
            return str(beside)
    return str(here + 1)
