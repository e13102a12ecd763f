"""Pairs of worlds that differ in one thing: in the first a rule must speak, in the second it must be silent."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from msgspec import structs

from measurements.model import (
    DnsLookup,
    DnsReply,
    Failure,
    Mechanism,
    Outcome,
    Preconditions,
    Purpose,
)
from probe.network import Resolver
from probe.vantage import look
from tests.measurements.worlds import (
    ALL,
    BESIDE,
    BLOCK,
    EVERY_NAME,
    HOST,
    OPEN,
    PLAIN,
    RESET,
    SINK,
    SITE,
    SIX,
    TIMEOUT,
    W1,
    Disruption,
    H,
    Hands,
    Issuers,
    Paths,
    at_witnesses,
    by_rule,
    cut_at,
    lie,
    play,
    said,
)
from tests.scripted import LOCAL, TRUSTED, WITNESSES, Page, ScriptedNetwork, World

UNKNOWN, WRONG_NAME, BAD = (
    Failure.SSL_UNKNOWN_AUTHORITY,
    Failure.SSL_INVALID_HOSTNAME,
    Failure.SSL_INVALID_CERTIFICATE,
)


# This network


@pytest.mark.parametrize("reason", ["offline", "resolver_dead", "clock", "captive", "vpn"])
def test_a_network_that_cannot_be_judged_is_invalid_by_its_reason(reason: str) -> None:
    """If the look around said why nothing can be judged, no failure of a site says more."""
    for world in (replace(OPEN, ports={(SITE, 443): TIMEOUT}), replace(OPEN, hands=at_witnesses(RESET))):
        before = Preconditions(reason=reason, detail="So it is.", ipv4_route=True, ipv6_route=False)
        verdict, net = play(Disruption("", world, "invalid", preconditions=before))
        assert (verdict.outcome, verdict.reason, verdict.summary) == (Outcome.INVALID, reason, "So it is.")
        assert not [o for o in net.observations if o.purpose is not None]


@pytest.mark.parametrize("reason", ["resolver_dead", "clock"])
def test_a_page_that_opens_after_all_is_worth_more_than_a_doubt(reason: str) -> None:
    verdict, _ = play(Disruption("", OPEN, "", preconditions=Preconditions(reason=reason, ipv6_route=False)))
    assert verdict.outcome is Outcome.ACCESSIBLE


class Recovering(ScriptedNetwork):
    """What fails at the site works the next time it is asked."""

    async def handshake(self, over: Any, **kwargs: Any) -> Any:
        if kwargs.get("purpose") is Purpose.REPETITION:
            self.world.hands = {}
        return await super().handshake(over, **kwargs)


def test_what_works_a_moment_later_is_intermittent() -> None:
    """If the handshake fails once and then not, nothing can be said; if it fails again, it is an anomaly."""
    world = replace(OPEN, hands={(SITE, HOST): RESET})
    verdict, _ = play(Disruption("", world, ""), Recovering(replace(world)))
    assert (verdict.outcome, verdict.reason) == (Outcome.INCONCLUSIVE, "intermittent")
    assert by_rule(said(world)) == ("unreachable", "site.unreachable")


def test_a_line_on_which_harmless_names_are_lost_is_unsteady() -> None:
    """If one harmless handshake of three got no answer, the name's failures prove nothing; else they do."""
    lost = replace(OPEN, hands=at_witnesses(TIMEOUT) | {(W1, H): TIMEOUT})
    assert (said(lost).outcome, said(lost).reason) == (Outcome.INCONCLUSIVE, "unsteady")
    assert said(replace(OPEN, hands=at_witnesses(TIMEOUT))).outcome is Outcome.BLOCKED


# DNS


def test_a_forged_signature_is_told_from_a_failing_resolver() -> None:
    """If our resolver fails and would answer without checking signatures, the reason is theirs."""
    failing = replace(OPEN, answers=lie(Failure.DNS_SERVFAIL))
    signed = replace(OPEN, answers={**failing.answers, ("unchecked", HOST): [[SITE]]})
    assert (said(signed).outcome, said(signed).reason) == (Outcome.UNREACHABLE, "dnssec")
    assert (said(failing).outcome, said(failing).reason) == (Outcome.UNREACHABLE, "site_or_network")


