"""One request to one address, by httpcore, bounded; imported when something is sent, for loading it takes long.

What went wrong is said in words of ours: errors of libraries quote addresses and URLs, and a receiver may say anything.
"""

from __future__ import annotations

import asyncio
import functools
import os
import ssl
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from time import time
from urllib.parse import unquote, urlsplit

import certifi
import httpcore

from measurements.printable import clean

CONNECT = 8.0  # seconds for one address
DRAIN = 3.0  # seconds for what follows the status
MOST_BYTES = 16 * 1024
LONGEST_WAIT = 86_400.0  # seconds that a receiver may ask us to wait


class NoConnection(Exception):
    """Nothing was sent, so another address may be tried; the text says why."""


class Broken(Exception):
    """It failed, and nobody knows whether the receiver has the message; the text says why."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back: the status, how long to wait if it said so, and the beginning of the body, cleaned."""

    status: int
    retry_after: float | None
    text: str

    @property
    def line(self) -> str:
        """The status in words of ours, for those of the receiver may say anything."""
        known = self.status in HTTPStatus._value2member_map_
        return f"{self.status} {HTTPStatus(self.status).phrase}" if known else str(self.status)


async def post(
    url: str,
    body: bytes,
    headers: Mapping[str, str],
    *,
    name: str,
    proxy: str | None,
    trust: ssl.SSLContext | None,
    timeout: float,
) -> Reply:
    """Post to `url`, whose host may be an address; `name` is whose certificate is asked for.

    Raises `NoConnection` and `Broken`.
    """
    ways = _Ways()
    limits = {"connect": min(CONNECT, timeout), "read": timeout, "write": timeout, "pool": timeout}
    try:
        async with _pool(proxy, trust, ways) as pool:
            request = pool.stream(
                "POST",
                url,
                headers=[*headers.items(), ("Content-Length", str(len(body)))],
                content=body,
                extensions={"timeout": limits, "sni_hostname": name},
            )
            async with request as response:
                said = {key.lower(): value.decode("latin-1") for key, value in response.headers}
                return Reply(response.status, _retry_after(response.status, said), await _beginning(response))
    except httpcore.ProxyError as error:
        raise Broken(f"the proxy: {_words(error)}") from None
    except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
        raise NoConnection(_words(error)) from None
    except (*_BROKEN, OSError) as error:
        raise Broken(_words(error)) from None
    except Exception as error:  # a proxy may say anything, and httpcore asserts that it does not
        raise Broken(f"what came back makes no sense ({type(error).__name__})") from None
    finally:
        await ways.close()


def _pool(proxy: str | None, trust: ssl.SSLContext | None, ways: _Ways) -> httpcore.AsyncConnectionPool:
    if proxy is None:
        return httpcore.AsyncConnectionPool(ssl_context=trust, network_backend=ways)
    parts = urlsplit(proxy)
    login = (unquote(parts.username), unquote(parts.password or "")) if parts.username else None
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    way = f"{parts.scheme}://{host}:{parts.port}"
    if parts.scheme.startswith("socks5"):
        return httpcore.AsyncSOCKSProxy(way, proxy_auth=login, ssl_context=trust, network_backend=ways)
    return httpcore.AsyncHTTPProxy(way, proxy_auth=login, ssl_context=trust, network_backend=ways)


class _Ways(httpcore.AsyncNetworkBackend):
    """Connects, and closes what was connected: httpcore forgets a connection when a SOCKS proxy refuses."""

    def __init__(self) -> None:
        self._inner = httpcore.AnyIOBackend()
        self._streams: list[httpcore.AsyncNetworkStream] = []

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        stream = await self._inner.connect_tcp(host, port, timeout, local_address, socket_options)
        self._streams.append(stream)
        return stream

    async def close(self) -> None:
        for stream in self._streams:
            with suppress(Exception):
                await stream.aclose()


@functools.cache
def trust() -> ssl.SSLContext:
    """Trust the system's authorities, or where there are none, those that come with certifi."""
    system = ssl.get_default_verify_paths()
    has_some = system.cafile or (system.capath and os.listdir(system.capath))
    return ssl.create_default_context(cafile=None if has_some else certifi.where())


async def _beginning(response: httpcore.Response) -> str:
    """Read some of the body; that there is no more of it, or that it does not end, changes nothing."""
    read = bytearray()
    with suppress(*_BROKEN, TimeoutError):
        async with asyncio.timeout(DRAIN):
            async for chunk in response.aiter_stream():
                read += chunk
                if len(read) >= MOST_BYTES:
                    break
    return clean(read[:2000].decode("utf-8", "replace"), 1000)


def _retry_after(status: int, headers: Mapping[bytes, str]) -> float | None:
    """Read Retry-After (RFC 9110, 10.2.3): seconds or a date; bounded."""
    said = headers.get(b"retry-after", "")[:40].strip()
    if status not in (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE) or not said:
        return None
    if said.isascii() and said.isdigit():
        return min(float(said), LONGEST_WAIT)
    try:
        return min(max(parsedate_to_datetime(said).timestamp() - time(), 0.0), LONGEST_WAIT)
    except (ValueError, OverflowError):
        return None


_WORDS: dict[type[BaseException], str] = {
    httpcore.ConnectTimeout: "no connection in time",
    httpcore.ProxyError: "it refused",
    httpcore.TimeoutException: "no answer in time",
    httpcore.ProtocolError: "what came back is no HTTP, or was cut short",
    httpcore.NetworkError: "the connection broke off",
}
_BROKEN = (httpcore.TimeoutException, httpcore.ProtocolError, httpcore.NetworkError)


def _words(error: BaseException) -> str:
    """Say what went wrong in words that hold no address and no URL."""
    causes = list(_causes(error))
    for cause in causes:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return f"its certificate is not valid: {clean(cause.verify_message, 100)}"
        if isinstance(cause, ssl.SSLError):
            return f"TLS failed ({clean((cause.reason or 'no reason given').replace('_', ' ').lower(), 60)})"
    for cause in causes:
        if isinstance(cause, OSError) and cause.errno and not isinstance(cause, TimeoutError):
            return os.strerror(cause.errno).lower() if cause.errno > 0 else "its name is not found"
    return next((words for kind, words in _WORDS.items() if isinstance(error, kind)), "no connection")


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and what it came from, the nearest first."""
    seen: set[int] = set()
    todo = [error]
    while todo and len(seen) < 20:
        one = todo.pop(0)
        if id(one) not in seen:
            seen.add(id(one))
            yield one
            todo += [cause for cause in (one.__cause__, one.__context__) if cause is not None]
            todo += one.exceptions if isinstance(one, BaseExceptionGroup) else []
