"""A site whose connection failed, step by step: what proofs are read off."""

from __future__ import annotations

from typing import Any

from measurements.model import AnyObservation, DnsAnswer, DnsLookup, DnsReply, Failure, TcpConnect, View
from measurements.reading import Reading
from measurements.targets import normalise

HOST = "www.site.example"
SITE, BESIDE = "203.0.113.10", "203.0.113.11"
RESET, TIMEOUT = Failure.CONNECTION_RESET, Failure.TIMEOUT


def told(steps: list[AnyObservation], url: str = f"https://{HOST}/") -> Reading:
    return Reading(normalise(url), steps, lambda address: False)


def lookup(steps: list[AnyObservation], view: View, *addresses: str) -> None:
    records = tuple(DnsAnswer(name=HOST, rtype="A", data=a, ttl=60) for a in addresses)
    asked: dict[str, Any] = {"name": HOST, "rtype": "A", "resolver": "r", "protocol": "udp"}
    reply = DnsReply(arrival=0.0, source="r", rcode="NOERROR", answers=records)
    steps.append(DnsLookup(id=len(steps) + 1, view=view, replies=(reply,), **asked))


def scene(
    failure: Failure | None = TIMEOUT, trusted: tuple[str, ...] = (SITE,), url: str = f"https://{HOST}/"
) -> list[AnyObservation]:
    """Our lookup and others', and a connection of ours to the address that failed."""
    steps: list[AnyObservation] = []
    lookup(steps, View.LOCAL, SITE)
    lookup(steps, View.TRUSTED, *trusted)
    port = 443 if url.startswith("https:") else 80
    steps.append(TcpConnect(id=3, cause=1, address=SITE, port=port, failure=failure))
    return steps
