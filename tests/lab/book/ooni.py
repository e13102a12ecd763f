"""The 50 cases of the QA suite of OONI's web_connectivity, judged by what is true in them.

`OONI_CASES` says which scenario of the book is whose equivalent; those that stand in no other chapter are
here. The truth is not always OONI's answer: its probe calls a CAPTCHA in clear and a broken redirect of the
site's own blocking, a name that only a censor still answers for blocked though the site is dead, and a
lookup that was lied about fine when the page came all the same.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from tests.lab.book.verdicts import ACCESSIBLE, DOWN, FACEBOOK, NO_CONTROL, SERVER_SIDE, UNDECIDED, blocked, everywhere
from tests.lab.scenario import (
    AddressFilter,
    ControlCut,
    DnsTampering,
    Expect,
    HelloFilter,
    HostFilter,
    Mechanism,
    ResolverLie,
    Scenario,
)
from tests.lab.sites import CAREFREE, ISP_CACHE
from tests.lab.topology import BLOCK_PAGE, PASSING_PROXY
from tests.lab.world import BusyLine

NETWORK = "network"
RADIO = ("freeradio.example",)
RADIO_ADDRESS = ("203.0.113.12",)
LIE_OR_BREAK = ("dns.redirect", "dns.blockpage", "dns.injected")

CERTIFICATES = (
    everywhere(
        "bad-certificate-unknown-authority",
        "The site's certificate is signed by an authority that nobody trusts, for everybody.",
        "https://untrusted.example/",
        SERVER_SIDE,
        "tls untrusted unable to get local issuer certificate",
        without_control=UNDECIDED,
    ),
    everywhere(
        "bad-certificate-wrong-name",
        "The site's certificate is for another name, for everybody.",
        "https://wrong-name.example/",
        SERVER_SIDE,
        "tls untrusted Hostname mismatch, certificate is not valid for 'wrong-name.example'.",
        without_control=Expect(outcome=("server_side", "unreachable", "inconclusive")),
    ),
    Scenario(
        name="bad-certificate-lying-dns",
        about="The ISP's resolver sends the name to a server that has a certificate of nobody's.",
        mechanisms=(ResolverLie(answer=CAREFREE[0]),),
        expect=blocked(("dns.redirect", "dns.blockpage"), "name", "resolver"),
        seen="tls untrusted *",
    ),
)

SITE_OWN = (
    Scenario(
        name="captcha-http",
        about="The site greets the country's visitors with a challenge, in clear; others get the page.",
        target="http://captcha.example/",
        expect=SERVER_SIDE,
        without_control=Expect(outcome=("server_side", "inconclusive")),
        seen="http 503 Just a moment...",
        abroad="http 200 captcha.example",
    ),
    Scenario(
        name="captcha-https",
        about="The site greets the country's visitors with a challenge, under its own certificate.",
        target="https://captcha.example/",
        expect=SERVER_SIDE,
        seen="http 503 Just a moment...",
        abroad="http 200 captcha.example",
    ),
    Scenario(
        name="broken-location-http",
        about="The site sends the country's visitors to `http://`, in clear; others to a page.",
        target="http://broken-location.example/",
        expect=Expect(outcome=("server_side", "unreachable", "inconclusive")),
        seen="http 302 http://",
        abroad="http 302 https://edition-zz.example/",
    ),
    Scenario(
        name="broken-location-https",
        about="The site sends the country's visitors to `https://`, under its own certificate; others to a page.",
        target="https://broken-location.example/",
        expect=Expect(outcome="server_side", reason="redirects"),
        seen="http 302 https://",
        abroad="http 302 https://edition-zz.example/",
    ),
)

HIJACKED = (
    Scenario(
        name="dns-no-data",
        about="The ISP's resolver says that the name has no address.",
        mechanisms=(ResolverLie(answer="nodata"),),
        expect=blocked("dns.no_answer", "name", "resolver"),
        seen="dns nodata",
    ),
    Scenario(
        name="hijack-localhost-http",
        about="A router answers every UDP query for the name with 127.0.0.1.",
        target="http://freeradio.example/",
        mechanisms=(DnsTampering(names=RADIO, action="forge", address="127.0.0.1", beside=False),),
        expect=blocked(("dns.bogon", "dns.injected"), "name", "network"),
        seen="tcp reset",
        abroad="http 200 freeradio.example",
    ),
    Scenario(
        name="hijack-localhost-https",
        about="The same for an HTTPS site.",
        mechanisms=(DnsTampering(action="forge", address="127.0.0.1", beside=False),),
        expect=blocked(("dns.bogon", "dns.injected"), "name", "network"),
        seen="tcp reset",
    ),
    Scenario(
        name="hijack-pass-through-http",
        about="The resolver sends the name to a proxy of the ISP's that passes the true page on, in clear.",
        target="http://freeradio.example/",
        mechanisms=(ResolverLie(names=RADIO, answer=PASSING_PROXY),),
        expect=ACCESSIBLE,
        without_control=Expect(outcome=("accessible", "inconclusive")),
        seen="http 200 freeradio.example",
        abroad="http 200 freeradio.example",
    ),
    Scenario(
        name="hijack-pass-through-https",
        about="The resolver sends the name to a proxy of the ISP's that passes TLS on untouched.",
        mechanisms=(ResolverLie(answer=PASSING_PROXY),),
        expect=ACCESSIBLE,
        seen="http 200 facebook.com",
    ),
    Scenario(
        name="hijack-pass-through-blockpage",
        about="The resolver sends the name to the ISP's proxy, and the request is answered with a block page anyway.",
        target="http://freeradio.example/",
        mechanisms=(ResolverLie(names=RADIO, answer=PASSING_PROXY), HostFilter(names=RADIO, action="page", by="isp")),
        expect=blocked((*LIE_OR_BREAK, "http.blockpage"), "name", ("resolver", "network")),
        seen="http 200 Access denied",
        abroad="http 200 freeradio.example",
    ),
    Scenario(
        name="hijack-pass-through-tls-reset",
        about="The resolver sends the name to the ISP's proxy, and hellos with the name are reset on the way.",
        mechanisms=(ResolverLie(answer=PASSING_PROXY), HelloFilter(action="reset", by="isp")),
        expect=blocked((*LIE_OR_BREAK, "tls.reset"), "name", ("resolver", "network")),
        seen="tls reset",
    ),
    Scenario(
        name="lying-dns-then-refused",
        about="The resolver sends the name to an address where nothing listens.",
        target="http://freeradio.example/",
        mechanisms=(ResolverLie(names=RADIO, answer=ISP_CACHE),),
        expect=blocked(("dns.redirect", "dns.blockpage"), "name", "resolver"),
        seen="tcp reset",
        abroad="http 200 freeradio.example",
    ),
    Scenario(
        name="ghost-http",
        about="A dead domain: only the censor's resolver still answers for it, with its block page.",
        target="http://ghost.example/",
        mechanisms=(ResolverLie(names=("ghost.example",), answer=BLOCK_PAGE),),
        expect=DOWN,
        seen="http 200 Access denied",
        abroad="dns nxdomain",
    ),
    Scenario(
        name="ghost-https",
        about="The same over HTTPS, which the block page's server does not speak.",
        target="https://ghost.example/",
        mechanisms=(ResolverLie(names=("ghost.example",), answer=BLOCK_PAGE),),
        expect=DOWN,
        seen="tcp reset",
        abroad="dns nxdomain",
    ),
)

PLAIN = (
    everywhere(
        "control-unreachable-http",
        "The control cannot be reached, and the site is a plain HTTP one.",
        "http://freeradio.example/",
        ACCESSIBLE,
        "http 200 freeradio.example",
        mechanisms=(ControlCut(),),
        idle=True,
    ),
    everywhere(
        "idna",
        "A name in Cyrillic letters, and two redirects to other names.",
        "http://радио.example/",
        ACCESSIBLE,
        "http 301 https://radio.example/",
    ),
    everywhere(
        "idna-upper-case",
        "The same with a capital letter.",
        "http://Радио.example/",
        ACCESSIBLE,
        "http 301 https://radio.example/",
    ),
    everywhere(
        "large-file-http",
        "The front page has 20 MB and comes in clear.",
        "http://clip.example/",
        ACCESSIBLE,
        "http 200 clip.example",
    ),
    everywhere(
        "localhost-everywhere-http",
        "The name has the address 127.0.0.1, in every resolver's answer.",
        "http://localhost.example/",
        DOWN,
        "tcp reset",
    ),
    everywhere(
        "localhost-everywhere-https",
        "The same over HTTPS.",
        "https://localhost.example/",
        DOWN,
        "tcp reset",
    ),
    everywhere(
        "fifteen-redirects-http",
        "Fifteen redirects in clear, more than we follow and fewer than a browser does.",
        "http://hop-15.example/",
        Expect(outcome=("server_side", "inconclusive")),
        "http 302 /1",
    ),
    everywhere(
        "fifteen-redirects-https",
        "Fifteen redirects under the site's own certificate.",
        "https://hop-15.example/",
        Expect(outcome="server_side", reason="redirects"),
        "http 302 /1",
    ),
    everywhere(
        "no-address-anywhere",
        "The name is an alias of one that has no address, in every resolver's answer.",
        "http://no-address.example/",
        DOWN,
        "dns nodata",
    ),
    everywhere(
        "closed-port",
        "Nothing listens on the port that is asked for, whoever asks.",
        "http://news.example:444/",
        DOWN,
        "tcp reset",
        without_control=UNDECIDED,
    ),
)


def after_redirect(scheme: str, kind: str, mechanism: Mechanism, seen: str, expect: Expect) -> Scenario:
    """Return a scenario in which a shortened link is fine, and the plain or HTTPS site that it leads to is stopped."""
    home = {"http": "http://freeradio.example/", "https": "https://facebook.com/"}[scheme]
    return Scenario(
        name=f"redirect-then-{kind}-{scheme}",
        about=f"A shortened link leads to {home}, which a client sees as: {seen}.",
        target=f"https://link-{scheme}.example/",
        mechanisms=(mechanism,),
        expect=expect,
        without_control=NO_CONTROL if kind == "refused" else None,
        seen=seen,
        abroad=f"http 200 {urlsplit(home).hostname}",
        victim=urlsplit(home).hostname or "",
        looks_at=home,
    )


REDIRECTED = tuple(
    after_redirect(scheme, kind, mechanism, seen, blocked(of, "address" if of == "tcp.reset" else "name", where))
    for scheme, kind, mechanism, seen, of, where in (
        ("http", "refused", AddressFilter(addresses=RADIO_ADDRESS, action="reset"), "tcp reset", "tcp.reset", NETWORK),
        ("https", "refused", AddressFilter(addresses=FACEBOOK, action="reset"), "tcp reset", "tcp.reset", NETWORK),
        ("http", "reset", HostFilter(names=RADIO, action="reset"), "http reset", "http.reset", NETWORK),
        ("https", "reset", HelloFilter(action="reset"), "tls reset", "tls.reset", NETWORK),
        ("https", "nxdomain", ResolverLie(answer="nxdomain"), "dns nxdomain", "dns.nxdomain", "resolver"),
        ("http", "eof", HostFilter(names=RADIO, action="fin"), "http eof", "http.eof", NETWORK),
        ("https", "eof", HelloFilter(action="fin"), "tls eof", "tls.eof", NETWORK),
        ("http", "timeout", HostFilter(names=RADIO, action="drop"), "http timeout", "http.timeout", NETWORK),
        ("https", "timeout", HelloFilter(action="drop"), "tls timeout", "tls.timeout", NETWORK),
    )
)

IN_CLEAR = (
    everywhere(
        "short-link-clear",
        "A shortened link in clear leads to an HTTPS site of another name.",
        "http://link-clear.example/",
        ACCESSIBLE,
        "http 301 https://facebook.com/",
    ),
    Scenario(
        name="redirect-in-clear-then-reset",
        about="The same link, and hellos with the other name are reset.",
        target="http://link-clear.example/",
        mechanisms=(HelloFilter(action="reset"),),
        expect=blocked("tls.reset", "name", NETWORK),
        seen="tls reset",
        victim="facebook.com",
        looks_at="https://facebook.com/",
    ),
    Scenario(
        name="redirect-in-clear-then-nxdomain",
        about="The same link, and the resolver says that the other name does not exist.",
        target="http://link-clear.example/",
        mechanisms=(ResolverLie(answer="nxdomain"),),
        expect=blocked("dns.nxdomain", "name", "resolver"),
        seen="dns nxdomain",
        victim="facebook.com",
        looks_at="https://facebook.com/",
    ),
)

LINKS = tuple(
    everywhere(
        f"short-link-{scheme}",
        "The same shortened link, and nothing is wrong.",
        f"https://link-{scheme}.example/",
        ACCESSIBLE,
        f"http 301 {home}",
    )
    for scheme, home in (("http", "http://freeradio.example/"), ("https", "https://facebook.com/"))
)

THROTTLED = (
    Scenario(
        name="throttled-http",
        about="A large page in clear comes at 20 kB a second: a sample of it is whole, and that is what was tried.",
        target="http://clip.example/",
        mechanisms=(BusyLine(addresses=("203.0.113.83",), kilobytes=20),),
        expect=Expect(outcome=("throttled", "accessible")),
        seen="http 200 clip.example",
        abroad="http 200 clip.example",
    ),
    Scenario(
        name="throttled-https",
        about="The same under TLS.",
        target="https://large.example/",
        mechanisms=(BusyLine(addresses=("203.0.113.16",), kilobytes=20),),
        expect=Expect(outcome=("throttled", "accessible")),
        seen="http 200 large.example",
        abroad="http 200 large.example",
    ),
)

OONI = (*CERTIFICATES, *SITE_OWN, *HIJACKED, *PLAIN, *IN_CLEAR, *LINKS, *REDIRECTED, *THROTTLED)

OONI_CASES = {
    "badSSLWithUnknownAuthorityWithConsistentDNS": "bad-certificate-unknown-authority",
    "badSSLWithExpiredCertificate": "expired-certificate",
    "badSSLWithWrongServerName": "bad-certificate-wrong-name",
    "badSSLWithUnknownAuthorityWithInconsistentDNS": "bad-certificate-lying-dns",
    "cloudflareCAPTCHAWithHTTP": "captcha-http",
    "cloudflareCAPTCHAWithHTTPS": "captcha-https",
    "controlFailureWithSuccessfulHTTPWebsite": "control-unreachable-http",
    "controlFailureWithSuccessfulHTTPSWebsite": "control-unreachable",
    "dnsBlockingAndroidDNSCacheNoData": "dns-no-data",
    "dnsBlockingBOGON": "dns-bogon",
    "dnsBlockingNXDOMAIN": "dns-nxdomain",
    "dnsHijackingToLocalhostWithHTTP": "hijack-localhost-http",
    "dnsHijackingToLocalhostWithHTTPS": "hijack-localhost-https",
    "dnsHijackingToProxyWithHTTPURL": "hijack-pass-through-http",
    "dnsHijackingToProxyWithHTTPSURL": "hijack-pass-through-https",
    "ghostDNSBlockingWithHTTP": "ghost-http",
    "ghostDNSBlockingWithHTTPS": "ghost-https",
    "httpBlockingConnectionReset": "http-reset",
    "httpDiffWithConsistentDNS": "http-blockpage",
    "httpDiffWithInconsistentDNS": "hijack-pass-through-blockpage",
    "idnaWithoutCensorshipLowercase": "idna",
    "idnaWithoutCensorshipWithFirstLetterUppercase": "idna-upper-case",
    "largeFileWithHTTP": "large-file-http",
    "largeFileWithHTTPS": "large-file",
    "localhostWithHTTP": "localhost-everywhere-http",
    "localhostWithHTTPS": "localhost-everywhere-https",
    "redirectWithBrokenLocationForHTTP": "broken-location-http",
    "redirectWithBrokenLocationForHTTPS": "broken-location-https",
    "redirectWithConsistentDNSAndThenConnectionRefusedForHTTP": "redirect-then-refused-http",
    "redirectWithConsistentDNSAndThenConnectionRefusedForHTTPS": "redirect-then-refused-https",
    "redirectWithConsistentDNSAndThenConnectionResetForHTTP": "redirect-then-reset-http",
    "redirectWithConsistentDNSAndThenConnectionResetForHTTPS": "redirect-then-reset-https",
    "redirectWithConsistentDNSAndThenNXDOMAIN": "redirect-then-nxdomain-https",
    "redirectWithConsistentDNSAndThenEOFForHTTP": "redirect-then-eof-http",
    "redirectWithConsistentDNSAndThenEOFForHTTPS": "redirect-then-eof-https",
    "redirectWithConsistentDNSAndThenTimeoutForHTTP": "redirect-then-timeout-http",
    "redirectWithConsistentDNSAndThenTimeoutForHTTPS": "redirect-then-timeout-https",
    "redirectWithMoreThanTenRedirectsAndHTTP": "fifteen-redirects-http",
    "redirectWithMoreThanTenRedirectsAndHTTPS": "fifteen-redirects-https",
    "successWithHTTP": "open-http",
    "successWithHTTPS": "open",
    "tcpBlockingConnectTimeout": "syn-dropped",
    "tcpBlockingConnectionRefusedWithInconsistentDNS": "lying-dns-then-refused",
    "throttlingWithHTTP": "throttled-http",
    "throttlingWithHTTPS": "throttled-https",
    "tlsBlockingConnectionResetWithConsistentDNS": "tls-reset",
    "tlsBlockingConnectionResetWithInconsistentDNS": "hijack-pass-through-tls-reset",
    "websiteDownNXDOMAIN": "no-such-domain",
    "websiteDownNoAddrs": "no-address-anywhere",
    "websiteDownTCPConnect": "closed-port",
}
