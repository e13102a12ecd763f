"""QUIC over our own UDP socket: a handshake, and the question which versions a server speaks.

aioquic does the protocol and has no sockets: it is given datagrams and the time. The socket is ours, connected,
with IP_RECVERR, so that every read is bounded, ICMP errors are heard (and, since anybody can forge one, end the
wait only after `ICMP_GRACE`), what is spent is counted, and closing takes no longer than sending one datagram.

A server is *answered* by when a packet came that could be decrypted, or a Version Negotiation or Retry packet that
echoes what we sent. That is weaker than it sounds: the keys of Initial packets follow from the packet itself (RFC
9001, 5.2), so whoever sees ours can answer it. The first packet is sent again after one second, then two, as RFC
9002 (6.2.2) has it: not so often that a swallowed handshake would cost much data.

This module imports aioquic, which takes time and memory, so import it where it is used.
"""

from __future__ import annotations

import asyncio
import errno
import secrets
import socket
import ssl
from collections import deque
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any

from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.connection import QuicConnection
from aioquic.quic.events import ConnectionTerminated, HandshakeCompleted, StreamDataReceived, StreamReset
from aioquic.quic.packet import QuicErrorCode, QuicProtocolVersion
from cryptography.hazmat.primitives.serialization import Encoding

from measurements.model import Failure, IcmpError
from probe.network import Limits, Spent
from probe.wire.failures import LimitReached, StepFailed, failure_of_errno
from probe.wire.sockets import Endpoint, hear_icmp, open_socket, read_icmp

if TYPE_CHECKING:
    from aioquic.h3.connection import H3Connection

INITIAL_SIZE = 1200  # RFC 9000, 14.1
INITIAL_RTT = 0.333  # RFC 9002, 6.2.2
ICMP_GRACE = 0.3
WINDOW = 64 * 1024  # what a peer may have under way: it is read on, or paid for in vain
LARGEST_DATAGRAM = 4096
MOST_HANDSHAKE_DATAGRAMS = 256
MOST_EXCHANGE_DATAGRAMS = 2048
MOST_A_TURN = 64
MOST_ICMP = 16
MOST_VERSIONS = 32
ASK_AGAIN = 1.0  # seconds until the question for versions is sent a second time
TLS_ALERT = 0x100  # RFC 9001, 4.8
_HARMLESS_ICMP = ("EMSGSIZE",)


class Socket:
    """A UDP socket to one peer, its counts, and the ICMP errors it heard. Use as a context manager."""

    def __init__(self, peer: Endpoint, spent: Spent) -> None:
        self.peer = peer
        self.icmp: list[IcmpError] = []
        self.sent = self.received = self.datagrams = 0
        self.most_datagrams = MOST_HANDSHAKE_DATAGRAMS
        self._spent = spent
        self._began = asyncio.get_running_loop().time()
        self._refused_at: float | None = None  # when an ICMP error came that nothing contradicts
        self._answered = False
        self._sock = open_socket(peer.family, socket.SOCK_DGRAM)
        try:
            hear_icmp(self._sock)
            self._sock.connect(peer.pair)
        except BaseException:
            self._sock.close()
            raise
        spent.connections += 1

    def __enter__(self) -> Socket:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def own_address(self) -> str:
        return str(self._sock.getsockname()[0])

    @property
    def closed(self) -> bool:
        return self._sock.fileno() < 0

    def close(self) -> None:
        self._sock.close()

    def send(self, data: bytes) -> None:
        """Send a datagram; what the system has no room for is lost, as on the way. Raises OSError."""
        try:
            self._sock.send(data)
        except BlockingIOError:
            return
        except OSError as error:
            if not self._hear_errors():
                raise
            if error.errno in (errno.EMSGSIZE, errno.ECONNREFUSED, errno.EHOSTUNREACH):
                return  # told of an earlier datagram; the error queue has kept it
            raise
        self.sent += len(data)
        self._spent.sent += len(data)

    def receive(self) -> list[bytes]:
        """Take what has arrived, a bounded number of datagrams; raises LimitReached."""
        found: list[bytes] = []
        while len(found) < MOST_A_TURN:
            try:
                data = self._sock.recv(LARGEST_DATAGRAM)
            except BlockingIOError:
                break
            except OSError:  # an ICMP error, which the error queue describes
                self._hear_errors()
                continue
            found.append(data)
            self.received += len(data)
            self._spent.received += len(data)
        self.datagrams += len(found)
        if self.datagrams > self.most_datagrams:
            raise LimitReached("quic_datagrams")
        return found

    async def wait(self, until: float | None) -> None:
        """Wait until something may be read, or for the loop's time `until`; an ICMP error ends it after a grace.

        Raises OSError for an ICMP error that no answer contradicted; see `answered`.
        """
        loop = asyncio.get_running_loop()
        if self._refused_at is not None:
            grace = self._refused_at + ICMP_GRACE
            if loop.time() >= grace:
                self._raise_refusal()
            until = grace if until is None else min(until, grace)
        waiter: asyncio.Future[None] = loop.create_future()
        loop.add_reader(self._sock, _wake, waiter)
        try:
            async with asyncio.timeout_at(until):
                await waiter
        except TimeoutError:
            pass
        finally:
            loop.remove_reader(self._sock)
        self._hear_errors()

    def answered(self) -> None:
        """Take note that the peer is there: an ICMP error says nothing against it any more."""
        self._refused_at = None
        self._answered = True

    def _hear_errors(self) -> bool:
        loop = asyncio.get_running_loop()
        heard = read_icmp(self._sock, loop.time() - self._began)
        self.icmp += heard[: MOST_ICMP - len(self.icmp)]
        if self._refused_at is None and not self._answered and any(e.error not in _HARMLESS_ICMP for e in heard):
            self._refused_at = loop.time()
        return bool(heard)

    def _raise_refusal(self) -> None:
        error = next(e.error for e in self.icmp if e.error not in _HARMLESS_ICMP)
        raise StepFailed(failure_of_errno(getattr(errno, error, 0)), f"ICMP error: {error}")


