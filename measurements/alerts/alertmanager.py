"""Prometheus Alertmanager, by its API v2 (POST /api/v2/alerts; api/v2/openapi.yaml of Alertmanager).

An alert is known by its labels alone, so only what stays the same over an event's life is a label: `alertname`,
`event`, `country` (all parts of an event are of one). Kind, networks, targets and mechanisms grow as an event does, and
are annotations. How sure it is changes too, but people route by it; so `confidence` is a label, and each later message
ends the alert with the other confidence: an alert that was never there ends without a sound, and a confirmation rings.

Alertmanager takes silence for the end of an alert. Prometheus speaks every minute; a probe may be cut off for weeks by
the very block that it reported, and then silence must not read as an all-clear. So an open event is sent with an
`endsAt` far ahead (`stands_days`), and ends when we say so. A probe that never comes back leaves an alert that a person
silences: of the two mistakes, the lesser.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from measurements.alerts.notice import Change, Hook, News, Notice
from measurements.alerts.posting import Poster, accept
from measurements.alerts.secrets import Secret
from measurements.alerts.wording import TEST_TEXT, TEST_TITLE, is_test, link, text, title
from measurements.events.nouns import Event, Status
from measurements.printable import clean

PATH = "/api/v2/alerts"
ALERT, TEST = "WaziEvent", "WaziTest"
CONFIDENCES = ("confirmed", "unconfirmed")
TEST_SECONDS = 120.0
_DAY = 86_400.0


def alertmanager(
    *,
    url: Secret,
    proxy: Secret | None = None,
    ca_file: Path | None = None,
    timeout: float = 20.0,
    stands_days: int = 365,
) -> Hook:
    """Post to the Alertmanager at `url` (http or https, without the path of its API).

    An open event stands for `stands_days` after it was last told. The address may be private: an Alertmanager has no
    login of its own, and mostly stands in the same house.
    """
    if not 1 <= stands_days <= 3650:
        raise ValueError("stands_days must be from 1 to 3650")
    base = url.reveal().rstrip("/")
    if "?" in base or "#" in base:
        raise ValueError("url must be that of the Alertmanager alone, such as http://127.0.0.1:9093")
    poster = Poster(Secret(base.removesuffix(PATH) + PATH), proxy=proxy, ca_file=ca_file, timeout=timeout, plain=True)

    async def post(notice: Notice) -> str:
        body = msgspec.json.encode(list(alerts(notice, time.time(), stands_days * _DAY)))
        reply = await poster.post(body, {"Content-Type": "application/json"})
        return accept(reply, url.shown, quote=True)

    return post


def alerts(notice: Notice, now: float, stands: float) -> Iterator[dict[str, Any]]:
    """Return the alerts of a notice, as the API takes them; `now` in UTC seconds, `stands` in seconds."""
    if is_test(notice):
        yield {
            "labels": {"alertname": TEST, "confidence": "test"},
            "annotations": {"summary": TEST_TITLE, "description": TEST_TEXT},
            "startsAt": _time(now),
            "endsAt": _time(now + TEST_SECONDS),
        }
        return
    for news in notice.news:
        yield from _of(notice, news, now, stands)


def _of(notice: Notice, news: News, now: float, stands: float) -> Iterator[dict[str, Any]]:
    """Return the alert of an event, and an end for the one that it may have been before."""
    event = news.event
    present = "confirmed" if event.status is Status.CONFIRMED else "unconfirmed"
    began = min(event.onset[1], now)
    over = max(began, min(event.end[1] if event.end else event.updated, now))
    for confidence in CONFIDENCES:
        stays = event.is_open and confidence == present
        if not stays and (news.change is Change.OPENED or (confidence == "confirmed" and event.confirmed is None)):
            continue  # there was none
        alert: dict[str, Any] = {
            "labels": _labels(event, confidence),
            "annotations": _annotations(notice, news),
            "startsAt": _time(began),
            "endsAt": _time(now + stands if stays else now if event.is_open else over),
        }
        if address := link(notice, event):
            alert["generatorURL"] = address
        yield alert


def _labels(event: Event, confidence: str) -> dict[str, str]:
    """Return what an alert is known by: nothing that changes while the event lives."""
    labels = {"alertname": ALERT, "event": event.id, "confidence": confidence}
    if len(event.countries) == 1:
        labels["country"] = clean(event.countries[0], 40)
    return labels


def _annotations(notice: Notice, news: News) -> dict[str, str]:
    event = news.event
    alone = Notice(id=notice.id, time=notice.time, news=(news,), public_url=notice.public_url)
    said = {
        "summary": title(alone),
        "description": text(alone),
        "kind": str(event.kind),
        "status": str(event.status),
        "reason": clean(event.reason, 40),
        "networks": " ".join(f"AS{asn}" for asn in event.asns[:50]),
        "targets": " ".join(clean(target, 260) for target in event.targets[:50]),
        "mechanisms": " ".join(clean(name, 40) for name, _ in event.mechanisms),
        "version": str(news.version),
        "told": _time(notice.time),
    }
    return {name: value for name, value in said.items() if value}


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
