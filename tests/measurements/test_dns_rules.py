"""Answers that are forged, and what else answers where no resolver is."""

from __future__ import annotations

from dataclasses import replace

from measurements.model import Failure, Mechanism, Outcome
from tests.measurements.worlds import (
    BLOCK,
    HOST,
    IN_CLEAR,
    OPEN,
    PLAIN,
    RESET,
    SINK,
    SITE,
    TIMEOUT,
    W1,
    H,
    at_witnesses,
    by_rule,
    lie,
    said,
)
from tests.scripted import TRUSTED, World

STRANGER = "203.0.113.77"


def test_a_proxy_that_answers_every_name_forges_none() -> None:
    """If harmless names are answered where no resolver is as well, a proxy of the network's takes all questions."""
    forged = lie([[STRANGER]]) | {(f"{W1}:53", HOST): [[STRANGER]]}
    only = said(replace(OPEN, answers=forged))
    assert (only.mechanism, only.where) == (Mechanism.DNS_INJECTED, "network")
    every = said(replace(OPEN, answers=forged | {(f"{W1}:53", H): [["198.51.100.99"]]}))
    assert (every.outcome, every.reason) == (Outcome.UNREACHABLE, "stale_dns")


def test_two_replies_do_not_matter_where_the_first_leads_to_the_site() -> None:
    """If the answer that counted shows the site's certificate, what else came is not what failed."""
    late = replace(OPEN, answers=lie([[SITE], [STRANGER]]), pages={(SITE, HOST): RESET})
    verdict = said(late)
    assert verdict.outcome is Outcome.UNREACHABLE
    assert not [finding.rule for finding in verdict.findings if finding.rule.startswith("dns.")]
    assert said(replace(late, answers=lie([[STRANGER], [SITE]]))).mechanism is Mechanism.DNS_INJECTED


def test_the_words_say_what_proves_the_true_answer() -> None:
    denied = replace(OPEN, answers=lie(Failure.DNS_NXDOMAIN))
    sure = said(denied)
    assert sure.confidence == "confirmed"
    assert "the site's own certificate" in sure.summary
    plain = said(replace(denied, ports={(SITE, 443): TIMEOUT}), IN_CLEAR)
    assert (plain.outcome, plain.confidence) == (Outcome.BLOCKED, "likely")
    assert "certificate" not in plain.summary


def test_without_a_true_answer_nobody_lies() -> None:
    """If the address that others give takes no connection and the control is not there, no answer is proven."""
    dead = replace(OPEN, answers=lie(Failure.DNS_NXDOMAIN), ports={(SITE, 443): TIMEOUT}, seen=None)
    assert said(dead).outcome is Outcome.INCONCLUSIVE
    assert said(replace(dead, ports={})).outcome is Outcome.BLOCKED


def test_a_resolver_that_is_alone_in_denying_is_named_and_one_of_many_is_not() -> None:
    """If trusted resolvers say as well that there is no such name, it is down; if one knows it, ours lies."""
    nowhere = replace(OPEN, names={}, seen=None)
    assert by_rule(said(nowhere)) == ("down", "site.nowhere")
    known = replace(nowhere, answers={(TRUSTED[1].address, HOST): [[SITE]]}, ports={(SITE, 443): None})
    proven = replace(known, hands={(SITE, HOST): None})
    assert by_rule(said(proven)) == ("blocked", "dns.nxdomain")


ALONE = {(resolver.address, HOST): TIMEOUT for resolver in TRUSTED}


def test_a_public_resolver_over_plain_dns_may_say_the_truth_too() -> None:
    """If no resolver answers over HTTPS, a certificate proves what one says over plain DNS; nothing else does."""
    cut_off = replace(OPEN, answers=lie(Failure.DNS_NXDOMAIN) | ALONE, seen=None)
    assert by_rule(said(cut_off)) == ("blocked", "dns.nxdomain")
    unproven = replace(cut_off, hands={(SITE, HOST): Failure.SSL_INVALID_HOSTNAME})
    assert said(unproven).outcome is Outcome.INCONCLUSIVE
    silent = replace(cut_off, answers={**cut_off.answers, **{(resolver, HOST): TIMEOUT for resolver in PLAIN}})
    assert by_rule(said(silent)) == ("inconclusive", "site.unknown")


