"""Harmless things asked of the network, to see what becomes of them.

Three kinds are told apart. The control is asked for something that it alone can say; foreign witnesses and
domestic ones are visited as a browser would, in clear and over TLS. Where all are answered alike, somebody on the
way answers; where only the foreign fail, the border lets little pass; where all fail, nothing passes.

Every canary ends by itself or is cut; what it has seen by then counts.
"""

from __future__ import annotations

import asyncio
import ipaddress
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

from measurements.model import (
    AnyObservation,
    DnsLookup,
    Failure,
    Hop,
    HttpExchange,
    TcpConnect,
    TlsHandshake,
    View,
)
from probe.control import canary
from probe.network import Network, Witness

PAGE = 1024  # bytes of a witness's page; its status, its headers and its title tell enough
HEAD_START = 1.0  # seconds for our own resolver before a trusted one's answer is taken
CONTROL, FOREIGN, DOMESTIC = "control", "foreign", "domestic"
CLEAR, SECURE = "http", "tls"

Addresses = Callable[[str], Awaitable[list[str]]]
"""Finds the public addresses of a name, as a browser here would."""


@dataclass(slots=True)
class Try:
    """One canary: what was tried, and the last step that was taken; None when it was cut before any ended."""

    kind: str
    name: str
    way: str
    step: AnyObservation | None = None
    right: bool | None = None  # of the control's: whether it said what it alone can say
    named: bool = True  # whether an address was found at all


@dataclass(slots=True)
class Seen:
    """All that was seen of the network, filled while it is looked at."""

    lookups: dict[str, DnsLookup] = field(default_factory=dict)  # by our own resolver
    trusted: list[DnsLookup] = field(default_factory=list)
    tries: list[Try] = field(default_factory=list)
    pages: list[HttpExchange] = field(default_factory=list)  # over TLS, when the time is in doubt
    hops: list[Hop] = field(default_factory=list)
    over_ipv6: list[TcpConnect] = field(default_factory=list)
    public_address: str | None = None  # ours, as the control sees it

    def of(self, *kinds: str, way: str | None = None) -> list[Try]:
        return [t for t in self.tries if t.kind in kinds and way in (None, t.way)]


async def in_clear(net: Network, witness: Witness, find: Addresses, seen: Seen) -> None:
    """Ask a witness for its page in clear."""
    made = _begin(seen, witness, CLEAR)
    addresses = await find(witness.name)
    made.named = bool(addresses)
    for address in addresses[:1]:
        made.step = tcp = await net.connect(address, 80, view=View.FOLLOW_UP)
        if tcp.failure is None:
            made.step = await net.exchange(tcp, f"http://{witness.name}/", body_limit=PAGE)


async def secure(net: Network, witness: Witness, find: Addresses, seen: Seen, hops: int = 1) -> None:
    """Shake hands with a witness, and see whether anybody near us takes the connection in its place."""
    made = _begin(seen, witness, SECURE)
    addresses = await find(witness.name)
    made.named = bool(addresses)
    for address in addresses[:1]:
        made.step = tcp = await net.connect(address, 443, view=View.FOLLOW_UP)
        if tcp.failure is not None:
            return
        made.step = tls = await net.handshake(tcp, name=witness.name)
        if tls.failure is Failure.SSL_UNKNOWN_AUTHORITY and not seen.hops:
            for ttl in range(1, hops + 1):
                seen.hops.append(await net.hop(address, 443, probe="syn", ttl=ttl))


async def over_ipv6(net: Network, name: str, seen: Seen) -> None:
    """See whether IPv6 leads anywhere: a route may lead into a hole."""
    resolver = next(iter([*([net.peers.local] if net.peers.local else []), *net.peers.trusted]), None)
    if resolver is None:
        return
    found = await net.lookup(name, "AAAA", resolver, view=View.FOLLOW_UP, linger=0.0)
    for address in [a for a in found.addresses if not net.is_private(a)][:1]:
        seen.over_ipv6.append(await net.connect(address, 443, view=View.FOLLOW_UP))


async def ask_control(net: Network, url: str, find: Addresses, seen: Seen) -> None:
    """Ask a control of ours for what it alone can say, in clear or over TLS, and for its key over TLS."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    port = parts.port or (443 if parts.scheme == "https" else 80)
    made = Try(CONTROL, "", SECURE if parts.scheme == "https" else CLEAR)
    seen.tries.append(made)
    addresses = [host] if _is_address(host) else await find(host)
    for address in addresses[:1]:
        made.step = tcp = await net.connect(address, port, view=View.FOLLOW_UP)
        if tcp.failure is not None:
            return
        over: TcpConnect | TlsHandshake = tcp
        if parts.scheme == "https":
            made.step = over = await net.handshake(tcp, name=None if _is_address(host) else host, verify=host)
            if over.failure is not None:
                return
        nonce = secrets.token_hex(8)
        made.step = page = await net.exchange(over, f"{url.rstrip('/')}{canary.PATH}?nonce={nonce}", body_limit=PAGE)
        said = canary.read(page, nonce)
        if said is None:
            if page.failure is None:  # an older control's, or OONI's: it cannot be told from a portal's
                seen.tries.remove(made)
            return
        made.right = True
        seen.public_address = said.client
        if said.port is not None:
            await _check_key(net, address, said, seen)


async def _check_key(net: Network, address: str, said: canary.Said, seen: Seen) -> None:
    """See that the key that the control announced is the one that answers at its door for TLS."""
    made = Try(CONTROL, "", SECURE)
    seen.tries.append(made)
    made.step = tcp = await net.connect(address, said.port or 443, view=View.FOLLOW_UP)
    if tcp.failure is None:
        made.step = tls = await net.handshake(tcp, name=None)
        made.right = tls.ended and canary.shows(tls.chain, said.key)


async def date_again(net: Network, made: Try, seen: Seen) -> None:
    """Ask for a page over a handshake that stands, for its Date: nobody on the way can have written that."""
    if isinstance(made.step, TlsHandshake) and made.step.ended:
        seen.pages.append(await net.exchange(made.step, f"https://{made.name}/", body_limit=PAGE))


def offset(page: HttpExchange, now: float) -> float | None:
    """Return true time minus ours by a page's Date, in seconds; None when it says none."""
    try:
        said = parsedate_to_datetime(page.header("date") or "")
        return said.replace(tzinfo=said.tzinfo or UTC).timestamp() - now
    except (ValueError, OverflowError):
        return None


def _begin(seen: Seen, witness: Witness, way: str) -> Try:
    made = Try(DOMESTIC if witness.domestic else FOREIGN, witness.name, way)
    seen.tries.append(made)
    return made


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


async def within(seconds: float, tasks: list[asyncio.Task[None]]) -> None:
    """Wait for all tasks, and cut those that take longer."""
    if tasks:
        _, late = await asyncio.wait(tasks, timeout=seconds)
        for task in late:
            task.cancel()
        for result in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(result, Exception):
                raise result
