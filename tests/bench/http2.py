"""HTTP/2 for the bare side, in two ways: frames made by hand, and by the h2 library.

Frames by hand are the least that gets an answer from a server that behaves. The library keeps the states,
windows and header tables that the protocol asks for, as anything that meets strangers must.
"""

from __future__ import annotations

import asyncio
import struct
from abc import ABC, abstractmethod
from collections.abc import Sequence

import h2.config
import h2.connection
import h2.events

_DATA, _HEADERS, _SETTINGS, _PING, _WINDOW_UPDATE = 0, 1, 4, 6, 8
_END_STREAM = _ACK = 0x1
_END_HEADERS = 0x4
_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_LARGE_WINDOW = struct.pack("!I", 2**31 - 1 - 65535)
_STATUS_200 = 0x88  # the whole first header, by its index in HPACK's static table

Headers = Sequence[tuple[str, str]]


class Http2(ABC):
    """A connection that takes requests side by side and wants every response to have status 200."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._bodies: dict[int, bytearray] = {}
        self._done: dict[int, asyncio.Future[bytes]] = {}

    async def request(self, headers: Headers, body: bytes = b"") -> bytes:
        """Ask, and return the body of the response."""
        if self._reading.done():
            raise EOFError("the connection has ended")
        done: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        stream = self._ask(headers, body)
        self._bodies[stream] = bytearray()
        self._done[stream] = done
        return await done

    def start(self) -> None:
        self._greet()
        self._reading = asyncio.create_task(self._read_all())

    async def stop(self) -> None:
        self._reading.cancel()
        await asyncio.wait([self._reading])
        self._writer.transport.abort()

    async def _read_all(self) -> None:
        try:
            await self._read()
        except (OSError, EOFError) as error:
            for waiting in self._done.values():
                waiting.set_exception(error)

    def _ended(self, stream: int) -> None:
        self._done.pop(stream).set_result(bytes(self._bodies.pop(stream)))

    def _refused(self, stream: int, head: object) -> None:
        self._done.pop(stream).set_exception(ValueError(head))

    @abstractmethod
    def _greet(self) -> None: ...

    @abstractmethod
    def _ask(self, headers: Headers, body: bytes) -> int: ...

    @abstractmethod
    async def _read(self) -> None: ...


class ByHand(Http2):
    """A few frames: no header table, no flow control beyond one large window, no look at what is odd."""

    _next = 1

    def _greet(self) -> None:
        self._writer.write(_PREFACE + frame(_SETTINGS, 0, 0, b"") + frame(_WINDOW_UPDATE, 0, 0, _LARGE_WINDOW))

    def _ask(self, headers: Headers, body: bytes) -> int:
        stream, self._next = self._next, self._next + 2
        fields = b"".join(field(name, value) for name, value in headers)
        data = frame(_HEADERS, _END_HEADERS | (0 if body else _END_STREAM), stream, fields)
        self._writer.write(data + (frame(_DATA, _END_STREAM, stream, body) if body else b""))
        return stream

    async def _read(self) -> None:
        while True:
            head = await self._reader.readexactly(9)
            kind, flags, stream = struct.unpack("!BBI", head[3:])
            payload = await self._reader.readexactly(int.from_bytes(head[:3], "big"))
            if kind == _DATA:
                self._bodies[stream] += payload
                if flags & _END_STREAM:
                    self._ended(stream)
            elif kind == _HEADERS and payload[0] != _STATUS_200:
                self._refused(stream, payload)
            elif kind in (_SETTINGS, _PING) and not flags & _ACK:
                self._writer.write(frame(kind, _ACK, 0, payload if kind == _PING else b""))


class ByLibrary(Http2):
    """What h2 asks of its users, and no more."""

    def _greet(self) -> None:
        self._h2 = h2.connection.H2Connection(h2.config.H2Configuration())
        self._h2.initiate_connection()
        self._flush()

    def _flush(self) -> None:
        if data := self._h2.data_to_send():
            self._writer.write(data)

    def _ask(self, headers: Headers, body: bytes) -> int:
        stream = self._h2.get_next_available_stream_id()
        self._h2.send_headers(stream, headers, end_stream=not body)
        if body:
            self._h2.send_data(stream, body, end_stream=True)
        self._flush()
        return stream

    async def _read(self) -> None:
        while data := await self._reader.read(64 * 1024):
            for event in self._h2.receive_data(data):
                if isinstance(event, h2.events.ResponseReceived):
                    if dict(event.headers or ())[b":status"] != b"200":
                        self._refused(event.stream_id, event.headers)
                elif isinstance(event, h2.events.DataReceived):
                    self._bodies[event.stream_id] += event.data or b""
                    self._h2.acknowledge_received_data(event.flow_controlled_length or 0, event.stream_id)
                elif isinstance(event, h2.events.StreamEnded) and event.stream_id in self._done:
                    self._ended(event.stream_id)
            self._flush()
        raise EOFError


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    """Make one frame (RFC 9113, 4.1)."""
    return len(payload).to_bytes(3, "big") + struct.pack("!BBI", kind, flags, stream) + payload


def field(name: str, value: str) -> bytes:
    """Write one header out in full (RFC 7541, 6.2.2), without Huffman's code."""
    return b"\0" + _text(name) + _text(value)


def _text(text: str) -> bytes:
    data = text.encode("ascii")
    size, rest = len(data), b""
    if size >= 127:
        size, left = 127, size - 127
        while left >= 128:
            rest += bytes([left % 128 + 128])
            left //= 128
        rest += bytes([left])
    return bytes([size]) + rest + data
