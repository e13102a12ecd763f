"""The book of scenarios against the probe, run as its users run it: `wazi check --json URL`.

Beside the verdict, whoever interferes must have been caught in the act by its own log or counter, so
that a timeout cannot pass for a block; and the target must be open again when the scenario is over.
It is a spread of the book; `--whole-book` runs it all, and so does `scripts/accuracy`, side by side.
"""

from __future__ import annotations

import json
from fnmatch import fnmatchcase as fnmatch
from pathlib import Path
from typing import Any

import pytest

from tests.lab.attempt import attempt
from tests.lab.book import AWAITED, BOOK, CHAPTERS, OPEN
from tests.lab.book.shown import SHOWN, unlike_shown
from tests.lab.client import LabClient
from tests.lab.scenario import Scenario
from tests.lab.spread import Case, spread

pytestmark = pytest.mark.lab

EXIT_CODES = {
    "accessible": 0,
    "down": 0,
    "server_side": 0,
    "blocked": 1,
    "throttled": 1,
    "unreachable": 1,
    "invalid": 3,
    "inconclusive": 3,
}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    whole = [Case(scenario, control) for scenario in BOOK.values() for control in (True, False)]
    cases = whole if metafunc.config.getoption("--whole-book") else spread(CHAPTERS, SHOWN.values())
    parameters = [
        pytest.param(
            scenario,
            control,
            id=f"{scenario.name}-{'control' if control else 'no-control'}",
            marks=[pytest.mark.xfail(strict=False)] if scenario.name in AWAITED else [],
        )
        for scenario, control in cases
    ]
    metafunc.parametrize(("scenario", "control"), parameters)


def test_verdict(lab: LabClient, tmp_path: Path, scenario: Scenario, control: bool) -> None:
    made = attempt(lab, scenario, control=control)
    line = made.line
    (tmp_path / "line.json").write_text(json.dumps(line, indent=1))

    assert not scenario.expected(control=control).disagreements(line), explain(line)
    assert unlike_shown(scenario.name, control, [finding["rule"] for finding in line["findings"]]) == []
    assert line["exit_code"] == EXIT_CODES[line["outcome"]]
    assert made.untrue(scenario) is None
    lab.apply(OPEN)
    assert fnmatch(lab.look("cli", scenario.url, scenario.at), scenario.undone), "the scenario was not undone"


def explain(line: dict[str, Any]) -> str:
    """Return a verdict and the steps it rests on, briefly."""
    wanted = ("outcome", "mechanism", "trigger", "where", "pattern", "confidence", "reason", "summary", "findings")
    steps = [briefly(step) for step in line["measurement"]["observations"]]
    return "\n".join([json.dumps({key: line.get(key) for key in wanted}, indent=1), *steps, line["stderr"]])


def briefly(step: dict[str, Any]) -> str:
    """Return one step in one line."""
    shown = (
        "view",
        "purpose",
        "resolver",
        "protocol",
        "address",
        "port",
        "name",
        "rtype",
        "url",
        "host",
        "ttl",
        "status",
    )
    facts = " ".join(f"{key}={step[key]}" for key in shown if step.get(key) not in (None, ""))
    times = f"{step.get('started', 0):.2f}+{step.get('elapsed', 0):.2f}"
    ended = f"{step.get('failure') or 'ok'} {step.get('detail', '')}".strip()
    return f"{step['id']:>3} <{step.get('cause')} {times} {step['type']} {facts}: {ended}"
