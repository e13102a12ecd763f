"""Reads a measurement as a story: legs, flows, and what each view saw.

A leg is one URL of the redirect chain with its lookups, flows and control; a flow is one address with
its connection, handshake and pages. Rules ask a `Reading` instead of walking the observations; the
`web` nettest asks it the same questions, so that what is followed up is what will be judged.

Which leg a step belongs to follows from its causes: the nearest exchange above it that redirected.
Follow-up steps (those with a purpose) belong to the measurement; there is one troubled leg at most.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TypeVar
from urllib.parse import urljoin, urlsplit

from measurements.answers import addresses_in, embeds, forged_beside
from measurements.model import (
    OURS,
    AnyObservation,
    ControlQuery,
    DnsLookup,
    Failure,
    Hop,
    HttpExchange,
    Purpose,
    QuicHandshake,
    Target,
    TcpConnect,
    TlsHandshake,
    View,
)

O = TypeVar("O", bound=AnyObservation)  # noqa: E741 - an observation

REFUSALS = frozenset({401, 403, 406, 409, 410, 418, 421, 429, 451, 456, 500, 502, 503, 504, 520, 521, 522, 523, 525})
"""Statuses by which a site that answers refuses to serve."""


def is_address(host: str) -> bool:
    """Whether `host` is an IP address rather than a name."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


@dataclass(frozen=True)
class Flow:
    """One address of one leg: a connection and what was done over it."""

    tcp: TcpConnect
    tls: TlsHandshake | None
    pages: tuple[HttpExchange, ...]
    local: bool  # our own lookup gave this address

    @property
    def page(self) -> HttpExchange | None:
        """The first exchange that brought a status, else the first."""
        return next((p for p in self.pages if p.status is not None), self.pages[0] if self.pages else None)

    @property
    def secure(self) -> bool:
        return self.tls is not None and self.tls.failure is None

    @property
    def failed(self) -> AnyObservation | None:
        """The step that stopped this flow and is evidence; None when it went well or was never tried."""
        for step in (self.tcp, self.tls, self.page):
            if step is not None and step.failure is not None:
                return None if step.failure in OURS else step
        return None

    @property
    def ids(self) -> tuple[int, ...]:
        return tuple(s.id for s in (self.tcp, self.tls, self.page) if s is not None)


@dataclass(frozen=True)
class Control:
    """What the control saw of one URL."""

    query: ControlQuery
    connects: tuple[TcpConnect, ...]
    handshakes: tuple[TlsHandshake, ...]
    page: HttpExchange | None
    greetings: tuple[QuicHandshake, ...] = ()

    @property
    def reached(self) -> bool:
        """Whether the site answered the control."""
        return self.page is not None and self.page.failure is None and self.page.status is not None

    def connected(self, address: str, port: int) -> TcpConnect | None:
        """The control's connection to this very address, when it stood."""
        return next((c for c in self.connects if (c.address, c.port) == (address, port) and c.failure is None), None)

    def shook_hands(self, address: str) -> TlsHandshake | None:
        return next((h for h in self.handshakes if h.address == address), None)

    def greeted(self, address: str) -> QuicHandshake | None:
        """The control's QUIC handshake with this very address."""
        return next((h for h in self.greetings if h.address == address), None)


