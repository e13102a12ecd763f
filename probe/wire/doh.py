"""DNS over HTTPS (RFC 8484), to resolvers that the volunteer's network does not run.

Connections are shared by all measurements and kept, so that a lookup costs one round trip. httpcore's
pool opens them through `Dialer`, which puts them on our own streams and, for a resolver given by name,
finds its address by asking the local resolver ourselves: the system's blocking lookup is never used. That
first lookup may be lied to; the certificate, which is always verified, tells.

A kept connection may have been closed by the other side just when it is used again, so a query that
fails on one is tried once more on a new connection; a block fails both times.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

import h2.exceptions
import httpcore
import httpx

from measurements.model import Failure
from probe.network import Spent
from probe.wire.dns import Query
from probe.wire.failures import StepFailed
from probe.wire.sockets import Endpoint
from probe.wire.tcp import open_stream
from probe.wire.transport import HttpcoreTransport

MEDIA_TYPE = "application/dns-message"
LONGEST_MESSAGE = 64 * 1024
OVERHEAD = 150  # bytes of headers and records around a message, about
KEPT_FOR = 120.0
MOST_ADDRESSES = 3

FindAddresses = Callable[[str], Awaitable[list[str]]]
TRANSPORT_ERRORS = (httpcore.ProtocolError, httpcore.NetworkError, h2.exceptions.ProtocolError, OSError, EOFError)


class Dialer(httpcore.AsyncNetworkBackend):
    """Opens connections for the pool; `seen` is told this machine's own address on each."""

    def __init__(self, find: FindAddresses, spent: Spent, seen: Callable[[str], None]) -> None:
        self._find = find
        self._spent = spent
        self._seen = seen

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        error: OSError | None = None
        for address in (await self._find(host))[:MOST_ADDRESSES]:
            try:
                stream = await open_stream(Endpoint(address, port), self._spent)
            except OSError as failed:
                error = failed
            else:
                self._seen(stream.own_address)
                return stream
        raise error or StepFailed(Failure.NO_DNS_ANSWER, f"no address is known for {host}")

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class DohClient:
    """One resolver, asked by POST."""

    def __init__(self, url: str, context: ssl.SSLContext, dialer: Dialer) -> None:
        self._url = httpx.URL(url)
        pool = httpcore.AsyncConnectionPool(
            ssl_context=context, max_connections=4, keepalive_expiry=KEPT_FOR, http2=True, network_backend=dialer
        )
        self._transport = HttpcoreTransport(pool)

    async def ask(self, query: Query, spent: Spent, *, timeout: float) -> bytes:
        """Send a query with id 0 and return the message that came back; raises what it failed with."""
        async with asyncio.timeout(timeout):
            try:
                return await self._post(query, spent)
            except _Stale:
                return await self._post(query, spent, fresh=True)

    async def _post(self, query: Query, spent: Spent, *, fresh: bool = False) -> bytes:
        opened = fresh

        async def trace(event: str, info: dict[str, Any]) -> None:
            nonlocal opened
            if event == "connection.connect_tcp.started":
                opened = True
                spent.connections += 1

        request = httpx.Request(
            "POST",
            self._url,
            content=query.wire,
            headers={"content-type": MEDIA_TYPE, "accept": MEDIA_TYPE},
            extensions={"trace": trace},
        )
        spent.sent += len(query.wire) + OVERHEAD
        try:
            response = await self._transport.handle_async_request(request)
            try:
                return await _read(response, spent)
            finally:
                await response.aclose()
        except TRANSPORT_ERRORS:
            if opened:
                raise
            raise _Stale from None

    async def aclose(self) -> None:
        await self._transport.aclose()


class _Stale(Exception):
    """A kept connection turned out to be of no use any more."""


async def _read(response: httpx.Response, spent: Spent) -> bytes:
    if response.status_code != 200:
        raise StepFailed(Failure.HTTP_REQUEST_FAILED, f"the resolver answered with status {response.status_code}")
    data = bytearray()
    async for part in response.aiter_raw():
        data += part
        if len(data) > LONGEST_MESSAGE:
            raise StepFailed(Failure.DNS_MISBEHAVING, "the answer is larger than a DNS message can be")
    spent.received += len(data) + OVERHEAD
    return bytes(data)
