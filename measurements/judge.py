"""From a case to a verdict: the rules are asked, the first in order decides, and all that spoke are kept.

An accusation that rests on a name's failure at witnesses, or its slowness, is `likely`; the same finding in an earlier
session, 15 minutes to a day before, makes it `confirmed` (DESIGN section 4). Where it was seen from inside a
container, the first two hops are the machine's own and the home's: unless something beyond them is shown to do it,
a filter at home cannot be ruled out, and the verdict says so.
"""

from __future__ import annotations

from msgspec import structs

from measurements.case import Case
from measurements.model import Confidence, Finding, Hop, Outcome, Pattern, Proof, Purpose, Verdict, Where
from measurements.proofs import repeated
from measurements.rules import LAST_RESORT, RULES, RULES_VERSION

SESSION_APART = 15 * 60.0
SESSION_WITHIN = 24 * 3600.0
HOME_HOPS = 2  # from inside a container: its bridge, and the home's router
FROM_CONTAINER = " This was seen from inside a container, from where a filter at home cannot be ruled out."

__all__ = ["Case", "judge"]


def judge(case: Case) -> Verdict:
    """Judge one measurement; the same case always gives the same verdict."""
    findings: list[Finding] = []
    for name, rule in RULES.items():
        if findings and name in LAST_RESORT:
            continue
        if (finding := rule(case)) is not None:
            findings.append(finding)
    if not findings:
        return Verdict(
            outcome=Outcome.INCONCLUSIVE,
            reason="unproven",
            summary="Nothing that was seen proves anything.",
            rules_version=RULES_VERSION,
        )
    first = _from_container(case, _seen_before(case, findings[0]))
    return Verdict(
        outcome=first.outcome,
        mechanism=first.mechanism,
        trigger=first.trigger,
        where=first.where,
        pattern=first.pattern,
        confidence=first.confidence,
        reason=first.reason,
        summary=first.summary,
        findings=(first, *findings[1:]),
        rules_version=RULES_VERSION,
    )


def _seen_before(case: Case, finding: Finding) -> Finding:
    """Confirm what witnesses proved in an earlier session too; say `always` of what failed again after a pause."""
    if finding.outcome not in (Outcome.BLOCKED, Outcome.THROTTLED):
        return finding
    if finding.outcome is Outcome.BLOCKED and finding.pattern is None and repeated(case.reading):
        finding = structs.replace(finding, pattern=Pattern.ALWAYS)
    now = case.measurement.started
    earlier = [
        past
        for past in case.history
        if SESSION_APART <= now - past.started <= SESSION_WITHIN
        and past.verdict.outcome is finding.outcome
        and past.verdict.mechanism is finding.mechanism
        and any(before.proof in (Proof.ELSEWHERE, Proof.IMPOSSIBLE) for before in past.verdict.findings[:1])
    ]
    if finding.proof is Proof.ELSEWHERE and earlier:
        return structs.replace(finding, confidence=Confidence.CONFIRMED)
    return finding


def _from_container(case: Case, finding: Finding) -> Finding:
    """Leave open who did it where a container hides the home's own router."""
    accused = finding.outcome in (Outcome.BLOCKED, Outcome.THROTTLED)
    if not accused or not case.measurement.preconditions.container or finding.where is Where.LOCAL:
        return finding
    traced = [
        step.ttl
        for step in case.reading.follow_ups(Hop, Purpose.TRACE_TARGET)
        if step.id in finding.evidence and step.answer != "expired"
    ]
    if traced and min(traced) > HOME_HOPS:
        return finding
    return structs.replace(finding, where=Where.UNKNOWN, summary=finding.summary + FROM_CONTAINER)
