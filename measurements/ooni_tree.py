"""Links OONI's entries into the tree of causes that our rules read.

What version 0.5 records is a tree already: entries of one endpoint share a transaction, and a tag tells
how many redirects came before. Older versions connect and shake hands in one step and fetch the page in
another, over connections that they do not record. So for them a page's connection is the recorded one to
the same name, and where there is none it is inferred: a page under https must have had a handshake. A
request that failed says how only as far as its layer can be told from the failure; what cannot be told
stays a request without a connection, on which no rule rests.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import TypeVar

from msgspec import structs

from measurements.model import (
    BAD_CERTIFICATE,
    AnyObservation,
    DnsLookup,
    Failure,
    HttpExchange,
    Purpose,
    Target,
    TcpConnect,
    TlsHandshake,
    View,
)
from measurements.ooni_control import control
from measurements.ooni_fields import Fields, canonical
from measurements.ooni_steps import Entry, connect, entry, exchange, handshake, lookups, where_of

UNRECORDED = "OONI did not record this connection; the request over it shows that it stood"
MAX_DEPTH = 20
O = TypeVar("O", bound=AnyObservation)  # noqa: E741 - an observation

_DNS = frozenset(failure for failure in Failure if failure.value.startswith("dns_"))
_BEFORE_TCP = frozenset({Failure.CONNECTION_REFUSED, Failure.HOST_UNREACHABLE, Failure.NETWORK_UNREACHABLE})
_AFTER_TCP = frozenset({Failure.CONNECTION_RESET, Failure.EOF})
_TLS = BAD_CERTIFICATE | {Failure.SSL_FAILED_HANDSHAKE}


class Tree:
    """Gives entries ids and causes, one leg (a URL of the redirect chain) after the other."""

    def __init__(self, target: Target, resolver: str | None) -> None:
        self.target = target
        self.resolver = resolver or "system"
        self.steps: list[AnyObservation] = []
        self.root: HttpExchange | None = None  # the exchange that redirected to this leg
        self.linked: dict[int, TcpConnect] = {}  # by transaction
        self.helped: dict[str, int] = {}  # addresses that only the test helper gave, and its query

    def grow(self, keys: Fields, fields: Fields) -> None:
        """Add every step in `keys`, the test's own part of the record."""
        queries = [pair for query in keys.objects("queries") for pair in self._lookups(query)]
        late = [pair for query in keys.objects("x_dns_duplicate_responses") for pair in self._lookups(query)]
        connects = [entry(f, tcp) for f in keys.objects("tcp_connect") if (tcp := connect(f)) is not None]
        shaken = [entry(f, handshake(f)) for f in keys.objects("tls_handshakes") if _over_tcp(f)]
        requests = _in_order(
            [entry(f, page) for f in keys.objects("requests") if _over_tcp(f) and (page := exchange(f)) is not None]
        )
        depths = [*_depths(queries), *_depths(connects), *_depths(shaken), *_depths(requests)]
        for depth in range(min(max(depths, default=0), MAX_DEPTH) + 1):
            for query in _with_late_replies(_at(queries, depth), _at(late, depth)):
                self._lookup(query.step, depth)
            if depth == 0:
                self._control(keys, fields)
            for opened in _at(connects, depth):
                self._connect(opened)
            for shake in _at(shaken, depth):
                self._handshake(shake)
            for request in _at(requests, depth):
                self._request(request)
            redirects = [s for s in self.steps if isinstance(s, HttpExchange) and s.redirect]
            self.root = redirects[-1] if redirects else self.root

    # One leg

    @property
    def where(self) -> tuple[str, int, bool]:
        """Host, port and whether it is https, of this leg."""
        url = self.root.redirect if self.root and self.root.redirect else self.target.url
        return where_of(url) or (self.target.host, self.target.port, self.target.scheme == "https")

    def _leg(self, kind: type[O]) -> list[O]:
        """This leg's steps of a kind so far, ancillary and the control's ones aside."""
        begin = self.root.id if self.root else 0
        return [
            s
            for s in self.steps
            if isinstance(s, kind) and s.id > begin and s.purpose is None and s.view is not View.CONTROL
        ]

    def _add(self, step: O, cause: int | None) -> O:
        step = structs.replace(step, id=len(self.steps) + 1, cause=cause)
        self.steps.append(step)
        return step

    @property
    def _root_id(self) -> int | None:
        return self.root.id if self.root else None

    def _lookups(self, query: Fields) -> Iterator[Entry[DnsLookup]]:
        for step in lookups(query, self.resolver):
            yield entry(query, step)

    def _lookup(self, step: DnsLookup, depth: int) -> None:
        if canonical(step.name) is None and (depth or step.name == self.target.host):
            self._add(step, self._root_id)  # others ask who the resolver is

    def _control(self, keys: Fields, fields: Fields) -> None:
        helper = fields.within("test_helpers").within("backend").text("address")
        asked = control(keys, self.target.url, helper)
        if asked is None:
            return
        query, steps = asked
        at = self._add(query, None).id
        for step in steps:
            self._add(step, at)
        self.helped = dict.fromkeys(query.resolved, at)

    def _connect(self, found: Entry[TcpConnect]) -> None:
        step = found.step
        cause, view = self._origin(step.address)
        if found.ancillary or step.port != self.where[1]:
            step = structs.replace(step, purpose=Purpose.OTHER_PORT)
            view = View.FOLLOW_UP
        step = self._add(structs.replace(step, view=view), cause)
        if found.transaction:
            self.linked[found.transaction] = step

    def _origin(self, address: str) -> tuple[int | None, View]:
        """Find what gave us an address, and so through whose eyes the steps towards it are seen."""
        host = self.where[0]
        ours = [s for s in self.steps if isinstance(s, DnsLookup) and s.name == host and s.view is not View.CONTROL]
        gave = sorted((s for s in ours if address in s.addresses), key=lambda s: s.view is not View.LOCAL)
        recorded = self._leg(DnsLookup)
        if gave:
            view = View.LOCAL if gave[0].view is View.LOCAL else View.TRUSTED
            return next((s.id for s in gave if s in recorded), self._root_id), view
        if address in self.helped and self.root is None:
            return self.helped[address], View.TRUSTED
        return self._root_id, View.TRUSTED if recorded else View.LOCAL

    def _handshake(self, found: Entry[TlsHandshake]) -> None:
        step = found.step
        tcp = self._connection_of(step, found.transaction)
        if tcp is None:
            port = step.port or self.where[1]
            tcp = self._inferred(TcpConnect(id=0, address=step.address, port=port, detail=UNRECORDED))
        self._add(
            structs.replace(step, address=tcp.address, port=tcp.port, view=tcp.view, purpose=tcp.purpose),
            tcp.id,
        )

    def _connection_of(self, step: TlsHandshake, transaction: int) -> TcpConnect | None:
        """Find the connection under a handshake: its transaction's, its endpoint's, or the last one before it."""
        if transaction in self.linked:
            tcp = self.linked[transaction]
            return tcp if tcp.failure is None else None
        used = {s.cause for s in self.steps if isinstance(s, TlsHandshake)}
        begin = self.root.id if self.root else 0
        free = [
            s
            for s in self.steps
            if isinstance(s, TcpConnect) and s.view is not View.CONTROL and s.failure is None and s.id > begin
        ]
        free = [s for s in free if s.id not in used]
        if step.address:
            return next((s for s in free if (s.address, s.port) == (step.address, step.port)), None)
        secure = [s for s in free if s.port == (self.where[1] if self.where[2] else 443)]
        before = [s for s in secure if s.started + s.elapsed <= step.started + step.elapsed]
        return max(before or secure, key=lambda s: s.started + s.elapsed, default=None)

    def _inferred(self, step: TcpConnect) -> TcpConnect:
        """Add a connection that is not in the record; of an unknown address, to the first that we were given."""
        if not step.address:
            lookups_here = [s for s in self.steps if isinstance(s, DnsLookup) and s.name == self.where[0]]
            given = [a for s in lookups_here if s.view is View.LOCAL for a in s.addresses]
            literal = canonical(self.where[0])
            step = structs.replace(step, address=literal or next(iter(given), ""))
        cause, view = self._origin(step.address)
        return self._add(structs.replace(step, view=view), cause)

    # Requests

    def _request(self, found: Entry[HttpExchange]) -> None:
        page = found.step
        over = self._under(page, found.transaction)
        if over is None:
            over = self._under_unrecorded(page)
        if over is None:
            return
        page = structs.replace(page, address=over.address, port=over.port, view=over.view, purpose=over.purpose)
        self._add(page, over.id)

    def _under(self, page: HttpExchange, transaction: int) -> TcpConnect | TlsHandshake | None:
        """Find what a request went over among the steps of this leg that stand."""
        standing: list[TcpConnect | TlsHandshake]
        if (where_of(page.url) or self.where)[2]:
            standing = [s for s in self._leg(TlsHandshake) if s.failure is None]  # OONI accepts no bad certificate
        else:
            standing = [s for s in self._leg(TcpConnect) if s.failure is None]
        if transaction in self.linked:
            tcp = self.linked[transaction]
            return next((s for s in standing if tcp.id in (s.id, s.cause)), None)
        if page.address:
            return next((s for s in standing if (s.address, s.port) == (page.address, page.port)), None)
        local = sorted(standing, key=lambda s: s.view is not View.LOCAL)
        return next((s for s in local if not isinstance(s, TlsHandshake) or s.name in (page.host, None)), None)

    def _under_unrecorded(self, page: HttpExchange) -> TcpConnect | TlsHandshake | None:
        """Infer what a request went over; or record how far it came, and give nothing to hang it on."""
        secure = (where_of(page.url) or self.where)[2]
        failure = page.failure
        if failure is None:
            return self._stack(page, secure)
        if failure in _DNS:
            self._unless_told(self._own_lookups(), self._failed_lookup(page))
        elif failure in _BEFORE_TCP:
            self._unless_told(self._leg(TcpConnect), self._failed_connect(page))
        elif not self._stopped(secure):
            standing = next((s for s in self._leg(TcpConnect) if s.failure is None), None)
            if secure and (failure in _TLS or failure in _AFTER_TCP or (failure is Failure.TIMEOUT and standing)):
                tcp = standing or self._inferred(TcpConnect(id=0, address="", port=self.where[1], detail=UNRECORDED))
                self._add(_failed_handshake(page, tcp), tcp.id)
            elif not secure and failure in _AFTER_TCP:
                return self._inferred(TcpConnect(id=0, address="", port=self.where[1], detail=UNRECORDED))
            else:
                words = "; ".join(filter(None, (page.detail, "where it failed is not recorded")))
                self._add(structs.replace(page, detail=words), self._root_id)
        return None

    def _stack(self, page: HttpExchange, secure: bool) -> TcpConnect | TlsHandshake:
        """Infer the connection, and for https the handshake, under a page that came."""
        shaken = {s.cause for s in self._leg(TlsHandshake)}
        bare = [s for s in self._leg(TcpConnect) if s.failure is None and s.id not in shaken and not page.address]
        tcp = next(iter(bare), None) or self._inferred(
            TcpConnect(id=0, address=page.address, port=page.port or self.where[1], detail=UNRECORDED)
        )
        if not secure:
            return tcp
        return self._add(
            TlsHandshake(
                id=0,
                view=tcp.view,
                address=tcp.address,
                port=tcp.port,
                name=None if canonical(page.host) else page.host,
                verified_name=page.host,
                hello="ooni",
                detail=UNRECORDED,
            ),
            tcp.id,
        )

    def _stopped(self, secure: bool) -> bool:
        """Whether this leg's recorded steps say already why no request could be made."""
        last: list[AnyObservation] = [*self._leg(TlsHandshake)] if secure else []
        last = last or [*self._leg(TcpConnect)] or [*self._own_lookups()]
        return bool(last) and all(step.failure is not None for step in last)

    def _own_lookups(self) -> list[DnsLookup]:
        return [s for s in self._leg(DnsLookup) if s.view is View.LOCAL]

    def _unless_told(self, recorded: Sequence[AnyObservation], step: AnyObservation) -> None:
        """Add a failed step that only a request tells of, if the recorded ones do not tell the same."""
        if not recorded or any(s.failure is None for s in recorded):
            self._add(step, self._root_id)

    def _failed_connect(self, page: HttpExchange) -> TcpConnect:
        address, port = canonical(self.where[0]) or "", self.where[1]
        return TcpConnect(id=0, failure=page.failure, detail=page.detail, address=address, port=port)

    def _failed_lookup(self, page: HttpExchange) -> DnsLookup:
        return DnsLookup(
            id=0,
            failure=page.failure,
            detail="; ".join(filter(None, (page.detail, "the request tells of this lookup"))),
            resolver=self.resolver,
            protocol="system",
            name=self.where[0],
            rtype="A",
            started=page.started,
        )


