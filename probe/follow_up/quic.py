"""Questions about QUIC: who on the path swallows its packets, for which name, address, or for all?

The site was asked for its versions before its name was said, in `probe.nettests.quic`. Here witnesses that speak
QUIC are found by trying; then follow a harmless name at the target's address, the pairs at the witnesses beside a
repetition, and the traces when it is silent still. The site's page over TCP is asked whether it announces HTTP/3.
"""

from __future__ import annotations

import asyncio

from measurements.model import OURS, Failure, Hop, Purpose, QuicHandshake, View
from measurements.proofs import announced, fails_like, greetings, repeated, unsettled
from measurements.reading import is_address
from probe.follow_up.asking import PAIRS, TIMEOUT, Asking
from probe.follow_up.attempts import more_pairs, pairs
from probe.steps import find_address

MOST_TRIED = 6  # witnesses that are asked for their versions
ENOUGH_SILENCE = 3  # distances beyond which nothing answers any more
TRACES = 8  # connections that are kept for them


async def ask_quic(asking: Asking) -> None:
    """Ask what shows who stops the handshakes over QUIC."""
    mine = greetings(asking.story)
    failed = next((h for h in mine if h.failure is not None and h.failure not in OURS), None)
    if failed is None or any(h.ended for h in mine):
        return
    async with asyncio.TaskGroup() as group:
        group.create_task(_look_for_announcement(asking))
        group.create_task(_ask_about(asking, failed))


async def _ask_about(asking: Asking, failed: QuicHandshake) -> None:
    address, named = failed.address, not is_address(asking.name)
    if failed.answered or failed.failure is not Failure.TIMEOUT:  # only silence is followed up
        await asking.again(lambda: greet(asking, address, asking.name, Purpose.REPETITION))
        return
    await _find_witnesses(asking, address)
    answers = named and await greet(asking, address, asking.harmless, Purpose.HARMLESS_AT_TARGET)
    async with asyncio.TaskGroup() as group:
        if named:
            group.create_task(pairs(asking, greet))
        group.create_task(asking.again(lambda: greet(asking, address, asking.name, Purpose.REPETITION)))
    if repeated(asking.story_now()):  # what works now has no place where it dies
        await _trace(asking, address, named=named)
    if named:
        await more_pairs(asking, greet, lambda: unsettled(asking.story_now(), fails_like(failed)))
        if answers and asking.left:
            await greet(asking, address, asking.harmless, Purpose.HARMLESS_AT_TARGET)


async def greet(asking: Asking, address: str, name: str, purpose: Purpose) -> bool:
    """Shake hands over QUIC under `name`; True when it was answered, whatever the answer."""
    if not asking.allowed():
        return False
    hands = await asking.net.quic(
        address,
        asking.leg.port if asking.leg.encrypted else 443,
        name=None if is_address(name) else name,
        verify=name,
        view=View.FOLLOW_UP,
        purpose=purpose,
        timeout=TIMEOUT,
    )
    return hands.answered


async def _find_witnesses(asking: Asking, like: str) -> None:
    """Find up to three witnesses that speak QUIC, of the same protocol as the target's own address."""
    names = asking.witness_names()[:MOST_TRIED]
    rtype = "AAAA" if ":" in like else "A"
    found: list[str] = []
    for start in range(0, len(names), PAIRS):
        answers = await asyncio.gather(*(find_address(asking.net, n, rtype) for n in names[start : start + PAIRS]))
        fresh = dict.fromkeys(a for a in answers if a is not None and a not in {*found, *asking.related})
        told = await asyncio.gather(*(_speaks(asking, address) for address in fresh))
        found += [address for address, speaks in zip(fresh, told, strict=True) if speaks]
        if len(found) >= PAIRS:
            break
    asking.take_for_witnesses(found)


async def _speaks(asking: Asking, address: str) -> bool:
    if asking.left <= TRACES or not asking.allowed():
        return False
    told = await asking.net.version_negotiation(address, 443, view=View.FOLLOW_UP, purpose=Purpose.WITNESS)
    return told.answered


async def _look_for_announcement(asking: Asking) -> None:
    """Ask for a little of the page over a TLS connection that stands, unless HTTP/3 is announced already."""
    flow = asking.leg.authentic
    if flow is None or flow.tls is None or announced(asking.story, asking.leg):
        return
    await asking.net.exchange(flow.tls, asking.leg.url, body_limit=512, purpose=Purpose.ANNOUNCEMENT, timeout=TIMEOUT)


async def _trace(asking: Asking, address: str, *, named: bool) -> None:
    """Send the first packets of handshakes ever further along the path, until they die where others go on.

    Where they die, a harmless name's packet and the first of a TCP connection go the same way; ours is sent once more.
    """
    silences = 0
    for ttl in range(1, asking.net.limits.max_hops + 1):
        mine = await _send(asking, address, ttl, "initial", Purpose.TRACE_TARGET, asking.name)
        if mine is None:
            return
        if mine.answer == "expired":
            silences = 0
            continue
        if mine.answer == "data":
            return
        tcp, *_ = await asyncio.gather(
            _send(asking, address, ttl, "syn", Purpose.TRACE_PATH),
            *([_send(asking, address, ttl, "initial", Purpose.TRACE_HARMLESS, asking.harmless)] if named else []),
            *([] if silences else [_send(asking, address, ttl, "initial", Purpose.TRACE_TARGET, asking.name)]),
            *([] if silences else [_trace_witness(asking, ttl, address)]),
        )
        silences += 1
        if mine.answer != "silence" or tcp is None or tcp.answer != "expired" or silences == ENOUGH_SILENCE:
            return


async def _trace_witness(asking: Asking, ttl: int, like: str) -> None:
    """See which router stands at that distance on the way to an unrelated site."""
    names = asking.witness_names()[:1]
    found = [await find_address(asking.net, name, "AAAA" if ":" in like else "A") for name in names]
    for address in found:
        if address is not None:
            await _send(asking, address, ttl, "syn", Purpose.TRACE_WITNESS)


async def _send(
    asking: Asking, address: str, ttl: int, probe: str, purpose: Purpose, name: str | None = None
) -> Hop | None:
    if not asking.allowed():
        return None
    sni = None if name is None or is_address(name) else name
    port = asking.leg.port if asking.leg.encrypted else 443
    return await asking.net.hop(address, port, probe=probe, ttl=ttl, name=sni, purpose=purpose)
