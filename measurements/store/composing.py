"""Marks become messages: what is to be told of each event now, what waits, and what goes into one message.

A message is kept as the versions of the events that it tells of, which never change.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import Any

import msgspec
from sqlalchemy import Connection, RowMapping, select

from measurements.alerts.notice import Change, News, Notice
from measurements.alerts.routing import Heard, Item, Rule, concerns, is_fit, to_tell, when
from measurements.events.nouns import Event, Status
from measurements.store import tables
from measurements.store.news import categories, mark_without_news

WAITING = "waiting"
GIVEN_UP = "given up"

_mark, _notice = tables.alert_event, tables.alert_notice
_event, _version = tables.event, tables.event_version
_decode_event = msgspec.json.Decoder(Event).decode

Told = tuple[Change, str, int, Status]
"""One of the news of a message: the change, the event's id, its version, and its status then."""


class _Frozen(msgspec.Struct, frozen=True, kw_only=True):
    """A message as it is kept; the events are in `event_version`."""

    news: tuple[Told, ...]
    digest: bool
    public_url: str


_decode = msgspec.json.Decoder(_Frozen).decode


class Composing:
    """Makes messages of marks in one transaction."""

    def __init__(self, connection: Connection, rule: Rule, now: float, lived: float) -> None:
        self._connection, self._rule, self._now, self._lived = connection, rule, now, lived
        self._marks: dict[str, RowMapping] = {}
        self._categories: dict[str, str] = {}
        self._closings: list[tuple[float, Event]] | None = None
        self._count = 0
        self.given_up = 0

    def item(self, mark: RowMapping) -> Item | None:
        """Return what is to be told of a marked event now; None when nothing is, or not yet, which is kept."""
        event = _event_of(mark["encoded"])
        decided = {"skipped": "it cannot be read"} if event is None else self._decide(mark, event)
        if isinstance(decided, Item):
            self._marks[decided.event.id] = mark
            return decided
        self._keep(mark, **(decided if "due" in decided else {**mark_without_news(), **decided}))
        return None

    def _decide(self, mark: RowMapping, event: Event) -> Item | dict[str, Any]:
        """Return what is to be told, or what to keep of the mark: until when it waits, or why nothing is told."""
        if self._lived - mark["born"] > self._rule.give_up:
            self.given_up += 1
            return {"skipped": f"{GIVEN_UP}: it waited too long"}
        heard = Heard(
            since=mark["since"],
            told=Change(mark["told"]) if mark["told"] else None,
            status=Status(mark["status"]) if mark["status"] else None,
            at=mark["told_at"] or 0.0,
        )
        first = None if heard.told is Change.OPENED else self._first(mark, event)
        changes = to_tell(self._rule, heard, event, first)
        if heard.told is not Change.OPENED and not concerns(self._rule, event, self._of(event)):
            changes = ()
        spoken = tuple(change for change in changes if change in self._rule.changes)
        if not changes:
            return {}
        if not spoken:  # as if it had been told
            told = Change.CLOSED if changes[-1] is Change.CLOSED else Change.OPENED
            return {"told": told.value, "status": event.status.value, "told_at": self._now}
        closings = self._ended() if Change.OPENED in spoken and self._rule.cool_down else ()
        if (wait := when(self._rule, heard, event, spoken, self._now, closings)) is not None:
            return {"due": wait.until, "held": mark["held"] or wait.held}
        return Item(event=event, changes=spoken, since=mark["since"], held=mark["held"])

    def freeze(self, group: Sequence[Item], public_url: str) -> None:
        """Put a message together, and keep what it tells under an id."""
        marks = [self._marks[item.event.id] for item in group]
        news: list[Told] = []
        for item, mark in zip(group, marks, strict=True):
            for change in item.changes:
                opened = change is Change.OPENED and len(item.changes) > 1
                version, status = (mark["first"], Status.CONFIRMED) if opened else (mark["wanted"], item.event.status)
                news.append((change, item.event.id, version, status))
        frozen = _Frozen(news=tuple(news), digest=any(item.held for item in group), public_url=public_url)
        # In the order of their ids messages leave as they were put together.
        notice_id = f"{int(max(self._now, 0.0) * 1000.0) & 0xFFFFFFFFFFFF:012x}{self._count:04x}{secrets.token_hex(8)}"
        self._count += 1
        values = {
            "id": notice_id,
            "hook": self._rule.name,
            "since": min(mark["since"] for mark in marks),
            "time": self._now,
            "encoded": msgspec.json.encode(frozen),
            "state": WAITING,
            "attempts": 0,
            "due": self._now,
            "born": min(mark["born"] for mark in marks),
            "why": "",
        }
        self._connection.execute(_notice.insert().values(values))
        mine = _mark.c.event_id.in_([item.event.id for item in group]) & (_mark.c.hook == self._rule.name)
        part = {"notice": notice_id, "since": None, "due": None, "held": False}
        self._connection.execute(_mark.update().where(mine).values(part))

    def _first(self, mark: RowMapping, event: Event) -> Event | None:
        """Return an event as it was when the hook could first have been told."""
        if event.is_open:
            return event if is_fit(self._rule, event) else None
        if mark["first"] is None:
            return None
        found = _versions(self._connection, [(event.id, mark["first"])])
        return found.get((event.id, mark["first"]), event)

    def _of(self, event: Event) -> set[str]:
        wanted = bool(self._rule.categories)
        return categories(self._connection, event.targets, self._categories) if wanted else set()

    def _ended(self) -> list[tuple[float, Event]]:
        """Return the events that this hook was lately told the end of, and when."""
        if self._closings is None:
            lately = (_mark.c.told == Change.CLOSED.value, _mark.c.told_at > self._now - self._rule.cool_down)
            statement = select(_mark.c.told_at, _event.c.encoded).join_from(_mark, _event)
            rows = self._connection.execute(statement.where(_mark.c.hook == self._rule.name, *lately))
            told = [(at, _event_of(encoded)) for at, encoded in rows]
            self._closings = [(at, event) for at, event in told if event is not None and event.reason == "ended"]
        return self._closings

    def _keep(self, mark: RowMapping, **values: Any) -> None:
        mine = (_mark.c.event_id == mark["event_id"]) & (_mark.c.hook == mark["hook"])
        self._connection.execute(_mark.update().where(mine).values(values))


