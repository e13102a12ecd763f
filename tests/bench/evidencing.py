"""What evidence costs: the canonical record of a measurement and its link, and going along a chain again.

Canonical JSON is measured beside the library `rfc8785` writing the same bytes. The chain is one of a store, verified as
`wazi store verify` does: every measurement read, its record written and hashed anew, every link followed.
"""

from __future__ import annotations

import asyncio
import json
import random
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial

import rfc8785
from msgspec.structs import replace

from measurements.evidence.canonical import record_as_kept, without_bodies
from measurements.evidence.chain import genesis, link_after
from measurements.evidence.checking import find_fault
from measurements.model import encode
from measurements.store import open_store
from probe.commands.chaining import verify_chain
from tests.bench.figures import Figure, ratios, say
from tests.bench.loopback import loopback
from tests.bench.measuring import measured
from tests.measurements.evidence.chains import Pen, chain_of

PART = "evidence"
EACH = 1000
_NOTE = (
    "evidence: one core; the record is of a real measurement (HTTP/2 on loopback). What is chained costs the probe a "
    "record and a link, in the thread that writes the store."
)


def run(rounds: int) -> Iterator[Figure]:
    """Measure records, links, and verification."""
    with loopback() as world:
        fact, verdict = asyncio.run(measured(world))
    bare = without_bodies(fact)[0]
    plain = json.loads(record_as_kept(bare), parse_int=float)
    links = chain_of(EACH, random.Random(1))
    pen = Pen(random.Random(1))
    link = partial(
        link_after, genesis("p", 0), probe_id="p", sequence=1, measurement_id=fact.id, record=links[0].record
    )
    record, library, linking, following = [], [], [], []
    verified, signed = [], []
    with tempfile.TemporaryDirectory(prefix="wazi-bench-") as folder, open_store(f"sqlite:///{folder}/w.db") as store:
        for number in range(EACH):
            store.add(replace(fact, id=f"{number:032x}", sequence=number + 1), verdict)
        store.flush()
        probe_id = store.chains.probes()[0]
        store.chains.sign(probe_id, pen, time.time())
        for number in range(rounds):
            record.append(_each(lambda: record_as_kept(bare)))
            library.append(_each(lambda: rfc8785.dumps(plain)))
            linking.append(_each(link))
            following.append(EACH / _took(lambda: find_fault(links)))
            verified.append(EACH / _took(lambda: verify_chain(store, probe_id)))
            signed.append(_each(lambda: pen.sign(b"text")))
            say(f"evidence: round {number + 1} of {rounds}")
    size = f"{len(encode(bare)) / 1000:.0f} kB stored"
    name = "Writing a record, against rfc8785"
    yield Figure(PART, name, "ratio", ratios(record, library), at_most=1.0, note=_NOTE)
    yield Figure(PART, f"Writing the record of a measurement ({size})", "ms", _milli(record), at_most=2.0)
    yield Figure(PART, "Making a link", "ms", _milli(linking))
    yield Figure(PART, "Signing a checkpoint", "ms", _milli(signed))
    yield Figure(PART, "Links followed", "/s", tuple(following))
    yield Figure(PART, "Measurements verified in a store", "/s", tuple(verified))


def _took(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def _each(work: Callable[[], object], times: int = 300) -> float:
    return _took(lambda: [work() for _ in range(times)]) / times


def _milli(seconds: list[float]) -> tuple[float, ...]:
    return tuple(1000.0 * one for one in seconds)
