"""Whether something on the way answers, or breaks, a request that carries a name in clear."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import urlsplit

from measurements.artefacts import BLOCKERS, on_page, place_of, signed
from measurements.case import Case
from measurements.model import (
    Confidence,
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
from measurements.pages import asks_to_pay
from measurements.proofs import (
    Shown,
    Step,
    answered_for,
    fails_like,
    given_by_others,
    harmless_at_target,
    kind_of,
    lives,
    name_fails_elsewhere,
    outcomes,
    place,
    repeated,
)
from measurements.reading import REFUSALS, Flow, Leg, Reading, identical, is_address, same_bytes, same_page

MECHANISMS = {"reset": Mechanism.HTTP_RESET, "timeout": Mechanism.HTTP_TIMEOUT, "eof": Mechanism.HTTP_EOF}


def _failing(case: Case) -> tuple[Leg, Flow, HttpExchange] | None:
    """The leg that brought no page over connections that stood, and the first exchange that failed."""
    leg = case.reading.troubled
    if leg is None or leg.served is not None:
        return None
    for flow in leg.suspects:
        if flow.page is not None and flow.failed is flow.page and (flow.secure or not leg.encrypted):
            return leg, flow, flow.page
    return None


def blocked(case: Case) -> Finding | None:
    """Requests that carry the site's name are broken on the way; those that carry a harmless name are not."""
    found = _failing(case)
    if found is None:
        return None
    leg, flow, page = found
    story = case.reading
    mechanism = MECHANISMS.get(kind_of(page))
    living = lives(case, leg)
    if mechanism is None or living is None:
        return None
    if case.measurement.source == "ooni":
        return _by_ooni(leg, flow, page, mechanism)
    elsewhere = name_fails_elsewhere(story, fails_like(page))
    residual = elsewhere is not None and elsewhere.pattern is Pattern.RESIDUAL
    at = place(story, Purpose.TRACE_NEIGHBOUR if residual else Purpose.TRACE_HARMLESS)
    shown = at if at is not None and (at.proof is Proof.IMPOSSIBLE or at.where is Where.LOCAL) else elsewhere or at
    if shown is None or (elsewhere is None and repeated(story) is False):
        return None
    by_path = _by_path(story, fails_like(page))
    how = {"reset": "cut by a reset", "timeout": "left without an answer", "eof": "hung up on"}[kind_of(page)]
    if page.failure is Failure.TIMEOUT and page.wire_bytes:
        how = f"not answered in full in time ({page.wire_bytes} bytes came)"
    return Finding(
        rule="http.blocked",
        outcome=Outcome.BLOCKED,
        mechanism=mechanism,
        trigger=Trigger.UNKNOWN if by_path else _trigger(elsewhere, harmless_at_target(story)),
        where=at.where if at is not None else shown.where,
        pattern=elsewhere.pattern if elsewhere is not None else None,
        confidence=Confidence.CONFIRMED if shown.proof is Proof.IMPOSSIBLE and living.sure else Confidence.LIKELY,
        proof=shown.proof,
        summary=f"{_requests(leg, by_path)} are {how}{_place_words(elsewhere, at)} {living.words}",
        evidence=tuple(
            sorted({*flow.ids, *living.evidence, *shown.evidence, *(elsewhere.evidence if elsewhere else ()), *by_path})
        ),
    )


def _by_path(story: Reading, alike: Callable[[Step], bool]) -> tuple[int, ...]:
    """Show that a harmless name meets the same at a witness when it asks for the target's own path."""
    tries = outcomes(story, Purpose.SAME_PATH_AT_WITNESS)
    return tuple(step.id for step in tries if alike(step))


def _requests(leg: Leg, by_path: tuple[int, ...]) -> str:
    return f"Requests for {urlsplit(leg.url).path}, under any name," if by_path else f"Requests that name {leg.host}"


def _trigger(elsewhere: Shown | None, beside: tuple[int, ...]) -> Trigger:
    return Trigger.NAME if elsewhere else Trigger.NAME_AND_ADDRESS if beside else Trigger.UNKNOWN


def _place_words(elsewhere: Shown | None, at: Shown | None) -> str:
    return f"{elsewhere.words if elsewhere else ''}{at.place if at else ''}."


