"""A slice of what `scripts/accuracy --detector` does at length: the promises that a short run can hold or break."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

from tests.lab.accuracy.detector import KINDS, WEEKLY, noisy
from tests.lab.spaces import REPOSITORY, environment


def test_the_command_reports(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    argv = [sys.executable, "-m", "tests.lab.accuracy", "--detector", "--votes", "20000", "--runs", "60"]
    argv += ["--labs", "1", "--json", "-", "--markdown", str(page), "--plots", str(tmp_path / "plots")]
    done = subprocess.run(argv, cwd=REPOSITORY, env=environment(), capture_output=True, text=True, timeout=60)
    told = json.loads(done.stdout)
    missed = [target["promise"] for target in told["targets"] if target["reached"] is False]
    assert (done.returncode, missed) == (0, []), done.stderr
    assert "## False alarms" in page.read_text()
    for name in ("power.svg", "delay.svg"):
        svg = ElementTree.parse(tmp_path / "plots" / name)
        assert len(svg.findall(".//{*}path[@class='line reactive nofill']")) == 5


def test_a_promise_can_be_missed() -> None:
    """Noise that no one promised anything about breaks it many times over, and the counting shows it."""
    found = noisy("one in three fails again, every 8 h", 200_000, 1)
    assert found.onsets > 5 * found.votes / WEEKLY
    assert not KINDS["one in three fails again, every 8 h"].assumed
