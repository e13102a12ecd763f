"""Whether our resolver, or something before it, lied about a name.

A lie is an answer that contradicts a true one, and a true answer is one that a certificate proves: an
address of the trusted view that shows the name's own certificate. A resolver that fails or times out has
not lied. An answer that leads to the wrong place may be old rather than false: see `blockpage`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from msgspec import structs

from measurements.answers import NO_CLAIM, addresses_in, forged_beside, says_it_filters
from measurements.artefacts import Artefact, behind_answers, in_answers, signed, vetoed
from measurements.case import Case
from measurements.model import (
    OURS,
    Confidence,
    DnsLookup,
    Failure,
    Finding,
    HttpExchange,
    Mechanism,
    Outcome,
    Pattern,
    Proof,
    Purpose,
    Trigger,
    Where,
)
from measurements.pages import speaks_of_blocking, speaks_of_hosting
from measurements.proofs import ENOUGH, harmless_at_target, said_by_its_own
from measurements.reading import Leg, Reading, identical, is_address, same_bytes, same_page


@dataclass(frozen=True)
class Truth:
    """The true answer and what proves it; `certain` when a certificate does."""

    evidence: tuple[int, ...]
    certain: bool


def _leg(case: Case) -> Leg | None:
    """The leg whose lookup is in doubt: no address that our own lookup gave serves the name."""
    leg = case.reading.troubled
    if leg is None or is_address(leg.host) or not leg.lookups or any(f.secure for f in leg.local_flows):
        return None
    return leg


def _rtype(leg: Leg) -> str:
    return "AAAA" if {q.rtype for q in leg.trusted if q.addresses} == {"AAAA"} else "A"


def _local(leg: Leg) -> list[DnsLookup]:
    return [q for q in leg.lookups if q.rtype == _rtype(leg)]


def _truth(case: Case, leg: Leg) -> Truth | None:
    """Find a true answer other than the local one."""
    answers = tuple(q.id for q in leg.trusted if q.addresses)
    elsewhere = [f for f in leg.flows if not f.local]
    for flow in elsewhere:
        if flow.secure:
            return Truth((*answers, *flow.ids), certain=True)
    control = leg.control
    if control is not None and control.reached and control.page is not None:
        agreed = set(control.query.resolved) & set(leg.trusted_addresses)
        if agreed or case.measurement.source == "ooni" or not leg.trusted:
            return Truth((*answers, control.query.id, control.page.id), certain=False)
    for flow in elsewhere:
        by = answers or ((control.query.id,) if control is not None and control.reached else ())
        if not leg.encrypted and flow.page is not None and flow.page.status is not None and by:
            return Truth((*by, *flow.ids), certain=False)
    there = {f.tcp.address for f in elsewhere if f.tcp.failure is None and f.tcp.address in leg.known_addresses}
    if answers and (beside := harmless_at_target(case.reading, there)):
        return Truth((*answers, *beside), certain=False)
    return None


def _honest_otherwise(case: Case, leg: Leg) -> tuple[int, ...] | None:
    """Show that the resolver answers other names with other, public addresses; None when it does not."""
    asked = case.reading.follow_ups(DnsLookup, Purpose.HARMLESS_AT_RESOLVER)
    if not asked:
        return () if case.measurement.source == "ooni" else None
    good = [q for q in asked if leg.public(q.addresses) and not set(q.addresses) & set(leg.local_addresses)]
    return tuple(q.id for q in good) or None


def _answered(story: Reading, purpose: Purpose) -> list[DnsLookup]:
    return [q for q in story.follow_ups(DnsLookup, purpose) if q.valid_replies]


def _where(story: Reading) -> tuple[Where, tuple[int, ...]]:
    """Say who answered: the first hop, something on the way, or the resolver; unknown where that is the first hop."""
    first_hop = _answered(story, Purpose.FIRST_HOP)
    if first_hop:
        return Where.LOCAL, tuple(q.id for q in first_hop)
    forged = _answered(story, Purpose.SERVERLESS)
    if forged and not _answered(story, Purpose.HARMLESS_SERVERLESS):
        return Where.NETWORK, tuple(q.id for q in forged)
    at_home = _answered(story, Purpose.RESOLVER_AT_HOME)
    return (Where.UNKNOWN, tuple(q.id for q in at_home)) if at_home else (Where.RESOLVER, ())


def _lie(case: Case, mechanism: Mechanism, told: Callable[[Leg, DnsLookup], bool], words: str) -> Finding | None:
    """Accuse when our resolver told `told` of a name whose true answer is proven, and is honest otherwise."""
    leg = _leg(case)
    if leg is None:
        return None
    lies = [q for q in _local(leg) if told(leg, q)]
    truth = _truth(case, leg)
    if not lies or len(lies) < len(_local(leg)) or truth is None:
        return None
    others = [q for q in leg.trusted if q.rtype == _rtype(leg) and q.valid_replies]
    if others and all(told(leg, q) for q in others):
        return None  # trusted resolvers say the same: what a control is told elsewhere may not be meant for here
    honest = _honest_otherwise(case, leg)
    if honest is None or said_by_its_own(case.reading, leg):
        return None
    repeats = case.reading.follow_ups(DnsLookup, Purpose.REPETITION)
    if repeats and not all(told(leg, q) for q in repeats):
        return None
    where, by = _where(case.reading)
    return Finding(
        rule=mechanism.value,
        outcome=Outcome.BLOCKED,
        mechanism=mechanism,
        trigger=Trigger.NAME,
        where=where,
        confidence=_placed(where, _confidence(case, truth)),
        proof=Proof.IMPOSSIBLE,
        summary=f"{words.format(host=leg.host)} {_says(where)}{_filters(lies)}{_rest(case, truth)}",
        evidence=tuple(sorted({*(q.id for q in lies), *honest, *truth.evidence, *by})),
    )


def _confidence(case: Case, truth: Truth) -> Confidence:
    """A lie is confirmed when a certificate proves the true answer; a record of OONI's rests on less."""
    sure = truth.certain and case.measurement.source != "ooni"
    return Confidence.CONFIRMED if sure else Confidence.LIKELY


