"""What the site itself does: it serves, refuses, is down; or it works elsewhere and not from here."""

from __future__ import annotations

from measurements.artefacts import Artefact, on_page, signed
from measurements.case import Case
from measurements.model import (
    BAD_CERTIFICATE,
    OURS,
    DnsLookup,
    Failure,
    Finding,
    HttpExchange,
    Outcome,
    Pattern,
    TcpConnect,
    TlsHandshake,
    View,
)
from measurements.proofs import alive, given_by_others
from measurements.proofs.quic import unanswered_by_quic
from measurements.reading import REFUSALS, Control, Flow, Leg, Reading, is_address

NOT_DOWN = frozenset(
    {
        None,
        *OURS,
        Failure.UNKNOWN,  # such as a redirect that a control does not follow
        Failure.HTTP_INVALID_REDIRECT,
        Failure.NETWORK_UNREACHABLE,  # the control's own want of IPv6
        Failure.ADDRESS_FAMILY_NOT_SUPPORTED,
    }
)
"""What a control says of a page that does not mean that the site is down."""
CUT = frozenset({Failure.CONNECTION_RESET, Failure.CONNECTION_ABORTED, Failure.EOF})
NONSENSE = frozenset({Failure.HTTP_INVALID_REDIRECT, Failure.HTTP_INVALID_RESPONSE})


def accessible(case: Case) -> Finding | None:
    """The page came under the site's own certificate, or as the control sees it."""
    story = case.reading
    if case.measurement.nettest != "web" or story.troubled is not None:
        return None
    leg, page = story.legs[-1], story.final
    if page is None or page.status in REFUSALS or page.redirect is not None or _own_notice(case) is not None:
        return None
    served = [f for every in story.legs for f in [every.served] if f is not None]
    partial = _partly(leg)
    how = "under its own certificate" if leg.encrypted else "as the control sees it"
    control = story.control
    by = (control.query.id,) if not leg.encrypted and control is not None else ()
    return Finding(
        rule="site.accessible",
        outcome=Outcome.ACCESSIBLE,
        pattern=Pattern.PARTIAL if partial else None,
        summary=f"{story.target.host} opens: the page came {how}."
        + (f" {len(partial)} of {len(leg.local_flows)} addresses did not answer." if partial else "")
        + (" It announces HTTP/3, but QUIC brought no page." if unanswered_by_quic(story) else ""),
        evidence=tuple(sorted({i for f in (*served, *partial) for i in f.ids} | set(by))),
    )


def _partly(leg: Leg) -> list[Flow]:
    """The flows to our own lookup's addresses that failed, IPv6 without a route aside."""
    return [
        f
        for f in leg.local_flows
        if f.failed is not None and not (":" in f.tcp.address and f.tcp.failure is Failure.NETWORK_UNREACHABLE)
    ]


def resolves(case: Case) -> Finding | None:
    """The lookup gives an address that shows the name's own certificate, or that trusted resolvers give too."""
    if case.measurement.nettest != "dns":
        return None
    leg = case.reading.legs[0]
    good = next((f for f in leg.local_flows if f.secure), None)
    agreed = set(leg.local_addresses) & set(leg.trusted_addresses)
    if good is None and not agreed:
        return None
    lookups = {q.id for q in (*leg.lookups, *leg.trusted) if q.addresses}
    return Finding(
        rule="site.resolves",
        outcome=Outcome.ACCESSIBLE,
        summary=f"The lookup of {leg.host} gives "
        + ("an address with its own certificate." if good else "an address that trusted resolvers give too."),
        evidence=tuple(sorted(lookups | set(good.ids if good else ()))),
    )


def connects(case: Case) -> Finding | None:
    """A connection to an address of the name stood."""
    if case.measurement.nettest != "tcp":
        return None
    leg = case.reading.legs[0]
    stood = [f for f in leg.local_flows if f.tcp.failure is None]
    agreed = not leg.trusted_addresses or {f.tcp.address for f in stood} & set(leg.trusted_addresses)
    if not stood or not agreed:
        return None
    return Finding(
        rule="site.connects",
        outcome=Outcome.ACCESSIBLE,
        pattern=Pattern.PARTIAL if _partly(leg) else None,
        summary=f"Connections to {leg.host} on port {leg.port} can be made.",
        evidence=tuple(i for f in stood for i in f.ids),
    )


def refuses(case: Case) -> Finding | None:
    """The site itself answers, and refuses or leads nowhere."""
    story = case.reading
    page = story.final
    if (nonsense := _own_nonsense(story)) is not None:
        return nonsense
    if story.troubled is not None or page is None:
        return None
    notice = _own_notice(case)
    if page.redirect is not None:
        reason, words = "redirects", "sends us from one address to the next without end or to where no browser goes"
    elif page.status in REFUSALS:
        reason, words = "refused", f"answers with status {page.status}"
    elif notice is not None:
        reason, words = "notice", "shows a notice here instead of its page, and the control gets another"
    else:
        return None
    finding = Finding(
        rule="site.refuses",
        outcome=Outcome.SERVER_SIDE,
        reason=reason,
        summary=f"{story.legs[-1].host} itself {words}. It was reached under its own certificate."
        if story.legs[-1].encrypted
        else f"{story.legs[-1].host} itself {words}, for the control as well.",
        evidence=(page.id,),
    )
    return signed(finding, notice)


