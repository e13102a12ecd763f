"""Pairs of transfers and what they weigh: every branch, and the bounds against figures from elsewhere."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from typing import Any

import pytest
from msgspec.structs import replace

from measurements.bounds import upper
from measurements.model import (
    AnyObservation,
    Failure,
    Mechanism,
    PaceSoFar,
    Purpose,
    TcpConnect,
    Throttling,
    TlsHandshake,
    Transfer,
    decode,
    encode,
)
from measurements.pace import (
    ALPHA,
    CLEAR,
    NEEDED,
    NOTHING,
    Q0,
    SESSION,
    Leg,
    Tally,
    chance_of_apart,
    interval_of_median,
    leg_time,
    log_sum,
    pairs_in,
    settled,
    spread_of,
    stake,
    tally,
    weigh,
)

CERTIFICATE = b"one certificate"
KNOWN = PaceSoFar(alike_legs=2 * NEEDED)
TARGET, HARMLESS, ALIKE = Purpose.PACE_TARGET, Purpose.PACE_HARMLESS, Purpose.PACE_ALIKE


def transfer(rate: float = 8_000_000.0, **facts: Any) -> Transfer:
    """128 kB at `rate` bit/s after its first 16 kB, which took 0.2 seconds."""
    end = 0.2 + 112_000 * 8 / rate
    usual: dict[str, Any] = {
        "id": 1,
        "url": "https://name.example/bytes/128000",
        "purpose": TARGET,
        "pair": 1,
        "status": 200,
        "wanted": 128_000,
        "received": 128_000,
        "samples": ((0.2, 16_000), (end, 128_000)),
        "elapsed": end,
        "ended": "whole",
    }
    return Transfer(**{**usual, **facts})


def leg(step: Transfer) -> Leg:
    return Leg(step, 0.1, CERTIFICATE, (step.id,))


class Session:
    """Observations of pairs, laid one after the other."""

    def __init__(self) -> None:
        self.observations: list[AnyObservation] = []
        self.pairs = 0

    def lay(
        self,
        one: Transfer,
        other: Transfer | None,
        *,
        sides: tuple[Purpose, Purpose] = (TARGET, HARMLESS),
        connected: tuple[float, float] = (0.1, 0.1),
        certificates: tuple[bytes, bytes] = (CERTIFICATE, CERTIFICATE),
        encrypted: bool = True,
    ) -> Session:
        self.pairs += 1
        for step, side, elapsed, chain in zip((one, other), sides, connected, certificates, strict=True):
            if step is None:
                continue
            at = {"address": "192.0.2.1", "port": 443, "purpose": side}
            tcp = TcpConnect(id=len(self.observations) + 1, elapsed=elapsed, **at)  # type: ignore[arg-type]
            self.observations.append(tcp)
            over: AnyObservation = tcp
            if encrypted:
                over = TlsHandshake(id=tcp.id + 1, cause=tcp.id, name="name.example", chain=(chain,), **at)  # type: ignore[arg-type]
                self.observations.append(over)
            facts = {"id": over.id + 1, "cause": over.id, "purpose": side, "pair": self.pairs}
            self.observations.append(replace(step, **facts))
        return self

    def votes(self, slower: Sequence[bool], rate: float = 128_000.0) -> Session:
        for slow in slower:
            self.lay(transfer(rate if slow else 7_000_000.0), transfer())
        return self

    def weighed(self, so_far: PaceSoFar = KNOWN, now: float = 1_000.0) -> Throttling:
        return weigh(tally(self.observations), so_far, now)


# -- one leg


def test_the_rate_of_a_leg_is_what_came_after_its_first_bytes() -> None:
    """If the first 16 kB took long, it does not matter; between two samples their time is interpolated."""
    assert leg(transfer(128_000.0)).rate == pytest.approx(128_000.0)
    samples = ((1.0, 8_000), (3.0, 24_000), (4.0, 128_000))
    assert leg(transfer(samples=samples)).rate == pytest.approx(112_000 * 8 / 2.0)


def test_what_came_at_once_counts_from_the_beginning() -> None:
    """If the first sample holds more than 16 kB, the rate is of what followed; of one sample, of all of it."""
    assert leg(transfer(samples=((0.5, 64_000), (1.0, 128_000)))).rate == pytest.approx(64_000 * 8 / 0.5)
    assert leg(transfer(samples=((0.5, 128_000),))).rate == pytest.approx(128_000 * 8 / 0.5)
    assert leg(transfer(samples=(), elapsed=2.0)).rate == pytest.approx(128_000 * 8 / 2.0)


def test_a_leg_that_was_left_keeps_the_rate_that_it_had_with_its_silence() -> None:
    """If it was too slow for its time or fell silent, the time until it was left counts."""
    left = transfer(received=40_000, samples=((1.0, 16_000), (7.0, 40_000)), elapsed=9.0, ended="time")
    assert leg(left).rate == pytest.approx(24_000 * 8 / 8.0)
    early = transfer(received=8_000, samples=((1.0, 8_000),), elapsed=10.0, ended="time")
    assert leg(early).rate == pytest.approx(8_000 * 8 / 10.0)
    assert leg(early).early
    assert not leg(left).early


@pytest.mark.parametrize(
    ("facts", "why"),
    [
        ({}, None),
        ({"failure": Failure.INTERRUPTED, "ended": "failure"}, "interrupted"),
        ({"failure": Failure.CONNECTION_RESET, "ended": "failure", "received": 9_000}, "failed"),
        ({"failure": Failure.CONNECTION_RESET, "ended": "failure", "received": 90_000, "elapsed": 3.0}, None),
        ({"ended": "stall", "received": 0, "samples": ()}, "failed"),
        ({"ended": "whole", "received": 400, "samples": ((0.1, 400),)}, "other_object"),
        ({"ended": "time", "received": 400, "samples": ((0.1, 400),)}, None),
    ],
)
def test_a_leg_that_broke_is_nobodys_pace(facts: dict[str, Any], why: str | None) -> None:
    assert leg(transfer(**facts)).unfit == why


@pytest.mark.parametrize(
    ("received", "last", "elapsed", "ended", "frozen"),
    [
        (16_384, 1.0, 6.0, "stall", True),
        (16_384, 1.0, 7.0, "time", True),
        (16_384, 5.0, 7.0, "time", False),
        (60_000, 1.0, 6.0, "stall", False),
        (6_000, 1.0, 6.0, "stall", False),
        (16_384, 1.0, 6.0, "failure", False),
    ],
)
def test_a_frozen_leg_stops_for_good_after_10_to_25_kB(
    received: int, last: float, elapsed: float, ended: str, frozen: bool
) -> None:
    step = transfer(received=received, samples=((last, received),), elapsed=elapsed, ended=ended)
    assert leg(step).frozen is frozen
    assert not leg(transfer(samples=(), received=16_384)).frozen


def test_the_second_leg_may_take_eight_times_what_the_first_took() -> None:
    """If the first took long or did not end, it may take all; a freeze must be seen in any case."""
    assert leg_time(transfer(samples=(), elapsed=1.0), 10.0) == 8.0
    assert leg_time(transfer(samples=(), elapsed=0.1), 10.0) == 7.0
    assert leg_time(transfer(samples=(), elapsed=9.0), 10.0) == 10.0
    assert leg_time(transfer(ended="time", elapsed=0.1), 10.0) == 10.0


# -- pairs


def test_pairs_are_told_by_number_and_purpose() -> None:
    """Whichever leg came first, the target's is the first of its pair; other transfers are no legs."""
    session = Session()
    session.lay(transfer(), transfer(1e6), sides=(HARMLESS, TARGET))
    session.lay(transfer(), transfer(), sides=(ALIKE, ALIKE), encrypted=False)
    session.lay(transfer(), None)
    session.lay(transfer(), None, sides=(HARMLESS, TARGET))
    session.lay(transfer(), None, sides=(ALIKE, ALIKE))
    session.observations.append(transfer(id=99, purpose=Purpose.PACE_OBJECT, pair=7))
    first, second, third, fourth, fifth = pairs_in(session.observations)
    assert first.one is not None
    assert first.one.transfer.purpose is TARGET
    assert first.evidence == (1, 2, 3, 4, 5, 6)
    assert second.alike
    assert (first.unfit, second.unfit, third.unfit, fourth.unfit, fifth.unfit) == (None, None, *["failed"] * 3)