@pytest.mark.parametrize("failure", [Failure.DNS_NXDOMAIN, Failure.DNS_REFUSED, Failure.NO_DNS_ANSWER])
@pytest.mark.parametrize("control", [Page(), None], ids=["control", "no-control"])
def test_a_resolver_that_says_the_same_of_every_name_lies_about_none(failure: Failure, control: Page | None) -> None:
    """If our resolver denies harmless names too, it is broken; if it denies this one alone, it lies."""
    every = {(LOCAL.address, name): failure for name in (HOST, *WITNESSES)}
    broken, lying = (replace(OPEN, answers=a, seen=control) for a in (every, lie(failure)))
    assert (said(broken).outcome, said(broken).reason) == (Outcome.INVALID, "resolver_dead")
    assert said(lying).outcome is Outcome.BLOCKED


@pytest.mark.parametrize("failure", [Failure.DNS_REFUSED, Failure.DNS_SERVFAIL, Failure.TIMEOUT])
def test_before_a_batch_a_resolver_that_answers_nothing_is_noticed(failure: Failure) -> None:
    """If our resolver answers no name at all, no site is counted as unreachable for it."""
    world = replace(OPEN, answers={(LOCAL.address, name): failure for name in (HOST, *WITNESSES)})
    before = asyncio.run(look(ScriptedNetwork(world), now=lambda: 0.0)).preconditions
    verdict, _ = play(Disruption("", world, "", preconditions=before))
    assert (verdict.outcome, verdict.reason) == (Outcome.INVALID, "resolver_dead")


class SayingOnce(ScriptedNetwork):
    """Our resolver denies the name, until it is asked again."""

    async def lookup(self, name: str, rtype: str, resolver: Resolver, **kwargs: Any) -> DnsLookup:
        if kwargs.get("purpose") is Purpose.REPETITION:
            self.world.answers = {}
        return await super().lookup(name, rtype, resolver, **kwargs)


@pytest.mark.parametrize("failure", [Failure.DNS_NXDOMAIN, Failure.DNS_REFUSED, Failure.NO_DNS_ANSWER])
def test_a_denial_that_is_taken_back_is_no_lie(failure: Failure) -> None:
    world = replace(OPEN, answers=lie(failure))
    verdict, net = play(Disruption("", world, ""), SayingOnce(replace(world)))
    assert (verdict.outcome, verdict.reason) == (Outcome.INCONCLUSIVE, "intermittent"), verdict
    assert [o for o in net.observations if o.purpose is Purpose.REPETITION and o.failure is None]
    assert said(world).outcome is Outcome.BLOCKED


def test_a_name_with_ipv6_alone_opens_and_is_lied_about_like_any() -> None:
    """If a name has no IPv4 address, none is missed; and a denial of its IPv6 address is still a lie."""
    only = replace(OPEN, names={HOST: [SIX]})
    assert by_rule(said(only, ipv6=True)) == ("accessible", "site.accessible")
    witnesses = {(LOCAL.address, w): [[a, f"2001:db8:9::{i}"]] for i, (w, a) in enumerate(WITNESSES.items())}
    denied = said(replace(only, answers=lie(Failure.DNS_NXDOMAIN) | witnesses), ipv6=True)
    assert (denied.outcome, denied.mechanism) == (Outcome.BLOCKED, Mechanism.DNS_NXDOMAIN)


def test_a_name_with_ipv6_alone_accuses_nobody_where_there_is_no_ipv6() -> None:
    for control in (Page(), None):
        verdict = said(replace(OPEN, names={HOST: [SIX]}, seen=control))
        assert verdict.outcome is Outcome.INCONCLUSIVE, verdict


def test_a_name_that_has_no_address_anywhere_is_not_withheld() -> None:
    """If trusted resolvers give no address either, the want of one is no lie."""
    asked = (LOCAL.address, *(resolver.address for resolver in TRUSTED))
    nowhere = replace(OPEN, names={HOST: []}, answers={(at, HOST): Failure.NO_DNS_ANSWER for at in asked})
    assert said(nowhere).outcome is not Outcome.BLOCKED
    assert said(replace(nowhere, seen=None)).outcome is Outcome.DOWN
    assert said(replace(OPEN, answers=lie(Failure.NO_DNS_ANSWER))).outcome is Outcome.BLOCKED


