"""Events to be told of, a store that they happen in, and hooks that note what they are told."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from measurements.alerts.notice import Change, Hook, Notice
from measurements.alerts.outbox import Posting
from measurements.alerts.routing import Rule
from measurements.events.nouns import Event, Kind, Status
from measurements.store import Store

NOON = 1_790_078_400.0  # 2026-09-22 12:00 UTC, a Tuesday


def event(name: str = "e1", *, at: float = NOON, **fields: Any) -> Event:
    """Make a confirmed event that began at `at`."""
    given = {
        "kind": Kind.BLOCKING,
        "status": Status.CONFIRMED,
        "countries": ("ET",),
        "asns": (24757,),
        "targets": (f"{name}.example",),
        "layers": ("tls",),
        "onset": (at - 600.0, at),
        "opened": at,
        "confirmed": at,
        "updated": at,
    }
    return Event(id=name, **{**given, **fields})


def ended(name: str = "e1", *, at: float = NOON, **fields: Any) -> Event:
    """Make the same event, over."""
    over = {"status": Status.CLOSED, "reason": "ended", "end": (at, at + 60.0), "updated": at + 60.0}
    return event(name, at=at, **{**over, **fields})


def happen(store: Store, *events: Event, number: int = 0) -> list[Event]:
    """Store events in one turn; returns those that have news."""
    with store.ledger.turn("test") as turn:
        return turn.save(number, b"", {}, events)


def changes(notices: Iterable[Notice]) -> list[list[tuple[Change, str]]]:
    """Say what messages tell: the changes and the names of the events of each."""
    return [[(news.change, news.event.id) for news in notice.news] for notice in notices]


def sendable(store: Store, rule: Rule, now: float, lived: float = 0.0) -> list[Notice]:
    """Compose, and deliver everything that is due; returns the messages."""
    told = []
    store.deliveries.compose(rule, now, lived)
    while (message := store.deliveries.message(rule.name, now, new=True)) is not None:
        assert message.notice is not None
        told.append(message.notice)
        store.deliveries.delivered(rule.name, message.id, now, lived, "ok")
    return told


class Ear:
    """A hook that notes what it is told; `answer` may raise, and may wait."""

    def __init__(self, answer: Callable[[Notice], None] = lambda notice: None) -> None:
        self.heard: list[Notice] = []
        self.tried: list[Notice] = []
        self._answer = answer
        self._changed = threading.Condition()

    async def hook(self, notice: Notice) -> str:
        self.tried.append(notice)
        self._answer(notice)
        with self._changed:
            self.heard.append(notice)
            self._changed.notify_all()
        return "heard"

    def make(self) -> Hook:
        return self.hook

    def wait(self, count: int, seconds: float = 10.0) -> Sequence[Notice]:
        """Wait until it heard so many messages."""
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.heard) >= count, seconds), changes(self.heard)
        return self.heard


def posting(ear: Ear, name: str = "phone", *, setting: str = "1", **rule: Any) -> Posting:
    return Posting(rule=Rule(name=name, **rule), setting=setting, make=ear.make)
