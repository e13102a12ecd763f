"""Servers on loopback for the tests of the control: an HTTP server that says what it is told to say."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import msgspec

Behaviour = Callable[[asyncio.StreamWriter], Awaitable[None]]


@dataclass
class Seen:
    """What a server received, and how many of its connections the client has left."""

    url: str
    port: int
    bodies: list[bytes] = field(default_factory=list)
    heads: list[bytes] = field(default_factory=list)
    open: int = 0


@contextlib.asynccontextmanager
async def http_server(behave: Behaviour, host: str = "127.0.0.1") -> AsyncIterator[Seen]:
    """Read one request from each connection, then `behave`."""
    tasks: set[asyncio.Task[Any]] = set()
    seen = Seen("", 0)

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        seen.open += 1
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            seen.heads.append(head)
            length = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
            if length:
                seen.bodies.append(await reader.readexactly(int(length[0].split(b":")[1])))
            working = asyncio.ensure_future(behave(writer))
            gone = asyncio.ensure_future(reader.read())
            await asyncio.wait({working, gone}, return_when=asyncio.FIRST_COMPLETED)
            for future in (working, gone):
                future.cancel()
            await asyncio.gather(working, gone, return_exceptions=True)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            seen.open -= 1
            tasks.discard(task)
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()

    server = await asyncio.start_server(handle, host, 0)
    seen.port = server.sockets[0].getsockname()[1]
    bracketed = f"[{host}]" if ":" in host else host
    seen.url = f"http://{bracketed}:{seen.port}/"
    try:
        yield seen
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await server.wait_closed()


def says(body: bytes, status: str = "200 OK", *headers: str, delay: float = 0.0) -> Behaviour:
    """Answer with `body` after `delay` seconds."""

    async def behave(writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(delay)
        lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Connection: close", *headers, "", ""]
        writer.write("\r\n".join(lines).encode() + body)
        await writer.drain()

    return behave


def says_json(value: Any, delay: float = 0.0) -> Behaviour:
    return says(msgspec.json.encode(value), delay=delay)


async def never(writer: asyncio.StreamWriter) -> None:
    """Take the request and stay silent."""
    await asyncio.sleep(3600)


async def gigabyte(writer: asyncio.StreamWriter) -> None:
    """Send a body of a gigabyte, as fast as it is taken."""
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1073741824\r\n\r\n" + b'{"x":"')
    for _ in range(16384):
        writer.write(b"a" * 65536)
        await writer.drain()


async def drip(writer: asyncio.StreamWriter) -> None:
    """Send one byte every 50 ms, for ever."""
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n{")
    while True:
        await asyncio.sleep(0.05)
        writer.write(b" ")
        await writer.drain()


async def hang_up(writer: asyncio.StreamWriter) -> None:
    """Close without a word."""


async def until(true: Callable[[], bool], seconds: float = 5.0) -> None:
    """Wait until something has happened; fails the test when it does not."""
    ends = asyncio.get_running_loop().time() + seconds
    while not true():
        assert asyncio.get_running_loop().time() < ends, "it did not happen in time"
        await asyncio.sleep(0.01)
