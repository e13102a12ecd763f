"""Collect from a store all that goes into a bundle about some events.

Besides the witnesses there are the measurements that speak for access, which an expert would ask for, and the earlier
sessions without which the rules would not say again what they said. All of it is bounded, and what was left out is
said: in numbers where there were too many, one by one where an event names what is no longer kept.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Protocol

import msgspec

from measurements.dossier import Dossier, Facts, gather, thin
from measurements.evidence.bundle import EventFile, Item, Missing, Opinion, Role, Said, folder_of
from measurements.evidence.canonical import read_record
from measurements.evidence.chain import Keys, Link, SignedCheckpoint
from measurements.evidence.facts import LARGEST, pages
from measurements.evidence.links import ProbeChain
from measurements.evidence.rejudge import REMEMBERED, Judge, agree, needed
from measurements.model import HttpExchange, Measurement, Outcome, Past, Verdict
from measurements.printable import plural
from measurements.rules import RULES_VERSION
from measurements.store.errors import StoreError
from measurements.store.records import Entry, Kept
from measurements.store.records import Opinion as StoredOpinion

MOST_WITNESSES, MOST_ACCESSES = 60, 40
MOST_EARLIER = 60
MOST_LOOKED_AT = 1000  # earlier measurements, from which those are chosen
MOST_BYTES = 96 * 1024 * 1024
"""Of records and pages: a bundle must fit into a mail, or at least onto a stick."""
MOST_LINKS = 20_000
"""Of one probe: two megabytes. So many lead on from the records, towards checkpoints that somebody may have kept."""

MOST_POINTS, MOST_STAMPS = 30, 20
"""Checkpoints beside those that are needed."""


class Chains(Protocol):
    """What a bundle needs of the chains of a store."""

    def record(self, measurement_id: str) -> bytes: ...
    def link_of(self, measurement_id: str) -> Link | None: ...
    def links(self, probe_id: str, first: int | None = None, last: int | None = None) -> Iterator[Link]: ...
    def checkpoints(
        self, probe_id: str, first: int | None = None, last: int | None = None
    ) -> Iterator[SignedCheckpoint]: ...
    def keys(self, probe_id: str) -> Keys: ...
    def head(self, probe_id: str) -> Link | None: ...


class Source(Facts, Protocol):
    """What a bundle needs of a store."""

    @property
    def chains(self) -> Chains: ...
    def verdicts(self, measurement_id: str) -> list[StoredOpinion]: ...
    def measurements(
        self,
        *,
        since: float | None = None,
        until: float | None = None,
        target: str | None = None,
        outcome: Outcome | None = None,
        probe_id: str | None = None,
        limit: int | None = None,
        newest_first: bool = True,
    ) -> Iterator[Entry]: ...


@dataclass(slots=True)
class Collected:
    """What was found; `linked` are the numbers in the chains, by probe, that must be shown."""

    told: list[EventFile] = field(default_factory=list)
    items: list[Item] = field(default_factory=list)
    missing: list[Missing] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    dossiers: list[Dossier] = field(default_factory=list)
    linked: dict[str, set[int]] = field(default_factory=dict)


def collect(store: Source, events: Sequence[str], judge: Judge) -> Collected:
    """Collect what a store knows about events, given by their ids or the beginnings of those.

    `judge` are the rules of this build. Raises NotFound and StoreError.
    """
    found = Collected()
    collecting = _Collecting(store, judge, found)
    for prefix in events:
        dossier = gather(store, prefix, most_witnesses=MOST_WITNESSES, most_accesses=MOST_ACCESSES)
        if any(one.event.id == dossier.event.id for one in found.told):
            continue
        found.dossiers.append(dossier)
        versions = tuple(Said(stored=time, event=event) for time, event in dossier.versions)
        found.told.append(EventFile(event=dossier.event, versions=versions))
        collecting.take(dossier)
    collecting.add_earlier()
    collecting.finish()
    return found


class _Collecting:
    """Takes measurements in, each once, in the role that it was first found in."""

    def __init__(self, store: Source, judge: Judge, found: Collected) -> None:
        self.store = store
        self.judge = judge
        self.found = found
        self.kept: dict[str, tuple[Role, Measurement]] = {}
        self.said: dict[str, Verdict] = {}
        self.size = 0

    def take(self, dossier: Dossier) -> None:
        """Take in what a dossier holds, and tell what it lacks."""
        for role, some in ((Role.WITNESS, dossier.witnesses), (Role.ACCESS, dossier.accesses)):
            for one in some:
                self._add(one, role)
        for identifier in dossier.lost:
            self._lost(identifier, "it is no longer kept")
        for identifier in dossier.damaged:
            self._lost(identifier, "it is damaged in the store")
        named = {*self.kept, *(one.id for one in self.found.missing)}
        for identifier in dossier.event.witnesses:
            if identifier not in named:
                self._lost(identifier, "there was no room for it")
        event, out = dossier.event.id, dossier.left_out
        for count, what in (
            (out.witnesses, "against access"),
            (out.accesses, "for access"),
        ):
            if count > 0:
                words = f"{plural(count, 'more measurement')} that spoke {what}"
                self.found.left_out.append(f"of event {event[:8]} {words}")

    def add_earlier(self) -> None:
        """Add the earlier sessions that verdicts rest on, and what those rest on."""
        todo = deque(sorted(self.kept.values(), key=lambda one: one[1].started))
        added = 0
        while todo and added < MOST_EARLIER:
            _, fact = todo.popleft()
            said = self.said.get(fact.id)
            if said is None or said.rules_version != RULES_VERSION:
                continue
            for entry in self._lacking(fact, said):
                kept = self._fetch(entry.id)
                if kept is not None and self._add(kept, Role.EARLIER):
                    todo.append((Role.EARLIER, kept.measurement))
                    added += 1

    def _lacking(self, fact: Measurement, said: Verdict) -> Iterator[Entry]:
        """Yield the earlier measurements that must be beside one."""
        entries = self.store.measurements(
            since=fact.started - REMEMBERED,
            until=fact.started,
            target=fact.target.url,
            probe_id=fact.vantage.probe_id,
            limit=MOST_LOOKED_AT,
        )
        judged = [(one, one.verdict) for one in entries if one.verdict is not None]
        here = _past((one, verdict) for one, verdict in judged if one.id in self.kept)
        if _says(self.judge, fact, here, said):
            return
        alone = sorted(judged, key=lambda pair: (pair[1].confidence == "confirmed", pair[0].started))
        wanted = needed(fact, said, _past(alone), self.judge)
        for past in wanted:
            yield from (one for one, _ in judged if one.started == past.started and one.id not in self.kept)

    def finish(self) -> None:
        """Make items, in order: witnesses, then what speaks for access, then what lies before."""
        order = list(Role)
        ordered = sorted(self.kept.values(), key=lambda one: (order.index(one[0]), one[1].started, one[1].id))
        absent: set[str] = set()
        for role, fact in ordered:
            record = self.store.chains.record(fact.id)
            bodies = _bodies(fact)
            absent |= set(pages(read_record(record))) - bodies.keys()
            link = self._link(fact.id)
            self.found.items.append(
                Item(
                    measurement=fact,
                    record=record,
                    role=role,
                    link=None if link is None else link.sequence,
                    opinions=tuple(
                        Opinion(judged_at=one.judged_at, verdict=one.verdict) for one in self.store.verdicts(fact.id)
                    ),
                    bodies=bodies,
                )
            )
        held = {digest for item in self.found.items for digest in item.bodies}
        for digest in sorted(absent - held):
            self.found.missing.append(
                Missing(id=digest, why="a page that is no longer kept; its digest is in the record")
            )

    def _add(self, one: Kept, role: Role) -> bool:
        fact = one.measurement
        if fact.id in self.kept:
            return False
        size = len(self.store.chains.record(fact.id))
        self.size += size + sum(map(len, _bodies(fact).values()))
        if size > LARGEST or self.size > MOST_BYTES:
            self._lost(fact.id, "it is too large")
            return False
        self.kept[fact.id] = (role, fact)
        if one.verdict is not None:
            self.said[fact.id] = one.verdict
        return True

    def _fetch(self, identifier: str) -> Kept | None:
        try:
            return self.store.measurement(identifier)
        except StoreError:
            return None

    def _lost(self, identifier: str, why: str) -> None:
        try:
            link = self._link(identifier)
        except StoreError:
            link = None
        words = why if link is None else f"{why}; {link.sequence} in the chain of {link.probe_id} is its digest"
        self.found.missing.append(Missing(id=identifier, why=words))

    def _link(self, identifier: str) -> Link | None:
        link = self.store.chains.link_of(identifier)
        if link is not None:
            self.found.linked.setdefault(link.probe_id, set()).add(link.sequence)
        return link


def chains_of(store: Source, linked: Mapping[str, set[int]], also: Sequence[SignedCheckpoint] = ()) -> list[ProbeChain]:
    """Read the chains around some numbers of each probe; `also` are checkpoints that the store does not hold."""
    return [
        _chain(store.chains, probe, sorted(numbers), [one for one in also if one.probe_id == probe])
        for probe, numbers in sorted(linked.items())
    ]


def with_keys(chains: Sequence[ProbeChain], probe: str, keys: Keys) -> list[ProbeChain]:
    """Add the keys of a probe, which the store may not know yet, and the probe where it has no record here."""
    known = {chain.probe: chain for chain in chains}
    mine = known.get(probe, ProbeChain(probe=probe, folder=folder_of(probe), keys=Keys()))
    merged = Keys(
        keys=tuple(dict.fromkeys((*keys.keys, *mine.keys.keys))),
        rotations=tuple(dict.fromkeys((*keys.rotations, *mine.keys.rotations))),
    )
    known[probe] = msgspec.structs.replace(mine, keys=merged)
    return [chain for _, chain in sorted(known.items())]


def _chain(chains: Chains, probe: str, numbers: Sequence[int], also: Sequence[SignedCheckpoint]) -> ProbeChain:
    points = sorted([*chains.checkpoints(probe), *also], key=lambda one: (one.sequence, one.time))
    head = chains.head(probe)
    end = 0 if head is None else head.sequence
    stretches = _stretches(numbers, [point.sequence for point in points], end)
    links = [link for first, last in stretches for link in chains.links(probe, first, last)]
    kept = _points(points, numbers, stretches)
    return ProbeChain(
        probe=probe,
        folder=folder_of(probe),
        keys=chains.keys(probe),
        links=tuple(links),
        checkpoints=tuple(kept),
    )


def _stretches(numbers: Sequence[int], points: Sequence[int], end: int) -> list[tuple[int, int]]:
    """Choose from which to which number links are shown: between the checkpoints around each, and on to the last.

    They lead on to the newest checkpoint where that takes no more than `MOST_LINKS`, so that one which somebody has
    kept since can be compared.
    """
    stretches: list[tuple[int, int]] = []
    for number in numbers:
        before, after = _around(number, points, end)
        if stretches and stretches[-1][1] >= before:
            stretches[-1] = (stretches[-1][0], max(after, stretches[-1][1]))
        else:
            stretches.append((before + 1, after))
    if not stretches or not points:
        return stretches
    first, last = stretches[0][0], stretches[-1][1]
    if points[-1] - first < MOST_LINKS:
        return [(first, max(points[-1], last))]
    room = MOST_LINKS - sum(until - since + 1 for since, until in stretches)
    reach = [point for point in points if last <= point <= last + max(0, room)]
    return [*stretches[:-1], (stretches[-1][0], reach[-1] if reach else last)]


def _around(number: int, points: Sequence[int], end: int) -> tuple[int, int]:
    """Return the last checkpoint before a number, and the first one that covers it."""
    place = bisect_left(points, number)
    return points[place - 1] if place else 0, points[place] if place < len(points) else end


def _points(
    points: Sequence[SignedCheckpoint], numbers: Sequence[int], stretches: Sequence[tuple[int, int]]
) -> list[SignedCheckpoint]:
    """Choose the checkpoints that are shown: where stretches begin and end, those with a stamp, and some between."""
    here = [point for point in points if any(since - 1 <= point.sequence <= until for since, until in stretches)]
    all_numbers = [point.sequence for point in points]
    ends = {place for since, until in stretches for place in (since - 1, until)}
    ends |= {place for number in numbers for place in _around(number, all_numbers, 0)}
    stamped = thin([point for point in here if point.stamp], MOST_STAMPS)
    wanted = {id(point) for point in (*stamped, *thin(here, MOST_POINTS))}
    return [point for point in here if point.sequence in ends or id(point) in wanted]


def _bodies(fact: Measurement) -> dict[str, bytes]:
    return {
        sha256(step.body).hexdigest(): step.body
        for step in fact.observations
        if isinstance(step, HttpExchange) and step.body
    }


def _past(judged: Iterable[tuple[Entry, Verdict]]) -> tuple[Past, ...]:
    return tuple(Past(started=one.started, verdict=verdict) for one, verdict in judged)


def _says(judge: Judge, fact: Measurement, past: tuple[Past, ...], said: Verdict) -> bool:
    try:
        return agree(judge(fact, past), said)
    except Exception:  # rules must bear all, and an export goes on
        return True
