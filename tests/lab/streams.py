"""What a censor remembers: the streams that it reads, and grudges that outlive a connection."""

from __future__ import annotations

import socket
import time
from dataclasses import dataclass, field

from tests.lab.packets import Packet
from tests.lab.scenario import HelloFilter, Residual

_PACKET = 1500
_QUEUED = 0.5  # seconds


class Bucket:
    """Lets so many bytes pass at once, and then `kbit` a second: what is too much is dropped."""

    def __init__(self, kbit: float, free: int) -> None:
        self._rate = kbit * 125
        self._level = float(free)
        self._at = time.monotonic()

    def pay(self, size: int) -> float | None:
        """Return how many seconds a packet is to wait: none, or None when it is dropped."""
        now = time.monotonic()
        full = max(self._level, self._rate, _PACKET)
        self._level = min(full, self._level + (now - self._at) * self._rate)
        self._at = now
        if self._level < size:
            return None
        self._level -= size
        return 0.0


class Backlog:
    """Lets so many bytes pass at once, and then `kbit` a second, in a queue of half a second or a few packets."""

    def __init__(self, kbit: float, free: int) -> None:
        self._rate = kbit * 125
        self._free = free
        self._clear = 0.0  # when all that waits will have left
        self._room = max(_QUEUED * self._rate, 8 * _PACKET)

    def pay(self, size: int) -> float | None:
        """Return how many seconds a packet is to wait, or None when the queue is full."""
        if self._free >= size:
            self._free -= size
            return 0.0
        now = time.monotonic()
        wait = max(0.0, self._clear - now)
        if not self._rate or wait * self._rate + size > self._room:
            return None
        self._clear = now + wait + size / self._rate
        return self._clear - now


@dataclass(slots=True)
class Stream:
    """What a client has sent on one connection so far, as long as it is in order, and what becomes of it."""

    data: bytearray = field(default_factory=bytearray)
    back: bytearray = field(default_factory=bytearray)
    next: int | None = None
    name: str = ""
    condemned: bool = False
    hounded: bool = False  # answered with a reset, whatever is sent
    settled: bool = False
    spared: bool = False
    waiting: HelloFilter | None = None
    slowed: Bucket | Backlog | None = None
    told: bool = False

    def add(self, packet: Packet) -> bool:
        """Take a packet's data when it is next; tell whether it is the first."""
        first = self.next is None
        if self.next in (None, packet.sequence):
            self.data += packet.data
            self.next = (packet.sequence + len(packet.data)) & 0xFFFFFFFF
        return first


@dataclass(frozen=True, slots=True)
class Grudge:
    """Why a client gets through to an address and port no more, and until when."""

    until: float
    action: str
    subject: str


class Grudges:
    """What triggers left behind, by client, address and port."""

    def __init__(self) -> None:
        self._held: dict[tuple[bytes, bytes, int], Grudge] = {}

    def bear(self, packet: Packet, rule: Residual, subject: str) -> None:
        """Remember a trigger."""
        until = time.monotonic() + rule.seconds
        self._held[packet.source, packet.target, packet.target_port] = Grudge(until, rule.action, subject)

    def prime(self, rule: Residual, port: int) -> None:
        """Remember triggers from before, of any client."""
        until = time.monotonic() + rule.seconds
        for address in rule.primed:
            packed = socket.inet_pton(socket.AF_INET6 if ":" in address else socket.AF_INET, address)
            self._held[b"", packed, port] = Grudge(until, rule.action, address)

    def against(self, packet: Packet) -> Grudge | None:
        """Return the grudge that a client's packet meets."""
        for who in (packet.source, b""):
            held = self._held.get((who, packet.target, packet.target_port))
            if held and time.monotonic() < held.until:
                return held
        return None
