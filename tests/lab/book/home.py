"""The faults of volunteers' own networks and machines: never an accusation, and no more silence than is due.

Where the network cannot be judged the verdict is `invalid` and says why. Where it can, by what still works, an
open site is `accessible`; and a block is found there too.
"""

from __future__ import annotations

from tests.lab.book.verdicts import ACCESSIBLE, FACEBOOK, blocked
from tests.lab.home_faults import (
    DNS64,
    GatewayOnly,
    HouseDns,
    Ipv6Fault,
    Ipv6Only,
    Loss,
    Portal,
    Run,
    SparedOnly,
    Vpn,
    clock_wrong_by,
    open_files,
    stopped,
)
from tests.lab.scenario import Delay, Expect, HelloFilter, HostFilter, Scenario
from tests.lab.sites import DOMESTIC
from tests.lab.topology import BLOCK_PAGE, CONTROL

RESET = HelloFilter(action="reset")
RESET_FOUND = blocked("tls.reset", "name", "network")
PATIENT = Run(environment=(("WAZI_NETWORK__DNS_TIMEOUT", "5s"),))
BY_DNS64 = Run(environment=(("WAZI_NETWORK__RESOLVER", f"[{DNS64}]:53"),))


def invalid(reason: str | tuple[str, ...]) -> Expect:
    """Return what is said of a network that cannot be judged."""
    return Expect(outcome="invalid", reason=reason)


LINES = (
    Scenario(
        name="home-gateway-only",
        about="The home router answers, and the line behind it is dead.",
        mechanisms=(GatewayOnly(),),
        expect=invalid(("offline", "gateway_only")),
        seen="dns timeout",
    ),
    Scenario(
        name="home-dns-only",
        about="Names can be looked up, and nothing else passes.",
        mechanisms=(GatewayOnly(names=True),),
        expect=invalid("nothing_passes"),
        seen="tcp timeout",
    ),
    Scenario(
        name="home-resolver-dead",
        about="The resolver answers nothing, and all else is well.",
        mechanisms=(HouseDns(answer="silence"),),
        expect=invalid("resolver_dead"),
        seen="dns timeout",
    ),
    Scenario(
        name="home-resolver-slow",
        about="The resolver takes three seconds for everything.",
        mechanisms=(HouseDns(delay=3.0),),
        run=PATIENT,
        expect=ACCESSIBLE,
        seen="dns timeout",
    ),
    Scenario(
        name="home-resolver-slow-tls-reset",
        about="The same, and the target is blocked.",
        mechanisms=(HouseDns(delay=3.0), RESET),
        run=PATIENT,
        expect=RESET_FOUND,
        seen="dns timeout",
    ),
    Scenario(
        name="home-sinkhole",
        about="A Pi-hole on the home router answers for the target with the null address.",
        mechanisms=(HouseDns(names=("facebook.com",), answer="0.0.0.0"),),
        expect=Expect(outcome="blocked", mechanism=("dns.bogon", "dns.blockpage"), where="local"),
        seen="tcp reset",
    ),
    Scenario(
        name="home-loss",
        about="One packet in five is lost, each way together.",
        mechanisms=(
            Loss(percent=10.6),
            Delay(rtt=40),
        ),
        expect=Expect(outcome=("accessible", "inconclusive", "unreachable", "invalid")),
        seen="*",
    ),
    Scenario(
        name="home-jitter",
        about="Packets take a second there and back, give or take one: two seconds of jitter.",
        mechanisms=(Delay(rtt=1000, jitter=500),),
        expect=Expect(outcome=("accessible", "inconclusive", "unreachable", "invalid")),
        seen="*",
    ),
)