def _own_nonsense(story: Reading) -> Finding | None:
    """An answer under the site's own certificate that no browser could use: nobody on the way can have made it."""
    leg = story.troubled
    if leg is None or leg.served is not None:
        return None
    pages = [f.page for f in leg.local_flows if f.secure and f.page is not None]
    page = next((page for page in pages if page.failure in NONSENSE), None)
    if page is None:
        return None
    astray = page.failure is Failure.HTTP_INVALID_REDIRECT
    words = "sends us to where no browser goes" if astray else "answers with what no browser could use"
    return Finding(
        rule="site.refuses",
        outcome=Outcome.SERVER_SIDE,
        reason="redirects" if astray else "invalid_response",
        summary=f"{leg.host} itself {words}. It was reached under its own certificate.",
        evidence=(page.id,),
    )


def _own_notice(case: Case) -> Artefact | None:
    """A block page that comes under the site's own certificate and not to the control: the site was told to show it."""
    leg, page = case.reading.legs[-1], case.reading.final
    control = leg.control or case.reading.control
    if not leg.encrypted or page is None or control is None or not control.reached:
        return None
    found = on_page(case, leg, (page,))
    return found if found is not None and found.proves and found.compared else None


def certificate(case: Case) -> Finding | None:
    """The site's own certificate is bad: expired, or bad for the control too."""
    leg = case.reading.troubled
    if leg is None or any(f.secure for f in leg.local_flows):
        return None
    own = [
        f for f in leg.local_flows if given_by_others(leg, f)
    ]  # a lie of the resolver's leads to others' certificates
    shown = next((f.tls for f in own if f.tls is not None and f.tls.failure in BAD_CERTIFICATE), None)
    if shown is None:
        return None
    by: tuple[int, ...] = ()
    if leg.control is not None:
        theirs = leg.control.shook_hands(shown.address)
        page = leg.control.page
        if theirs is not None and theirs.failure in BAD_CERTIFICATE:
            by = (leg.control.query.id, theirs.id)
        elif page is not None and page.failure in BAD_CERTIFICATE:
            by = (leg.control.query.id, page.id)
    if not by and not _expired(shown):
        return None
    return Finding(
        rule="site.certificate",
        outcome=Outcome.SERVER_SIDE,
        reason="certificate",
        summary=f"{leg.host} shows a bad certificate ({shown.certificate_error})"
        + (", to the control as well." if by else ", though one that a trusted authority signed for it."),
        evidence=(shown.id, *by),
    )


def _expired(shown: TlsHandshake) -> bool:
    """Whether time is all that is wrong: OpenSSL says so only of a chain that leads to a trusted root."""
    return shown.failure is Failure.SSL_INVALID_CERTIFICATE and "expired" in (shown.certificate_error or "")


def down(case: Case) -> Finding | None:
    """It fails for the control too, which came no further with it than we did."""
    leg = case.reading.troubled
    if leg is None or leg.control is None or leg.served is not None:
        return None
    tried = bool(leg.local_flows) or any(q.failure for q in leg.lookups)
    if not tried or not _fails_there(leg, leg.control):
        return None
    return _down(leg, f"{leg.host} does not answer the control either: it is down.", (leg.control.query.id,))


def _fails_there(leg: Leg, control: Control) -> bool:
    """Whether the control met a failure of the site's: as early as we did, or the same one."""
    steps = control.handshakes if leg.encrypted else control.connects
    hung_up = control.page is not None and control.page.failure not in NOT_DOWN
    refused = bool(control.handshakes) and all(h.failure not in NOT_DOWN for h in control.handshakes)
    if control.reached or not (hung_up or refused):
        return False
    if not any(step.failure is None for step in steps) and not any(f.secure for f in leg.flows):
        return True
    pages = [f.page for f in leg.local_flows if f.page is not None and (f.secure or not leg.encrypted)]
    return control.page is not None and hung_up and any(_failed_alike(page, control.page) for page in pages)


def _failed_alike(one: HttpExchange, other: HttpExchange) -> bool:
    """Whether two requests failed in one way; whether a cut comes as a reset or as an end is chance."""
    return one.failure is other.failure or {one.failure, other.failure} <= CUT


def nowhere(case: Case) -> Finding | None:
    """Its name leads nowhere, whoever is asked: whatever our own resolver makes of it, there is no site."""
    leg = case.reading.troubled
    if leg is None or not leg.lookups or leg.authentic is not None:
        return None
    control = leg.control
    if control is not None and (control.reached or leg.public(control.query.resolved)):
        return None
    known = [q for q in leg.trusted if q.valid_replies]
    denied = [q for q in known if q.failure is Failure.DNS_NXDOMAIN]
    empty = [q for q in known if q.failure is Failure.NO_DNS_ANSWER or (q.addresses and not leg.public(q.addresses))]
    if denied and len(denied) == len(known):
        words = "exists nowhere: trusted resolvers say that there is no such name."
        if leg.local_addresses:
            words += f" Our own resolver makes up an address for it ({leg.local_addresses[0]})."
    elif empty and len(empty) == len(known) and not leg.public(leg.local_addresses):
        words = "has no address that anybody could open, whoever is asked."
    else:
        return None
    return Finding(
        rule="site.nowhere",
        outcome=Outcome.DOWN,
        summary=f"{leg.host} {words}",
        evidence=tuple(sorted(q.id for q in (*leg.lookups, *known))),
    )


