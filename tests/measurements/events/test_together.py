"""Unrelated sites that stop answering at once are found sooner than any of them alone, and noise is not."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator

import msgspec
import pytest

from measurements.events.detector import Detector, detect
from measurements.events.nouns import Event, Kind, Status
from measurements.events.rooms import order
from measurements.events.sites import site
from measurements.model import Strength, Vote
from tests.measurements.events.test_late_votes import Keeping, all_of, shuffled
from tests.measurements.events.votes_of import HOUR, SETTINGS, START, hours

BUSY = msgspec.structs.replace(SETTINGS, volume_per_week=15_000.0)
SITES = tuple(f"s{number}.org" for number in range(72))
HARMLESS = tuple(f"h{number}.net" for number in range(8))
STRUCK = SITES[:6]
SINCE = 40.3

Fails = Callable[[str, float], bool]


def failing(names: Iterable[str], since: float = SINCE, until: float = 1e9) -> Fails:
    struck = frozenset(names)
    return lambda target, hour: target in struck and since <= hour < until


def world(
    fails: Fails = lambda target, hour: False,
    *,
    probe: str = "p1",
    place: tuple[str, int] = ("TZ", 64500),
    length: float = 60.0,
    sites: tuple[str, ...] = SITES,
    noise: float = 0.0,
    seed: int = 1,
) -> Iterator[Vote]:
    """Yield the votes of one probe that asks for eighty sites each hour, in an order of its own."""
    chance = random.Random(f"{probe}{place}{seed}")
    all_sites = [*sites, *HARMLESS]
    for hour in range(int(length)):
        chance.shuffle(all_sites)
        for number, target in enumerate(all_sites):
            at = hour + number / len(all_sites)
            bad = fails(target, at) or chance.random() < noise
            yield Vote(
                time=START + at * HOUR,
                probe=probe,
                country=place[0],
                asn=place[1],
                target=target,
                layer="tcp",
                blocked=bad,
                strength=Strength.FAILED if bad else Strength.PROVEN,
                witness=f"{probe}/{target}/{hour}",
                software="wazi 1",
                placebo=target in HARMLESS,
            )


def together(events: Iterable[Event]) -> list[Event]:
    return [event for event in events if event.layers == ("together",)]


def found(*worlds: Iterable[Vote]) -> list[Event]:
    return together(detect([vote for votes in worlds for vote in votes], BUSY))


def test_six_unrelated_sites_at_once() -> None:
    detector = Detector(BUSY)
    told = [event for vote in world(failing(STRUCK, until=52.3), length=84) for event in detector.add(vote)]
    mine = together(told)
    assert [(event.status, event.reason) for event in mine] == [(Status.CONFIRMED, ""), (Status.CLOSED, "ended")]
    event = mine[0]
    assert (event.kind, sorted(event.targets), event.countries, event.asns) == (
        Kind.UNREACHABLE, sorted(STRUCK), ("TZ",), (64500,)
    )  # fmt: skip
    assert event.onset[0] <= START + SINCE * HOUR <= event.onset[1] <= event.onset[0] + 3 * HOUR
    assert event.notes[0].startswith("6 unrelated services stopped answering at once while harmless sites answered")
    assert "s0.org, s1.org, s10" not in event.summary
    assert event.summary.startswith("s0.org, s1.org, s2.org and 3 more targets unreachable on AS64500 in TZ, since")
    assert event.confirmed is not None
    assert hours(event.confirmed) <= SINCE + 6.0
    assert set(event.witnesses) <= {f"p1/{name}/{hour}" for name in STRUCK for hour in (40, 41)}
    alone = [event for event in told if event.layers == ("tcp",)]
    assert all(hours(event.opened) >= SINCE + 8.0 for event in alone)
    closed = mine[1]
    assert closed.end is not None
    assert hours(closed.end[0]) <= 53.3 <= hours(closed.end[1]) + 1.0


def test_a_second_probe_makes_it_sooner() -> None:
    one, two = world(failing(STRUCK), length=45), world(failing(STRUCK), length=45, probe="p2")
    (event,) = found(one, two)
    assert (event.status, event.probe_count) == (Status.CONFIRMED, 2)
    assert event.confirmed is not None
    assert hours(event.confirmed) <= SINCE + 4.0
    assert found(world(failing(STRUCK), length=45)) == []


RELATED = tuple(f"w{number}.s.org" for number in range(6))


@pytest.mark.parametrize(
    ("fails", "sites"),
    [
        (failing(RELATED), (*RELATED, *SITES[6:])),
        (failing((*SITES, *HARMLESS)), SITES),
        (failing(SITES[:50]), SITES),
        (failing((*STRUCK, *HARMLESS[:2])), SITES),
        (failing((*STRUCK, *HARMLESS)), SITES),
        (failing(SITES[:3]), SITES),
        (failing(STRUCK, until=SINCE + 1.0), SITES),
        (failing(STRUCK, since=4.3), SITES),
    ],
    ids=["one_name", "all", "most", "harmless_too", "all_harmless_too", "three", "an_hour", "no_past"],
)
def test_what_is_not_that(fails: Fails, sites: tuple[str, ...]) -> None:
    assert found(world(fails, sites=sites, length=58.0)) == []


def test_without_harmless_sites_nothing_is_said() -> None:
    assert found(vote for vote in world(failing(STRUCK)) if not vote.placebo) == []


def test_a_proven_block_is_told_of_elsewhere() -> None:
    votes = [msgspec.structs.replace(v, strength=Strength.PROVEN) for v in world(failing(STRUCK))]
    assert found(votes) == []


def test_what_serves_many_sites_fails_in_many_countries() -> None:
    """What all have in common may be a network of servers; where it fails in three countries nothing is confirmed."""
    places = (("TZ", 64500), ("KE", 64501), ("UG", 64502))
    worlds = [world(failing(STRUCK), probe=f"p{asn}", place=(country, asn)) for country, asn in places]
    events = found(*worlds)
    assert [(event.status, event.reason) for event in events] == [(Status.UNCONFIRMED, "elsewhere")] * 3
    others = [world(failing(SITES[n * 9 : n * 9 + 6]), probe=f"p{n}", place=places[n]) for n in range(3)]
    assert [event.status for event in found(*others)] == [Status.CONFIRMED] * 3


def test_noise_is_none_of_it() -> None:
    """Three weeks of one failure in twenty, which the sites' own past allows for."""
    assert found(world(noise=0.05, length=500.0)) == []


