"""Pairs of transfers over a scripted network, and what the rules make of them; each throttle with its quiet twin."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import replace

import msgspec
import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from measurements.judge import Case, judge
from measurements.model import (
    Confidence,
    Failure,
    Mechanism,
    Outcome,
    PaceSoFar,
    Past,
    Preconditions,
    Proof,
    Purpose,
    TcpConnect,
    TlsHandshake,
    Transfer,
    Trigger,
    Verdict,
    View,
)
from measurements.pace import NEEDED
from measurements.targets import normalise
from probe.control.canary import Singer
from probe.nettests.throttling import measure
from probe.network import Witness
from probe.steps import harmless_name
from tests.scripted import BOGONS, CONTROL_ADDRESS, WITNESSES, Pace, Paced, Page, ScriptedNetwork, World

HOST = "www.site.example"
H = harmless_name(HOST)
SECURE, IN_CLEAR = f"https://{HOST}/", f"http://{HOST}/"
KNOWN = PaceSoFar(alike_legs=2 * NEEDED)
FAST, SLOW = Pace(rate=8e6), Pace(rate=128e3)
FROZEN = Pace(freeze=16_384)
LEGS = (Purpose.PACE_TARGET, Purpose.PACE_HARMLESS)


def world(named: Paced = FAST, harmless: Paced = FAST, most: int = 2_000_000) -> World:
    """A control that gives objects in clear and over TLS, at these paces."""
    transfers = {(CONTROL_ADDRESS, HOST): named, (CONTROL_ADDRESS, "*"): harmless}
    return World(names={HOST: ["203.0.113.10"]}, singer=Singer(port=8443, most=most), transfers=transfers)


def network(
    place: World, pace: PaceSoFar = KNOWN, kind: type[ScriptedNetwork] = ScriptedNetwork, **bounds: float
) -> ScriptedNetwork:
    net = kind(place)
    net.peers = replace(net.peers, controls=(f"http://{CONTROL_ADDRESS}/",))
    net.pace = pace
    net.limits = replace(net.limits, pace_pause=0.0, **bounds)  # type: ignore[arg-type]
    return net


def measured(net: ScriptedNetwork, url: str = SECURE, history: tuple[Past, ...] = ()) -> Verdict:
    target = normalise(url)
    asyncio.run(measure(target, net))
    return judge(Case(net.measurement(target, "throttling"), BOGONS, history))


def said(place: World, pace: PaceSoFar = KNOWN, url: str = SECURE) -> Verdict:
    return measured(network(place, pace), url)


def transfers(net: ScriptedNetwork) -> Counter[Purpose | None]:
    return Counter(o.purpose for o in net.observations if isinstance(o, Transfer))


# -- what is found


@pytest.mark.parametrize("url", [SECURE, IN_CLEAR])
def test_a_name_at_128_kbit_is_throttled_after_four_pairs(url: str) -> None:
    net = network(world(SLOW))
    verdict = measured(net, url)
    assert (verdict.outcome, verdict.mechanism, verdict.trigger) == (
        Outcome.THROTTLED,
        Mechanism.THROTTLE_RATE,
        Trigger.NAME,
    )
    first = verdict.findings[0]
    assert (first.rule, first.confidence, first.proof) == (
        "throttling.throttled",
        Confidence.LIKELY,
        Proof.ELSEWHERE,
    )
    for words in (f"the name {HOST}", "between 12", "8.0 Mbit/s", "in 4 of 4 pairs", "evidence value is 2,531"):
        assert words in verdict.summary
    assert transfers(net)[Purpose.PACE_TARGET] == 4
    assert verdict.throttling is not None
    assert verdict.throttling.spent <= 1_500_000
    assert verdict.throttling.rate == pytest.approx(127_000, rel=0.02)
    legs = {o.id for o in net.observations if isinstance(o, Transfer) and o.purpose in LEGS}
    assert legs <= set(first.evidence)


@pytest.mark.parametrize("url", [SECURE, IN_CLEAR])
def test_a_name_that_is_as_fast_as_another_is_cleared_after_two_pairs(url: str) -> None:
    net = network(world())
    verdict = measured(net, url)
    assert (verdict.outcome, verdict.findings[0].rule) == (Outcome.ACCESSIBLE, "throttling.alike")
    assert (
        "(in 0 of 2 pairs): the name is not slowed down four times or more within the first 120 kB" in verdict.summary
    )
    assert "Both are slow" not in verdict.summary
    assert transfers(net) == {Purpose.PACE_ALIKE: 2, Purpose.PACE_TARGET: 2, Purpose.PACE_HARMLESS: 2}


def test_a_frozen_name_is_a_stall_and_one_that_freezes_for_all_is_not() -> None:
    verdict = said(world(FROZEN))
    assert (verdict.outcome, verdict.mechanism) == (Outcome.THROTTLED, Mechanism.THROTTLE_STALL)
    assert "stops for good" in verdict.summary
    both = said(world(FROZEN, FROZEN))
    assert (both.outcome, both.reason) == (Outcome.INCONCLUSIVE, "slow_line")


def test_a_line_that_is_slow_for_every_name_is_no_throttle() -> None:
    """If all comes at 600 kbit/s it is said that the line is slow; below 200, that nothing can be told."""
    verdict = said(world(Pace(rate=6e5), Pace(rate=6e5)))
    assert verdict.outcome is Outcome.ACCESSIBLE
    assert "Both are slow: the line is, or something slows both down alike." in verdict.summary
    slower = said(world(Pace(rate=15e4), Pace(rate=15e4)))
    assert (slower.outcome, slower.reason) == (Outcome.INCONCLUSIVE, "slow_line")


def test_a_slow_line_is_left_alone_soon_when_nothing_is_known_of_it() -> None:
    net = network(world(Pace(rate=15e4), Pace(rate=15e4)), PaceSoFar())
    verdict = measured(net)
    assert verdict.reason == "slow_line"
    assert transfers(net) == {Purpose.PACE_ALIKE: 12}


def test_a_lucky_leg_costs_two_pairs_more_and_clears_nobody() -> None:
    lucky: Paced = lambda number: FAST if number == 2 else SLOW  # noqa: E731
    net = network(world(lucky))
    assert measured(net).outcome is Outcome.THROTTLED
    assert transfers(net)[Purpose.PACE_TARGET] == 6


def test_a_throttle_that_begins_while_pairs_are_laid_is_found_and_one_that_begins_later_is_not() -> None:
    """The first pair passes; with two that pass the session has ended, and said so of what it saw."""
    begins: Paced = lambda number: FAST if number < 1 else SLOW  # noqa: E731
    assert said(world(begins)).outcome is Outcome.THROTTLED
    later: Paced = lambda number: FAST if number < 2 else SLOW  # noqa: E731
    assert said(world(later)).outcome is Outcome.ACCESSIBLE


@pytest.mark.parametrize(("rate", "outcome"), [(128e3, Outcome.INCONCLUSIVE), (900e3, Outcome.ACCESSIBLE)])
def test_what_lingers_and_slows_the_harmless_name_down_too_accuses_nobody(rate: float, outcome: Outcome) -> None:
    """The pair that differs in nothing is fast, and all after the name was seen is slow."""
    lingering: Paced = lambda number: FAST if number < 2 else Pace(rate=rate)  # noqa: E731
    verdict = said(world(Pace(rate=rate), lingering))
    assert verdict.outcome is outcome, verdict.summary


def test_a_throttle_that_lets_the_first_bytes_pass_is_found_as_far_as_was_read() -> None:
    assert said(world(Pace(rate=128e3, burst=65_536))).outcome is Outcome.THROTTLED
    beyond = said(world(Pace(rate=128e3, burst=262_144)))
    assert beyond.outcome is Outcome.ACCESSIBLE
    assert "within the first 120 kB, which is all that was read" in beyond.summary


def test_a_line_that_loses_now_this_now_that_leg_is_no_throttle() -> None:
    """If one in three transfers crawls, under either name, nobody is accused."""
    poor: Paced = lambda number: SLOW if number % 3 == 0 else FAST  # noqa: E731
    assert said(world(poor, poor)).outcome is not Outcome.THROTTLED


def test_what_is_slower_at_no_even_rate_is_told_and_accuses_nobody() -> None:
    rates = (6e5, 9e5, 1.3e6, 1.9e6)
    uneven: Paced = lambda number: Pace(rate=rates[number % 4])  # noqa: E731
    verdict = said(world(uneven, Pace(rate=32e6)))
    assert (verdict.outcome, verdict.reason) == (Outcome.INCONCLUSIVE, "uneven")


def test_pairs_that_settle_nothing_end_with_their_number_or_their_bytes() -> None:
    sometimes: Paced = lambda number: SLOW if number % 2 else FAST  # noqa: E731
    net = network(world(sometimes), pace_pairs=4)
    verdict = measured(net)
    assert (verdict.outcome, verdict.reason) == (Outcome.INCONCLUSIVE, "undecided")
    assert "2 of 4 pairs were slower" in verdict.summary
    assert net.spent.limits == ["pace_pairs"]
    spent = network(world(SLOW), msgspec.structs.replace(KNOWN, spent=1_900_000))
    assert measured(spent).reason == "undecided"
    assert spent.spent.limits == ["pace_bytes"]


# -- what lines do by themselves comes first


def test_what_is_known_of_no_line_is_learnt_first() -> None:
    net = network(world(SLOW), PaceSoFar())
    verdict = measured(net)
    assert verdict.outcome is Outcome.THROTTLED
    assert transfers(net)[Purpose.PACE_ALIKE] == 2 * NEEDED
    laid = [o for o in net.observations if isinstance(o, Transfer)]
    assert {o.wanted for o in laid if o.purpose is Purpose.PACE_ALIKE} == {64_000}
    assert [o.purpose for o in laid][: 2 * NEEDED] == [Purpose.PACE_ALIKE] * 2 * NEEDED
    assert verdict.throttling is not None
    assert (verdict.throttling.alike_legs, verdict.throttling.alike_apart) == (2 * NEEDED, 0)


def test_a_line_that_wavers_is_looked_at_twice_as_long() -> None:
    wavering: Paced = lambda number: Pace(rate=1.5e6) if number % 5 == 0 else FAST  # noqa: E731
    net = network(world(SLOW, wavering), PaceSoFar())
    measured(net)
    assert transfers(net)[Purpose.PACE_ALIKE] == 4 * NEEDED


def test_a_line_too_wild_to_be_learnt_accuses_nobody() -> None:
    wild: Paced = lambda number: Pace(rate=1e6) if number % 2 else FAST  # noqa: E731
    verdict = said(world(Pace(rate=3e5), wild), PaceSoFar())
    assert (verdict.outcome, verdict.reason) == (Outcome.INCONCLUSIVE, "unsteady_line")


def test_too_few_pairs_are_said_to_be_too_few() -> None:
    """If the server gives objects for some of them only, nothing is said of the target."""
    few: Paced = lambda number: FAST if number < 20 else Failure.CONNECTION_RESET  # noqa: E731
    net = network(world(SLOW, few), PaceSoFar())
    verdict = measured(net)
    assert (verdict.outcome, verdict.reason) == (Outcome.INCONCLUSIVE, "uncalibrated")
    assert transfers(net)[Purpose.PACE_TARGET] == 0


# -- over sessions


def test_a_second_session_confirms_and_one_too_soon_does_not() -> None:
    first = said(world(SLOW))
    again = network(world(SLOW), msgspec.structs.replace(KNOWN, last=first.throttling))
    target = normalise(SECURE)
    asyncio.run(measure(target, again))
    fact = again.measurement(target, "throttling")
    assert transfers(again)[Purpose.PACE_TARGET] == 2
    for minutes, confidence in ((14, Confidence.LIKELY), (16, Confidence.CONFIRMED), (25 * 60, Confidence.LIKELY)):
        past = Past(started=fact.started - 60 * minutes, verdict=first)
        verdict = judge(Case(fact, BOGONS, (past,)))
        assert (verdict.outcome, verdict.confidence) == (Outcome.THROTTLED, confidence)
    container = msgspec.structs.replace(fact, preconditions=Preconditions(container=True))
    assert "container" in judge(Case(container, BOGONS)).summary


# -- where there is nothing to compare


def test_the_names_are_equally_long_and_nothing_else_differs() -> None:
    net = network(world())
    measured(net)
    legs = [o for o in net.observations if isinstance(o, Transfer) and o.purpose in LEGS]
    assert {len(leg.host) for leg in legs} == {len(HOST)}
    assert {leg.host for leg in legs} == {HOST, H}
    assert {(leg.address, leg.port, leg.wanted) for leg in legs} == {(CONTROL_ADDRESS, 8443, 120_000)}
    paths = Counter(leg.url.removeprefix(f"https://{leg.host}") for leg in legs)
    assert set(paths.values()) == {2}, "the legs of a pair ask for the same, and no two pairs do"
    assert all(path.startswith("/bytes/120000?pair=") for path in paths)
    assert all(leg.host == leg.name for leg in legs)
    connections = [o for o in net.observations if isinstance(o, TcpConnect) and o.purpose in LEGS]
    assert {c.view for c in connections} == {View.FOLLOW_UP}


def test_the_order_is_drawn_by_lot() -> None:
    firsts = set()
    for _ in range(40):
        net = network(world())
        measured(net)
        firsts.add(next(o.purpose for o in net.observations if isinstance(o, Transfer) and o.purpose in LEGS))
    assert firsts == set(LEGS)


def test_of_two_pairs_each_side_begins_one() -> None:
    for _ in range(20):
        net = network(world(SLOW))
        measured(net)
        laid = [o.purpose for o in net.observations if isinstance(o, Transfer) and o.purpose in LEGS]
        assert Counter(laid[0::4] + laid[2::4]) == dict.fromkeys(LEGS, 2)
        assert all({laid[at], laid[at + 2]} == set(LEGS) for at in range(0, len(laid), 4))


def test_a_line_that_lets_the_first_of_two_transfers_through_is_no_throttle() -> None:
    """If a provider's token bucket fills between pairs, the second leg of each is slow, whatever its name."""
    for _ in range(60):
        legs = 0

        def bucket(number: int) -> Pace:
            nonlocal legs
            legs += 1
            return FAST if legs % 2 else Pace(rate=1e6)

        assert said(world(bucket, bucket)).outcome is not Outcome.THROTTLED


