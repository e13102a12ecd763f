"""Whether this network, or this machine, could be judged at all."""

from __future__ import annotations

from measurements.case import Case
from measurements.model import (
    OURS,
    Confidence,
    DnsLookup,
    Failure,
    Finding,
    HttpExchange,
    Mechanism,
    Outcome,
    Preconditions,
    Purpose,
    TcpConnect,
    TlsHandshake,
    Trigger,
    Where,
)
from measurements.proofs import kind_of, like, tally
from measurements.reading import Flow

STEPS = (TcpConnect, TlsHandshake, HttpExchange)
CUT_OFF = ("timeout", "reset", "eof", "unreachable")


ELSEWHERE = frozenset({"vpn", "network_changed"})
"""Reasons for which even a page that came says nothing about this network: it came through another."""


def elsewhere(case: Case) -> Finding | None:
    """What was measured is another network than this one: a VPN's, or two in turn."""
    return _invalid(case, "network.elsewhere") if case.measurement.preconditions.reason in ELSEWHERE else None


def invalid(case: Case) -> Finding | None:
    """This network cannot be judged now."""
    return _invalid(case, "network.invalid") if case.measurement.preconditions.reason not in ELSEWHERE else None


def _invalid(case: Case, rule: str) -> Finding | None:
    before = case.measurement.preconditions
    if before.reason is None:
        return None
    return Finding(rule=rule, outcome=Outcome.INVALID, reason=before.reason, summary=before.detail)


def allowlist(case: Case) -> Finding | None:
    """Nothing foreign answers while domestic sites do, and the site is alive: the border lets little pass.

    Unrelated sites of the world are cut off at once. That they and the target live, and that the line abroad does
    too, a control shows that answers over it now. Where none does, a cut cable looks the same.
    """
    before = case.measurement.preconditions
    leg = case.reading.troubled
    foreign = [c for c in before.canaries if c.kind == "foreign" and c.problem != "no_address"]
    failed = [f for f in leg.local_flows if _by_border(f, before)] if leg is not None else []
    if before.foreign_alive is not False or not before.domestic_alive or len({c.name for c in foreign}) < 2:
        return None
    if leg is None or not failed or leg.served is not None:
        return None
    control = case.reading.control
    lost = tuple(i for f in failed for i in f.ids)
    there = "Unrelated sites abroad do not answer here, while domestic ones do"
    if control is not None and control.reached and control.page is not None:
        return Finding(
            rule="network.allowlist",
            outcome=Outcome.BLOCKED,
            mechanism=Mechanism.NETWORK_ALLOWLIST,
            trigger=Trigger.ANY,
            where=Where.NETWORK,
            confidence=Confidence.LIKELY,
            summary=f"{there}, and a control abroad can be asked: it sees {leg.host} up. Little more than what is "
            "allowed passes the border.",
            evidence=tuple(sorted({*lost, control.query.id, control.page.id})),
        )
    before_that = any(past.verdict.outcome is Outcome.ACCESSIBLE for past in case.history)
    return Finding(
        rule="network.allowlist",
        outcome=Outcome.UNREACHABLE if before_that else Outcome.INCONCLUSIVE,
        reason="abroad",
        summary=f"{there}, and no control abroad answers. A cut cable looks the same as a border that is closed.",
        evidence=tuple(sorted(set(lost))),
    )


def _by_border(flow: Flow, before: Preconditions) -> bool:
    """Whether a border may have stopped a flow: not where this machine has no route, or where the site said no."""
    step = flow.failed
    route = before.ipv6_route if ":" in flow.tcp.address else before.ipv4_route
    return route is not False and isinstance(step, STEPS) and kind_of(step) in CUT_OFF


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
