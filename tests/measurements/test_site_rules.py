"""Pairs of worlds about what the site itself does, what comes in clear, and what OONI's records can show."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import pytest
from msgspec import structs

from measurements.judge import Case, judge
from measurements.model import (
    Failure,
    Mechanism,
    Outcome,
    Verdict,
    View,
)
from measurements.targets import normalise
from tests.measurements.worlds import (
    ALL,
    BESIDE,
    BLOCK,
    HOST,
    IN_CLEAR,
    OPEN,
    PLAIN,
    RESET,
    SINK,
    SITE,
    SIX,
    TIMEOUT,
    Disruption,
    H,
    Hands,
    by_rule,
    cut_at,
    lie,
    play,
    said,
)
from tests.scripted import BOGONS, LOCAL, TRUSTED, Page, World

UNKNOWN = Failure.SSL_UNKNOWN_AUTHORITY


# The site


def test_what_fails_for_the_control_as_well_is_down() -> None:
    dead = replace(OPEN, ports={(SITE, 443): TIMEOUT})
    assert by_rule(said(replace(dead, seen=TIMEOUT))) == ("down", "site.down")
    assert by_rule(said(dead)) == ("unreachable", "site.unreachable")


@pytest.mark.parametrize("seen", [Failure.UNKNOWN, Failure.INTERRUPTED, Failure.NETWORK_UNREACHABLE])
def test_what_the_control_could_not_ask_is_not_down(seen: Failure) -> None:
    """If the control failed for reasons of its own, it has no say."""
    assert said(replace(OPEN, ports={(SITE, 443): TIMEOUT}, seen=seen)).outcome is Outcome.INCONCLUSIVE


def test_what_the_control_connected_to_is_not_down() -> None:
    """If the control's connection or handshake stood and only its page failed, the site lives."""
    hands: Hands = {(SITE, HOST): TIMEOUT}
    ports = {(SITE, 443): TIMEOUT}
    stood: dict[tuple[str, int], Failure | None] = {(SITE, 443): None, (SITE, 80): None}
    alive = replace(OPEN, control_ports=stood, control_hands={SITE: None}, seen=TIMEOUT)
    for world in (replace(alive, hands=hands), replace(alive, ports=ports)):
        assert by_rule(said(world)) == ("unreachable", "site.unreachable")
        assert by_rule(said(replace(world, control_hands={SITE: RESET}))) == ("down", "site.down")
    in_clear = replace(alive, ports={(SITE, 80): TIMEOUT})
    assert by_rule(said(in_clear, IN_CLEAR)) == ("unreachable", "site.unreachable")
    assert by_rule(said(replace(in_clear, control_ports={}), IN_CLEAR)) == ("down", "site.down")


def test_a_page_that_breaks_in_the_same_way_for_the_control_is_down() -> None:
    """If both got as far as the request and both were cut there alike, the site's own machine does it."""
    stood: dict[tuple[str, int], Failure | None] = {(SITE, 443): None, (SITE, 80): None}
    cut = replace(OPEN, pages={(SITE, HOST): RESET}, control_ports=stood, control_hands={SITE: None}, seen=RESET)
    assert by_rule(said(cut)) == ("down", "site.down")
    assert by_rule(said(cut, IN_CLEAR)) == ("down", "site.down")
    assert by_rule(said(replace(cut, seen=Failure.EOF))) == ("down", "site.down")
    for other in (TIMEOUT, Failure.UNKNOWN, Page()):
        assert by_rule(said(replace(cut, seen=other))) == ("unreachable", "site.unreachable")


def test_a_site_that_refuses_the_control_s_handshake_is_down_though_the_control_has_no_words_for_it() -> None:
    """If the control's only answer is a handshake that failed, it says as much as a page that failed."""
    alert = Failure.SSL_FAILED_HANDSHAKE
    world = replace(OPEN, hands={(SITE, HOST): alert}, control_hands={SITE: alert}, seen=Failure.UNKNOWN)
    world = replace(world, control_ports={(SITE, 443): None})
    assert by_rule(said(world)) == ("down", "site.down")
    assert said(replace(world, control_hands={SITE: Failure.INTERRUPTED})).outcome is not Outcome.DOWN


