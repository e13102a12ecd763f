"""Objects of any length, under whatever name they are asked for: `GET /bytes/N`.

A probe that suspects throttling reads the same object from here twice, once under the suspect's name and once under a
harmless one: the server, the path and the bytes are the same, only the name differs. An object of N bytes is the
beginning of one long text that no link can compress, the same for all and for ever.

So that nobody lives on it, an object's length, the transfers at a time, and what one client and all clients together
may ask for in an hour are bounded. Clients are told apart by a keyed digest of their network, which is forgotten
with the hour; the key dies with the process. Who does not read for long is hung up on (`server`).
"""

from __future__ import annotations

import functools
import hashlib
import ipaddress
import re
import secrets
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from probe.control.replies import Reply, later, sentence

PREFIX = "/bytes/"
MOST = 2 * 1024 * 1024
HOUR = 3600.0
_LENGTH = re.compile(r"[1-9][0-9]{0,8}", re.ASCII)
_OCTETS = ((b"content-type", b"application/octet-stream"), (b"cache-control", b"no-store, no-transform"))
_KEPT_CLIENTS = 10_000


@dataclass(frozen=True, slots=True)
class ObjectLimits:
    """How much is given: bytes of one object, transfers at once and bytes an hour, for one client and for all."""

    most: int = MOST
    client_at_once: int = 8  # a probe reads one; several may share an address
    at_once: int = 16
    client_hourly: int = 64 * 1024 * 1024
    hourly: int = 2 * 1024 * 1024 * 1024

    def __post_init__(self) -> None:
        if not 0 < self.most <= MOST:
            raise ValueError(f"an object has 1 to {MOST} bytes, not {self.most}")


@functools.cache
def _text() -> memoryview:
    return memoryview(hashlib.shake_256(b"wazi object").digest(MOST))


def object_of(size: int) -> memoryview:
    """Return the object of `size` bytes."""
    return _text()[:size]


class Objects:
    """What is given at `/bytes/N`, within limits; `now` is a clock in seconds."""

    def __init__(self, limits: ObjectLimits, retry_after: int, now: Callable[[], float] = time.monotonic) -> None:
        self._limits = limits
        self._retry_after = retry_after
        self._now = now
        self._running: Counter[bytes] = Counter()
        self._hour = 0.0
        self._given = 0
        self._clients: dict[bytes, int] = {}
        self._key = secrets.token_bytes(32)

    @contextmanager
    def reply(self, path: str, client: str | None) -> Iterator[Reply]:
        """Lend the reply to a request for `path`; what is lent is being sent until the block ends."""
        name = self._digest(client)
        size, refusal = self._admit(path.removeprefix(PREFIX), name)
        if refusal is not None:
            yield refusal
            return
        self._running[name] += 1
        try:
            yield Reply(200, object_of(size), _OCTETS)
        finally:
            self._running[name] -= 1
            self._running += Counter()  # who reads nothing is forgotten

    def _admit(self, length: str, name: bytes) -> tuple[int, Reply | None]:
        limits = self._limits
        size = int(length) if _LENGTH.fullmatch(length) else 0
        if not 0 < size <= limits.most:
            words = f"Ask for {PREFIX}N, where N is a number of bytes from 1 to {limits.most}."
            return 0, sentence(400, words)
        if self._running[name] >= limits.client_at_once:
            return 0, later("You read as many objects at once as one client may.", self._retry_after, status=429)
        if self._running.total() >= limits.at_once:
            return 0, later("This control gives as many objects at once as it may.", self._retry_after)
        now = self._now()
        if now >= self._hour + HOUR:
            self._hour, self._given = now, 0
            self._clients.clear()
        used = self._clients.get(name, 0)
        wait = int(self._hour + HOUR - now) + 1
        if used + size > limits.client_hourly:
            return 0, later("You had as many bytes in this hour as one client may have.", wait, status=429)
        if self._given + size > limits.hourly or (not used and len(self._clients) >= _KEPT_CLIENTS):
            return 0, later("This control gave as many bytes in this hour as it may.", wait)
        self._clients[name] = used + size
        self._given += size
        return size, None

    def _digest(self, client: str | None) -> bytes:
        """Name a client's network: an IPv4 address, or the 64 bits that one IPv6 customer has."""
        try:
            address = ipaddress.ip_address(client or "")
        except ValueError:
            name = ""
        else:
            name = str(ipaddress.ip_network((int(address) >> 64 << 64, 64)) if address.version == 6 else address)
        return hashlib.blake2b(name.encode(), key=self._key, digest_size=16).digest()
