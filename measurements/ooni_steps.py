"""OONI's entries as our observations, one by one; `ooni` gives them ids and causes.

Formats: df-001 (requests), df-002 (queries), df-005 (tcp_connect), df-006 (tls_handshakes). A lookup's view
is what it was for: OONI asks the system's resolver as a browser would, a public resolver in clear besides,
and resolvers over DoH now and then.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from html import unescape
from typing import Generic, TypeVar
from urllib.parse import urljoin, urlsplit

import msgspec

from measurements.model import (
    BAD_CERTIFICATE,
    AnyObservation,
    DnsAnswer,
    DnsLookup,
    DnsReply,
    Failure,
    HttpExchange,
    TcpConnect,
    TlsHandshake,
    View,
)
from measurements.ooni_fields import Fields, binary, canonical, clean, decoded, endpoint

MAX_BODY = 64 * 1024
MAX_CERTIFICATES = 10
MAX_CHAIN = 64 * 1024
MAX_HEADERS = 200
BIG = 2**50

SYSTEM = frozenset({"", "system", "getaddrinfo", "golang_net_resolver", "go", "unknown"})
CLASSIC = "classic"  # the tag of what the system's own resolver was asked, whoever asked it
ENCRYPTED = frozenset({"doh", "dot", "doh3"})
RCODES = {
    Failure.DNS_NXDOMAIN: "NXDOMAIN",
    Failure.DNS_REFUSED: "REFUSED",
    Failure.DNS_SERVFAIL: "SERVFAIL",
    Failure.NO_DNS_ANSWER: "NOERROR",
}
_TITLE = re.compile(rb"<title[^>]{0,200}>([^<]{1,512})", re.IGNORECASE)
_REDIRECTS = frozenset({301, 302, 307, 308})  # those that OONI follows


O = TypeVar("O", bound=AnyObservation)  # noqa: E741 - an observation


@dataclass(frozen=True)
class Entry(Generic[O]):
    """A step that is not yet linked: `depth` counts redirects, `transaction` is 0 when it is not known."""

    step: O
    depth: int | None
    transaction: int
    ancillary: bool  # done besides, to see whether an address belongs to the name


def entry(fields: Fields, step: O) -> Entry[O]:
    """Read what links a step to others, and put what was odd about it into its detail."""
    tags = fields.texts("tags")
    depths = [int(tag[6:]) for tag in tags if tag.startswith("depth=") and tag[6:].isdecimal() and len(tag) <= 8]
    transaction = fields.whole("transaction_id", 0, BIG) or 0
    started, ended = fields.seconds("t0" if "t0" in fields else "t"), fields.seconds("t")
    step = msgspec.structs.replace(
        step,
        detail="; ".join(filter(None, (step.detail, fields.detail))),
        started=started,
        elapsed=max(0.0, ended - started),
    )
    return Entry(step, depths[0] if depths else None, transaction, "fetch_body=false" in tags)


# Lookups


def lookups(fields: Fields, resolver: str) -> Iterator[DnsLookup]:
    """Read a query as lookups for A and AAAA; `resolver` is what the system's one is called."""
    engine = fields.text("engine")
    name = fields.text("hostname").lower().removesuffix(".")
    answers = tuple(_answers(fields, name))
    failure, detail = fields.failure("failure")
    rtype = fields.text("query_type").upper() or _asked_for(answers, failure)
    if not rtype:
        return
    if fields.values.get("failure") == "dns_bogon_error" and answers:
        failure = None  # what was answered says it better
    asked = ("A", "AAAA") if rtype == "ANY" else (rtype,)
    for kind in asked:
        own = tuple(a for a in answers if a.rtype == kind or a.rtype not in ("A", "AAAA"))
        found = any(a.rtype == kind for a in own)
        if rtype == "ANY" and not found and (kind == "AAAA" or any(a.rtype == "AAAA" for a in answers)):
            continue  # getaddrinfo tells of addresses, not of each question
        why = failure
        if why is None and not found:
            why, detail = Failure.UNKNOWN, "the record holds neither an answer nor a failure"
        at = fields.text("resolver_address") if engine not in SYSTEM else resolver
        yield DnsLookup(
            id=0,
            view=View.LOCAL
            if engine in SYSTEM or CLASSIC in fields.texts("tags")
            else View.TRUSTED
            if engine in ENCRYPTED
            else View.FOLLOW_UP,
            failure=why,
            detail=detail,
            resolver=at or "unknown",
            protocol="system" if engine in SYSTEM else engine,
            name=name,
            rtype=kind,
            replies=_replies(fields, why, own, at),
        )


def _asked_for(answers: tuple[DnsAnswer, ...], failure: Failure | None) -> str:
    """Say what a query that does not tell its type was for; empty when its failure may be that of any other type."""
    given = next((a.rtype for a in answers if a.rtype in ("A", "AAAA")), "")
    return given or ("" if failure is Failure.NO_DNS_ANSWER else "A")


def _replies(fields: Fields, why: Failure | None, answers: tuple[DnsAnswer, ...], at: str) -> tuple[DnsReply, ...]:
    """Make the reply that there must have been; a lookup that failed in another way had none."""
    rcode = "NOERROR" if why is None else RCODES.get(why)
    if rcode is None:
        return ()
    source = (endpoint(at) or (at, 0))[0]
    return (DnsReply(arrival=fields.seconds("t"), source=source, rcode=rcode, answers=answers),)


