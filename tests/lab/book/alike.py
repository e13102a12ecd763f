"""What looks like a block and is not, and what home and school do: the first things that an expert would object.

The site's own edge turns a country away; an address, a cache or a whole place of many is dead; the path is
narrow, full or lossy; the lookup is old, badly signed or slow. None of it may be called `blocked`. Filters
that the volunteer's own network, or a resolver on purpose, puts in the way are blocks, and said to be theirs.
"""

from __future__ import annotations

from tests.lab.book.verdicts import ACCESSIBLE, DOWN, FACEBOOK, UNDECIDED, blocked, everywhere
from tests.lab.scenario import AddressFilter, Delay, Expect, HelloFilter, HostFilter, ResolverLie, Scenario
from tests.lab.sites import HOSTER
from tests.lab.world import ConnectionLoss, LossyLine, PathMtu, SynLimit

RADIO = ("freeradio.example",)
UNREACHABLE = Expect(outcome="unreachable")
STALE = Expect(outcome="unreachable", reason="stale_dns")
NARROW = Expect(outcome=("invalid", "unreachable"), reason="path_mtu")
LOSSY = Expect(outcome=("accessible", "inconclusive"))
PARTIAL = Expect(outcome="accessible", pattern="partial")


def turned_away(kind: str, about: str, seen: str) -> Scenario:
    """Return a scenario of a site whose own edge turns the country's visitors away, by the name in their hellos."""
    return Scenario(
        name=f"edge-{kind}",
        about=about,
        target=f"https://geo-{kind}.example/",
        expect=UNREACHABLE,
        without_control=UNDECIDED,
        seen=seen,
        abroad=f"http 200 geo-{kind}.example",
    )


EDGES = (
    turned_away(
        "alert", "Both servers of a network that has many names refuse one of them here.", "tls alert TLSV1_UNR*"
    ),
    turned_away("eof", "The site's own edge hangs up on the country's visitors.", "tls eof"),
    turned_away("reset", "The site's own edge resets the country's visitors when it reads the name.", "tls reset"),
    turned_away("tarpit", "The site's own edge lets the country's visitors wait for ever.", "tls timeout"),
    Scenario(
        name="edge-resets-host",
        about="The site's own server resets requests from the country, in clear.",
        target="http://freeradio.example/",
        mechanisms=(HostFilter(names=RADIO, action="reset", by="srv"),),
        expect=UNREACHABLE,
        without_control=UNDECIDED,
        seen="http reset",
        abroad="http 200 freeradio.example",
    ),
    Scenario(
        name="edge-drops-host",
        about="The site's own server swallows requests from the country, in clear.",
        target="http://freeradio.example/",
        mechanisms=(HostFilter(names=RADIO, action="drop", by="srv"),),
        expect=UNREACHABLE,
        without_control=UNDECIDED,
        seen="http timeout",
        abroad="http 200 freeradio.example",
    ),
    Scenario(
        name="origin-prohibits",
        about="The site's border router says that the country's visitors are prohibited.",
        mechanisms=(AddressFilter(addresses=FACEBOOK, action="unreachable", by="edge"),),
        expect=UNREACHABLE,
        without_control=UNDECIDED,
        seen="tcp unreachable",
    ),
    Scenario(
        name="origin-refuses-one-port",
        about="The site's firewall resets the country's visitors at port 443, and serves them at port 80.",
        mechanisms=(AddressFilter(addresses=FACEBOOK, action="reset", port=443, by="edge"),),
        expect=UNREACHABLE,
        without_control=UNDECIDED,
        seen="tcp reset",
    ),
    Scenario(
        name="origin-drops-answers",
        about="The site's firewall lets the country's packets in, and nothing out to it.",
        mechanisms=(AddressFilter(addresses=FACEBOOK, action="drop", back=True, by="edge"),),
        expect=UNREACHABLE,
        without_control=UNDECIDED,
        seen="tcp timeout",
    ),
    Scenario(
        name="dead-place-of-many",
        about="The place to which this country is routed is dead behind one of the site's addresses.",
        target="https://anycast.example/",
        mechanisms=(AddressFilter(addresses=("203.0.113.87",), action="drop", by="edge"),),
        expect=PARTIAL,
        seen="tcp timeout",
        abroad="http 200 anycast.example",
    ),
    Scenario(
        name="one-place-refuses",
        about="The servers behind one of the site's addresses reset the country's visitors, those at the other do not.",
        target="https://anycast.example/",
        mechanisms=(HelloFilter(names=("anycast.example",), action="reset", addresses=("203.0.113.87",), by="srv"),),
        expect=PARTIAL,
        seen="tls reset",
        abroad="http 200 anycast.example",
    ),
    Scenario(
        name="isp-cache-dead",
        about="The ISP's resolver gives a cache of the site's that stands in the ISP, and that is out of order.",
        target="https://isp-cache.example/",
        expect=UNREACHABLE,
        seen="tcp reset",
        abroad="http 200 isp-cache.example",
    ),
    Scenario(
        name="geo-page-200-https",
        about="The site tells the country's visitors under its own certificate and status 200 that it is not for them.",
        target="https://geo-200.example/",
        expect=Expect(outcome=("server_side", "accessible")),
        seen="http 200 Not available",
        abroad="http 200 geo-200.example",
    ),
    Scenario(
        name="geo-page-200-http",
        about="The same in clear.",
        target="http://geo-200.example/",
        expect=Expect(outcome=("server_side", "inconclusive")),
        without_control=Expect(outcome=("server_side", "inconclusive", "accessible")),
        seen="http 200 Not available",
        abroad="http 200 geo-200.example",
    ),
    everywhere(
        "flapping-door",
        "One of two servers behind the site's address is broken, and resets every other hello.",
        "https://flapping-door.example/",
        Expect(outcome=("accessible", "inconclusive", "unreachable", "down")),
        "*",
    ),
    everywhere(
        "nothing-on-443",
        "Nothing listens on port 443 of a site that speaks plain HTTP only.",
        "https://freeradio.example/",
        DOWN,
        "tcp reset",
        without_control=UNDECIDED,
    ),
)

