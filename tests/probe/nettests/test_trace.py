"""`trace` in scripted worlds: what is sent how far, and what is said of it."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import pytest

from measurements.model import (
    Capture,
    CapturedPacket,
    DnsLookup,
    Failure,
    Hop,
    Preconditions,
    Purpose,
    TcpConnect,
    TlsHandshake,
    Verdict,
    View,
)
from probe.steps import harmless_name
from tests.measurements.worlds import (
    BLOCK,
    HOST,
    IN_CLEAR,
    OPEN,
    PLAIN,
    RESET,
    SINK,
    SITE,
    SIX,
    TIMEOUT,
    W1,
    Disruption,
    H,
    cut_at,
    lie,
    play,
    without_control,
)
from tests.scripted import LOCAL, Page, ScriptedNetwork, World

ROUTERS = {1: "192.168.0.1", 2: "198.51.100.9", 3: "198.51.100.10"}
Ways = dict[tuple[str, str], dict[int, str | list[str] | Failure]]
WAY: dict[int, str | list[str] | Failure] = dict(ROUTERS)
RESET_AT_3 = replace(
    OPEN, hands={(SITE, HOST): RESET}, paths={(SITE, HOST): cut_at(3, "reset"), (W1, HOST): cut_at(3, "reset")}
)
DROPPED_AT_2 = replace(
    OPEN, hands={(SITE, HOST): TIMEOUT}, paths={(SITE, HOST): cut_at(2, "silence"), (W1, HOST): cut_at(2, "silence")}
)
PAGE_AT_3 = replace(
    OPEN, pages={(SITE, HOST): BLOCK}, paths={(SITE, HOST): cut_at(3, "data"), (W1, HOST): cut_at(3, "data")}
)
SYN_AT_2 = replace(
    OPEN, ports={(SITE, 443): RESET}, control_ports={(SITE, 443): None}, paths={(SITE, None): cut_at(2, "reset")}
)
FORGED_AT_2 = replace(
    OPEN,
    answers=lie([["10.1.2.3"], [SITE]]),
    ways={
        (LOCAL.address, HOST): {1: ROUTERS[1], 2: ["10.1.2.3"], 3: ["10.1.2.3"], 4: ["10.1.2.3"]},
        (LOCAL.address, H): WAY,
        (PLAIN[0], HOST): WAY,
        (PLAIN[0], H): WAY,
    },
)
LOST_AT_2 = replace(
    OPEN,
    answers=lie(TIMEOUT),
    ways={
        **{(r, HOST): {1: ROUTERS[1], 2: TIMEOUT, 3: TIMEOUT, 4: TIMEOUT} for r in (LOCAL.address, PLAIN[0])},
        **{(r, H): WAY for r in (LOCAL.address, PLAIN[0])},
    },
)


def trace(world: World, url: str = f"https://{HOST}/", **facts: Any) -> tuple[Verdict, ScriptedNetwork]:
    return play(Disruption("", world, "", nettest="trace", url=url, **facts))


def walked(net: ScriptedNetwork, purpose: Purpose) -> Counter[int]:
    """How often a packet was sent how far."""
    hops = [o.ttl for o in net.observations if isinstance(o, Hop) and o.purpose is purpose]
    asked = [o.ip_ttl for o in net.observations if isinstance(o, DnsLookup) and o.purpose is purpose and o.ip_ttl]
    return Counter(hops + asked)


@pytest.mark.parametrize(
    ("world", "url", "mechanism", "trigger", "place"),
    [
        (RESET_AT_3, f"https://{HOST}/", "tls.reset", "name", "a reset at hop 3 of 4, between 198.51.100.9 and 198.51"),
        (DROPPED_AT_2, f"https://{HOST}/", "tls.timeout", "name", "die at hop 2 of 4, between 192.168.0.1 and 198.51"),
        (PAGE_AT_3, IN_CLEAR, "http.blockpage", "name", "answered at hop 3 of 4, between 198.51.100.9 and 198.51.100"),
        (
            SYN_AT_2,
            f"https://{HOST}/",
            "tcp.reset",
            "address",
            "a reset at hop 2, between 192.168.0.1 and 198.51.100.9",
        ),
        (
            FORGED_AT_2,
            f"https://{HOST}/",
            "dns.injected",
            "name",
            "answered at hop 2 of 4, between 192.168.0.1 and 198",
        ),
        (LOST_AT_2, f"https://{HOST}/", "dns.timeout", "name", "vanish at hop 2 of 4, between 192.168.0.1 and 198.51"),
    ],
)
def test_the_place_is_found_and_named(world: World, url: str, mechanism: str, trigger: str, place: str) -> None:
    for each in (world, without_control(Disruption("", world, "")).world):
        verdict, _ = trace(each, url)
        if each.seen is None and mechanism.startswith("tcp"):
            assert verdict.outcome == "inconclusive"
            continue
        assert (verdict.outcome, verdict.mechanism, verdict.where) == ("blocked", mechanism, "network")
        assert verdict.findings[0].rule == "trace.located"
        assert verdict.trigger == trigger
        assert place in verdict.summary


def test_a_redirect_that_is_forged_is_called_so() -> None:
    forged = replace(PAGE_AT_3, pages={(SITE, HOST): Page(302, redirect=f"http://{SINK}/")})
    assert trace(forged, IN_CLEAR)[0].mechanism == "http.redirect"


def test_what_the_first_router_does_is_local() -> None:
    at_home = replace(RESET_AT_3, paths={(SITE, HOST): cut_at(1, "reset"), (W1, HOST): cut_at(1, "reset")})
    verdict, _ = trace(at_home)
    assert (verdict.outcome, verdict.where) == ("blocked", "local")
    assert "at hop 1 of 4, the first router, your own network's" in verdict.summary
    asked: Ways = {(LOCAL.address, HOST): {1: ["10.1.2.3"]}, (LOCAL.address, H): WAY}
    verdict, _ = trace(replace(FORGED_AT_2, ways={**FORGED_AT_2.ways, **asked}))
    assert (verdict.outcome, verdict.where) == ("blocked", "local")


@pytest.mark.parametrize(
    ("there", "trigger"),
    [
        ({1: ("expired", None), 2: ("expired", None), 3: ("expired", None)}, "name_and_address"),
        ({3: ("data", None)}, "unknown"),
    ],
)
def test_a_name_that_passes_on_the_way_to_a_witness_is_not_the_whole_trigger(there: Any, trigger: str) -> None:
    verdict, _ = trace(replace(RESET_AT_3, paths={(SITE, HOST): cut_at(3, "reset"), (W1, HOST): there}))
    assert (verdict.outcome, verdict.trigger) == ("blocked", trigger)


def test_an_open_site_is_said_to_be_open_and_how_far_it_is() -> None:
    verdict, net = trace(OPEN)
    assert (verdict.outcome, verdict.findings[0].rule) == ("accessible", "trace.passable")
    assert "4 hops away" in verdict.summary
    assert net.spent.limits == []


@pytest.mark.parametrize(
    "world",
    [
        replace(OPEN, hands={(SITE, HOST): RESET}, paths={(SITE, HOST): cut_at(4, "reset")}),
        replace(OPEN, hands={(SITE, HOST): TIMEOUT}, paths={(SITE, HOST): cut_at(4, "silence")}),
        replace(RESET_AT_3, paths={(SITE, HOST): cut_at(3, "reset"), (SITE, H): cut_at(3, "reset")}),
        replace(SYN_AT_2, paths={(SITE, None): cut_at(4, "reset")}),
    ],
    ids=["the site resets", "the site is silent", "every name is reset", "the site refuses"],
)
def test_what_the_site_may_do_itself_accuses_nobody(world: World) -> None:
    assert trace(world)[0].outcome in ("unreachable", "inconclusive")


def test_a_true_answer_that_comes_early_is_no_lie() -> None:
    true: Ways = {**FORGED_AT_2.ways, (LOCAL.address, HOST): {1: ROUTERS[1], 2: [SITE], 3: [SITE], 4: [SITE]}}
    assert trace(replace(OPEN, answers=lie([["10.1.2.3"]]), ways=true))[0].findings[0].rule != "trace.located"


def test_a_resolver_that_lies_itself_is_told_by_the_rules_of_names() -> None:
    verdict, net = trace(replace(OPEN, answers=lie(Failure.DNS_NXDOMAIN)))
    assert (verdict.mechanism, verdict.where) == ("dns.nxdomain", "resolver")
    assert walked(net, Purpose.TRACE_TARGET)


def test_harmless_packets_go_first_and_the_name_no_further_than_needed() -> None:
    _, net = trace(RESET_AT_3)
    order = [o.purpose for o in net.observations if isinstance(o, Hop)]
    assert order.index(Purpose.TRACE_TARGET) > order.index(Purpose.TRACE_HARMLESS) + 3
    assert walked(net, Purpose.TRACE_TARGET) == {1: 2, 2: 2, 3: 3}
    assert walked(net, Purpose.TRACE_HARMLESS)[3] == 3, "twice more, last"
    assert walked(net, Purpose.TARGET_AT_WITNESS) == {3: 2}
    names = {o.name for o in net.observations if isinstance(o, Hop) and o.name}
    assert {len(name) for name in names} == {len(HOST)}


def test_our_own_packets_are_watched_meanwhile_and_the_forged_ones_told_apart() -> None:
    def captured(hops: list[Hop]) -> tuple[CapturedPacket, ...]:
        ports = [h.local_port for h in hops if h.purpose is Purpose.TRACE_TARGET and h.ttl == 3 and h.local_port]
        facts: dict[str, Any] = {"at": 1.0, "protocol": "tcp", "source": SITE}
        taken = [CapturedPacket(**facts, local_port=port, ip_ttl=59, flags="SA") for port in ports]
        cut = [CapturedPacket(**facts, local_port=port, ip_ttl=62, flags="RA") for port in ports]
        return (*taken, *cut)

    verdict, net = trace(replace(RESET_AT_3, captured=captured))
    assert "with an IP TTL of 62 (flags RA), what took the connection with 59." in verdict.summary
    [seen] = [o for o in net.observations if isinstance(o, Capture)]
    assert seen.peers == (f"{SITE}:443",)
    assert seen.id in verdict.findings[0].evidence
    verdict, net = trace(FORGED_AT_2)
    [seen] = [o for o in net.observations if isinstance(o, Capture)]
    assert (seen.means, seen.peers) == ("recverr", (LOCAL.address, PLAIN[0], f"{SITE}:443"))
    assert "IP TTL" not in verdict.summary


def test_an_open_lookup_is_not_walked() -> None:
    _, net = trace(OPEN)
    assert not [o for o in net.observations if isinstance(o, DnsLookup) and o.ip_ttl is not None]


def test_only_the_lookup_is_walked_where_the_true_address_serves() -> None:
    _, net = trace(FORGED_AT_2)
    assert not [o for o in net.observations if isinstance(o, Hop)]
    assert walked(net, Purpose.TRACE_TARGET)[2] == 4  # twice towards each of two resolvers


def test_a_chain_is_followed_to_the_leg_that_fails() -> None:
    far = f"m.{HOST}"
    world = World(
        names={HOST: [SITE], far: ["203.0.113.20"]},
        pages={(SITE, HOST): Page(301, redirect=f"https://{far}/")},
        hands={("203.0.113.20", far): RESET},
        paths={("203.0.113.20", far): cut_at(3, "reset")},
        seen=Page(),
    )
    verdict, net = trace(world, IN_CLEAR)
    assert (verdict.outcome, verdict.mechanism) == ("blocked", "tls.reset")
    hops = [o for o in net.observations if isinstance(o, Hop) and o.purpose is Purpose.TRACE_TARGET]
    assert {h.name for h in hops} == {far}
    assert {h.name for h in net.observations if isinstance(h, Hop) and h.name} == {far, harmless_name(far)}


@pytest.mark.parametrize("where", ["http://10.0.0.1/", "ftp://far.example/", IN_CLEAR], ids=["private", "ftp", "loop"])
def test_a_redirect_that_no_browser_may_follow_ends_the_chain(where: str) -> None:
    _, net = trace(replace(OPEN, pages={(SITE, HOST): Page(302, redirect=where)}), IN_CLEAR)
    assert {o.address for o in net.observations if isinstance(o, TcpConnect) and o.purpose is None} == {SITE}


def test_ipv6_is_walked_where_it_is_what_fails() -> None:
    world = World(names={HOST: [SIX]}, hands={(SIX, HOST): RESET}, paths={(SIX, HOST): cut_at(2, "reset")}, seen=Page())
    _, net = trace(world)
    assert not [o for o in net.observations if isinstance(o, Hop)], "there is no route"
    _, net = trace(world, preconditions=Preconditions(ipv4_route=True, ipv6_route=True))
    assert {o.address for o in net.observations if isinstance(o, Hop) and o.purpose is Purpose.TRACE_TARGET} == {SIX}


def test_an_address_for_a_name_is_walked_by_first_packets() -> None:
    _, net = trace(replace(SYN_AT_2, names={SITE: [SITE]}), f"https://{SITE}/")
    assert {o.probe for o in net.observations if isinstance(o, Hop)} == {"syn"}


def test_the_walk_is_bounded() -> None:
    endless: dict[int, tuple[str, str | None]] = {ttl: ("expired", f"198.51.100.{ttl}") for ttl in range(1, 200)}
    net = ScriptedNetwork(replace(OPEN, paths={(a, n): endless for a in (SITE, W1) for n in (HOST, H, None)}))
    net.limits = replace(net.limits, max_hops=100)
    play(Disruption("", OPEN, "", nettest="trace"), net)
    assert "trace" in net.spent.limits
    assert len([o for o in net.observations if isinstance(o, Hop)]) <= 200


def test_a_way_on_which_nobody_answers_is_given_up() -> None:
    silent: dict[int, tuple[str, str | None]] = dict.fromkeys(range(1, 30), ("silence", None))
    _, net = trace(replace(OPEN, paths={(a, n): silent for a in (SITE, W1) for n in (HOST, H, None)}))
    assert max(walked(net, Purpose.TRACE_HARMLESS)) == 4


def test_where_the_network_cannot_be_judged_nothing_is_walked() -> None:
    verdict, net = trace(RESET_AT_3, preconditions=Preconditions(reason="offline", detail="No."))
    assert verdict.outcome == "invalid"
    assert not [o for o in net.observations if isinstance(o, Hop)]


def test_a_harmless_name_is_asked_for_at_the_targets_own_address() -> None:
    _, net = trace(RESET_AT_3)
    [hands] = [o for o in net.observations if o.purpose is Purpose.HARMLESS_AT_TARGET and isinstance(o, TlsHandshake)]
    assert (hands.address, hands.name, hands.view) == (SITE, H, View.FOLLOW_UP)