@dataclass(frozen=True)
class Leg:
    """One URL of the chain, as seen from here."""

    url: str
    lookups: tuple[DnsLookup, ...]
    services: tuple[DnsLookup, ...]  # for the HTTPS record
    trusted: tuple[DnsLookup, ...]
    flows: tuple[Flow, ...]
    control: Control | None
    private: Callable[[str], bool] = field(repr=False)

    @cached_property
    def host(self) -> str:
        return urlsplit(self.url).hostname or ""

    @cached_property
    def encrypted(self) -> bool:
        return urlsplit(self.url).scheme == "https"

    @cached_property
    def port(self) -> int:
        return urlsplit(self.url).port or (443 if self.encrypted else 80)

    @cached_property
    def local_addresses(self) -> tuple[str, ...]:
        return unique(a for q in self.lookups for a in q.addresses)

    @cached_property
    def trusted_addresses(self) -> tuple[str, ...]:
        return unique(a for q in self.trusted for a in q.addresses)

    @cached_property
    def local_flows(self) -> tuple[Flow, ...]:
        return tuple(f for f in self.flows if f.local)

    @cached_property
    def known_addresses(self) -> frozenset[str]:
        """The addresses that trusted resolvers and the control give."""
        return frozenset((*self.trusted_addresses, *(self.control.query.resolved if self.control else ())))

    @cached_property
    def true_addresses(self) -> frozenset[str]:
        """The addresses that others give, and those that showed the name's own certificate."""
        return self.known_addresses | {f.tcp.address for f in self.flows if f.secure}

    @cached_property
    def doubtful(self) -> tuple[DnsLookup, ...]:
        """Lookups of ours that somebody may have answered in the resolver's place, though the page came.

        Two replies contradict each other; or an IPv6 address, or an HTTPS record's hints, are nowhere known.
        """
        return tuple(q for q in (*self.lookups, *self.services) if self._doubts(q))

    def _doubts(self, lookup: DnsLookup) -> bool:
        known = self.true_addresses
        if not known:
            return False
        if forged_beside(lookup, known):
            return True
        given = {a for r in lookup.valid_replies[:1] for a in addresses_in(r)}
        if not given or given & known or any(embeds(a, known) for a in given):
            return False
        if lookup.rtype == "HTTPS":
            return True
        denied = [q for q in self.trusted if q.rtype == "AAAA" and q.valid_replies]
        nowhere = bool(denied) and not any(q.addresses for q in denied)
        return lookup.rtype == "AAAA" and (nowhere or not self.public(given))

    @cached_property
    def suspects(self) -> tuple[Flow, ...]:
        """The flows by which the way to the site is judged: those of our own lookup.

        Where the lookup gave nothing that others give too, it may have led us astray; then they are the flows to
        the addresses that others gave, unless one of those serves and so clears the way.
        """
        others = tuple(f for f in self.flows if not f.local)
        right = any(f.secure or f.tcp.address in self.known_addresses for f in self.local_flows)
        astray = bool(self.lookups) and not right
        return others if astray and others and not any(f.secure for f in others) else self.local_flows

    @cached_property
    def served(self) -> Flow | None:
        """The flow to an address of our own lookup that brought a page, a verified one first."""
        pages = [f for f in self.local_flows if f.page and f.page.status is not None and f.page.failure is None]
        return next((f for f in pages if f.secure), pages[0] if pages else None)

    @cached_property
    def authentic(self) -> Flow | None:
        """A flow whose certificate proves that its address serves the name now."""
        return next((f for f in self.flows if f.secure), None)

    def public(self, addresses: Iterable[str]) -> tuple[str, ...]:
        return tuple(a for a in addresses if not self.private(a))


def unique(items: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(items))