def _down(leg: Leg, summary: str, by: tuple[int, ...]) -> Finding:
    failed = [i for f in leg.local_flows for i in f.ids] + [q.id for q in leg.lookups if q.failure]
    return Finding(rule="site.down", outcome=Outcome.DOWN, summary=summary, evidence=tuple(sorted({*failed, *by})))


def unreachable(case: Case) -> Finding | None:
    """It works elsewhere and not from here; whether the site or the network does it is not settled."""
    story = case.reading
    leg = story.troubled
    if leg is None or leg.served is not None:
        return None
    living = alive(story, leg)
    failed = [f for f in leg.local_flows if f.failed is not None]
    if not living or not failed:
        return None
    step = failed[0].failed
    assert step is not None
    return Finding(
        rule="site.unreachable",
        outcome=Outcome.UNREACHABLE,
        reason="site_or_network",
        pattern=Pattern.PARTIAL if len(failed) < len(leg.local_flows) else None,
        summary=f"{leg.host} is up but cannot be reached from here ({step.failure}). Nothing shows whether the site "
        "or the network does it.",
        evidence=tuple(sorted({*(i for f in failed for i in f.ids), *living})),
    )


def rate_limited(case: Case) -> Finding | None:
    """The site took some connections and then no more, whatever name they were for, as one that counts them does."""
    story = case.reading
    leg = story.troubled
    flow = next((f for f in leg.suspects if f.failed is not None), None) if leg is not None else None
    if leg is None or flow is None or leg.served is not None:
        return None
    ours = [s for s in story.observations if isinstance(s, TcpConnect) and s.view is not View.CONTROL]
    there = [s for s in ours if (s.address, s.port) == (flow.tcp.address, flow.tcp.port) and s.failure not in OURS]
    there.sort(key=lambda s: s.id)
    first = next((i for i, s in enumerate(there) if s.failure is not None), len(there))
    after = there[first:]
    named = first - sum(s.id < flow.tcp.id for s in there)  # how many stood from the one on that was in trouble
    counted = flow.tcp.failure is not None and first > 0  # earlier legs were served there
    if len(after) < 2 or any(s.failure is None for s in after) or not (counted or named > 1):
        return None
    return Finding(
        rule="site.rate_limited",
        outcome=Outcome.UNREACHABLE,
        reason="rate_limited",
        summary=f"{flow.tcp.address}, the address of {leg.host}, took {first} of our connections and then none of the "
        f"next {len(after)}, whatever name they were for: it probably allows only so many in a while.",
        evidence=tuple(sorted({*flow.ids, *(s.id for s in there)})),
    )


def unknown(case: Case) -> Finding | None:
    """It cannot be opened from here, and nothing says whether it works at all."""
    foreign = case.measurement.source != "wazi"
    odd = case.measurement.preconditions.detail if foreign else ""
    if foreign and not case.measurement.observations:
        return Finding(
            rule="site.unknown",
            outcome=Outcome.INCONCLUSIVE,
            reason="odd_record",
            summary=f"The record holds no step that could be judged: {odd or 'nothing is wrong with it otherwise'}.",
        )
    story = case.reading
    leg = story.troubled
    if leg is None:
        return None
    lookups = [q for q in leg.lookups if q.failure is not None]
    no_dns = bool(leg.lookups) and not leg.local_addresses and not any(q.valid_replies for q in leg.trusted)
    asked = bool(story.queries)
    steps = [f.failed for f in leg.local_flows if f.failed is not None]
    what = steps[0].failure if steps else lookups[0].failure if lookups else None
    own = is_address(leg.host) and case.private(leg.host)
    reason = (
        "private_address"
        if own
        else "no_trusted_dns"
        if no_dns
        else "no_control"
        if leg.control is None
        else "unproven"
    )
    words = {
        "private_address": "it is a private address, which belongs to somebody's own network and is not visited",
        "no_trusted_dns": "no trusted resolver answered, so there is nothing to compare with",
        "no_control": "no control answered that could say whether it works at all"
        if asked
        else "there is no control to say whether it works at all",
        "unproven": "what was seen proves neither that it works nor that it is blocked",
    }[reason]
    return Finding(
        rule="site.unknown",
        outcome=Outcome.INCONCLUSIVE,
        reason=reason,
        summary=f"{leg.host} did not open here ({what or 'no page'}), and {words}."
        + (f" The record is odd: {odd}." if odd else ""),
        evidence=tuple(sorted({s.id for s in steps} | {q.id for q in lookups if isinstance(q, DnsLookup)})),
    )
