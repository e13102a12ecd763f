"""`quic`: does a site open over QUIC, which browsers use where they can (HTTP/3)?

Each address is asked which versions it speaks, before the name is said: whatever the name may leave behind on the
path cannot touch that answer. Then comes the handshake under the name, and a TCP connection with TLS beside it, for
comparison. Over the first that stands a little of the page is fetched. The control is asked meanwhile to try the
same from its place. When no handshake stood, the follow-up steps gather what the two proofs need.
"""

from __future__ import annotations

import asyncio

from measurements.model import QuicHandshake, Target, View
from measurements.proofs import greetings, page_over
from measurements.reading import Reading, is_address
from probe.follow_up import follow_up_quic
from probe.network import Network
from probe.steps import Candidate, candidates, endpoint, look_up

MOST_ADDRESSES = 4
HANDSHAKE_SECONDS = 6.0  # at most: the first packet and two more have been sent by then
CONTROL_GRACE = 1.0  # seconds for a control's answer that nothing depends on


async def measure(target: Target, net: Network) -> None:
    """Open a site over QUIC, beside TCP, and follow up on what fails."""
    chosen = candidates(net, target.host, await look_up(net, target.host))[:MOST_ADDRESSES]
    async with asyncio.TaskGroup() as meanwhile:
        asking: asyncio.Task[object] | None = None
        port = target.port if target.scheme == "https" else 443
        if net.peers.controls:
            asking = meanwhile.create_task(_ask_control(target, net, [endpoint(c.address, port) for c in chosen]))
        once = asyncio.Lock()
        async with asyncio.TaskGroup() as group:
            for candidate in chosen:
                group.create_task(_approach(target, net, candidate, port, once))
                group.create_task(_by_tcp(target.host, net, candidate, port))
        story = Reading(target, net.observations, net.is_private)
        if asking is not None and any(h.ended for h in greetings(story)):
            await asyncio.wait({asking}, timeout=CONTROL_GRACE)
            asking.cancel()
            return
        await follow_up_quic(net, story, story.legs[0])


async def _ask_control(target: Target, net: Network, endpoints: list[str]) -> object:
    return await net.ask_control(target.url, endpoints, quic=True)


async def _approach(target: Target, net: Network, candidate: Candidate, port: int, once: asyncio.Lock) -> None:
    """Ask one address for its versions, shake hands under the name, and fetch the page if nobody has."""
    address, cause, view = candidate.address, candidate.lookup, candidate.view
    await net.version_negotiation(address, port, cause=cause, view=view)
    name = None if is_address(target.host) else target.host
    timeout = min(HANDSHAKE_SECONDS, net.limits.tls_timeout)
    hands = await net.quic(address, port, name=name, verify=target.host, cause=cause, view=view, timeout=timeout)
    if hands.ended:
        async with once:
            if hands.view is View.LOCAL and not _has_page(target, net):
                await _fetch(target, net, hands)


def _has_page(target: Target, net: Network) -> bool:
    story = Reading(target, net.observations, net.is_private)
    pages = [page for hands in greetings(story) if (page := page_over(story, hands)) is not None]
    return any(page.status is not None and page.failure is None for page in pages)


async def _fetch(target: Target, net: Network, hands: QuicHandshake) -> None:
    url = target.url if target.scheme == "https" else "https" + target.url.removeprefix("http")
    await net.exchange(hands, url, body_limit=net.limits.body_routine)


async def _by_tcp(host: str, net: Network, candidate: Candidate, port: int) -> None:
    """Connect and shake hands over TCP: does the address serve the name at all?"""
    tcp = await net.connect(candidate.address, port, cause=candidate.lookup, view=candidate.view)
    if tcp.failure is None:
        await net.handshake(tcp, name=None if is_address(host) else host, verify=host)
