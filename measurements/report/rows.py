"""The rows of a timeline: who was asked about what, and what each stretch of time brought.

A row is a site on a network; where there are too many, those with less evidence share a row a network. Below them
stand the same sites as other networks saw them, and the harmless sites asked meanwhile. What a measurement says is one
mark, whatever number of votes it cast: against access, for it, or that it saw nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import IntEnum
from typing import NamedTuple

from measurements.dossier import Dossier
from measurements.events.nouns import Bracket, Event, Kind, Part, Standing
from measurements.model import Gap, Vote
from measurements.printable import clean
from measurements.report.headlines import network
from measurements.report.language import Language

MOST_ROWS = 16
MOST_GROUPS, MOST_OTHERS = 4, 4
_NAME = 60
BLIND = "blind"


class Says(IntEnum):
    """What one measurement says."""

    NOTHING = 0
    ACCESS = 1
    AGAINST = 2


class Row(NamedTuple):
    """A row: `marks` are (time, what a measurement says) in order; `gaps` are stretches in which nobody looked."""

    name: str
    where: str
    marks: tuple[tuple[float, Says], ...]
    gaps: tuple[Bracket, ...] = ()
    onset: Bracket | None = None
    end: Bracket | None = None
    down: tuple[Bracket, ...] = ()  # stretches in which nothing answered

    def tally(self, since: float, until: float) -> tuple[int, int]:
        """Count the marks of a stretch: against access, and those that say anything."""
        some = [said for time, said in self.marks if since <= time <= until and said is not Says.NOTHING]
        return some.count(Says.AGAINST), len(some)


class Rows(NamedTuple):
    """All rows from when until when, and how many sites share a row or have none."""

    rows: tuple[Row, ...]
    since: float
    until: float
    grouped: int


Place = tuple[str, str, int]  # target, country, network


def rows_of(dossier: Dossier, language: Language) -> Rows:
    """Lay out what a dossier's votes and gaps show."""
    since, until = shown_span(dossier)
    if dossier.event.kind is Kind.OUTAGE:
        return Rows(tuple(_outages(dossier, language)), since, until, 0)
    rows, grouped = _Layout(dossier, language).rows()
    return Rows(tuple(rows), since, until, grouped)


def shown_span(dossier: Dossier) -> tuple[float, float]:
    """Return from when until when is worth showing: not long before the first vote, nor after the last."""
    event = dossier.event
    times = [vote.time for vote in dossier.votes] + [
        time for gap in dossier.gaps for time in (gap.since, gap.until) if dossier.since <= time <= dossier.until
    ]
    first = min([*times, event.onset[0]])
    last = max([*times, event.onset[1], event.end[1] if event.end else max(event.updated, dossier.seen)])
    around = max(300.0, 0.02 * (last - first))
    return max(dossier.since, first - around), min(dossier.until, last + around)


def _parts(event: Event) -> dict[Place, list[Part]]:
    """Return the parts of each place, the places with most evidence first."""
    found: dict[Place, list[Part]] = {}
    for part in sorted(event.parts, key=lambda part: (part.standing is Standing.CLEARED, -part.log_evidence)):
        found.setdefault((part.target, part.country, part.asn), []).append(part)
    return found


