"""The ordinary world: sites that open, sites that do not, and networks that are down. Nobody interferes."""

from __future__ import annotations

from tests.lab.book.verdicts import ACCESSIBLE, NO_CONTROL
from tests.lab.home_faults import Run
from tests.lab.scenario import ControlCut, Delay, Expect, LinkDown, Scenario

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
        name="lookup-alone",
        about="The lookup alone is measured, and gives the site's address.",
        nettest="dns",
        expect=ACCESSIBLE,
        seen="http 200 facebook.com",
    ),
    Scenario(
        name="connection-alone",
        about="The connection alone is measured, and stands.",
        nettest="tcp",
        expect=ACCESSIBLE,
        seen="http 200 facebook.com",
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
        name="out-of-time",
        about="The site sends us from page to page, slowly, and the measurement has three seconds.",
        target="https://drip-hops.example/",
        run=Run(environment=(("WAZI_NETWORK__MEASUREMENT_TIMEOUT", "3s"),)),
        expect=Expect(outcome="inconclusive", reason="interrupted"),
        seen="http 302 /1/",
        abroad="http 302 /1/",
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
