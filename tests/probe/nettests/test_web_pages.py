"""Which of a site's addresses is asked for the page, on which port, and who is waited for."""

from __future__ import annotations

from dataclasses import replace

import pytest

from measurements.model import ControlQuery, Failure, HttpExchange, Outcome, TcpConnect, View
from tests.measurements.worlds import HOST, IN_CLEAR, OPEN, RESET, SITE, TIMEOUT, Disruption, Hands, lie, play
from tests.probe.nettests.test_web import URL, asked, opened, timed, to
from tests.scripted import Page, ScriptedNetwork, World

THREE = ["203.0.113.31", "203.0.113.32", "203.0.113.33"]


def fetched(net: ScriptedNetwork) -> list[tuple[str, Failure | None]]:
    """The addresses that were asked for the page itself, with how it went."""
    return [
        (o.address, o.failure)
        for o in net.observations
        if isinstance(o, HttpExchange) and o.purpose is None and o.view is not View.CONTROL
    ]


@pytest.mark.parametrize(("url", "port"), [(f"https://{HOST}:8443/", 8443), (f"http://{HOST}:8080/", 8080)])
def test_the_port_of_the_url_is_the_port_that_is_asked(url: str, port: int) -> None:
    _, net = opened(replace(OPEN, seen=None), url)
    assert {o.port for o in net.observations if isinstance(o, TcpConnect) and o.purpose is None} == {port}


def test_a_redirect_to_a_public_address_is_followed() -> None:
    """If the site sends us to an address, a browser would go there, unless it is private."""
    there = f"http://{THREE[0]}/"
    world = World(
        names={HOST: [SITE], THREE[0]: [THREE[0]]}, pages={(SITE, HOST): to(there), (THREE[0], THREE[0]): Page()}
    )
    _, net = opened(world)
    assert asked(net)[:2] == [URL, there]
    assert net.spent.limits == []


@pytest.mark.parametrize(
    ("pages", "expected"),
    [
        ({}, [(THREE[0], None)]),
        ({(THREE[0], HOST): RESET}, [(THREE[0], RESET), (THREE[1], None)]),
        ({(a, HOST): RESET for a in THREE}, [(THREE[0], RESET), (THREE[1], RESET)]),
    ],
)
def test_no_more_than_two_addresses_of_others_are_asked_for_the_page(
    pages: dict[tuple[str, str], Page | Failure], expected: list[tuple[str, Failure | None]]
) -> None:
    """If only others gave addresses, one page is enough evidence, and two failures are too."""
    _, net = opened(replace(OPEN, names={HOST: THREE}, answers=lie(Failure.DNS_NXDOMAIN), pages=pages))
    assert fetched(net)[: len(expected) + 1] == expected


def test_where_our_own_address_failed_one_of_others_is_enough() -> None:
    pages: dict[tuple[str, str], Page | Failure] = {(a, HOST): RESET for a in (SITE, *THREE)}
    _, net = opened(replace(OPEN, names={HOST: [SITE, *THREE]}, answers=lie([[SITE]]), pages=pages))
    assert fetched(net) == [(SITE, RESET), (THREE[0], RESET)]


def test_a_verified_address_of_ours_goes_before_one_under_a_bad_certificate() -> None:
    bad: Hands = {(THREE[0], HOST): Failure.SSL_INVALID_HOSTNAME}
    said, net = opened(World(names={HOST: [THREE[0], THREE[1]]}, hands=bad, seen=Page()))
    assert fetched(net) == [(THREE[1], None)]
    assert (said.outcome, said.pattern) == (Outcome.ACCESSIBLE, "partial")


@pytest.mark.parametrize(
    ("world", "url"),
    [
        (replace(OPEN, hands={(SITE, HOST): Failure.SSL_UNKNOWN_AUTHORITY}), URL),
        (replace(OPEN, pages={(SITE, HOST): TIMEOUT}), IN_CLEAR),
    ],
    ids=["bad-certificate", "no-page-in-clear"],
)
def test_a_control_that_is_slow_is_not_given_up_where_something_failed(world: World, url: str) -> None:
    """If a page came under a bad certificate, or none came, what the control says much later still counts."""
    late, seconds = timed(world, url, after=20.0)
    assert seconds >= 20.0
    now, _ = play(Disruption("", world, "", url=url))
    assert (late.outcome, late.reason) == (now.outcome, now.reason)
    assert (late.outcome, late.reason) != (Outcome.INCONCLUSIVE, "no_control")


def test_a_control_is_asked_once_about_a_chain_that_succeeds() -> None:
    _, net = opened(OPEN)
    assert len([o for o in net.observations if isinstance(o, ControlQuery)]) == 1
