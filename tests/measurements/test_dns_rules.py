"""Answers that are forged, and what else answers where no resolver is."""

from __future__ import annotations

from dataclasses import replace

from measurements.model import Failure, Mechanism, Outcome
from tests.measurements.worlds import HOST, IN_CLEAR, OPEN, RESET, SITE, TIMEOUT, W1, H, by_rule, lie, said
from tests.scripted import TRUSTED

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
    assert by_rule(said(nowhere)) == ("down", "site.down")
    known = replace(nowhere, answers={(TRUSTED[1].address, HOST): [[SITE]]}, ports={(SITE, 443): None})
    proven = replace(known, hands={(SITE, HOST): None})
    assert by_rule(said(proven)) == ("blocked", "dns.nxdomain")
