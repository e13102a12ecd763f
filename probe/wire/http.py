"""One GET over a connection that already stands, asked as a browser asks.

httpx makes the request and httpcore speaks HTTP/1.1 or HTTP/2 on our own stream: nothing is resolved,
pooled or pinned, so the address is the one that was chosen and Host and SNI stay natural. Everything that
the peer can make us read, keep or compute is bounded: bytes on the wire and decoded, time, CPU, headers,
phases. What was seen before a bound, an error or a deadline ended the exchange stays in `Page`.

A deadline during the body is no failure while bytes still arrive (`truncated` is "time": a slow line); when
none came for half of the allowed time it is a stall, and fails with a timeout.
"""

from __future__ import annotations

import asyncio
import re
import ssl
import time
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx

from measurements.model import Failure
from probe.network import Limits
from probe.wire.body import Body, find_title
from probe.wire.cpu import CpuMeter
from probe.wire.failures import LimitReached, StepFailed, failure_of
from probe.wire.tcp import Allowance, Stream
from probe.wire.transport import HttpcoreTransport

USER_AGENT = "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:140.0) Gecko/20100101 Firefox/140.0"
CPU_SECONDS = 0.5
MOST_HEADERS = 128
MOST_HEADER_BYTES = 32 * 1024
MOST_PHASES = 32
LONGEST_LOCATION = 8192
REDIRECTS = (301, 302, 303, 307, 308)
_HOST = re.compile(r"[a-z0-9_-]+(\.[a-z0-9_-]+)*\.?|[0-9a-f:.]*:[0-9a-f:.]*", re.IGNORECASE)
_NO_HOST = re.compile(r"https?://(?:$|[/?#])", re.IGNORECASE)


@dataclass(slots=True)
class Page:
    """What an exchange has seen so far."""

    http_version: str | None = None
    status: int | None = None
    headers: tuple[tuple[str, str], ...] = ()
    headers_cut: bool = False
    body: Body | None = None
    truncated: str | None = None
    redirect: str | None = None
    detail: str = ""
    phases: list[tuple[str, float]] = field(default_factory=list)

    def header(self, name: str) -> str | None:
        return next((value for key, value in self.headers if key.lower() == name), None)

    def facts(self) -> dict[str, Any]:
        """The fields of an `HttpExchange` that this page knows."""
        known: dict[str, Any] = {
            "http_version": self.http_version,
            "status": self.status,
            "headers": self.headers,
            "truncated": self.truncated,
            "redirect": self.redirect,
            "phases": tuple(self.phases),
            "detail": self.detail,
        }
        if self.body is not None:
            kept = bytes(self.body.kept)
            known |= {
                "body": kept,
                "body_sha256": self.body.sha256,
                "body_length": self.body.length,
                "title": find_title(kept, self.header("content-type")),
            }
        return known


