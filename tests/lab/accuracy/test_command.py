"""The command itself, over the real lab: it runs, remembers, reports, and can be interrupted."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.lab.accuracy.results import Results, code_digest
from tests.lab.spaces import REPOSITORY, environment


def argv(*options: str) -> list[str]:
    return [sys.executable, "-m", "tests.lab.accuracy", *options]


def accuracy(*options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        argv(*options), cwd=REPOSITORY, env=environment(), capture_output=True, text=True, timeout=100
    )


@pytest.mark.lab
def test_it_runs_and_a_second_run_only_reports(tmp_path: Path) -> None:
    page, options = tmp_path / "page.md", ["--only", "open", "--labs", "2", "--out", str(tmp_path / "out")]
    first = accuracy(*options, "--markdown", str(page))
    assert first.returncode == 0, first.stderr
    assert "2 of 2 verdicts" in first.stderr
    assert "| Quiet scenarios called blocked or throttled: none in 20 repetitions" in first.stdout
    assert page.read_text().startswith("# Accuracy\n")
    line = json.loads((tmp_path / "out" / "lines" / "open.no-control.0.json").read_text())
    assert line["outcome"] == "accessible"

    again = accuracy(*options, "--report", "--json", "-")
    assert again.returncode == 0, again.stderr
    assert "2 of 2 runs are in" in again.stderr
    facts = json.loads(again.stdout)
    assert [result["said"]["outcome"] for result in facts["results"]] == ["accessible", "accessible"]
    assert facts["wrong"] == {}


@pytest.mark.lab
def test_an_interrupted_run_keeps_what_it_has(tmp_path: Path) -> None:
    options = ["--only", "open*", "--labs", "1", "--out", str(tmp_path)]
    running = subprocess.Popen(argv(*options), cwd=REPOSITORY, env=environment(), stdout=-1, stderr=-1, text=True)
    end = time.monotonic() + 60
    kept = tmp_path / "results.jsonl"
    while not (kept.exists() and kept.stat().st_size) and time.monotonic() < end:
        time.sleep(0.05)
    os.kill(running.pid, signal.SIGINT)
    said, errors = running.communicate(timeout=40)
    assert running.returncode == 130, errors
    assert "interrupted; the same command goes on from here" in errors
    assert "## Targets" in said
    done = [json.loads(line) for line in kept.read_text().splitlines()]
    assert done
    assert all(result["said"]["outcome"] == "accessible" for result in done)
    assert len(Results(tmp_path).read(code_digest())) == len(done)


@pytest.mark.parametrize("options", [("--only", "nobody-*"), ("--only", "open", "--kind", "quiet")])
def test_what_nobody_is_called_is_an_error(options: tuple[str, ...]) -> None:
    said = accuracy(*options)
    assert said.returncode == 2
    assert "no scenario is like that" in said.stderr


@pytest.mark.parametrize("option", ["--repeat", "--labs"])
def test_counts_are_positive(option: str) -> None:
    said = accuracy(option, "0")
    assert said.returncode == 2
    assert option in said.stderr
