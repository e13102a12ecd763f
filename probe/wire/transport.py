"""httpx over one httpcore connection, which lies on a stream of ours that already stands.

httpx's own transport builds a pool that it does not let us shape, so this is the same bridge, shorter.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import h2.settings
import httpcore
import httpx


class _Http2(httpcore.AsyncHTTP2Connection):
    """An HTTP/2 connection for a known number of requests at a time, each of which leaves in one piece.

    httpcore takes a semaphore once for each stream that is *not* allowed yet, a round of the event loop
    each: for a hundred streams that is a third of what an exchange costs. And it writes the settings, the
    headers, the body and its end one by one: four records in four packets where one does.
    """

    def __init__(self, stream: httpcore.AsyncNetworkStream, streams: int) -> None:
        super().__init__(origin=_ORIGIN, stream=stream)
        self._streams = streams
        self._composing = False  # what h2 has to say waits for the rest of a request

    async def _send_request_headers(self, request: httpcore.Request, stream_id: int) -> None:
        self._composing = True
        await super()._send_request_headers(request, stream_id)

    async def _send_request_body(self, request: httpcore.Request, stream_id: int) -> None:
        await super()._send_request_body(request, stream_id)
        await self._send_composed(request)

    async def _receive_events(self, request: httpcore.Request, stream_id: int | None = None) -> None:
        await self._send_composed(request)  # a body may have to wait for the peer's window
        await super()._receive_events(request, stream_id)

    async def _send_composed(self, request: httpcore.Request) -> None:
        if self._composing:
            self._composing = False
            await self._write_outgoing_data(request)

    async def _write_outgoing_data(self, request: httpcore.Request) -> None:
        if not self._composing:
            await super()._write_outgoing_data(request)

    async def _send_connection_init(self, request: httpcore.Request) -> None:
        self._composing = True
        await super()._send_connection_init(request)
        self._h2_state.local_settings = h2.settings.Settings(
            client=True,
            initial_values={
                h2.settings.SettingCodes.ENABLE_PUSH: 0,
                h2.settings.SettingCodes.MAX_CONCURRENT_STREAMS: self._streams,
                h2.settings.SettingCodes.MAX_HEADER_LIST_SIZE: 65536,
            },
        )


class _Lock:
    """asyncio's lock in the form that httpcore uses.

    httpcore's own lets the event loop turn once whenever it is taken, a dozen times a request, also when
    nobody else wants it.
    """

    def __init__(self) -> None:
        self._lock = asyncio.Lock()

    async def __aenter__(self) -> _Lock:
        await self._lock.acquire()
        return self

    async def __aexit__(self, *_: object) -> None:
        self._lock.release()


def _with_swift_locks(handler: httpcore.AsyncConnectionInterface) -> None:
    """Give a connection that is new other locks."""
    for name, value in list(vars(handler).items()):
        if type(value).__name__ == "AsyncLock":
            setattr(handler, name, _Lock())


_ORIGIN = httpcore.Origin(b"", b"", 0)


class HttpcoreTransport(httpx.AsyncBaseTransport):
    """An httpx transport over a stream, for any origin: the stream was chosen, the URL says the rest."""

    def __init__(self, stream: httpcore.AsyncNetworkStream, *, http2: bool, streams: int = 1) -> None:
        handler = _Http2(stream, streams) if http2 else httpcore.AsyncHTTP11Connection(origin=_ORIGIN, stream=stream)
        handler.can_handle_request = lambda origin: True  # type: ignore[method-assign]
        _with_swift_locks(handler)
        self._handler = handler

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        url = request.url
        response = await self._handler.handle_async_request(
            httpcore.Request(
                method=request.method,
                url=httpcore.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path),
                headers=request.headers.raw,
                content=request.stream,
                extensions=request.extensions,
            )
        )
        return httpx.Response(
            response.status,
            headers=response.headers,
            stream=_ResponseStream(response),
            extensions=response.extensions,
        )

    async def aclose(self) -> None:
        await self._handler.aclose()


class _ResponseStream(httpx.AsyncByteStream):
    def __init__(self, response: httpcore.Response) -> None:
        self._response = response

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for part in self._response.aiter_stream():
            yield part

    async def aclose(self) -> None:
        await self._response.aclose()
