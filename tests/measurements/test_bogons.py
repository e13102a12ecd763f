"""The bogon list: longest prefix, translated addresses, and what a bad list says."""

from __future__ import annotations

import ipaddress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from measurements.bogons import BadBogons, Bogons

SHIPPED = Bogons.parse((Path(__file__).parents[2] / "config/bogons.csv").read_text("utf-8"), "bogons.csv")


@pytest.mark.parametrize(
    ("address", "word"),
    [
        ("0.0.0.0", "this host"),
        ("10.10.34.35", "private use"),
        ("100.64.0.1", "carrier"),
        ("127.0.0.53", "loopback"),
        ("169.254.169.254", "link-local"),
        ("172.31.255.255", "private use"),
        ("192.168.1.1", "private use"),
        ("203.0.113.7", "documentation"),
        ("224.0.0.251", "multicast"),
        ("255.255.255.255", "broadcast"),
        ("::", "unspecified"),
        ("::1", "loopback"),
        ("::ffff:8.8.8.8", "IPv4 address"),
        ("2001::212", "Teredo"),
        ("2001:db8::1", "documentation"),
        ("fd00::1", "unique local"),
        ("fe80::1", "link-local"),
    ],
)
def test_a_private_address_has_its_reason(address: str, word: str) -> None:
    assert word in (SHIPPED.why(address) or "")


@pytest.mark.parametrize(
    "address",
    ["1.1.1.1", "9.255.255.255", "11.0.0.0", "172.32.0.0", "192.0.0.9", "2606:4700::1111", "2a00::1", "2001:200::1"],
)
def test_a_public_address_has_none(address: str) -> None:
    assert SHIPPED.why(address) is None


@pytest.mark.parametrize(
    ("address", "why"),
    [
        ("64:ff9b::808:808", None),
        ("64:ff9b::a00:1", "NAT64 of 10.0.0.1: private use (RFC 1918)"),
        ("2002:808:808::1", None),
        ("2002:c0a8:101::1", "6to4 of 192.168.1.1: private use (RFC 1918)"),
        ("64:ff9b:1::808:808", None),
    ],
)
def test_a_translated_address_is_as_public_as_the_one_it_carries(address: str, why: str | None) -> None:
    assert SHIPPED.why(address) == why


PYTHONS_DIFFER = [
    ipaddress.ip_network(prefix)
    for prefix in (
        *(
            "192.0.0.0/24",
            "192.88.99.0/24",
            "::ffff:0:0/96",
            "64:ff9b::/96",
            "64:ff9b:1::/48",
            "2001::/23",
            "2002::/16",
        ),
        *("100:0:0:1::/64", "3fff::/20", "5f00::/16", "fec0::/10"),
    )
]
"""Where the registry that Python carries is older than ours, or ours says more."""


@given(st.ip_addresses())
def test_elsewhere_it_agrees_with_the_registry_that_python_carries(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address,
) -> None:
    if not any(address in network for network in PYTHONS_DIFFER):
        assert (SHIPPED.why(str(address)) is None) == (address.is_global and not address.is_multicast)


def test_the_longest_prefix_decides_whatever_the_order() -> None:
    rows = ["10.0.0.0/8,wide", "10.1.0.0/16,", "10.1.2.0/24,narrow", "10.1.2.3/32,"]
    for order in (rows, rows[::-1]):
        bogons = Bogons.parse("\n".join(order), "list")
        assert [bogons.why(a) for a in ("10.9.9.9", "10.1.9.9", "10.1.2.9", "10.1.2.3")] == [
            "wide",
            None,
            "narrow",
            None,
        ]


def test_an_empty_list_calls_nothing_private() -> None:
    assert Bogons.parse("prefix,why\n", "list").why("10.0.0.1") is None
    assert Bogons().why("::1") is None


def test_whole_families_fit() -> None:
    bogons = Bogons.parse("0.0.0.0/0,all four\n::/0,all six", "list")
    assert (bogons.why("255.255.255.255"), bogons.why("ffff::")) == ("all four", "all six")


def test_a_list_may_have_a_mark_comments_blank_lines_and_quotes() -> None:
    bogons = Bogons.parse('\ufeffprefix,why\r\n\r\n# ours\r\n10.0.0.0/8,"ours, all of it"\r\n', "list")
    assert bogons.why("10.0.0.1") == "ours, all of it"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("prefix,why\n10.0.0.1/8,x", "list line 2: 10.0.0.1/8 has bits beyond its length; write 10.0.0.0/8"),
        ("\n\nten/8,x", "list line 3: 'ten/8' is no prefix; write one such as 192.168.0.0/16 or fc00::/7"),
        ("10.0.0.0/8", "list line 1: 1 columns; write prefix,why and quote a reason that has a comma"),
        ("10.0.0.0/8,a,b", "list line 1: 3 columns; write prefix,why and quote a reason that has a comma"),
        ("::1,a\n::1/128,b", "list line 2: ::1/128 is in the list already; keep one of the two lines"),
        ('::1,a\n::2,"b', "list line 2: no CSV from here on (unexpected end of data); close the quotation mark"),
    ],
)
def test_a_bad_list_is_refused_by_line(text: str, message: str) -> None:
    with pytest.raises(BadBogons) as refused:
        Bogons.parse(text, "list")
    assert str(refused.value) == message


def test_what_is_no_address_is_a_callers_mistake() -> None:
    with pytest.raises(ValueError, match=r"example\.org"):
        SHIPPED.why("example.org")
