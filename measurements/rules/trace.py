"""Where on the way a name's packets are answered or die: what a trace is for.

A trace accuses on the two proofs that every accusation needs: the site is alive, and its packets, or the
questions about its name, meet something short of where it stands, which others of the same shape pass. What it
adds to the rules of each layer are the routers on both sides of the place.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from measurements.case import Case
from measurements.model import (
    Capture,
    Confidence,
    DnsLookup,
    Finding,
    Hop,
    HttpExchange,
    IcmpError,
    Mechanism,
    Outcome,
    Pattern,
    Proof,
    Purpose,
    TcpConnect,
    TlsHandshake,
    Trigger,
    Where,
)
from measurements.proofs import Shown, alive, kind_of, place
from measurements.reading import REFUSALS, Flow, Leg, Reading, hops, of

TWICE = 2

MECHANISMS: dict[type[TcpConnect | TlsHandshake | HttpExchange], dict[str, Mechanism]] = {
    TcpConnect: {
        "timeout": Mechanism.TCP_TIMEOUT,
        "reset": Mechanism.TCP_RESET,
        "unreachable": Mechanism.TCP_UNREACHABLE,
    },
    TlsHandshake: {
        "reset": Mechanism.TLS_RESET,
        "timeout": Mechanism.TLS_TIMEOUT,
        "eof": Mechanism.TLS_EOF,
        "alert": Mechanism.TLS_ALERT,
    },
    HttpExchange: {"reset": Mechanism.HTTP_RESET, "timeout": Mechanism.HTTP_TIMEOUT, "eof": Mechanism.HTTP_EOF},
}


@dataclass(frozen=True)
class Spot:
    """A place on the way: the distance at which packets are stopped, and how far the way goes on, if known."""

    hop: int
    before: str | None
    after: str | None
    length: int | None

    def __str__(self) -> str:
        whole = f" of {self.length}" if self.length else ""
        if self.hop == 1:
            return f"at hop 1{whole}, the first router, your own network's"
        if self.before and self.after:
            return f"at hop {self.hop}{whole}, between {self.before} and {self.after}"
        known = f", behind {self.before}" if self.before else f", before or at {self.after}" if self.after else ""
        return f"at hop {self.hop}{whole}{known}"


def passable(case: Case) -> Finding | None:
    """The site opens, and what carries its name goes all the way."""
    story = case.reading
    page = story.final
    if case.measurement.nettest != "trace" or story.troubled is not None or page is None:
        return None
    if page.status in REFUSALS or page.redirect is not None:
        return None
    served = [f for leg in story.legs for f in [leg.served] if f is not None]
    failed = [f for f in story.legs[-1].local_flows if f.failed is not None]
    length = _length(story)
    return Finding(
        rule="trace.passable",
        outcome=Outcome.ACCESSIBLE,
        pattern=Pattern.PARTIAL if failed else None,
        summary=f"{story.target.host} opens; "
        + (f"it answers {length} hops away, and " if length else "")
        + "nothing on the way keeps its name from passing.",
        evidence=tuple(sorted({i for f in (*served, *failed) for i in f.ids})),
    )


def located(case: Case) -> Finding | None:
    """What carries the site's name is answered, or dies, short of where it goes; what carries another passes there."""
    story = case.reading
    leg = story.troubled
    if case.measurement.nettest != "trace" or leg is None:
        return None
    living = alive(story, leg)
    if not living:
        return None
    return _questions(story, leg, living) or _packets(story, leg, living)


# -- questions about the name


def _met(lookup: DnsLookup) -> str:
    """Say what became of a question, in the words of `Hop`."""
    if lookup.valid_replies:
        return "data"
    return "expired" if _router([lookup]) is not None else "silence"


def _questions(story: Reading, leg: Leg, living: tuple[int, ...]) -> Finding | None:
    """Accuse when questions about the name end where those about a harmless one still meet a router."""
    asked = [q for q in story.follow_ups(DnsLookup, Purpose.TRACE_TARGET) if q.ip_ttl is not None]
    beside = [q for q in story.follow_ups(DnsLookup, Purpose.TRACE_HARMLESS) if q.ip_ttl is not None]
    for resolver in dict.fromkeys(q.resolver for q in asked):
        ours = _by_distance(q for q in asked if q.resolver == resolver)
        theirs = _by_distance(q for q in beside if q.resolver == resolver)
        reached = min((ttl for ttl, each in theirs.items() if any(_met(q) == "data" for q in each)), default=None)
        spot = _answered_early(leg, ours, theirs) or (_swallowed(ours, theirs, reached) if reached else None)
        if spot is None:
            continue
        ttl, answered = spot
        here = Spot(ttl, _router(theirs.get(ttl - 1)), _router(theirs[ttl]), reached)
        what = "are answered" if answered else "vanish"
        return Finding(
            rule="trace.located",
            outcome=Outcome.BLOCKED,
            mechanism=Mechanism.DNS_INJECTED if answered else Mechanism.DNS_TIMEOUT,
            trigger=Trigger.NAME,
            where=Where.LOCAL if ttl == 1 else Where.NETWORK,
            confidence=Confidence.CONFIRMED if answered else Confidence.LIKELY,
            proof=Proof.IMPOSSIBLE if answered else Proof.SHORT,
            summary=f"Questions about {leg.host} {what} {here}; those about a harmless name go on from there to the "
            f"resolver {resolver}. The site is up.",
            evidence=tuple(sorted({*living, *(q.id for q in (*ours[ttl], *theirs[ttl]))})),
        )
    return None


