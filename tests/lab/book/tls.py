"""Handshakes that are cut, swallowed, refused or answered by another."""

from __future__ import annotations

from tests.lab.book.verdicts import FACEBOOK, blocked
from tests.lab.scenario import ControlCut, Expect, HelloFilter, Scenario, ServerAlert, TlsInterception

TLS = (
    Scenario(
        name="tls-reset",
        about="A ClientHello with the name is answered with resets.",
        mechanisms=(HelloFilter(action="reset"),),
        expect=blocked("tls.reset", "name", "network"),
        seen="tls reset",
        alike="site-resets-hello",
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
        alike="expired-certificate",
    ),
    Scenario(
        name="tls-intercepted-by-name",
        about="The same box, for the target's name only.",
        mechanisms=(TlsInterception(names=("facebook.com",)),),
        expect=blocked("tls.mitm", "name", "network"),
        seen="tls untrusted self-signed certificate in certificate chain",
        alike="expired-certificate",
    ),
)
