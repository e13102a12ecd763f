"""The book of scenarios: what may go wrong between a home and a site, and the verdict each deserves.

One chapter a file; `BOOK` is all of them by name. Every censoring scenario has a quiet look-alike. Verdicts follow
DESIGN sections 3 and 4: `blocked` needs proof that the site is alive and proof that something is in between;
without a control, both must be found locally, or the verdict says what is missing.
"""

from __future__ import annotations

from tests.lab.book import (
    addresses,
    alike,
    dns,
    fingerprints,
    hellos,
    home,
    hops,
    http,
    injection,
    lies,
    mixed,
    moments,
    oddities,
    ooni,
    ordinary,
    pace,
    quic,
    requests,
    tcp,
    tls,
    trace,
)
from tests.lab.book.ordinary import OPEN
from tests.lab.scenario import Scenario

CHAPTERS: dict[str, tuple[Scenario, ...]] = {
    "ordinary": ordinary.ORDINARY,
    "dns": dns.DNS,
    "tcp": tcp.TCP,
    "tls": tls.TLS,
    "http": http.HTTP,
    "ooni": ooni.OONI,
    "oddities": oddities.ODDITIES,
    "home": home.HOME,
    "alike": alike.ALIKE,
    "trace": trace.TRACE,
    "lies": lies.LIES,
    "injection": injection.INJECTION,
    "addresses": addresses.ADDRESSES,
    "hellos": hellos.HELLOS,
    "moments": moments.MOMENTS,
    "requests": requests.REQUESTS,
    "hops": hops.HOPS,
    "mixed": mixed.MIXED,
    "fingerprints": fingerprints.FINGERPRINTS,
    "quic": quic.QUIC,
    "pace": pace.PACE,
}

BOOK = {scenario.name: scenario for chapter in CHAPTERS.values() for scenario in chapter}

AWAITED: frozenset[str] = frozenset()
"""Scenarios that the probe does not judge as it should yet; to be empty before a release."""

__all__ = ["AWAITED", "BOOK", "CHAPTERS", "OPEN"]
