"""Whether something on the way breaks, or answers, the handshake that carries a name."""

from __future__ import annotations

from measurements.artefacts import Artefact, in_certificate, on_page, place_of, signed
from measurements.case import Case
from measurements.model import (
    BAD_CERTIFICATE,
    Confidence,
    Failure,
    Finding,
    Hop,
    Mechanism,
    Outcome,
    Pattern,
    Proof,
    Purpose,
    TlsHandshake,
    Trigger,
    Where,
)
from measurements.proofs import (
    Shown,
    alive,
    another_signs,
    answered_for,
    doubted,
    fails_like,
    given_by_others,
    harmless_at_target,
    kind_of,
    lives,
    lives_beyond,
    name_fails_elsewhere,
    place,
    repeated,
    same_prefix,
)
from measurements.reading import Flow, Leg, Reading

MECHANISMS = {
    "reset": Mechanism.TLS_RESET,
    "timeout": Mechanism.TLS_TIMEOUT,
    "eof": Mechanism.TLS_EOF,
    "alert": Mechanism.TLS_ALERT,
}


def _failing(case: Case) -> tuple[Leg, Flow, TlsHandshake] | None:
    """The leg none of whose own addresses shook hands well, and the first handshake that failed."""
    leg = case.reading.troubled
    if leg is None or any(f.secure for f in leg.suspects):
        return None
    for flow in leg.suspects:
        if flow.tls is not None and flow.failed is flow.tls:
            return leg, flow, flow.tls
    return None


def blocked(case: Case) -> Finding | None:
    """Handshakes that carry the site's name are broken on the way; those that carry a harmless name are not."""
    found = _failing(case)
    if found is None:
        return None
    leg, flow, tls = found
    story = case.reading
    mechanism = MECHANISMS.get(kind_of(tls))
    living = lives(case, leg)
    if mechanism is None or living is None:
        return None
    if case.measurement.source == "ooni":
        return _by_ooni(leg, flow, mechanism)
    kind = kind_of(tls)
    named = name_fails_elsewhere(story, fails_like(tls))
    apart = kind != "alert" or _apart(story.follow_ups(TlsHandshake, Purpose.TARGET_AT_WITNESS))
    elsewhere = named if apart else None  # one company's servers refuse a name alike, wherever they stand
    residual = named is not None and named.pattern is Pattern.RESIDUAL
    at = place(story, Purpose.TRACE_NEIGHBOUR if residual else Purpose.TRACE_HARMLESS)
    shown = at if at is not None and (at.proof is Proof.IMPOSSIBLE or at.where is Where.LOCAL) else elsewhere or at
    if shown is None or (elsewhere is None and repeated(story) is False):
        return None
    beside = harmless_at_target(story)
    return Finding(
        rule="tls.blocked",
        outcome=Outcome.BLOCKED,
        mechanism=mechanism,
        trigger=Trigger.NAME if named else Trigger.NAME_AND_ADDRESS if beside else Trigger.UNKNOWN,
        where=at.where if at is not None else shown.where,
        pattern=elsewhere.pattern if elsewhere is not None else None,
        confidence=Confidence.CONFIRMED if shown.proof is Proof.IMPOSSIBLE and living.sure else Confidence.LIKELY,
        proof=shown.proof,
        summary=f"{_words(leg, tls, named, at)}{_other_hello(story)}. {living.words}",
        evidence=tuple(
            sorted({*flow.ids, *living.evidence, *shown.evidence, *(named.evidence if named else ()), *beside})
        ),
    )


def _apart(hands: list[TlsHandshake]) -> bool:
    """Whether servers stand in more than one network."""
    return any(not same_prefix(one.address, other.address) for one in hands for other in hands)


def _words(leg: Leg, tls: TlsHandshake, elsewhere: Shown | None, at: Shown | None) -> str:
    how = {
        "reset": "are cut by a reset",
        "timeout": "get no answer",
        "eof": "are hung up on",
        "alert": "are answered with a refusal",
    }[kind_of(tls)]
    if tls.failure is Failure.TIMEOUT and tls.received:
        how = f"are not completed in time ({tls.received} bytes came)"
    where = at.place if at is not None else ""
    return f"Handshakes that name {leg.host} {how}{elsewhere.words if elsewhere else ''}{where}"