PORTALS = (
    Scenario(
        name="portal-redirect",
        about="A hotspot sends every request in clear to its login page, and resets all of port 443.",
        mechanisms=(Portal(),),
        expect=invalid("captive"),
        seen="tcp reset",
        idle=True,
    ),
    Scenario(
        name="portal-redirect-http",
        about="The same hotspot, and a site in clear.",
        target="http://freeradio.example/",
        mechanisms=(Portal(),),
        expect=invalid("captive"),
        seen="http 302 http://10.10.0.1/login?for=http://freeradio.example/",
        abroad="http 200 freeradio.example",
    ),
    Scenario(
        name="portal-wildcard",
        about="A hotspot's resolver gives every name the portal's own public address.",
        mechanisms=(Portal(wildcard="198.51.100.81", http="page", https="login"),),
        expect=invalid("captive"),
        seen="tls untrusted self-signed certificate in certificate chain",
    ),
    Scenario(
        name="portal-private",
        about="A hotspot's resolver gives every name a private address.",
        mechanisms=(Portal(wildcard="192.168.88.1", http="page", https="drop"),),
        expect=invalid("captive"),
        seen="tcp timeout",
    ),
    Scenario(
        name="portal-intercepting",
        about="A hotspot answers all of HTTPS with its login page, under certificates made on the spot.",
        mechanisms=(Portal(https="login"),),
        expect=invalid(("captive", "private_issuer")),
        seen="tls untrusted self-signed certificate in certificate chain",
    ),
    Scenario(
        name="portal-511",
        about="A hotspot answers every request in clear with status 511 (RFC 6585), and drops the rest.",
        target="http://freeradio.example/",
        mechanisms=(Portal(http="status511", https="drop"),),
        expect=invalid("captive"),
        seen="http 511 Welcome to our Wi-Fi",
        abroad="http 200 freeradio.example",
    ),
    Scenario(
        name="antivirus",
        about="A program on the machine itself reads along in all of HTTPS, under certificates of its own.",
        mechanisms=(Portal(by="cli", http="pass", https="relay", rest="pass"),),
        expect=invalid("private_issuer"),
        seen="tls untrusted self-signed certificate in certificate chain",
    ),
    Scenario(
        name="home-interception",
        about="The home's router reads along in all of HTTPS.",
        mechanisms=(Portal(http="pass", https="relay", rest="pass"),),
        expect=invalid("private_issuer"),
        seen="tls untrusted self-signed certificate in certificate chain",
    ),
)

BUNDLES = (
    Scenario(
        name="bundle-spent",
        about="The operator's portal gets all of HTTP, and nothing else passes but one site that is free of charge.",
        mechanisms=(Portal(by="isp", https="drop", spared=(DOMESTIC[0].address,)),),
        expect=invalid("data_plan"),
        seen="tcp timeout",
        idle=True,
    ),
    Scenario(
        name="bundle-spent-for-others",
        about="The same, and the target is the site that is free of charge.",
        mechanisms=(Portal(by="isp", https="drop", spared=FACEBOOK),),
        expect=ACCESSIBLE,
        seen="http 200 facebook.com",
        idle=True,
    ),
    Scenario(
        name="bundle-wanted-for-one-site",
        about="The operator's portal wants a bundle to be bought for the target alone (Uganda, 2018).",
        target="http://freeradio.example/",
        mechanisms=(
            HostFilter(names=("freeradio.example",), action="redirect", location=f"http://{BLOCK_PAGE}/social-bundle"),
        ),
        expect=blocked(("http.portal", "http.redirect"), "name", "network"),
        seen=f"http 302 http://{BLOCK_PAGE}/social-bundle",
        abroad="http 200 freeradio.example",
    ),
    Scenario(
        name="allowlist",
        about="The border lets nothing pass but what goes to one host abroad, beside which a control stands.",
        mechanisms=(SparedOnly(spared=(CONTROL,)),),
        expect=blocked("network.allowlist", "any", "network"),
        without_control=Expect(outcome="inconclusive", reason="abroad"),
        seen="tcp timeout",
        alike="cable-cut",
    ),
    Scenario(
        name="cable-cut",
        about="Nothing comes from abroad, and what is domestic answers: a cable may be cut.",
        mechanisms=(SparedOnly(),),
        expect=Expect(outcome="inconclusive", reason="abroad"),
        seen="tcp timeout",
    ),
)