@pytest.mark.parametrize("told", [Failure.DNS_NXDOMAIN, Failure.NO_DNS_ANSWER, Failure.DNS_REFUSED])
@pytest.mark.parametrize("url", [f"https://{HOST}/", f"http://{HOST}/"])
def test_what_trusted_resolvers_say_too_is_no_lie_of_ours(told: Failure, url: str) -> None:
    """If a name is kept from this country by its own servers, the control's answer elsewhere makes nobody a liar."""
    asked = (LOCAL.address, *(resolver.address for resolver in TRUSTED))
    fenced = replace(OPEN, answers={(at, HOST): told for at in asked})
    assert said(fenced, url).outcome is not Outcome.BLOCKED
    one = replace(OPEN, answers={(at, HOST): told for at in asked[:2]})
    assert said(one, url).outcome is Outcome.BLOCKED


def test_what_answers_where_only_our_resolver_leads_shows_no_living_site() -> None:
    """If neither a trusted resolver nor a control gives an address, who answers there may be anybody."""
    silent = {(resolver, HOST): TIMEOUT for resolver in (*(r.address for r in TRUSTED), *PLAIN)}
    stranger: dict[tuple[str, int], Failure | None] = {(SINK, 80): None, (SINK, 443): RESET}
    world = World(names={HOST: [SITE]}, answers=lie([[SINK]]) | silent, ports=stranger)
    assert said(world).outcome is Outcome.INCONCLUSIVE


def test_a_private_answer_that_trusted_resolvers_give_too_is_no_lie() -> None:
    """If everybody says that the name is private, it is."""
    inside = replace(OPEN, names={HOST: ["10.1.2.3"]}, seen=Failure.CONNECTION_REFUSED)
    assert said(inside).outcome is not Outcome.BLOCKED
    assert said(replace(OPEN, answers=lie([["10.1.2.3"]]))).mechanism is Mechanism.DNS_BOGON


def test_one_lying_resolver_address_of_two_families_is_enough_only_when_the_name_has_both() -> None:
    """If one true address is among those given, the lookup leads to the site and nobody is misled."""
    mixed = replace(OPEN, answers=lie([["10.1.2.3", SITE]]))
    assert said(mixed).outcome is Outcome.ACCESSIBLE


def test_made_up_answers_for_made_up_names_show_a_lie() -> None:
    """If our resolver leads any label under the name to the same place and trusted ones do not, it is no old record."""

    class Wildcard(ScriptedNetwork):
        everywhere = False

        async def lookup(self, name: str, rtype: str, resolver: Resolver, **kwargs: Any) -> DnsLookup:
            if name.endswith("." + HOST) and rtype == "A" and (resolver == LOCAL or self.everywhere):
                self.world.answers = {**self.world.answers, (resolver.address, name): [["203.0.113.99"]]}
            return await super().lookup(name, rtype, resolver, **kwargs)

    world = replace(OPEN, answers=lie([["203.0.113.99"]]))
    verdict, _ = play(Disruption("", world, ""), Wildcard(replace(world)))
    assert (verdict.outcome, verdict.mechanism) == (Outcome.BLOCKED, Mechanism.DNS_REDIRECT)
    everywhere = Wildcard(replace(world))
    everywhere.everywhere = True
    quiet, _ = play(Disruption("", world, ""), everywhere)
    assert (quiet.outcome, quiet.reason) == (Outcome.UNREACHABLE, "stale_dns")


def test_the_first_router_answers_for_what_it_says_alone() -> None:
    """If the first hop and the resolver say the same lie, the lie is local."""
    forged = replace(OPEN, answers=lie([[SINK], [SITE]]) | {("ttl 1", HOST): [[SINK]]})
    assert said(forged).where == "local"
    assert said(replace(OPEN, answers=lie([[SINK], [SITE]]))).where == "network"


class SayingTwo(ScriptedNetwork):
    """To the question for the name, our resolver's denial comes, and with it something else without an address."""

    second = "NOERROR"

    async def lookup(self, name: str, rtype: str, resolver: Resolver, **kwargs: Any) -> DnsLookup:
        told = await super().lookup(name, rtype, resolver, **kwargs)
        if (resolver, name) == (LOCAL, HOST):
            denials = [DnsReply(arrival=0.1, source=LOCAL.address, rcode=code) for code in ("NXDOMAIN", self.second)]
            told = self.observations[-1] = structs.replace(told, replies=tuple(denials))
        return told


