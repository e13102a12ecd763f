"""No webhook goes to a private address, however that is written, whatever a name leads to, and whenever it changes."""

from __future__ import annotations

import ipaddress
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from measurements.alerts.notice import HookFailed
from measurements.alerts.posting import Poster
from measurements.alerts.secrets import Secret
from measurements.alerts.webhook import webhook
from measurements.bogons import Bogons
from tests.lab.spaces import environment, unshare_command
from tests.measurements.alerts.notices import a_test
from tests.measurements.alerts.proxies import LOGIN, http_proxy, socks_proxy
from tests.measurements.alerts.receivers import listening, receiving

pytestmark = pytest.mark.anyio

SHIPPED = Bogons.parse((Path(__file__).parents[3] / "config/bogons.csv").read_text("utf-8"), "bogons.csv")
NO_LIST = Bogons()
KEY = Secret("whsec_" + "A" * 43 + "=")

NEVER = ("127.0.0.1", "0.0.0.0", "169.254.169.254", "224.0.0.1")  # public by no list
PRIVATE = (*NEVER, "10.0.0.1", "172.16.0.1", "192.168.1.1", "100.64.0.1", "255.255.255.255", "198.18.0.1")


def forms(address: str) -> Iterator[str]:
    """Write an IPv4 address in the ways that some program takes it for one."""
    a, b, c, d = (int(part) for part in address.split("."))
    number, high, low = int(ipaddress.IPv4Address(address)), a << 8 | b, c << 8 | d
    yield from (address, f"{address}.", str(number), hex(number), f"0{number:o}", f"0x{a:x}.0x{b:x}.0x{c:x}.0x{d:x}")
    yield from (
        f"0{a:o}.0{b:o}.0{c:o}.0{d:o}",
        f"{a}.{b << 16 | low}",
        f"{a}.{b}.{low}",
        f"{a:03}.{b:03}.{c:03}.{d:03}",
    )
    yield from (f"[::ffff:{address}]", f"[::ffff:{high:x}:{low:x}]", f"[::{address}]", f"[64:ff9b::{address}]")
    yield from (f"[64:ff9b:1::{high:x}:{low:x}]", f"[2002:{high:x}:{low:x}::]", f"[0:0:0:0:0:FFFF:{high:X}:{low:X}]")


OTHERS = (
    "localhost", "LOCALHOST", "localhost.", "a.localhost", "127.1", "127.0.1", "0", "0x0", "0x7f.1", "0177.1",
    "127.0.0.1:80@127.0.0.1", "example.com@127.0.0.1", "example.com:443@127.0.0.1", "@127.0.0.1",
    "127.0.0.1\\@example.com",
    "①②⑦.⓪.⓪.①", "１２７.０.０.１", "127。0。0。1", "127．0．0．1", "ⓛⓞⓒⓐⓛⓗⓞⓢⓣ", "127%2e0%2e0%2e1",
    "%31%32%37.0.0.1", "loc%61lhost", "localhost%00.example.com", "127.0.0.1#@example.com", "127.0.0.1?@example.com",
    "[::]", "[::1]", "[0:0:0:0:0:0:0:1]", "[::0001]", "[::1%25lo]", "[::1%lo]", "[::ffff:127.0.0.1%25lo]",
    "[fe80::1]", "[fe80::1%25eth0]", "[fc00::1]", "[fd00:ec2::254]", "[fec0::1]", "[ff02::1]", "[2001:db8::1]",
    "[100::1]", "[2001:0:7f00:1::]", "[::127.0.0.1]", "[::7f00:1]", "[v1.127.0.0.1]", "[127.0.0.1]",
)  # fmt: skip
EVERY = list(dict.fromkeys([*(form for address in PRIVATE for form in forms(address)), *OTHERS]))

_connected: list[Any] = []
_watching = False


def _witness(happening: str, details: tuple[Any, ...]) -> None:
    if _watching and happening == "socket.connect":
        _connected.append(details[1])


sys.addaudithook(_witness)


