"""A box in the middle that ends connections itself. Run as `python -m tests.lab.middlebox PLAN.json LOG`.

A router redirects ports 80 and 443 here. Port 80 is a transparent proxy: it passes requests on, with a
Via header, and answers for blocked names itself. Port 443 reads the ClientHello without taking it off
the socket: a name to be intercepted gets a certificate made on the spot, any other goes through untouched.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import socket
import ssl
import struct
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import TextIO

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.lab.payloads import Read, client_hello, http_host, http_response, matches
from tests.lab.scenario import Deed, HttpProxy, TlsInterception

HTTP_PORT, TLS_PORT = 3129, 3130
_SO_ORIGINAL_DST = 80
_IDLE = 30.0
_PEEK_PAUSE = 0.005

Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What the box does, and the authority in whose name it forges certificates (its key lies beside it)."""

    proxy: HttpProxy | None = None
    interception: TlsInterception | None = None
    authority: str
    work: str


def original_target(connection: socket.socket) -> tuple[str, int]:
    """Return where a redirected connection was meant to go."""
    if connection.family == socket.AF_INET:
        raw = connection.getsockopt(socket.SOL_IP, _SO_ORIGINAL_DST, 16)
        return socket.inet_ntoa(raw[4:8]), struct.unpack_from(">H", raw, 2)[0]
    raw = connection.getsockopt(socket.IPPROTO_IPV6, _SO_ORIGINAL_DST, 28)
    return socket.inet_ntop(socket.AF_INET6, raw[8:24]), struct.unpack_from(">H", raw, 2)[0]