def test_a_leg_without_what_it_followed_from_still_has_a_rate() -> None:
    (pair,) = pairs_in([transfer(), transfer(id=2, purpose=HARMLESS)])
    assert pair.unfit is None


@pytest.mark.parametrize(
    ("facts", "why"),
    [
        ({"connected": (0.1, 0.31)}, "round_trips"),
        ({"connected": (0.001, 0.004)}, None),
        ({"certificates": (b"one", b"another")}, "other_server"),
    ],
)
def test_legs_of_different_ways_are_not_compared(facts: dict[str, object], why: str | None) -> None:
    session = Session().lay(transfer(), transfer(), **facts)  # type: ignore[arg-type]
    assert pairs_in(session.observations)[0].unfit == why


def test_a_broken_leg_makes_no_vote_on_either_side() -> None:
    broken = transfer(failure=Failure.CONNECTION_RESET, ended="failure", received=100)
    found = Session().lay(broken, transfer()).lay(transfer(), broken).weighed()
    assert (found.pairs, found.skipped) == (0, (("failed", 2),))


# -- counting


def test_a_pair_votes_for_slower_only_beyond_the_margin() -> None:
    session = Session().lay(transfer(1_900_000.0), transfer()).lay(transfer(2_100_000.0), transfer())
    assert tally(session.observations).votes == [True, False]


