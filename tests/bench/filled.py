"""Stores of many verdicts to be exported: one real measurement under many ids, spread over a week.

On SQLite rows go straight into the tables, since a million are wanted soon; on PostgreSQL, whose tables are in parts,
they go in as the store itself writes them.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import zstandard

from measurements.model import Measurement, Verdict
from measurements.store import open_store, tables
from measurements.store.packing import Rows, pack
from tests.bench import exported
from tests.measurements.store.postgres import Server

SPAN = 7 * 86_400.0  # seconds over which the measurements are spread
CHUNK = 10_000
PATIENCE = 10.0


@dataclass(frozen=True, slots=True)
class Filled:
    """A store, how a short program reads it, that program's name, and the seconds of CPU that were taken so far.

    `size` is the bytes of a measurement as it is kept.
    """

    url: str
    bare: exported.Source
    reader: str
    cpu: Callable[[], float]
    size: int


def on_sqlite(path: Path, fact: Measurement, verdict: Verdict, rows: int) -> Filled:
    """Fill a file."""
    open_store(f"sqlite:///{path}").close()
    size = 0
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA synchronous = OFF")
        for number, chunk in enumerate(_chunks(fact, verdict, rows)):
            connection.execute("BEGIN")
            for table in (tables.body, tables.probe) if not number else ():
                _insert(connection, table.name, chunk[table])
            for table in (tables.measurement, tables.verdict):
                _insert(connection, table.name, chunk[table])
            connection.execute("COMMIT")
            size += sum(len(row["encoded"]) for row in chunk[tables.measurement])
    return Filled(f"sqlite:///{path}", exported.sqlite(path), "sqlite3", time.process_time, size // rows)


def on_postgres(server: Server, fact: Measurement, verdict: Verdict, rows: int) -> Filled:
    """Fill a database of a server that nobody else uses."""
    url = server.new_database()
    size = 0
    with open_store(url) as store:
        for chunk in _chunks(fact, verdict, rows):
            store.add_rows("many verdicts", chunk).result()
            size += sum(len(row["encoded"]) for row in chunk[tables.measurement])
    database = url.partition("@/")[2].partition("?")[0]
    server.sql(database, "VACUUM ANALYZE")
    process = int((server.folder / "data" / "postmaster.pid").read_text().split()[0])
    resting = _children(process)

    def cpu() -> float:
        """Count the server's work too: that of its processes which have ended, as they do with a connection."""
        end = time.monotonic() + PATIENCE
        while _children(process) - resting and time.monotonic() < end:
            time.sleep(0.01)
        return time.process_time() + _of_children(process)

    return Filled(url, exported.postgres(url), "psycopg", cpu, size // rows)


def _chunks(fact: Measurement, verdict: Verdict, rows: int) -> Iterator[Rows]:
    made = pack(fact, verdict, fact.started)
    first, opinion = made[tables.measurement][0], made[tables.verdict][0]
    encoded = zstandard.decompress(first["encoded"])
    packer = zstandard.ZstdCompressor(level=3)
    for begin in range(0, rows, CHUNK):
        facts: list[dict[str, Any]] = []
        for n in range(begin, min(begin + CHUNK, rows)):
            key = sha256(b"%d" % n).digest()[:16]
            started = fact.started + n * SPAN / rows
            one = encoded.replace(fact.id.encode(), key.hex().encode())
            one = one.replace(f'"started":{fact.started!r}'.encode(), f'"started":{started!r}'.encode())
            told = {"id": key, "started": started, "digest": sha256(one).digest(), "encoded": packer.compress(one)}
            facts.append({**first, **told})
        yield {
            tables.body: made[tables.body],
            tables.probe: made[tables.probe],
            tables.measurement: facts,
            tables.verdict: [{**opinion, "measurement_id": row["id"]} for row in facts],
        }


def _insert(connection: sqlite3.Connection, table: str, rows: Any) -> None:
    names = list(rows[0])
    columns, places = ", ".join(f'"{name}"' for name in names), ", ".join("?" * len(names))
    values = [tuple(row[name] for name in names) for row in rows]
    connection.executemany(f'INSERT INTO "{table}" ({columns}) VALUES ({places})', values)


def _children(process: int) -> set[str]:
    return set(Path(f"/proc/{process}/task/{process}/children").read_text().split())


def _of_children(process: int) -> float:
    """Return the seconds of CPU of a process's children that have ended (proc(5): cutime and cstime)."""
    told = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(told[13]) + int(told[14])) / os.sysconf("SC_CLK_TCK")