PATHS = (
    Scenario(
        name="path-mtu-large-certificate",
        about="The path carries 1280 bytes and tells nobody; a certificate of five segments dies on it.",
        target="https://many-names.example/",
        mechanisms=(PathMtu(),),
        expect=NARROW,
        without_control=Expect(outcome=("invalid", "unreachable", "inconclusive")),
        seen="tls timeout",
        abroad="http 200 many-names.example",
    ),
    Scenario(
        name="path-mtu-large-page",
        about="The same path lets the certificate pass, and not the page.",
        mechanisms=(PathMtu(),),
        expect=Expect(outcome=("invalid", "unreachable", "inconclusive")),
        seen="http timeout",
    ),
    everywhere(
        "path-mtu-tiny-page",
        "The same path, and a site whose certificate and page are small.",
        "https://tiny.example/",
        ACCESSIBLE,
        "http 200 tiny.example",
        mechanisms=(PathMtu(),),
        idle=True,
    ),
    everywhere(
        "path-mtu-told",
        "The path carries 1280 bytes and says so, as it should.",
        "https://many-names.example/",
        ACCESSIBLE,
        "http 200 many-names.example",
        mechanisms=(PathMtu(silent=False),),
        idle=True,
    ),
    everywhere(
        "large-hellos-dropped",
        "A box drops every ClientHello of two segments, whomever it names; ours fits one.",
        "https://facebook.com/",
        ACCESSIBLE,
        "http 200 facebook.com",
        mechanisms=(HelloFilter(names=(), action="drop", reads="split", by="isp"),),
        idle=True,
    ),
    Scenario(
        name="rationed-connections",
        about="The site takes six connections a minute from an address that the client shares with others.",
        mechanisms=(SynLimit(addresses=FACEBOOK, per_minute=6),),
        expect=Expect(outcome="inconclusive", reason="intermittent"),
        seen="tcp timeout",
    ),
    Scenario(
        name="rationed-redirects",
        about="The same ration at an address whose site sends us from page to page, a connection each.",
        target="https://hop-15.example/",
        mechanisms=(SynLimit(addresses=HOSTER, spent=False),),
        expect=Expect(outcome="unreachable", reason="rate_limited"),
        seen="http 302 /1",
        abroad="http 302 /1",
    ),
    Scenario(
        name="loss-30",
        about="The line loses 30 % of what is sent and answered, whatever the name.",
        mechanisms=(LossyLine(percent=16),),
        expect=LOSSY,
        seen="*",
    ),
    Scenario(
        name="loss-30-http",
        about="The same line, and a plain HTTP site.",
        target="http://freeradio.example/",
        mechanisms=(LossyLine(percent=16),),
        expect=LOSSY,
        seen="*",
        abroad="http 200 freeradio.example",
    ),
    Scenario(
        name="loss-30-and-down",
        about="The same line, and a site that answers nobody.",
        target="https://gone.example/",
        mechanisms=(LossyLine(percent=16),),
        expect=Expect(outcome=("down", "inconclusive")),
        seen="*",
        abroad="tcp timeout",
    ),
    Scenario(
        name="translation-table-full",
        about="The ISP's table of connections is full: 30 % of new ones are lost, whatever is tried on them.",
        mechanisms=(ConnectionLoss(percent=30),),
        expect=Expect(outcome=("accessible", "inconclusive", "unreachable")),
        seen="*",
    ),
    everywhere(
        "roaming",
        "The line is 300 ms long, and the resolver gives another of the site's places than others do.",
        "https://video.example/",
        ACCESSIBLE,
        "http 200 video.example",
        mechanisms=(Delay(rtt=300),),
    ),
)


def old_answer(name: str, about: str, site: str, seen: str, *, scheme: str = "https") -> Scenario:
    """Return a scenario in which the ISP's resolver still gives an address that the site has left."""
    return Scenario(
        name=f"stale-{name}",
        about=about,
        target=f"{scheme}://{site}.example/",
        expect=STALE,
        seen=seen,
        abroad=f"http 200 {site}.example",
    )


