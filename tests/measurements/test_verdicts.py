"""Each disruption as a small scripted world, with the verdict that is true in it, and its quiet look-alike."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec
import pytest

from measurements.judge import Case, judge
from measurements.model import (
    DnsLookup,
    DnsReply,
    Failure,
    Hop,
    HttpExchange,
    Outcome,
    Preconditions,
    Purpose,
    Target,
    TcpConnect,
    Verdict,
    View,
)
from measurements.targets import normalise
from probe.nettests import NETTESTS
from probe.network import Network, Resolver
from probe.steps import harmless_name
from tests.scripted import BOGONS, CONTROL, LOCAL, TRUSTED, WITNESSES, Page, ScriptedNetwork, World

HOST = "www.site.example"
SITE = "203.0.113.10"
BESIDE = "203.0.113.11"
H = harmless_name(HOST)
W1, W2, W3 = WITNESSES.values()
BLOCK = Page(200, b"<title>Blocked</title> denied by law", "Blocked")
SINK = "198.51.100.80"
OPEN = World(names={HOST: [SITE]}, seen=Page())
NEXT = "192.0.2.10"  # in the witnesses' own network, and behind the same last router
NEXT_DOOR = World(names={HOST: [NEXT]}, seen=Page())
RESET, TIMEOUT = Failure.CONNECTION_RESET, Failure.TIMEOUT
PLAIN = ("198.51.100.53:53", "198.51.100.54:53")


def at_witnesses(failure: Failure) -> dict[tuple[str, str | None], Failure | None]:
    """The name fails at the site and at every witness."""
    return {(a, HOST): failure for a in (SITE, W1, W2, W3)}


def cut_at(ttl: int, answer: str) -> dict[int, tuple[str, str | None]]:
    """The usual path, up to a distance from which on something else answers."""
    routers = {1: "192.168.0.1", 2: "198.51.100.9", 3: "198.51.100.10"}
    return {t: ("expired", routers[t]) if t < ttl else (answer, None) for t in range(1, 8) if t < ttl or t >= ttl}


@dataclass(frozen=True)
class Disruption:
    """A world, the URL that is asked for in it, and what must be said."""

    name: str
    world: World
    outcome: str
    mechanism: str | None = None
    trigger: str | None = None
    where: str | None = None
    reason: str | None = None
    pattern: str | None = None
    confidence: str | None = None
    url: str = f"https://{HOST}/"
    nettest: str = "web"
    preconditions: Preconditions = field(default_factory=lambda: Preconditions(ipv4_route=True, ipv6_route=False))


def lie(told: list[list[str]] | Failure) -> dict[tuple[str, str], list[list[str]] | Failure]:
    return {(LOCAL.address, HOST): told}


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
        "name_and_address",
    ),
    Disruption(
        "mitm-all",
        replace(
            OPEN,
            hands={(a, n): Failure.SSL_UNKNOWN_AUTHORITY for a in (SITE, W1, W2, W3) for n in (HOST, H)},
            issuers={(a, n): "CN=Gov" for a in (SITE, W1, W2, W3) for n in (HOST, H)},
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


def verdict(disruption: Disruption, *, control: bool = True) -> tuple[Verdict, ScriptedNetwork]:
    world = disruption.world if control else replace(disruption.world, seen=None)
    net = ScriptedNetwork(world, preconditions=disruption.preconditions)
    typed: Network = net
    target = normalise(disruption.url)
    asyncio.run(_measure(disruption.nettest, target, typed))
    return judge(Case(measurement=net.measurement(target, disruption.nettest), bogons=BOGONS)), net


async def _measure(nettest: str, target: Target, net: Network) -> None:
    await NETTESTS[nettest](target, net)


@pytest.mark.parametrize("control", [True, False], ids=["control", "no-control"])
@pytest.mark.parametrize("disruption", BLOCKED, ids=lambda d: d.name)
def test_a_disruption_is_found_and_named(disruption: Disruption, control: bool) -> None:
    """If something blocks the site, the verdict says so and how; without a control, where that can be known."""
    said, net = verdict(disruption, control=control)
    if not control and disruption.name in NEEDS_CONTROL:
        assert (said.outcome, said.reason) == (Outcome.INCONCLUSIVE, "no_control"), said.summary
        return
    assert said.outcome == disruption.outcome, said
    assert said.mechanism == disruption.mechanism, said
    assert disruption.trigger in (None, said.trigger), said
    assert disruption.where in (None, said.where), said
    assert disruption.confidence in (None, said.confidence), said
    ids = {o.id for o in net.observations}
    assert said.findings[0].evidence
    assert set(said.findings[0].evidence) <= ids


@pytest.mark.parametrize("disruption", QUIET, ids=lambda d: d.name)
def test_a_quiet_look_alike_is_not_accused(disruption: Disruption) -> None:
    """If the site or the line explains it, nobody is accused."""
    said, _ = verdict(disruption)
    assert said.outcome == disruption.outcome, said
    assert disruption.reason in (None, said.reason), said
    assert disruption.pattern in (None, said.pattern), said


@pytest.mark.parametrize("disruption", QUIET, ids=lambda d: d.name)
def test_without_a_control_nobody_quiet_is_accused(disruption: Disruption) -> None:
    said, _ = verdict(disruption, control=False)
    assert said.outcome is not Outcome.BLOCKED, said


class LosingAnswers(ScriptedNetwork):
    """The first of a router's answers to the target's own packets, at a distance of three, is lost."""

    async def hop(self, address: str, port: int, **kwargs: Any) -> Hop:
        before = [o for o in self.observations if isinstance(o, Hop) and (o.ttl, o.purpose) == (3, kwargs["purpose"])]
        if kwargs["ttl"] == 3 and kwargs["purpose"] is Purpose.TRACE_TARGET and not before:
            return self._record(Hop, view=View.FOLLOW_UP, address=address, port=port, **kwargs | {"cause": None})
        return await super().hop(address, port, **kwargs)


def test_a_lost_answer_of_a_router_is_not_taken_for_a_drop() -> None:
    """If the site's firewall drops and one ICMP message is lost before it, nobody is accused."""
    world = replace(OPEN, ports={(SITE, 443): TIMEOUT}, paths={(SITE, None): cut_at(4, "silence")})
    net = LosingAnswers(world)
    target = normalise(f"https://{HOST}/")
    asyncio.run(_measure("web", target, net))
    said = judge(Case(measurement=net.measurement(target, "web"), bogons=BOGONS))
    assert said.outcome is Outcome.UNREACHABLE, said


