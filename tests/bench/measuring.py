"""CPU of a full HTTPS measurement: Wazi on its own wire, against a bare program asking the same servers.

Only this process counts (`time.process_time`, user and system); the servers are processes of their own.
Twenty run at a time, as by default. Each UDP lookup lingers for a second reply; that wait costs no CPU, yet
what wakes now and then runs with colder caches than what never sleeps. So the two sides are compared at
the same pace, twice: as Wazi runs, both with the linger; and flat out, both without.
"""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import AsyncExitStack
from functools import partial

from measurements.judge import Case, judge
from measurements.model import HttpExchange, Measurement, Outcome, Preconditions, Target, Vantage, Verdict
from measurements.store.packing import pack
from measurements.targets import normalise
from probe.clocks import read_clocks
from probe.measuring import Bench, Lookout, Order, Stop
from probe.nettests import NETTESTS
from probe.network import Limits, Network
from probe.vantage import Sight
from probe.wire import Wire
from probe.wire.http import browser_headers
from tests.bench.bare import Bare
from tests.bench.figures import Figure, ratios, say
from tests.bench.http2 import ByHand, ByLibrary
from tests.bench.loopback import SITE, Loopback, loopback

PART = "cpu"
AT_ONCE = 20
EACH = 100  # measurements of each kind in a round
TARGETS = {"HTTP/1.1": 3.0, "HTTP/2": 4.0}
HERE = Preconditions(ipv4_route=True, ipv6_route=False)
BARE, WITH_H2, WEB, WHOLE = "bare", "bare with h2", "web", "whole"
PACES = {"": Limits(), ", no linger": Limits(dns_linger=0.0)}
_NOTE = (
    "cpu: the bare side is asyncio streams, ssl and DNS packets made by hand. Both sides ask A, AAAA and HTTPS over "
    "UDP, A and AAAA over a kept DoH connection, verify the chain and read a page of 8 kB. DoH is HTTP/2 in any case: "
    "the bare side makes its frames by hand, or with the h2 library, on which Wazi stands too. Both linger for a "
    "second reply to each UDP query, or neither does. Judged and packed adds the agent's frame, redaction, the verdict "
    "and the rows to store."
)

Once = Callable[[], Awaitable[object]]


class Sides:
    """What takes turns: for each version of HTTP the bare side, the nettest, and the whole measurement."""

    def __init__(self, world: Loopback, wire: Wire) -> None:
        self.world = world
        self.wire = wire
        self.targets = {version: normalise(world.url(version)) for version in world.ports}
        self.bench = Bench(
            wire=wire,
            nettests=NETTESTS,
            stand=lambda: Vantage(probe_id="bench"),
            lookout=Lookout(look=_nothing_to_see, glance=_well, changed=lambda before, after: None),
            clocks=read_clocks,
            deadline=wire.limits.measurement_timeout,
            stop=Stop(),
        )

    async def web(self, target: Target) -> None:
        """Run the nettest, and nothing else."""
        async with self.wire.network(preconditions=HERE) as net:
            await NETTESTS["web"](target, net)
        pages = [step for step in net.observations if isinstance(step, HttpExchange)]
        if [page.status for page in pages] != [200]:
            raise RuntimeError(f"the measurement did not work: {net.observations}")

    async def whole(self, target: Target) -> tuple[Measurement, Verdict]:
        """Measure as `wazi run` does, up to the rows that the store is given."""
        measurement, verdict = await self.bench.measure(Order(target, "web"), self._judge)
        pack(measurement, verdict, time.time())
        if verdict.outcome is not Outcome.ACCESSIBLE:
            raise RuntimeError(f"the verdict is {verdict.summary}")
        return measurement, verdict

    def _judge(self, measurement: Measurement) -> Verdict:
        return judge(Case(measurement, self.world.bogons))

    def all(self, bare: Mapping[tuple[str, str], Bare]) -> dict[tuple[str, str], Once]:
        """Name every side: (version, kind)."""
        sides: dict[tuple[str, str], Once] = {}
        for version, target in self.targets.items():
            for kind in (BARE, WITH_H2):
                sides[version, kind] = partial(bare[version, kind].measure, version)
            sides[version, WEB] = partial(self.web, target)
            sides[version, WHOLE] = partial(self.whole, target)
        return sides


async def _nothing_to_see(net: Network) -> Sight:
    return Sight(HERE)


async def _well(net: Network) -> bool:
    return True


def run(rounds: int) -> Iterator[Figure]:
    """Measure the CPU of measurements."""
    with loopback() as world:
        for pace, limits in PACES.items():
            yield from _figures(pace, asyncio.run(_compare(world, limits, rounds)))


def _figures(pace: str, costs: Mapping[tuple[str, str], tuple[float, ...]]) -> Iterator[Figure]:
    for version, target in TARGETS.items():
        bare, with_h2, web, whole = (costs[version, kind] for kind in (BARE, WITH_H2, WEB, WHOLE))
        name = f"CPU of `web`, {version}{pace}"
        yield Figure(PART, f"{name}, against bare (frames by hand)", "ratio", ratios(web, bare), target, note=_NOTE)
        yield Figure(PART, f"{name}, against bare (h2 library)", "ratio", ratios(web, with_h2), target)
        yield Figure(PART, name, "ms", web)
        yield Figure(PART, f"{name}, judged and packed", "ms", whole)
        yield Figure(PART, f"CPU of bare, {version}{pace} (frames by hand)", "ms", bare)
        yield Figure(PART, f"CPU of bare, {version}{pace} (h2 library)", "ms", with_h2)


async def _compare(world: Loopback, limits: Limits, rounds: int) -> dict[tuple[str, str], tuple[float, ...]]:
    """Return the milliseconds of CPU of one measurement, for every side and round."""
    async with AsyncExitStack() as stack:
        wire = await stack.enter_async_context(_wire(world, limits))
        bare = {}
        for version, port in world.ports.items():
            headers = browser_headers("https", f"{SITE}:{port}", http2=version == "HTTP/2")
            for kind, http2 in ((BARE, ByHand), (WITH_H2, ByLibrary)):
                one = Bare(world, headers, http2, limits.dns_linger)
                bare[version, kind] = await stack.enter_async_context(one)
        sides = Sides(world, wire).all(bare)
        for once in sides.values():
            await _cost(once, AT_ONCE)  # warm: contexts, the DoH connection, imports
        costs: dict[tuple[str, str], list[float]] = {side: [] for side in sides}
        for number in range(rounds):
            for side, once in sides.items():
                costs[side].append(await _cost(once, EACH))
            say(f"cpu: round {number + 1} of {rounds}, linger {limits.dns_linger:g} s")
    return {side: tuple(values) for side, values in costs.items()}


async def _cost(once: Once, count: int) -> float:
    """Do something `count` times, `AT_ONCE` at a time; return the milliseconds of CPU of each."""
    left = iter(range(count))

    async def work() -> None:
        for _ in left:
            await once()

    gc.collect()
    began = time.process_time()
    async with asyncio.TaskGroup() as group:
        for _ in range(AT_ONCE):
            group.create_task(work())
    return (time.process_time() - began) / count * 1e3


def _wire(world: Loopback, limits: Limits) -> Wire:
    return Wire(peers=world.peers, limits=limits, bogons=world.bogons, ca_file=world.ca, ipv6=False)


async def measured(world: Loopback) -> tuple[Measurement, Verdict]:
    """Measure the site on loopback once, for those who need a real measurement."""
    async with _wire(world, Limits()) as wire:
        sides = Sides(world, wire)
        return await sides.whole(sides.targets["HTTP/2"])
