"""The two proofs, which every accusation needs, read off a measurement.

*Alive*: it works now for a control, or by another path of ours. *Between*: something on the way, and not
the site, did it. See law 3 of DESIGN and `docs/decisions`; each function says what it takes for proof.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Collection
from dataclasses import dataclass

from measurements.model import (
    DnsLookup,
    Failure,
    Hop,
    HttpExchange,
    Proof,
    Purpose,
    TcpConnect,
    TlsHandshake,
    Where,
)
from measurements.reading import Flow, Leg, Reading, hops

ANSWERED = ("reset", "data", "eof", "open", "unreachable")
PAIRS_NEEDED = 3


@dataclass(frozen=True)
class Shown:
    """A proof that was found: which, where, and on what observations it rests."""

    proof: Proof
    where: Where
    evidence: tuple[int, ...]
    hop: int | None = None


def alive(story: Reading, leg: Leg, *, beside: bool = True) -> tuple[int, ...]:
    """Show that the site works now: the observations that say so, or none.

    A control reached it (a page, or this address); or one of its addresses shows the name's certificate
    here; or, with `beside`, another name is answered at its address: where something on the way answers for
    the address itself, that would say nothing.
    """
    if control := leg.control:
        if control.reached and control.page is not None:
            return (control.query.id, control.page.id)
        for flow in leg.local_flows:
            if stood := control.connected(flow.tcp.address, flow.tcp.port):
                hands = control.shook_hands(flow.tcp.address)
                if not leg.encrypted or (hands is not None and hands.failure is None):
                    return (control.query.id, stood.id)
    first = story.control
    if first is not None and leg.control is None and first.reached and first.page is not None:
        return (first.query.id, first.page.id)
    if leg.authentic is not None:
        return leg.authentic.ids
    for flow in leg.flows:
        if not flow.local and not leg.encrypted and flow.page is not None and flow.page.status is not None:
            return flow.ids
    if not beside or (leg.lookups and not leg.known_addresses):
        return ()
    ours = {f.tcp.address for f in leg.suspects if given_by_others(leg, f)}  # where a lie leads, anything may answer
    return harmless_at_target(story, ours)


def harmless_at_target(story: Reading, addresses: Collection[str] | None = None) -> tuple[int, ...]:
    """Show that a harmless name is answered at the target's own address, or at one of `addresses`."""
    hands = [h for h in story.follow_ups(TlsHandshake, Purpose.HARMLESS_AT_TARGET) if h.ended]
    pages = [p for p in story.follow_ups(HttpExchange, Purpose.HARMLESS_AT_TARGET) if p.status is not None]
    answered: list[TlsHandshake | HttpExchange] = [*hands, *pages]
    return tuple(o.id for o in answered if addresses is None or o.address in addresses)


def given_by_others(leg: Leg, flow: Flow) -> bool:
    """Whether another view gave the same address, so that it is the site's."""
    return not leg.known_addresses or not leg.lookups or flow.tcp.address in leg.known_addresses


def answered_for(story: Reading, leg: Leg, flow: Flow) -> Shown | None:
    """Show that something short of the site's network answers connections to its address."""
    at = place(story, Purpose.TRACE_NEIGHBOUR)
    return at if at is not None and at.proof is Proof.IMPOSSIBLE and given_by_others(leg, flow) else None


def name_fails_elsewhere(
    story: Reading, bad: Callable[[TcpConnect | TlsHandshake | HttpExchange], bool]
) -> Shown | None:
    """Show that the name fails at unrelated servers where a harmless one works: 3 + 3, interleaved, all alike.

    `bad` says whether the last step tried with the name failed in the way that is at issue.
    """
    targets = _outcomes(story, Purpose.TARGET_AT_WITNESS)
    harmless = _outcomes(story, Purpose.HARMLESS_AT_WITNESS)
    witnesses = {_address(t) for t in targets}
    beside = [h for h in harmless if _address(h) in witnesses or not _unfit(h)]
    if len(targets) < PAIRS_NEEDED or len(beside) < PAIRS_NEEDED:
        return None
    if not all(bad(t) for t in targets) or any(bad(h) or not _worked(h) for h in beside):
        return None
    return Shown(Proof.ELSEWHERE, Where.NETWORK, tuple(sorted(o.id for o in (*targets, *beside))))


def _unfit(step: TcpConnect | TlsHandshake | HttpExchange) -> bool:
    """Whether a server is no witness: it is not there, or takes no name but its own."""
    return isinstance(step, TcpConnect) or step.failure is Failure.SSL_FAILED_HANDSHAKE


def _address(step: TcpConnect | TlsHandshake | HttpExchange) -> str:
    return step.address


def _worked(step: TcpConnect | TlsHandshake | HttpExchange) -> bool:
    return step.ended if isinstance(step, TlsHandshake) else step.failure is None


