"""The order in which votes come, and a restart between any two of them, change nothing in the end."""

from __future__ import annotations

import itertools
import random

import msgspec
from hypothesis import Phase, example, given, settings
from hypothesis import strategies as st

from measurements.events.detector import Detector, detect, in_order
from measurements.events.nouns import Event, Settings, Status
from measurements.events.rooms import order
from measurements.model import Strength, Vote
from tests.measurements.events.votes_of import HOUR, SETTINGS, START

MEASURED = msgspec.structs.replace(SETTINGS, fixed_volume=False, volume_per_week=700.0)
PHASES = (Phase.explicit, Phase.reuse, Phase.generate)  # a failure names its seed; a smaller one says no more
TARGETS, NETWORKS = ("a.org", "b.org", "c.org"), (("TZ", 1), ("TZ", 2), ("KE", 3), ("UG", 4))


def world(seed: int, days: float) -> list[Vote]:
    """Return votes of some probes in a country where things are blocked and opened again, with noise."""
    chance = random.Random(seed)
    votes = []
    blocks = [
        (chance.choice(TARGETS), chance.choice(("TZ", "KE")), since, since + chance.uniform(1.0, 40.0))
        for since in (chance.uniform(0.0, days * 24) for _ in range(4))
    ]
    for (country, asn), target in itertools.product(NETWORKS, TARGETS):
        for probe in range(chance.choice((1, 1, 2))):
            hour = chance.uniform(0.0, 2.0)
            while hour < days * 24:
                bad = any(t == target and c == country and s <= hour < u for t, c, s, u in blocks)
                blocked = bad != (chance.random() < 0.01)
                strength = chance.choice((Strength.PROVEN, Strength.PROVEN, Strength.FAILED))
                votes.append(
                    Vote(
                        time=START + hour * HOUR,
                        probe=f"p{asn}.{probe}",
                        country=country,
                        asn=asn,
                        target=target,
                        layer="tls",
                        blocked=blocked,
                        strength=strength,
                        witness="",
                        mechanism=chance.choice(("tls.reset", "tls.timeout")) if blocked else "",
                        software=chance.choice(("1", "2")),
                        placebo=target == "c.org",
                    )
                )
                hour += chance.choice((0.2, 0.5, 1.0, 2.0))
    return sorted(votes, key=order)


def shuffled(votes: list[Vote], lateness: float, seed: int) -> list[Vote]:
    """Return the votes in another order, none later than so many seconds after a vote that is newer."""
    chance = random.Random(seed)
    return sorted(votes, key=lambda vote: vote.time + chance.choice((0.0, 0.0, chance.uniform(0.0, lateness))))


def all_of(detector: Detector, settled: list[Event]) -> list[Event]:
    return sorted([*settled, *detector.events()], key=lambda event: (event.opened, event.id))


class Keeping(Detector):
    """A detector that keeps what it lets go of, for comparison."""

    def __init__(self, settings: Settings | None = None) -> None:
        super().__init__(settings)
        self.settled: list[Event] = []

    def settle(self) -> list[Event]:
        settled = super().settle()
        self.settled += settled
        return settled


@example(seed=297, days=11.0, late=172_800.0)  # two spells of one place go at once
@settings(max_examples=6, deadline=None, phases=PHASES)
@given(seed=st.integers(0, 10_000), days=st.sampled_from((3.0, 11.0)), late=st.sampled_from((120.0, 7200.0, 172_800.0)))
def test_late_votes_give_the_events_of_votes_in_order(seed: int, days: float, late: float) -> None:
    votes = world(seed, days)
    detector = Keeping(MEASURED)
    told: dict[str, Event] = {}
    for vote in shuffled(votes, late, seed):
        told |= {event.id: event for event in detector.add(vote)}
    assert detector.refused == 0
    events = all_of(detector, detector.settled)
    assert events == detect(votes, MEASURED)
    # what was told last of each event agrees with that, and what is no more was withdrawn
    assert {event.id for event in events} == {id for id, e in told.items() if e.status is not Status.WITHDRAWN}
    final = {event.id: (event.status, event.kind, event.reason) for event in events}
    assert {id: (told[id].status, told[id].kind, told[id].reason) for id in final} == final


@example(seed=5032, stops=[0.0, 0.9299373518913827])  # an event closed long before the second
@settings(max_examples=4, deadline=None, phases=PHASES)
@given(seed=st.integers(0, 10_000), stops=st.lists(st.floats(0.0, 1.0), max_size=4))
def test_a_restart_changes_nothing(seed: int, stops: list[float]) -> None:
    votes = shuffled(world(seed, 5.0), 36_000.0, seed)
    unbroken, detector = Detector(MEASURED), Detector(MEASURED)
    kept: dict[str, bytes] = {}
    cuts = {int(stop * (len(votes) - 1)) for stop in stops}
    for number, vote in enumerate(votes):
        assert [*unbroken.add(vote)] == [*detector.add(vote)]
        if number in cuts:
            checkpoint = detector.checkpoint()
            kept |= checkpoint.cells
            assert detector.checkpoint().cells == {}
            detector = Detector.restore(MEASURED, checkpoint.header, kept)
    assert detector.events() == unbroken.events()
    assert detector.threshold == unbroken.threshold


def test_memory_does_not_grow_with_history() -> None:
    votes = world(3, 30.0)
    detector = Detector(MEASURED)
    sizes: list[int] = []
    for vote in votes:
        detector.add(vote)
        if int(vote.time - START) // 86_400 > len(sizes):
            checkpoint = detector.checkpoint()
            sizes.append(len(checkpoint.header) + sum(map(len, checkpoint.cells.values())))
    assert max(sizes[20:]) < 1.5 * max(sizes[5:12])


def test_events_come_out_while_votes_go_in() -> None:
    votes = world(5, 30.0)
    read: list[Vote] = []

    def reading() -> list[Vote]:
        return votes

    def watched() -> object:
        for vote in reading():
            read.append(vote)
            yield vote

    first = next(in_order(watched(), MEASURED))  # type: ignore[arg-type]
    assert len(read) < len(votes)
    assert first in detect(votes, MEASURED)
