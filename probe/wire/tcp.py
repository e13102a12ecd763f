"""A TCP connection as a stream that httpcore may read and write, plain or under TLS.

asyncio's own transports report a TLS end of file as a reset, so TLS is done here, over the socket, with
`ssl.SSLObject`: reset, end of file, alert, timeout and junk stay distinct (see `tls`). A stream counts
every byte into the measurement's `Spent`, and reads within an `Allowance` when an exchange sets one, so
that neither bytes nor CPU can be overdrawn by the peer.

A stream that is closed before a handshake or an exchange ended well is closed with a reset. Else the system
would go on sending a hello that was swallowed, for minutes, and keep awake a censor that blocks for as long as
it sees the name.

A read that was cancelled has lost nothing. A write that was cut half-way has spoilt the connection, which
matters for the shared DoH connections: the stream remembers it and refuses to go on.
"""

from __future__ import annotations

import asyncio
import select
import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpcore
import httpx

from probe.network import Spent
from probe.wire.cpu import CpuMeter
from probe.wire.failures import LimitReached
from probe.wire.sockets import Endpoint, open_socket, reset_on_close

READ_SIZE = 16 * 1024
MOST_HANDSHAKE_BYTES = 256 * 1024


class Allowance:
    """What an exchange may still read: wire bytes, and seconds of CPU spent on what was read."""

    def __init__(self, wire: int, cpu: float, meter: CpuMeter) -> None:
        self.wire_left = wire
        self._cpu = cpu
        self._meter = meter

    def check(self) -> None:
        """Raise LimitReached when nothing is left."""
        if self.wire_left <= 0:
            raise LimitReached("wire")
        if self._meter.used > self._cpu:
            raise LimitReached("cpu")


SAMPLE_WINDOW = 16 * 1024
WHOLE_WINDOW = 1024 * 1024
WIDE_WINDOW = 256 * 1024  # asked for before the connect: one widened later never passes 64 KiB (RFC 7323, 2.2)


