"""All that a store knows about one event, gathered for those who must show it: a page for people, a bundle for experts.

An event names its first witnesses only. The rest is found again from the votes: whole measurements that speak against
access, those that speak for it (before, during and after, and from other networks), what harmless sites did meanwhile,
and when the probes did not look. Everything is bounded, and what was left out is counted: a dossier never looks
complete when it is not.

Times are UTC seconds since the epoch.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice, zip_longest
from typing import Protocol, TypeVar

import msgspec

from measurements.events.nouns import Event
from measurements.model import Gap, Outcome, Vote
from measurements.store.errors import NotFound, StoreError
from measurements.store.records import Entry, Kept

AROUND = 0.5  # of the event's length, before and after it
LEAST_AROUND, MOST_AROUND = 2 * 3600.0, 7 * 86_400.0
MOST_WITNESSES, MOST_ACCESSES = 60, 30
MOST_TARGETS = 500
MOST_READ = 100_000  # votes about one target
MOST_VOTES = 60_000
MOST_PLACEBOS = 2000
MOST_LISTED = 20_000  # measurements whose outcomes are counted
MOST_VERSIONS, MOST_GAPS, MOST_PROBES = 100, 500, 64
BLIND, TOGETHER = "blind", "together"

T = TypeVar("T")


class Votes(Protocol):
    """What a dossier reads from a store's ledger."""

    def event(self, prefix: str) -> Event: ...
    def versions(self, event_id: str) -> list[tuple[float, Event]]: ...
    def stream_votes(
        self,
        hosts: Sequence[str] = (),
        *,
        since: float,
        until: float,
        layers: Sequence[str] = (),
        asns: Sequence[int] = (),
        placebo: bool | None = None,
    ) -> Iterator[Vote]: ...


class Facts(Protocol):
    """What a dossier reads from a store."""

    @property
    def ledger(self) -> Votes: ...
    def measurement(self, prefix: str) -> Kept: ...
    def measurements(self, *, since: float, until: float, target: str, newest_first: bool) -> Iterator[Entry]: ...
    def gaps(self, *, since: float, probe_id: str) -> list[Gap]: ...


class LeftOut(msgspec.Struct, frozen=True, kw_only=True):
    """How many of each there are besides those that a dossier holds."""

    witnesses: int = 0
    accesses: int = 0
    targets: int = 0
    votes: int = 0  # at least so many
    placebos: int = 0
    measurements: int = 0  # whose outcomes were not counted, at least so many
    versions: int = 0
    gaps: int = 0
    probes: int = 0  # whose gaps were not read


class Tally(msgspec.Struct, frozen=True, kw_only=True):
    """How many measurements of the event's targets, from one network while it lasted, came to one outcome."""

    country: str
    asn: int
    outcome: Outcome | None  # None: not judged
    reason: str = ""
    count: int = 0


class Dossier(msgspec.Struct, frozen=True, kw_only=True):
    """An event with its evidence.

    `versions` are (when it was stored, what the event said), in order. `witnesses` speak against access and `accesses`
    for it, whole, with their latest verdicts, in order of time; `lost` are ids of witnesses that are no longer kept,
    `damaged` of those that cannot be read. `votes` are about the event's targets in its layers (and `blind` ones that
    saw nothing) from `since` until `until`, from any network, `placebos` those about harmless sites in its networks;
    both are thinned evenly where they are too many. `gaps` are of the probes that voted. `seen` is the time of the last
    vote about its sites in its networks: an event that is open says of itself only when it last had news.
    """

    event: Event
    since: float
    until: float
    seen: float = 0.0
    versions: tuple[tuple[float, Event], ...] = ()
    witnesses: tuple[Kept, ...] = ()
    accesses: tuple[Kept, ...] = ()
    lost: tuple[str, ...] = ()
    damaged: tuple[str, ...] = ()
    votes: tuple[Vote, ...] = ()
    placebos: tuple[Vote, ...] = ()
    outcomes: tuple[Tally, ...] = ()
    gaps: tuple[Gap, ...] = ()
    left_out: LeftOut = LeftOut()


