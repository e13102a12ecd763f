"""Hops, seen through real routers (`chain`), and on loopback, where there are none."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from measurements.model import Failure
from tests.probe.wire.conftest import NAME
from tests.probe.wire.peers import network, reset, run, tcp_peer

ROOT = Path(__file__).resolve().parents[3]
ROUTERS = {4: ("10.0.1.2", "10.0.2.2"), 6: ("2001:db8:1::2", "2001:db8:2::2")}


@pytest.fixture(scope="module")
def seen() -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", "tests.probe.wire.chain"], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    result: dict[str, Any] = json.loads(done.stdout)
    return result


@pytest.mark.parametrize("version", [4, 6])
def test_a_syn_is_seen_where_it_dies(seen: dict[str, Any], version: int) -> None:
    near, far = ROUTERS[version]
    assert seen[f"syn 1 v{version}"][:3] == ["expired", near, None]
    assert seen[f"syn 2 v{version}"][:3] == ["expired", far, None]
    assert seen[f"syn 3 v{version}"][:3] == ["open", None, None]


@pytest.mark.parametrize("version", [4, 6])
def test_what_a_router_does_to_a_syn_has_its_own_word(seen: dict[str, Any], version: int) -> None:
    far = ROUTERS[version][1]
    assert seen[f"reset v{version}"][:2] == ["reset", None]
    assert seen[f"beyond v{version}"][:2] == ["expired", far]
    assert seen[f"refused v{version}"][:2] == ["unreachable", far]
    assert seen[f"dropped v{version}"][:2] == ["silence", None]
    assert seen[f"closed v{version}"][:2] == ["reset", None]


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("probe", ["hello", "request"])
def test_data_travels_only_so_far(seen: dict[str, Any], version: int, probe: str) -> None:
    for ttl, answer in ((1, "expired"), (2, "expired"), (3, "data")):
        assert seen[f"{probe} {ttl} v{version}"][:3] == [answer, None, None]


@pytest.mark.parametrize("version", [4, 6])
def test_a_middlebox_that_answers_is_seen_at_its_distance(seen: dict[str, Any], version: int) -> None:
    assert seen[f"proxy near v{version}"][0] == "expired"
    assert seen[f"proxy far v{version}"][0] == "data"


@pytest.mark.parametrize("version", [4, 6])
def test_data_needs_a_connection_first(seen: dict[str, Any], version: int) -> None:
    assert seen[f"not open v{version}"][:3] == ["silence", None, Failure.CONNECTION_REFUSED]


def test_a_query_may_travel_only_so_far(seen: dict[str, Any]) -> None:
    for version, kind in ((4, 11), (6, 3)):
        failure, icmp, addresses, _elapsed = seen[f"query 1 v{version}"]
        assert (failure, addresses) == (Failure.HOST_UNREACHABLE, [])
        assert icmp == [[ROUTERS[version][0], kind, 0, "EHOSTUNREACH"]]


def test_a_forged_icmp_error_does_not_hide_the_true_reply(seen: dict[str, Any]) -> None:
    failure, icmp, addresses, elapsed = seen["forged"]
    assert (failure, addresses) == (None, ["203.0.113.5"])
    assert [error for *_where, error in icmp] == ["ECONNREFUSED"]
    assert elapsed >= 0.1


def test_on_loopback_the_answers_are_told_apart() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        received.append(await reader.read(1000))
        if b"Host: reset.example" in received[-1]:
            reset(writer)
        elif b"Host: silent.example" in received[-1]:
            await reader.read(1000)
        elif b"Host: data.example" in received[-1]:
            writer.write(b"HTTP/1.1 200 OK\r\n\r\n")

    async def main() -> None:
        async with tcp_peer(talk) as port, network() as net:
            for name, answer in (
                ("reset.example", "reset"),
                ("silent.example", "silence"),
                ("data.example", "data"),
                ("else.example", "eof"),
            ):
                hop = await net.hop("127.0.0.1", port, probe="request", ttl=5, name=name, timeout=0.2)
                assert (hop.answer, hop.failure, hop.name, hop.ttl) == (answer, None, name, 5)
            await net.hop("127.0.0.1", port, probe="hello", ttl=5, name=NAME, timeout=0.2)
            assert NAME.encode() in received[-1]
            assert received[-1][0] == 22
            bad = await net.hop("127.0.0.1", port, probe="hello", ttl=5, name="." + NAME)
            assert bad.failure is Failure.INVALID_ARGUMENT
            nowhere = await net.hop("nowhere", port, probe="syn", ttl=5)
            assert nowhere.failure is Failure.INVALID_ARGUMENT
            odd = await net.hop("127.0.0.1", port, probe="syn", ttl=900)
            assert odd.failure is Failure.INVALID_ARGUMENT

    received: list[bytes] = []
    run(main())
