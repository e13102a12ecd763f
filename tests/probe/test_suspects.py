"""Each suspect that stands nearer than a censor, and the honest look-alike that must not be taken for it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from measurements.model import Canary, DnsLookup, Failure, Preconditions, View
from probe.control.canary import Singer
from probe.network import Resolver, Route, Witness
from probe.surroundings import read_machine
from probe.vantage import Machine, Sight, changed, glance, look
from tests.scripted import CONTROL_ADDRESS, LOCAL, TRUSTED, WITNESSES, Page, ScriptedNetwork, World

ONE, TWO, THREE = WITNESSES
W1, W2, W3 = WITNESSES.values()
TIMEOUT, RESET = Failure.TIMEOUT, Failure.CONNECTION_RESET
SHUT: dict[tuple[str, int], Failure | None] = {(a, p): TIMEOUT for a in WITNESSES.values() for p in (80, 443)}
BRIDGED = Machine(container=True)
HOME = Route("wlan0", "192.168.1.1", "192.168.1.7")
TUNNEL = Route("tun0", "10.8.0.1", "10.8.0.2")

Arrange = Callable[[ScriptedNetwork], None]
Answers = dict[tuple[str, str], list[list[str]] | Failure]
Pages = dict[tuple[str, str], Page | Failure]
Hands = dict[tuple[str, str | None], Failure | None]
ORDINARY = Machine()


def sight(world: World, arrange: Arrange = lambda net: None, machine: Machine = ORDINARY) -> Sight:
    net = ScriptedNetwork(world)
    arrange(net)
    return asyncio.run(look(net, machine, lambda: 1_800_000_000.0))


def seen(world: World, arrange: Arrange = lambda net: None, machine: Machine = ORDINARY) -> Preconditions:
    found = sight(world, arrange, machine).preconditions
    assert bool(found.reason) == bool(found.detail)
    return found


def domestic(net: ScriptedNetwork) -> None:
    """Let the third witness be one inside the country."""
    net.peers = replace(net.peers, witnesses=(Witness(ONE), Witness(TWO), Witness(THREE, domestic=True)))


def answered(*pages: Page) -> Pages:
    """What the first witnesses say in clear."""
    return dict(zip(zip(WITNESSES.values(), WITNESSES, strict=True), pages, strict=False))


LOGIN = Page(302, b"", None, redirect="http://portal.example/login?for=1")
CUT: Hands = {(a, n): RESET for n, a in WITNESSES.items()}


# A VPN


@pytest.mark.parametrize("device", ["tun0", "tap1", "utun3", "wg0", "wg-mullvad", "tailscale0", "nordlynx", "proton0"])
def test_a_tunnel_for_all_traffic_is_a_vpn(device: str) -> None:
    """If the way out leads into a tunnel, nothing is sent, for it would be about another network."""
    net = ScriptedNetwork(World())
    net.device = device
    found = asyncio.run(look(net)).preconditions
    assert found.reason == "vpn"
    assert device in found.detail
    assert not net.observations


@pytest.mark.parametrize("device", ["eth0", "wlan0", "wwan0", "enp3s0", "wlp2s0", "br0", "ppp0", ""])
def test_an_ordinary_line_is_none(device: str) -> None:
    """If the line is dialled (ppp) and nothing else leads to a gateway, it is the provider's own."""
    assert not Machine().is_tunnel(Route(device))


def test_a_dialled_line_over_another_is_a_vpn() -> None:
    assert Machine(gateways=frozenset({"eth0"})).is_tunnel(Route("ppp0"))
    assert not Machine(gateways=frozenset({"ppp0"})).is_tunnel(Route("ppp0"))


def test_a_tunnel_by_any_name_is_known_by_the_kernel_and_a_rootless_container_has_a_tap() -> None:
    assert Machine(tunnels=frozenset({"office"})).is_tunnel(Route("office"))
    assert Machine(tunnels=frozenset({"tap0"})).is_tunnel(Route("tap0"))
    assert not Machine(container=True, tunnels=frozenset({"tap0"})).is_tunnel(Route("tap0"))


