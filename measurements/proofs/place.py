"""Where is it? The distance at which the target's packets are answered or die, and others' go on.

Packets with a rising IP TTL, those of the target beside those that should pass, show whether what happens to
them happens short of the site's network.
"""

from __future__ import annotations

from measurements.model import Hop, Proof, Purpose, Where
from measurements.proofs.living import given_by_others
from measurements.proofs.steps import Shown, same_prefix
from measurements.reading import Flow, Leg, Reading, hops

ANSWERED = ("reset", "data", "eof", "open", "unreachable")


def answered_for(story: Reading, leg: Leg, flow: Flow) -> Shown | None:
    """Show that something short of the site's network answers connections to its address."""
    at = place(story, Purpose.TRACE_NEIGHBOUR)
    return at if at is not None and at.proof is Proof.IMPOSSIBLE and given_by_others(leg, flow) else None


def place(story: Reading, beside: Purpose) -> Shown | None:
    """Show where on the path the target's packets are answered or die, short of its network.

    The packets that carry the name, and those of `beside` (a harmless name, or a neighbour), went the same
    way. At the distance where the target's get a reset, an answer, or none any more, the others still
    meet a router that is on its way, and the way to an unrelated site passes the same router. So it is not
    in the site's network; where the unrelated site is of one prefix with it, only if another router stands
    between. At the first hop it is the volunteer's own.
    """
    syn = beside is Purpose.TRACE_NEIGHBOUR
    sent = [h for h in _hops(story, Purpose.TRACE_TARGET) if (h.probe == "syn") is syn]
    ours = hops(sent)
    theirs = hops(_hops(story, beside))
    witness = hops(_hops(story, Purpose.TRACE_WITNESS))
    path = hops(_hops(story, Purpose.TRACE_PATH))

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


def _hops(story: Reading, purpose: Purpose) -> list[Hop]:
    """The packets that were sent; where the connection for one did not stand, its silence says nothing."""
    return [hop for hop in story.follow_ups(Hop, purpose) if hop.failure is None]


def _evidence(step: Hop, other: Hop, witness: dict[int, Hop]) -> tuple[int, ...]:
    same = witness.get(step.ttl)
    return tuple(sorted({step.id, other.id} | ({same.id} if same else set())))
