"""No measurement outlives its deadline by more than a second, whatever the other side does to keep it.

The tar-pits send a byte now and then, which restarts every timeout between bytes; the blocks set off every follow-up.
"""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from tests.lab.book import BOOK, OPEN
from tests.lab.client import LabClient
from tests.lab.lab import WAZI
from tests.lab.scenario import Scenario

pytestmark = pytest.mark.lab
DEADLINE = 3
LATE = 1.0  # seconds that a measurement may take beyond its deadline
AROUND = 12.0  # seconds for the command's start and its looks at the network, before and after


def measured(lab: LabClient, scenario: Scenario, url: str, deadline: int) -> tuple[dict[str, Any], float]:
    """Measure under a deadline; return the line and the seconds that the whole command took."""
    lab.apply(scenario, control=True)
    began = time.monotonic()
    argv = [*WAZI, "--config", str(lab.config(control=True)), "check", "--json", "--timeout", f"{deadline}s", url]
    code, said, errors = lab.run("cli", argv, timeout=60)
    assert code in (0, 1, 3), errors
    line: dict[str, Any] = json.loads(said)
    return line, time.monotonic() - began


@pytest.mark.parametrize(
    ("scenario", "url"),
    [
        *(("open", f"http://drip-{what}.example/") for what in ("head", "body", "hops")),
        *(("open", f"https://drip-{what}.example/") for what in ("hello", "head", "hops")),
        ("open", "https://geo-tarpit.example/"),
        ("tls-dropped", "https://facebook.com/"),
        ("syn-dropped", "https://facebook.com/"),
        ("dns-dropped", "https://facebook.com/"),
    ],
)
def test_a_measurement_ends_in_time(lab: LabClient, scenario: str, url: str) -> None:
    line, seconds = measured(lab, BOOK[scenario], url, DEADLINE)
    measurement = line["measurement"]
    assert measurement["runtime"] <= DEADLINE + LATE
    assert seconds <= DEADLINE + AROUND
    assert measurement["observations"], "what was seen until then is kept"
    if "measurement_timeout" in measurement["limits"]:
        assert measurement["runtime"] >= DEADLINE
        assert line["outcome"] not in ("blocked", "throttled"), line["summary"]
    else:
        assert measurement["runtime"] < DEADLINE


def test_a_tar_pit_does_hold_on(lab: LabClient) -> None:
    line, _ = measured(lab, OPEN, "http://drip-head.example/", 3)
    assert "measurement_timeout" in line["measurement"]["limits"]
    line, _ = measured(lab, OPEN, "http://drip-body.example/", 30)
    assert max(step["elapsed"] for step in line["measurement"]["observations"]) > 8
