"""The columns of a verdict in a table: what CSV and Parquet hold, and what they mean.

A value is None (unknown, or none), a text, a number, UTC seconds for a datetime, or a list for an array. Each format
writes it in its own way.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from measurements.exports.judged import Field, Judged

Value = str | int | float | Sequence[str] | Sequence[int] | None


class Column(NamedTuple):
    """A column, and how to fill it; an array holds texts, or whole numbers where `items` says so."""

    field: Field
    value: Callable[[Judged], Value]
    items: str = "string"


def _column(kind: str, meaning: str, value: Callable[[Judged], Value], items: str = "string") -> Column:
    return Column(Field(kind, meaning), value, items)


COLUMNS: dict[str, Column] = {
    "id": _column("string", "128-bit id of the measurement, in hex", lambda row: row.measurement.id),
    "started": _column("datetime", "when it began: UTC, ISO 8601", lambda row: row.measurement.started),
    "runtime": _column("number", "seconds it took", lambda row: row.measurement.runtime),
    "sequence": _column(
        "integer", "counts the measurements of this probe; 0 when imported", lambda row: row.measurement.sequence
    ),
    "nettest": _column("string", "which test was run: web, dns, tcp, quic, trace", lambda row: row.measurement.nettest),
    "target": _column("string", "URL that was asked about", lambda row: row.measurement.target.url),
    "category": _column("string", "Citizen Lab code of the target", lambda row: row.measurement.target.category),
    "outcome": _column(
        "string",
        "accessible, blocked, throttled, unreachable, down, server_side, invalid, inconclusive",
        lambda row: row.verdict.outcome.value,
    ),
    "mechanism": _column(
        "string", "how it is done, layer first, as tls.reset", lambda row: _word(row.verdict.mechanism)
    ),
    "trigger": _column(
        "string",
        "what sets it off: name, address, name_and_address, port, protocol, any, unknown",
        lambda row: _word(row.verdict.trigger),
    ),
    "where": _column("string", "local, resolver, network, unknown", lambda row: _word(row.verdict.where)),
    "pattern": _column("string", "always, partial, residual", lambda row: _word(row.verdict.pattern)),
    "confidence": _column("string", "confirmed or likely", lambda row: _word(row.verdict.confidence)),
    "reason": _column("string", "why nothing is proven, in a word", lambda row: row.verdict.reason),
    "summary": _column("string", "the verdict in a sentence", lambda row: row.verdict.summary),
    "rules": _column(
        "array", "ids of the rules that spoke", lambda row: [finding.rule for finding in row.verdict.findings]
    ),
    "evidence": _column("array", "ids of the steps that they rest on", lambda row: _evidence(row), "integer"),
    "rules_version": _column("integer", "version of the rules that judged", lambda row: row.verdict.rules_version),
    "probe_id": _column("string", "random id of the probe", lambda row: row.measurement.vantage.probe_id),
    "country": _column("string", "country of the probe, two letters", lambda row: row.measurement.vantage.country),
    "asn": _column("integer", "number of the probe's network", lambda row: row.measurement.vantage.asn),
    "network_type": _column("string", "kind of the probe's network", lambda row: row.measurement.vantage.network_type),
    "resolver": _column(
        "string", "resolver that the probe's network uses", lambda row: row.measurement.vantage.resolver
    ),
    "precondition": _column(
        "string",
        "why this network could not be judged then, in a word",
        lambda row: row.measurement.preconditions.reason,
    ),
    "clock_offset": _column(
        "number", "seconds: true time minus the probe's", lambda row: row.measurement.preconditions.clock_offset
    ),
    "loop_lag": _column("number", "seconds by which the probe itself was late", lambda row: row.measurement.loop_lag),
    "steps": _column("integer", "number of observations", lambda row: len(row.measurement.observations)),
    "connections": _column("integer", "connections that were opened", lambda row: row.measurement.connections),
    "sent": _column("integer", "bytes sent", lambda row: row.measurement.sent),
    "received": _column("integer", "bytes received", lambda row: row.measurement.received),
    "limits": _column("array", "limits that were reached", lambda row: row.measurement.limits),
    "software": _column("string", "name and version of what measured", lambda row: row.measurement.software),
    "source": _column("string", "wazi, or ooni when imported from OONI's format", lambda row: row.measurement.source),
}

FIELDS: dict[str, Field] = {name: column.field for name, column in COLUMNS.items()}


def _word(value: str | None) -> str | None:
    return None if value is None else str(value)


def _evidence(row: Judged) -> list[int]:
    return sorted({step for finding in row.verdict.findings for step in finding.evidence})
