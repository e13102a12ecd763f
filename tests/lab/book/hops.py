"""The second site of a redirect is blocked; the first, which is not, only leads there."""

from __future__ import annotations

from tests.lab.book.verdicts import NO_CONTROL, blocked
from tests.lab.scenario import AddressFilter, Expect, HelloFilter, HostFilter, ResolverLie, Scenario

NEWS, FREERADIO = ("news.example",), ("freeradio.example",)
NEWS_AT, FREERADIO_AT = ("203.0.113.13", "2001:db8:113::13"), ("203.0.113.12",)

HOPS = (
    Scenario(
        name="hop-nxdomain-http",
        about="The second name is denied, and speaks plain HTTP.",
        target="https://link-http.example/",
        mechanisms=(ResolverLie(names=FREERADIO, answer="nxdomain"),),
        expect=blocked("dns.nxdomain", "name", "resolver"),
        seen="dns nxdomain",
        abroad="http 200 freeradio.example",
        looks_at="http://freeradio.example/",
        victim="freeradio.example",
    ),
    Scenario(
        name="hop-syn-dropped",
        about="Packets to the second site are dropped.",
        target="https://old-name.example/",
        mechanisms=(AddressFilter(addresses=NEWS_AT, action="drop"),),
        expect=blocked("tcp.timeout", "address", "network"),
        without_control=NO_CONTROL,
        seen="tcp timeout",
        abroad="http 200 news.example",
        looks_at="https://news.example/",
        victim="news.example",
    ),
    Scenario(
        name="hop-http-blockpage",
        about="The request to the second site is answered with a block page.",
        target="https://link-http.example/",
        mechanisms=(HostFilter(names=FREERADIO, action="page"),),
        expect=blocked("http.blockpage", "name", "network"),
        seen="http 200 Access denied",
        abroad="http 200 freeradio.example",
        looks_at="http://freeradio.example/",
        victim="freeradio.example",
    ),
    Scenario(
        name="hop-site-resets",
        about="The second site's own server resets the client's network.",
        target="https://old-name.example/",
        mechanisms=(HelloFilter(names=NEWS, action="reset", by="srv"),),
        expect=Expect(outcome="unreachable"),
        without_control=Expect(outcome=("unreachable", "inconclusive")),
        seen="tls reset",
        abroad="http 200 news.example",
        looks_at="https://news.example/",
        victim="news.example",
    ),
    Scenario(
        name="hop-site-drops",
        about="The second site's own firewall drops the client's network.",
        target="https://old-name.example/",
        mechanisms=(AddressFilter(addresses=NEWS_AT, action="drop", by="srv"),),
        expect=Expect(outcome="unreachable"),
        without_control=Expect(outcome=("unreachable", "inconclusive")),
        seen="tcp timeout",
        abroad="http 200 news.example",
        looks_at="https://news.example/",
        victim="news.example",
    ),
)
