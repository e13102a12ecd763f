"""Names and addresses that follow-up steps are made of."""

from __future__ import annotations

import asyncio
import ipaddress
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from measurements.model import DnsLookup, Preconditions, Purpose
from probe.follow_up.traces import neighbour_of
from probe.steps import candidates, endpoint, find_address, harmless_name
from tests.scripted import LOCAL, TRUSTED, WITNESSES, ScriptedNetwork, World

LABEL = st.from_regex(r"\A[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\Z")


@pytest.mark.parametrize("length", range(1, 254))
def test_a_harmless_name_is_as_long_and_valid(length: int) -> None:
    """If a name has any length that DNS allows, its harmless twin has the same and only labels that DNS allows."""
    name = ".".join(["a" * 63] * 4)[:length].removesuffix(".") or "a"
    name += "b" * (length - len(name))
    harmless = harmless_name(name)
    assert len(harmless) == len(name) == length
    assert harmless != name
    assert all(1 <= len(label) <= 63 for label in harmless.split("."))
    assert length <= len(".test") or harmless.endswith((".example", ".test"))
    assert harmless not in WITNESSES


@given(st.lists(LABEL, min_size=1, max_size=4).map(".".join).filter(lambda name: len(name) <= 253))
def test_a_harmless_name_is_never_the_name_itself(name: str) -> None:
    assert len(harmless_name(name)) == len(name)
    assert harmless_name(name) != name


@pytest.mark.parametrize("name", ["w", "ww", "www", "w.test", "www.test", "www.example", harmless_name("a" * 200)])
def test_a_name_that_looks_harmless_gets_another(name: str) -> None:
    """If the name is what the harmless one would be, it gets one that differs."""
    assert harmless_name(name) != name
    assert len(harmless_name(name)) == len(name)


@given(st.ip_addresses(), st.sets(st.integers(-3, 3), max_size=2))
def test_a_neighbour_is_beside_and_not_one_of_the_sites_own(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address, offsets: set[int]
) -> None:
    """If the site has several addresses side by side, the neighbour is another, in the same prefix."""
    prefix = ipaddress.ip_network((address, 24 if address.version == 4 else 64), strict=False)
    first = int(prefix.network_address)
    numbers = [int(address) + offset for offset in offsets]
    taken = {str(address), *(str(prefix[n - first]) for n in numbers if 0 <= n - first < prefix.num_addresses)}
    beside = ipaddress.ip_address(neighbour_of(str(address), taken))
    assert beside in prefix
    assert str(beside) not in taken


def test_an_endpoint_is_one_word() -> None:
    assert endpoint("192.0.2.1", 443) == "192.0.2.1:443"
    assert endpoint("2001:db8::1", 443) == "[2001:db8::1]:443"


def found(net: ScriptedNetwork, name: str, rtype: str | None = None) -> str | None:
    return asyncio.run(find_address(net, name, rtype))


def test_a_peer_is_found_by_whoever_answers_first_in_trust() -> None:
    net = ScriptedNetwork(World(answers={(LOCAL.address, "one.example"): [["203.0.113.9"]]}))
    assert found(net, "one.example") == WITNESSES["one.example"]
    assert {o.purpose for o in net.observations} == {Purpose.WITNESS}
    lied = ScriptedNetwork(World(answers={(TRUSTED[0].address, "one.example"): [["10.0.0.1"]]}))
    assert found(lied, "one.example") == WITNESSES["one.example"]
    assert found(ScriptedNetwork(World()), "nobody.example") is None


def test_with_ipv6_alone_a_peer_is_found_there() -> None:
    net = ScriptedNetwork(World(answers={(TRUSTED[0].address, "one.example"): [["192.0.2.1", "2001:db8::1"]]}))
    net.preconditions = Preconditions(ipv4_route=False, ipv6_route=True)
    assert found(net, "one.example") == "2001:db8::1"
    assert found(net, "one.example", "A") == "192.0.2.1"
    net.peers = replace(net.peers, local=None, trusted=())
    assert found(net, "one.example") is None


def given_addresses(net: ScriptedNetwork, *addresses: str) -> list[str]:
    """Which of the addresses that our resolver gives are tried."""
    net.world = World(answers={(LOCAL.address, "site.example"): [list(addresses)]})

    async def ask() -> list[DnsLookup]:
        return [await net.lookup("site.example", rtype, LOCAL) for rtype in ("A", "AAAA")]

    return [c.address for c in candidates(net, "site.example", asyncio.run(ask()))]


@pytest.mark.parametrize(
    ("before", "tried"),
    [
        (Preconditions(ipv6_route=True), ["203.0.113.1", "2001:db8::1"]),
        (Preconditions(ipv6_route=True, ipv6_alive=True), ["203.0.113.1", "2001:db8::1"]),
        (Preconditions(ipv6_route=True, ipv6_alive=False), ["203.0.113.1"]),
        (Preconditions(ipv6_route=False), ["203.0.113.1"]),
    ],
    ids=["not-looked", "works", "leads-nowhere", "no-route"],
)
def test_ipv6_is_tried_where_it_leads_somewhere(before: Preconditions, tried: list[str]) -> None:
    net = ScriptedNetwork(World(), preconditions=before)
    assert given_addresses(net, "203.0.113.1", "2001:db8::1") == tried


def test_an_address_that_a_translator_made_up_is_the_one_inside() -> None:
    net = ScriptedNetwork(World(), preconditions=Preconditions(ipv4_route=False, ipv6_route=True, nat64="64:ff9b::/96"))
    assert given_addresses(net, "203.0.113.1", "64:ff9b::cb00:7101", "2001:db8::1") == ["203.0.113.1", "2001:db8::1"]
    assert found(net, "one.example") == WITNESSES["one.example"]
