"""QUIC: swallowed for a name, an address or altogether; refused; never offered; and what only looks like a block.

A plain client speaks no QUIC and sees the site over TCP in nearly all of these.
"""

from __future__ import annotations

from tests.lab.book.verdicts import ACCESSIBLE, DOWN, NO_CONTROL, NOT_FROM_HERE, blocked
from tests.lab.scenario import ControlCut, Delay, Expect, HelloFilter, QuicFilter, Residual, Scenario

SWIFT, SWIFT_ADDRESS = ("swift.example",), ("203.0.113.60",)
OPEN = "http 200 swift.example"
SILENT = "quic.timeout"
SOON = Expect(outcome="inconclusive", reason="intermittent")


def quic(
    name: str,
    about: str,
    expect: Expect,
    *mechanisms: QuicFilter | HelloFilter | ControlCut | Delay,
    without_control: Expect | None = None,
    site: str = "swift.example",
    nettest: str = "quic",
    alike: str | None = None,
    seen: str | None = None,
) -> Scenario:
    """Return a scenario about a site that the plain client opens over TCP."""
    opens = f"http 200 {site}"
    return Scenario(
        name=name,
        about=about,
        target=f"https://{site}/",
        nettest=nettest,
        mechanisms=mechanisms,
        expect=expect,
        without_control=without_control,
        seen=seen or opens,
        abroad=opens,
        alike=alike,
    )


QUIC = (
    quic("quic-open", "A site that announces HTTP/3 and speaks it.", ACCESSIBLE),
    quic("quic-open-six", "The same, over IPv6 only.", ACCESSIBLE, site="swift-six.example"),
    quic("quic-open-far", "The same, far away.", ACCESSIBLE, Delay(rtt=100)),
    quic(
        "quic-open-lossy",
        "The same over a line that loses one packet in seven, each way.",
        Expect(outcome=("accessible", "inconclusive", "unreachable")),
        Delay(rtt=50, loss=15),
    ),
    quic("quic-open-unannounced", "A site that speaks HTTP/3 and does not say so.", ACCESSIBLE, site="modest.example"),
    quic(
        "quic-name-dropped",
        "The border opens QUIC's first packets and swallows handshakes with the name; TCP works.",
        blocked(SILENT, "name", "network"),
        QuicFilter(names=SWIFT),
        alike="quic-name-dropped-by-site",
    ),
    quic(
        "quic-name-dropped-six",
        "The same over IPv6.",
        blocked(SILENT, "name", "network"),
        QuicFilter(names=("swift-six.example",)),
        site="swift-six.example",
        alike="quic-open-six",
    ),
    quic(
        "quic-name-dropped-recorded",
        "The same for a site that announces HTTP/3 in its HTTPS record only.",
        blocked(SILENT, "name", "network"),
        QuicFilter(names=("recorded.example",)),
        site="recorded.example",
        alike="quic-open-unannounced",
    ),
    quic(
        "quic-name-dropped-residual",
        "The same; afterwards the client reaches that address and port by UDP no more for a minute.",
        blocked(SILENT, "name", "network"),
        QuicFilter(names=SWIFT, residual=Residual(seconds=60)),
        alike="quic-name-dropped-by-site",
    ),
    quic(
        "quic-name-dropped-control-unreachable",
        "The name is swallowed, and the control cannot be reached.",
        blocked(SILENT, "name", "network"),
        QuicFilter(names=SWIFT),
        ControlCut(),
        alike="quic-name-dropped-by-site",
    ),
    quic(
        "quic-name-dropped-at-home",
        "The home router swallows handshakes with the name.",
        blocked(SILENT, "name", "local"),
        QuicFilter(names=SWIFT, by="home"),
        alike="quic-name-dropped-by-site",
    ),
    quic(
        "quic-dropped",
        "The border drops all of UDP port 443.",
        blocked(SILENT, "protocol", ("network", "unknown")),
        QuicFilter(),
        alike="quic-dropped-by-site",
    ),
    quic(
        "quic-dropped-six",
        "The same, asked over IPv6.",
        blocked(SILENT, "protocol", ("network", "unknown")),
        QuicFilter(),
        site="swift-six.example",
        alike="quic-open-six",
    ),
    quic(
        "quic-handshakes-dropped",
        "The border drops every QUIC handshake, and lets questions for versions pass.",
        blocked(SILENT, "protocol", ("network", "unknown")),
        QuicFilter(reads=True),
        alike="quic-dropped-by-site",
    ),
    quic(
        "quic-dropped-at-home",
        "The home router lets no UDP out to port 443, as many do.",
        blocked(SILENT, "protocol", "local"),
        QuicFilter(by="home"),
        alike="quic-dropped-beside-home",
    ),
    quic(
        "quic-dropped-beside-home",
        "The next router drops it: whoever stands at the first one cannot tell whether that one does.",
        NOT_FROM_HERE,
        QuicFilter(by="isp"),
    ),
    quic(
        "quic-address-dropped",
        "The border drops UDP to the site's address; other servers answer over QUIC.",
        blocked(SILENT, "address", "network"),
        QuicFilter(addresses=SWIFT_ADDRESS),
        alike="quic-dropped-by-site",
    ),
    quic(
        "quic-dropped-by-site",
        "The site's own firewall drops the client's UDP.",
        NOT_FROM_HERE,
        QuicFilter(addresses=SWIFT_ADDRESS, by="srv"),
    ),
    quic(
        "quic-dropped-at-edge",
        "The border router of the site's own network drops it.",
        NOT_FROM_HERE,
        QuicFilter(addresses=SWIFT_ADDRESS, by="edge"),
    ),
    quic(
        "quic-name-dropped-by-site",
        "The site's own server ignores handshakes with its name from the client's network.",
        NOT_FROM_HERE,
        QuicFilter(names=SWIFT, by="srv"),
    ),
    quic(
        "quic-refused",
        'The border answers QUIC with ICMP\'s "prohibited", which anybody can forge.',
        NOT_FROM_HERE,
        QuicFilter(action="unreachable"),
    ),
    quic(
        "quic-lost-once",
        "One handshake is lost, and the next one is not.",
        SOON,
        QuicFilter(names=SWIFT, times=1),
    ),
    quic(
        "quic-not-spoken",
        "A site without QUIC: its server answers with ICMP that nobody listens.",
        DOWN,
        site="facebook.com",
        without_control=NO_CONTROL,
    ),
    quic(
        "quic-claimed",
        "A site that announces HTTP/3 and has no server for it.",
        DOWN,
        site="boastful.example",
        without_control=NOT_FROM_HERE,
    ),
    quic(
        "quic-past-tls-block",
        "TLS handshakes with the name are reset; QUIC works.",
        ACCESSIBLE,
        HelloFilter(names=SWIFT, action="reset"),
        seen="tls reset",
    ),
    quic(
        "tls-reset-where-quic-works",
        "The same, opened as a browser does by a test that begins with TCP.",
        blocked("tls.reset", "name", "network"),
        HelloFilter(names=SWIFT, action="reset"),
        nettest="web",
        seen="tls reset",
        alike="web-without-quic",
    ),
    quic("web-with-quic", "A page that announces HTTP/3.", ACCESSIBLE, nettest="web"),
    quic(
        "web-without-quic",
        "The same where all of QUIC is dropped: a browser shows the page over TCP.",
        ACCESSIBLE,
        QuicFilter(),
        nettest="web",
    ),
    quic(
        "web-without-quic-far",
        "The same, far away.",
        ACCESSIBLE,
        QuicFilter(),
        Delay(rtt=100),
        nettest="web",
    ),
)