def _by_distance(lookups: Iterable[DnsLookup]) -> dict[int, list[DnsLookup]]:
    found: dict[int, list[DnsLookup]] = {}
    for lookup in lookups:
        found.setdefault(lookup.ip_ttl or 0, []).append(lookup)
    return dict(sorted(found.items()))


def _passed(theirs: dict[int, list[DnsLookup]], ttl: int) -> bool:
    """Whether the harmless questions that went so far met a router there, all that met anything, and none a resolver.

    A resolver of many machines may stand at several distances.
    """
    met = [_met(q) for q in theirs.get(ttl, [])]
    return "expired" in met and "data" not in met


def _answered_early(
    leg: Leg, ours: dict[int, list[DnsLookup]], theirs: dict[int, list[DnsLookup]]
) -> tuple[int, bool] | None:
    """Find where an untrue answer comes from short of the resolver, every time."""
    ttl = next((ttl for ttl, each in ours.items() if any(_met(q) == "data" for q in each)), None)
    if ttl is None or len(ours[ttl]) < TWICE or not _passed(theirs, ttl):
        return None
    known = {*leg.trusted_addresses, *(leg.control.query.resolved if leg.control else ())}
    untrue = all(_met(q) == "data" and not known & set(q.addresses) for q in ours[ttl])
    return (ttl, True) if known and untrue else None


def _swallowed(
    ours: dict[int, list[DnsLookup]], theirs: dict[int, list[DnsLookup]], reached: int
) -> tuple[int, bool] | None:
    """Find from where on nothing comes back, however often and however far it was asked."""
    last = max((ttl for ttl, each in ours.items() if any(_met(q) == "expired" for q in each)), default=0)
    beyond = [ttl for ttl in ours if last < ttl]
    if any(_met(q) != "silence" for ttl in beyond for q in ours[ttl]):
        return None
    if sum(len(ours[ttl]) for ttl in beyond) < 2 * TWICE or not any(ttl >= reached for ttl in beyond):
        return None
    ttl = next((ttl for ttl in beyond if ttl < reached and _passed(theirs, ttl)), None)
    return None if ttl is None else (ttl, False)


def _router(lookups: list[DnsLookup] | None) -> str | None:
    """Name the router that said that a question's time was exceeded."""
    return next((e.source for q in lookups or [] for e in q.icmp if e.source and _exceeded(e)), None)


def _exceeded(error: IcmpError) -> bool:
    """Whether it is ICMP's type 11, or ICMPv6's type 3, which ICMP has for what Linux tells by another errno."""
    return error.type == 11 or (error.type == 3 and error.code == 0 and error.error == "EHOSTUNREACH")


# -- packets towards the site


def _packets(story: Reading, leg: Leg, living: tuple[int, ...]) -> Finding | None:
    """Accuse when packets that carry the name, or go to the address, end where those beside them go on."""
    sent = story.follow_ups(Hop, Purpose.TRACE_TARGET)
    flow = next((f for f in leg.flows if any(h.address == f.tcp.address for h in sent)), None)
    named = _named(leg, flow) if flow is not None else None
    if flow is None or named is None:
        return None
    mechanism, subject = named
    syn = flow.tcp.failure is not None
    beside = Purpose.TRACE_NEIGHBOUR if syn else Purpose.TRACE_HARMLESS
    at = place(story, beside)
    if at is None or at.hop is None or (flow.failed is None and at.proof is not Proof.IMPOSSIBLE):
        return None
    if not _stands(story, at.hop, sent, beside):
        return None
    met = hops(sent).get(at.hop)
    how = {"silence": "die", "reset": "meet a reset"}.get(met.answer if met else "", "are answered")
    others = "those to an address beside it" if syn else "those with a harmless name"
    trigger, by = _trigger(story, at, met)
    seen, watched = _arrivals(story, [h for h in sent if h.ttl == at.hop])
    return Finding(
        rule="trace.located",
        outcome=Outcome.BLOCKED,
        mechanism=mechanism,
        trigger=Trigger.ADDRESS if syn else trigger,
        where=at.where,
        confidence=Confidence.CONFIRMED if at.proof is Proof.IMPOSSIBLE else Confidence.LIKELY,
        proof=at.proof,
        summary=f"{subject} {how} {_spot(story, at.hop, beside)}; {others} go on from there."
        + (" The name alone is the trigger: it is so on the way to another site too." if by else "")
        + seen
        + " The site is up.",
        evidence=tuple(sorted({*flow.ids, *living, *at.evidence, *by, *watched})),
    )