@contextmanager
def nothing_connects() -> Iterator[None]:
    """Fail when anything in this process connects to anywhere meanwhile, as Python itself reports it."""
    global _watching
    _connected.clear()
    _watching = True
    try:
        yield
    finally:
        _watching = False
    assert _connected == []


async def refused(url: str, bogons: Bogons) -> str:
    """Return why a webhook to `url` is refused, when it is made or when it is used."""
    with pytest.raises((ValueError, HookFailed)) as caught:
        await webhook(url=Secret(url), secrets=(KEY,), bogons=bogons, allow_http=True, timeout=3.0)(a_test())
    return str(caught.value)


def test_there_are_many_forms() -> None:
    assert len(EVERY) > 200


@pytest.mark.parametrize("bogons", [SHIPPED, NO_LIST], ids=["shipped list", "no list"])
async def test_no_form_of_a_private_address_is_connected_to(bogons: Bogons) -> None:
    """With an empty list those stay refused that can never be public, in every form of theirs."""
    never = [form for address in NEVER for form in forms(address)]
    async with receiving() as receiver, receiving(host="::1") as receiver6:
        for form in EVERY if bogons is SHIPPED else never:
            for port in (receiver.port, receiver6.port):
                user, at, rest = form.rpartition("@")
                with nothing_connects():
                    why = await refused(f"http://{user}{at}{rest}:{port}/x", bogons)
                assert why
    assert receiver.connections == receiver6.connections == 0


async def test_the_witness_sees_what_connects() -> None:
    async with receiving() as receiver:
        with pytest.raises(AssertionError), nothing_connects():
            await Poster(Secret(f"http://127.0.0.1:{receiver.port}/"), plain=True).post(b"", {})
    assert receiver.connections == 1


@pytest.mark.parametrize(
    "answer",
    [
        ["127.0.0.1"],
        ["1.2.3.4", "127.0.0.1"],
        ["1.2.3.4", "1.2.3.5", "1.2.3.6", "1.2.3.7", "1.2.3.8", "10.0.0.1"],
        ["2606:4700::1", "::ffff:7f00:1"],
        ["fe80::1%lo"],
        ["64:ff9b::a00:1"],
        ["::"],
    ],
)
async def test_one_private_address_among_those_of_a_name_is_enough(answer: Sequence[str]) -> None:
    asked: list[str] = []

    async def resolve(host: str, port: int) -> Sequence[str]:
        asked.append(host)
        return answer

    poster = Poster(Secret("https://hooks.example/x"), refused=SHIPPED, resolve=resolve)
    with nothing_connects(), pytest.raises(HookFailed, match=r"its name leads to .*, which is no public address"):
        await poster.post(b"", {})
    assert asked == ["hooks.example"]


async def test_a_name_without_an_address_is_said() -> None:
    async def resolve(host: str, port: int) -> Sequence[str]:
        return []

    with pytest.raises(HookFailed, match="its name has no address"):
        await Poster(Secret("https://hooks.example/"), refused=SHIPPED, resolve=resolve).post(b"", {})


async def test_another_address_of_the_name_is_tried_when_one_is_dead() -> None:
    async def resolve(host: str, port: int) -> Sequence[str]:
        return ["127.0.0.2", "127.0.0.3", "127.0.0.1"]

    async with receiving() as receiver:
        poster = Poster(Secret(f"http://hooks.example:{receiver.port}/"), plain=True, resolve=resolve)
        assert (await poster.post(b"x", {})).status == 200
    assert receiver.requests[0].headers["host"] == f"hooks.example:{receiver.port}"


NAMES = {"hooks.example": "127.0.0.1"}


async def test_a_socks_proxy_is_given_the_checked_address_or_the_name_as_its_scheme_says() -> None:
    async def resolve(host: str, port: int) -> Sequence[str]:
        return ["127.0.0.1"]

    async with receiving() as receiver, socks_proxy(NAMES) as proxy:
        for scheme in ("socks5", "socks5h"):
            url = Secret(f"http://hooks.example:{receiver.port}/")
            poster = Poster(url, plain=True, proxy=Secret(proxy.url(scheme)), resolve=resolve)
            assert (await poster.post(b"x", {})).status == 200
    assert proxy.asked == [f"127.0.0.1:{receiver.port}", f"hooks.example:{receiver.port}"]
    assert {request.headers["host"] for request in receiver.requests} == {f"hooks.example:{receiver.port}"}