@dataclass(frozen=True)
class Reading:
    """A measurement's observations, in legs, with the follow-up steps beside them."""

    target: Target
    observations: Sequence[AnyObservation]
    private: Callable[[str], bool] = field(repr=False)

    @cached_property
    def by_id(self) -> dict[int, AnyObservation]:
        return {o.id: o for o in self.observations}

    def _leg_of(self, step: AnyObservation) -> int:
        """The id of the exchange that redirected to this step's leg, 0 for the first leg."""
        seen: set[int] = set()
        cause = step.cause
        while cause is not None and cause not in seen:
            seen.add(cause)
            above = self.by_id.get(cause)
            if above is None:
                return 0
            if isinstance(above, HttpExchange) and above.redirect is not None:
                return above.id
            cause = above.cause
        return 0

    @cached_property
    def legs(self) -> tuple[Leg, ...]:
        """The legs in the order of the chain; at least the target's own."""
        steps: dict[int, list[AnyObservation]] = {0: []}
        for step in sorted(self.observations, key=lambda o: o.id):
            if step.purpose is None and step.view in (View.LOCAL, View.TRUSTED):
                steps.setdefault(self._leg_of(step), []).append(step)
        legs = []
        for start, members in steps.items():
            above = self.by_id.get(start)
            url = (above.redirect or "") if isinstance(above, HttpExchange) else self.target.url
            legs.append(self._leg(url, members, self._inherited(start, steps)))
        return tuple(legs)

    def _inherited(self, start: int, steps: dict[int, list[AnyObservation]]) -> list[DnsLookup]:
        """Lookups of the nearest earlier leg that had any: a redirect within one host uses them again."""
        while start and (above := self.by_id.get(start)) is not None:
            start = self._leg_of(above)
            if own := of(DnsLookup, steps.get(start, [])):
                return own
        return []

    def _leg(self, url: str, members: list[AnyObservation], inherited: list[DnsLookup]) -> Leg:
        lookups = of(DnsLookup, members)
        if not lookups:
            host = urlsplit(url).hostname
            lookups = [q for q in inherited if q.name == host]
        local = tuple(q for q in lookups if q.view is View.LOCAL and q.rtype in ("A", "AAAA"))
        given = {a for q in local for a in q.addresses}
        flows = []
        for tcp in of(TcpConnect, members):
            tls = next((h for h in of(TlsHandshake, members) if h.cause == tcp.id), None)
            over = {tcp.id, tls.id} if tls else {tcp.id}
            pages = tuple(p for p in of(HttpExchange, members) if p.cause in over)
            flows.append(Flow(tcp, tls, pages, tcp.view is View.LOCAL and (not given or tcp.address in given)))
        return Leg(
            url=url,
            lookups=local,
            services=tuple(q for q in lookups if q.view is View.LOCAL and q.rtype == "HTTPS"),
            trusted=tuple(q for q in lookups if q.view is View.TRUSTED and q.rtype in ("A", "AAAA")),
            flows=tuple(flows),
            control=self._control(url),
            private=self.private,
        )

    def _control(self, url: str) -> Control | None:
        """The control's answer about `url`; None when it was not asked or did not answer."""
        asked = [query for query in of(ControlQuery, self.observations) if query.url == url and query.failure is None]
        asked.sort(key=lambda query: query.id)
        if not asked:
            return None
        own = [o for o in self.observations if o.cause == asked[0].id and o.view is View.CONTROL]
        pages = of(HttpExchange, own)
        return Control(
            query=asked[0],
            connects=tuple(of(TcpConnect, own)),
            handshakes=tuple(of(TlsHandshake, own)),
            page=next(iter((*self._sent_again(asked), *pages)), None),
            greetings=tuple(of(QuicHandshake, own)),
        )

    def _sent_again(self, asked: Sequence[ControlQuery]) -> list[HttpExchange]:
        """The pages whose beginning a control sent, when it was asked once more for that."""
        again = {query.id for query in asked[1:]}
        return [p for p in of(HttpExchange, self.observations) if p.cause in again and p.body]

    @cached_property
    def queries(self) -> tuple[ControlQuery, ...]:
        """The questions that were put to a control, answered or not."""
        return tuple(of(ControlQuery, self.observations))

    @cached_property
    def control(self) -> Control | None:
        """The control's answer about the target's own URL."""
        return self.legs[0].control

    def follow_ups(self, kind: type[O], *purposes: Purpose) -> list[O]:
        """The follow-up steps of a kind, in order, that are evidence."""
        return [
            o
            for o in sorted(of(kind, self.observations), key=lambda o: o.id)
            if o.purpose in purposes and o.failure not in OURS
        ]

    @cached_property
    def troubled(self) -> Leg | None:
        """The leg to ask about: where the chain stopped short of a page that is beyond doubt.

        None when the last leg brought a page that is verified, or one in clear that the control saw alike.
        A chain that left the target's host over an unprotected redirect is only as good as that leg; but where it
        stopped at a name that trusted resolvers know, that is what there is to explain.
        """
        for leg in self.legs:
            served = leg.served
            if served is None:
                return leg
            assert served.page is not None
            if not leg.encrypted and not redirects_home(leg, served.page) and not self.alike(served.page):
                return self._stopped_behind(served.page) or leg
            if leg.encrypted and not served.secure:
                return leg
        return None

    def _stopped_behind(self, page: HttpExchange) -> Leg | None:
        """The last leg, if `page` led on and the chain stopped there: at a name that others know."""
        last = self.legs[-1]
        known = bool(last.trusted_addresses) and not is_address(last.host)
        return last if page.redirect is not None and last.served is None and known else None

    @cached_property
    def final(self) -> HttpExchange | None:
        """The last page of the chain."""
        served = self.legs[-1].served
        return served.page if served else None

    def alike(self, page: HttpExchange) -> bool:
        """Whether the chain's last page is what the control saw; `page` is where the doubt began."""
        final, control = self.final, self.control
        if final is None or control is None or not control.reached or control.page is None:
            return False
        return same_page(final, control.page)


