"""Exports: their speed beside a short program that reads the same rows, and their memory.

The two sides take turns in this process, and CPU time counts, so that what else the machine does counts little. How
much memory an export takes is seen on `wazi export` itself, a process of its own, and of many rows so is its time. Both
read one store, filled with one real measurement under many ids.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

import zstandard
from msgspec.structs import replace

from measurements.exports import EXPORTS
from measurements.exports.columns import COLUMNS
from measurements.exports.judged import FolderFormat, Judged
from measurements.model import Measurement, Verdict
from measurements.store import Filter, open_store, tables
from measurements.store.packing import pack
from tests.bench import exported
from tests.bench.figures import Figure, ratios, say
from tests.bench.loopback import loopback
from tests.bench.measuring import measured
from tests.bench.watched import peak_kilobytes
from tests.lab.spaces import REPOSITORY

PART = "export"
ROWS = 4000
LARGE = 100_000  # rows: the command's start is no longer seen in its time
IN_MEMORY = 20_000
MOST = 200.0  # MB
FORMATS = ("csv", "jsonl", "parquet", "ooni")
SPAN = 7 * 86_400.0  # seconds over which the measurements are spread
BARE: dict[str, Callable[[Path, Path], None]] = {
    "csv": exported.to_csv,
    "jsonl": exported.to_jsonl,
    "parquet": exported.to_parquet,
}


def run(rounds: int, rows: int | None = None) -> Iterator[Figure]:
    """Measure how fast and in how much memory `rows` verdicts are exported."""
    rows = rows or ROWS
    with loopback() as world:
        fact, verdict = asyncio.run(measured(world))
    with tempfile.TemporaryDirectory(prefix="wazi-bench-") as name:
        folder = Path(name)
        size = _fill(folder / "wazi.db", fact, verdict, rows)
        note = (
            f"export: {rows:,} verdicts over a week, each on a real measurement (HTTP/2 on loopback, "
            f"{len(fact.observations)} steps, {size} bytes encoded), CPU time; the bare side is sqlite3, zstandard, "
            "and csv, json or pyarrow, and writes the same cells or lines. Ratios are of rows a second, ours to its."
        )
        yield Figure(PART, "A measurement, encoded", "kB", (size / 1e3,), at_most=3.0, note=note)
        taken: dict[str, float] = {}
        for form, memory, seconds in _commands(folder, FORMATS if rows < LARGE else tuple(BARE)):
            taken[form] = seconds
            yield Figure(PART, f"Memory of wazi export --format {form}", "MB", (memory,), at_most=MOST, note=note)
        yield from _speeds(folder, rows, rounds, note, taken if rows >= LARGE else None)
    yield from _arrow(fact, verdict, rounds)


def _speeds(folder: Path, rows: int, rounds: int, note: str, taken: Mapping[str, float] | None) -> Iterator[Figure]:
    """Let both sides take turns; of a large store the commands' own times count, and the bare side runs once."""
    ours: dict[str, list[float]] = {name: [] for name in FORMATS}
    bare: dict[str, list[float]] = {name: [] for name in (*BARE, "unopened")}
    store = folder / "wazi.db"
    for number in range(1 if taken else rounds):
        for name in FORMATS if taken is None else BARE:
            if name in BARE:
                bare[name].append(rows / _timed(partial(BARE[name], store), folder))
            seconds = taken[name] if taken else _timed(partial(_export, folder, name), folder)
            ours[name].append(rows / seconds)
        bare["unopened"].append(rows / _timed(partial(exported.to_csv_unopened, store), folder))
        say(f"export: round {number + 1} of {rounds}")
    for name in BARE:
        told = {"csv": "sqlite3 and csv", "jsonl": "sqlite3 and json", "parquet": "sqlite3 and pyarrow"}[name]
        yield Figure(PART, f"{name}, against {told}", "ratio", ratios(ours[name], bare[name]), at_least=0.5, note=note)
    unopened = "csv, against sqlite3 and csv of the tables' columns only"
    yield Figure(PART, unopened, "ratio", ratios(ours["csv"], bare["unopened"]), note=note)
    for name in FORMATS if taken is None else BARE:
        yield Figure(PART, f"Verdicts exported as {name}", "/s", tuple(ours[name]), note=note)


