"""`wazi export` as a user meets it: what it writes, where, and what is left when it is stopped."""

from __future__ import annotations

import csv
import gzip
import io
import json
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import duckdb
import pyarrow.parquet
import pytest
import zstandard
from msgspec.structs import replace

from measurements.exports import csv as ours
from probe.commands.console import Refusal
from probe.commands.outputs import write_whole
from tests.measurements.store.samples import ACCESSIBLE, BLOCKED, measurement
from tests.probe.desk import Desk

NUMBER = 12


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    made = Desk(tmp_path)
    rows = []
    for n in range(NUMBER):
        fact = measurement(n, id=f"{n:032x}", host="a.example" if n % 2 else "b.example", body=b"%d" % n)
        vantage = replace(fact.vantage, country="ET" if n % 3 else "KE", asn=24757 if n % 3 else 36926)
        fact = replace(fact, vantage=vantage, target=replace(fact.target, category="NEWS" if n < 6 else "GRP"))
        rows.append((fact, BLOCKED if n % 4 == 0 else ACCESSIBLE))
    made.fill(rows)
    return made


def sequences(ran: subprocess.CompletedProcess[bytes]) -> list[int]:
    assert ran.returncode == 0, ran.stderr
    return [int(row["sequence"]) for row in csv.DictReader(io.StringIO(ran.stdout.decode()))]


@pytest.mark.parametrize(
    ("flags", "wanted"),
    [
        ([], list(range(NUMBER))),
        (["--after", f"{8:032x}"], [9, 10, 11]),
        (["--since", "2026-09-21T14:13:24", "--until", "2026-09-21T14:13:26"], [4, 5]),
        (["--country", "ke"], [0, 3, 6, 9]),
        (["--country", "KE", "--country", "ET", "--asn", "AS36926"], [0, 3, 6, 9]),
        (["--category", "grp", "--target", "a.example"], [7, 9, 11]),
        (["--outcome", "blocked", "--rules-version", "1"], [0, 4, 8]),
        (["--rules-version", "2"], []),
    ],
)
def test_an_export_holds_what_was_asked_for(desk: Desk, flags: list[str], wanted: list[int]) -> None:
    assert sequences(desk.wazi("export", "--format", "csv", *flags)) == wanted


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--country", "Kenya"], b"--country Kenya: write two letters"),
        (["--since", "soon"], b"--since soon: write a date"),
        (["--asn", "0"], b"--asn 0: write the number of a network"),
        (["--after", "f" * 32], b"no measurement has the id"),
        (["--after", "abc"], b"--after: no measurement begins with abc"),
        (["--output", "no/such/out.csv"], b"no/such/out.csv: cannot be written (No such file or directory)"),
        (["--output", "./"], b"cannot be written (it is there already, and not empty)"),
    ],
)
def test_a_wrong_flag_is_refused_by_its_name(desk: Desk, flags: list[str], words: bytes) -> None:
    before = sorted(desk.folder.iterdir())
    ran = desk.wazi("export", "--format", "csv", *flags)
    assert ran.returncode == 2
    assert words in ran.stderr
    assert sorted(desk.folder.iterdir()) == before


def test_two_exports_are_one_when_the_second_goes_on_where_the_first_ended(desk: Desk) -> None:
    whole = desk.wazi("export", "--format", "jsonl").stdout
    first = desk.wazi("export", "--format", "jsonl", "--until", "2026-09-21T14:13:27", "--output", "1.jsonl")
    last = first.stderr.decode().split("--after ")[1].split()[0]
    assert b"7 measurements written to 1.jsonl" in first.stderr
    second = desk.wazi("export", "--format", "jsonl", "--after", last)
    assert (desk.folder / "1.jsonl").read_bytes() + second.stdout == whole
    assert (desk.folder / "1.jsonl").stat().st_mode & 0o777 == 0o600


def test_a_dash_is_stdout(desk: Desk) -> None:
    ran = desk.wazi("export", "--format", "csv", "--output", "-")
    assert ran.stdout == desk.wazi("export", "--format", "csv").stdout != b""
    assert not (desk.folder / "-").exists()


