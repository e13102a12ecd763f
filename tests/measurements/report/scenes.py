"""Stores with events in them, as real measurements would leave them: scripted worlds, the real nettests, the real
rules, the real detector. Only the names and the times are put in afterwards.
"""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache

from msgspec.structs import replace

from measurements.dossier import Dossier, Tally
from measurements.events.nouns import Event, Settings
from measurements.judge import Case, judge
from measurements.model import (
    Canary,
    Gap,
    Measurement,
    Outcome,
    Preconditions,
    Target,
    Vantage,
    Verdict,
    decode,
    encode,
)
from measurements.standing import Standing, keep_outages
from measurements.store import Store
from measurements.store.records import Kept
from measurements.targets import normalise
from probe.nettests import NETTESTS
from tests.measurements.blocked_worlds import BLOCKED
from tests.measurements.quiet_worlds import QUIET
from tests.measurements.worlds import HOST
from tests.probe.nettests import test_throttling as pace
from tests.scripted import BOGONS, Page, ScriptedNetwork

HOUR = 3600.0
START = 1_793_340_000.0  # 2026-10-30 06:00 UTC
SETTINGS = Settings(volume_per_week=20_000.0, fixed_volume=True)
GOOD = Preconditions(
    ipv4_route=True,
    ipv6_route=False,
    resolver_alive=True,
    trusted_alive=True,
    witness_alive=True,
    clock_offset=0.4,
    control_alive=True,
    foreign_alive=True,
    domestic_alive=True,
    canaries=(
        Canary(kind="foreign", way="tls", name="one.example"),
        Canary(kind="foreign", way="http", name="two.example"),
        Canary(kind="domestic", way="tls", name="three.example"),
    ),
)
SOFTWARE = "wazi 0.1.0 (python 3.11)"


@dataclass(frozen=True)
class Line:
    """A probe on a line, and how often it asks, in hours."""

    probe: str
    asn: int = 24757
    country: str = "ET"
    every: float = 1.0
    placebo: str = "one.example"


Seen = Callable[[Line, str, float], str | None]  # the name of the world that it finds at an hour; None: not asked


async def _measure(nettest: str, target: Target, net: ScriptedNetwork) -> None:
    await NETTESTS[nettest](target, net)


@cache
def shown(name: str) -> tuple[Measurement, Verdict]:
    """Measure once in a world by its name, and judge."""
    line = GOOD
    if name == "throttled":
        net = pace.network(pace.world(pace.SLOW))
        nettest = "throttling"
    elif name == "fast":
        net = pace.network(pace.world())
        nettest = "throttling"
    else:
        found = next(one for one in (*BLOCKED, *QUIET) if one.name == name)
        world = found.world
        if world.seen is not None and name != "down":
            world = dataclasses.replace(world, seen=Page(body=b"<title>The real site</title> welcome" * 9))
        net = ScriptedNetwork(world)
        nettest = found.nettest
        line = GOOD if found.preconditions.reason is None else found.preconditions
    target = normalise(f"https://{HOST}/")
    asyncio.run(_measure(nettest, target, net))
    measurement = replace(net.measurement(target, nettest), preconditions=line, software=SOFTWARE, runtime=4.2)
    return measurement, judge(Case(measurement, BOGONS))


@cache
def about(name: str, host: str) -> tuple[Measurement, Verdict]:
    """The same about another host."""
    fact, verdict = shown(name)
    renamed = [encode(one).replace(HOST.encode(), host.encode()) for one in (fact, verdict)]
    return decode(renamed[0], Measurement), decode(renamed[1], Verdict)


