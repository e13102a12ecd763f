"""Answers that agree, contradict each other, or say more than addresses."""

from __future__ import annotations

import pytest

from measurements.answers import addresses_in, contradict, embeds, forged_beside, says_it_filters
from measurements.model import DnsAnswer, DnsLookup, DnsReply

RECORD = '1 . alpn="h2,h3" ipv4hint="203.0.113.10,203.0.113.11" ipv6hint="2001:db8::10"'


def reply(rtype: str = "A", *data: str, rcode: str = "NOERROR", ede: tuple[tuple[int, str], ...] = ()) -> DnsReply:
    records = tuple(DnsAnswer(name="n", rtype=rtype, data=d, ttl=60) for d in data)
    return DnsReply(arrival=0.0, source="r", rcode=rcode, answers=records, ede=ede)


def lookup(*replies: DnsReply) -> DnsLookup:
    return DnsLookup(id=1, resolver="r", protocol="udp", name="n", rtype="A", replies=replies)


def test_hints_of_a_service_record_are_addresses() -> None:
    """If an HTTPS record carries hints, they count; an alias or a record without any gives none."""
    assert addresses_in(reply("HTTPS", RECORD)) == {"203.0.113.10", "203.0.113.11", "2001:db8::10"}
    assert addresses_in(reply("HTTPS", "0 other.example.")) == set()
    assert addresses_in(reply("CNAME", "203.0.113.10")) == set()


def test_replies_contradict_each_other_by_what_they_give() -> None:
    one, two, none = reply("A", "203.0.113.10"), reply("A", "203.0.113.11"), reply(rcode="NXDOMAIN")
    assert contradict(one, two)
    assert contradict(one, none)
    assert contradict(none, reply())
    assert not contradict(none, none)
    assert not contradict(one, reply("A", "203.0.113.11", "203.0.113.10"))


def test_giving_up_is_no_claim_and_two_truths_are_none_of_them_forged() -> None:
    true, other, false = reply("A", "203.0.113.10"), reply("A", "203.0.113.11"), reply("A", "198.51.100.80")
    known = {"203.0.113.10", "203.0.113.11"}
    assert forged_beside(lookup(false, true), known)
    assert not forged_beside(lookup(true, other), known)
    assert not forged_beside(lookup(reply(rcode="SERVFAIL"), true), known)
    assert not forged_beside(lookup(true), known)


@pytest.mark.parametrize(
    "address",
    [
        "2001:db8:c000:221::",
        "2001:db8:1c0:2:21::",
        "2001:db8:122:c000:2:2100::",
        "2001:db8:122:3c0:0:221::",
        "2001:db8:122:344:c0:2:2100::",
        "2001:db8:122:344::192.0.2.33",
        "64:ff9b::192.0.2.33",
    ],
)
def test_an_address_behind_a_translator_is_known_again(address: str) -> None:
    """RFC 6052, 2.4: the same IPv4 address behind a prefix of every length."""
    assert embeds(address, {"192.0.2.33"})
    assert not embeds(address, {"192.0.2.34"})


def test_what_is_no_address_embeds_nothing() -> None:
    assert not embeds("192.0.2.33", {"192.0.2.33"})
    assert not embeds("a name", {"192.0.2.33"})


def test_a_resolver_may_say_itself_that_it_filters() -> None:
    assert (
        says_it_filters([lookup(reply(rcode="NXDOMAIN", ede=((17, "malware"),)))]) == "extended DNS error 17, Filtered"
    )
    assert says_it_filters([lookup(reply(rcode="NXDOMAIN", ede=((6, "bogus"),)))]) is None
