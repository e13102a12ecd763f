"""The log hook: one structured line for each event, as the probe's own log writes them."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from measurements.alerts.hooks import HOOKS

CODE = """
import asyncio
from measurements.alerts.hooks import HOOKS
from probe.commands.logs import configure
from tests.measurements.alerts.notices import *
configure(False, for_people=False)
print(asyncio.run(HOOKS["log"]()(notice(*{}, public_url=PUBLIC_URL))))
"""


def logged(events: str) -> tuple[str, list[dict[str, Any]]]:
    ran = subprocess.run([sys.executable, "-c", CODE.format(events)], capture_output=True, text=True, check=True)
    return ran.stdout.strip(), [json.loads(line) for line in ran.stderr.splitlines()]


def test_each_event_is_a_line_for_programs() -> None:
    said, lines = logged("(event(), hostile())")
    assert said == "2 written"
    first, second = lines
    assert (first["event_id"], second["event_id"]) == ("adf48fdc" * 4, "e" * 32)
    assert {name: first[name] for name in ("level", "change", "kind", "status", "countries", "asns", "targets")} == {
        "level": "warning",
        "change": "opened",
        "kind": "blocking",
        "status": "unconfirmed",
        "countries": ["ET"],
        "asns": [24757],
        "targets": ["facebook.com"],
    }
    assert first["link"].endswith("/events/" + "adf48fdc" * 4)
    assert "\x1b" not in json.dumps(second, ensure_ascii=False)


def test_a_test_is_a_line_too() -> None:
    said, [line] = logged("()")
    assert said == "1 written"
    assert line["title"].startswith("TEST: nothing happened")


def test_a_level_must_be_one() -> None:
    with pytest.raises(ValueError, match=r"^level must be one of debug, info, warning, error$"):
        HOOKS["log"](level="loud")