def test_what_is_one_file_takes_the_place_of_no_folder(tmp_path: Path) -> None:
    for output in (f"{tmp_path}/new/", str(tmp_path)):
        with pytest.raises(Refusal, match="is a folder, and this is one file"):
            write_whole(b"data", output)
    write_whole(b"data", f"{tmp_path}/new")
    assert (tmp_path / "new").read_bytes() == b"data"
    with pytest.raises(Refusal, match=r"no/such: cannot be written \(No such file or directory\)"):
        write_whole(b"data", f"{tmp_path}/no/such")


def test_the_ending_of_the_file_says_how_it_is_compressed(desk: Desk) -> None:
    plain = desk.wazi("export", "--format", "jsonl").stdout
    for name, unpack in (("a.jsonl.gz", gzip.decompress), ("a.jsonl.zst", zstandard.ZstdDecompressor().stream_reader)):
        assert desk.wazi("export", "--format", "jsonl", "--output", name).returncode == 0
        found: Any = unpack((desk.folder / name).read_bytes())
        assert (found if isinstance(found, bytes) else found.read()) == plain
        subprocess.run(["gzip" if name.endswith("gz") else "zstd", "-t", desk.folder / name], check=True)


def test_a_folder_describes_itself_and_can_be_checked(desk: Desk) -> None:
    ran = desk.wazi("export", "--format", "csv", "--country", "KE", "--output", "out/")
    assert ran.returncode == 0, ran.stderr
    folder = desk.folder / "out"
    assert {path.name for path in folder.iterdir()} == {"verdicts.csv", "README.md", "datapackage.json", "SHA256SUMS"}
    subprocess.run(["sha256sum", "--quiet", "-c", "SHA256SUMS"], cwd=folder, check=True)
    assert len((folder / "SHA256SUMS").read_text().splitlines()) == 3

    package = json.loads((folder / "datapackage.json").read_text())
    (resource,) = package["resources"]
    assert package["description"] == "4 rows; country KE"
    with (folder / resource["path"]).open("rb") as stream:
        rows = list(ours.read(stream))
    assert [row["country"] for row in rows] == ["KE"] * 4
    assert list(rows[0]) == [field["name"] for field in resource["schema"]["fields"]]
    assert resource["bytes"] == (folder / resource["path"]).stat().st_size
    readme = (folder / "README.md").read_text()
    assert [field["name"] for field in resource["schema"]["fields"] if f"| `{field['name']}` |" not in readme] == []

    again = desk.wazi("export", "--format", "csv", "--output", "out/")
    assert again.returncode == 2
    assert b"out/: cannot be written (it is there already, and not empty)" in again.stderr
    assert desk.wazi("export", "--format", "jsonl", "--output", "lines/").returncode == 0
    package = json.loads((desk.folder / "lines" / "datapackage.json").read_text())
    assert package["resources"][0]["compression"] == "gz"


def test_parquet_is_a_folder_that_describes_itself(desk: Desk) -> None:
    refused = desk.wazi("export", "--format", "parquet")
    assert (refused.returncode, refused.stdout) == (2, b"")
    assert b"--format parquet is many files: give it a folder, --output FOLDER" in refused.stderr
    ran = desk.wazi("export", "--format", "parquet", "--output", "tables")
    assert ran.returncode == 0, ran.stderr
    subprocess.run(["sha256sum", "--quiet", "-c", "SHA256SUMS"], cwd=desk.folder / "tables", check=True)
    (resource,) = json.loads((desk.folder / "tables" / "datapackage.json").read_text())["resources"]
    assert resource["path"] == [f"verdicts/date=2026-09-21/country={code}/part-0.parquet" for code in ("ET", "KE")]
    assert pyarrow.parquet.read_table(desk.folder / "tables" / "verdicts").num_rows == NUMBER
    with duckdb.connect() as connection:
        files = f"read_parquet('{desk.folder}/tables/**/*.parquet', hive_partitioning=true)"
        counted = connection.execute(f"SELECT country, count(*) FROM {files} GROUP BY country ORDER BY country")
        assert counted.fetchall() == [("ET", 8), ("KE", 4)]
        columns = [row[0] for row in connection.execute(f"DESCRIBE SELECT * FROM {files}").fetchall()]
    fields = [field["name"] for field in resource["schema"]["fields"]]
    (file, _) = (desk.folder / "tables").glob("**/*.parquet")
    assert pyarrow.parquet.read_schema(file).names == fields
    assert sorted(columns) == sorted([*fields, *(field["name"] for field in resource["partitions"])])


