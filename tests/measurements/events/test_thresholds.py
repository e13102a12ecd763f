"""The threshold follows from the volume of the week before, as far as no late vote can change it."""

from __future__ import annotations

import math

import msgspec
import pytest

from measurements.events.gates import surprising, suspended
from measurements.events.nouns import Settings
from measurements.events.rates import threshold
from measurements.events.thresholds import Thresholds
from measurements.model import Vote

DAY = 86_400.0
EXPECTED = Settings(volume_per_week=500.0)


def vote(day: float, **fields: object) -> Vote:
    plain = Vote(time=day * DAY, probe="p", target="x.com", layer="tls", blocked=False)
    return msgspec.structs.replace(plain, **fields)


def test_a_day_is_ruled_by_the_week_that_ended_two_days_before() -> None:
    counted = Thresholds(EXPECTED)
    for day in range(20):
        for number in range(10 * (day + 1)):
            counted.count(vote(day + number / 1000))
    assert counted.volume(19) == 10 * sum(range(11, 18))
    assert counted.at(19.5 * DAY) == threshold(10 * sum(range(11, 18)), 1.0, 2)


def test_what_is_expected_stands_in_until_a_week_was_counted() -> None:
    counted = Thresholds(EXPECTED)
    for day in range(12):
        counted.count(vote(day))
    assert [counted.volume(day) for day in (8, 9, 10)] == [500.0, 7.0, 7.0]
    assert counted.volume(100) == 500.0  # a week without votes says nothing


def test_a_volume_that_is_given_is_taken() -> None:
    counted = Thresholds(msgspec.structs.replace(EXPECTED, fixed_volume=True))
    for day in range(12):
        counted.count(vote(day))
    assert counted.volume(11) == 500.0


def test_a_known_measurement_counts_once_in_whatever_layers_it_votes() -> None:
    counted = Thresholds(EXPECTED)
    for layer in ("dns", "tcp", "tls", "http", "network", "blind"):
        counted.count(vote(3, layer=layer, witness="m1"))
    assert counted.state().daily == {3: 1}


def test_a_late_vote_counts_on_its_own_day_and_counts_are_forgotten() -> None:
    counted = Thresholds(EXPECTED)
    for day in (3.0, 4.0, 3.5):
        counted.count(vote(day))
    assert counted.state().daily == {3: 2, 4: 1}
    counted.count(vote(40))
    assert counted.state().daily == {40: 1}
    assert counted.state().first == 3


@pytest.mark.parametrize("mean", [0.05, 0.1, 0.5, 3.0])
def test_a_surprising_count_comes_in_one_week_of_a_hundred(mean: float) -> None:
    def at_least(count: int) -> float:
        return 1.0 - sum(math.exp(-mean) * mean**k / math.factorial(k) for k in range(count))

    count = surprising(mean)
    assert at_least(count) <= 0.01 < at_least(count - 1)


def test_claims_are_suspended_for_a_week_after_the_first_alarm_too_many() -> None:
    alarms = [1 * DAY, 3 * DAY, 30 * DAY]
    assert surprising(0.1) == 2
    assert suspended(alarms, 2 * DAY, Settings()) is None
    assert suspended(alarms, 4 * DAY, Settings()) == 8 * DAY
    assert suspended(alarms, 8 * DAY, Settings()) is None
    assert suspended(alarms, 30 * DAY, Settings()) is None