def test_what_is_fast_enough_is_alike() -> None:
    """If a transfer takes milliseconds, another that takes five times as many is no slower in any way that matters."""
    session = Session().lay(transfer(20e6), transfer(200e6)).lay(transfer(4.9e6), transfer(200e6))
    session.lay(transfer(20e6), transfer(200e6), sides=(ALIKE, ALIKE))
    counted = tally(session.observations)
    assert (counted.votes, counted.alike_apart) == ([False, True], 0)
    assert counted.ratios == pytest.approx([10.0, 200 / 4.9])


def test_a_slow_line_has_no_vote() -> None:
    """If the harmless leg is below 200 kbit/s, nothing is said, about pairs that differ in nothing either."""
    session = Session().lay(transfer(20_000.0), transfer(190_000.0))
    session.lay(transfer(150_000.0), transfer(30_000.0), sides=(ALIKE, ALIKE))
    counted = tally(session.observations)
    assert (counted.votes, counted.skipped, counted.alike_legs, counted.alike_apart) == ([], {"slow_line": 2}, 0, 0)


def test_a_harmless_leg_that_slumped_is_nothing_to_be_measured_against() -> None:
    session = Session().lay(transfer(), transfer(), sides=(ALIKE, ALIKE)).lay(transfer(), transfer(400_000.0))
    session.lay(transfer(), transfer(400_000.0), sides=(ALIKE, ALIKE))
    counted = tally(session.observations)
    assert (counted.votes, counted.skipped) == ([], {"slump": 1})  # the pair of two harmless names has one leg left
    assert (counted.alike_legs, counted.alike_apart) == (3, 1)


def test_pairs_that_differ_in_nothing_count_legs_and_those_apart() -> None:
    session = Session()
    for one, other in ((8e6, 8e6), (8e6, 1e6), (1e6, 8e6)):
        session.lay(transfer(one), transfer(other), sides=(ALIKE, ALIKE))
    session.lay(transfer(failure=Failure.TIMEOUT, received=0, ended="failure"), transfer(), sides=(ALIKE, ALIKE))
    counted = tally(session.observations)
    assert (counted.alike_legs, counted.alike_apart, counted.skipped, counted.laid) == (6, 2, {}, 0)


