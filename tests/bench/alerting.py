"""Alerts through kills: events told by real webhooks to receivers that fail, hang and lose their answers.

A program stores events and sends what they are news for; it is killed (SIGKILL) at random moments and started again.
Four receivers count what they get: a healthy one, one that answers 20 % of the messages with an error, one that hangs
until all events are stored, and one that takes 20 % without an answer. What counts is that each event arrives opened
and closed at each of them, once when repeated ids are left out and in this order, and how long the healthy one waits.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.bench.figures import Figure
from tests.bench.told import HOOK_NAMES
from tests.measurements.store import postgres

EVENTS, KILLS, RATE = 10_000, 50, 20.0
LONGEST = 20.0  # seconds that the program works before it is killed
STARTING = 0.2  # of the kills
TROUBLE = 5  # one in so many attempts at the failing and at the mute one goes wrong
PATIENCE = 300.0  # seconds for what is left when all is stored
ROOT = Path(__file__).resolve().parents[2]


@dataclass
class Heard:
    """What one receiver got: messages by their id in order of arrival, and how often any was repeated."""

    messages: dict[str, tuple[float, list[tuple[str, str, float]]]] = field(default_factory=dict)
    attempts: int = 0
    repeated: int = 0
    news: int = 0

    def told(self) -> list[tuple[str, str]]:
        """Return (event, change) of every message once, in order."""
        return [(event, change) for _, news in self.messages.values() for event, change, _ in news]

    def delays(self) -> list[tuple[float, float]]:
        """Return when each opening was stored, and the seconds until it arrived."""
        found = [
            (opened, at - opened)
            for at, news in self.messages.values()
            for _, change, opened in news
            if change == "opened"
        ]
        return sorted(found)


class Receivers:
    """The four of them, on one port of this machine, in a thread of their own."""

    def __init__(self) -> None:
        self.heard = {name: Heard() for name in HOOK_NAMES}
        self.hanging = True
        self._ready = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Receivers:
        self._thread.start()
        assert self._ready.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)

    def _run(self) -> None:
        self._loop.run_until_complete(self._serve())
        self._loop.close()

    async def _serve(self) -> None:
        self._stop = asyncio.Event()
        server = await asyncio.start_server(self._answer, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        await self._stop.wait()
        server.close()
        await asyncio.gather(*(asyncio.all_tasks() - {asyncio.current_task()}), return_exceptions=True)

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:])}
            body = await reader.readexactly(int(headers["content-length"]))
            status = await self._take(head[0].split()[1].strip("/"), headers["webhook-id"], body)
            if status:
                writer.write(f"HTTP/1.1 {status} so\r\ncontent-length: 0\r\nconnection: close\r\n\r\n".encode())
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the sender was killed
        finally:
            writer.close()

    async def _take(self, name: str, notice_id: str, body: bytes) -> int:
        heard = self.heard[name]
        heard.attempts += 1
        trouble = heard.attempts % TROUBLE == 1
        if name == "failing" and trouble:
            return 500
        if name == "hanging" and self.hanging:
            await self._stop.wait()
            return 0
        news = [(one["id"], one["change"], one["opened"]) for one in json.loads(body)["data"]["events"]]
        if notice_id in heard.messages:
            heard.repeated += 1
        else:
            heard.messages[notice_id] = (time.time(), news)
            heard.news += len(news)
        return 0 if name == "mute" and trouble else 200


@dataclass(frozen=True)
class Outcome:
    """What a run showed. `faults` are sentences, and should be none."""

    faults: list[str]
    heard: dict[str, Heard]
    kills: int
    seconds: float


def tell(url: str, *, events: int, kills: int, rate: float, seed: int = 1, longest: float = LONGEST) -> Outcome:
    """Store and tell `events` events through so many kills: a fifth while it starts, the others while it works."""
    chance = random.Random(seed)
    began = time.monotonic()
    with Receivers() as receivers:
        command = [sys.executable, "-m", "tests.bench.told", url, str(receivers.port), str(events), str(rate)]
        for _ in range(kills):
            with _child(command) as child:
                if chance.random() < STARTING:
                    time.sleep(chance.uniform(0.0, 1.0))
                else:
                    _await(child, "begins")
                    time.sleep(chance.uniform(0.0, longest))
                if child.poll() is not None:
                    raise RuntimeError(f"the program ended by itself, with {child.returncode}")
                child.kill()
        with _child(command) as child:
            _await(child, "stored")
            receivers.hanging = False
            end = time.monotonic() + PATIENCE
            while time.monotonic() < end and any(heard.news < 2 * events for heard in receivers.heard.values()):
                time.sleep(0.2)
            child.communicate(timeout=30)
    faults = [fault for name, heard in receivers.heard.items() for fault in _faults(name, heard, events)]
    return Outcome(faults, receivers.heard, kills, time.monotonic() - began)


@contextmanager
def _child(command: list[str]) -> Iterator[subprocess.Popen[str]]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    child = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT, env=environment
    )
    try:
        yield child
    finally:
        child.kill()
        child.communicate()


def _await(child: subprocess.Popen[str], word: str) -> None:
    """Wait until the program says a word."""
    assert child.stdout is not None
    while (line := child.stdout.readline()).strip() != word:
        if not line:
            raise RuntimeError(f"the program ended by itself, with {child.wait()}")


def _faults(name: str, heard: Heard, events: int) -> Iterator[str]:
    told = heard.told()
    seen: dict[str, list[str]] = {}
    for event, change in told:
        seen.setdefault(event, []).append(change)
    missing = events - sum("opened" in changes and "closed" in changes for changes in seen.values())
    if missing:
        yield f"{name}: {missing} events were not told from opening to end"
    if len(told) != len(set(told)):
        yield f"{name}: {len(told) - len(set(told))} news came under two ids"
    wrong = sum(changes != ["opened", "closed"] for changes in seen.values())
    if wrong:
        yield f"{name}: {wrong} events were told otherwise than opened and then closed"


def run(rounds: int) -> Iterator[Figure]:
    """Tell ten thousand events through fifty kills, on SQLite and on PostgreSQL."""
    for number in range(rounds):
        with tempfile.TemporaryDirectory() as folder:
            yield from _figures(
                "SQLite", tell(f"sqlite:///{folder}/wazi.db", events=EVENTS, kills=KILLS, rate=RATE, seed=number)
            )
        with postgres.server() as server:
            yield from _figures(
                "PostgreSQL", tell(server.new_database(), events=EVENTS, kills=KILLS, rate=RATE, seed=number)
            )


def _figures(database: str, outcome: Outcome) -> Iterator[Figure]:
    healthy = outcome.heard["healthy"]
    delays = [delay for _, delay in healthy.delays()]
    tenth = max(1, len(delays) // 10)
    worst = max(statistics.median(delays[start : start + tenth]) for start in range(0, len(delays) - tenth + 1, tenth))
    note = "; ".join(outcome.faults)
    part = "alerts"
    whole = f"{EVENTS:,} events, {outcome.kills} kills, {database}"
    yield Figure(
        part, f"{whole}: events not told once and in order", "", (float(len(outcome.faults)),), at_most=0.0, note=note
    )
    yield Figure(part, f"{database}: median delay of a healthy hook", "s", (statistics.median(delays),), at_most=2.0)
    yield Figure(part, f"{database}: the same, in its worst tenth", "s", (worst,), at_most=2.0)
    yield Figure(part, f"{database}: longest delay of a healthy hook", "s", (max(delays),))
    for name, heard in outcome.heard.items():
        yield Figure(part, f"{database}: messages to {name}", "", (float(len(heard.messages)),))
        yield Figure(part, f"{database}: attempts at {name}", "", (float(heard.attempts),))
        yield Figure(part, f"{database}: repeated to {name}", "", (float(heard.repeated),))
    yield Figure(part, f"{database}: time", "s", (outcome.seconds,))
