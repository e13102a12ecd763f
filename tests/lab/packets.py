"""Reading IP packets as a censor does, and forging them; IPv4 and IPv6, TCP and UDP.

Extension headers and fragments are not looked into: such packets are let pass.
"""

from __future__ import annotations

import socket
import struct
from dataclasses import dataclass

TCP, UDP = 6, 17
FIN, SYN, RST, PSH, ACK = 0x01, 0x02, 0x04, 0x08, 0x10
Flow = tuple[bytes, int, bytes, int]


@dataclass(frozen=True, slots=True)
class Packet:
    """A TCP or UDP packet; the TCP fields are zero for UDP."""

    source: bytes
    target: bytes
    protocol: int
    source_port: int
    target_port: int
    sequence: int
    acknowledged: int
    flags: int
    data: bytes

    @property
    def flow(self) -> Flow:
        return self.source, self.source_port, self.target, self.target_port

    @property
    def reverse(self) -> Flow:
        return self.target, self.target_port, self.source, self.source_port

    @property
    def target_address(self) -> str:
        return address_text(self.target)


def address_text(address: bytes) -> str:
    return socket.inet_ntop(socket.AF_INET if len(address) == 4 else socket.AF_INET6, address)


def parse(raw: bytes) -> Packet | None:
    """Read an IP packet; None when it is neither TCP nor UDP, or is cut short."""
    try:
        if raw[0] >> 4 == 4:
            at, protocol, source, target = (raw[0] & 15) * 4, raw[9], raw[12:16], raw[16:20]
        else:
            at, protocol, source, target = 40, raw[6], raw[8:24], raw[24:40]
        if protocol not in (TCP, UDP):
            return None
        from_port, to_port = struct.unpack_from(">HH", raw, at)
        if protocol == UDP:
            return Packet(source, target, UDP, from_port, to_port, 0, 0, 0, raw[at + 8 :])
        sequence, acknowledged, offset, flags = struct.unpack_from(">IIBB", raw, at + 4)
        data = raw[at + (offset >> 4) * 4 :]
        return Packet(source, target, TCP, from_port, to_port, sequence, acknowledged, flags, data)
    except (IndexError, struct.error):
        return None


def checksum(data: bytes) -> int:
    """Return the Internet checksum (RFC 1071)."""
    data += b"\0" * (len(data) % 2)
    total: int = sum(struct.unpack(f">{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


class Forger:
    """Sends packets whose sender is somebody else."""

    def __init__(self) -> None:
        self._sockets = {
            4: socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW),
            16: socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_RAW),
        }

    def reset(self, packet: Packet, *, ttl: int = 64) -> None:
        """End the connection of `packet`, which must not be let pass, for both of its sides."""
        self.reply(packet, RST | ACK, ttl=ttl)
        self.abort(packet)

    def abort(self, packet: Packet) -> None:
        """End the connection of `packet` for its receiver only."""
        head = struct.pack(">HHIIBBH", packet.source_port, packet.target_port, packet.sequence, 0, 0x50, RST, 0)
        self._send(packet.source, packet.target, TCP, head, b"\0\0", b"", 64)

    def reply(self, packet: Packet, flags: int, data: bytes = b"", *, ttl: int = 64) -> None:
        """Answer the TCP `packet` in its receiver's name."""
        consumed = len(packet.data) + bool(packet.flags & SYN)
        numbers = (packet.acknowledged, (packet.sequence + consumed) & 0xFFFFFFFF)
        head = struct.pack(">HHIIBBH", packet.target_port, packet.source_port, *numbers, 0x50, flags, 8192)
        self._send(packet.target, packet.source, TCP, head, b"\0\0", data, ttl)

    def answer(self, packet: Packet, data: bytes, *, ttl: int = 64) -> None:
        """Answer the UDP `packet` in its receiver's name."""
        head = struct.pack(">HHH", packet.target_port, packet.source_port, 8 + len(data))
        self._send(packet.target, packet.source, UDP, head, b"", data, ttl)

    def _send(
        self, source: bytes, target: bytes, protocol: int, head: bytes, tail: bytes, data: bytes, ttl: int
    ) -> None:
        """Put the checksum between a transport header's `head` and `tail`, an IP header before it, and send."""
        size = len(head) + 2 + len(tail) + len(data)
        pseudo = source + target + struct.pack(">HH", protocol, size)  # its sum is the same in IPv4 and IPv6
        body = head + struct.pack(">H", checksum(pseudo + head + tail + data) or 0xFFFF) + tail + data
        if len(source) == 4:
            header = struct.pack(">BBHHHBBH", 0x45, 0, 20 + size, 0, 0x4000, ttl, protocol, 0) + source + target
        else:
            header = struct.pack(">IHBB", 6 << 28, size, protocol, ttl) + source + target
        self._sockets[len(source)].sendto(header + body, (address_text(target), 0))
