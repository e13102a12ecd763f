"""The addresses that a measurement names: servers, resolvers, routers, answers, and the hosts of its URLs.

They are what was measured, and stay where they stand, and where a page says them again. So do those that the
target's URL holds, in a name such as `ec2-3-120-33-44` too: whoever chose the target wrote them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache

from measurements.address_forms import Address, parse
from measurements.model import (
    AnyObservation,
    Capture,
    ControlQuery,
    DnsLookup,
    Hop,
    HttpExchange,
    Measurement,
    QuicHandshake,
    TcpConnect,
    TlsHandshake,
    Transfer,
)

NAMING = frozenset(
    {"address", "through", "router", "resolver", "source", "endpoints", "peers", "resolved", "ip_asns", "data"}
)
"""Fields that name an address, or are an answer."""

_HOST = re.compile(r"[a-z][a-z0-9+.-]{0,20}://(?:[^/?#@]{0,200}@)?(\[[^\]/?#]{0,60}\]|[^/?#:]{1,60})", re.IGNORECASE)
_FOUR = re.compile(r"(?<![0-9])(?=" + r"[.\-_]".join([r"([0-9]{1,3})"] * 4) + r"(?![0-9]))")
_BETWEEN = re.compile(r"[\s,=\"]+")  # what stands between addresses in an answer such as an HTTPS record


def named(measurement: Measurement) -> frozenset[Address]:
    """Return every address that a step names."""
    said = set(_texts(measurement))
    return frozenset(address for text in said if (address := _read(text)) is not None)


@lru_cache(maxsize=4096)
def _read(text: str) -> Address | None:
    return parse(text)


def _texts(measurement: Measurement) -> Iterator[str]:
    yield measurement.target.host
    yield _host(measurement.target.url)
    yield from (".".join(row.group(1, 2, 3, 4)) for row in _FOUR.finditer(measurement.target.url))
    yield measurement.vantage.resolver or ""
    for step in measurement.observations:
        yield from _of_step(step)


def _of_step(step: AnyObservation) -> Iterator[str]:
    match step:
        case DnsLookup():
            yield step.resolver
            yield _host(step.resolver)
            yield from (error.source or "" for error in step.icmp)
            for reply in step.replies:
                yield reply.source
                for answer in reply.answers:
                    yield from _BETWEEN.split(answer.data)
        case TcpConnect():
            yield step.address
            yield step.through or ""
        case TlsHandshake():
            yield step.address
        case QuicHandshake():
            yield step.address
            yield from (error.source or "" for error in step.icmp)
        case HttpExchange():
            yield step.address
            yield _host(step.url)
            yield _host(step.redirect or "")
        case Transfer():
            yield step.address
            yield _host(step.url)
        case Hop():
            yield step.address
            yield step.router or ""
        case Capture():
            yield from step.peers
            yield from (packet.source for packet in step.packets)
        case ControlQuery():
            yield from (_host(step.url), *step.endpoints, *step.resolved)
            yield from (address for address, _ in step.ip_asns)


def _host(url: str) -> str:
    match = _HOST.match(url)
    return match[1] if match else ""