def test_an_ipv6_literal_without_a_route_is_not_down() -> None:
    """If neither we nor the control have IPv6, nobody can say anything of an address of it."""
    no_route = Failure.NETWORK_UNREACHABLE
    world = World(ports={(SIX, 443): no_route}, seen=no_route)
    assert said(world, f"https://[{SIX}]/").outcome is Outcome.INCONCLUSIVE
    assert said(replace(world, seen=TIMEOUT), f"https://[{SIX}]/").outcome is Outcome.DOWN


def test_an_ipv6_address_without_a_route_is_no_partial_failure() -> None:
    """If only addresses of a family that we do not have fail, the site opens wholly; another failure is partial."""
    both = replace(OPEN, names={HOST: [SITE, SIX]})
    for failure, pattern in ((Failure.NETWORK_UNREACHABLE, None), (TIMEOUT, "partial")):
        verdict = said(replace(both, ports={(SIX, 443): failure}), ipv6=True)
        assert (verdict.outcome, verdict.pattern) == (Outcome.ACCESSIBLE, pattern)


def test_a_name_that_exists_nowhere_is_down_without_a_control_too() -> None:
    assert said(replace(OPEN, names={}, seen=None)).outcome is Outcome.DOWN


def test_a_name_that_one_trusted_resolver_knows_exists() -> None:
    world = replace(OPEN, names={}, answers={(TRUSTED[0].address, HOST): [[SITE]]}, seen=None)
    assert said(world).outcome is not Outcome.DOWN


@pytest.mark.parametrize("told", [["10.1.2.3"], []])
def test_a_name_without_an_address_that_could_be_opened_is_down(told: list[str]) -> None:
    """If every resolver gives no address, or a private one, nobody can open it; one public address says otherwise."""
    nowhere = replace(OPEN, names={HOST: told}, seen=None)
    assert by_rule(said(nowhere)) == ("down", "site.nowhere")
    ours = replace(nowhere, answers=lie([[SITE]]), ports={(SITE, 443): TIMEOUT})
    assert said(ours).outcome is not Outcome.DOWN
    theirs = replace(nowhere, answers={(TRUSTED[0].address, HOST): [[SITE]]}, ports={(SITE, 443): TIMEOUT})
    assert said(theirs).outcome is not Outcome.DOWN
    assert said(replace(nowhere, seen=Page())).outcome is not Outcome.DOWN


@pytest.mark.parametrize(
    ("failure", "reason"),
    [(Failure.HTTP_INVALID_REDIRECT, "redirects"), (Failure.HTTP_INVALID_RESPONSE, "invalid_response")],
)
def test_nonsense_under_the_site_s_own_certificate_is_the_site_s(failure: Failure, reason: str) -> None:
    """If the answer came under the certificate, nobody on the way made it; in clear anybody may have."""
    world = replace(OPEN, pages={(SITE, HOST): failure})
    for seen in (Page(), None):
        verdict = said(replace(world, seen=seen))
        assert (by_rule(verdict), verdict.reason) == (("server_side", "site.refuses"), reason)
    assert said(world, IN_CLEAR).outcome is Outcome.UNREACHABLE


@pytest.mark.parametrize("status", [451, 403, 429, 503])
def test_a_site_that_refuses_under_its_own_certificate_does_so_itself(status: int) -> None:
    verdict = said(replace(OPEN, pages={(SITE, HOST): Page(status, b"no", "No")}, seen=Page(status, b"no", "No")))
    assert (verdict.outcome, verdict.reason) == (Outcome.SERVER_SIDE, "refused")
    assert by_rule(verdict) == ("server_side", "site.refuses")


