"""Whether a site opens over QUIC, and what keeps it from that.

The `quic` nettest is judged here, by silence: QUIC has no reset that a censor could forge without answering the
handshake itself. An accusation needs that the site offers QUIC and lives (`proofs.quic`), and one of: its name gets
silence at unrelated servers where an equally long harmless name is answered; or its packets die short of its
network where others go on. Home routers and companies often drop all QUIC, so what may be the volunteer's own
network is `local` or `unreachable`, never an accusation.

`web` is about what a browser would show, and browsers fall back to TCP: there QUIC is told of beside the verdict.
"""

from __future__ import annotations

from measurements.case import Case
from measurements.model import (
    OURS,
    Confidence,
    Failure,
    Finding,
    Mechanism,
    Outcome,
    Pattern,
    Purpose,
    QuicHandshake,
    Trigger,
    Where,
)
from measurements.proofs import Shown, fails_like, name_fails_elsewhere, repeated, tally
from measurements.proofs.quic import (
    alive,
    announced,
    answers_here,
    dies,
    greetings,
    offered,
    page_over,
    unanswered_by_quic,
    whose,
)
from measurements.reading import Leg, Reading

SILENT_WITNESSES = 3  # that must all be silent before QUIC as such is at issue


def accessible(case: Case) -> Finding | None:
    """The page came over QUIC under the site's own certificate."""
    if case.measurement.nettest != "quic":
        return None
    story = case.reading
    hands = _own(story)
    pages = [(h, page) for h in hands if h.failure is None and (page := page_over(story, h)) is not None]
    good = next(((h, p) for h, p in pages if p.failure is None and p.status is not None), None)
    if good is None:
        return None
    failed = [h for h in hands if h.failure is not None and h.failure not in OURS]
    lost = [h for h in failed if not (":" in h.address and h.failure is Failure.NETWORK_UNREACHABLE)]
    return Finding(
        rule="quic.accessible",
        outcome=Outcome.ACCESSIBLE,
        pattern=Pattern.PARTIAL if lost else None,
        summary=f"{story.target.host} opens over QUIC: the page came under its own certificate."
        + (f" {len(lost)} of {len(hands)} addresses did not answer." if lost else ""),
        evidence=tuple(sorted({good[0].id, good[1].id, *(h.id for h in lost)})),
    )


def _own(story: Reading) -> list[QuicHandshake]:
    """The handshakes with the addresses of our own lookup, or where it gave none, with those that others gave."""
    leg, hands = story.legs[0], greetings(story)
    own = [h for h in hands if h.address in leg.local_addresses]
    return own or hands


def _failing(case: Case) -> tuple[Leg, QuicHandshake] | None:
    """The first handshake that failed where none went well, in a measurement of QUIC."""
    if case.measurement.nettest != "quic":
        return None
    hands = _own(case.reading)
    failed = [h for h in hands if h.failure is not None and h.failure not in OURS]
    if not failed or any(h.failure is None for h in hands):
        return None
    return case.reading.legs[0], failed[0]


def _silent(hands: QuicHandshake) -> bool:
    return hands.failure is Failure.TIMEOUT and not hands.answered


def blocked(case: Case) -> Finding | None:
    """QUIC's packets for the site are swallowed on the way, for its name or before they reach its network."""
    found = _failing(case)
    if found is None or not _silent(found[1]):
        return None
    leg, hands = found
    story = case.reading
    living, offer = alive(leg, hands.address), offered(story, leg, hands.address)
    if not living or not offer:
        return None
    shown = _by_name(story, hands) or _by_place(case, hands)
    if shown is None:
        return None
    trigger, proof, where = shown
    return Finding(
        rule="quic.blocked",
        outcome=Outcome.BLOCKED,
        mechanism=Mechanism.QUIC_TIMEOUT,
        trigger=trigger,
        where=where,
        pattern=proof.pattern,
        confidence=Confidence.LIKELY,
        proof=proof.proof,
        summary=_words(leg, hands, trigger, proof, where),
        evidence=tuple(sorted({hands.id, *living, *offer, *proof.evidence, *_witnesses(story)})),
    )


def _by_name(story: Reading, hands: QuicHandshake) -> tuple[Trigger, Shown, Where] | None:
    """The name gets silence at unrelated servers, or its packets die where a harmless name's go on."""
    elsewhere = name_fails_elsewhere(story, fails_like(hands))
    at = dies(story, named=True)
    if elsewhere is not None:
        return Trigger.NAME, elsewhere, at.where if at is not None else elsewhere.where
    if at is not None and answers_here(story, hands.address) and repeated(story) is not False:
        return Trigger.NAME_AND_ADDRESS, at, at.where
    return None


def _by_place(case: Case, hands: QuicHandshake) -> tuple[Trigger, Shown, Where] | None:
    """All of QUIC's packets to the address die short of its network, whatever their name, and TCP's go on."""
    story = case.reading
    at = dies(story, named=False)
    beside = story.follow_ups(QuicHandshake, Purpose.HARMLESS_AT_TARGET)
    if at is None or any(h.answered for h in beside) or repeated(story) is False:
        return None
    tried = story.follow_ups(QuicHandshake, Purpose.HARMLESS_AT_WITNESS)
    told = tried or story.follow_ups(QuicHandshake, Purpose.WITNESS)
    if any(w.answered for w in told):
        return Trigger.ADDRESS, at, at.where
    where = whose(story, at, case.private)
    if where is None:
        return None
    return Trigger.PROTOCOL if len(told) >= SILENT_WITNESSES else Trigger.UNKNOWN, at, where


