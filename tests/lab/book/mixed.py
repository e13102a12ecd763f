"""Several things at once."""

from __future__ import annotations

from tests.lab.book.verdicts import FACEBOOK, NO_CONTROL, blocked
from tests.lab.scenario import (
    AddressFilter,
    ControlCut,
    DnsTampering,
    Expect,
    HelloFilter,
    HostFilter,
    QuicFilter,
    ResolverLie,
    Scenario,
)

SWIFT = ("swift.example",)
HIDDEN = Expect(outcome=("blocked", "inconclusive"))

MIXED = (
    Scenario(
        name="dns-bogon-tls-reset",
        about="The resolver answers with a private address, and the name is reset at the true one.",
        mechanisms=(
            ResolverLie(answer="10.1.2.3"),
            HelloFilter(action="reset"),
        ),
        expect=blocked("dns.bogon", "name", "resolver"),
        without_control=blocked(("dns.bogon", "tls.reset"), "name", ("resolver", "network")),
        seen="tcp unreachable",
    ),
    Scenario(
        name="dns-nxdomain-tls-dropped",
        about="The resolver denies the name, and it is swallowed at the true address.",
        mechanisms=(
            ResolverLie(answer="nxdomain"),
            HelloFilter(action="drop"),
        ),
        expect=blocked("dns.nxdomain", "name", "resolver"),
        without_control=blocked(("dns.nxdomain", "tls.timeout"), "name", ("resolver", "network")),
        seen="dns nxdomain",
    ),
    Scenario(
        name="dns-injected-tls-reset",
        about="Answers are forged on the way, and the name is reset at the true address.",
        mechanisms=(
            DnsTampering(action="forge"),
            HelloFilter(action="reset"),
        ),
        expect=blocked("dns.injected", "name", "network"),
        without_control=blocked(("dns.injected", "tls.reset"), "name", "network"),
        seen="dns 10.1.2.3 then 203.0.113.10",
    ),
    Scenario(
        name="dns-nxdomain-syn-dropped",
        about="The resolver denies the name, and packets to the true address are dropped.",
        mechanisms=(
            ResolverLie(answer="nxdomain"),
            AddressFilter(addresses=FACEBOOK, action="drop"),
        ),
        expect=blocked("dns.nxdomain", "name", "resolver"),
        without_control=HIDDEN,
        seen="dns nxdomain",
    ),
    Scenario(
        name="dns-nxdomain-site-drops",
        about="The resolver denies the name, and the site drops the client's network besides.",
        mechanisms=(
            ResolverLie(answer="nxdomain"),
            AddressFilter(addresses=FACEBOOK, action="drop", by="srv"),
        ),
        expect=blocked("dns.nxdomain", "name", "resolver"),
        without_control=HIDDEN,
        seen="dns nxdomain",
    ),
    Scenario(
        name="tls-reset-syn-dropped-one",
        about="One of the site's addresses is dropped, and the name reset at the other.",
        target="https://two.example/",
        mechanisms=(
            HelloFilter(names=("two.example",), action="reset"),
            AddressFilter(addresses=("203.0.113.54",), action="drop"),
        ),
        expect=blocked("tls.reset", "name", "network"),
        seen="tcp timeout",
        abroad="http 200 two.example",
    ),
    Scenario(
        name="tls-reset-http-reset",
        about="The name is reset in handshakes and in requests.",
        target="https://twitter.com/",
        mechanisms=(
            HelloFilter(names=("twitter.com",), action="reset"),
            HostFilter(names=("twitter.com",), action="reset"),
        ),
        expect=blocked("tls.reset", "name", "network"),
        seen="tls reset",
        abroad="http 200 twitter.com",
    ),
    Scenario(
        name="http-upgrade-tls-reset",
        about="HTTP sends us to HTTPS, where the name is reset.",
        target="http://twitter.com/",
        mechanisms=(HelloFilter(names=("twitter.com",), action="reset"),),
        expect=blocked("tls.reset", "name", "network"),
        seen="tls reset",
        abroad="http 200 twitter.com",
        looks_at="https://twitter.com/",
        victim="twitter.com",
    ),
    Scenario(
        name="control-cut-dns-nxdomain",
        about="The control is cut off, and the resolver denies the name.",
        mechanisms=(
            ControlCut(),
            ResolverLie(answer="nxdomain"),
        ),
        expect=blocked("dns.nxdomain", "name", "resolver"),
        seen="dns nxdomain",
    ),
    Scenario(
        name="control-cut-dns-injected",
        about="The control is cut off, and answers are forged on the way.",
        mechanisms=(
            ControlCut(),
            DnsTampering(action="forge"),
        ),
        expect=blocked("dns.injected", "name", "network"),
        seen="dns 10.1.2.3 then 203.0.113.10",
    ),
    Scenario(
        name="control-cut-syn-dropped",
        about="The control is cut off, and packets to the site are dropped: nobody can say whether it is up.",
        mechanisms=(
            ControlCut(),
            AddressFilter(addresses=FACEBOOK, action="drop"),
        ),
        expect=NO_CONTROL,
        seen="tcp timeout",
    ),
    Scenario(
        name="control-cut-tls-dropped",
        about="The control is cut off, and ClientHellos with the name are swallowed.",
        mechanisms=(
            ControlCut(),
            HelloFilter(action="drop"),
        ),
        expect=blocked("tls.timeout", "name", "network"),
        seen="tls timeout",
    ),
    Scenario(
        name="control-cut-http-blockpage",
        about="The control is cut off, and requests with the Host are answered with a block page.",
        target="http://freeradio.example/",
        mechanisms=(
            ControlCut(),
            HostFilter(names=("freeradio.example",), action="page"),
        ),
        expect=blocked("http.blockpage", "name", "network"),
        seen="http 200 Access denied",
        abroad="http 200 freeradio.example",
    ),
    Scenario(
        name="control-cut-site-drops",
        about="The control is cut off, and the site's own firewall drops the client's network.",
        mechanisms=(
            ControlCut(),
            AddressFilter(addresses=FACEBOOK, action="drop", by="srv"),
        ),
        expect=NO_CONTROL,
        seen="tcp timeout",
    ),
    Scenario(
        name="tls-reset-twice",
        about="The home router resets the name, and the network behind it too.",
        mechanisms=(
            HelloFilter(action="reset", by="home"),
            HelloFilter(action="reset"),
        ),
        expect=blocked("tls.reset", "name", "local"),
        seen="tls reset",
    ),
    Scenario(
        name="tls-dropped-quic-dropped",
        about="The name is swallowed over TCP and over QUIC.",
        target="https://swift.example/",
        mechanisms=(HelloFilter(names=SWIFT, action="drop"), QuicFilter(names=SWIFT)),
        expect=blocked("tls.timeout", "name", "network"),
        seen="tls timeout",
        abroad="http 200 swift.example",
    ),
    Scenario(
        name="quic-dropped-tls-dropped",
        about="The same, and QUIC is what is asked for.",
        target="https://swift.example/",
        nettest="quic",
        mechanisms=(HelloFilter(names=SWIFT, action="drop"), QuicFilter(names=SWIFT)),
        expect=blocked(("quic.timeout", "tls.timeout"), ("name", "unknown"), "network"),
        without_control=Expect(outcome=("blocked", "unreachable")),
        seen="tls timeout",
        abroad="http 200 swift.example",
    ),
)
