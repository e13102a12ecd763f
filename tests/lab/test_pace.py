"""Throttles do what they say, seen by a plain client that reads the control's objects at both of its doors."""

from __future__ import annotations

import json
import sys
from typing import Any

import pytest

from tests.lab.book import OPEN
from tests.lab.book.verdicts import ACCESSIBLE
from tests.lab.client import LabClient
from tests.lab.scenario import Mechanism, Scenario, Throttle
from tests.lab.settings import CONTROL_PORT
from tests.lab.topology import CONTROL
from tests.lab.world import SlowLine

pytestmark = pytest.mark.lab
NAME, HARMLESS, TLS = "twitter.com", "harmless.example", 443
SIZE = 128 * 1024


def fetch(lab: LabClient, port: int, name: str, size: int = SIZE) -> dict[str, Any]:
    code, out, err = lab.run("cli", [sys.executable, "-m", "tests.lab.fetch", CONTROL, str(port), name, str(size)])
    assert code == 0, err
    said: dict[str, Any] = json.loads(out)
    assert said["status"] == "200"
    return said


def lay(lab: LabClient, *mechanisms: Mechanism) -> None:
    lab.apply(Scenario(name="slow", about="", mechanisms=mechanisms, expect=ACCESSIBLE, seen=""), control=True)


@pytest.mark.parametrize(
    ("kbit", "style", "port", "seconds"),
    [(1000, "police", TLS, 4), (512, "shape", TLS, 2), (512, "police", CONTROL_PORT, 4)],
)
def test_a_name_is_throttled_to_what_was_asked(lab: LabClient, kbit: int, style: Any, port: int, seconds: int) -> None:
    """Whoever drops lets a burst pass after each pause of the sender's: its rate takes seconds to show."""
    lay(lab, Throttle(names=(NAME,), kbit=kbit, style=style))
    slow = fetch(lab, port, NAME, seconds * kbit * 125)
    assert slow["bytes"] == seconds * kbit * 125
    assert slow["bps"] == pytest.approx(kbit * 1000, rel=0.15)
    assert {(deed.action, deed.subject) for deed in lab.deeds()} == {("throttle", NAME)}
    assert fetch(lab, port, HARMLESS)["bps"] > 5_000_000


def test_a_name_freezes_after_16_kilobytes(lab: LabClient) -> None:
    lay(lab, Throttle(names=(NAME,), kbit=0, free=16_384))
    assert 10_000 < fetch(lab, TLS, NAME)["bytes"] < 16_384
    assert fetch(lab, TLS, HARMLESS)["bytes"] == SIZE


def test_a_throttle_leaves_alone_what_it_passes_and_spares(lab: LabClient) -> None:
    lay(lab, Throttle(names=(), spares=(HARMLESS,), kbit=1000, passes=1))
    rates = [fetch(lab, TLS, name)["bps"] for name in (NAME, HARMLESS, NAME, HARMLESS)]
    assert [rate > 5_000_000 for rate in rates] == [True, True, False, True], rates


def test_a_slow_line_is_slow_for_every_name_until_it_is_undone(lab: LabClient) -> None:
    lay(lab, SlowLine(kbit=1000))
    for name in (NAME, HARMLESS):
        assert fetch(lab, TLS, name)["bps"] == pytest.approx(1_000_000, rel=0.15)
    lab.apply(OPEN, control=True)
    assert fetch(lab, TLS, NAME)["bps"] > 5_000_000
