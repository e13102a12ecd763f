"""The alertmanager hook against the real Prometheus Alertmanager, which tells a receiver of ours what it heard."""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
import socket
import subprocess
import time
import urllib.request
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from measurements.alerts.alertmanager import alerts
from measurements.alerts.hooks import HOOKS
from measurements.alerts.notice import Change, Hook, HookFailed
from measurements.alerts.secrets import Secret
from measurements.events.nouns import Event, Kind, Status
from tests.measurements.alerts.notices import BEGAN, PUBLIC_URL, a_test, confirmed, ended, event, hostile, notice
from tests.measurements.alerts.receivers import OK, Receiver, listening, read_request, receiving, status

pytestmark = pytest.mark.anyio

CONFIG = """
route: {{receiver: ours, group_by: [event], group_wait: 100ms, group_interval: 300ms, repeat_interval: 1h}}
receivers: [{{name: ours, webhook_configs: [{{url: "http://{receiver}/", send_resolved: true}}]}}]
"""


class Manager:
    """A running Alertmanager; its storage stays when it is started again."""

    def __init__(self, folder: Path, receiver: str) -> None:
        (folder / "am.yml").write_text(CONFIG.format(receiver=receiver))
        self._folder = folder
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.url = f"http://127.0.0.1:{free.getsockname()[1]}"

    def start(self) -> None:
        program = shutil.which("prometheus-alertmanager")
        assert program, "this test needs Debian's prometheus-alertmanager (scripts/test installs it)"
        words = [
            f"--config.file={self._folder / 'am.yml'}",
            f"--storage.path={self._folder / 'data'}",
            f"--web.listen-address={self.url.removeprefix('http://')}",
            "--cluster.listen-address=",
        ]
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen([program, *words], stdout=log, stderr=log)
        for _ in range(200):
            with contextlib.suppress(OSError), urllib.request.urlopen(f"{self.url}/-/ready", timeout=2):
                return
            time.sleep(0.05)
        raise AssertionError((self._folder / "log").read_text())

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(10)

    def alerts(self) -> list[dict[str, Any]]:
        """Return the alerts that are active."""
        with urllib.request.urlopen(f"{self.url}/api/v2/alerts", timeout=5) as answer:
            found: list[dict[str, Any]] = json.load(answer)
        return found

    def of(self, event: Event) -> dict[str, Any]:
        """Return the only active alert of an event."""
        [found] = [alert for alert in self.alerts() if alert["labels"].get("event") == event.id]
        return found


class Told:
    """What the Alertmanager told its receiver: (status, event, confidence) of each alert, in order."""

    def __init__(self, receiver: Receiver) -> None:
        self._receiver = receiver

    def of(self, event: Event) -> list[tuple[str, str]]:
        said: list[tuple[str, str]] = []
        for request in self._receiver.requests:
            for alert in json.loads(request.body)["alerts"]:
                if alert["labels"].get("event") == event.id:
                    said.append((alert["status"], alert["labels"]["confidence"]))
        return said

    async def until(self, event: Event, *last: tuple[str, str]) -> None:
        for _ in range(100):
            if set(last) <= set(self.of(event)):
                return
            await asyncio.sleep(0.05)
        raise AssertionError(self.of(event))


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[tuple[Manager, Told]]:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        receiver.requests.append(await read_request(reader))
        writer.write(OK)
        await writer.drain()

    async with listening(answer) as receiver:
        manager = Manager(tmp_path_factory.mktemp("alertmanager"), receiver.authority)
        await asyncio.to_thread(manager.start)
        try:
            yield manager, Told(receiver)
        finally:
            await asyncio.to_thread(manager.stop)


def to(manager: Manager, **options: Any) -> Hook:
    return HOOKS["alertmanager"](url=Secret(manager.url), **options)


@pytest.fixture
def ids() -> Iterator[str]:
    """Return ids that no other test has used."""
    return (f"{time.time_ns() + number:032x}" for number in range(100))


async def test_an_event_is_an_alert_that_stands(world: tuple[Manager, Told], ids: Iterator[str]) -> None:
    manager, told = world
    began = event(next(ids))
    assert await to(manager)(notice(began, public_url=PUBLIC_URL)) == "200 OK"
    await told.until(began, ("firing", "unconfirmed"))
    alert = await asyncio.to_thread(manager.of, began)
    assert alert["labels"] == {
        "alertname": "WaziEvent",
        "event": began.id,
        "confidence": "unconfirmed",
        "country": "ET",
    }
    assert alert["annotations"]["summary"] == "Wazi: facebook.com blocked on AS24757 in ET (not confirmed)"
    assert alert["annotations"]["networks"] == "AS24757"
    assert alert["generatorURL"] == f"{PUBLIC_URL}/events/{began.id}"
    assert alert["startsAt"] == "2025-11-25T06:20:00.000Z"
    stands = time.mktime(time.strptime(alert["endsAt"][:10], "%Y-%m-%d")) - time.time()
    assert 360 < stands / 86_400 < 366


async def test_what_grows_or_changes_is_still_the_same_alert(world: tuple[Manager, Told], ids: Iterator[str]) -> None:
    manager, told = world
    first = event(next(ids), kind=Kind.UNREACHABLE)
    later = event(
        first.id,
        targets=("facebook.com", "x.com"),
        asns=(24757, 1),
        mechanisms=(("dns.nxdomain", BEGAN),),
        layers=("dns",),
    )
    await to(manager)(notice(first))
    before = await asyncio.to_thread(manager.of, first)
    for _ in range(2):
        await to(manager)(notice(later, change=Change.UPDATED))
    after = await asyncio.to_thread(manager.of, first)
    assert after["fingerprint"] == before["fingerprint"]
    assert (before["annotations"]["kind"], after["annotations"]["kind"]) == ("unreachable", "blocking")
    assert after["annotations"]["targets"] == "facebook.com x.com"
    await told.until(first, ("firing", "unconfirmed"))