class _Layout:
    """Gives the votes of a dossier their rows."""

    def __init__(self, dossier: Dossier, language: Language) -> None:
        self._dossier = dossier
        self._event = dossier.event
        self._language = language
        self._parts = _parts(dossier.event)
        self._is_blind = BLIND in dossier.event.layers
        self._votes: dict[Place, list[Vote]] = {}
        for vote in dossier.votes:
            self._votes.setdefault((vote.target, vote.country, vote.asn), []).append(vote)
        self._gaps: dict[str, list[Bracket]] = {}
        for gap in dossier.gaps:
            self._gaps.setdefault(gap.probe_id, []).append((gap.since, gap.until))

    def rows(self) -> tuple[list[Row], int]:
        """Return all rows, and how many places share one."""
        places = list(self._parts)
        alone = places if len(places) <= MOST_ROWS else places[: MOST_ROWS - MOST_GROUPS]
        grouped = places[len(alone) :]
        rows = [self._one(place) for place in alone]
        rows += self._grouped(grouped)
        rows += self._elsewhere()
        if self._dossier.placebos:
            where = _networks(self._event.asns, self._language)
            rows.append(self._row(self._language.say("harmless sites"), where, self._dossier.placebos))
        return rows, len(grouped)

    def _row(
        self, name: str, where: str, votes: Sequence[Vote], onset: Bracket | None = None, end: Bracket | None = None
    ) -> Row:
        return Row(name, where, _marks(votes, self._is_blind), _unseen(votes, self._gaps), onset, end)

    def _one(self, place: Place) -> Row:
        parts = self._parts[place]
        onset = min((part.onset for part in parts), key=lambda bracket: (bracket[1], bracket[0]))
        ends = [part.end for part in parts]
        end = max((one for one in ends if one), key=lambda bracket: (bracket[1], bracket[0]), default=None)
        votes = self._votes.get(place, [])
        return self._row(clean(place[0], _NAME), network(place[2]), votes, onset, None if None in ends else end)

    def _grouped(self, places: Sequence[Place]) -> Iterable[Row]:
        """Put the places that have no row of their own together by network, those with most places first."""
        networks: dict[int, list[Place]] = {}
        for place in places:
            networks.setdefault(place[2], []).append(place)
        ranked = sorted(networks.items(), key=lambda item: -len(item[1]))
        for asn, some in ranked[: MOST_GROUPS - 1]:
            yield self._group(some, network(asn))
        rest = [place for _, some in ranked[MOST_GROUPS - 1 :] for place in some]
        if rest:
            yield self._group(rest, _networks([asn for asn, _ in ranked[MOST_GROUPS - 1 :]], self._language))

    def _group(self, places: Sequence[Place], where: str) -> Row:
        some = [vote for place in places for vote in self._votes.get(place, ())]
        targets = len({place[0] for place in places})
        return self._row(self._language.count("%(number)s more site", "%(number)s more sites", targets), where, some)

    def _elsewhere(self) -> Iterable[Row]:
        """Show the same sites where they are no part of the event: on other networks, or on one that spares some."""
        networks: dict[tuple[str, int], list[Vote]] = {}
        for place, some in self._votes.items():
            if place not in self._parts:
                networks.setdefault(place[1:], []).extend(some)
        say, count = self._language.say, self._language.count
        for (country, asn), some in sorted(networks.items(), key=lambda item: -len(item[1]))[:MOST_OTHERS]:
            where, name = network(asn), say("elsewhere")
            if country:
                land = self._language.country(clean(country, _NAME))
                where = say("%(network)s, %(country)s", network=where, country=land)
            if asn in self._event.asns:
                spared = len({vote.target for vote in some})
                name = count("%(number)s site spared there", "%(number)s sites spared there", spared)
            yield self._row(name, where, some)


def _outages(dossier: Dossier, language: Language) -> Iterable[Row]:
    """Show each probe's stretches in which nothing answered."""
    event = dossier.event
    probes: dict[str, list[Gap]] = {}
    for gap in dossier.gaps:
        probes.setdefault(gap.probe_id, []).append(gap)
    for gaps in list(probes.values())[:MOST_ROWS]:
        down = tuple((gap.since, gap.until) for gap in gaps if gap.why == "outage")
        other = tuple((gap.since, gap.until) for gap in gaps if gap.why != "outage")
        yield Row(language.say("one probe"), _networks(event.asns, language), (), other, event.onset, event.end, down)


def _networks(asns: Sequence[int], language: Language) -> str:
    if len(asns) == 1:
        return network(asns[0])
    return language.count("%(number)s network", "%(number)s networks", len(asns)) if asns else ""


def _marks(votes: Iterable[Vote], is_blind: bool) -> tuple[tuple[float, Says], ...]:
    """Make one mark of each measurement; a vote against access in one layer outweighs those for it in others."""
    said: dict[tuple[float, str, str], Says] = {}
    for vote in votes:
        key = (vote.time, vote.probe, vote.witness)
        empty = vote.layer == BLIND and not is_blind
        told = Says.ACCESS if not vote.blocked else Says.NOTHING if empty else Says.AGAINST
        said[key] = max(told, said.get(key, Says.NOTHING))
    return tuple((time, one) for (time, _, _), one in sorted(said.items()))


def _unseen(votes: Sequence[Vote], gaps: dict[str, list[Bracket]]) -> tuple[Bracket, ...]:
    """Return when none of the probes that voted in a row was looking."""
    probes = {vote.probe for vote in votes}
    if not probes:
        return ()
    common = _joined(gaps.get(next(iter(probes)), []))
    for probe in probes:
        common = _overlap(common, _joined(gaps.get(probe, [])))
    return tuple(common)


def _joined(brackets: Iterable[Bracket]) -> list[Bracket]:
    joined: list[Bracket] = []
    for start, end in sorted(brackets):
        if joined and start <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        else:
            joined.append((start, end))
    return joined


def _overlap(ours: Sequence[Bracket], theirs: Sequence[Bracket]) -> list[Bracket]:
    both = [(max(a[0], b[0]), min(a[1], b[1])) for a in ours for b in theirs]
    return sorted((start, end) for start, end in both if start < end)
