"""Whether something before the site's network keeps connections to its addresses from being made."""

from __future__ import annotations

from measurements.case import Case
from measurements.model import (
    Confidence,
    Finding,
    Mechanism,
    Outcome,
    Pattern,
    Proof,
    Purpose,
    TcpConnect,
    Trigger,
    Where,
)
from measurements.proofs import (
    fails_like,
    given_by_others,
    kind_of,
    lives,
    name_fails_elsewhere,
    outcomes,
    place,
    repeated,
    stood,
)
from measurements.reading import Flow, Leg

MECHANISMS = {
    "timeout": Mechanism.TCP_TIMEOUT,
    "reset": Mechanism.TCP_RESET,
    "unreachable": Mechanism.TCP_UNREACHABLE,
}

LEFT_BEHIND = ("reset", "timeout", "eof")


def _failing(case: Case) -> tuple[Leg, Flow] | None:
    """The leg to none of whose own addresses a connection stood, and its first failure."""
    leg = case.reading.troubled
    if leg is None or not leg.suspects or any(f.tcp.failure is None for f in leg.suspects):
        return None
    flow = next((f for f in leg.suspects if f.failed is not None), None)
    return None if flow is None else (leg, flow)


def blocked(case: Case) -> Finding | None:
    """Connections to the site's address are stopped before its network, and its neighbours' are not."""
    found = _failing(case)
    if found is None:
        return None
    leg, flow = found
    story = case.reading
    mechanism = MECHANISMS.get(kind_of(flow.tcp))
    living = lives(case, leg)
    if mechanism is None or living is None or not given_by_others(leg, flow):
        return None
    if case.measurement.source == "ooni":
        return _by_ooni(leg, flow, mechanism)
    shown = place(story, Purpose.TRACE_NEIGHBOUR)
    if shown is None or repeated(story) is False or stood(story, flow.tcp):
        return None
    other_port = [c for c in story.follow_ups(TcpConnect, Purpose.OTHER_PORT) if c.failure is None]
    verb = "die" if shown.proof is Proof.SHORT else "are answered by another"
    at = "at the first router, your own" if shown.where is Where.LOCAL else f"at hop {shown.hop}, short of its network"
    return Finding(
        rule="tcp.blocked",
        outcome=Outcome.BLOCKED,
        mechanism=mechanism,
        trigger=Trigger.PORT if other_port else Trigger.ADDRESS,
        where=shown.where,
        confidence=Confidence.CONFIRMED if shown.proof is Proof.IMPOSSIBLE and living.sure else Confidence.LIKELY,
        proof=shown.proof,
        summary=f"Connections to {flow.tcp.address}, the address of {leg.host}, {verb} {at}; those to an address "
        f"beside it go on{', and so do those to its other port' if other_port else ''}. {living.words}",
        evidence=tuple(sorted({*flow.ids, *shown.evidence, *living.evidence, *(c.id for c in other_port)})),
    )


def residual(case: Case) -> Finding | None:
    """Connections to the site are stopped for what its name left behind: it shuts unrelated servers in the same way."""
    found = _failing(case)
    if found is None or case.measurement.source == "ooni":
        return None
    leg, flow = found
    story = case.reading
    cut = next((s for s in outcomes(story, Purpose.TARGET_AT_WITNESS) if kind_of(s) in LEFT_BEHIND), None)
    named = name_fails_elsewhere(story, fails_like(cut)) if cut is not None else None
    living = lives(case, leg)
    mechanism = MECHANISMS.get(kind_of(flow.tcp))
    if cut is None or named is None or named.pattern is not Pattern.RESIDUAL:
        return None
    if living is None or mechanism is None:
        return None
    at = place(story, Purpose.TRACE_NEIGHBOUR)
    return Finding(
        rule="tcp.residual",
        outcome=Outcome.BLOCKED,
        mechanism=mechanism,
        trigger=Trigger.NAME,
        where=at.where if at is not None else named.where,
        pattern=Pattern.RESIDUAL,
        confidence=Confidence.LIKELY,
        proof=named.proof,
        summary=f"Connections to {flow.tcp.address}, the address of {leg.host}, fail because its name was seen before"
        f"{at.place if at is not None else ''}: it is cut{named.words}. {living.words}",
        evidence=tuple(sorted({*flow.ids, *named.evidence, *living.evidence, *(at.evidence if at else ())})),
    )


def _by_ooni(leg: Leg, flow: Flow, mechanism: Mechanism) -> Finding | None:
    """Accuse as OONI does: the test helper connected to the same address."""
    control = leg.control
    stood = control.connected(flow.tcp.address, flow.tcp.port) if control else None
    if control is None or stood is None:
        return None
    return Finding(
        rule="tcp.blocked",
        outcome=Outcome.BLOCKED,
        mechanism=mechanism,
        trigger=Trigger.UNKNOWN,
        where=Where.UNKNOWN,
        confidence=Confidence.LIKELY,
        summary=f"Connections to {flow.tcp.address}, the address of {leg.host}, fail here and not for OONI's test "
        "helper. The record holds no second proof, so this rests on less.",
        evidence=tuple(sorted({*flow.ids, control.query.id, stood.id})),
    )
