"""Where we stand, and whether this network can be judged at all.

Asked before a batch, through the same `Network` as everything else: is there a route, does our resolver
answer, does a trusted one, does a witness? With no network the outcome is `invalid`, in words.
"""

from __future__ import annotations

import asyncio

from measurements.model import DnsLookup, Preconditions, TcpConnect, View
from probe.network import Network, Resolver

TIMEOUT = 3.0


async def look(net: Network) -> Preconditions:
    """Find out whether anything at all can be reached from here."""
    ipv4, ipv6 = net.has_route(ipv6=False), net.has_route(ipv6=True)
    if not (ipv4 or ipv6):
        return Preconditions(
            reason="offline",
            detail="This machine has no route to the internet, so nothing can be said about any site.",
            ipv4_route=False,
            ipv6_route=False,
        )
    names = [witness.name for witness in net.peers.witnesses[:2]] or ["example.org"]
    local = net.peers.local
    async with asyncio.TaskGroup() as group:
        ours = [group.create_task(_ask(net, name, local)) for name in names if local is not None]
        theirs = [group.create_task(_ask(net, names[0], resolver)) for resolver in net.peers.trusted]
    answers, trusted = [t.result() for t in ours], [t.result() for t in theirs]
    resolver_alive = any(a.valid_replies for a in answers)
    trusted_alive = any(a.valid_replies for a in trusted)
    addresses = [a for lookup in (*trusted, *answers) for a in lookup.addresses if not net.is_private(a)]
    witness_alive = await _any_answers(net, list(dict.fromkeys(addresses))[:3])
    reason, detail = _judge(resolver_alive, trusted_alive, witness_alive, asked_local=local is not None)
    return Preconditions(
        reason=reason,
        detail=detail,
        ipv4_route=ipv4,
        ipv6_route=ipv6,
        resolver_alive=resolver_alive,
        trusted_alive=trusted_alive,
        witness_alive=witness_alive,
    )


def _judge(
    resolver_alive: bool, trusted_alive: bool, witness_alive: bool, *, asked_local: bool
) -> tuple[str | None, str]:
    if not (resolver_alive or trusted_alive or witness_alive):
        return "offline", "Neither a resolver nor a harmless witness site answers: this network is down or closed."
    if not resolver_alive and asked_local:
        return "resolver_dead", "The resolver of this network answers nothing, not even harmless names."
    return None, ""


async def _ask(net: Network, name: str, resolver: Resolver) -> DnsLookup:
    return await net.lookup(name, "A", resolver, view=View.FOLLOW_UP, linger=0.0, timeout=TIMEOUT)


async def _any_answers(net: Network, addresses: list[str]) -> bool:
    """Whether one of some witnesses' addresses takes a connection, or at least refuses one."""
    async with asyncio.TaskGroup() as group:
        tries = [
            group.create_task(net.connect(address, 443, view=View.FOLLOW_UP, timeout=TIMEOUT)) for address in addresses
        ]
    return any(isinstance(t.result(), TcpConnect) and t.result().failure is None for t in tries)
