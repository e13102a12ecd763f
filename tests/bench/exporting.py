"""Exports: their speed beside a short program that reads the same rows, and their memory.

The two sides take turns in this process, and CPU time counts (that of PostgreSQL's server too), so that what else the
machine does counts little. How much memory an export takes is seen on `wazi export` itself, a process of its own, and
of many rows so is its time. Both read one store, on SQLite and on PostgreSQL, filled with one real measurement under
many ids.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from msgspec.structs import replace

from measurements.exports import EXPORTS
from measurements.exports.columns import COLUMNS
from measurements.exports.judged import FolderFormat, Judged
from measurements.model import Measurement, TlsHandshake, Verdict
from measurements.store import Filter, open_store, tables
from measurements.store.packing import pack
from tests.bench import exported
from tests.bench.figures import Figure, ratios, say
from tests.bench.filled import Filled, on_postgres, on_sqlite
from tests.bench.loopback import SITE, loopback
from tests.bench.measuring import measured
from tests.bench.watched import peak_kilobytes
from tests.lab.spaces import REPOSITORY
from tests.measurements.store import postgres

PART = "export"
ROWS = 4000
LARGE = 100_000  # rows: the command's start is no longer seen in its time
IN_MEMORY = 20_000
MOST = 200.0  # MB
FORMATS = ("csv", "jsonl", "parquet", "ooni")
BARE: dict[str, Callable[[exported.Source, Path], None]] = {
    "csv": exported.to_csv,
    "jsonl": exported.to_jsonl,
    "parquet": exported.to_parquet,
}
_VALID = (datetime(2026, 10, 1, tzinfo=UTC), datetime(2026, 12, 30, tzinfo=UTC))
WRITERS = {"csv": "csv", "jsonl": "json", "parquet": "pyarrow"}


def run(rounds: int, rows: int | None = None) -> Iterator[Figure]:
    """Measure how fast and in how much memory `rows` verdicts are exported."""
    rows = rows or ROWS
    with loopback() as world:
        fact, verdict = asyncio.run(measured(world))
    with tempfile.TemporaryDirectory(prefix="wazi-bench-") as name:
        folder = Path(name)
        yield from _store(on_sqlite(folder / "wazi.db", fact, verdict, rows), folder, fact, rows, rounds)
    with tempfile.TemporaryDirectory(prefix="wazi-bench-") as name, postgres.server() as server:
        yield from _store(on_postgres(server, fact, verdict, rows), Path(name), fact, rows, rounds)
    size = len(pack(_with_usual_chain(fact), verdict, 0.0)[tables.measurement][0]["encoded"])
    yield Figure(PART, "A measurement, encoded, with a chain as public sites have it", "kB", (size / 1e3,))
    yield from _arrow(fact, verdict, rounds)


def _with_usual_chain(fact: Measurement) -> Measurement:
    """Put a chain of the usual size, a leaf with time stamps of two logs and an intermediate, in place of the bench's.

    Keys, signatures and time stamps cannot be compressed, and they are most of it.
    """
    issuer, leaf = ec.generate_private_key(ec.SECP384R1()), ec.generate_private_key(ec.SECP256R1())
    names = [x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]) for name in ("Bench Authority", SITE)]
    logs = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.3.6.1.4.1.11129.2.4.2"), os.urandom(246))
    root = rsa.generate_private_key(65537, 4096)
    chain = []
    for name, key, signer, extensions in ((names[1], leaf, issuer, [logs]), (names[0], issuer, root, [])):
        made = x509.CertificateBuilder(names[0], name, key.public_key(), x509.random_serial_number(), *_VALID)
        made = made.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        made = made.add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.public_key()), False)
        for extension in extensions:
            made = made.add_extension(extension, critical=False)
        chain.append(made.sign(signer, hashes.SHA384()).public_bytes(Encoding.DER))
    steps = tuple(
        replace(step, chain=tuple(chain)) if isinstance(step, TlsHandshake) else step for step in fact.observations
    )
    return replace(fact, observations=steps)


def _store(filled: Filled, folder: Path, fact: Measurement, rows: int, rounds: int) -> Iterator[Figure]:
    note = (
        f"export: {rows:,} verdicts over a week, each on a real measurement (HTTP/2 on loopback, "
        f"{len(fact.observations)} steps, {filled.size} bytes encoded), CPU time; the bare side is sqlite3 or psycopg, "
        "zstandard, and csv, json or pyarrow, and writes the same cells or lines. Ratios are of rows a second, ours "
        "to its."
    )
    yield Figure(PART, f"A measurement, encoded ({filled.reader})", "kB", (filled.size / 1e3,), at_most=3.0, note=note)
    taken: dict[str, float] = {}
    for form, memory, seconds in _commands(folder, filled, FORMATS if rows < LARGE else tuple(BARE)):
        taken[form] = seconds
        what = f"Memory of wazi export --format {form} ({filled.reader})"
        yield Figure(PART, what, "MB", (memory,), at_most=MOST, note=note)
    yield from _speeds(filled, folder, rows, rounds, note, taken if rows >= LARGE else None)


def _speeds(
    filled: Filled, folder: Path, rows: int, rounds: int, note: str, taken: Mapping[str, float] | None
) -> Iterator[Figure]:
    """Let both sides take turns; of a large store the commands' own times count, and the bare side runs once."""
    ours: dict[str, list[float]] = {name: [] for name in FORMATS}
    bare: dict[str, list[float]] = {name: [] for name in (*BARE, "unopened")}
    for number in range(1 if taken else rounds):
        for name in FORMATS if taken is None else BARE:
            if name in BARE:
                bare[name].append(rows / _timed(partial(BARE[name], filled.bare), folder, filled.cpu))
            seconds = taken[name] if taken else _timed(partial(_export, filled.url, name), folder, filled.cpu)
            ours[name].append(rows / seconds)
        bare["unopened"].append(rows / _timed(partial(exported.to_csv_unopened, filled.bare), folder, filled.cpu))
        say(f"export: {filled.reader}: round {number + 1} of {rounds}")
    for name in BARE:
        told = f"{name}, against {filled.reader} and {WRITERS[name]}"
        yield Figure(PART, told, "ratio", ratios(ours[name], bare[name]), at_least=0.5, note=note)
    unopened = f"csv, against {filled.reader} and csv of the tables' columns only"
    yield Figure(PART, unopened, "ratio", ratios(ours["csv"], bare["unopened"]), note=note)
    for name in FORMATS if taken is None else BARE:
        yield Figure(PART, f"Verdicts exported as {name} ({filled.reader})", "/s", tuple(ours[name]), note=note)


