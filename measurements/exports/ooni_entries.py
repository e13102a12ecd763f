"""The lists of OONI's test keys: df-001 (requests), df-002 (queries), df-005 (tcp_connect), df-006 (tls_handshakes).

A `Visit` is what a browser would have done: steps without a purpose, local or by a trusted resolver's help. Entries of
one connection share a `transaction_id`, and a tag tells how many redirects came before, as version 0.5 writes them.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator
from functools import cached_property
from typing import Any, TypeVar

from measurements.model import (
    AnyObservation,
    ControlQuery,
    DnsAnswer,
    DnsLookup,
    DnsReply,
    HttpExchange,
    Measurement,
    TcpConnect,
    TlsHandshake,
    View,
)
from measurements.ooni_fields import canonical, endpoint

O = TypeVar("O", bound=AnyObservation)  # noqa: E741 - an observation
Entry = dict[str, Any]

CLASSIC = "classic"  # OONI's tag of what the system's own resolver was asked
LIKE = 0.7  # two pages are one page when the shorter is so much of the longer (ts-017)


class Visit:
    """A measurement's own steps, and what the control saw, as OONI's entries."""

    def __init__(self, measurement: Measurement) -> None:
        self._measurement = measurement
        self._by_id = {step.id: step for step in measurement.observations}

    @property
    def told(self) -> set[int]:
        """The ids of the pages and handshakes that have an entry."""
        shaken = {step.id for step in self._own(TlsHandshake) if self._connection(step) is not None}
        return shaken | {page.id for page, _ in self._pages}

    def queries(self) -> list[Entry]:
        return [self._query(lookup, lookup.valid_replies[:1], lookup.failure) for lookup in self._lookups]

    def later_replies(self) -> list[Entry]:
        """Replies that came after the first, as forged and true ones do."""
        return [
            self._query(lookup, (reply,), _failure_of(reply, lookup.rtype))
            for lookup in self._lookups
            for reply in lookup.valid_replies[1:]
        ]

    def connects(self) -> list[Entry]:
        return [
            {
                "ip": step.address,
                "port": step.port,
                "status": {"blocked": None, "failure": step.failure, "success": step.failure is None},
                **self._common(step, step),
            }
            for step in self._own(TcpConnect)
        ]

    def handshakes(self) -> list[Entry]:
        return [
            {
                "network": "tcp",
                "address": _endpoint(step.address, step.port),
                "cipher_suite": step.cipher or "",
                "failure": step.failure,
                "negotiated_protocol": step.alpn or "",
                "no_tls_verify": False,
                "peer_certificates": [_base64(certificate) for certificate in step.chain],
                "server_name": step.name or step.verified_name or "",
                "tls_version": step.version or "",
                **self._common(step, tcp),
            }
            for step in self._own(TlsHandshake)
            if (tcp := self._connection(step)) is not None
        ]

    def requests(self) -> list[Entry]:
        """Requests over connections that a browser would have used, the newest first."""
        return [self._request(page, tcp) for page, tcp in reversed(self._pages)]

    def control(self) -> Entry:
        """Return the control's part: its answer, why there is none, and what it was asked."""
        query = self._control_query
        if query is None:
            return {"control_failure": None, "control": {}}
        asked = {"http_request": query.url, "tcp_connect": list(query.endpoints)}
        seen = {} if query.failure is not None else self._seen(query)
        return {"control_failure": query.failure, "control": seen, "x_control_request": asked}

    def compared(self, *, lied: bool) -> Entry:
        """Return what OONI compares: `lied` tells that the rules blame the lookup."""
        page, other = self._last_page, self._control_page
        both = page is not None and other is not None and page.status is not None and other.status is not None
        proportion = _proportion(page, other) if both and page and other and page.truncated is None else None
        return {
            "dns_experiment_failure": self._lookup_failure,
            "dns_consistency": "inconsistent" if lied else "consistent" if self._same_addresses else None,
            "http_experiment_failure": self._visit_failure,
            "body_proportion": proportion,
            "body_length_match": None if proportion is None else proportion > LIKE,
            "status_code_match": page.status == other.status if both and page and other else None,
            "headers_match": None,
            "title_match": None,
        }

    # Steps

    def _own(self, kind: type[O]) -> list[O]:
        return [
            step
            for step in self._measurement.observations
            if isinstance(step, kind) and step.purpose is None and step.view in (View.LOCAL, View.TRUSTED)
        ]

    @cached_property
    def _lookups(self) -> list[DnsLookup]:
        return [step for step in self._own(DnsLookup) if step.rtype in ("A", "AAAA")]

    @cached_property
    def _pages(self) -> list[tuple[HttpExchange, TcpConnect]]:
        """Pages and their connections; none under a certificate that a browser refuses, and none over QUIC."""
        found = []
        for page in self._own(HttpExchange):
            below = self._by_id.get(page.cause or 0)
            if isinstance(below, TlsHandshake) and below.failure is not None:
                continue
            if (tcp := self._connection(page)) is not None:
                found.append((page, tcp))
        return found

    def _above(self, step: AnyObservation) -> Iterator[AnyObservation]:
        """Yield what a step followed from, the nearest first."""
        seen = {step.id}
        while step.cause is not None and step.cause not in seen and (step.cause in self._by_id):
            step = self._by_id[step.cause]
            seen.add(step.id)
            yield step

    def _connection(self, step: AnyObservation) -> TcpConnect | None:
        return next((below for below in self._above(step) if isinstance(below, TcpConnect)), None)

    def _depth(self, step: AnyObservation) -> int:
        return sum(isinstance(above, HttpExchange) and above.redirect is not None for above in self._above(step))

    def _common(self, step: AnyObservation, tcp: TcpConnect) -> Entry:
        tags = [f"depth={self._depth(step)}", "fetch_body=true"]
        return {
            "t0": step.started,
            "t": step.started + step.elapsed,
            "tags": tags,
            "transaction_id": tcp.id,
            "x_wazi_id": step.id,
        }

    def _query(self, lookup: DnsLookup, replies: Iterable[DnsReply], failure: str | None) -> Entry:
        began = lookup.started
        arrived = next((began + reply.arrival for reply in replies), began + lookup.elapsed)
        local = [CLASSIC] if lookup.view is View.LOCAL else []
        return {
            "answers": [entry for reply in replies for a in reply.answers if (entry := _answer(a)) is not None] or None,
            "engine": lookup.protocol,
            "failure": failure,
            "hostname": lookup.name,
            "query_type": lookup.rtype,
            "resolver_hostname": None,
            "resolver_port": None,
            "resolver_address": lookup.resolver,
            "t0": began,
            "t": arrived,
            "tags": [f"depth={self._depth(lookup)}", *local],
            "transaction_id": lookup.id,
            "x_wazi_id": lookup.id,
        }

    def _request(self, page: HttpExchange, tcp: TcpConnect) -> Entry:
        return {
            "network": "tcp",
            "address": _endpoint(page.address or tcp.address, page.port or tcp.port),
            "alpn": {"HTTP/2": "h2", "HTTP/1.1": "http/1.1"}.get(page.http_version or "", ""),
            "failure": page.failure,
            "request": {
                "method": page.method,
                "url": page.url,
                "headers": {},
                "headers_list": [],
                "body": "",
                "body_is_truncated": False,
                "tor": {"exit_ip": None, "exit_name": None, "is_tor": False},
                "x_transport": "tcp",
            },
            "response": {
                "code": page.status or 0,
                "headers": dict(page.headers),
                "headers_list": [list(pair) for pair in page.headers],
                "body": _text(page.body),
                "body_is_truncated": page.truncated is not None or page.body_length > len(page.body),
                "x_body_length": page.body_length,
                "x_body_sha256": page.body_sha256,
            },
            **self._common(page, tcp),
        }

    # The control

    @cached_property
    def _control_query(self) -> ControlQuery | None:
        """The control's answer about the URL itself; of redirects OONI asks nothing."""
        asked = (step for step in self._measurement.observations if isinstance(step, ControlQuery))
        return next((step for step in asked if self._depth(step) == 0), None)

    def _seen_by_control(self, kind: type[O]) -> list[O]:
        query = self._control_query
        steps = (step for step in self._measurement.observations if isinstance(step, kind))
        return [step for step in steps if query is not None and step.view is View.CONTROL and step.cause == query.id]

    @cached_property
    def _control_page(self) -> HttpExchange | None:
        return next(iter(self._seen_by_control(HttpExchange)), None)

    def _seen(self, query: ControlQuery) -> Entry:
        seen: Entry = {
            "tcp_connect": {
                _endpoint(step.address, step.port): {"status": step.failure is None, "failure": step.failure}
                for step in self._seen_by_control(TcpConnect)
            },
            "tls_handshake": {
                _endpoint(step.address, step.port): {
                    "server_name": step.name or self._measurement.target.host,
                    "status": step.failure is None,
                    "failure": step.failure,
                }
                for step in self._seen_by_control(TlsHandshake)
            },
            "ip_info": {address: {"asn": asn, "flags": 0} for address, asn in query.ip_asns},
        }
        if query.resolved or query.dns_failure:
            seen["dns"] = {"failure": query.dns_failure, "addrs": list(query.resolved)}
        if (page := self._control_page) is not None:
            seen["http_request"] = {
                "body_length": page.body_length if page.status else -1,
                "failure": page.failure,
                "title": page.title or "",
                "headers": dict(page.headers),
                "status_code": page.status or -1,
            }
        return seen

    # What is compared

    @property
    def _first_lookups(self) -> list[DnsLookup]:
        return [step for step in self._lookups if step.view is View.LOCAL and self._depth(step) == 0]

    @property
    def _lookup_failure(self) -> str | None:
        first = self._first_lookups
        return first[0].failure if first and all(step.failure is not None for step in first) else None

    @property
    def _same_addresses(self) -> bool:
        """Whether a local answer shares an address or a network with the control's."""
        query = self._control_query
        if query is None:
            return False
        asns = dict(query.ip_asns)
        ours = {address for step in self._first_lookups for address in step.addresses}
        networks = {asns[address] for address in query.resolved if address in asns}
        return any(address in query.resolved or asns.get(address) in networks for address in ours)

    @property
    def _last_page(self) -> HttpExchange | None:
        pages = [page for page, _ in self._pages if page.redirect is None]
        return next((page for page in pages if page.status is not None), None)

    @property
    def _visit_failure(self) -> str | None:
        """Why there was no page: the failure of the last step that a browser would have got to."""
        if self._last_page is not None:
            return None
        pages: list[AnyObservation] = [page for page, _ in self._pages]
        steps = [*pages, *self._own(TlsHandshake), *self._own(TcpConnect), *self._lookups]
        failed = [step for step in steps if step.failure is not None]
        deepest = max((self._depth(step) for step in failed), default=0)
        return next((step.failure for step in failed if self._depth(step) == deepest), None)


