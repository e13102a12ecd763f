"""What a control does when it is asked: look up, connect, shake hands and fetch, from its own place.

It uses the verbs of `Network`, and so sees what a probe at this place would see. The addresses are its
own and those that the probe found; the ports are the URL's, and for plain http on port 80 also 443,
because a valid handshake there shows that an address belongs to the name. The page is fetched over the
first connection that stands, and redirects are followed. The address that was checked is the one that
is connected to, so that no second lookup can swap it.

It only says what it can know: an endpoint of a family without a route is left out, and where its own
troubles are all that it saw it is `Unable` to answer.
"""

from __future__ import annotations

import asyncio
import re
import zlib
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any, TypeVar

import msgspec
from msgspec import structs

from measurements.model import (
    OURS,
    DnsLookup,
    Failure,
    HttpExchange,
    Observation,
    QuicHandshake,
    Target,
    TcpConnect,
    TlsHandshake,
)
from probe.control.policy import Errand, Policy, Refused, Unable, read_url
from probe.control.protocol import (
    IS_BOGON,
    RESOLVED_BY_CONTROL,
    RESOLVED_BY_PROBE,
    VALID_FOR_DOMAIN,
    AddressInfo,
    Answer,
    Connected,
    Handshaken,
    Page,
    Resolved,
    canonical,
    word,
)
from probe.network import Network, endpoint

DEFINITE = frozenset({Failure.DNS_NXDOMAIN, Failure.NO_DNS_ANSWER})
"""What a resolver says about the name; any other failure is the resolver's own, and another is asked."""

UNUSABLE = OURS - {Failure.INTERRUPTED}

S = TypeVar("S", bound=Observation)
T = TypeVar("T")
AsnOf = Callable[[str], int]


@dataclass(frozen=True, slots=True)
class Standing:
    """How far one endpoint was reached."""

    tcp: TcpConnect
    tls: TlsHandshake | None = None

    @property
    def last(self) -> TcpConnect | TlsHandshake:
        return self.tls or self.tcp


Reaching = Mapping[str, "asyncio.Task[Standing]"]


async def survey(errand: Errand, net: Network, policy: Policy, asn_of: AsnOf = lambda address: 0) -> Answer:
    """Look at the site from here; raises `Refused` and `Unable`. `asn_of` says 0 when it does not know."""
    surveyor = _Surveyor(errand, net, policy)
    try:
        return await surveyor.answer(asn_of)
    finally:
        await surveyor.stop()