@pytest.mark.parametrize("late", [3_000.0, 100_000.0])
def test_late_votes_and_restarts_change_nothing(late: float) -> None:
    one = world(failing(STRUCK, until=47.3), noise=0.002, length=60)
    two = world(failing(SITES[2:9], until=47.3), noise=0.002, length=60, probe="p2")
    votes = sorted([*one, *two], key=order)
    last = msgspec.structs.replace(votes[-1], time=votes[-1].time + 2 * HOUR, witness="last")
    arriving = [*shuffled(votes, late, 7), last]
    plain, restarted = Keeping(BUSY), Detector(BUSY)
    kept: dict[str, bytes] = {}
    told: dict[str, Event] = {}
    for number, vote in enumerate(arriving):
        news = plain.add(vote)
        assert news == restarted.add(vote)
        told |= {event.id: event for event in news}
        if number % 1500 == 1499:
            checkpoint = restarted.checkpoint()
            kept |= checkpoint.cells
            restarted = Detector.restore(BUSY, checkpoint.header, kept)
    events = all_of(plain, plain.settled)
    assert events == detect([*votes, last], BUSY)
    assert restarted.events() == plain.events()
    (event,) = together(events)
    assert (event.status, event.probe_count) == (Status.CLOSED, 2)
    final = {event.id: (event.status, event.reason) for event in together(told.values())}
    assert {id for id, (status, _) in final.items() if status is not Status.WITHDRAWN} == {event.id}
    assert final[event.id] == (event.status, event.reason)


def test_a_network_of_which_few_sites_were_asked_at_first() -> None:
    """Sixteen votes an hour are no crowd; from when there are eighty, hours count, in whatever order votes come."""
    votes = sorted(world(failing(STRUCK, since=90.3), length=100), key=order)
    few = {*SITES[60:68], *HARMLESS}
    votes = [vote for vote in votes if vote.target in few or hours(vote.time) >= 50.0]
    plain = Keeping(BUSY)
    for vote in [*shuffled(votes[:-1], 20_000.0, 3), votes[-1]]:
        plain.add(vote)
    events = detect(votes, BUSY)
    assert all_of(plain, plain.settled) == events
    assert [event.status for event in together(events)] == [Status.CONFIRMED]
    assert together(detect([vote for vote in votes if vote.target in {*few, *STRUCK[:5]}], BUSY)) == []


@pytest.mark.parametrize(
    ("target", "name"),
    [
        ("https://www.BBC.co.uk/news", "bbc.co.uk"),
        ("x.com", "x.com"),
        ("www.t.co", "t.co"),
        ("a.b.example.org:8443", "example.org"),
        ("co.uk", "co.uk"),
        ("http://192.0.2.7/", "192.0.2.7"),
        ("https://[2001:db8::1]:443/", "[2001:db8::1]:443"),
        ("2001:db8::1", "2001:db8::1"),
        ("one.github.io", "github.io"),
        ("localhost", "localhost"),
    ],
)
def test_the_name_that_a_site_goes_by(target: str, name: str) -> None:
    assert site(target) == name
