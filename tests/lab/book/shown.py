"""For every rule a scenario in which it finds something, and one that looks like it in which it must not.

The lab holds both against what the rules really say whenever it runs one of these scenarios.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple


class Shown(NamedTuple):
    """Names of scenarios: the rule must be among the findings of `fires`, and not among those of `silent`."""

    fires: str
    silent: str
    control: bool = True


SHOWN: dict[str, Shown] = {
    "network.elsewhere": Shown("vpn", "open"),
    "dns.raced": Shown("dns-injected-aaaa", "dns-injected-elsewhere"),
    "tls.impostor": Shown("trusted-451", "trusted-elsewhere"),
    "site.accessible": Shown("open", "tls-reset"),
    "site.resolves": Shown("lookup-alone", "lookup-alone-nxdomain"),
    "site.connects": Shown("connection-alone", "connection-alone-dropped"),
    "quic.accessible": Shown("quic-open", "quic-name-dropped"),
    "trace.passable": Shown("trace-open", "trace-site-resets"),
    "network.invalid": Shown("no-network", "open"),
    "throttling.throttled": Shown("pace-throttled", "pace-open"),
    "throttling.alike": Shown("pace-open", "pace-throttled"),
    "throttling.undecided": Shown("pace-open", "open", control=False),
    "trace.located": Shown("trace-reset-at-border", "trace-site-resets"),
    "dns.injected": Shown("dns-injected", "dns-injected-far-resolver"),
    "dns.nxdomain": Shown("dns-nxdomain", "no-such-domain"),
    "dns.refused": Shown("dns-refused", "dns-dropped-by-resolver"),
    "dns.no_answer": Shown("dns-no-data", "no-address-anywhere"),
    "dns.bogon": Shown("dns-bogon", "dns-blockpage"),
    "dns.blockpage": Shown("dns-blockpage", "cdn"),
    "dns.timeout": Shown("dns-dropped", "dns-dropped-by-resolver"),
    "dns.servfail": Shown("dns-injected-servfail", "dns-servfail"),
    "tcp.residual": Shown("tls-residual-before", "syn-dropped"),
    "tcp.blocked": Shown("syn-dropped", "site-drops-syn"),
    "tls.mitm": Shown("tls-intercepted", "expired-certificate"),
    "tls.blocked": Shown("tls-reset", "site-resets-hello"),
    "http.blockpage": Shown("http-blockpage", "http-proxy-elsewhere"),
    "http.blocked": Shown("http-reset", "open-http"),
    "quic.blocked": Shown("quic-name-dropped", "quic-name-dropped-by-site"),
    "network.allowlist": Shown("allowlist", "syn-dropped"),
    "line.path_mtu": Shown("path-mtu-large-page", "tls-dropped"),
    "line.tls_shape": Shown("tls-split-stumbles", "tls-reset-split"),
    "site.certificate": Shown("expired-certificate", "tls-intercepted"),
    "site.refuses": Shown("bot-wall-403-https", "cdn"),
    "quic.unanswered": Shown("web-without-quic", "web-with-quic"),
    "site.down": Shown("down-everywhere", "site-drops-syn"),
    "site.nowhere": Shown("no-such-domain", "dns-nxdomain"),
    "line.mixed": Shown("tls-reset-of-ten-seven", "tls-reset"),
    "network.unsteady": Shown("rationed-connections", "site-drops-syn"),
    "quic.unsteady": Shown("quic-lost-once", "quic-open"),
    "quic.down": Shown("quic-not-spoken", "quic-name-dropped"),
    "quic.unreachable": Shown("quic-dropped-by-site", "quic-address-dropped"),
    "quic.unknown": Shown("quic-not-spoken", "quic-name-dropped", control=False),
    "site.rate_limited": Shown("rationed-redirects", "rationed-connections"),
    "http.in_clear": Shown("open-http", "open-upgrade", control=False),
    "dns.stale": Shown("stale-dead", "dns-blockpage"),
    "dns.resolver": Shown("dns-dropped-by-resolver", "dns-nxdomain"),
    "site.unreachable": Shown("site-drops-syn", "syn-dropped"),
    "network.ours": Shown("out-of-time", "hundred-redirects"),
    "site.unknown": Shown("down-everywhere", "open", control=False),
}


def unlike_shown(scenario: str, control: bool, found: Iterable[str]) -> list[str]:
    """Say where the rules that `found` something in a scenario are others than is shown here."""
    found, other = set(found), []
    for rule, shown in SHOWN.items():
        if shown.control is control and scenario == shown.fires and rule not in found:
            other.append(f"{rule} did not speak")
        if shown.control is control and scenario == shown.silent and rule in found:
            other.append(f"{rule} spoke")
    return other
