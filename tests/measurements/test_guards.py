"""One more fact that clears everybody, beside the same facts without it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from msgspec import structs

from measurements.judge import Case, judge
from measurements.model import Failure, HttpExchange, Mechanism, Outcome, Proof, Purpose, TcpConnect, Verdict
from measurements.targets import normalise
from tests.measurements.worlds import (
    ALL,
    BESIDE,
    BLOCK,
    HOST,
    IN_CLEAR,
    OPEN,
    RESET,
    SINK,
    SITE,
    TIMEOUT,
    W1,
    W2,
    Disruption,
    H,
    Hands,
    Paths,
    by_rule,
    cut_at,
    lie,
    play,
    said,
)
from tests.scripted import BOGONS, TRUSTED, Page, ScriptedNetwork, World

ALONE = {(resolver.address, HOST): TIMEOUT for resolver in TRUSTED}
BROKEN = replace(OPEN, pages={(address, HOST): RESET for address in ALL})
DROPPED = replace(OPEN, ports={(SITE, 443): TIMEOUT, (SITE, 80): TIMEOUT}, paths={(SITE, None): cut_at(3, "silence")})


class Recovering(ScriptedNetwork):
    """What failed at the site works when it is tried again."""

    async def connect(self, address: str, port: int, **kwargs: Any) -> TcpConnect:
        if kwargs.get("purpose") is Purpose.REPETITION:
            self.world.ports = {**self.world.ports, (SITE, port): None}
        return await super().connect(address, port, **kwargs)

    async def exchange(self, over: Any, url: str, **kwargs: Any) -> HttpExchange:
        if kwargs.get("purpose") is Purpose.REPETITION:
            self.world.pages = {**self.world.pages, (SITE, HOST): Page()}
        return await super().exchange(over, url, **kwargs)


# Requests in clear


def test_requests_that_fail_everywhere_for_a_dead_site_accuse_nobody() -> None:
    assert said(BROKEN, IN_CLEAR).mechanism is Mechanism.HTTP_RESET
    dead = replace(BROKEN, pages={**BROKEN.pages, (SITE, H): RESET}, seen=TIMEOUT)
    assert by_rule(said(dead, IN_CLEAR)) == ("down", "site.down")


def test_a_request_that_works_when_tried_again_accuses_nobody_unless_witnesses_are_many() -> None:
    """If it was cut at the site and works there again, three witnesses are not enough, and four say: in part."""
    alone = replace(BROKEN, pages={(SITE, HOST): RESET})
    verdict, _ = play(Disruption("", alone, "", url=IN_CLEAR), Recovering(replace(alone)))
    assert (verdict.outcome, verdict.reason) == (Outcome.INCONCLUSIVE, "intermittent")
    verdict, net = play(Disruption("", BROKEN, "", url=IN_CLEAR), Recovering(replace(BROKEN)))
    assert (verdict.outcome, verdict.pattern) == (Outcome.BLOCKED, "partial")
    steps = [o for o in net.observations if o.purpose is Purpose.TARGET_AT_WITNESS]
    late = {o.id for o in steps[6:]}  # a connection and a request each: those after the third
    three = replace_steps(net, late)
    assert (three.outcome, three.reason) == (Outcome.INCONCLUSIVE, "intermittent")


def replace_steps(net: ScriptedNetwork, without: set[int]) -> Verdict:
    """Judge the same measurement without some of its steps."""
    whole = net.measurement(normalise(IN_CLEAR), "web")
    rest = tuple(o for o in whole.observations if o.id not in without)
    return judge(Case(measurement=structs.replace(whole, observations=rest), bogons=BOGONS))


def test_requests_that_fail_in_several_ways_are_not_one_block() -> None:
    """If the site resets and one witness is silent, or brings a page each time, nothing treats the name alike."""
    for other, outcome in ((TIMEOUT, Outcome.UNREACHABLE), (Page(), Outcome.INCONCLUSIVE)):
        mixed = replace(BROKEN, pages={**BROKEN.pages, (W1, HOST): other})
        assert said(mixed, IN_CLEAR).outcome is outcome


@pytest.mark.parametrize(
    ("paths", "words"),
    [
        ({}, "at unrelated servers too"),
        ({(SITE, HOST): cut_at(1, "reset")}, "the first router"),
        ({(SITE, HOST): cut_at(3, "reset")}, "at hop 3"),
    ],
)
def test_the_words_say_what_was_shown_of_a_request(paths: Paths, words: str) -> None:
    world = replace(BROKEN, paths=paths)
    assert words in said(world, IN_CLEAR).summary
    assert said(world, IN_CLEAR).confidence == ("confirmed" if paths else "likely")
    alone = said(replace(world, pages={(SITE, HOST): RESET}), IN_CLEAR)
    assert "unrelated servers" not in alone.summary


def test_witnesses_are_the_better_proof_than_a_silence_for_a_request_too() -> None:
    path: Paths = {(SITE, HOST): cut_at(3, "silence")}
    everywhere = replace(OPEN, pages={(address, HOST): TIMEOUT for address in ALL}, paths=path)
    assert said(everywhere, IN_CLEAR).findings[0].proof is Proof.ELSEWHERE
    alone = said(replace(everywhere, pages={(SITE, HOST): TIMEOUT}), IN_CLEAR)
    assert (alone.mechanism, alone.findings[0].proof) == (Mechanism.HTTP_TIMEOUT, Proof.SHORT)


def test_a_page_from_everywhere_for_a_dead_site_accuses_nobody() -> None:
    """If nothing shows that the site lives, a strange page in its name keeps nothing from us."""
    strange = replace(OPEN, pages={(address, HOST): BLOCK for address in ALL})
    assert said(strange, IN_CLEAR).mechanism is Mechanism.HTTP_BLOCKPAGE
    dead = replace(strange, pages={**strange.pages, (SITE, H): RESET}, seen=TIMEOUT)
    assert said(dead, IN_CLEAR).outcome is not Outcome.BLOCKED


def test_a_strange_page_and_a_strange_redirect_are_named_apart() -> None:
    page = said(replace(OPEN, pages={(address, HOST): BLOCK for address in ALL}), IN_CLEAR)
    there = Page(302, b"", None, "ftp://notice.example/")
    redirect = said(replace(OPEN, pages={(address, HOST): there for address in ALL}), IN_CLEAR)
    assert (page.mechanism, redirect.mechanism) == (Mechanism.HTTP_BLOCKPAGE, Mechanism.HTTP_REDIRECT)
    assert "a page that is not the site's" in page.summary
    assert "a redirect to ftp://notice.example/" in redirect.summary


def test_a_page_under_a_bad_certificate_is_not_judged_as_one_in_clear() -> None:
    hands: Hands = {(SITE, HOST): Failure.SSL_INVALID_HOSTNAME}
    verdict = said(replace(OPEN, hands=hands, pages={(SITE, HOST): BLOCK}))
    assert not [finding for finding in verdict.findings if finding.rule.startswith("http.")]


def test_a_refusal_in_clear_is_the_sites_only_when_all_speaks_for_it() -> None:
    """If no witness was asked, another answers at its address, or it is an unknown address, nobody is named."""
    no = {(SITE, HOST): Page(403, b"no entry", "No entry"), (SITE, H): Page(403, b"no entry", "No entry")}
    clear = replace(OPEN, pages=no, seen=None)
    assert by_rule(said(clear, IN_CLEAR)) == ("server_side", "http.in_clear")
    alone, net = Disruption("", clear, "", url=IN_CLEAR), ScriptedNetwork(clear)
    net.peers = replace(net.peers, witnesses=())
    assert play(alone, net)[0].outcome is Outcome.INCONCLUSIVE
    answered = replace(clear, paths={(SITE, None): cut_at(2, "open")}, hands={(SITE, HOST): RESET})
    assert said(answered, IN_CLEAR).outcome is Outcome.INCONCLUSIVE
    unknown = replace(clear, answers=lie([[SITE]]) | ALONE)
    assert said(unknown, IN_CLEAR).outcome is Outcome.INCONCLUSIVE


def test_a_page_in_clear_at_an_address_that_was_asked_for_needs_no_other_view() -> None:
    """If the target is an address, no lookup can have lied about it; without witnesses' word it is still open."""
    world = World(names={"x.example": [SITE]}, pages={(SITE, SITE): Page()}, seen=Page())
    assert said(world, f"http://{SITE}/").outcome is Outcome.ACCESSIBLE


