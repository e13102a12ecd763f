"""Sockets as the wire needs them: TTLs, the error queue, addresses.

Linux tells an unprivileged process which ICMP errors its packets caused, if it asks (IP_RECVERR) and
then reads the socket's error queue; and the TTL with which a datagram arrived (IP_RECVTTL). Python's
`socket` module lacks several of the names, so they are given here (linux/in.h, linux/in6.h,
linux/errqueue.h). What a connected TCP socket hears is described in `hops`.
"""

from __future__ import annotations

import errno
import ipaddress
import socket
import struct
from dataclasses import dataclass

from measurements.model import IcmpError

IP_TTL = 2
IP_RECVERR = 11
IP_RECVTTL = 12
IPV6_UNICAST_HOPS = 16
IPV6_RECVERR = 25
IPV6_RECVHOPLIMIT = 51
IPV6_HOPLIMIT = 52
MSG_ERRQUEUE = 0x2000

ICMP_TIME_EXCEEDED = {4: 11, 6: 3}  # RFC 792, RFC 4443
_ORIGIN_VERSION = {2: 4, 3: 6}  # SO_EE_ORIGIN_ICMP, SO_EE_ORIGIN_ICMP6; 1 is this machine itself
_ANCILLARY = 512


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An IP address, as `ipaddress` writes it, and a port."""

    address: str
    port: int

    @classmethod
    def parse(cls, text: str) -> Endpoint:
        """Read "ip:port" or "[ip6]:port"; raises ValueError."""
        host, colon, port = text.rpartition(":")
        if not colon or not port.isascii() or not port.isdigit() or not 0 < int(port) < 65536:
            raise ValueError(f"{text!r} is not an address and a port, such as 192.0.2.1:53 or [2001:db8::1]:53")
        return cls.of(host.removeprefix("[").removesuffix("]"), int(port))

    @classmethod
    def of(cls, address: str, port: int) -> Endpoint:
        """Make one of an address in any spelling; raises ValueError."""
        if not 0 <= port < 65536:
            raise ValueError(f"{port} is no port; ports go from 0 to 65535")
        return cls(str(ipaddress.ip_address(address)), port)

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"

    @property
    def host(self) -> str:
        """The address as a URL writes it."""
        return f"[{self.address}]" if ":" in self.address else self.address

    @property
    def family(self) -> socket.AddressFamily:
        return socket.AF_INET6 if ":" in self.address else socket.AF_INET

    @property
    def pair(self) -> tuple[str, int]:
        """The two first fields of the system's own form, in which sockets name a peer."""
        return (self.address, self.port)


def open_socket(family: socket.AddressFamily, kind: socket.SocketKind) -> socket.socket:
    """Open a socket that never blocks."""
    opened = socket.socket(family, kind | socket.SOCK_NONBLOCK)
    if family == socket.AF_INET6:
        opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    return opened


def own_port(sock: socket.socket) -> int:
    """Tell from which of this machine's ports the socket sends."""
    return int(sock.getsockname()[1])


def set_ttl(sock: socket.socket, ttl: int) -> None:
    """Send with this IP TTL, or hop limit, from now on."""
    if sock.family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, IPV6_UNICAST_HOPS, ttl)
    else:
        sock.setsockopt(socket.IPPROTO_IP, IP_TTL, ttl)


def default_ttl(sock: socket.socket) -> int:
    """Tell with which IP TTL, or hop limit, the socket sends."""
    if sock.family == socket.AF_INET6:
        return sock.getsockopt(socket.IPPROTO_IPV6, IPV6_UNICAST_HOPS)
    return sock.getsockopt(socket.IPPROTO_IP, IP_TTL)


def reset_on_close(sock: socket.socket, reset: bool = True) -> None:
    """Let closing send a reset, and give up what was sent and not acknowledged; or not so any more."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("=ii", int(reset), 0))


def hear_icmp(sock: socket.socket) -> None:
    """Ask for the error queue."""
    if sock.family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, IPV6_RECVERR, 1)
    else:
        sock.setsockopt(socket.IPPROTO_IP, IP_RECVERR, 1)


def hear_ttl(sock: socket.socket) -> None:
    """Ask for the TTL of every datagram."""
    if sock.family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, IPV6_RECVHOPLIMIT, 1)
    else:
        sock.setsockopt(socket.IPPROTO_IP, IP_RECVTTL, 1)


def receive_datagram(sock: socket.socket, size: int) -> tuple[bytes, int | None, tuple[str, int]]:
    """Read one datagram: data, its TTL, its source; raises OSError, BlockingIOError when there is none."""
    data, ancillary, _flags, source = sock.recvmsg(size, _ANCILLARY)
    return data, _arrival_ttl(ancillary), (source[0], source[1])


def _arrival_ttl(ancillary: list[tuple[int, int, bytes]]) -> int | None:
    for level, kind, data in ancillary:
        if (level, kind) in ((socket.IPPROTO_IP, IP_TTL), (socket.IPPROTO_IPV6, IPV6_HOPLIMIT)) and len(data) >= 4:
            return int(struct.unpack("=i", data[:4])[0])
    return None


def read_icmp(sock: socket.socket, arrival: float, most: int = 8) -> list[IcmpError]:
    """Drain the error queue: ICMP errors, and the like of this machine's own (which have no source)."""
    errors: list[IcmpError] = []
    for _ in range(most):
        try:
            _data, ancillary, _flags, _peer = sock.recvmsg(0, _ANCILLARY, MSG_ERRQUEUE)
        except OSError:
            break
        for level, kind, data in ancillary:
            wanted = ((socket.IPPROTO_IP, IP_RECVERR), (socket.IPPROTO_IPV6, IPV6_RECVERR))
            if (level, kind) in wanted and len(data) >= 16:
                errors.append(_icmp(data, arrival))
    return errors


def _icmp(data: bytes, arrival: float) -> IcmpError:
    """Read a `struct sock_extended_err` and the offender's address that follows it."""
    number, origin, kind, code = struct.unpack("=IBBB", data[:7])
    source = None
    if _ORIGIN_VERSION.get(origin) == 4 and len(data) >= 24:
        source = str(ipaddress.IPv4Address(data[20:24]))
    elif _ORIGIN_VERSION.get(origin) == 6 and len(data) >= 40:
        source = str(ipaddress.IPv6Address(data[24:40]))
    return IcmpError(
        arrival=arrival, source=source, type=kind, code=code, error=errno.errorcode.get(number, str(number))
    )