def _wake(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)


# -- which versions?


def version_question() -> tuple[bytes, bytes, bytes]:
    """Make a packet of a version that nobody speaks (RFC 9000, 15: 0x?a?a?a?a), and its two connection ids.

    It is as long as a server demands of a first packet, and laid out as an Initial packet of version 1, for some
    servers read on before they look at the version. One that speaks QUIC answers with the versions that it knows,
    and must echo both ids. Returns (packet, our id, the id chosen for the server).
    """
    version = bytes(octet & 0xF0 | 0x0A for octet in secrets.token_bytes(4))
    ours, theirs = secrets.token_bytes(8), secrets.token_bytes(8)
    head = bytes([0xC0 | secrets.randbits(4)]) + version + b"\x08" + theirs + b"\x08" + ours + b"\0"  # no token
    rest = INITIAL_SIZE - len(head) - 2
    return head + (0x4000 | rest).to_bytes(2, "big") + secrets.token_bytes(rest), ours, theirs


def read_versions(data: bytes, ours: bytes, theirs: bytes) -> tuple[str, ...] | None:
    """Read a Version Negotiation packet (RFC 8999, 6) that echoes our ids; None when it is none."""
    head = b"\0\0\0\0" + bytes([len(ours)]) + ours + bytes([len(theirs)]) + theirs
    if not data or not data[0] & 0x80 or not data.startswith(head, 1):
        return None
    listed = data[1 + len(head) :]
    if not listed or len(listed) % 4:
        return None
    return tuple(f"0x{listed[i : i + 4].hex()}" for i in range(0, len(listed), 4))[:MOST_VERSIONS]


async def ask_versions(sock: Socket) -> tuple[str, ...]:
    """Ask which versions the peer speaks, a second time after a while; raises OSError, LimitReached."""
    question, ours, theirs = version_question()
    again: float | None = asyncio.get_running_loop().time() + ASK_AGAIN
    sock.send(question)
    while True:
        await sock.wait(again)
        for data in sock.receive():
            if (versions := read_versions(data, ours, theirs)) is not None:
                sock.answered()
                return versions
        if again is not None and asyncio.get_running_loop().time() >= again:
            sock.send(question)
            again = None


# -- the handshake


def first_datagram(name: str | None) -> bytes:
    """Make the datagram that begins a handshake under `name`, for a packet that is sent by hand."""
    quic = QuicConnection(configuration=_configuration(name, ("h3",)))
    quic.connect(("", 0), now=0.0)
    return quic.datagrams_to_send(now=0.0)[0][0]


def _configuration(name: str | None, alpn: tuple[str, ...]) -> QuicConfiguration:
    return QuicConfiguration(
        alpn_protocols=list(alpn),
        server_name=name,
        verify_mode=ssl.CERT_NONE,  # any certificate is taken, and judged afterwards
        supported_versions=[QuicProtocolVersion.VERSION_1],
        initial_rtt=INITIAL_RTT,
        max_data=WINDOW,
        max_stream_data=WINDOW,
    )