class Stream(httpcore.AsyncNetworkStream):
    """One connected socket, plain or under TLS."""

    def __init__(self, sock: socket.socket, peer: Endpoint, spent: Spent) -> None:
        self.peer = peer
        self.tls: ssl.SSLObject | None = None
        self.received = 0
        self.sent = 0
        self.hello_size = 0
        self.first_bytes = b""
        self.last_arrival = time.perf_counter()
        self.allowance: Allowance | None = None
        self.http: httpx.AsyncBaseTransport | None = None  # laid on this stream by its first exchange
        self.busy = False
        self._sock = sock
        self._spent = spent
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._broken: Exception | None = None
        self._sending = asyncio.Lock()

    @property
    def sock(self) -> socket.socket:
        return self._sock

    @property
    def own_address(self) -> str:
        """This machine's own address on this connection."""
        return str(self._sock.getsockname()[0])

    # -- bytes

    async def receive(self, size: int) -> bytes:
        """Read what has arrived, at most `size` bytes; empty at the end of the stream."""
        allowance = self.allowance
        if allowance is not None:
            allowance.check()
            size = min(size, allowance.wire_left)
        data = await asyncio.get_running_loop().sock_recv(self._sock, size)
        if not data and self._broken is not None:
            raise self._broken  # the system tells a reset once, and a write has already heard it
        if data:
            self.first_bytes = self.first_bytes or data[:64]
            self.last_arrival = time.perf_counter()
            self.received += len(data)
            self._spent.received += len(data)
            if allowance is not None:
                allowance.wire_left -= len(data)
        return data

    async def send(self, data: bytes) -> None:
        """Send all of `data`, never mixed with what another task sends on this stream."""
        async with self._sending:
            if self._broken is not None:
                raise self._broken
            try:
                await asyncio.get_running_loop().sock_sendall(self._sock, data)
            except OSError as error:
                self._broken = error
                raise
            except asyncio.CancelledError:
                self._broken = ConnectionAbortedError("an earlier write was cut short")
                raise
        self.sent += len(data)
        self._spent.sent += len(data)

    # -- TLS

    async def shake_hands(self, context: ssl.SSLContext, name: str | None, most: int = MOST_HANDSHAKE_BYTES) -> None:
        """Do a TLS handshake that reads at most `most` bytes; raises SSLError, EOFError, OSError.

        A name that TLS cannot carry raises ValueError or UnicodeError before anything is sent.
        """
        with self.unfinished():
            await self._shake_hands(context, name, most)

    async def _shake_hands(self, context: ssl.SSLContext, name: str | None, most: int) -> None:
        self.tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=name)
        before = self.received
        while True:
            try:
                self.tls.do_handshake()
            except ssl.SSLWantReadError:
                await self._flush()
                if self.received - before >= most:
                    raise LimitReached("tls_handshake_bytes") from None
                data = await self.receive(READ_SIZE)
                if not data:
                    raise EOFError("the connection ended during the handshake") from None
                self._incoming.write(data)
            except ssl.SSLError:
                await self._say_goodbye()
                raise
            else:
                await self._flush()
                return

    async def _flush(self) -> None:
        if self._outgoing.pending:
            data = self._outgoing.read()
            self.hello_size = self.hello_size or len(data)
            await self.send(data)

    async def _say_goodbye(self) -> None:
        """Send our own alert; that the peer may be gone already changes nothing."""
        try:
            await self._flush()
        except OSError:
            return

    async def _read_tls(self, tls: ssl.SSLObject, size: int) -> bytes:
        while True:
            try:
                return tls.read(size)
            except ssl.SSLWantReadError:
                await self._flush()
                data = await self.receive(READ_SIZE)
                if not data:
                    return b""
                self._incoming.write(data)
            except ssl.SSLZeroReturnError:
                return b""

    # -- what httpcore asks of a stream

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        if self.tls is None:
            return await self.receive(min(max_bytes, READ_SIZE))
        return await self._read_tls(self.tls, min(max_bytes, READ_SIZE))

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Send; a failure becomes httpcore's WriteError, after which it still looks for an early response."""
        if not buffer:
            return
        try:
            if self.tls is None:
                await self.send(buffer)
            else:
                self.tls.write(buffer)
                await self._flush()
        except OSError as error:
            raise httpcore.WriteError(str(error)) from error

    async def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.AsyncNetworkStream:
        try:
            await self.shake_hands(ssl_context, server_hostname)
        except BaseException:
            self.close()  # httpcore leaves this to the stream
            raise
        return self

    def get_extra_info(self, info: str) -> Any:
        if info == "ssl_object":
            return self.tls
        if info == "is_readable":
            return self._sock.fileno() < 0 or bool(_poll(self._sock))
        return None

    async def aclose(self) -> None:
        self.close()

    def widen(self) -> None:
        """Let the peer send at full speed, for a page that is read whole."""
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, WHOLE_WINDOW)

    @contextmanager
    def unfinished(self) -> Iterator[None]:
        """Let whoever closes the stream reset the connection, until the block has ended without an error."""
        reset_on_close(self._sock)
        yield
        reset_on_close(self._sock, False)

    def close(self) -> None:
        """Close the socket, with a reset where something is `unfinished`; idempotent."""
        self._sock.close()

    @property
    def closed(self) -> bool:
        return self._sock.fileno() < 0


def _poll(sock: socket.socket) -> list[tuple[int, int]]:
    poller = select.poll()
    poller.register(sock, select.POLLIN)
    return poller.poll(0)


async def open_stream(peer: Endpoint, spent: Spent, *, window: int | None = None, mss: int | None = None) -> Stream:
    """Connect; raises OSError.

    `window` is how much the peer may have under way, about: what a sample leaves unread is the volunteer's data
    all the same. `mss` bounds the segments of both sides.
    """
    sock = open_socket(peer.family, socket.SOCK_STREAM)
    try:
        if window is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, window)
        if mss is not None:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, mss)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        spent.connections += 1
        await asyncio.get_running_loop().sock_connect(sock, peer.pair)
    except BaseException:
        sock.close()
        raise
    return Stream(sock, peer, spent)