def _placed(where: Where | None, sure: Confidence | None) -> Confidence | None:
    """A lie is likely at most where a filter at home cannot be told from the provider's."""
    return Confidence.LIKELY if where is Where.UNKNOWN else sure


def _says(where: Where) -> str:
    return {
        Where.LOCAL: "The first router on the way answered so.",
        Where.UNKNOWN: "Your own router is the resolver here: it may have made that up, or passed it on.",
        Where.NETWORK: "Something on the way answers even where no resolver is.",
    }.get(where, "The resolver said so, while it answers other names rightly.")


def _filters(lies: list[DnsLookup]) -> str:
    named = says_it_filters(lies)
    return f" The resolver says itself that it withholds the answer ({named})." if named else ""


def _rest(case: Case, truth: Truth) -> str:
    if truth.certain:
        return " The true address, from a trusted resolver, shows the site's own certificate."
    if case.measurement.source == "ooni":
        return " OONI's test helper reached the site; the record holds no second proof, so this rests on less."
    return " The site answers at the address that others give."


def nxdomain(case: Case) -> Finding | None:
    """The resolver denies that the name exists, while it does."""
    return _lie(
        case,
        Mechanism.DNS_NXDOMAIN,
        lambda leg, q: q.failure is Failure.DNS_NXDOMAIN,
        "{host} exists, but the lookup here says that it does not (NXDOMAIN).",
    )


def refused(case: Case) -> Finding | None:
    """The resolver refuses this name and answers others."""
    return _lie(
        case,
        Mechanism.DNS_REFUSED,
        lambda leg, q: q.failure is Failure.DNS_REFUSED,
        "The lookup of {host} is refused here.",
    )


def no_answer(case: Case) -> Finding | None:
    """The resolver says that the name has no address, while it has."""
    return _lie(
        case,
        Mechanism.DNS_NO_ANSWER,
        lambda leg, q: q.failure is Failure.NO_DNS_ANSWER,
        "{host} has an address, but the lookup here gives none.",
    )