def resolver_ip(resolver: str | None) -> str | None:
    """Return the address of a resolver; None when it is not known, or is the volunteer's own."""
    at = endpoint(resolver or "")
    return at[0] if at else canonical(resolver or "")


def _answer(answer: DnsAnswer) -> Entry | None:
    key = {"A": "ipv4", "AAAA": "ipv6", "CNAME": "hostname"}.get(answer.rtype)
    return None if key is None else {"answer_type": answer.rtype, key: answer.data, "ttl": answer.ttl}


_RCODES = {"NXDOMAIN": "dns_nxdomain_error", "REFUSED": "dns_refused_error", "SERVFAIL": "dns_servfail_error"}


def _failure_of(reply: DnsReply, rtype: str) -> str | None:
    if reply.rcode in (None, "NOERROR"):
        return None if any(a.rtype == rtype for a in reply.answers) else "dns_no_answer"
    return _RCODES.get(reply.rcode, "dns_server_misbehaving")


def _proportion(page: HttpExchange, other: HttpExchange) -> float | None:
    longest = max(page.body_length, other.body_length)
    return min(page.body_length, other.body_length) / longest if longest else None


def _endpoint(address: str, port: int) -> str:
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def _text(body: bytes) -> str | Entry:
    try:
        return body.decode("utf-8")
    except UnicodeDecodeError:
        return _base64(body)


def _base64(data: bytes) -> Entry:
    return {"format": "base64", "data": base64.b64encode(data).decode("ascii")}
