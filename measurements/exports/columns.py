"""The columns of a verdict in a table: what CSV and Parquet hold, and what they mean.

Each is a path of attributes from the row, so that a row is taken apart in one call. A value is None (unknown, or none),
a text, a number, UTC seconds for a datetime, or a list for an array. Each format writes it in its own way.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from operator import attrgetter
from typing import Any, NamedTuple

from measurements.exports.judged import Field, Judged

Value = str | int | float | Sequence[str] | Sequence[int] | None


class Column(NamedTuple):
    """A column, and where a row has it; an array holds texts, or whole numbers where `items` says so."""

    field: Field
    path: str
    items: str = "string"

    def value(self, row: Judged) -> Value:
        """Return what a row has in this column."""
        found: Value = attrgetter(self.path)(row)
        return found


def _column(kind: str, meaning: str, path: str, items: str = "string") -> Column:
    return Column(Field(kind, meaning), path, items)


COLUMNS: dict[str, Column] = {
    "id": _column("string", "128-bit id of the measurement, in hex", "measurement.id"),
    "started": _column("datetime", "when it began: UTC, ISO 8601", "measurement.started"),
    "runtime": _column("number", "seconds it took", "measurement.runtime"),
    "sequence": _column(
        "integer", "counts the measurements of this probe; 0 when read from OONI's format", "measurement.sequence"
    ),
    "nettest": _column("string", "which test was run, such as web", "measurement.nettest"),
    "target": _column("string", "URL that was asked about", "measurement.target.url"),
    "category": _column("string", "Citizen Lab code of the target", "measurement.target.category"),
    "outcome": _column(
        "string",
        "accessible, blocked, throttled, unreachable, down, server_side, invalid, inconclusive",
        "verdict.outcome",
    ),
    "mechanism": _column("string", "how it is done, layer first, as tls.reset", "verdict.mechanism"),
    "trigger": _column(
        "string",
        "what sets it off: name, address, name_and_address, port, protocol, any, unknown",
        "verdict.trigger",
    ),
    "where": _column("string", "local, resolver, network, unknown", "verdict.where"),
    "pattern": _column("string", "always, partial, residual", "verdict.pattern"),
    "confidence": _column("string", "confirmed or likely", "verdict.confidence"),
    "reason": _column("string", "why nothing is proven, in a word", "verdict.reason"),
    "summary": _column("string", "the verdict in a sentence", "verdict.summary"),
    "rules": _column("array", "ids of the rules that spoke", "rules"),
    "evidence": _column("array", "ids of the steps that they rest on", "evidence", "integer"),
    "rules_version": _column("integer", "version of the rules that judged", "verdict.rules_version"),
    "probe_id": _column("string", "random id of the probe", "measurement.vantage.probe_id"),
    "country": _column("string", "country of the probe, two letters", "measurement.vantage.country"),
    "asn": _column("integer", "number of the probe's network", "measurement.vantage.asn"),
    "network_type": _column("string", "kind of the probe's network", "measurement.vantage.network_type"),
    "resolver": _column("string", "resolver that the probe's network uses", "measurement.vantage.resolver"),
    "precondition": _column(
        "string",
        "why this network could not be judged then, in a word",
        "measurement.preconditions.reason",
    ),
    "clock_offset": _column("number", "seconds: true time minus the probe's", "measurement.preconditions.clock_offset"),
    "loop_lag": _column("number", "seconds by which the probe itself was late", "measurement.loop_lag"),
    "steps": _column("integer", "number of observations", "steps"),
    "connections": _column("integer", "connections that were opened", "measurement.connections"),
    "sent": _column("integer", "bytes sent", "measurement.sent"),
    "received": _column("integer", "bytes received", "measurement.received"),
    "limits": _column("array", "limits that were reached", "measurement.limits"),
    "software": _column("string", "name and version of what measured", "measurement.software"),
    "source": _column("string", "wazi, or ooni when imported from OONI's format", "measurement.source"),
}

FIELDS: dict[str, Field] = {name: column.field for name, column in COLUMNS.items()}


def values(names: Iterable[str]) -> Callable[[Judged], tuple[Any, ...]]:
    """Return what takes these columns out of a row, all in one call."""
    return attrgetter(*(COLUMNS[name].path for name in names))


def taken(rows: Sequence[Judged], names: Iterable[str]) -> list[list[Any]]:
    """Take columns out of many rows; what several paths pass through is looked up once a row."""
    found: dict[str, list[Any]] = {"": list(rows)}

    def column(path: str) -> list[Any]:
        if path not in found:
            before, _, last = path.rpartition(".")
            found[path] = list(map(attrgetter(last), column(before)))
        return found[path]

    return [column(COLUMNS[name].path) for name in names]
