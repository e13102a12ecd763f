"""`web` in scripted worlds: what is asked, what is not, and when it stops."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from measurements.judge import Case, judge
from measurements.model import (
    ControlQuery,
    DnsLookup,
    Failure,
    HttpExchange,
    Mechanism,
    Outcome,
    Preconditions,
    Purpose,
    TcpConnect,
    TlsHandshake,
    Verdict,
    View,
)
from measurements.targets import normalise
from probe.nettests import web
from tests.hurrying import hurry
from tests.measurements.worlds import (
    BESIDE,
    HOST,
    IN_CLEAR,
    OPEN,
    RESET,
    SINK,
    SITE,
    SIX,
    TIMEOUT,
    Disruption,
    Hands,
    lie,
    play,
)
from tests.scripted import BOGONS, LOCAL, TRUSTED, Page, ScriptedNetwork, World

OTHER, THERE = "other.example", "203.0.113.50"
URL = f"https://{HOST}/"


def sent_to(net: ScriptedNetwork) -> set[str]:
    """The addresses to which anything but a lookup went."""
    return {o.address for o in net.observations if isinstance(o, TcpConnect | TlsHandshake | HttpExchange)} - {""}


def asked(net: ScriptedNetwork) -> list[str]:
    """The URLs of the chain, as they were asked."""
    return [o.url for o in net.observations if isinstance(o, HttpExchange) and o.view is View.LOCAL]


def opened(world: World, url: str = URL, net: ScriptedNetwork | None = None) -> tuple[Verdict, ScriptedNetwork]:
    return play(Disruption("", world, "", url=url), net)


def to(there: str | None, status: int = 302) -> Page:
    return Page(status, b"", None, there)


# Redirects


def test_a_redirect_is_followed_to_its_page() -> None:
    two = World(names={HOST: [SITE], OTHER: [THERE]}, pages={(SITE, HOST): to(f"https://{OTHER}/")}, seen=Page())
    said, net = opened(two)
    assert said.outcome is Outcome.ACCESSIBLE
    assert asked(net) == [URL, f"https://{OTHER}/"]
    assert net.spent.limits == []
    looked_up = [o.name for o in net.observations if isinstance(o, DnsLookup)]
    assert set(looked_up) == {HOST, OTHER}


def test_a_redirect_within_a_host_looks_nothing_up_again() -> None:
    said, net = opened(replace(OPEN, pages={(SITE, HOST): to(URL)}), IN_CLEAR)
    plain = opened(OPEN)[1]
    lookups = [o for o in net.observations if isinstance(o, DnsLookup)]
    assert len(lookups) == len([o for o in plain.observations if isinstance(o, DnsLookup)])
    assert said.reason == "redirects"  # this world's page redirects for ever


@pytest.mark.parametrize(
    ("there", "limit"),
    [
        ("ftp://files.example/", "redirect_scheme"),
        ("javascript:alert(1)", "redirect_scheme"),
        ("file:///etc/passwd", "redirect_scheme"),
        (URL, "redirect_loop"),
        (f"{URL}#top", "redirect_loop"),
        ("http://10.0.0.1/", "redirect_private"),
        ("https://127.0.0.1:8080/admin", "redirect_private"),
    ],
)
def test_a_redirect_to_where_no_browser_should_go_is_not_followed(there: str, limit: str) -> None:
    """If the site sends us elsewhere than to a public page not yet seen, that is recorded and nothing is sent there."""
    said, net = opened(replace(OPEN, pages={(SITE, HOST): to(there)}))
    assert net.spent.limits == [limit]
    assert asked(net) == [URL]
    assert sent_to(net) == {SITE}
    assert (said.outcome, said.reason) == (Outcome.SERVER_SIDE, "redirects")


def test_a_redirect_to_a_name_at_a_private_address_sends_nothing_there() -> None:
    world = World(names={HOST: [SITE], OTHER: ["10.0.0.1"]}, pages={(SITE, HOST): to(f"https://{OTHER}/")}, seen=Page())
    said, net = opened(world)
    assert "private_address" in net.spent.limits
    assert "10.0.0.1" not in sent_to(net)
    assert said.outcome is not Outcome.BLOCKED


class Winding(ScriptedNetwork):
    """The site sends us from one page to the next, so many times."""

    turns = 0

    async def exchange(self, over: Any, url: str, **kwargs: Any) -> HttpExchange:
        at = int(url.rsplit("/", 1)[1] or 0)
        page = to(f"{URL}{at + 1}") if at < self.turns else Page()
        self.world.pages = {**self.world.pages, (SITE, HOST): page}
        return await super().exchange(over, url, **kwargs)


@pytest.mark.parametrize("turns", [9, 10])
def test_as_many_redirects_as_a_browser_follows_are_followed(turns: int) -> None:
    net = Winding(replace(OPEN))
    net.turns = turns
    said, _ = opened(OPEN, net=net)
    assert (said.outcome, net.spent.limits, len(asked(net))) == (Outcome.ACCESSIBLE, [], turns + 1)


def test_too_many_redirects_are_recorded() -> None:
    net = Winding(replace(OPEN))
    net.turns = net.limits.redirects + 1
    said, _ = opened(OPEN, net=net)
    assert (said.outcome, said.reason, net.spent.limits) == (Outcome.SERVER_SIDE, "redirects", ["redirects"])
    assert len(asked(net)) == net.limits.redirects + 1


# Addresses


def test_nothing_is_sent_to_a_private_literal() -> None:
    """If the target is an address that no public site has, not one packet leaves."""
    said, net = opened(World(), "http://10.0.0.1/")
    assert net.observations == []
    assert net.spent.limits == ["private_address"]
    assert said.outcome is Outcome.INCONCLUSIVE


def test_a_public_literal_is_asked_without_a_lookup() -> None:
    said, net = opened(World(names={SITE: [SITE]}, hands={(SITE, None): None}, seen=Page()), f"https://{SITE}/")
    assert not [o for o in net.observations if isinstance(o, DnsLookup)]
    assert [o.name for o in net.observations if isinstance(o, TlsHandshake) and o.view is View.LOCAL] == [None]
    assert said.outcome is Outcome.ACCESSIBLE


def test_a_name_at_a_private_address_alone_is_not_visited() -> None:
    said, net = opened(World(names={HOST: ["10.0.0.1", "127.0.0.1"]}, seen=None))
    assert not {"10.0.0.1", "127.0.0.1"} & sent_to(net)
    assert "private_address" in net.spent.limits
    assert said.outcome is not Outcome.BLOCKED


def test_a_private_address_beside_a_public_one_is_left_out() -> None:
    said, net = opened(World(names={HOST: ["10.0.0.1", SITE]}, seen=Page()))
    assert (said.outcome, sent_to(net)) == (Outcome.ACCESSIBLE, {SITE})
    assert net.spent.limits == ["private_address"]


@pytest.mark.parametrize(("route", "tried"), [(True, {SITE, SIX}), (None, {SITE, SIX}), (False, {SITE})])
def test_ipv6_is_tried_where_there_may_be_a_route(route: bool | None, tried: set[str]) -> None:
    net = ScriptedNetwork(World(names={HOST: [SITE, SIX]}, seen=Page()))
    net.preconditions = Preconditions(ipv4_route=True, ipv6_route=route)
    said, _ = opened(net.world, net=net)
    assert (said.outcome, sent_to(net)) == (Outcome.ACCESSIBLE, tried)
    [query] = [o for o in net.observations if isinstance(o, ControlQuery)]
    assert set(query.endpoints) == {f"[{a}]:443" if ":" in a else f"{a}:443" for a in tried}


def test_addresses_come_from_both_views_and_both_families_within_the_limit() -> None:
    """If a name has more addresses than may be tried, each view and each family has its share, and it is recorded."""
    ours = [f"203.0.113.{n}" for n in range(1, 9)] + [f"2001:db8:1::{n}" for n in range(1, 9)]
    theirs = [f"198.51.100.{n}" for n in range(101, 109)]
    net = ScriptedNetwork(World(names={HOST: theirs}, answers=lie([ours]), seen=Page()))
    net.preconditions = Preconditions(ipv4_route=True, ipv6_route=True)
    opened(net.world, net=net)
    first = [o.address for o in net.observations if isinstance(o, TcpConnect) and o.purpose is None]
    first = [a for a in first if a in (*ours, *theirs)][: net.limits.addresses]
    assert set(first) == {"203.0.113.1", "2001:db8:1::1", "203.0.113.2", *theirs[:3]}
    assert "addresses" in net.spent.limits


@given(st.integers(1, 12), st.integers(0, 12), st.integers(1, 8))
def test_never_more_addresses_are_tried_than_allowed(ours: int, theirs: int, limit: int) -> None:
    local = [f"203.0.113.{n}" for n in range(1, ours + 1)]
    others = [f"198.51.100.{n}" for n in range(101, 101 + theirs)]
    net = ScriptedNetwork(World(names={HOST: [*local, *others]}, answers=lie([local])))
    net.limits = replace(net.limits, addresses=limit)
    said, _ = opened(net.world, net=net)
    tried = [o.address for o in net.observations if isinstance(o, TcpConnect) and o.purpose is None]
    assert len(tried) == len(set(tried)) == min(limit, ours + theirs)
    assert ("addresses" in net.spent.limits) is (ours + theirs > limit)
    assert said.outcome is Outcome.ACCESSIBLE or limit == 1


# Which page


@pytest.mark.parametrize("url", [URL, IN_CLEAR])
def test_an_exchange_that_fails_at_one_address_is_tried_at_the_others(url: str) -> None:
    """If the first address brings no page and the second does, the site opens, and the first is told of."""
    world = World(names={HOST: [SITE, BESIDE]}, pages={(SITE, HOST): RESET}, seen=Page())
    said, net = opened(world, url)
    assert (said.outcome, said.pattern) == (Outcome.ACCESSIBLE, "partial")
    pages = [o for o in net.observations if isinstance(o, HttpExchange) and o.view is View.LOCAL]
    assert [(p.address, p.failure) for p in pages] == [(SITE, RESET), (BESIDE, None)]
    assert not [o for o in net.observations if o.purpose is not None]


def test_one_page_is_enough() -> None:
    """If two addresses are good, the page is read once."""
    _, net = opened(World(names={HOST: [SITE, BESIDE]}, seen=Page()))
    assert len(asked(net)) == 1


def test_an_address_of_others_is_asked_only_when_ours_fail() -> None:
    """If our own resolver's address serves the page, the trusted one's shows its certificate and no more."""
    world = World(names={HOST: [SITE, BESIDE]}, answers=lie([[SITE]]), seen=Page())
    _, good = opened(world)
    assert [o.address for o in good.observations if isinstance(o, HttpExchange) and not o.purpose and o.address] == [
        SITE
    ]
    said, bad = opened(replace(world, ports={(SITE, 443): TIMEOUT}))
    assert said.outcome is not Outcome.ACCESSIBLE
    pages = [o for o in bad.observations if isinstance(o, HttpExchange) and o.purpose is None and o.address]
    assert [(p.address, p.view) for p in pages] == [(BESIDE, View.TRUSTED)]


def test_a_page_under_a_bad_certificate_is_evidence_and_not_followed() -> None:
    """If another's certificate brings a redirect, nobody goes there."""
    bad: Hands = {(SITE, HOST): Failure.SSL_UNKNOWN_AUTHORITY}
    _, net = opened(replace(OPEN, hands=bad, pages={(SITE, HOST): to(f"https://{OTHER}/")}))
    assert asked(net)[0] == URL
    assert not [o for o in net.observations if isinstance(o, DnsLookup) and o.name == OTHER]