async def test_behind_a_proxy_what_can_be_seen_to_be_private_is_refused() -> None:
    async def resolve(host: str, port: int) -> Sequence[str]:
        return ["10.0.0.1"]

    async with socks_proxy(NAMES) as socks, http_proxy(NAMES) as http:
        for way in (socks.url("socks5"), socks.url("socks5h"), http.url("http")):
            for form in (*EVERY, "hooks.example") if way.startswith("socks5:") else EVERY:
                with nothing_connects(), pytest.raises((ValueError, HookFailed)):
                    await through(way, form, resolve)
    assert socks.asked == http.asked == []


async def through(way: str, host: str, resolve: Any) -> None:
    url = Secret(f"http://{host}/")
    await Poster(url, plain=True, refused=SHIPPED, proxy=Secret(way), resolve=resolve).post(b"", {})


@pytest.mark.parametrize(
    ("code", "words"), [(1, "the proxy"), (5, "the proxy"), (8, "the proxy"), (0x55, "makes no sense|the proxy")]
)
async def test_a_proxy_that_refuses_is_a_failure_in_words(code: int, words: str) -> None:
    async with socks_proxy(NAMES, refuse=code) as proxy:
        poster = Poster(Secret("https://hooks.example/kanari"), proxy=Secret(proxy.url("socks5h")), refused=SHIPPED)
        with pytest.raises(HookFailed, match=words) as caught:
            await poster.post(b"", {})
    assert "kanari" not in str(caught.value)


async def test_a_proxy_that_talks_nonsense_or_nothing_is_left_in_time() -> None:
    async def nonsense(reader: Any, writer: Any) -> None:
        await reader.read(1)
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n" * 3)
        await writer.drain()

    async def silence(reader: Any, writer: Any) -> None:
        while await reader.read(100):
            pass

    for behave, scheme in ((nonsense, "socks5h"), (silence, "socks5h"), (silence, "http")):
        async with listening(behave) as proxy:
            way = Secret(f"{scheme}://{proxy.authority}")
            poster = Poster(Secret("https://hooks.example/"), proxy=way, refused=SHIPPED, timeout=1.0)
            with pytest.raises(HookFailed):
                await poster.post(b"", {})
            assert proxy.connections == 1


async def test_a_login_at_the_proxy_is_made() -> None:
    async with receiving() as receiver, socks_proxy(NAMES, login=True) as socks, http_proxy(NAMES, login=True) as http:
        url = Secret(f"http://hooks.example:{receiver.port}/")
        right, wrong = ":".join(LOGIN) + "@", "kanari-user:wrong@"
        for way in (socks.url("socks5h", right), http.url("http", right)):
            assert (await Poster(url, plain=True, proxy=Secret(way)).post(b"", {})).status == 200
        assert (await Poster(url, plain=True, proxy=Secret(http.url("http", wrong))).post(b"", {})).status == 407
        with pytest.raises(HookFailed, match="the proxy: it refused"):
            await Poster(url, plain=True, proxy=Secret(socks.url("socks5h", wrong))).post(b"", {})
    assert len(receiver.requests) == 2


def test_a_name_that_changes_between_check_and_connection_gains_nothing() -> None:
    """In a network of its own, with a name server that gives another address each time it is asked."""
    script = Path(__file__).with_name("rebinding.py")
    command = unshare_command([sys.executable, str(script)], rootless=False)
    ran = subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=90)
    assert ran.returncode == 0, ran.stderr
    private, public, refusals, lookups = map(int, ran.stdout.split())
    assert private == 0
    assert public > 300
    assert refusals > 300
    assert public + refusals == 1000
    assert lookups >= 1000