# -- weighing


def test_four_slow_pairs_of_four_are_a_claim() -> None:
    """128 kbit/s beside 8 Mbit/s: the fourth pair is enough, the third is not."""
    assert Session().votes([True] * 3).weighed().mechanism is None
    found = Session().votes([True] * 4).weighed()
    assert found.mechanism is Mechanism.THROTTLE_RATE
    assert found.evidence >= -math.log(ALPHA)
    assert (found.pairs, found.slower, found.sessions, found.q0) == (4, 4, 1, Q0)
    assert [found.rate, found.harmless_rate] == pytest.approx([128_000.0, 8e6])
    assert found.ratio == pytest.approx(62.5)
    assert [found.rate_low, found.covers] == pytest.approx([128_000.0, 0.875])
    assert settled(found)
    assert decode(encode(found), Throttling) == found


def test_two_pairs_alike_are_clear() -> None:
    found = Session().votes([False] * 2).weighed()
    assert (found.session_evidence <= CLEAR, found.evidence, found.mechanism) == (True, NOTHING, None)
    assert settled(found)
    assert not settled(Session().votes([True, False]).weighed())


def test_without_pairs_that_differ_in_nothing_nothing_is_claimed() -> None:
    found = Session().votes([True] * 12).weighed(PaceSoFar(alike_legs=2 * NEEDED - 1))
    assert (found.calibrated, found.mechanism, found.sessions, found.evidence) == (False, None, 0, NOTHING)


def test_a_line_that_wavers_needs_more_pairs_and_at_last_cannot_be_judged() -> None:
    apart = PaceSoFar(alike_legs=2 * NEEDED, alike_apart=8)
    assert Session().votes([True] * 5).weighed(apart).mechanism is None
    assert Session().votes([True] * 7).weighed(apart).mechanism is Mechanism.THROTTLE_RATE
    wild = PaceSoFar(alike_legs=2 * NEEDED, alike_apart=NEEDED)
    assert (found := Session().votes([True] * 12).weighed(wild)).mechanism is None
    assert (found.q0, found.sessions) == (0.5, 0)


def test_what_is_slow_at_no_even_rate_is_no_policer() -> None:
    """If the rates are below half a megabit they need not be even."""
    uneven = Session()
    for rate in (600_000.0, 900_000.0, 1_300_000.0, 1_900_000.0):
        uneven.lay(transfer(rate), transfer(16e6))
    assert (found := uneven.weighed()).mechanism is None
    assert found.evidence > -math.log(ALPHA)
    assert found.spread is not None
    assert found.spread > 0.35
    crawl = Session()
    for rate in (50_000.0, 100_000.0, 200_000.0, 400_000.0):
        crawl.lay(transfer(rate), transfer(16e6))
    assert crawl.weighed().mechanism is Mechanism.THROTTLE_RATE


def test_three_frozen_legs_are_a_freeze_unless_the_harmless_ones_froze_too() -> None:
    frozen = transfer(received=16_384, samples=((0.5, 16_384),), elapsed=5.5, ended="stall")
    session = Session()
    for _ in range(4):
        session.lay(frozen, transfer())
    assert session.weighed().mechanism is Mechanism.THROTTLE_STALL
    both = Session()
    for _ in range(4):
        both.lay(frozen, frozen)
    assert (found := both.weighed()).mechanism is None
    assert found.skipped == (("slow_line", 4),)


# -- over sessions


