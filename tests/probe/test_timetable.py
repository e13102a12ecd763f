"""The timetable, and an agent that lives by it, in a time that goes faster than the computer's."""

from __future__ import annotations

import asyncio

import pytest

from probe.clocks import Tempo
from probe.schedule import Campaign, Instant, Moment
from probe.timetable import Timetable

HOUR = 3600.0


def campaign(*moments: Moment, every: float = 1800.0) -> Campaign:
    return Campaign("c", (), "web", every, moments=moments)


def test_a_tempo_goes_its_own_speed_from_its_origin_and_the_usual_one_is_the_computers() -> None:
    now = Instant(wall=1010.0, monotonic=60.0, boottime=70.0)
    fast = Tempo(60.0, Instant(wall=1000.0, monotonic=50.0, boottime=50.0), lambda: now)
    assert fast.read() == Instant(wall=1600.0, monotonic=650.0, boottime=1250.0)
    assert (fast.from_computer(1010.0), fast.to_computer(1600.0), fast.wait(30.0)) == (1600.0, 1010.0, 0.5)
    usual = Tempo(clocks=lambda: now)
    assert usual.read() == now
    assert (usual.from_computer(5.0), usual.to_computer(5.0), usual.wait(5.0)) == (5.0, 5.0, 5.0)


def test_a_moment_begins_and_ends_by_itself_and_on_time() -> None:
    tempo = Tempo.hurried(1500.0)
    start = tempo.read().wall
    moment = Moment(start + 2400.0, start + 3900.0, 600.0, 0.0, ())
    ran: list[float] = []

    async def note(one: Campaign) -> None:
        ran.append(tempo.read().wall - start)

    async def live() -> None:
        timetable = Timetable(tempo)
        timetable.add(campaign(moment), start, note)
        timetable.start()
        await asyncio.sleep(tempo.wait(5900.0))
        timetable.close()

    asyncio.run(live())
    due = [0, 1800, 2400, 3000, 3600, 3900, 5700]
    assert ran == pytest.approx(due, abs=375.0), "a quarter of a second of the computer's"


def test_a_clock_that_is_set_moves_what_is_due_and_no_moment() -> None:
    """If it is set past the beginning of a moment, that is lived up to at once."""
    far = 4_000_000_000.0  # long after any day on which this is run: nothing here is to begin
    moment = Moment(far + HOUR, far + 2 * HOUR, 300.0, 0.0, ())

    async def nothing(one: Campaign) -> None: ...

    async def once() -> None: ...

    def due_after(due: float, step: float, now: float) -> tuple[float | None, float | None]:
        async def run() -> tuple[float | None, float | None]:
            timetable = Timetable()
            timetable.add(campaign(moment), due, nothing)
            timetable.at("once", due, once)
            timetable.start()
            timetable.clock_was_set(step, now)
            found = timetable.next_run("c"), timetable.next_run("once")
            timetable.close()
            return found

        return asyncio.run(run())

    assert due_after(far + 900.0, 60.0, far + 100.0) == (far + 960.0, far + 960.0)
    assert due_after(far + 900.0, -60.0, far) == (far + 840.0, far + 840.0)
    assert due_after(far + HOUR, 1800.0, far + 1900.0)[0] == far + HOUR, "the moment begins when it begins"
    assert due_after(far + HOUR, HOUR, far + HOUR + 100.0)[0] == far + HOUR + 100.0, "it has begun meanwhile"


def test_a_campaign_gives_way_to_one_of_its_name_and_can_be_taken_away() -> None:
    far = 4_000_000_000.0

    async def nothing(one: Campaign) -> None: ...

    async def run() -> list[float | None]:
        timetable = Timetable()
        timetable.start()
        timetable.add(campaign(), far, nothing)
        timetable.add(campaign(every=60.0), far + 60.0, nothing)
        found = [timetable.next_run("c")]
        timetable.remove("c")
        found.append(timetable.next_run("c"))
        timetable.close()
        return found

    assert asyncio.run(run()) == [far + 60.0, None]
