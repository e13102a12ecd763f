"""Who lives in the lab: the sites, each on addresses of its own, the witnesses, and the resolvers.

A site on the list below is a page under its own name. What is odd about a site is a field here;
what is done to a site on the way is a scenario's matter.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Site:
    """A web site. `dead` addresses are in the DNS and answer nothing.

    `by_resolver` gives each resolver (the ISP's, then the public ones) its own addresses.
    `home` is where `/` redirects to over https (or http for a site without TLS), `http_home` over http.
    `refuses` is the status with which the site itself refuses everybody, `https_record` the data of its HTTPS
    record (RFC 9460), `tls` the versions that it speaks, in nginx's words.
    """

    name: str
    addresses: tuple[str, ...]
    address6: str | None = None
    http2: bool = False
    https: bool = True
    certificate: Literal["good", "expired"] = "good"
    dead: tuple[str, ...] = ()
    by_resolver: tuple[tuple[str, ...], ...] = ()
    home: str | None = None
    http_home: str | None = None
    page_bytes: int = 4000
    origin: str | None = None  # "slow": answers come from `origin.py`
    refuses: int | None = None
    https_record: str = ""
    tls: str = "TLSv1.2 TLSv1.3"

    def addresses_at(self, resolver: int) -> tuple[str, ...]:
        return self.by_resolver[resolver] if self.by_resolver else self.addresses


@dataclass(frozen=True, slots=True)
class Host:
    """A harmless site on an address that also answers for any other name, as many servers do."""

    name: str
    address: str
    address6: str


SITES = (
    Site("facebook.com", ("203.0.113.10",), http2=True),
    Site("twitter.com", ("203.0.113.11",), http_home="https://twitter.com/"),
    Site("freeradio.example", ("203.0.113.12",), https=False),
    Site("news.example", ("203.0.113.13",), "2001:db8:113::13", http2=True),
    Site("old-name.example", ("203.0.113.14",), home="https://news.example/", http_home="https://old-name.example/"),
    Site("expired.example", ("203.0.113.15",), certificate="expired"),
    Site("large.example", ("203.0.113.16",), http2=True, page_bytes=20_000_000),
    Site("slow.example", ("203.0.113.17",), origin="slow"),
    Site(
        "video.example",
        ("203.0.113.20", "203.0.113.21", "203.0.113.22"),
        http2=True,
        by_resolver=(("203.0.113.20",), ("203.0.113.21",), ("203.0.113.22",)),
    ),
    Site("three.example", ("203.0.113.30", "203.0.113.31", "203.0.113.32"), dead=("203.0.113.31",)),
    Site("gone.example", ("203.0.113.40",), dead=("203.0.113.40",)),
    Site("six.example", (), "2001:db8:113::50", http2=True),
    Site(
        "dual.example",
        ("203.0.113.51",),
        "2001:db8:113::51",
        http2=True,
        https_record="1 . alpn=h2 ipv4hint=203.0.113.51 ipv6hint=2001:db8:113::51",
    ),
    Site("older.example", ("203.0.113.52",), tls="TLSv1.2"),
    Site("newer.example", ("203.0.113.53",), http2=True, tls="TLSv1.3"),
    Site("two.example", ("203.0.113.54", "203.0.113.55"), http2=True),
    Site("clear-link.example", ("203.0.113.56",), home="http://freeradio.example/"),
    Site("withheld.example", ("203.0.113.57",), refuses=451),
)

# The ISP's block page under a name of its own; it lives with the ISP, not with the sites.
BLOCKER = Site("blocked.isp.example", ("198.51.100.81",))

WITNESSES = (
    Host("library.example", "192.0.2.10", "2001:db8:192::10"),
    Host("weather.example", "192.0.2.11", "2001:db8:192::11"),
    Host("university.example", "192.0.2.12", "2001:db8:192::12"),
    Host("gardening.example", "192.0.2.13", "2001:db8:192::13"),
)

BY_NAME = {site.name: site for site in SITES}

# What no public host has, in this world: the documentation ranges are its public internet.
BOGONS = """prefix,why
0.0.0.0/8,this host (RFC 1122)
10.0.0.0/8,private (RFC 1918)
100.64.0.0/10,shared by carriers (RFC 6598)
127.0.0.0/8,loopback (RFC 1122)
169.254.0.0/16,link-local (RFC 3927)
172.16.0.0/12,private (RFC 1918)
192.168.0.0/16,private (RFC 1918)
224.0.0.0/4,multicast (RFC 1112)
240.0.0.0/4,reserved (RFC 1112)
::/128,unspecified (RFC 4291)
::1/128,loopback (RFC 4291)
fc00::/7,private (RFC 4193)
fe80::/10,link-local (RFC 4291)
ff00::/8,multicast (RFC 4291)
"""


def addresses_of(name: str) -> tuple[str, ...]:
    """Return every address of a site, IPv4 and IPv6; none when the name exists nowhere."""
    site = BY_NAME.get(name, Site(name, ()))
    return (*site.addresses, *((site.address6,) if site.address6 else ()))