def browser_headers(scheme: str, host: str, *, http2: bool) -> list[tuple[str, str]]:
    """The headers of a browser's first visit, in its order (Firefox 140)."""
    headers = [
        ("Host", host),
        ("User-Agent", USER_AGENT),
        ("Accept", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"),
        ("Accept-Language", "en-US,en;q=0.5"),
        ("Accept-Encoding", "gzip, deflate"),
    ]
    if not http2:
        headers.append(("Connection", "keep-alive"))
    headers.append(("Upgrade-Insecure-Requests", "1"))
    if scheme == "https":
        headers += [
            ("Sec-Fetch-Dest", "document"),
            ("Sec-Fetch-Mode", "navigate"),
            ("Sec-Fetch-Site", "none"),
            ("Sec-Fetch-User", "?1"),
        ]
    headers.append(("Priority", "u=0, i"))
    return headers


def plain_request(host: str) -> bytes:
    """The bytes of a browser's first GET of `/`, for a packet that we send by hand."""
    lines = [f"{name}: {value}" for name, value in browser_headers("http", host, http2=False)]
    return "\r\n".join(["GET / HTTP/1.1", *lines, "", ""]).encode("latin-1")


async def exchange(
    stream: Stream,
    url: httpx.URL,
    page: Page,
    *,
    host: str | None,
    headers: Mapping[str, str],
    http2: bool,
    limits: Limits,
    wanted: int | None,
    timeout: float,
) -> None:
    """GET `url` and fill `page`; raises what the exchange failed with.

    `headers` replace the browser's of the same name. `wanted` is how many decoded bytes of the body a
    sample reads; None reads up to the caps.
    """
    meter = CpuMeter()
    stream.allowance = Allowance(limits.body_wire, CPU_SECONDS, meter)
    ended = False
    try:
        with failing_in_our_words():
            async with asyncio.timeout(timeout) as deadline:
                await meter.run(
                    _exchange(stream, url, page, host=host, headers=headers, http2=http2, limits=limits, wanted=wanted)
                )
        ended = page.truncated is None
    except LimitReached as limit:
        page.truncated = limit.name
        if page.status is None:
            raise StepFailed(Failure.HTTP_INVALID_RESPONSE, f"no response within our limits: {limit}") from None
    except TimeoutError:
        if page.status is None or not deadline.expired():
            raise
        page.truncated = "time"
        tell_stalled(time.perf_counter() - stream.last_arrival, timeout)
    finally:
        stream.allowance = None
        if not ended:
            stream.close()  # whatever else the peer sends would cost the volunteer's data
    page.redirect = redirect_of(page, url)


@contextmanager
def failing_in_our_words() -> Iterator[None]:
    """Make what TLS and the libraries raise while they read a response a `StepFailed`."""
    try:
        yield
    except ssl.SSLError as error:
        raise StepFailed(Failure.HTTP_REQUEST_FAILED, failure_of(error)[1]) from None
    except (ValueError, LookupError, TypeError) as error:  # the libraries met bytes that they did not foresee
        raise StepFailed(Failure.HTTP_INVALID_RESPONSE, f"{type(error).__name__}: {error}") from None


def tell_stalled(idle: float, timeout: float) -> None:
    """Raise StepFailed when the last byte came longer ago than half of the time that was allowed."""
    if idle >= timeout / 2:
        raise StepFailed(Failure.TIMEOUT, f"the body stalled: no byte for {idle:.1f} s")


async def _exchange(
    stream: Stream,
    url: httpx.URL,
    page: Page,
    *,
    host: str | None,
    headers: Mapping[str, str],
    http2: bool,
    limits: Limits,
    wanted: int | None,
) -> None:
    began = time.perf_counter()

    async def trace(phase: str, info: dict[str, Any]) -> None:
        if not phase.endswith(".started") and len(page.phases) < MOST_PHASES:
            page.phases.append((phase, time.perf_counter() - began))

    request = request_of(url, host=host, headers=headers, http2=http2)
    request.extensions["trace"] = trace
    async with respond(stream, request, http2=http2) as response:
        _take_head(response, page)
        most, limit = limits.body_decoded, "decoded"
        if wanted is not None and wanted < most:
            most, limit = wanted, "sample"
        page.body = Body(response.headers.get("content-encoding", ""), most, limit)
        await _take_body(response, page, page.body)


def request_of(url: httpx.URL, *, host: str | None, headers: Mapping[str, str], http2: bool) -> httpx.Request:
    """Make a browser's GET, in which `headers` replace those of the same name."""
    replaced = {name.lower(): value for name, value in headers.items()}
    sent = [
        (name, replaced.get(name.lower(), value))
        for name, value in browser_headers(url.scheme, host or url.netloc.decode("ascii"), http2=http2)
    ]
    return httpx.Request("GET", url, headers=sent)


@asynccontextmanager
async def respond(stream: Stream, request: httpx.Request, *, http2: bool) -> AsyncIterator[httpx.Response]:
    """Send a request over the stream, and lend its response until the block ends; with an error the stream resets."""
    if stream.http is None:
        stream.http = HttpcoreTransport(stream, http2=http2)
    with stream.unfinished():
        response = await stream.http.handle_async_request(request)
        try:
            yield response
        except BaseException:
            await response.aclose()
            raise
    await response.aclose()


def _take_head(response: httpx.Response, page: Page) -> None:
    version = response.extensions["http_version"].decode("ascii", "replace")
    keep_head(page, version, response.status_code, response.headers.raw)


def keep_head(page: Page, version: str, status: int, headers: Iterable[tuple[bytes, bytes]]) -> None:
    """Keep a response's status and, within bounds, its headers."""
    page.status, page.http_version = status, version
    kept: list[tuple[str, str]] = []
    left = MOST_HEADER_BYTES
    for name, value in headers:
        left -= len(name) + len(value)
        if len(kept) == MOST_HEADERS or left < 0:
            page.headers_cut = True
            break
        kept.append((name.decode("latin-1"), value.decode("latin-1")))
    page.headers = tuple(kept)


async def _take_body(response: httpx.Response, page: Page, body: Body) -> None:
    assert isinstance(response.stream, httpx.AsyncByteStream)
    try:
        async for data in response.stream:  # httpx's own iterators would close it, while we are not done with it
            if not body.feed(data):
                break
        else:
            body.finish()
    finally:
        page.truncated = body.truncated
        page.detail = body.problem


def redirect_of(page: Page, url: httpx.URL) -> str | None:
    """Resolve the Location of a redirect; raises StepFailed when a browser could not follow it."""
    location = page.header("location")
    if page.status not in REDIRECTS or not location:
        return None
    location = location.encode("latin-1").decode("utf-8", "replace").strip()
    unusable = StepFailed(Failure.HTTP_INVALID_REDIRECT, f"Location: {location}")
    if len(location) > LONGEST_LOCATION or _NO_HOST.match(location):
        raise unusable
    try:
        target = url.join(location)
    except (httpx.InvalidURL, ValueError):
        raise unusable from None
    if target.scheme in ("http", "https") and not _HOST.fullmatch(target.raw_host.decode("ascii", "replace")):
        raise unusable
    return str(target.copy_with(fragment=None))
