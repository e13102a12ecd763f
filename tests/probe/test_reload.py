"""Settings that change while a probe runs: files that stand still, an agent that goes on, the command itself."""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import signal
import termios
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from measurements.model import Target
from measurements.store import Store, open_store
from probe.agent import Agent, Duties
from probe.clocks import read_clocks
from probe.commands.reloading import Reloading
from probe.crew import Line
from probe.network import Limits, Network
from probe.schedule import Campaign, Moment
from probe.settings import Settings, load
from probe.settings.changes import changes, needs_restart
from probe.settings.watching import Watch
from tests.probe.test_agent import PROBE, Life, bench_of, eventually, judge, quick, targets
from tests.probe.world import World

HOUR = 3600.0

# Files


def write(path: Path, text: str) -> None:
    """Write a file in the place of the old one, as editors do."""
    draft = path.with_suffix(".draft")
    draft.write_text(text)
    draft.replace(path)


def test_a_file_is_taken_when_it_was_changed_and_stands_still(tmp_path: Path) -> None:
    file = tmp_path / "wazi.toml"
    file.write_text("a = 1\n")
    watch = Watch([file])
    assert (watch.look(), watch.restless) == (False, False)
    with file.open("a") as growing:
        for _ in range(3):
            growing.write("b = 2\n")
            growing.flush()
            assert (watch.look(), watch.restless) == (False, True), "it is still being written"
    assert watch.look()
    assert watch.changed == (file,)
    watch.take([file])
    assert not watch.look()
    assert not watch.changed


