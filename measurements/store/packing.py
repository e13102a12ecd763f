"""How a value becomes rows, and rows become the value again. No database here.

A page body is taken out of its exchange and the SHA-256 of the kept copy put in its place, so that the
encoded measurement names its bodies and each copy is stored once. The copy's own digest is the key
(`HttpExchange.body_sha256` is of all that was read, and two redacted copies of one page may differ).

Compression is zstandard at level 3: on encoded measurements of 32 kB it took 0.05 ms where zlib took 0.13
and made the same 4.7 kB, and the writer thread shares its processor with the measurements' timing. Sizes
are read from the frame and bounded before decompressing.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from enum import StrEnum
from functools import lru_cache
from hashlib import sha256
from typing import Any

import msgspec
import zstandard
from msgspec.structs import replace
from sqlalchemy import RowMapping, Table

from measurements.events.votes import votes
from measurements.evidence.canonical import record_as_kept, without_bodies
from measurements.model import (
    Confidence,
    Finding,
    Gap,
    HttpExchange,
    Measurement,
    Mechanism,
    Outcome,
    Pattern,
    Trigger,
    Verdict,
    View,
    Vote,
    Where,
    decode,
    encode,
)
from measurements.store import tables
from measurements.store.errors import StoreError

HTTP3 = "HTTP/3"
UNPACKED_LIMIT = 64 * 1024 * 1024  # bytes; a measurement has some 100 kB

_local = threading.local()

Row = dict[str, Any]
Rows = Mapping[Table, Sequence[Row]]


def pack(measurement: Measurement, verdict: Verdict | None, now: float, *, chained: bool = False) -> Rows:
    """Turn a measurement and its verdict into rows, if `chained` with what its link in the chain is made of.

    Raises StoreError when its id is not 32 hex digits.
    """
    key = id_bytes(measurement.id)
    bare, bodies = without_bodies(measurement)
    encoded = encode(bare)
    target, vantage = measurement.target, measurement.vantage
    fact = {
        "id": key,
        "probe_id": _text(vantage.probe_id),
        "sequence": measurement.sequence,
        "nettest": _text(measurement.nettest),
        "url": _text(target.url),
        "host": _text(target.host),
        "category": _text(target.category),
        "country": _text_or_none(vantage.country),
        "asn": vantage.asn,
        "started": measurement.started,
        "runtime": measurement.runtime,
        "source": _text(measurement.source),
        "full_body": read_in_full(measurement),
        "digest": sha256(encoded).digest(),
        "encoded": zstandard.compress(encoded),
    }
    return {
        tables.body: [
            {"sha256": digest, "stored_at": now, "copy": zstandard.compress(copy)} for digest, copy in bodies.items()
        ],
        tables.measurement: [fact],
        tables.verdict: [] if verdict is None else [_verdict_row(key, verdict, now)],
        tables.vote: [] if verdict is None else [_vote_row(key, vote, verdict) for vote in votes(measurement, verdict)],
        tables.probe: [{"probe_id": fact["probe_id"], "last_sequence": measurement.sequence}],
        tables.link: [_link_row(fact, bare)] if chained else [],
    }


def pack_verdict(measurement_id: str, verdict: Verdict, now: float) -> Rows:
    """Turn an opinion about a measurement that is already stored into a row; its votes are not cast again."""
    return {tables.verdict: [_verdict_row(id_bytes(measurement_id), verdict, now)]}


def pack_gap(gap: Gap) -> Rows:
    """Turn a gap into a row."""
    row = {
        "probe_id": _text(gap.probe_id),
        "since": gap.since,
        "until": gap.until,
        "why": _text(gap.why),
        "detail": _text(gap.detail),
        "worked": gap.worked,
        "failed": gap.failed,
        "restored": gap.restored,
    }
    return {tables.gap: [row]}


def id_bytes(measurement_id: str) -> bytes:
    """Read an id; raises StoreError when it is not 32 lower-case hexadecimal digits."""
    try:
        key = bytes.fromhex(measurement_id)
    except ValueError:
        key = b""
    if len(key) != 16 or key.hex() != measurement_id:
        raise StoreError(f"the measurement id {measurement_id!r} is not 32 lower-case hexadecimal digits")
    return key


def read_in_full(measurement: Measurement) -> bool:
    """Tell whether the page was read to its end or to the full cap, rather than to the routine sample.

    What was fetched over HTTP/3 beside it was a sample in any case.
    """
    pages = [
        step
        for step in measurement.observations
        if isinstance(step, HttpExchange)
        and step.view in (View.LOCAL, View.TRUSTED)
        and step.purpose is None
        and step.failure is None
        and step.http_version != HTTP3
    ]
    return bool(pages) and all(page.truncated != "sample" for page in pages)


def digests(encoded: Measurement) -> set[bytes]:
    """Return the keys of the bodies that a measurement without its bodies names."""
    return {step.body for step in encoded.observations if isinstance(step, HttpExchange) and step.body}


class Outline(Measurement, frozen=True, kw_only=True):
    """A measurement whose observations are counted and not read, which takes an eighth of the time."""

    observations: tuple[msgspec.Raw, ...] = ()  # type: ignore[assignment]  # only their number may be asked for


def unpack(measurement_id: str, compressed: bytes, digest: bytes, kind: type[Measurement] = Measurement) -> Measurement:
    """Read an encoded measurement, whose bodies are still digests; raises StoreError when it is damaged."""
    plain = decompress(compressed, f"measurement {measurement_id}")
    if sha256(plain).digest() != digest:
        raise StoreError(f"measurement {measurement_id} is damaged in the store: its digest does not match")
    try:
        return decode(plain, kind)
    except ValueError as error:  # msgspec's errors are ValueErrors
        raise StoreError(f"measurement {measurement_id} cannot be read: {error}") from error


def with_bodies(measurement: Measurement, copies: Mapping[bytes, bytes]) -> Measurement:
    """Put the stored copies back; a body that is no longer stored stays empty."""
    return replace(
        measurement,
        observations=tuple(
            replace(step, body=copies.get(step.body, b"")) if isinstance(step, HttpExchange) and step.body else step
            for step in measurement.observations
        ),
    )


def unpack_body(digest: bytes, compressed: bytes) -> bytes:
    """Read a stored copy; raises StoreError when it is damaged."""
    plain = decompress(compressed, f"the page {digest.hex()}")
    if sha256(plain).digest() != digest:
        raise StoreError(f"the page {digest.hex()} is damaged in the store: its digest does not match")
    return plain


def decompress(compressed: bytes, what: str) -> bytes:
    """Decompress one frame of a stated, bounded size; raises StoreError naming `what`."""
    try:
        size = zstandard.frame_content_size(compressed)
        if 0 <= size <= UNPACKED_LIMIT:
            return _decompressor().decompress(compressed, max_output_size=size)
    except zstandard.ZstdError as error:
        raise StoreError(f"{what} is damaged in the store: {error}") from error
    raise StoreError(f"{what} is damaged in the store: its size is not stated or beyond {UNPACKED_LIMIT} bytes")


def _decompressor() -> zstandard.ZstdDecompressor:
    """Return this thread's own: making one takes as long as using it."""
    if not hasattr(_local, "decompressor"):
        _local.decompressor = zstandard.ZstdDecompressor()
    made: zstandard.ZstdDecompressor = _local.decompressor
    return made