def bogon(case: Case) -> Finding | None:
    """The lookup gives an address that no public host can have."""
    finding = _lie(
        case,
        Mechanism.DNS_BOGON,
        lambda leg, q: bool(q.addresses) and not leg.public(q.addresses) and not set(q.addresses) & leg.known_addresses,
        "The lookup of {host} gives an address here that no public site can have.",
    )
    leg = _leg(case)
    known = in_answers(case, leg, _local(leg)) if finding is not None and leg is not None else None
    if finding is None or known is None:
        return finding
    sure = _surer(case, known) or finding.confidence
    return known.signed(structs.replace(finding, confidence=_placed(finding.where, sure)))


def _surer(case: Case, known: Artefact | None) -> Confidence | None:
    """A known blocker's artefact that others are not shown is proof by itself, however the site is known to be up."""
    sure = known is not None and known.proves and known.compared and case.measurement.source != "ooni"
    return Confidence.CONFIRMED if sure else None


def injected(case: Case) -> Finding | None:
    """Two contradicting replies came to one question, or one came from where no resolver is."""
    leg = _leg(case)
    if leg is None:
        return None
    known = leg.known_addresses
    # a forwarder may pass on two servers' answers; where none is the truth that is known, both may be true
    doubled = [q for q in leg.lookups if forged_beside(q, known) and _true_beside(q, leg)]
    where, by = _where(case.reading)
    truth = _truth(case, leg)
    misled = leg.public(leg.local_addresses) and not set(leg.local_addresses) & set(leg.trusted_addresses)
    forged = where is Where.NETWORK and bool(misled)
    if truth is None or not (doubled or forged):
        return None
    return Finding(
        rule="dns.injected",
        outcome=Outcome.BLOCKED,
        mechanism=Mechanism.DNS_INJECTED,
        trigger=Trigger.NAME,
        where=Where.LOCAL if where is Where.LOCAL else Where.NETWORK,
        confidence=_confidence(case, truth),
        proof=Proof.IMPOSSIBLE,
        summary=f"A forged answer about {leg.host} comes in on the way here"
        + (", beside the true one." if doubled else ": even an address where no resolver is seems to answer.")
        + _rest(case, truth),
        evidence=tuple(sorted({*(q.id for q in doubled), *by, *truth.evidence})),
    )


def _true_beside(lookup: DnsLookup, leg: Leg) -> bool:
    """Whether one of several replies is true, or one of them denies or hides what the others give."""
    given = [set(addresses_in(reply)) for reply in lookup.valid_replies if reply.rcode not in NO_CLAIM]
    return any(each & leg.true_addresses or not leg.public(each) for each in given)


def raced(case: Case) -> Finding | None:
    """A forged answer about the name came in as well, though this time the true one opened the page."""
    story = case.reading
    if story.troubled is not None:
        return None
    leg = next((leg for leg in story.legs if leg.doubtful), None)
    forged = _answered(story, Purpose.SERVERLESS)
    if leg is None or not forged or _answered(story, Purpose.HARMLESS_SERVERLESS):
        return None
    doubtful = [q for q in leg.doubtful if q.rtype in {f.rtype for f in forged}]
    served = leg.served
    if not doubtful or served is None:
        return None
    local = _answered(story, Purpose.FIRST_HOP)
    return Finding(
        rule="dns.raced",
        outcome=Outcome.BLOCKED,
        mechanism=Mechanism.DNS_INJECTED,
        trigger=Trigger.NAME,
        where=Where.LOCAL if local else Where.NETWORK,
        pattern=Pattern.PARTIAL,
        confidence=Confidence.CONFIRMED,
        proof=Proof.IMPOSSIBLE,
        summary=f"Forged answers about {leg.host} ({', '.join(sorted({q.rtype for q in doubtful}))}) come in on the "
        "way here: even an address where no resolver is seems to answer. The page opened this time, by an answer that "
        "was true.",
        evidence=tuple(sorted({*(q.id for q in (*doubtful, *forged, *local)), *served.ids})),
    )


def _misleads(case: Case) -> tuple[Leg, Truth] | None:
    """The leg whose lookup gave public addresses that are not the site's, and the true answer."""
    leg = _leg(case)
    if leg is None or not leg.public(leg.local_addresses):
        return None
    known = leg.true_addresses
    truth = _truth(case, leg)
    return None if truth is None or set(leg.local_addresses) & known or not known else (leg, truth)


