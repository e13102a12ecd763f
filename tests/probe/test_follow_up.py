"""What is followed up when something failed, and how much of it is allowed."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from measurements.model import (
    DnsLookup,
    Failure,
    Hop,
    HttpExchange,
    Outcome,
    Preconditions,
    Purpose,
    TcpConnect,
    TlsHandshake,
)
from probe.network import Witness
from probe.steps import harmless_name
from tests.measurements.blocked_worlds import BLOCKED
from tests.measurements.worlds import HOST, OPEN, RESET, SITE, SIX, TIMEOUT, Disruption, at_witnesses, cut_at, lie, play
from tests.scripted import LOCAL, TRUSTED, WITNESSES, Page, ScriptedNetwork, World


def test_follow_ups_keep_their_allowance() -> None:
    """If much fails, no more than the allowed connections are opened for the follow-up."""
    for disruption in BLOCKED:
        _, net = play(disruption)
        opened = [o for o in net.observations if isinstance(o, TcpConnect | Hop) and o.purpose is not None]
        assert len(opened) <= net.limits.follow_up_connections, disruption.name
        assert "follow_up" not in net.spent.limits, f"{disruption.name}: what was found used up the allowance"


class TakingTime(ScriptedNetwork):
    """Connections that others may be asked for before they end."""

    async def connect(self, *args: Any, **kwargs: Any) -> TcpConnect:
        await asyncio.sleep(0.001)
        return await super().connect(*args, **kwargs)

    async def hop(self, *args: Any, **kwargs: Any) -> Hop:
        await asyncio.sleep(0.001)
        return await super().hop(*args, **kwargs)


@pytest.mark.parametrize("allowance", [1, 5, 8, 20])
@pytest.mark.parametrize("disruption", BLOCKED, ids=lambda d: d.name)
def test_steps_side_by_side_share_one_allowance(disruption: Disruption, allowance: int) -> None:
    """If steps are taken side by side, those under way count too."""
    net = TakingTime(disruption.world, preconditions=disruption.preconditions)
    net.limits = replace(net.limits, follow_up_connections=allowance)
    play(disruption, net)
    opened = [o for o in net.observations if isinstance(o, TcpConnect | Hop) and o.purpose is not None]
    assert len(opened) <= allowance


def played(world: World, url: str = f"https://{HOST}/", *names: str, **peers: Any) -> ScriptedNetwork:
    """Measure a site in a world in which other peers are known; `names` are the witnesses, when any are given."""
    net = ScriptedNetwork(world)
    net.peers = replace(net.peers, **peers)
    if names:
        net.peers = replace(net.peers, witnesses=tuple(Witness(name) for name in names))
    play(Disruption("", world, "", url=url), net)
    return net


def addresses(net: ScriptedNetwork, purpose: Purpose) -> list[str]:
    """Where connections for a purpose went."""
    return [o.address for o in net.observations if isinstance(o, TcpConnect) and o.purpose is purpose]


CUT = replace(OPEN, hands=at_witnesses(RESET), seen=None)
W1, W2, W3 = WITNESSES.values()


@pytest.mark.parametrize(
    ("names", "servers"),
    [
        (("one.example", "two.example", "three.example"), [W1, W2, W3]),
        (("one.example", "two.example"), [W1, W1, W2]),
        (("one.example",), [W1, W1, W1]),
        (("one.example", "nobody.example", "two.example", "three.example"), [W1, W2, W3]),
        (("nobody.example", "nowhere.example", "none.example", "one.example"), []),
        ((HOST, "one.example"), [W1, W1, W1]),
    ],
    ids=["three", "two", "one", "one-of-four-gone", "three-in-a-row-gone", "one-is-the-target"],
)
def test_three_pairs_are_tried_on_as_many_witnesses_as_there_are(names: tuple[str, ...], servers: list[str]) -> None:
    """If witnesses are missing, the others stand in; if none answers, no pair is tried and nobody is accused."""
    net = played(CUT, f"https://{HOST}/", *names)
    assert sorted(addresses(net, Purpose.TARGET_AT_WITNESS)) == servers
    harmless = [o for o in net.observations if isinstance(o, TlsHandshake) and o.purpose is Purpose.HARMLESS_AT_WITNESS]
    assert sorted(o.address for o in harmless) == servers
    assert {o.name for o in harmless} <= {harmless_name(HOST)}


def test_a_witness_at_the_sites_own_address_is_none() -> None:
    """If a witness is served from where the site is, it is not unrelated."""
    related = replace(CUT, names={HOST: [W1]}, hands={(W1, HOST): RESET})
    assert W1 not in addresses(played(related), Purpose.TARGET_AT_WITNESS)


def test_a_witness_that_is_measured_itself_bears_no_witness() -> None:
    """A placebo is a witness as a rule: neither its servers nor its answers may speak for it."""
    cut = World(names={}, hands={("192.0.2.1", "one.example"): RESET})
    net = played(cut, "https://one.example/")
    assert set(addresses(net, Purpose.TARGET_AT_WITNESS)) == {W2, W3}
    lied_to = World(names={}, answers={(LOCAL.address, "one.example"): Failure.DNS_SERVFAIL})
    net = played(lied_to, "https://one.example/")
    asked = [o.name for o in net.observations if isinstance(o, DnsLookup)]
    beside = [
        o.name for o in net.observations if isinstance(o, DnsLookup) and o.purpose is Purpose.HARMLESS_AT_RESOLVER
    ]
    assert "one.example" in asked
    assert beside == ["two.example", "three.example"]


def test_a_witness_that_takes_no_harmless_name_is_not_asked_for_the_name() -> None:
    net = played(replace(CUT, hands={**CUT.hands, (W2, harmless_name(HOST)): Failure.SSL_FAILED_HANDSHAKE}))
    assert set(addresses(net, Purpose.TARGET_AT_WITNESS)) == {W1, W3}
    assert len(addresses(net, Purpose.TARGET_AT_WITNESS)) == 3


class Tiring(ScriptedNetwork):
    """A witness that takes the harmless name once and no more."""

    async def handshake(self, over: Any, **kwargs: Any) -> Any:
        tls = await super().handshake(over, **kwargs)
        if kwargs.get("purpose") is Purpose.HARMLESS_AT_WITNESS:
            self.world.hands = {**self.world.hands, (over.address, kwargs["name"]): TIMEOUT}
        return tls


def test_a_witness_that_stops_taking_the_harmless_name_is_left_alone() -> None:
    net = Tiring(replace(CUT))
    net.peers = replace(net.peers, witnesses=(Witness("one.example"),))
    verdict, _ = play(Disruption("", CUT, ""), net)
    assert addresses(net, Purpose.TARGET_AT_WITNESS) == [W1]
    assert verdict.outcome is not Outcome.BLOCKED


def test_the_harmless_name_is_tried_first_and_last_at_the_site() -> None:
    net = played(CUT)
    order = [o.purpose for o in net.observations if isinstance(o, TlsHandshake) and o.address == SITE and o.purpose]
    assert order[0] is order[-1] is Purpose.HARMLESS_AT_TARGET
    assert Purpose.REPETITION in order
    assert Purpose.OTHER_HELLO in order


def test_an_ipv6_site_is_traced_beside_ipv6_witnesses() -> None:
    """If the site's address is of IPv6, the router before it is looked for on the way to witnesses of IPv6."""
    six = {name: f"2001:db8:{i}::1" for i, name in enumerate(WITNESSES, 20)}
    given: dict[tuple[str, str], list[list[str]] | Failure] = {
        (resolver.address, name): [[WITNESSES[name], six[name]]] for resolver in TRUSTED for name in WITNESSES
    }
    world = World(
        names={HOST: [SIX]},
        answers=given,
        ports={(SIX, port): TIMEOUT for port in (80, 443)},
        paths={(SIX, None): cut_at(3, "silence")},
        seen=Page(),
    )
    world.control_ports = {(SIX, 443): None}
    net = ScriptedNetwork(world)
    net.preconditions = Preconditions(ipv4_route=True, ipv6_route=True)
    verdict, _ = play(Disruption("", world, ""), net)
    traced = {o.address for o in net.observations if isinstance(o, Hop) and o.purpose is Purpose.TRACE_WITNESS}
    assert traced == {six["one.example"]}
    assert (verdict.outcome, verdict.mechanism) == (Outcome.BLOCKED, "tcp.timeout")


