"""From a case to a verdict: the rules are asked, the first in order decides, and all that spoke are kept.

An accusation that rests on a name's failure at witnesses is `likely`; the same finding in an earlier
session, 15 minutes to a day before, makes it `confirmed` (DESIGN section 4).
"""

from __future__ import annotations

from msgspec import structs

from measurements.case import Case
from measurements.model import Confidence, Finding, Outcome, Pattern, Proof, Verdict
from measurements.proofs import repeated
from measurements.rules import LAST_RESORT, RULES, RULES_VERSION

SESSION_APART = 15 * 60.0
SESSION_WITHIN = 24 * 3600.0

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
    first = _seen_before(case, findings[0])
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
    if finding.outcome is not Outcome.BLOCKED:
        return finding
    if finding.pattern is None and repeated(case.reading):
        finding = structs.replace(finding, pattern=Pattern.ALWAYS)
    now = case.measurement.started
    earlier = [
        past
        for past in case.history
        if SESSION_APART <= now - past.started <= SESSION_WITHIN
        and past.verdict.outcome is Outcome.BLOCKED
        and past.verdict.mechanism is finding.mechanism
        and any(before.proof in (Proof.ELSEWHERE, Proof.IMPOSSIBLE) for before in past.verdict.findings[:1])
    ]
    if finding.proof is Proof.ELSEWHERE and earlier:
        return structs.replace(finding, confidence=Confidence.CONFIRMED)
    return finding
