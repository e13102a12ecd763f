"""`wazi detect`: find events in votes from anywhere.

The votes of a file are put in order, and go through the detector that `wazi run` uses. The threshold is for the volume
of the file: its lines a week, and those of a day at least.
"""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import BinaryIO, cast

from measurements.events.detector import in_order
from measurements.events.nouns import Event, Settings, Standing
from measurements.events.record import record
from measurements.model import Strength, encode
from measurements.printable import clean, plural
from probe.ballots import BadHeader, Sorter, VoteReader
from probe.commands.console import FINE, FOUND, UNSETTLED, Refusal, say, width, write, write_line
from probe.records import BadRecord
from probe.timeline import timeline
from probe.wording import ratio

WEEK, DAY = 604_800.0, 86_400.0
MOST_COMPLAINTS = 20  # bad lines that are named
_WIDTH = 100


def detect_votes(name: str, *, as_json: bool, false_alarms_per_week: float, all_events: bool) -> int:
    """Find the events in a file of votes and return the exit code."""
    if not (math.isfinite(false_alarms_per_week) and false_alarms_per_week > 0):
        raise Refusal("--false-alarms-per-week: must be above 0, such as 1 or 0.1")
    with Sorter() as sorter:
        bad, strengths = _read(name, sorter)
        if not sorter.count:
            say(f"{name}: there is no vote to count")
            return UNSETTLED
        settings = Settings(
            false_alarms_per_week=false_alarms_per_week,
            volume_per_week=sorter.count * WEEK / max(DAY, sorter.last - sorter.first),
            fixed_volume=True,
            strengths=strengths,
        )
        shown = cleared = 0
        for event in in_order(sorter.votes(), settings):
            if event.reason == "cleared" and not all_events:
                cleared += 1
                continue
            shown += 1
            if as_json:
                write_line(encode(record(event)) + b"\n")
            else:
                write(told(event, min(width(sys.stdout), _WIDTH)) + "\n")
    if cleared:
        say(f"{plural(cleared, 'suspicion')} that later votes cleared, not shown (--all shows them)")
    if not shown and not as_json:
        say(f"no event in {plural(sorter.count, 'vote')}")
    return FOUND if shown else UNSETTLED if bad else FINE


def told(event: Event, room: int) -> str:
    """Return an event as people read it."""
    sure = sum(part.standing in (Standing.BLOCKED, Standing.ENDED) for part in event.parts)
    lines = [
        f"{event.status.upper()}  {clean(event.summary, 1000)}",
        f"  {event.blocked} of {plural(event.votes, 'vote')} from {plural(event.probe_count, 'probe')}, "
        f"enough of them in {sure} of {plural(len(event.parts), 'part')}, "
        f"evidence ratio {ratio(event.log_evidence)} to 1",
        *(f"  {note}" for note in event.notes),
        *(f"  {line}" for line in timeline(event, (), room - 2).split("\n")),
    ]
    return "\n".join(lines)


def _read(name: str, sorter: Sorter) -> tuple[int, int]:
    """Read a file into the sorter; return how many lines were bad, and how many strengths the votes against have."""
    if name == "-":
        return _take(cast(BinaryIO, sys.stdin.buffer), "stdin", sorter)
    try:
        stream = Path(name).open("rb")  # noqa: SIM115 - only opening it is what may be refused here
    except FileNotFoundError:
        raise Refusal(f"{name}: there is no such file") from None
    except OSError as error:
        raise Refusal(f"{name}: cannot be read ({error.strerror})") from None
    with stream:
        return _take(stream, name, sorter)


def _take(stream: BinaryIO, name: str, sorter: Sorter) -> tuple[int, int]:
    bad, strengths = 0, set[Strength]()
    try:
        reader = VoteReader(stream, name)
    except BadHeader as error:
        raise Refusal(clean(str(error), 1000)) from None
    if reader.ignored:
        say(f"{name}: columns that mean nothing here: {clean(', '.join(reader.ignored), 500)}")
    for found in reader:
        if isinstance(found, BadRecord):
            bad += 1
            if bad <= MOST_COMPLAINTS:
                say(clean(str(found), 1000))
            continue
        if found.blocked:
            strengths.add(found.strength)
        sorter.add(found)
    if bad > MOST_COMPLAINTS:
        say(f"{name}: {bad - MOST_COMPLAINTS} more lines that cannot be read")
    return bad, max(1, len(strengths))
