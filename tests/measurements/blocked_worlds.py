"""Each disruption as a small scripted world, with the verdict that is true in it."""

from __future__ import annotations

from dataclasses import replace

from measurements.model import Failure
from tests.measurements.worlds import (
    ALL,
    BLOCK,
    EVERY_NAME,
    HOST,
    NEXT,
    NEXT_DOOR,
    OPEN,
    PLAIN,
    RESET,
    SINK,
    SITE,
    TIMEOUT,
    W1,
    W2,
    W3,
    Disruption,
    H,
    at_witnesses,
    cut_at,
    lie,
)
from tests.scripted import TRUSTED, Page, World

DEAD = "203.0.113.12"

BLOCKED = [
    Disruption(
        "nxdomain",
        replace(OPEN, answers=lie(Failure.DNS_NXDOMAIN)),
        "blocked",
        "dns.nxdomain",
        "name",
        "resolver",
        confidence="confirmed",
    ),
    Disruption(
        "refused", replace(OPEN, answers=lie(Failure.DNS_REFUSED)), "blocked", "dns.refused", "name", "resolver"
    ),
    Disruption(
        "no-answer", replace(OPEN, answers=lie(Failure.NO_DNS_ANSWER)), "blocked", "dns.no_answer", "name", "resolver"
    ),
    Disruption("bogon", replace(OPEN, answers=lie([["10.1.2.3"]])), "blocked", "dns.bogon", "name", "resolver"),
    Disruption(
        "block-page-address",
        replace(OPEN, answers=lie([[SINK]]), ports={(SINK, 80): None}, pages={(SINK, HOST): BLOCK, (SINK, H): BLOCK}),
        "blocked",
        "dns.blockpage",
        "name",
        "resolver",
    ),
    Disruption(
        "injected", replace(OPEN, answers=lie([["203.0.113.77"], [SITE]])), "blocked", "dns.injected", "name", "network"
    ),
    Disruption(
        "forged-where-no-trusted-resolver-answers",
        replace(
            OPEN,
            answers=lie([["203.0.113.77"], [SITE]])
            | {(r.address, HOST): TIMEOUT for r in TRUSTED}
            | {(r, HOST): [["203.0.113.77"]] for r in PLAIN},
        ),
        "blocked",
        "dns.injected",
        "name",
        "network",
        confidence="confirmed",
    ),
    Disruption(
        "forged-everywhere",
        replace(OPEN, answers=lie([["203.0.113.77"]]) | {(f"{W1}:53", HOST): [["203.0.113.77"]]}),
        "blocked",
        "dns.injected",
        "name",
        "network",
    ),
    Disruption(
        "dns-dropped-on-path",
        replace(OPEN, answers=lie(TIMEOUT) | {(r, HOST): TIMEOUT for r in PLAIN}),
        "blocked",
        "dns.timeout",
        "name",
        "network",
        confidence="likely",
    ),
    Disruption(
        "router-answers-dns",
        replace(OPEN, answers=lie([["0.0.0.0"]]) | {("ttl 1", HOST): [["0.0.0.0"]]}),
        "blocked",
        "dns.bogon",
        "name",
        "local",
    ),
    Disruption(
        "syn-dropped",
        replace(OPEN, ports={(SITE, 443): TIMEOUT, (SITE, 80): TIMEOUT}, paths={(SITE, None): cut_at(3, "silence")}),
        "blocked",
        "tcp.timeout",
        "address",
        "network",
    ),
    Disruption(
        "syn-reset",
        replace(
            OPEN,
            ports={(SITE, 443): Failure.CONNECTION_REFUSED, (SITE, 80): Failure.CONNECTION_REFUSED},
            paths={(SITE, None): cut_at(3, "reset")},
        ),
        "blocked",
        "tcp.reset",
        "address",
        "network",
        confidence="confirmed",
    ),
    Disruption(
        "syn-unreachable",
        replace(
            OPEN,
            ports={(SITE, 443): Failure.HOST_UNREACHABLE, (SITE, 80): Failure.HOST_UNREACHABLE},
            paths={(SITE, None): cut_at(3, "unreachable")},
        ),
        "blocked",
        "tcp.unreachable",
        "address",
        "network",
        confidence="likely",
    ),
    Disruption(
        "syn-dropped-with-witnesses-next-door",
        replace(
            NEXT_DOOR, ports={(NEXT, 443): TIMEOUT, (NEXT, 80): TIMEOUT}, paths={(NEXT, None): cut_at(2, "silence")}
        ),
        "blocked",
        "tcp.timeout",
        "address",
        "network",
    ),
    Disruption(
        "sni-reset-at-one-address-syn-dropped-at-another",
        World(
            names={HOST: [DEAD, SITE]},
            ports={(DEAD, 443): TIMEOUT, (DEAD, 80): TIMEOUT},
            hands=at_witnesses(RESET),
            seen=Page(),
        ),
        "blocked",
        "tls.reset",
        "name",
        "network",
    ),
    Disruption(
        "sni-reset",
        replace(OPEN, hands=at_witnesses(RESET), paths={(SITE, HOST): cut_at(3, "reset")}),
        "blocked",
        "tls.reset",
        "name",
        "network",
        confidence="confirmed",
    ),
    Disruption(
        "sni-reset-place-unknown",
        replace(OPEN, hands=at_witnesses(RESET), paths={(SITE, HOST): cut_at(4, "reset")}),
        "blocked",
        "tls.reset",
        "name",
        "network",
        confidence="likely",
    ),
    Disruption(
        "sni-dropped",
        replace(OPEN, hands=at_witnesses(TIMEOUT), paths={(SITE, HOST): cut_at(3, "silence")}),
        "blocked",
        "tls.timeout",
        "name",
        "network",
    ),
    Disruption("sni-eof", replace(OPEN, hands=at_witnesses(Failure.EOF)), "blocked", "tls.eof", "name"),
    Disruption(
        "sni-reset-at-this-address-only",
        replace(OPEN, hands={(SITE, HOST): RESET}, paths={(SITE, HOST): cut_at(3, "reset")}),
        "blocked",
        "tls.reset",
        "name_and_address",
        "network",
    ),
    Disruption(
        "home-router",
        replace(OPEN, hands=at_witnesses(RESET), paths={(SITE, HOST): cut_at(1, "reset")}),
        "blocked",
        "tls.reset",
        "name",
        "local",
    ),
    Disruption(
        "sni-alert",
        replace(OPEN, hands=at_witnesses(Failure.SSL_FAILED_HANDSHAKE), paths={(SITE, HOST): cut_at(3, "data")}),
        "blocked",
        "tls.alert",
        "name",
    ),
    Disruption(
        "mitm-all",
        replace(
            OPEN,
            hands={(a, n): Failure.SSL_UNKNOWN_AUTHORITY for a in ALL for n in EVERY_NAME},
            issuers={(a, n): "CN=Gov" for a in ALL for n in EVERY_NAME},
        ),
        "blocked",
        "tls.mitm",
        "any",
    ),
    Disruption(
        "mitm-name",
        replace(
            OPEN,
            hands={(a, HOST): Failure.SSL_UNKNOWN_AUTHORITY for a in (SITE, W1, W2, W3)},
            issuers={(a, HOST): "CN=Gov" for a in (SITE, W1, W2, W3)},
        ),
        "blocked",
        "tls.mitm",
        "name",
    ),
    Disruption(
        "host-blockpage",
        replace(OPEN, pages={(a, HOST): BLOCK for a in (SITE, W1, W2, W3)}),
        "blocked",
        "http.blockpage",
        "name",
        url=f"http://{HOST}/",
    ),
    Disruption(
        "host-redirect",
        replace(
            OPEN,
            pages={(SINK, SINK): BLOCK}
            | {(a, HOST): Page(302, b"", None, f"http://{SINK}/") for a in (SITE, W1, W2, W3)},
            ports={(SINK, 80): None},
        ),
        "blocked",
        "http.redirect",
        "name",
        url=f"http://{HOST}/",
    ),
    Disruption(
        "host-reset",
        replace(OPEN, pages={(a, HOST): RESET for a in (SITE, W1, W2, W3)}),
        "blocked",
        "http.reset",
        "name",
        url=f"http://{HOST}/",
    ),
]