# The control


class Hanging(ScriptedNetwork):
    """A control that says nothing, until the question is taken back."""

    after: float | None = None

    async def ask_control(
        self,
        url: str,
        endpoints: Sequence[str],
        *,
        quic: bool = False,
        page: bool = False,
        timeout: float | None = None,
    ) -> ControlQuery:
        try:
            await asyncio.sleep(self.limits.control_timeout if self.after is None else self.after)
        except asyncio.CancelledError:
            self._record(ControlQuery, view=View.CONTROL, url=url, failure=Failure.INTERRUPTED)
            raise
        if self.after is None:
            return self._record(ControlQuery, view=View.CONTROL, url=url, failure=TIMEOUT)
        return await super().ask_control(url, endpoints, quic=quic, page=page, timeout=timeout)


def timed(world: World, url: str = URL, after: float | None = None) -> tuple[Verdict, float]:
    net = Hanging(world)
    net.after = after
    target = normalise(url)
    _, seconds = hurry(web.measure(target, net))
    return judge(Case(measurement=net.measurement(target, "web"), bogons=BOGONS)), seconds


def test_a_control_that_never_answers_delays_no_open_site() -> None:
    """If the page came under its own certificate, no more than a moment is given to the control."""
    said, seconds = timed(OPEN)
    assert said.outcome is Outcome.ACCESSIBLE
    assert seconds < web.CONTROL_GRACE + 0.5


