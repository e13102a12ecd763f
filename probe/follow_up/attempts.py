"""Attempts under a name at an address: a handshake, a page, and both beside a harmless name's.

An attempt is true when something was answered, whatever it was: under a bad certificate, with an error.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Coroutine
from typing import Any, Protocol
from urllib.parse import urlsplit

from measurements.model import Purpose, TcpConnect, TlsHandshake, View
from measurements.proofs import MOST
from measurements.reading import Flow, is_address
from probe.follow_up.asking import PAIRS, TIMEOUT, Asking
from probe.network import CLASSIC

_HARMFUL = re.compile(r"[^/.?]")

Attempt = Callable[[Asking, str, str, Purpose], Coroutine[Any, Any, bool]]
"""Tries (address, name, purpose)."""


class SizedAttempt(Protocol):
    """An attempt that can also be made in segments of at most `mss` bytes."""

    def __call__(
        self, asking: Asking, address: str, name: str, purpose: Purpose, *, mss: int | None = None
    ) -> Coroutine[Any, Any, bool]: ...


async def handshake(
    asking: Asking, address: str, name: str, purpose: Purpose, *, hello: str = CLASSIC, mss: int | None = None
) -> bool:
    """Shake hands under `name`; True when it ended, under whatever certificate."""
    return (await _hands(asking, address, name, purpose, hello, mss)) is not None


async def handshake_and_page(
    asking: Asking, address: str, name: str, purpose: Purpose, *, mss: int | None = None
) -> bool:
    """Shake hands and fetch a page; True when something was answered."""
    tls = await _hands(asking, address, name, purpose, CLASSIC, mss)
    return tls is not None and await _page(asking, tls, "https", name, purpose)


async def request(asking: Asking, address: str, name: str, purpose: Purpose, *, mss: int | None = None) -> bool:
    """Fetch a page in clear under the Host `name`; True when something was answered."""
    tcp = await asking.connect(address, 80 if asking.leg.encrypted else asking.leg.port, purpose, mss)
    return tcp is not None and await _page(asking, tcp, "http", name, purpose)


async def other_door(asking: Asking, address: str) -> bool:
    """Ask for the site at the same address by its other port: in clear where it is protected, else protected."""
    attempt = request if asking.leg.encrypted else handshake
    return await attempt(asking, address, asking.name, Purpose.OTHER_PORT)


async def _hands(
    asking: Asking, address: str, name: str, purpose: Purpose, hello: str, mss: int | None
) -> TlsHandshake | None:
    tcp = await asking.connect(address, asking.leg.port if asking.leg.encrypted else 443, purpose, mss)
    if tcp is None:
        return None
    sni = None if is_address(name) else name
    tls = await asking.net.handshake(tcp, name=sni, verify=name, purpose=purpose, hello=hello, timeout=TIMEOUT)
    return tls if tls.ended else None


async def _page(asking: Asking, over: TcpConnect | TlsHandshake, scheme: str, name: str, purpose: Purpose) -> bool:
    enough = asking.net.limits.body_routine // 4  # to know the page again
    url = _url(asking, scheme, name, harmless=name != asking.name and purpose is not Purpose.SAME_PATH_AT_WITNESS)
    page = await asking.net.exchange(over, url, purpose=purpose, timeout=TIMEOUT, body_limit=enough)
    return page.failure is None


def _url(asking: Asking, scheme: str, name: str, *, harmless: bool) -> str:
    """Write the leg's own URL under `name`: what was asked first must be asked again.

    A harmless name gets a harmless path of the same length, for a word in the path may be what is cut.
    """
    asked = urlsplit(asking.leg.url)
    path = asked.path if asked.scheme == scheme else ""
    query = f"?{asked.query}" if path and asked.query else ""
    tail = f"{path or '/'}{query}"
    return f"{scheme}://{name}{_HARMFUL.sub('w', tail) if harmless else tail}"


def has_path(asking: Asking) -> bool:
    """Whether the leg's URL says more than its host."""
    asked = urlsplit(asking.leg.url)
    return asked.path not in ("", "/") or bool(asked.query)


async def same_path(asking: Asking) -> None:
    """Ask a witness for the leg's own path under a harmless name: does the path alone bring it about?"""
    if not asking.leg.encrypted and has_path(asking) and asking.fit and asking.left:
        await request(asking, asking.fit[0], asking.harmless, Purpose.SAME_PATH_AT_WITNESS)


async def pairs(asking: Asking, attempt: Attempt) -> None:
    """Try the name beside a harmless one at unrelated servers: three pairs, on three servers if there are.

    The harmless name goes first, so that what a name leaves behind on the path cannot touch it; a server
    that does not take the harmless name is no witness for this.
    """
    servers = await asking.witnesses_like(asking.target) or await asking.witnesses()

    async def first(address: str) -> str | None:
        return address if await attempt(asking, address, asking.harmless, Purpose.HARMLESS_AT_WITNESS) else None

    async with asyncio.TaskGroup() as group:
        tries = [group.create_task(first(address)) for address in servers]
    asking.fit = [address for task in tries if (address := task.result())]

    async def at(address: str, times: int) -> None:
        await attempt(asking, address, asking.name, Purpose.TARGET_AT_WITNESS)
        for _ in range(times - 1):
            await _pair(asking, attempt, address)

    async with asyncio.TaskGroup() as group:
        for i, address in enumerate(asking.fit):
            group.create_task(at(address, PAIRS // len(asking.fit) + (i < PAIRS % len(asking.fit))))


async def more_pairs(asking: Asking, attempt: Attempt, wanted: Callable[[], bool]) -> None:
    """Go on with pairs at those servers for as long as they are `wanted` and allowed."""
    tried = PAIRS
    while wanted() and tried < MOST and asking.left >= 2:
        servers = asking.fit[: min(MOST - tried, asking.left // 2)]
        tried += len(servers)
        async with asyncio.TaskGroup() as group:
            for address in servers:
                group.create_task(_pair(asking, attempt, address))


async def _pair(asking: Asking, attempt: Attempt, address: str) -> None:
    """Try a harmless name and then, where it works, the name."""
    if await attempt(asking, address, asking.harmless, Purpose.HARMLESS_AT_WITNESS):
        await attempt(asking, address, asking.name, Purpose.TARGET_AT_WITNESS)


async def afterwards(asking: Asking, attempt: Attempt) -> None:
    """Try the harmless name once more where it worked before the name came: is the server still reached?"""
    async with asyncio.TaskGroup() as group:
        for address in asking.fit:
            group.create_task(attempt(asking, address, asking.harmless, Purpose.HARMLESS_AT_WITNESS))


async def prove_by_certificate(asking: Asking, flow: Flow) -> None:
    """Ask an address that others gave for the name's certificate, which says more than a page in clear."""
    if not asking.allowed():
        return
    lookup = asking.story.by_id.get(flow.tcp.cause or 0)
    tcp = await asking.net.connect(flow.tcp.address, 443, cause=lookup, view=View.TRUSTED, timeout=TIMEOUT)
    if tcp.failure is None:
        await asking.net.handshake(tcp, name=asking.name, timeout=TIMEOUT)