LOOKUPS = (
    old_answer("dead", "The resolver gives the site's old address, where nobody lives.", "resettled", "tcp timeout"),
    old_answer(
        "default-http",
        "The old hoster knows no such customer.",
        "changed-hoster",
        "http 404",
        scheme="http",
    ),
    old_answer(
        "default-https", "The old hoster refuses a name that it does not know.", "changed-hoster", "tls alert *"
    ),
    old_answer(
        "suspended",
        "The old hoster says of every name that it has blocked it for an unpaid bill.",
        "left-unpaid",
        "http 200 Account suspended",
        scheme="http",
    ),
    old_answer("suspended-https", "The same hoster, asked over HTTPS, refuses the name.", "left-unpaid", "tls alert *"),
    old_answer(
        "other-certificate",
        "At the old address a stranger's certificate answers.",
        "neighbour-answers",
        "tls untrusted *",
    ),
    old_answer(
        "wildcard",
        "The old address is given for any label below the name, as the new one is elsewhere.",
        "moved-wildcard",
        "http 200 Account suspended",
        scheme="http",
    ),
    Scenario(
        name="dnssec-old-anchor",
        about="The ISP's resolver checks signatures by a key that the zone no longer uses, and so answers SERVFAIL.",
        target="https://rollover.example/",
        expect=Expect(outcome="unreachable", reason="dnssec"),
        seen="dns servfail",
        abroad="http 200 rollover.example",
    ),
    everywhere(
        "dnssec-lapsed",
        "The zone's signatures have lapsed: every resolver that checks them answers SERVFAIL.",
        "https://lapsed.example/",
        DOWN,
        "dns servfail",
        without_control=Expect(outcome=("down", "unreachable", "inconclusive")),
    ),
    Scenario(
        name="geo-dns-no-data",
        about="The site's own name servers give resolvers of this country no address.",
        target="https://geo-dns.example/",
        expect=UNREACHABLE,
        seen="dns nodata",
        abroad="http 200 geo-dns.example",
    ),
    Scenario(
        name="resolver-slow-for-name",
        about="The resolver takes a second for this name.",
        mechanisms=(ResolverLie(answer="truth", wait=1.0),),
        expect=ACCESSIBLE,
        seen="http 200 facebook.com",
    ),
    Scenario(
        name="resolver-too-slow-for-name",
        about="The resolver takes longer for this name than anybody waits.",
        mechanisms=(ResolverLie(answer="truth", wait=6.0),),
        expect=Expect(outcome=("accessible", "unreachable", "inconclusive")),
        seen="dns timeout",
    ),
)

FILTERS = (
    Scenario(
        name="resolver-filters-malware",
        about="The ISP's resolver denies names that it holds for harmful, and says so (EDE 17).",
        mechanisms=(ResolverLie(answer="nxdomain", ede=17),),
        expect=blocked("dns.nxdomain", "name", "resolver"),
        seen="dns nxdomain",
    ),
    Scenario(
        name="resolver-filters-to-nowhere",
        about="The same, with 0.0.0.0 for an answer.",
        mechanisms=(ResolverLie(answer="0.0.0.0", ede=17),),
        expect=blocked("dns.bogon", "name", "resolver"),
        seen="tcp reset",
    ),
    Scenario(
        name="home-filter-to-nowhere",
        about="A filter at home takes every question, and answers 0.0.0.0 for the name.",
        mechanisms=(ResolverLie(answer="0.0.0.0", at="home"),),
        expect=blocked("dns.bogon", "name", "local"),
        seen="tcp reset",
    ),
    Scenario(
        name="home-filter-denies",
        about="A filter at home takes every question, and denies the name.",
        mechanisms=(ResolverLie(answer="nxdomain", at="home"),),
        expect=blocked("dns.nxdomain", "name", "local"),
        seen="dns nxdomain",
    ),
    Scenario(
        name="school-page",
        about="The school's router answers requests for the name with its own page.",
        target="http://freeradio.example/",
        mechanisms=(HostFilter(names=RADIO, action="page", by="home"),),
        expect=blocked("http.blockpage", "name", "local"),
        seen="http 200 Access denied",
        abroad="http 200 freeradio.example",
    ),
    Scenario(
        name="school-drops-hello",
        about="The school's router swallows hellos with the name.",
        mechanisms=(HelloFilter(action="drop", by="home"),),
        expect=blocked("tls.timeout", "name", "local"),
        seen="tls timeout",
    ),
    Scenario(
        name="school-drops-address",
        about="The school's router drops what goes to the site's address.",
        mechanisms=(AddressFilter(addresses=FACEBOOK, action="drop", by="home"),),
        expect=blocked("tcp.timeout", "address", "local"),
        without_control=Expect(outcome=("blocked", "inconclusive")),
        seen="tcp timeout",
    ),
)

ALIKE = (*EDGES, *PATHS, *LOOKUPS, *FILTERS)
