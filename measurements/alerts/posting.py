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
import base64
import ipaddress
import ssl
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from measurements.alerts.notice import LONGEST, HookFailed
from measurements.alerts.secrets import Secret
from measurements.bogons import Bogons, why_not_public
from measurements.printable import clean
from measurements.targets import BadTarget, normalise

if TYPE_CHECKING:
    from measurements.alerts.exchange import Reply

MOST_ADDRESSES = 4
PROXIES = ("socks5", "socks5h", "http")
_PORTS = {"http": 80, "https": 443}

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]


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
        self._target = _split(url.reveal(), plain=plain)
        self._shown = f"{self._target.scheme}://{self._target.netloc}"
        self._proxy = None if proxy is None else check_proxy(proxy)
        self._proxy_finds_names = self._proxy is not None and not self._proxy.startswith("socks5:")
        self._trust = None if ca_file is None else _read_authorities(ca_file)
        self._timeout = timeout
        self._refused = refused
        self._resolve = resolve
        if not 1.0 <= timeout <= LONGEST:
            raise ValueError(f"timeout must be from 1 to {LONGEST:g} seconds")
        if _is_address(self._target.host) and (why := self._refusal(self._target.host)):
            raise ValueError(f"url leads to {why}")

    async def post(self, body: bytes, headers: Mapping[str, str]) -> Reply:
        """Post once and return what came back, whatever its status; raises `HookFailed` when nothing did."""
        from measurements.alerts.exchange import Broken, NoConnection

        try:
            async with asyncio.timeout(self._timeout):
                return await self._post(body, headers)
        except TimeoutError:
            why = f"no answer within {self._timeout:g} s"
        except (NoConnection, Broken) as error:
            why = str(error)
        raise HookFailed(f"{self._shown}: {why}")

    async def _post(self, body: bytes, headers: Mapping[str, str]) -> Reply:
        from measurements.alerts.exchange import NoConnection, post, trust

        if self._trust is None and self._target.scheme == "https":
            self._trust = trust()
        target, addresses = self._target, await self._addresses()
        own = {"Host": target.netloc, "User-Agent": "wazi", "Accept-Encoding": "identity", **target.login}
        for left, address in zip(reversed(range(len(addresses))), addresses, strict=True):
            try:
                return await post(
                    f"{target.scheme}://{_netloc(address, target.port, target.scheme)}{target.path}",
                    body,
                    {**own, **headers},
                    name=target.host,
                    proxy=self._proxy,
                    trust=self._trust,
                    timeout=self._timeout,
                )
            except NoConnection:
                if not left:
                    raise
        raise NoConnection("its name has no address")

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
        for address in found:
            if why := self._refusal(address):
                raise HookFailed(f"{self._shown}: its name leads to {why}")
        return found[:MOST_ADDRESSES]

    def _refusal(self, address: str) -> str:
        """Say why an address is not gone to; "" when it is."""
        if self._refused is None or (why := why_not_public(address, self._refused)) is None:
            return ""
        return f"{address}, which is no public address: {why}; set allow_private if it is meant"


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


def check_proxy(proxy: Secret) -> str:
    """Return the URL of a proxy; raises ValueError with what to write, and without its password."""
    scheme, _, rest = proxy.reveal().partition("://")
    try:
        parts = urlsplit(proxy.reveal())
        if scheme.lower() in PROXIES and parts.hostname and parts.port:
            return f"{scheme.lower()}://{rest}"
    except ValueError:
        pass
    raise ValueError("proxy must be like socks5h://127.0.0.1:9050, socks5://… or http://…, with a port")


@dataclass(frozen=True, slots=True)
class _Target:
    scheme: str
    host: str
    port: int
    path: str
    login: Mapping[str, str]

    @property
    def netloc(self) -> str:
        return _netloc(self.host, self.port, self.scheme)


def _split(url: str, *, plain: bool) -> _Target:
    """Split a URL into where to connect, a login, and the path; raises ValueError without the secret parts."""
    scheme, mark, rest = url.partition("://")
    if not mark or scheme.lower() not in _PORTS:
        raise ValueError("url must begin with https://")
    end = next((place for place, character in enumerate(rest) if character in "/?#"), len(rest))
    login, _, authority = rest[:end].rpartition("@")
    path = rest[end:].partition("#")[0]
    if any(not 0x21 <= ord(character) <= 0x7E for character in login + path) or "\\" in rest:
        raise ValueError("url holds a space, a backslash or a character that must be escaped, such as %20")
    try:
        target = normalise(f"{scheme}://{authority}/")
    except BadTarget as error:
        raise ValueError(f"url: {error}") from None
    if target.scheme == "http" and not plain:
        raise ValueError("url must begin with https://; over http:// everybody on the way can read it (allow_http)")
    basic = {"Authorization": f"Basic {base64.b64encode(unquote(login).encode()).decode()}"} if login else {}
    return _Target(target.scheme, target.host, target.port, path if path.startswith("/") else f"/{path}", basic)


def _netloc(host: str, port: int, scheme: str) -> str:
    netloc = f"[{host}]" if ":" in host else host
    return netloc if port == _PORTS[scheme] else f"{netloc}:{port}"


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _read_authorities(ca_file: Path) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=ca_file)
    except (OSError, ssl.SSLError):
        raise ValueError(f"ca_file {ca_file} holds no certificates that can be read (PEM)") from None