def gather(
    store: Facts, prefix: str, *, most_witnesses: int = MOST_WITNESSES, most_accesses: int = MOST_ACCESSES
) -> Dossier:
    """Gather what a store knows about an event, given by its id or the beginning of that.

    Raises NotFound when no event or several begin so, and StoreError when the store cannot be read.
    """
    event = store.ledger.event(prefix)
    first, last = span(event)
    around = min(max(LEAST_AROUND, (last - first) * AROUND), MOST_AROUND)
    since, until = first - around, math.inf if event.is_open else last + around
    targets = list(dict.fromkeys(part.target for part in event.parts))
    chosen = targets[:MOST_TARGETS]
    votes = _Votes(event, MOST_VOTES // max(1, len(chosen)))
    for target in chosen:
        votes.read(target, store.ledger.stream_votes([target], since=since, until=until, layers=_layers(event)))
    last = max(last, votes.seen) if event.is_open else last
    until = min(until, last + around)
    against = list(dict.fromkeys(chain(event.witnesses, votes.against())))
    witnesses, lost, damaged = _fetch(store, against, most_witnesses, event.witnesses)
    favourable = votes.accesses()
    accesses, _, _ = _fetch(store, favourable, most_accesses)
    asked = store.ledger.stream_votes(since=since, until=until, layers=_layers(event), asns=event.asns, placebo=True)
    placebos = list(islice(asked, MOST_VOTES)) if event.asns else []
    outcomes, uncounted = _outcomes(store, chosen, first, last)
    probes = list(dict.fromkeys((*event.probes, *votes.probes)))
    gaps = [gap for probe in probes[:MOST_PROBES] for gap in _gaps(store, probe, since, until)]
    versions = store.ledger.versions(event.id)
    kept_placebos = thin(placebos, MOST_PLACEBOS)
    return Dossier(
        event=event,
        since=since,
        until=until,
        seen=votes.seen,
        versions=tuple(thin(versions, MOST_VERSIONS)),
        witnesses=witnesses,
        accesses=accesses,
        lost=lost,
        damaged=damaged,
        votes=tuple(sorted(votes.kept, key=lambda vote: vote.time)),
        placebos=tuple(kept_placebos),
        outcomes=outcomes,
        gaps=tuple(sorted(gaps, key=lambda gap: (gap.since, gap.until)))[:MOST_GAPS],
        left_out=LeftOut(
            witnesses=len(against) - len(witnesses) - len(lost) - len(damaged),
            accesses=len(favourable) - len(accesses),
            targets=len(targets) - len(chosen),
            votes=votes.thinned,
            placebos=len(placebos) - len(kept_placebos),
            measurements=uncounted,
            versions=max(0, len(versions) - MOST_VERSIONS),
            gaps=max(0, len(gaps) - MOST_GAPS),
            probes=max(0, len(probes) - MOST_PROBES),
        ),
    )


def span(event: Event) -> tuple[float, float]:
    """Return from when until when an event may have lasted, as far as it was looked at."""
    first = event.onset[0]
    return first, max(first, event.onset[1], event.end[1] if event.end else event.updated)


def thin(items: Sequence[T], most: int) -> list[T]:
    """Keep at most so many, spread evenly, the first and the last among them."""
    if len(items) <= most:
        return list(items)
    if most < 2:
        return list(items[:most])
    return [items[round(index * (len(items) - 1) / (most - 1))] for index in range(most)]


class _Votes:
    """Reads the votes about an event's targets, one target after the other, and keeps what is worth showing."""

    def __init__(self, event: Event, most: int) -> None:
        self._event = event
        self._most = max(1, most)
        self._first, last = span(event)
        self._last = math.inf if event.is_open else last
        self._places = {(part.target, part.country, part.asn) for part in event.parts}
        self._against: list[Sequence[str]] = []  # one sequence a target and network, the most telling first
        self._for: list[Sequence[str]] = []
        self.kept: list[Vote] = []
        self._is_blind = BLIND in event.layers  # what is at issue is whether anything can be seen at all
        self.probes: dict[str, None] = {}
        self.seen = 0.0
        self.thinned = 0

    def read(self, target: str, votes: Iterable[Vote]) -> None:
        """Take in the votes about one target, in order of time."""
        rest = iter(votes)
        told = [vote for vote in islice(rest, MOST_READ) if vote.blocked or vote.layer != BLIND or self._is_blind]
        kept = thin(told, self._most)
        self.thinned += len(told) - len(kept) + int(next(rest, None) is not None)
        self.kept += kept
        networks: dict[tuple[str, int], list[Vote]] = {}
        for vote in told:
            networks.setdefault((vote.country, vote.asn), []).append(vote)
        for network, some in networks.items():
            here = (target, *network) in self._places
            self._sort(some, here=here)
            if here:
                self.seen = max(self.seen, *(vote.time for vote in some))
                self.probes |= dict.fromkeys(vote.probe for vote in some if vote.blocked)

    def _sort(self, votes: Sequence[Vote], *, here: bool) -> None:
        during = [vote for vote in votes if self._first <= vote.time <= self._last]
        against = _ids(vote for vote in during if vote.blocked and (vote.layer != BLIND or self._is_blind))
        accused = set(against)
        favourable = _ids(vote for vote in during if not vote.blocked and vote.witness not in accused)
        if here:
            before = _ids(vote for vote in reversed(votes) if not vote.blocked and vote.time < self._first)
            after = _ids(vote for vote in votes if not vote.blocked and vote.time > self._last)
            self._against.append(_from_both_ends(against))
            self._for.append(_in_turn((before, favourable, after)))
        else:
            self._for.append(favourable)

    def against(self) -> list[str]:
        """Return ids of measurements that speak against access while the event lasts, from each place in turn."""
        return _in_turn(self._against)

    def accesses(self) -> list[str]:
        """Return ids of measurements that speak for it: before, during and after, and from elsewhere meanwhile."""
        return _in_turn(self._for)


def _layers(event: Event) -> tuple[str, ...]:
    """Return the layers whose votes are about an event; those of sites that failed together may be of any."""
    return () if TOGETHER in event.layers else (*event.layers, BLIND)


def _ids(votes: Iterable[Vote]) -> list[str]:
    return list(dict.fromkeys(vote.witness for vote in votes if vote.witness))


def _from_both_ends(items: Sequence[T]) -> list[T]:
    """Return the first, the last, the second, … so that what is cut off is the middle."""
    half = (len(items) + 1) // 2
    return _in_turn((items[:half], items[half:][::-1]))


def _in_turn(sequences: Iterable[Sequence[T]]) -> list[T]:
    """Take the first of each, then the second of each, and so on."""
    nothing = object()
    mixed = chain.from_iterable(zip_longest(*sequences, fillvalue=nothing))
    return [item for item in mixed if item is not nothing]  # type: ignore[misc]


def _fetch(
    store: Facts, ids: Sequence[str], most: int, named: Sequence[str] = ()
) -> tuple[tuple[Kept, ...], tuple[str, ...], tuple[str, ...]]:
    """Fetch whole measurements, at most so many; return them with the ids of lost and damaged ones."""
    found: list[Kept] = []
    lost: list[str] = []
    damaged: list[str] = []
    for one in ids[: max(most, len(named)) + most]:
        if len(found) == most:
            break
        try:
            found.append(store.measurement(one))
        except NotFound:
            lost.append(one)
        except StoreError:
            damaged.append(one)
    ordered = sorted(found, key=lambda kept: (kept.measurement.started, kept.measurement.id))
    return tuple(ordered), tuple(lost), tuple(damaged)


def _outcomes(store: Facts, targets: Sequence[str], since: float, until: float) -> tuple[tuple[Tally, ...], int]:
    """Count what the measurements of some targets came to; return that, and how many were not looked at."""
    counted: Counter[tuple[str, int, Outcome | None, str]] = Counter()
    rows = chain.from_iterable(
        store.measurements(since=since, until=until + 1.0, target=target, newest_first=False) for target in targets
    )
    for entry in islice(rows, MOST_LISTED):
        verdict = entry.verdict
        said = (None, "") if verdict is None else (verdict.outcome, verdict.reason or "")
        counted[entry.country or "", entry.asn or 0, *said] += 1
    ordered = sorted(counted.items(), key=lambda item: (item[0][:2], -item[1], str(item[0][2:])))
    tallies = tuple(
        Tally(country=country, asn=asn, outcome=outcome, reason=reason, count=count)
        for (country, asn, outcome, reason), count in ordered
    )
    return tallies, int(next(iter(rows), None) is not None)


def _gaps(store: Facts, probe: str, since: float, until: float) -> Iterator[Gap]:
    return (gap for gap in store.gaps(since=since, probe_id=probe) if gap.since < until)
