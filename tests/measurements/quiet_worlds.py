"""Each quiet look-alike as a small scripted world: what explains it is the site, the line or a record gone old."""

from __future__ import annotations

from dataclasses import replace

from measurements.model import Failure, Preconditions
from tests.measurements.worlds import (
    BESIDE,
    HOST,
    NEXT,
    NEXT_DOOR,
    OPEN,
    RESET,
    SINK,
    SITE,
    TIMEOUT,
    W2,
    Disruption,
    H,
    at_witnesses,
    cut_at,
    lie,
)
from tests.scripted import Page, World

QUIET = [
    Disruption("open", OPEN, "accessible"),
    Disruption("open-in-clear", OPEN, "accessible", url=f"http://{HOST}/"),
    Disruption("resolver-drops", replace(OPEN, answers=lie(TIMEOUT)), "unreachable"),
    Disruption("servfail", replace(OPEN, answers=lie(Failure.DNS_SERVFAIL)), "unreachable"),
    Disruption(
        "site-firewall-drops",
        replace(OPEN, ports={(SITE, 443): TIMEOUT}, paths={(SITE, None): cut_at(4, "silence")}),
        "unreachable",
        reason="site_or_network",
    ),
    Disruption(
        "site-firewall-resets",
        replace(OPEN, ports={(SITE, 443): Failure.CONNECTION_REFUSED}, paths={(SITE, None): cut_at(4, "reset")}),
        "unreachable",
    ),
    Disruption(
        "site-firewall-unreachable",
        replace(
            OPEN,
            ports={(SITE, 443): Failure.HOST_UNREACHABLE, (SITE, 80): Failure.HOST_UNREACHABLE},
            paths={(SITE, None): cut_at(4, "unreachable")},
        ),
        "unreachable",
    ),
    Disruption(
        "site-gate-drops-with-witnesses-next-door",
        replace(NEXT_DOOR, ports={(NEXT, 443): TIMEOUT}, paths={(NEXT, None): cut_at(3, "silence")}),
        "unreachable",
    ),
    Disruption(
        "site-gate-resets-with-witnesses-next-door",
        replace(NEXT_DOOR, ports={(NEXT, 443): Failure.CONNECTION_REFUSED}, paths={(NEXT, None): cut_at(3, "reset")}),
        "unreachable",
    ),
    Disruption(
        "edge-resets-a-country",
        replace(OPEN, hands={(SITE, HOST): RESET}, paths={(SITE, HOST): cut_at(4, "reset")}),
        "unreachable",
    ),
    Disruption(
        "edge-alerts",
        replace(OPEN, hands={(SITE, HOST): Failure.SSL_FAILED_HANDSHAKE}, paths={(SITE, HOST): cut_at(4, "data")}),
        "unreachable",
    ),
    Disruption(
        "a-company-refuses-the-name-on-all-its-servers",
        replace(OPEN, hands=at_witnesses(Failure.SSL_FAILED_HANDSHAKE), paths={(SITE, HOST): cut_at(4, "data")}),
        "unreachable",
    ),
    Disruption(
        "private-everywhere",
        replace(OPEN, names={HOST: ["10.1.2.3"]}),
        "inconclusive",
    ),
    Disruption(
        "a-device-of-the-volunteers-own",
        replace(OPEN, ports={("10.1.2.3", 80): None}),
        "inconclusive",
        reason="private_address",
        url="http://10.1.2.3/",
    ),
    Disruption("down", replace(OPEN, ports={(SITE, 443): TIMEOUT}, seen=TIMEOUT), "down"),
    Disruption("nowhere", replace(OPEN, names={}, seen=Failure.DNS_NXDOMAIN), "down"),
    Disruption(
        "expired",
        replace(OPEN, hands={(SITE, HOST): Failure.SSL_INVALID_CERTIFICATE}, seen=Failure.SSL_INVALID_CERTIFICATE),
        "server_side",
    ),
    Disruption(
        "self-signed",
        replace(OPEN, hands={(SITE, HOST): Failure.SSL_UNKNOWN_AUTHORITY}, seen=Failure.SSL_UNKNOWN_AUTHORITY),
        "server_side",
    ),
    Disruption("cdn", World(names={HOST: [SITE, BESIDE]}, answers=lie([[BESIDE]]), seen=Page()), "accessible"),
    Disruption(
        "one-of-three-dead",
        World(names={HOST: [SITE, BESIDE, "203.0.113.12"]}, ports={(BESIDE, 443): TIMEOUT}, seen=Page()),
        "accessible",
        pattern="partial",
    ),
    Disruption("stale", replace(OPEN, answers=lie([["203.0.113.99"]])), "unreachable", reason="stale_dns"),
    Disruption(
        "stale-with-a-parked-page",
        replace(
            OPEN,
            answers=lie([[SINK]]),
            ports={(SINK, 80): None},
            pages={(SINK, HOST): Page(200, b"It works", "Welcome"), (SINK, H): Page(200, b"It works", "Welcome")},
        ),
        "unreachable",
        reason="stale_dns",
    ),
    Disruption(
        "stale-with-a-host-that-sends-all-to-itself",
        replace(
            OPEN,
            answers=lie([[SINK]]),
            ports={(SINK, 80): None},
            pages={(SINK, n): Page(301, b"", None, "http://www.hosting.example/") for n in (HOST, H)},
        ),
        "unreachable",
        reason="stale_dns",
    ),
    Disruption(
        "two-true-replies-and-an-edge-that-resets",
        World(
            names={HOST: [SITE, BESIDE]},
            answers=lie([[SITE], [BESIDE]]),
            hands={(SITE, HOST): RESET},
            paths={(SITE, HOST): cut_at(4, "reset")},
            seen=Page(),
        ),
        "unreachable",
    ),
    Disruption(
        "another-page-of-the-site-for-any-name",
        replace(OPEN, pages={(SITE, n): Page(200, b"<title>Today</title>" * 9, "Today") for n in (HOST, H)}),
        "inconclusive",
        reason="http_diff",
        url=f"http://{HOST}/",
    ),
    Disruption(
        "another-certificate-of-the-edge",
        replace(OPEN, hands={(SITE, n): Failure.SSL_INVALID_HOSTNAME for n in (HOST, H)}),
        "inconclusive",
    ),
    Disruption(
        "dead-site-and-a-stale-answer-where-others-live",
        World(
            names={HOST: [SITE]},
            answers=lie([[SINK]]),
            ports={(SITE, 443): TIMEOUT, (SINK, 80): None, (SINK, 443): Failure.CONNECTION_REFUSED},
            pages={(SINK, n): Page(200, b"It works", "Welcome") for n in (HOST, H)},
            seen=TIMEOUT,
        ),
        "down",
    ),
    Disruption(
        "answer-that-leads-to-another-site",
        World(
            names={HOST: [SITE], "other.example": [SINK]},
            answers=lie([[SINK]]),
            hands={(SINK, n): Failure.SSL_INVALID_HOSTNAME for n in (HOST, H)},
            control_hands={SINK: Failure.SSL_INVALID_HOSTNAME},
            seen=Page(),
        ),
        "unreachable",
        reason="stale_dns",
    ),
    *(
        Disruption(
            f"stale-with-{name}",
            replace(OPEN, answers=lie([[SINK]]), ports={(SINK, 80): None}, pages={(SINK, n): page for n in (HOST, H)}),
            "unreachable",
            reason="stale_dns",
        )
        for name, page in {
            "a-server-that-forbids": Page(
                403, b"<title>403 Forbidden</title>Access denied: unknown host", "403 Forbidden"
            ),
            "an-unpaid-bill": Page(200, b"<p>This site was blocked by its hosting company</p>", "Account suspended"),
            "a-styled-page": Page(200, b"<style>p{display:block}</style><p class=blocked>Soon here", "Soon"),
            "a-script": Page(200, b"<script>if (popup) alert('blocked')</script>Soon here", "Soon"),
        }.items()
    ),
    Disruption("451-of-the-origin", replace(OPEN, pages={(SITE, HOST): Page(451, b"no", "No")}), "server_side"),
    Disruption(
        "captcha-in-clear",
        replace(OPEN, pages={(SITE, HOST): Page(503, b"robot?", "Are you human")}),
        "server_side",
        url=f"http://{HOST}/",
    ),
    Disruption(
        "offline",
        World(names={HOST: [SITE]}, answers=lie(TIMEOUT)),
        "invalid",
        reason="offline",
        preconditions=Preconditions(reason="offline", detail="No network."),
    ),
    Disruption(
        "line-loses-packets",
        replace(OPEN, hands=at_witnesses(TIMEOUT) | {(W2, H): TIMEOUT}),
        "inconclusive",
        reason="unsteady",
    ),
    Disruption("dns-open", OPEN, "accessible", nettest="dns"),
    Disruption("tcp-open", OPEN, "accessible", nettest="tcp"),
]
