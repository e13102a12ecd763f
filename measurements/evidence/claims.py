"""Does an event follow from its records? What it claims is compared with what they are about and what they say.

What counts is what the rules of this build say of a record, and what the detector counts of that (a vote): a record
that was not reached proves no block, and an event that claims one rests on nothing if that is all there is. Whoever
holds the key can write any event; so each place, way and time that it names must be seen in a record, or it is told
that nothing here shows it. Numbers of votes and the likelihoods made of them are not counted again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime

import msgspec

from measurements.events.nouns import DETECTOR_VERSION, Event, Kind, Status
from measurements.events.telling import summary
from measurements.events.votes import BLIND, NETWORK, votes
from measurements.evidence.bundle import Entry, Manifest, Role
from measurements.evidence.findings import Found, Wrong, called
from measurements.evidence.opinions import opinions
from measurements.model import Measurement, Mechanism, Outcome, Strength, Verdict, Vote

OF_SITES = (Kind.BLOCKING, Kind.THROTTLING, Kind.UNREACHABLE)
"""Kinds of events whose witnesses are about the event's own targets."""
PROVEN = (Kind.BLOCKING, Kind.THROTTLING, Kind.ALLOWLIST)
"""Kinds of events that claim two proofs."""
TOGETHER = "together"  # the layer of sites that failed together, of which an event names some
MOST_NAMED = 5
NEAR = 6 * 3600.0
"""Seconds by which an event may reach beyond its records: the detector may see a beginning or an end before or after
single votes (`Settings.together`)."""


class Claims:
    """Compares events with records; `agreed` are the verdicts of this build that agree with the bundle, by number."""

    def __init__(
        self,
        manifest: Manifest,
        files: Mapping[str, bytes],
        facts: Mapping[int, Measurement],
        agreed: Mapping[int, Verdict],
        found: Found,
    ) -> None:
        self.entries = {entry.id: entry for entry in manifest.records}
        self.files = files
        self.facts = facts
        self.agreed = agreed
        self.found = found
        self.witnesses = [entry for entry in manifest.records if entry.role is Role.WITNESS]

    def check(self, events: Sequence[Event]) -> None:
        """Compare every event; a claim against a record is a fault, one that none shows is unsettled."""
        for event in events:
            for entry in (self.entries[one] for one in event.witnesses if one in self.entries):
                self._witness(event, entry)
            if event.kind is not Kind.OUTAGE and event.summary not in _sentences(event):
                known = event.detector_version == DETECTOR_VERSION
                why = "does not follow from what it says" if known else "was worded by another version of the detector"
                self._open(event, f"its sentence {why}: {event.summary[:300]!r}")
            self.found.unsettled += [f"event {event.id}: {words}" for words in self._unseen(event)]

    def _open(self, event: Event, words: str) -> None:
        self.found.unsettled.append(f"event {event.id}: {words}")

    def _witness(self, event: Event, entry: Entry) -> None:
        """See that a record that an event names is about it, and speaks against access."""
        fact, verdict = self.facts[entry.number], self.agreed.get(entry.number)
        named = f"{called(entry)} is named by event {event.id}"
        if (odd := _astray(event, fact)) is not None:
            self.found.fault(Wrong.EVENT, f"{named}, and is {odd}", entry)
        elif verdict is None or _against(event, fact, verdict):
            pass  # what cannot be judged is told already
        elif verdict.outcome is Outcome.ACCESSIBLE:
            self.found.fault(Wrong.EVENT, f"{named} as a witness, and says that the site works", entry)
        elif any(_against(event, fact, one.verdict) for one in opinions(entry, self.files)):
            self._open(event, f"{called(entry)} spoke against access by other rules, and does not by these")
        else:
            says = f"says {verdict.outcome}, which does not speak against access"
            self.found.fault(Wrong.EVENT, f"{named} as a witness, and {says}", entry)

    def _unseen(self, event: Event) -> Iterator[str]:
        """Say what an event claims that no record here shows."""
        about = (entry for entry in self.witnesses if _is_about(event, self.facts[entry.number]))
        votes = [vote for entry in about for vote in self._cast(event, entry)]
        if not votes:
            if event.kind is Kind.OUTAGE:
                yield "no record shows an outage: it rests on what the probe says of itself in gaps.json"
            else:
                yield "no record here, as these rules judge it, speaks against access: that is the word of its maker"
            return
        if event.kind in PROVEN and not any(_proves(event, vote) for vote in votes):
            yield f"it claims {event.kind}, and no record here proves that"
        yield from _lacking("country", event.countries, (vote.country for vote in votes))
        yield from _lacking("network", (f"AS{one}" for one in event.asns), (f"AS{vote.asn}" for vote in votes))
        if event.kind in OF_SITES and TOGETHER not in event.layers:
            yield from _lacking("target", event.targets, (vote.target for vote in votes))
        yield from _lacking("mechanism", (name for name, _ in event.mechanisms), (vote.mechanism for vote in votes))
        first, last = min(vote.time for vote in votes), max(vote.time for vote in votes)
        if first > event.onset[1] + NEAR:
            begun = f"it says that it had begun by {_date(event.onset[1])}"
            yield f"{begun}, and the first record here against access is of {_date(first)}"
        if event.end is not None and last < event.end[0] - NEAR:
            lasted = f"it says that it lasted until {_date(event.end[0])}"
            yield f"{lasted}, and the last record here against access is of {_date(last)}"

    def _cast(self, event: Event, entry: Entry) -> list[Vote]:
        verdict = self.agreed.get(entry.number)
        return [] if verdict is None else _against(event, self.facts[entry.number], verdict)


