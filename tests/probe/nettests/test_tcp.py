"""`tcp` in scripted worlds: each address is tried once, and what fails everywhere is followed up."""

from __future__ import annotations

from dataclasses import replace

from measurements.model import (
    ControlQuery,
    Failure,
    HttpExchange,
    Mechanism,
    Outcome,
    Pattern,
    Purpose,
    TcpConnect,
    TlsHandshake,
    View,
)
from tests.measurements.worlds import BESIDE, HOST, OPEN, SITE, TIMEOUT, Disruption, cut_at, play, said
from tests.scripted import ScriptedNetwork, World

URL = f"https://{HOST}:8443/"
DROPPED = replace(
    OPEN,
    ports={(SITE, port): TIMEOUT for port in (80, 443, 8443)},
    paths={(SITE, None): cut_at(3, "silence")},
    control_ports={(SITE, 443): None},
)


def tried(world: World, url: str = f"https://{HOST}/") -> ScriptedNetwork:
    return play(Disruption("", world, "", nettest="tcp", url=url))[1]


def test_every_address_is_tried_on_the_targets_port_and_the_control_asked_for_them() -> None:
    net = tried(World(names={HOST: [SITE, BESIDE]}, seen=OPEN.seen), URL)
    own = [(o.address, o.port) for o in net.observations if isinstance(o, TcpConnect) and o.view is View.LOCAL]
    assert own == [(SITE, 8443), (BESIDE, 8443)]
    [query] = [o for o in net.observations if isinstance(o, ControlQuery)]
    assert query.endpoints == (f"{SITE}:8443", f"{BESIDE}:8443")
    local = [o for o in net.observations if o.view is View.LOCAL]
    assert not [o for o in local if isinstance(o, TlsHandshake | HttpExchange)]


def test_one_address_that_takes_a_connection_is_enough() -> None:
    world = World(names={HOST: [SITE, BESIDE]}, ports={(SITE, 443): TIMEOUT})
    verdict = said(world, nettest="tcp")
    assert (verdict.outcome, verdict.pattern) == (Outcome.ACCESSIBLE, Pattern.PARTIAL)
    assert not [o for o in tried(world).observations if o.purpose is not None]


def test_packets_that_die_short_of_the_site_are_found() -> None:
    verdict = said(DROPPED, nettest="tcp")
    assert (verdict.outcome, verdict.mechanism) == (Outcome.BLOCKED, Mechanism.TCP_TIMEOUT)
    purposes = {o.purpose for o in tried(DROPPED).observations}
    assert {Purpose.TRACE_TARGET, Purpose.TRACE_NEIGHBOUR, Purpose.REPETITION, Purpose.OTHER_PORT} <= purposes


def test_packets_that_die_at_the_sites_gate_accuse_nobody() -> None:
    gate = replace(DROPPED, paths={(SITE, None): cut_at(4, "silence")})
    assert said(gate, nettest="tcp").outcome is Outcome.UNREACHABLE


def test_an_open_port_beside_the_closed_one_names_the_port() -> None:
    one = replace(DROPPED, ports={(SITE, 443): TIMEOUT})
    assert said(one, nettest="tcp").trigger == "port"
    assert said(DROPPED, nettest="tcp").trigger == "address"


def test_a_failure_of_this_machines_own_is_not_followed_up() -> None:
    net = tried(replace(OPEN, ports={(SITE, 443): Failure.TOO_MANY_OPEN_FILES}))
    assert not [o for o in net.observations if o.purpose is not None]
    assert said(replace(OPEN, ports={(SITE, 443): Failure.TOO_MANY_OPEN_FILES}), nettest="tcp").reason == "local_error"