def _stands(story: Reading, ttl: int, sent: list[Hop], beside: Purpose) -> bool:
    """Whether what was met at a distance holds against chance.

    Where a way has branches of several lengths, packets of one kind would meet now this, now that there: none of the
    others may have met anything but a router. A silence may be a router's that answers only so often: it counts when
    the others are answered there before and after.
    """
    mine = [h for h in sent if h.ttl == ttl and h.failure is None]
    others = [h for h in story.follow_ups(Hop, beside) if h.ttl == ttl and h.failure is None]
    if len(mine) < TWICE or any(h.answer not in ("expired", "silence") for h in others):
        return False
    passed = [h.id for h in others if h.answer == "expired"]
    silent = [h.id for h in mine if h.answer == "silence"]
    return bool(passed) and (not silent or min(passed) < min(silent) < max(passed))


def _named(leg: Leg, flow: Flow) -> tuple[Mechanism, str] | None:
    """Name what failed, and whose packets are followed; None where it is none that a walk can follow."""
    step = flow.failed
    if step is None:
        if leg.encrypted or flow.page is None or flow.page.status is None:
            return None
        redirect = flow.page.redirect is not None
        return Mechanism.HTTP_REDIRECT if redirect else Mechanism.HTTP_BLOCKPAGE, f"Requests that name {leg.host}"
    if not isinstance(step, TcpConnect | TlsHandshake | HttpExchange):
        return None
    if isinstance(step, HttpExchange) and leg.encrypted:
        return None  # what was encrypted cannot be sent again
    subject = {
        TcpConnect: f"Connections to {flow.tcp.address}, the address of {leg.host},",
        TlsHandshake: f"Handshakes that name {leg.host}",
        HttpExchange: f"Requests that name {leg.host}",
    }[type(step)]
    mechanism = MECHANISMS[type(step)].get(kind_of(step))
    return None if mechanism is None else (mechanism, subject)


def _arrivals(story: Reading, stopped: list[Hop]) -> tuple[str, tuple[int, ...]]:
    """Compare what answered packets that were stopped with what took their connections, where both were captured.

    The site's own packets come its whole way and arrive with one IP TTL; others are told for whoever reads it.
    """
    ports = {hop.local_port for hop in stopped if hop.local_port is not None}
    captures = of(Capture, story.observations)
    packets = [p for c in captures for p in c.packets if p.local_port in ports and p.protocol == "tcp"]
    own = {p.ip_ttl for p in packets if p.flags == "SA"}
    strange = [p for p in packets if p.flags != "SA" and p.ip_ttl not in own]
    if not own or not strange:
        return "", ()
    flags = ", ".join(sorted({p.flags for p in strange}))
    return (
        f" What answers arrives with an IP TTL of {_one_of(p.ip_ttl for p in strange)} (flags {flags}), "
        f"what took the connection with {_one_of(own)}.",
        tuple(c.id for c in captures),
    )


def _one_of(numbers: Iterable[int]) -> str:
    return " or ".join(str(number) for number in sorted(set(numbers)))


def _trigger(story: Reading, at: Shown, met: Hop | None) -> tuple[Trigger, tuple[int, ...]]:
    """Tell by the way to a witness whether the name alone does it; the steps that show it."""

    def there(purpose: Purpose) -> list[Hop]:
        return [h for h in story.follow_ups(Hop, purpose) if h.ttl == at.hop and h.failure is None]

    named, harmless = there(Purpose.TARGET_AT_WITNESS), there(Purpose.HARMLESS_AT_WITNESS)
    if met is None or len(named) < TWICE or any(h.answer != "expired" for h in harmless) or not harmless:
        return Trigger.UNKNOWN, ()
    answers = {h.answer for h in named}
    if answers == {met.answer}:
        return Trigger.NAME, tuple(h.id for h in (*named, *harmless))
    return (Trigger.NAME_AND_ADDRESS if answers == {"expired"} else Trigger.UNKNOWN), ()


def _spot(story: Reading, ttl: int, beside: Purpose) -> Spot:
    """Name the routers on both sides: those that packets without the name met."""
    met = [hops(story.follow_ups(Hop, purpose)) for purpose in (Purpose.TRACE_PATH, beside, Purpose.TRACE_WITNESS)]

    def router(distance: int) -> str | None:
        return next(
            (h.router for each in met if (h := each.get(distance)) and h.answer == "expired" and h.router), None
        )

    return Spot(ttl, router(ttl - 1), router(ttl), _length(story))


def _length(story: Reading) -> int | None:
    """How many hops away the site answers, as far as packets without a name show it."""
    arrived: Callable[[Hop], bool] = lambda hop: hop.answer in ("open", "data")  # noqa: E731
    met = [*story.follow_ups(Hop, Purpose.TRACE_PATH), *story.follow_ups(Hop, Purpose.TRACE_HARMLESS)]
    return min((hop.ttl for hop in met if arrived(hop)), default=None)
