"""The rules, in the order in which they speak: the first that finds something decides the verdict.

The `LAST_RESORT` ones say what is missing, and speak only when no other rule has found anything.

A new rule is one function of a `Case` in the file of its layer, and one line here. Ids never change their
meaning; whatever changes a verdict raises `RULES_VERSION`.
"""

from __future__ import annotations

from measurements.case import Rule
from measurements.rules import dns, http, line, network, quic, site, tcp, throttling, tls, trace

RULES_VERSION = 3

RULES: dict[str, Rule] = {
    "network.elsewhere": network.elsewhere,
    "dns.raced": dns.raced,
    "tls.impostor": tls.impostor,
    "site.accessible": site.accessible,
    "site.resolves": site.resolves,
    "site.connects": site.connects,
    "quic.accessible": quic.accessible,
    "trace.passable": trace.passable,
    "network.invalid": network.invalid,
    "throttling.throttled": throttling.throttled,
    "throttling.alike": throttling.alike,
    "throttling.undecided": throttling.undecided,
    "trace.located": trace.located,
    "dns.injected": dns.injected,
    "dns.nxdomain": dns.nxdomain,
    "dns.refused": dns.refused,
    "dns.no_answer": dns.no_answer,
    "dns.bogon": dns.bogon,
    "dns.blockpage": dns.blockpage,
    "dns.timeout": dns.timeout,
    "dns.servfail": dns.servfail,
    "tcp.residual": tcp.residual,
    "tcp.blocked": tcp.blocked,
    "tls.mitm": tls.mitm,
    "tls.blocked": tls.blocked,
    "http.blockpage": http.blockpage,
    "http.blocked": http.blocked,
    "quic.blocked": quic.blocked,
    "network.allowlist": network.allowlist,
    "line.path_mtu": line.path_mtu,
    "line.tls_shape": line.tls_shape,
    "site.certificate": site.certificate,
    "site.refuses": site.refuses,
    "quic.unanswered": quic.unanswered,
    "site.down": site.down,
    "site.nowhere": site.nowhere,
    "line.mixed": line.mixed,
    "network.unsteady": network.unsteady,
    "quic.unsteady": quic.unsteady,
    "quic.down": quic.down,
    "quic.unreachable": quic.unreachable,
    "quic.unknown": quic.unknown,
    "site.rate_limited": site.rate_limited,
    "http.in_clear": http.in_clear,
    "dns.stale": dns.stale,
    "dns.resolver": dns.resolver,
    "site.unreachable": site.unreachable,
    "network.ours": network.ours,
    "site.unknown": site.unknown,
}

LAST_RESORT = frozenset(
    {
        "quic.unsteady",
        "quic.down",
        "quic.unreachable",
        "quic.unknown",
        "http.in_clear",
        "dns.stale",
        "dns.resolver",
        "site.unreachable",
        "network.ours",
        "site.unknown",
        "throttling.undecided",
    }
)
