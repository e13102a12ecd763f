"""Questions about the name: does our resolver, or something before it, lie about it?

An address without a resolver is asked too, and a packet that cannot leave the first hop: what answers there
was forged. A suspicious answer is followed to the page behind it, and the addresses that others gave are proved.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Sequence
from urllib.parse import urlsplit

from measurements.model import AnyObservation, ControlQuery, DnsLookup, Failure, Purpose, View
from measurements.proofs import canonical
from measurements.reading import is_address
from probe.follow_up.asking import PAIRS, TIMEOUT, Asking
from probe.follow_up.attempts import prove_by_certificate, request
from probe.network import Resolver

ZONES = 3  # how many labels may stand before the name of a zone


async def ask_dns(asking: Asking) -> None:
    """Ask what shows whether our resolver, or something before it, lies about the name."""
    async with asyncio.TaskGroup() as group:
        group.create_task(_resolver_alive(asking))
        group.create_task(_serverless(asking))
        group.create_task(_first_hop(asking))
        group.create_task(_pairs(asking))
        group.create_task(_sibling(asking))
        group.create_task(_own_name_server(asking))
        group.create_task(_where_it_leads(asking))
        group.create_task(_true_addresses(asking))
        group.create_task(_repetition(asking))


def _rtype(asking: Asking) -> str:
    """Name the record type in which the trouble shows: A, unless the name has only AAAA."""
    trusted = {q.rtype for q in asking.leg.trusted if q.addresses}
    return "AAAA" if trusted == {"AAAA"} else "A"


def _local_failures(asking: Asking) -> set[Failure | None]:
    return {q.failure for q in asking.leg.lookups if q.rtype == _rtype(asking)}


async def _lookup(
    asking: Asking,
    name: str,
    resolver: Resolver,
    purpose: Purpose,
    *,
    timeout: float = 2.0,
    ip_ttl: int | None = None,
    checking_disabled: bool = False,
    rtype: str | None = None,
) -> DnsLookup:
    return await asking.net.lookup(
        name,
        rtype or _rtype(asking),
        resolver,
        view=View.FOLLOW_UP,
        purpose=purpose,
        linger=0.0,
        timeout=timeout,
        ip_ttl=ip_ttl,
        checking_disabled=checking_disabled,
    )


def _plain_resolvers(asking: Asking) -> list[Resolver]:
    """List the trusted resolvers' own addresses, over plain UDP."""
    hosts = [urlsplit(r.address).hostname or "" for r in asking.net.peers.trusted if r.is_doh]
    return [Resolver(f"{host}:53", View.FOLLOW_UP) for host in hosts if is_address(host) and ":" not in host]


# -- does it lie?


async def _resolver_alive(asking: Asking) -> None:
    local = asking.net.peers.local
    if local is None:
        return
    for witness in asking.others[:2]:
        await _lookup(asking, witness.name, local, Purpose.HARMLESS_AT_RESOLVER)
    if Failure.DNS_SERVFAIL in _local_failures(asking):
        await _lookup(asking, asking.name, local, Purpose.CHECKING_DISABLED, checking_disabled=True)


async def _serverless(asking: Asking, rtype: str | None = None) -> None:
    """Put the question to a witness, which runs no resolver: whatever answers was forged on the way.

    What answers every question there, a provider's resolver in all others' place, forges none. It may be slow for a
    name that nobody has, and is asked for one that it will know, too.
    """
    servers = await asking.witnesses()
    if servers:
        nobody = Resolver(f"{servers[0]}:53", View.FOLLOW_UP)
        for harmless in (asking.harmless, asking.name_of(servers[0]) or asking.harmless):
            await asyncio.gather(
                _lookup(asking, harmless, nobody, Purpose.HARMLESS_SERVERLESS, timeout=1.5, rtype=rtype),
                _lookup(asking, asking.name, nobody, Purpose.SERVERLESS, timeout=1.5, rtype=rtype),
            )


async def _first_hop(asking: Asking, rtype: str | None = None) -> None:
    """Ask with a packet that cannot leave the first hop: an answer is the volunteer's own router's."""
    local = asking.net.peers.local
    asked = [(resolver, Purpose.FIRST_HOP) for resolver in _plain_resolvers(asking)[:1]]
    if local is not None and not local.is_doh:
        asked.append((local, Purpose.RESOLVER_AT_HOME))
    await asyncio.gather(
        *(
            _lookup(asking, asking.name, resolver, purpose, ip_ttl=1, timeout=1.0, rtype=rtype)
            for resolver, purpose in asked
        )
    )


async def ask_who_answers(asking: Asking, rtype: str) -> None:
    """Ask whether something on the way answers questions about the name, of the record type that is in doubt."""
    await asyncio.gather(_serverless(asking, rtype), _first_hop(asking, rtype))


