"""The answer of OONI's test helper (spec ts-017) as a control query and the steps that it saw."""

from __future__ import annotations

from collections.abc import Iterator

from measurements.model import (
    AnyObservation,
    ControlQuery,
    DnsAnswer,
    DnsLookup,
    DnsReply,
    Failure,
    HttpExchange,
    TcpConnect,
    TlsHandshake,
    View,
)
from measurements.ooni_fields import Fields, canonical, clean, endpoint
from measurements.ooni_steps import BIG, RCODES, headers_of, host_of


def control(keys: Fields, url: str, helper: str) -> tuple[ControlQuery, list[AnyObservation]] | None:
    """Read the test helper's answer about `url` and the steps in it; None when it was never asked."""
    failure, detail = keys.failure("control_failure")
    answer = keys.within("control")
    asked = keys.within("x_control_request").texts("tcp_connect") or list(answer.within("tcp_connect").values)
    if not answer.values and failure is None:
        if "x_control_request" not in keys:
            return None
        failure, detail = Failure.UNKNOWN, "the record holds no answer"
    dns = answer.within("dns")
    resolved = tuple(dict.fromkeys(a for a in map(canonical, dns.texts("addrs")) if a))
    dns_failure, _ = dns.failure("failure")
    if "dns" in answer and dns_failure is None and not resolved:
        dns_failure = Failure.NO_DNS_ANSWER
    steps = list(_control_steps(answer, url, helper, resolved, dns_failure)) if answer.values else []
    query = ControlQuery(
        id=0,
        failure=failure,
        detail="; ".join(filter(None, (detail, helper, answer.detail))),
        url=url,
        endpoints=tuple(clean(str(text)) for text in asked),
        resolved=resolved,
        dns_failure=dns_failure.value if dns_failure else None,
        ip_asns=tuple(_asns(answer)),
    )
    return query, steps


def _control_steps(
    answer: Fields, url: str, helper: str, resolved: tuple[str, ...], dns_failure: Failure | None
) -> Iterator[AnyObservation]:
    host = host_of(url) or ""
    if "dns" in answer and canonical(host) is None:
        yield from _control_lookups(host, helper, resolved, dns_failure)
    for key, said in answer.by_key("tcp_connect"):
        if (at := endpoint(key)) is not None:
            failure, detail = _said(said)
            yield TcpConnect(id=0, view=View.CONTROL, failure=failure, detail=detail, address=at[0], port=at[1])
    for key, said in answer.by_key("tls_handshake"):
        if (at := endpoint(key)) is not None:
            failure, detail = _said(said)
            name = said.text("server_name").lower() or None
            yield TlsHandshake(
                id=0,
                view=View.CONTROL,
                failure=failure,
                detail=detail,
                address=at[0],
                port=at[1],
                name=None if name is None or canonical(name) else name,
                verified_name=name,
                hello="",
            )
    yield from _control_page(answer, url, host, dns_failure)


def _control_lookups(
    host: str, helper: str, resolved: tuple[str, ...], dns_failure: Failure | None
) -> Iterator[DnsLookup]:
    for rtype in ("A", "AAAA"):
        records = tuple(
            DnsAnswer(name=host, rtype=rtype, data=a, ttl=0) for a in resolved if (":" in a) == (rtype == "AAAA")
        )
        why = dns_failure or (None if records else Failure.NO_DNS_ANSWER)
        rcode = "NOERROR" if why is None else RCODES.get(why)
        yield DnsLookup(
            id=0,
            view=View.CONTROL,
            failure=why,
            resolver=helper or "control",
            protocol="control",
            name=host,
            rtype=rtype,
            replies=(DnsReply(arrival=0.0, source=helper, rcode=rcode, answers=records),) if rcode else (),
        )


def _control_page(answer: Fields, url: str, host: str, dns_failure: Failure | None) -> Iterator[HttpExchange]:
    page = answer.within("http_request")
    if not page.values:
        return
    failure, detail = page.failure("failure")
    if page.values.get("failure") == "dns_lookup_error" and dns_failure is not None:
        failure = dns_failure
    status = page.whole("status_code", 100, 999, none=(0, -1))
    if status is None and failure is None:
        failure, detail = Failure.UNKNOWN, "the test helper names neither a status nor a failure"
    yield HttpExchange(
        id=0,
        view=View.CONTROL,
        failure=failure,
        detail=detail,
        url=url,
        host=host,
        status=status,
        headers=tuple(headers_of(page)),
        title=page.text("title")[:512] or None,
        body_length=page.whole("body_length", 0, BIG, none=(-1,)) or 0,
    )


def _said(said: Fields) -> tuple[Failure | None, str]:
    failure, detail = said.failure("failure")
    if failure is None and said.flag("status") is not True:
        return Failure.UNKNOWN, "the test helper says that it failed and not why"
    return failure, detail


def _asns(answer: Fields) -> Iterator[tuple[str, int]]:
    for key, info in answer.by_key("ip_info"):
        address, asn = canonical(key), info.whole("asn", 1, 2**32 - 1, none=(0,))
        if address is not None and asn is not None:
            yield address, asn