def test_two_denials_that_differ_are_two_hands_and_one_said_twice_is_one() -> None:
    """If one reply says that there is no such name and another that there is, one of them is forged."""
    world = replace(OPEN, answers=lie(Failure.DNS_NXDOMAIN))
    differing, _ = play(Disruption("", world, ""), SayingTwo(world))
    assert differing.mechanism is Mechanism.DNS_INJECTED
    same = SayingTwo(world)
    same.second = "NXDOMAIN"
    assert play(Disruption("", world, ""), same)[0].mechanism is Mechanism.DNS_NXDOMAIN


def test_harmless_questions_that_vanish_too_accuse_nobody() -> None:
    """If plain DNS to other resolvers is shut for every name, this one is not singled out."""
    plain = ("198.51.100.53:53", "198.51.100.54:53")
    gone = lie(TIMEOUT) | {(r, HOST): TIMEOUT for r in plain}
    assert said(replace(OPEN, answers=gone)).mechanism is Mechanism.DNS_TIMEOUT
    shut = gone | {(r, H): TIMEOUT for r in plain}
    assert by_rule(said(replace(OPEN, answers=shut))) == ("unreachable", "dns.resolver")


# TLS


def intercepted(names: tuple[str, ...], issuer: str = "CN=Proxy") -> dict[str, Any]:
    """Every server's certificate for these names is another's."""
    hands: Hands = {(a, n): UNKNOWN for a in ALL for n in names}
    issuers: Issuers = {(a, n): issuer for a in ALL for n in names}
    return {"hands": hands, "issuers": issuers}


@pytest.mark.parametrize("answer", ["silence", "open", "reset"])
def test_an_issuer_of_every_name_at_an_unknown_first_hop_is_our_own(answer: str) -> None:
    """If all names get one issuer's certificates and nothing shows that packets leave this place, it may be ours."""
    near: Paths = {(SITE, None): cut_at(1, answer), (BESIDE, None): cut_at(1, answer)}
    verdict = said(replace(OPEN, **intercepted(EVERY_NAME), paths=near))
    assert (verdict.outcome, verdict.reason, verdict.where) == (Outcome.INVALID, "private_issuer", "local")


def test_an_issuer_of_every_name_beyond_the_first_hop_is_the_networks() -> None:
    """If packets leave the first router and every name is still answered with it, all of it is read on the way."""
    verdict = said(replace(OPEN, **intercepted(EVERY_NAME)))
    assert (verdict.outcome, verdict.mechanism, verdict.trigger) == (Outcome.BLOCKED, Mechanism.TLS_MITM, "any")


def test_without_a_control_a_forged_certificate_is_likely_only() -> None:
    sure, less = (said(replace(OPEN, **intercepted((HOST,)), seen=seen)) for seen in (Page(), None))
    assert (sure.mechanism, sure.confidence) == (Mechanism.TLS_MITM, "confirmed")
    assert (less.mechanism, less.confidence) == (Mechanism.TLS_MITM, "likely")


def test_without_a_control_or_a_page_behind_it_a_forged_certificate_proves_no_living_site() -> None:
    """If nothing but an error comes through the forged handshake, nobody shows that there is a site."""
    gone = {(SITE, HOST): Page(502, b"no", "No")}
    assert said(replace(OPEN, **intercepted((HOST,)), pages=gone, seen=None)).outcome is not Outcome.BLOCKED


@pytest.mark.parametrize("names", [(HOST,), EVERY_NAME], ids=["name", "every-name"])
@pytest.mark.parametrize("seen", [UNKNOWN, WRONG_NAME, BAD], ids=lambda failure: failure.value)
def test_a_bad_certificate_that_the_control_sees_too_is_the_sites(seen: Failure, names: tuple[str, ...]) -> None:
    world = replace(OPEN, **intercepted(names))
    assert said(world).mechanism is Mechanism.TLS_MITM
    verdict = said(replace(world, seen=seen))
    assert (verdict.outcome, verdict.reason) == (Outcome.SERVER_SIDE, "certificate")
    hands = said(replace(world, control_hands={SITE: seen}))
    assert (hands.outcome, hands.reason) == (Outcome.SERVER_SIDE, "certificate")


def test_a_forged_certificate_for_a_dead_site_accuses_nobody() -> None:
    """If the control says that the site is dead, there is nothing that could be kept from us."""
    verdict = said(replace(OPEN, **intercepted((HOST,)), seen=TIMEOUT))
    assert verdict.outcome not in (Outcome.BLOCKED, Outcome.SERVER_SIDE), verdict


