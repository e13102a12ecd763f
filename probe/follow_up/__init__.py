"""The steps that are taken only when something failed: what the two proofs need, gently.

*Alive* and *between* are asked apart. Does the name fail at unrelated servers where an equally long
harmless name works (3 + 3, interleaved)? Does a harmless name work at the target's own address, first and
last? Where on the path does the packet die, or whence comes the forged answer (rising IP TTL, for the
target, for a harmless name or a neighbour, and for a witness)? Is the resolver alive for other names, does
an address without a resolver answer? Once more after a pause: does it last?

`lookups` asks about the name and `path` about a connection, which takes `attempts` under a name and
`traces`; `quic` asks all of this about QUIC. Each is given the `asking.Asking`: whom the doubt is about, and the
allowance that all share.
"""

from __future__ import annotations

import asyncio

from measurements.model import Purpose
from measurements.proofs import another_signs, doubted
from measurements.reading import Flow, Leg, Reading, is_address
from probe.follow_up.asking import TIMEOUT, Asking
from probe.follow_up.attempts import handshake, other_door
from probe.follow_up.lookups import ask_dns, ask_who_answers
from probe.follow_up.path import ask_path
from probe.follow_up.quic import ask_quic
from probe.follow_up.traces import neighbour_of
from probe.network import Network
from probe.steps import endpoint

__all__ = ["TIMEOUT", "check_answers", "check_certificate", "follow_up", "follow_up_quic", "neighbour_of"]


async def follow_up(net: Network, story: Reading, leg: Leg) -> None:
    """Gather the proofs that `leg` lacks."""
    if net.preconditions.reason is not None:
        return  # where nothing works, nothing more can be learnt
    asking = Asking(net, story, leg)
    failing = [f for f in leg.suspects if f.failed is not None]
    flow = max(failing or leg.suspects, key=lambda f: len(f.ids), default=None)  # the one that got furthest
    async with asyncio.TaskGroup() as group:
        if not is_address(leg.host) and not any(_given_by_others(leg, f) for f in leg.local_flows):
            group.create_task(ask_dns(asking))
        if flow is not None:
            group.create_task(ask_path(asking, flow))
        group.create_task(_ask_control_again(asking))


async def follow_up_quic(net: Network, story: Reading, leg: Leg) -> None:
    """Gather the proofs about QUIC that `leg` lacks."""
    if net.preconditions.reason is None:
        await ask_quic(Asking(net, story, leg))


async def check_answers(net: Network, story: Reading) -> None:
    """Find out who answered, where the page came but another answer about its name may have been forged."""
    leg = next((leg for leg in story.legs if leg.doubtful), None)
    if leg is not None and net.preconditions.reason is None:
        await ask_who_answers(Asking(net, story, leg), leg.doubtful[0].rtype)


async def check_certificate(net: Network, story: Reading) -> None:
    """Find out whether a notice under the site's certificate is the site's: do unrelated servers have that too?"""
    found = doubted(story)
    if found is None or net.preconditions.reason is not None or is_address(found[0].host):
        return
    leg, flow, _ = found
    asking = Asking(net, story, leg)
    servers = await asking.witnesses()
    async with asyncio.TaskGroup() as group:
        for address in servers:
            group.create_task(handshake(asking, address, asking.name, Purpose.TARGET_AT_WITNESS))
    if another_signs(asking.story_now(), flow) is not None and (story.control is None or not story.control.reached):
        await other_door(asking, flow.tcp.address)


def _given_by_others(leg: Leg, flow: Flow) -> bool:
    """Whether a flow's address is beyond the suspicion that the lookup lied about it."""
    return flow.secure or flow.tcp.address in leg.trusted_addresses


async def _ask_control_again(asking: Asking) -> None:
    """Ask the control about the leg itself when the chain had moved on from what it was asked before.

    Of a page that came in clear it is asked to send the beginning: what is strange on ours may stand on its own. A
    control that had nothing to say before is not asked for that.
    """
    net, leg = asking.net, asking.leg
    moved = leg.url != asking.story.target.url
    shown = not leg.encrypted and leg.served is not None
    answered = leg.control is not None and leg.control.reached
    if net.peers.controls and moved:
        await net.ask_control(leg.url, [endpoint(f.tcp.address, f.tcp.port) for f in leg.flows], page=shown)
    elif net.peers.controls and shown and answered:
        await net.ask_control(leg.url, [], page=True, timeout=2 * TIMEOUT)
