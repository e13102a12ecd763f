"""Reads OONI's web_connectivity measurements, 0.0 to 0.5, as measurements of ours (spec ts-017).

Odd fields leave a note in the detail of their step, or of the preconditions; only what is no
web_connectivity measurement is refused. One of no URL has no steps, so that nothing can be made of it but its
notes. The result is redacted as our own measurements are. A record of ours (`exports.ooni`) carries in `x_wazi` what
OONI has no words for, and is read as the measurement that it was made of; `opinion` reads the verdict that comes along.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec
from msgspec import structs

from measurements.home_routers import address_of
from measurements.model import (
    AnyObservation,
    HttpExchange,
    Measurement,
    Preconditions,
    Target,
    TcpConnect,
    TlsHandshake,
    Vantage,
    Verdict,
    View,
)
from measurements.ooni_fields import Fields, binary, canonical
from measurements.ooni_steps import BIG, MAX_BODY, where_of
from measurements.ooni_tree import Tree
from measurements.redact import redact
from measurements.targets import BadTarget, normalise


class OoniError(ValueError):
    """The record is no web_connectivity measurement; the text says what it is."""


def read(record: Mapping[str, Any]) -> Measurement:
    """Read one record of OONI's; raises `OoniError` and nothing else."""
    if not isinstance(record, Mapping):
        raise OoniError("this is no object, so no OONI measurement")
    fields = Fields(record)
    test = fields.text("test_name")
    if test not in ("", "web_connectivity"):
        raise OoniError(f"test_name is {test[:60]!r}; only web_connectivity is read")
    keys = fields.within("test_keys")
    if not test:
        if not keys.values:
            raise OoniError("test_name is missing, and so are test_keys")
        fields.notes.append("test_name is missing")
    if (ours := _ours(keys)) is not None:
        return ours
    target = _target(fields)
    tree = Tree(target, _resolver(fields, keys))
    if target.host:
        tree.grow(keys, fields)
    measurement = Measurement(
        id=_id(fields),
        sequence=0,
        nettest="web",
        target=target,
        vantage=_vantage(fields, keys),
        started=_utc(fields, "measurement_start_time"),
        runtime=fields.seconds("test_runtime"),
        connections=sum(isinstance(step, TcpConnect) and step.view is not View.CONTROL for step in tree.steps),
        software=" ".join(filter(None, map(fields.text, ("software_name", "software_version", "test_version")))),
        source="ooni",
        preconditions=Preconditions(detail=_notes(fields, keys)),
        observations=tuple(tree.steps),
    )
    return redact(measurement, [text for text in (fields.text("probe_ip"),) if address_of(text)])


def opinion(record: Mapping[str, Any]) -> Verdict | None:
    """Read the verdict that a record of ours brings along; None when there is none that can be read."""
    verdict = Fields(record).within("test_keys").within("x_wazi").values.get("verdict")
    try:
        return msgspec.convert(verdict, Verdict)
    except msgspec.ValidationError:
        return None


def _ours(keys: Fields) -> Measurement | None:
    """Read a record of ours as the measurement that it was made of; None when it is none, or was changed."""
    whole = keys.within("x_wazi").values.get("measurement")
    if whole is None:
        return None
    pages = {page.whole("x_wazi_id", 0, BIG): page.within("response").data("body") for page in keys.objects("requests")}
    chains = {
        shaken.whole("x_wazi_id", 0, BIG): tuple(map(binary, shaken.items("peer_certificates")))
        for shaken in keys.objects("tls_handshakes")
    }
    try:
        measurement = msgspec.convert(whole, Measurement)
    except msgspec.ValidationError as error:
        keys.notes.append(f"test_keys.x_wazi.measurement: {error}")
        return None
    return structs.replace(
        measurement, observations=tuple(_refilled(step, pages, chains) for step in measurement.observations)
    )


def _refilled(
    step: AnyObservation, pages: Mapping[int | None, bytes], chains: Mapping[int | None, tuple[bytes | None, ...]]
) -> AnyObservation:
    """Put back what is in OONI's own entries, and so only there."""
    if isinstance(step, HttpExchange) and not step.body:
        return structs.replace(step, body=pages.get(step.id, b"")[:MAX_BODY])
    if isinstance(step, TlsHandshake) and not step.chain:
        return structs.replace(step, chain=tuple(filter(None, chains.get(step.id, ()))))
    return step


def _notes(fields: Fields, keys: Fields) -> str:
    """Say what was odd beyond single steps; without the test's keys there is nothing to judge."""
    if not keys.values:
        fields.notes.append("test_keys is missing or empty")
    return "; ".join(fields.notes)


def _target(fields: Fields) -> Target:
    url = fields.text("input")
    try:
        return normalise(url)
    except BadTarget as error:
        where = where_of(url)
        if where is None:
            fields.notes.append(f"input is no URL of the web: {error}" if url else "input is missing")
            return Target(url=url, scheme="", host="", port=0)
        host, port, secure = where
        return Target(url=url, scheme="https" if secure else "http", host=host, port=port)


def _id(fields: Fields) -> str:
    """Derive 128 bits that are the same whenever the same measurement is read."""
    uid = fields.text("measurement_uid") or fields.text("id")
    parts = ("report_id", "input", "measurement_start_time", "test_start_time", "probe_cc", "probe_asn")
    known = uid or "\n".join((*map(fields.text, parts), str(fields.number("test_runtime"))))
    return hashlib.sha256(b"ooni\n" + known.encode()).hexdigest()[:32]


def _vantage(fields: Fields, keys: Fields) -> Vantage:
    """Say where it was measured; OONI does not know its probes apart, only their runs."""
    run = fields.text("report_id")
    country, asn = fields.text("probe_cc").upper(), fields.text("probe_asn").upper().removeprefix("AS")
    return Vantage(
        probe_id="ooni-" + hashlib.sha256(run.encode()).hexdigest()[:16] if run else "ooni",
        country=country if len(country) == 2 and country.isalpha() and country != "ZZ" else None,
        asn=int(asn) if asn.isascii() and asn.isdigit() and 0 < int(asn[:11]) < 2**32 else None,
        network_type=fields.within("annotations").text("network_type") or None,
        resolver=_resolver(fields, keys),
    )


def _resolver(fields: Fields, keys: Fields) -> str | None:
    return canonical(keys.text("client_resolver")) or canonical(fields.text("resolver_ip"))


def _utc(fields: Fields, key: str) -> float:
    text = fields.text(key)
    try:
        return max(0.0, datetime.fromisoformat(text.replace("Z", "")).replace(tzinfo=UTC).timestamp())
    except (ValueError, OverflowError):
        fields.notes.append(f"{key} is no time")
        return 0.0