def test_what_a_format_has_no_place_for_is_told(desk: Desk) -> None:
    desk.fill([(measurement(50, nettest="quic"), ACCESSIBLE)])
    ran = desk.wazi("export", "--format", "ooni", "--output", "ooni.jsonl")
    assert ran.returncode == 0
    assert b"left out: 1 measurement of a kind that this format has no place for" in ran.stderr
    assert (desk.folder / "ooni.jsonl").read_bytes().count(b"\n") == NUMBER


def test_what_was_never_judged_is_judged_on_the_way(desk: Desk) -> None:
    desk.fill([(measurement(60, id="e" * 32), None)])
    for form in ("csv", "jsonl"):
        ran = desk.wazi("export", "--format", form, "--after", f"{NUMBER - 1:032x}")
        assert ran.returncode == 0, ran.stderr
        assert b"e" * 32 in ran.stdout
        assert b"unreachable" in ran.stdout or b"inconclusive" in ran.stdout or b"accessible" in ran.stdout


def test_an_export_that_is_interrupted_leaves_nothing_under_the_name(desk: Desk) -> None:
    desk.fill((measurement(100 + n, body=b"x" * 30_000 + b"%d" % n), ACCESSIBLE) for n in range(3000))
    before = sorted(path.name for path in desk.folder.iterdir())
    (desk.folder / "old.jsonl.gz").write_bytes(b"of yesterday")
    for name in ("new/", "old.jsonl.gz"):
        process = desk.start("export", "--format", "jsonl", "--output", name)
        end = time.monotonic() + 20
        while not list(desk.folder.glob(".*.part")):
            assert time.monotonic() < end, "it never began"
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=20)
        assert process.returncode == 130, said
    assert sorted(path.name for path in desk.folder.iterdir()) == sorted([*before, "old.jsonl.gz"])
    assert (desk.folder / "old.jsonl.gz").read_bytes() == b"of yesterday"


@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_a_reader_that_has_enough_ends_it_in_silence(desk: Desk, form: str) -> None:
    with desk.start("export", "--format", form) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert (process.stderr.read(), process.wait(20)) == (b"", 141)


def test_a_disk_that_is_full_is_said_and_holds_no_half_file(desk: Desk) -> None:
    """/dev/full takes nothing; a file of its own is bounded by the limit of a process."""
    desk.fill([(measurement(100 + n, body=b"%d" % n * 10_000), ACCESSIBLE) for n in range(20)])
    argv = desk.argv("export", "--format", "jsonl", "--output", "out.jsonl")
    before = sorted(desk.folder.iterdir())
    limited = ["sh", "-c", 'trap "" XFSZ; ulimit -f 200; exec "$@"', "sh", *argv]
    ran = subprocess.run(limited, cwd=desk.folder, capture_output=True, timeout=60, env=desk.environment())
    assert (ran.returncode, ran.stderr) == (2, b"wazi: out.jsonl: cannot be written (File too large)\n")
    assert sorted(desk.folder.iterdir()) == before
    ran = desk.wazi("export", "--format", "jsonl", "--output", "/dev/full")
    assert (ran.returncode, ran.stderr) == (2, b"wazi: /dev/full: cannot be written (No space left on device)\n")


def test_a_terminal_sees_how_far_it_is(desk: Desk) -> None:
    outside, inside = os.openpty()
    process = desk.start("export", "--format", "csv", terminal=inside)
    os.close(inside)
    out, _ = process.communicate(timeout=20)
    seen = os.read(outside, 65536).decode()
    os.close(outside)
    assert "exporting" in seen
    assert f"/{NUMBER}" in seen
    assert out.count(b"\r\n") == NUMBER + 1
