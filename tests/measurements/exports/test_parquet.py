"""Parquet as its readers see it: DuckDB over the folder, and pyarrow over its files."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pyarrow.dataset
import pyarrow.parquet
import pytest
from msgspec.structs import replace

from measurements.exports import parquet
from measurements.exports.columns import COLUMNS
from measurements.exports.judged import Judged
from measurements.exports.parquet import BUFFERED, FOLDER, OPEN, ROW_GROUP, UNKNOWN, write
from tests.measurements.store.samples import ACCESSIBLE, BLOCKED, START, measurement

DAY = 86_400.0
COUNTRIES = ("ET", "KE", None)


def rows(number: int, *, step: float = DAY / 4, countries: tuple[str | None, ...] = COUNTRIES) -> Iterator[Judged]:
    fact = measurement()
    for n in range(number):
        vantage = replace(
            fact.vantage, country=countries[n % len(countries)], asn=None if n % 5 == 4 else 64500 + n % 5
        )
        one = replace(fact, id=f"{n:032x}", sequence=n, started=START + n * step, vantage=vantage)
        yield Judged(one, ACCESSIBLE if n % 3 else BLOCKED)


def query(folder: Path, sql: str) -> list[tuple[Any, ...]]:
    table = f"read_parquet('{folder}/**/*.parquet', hive_partitioning=true)"
    with duckdb.connect() as connection:
        return connection.execute(sql.replace("FOLDER", table)).fetchall()


def test_duckdb_reads_the_folder_as_one_table(tmp_path: Path) -> None:
    assert write(rows(24), tmp_path) == 24
    assert query(tmp_path, "SELECT count(*), count(DISTINCT id) FROM FOLDER") == [(24, 24)]
    countries = query(tmp_path, "SELECT country, count(*) FROM FOLDER GROUP BY country ORDER BY country")
    assert countries == [("ET", 8), ("KE", 8), (UNKNOWN, 8)]
    days = query(tmp_path, "SELECT date, count(*) FROM FOLDER GROUP BY date ORDER BY date")
    assert [(str(day), number) for day, number in days][:2] == [("2026-09-21", 2), ("2026-09-22", 4)]
    names = {row[0]: row[1] for row in query(tmp_path, "DESCRIBE SELECT * FROM FOLDER")}
    assert names.keys() == parquet.FIELDS.keys()
    assert names["started"] == "TIMESTAMP WITH TIME ZONE"
    assert (names["asn"], names["runtime"], names["evidence"], names["rules"]) == (
        "BIGINT", "DOUBLE", "BIGINT[]", "VARCHAR[]",
    )  # fmt: skip
    blocked = "SELECT sequence, mechanism, evidence, rules FROM FOLDER WHERE country = 'KE' AND outcome = 'blocked'"
    assert query(tmp_path, blocked) == []
    blocked = "SELECT sequence, mechanism, evidence, rules FROM FOLDER WHERE country = 'ET' AND outcome = 'blocked'"
    assert query(tmp_path, f"{blocked} ORDER BY sequence LIMIT 1") == [(0, "dns.bogon", [1], ["dns.bogon"])]


def test_pyarrow_reads_every_value_as_it_was(tmp_path: Path) -> None:
    made = list(rows(12))
    write(iter(made), tmp_path)
    dataset = pyarrow.dataset.dataset(tmp_path / FOLDER, partitioning=pyarrow.dataset.partitioning(flavor="hive"))
    found = sorted(dataset.to_table().to_pylist(), key=lambda row: row["sequence"])
    for row, read in zip(made, found, strict=True):
        for name, column in COLUMNS.items():
            value = column.value(row)
            if name == "started":
                assert read[name].timestamp() == value
            elif name != "country" or value is not None:
                assert (list(value) if isinstance(value, tuple) else value) == read[name]
    assert {row["country"] for row in found} == {"ET", "KE", UNKNOWN}


def test_what_is_held_back_is_bounded_and_so_is_a_row_group(tmp_path: Path) -> None:
    countries = tuple(f"{a}{b}" for a in "ABCDEFGH" for b in "ABCDEFGHIJ")
    number = BUFFERED * 2 + 7
    assert len(countries) > OPEN
    assert write(rows(number, step=0.01, countries=("XX", "XX", *countries)), tmp_path) == number
    groups = []
    for file in tmp_path.glob("**/*.parquet"):
        metadata = pyarrow.parquet.ParquetFile(file).metadata
        groups += [metadata.row_group(n).num_rows for n in range(metadata.num_row_groups)]
    assert sum(groups) == number
    assert max(groups) <= ROW_GROUP
    assert query(tmp_path, "SELECT count(DISTINCT id) FROM FOLDER") == [(number,)]


@pytest.mark.parametrize(("started", "day"), [(1e20, "9999-12-31"), (-1e20, "0001-01-01")])
def test_odd_values_have_a_place(tmp_path: Path, started: float, day: str) -> None:
    (row,) = rows(1)
    odd = replace(
        row.measurement, started=started, received=2**70, vantage=replace(row.measurement.vantage, country="a/b")
    )
    assert write([row._replace(measurement=odd)], tmp_path) == 1
    (file,) = tmp_path.glob("**/*.parquet")
    assert file.relative_to(tmp_path).parts[:3] == (FOLDER, f"date={day}", "country=a%2Fb")
    read = pyarrow.parquet.ParquetFile(file).read().to_pylist()[0]
    assert (read["started"], read["received"], read["id"]) == (None, None, odd.id)
    assert query(tmp_path, "SELECT CAST(date AS VARCHAR), country FROM FOLDER") == [(day, "a/b")]


def test_no_value_is_null_in_a_name_which_pandas_cannot_take(tmp_path: Path) -> None:
    """pandas turns the folders' names into dictionaries, and pyarrow cannot join those that hold a null."""
    write(rows(24), tmp_path)
    table = pyarrow.parquet.read_table(tmp_path / FOLDER)
    assert pyarrow.types.is_dictionary(table.schema.field("country").type)
    assert table.column("country").null_count == table.column("date").null_count == 0
    assert table.unify_dictionaries().num_rows == 24


def test_an_error_on_the_way_is_not_hidden_by_what_is_open(tmp_path: Path) -> None:
    def broken() -> Iterator[Judged]:
        yield from rows(BUFFERED + 1, step=0.01)
        raise RuntimeError("the store went away")

    with pytest.raises(RuntimeError, match="went away"):
        write(broken(), tmp_path)


def test_without_pyarrow_the_extra_is_named() -> None:
    code = """
import sys
sys.modules["pyarrow"] = None  # as if it were not installed
from pathlib import Path
from measurements.exports import EXPORTS
from measurements.exports.judged import MissingExtra
try:
    EXPORTS["parquet"].write(iter(()), Path("."))
except MissingExtra as error:
    print(error)
"""
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout == "--format parquet needs the pyarrow package: pip install 'wazi[parquet]'\n"