def test_an_object_is_no_longer_than_the_server_gives() -> None:
    net = network(world(most=70_000))
    measured(net)
    assert {o.wanted for o in net.observations if isinstance(o, Transfer)} == {64_000, 70_000}


def test_an_address_has_no_name_to_slow_down() -> None:
    net = network(world())
    verdict = measured(net, "https://203.0.113.10/")
    assert (verdict.outcome, verdict.reason) == (Outcome.INCONCLUSIVE, "no_name")
    assert net.observations == []


def test_a_name_that_is_refused_is_no_question_of_pace() -> None:
    """If handshakes under it are reset, three in a row end the session; one that stands is no such thing."""
    place = replace(world(), hands={(CONTROL_ADDRESS, HOST): Failure.CONNECTION_RESET})
    net = network(place)
    verdict = measured(net)
    assert (verdict.outcome, verdict.reason) == (Outcome.INCONCLUSIVE, "name_fails")
    assert sum(isinstance(o, TlsHandshake) and o.name == HOST for o in net.observations) == 3


def test_a_server_that_is_not_reached_gives_nothing_to_compare() -> None:
    place = replace(world(), ports={(CONTROL_ADDRESS, 8443): Failure.TIMEOUT})
    verdict = said(place)
    assert (verdict.outcome, verdict.reason) == (Outcome.INCONCLUSIVE, "pacer_fails")