def read(connection: Connection, row: RowMapping) -> Notice | None:
    """Build a message from what was kept of it; None when nothing of it can be read any more."""
    try:
        frozen = _decode(row["encoded"])
    except msgspec.MsgspecError:
        return None
    events = _versions(connection, [(event_id, version) for _, event_id, version, _ in frozen.news])
    news = tuple(
        News(change=change, event=events[event_id, version], version=version)
        for change, event_id, version, _ in frozen.news
        if (event_id, version) in events
    )
    if not news:
        return None
    return Notice(id=row["id"], time=row["time"], news=news, digest=frozen.digest, public_url=frozen.public_url)


def _versions(connection: Connection, wanted: Sequence[tuple[str, int]]) -> dict[tuple[str, int], Event]:
    """Load what events said; what cannot be read is left out."""
    columns = (_version.c.event_id, _version.c.version, _version.c.encoded)
    ids = list({event_id for event_id, _ in wanted})
    versions = list({version for _, version in wanted})
    rows = connection.execute(
        select(*columns).where(_version.c.event_id.in_(ids), _version.c.version.in_(versions))
    ).all()
    asked = set(wanted)
    found = {(row.event_id, row.version): _event_of(row.encoded) for row in rows}
    return {key: event for key, event in found.items() if event is not None and key in asked}


def _event_of(encoded: bytes) -> Event | None:
    try:
        return _decode_event(encoded)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None


def last_told(encoded: bytes) -> dict[tuple[Change, Status], list[str]]:
    """Return how events stand for a hook that was told of them by a message, and which do."""
    last = {event_id: (change, status) for change, event_id, _, status in _decode(encoded).news}
    told: dict[tuple[Change, Status], list[str]] = {}
    for event_id, (change, status) in last.items():
        known = Change.CLOSED if change is Change.CLOSED else Change.OPENED
        told.setdefault((known, status), []).append(event_id)
    return told
