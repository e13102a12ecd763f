"""HTTP responses as the control gives them: a status, a body, a few headers, and the connection's end."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import Any

# The ASGI specification's shapes.
Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

PIECE = 4096
"""Bytes of a body handed on at a time: over TLS each makes a record, and a record counts only when it is whole."""
PLAIN = ((b"content-type", b"text/plain; charset=utf-8"),)


@dataclass(frozen=True, slots=True)
class Reply:
    """An HTTP response; every connection is closed after it."""

    status: int
    body: bytes | memoryview
    headers: tuple[tuple[bytes, bytes], ...] = PLAIN


def sentence(status: int, words: str, *headers: tuple[bytes, bytes]) -> Reply:
    """Say something in a line of plain text, made printable."""
    plain = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in words)
    return Reply(status, f"{plain[:500]}\n".encode(), (*PLAIN, *headers))


def later(words: str, seconds: int, status: int = 503) -> Reply:
    """Ask a client to come back after so many seconds."""
    return sentence(status, words, (b"retry-after", str(seconds).encode()))


async def send_reply(reply: Reply, send: Send) -> None:
    """Send a reply piece by piece; what the client does not take in holds the next one up."""
    length = str(len(reply.body)).encode()
    headers = [*reply.headers, (b"content-length", length), (b"server", b"wazi"), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": reply.status, "headers": headers})
    for at in range(0, len(reply.body), PIECE):
        await send({"type": "http.response.body", "body": bytes(reply.body[at : at + PIECE]), "more_body": True})
    await send({"type": "http.response.body", "body": b""})
