"""The bench itself: its bare side gets the same page, its figures are honest, and it runs."""

from __future__ import annotations

import asyncio
import io
import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pyarrow.parquet
import pytest

from measurements.exports import csv, jsonl, parquet
from measurements.exports.judged import Judged
from measurements.store import open_store
from tests.bench import exported
from tests.bench.bare import Bare
from tests.bench.figures import Figure, table
from tests.bench.http2 import ByHand, ByLibrary, Http2
from tests.bench.listing import DEAD, SITES, bounds, expected
from tests.bench.loopback import PAGE_BYTES, SITE, loopback, page
from tests.lab.spaces import REPOSITORY
from tests.measurements.store.samples import ACCESSIBLE, BLOCKED, START, measurement

HEADERS = [("Host", SITE), ("Accept", "*/*"), ("Connection", "keep-alive")]


@pytest.mark.parametrize("http2", [ByHand, ByLibrary])
def test_the_bare_side_gets_the_whole_page(http2: type[Http2]) -> None:
    async def main() -> set[bytes]:
        with loopback() as world:
            async with Bare(world, HEADERS, http2, 0.0) as bare:
                return {await bare.measure(version) for version in world.ports for _ in range(3)}

    assert asyncio.run(main()) == {page(PAGE_BYTES).encode()}


def test_the_median_decides_and_a_miss_is_shown() -> None:
    rounds = (1.0, 4.0, 2.0)
    figures = [
        Figure("part", "most", "ratio", rounds, at_most=2.0, note="a note"),
        Figure("part", "too much", "ratio", rounds, at_most=1.9, note="a note"),
        Figure("part", "least", "/s", rounds, at_least=2.5),
        Figure("part", "untold", "s", rounds),
    ]
    assert [figure.met for figure in figures] == [True, False, False, None]
    lines = table(figures).splitlines()
    assert [line.split("|")[-2].strip() for line in lines[2:6]] == ["yes", "NO", "NO", ""]
    assert lines[6:] == ["", "- a note"]
    assert len({len(line) for line in lines[:6]}) == 1


def test_the_bound_of_the_list_is_what_its_limits_say() -> None:
    whole, bare = bounds({"site": 0.1, "resolver": 0.0, "DoH": 0.1})
    assert whole == pytest.approx((210 * (1.0 + 0.3) + 90 * (1.0 + 10.0 + 6.0)) / 20)
    assert bare == pytest.approx((210 * (0.1 + 0.3) + 90 * (0.1 + 10.0)) / 20)


def test_a_list_that_was_not_measured_counts_for_nothing() -> None:
    alive = SITES - int(SITES * DEAD)
    assert expected(Counter(accessible=alive, inconclusive=SITES - alive))
    for wrong in (Counter(accessible=SITES), Counter(accessible=alive)):
        with pytest.raises(RuntimeError, match="not measured as it should be"):
            expected(wrong)


def test_the_bare_side_of_an_export_writes_what_we_write(tmp_path: Path) -> None:
    """Otherwise the ratio would compare two works."""
    facts = [measurement(n, id=f"{n:032x}", started=START + 30_000 * n) for n in range(9)]
    store = tmp_path / "wazi.db"
    with open_store(f"sqlite:///{store}") as opened:
        for fact in facts:
            opened.add(fact, BLOCKED if fact.sequence % 2 else ACCESSIBLE)
    rows = [Judged(fact, BLOCKED if fact.sequence % 2 else ACCESSIBLE) for fact in facts]

    bare = exported.sqlite(store)
    exported.to_csv(bare, tmp_path / "bare.csv")
    exported.to_jsonl(bare, tmp_path / "bare.jsonl")
    ours = {"csv": io.BytesIO(), "jsonl": io.BytesIO()}
    csv.write(iter(rows), ours["csv"])
    jsonl.write(iter(rows), ours["jsonl"])
    read = [list(csv.read(io.BytesIO(text))) for text in (ours["csv"].getvalue(), (tmp_path / "bare.csv").read_bytes())]
    assert [{**row, "started": ""} for row in read[0]] == [{**row, "started": ""} for row in read[1]]
    written = (tmp_path / "bare.jsonl").read_bytes().splitlines()
    assert list(map(json.loads, written)) == list(map(json.loads, ours["jsonl"].getvalue().splitlines()))

    exported.to_parquet(bare, tmp_path / "bare")
    parquet.write(iter(rows), tmp_path / "ours")
    tables = [pyarrow.parquet.read_table(tmp_path / name).sort_by("id").to_pylist() for name in ("bare", "ours")]
    assert tables[0] == [{key: row[key] for key in tables[0][0]} for row in tables[1]]
    assert len(tables[0]) == len(facts)


def test_the_bench_runs_and_tells_programs() -> None:
    argv = [sys.executable, "-m", "tests.bench", "store", "--rounds", "1", "--json", "-"]
    done = subprocess.run(argv, cwd=REPOSITORY, env=dict(os.environ), capture_output=True, text=True, timeout=100)
    report = json.loads(done.stdout)
    assert done.returncode == int(any(figure["met"] is False for figure in report["figures"]))
    assert report["date"]
    for figure in report["figures"]:
        assert figure["part"] == "store"
        assert 0 < figure["min"] == figure["median"] == figure["max"]
