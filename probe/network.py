"""The seam between a nettest and the world.

A nettest is a plain coroutine, `async def measure(target, net) -> None`. Every verb of `net` records
one observation and returns it, and the observation is the handle for the next verb:

    lookup = await net.lookup("example.org", "A", net.peers.local)
    tcp = await net.connect(lookup.addresses[0], 443, cause=lookup)
    tls = await net.handshake(tcp, name="example.org")
    page = await net.exchange(tls, "https://example.org/")

so `cause` fills itself, steps may run side by side under a task group, and a deadline loses nothing:
a step that was cut is recorded as `interrupted`. A failed step is a value; verbs raise only for a
mistake of the caller's. `wire.SocketNetwork` does it over sockets, `tests.scripted.ScriptedNetwork`
plays a script back.

A Network lives for one measurement and closes what it opened.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Protocol

from measurements.model import (
    AnyObservation,
    ControlQuery,
    DnsLookup,
    Hop,
    HttpExchange,
    PaceSoFar,
    Preconditions,
    Purpose,
    QuicHandshake,
    TcpConnect,
    TlsHandshake,
    Transfer,
    View,
)

CLASSIC = "classic"  # about 517 bytes, one segment
LARGE = "large"  # padded beyond one segment, as a browser's post-quantum hello is
SMALL_SEGMENT = 536  # bytes that every path must carry (RFC 9293, 3.7.1)


def endpoint(address: str, port: int) -> str:
    """Write an address and a port as one word: "ip:port", or "[ip6]:port"."""
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


@dataclass(frozen=True, slots=True)
class Resolver:
    """A resolver that may be asked. `address` is "ip:port" ("[ip6]:port") for UDP, or a DoH URL."""

    address: str
    view: View

    @property
    def is_doh(self) -> bool:
        return self.address.startswith("https://")


@dataclass(frozen=True, slots=True)
class Witness:
    """A harmless, unrelated site, which canaries, harmless names and unrelated servers come from."""

    name: str
    domestic: bool = False


@dataclass(frozen=True, slots=True)
class Peers:
    """Whom a measurement may ask besides its target. `local` is None when no resolver is known."""

    local: Resolver | None
    trusted: tuple[Resolver, ...] = ()
    witnesses: tuple[Witness, ...] = ()
    controls: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of every step: seconds, bytes and counts (DESIGN section 5). Reaching one is recorded."""

    dns_timeout: float = 4.0
    dns_linger: float = 1.0
    tcp_timeout: float = 10.0
    tls_timeout: float = 10.0
    http_timeout: float = 10.0
    control_timeout: float = 30.0
    measurement_timeout: float = 60.0
    body_wire: int = 512 * 1024
    body_decoded: int = 2 * 1024 * 1024
    body_routine: int = 16 * 1024
    redirects: int = 10
    addresses: int = 6
    chain_certificates: int = 10
    chain_bytes: int = 64 * 1024
    follow_up_connections: int = 20
    follow_up_bytes: int = 150_000
    max_hops: int = 20
    repetition_pause: float = 2.0
    pace_object: int = 120_000
    pace_alike_object: int = 64_000
    pace_pairs: int = 12
    pace_bytes: int = 2_000_000
    pace_pause: float = 1.0
    pace_leg_timeout: float = 10.0
    pace_timeout: float = 200.0


@dataclass(slots=True)
class Spent:
    """What a measurement has used so far: connections opened (TCP, or a UDP query), payload bytes."""

    connections: int = 0
    sent: int = 0
    received: int = 0
    limits: list[str] = field(default_factory=list)  # names of limits that were reached


@dataclass(frozen=True, slots=True)
class Route:
    """The way that this machine's packets to the public internet take. In memory only: `source` is its own address.

    `device` is empty where the system does not tell.
    """

    device: str
    gateway: str | None = None
    source: str | None = None