def test_a_machine_is_read(tmp_path: Path) -> None:
    for name, files in {
        "tun9": {"tun_flags": "0x1001"},
        "office": {"uevent": "DEVTYPE=wireguard\n"},
        "eth0": {},
    }.items():
        (tmp_path / "sys/class/net" / name).mkdir(parents=True)
        for file, text in files.items():
            (tmp_path / "sys/class/net" / name / file).write_text(text)
    (tmp_path / "proc/net").mkdir(parents=True)
    table = "Iface\tDestination\tGateway\tFlags\neth0\t00000000\t0101A8C0\t0003\neth1\t0001A8C0\t00000000\t0001\nx\n"
    (tmp_path / "proc/net/route").write_text(table)
    found = read_machine(tmp_path, {"HTTPS_PROXY": "http://proxy:3128", "http_proxy": ""})
    assert found == Machine(False, ("https_proxy",), frozenset({"eth0"}), frozenset({"tun9", "office"}))
    (tmp_path / ".dockerenv").touch()
    assert read_machine(tmp_path, {}).container
    assert read_machine(tmp_path / "nothing", {"KUBERNETES_SERVICE_HOST": "10.96.0.1"}).container
    assert read_machine(tmp_path / "nothing", {}) == Machine()


# Portals


@pytest.mark.parametrize(
    "clear",
    [
        answered(Page(511, b"log in", None)),
        answered(LOGIN, replace(LOGIN, redirect="http://portal.example/login?for=2")),
        answered(
            replace(LOGIN, redirect="http://portal.example/a"), replace(LOGIN, redirect="http://portal.example/b")
        ),
        answered(replace(LOGIN, redirect="http://10.0.0.1/login")),
        answered(Page(200, b"log in", "Welcome"), Page(200, b"log in", "Welcome")),
    ],
    ids=["511", "same-redirect", "same-host", "into-the-house", "same-page"],
)
def test_sites_with_nothing_in_common_that_answer_alike_are_a_portal(
    clear: Pages,
) -> None:
    assert seen(World(clear=clear, hands=CUT)).reason == "captive"


@pytest.mark.parametrize(
    "clear",
    [
        answered(*(Page(301, b"", None, redirect=f"https://{n}/") for n in WITNESSES)),
        answered(*(Page(301, b"", None, redirect=f"https://www.{n}/") for n in WITNESSES)),
        answered(Page(403, b"no", "Just a moment"), Page(403, b"no", "Just a moment")),
        answered(Page(200, b"one", "One"), Page(200, b"two", "Two")),
        answered(Page(200, b"one", "One"), Page(301, b"", None, redirect="https://elsewhere.example/")),
        {(W1, ONE): RESET, (W2, TWO): RESET},
    ],
    ids=["to-https", "to-www", "the-same-bot-wall", "own-pages", "one-moved", "both-cut"],
)
def test_sites_that_answer_for_themselves_are_none(clear: Pages) -> None:
    assert seen(World(clear=clear)).reason is None


@pytest.mark.parametrize(("address", "words"), [("203.0.113.9", "same address"), ("10.0.0.9", "private")])
def test_a_resolver_that_says_one_thing_of_every_name_is_a_portals(address: str, words: str) -> None:
    answers: Answers = {(LOCAL.address, n): [[address]] for n in WITNESSES}
    found = seen(World(answers=answers, names={"portal.example": [address]}))
    assert found.reason == "captive"
    assert words in found.detail


def test_one_name_with_a_private_address_is_not_the_networks_fault() -> None:
    answers: Answers = {(LOCAL.address, ONE): [["10.0.0.9"]]}
    assert seen(World(answers=answers)).reason is None


def test_one_certificate_of_a_known_authority_for_all_is_a_portals() -> None:
    hands: Hands = {(a, n): Failure.SSL_INVALID_HOSTNAME for n, a in WITNESSES.items()}
    chains: dict[tuple[str, str | None], tuple[bytes, ...]] = {(a, n): (b"portal",) for n, a in WITNESSES.items()}
    assert seen(World(hands=hands, chains=chains)).reason == "captive"
    own: dict[tuple[str, str | None], tuple[bytes, ...]] = {(a, n): (n.encode(),) for n, a in WITNESSES.items()}
    assert seen(World(hands=hands, chains=own)).reason is None


