"""What a measurement costs once it is made: encoding, redaction, judging.

The accessible ones were measured on loopback; the blocked ones, with all their follow-up steps, are the
scripted worlds that the rules are tested with. Each judging reads its measurement anew.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence

from msgspec.structs import replace

from measurements.judge import Case, judge
from measurements.model import HttpExchange, Measurement, Outcome, Verdict, encode
from measurements.redact import redact
from measurements.store.packing import pack
from measurements.targets import normalise
from probe.nettests import NETTESTS
from probe.network import Network
from tests.bench.figures import Figure, say
from tests.bench.loopback import loopback, page
from tests.bench.measuring import measured
from tests.measurements.blocked_worlds import BLOCKED
from tests.measurements.worlds import Disruption
from tests.scripted import BOGONS, ScriptedNetwork

PART = "judge"
EACH = 400
OWN = ("203.0.113.201", "2001:db8:77::77")  # a volunteer's addresses, which no measurement here holds
_NOTE = (
    "judge: one core. The mix is one scripted blocked measurement to one accessible measurement from loopback, which "
    "is far more blocking than a probe meets; packing is all that is done before the database (JSON, digests, zstd)."
)


def run(rounds: int) -> Iterator[Figure]:
    """Measure what is done with measurements once they are made."""
    with loopback() as world:
        fact, verdict = asyncio.run(measured(world))
        private = world.bogons
    large = _with_page(fact, 64 * 1024)
    blocked = [_scripted(disruption) for disruption in BLOCKED]
    longest = max((measurement for measurement, _ in blocked), key=lambda m: len(m.observations))
    mix = [case for one in blocked for case in ((fact, private), (one[0], BOGONS))]
    works: dict[str, Callable[[int], object]] = {
        "Packing one (8 kB page)": lambda i: pack(fact, verdict, 0.0),
        "Packing one (64 KiB page)": lambda i: pack(large, verdict, 0.0),
        f"Packing one ({len(longest.observations)} steps, blocked)": lambda i: pack(longest, verdict, 0.0),
        "Encoding one as JSON (8 kB page)": lambda i: encode(fact),
        "Redacting one (8 kB page)": lambda i: redact(fact, OWN),
        "Redacting one (64 KiB page)": lambda i: redact(large, OWN),
        "Judging, accessible": lambda i: judge(Case(fact, private)),
        "Judging, blocked": lambda i: judge(Case(blocked[i % len(blocked)][0], BOGONS)),
        "Judging, half and half": lambda i: judge(Case(*mix[i % len(mix)])),
    }
    taken: dict[str, list[float]] = {name: [] for name in works}
    for number in range(rounds):
        for name, work in works.items():
            taken[name].append(_seconds(work))
        say(f"judge: round {number + 1} of {rounds}")
    for name, seconds in taken.items():
        if name.startswith("Judging"):
            target = 2000.0 if name.endswith("half") else None
            yield Figure(PART, name, "/s", tuple(1 / s for s in seconds), at_least=target, note=_NOTE)
        else:
            most = 0.5 if name.startswith("Packing") else None
            yield Figure(PART, name, "ms", tuple(s * 1e3 for s in seconds), at_most=most, note=_NOTE)


def _seconds(work: Callable[[int], object]) -> float:
    """Do something `EACH` times; return the seconds of CPU of each."""
    began = time.process_time()
    for i in range(EACH):
        work(i)
    return (time.process_time() - began) / EACH


def _scripted(disruption: Disruption) -> tuple[Measurement, Verdict]:
    """Measure in a scripted world; raise when the rules do not find it blocked."""
    net = ScriptedNetwork(disruption.world, preconditions=disruption.preconditions)
    asyncio.run(_measure(disruption, net))
    measurement = net.measurement(normalise(disruption.url), disruption.nettest)
    verdict = judge(Case(measurement, BOGONS))
    if verdict.outcome is not Outcome.BLOCKED:
        raise RuntimeError(f"{disruption.name}: {verdict.summary}")
    return measurement, verdict


async def _measure(disruption: Disruption, net: Network) -> None:
    await NETTESTS[disruption.nettest](normalise(disruption.url), net)


def _with_page(fact: Measurement, size: int) -> Measurement:
    steps: Sequence[object] = fact.observations
    made = []
    for step in steps:
        if isinstance(step, HttpExchange):
            body = page(2 * size).encode()[:size]
            step = replace(step, body=body, body_length=size)
        made.append(step)
    return replace(fact, observations=tuple(made))
