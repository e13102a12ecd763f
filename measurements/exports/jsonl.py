"""One JSON object a line: the verdict, its findings and the whole measurement it rests on.

A line holds what DESIGN section 5 promises of `check --json`, in that order. `wazi judge` reads it
back. A line of an export also keeps the bodies and every field of each finding.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import BinaryIO

import msgspec

from measurements.exports.judged import Field, Judged
from measurements.model import (
    SCHEMA,
    Confidence,
    Finding,
    HttpExchange,
    Measurement,
    Mechanism,
    Outcome,
    Pattern,
    Throttling,
    Trigger,
    Vantage,
    Verdict,
    Where,
    encode,
)

ABOUT = "One JSON object a line: the verdict, its findings and the whole measurement. `wazi import` reads it back."

FIELDS: dict[str, Field] = {
    "schema": Field("integer", "version of this format"),
    "target": Field("string", "URL that was asked about"),
    "outcome": Field("string", "accessible, blocked, throttled, unreachable, down, server_side, invalid, inconclusive"),
    "mechanism": Field("string", "how it is done, layer first, as tls.reset"),
    "trigger": Field("string", "what sets it off"),
    "where": Field("string", "local, resolver, network, unknown"),
    "pattern": Field("string", "always, partial, residual"),
    "confidence": Field("string", "confirmed or likely"),
    "reason": Field("string", "why nothing is proven, in a word"),
    "summary": Field("string", "the verdict in a sentence"),
    "findings": Field("array", "what each rule says, and the ids of the observations that it rests on"),
    "rules_version": Field("integer", "version of the rules that judged"),
    "vantage": Field("object", "where it was measured: probe_id, country, asn, network_type, resolver"),
    "measurement": Field("object", "the whole measurement, with every observation; bytes are base64"),
}


class FindingLine(msgspec.Struct, frozen=True, kw_only=True):
    """A finding as `check --json` prints it.

    `fingerprint` is there only where a known artefact was found, `throttling` where pairs of transfers were weighed.
    """

    rule: str
    outcome: Outcome
    mechanism: Mechanism | None = None
    evidence: tuple[int, ...] = ()
    fingerprint: str | msgspec.UnsetType = msgspec.UNSET
    throttling: Throttling | msgspec.UnsetType = msgspec.UNSET


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """One line; the fields of DESIGN section 5 in their order."""

    schema: int = SCHEMA
    target: str
    outcome: Outcome
    mechanism: Mechanism | None = None
    trigger: Trigger | None = None
    where: Where | None = None
    pattern: Pattern | None = None
    confidence: Confidence | None = None
    reason: str | None = None
    summary: str = ""
    findings: tuple[Finding | FindingLine, ...] = ()
    rules_version: int = 0
    vantage: Vantage
    measurement: Measurement


def write(rows: Iterable[Judged], stream: BinaryIO) -> int:
    """Write whole lines: bodies, and every field of the findings."""
    count = 0
    for measurement, verdict in rows:
        stream.write(encode(_line(measurement, verdict, verdict.findings)) + b"\n")
        count += 1
    return count


def line(measurement: Measurement, verdict: Verdict, *, bodies: bool = False) -> bytes:
    """Encode one line of `check --json`, newline included; page bodies are left out unless asked for."""
    findings = tuple(
        FindingLine(
            rule=f.rule,
            outcome=f.outcome,
            mechanism=f.mechanism,
            evidence=f.evidence,
            fingerprint=f.fingerprint or msgspec.UNSET,
            throttling=f.throttling or msgspec.UNSET,
        )
        for f in verdict.findings
    )
    return encode(_line(measurement if bodies else without_bodies(measurement), verdict, findings)) + b"\n"


def without_bodies(measurement: Measurement) -> Measurement:
    """Empty every page body; digest, length and title stay."""
    steps = tuple(
        msgspec.structs.replace(step, body=b"") if isinstance(step, HttpExchange) else step
        for step in measurement.observations
    )
    return msgspec.structs.replace(measurement, observations=steps)


def _line(measurement: Measurement, verdict: Verdict, findings: tuple[Finding | FindingLine, ...]) -> Line:
    return Line(
        target=measurement.target.url,
        outcome=verdict.outcome,
        mechanism=verdict.mechanism,
        trigger=verdict.trigger,
        where=verdict.where,
        pattern=verdict.pattern,
        confidence=verdict.confidence,
        reason=verdict.reason,
        summary=verdict.summary,
        findings=findings,
        rules_version=verdict.rules_version,
        vantage=measurement.vantage,
        measurement=measurement,
    )