def _commands(folder: Path, filled: Filled, formats: tuple[str, ...]) -> Iterator[tuple[str, float, float]]:
    """Run the command once for each format; yield the most memory it had at a time, in MB, and its seconds of CPU."""
    (folder / "wazi.toml").write_text(f'[store]\nurl = "{filled.url}"\n')
    for name in formats:
        argv = [sys.executable, "-m", "probe.cli", "--config", str(folder / "wazi.toml"), "export", "--format", name]
        before, server = os.times(), filled.cpu() - time.process_time()
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
        taken += filled.cpu() - time.process_time() - server
        _remove(folder / "out")
        say(f"export: {filled.reader}: wazi export --format {name}: {peak * 1.024e-3:.0f} MB, {taken:.0f} s of CPU")
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


def _export(url: str, name: str, out: Path) -> None:
    form = EXPORTS[name]
    with open_store(url, read_only=True) as store:
        kept = store.stream(Filter(), whole=form.whole)
        rows = (Judged(one.measurement, one.verdict) for one in kept if one.verdict is not None)
        if isinstance(form, FolderFormat):
            out.mkdir()
            form.write(rows, out)
        else:
            with out.open("wb", buffering=1024 * 1024) as stream:
                form.write(rows, stream)


def _timed(work: Callable[[Path], None], folder: Path, cpu: Callable[[], float] = time.process_time) -> float:
    out = folder / "out"
    began = cpu()
    work(out)
    took = cpu() - began
    _remove(out)
    return took


def _remove(out: Path) -> None:
    shutil.rmtree(out) if out.is_dir() else out.unlink()
