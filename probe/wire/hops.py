"""Who answers a packet that may only travel so far, without privileges.

A SYN is sent by connecting with a low IP TTL. With IP_RECVERR the system fails the connect when a router
says that the time was exceeded, and the error queue names the router (Linux 5.9 and later).

A ClientHello or a request needs a connection first: it is opened at the ordinary TTL, and only then is the
TTL lowered. For a connection that stands the system tells an ICMP error as an errno without the router's
address: EHOSTUNREACH after a packet that had to expire is read as `expired`, `router` unknown; the SYN with
the same TTL names it. The system's own retransmissions carry the same TTL. An ICMP error does not end
the waiting at once, since what sits at that router may answer as well. Before closing, the TTL is restored, and
the connection is reset so that the server does not keep it.
"""

from __future__ import annotations

import asyncio
import errno
import socket
import time
from dataclasses import dataclass
from typing import Any

from measurements.model import IcmpError
from probe.network import Spent
from probe.wire.sockets import (
    ICMP_TIME_EXCEEDED,
    Endpoint,
    default_ttl,
    hear_icmp,
    open_socket,
    own_port,
    read_icmp,
    receive_datagram,
    reset_on_close,
    set_ttl,
)
from probe.wire.tcp import open_stream

READ_SIZE = 4096
ICMP_GRACE = 0.3
_UNREACHABLE = (errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EACCES, errno.EPROTO, errno.ENOPROTOOPT)
_RESET = (errno.ECONNRESET, errno.EPIPE)


@dataclass(slots=True)
class Answer:
    """Who answered, in the words of `Hop`."""

    answer: str = "silence"
    router: str | None = None
    detail: str = ""
    local_port: int | None = None

    def facts(self) -> dict[str, Any]:
        return {
            "answer": self.answer,
            "router": self.router,
            "detail": self.detail,
            "local_port": self.local_port,
        }


async def send_syn(peer: Endpoint, ttl: int, answer: Answer, spent: Spent, timeout: float) -> None:
    """Send a SYN that travels `ttl` hops; raises OSError only when it could not be sent."""
    loop = asyncio.get_running_loop()
    with open_socket(peer.family, socket.SOCK_STREAM) as sock:
        hear_icmp(sock)
        set_ttl(sock, ttl)
        began = time.perf_counter()
        spent.connections += 1
        error = sock.connect_ex(peer.pair)
        answer.local_port = own_port(sock)
        if error == errno.EINPROGRESS:
            stirred = asyncio.Event()
            loop.add_writer(sock, stirred.set)
            try:
                async with asyncio.timeout(timeout):
                    await stirred.wait()
            except TimeoutError:
                return
            finally:
                loop.remove_writer(sock)
            error = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        _name_syn(peer, error, read_icmp(sock, time.perf_counter() - began), answer)
        if answer.answer == "open":
            reset_on_close(sock)


async def send_datagram(peer: Endpoint, ttl: int, data: bytes, answer: Answer, spent: Spent, timeout: float) -> None:
    """Send one UDP datagram that travels `ttl` hops; raises OSError only when it could not be sent.

    The socket is not connected, so that the error queue alone tells of ICMP errors, with the router's address.
    """
    loop = asyncio.get_running_loop()
    with open_socket(peer.family, socket.SOCK_DGRAM) as sock:
        hear_icmp(sock)
        set_ttl(sock, ttl)
        began = time.perf_counter()
        spent.connections += 1
        sock.sendto(data, peer.pair)
        answer.local_port = own_port(sock)
        spent.sent += len(data)
        stirred = asyncio.Event()
        loop.add_reader(sock, stirred.set)
        try:
            async with asyncio.timeout(timeout):
                while answer.answer == "silence":
                    await stirred.wait()
                    stirred.clear()
                    _name_datagram(peer, sock, time.perf_counter() - began, answer, spent)
        except TimeoutError:
            return
        finally:
            loop.remove_reader(sock)


def _name_datagram(peer: Endpoint, sock: socket.socket, elapsed: float, answer: Answer, spent: Spent) -> None:
    told = next((e for e in read_icmp(sock, elapsed) if e.source is not None), None)
    if told is not None:
        _name_icmp(peer, told, answer)
        return
    try:
        data, _ttl, source = receive_datagram(sock, READ_SIZE)
    except OSError:  # nothing yet, or an ICMP error, which the error queue tells in full
        return
    spent.received += len(data)
    if source == peer.pair:
        answer.answer = "data"


def _name_syn(peer: Endpoint, error: int, icmp: list[IcmpError], answer: Answer) -> None:
    told = next((e for e in icmp if e.source is not None), None)
    if told is not None:
        _name_icmp(peer, told, answer)
    elif error == 0:
        answer.answer = "open"
    elif error in (errno.ECONNREFUSED, errno.ECONNRESET):
        answer.answer = "reset"
    elif error != errno.ETIMEDOUT:
        raise OSError(error, "the SYN could not be sent")


def _name_icmp(peer: Endpoint, error: IcmpError, answer: Answer) -> None:
    version = 6 if ":" in peer.address else 4
    answer.answer = "expired" if error.type == ICMP_TIME_EXCEEDED[version] else "unreachable"
    answer.router = error.source
    answer.detail = f"ICMP type {error.type} code {error.code}"


async def send_data(peer: Endpoint, ttl: int, data: bytes, answer: Answer, spent: Spent, timeout: float) -> None:
    """Send `data` so that it travels `ttl` hops, over a new connection; raises OSError when there is none."""
    async with asyncio.timeout(timeout):
        stream = await open_stream(peer, spent)
    answer.local_port = own_port(stream.sock)
    ordinary = default_ttl(stream.sock)
    try:
        hear_icmp(stream.sock)
        set_ttl(stream.sock, ttl)
        await stream.send(data)
        try:
            async with asyncio.timeout(timeout) as waiting:
                await _watch(stream.sock, answer, spent, waiting)
        except TimeoutError:
            return
    finally:
        set_ttl(stream.sock, ordinary)
        reset_on_close(stream.sock)
        stream.close()


async def _watch(sock: socket.socket, answer: Answer, spent: Spent, waiting: asyncio.Timeout) -> None:
    """Wait for what answers; an ICMP error is noted and the waiting goes on for a little while."""
    loop = asyncio.get_running_loop()
    while True:
        try:
            data = await loop.sock_recv(sock, READ_SIZE)
        except OSError as error:
            if error.errno in _RESET:
                answer.answer = "reset"
                return
            if error.errno not in _UNREACHABLE:
                raise
            answer.answer = "expired" if error.errno == errno.EHOSTUNREACH else "unreachable"
            answer.detail = f"ICMP error: {errno.errorcode[error.errno]}"
            waiting.reschedule(min(waiting.when() or 0.0, loop.time() + ICMP_GRACE))
        else:
            spent.received += len(data)
            answer.answer = "data" if data else "eof"
            return
