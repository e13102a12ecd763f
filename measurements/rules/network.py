"""Whether this network, or this machine, could be judged at all."""

from __future__ import annotations

from measurements.case import Case
from measurements.model import (
    OURS,
    DnsLookup,
    Failure,
    Finding,
    HttpExchange,
    Outcome,
    Purpose,
    TcpConnect,
    TlsHandshake,
)
from measurements.proofs import like, tally

STEPS = (TcpConnect, TlsHandshake, HttpExchange)


def invalid(case: Case) -> Finding | None:
    """This network cannot be judged now."""
    before = case.measurement.preconditions
    if before.reason is None:
        return None
    return Finding(rule="network.invalid", outcome=Outcome.INVALID, reason=before.reason, summary=before.detail)


def unsteady(case: Case) -> Finding | None:
    """Harmless names failed here too, or what failed worked a moment later: nothing can be said."""
    story = case.reading
    harmless = (Purpose.HARMLESS_AT_WITNESS, Purpose.HARMLESS_AT_TARGET)
    lost = [
        step.id
        for kind in STEPS
        for step in story.follow_ups(kind, Purpose.HARMLESS_AT_WITNESS)
        if step.failure is Failure.TIMEOUT
    ]
    tried = sum(len(story.follow_ups(TcpConnect, purpose)) for purpose in harmless)
    if lost and len(lost) < tried and not _left_behind(case):
        return Finding(
            rule="network.unsteady",
            outcome=Outcome.INCONCLUSIVE,
            reason="unsteady",
            summary="Harmless names failed here as well, so this line was too unsteady to judge by.",
            evidence=tuple(lost),
        )
    leg = story.troubled
    unnamed = leg is not None and bool(leg.lookups) and not leg.local_addresses
    kinds = (DnsLookup,) if unnamed else STEPS
    last = [s for kind in kinds for s in story.follow_ups(kind, Purpose.REPETITION)]
    causes = {s.cause for s in last}
    ends = [s for s in last if s.id not in causes]
    if ends and leg is not None and leg.served is None and all(s.failure is None for s in ends):
        return Finding(
            rule="network.unsteady",
            outcome=Outcome.INCONCLUSIVE,
            reason="intermittent",
            summary="It failed once and worked a few seconds later, so nothing can be said yet.",
            evidence=tuple(s.id for s in ends),
        )
    return None


def _left_behind(case: Case) -> bool:
    """Whether harmless names were lost only where the name had been cut before: that is no chance."""
    leg = case.reading.troubled
    flow = next((f for f in leg.suspects if f.failed is not None), None) if leg is not None else None
    return flow is not None and tally(case.reading, like(flow)).residual


def ours(case: Case) -> Finding | None:
    """This machine, not the network, stopped the measurement."""
    cut = [o for o in case.measurement.observations if o.failure in OURS and o.purpose is None]
    if not cut:
        return None
    words = sorted({o.failure.value for o in cut if o.failure})
    return Finding(
        rule="network.ours",
        outcome=Outcome.INCONCLUSIVE,
        reason="interrupted" if words == ["interrupted"] else "local_error",
        summary=f"The measurement was cut short on this machine ({', '.join(words)}).",
        evidence=tuple(o.id for o in cut),
    )
