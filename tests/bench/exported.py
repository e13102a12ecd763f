"""What a short program without Wazi would do for the same export: sqlite3 or psycopg, zstandard, json, csv or pyarrow.

It reads the same rows of the same store in one query, opens each measurement, and writes the same cells or lines. It
does not look whether a row is damaged, escapes nothing for spreadsheets, and keeps nothing from growing.
"""

from __future__ import annotations

import base64
import csv
import json
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
import zstandard

_OPINION = ("outcome", "mechanism", "trigger", "where", "pattern", "confidence", "reason", "summary")
_ROWS = f"""
    SELECT encoded, {", ".join(f'v."{name}"' for name in (*_OPINION, "findings", "rules_version"))}
    FROM measurement AS m JOIN verdict AS v ON v.measurement_id = m.id
    WHERE v.rules_version = (SELECT max(rules_version) FROM verdict WHERE measurement_id = m.id)
    ORDER BY m.started, m.id
"""
_COLUMNS = """
    SELECT m.id, started, runtime, sequence, nettest, url, category, outcome, mechanism, "trigger", "where",
           pattern, confidence, reason, summary, findings, rules_version, probe_id, country, asn, source
    FROM measurement AS m JOIN verdict AS v ON v.measurement_id = m.id ORDER BY m.started, m.id
"""
BATCH = 10_000

Rows = Callable[[str], Iterator[Any]]
Page = Callable[[bytes], bytes]
Source = Callable[[], AbstractContextManager[tuple[Rows, Page]]]
"""Lends what gives the rows of a query one by one, and the stored copy of a page by its digest."""


def sqlite(path: Path) -> Source:
    """Read a file by sqlite3."""

    @contextmanager
    def source() -> Iterator[tuple[Rows, Page]]:
        with closing(sqlite3.connect(path)) as connection, closing(sqlite3.connect(path)) as pages:
            wanted = "SELECT copy FROM body WHERE sha256 = ?"
            yield connection.execute, lambda key: pages.execute(wanted, (key,)).fetchone()[0]

    return source


def postgres(url: str) -> Source:
    """Read a database by psycopg, through a cursor on the server: a million rows are not to be held at once."""

    @contextmanager
    def source() -> Iterator[tuple[Rows, Page]]:
        with psycopg.connect(url) as connection, psycopg.connect(url) as pages:
            cursor = connection.cursor("rows", binary=True)
            cursor.itersize = 2000
            wanted = "SELECT copy FROM body WHERE sha256 = %s"

            def copy(key: bytes) -> bytes:
                found = pages.execute(wanted, (key,), binary=True).fetchone()
                assert found is not None
                return bytes(found[0])

            yield lambda sql: iter(cursor.execute(sql.encode())), copy

    return source


def to_csv(store: Source, out: Path) -> None:
    """Write the same cells as our CSV."""
    with out.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(_NAMES)
        writer.writerows(
            [" ".join(map(str, cell)) if isinstance(cell, list) else cell for cell in cells] for cells in _cells(store)
        )


def to_csv_unopened(store: Source, out: Path) -> None:
    """Write what stands in the tables' columns, without opening a measurement: a third fewer columns."""
    with store() as (rows, _), out.open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows([key.hex(), *cells] for key, *cells in rows(_COLUMNS))


def to_jsonl(store: Source, out: Path) -> None:
    """Write the same lines as our JSON lines, pages put back."""
    unpack = zstandard.ZstdDecompressor().decompress
    with store() as (rows, page), out.open("w", encoding="utf-8") as to:
        for encoded, *opinion, findings, version in rows(_ROWS):
            fact = json.loads(unpack(encoded))
            for step in fact["observations"]:
                if step["type"] == "http_exchange" and step["body"]:
                    key = base64.b64decode(step["body"])
                    step["body"] = base64.b64encode(unpack(page(key))).decode()
            line = {"schema": 1, "target": fact["target"]["url"], **dict(zip(_OPINION, opinion, strict=True))}
            line |= {"findings": json.loads(findings), "rules_version": version, "vantage": fact["vantage"]}
            to.write(json.dumps(line | {"measurement": fact}, ensure_ascii=False, separators=(",", ":")) + "\n")


