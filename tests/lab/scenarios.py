"""The book of scenarios: what may go wrong between a home and a site, and the verdict each deserves.

Every censoring one has a quiet look-alike. Verdicts follow DESIGN sections 3 and 4: `blocked` needs
proof that the site is alive and proof that something is in between; without a control, both must be
found locally, or the verdict says what is missing.
"""

from __future__ import annotations

from tests.lab.scenario import (
    AddressFilter,
    ControlCut,
    Delay,
    DnsTampering,
    Expect,
    HelloFilter,
    HostFilter,
    HttpProxy,
    LinkDown,
    ResolverLie,
    Scenario,
    ServerAlert,
    TlsInterception,
)
from tests.lab.topology import BLOCK_PAGE

ACCESSIBLE = Expect(outcome="accessible")
NO_CONTROL = Expect(outcome="inconclusive", reason="no_control")
NOT_FROM_HERE = Expect(outcome="unreachable", reason="site_or_network")
FACEBOOK = ("203.0.113.10",)


def blocked(mechanism: str | tuple[str, ...], trigger: str, where: str) -> Expect:
    """Return a proven block."""
    return Expect(outcome="blocked", mechanism=mechanism, trigger=trigger, where=where)


OPEN = Scenario(
    name="open",
    about="Nothing is wrong.",
    expect=ACCESSIBLE,
    seen="http 200 facebook.com",
)

ORDINARY = (
    OPEN,
    Scenario(
        name="open-http",
        about="A site that speaks plain HTTP only.",
        target="http://freeradio.example/",
        expect=ACCESSIBLE,
        seen="http 200 freeradio.example",
        abroad="http 200 freeradio.example",
    ),
    Scenario(
        name="open-upgrade",
        about="HTTP that redirects to the same site's HTTPS, over HTTP/1.1.",
        target="http://twitter.com/",
        expect=ACCESSIBLE,
        seen="http 301 https://twitter.com/",
        abroad="http 301 https://twitter.com/",
    ),
    Scenario(
        name="open-dual-stack",
        about="A site with an IPv4 and an IPv6 address.",
        target="https://news.example/",
        expect=ACCESSIBLE,
        seen="http 200 news.example",
        abroad="http 200 news.example",
    ),
    Scenario(
        name="open-far-away",
        about="The world is 100 ms away.",
        mechanisms=(Delay(rtt=100),),
        expect=ACCESSIBLE,
        seen="http 200 facebook.com",
    ),
    Scenario(
        name="redirect-to-another-site",
        about="The site moved to another name, two hops of redirects away.",
        target="http://old-name.example/",
        expect=ACCESSIBLE,
        seen="http 301 https://old-name.example/",
        abroad="http 301 https://old-name.example/",
    ),
    Scenario(
        name="large-file",
        about="The front page has 20 MB.",
        target="https://large.example/",
        expect=ACCESSIBLE,
        seen="http 200 large.example",
        abroad="http 200 large.example",
    ),
    Scenario(
        name="slow-site",
        about="The server thinks for two seconds and writes in pieces.",
        target="https://slow.example/",
        expect=ACCESSIBLE,
        seen="http 200 slow.example",
        abroad="http 200 slow.example",
    ),
    Scenario(
        name="cdn",
        about="Every resolver gives another address, and all of them serve.",
        target="https://video.example/",
        expect=ACCESSIBLE,
        seen="http 200 video.example",
        abroad="http 200 video.example",
    ),
    Scenario(
        name="one-of-three-dead",
        about="One of the site's three addresses answers nothing, to anybody.",
        target="https://three.example/",
        expect=Expect(outcome="accessible", pattern="partial"),
        seen="http 200 three.example",
        abroad="http 200 three.example",
    ),
    Scenario(
        name="expired-certificate",
        about="The site let its certificate expire.",
        target="https://expired.example/",
        expect=Expect(outcome="server_side"),
        without_control=Expect(outcome=("server_side", "inconclusive")),
        seen="tls untrusted certificate has expired",
        abroad="tls untrusted certificate has expired",
    ),
    Scenario(
        name="down-everywhere",
        about="The site's only address answers nothing, to anybody.",
        target="https://gone.example/",
        expect=Expect(outcome="down"),
        without_control=NO_CONTROL,
        seen="tcp timeout",
        abroad="tcp timeout",
    ),
    Scenario(
        name="no-such-domain",
        about="The name exists nowhere.",
        target="https://no-such-site.example/",
        expect=Expect(outcome="down"),
        seen="dns nxdomain",
        abroad="dns nxdomain",
    ),
    Scenario(
        name="control-unreachable",
        about="The control cannot be reached, and nothing else is wrong.",
        mechanisms=(ControlCut(),),
        expect=ACCESSIBLE,
        seen="http 200 facebook.com",
        idle=True,
    ),
    Scenario(
        name="no-network",
        about="The cable to the home router is out.",
        mechanisms=(LinkDown(),),
        expect=Expect(outcome="invalid", reason="offline"),
        seen="dns timeout",
    ),
)