# Connections


def test_a_connection_that_stands_when_tried_again_accuses_nobody() -> None:
    verdict, _ = play(Disruption("", DROPPED, ""), Recovering(replace(DROPPED)))
    assert (verdict.outcome, verdict.reason) == (Outcome.INCONCLUSIVE, "intermittent")
    assert said(DROPPED).mechanism is Mechanism.TCP_TIMEOUT


def test_one_address_that_takes_connections_clears_the_path_to_the_others() -> None:
    """If one of two addresses is reached and only its handshake fails, connections are not what is stopped."""
    two = replace(DROPPED, names={HOST: [SITE, BESIDE]}, hands={(BESIDE, HOST): RESET})
    assert "tcp.blocked" not in {finding.rule for finding in said(two).findings}
    both = replace(two, ports={**two.ports, (BESIDE, 443): TIMEOUT})
    assert by_rule(said(both)) == ("blocked", "tcp.blocked")


def test_packets_to_where_only_our_resolver_leads_may_die_anywhere() -> None:
    """If the address is an old one of somebody's, what stops packets to it stops nobody from the site."""
    old = replace(OPEN, answers=lie([[SINK]]), ports={(SINK, 443): TIMEOUT}, paths={(SINK, None): cut_at(3, "silence")})
    assert by_rule(said(old)) == ("unreachable", "dns.stale")