def test_a_page_that_is_not_found_is_still_a_page() -> None:
    """If the site says that there is no such page, it opens."""
    assert said(replace(OPEN, pages={(SITE, HOST): Page(404, b"no", "No")})).outcome is Outcome.ACCESSIBLE


def test_a_site_that_redirects_without_end_leads_nowhere_itself() -> None:
    loop = {(SITE, HOST): Page(302, b"", None, f"https://{HOST}/")}
    verdict = said(replace(OPEN, pages=loop))
    assert (verdict.outcome, verdict.reason) == (Outcome.SERVER_SIDE, "redirects")
    assert by_rule(verdict) == ("server_side", "site.refuses")


def test_a_refusal_in_clear_is_the_sites_when_the_control_gets_it_too() -> None:
    """If the page came in clear, the control's word stands for the certificate."""
    no = Page(451, b"no", "No")
    verdict = said(replace(OPEN, pages={(SITE, HOST): no}, seen=no), IN_CLEAR)
    assert by_rule(verdict) == ("server_side", "site.refuses")
    assert "for the control as well" in verdict.summary


@pytest.mark.parametrize("seen", [None, Page()])
def test_a_site_that_redirects_without_end_in_clear_does_so_itself(seen: Page | None) -> None:
    """If no witness is answered in its name, the redirects are the site's own, whatever the control saw."""
    loop = replace(OPEN, pages={(SITE, HOST): Page(302, b"", None, IN_CLEAR)}, seen=seen)
    verdict = said(loop, IN_CLEAR)
    assert (by_rule(verdict), verdict.reason) == (("server_side", "http.in_clear"), "redirects")


def test_some_addresses_that_fail_make_an_unreachable_site_partly_so() -> None:
    """If one of two addresses was never in question and brought no page, the failure of the other is partial."""
    two = World(names={HOST: [SITE, BESIDE]}, seen=Page(), ports={(SITE, 443): TIMEOUT, (BESIDE, 443): TIMEOUT})
    assert said(two).pattern is None
    cut = replace(two, ports={(SITE, 443): TIMEOUT, (BESIDE, 443): Failure.INTERRUPTED})
    assert (said(cut).outcome, said(cut).pattern) == (Outcome.UNREACHABLE, "partial")


def test_nobody_to_compare_with_is_said_in_words() -> None:
    """If neither trusted resolvers nor a control answer, what is missing is named."""
    silent = {(resolver, HOST): TIMEOUT for resolver in (*(r.address for r in TRUSTED), *PLAIN)}
    world = replace(OPEN, answers=lie(TIMEOUT) | silent, seen=None)
    assert (said(world).outcome, said(world).reason) == (Outcome.INCONCLUSIVE, "no_trusted_dns")
    failing = replace(OPEN, answers=silent, ports={(SITE, 443): TIMEOUT, (SITE, 80): TIMEOUT}, seen=None)
    assert (said(failing).outcome, said(failing).reason) == (Outcome.INCONCLUSIVE, "no_control")


# The other nettests


def test_a_lookup_that_agrees_with_others_resolves_though_the_site_is_dead() -> None:
    dead = replace(OPEN, ports={(SITE, 443): TIMEOUT})
    assert by_rule(said(dead, nettest="dns")) == ("accessible", "site.resolves")
    assert by_rule(said(OPEN, nettest="dns")) == ("accessible", "site.resolves")
    assert said(replace(dead, answers=lie([[SINK]])), nettest="dns").outcome is not Outcome.ACCESSIBLE


def test_a_connection_to_where_only_our_resolver_leads_is_no_success() -> None:
    led = replace(OPEN, answers=lie([[SINK]]), ports={(SINK, 443): None})
    assert by_rule(said(OPEN, nettest="tcp")) == ("accessible", "site.connects")
    assert said(led, nettest="tcp").outcome is not Outcome.ACCESSIBLE
    assert said(replace(OPEN, ports={(SITE, 443): TIMEOUT}), nettest="tcp").outcome is not Outcome.ACCESSIBLE