def _by_ooni(leg: Leg, flow: Flow, page: HttpExchange, mechanism: Mechanism) -> Finding | None:
    """Accuse as OONI does: the test helper got a page."""
    control = leg.control or None
    if control is None or not control.reached:
        return None
    return Finding(
        rule="http.blocked",
        outcome=Outcome.BLOCKED,
        mechanism=mechanism,
        trigger=Trigger.UNKNOWN,
        where=Where.UNKNOWN,
        confidence=Confidence.LIKELY,
        summary=f"The request to {leg.host} fails here and not for OONI's test helper. The record holds no second "
        "proof, so this rests on less.",
        evidence=tuple(sorted({*flow.ids, control.query.id})),
    )


def _shown_in_clear(case: Case) -> tuple[Leg, Flow, HttpExchange] | None:
    """The leg whose page came in clear and is in doubt."""
    leg = case.reading.troubled
    if leg is None or leg.encrypted or leg.served is None or leg.served.page is None:
        return None
    return leg, leg.served, leg.served.page


def blockpage(case: Case) -> Finding | None:
    """The same strange answer comes for the site's name from unrelated servers, or from short of its network.

    Or it is a known blocker's page, which the control is not shown.
    """
    found = _shown_in_clear(case)
    if found is None:
        return None
    leg, flow, page = found
    story = case.reading
    known = on_page(case, leg, (page, _led_to(case, page)))

    def alike(step: Step) -> bool:
        return isinstance(step, HttpExchange) and _alike(case, step, page)

    # servers of one make may refuse a path in one page, wherever they stand
    elsewhere = None if _by_path(story, alike) else name_fails_elsewhere(story, alike)
    at = place(story, Purpose.TRACE_HARMLESS)
    shown = at if at is not None and (at.proof is Proof.IMPOSSIBLE or at.where is Where.LOCAL) else elsewhere
    trigger = _trigger(elsewhere, harmless_at_target(story))
    if shown is None:
        shown = at = answered_for(story, leg, flow)
        trigger = Trigger.ADDRESS
    sure = Confidence.CONFIRMED
    if shown is None and known is not None and known.proves and given_by_others(leg, flow):
        shown, trigger = Shown(Proof.IMPOSSIBLE, Where.NETWORK, known.evidence), _trigger_beside(case, page)
        sure = Confidence.CONFIRMED if known.compared else Confidence.LIKELY
    living = lives(case, leg, beside=trigger is not Trigger.ADDRESS)
    if shown is None or living is None:
        return None
    redirect = page.redirect is not None
    what = f"a redirect to {page.redirect}" if redirect else "a page that is not the site's"
    where = at.where if at is not None else shown.where if known is None else place_of(known, shown.where)
    finding = Finding(
        rule="http.blockpage",
        outcome=Outcome.BLOCKED,
        mechanism=_notice(page),
        trigger=trigger,
        where=where,
        pattern=elsewhere.pattern if elsewhere is not None and elsewhere.pattern else _again(case, page),
        confidence=sure if living.sure else Confidence.LIKELY,
        proof=Proof.IMPOSSIBLE,
        summary=("Requests to the address of" if trigger is Trigger.ADDRESS else "Requests that name")
        + f" {leg.host} are answered with {what}{_place_words(elsewhere, at)}",
        evidence=tuple(
            sorted({*flow.ids, *living.evidence, *shown.evidence, *(elsewhere.evidence if elsewhere else ())})
        ),
    )
    return signed(finding, known)


def _again(case: Case, page: HttpExchange) -> Pattern | None:
    """Say `always` of what came again after a pause."""
    tries = outcomes(case.reading, Purpose.REPETITION)[-1:]
    return Pattern.ALWAYS if any(isinstance(t, HttpExchange) and _alike(case, t, page) for t in tries) else None


def _notice(page: HttpExchange) -> Mechanism:
    """Name what came in the site's place: a page, a way to one, or a way to where one pays or signs in first."""
    if asks_to_pay(page):
        return Mechanism.HTTP_PORTAL
    return Mechanism.HTTP_REDIRECT if page.redirect is not None else Mechanism.HTTP_BLOCKPAGE


def _led_to(case: Case, page: HttpExchange) -> HttpExchange | None:
    """The page that a redirect in doubt leads to."""
    return case.reading.final if page.redirect is not None else None


def _alike(case: Case, one: HttpExchange, other: HttpExchange) -> bool:
    """Whether two exchanges brought one answer, or two that bear the same known blocker's mark."""
    marks = {row for row in case.recognised(other) if row.scope in BLOCKERS}
    return identical(one, other) or bool(marks & {*case.recognised(one)})


def _trigger_beside(case: Case, page: HttpExchange) -> Trigger:
    """What a known page came for, by what a harmless name got at the same address."""
    beside = [p for p in case.reading.follow_ups(HttpExchange, Purpose.HARMLESS_AT_TARGET) if p.status is not None]
    if not beside:
        return Trigger.UNKNOWN
    return Trigger.ADDRESS if any(_alike(case, p, page) for p in beside) else Trigger.NAME_AND_ADDRESS