def _sentences(event: Event) -> set[str]:
    """Return what this build says of an event, whatever its status was when that was said."""
    try:
        return {summary(msgspec.structs.replace(event, status=status)) for status in Status}
    except (ValueError, OverflowError, OSError):  # times that are none
        return set()


def _against(event: Event, fact: Measurement, verdict: Verdict) -> list[Vote]:
    """Return what a verdict counts for against access: that nothing was seen counts only where this is at issue."""
    blind = event.kind is Kind.BLIND
    some = (vote for vote in votes(fact, verdict) if vote.blocked)
    return [vote for vote in some if TOGETHER in event.layers or (vote.layer == BLIND) == blind]


def _proves(event: Event, vote: Vote) -> bool:
    """Tell whether a vote is of the kind that an event claims, with its proofs."""
    if vote.strength is Strength.FAILED:
        return False
    if event.kind is Kind.ALLOWLIST:
        return vote.layer == NETWORK or vote.mechanism == Mechanism.NETWORK_ALLOWLIST
    return event.kind is Kind.BLOCKING or vote.layer == "throttle"


def _is_about(event: Event, fact: Measurement) -> bool:
    last = event.end[1] if event.end is not None else float("inf")
    return _astray(event, fact) is None and event.onset[0] - NEAR <= fact.started <= last + NEAR


def _astray(event: Event, fact: Measurement) -> str | None:
    if event.kind in OF_SITES and TOGETHER not in event.layers and fact.target.host not in event.targets:
        return f"about {fact.target.host}, which the event is not about"
    if event.asns and fact.vantage.asn is not None and fact.vantage.asn not in event.asns:
        return f"from AS{fact.vantage.asn}, which the event is not about"
    if event.countries and fact.vantage.country and fact.vantage.country not in event.countries:
        return f"from {fact.vantage.country}, which the event is not about"
    return None


def _lacking(what: str, claimed: Iterable[str], seen: Iterable[str]) -> Iterator[str]:
    known = set(seen)
    lacking = list(dict.fromkeys(one for one in claimed if one not in known))
    if lacking:
        more = f" and {len(lacking) - MOST_NAMED} more" if len(lacking) > MOST_NAMED else ""
        yield f"no record here against access shows this {what} of it: {', '.join(lacking[:MOST_NAMED])}{more}"


def _date(time: float) -> str:
    try:
        return datetime.fromtimestamp(time, UTC).strftime("%Y-%m-%d %H:%M UTC")
    except (ValueError, OverflowError, OSError):
        return f"{time} seconds"
