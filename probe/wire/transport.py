"""httpx over httpcore, where we choose what lies beneath: one standing connection, or a pool of our own.

httpx's own transport builds a pool that it does not let us shape, so this is the same bridge, shorter.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Protocol

import httpcore
import httpx


class RequestHandler(Protocol):
    """What httpcore's connections and pools have in common."""

    async def handle_async_request(self, request: httpcore.Request) -> httpcore.Response: ...

    async def aclose(self) -> None: ...


class HttpcoreTransport(httpx.AsyncBaseTransport):
    """An httpx transport over an httpcore connection or pool."""

    def __init__(self, handler: RequestHandler) -> None:
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
