"""Votes are counted beside the measuring, in a thread of their own, and what is news is told.

Measuring does not wait for it and does not end with it: whatever goes wrong here is logged, and tried again after a
pause. Votes that were not counted wait in the store, where `wazi status` sees them. The log names no site.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

import structlog

from measurements.events.nouns import Event

PAUSE = 5.0  # seconds between two looks for new votes
AT_ONCE = 2000  # votes, after which a backlog is left alone for a moment
SHORT = 0.05  # seconds

log = structlog.get_logger("wazi.events")


class Counter(Protocol):
    """Counts the votes of a store; `measurements.standing.Standing` does."""

    is_behind: bool

    def catch_up(self, most: int | None = None) -> Sequence[Event]: ...


@contextmanager
def counting(counter: Counter, tell: Callable[[Event], None], *, pause: float = PAUSE) -> Iterator[None]:
    """Count while the block goes on, and once more at its end; `tell` hears of every event that has news."""
    ended = threading.Event()

    def look() -> None:
        try:
            for event in counter.catch_up(AT_ONCE):
                log.info("event", id=event.id, kind=event.kind, status=event.status, reason=event.reason)
                tell(event)
        except Exception:  # whatever it is, the next measurement matters more
            log.exception("events could not be told")

    def go_on() -> None:
        while not ended.wait(SHORT if counter.is_behind else pause):
            look()

    thread = threading.Thread(target=go_on, name="wazi-events", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        look()