def _pages_there(leg: Leg, story: Reading) -> tuple[HttpExchange | None, HttpExchange | None]:
    """The pages at the address we were given, under the name and under a harmless one."""
    at = set(leg.local_addresses)
    mine = [f.page for f in leg.local_flows if f.page is not None and not leg.encrypted]
    mine += [p for p in story.follow_ups(HttpExchange, Purpose.OTHER_PORT) if p.address in at]
    theirs = [p for p in story.follow_ups(HttpExchange, Purpose.HARMLESS_AT_TARGET) if p.address in at]
    return (
        next((p for p in mine if p.status is not None), None),
        next((p for p in theirs if p.status is not None), None),
    )


def _invented(leg: Leg, story: Reading) -> tuple[int, ...]:
    """Show that the resolver gives the same address for a name that nobody can have asked before."""
    siblings = story.follow_ups(DnsLookup, Purpose.SIBLING_AT_RESOLVER)
    resolvers = {q.resolver for q in leg.lookups}
    ours = [q for q in siblings if q.resolver in resolvers and set(q.addresses) & set(leg.local_addresses)]
    others = [q for q in siblings if q.resolver not in resolvers and q.valid_replies]
    if not ours or not others or any(q.addresses for q in others):
        return ()  # where any label has an address, a far edge of the same service would look alike
    return tuple(q.id for q in (*ours, *others))


def blockpage(case: Case) -> Finding | None:
    """The lookup leads to a place that is not the site: a page that it shows for any name, or a made-up answer."""
    found = _misleads(case)
    if found is None:
        return None
    leg, truth = found
    page, harmless = _pages_there(leg, case.reading)
    invented = _invented(leg, case.reading)
    true_page = next((f.page for f in leg.flows if not f.local and f.page is not None), None)
    if true_page is None and leg.control is not None:
        true_page = leg.control.page
    if not leg.encrypted and page is not None and same_bytes(page, true_page):
        return None  # whoever lives there passes the true page on
    strange = page is not None and not (true_page is not None and same_page(page, true_page))
    any_name = (
        page is not None
        and strange
        and harmless is not None
        and identical(page, harmless)
        and speaks_of_blocking(page)
        and not speaks_of_hosting(page)
        and not vetoed(case, page)
    )
    by_ooni = case.measurement.source == "ooni" and strange
    known = behind_answers(case, leg, _local(leg), page)
    by_mark = known is not None and known.proves
    if not (invented or any_name or by_ooni or by_mark) or _honest_otherwise(case, leg) is None:
        return None
    if said_by_its_own(case.reading, leg):
        return None
    where, by = _where(case.reading)
    shown = page is not None and strange
    pages = tuple(p.id for p in (page, harmless) if p is not None)
    finding = Finding(
        rule="dns.blockpage",
        outcome=Outcome.BLOCKED,
        mechanism=Mechanism.DNS_BLOCKPAGE if shown or by_mark else Mechanism.DNS_REDIRECT,
        trigger=Trigger.NAME,
        where=where,
        confidence=_placed(where, _surer(case, known) or (_confidence(case, truth) if invented else Confidence.LIKELY)),
        proof=Proof.IMPOSSIBLE,
        summary=f"The lookup of {leg.host} leads to another address here"
        + (", which shows a page that is not the site's." if shown else ".")
        + (" The resolver gives the same address for made-up names under it." if invented else "")
        + _rest(case, truth),
        evidence=tuple(sorted({*(q.id for q in _local(leg)), *pages, *invented, *truth.evidence, *by})),
    )
    return signed(finding, known)


def timeout(case: Case) -> Finding | None:
    """Questions about this name get no answer from any resolver over plain DNS; harmless names do."""
    return _unanswered(case, Failure.TIMEOUT, Mechanism.DNS_TIMEOUT, "vanish on the way", "got no answer")


