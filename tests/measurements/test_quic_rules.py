"""What is said of QUIC, and what must not be."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from measurements.case import Case
from measurements.judge import judge
from measurements.model import (
    Failure,
    HttpExchange,
    Mechanism,
    Outcome,
    Pattern,
    Purpose,
    QuicHandshake,
    Trigger,
    Verdict,
    Where,
)
from measurements.proofs.quic import announced
from measurements.reading import Reading
from measurements.targets import normalise
from probe.nettests import quic, web
from tests.measurements.quic_worlds import (
    ADDRESS,
    AT_EXIT,
    AT_HOME,
    AT_SITE,
    BEYOND,
    HARMLESS,
    HIDDEN,
    HOST,
    SERVERS,
    SILENT,
    USUAL,
    Path,
    Paths,
    by_name,
    look,
    without_quic,
    world,
)
from tests.scripted import BOGONS, Page, ScriptedNetwork, World

BLOCKED = (Outcome.BLOCKED, Mechanism.QUIC_TIMEOUT)


@pytest.mark.parametrize("control", [True, False])
def test_an_open_site(control: bool) -> None:
    verdict, _ = look(world(control=control))
    assert (verdict.outcome, verdict.findings[0].rule) == (Outcome.ACCESSIBLE, "quic.accessible")
    assert verdict.pattern is None


def test_some_addresses_that_are_silent_make_it_partial() -> None:
    whole = world(names={HOST: [ADDRESS, "203.0.113.11"]})
    verdict, _ = look(whole)
    assert (verdict.outcome, verdict.pattern) == (Outcome.ACCESSIBLE, Pattern.PARTIAL)


@pytest.mark.parametrize("control", [True, False])
def test_a_name_that_gets_silence_everywhere_is_blocked(control: bool) -> None:
    whole = world(control=control)
    verdict, net = look(replace(whole, quics=by_name(whole)))
    assert (verdict.outcome, verdict.mechanism, verdict.trigger) == (*BLOCKED, Trigger.NAME)
    assert (verdict.where, verdict.pattern) == (Where.NETWORK, Pattern.ALWAYS)
    assert HOST in verdict.summary
    cited = {o.id: o for o in net.observations if o.id in verdict.findings[0].evidence}
    purposes = [o.purpose for o in cited.values() if isinstance(o, QuicHandshake)]
    assert purposes.count(Purpose.TARGET_AT_WITNESS) == purposes.count(Purpose.HARMLESS_AT_WITNESS) == 3


def test_a_name_is_blocked_by_the_first_router() -> None:
    whole = world()
    paths: Paths = {(ADDRESS, HOST): AT_HOME, (ADDRESS, HARMLESS): USUAL}
    verdict, _ = look(replace(whole, quics=by_name(whole), quic_paths=paths))
    assert (verdict.outcome, verdict.trigger, verdict.where) == (Outcome.BLOCKED, Trigger.NAME, Where.LOCAL)


def test_a_name_that_fails_at_its_own_address_only_is_blocked_where_its_packets_die() -> None:
    whole = world()
    silent = replace(whole, quics=by_name(whole, ADDRESS))
    assert look(silent)[0].outcome is Outcome.UNREACHABLE
    paths: Paths = {(ADDRESS, HOST): BEYOND, (ADDRESS, HARMLESS): USUAL}
    verdict, _ = look(replace(silent, quic_paths=paths))
    assert (verdict.outcome, verdict.mechanism, verdict.trigger) == (*BLOCKED, Trigger.NAME_AND_ADDRESS)
    assert verdict.where is Where.NETWORK


def test_a_name_refused_with_an_alert_accuses_nobody() -> None:
    whole = world()
    quics = {at: Failure.SSL_FAILED_HANDSHAKE if at[1] == HOST else what for at, what in whole.quics.items()}
    assert look(replace(whole, quics=quics))[0].outcome is Outcome.UNREACHABLE


def test_silence_for_the_name_of_a_site_that_does_not_offer_quic_accuses_nobody() -> None:
    """If nothing but the name's silence is known, a server may well ignore names that it does not serve by QUIC."""
    whole = world(control=False, announced=False)
    quiet = replace(whole, quics=by_name(whole), versions={a: None for a in SERVERS if a != ADDRESS})
    quiet = replace(quiet, quics={**quiet.quics, (ADDRESS, HARMLESS): SILENT})
    assert look(quiet)[0].outcome is Outcome.INCONCLUSIVE