def _commands(folder: Path, formats: tuple[str, ...]) -> Iterator[tuple[str, float, float]]:
    """Run the command once for each format; yield the most memory it had at a time, in MB, and its seconds of CPU."""
    (folder / "wazi.toml").write_text('[store]\nurl = "sqlite:///wazi.db"\n')
    for name in formats:
        argv = [sys.executable, "-m", "probe.cli", "--config", str(folder / "wazi.toml"), "export", "--format", name]
        before = os.times()
        process = subprocess.Popen(
            [*argv, "--output", "out"],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
            stderr=subprocess.DEVNULL,
        )
        peak = 0
        while process.poll() is None:
            peak = max(peak, peak_kilobytes(process.pid))
            time.sleep(0.02)
        if process.returncode:
            raise RuntimeError(f"wazi export --format {name} ended with {process.returncode}")
        after = os.times()
        taken = after.children_user + after.children_system - before.children_user - before.children_system
        _remove(folder / "out")
        say(f"export: wazi export --format {name}: {peak * 1.024e-3:.0f} MB, {taken:.0f} s of CPU")
        yield name, peak * 1.024e-3, taken


def _arrow(fact: Measurement, verdict: Verdict, rounds: int) -> Iterator[Figure]:
    """Compare the writing alone: rows that are there already, ours and pyarrow's."""
    form = EXPORTS["parquet"]
    assert isinstance(form, FolderFormat)
    ours: list[float] = []
    bare: list[float] = []
    with tempfile.TemporaryDirectory(prefix="wazi-bench-") as name:
        rows = [Judged(replace(fact, id=f"{n:032x}", started=fact.started + n), verdict) for n in range(IN_MEMORY)]
        plain = [{**{key: column.value(row) for key, column in COLUMNS.items()}, "date": "2026-11-23"} for row in rows]
        plain = [{**row, "started": int((fact.started + n) * 1e6)} for n, row in enumerate(plain)]
        for _ in range(rounds):
            bare.append(_timed(lambda out: exported.arrow_only(iter(plain), out), Path(name)))
            ours.append(_timed(lambda out: _written(form, rows, out), Path(name)))
    what = "Writing Parquet from rows in memory, against pyarrow alone"
    yield Figure(PART, what, "ratio of time", ratios(ours, bare), at_most=2.0)


def _written(form: FolderFormat, rows: list[Judged], out: Path) -> None:
    out.mkdir()
    form.write(iter(rows), out)


def _export(folder: Path, name: str, out: Path) -> None:
    form = EXPORTS[name]
    with open_store(f"sqlite:///{folder}/wazi.db", read_only=True) as store:
        kept = store.stream(Filter(), whole=form.whole)
        rows = (Judged(one.measurement, one.verdict) for one in kept if one.verdict is not None)
        if isinstance(form, FolderFormat):
            out.mkdir()
            form.write(rows, out)
        else:
            with out.open("wb", buffering=1024 * 1024) as stream:
                form.write(rows, stream)


def _timed(work: Callable[[Path], None], folder: Path) -> float:
    out = folder / "out"
    began = time.process_time()
    work(out)
    took = time.process_time() - began
    _remove(out)
    return took


def _remove(out: Path) -> None:
    shutil.rmtree(out) if out.is_dir() else out.unlink()


def _fill(path: Path, fact: Measurement, verdict: Verdict, rows: int) -> int:
    """Fill a store with the same measurement under many ids; return the bytes of one as it is kept."""
    open_store(f"sqlite:///{path}").close()
    made = pack(fact, verdict, fact.started)
    encoded = zstandard.decompress(made[tables.measurement][0]["encoded"])
    packer = zstandard.ZstdCompressor(level=3)
    sizes = 0
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA synchronous = OFF")
        for begin in range(0, rows, 10_000):
            facts: list[Mapping[str, Any]] = []
            opinions: list[Mapping[str, Any]] = []
            for n in range(begin, min(begin + 10_000, rows)):
                key = sha256(b"%d" % n).digest()[:16]
                started = fact.started + n * SPAN / rows
                one = encoded.replace(fact.id.encode(), key.hex().encode())
                one = one.replace(f'"started":{fact.started!r}'.encode(), f'"started":{started!r}'.encode())
                packed = packer.compress(one)
                sizes += len(packed)
                digest = sha256(one).digest()
                told = {"id": key, "started": started, "digest": digest, "encoded": packed}
                facts.append({**made[tables.measurement][0], **told})
                opinions.append({**made[tables.verdict][0], "measurement_id": key})
            connection.execute("BEGIN")
            if not begin:
                _insert(connection, "body", made[tables.body])
                _insert(connection, "probe", made[tables.probe])
            _insert(connection, "measurement", facts)
            _insert(connection, "verdict", opinions)
            connection.execute("COMMIT")
    return sizes // rows


def _insert(connection: sqlite3.Connection, table: str, rows: Any) -> None:
    names = list(rows[0])
    columns, places = ", ".join(f'"{name}"' for name in names), ", ".join("?" * len(names))
    values = [tuple(row[name] for name in names) for row in rows]
    connection.executemany(f'INSERT INTO "{table}" ({columns}) VALUES ({places})', values)
