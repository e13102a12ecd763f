"""The chapters about the world as it is: what they claim to cover is there, and sites live where sites live."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

from tests.lab.book import AWAITED, BOOK
from tests.lab.book.ooni import OONI_CASES
from tests.lab.sites import SITES

SITES_LIVE_IN = [ip_network("203.0.113.0/24"), ip_network("2001:db8:113::/64")]


def test_only_scenarios_of_the_book_are_awaited() -> None:
    assert BOOK.keys() >= AWAITED


def test_every_case_of_ooni_has_its_equivalent() -> None:
    assert {case: name for case, name in OONI_CASES.items() if name not in BOOK} == {}
    assert len(OONI_CASES) == 50


def test_every_site_has_a_name_of_its_own_and_lives_where_sites_live() -> None:
    assert len({site.name for site in SITES}) == len(SITES)
    strays = [a for site in SITES for a in site.alive if not any(ip_address(a) in net for net in SITES_LIVE_IN)]
    assert strays == []
