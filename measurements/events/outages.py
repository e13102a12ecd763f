"""Outages: the link was up, and for a while nothing at all could be reached. Pure: from gaps to events.

An outage is told by the looks at the network that failed, not by votes. It began between the last time that something
worked and the first look that failed, and ended between the last look that failed and the first that did not. That
the power was off (no sign of life) or the cable was pulled (no route) are gaps for another reason, and no outage; but
where nothing worked between two outages with such a gap between them they are one, of which a part was not seen.

A probe that never saw anything work was never connected, and its gap is no outage. One look that failed may be a
moment's weakness of the line: the event is unconfirmed until a second one has failed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from itertools import pairwise

from measurements.events.nouns import Event, Kind, Status
from measurements.model import Gap

OUTAGE = "outage"
"""The word for it among the reasons of gaps."""


def outages(gaps: Iterable[Gap], *, country: str | None = None, asn: int | None = None) -> list[Event]:
    """Return an event for each outage among the gaps, which may come in any order, from any probes and campaigns.

    `country` and `asn` are where the probe stands, as far as that is known.
    """
    mine = sorted((gap for gap in gaps if gap.why == OUTAGE), key=lambda gap: (gap.probe_id, gap.since, gap.until))
    seen = (part for part in _together(mine) if part[0].worked is not None)
    return [_event(part, country, asn) for part in seen]


def _together(gaps: Sequence[Gap]) -> Iterator[list[Gap]]:
    """Put the gaps together between which nothing worked: those of several campaigns, and of two lives."""
    part: list[Gap] = []
    for gap in gaps:
        if part and not _same(part, gap):
            yield part
            part = []
        part.append(gap)
    if part:
        yield part


def _same(part: Sequence[Gap], gap: Gap) -> bool:
    if part[0].probe_id != gap.probe_id:
        return False
    until = max(one.until for one in part)
    return gap.since <= until or (not _is_over(part) and (gap.worked is None or gap.worked <= part[0].since))


def _is_over(part: Sequence[Gap]) -> bool:
    """Whether something worked at the end of the last of them."""
    return max(part, key=lambda gap: gap.until).restored is True


def _event(part: Sequence[Gap], country: str | None, asn: int | None) -> Event:
    first, last = part[0], max(part, key=lambda gap: gap.until)
    worked = min(max(gap.worked for gap in part if gap.worked is not None and gap.worked <= first.since), first.since)
    failed = max((gap.failed for gap in part if gap.failed is not None), default=first.since)
    over = _is_over(part)
    confirmed = failed > first.since
    unconfirmed = Status.CONFIRMED if confirmed else Status.UNCONFIRMED
    words = "\0".join((OUTAGE, first.probe_id, repr(first.since)))
    unseen = sum(max(0.0, later.since - earlier.until) for earlier, later in pairwise(part))
    return Event(
        id=hashlib.sha256(words.encode()).hexdigest()[:32],
        kind=Kind.OUTAGE,
        status=Status.CLOSED if over else unconfirmed,
        reason="ended" if over else "",
        notes=(f"Nothing was seen for {unseen / 60:.0f} minutes of it: the probe did not run.",) if unseen > 60 else (),
        countries=(country,) if country else (),
        asns=(asn,) if asn else (),
        onset=(worked, first.since),
        end=(min(failed, last.until), last.until) if over else None,
        probe_count=1,
        probes=(first.probe_id,),
        opened=first.since,
        confirmed=failed if confirmed else None,
        updated=last.until,
        summary=_summary(first, last, over=over),
    )


def _summary(first: Gap, last: Gap, *, over: bool) -> str:
    until = f"until {_utc(last.until)}" if over else f"and still at {_utc(last.until)}"
    return f"From {_utc(first.since)} {until} nothing could be reached from this probe, though its link was up."


def _utc(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M UTC")