async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Copy until either side ends."""
    with contextlib.suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()


async def join(one: Stream, other: Stream) -> None:
    """Copy both ways until the connection ends."""
    await asyncio.gather(pump(one[0], other[1]), pump(other[0], one[1]))


@contextlib.asynccontextmanager
async def accepted(connection: socket.socket, context: ssl.SSLContext | None = None) -> AsyncIterator[Stream]:
    """Make a stream of a connection that came in, under TLS when there is a context; close it in the end."""
    loop = asyncio.get_running_loop()
    opened: asyncio.Future[Stream] = loop.create_future()
    protocol = asyncio.StreamReaderProtocol(asyncio.StreamReader(), lambda *stream: opened.set_result(stream))
    await loop.connect_accepted_socket(lambda: protocol, connection, ssl=context)
    stream = await opened
    try:
        yield stream
    finally:
        stream[1].close()


async def peek(connection: socket.socket, read_name: Callable[[bytes], Read] = client_hello) -> Read:
    """Read the ClientHello, or what `read_name` reads, and leave it where it is."""
    for _ in range(int(_IDLE / _PEEK_PAUSE)):
        with contextlib.suppress(BlockingIOError):
            stream = connection.recv(65536, socket.MSG_PEEK)
            if not stream or (read := read_name(stream)).complete:
                return read if stream else Read(True)
        await asyncio.sleep(_PEEK_PAUSE)
    return Read(True)


class CertificateForger:
    """Makes server contexts with certificates for any name, once each."""

    def __init__(self, plan: Plan) -> None:
        self._issuer = x509.load_pem_x509_certificate(Path(plan.authority).read_bytes())
        key = serialization.load_pem_private_key(Path(plan.authority).with_suffix(".key").read_bytes(), None)
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        self._key = key
        self._work = Path(plan.work)
        self._contexts: dict[str, ssl.SSLContext] = {}

    def context(self, name: str) -> ssl.SSLContext:
        if name not in self._contexts:
            self._contexts[name] = self._make(name)
        return self._contexts[name]

    def _make(self, name: str) -> ssl.SSLContext:
        key, now = ec.generate_private_key(ec.SECP256R1()), datetime.datetime.now(datetime.UTC)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
            .issuer_name(self._issuer.subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=30))
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        plain = (serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        pem = key.private_bytes(serialization.Encoding.PEM, *plain)
        pem += certificate.public_bytes(serialization.Encoding.PEM)
        pem += self._issuer.public_bytes(serialization.Encoding.PEM)
        path = self._work / f"forged-{len(self._contexts)}.pem"
        path.write_bytes(pem)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(path)
        context.set_alpn_protocols(["http/1.1"])
        return context


class Box:
    """Handles connections; each method takes one, as it was accepted, to its end."""

    def __init__(self, plan: Plan, log: TextIO) -> None:
        self._plan = plan
        self._log = log
        self._forger = CertificateForger(plan)
        self._upstream = ssl.create_default_context()
        self._upstream.check_hostname = False
        self._upstream.verify_mode = ssl.CERT_NONE
        self._upstream.set_alpn_protocols(["http/1.1"])

    def _record(self, action: str, subject: str) -> None:
        self._log.write(msgspec.json.encode(Deed(by="censor", action=action, subject=subject)).decode() + "\n")

    async def http(self, connection: socket.socket) -> None:
        """Pass a request on, or answer it."""
        target = original_target(connection)
        async with accepted(connection) as client:
            request = await client[0].readuntil(b"\r\n\r\n")
            host = http_host(request).name
            if self._plan.proxy and host and matches(host, self._plan.proxy.names):
                self._record("proxy page", host)
                via = ("Server: transparent", "Via: 1.1 proxy.isp.example")
                client[1].write(http_response("403 Forbidden", self._plan.proxy.body, *via))
                return
            server = await asyncio.open_connection(*target)
            server[1].write(request.replace(b"\r\n\r\n", b"\r\nVia: 1.1 proxy.isp.example\r\n\r\n", 1))
            await join(client, server)

    async def tls(self, connection: socket.socket) -> None:
        """End TLS here for a name to be intercepted; let any other through."""
        target = original_target(connection)
        name = (await peek(connection)).name
        if self._plan.interception is None or not matches(name or "", self._plan.interception.names):
            async with accepted(connection) as client:
                await join(client, await asyncio.open_connection(*target))
            return
        pretended = name or target[0]
        self._record("tls interception", pretended)
        async with accepted(connection, self._forger.context(pretended)) as client:
            if self._plan.interception.status:
                await client[0].readuntil(b"\r\n\r\n")
                client[1].write(http_response(self._plan.interception.status, self._plan.interception.body))
                return
            server = await asyncio.open_connection(*target, ssl=self._upstream, server_hostname=pretended)
            await join(client, server)


def listen(port: int, family: socket.AddressFamily) -> socket.socket:
    """Listen on `port` of every address of one family, which is how the original target can be asked for."""
    listener = socket.create_server(("" if family == socket.AF_INET else "::", port), family=family, backlog=256)
    listener.setblocking(False)
    return listener


async def serve(listener: socket.socket, handle: Callable[[socket.socket], Awaitable[None]]) -> None:
    """Handle every connection that comes, side by side."""
    loop = asyncio.get_running_loop()

    async def one(connection: socket.socket) -> None:
        # clients reset connections that do not please them
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            await handle(connection)

    async with asyncio.TaskGroup() as group:
        while True:
            connection, _ = await loop.sock_accept(listener)
            group.create_task(one(connection))


async def serve_all(box: Box) -> None:
    async with asyncio.TaskGroup() as group:
        for family in (socket.AF_INET, socket.AF_INET6):
            group.create_task(serve(listen(HTTP_PORT, family), box.http))
            group.create_task(serve(listen(TLS_PORT, family), box.tls))
        print("ready", flush=True)


def main() -> None:
    plan = msgspec.json.decode(Path(sys.argv[1]).read_bytes(), type=Plan)
    with Path(sys.argv[2]).open("a", buffering=1) as log:
        asyncio.run(serve_all(Box(plan, log)))


if __name__ == "__main__":
    main()
