"""Where it happens: the same interferences, as `trace` finds them, and ways on which nobody interferes."""

from __future__ import annotations

from msgspec.structs import replace

from tests.lab.book.alike import ALIKE
from tests.lab.book.verdicts import ACCESSIBLE, FACEBOOK, NO_CONTROL, NOT_FROM_HERE, blocked
from tests.lab.scenario import AddressFilter, Delay, DnsTampering, Expect, HelloFilter, HostFilter, Scenario

RADIO = "http://freeradio.example/"
NEWS6 = "2001:db8:113::13"

TRACE = (
    Scenario(
        name="trace-reset-at-border",
        about="A ClientHello with the name is answered with resets at the border.",
        nettest="trace",
        mechanisms=(HelloFilter(action="reset"),),
        expect=blocked("tls.reset", "name", "network"),
        seen="tls reset",
    ),
    Scenario(
        name="trace-reset-at-isp",
        about="The same by the ISP's first router, with the world 60 ms away.",
        nettest="trace",
        mechanisms=(HelloFilter(action="reset", by="isp"), Delay(rtt=60)),
        expect=blocked("tls.reset", "name", "network"),
        seen="tls reset",
    ),
    Scenario(
        name="trace-reset-at-home",
        about="The same by the home router.",
        nettest="trace",
        mechanisms=(HelloFilter(action="reset", by="home"),),
        expect=blocked("tls.reset", "name", "local"),
        seen="tls reset",
    ),
    Scenario(
        name="trace-dropped-at-border",
        about="A ClientHello with the name is swallowed at the border.",
        nettest="trace",
        mechanisms=(HelloFilter(action="drop"),),
        expect=blocked("tls.timeout", "name", "network"),
        seen="tls timeout",
    ),
    Scenario(
        name="trace-dns-forged-at-isp",
        about="The ISP's first router answers questions about the name before the resolver does.",
        nettest="trace",
        mechanisms=(DnsTampering(action="forge"),),
        expect=blocked("dns.injected", "name", "network"),
        seen="dns 10.1.2.3 then 203.0.113.10",
    ),
    Scenario(
        name="trace-dns-dropped-at-isp",
        about="The ISP's first router drops questions about the name.",
        nettest="trace",
        mechanisms=(DnsTampering(action="drop"),),
        expect=blocked("dns.timeout", "name", "network"),
        seen="dns timeout",
    ),
    Scenario(
        name="trace-page-at-border",
        about="A request with the Host is answered with a block page at the border.",
        nettest="trace",
        target=RADIO,
        mechanisms=(HostFilter(names=("freeradio.example",), action="page"),),
        expect=blocked("http.blockpage", "name", "network"),
        seen="http 200 Access denied",
        abroad="http 200 freeradio.example",
    ),
    Scenario(
        name="trace-syn-dropped",
        about="The border router drops packets to the site's address.",
        nettest="trace",
        mechanisms=(AddressFilter(addresses=FACEBOOK, action="drop"),),
        expect=blocked("tcp.timeout", "address", "network"),
        without_control=NO_CONTROL,
        seen="tcp timeout",
    ),
    Scenario(
        name="trace-ipv6",
        about="The border router resets connections to an IPv6 address.",
        nettest="trace",
        target=f"http://[{NEWS6}]/",
        mechanisms=(AddressFilter(addresses=(NEWS6,), action="reset"),),
        expect=blocked("tcp.reset", "address", "network"),
        without_control=NO_CONTROL,
        seen="tcp reset",
        abroad="http 200 news.example",
    ),
    Scenario(
        name="trace-open",
        about="Nothing is wrong.",
        nettest="trace",
        expect=ACCESSIBLE,
        seen="http 200 facebook.com",
    ),
    Scenario(
        name="trace-open-redirected",
        about="HTTP that redirects to the same site's HTTPS, where nothing is wrong either.",
        nettest="trace",
        target="http://twitter.com/",
        expect=ACCESSIBLE,
        seen="http 301 https://twitter.com/",
        abroad="http 301 https://twitter.com/",
    ),
    Scenario(
        name="trace-site-resets",
        about="The site's own server resets handshakes from the client's network.",
        nettest="trace",
        mechanisms=(HelloFilter(action="reset", by="srv"),),
        expect=Expect(outcome="unreachable"),
        without_control=Expect(outcome=("unreachable", "inconclusive")),
        seen="tls reset",
    ),
    Scenario(
        name="trace-edge-drops",
        about="The border router of the site's own network drops the client's packets.",
        nettest="trace",
        mechanisms=(AddressFilter(addresses=FACEBOOK, action="drop", by="edge"),),
        expect=NOT_FROM_HERE,
        without_control=NO_CONTROL,
        seen="tcp timeout",
    ),
    replace(
        next(scenario for scenario in ALIKE if scenario.name == "geo-dns-no-data"),
        name="trace-geo-dns-no-data",
        nettest="trace",
    ),
    Scenario(
        name="trace-open-http",
        about="A site that speaks plain HTTP only.",
        nettest="trace",
        target=RADIO,
        expect=ACCESSIBLE,
        without_control=Expect(outcome="inconclusive"),
        seen="http 200 freeradio.example",
        abroad="http 200 freeradio.example",
    ),
    Scenario(
        name="trace-ipv6-site-resets",
        about="The site's own firewall resets connections to its IPv6 address.",
        nettest="trace",
        target=f"http://[{NEWS6}]/",
        mechanisms=(AddressFilter(addresses=(NEWS6,), action="reset", by="srv"),),
        expect=NOT_FROM_HERE,
        without_control=NO_CONTROL,
        seen="tcp reset",
        abroad="http 200 news.example",
    ),
)