class Session:
    """One QUIC connection: aioquic's state, driven over a `Socket`."""

    def __init__(self, sock: Socket, name: str | None, alpn: tuple[str, ...]) -> None:
        self.socket = sock
        self.busy = False
        self.alpn: str | None = None
        self.quic = QuicConnection(configuration=_configuration(name, alpn))
        self.events: deque[StreamDataReceived | StreamReset] = deque()  # what nobody took yet; bounded by `WINDOW`
        self.http: H3Connection | None = None  # laid on this connection by its first exchange
        self._complete = False

    @property
    def answered(self) -> bool:
        """Whether a packet came from somebody who saw ours."""
        return self.quic._peer_cid.sequence_number is not None or self.quic._retry_count > 0 or self._refused_version

    @property
    def closed_by_peer(self) -> int | None:
        """The error code with which the peer closed the connection."""
        event = self._terminated
        return event.error_code if event is not None and self.quic._state.name == "DRAINING" else None

    @property
    def _terminated(self) -> ConnectionTerminated | None:
        return self.quic._close_event

    @property
    def _refused_version(self) -> bool:
        """Whether a Version Negotiation packet came that does not list the one version that we speak."""
        event = self._terminated
        return event is not None and event.reason_phrase == "Could not find a common protocol version"

    async def shake_hands(self) -> None:
        """Shake hands; raises StepFailed, LimitReached, OSError, and knows no limit of time."""
        self.quic.connect(self.socket.peer.pair, now=asyncio.get_running_loop().time())
        await self.drive(lambda: self._complete)

    def facts(self) -> dict[str, Any]:
        """The fields of a `QuicHandshake` that this connection knows."""
        version = self.quic._version if self._complete else None
        schedule = getattr(getattr(self.quic, "tls", None), "key_schedule", None)
        return {
            "answered": self.answered,
            "closed": self.closed_by_peer,
            "alpn": self.alpn,
            "version": None if version is None else f"0x{version:08x}",
            "cipher": schedule.cipher_suite.name if self._complete and schedule is not None else None,
        }

    def chain(self, limits: Limits) -> tuple[tuple[bytes, ...], bool]:
        """Return the chain the peer sent, leaf first, as DER within our limits; and whether that cut it."""
        tls = self.quic.tls
        sent = [tls._peer_certificate] if tls._peer_certificate is not None else []
        kept: list[bytes] = []
        left = limits.chain_bytes
        for certificate in (*sent, *tls._peer_certificate_chain):
            der = certificate.public_bytes(Encoding.DER)
            left -= len(der)
            if len(kept) == limits.chain_certificates or left < 0:
                return tuple(kept), True
            kept.append(der)
        return tuple(kept), False

    async def drive(self, done: Callable[[], bool]) -> None:
        """Send, wait and receive until `done`, which is asked whenever something may have changed."""
        loop = asyncio.get_running_loop()
        while True:
            self.flush()
            if done():
                return
            self._raise_if_closed()
            await self.socket.wait(self.quic.get_timer())
            now = loop.time()
            for data in self.socket.receive():
                self._feed(data, now)
            timer = self.quic.get_timer()
            if timer is not None and timer <= now:
                self.quic.handle_timer(now)
            if self.answered:
                self.socket.answered()
            self._take_events()

    def flush(self) -> None:
        """Send what is due."""
        for data, _peer in self.quic.datagrams_to_send(now=asyncio.get_running_loop().time()):
            self.socket.send(data)

    def close(self) -> None:
        """Say goodbye with one datagram to a peer that is there, and close the socket; idempotent."""
        if self.socket.closed:
            return
        if self.answered:
            self.quic.close()
            try:
                self.flush()
            except Exception:  # the network may be gone, and nothing depends on a goodbye
                self.socket.close()
        self.socket.close()

    def _feed(self, data: bytes, now: float) -> None:
        try:
            self.quic.receive_datagram(data, self.socket.peer.pair, now)
        except Exception as error:  # the peer's bytes can break a parser in more ways than it documents
            raise StepFailed(Failure.SSL_FAILED_HANDSHAKE, f"junk: {type(error).__name__}: {error}") from None

    def _take_events(self) -> None:
        while (event := self.quic.next_event()) is not None:
            if isinstance(event, HandshakeCompleted):
                self._complete, self.alpn = True, event.alpn_protocol
            elif isinstance(event, StreamDataReceived | StreamReset):
                self.events.append(event)

    def _raise_if_closed(self) -> None:
        """Raise what a closed connection stands for; a TLS alert travels as an error code (RFC 9001, 4.8)."""
        event = self._terminated
        if event is None:
            return
        who = "the peer" if self.closed_by_peer is not None else "we"
        words = f"{who} closed: 0x{event.error_code:x} {event.reason_phrase}".rstrip()
        if self._refused_version:
            raise StepFailed(Failure.QUIC_INCOMPATIBLE_VERSION, words)
        if TLS_ALERT <= event.error_code <= TLS_ALERT + 0xFF:
            raise StepFailed(Failure.SSL_FAILED_HANDSHAKE, f"alert: {event.error_code - TLS_ALERT}; {words}")
        if event.error_code == QuicErrorCode.CONNECTION_REFUSED:
            raise StepFailed(Failure.CONNECTION_REFUSED, words)
        raise StepFailed(Failure.CONNECTION_ABORTED, words)