async def test_a_confirmation_rings_and_the_end_is_told(world: tuple[Manager, Told], ids: Iterator[str]) -> None:
    manager, told = world
    id = next(ids)
    await to(manager)(notice(event(id)))
    await told.until(event(id), ("firing", "unconfirmed"))
    await to(manager)(notice(confirmed(id), change=Change.UPDATED))
    await told.until(event(id), ("firing", "confirmed"), ("resolved", "unconfirmed"))
    assert (await asyncio.to_thread(manager.of, event(id)))["labels"]["confidence"] == "confirmed"
    await to(manager)(notice(ended(id), change=Change.CLOSED))
    await told.until(event(id), ("resolved", "confirmed"))
    assert [alert for alert in await asyncio.to_thread(manager.alerts) if alert["labels"].get("event") == id] == []


async def test_what_is_confirmed_from_the_start_rings_once(world: tuple[Manager, Told], ids: Iterator[str]) -> None:
    manager, told = world
    sure = confirmed(next(ids))
    await to(manager)(notice(sure))
    await told.until(sure, ("firing", "confirmed"))
    await asyncio.sleep(0.7)
    assert told.of(sure) == [("firing", "confirmed")]


@pytest.mark.parametrize(
    "over",
    [
        {"status": Status.WITHDRAWN, "reason": "revised"},
        {"status": Status.CLOSED, "reason": "cleared"},
    ],
    ids=["withdrawn", "cleared"],
)
async def test_what_was_taken_back_ends(world: tuple[Manager, Told], ids: Iterator[str], over: dict[str, Any]) -> None:
    manager, told = world
    began = event(next(ids))
    await to(manager)(notice(began))
    await told.until(began, ("firing", "unconfirmed"))
    await to(manager)(notice(event(began.id, **over), change=Change.CLOSED))
    await told.until(began, ("resolved", "unconfirmed"))


async def test_what_was_never_told_ends_without_a_sound(world: tuple[Manager, Told], ids: Iterator[str]) -> None:
    manager, told = world
    over = ended(next(ids))
    await to(manager)(notice(over, change=Change.CLOSED))
    await asyncio.sleep(0.7)
    assert told.of(over) == []


async def test_an_end_is_told_after_the_alertmanager_was_started_anew(
    world: tuple[Manager, Told], ids: Iterator[str]
) -> None:
    manager, told = world
    sure = confirmed(next(ids))
    await to(manager)(notice(sure))
    await told.until(sure, ("firing", "confirmed"))
    await asyncio.to_thread(manager.stop)
    await asyncio.to_thread(manager.start)
    assert await asyncio.to_thread(manager.alerts) == []  # it keeps what it told, and no alert
    await to(manager)(notice(ended(sure.id), change=Change.CLOSED))
    await told.until(sure, ("resolved", "confirmed"))


async def test_several_and_hostile_texts_are_taken(world: tuple[Manager, Told], ids: Iterator[str]) -> None:
    manager, told = world
    many = [confirmed(next(ids)) for _ in range(20)]
    assert await to(manager)(notice(*many, hostile(next(ids)))) == "200 OK"
    await told.until(many[-1], ("firing", "confirmed"))


async def test_a_test_is_an_alert_of_its_own_that_ends_by_itself(world: tuple[Manager, Told]) -> None:
    manager, _ = world
    await to(manager)(a_test())
    [alert] = [alert for alert in await asyncio.to_thread(manager.alerts) if alert["labels"]["alertname"] == "WaziTest"]
    assert alert["annotations"]["summary"] == "TEST: nothing happened (Wazi)"


async def test_what_the_alertmanager_does_not_take_is_a_failure_in_its_words(world: tuple[Manager, Told]) -> None:
    manager, _ = world
    with pytest.raises(HookFailed, match=r"http://127\.0\.0\.1:\d+/\*\*\* answered 404 Not Found"):
        await HOOKS["alertmanager"](url=Secret(f"{manager.url}/kanari-7f3a"))(notice(event()))
    async with receiving(status("400 Bad Request", body=b"start time must be before end time\n")) as receiver:
        with pytest.raises(HookFailed, match="answered 400 Bad Request: start time must be before end time"):
            await HOOKS["alertmanager"](url=Secret(f"http://{receiver.authority}"))(notice(event()))
    [request] = receiver.requests
    assert request.path == "/api/v2/alerts"


def test_times_are_in_order_whatever_the_clocks_say() -> None:
    """Alertmanager takes no alert that ends before it starts; events may be from a clock that was ahead."""
    for one in (event(), confirmed(), ended(), ended(end=None, confirmed=None), event(status=Status.WITHDRAWN)):
        for now in (0.0, BEGAN, BEGAN + 1e6):
            for alert in alerts(notice(one), now, 86_400.0):
                assert alert["startsAt"] <= alert["endsAt"]


def test_a_wrong_option_is_named() -> None:
    for options, words in (
        ({"url": Secret("http://127.0.0.1:9093/?x=kanari-7f3a")}, "^url must be that of the Alertmanager alone"),
        ({"url": Secret("ftp://127.0.0.1")}, "^url must begin with"),
        ({"stands_days": 0}, "^stands_days must be from 1 to 3650$"),
    ):
        with pytest.raises(ValueError, match=words) as caught:
            HOOKS["alertmanager"](**{"url": Secret("http://127.0.0.1:9093"), **options})
        assert "kanari" not in str(caught.value)