def test_where_one_site_passes_and_the_others_are_a_portals_a_bundle_is_spent() -> None:
    clear = answered(LOGIN, LOGIN, LOGIN)
    cut: Hands = {(W1, ONE): RESET, (W2, TWO): RESET}
    found = seen(World(clear=clear, hands=cut), domestic)
    assert found.reason == "data_plan"
    assert THREE in found.detail
    assert seen(World(clear=clear, hands=CUT), domestic).reason == "captive"


def test_where_names_are_found_and_nothing_else_passes_that_is_said() -> None:
    answers: Answers = {(r.address, n): TIMEOUT for r in TRUSTED for n in WITNESSES}
    assert seen(World(answers=answers, ports=SHUT)).reason == "nothing_passes"
    assert seen(World(ports=SHUT)).reason is None, "a trusted resolver answers"

    def one(net: ScriptedNetwork) -> None:
        net.peers = replace(net.peers, trusted=(), witnesses=(Witness(ONE),))

    assert seen(World(ports=SHUT), one).reason is None, "one witness alone may be down"


# An antivirus

STRANGE: Hands = {(a, n): Failure.SSL_UNKNOWN_AUTHORITY for n, a in WITNESSES.items()}
READING = World(hands=STRANGE, issuers={(a, n): "CN=Shield" for n, a in WITNESSES.items()})


@pytest.mark.parametrize(
    ("first", "second", "machine", "reason"),
    [
        ("open", "expired", Machine(), "private_issuer"),
        ("silence", "expired", Machine(), "private_issuer"),
        ("expired", "open", Machine(), None),
        ("expired", "open", BRIDGED, "private_issuer"),
        ("expired", "expired", BRIDGED, None),
    ],
    ids=["on-the-machine", "unknown", "beyond-the-router", "at-home-of-a-container", "beyond-it"],
)
def test_one_unknown_issuer_for_all_is_an_antivirus_unless_it_stands_beyond_the_home(
    first: str, second: str, machine: Machine, reason: str | None
) -> None:
    """If packets that cannot leave the home are answered, it is at home; beyond it, it is for the rules to accuse."""
    paths: dict[tuple[str, str | None], dict[int, tuple[str, str | None]]] = {
        (a, None): {1: (first, None), 2: (second, None)} for a in (W1, W2)
    }

    def bridged(net: ScriptedNetwork) -> None:
        if machine.container:
            net.peers = replace(net.peers, local=Resolver("127.0.0.11:53", View.LOCAL))

    answers: Answers = {("127.0.0.11:53", n): [[a]] for n, a in WITNESSES.items()}
    found = seen(replace(READING, paths=paths, answers=answers), bridged, machine)
    assert (found.reason, found.issuer) == (reason, None if reason else "CN=Shield")
    assert "Shield" not in found.detail, "it may name an employer"


def test_different_strangers_or_one_alone_are_no_antivirus() -> None:
    issuers: dict[tuple[str, str | None], str] = {(a, n): f"CN={n}" for n, a in WITNESSES.items()}
    assert seen(replace(READING, issuers=issuers)).issuer is None
    assert seen(replace(READING, hands={(W1, ONE): Failure.SSL_UNKNOWN_AUTHORITY})).issuer is None


# The control


def with_control(url: str) -> Arrange:
    def arrange(net: ScriptedNetwork) -> None:
        net.peers = replace(net.peers, controls=(url,))

    return arrange


@pytest.mark.parametrize("url", [f"http://{CONTROL_ADDRESS}:8080/", f"http://{CONTROL_ADDRESS}/some/where"])
def test_a_control_says_what_it_alone_can_say_and_where_we_come_from(url: str) -> None:
    found = sight(World(singer=Singer()), with_control(url))
    assert found.preconditions.control_alive is True
    assert found.preconditions.canaries[-1].kind == "control" or found.preconditions.canaries[0].kind == "control"
    assert found.public_address == "198.51.100.77"
    assert "198.51.100.77" not in str(found.preconditions)