class Network(Protocol):
    """What a nettest can do. Failures are in the returned observation; see the module's docstring."""

    @property
    def peers(self) -> Peers: ...

    @property
    def limits(self) -> Limits: ...

    @property
    def spent(self) -> Spent: ...

    @property
    def preconditions(self) -> Preconditions:
        """What `vantage` found before this measurement."""
        ...

    @property
    def observations(self) -> Sequence[AnyObservation]:
        """Every step recorded so far, in the order in which they ended."""
        ...

    @property
    def pace(self) -> PaceSoFar:
        """What earlier sessions of pairs know about this target and this network."""
        ...

    @property
    def full_body(self) -> bool:
        """Whether this measurement reads pages up to the full cap rather than the routine sample."""
        ...

    def is_private(self, address: str) -> bool:
        """Whether the bogon list says that no public host has this address."""
        ...

    def has_route(self, *, ipv6: bool) -> bool:
        """Whether this machine has a route to the public internet over that family; sends nothing."""
        ...

    def route(self, *, ipv6: bool) -> Route | None:
        """Say which way packets to the public internet take now; sends nothing."""
        ...

    def reach_ipv4_through(self, prefix: str | None) -> None:
        """Reach IPv4 addresses through the NAT64 with this prefix from now on, where there is no other route."""
        ...

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
        """Ask `resolver` for `rtype` (A, AAAA, HTTPS) of `name`; over UDP with TCP when truncated, or DoH.

        When `linger` is zero, return at the first valid reply; by default a UDP query waits
        `limits.dns_linger` for a second, contradicting one. `view` is the resolver's own by default.
        """
        ...

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
        """Open a TCP connection; with `mss`, neither side sends segments of more bytes (RFC 9293, 3.7.1).

        With `wide` the peer may send as fast as the path carries it, which a connection for a `transfer` needs;
        else it may have no more under way than a sample of a page takes.
        """
        ...

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
        """Shake hands over `over` with SNI `name` (None: without SNI), taking any certificate.

        The chain is judged offline for `verify`, or for `name` when that is None.
        """
        ...

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
        """Shake hands over QUIC with SNI `name` (None: without SNI), taking any certificate.

        The chain is judged offline for `verify`, or for `name` when that is None. It takes `limits.tls_timeout`
        at most by default.
        """
        ...

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
        """Ask which versions of QUIC are spoken there, with a packet that carries no name (RFC 8999, 6)."""
        ...

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
        """GET `url` over a connection that stands; `host` overrides the Host header.

        `headers` replace the ordinary browser headers of the same (case-insensitive) name.
        """
        ...

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
        """GET an object of `wanted` bytes over a connection that stands, and note when its bytes came.

        Reading ends when all came, after `enough` bytes (by default `wanted`), after `timeout` seconds
        (`limits.http_timeout` by default), or when nothing came for `stall` seconds: a transfer that is cut keeps
        what came, and that is no failure. It has failed when not even the head of a response came by then, when
        that has another status than 200, and when the connection broke. `host` overrides the Host header; the body
        is counted as it comes and is not decoded. `pair` numbers the pair of which this is a leg.
        """
        ...

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
        """Send one packet whose IP TTL is `ttl` and report who answered.

        `probe` is "syn", or "hello" / "request": a ClientHello with SNI `name`, or a GET with Host
        `name`, sent with that TTL over a connection that was opened at the ordinary TTL; or "initial": the
        first datagram of a QUIC handshake with SNI `name`.
        """
        ...

    def capture(self, peers: Sequence[str]) -> AbstractAsyncContextManager[None]:
        """Watch our own packets to and from `peers` ("ip:port") while the block runs, as far as the system allows.

        One `Capture` is recorded when it ends, raw or not, unless the block was cut.
        """
        ...

    async def ask_control(
        self,
        url: str,
        endpoints: Sequence[str],
        *,
        quic: bool = False,
        page: bool = False,
        timeout: float | None = None,
    ) -> ControlQuery:
        """Ask the controls, one after another until one answers, about `url` and `endpoints` ("ip:port").

        What it saw is recorded as observations with view `control` whose cause is the query. With `quic` it is
        asked to shake hands over QUIC too, and with `page` for the beginning of the page, which not every control
        can.
        """
        ...

    async def pause(self, seconds: float) -> None:
        """Wait."""
        ...
