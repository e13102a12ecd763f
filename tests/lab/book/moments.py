"""Censors that strike later, for a while, or some of the time."""

from __future__ import annotations

from tests.lab.book.verdicts import ACCESSIBLE, FACEBOOK, blocked
from tests.lab.scenario import Expect, HelloFilter, HostFilter, Residual, Scenario

CUT = "http [er]*"  # a reset under TLS may look like an end
FREERADIO = ("freeradio.example",)
# One measurement may see too little of it: then it must say so.
OFTEN = Expect(outcome=("blocked", "unreachable", "inconclusive", "accessible"))
AT_TIMES = Expect(outcome=("inconclusive", "accessible", "unreachable", "blocked"))

MOMENTS = (
    Scenario(
        name="tls-reset-after-handshake",
        about="The name is let through the handshake, and reset at the first HTTP/2 frames.",
        mechanisms=(HelloFilter(action="reset", after=1),),
        expect=blocked("http.reset", "name", "network"),
        seen=CUT,
    ),
    Scenario(
        name="tls-dropped-after-handshake",
        about="The name is let through the handshake, and then all of it is swallowed.",
        mechanisms=(HelloFilter(action="drop", after=1),),
        expect=blocked("http.timeout", "name", "network"),
        seen="http timeout",
    ),
    Scenario(
        name="tls-reset-after-handshake-http1",
        about="The same for a site of HTTP/1.1.",
        target="https://twitter.com/",
        mechanisms=(HelloFilter(names=("twitter.com",), action="reset", after=1),),
        expect=blocked("http.reset", "name", "network"),
        seen=CUT,
        abroad="http 200 twitter.com",
    ),
    Scenario(
        name="tls-reset-after-handshake-older",
        about="The same for a site of TLS 1.2.",
        target="https://older.example/",
        mechanisms=(HelloFilter(names=("older.example",), action="reset", after=1),),
        expect=blocked("http.reset", "name", "network"),
        seen=CUT,
        abroad="http 200 older.example",
    ),
    Scenario(
        name="site-resets-after-handshake",
        about="The site's own server resets the client's network after the handshake.",
        mechanisms=(HelloFilter(action="reset", after=1, by="srv"),),
        expect=Expect(outcome="unreachable"),
        without_control=Expect(outcome=("unreachable", "inconclusive")),
        seen=CUT,
    ),
    Scenario(
        name="tls-residual-drop",
        about="The name is swallowed, and for a minute whatever follows it to that address and port.",
        mechanisms=(HelloFilter(action="drop", residual=Residual()),),
        expect=blocked("tls.timeout", "name", "network"),
        seen="tls timeout",
    ),
    Scenario(
        name="tls-residual-reset",
        about="The name is reset, and for a minute whatever follows it to that address and port.",
        mechanisms=(HelloFilter(action="reset", residual=Residual(action="reset")),),
        expect=blocked("tls.reset", "name", "network"),
        seen="tls reset",
    ),
    Scenario(
        name="tls-residual-short",
        about="The same for three seconds.",
        mechanisms=(HelloFilter(action="reset", residual=Residual(seconds=3, action="drop")),),
        expect=blocked("tls.reset", "name", "network"),
        seen="tls reset",
    ),
    Scenario(
        name="tls-residual-six",
        about="The same for a minute, for a site of IPv6 alone.",
        target="https://six.example/",
        mechanisms=(HelloFilter(names=("six.example",), action="drop", residual=Residual()),),
        expect=blocked("tls.timeout", "name", "network"),
        seen="tls timeout",
        abroad="http 200 six.example",
    ),
    Scenario(
        name="tls-residual-spares-first",
        about="The first handshake passes, and what would follow it in the next minute would not.",
        mechanisms=(HelloFilter(action="drop", residual=Residual(spares_first=True)),),
        expect=ACCESSIBLE,
        seen="http 200 facebook.com",
    ),
    Scenario(
        name="tls-residual-before",
        about="Somebody asked for the name just before: that address and port are dead for two minutes.",
        mechanisms=(HelloFilter(action="drop", residual=Residual(seconds=120, primed=FACEBOOK)),),
        expect=Expect(outcome="blocked", mechanism="tcp.timeout", trigger="name", where="network", pattern="residual"),
        seen="tcp timeout",
    ),
    Scenario(
        name="http-residual",
        about="A request with the Host is swallowed, and for a minute whatever follows it.",
        target="http://freeradio.example/",
        mechanisms=(HostFilter(names=FREERADIO, action="drop", residual=Residual()),),
        expect=blocked("http.timeout", "name", "network"),
        without_control=Expect(outcome=("blocked", "inconclusive")),
        seen="http timeout",
        abroad="http 200 freeradio.example",
    ),
    Scenario(
        name="tls-reset-of-ten-seven",
        about="Seven in ten ClientHellos with the name are reset.",
        mechanisms=(HelloFilter(action="reset", share=0.7),),
        expect=OFTEN,
        seen="tls reset",
    ),
    Scenario(
        name="tls-dropped-of-ten-seven",
        about="Seven in ten ClientHellos with the name are swallowed.",
        mechanisms=(HelloFilter(action="drop", share=0.7),),
        expect=OFTEN,
        seen="tls timeout",
    ),
    Scenario(
        name="tls-reset-of-ten-three",
        about="Three in ten ClientHellos with the name are reset.",
        mechanisms=(HelloFilter(action="reset", share=0.3),),
        expect=AT_TIMES,
        seen="tls reset",
    ),
    Scenario(
        name="tls-dropped-of-ten-three",
        about="Three in ten ClientHellos with the name are swallowed.",
        mechanisms=(HelloFilter(action="drop", share=0.3),),
        expect=AT_TIMES,
        seen="tls timeout",
    ),
    Scenario(
        name="http-reset-of-ten-seven",
        about="Seven in ten requests with the Host are reset.",
        target="http://freeradio.example/",
        mechanisms=(HostFilter(names=FREERADIO, action="reset", share=0.7),),
        expect=OFTEN,
        seen="http reset",
        abroad="http 200 freeradio.example",
    ),
    Scenario(
        name="site-resets-of-ten-three",
        about="The site's own server resets three in ten handshakes.",
        mechanisms=(HelloFilter(action="reset", share=0.3, by="srv"),),
        expect=Expect(outcome=("unreachable", "accessible", "inconclusive")),
        seen="tls reset",
    ),
    Scenario(
        name="site-resets-of-ten-seven",
        about="The site's own server resets seven in ten handshakes.",
        mechanisms=(HelloFilter(action="reset", share=0.7, by="srv"),),
        expect=Expect(outcome=("unreachable", "accessible", "inconclusive")),
        seen="tls reset",
    ),
)