def _witnesses(story: Reading) -> tuple[int, ...]:
    return tuple(w.id for w in story.follow_ups(QuicHandshake, Purpose.WITNESS))


def _words(leg: Leg, hands: QuicHandshake, trigger: Trigger, proof: Shown, where: Where) -> str:
    if trigger is Trigger.NAME:
        text = f"QUIC handshakes that name {leg.host} get no answer{proof.words}."
    elif trigger is Trigger.NAME_AND_ADDRESS:
        text = f"QUIC packets that name {leg.host} die at hop {proof.hop}, those with a harmless name go on."
    else:
        who = "an address of the site, " if trigger is Trigger.ADDRESS else ""
        text = f"QUIC packets to {who}{hands.address} die at hop {proof.hop}, where those of TCP go on"
        text += "; unrelated servers do not answer handshakes either." if trigger is Trigger.PROTOCOL else "."
    if where is Where.LOCAL:
        text += " The first router, your own network's, does it."
    if where is Where.UNKNOWN:
        text += " That is beyond the second router; behind a container or a second router of yours it may be your own."
    return text + " The site offers QUIC and answers over TCP." if alive(leg, hands.address) else text


def unanswered(case: Case) -> Finding | None:
    """The site announces HTTP/3 and opens over TCP, but QUIC brought no page."""
    story = case.reading
    if case.measurement.nettest != "web" or story.troubled is not None:
        return None
    lost = unanswered_by_quic(story)
    if not lost:
        return None
    return Finding(
        rule="quic.unanswered",
        outcome=Outcome.UNREACHABLE,
        reason="quic",
        summary=f"{story.legs[-1].host} announces HTTP/3, but QUIC brought no page. A browser falls back to TCP, "
        "over which the site opened. The quic test asks why.",
        evidence=lost,
    )


def unsteady(case: Case) -> Finding | None:
    """QUIC failed and then worked, or worked at times: nothing can be said."""
    found = _failing(case)
    if found is None:
        return None
    leg, hands = found
    seen = tally(case.reading, fails_like(hands))
    again = case.reading.follow_ups(QuicHandshake, Purpose.REPETITION)
    works = repeated(case.reading) is False if _silent(hands) else any(h.ended for h in again)
    if not (seen.failed and seen.passed) and not works:
        return None
    return Finding(
        rule="quic.unsteady",
        outcome=Outcome.INCONCLUSIVE,
        reason="unsteady" if seen.failed and seen.passed else "intermittent",
        summary=f"QUIC to {leg.host} got no answer once and worked at other times, so nothing can be said yet.",
        evidence=tuple(sorted({hands.id, *seen.counted, *(h.id for h in again)})),
    )


def down(case: Case) -> Finding | None:
    """QUIC is not offered: the control gets no answer over it either."""
    found = _failing(case)
    control = found[0].control if found is not None else None
    if found is None or control is None or not control.greetings:
        return None
    leg, hands = found
    if any(h.failure is None for h in control.greetings) or answers_here(case.reading, hands.address):
        return None
    claims = announced(case.reading, leg)
    return Finding(
        rule="quic.down",
        outcome=Outcome.DOWN,
        reason="no_quic",
        summary=f"{leg.host} does not answer the control over QUIC either"
        + (", though it announces HTTP/3." if claims else ", and does not announce HTTP/3."),
        evidence=tuple(sorted({hands.id, control.query.id, *(h.id for h in control.greetings), *claims})),
    )


def unreachable(case: Case) -> Finding | None:
    """The site offers QUIC, which does not work from here; whether the site or the network does it is not settled."""
    if case.measurement.nettest != "quic":
        return None
    story = case.reading
    leg, hands = story.legs[0], _own(story)
    stood = [h for h in hands if h.failure is None]
    failed = [h for h in hands if h.failure is not None and h.failure not in OURS]
    if stood:
        pages = [p.id for h in stood if (p := page_over(story, h)) is not None and p.failure not in OURS]
        words = "Handshakes over QUIC work, but no page came over it"
        return _not_from_here(leg, words, (*(h.id for h in stood), *pages)) if pages else None
    if not failed:
        return None
    offer = offered(story, leg, failed[0].address)
    if not offer:
        return None
    every = list(story.follow_ups(QuicHandshake, Purpose.WITNESS))
    words = f"{leg.host} offers QUIC, which does not work from here ({failed[0].failure})"
    if len(every) >= SILENT_WITNESSES and not any(w.answered for w in every):
        words += ", and no other server answers over it either: your own router or network may not let it through"
    return _not_from_here(leg, words, (*(h.id for h in failed), *offer, *(w.id for w in every)))


def _not_from_here(leg: Leg, words: str, evidence: tuple[int, ...]) -> Finding:
    return Finding(
        rule="quic.unreachable",
        outcome=Outcome.UNREACHABLE,
        reason="site_or_network",
        summary=f"{words}. Nothing shows whether the site or the network does it.",
        evidence=tuple(sorted(set(evidence))),
    )


def unknown(case: Case) -> Finding | None:
    """QUIC got no answer, and nothing says that the site offers it."""
    found = _failing(case)
    if found is None:
        return None
    leg, hands = found
    return Finding(
        rule="quic.unknown",
        outcome=Outcome.INCONCLUSIVE,
        reason="no_control" if leg.control is None else "unproven",
        summary=f"{leg.host} did not open over QUIC here ({hands.failure}), and nothing says that it offers QUIC: it "
        "does not announce HTTP/3, and "
        + ("no control tried it." if leg.control is None else "the control says nothing about it."),
        evidence=(hands.id,),
    )
