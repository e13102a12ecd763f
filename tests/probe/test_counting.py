"""Counting goes on beside the measuring: it ends when that does, and never ends it."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import pytest

from measurements.events.nouns import Event, Kind
from probe.counting import counting

EVENT = Event(id="e1", kind=Kind.BLOCKING, onset=(1.0, 2.0), summary="x.com blocked")


class Counter:
    """Has news the first time, fails the second, has a backlog the third, and counts how often it was asked."""

    def __init__(self) -> None:
        self.asked = 0
        self.enough = threading.Event()
        self.is_behind = False

    def catch_up(self, most: int | None = None) -> Sequence[Event]:
        assert most is not None
        self.asked += 1
        self.is_behind = self.asked == 3
        if self.asked >= 5:
            self.enough.set()
        if self.asked == 2:
            raise RuntimeError("a mistake")
        return [EVENT] if self.asked == 1 else []


def test_news_is_told_and_failures_end_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    counter, told = Counter(), list[Event]()
    with counting(counter, told.append, pause=0.01):
        assert counter.enough.wait(10)
    before = counter.asked
    assert told == [EVENT]
    assert not [thread for thread in threading.enumerate() if thread.name == "wazi-events"]
    said = "".join(capfd.readouterr())
    assert "a mistake" in said
    assert "x.com" not in said  # the log names no site
    assert counter.asked == before


def test_what_came_last_is_counted_at_the_end() -> None:
    counter = Counter()
    with counting(counter, lambda event: None, pause=60.0):
        assert counter.asked == 0
    assert counter.asked == 1


def test_a_listener_that_fails_ends_nothing() -> None:
    counter = Counter()

    def fail(event: Event) -> None:
        raise ValueError(event.id)

    with counting(counter, fail, pause=0.01):
        assert counter.enough.wait(10)


def test_a_backlog_does_not_wait_for_the_next_look() -> None:
    counter = Counter()
    counter.asked, counter.is_behind = 2, True
    with counting(counter, lambda event: None, pause=60.0):
        while counter.asked < 3:
            counter.enough.wait(0.01)
    assert counter.asked == 4
