"""Who is told what, and when; pure.

A `Rule` says which events one hook hears of. What a hook is told follows from what it was told before, not from how
often an event has changed since: an event that changed fifty times while nothing got through is told once, as it
stands, and one that came and went is told as opened and closed at once. A hook that was never told of an event is not
told that it ended. What must wait (quiet hours, a digest, the cool-down of a place that flaps) is gathered, and leaves
as one message.

Times are UTC seconds; a rule's times of day are those of its `zone`.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from typing import NamedTuple

from measurements.alerts.notice import Change
from measurements.events.nouns import Event, Kind, Status

MOST_NEWS = 100  # in one message
_DAY = 86_400.0
_SPOKEN = frozenset({Change.OPENED, Change.UPDATED, Change.CLOSED})


class Quiet(NamedTuple):
    """When nothing rings: from `opens` to `closes`, in seconds of a day; it may reach over midnight."""

    opens: float
    closes: float


@dataclass(frozen=True, kw_only=True)
class Rule:
    """What one hook hears of, and when. An empty set is no filter; times are in seconds.

    `unconfirmed` lets it hear of events that are not confirmed. `urgent` kinds wait for no digest and break through
    quiet hours. `update_every` bounds how often one open event is told anew, unless its status changed. News that lay
    more than `oldest` back when they were stored are not told to a hook that knows nothing of the event.
    """

    name: str
    unconfirmed: bool = False
    countries: frozenset[str] = frozenset()
    asns: frozenset[int] = frozenset()
    categories: frozenset[str] = frozenset()
    kinds: frozenset[Kind] = frozenset()
    changes: frozenset[Change] = _SPOKEN
    quiet: Quiet | None = None
    zone: tzinfo = UTC
    urgent: frozenset[Kind] = frozenset()
    digest: float = 0.0
    cool_down: float = 3600.0
    update_every: float = 3600.0
    oldest: float = 2 * _DAY
    give_up: float = 7 * _DAY


@dataclass(frozen=True, kw_only=True)
class Heard:
    """What a hook was told of an event last, and since when news of it wait.

    `told` is OPENED or CLOSED, or None; `status` how the event stood then, and `at` when that was.
    """

    since: float
    told: Change | None = None
    status: Status | None = None
    at: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Wait:
    """News must not leave before `until`; `held` when they are gathered with others until then."""

    until: float
    held: bool


@dataclass(frozen=True, kw_only=True)
class Item:
    """An event with the changes to be told of it; `held` when it was gathered."""

    event: Event
    changes: tuple[Change, ...]
    since: float
    held: bool = False
    key: object = field(default=None, compare=False)


def concerns(rule: Rule, event: Event, categories: Collection[str] = ()) -> bool:
    """Tell whether a hook wants to hear of an event at all; `categories` are those of its targets.

    A filter by category lets pass what has no targets, an outage, for that concerns all of them.
    """
    return (
        (not rule.kinds or event.kind in rule.kinds)
        and (not rule.countries or not rule.countries.isdisjoint(event.countries))
        and (not rule.asns or not rule.asns.isdisjoint(event.asns))
        and (not rule.categories or not event.targets or not rule.categories.isdisjoint(categories))
    )


def is_fit(rule: Rule, event: Event) -> bool:
    """Tell whether a hook that knows nothing of an event may be told of it as it stands now."""
    sure = event.status is Status.CONFIRMED or (event.status is Status.CLOSED and event.confirmed is not None)
    if not event.is_open and event.reason != "ended":
        return False
    return sure or rule.unconfirmed


def is_old(rule: Rule, event: Event, now: float) -> bool:
    """Tell whether what an event says lies too far back to ring for: it was imported, or counted anew."""
    return now - event.updated > rule.oldest


def to_tell(rule: Rule, heard: Heard, event: Event, first: Event | None) -> tuple[Change, ...]:
    """Return what a hook must be told; empty when nothing.

    `first` is the event as it was when this hook could first have been told, None when it could not be.
    """
    if heard.told is Change.OPENED:
        return (Change.UPDATED,) if event.is_open else (Change.CLOSED,)
    if first is None or not is_fit(rule, event):
        return ()
    if event.is_open:
        return (Change.OPENED,)
    return (Change.OPENED, Change.CLOSED) if first.is_open else (Change.CLOSED,)


def when(
    rule: Rule,
    heard: Heard,
    event: Event,
    changes: Sequence[Change],
    now: float,
    closings: Iterable[tuple[float, Event]] = (),
) -> Wait | None:
    """Return what news have to wait for, None when they may leave now.

    `closings` are events that this hook was told the end of, and when: those of the same place let the next one wait.
    A time that is yet to come was read from a clock that has been put back since, and says nothing.
    """
    until, held = now, False
    if tuple(changes) == (Change.UPDATED,) and event.status is heard.status:
        until = max(until, heard.at + rule.update_every if heard.at <= now else now)
    if Change.OPENED in changes:
        ended = [at for at, other in closings if at <= now and is_same_place(event, other)]
        if ended and max(ended) + rule.cool_down > until:
            until, held = max(ended) + rule.cool_down, True
    if event.kind not in rule.urgent:
        if rule.digest and heard.since <= now and (end := _digest_end(rule, heard.since)) > until:
            until, held = end, True
        if rule.quiet is not None and (end := _quiet_end(rule.quiet, rule.zone, until)) > until:
            until, held = end, True
    return Wait(until=until, held=held) if until > now else None


def is_same_place(event: Event, other: Event) -> bool:
    """Tell whether two events are about the same thing: of one kind, a target and a network in common."""
    return (
        event.kind is other.kind
        and _share(event.targets, other.targets)
        and _share(event.asns, other.asns)
        and _share(event.countries, other.countries)
    )


def _share(some: Sequence[object], others: Sequence[object]) -> bool:
    return (not some and not others) or not set(some).isdisjoint(others)


def together(items: Iterable[Item]) -> list[list[Item]]:
    """Put into one message what belongs into one: all that was held, else what moved the same way in one place.

    The place is the countries, or the networks where no country is known. An event that was merged goes along with
    the one that took it in. Each message is in the order in which its news came, and so are the messages.
    """
    ordered = sorted(items, key=lambda item: (item.since, item.event.id))
    keys = {item.event.id: _key(item) for item in ordered}
    groups: dict[object, list[Item]] = {}
    for item in ordered:
        groups.setdefault(keys.get(item.event.into, keys[item.event.id]), []).append(item)
    return [part for group in groups.values() for part in _parts(group)]


def _key(item: Item) -> tuple[object, ...]:
    if item.held:
        return ("held",)
    return (item.changes[-1], item.event.countries or item.event.asns)


def _parts(group: Sequence[Item]) -> list[list[Item]]:
    """Cut a group into messages of at most `MOST_NEWS`."""
    parts: list[list[Item]] = [[]]
    count = 0
    for item in group:
        if count + len(item.changes) > MOST_NEWS:
            parts.append([])
            count = 0
        parts[-1].append(item)
        count += len(item.changes)
    return parts


def _quiet_end(quiet: Quiet, zone: tzinfo, at: float) -> float:
    """Return when the quiet hours end in which `at` lies; `at` itself when it lies in none."""
    local = datetime.fromtimestamp(at, zone)
    second = local.hour * 3600 + local.minute * 60 + local.second + local.microsecond / 1e6
    over_midnight = quiet.opens > quiet.closes
    inside = second >= quiet.opens or second < quiet.closes if over_midnight else quiet.opens <= second < quiet.closes
    if not inside:
        return at
    day = local.date() + timedelta(days=1 if over_midnight and second >= quiet.opens else 0)
    return _after(at, day, quiet.closes, zone)


def _digest_end(rule: Rule, since: float) -> float:
    """Return when the digest leaves that gathers what came at `since`: a whole number of its lengths after midnight.

    A digest of more than a day is counted from a Monday, 1970-01-05.
    """
    local = datetime.fromtimestamp(since, rule.zone)
    second = local.hour * 3600 + local.minute * 60 + local.second
    if rule.digest <= _DAY:
        return _after(since, local.date(), min(_DAY, (second // rule.digest + 1) * rule.digest), rule.zone)
    days = math.ceil(rule.digest / _DAY)
    passed = (local.date() - date(1970, 1, 5)).days
    return _after(since, local.date() + timedelta(days=days - passed % days), 0.0, rule.zone)


def _after(at: float, day: date, second: float, zone: tzinfo) -> float:
    """Return the moment of a local day that is later than `at`; where clocks are put back, there may be two."""
    moment = datetime.combine(day, time(), None) + timedelta(seconds=second)
    for fold in (0, 1):
        found = moment.replace(tzinfo=zone, fold=fold).timestamp()
        if found > at:
            return found
    return at + 3600.0  # the clock stands still between the two: look again
