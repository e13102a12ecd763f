"""A site's own name servers may give a country another answer than the world: who repeats them does not lie."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from measurements.model import DnsAnswer, DnsLookup, DnsReply, Failure, Outcome, Purpose, View
from measurements.proofs import canonical, said_by_its_own
from tests.measurements.scenes import lookup, told
from tests.measurements.worlds import BESIDE, HOST, OPEN, SINK, SITE, W1, Disruption, H, by_rule, lie, play, said
from tests.scripted import Page, World

SERVER, PLACE = "ns.site.example", "203.0.113.53"
SERVED = replace(OPEN, names={HOST: [SITE], SERVER: [PLACE]}, name_servers={"site.example": [SERVER]})
DENIALS = (Failure.DNS_NXDOMAIN, Failure.NO_DNS_ANSWER)


def asked(world: World, local: Any, server: Any) -> World:
    """Let our resolver and the name's own server say these."""
    return replace(world, answers={**lie(local), (f"{PLACE}:53", HOST): server})


@pytest.mark.parametrize("denial", DENIALS)
def test_a_denial_that_the_site_s_own_servers_repeat_here_is_no_lie(denial: Failure) -> None:
    assert by_rule(said(asked(SERVED, denial, denial))) == ("unreachable", "dns.resolver")


@pytest.mark.parametrize("denial", DENIALS)
@pytest.mark.parametrize(
    "server",
    [[[SITE]], Failure.TIMEOUT, Failure.DNS_REFUSED, Failure.DNS_SERVFAIL],
    ids=["truth", "silence", "refused", "servfail"],
)
def test_a_denial_that_they_do_not_repeat_is_one(denial: Failure, server: Any) -> None:
    assert said(asked(SERVED, denial, server)).outcome is Outcome.BLOCKED
    assert said(asked(replace(SERVED, name_servers={}), denial, denial)).outcome is Outcome.BLOCKED


def test_who_answers_where_no_server_is_may_answer_for_them() -> None:
    """If a question to an address without a resolver is answered, the name server's word is worth nothing."""
    denial = Failure.DNS_NXDOMAIN
    forged = replace(SERVED, answers={**lie(denial), (f"{PLACE}:53", HOST): denial, (f"{W1}:53", HOST): denial})
    assert said(forged).outcome is Outcome.BLOCKED


def test_an_address_that_they_give_the_country_is_no_lie() -> None:
    """If the site's own servers lead here to a page that speaks of blocking, it is the site that turns us away."""
    sorry = Page(200, b"<title>Sorry</title> by order of the court", "Sorry")
    led = replace(SERVED, ports={(SINK, 80): None}, pages={(SINK, n): sorry for n in (HOST, H)})
    assert said(asked(led, [[SINK]], [[SITE]]), f"http://{HOST}/").outcome is Outcome.BLOCKED
    assert said(asked(led, [[SINK]], [[SINK]]), f"http://{HOST}/").outcome is not Outcome.BLOCKED


def answer(*records: DnsAnswer, failure: Failure | None, view: View, purpose: Purpose | None = None) -> DnsLookup:
    reply = DnsReply(arrival=0.0, source="r", rcode="NOERROR", answers=records)
    known: dict[str, Any] = {"resolver": "r", "protocol": "udp", "name": HOST, "rtype": "A", "replies": (reply,)}
    return DnsLookup(id=9, view=view, purpose=purpose, failure=failure, **known)


def test_an_alias_says_nothing_of_what_it_leads_to() -> None:
    """If the name's own server only names an alias, others must be asked for the address."""
    none = Failure.NO_DNS_ANSWER
    alias = DnsAnswer(name=HOST, rtype="CNAME", data="edge.cdn.example.", ttl=60)
    ours = answer(failure=none, view=View.LOCAL)
    theirs = {"failure": none, "view": View.FOLLOW_UP, "purpose": Purpose.AT_NAME_SERVER}
    for reply, count in ((answer(**theirs), 1), (answer(alias, **theirs), 0)):  # type: ignore[arg-type]
        story = told([ours, reply])
        assert len(said_by_its_own(story, story.legs[0])) == count


def test_the_servers_asked_are_those_of_the_name_that_aliases_end_at() -> None:
    steps: list[Any] = []
    lookup(steps, View.TRUSTED, SITE, BESIDE)
    assert canonical(told(steps).legs[0]) == HOST
    alias = DnsAnswer(name=HOST, rtype="CNAME", data="edge.cdn.example.", ttl=60)
    assert canonical(told([answer(alias, failure=None, view=View.TRUSTED)]).legs[0]) == "edge.cdn.example"


def test_no_server_is_asked_where_our_resolver_claims_nothing() -> None:
    """If our resolver is silent, there is no claim that the site's own servers could repeat."""
    for local, tries in ((Failure.DNS_NXDOMAIN, 1), (Failure.TIMEOUT, 0)):
        _, net = play(Disruption("", asked(SERVED, local, Failure.DNS_NXDOMAIN), ""))
        assert sum(step.purpose is Purpose.AT_NAME_SERVER for step in net.observations) == tries
