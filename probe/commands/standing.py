"""`wazi events`, and what `wazi status` says of them: how access stands, told from the store."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from measurements.events.nouns import Event, Status
from measurements.events.record import record
from measurements.model import Vote, encode
from probe.commands.building import counting_rules, load_settings, read_store
from probe.commands.console import FINE, Common, Refusal, say, wants_colour, width, write, write_line
from probe.commands.which import Which

if TYPE_CHECKING:
    from measurements.events.delays import Delay
    from measurements.standing import Memory
    from measurements.store import Store
    from probe.settings import Settings

MOST_VOTES = 5000  # of a timeline
WIDEST = 100  # columns of a page
AROUND = 0.5  # of an event's length, before and after it


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which events are meant, as it was written; without `every` and `status`, those that are open."""

    since: str | None = None
    target: str | None = None
    status: str | None = None
    every: bool = False


def list_events(common: Common, wanted: Wanted, *, limit: int, as_json: bool) -> int:
    """List events, the newest first."""
    from probe.announcing import event_line

    settings = load_settings(common)
    colour, room = wants_colour(sys.stdout), width(sys.stdout)
    some = False
    with read_store(settings) as store:
        for event in _chosen(store, wanted, limit):
            some = True
            if as_json:
                write_line(encode(record(event)) + b"\n")
            else:
                write(event_line(event, colour=colour, width=room))
    if not some and not as_json:
        over = wanted.every or wanted.status or wanted.since
        say("no such event" if over else "no such event is open; `wazi events --all` shows also what is over")
    return FINE


def show_event(common: Common, prefix: str, *, as_json: bool) -> int:
    """Show one event with its timeline and its witnesses."""
    from measurements.store import NotFound
    from probe.announcing import event_page

    settings = load_settings(common)
    with read_store(settings) as store:
        try:
            event = store.ledger.event(prefix)
        except NotFound as error:
            raise Refusal(str(error)) from None
        if as_json:
            write_line(encode(record(event)) + b"\n")
            return FINE
        versions, votes = store.ledger.versions(event.id), _votes(store, event)
    room = min(WIDEST, width(sys.stdout))
    write(event_page(event, versions=versions, votes=votes, colour=wants_colour(sys.stdout), width=room))
    return FINE


def _chosen(store: Store, wanted: Wanted, limit: int) -> Iterator[Event]:
    asked = Which(target=wanted.target, since=wanted.since).filter(time.time())
    host = urlsplit(asked.target).hostname if asked.target and "://" in asked.target else asked.target
    status = _status(wanted.status)
    only_open = not wanted.every and status is None and asked.since is None
    for event in store.ledger.events(since=asked.since, only_open=only_open):
        if (host is None or host in event.targets) and status in (None, event.status):
            yield event
            limit -= 1
        if not limit:
            return


def _status(text: str | None) -> Status | None:
    if text is None:
        return None
    try:
        return Status(text)
    except ValueError:
        raise Refusal(f"--status {text}: must be one of {', '.join(Status)}") from None


def _votes(store: Store, event: Event) -> list[Vote]:
    """Read the votes of an event's parts, some of them from before and after it."""
    since, until = event.onset[0], event.end[1] if event.end else event.updated
    around = max(2 * 3600.0, (until - since) * AROUND)
    until = math.inf if event.is_open else until + around
    hosts = list(dict.fromkeys(part.target for part in event.parts))
    return store.ledger.votes(hosts, since=since - around, until=until, limit=MOST_VOTES)


def standing(store: Store, settings: Settings) -> tuple[dict[str, Any], list[str]]:
    """Say how access stands, as a record and in words, for `wazi status`."""
    from measurements.standing import recall
    from probe.announcing import promise, standing_lines

    ledger = store.ledger
    position, events = ledger.position(), list(ledger.events(only_open=True))
    memory = recall(position.header)
    waits = [] if memory is None else _delays(settings, memory)
    said = {
        "open": [record(event) for event in events],
        "false_alarms_per_week": settings.events.false_alarms_per_week,
        "promise": promise(settings.events.false_alarms_per_week),
        "threshold": None if memory is None else memory.threshold,
        "suspended_until": None if memory is None else memory.suspended,
        "rates": {} if memory is None else memory.rates,
        "refused": 0 if memory is None else memory.refused,
        "delays": waits,
        "waiting": position.waiting,
        "waiting_since": position.since,
    }
    return said, standing_lines(events, memory, position.waiting, position.since, waits)


def _delays(settings: Settings, memory: Memory) -> list[Delay]:
    """Work out the delays in force for the campaign that asks most often."""
    from measurements.events.delays import delays
    from measurements.events.rates import RATES
    from probe.again import BLOCKED, UNREACHABLE

    every = min((campaign.every for campaign in settings.campaigns), default=0.0)
    if not every:
        return []
    rates = {**RATES, **{strength: found.rates for strength, found in memory.rates.items()}}
    return list(delays(counting_rules(settings), memory.threshold, every, BLOCKED, UNREACHABLE, rates))
