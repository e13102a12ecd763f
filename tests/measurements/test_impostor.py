"""Notices in the site's place: under a certificate that is valid for it, in clear, and at an operator's door."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from measurements.model import HttpExchange, Outcome, Purpose, TcpConnect, TlsHandshake
from tests.measurements.worlds import (
    ALL,
    BLOCK,
    HOST,
    IN_CLEAR,
    OPEN,
    SITE,
    W1,
    W2,
    W3,
    Disruption,
    Hands,
    Issuers,
    Paths,
    by_rule,
    cut_at,
    play,
    said,
)
from tests.scripted import Page, ScriptedNetwork, World

NOTICE = Page(403, b"<title>Sorry</title> not here", "Sorry")
SIGNED: Hands = {(address, HOST): None for address in ALL}
BY_STATE: Issuers = {(address, HOST): "CN=State Root" for address in ALL}


def signed(page: Page = NOTICE, seen: Page | None = None, **facts: Any) -> World:
    """A box signs for the site's name at every address, and answers with a notice."""
    pages = {(address, HOST): page for address in ALL}
    return replace(OPEN, hands=SIGNED, issuers=BY_STATE, pages=pages, seen=seen, **facts)


class Behind(ScriptedNetwork):
    """What is in clear at port 80 is the site's own."""

    async def exchange(self, over: Any, url: str, **kwargs: Any) -> HttpExchange:
        before = self.world.pages
        if isinstance(over, TcpConnect):
            self.world.pages = {(SITE, HOST): Page(301, b"", None, f"https://{HOST}/")}
        step = await super().exchange(over, url, **kwargs)
        self.world.pages = before
        return step


@pytest.mark.parametrize("page", [NOTICE, Page(451, b"no", "No"), BLOCK], ids=["403", "451", "200"])
def test_a_notice_under_a_certificate_that_unrelated_servers_show_too_is_a_block(page: Page) -> None:
    verdict = said(signed(page, Page()))
    assert (verdict.outcome, verdict.mechanism, verdict.trigger) == (Outcome.BLOCKED, "http.blockpage", "name"), verdict
    assert (verdict.confidence, verdict.where, verdict.findings[0].rule) == ("confirmed", "network", "tls.impostor")
    assert "CN=State Root" in verdict.summary


def test_without_a_control_its_other_port_shows_that_there_is_a_site() -> None:
    world = signed()
    verdict, _ = play(Disruption("", world, ""), Behind(world))
    assert (verdict.outcome, verdict.confidence) == (Outcome.BLOCKED, "likely")


@pytest.mark.parametrize(
    ("hands", "issuers"),
    [
        ({}, BY_STATE),
        ({(W1, HOST): None, (W2, HOST): None}, BY_STATE),
        (SIGNED, {**BY_STATE, (W3, HOST): "CN=Other"}),
    ],
    ids=["none", "two-of-three", "another-hand"],
)
def test_what_not_every_witness_shows_is_the_sites_own_refusal(hands: Hands, issuers: Issuers) -> None:
    """If a company's servers hold the site's certificate too, or none does, the site itself refuses."""
    verdict = said(replace(signed(NOTICE, Page()), hands=hands, issuers=issuers))
    assert by_rule(verdict) == ("server_side", "site.refuses")


def test_a_refusal_that_the_control_gets_too_is_followed_up_by_nothing() -> None:
    world = signed(NOTICE, NOTICE)
    verdict, net = play(Disruption("", world, ""))
    assert verdict.outcome is Outcome.SERVER_SIDE
    assert not [o for o in net.observations if o.purpose is not None]


def test_an_ordinary_page_is_not_doubted() -> None:
    """If nothing in a verified page speaks of blocking, or it is long, no witness is asked, whatever others see."""
    long = Page(200, b"<title>News</title> the ministry said " + b"x" * 9000, "News")
    for page in (Page(), long):
        world = replace(OPEN, pages={(SITE, HOST): page}, seen=Page(200, b"else", "Else"))
        verdict, net = play(Disruption("", world, ""))
        assert verdict.outcome is Outcome.ACCESSIBLE
        assert not [o for o in net.observations if isinstance(o, TlsHandshake) and o.purpose is not None]


def test_a_witness_in_the_sites_own_network_shows_nothing() -> None:
    near = "192.0.2.77"
    hands: Hands = {(address, HOST): None for address in (near, W1, W2, W3)}
    issuers: Issuers = dict.fromkeys(hands, "CN=Company")
    world = replace(OPEN, names={HOST: [near]}, hands=hands, issuers=issuers, pages={(near, HOST): NOTICE})
    assert by_rule(said(world)) == ("server_side", "site.refuses")


# In clear


def test_a_notice_at_the_sites_address_alone_is_found_without_a_control() -> None:
    """If a request with the name is answered short of the site's network, no witness and no control is needed."""
    path: Paths = {(SITE, HOST): cut_at(3, "data")}
    notice = replace(OPEN, pages={(SITE, HOST): BLOCK}, paths=path, seen=None)
    verdict = said(notice, IN_CLEAR)
    assert (verdict.outcome, verdict.mechanism, verdict.trigger) == (
        Outcome.BLOCKED,
        "http.blockpage",
        "name_and_address",
    ), verdict
    own = said(replace(notice, paths={}), IN_CLEAR)
    assert own.outcome is not Outcome.BLOCKED


@pytest.mark.parametrize(
    ("there", "mechanism"),
    [
        ("http://portal.operator.example/", "http.portal"),
        ("http://operator.example/ott-tax", "http.portal"),
        ("https://pay.operator.example/", "http.portal"),
        ("http://portal.operator.example/blocked", "http.redirect"),
        ("http://notice.example/", "http.redirect"),
    ],
)
def test_a_way_to_an_operators_door_is_a_portal(there: str, mechanism: str) -> None:
    """If the name alone is sent to where one pays, it is a portal; where the place speaks of blocking, it is not."""
    moved = Page(302, b"", None, there)
    verdict = said(replace(OPEN, pages={(address, HOST): moved for address in ALL}), IN_CLEAR)
    assert (verdict.outcome, verdict.mechanism, verdict.pattern) == (Outcome.BLOCKED, mechanism, "always")


def test_a_door_for_every_name_is_no_block_of_this_one() -> None:
    """If harmless names are sent there too, it is a hotspot's door, and nobody is accused."""

    class Hotspot(ScriptedNetwork):
        async def exchange(self, over: Any, url: str, **kwargs: Any) -> HttpExchange:
            door = Page(302, b"", None, "http://portal.hotspot.example/")
            self.world.pages = {(over.address, url.split("/")[2]): door}
            return await super().exchange(over, url, **kwargs)

    verdict, net = play(Disruption("", OPEN, "", url=IN_CLEAR), Hotspot(replace(OPEN)))
    assert verdict.outcome is not Outcome.BLOCKED
    assert [o for o in net.observations if o.purpose is Purpose.HARMLESS_AT_WITNESS]
