"""What the agent owns and lends to every measurement.

Some things are dear to make (the trust store, TLS contexts) or worth keeping (connections to resolvers
over HTTPS, the control's client); a `Wire` makes them once. A measurement gets a `SocketNetwork` on it,
which opens everything else itself and closes it at its end.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Protocol

from measurements import nat64
from measurements.model import AnyObservation, Failure, PaceSoFar, Preconditions
from probe.network import Limits, Peers, Route, Spent
from probe.recently import Recently
from probe.wire.certificates import Authorities, TrustStore, is_address
from probe.wire.dns import make_query
from probe.wire.doh import DohClient
from probe.wire.failures import StepFailed
from probe.wire.lag import LagSampler
from probe.wire.resolve import Heard, ask
from probe.wire.routes import public_peer, route_to
from probe.wire.socket_network import SocketNetwork
from probe.wire.sockets import Endpoint
from probe.wire.tcp import Stream, open_stream
from probe.wire.tls import Contexts

MOST_ADDRESSES = 3  # of a DoH resolver that is given by name


class PrivateAddresses(Protocol):
    """What the wire asks of a bogon list."""

    def why(self, address: str) -> str | None: ...


class Report(Protocol):
    """What the wire reads of a control's answer (`probe.control.client.ControlReport`)."""

    @property
    def url(self) -> str: ...
    @property
    def failure(self) -> Failure | None: ...
    @property
    def detail(self) -> str: ...
    @property
    def resolved(self) -> tuple[str, ...]: ...
    @property
    def dns_failure(self) -> str | None: ...
    @property
    def ip_asns(self) -> tuple[tuple[str, int], ...]: ...
    @property
    def client_address(self) -> str | None: ...
    @property
    def steps(self) -> tuple[AnyObservation, ...]: ...


class Control(Protocol):
    """What the wire asks of a control's client (`probe.control.client.ControlClient`)."""

    nat64: str | None

    async def ask(
        self,
        url: str,
        endpoints: Sequence[str],
        timeout: float,
        spent: Spent,
        *,
        quic: bool = False,
        page: bool = False,
    ) -> Report: ...


class Wire:
    """The shared half of the wire: `async with Wire(...) as wire: net = wire.network()`."""

    def __init__(
        self,
        *,
        peers: Peers,
        limits: Limits,
        bogons: PrivateAddresses,
        ca_file: Path | None = None,
        ipv6: bool = True,
        control: Control | None = None,
        pcap: Path | None = None,
    ) -> None:
        authorities = Authorities.find(ca_file)
        self.peers = peers
        self.limits = limits
        self.bogons = bogons
        self.ipv6 = ipv6
        self.control = control
        self.pcap = pcap  # where the packets of a capture are kept
        self.contexts = Contexts()
        self.trust = TrustStore(authorities)
        self.lag = LagSampler()
        self.own_addresses = Recently()
        self.nat64: str | None = None  # the prefix by which IPv4 is reached where there is no route for it
        self._client_context = authorities.client_context()
        self._client_context.set_alpn_protocols(["h2", "http/1.1"])
        self._spent = Spent()  # by what is shared; each measurement counts its own part about
        self._doh: dict[str, DohClient] = {}

    async def __aenter__(self) -> Wire:
        self.lag.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            for client in self._doh.values():
                await client.aclose()
            self._doh.clear()
        finally:
            await self.lag.stop()

    def network(
        self,
        *,
        preconditions: Preconditions | None = None,
        full_body: bool = False,
        pace: PaceSoFar | None = None,
    ) -> SocketNetwork:
        """Make the Network of one measurement."""
        found = preconditions or Preconditions()
        return SocketNetwork(self, preconditions=found, full_body=full_body, pace=pace or PaceSoFar())

    def route(self, *, ipv6: bool) -> Route | None:
        """Say which way packets to the public internet take now, and remember whose address they carry."""
        found = route_to(public_peer(self.peers, ipv6=ipv6)) if self.ipv6 or not ipv6 else None
        if found is not None and found.source is not None:
            self.own_addresses.add(found.source)
        return found

    def reach_ipv4_through(self, prefix: str | None) -> None:
        """Reach IPv4 addresses through a NAT64 where there is no route for them: controls and resolvers too."""
        self.nat64 = prefix
        if self.control is not None:
            self.control.nat64 = None if self.route(ipv6=False) else prefix

    def doh(self, url: str) -> DohClient:
        """Return the shared client of a DoH resolver."""
        client = self._doh.get(url)
        if client is None:
            client = self._doh[url] = DohClient(url, self._client_context, self._dial)
        return client

    async def _dial(self, host: str, port: int) -> Stream:
        """Open a shared connection; a host given by name has its first few addresses tried in turn."""
        error: OSError | None = None
        for address in (await self._find_addresses(host))[:MOST_ADDRESSES]:
            try:
                stream = await open_stream(Endpoint(self._reachable(address), port), self._spent)
            except OSError as failed:
                error = failed
            else:
                self.own_addresses.add(stream.own_address)
                return stream
        raise error or StepFailed(Failure.NO_DNS_ANSWER, f"no address is known for {host}")

    def _reachable(self, address: str) -> str:
        translated = self.nat64 is not None and ":" not in address and self.route(ipv6=False) is None
        return nat64.embed(address, self.nat64) if translated and self.nat64 else address

    async def _find_addresses(self, host: str) -> list[str]:
        """Find the addresses of a DoH resolver that is given by name, by asking the local resolver ourselves."""
        if is_address(host):
            return [host]
        local = self.peers.local
        if local is None or local.is_doh:
            raise StepFailed(Failure.NO_DNS_ANSWER, f"no local resolver is known that could find {host}")
        server = Endpoint.parse(local.address)
        for rtype in ("A", "AAAA") if self.ipv6 else ("A",):
            heard = Heard()
            try:
                await ask(
                    make_query(host, rtype),
                    server,
                    heard,
                    self._spent,
                    timeout=self.limits.dns_timeout / 2,
                    linger=0.0,
                    ip_ttl=None,
                )
            except StepFailed as failed:
                failure = failed
                continue
            assert heard.valid is not None
            return [a.data for a in heard.valid.answers if a.rtype == rtype]
        raise StepFailed(failure.failure, f"finding {host}: {failure.detail}")
