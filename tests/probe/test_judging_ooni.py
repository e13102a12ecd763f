"""`wazi judge` as it is run, over files of odd OONI records: a line for each, no error, and no false accusation."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.measurements.mutants import QUIET, RECORDS, mutants, nested, spelled

ROOT = Path(__file__).resolve().parents[2]
ACCESSIBLE = spelled(RECORDS["accessible.05"])


def judged(file: Path) -> tuple[int, list[dict[str, Any]], list[str]]:
    """Run the command on a file; return its exit code, its lines, and what it complained of."""
    bogons = file.with_name("bogons.csv")  # the records' addresses are of the documentation ranges
    bogons.write_text("prefix,why\n10.0.0.0/8,private (RFC 1918)\n")
    argv = [sys.executable, "-m", "probe.cli", "judge", "--json", "--bogons", str(bogons), str(file)]
    ran = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=100)
    return ran.returncode, [json.loads(line) for line in ran.stdout.splitlines()], ran.stderr.splitlines()


@pytest.mark.parametrize("quiet", [True, False])
def test_a_file_of_odd_records(tmp_path: Path, quiet: bool) -> None:
    names = QUIET if quiet else tuple(name for name in RECORDS if not name.startswith(QUIET))
    records = [record for _, record in mutants(25, names)]
    file = tmp_path / "odd.jsonl"
    file.write_bytes(b"".join(spelled(record) + b"\n" for record in records))
    code, lines, complaints = judged(file)
    assert code in (1, 3)
    assert [text for text in complaints if "test_name" not in text] == []
    assert len(lines) + len(complaints) == len(records)
    assert len(complaints) < len(records) / 20
    for line in lines:
        assert line["outcome"] != "inconclusive" or line["reason"]
        assert line["summary"]
        assert not quiet or line["outcome"] not in ("blocked", "throttled"), line["summary"]


DEEP = json.dumps(nested(400)).replace("null", "[" * 50_000 + "]" * 50_000)


@pytest.mark.parametrize(
    "line",
    [
        ACCESSIBLE.replace(b'"test_runtime"', b'"x": NaN, "y": -Infinity, "test_runtime"'),
        ACCESSIBLE.replace(b'"test_runtime"', b'"x": 1' + b"0" * 50_000 + b', "test_runtime"'),
        ACCESSIBLE.replace(b'"test_runtime"', b'"x": "\\ud83d and a \xff byte", "test_runtime"'),
        ACCESSIBLE.replace(b'"test_runtime"', b'"x": "a raw\ttab", "test_runtime"'),
        ACCESSIBLE.replace(b'"test_runtime"', b'"x": ' + DEEP.encode() + b', "test_runtime"'),
        ACCESSIBLE.replace(b'"test_runtime"', b'"x": {"\\"[[": "]\\\\"}, "y": ' + DEEP.encode() + b', "test_runtime"'),
        ACCESSIBLE.replace(b'"test_runtime"', b'"test_runtime": 1, "test_runtime"'),
        b"\xef\xbb\xbf" + ACCESSIBLE,
    ],
    ids=["nan", "digits", "unicode", "tab", "deep", "deep-and-quoted", "twice", "mark"],
)
@pytest.mark.parametrize("array", [False, True], ids=["line", "array"])
def test_what_is_hardly_json_is_read(tmp_path: Path, line: bytes, array: bool) -> None:
    assert line != ACCESSIBLE
    file = tmp_path / "one.json"
    file.write_bytes(b"[" + line.removeprefix(b"\xef\xbb\xbf") + b", " + ACCESSIBLE + b"]" if array else line + b"\n")
    code, lines, complaints = judged(file)
    assert (code, [one["outcome"] for one in lines]) == (0, ["accessible"] * (1 + array)), complaints


def test_what_is_no_json_is_still_named(tmp_path: Path) -> None:
    file = tmp_path / "bad.jsonl"
    file.write_bytes(ACCESSIBLE + b"\n" + ACCESSIBLE[:900] + b"\n" + b"[NaN]\n" + ACCESSIBLE + b"\n")
    code, lines, complaints = judged(file)
    assert code == 3
    assert len(lines) == 2
    assert ["bad.jsonl:2: no JSON" in complaints[0], "bad.jsonl:3: no measurement" in complaints[1]] == [True, True]
