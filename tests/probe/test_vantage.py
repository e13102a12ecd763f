"""What a look around says of this network and of the clock, before anything is judged."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from email.utils import formatdate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from measurements.model import Canary, Failure, Preconditions, TcpConnect, View
from probe.network import Witness
from probe.vantage import look
from probe.vantage.judging import CLOCK_SKEW
from probe.vantage.look import SOMEWHERE
from tests.scripted import LOCAL, TRUSTED, WITNESSES, Page, ScriptedNetwork, World

NOW = 1_800_000_000.0
YEARS = 10 * 365 * 24 * 3600.0
ONE, TWO, _ = WITNESSES
W1, W2, _ = WITNESSES.values()
TIMEOUT, BAD = Failure.TIMEOUT, Failure.SSL_INVALID_CERTIFICATE
WELL = Preconditions(
    ipv4_route=True,
    ipv6_route=False,
    resolver_alive=True,
    trusted_alive=True,
    witness_alive=True,
    foreign_alive=True,
    canaries=tuple(Canary(kind="foreign", way=way, name=name) for name in (ONE, TWO) for way in ("tls", "http")),
)


def dated(**offsets: float | str | None) -> dict[tuple[str, str], Page | Failure]:
    """Witnesses' pages whose Date is true time when ours is `NOW`, by the witness's first label."""
    pages: dict[tuple[str, str], Page | Failure] = {}
    for label, offset in offsets.items():
        name = f"{label}.example"
        date = formatdate(NOW + offset, usegmt=True) if isinstance(offset, float) else offset
        headers = (("Date", date),) if date is not None else ()
        pages[WITNESSES[name], name] = Page(title=name, body=name.encode(), headers=headers)
    return pages


def seen(world: World, arrange: Callable[[ScriptedNetwork], None] = lambda net: None) -> Preconditions:
    net = ScriptedNetwork(world)
    arrange(net)
    found = asyncio.run(look(net, now=lambda: NOW)).preconditions
    assert {o.view for o in net.observations} <= {View.FOLLOW_UP}
    return found


def everywhere(failure: Failure, names: tuple[str, ...] = tuple(WITNESSES)) -> dict[tuple[str, str], Failure]:
    return {(resolver.address, name): failure for resolver in (LOCAL, *TRUSTED) for name in names}


ALL_SHUT: dict[tuple[str, int], Failure | None] = {
    (address, port): TIMEOUT for address in WITNESSES.values() for port in (80, 443)
}
EXPIRED: dict[tuple[str, str | None], Failure | None] = {(a, n): BAD for n, a in WITNESSES.items()}


def test_where_all_is_well_nothing_is_said() -> None:
    assert seen(World(pages=dated(one=0.0, two=1.0))) == WELL


def test_without_a_route_nothing_is_sent() -> None:
    net = ScriptedNetwork(World())
    net.routes = {4: False, 6: False}
    found = asyncio.run(look(net, now=lambda: NOW)).preconditions
    assert (found.reason, found.ipv4_route, found.ipv6_route) == ("offline", False, False)
    assert found.detail
    assert not net.observations


def test_where_nothing_answers_we_are_offline() -> None:
    """If a route leads nowhere, no resolver and no witness answers; one answer of any of them is a network."""
    silent: dict[tuple[str, str | None], dict[int, tuple[str, str | None]]] = {
        (SOMEWHERE, None): {1: ("silence", None)}
    }
    nothing = World(answers=everywhere(TIMEOUT), ports=ALL_SHUT)
    assert seen(replace(nothing, paths=silent)).reason == "offline"
    assert seen(nothing).reason == "gateway_only"
    one_trusted = everywhere(TIMEOUT)
    del one_trusted[TRUSTED[1].address, ONE]
    assert seen(World(answers=one_trusted, ports=ALL_SHUT)).reason == "resolver_dead"


@pytest.mark.parametrize("failure", [Failure.DNS_REFUSED, Failure.DNS_SERVFAIL, TIMEOUT])
def test_a_resolver_that_answers_no_name_is_dead(failure: Failure) -> None:
    """If our resolver gives no witness's address it is dead; if it gives one of two, it lives."""
    dead = {(LOCAL.address, name): failure for name in WITNESSES}
    found = seen(World(answers=dead, pages=dated(one=0.0)))
    assert (found.reason, found.resolver_alive, found.trusted_alive) == ("resolver_dead", False, True)
    assert found.detail
    del dead[LOCAL.address, TWO]
    assert seen(World(answers=dead)).reason is None


def test_where_no_resolver_is_known_none_is_dead() -> None:
    def without(net: ScriptedNetwork) -> None:
        net.peers = replace(net.peers, local=None)

    found = seen(World(), without)
    assert (found.reason, found.resolver_alive, found.witness_alive) == (None, False, True)


def test_where_no_witness_is_known_the_resolvers_words_are_asked_for_nothing() -> None:
    """If there are no witnesses, nothing harmless can be asked, and the network cannot be judged."""

    def without(net: ScriptedNetwork) -> None:
        net.peers = replace(net.peers, witnesses=())

    assert seen(World(), without).reason == "gateway_only"