class _Surveyor:
    def __init__(self, errand: Errand, net: Network, policy: Policy) -> None:
        self.errand = errand
        self.net = net
        self.policy = policy
        self.ends = asyncio.get_running_loop().time() + policy.seconds
        self.tasks: list[asyncio.Task[Any]] = []

    async def answer(self, asn_of: AsnOf) -> Answer:
        target = self.errand.target
        literal = canonical(target.host)
        if literal is not None and self.private(literal):
            raise Refused(f"http_request: {target.host} is a private address, which this control does not visit")
        own, failure = await self.resolve(target.host)
        reaching = self.reach_all(own)
        by_quic = self.reach_all_by_quic(own)
        page = await self.page(own, failure, reaching)
        standing = await self.settle(reaching)
        greeted = await self.settle(by_quic)
        return Answer(
            tcp_connect={e: _connected(s.tcp) for e, s in standing.items()},
            tls_handshake={e: _handshaken(s.tls, target.host) for e, s in standing.items() if s.tls is not None},
            quic_handshake={
                e: _handshaken(hands, target.host) for e, hands in greeted.items() if hands.failure not in UNUSABLE
            },
            http_request=page,
            dns=Resolved() if literal else Resolved(word(failure, "dns"), own),
            ip_info=self.ip_info([] if literal else own, standing.values(), asn_of),
        )

    async def stop(self) -> None:
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)

    def start(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        task = asyncio.create_task(work)
        self.tasks.append(task)
        return task

    def remaining(self) -> float:
        return max(0.0, self.ends - asyncio.get_running_loop().time())

    def private(self, address: str) -> bool:
        return not self.policy.allow_private and self.is_bogon(address)

    def is_bogon(self, address: str) -> bool:
        return self.policy.is_private(address, self.net.is_private)

    def usable(self, addresses: Iterable[str]) -> list[str]:
        """The addresses that may be visited; raises `Unable` when they all lack nothing but a route."""
        allowed = [a for a in dict.fromkeys(addresses) if not self.private(a)]
        routed = [a for a in allowed if ip_address(a).is_loopback or self.net.has_route(ipv6=":" in a)]
        if allowed and not routed:
            raise Unable("this control has no route to any address of the site")
        return routed

    async def resolve(self, host: str) -> tuple[list[str], Failure | None]:
        """Look `host` up: our own resolver first, a trusted one when ours fails to do its work."""
        if (literal := canonical(host)) is not None:
            return [literal], None
        local, trusted = self.net.peers.local, self.net.peers.trusted
        failure = Failure.DNS_NON_RECOVERABLE
        for resolver in ([local] if local else []) + list(trusted[:1]):
            async with asyncio.TaskGroup() as group:
                asked = [
                    group.create_task(self.net.lookup(host, rtype, resolver, linger=0.0)) for rtype in ("A", "AAAA")
                ]
            lookups = [task.result() for task in asked]
            found = [a for lookup in lookups for a in map(canonical, lookup.addresses) if a]
            if found:
                return list(dict.fromkeys(found))[: self.policy.endpoints], None
            failure = _why_none(lookups)
            if failure in DEFINITE:
                break
        if failure in UNUSABLE:
            raise Unable(f"this control could not look anything up: {failure}")
        return [], failure

    def reach_all(self, own: Sequence[str]) -> Reaching:
        """Start towards every endpoint; ours first, so that the page has its chance within the cap."""
        target = self.errand.target
        ports = (80, 443) if target.scheme == "http" and target.port == 80 else (target.port,)
        offered = () if canonical(target.host) else self.errand.offered
        pairs = [(a, p) for a in self.usable([*own, *offered]) for p in ports][: self.policy.endpoints]
        return {
            endpoint(a, p): self.start(self.reach(a, p, target, secure=target.scheme == "https" or p == 443))
            for a, p in pairs
        }

    async def reach(self, address: str, port: int, target: Target, *, secure: bool) -> Standing:
        limits, most = self.net.limits, self.policy.step_seconds
        tcp = _sound(await self.net.connect(address, port, timeout=min(most, limits.tcp_timeout)))
        if tcp.failure is not None or not secure:
            return Standing(tcp)
        name = None if canonical(target.host) else target.host
        timeout = min(most, limits.tls_timeout)
        return Standing(tcp, _sound(await self.net.handshake(tcp, name=name, verify=target.host, timeout=timeout)))

    def reach_all_by_quic(self, own: Sequence[str]) -> Mapping[str, asyncio.Task[QuicHandshake]]:
        """Start QUIC handshakes, when that was asked for, towards the first few addresses of the name itself.

        Their first datagrams are large and need no consent: a stranger may not choose whom they are sent to.
        """
        target = self.errand.target
        if not self.errand.quic or target.scheme != "https":
            return {}
        addresses = self.usable(own)[: self.policy.quic_endpoints]
        return {endpoint(a, target.port): self.start(self.reach_by_quic(a, target)) for a in addresses}

    async def reach_by_quic(self, address: str, target: Target) -> QuicHandshake:
        name = None if canonical(target.host) else target.host
        timeout = min(self.policy.step_seconds, self.net.limits.tls_timeout)
        return await self.net.quic(address, target.port, name=name, verify=target.host, timeout=timeout)

    async def settle(self, reaching: Mapping[str, asyncio.Task[T]]) -> dict[str, T]:
        """Wait for the endpoints until our time is over; one that did not end by then is left out."""
        if reaching:
            await asyncio.wait(reaching.values(), timeout=self.remaining())
        return {place: task.result() for place, task in reaching.items() if task.done()}

    async def page(self, own: Sequence[str], failure: Failure | None, reaching: Reaching) -> Page:
        """Fetch the page, or say why not; a chain that is still going when our time is over has timed out."""
        if failure is not None:
            return Page(failure="dns_lookup_error")
        port = self.errand.target.port
        contenders = [reaching[e] for a in self.usable(own) if (e := endpoint(a, port)) in reaching]
        try:
            async with asyncio.timeout(self.remaining()):
                return await self.follow(contenders)
        except TimeoutError:
            return Page(failure=word(Failure.TIMEOUT, "http"))

    async def follow(self, contenders: list[asyncio.Task[Standing]]) -> Page:
        target = self.errand.target
        seen: list[str] = []
        h3 = ""
        while len(seen) <= self.net.limits.redirects and target.url not in seen:  # without cookies a loop has no end
            seen.append(target.url)
            standing = await _first_standing(contenders)
            if standing is None:
                break
            if standing.last.failure is not None:
                return Page(failure=word(standing.last.failure, "http"))
            exchange = await self.fetch(standing, target.url)
            if len(seen) == 1:
                h3 = _h3_endpoint(exchange, target)
            if exchange.failure is not None or exchange.redirect is None:
                page = _page(exchange, h3, self.policy.header_bytes, self.errand.body_bytes)
                if exchange.failure is None or len(seen) > 1:
                    return page  # how another site's page failed says nothing of the one that was asked for
                return structs.replace(page, x_failure=exchange.failure.value)
            try:
                target = read_url(exchange.redirect)
            except Refused:
                break
            own, failure = await self.resolve(target.host)
            if failure is not None:
                return Page(failure="dns_lookup_error")
            contenders = [
                self.start(self.reach(a, target.port, target, secure=target.scheme == "https"))
                for a in self.usable(own)[: self.policy.hop_addresses]
            ]
        return Page(failure="unknown_error")

    async def fetch(self, standing: Standing, url: str) -> HttpExchange:
        return _sound(
            await self.net.exchange(
                standing.last,
                url,
                headers=self.errand.headers,
                body_limit=self.net.limits.body_wire,
                timeout=min(self.policy.page_seconds, self.net.limits.http_timeout),
            )
        )

    def ip_info(self, own: Iterable[str], standing: Iterable[Standing], asn_of: AsnOf) -> dict[str, AddressInfo | None]:
        flags = dict.fromkeys(self.errand.offered, RESOLVED_BY_PROBE)
        for address in own:
            flags[address] = flags.get(address, 0) | RESOLVED_BY_CONTROL
        for step in standing:
            if step.tls is not None and step.tls.failure is None and step.tcp.address in flags:
                flags[step.tcp.address] |= VALID_FOR_DOMAIN
        return {
            address: AddressInfo(asn_of(address), bits | (IS_BOGON if self.is_bogon(address) else 0))
            for address, bits in flags.items()
        }


def _sound(step: S) -> S:
    """Pass a step on unless it failed for want of something on this machine; then raise `Unable`."""
    if step.failure in UNUSABLE:
        raise Unable(f"this control is short of something of its own: {step.failure}")
    return step


def _why_none(lookups: Iterable[DnsLookup]) -> Failure:
    """Why neither lookup gave an address: the name itself, else a resolver's failure, else no records."""
    failures = [lookup.failure for lookup in lookups if lookup.failure is not None]
    if Failure.DNS_NXDOMAIN in failures:
        return Failure.DNS_NXDOMAIN
    return next((f for f in failures if f is not Failure.NO_DNS_ANSWER), Failure.NO_DNS_ANSWER)


async def _first_standing(contenders: Sequence[asyncio.Task[Standing]]) -> Standing | None:
    """Wait for the first that stands; when none does, the first one's failure speaks for all."""
    pending = set(contenders)
    while pending:
        done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            if task.result().last.failure is None:
                return task.result()
    return contenders[0].result() if contenders else None


def _connected(tcp: TcpConnect) -> Connected:
    return Connected(tcp.failure is None, word(tcp.failure, "tcp"))


def _handshaken(tls: TlsHandshake | QuicHandshake, host: str) -> Handshaken:
    return Handshaken(host, tls.failure is None, word(tls.failure, "tls"))


def _page(exchange: HttpExchange, h3: str, room: int, body_bytes: int) -> Page:
    headers: dict[str, str] = {}
    for name, value in exchange.headers:
        room -= len(name) + len(value)
        if room < 0:
            break
        headers.setdefault("-".join(part.capitalize() for part in name.split("-")), value)
    if exchange.status is None:
        return Page(failure=word(exchange.failure or Failure.UNKNOWN, "http"))
    return Page(
        body_length=exchange.body_length,
        discovered_h3_endpoint=h3,
        failure=word(exchange.failure, "http"),
        title=exchange.title or "",
        headers=headers,
        status_code=exchange.status,
        x_body=zlib.compress(exchange.body[:body_bytes]) if body_bytes else msgspec.UNSET,
    )


def _h3_endpoint(exchange: HttpExchange, target: Target) -> str:
    """The endpoint at which the site says (Alt-Svc, RFC 7838) that it speaks HTTP/3."""
    found = re.search(r'(?:^|[,\s])h3="?([^",;:]*):(\d{1,5})', exchange.header("alt-svc") or "")
    return f"{found[1] or target.host}:{found[2]}" if found else ""
