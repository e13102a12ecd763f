"""`dns` in scripted worlds: every view is asked, one certificate a view, and the proofs when ours is not the site's."""

from __future__ import annotations

from dataclasses import replace

import pytest

from measurements.model import DnsLookup, Failure, HttpExchange, Mechanism, Outcome, Purpose, TcpConnect, View
from tests.measurements.worlds import BESIDE, HOST, OPEN, SINK, SITE, TIMEOUT, Disruption, lie, play, said
from tests.scripted import LOCAL, TRUSTED, ScriptedNetwork, World

ASKED = {(LOCAL.address, rtype) for rtype in ("A", "AAAA", "HTTPS")} | {
    (resolver.address, rtype) for resolver in TRUSTED for rtype in ("A", "AAAA")
}


def looked(world: World, url: str = f"https://{HOST}/") -> ScriptedNetwork:
    return play(Disruption("", world, "", nettest="dns", url=url))[1]


def test_every_view_is_asked_and_one_address_proven_of_each_that_differs() -> None:
    net = looked(replace(OPEN, names={HOST: [SITE, BESIDE]}, answers=lie([[SITE]])))
    assert {(o.resolver, o.rtype) for o in net.observations if isinstance(o, DnsLookup)} == ASKED
    assert [(o.address, o.view) for o in net.observations if isinstance(o, TcpConnect)] == [
        (SITE, View.LOCAL),
        (BESIDE, View.TRUSTED),
    ]
    assert not [o for o in net.observations if isinstance(o, HttpExchange)]


def test_what_is_proven_is_not_followed_up() -> None:
    assert not [o for o in looked(OPEN).observations if o.purpose is not None]


@pytest.mark.parametrize(
    ("told", "mechanism"),
    [
        (Failure.DNS_NXDOMAIN, Mechanism.DNS_NXDOMAIN),
        (Failure.DNS_REFUSED, Mechanism.DNS_REFUSED),
        (Failure.NO_DNS_ANSWER, Mechanism.DNS_NO_ANSWER),
        ([["10.1.2.3"]], Mechanism.DNS_BOGON),
        ([[SINK], [SITE]], Mechanism.DNS_INJECTED),
    ],
)
def test_a_lie_is_followed_up_and_found(told: list[list[str]] | Failure, mechanism: Mechanism) -> None:
    world = replace(OPEN, answers=lie(told), seen=None)
    verdict = said(world, nettest="dns")
    assert (verdict.outcome, verdict.mechanism) == (Outcome.BLOCKED, mechanism)
    purposes = {o.purpose for o in looked(world).observations}
    assert {Purpose.HARMLESS_AT_RESOLVER, Purpose.REPETITION, Purpose.FIRST_HOP} <= purposes


@pytest.mark.parametrize("failure", [Failure.DNS_SERVFAIL, TIMEOUT])
def test_a_resolver_that_fails_is_not_accused(failure: Failure) -> None:
    assert said(replace(OPEN, answers=lie(failure), seen=None), nettest="dns").outcome is Outcome.UNREACHABLE


def test_a_name_that_nobody_knows_is_down() -> None:
    assert said(replace(OPEN, names={}, seen=None), nettest="dns").outcome is Outcome.DOWN


def test_an_address_is_no_name_and_is_shaken_hands_with_alone() -> None:
    net = looked(World(names={"x.example": [SITE]}), f"https://{SITE}/")
    assert not [o for o in net.observations if isinstance(o, DnsLookup) and o.purpose is None]
    assert [o.address for o in net.observations if isinstance(o, TcpConnect) and o.purpose is None] == [SITE]


def test_a_true_address_that_takes_no_connection_proves_no_lie() -> None:
    """If neither view's address shows a certificate, nothing tells which is true."""
    shut: dict[tuple[str, int], Failure | None] = {(SITE, 443): TIMEOUT, (SINK, 443): TIMEOUT}
    verdict = said(replace(OPEN, answers=lie([[SINK]]), ports=shut, seen=None), nettest="dns")
    assert verdict.outcome is Outcome.INCONCLUSIVE
