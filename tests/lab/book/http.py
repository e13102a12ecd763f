"""Requests in clear that are cut, or answered by another."""

from __future__ import annotations

from tests.lab.book.verdicts import ACCESSIBLE, blocked
from tests.lab.scenario import HostFilter, HttpProxy, Scenario
from tests.lab.topology import BLOCK_PAGE

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
        alike="http-proxy-elsewhere",
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