def _outcomes(story: Reading, purpose: Purpose) -> list[TcpConnect | TlsHandshake | HttpExchange]:
    """The last step of each try that was made for a purpose."""
    steps: list[TcpConnect | TlsHandshake | HttpExchange] = [
        *story.follow_ups(TcpConnect, purpose),
        *story.follow_ups(TlsHandshake, purpose),
        *story.follow_ups(HttpExchange, purpose),
    ]
    causes = {step.cause for step in steps}
    return sorted((step for step in steps if step.id not in causes), key=lambda step: step.id)


def place(story: Reading, beside: Purpose) -> Shown | None:
    """Show where on the path the target's packets are answered or die, short of its network.

    The packets that carry the name, and those of `beside` (a harmless name, or a neighbour), went the same
    way. At the distance where the target's get a reset, an answer, or none any more, the others still
    meet a router that is on its way, and the way to an unrelated site passes the same router. So it is not
    in the site's network; where the unrelated site is of one prefix with it, only if another router stands
    between. At the first hop it is the volunteer's own.
    """
    syn = beside is Purpose.TRACE_NEIGHBOUR
    sent = [h for h in story.follow_ups(Hop, Purpose.TRACE_TARGET) if (h.probe == "syn") is syn]
    ours = hops(sent)
    theirs = hops(story.follow_ups(Hop, beside))
    witness = hops(story.follow_ups(Hop, Purpose.TRACE_WITNESS))
    path = hops(story.follow_ups(Hop, Purpose.TRACE_PATH))

    def lasts(step: Hop) -> bool:
        """Whether every packet that went so far met the same, and more than one did."""
        met = [h.answer for h in sent if h.ttl == step.ttl]
        return len(met) > 1 and set(met) == {step.answer}

    def on_its_way(hop: Hop) -> bool:
        """Whether a packet met a router at that distance that also carries traffic to an unrelated site."""
        if hop.answer != "expired" or hop.ttl == 1:
            return hop.answer == "expired"
        named = path.get(hop.ttl, hop) if hop.router is None else hop
        same = witness.get(hop.ttl)
        if same is None or same.answer != "expired" or same.router is None or named.answer != "expired":
            return False
        beyond = theirs.get(hop.ttl + 1)
        apart = not same_prefix(same.address, hop.address) or (beyond is not None and beyond.answer == "expired")
        return named.router == same.router and apart

    answered = next((h for _, h in sorted(ours.items()) if h.answer in ANSWERED), None)
    if answered is not None:
        other = theirs.get(answered.ttl)
        if other is None or not on_its_way(other) or not lasts(answered):
            return None
        where = Where.LOCAL if answered.ttl == 1 else Where.NETWORK
        proof = Proof.SHORT if answered.answer == "unreachable" else Proof.IMPOSSIBLE
        return Shown(proof, where, _evidence(answered, other, witness), answered.ttl)
    last = max((t for t, h in ours.items() if h.answer == "expired"), default=0)
    gone = [h for t, h in sorted(ours.items()) if h.answer == "silence" and t > last]
    seen = [(h, theirs[h.ttl]) for h in gone if h.ttl in theirs and lasts(h) and on_its_way(theirs[h.ttl])]
    if len(gone) < 2 or not seen:
        return None
    step, other = seen[0]
    where = Where.LOCAL if step.ttl == 1 else Where.NETWORK
    return Shown(Proof.SHORT, where, _evidence(step, other, witness), step.ttl)


def same_prefix(one: str, other: str) -> bool:
    """Whether two addresses lie in the smallest prefix that networks announce: one /24, or one /48."""
    try:
        here, there = ipaddress.ip_address(one), ipaddress.ip_address(other)
    except ValueError:  # a record from elsewhere may name anything
        return False
    return there in ipaddress.ip_network((here, 24 if here.version == 4 else 48), strict=False)


def _evidence(step: Hop, other: Hop, witness: dict[int, Hop]) -> tuple[int, ...]:
    same = witness.get(step.ttl)
    return tuple(sorted({step.id, other.id} | ({same.id} if same else set())))


def kind_of(step: TcpConnect | TlsHandshake | HttpExchange) -> str:
    """Name how a step failed: reset, timeout, eof, alert, unreachable, or other."""
    match step.failure:
        case Failure.CONNECTION_RESET | Failure.CONNECTION_REFUSED | Failure.CONNECTION_ABORTED:
            return "reset"
        case Failure.TIMEOUT:
            return "timeout"
        case Failure.EOF:
            return "eof"
        case Failure.SSL_FAILED_HANDSHAKE:
            return "alert"
        case Failure.HOST_UNREACHABLE | Failure.NETWORK_UNREACHABLE | Failure.NETWORK_DOWN:
            return "unreachable"
        case _:
            return "other"


def repeated(story: Reading) -> bool | None:
    """Say whether the repetition failed too; None when there was none."""
    tries = _outcomes(story, Purpose.REPETITION)
    if tries:
        return not _worked(tries[-1])
    lookups = story.follow_ups(DnsLookup, Purpose.REPETITION)
    return lookups[-1].failure is not None if lookups else None