def test_a_page_in_clear_waits_longer_for_the_control_but_not_for_ever() -> None:
    said, seconds = timed(OPEN, IN_CLEAR)
    assert web.CONTROL_PATIENCE <= seconds < web.CONTROL_PATIENCE + 0.5
    assert said.outcome is Outcome.ACCESSIBLE  # by trusted resolvers and witnesses instead
    soon, less = timed(OPEN, IN_CLEAR, after=3.0)
    assert (soon.outcome, soon.findings[0].rule) == (Outcome.ACCESSIBLE, "site.accessible")
    assert 3.0 <= less < 3.5


def test_a_failure_waits_for_the_control_as_long_as_that_may_take() -> None:
    """If the site failed, what the control says in the end is what shows whether it lives."""
    dead = replace(OPEN, ports={(SITE, 443): TIMEOUT})
    said, _ = timed(dead, after=20.0)
    assert said.outcome is Outcome.UNREACHABLE
    silent, seconds = timed(dead)
    assert (silent.outcome, silent.reason) == (Outcome.INCONCLUSIVE, "no_control")
    assert seconds < 30.5


def test_where_no_trusted_resolver_answers_the_controls_addresses_are_proven() -> None:
    """If only the control knows the true address, its certificate from here shows that our resolver lies."""
    alone: dict[tuple[str, str], list[list[str]] | Failure] = {
        **lie(Failure.DNS_NXDOMAIN),
        **{(resolver.address, HOST): TIMEOUT for resolver in TRUSTED},
    }
    for url in (URL, IN_CLEAR):
        said, net = opened(replace(OPEN, answers=alone), url)
        assert (said.outcome, said.mechanism) == (Outcome.BLOCKED, Mechanism.DNS_NXDOMAIN)
        query = next(o for o in net.observations if isinstance(o, ControlQuery))
        proven = [o for o in net.observations if isinstance(o, TcpConnect) and o.view is View.TRUSTED]
        assert [(o.address, o.cause) for o in proven] == [(SITE, query.id)]
        dead, _ = opened(replace(OPEN, answers=alone, seen=TIMEOUT, ports={(SITE, 443): TIMEOUT}), url)
        assert dead.outcome is not Outcome.BLOCKED


