"""Posting to a receiver on the web, when neither it nor its name can be trusted.

A name is looked up once. Every address found must be public, unless private ones are allowed; then one of these very
addresses is connected to, while certificate, SNI and Host go by the name. So a name that changes between the check and
the connection (rebinding) gains nothing. Nothing follows a redirect, and every answer is bounded in bytes and in time.

Behind `socks5://` it is the same, and the proxy gets the address. Behind `socks5h://` and `http://` the proxy looks the
name up, as is wanted where the local resolver lies, so only addresses and `localhost` can be refused here: what a name
leads to is then the proxy's business, and its network's.
"""

from __future__ import annotations

import asyncio
import ipaddress
import os
import ssl
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from pathlib import Path
from time import time
from urllib.parse import unquote, urlsplit

import certifi
import httpx

from measurements.alerts.notice import HookFailed
from measurements.alerts.secrets import Secret
from measurements.bogons import Bogons, why_not_public
from measurements.printable import clean
from measurements.targets import BadTarget, normalise

CONNECT = 8.0  # seconds for one address
DRAIN = 3.0  # seconds for what follows the status
MOST_ADDRESSES = 4
MOST_BYTES = 16 * 1024
LONGEST_WAIT = 86_400.0  # seconds that a receiver may ask us to wait
PROXIES = ("socks5", "socks5h", "http", "https")

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]


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


