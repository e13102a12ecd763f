"""Questions about a connection: who on the path stops it, or answers for it?

A harmless name is tried at the target's own address first and last, so that what the name itself leaves
behind on the path shows; between them come the pairs, the traces and a repetition, side by side.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from measurements.model import Failure, HttpExchange, Purpose, TcpConnect, TlsHandshake
from measurements.proofs import (
    Step,
    alive,
    like,
    name_fails_elsewhere,
    outcomes,
    shut_out,
    suspicious,
    tally,
    unsettled,
    worked,
)
from measurements.reading import Flow, failed_like, identical, is_address
from probe.follow_up.asking import Asking
from probe.follow_up.attempts import (
    SizedAttempt,
    afterwards,
    handshake,
    handshake_and_page,
    more_pairs,
    other_door,
    pairs,
    prove_by_certificate,
    request,
    same_path,
)
from probe.follow_up.traces import answered_early, trace_name, trace_syn
from probe.network import LARGE, SMALL_SEGMENT


async def ask_path(asking: Asking, flow: Flow) -> None:
    """Ask what shows who stops, or answers for, the connection of `flow`."""
    asking.target = flow.tcp.address
    if flow.tcp.failure is not None:
        if failed_like(flow.tcp.failure):
            await _ask_tcp(asking, flow.tcp)
    elif asking.leg.encrypted and not flow.secure:
        if flow.tls is not None and failed_like(flow.tls.failure):
            await _ask_about_name(asking, flow, "hello", handshake)
    elif asking.leg.encrypted:
        await _ask_about_name(asking, flow, "hello", handshake_and_page)
    else:
        await _ask_about_name(asking, flow, "request", request)


async def _ask_tcp(asking: Asking, tcp: TcpConnect) -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(_ask_other_port(asking, tcp))
        group.create_task(trace_syn(asking, tcp))
        group.create_task(asking.again(lambda: asking.connect(tcp.address, tcp.port, Purpose.REPETITION)))


async def _ask_other_port(asking: Asking, tcp: TcpConnect) -> None:
    """Try the other port; where it stands, this one may be shut for what a name left behind, which pairs show."""
    await other_door(asking, tcp.address)
    stands = any(c.failure is None for c in asking.story_now().follow_ups(TcpConnect, Purpose.OTHER_PORT))
    if stands and not is_address(asking.name):
        attempt = handshake if asking.leg.encrypted else request
        await pairs(asking, attempt)
        tries = outcomes(asking.story_now(), Purpose.TARGET_AT_WITNESS)
        if tries and all(not worked(step) for step in tries):
            await afterwards(asking, attempt)


async def _ask_about_name(asking: Asking, flow: Flow, probe: str, attempt: SizedAttempt) -> None:
    """Harmless first; then the pairs, the traces and a repetition; harmless last.

    A page in clear that nothing speaks against but the want of a control gets the pairs, and then, unless it may be
    a notice or comes from a witness too, no more than the trace that shows whether it comes from the site's address
    at all. A page or a certificate that comes for any name is traced so too.
    """
    address = flow.tcp.address
    named = not is_address(asking.name)
    in_clear = not asking.leg.encrypted and flow.page is not None and flow.page.failure is None
    doubted = in_clear and asking.story.control is None
    if named and doubted:
        await pairs(asking, attempt)
        theirs = asking.story_now().follow_ups(HttpExchange, Purpose.TARGET_AT_WITNESS)
        if flow.page is None or not (suspicious(flow.page) or any(identical(flow.page, page) for page in theirs)):
            await _trace_address(asking, flow)
            return
        await same_path(asking)
    taken = named and await attempt(asking, address, asking.harmless, Purpose.HARMLESS_AT_TARGET)
    async with asyncio.TaskGroup() as group:
        group.create_task(_ask_elsewhere_and_trace(asking, flow, probe, attempt, tried=doubted))
        group.create_task(asking.again(lambda: attempt(asking, address, asking.name, Purpose.REPETITION)))
    if named:
        await more_pairs(asking, attempt, lambda: unsettled(asking.story_now(), like(flow)))
    async with asyncio.TaskGroup() as group:
        if taken and asking.left:
            group.create_task(attempt(asking, address, asking.harmless, Purpose.HARMLESS_AT_TARGET))
        if named and not taken and probe == "hello":
            group.create_task(_ask_about_shape(asking, flow))
        if asking.left and asking.story_now().control is None and not alive(asking.story_now(), asking.leg):
            group.create_task(other_door(asking, address))


async def _ask_about_shape(asking: Asking, flow: Flow) -> None:
    """Where no name is taken by a hello in one segment, try a harmless one in two: here, or at witnesses."""
    story = asking.story_now()
    if not shut_out(story) or name_fails_elsewhere(story, like(flow)) is not None:
        return
    through = any(h.ended for h in story.follow_ups(TlsHandshake, Purpose.OTHER_HELLO))
    async with asyncio.TaskGroup() as group:
        for address in [flow.tcp.address] if through else asking.fit[:2]:
            if asking.left:
                again = handshake(asking, address, asking.harmless, Purpose.HARMLESS_OTHER_HELLO, hello=LARGE)
                group.create_task(again)


async def _ask_elsewhere_and_trace(
    asking: Asking, flow: Flow, probe: str, attempt: SizedAttempt, *, tried: bool
) -> None:
    """Take the pairs, if they were not tried, and then the trace that what they show calls for.

    What happens only sometimes has no place that packets could tell; the allowance is better spent on more pairs.
    Where not even a harmless name is taken any more after the name was, a packet that carries no name tells the place.
    """
    wrong = like(flow)
    seen = tally(asking.story_now(), wrong)
    if not tried and not is_address(asking.name):
        await pairs(asking, attempt)
        story = asking.story_now()
        seen = tally(story, wrong)
        await _ask_under_own_name(asking, flow)
        await same_path(asking)
        if seen.always and shut_out(story):
            await afterwards(asking, attempt)
            if tally(asking.story_now(), wrong).residual:
                await trace_syn(asking, flow.tcp)
                return
    async with asyncio.TaskGroup() as group:
        group.create_task(_ask_in_other_shapes(asking, flow, probe, attempt))
        if _same_for_any_name(asking, flow):
            group.create_task(_trace_address(asking, flow))
        elif not (seen.passed and seen.mixed) and not _harmless_fails_alike(asking, wrong):
            group.create_task(trace_name(asking, flow.tcp.address, probe))


async def _ask_under_own_name(asking: Asking, flow: Flow) -> None:
    """Where a harmless name gets the site's unknown issuer at witnesses too, ask one under its own name.

    If it is answered rightly then, that issuer is what some software makes up for strangers, and nobody's forgery.
    """
    if flow.tls is None or flow.tls.failure is not Failure.SSL_UNKNOWN_AUTHORITY:
        return
    theirs = asking.story_now().follow_ups(TlsHandshake, Purpose.HARMLESS_AT_WITNESS)
    same = next((h.address for h in theirs if h.issuer == flow.tls.issuer), None)
    name = asking.name_of(same) if same is not None else None
    if same is not None and name is not None:
        await handshake(asking, same, name, Purpose.WITNESS)


async def _trace_address(asking: Asking, flow: Flow) -> None:
    """Find out who it is that answers us; and where it is another, whether there is a site at all behind it."""
    await trace_syn(asking, flow.tcp)
    if asking.story.control is None and not asking.leg.encrypted and answered_early(asking):
        await prove_by_certificate(asking, flow)


def _harmless_fails_alike(asking: Asking, wrong: Callable[[Step], bool]) -> bool:
    """Whether a harmless name met the same at the site, so that its packets would tell nothing of the name's."""
    first = outcomes(asking.story_now(), Purpose.HARMLESS_AT_TARGET)[:1]
    return any(wrong(step) or isinstance(step, TcpConnect) for step in first)


async def _ask_in_other_shapes(asking: Asking, flow: Flow, probe: str, attempt: SizedAttempt) -> None:
    """Try the name with another shape of hello; and in small segments, where it may be too big for the way."""
    wrong, address = like(flow), flow.tcp.address
    async with asyncio.TaskGroup() as group:
        if probe == "hello" and flow.tls is not None and not flow.tls.ended:
            group.create_task(handshake(asking, address, asking.name, Purpose.OTHER_HELLO, hello=LARGE))
        silent = flow.failed is not None and flow.failed.failure is Failure.TIMEOUT
        if silent and not tally(asking.story_now(), wrong).always:
            small = attempt(asking, address, asking.name, Purpose.SMALL_SEGMENTS, mss=SMALL_SEGMENT)
            group.create_task(small)


def _same_for_any_name(asking: Asking, flow: Flow) -> bool:
    """Whether what answered has a certificate, or gives one page for the name and for a harmless one."""
    if flow.tls is not None:
        return flow.tls.issuer is not None
    beside = asking.story_now().follow_ups(HttpExchange, Purpose.HARMLESS_AT_TARGET)
    return flow.page is not None and any(identical(flow.page, page) for page in beside)