def test_a_public_authority_s_certificate_of_another_name_accuses_nobody() -> None:
    """If witnesses answer with their own certificates, as they do for a name they do not know, nobody forged one."""
    hands: Hands = {(a, n): WRONG_NAME for a in ALL for n in (HOST, H)}
    issuers: Issuers = {(a, n): "CN=Public CA" for a in ALL for n in (HOST, H)}
    assert said(replace(OPEN, hands=hands, issuers=issuers)).outcome is Outcome.INCONCLUSIVE


@pytest.mark.parametrize("seen", [None, Page()], ids=["no-control", "control"])
def test_what_software_makes_up_for_strangers_is_no_forgery(seen: Page | None) -> None:
    """If witnesses show the site's unknown issuer to any strange name, and their own certificate to their own, no
    one on the way answers for them: they run the same software."""
    world = replace(OPEN, **intercepted((HOST, H)), seen=seen)
    assert said(world).outcome in (Outcome.INCONCLUSIVE, Outcome.UNREACHABLE)
    assert said(replace(world, **intercepted(EVERY_NAME))).outcome in (Outcome.BLOCKED, Outcome.INVALID)


def test_two_issuers_are_two_hands() -> None:
    """If the site's unknown issuer is not that of the witnesses, nothing on the way answers for both."""
    world = replace(OPEN, **intercepted((HOST,)))
    mixed = {**world.issuers, (SITE, HOST): "CN=Own"}
    assert said(replace(world, issuers=mixed)).outcome is not Outcome.BLOCKED


def test_an_expired_certificate_needs_no_control() -> None:
    """If time is all that is wrong with a chain to a trusted root, the site let it run out."""

    class Expired(ScriptedNetwork):
        words = "certificate has expired"

        async def handshake(self, over: Any, **kwargs: Any) -> Any:
            tls = await super().handshake(over, **kwargs)
            if tls.failure is BAD:
                tls = self.observations[-1] = structs.replace(tls, certificate_error=self.words)
            return tls

    world = replace(OPEN, hands={(SITE, HOST): BAD}, seen=None)
    verdict, _ = play(Disruption("", world, ""), Expired(world))
    assert (verdict.outcome, verdict.reason) == (Outcome.SERVER_SIDE, "certificate")
    strange = Expired(world)
    strange.words = "invalid CA certificate"
    other, _ = play(Disruption("", world, ""), strange)
    assert other.outcome is Outcome.INCONCLUSIVE


def test_a_bad_certificate_that_the_control_does_not_see_is_not_the_sites() -> None:
    """If the control shook hands well at that address, the site cannot be blamed for what we were shown."""
    world = replace(OPEN, hands={(SITE, HOST): BAD})
    assert by_rule(said(replace(world, seen=BAD))) == ("server_side", "site.certificate")
    assert said(world).outcome is not Outcome.SERVER_SIDE


def test_a_bad_certificate_at_another_address_is_not_the_sites() -> None:
    """If only our resolver leads there, whoever lives there is not the site."""
    world = replace(OPEN, answers=lie([[SINK]]), ports={(SINK, 443): None}, hands={(SINK, HOST): BAD}, seen=BAD)
    assert said(world).outcome is not Outcome.SERVER_SIDE


def test_a_word_in_the_path_is_told_from_the_name() -> None:
    """If the path alone brings it about, under any name, the name is not what is cut."""
    url = f"http://{HOST}/secret/page.html"
    tail = "/secret/page.html"
    word = replace(OPEN, pages={(address, f"*{tail}"): RESET for address in ALL})
    verdict = said(word, url)
    assert (verdict.outcome, verdict.mechanism, verdict.trigger) == ("blocked", "http.reset", "unknown")
    assert "/secret/page.html" in verdict.summary
    name = replace(OPEN, pages={(address, f"{HOST}{tail}"): RESET for address in ALL})
    assert said(name, url).trigger == "name"
    page = replace(OPEN, pages={(address, f"*{tail}"): BLOCK for address in ALL})
    assert said(page, url).outcome is not Outcome.BLOCKED  # servers of one make may all refuse a path like that
    own = replace(OPEN, pages={(SITE, f"*{tail}"): RESET})
    assert said(own, url).outcome == "unreachable"
