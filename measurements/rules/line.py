"""Whether the line to the site, and neither its name nor its address, explains what failed.

Packets that are too big for some stretch of the way vanish without a word; boxes break what they do not expect, such
as a hello in two segments; and what comes and goes may be chance. None of these accuses anybody.
"""

from __future__ import annotations

from measurements.case import Case
from measurements.model import Failure, Finding, Outcome, Purpose, TlsHandshake
from measurements.proofs import like, outcomes, repeated, shut_out, tally, worked
from measurements.reading import Flow, Leg

WITNESSES_THAT_STUMBLE = 2


def _failing(case: Case) -> tuple[Leg, Flow] | None:
    """The leg that brought no page, and its first failure."""
    leg = case.reading.troubled
    flow = next((f for f in leg.suspects if f.failed is not None), None) if leg is not None else None
    return (leg, flow) if leg is not None and flow is not None and leg.served is None else None


def path_mtu(case: Case) -> Finding | None:
    """In small segments the site answers, and in ordinary ones it does not: packets are too big for the way."""
    found = _failing(case)
    small = [s for s in outcomes(case.reading, Purpose.SMALL_SEGMENTS) if worked(s)]
    if found is None or not small or repeated(case.reading) is False:
        return None
    leg, flow = found
    step = flow.tls if flow.tls is not None and not flow.tls.ended else flow.page
    if step is None or step.failure is not Failure.TIMEOUT:
        return None
    return Finding(
        rule="line.path_mtu",
        outcome=Outcome.INVALID,
        reason="path_mtu",
        summary=f"{leg.host} answers in small segments, and not in ordinary ones: somewhere on the way packets are too "
        "big, and nobody says so (path MTU). That is a fault of the line and no block.",
        evidence=tuple(sorted({*flow.ids, *(s.id for s in small)})),
    )


def tls_shape(case: Case) -> Finding | None:
    """Handshakes break on the shape of the hello, whatever name is in it."""
    found, story = _failing(case), case.reading
    if found is None or found[1].tls is None or found[1].tls.ended or not shut_out(story):
        return None
    leg, flow = found
    large = story.follow_ups(TlsHandshake, Purpose.OTHER_HELLO)
    beside = story.follow_ups(TlsHandshake, Purpose.HARMLESS_OTHER_HELLO)
    here = [h for h in beside if h.address == flow.tcp.address]
    there = [h for h in beside if h.address != flow.tcp.address]
    by_shape = any(h.ended for h in large) and any(h.ended for h in here)
    stumbles = len(there) >= WITNESSES_THAT_STUMBLE and not any(h.ended for h in there)
    if not by_shape and not stumbles:
        return None
    words = (
        f"{leg.host} takes a hello in two segments, and none in one, under any name."
        if by_shape
        else "A hello that comes in two segments gets no answer here, not even from unrelated servers and under a "
        f"harmless name; {leg.host} may want its hellos small, and nothing else be wrong."
    )
    return Finding(
        rule="line.tls_shape",
        outcome=Outcome.INVALID,
        reason="tls_shape",
        summary=f"{words} Something on the way stumbles over the shape.",
        evidence=tuple(sorted({*flow.ids, *(h.id for h in (*large, *beside))})),
    )


def mixed(case: Case) -> Finding | None:
    """The name failed sometimes at unrelated servers too, and not more often than chance allows."""
    found = _failing(case)
    if found is None:
        return None
    leg, flow = found
    seen = tally(case.reading, like(flow))
    if not seen.failed or not seen.passed:
        return None
    return Finding(
        rule="line.mixed",
        outcome=Outcome.INCONCLUSIVE,
        reason="unsteady",
        summary=f"The name {leg.host} failed in {seen.failed} of {seen.tried} tries at unrelated servers, a harmless "
        f"one worked there {seen.harmless} times. That may be chance, and may be a block that acts now and then.",
        evidence=tuple(sorted({*flow.ids, *seen.counted})),
    )
