"""CPU of a full HTTPS measurement: Wazi on its own wire, against a bare program asking the same servers.

Only this process counts (`time.process_time`, user and system); the servers are processes of their own.
Waiting costs nothing here, so the linger after each UDP reply is left at its default; the wakings that it
causes are Wazi's and are counted. Twenty run at a time, as by default.
"""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from functools import partial

from measurements.judge import Case, judge
from measurements.model import HttpExchange, Measurement, Outcome, Preconditions, Target, Vantage, Verdict
from measurements.store.packing import pack
from measurements.targets import normalise
from probe.clocks import read_clocks
from probe.measuring import Bench, Order, Stop
from probe.nettests import NETTESTS
from probe.network import Limits, Network
from probe.wire import Wire
from probe.wire.http import browser_headers
from tests.bench.bare import Bare
from tests.bench.figures import Figure, ratios, say
from tests.bench.loopback import SITE, Loopback, loopback

PART = "cpu"
AT_ONCE = 20
EACH = 100  # measurements of each kind in a round
TARGETS = {"HTTP/1.1": 3.0, "HTTP/2": 4.0}
HERE = Preconditions(ipv4_route=True, ipv6_route=False)
BARE, WEB, WHOLE = "bare", "web", "whole"
_NOTE = (
    "cpu: the bare side is asyncio streams, ssl and packets made by hand, HTTP/2 frames (also those of DoH) included; "
    "both ask A, AAAA and HTTPS over UDP, A and AAAA over a kept DoH connection, verify the chain and read a page of "
    "8 kB. `web` is the nettest over the real wire; judged and packed adds the agent's frame and redaction as well."
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
            look=_nothing_to_see,
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

    def all(self, bare: Mapping[str, Bare]) -> dict[tuple[str, str], Once]:
        """Name every side: (version, kind)."""
        sides: dict[tuple[str, str], Once] = {}
        for version, target in self.targets.items():
            sides[version, BARE] = partial(bare[version].measure, version)
            sides[version, WEB] = partial(self.web, target)
            sides[version, WHOLE] = partial(self.whole, target)
        return sides


async def _nothing_to_see(net: Network) -> Preconditions:
    return HERE


def run(rounds: int) -> Iterator[Figure]:
    """Measure the CPU of measurements."""
    with loopback() as world:
        costs = asyncio.run(_compare(world, rounds))
    for version, target in TARGETS.items():
        bare, web, whole = (costs[version, kind] for kind in (BARE, WEB, WHOLE))
        name = f"CPU of one `web` measurement over {version}"
        yield Figure(PART, f"{name}, against bare", "ratio", ratios(web, bare), at_most=target, note=_NOTE)
        yield Figure(PART, name, "ms", web)
        yield Figure(PART, f"{name}, judged and packed", "ms", whole)
        yield Figure(PART, f"CPU of the bare side over {version}", "ms", bare)


async def _compare(world: Loopback, rounds: int) -> dict[tuple[str, str], tuple[float, ...]]:
    """Return the milliseconds of CPU of one measurement, for every side and round."""
    async with Wire(peers=world.peers, limits=Limits(), bogons=world.bogons, ca_file=world.ca, ipv6=False) as wire:
        versions = {v: browser_headers("https", f"{SITE}:{p}", http2=v == "HTTP/2") for v, p in world.ports.items()}
        bare = {version: Bare(world, headers) for version, headers in versions.items()}
        async with bare["HTTP/1.1"], bare["HTTP/2"]:
            sides = Sides(world, wire).all(bare)
            for once in sides.values():
                await _cost(once, AT_ONCE)  # warm: contexts, the DoH connection, imports
            costs: dict[tuple[str, str], list[float]] = {side: [] for side in sides}
            for number in range(rounds):
                for side, once in sides.items():
                    costs[side].append(await _cost(once, EACH))
                say(f"cpu: round {number + 1} of {rounds}")
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


async def measured(world: Loopback) -> tuple[Measurement, Verdict]:
    """Measure the site on loopback once, for those who need a real measurement."""
    async with Wire(peers=world.peers, limits=Limits(), bogons=world.bogons, ca_file=world.ca, ipv6=False) as wire:
        sides = Sides(world, wire)
        return await sides.whole(sides.targets["HTTP/2"])
