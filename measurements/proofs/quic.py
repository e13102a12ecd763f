"""The two proofs about QUIC: that the site offers it and lives, and where its packets die.

*Offered*: the control shook hands by QUIC; the site announces HTTP/3 for itself (in an HTTPS record, RFC 9460, or by
Alt-Svc, RFC 7838); or something answers QUIC at its address here. *Alive*: the control shook hands with this very
address by QUIC, or the address shows the name's own certificate here over TCP. Neither says who drops the packets.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable

from measurements.model import OURS, DnsLookup, Hop, HttpExchange, Proof, Purpose, QuicHandshake, View, Where
from measurements.proofs.place import place
from measurements.proofs.steps import Shown
from measurements.reading import Leg, Reading, of

HTTP3 = "HTTP/3"
BEYOND = 3  # the first distance that is surely not the exit of the first router
_ALPN = re.compile(r'alpn="?([^"\s]*)')
_ALT_SVC = re.compile(r'(?:^|[,\s])h3="?([^":,;]*):([0-9]{1,5})"?')


def greetings(story: Reading) -> list[QuicHandshake]:
    """The handshakes over QUIC with the target, as a browser would make them."""
    return [
        h
        for h in of(QuicHandshake, story.observations)
        if h.purpose is None and h.view in (View.LOCAL, View.TRUSTED) and h.probe == "handshake"
    ]


def page_over(story: Reading, hands: QuicHandshake) -> HttpExchange | None:
    """The page that was asked for over a QUIC connection."""
    return next((p for p in of(HttpExchange, story.observations) if p.cause == hands.id and p.purpose is None), None)


def unanswered_by_quic(story: Reading) -> tuple[int, ...]:
    """The handshakes that failed and the pages that did not come, over QUIC to the target."""
    found: list[int] = []
    for hands in greetings(story):
        page = page_over(story, hands)
        if hands.failure is not None and hands.failure not in OURS:
            found.append(hands.id)
        elif page is not None and page.failure is not None and page.failure not in OURS:
            found += [hands.id, page.id]
    return tuple(found)


def announced(story: Reading, leg: Leg) -> tuple[int, ...]:
    """The observations in which the site says that it speaks HTTP/3 at its own name and port."""
    records = [q.id for q in leg.services if _says_h3(q)]
    pages = [p for f in leg.flows if f.secure for p in f.pages]
    pages += story.follow_ups(HttpExchange, Purpose.ANNOUNCEMENT)
    if leg.control is not None and leg.control.page is not None:
        pages.append(leg.control.page)
    return tuple(dict.fromkeys((*records, *(p.id for p in pages if _offers_h3(p, leg)))))


def _says_h3(lookup: DnsLookup) -> bool:
    first = lookup.valid_replies[:1]
    texts = [a.data for r in first for a in r.answers if a.rtype == "HTTPS"]
    return any("h3" in found[1].split(",") for text in texts if (found := _ALPN.search(text)))


def _offers_h3(page: HttpExchange, leg: Leg) -> bool:
    values = [value for name, value in page.headers if name.lower() == "alt-svc"]
    places = [found.groups() for value in values for found in _ALT_SVC.finditer(value[:2048])]
    return any(host in ("", leg.host) and port == str(leg.port) for host, port in places)


def answers_here(story: Reading, address: str) -> tuple[int, ...]:
    """Show that something answers QUIC at an address: a question for versions, or a harmless name."""
    steps = [h for h in of(QuicHandshake, story.observations) if h.address == address and h.view is not View.CONTROL]
    harmless = [h for h in steps if h.purpose is Purpose.HARMLESS_AT_TARGET and h.answered]
    return tuple(h.id for h in (*(h for h in steps if h.probe == "versions" and h.answered), *harmless))


def offered(story: Reading, leg: Leg, address: str) -> tuple[int, ...]:
    """Show that the site offers QUIC, or nothing."""
    control = leg.control
    greeted = [h.id for h in control.greetings if h.failure is None] if control is not None else []
    return (*greeted, *announced(story, leg), *answers_here(story, address))


def alive(leg: Leg, address: str) -> tuple[int, ...]:
    """Show that the site lives at this address, or nothing."""
    control = leg.control
    hands = control.greeted(address) if control is not None else None
    if control is not None and hands is not None and hands.failure is None:
        return (control.query.id, hands.id)
    return next((f.ids for f in leg.flows if f.secure and f.tcp.address == address), ())


def dies(story: Reading, *, named: bool) -> Shown | None:
    """Show where QUIC's first packets die or are answered, short of the site's network.

    Beside them go those with a harmless name, when the name is at issue; else the first packets of TCP connections
    to the same address, which go on.
    """
    return place(story, Purpose.TRACE_HARMLESS if named else Purpose.TRACE_PATH)


def whose(story: Reading, at: Shown, private: Callable[[str], bool]) -> Where | None:
    """Say whose network drops all QUIC, as far as that can be known; None when it may well be the volunteer's own.

    Routers that drop a packet on its way out have answered one that expired there: what dies at the second hop may
    be dropped by the first router, which is the volunteer's. Where a router beyond the first, with a public address,
    has answered, the packets had left the home (of IPv6 that is not so: there homes have public addresses). At the
    third hop they most probably had, unless we sit in a container or behind two routers of our own.
    """
    if at.where is Where.LOCAL or at.proof is not Proof.SHORT:
        return at.where
    passed = [h for h in story.follow_ups(Hop, Purpose.TRACE_TARGET) if h.probe == "initial" and h.answer == "expired"]
    if any(h.ttl > 1 and h.router is not None and _is_public(h.router, private) for h in passed):
        return Where.NETWORK
    return Where.UNKNOWN if at.hop is not None and at.hop >= BEYOND else None


def _is_public(router: str, private: Callable[[str], bool]) -> bool:
    try:
        version = ipaddress.ip_address(router).version
    except ValueError:  # a token in the place of a router of the home
        return False
    return version == 4 and not private(router)
