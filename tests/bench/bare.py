"""What a short program without Wazi would do for the same answer: asyncio, ssl, and packets made by hand.

The same five lookups (A, AAAA and HTTPS over UDP, A and AAAA over a kept DoH connection), the same wait for
a second reply, the same connection with the same verification, the same GET, and the page read to its end.
HTTP/2, which DoH needs in any case, is made by hand or by a library (`http2`). Nothing is recorded, bounded
or judged, and only servers that behave are understood.
"""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
import struct
from types import TracebackType

from tests.bench.http2 import Headers, Http2
from tests.bench.loopback import SITE, Loopback

RECORDS = {"A": 1, "AAAA": 28, "HTTPS": 65}
ALPN = ["h2", "http/1.1"]


class Bare:
    """The bare side; it keeps its DoH connection, as Wazi does. `http2` is how it speaks HTTP/2."""

    def __init__(self, world: Loopback, headers: Headers, http2: type[Http2], linger: float) -> None:
        self._http2 = http2
        self._linger = linger
        self._world = world
        self._headers = headers
        self._context = ssl.create_default_context(cafile=str(world.ca))
        self._context.set_alpn_protocols(ALPN)

    async def __aenter__(self) -> Bare:
        address, port = self._world.doh
        reader, writer = await asyncio.open_connection(address, port, ssl=self._context)
        self._doh = self._http2(reader, writer)
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
            reply = await loop.sock_recv(sock, 4096)
            await asyncio.sleep(self._linger)  # for a second reply, which would wait in the socket
            return read_addresses(reply, query)

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
        connection = self._http2(reader, writer)
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