def test_resolvers_that_all_fail_for_one_name_do_not_fail_by_themselves() -> None:
    """If every resolver over plain DNS says SERVFAIL for the name and none for others, something says it for them."""
    failing = lie(Failure.DNS_SERVFAIL) | {(resolver, HOST): Failure.DNS_SERVFAIL for resolver in PLAIN}
    verdict = said(replace(OPEN, answers=failing))
    assert (verdict.mechanism, verdict.where) == (Mechanism.DNS_SERVFAIL, "network")
    own = said(replace(OPEN, answers=lie(Failure.DNS_SERVFAIL)))
    assert (own.outcome, own.reason) == (Outcome.UNREACHABLE, "site_or_network")
    every = {**failing, **{(resolver, H): Failure.DNS_SERVFAIL for resolver in PLAIN}}
    assert said(replace(OPEN, answers=every)).outcome is Outcome.UNREACHABLE


def test_a_lie_beside_a_broken_way_is_told_without_a_control() -> None:
    """If the true address takes harmless names and its own is cut everywhere, lie and cut are both proven."""
    both = replace(OPEN, answers=lie(Failure.DNS_NXDOMAIN), hands=at_witnesses(RESET), seen=None)
    verdict = said(both)
    assert by_rule(verdict) == ("blocked", "dns.nxdomain")
    assert verdict.confidence == "likely"
    assert "tls.blocked" in [finding.rule for finding in verdict.findings]
    dead = replace(both, hands={**both.hands, (SITE, H): RESET}, ports={(SITE, 80): Failure.TIMEOUT})
    assert said(dead).outcome is not Outcome.BLOCKED


def test_a_forged_answer_that_lost_the_race_is_told() -> None:
    """If the page opened and yet a forged answer came, it was forged on the way where nobody else can have answered."""
    late = replace(OPEN, answers=lie([[SITE], [STRANGER]]))
    assert by_rule(said(late)) == ("accessible", "site.accessible")
    forger = {(f"{W1}:53", HOST): [[STRANGER]]}
    verdict = said(replace(late, answers={**late.answers, **forger}))
    assert by_rule(verdict) == ("blocked", "dns.raced")
    assert (verdict.mechanism, verdict.pattern, verdict.where) == (Mechanism.DNS_INJECTED, "partial", "network")
    every = {**late.answers, **forger, (f"{W1}:53", H): [[STRANGER]]}
    assert said(replace(late, answers=every)).outcome is Outcome.ACCESSIBLE


def test_a_forged_address_of_the_other_family_is_told() -> None:
    """If IPv6 addresses come in that nobody else knows, it matters who gave them."""
    odd = "2001:db8:bad::1"
    told = replace(OPEN, answers=lie([[SITE, odd]]))
    assert by_rule(said(told)) == ("accessible", "site.accessible")
    forged = {**told.answers, (f"{W1}:53", HOST): [[odd]]}
    assert by_rule(said(replace(told, answers=forged))) == ("blocked", "dns.raced")
    at_home = said(replace(told, answers={**forged, ("ttl 1", HOST): [[odd]]}))
    assert (at_home.outcome, at_home.where) == (Outcome.BLOCKED, "local")
    translated = replace(told, answers={**lie([[SITE, "64:ff9b::cb00:710a"]]), (f"{W1}:53", HOST): [[odd]]})
    assert said(translated).outcome is Outcome.ACCESSIBLE  # that is the site's own address, behind NAT64


def test_a_name_that_exists_nowhere_is_down_whatever_ours_makes_of_it() -> None:
    """If a dead name is answered here alone, there is no site that could be blocked."""
    ghost = World(names={}, answers=lie([[SINK]]), ports={(SINK, 80): None}, pages={(SINK, HOST): BLOCK}, seen=TIMEOUT)
    for world in (ghost, replace(ghost, seen=None)):
        for url in (f"https://{HOST}/", IN_CLEAR):
            assert said(world, url).outcome is Outcome.DOWN, url
    verdict = said(replace(ghost, seen=None))
    assert by_rule(verdict) == ("down", "site.nowhere")
    assert SINK in verdict.summary


def test_a_router_that_is_the_resolver_is_not_told_from_the_one_it_asks() -> None:
    """If our resolver sits at the first hop, a filter at home looks like the provider's: nobody further is named."""
    told = [["0.0.0.0"]]
    home = said(replace(OPEN, answers={**lie(told), ("home", HOST): told}))
    assert (home.outcome, home.where, home.confidence) == (Outcome.BLOCKED, "unknown", "likely")
    assert "Your own router" in home.summary
    further = said(replace(OPEN, answers=lie(told)))
    assert (further.where, further.confidence) == ("resolver", "confirmed")
