"""Small scripted worlds, each with the verdict that is true in it, and how one is measured and judged."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace

from measurements.judge import Case, judge
from measurements.model import Failure, Past, Preconditions, Target, Verdict
from measurements.targets import normalise
from probe.nettests import NETTESTS
from probe.network import Network
from probe.steps import harmless_name
from tests.scripted import BOGONS, LOCAL, WITNESSES, Page, ScriptedNetwork, World

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
SIX = "2001:db8:1::10"
IN_CLEAR = f"http://{HOST}/"
ALL = (SITE, W1, W2, W3)
EVERY_NAME = (HOST, H, *WITNESSES)  # a harmless one, and the witnesses' own
Hands = dict[tuple[str, str | None], Failure | None]
Issuers = dict[tuple[str, str | None], str]
Paths = dict[tuple[str, str | None], dict[int, tuple[str, str | None]]]
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


def play(
    disruption: Disruption, net: ScriptedNetwork | None = None, history: tuple[Past, ...] = ()
) -> tuple[Verdict, ScriptedNetwork]:
    """Measure in a disruption's world, by a network of the test's own or the plain one, and judge."""
    net = net or ScriptedNetwork(disruption.world, preconditions=disruption.preconditions)
    typed: Network = net
    target = normalise(disruption.url)
    asyncio.run(_measure(disruption.nettest, target, typed))
    measurement = net.measurement(target, disruption.nettest)
    return judge(Case(measurement=measurement, bogons=BOGONS, history=history)), net


async def _measure(nettest: str, target: Target, net: Network) -> None:
    await NETTESTS[nettest](target, net)


def without_control(disruption: Disruption) -> Disruption:
    return replace(disruption, world=replace(disruption.world, seen=None))


def said(world: World, url: str = f"https://{HOST}/", nettest: str = "web", ipv6: bool = False) -> Verdict:
    """Judge what is measured in a world."""
    before = Preconditions(ipv4_route=True, ipv6_route=ipv6)
    return play(Disruption("", world, "", url=url, nettest=nettest, preconditions=before))[0]


def by_rule(verdict: Verdict) -> tuple[str, str | None]:
    return verdict.outcome.value, verdict.findings[0].rule if verdict.findings else None