def unpack_verdict(row: RowMapping) -> Verdict:
    """Read an opinion from the columns of the verdict table; raises StoreError when it cannot be read."""
    try:
        return Verdict(
            outcome=Outcome(row["outcome"]),
            mechanism=row["mechanism"] and Mechanism(row["mechanism"]),
            trigger=row["trigger"] and Trigger(row["trigger"]),
            where=row["where"] and Where(row["where"]),
            pattern=row["pattern"] and Pattern(row["pattern"]),
            confidence=row["confidence"] and Confidence(row["confidence"]),
            reason=row["reason"],
            summary=row["summary"],
            findings=_findings(row["findings"]),
            rules_version=row["rules_version"],
        )
    except (TypeError, ValueError) as error:
        raise StoreError(f"the verdict on measurement {row['measurement_id'].hex()} cannot be read: {error}") from error


@lru_cache(maxsize=1024)  # most rows say one of a few things
def _findings(text: str) -> tuple[Finding, ...]:
    return decode(text, tuple[Finding, ...])


def _link_row(fact: Row, bare: Measurement) -> Row:
    """Return what a link says of a measurement; its hash follows from the link before it (`chaining.chained`)."""
    return {
        "probe_id": fact["probe_id"],
        "sequence": fact["sequence"],
        "measurement_id": fact["id"],
        "record": sha256(record_as_kept(bare)).digest(),
    }


def _verdict_row(key: bytes, verdict: Verdict, now: float) -> Row:
    return {
        "measurement_id": key,
        "rules_version": verdict.rules_version,
        "judged_at": now,
        "outcome": verdict.outcome.value,
        "mechanism": _word(verdict.mechanism),
        "trigger": _word(verdict.trigger),
        "where": _word(verdict.where),
        "pattern": _word(verdict.pattern),
        "confidence": _word(verdict.confidence),
        "reason": _text_or_none(verdict.reason),
        "summary": _text(verdict.summary),
        "findings": encode(verdict.findings).decode(),
    }


def _vote_row(key: bytes, vote: Vote, verdict: Verdict) -> Row:
    return {
        "measurement_id": key,
        "layer": vote.layer,
        "blocked": vote.blocked,
        "strength": vote.strength.value,
        "mechanism": vote.mechanism,
        "software": _text(vote.software),
        "placebo": vote.placebo,
        "rules_version": verdict.rules_version,
    }


def _word(value: StrEnum | None) -> str | None:
    return None if value is None else value.value  # drivers differ in what they make of an enum


def _text(value: str) -> str:
    """Show a NUL, which PostgreSQL refuses in text, by the symbol for it; the encoded fact keeps it."""
    return value.replace("\0", "␀")


def _text_or_none(value: str | None) -> str | None:
    return None if value is None else _text(value)