def test_a_control_that_alone_knows_the_addresses_is_waited_for() -> None:
    """If trusted resolvers are shut, what the control says a few seconds later is proven all the same."""
    alone: dict[tuple[str, str], list[list[str]] | Failure] = {
        **lie(Failure.DNS_NXDOMAIN),
        **{(resolver.address, HOST): TIMEOUT for resolver in TRUSTED},
    }
    said, _ = timed(replace(OPEN, answers=alone), after=3.0)
    assert (said.outcome, said.confidence) == (Outcome.BLOCKED, "confirmed")


def test_a_control_that_knows_only_private_addresses_sends_us_nowhere() -> None:
    names = {HOST: ["10.0.0.1"]}
    alone: dict[tuple[str, str], list[list[str]] | Failure] = {
        (resolver.address, HOST): TIMEOUT for resolver in (LOCAL, *TRUSTED)
    }
    _, net = opened(World(names=names, answers=alone, seen=Page()))
    assert not sent_to(net) - {""}


def test_a_leg_that_fails_after_a_redirect_is_asked_of_the_control_too() -> None:
    """If the chain had moved on before it failed, the control is asked about where it failed."""
    world = World(
        names={HOST: [SITE], OTHER: [THERE]},
        pages={(SITE, HOST): to(f"https://{OTHER}/")},
        ports={(THERE, 443): TIMEOUT},
        seen=Page(),
    )
    said, net = opened(world)
    queries = [o for o in net.observations if isinstance(o, ControlQuery)]
    assert [q.url for q in queries] == [URL, f"https://{OTHER}/"]
    assert queries[1].endpoints == (f"{THERE}:443",)
    assert said.outcome is Outcome.UNREACHABLE


def test_a_network_that_cannot_be_judged_is_not_asked_more() -> None:
    net = ScriptedNetwork(replace(OPEN, ports={(SITE, 443): TIMEOUT}))
    net.preconditions = Preconditions(reason="offline", detail="Gone.")
    said, _ = opened(net.world, net=net)
    assert said.outcome is Outcome.INVALID
    assert not [o for o in net.observations if o.purpose is not None]


def test_without_any_resolver_of_ours_trusted_addresses_are_all_there_is() -> None:
    """If this machine knows no resolver, nothing is said of one."""
    net = ScriptedNetwork(OPEN)
    net.peers = replace(net.peers, local=None)
    said, _ = opened(OPEN, net=net)
    assert said.outcome is not Outcome.BLOCKED
    assert {o.view for o in net.observations if isinstance(o, DnsLookup)} <= {View.TRUSTED, View.FOLLOW_UP}


def test_a_page_is_read_whole_when_something_has_failed() -> None:
    """If an address failed, more than a sample of the page is read, for it may be evidence."""

    class Reading(ScriptedNetwork):
        limits_asked: list[int | None]

        async def exchange(self, *args: Any, **kwargs: Any) -> HttpExchange:
            self.limits_asked.append(kwargs.get("body_limit"))
            return await super().exchange(*args, **kwargs)

    for ports, expected in (({}, None), ({(SITE, 443): RESET}, 2 * 1024 * 1024)):
        world = World(names={HOST: [SITE, BESIDE]}, ports=ports, seen=Page())
        net = Reading(world)
        net.limits_asked = []
        opened(world, net=net)
        assert net.limits_asked == [expected]


def test_a_lie_that_leads_nowhere_is_followed_to_its_page() -> None:
    _, net = opened(replace(OPEN, answers=lie([[SINK]])))
    assert [o.purpose for o in net.observations if isinstance(o, TcpConnect) and o.address == SINK and o.port == 80]
    assert Purpose.SIBLING_AT_RESOLVER in {o.purpose for o in net.observations}
