"""From wazi.toml and an event in the store to real receivers, by every hook, in the threads that send in a probe."""

from __future__ import annotations

import asyncio
import base64
import json
import re
import time
from pathlib import Path

import pytest
import standardwebhooks

from measurements.store import Store, open_store
from probe.alerting import Alerting
from probe.clocks import Tempo
from probe.settings import load
from tests.measurements.alerts.happenings import ended, event, happen
from tests.measurements.alerts.receivers import Receiver, receiving

pytestmark = pytest.mark.anyio

SECRET = f"whsec_{base64.b64encode(bytes(32)).decode()}"
HOOKS = ("webhook", "alertmanager", "apprise", "command", "feed", "log")


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def settings(folder: Path, web: Receiver, manager: Receiver, service: Receiver) -> str:
    ring = folder / "ring"
    ring.write_text(f"#!/bin/sh\ncat >>{folder}/rung\necho >>{folder}/rung\n")
    ring.chmod(0o700)
    (folder / "secret").write_text(SECRET)
    return f"""
[web]
public_url = "https://wazi.example.org/"

[[alert]]
hook = "webhook"
url = "http://{web.authority}/"
secrets_file = "secret"
allow_private = true
allow_http = true

[[alert]]
hook = "alertmanager"
url = "http://{manager.authority}"

[[alert]]
hook = "apprise"
url = "json://{service.authority}"

[[alert]]
hook = "command"
command = ["{ring}"]

[[alert]]
hook = "feed"
path = "feed.xml"

[[alert]]
hook = "log"
"""


async def delivered(store: Store, after: float) -> None:
    """Wait until every hook has delivered something after a moment."""
    for _ in range(300):
        states = await asyncio.to_thread(store.deliveries.states)
        if {state.name for state in states if (state.delivered or 0.0) > after and not state.waiting} == set(HOOKS):
            return
        await asyncio.sleep(0.1)
    raise AssertionError([(state.name, state.waiting, state.why) for state in states])


async def test_an_event_reaches_everybody_when_it_begins_and_when_it_ends(tmp_path: Path) -> None:
    async with receiving() as web, receiving() as manager, receiving() as service:
        (tmp_path / "wazi.toml").write_text(settings(tmp_path, web, manager, service))
        read = load(tmp_path / "wazi.toml", environ={})
        id, began = "adf48fdc" * 4, time.time()
        with open_store(f"sqlite:///{tmp_path}/wazi.db") as store, Alerting(store, Tempo()) as alerting:
            await asyncio.to_thread(alerting.use, read)
            for number, one in enumerate((event(id, at=began), ended(id, at=began))):
                moment = time.time()
                await asyncio.to_thread(happen, store, one, number=number)
                await delivered(store, moment)
    bodies = [standardwebhooks.Webhook(SECRET).verify(request.body, request.headers) for request in web.requests]
    assert [body["type"] for body in bodies] == ["event.opened", "event.closed"]
    assert {body["data"]["link"] for body in bodies} == {f"https://wazi.example.org/events/{id}"}
    rung = (tmp_path / "rung").read_text().splitlines()
    assert [json.loads(line)["type"] for line in rung] == ["event.opened", "event.closed"]
    titles = [json.loads(request.body)["title"] for request in service.requests]
    assert titles[0].endswith("(confirmed)")
    assert titles[1].startswith("Wazi: over: ")
    assert re.findall("<title>(Wazi: .*?)</title>", (tmp_path / "feed.xml").read_text()) == titles[::-1]
    first, last = (json.loads(request.body) for request in manager.requests)
    assert [alert["labels"]["confidence"] for alert in first] == ["confirmed"]
    assert [alert["labels"]["confidence"] for alert in last] == ["confirmed", "unconfirmed"]
    assert {alert["labels"]["event"] for alert in first + last} == {id}