def test_a_new_file_in_the_place_of_the_old_is_a_change_and_so_is_none(tmp_path: Path) -> None:
    file = tmp_path / "wazi.toml"
    file.write_text("a = 1\n")
    watch = Watch([file])
    stamp = file.stat()
    write(file, "a = 2\n")
    os.utime(file, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    assert [watch.look(), watch.look()] == [False, True]
    watch.leave()
    assert not watch.look()
    file.unlink()
    assert [watch.look(), watch.look()] == [False, True]
    assert watch.is_as_seen()
    file.write_text("a = 2\n")
    assert not watch.is_as_seen()
    watch.take([file, tmp_path / "gone"])
    assert [watch.look(), watch.look()] == [False, True], "what was written since the last look is yet to be taken"


def test_a_file_that_was_emptied_is_about_to_be_written(tmp_path: Path) -> None:
    file = tmp_path / "wazi.toml"
    file.write_text("a = 1\n")
    watch = Watch([file])
    file.write_text("")
    assert [watch.look(), watch.look(), watch.look()] == [False] * 3
    assert watch.emptied == (file,)
    file.write_text("a = 3\n")
    assert [watch.look(), watch.look()] == [False, True]


# What is said


def settings_of(folder: Path, text: str) -> Settings:
    (folder / "wazi.toml").write_text(text)
    return load(folder / "wazi.toml", environ={})


CAMPAIGN = '[[campaign]]\nname = "{}"\ntargets = {}\nevery = "{}"\n'


def test_what_changed_is_said_without_naming_a_target(tmp_path: Path) -> None:
    old = settings_of(
        tmp_path,
        "[network]\nconcurrency = 5\n"
        + CAMPAIGN.format("a", '["https://a.example/", "https://b.example/"]', "1h")
        + CAMPAIGN.format("gone", '["https://a.example/"]', "1h"),
    )
    moment = '[[campaign.moment]]\nfrom = 2026-12-01\nuntil = 2026-12-01\nevery = "5m"\ntargets = ["https://{}/"]\n'
    text = (
        '[network]\ndata_per_day = "20 MB"\nfingerprints = []\n[store]\nurl = "sqlite:///other.db"\n'
        + '[vantage]\nprobe_id = "x"\n'
        + CAMPAIGN.format("a", '["https://b.example/", "https://c.example/", "https://d.example/"]', "30m")
        + moment.format("a.example")
        + CAMPAIGN.format("new", '["https://a.example/"]', "1h")
    )
    new = settings_of(tmp_path, text)
    ours = len(old.fingerprints.rows)
    assert changes(old, new) == [
        "[network] fingerprints = , was shipped",
        "[network] concurrency = 20, was 5",
        "[network] data_per_day = 20 MB, was 50 MB",
        f"fingerprints: 0, were {ours}",
        "campaign gone is measured no more",
        "campaign a: every = 30m, was 1h",
        "campaign a: moment = 2026-12-01T00:00Z to 2026-12-02T00:00Z every 5m, was none",
        "campaign a: 3 targets, 2 of them new; 1 left out",
        "campaign new is new, with 1 targets",
    ]
    assert needs_restart(old, new) == [
        "[store] url was changed, and needs a restart, because the store is open; the old one is used until then",
        "[vantage] probe_id was changed, and needs a restart, because measurements are counted under it; the old one "
        "is used until then",
    ]
    later = settings_of(tmp_path, text.replace('https://a.example/"]\n[[', 'https://e.example/"]\n[['))
    assert changes(new, later) == ["campaign a: the targets of a moment were changed"]
    assert (changes(new, new), needs_restart(new, new)) == ([], [])


def test_every_file_that_has_a_say_is_known(tmp_path: Path) -> None:
    for name in ("list.csv", "short.csv"):
        (tmp_path / name).write_text("url\nhttps://a.example/\n")
    (tmp_path / "bogons.csv").write_text("prefix,why\n")
    (tmp_path / "prints").mkdir()
    (tmp_path / "prints/a.csv").write_text((Path(__file__).parents[2] / "config/fingerprints/dns.csv").read_text())
    moment = '[[campaign.moment]]\nfrom = 2026-12-01\nuntil = 2026-12-01\nevery = "5m"\ntargets = "short.csv"\n'
    settings = settings_of(
        tmp_path,
        '[network]\nbogons = "bogons.csv"\nfingerprints = ["shipped", "prints"]\n'
        '[[campaign]]\nname = "a"\ntargets = "list.csv"\n' + moment,
    )
    names = {str(path.relative_to(tmp_path)) for path in settings.files}
    assert names == {"wazi.toml", "list.csv", "short.csv", "bogons.csv", "prints", "prints/a.csv"}
    folders = [tmp_path / "user", tmp_path / "system"]
    assert load(None, environ={}, folders=folders).files == tuple(folder / "wazi.toml" for folder in folders)
    assert load(None, environ={"WAZI_CONFIG": str(tmp_path / "wazi.toml")}).files[0] == tmp_path / "wazi.toml"


# The agent


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with open_store(f"sqlite:///{tmp_path}/wazi.db") as opened:
        yield opened


def live(life: Life, story: Callable[[Agent], Any]) -> Agent:
    """Let an agent live while a story is played."""

    async def run() -> Agent:
        agent = life.agent()
        running = asyncio.create_task(agent.run())
        await story(agent)
        agent.bench.stop.ask()
        await asyncio.wait_for(running, 10)
        return agent

    return asyncio.run(run())


def test_an_agent_goes_on_with_other_duties_and_what_runs_ends_as_it_began(store: Store, tmp_path: Path) -> None:
    go = asyncio.Event()
    at_first: list[str] = []
    then: list[str] = []

    async def held(target: Target, net: Network) -> None:
        at_first.append(target.host)
        await go.wait()
        await quick(target, net)

    async def free(target: Target, net: Network) -> None:
        then.append(target.host)
        await quick(target, net)

    kept = Campaign("kept", targets(2), "web", HOUR)
    life = Life(store, tmp_path, bench_of(held), (kept, Campaign("gone", targets(1), "web", HOUR)), concurrency=2)

    async def story(agent: Agent) -> None:
        await eventually(lambda: len(at_first) == 2)
        old, new = agent.bench, bench_of(free)
        new.stop = old.stop
        old.own.add("198.51.100.77")
        due = agent.timetable.next_run("kept")
        campaigns = (kept, Campaign("new", targets(9)[5:], "web", HOUR))
        duties = Duties(PROBE, campaigns, 123_000_000, 4, replace(Limits(), follow_up_bytes=1))
        agent.go_on_with(duties, bench=new, judge=judge)
        assert (agent.timetable.next_run("kept"), agent.timetable.next_run("gone")) == (due, None)
        assert (agent.purse.budget, agent.purse._trouble) == (123_000_000, Limits().body_wire + 1)
        assert "198.51.100.77" in new.own
        rest = asyncio.create_task(old.at_rest())
        await asyncio.sleep(0.1)
        assert not rest.done(), "two are measured from there"
        go.set()
        await asyncio.wait_for(rest, 5)
        await eventually(lambda: store.count() == 7)
        assert len(at_first) == 2
        assert agent.crew.line._width == 4
        assert {campaign.name for campaign in agent.duties.campaigns} <= agent.last_runs.keys()

    agent = live(life, story)
    asked = [target.host for target in (*targets(2), *targets(1), *targets(9)[5:])]
    assert sorted(at_first + then) == sorted(asked)
    assert agent.purse.spent >= 7 * 1000


@pytest.mark.parametrize(
    ("change", "due"),
    [
        (lambda one, now: replace(one, every=2 * HOUR), 2 * HOUR),
        (lambda one, now: replace(one, every=60.0), 60.0),
        (lambda one, now: replace(one, targets=targets(3)), HOUR),
        (lambda one, now: replace(one, moments=(Moment(now + 900.0, now + HOUR, 60.0, 0.0, ()),)), 900.0),
        (lambda one, now: replace(one, moments=(Moment(now - 900.0, now + HOUR, 300.0, 0.0, ()),)), 60.0),
    ],
    ids=["calmer", "more-often", "other-targets", "a-moment-to-come", "a-moment-that-has-come"],
)
def test_a_campaign_that_was_changed_keeps_its_last_run(
    store: Store, tmp_path: Path, change: Callable[[Campaign, float], Campaign], due: float
) -> None:
    before = Campaign("c", targets(1), "web", HOUR)
    life = Life(store, tmp_path, bench_of(), (before,))

    async def story(agent: Agent) -> None:
        await eventually(lambda: store.count() == 1 and not agent.running)
        last = agent.last_runs["c"]
        changed = change(before, read_clocks().wall)
        agent.go_on_with(Duties(PROBE, (changed,), 10**7, 20), bench=agent.bench, judge=judge)
        then = agent.timetable.next_run("c")
        assert then is not None
        assert then - last == pytest.approx(due, abs=5.0)

    live(life, story)


def test_the_line_is_made_narrower_only_when_it_is_free() -> None:
    async def run() -> None:
        line = Line(3)
        for _ in range(3):
            await line.take()
        narrow = asyncio.create_task(line.widen(1))
        await asyncio.sleep(0)
        line.give_back(2)
        await asyncio.sleep(0)
        assert not narrow.done()
        line.give_back(1)
        await asyncio.wait_for(narrow, 5)
        assert await line.take() == 1
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(line.take(), 0.05)
        line.give_back(1)
        await line.widen(1)
        await line.widen(2)
        assert await line.take(alone=True) == 2

    asyncio.run(run())


def test_a_mistake_of_ours_in_reading_is_said_and_the_next_reading_is_taken(tmp_path: Path) -> None:
    (tmp_path / "wazi.toml").write_text("")
    settings = load(tmp_path / "wazi.toml", environ={})
    mistakes = [RuntimeError("ours")]

    def read() -> Settings:
        if mistakes:
            raise mistakes.pop()
        return settings

    async def run() -> None:
        taken = asyncio.Event()

        async def take(new: Settings) -> None:
            taken.set()

        reloading = Reloading(settings, read=read, take=take, tell=lambda said: None, now=lambda: 0.0)
        watching = asyncio.create_task(reloading.go_on())
        async with asyncio.timeout(10):
            reloading.asked.set()
            await eventually(lambda: bool(reloading.state.refused))
            assert "a mistake in Wazi" in reloading.state.refused
            reloading.asked.set()
            await taken.wait()
        watching.cancel()

    asyncio.run(run())


# The command


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with World(tmp_path) as made:
        yield made


class Running:
    """`wazi run` with its log, as it is written."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.log = world.folder / "run.log"
        with self.log.open("w") as log:
            self.process = world.popen("run", environment={}, stdout=log, stderr=log)

    def events(self, name: str) -> list[dict[str, Any]]:
        told = (json.loads(line) for line in self.log.read_text().splitlines())
        return [event for event in told if event["event"] == name]

    def wait(self, holds: Callable[[], object], seconds: float = 30.0) -> None:
        end = time.monotonic() + seconds
        while not holds():
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < end, self.log.read_text()
            time.sleep(0.1)

    def measured(self) -> set[str]:
        listed = self.world.wazi("list", "--json").stdout.splitlines()
        return {json.loads(line)["url"] for line in listed}

    def stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(20) == 0, self.log.read_text()


def test_a_run_takes_new_settings_refuses_bad_ones_and_goes_on(world: World) -> None:
    """Through SIGHUP, a bad file, a file half written, one put in its place, and a target list that it names."""
    run = Running(world)
    run.wait(lambda: run.events("run ended"))
    good = world.config.read_text()
    list_file = world.folder / "more.csv"
    list_file.write_text(f"url\n{world.url(path='/a')}\n")

    world.config.write_text(good.replace("dns_linger", "dns_lingr"))
    run.process.send_signal(signal.SIGHUP)
    run.wait(lambda: run.events("settings refused, the old ones stay"))
    (problem,) = run.events("settings refused, the old ones stay")[0]["problems"]
    assert "[network] dns_lingr is no setting; did you mean dns_linger?" in problem
    checked = world.wazi("config", "check")
    assert checked.returncode == 2
    assert problem in checked.stderr, "the words are those of `wazi config check`"
    assert problem.partition("wazi.toml")[2].split(":")[0] == " line 8"

    more = '\n[[campaign]]\nname = "more"\ntargets = "more.csv"\nevery = "1h"\n'
    text = good.replace("wazi.db", "other.db") + more
    with world.config.open("w") as half:  # it stays half written for longer than one look at it
        half.write(text[: len(text) // 2])
        half.flush()
        time.sleep(1.5)
        half.write(text[len(text) // 2 :])
    run.wait(lambda: run.events("settings taken"))
    taken = run.events("settings taken")[0]
    assert taken["changes"] == ["campaign more is new, with 1 targets"]
    assert "[store] url was changed, and needs a restart" in taken["needs_restart"][0]
    world.config.write_text(good + more)  # the store that the other commands read
    run.process.send_signal(signal.SIGHUP)
    run.wait(lambda: len(run.events("settings taken")) == 2)
    assert run.events("settings taken")[1]["changes"] == []
    run.wait(lambda: [event for event in run.events("run ended") if event["campaign"] == "more"])
    assert run.measured() - {"https://witness.test/"} == {world.url(), world.url(path="/a")}, "a placebo may be there"
    assert not (world.folder / "other.db").exists()

    write(list_file, f"url\n{world.url(path='/a')}\n{world.url(path='/b')}\n")
    run.wait(lambda: len(run.events("settings taken")) == 3)
    assert run.events("settings taken")[2]["changes"] == ["campaign more: 2 targets, 1 of them new; 0 left out"]
    write(list_file, "url\nnonsense\n")
    run.process.send_signal(signal.SIGHUP)
    run.wait(lambda: len(run.events("settings refused, the old ones stay")) == 2)
    (problem,) = run.events("settings refused, the old ones stay")[1]["problems"]
    assert problem.endswith("more.csv line 2: nonsense has no scheme; write https:// before it")
    assert len(run.events("started")) == 1, "it is the same run"
    run.stop()
    assert "127.0.0" not in run.log.read_text()


def test_a_moment_that_is_written_while_a_run_goes_on_begins_at_once_and_ends(world: World) -> None:
    world.write_config(world.url(), world.url(path="/long"))
    world.config.write_text(world.config.read_text().replace('every = "60s"', 'every = "1h"'))
    run = Running(world)
    run.wait(lambda: run.events("run ended"))
    now = time.time()
    begins, ends = (time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now + after)) for after in (-60, 3600))
    moment = f'[[campaign.moment]]\nfrom = "{begins}"\nuntil = "{ends}"\nevery = "60s"\ntargets = ["{world.url()}"]\n'
    world.config.write_text(world.config.read_text() + moment)
    run.process.send_signal(signal.SIGHUP)
    run.wait(lambda: run.events("settings taken"))
    (told,) = run.events("settings taken")[0]["changes"]
    assert told.startswith("campaign main: moment = 20")
    (beat,) = [json.loads(line)["probe"] for line in world.wazi("status", "--json").stdout.splitlines()]
    (campaign,) = beat["campaigns"]
    assert campaign["moment"]["every"] == 60
    assert campaign["targets"] == 1
    assert campaign["next_run"] - campaign["last_run"] == pytest.approx(60, abs=10)
    assert "in a moment that matters: every 1m until" in world.wazi("status").stdout
    run.stop()


def test_a_run_whose_terminal_is_closed_stops(world: World) -> None:
    outside, inside = os.openpty()

    def obey() -> None:
        fcntl.ioctl(inside, termios.TIOCSCTTY, 0)

    process = world.popen("run", environment={"TERM": "xterm"}, stdout=inside, stderr=inside, preexec_fn=obey)
    os.close(inside)
    heartbeat = world.folder / "heartbeat.json"
    end = time.monotonic() + 30
    while not heartbeat.exists():
        assert time.monotonic() < end
        time.sleep(0.1)
    os.close(outside)
    assert process.wait(20) == 0
    assert json.loads(heartbeat.read_text())["running"] is False
