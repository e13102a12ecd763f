r"""One row a verdict, for a spreadsheet and for a program.

A cell of text that a spreadsheet would run as a formula or turn into a number must not reach it
as it is, and yet a program must read back exactly what was written. So text is escaped, and `read`
undoes it:

1. a backslash becomes `\\`, and a control character `\xNN`;
2. a semicolon that stands before something a formula begins with becomes `\x3b`, because where the
   decimal sign is a comma a spreadsheet splits cells at semicolons;
3. text that would then begin a formula, looks like a number, or begins with `'` gets a `'` in front.

The first line names the columns (`COLUMNS`). Cells that are empty mean: unknown or none. Numbers are
written as Python writes them. Lines end in CR LF (RFC 4180), the encoding is UTF-8.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from typing import BinaryIO, NamedTuple

from measurements.exports.judged import Judged

Cell = str | int | float | None


class Column(NamedTuple):
    """A column: what it means, and how to fill it."""

    meaning: str
    value: Callable[[Judged], Cell]


COLUMNS: dict[str, Column] = {
    "id": Column("128-bit id of the measurement, in hex", lambda row: row.measurement.id),
    "started": Column("when it began: UTC, ISO 8601", lambda row: _iso(row.measurement.started)),
    "runtime": Column("seconds it took", lambda row: row.measurement.runtime),
    "sequence": Column("counts the measurements of this probe", lambda row: row.measurement.sequence),
    "nettest": Column("which test was run", lambda row: row.measurement.nettest),
    "target": Column("URL that was asked about", lambda row: row.measurement.target.url),
    "category": Column("Citizen Lab code of the target", lambda row: row.measurement.target.category),
    "outcome": Column(
        "accessible, blocked, throttled, unreachable, down, server_side, invalid, inconclusive",
        lambda row: row.verdict.outcome,
    ),
    "mechanism": Column("how it is done, layer first", lambda row: row.verdict.mechanism),
    "trigger": Column("what sets it off: name, address, …", lambda row: row.verdict.trigger),
    "where": Column("local, resolver, network, unknown", lambda row: row.verdict.where),
    "pattern": Column("always, partial, residual", lambda row: row.verdict.pattern),
    "confidence": Column("confirmed or likely", lambda row: row.verdict.confidence),
    "reason": Column("why nothing is proven", lambda row: row.verdict.reason),
    "summary": Column("the verdict in a sentence", lambda row: row.verdict.summary),
    "rules": Column(
        "ids of the rules that spoke, separated by spaces",
        lambda row: " ".join(finding.rule for finding in row.verdict.findings),
    ),
    "evidence": Column("ids of the steps that they rest on, separated by spaces", lambda row: _evidence(row)),
    "rules_version": Column("version of the rules that judged", lambda row: row.verdict.rules_version),
    "probe_id": Column("random id of the probe", lambda row: row.measurement.vantage.probe_id),
    "country": Column("country of the probe, two letters", lambda row: row.measurement.vantage.country),
    "asn": Column("number of the probe's network", lambda row: row.measurement.vantage.asn),
    "network_type": Column("kind of the probe's network", lambda row: row.measurement.vantage.network_type),
    "resolver": Column("resolver that the probe's network uses", lambda row: row.measurement.vantage.resolver),
    "precondition": Column(
        "why this network could not be judged then", lambda row: row.measurement.preconditions.reason
    ),
    "clock_offset": Column(
        "seconds: true time minus the probe's", lambda row: row.measurement.preconditions.clock_offset
    ),
    "loop_lag": Column("seconds by which the probe itself was late", lambda row: row.measurement.loop_lag),
    "steps": Column("number of observations", lambda row: len(row.measurement.observations)),
    "connections": Column("connections that were opened", lambda row: row.measurement.connections),
    "sent": Column("bytes sent", lambda row: row.measurement.sent),
    "received": Column("bytes received", lambda row: row.measurement.received),
    "limits": Column("limits that were reached, separated by spaces", lambda row: " ".join(row.measurement.limits)),
    "software": Column("name and version of what measured", lambda row: row.measurement.software),
    "source": Column("wazi, or ooni when imported", lambda row: row.measurement.source),
}

_FORMULA = "=+\\-@\uff1d\uff0b\uff0d\uff20|%"
_BEGINS_FORMULA = re.compile(rf"[\s\"']*[{_FORMULA}]")
_SEMICOLON = re.compile(rf";(?=[\s\"']*[{_FORMULA}])")
_LOOKS_LIKE_NUMBER = re.compile(r"\s*[$€£(]?\s*[\d.,]+(\s*[eE]\s*[+-]?\s*\d+)?\s*[)%]?\s*")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ufeff\\]")
_ESCAPED = re.compile(r"\\(?:\\|x([0-9a-f]{2})|u([0-9a-f]{4}))")


def write(rows: Iterable[Judged], stream: BinaryIO) -> int:
    """Write the heading and one row a verdict."""
    text = io.TextIOWrapper(stream, encoding="utf-8", errors="backslashreplace", newline="", write_through=True)
    try:
        writer = csv.writer(text)
        writer.writerow(COLUMNS)
        count = 0
        for row in rows:
            writer.writerow([_cell(column.value(row)) for column in COLUMNS.values()])
            count += 1
        return count
    finally:
        text.detach()  # the stream is the caller's to close


def read(stream: BinaryIO) -> Iterator[dict[str, str]]:
    """Yield the rows that `write` wrote, each cell as the text it was before escaping."""
    text = io.TextIOWrapper(stream, encoding="utf-8", newline="")
    try:
        for row in csv.DictReader(text):
            yield {name: unescape(cell) for name, cell in row.items()}
    finally:
        text.detach()


def escape(text: str) -> str:
    """Make text safe in a spreadsheet's cell; see the module's docstring for the rules."""
    escaped = _SEMICOLON.sub(r"\\x3b", _CONTROL.sub(_escape_character, text))
    if escaped.startswith("'") or _BEGINS_FORMULA.match(text) or _LOOKS_LIKE_NUMBER.fullmatch(text):
        return "'" + escaped
    return escaped


def unescape(cell: str) -> str:
    """Give back the text that `escape` was given."""
    return _ESCAPED.sub(_unescape_character, cell.removeprefix("'"))


def _cell(value: Cell) -> str:
    if value is None:
        return ""
    return escape(str(value)) if isinstance(value, str) else str(value)


def _escape_character(match: re.Match[str]) -> str:
    character = match.group()
    if character == "\\":
        return "\\\\"
    code = ord(character)
    return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}"


def _unescape_character(match: re.Match[str]) -> str:
    digits = match.group(1) or match.group(2)
    return chr(int(digits, 16)) if digits else "\\"


def _iso(seconds: float) -> str:
    try:
        return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
    except (ValueError, OverflowError, OSError):  # a foreign record may name a time no calendar holds
        return str(seconds)


def _evidence(row: Judged) -> str:
    ids = {step for finding in row.verdict.findings for step in finding.evidence}
    return " ".join(str(step) for step in sorted(ids))
