"""`web`: does a URL open from here as it opens for the rest of the world?

Each leg of the redirect chain: lookup by every view, then connections and handshakes to the addresses
side by side, one page fetch by priority (our own resolver's addresses first), the control asked
meanwhile. When the chain ends in doubt, the follow-up steps gather what the two proofs need. A page that announces
HTTP/3 is asked for once over QUIC too, in measurements that read pages in full.
"""

from __future__ import annotations

import asyncio
from urllib.parse import urldefrag, urlsplit

from measurements.model import AnyObservation, DnsLookup, HttpExchange, Target, TcpConnect, TlsHandshake, View
from measurements.proofs import announced
from measurements.reading import Reading, is_address
from probe.follow_up import check_answers, check_certificate, follow_up
from probe.network import Network
from probe.steps import Candidate, candidates, endpoint, look_up

Handle = TcpConnect | TlsHandshake

CONTROL_GRACE = 1.0  # seconds for a control's answer that nothing depends on
CONTROL_PATIENCE = 10.0  # seconds for one that a page in clear is compared with
QUIC_SECONDS = 1.0  # for a handshake, and for the page over it: an open site must not wait long for either
QUIC_BYTES = 1024


async def measure(target: Target, net: Network) -> None:
    """Open a URL as a browser would, follow its redirects, and follow up on what fails."""
    async with asyncio.TaskGroup() as meanwhile:
        asking = await _chain(target, net, meanwhile)
        story = Reading(target, net.observations, net.is_private)
        if net.full_body and story.troubled is None:
            meanwhile.create_task(_by_quic(net, story))
        if asking is not None and not _failed(story):
            # A verified page is beyond doubt, and a control that is slow or gone must not hold it up;
            # one in clear is only as good as what the control says of it.
            await asyncio.wait({asking}, timeout=CONTROL_GRACE if story.troubled is None else CONTROL_PATIENCE)
            asking.cancel()
            story = Reading(target, net.observations, net.is_private)
        elif asking is not None and not story.legs[0].trusted_addresses and not story.legs[0].local_flows:
            await asyncio.wait({asking}, timeout=CONTROL_PATIENCE)  # it alone may know the true addresses
            story = Reading(target, net.observations, net.is_private)
        if story.troubled is not None:
            await follow_up(net, story, story.troubled)
        else:
            await check_answers(net, story)
            await check_certificate(net, story)


async def _by_quic(net: Network, story: Reading) -> None:
    """Ask for the page over QUIC too, when it announces HTTP/3; what comes of it clears and accuses nobody."""
    leg = story.legs[-1]
    served = leg.served
    if not leg.encrypted or served is None or not announced(story, leg):
        return
    name = None if is_address(leg.host) else leg.host
    address, port, page = served.tcp.address, served.tcp.port, served.page
    hands = await net.quic(address, port, name=name, verify=leg.host, cause=page, timeout=QUIC_SECONDS)
    if hands.ended:
        await net.exchange(hands, leg.url, body_limit=QUIC_BYTES, timeout=QUIC_SECONDS)


def _failed(story: Reading) -> bool:
    """Whether the chain stopped at a failure, which the control cannot mend."""
    leg = story.troubled
    return leg is not None and (leg.served is None or leg.encrypted)


async def _chain(target: Target, net: Network, meanwhile: asyncio.TaskGroup) -> asyncio.Task[object] | None:
    """Go from redirect to redirect until a page comes or nothing does; returns the question to the control."""
    url, cause = target.url, None
    lookups: list[DnsLookup] = []
    visited: set[str] = set()
    asking: asyncio.Task[object] | None = None
    for leg in range(net.limits.redirects + 1):
        visited.add(urldefrag(url).url)
        host = urlsplit(url).hostname or ""
        again = [q for q in lookups if q.name == host]
        lookups = again or await look_up(net, host, cause)
        chosen = candidates(net, host, lookups)
        if leg == 0 and net.peers.controls:
            endpoints = [endpoint(c.address, target.port) for c in chosen]
            asking = meanwhile.create_task(_ask_control(net, url, endpoints))
        page = await _leg(net, url, cause, chosen, inherited=bool(again))
        if page is None or page.redirect is None:
            break
        if refusal := _refusal(net, page.redirect, visited, leg):
            net.spent.limits.append(refusal)
            break
        url, cause = page.redirect, page
    return asking


