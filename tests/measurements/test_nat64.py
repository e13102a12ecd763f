"""IPv4 inside IPv6, by the examples of RFC 6052 and whatever else may be asked."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from measurements.nat64 import KNOWN, LENGTHS, embed, find_prefix, plain

EXAMPLES = {  # RFC 6052, 2.4
    "2001:db8::/32": "2001:db8:c000:221::",
    "2001:db8:100::/40": "2001:db8:1c0:2:21::",
    "2001:db8:122::/48": "2001:db8:122:c000:2:2100::",
    "2001:db8:122:300::/56": "2001:db8:122:3c0:0:221::",
    "2001:db8:122:344::/64": "2001:db8:122:344:c0:2:2100:0",
    "2001:db8:122:344::/96": "2001:db8:122:344::c000:221",
    "64:ff9b::/96": "64:ff9b::c000:221",
}


@pytest.mark.parametrize(("prefix", "address"), EXAMPLES.items())
def test_the_examples_of_the_standard(prefix: str, address: str) -> None:
    assert embed("192.0.2.33", prefix) == address
    assert plain(address, prefix) == "192.0.2.33"


@given(
    st.integers(0, 2**128 - 1).map(ipaddress.IPv6Address),
    st.sampled_from(LENGTHS),
    st.integers(0, 2**32 - 1).map(ipaddress.IPv4Address),
)
def test_what_is_put_in_comes_out(start: ipaddress.IPv6Address, length: int, inside: ipaddress.IPv4Address) -> None:
    prefix = str(ipaddress.IPv6Network((start, length), strict=False))
    assert plain(embed(str(inside), prefix), prefix) == str(inside)


@pytest.mark.parametrize("length", LENGTHS)
def test_a_prefix_is_found_by_the_known_addresses(length: int) -> None:
    prefix = str(ipaddress.IPv6Network(("2001:db8:1:2::", length), strict=False))
    assert find_prefix([embed(known, prefix) for known in sorted(KNOWN)]) == prefix


@pytest.mark.parametrize("addresses", [[], ["2001:db8::1"], ["192.0.0.170"], ["no address"]])
def test_where_nothing_was_made_up_there_is_none(addresses: list[str]) -> None:
    assert find_prefix(addresses) is None


@pytest.mark.parametrize("address", ["192.0.2.1", "2001:db8::1", "::1"])
def test_other_addresses_stay_as_they_are(address: str) -> None:
    assert plain(address, "64:ff9b::/96") == address
    assert plain("64:ff9b::c000:221", None) == "64:ff9b::c000:221"