DNS = (
    Scenario(
        name="dns-nxdomain",
        about="The ISP's resolver says that the name does not exist.",
        mechanisms=(ResolverLie(answer="nxdomain"),),
        expect=blocked("dns.nxdomain", "name", "resolver"),
        seen="dns nxdomain",
    ),
    Scenario(
        name="dns-refused",
        about="The ISP's resolver refuses to answer for the name.",
        mechanisms=(ResolverLie(answer="refused"),),
        expect=blocked("dns.refused", "name", "resolver"),
        seen="dns refused",
    ),
    Scenario(
        name="dns-bogon",
        about="The ISP's resolver answers with a private address.",
        mechanisms=(ResolverLie(answer="10.1.2.3"),),
        expect=blocked("dns.bogon", "name", "resolver"),
        seen="tcp unreachable",
    ),
    Scenario(
        name="dns-blockpage",
        about="The ISP's resolver answers with the address of a block page, for a plain HTTP site.",
        target="http://freeradio.example/",
        mechanisms=(ResolverLie(names=("freeradio.example",), answer=BLOCK_PAGE),),
        expect=blocked("dns.blockpage", "name", "resolver"),
        seen="http 200 Access denied",
        abroad="http 200 freeradio.example",
    ),
    Scenario(
        name="dns-blockpage-https",
        about="The same for an HTTPS site: the block page's server does not speak TLS.",
        mechanisms=(ResolverLie(answer=BLOCK_PAGE),),
        expect=blocked(("dns.blockpage", "dns.redirect"), "name", "resolver"),
        seen="tcp reset",
    ),
    Scenario(
        name="dns-dropped",
        about="A router drops every UDP query for the name, whatever resolver was asked.",
        mechanisms=(DnsTampering(action="drop"),),
        expect=blocked("dns.timeout", "name", "network"),
        seen="dns timeout",
    ),
    Scenario(
        name="dns-dropped-by-resolver",
        about="The ISP's resolver never answers for the name; it may be broken for it.",
        mechanisms=(ResolverLie(answer="silence"),),
        expect=Expect(outcome="unreachable"),
        seen="dns timeout",
    ),
    Scenario(
        name="dns-injected",
        about="A router answers before the resolver does; the true reply comes second.",
        mechanisms=(DnsTampering(action="forge"),),
        expect=blocked("dns.injected", "name", "network"),
        seen="dns 10.1.2.3 then 203.0.113.10",
    ),
    Scenario(
        name="dns-injected-far-resolver",
        about="The injector sits at the border, and the ISP's resolver is not asked through it.",
        mechanisms=(DnsTampering(action="forge", address="192.0.2.99", by="censor"), Delay(rtt=60)),
        expect=ACCESSIBLE,
        seen="http 200 facebook.com",
        idle=True,
    ),
)

TCP = (
    Scenario(
        name="syn-dropped",
        about="The border router drops packets to the site's address.",
        mechanisms=(AddressFilter(addresses=FACEBOOK, action="drop"),),
        expect=blocked("tcp.timeout", "address", "network"),
        without_control=NO_CONTROL,
        seen="tcp timeout",
    ),
    Scenario(
        name="syn-reset",
        about="The border router resets connections to the site's address.",
        mechanisms=(AddressFilter(addresses=FACEBOOK, action="reset"),),
        expect=blocked("tcp.reset", "address", "network"),
        without_control=NO_CONTROL,
        seen="tcp reset",
    ),
    Scenario(
        name="site-drops-syn",
        about="The site's own firewall drops packets from the client's network.",
        mechanisms=(AddressFilter(addresses=FACEBOOK, action="drop", by="srv"),),
        expect=NOT_FROM_HERE,
        without_control=NO_CONTROL,
        seen="tcp timeout",
    ),
    Scenario(
        name="site-resets-syn",
        about="The site's own firewall resets connections from the client's network.",
        mechanisms=(AddressFilter(addresses=FACEBOOK, action="reset", by="srv"),),
        expect=NOT_FROM_HERE,
        without_control=NO_CONTROL,
        seen="tcp reset",
    ),
    Scenario(
        name="site-edge-drops-syn",
        about="The border router of the site's own network drops them, before it would answer a trace.",
        mechanisms=(AddressFilter(addresses=FACEBOOK, action="drop", by="edge"),),
        expect=NOT_FROM_HERE,
        without_control=NO_CONTROL,
        seen="tcp timeout",
    ),
)

