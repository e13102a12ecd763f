"""What a censor remembers: the streams that it reads, and grudges that outlive a connection."""

from __future__ import annotations

import socket
import time
from dataclasses import dataclass, field

from tests.lab.packets import Packet
from tests.lab.scenario import HelloFilter, Residual

_PACKET = 1500


class Bucket:
    """Lets so many bytes pass at once, and then `kbit` a second."""

    def __init__(self, kbit: float, free: int) -> None:
        self._rate = kbit * 125
        self._level = float(free)
        self._at = time.monotonic()

    def pay(self, size: int) -> bool:
        """Take the price of a packet; say no when there is not enough."""
        now = time.monotonic()
        full = max(self._level, self._rate, _PACKET)
        self._level = min(full, self._level + (now - self._at) * self._rate)
        self._at = now
        if self._level < size:
            return False
        self._level -= size
        return True


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
    bucket: Bucket | None = None
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
