"""DNS over HTTPS (RFC 8484), to resolvers that the volunteer's network does not run.

Connections are shared by all measurements and kept, so that a lookup costs one round trip. Sharing has two
dangers. A measurement that is cut must not spoil what others use, so a query runs in a task of the client's
own, which a cancelled caller leaves running to its time limit. And a kept connection may be dead without
our knowing, so a query that fails on one, or gets no answer for half of its time, is put once more on a new
one; a block fails both times. What failed once is never used again.

httpcore's pool is not used: a request cancelled while others wait leaves its HTTP/2 state unusable.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Awaitable, Callable

import httpx

from measurements.model import Failure
from probe.network import Spent
from probe.wire.dns import Query
from probe.wire.failures import StepFailed
from probe.wire.tcp import Stream
from probe.wire.transport import HttpcoreTransport

MEDIA_TYPE = "application/dns-message"
LONGEST_MESSAGE = 64 * 1024
OVERHEAD = 150  # bytes of headers and records around a message, about
KEPT_FOR = 120.0
MOST_KEPT = 4
MOST_STREAMS = 32

Dial = Callable[[str, int], Awaitable[Stream]]
"""Opens a connection to a host, by name or address, and a port."""


class _Connection:
    """A connection that stands: for many queries at a time over HTTP/2, for one over HTTP/1.1."""

    def __init__(self, stream: Stream) -> None:
        self.shared = stream.tls is not None and stream.tls.selected_alpn_protocol() == "h2"
        self.users = 0
        self.last_used = time.perf_counter()
        self.transport = HttpcoreTransport(stream, http2=self.shared, streams=MOST_STREAMS)
        self._stream = stream
        self._retired = False

    @property
    def usable(self) -> bool:
        if self._retired or self._stream.closed or time.perf_counter() - self.last_used > KEPT_FOR:
            return False
        return self.shared or self.users == 0

    def retire(self) -> None:
        """Never use it again; close it when the last query has left it."""
        self._retired = True
        if self.users == 0:
            self._stream.close()

    def enter(self) -> None:
        self.users += 1

    def leave(self) -> None:
        self.users -= 1
        self.last_used = time.perf_counter()
        if self._retired:
            self.retire()


class DohClient:
    """One resolver, asked by POST."""

    def __init__(self, url: str, context: ssl.SSLContext, dial: Dial) -> None:
        self._url = httpx.URL(url)
        self._context = context
        self._dial = dial
        self._kept: list[_Connection] = []
        self._opening = asyncio.Lock()
        self._running: set[asyncio.Task[bytes]] = set()

    async def ask(self, query: Query, spent: Spent, *, timeout: float) -> bytes:
        """Send a query with id 0 and return the message that came back; raises what it failed with."""
        task = asyncio.create_task(self._ask(query, spent, timeout))
        self._running.add(task)
        task.add_done_callback(self._ended)
        return await asyncio.shield(task)

    def _ended(self, task: asyncio.Task[bytes]) -> None:
        self._running.discard(task)
        if not task.cancelled():
            task.exception()  # it was looked at, also when the caller has left

    async def _ask(self, query: Query, spent: Spent, timeout: float) -> bytes:
        deadline = asyncio.get_running_loop().time() + timeout
        kept = self._standing()
        if kept is not None:
            try:
                async with asyncio.timeout(timeout / 2):
                    return await self._post(kept, query, spent)
            except StepFailed:
                raise
            except Exception:  # whatever it was: a new connection decides
                kept.retire()
        async with asyncio.timeout_at(deadline):
            return await self._post(await self._open(spent), query, spent)

    def _standing(self) -> _Connection | None:
        """Return a connection that may be used now, and let go of those that never can be again."""
        for connection in list(self._kept):
            if not connection.usable and connection.users == 0:
                self._kept.remove(connection)
                connection.retire()
        return next((connection for connection in self._kept if connection.usable), None)

    async def _open(self, spent: Spent) -> _Connection:
        """Open a connection, unless another query has just opened one that serves for both."""
        async with self._opening:
            standing = self._standing()
            if standing is not None:
                return standing
            stream = await self._dial(self._url.host, self._url.port or 443)
            spent.connections += 1
            try:
                await stream.shake_hands(self._context, self._url.host)
            except BaseException:
                stream.close()
                raise
            connection = _Connection(stream)
            self._kept.append(connection)
            return connection

    async def _post(self, connection: _Connection, query: Query, spent: Spent) -> bytes:
        request = httpx.Request(
            "POST", self._url, content=query.wire, headers={"content-type": MEDIA_TYPE, "accept": MEDIA_TYPE}
        )
        spent.sent += len(query.wire) + OVERHEAD
        connection.enter()
        try:
            response = await connection.transport.handle_async_request(request)
            try:
                data = await _read(response)
            finally:
                await response.aclose()
        except BaseException:
            connection.retire()
            raise
        finally:
            connection.leave()
        if not connection.shared and sum(not c.shared for c in self._kept) > MOST_KEPT:
            connection.retire()
        spent.received += len(data) + OVERHEAD
        return data

    async def aclose(self) -> None:
        """End what is running and close every connection."""
        for task in self._running:
            task.cancel()
        if self._running:
            await asyncio.wait(self._running)
        for connection in self._kept:
            connection.retire()
        self._kept.clear()


async def _read(response: httpx.Response) -> bytes:
    if response.status_code != 200:
        raise StepFailed(Failure.HTTP_REQUEST_FAILED, f"the resolver answered with status {response.status_code}")
    data = bytearray()
    async for part in response.aiter_raw():
        data += part
        if len(data) > LONGEST_MESSAGE:
            raise StepFailed(Failure.DNS_MISBEHAVING, "the answer is larger than a DNS message can be")
    return bytes(data)