@pytest.mark.parametrize("control", [True, False])
@pytest.mark.parametrize(
    ("path", "outcome", "where"),
    [
        (AT_HOME, Outcome.BLOCKED, Where.LOCAL),
        (AT_EXIT, Outcome.UNREACHABLE, None),  # the first router may drop on its way out
        (BEYOND, Outcome.BLOCKED, Where.NETWORK),
        (HIDDEN, Outcome.BLOCKED, Where.UNKNOWN),  # the second router may be the volunteer's too
        (AT_SITE, Outcome.UNREACHABLE, None),
        (USUAL, Outcome.UNREACHABLE, None),
    ],
)
def test_all_of_quic_is_dropped(path: Path, outcome: Outcome, where: Where | None, control: bool) -> None:
    verdict, _ = look(without_quic(world(control=control), *SERVERS, path=path, everywhere=path))
    assert (verdict.outcome, verdict.where) == (outcome, where)
    if outcome is Outcome.BLOCKED:
        assert (verdict.mechanism, verdict.trigger) == (Mechanism.QUIC_TIMEOUT, Trigger.PROTOCOL)
    else:
        assert "your own router" in verdict.summary


@pytest.mark.parametrize(("path", "outcome"), [(BEYOND, Outcome.BLOCKED), (AT_SITE, Outcome.UNREACHABLE)])
def test_quic_to_the_address_is_dropped(path: Path, outcome: Outcome) -> None:
    verdict, _ = look(without_quic(world(), ADDRESS, path=path))
    assert verdict.outcome is outcome
    if outcome is Outcome.BLOCKED:
        assert (verdict.mechanism, verdict.trigger, verdict.where) == (
            Mechanism.QUIC_TIMEOUT,
            Trigger.ADDRESS,
            Where.NETWORK,
        )


def test_a_site_without_quic() -> None:
    nobody = without_quic(world(announced=False, control_quics={ADDRESS: SILENT}), ADDRESS, path=AT_SITE)
    verdict, _ = look(nobody)
    assert (verdict.outcome, verdict.reason) == (Outcome.DOWN, "no_quic")
    verdict, _ = look(replace(nobody, seen=None))
    assert (verdict.outcome, verdict.reason) == (Outcome.INCONCLUSIVE, "no_control")
    verdict, _ = look(replace(nobody, control_quics={}))
    assert (verdict.outcome, verdict.reason) == (Outcome.INCONCLUSIVE, "unproven")


def test_a_site_that_announces_what_it_does_not_do() -> None:
    claims = without_quic(world(control_quics={ADDRESS: SILENT}), ADDRESS, path=AT_SITE)
    verdict, _ = look(claims)
    assert (verdict.outcome, verdict.reason) == (Outcome.DOWN, "no_quic")
    assert "though it announces" in verdict.summary
    verdict, _ = look(replace(claims, seen=None))
    assert verdict.outcome is Outcome.UNREACHABLE


def test_a_refusal_by_icmp_accuses_nobody() -> None:
    whole = world(versions={}, quics={(ADDRESS, HOST): Failure.CONNECTION_REFUSED})
    assert look(whole)[0].outcome is Outcome.UNREACHABLE
    whole = world(announced=False, control_quics={ADDRESS: Failure.CONNECTION_REFUSED}, versions={}, quics=whole.quics)
    assert look(whole)[0].outcome is Outcome.DOWN


def test_a_bad_certificate_over_quic_accuses_nobody() -> None:
    whole = world()
    quics = {**whole.quics, (ADDRESS, HOST): Failure.SSL_UNKNOWN_AUTHORITY}
    verdict, _ = look(replace(whole, quics=quics))
    assert verdict.outcome is Outcome.UNREACHABLE


def test_a_handshake_without_a_page() -> None:
    verdict, _ = look(world(pages={(ADDRESS, HOST): Failure.TIMEOUT}))
    assert (verdict.outcome, verdict.findings[0].rule) == (Outcome.UNREACHABLE, "quic.unreachable")