def test_a_control_by_name_and_over_tls() -> None:
    names = {"control.example": [CONTROL_ADDRESS]}
    found = seen(World(singer=Singer(), names=names), with_control("https://control.example/"))
    assert Canary(kind="control", way="tls") in found.canaries
    bad = World(
        singer=Singer(), names=names, hands={(CONTROL_ADDRESS, "control.example"): Failure.SSL_UNKNOWN_AUTHORITY}
    )
    assert seen(bad, with_control("https://control.example/")).control_alive is False


@pytest.mark.parametrize("own", [True, False])
def test_a_controls_key_is_its_own_or_somebody_reads_along(own: bool, tmp_path: Path) -> None:
    singer, file = Singer(port=443), tmp_path / "key.pem"
    (singer if own else Singer()).write_certificate(file)
    der = x509.load_pem_x509_certificate(file.read_bytes()).public_bytes(Encoding.DER)
    hands: Hands = {(CONTROL_ADDRESS, None): Failure.SSL_UNKNOWN_AUTHORITY}
    world = World(singer=singer, hands=hands, chains={(CONTROL_ADDRESS, None): (der,)})
    found = seen(world, with_control(f"http://{CONTROL_ADDRESS}:8080"))
    assert Canary(kind="control", way="tls", problem=None if own else "forged") in found.canaries
    assert found.control_alive is True


def test_what_answers_for_a_control_and_is_none_says_nothing() -> None:
    """If it is OONI's helper, or a portal, that cannot be told apart here, and it counts for neither."""
    found = seen(World(), with_control(f"http://{CONTROL_ADDRESS}/"))
    assert (found.reason, found.control_alive) == (None, None)


def test_a_control_that_is_not_reached_is_dead_and_the_network_is_not() -> None:
    world = World(ports={(CONTROL_ADDRESS, 8080): TIMEOUT})
    found = seen(world, with_control(f"http://{CONTROL_ADDRESS}:8080/"))
    assert (found.reason, found.control_alive) == (None, False)


# The border


def test_foreign_and_domestic_witnesses_are_told_apart() -> None:
    found = seen(World(ports={k: v for k, v in SHUT.items() if k[0] != W3}), domestic)
    assert (found.reason, found.foreign_alive, found.domestic_alive) == (None, False, True)
    found = seen(World(), domestic)
    assert (found.foreign_alive, found.domestic_alive) == (True, True)


# IPv6


def both(net: ScriptedNetwork) -> None:
    net.routes = {4: True, 6: True}


def six_alone(net: ScriptedNetwork) -> None:
    net.routes = {4: False, 6: True}


def dual(**more: list[list[str]]) -> Answers:
    """Witnesses with an IPv4 and an IPv6 address each."""
    answers: Answers = {
        (at.address, n): [[a], [f"2001:db8::{i}"]]
        for at in (LOCAL, *TRUSTED)
        for i, (n, a) in enumerate(WITNESSES.items())
    }
    return answers | {(LOCAL.address, name.replace("_", ".")): said for name, said in more.items()}


def test_a_route_for_ipv6_that_leads_nowhere_is_left_out() -> None:
    found = seen(World(answers=dual()), both)
    assert (found.reason, found.ipv6_alive) == (None, False)
    assert any("IPv6" in note for note in found.notes)
    works = World(answers=dual(), ports={("2001:db8::0", 443): None, ("2001:db8::1", 443): None})
    assert seen(works, both).ipv6_alive is True
    assert seen(World(answers=dual())).ipv6_alive is None


def test_the_prefix_of_a_nat64_is_found_and_used() -> None:
    world = World(answers=dual(ipv4only_arpa=[["64:ff9b::c000:aa", "64:ff9b::c000:ab"]]))
    net = ScriptedNetwork(world)
    six_alone(net)
    found = asyncio.run(look(net)).preconditions
    assert (found.reason, found.nat64, net.nat64) == (None, "64:ff9b::/96", "64:ff9b::/96")
    assert {o.rtype for o in net.observations if isinstance(o, DnsLookup) and o.name in WITNESSES} == {"A"}
    assert seen(World(answers=dual()), both).nat64 is None


