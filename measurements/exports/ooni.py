"""OONI's data format 0.2.0 (spec df-000 to df-007, ts-017), one web_connectivity record a line.

The standard lists hold what a browser's visit would do, and what the control saw of it: all that OONI's format has
words for. What was asked besides (follow-ups, traces, QUIC, a page under a bad certificate) stays out of them, for a
program of OONI's would take it for the visit; it stands in `test_keys.x_wazi`, with the verdict, so that Wazi reads
its own record back whole. Only measurements of the `web` test have a place here.

As OONI does by default, a record names country and network, and no address or name of the volunteer's. It does not
name the probe either, nor count its measurements: the `report_id` is a digest that changes every day (UTC).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, BinaryIO

from msgspec.structs import replace

from measurements.exports import ooni_entries as entries
from measurements.exports.judged import Field, Judged
from measurements.model import (
    AnyObservation,
    HttpExchange,
    Measurement,
    Outcome,
    TlsHandshake,
    Verdict,
    Where,
    encode,
)

ABOUT = (
    "One JSON object a line, in OONI's data format 0.2.0 for web_connectivity; `oonidata` and OONI's other tools load "
    "it. `test_keys.x_wazi` holds the verdict of Wazi's rules, and what was asked besides, for which OONI's format has "
    "no words."
)

FIELDS: dict[str, Field] = {
    "annotations": Field("object", "name and version of what measured, kind of network"),
    "data_format_version": Field("string", "0.2.0"),
    "extensions": Field("object", "versions of the formats of the lists in test_keys"),
    "input": Field("string", "URL that was asked about"),
    "measurement_start_time": Field("string", "UTC, to the second"),
    "probe_asn": Field("string", "network of the probe, AS0 when unknown"),
    "probe_cc": Field("string", "country of the probe, ZZ when unknown"),
    "probe_ip": Field("string", "always 127.0.0.1"),
    "probe_network_name": Field("string", "always empty"),
    "report_id": Field("string", "the same for a probe's measurements of one day (UTC)"),
    "resolver_asn": Field("string", "always AS0"),
    "resolver_ip": Field("string", "resolver of the probe's network where it is known, else 127.0.0.2"),
    "resolver_network_name": Field("string", "always empty"),
    "software_name": Field("string", "what measured"),
    "software_version": Field("string", "its version"),
    "test_helpers": Field("object", "empty: the control is not named"),
    "test_keys": Field(
        "object", "queries, tcp_connect, tls_handshakes, requests, control, blocking, accessible, x_wazi"
    ),
    "test_name": Field("string", "web_connectivity"),
    "test_runtime": Field("number", "seconds it took"),
    "test_start_time": Field("string", "UTC, to the second"),
    "test_version": Field("string", "0.5.0: the shape of the lists is that of version 0.5"),
}

BLOCKING = {"dns": "dns", "tcp": "tcp_ip", "tls": "http-failure", "quic": "http-failure", "network": "http-failure"}
"""OONI's word for the layer of a mechanism, but for http's."""
_DIFFERENT = frozenset({"http.blockpage", "http.redirect", "http.portal", "http.diff"})


def write(rows: Iterable[Judged], stream: BinaryIO) -> int:
    """Write a record of every measurement of the `web` test."""
    count = 0
    for measurement, verdict in rows:
        if measurement.nettest == "web":
            stream.write(encode(record(measurement, verdict)) + b"\n")
            count += 1
    return count


def record(measurement: Measurement, verdict: Verdict) -> dict[str, Any]:
    """Lay a measurement and its verdict out as a web_connectivity record."""
    vantage = measurement.vantage
    name, _, version = measurement.software.partition(" ")
    started = _time(measurement.started)
    return {
        "annotations": {
            "engine_name": name or "wazi",
            "engine_version": version or "unknown",
            **({"network_type": vantage.network_type} if vantage.network_type else {}),
        },
        "data_format_version": "0.2.0",
        "extensions": {"dnst": 0, "httpt": 0, "tcpconnect": 0, "tlshandshake": 0},
        "input": measurement.target.url,
        "measurement_start_time": started.strftime("%Y-%m-%d %H:%M:%S"),
        "probe_asn": f"AS{vantage.asn or 0}",
        "probe_cc": vantage.country or "ZZ",
        "probe_ip": "127.0.0.1",
        "probe_network_name": "",
        "report_id": _report(measurement, started),
        "resolver_asn": "AS0",
        "resolver_ip": entries.resolver_ip(vantage.resolver) or "127.0.0.2",
        "resolver_network_name": "",
        "software_name": name or "wazi",
        "software_version": version or "unknown",
        "test_helpers": {},
        "test_keys": _test_keys(measurement, verdict),
        "test_name": "web_connectivity",
        "test_runtime": measurement.runtime,
        "test_start_time": started.strftime("%Y-%m-%d %H:%M:%S"),
        "test_version": "0.5.0",
    }


def blocking(verdict: Verdict) -> tuple[bool | None, str | bool | None]:
    """Say a verdict in OONI's words: accessible, and blocking.

    `blocking` names a layer only where the rules accuse, and not the volunteer's own router. What is throttled, only
    an anomaly, or could not be judged has no word there, and gets none.
    """
    outcome, mechanism = verdict.outcome, verdict.mechanism
    if outcome is Outcome.ACCESSIBLE:
        return True, False
    if outcome in (Outcome.DOWN, Outcome.SERVER_SIDE):
        return False, False
    if outcome is Outcome.UNREACHABLE:
        return False, None
    if outcome is not Outcome.BLOCKED or mechanism is None or verdict.where is Where.LOCAL:
        return None, None
    if mechanism in _DIFFERENT:
        return False, "http-diff"
    return False, BLOCKING.get(mechanism.partition(".")[0], "http-failure")


def _test_keys(measurement: Measurement, verdict: Verdict) -> dict[str, Any]:
    visit = entries.Visit(measurement)
    accessible, word = blocking(verdict)
    return {
        "accessible": accessible,
        "blocking": word,
        "client_resolver": entries.resolver_ip(measurement.vantage.resolver) or "",
        **visit.control(),
        **visit.compared(lied=word == "dns"),
        "queries": visit.queries(),
        "x_dns_duplicate_responses": visit.later_replies(),
        "tcp_connect": visit.connects(),
        "tls_handshakes": visit.handshakes(),
        "requests": visit.requests(),
        "network_events": [],
        "retries": None,
        "socksproxy": None,
        "x_wazi": {"schema": measurement.schema, "verdict": verdict, "measurement": _bare(measurement, visit)},
    }


def _bare(measurement: Measurement, visit: entries.Visit) -> Measurement:
    """Leave out what tells which probe it was, and pages and certificates that stand in OONI's entries."""
    told = visit.told
    steps: list[AnyObservation] = []
    for step in measurement.observations:
        if step.id in told and isinstance(step, HttpExchange):
            step = replace(step, body=b"")
        elif step.id in told and isinstance(step, TlsHandshake):
            step = replace(step, chain=())
        steps.append(step)
    report = _report(measurement, _time(measurement.started))
    vantage = replace(measurement.vantage, probe_id="ooni-" + report.rpartition("_")[2])
    return replace(measurement, sequence=0, vantage=vantage, observations=tuple(steps))


def _time(seconds: float) -> datetime:
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError):  # a foreign record may name a time no calendar holds
        return datetime.fromtimestamp(0, UTC)


def _report(measurement: Measurement, started: datetime) -> str:
    vantage, day = measurement.vantage, started.strftime("%Y%m%d")
    digest = hashlib.sha256(f"wazi report\n{vantage.probe_id}\n{day}".encode()).hexdigest()[:16]
    return f"{day}T000000Z_webconnectivity_{vantage.country or 'ZZ'}_{vantage.asn or 0}_n1_{digest}"