@pytest.mark.parametrize("known", [True, False], ids=["witnesses-of-ipv6", "none"])
def test_a_name_that_is_cut_over_ipv6_is_tried_at_witnesses_of_ipv6(known: bool) -> None:
    """If a censor reads IPv6 alone, the pairs go over it too; where witnesses have none, over what they have."""
    six = {name: f"2001:db8:{i}::1" for i, name in enumerate(WITNESSES, 20)}
    given: dict[tuple[str, str], list[list[str]] | Failure] = {
        (resolver.address, name): [[WITNESSES[name], six[name]]] for resolver in TRUSTED for name in WITNESSES if known
    }
    cut: dict[tuple[str, str | None], Failure | None] = {(address, HOST): RESET for address in (SIX, *six.values())}
    ports: dict[tuple[str, int], Failure | None] = {(address, 443): None for address in six.values()}
    net = ScriptedNetwork(World(names={HOST: [SIX]}, answers=given, hands=cut, ports=ports, seen=Page()))
    net.preconditions = Preconditions(ipv4_route=True, ipv6_route=True)
    verdict, _ = play(Disruption("", net.world, ""), net)
    assert set(addresses(net, Purpose.TARGET_AT_WITNESS)) == set(six.values() if known else WITNESSES.values())
    assert verdict.outcome is (Outcome.BLOCKED if known else Outcome.UNREACHABLE)