TUNNELS = (
    Scenario(
        name="vpn",
        about="A VPN is up, and takes everything past the censor.",
        mechanisms=(Vpn(), RESET),
        expect=invalid("vpn"),
        seen="http 200 facebook.com",
        idle=True,
    ),
    Scenario(
        name="vpn-wireguard",
        about="The same, by the name that WireGuard's devices have; nothing is blocked.",
        mechanisms=(Vpn(device="wg0"),),
        expect=invalid("vpn"),
        seen="http 200 facebook.com",
    ),
    Scenario(
        name="vpn-half-way",
        about="A VPN is brought up when the measurement has begun.",
        target="https://slow.example/",
        mechanisms=(Vpn(to="203.0.113.17"),),
        expect=invalid(("vpn", "network_changed")),
        seen="http timeout",
        abroad="http 200 slow.example",
    ),
)

IPV6 = (
    Scenario(
        name="ipv6-without-route",
        about="The machine has an IPv6 address and no route for it; the site has both.",
        target="https://news.example/",
        mechanisms=(Ipv6Fault(how="no-route"),),
        expect=ACCESSIBLE,
        seen="http 200 news.example",
        abroad="http 200 news.example",
    ),
    Scenario(
        name="ipv6-black-hole",
        about="The machine has an IPv6 route, and nothing comes back.",
        target="https://news.example/",
        mechanisms=(Ipv6Fault(how="black-hole"),),
        expect=ACCESSIBLE,
        seen="http 200 news.example",
        abroad="http 200 news.example",
    ),
    Scenario(
        name="ipv6-black-hole-tls-reset",
        about="The same, and the site is blocked.",
        target="https://news.example/",
        mechanisms=(Ipv6Fault(how="black-hole"), HelloFilter(names=("news.example",), action="reset")),
        expect=RESET_FOUND,
        seen="tls reset",
        abroad="http 200 news.example",
    ),
    Scenario(
        name="nat64",
        about="The home has IPv6 alone, with DNS64 and NAT64; the site has IPv4 alone.",
        mechanisms=(Ipv6Only(),),
        run=BY_DNS64,
        expect=ACCESSIBLE,
        seen="http 200 facebook.com",
    ),
    Scenario(
        name="nat64-tls-reset",
        about="The same, and the target is blocked.",
        mechanisms=(Ipv6Only(), RESET),
        run=BY_DNS64,
        expect=RESET_FOUND,
        seen="tls reset",
    ),
)

MACHINES = (
    Scenario(
        name="clock-ten-years-fast",
        about="The machine's clock is ten years fast.",
        run=clock_wrong_by(3650),
        expect=ACCESSIBLE,
        seen="http 200 facebook.com",
    ),
    Scenario(
        name="clock-ten-years-slow",
        about="The machine's clock is ten years slow, and the target is blocked.",
        mechanisms=(RESET,),
        run=clock_wrong_by(-3650),
        expect=RESET_FOUND,
        seen="tls reset",
    ),
    Scenario(
        name="too-few-files",
        about="The probe may open hardly any file.",
        run=open_files(10),
        expect=Expect(outcome=("accessible", "inconclusive")),
        seen="http 200 facebook.com",
    ),
    Scenario(
        name="stopped-half-way",
        about="The machine stands still for eight seconds in the middle of a measurement.",
        run=stopped(8.0, at=FACEBOOK[0]),
        expect=Expect(outcome=("accessible", "invalid")),
        seen="http 200 facebook.com",
    ),
)

HOME = (*LINES, *PORTALS, *BUNDLES, *TUNNELS, *IPV6, *MACHINES)
