"""docs/exports.md says what the formats hold, and its query is one that runs."""

from __future__ import annotations

import re
from pathlib import Path

import duckdb
import pytest
from msgspec.structs import replace

from measurements.exports import EXPORTS, ooni, parquet
from measurements.exports.files import fresh_file
from measurements.exports.judged import Judged
from tests.measurements.store.samples import ACCESSIBLE, BLOCKED, START, measurement

TEXT = (Path(__file__).resolve().parents[3] / "docs" / "exports.md").read_text(encoding="utf-8")


SECTIONS = {"csv": "CSV", "parquet": "Parquet", "jsonl": "JSON lines", "ooni": "OONI's format"}


@pytest.mark.parametrize("name", EXPORTS)
def test_the_fields_of_a_format_are_those_that_are_documented(name: str) -> None:
    section = TEXT.split(f"\n## {SECTIONS[name]}\n")[1].split("\n## ")[0]
    table = section.split("|---|---|---|\n")[1].split("\n\n")[0].splitlines()
    fields = {key: field for key, field in EXPORTS[name].fields.items() if name != "parquet" or key in parquet.IN_NAMES}
    assert table == [f"| `{key}` | {field.kind} | {field.meaning} |" for key, field in fields.items()]
    assert f"| `{name}` |" in TEXT


def test_parquet_has_the_columns_of_csv_and_two_in_its_names() -> None:
    csv, table = EXPORTS["csv"].fields, EXPORTS["parquet"].fields
    inside = {key: field for key, field in table.items() if key not in parquet.IN_NAMES}
    assert inside == {key: field for key, field in csv.items() if key not in parquet.IN_NAMES}


def test_the_query_that_joins_with_oonis_data_runs(tmp_path: Path) -> None:
    rows = [
        Judged(measurement(n, host=host, started=START + day * 86_400), verdict)
        for n, (host, day, verdict) in enumerate(
            [("a.example", 0, BLOCKED), ("a.example", 1, ACCESSIBLE), ("b.example", 0, ACCESSIBLE)]
        )
    ]
    (tmp_path / "ooni").mkdir()
    parquet.write(iter(rows), tmp_path / "tables")
    elsewhere = replace(rows[2].measurement.vantage, asn=1)
    theirs = [*rows[:2], rows[2]._replace(measurement=replace(rows[2].measurement, vantage=elsewhere))]
    with fresh_file(tmp_path / "ooni" / "day.jsonl.gz") as stream:
        ooni.write(iter(theirs), stream)
    (query,) = re.findall(r"```sql\n(.*?)```", TEXT, re.DOTALL)
    query = query.replace("'tables/", f"'{tmp_path}/tables/").replace("'ooni/", f"'{tmp_path}/ooni/")
    with duckdb.connect() as connection:
        found = connection.execute(query).fetchall()
    assert [(str(row[0]), *row[1:8]) for row in found] == [
        ("2026-09-21", "ET", 24757, "https://a.example/", "blocked", "dns.bogon", "dns", "false"),
        ("2026-09-22", "ET", 24757, "https://a.example/", "accessible", None, "false", "true"),
    ]