async def look_up(host: str, port: int) -> Sequence[str]:
    """Return the addresses of a name by the system's resolver; raises OSError."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


class Poster:
    """A receiver at `url`, and the way to it; raises ValueError when that cannot be.

    `refused` is the list of private addresses, or None to go anywhere. Without `plain`, only https is spoken.
    """

    def __init__(
        self,
        url: Secret,
        *,
        proxy: Secret | None = None,
        ca_file: Path | None = None,
        timeout: float = 20.0,
        refused: Bogons | None = None,
        plain: bool = False,
        resolve: Resolve = look_up,
    ) -> None:
        self._target, self._login, self._path = _split(url.reveal(), plain=plain)
        self._shown = f"{self._target.scheme}://{_netloc(self._target.host, self._target.port, self._target.scheme)}"
        self._proxy = None if proxy is None else _read_proxy(proxy.reveal())
        self._proxy_finds_names = self._proxy is not None and self._proxy.url.scheme != "socks5"
        self._ca_file = ca_file
        self._trust = None if ca_file is None else _trust(ca_file)
        self._timeout = _seconds(timeout)
        self._refused = refused
        self._resolve = resolve
        if refused is not None and _is_address(self._target.host):
            self._check(self._target.host, ValueError, "url: ")

    async def post(self, body: bytes, headers: Mapping[str, str]) -> Reply:
        """Post once and return what came back, whatever its status; raises `HookFailed` when nothing did."""
        try:
            async with asyncio.timeout(self._timeout):
                return await self._post(body, headers)
        except TimeoutError:
            raise HookFailed(f"{self._shown}: no answer within {self._timeout:g} s") from None

    async def _post(self, body: bytes, headers: Mapping[str, str]) -> Reply:
        why = ""
        for address in await self._addresses():
            try:
                return await self._exchange(address, body, headers)
            except httpx.ProxyError as error:
                raise HookFailed(f"{self._shown}: the proxy: {_words(error)}") from None
            except (httpx.ConnectError, httpx.ConnectTimeout) as error:
                why = why or _words(error)
            except (httpx.HTTPError, OSError) as error:
                raise HookFailed(f"{self._shown}: {_words(error)}") from None
            except Exception as error:  # a proxy may say anything, and httpcore asserts that it does not
                raise HookFailed(f"{self._shown}: what came back makes no sense ({type(error).__name__})") from None
        raise HookFailed(f"{self._shown}: {why}")

    async def _addresses(self) -> Sequence[str]:
        """Return what to connect to: checked addresses, or the name where the proxy looks it up."""
        host, port = self._target.host, self._target.port
        if self._proxy_finds_names or _is_address(host):
            if self._refused is not None and (host == "localhost" or host.endswith(".localhost")):
                raise HookFailed(f"{self._shown}: {host} is no public host; set allow_private if it is meant")
            return [host]
        try:
            found = await self._resolve(host, port)
        except OSError as error:
            raise HookFailed(f"{self._shown}: its name is not found ({error.strerror or 'no answer'})") from None
        if not found:
            raise HookFailed(f"{self._shown}: its name has no address")
        for address in found:
            self._check(address, HookFailed, f"{self._shown}: its name leads to ")
        return found[:MOST_ADDRESSES]

    def _check(self, address: str, refusal: type[Exception], before: str) -> None:
        if self._refused is not None and (why := why_not_public(address, self._refused)) is not None:
            raise refusal(f"{before}{address} is no public address: {why}; set allow_private if it is meant") from None

    async def _exchange(self, address: str, body: bytes, headers: Mapping[str, str]) -> Reply:
        target = self._target
        if self._trust is None:
            self._trust = _trust(None)
        limits = httpx.Timeout(self._timeout, connect=min(CONNECT, self._timeout))
        async with httpx.AsyncClient(
            verify=self._trust, proxy=self._proxy, trust_env=False, timeout=limits, auth=self._login
        ) as client:
            request = client.build_request(
                "POST",
                f"{target.scheme}://{_netloc(address, target.port, target.scheme)}{self._path}",
                content=body,
                headers={
                    "Host": _netloc(target.host, target.port, target.scheme),
                    "User-Agent": "wazi",
                    "Accept-Encoding": "identity",
                    **headers,
                },
                extensions={"sni_hostname": target.host},
            )
            response = await client.send(request, stream=True)
            try:
                return Reply(response.status_code, _retry_after(response), await _beginning(response))
            finally:
                await response.aclose()


def accept(reply: Reply, who: str, *, quote: bool = False) -> str:
    """Return the status in words when it says that all is well; else raise `HookFailed`.

    With `quote` the receiver's own words are given too, where they cannot hold a secret.
    """
    if 200 <= reply.status < 300:
        return reply.line
    why = f"{who} answered {reply.line}"
    if 300 <= reply.status < 400:
        raise HookFailed(f"{why}; redirects are not followed: write the address that it leads to")
    if reply.status == HTTPStatus.GONE:
        raise HookFailed(f"{why}: it wants no more alerts", gone=True)
    if quote and reply.text:
        why += f": {clean(reply.text, 200)}"
    raise HookFailed(why, retry_after=reply.retry_after)


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


def _split(url: str, *, plain: bool) -> tuple[_Target, httpx.BasicAuth | None, str]:
    """Split a URL into where to connect, a login, and the path; raises ValueError without the secret parts."""
    scheme, mark, rest = url.partition("://")
    if not mark or scheme.lower() not in ("http", "https"):
        raise ValueError("url must begin with https://")
    end = next((place for place, character in enumerate(rest) if character in "/?#"), len(rest))
    login, _, authority = rest[:end].rpartition("@")
    path = rest[end:].partition("#")[0]
    if any(not 0x21 <= ord(character) <= 0x7E for character in path):
        raise ValueError("url holds a space or a character that must be escaped, such as %20")
    try:
        target = normalise(f"{scheme}://{authority}/")
    except BadTarget as error:
        raise ValueError(f"url: {error}") from None
    if target.scheme == "http" and not plain:
        raise ValueError("url must begin with https://; over http:// everybody on the way can read it (allow_http)")
    user, _, password = login.partition(":")
    basic = httpx.BasicAuth(unquote(user), unquote(password)) if login else None
    return _Target(target.scheme, target.host, target.port), basic, path if path.startswith("/") else f"/{path}"


@dataclass(frozen=True, slots=True)
class _Target:
    scheme: str
    host: str
    port: int


def _netloc(host: str, port: int, scheme: str) -> str:
    netloc = f"[{host}]" if ":" in host else host
    return netloc if port == {"http": 80, "https": 443}[scheme] else f"{netloc}:{port}"


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _read_proxy(url: str) -> httpx.Proxy:
    scheme = url.partition("://")[0].lower()
    try:
        parts = urlsplit(url)
        if scheme not in PROXIES or not parts.hostname or not parts.port:
            raise ValueError
        return httpx.Proxy(url)
    except (ValueError, httpx.InvalidURL):
        raise ValueError("proxy must be like socks5h://127.0.0.1:9050, socks5://… or http://…, with a port") from None


def _seconds(timeout: float) -> float:
    if not 1.0 <= timeout <= 600.0:
        raise ValueError("timeout must be from 1 to 600 seconds")
    return timeout


def _trust(ca_file: Path | None) -> ssl.SSLContext:
    """Trust the authorities in a file, else the system's, else those that come with certifi."""
    if ca_file is None:
        system = ssl.get_default_verify_paths()
        has_some = system.cafile or (system.capath and os.listdir(system.capath))
        return ssl.create_default_context(cafile=None if has_some else certifi.where())
    try:
        return ssl.create_default_context(cafile=ca_file)
    except (OSError, ssl.SSLError):
        raise ValueError(f"ca_file {ca_file} holds no certificates that can be read (PEM)") from None


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


_WORDS: dict[type[BaseException], str] = {
    httpx.ConnectTimeout: "no connection in time",
    httpx.ProxyError: "it refused",
    httpx.TimeoutException: "no answer in time",
    httpx.RemoteProtocolError: "what came back is no HTTP, or was cut short",
    httpx.ReadError: "the connection broke off",
    httpx.WriteError: "the connection broke off",
}


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
