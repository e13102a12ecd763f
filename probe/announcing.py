"""Events for people: a line, a page, and what may be relied on at present.

An event says what changed, where and since when, and never who ordered it. What is *unconfirmed* says so in every form.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from measurements.events.delays import Delay
from measurements.events.nouns import Event, Status
from measurements.events.placebos import Measured
from measurements.events.thresholds import ALONE
from measurements.model import Strength, Vote
from measurements.printable import clean, clip, columns, plural
from measurements.standing import Memory
from probe.timeline import timeline
from probe.wording import ratio

COLOURS = {Status.UNCONFIRMED: "33", Status.CONFIRMED: "1;31", Status.CLOSED: "32", Status.WITHDRAWN: "35"}
_DAY, _HOUR, _MINUTE = 86_400.0, 3600.0, 60.0
_FOUND = {Strength.PROVEN: "a proven block", Strength.FAILED: "a site that cannot be reached"}


def event_line(event: Event, *, colour: bool = False, width: int = 1000) -> str:
    """Write one line about an event: how its id begins, when it was told, how sure it is, and its sentence."""
    head = f"{event.id[:8]}  {_utc(event.opened, '%m-%d %H:%M')}  "
    line = f"{head}{event.status:11}  "
    return head + _paint(event, colour) + line[len(head) + len(event.status) :] + _room(event.summary, width, line)


def event_page(
    event: Event,
    *,
    versions: Sequence[tuple[float, Event]] = (),
    votes: Iterable[Vote] = (),
    colour: bool = False,
    width: int = 80,
) -> str:
    """Write all there is to say about an event, with its timeline, its witnesses and what it said before."""
    lines = [f"{_paint(event, colour)}  {clean(event.summary, 1000)}"]
    lines += [f"  {clean(note, 1000)}" for note in event.notes]
    lines += ["", f"event      {event.id}, {event.kind}", f"told       {_moment(event.opened)}"]
    if event.confirmed is not None:
        lines.append(f"confirmed  {_moment(event.confirmed)}")
    if event.into:
        lines.append(f"now        part of event {event.into}")
    how = ", ".join(f"{name} since {_moment(since)}" for name, since in event.mechanisms)
    lines.append(f"how        {clean(how, 1000) or 'not known'}")
    lines.append(
        f"counted    {event.blocked} of {plural(event.votes, 'vote')} against access, by "
        f"{plural(event.probe_count, 'probe')}, since it began"
    )
    lines.append(
        f"evidence   these votes are {ratio(event.log_evidence)} times likelier if access changed than if not; "
        f"{ratio(event.threshold)} are needed. That is no odds of censorship."
    )
    lines.append(f"promise    {promise(event.false_alarms_per_week)}")
    lines += ["", timeline(event, votes, width), "", "witnesses (`wazi show ID` opens one)"]
    lines += [f"  {clean(witness)}" for witness in event.witnesses] or ["  none"]
    if len(versions) > 1:
        lines += ["", "what it said, and when"]
        lines += [line for when, said in versions for line in _version(when, said)]
    return "\n".join(lines)


def _version(when: float, said: Event) -> list[str]:
    """Say what an event said once, and why it was held back."""
    line = f"  {_moment(when)}  {said.status}: {clean(said.summary, 1000)}"
    return [line, *(f"    {clean(note, 1000)}" for note in said.notes)]


def promise(false_alarms_per_week: float) -> str:
    """Say what a rate of false alarms means."""
    rate = false_alarms_per_week
    number = "one false alarm" if rate == 1 else f"{rate:g} false alarms"
    chance = math.floor(-100.0 * math.expm1(-rate) + 0.5)
    words = "a 99 % chance or more" if chance > 99 else f"{_article(chance)} {chance} % chance"
    return f"on average {number} a week; {words} of at least one in any week"


def standing_lines(
    events: Sequence[Event], memory: Memory | None, waiting: int, since: float | None, waits: Sequence[Delay]
) -> list[str]:
    """Say which events are open, what is promised, and how long a block takes to be told of."""
    lines = [
        f"events   {plural(len(events), 'open event')}" + ("" if events else "; `wazi events --all` shows old ones")
    ]
    lines += [f"         {event_line(event)}" for event in events]
    if memory is not None:
        lines.append(f"promise  {promise(memory.false_alarms_per_week)}: the evidence must reach")
        lines.append(f"         {ratio(memory.threshold + ALONE)} to 1 at the present volume")
        if memory.suspended is not None:
            until = _moment(memory.suspended)
            lines.append(f"         SUSPENDED until {until}: harmless sites alarm too often, nothing is confirmed")
        if memory.refused:
            lines.append(f"         {plural(memory.refused, 'vote')} came too late to be counted")
        measured = {strength: found for strength, found in memory.rates.items() if strength in _FOUND}
        lines += [f"errors   {_errors(strength, found)}" for strength, found in measured.items()]
    lines += [f"delay    {_delay(wait)}" for wait in waits]
    if waiting:
        when = f", the oldest of {_moment(since)}" if since is not None else ""
        lines.append(f"waiting  {plural(waiting, 'vote')} to be counted{when}: where this lasts, the log says why")
    return lines


def _errors(strength: Strength, found: Measured) -> str:
    """Say how often honest votes are taken to err, and from how many votes of placebos."""
    first, again = found.rates.floor, found.rates.follow
    said = f"{_FOUND[strength]}: taken to be wrong {first:.2g} of the time, and {again:.2g} right after another"
    if not found.first[1]:
        return f"{said} (assumed: no harmless site was asked yet)"
    asked = f"{found.first[0]} of {plural(found.first[1], 'placebo')}"
    follow = f"{found.follow[0]} of {found.follow[1]} after another" if found.follow[1] else "the latter is assumed"
    return f"{said} ({asked}; {follow})"


def _delay(wait: Delay) -> str:
    found = _FOUND[wait.strength]
    by = "one probe" if wait.probes == 1 else "two probes on different lines"
    if wait.confirmed is None or wait.votes is None:
        return f"{found}, seen by {by}: not within two weeks"
    told = "told at once" if not wait.told else f"told after {_span(wait.told)}"
    return f"{found}, seen by {by}: {told}, confirmed after {_span(wait.confirmed)} ({wait.votes} votes)"


def _span(seconds: float) -> str:
    if seconds >= 2 * _DAY:
        return f"{seconds / _DAY:.0f} days"
    if seconds >= 2 * _HOUR - _MINUTE:
        return f"{seconds / _HOUR:.0f} h"
    return f"{max(1, math.ceil(seconds / _MINUTE))} min"


def _article(number: int) -> str:
    return "an" if str(number).startswith("8") or number in (11, 18) else "a"


def _paint(event: Event, colour: bool) -> str:
    return f"\x1b[{COLOURS[event.status]}m{event.status}\x1b[0m" if colour else str(event.status)


def _room(text: str, width: int, line: str) -> str:
    return clip(clean(text, 1000), max(20, width - columns(line)))


def _moment(time: float) -> str:
    return _utc(time, "%Y-%m-%d %H:%M UTC")


def _utc(time: float, form: str) -> str:
    try:
        return datetime.fromtimestamp(time, UTC).strftime(form)
    except (ValueError, OverflowError, OSError):
        return "at no time"