def _other_hello(story: Reading) -> str:
    """Say that another shape of hello gets through, where it does."""
    through = [h for h in story.follow_ups(TlsHandshake, Purpose.OTHER_HELLO) if h.ended]
    return "; a hello that comes in two segments gets through" if through else ""


def _by_ooni(leg: Leg, flow: Flow, mechanism: Mechanism) -> Finding | None:
    """Accuse as OONI does: the test helper's handshake, or its page, went well."""
    control = leg.control
    if control is None or flow.tls is None or flow.tls.failure is Failure.SSL_FAILED_HANDSHAKE:
        return None
    hands = control.shook_hands(flow.tcp.address)
    if not control.reached and (hands is None or hands.failure is not None):
        return None
    return Finding(
        rule="tls.mitm" if mechanism is Mechanism.TLS_MITM else "tls.blocked",
        outcome=Outcome.BLOCKED,
        mechanism=mechanism,
        trigger=Trigger.UNKNOWN,
        where=Where.UNKNOWN,
        confidence=Confidence.LIKELY,
        summary=f"The handshake with {leg.host} fails here and not for OONI's test helper. The record holds no second "
        "proof, so this rests on less.",
        evidence=tuple(sorted({*flow.ids, control.query.id})),
    )


def mitm(case: Case) -> Finding | None:
    """Somebody else's certificate answers for the site: at an unrelated server too, or short of the site's network.

    Or it is a known blocker's certificate, or its page comes under it.
    """
    found = _failing(case)
    if found is None:
        return None
    leg, flow, tls = found
    story = case.reading
    control = leg.control
    if tls.failure is Failure.SSL_UNKNOWN_AUTHORITY and case.measurement.source == "ooni":
        hands = control.shook_hands(flow.tcp.address) if control is not None else None
        return _by_ooni(leg, flow, Mechanism.TLS_MITM) if hands is not None and hands.failure is None else None
    if tls.failure not in BAD_CERTIFICATE or tls.issuer is None:
        return None
    if control is not None and (hands := control.shook_hands(flow.tcp.address)) is not None and hands.failure:
        return None  # the control is shown a bad certificate too
    if control is not None and control.page is not None and control.page.failure in BAD_CERTIFICATE:
        return None
    forged = _same_hand(tls, story.follow_ups(TlsHandshake, Purpose.TARGET_AT_WITNESS))
    every = _same_hand(tls, story.follow_ups(TlsHandshake, Purpose.HARMLESS_AT_WITNESS))
    if every and any(h.failure is None for h in story.follow_ups(TlsHandshake, Purpose.WITNESS)):
        forged = every = []  # what software makes up for strangers: under its own name the witness is not answered so
    at = place(story, Purpose.TRACE_NEIGHBOUR)
    proven = alive(story, leg, beside=False)
    living = proven or (_relayed(leg) if forged and control is None else ())
    known = _artefact(case, leg, flow, tls)
    by_mark = known is not None and known.proves and given_by_others(leg, flow)
    if not living or not (forged or answered_for(story, leg, flow) or by_mark):
        return None
    beyond = [h for h in _first_hops(case) if h == "expired"]
    if every and not beyond and (at is None or at.where is not Where.NETWORK):
        return Finding(
            rule="tls.mitm",
            outcome=Outcome.INVALID,
            reason="private_issuer",
            where=Where.LOCAL,
            summary="Every name is answered with certificates of one private issuer, as an antivirus or a company's "
            "own proxy does. Through that, no site can be judged.",
            evidence=tuple(sorted({*flow.ids, *(h.id for h in every)})),
        )
    where = at.where if at is not None else Where.NETWORK if known is None else place_of(known, Where.NETWORK)
    unknown = tls.failure is Failure.SSL_UNKNOWN_AUTHORITY
    finding = Finding(
        rule="tls.mitm",
        outcome=Outcome.BLOCKED,
        mechanism=Mechanism.TLS_MITM,
        trigger=Trigger.ANY if every else Trigger.NAME if forged else _trigger_at(story, tls, traced=at is not None),
        where=where,
        confidence=Confidence.CONFIRMED if proven else Confidence.LIKELY,
        proof=Proof.IMPOSSIBLE,
        summary=f"{leg.host} is answered with "
        + ("another's certificate" if not unknown else "a certificate of an unknown issuer")
        + f" ({tls.issuer})"
        + (", and so is its name at unrelated servers" if forged else "")
        + (", and so are harmless names: all of it is read on the way" if every else "")
        + (f". It is answered at hop {at.hop}." if at is not None else "."),
        evidence=tuple(sorted({*flow.ids, *living, *(h.id for h in (*forged, *every)), *(at.evidence if at else ())})),
    )
    return signed(finding, known)