def test_some_addresses_that_take_no_connection_make_it_partial() -> None:
    two = World(names={HOST: [SITE, BESIDE]}, ports={(BESIDE, 443): TIMEOUT}, seen=Page())
    assert said(two, nettest="tcp").pattern == "partial"


# In clear


def test_a_refusal_in_clear_that_comes_from_witnesses_too_is_not_the_sites() -> None:
    """If witnesses give the same refusal for the name, something on the way speaks; else the site does."""
    no = Page(403, b"no entry", "No entry")
    assert said(replace(OPEN, pages={(SITE, HOST): no}), IN_CLEAR).outcome is Outcome.SERVER_SIDE
    everywhere = said(replace(OPEN, pages={(a, HOST): no for a in ALL}), IN_CLEAR)
    assert (everywhere.outcome, everywhere.mechanism) == (Outcome.BLOCKED, Mechanism.HTTP_BLOCKPAGE)


def test_a_page_in_clear_at_an_address_of_our_resolver_alone_is_not_beyond_doubt() -> None:
    """If trusted resolvers give another address, the page may be anybody's."""
    led = replace(OPEN, answers=lie([[SINK]]), ports={(SINK, 80): None}, seen=None)
    led = replace(led, pages={(SINK, HOST): Page(200, b"hello", "Hello")})
    assert said(led, IN_CLEAR).outcome is not Outcome.ACCESSIBLE
    assert by_rule(said(replace(OPEN, seen=None), IN_CLEAR)) == ("accessible", "http.in_clear")


LED = "www.other-site.example"
LINK = {(SITE, HOST): Page(301, b"", None, f"https://{LED}/")}


def test_what_stops_behind_a_link_in_clear_is_told() -> None:
    """If a link in clear leads to a name that is cut everywhere, that name is what is blocked."""
    cut: Hands = {(a, LED): RESET for a in (BESIDE, *ALL)}
    world = replace(OPEN, names={HOST: [SITE], LED: [BESIDE]}, pages=LINK, hands=cut)
    assert by_rule(said(world, IN_CLEAR)) == ("blocked", "tls.blocked")
    assert by_rule(said(replace(world, hands={}, seen=Page()), IN_CLEAR)) == ("accessible", "site.accessible")
    assert by_rule(said(replace(world, hands={(BESIDE, LED): RESET}), IN_CLEAR)) == ("unreachable", "site.unreachable")


@pytest.mark.parametrize("seen", [None, Page()], ids=["no-control", "control"])
def test_a_link_in_clear_to_nowhere_is_in_doubt_itself(seen: Page | None) -> None:
    """If others know no such name, anybody may have made up the link; and a chain without a page opened nothing."""
    verdict = said(replace(OPEN, pages=LINK, seen=seen), IN_CLEAR)
    assert by_rule(verdict) == ("inconclusive", "http.in_clear")


@pytest.mark.parametrize("seen", [None, Page()], ids=["no-control", "control"])
def test_another_s_page_in_clear_where_only_our_resolver_leads_is_an_old_answer_s(seen: Page | None) -> None:
    """If the true address has another page, the lookup is in doubt and not the page; where it has none, the page is."""
    led = replace(OPEN, answers=lie([[SINK]]), ports={(SINK, 80): None}, seen=seen)
    led = replace(led, pages={(SINK, HOST): Page(404, b"no such customer", "Not found")})
    verdict = said(led, IN_CLEAR)
    assert (by_rule(verdict), verdict.reason) == (("unreachable", "dns.stale"), "stale_dns")
    nobody = replace(led, ports={(SINK, 80): None, (SITE, 80): TIMEOUT, (SITE, 443): TIMEOUT}, seen=None)
    assert by_rule(said(nobody, IN_CLEAR)) == ("inconclusive", "http.in_clear")


