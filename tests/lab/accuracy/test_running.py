"""A crew does every run once, replaces labs that die, gives up what breaks twice, and stops when told."""

from __future__ import annotations

import threading
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.lab.accuracy.results import Result, Run
from tests.lab.accuracy.running import Crew
from tests.lab.scenario import Deed, Expect, HelloFilter, Scenario
from tests.lab.spaces import LabError

LINE = {"outcome": "accessible", "findings": [{"rule": "site.accessible"}], "measurement": {"sent": 3, "received": 4}}


def scenario(name: str, **more: Any) -> Scenario:
    return Scenario(name=name, about="", expect=Expect(outcome="accessible"), seen="", **more)


BOOK = {
    one.name: one
    for one in (
        *(scenario(f"fine-{n}") for n in range(6)),
        scenario("dies-once"),
        scenario("dies-always"),
        scenario("hangs"),
        scenario("idle-censor", mechanisms=(HelloFilter(action="reset"),)),
        scenario("idle-censor-by-nature", mechanisms=(HelloFilter(action="reset"),), idle=True),
    )
}


class World:
    """All labs of a test, and what happened in them."""

    def __init__(self) -> None:
        self.opened = self.closed = 0
        self.tried: Counter[str] = Counter()
        self.seeds: list[int] = []
        self.held = threading.Event()

    def open(self, work: Path) -> Lab:
        assert work.is_dir()
        self.opened += 1
        return Lab(self)


class Lab:
    def __init__(self, world: World) -> None:
        self._world, self._killed, self._name = world, threading.Event(), ""

    def apply(self, scenario: Scenario, *, control: bool, seed: int) -> None:
        self._name = scenario.name
        self._world.tried[self._name] += 1
        self._world.seeds.append(seed)

    def check(self, url: str, *, control: bool, nettest: str = "web") -> dict[str, Any]:
        if self._name == "dies-always" or (self._name == "dies-once" and self._world.tried[self._name] == 1):
            raise LabError("the lab died")
        if self._name == "hangs":
            self._world.held.set()
            assert self._killed.wait(20)
            raise LabError("the lab died")
        return dict(LINE)

    def deeds(self) -> list[Deed]:
        return []

    def kill(self) -> None:
        self._killed.set()

    def close(self) -> None:
        self._world.closed += 1


def run(name: str, seed: int = 0) -> Run:
    return Run(scenario=name, does="x", control=True, seed=seed)


def crew(world: World, work: Path, **more: Any) -> Crew:
    return Crew(
        "code", BOOK, world.open, work, limit=lambda nettest: 60.0, see=more.pop("see", lambda *_: None), **more
    )


def test_every_run_is_done_once_in_few_labs(tmp_path: Path) -> None:
    world = World()
    plan = [run(f"fine-{n}", seed) for seed in (7, 8) for n in range(6)]
    results = list(crew(world, tmp_path).run(plan, labs=3))
    assert sorted(r.run.scenario + str(r.run.seed) for r in results) == sorted(r.scenario + str(r.seed) for r in plan)
    assert set(world.seeds) == {7, 8}
    assert (results[0].size, results[0].rules, results[0].broken) == (7, ("site.accessible",), None)
    assert world.opened == world.closed <= 3


def test_no_more_labs_than_runs(tmp_path: Path) -> None:
    world = World()
    assert len(list(crew(world, tmp_path).run([run("fine-0")], labs=4))) == 1
    assert world.opened == 1


def test_a_dead_lab_is_replaced_and_the_run_tried_again(tmp_path: Path) -> None:
    world = World()
    results = list(crew(world, tmp_path).run([run("dies-once"), run("fine-0")], labs=1))
    assert [(r.run.scenario, r.broken) for r in results] == [("dies-once", None), ("fine-0", None)]
    assert world.opened == world.closed == 2


def test_what_breaks_twice_is_broken_and_the_rest_goes_on(tmp_path: Path) -> None:
    world = World()
    results = list(crew(world, tmp_path).run([run("dies-always"), run("fine-0")], labs=1))
    assert [(r.run.scenario, r.broken) for r in results] == [("dies-always", "the lab died"), ("fine-0", None)]
    assert world.tried["dies-always"] == 2


def test_many_broken_runs_in_a_row_end_everything(tmp_path: Path) -> None:
    going = crew(World(), tmp_path).run([run("dies-always", seed) for seed in range(30)], labs=1)
    assert [next(going).broken for _ in range(12)] == ["the lab died"] * 12
    with pytest.raises(LabError, match="12 runs in a row broke, the last one because the lab died"):
        next(going)


def test_a_run_that_hangs_is_cut(tmp_path: Path) -> None:
    [result] = crew(World(), tmp_path, patience=0.05).run([run("hangs")], labs=1)
    assert result.broken == "it took longer than 0 s"


def test_a_scenario_that_did_not_happen_is_broken(tmp_path: Path) -> None:
    plan = [run("idle-censor"), run("idle-censor-by-nature")]
    broken, fine = crew(World(), tmp_path).run(plan, labs=1)
    assert broken.broken is not None
    assert "nobody was caught interfering" in broken.broken
    assert fine.broken is None


def test_a_lab_that_cannot_be_started_ends_everything(tmp_path: Path) -> None:
    def never(work: Path) -> Lab:
        raise LabError("the lab needs packages")

    broken = Crew("code", BOOK, never, tmp_path, limit=lambda nettest: 60.0, see=lambda *_: None)
    with pytest.raises(LabError, match="needs packages"):
        list(broken.run([run("fine-0"), run("fine-1")], labs=2))


def test_whoever_stops_listening_ends_the_labs(tmp_path: Path) -> None:
    world, results = World(), []
    going = crew(world, tmp_path).run([run("fine-0"), run("hangs")], labs=1)
    results.append(next(going))
    assert world.held.wait(20)
    going.close()  # type: ignore[attr-defined]  # what an interrupted loop does
    assert [r.run.scenario for r in results if isinstance(r, Result)] == ["fine-0"]
    assert world.opened == world.closed == 1


def test_every_line_is_shown(tmp_path: Path) -> None:
    seen: list[tuple[Run, dict[str, Any]]] = []
    list(crew(World(), tmp_path, see=lambda *one: seen.append(one)).run([run("fine-0")], labs=1))
    assert seen == [(run("fine-0"), LINE)]
