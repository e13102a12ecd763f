"""Forged answers on the way to any resolver, and the DoH that would see through them cut."""

from __future__ import annotations

from tests.lab.book.verdicts import ACCESSIBLE, blocked
from tests.lab.home_faults import Run
from tests.lab.scenario import AddressFilter, ControlCut, DnsTampering, Expect, ResolverLie, Scenario
from tests.lab.topology import BLOCK_PAGE, ISP_RESOLVER6, PUBLIC_RESOLVERS

EMPTY = "198.51.100.99"
NO_DOH = AddressFilter(addresses=PUBLIC_RESOLVERS, action="drop", port=443)
OVER_SIX = Run(environment=(("WAZI_NETWORK__RESOLVER", f"[{ISP_RESOLVER6}]:53"),))

INJECTION = (
    Scenario(
        name="dns-injected-nxdomain",
        about="A router denies the name, and the question goes no further.",
        mechanisms=(DnsTampering(action="nxdomain", beside=False),),
        expect=blocked("dns.nxdomain", "name", "network"),
        seen="dns nxdomain",
    ),
    Scenario(
        name="dns-injected-nxdomain-beside",
        about="A router denies the name; the true reply comes second.",
        mechanisms=(DnsTampering(action="nxdomain"),),
        expect=blocked("dns.injected", "name", "network"),
        seen="dns nxdomain then 203.0.113.10",
    ),
    Scenario(
        name="dns-injected-nodata",
        about="A router says that the name has no address, and the question goes no further.",
        mechanisms=(DnsTampering(action="nodata", beside=False),),
        expect=blocked("dns.no_answer", "name", "network"),
        seen="dns nodata",
    ),
    Scenario(
        name="dns-injected-servfail",
        about="A router answers with SERVFAIL, whatever resolver is asked.",
        mechanisms=(DnsTampering(action="servfail", beside=False),),
        expect=blocked("dns.servfail", "name", "network"),
        seen="dns servfail",
    ),
    Scenario(
        name="dns-injected-refused",
        about="A router refuses, whatever resolver is asked.",
        mechanisms=(DnsTampering(action="refused", beside=False),),
        expect=blocked("dns.refused", "name", "network"),
        seen="dns refused",
    ),
    Scenario(
        name="dns-injected-public",
        about="A router answers with a public address where nothing is; the true reply comes second.",
        mechanisms=(DnsTampering(action="forge", address=EMPTY),),
        expect=blocked("dns.injected", "name", "network"),
        seen="dns 198.51.100.99 then 203.0.113.10",
    ),
    Scenario(
        name="dns-injected-public-alone",
        about="A router answers with a public address where nothing is, and the question goes no further.",
        mechanisms=(DnsTampering(action="forge", address=EMPTY, beside=False),),
        expect=blocked("dns.injected", "name", "network"),
        seen="tcp unreachable",
    ),
    Scenario(
        name="dns-injected-bogon-alone",
        about="A router answers with a private address, and the question goes no further.",
        mechanisms=(DnsTampering(action="forge", beside=False),),
        expect=blocked(("dns.bogon", "dns.injected"), "name", "network"),
        seen="tcp unreachable",
    ),
    Scenario(
        name="dns-injected-blockpage",
        about="A router answers with the address of a block page, for a plain HTTP site.",
        target="http://freeradio.example/",
        mechanisms=(DnsTampering(names=("freeradio.example",), action="forge", address=BLOCK_PAGE, beside=False),),
        expect=blocked(("dns.injected", "dns.blockpage"), "name", "network"),
        seen="http 200 Access denied",
        abroad="http 200 freeradio.example",
    ),
    Scenario(
        name="dns-injected-too-late",
        about="A router forges an answer that the true reply outruns.",
        mechanisms=(DnsTampering(action="forge", late=0.1),),
        expect=Expect(outcome="blocked", mechanism="dns.injected", trigger="name", where="network", pattern="partial"),
        seen="dns 203.0.113.10 then 10.1.2.3",
    ),
    Scenario(
        name="dns-injected-six",
        about="A router answers for a site of IPv6 alone; the true reply comes second.",
        target="https://six.example/",
        mechanisms=(DnsTampering(names=("six.example",), action="forge", address="", address6="2001:db8:192::99"),),
        expect=blocked("dns.injected", "name", "network"),
        seen="dns 2001:db8:192::99 then 2001:db8:113::50",
        abroad="http 200 six.example",
    ),
    Scenario(
        name="dns-injected-aaaa",
        about="A router answers AAAA with an address where nothing is, and lets A pass.",
        target="https://dual.example/",
        mechanisms=(
            DnsTampering(names=("dual.example",), action="forge", address6="2001:db8:192::99", kinds=("AAAA",)),
        ),
        expect=blocked("dns.injected", "name", "network"),
        seen="http 200 dual.example",
        abroad="http 200 dual.example",
    ),
    Scenario(
        name="dns-injected-https-record",
        about="A router answers for the HTTPS record with a private address, and lets A and AAAA pass.",
        target="https://dual.example/",
        mechanisms=(DnsTampering(names=("dual.example",), action="forge", address6="fd00::1", kinds=("HTTPS",)),),
        expect=blocked("dns.injected", "name", "network"),
        seen="http 200 dual.example",
        abroad="http 200 dual.example",
    ),
    Scenario(
        name="dns-dropped-six",
        about="A router drops every UDP query for a site of IPv6 alone.",
        target="https://six.example/",
        mechanisms=(DnsTampering(names=("six.example",), action="drop"),),
        expect=blocked("dns.timeout", "name", "network"),
        seen="dns timeout",
        abroad="http 200 six.example",
    ),
    Scenario(
        name="dns-over-six",
        about="The ISP's resolver is asked over IPv6, and nobody minds.",
        run=OVER_SIX,
        expect=ACCESSIBLE,
        seen="http 200 facebook.com",
    ),
    Scenario(
        name="dns-injected-over-six",
        about="A router answers before the resolver, which is asked over IPv6, does.",
        mechanisms=(DnsTampering(action="forge"),),
        run=OVER_SIX,
        expect=blocked("dns.injected", "name", "network"),
        seen="dns 10.1.2.3 then 203.0.113.10",
    ),
    Scenario(
        name="dns-nxdomain-over-six",
        about="The ISP's resolver, asked over IPv6, says that the name does not exist.",
        mechanisms=(ResolverLie(answer="nxdomain"),),
        run=OVER_SIX,
        expect=blocked("dns.nxdomain", "name", "resolver"),
        seen="dns nxdomain",
    ),
    Scenario(
        name="dns-injected-at-home",
        about="The home router answers the name with 0.0.0.0, whatever resolver is asked.",
        mechanisms=(DnsTampering(action="forge", address="0.0.0.0", beside=False, by="home"),),
        expect=blocked(("dns.bogon", "dns.injected"), "name", "local"),
        seen="tcp reset",
    ),
    Scenario(
        name="dns-injected-elsewhere",
        about="The same router forges answers, about another name.",
        mechanisms=(DnsTampering(names=("twitter.com",), action="forge"),),
        expect=ACCESSIBLE,
        seen="http 200 facebook.com",
        idle=True,
    ),
    Scenario(
        name="doh-dropped",
        about="The trusted resolvers cannot be reached, and nothing else is wrong.",
        mechanisms=(NO_DOH,),
        expect=ACCESSIBLE,
        seen="http 200 facebook.com",
        idle=True,
    ),
    Scenario(
        name="doh-dropped-http",
        about="The same for a site that speaks plain HTTP only.",
        target="http://freeradio.example/",
        mechanisms=(NO_DOH,),
        expect=ACCESSIBLE,
        without_control=Expect(outcome=("accessible", "inconclusive")),
        seen="http 200 freeradio.example",
        abroad="http 200 freeradio.example",
        idle=True,
    ),
    Scenario(
        name="doh-dropped-dns-nxdomain",
        about="The trusted resolvers cannot be reached, and the ISP's denies the name.",
        mechanisms=(
            NO_DOH,
            ResolverLie(answer="nxdomain"),
        ),
        expect=blocked("dns.nxdomain", "name", "resolver"),
        seen="dns nxdomain",
    ),
    Scenario(
        name="doh-reset-dns-bogon",
        about="The trusted resolvers are reset, and the ISP's answers with a private address.",
        mechanisms=(
            AddressFilter(addresses=PUBLIC_RESOLVERS, action="reset", port=443),
            ResolverLie(answer="10.1.2.3"),
        ),
        expect=blocked("dns.bogon", "name", "resolver"),
        seen="tcp unreachable",
    ),
    Scenario(
        name="doh-and-control-cut-dns-nxdomain",
        about="Neither trusted resolvers nor the control can be reached, and the ISP's denies the name.",
        mechanisms=(
            NO_DOH,
            ControlCut(),
            ResolverLie(answer="nxdomain"),
        ),
        expect=blocked("dns.nxdomain", "name", "resolver"),
        seen="dns nxdomain",
    ),
    Scenario(
        name="doh-and-control-cut-dns-injected",
        about="Neither trusted resolvers nor the control can be reached, and a router forges answers beside true ones.",
        mechanisms=(
            NO_DOH,
            ControlCut(),
            DnsTampering(action="forge"),
        ),
        expect=blocked("dns.injected", "name", "network"),
        seen="dns 10.1.2.3 then 203.0.113.10",
    ),
)
