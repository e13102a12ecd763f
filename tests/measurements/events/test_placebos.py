"""Null rates are measured on placebos: they rise with the first failure, fall only with evidence, and in any order."""

from __future__ import annotations

import random
import statistics
from collections.abc import Iterable, Iterator

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from measurements.bounds import upper
from measurements.events.cells import Cell
from measurements.events.detector import Detector, detect
from measurements.events.placebos import Faults, Measured, Placebos
from measurements.events.rates import LEAST, RATES, threshold
from measurements.model import Strength, Vote
from tests.measurements.events.test_late_votes import MEASURED, PHASES, shuffled
from tests.measurements.events.votes_of import HOUR, START, series, within

DAY = 86_400.0
PROVEN, FAILED, REPORTED = Strength.PROVEN, Strength.FAILED, Strength.REPORTED


def counted(votes: Iterable[Vote], blocked: tuple[Strength, ...] = ()) -> Placebos:
    """Count the votes of one place."""
    placebos, faults = Placebos(), Faults()
    for vote in votes:
        placebos.count(vote, faults, blocked)
    return placebos


def harmless(failing: Iterable[float] = (), *, days: int = 10, **fields: object) -> Iterator[Vote]:
    """Yield an hourly vote of a placebo, in the layer that each measurement has; those of some hours fail."""
    hours = set(failing)
    given = {"strength": PROVEN, "layer": "blind", "placebo": True, **fields}
    return series("harmless.org", lambda hour: hour in hours, hours=days * 24.0, **given)  # type: ignore[arg-type]


def ruling(placebos: Placebos, day: float, strength: Strength = PROVEN) -> Measured:
    return placebos.at(START + day * DAY)[strength]


def test_without_a_placebo_all_is_as_assumed() -> None:
    for strength, found in Placebos().at(START).items():
        assert found == Measured(rates=RATES[strength])


def test_a_failure_raises_the_floor_as_soon_as_no_late_vote_can_change_it() -> None:
    placebos = counted(harmless([30.0]))
    assert ruling(placebos, 3.9).first == (0, 24)
    after = ruling(placebos, 4.0)
    assert after.first == (1, 42)  # the six votes after it are none of the first
    assert after.rates.floor == upper(1, 42 + 1497) > RATES[PROVEN].floor


def test_a_floor_falls_only_with_evidence_and_not_below_the_least() -> None:
    floors = [ruling(counted(harmless(days=days)), days + 2).rates.floor for days in (1, 10, 28)]
    assert RATES[PROVEN].floor >= floors[0] > floors[1] > floors[2] > LEAST[PROVEN].floor
    often = counted(harmless(days=28, every=0.25))
    assert ruling(often, 30).rates.floor == LEAST[PROVEN].floor
    assert ruling(counted(harmless(days=28)), 30, FAILED).rates.floor == RATES[FAILED].floor


def test_votes_after_a_failure_measure_how_often_it_is_repeated() -> None:
    lonely = [12.0 * number + 6 for number in range(50)]
    placebos = counted(harmless(lonely, days=27, strength=REPORTED))
    found = ruling(placebos, 29, REPORTED)
    assert found.follow == (0, 300)  # six hours after each
    assert found.rates.follow == LEAST[REPORTED].follow
    twins = counted(harmless([*lonely, *(hour + 1 for hour in lonely)], days=27, strength=REPORTED))
    assert ruling(twins, 29, REPORTED).rates.follow == upper(50, 106)


def test_our_own_repeated_failures_are_not_thought_rarer() -> None:
    quiet = counted(harmless([12.0 * number + 6 for number in range(50)], days=27, strength=FAILED))
    assert ruling(quiet, 29, FAILED).rates.follow == RATES[FAILED].follow


def test_what_flaps_is_no_less_likely_to_fail_again() -> None:
    flaps = [hour for start in range(0, 640, 24) for hour in range(start, start + 6, 2)]
    found = ruling(counted(harmless(flaps, days=27, strength=REPORTED)), 29, REPORTED)
    assert found.rates.follow > 0.2


def test_another_probe_in_the_same_place_is_elsewhere() -> None:
    one = harmless([50.0], probe="a")
    two = harmless([52.5], probe="b", first=0.5)
    found = ruling(counted(sorted([*one, *two], key=lambda vote: vote.time)), 12)
    assert found.elsewhere[0] == 1
    assert found.rates.elsewhere > RATES[PROVEN].elsewhere


