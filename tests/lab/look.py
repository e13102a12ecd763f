"""What a plain client sees: `python -m tests.lab.look RESOLVER CA URL [ADDRESS]`, one line, standard library only.

With an ADDRESS, of IPv4 or IPv6, no resolver is asked. A RESOLVER by IPv6 is asked for IPv6 addresses.

It shares no code with the probe, so that a scenario is known to do what it says before the probe is
judged by it. The line is one of:

    dns nxdomain | refused | nodata | timeout           no address
    dns 10.1.2.3 then 203.0.113.10                      two replies that differ
    tcp timeout | reset | unreachable                   no connection, to the first address
    tls reset | eof | timeout | alert TEXT | untrusted TEXT
    http reset | eof | timeout
    http 200 TITLE | http 302 LOCATION
"""

from __future__ import annotations

import ipaddress
import re
import socket
import ssl
import struct
import sys
import time
from urllib.parse import urlsplit

SECONDS = 3.0  # patience for each step
A, AAAA, HTTPS = 1, 28, 65
_RCODES = {2: "servfail", 3: "nxdomain", 5: "refused"}


class Seen(Exception):
    """The look is over; the text is what was seen."""


def query(name: str, kind: int = A) -> bytes:
    """Write a question; its id is the type that it asks for."""
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
    return struct.pack(">HHHHHH", kind, 0x100, 1, 0, 0, 0) + labels + struct.pack(">BHH", 0, kind, 1)


def addresses_in(reply: bytes, asked: bytes) -> list[str] | str:
    """Return the addresses of a reply whose records point back to the question, or its error."""
    if error := reply[3] & 15:
        return _RCODES.get(error, str(error))
    found, at = [], len(asked)
    for _ in range(struct.unpack_from(">H", reply, 6)[0]):
        kind, size = struct.unpack_from(">H6xH", reply, at + 2)
        if kind in (A, AAAA):
            family = socket.AF_INET if kind == A else socket.AF_INET6
            found.append(socket.inet_ntop(family, reply[at + 12 : at + 12 + size]))
        at += 12 + size
    return found or "nodata"


def is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def ask(name: str, resolver: str) -> dict[int, list[list[str] | str]]:
    """Ask for the kinds of address that a browser asks for, all at once; every reply, by kind, as it came."""
    replies: dict[int, list[list[str] | str]] = {A: [], AAAA: [], HTTPS: []}
    with socket.socket(socket.AF_INET6 if ":" in resolver else socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.connect((resolver, 53))
        for kind in replies:
            udp.send(query(name, kind))
        end = time.monotonic() + SECONDS
        while (left := end - time.monotonic()) > 0:
            udp.settimeout(left)
            try:
                reply = udp.recv(4096)
            except TimeoutError:
                break
            except OSError:
                raise Seen("dns unreachable") from None
            kind = struct.unpack_from(">H", reply)[0]
            replies[kind].append(addresses_in(reply, query(name, kind)))
            if replies[A]:
                end = min(end, time.monotonic() + 0.3)
    return replies


def resolve(name: str, resolver: str) -> str:
    """Return the first address, of IPv4 if there is one; raise `Seen` when there is none, or when replies differ."""
    said = ask(name, resolver)
    replies = said[A]
    if said[AAAA] and (":" in resolver or replies[:1] == ["nodata"]):
        replies = said[AAAA]
    if not replies:
        raise Seen("dns timeout")
    if len(replies) > 1 and replies[0] != replies[1]:
        words = [reply if isinstance(reply, str) else reply[0] for reply in replies[:2]]
        raise Seen(f"dns {' then '.join(words)}")
    if isinstance(replies[0], str):
        raise Seen(f"dns {replies[0]}")
    return replies[0][0]


def failure(stage: str, error: OSError) -> Seen:
    if isinstance(error, ssl.SSLCertVerificationError):
        return Seen(f"{stage} untrusted {error.verify_message}")
    if isinstance(error, ssl.SSLEOFError):
        return Seen(f"{stage} eof")
    if isinstance(error, ssl.SSLError):
        return Seen(f"{stage} alert {error.reason}")
    if isinstance(error, TimeoutError):
        return Seen(f"{stage} timeout")
    if isinstance(error, ConnectionError):
        return Seen(f"{stage} reset")
    return Seen(f"{stage} unreachable")


def look(resolver: str, ca: str, url: str, address: str | None = None) -> str:
    """Open a URL as far as it will go, and say how far that was."""
    parts = urlsplit(url)
    assert parts.hostname
    host = parts.hostname.encode("idna").decode()
    stage = "tcp"
    try:
        address = address or (host if is_address(host) else resolve(host, resolver))
        port = parts.port or (443 if parts.scheme == "https" else 80)
        with socket.create_connection((address, port), SECONDS) as plain:
            if parts.scheme == "http":
                stage = "http"
                return fetch(plain, f"[{host}]" if ":" in host else host, parts.path)
            stage = "tls"
            with ssl.create_default_context(cafile=ca).wrap_socket(plain, server_hostname=host) as secure:
                stage = "http"
                return fetch(secure, host, parts.path)
    except Seen as seen:
        return str(seen)
    except OSError as error:
        return str(failure(stage, error))


def fetch(connection: socket.socket, host: str, path: str) -> str:
    connection.sendall(f"GET {path or '/'} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
    data = b""
    while len(data) < 4096 and (more := connection.recv(65536)):
        data += more
    text = data.decode(errors="replace")
    if not text.startswith("HTTP/"):
        return "http eof"
    status = text.split()[1]
    named = re.search(r"(?i)^location: *(\S+)", text, re.M) or re.search(r"<title>(.*?)</title>", text)
    return f"http {status} {named[1] if named else ''}".strip()


if __name__ == "__main__":
    print(look(*sys.argv[1:5]))