def test_what_works_when_tried_again_is_intermittent() -> None:
    class Once(ScriptedNetwork):
        async def quic(self, address: str, port: int, **given: Any) -> QuicHandshake:
            first = given.get("purpose") is None
            self.world = replace(self.world, quics={**world().quics, **({(ADDRESS, HOST): SILENT} if first else {})})
            return await super().quic(address, port, **given)

    net, target = Once(world()), normalise(f"https://{HOST}/")
    asyncio.run(quic.measure(target, net))
    verdict = judge(Case(measurement=net.measurement(target, "quic"), bogons=BOGONS))
    assert (verdict.outcome, verdict.reason) == (Outcome.INCONCLUSIVE, "intermittent")


def test_tls_may_be_blocked_while_quic_works() -> None:
    verdict, _ = look(world(hands={(ADDRESS, HOST): Failure.CONNECTION_RESET}))
    assert verdict.outcome is Outcome.ACCESSIBLE


def test_a_site_that_lives_for_nobody_over_tcp_accuses_nobody() -> None:
    whole = world(control=False, hands={(ADDRESS, HOST): Failure.CONNECTION_RESET})
    assert look(replace(whole, quics=by_name(whole)))[0].outcome is Outcome.UNREACHABLE


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ('h3=":443"; ma=86400', True),
        ('h3-29=":443", h3=":443"', True),
        ("h3=:443", True),
        (f'h3="{HOST}:443"', True),
        ('h3="other.example:443"', False),
        ('h3=":8443"', False),
        ('h3-29=":443"', False),
        ("clear", False),
        ("", False),
    ],
)
def test_what_announces_http3(value: str, expected: bool) -> None:
    whole = World(names={HOST: [ADDRESS]}, pages={(ADDRESS, HOST): Page(headers=(("Alt-Svc", value),))})
    _, net = look(whole)
    story = Reading(normalise(f"https://{HOST}/"), net.observations, net.is_private)
    assert bool(announced(story, story.legs[0])) is expected


# QUIC beside TCP, in `web`


def web_look(whole: World, *, full: bool = True) -> tuple[Verdict, ScriptedNetwork]:
    net, target = ScriptedNetwork(whole), normalise(f"https://{HOST}/")
    net.full_body = full
    asyncio.run(web.measure(target, net))
    return judge(Case(measurement=net.measurement(target, "web"), bogons=BOGONS)), net


def test_web_asks_by_quic_for_what_announces_it() -> None:
    verdict, net = web_look(world())
    assert verdict.outcome is Outcome.ACCESSIBLE
    assert "QUIC" not in verdict.summary
    [hands] = [o for o in net.observations if isinstance(o, QuicHandshake)]
    [page] = [o for o in net.observations if isinstance(o, HttpExchange) and o.cause == hands.id]
    assert (hands.address, hands.failure, page.http_version) == (ADDRESS, None, "HTTP/3")


@pytest.mark.parametrize("failed", [{"quics": {}}, {"quics": {(ADDRESS, HOST): Failure.SSL_UNKNOWN_AUTHORITY}}])
def test_web_tells_of_quic_that_does_not_answer_and_accuses_nobody(failed: dict[str, Any]) -> None:
    verdict, _ = web_look(world(**failed))
    assert (verdict.outcome, verdict.mechanism) == (Outcome.ACCESSIBLE, None)
    assert [f.rule for f in verdict.findings] == ["site.accessible", "quic.unanswered"]
    assert "QUIC brought no page" in verdict.summary


def test_web_leaves_quic_alone_where_nobody_announces_it_and_in_routine() -> None:
    for whole, full in ((world(announced=False), True), (world(), False)):
        verdict, net = web_look(whole, full=full)
        assert verdict.outcome is Outcome.ACCESSIBLE
        assert not [o for o in net.observations if isinstance(o, QuicHandshake)]


def test_web_leaves_quic_alone_where_the_site_does_not_open() -> None:
    verdict, net = web_look(world(hands={(ADDRESS, HOST): Failure.CONNECTION_RESET}))
    assert verdict.outcome is Outcome.UNREACHABLE
    assert not [o for o in net.observations if isinstance(o, QuicHandshake)]
