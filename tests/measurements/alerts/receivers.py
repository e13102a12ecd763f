"""Receivers on 127.0.0.x that behave, and others that do not: real sockets, real TLS."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

Behaviour = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@dataclass
class Request:
    """What a receiver was sent."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Receiver:
    """A server that was started: where, how often it was connected to, and what it was sent."""

    host: str
    port: int
    connections: int = 0
    requests: list[Request] = field(default_factory=list)

    @property
    def authority(self) -> str:
        return f"{self.host}:{self.port}"


async def read_request(reader: asyncio.StreamReader) -> Request:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    method, path, _ = head[0].split(" ", 2)
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:] if line)}
    return Request(method, path, headers, await reader.readexactly(int(headers.get("content-length", "0"))))


@asynccontextmanager
async def listening(
    behave: Behaviour, *, host: str = "127.0.0.1", tls: ssl.SSLContext | None = None
) -> AsyncIterator[Receiver]:
    """Run a server whose every connection is met by `behave`, and end what is left of them."""
    tasks: set[asyncio.Task[None]] = set()

    async def meet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        task.add_done_callback(tasks.discard)
        receiver.connections += 1
        try:
            with suppress(ConnectionError, asyncio.IncompleteReadError, ssl.SSLError, asyncio.CancelledError):
                await behave(reader, writer)
        finally:
            writer.transport.abort()

    server = await asyncio.start_server(meet, host, 0, ssl=tls)
    receiver = Receiver(host, server.sockets[0].getsockname()[1])
    try:
        yield receiver
    finally:
        server.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await server.wait_closed()


@asynccontextmanager
async def receiving(
    *answers: bytes, host: str = "127.0.0.1", tls: ssl.SSLContext | None = None
) -> AsyncIterator[Receiver]:
    """Run a receiver that answers requests in turn, and the last answer from then on; and keeps what it was sent."""
    left = list(answers or (OK,))

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        receiver.requests.append(await read_request(reader))
        writer.write(left.pop(0) if len(left) > 1 else left[0])
        await writer.drain()
        writer.write_eof() if writer.can_write_eof() else writer.close()
        with suppress(TimeoutError):
            async with asyncio.timeout(1):
                await reader.read()

    async with listening(answer, host=host, tls=tls) as receiver:
        yield receiver


def status(line: str, *headers: str, body: bytes = b"") -> bytes:
    """Write an answer."""
    head = "\r\n".join((f"HTTP/1.1 {line}", *headers, f"Content-Length: {len(body)}", "", ""))
    return head.encode() + body


@dataclass
class Mail:
    """What a mail server was given: its greeting, the envelope, and the letter."""

    hello: str
    sender: str
    recipients: list[str]
    letter: bytes


@asynccontextmanager
async def mail_server(mails: list[Mail], *, refuse_login: bool = False) -> AsyncIterator[Receiver]:
    """Run an SMTP server (RFC 5321) that takes every letter."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        mail = Mail("", "", [], b"")

        async def say(line: str) -> None:
            writer.write(f"{line}\r\n".encode())
            await writer.drain()

        await say("220 ready")
        while line := (await reader.readline()).decode().strip():
            verb = line.partition(" ")[0].upper()
            if verb == "EHLO":
                mail.hello = line.partition(" ")[2]
                await say("250-hello\r\n250 AUTH PLAIN")
            elif verb == "AUTH":
                await say("535 5.7.8 who are you, kanari?" if refuse_login else "235 welcome")
            elif verb == "MAIL":
                mail.sender = line
                await say("250 ok")
            elif verb == "RCPT":
                mail.recipients.append(line)
                await say("250 ok")
            elif verb == "DATA":
                await say("354 go on")
                mail.letter = await reader.readuntil(b"\r\n.\r\n")
                mails.append(mail)
                await say("250 taken")
            elif verb == "QUIT":
                await say("221 bye")
                return
            else:
                await say("250 ok")

    async with listening(serve) as receiver:
        yield receiver
