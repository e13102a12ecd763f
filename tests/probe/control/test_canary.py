"""What a control alone can say, asked of a real one over real sockets, and what is no such answer."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from measurements.model import Canary, HttpExchange, Preconditions
from probe.control import canary
from probe.control.canary import Singer
from probe.control.server import CannotListen, serve
from probe.network import Peers
from probe.vantage import Sight, look
from probe.wire import Wire
from tests.probe.control.serving import BOGONS, LIMITS
from tests.probe.control.sites import Sites
from tests.probe.control.test_server import client, control

NONCE = "0123456789abcdef"


def page(body: bytes, status: int = 200) -> HttpExchange:
    return HttpExchange(id=1, url="http://control.example/canary", status=status, body=body)


def sung(nonce: str = NONCE, client: str | None = "198.51.100.7") -> bytes:
    song = Singer(port=443).sing(f"nonce={nonce}", client)
    assert song is not None
    return song


def test_an_answer_to_our_own_question_is_believed() -> None:
    said = canary.read(page(sung()), NONCE)
    assert said is not None
    assert (said.client, said.port, len(said.key)) == ("198.51.100.7", 443, 64)


def altered(**fields: object) -> bytes:
    return msgspec.json.encode(msgspec.json.decode(sung()) | fields)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b"<html>Welcome to our Wi-Fi</html>",
        sung("fedcba9876543210"),
        altered(signature="00"),
        altered(signature="no hex"),
        altered(key="3059"),
        altered(key=msgspec.json.decode(sung())["key"]),
        altered(key=msgspec.json.decode(sung())["key"].replace("2a8648ce3d030107", "2a8648ce3d03017f")),
        altered(client="nobody"),
        altered(port="443"),
    ],
    ids=[
        "empty",
        "bare",
        "portal",
        "replayed",
        "forged",
        "garbled",
        "cut-key",
        "other-key",
        "odd-curve",
        "no-address",
        "no-port",
    ],
)
def test_nothing_else_is(body: bytes) -> None:
    assert canary.read(page(body), NONCE) is None


def test_nor_is_another_status_nor_a_port_that_cannot_be() -> None:
    assert canary.read(page(sung(), status=203), NONCE) is None
    said = canary.read(page(altered(port=70_000)), NONCE)
    assert said is not None
    assert said.port is None


@pytest.mark.parametrize(
    "query", ["", "nonce=", "nonce=xyz", "nonce=0123", f"nonce={NONCE}&more=1", f"nonce={'0' * 65}"]
)
def test_a_control_signs_nothing_but_a_nonce(query: str) -> None:
    assert Singer().sing(query, None) is None


def test_a_certificate_shows_the_key_or_does_not() -> None:
    assert not canary.shows((), "00")
    assert not canary.shows((b"no certificate",), "00")


def test_a_control_answers_canaries_and_others_as_before(sites: Sites) -> None:
    async def run() -> None:
        async with control(sites) as url, client() as http:
            there = f"{url}some/where{canary.PATH}"
            said = canary.read(page((await http.get(there, params={"nonce": NONCE})).content), NONCE)
            assert said is not None
            assert (said.client, said.port) == ("127.0.0.1", None)
            assert b"Wazi control" in (await http.get(there)).content
            assert (await http.head(there, params={"nonce": NONCE})).status_code == 200

    asyncio.run(run())


def test_a_look_finds_a_controls_key_at_its_door_for_tls(sites: Sites) -> None:
    async def run() -> Sight:
        async with control(sites, tls="127.0.0.1:0") as url, asyncio.timeout(10):
            wire = Wire(peers=Peers(local=None, controls=(url,)), limits=LIMITS, bogons=BOGONS)
            async with wire, wire.network(preconditions=Preconditions()) as net:
                found = await look(net)
                assert net.spent.received < 4_000
                return found

    found = asyncio.run(run())
    assert {c for c in found.preconditions.canaries if c.kind == "control"} == {
        Canary(kind="control", way="http"),
        Canary(kind="control", way="tls"),
    }
    assert found.public_address == "127.0.0.1"


def test_two_listeners_cannot_share_a_door(sites: Sites) -> None:
    async def run() -> None:
        async with control(sites) as url:
            with pytest.raises(CannotListen):
                await serve(
                    "127.0.0.1:0",
                    tls=url.removeprefix("http://").rstrip("/"),
                    peers=Peers(local=None),
                    limits=LIMITS,
                    bogons=BOGONS,
                )

    asyncio.run(run())
