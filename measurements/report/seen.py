"""What the witnesses of an event saw, counted over all of them: read off their observations, in facts without words.

A step is told by its view and its purpose; what came of it by its failure. Steps that only carried another (a
connection under a handshake) are left out, as nothing was asked by them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from statistics import median
from typing import NamedTuple

from measurements.dossier import Dossier
from measurements.model import (
    AnyObservation,
    ControlQuery,
    DnsLookup,
    Failure,
    Hop,
    HttpExchange,
    Measurement,
    Outcome,
    Proof,
    Purpose,
    QuicHandshake,
    TcpConnect,
    TlsHandshake,
    Transfer,
    View,
)
from measurements.pace import pace_of
from measurements.reading import is_address
from measurements.store.records import Kept

WALKS = frozenset({Purpose.TRACE_TARGET, Purpose.TRACE_HARMLESS, Purpose.TRACE_NEIGHBOUR, Purpose.TRACE_WITNESS})
PATHS = frozenset({Purpose.TRACE_PATH, Purpose.WITNESS, Purpose.FIND_NAME_SERVER})
"""What only finds the way or the witnesses, and compares nothing."""
ACCUSED = (Outcome.BLOCKED, Outcome.THROTTLED)


class Result(NamedTuple):
    """What came of a step: it worked, or its failure; of a packet that was sent only so far, what answered and where.

    `rate` is bit/s of a transfer, and makes no two results differ.
    """

    failure: Failure | None
    detail: str = ""
    answer: str = ""
    hop: int = 0


class Asked(NamedTuple):
    """One kind of question over all witnesses: what it was, and how often what came of it."""

    view: View
    purpose: Purpose | None
    results: Counter[Result]
    rates: tuple[float, ...] = ()  # bit/s of transfers

    @property
    def total(self) -> int:
        return self.results.total()


class Alive(NamedTuple):
    """In how many witnesses something showed that the site was up, by each way; and how many there are."""

    witnesses: int
    any_way: int  # those of pace aside: there the site itself was not asked
    control: int
    certificate: int  # one of its addresses showed its own certificate here, by another path
    harmless: int  # a harmless name was answered at its own address
    other_port: int
    pace: int  # the same object came under a harmless name
    elsewhere: int  # measurements from other networks that reached it meanwhile


def first_look(steps: Sequence[AnyObservation]) -> Iterator[tuple[View, Purpose | None, Result]]:
    """Yield what a browser here would have met, what trusted resolvers said, and what the control saw."""
    own = [s for s in steps if s.view is View.LOCAL and s.purpose is None and not _says_little(s)]
    failed = [s for s in own if s.failure is not None and s.failure is not Failure.INTERRUPTED]
    if own:
        yield View.LOCAL, None, _result(failed[0] if failed else own[-1])
    trusted = [s for s in steps if isinstance(s, DnsLookup) and s.view is View.TRUSTED and s.rtype == "A"]
    if trusted:
        yield View.TRUSTED, None, _result(next((s for s in trusted if s.failure is None), trusted[0]))
    queries = [s for s in steps if isinstance(s, ControlQuery)]
    if queries and all(s.failure is not None for s in queries):
        yield View.CONTROL, None, Result(queries[-1].failure, "no control")
    elif queries:
        told = [s for s in steps if s.view is View.CONTROL and not isinstance(s, ControlQuery)]
        pages = [s for s in told if isinstance(s, HttpExchange)]
        told = [*pages] or [s for s in told if s.failure is not None] or told
        if told:
            yield View.CONTROL, None, _result(told[-1])


def follow_ups(steps: Sequence[AnyObservation]) -> Iterator[tuple[Purpose, Result]]:
    """Yield each follow-up step's purpose and what came of it; a walk along the way is one of them."""
    carrying = {(s.cause, s.purpose) for s in steps if s.cause is not None}
    carried = {s.cause for s in steps if isinstance(s, Transfer)}
    walks: dict[tuple[Purpose, str, str | None], list[Hop]] = {}
    for step in steps:
        purpose = step.purpose
        if purpose is None or purpose in PATHS:
            continue
        if isinstance(step, Hop):
            walks.setdefault((purpose, step.address, step.name), []).append(step)
        elif not _only_carried(step, (step.id, purpose) in carrying, step.id in carried):
            yield purpose, _result(step)
    for (purpose, _, _), hops in walks.items():
        yield purpose, _walked(hops)


def _only_carried(step: AnyObservation, more: bool, transfer: bool) -> bool:
    """Tell whether a step that worked only carried what was asked: `more` of the same purpose, or a transfer."""
    if isinstance(step, TlsHandshake):
        return step.ended and (more or transfer)
    return isinstance(step, TcpConnect) and step.failure is None and more


def asked(kept: Iterable[Kept]) -> list[Asked]:
    """Count what was asked and what came of it, over all measurements: first looks before follow-ups."""
    results: dict[tuple[View, Purpose | None], Counter[Result]] = {}
    rates: dict[Purpose, list[float]] = {}
    for one in kept:
        steps = one.measurement.observations
        for view, purpose, result in first_look(steps):
            results.setdefault((view, purpose), Counter())[result] += 1
        for purpose, result in follow_ups(steps):
            results.setdefault((View.FOLLOW_UP, purpose), Counter())[result] += 1
        for step in steps:
            if isinstance(step, Transfer) and step.purpose is not None and step.failure is None and step.received:
                rates.setdefault(step.purpose, []).append(pace_of(step))
    order = {purpose: index for index, purpose in enumerate(Purpose)}
    views = (View.LOCAL, View.TRUSTED, View.CONTROL, View.FOLLOW_UP)

    def weight(key: tuple[View, Purpose | None]) -> tuple[int, int]:
        return views.index(key[0]), order[key[1]] if key[1] else -1

    return [
        Asked(*key, results[key], tuple(rates.get(key[1], ())) if key[1] else ()) for key in sorted(results, key=weight)
    ]


