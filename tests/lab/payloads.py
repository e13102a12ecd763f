"""What a censor reads in packets (DNS questions, ClientHellos, Host headers) and what it forges in reply."""

from __future__ import annotations

import re
import socket
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

KINDS = {"A": 1, "AAAA": 28, "HTTPS": 65}
RCODES = {"nodata": 0, "servfail": 2, "nxdomain": 3, "refused": 5}
_OPT, _EDE = 41, 15
_IPV4_HINT, _IPV6_HINT = 4, 6
_DNS_NAME = re.compile(rb"\x82([\x01-\x7f])([a-z0-9*.-]+)")  # in a certificate's subjectAltName
_CHANGE_CIPHER, _ALERT, _HANDSHAKE, _APPLICATION_DATA = 20, 21, 22, 23
_CLIENT_HELLO, _SERVER_NAME = 1, 0


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


def asks_for(question: Question, kinds: Sequence[str]) -> bool:
    """Tell whether a question is of one of `kinds`; no kinds at all are all of them."""
    return not kinds or question.kind in [KINDS[kind] for kind in kinds]


def dns_forgery(
    message: bytes, question: Question, addresses: Sequence[str] = (), *, error: str = "nodata", ede: int | None = None
) -> bytes:
    """Answer a query with those of `addresses` that it asks for, or with an `error` when there are none at all.

    An HTTPS question gets one record, with the addresses for hints (RFC 9460). `ede` adds an extended error
    (RFC 8914).
    """
    records = [
        struct.pack(">HHHIH", 0xC00C, question.kind, 1, 300, len(data)) + data
        for data in _data(question.kind, addresses)
    ]
    extra = struct.pack(">BHHIHHHH", 0, _OPT, 1232, 0, 6, _EDE, 2, ede) if ede is not None else b""
    flags = 0x8180 | (0 if addresses else RCODES[error])
    counts = struct.pack(">HHHHH", flags, 1, len(records), 0, bool(extra))
    return message[:2] + counts + message[12 : question.end] + b"".join(records) + extra


def _data(kind: int, addresses: Sequence[str]) -> Iterator[bytes]:
    packed = [socket.inet_pton(socket.AF_INET6 if ":" in address else socket.AF_INET, address) for address in addresses]
    if kind in (KINDS["A"], KINDS["AAAA"]):
        yield from (data for data in packed if (len(data) == 4) is (kind == KINDS["A"]))
    elif kind == KINDS["HTTPS"] and packed:
        hints = b""
        for key, size in ((_IPV4_HINT, 4), (_IPV6_HINT, 16)):
            if found := b"".join(data for data in packed if len(data) == size):
                hints += struct.pack(">HH", key, len(found)) + found
        yield struct.pack(">HB", 1, 0) + hints  # priority 1, the owner itself


@dataclass(frozen=True, slots=True)
class Read:
    """What was read of a stream: not `complete` means that more bytes are needed."""

    complete: bool
    name: str | None = None
    path: str = ""


def client_hello(stream: bytes) -> Read:
    """Read the server name of a ClientHello (RFC 8446, 4.1.2; RFC 6066, 3) that may come in pieces."""
    if stream[:1] not in (b"", bytes([_HANDSHAKE])):
        return Read(True)
    if len(stream) < 6 or len(stream) < 5 + struct.unpack_from(">H", stream, 3)[0]:
        return Read(False)
    try:
        return Read(True, server_name(stream) if stream[5] == _CLIENT_HELLO else None)
    except (IndexError, struct.error):
        return Read(True)


def server_name(hello: bytes) -> str | None:
    """Read the name from a whole ClientHello, which begins with its record's header."""
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
    first, *lines = head.split(b"\r\n")
    path = first.decode("latin-1").partition(" ")[2].rpartition(" ")[0]
    for line in lines:
        key, _, value = line.partition(b":")
        if key.lower() == b"host":
            return Read(True, value.strip().decode("latin-1").partition(":")[0].lower(), path)
    return Read(True)


def encrypted_records(stream: bytes) -> int:
    """Count the whole records of a TLS stream that are encrypted, of which the first ends the handshake.

    They follow a change of cipher, which TLS 1.3 sends for show, or say that they are application data.
    """
    count = at = 0
    changed = False
    while at + 5 <= len(stream):
        length = struct.unpack_from(">H", stream, at + 3)[0]
        if at + 5 + length > len(stream):
            break
        count += changed or stream[at] == _APPLICATION_DATA
        changed |= stream[at] == _CHANGE_CIPHER
        at += 5 + length
    return count


def certificate_names(stream: bytes) -> list[str]:
    """Read the DNS names of the certificates that a server sends in clear (TLS 1.2), as far as they have come."""
    if stream[:1] != bytes([_HANDSHAKE]):
        return []
    found = [(length[0], name) for length, name in _DNS_NAME.findall(stream)]
    return [name[:length].decode().removeprefix("*.") for length, name in found if length <= len(name)]


def tls_alert(description: int) -> bytes:
    """Write a fatal alert (RFC 8446, 6)."""
    return bytes([_ALERT, 3, 3, 0, 2, 2, description])


def http_response(status: str, body: str, *headers: str) -> bytes:
    """Write a whole HTTP/1.1 response."""
    data = body.encode()
    lines = (f"HTTP/1.1 {status}", *headers, "Content-Type: text/html", f"Content-Length: {len(data)}")
    return "\r\n".join((*lines, "Connection: close", "", "")).encode() + data
