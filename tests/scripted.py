"""A `Network` that plays a script back: a small world as tables, for tests of nettests and rules.

A table's key says what is asked, its value what comes back: a result, or a `Failure`. What the script does
not know times out, as on a network where it is dropped. Steps end in no time.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import cache
from typing import Any, TypeVar

from cryptography.hazmat.primitives.serialization import Encoding

from measurements.bogons import Bogons
from measurements.model import (
    BAD_CERTIFICATE,
    AnyObservation,
    Capture,
    CapturedPacket,
    ControlQuery,
    DnsAnswer,
    DnsLookup,
    DnsReply,
    Failure,
    Hop,
    HttpExchange,
    IcmpError,
    Measurement,
    PaceSoFar,
    Preconditions,
    Purpose,
    QuicHandshake,
    Target,
    TcpConnect,
    TlsHandshake,
    Transfer,
    Vantage,
    View,
)
from probe.control.canary import Singer
from probe.network import CLASSIC, Limits, Peers, Resolver, Route, Spent, Witness

T = TypeVar("T", bound=AnyObservation)

LOCAL = Resolver("198.51.100.2:53", View.LOCAL)
TRUSTED = (
    Resolver("https://198.51.100.53/dns-query", View.TRUSTED),
    Resolver("https://198.51.100.54/dns-query", View.TRUSTED),
)
WITNESSES = {"one.example": "192.0.2.1", "two.example": "192.0.2.2", "three.example": "192.0.2.3"}
BOGONS = Bogons.parse("prefix,why\n10.0.0.0/8,private\n127.0.0.0/8,loopback\n0.0.0.0/8,this network\n", "test")
CONTROL = "https://control.example/"
CONTROL_ADDRESS = "198.51.100.200"


@cache
def _der(singer: Singer) -> bytes:
    return singer.certificate().public_bytes(Encoding.DER)


@dataclass(frozen=True)
class Page:
    """A page, by what a test cares about."""

    status: int = 200
    body: bytes = b"<title>The real site</title> welcome"
    title: str | None = "The real site"
    redirect: str | None = None
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Pace:
    """How an object's bytes come: its head and `burst` bytes after `latency` seconds, the rest at `rate` bit/s.

    None come after `freeze` bytes. `samples` lays the whole path instead, as (seconds, bytes so far).
    """

    rate: float = 10_000_000.0
    latency: float = 0.05
    burst: int = 0
    freeze: int | None = None
    samples: tuple[tuple[float, int], ...] | None = None
    status: int = 200

    def path(self, size: int) -> tuple[tuple[float, int], ...]:
        """When the first `size` bytes are there, a segment or 198th part at a time."""
        if self.samples is not None:
            return self.samples
        size = size if self.freeze is None else min(size, self.freeze)
        step = max(1448, -(-size // 198))
        first = min(size, max(self.burst, step))
        totals = [*range(first, size, step), size] if size else []
        return tuple((self.latency + max(0, total - self.burst) * 8 / self.rate, total) for total in totals)


Paced = Pace | Failure | Callable[[int], Pace | Failure]
"""A pace, or what gives one to each transfer: it is told how many there were on that way before."""


@dataclass
class World:
    """What is so.

    `answers` maps (resolver address, name) to a list of addresses per reply, or a Failure; a resolver that is
    not listed answers from `names`; "ttl 1" stands for the first hop, "home" for our resolver when it is that, and
    "unchecked" for a question that asks for no checking of signatures. `name_servers`
    maps a zone to the names of its servers. An address is of the
    record type that it looks like. `ports` maps (address, port) to None or a Failure. `hands` maps (address, sni)
    to None or a Failure, `issuers` to another issuer than the site's. `pages` maps (address, host) to a Page or a
    Failure (the host may be "host/path", or "*/path" for any host), and `clear` does for http alone. A control whose
    canaries are asked answers with its `singer`. `paths`
    maps (address, name or None) to {ttl: (answer, router)}, and `quic_paths` the same for QUIC's first datagrams.
    `versions` maps an address to what a question for QUIC versions comes to there, `quics` maps (address, sni) to
    what a QUIC handshake comes to.
    `transfers` maps (address, SNI or Host) to the pace of objects there, or (address, "*") for any other name.
    `ways` maps (resolver address, name) to {ttl: a router's address, or a reply's addresses, or a Failure}, for
    questions that travel only so far. `captured` makes the packets that came back out of the hops that were sent:
    none where there is no privilege. `seen` is what the control says: a Page, a Failure, or None when there is no
    control; `sends_bodies` whether it hands out a page's body when it is asked for it.
    """

    names: Mapping[str, list[str]] = field(default_factory=dict)
    answers: Mapping[tuple[str, str], list[list[str]] | Failure] = field(default_factory=dict)
    name_servers: Mapping[str, list[str]] = field(default_factory=dict)
    ports: Mapping[tuple[str, int], Failure | None] = field(default_factory=dict)
    hands: Mapping[tuple[str, str | None], Failure | None] = field(default_factory=dict)
    issuers: Mapping[tuple[str, str | None], str] = field(default_factory=dict)
    pages: Mapping[tuple[str, str], Page | Failure] = field(default_factory=dict)
    clear: Mapping[tuple[str, str], Page | Failure] = field(default_factory=dict)
    singer: Singer | None = None
    chains: Mapping[tuple[str, str | None], tuple[bytes, ...]] = field(default_factory=dict)
    paths: Mapping[tuple[str, str | None], dict[int, tuple[str, str | None]]] = field(default_factory=dict)
    quic_paths: Mapping[tuple[str, str | None], dict[int, tuple[str, str | None]]] = field(default_factory=dict)
    versions: Mapping[str, Failure | None] = field(default_factory=dict)
    quics: Mapping[tuple[str, str | None], Failure | None] = field(default_factory=dict)
    control_quics: Mapping[str, Failure | None] = field(default_factory=dict)
    transfers: Mapping[tuple[str, str], Paced] = field(default_factory=dict)
    ways: Mapping[tuple[str, str], dict[int, str | list[str] | Failure]] = field(default_factory=dict)
    captured: Callable[[list[Hop]], tuple[CapturedPacket, ...]] = lambda hops: ()
    seen: Page | Failure | None = None
    control_ports: Mapping[tuple[str, int], Failure | None] = field(default_factory=dict)
    control_hands: dict[str, Failure | None] = field(default_factory=dict)
    sends_bodies: bool = True


def read_at(pace: Pace, wanted: int, enough: int, timeout: float, stall: float) -> dict[str, Any]:
    """What a reader with these bounds makes of an object that comes at this pace."""
    if pace.status != 200:
        return {"failure": Failure.HTTP_REQUEST_FAILED, "ended": "failure", "status": pace.status}
    size = min(wanted, enough)
    kept: list[tuple[float, int]] = []
    heard, ended = 0.0, ""
    for at, total in pace.path(size):
        if at > min(heard + stall, timeout):
            break
        heard = at
        kept.append((at, total))
        if total >= size:
            ended = "whole" if total >= wanted else "enough"
            break
    if not ended:
        ended, heard = ("stall", heard + stall) if heard + stall < timeout else ("time", timeout)
    if not kept:
        return {"failure": Failure.TIMEOUT, "ended": "failure", "elapsed": heard}
    return {"status": 200, "received": kept[-1][1], "samples": tuple(kept), "ended": ended, "elapsed": heard}


def record_type(address: str) -> str:
    return "AAAA" if ":" in address else "A"


class ScriptedNetwork:
    """Implements `probe.network.Network` over a `World`."""

    def __init__(self, world: World, *, preconditions: Preconditions | None = None) -> None:
        self.world = world
        self.peers = Peers(
            local=LOCAL,
            trusted=TRUSTED,
            witnesses=tuple(Witness(name) for name in WITNESSES),
            controls=(CONTROL,) if world.seen is not None else (),
        )
        self.limits = Limits(repetition_pause=0.0)
        self.spent = Spent()
        self.preconditions = preconditions or Preconditions(ipv4_route=True, ipv6_route=False)
        self.observations: list[AnyObservation] = []
        self.full_body = False
        self.pace = PaceSoFar()
        self.routes = {4: True, 6: False}
        self.device = "eth0"
        self.nat64: str | None = None
        self.paced: dict[tuple[str, str], int] = {}  # transfers so far, where the script asks

    def _record(self, kind: type[T], **facts: Any) -> T:
        cause = facts.pop("cause", None)
        step = kind(id=len(self.observations) + 1, cause=cause.id if cause else None, **facts)
        self.observations.append(step)
        return step

    def is_private(self, address: str) -> bool:
        return BOGONS.why(address) is not None

    def has_route(self, *, ipv6: bool) -> bool:
        return self.routes[6 if ipv6 else 4]

    def route(self, *, ipv6: bool) -> Route | None:
        return Route(self.device, gateway="192.168.0.1", source=None) if self.has_route(ipv6=ipv6) else None

    def reach_ipv4_through(self, prefix: str | None) -> None:
        self.nat64 = prefix

    async def lookup(
        self,
        name: str,
        rtype: str,
        resolver: Resolver,
        *,
        cause: AnyObservation | None = None,
        view: View | None = None,
        purpose: Purpose | None = None,
        ip_ttl: int | None = None,
        checking_disabled: bool = False,
        linger: float | None = None,
        timeout: float | None = None,
    ) -> DnsLookup:
        near = "home" if resolver == LOCAL else "ttl 1"  # what a question that cannot leave the first hop may meet
        key = near if ip_ttl == 1 else resolver.address
        if checking_disabled and ("unchecked", name) in self.world.answers:
            key = "unchecked"
        known = {**self.world.names, **{n: [a] for n, a in WITNESSES.items()}}
        serves = resolver in (LOCAL, *TRUSTED) or resolver.address in ("198.51.100.53:53", "198.51.100.54:53")
        told: list[list[str]] | Failure
        if (key, name) in self.world.answers:
            told = self.world.answers[key, name]
        elif not serves or key in ("ttl 1", "home"):
            told = Failure.TIMEOUT
        else:
            told = [known[name]] if name in known else Failure.DNS_NXDOMAIN
        icmp: tuple[IcmpError, ...] = ()
        match self.world.ways.get((resolver.address, name), {}).get(ip_ttl or 0):
            case str() as router if not isinstance(router, Failure):
                told = Failure.HOST_UNREACHABLE
                icmp = (IcmpError(arrival=0.0, source=router, type=11, code=0, error="EHOSTUNREACH"),)
            case list() as addresses:
                told = [addresses]
            case Failure() as silent:
                told = silent
        if rtype == "NS":
            told = [[f"{host}."] for host in self.world.name_servers.get(name, [])] or Failure.NO_DNS_ANSWER
        elif not isinstance(told, Failure):
            told = [of_type for each in told if (of_type := [a for a in each if record_type(a) == rtype])]
            told = told or Failure.NO_DNS_ANSWER
        replies: list[DnsReply] = []
        failure = told if isinstance(told, Failure) else None
        if isinstance(told, list):
            for i, addresses in enumerate(told):
                records = tuple(DnsAnswer(name=name, rtype=rtype, data=a, ttl=60) for a in addresses)
                replies.append(DnsReply(arrival=i / 10, source=resolver.address, rcode="NOERROR", answers=records))
        elif told is not Failure.TIMEOUT and not icmp:
            replies.append(DnsReply(arrival=0.0, source=resolver.address, rcode=told.value))
        return self._record(
            DnsLookup,
            cause=cause,
            view=view or resolver.view,
            purpose=purpose,
            resolver=resolver.address,
            protocol="doh" if resolver.is_doh else "udp",
            name=name,
            rtype=rtype,
            replies=tuple(replies),
            icmp=icmp,
            failure=failure,
            ip_ttl=ip_ttl,
        )

    async def connect(
        self,
        address: str,
        port: int,
        *,
        cause: AnyObservation | None = None,
        view: View = View.LOCAL,
        purpose: Purpose | None = None,
        timeout: float | None = None,
        mss: int | None = None,
        wide: bool = False,
    ) -> TcpConnect:
        known = (*WITNESSES.values(), CONTROL_ADDRESS, *(a for a, _ in self.world.transfers))
        alive = address in known or any(address in a for a in self.world.names.values())
        failure = self.world.ports.get((address, port), None if alive else Failure.TIMEOUT)
        return self._record(
            TcpConnect, cause=cause, view=view, purpose=purpose, address=address, port=port, mss=mss, failure=failure
        )

    async def handshake(
        self,
        over: TcpConnect,
        *,
        name: str | None,
        verify: str | None = None,
        alpn: tuple[str, ...] = ("h2", "http/1.1"),
        hello: str = CLASSIC,
        purpose: Purpose | None = None,
        timeout: float | None = None,
    ) -> TlsHandshake:
        own = any(over.address in a for n, a in self.world.names.items() if n == name)
        own = own or WITNESSES.get(name or "") == over.address
        failure = self.world.hands.get((over.address, name), None if own else Failure.SSL_INVALID_HOSTNAME)
        ended = failure is None or (failure.value.startswith("ssl_") and failure is not Failure.SSL_FAILED_HANDSHAKE)
        return self._record(
            TlsHandshake,
            cause=over,
            view=over.view,
            purpose=purpose or over.purpose,
            address=over.address,
            port=over.port,
            name=name,
            hello=hello,
            failure=failure,
            chain=self.world.chains.get((over.address, name), self._shown_at(over)) if ended else (),
            issuer=self.world.issuers.get((over.address, name), "CN=Public CA") if ended else None,
        )

    def _shown_at(self, over: TcpConnect) -> tuple[bytes, ...]:
        """The certificate of a control that sings, at the port that it says; elsewhere none was laid down."""
        singer = self.world.singer
        sings = singer is not None and over.address == CONTROL_ADDRESS and over.port == singer.port
        return (_der(singer),) if singer is not None and sings else ()

    async def quic(
        self,
        address: str,
        port: int,
        *,
        name: str | None,
        verify: str | None = None,
        alpn: tuple[str, ...] = ("h3",),
        cause: AnyObservation | None = None,
        view: View = View.LOCAL,
        purpose: Purpose | None = None,
        timeout: float | None = None,
    ) -> QuicHandshake:
        failure = self.world.quics.get((address, name), Failure.TIMEOUT)
        ended = failure is None or failure in BAD_CERTIFICATE
        return self._record(
            QuicHandshake,
            cause=cause,
            view=view,
            purpose=purpose,
            address=address,
            port=port,
            name=name,
            failure=failure,
            answered=ended or failure is Failure.SSL_FAILED_HANDSHAKE,
            alpn="h3" if ended else None,
        )

    async def version_negotiation(
        self,
        address: str,
        port: int,
        *,
        cause: AnyObservation | None = None,
        view: View = View.LOCAL,
        purpose: Purpose | None = None,
        timeout: float = 2.0,
    ) -> QuicHandshake:
        failure = self.world.versions.get(address, Failure.TIMEOUT)
        return self._record(
            QuicHandshake,
            cause=cause,
            view=view,
            purpose=purpose,
            address=address,
            port=port,
            probe="versions",
            failure=failure,
            answered=failure is None,
        )

    async def exchange(
        self,
        over: TcpConnect | TlsHandshake | QuicHandshake,
        url: str,
        *,
        host: str | None = None,
        headers: Mapping[str, str] | None = None,
        body_limit: int | None = None,
        purpose: Purpose | None = None,
        timeout: float | None = None,
    ) -> HttpExchange:
        asked = host or url.split("/")[2]
        default = Page(404, b"<title>Nothing here</title>", "Nothing here")
        if any(over.address in a for n, a in self.world.names.items() if n == asked):
            default = Page()
        path = "/" + url.split("/", 3)[3]
        for key in (f"*{path}", f"{asked}{path}", asked):
            if (page := self.world.pages.get((over.address, key))) is not None:
                break
        else:
            page = default
        if url.startswith("http://"):
            page = self.world.clear.get((over.address, asked), page)
        path, _, query = url.partition("?")
        if self.world.singer is not None and path.endswith(("/canary", "/bytes/")):
            client = "198.51.100.77" if path.endswith("/canary") else None
            page = Page(body=self.world.singer.sing(query, client) or b"", title=None)
        facts: dict[str, Any] = {"failure": page}
        if isinstance(page, Page):
            facts = {
                "status": page.status,
                "body": page.body,
                "title": page.title,
                "redirect": page.redirect,
                "headers": page.headers,
                "body_length": len(page.body),
                "body_sha256": hashlib.sha256(page.body).hexdigest(),
            }
        return self._record(
            HttpExchange,
            cause=over,
            view=over.view,
            purpose=purpose or over.purpose,
            url=url,
            address=over.address,
            port=over.port,
            host=asked,
            http_version="HTTP/3" if isinstance(over, QuicHandshake) else None,
            **facts,
        )

    async def transfer(
        self,
        over: TcpConnect | TlsHandshake,
        url: str,
        *,
        host: str | None = None,
        wanted: int,
        enough: int | None = None,
        pair: int = 0,
        purpose: Purpose | None = None,
        timeout: float | None = None,
        stall: float = 5.0,
    ) -> Transfer:
        asked = host or url.split("/")[2]
        name = over.name if isinstance(over, TlsHandshake) else None
        key = next((k for k in ((over.address, name or asked), (over.address, "*")) if k in self.world.transfers), None)
        pace = self.world.transfers[key] if key else Failure.TIMEOUT
        if callable(pace):
            assert key is not None
            pace = pace(self.paced.setdefault(key, 0))
            self.paced[key] += 1
        limit = self.limits.http_timeout if timeout is None else timeout
        facts: dict[str, Any] = {"failure": pace, "ended": "failure"}
        if isinstance(pace, Pace):
            facts = read_at(pace, wanted, wanted if enough is None else enough, limit, stall)
        return self._record(
            Transfer,
            cause=over,
            view=over.view,
            purpose=purpose or over.purpose,
            url=url,
            address=over.address,
            port=over.port,
            host=asked,
            name=name,
            pair=pair,
            wanted=wanted,
            **facts,
        )

    async def hop(
        self,
        address: str,
        port: int,
        *,
        probe: str,
        ttl: int,
        name: str | None = None,
        cause: AnyObservation | None = None,
        purpose: Purpose | None = None,
        timeout: float = 1.0,
    ) -> Hop:
        usual = {1: ("expired", "192.168.0.1"), 2: ("expired", "198.51.100.9"), 3: ("expired", "198.51.100.10")}
        reached = "open" if probe == "syn" else "data"
        paths = self.world.quic_paths if probe == "initial" else self.world.paths
        answer, router = paths.get((address, name), usual).get(ttl, (reached, None))
        return self._record(
            Hop,
            cause=cause,
            view=View.FOLLOW_UP,
            purpose=purpose,
            address=address,
            port=port,
            probe=probe,
            ttl=ttl,
            name=name,
            answer=answer,
            router=router,
            local_port=40_000 + len(self.observations),
        )

    @asynccontextmanager
    async def capture(self, peers: Sequence[str]) -> AsyncIterator[None]:
        yield
        packets = self.world.captured([o for o in self.observations if isinstance(o, Hop)])
        means = "raw" if packets else "recverr"
        self._record(Capture, view=View.FOLLOW_UP, peers=tuple(peers), means=means, packets=packets)

    async def ask_control(
        self,
        url: str,
        endpoints: Sequence[str],
        *,
        quic: bool = False,
        page: bool = False,
        timeout: float | None = None,
    ) -> ControlQuery:
        seen = self.world.seen
        resolved = next((tuple(a) for n, a in self.world.names.items() if n == url.split("/")[2]), ())
        query = self._record(ControlQuery, view=View.CONTROL, url=url, endpoints=tuple(endpoints), resolved=resolved)
        for word in endpoints:
            address, port = word.replace("[", "").replace("]", "").rsplit(":", 1)
            failure = self.world.control_ports.get((address, int(port)), seen if isinstance(seen, Failure) else None)
            self._record(TcpConnect, cause=query, view=View.CONTROL, address=address, port=int(port), failure=failure)
            if failure is None and port == "443":
                bad = self.world.control_hands.get(address, seen if isinstance(seen, Failure) else None)
                self._record(
                    TlsHandshake, cause=query, view=View.CONTROL, address=address, port=443, name=None, failure=bad
                )
        for address, greeted in self.world.control_quics.items() if quic else ():
            self._record(
                QuicHandshake,
                cause=query,
                view=View.CONTROL,
                address=address,
                port=443,
                failure=greeted,
                answered=greeted is None,
            )
        if isinstance(seen, Page):
            self._record(
                HttpExchange,
                cause=query,
                view=View.CONTROL,
                url=url,
                headers=seen.headers,
                status=seen.status,
                title=seen.title,
                body=seen.body if page and self.world.sends_bodies else b"",
                body_length=len(seen.body),
            )
        else:
            self._record(HttpExchange, cause=query, view=View.CONTROL, url=url, failure=seen)
        return query

    async def pause(self, seconds: float) -> None:
        return None

    def measurement(self, target: Target, nettest: str, started: float = 1_800_000_000.0) -> Measurement:
        """Wrap what was observed as the agent would."""
        return Measurement(
            id="0" * 32,
            sequence=1,
            nettest=nettest,
            target=target,
            vantage=Vantage(probe_id="test"),
            started=started,
            preconditions=self.preconditions,
            pace=self.pace,
            observations=tuple(self.observations),
        )
