"""Stored measurements a second: the store's writer against bare sqlite3 into the same tables.

Both have the same rows, encoded before the clock starts, the same durability (write-ahead log, synchronous
FULL, foreign keys) and as many rows in a transaction (the writer's batch). The bare side prepared its
parameters beforehand, and inserts without looking whether a row is there already.
"""

from __future__ import annotations

import asyncio
import secrets
import sqlite3
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

from msgspec.structs import replace
from sqlalchemy import Table

from measurements.model import HttpExchange, Measurement, Verdict
from measurements.store import Store, open_store, tables
from measurements.store.packing import Rows, pack
from measurements.store.writer import BATCH
from tests.bench.figures import Figure, ratios, say
from tests.bench.loopback import loopback
from tests.bench.measuring import measured

PART = "store"
EACH = 3000
_TABLES = (tables.body, tables.measurement, tables.verdict, tables.vote, tables.probe)
_NOTE = (
    f"store: each measurement is a real one (HTTP/2 on loopback) under its own id, with a page of its own and a "
    f"verdict; {BATCH} in a transaction on both sides, on this machine's disk (a temporary folder)."
)

Parameters = list[tuple[Table, str, list[tuple[object, ...]]]]


def run(rounds: int) -> Iterator[Figure]:
    """Measure how fast measurements are stored."""
    with loopback() as world:
        fact, verdict = asyncio.run(measured(world))
    ours: list[float] = []
    bare: list[float] = []
    whole: list[float] = []
    with tempfile.TemporaryDirectory(prefix="wazi-bench-") as folder:
        other = Path(folder) / "bare.db"
        open_store(f"sqlite:///{other}").close()  # the same tables
        with open_store(f"sqlite:///{folder}/wazi.db") as store, closing(_connect(other)) as connection:
            for number in range(rounds):
                rows = [pack(one, verdict, one.started) for one in _others(fact)]
                batches = [_parameters(rows[i : i + BATCH]) for i in range(0, EACH, BATCH)]
                bare.append(_bare(connection, batches))
                ours.append(_stored(store, rows))
                whole.append(_packed_and_stored(store, _others(fact), verdict))
                say(f"store: round {number + 1} of {rounds}")
    yield Figure(
        PART, "Storing, encoded before, against sqlite3", "ratio", ratios(ours, bare), at_least=0.4, note=_NOTE
    )
    yield Figure(PART, "Measurements stored, encoded before", "/s", tuple(ours))
    yield Figure(PART, "Measurements encoded and stored", "/s", tuple(whole))
    yield Figure(PART, "Measurements stored by bare sqlite3", "/s", tuple(bare))


def _others(fact: Measurement) -> list[Measurement]:
    """Make measurements like `fact`, each with its own id and page."""
    made = []
    for number in range(EACH):
        mark = secrets.token_hex(16)
        steps = (
            replace(step, body=step.body + f"<!-- {mark} -->".encode()) if isinstance(step, HttpExchange) else step
            for step in fact.observations
        )
        made.append(replace(fact, id=mark, sequence=number, observations=tuple(steps)))
    return made


def _stored(store: Store, rows: Sequence[Rows]) -> float:
    began = time.perf_counter()
    receipts = [store.add_rows("a measurement", some) for some in rows]
    store.flush()
    took = time.perf_counter() - began
    for receipt in receipts:
        receipt.result()
    return len(rows) / took


def _packed_and_stored(store: Store, facts: Sequence[Measurement], verdict: Verdict) -> float:
    began = time.perf_counter()
    for fact in facts:
        store.add(fact, verdict)
    store.flush()
    return len(facts) / (time.perf_counter() - began)


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None)
    for pragma in ("foreign_keys = ON", "journal_mode = WAL", "synchronous = FULL"):
        connection.execute(f"PRAGMA {pragma}")
    return connection


def _parameters(rows: Sequence[Rows]) -> Parameters:
    """Turn the rows of a batch into what `executemany` takes, table by table."""
    found: Parameters = []
    for table in _TABLES:
        names = [column.name for column in table.columns if column is not tables.vote.c.number]
        some = [tuple(row[name] for name in names) for one in rows for row in one.get(table, ())]
        if table is tables.probe:
            some = some[-1:]
        columns, places = ", ".join(f'"{name}"' for name in names), ", ".join("?" * len(names))
        verb = "INSERT OR REPLACE" if table is tables.probe else "INSERT"
        found.append((table, f'{verb} INTO "{table.name}" ({columns}) VALUES ({places})', some))
    return found


def _bare(connection: sqlite3.Connection, batches: Sequence[Parameters]) -> float:
    began = time.perf_counter()
    for batch in batches:
        connection.execute("BEGIN")
        for _, statement, some in batch:
            connection.executemany(statement, some)
        connection.execute("COMMIT")
    return EACH / (time.perf_counter() - began)
