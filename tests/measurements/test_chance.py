"""What fails only sometimes, what a name leaves behind, and how seldom chance passes for either."""

from __future__ import annotations

import random
from dataclasses import replace
from itertools import product
from math import comb
from typing import Any

import pytest

from measurements.model import Mechanism, Outcome, Pattern, Purpose, TcpConnect, TlsHandshake
from measurements.proofs.elsewhere import CHANCE, ENOUGH, MOST, chance
from tests.measurements.moods import Cutting, Losing, Residual
from tests.measurements.worlds import HOST, IN_CLEAR, OPEN, RESET, SITE, TIMEOUT, W1, W2, Disruption, Hands, play
from tests.scripted import ScriptedNetwork


def played(net: ScriptedNetwork, url: str = f"https://{HOST}/") -> tuple[Outcome, str | None, Pattern | None, str]:
    verdict, _ = play(Disruption("", net.world, "", url=url), net)
    return verdict.outcome, verdict.mechanism or verdict.reason, verdict.pattern, verdict.summary


def tried(net: ScriptedNetwork, purpose: Purpose) -> list[TlsHandshake]:
    return [o for o in net.observations if isinstance(o, TlsHandshake) and o.purpose is purpose]


# Partial


@pytest.mark.parametrize("url", [f"https://{HOST}/", IN_CLEAR])
def test_a_name_that_is_cut_more_often_than_chance_allows_is_blocked_in_part(url: str) -> None:
    """If six of eight tries with the name are cut and none without it, eight pairs show it, with the count."""
    net = Cutting(OPEN, (True, False, True, True, True, False, True, True))
    outcome, mechanism, pattern, words = played(net, url)
    expected = Mechanism.TLS_RESET if url.startswith("https:") else Mechanism.HTTP_RESET
    assert (outcome, mechanism, pattern) == (Outcome.BLOCKED, expected, Pattern.PARTIAL)
    assert "in 6 of 8 tries" in words
    assert "follow_up" not in net.spent.limits


def test_a_name_that_is_cut_now_and_then_is_not_settled() -> None:
    """If three tries of eight are cut, eight pairs are not enough, and the count is told."""
    net = Cutting(OPEN, (True, False, False, False, True, False, False, True))
    outcome, reason, _, words = played(net)
    assert (outcome, reason) == (Outcome.INCONCLUSIVE, "unsteady")
    assert "3 of 8 tries" in words
    assert len(tried(net, Purpose.TARGET_AT_WITNESS)) == MOST


def test_a_name_that_works_when_tried_again_at_the_site_is_not_cleared_by_that() -> None:
    """If it was cut at every witness, four pairs are asked for instead of three; then the block is partial."""

    net = Cutting(OPEN, again=False)
    outcome, mechanism, pattern, _ = played(net)
    assert (outcome, mechanism, pattern) == (Outcome.BLOCKED, Mechanism.TLS_RESET, Pattern.PARTIAL)
    assert len(tried(net, Purpose.TARGET_AT_WITNESS)) >= 4


def test_a_server_that_always_takes_the_name_tells_of_servers_not_of_chance() -> None:
    """If two servers refuse the name each time and the third never, they may be of one company."""
    two: Hands = dict.fromkeys([(SITE, HOST), (W1, HOST), (W2, HOST)], RESET)
    net = ScriptedNetwork(replace(OPEN, hands=two))
    assert played(net)[:2] == (Outcome.INCONCLUSIVE, "unsteady")
    assert len(tried(net, Purpose.TARGET_AT_WITNESS)) == MOST


# Residual


def test_what_a_name_leaves_behind_is_told_from_an_address_block() -> None:
    """If harmless names that had worked are cut off wherever the name was, the name is the trigger."""
    for failure, mechanism in ((RESET, Mechanism.TLS_RESET), (TIMEOUT, Mechanism.TLS_TIMEOUT)):
        net = Residual(OPEN, failure)
        verdict, _ = play(Disruption("", OPEN, ""), net)
        assert (verdict.outcome, verdict.mechanism) == (Outcome.BLOCKED, mechanism)
        assert (verdict.trigger, verdict.pattern, verdict.where) == ("name", Pattern.RESIDUAL, "network")
        assert "follow_up" not in net.spent.limits
        at = [o.address for o in tried(net, Purpose.TARGET_AT_WITNESS)]
        assert len(set(at)) == len(at)


def test_what_a_name_leaves_behind_is_not_called_an_unsteady_line() -> None:
    """If nothing shows that the site lives, what is missing is a control; harmless names were not lost by chance."""
    alone = replace(OPEN, ports={(SITE, 443): TIMEOUT}, seen=None)
    assert played(Residual(alone), IN_CLEAR)[:2] == (Outcome.INCONCLUSIVE, "no_control")


def test_a_site_that_is_out_of_reach_for_harmless_names_too_is_no_residual_block() -> None:
    """If only the site's own server falls silent and witnesses take the name, nobody is accused."""

    class Tired(Residual):
        async def handshake(self, over: TcpConnect, *, name: str | None, **kwargs: Any) -> TlsHandshake:
            if over.address == SITE:
                return await super().handshake(over, name=name, **kwargs)
            return await ScriptedNetwork.handshake(self, over, name=name, **kwargs)

    assert played(Tired(OPEN))[0] is Outcome.UNREACHABLE


# Chance


def false_alarms(loss: float) -> float:
    """Say how probable it is that pairs accuse on a line that loses tries at random: every course is counted.

    After three pairs, six and eight; a repetition at the site fails by the same chance. It is left out that the
    name must have failed at each server, which only makes it less.
    """
    total = 0.0
    for first in range(4):
        after_three = comb(3, first) * loss**first * (1 - loss) ** (3 - first) * (1 - loss) ** 3
        if first == 3:
            total += after_three * loss  # the repetition fails too
            after_three *= 1 - loss
        if first == 0:
            continue  # nothing failed elsewhere: nothing more is asked
        for second, third in product(range(4), range(3)):
            after_six = after_three * comb(3, second) * loss**second * (1 - loss) ** (3 - second) * (1 - loss) ** 3
            after_eight = after_six * comb(2, third) * loss**third * (1 - loss) ** (2 - third) * (1 - loss) ** 2
            if chance(first + second, 6, 6) <= CHANCE:
                total += after_six if third == 0 else 0.0
            elif chance(first + second + third, MOST, MOST) <= CHANCE:
                total += after_eight
    return total


def test_a_line_that_loses_every_third_connection_accuses_in_fewer_than_one_of_a_hundred_follow_ups() -> None:
    assert ENOUGH == 3
    assert false_alarms(0.3) < 0.01
    assert max(false_alarms(loss / 100) for loss in range(1, 100)) < 0.01
    assert chance(4, 4, 4) <= CHANCE < chance(3, 3, 3)


@pytest.mark.parametrize(("loss", "most"), [(0.2, 0.002), (0.3, 0.005)])
def test_an_unsteady_line_accuses_nobody(loss: float, most: float) -> None:
    """If every name is lost alike, whole measurements accuse as seldom as is promised; open sites are open."""
    lots = random.Random(20260714)
    runs, accused, opened = 1000, 0, 0
    for _ in range(runs):
        outcome, *_ = played(Losing(OPEN, loss, lots))
        accused += outcome is Outcome.BLOCKED
        opened += outcome is Outcome.ACCESSIBLE
    assert accused / runs <= most
    assert opened / runs > (1 - loss) ** 3 - 0.08