def in_clear(case: Case) -> Finding | None:
    """A page came in clear, and nothing on the way answers in the site's name."""
    found = _shown_in_clear(case)
    if found is None:
        return None
    leg, flow, page = found
    story = case.reading
    hint = on_page(case, leg, (page, _led_to(case, page)))
    if case.measurement.source == "ooni":
        return signed(_in_clear_by_ooni(case, leg, flow, page), hint)
    tries = story.follow_ups(HttpExchange, Purpose.TARGET_AT_WITNESS)
    theirs = [t for t in tries if t.status is not None]
    known = {*leg.trusted_addresses, *(leg.control.query.resolved if leg.control else ())}
    given = flow.tcp.address in known or is_address(leg.host)
    if not given and _another_lives_there(leg, page):
        return None  # the lookup led astray: see `dns.stale`
    agreed = given or _passed_on(leg, page)
    ours = answered_for(story, leg, flow) is None
    checked = bool(theirs) and agreed and ours and not any(identical(t, page) for t in theirs)
    evidence = tuple(sorted({*flow.ids, *(t.id for t in theirs)}))
    control = story.control
    differs = control is not None and control.reached
    # a page that looks like a blocker's is neither the site's nor a blocker's while there is nothing to compare
    doubted = hint is not None and hint.fingerprint.scope in BLOCKERS
    if checked and page.status in REFUSALS and not doubted:
        return Finding(
            rule="http.in_clear",
            outcome=Outcome.SERVER_SIDE,
            reason="refused",
            summary=f"{leg.host} itself answers with status {page.status}; nothing on the way answers in its name.",
            evidence=evidence,
        )
    if checked and _without_end(case):
        return Finding(
            rule="http.in_clear",
            outcome=Outcome.SERVER_SIDE,
            reason="redirects",
            summary=f"{leg.host} itself sends us from one address to the next without end; nothing on the way answers "
            "in its name.",
            evidence=evidence,
        )
    if checked and not differs and not doubted and story.final is not None:
        return Finding(
            rule="http.in_clear",
            outcome=Outcome.ACCESSIBLE,
            summary=f"{leg.host} opens. The page comes in clear "
            + (
                "from the address that trusted resolvers give too"
                if given
                else "as it does from the address that trusted resolvers give"
            )
            + ", and nothing on the way answers in its name.",
            evidence=evidence,
        )
    finding = Finding(
        rule="http.in_clear",
        outcome=Outcome.INCONCLUSIVE,
        reason="http_diff" if differs else "no_control",
        summary=f"{leg.host} answers in clear, "
        + ("with another page than the control sees." if differs else "and there is no control to compare with.")
        + " That alone says nothing about who made the page.",
        evidence=evidence,
    )
    return signed(finding, hint)


def _at_others_addresses(leg: Leg) -> list[HttpExchange]:
    """The pages that came from addresses that others gave."""
    return [f.page for f in leg.flows if not f.local and given_by_others(leg, f) and f.page is not None]


def _passed_on(leg: Leg, page: HttpExchange) -> bool:
    """Whether the very page comes from an address that others gave, as where a proxy passes it on."""
    return any(same_bytes(page, other) for other in _at_others_addresses(leg))


def _another_lives_there(leg: Leg, page: HttpExchange) -> bool:
    """Whether another page comes from the addresses that others gave."""
    theirs = [other for other in _at_others_addresses(leg) if other.status is not None]
    return bool(theirs) and not any(same_page(page, other) for other in theirs)


def _without_end(case: Case) -> bool:
    """Whether the chain stopped at a redirect that we did not follow."""
    final = case.reading.final
    return final is not None and final.redirect is not None


def _in_clear_by_ooni(case: Case, leg: Leg, flow: Flow, page: HttpExchange) -> Finding:
    """Say of a page in OONI's record that differs from the test helper's what that alone allows."""
    control = case.reading.control
    differs = control is not None and control.reached
    return Finding(
        rule="http.in_clear",
        outcome=Outcome.UNREACHABLE if differs else Outcome.INCONCLUSIVE,
        mechanism=None,
        reason="http_diff" if differs else "no_control",
        summary=f"{leg.host} answers in clear"
        + (" with another page than OONI's test helper got." if differs else ", and the test helper did not answer.")
        + " That alone says nothing about who made the page.",
        evidence=flow.ids,
    )
