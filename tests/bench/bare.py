"""What a short program without Wazi would do for the same answer: asyncio, ssl, and packets made by hand.

The same five lookups (A, AAAA and HTTPS over UDP, A and AAAA over a kept DoH connection), the same
connection with the same verification, the same GET, and the page read to its end. HTTP/2, of which DoH
needs some too, is made of frames by hand: no library, no header table, no flow control beyond one large
window. Nothing is recorded, bounded or judged, and only servers that behave are understood.
"""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
import struct
from collections.abc import Sequence
from types import TracebackType

from tests.bench.loopback import SITE, Loopback

RECORDS = {"A": 1, "AAAA": 28, "HTTPS": 65}
ALPN = ["h2", "http/1.1"]
_DATA, _HEADERS, _SETTINGS, _PING, _WINDOW_UPDATE = 0, 1, 4, 6, 8
_END_STREAM = 0x1
_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_LARGE_WINDOW = struct.pack("!I", 2**31 - 1 - 65535)
_STATUS_200 = 0x88  # the whole first header, by its index in HPACK's static table

Headers = Sequence[tuple[str, str]]


class Bare:
    """The bare side; it keeps its DoH connection, as Wazi does."""

    def __init__(self, world: Loopback, headers: Headers) -> None:
        self._world = world
        self._headers = headers
        self._context = ssl.create_default_context(cafile=str(world.ca))
        self._context.set_alpn_protocols(ALPN)

    async def __aenter__(self) -> Bare:
        address, port = self._world.doh
        reader, writer = await asyncio.open_connection(address, port, ssl=self._context)
        self._doh = Http2(reader, writer)
        self._doh.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._doh.stop()

    async def measure(self, version: str) -> bytes:
        """Find the site, connect, verify, and return its page."""
        async with asyncio.TaskGroup() as group:
            asked = [group.create_task(self._ask_udp(rtype)) for rtype in RECORDS]
            asked += [group.create_task(self._ask_doh(rtype)) for rtype in ("A", "AAAA")]
        address = next(address for task in asked for address in task.result())
        port = self._world.ports[version]
        reader, writer = await asyncio.open_connection(address, port, ssl=self._context, server_hostname=SITE)
        try:
            if writer.get_extra_info("ssl_object").selected_alpn_protocol() == "h2":
                return await self._get_http2(reader, writer)
            return await self._get(reader, writer)
        finally:
            writer.transport.abort()

    # -- DNS

    async def _ask_udp(self, rtype: str) -> list[str]:
        loop = asyncio.get_running_loop()
        query = make_query(SITE, rtype, os.urandom(2))
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as sock:
            sock.connect(self._world.resolver)
            sock.send(query)
            return read_addresses(await loop.sock_recv(sock, 4096), query)

    async def _ask_doh(self, rtype: str) -> list[str]:
        query = make_query(SITE, rtype, b"\0\0")
        address, port = self._world.doh
        headers = [
            (":method", "POST"),
            (":scheme", "https"),
            (":authority", f"{address}:{port}"),
            (":path", "/dns-query"),
            ("content-type", "application/dns-message"),
            ("accept", "application/dns-message"),
            ("content-length", str(len(query))),
        ]
        return read_addresses(await self._doh.request(headers, query), query)

    # -- HTTP

    async def _get(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
        lines = ["GET / HTTP/1.1", *(f"{name}: {value}" for name, value in self._headers), "", ""]
        writer.write("\r\n".join(lines).encode("ascii"))
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        if not head.startswith(b"http/1.1 200 "):
            raise ValueError(head)
        length = head.partition(b"content-length: ")[2].partition(b"\r\n")[0]
        return await reader.readexactly(int(length))

    async def _get_http2(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
        authority = dict(self._headers)["Host"]
        pseudo = [(":method", "GET"), (":scheme", "https"), (":authority", authority), (":path", "/")]
        own = [(name.lower(), value) for name, value in self._headers if name not in ("Host", "Connection")]
        connection = Http2(reader, writer)
        connection.start()
        try:
            return await connection.request([*pseudo, *own])
        finally:
            await connection.stop()


def make_query(name: str, rtype: str, identity: bytes) -> bytes:
    """Make a recursive query that asks for AD and announces 1,232 bytes (EDNS)."""
    labels = b"".join(bytes([len(label)]) + label.encode("ascii") for label in name.split("."))
    edns = b"\0\0\x29\x04\xd0\0\0\0\0\0\0"
    return identity + b"\x01\x20\0\x01\0\0\0\0\0\x01" + labels + struct.pack("!BHH", 0, RECORDS[rtype], 1) + edns


def read_addresses(reply: bytes, query: bytes) -> list[str]:
    """Read the IPv4 addresses of a well-behaved reply."""
    if reply[:2] != query[:2] or reply[3] & 0x0F:
        raise ValueError(reply)
    place, found = 12, []
    while reply[place]:
        place += 1 + reply[place]
    place += 5
    for _ in range(int.from_bytes(reply[6:8], "big")):
        place += 2  # the name, as a pointer to the question's
        kind, _class, _ttl, size = struct.unpack_from("!HHIH", reply, place)
        place += 10
        if kind == RECORDS["A"]:
            found.append(socket.inet_ntoa(reply[place : place + size]))
        place += size
    return found


class Http2:
    """HTTP/2 by hand: a few frames, requests side by side."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._next = 1
        self._bodies: dict[int, bytearray] = {}
        self._done: dict[int, asyncio.Future[bytes]] = {}

    def start(self) -> None:
        self._writer.write(_PREFACE + frame(_SETTINGS, 0, 0, b"") + frame(_WINDOW_UPDATE, 0, 0, _LARGE_WINDOW))
        self._task = asyncio.create_task(self._read())

    async def stop(self) -> None:
        self._task.cancel()
        await asyncio.wait([self._task])
        self._writer.transport.abort()

    async def request(self, headers: Headers, body: bytes = b"") -> bytes:
        """Ask, and return the body of a response whose status is 200."""
        stream, self._next = self._next, self._next + 2
        done: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._done[stream] = done
        data = frame(
            _HEADERS, 0x4 | (0 if body else _END_STREAM), stream, b"".join(map(field, *zip(*headers, strict=True)))
        )
        self._writer.write(data + (frame(_DATA, _END_STREAM, stream, body) if body else b""))
        return await done

    async def _read(self) -> None:
        try:
            await self._read_frames()
        except (OSError, EOFError) as error:
            for waiting in self._done.values():
                waiting.set_exception(error)

    async def _read_frames(self) -> None:
        while True:
            head = await self._reader.readexactly(9)
            kind, flags, stream = struct.unpack("!BBI", head[3:])
            payload = await self._reader.readexactly(int.from_bytes(head[:3], "big"))
            if kind == _DATA:
                self._bodies[stream] += payload
                if flags & _END_STREAM:
                    self._done.pop(stream).set_result(bytes(self._bodies.pop(stream)))
            elif kind == _HEADERS:
                if payload[0] != _STATUS_200:
                    self._done.pop(stream).set_exception(ValueError(payload))
                self._bodies[stream] = bytearray()
            elif kind in (_SETTINGS, _PING) and not flags & 0x1:
                self._writer.write(frame(kind, 0x1, 0, payload if kind == _PING else b""))


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    """Make one frame (RFC 9113, 4.1)."""
    return len(payload).to_bytes(3, "big") + struct.pack("!BBI", kind, flags, stream) + payload


def field(name: str, value: str) -> bytes:
    """Write one header out in full (RFC 7541, 6.2.2), without Huffman's code."""
    return b"\0" + _text(name) + _text(value)


def _text(text: str) -> bytes:
    data = text.encode("ascii")
    size, rest = len(data), b""
    if size >= 127:
        size, left = 127, size - 127
        while left >= 128:
            rest += bytes([left % 128 + 128])
            left //= 128
        rest += bytes([left])
    return bytes([size]) + rest + data
