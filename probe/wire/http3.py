"""One GET over a QUIC connection that stands: HTTP/3 (RFC 9114), asked as a browser asks, within the same bounds.

The peer's header blocks are decoded without a dynamic table (we offer none) and only up to a length: a short block
that refers again and again to one long entry would else become megabytes (as in HTTP/2, RFC 9204, 7.3).
A page that was left before its end closes the connection, as what else the peer sends would cost the volunteer's data.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping

import httpx
import pylsqpack
from aioquic.h3.connection import ErrorCode, H3Connection, MessageError
from aioquic.h3.events import DataReceived, H3Event, Headers, HeadersReceived
from aioquic.quic.events import StreamReset
from aioquic.quic.packet import QuicErrorCode

from measurements.model import Failure
from probe.network import Limits
from probe.wire.body import Body
from probe.wire.cpu import CpuMeter
from probe.wire.failures import LimitReached, StepFailed
from probe.wire.http import MOST_HEADER_BYTES, Page, browser_headers, keep_head, redirect_of, tell_stalled
from probe.wire.quic import MOST_EXCHANGE_DATAGRAMS, Session

CPU_SECONDS = 2.0  # a packet costs far more here than a segment does in the kernel
_HOP_BY_HOP = ("host", "connection")


class _Client(H3Connection):
    """aioquic's HTTP/3, with bounds on what header blocks may cost."""

    def _init_connection(self) -> None:
        self._max_table_capacity = self._blocked_streams = 0
        self._decoder = pylsqpack.Decoder(0, 0)
        self._max_push_id = None
        super()._init_connection()

    def _decode_headers(self, stream_id: int, frame_data: bytes | None) -> Headers:
        if frame_data is not None and len(frame_data) > MOST_HEADER_BYTES:
            raise MessageError("the header block is longer than we read")
        return super()._decode_headers(stream_id, frame_data)


async def exchange(
    session: Session,
    url: httpx.URL,
    page: Page,
    *,
    host: str | None,
    headers: Mapping[str, str],
    limits: Limits,
    wanted: int | None,
    timeout: float,
) -> None:
    """GET `url` and fill `page`; raises what the exchange failed with. See `probe.wire.http.exchange`."""
    meter = CpuMeter()
    loop = asyncio.get_running_loop()
    reading = _Reading(session, page, limits, wanted, meter)
    session.socket.most_datagrams = session.socket.datagrams + MOST_EXCHANGE_DATAGRAMS
    try:
        async with asyncio.timeout(timeout) as deadline:
            reading.begin(url, host, headers)
            await meter.run(session.drive(reading.done))
        reading.finish()
    except LimitReached as limit:
        page.truncated = limit.name
        if page.status is None:
            raise StepFailed(Failure.HTTP_INVALID_RESPONSE, f"no response within our limits: {limit}") from None
    except TimeoutError:
        if page.status is None or not deadline.expired():
            raise
        page.truncated = "time"
        tell_stalled(loop.time() - reading.last_arrival, timeout)
    except StepFailed as failed:
        raise StepFailed(_failure_now(session, failed.failure), failed.detail) from None
    finally:
        if not reading.ended or page.truncated is not None:
            session.close()
    page.redirect = redirect_of(page, url)


def _failure_now(session: Session, failure: Failure) -> Failure:
    """Name what ended a connection after its handshake: a peer that left, or one that answered nonsense."""
    code = session.closed_by_peer
    if code in (QuicErrorCode.NO_ERROR, ErrorCode.H3_NO_ERROR):
        return Failure.EOF
    ours = failure in (Failure.SSL_FAILED_HANDSHAKE, Failure.CONNECTION_ABORTED) and code is None
    return Failure.HTTP_INVALID_RESPONSE if ours else failure


class _Reading:
    """A response that is coming in."""

    def __init__(self, session: Session, page: Page, limits: Limits, wanted: int | None, meter: CpuMeter) -> None:
        self.ended = False
        self.last_arrival = asyncio.get_running_loop().time()
        self._session = session
        self._page = page
        self._meter = meter
        self._wire_from, self._wire_most = session.socket.received, limits.body_wire
        self._seen = session.socket.received
        sampled = wanted is not None and wanted < limits.body_decoded
        self._most, self._limit = (wanted or 0, "sample") if sampled else (limits.body_decoded, "decoded")
        self._stream = -1

    def begin(self, url: httpx.URL, host: str | None, headers: Mapping[str, str]) -> None:
        """Put the request on a stream of its own."""
        if self._session.http is None:
            self._session.http = _Client(self._session.quic)
        http = self._session.http
        replaced = {name.lower(): value for name, value in headers.items()}
        authority = host or url.netloc.decode("ascii")
        shown = [
            (name.lower(), replaced.get(name.lower(), value))
            for name, value in browser_headers(url.scheme, authority, http2=True)
            if name.lower() not in _HOP_BY_HOP
        ]
        pseudo = [(":method", "GET"), (":scheme", url.scheme), (":authority", replaced.get("host", authority))]
        request = [*pseudo, (":path", url.raw_path.decode("ascii")), *shown]
        self._stream = self._session.quic.get_next_available_stream_id()
        http.send_headers(self._stream, [(n.encode("ascii"), v.encode("latin-1")) for n, v in request], end_stream=True)

    def done(self) -> bool:
        """Take what came, and say whether the page is whole, or cut; raises LimitReached and StepFailed."""
        sock = self._session.socket
        if sock.received > self._seen:
            self._seen, self.last_arrival = sock.received, asyncio.get_running_loop().time()
        for event in self._events():
            if event.stream_id != self._stream:
                continue
            if isinstance(event, HeadersReceived):
                self._take_head(event.headers)
            else:
                self._take_body(event.data)
            self.ended = self.ended or event.stream_ended
        if sock.received - self._wire_from > self._wire_most and not self.ended:
            raise LimitReached("wire")
        if self._meter.used > CPU_SECONDS:
            raise LimitReached("cpu")
        return self.ended or self._page.truncated is not None

    def _take_body(self, data: bytes) -> None:
        body = self._page.body
        if body is not None and self._page.truncated is None and not body.feed(data):
            self.finish()

    def finish(self) -> None:
        """Take note of what became of the body."""
        body = self._page.body
        if body is not None:
            if self.ended:
                body.finish()
            self._page.truncated, self._page.detail = body.truncated, body.problem
        elif self._page.status is None:
            raise StepFailed(Failure.EOF, "the stream ended without a response")

    def _events(self) -> Iterator[HeadersReceived | DataReceived]:
        http = self._session.http
        assert http is not None
        while self._session.events:
            event = self._session.events.popleft()
            if isinstance(event, StreamReset) and event.stream_id == self._stream:
                raise StepFailed(Failure.CONNECTION_RESET, f"the stream was reset: 0x{event.error_code:x}")
            told: list[H3Event] = http.handle_event(event)
            yield from (each for each in told if isinstance(each, HeadersReceived | DataReceived))

    def _take_head(self, headers: Headers) -> None:
        """Keep the head of the final response; an interim one (RFC 9110, 15.2) is passed over, trailers too."""
        status = int(next((value for name, value in headers if name == b":status"), b"0"))
        if status < 200 or self._page.status is not None:
            return
        keep_head(self._page, "HTTP/3", status, (pair for pair in headers if not pair[0].startswith(b":")))
        self._page.body = Body(self._page.header("content-encoding") or "", self._most, self._limit)
