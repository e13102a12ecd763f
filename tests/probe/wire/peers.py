"""Peers for the wire's tests: real servers, and hostile ones, on loopback."""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
import subprocess
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, TypeVar

import dns.message
import dns.rrset
import trustme

from measurements.model import Preconditions, View
from probe.network import Limits, Peers, Resolver
from probe.wire import SocketNetwork, Wire
from probe.wire.sockets import hear_ttl, receive_datagram, set_ttl

T = TypeVar("T")
Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run a test's coroutine, with a bound of its own."""

    async def bounded() -> T:
        async with asyncio.timeout(60):
            return await work

    return asyncio.run(bounded())


class NoBogons:
    def why(self, address: str) -> str | None:
        return "the test's own" if address.startswith("10.") else None


@asynccontextmanager
async def network(
    *,
    ca_file: Path | None = None,
    limits: Limits | None = None,
    peers: Peers | None = None,
    preconditions: Preconditions | None = None,
    full_body: bool = False,
    ipv6: bool = True,
) -> AsyncIterator[SocketNetwork]:
    """One measurement on a wire of its own."""
    async with (
        Wire(
            peers=peers or Peers(None), limits=limits or Limits(), bogons=NoBogons(), ca_file=ca_file, ipv6=ipv6
        ) as wire,
        wire.network(preconditions=preconditions, full_body=full_body) as net,
    ):
        yield net


# -- DNS


class UdpPeer:
    """A UDP socket whose `reply` is called with (peer, datagram, source, TTL)."""

    def __init__(self, reply: Callable[[UdpPeer, bytes, Any, int | None], None], address: str = "127.0.0.1") -> None:
        self.sock = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.bind((address, 0))
        self.sock.setblocking(False)
        hear_ttl(self.sock)
        self.port = self.sock.getsockname()[1]
        self.queries: list[dns.message.Message] = []
        self.ttls: list[int | None] = []
        self._reply = reply

    @property
    def resolver(self) -> Resolver:
        address = self.sock.getsockname()[0]
        return Resolver(f"[{address}]:{self.port}" if ":" in address else f"{address}:{self.port}", View.LOCAL)

    def __enter__(self) -> UdpPeer:
        asyncio.get_running_loop().add_reader(self.sock, self._ready)
        return self

    def __exit__(self, *unused: object) -> None:
        asyncio.get_running_loop().remove_reader(self.sock)
        self.sock.close()

    def _ready(self) -> None:
        data, ttl, source = receive_datagram(self.sock, 65535)
        self.queries.append(dns.message.from_wire(data))
        self.ttls.append(ttl)
        self._reply(self, data, source, ttl)

    def send(self, data: bytes, to: Any, *, ttl: int | None = None) -> None:
        if ttl is not None:
            set_ttl(self.sock, ttl)
        self.sock.sendto(data, to)


def answer(query: bytes, *addresses: str, rcode: int = 0, flags: int = 0) -> bytes:
    """The reply to a query for A or AAAA."""
    asked = dns.message.from_wire(query)
    reply = dns.message.make_response(asked)
    reply.set_rcode(dns.rcode.Rcode(rcode))
    reply.flags |= flags
    if addresses:
        kind = "AAAA" if ":" in addresses[0] else "A"
        reply.answer.append(dns.rrset.from_text(asked.question[0].name, 60, "IN", kind, *addresses))
    return reply.to_wire()


# -- TCP


@asynccontextmanager
async def tcp_peer(
    serve: Serve, context: ssl.SSLContext | None = None, address: str = "127.0.0.1"
) -> AsyncIterator[int]:
    """A TCP server; yields its port."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await serve(reader, writer)
        except (ConnectionError, ssl.SSLError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(handle, address, 0, ssl=context, limit=1 << 22)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await asyncio.sleep(0.01)


def reset(writer: asyncio.StreamWriter) -> None:
    """End a connection with RST."""
    sock = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("=ii", 1, 0))
    writer.transport.abort()


async def read_request(reader: asyncio.StreamReader) -> bytes:
    return await reader.readuntil(b"\r\n\r\n")


def responds(response: bytes, pause: float = 0.0) -> Serve:
    """Answer any request with these bytes."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(response)
        await writer.drain()
        await asyncio.sleep(pause)

    return serve


def server_context(certificate: trustme.LeafCert, *, alpn: tuple[str, ...] = ()) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    if alpn:
        context.set_alpn_protocols(list(alpn))
    return context


# -- real servers


def free_port(kind: socket.SocketKind = socket.SOCK_STREAM) -> int:
    with socket.socket(socket.AF_INET, kind) as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def wait_for(port: int) -> None:
    for _ in range(500):
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.02)
        else:
            return
    raise AssertionError(f"nothing listens on port {port}")


@contextmanager
def process(*command: str) -> Iterator[subprocess.Popen[bytes]]:
    running = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield running
    finally:
        running.terminate()
        running.wait(10)
