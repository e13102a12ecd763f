"""Measurements to store: one that is easy to vary, and a hypothesis strategy for any."""

from __future__ import annotations

import secrets
from typing import Any

from hypothesis import strategies as st

from measurements.model import (
    AnyObservation,
    DnsAnswer,
    DnsLookup,
    DnsReply,
    Finding,
    HttpExchange,
    Measurement,
    Mechanism,
    Outcome,
    Target,
    TlsHandshake,
    Transfer,
    Vantage,
    Verdict,
)

START = 1_790_000_000.0

ACCESSIBLE = Verdict(outcome=Outcome.ACCESSIBLE, summary="It loads.", rules_version=1)
BLOCKED = Verdict(
    outcome=Outcome.BLOCKED,
    mechanism=Mechanism.DNS_BOGON,
    summary="The resolver gave a private address.",
    findings=(Finding(rule="dns.bogon", outcome=Outcome.BLOCKED, mechanism=Mechanism.DNS_BOGON, evidence=(1,)),),
    rules_version=1,
)


def measurement(
    sequence: int = 1,
    *,
    id: str | None = None,
    host: str = "example.org",
    probe_id: str = "probe",
    body: bytes = b"<title>Example</title>",
    truncated: str | None = None,
    started: float | None = None,
    nettest: str = "web",
) -> Measurement:
    """Make a measurement as `web` would."""
    url = f"https://{host}/"
    return Measurement(
        id=id or secrets.token_hex(16),
        sequence=sequence,
        nettest=nettest,
        target=Target(url=url, scheme="https", host=host, port=443, category="NEWS"),
        vantage=Vantage(probe_id=probe_id, country="ET", asn=24757),
        started=START + sequence if started is None else started,
        runtime=1.5,
        observations=(
            DnsLookup(
                id=1,
                resolver="192.0.2.53:53",
                protocol="udp",
                name=host,
                rtype="A",
                replies=(
                    DnsReply(
                        arrival=0.01,
                        source="192.0.2.53:53",
                        rcode="NOERROR",
                        answers=(DnsAnswer(name=host, rtype="A", data="192.0.2.1", ttl=300),),
                    ),
                ),
            ),
            TlsHandshake(id=2, cause=1, address="192.0.2.1", port=443, name=host, chain=(b"\x30\x82", b"\0" * 64)),
            HttpExchange(id=3, cause=2, url=url, status=200, body=body, body_length=len(body), truncated=truncated),
        ),
    )


text = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
number = st.floats(allow_nan=False, allow_infinity=False)
small = st.integers(0, 2**31)


def _step(**fields: st.SearchStrategy[Any]) -> dict[str, st.SearchStrategy[Any]]:
    return {"id": small, "cause": st.none() | small, "started": number, "elapsed": number, "detail": text, **fields}


observation: st.SearchStrategy[AnyObservation] = st.one_of(
    st.builds(DnsLookup, **_step(resolver=text, protocol=text, name=text, rtype=text)),
    st.builds(TlsHandshake, **_step(address=text, port=small, name=st.none() | text, chain=st.tuples(st.binary()))),
    st.builds(
        HttpExchange,
        **_step(
            url=text,
            status=st.none() | small,
            title=st.none() | text,
            headers=st.lists(st.tuples(text, text), max_size=3).map(tuple),
            body=st.binary(max_size=200) | st.binary(min_size=32, max_size=32) | st.just(b"\0" * 65536),
            truncated=st.sampled_from([None, "sample", "wire"]),
        ),
    ),
    st.builds(
        Transfer,
        **_step(
            url=text,
            host=text,
            name=st.none() | text,
            pair=small,
            received=small,
            samples=st.lists(st.tuples(number, small), max_size=200).map(tuple),
            ended=st.sampled_from(["whole", "enough", "time", "stall", "failure"]),
        ),
    ),
)

measurements = st.builds(
    Measurement,
    id=st.binary(min_size=16, max_size=16).map(bytes.hex),
    sequence=st.integers(0, 2**63 - 1),
    nettest=text,
    target=st.builds(Target, url=text, scheme=text, host=text, port=small, category=text),
    vantage=st.builds(Vantage, probe_id=text, country=st.none() | text, asn=st.none() | st.integers(0, 2**32 - 1)),
    started=number,
    runtime=number,
    software=text,
    observations=st.lists(observation, max_size=5).map(tuple),
)

verdicts = st.builds(
    Verdict,
    outcome=st.sampled_from(Outcome),
    mechanism=st.none() | st.sampled_from(Mechanism),
    reason=st.none() | text,
    summary=text,
    findings=st.lists(st.builds(Finding, rule=text, outcome=st.sampled_from(Outcome), summary=text), max_size=3).map(
        tuple
    ),
    rules_version=st.integers(0, 2**31),
)