TLS = (
    Scenario(
        name="tls-reset",
        about="A ClientHello with the name is answered with resets.",
        mechanisms=(HelloFilter(action="reset"),),
        expect=blocked("tls.reset", "name", "network"),
        seen="tls reset",
    ),
    Scenario(
        name="tls-dropped",
        about="A ClientHello with the name is swallowed.",
        mechanisms=(HelloFilter(action="drop"),),
        expect=blocked("tls.timeout", "name", "network"),
        seen="tls timeout",
    ),
    Scenario(
        name="tls-reset-at-home",
        about="The home router resets the name: a parent's filter, not a censor.",
        mechanisms=(HelloFilter(action="reset", by="home"),),
        expect=blocked("tls.reset", "name", "local"),
        seen="tls reset",
    ),
    Scenario(
        name="tls-reset-control-unreachable",
        about="The name is reset and the control cannot be reached either.",
        mechanisms=(HelloFilter(action="reset"), ControlCut()),
        expect=blocked("tls.reset", "name", "network"),
        seen="tls reset",
    ),
    Scenario(
        name="site-resets-hello",
        about="The site's own server resets handshakes from the client's network.",
        mechanisms=(HelloFilter(action="reset", by="srv"),),
        expect=Expect(outcome="unreachable"),
        without_control=Expect(outcome=("unreachable", "inconclusive")),
        seen="tls reset",
    ),
    Scenario(
        name="site-sends-alert",
        about="The site's own server answers handshakes from the client's network with a fatal alert.",
        mechanisms=(ServerAlert(address=FACEBOOK[0]),),
        expect=Expect(outcome="unreachable"),
        without_control=Expect(outcome=("unreachable", "inconclusive")),
        seen="tls alert TLSV1_UNRECOGNIZED_NAME",
    ),
    Scenario(
        name="tls-intercepted",
        about="A box at the border ends every TLS connection under a CA that nobody trusts.",
        mechanisms=(TlsInterception(),),
        expect=blocked("tls.mitm", "any", "network"),
        seen="tls untrusted self-signed certificate in certificate chain",
    ),
    Scenario(
        name="tls-intercepted-by-name",
        about="The same box, for the target's name only.",
        mechanisms=(TlsInterception(names=("facebook.com",)),),
        expect=blocked("tls.mitm", "name", "network"),
        seen="tls untrusted self-signed certificate in certificate chain",
    ),
)

HTTP = (
    Scenario(
        name="http-blockpage",
        about="A request with the Host is answered with a block page, in the site's name.",
        target="http://freeradio.example/",
        mechanisms=(HostFilter(names=("freeradio.example",), action="page"),),
        expect=blocked("http.blockpage", "name", "network"),
        seen="http 200 Access denied",
        abroad="http 200 freeradio.example",
    ),
    Scenario(
        name="http-redirect",
        about="A request with the Host is redirected to the ISP's block page.",
        target="http://freeradio.example/",
        mechanisms=(
            HostFilter(names=("freeradio.example",), action="redirect", location=f"http://{BLOCK_PAGE}/blocked"),
        ),
        expect=blocked("http.redirect", "name", "network"),
        seen=f"http 302 http://{BLOCK_PAGE}/blocked",
        abroad="http 200 freeradio.example",
    ),
    Scenario(
        name="http-reset",
        about="A request with the Host is answered with resets.",
        target="http://freeradio.example/",
        mechanisms=(HostFilter(names=("freeradio.example",), action="reset"),),
        expect=blocked("http.reset", "name", "network"),
        seen="http reset",
        abroad="http 200 freeradio.example",
    ),
    Scenario(
        name="http-proxy",
        about="A transparent proxy answers for the name with a page of its own.",
        target="http://freeradio.example/",
        mechanisms=(HttpProxy(names=("freeradio.example",)),),
        expect=blocked("http.blockpage", "name", "network"),
        seen="http 403 Access denied",
        abroad="http 200 freeradio.example",
    ),
    Scenario(
        name="http-proxy-elsewhere",
        about="The same proxy, which has nothing against this site.",
        target="http://freeradio.example/",
        mechanisms=(HttpProxy(names=("facebook.com",)),),
        expect=ACCESSIBLE,
        seen="http 200 freeradio.example",
        abroad="http 200 freeradio.example",
        idle=True,
    ),
)

BOOK = {scenario.name: scenario for scenario in (*ORDINARY, *DNS, *TCP, *TLS, *HTTP)}