def test_without_a_server_of_ours_the_site_beside_another_is_a_hint_only() -> None:
    witness = next(iter(WITNESSES))
    pages = {("203.0.113.10", HOST): SLOW, (WITNESSES[witness], witness): FAST}
    net = network(World(names={HOST: ["203.0.113.10"]}, seen=Page(), transfers=pages))
    verdict = measured(net)
    assert (verdict.outcome, verdict.reason) == (Outcome.INCONCLUSIVE, "no_pacer")
    assert f"As a hint only: {HOST} at 128 kbit/s and {witness} at 8.0 Mbit/s" in verdict.summary
    assert transfers(net) == {Purpose.PACE_OBJECT: 2}
    in_clear = network(World(names={HOST: ["203.0.113.10"]}, singer=Singer(port=None, most=9), transfers=pages))
    assert measured(in_clear).reason == "no_pacer"


def test_a_site_that_is_not_found_gives_no_hint() -> None:
    net = network(World())
    net.peers = replace(net.peers, witnesses=(Witness("home.example", domestic=True),))
    verdict = measured(net)
    assert verdict.reason == "no_pacer"
    assert "hint" not in verdict.summary
    refused = network(World(names={HOST: ["203.0.113.10"]}, ports={("203.0.113.10", 80): Failure.TIMEOUT}))
    assert measured(refused, IN_CLEAR).reason == "no_pacer"


