"""Where we stand, and whether this network can be judged at all.

Asked before a batch, through the same `Network` as everything else: is there a route, does our resolver
answer, does a trusted one, do witnesses, and is the clock right? With no network the outcome is `invalid`,
in words. A wrong clock makes every certificate look bad: what the witnesses' web servers say of the time
corrects it for this batch, and where they say nothing the outcome is `invalid` too.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from datetime import UTC
from email.utils import parsedate_to_datetime
from statistics import median

from measurements.model import DnsLookup, Failure, Preconditions, TlsHandshake, View
from probe.network import Network, Resolver, Witness

TIMEOUT = 3.0
WITNESSES = 2
PAGE = 1024  # bytes of a witness's page; only its headers matter
CLOCK_SKEW = 60.0  # seconds by which a clock may be wrong before it matters to a certificate


async def look(net: Network, now: Callable[[], float] = time.time) -> Preconditions:
    """Find out whether anything can be reached from here, and what time it is; `now` is this machine's clock."""
    ipv4, ipv6 = net.has_route(ipv6=False), net.has_route(ipv6=True)
    if not (ipv4 or ipv6):
        return Preconditions(
            reason="offline",
            detail="This machine has no route to the internet, so nothing can be said about any site.",
            ipv4_route=False,
            ipv6_route=False,
        )
    names = [witness.name for witness in net.peers.witnesses[:WITNESSES]]
    rtype = "A" if ipv4 else "AAAA"
    local = net.peers.local
    async with asyncio.TaskGroup() as group:
        ours = [group.create_task(_ask(net, name, rtype, local)) for name in names if local is not None]
        theirs = [group.create_task(_ask(net, name, rtype, r)) for r in net.peers.trusted for name in names[:1]]
    answers, trusted = [t.result() for t in ours], [t.result() for t in theirs]
    async with asyncio.TaskGroup() as group:
        visits = [group.create_task(_visit(net, w, [*trusted, *answers], now)) for w in net.peers.witnesses[:WITNESSES]]
    seen = [visit for t in visits if (visit := t.result()) is not None]
    found = Preconditions(
        ipv4_route=ipv4,
        ipv6_route=ipv6,
        resolver_alive=any(a.addresses for a in answers),
        trusted_alive=any(a.addresses for a in trusted),
        witness_alive=bool(seen),
        clock_offset=_offset(seen),
    )
    reason, detail = _judge(found, seen, asked_local=local is not None)
    return Preconditions(
        reason=reason,
        detail=detail,
        ipv4_route=ipv4,
        ipv6_route=ipv6,
        resolver_alive=found.resolver_alive,
        trusted_alive=found.trusted_alive,
        witness_alive=found.witness_alive,
        clock_offset=found.clock_offset,
    )


Visit = tuple[TlsHandshake | None, float | None]
"""A witness that took a connection: the handshake, and true time minus ours by its Date header."""


async def _ask(net: Network, name: str, rtype: str, resolver: Resolver) -> DnsLookup:
    return await net.lookup(name, rtype, resolver, view=View.FOLLOW_UP, linger=0.0, timeout=TIMEOUT)


async def _visit(
    net: Network, witness: Witness, lookups: Sequence[DnsLookup], now: Callable[[], float]
) -> Visit | None:
    """Visit a witness as a browser would; None when it takes no connection."""
    addresses = [a for q in lookups if q.name == witness.name for a in q.addresses if not net.is_private(a)]
    if not addresses:
        return None
    tcp = await net.connect(addresses[0], 443, view=View.FOLLOW_UP, timeout=TIMEOUT)
    if tcp.failure is not None:
        return None
    tls = await net.handshake(tcp, name=witness.name, timeout=TIMEOUT)
    if not tls.ended:
        return tls, None
    page = await net.exchange(tls, f"https://{witness.name}/", body_limit=PAGE, timeout=TIMEOUT)
    try:
        said = parsedate_to_datetime(page.header("date") or "")
    except (ValueError, OverflowError):
        return tls, None
    return tls, said.replace(tzinfo=said.tzinfo or UTC).timestamp() - now()


def _offset(seen: Sequence[Visit]) -> float | None:
    """Say how wrong our clock is, in seconds, when all witnesses agree about that; None when it is right enough."""
    offsets = [offset for _, offset in seen if offset is not None]
    if not offsets or max(offsets) - min(offsets) > CLOCK_SKEW:
        return None
    middle = median(offsets)
    return round(middle) if abs(middle) > CLOCK_SKEW else None


def _judge(found: Preconditions, seen: Sequence[Visit], *, asked_local: bool) -> tuple[str | None, str]:
    if not (found.resolver_alive or found.trusted_alive or found.witness_alive):
        return "offline", "Neither a resolver nor a harmless witness site answers: this network is down or closed."
    if not found.resolver_alive and asked_local:
        return "resolver_dead", "The resolver of this network answers nothing, not even harmless names."
    hands = [tls for tls, _ in seen if tls is not None and tls.ended]
    expired = [tls for tls in hands if tls.failure is Failure.SSL_INVALID_CERTIFICATE]
    if expired and len(expired) == len(hands) and found.clock_offset is None:
        return "clock", "Every witness's certificate seems out of date: set this machine's clock and try again."
    return None, ""