@pytest.mark.parametrize(
    ("ttl", "answer", "words"),
    [(3, "silence", "die at hop 3"), (3, "reset", "answered by another at hop 3"), (1, "silence", "the first router")],
)
def test_the_words_say_how_connections_end(ttl: int, answer: str, words: str) -> None:
    failure = TIMEOUT if answer == "silence" else Failure.CONNECTION_REFUSED
    ports = dict.fromkeys(DROPPED.ports, failure)
    assert words in said(replace(DROPPED, ports=ports, paths={(SITE, None): cut_at(ttl, answer)})).summary


def test_a_failure_of_no_kind_accuses_nobody() -> None:
    """If connections end in a way that has no name among mechanisms, they are an anomaly."""
    odd = dict.fromkeys(DROPPED.ports, Failure.ADDRESS_NOT_AVAILABLE)
    assert by_rule(said(replace(DROPPED, ports=odd))) == ("unreachable", "site.unreachable")


# The site


def test_an_address_that_shows_the_certificate_here_is_not_down() -> None:
    """If a trusted address shakes hands well with us, a control's failure does not mean that the site is down."""
    moved = World(names={HOST: [SITE, BESIDE]}, answers=lie([[SITE]]), ports={(SITE, 443): TIMEOUT}, seen=TIMEOUT)
    assert said(moved).outcome is not Outcome.DOWN
    assert said(replace(moved, ports={**moved.ports, (BESIDE, 443): TIMEOUT})).outcome is Outcome.DOWN


def test_a_page_in_clear_that_the_control_does_not_get_is_not_down() -> None:
    """If we got a page, whoever made it, the site is not down; if not, it is."""
    assert said(replace(OPEN, seen=TIMEOUT), IN_CLEAR).outcome is not Outcome.DOWN
    assert said(replace(OPEN, pages={(SITE, HOST): TIMEOUT}, seen=TIMEOUT), IN_CLEAR).outcome is Outcome.DOWN


def test_one_good_certificate_clears_the_site_of_a_bad_one() -> None:
    hands: Hands = {(SITE, HOST): Failure.SSL_INVALID_CERTIFICATE}
    two = World(names={HOST: [SITE, BESIDE]}, hands=hands, pages={(BESIDE, HOST): RESET}, seen=Page())
    two.control_hands = {SITE: Failure.SSL_INVALID_CERTIFICATE}
    assert "site.certificate" not in {finding.rule for finding in said(two).findings}
    both: Hands = {**hands, (BESIDE, HOST): Failure.SSL_INVALID_CERTIFICATE}
    assert by_rule(said(replace(two, hands=both))) == ("server_side", "site.certificate")


def test_connections_count_without_trusted_resolvers_too() -> None:
    """If no trusted resolver answers, a connection that stood is all that `tcp` can ask for."""
    assert said(replace(OPEN, answers=dict(ALONE)), nettest="tcp").outcome is Outcome.ACCESSIBLE
    none = replace(OPEN, answers=dict(ALONE), ports={(SITE, 443): TIMEOUT})
    assert said(none, nettest="tcp").outcome is not Outcome.ACCESSIBLE


def test_the_words_of_an_open_site_say_how_it_opened() -> None:
    assert "under its own certificate" in said(OPEN).summary
    assert "as the control sees it" in said(OPEN, IN_CLEAR).summary
    two = World(names={HOST: [SITE, BESIDE]}, ports={(BESIDE, 443): TIMEOUT}, seen=Page())
    assert "1 of 2 addresses" in said(two).summary
    assert "addresses did not answer" not in said(OPEN).summary
    assert "with its own certificate" in said(OPEN, nettest="dns").summary
    dead = replace(OPEN, ports={(SITE, 443): TIMEOUT})
    assert "trusted resolvers give too" in said(dead, nettest="dns").summary


def test_a_server_that_is_no_witness_for_requests_is_passed_over() -> None:
    """If one witness does not take the harmless request, the name is tried at the two that do, three times."""
    two = replace(BROKEN, ports={(W2, 80): Failure.CONNECTION_REFUSED})
    assert said(two, IN_CLEAR).mechanism is Mechanism.HTTP_RESET
