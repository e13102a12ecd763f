"""The Network over real sockets.

Every verb is one call of `Recorder.step`, which records exactly one observation. A step that stands on
another one finds that one's stream by its id. A stream serves one step at a time, and a step on a stream
that does not stand is a failed observation, not an error.
"""

from __future__ import annotations

import asyncio
import importlib
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from types import TracebackType
from typing import TYPE_CHECKING

import httpx

from measurements import nat64
from measurements.model import (
    AnyObservation,
    Capture,
    ControlQuery,
    DnsLookup,
    Failure,
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
from probe.network import CLASSIC, LARGE, Limits, Network, Peers, Resolver, Route, Spent
from probe.wire.dns import MOST_ALIASES, MOST_ANSWERS, make_query, read_reply
from probe.wire.failures import StepFailed
from probe.wire.hops import Answer, send_data, send_datagram, send_syn
from probe.wire.http import Page, exchange, plain_request
from probe.wire.recorder import Facts, Recorder
from probe.wire.resolve import Heard, ask, raise_failure
from probe.wire.routes import public_peer, source_address
from probe.wire.sockets import Endpoint
from probe.wire.tcp import SAMPLE_WINDOW, WIDE_WINDOW, Stream, open_stream
from probe.wire.tls import client_hello, peer_chain, sent_name, shake_hands
from probe.wire.transfer import Progress, transfer

if TYPE_CHECKING:
    from probe.wire.quic_steps import QuicSteps
    from probe.wire.wire import Wire

HOP_PROBES = ("syn", "hello", "request", "initial")


class SocketNetwork(Network):
    """One measurement's sockets and what they saw (`probe.network.Network`)."""

    def __init__(self, wire: Wire, *, preconditions: Preconditions, full_body: bool, pace: PaceSoFar) -> None:
        self._wire = wire
        self._preconditions = preconditions
        self._full_body = full_body
        self._pace = pace
        self._spent = Spent()
        self._recorder = Recorder()
        self._streams: dict[int, Stream] = {}
        self._opened: list[Stream] = []
        self._own_addresses: set[str] = set()
        self._ports: set[int] = set()  # that packets of limited TTL were sent from
        self._routes: dict[bool, str | None] = {}  # by whether IPv6: our own address towards the public
        self._quic: QuicSteps | None = None  # made when it is first needed: aioquic is dear to import
        self._lag = wire.lag.watch()

    async def __aenter__(self) -> SocketNetwork:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._lag.stop()
        for stream in self._opened:
            stream.close()
        self._streams.clear()
        if self._quic is not None:
            self._quic.close()

    # -- what is known

    @property
    def peers(self) -> Peers:
        return self._wire.peers

    @property
    def limits(self) -> Limits:
        return self._wire.limits

    @property
    def spent(self) -> Spent:
        return self._spent

    @property
    def preconditions(self) -> Preconditions:
        return self._preconditions

    @property
    def observations(self) -> Sequence[AnyObservation]:
        return self._recorder.observations

    @property
    def full_body(self) -> bool:
        return self._full_body

    @property
    def pace(self) -> PaceSoFar:
        return self._pace

    @property
    def loop_lag(self) -> float:
        """The longest time that the event loop was late during this measurement, in seconds."""
        return self._lag.worst

    @property
    def own_addresses(self) -> frozenset[str]:
        """This machine's addresses, as its sockets and the control saw them; for redaction only."""
        for ipv6 in (False, True):
            self.has_route(ipv6=ipv6)
        routed = {address for address in self._routes.values() if address is not None}
        return frozenset({*self._own_addresses, *self._wire.own_addresses, *routed})

    def is_private(self, address: str) -> bool:
        return self._wire.bogons.why(address) is not None

    def has_route(self, *, ipv6: bool) -> bool:
        if ipv6 and not self._wire.ipv6:
            return False
        if ipv6 not in self._routes:
            self._routes[ipv6] = source_address(public_peer(self.peers, ipv6=ipv6))
        return self._routes[ipv6] is not None

    def route(self, *, ipv6: bool) -> Route | None:
        return self._wire.route(ipv6=ipv6)

    def reach_ipv4_through(self, prefix: str | None) -> None:
        self._wire.reach_ipv4_through(prefix)

    def _through(self, address: str) -> str | None:
        """Return the IPv6 address by which the network's NAT64 reaches an IPv4 address, where nothing else does."""
        prefix = self._wire.nat64
        if prefix is None or ":" in address or self.has_route(ipv6=False):
            return None
        with suppress(ValueError):  # it is no address, which the step itself will say
            return nat64.embed(address, prefix)
        return None

    # -- verbs

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
        server = None if resolver.is_doh else Endpoint.parse(resolver.address)
        heard = Heard(protocol="doh" if server is None else "udp")
        facts: Facts = {"resolver": resolver.address, "name": name, "rtype": rtype, "ip_ttl": ip_ttl}
        limit = self.limits.dns_timeout if timeout is None else timeout
        if server is not None and (own := source_address(server)) is not None:
            self._own_addresses.add(own)  # an ICMP error may come from this machine itself

        async def work() -> None:
            try:
                if server is None:
                    await self._ask_doh(name, rtype, resolver.address, heard, checking_disabled, limit)
                else:
                    await ask(
                        make_query(name, rtype, checking_disabled=checking_disabled),
                        server,
                        heard,
                        self._spent,
                        timeout=limit,
                        linger=self.limits.dns_linger if linger is None else linger,
                        ip_ttl=ip_ttl,
                    )
            finally:
                facts.update(replies=tuple(heard.replies), icmp=tuple(heard.icmp), protocol=heard.protocol)
                self._note_port(heard.local_port)
                self._note_dns_limits(heard)

        facts["protocol"] = heard.protocol
        return await self._recorder.step(
            DnsLookup, facts, work, cause=cause, view=view or resolver.view, purpose=purpose, limit=None
        )

    async def _ask_doh(
        self, name: str, rtype: str, url: str, heard: Heard, checking_disabled: bool, timeout: float
    ) -> None:
        query = make_query(name, rtype, message_id=0, checking_disabled=checking_disabled)
        began = time.perf_counter()
        data = await self._wire.doh(url).ask(query, self._spent, timeout=timeout)
        reply = read_reply(data, query, source=url, arrival=time.perf_counter() - began)
        heard.replies.append(reply)
        if reply.problem is not None:
            raise StepFailed(Failure.DNS_MISBEHAVING, f"the answer is no reply to the question: {reply.problem}")
        raise_failure(heard, query)

    def _note_dns_limits(self, heard: Heard) -> None:
        if heard.full:
            self._reach("dns_replies")
        for reply in heard.replies:
            if len(reply.answers) >= MOST_ANSWERS or sum(a.rtype == "CNAME" for a in reply.answers) >= MOST_ALIASES:
                self._reach("dns_answers")

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
        opened: list[Stream] = []
        through = self._through(address)
        window = WIDE_WINDOW if wide else None if self._full_body else SAMPLE_WINDOW

        async def work() -> None:
            peer = _endpoint(through or address, port)
            stream = await open_stream(peer, self._spent, window=window, mss=mss)
            self._opened.append(stream)
            opened.append(stream)
            self._own_addresses.add(stream.own_address)

        limit = self.limits.tcp_timeout if timeout is None else timeout
        facts: Facts = {"address": address, "port": port, "mss": mss, "through": through}
        step = await self._recorder.step(TcpConnect, facts, work, cause=cause, view=view, purpose=purpose, limit=limit)
        if step.failure is None:
            self._streams[step.id] = opened[0]
        return step

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
        if hello not in (CLASSIC, LARGE):
            raise ValueError(f"{hello!r} is no shape of a ClientHello; use {CLASSIC!r} or {LARGE!r}")
        context = self._wire.contexts.get(alpn, hello)
        sni = sent_name(name)
        verified = name if verify is None else verify
        facts: Facts = {
            "address": over.address,
            "port": over.port,
            "name": sni,
            "hello": hello,
            "alpn_offered": alpn,
            "verified_name": verified,
        }

        async def work() -> None:
            with self._using(over) as stream:
                if stream.tls is not None:
                    raise StepFailed(Failure.INVALID_ARGUMENT, "TLS was begun on this connection before")
                before = stream.received
                try:
                    await shake_hands(stream, context, sni)
                except BaseException:
                    stream.close()
                    raise
                finally:
                    facts.update(hello_size=stream.hello_size, received=stream.received - before)
                self._judge(stream, verified, facts)

        step = await self._recorder.step(
            TlsHandshake,
            facts,
            work,
            cause=over,
            view=over.view,
            purpose=purpose or over.purpose,
            limit=self.limits.tls_timeout if timeout is None else timeout,
        )
        if step.ended and over.id in self._streams:
            self._streams[step.id] = self._streams[over.id]
        return step

    def _judge(self, stream: Stream, verified: str | None, facts: Facts) -> None:
        """Keep what the handshake agreed on, and judge the chain; raises StepFailed when it is bad."""
        tls = stream.tls
        assert tls is not None
        cipher = tls.cipher()
        facts.update(
            alpn=tls.selected_alpn_protocol(), version=tls.version(), cipher=None if cipher is None else cipher[0]
        )
        chain, cut = peer_chain(tls, self.limits)
        self._judge_chain(chain, cut, verified, facts)

    def _judge_chain(self, chain: tuple[bytes, ...], cut: bool, verified: str | None, facts: Facts) -> None:
        facts["chain"] = chain
        if cut:
            self._reach("chain")
        now = time.time() + (self._preconditions.clock_offset or 0.0)
        judgement = self._wire.trust.judge(facts["chain"], verified, now)
        facts.update(certificate_error=judgement.error, issuer=judgement.issuer)
        if judgement.failure is not None:
            raise StepFailed(judgement.failure)

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
        verified = name if verify is None else verify
        facts: Facts = {"address": address, "port": port, "name": name, "verified_name": verified}
        facts["alpn_offered"] = alpn
        limit = self.limits.tls_timeout if timeout is None else timeout
        quic = await self._quic_steps()
        return await quic.shake_hands(
            lambda: _endpoint(self._through(address) or address, port),
            facts,
            alpn,
            cause=cause,
            view=view,
            purpose=purpose,
            limit=limit,
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
        facts: Facts = {"address": address, "port": port, "probe": "versions"}
        quic = await self._quic_steps()
        return await quic.ask_versions(
            lambda: _endpoint(self._through(address) or address, port),
            facts,
            cause=cause,
            view=view,
            purpose=purpose,
            limit=timeout,
        )

    async def _quic_steps(self) -> QuicSteps:
        """Make the QUIC verbs; the first import takes a third of a second, which must not hold up other steps."""
        if self._quic is None:
            module = await asyncio.to_thread(importlib.import_module, "probe.wire.quic_steps")
            if self._quic is not None:
                return self._quic
            self._quic = module.QuicSteps(
                self._recorder, self._spent, self.limits, self._own_addresses, self._judge_chain
            )
        return self._quic

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
        limit = self.limits.http_timeout if timeout is None else timeout
        wanted = body_limit if body_limit is not None else None if self._full_body else self.limits.body_routine
        facts: Facts = {"url": url, "address": over.address, "port": over.port, "host": host or ""}

        async def work() -> None:
            page = Page()
            parsed = _parse_url(url)
            facts["host"] = host or parsed.netloc.decode("ascii")
            if isinstance(over, QuicHandshake):
                try:
                    quic = await self._quic_steps()
                    await quic.exchange(
                        over, parsed, page, facts, host=host, headers=headers or {}, wanted=wanted, timeout=limit
                    )
                finally:
                    facts.update(page.facts())
                    self._note_page_limits(page)
                return
            with self._using(over) as stream:
                before = stream.received
                if wanted is None or wanted > self.limits.body_routine:
                    stream.widen()
                try:
                    await exchange(
                        stream,
                        parsed,
                        page,
                        host=host,
                        headers=headers or {},
                        http2=isinstance(over, TlsHandshake) and over.alpn == "h2",
                        limits=self.limits,
                        wanted=wanted,
                        timeout=limit,
                    )
                finally:
                    facts.update(page.facts(), wire_bytes=stream.received - before)
                    self._note_page_limits(page)

        return await self._recorder.step(
            HttpExchange, facts, work, cause=over, view=over.view, purpose=purpose or over.purpose, limit=None
        )

    def _note_page_limits(self, page: Page) -> None:
        if page.headers_cut:
            self._reach("headers")
        if page.truncated in ("wire", "decoded", "time", "cpu"):
            self._reach(f"body_{page.truncated}")

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
        progress = Progress(max(wanted if enough is None else enough, 1))
        facts: Facts = {"url": url, "address": over.address, "port": over.port, "host": host or "", "wanted": wanted}
        facts |= {"name": over.name if isinstance(over, TlsHandshake) else None, "pair": pair}

        async def work() -> None:
            try:
                parsed = _parse_url(url)
                facts["host"] = host or parsed.netloc.decode("ascii")
                with self._using(over) as stream:
                    await transfer(
                        stream,
                        parsed,
                        progress,
                        host=host,
                        http2=isinstance(over, TlsHandshake) and over.alpn == "h2",
                        timeout=self.limits.http_timeout if timeout is None else timeout,
                        stall=stall,
                    )
            finally:
                facts.update(progress.facts())

        return await self._recorder.step(
            Transfer, facts, work, cause=over, view=over.view, purpose=purpose or over.purpose, limit=None
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
        if probe not in HOP_PROBES:
            raise ValueError(f"{probe!r} is no kind of hop; use one of {', '.join(HOP_PROBES)}")
        answer = Answer()
        facts: Facts = {"address": address, "port": port, "probe": probe, "ttl": ttl, "name": name}

        async def work() -> None:
            peer = _endpoint(self._through(address) or address, port)
            try:
                if probe == "syn":
                    await send_syn(peer, ttl, answer, self._spent, timeout)
                elif probe == "initial":
                    from probe.wire.quic import first_datagram

                    await send_datagram(peer, ttl, first_datagram(sent_name(name)), answer, self._spent, timeout)
                else:
                    data = self._first_data(probe, name, address)
                    await send_data(peer, ttl, data, answer, self._spent, timeout)
            finally:
                facts.update(answer.facts())
                self._note_port(answer.local_port)

        return await self._recorder.step(
            Hop, facts, work, cause=cause, view=View.FOLLOW_UP, purpose=purpose, limit=None
        )

    def _note_port(self, port: int | None) -> None:
        if port is not None:
            self._ports.add(port)

    @asynccontextmanager
    async def capture(self, peers: Sequence[str]) -> AsyncIterator[None]:
        from probe.wire.capture import Capturing

        capturing = Capturing([Endpoint.parse(peer) for peer in peers], pcap=self._wire.pcap, ports=self._ports)
        facts: Facts = {"peers": tuple(peers), "means": "none"}

        async def finish() -> None:
            await capturing.finish(self.own_addresses, self._recorder.zero)
            facts.update(means=capturing.means, packets=capturing.packets, cut=capturing.cut, detail=capturing.detail)

        self._ports.clear()
        try:
            await capturing.start(self.limits.measurement_timeout)
            yield
            await self._recorder.step(Capture, facts, finish, cause=None, view=View.FOLLOW_UP, purpose=None, limit=None)
        finally:
            await capturing.abandon()

    def _first_data(self, probe: str, name: str | None, address: str) -> bytes:
        if probe == "request":
            return plain_request(name or Endpoint(address, 80).host)
        return client_hello(self._wire.contexts.get(("h2", "http/1.1"), CLASSIC), sent_name(name))

    async def ask_control(
        self,
        url: str,
        endpoints: Sequence[str],
        *,
        quic: bool = False,
        page: bool = False,
        timeout: float | None = None,
    ) -> ControlQuery:
        facts: Facts = {"url": url, "endpoints": tuple(endpoints)}
        steps: list[AnyObservation] = []

        async def work() -> None:
            control = self._wire.control
            if control is None:
                raise StepFailed(Failure.INVALID_ARGUMENT, "no control is configured")
            report = await control.ask(url, endpoints, limit, self._spent, quic=quic, page=page)
            facts.update(
                url=report.url,
                resolved=report.resolved,
                dns_failure=report.dns_failure,
                ip_asns=report.ip_asns,
                detail=report.detail,
            )
            if report.client_address is not None:
                self._own_addresses.add(report.client_address)
            if report.failure is not None:
                raise StepFailed(report.failure, report.detail)
            steps.extend(report.steps)

        limit = self.limits.control_timeout if timeout is None else timeout
        query = await self._recorder.step(
            ControlQuery, facts, work, cause=None, view=View.CONTROL, purpose=None, limit=limit + 1.0
        )
        for step in steps:
            self._recorder.adopt(step, query)
        return query

    async def pause(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    # -- how every verb works

    @contextmanager
    def _using(self, over: TcpConnect | TlsHandshake) -> Iterator[Stream]:
        """Lend the stream of an earlier step, to one step at a time; raises StepFailed if it does not stand."""
        stream = self._streams.get(over.id)
        if stream is None or stream.closed:
            raise StepFailed(Failure.INVALID_ARGUMENT, f"the connection of step {over.id} does not stand")
        if stream.busy:
            raise StepFailed(Failure.INVALID_ARGUMENT, f"the connection of step {over.id} is in use")
        stream.busy = True
        try:
            yield stream
        finally:
            stream.busy = False

    def _reach(self, limit: str) -> None:
        if limit not in self._spent.limits:
            self._spent.limits.append(limit)


def _endpoint(address: str, port: int) -> Endpoint:
    try:
        return Endpoint.of(address, port)
    except ValueError as error:
        raise StepFailed(Failure.INVALID_ARGUMENT, str(error)) from None


def _parse_url(url: str) -> httpx.URL:
    parsed = httpx.URL(url)
    if parsed.scheme not in ("http", "https") or not parsed.host:
        raise StepFailed(Failure.INVALID_ARGUMENT, f"{url!r} is not an http or https URL with a host")
    return parsed