async def _ask_control(net: Network, url: str, endpoints: list[str]) -> object:
    return await net.ask_control(url, endpoints)


def _refusal(net: Network, url: str, visited: set[str], leg: int) -> str | None:
    """Name the reason not to follow a redirect; None when a browser would and we may."""
    there = urlsplit(url)
    if there.scheme not in ("http", "https"):
        return "redirect_scheme"
    if urldefrag(url).url in visited:
        return "redirect_loop"
    if is_address(there.hostname or "") and net.is_private(there.hostname or ""):
        return "redirect_private"
    return "redirects" if leg == net.limits.redirects else None


async def _leg(
    net: Network, url: str, cause: AnyObservation | None, chosen: list[Candidate], *, inherited: bool
) -> HttpExchange | None:
    """Ask for one URL at the chosen addresses; returns the page that a browser would show or follow."""
    parts = urlsplit(url)
    host, encrypted = parts.hostname or "", parts.scheme == "https"
    port = parts.port or (443 if encrypted else 80)
    race = _PageFetch(net, url)
    async with asyncio.TaskGroup() as group:
        for candidate in chosen:
            via = cause if inherited or candidate.lookup is None else candidate.lookup
            group.create_task(_approach(net, candidate, host, port, encrypted, via, race))
    return await race.settle()


async def _approach(
    net: Network,
    candidate: Candidate,
    host: str,
    port: int,
    encrypted: bool,
    cause: AnyObservation | None,
    race: _PageFetch,
) -> None:
    """Connect to one address, shake hands, and offer the result to the page fetch."""
    tcp = await net.connect(candidate.address, port, cause=cause, view=candidate.view)
    if tcp.failure is not None:
        return
    if not encrypted:
        await race.offer(tcp, candidate.view, good=True)
        return
    tls = await net.handshake(tcp, name=None if is_address(host) else host, verify=host)
    if tls.ended:
        await race.offer(tls, candidate.view, good=tls.failure is None)


class _PageFetch:
    """Fetches one page a leg: at once over the first good connection of ours, later over what is left.

    Good is an address of our own resolver's under a good certificate, or in clear. An exchange that fails
    is tried again over all the others, side by side, so that a site with many addresses takes no longer to fail
    than two exchanges; one that is not good is evidence, and is not followed.
    """

    def __init__(self, net: Network, url: str) -> None:
        self._net = net
        self._url = url
        self._lock = asyncio.Lock()
        self._waiting: list[tuple[int, Handle]] = []
        self._page: HttpExchange | None = None
        self._failed = False

    async def offer(self, handle: Handle, view: View, *, good: bool) -> None:
        """Use a connection now when it is good, or keep it for `settle`."""
        if view is not View.LOCAL or not good:
            self._waiting.append(((view is not View.LOCAL) + 2 * (not good), handle))
            return
        async with self._lock:
            if self._page is None and not self._failed:
                page = await self._fetch(handle)
                self._page = page if page.failure is None else None
                self._failed = page.failure is not None
                return
        if self._page is None:
            page = await self._fetch(handle)
            if page.failure is None and self._page is None:
                self._page = page

    async def settle(self) -> HttpExchange | None:
        """Return the good page; where there is none, fetch over the best of the other connections.

        One is enough where good ones failed, and two elsewhere: the time is better spent on following up.
        """
        best = sorted(self._waiting, key=lambda entry: entry[0])
        for _, handle in best[: 1 if self._failed else 2]:
            if self._page is not None or (await self._fetch(handle)).failure is None:
                break
        return self._page

    async def _fetch(self, handle: Handle) -> HttpExchange:
        """Exchange, reading up to the full cap when something of this measurement has failed already."""
        failed = any(isinstance(o, TcpConnect | TlsHandshake) and o.failure for o in self._net.observations)
        return await self._net.exchange(handle, self._url, body_limit=self._net.limits.body_decoded if failed else None)