def test_a_proxy_that_passes_the_true_page_on_blocks_nothing() -> None:
    """If the very page comes from the true address too, the lookup led astray and did no harm; a copy is no proof."""
    made_up = {("unchecked", HOST): [[SINK]], (LOCAL.address, HOST): [[SINK]]}
    led = replace(OPEN, answers=made_up, ports={(SINK, 80): None}, seen=None)
    passed = replace(led, pages={(SINK, HOST): Page(), (SITE, HOST): Page()})
    assert by_rule(said(passed, IN_CLEAR)) == ("accessible", "http.in_clear")
    for page in (Page(200, b"<title>The real site</title> send us your password"), Page(200, b"", None)):
        assert said(replace(passed, pages={(SINK, HOST): page}), IN_CLEAR).outcome is not Outcome.ACCESSIBLE
    same = {(a, HOST): Page() for a in (SINK, *ALL)}
    assert said(replace(passed, pages=same), IN_CLEAR).outcome is not Outcome.ACCESSIBLE


@pytest.mark.parametrize("failure", [Failure.EOF, RESET, TIMEOUT])
def test_requests_that_fail_at_the_site_alone_accuse_nobody(failure: Failure) -> None:
    assert said(replace(OPEN, pages={(SITE, HOST): failure}), IN_CLEAR).outcome is Outcome.UNREACHABLE
    everywhere = replace(OPEN, pages={(a, HOST): failure for a in ALL})
    assert said(everywhere, IN_CLEAR).outcome is Outcome.BLOCKED


@pytest.mark.parametrize("ttl", [1, 2, 3])
def test_where_requests_that_name_the_site_are_cut_is_said(ttl: int) -> None:
    """If the reset comes from short of the site's network, it says where; at its gate, nobody is accused."""
    world = replace(OPEN, pages={(SITE, HOST): RESET}, paths={(SITE, HOST): cut_at(ttl, "reset")})
    verdict = said(world, IN_CLEAR)
    assert (verdict.mechanism, verdict.where) == (Mechanism.HTTP_RESET, "local" if ttl == 1 else "network")
    assert verdict.trigger == "name_and_address"
    gate = replace(world, paths={(SITE, HOST): cut_at(4, "reset")})
    assert said(gate, IN_CLEAR).outcome is Outcome.UNREACHABLE


def test_a_request_that_is_cut_behind_a_good_handshake_is_judged_by_pairs_too() -> None:
    """If every exchange under a good certificate dies, nothing on the way has read the name, and nobody is accused."""
    world = replace(OPEN, pages={(SITE, HOST): RESET})
    assert said(world).outcome is Outcome.UNREACHABLE


def test_a_failure_without_a_name_among_mechanisms_accuses_nobody() -> None:
    """If what came is no HTTP at all, it is an anomaly."""
    strange = Failure.HTTP_INVALID_RESPONSE
    assert said(replace(OPEN, pages={(a, HOST): strange for a in ALL}), IN_CLEAR).outcome is Outcome.UNREACHABLE


def test_a_page_that_comes_for_every_name_from_everywhere_is_not_the_name_s() -> None:
    """If harmless names at witnesses get the same page, it is a portal and not a block of this site."""
    portal = replace(OPEN, pages={(a, n): BLOCK for a in ALL for n in (HOST, H)})
    assert said(portal, IN_CLEAR).outcome is not Outcome.BLOCKED
    assert said(replace(OPEN, pages={(a, HOST): BLOCK for a in ALL}), IN_CLEAR).outcome is Outcome.BLOCKED


# Records of OONI's, which hold no follow-up steps


@dataclass(frozen=True)
class Record:
    """What OONI's probe would have seen in a world, and what may be said of it."""

    world: World
    mechanism: Mechanism | None
    quiet: Callable[[World], World]
    url: str = f"https://{HOST}/"


def unseen(world: World) -> World:
    return replace(world, seen=TIMEOUT)


