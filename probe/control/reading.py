"""What a control's answer says, in our own nouns.

A control is another machine on the open internet, and what it sends may be wrong, huge or hostile. So
an answer may speak only of endpoints whose address we asked about or that it says it looked up, in
bounded numbers and lengths; what is not an address, an endpoint or a status is passed over; and a
failure word that we do not know becomes `UNKNOWN`, with the word in `detail`.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from urllib.parse import urlsplit

from measurements.model import (
    AnyObservation,
    DnsAnswer,
    DnsLookup,
    DnsReply,
    Failure,
    HttpExchange,
    QuicHandshake,
    TcpConnect,
    TlsHandshake,
    View,
)
from probe.control.protocol import Answer, Malformed, Page, canonical, failure_of, split_endpoint

MAX_ENDPOINTS = 128
MAX_ADDRESSES = 64
MAX_HEADERS = 100
MAX_TEXT = 2048
MAX_BODY = 1 << 40
PAGE_BYTES = 16 * 1024
"""What is asked for, and at most kept, of a page that is compared word by word."""

_RCODES = {Failure.DNS_NXDOMAIN: "NXDOMAIN", Failure.NO_DNS_ANSWER: "NOERROR"}


@dataclass(frozen=True, slots=True)
class Account:
    """What one control said: its steps, and the facts beside them.

    `client_address` is the address that the control saw us come from; it serves redaction only.
    """

    label: str
    resolved: tuple[str, ...]
    dns_failure: Failure | None
    ip_asns: tuple[tuple[str, int], ...]
    client_address: str | None
    steps: tuple[AnyObservation, ...]

    @property
    def asked_dns(self) -> bool:
        return any(isinstance(s, DnsLookup) for s in self.steps)

    @property
    def page(self) -> HttpExchange | None:
        return next((s for s in self.steps if isinstance(s, HttpExchange)), None)


def account(answer: Answer, url: str, asked: Sequence[str], label: str) -> Account:
    """Translate an answer about `url` and the endpoints that were `asked`; `label` names the control."""
    host = urlsplit(url).hostname or ""
    named = canonical(host) is None
    given = answer.dns.addrs if answer.dns else None
    resolved = tuple(dict.fromkeys(a for a in map(canonical, islice(given or (), MAX_ADDRESSES)) if a))
    lookups, dns_failure = _lookups(answer, host, resolved, label) if named else ((), None)
    known = {*resolved, *(endpoint[0] for endpoint in _endpoints(dict.fromkeys(asked)))}
    known |= set() if named else {canonical(host) or ""}
    return Account(
        label=label,
        resolved=resolved if named else (),
        dns_failure=dns_failure,
        ip_asns=tuple(_asns(answer, known)),
        client_address=_plain(answer.x_client_address),
        steps=(
            *lookups,
            *_connects(answer, known),
            *_handshakes(answer, known),
            *_by_quic(answer, known),
            *_exchanges(answer, url, dns_failure),
        ),
    )


def _endpoints(of: Mapping[str, object]) -> Iterator[tuple[str, int, str]]:
    """The (address, port, key) of the keys that are endpoints, each once."""
    seen = set()
    for key in islice(of, MAX_ENDPOINTS):
        try:
            endpoint = split_endpoint(key)
        except Malformed:
            continue
        if endpoint not in seen:
            seen.add(endpoint)
            yield (*endpoint, key)


def _lookups(
    answer: Answer, host: str, resolved: Sequence[str], label: str
) -> tuple[tuple[DnsLookup, ...], Failure | None]:
    """The one lookup of a control as two of ours, A and AAAA, and why neither gave an address."""
    if answer.dns is None:
        return (), None
    failure, detail = failure_of(answer.dns.failure)
    if failure is None and not resolved:
        failure = Failure.NO_DNS_ANSWER

    def lookup(rtype: str) -> DnsLookup:
        records = tuple(
            DnsAnswer(name=host, rtype=rtype, data=a, ttl=0) for a in resolved if (":" in a) == (rtype == "AAAA")
        )
        why = failure or (None if records else Failure.NO_DNS_ANSWER)
        rcode = "NOERROR" if why is None else _RCODES.get(why)
        reply = DnsReply(arrival=0.0, source=label, rcode=rcode, answers=records)
        return DnsLookup(
            id=0,
            view=View.CONTROL,
            failure=why,
            detail=detail,
            resolver=label,
            protocol="control",
            name=host,
            rtype=rtype,
            replies=(reply,) if rcode else (),
        )

    return (lookup("A"), lookup("AAAA")), failure


def _connects(answer: Answer, known: set[str]) -> Iterator[TcpConnect]:
    results = answer.tcp_connect or {}
    for address, port, key in _endpoints(results):
        if address in known:
            failure, detail = _failure(results[key].failure, results[key].status)
            yield TcpConnect(id=0, view=View.CONTROL, failure=failure, detail=detail, address=address, port=port)


def _handshakes(answer: Answer, known: set[str]) -> Iterator[TlsHandshake]:
    results = answer.tls_handshake or {}
    for address, port, key in _endpoints(results):
        if address not in known:
            continue
        failure, detail = _failure(results[key].failure, results[key].status)
        name = (results[key].server_name or "")[:255]
        yield TlsHandshake(
            id=0,
            view=View.CONTROL,
            failure=failure,
            detail=detail,
            address=address,
            port=port,
            name=None if canonical(name) else name or None,
            hello="",
            verified_name=name or None,
        )


def _by_quic(answer: Answer, known: set[str]) -> Iterator[QuicHandshake]:
    results = answer.quic_handshake or {}
    for address, port, key in _endpoints(results):
        if address in known:
            failure, detail = _failure(results[key].failure, results[key].status)
            name = (results[key].server_name or "")[:255]
            yield QuicHandshake(
                id=0,
                view=View.CONTROL,
                failure=failure,
                detail=detail,
                address=address,
                port=port,
                name=None if canonical(name) else name or None,
                verified_name=name or None,
                answered=failure is None,
            )


def _exchanges(answer: Answer, url: str, dns_failure: Failure | None) -> Iterator[HttpExchange]:
    """The page, if the control tried to fetch one: an untouched page has neither status nor failure."""
    page = answer.http_request
    if page is None:
        return
    status = page.status_code if page.status_code and 100 <= page.status_code <= 599 else None
    failure, detail = failure_of(page.failure)
    if failure is Failure.UNKNOWN and isinstance(page.x_failure, str):
        failure, detail = failure_of(page.x_failure)
    if page.failure == "dns_lookup_error" and dns_failure is not None:
        failure = dns_failure
    if status is None and failure is None:
        if page.failure is None and not page.status_code:
            return
        failure, detail = Failure.HTTP_INVALID_RESPONSE, f"status {page.status_code}"
    yield HttpExchange(
        id=0,
        view=View.CONTROL,
        failure=failure,
        detail=detail,
        url=url,
        host=urlsplit(url).hostname or "",
        status=status,
        headers=_headers(page),
        title=(page.title or "")[:MAX_TEXT] or None,
        body=_body(page.x_body),
        body_length=min(max(page.body_length or 0, 0), MAX_BODY),
    )


def _body(packed: object) -> bytes:
    """The beginning of the page, if it was asked for: as far as it can be unpacked, and never more than that."""
    if not isinstance(packed, bytes):
        return b""
    try:
        return zlib.decompressobj().decompress(packed, PAGE_BYTES)
    except zlib.error:
        return b""


def _headers(page: Page) -> tuple[tuple[str, str], ...]:
    return tuple((n[:MAX_TEXT], v[:MAX_TEXT]) for n, v in islice((page.headers or {}).items(), MAX_HEADERS))


def _failure(text: str | None, status: bool | None) -> tuple[Failure | None, str]:
    """Read a step's result: it worked only if it says so and names no failure."""
    failure, detail = failure_of(text)
    if failure is None and not status:
        return Failure.UNKNOWN, "the control says that it failed and not why"
    return failure, detail


def _asns(answer: Answer, known: set[str]) -> Iterator[tuple[str, int]]:
    for text, info in islice((answer.ip_info or {}).items(), MAX_ENDPOINTS):
        address = canonical(text)
        if address in known and info is not None and info.asn is not None and 0 < info.asn < 1 << 32:
            yield address, info.asn


def _plain(text: str | None) -> str | None:
    return canonical(text) if text else None