def of(kind: type[O], steps: Iterable[AnyObservation]) -> list[O]:
    """The steps of one kind."""
    return [s for s in steps if isinstance(s, kind)]


def redirects_home(leg: Leg, page: HttpExchange) -> bool:
    """Whether an exchange in clear only sends us to the same site's protected door."""
    if page.redirect is None:
        return False
    there = urlsplit(page.redirect)
    return there.scheme == "https" and same_site(there.hostname or "", leg.host)


def same_site(one: str, other: str) -> bool:
    """Whether two hosts differ by a leading `www.` or are parent and child."""
    one, other = one.removeprefix("www."), other.removeprefix("www.")
    return one == other or one.endswith("." + other) or other.endswith("." + one)


def words(page: HttpExchange) -> set[str]:
    """The telling words of a title: neither the site's own name, which a block page shows too, nor our own marks."""
    host = (urlsplit(page.url).hostname or "").removeprefix("www.")
    found = {w.strip(".,:;!?|()«»“”\"'").lower() for w in (page.title or "").split()}
    return {w for w in found if len(w) >= 3 and w not in host.split(".") and host not in w and "[redacted" not in w}


def same_page(ours: HttpExchange, theirs: HttpExchange) -> bool:
    """Whether two answers are the same page as far as two places can see it alike.

    The status class must agree, and then the titles (the same, or most of their telling words), or where they
    tell nothing a body of like length (70 %).
    """
    if ours.status is None or theirs.status is None or ours.status // 100 != theirs.status // 100:
        return False
    if ours.title and theirs.title:
        mine, other = words(ours), words(theirs)
        if ours.title == theirs.title or mine or other:
            shared = len(mine & other)
            return ours.title == theirs.title or 2 * shared > min(len(mine), len(other))
    if ours.truncated or theirs.truncated:
        return not (ours.title or theirs.title)
    longer = max(ours.body_length, theirs.body_length)
    return longer == 0 or min(ours.body_length, theirs.body_length) / longer > 0.7


def identical(one: HttpExchange, other: HttpExchange) -> bool:
    """Whether two exchanges brought one and the same answer: status, destination, and body or title."""
    if one.status is None or one.status != other.status:
        return False
    if one.redirect is not None or other.redirect is not None:
        return _destination(one) == _destination(other)
    if one.body_sha256 is not None and one.body_sha256 == other.body_sha256:
        return True
    return one.title is not None and one.title == other.title


def same_bytes(one: HttpExchange, other: HttpExchange | None) -> bool:
    """Whether two exchanges brought the very same body, and some."""
    return other is not None and one.body_length > 0 and one.body_sha256 == other.body_sha256 is not None


def _destination(page: HttpExchange) -> str | None:
    """Where a redirect leads, without the asked name that many block pages carry along in the query."""
    if page.redirect is None:
        return None
    there = urlsplit(urljoin(page.url, page.redirect))
    return f"{there.scheme}://{there.netloc}{there.path}"


def failed_like(failure: Failure | None) -> bool:
    """Whether a step failed in a way that is evidence at all."""
    return failure is not None and failure not in OURS


def hops(steps: Sequence[Hop]) -> dict[int, Hop]:
    """The answer for each TTL; of several tries the one that was answered."""
    answers: dict[int, Hop] = {}
    for hop in steps:
        if hop.ttl not in answers or answers[hop.ttl].answer == "silence":
            answers[hop.ttl] = hop
    return answers
