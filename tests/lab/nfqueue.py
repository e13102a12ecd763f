"""NFQUEUE over a raw netlink socket: the kernel asks, this process answers accept or drop.

The layout is that of linux/netfilter/nfnetlink_queue.h. A packet waits in the kernel until its verdict
comes; without a reader it is dropped, so that a dead censor cannot pass for an open network.
"""

from __future__ import annotations

import os
import socket
import struct
from dataclasses import dataclass

DROP, ACCEPT = 0, 1

_NETLINK_NETFILTER = 12
_SOL_NETLINK, _NO_ENOBUFS = 270, 5
_SO_RCVBUFFORCE = 33
_PACKET, _VERDICT, _CONFIG, _VERDICT_BATCH = 0x300, 0x301, 0x302, 0x303
_REQUEST, _ACK = 1, 4
_ERROR = 2
_CFG_COMMAND, _CFG_PARAMETERS, _CFG_CAPACITY, _CFG_MASK, _CFG_FLAGS = 1, 2, 3, 4, 5
_BIND = 1
_COPY_NOTHING, _COPY_PACKET = 1, 2
_FLAG_GSO = 4
_ATTR_HEADER, _ATTR_VERDICT, _ATTR_PAYLOAD = 1, 2, 10
_HEADERS = 20  # netlink's 16 bytes and netfilter's 4


@dataclass(frozen=True, slots=True)
class Queued:
    """A packet that waits for its verdict; `payload` is empty when the queue copies nothing."""

    id: int
    payload: bytes


def _attribute(kind: int, data: bytes) -> bytes:
    length = 4 + len(data)
    return struct.pack("=HH", length, kind) + data + b"\0" * (-length % 4)


class Queue:
    """One queue of this network namespace. With `copy` false only ids come, which is faster."""

    def __init__(self, number: int, *, copy: bool = True, capacity: int = 20_000) -> None:
        self.number = number
        self.socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_NETFILTER)
        self._grow_buffer()
        self.socket.setsockopt(_SOL_NETLINK, _NO_ENOBUFS, 1)
        self.socket.bind((0, 0))
        self._configure(_attribute(_CFG_COMMAND, struct.pack(">BBH", _BIND, 0, 0)))
        mode = _COPY_PACKET if copy else _COPY_NOTHING
        self._configure(_attribute(_CFG_PARAMETERS, struct.pack(">IB", 0xFFFF if copy else 0, mode)))
        self._configure(_attribute(_CFG_CAPACITY, struct.pack(">I", capacity)))
        flags = struct.pack(">I", _FLAG_GSO)
        self._configure(_attribute(_CFG_MASK, flags) + _attribute(_CFG_FLAGS, flags))

    def _grow_buffer(self) -> None:
        try:
            self.socket.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, 64 << 20)
        except PermissionError:  # in a user namespace
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)

    def _message(self, kind: int, body: bytes, flags: int = _REQUEST) -> bytes:
        header = struct.pack("=IHHII", _HEADERS + len(body), kind, flags, 0, 0)
        return header + struct.pack(">BBH", 0, 0, self.number) + body

    def _configure(self, body: bytes) -> None:
        self.socket.send(self._message(_CONFIG, body, _REQUEST | _ACK))
        answer = self.socket.recv(65536)
        kind, error = struct.unpack_from("=H", answer, 4)[0], struct.unpack_from("=i", answer, 16)[0]
        if kind == _ERROR and error:
            raise OSError(-error, os.strerror(-error), f"nfqueue {self.number}")

    def receive(self) -> Queued:
        """Return the next packet; raise `BlockingIOError` when the socket does not block and none waits."""
        while True:
            data = self.socket.recv(0x20000)
            if struct.unpack_from("=H", data, 4)[0] == _PACKET:
                return self._parse(data)

    @staticmethod
    def _parse(data: bytes) -> Queued:
        number, payload, at = 0, b"", _HEADERS
        while at + 4 <= len(data):
            length, kind = struct.unpack_from("=HH", data, at)
            if length < 4:
                break
            if kind & 0x3FFF == _ATTR_HEADER:
                number = struct.unpack_from(">I", data, at + 4)[0]
            elif kind & 0x3FFF == _ATTR_PAYLOAD:
                payload = data[at + 4 : at + length]
            at += (length + 3) & ~3
        return Queued(number, payload)

    def judge(self, number: int, verdict: int) -> None:
        """Let one packet pass or drop it."""
        self.socket.send(self._message(_VERDICT, _attribute(_ATTR_VERDICT, struct.pack(">II", verdict, number))))

    def accept_through(self, number: int) -> None:
        """Let pass every waiting packet up to `number`."""
        body = _attribute(_ATTR_VERDICT, struct.pack(">II", ACCEPT, number))
        self.socket.send(self._message(_VERDICT_BATCH, body))