RECORDS = {
    "nxdomain": Record(replace(OPEN, answers=lie(Failure.DNS_NXDOMAIN)), Mechanism.DNS_NXDOMAIN, unseen),
    "tcp": Record(replace(OPEN, ports={(SITE, 443): TIMEOUT}), Mechanism.TCP_TIMEOUT, unseen),
    "tls": Record(replace(OPEN, hands={(SITE, HOST): RESET}), Mechanism.TLS_RESET, unseen),
    "mitm": Record(
        replace(OPEN, hands={(SITE, HOST): UNKNOWN}),
        Mechanism.TLS_MITM,
        lambda world: replace(world, control_hands={SITE: UNKNOWN}),
    ),
    "alert": Record(replace(OPEN, hands={(SITE, HOST): Failure.SSL_FAILED_HANDSHAKE}), None, unseen),
    "http": Record(replace(OPEN, pages={(SITE, HOST): RESET}), Mechanism.HTTP_RESET, unseen, IN_CLEAR),
    "page": Record(replace(OPEN, pages={(SITE, HOST): BLOCK}), None, unseen, IN_CLEAR),
    "stranger": Record(
        replace(OPEN, answers=lie([[SINK]]), ports={(SINK, 80): None}, pages={(SINK, HOST): BLOCK}),
        Mechanism.DNS_BLOCKPAGE,
        unseen,
        IN_CLEAR,
    ),
}


def as_ooni_s(world: World, url: str) -> Verdict:
    _, net = play(Disruption("", world, "", url=url))
    steps = tuple(o for o in net.observations if o.purpose is None and o.view is not View.TRUSTED)
    measured = structs.replace(net.measurement(normalise(url), "web"), source="ooni", observations=steps)
    return judge(Case(measurement=measured, bogons=BOGONS))


@pytest.mark.parametrize("name", RECORDS)
def test_a_record_of_ooni_s_accuses_with_less_confidence_and_only_with_the_test_helper(name: str) -> None:
    """If the test helper reached what failed here, that is likely blocked; if it did not, nobody is accused."""
    record = RECORDS[name]
    verdict = as_ooni_s(record.world, record.url)
    assert verdict.mechanism is record.mechanism, verdict
    assert verdict.confidence == (record.mechanism and "likely"), verdict
    quiet = as_ooni_s(record.quiet(record.world), record.url)
    assert quiet.outcome is not Outcome.BLOCKED, quiet


STOOD: dict[tuple[str, int], Failure | None] = {(a, port): None for a in (SITE, BESIDE) for port in (80, 443)}
HALVES = {
    "page-but-not-this-address": (replace(RECORDS["tcp"].world, control_ports={(SITE, 443): TIMEOUT}), "https"),
    "address-but-no-page": (replace(RECORDS["http"].world, seen=TIMEOUT, control_ports=STOOD), "http"),
    "another-address-but-not-this": (
        World(
            names={HOST: [SITE, BESIDE]},
            hands={(SITE, HOST): RESET, (BESIDE, HOST): RESET},
            control_ports=STOOD,
            control_hands={SITE: TIMEOUT, BESIDE: None},
            seen=TIMEOUT,
        ),
        "https",
    ),
}


@pytest.mark.parametrize("name", HALVES)
def test_a_test_helper_that_reached_the_half_of_it_shows_no_block(name: str) -> None:
    """If the test helper did not get through to what failed here, the site is an anomaly and no more."""
    world, scheme = HALVES[name]
    verdict = as_ooni_s(world, f"{scheme}://{HOST}/")
    assert verdict.outcome is Outcome.UNREACHABLE, verdict


@pytest.mark.parametrize(
    "world",
    [
        replace(RECORDS["tls"].world, control_ports={(SITE, 443): TIMEOUT}),
        replace(RECORDS["tls"].world, control_ports=STOOD, control_hands={SITE: None}, seen=TIMEOUT),
    ],
    ids=["a-page", "a-handshake"],
)
def test_a_test_helper_s_page_or_handshake_is_enough_for_a_handshake(world: World) -> None:
    verdict = as_ooni_s(world, f"https://{HOST}/")
    assert (verdict.mechanism, verdict.confidence) == (Mechanism.TLS_RESET, "likely")
