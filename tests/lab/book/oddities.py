"""The world's ordinary oddities: sites that answer strangely, to everybody or to some, and block nobody.

Whatever is odd here is done by the site itself, so no verdict may say `blocked`. Where a site serves a page
it is `accessible`, however odd the page; where it refuses, `server_side`; where it fails for all, `down`.
"""

from __future__ import annotations

from tests.lab.book.verdicts import ACCESSIBLE, DOWN, SERVER_SIDE, UNDECIDED, everywhere
from tests.lab.scenario import Expect, Scenario

BROKEN_FOR_ALL = Expect(outcome=("down", "server_side"))
UNSETTLED = Expect(outcome=("server_side", "inconclusive"))


def welcome(name: str, about: str, *, scheme: str = "https", site: str = "", title: str | None = None) -> Scenario:
    """Return a scenario of a site that serves its page to everybody."""
    host = f"{site or name}.example"
    seen = f"http 200 {host if title is None else title}".strip()
    return everywhere(name, about, f"{scheme}://{host}/", ACCESSIBLE, seen)


SERVED = (
    welcome("shared-address", "Forty sites live on one address, and this is one of them.", site="zipped"),
    welcome("slow-at-first", "The server sleeps until somebody comes, and then takes two seconds.", site="cold"),
    welcome("headers-near-the-limit", "The page comes with 24 kB of headers.", site="headers-near", title=""),
    welcome("headers-beyond-the-limit", "The page comes with 90 kB of headers.", site="headers-beyond", title=""),
    welcome("compressed", "The page is compressed with gzip.", site="zipped"),
    welcome("gzip-bomb", "50 kB of gzip become 50 MB of page.", site="bomb"),
    welcome("http-1-0", "The server speaks HTTP/1.0 and ends the page by hanging up.", site="http-10"),
    welcome("empty-page", "The page is empty.", site="empty", title=""),
    welcome("meta-refresh", "The page sends browsers on with a meta tag.", site="meta"),
    welcome("long-chain", "The certificate comes with seven others."),
    welcome("many-names", "The certificate lists two hundred names, and fills five segments."),
    welcome("tiny-page", "The whole page is of 300 bytes.", site="tiny"),
    welcome("wildcard-dns", "Any label below the name has the site's address.", site="wildcard"),
    welcome("ipv6-dead", "The site's IPv6 address answers nothing, to anybody.", site="six-dead"),
    welcome("changing-https", "Every visitor sees another title and another text.", site="changing", title="*"),
    welcome("news-https", "Every visitor sees another headline.", site="news-title", title="* | Evening Courier, *"),
    welcome("news-http", "The same in clear.", scheme="http", site="news-title", title="* | Evening Courier, *"),
    everywhere(
        "changing-http",
        "Every visitor sees another title and another text, in clear: there is nothing to compare.",
        "http://changing.example/",
        Expect(outcome=("accessible", "inconclusive")),
        "http 200 *",
    ),
    everywhere(
        "no-content",
        "The server says that there is nothing to show (204).",
        "https://no-content.example/",
        ACCESSIBLE,
        "http 204",
    ),
    Scenario(
        name="refuses-the-control",
        about="The site serves the country's visitors and refuses the control, as a machine in a data centre.",
        target="https://refuses-control.example/",
        expect=ACCESSIBLE,
        seen="http 200 refuses-control.example",
        abroad="http 403 Forbidden",
    ),
    Scenario(
        name="refuses-the-control-http",
        about="The same in clear: nothing vouches for the page but that nobody on the way makes it.",
        target="http://refuses-control.example/",
        expect=Expect(outcome=("accessible", "inconclusive")),
        seen="http 200 refuses-control.example",
        abroad="http 403 Forbidden",
    ),
    Scenario(
        name="resets-the-control",
        about="The site serves the country's visitors and resets the control's connections.",
        target="https://drops-control.example/",
        expect=ACCESSIBLE,
        seen="http 200 drops-control.example",
        abroad="http [er]*",  # a reset under TLS may look like an end
    ),
    Scenario(
        name="resets-the-control-http",
        about="The same in clear.",
        target="http://drops-control.example/",
        expect=Expect(outcome=("accessible", "inconclusive")),
        seen="http 200 drops-control.example",
        abroad="http reset",
    ),
    Scenario(
        name="country-edition",
        about="The site sends the country's visitors to an edition of their own, at another host.",
        target="https://by-country.example/",
        expect=ACCESSIBLE,
        seen="http 302 https://edition-zz.example/",
        abroad="http 200 by-country.example",
    ),
    Scenario(
        name="country-edition-http",
        about="The same in clear: a redirect to another host that the control does not see, and that opens.",
        target="http://by-country.example/",
        expect=Expect(outcome=("accessible", "inconclusive")),
        seen="http 302 https://edition-zz.example/",
        abroad="http 200 by-country.example",
    ),
    everywhere(
        "flapping",
        "One of two servers behind the site's address is broken, and resets every other visitor.",
        "https://flapping.example/",
        Expect(outcome=("accessible", "inconclusive", "unreachable", "down")),
        "http *",
    ),
)