def test_with_ipv6_alone_addresses_of_it_are_asked_for() -> None:
    def six(net: ScriptedNetwork) -> None:
        net.routes = {4: False, 6: True}

    own = {name: f"2001:db8::{number}" for number, name in enumerate(WITNESSES)}
    given = {(at.address, name): [[own[name]]] for at in (LOCAL, *TRUSTED) for name in WITNESSES}
    pages: dict[tuple[str, str], Page | Failure] = {(own[name], name): Page(title=name, body=b"") for name in own}
    names = {name: [address] for name, address in own.items()}
    found = seen(World(answers=given, names=names, clear=pages), six)
    assert (found.reason, found.ipv4_route, found.ipv6_route, found.resolver_alive) == (None, False, True, True)
    assert seen(World(), six).reason == "gateway_only"


def test_a_witness_at_a_private_address_is_not_visited() -> None:
    """If a lie leads a witness's name into the volunteer's own network, nothing there is asked."""
    inside: dict[tuple[str, str], list[list[str]] | Failure] = {
        (at.address, name): [["10.0.0.1"]] for at in (LOCAL, *TRUSTED) for name in WITNESSES
    }
    net = ScriptedNetwork(World(answers=inside))
    found = asyncio.run(look(net, now=lambda: NOW)).preconditions
    assert found.witness_alive is False
    assert not [o for o in net.observations if getattr(o, "address", None)]


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_a_clock_that_is_years_off_is_set_by_the_witnesses(sign: float) -> None:
    """If every certificate seems out of date and the witnesses agree about the time, that is the time."""
    found = seen(World(hands=EXPIRED, pages=dated(one=sign * YEARS, two=sign * YEARS + 1)))
    assert found.reason is None
    assert found.clock_offset == pytest.approx(sign * YEARS, abs=1)


@pytest.mark.parametrize(
    "pages",
    [
        dated(one=YEARS, two=YEARS + CLOCK_SKEW + 1),
        dated(one=None, two=None),
        dated(one="yesterday", two=""),
        dated(one="Mon, 99 Foo 99999999 00:00:00 GMT", two=None),
        {(W1, ONE): Failure.EOF, (W2, TWO): Failure.TIMEOUT},
    ],
    ids=["witnesses-disagree", "no-date", "no-such-date", "absurd-date", "no-page"],
)
def test_where_nobody_tells_the_time_the_clock_is_the_reason(
    pages: dict[tuple[str, str], Page | Failure],
) -> None:
    """If every certificate seems out of date and no time is agreed, nothing can be judged; if they are good, it can."""
    found = seen(World(hands=EXPIRED, pages=pages))
    assert (found.reason, found.clock_offset) == ("clock", None)
    assert found.detail
    good = seen(World(pages=pages))
    assert (good.reason, good.clock_offset) == (None, None)


def test_one_witness_with_a_bad_certificate_is_that_witnesses_own() -> None:
    assert seen(World(hands={(W1, ONE): BAD})).reason is None


@pytest.mark.parametrize("offset", [CLOCK_SKEW, -CLOCK_SKEW, 3.0])
def test_a_clock_that_is_a_little_off_is_left_alone(offset: float) -> None:
    assert seen(World(pages=dated(one=offset, two=offset))).clock_offset is None


@pytest.mark.parametrize("offset", [CLOCK_SKEW + 1, -CLOCK_SKEW - 1])
def test_a_clock_that_is_off_by_more_is_corrected(offset: float) -> None:
    assert seen(World(pages=dated(one=offset, two=offset))).clock_offset == offset


def test_one_witness_is_enough_to_tell_the_time() -> None:
    shut: dict[tuple[str, int], Failure | None] = {(W1, 443): TIMEOUT}
    assert seen(World(ports=shut, pages=dated(two=YEARS))).clock_offset == YEARS


def test_a_witness_that_is_cut_lives_all_the_same() -> None:
    """If handshakes with witnesses fail after a connection stood, the network is not down and the clock not wrong."""
    cut: dict[tuple[str, str | None], Failure | None] = {(a, n): Failure.CONNECTION_RESET for n, a in WITNESSES.items()}
    found = seen(World(hands=cut))
    assert (found.reason, found.witness_alive, found.clock_offset) == (None, True, None)


def test_witnesses_that_take_no_connection_are_dead_but_the_network_is_not() -> None:
    found = seen(World(ports=ALL_SHUT))
    assert (found.reason, found.witness_alive, found.resolver_alive) == (None, False, True)


def test_no_more_than_two_witnesses_are_asked() -> None:
    net = ScriptedNetwork(World())
    net.peers = replace(net.peers, witnesses=(*net.peers.witnesses, Witness("four.example")))
    asyncio.run(look(net, now=lambda: NOW))
    assert {o.address for o in net.observations if isinstance(o, TcpConnect)} == {W1, W2}


@given(st.text(max_size=60) | st.from_regex(r"(Mon, )?[0-9]{1,20} Jan [0-9]{1,20} [0-9:]{1,12} [-+A-Z0-9]{0,20}"))
def test_whatever_a_witness_says_of_the_time_nothing_is_raised(date: str) -> None:
    """If a hostile witness sends any Date at all, the look around ends with words."""
    found = seen(World(hands=EXPIRED, pages=dated(one=date, two=date)))
    assert found.reason in (None, "clock")
    assert (found.reason is None) == (found.clock_offset is not None)
