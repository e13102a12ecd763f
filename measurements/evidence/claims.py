"""Does an event follow from its records? What it claims is compared with what they are about and what they say."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence

from measurements.events.nouns import Event, Kind
from measurements.events.votes import votes
from measurements.evidence.bundle import VOTES, Manifest
from measurements.evidence.findings import Found, Judged, Wrong, called, numbers
from measurements.evidence.opinions import opinions
from measurements.model import Measurement, Outcome, Verdict

MOST_ROWS = 200_000
OF_SITES = (Kind.BLOCKING, Kind.THROTTLING, Kind.UNREACHABLE)
"""Kinds of events whose witnesses are about the event's own targets."""
TOGETHER = "together"  # the layer of sites that failed together, of which an event names some


def check_events(
    events: Sequence[Event],
    manifest: Manifest,
    facts: Mapping[int, Measurement],
    judged: Sequence[Judged],
    found: Found,
) -> None:
    """See that the witnesses that events name are about what the events are about, and do not say that it works."""
    entries = {entry.id: entry for entry in manifest.records}
    works = {one.number for one in judged if one.agrees and (one.found or "").split(" ")[0] == Outcome.ACCESSIBLE}
    for event in events:
        for entry in (entries[one] for one in event.witnesses if one in entries):
            if (odd := _astray(event, facts[entry.number])) is not None:
                found.fault(Wrong.EVENT, f"{called(entry)} is named by event {event.id}, and is {odd}", entry)
            elif entry.number in works:
                words = f"{called(entry)} is named by event {event.id} as a witness, and says that the site works"
                found.fault(Wrong.EVENT, words, entry)


def check_votes(manifest: Manifest, files: Mapping[str, bytes], facts: Mapping[int, Measurement], found: Found) -> None:
    """See that the votes that are ascribed to records are those that their verdicts cast, as this build casts them."""
    entries = {entry.id: entry for entry in manifest.records}
    cast: dict[int, set[tuple[str, ...]]] = {}
    strange: set[int] = set()
    for row in _rows(files.get(VOTES, b"")):
        entry = entries.get(row.get("witness") or "")
        if entry is None:
            continue
        if entry.number not in cast:
            said = opinions(entry, files)
            cast[entry.number] = {vote for one in said for vote in _votes(facts[entry.number], one.verdict)}
        if _row(row) not in cast[entry.number]:
            strange.add(entry.number)
    if strange:
        words = f"{VOTES} ascribes votes to {numbers(strange)} that this build does not cast for what was said of them"
        found.unsettled.append(words)


def _astray(event: Event, fact: Measurement) -> str | None:
    if event.kind in OF_SITES and TOGETHER not in event.layers and fact.target.host not in event.targets:
        return f"about {fact.target.host}, which the event is not about"
    if event.asns and fact.vantage.asn is not None and fact.vantage.asn not in event.asns:
        return f"from AS{fact.vantage.asn}, which the event is not about"
    if event.countries and fact.vantage.country and fact.vantage.country not in event.countries:
        return f"from {fact.vantage.country}, which the event is not about"
    return None


def _votes(fact: Measurement, verdict: Verdict) -> Iterator[tuple[str, ...]]:
    for vote in votes(fact, verdict):
        yield (repr(vote.time), vote.probe, vote.target, vote.layer, str(int(vote.blocked)), vote.strength.value)


def _row(row: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(row.get(column) or "" for column in ("time", "probe", "target", "layer", "blocked", "strength"))


def _rows(data: bytes) -> Iterator[dict[str, str]]:
    try:
        for place, row in enumerate(csv.DictReader(io.StringIO(data.decode("utf-8", "replace"), newline=""))):
            if place == MOST_ROWS:
                return
            yield row
    except csv.Error:
        return
