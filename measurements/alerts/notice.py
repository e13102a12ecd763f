"""What a hook is told, and what it answers.

A `Notice` is one message: one event, or several that have news together. Its id stays the same however often it is
tried, so that whoever gets it twice can tell. A hook is a coroutine function that delivers one notice and returns what
came back, in a few words; when it cannot, it raises `HookFailed`. It is made by a factory whose keyword options are
checked when settings load; `measurements.alerts.hooks.HOOKS` holds the factories by name.

A factory's parameters are keyword-only and are its options: str, int, float (seconds), bool, Path, `Secret`, or a tuple
of str or of `Secret`; one without a default must be given. A parameter of type `Bogons` is no option: who makes the
hook hands over the list in force. A bad option raises ValueError with a sentence that begins with its name.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from enum import StrEnum

import msgspec

from measurements.events.nouns import Event


class Change(StrEnum):
    """What is new about an event since this hook was last told."""

    OPENED = "opened"
    UPDATED = "updated"
    CLOSED = "closed"  # it ended, was cleared or was withdrawn
    TEST = "test"  # `wazi alert test`: nothing happened


class News(msgspec.Struct, frozen=True, kw_only=True):
    """One event of a notice, as it stood when the notice was stored; `version` counts what it has said, from 1."""

    change: Change
    event: Event
    version: int


class Notice(msgspec.Struct, frozen=True, kw_only=True):
    """One message to one hook. `id` is stable over retries; `time` is when it was stored, UTC seconds.

    An event that came and went before this hook could be told is in it twice, as opened and then as closed.
    `digest` tells that it was gathered over a while. `public_url` is where evidence can be seen, without a slash at
    its end, or empty.
    """

    id: str
    time: float
    news: tuple[News, ...]
    digest: bool = False
    public_url: str = ""


class HookFailed(Exception):
    """A notice was not delivered; the text says why, without any secret.

    `gone` tells that the receiver wants no more (HTTP 410): the hook is switched off, in words. `retry_after` is how
    many seconds the receiver asked to wait, if it did.
    """

    def __init__(self, why: str, *, gone: bool = False, retry_after: float | None = None) -> None:
        super().__init__(why)
        self.gone = gone
        self.retry_after = retry_after


Hook = Callable[[Notice], Awaitable[str]]

LONGEST = 55.0
"""Seconds that a hook may set itself for one attempt; after a minute it is cut off."""