def _answers(fields: Fields, name: str) -> Iterator[DnsAnswer]:
    for answer in fields.objects("answers"):
        rtype = answer.text("answer_type").upper()
        key = {"A": "ipv4", "AAAA": "ipv6"}.get(rtype, "hostname")
        data = answer.address(key) if key != "hostname" else answer.text(key)
        ttl = answer.whole("ttl", 0, 2**32) or 0
        fields.notes += answer.notes
        if data and rtype:
            yield DnsAnswer(name=name, rtype=rtype, data=data, ttl=ttl)


# Connections and handshakes


def connect(fields: Fields) -> TcpConnect | None:
    """Read a connection; None without an address and a port."""
    address, port = fields.address("ip"), fields.whole("port", 0, 65535)
    status = fields.within("status")
    failure, detail = status.failure("failure")
    if failure is None and status.flag("success") is not True:
        failure, detail = Failure.UNKNOWN, "the record says neither success nor failure"
    if address is None or port is None:
        return None
    return TcpConnect(id=0, address=address, port=port, failure=failure, detail=detail)


def handshake(fields: Fields) -> TlsHandshake:
    """Read a handshake; its address is empty when an old record does not hold it."""
    failure, detail = fields.failure("failure")
    at = endpoint(fields.text("address")) or ("", 0)
    name = fields.text("server_name").lower() or None
    protocol = fields.text("negotiated_protocol")
    return TlsHandshake(
        id=0,
        failure=failure,
        detail=detail,
        address=at[0],
        port=at[1],
        name=None if name is None or canonical(name) else name,
        verified_name=None if fields.flag("no_tls_verify") else name,
        hello="ooni",
        alpn=protocol or None,
        version=fields.text("tls_version") or None,
        cipher=fields.text("cipher_suite") or None,
        chain=_chain(fields),
        certificate_error=(detail or failure.value) if failure in BAD_CERTIFICATE else None,
    )


def _chain(fields: Fields) -> tuple[bytes, ...]:
    """Read certificates: {"format": "base64", "data": …}, or the base64 alone as older programs wrote it."""
    chain: list[bytes] = []
    for item in fields.items("peer_certificates")[:MAX_CERTIFICATES]:
        der = decoded(item) if isinstance(item, str) else binary(item)
        if der is None or sum(map(len, chain)) + len(der) > MAX_CHAIN:
            fields.notes.append(f"{fields.place}.peer_certificates holds what is no certificate")
            break
        chain.append(der)
    return tuple(chain)


# Requests


def exchange(fields: Fields) -> HttpExchange | None:
    """Read a request and its response; None without a URL."""
    request, response = fields.within("request"), fields.within("response")
    url = request.text("url")
    host = host_of(url)
    if host is None:
        return None
    failure, detail = fields.failure("failure")
    status = response.whole("code", 100, 999, none=(0, -1))
    if status is None and failure is None:
        failure, detail = Failure.UNKNOWN, "the record holds neither a status nor a failure"
    headers = tuple(headers_of(response))
    body = response.data("body")
    at = endpoint(fields.text("address")) or ("", 0)
    length = response.whole("x_body_length", 0, BIG) or len(body)
    return HttpExchange(
        id=0,
        failure=failure,
        detail=detail,
        url=url,
        address=at[0],
        port=at[1],
        host=host,
        method=request.text("method", "GET") or "GET",
        http_version={"h2": "HTTP/2", "http/1.1": "HTTP/1.1"}.get(fields.text("alpn")),
        status=status,
        headers=headers,
        body=body[:MAX_BODY],
        body_sha256=hashlib.sha256(body).hexdigest() if status is not None and length == len(body) else None,
        body_length=length,
        title=title_of(body),
        truncated="wire" if response.flag("body_is_truncated") else None,
        redirect=_redirect(url, status, headers),
    )


def host_of(url: str) -> str | None:
    """Return the host of a web URL in lower case; None when it has none."""
    return (where_of(url) or (None,))[0]


def where_of(url: str) -> tuple[str, int, bool] | None:
    """Return host, port and whether it is https; None when it is no URL of the web."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        return None
    secure = parts.scheme == "https"
    return parts.hostname, port or (443 if secure else 80), secure


def headers_of(response: Fields) -> Iterator[tuple[str, str]]:
    """Read the list of pairs, or the older map, which holds one value of each name."""
    pairs: list[tuple[object, object]] = []
    for item in response.items("headers_list"):
        if isinstance(item, list | tuple) and len(item) == 2:
            pairs.append((item[0], item[1]))
        else:
            response.notes.append(f"{response.place}.headers_list holds what is no pair")
            break
    pairs = pairs or list(response.within("headers").values.items())
    for name, value in pairs[:MAX_HEADERS]:
        read = [binary(value) for value in (name, value)]
        if read[0] is not None and read[1] is not None:
            yield clean(read[0].decode("utf-8", "replace")), clean(read[1].decode("utf-8", "replace"))


def _redirect(url: str, status: int | None, headers: tuple[tuple[str, str], ...]) -> str | None:
    location = next((value for name, value in headers if name.lower() == "location"), "")
    if status not in _REDIRECTS or not location:
        return None
    try:
        there = urljoin(url, location)
    except ValueError:
        return None
    return there if host_of(there) else None


def title_of(body: bytes) -> str | None:
    found = _TITLE.search(body)
    return (" ".join(unescape(found[1].decode("utf-8", "replace")).split()) or None) if found else None