def middle(rates: Sequence[float]) -> tuple[float, float, float]:
    """Return the median of some rates, the least and the most."""
    return median(rates), min(rates), max(rates)


def alive(dossier: Dossier) -> Alive:
    """Count what shows that the site was up while the witnesses saw what they saw."""
    ways = [_ways(kept.measurement) for kept in dossier.witnesses]
    here = {*dossier.event.asns, None, 0}  # a network that is not known may be this one
    event = dossier.event
    first, last = event.onset[1], event.end[0] if event.end else max(event.updated, dossier.seen)
    elsewhere = [
        kept
        for kept in dossier.accesses
        if kept.measurement.vantage.asn not in here and first <= kept.measurement.started <= last
    ]
    return Alive(
        witnesses=len(ways),
        any_way=sum(any(way[:4]) for way in ways),
        control=sum(way[0] for way in ways),
        certificate=sum(way[1] for way in ways),
        harmless=sum(way[2] for way in ways),
        other_port=sum(way[3] for way in ways),
        pace=sum(way[4] for way in ways),
        elsewhere=len(elsewhere),
    )


def _ways(measurement: Measurement) -> tuple[bool, bool, bool, bool, bool]:
    steps = measurement.observations
    control = [s for s in steps if s.view is View.CONTROL and not isinstance(s, ControlQuery | DnsLookup)]
    pages = [s for s in control if isinstance(s, HttpExchange)]
    reached = any(p.status is not None for p in pages) if pages else any(s.failure is None for s in control)
    own = any(
        isinstance(s, TlsHandshake | QuicHandshake) and s.failure is None and s.purpose is None
        for s in steps
        if s.view in (View.LOCAL, View.TRUSTED)
    )
    return (
        reached,
        own,
        any(_answered(s) for s in steps if s.purpose is Purpose.HARMLESS_AT_TARGET),
        any(_answered(s) for s in steps if s.purpose is Purpose.OTHER_PORT),
        any(isinstance(s, Transfer) and s.failure is None for s in steps if s.purpose is Purpose.PACE_HARMLESS),
    )


def _answered(step: AnyObservation) -> bool:
    if isinstance(step, TlsHandshake | QuicHandshake):
        return step.ended
    return isinstance(step, HttpExchange) and step.status is not None


def shows_address(measurement: Measurement) -> bool:
    """Tell whether the site's right address was found: by the control, or as one that shows its certificate here."""
    control, own, *_ = _ways(measurement)
    return control or own


def of_pace(kept: Kept) -> bool:
    """Tell whether a measurement is about pace: its objects come from a server of Wazi's, and not from the site."""
    return kept.measurement.nettest == "throttling"


def proofs(kept: Iterable[Kept]) -> Counter[Proof | None]:
    """Count on which proof each accusation rests; None is an accusation or anomaly without one."""
    found = (one.verdict for one in kept if one.verdict is not None)
    return Counter(
        verdict.findings[0].proof if verdict.findings and verdict.outcome in ACCUSED else None for verdict in found
    )


def address_agrees(measurement: Measurement) -> bool | None:
    """Tell whether our own lookup gave an address that others give too; None where that cannot be told."""
    if is_address(measurement.target.host):
        return None
    steps = measurement.observations
    lookups = [s for s in steps if isinstance(s, DnsLookup) and s.purpose is None and s.view is View.LOCAL]
    others = [s for s in steps if isinstance(s, DnsLookup) and s.purpose is None and s.view is not View.LOCAL]
    known = {address for s in others for address in s.addresses}
    known |= {address for s in steps if isinstance(s, ControlQuery) for address in s.resolved}
    ours = {address for s in lookups for address in s.addresses}
    return bool(ours & known) if ours and known else None


def _says_little(step: AnyObservation) -> bool:
    return isinstance(step, ControlQuery) or (isinstance(step, DnsLookup) and step.rtype != "A" and not step.addresses)


def _result(step: AnyObservation) -> Result:
    if isinstance(step, TlsHandshake | QuicHandshake) and step.failure is not None and step.ended:
        return Result(step.failure)
    if isinstance(step, HttpExchange) and step.status is not None and step.failure is None:
        return Result(None, f"HTTP {step.status}")
    return Result(step.failure)


def _walked(hops: Sequence[Hop]) -> Result:
    """Say how far a kind of packet got: what answered it first, other than routers on the way; or the last router."""
    told = [hop for hop in hops if hop.answer not in ("expired", "silence")]
    if told:
        nearest = min(told, key=lambda hop: hop.ttl)
        return Result(None, answer=nearest.answer, hop=nearest.ttl)
    passed = [hop.ttl for hop in hops if hop.answer == "expired"]
    return Result(None, answer="silence", hop=max(passed, default=0))
