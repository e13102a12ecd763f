"""Events can be written down and read back, and say how strong they are."""

from __future__ import annotations

import math

from measurements.events.nouns import Event, Kind, Part, Status
from measurements.model import decode, encode


def test_an_event_survives_being_written_down() -> None:
    part = Part(target="x.com", country="TZ", asn=64500, layer="tls", onset=(10.0, 20.0), log_evidence=12.5)
    event = Event(id="a1", kind=Kind.BLOCKING, onset=(10.0, 20.0), parts=(part,), mechanisms=(("tls.reset", 20.0),))
    assert decode(encode(event), Event) == event


def test_the_evidence_ratio_is_finite() -> None:
    event = Event(id="a1", kind=Kind.BLOCKING, onset=(0.0, 0.0), log_evidence=math.log(1000.0))
    assert math.isclose(event.evidence_ratio, 1000.0)
    assert math.isfinite(Event(id="a1", kind=Kind.BLIND, onset=(0.0, 0.0), log_evidence=1e6).evidence_ratio)


def test_only_unconfirmed_and_confirmed_events_are_open() -> None:
    standing = {s: Event(id="a", kind=Kind.BLOCKING, status=s, onset=(0.0, 0.0)).is_open for s in Status}
    assert standing == {
        Status.UNCONFIRMED: True,
        Status.CONFIRMED: True,
        Status.CLOSED: False,
        Status.WITHDRAWN: False,
    }
