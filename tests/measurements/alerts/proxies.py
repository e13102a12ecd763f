"""Proxies to go through: SOCKS5 (RFC 1928, 1929) and HTTP CONNECT, which note what they were asked for."""

from __future__ import annotations

import asyncio
import base64
import ipaddress
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

from tests.measurements.alerts.receivers import Receiver, listening

LOGIN = ("kanari-user", "kanari-pass")


@dataclass
class Proxy:
    """A proxy that runs: where, and the names or addresses with ports that it was asked for."""

    receiver: Receiver
    asked: list[str] = field(default_factory=list)
    logins: list[str] = field(default_factory=list)

    def url(self, scheme: str, login: str = "") -> str:
        return f"{scheme}://{login}{self.receiver.authority}"


@asynccontextmanager
async def socks_proxy(names: Mapping[str, str], *, login: bool = False, refuse: int = 0) -> AsyncIterator[Proxy]:
    """Run a SOCKS5 proxy that knows `names` (name -> address), and addresses; `refuse` is a reply code."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        _, count = await reader.readexactly(2)
        offered = await reader.readexactly(count)
        method = 2 if login else 0
        if method not in offered:
            writer.write(b"\x05\xff")
            return
        writer.write(bytes((5, method)))
        if login:
            user = await reader.readexactly((await reader.readexactly(2))[1])
            password = await reader.readexactly((await reader.readexactly(1))[0])
            proxy.logins.append(f"{user.decode()}:{password.decode()}")
            right = (user.decode(), password.decode()) == LOGIN
            writer.write(bytes((1, 0 if right else 1)))
            if not right:
                return
        _, _, _, kind = await reader.readexactly(4)
        if kind == 3:
            host = (await reader.readexactly((await reader.readexactly(1))[0])).decode()
        else:
            host = str(ipaddress.ip_address(await reader.readexactly(4 if kind == 1 else 16)))
        port = int.from_bytes(await reader.readexactly(2), "big")
        proxy.asked.append(f"{host}:{port}")
        if refuse:
            writer.write(bytes((5, refuse, 0, 1)) + bytes(6))
        else:
            await join(reader, writer, names.get(host, host), port, welcome=bytes((5, 0, 0, 1)) + bytes(6))

    async with listening(serve) as receiver:
        proxy = Proxy(receiver)
        yield proxy


@asynccontextmanager
async def http_proxy(names: Mapping[str, str], *, login: bool = False) -> AsyncIterator[Proxy]:
    """Run an HTTP proxy that opens tunnels, and forwards requests for http:// URLs."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        method, target, _ = head.split(b"\r\n")[0].decode().split(" ")
        if login:
            right = base64.b64encode(":".join(LOGIN).encode())
            proxy.logins += ["right" if right in head else "wrong"]
            if right not in head:
                writer.write(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
                return
        authority = target if method == "CONNECT" else target.split("/")[2]
        host, _, port = authority.rpartition(":")
        proxy.asked.append(f"{method} {authority}")
        if method == "CONNECT":
            await join(reader, writer, names.get(host, host), int(port), welcome=b"HTTP/1.1 200 OK\r\n\r\n")
        else:
            path = "/" + target.split("/", 3)[3]
            head = head.replace(target.encode(), path.encode(), 1)
            await join(reader, writer, names.get(host, host), int(port), first=head)

    async with listening(serve) as receiver:
        proxy = Proxy(receiver)
        yield proxy


async def join(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    host: str,
    port: int,
    *,
    first: bytes = b"",
    welcome: bytes = b"",
) -> None:
    """Carry bytes both ways until one side ends; `welcome` is said when the other side stands, `first` goes to it."""
    try:
        their_reader, their_writer = await asyncio.open_connection(host, port)
    except OSError:
        writer.write(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()
        return
    writer.write(welcome)
    their_writer.write(first)

    async def carry(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while chunk := await source.read(65_536):
                target.write(chunk)
                await target.drain()

    ways = [asyncio.create_task(carry(reader, their_writer)), asyncio.create_task(carry(their_reader, writer))]
    try:
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        await writer.drain()
    finally:
        for way in ways:
            way.cancel()
        their_writer.close()
