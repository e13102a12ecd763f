"""In what order the quic nettest asks, what it asks at all, and what it may cost."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest

from measurements.model import (
    ControlQuery,
    Failure,
    HttpExchange,
    Preconditions,
    Purpose,
    QuicHandshake,
    TcpConnect,
    TlsHandshake,
    View,
)
from measurements.reading import of
from measurements.targets import normalise
from probe.nettests import NETTESTS, quic
from tests.hurrying import hurry
from tests.measurements.quic_worlds import ADDRESS, BEYOND, HARMLESS, HOST, SERVERS, by_name, look, without_quic, world
from tests.scripted import WITNESSES, ScriptedNetwork

SIX = "2001:db8:1::10"


def test_it_is_registered() -> None:
    assert NETTESTS["quic"] is quic.measure


def test_an_open_site_is_asked_for_its_versions_first_and_nothing_is_followed_up() -> None:
    _, net = look(world())
    steps = of(QuicHandshake, net.observations)
    own = [s for s in steps if s.view is View.LOCAL]
    assert [(s.probe, s.address, s.name) for s in own] == [("versions", ADDRESS, None), ("handshake", ADDRESS, HOST)]
    assert own[0].cause == own[1].cause is not None
    [page] = [p for p in of(HttpExchange, net.observations) if p.http_version == "HTTP/3"]
    assert (page.cause, page.url) == (own[1].id, f"https://{HOST}/")
    assert [t.address for t in of(TcpConnect, net.observations) if t.view is View.LOCAL] == [ADDRESS]
    assert [t.name for t in of(TlsHandshake, net.observations) if t.view is View.LOCAL] == [HOST]
    assert not [o for o in net.observations if o.purpose is not None]
    assert [h.address for h in steps if h.view is View.CONTROL] == [ADDRESS]


def test_a_plain_site_is_asked_on_the_protected_port() -> None:
    _, net = look(world(), f"http://{HOST}/path")
    assert {s.port for s in of(QuicHandshake, net.observations) if s.view is View.LOCAL} == {443}
    assert [p.url for p in of(HttpExchange, net.observations) if p.http_version] == [f"https://{HOST}/path"]


def test_an_address_has_no_name_to_say() -> None:
    whole = world(names={}, quics={(ADDRESS, None): Failure.TIMEOUT})
    _, net = look(whole, f"https://{ADDRESS}/")
    hands = [h for h in of(QuicHandshake, net.observations) if h.probe == "handshake" and h.view is not View.CONTROL]
    assert hands
    assert {h.name for h in hands} == {None}
    assert not [h for h in hands if h.purpose in (Purpose.TARGET_AT_WITNESS, Purpose.HARMLESS_AT_TARGET)]


def test_a_failure_is_followed_up_harmless_name_first() -> None:
    whole = world(control=False)
    _, net = look(replace(whole, quics=by_name(whole)))
    steps = of(QuicHandshake, net.observations)
    for witness in WITNESSES.values():
        asked = [h.name for h in steps if h.address == witness and h.probe == "handshake"]
        assert asked[:2] == [HARMLESS, HOST]
    told = [h.address for h in steps if h.purpose is Purpose.WITNESS]
    assert sorted(told) == sorted(WITNESSES.values())
    beside = [h for h in steps if h.purpose is Purpose.HARMLESS_AT_TARGET]
    between = [h for h in steps if h.purpose in (Purpose.TARGET_AT_WITNESS, Purpose.REPETITION)]
    assert len(beside) == 2
    assert beside[0].id < min(h.id for h in between) <= max(h.id for h in between) < beside[1].id
    assert [h.name for h in steps if h.purpose is Purpose.REPETITION] == [HOST]
    [page] = [p for p in of(HttpExchange, net.observations) if p.purpose is Purpose.ANNOUNCEMENT]
    assert ("alt-svc", 'h3=":443"; ma=86400') in page.headers


def test_a_trace_goes_on_until_packets_die_and_tcp_goes_beside_it() -> None:
    _, net = look(without_quic(world(), *SERVERS, path=BEYOND, everywhere=BEYOND))
    hops = [o for o in net.observations if o.purpose is not None and o.purpose.value.startswith("trace")]
    ours = [h.ttl for h in hops if h.purpose is Purpose.TRACE_TARGET]  # type: ignore[union-attr]
    assert ours == sorted(ours)
    assert ours.count(3) == 2  # where it dies, it is sent once more
    assert all(later - earlier <= 1 for earlier, later in pairwise(ours))
    assert {h.probe for h in hops if h.purpose is Purpose.TRACE_PATH} == {"syn"}  # type: ignore[union-attr]


def test_only_witnesses_that_speak_quic_are_asked_about_names() -> None:
    whole = world()
    first, *others = WITNESSES.values()
    quiet = replace(whole, quics=by_name(whole), versions={ADDRESS: None, first: None})
    _, net = look(quiet)
    asked = {h.address for h in of(QuicHandshake, net.observations) if h.purpose is Purpose.TARGET_AT_WITNESS}
    assert asked == {first}
    assert others


def test_follow_ups_keep_to_their_allowance() -> None:
    _, net = look(without_quic(world(), *SERVERS, path=BEYOND, everywhere=BEYOND))
    asked = [o for o in net.observations if o.view is View.FOLLOW_UP and not hasattr(o, "resolver")]
    connections = [o for o in asked if not isinstance(o, HttpExchange | TlsHandshake)]
    assert len(connections) <= net.limits.follow_up_connections


def test_where_nothing_works_nothing_is_followed_up() -> None:
    whole = world()
    net = ScriptedNetwork(replace(whole, quics=by_name(whole)), preconditions=Preconditions(reason="offline"))
    hurry(quic.measure(normalise(f"https://{HOST}/"), net))
    assert not [o for o in net.observations if o.purpose is not None]


def test_a_name_without_an_address_ends_with_its_lookup() -> None:
    verdict, net = look(world(names={}))
    assert not of(QuicHandshake, net.observations) or {h.view for h in of(QuicHandshake, net.observations)} == {
        View.CONTROL
    }
    assert [q.endpoints for q in of(ControlQuery, net.observations)] == [()]
    assert verdict.outcome.value in ("inconclusive", "down")


@pytest.mark.parametrize("route", [True, False])
def test_ipv6_is_asked_where_there_is_a_route(route: bool) -> None:
    whole = world(names={HOST: [ADDRESS, SIX]})
    net = ScriptedNetwork(whole, preconditions=Preconditions(ipv4_route=True, ipv6_route=route))
    hurry(quic.measure(normalise(f"https://{HOST}/"), net))
    assert (SIX in {h.address for h in of(QuicHandshake, net.observations)}) is route
