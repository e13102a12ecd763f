"""What the ordinary world does that was once taken for a block, beside what is one."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from msgspec import structs

from measurements.model import Canary, Failure, Hop, Mechanism, Outcome, Preconditions, Purpose
from tests.measurements.worlds import (
    ALL,
    BESIDE,
    HOST,
    OPEN,
    PLAIN,
    RESET,
    SITE,
    TIMEOUT,
    W1,
    Disruption,
    by_rule,
    cut_at,
    lie,
    play,
    said,
)
from tests.scripted import TRUSTED, Page, ScriptedNetwork, World

SERVFAIL = Failure.DNS_SERVFAIL
NOBODY = f"{W1}:53"  # where no resolver is
EDGE = "203.0.113.77"  # one that trusted resolvers do not give


@pytest.mark.parametrize("failure", [SERVFAIL, TIMEOUT])
def test_a_name_that_no_resolver_can_find_from_here_accuses_nobody(failure: Failure) -> None:
    """If bogus signatures or dead name servers fail every resolver, a control that finds the site proves no block."""
    plain = lie(failure) | {(resolver, HOST): failure for resolver in PLAIN}
    every = plain | {(resolver.address, HOST): failure for resolver in TRUSTED}
    assert said(replace(OPEN, answers=every)).outcome is Outcome.UNREACHABLE
    assert said(replace(OPEN, answers=plain)).outcome is Outcome.BLOCKED


def test_a_path_that_servers_of_one_make_refuse_alike_accuses_nobody_without_a_control_either() -> None:
    stock = Page(403, b"<title>403 Forbidden</title>", "403 Forbidden")
    refused = World(names={HOST: [SITE]}, pages={(address, "*/.env"): stock for address in ALL})
    assert said(refused, f"http://{HOST}/.env").outcome is Outcome.INCONCLUSIVE
    named = replace(refused, pages={(address, HOST): stock for address in ALL})
    assert by_rule(said(named, f"http://{HOST}/.env")) == ("blocked", "http.blockpage")


def test_two_answers_of_which_none_is_known_are_no_forgery() -> None:
    """If a forwarder passes on two servers' answers, both may be near edges of the site's, which fail."""
    dead = {(EDGE, 443): TIMEOUT, (BESIDE, 443): TIMEOUT}
    two = replace(OPEN, answers=lie([[EDGE], [BESIDE]]), ports=dead)
    assert said(two).outcome is Outcome.UNREACHABLE
    beside = replace(OPEN, answers=lie([[EDGE], [SITE]]), ports=dead)
    assert by_rule(said(beside)) == ("blocked", "dns.injected")


def test_a_resolver_in_the_place_of_all_others_forges_nothing_though_it_is_slow_for_names_that_nobody_has() -> None:
    told = lie([[EDGE]]) | {(NOBODY, HOST): [[EDGE]]}
    forged = replace(OPEN, answers=told, ports={(EDGE, 443): TIMEOUT})
    assert said(forged).mechanism is Mechanism.DNS_INJECTED
    assert said(replace(forged, answers=told | {(NOBODY, "one.example"): [[W1]]})).outcome is Outcome.UNREACHABLE


@pytest.mark.parametrize(
    ("world", "outcome"),
    [
        (replace(OPEN, ports={(SITE, 443): TIMEOUT}), Outcome.BLOCKED),
        (replace(OPEN, hands={(SITE, HOST): RESET}), Outcome.BLOCKED),
        (replace(OPEN, hands={(SITE, HOST): Failure.SSL_FAILED_HANDSHAKE}), Outcome.UNREACHABLE),
        (replace(OPEN, pages={(SITE, HOST): Failure.HTTP_INVALID_RESPONSE}), Outcome.SERVER_SIDE),
    ],
)
def test_what_the_site_answers_is_no_closed_border(world: World, outcome: Outcome) -> None:
    """If foreign canaries are silent, a site that refuses us by itself has been reached all the same."""
    assert _abroad_is_silent(world, ipv4=True) is outcome


def test_a_machine_without_a_route_meets_no_border() -> None:
    """If there is IPv6 alone, sites that have IPv4 alone cannot be asked, the canaries and the target alike."""
    unrouted = replace(OPEN, ports={(SITE, 443): Failure.NETWORK_UNREACHABLE})
    assert _abroad_is_silent(unrouted, ipv4=False) is Outcome.UNREACHABLE


class Losing(ScriptedNetwork):
    """The line loses what comes back of the first two packets that are to expire at the third router."""

    lost = 0

    async def hop(self, address: str, port: int, **kwargs: Any) -> Hop:
        answered = await super().hop(address, port, **kwargs)
        if (kwargs.get("purpose"), kwargs["ttl"]) != (Purpose.TRACE_TARGET, 3) or self.lost == 2:
            return answered
        self.lost += 1
        silent = structs.replace(answered, answer="silence", router=None)
        self.observations[-1] = silent
        return silent


def test_answers_that_a_lossy_line_swallows_are_no_place_where_packets_die() -> None:
    """If the site drops us and two answers of a router are lost, a third shows that packets went on from there."""
    dropped = replace(
        OPEN, ports={(SITE, 443): TIMEOUT, (SITE, 80): TIMEOUT}, paths={(SITE, None): cut_at(4, "silence")}
    )
    net = Losing(dropped)
    verdict, _ = play(Disruption("", dropped, ""), net)
    assert (verdict.outcome, net.lost) == (Outcome.UNREACHABLE, 2)
    here = replace(dropped, paths={(SITE, None): cut_at(3, "silence")})
    assert said(here).mechanism is Mechanism.TCP_TIMEOUT


def _abroad_is_silent(world: World, *, ipv4: bool) -> Outcome:
    silent = [Canary(kind="foreign", way="tls", name=name, problem=TIMEOUT.value) for name in ("a", "b")]
    before = Preconditions(
        ipv4_route=ipv4,
        ipv6_route=not ipv4,
        foreign_alive=False,
        domestic_alive=True,
        canaries=(*silent, Canary(kind="domestic", way="tls", name="c")),
    )
    return play(Disruption("", world, "", preconditions=before))[0].outcome
