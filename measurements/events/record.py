"""An event as programs get it: one flat object a line of JSON, by `wazi detect --json` and `wazi events --json`.

Programs rely on its names, which docs/events.md tells; what is new is added, and `schema` changes when a name does.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from measurements.events.nouns import Bracket, Event


def record(event: Event) -> dict[str, Any]:
    """Return an event as programs get it: flat, with times in seconds and in words (docs/events.md)."""
    found = {
        "schema": event.schema,
        "id": event.id,
        "kind": event.kind,
        "status": event.status,
        "reason": event.reason or None,
        "summary": event.summary,
        **_one_and_all("country", "countries", event.countries),
        **_one_and_all("asn", "asns", event.asns),
        **_one_and_all("target", "targets", event.targets),
        **_one_and_all("layer", "layers", event.layers),
        "mechanism": event.mechanisms[-1][0] if event.mechanisms else None,
        "mechanisms": [{"mechanism": name, "since": time} for name, time in event.mechanisms],
        **_bracket("onset", event.onset),
        **_bracket("end", event.end),
        "opened": event.opened,
        "confirmed": event.confirmed,
        "updated": event.updated,
        "evidence_ratio": event.evidence_ratio,
        "log_evidence": event.log_evidence,
        "threshold": event.threshold,
        "p0": event.p0,
        "p1": event.p1,
        "follow": event.follow,
        "false_alarms_per_week": event.false_alarms_per_week,
        "blocked": event.blocked,
        "votes": event.votes,
        "probe_count": event.probe_count,
        "probes": event.probes,
        "witnesses": event.witnesses,
        "notes": event.notes,
        "into": event.into or None,
        "detector_version": event.detector_version,
    }
    found["parts"] = [
        {
            "target": part.target,
            "country": part.country or None,
            "asn": part.asn or None,
            "layer": part.layer,
            "strength": part.strength,
            "standing": part.standing,
            "mechanisms": [{"mechanism": name, "since": time} for name, time in part.mechanisms],
            **_bracket("onset", part.onset),
            **_bracket("end", part.end),
            "blocked": part.blocked,
            "votes": part.votes,
            "probe_count": part.probes,
            "log_evidence": part.log_evidence,
            "threshold": part.threshold,
            "p0": part.p0,
            "p1": part.p1,
            "follow": part.follow,
        }
        for part in event.parts
    ]
    return found


def _one_and_all(one: str, all_: str, values: tuple[Any, ...]) -> dict[str, Any]:
    return {one: values[0] if len(values) == 1 else None, all_: values}


def _bracket(name: str, bracket: Bracket | None) -> dict[str, Any]:
    text = None if bracket is None else [_iso(time) for time in bracket]
    return {name: bracket, f"{name}_text": text}


def _iso(time: float) -> str:
    return datetime.fromtimestamp(time, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
