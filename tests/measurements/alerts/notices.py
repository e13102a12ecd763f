"""Notices to try hooks with: one event as it goes through its life, several, hostile ones, and a test."""

from __future__ import annotations

from typing import Any

import msgspec

from measurements.alerts.notice import Change, News, Notice
from measurements.events.nouns import Event, Kind, Part, Status
from measurements.events.telling import summary

BEGAN = 1_764_050_400.0  # 2025-11-25 06:00 UTC
PUBLIC_URL = "https://wazi.example"
HOSTILE = "\x1b[31mevil\x00\u202e</script><b>&\"'\n\r\ud7ff]]>" + "A" * 300 + "\ufffe"


def event(id: str = "adf48fdc" * 4, **changed: Any) -> Event:
    """Return a blocked site, unconfirmed, with its sentence."""
    said: dict[str, Any] = {
        "kind": Kind.BLOCKING,
        "reason": "evidence",
        "countries": ("ET",),
        "asns": (24757,),
        "targets": ("facebook.com",),
        "layers": ("tls",),
        "onset": (BEGAN, BEGAN + 1200.0),
        "opened": BEGAN + 1200.0,
        "updated": BEGAN + 1200.0,
        "mechanisms": (("tls.reset", BEGAN + 1200.0),),
        "probes": ("kanari-probe-1",),
        "probe_count": 1,
        "witnesses": ("0123456789abcdef" * 2,),
    } | changed
    told = Event(id=id, **said)
    parts = tuple(Part(target=t, country="ET", asn=24757, layer="tls", onset=told.onset) for t in told.targets)
    return msgspec.structs.replace(told, parts=parts, summary=changed.get("summary", summary(told)))


def confirmed(id: str = "adf48fdc" * 4, **changed: Any) -> Event:
    since = {"status": Status.CONFIRMED, "reason": "", "confirmed": BEGAN + 7200.0}
    return event(id, **since | changed)


def ended(id: str = "adf48fdc" * 4, **changed: Any) -> Event:
    over = {"status": Status.CLOSED, "reason": "ended", "confirmed": BEGAN + 7200.0}
    return event(id, **over | {"end": (BEGAN + 80_000.0, BEGAN + 90_000.0)} | changed)


def hostile(id: str = "e" * 32) -> Event:
    """Return an event whose every text comes from an enemy."""
    return confirmed(
        id,
        targets=(HOSTILE, f"https://{HOSTILE}/"),
        summary=HOSTILE,
        countries=("<T>",),
        mechanisms=((HOSTILE, BEGAN),),
    )


def notice(*events: Event, change: Change = Change.OPENED, **changed: Any) -> Notice:
    """Return a notice of some events, each of which is new in the same way."""
    news = tuple(News(change=change, event=one, version=1) for one in events)
    return Notice(**{"id": "4f1c" * 8, "time": BEGAN + 1260.0, "news": news, **changed})


def a_test() -> Notice:
    return notice(id="7e57" * 8)


def many(count: int, **changed: Any) -> list[Event]:
    return [event(f"{number:08x}" * 4, **{"targets": (f"site{number}.example",), **changed}) for number in range(count)]
