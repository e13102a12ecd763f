"""What follows from a find, on a real store: questions asked again, placebos, and tests of throttling."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from measurements.model import (
    Confidence,
    Failure,
    HttpExchange,
    Measurement,
    Outcome,
    Past,
    Preconditions,
    Target,
    Verdict,
)
from measurements.store import Store, open_store
from probe.again import BLOCKED, PERSISTENCE
from probe.agent import Agent, Duties
from probe.clocks import read_clocks
from probe.commands.looking import _probe as told
from probe.crew import MOST
from probe.harmless import Errand
from probe.heartbeat import HeartbeatFile
from probe.measuring import Bench
from probe.network import Network
from probe.schedule import Campaign
from tests.probe.test_agent import (
    HOUR,
    OPEN,
    PROBE,
    Clock,
    Life,
    Wire,
    bench_of,
    endless,
    eventually,
    gaps,
    offline,
    quick,
    targets,
)

AGAIN, SAMPLE = ":again", ":sample"
WITNESSES = tuple(
    Target(url=f"https://w{number}.example/", scheme="https", host=f"w{number}.example", port=443, category="CTRL")
    for number in range(4)
)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with open_store(f"sqlite:///{tmp_path}/wazi.db") as opened:
        yield opened


class Country:
    """Who is blocked now; w0, a witness, seems to be from time to time."""

    def __init__(self, *blocked: str) -> None:
        self.blocked = set(blocked)

    def judge(self, measurement: Measurement, past: tuple[Past, ...]) -> Verdict:
        if measurement.preconditions.reason:
            return msgspec.structs.replace(OPEN, outcome=Outcome.INVALID, reason=measurement.preconditions.reason)
        if measurement.target.host.partition(".")[0] in self.blocked:
            return msgspec.structs.replace(OPEN, outcome=Outcome.BLOCKED, confidence=Confidence.CONFIRMED)
        return OPEN


class Here(Life):
    """A life whose witnesses are known, and whose chance is always the same."""

    witnesses: tuple[Target, ...] = WITNESSES
    samples: int | None = None

    def agent(self) -> Agent:
        duties = Duties(PROBE, self.campaigns, self.budget, self.concurrency)
        return Agent(
            replace(duties, witnesses=self.witnesses, samples=self.samples),
            bench=self.bench,
            store=self.store,
            heart=HeartbeatFile(self.folder),
            judge=self.judge,
            report=lambda measurement, verdict: self.reported.append(verdict),
            chance=random.Random(7),
        )


def kept(store: Store, host: str, nettest: str = "web") -> list[Measurement]:
    store.flush(5)
    found = [one.measurement for one in store.evidence(target=host)]
    return [one for one in found if one.nettest == nettest]


def count(store: Store, host: str, nettest: str = "web") -> int:
    return sum(entry.nettest == nettest for entry in store.measurements(target=host))


async def settled(agent: Agent, store: Store, measured: int) -> None:
    """Wait until so much was measured and nothing runs."""
    await eventually(lambda: store.count() >= measured and not agent.running)


async def hurry(agent: Agent, clock: Clock, name: str, seconds: float) -> None:
    """Let so much time pass at once, and have what waits under a name run."""
    await eventually(lambda: agent.timetable.next_run(name) is not None and not agent.running)
    clock.asleep += seconds
    agent.timetable.run_at(name, read_clocks().wall)


async def ask_again(agent: Agent, clock: Clock) -> None:
    """Let time pass until the next question is due."""
    due = agent.aftermath.confirming.again.next_due
    assert due is not None
    await hurry(agent, clock, AGAIN, max(31.0, due - clock().wall + 1.0))


def live(life: Life, act: Callable[[Agent], Awaitable[None]]) -> Agent:
    """Run an agent while a test acts on it, then stop it."""

    async def run() -> Agent:
        agent = life.agent()
        running = asyncio.create_task(agent.run())
        acting = asyncio.ensure_future(act(agent))
        await asyncio.wait({running, acting}, return_when=asyncio.FIRST_COMPLETED)
        life.bench.stop.ask()
        await running
        await acting
        return agent

    return asyncio.run(run())


def here(store: Store, folder: Path, country: Country, clock: Clock, size: int = 4, **bench: Any) -> Here:
    campaigns = (Campaign("c", targets(size), "web", 10 * HOUR),)
    return Here(store, folder, bench_of(clocks=clock, **bench), campaigns, budget=50_000_000, judge=country.judge)


def test_a_find_is_asked_about_until_three_hours_have_passed_and_never_alone(store: Store, tmp_path: Path) -> None:
    clock = Clock()
    life = here(store, tmp_path, Country("t0"), clock)

    async def act(agent: Agent) -> None:
        await settled(agent, store, 5)
        for asked in range(len(BLOCKED)):
            before = store.count()
            await ask_again(agent, clock)
            await eventually(lambda: count(store, "t0.example") == 2 + asked and not agent.running)  # noqa: B023
            assert store.count() == before + 2, "one harmless site for each"

    agent = live(life, act)
    asked = kept(store, "t0.example")
    assert len(asked) == 1 + len(BLOCKED)
    assert asked[-1].started - asked[0].started >= PERSISTENCE
    assert not any(one.placebo for one in asked)
    assert agent.aftermath.confirming.again.running == ()
    assert agent.timetable.next_run(AGAIN) is None
    others = [one.measurement for one in store.evidence() if one.measurement.placebo]
    assert len(others) == len(BLOCKED), "the repeated questions have their placebos"
    assert {one.target.host for one in others} <= {witness.host for witness in WITNESSES}
    assert gaps(store) == []


def test_a_site_that_opens_is_asked_once_more(store: Store, tmp_path: Path) -> None:
    clock, country = Clock(), Country("t0")

    async def act(agent: Agent) -> None:
        await settled(agent, store, 5)
        country.blocked.clear()
        for asked in (2, 3):
            await ask_again(agent, clock)
            await eventually(lambda: count(store, "t0.example") == asked and not agent.running)  # noqa: B023
        assert agent.timetable.next_run(AGAIN) is None

    live(here(store, tmp_path, country, clock), act)


def test_after_a_restart_it_goes_on_where_it_was(store: Store, tmp_path: Path) -> None:
    clock, country = Clock(), Country("t0")

    async def first(agent: Agent) -> None:
        await settled(agent, store, 5)
        for asked in (2, 3):
            await ask_again(agent, clock)
            await eventually(lambda: count(store, "t0.example") == asked and not agent.running)  # noqa: B023

    live(here(store, tmp_path, country, clock), first)
    began = kept(store, "t0.example")[0].started
    clock.asleep += 60.0

    async def second(agent: Agent) -> None:
        await eventually(lambda: agent.timetable.next_run(AGAIN) is not None)
        (series,) = agent.aftermath.confirming.again.running
        assert series.since == began
        assert [round((due - began) / 60) for due in series.due][1:2] == [pytest.approx(30, abs=4)]
        await ask_again(agent, clock)
        await eventually(lambda: count(store, "t0.example") == 4 and not agent.running)

    later = here(store, tmp_path, country, clock)
    later.campaigns = (replace(later.campaigns[0], window=closed_now(clock)),)  # else it would ask at once itself
    live(later, second)
    started = [one.started - began for one in kept(store, "t0.example")]
    assert started[3] == pytest.approx(900, abs=130)


def closed_now(clock: Clock) -> Any:
    from probe.schedule import DAY, Window

    second = clock().wall % DAY
    return Window((second + 20 * HOUR) % DAY, (second + 21 * HOUR) % DAY)


def test_a_find_that_is_older_than_a_restart_is_no_news(store: Store, tmp_path: Path) -> None:
    clock, country = Clock(), Country("t0")

    async def first(agent: Agent) -> None:
        await settled(agent, store, 5)

    live(here(store, tmp_path, country, clock), first)
    clock.asleep += 5 * HOUR
    (tmp_path / "heartbeat.json").unlink()

    async def second(agent: Agent) -> None:
        await hurry(agent, clock, "c", 0.0)
        await settled(agent, store, 9)  # all but the trace
        assert agent.aftermath.confirming.again.running == ()

    live(here(store, tmp_path, country, clock), second)


def test_a_whole_country_blocked_is_bounded_and_the_rest_is_said(store: Store, tmp_path: Path) -> None:
    clock = Clock()
    country = Country(*(f"t{number}" for number in range(2, 30)))
    life = here(store, tmp_path, country, clock, size=30)

    async def act(agent: Agent) -> None:
        await settled(agent, store, 33)
        await eventually(lambda: bool(gaps(store)))
        assert len(agent.aftermath.confirming.again.running) == 12
        before = store.count()
        await ask_again(agent, clock)
        await eventually(lambda: store.count() > before and not agent.running)
        made = list(store.evidence())[before:]
        asked = [one.measurement for one in made if one.verdict and one.verdict.outcome is Outcome.BLOCKED]
        assert 1 <= len(asked) <= 6, "no more than there are others to hide among"
        assert len(made) == 2 * len(asked)

    live(life, act)
    (gap,) = gaps(store)
    assert gap.why == "budget"
    assert "16 finds to be confirmed, beside 12 others that are asked again, were put off" in gap.detail


def test_fewer_are_asked_again_where_the_data_are_few(store: Store, tmp_path: Path) -> None:
    clock = Clock()
    life = here(store, tmp_path, Country(*(f"t{number}" for number in range(2, 30))), clock, size=30)
    life.budget = 3_100_000  # a quarter pays for two series of nine questions at 41 kB

    async def act(agent: Agent) -> None:
        await settled(agent, store, 33)
        assert len(agent.aftermath.confirming.again.running) == 2

    live(life, act)


def test_where_nothing_harmless_is_known_nothing_is_asked_alone(store: Store, tmp_path: Path) -> None:
    clock = Clock()
    life = here(store, tmp_path, Country("t0"), clock, size=1)
    life.witnesses = ()

    async def act(agent: Agent) -> None:
        await settled(agent, store, 1)
        await ask_again(agent, clock)
        await eventually(lambda: agent.aftermath.confirming._last > 0 and not agent.running)
        due = agent.timetable.next_run(AGAIN)
        assert due is not None
        assert due - clock().wall > 800, "nor does it keep looking"

    live(life, act)
    assert count(store, "t0.example") == 1


def test_questions_that_the_days_data_do_not_allow_are_said(store: Store, tmp_path: Path) -> None:
    clock = Clock()
    life = here(store, tmp_path, Country("t0"), clock, wire=Wire(cost=10_000))

    async def act(agent: Agent) -> None:
        await settled(agent, store, 5)
        agent.purse.spend(agent.purse.left)
        await ask_again(agent, clock)
        await eventually(lambda: bool(gaps(store)))

    live(life, act)
    assert store.count() == 5
    (gap,) = gaps(store)
    assert gap.why == "budget"
    assert gap.detail.startswith("1 questions about what was found were put off: 50.0 MB of the day's 50.0 MB")


def test_a_network_that_cannot_be_judged_is_asked_nothing_until_it_can(store: Store, tmp_path: Path) -> None:
    clock = Clock()
    well = True

    async def look(net: Network) -> Preconditions:
        return Preconditions() if well else await offline(net)

    life = here(store, tmp_path, Country("t0"), clock, look=look)

    async def act(agent: Agent) -> None:
        nonlocal well
        await settled(agent, store, 5)
        well = False
        await hurry(agent, clock, AGAIN, 90.0)
        await eventually(lambda: agent.aftermath.confirming._last > 0 and not agent.running)
        assert store.count() == 5
        well = True
        due = agent.timetable.next_run(AGAIN)
        assert due is not None
        assert 250 < due - clock().wall <= 300
        await hurry(agent, clock, AGAIN, 300.0)
        await eventually(lambda: count(store, "t0.example") == 2)

    live(life, act)


def test_a_stop_cuts_questions_short(store: Store, tmp_path: Path) -> None:
    clock = Clock()
    hold = False

    async def nettest(target: Target, net: Network) -> None:
        await (endless if hold else quick)(target, net)

    life = here(store, tmp_path, Country("t0"), clock, nettest=nettest)

    async def run() -> float:
        nonlocal hold
        agent = life.agent()
        running = asyncio.create_task(agent.run())
        await settled(agent, store, 5)
        hold = True
        lent = len(life.bench.wire.lent)  # type: ignore[attr-defined]
        await ask_again(agent, clock)
        await eventually(lambda: len(life.bench.wire.lent) >= lent + 2)  # type: ignore[attr-defined]
        began = asyncio.get_running_loop().time()
        life.bench.stop.ask()
        life.bench.stop.ask()
        await asyncio.wait_for(running, 5)
        assert agent.failure is None
        return asyncio.get_running_loop().time() - began

    assert asyncio.run(run()) < 3
    assert gaps(store) == []


def test_a_campaign_runs_while_others_are_asked_again(store: Store, tmp_path: Path) -> None:
    clock = Clock()
    go = asyncio.Event()
    hold: set[str] = set()

    async def nettest(target: Target, net: Network) -> None:
        await quick(target, net)
        if target.host in hold:
            hold.discard(target.host)
            await go.wait()

    life = here(store, tmp_path, Country("t0"), clock, nettest=nettest)

    async def act(agent: Agent) -> None:
        await settled(agent, store, 5)
        hold.add("t0.example")
        await ask_again(agent, clock)
        await eventually(lambda: not hold)
        agent.timetable.run_at("c", read_clocks().wall)
        await eventually(lambda: count(store, "t3.example") == 2 and count(store, "t0.example") == 2)
        assert count(store, "t0.example") == 2, "the campaign's own; the other is held"
        go.set()
        await eventually(lambda: count(store, "t0.example") == 3)

    live(life, act)


def test_placebos_are_measured_as_the_others_are_and_followed_by_nothing(store: Store, tmp_path: Path) -> None:
    clock = Clock()
    life = here(store, tmp_path, Country("w0", "w1", "w2", "w3"), clock, size=36)

    async def act(agent: Agent) -> None:
        await settled(agent, store, 40)

    agent = live(life, act)
    made = [one.measurement for one in store.evidence()]
    placebos = [one for one in made if one.placebo]
    assert len(made) == 40
    assert len(placebos) == 4
    assert {one.target for one in placebos} == set(WITNESSES)
    assert {one.nettest for one in made} == {"web"}, "and none is traced"
    assert agent.aftermath.confirming.again.running == ()
    assert agent.aftermath.to_trace == {}
    assert store.spent_today(PROBE) == 41 * 1000, "with a look at the network"
    assert {one.target.url for one in placebos} <= agent.purse._costs.keys() | agent.crew.troubled


def test_no_harmless_site_is_asked_that_the_settings_do_not_name(store: Store, tmp_path: Path) -> None:
    clock = Clock()
    life = here(store, tmp_path, Country("t0"), clock, size=40)
    life.witnesses = ()

    async def act(agent: Agent) -> None:
        await settled(agent, store, 40)
        await ask_again(agent, clock)
        await settled(agent, store, 42)

    live(life, act)
    assert not any(one.measurement.placebo for one in store.evidence())
    assert {entry.host for entry in store.measurements()} == {target.host for target in targets(40)}


def test_a_target_that_is_taken_out_of_the_settings_is_asked_no_more(store: Store, tmp_path: Path) -> None:
    clock, country = Clock(), Country("t0")
    life = here(store, tmp_path, country, clock)

    async def act(agent: Agent) -> None:
        await settled(agent, store, 5)
        others = replace(life.campaigns[0], targets=targets(4)[1:])
        agent.go_on_with(replace(agent.duties, campaigns=(others,)), bench=life.bench, judge=country.judge)
        await ask_again(agent, clock)
        await eventually(lambda: agent.aftermath.confirming._last > 0 and not agent.running)
        assert agent.timetable.next_run(AGAIN) is None

    live(life, act)
    assert count(store, "t0.example") == 1


def test_the_sign_of_life_says_what_is_asked_again(store: Store, tmp_path: Path) -> None:
    clock, country = Clock(), Country(*(f"t{number}" for number in range(2, 30)))

    async def act(agent: Agent) -> None:
        await settled(agent, store, 33)

    live(here(store, tmp_path, country, clock, size=30), act)
    beat = HeartbeatFile(tmp_path).read()
    assert beat is not None
    assert (beat.asked_again, beat.waiting) == (12, 16)
    assert "finds    12 targets asked again until confirmed or cleared, 16 more when there is room" in told(beat, True)
    assert not any(
        line.startswith("finds") for line in told(msgspec.structs.replace(beat, asked_again=0, waiting=0), True)
    )


# Throttling


class Site:
    """A site whose pages come at so many bytes a second; tests of throttling are seen."""

    def __init__(self) -> None:
        self.rate = 100_000.0
        self.stalls = False
        self.beside: list[int] = []
        self.now = 0

    async def page(self, target: Target, net: Network) -> None:
        self.now += 1
        step = HttpExchange(id=1, url=target.url, status=200, wire_bytes=16_384, elapsed=16_384 / self.rate)
        if self.stalls:
            step = msgspec.structs.replace(step, failure=Failure.TIMEOUT)
        await asyncio.sleep(0.05)
        net.observations.append(step)  # type: ignore[attr-defined]
        self.now -= 1

    async def test(self, target: Target, net: Network) -> None:
        self.beside.append(self.now)
        await quick(target, net)

    def bench(self, clock: Clock, wire: Wire | None = None) -> Bench:
        bench = bench_of(self.page, clocks=clock, wire=wire)
        bench.nettests = {"web": self.page, "throttling": self.test}
        return bench


def pacing(store: Store, folder: Path, site: Site, clock: Clock, samples: int | None = 0, size: int = 1) -> Here:
    campaigns = (Campaign("c", targets(size), "web", HOUR),)
    life = Here(store, folder, site.bench(clock), campaigns, budget=50_000_000)
    life.witnesses, life.samples = (), samples
    return life


def test_a_page_that_comes_far_more_slowly_than_before_is_tested_once(store: Store, tmp_path: Path) -> None:
    clock, site = Clock(), Site()

    async def act(agent: Agent) -> None:
        await settled(agent, store, 1)
        for number in range(2, 6):
            await hurry(agent, clock, "c", HOUR)
            await settled(agent, store, number)
        assert count(store, "t0.example", "throttling") == 0
        site.rate = 20_000.0
        await hurry(agent, clock, "c", HOUR)
        await settled(agent, store, 7)
        assert count(store, "t0.example", "throttling") == 1
        site.rate = 20_000.0
        await hurry(agent, clock, "c", HOUR)
        await settled(agent, store, 8)
        assert count(store, "t0.example", "throttling") == 1, "it was tested an hour ago; and is slow by itself"

    agent = live(pacing(store, tmp_path, site, clock), act)
    assert site.beside == [0]
    assert agent.purse._costs["https://t0.example/"] == 1000


@pytest.mark.parametrize("samples", [0, None], ids=["tested", "without-a-control"])
def test_pages_that_stop_are_tested_two_at_a_time_and_not_twice_in_six_hours(
    store: Store, tmp_path: Path, samples: int | None
) -> None:
    clock, site = Clock(), Site()
    site.stalls = True
    tested = 0 if samples is None else 2

    async def act(agent: Agent) -> None:
        await settled(agent, store, 4 + tested)
        for number in (1, 2):
            await hurry(agent, clock, "c", HOUR)
            await settled(agent, store, 4 + 4 * number + min(4, tested * (1 + number)))

    live(pacing(store, tmp_path, site, clock, samples, size=4), act)
    made = [entry.url for entry in store.measurements() if entry.nettest == "throttling"]
    assert len(made) == len(set(made)) == 2 * tested
    assert set(site.beside) <= {0}


def test_a_suspicion_that_a_test_could_not_settle_is_looked_into_after_an_hour(store: Store, tmp_path: Path) -> None:
    clock, site = Clock(), Site()
    site.stalls = True
    told = [Outcome.ACCESSIBLE, Outcome.INCONCLUSIVE]

    def judge(measurement: Measurement, past: tuple[Past, ...]) -> Verdict:
        if measurement.nettest == "throttling" and told:
            return msgspec.structs.replace(OPEN, outcome=told.pop())
        return OPEN

    life = pacing(store, tmp_path, site, clock)
    life.judge = judge

    async def act(agent: Agent) -> None:
        await settled(agent, store, 2)
        await hurry(agent, clock, "c", 1.1 * HOUR)
        await settled(agent, store, 4)
        await hurry(agent, clock, "c", 1.1 * HOUR)
        await settled(agent, store, 5)

    live(life, act)
    assert count(store, "t0.example", "throttling") == 2


def test_tests_that_the_days_data_do_not_allow_are_said(store: Store, tmp_path: Path) -> None:
    clock, site = Clock(), Site()
    site.stalls = True
    life = pacing(store, tmp_path, site, clock)
    life.budget = 7_000_000

    async def act(agent: Agent) -> None:
        await eventually(lambda: bool(gaps(store)))

    live(life, act)
    assert site.beside == []
    (gap,) = gaps(store)
    assert gap.why == "budget"
    assert gap.detail.startswith("1 tests of throttling were put off")


def test_a_test_is_not_begun_on_the_last_of_the_data(store: Store, tmp_path: Path) -> None:
    clock, site = Clock(), Site()
    life = pacing(store, tmp_path, site, clock)

    async def act(agent: Agent) -> None:
        await settled(agent, store, 1)
        agent.purse.spend(agent.purse.left - MOST["throttling"] + 1)
        assert await agent.crew.measure([Errand("throttling", targets(1)[0])]) == 0
        agent.purse.spend(-1)
        assert await agent.crew.measure([Errand("throttling", targets(1)[0])]) == 1

    live(life, act)


def test_a_few_targets_a_day_are_tested_without_suspicion(store: Store, tmp_path: Path) -> None:
    clock, site = Clock(), Site()
    life = pacing(store, tmp_path, site, clock, samples=2, size=9)

    async def act(agent: Agent) -> None:
        await settled(agent, store, 9)
        for tested in range(1, 5):
            due = agent.timetable.next_run(SAMPLE)
            assert due is not None
            assert due - clock().wall < 24 * HOUR
            await hurry(agent, clock, SAMPLE, due - clock().wall + 1)
            await settled(agent, store, 9 + tested)

    live(life, act)
    made = sorted(entry.started for entry in store.measurements() if entry.nettest == "throttling")
    assert len(made) == 4
    assert made[3] - made[1] >= 12 * HOUR, "two a day"


def test_a_target_that_is_taken_out_of_the_settings_is_not_tested(store: Store, tmp_path: Path) -> None:
    """If the draw of other targets falls on the same time, what was drawn before is still left alone."""
    clock, site = Clock(), Site()
    life = pacing(store, tmp_path, site, clock, samples=1, size=2)

    async def act(agent: Agent) -> None:
        await settled(agent, store, 2)
        before = agent.timetable.next_run(SAMPLE)
        assert before is not None
        others = replace(life.campaigns[0], targets=targets(4)[2:])
        agent.go_on_with(replace(agent.duties, campaigns=(others,)), bench=life.bench, judge=life.judge)
        assert agent.timetable.next_run(SAMPLE) == before
        await hurry(agent, clock, SAMPLE, before - clock().wall + 1)
        await eventually(lambda: agent.timetable.next_run(SAMPLE) not in (None, before) and not agent.running)
        agent.aftermath.pacing.suspects = {target.url: target for target in targets(2)}
        agent.aftermath.to_trace = {target.url: target for target in targets(2)}
        await agent.aftermath.after_run()

    live(life, act)
    assert not [entry for entry in store.measurements() if entry.nettest != "web"]


def test_a_throttled_site_is_tested_again_among_pages(store: Store, tmp_path: Path) -> None:
    clock, site = Clock(), Site()
    site.stalls = True
    life = pacing(store, tmp_path, site, clock)
    life.witnesses = WITNESSES

    def judge(measurement: Measurement, past: tuple[Past, ...]) -> Verdict:
        throttled = measurement.nettest == "throttling"
        return msgspec.structs.replace(OPEN, outcome=Outcome.THROTTLED) if throttled else OPEN

    life.judge = judge

    async def act(agent: Agent) -> None:
        await eventually(lambda: count(store, "t0.example", "throttling") == 1 and not agent.running)
        before = store.count()
        site.stalls = False
        await ask_again(agent, clock)
        await eventually(lambda: count(store, "t0.example", "throttling") == 2 and store.count() == before + 2)

    live(life, act)
    assert site.beside == [0, 0]
