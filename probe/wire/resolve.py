"""Asking a resolver over UDP, and over TCP when its answer was cut.

Each query has its own *unconnected* socket with IP_RECVERR. A connected one would hide replies from other
sources, which are evidence of an injector; an unconnected one without IP_RECVERR never hears ICMP errors.
After the first valid reply we stay for `linger` seconds: an injector near us is faster than the resolver,
and only the second, contradicting reply tells. An ICMP error can be forged as easily as a reply: alone it
ends the wait, but only after `ICMP_GRACE`, so that it cannot hide a true reply that was on its way. A question
that nobody answers is sent once more, from the same socket; one with a limited IP TTL is one packet.

Everything read is bounded: `MOST_REPLIES` datagrams are kept, of which `MOST_BAD_REPLIES` may have a
problem, so that a flood of junk leaves room for the truth; `MOST_DATAGRAMS` are read at all.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
import time
from dataclasses import dataclass, field

from measurements.model import DnsReply, Failure, IcmpError
from probe.network import Spent
from probe.wire.dns import HEADER, MALFORMED, TRUNCATED, Query, failure_of_reply, read_reply
from probe.wire.failures import StepFailed, failure_of, failure_of_errno
from probe.wire.sockets import (
    Endpoint,
    hear_icmp,
    hear_ttl,
    open_socket,
    own_port,
    read_icmp,
    receive_datagram,
    set_ttl,
)
from probe.wire.tcp import Stream, open_stream

ICMP_GRACE = 0.3
PATIENCE = 0.4  # of the time: a packet may be lost, and so a query is sent once more, as every system's resolver does
MOST_REPLIES = 32
MOST_BAD_REPLIES = 24
MOST_ICMP = 16
MOST_DATAGRAMS = 1024
DATAGRAM = 4096
LONGEST_MESSAGE = 64 * 1024


@dataclass(slots=True)
class Heard:
    """All that came back for one query, in order of arrival; filled while the asking goes on."""

    replies: list[DnsReply] = field(default_factory=list)
    icmp: list[IcmpError] = field(default_factory=list)
    full: bool = False  # a bound was reached
    protocol: str = "udp"
    detail: str = ""
    local_port: int | None = None  # that the question over UDP was sent from

    @property
    def valid(self) -> DnsReply | None:
        return next((reply for reply in self.replies if reply.problem is None), None)


async def ask(
    query: Query, server: Endpoint, heard: Heard, spent: Spent, *, timeout: float, linger: float, ip_ttl: int | None
) -> None:
    """Ask over UDP, then over TCP if the first valid reply was cut; raise what the lookup failed with."""
    began = time.perf_counter()
    question = _UdpQuestion(query, server, heard, spent)
    await question.ask(timeout=timeout, linger=linger, ip_ttl=ip_ttl)
    first = heard.valid
    if first is not None and first.truncated:
        heard.protocol = "tcp"
        heard.replies[:] = [_cut(r) if r.truncated and r.problem is None else r for r in heard.replies]
        left = max(0.0, timeout - first.arrival)
        await _ask_tcp(query, server, heard, spent, began, left)
    raise_failure(heard, query)


def raise_failure(heard: Heard, query: Query) -> None:
    """Raise the failure of the first valid reply, or why there was none."""
    first = heard.valid
    if first is not None:
        failure = failure_of_reply(first, query.rtype)
        if failure is not None:
            raise StepFailed(failure, heard.detail)
    elif heard.icmp:
        error = heard.icmp[0].error
        raise StepFailed(failure_of_errno(getattr(errno, error, 0)), f"ICMP error: {error}")
    else:
        raise StepFailed(Failure.TIMEOUT, "no reply that answers the question" if heard.replies else "no reply")


def _cut(reply: DnsReply) -> DnsReply:
    return DnsReply(
        arrival=reply.arrival,
        source=reply.source,
        ip_ttl=reply.ip_ttl,
        problem=TRUNCATED,
        rcode=reply.rcode,
        authenticated=reply.authenticated,
        truncated=True,
        ede=reply.ede,
        size=reply.size,
    )


class _UdpQuestion:
    """One query on the wire, from its own socket."""

    def __init__(self, query: Query, server: Endpoint, heard: Heard, spent: Spent) -> None:
        self._query = query
        self._server = server
        self._heard = heard
        self._spent = spent
        self._datagrams = 0
        self._bad = 0
        self._stirred = asyncio.Event()  # a valid reply, or an ICMP error
        self._answered = asyncio.Event()

    async def ask(self, *, timeout: float, linger: float, ip_ttl: int | None) -> None:
        loop = asyncio.get_running_loop()
        with open_socket(self._server.family, socket.SOCK_DGRAM) as sock:
            hear_ttl(sock)
            hear_icmp(sock)
            if ip_ttl is not None:
                set_ttl(sock, ip_ttl)
            self._sock = sock
            self._began = time.perf_counter()
            self._send()
            self._heard.local_port = own_port(sock)
            self._spent.connections += 1
            loop.add_reader(sock, self._ready)
            try:
                await self._wait(timeout, again=ip_ttl is None)
                if linger > 0 and self._answered.is_set():
                    await asyncio.sleep(linger)
            finally:
                loop.remove_reader(sock)

    def _send(self) -> None:
        self._sock.sendto(self._query.wire, self._server.pair)
        self._spent.sent += len(self._query.wire)

    async def _wait(self, timeout: float, *, again: bool) -> None:
        """Wait for a valid reply, or a little longer than for an ICMP error; send the same query `again` in between."""
        try:
            async with asyncio.timeout(timeout):
                if again and not await self._stirs_within(timeout * PATIENCE):
                    with contextlib.suppress(OSError):  # the first is still on its way
                        self._send()
                await self._stirred.wait()
                async with asyncio.timeout(ICMP_GRACE):
                    await self._answered.wait()
        except TimeoutError:
            return

    async def _stirs_within(self, seconds: float) -> bool:
        try:
            async with asyncio.timeout(seconds):
                return await self._stirred.wait()
        except TimeoutError:
            return False

    def _ready(self) -> None:
        self._read_errors()
        while self._datagrams < MOST_DATAGRAMS:
            try:
                data, ttl, source = receive_datagram(self._sock, DATAGRAM)
            except BlockingIOError:
                return
            except OSError:  # an ICMP error is told a second time here; the error queue has the details
                self._read_errors()
                continue
            self._datagrams += 1
            self._spent.received += len(data)
            self._keep(data, ttl, source)
        self._heard.full = True
        asyncio.get_running_loop().remove_reader(self._sock)

    def _read_errors(self) -> None:
        errors = read_icmp(self._sock, self._elapsed())
        room = MOST_ICMP - len(self._heard.icmp)
        self._heard.icmp.extend(errors[:room])
        if errors:
            self._stirred.set()

    def _keep(self, data: bytes, ttl: int | None, source: tuple[str, int]) -> None:
        if len(self._heard.replies) >= MOST_REPLIES or (
            self._bad >= MOST_BAD_REPLIES and not self._could_be_true(data)
        ):
            self._heard.full = True
            return
        reply = read_reply(
            data,
            self._query,
            source=str(Endpoint(*source)),
            arrival=self._elapsed(),
            foreign=source != self._server.pair,
            ip_ttl=ttl,
        )
        if reply.problem is None:
            self._answered.set()
            self._stirred.set()
        elif self._bad >= MOST_BAD_REPLIES:
            return
        else:
            self._bad += 1
        self._heard.replies.append(reply)

    def _could_be_true(self, data: bytes) -> bool:
        return len(data) >= HEADER and data[:2] == self._query.wire[:2]

    def _elapsed(self) -> float:
        return time.perf_counter() - self._began


async def _ask_tcp(query: Query, server: Endpoint, heard: Heard, spent: Spent, began: float, timeout: float) -> None:
    """Ask again over TCP (RFC 7766); the one message that comes back joins the replies."""
    try:
        async with asyncio.timeout(timeout):
            stream = await open_stream(server, spent)
            try:
                await stream.send(len(query.wire).to_bytes(2, "big") + query.wire)
                data = await _read_message(stream)
            finally:
                stream.close()
    except (OSError, EOFError) as error:
        failure, detail = failure_of(error)
        raise StepFailed(failure, f"cut over UDP, then over TCP: {detail}") from None
    reply = read_reply(data, query, source=str(server), arrival=time.perf_counter() - began)
    heard.replies.append(reply)
    if reply.problem is not None:
        why = "malformed" if reply.problem == MALFORMED else "not to our question"
        raise StepFailed(Failure.DNS_MISBEHAVING, f"cut over UDP, then over TCP the reply was {why}")


async def _read_message(stream: Stream) -> bytes:
    size = int.from_bytes(await _read_exactly(stream, 2), "big")
    return await _read_exactly(stream, min(size, LONGEST_MESSAGE))


async def _read_exactly(stream: Stream, size: int) -> bytes:
    data = bytearray()
    while len(data) < size:
        part = await stream.receive(size - len(data))
        if not part:
            raise EOFError(f"the connection ended after {len(data)} of {size} bytes")
        data += part
    return bytes(data)
