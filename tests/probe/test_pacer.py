"""Which control gives objects, and where: asked of scripted ones (tests/probe/control has real ones)."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from measurements.model import Failure, HttpExchange, View
from probe.control.canary import Singer
from probe.pacer import Pacer, find_pacer
from tests.scripted import CONTROL_ADDRESS, LOCAL, TRUSTED, Page, ScriptedNetwork, World

NAMES = {"control.example": [CONTROL_ADDRESS], "twin.example": ["192.0.2.77"]}
MOST = 1 << 21
UNKNOWN = Failure.SSL_UNKNOWN_AUTHORITY


def found(world: World, *urls: str) -> tuple[Pacer | None, ScriptedNetwork]:
    net = ScriptedNetwork(replace(world, seen=Page()))
    net.peers = replace(net.peers, controls=urls)
    return asyncio.run(find_pacer(net)), net


def test_one_in_clear_by_its_address() -> None:
    pacer, net = found(World(singer=Singer(port=8443, most=MOST)), f"http://{CONTROL_ADDRESS}:8080/")
    assert pacer is not None
    assert (pacer.address, pacer.port, pacer.tls_port, pacer.most) == (CONTROL_ADDRESS, 8080, 8443, MOST)
    assert len(pacer.key) == 64
    page = net.observations[-1]
    assert isinstance(page, HttpExchange)
    assert b"198.51.100.77" not in page.body  # where we are seen is not asked for: this is kept
    assert {o.view for o in net.observations} == {View.FOLLOW_UP}


def test_one_in_clear_without_a_door_for_tls() -> None:
    pacer, _ = found(World(singer=Singer(most=MOST)), f"http://{CONTROL_ADDRESS}/")
    assert pacer is not None
    assert (pacer.port, pacer.tls_port) == (80, None)


@pytest.mark.parametrize("answers", [{}, {(LOCAL.address, "control.example"): Failure.TIMEOUT}])
def test_one_behind_another_server_gives_over_tls_alone(answers: dict[tuple[str, str], Failure]) -> None:
    world = World(singer=Singer(port=8443, most=MOST), names=NAMES, answers=answers)
    pacer, net = found(world, "https://me:secret@control.example/wazi")
    assert pacer is not None
    assert (pacer.address, pacer.port, pacer.tls_port) == (CONTROL_ADDRESS, None, 8443)
    page = net.observations[-1]
    assert isinstance(page, HttpExchange)
    assert page.url.startswith("https://control.example/wazi/bytes/?nonce=")


@pytest.mark.parametrize(
    "world",
    [
        World(),  # OONI's, or an older Wazi
        World(singer=Singer(port=8443)),  # gives none
        World(singer=Singer(most=-1)),
        World(singer=Singer(most=MOST), ports={(CONTROL_ADDRESS, 80): Failure.TIMEOUT}),
    ],
)
def test_none_that_gives(world: World) -> None:
    assert found(world, f"http://{CONTROL_ADDRESS}/")[0] is None


def test_none_behind_another_server_without_a_door_of_its_own() -> None:
    assert found(World(singer=Singer(most=MOST), names=NAMES), "https://control.example/")[0] is None


def test_none_under_a_certificate_that_is_not_its_own() -> None:
    bad: dict[tuple[str, str | None], Failure | None] = {(CONTROL_ADDRESS, "control.example"): UNKNOWN}
    world = World(singer=Singer(port=8443, most=MOST), names=NAMES, hands=bad)
    assert found(world, "https://control.example/")[0] is None


def test_the_next_one_where_the_first_is_not_found_or_private() -> None:
    names = NAMES | {"inner.example": ["10.1.2.3"]}
    world = World(singer=Singer(port=8443, most=MOST), names=names)
    pacer, net = found(world, "http://gone.example/", "http://inner.example/", "http://twin.example/")
    assert pacer is not None
    assert pacer.address == "192.0.2.77"
    asked = [o.resolver for o in net.observations if o.__class__.__name__ == "DnsLookup"]  # type: ignore[union-attr]
    assert set(asked) == {LOCAL.address, *(r.address for r in TRUSTED)}


def test_none_without_a_control() -> None:
    assert found(World())[0] is None