def test_evidence_goes_on_over_sessions_and_the_rates_are_kept() -> None:
    """If two sessions of three slow pairs follow each other, the second claims what neither would alone."""
    first = Session().votes([True] * 3).weighed(now=1_000.0)
    second = Session().votes([True] * 3).weighed(PaceSoFar(last=first, alike_legs=2 * NEEDED), now=5_000.0)
    assert (first.mechanism, second.mechanism) == (None, Mechanism.THROTTLE_RATE)
    assert (second.sessions, second.started, second.last) == (2, 1_000.0, 5_000.0)
    assert [when for when, _ in second.rates] == [1_000.0] * 3 + [5_000.0] * 3


def test_a_session_must_say_so_itself() -> None:
    """If yesterday was sure, one slow pair of today is not a claim; two are."""
    before = PaceSoFar(last=Session().votes([True] * 5).weighed(), alike_legs=2 * NEEDED)
    assert (found := Session().votes([True]).weighed(before)).mechanism is None
    assert found.evidence > -math.log(ALPHA) > 0 < found.session_evidence < SESSION
    assert Session().votes([True] * 2).weighed(before).mechanism is Mechanism.THROTTLE_RATE


def test_a_session_that_ends_clear_gives_the_evidence_up() -> None:
    before = PaceSoFar(last=Session().votes([True] * 12).weighed(), alike_legs=2 * NEEDED)
    clear = Session().votes([False] * 2).weighed(before)
    assert (clear.evidence, clear.mechanism) == (NOTHING, None)
    later = PaceSoFar(last=clear, alike_legs=2 * NEEDED)
    assert Session().votes([True] * 4).weighed(later).mechanism is None
    assert Session().votes([True] * 6).weighed(later).mechanism is Mechanism.THROTTLE_RATE


def test_a_session_without_votes_stakes_nothing() -> None:
    before = PaceSoFar(last=Session().votes([True] * 3).weighed(), alike_legs=2 * NEEDED)
    assert before.last is not None
    after = Session().lay(transfer(), None).weighed(before)
    assert (after.sessions, after.evidence) == (before.last.sessions, before.last.evidence)


def test_all_stakes_together_are_one() -> None:
    total = sum(math.exp(stake(session)) for session in range(1, 10_000))
    assert 0.9999 < total <= 1.0


# -- figures


def test_the_chance_of_a_pair_apart_is_that_of_one_direction() -> None:
    """If pairs that differ in nothing are apart so and so often, half of that is the chance that the target's lags."""
    assert chance_of_apart(0, 0) == 0.5
    assert chance_of_apart(48, 0) == Q0
    assert chance_of_apart(48, 8) == pytest.approx(upper(8, 24) / 2)
    assert chance_of_apart(3, 2) == 0.5
    chance = random.Random("one direction")
    rates = [(math.exp(chance.gauss(0, 1)), math.exp(chance.gauss(0, 1))) for _ in range(4_000)]
    apart = sum(max(a, b) > 4 * min(a, b) for a, b in rates)
    lags = sum(a * 4 < b for a, b in rates)
    assert lags / 4_000 == pytest.approx(apart / 4_000 / 2, abs=0.02)
    assert chance_of_apart(8_000, apart) > lags / 4_000


def test_the_interval_of_a_median_is_exact() -> None:
    assert interval_of_median([]) == (None, None, 0.0)
    assert interval_of_median([3.0]) == (3.0, 3.0, 0.0)
    assert list(interval_of_median([3.0, 1.0, 2.0])) == pytest.approx([1.0, 3.0, 0.75])
    assert list(interval_of_median(range(1, 13))) == pytest.approx([3, 10, 0.9614], abs=1e-4)


def test_the_spread_needs_three() -> None:
    assert spread_of([1.0, 2.0]) is None
    assert spread_of([1.0, 2.0, 3.0]) == pytest.approx(0.5)


def test_logarithms_add_up() -> None:
    assert log_sum(math.log(2.0), math.log(3.0)) == pytest.approx(math.log(5.0))


def test_an_empty_tally_weighs_nothing() -> None:
    found = weigh(Tally(), PaceSoFar())
    assert (found.pairs, found.rate, found.evidence, found.calibrated) == (0, None, NOTHING, False)