async def _pairs(asking: Asking) -> None:
    """Ask unrelated resolvers for the name beside a harmless one when ours gives no answer."""
    if not _local_failures(asking) & {Failure.TIMEOUT, Failure.DNS_SERVFAIL}:
        return
    resolvers = _plain_resolvers(asking)[:PAIRS]

    async def at(resolver: Resolver, times: int) -> None:
        for _ in range(times):
            await _lookup(asking, asking.harmless, resolver, Purpose.HARMLESS_AT_WITNESS)
            await _lookup(asking, asking.name, resolver, Purpose.TARGET_AT_WITNESS)

    async with asyncio.TaskGroup() as group:
        for i, resolver in enumerate(resolvers):
            group.create_task(at(resolver, PAIRS // len(resolvers) + (i < PAIRS % len(resolvers))))


async def _sibling(asking: Asking) -> None:
    """Ask for a name nobody can have stored, where the answer may be stale rather than a lie."""
    if not asking.leg.public(asking.leg.local_addresses):
        return
    sibling = f"w{secrets.token_hex(4)}.{asking.name}"
    peers = asking.net.peers
    for resolver in [r for r in (peers.local, *peers.trusted[:1]) if r is not None]:
        await _lookup(asking, sibling, resolver, Purpose.SIBLING_AT_RESOLVER)


async def _own_name_server(asking: Asking) -> None:
    """Ask one of the name's own servers: what they say of it here is no lie of the resolver's.

    Which they are, a trusted resolver says; it is asked for the zone of the name, label by label.
    """
    trusted = next(iter(asking.net.peers.trusted), None)
    if trusted is None or not any(q.valid_replies for q in asking.leg.lookups):
        return
    name = canonical(asking.leg)
    labels = name.split(".")
    for above in range(min(len(labels) - 1, ZONES)):
        zone = ".".join(labels[above:])
        found = await _lookup(asking, zone, trusted, Purpose.FIND_NAME_SERVER, rtype="NS")
        servers = [a.data.rstrip(".") for r in found.valid_replies[:1] for a in r.answers if a.rtype == "NS"]
        if servers:
            await _ask_name_server(asking, name, servers[0], trusted)
            return


async def _ask_name_server(asking: Asking, name: str, server: str, trusted: Resolver) -> None:
    where = await _lookup(asking, server, trusted, Purpose.FIND_NAME_SERVER, rtype="A")
    for address in asking.leg.public(where.addresses)[:1]:
        await _lookup(asking, name, Resolver(f"{address}:53", View.FOLLOW_UP), Purpose.AT_NAME_SERVER)


async def _repetition(asking: Asking) -> None:
    local = asking.net.peers.local
    if local is not None:
        await asking.again(lambda: _lookup(asking, asking.name, local, Purpose.REPETITION))


# -- where do the answers lead?


async def _where_it_leads(asking: Asking) -> None:
    """Look at the page behind a suspicious answer, for the name and for a harmless one."""
    for address in asking.leg.public(asking.leg.local_addresses)[:1]:
        await request(asking, address, asking.name, Purpose.OTHER_PORT)
        await request(asking, address, asking.harmless, Purpose.HARMLESS_AT_TARGET)


async def _true_addresses(asking: Asking) -> None:
    """Prove the addresses that others gave: the trusted resolvers', or else the control's."""
    net, leg = asking.net, asking.leg
    flows = [f for f in leg.flows if not f.local]
    if any(f.secure for f in flows):
        return
    control = next((o for o in net.observations if isinstance(o, ControlQuery) and o.resolved), None)
    if not flows and control is not None and control.url == leg.url:
        await _prove(asking, leg.public(control.resolved), control)
    elif not flows and not any(q.valid_replies for q in leg.trusted):
        await _prove_without_trusted(asking)
    elif not leg.encrypted:
        for flow in flows[:2]:
            if flow.tcp.failure is None and not flow.pages:
                await net.exchange(flow.tcp, leg.url, timeout=TIMEOUT)
        for flow in flows[:1]:
            await prove_by_certificate(asking, flow)


async def _prove_without_trusted(asking: Asking) -> None:
    """Find a true address when no trusted resolver answers over HTTPS: a certificate proves where it came from.

    It may have come after a forged reply; or the same resolvers give it over plain DNS.
    """
    leg = asking.leg
    for doubled in leg.lookups:
        if await _prove(asking, leg.public(doubled.later_addresses), doubled):
            return
    asked = [_lookup(asking, asking.name, r, Purpose.PLAIN_RESOLVER) for r in _plain_resolvers(asking)[:2]]
    for lookup in await asyncio.gather(*asked):
        new = [a for a in leg.public(lookup.addresses) if a not in leg.local_addresses]
        if new and await _prove(asking, new, lookup):
            return


async def _prove(asking: Asking, addresses: Sequence[str], cause: AnyObservation) -> bool:
    """Ask the first of some addresses for the site; True when one shows the name's certificate, or a page in clear."""
    net, leg = asking.net, asking.leg
    proven = False
    for address in addresses[:2]:
        if not asking.allowed():
            return proven
        tcp = await net.connect(address, leg.port, cause=cause, view=View.TRUSTED, timeout=TIMEOUT)
        if tcp.failure is None and leg.encrypted:
            proven |= (await net.handshake(tcp, name=asking.name, timeout=TIMEOUT)).failure is None
        elif tcp.failure is None:
            proven |= (await net.exchange(tcp, leg.url, timeout=TIMEOUT)).failure is None
    return proven
