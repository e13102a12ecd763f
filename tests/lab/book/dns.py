"""Lies about names: by the resolver, and by routers on the way to it."""

from __future__ import annotations

from tests.lab.book.verdicts import ACCESSIBLE, blocked
from tests.lab.scenario import Delay, DnsTampering, Expect, ResolverLie, Scenario
from tests.lab.topology import BLOCK_PAGE

DNS = (
    Scenario(
        name="dns-nxdomain",
        about="The ISP's resolver says that the name does not exist.",
        mechanisms=(ResolverLie(answer="nxdomain"),),
        expect=blocked("dns.nxdomain", "name", "resolver"),
        seen="dns nxdomain",
        alike="no-such-domain",
    ),
    Scenario(
        name="lookup-alone-nxdomain",
        about="The lookup alone is measured, and the ISP's resolver denies the name.",
        nettest="dns",
        mechanisms=(ResolverLie(answer="nxdomain"),),
        expect=blocked("dns.nxdomain", "name", "resolver"),
        seen="dns nxdomain",
        alike="lookup-alone",
    ),
    Scenario(
        name="dns-refused",
        about="The ISP's resolver refuses to answer for the name.",
        mechanisms=(ResolverLie(answer="refused"),),
        expect=blocked("dns.refused", "name", "resolver"),
        seen="dns refused",
        alike="dns-dropped-by-resolver",
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
        alike="cdn",
    ),
    Scenario(
        name="dns-blockpage-https",
        about="The same for an HTTPS site: the block page's server does not speak TLS.",
        mechanisms=(ResolverLie(answer=BLOCK_PAGE),),
        expect=blocked(("dns.blockpage", "dns.redirect"), "name", "resolver"),
        seen="tcp reset",
        alike="cdn",
    ),
    Scenario(
        name="dns-dropped",
        about="A router drops every UDP query for the name, whatever resolver was asked.",
        mechanisms=(DnsTampering(action="drop"),),
        expect=blocked("dns.timeout", "name", "network"),
        seen="dns timeout",
        alike="dns-dropped-by-resolver",
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
        alike="dns-injected-far-resolver",
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