# This machine


class Full(ScriptedNetwork):
    """A machine that may open no more files from the lookup of a name on."""

    names: tuple[str, ...] = tuple(WITNESSES)

    async def lookup(self, name: str, rtype: str, resolver: Resolver, **more: Any) -> DnsLookup:
        if name not in self.names:
            return await super().lookup(name, rtype, resolver, **more)
        full = Failure.TOO_MANY_OPEN_FILES
        return self._record(DnsLookup, resolver=resolver.address, protocol="udp", name=name, rtype=rtype, failure=full)


@pytest.mark.parametrize("names", [tuple(WITNESSES), (ONE, TWO)], ids=["all", "foreign"])
def test_too_many_open_files_say_nothing_about_a_network(names: tuple[str, ...]) -> None:
    """If this machine cannot open files, what is missing is neither a dead line nor a closed border."""
    net = Full(World())
    net.names = names
    domestic(net)
    found = asyncio.run(look(net)).preconditions
    assert (found.reason, found.foreign_alive) == (None, None)


def test_witnesses_whose_names_are_not_found_are_no_closed_border() -> None:
    answers: Answers = {(at.address, n): Failure.DNS_SERVFAIL for at in (LOCAL, *TRUSTED) for n in (ONE, TWO)}
    found = seen(World(answers=answers), domestic)
    assert {c.problem for c in found.canaries if c.kind == "foreign"} == {"no_address"}


def test_what_cannot_be_seen_from_a_container_is_said() -> None:
    found = seen(World(), machine=Machine(container=True, proxies=("https_proxy",)))
    assert (found.container, len(found.notes)) == (False, 1), "a container that uses the machine's own network"
    assert "https_proxy" in found.notes[0]
    assert BRIDGED.is_bridged(Route("eth0", "172.17.0.1"), None)
    assert BRIDGED.is_bridged(None, "127.0.0.11:53")
    assert not BRIDGED.is_bridged(Route("eth0", "192.168.1.1"), "192.168.1.1:53")
    assert not Machine().is_bridged(Route("eth0", "172.17.0.1"), "127.0.0.11:53")


# Meanwhile


@pytest.mark.parametrize(
    ("before", "after", "reason"),
    [
        ((HOME, None), (HOME, None), None),
        ((HOME, None), (TUNNEL, None), "vpn"),
        ((TUNNEL, None), (HOME, None), "vpn"),
        ((HOME, None), (replace(HOME, source="192.168.1.8"), None), "network_changed"),
        ((HOME, None), (replace(HOME, gateway="192.168.9.1"), None), "network_changed"),
        ((HOME, None), (None, None), None),
        ((None, None), (HOME, None), "network_changed"),
        ((HOME, None), (HOME, Route("wlan0", "fe80::1", "2001:db8::7")), None),
        ((None, Route("wlan0", "fe80::1", "2001:db8::7")), (None, Route("wlan0", "fe80::1", "2001:db8::8")), None),
        (
            (None, Route("wlan0", "fe80::1", "2001:db8::7")),
            (None, Route("wwan0", "fe80::1", "2001:db8::7")),
            "network_changed",
        ),
    ],
)
def test_another_way_in_the_end_than_in_the_beginning(
    before: tuple[Route | None, Route | None], after: tuple[Route | None, Route | None], reason: str | None
) -> None:
    found = changed(before, after, Machine())
    assert (found.reason if found else None) == reason


@pytest.mark.parametrize(
    ("world", "well"),
    [
        (World(), True),
        (World(ports=SHUT), False),
        (World(answers={(LOCAL.address, ONE): TIMEOUT}), False),
        (World(clear={(W1, ONE): Page(511, b"", None)}), False),
    ],
    ids=["well", "shut", "no-name", "log-in"],
)
def test_a_glance_is_little_and_sees_what_has_changed(world: World, well: bool) -> None:
    net = ScriptedNetwork(world)
    assert asyncio.run(glance(net)) is well
    assert len(net.observations) <= 3
