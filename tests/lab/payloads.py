"""What a censor reads in packets (DNS questions, ClientHellos, Host headers) and what it forges in reply."""

from __future__ import annotations

import socket
import struct
from collections.abc import Sequence
from dataclasses import dataclass

NXDOMAIN = 3
_A = 1
_HANDSHAKE, _CLIENT_HELLO, _SERVER_NAME = 22, 1, 0


def matches(name: str, patterns: Sequence[str]) -> bool:
    """Tell whether `name` is one of `patterns` or below one; no patterns at all match every name."""
    name = name.lower().rstrip(".")
    return not patterns or any(name == pattern or name.endswith(f".{pattern}") for pattern in patterns)


@dataclass(frozen=True, slots=True)
class Question:
    """The first question of a DNS query, and where it ends in the message."""

    name: str
    kind: int
    end: int


def dns_question(message: bytes) -> Question | None:
    """Read a DNS query; None when it is none."""
    labels, at = [], 12
    try:
        while length := message[at]:
            labels.append(message[at + 1 : at + 1 + length].decode("latin-1"))
            at += 1 + length
        return Question(".".join(labels).lower(), struct.unpack_from(">H", message, at + 1)[0], at + 5)
    except (IndexError, struct.error):
        return None


def dns_forgery(message: bytes, question: Question, address: str | None) -> bytes:
    """Answer a query: with NXDOMAIN, or with `address` for an A question and nothing for others."""
    record = b""
    if address and question.kind == _A:
        record = struct.pack(">HHHIH", 0xC00C, _A, 1, 300, 4) + socket.inet_aton(address)
    flags = 0x8180 | (0 if address else NXDOMAIN)
    counts = struct.pack(">HHHHH", flags, 1, bool(record), 0, 0)
    return message[:2] + counts + message[12 : question.end] + record


@dataclass(frozen=True, slots=True)
class Read:
    """What was read of a stream: not `complete` means that more bytes are needed."""

    complete: bool
    name: str | None = None


def client_hello(stream: bytes) -> Read:
    """Read the server name of a ClientHello (RFC 8446, 4.1.2; RFC 6066, 3) that may come in pieces."""
    if stream[:1] not in (b"", bytes([_HANDSHAKE])):
        return Read(True)
    if len(stream) < 6 or len(stream) < 5 + struct.unpack_from(">H", stream, 3)[0]:
        return Read(False)
    try:
        return Read(True, _server_name(stream) if stream[5] == _CLIENT_HELLO else None)
    except (IndexError, struct.error):
        return Read(True)


def _server_name(hello: bytes) -> str | None:
    at = 43  # record and handshake headers, version, random
    at += 1 + hello[at]  # session
    at += 2 + struct.unpack_from(">H", hello, at)[0]  # ciphers
    at += 1 + hello[at]  # compression
    end = at + 2 + struct.unpack_from(">H", hello, at)[0]
    at += 2
    while at < end:
        kind, length = struct.unpack_from(">HH", hello, at)
        if kind == _SERVER_NAME:
            size = struct.unpack_from(">H", hello, at + 7)[0]
            return hello[at + 9 : at + 9 + size].decode("latin-1").lower()
        at += 4 + length
    return None


def http_host(stream: bytes) -> Read:
    """Read the Host header of an HTTP/1 request that may come in pieces."""
    head, end, _ = stream.partition(b"\r\n\r\n")
    if not end:
        return Read(len(stream) > 16384)
    for line in head.split(b"\r\n")[1:]:
        key, _, value = line.partition(b":")
        if key.lower() == b"host":
            return Read(True, value.strip().decode("latin-1").partition(":")[0].lower())
    return Read(True)


def http_response(status: str, body: str, *headers: str) -> bytes:
    """Write a whole HTTP/1.1 response."""
    data = body.encode()
    lines = (f"HTTP/1.1 {status}", *headers, "Content-Type: text/html", f"Content-Length: {len(data)}")
    return "\r\n".join((*lines, "Connection: close", "", "")).encode() + data
