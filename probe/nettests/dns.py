"""`dns`: does our resolver tell the truth about a name?

Every view is asked; then one handshake with an address that our own resolver gave, and one with an
address that only the trusted ones gave, because a certificate is what proves an answer. What fails is
followed up as in `web`.
"""

from __future__ import annotations

import asyncio

from measurements.model import Target, View
from measurements.reading import Reading
from probe.follow_up import follow_up
from probe.network import Network
from probe.steps import Candidate, candidates, look_up


async def measure(target: Target, net: Network) -> None:
    """Look a target's name up by every view and prove the answers by certificates."""
    lookups = await look_up(net, target.host)
    chosen = candidates(net, target.host, lookups)
    first = [next((c for c in chosen if c.view is view), None) for view in (View.LOCAL, View.TRUSTED)]
    async with asyncio.TaskGroup() as group:
        for candidate in first:
            if candidate is not None:
                group.create_task(_prove(net, target.host, candidate))
    story = Reading(target, net.observations, net.is_private)
    if not any(flow.secure for flow in story.legs[0].local_flows):
        await follow_up(net, story, story.legs[0])


async def _prove(net: Network, host: str, candidate: Candidate) -> None:
    tcp = await net.connect(candidate.address, 443, cause=candidate.lookup, view=candidate.view)
    if tcp.failure is None:
        await net.handshake(tcp, name=host)