def test_a_network_that_cannot_be_judged_is_left_alone() -> None:
    net = network(world())
    net.preconditions = Preconditions(reason="offline", detail="There is no network.")
    assert measured(net).outcome is Outcome.INVALID
    assert net.observations == []


def test_a_session_that_takes_too_long_keeps_what_it_saw() -> None:

    class Tired(ScriptedNetwork):
        async def pause(self, seconds: float) -> None:
            await asyncio.sleep(10.0)

    net = network(world(SLOW), pace_timeout=10.1, kind=Tired)  # a leg may take 10 s of these
    verdict = measured(net)
    assert net.spent.limits == ["pace_timeout"]
    assert (verdict.outcome, verdict.reason) == (Outcome.INCONCLUSIVE, "undecided")


def test_somebody_who_answers_in_the_place_of_our_server_proves_nothing() -> None:
    """If every name is answered under another key (an antivirus, a proxy), it may be slow by itself."""
    impostor = Singer(port=8443).certificate().public_bytes(Encoding.DER)
    place = world(SLOW)
    net = network(replace(place, chains={(CONTROL_ADDRESS, name): (impostor,) for name in (HOST, H, harmless_name(H))}))
    verdict = measured(net)
    assert (verdict.outcome, verdict.reason) == (Outcome.INCONCLUSIVE, "pacer_fails")
    assert not transfers(net)
    assert measured(network(place)).outcome is Outcome.THROTTLED
