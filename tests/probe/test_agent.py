import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from measurements.events.outages import outages
from measurements.model import (
    AnyObservation,
    Confidence,
    Failure,
    Finding,
    Gap,
    HttpExchange,
    Measurement,
    Outcome,
    PaceSoFar,
    Past,
    Preconditions,
    Target,
    TcpConnect,
    Throttling,
    Vantage,
    Verdict,
)
from measurements.store import Store, StoreBroken, open_store
from probe.agent import Agent, Duties, StoreFailed
from probe.clocks import Tempo, read_clocks
from probe.crew import Line
from probe.harmless import Errand
from probe.heartbeat import CampaignState, Heartbeat, HeartbeatFile
from probe.measuring import GLANCE_EVERY, Bench, Lookout, Order, Stop, measure_once
from probe.network import Network, Route, Spent
from probe.schedule import Campaign, Instant, Moment, Window
from probe.vantage import Machine, Sight, changed

HOUR = 3600.0
PROBE = "p1"
STEP = TcpConnect(id=1, address="192.0.2.1", port=443)
OPEN = Verdict(outcome=Outcome.ACCESSIBLE, findings=(Finding(rule="r", outcome=Outcome.ACCESSIBLE),), rules_version=1)


def targets(count: int) -> tuple[Target, ...]:
    names = [f"t{number}.example" for number in range(count)]
    return tuple(Target(url=f"https://{name}/", scheme="https", host=name, port=443) for name in names)


