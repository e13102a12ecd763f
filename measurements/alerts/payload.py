"""A notice as programs get it: JSON with a version, documented in docs/alerts.md; pure.

The frame is that of the Standard Webhooks convention: `type`, `timestamp`, `data`. Events have the names of
`wazi events --json`, but for the ids of probes, which say nothing to a receiver and something about volunteers. What
is too long is shortened list by list, and each event says how many of what were left out, so that a receiver with a
bound on messages gets every one of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any

import msgspec

from measurements.alerts.notice import News, Notice
from measurements.alerts.wording import is_test, link, page, text, title
from measurements.events.record import record

SCHEMA = 1
SMALL = 20_000
"""Bytes that a message of the Standard Webhooks convention should have at most."""

_BRIEFEST = ("id", "kind", "status", "country", "asn", "opened")
_BRIEF = (*_BRIEFEST, "target")
_LEVELS = ((64, 2000), (16, 1000), (8, 500), (4, 200), (2, 120), (1, 80), (0, 80))  # entries of a list, and characters


def encode(notice: Notice, most: int | None = None) -> bytes:
    """Return a notice as JSON in UTF-8, of fewer than `most` bytes.

    Lists and texts are cut first, then every event is told in brief; only then are the last ones left out.
    """
    frame = _frame(notice)
    if most is None:
        return _joined(frame, [_event(notice, news, None) for news in notice.news], 0)
    fit: list[msgspec.Raw] = []
    room = most - len(_joined(frame, [], len(notice.news))) - 1
    shapes = [partial(_event, notice, level=level) for level in _LEVELS]
    shapes += [partial(_brief, names=names) for names in (_BRIEF, _BRIEFEST)]
    for shape in shapes:
        fit = _fitting(notice.news, shape, room)
        if len(fit) == len(notice.news):
            break
    return _joined(frame, fit, len(notice.news) - len(fit))


def kind(notice: Notice) -> str:
    """Return the type of a message: "event.opened", "event.updated", "event.closed", "event.changed" or "test"."""
    if is_test(notice):
        return "test"
    changes = {news.change for news in notice.news}
    return f"event.{changes.pop()}" if len(changes) == 1 else "event.changed"


def _frame(notice: Notice) -> dict[str, Any]:
    """Return all but the events."""
    moment = datetime.fromtimestamp(notice.time, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    said = {"title": title(notice), "text": text(notice), "link": page(notice) or None, "digest": notice.digest}
    return {"schema": SCHEMA, "type": kind(notice), "timestamp": moment, "id": notice.id, "data": said}


def _joined(frame: dict[str, Any], events: list[msgspec.Raw], left_out: int) -> bytes:
    return msgspec.json.encode({**frame, "data": {**frame["data"], "events": events, "left_out": left_out}})


def _fitting(news: Iterable[News], shape: Callable[[News], msgspec.Raw], room: int) -> list[msgspec.Raw]:
    """Return as many of the first events as there is room for, in bytes."""
    fit: list[msgspec.Raw] = []
    for one in map(shape, news):
        room -= len(bytes(one)) + 1
        if room < 0:
            break
        fit.append(one)
    return fit


def _event(notice: Notice, news: News, level: tuple[int, int] | None) -> msgspec.Raw:
    event = news.event
    left_out: dict[str, int] = {}
    if level is not None and len(event.parts) > level[0]:
        left_out["parts"] = len(event.parts) - level[0]
        event = msgspec.structs.replace(event, parts=event.parts[: level[0]])
    public = {name: value for name, value in record(event).items() if name != "probes"}
    if level is not None:
        public = _shortened(public, level, left_out)
    frame = {"change": news.change, "version": news.version, "link": link(notice, news.event) or None}
    return msgspec.Raw(msgspec.json.encode({**frame, **public, "left_out": left_out}))


def _brief(news: News, names: Sequence[str]) -> msgspec.Raw:
    """Return an event as so little that a hundred of them find room: which it is, and how it stands."""
    public = record(msgspec.structs.replace(news.event, parts=()))
    kept = {name: _cut(public[name], 40) for name in names}
    return msgspec.Raw(msgspec.json.encode({"change": news.change, "version": news.version, **kept, "brief": True}))


def _shortened(
    value: Mapping[str, Any], level: tuple[int, int], left_out: dict[str, int], before: str = ""
) -> dict[str, Any]:
    """Shorten lists and texts; `left_out` is told how many entries went, by the name of their list."""
    entries, characters = level
    short: dict[str, Any] = {}
    for name, item in value.items():
        short[name] = item
        if isinstance(item, str):
            short[name] = _cut(item, characters)
        elif isinstance(item, list | tuple) and not name.startswith(("onset", "end")):
            if len(item) > entries:
                left_out[before + name] = left_out.get(before + name, 0) + len(item) - entries
            short[name] = [
                _shortened(one, level, left_out, f"{before}{name}.")
                if isinstance(one, Mapping)
                else _cut(one, characters)
                for one in item[:entries]
            ]
    return short


def _cut(item: Any, characters: int) -> Any:
    return f"{item[: characters - 1]}…" if isinstance(item, str) and len(item) > characters else item