def _artefact(case: Case, leg: Leg, flow: Flow, tls: TlsHandshake) -> Artefact | None:
    """A known blocker's mark in the certificate, or on the page that came under it."""
    found = in_certificate(case, tls)
    return found if found is not None and found.proves else on_page(case, leg, (flow.page,)) or found


def _trigger_at(story: Reading, shown: TlsHandshake, *, traced: bool) -> Trigger:
    """What a forged certificate came for at the site's address alone."""
    beside = story.follow_ups(TlsHandshake, Purpose.HARMLESS_AT_TARGET)
    if traced or any(h.issuer == shown.issuer for h in beside):
        return Trigger.ADDRESS
    return Trigger.NAME_AND_ADDRESS if any(h.ended for h in beside) else Trigger.UNKNOWN


def impostor(case: Case) -> Finding | None:
    """A notice came under a certificate that is valid for the site, and unrelated servers show it for its name too."""
    found = doubted(case.reading)
    shown = another_signs(case.reading, found[1]) if found is not None else None
    living = lives_beyond(case, found[0]) if found is not None else None
    if found is None or shown is None or living is None:
        return None
    leg, flow, page = found
    issuer = flow.tls.issuer if flow.tls is not None else None
    hands = case.reading.follow_ups(TlsHandshake, Purpose.TARGET_AT_WITNESS)
    return Finding(
        rule="tls.impostor",
        outcome=Outcome.BLOCKED,
        mechanism=Mechanism.HTTP_BLOCKPAGE,
        trigger=Trigger.NAME,
        where=shown.where,
        confidence=Confidence.CONFIRMED if living.sure or _apart(hands) else Confidence.LIKELY,
        proof=shown.proof,
        summary=f"{leg.host} is answered with a notice (status {page.status}) under a certificate of {issuer} that is "
        f"valid for it, and {len(shown.evidence)} unrelated servers show that for its name too: somebody on the way, "
        f"whom this machine trusts, signs for it. {living.words}",
        evidence=tuple(sorted({*flow.ids, page.id, *shown.evidence, *living.evidence})),
    )


def _relayed(leg: Leg) -> tuple[int, ...]:
    """Show that whoever answers with the forged certificate brings a page: with no control, all that says it lives."""
    pages = [f.page for f in leg.local_flows if f.page is not None and f.page.status is not None]
    return tuple(page.id for page in pages if page.status is not None and page.status < 400)


def _same_hand(shown: TlsHandshake, others: list[TlsHandshake]) -> list[TlsHandshake]:
    """Which handshakes were answered by the same unknown issuer: a public one would be known, and prove nothing."""
    if shown.failure is not Failure.SSL_UNKNOWN_AUTHORITY:
        return []
    return [h for h in others if h.failure is Failure.SSL_UNKNOWN_AUTHORITY and h.issuer == shown.issuer]


def _first_hops(case: Case) -> list[str]:
    """What answered packets that could not leave the first hop."""
    return [h.answer for h in case.reading.follow_ups(Hop, Purpose.TRACE_TARGET) if h.ttl == 1]