@dataclass
class Net:
    """A Network on which a nettest leaves its steps; each measurement costs `cost` bytes."""

    preconditions: Preconditions
    full_body: bool
    cost: int
    observations: list[AnyObservation] = field(default_factory=list)
    loop_lag: float = 0.0
    own_addresses: frozenset[str] = frozenset({"198.51.100.9"})

    @property
    def spent(self) -> Spent:
        return Spent(connections=1, sent=self.cost // 2, received=self.cost - self.cost // 2)


@dataclass
class Wire:
    """Lends Nets, and remembers them."""

    cost: int = 1000
    lag: float = 0.0
    lent: list[Net] = field(default_factory=list)

    @asynccontextmanager
    async def network(
        self, *, preconditions: Preconditions | None = None, full_body: bool = False, pace: PaceSoFar | None = None
    ) -> AsyncIterator[Any]:
        net = Net(preconditions or Preconditions(), full_body, self.cost, loop_lag=self.lag)
        self.lent.append(net)
        yield net

    def route(self, *, ipv6: bool) -> Route | None:
        return None


async def quick(target: Target, net: Network) -> None:
    net.observations.append(STEP)  # type: ignore[attr-defined]


async def endless(target: Target, net: Network) -> None:
    await quick(target, net)
    try:
        await asyncio.sleep(HOUR)
    finally:
        cut = msgspec.structs.replace(STEP, id=2, failure=Failure.INTERRUPTED)
        net.observations.append(cut)  # type: ignore[attr-defined]


async def mistaken(target: Target, net: Network) -> None:
    await quick(target, net)
    raise LookupError("a mistake of ours")


async def fine(net: Network) -> Preconditions:
    return Preconditions(resolver_alive=True)


async def well(net: Network) -> bool:
    net.cost = 0  # type: ignore[attr-defined]
    return True


async def offline(net: Network) -> Preconditions:
    return Preconditions(reason="offline", detail="Nothing answers.")


class Clock:
    """The computer's clocks, moved on by what a test says."""

    def __init__(self) -> None:
        self.wall = self.asleep = 0.0

    def __call__(self) -> Instant:
        now = read_clocks()
        moved = self.wall + self.asleep
        return Instant(wall=now.wall + moved, monotonic=now.monotonic, boottime=now.boottime + self.asleep)


def bench_of(
    nettest: Callable[[Target, Network], Awaitable[None]] = quick,
    look: Callable[[Network], Awaitable[Preconditions]] = fine,
    *,
    wire: Wire | None = None,
    clocks: Callable[[], Instant] = read_clocks,
    deadline: float = 5.0,
    grace: float = 0.0,
) -> Bench:
    async def seen(net: Network) -> Sight:
        return Sight(await look(net))

    return Bench(
        wire=wire or Wire(),
        nettests={"web": nettest, "trace": nettest},
        stand=lambda: Vantage(probe_id=PROBE, country="KE"),
        lookout=Lookout(look=seen, glance=well, changed=lambda before, after: None),
        clocks=clocks,
        deadline=deadline,
        stop=Stop(grace),
    )


def judge(measurement: Measurement, past: tuple[Past, ...]) -> Verdict:
    if measurement.preconditions.reason:
        return msgspec.structs.replace(OPEN, outcome=Outcome.INVALID, reason=measurement.preconditions.reason)
    return OPEN


async def eventually(holds: Callable[[], bool]) -> None:
    """Wait until something holds, at most ten seconds."""
    async with asyncio.timeout(10):
        while True:
            if holds():
                return
            await asyncio.sleep(0.02)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with open_store(f"sqlite:///{tmp_path}/wazi.db") as opened:
        yield opened


def gaps(store: Store) -> list[Gap]:
    store.flush(5)
    return store.gaps()


@dataclass
class Life:
    """One life of an agent: what it reported, and how it is built."""

    store: Store
    folder: Path
    bench: Bench
    campaigns: tuple[Campaign, ...]
    budget: int = 10_000_000
    concurrency: int = 20
    reported: list[Verdict] = field(default_factory=list)
    judge: Callable[[Measurement, tuple[Past, ...]], Verdict] = judge
    tempo: Tempo | None = None

    def agent(self) -> Agent:
        return Agent(
            Duties(PROBE, self.campaigns, self.budget, self.concurrency),
            bench=self.bench,
            store=self.store,
            heart=HeartbeatFile(self.folder),
            judge=self.judge,
            report=lambda measurement, verdict: self.reported.append(verdict),
            tempo=self.tempo,
        )

    async def live(self, until: Callable[[], bool]) -> Agent:
        """Run until something holds, then stop."""
        agent = self.agent()
        running = asyncio.create_task(agent.run())
        await eventually(lambda: until() or running.done())
        self.bench.stop.ask()
        await running
        return agent

    def until(self, measured: int) -> Agent:
        """Live until so many measurements are kept, and a moment longer."""

        async def run() -> Agent:
            waited = 0

            def enough() -> bool:
                nonlocal waited
                waited += self.store.count() >= measured
                return waited > 10

            return await self.live(enough)

        return asyncio.run(run())


def test_every_target_of_a_campaign_is_measured_once_and_kept(store: Store, tmp_path: Path) -> None:
    life = Life(store, tmp_path, bench_of(), (Campaign("c", targets(30), "web", HOUR),))
    agent = life.until(30)
    kept = list(store.evidence())
    assert {one.measurement.target.url for one in kept} == {t.url for t in targets(30)}
    assert sorted(one.measurement.sequence for one in kept) == list(range(1, 31))
    links = list(store.chains.links(PROBE))  # they ended in any order, and were numbered as they were stored
    assert [(link.sequence, bool(link.measurement_id)) for link in links] == [(n, True) for n in range(1, 31)]
    assert {link.measurement_id: link.sequence for link in links} == {
        one.measurement.id: one.measurement.sequence for one in kept
    }
    assert {one.verdict.outcome for one in kept if one.verdict} == {Outcome.ACCESSIBLE}
    assert len(life.reported) == agent.measured == 30
    assert kept[0].measurement.observations == (STEP,)
    assert kept[0].measurement.vantage.country == "KE"
    assert gaps(store) == []
    assert store.spent_today(PROBE) == 31 * 1000  # the look at the network costs too


def test_no_more_run_at_once_than_allowed(store: Store, tmp_path: Path) -> None:
    running = highest = 0

    async def counting(target: Target, net: Network) -> None:
        nonlocal running, highest
        running += 1
        highest = max(highest, running)
        await asyncio.sleep(0.3)
        running -= 1

    campaigns = (Campaign("a", targets(6), "web", HOUR), Campaign("b", targets(6), "web", HOUR))
    Life(store, tmp_path, bench_of(counting), campaigns, concurrency=3).until(12)
    assert highest == 3


def test_an_offline_network_costs_one_measurement_and_becomes_a_gap(store: Store, tmp_path: Path) -> None:
    life = Life(store, tmp_path, bench_of(look=offline), (Campaign("c", targets(9), "web", HOUR),))
    agent = life.until(1)
    (kept,) = store.evidence()
    assert kept.verdict
    assert kept.verdict.outcome is Outcome.INVALID
    (gap,) = gaps(store)
    assert gap.why == "offline"
    assert "Nothing answers." in gap.detail
    assert agent.measured == 1


def test_the_network_is_looked_at_again_soon_and_the_gap_ends(store: Store, tmp_path: Path) -> None:
    answers = [Preconditions(reason="offline", detail="Nothing answers.")]

    async def look(net: Network) -> Preconditions:
        return answers.pop() if answers else Preconditions()

    async def run() -> None:
        clock = Clock()
        life = Life(store, tmp_path, bench_of(look=look, clocks=clock), (Campaign("c", targets(3), "web", HOUR),))
        agent = life.agent()
        running = asyncio.create_task(agent.run())
        await eventually(lambda: bool(agent.silence.open_gaps))
        due = agent.timetable.next_run("c")
        assert due is not None
        assert 20 < due - clock().wall <= 30, "soon, so that the end is known closely"
        clock.asleep = 300.0
        agent.timetable.run_at("c", read_clocks().wall)
        await eventually(lambda: store.count() == 4)
        life.bench.stop.ask()
        await running

    asyncio.run(run())
    assert [gap.why for gap in gaps(store)] == ["offline"]
    (gap,) = gaps(store)
    assert 299 < gap.until - gap.since < 320


def test_a_line_that_dies_during_a_run_is_a_gap_from_the_first_look_that_failed(store: Store, tmp_path: Path) -> None:
    """The link stays up: it is an outage, with brackets as narrow as the looks, and every campaign goes on after it."""
    dead = False

    async def look(net: Network) -> Preconditions:
        return Preconditions(reason="offline", detail="Dead.", ipv4_route=True) if dead else Preconditions()

    async def failing(target: Target, net: Network) -> None:
        nonlocal dead
        dead = dead or store.count() >= 2
        step = msgspec.structs.replace(STEP, failure=Failure.TIMEOUT if dead else None)
        net.observations.append(step)  # type: ignore[attr-defined]
        if dead and bench.looked_at is not None:
            bench.looked_at -= 10.0  # the look is no longer fresh

    def strict(measurement: Measurement, past: tuple[Past, ...]) -> Verdict:
        if measurement.observations and measurement.observations[0].failure is None:
            return OPEN
        outcome = Outcome.INVALID if measurement.preconditions.reason else Outcome.UNREACHABLE
        return msgspec.structs.replace(OPEN, outcome=outcome)

    bench = bench_of(failing, look)
    campaigns = (Campaign("c", targets(4), "web", HOUR), Campaign("d", targets(1), "web", HOUR))
    life = Life(store, tmp_path, bench, campaigns, concurrency=1, judge=strict)

    async def run() -> None:
        nonlocal dead
        agent = life.agent()
        running = asyncio.create_task(agent.run())
        await eventually(lambda: len(agent.silence.failing) > 0 and not agent.running)
        agent.timetable.run_at("d", read_clocks().wall)
        await eventually(lambda: len(agent.silence.failing) == 2)
        beat = HeartbeatFile(tmp_path).read()
        assert beat is not None
        dead = False
        bench.nettests = {"web": quick}
        bench.looked_at = None
        agent.timetable.run_at("c", read_clocks().wall)
        await eventually(lambda: not agent.silence.failing)
        life.bench.stop.ask()
        await running

    asyncio.run(run())
    found = gaps(store)
    assert {gap.why for gap in found} == {"outage"}
    (event,) = outages(found)
    assert event.end is not None
    (worked, failed), (still, again) = event.onset, event.end
    assert worked <= failed <= still <= again
    assert again - worked < 10.0


def test_a_closed_window_is_a_gap(store: Store, tmp_path: Path) -> None:
    second = read_clocks().wall % 86_400
    later = Window((second + 2 * HOUR) % 86_400, (second + 3 * HOUR) % 86_400)
    life = Life(store, tmp_path, bench_of(), (Campaign("c", targets(3), "web", HOUR, window=later),))

    async def run() -> None:
        await life.live(lambda: bool(list(tmp_path.glob("heartbeat.json"))))

    asyncio.run(run())
    assert store.count() == 0
    assert [gap.why for gap in gaps(store)] == ["window"]


def test_the_days_data_are_kept_across_lives_and_what_is_put_off_is_told(store: Store, tmp_path: Path) -> None:
    wire = Wire(cost=30_000)
    campaign = Campaign("c", targets(20), "web", HOUR)
    Life(store, tmp_path, bench_of(wire=wire), (campaign,), budget=200_000, concurrency=2).until(5)
    first = store.count()
    assert 5 <= first <= 8
    assert store.spent_today(PROBE) <= 200_000 + 2 * 30_000
    (gap,) = gaps(store)
    assert gap.why == "budget"
    assert f"{20 - first} of 20 targets of campaign c were put off" in gap.detail

    (tmp_path / "heartbeat.json").unlink()
    later = Life(store, tmp_path, bench_of(wire=wire), (campaign,), budget=200_000)
    asyncio.run(later.live(lambda: len(gaps(store)) > 1))
    assert store.count() == first


def test_many_failures_at_once_do_not_overrun_the_days_data(store: Store, tmp_path: Path) -> None:
    running = highest = 0
    full = asyncio.Event()

    async def costly(target: Target, net: Network) -> None:
        nonlocal running, highest
        running += 1
        highest = max(highest, running)
        if running == 6:
            full.set()
        await asyncio.wait_for(full.wait(), 20)  # however slowly they begin
        await asyncio.sleep(0.3)  # room for a seventh
        running -= 1

    wire = Wire(cost=600_000)
    life = Life(store, tmp_path, bench_of(costly, wire=wire), (Campaign("c", targets(30), "web", HOUR),))
    life.budget = 5_000_000
    agent = asyncio.run(life.live(lambda: bool(gaps(store))))
    assert highest == 6  # of 20 slots: 600 kB are gone for the look, and 682 kB beyond the usual put aside for each
    assert 5_000_000 <= store.spent_today(PROBE) <= 5_000_000 + 600_000
    assert store.count() == agent.measured < 9
    assert [gap.why for gap in gaps(store)] == ["budget"]


def judge_blocked(measurement: Measurement, past: tuple[Past, ...]) -> Verdict:
    """Call t0 blocked beyond doubt, t1 likely so, t2 down, and the rest open."""
    number = measurement.target.host[1:2]
    if number in "01":
        confidence = Confidence.CONFIRMED if number == "0" else Confidence.LIKELY
        return msgspec.structs.replace(OPEN, outcome=Outcome.BLOCKED, confidence=confidence)
    return msgspec.structs.replace(OPEN, outcome=Outcome.DOWN) if number == "2" else OPEN


def traces(store: Store) -> list[str]:
    store.flush(5)
    return [entry.host for entry in store.measurements() if entry.nettest == "trace"]


def run_again(life: Life, clock: Clock, times: int, apart: float) -> Agent:
    """Live for so many runs of the campaign, `apart` seconds after each other by the clock.

    The first run begins with the agent, unless the clock was moved: the scheduler looks at the computer's own.
    """

    async def run() -> Agent:
        due = web(life.store)
        agent = life.agent()
        running = asyncio.create_task(agent.run())
        for number in range(times):
            if number or clock.asleep:
                await eventually(lambda: agent.timetable.next_run("c") is not None)
                agent.timetable.run_at("c", read_clocks().wall)
            due += len(life.campaigns[0].targets)
            await eventually(lambda due=due: web(life.store) >= due and not agent.running)  # type: ignore[misc]
            clock.asleep += apart
        life.bench.stop.ask()
        await running
        return agent

    return asyncio.run(run())


def web(store: Store) -> int:
    return sum(entry.nettest == "web" for entry in store.measurements())


def test_what_is_blocked_beyond_doubt_is_traced_once_a_day_over_restarts(store: Store, tmp_path: Path) -> None:
    clock = Clock()
    campaigns = (Campaign("c", targets(4), "web", HOUR),)
    life = Life(store, tmp_path, bench_of(clocks=clock), campaigns, judge=judge_blocked)
    agent = run_again(life, clock, 2, HOUR)
    assert traces(store) == ["t0.example"]
    assert agent.aftermath.to_trace == {}
    (tmp_path / "heartbeat.json").unlink()
    later = Life(store, tmp_path, bench_of(clocks=clock), campaigns, judge=judge_blocked)
    run_again(later, clock, 1, 22 * HOUR)
    assert traces(store) == ["t0.example"]
    (tmp_path / "heartbeat.json").unlink()
    last = Life(store, tmp_path, bench_of(clocks=clock), campaigns, judge=judge_blocked)
    run_again(last, clock, 1, HOUR)
    assert traces(store) == ["t0.example"] * 2


def test_a_trace_teaches_nothing_about_the_routine(store: Store, tmp_path: Path) -> None:
    clock = Clock()
    life = Life(store, tmp_path, bench_of(clocks=clock), (Campaign("c", targets(1), "trace", HOUR),))
    life.judge = judge_blocked
    agent = life.until(1)
    assert traces(store) == ["t0.example"], "a campaign of traces orders none besides"
    assert (agent.crew.troubled, agent.purse._costs) == (set(), {})


def test_a_trace_waits_for_data(store: Store, tmp_path: Path) -> None:
    life = Life(store, tmp_path, bench_of(wire=Wire(cost=6_000)), (Campaign("c", targets(1), "web", HOUR),))
    life.judge = judge_blocked
    life.budget = 10_000  # the look and the measurement take all of it
    agent = asyncio.run(life.live(lambda: store.count() > 0 and not life.agent().running))
    assert store.count() == 1
    assert traces(store) == []
    assert agent.purse.left <= 0


def test_pages_are_read_in_full_when_they_are_due_and_after_trouble(store: Store, tmp_path: Path) -> None:
    async def reading(target: Target, net: Network) -> None:
        net.observations.append(  # type: ignore[attr-defined]
            HttpExchange(id=1, url=target.url, status=200, truncated=None if net.full_body else "sample")
        )

    wire = Wire()
    life = Life(store, tmp_path, bench_of(reading, wire=wire), (Campaign("c", targets(1), "web", HOUR),))
    agent = life.until(1)
    assert [net.full_body for net in wire.lent if net.observations] == [True]
    (target,) = targets(1)
    assert not agent.crew.order(Errand("web", target))[0].full_body
    agent.crew.troubled.add(target.url)
    assert agent.crew.order(Errand("web", target))[0].full_body


def test_earlier_verdicts_are_handed_to_the_judge(store: Store, tmp_path: Path) -> None:
    seen: list[tuple[Past, ...]] = []

    def remembering(measurement: Measurement, past: tuple[Past, ...]) -> Verdict:
        seen.append(past)
        return OPEN

    for _ in range(2):
        life = Life(store, tmp_path, bench_of(), (Campaign("c", targets(1), "web", HOUR),), judge=remembering)
        life.until(len(seen) + 1)
        (tmp_path / "heartbeat.json").unlink()
    assert [len(past) for past in seen] == [0, 1]
    assert seen[1][0].verdict == OPEN


def test_a_mistake_in_the_rules_loses_no_measurement(store: Store, tmp_path: Path) -> None:
    def broken(measurement: Measurement, past: tuple[Past, ...]) -> Verdict:
        raise ZeroDivisionError

    Life(store, tmp_path, bench_of(), (Campaign("c", targets(2), "web", HOUR),), judge=broken).until(2)
    assert [kept.verdict for kept in store.evidence()] == [None, None]


def test_a_mistake_in_looking_is_a_network_that_cannot_be_judged(store: Store, tmp_path: Path) -> None:
    async def look(net: Network) -> Preconditions:
        raise ZeroDivisionError

    Life(store, tmp_path, bench_of(look=look), (Campaign("c", targets(5), "web", HOUR),)).until(1)
    assert [kept.measurement.preconditions.reason for kept in store.evidence()] == ["error"]
    assert [gap.why for gap in gaps(store)] == ["error"]


def test_a_store_that_fails_stops_the_agent(store: Store, tmp_path: Path) -> None:
    class Failing:
        def __getattr__(self, name: str) -> Any:
            return getattr(store, name)

        async def add(self, measurement: Measurement, verdict: Verdict | None = None) -> None:
            raise StoreBroken("the disk failed.")

    life = Life(Failing(), tmp_path, bench_of(), (Campaign("c", targets(50), "web", HOUR),))  # type: ignore[arg-type]
    with pytest.raises(StoreFailed, match="the disk failed"):
        life.until(1)
    assert len(life.reported) < 50


def test_a_stop_lets_what_runs_end_and_a_second_one_cuts_it(store: Store, tmp_path: Path) -> None:
    async def run(asks: int, grace: float) -> float:
        wire = Wire()
        bench = bench_of(endless, wire=wire, grace=grace)
        life = Life(store, tmp_path, bench, (Campaign("c", targets(40), "web", HOUR),), concurrency=4)
        running = asyncio.create_task(life.agent().run())
        await eventually(lambda: len(wire.lent) == 5)  # a look and four measurements
        began = asyncio.get_running_loop().time()
        for _ in range(asks):
            bench.stop.ask()
        await asyncio.wait_for(running, 5)
        return asyncio.get_running_loop().time() - began

    assert 0.5 <= asyncio.run(run(1, 0.5)) < 2.0
    (tmp_path / "heartbeat.json").unlink()
    assert asyncio.run(run(2, 60.0)) < 0.5
    for kept in store.evidence():
        assert kept.measurement.limits == ("stopped",)
        assert [step.failure for step in kept.measurement.observations] == [None, Failure.INTERRUPTED]
    assert 6 <= store.count() <= 8


def beat(now: float, **changes: Any) -> Heartbeat:
    made = Heartbeat(alive=now, started=now - HOUR, pid=1, running=True, software="wazi", probe_id=PROBE)
    return msgspec.structs.replace(made, **changes)


def test_a_silence_between_two_lives_is_a_gap_when_runs_were_due(store: Store, tmp_path: Path) -> None:
    now = read_clocks().wall
    cut_off = Gap(probe_id=PROBE, since=now - 9 * HOUR, until=now - 8 * HOUR, why="offline", detail="x")
    ran = CampaignState(name="c", targets=1, last_run=now - 8.5 * HOUR)
    HeartbeatFile(tmp_path).write(beat(now - 8 * HOUR, campaigns=(ran,), open_gaps=(cut_off,)))
    Life(store, tmp_path, bench_of(), (Campaign("c", targets(1), "web", HOUR),)).until(1)
    offline_gap, off = gaps(store)
    assert (offline_gap.why, off.why) == ("offline", "off")
    assert off.until - off.since == pytest.approx(8 * HOUR, abs=5)
    assert "runs that were due meanwhile: 8" in off.detail
    assert store.count() == 1


def test_a_moment_of_absence_is_no_gap_and_measures_nothing_again(store: Store, tmp_path: Path) -> None:
    now = read_clocks().wall
    ran = CampaignState(name="c", targets=1, last_run=now - 20)
    HeartbeatFile(tmp_path).write(beat(now - 10, campaigns=(ran,)))
    life = Life(store, tmp_path, bench_of(), (Campaign("c", targets(1), "web", HOUR),))
    written = (tmp_path / "heartbeat.json").stat().st_mtime_ns
    asyncio.run(life.live(lambda: (tmp_path / "heartbeat.json").stat().st_mtime_ns != written))
    assert store.count() == 0
    assert gaps(store) == []


def test_sleep_is_a_gap_when_runs_were_due(store: Store, tmp_path: Path) -> None:
    async def run() -> None:
        clock = Clock()
        life = Life(store, tmp_path, bench_of(clocks=clock), (Campaign("c", targets(1), "web", HOUR),))
        agent = life.agent()
        running = asyncio.create_task(agent.run())
        await eventually(lambda: store.count() == 1)
        for seconds in (600.0, 8 * HOUR):
            before = clock()
            clock.asleep += seconds
            agent._notice(before, clock())
        life.bench.stop.ask()
        await running

    asyncio.run(run())
    (gap,) = gaps(store)
    assert gap.why == "asleep"
    assert gap.until - gap.since == pytest.approx(8 * HOUR, abs=60)


def test_runs_that_were_missed_are_made_up_once(store: Store, tmp_path: Path) -> None:
    async def run() -> None:
        life = Life(store, tmp_path, bench_of(), (Campaign("c", targets(1), "web", HOUR),))
        agent = life.agent()
        running = asyncio.create_task(agent.run())
        await eventually(lambda: store.count() == 1 and not agent.running)
        agent.timetable.run_at("c", read_clocks().wall - 8.5 * HOUR)
        await eventually(lambda: store.count() == 2)
        await asyncio.sleep(0.3)
        due = agent.timetable.next_run("c")
        assert due is not None
        assert due > read_clocks().wall
        life.bench.stop.ask()
        await running

    asyncio.run(run())
    assert store.count() == 2


def test_a_moment_comes_and_goes_while_the_agent_lives_in_a_faster_time(store: Store, tmp_path: Path) -> None:
    """If ten minutes pass in a second, all of a campaign's day is lived: hourly, every five minutes, hourly again."""
    tempo = Tempo.hurried(600.0)
    start = tempo.read().wall
    moment = Moment(start + 600.0, start + 2100.0, 300.0, 0.0, targets(1))
    campaigns = (Campaign("c", targets(3), "web", HOUR, moments=(moment,)),)
    life = Life(store, tmp_path, bench_of(clocks=tempo.read), campaigns, tempo=tempo)
    states: list[CampaignState] = []

    def done() -> bool:
        beat = HeartbeatFile(tmp_path).read()
        if beat is not None:
            states.extend(beat.campaigns)
        return sum(entry.started >= start + 2100.0 for entry in store.measurements()) == 3

    asyncio.run(life.live(done))
    store.flush(5)
    entries = sorted(store.measurements(), key=lambda entry: entry.started)
    within = [entry.host for entry in entries if 600.0 <= entry.started - start < 2100.0]
    assert set(within) == {"t0.example"}
    assert 3 <= len(within) <= 6, "five, when nothing else keeps the computer from it"
    everything = ["t0.example", "t1.example", "t2.example"]
    assert sorted(entry.host for entry in entries if entry.started < start + 600.0) == everything
    assert sorted(entry.host for entry in entries if entry.started >= start + 2100.0) == everything
    assert {(state.targets, state.moment is None, state.next_moment is None) for state in states} >= {
        (3, True, False),
        (1, False, True),
    }


def test_a_run_that_waits_for_the_one_before_it_follows_at_once(store: Store, tmp_path: Path) -> None:
    async def run() -> None:
        go = asyncio.Event()

        async def held(target: Target, net: Network) -> None:
            await quick(target, net)
            await go.wait()

        life = Life(store, tmp_path, bench_of(held), (Campaign("c", targets(1), "web", HOUR),))
        agent = life.agent()
        running = asyncio.create_task(agent.run())
        await eventually(lambda: bool(agent.crew.bench.looked_at))
        agent.timetable.run_at("c", read_clocks().wall)
        await eventually(lambda: bool(agent.timetable._owed))
        go.set()
        await eventually(lambda: store.count() == 2)
        await eventually(lambda: not agent.running)
        due = agent.timetable.next_run("c")
        assert due is not None
        assert due > read_clocks().wall + HOUR / 2
        life.bench.stop.ask()
        await running

    asyncio.run(run())


def test_what_happens_once_is_moved_when_it_is_said_again(store: Store, tmp_path: Path) -> None:
    happened: list[str] = []

    async def run() -> None:
        life = Life(store, tmp_path, bench_of(), (Campaign("c", targets(1), "web", HOUR),))
        agent = life.agent()
        running = asyncio.create_task(agent.run())

        async def later() -> None:
            happened.append("later")

        async def sooner() -> None:
            happened.append("sooner")

        agent.timetable.at("x", read_clocks().wall + HOUR, later)
        agent.timetable.at("x", read_clocks().wall, sooner)
        await eventually(lambda: bool(happened))
        assert agent.timetable.next_run("x") is None
        life.bench.stop.ask()
        await running

    asyncio.run(run())
    assert happened == ["sooner"]


def test_what_needs_the_line_alone_shares_it_with_nothing_and_is_not_overtaken(store: Store, tmp_path: Path) -> None:
    """While many targets are measured a throttling test gets its turn; no measurement or look goes on beside it."""
    inside: set[str] = set()
    beside: list[set[str]] = []
    began: list[str] = []

    async def nettest(target: Target, net: Network, name: str = "web") -> None:
        inside.add(target.host)
        began.append(name)
        await quick(target, net)
        await asyncio.sleep(0.3)
        inside.discard(target.host)

    async def alone(target: Target, net: Network) -> None:
        beside.append(set(inside))
        await nettest(target, net, "throttling")
        beside.append(set(inside))

    async def look(net: Network) -> Preconditions:
        assert "t99.example" not in inside
        return await fine(net)

    async def run() -> None:
        bench = bench_of(nettest, look)
        bench.nettests = {"web": nettest, "throttling": alone}
        campaigns = (Campaign("a", targets(12), "web", HOUR), Campaign("b", targets(12), "web", HOUR))
        life = Life(store, tmp_path, bench, campaigns, budget=50_000_000, concurrency=4)
        agent = life.agent()
        running = asyncio.create_task(agent.run())
        await eventually(lambda: len(inside) == 4)
        one = msgspec.structs.replace(targets(1)[0], url="https://t99.example/", host="t99.example")
        assert await agent.crew.measure([Errand("throttling", one)]) == 1
        assert began.index("throttling") < 12, "it waited for those that ran, not for those that waited"
        await eventually(lambda: store.count() == 25)
        life.bench.stop.ask()
        await running

    asyncio.run(run())
    assert beside == [set(), set()]


def test_a_wait_for_the_line_that_is_cut_leaves_it_whole() -> None:
    async def run() -> None:
        line = Line(3)
        assert await line.take() == 1
        waiting = asyncio.create_task(line.take(alone=True))
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.wait([waiting])
        line.give_back(1)
        assert await asyncio.wait_for(line.take(alone=True), 5) == 3

    asyncio.run(run())


def test_a_clock_that_is_set_moves_the_next_runs_with_it(store: Store, tmp_path: Path) -> None:
    async def run() -> float:
        clock = Clock()
        life = Life(store, tmp_path, bench_of(clocks=clock), (Campaign("c", targets(1), "web", HOUR),))
        agent = life.agent()
        running = asyncio.create_task(agent.run())
        await eventually(lambda: store.count() == 1)
        due = agent.timetable.next_run("c")
        before = clock()
        clock.wall = -10 * HOUR
        agent._notice(before, clock())
        moved = agent.timetable.next_run("c")
        life.bench.stop.ask()
        await running
        assert moved is not None
        assert due is not None
        return moved - due

    assert asyncio.run(run()) == pytest.approx(-10 * HOUR, abs=1)
    assert gaps(store) == []


# One measurement


def once(bench: Bench, preconditions: Preconditions | None = None) -> Measurement:
    order = Order(targets(1)[0], "web")
    return asyncio.run(measure_once(order, bench, preconditions or Preconditions()))


def test_a_measurement_is_whole() -> None:
    made = once(bench_of())
    assert len(made.id) == 32
    assert (made.sequence, made.nettest, made.connections, made.sent, made.received) == (0, "web", 1, 500, 500)
    assert made.software.startswith("wazi")
    assert made.limits == ()
    assert made.observations == (STEP,)
    assert made.id != once(bench_of()).id


def test_a_deadline_keeps_the_steps_already_seen() -> None:
    made = once(bench_of(endless, deadline=0.2))
    assert made.limits == ("measurement_timeout",)
    assert [step.failure for step in made.observations] == [None, Failure.INTERRUPTED]
    assert 0.15 < made.runtime < 2
    assert made.preconditions.reason is None


def test_a_nettest_may_have_a_deadline_of_its_own() -> None:
    bench = bench_of(endless, deadline=30.0)
    bench.deadlines = {"web": 0.2}
    assert once(bench).limits == ("measurement_timeout",)


def test_pairs_begin_with_what_earlier_ones_came_to(store: Store, tmp_path: Path) -> None:
    """If a session was stored, the next about its target knows it, and keeps that with what it measures."""
    state = Throttling(started=0.0, last=1.0, alike_legs=4, alike_apart=1)
    said = msgspec.structs.replace(OPEN, findings=(Finding(rule="r", outcome=Outcome.ACCESSIBLE, throttling=state),))
    clock = Clock()
    bench = bench_of(clocks=clock)
    bench.nettests = {"throttling": quick, "web": quick}
    life = Life(store, tmp_path, bench, (Campaign("c", targets(1), "throttling", HOUR),), judge=lambda *_: said)
    life.budget = 50_000_000  # a test of throttling needs some of it
    life.until(1)
    agent = life.agent()
    known = agent.crew.order(Errand("throttling", targets(1)[0]))[0].pace
    assert known is not None
    assert known.last == state
    assert agent.crew.order(Errand("web", targets(1)[0]))[0].pace is None
    order = Order(targets(1)[0], "throttling", pace=known)
    assert asyncio.run(measure_once(order, bench, Preconditions())).pace == known


def test_a_mistake_of_ours_accuses_nobody(caplog: pytest.LogCaptureFixture) -> None:
    made = once(bench_of(mistaken))
    assert made.preconditions.reason == "error"
    assert "LookupError" in made.preconditions.detail
    assert made.observations == (STEP,)
    assert "the nettest web failed" in caplog.text


def test_a_computer_that_slept_or_stood_still_says_so() -> None:
    clock = Clock()

    async def sleeping(target: Target, net: Network) -> None:
        clock.asleep = 120.0

    assert once(bench_of(sleeping, clocks=clock)).preconditions.reason == "asleep"
    stood = once(bench_of(wire=Wire(lag=9.0))).preconditions
    assert stood.reason == "asleep"
    assert "9 seconds" in stood.detail


def test_the_probes_own_address_is_taken_out() -> None:
    async def telling(target: Target, net: Network) -> None:
        net.observations.append(  # type: ignore[attr-defined]
            msgspec.structs.replace(STEP, failure=Failure.UNKNOWN, detail="from 198.51.100.9")
        )

    assert "198.51.100.9" not in repr(once(bench_of(telling)))


def test_a_network_that_failed_meanwhile_makes_a_failure_invalid() -> None:
    looks = [offline, fine]

    async def look(net: Network) -> Preconditions:
        return await looks.pop()(net)

    async def failing(target: Target, net: Network) -> None:
        assert bench.looked_at is not None
        bench.looked_at -= 10.0  # the first look is no longer fresh when the failure is doubted
        net.observations.append(  # type: ignore[attr-defined]
            msgspec.structs.replace(STEP, failure=Failure.TIMEOUT)
        )

    def strict(measurement: Measurement) -> Verdict:
        outcome = Outcome.INVALID if measurement.preconditions.reason else Outcome.UNREACHABLE
        return msgspec.structs.replace(OPEN, outcome=outcome)

    bench = bench_of(failing, look)
    measurement, verdict = asyncio.run(bench.measure(Order(targets(1)[0], "web"), strict))
    assert verdict.outcome is Outcome.INVALID
    assert measurement.preconditions.reason == "offline"
    assert measurement.observations[0].failure is Failure.TIMEOUT


def test_one_look_serves_a_batch() -> None:
    looked = 0

    async def look(net: Network) -> Preconditions:
        nonlocal looked
        looked += 1
        return Preconditions()

    async def run() -> None:
        bench = bench_of(look=look)
        orders = [Order(target, "web") for target in targets(10)]
        await asyncio.gather(*(bench.measure(order, lambda _: OPEN) for order in orders))

    asyncio.run(run())
    assert looked == 1


class Ways:
    """The routes that a wire tells, in turn; the last one for ever."""

    def __init__(self, *devices: str) -> None:
        self.devices = list(devices)

    def __call__(self, *, ipv6: bool) -> Route | None:
        if ipv6:
            return None
        return Route(self.devices.pop(0) if len(self.devices) > 1 else self.devices[0], "192.168.1.1", "192.168.1.7")


def test_a_measurement_during_which_the_way_changed_is_of_no_network() -> None:
    """If a VPN came up between the first packet and the last, even a page says nothing, and the network is new."""
    wire = Wire()
    wire.route = Ways("eth0", "tun0")  # type: ignore[method-assign]
    bench = bench_of(wire=wire)
    bench.lookout = replace(bench.lookout, changed=lambda before, after: changed(before, after, Machine()))
    measurement, _ = asyncio.run(bench.measure(Order(targets(1)[0], "web"), lambda fact: judge(fact, ())))
    assert measurement.preconditions.reason == "vpn"
    assert bench.looked_at is None
    measurement, _ = asyncio.run(bench.measure(Order(targets(1)[0], "web"), lambda fact: judge(fact, ())))
    assert measurement.preconditions.reason is None


@pytest.mark.parametrize(
    ("declared", "observed", "kept", "reason"),
    [(64500, 64500, 64500, None), (64500, 64501, 64501, "vpn"), (None, 64501, 64501, None), (64500, None, 64500, None)],
    ids=["as-declared", "elsewhere", "not-declared", "not-known"],
)
def test_the_network_is_the_one_that_is_observed(
    declared: int | None, observed: int | None, kept: int, reason: str | None
) -> None:
    async def look(net: Network) -> Sight:
        return Sight(Preconditions(), "198.51.100.77")

    bench = bench_of()
    bench.stand = lambda: Vantage(probe_id=PROBE, asn=declared)
    bench.lookout = replace(bench.lookout, look=look, asn_of={"198.51.100.77": observed}.get)
    measurement, _ = asyncio.run(bench.measure(Order(targets(1)[0], "web"), lambda fact: judge(fact, ())))
    assert (measurement.vantage.asn, measurement.preconditions.reason) == (kept, reason)
    assert "198.51.100.77" in bench.own
    assert "198.51.100.77" not in str(measurement)


@pytest.mark.parametrize("well", [True, False])
def test_the_network_is_glanced_at_every_few_measurements_and_looked_at_when_that_shows_a_change(well: bool) -> None:
    looks = glances = 0

    async def look(net: Network) -> Sight:
        nonlocal looks
        looks += 1
        return Sight(Preconditions())

    async def glance(net: Network) -> bool:
        nonlocal glances
        glances += 1
        if not well:
            raise ZeroDivisionError
        return True

    async def run() -> None:
        clock = Clock()
        bench = bench_of(clocks=clock)
        bench.lookout = replace(bench.lookout, look=look, glance=glance)
        for target in targets(2 * GLANCE_EVERY + 1):
            await bench.measure(Order(target, "web"), lambda fact: judge(fact, ()))
            clock.asleep += 1.0
        await bench.look_after()
        await bench.look_after()

    asyncio.run(run())
    assert (looks, glances) == (1 if well else 3, 2), "the last glance was a moment ago"
