"""One request to one address, by httpx, bounded; imported when something is sent, for httpx takes long to load.

What went wrong is said in words of ours: errors of libraries quote addresses and URLs, and a receiver may say anything.
"""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from time import time

import certifi
import httpx

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
    login: tuple[str, str] | None,
    proxy: str | None,
    trust: ssl.SSLContext,
    timeout: float,
) -> Reply:
    """Post to `url`, whose host may be an address; `name` is whose certificate is asked for.

    Raises `NoConnection` and `Broken`.
    """
    limits = httpx.Timeout(timeout, connect=min(CONNECT, timeout))
    auth = httpx.BasicAuth(*login) if login else None
    try:
        async with httpx.AsyncClient(verify=trust, proxy=proxy, trust_env=False, timeout=limits, auth=auth) as client:
            request = client.build_request(
                "POST", url, content=body, headers=dict(headers), extensions={"sni_hostname": name}
            )
            response = await client.send(request, stream=True)
            try:
                return Reply(response.status_code, _retry_after(response), await _beginning(response))
            finally:
                await response.aclose()
    except httpx.ProxyError as error:
        raise Broken(f"the proxy: {_words(error)}") from None
    except (httpx.ConnectError, httpx.ConnectTimeout) as error:
        raise NoConnection(_words(error)) from None
    except (httpx.HTTPError, OSError) as error:
        raise Broken(_words(error)) from None
    except Exception as error:  # a proxy may say anything, and httpcore asserts that it does not
        raise Broken(f"what came back makes no sense ({type(error).__name__})") from None


def trust() -> ssl.SSLContext:
    """Trust the system's authorities, or where there are none, those that come with certifi."""
    system = ssl.get_default_verify_paths()
    has_some = system.cafile or (system.capath and os.listdir(system.capath))
    return ssl.create_default_context(cafile=None if has_some else certifi.where())


async def _beginning(response: httpx.Response) -> str:
    """Read some of the body; that there is no more of it, or that it does not end, changes nothing."""
    read = bytearray()
    with suppress(httpx.HTTPError, TimeoutError):
        async with asyncio.timeout(DRAIN):
            async for chunk in response.aiter_raw(4096):
                read += chunk
                if len(read) >= MOST_BYTES:
                    break
    return clean(read[:2000].decode("utf-8", "replace"), 1000)


def _retry_after(response: httpx.Response) -> float | None:
    """Read Retry-After (RFC 9110, 10.2.3): seconds or a date; bounded."""
    said = response.headers.get("retry-after", "")[:40].strip()
    if response.status_code not in (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE) or not said:
        return None
    if said.isascii() and said.isdigit():
        return min(float(said), LONGEST_WAIT)
    try:
        return min(max(parsedate_to_datetime(said).timestamp() - time(), 0.0), LONGEST_WAIT)
    except (ValueError, OverflowError):
        return None


_WORDS: dict[type[BaseException], str] = {
    httpx.ConnectTimeout: "no connection in time",
    httpx.ProxyError: "it refused",
    httpx.TimeoutException: "no answer in time",
    httpx.RemoteProtocolError: "what came back is no HTTP, or was cut short",
    httpx.ReadError: "the connection broke off",
    httpx.WriteError: "the connection broke off",
}


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