class GivingUpFirst(ScriptedNetwork):
    """Our resolver says that it failed, and a moment later what it heard after all."""

    async def lookup(self, name: str, rtype: str, resolver: Resolver, **kwargs: Any) -> DnsLookup:
        told = await super().lookup(name, rtype, resolver, **kwargs)
        if resolver != LOCAL or name != HOST or rtype != "A":
            return told
        gave_up = DnsReply(arrival=0.0, source=LOCAL.address, rcode="SERVFAIL")
        both = msgspec.structs.replace(told, replies=(gave_up, *told.replies), failure=Failure.DNS_SERVFAIL)
        self.observations[-1] = both
        return both


def test_a_resolver_that_gives_up_too_early_forges_nothing() -> None:
    """If SERVFAIL and the true answer both come, nobody injected either."""
    net = GivingUpFirst(OPEN)
    target = normalise(f"https://{HOST}/")
    asyncio.run(_measure("web", target, net))
    said = judge(Case(measurement=net.measurement(target, "web"), bogons=BOGONS))
    assert said.outcome is Outcome.UNREACHABLE, said


class Hanging(ScriptedNetwork):
    """Every exchange takes its time, and how many were under way at once is known."""

    under_way = most = 0

    async def exchange(self, *args: Any, **kwargs: Any) -> HttpExchange:
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        await asyncio.sleep(0.01)
        self.under_way -= 1
        return await super().exchange(*args, **kwargs)


def test_many_addresses_do_not_use_up_the_time() -> None:
    """If none of six addresses answers the request, the last five are asked at once, and the proof is still found."""
    addresses = [f"203.0.113.{n}" for n in range(10, 16)]
    names = replace(OPEN, names={HOST: addresses})
    net = Hanging(replace(names, pages={(a, HOST): TIMEOUT for a in (*addresses, W1, W2, W3)}))
    target = normalise(f"http://{HOST}/")
    asyncio.run(_measure("web", target, net))
    said = judge(Case(measurement=net.measurement(target, "web"), bogons=BOGONS))
    assert net.most == len(addresses) - 1
    assert said.mechanism == "http.timeout", said


def test_what_answers_at_a_stale_address_does_not_show_that_the_site_lives() -> None:
    """If nothing but a stranger's server answered, nobody says that the site is up."""
    dead = next(d for d in QUIET if d.name == "dead-site-and-a-stale-answer-where-others-live")
    said, _ = verdict(dead, control=False)
    assert (said.outcome, said.reason) == (Outcome.INCONCLUSIVE, "no_control"), said


def test_a_control_knows_who_signed_the_certificate() -> None:
    """If the control is shown the site's own bad certificate too, a server that both share is no proof of a box."""
    at = [(address, HOST) for address in (SITE, W1, W2, W3)]
    bad = Failure.SSL_UNKNOWN_AUTHORITY
    world = replace(OPEN, hands=dict.fromkeys(at, bad), issuers=dict.fromkeys(at, "CN=own"), seen=bad)
    said, _ = verdict(Disruption("self-signed", world, "server_side"))
    assert said.outcome is Outcome.SERVER_SIDE, said


def test_follow_ups_keep_their_allowance() -> None:
    """If much fails, no more than the allowed connections are opened for the follow-up."""
    for disruption in BLOCKED:
        _, net = verdict(disruption)
        opened = [o for o in net.observations if isinstance(o, TcpConnect | Hop) and o.purpose is not None]
        assert len(opened) <= net.limits.follow_up_connections, disruption.name
        assert "follow_up" not in net.spent.limits, f"{disruption.name}: what was found used up the allowance"


class TakingTime(ScriptedNetwork):
    """Connections that others may be asked for before they end."""

    async def connect(self, *args: Any, **kwargs: Any) -> TcpConnect:
        await asyncio.sleep(0.001)
        return await super().connect(*args, **kwargs)

    async def hop(self, *args: Any, **kwargs: Any) -> Hop:
        await asyncio.sleep(0.001)
        return await super().hop(*args, **kwargs)


@pytest.mark.parametrize("allowance", [1, 5, 8, 20])
@pytest.mark.parametrize("disruption", BLOCKED, ids=lambda d: d.name)
def test_steps_side_by_side_share_one_allowance(disruption: Disruption, allowance: int) -> None:
    """If steps are taken side by side, those under way count too."""
    net = TakingTime(disruption.world, preconditions=disruption.preconditions)
    net.limits = replace(net.limits, follow_up_connections=allowance)
    asyncio.run(_measure(disruption.nettest, normalise(disruption.url), net))
    opened = [o for o in net.observations if isinstance(o, TcpConnect | Hop) and o.purpose is not None]
    assert len(opened) <= allowance


def test_the_control_is_never_a_witness() -> None:
    assert CONTROL.split("/")[2] not in WITNESSES
