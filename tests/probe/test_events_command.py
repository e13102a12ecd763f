"""`wazi events`, what `wazi status` says of them, and `wazi run` that counts."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from measurements.events.nouns import Settings
from measurements.standing import Standing
from measurements.store import open_store
from tests.measurements.store.samples import ACCESSIBLE, BLOCKED, measurement
from tests.probe.world import World

HOUR = 3600.0


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with World(tmp_path) as made:
        yield made


def fill(world: World, *, counted: bool = True) -> None:
    """Store four days: one site was blocked for some hours, another is since an hour ago."""
    now = time.time()
    with open_store(f"sqlite:///{world.folder}/wazi.db") as store:
        standing = Standing(store.ledger, Settings(volume_per_week=2000.0, fixed_volume=True))
        for hour in range(96, -1, -1):
            for host, bad in (("past.example", 40 < hour <= 60), ("now.example", hour <= 1), ("well.example", False)):
                fact = measurement(97 - hour, host=host, started=now - hour * HOUR)
                store.add(fact, BLOCKED if bad else ACCESSIBLE)
            if counted and hour in (58, 45, 20):
                store.flush(30)
                standing.catch_up()
        store.flush(30)
        if counted:
            standing.catch_up()


def objects(done: subprocess.CompletedProcess[str]) -> list[dict[str, Any]]:
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_what_is_open_is_listed_and_what_is_over_when_asked_for(world: World) -> None:
    fill(world)
    shown = world.wazi("events")
    assert shown.returncode == 0, shown.stderr
    (line,) = shown.stdout.splitlines()
    assert "unconfirmed  now.example blocked on AS24757 in ET, since between " in line
    assert "(not confirmed)" in line
    every = objects(world.wazi("events", "--all", "--json"))
    assert [event["status"] for event in every] == ["unconfirmed", "closed"]
    assert [event["target"] for event in every] == ["now.example", "past.example"]
    (closed,) = objects(world.wazi("events", "--status", "closed", "--json"))
    assert closed == every[1]
    assert objects(world.wazi("events", "--target", "https://past.example/a", "--all", "--json")) == [closed]
    assert len(objects(world.wazi("events", "--since", "3d", "--json"))) == 2
    assert objects(world.wazi("events", "--since", "1h", "--json")) == every[:1]
    assert objects(world.wazi("events", "--all", "--limit", "1", "--json")) == every[:1]
    none = world.wazi("events", "--target", "well.example")
    assert (none.stdout, none.stderr) == (
        "",
        "wazi: no such event is open; `wazi events --all` shows also what is over\n",
    )
    assert world.wazi("events", "--target", "well.example", "--all").stderr == "wazi: no such event\n"


def test_an_event_is_shown_with_its_timeline_and_witnesses_that_can_be_opened(world: World) -> None:
    fill(world)
    (event,) = objects(world.wazi("events", "--json"))
    shown = world.wazi("events", event["id"][:6])
    assert shown.returncode == 0, shown.stderr
    assert shown.stdout.startswith("unconfirmed  now.example blocked")
    drawn = next(line for line in shown.stdout.splitlines() if line.startswith("now.example dns AS24757"))
    assert drawn.count("#") == 2
    assert drawn.count(".") > 2
    assert "63 % chance of at least one in any week" in shown.stdout
    for witness in event["witnesses"]:
        assert witness in shown.stdout
        assert "BLOCKED by dns.bogon" in world.wazi("show", witness).stdout
    assert objects(world.wazi("events", event["id"], "--json")) == [event]
    (closed,) = objects(world.wazi("events", "--status", "closed", "--json"))
    history = world.wazi("events", closed["id"]).stdout
    assert "what it said, and when" in history
    assert history.index("unconfirmed: past") < history.index("confirmed: past") < history.index("closed: past")


WRONG = [
    (("events", "zz"), "no event begins with zz"),
    (("events", "--status", "open"), "--status open: must be one of unconfirmed, confirmed, closed, withdrawn"),
    (("events", "--since", "soon"), "--since soon: write a date"),
    (("events", "--target", "https://"), "--target:"),
]


def test_a_wrong_question_is_refused_in_words(world: World) -> None:
    assert "there is no store" in world.wazi("events").stderr
    open_store(f"sqlite:///{world.folder}/wazi.db").close()
    assert objects(world.wazi("events", "--all")) == []
    for arguments, words in WRONG:
        done = world.wazi(*arguments)
        assert (done.returncode, done.stdout) == (2, "")
        assert words in done.stderr


def test_status_says_what_is_open_what_is_promised_and_how_long_it_takes(world: World) -> None:
    fill(world)
    said = world.wazi("status").stdout
    assert "events   1 open event" in said
    assert "unconfirmed  now.example" in said
    assert "on average one false alarm a week; a 63 % chance of at least one in any week" in said
    assert "a proven block, seen by one probe: told " in said
    assert "waiting" not in said
    (record,) = objects(world.wazi("status", "--json"))
    assert [event["target"] for event in record["events"]["open"]] == ["now.example"]
    assert record["events"]["threshold"] > 5
    assert len(record["events"]["delays"]) == 4
    assert record["events"]["waiting"] == 0


def test_status_says_when_votes_wait_to_be_counted(world: World) -> None:
    fill(world, counted=False)
    said = world.wazi("status").stdout
    assert "events   0 open events" in said
    assert "waiting  582 votes to be counted, the oldest of " in said


def test_a_run_counts_what_it_measures_and_what_waited(world: World) -> None:
    fill(world, counted=False)
    world.config.write_text(world.config.read_text() + "\n[events]\nfalse_alarms_per_week = 0.5\n")
    process = world.start("run")
    deadline = time.monotonic() + 40
    while True:
        done = world.wazi("status", "--json")
        said = json.loads(done.stdout) if done.returncode == 0 else {}
        if said and said["events"]["open"] and not said["events"]["waiting"] and said["store"]["measurements"] > 291:
            break
        assert time.monotonic() < deadline, done
        time.sleep(0.2)
    process.send_signal(signal.SIGTERM)
    _, told = process.communicate(timeout=30)
    assert [event["target"] for event in said["events"]["open"]] == ["now.example"]
    assert said["events"]["promise"].startswith("on average 0.5 false alarms a week; a 39 % chance")
    logged = [line for line in told.splitlines() if '"event": "event"' in line or "wazi.events" in line]
    assert logged, told
    assert not any('"level": "warning"' in line for line in logged), "a terminal has a line of its own for it"
    assert "example" not in told  # the log names no site