def _failed_handshake(page: HttpExchange, tcp: TcpConnect) -> TlsHandshake:
    return TlsHandshake(
        id=0,
        view=tcp.view,
        failure=page.failure,
        detail="; ".join(filter(None, (page.detail, "the request tells of this handshake"))),
        address=tcp.address,
        port=tcp.port,
        name=None if canonical(page.host) else page.host,
        verified_name=page.host,
        hello="ooni",
        certificate_error=(page.detail or page.failure) if page.failure in BAD_CERTIFICATE else None,
        started=page.started,
        elapsed=page.elapsed,
    )


def _over_tcp(fields: Fields) -> bool:
    """Whether an entry is not of QUIC, for which there is no noun yet."""
    return fields.text("network") not in ("udp", "quic") and fields.within("request").text("x_transport") != "quic"


def _depths(entries: Iterable[Entry[O]]) -> list[int]:
    return [e.depth or 0 for e in entries]


def _at(entries: Iterable[Entry[O]], depth: int) -> list[Entry[O]]:
    return [e for e in entries if (e.depth or 0) == depth]


def _in_order(requests: list[Entry[HttpExchange]]) -> list[Entry[HttpExchange]]:
    """Give requests their depths: by their tags, else OONI's order, the newest first."""
    if any(e.depth is not None for e in requests):
        return requests
    oldest_first = requests[::-1]
    return [replace(e, depth=depth) for depth, e in enumerate(oldest_first)]


def _with_late_replies(queries: list[Entry[DnsLookup]], late: list[Entry[DnsLookup]]) -> Iterator[Entry[DnsLookup]]:
    """Give lookups the replies that came after the first one, as forged and true ones do.

    A public resolver is asked in clear only besides; when several replies come, though, they are what our
    own lookups would meet.
    """
    for found in queries:
        more = [reply for other in late if _same_question(other, found) for reply in other.step.replies]
        if not more:
            yield found
            continue
        view = View.LOCAL if found.step.view is View.FOLLOW_UP else found.step.view
        replies = tuple(sorted((*found.step.replies, *more), key=lambda reply: reply.arrival))
        yield replace(found, step=structs.replace(found.step, view=view, replies=replies))


def _same_question(one: Entry[DnsLookup], other: Entry[DnsLookup]) -> bool:
    a, b = one.step, other.step
    return (one.transaction, a.resolver, a.name, a.rtype) == (other.transaction, b.resolver, b.name, b.rtype)
