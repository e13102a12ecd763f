"""`tcp`: can a connection be opened to each of a name's addresses?"""

from __future__ import annotations

import asyncio

from measurements.model import Target
from measurements.reading import Reading
from probe.follow_up import follow_up
from probe.network import Network
from probe.steps import candidates, endpoint, look_up


async def measure(target: Target, net: Network) -> None:
    """Connect to the target's port on every address that a view gives, the control asked meanwhile."""
    chosen = candidates(net, target.host, await look_up(net, target.host))
    endpoints = [endpoint(c.address, target.port) for c in chosen]
    async with asyncio.TaskGroup() as group:
        if net.peers.controls:
            group.create_task(net.ask_control(target.url, endpoints))
        for c in chosen:
            group.create_task(net.connect(c.address, target.port, cause=c.lookup, view=c.view))
    story = Reading(target, net.observations, net.is_private)
    if not any(flow.tcp.failure is None for flow in story.legs[0].local_flows):
        await follow_up(net, story, story.legs[0])
