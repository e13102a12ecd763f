"""Who lives in the lab: the sites, each on addresses of its own, the witnesses, and the resolvers.

A site on the list below is a page under its own name. What is odd about a site is a field here;
what is done to a site on the way is a scenario's matter.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Certificate = Literal[
    "good", "expired", "self_signed", "stranger", "default", "other_name", "no_intermediate", "long_chain", "many_names"
]
Door = Literal["open", "plain", "old_tls", "geo_alert", "geo_eof", "geo_reset", "geo_tarpit", "flapping", "drip"]


@dataclass(frozen=True, slots=True)
class Site:
    """A web site. `dead` addresses are in the DNS and answer nothing.

    `by_resolver` gives each resolver (the ISP's, then the public ones) its own addresses.
    `home` is where `/` redirects to over https (or http for a site without TLS), `http_home` over http.
    `refuses` is the status with which the site itself refuses everybody, `https_record` the data of its HTTPS
    record (RFC 9460), `tls` the versions that it speaks, in nginx's words.
    `origin` and `door` say how it answers requests and handshakes: see `answers.py` and `origin.py`, which then
    serve it instead of nginx. `wildcard` gives any label below the name the same addresses; a `members_only` site
    wants a certificate of its visitors. A name that is `signed` is looked up from its own name server, where its
    signatures have lapsed, or its keys are new and the ISP still trusts the old ones. One that is
    `withheld` is looked up so too, and the name server gives the country no address. `records` are more of what
    the DNS says of it.
    `http3` says whether it speaks it (`h3.py`) and announces that by Alt-Svc; one that is `claimed` is announced and
    not spoken.
    """

    name: str
    addresses: tuple[str, ...]
    address6: str | None = None
    http2: bool = False
    https: bool = True
    certificate: Certificate = "good"
    dead: tuple[str, ...] = ()
    by_resolver: tuple[tuple[str, ...], ...] = ()
    home: str | None = None
    http_home: str | None = None
    page_bytes: int = 4000
    origin: str | None = None
    refuses: int | None = None
    https_record: str = ""
    tls: str = "TLSv1.2 TLSv1.3"
    door: Door = "open"
    wildcard: bool = False
    members_only: bool = False
    signed: Literal["rollover", "lapsed"] | None = None
    withheld: bool = False
    records: tuple[str, ...] = ()
    http3: Literal["", "announced", "unannounced", "claimed"] = ""

    @property
    def by_hand(self) -> bool:
        """Whether nginx is too well-behaved to serve it."""
        return self.origin is not None or self.door != "open"

    @property
    def alive(self) -> tuple[str, ...]:
        """Where it answers, over IPv4 and IPv6."""
        own = (*self.addresses, *((self.address6,) if self.address6 else ()))
        return tuple(address for address in own if address not in self.dead)

    def addresses_at(self, resolver: int) -> tuple[str, ...]:
        return self.by_resolver[resolver] if self.by_resolver else self.addresses


@dataclass(frozen=True, slots=True)
class Host:
    """A harmless site on an address that also answers for any other name, as many servers do."""

    name: str
    address: str
    address6: str


# Sites that answer by hand, in the words of `answers.ANSWERS`.
BY_HAND = (
    *("captcha", "geo-403", "geo-451", "refuses-control", "drops-control", "wall-403", "wall-429", "wall-503"),
    *("error-500", "changing", "news-title", "headers-near", "headers-beyond", "zipped", "bomb", "short", "cold"),
    *("loop", "hop-15", "hop-100", "cookie", "http-10", "garbage", "empty", "no-content", "meta", "by-country"),
    *("broken-location", "firewall", "flapping", "geo-200", "drip-head", "drip-body", "drip-hops"),
    *("chronicle", "suspicious", "barred", "noticed"),
)

# What the volunteers' list asks about in most scenarios.
POPULAR = (
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
    Site("withheld.example", ("203.0.113.57",), refuses=451),
)

# Sites that browsers open over QUIC, or try to.
SWIFT = (
    Site("swift.example", ("203.0.113.60",), http2=True, http3="announced"),
    Site("swift-six.example", (), "2001:db8:113::61", http2=True, http3="announced"),
    Site("modest.example", ("203.0.113.62",), http2=True, http3="unannounced"),
    Site("boastful.example", ("203.0.113.63",), http2=True, http3="claimed"),
    Site(
        "recorded.example",
        ("203.0.113.64",),
        http2=True,
        https_record="1 . alpn=h3,h2 ipv4hint=203.0.113.64",
        http3="unannounced",
    ),
)

# The ISP's block page under a name of its own; it lives with the ISP, not with the sites.
BLOCKER = Site("blocked.isp.example", ("198.51.100.81",))


def seen_here_as(ours: str, *theirs: str) -> tuple[tuple[str, ...], ...]:
    """Return what each resolver gives: the ISP's one address, the public ones others."""
    return ((ours,), theirs, theirs)


HOSTER = ("203.0.113.70",)  # one address, many customers
DOORMAN = ("203.0.113.71",)
CAREFREE = ("203.0.113.72",)  # takes whatever certificate its customers bring
STRICT_HOSTER = ("203.0.113.92",)  # shows every name that it does not know, or knows too well, the door
NEW_HOME = ("203.0.113.90",)
ISP_CACHE = "198.51.100.91"  # a cache of somebody else's that stands in the ISP, and is out of order
RADIO = "радио.example".encode("idna").decode()

ODD = (
    *(Site(f"{name}.example", HOSTER, origin=name.replace("-", "_")) for name in BY_HAND),
    Site("old-tls.example", DOORMAN, door="old_tls"),
    Site("plain-443.example", DOORMAN, door="plain"),
    Site("geo-alert.example", ("203.0.113.71", "203.0.113.73"), door="geo_alert"),
    Site("geo-eof.example", DOORMAN, door="geo_eof"),
    Site("geo-reset.example", DOORMAN, door="geo_reset"),
    Site("geo-tarpit.example", DOORMAN, door="geo_tarpit"),
    Site("drip-hello.example", DOORMAN, door="drip"),
    Site("self-signed.example", CAREFREE, certificate="self_signed"),
    Site("untrusted.example", CAREFREE, certificate="stranger"),
    Site("default.example", CAREFREE, certificate="default"),
    Site("wrong-name.example", CAREFREE, certificate="other_name"),
    Site("no-intermediate.example", CAREFREE, certificate="no_intermediate"),
    Site("long-chain.example", CAREFREE, certificate="long_chain"),
    Site("many-names.example", ("203.0.113.74",), certificate="many_names", page_bytes=300),
    Site("members.example", ("203.0.113.84",), members_only=True),
    Site("tiny.example", ("203.0.113.75",), page_bytes=300),
    Site(RADIO, ("203.0.113.76",), http_home="https://radio.example/", home="https://radio.example/"),
    Site("radio.example", ("203.0.113.77",), home="https://the-radio.example/"),
    Site("the-radio.example", ("203.0.113.78",)),
    Site("wildcard.example", ("203.0.113.79",), wildcard=True),
    Site("six-dead.example", ("203.0.113.80",), "2001:db8:113::80", dead=("2001:db8:113::80",)),
    Site("edition-zz.example", ("203.0.113.81",)),
    Site("link-http.example", ("203.0.113.82",), home="http://freeradio.example/"),
    Site("link-https.example", ("203.0.113.82",), home="https://facebook.com/"),
    Site("link-clear.example", ("203.0.113.82",), https=False, http_home="https://facebook.com/"),
    Site("moved-away.example", ("203.0.113.82",), home="https://no-such-site.example/"),
    Site("clip.example", ("203.0.113.83",), https=False, page_bytes=20_000_000),
    Site("rollover.example", ("203.0.113.86",), signed="rollover"),
    Site("lapsed.example", ("203.0.113.86",), signed="lapsed"),
    Site("anycast.example", ("203.0.113.87", "203.0.113.88"), http2=True),
    Site("isp-cache.example", ("203.0.113.89",), by_resolver=seen_here_as(ISP_CACHE, "203.0.113.89")),
    Site("resettled.example", NEW_HOME, by_resolver=seen_here_as("203.0.113.91", *NEW_HOME)),
    Site("vacated.example", ("203.0.113.91",), dead=("203.0.113.91",)),
    Site("changed-hoster.example", NEW_HOME, by_resolver=seen_here_as(*HOSTER, *NEW_HOME)),
    Site("left-unpaid.example", NEW_HOME, by_resolver=seen_here_as(*STRICT_HOSTER, *NEW_HOME)),
    Site("strict-hoster.example", STRICT_HOSTER, origin="suspended"),
    Site("neighbour-answers.example", NEW_HOME, by_resolver=seen_here_as(*CAREFREE, *NEW_HOME)),
    Site("moved-wildcard.example", NEW_HOME, by_resolver=seen_here_as(*STRICT_HOSTER, *NEW_HOME), wildcard=True),
    Site("geo-dns.example", ("203.0.113.93",), withheld=True),
    Site("flapping-door.example", DOORMAN, door="flapping"),
    Site("localhost.example", (), by_resolver=(("127.0.0.1",),) * 3),
    Site("no-address.example", (), records=("no-address.example. 60 IN CNAME nowhere.no-address.example.",)),
)

SITES = (*POPULAR, *SWIFT, *ODD)

WITNESSES = (
    Host("library.example", "192.0.2.10", "2001:db8:192::10"),
    Host("weather.example", "192.0.2.11", "2001:db8:192::11"),
    Host("university.example", "192.0.2.12", "2001:db8:192::12"),
    Host("gardening.example", "192.0.2.13", "2001:db8:192::13"),
)

DOMESTIC = (Host("bank.example", "198.51.100.95", "2001:db8:b0::95"),)
"""Witnesses inside the country, which the border has no part in."""

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