def to_parquet(store: Source, out: Path) -> None:
    """Write the same table as our Parquet, partitioned by pyarrow itself."""
    arrow_only(_named(_cells(store)), out)


def arrow_only(rows: Iterator[dict[str, Any]], out: Path) -> None:
    """Write rows that are there by pyarrow alone."""
    import pyarrow
    import pyarrow.dataset

    first = pyarrow.RecordBatch.from_pylist(_taken(rows, BATCH), schema=_schema())

    def batches() -> Iterator[Any]:
        yield first
        while some := _taken(rows, BATCH):
            yield pyarrow.RecordBatch.from_pylist(some, schema=first.schema)

    form = pyarrow.dataset.ParquetFileFormat()
    pyarrow.dataset.write_dataset(
        batches(),
        out,
        schema=first.schema,
        format=form,
        file_options=form.make_write_options(compression="zstd"),
        partitioning=pyarrow.dataset.partitioning(
            pyarrow.schema([("date", pyarrow.string()), ("country", pyarrow.string())]), flavor="hive"
        ),
        max_rows_per_group=BATCH,
    )


def _schema() -> Any:
    import pyarrow

    integers, numbers = {"sequence", "rules_version", "asn", "steps", "connections", "sent", "received"}, {"runtime"}
    numbers |= {"clock_offset", "loop_lag"}
    kinds = {
        **dict.fromkeys(integers, pyarrow.int64()),
        **dict.fromkeys(numbers, pyarrow.float64()),
        "started": pyarrow.timestamp("us", tz="UTC"),
        "rules": pyarrow.list_(pyarrow.string()),
        "limits": pyarrow.list_(pyarrow.string()),
        "evidence": pyarrow.list_(pyarrow.int64()),
    }
    return pyarrow.schema([(name, kinds.get(name, pyarrow.string())) for name in ("date", *_NAMES)])


def _taken(rows: Iterator[dict[str, Any]], number: int) -> list[dict[str, Any]]:
    return [row for row, _ in zip(rows, range(number), strict=False)]


def _named(cells: Iterator[list[Any]]) -> Iterator[dict[str, Any]]:
    for row in cells:
        named = dict(zip(_NAMES, row, strict=True))
        named["date"] = datetime.fromtimestamp(named["started"], UTC).date().isoformat()
        named["started"] = int(named["started"] * 1e6)
        yield named


_NAMES = (
    "id", "started", "runtime", "sequence", "nettest", "target", "category", *_OPINION, "rules", "evidence",
    "rules_version", "probe_id", "country", "asn", "network_type", "resolver", "precondition", "clock_offset",
    "loop_lag", "steps", "connections", "sent", "received", "limits", "software", "source",
)  # fmt: skip


def _cells(store: Source) -> Iterator[list[Any]]:
    unpack = zstandard.ZstdDecompressor().decompress
    read: Callable[[bytes], dict[str, Any]] = json.loads
    with store() as (rows, _):
        for encoded, *opinion, findings, version in rows(_ROWS):
            fact = read(unpack(encoded))
            target, vantage, before = fact["target"], fact["vantage"], fact["preconditions"]
            found = json.loads(findings)
            yield [
                fact["id"], fact["started"], fact["runtime"], fact["sequence"], fact["nettest"], target["url"],
                target["category"], *opinion, [one["rule"] for one in found],
                sorted({step for one in found for step in one["evidence"]}), version,
                vantage["probe_id"], vantage["country"], vantage["asn"], vantage["network_type"], vantage["resolver"],
                before["reason"], before["clock_offset"], fact["loop_lag"], len(fact["observations"]),
                fact["connections"], fact["sent"], fact["received"], fact["limits"], fact["software"], fact["source"],
            ]  # fmt: skip