class Writer:
    """Fills a store with measurements that count up."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._sequences: dict[str, int] = {}
        self._number = 0

    def add(self, name: str, host: str, line: Line, hour: float, *, placebo: bool = False) -> Measurement:
        fact, verdict = about(name, host)
        self._number += 1
        self._sequences[line.probe] = self._sequences.get(line.probe, 0) + 1
        made = replace(
            fact,
            id=f"{self._number * 0x9E3779B97F4A7C15 % 2**64:016x}{self._number:016x}",
            sequence=self._sequences[line.probe],
            started=START + hour * HOUR,
            vantage=Vantage(
                probe_id=line.probe, country=line.country or None, asn=line.asn or None, resolver="private-1:53"
            ),
            placebo=placebo,
        )
        self._store.add(made, verdict)
        return made


def play(
    store: Store,
    lines: Sequence[Line],
    hosts: Sequence[str],
    hours: tuple[float, float],
    seen: Seen,
    gaps: Iterable[Gap] = (),
    settings: Settings = SETTINGS,
) -> list[Event]:
    """Let lines ask about hosts for some hours, each finding what `seen` says; return the events, newest first."""
    writer = Writer(store)
    rounds = ((hours[0] + turn * line.every, turn, line) for line in lines for turn in range(_turns(line, hours)))
    for hour, turn, line in sorted(rounds, key=lambda one: one[0]):
        for index, host in enumerate(hosts):
            at = hour + 0.8 * line.every * index / len(hosts)
            if (name := seen(line, host, at)) is not None:
                writer.add(name, host, line, at)
        if turn % 4 == 0:
            writer.add("open", line.placebo, line, hour + 0.01, placebo=True)
    for gap in gaps:
        store.add_gap(gap)
    store.flush(300)
    Standing(store.ledger, settings, now=lambda: START + 90 * 24 * HOUR).catch_up()
    return list(store.ledger.events())


def _turns(line: Line, hours: tuple[float, float]) -> int:
    return round((hours[1] - hours[0]) / line.every)


def gap(probe: str, since: float, until: float, why: str) -> Gap:
    return Gap(probe_id=probe, since=START + since * HOUR, until=START + until * HOUR, why=why)


ADDIS, DIRE = Line("p-addis", every=0.25), Line("p-dire", 328988, every=0.25)
ABROAD = Line("p-nairobi", 36926, "KE")


def two_hours(store: Store) -> list[Event]:
    """Two lines of two networks find two names reset for two hours; a line abroad does not."""
    blocked = ("facebook.com", "x.com")

    def seen(line: Line, host: str, hour: float) -> str | None:
        if line.probe == "p-dire" and 9.0 <= hour < 9.6:
            return None
        if line.country == "ET" and host in blocked and 7.0 <= hour < 9.05:
            return "sni-reset"
        return "open"

    gaps = (gap("p-dire", 9.0, 9.6, "asleep"), gap("p-addis", 2.0, 2.5, "off"))
    return play(store, (ADDIS, DIRE, ABROAD), (*blocked, "news.example"), (0.0, 16.0), seen, gaps)


def going_on(store: Store, name: str = "nxdomain", until: float = 30.0) -> list[Event]:
    """One line finds one name blocked from an hour on, and to the end."""
    return play(
        store,
        (Line("p-addis"),),
        ("news.example", "facebook.com"),
        (0.0, until),
        lambda line, host, hour: name if host == "facebook.com" and hour >= 20.0 else "open",
    )


def unconfirmed(store: Store) -> list[Event]:
    """One line finds one name blocked, once so far."""
    return going_on(store, "sni-reset", until=21.0)


def throttled(store: Store) -> list[Event]:
    """Two lines find a name slowed down."""
    lines = (Line("p-addis", every=2.0), Line("p-dire", every=2.0))
    return play(
        store, lines, ("facebook.com",), (0.0, 60.0), lambda line, host, hour: "throttled" if hour >= 30 else "fast"
    )


def unreachable(store: Store) -> list[Event]:
    """One line cannot reach a site any more, and nothing tells why."""
    return play(
        store,
        (Line("p-addis"),),
        ("facebook.com", "news.example"),
        (0.0, 96.0),
        lambda line, host, hour: "site-firewall-drops" if hour >= 40.0 and host == "facebook.com" else "open",
    )


def blind(store: Store) -> list[Event]:
    """Measurements of a site end without an answer that says anything, from an hour on."""
    return going_on(store, "offline", until=60.0)


def many(store: Store, targets: int = 200, days: float = 21.0) -> list[Event]:
    """Hundreds of names are reset for weeks, on two networks."""
    hosts = [f"site{number:03}.example" for number in range(targets)]
    lines = (Line("p-addis", every=6.0), Line("p-dire", 328988, every=6.0))

    def seen(line: Line, host: str, hour: float) -> str | None:
        shut = 24.0 <= hour < 24.0 * (days - 1)
        return "sni-reset" if shut and (line.asn == 24757 or int(host[4:7]) % 3) else "open"

    return play(store, lines, hosts, (0.0, 24.0 * days), seen)


def outage(store: Store) -> list[Event]:
    """Nothing answers for an hour and a half, though the link is up."""
    gaps = (
        Gap(
            probe_id="p-addis",
            since=START + 5.0 * HOUR,
            until=START + 6.6 * HOUR,
            why="outage",
            worked=START + 4.9 * HOUR,
            failed=START + 6.5 * HOUR,
            restored=True,
        ),
    )
    for one in gaps:
        store.add_gap(one)
    store.flush(30)
    keep_outages(store.ledger, gaps, country="ET", asn=24757)
    return list(store.ledger.events())


def hostile(honest: Dossier, payload: str) -> Dossier:
    """The same dossier with an attack in every foreign text."""
    event, kept = honest.event, honest.witnesses[0]
    assert kept.verdict is not None
    evil = replace(
        kept.measurement,
        target=Target(url=f"https://{payload}/", scheme="https", host=payload, port=443, category=payload),
        vantage=Vantage(probe_id=payload, country=payload, asn=24757, resolver=payload),
        software=payload,
        redacted=(payload, f"{payload}: address"),
        nettest=payload,
        preconditions=Preconditions(reason=payload, detail=payload, notes=(payload,)),
    )
    finding = replace(kept.verdict.findings[0], rule=payload, summary=payload, fingerprint=payload, reason=payload)
    verdict = replace(kept.verdict, summary=payload, reason=payload, findings=(finding,))
    part = replace(event.parts[0], target=payload, country=payload, mechanisms=((payload, 1.0),), layer=payload)
    spoilt = replace(
        event,
        targets=(payload,),
        countries=(payload,),
        mechanisms=((payload, START),),
        notes=(payload,),
        layers=(payload,),
        reason=payload,
        summary=payload,
        probes=(payload,),
        parts=(part,),
        into=payload,
    )
    vote = replace(honest.votes[0], target=payload, country=payload, probe=payload, layer=payload, mechanism=payload)
    return replace(
        honest,
        event=spoilt,
        versions=((START, spoilt),),
        witnesses=(Kept(measurement=evil, judged_at=START, verdict=verdict), *honest.witnesses),
        lost=(payload,),
        damaged=(payload,),
        votes=(vote, *honest.votes),
        outcomes=(Tally(country=payload, asn=24757, outcome=Outcome.INVALID, reason=payload, count=2),),
        gaps=(Gap(probe_id=payload, since=event.onset[0], until=event.updated, why=payload, detail=payload),),
    )
