"""What is said of networks that cannot be judged, of closed borders, and of what a container hides."""

from __future__ import annotations

from dataclasses import replace

import pytest

from measurements.model import Canary, Failure, Mechanism, Outcome, Past, Preconditions, Trigger, Verdict, Where
from tests.measurements.blocked_worlds import BLOCKED
from tests.measurements.worlds import BESIDE, HOST, OPEN, SITE, TIMEOUT, Disruption, Paths, play
from tests.scripted import WITNESSES, Page, World

HERE = Preconditions(ipv4_route=True, ipv6_route=False)
BY_NAME = {disruption.name: disruption for disruption in BLOCKED}


def judged(world: World, before: Preconditions, history: tuple[Past, ...] = ()) -> Verdict:
    return play(Disruption("", world, "", preconditions=before), history=history)[0]


def because(reason: str) -> Preconditions:
    return Preconditions(ipv4_route=True, ipv6_route=False, reason=reason, detail=f"It is {reason}.")


@pytest.mark.parametrize("reason", ["vpn", "network_changed"])
def test_even_a_page_that_came_says_nothing_when_it_came_through_another_network(reason: str) -> None:
    said = judged(OPEN, because(reason))
    assert (said.outcome, said.reason, said.summary) == (Outcome.INVALID, reason, f"It is {reason}.")


@pytest.mark.parametrize(
    "reason", ["captive", "data_plan", "nothing_passes", "private_issuer", "gateway_only", "clock"]
)
def test_a_page_that_came_all_the_same_came_and_what_failed_says_nothing(reason: str) -> None:
    assert judged(OPEN, because(reason)).outcome is Outcome.ACCESSIBLE
    shut = replace(OPEN, ports={(SITE, 443): TIMEOUT}, seen=Page())
    assert (judged(shut, because(reason)).outcome, judged(shut, because(reason)).reason) == (Outcome.INVALID, reason)


# The border


def border(*problems: str | None, domestic: bool | None = True, foreign: bool | None = False) -> Preconditions:
    canaries = [Canary(kind="foreign", way="tls", name=f"w{i}.example", problem=p) for i, p in enumerate(problems)]
    return Preconditions(
        ipv4_route=True, ipv6_route=False, foreign_alive=foreign, domestic_alive=domestic, canaries=tuple(canaries)
    )


CLOSED = border("generic_timeout_error", "generic_timeout_error")
SHUT = replace(OPEN, ports={(SITE, 443): TIMEOUT})
SILENCE: dict[int, tuple[str, str | None]] = dict.fromkeys(range(2, 21), ("silence", None))
GONE: Paths = {(address, None): SILENCE for address in (SITE, BESIDE, *WITNESSES.values())}


def test_where_only_foreign_sites_fail_and_a_control_abroad_answers_the_border_is_closed() -> None:
    said = judged(replace(SHUT, seen=Page(), paths=GONE), CLOSED)
    assert (said.outcome, said.mechanism) == (Outcome.BLOCKED, Mechanism.NETWORK_ALLOWLIST)
    assert (said.trigger, said.where) == (Trigger.ANY, Where.NETWORK)


def test_without_a_control_a_cut_cable_looks_the_same() -> None:
    said = judged(replace(SHUT, seen=None), CLOSED)
    assert (said.outcome, said.reason) == (Outcome.INCONCLUSIVE, "abroad")
    open_before = Past(started=1_800_000_000.0 - 3600, verdict=Verdict(outcome=Outcome.ACCESSIBLE))
    said = judged(replace(SHUT, seen=None), CLOSED, (open_before,))
    assert (said.outcome, said.reason) == (Outcome.UNREACHABLE, "abroad")


@pytest.mark.parametrize(
    "before",
    [
        border("generic_timeout_error", None, foreign=True),
        border("generic_timeout_error", "generic_timeout_error", domestic=False),
        border("generic_timeout_error", "generic_timeout_error", domestic=None),
        border("generic_timeout_error"),
        border("no_address", "no_address"),
        HERE,
    ],
    ids=["one-answers", "domestic-fail-too", "no-domestic", "one-witness", "no-names", "not-looked"],
)
def test_it_takes_several_foreign_witnesses_that_fail_and_a_domestic_one_that_does_not(before: Preconditions) -> None:
    said = judged(replace(SHUT, seen=Page(), paths=GONE), before)
    assert said.mechanism is not Mechanism.NETWORK_ALLOWLIST
    assert said.reason != "abroad"


def test_a_site_that_is_down_for_the_control_too_is_no_victim_of_the_border() -> None:
    said = judged(replace(SHUT, seen=Failure.TIMEOUT), CLOSED)
    assert said.outcome is not Outcome.BLOCKED


def test_a_site_that_opens_is_open_though_the_border_is_closed_to_others() -> None:
    assert judged(OPEN, CLOSED).outcome is Outcome.ACCESSIBLE


# What a container hides


def from_container(name: str) -> tuple[Verdict, Verdict]:
    """Judge a disruption from the machine itself and from inside a container."""
    disruption = BY_NAME[name]
    inside = replace(disruption, preconditions=Preconditions(ipv4_route=True, ipv6_route=False, container=True))
    return play(disruption)[0], play(inside)[0]


def test_what_happens_beyond_the_home_is_as_sure_from_inside_a_container() -> None:
    plain, inside = from_container("sni-reset")
    assert plain.where is Where.NETWORK
    assert inside == plain


@pytest.mark.parametrize("name", ["sni-reset-place-unknown", "nxdomain"])
def test_where_nothing_shows_the_place_a_filter_at_home_is_left_open(name: str) -> None:
    plain, inside = from_container(name)
    assert plain.where in (Where.NETWORK, Where.RESOLVER)
    assert (inside.outcome, inside.mechanism, inside.where) == (plain.outcome, plain.mechanism, Where.UNKNOWN)
    assert "container" in inside.summary
    assert "container" not in plain.summary
    assert HOST in inside.summary