REFUSED = (
    *(
        Scenario(
            name=f"geo-fence-{status}-{scheme}",
            about=f"The site refuses the country's visitors with {status}{' under TLS' if scheme == 'https' else ''}.",
            target=f"{scheme}://geo-{status}.example/",
            expect=SERVER_SIDE,
            without_control=None if scheme == "https" else UNSETTLED,
            seen=f"http {status} {title}",
            abroad=f"http 200 geo-{status}.example",
        )
        for status, title in (("403", "Access denied"), ("451", "Unavailable"))
        for scheme in ("https", "http")
    ),
    *(
        everywhere(
            f"bot-wall-{status}-{scheme}",
            f"The site takes every program for a robot and answers {status}.",
            f"{scheme}://wall-{status}.example/",
            SERVER_SIDE,
            f"http {status} {title}",
            without_control=None if scheme == "https" else UNSETTLED,
        )
        for status, title in (("403", "Attention required"), ("429", "Too many requests"), ("503", "Just a moment..."))
        for scheme in ("https", "http")
    ),
    everywhere(
        "broken-database",
        "The site answers everybody with 500.",
        "https://error-500.example/",
        BROKEN_FOR_ALL,
        "http 500 Database error",
    ),
    everywhere(
        "hundred-redirects",
        "The site redirects a hundred times.",
        "https://hop-100.example/",
        Expect(outcome="server_side", reason="redirects"),
        "http 302 /1",
    ),
    everywhere(
        "redirect-loop",
        "The site redirects in a circle.",
        "https://loop.example/",
        Expect(outcome="server_side", reason="redirects"),
        "http 302 /again",
    ),
    everywhere(
        "redirect-loop-http",
        "The site redirects in a circle, in clear.",
        "http://loop.example/",
        UNSETTLED,
        "http 302 /again",
    ),
    everywhere(
        "cookie-wall",
        "The site redirects to itself until a visitor brings the cookie that it sets.",
        "https://cookie.example/",
        SERVER_SIDE,
        "http 302 https://cookie.example/",
    ),
    everywhere(
        "self-signed",
        "The site signed its certificate itself.",
        "https://self-signed.example/",
        SERVER_SIDE,
        "tls untrusted self-signed certificate",
        without_control=UNDECIDED,
    ),
    everywhere(
        "default-certificate",
        "The site shows the certificate that its software makes up, as the witnesses do to strangers.",
        "https://default.example/",
        SERVER_SIDE,
        "tls untrusted unable to get local issuer certificate",
        without_control=UNDECIDED,
    ),
    everywhere(
        "missing-intermediate",
        "The site forgets to send the certificate between its own and the trusted one.",
        "https://no-intermediate.example/",
        SERVER_SIDE,
        "tls untrusted unable to get local issuer certificate",
        without_control=UNDECIDED,
    ),
    everywhere(
        "members-only",
        "The server wants a certificate of its visitors.",
        "https://members.example/",
        Expect(outcome=("server_side", "accessible")),
        "http 400 400 No required SSL certificate was sent",
    ),
)

BROKEN = (
    everywhere(
        "truncated-body",
        "The server promises twice as much page as it sends, to everybody.",
        "https://short.example/",
        Expect(outcome=("accessible", "down", "server_side")),
        "http 200 short.example",
        without_control=Expect(outcome=("accessible", "server_side", "unreachable", "inconclusive")),
    ),
    everywhere(
        "chunked-garbage",
        "The server announces chunks and sends something else, to everybody.",
        "https://garbage.example/",
        Expect(outcome=("accessible", "down", "server_side")),
        "http 200",
        without_control=Expect(outcome=("accessible", "server_side", "unreachable", "inconclusive")),
    ),
    everywhere(
        "old-tls",
        "The server speaks no TLS younger than 1.0.",
        "https://old-tls.example/",
        BROKEN_FOR_ALL,
        "tls alert *",
        without_control=UNDECIDED,
    ),
    everywhere(
        "plain-on-443",
        "The server speaks plain HTTP where TLS belongs.",
        "https://plain-443.example/",
        BROKEN_FOR_ALL,
        "tls alert *",
        without_control=UNDECIDED,
    ),
    everywhere(
        "dead-name-in-chain",
        "The site moved to a name that exists nowhere.",
        "https://moved-away.example/",
        DOWN,
        "http 301 https://no-such-site.example/",
    ),
    everywhere(
        "firewall-on-user-agent",
        "A firewall before the site resets everybody who says that he is a browser.",
        "https://firewall.example/",
        DOWN,
        "http 200 firewall.example",
        without_control=UNDECIDED,
    ),
)

ODDITIES = (*SERVED, *REFUSED, *BROKEN)