def test_resolvers_without_an_address_of_their_own_are_not_asked_in_plain() -> None:
    """If trusted resolvers are known by name alone, no question goes out over plain DNS to them."""
    names = tuple(replace(r, address=f"https://{n}/dns-query") for n, r in zip("ab", TRUSTED, strict=True))
    net = played(replace(OPEN, answers=lie(TIMEOUT)), trusted=names)
    asked = [o for o in net.observations if isinstance(o, DnsLookup) and o.protocol == "udp"]
    assert Purpose.FIRST_HOP not in {o.purpose for o in asked}
    assert Purpose.TARGET_AT_WITNESS not in {o.purpose for o in asked}


def test_without_a_resolver_of_ours_none_is_asked_again() -> None:
    net = played(replace(OPEN, ports={(SITE, 443): TIMEOUT}), local=None)
    asked = {o.purpose for o in net.observations if isinstance(o, DnsLookup)}
    assert not {Purpose.HARMLESS_AT_RESOLVER, Purpose.REPETITION} & asked


def test_an_address_has_no_name_that_could_be_meant() -> None:
    """If the target is an address, no harmless name is tried beside it, and no packet is sent for its name."""
    world = World(names={"x.example": [SITE]}, pages={(SITE, SITE): RESET}, seen=None)
    for url in (f"http://{SITE}/", f"https://{SITE}/"):
        net = played(replace(world, hands={(SITE, None): RESET}), url)
        named = {Purpose.HARMLESS_AT_TARGET, Purpose.TARGET_AT_WITNESS, Purpose.HARMLESS_AT_WITNESS}
        assert not named & {o.purpose for o in net.observations}
        assert Purpose.REPETITION in {o.purpose for o in net.observations}


def test_a_path_without_an_end_is_followed_no_further_than_allowed() -> None:
    """If every packet meets a router, tracing stops at the limit of hops, or of connections."""
    endless: dict[int, tuple[str, str | None]] = {ttl: ("expired", f"198.51.100.{ttl}") for ttl in range(1, 60)}
    net = ScriptedNetwork(replace(OPEN, ports={(SITE, 443): TIMEOUT}, paths={(SITE, None): endless}))
    net.limits = replace(net.limits, max_hops=7)
    play(Disruption("", net.world, ""), net)
    ttls = [o.ttl for o in net.observations if isinstance(o, Hop) and o.purpose is Purpose.TRACE_TARGET]
    assert ttls == list(range(1, 8))


def test_a_path_that_falls_silent_is_not_asked_for_ever() -> None:
    """If nothing answers from some distance on, three silences are enough."""
    net = played(replace(OPEN, ports={(SITE, 443): TIMEOUT}, paths={(SITE, None): cut_at(4, "silence")}))
    met = [o.ttl for o in net.observations if isinstance(o, Hop) and o.purpose is Purpose.TRACE_TARGET]
    assert max(met) <= 6


def test_what_our_own_machine_cut_is_not_followed_up() -> None:
    """If a handshake was cut by this machine's own deadline, nobody is asked about it."""
    net = played(replace(OPEN, hands={(SITE, HOST): Failure.INTERRUPTED}))
    assert not [o for o in net.observations if o.purpose is not None]


def test_the_time_and_bytes_of_following_up_are_bounded() -> None:
    """If as many bytes were spent as are allowed, no connection is opened any more, and that is recorded."""

    class Heavy(ScriptedNetwork):
        async def connect(self, *args: Any, **kwargs: Any) -> TcpConnect:
            self.spent.received += 60_000
            return await super().connect(*args, **kwargs)

    net = Heavy(CUT)
    play(Disruption("", CUT, ""), net)
    opened = [o for o in net.observations if isinstance(o, TcpConnect | Hop) and o.purpose is not None]
    assert len(opened) < 20
    assert net.spent.received <= net.limits.follow_up_bytes + 5 * 60_000
    assert net.spent.limits == ["follow_up"]


def test_what_was_asked_first_is_asked_again() -> None:
    """If a page deep in the site failed, witnesses are asked for the same, and harmless names for a harmless path."""
    url = f"http://{HOST}/deep/page?id=7"
    net = played(replace(OPEN, pages={(a, HOST): RESET for a in (SITE, W1, W2, W3)}, seen=None), url)
    pages = {(o.purpose, o.url) for o in net.observations if isinstance(o, HttpExchange) and o.purpose}
    assert {u for purpose, u in pages if purpose is Purpose.TARGET_AT_WITNESS} == {url}
    assert {u for purpose, u in pages if purpose is Purpose.HARMLESS_AT_WITNESS} == {
        f"http://{harmless_name(HOST)}/wwww/wwww?wwww"
    }


def test_a_page_behind_a_good_handshake_is_asked_again_under_the_name() -> None:
    """If the handshake was good and the request died, handshakes and requests are tried as pairs."""
    net = played(replace(OPEN, pages={(a, HOST): RESET for a in (SITE, W1, W2, W3)}))
    pages = [o for o in net.observations if isinstance(o, HttpExchange) and o.purpose is Purpose.HARMLESS_AT_WITNESS]
    assert {o.url for o in pages} == {f"https://{harmless_name(HOST)}/"}
    hello = [o for o in net.observations if isinstance(o, Hop) and o.purpose is Purpose.TRACE_TARGET]
    assert {o.probe for o in hello} <= {"hello", "syn"}
