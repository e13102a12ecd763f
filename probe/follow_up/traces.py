"""Traces: packets with a rising IP TTL, ours beside those that should pass, until the place is found.

The name's packets go beside a harmless name's; a first packet, which carries no name, beside one to a
neighbour of the target's. A witness shows what the path looks like where nothing stands in the way.
"""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Awaitable, Callable

from measurements.model import Hop, Purpose, TcpConnect
from measurements.reading import hops, is_address
from probe.follow_up.asking import Asking

Send = Callable[[int], Awaitable[Hop | None]]
"""Sends one packet with this TTL; None when the allowance is spent."""


async def trace_name(asking: Asking, address: str, probe: str) -> None:
    """Trace the name towards the target, beside a harmless one; SYNs name the routers."""
    if is_address(asking.name):
        return
    port = asking.leg.port
    await _trace(
        asking,
        _sender(asking, address, port, probe, Purpose.TRACE_TARGET, asking.name),
        _sender(asking, address, port, probe, Purpose.TRACE_HARMLESS, asking.harmless),
        _sender(asking, address, port, "syn", Purpose.TRACE_PATH),
    )


async def trace_syn(asking: Asking, tcp: TcpConnect) -> None:
    """Trace the first packet of a connection, towards the target and towards a neighbour of it."""
    beside = neighbour_of(tcp.address, {*asking.leg.local_addresses, *asking.leg.trusted_addresses})
    await _trace(
        asking,
        _sender(asking, tcp.address, tcp.port, "syn", Purpose.TRACE_TARGET),
        _sender(asking, beside, tcp.port, "syn", Purpose.TRACE_NEIGHBOUR),
    )


def answered_early(asking: Asking) -> bool:
    """Whether a connection was taken at a distance where those to a neighbour still go on."""
    story = asking.story_now()
    beside = hops(story.follow_ups(Hop, Purpose.TRACE_NEIGHBOUR))
    ours = hops(story.follow_ups(Hop, Purpose.TRACE_TARGET))
    return any(h.answer == "open" and t in beside and beside[t].answer == "expired" for t, h in ours.items())


def neighbour_of(address: str, taken: set[str]) -> str:
    """Choose an address beside `address` in its own /24 (IPv4) or /64 (IPv6) that is not one of the site's."""
    here = ipaddress.ip_address(address)
    net = ipaddress.ip_network(f"{address}/{24 if here.version == 4 else 64}", strict=False)
    place = int(here) - int(net.network_address)
    for step in (1, -1, 2, -2, 3, -3):
        if 0 < place + step < net.num_addresses - 1 and str(net[place + step]) not in taken:
            return str(net[place + step])
    return str(net[1])


def _sender(asking: Asking, address: str, port: int, probe: str, purpose: Purpose, name: str | None = None) -> Send:
    async def send(ttl: int) -> Hop | None:
        if not asking.allowed():
            return None
        return await asking.net.hop(address, port, probe=probe, ttl=ttl, name=name, purpose=purpose)

    return send


async def _trace(asking: Asking, ours: Send, theirs: Send, *path: Send) -> None:
    """Send packets ever further along the path until something answers for the site, or they die.

    Where that happens while those of `theirs` go on, the place is found. It is asked once more, for a
    router's answer may be lost or come late; and whether another router stands beyond it.
    """
    found, silences = False, 0
    for ttl in range(1, asking.net.limits.max_hops + 1):
        mine = await ours(ttl)
        if mine is None or (found and mine.answer != "expired"):
            return
        if mine.answer == "expired":
            silences = 0
            continue
        other, *_ = await asyncio.gather(
            theirs(ttl), *(send(ttl) for send in path), _trace_witness(asking, ttl, mine.address)
        )
        if other is None or other.answer not in ("expired", "silence"):
            return
        if other.answer == "expired":
            again, _ = await asyncio.gather(ours(ttl), theirs(ttl + 1))
            if mine.answer == "silence" and not path:
                again = await ours(ttl)  # a lossy line swallows two answers too often, and here is room for a third
            found = again is not None and again.answer == mine.answer
        silences += mine.answer == "silence"
        if mine.answer != "silence" or silences == 3:
            return


async def _trace_witness(asking: Asking, ttl: int, target: str) -> None:
    """See which router stands at that distance on the way to an unrelated site, by the target's protocol."""
    for address in (await asking.witnesses_like(target))[:1]:
        await _sender(asking, address, 443, "syn", Purpose.TRACE_WITNESS)(ttl)