def test_what_alarmed_is_left_to_the_gates() -> None:
    lasting = [float(hour) for hour in range(24, 200)]
    assert ruling(counted(harmless(lasting)), 11).rates.follow > 0.9
    assert ruling(counted(harmless(lasting), blocked=(PROVEN,)), 11).rates.follow == RATES[PROVEN].follow


def test_what_is_older_than_four_weeks_rules_no_more() -> None:
    placebos = counted(harmless([30.0], days=3))
    assert ruling(placebos, 31).first[0] == 1
    assert ruling(placebos, 32).first[0] == 0
    assert ruling(placebos, 33).rates == RATES[PROVEN]
    assert len(counted(harmless(days=100, every=6.0)).state()) == 61


def test_crowds_of_failing_probes_take_no_more_memory() -> None:
    placebos, faults = Placebos(), Faults()
    for number in range(500):
        [vote] = harmless([0.0], days=1, probe=f"p{number}", every=24.0)
        placebos.count(vote, faults, ())
    assert len(faults[PROVEN]) == 64


def hours_until_found(follow: float, seed: int) -> float:
    """Return how long it takes to find a block that shows in half of the hourly votes of one line."""
    chance, cell = random.Random(seed), Cell(msgspec.structs.replace(RATES[FAILED], follow=follow))
    height, quiet, patience = threshold(100 * 24 * 7), 28 * 24, 1000
    for hour in range(quiet):
        cell.add(hour * HOUR, chance.random() < 0.01, "p", "", height)
    for hour in range(patience):
        if cell.add((quiet + 6 + hour) * HOUR, chance.random() < 0.5, "p", "", height) is not None:
            return hour + 1.0
    return float(patience)


def test_a_measured_rate_of_repeated_failures_finds_half_a_block_ten_times_as_soon() -> None:
    assumed, measured = (statistics.median(hours_until_found(f, seed) for seed in range(25)) for f in (0.4, 0.1))
    assert assumed > 150.0
    assert measured < 30.0


def noisy(seed: int, days: float) -> list[Vote]:
    """Return votes of a target that is blocked on the last day, and of placebos that fail now and then."""
    chance = random.Random(seed)
    votes = list(series("x.com", within((days - 1) * 24, days * 24), hours=days * 24))
    for asn in (1, 2):
        failing = {hour for hour in range(int(days * 24)) if chance.random() < 0.03}
        again = {hour + 1 for hour in failing if chance.random() < 0.5}
        strength = chance.choice((PROVEN, FAILED))
        votes += harmless(map(float, failing | again), days=int(days), asn=asn, strength=strength)
    return sorted(votes, key=lambda vote: (vote.time, vote.asn))


@settings(max_examples=8, deadline=None, phases=PHASES)
@given(seed=st.integers(0, 10_000), late=st.sampled_from((7_200.0, 172_800.0)))
def test_the_order_of_arrival_and_a_restart_change_no_rate(seed: int, late: float) -> None:
    votes = noisy(seed, 9)
    one, other = Detector(MEASURED), Detector(MEASURED)
    kept: dict[str, bytes] = {}
    for vote in votes:
        one.add(vote)
    for number, vote in enumerate(shuffled(votes, late, seed)):
        other.add(vote)
        if number % 150 == 149:
            checkpoint = other.checkpoint()
            kept |= checkpoint.cells
            other = Detector.restore(MEASURED, checkpoint.header, kept)
    assert other.refused == 0
    assert one.rates == other.rates
    assert one.rates[PROVEN].first[1] > 0
    assert one.events() == other.events() == [event for event in detect(votes, MEASURED) if event.is_open]


def test_an_event_says_the_rates_that_it_was_weighed_with() -> None:
    quiet = list(series("x.com", within(480, 504), hours=504.0))
    bad = [*quiet, *harmless([float(hour) for hour in range(0, 400, 30)], days=21, asn=1)]
    [calm], [wary] = detect(quiet, MEASURED), detect(bad, MEASURED)
    assert (calm.p0, calm.follow) == (RATES[PROVEN].floor, RATES[PROVEN].follow)
    assert wary.p0 > 0.008
    assert wary.log_evidence < calm.log_evidence
    assert wary.parts[0].follow == wary.follow


def test_votes_without_placebos_meet_what_is_assumed() -> None:
    votes = [msgspec.structs.replace(vote, placebo=False) for vote in noisy(3, 9)]
    detector = Detector(MEASURED)
    for vote in votes:
        detector.add(vote)
    assert {strength: found.rates for strength, found in detector.rates.items()} == RATES
    assert all(found.first == (0, 0) for found in detector.rates.values())