BLOCKED += [
    Disruption(
        "nxdomain-in-clear",
        replace(OPEN, answers=lie(Failure.DNS_NXDOMAIN)),
        "blocked",
        "dns.nxdomain",
        "name",
        "resolver",
        confidence="confirmed",
        url=f"http://{HOST}/",
    ),
    Disruption(
        "nxdomain-of-a-site-without-tls",
        replace(
            OPEN,
            answers=lie(Failure.DNS_NXDOMAIN) | {(TRUSTED[1].address, HOST): TIMEOUT},
            ports={(SITE, 443): Failure.CONNECTION_REFUSED},
        ),
        "blocked",
        "dns.nxdomain",
        "name",
        "resolver",
        confidence="likely",
        url=f"http://{HOST}/",
    ),
    Disruption(
        "block-page-address-with-a-refusal",
        replace(
            OPEN,
            answers=lie([[SINK]]),
            ports={(SINK, 80): None},
            pages={(SINK, n): Page(403, b"<h1>Access denied</h1> by order of the court", "Sorry") for n in (HOST, H)},
        ),
        "blocked",
        "dns.blockpage",
        "name",
        "resolver",
    ),
    Disruption(
        "block-page-address-that-redirects",
        replace(
            OPEN,
            answers=lie([[SINK]]),
            ports={(SINK, 80): None},
            pages={(SINK, n): Page(302, b"", None, "http://notice.example/blocked") for n in (HOST, H)},
        ),
        "blocked",
        "dns.blockpage",
        "name",
        "resolver",
    ),
]

BLOCKED += [
    Disruption(
        "page-at-the-address-from-short-of-it",
        replace(OPEN, pages={(SITE, n): BLOCK for n in (HOST, H)}, paths={(SITE, None): cut_at(2, "open")}),
        "blocked",
        "http.blockpage",
        "address",
        "network",
        url=f"http://{HOST}/",
    ),
    Disruption(
        "another-certificate-at-the-address-from-short-of-it",
        replace(
            OPEN,
            hands={(SITE, n): Failure.SSL_INVALID_HOSTNAME for n in (HOST, H)},
            paths={(SITE, None): cut_at(2, "open")},
        ),
        "blocked",
        "tls.mitm",
        "address",
        "network",
    ),
]

NEEDS_CONTROL = {"another-certificate-at-the-address-from-short-of-it"}
NEEDS_CONTROL |= {"syn-dropped", "syn-reset", "syn-unreachable", "syn-dropped-with-witnesses-next-door"}