def servfail(case: Case) -> Finding | None:
    """Every resolver over plain DNS seems to fail for this name; harmless names are answered."""
    return _unanswered(case, Failure.DNS_SERVFAIL, Mechanism.DNS_SERVFAIL, "fail on the way", "came back as SERVFAIL")


def _unanswered(case: Case, failure: Failure, mechanism: Mechanism, how: str, what: str) -> Finding | None:
    """Accuse when the name fails in one way at unrelated resolvers, 3 + 3, while a resolver over HTTPS knows it."""
    leg = _leg(case)
    if leg is None or not all(q.failure is failure for q in _local(leg)):
        return None
    story = case.reading
    target = story.follow_ups(DnsLookup, Purpose.TARGET_AT_WITNESS)
    harmless = story.follow_ups(DnsLookup, Purpose.HARMLESS_AT_WITNESS)
    truth = _truth(case, leg)
    if truth is None or len(target) < ENOUGH or len(harmless) < ENOUGH:
        return None
    if not any(q.addresses for q in leg.trusted):
        return None  # where nobody can find the name from here, its own servers or signatures may be what fails
    if any(q.failure is not failure for q in target) or not all(_claims(q) for q in harmless):
        return None
    return Finding(
        rule=mechanism.value,
        outcome=Outcome.BLOCKED,
        mechanism=mechanism,
        trigger=Trigger.NAME,
        where=Where.NETWORK,
        confidence=Confidence.LIKELY,
        proof=Proof.ELSEWHERE,
        summary=f"Questions about {leg.host} {how}: {len(target)} of {len(target)} to unrelated resolvers {what}, "
        f"{len(harmless)} of {len(harmless)} about a harmless name were answered." + _rest(case, truth),
        evidence=tuple(sorted({*(q.id for q in _local(leg)), *(q.id for q in (*target, *harmless)), *truth.evidence})),
    )


def _claims(lookup: DnsLookup) -> bool:
    """Whether a resolver answered at all: that there is no such name is an answer too."""
    return bool(lookup.valid_replies) and lookup.failure is not Failure.DNS_SERVFAIL


def stale(case: Case) -> Finding | None:
    """The lookup gives an address that does not serve the site, which an old record would explain."""
    found = _misleads(case)
    if found is None:
        return None
    leg, truth = found
    return Finding(
        rule="dns.stale",
        outcome=Outcome.UNREACHABLE,
        where=Where.RESOLVER,
        reason="stale_dns",
        summary=f"The lookup of {leg.host} gives an address here that does not serve it. An old record would explain "
        "that as well as a false one.",
        evidence=tuple(sorted({*(q.id for q in _local(leg)), *truth.evidence})),
    )


def resolver(case: Case) -> Finding | None:
    """Our resolver fails for this name, which is not enough to accuse anybody."""
    leg = _leg(case)
    if leg is None or leg.local_addresses:
        return None
    truth = _truth(case, leg)
    if truth is None or all(q.failure in OURS for q in _local(leg)):
        return None
    asked = case.reading.follow_ups(DnsLookup, Purpose.HARMLESS_AT_RESOLVER)
    if asked and all(q.failure is not None for q in asked):
        return Finding(
            rule="dns.resolver",
            outcome=Outcome.INVALID,
            where=Where.RESOLVER,
            reason="resolver_dead",
            summary="The resolver here gives no address for harmless names either.",
            evidence=tuple(sorted(q.id for q in (*_local(leg), *asked))),
        )
    signed = [
        q
        for q in case.reading.follow_ups(DnsLookup, Purpose.CHECKING_DISABLED)
        if q.addresses and any(l.failure is Failure.DNS_SERVFAIL for l in _local(leg))  # noqa: E741
    ]
    words = ", ".join(sorted({q.failure.value for q in _local(leg) if q.failure}))
    return Finding(
        rule="dns.resolver",
        outcome=Outcome.UNREACHABLE,
        where=Where.RESOLVER,
        reason="dnssec" if signed else "site_or_network",
        summary=f"The resolver here gives no address for {leg.host} ({words}), which others do."
        + (" Without checking its signatures it would." if signed else " That alone is no proof of blocking."),
        evidence=tuple(sorted({*(q.id for q in (*_local(leg), *signed)), *truth.evidence})),
    )
