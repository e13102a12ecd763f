"""QUIC peers for the wire's tests: a real HTTP/3 server, and hostile ones, on loopback."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import trustme
from aioquic.asyncio.protocol import QuicConnectionProtocol
from aioquic.asyncio.server import serve
from aioquic.h3.connection import H3_ALPN, H3Connection
from aioquic.h3.events import HeadersReceived
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.events import ProtocolNegotiated, QuicEvent
from aioquic.tls import load_pem_private_key, load_pem_x509_certificates

Respond = Callable[[H3Connection, int, dict[bytes, bytes]], None]


def page(status: int, body: bytes, *headers: tuple[bytes, bytes]) -> Respond:
    """Answer every request with this page."""

    def respond(http: H3Connection, stream: int, asked: dict[bytes, bytes]) -> None:
        http.send_headers(stream, [(b":status", str(status).encode()), *headers])
        http.send_data(stream, body, end_stream=True)

    return respond


def echo(http: H3Connection, stream: int, asked: dict[bytes, bytes]) -> None:
    """Answer with what was asked."""
    body = b"<title>Asked</title>" + b"\n".join(b"%s: %s" % pair for pair in asked.items())
    page(200, body, (b"content-type", b"text/html"))(http, stream, asked)


def configuration(leaf: trustme.LeafCert, alpn: list[str] | None = None) -> QuicConfiguration:
    """Configure a server with a certificate and its chain."""
    made = QuicConfiguration(is_client=False, alpn_protocols=alpn or H3_ALPN)
    made.certificate, *made.certificate_chain = [
        certificate for blob in leaf.cert_chain_pems for certificate in load_pem_x509_certificates(blob.bytes())
    ]
    made.private_key = load_pem_private_key(leaf.private_key_pem.bytes())
    return made


class Server(QuicConnectionProtocol):
    """Speaks HTTP/3, and answers each request by `respond`."""

    respond: Respond = staticmethod(echo)
    _http: H3Connection | None = None

    def quic_event_received(self, event: QuicEvent) -> None:
        if isinstance(event, ProtocolNegotiated):
            self._http = H3Connection(self._quic)
        if self._http is None:
            return
        for told in self._http.handle_event(event):
            if isinstance(told, HeadersReceived):
                self.respond(self._http, told.stream_id, dict(told.headers))
                self.transmit()


@asynccontextmanager
async def http3_server(
    leaf: trustme.LeafCert,
    respond: Respond = echo,
    *,
    address: str = "127.0.0.1",
    port: int = 0,
    alpn: list[str] | None = None,
    retry: bool = False,
) -> AsyncIterator[int]:
    """Run a real server; yields its port."""

    def make(*arguments: Any, **named: Any) -> Server:
        protocol = Server(*arguments, **named)
        protocol.respond = respond
        return protocol

    server = await serve(address, port, configuration=configuration(leaf, alpn), create_protocol=make, retry=retry)
    try:
        transport: Any = server._transport
        yield transport.get_extra_info("sockname")[1]
    finally:
        server.close()
        await asyncio.sleep(0.01)


Answer = Callable[[bytes], list[bytes]]


@asynccontextmanager
async def udp_peer(answer: Answer, address: str = "127.0.0.1") -> AsyncIterator[tuple[int, list[bytes]]]:
    """Answer every datagram by `answer`; yields the port and what came."""
    heard: list[bytes] = []

    class Peer(asyncio.DatagramProtocol):
        def connection_made(self, transport: Any) -> None:
            self.transport = transport

        def datagram_received(self, data: bytes, source: Any) -> None:
            heard.append(data)
            loop = asyncio.get_running_loop()
            for i, reply in enumerate(answer(data)):  # not faster than a socket's buffer is emptied
                loop.call_later(i // 40 / 500, self.send, reply, source)

        def send(self, data: bytes, source: Any) -> None:
            if not self.transport.is_closing():
                self.transport.sendto(data, source)

    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(Peer, (address, 0), family=family)
    try:
        yield transport.get_extra_info("sockname")[1], heard
    finally:
        transport.close()


def silent(data: bytes) -> list[bytes]:
    return []


def junk(data: bytes) -> list[bytes]:
    return [os.urandom(size) for size in (1, 20, 1200)] + [b"", data[:300]]


def flood(data: bytes) -> list[bytes]:
    return [os.urandom(1200) for _ in range(1000)]


def other_versions(data: bytes) -> list[bytes]:
    """Claim to speak no version but one that nobody knows."""
    theirs = data[6 : 6 + data[5]]
    ours = data[7 + len(theirs) : 7 + len(theirs) + data[6 + len(theirs)]]
    head = b"\x80\0\0\0\0" + bytes([len(ours)]) + ours + bytes([len(theirs)]) + theirs
    return [head + b"\x2a\x2a\x2a\x2a"]
