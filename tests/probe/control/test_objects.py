"""Objects under any name, from a real control at both of its doors, and everything that bounds them."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import ssl
import time
import zlib
from collections.abc import AsyncIterator

import httpx
import pytest

from measurements.model import Preconditions
from probe.control import canary, objects
from probe.control.app import ServiceLimits
from probe.control.objects import MOST, ObjectLimits, Objects, object_of
from probe.network import Peers
from probe.pacer import Pacer, find_pacer
from probe.wire import SocketNetwork, Wire
from tests.probe.control.serving import BOGONS, LIMITS
from tests.probe.control.sites import HOST, Sites
from tests.probe.control.test_server import client, control, process

NAMES = ("twitter.com", "harmless.example", "xn--strae-oqa.example")
SIZE = 128 * 1024
NONCE = "0123456789abcdef"


@contextlib.asynccontextmanager
async def network(url: str) -> AsyncIterator[SocketNetwork]:
    wire = Wire(peers=Peers(local=None, controls=(url,)), limits=LIMITS, bogons=BOGONS)
    async with wire, wire.network(preconditions=Preconditions()) as net:
        yield net


@contextlib.asynccontextmanager
async def both_doors(sites: Sites, service: ServiceLimits | None = None) -> AsyncIterator[tuple[int, int]]:
    """A control with a door for TLS; gives the port in clear and that for TLS."""
    async with control(sites, service, tls=f"{HOST}:0") as url, client() as http:
        said = (await http.get(f"{url}bytes/", params={"nonce": NONCE})).json()
        yield httpx.URL(url).port or 0, said["port"]


def unverified() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


Asked = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def ask(port: int, size: int | str, *, name: str | None = None, window: int | None = None) -> Asked:
    """Ask for an object, over TLS when a name is given; with a small `window` little is taken in unread."""
    sock = socket.socket()
    if window is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, window)
    sock.setblocking(False)
    await asyncio.get_running_loop().sock_connect(sock, (HOST, port))
    tls = None if name is None else unverified()
    reader, writer = await asyncio.open_connection(sock=sock, ssl=tls, server_hostname=name, limit=16 * 1024)
    writer.write(f"GET /bytes/{size} HTTP/1.1\r\nHost: {name or 'any.example'}\r\n\r\n".encode())
    return reader, writer


async def answer(asked: Asked) -> tuple[bytes, bytes]:
    """Read a response to its end: head and body."""
    reader, writer = asked
    head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)
    body = await asyncio.wait_for(reader.read(-1), 10)
    writer.close()
    return head, body


async def status(asked: Asked, *, keep: bool = False) -> int:
    """Read a response's status, and leave unless the connection is to be kept."""
    reader, writer = asked
    said = int((await asyncio.wait_for(reader.readline(), 10)).split()[1])
    if not keep:
        writer.transport.abort()
        await asyncio.sleep(0)
    return said


# -- what is given


def test_an_object_is_the_beginning_of_one_text_that_cannot_be_compressed() -> None:
    whole = bytes(object_of(MOST))
    assert len(whole) == MOST
    assert bytes(object_of(1000)) == whole[:1000]
    assert len(zlib.compress(whole, 9)) >= MOST


def test_the_same_object_under_every_name_at_both_doors(sites: Sites) -> None:
    async def run() -> None:
        async with both_doors(sites) as (clear, tls):
            for asked in [await ask(clear, SIZE), *[await ask(tls, SIZE, name=name) for name in NAMES]]:
                head, body = await answer(asked)
                assert head.startswith(b"HTTP/1.1 200 ")
                assert f"content-length: {SIZE}\r\n".encode() in head.lower()
                assert body == object_of(SIZE)

    asyncio.run(run())


def test_a_pair_of_transfers_as_a_nettest_lays_it(sites: Sites) -> None:
    async def run() -> None:
        async with control(sites, tls=f"{HOST}:0") as url, network(url) as net:
            pacer = await find_pacer(net)
            assert pacer is not None
            assert (pacer.address, pacer.port, pacer.most) == (HOST, httpx.URL(url).port, MOST)
            assert pacer.tls_port is not None
            page = net.observations[-1]
            assert HOST not in page.body.decode()  # type: ignore[union-attr]
            for pair, name in enumerate(NAMES):
                tcp = await net.connect(pacer.address, pacer.tls_port, wide=True)
                tls = await net.handshake(tcp, name=name)
                assert tls.ended
                assert canary.shows(tls.chain, pacer.key)
                leg = await net.transfer(tls, f"https://{name}/bytes/{SIZE}", wanted=SIZE, pair=pair)
                assert (leg.failure, leg.ended, leg.received) == (None, "whole", SIZE)
                assert (leg.name, leg.host) == (name, name)
                assert len(leg.samples) > 20  # records are small
            refused = await net.transfer(
                await net.connect(HOST, pacer.port or 0), f"http://x.example/bytes/{MOST + 1}", wanted=MOST + 1
            )
            assert (refused.status, refused.ended) == (400, "failure")

    asyncio.run(run())


@pytest.mark.parametrize(
    "length", ["0", "-1", "+5", "1e3", "x", "007", "1/2", "%31/", str(MOST + 1), "9" * 5000, "%D9%A1", "..", "1.5"]
)
def test_a_length_that_is_none_is_refused_in_words(sites: Sites, length: str) -> None:
    async def run() -> None:
        async with control(sites) as url:
            head, body = await answer(await ask(httpx.URL(url).port or 0, length))
            assert head.startswith(b"HTTP/1.1 400 ")
            assert body.decode() == f"Ask for /bytes/N, where N is a number of bytes from 1 to {MOST}.\n"

    asyncio.run(run())


def test_the_rest_of_the_service_is_as_before(sites: Sites) -> None:
    async def run() -> None:
        async with control(sites) as url, client() as http:
            assert "Wazi control" in (await http.get(f"{url}bytes/")).text
            assert (await http.head(f"{url}bytes/5")).status_code == 200
            assert (await http.post(f"{url}bytes/5", content=b"{}")).status_code == 400  # a question, and a bad one
            told = (await http.get(f"{url}some/where/bytes/", params={"nonce": NONCE})).json()
            assert (told["client"], told["port"], told["most"]) == (None, None, MOST)

    asyncio.run(run())


# -- bounds


def test_beyond_so_many_at_once_it_says_when_to_come_back(sites: Sites) -> None:
    limits = ServiceLimits(objects=ObjectLimits(at_once=2), retry_after=7)

    async def run() -> None:
        async with both_doors(sites, limits) as (clear, tls):
            slow = [await ask(clear, MOST, window=4096), await ask(tls, MOST, name=NAMES[0], window=4096)]
            assert [await status(each, keep=True) for each in slow] == [200, 200]
            head, body = await answer(await ask(clear, 5))
            assert head.startswith(b"HTTP/1.1 503 ")
            assert b"retry-after: 7\r\n" in head.lower()
            assert b"at once" in body
            slow[0][1].transport.abort()  # the first is gone, and makes room
            await asyncio.sleep(0.2)
            assert await status(await ask(tls, 5, name=NAMES[1])) == 200
            slow[1][1].transport.abort()

    asyncio.run(run())


def test_one_client_does_not_hold_the_door_for_all() -> None:
    given = Objects(ObjectLimits(at_once=3, client_at_once=2), 10)
    with contextlib.ExitStack() as held:
        said = [held.enter_context(given.reply("/bytes/5", "192.0.2.1")).status for _ in range(3)]
        assert said == [200, 200, 429]
        said = [held.enter_context(given.reply("/bytes/5", client)).status for client in ("192.0.2.2", "192.0.2.3")]
        assert said == [200, 503]
    with given.reply("/bytes/5", "192.0.2.1") as again:
        assert again.status == 200


def test_who_does_not_read_is_hung_up_on_and_was_not_sent_ahead(sites: Sites) -> None:
    limits = ServiceLimits(objects=ObjectLimits(at_once=1), patience_seconds=0.4)

    async def run() -> None:
        async with both_doors(sites, limits) as (clear, tls):
            for port, name in ((clear, None), (tls, NAMES[0])):
                began = time.monotonic()
                reader, writer = await ask(port, MOST, name=name, window=4096)
                writer.transport.pause_reading()  # type: ignore[attr-defined]
                while await status(await ask(clear, 5)) != 200:  # noqa: ASYNC110
                    await asyncio.sleep(0.05)
                assert 0.3 < time.monotonic() - began < 3.0
                writer.transport.resume_reading()  # type: ignore[attr-defined]
                left = b""
                with contextlib.suppress(ConnectionError, ssl.SSLError):
                    while data := await asyncio.wait_for(reader.read(65536), 5):
                        left += data
                assert len(left) < 512 * 1024
                writer.close()

    asyncio.run(run())


def read_slowly(port: int, name: str | None, size: int) -> bytes:
    """Read an object at 50 kB a second, straight from the socket: asyncio reads ahead."""
    with socket.socket() as plain:
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
        plain.connect((HOST, port))
        with unverified().wrap_socket(plain, server_hostname=name) if name else plain as sock:
            sock.sendall(f"GET /bytes/{size} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            got = b""
            while data := sock.recv(4096):
                got += data
                time.sleep(0.08)
            return got.partition(b"\r\n\r\n")[2]


def test_a_slow_reader_gets_all(sites: Sites) -> None:
    """Also what is still on its way when the control has said all."""
    limits = ServiceLimits(patience_seconds=2.0, handshake_seconds=1.0)

    async def run() -> None:
        async with both_doors(sites, limits) as (clear, tls):
            began = time.monotonic()
            doors = ((clear, None), (tls, NAMES[0]))
            reading = [asyncio.to_thread(read_slowly, port, name, SIZE) for port, name in doors]
            for got in await asyncio.gather(*reading):
                assert got == object_of(SIZE)
            assert time.monotonic() - began > 2.1  # longer than the patience for one who does not read

    asyncio.run(run())


def test_many_at_once(sites: Sites) -> None:
    limits = ServiceLimits(objects=ObjectLimits(at_once=100, client_at_once=100))

    async def run() -> None:
        async with both_doors(sites, limits) as (clear, tls):
            asked = [await ask(tls if n % 2 else clear, SIZE, name=NAMES[n % 3] if n % 2 else None) for n in range(60)]
            for head, body in await asyncio.gather(*map(answer, asked)):
                assert head.startswith(b"HTTP/1.1 200 ")
                assert body == object_of(SIZE)

    asyncio.run(run())


@pytest.mark.parametrize("said", [b"", b"\x16\x03\x01\x02\x00\x01", b"GET / HTTP/1.1\r\n\r\n"])
def test_who_does_not_shake_hands_is_hung_up_on(sites: Sites, said: bytes) -> None:
    async def run() -> None:
        async with both_doors(sites, ServiceLimits(handshake_seconds=0.3)) as (_, tls):
            reader, writer = await asyncio.open_connection(HOST, tls)
            writer.write(said)
            with contextlib.suppress(ConnectionError):
                while await asyncio.wait_for(reader.read(100), 3):
                    pass
            writer.close()
            assert await status(await ask(tls, 5, name=NAMES[0])) == 200

    asyncio.run(run())


def test_a_client_has_so_many_bytes_an_hour(sites: Sites) -> None:
    limits = ServiceLimits(objects=ObjectLimits(client_hourly=1000))

    async def run() -> None:
        async with control(sites, limits) as url:
            port = httpx.URL(url).port or 0
            assert await status(await ask(port, 600)) == 200
            head, body = await answer(await ask(port, 600))
            assert head.startswith(b"HTTP/1.1 429 ")
            assert b"retry-after: 3" in head.lower()
            assert b"in this hour" in body
            assert await status(await ask(port, 400)) == 200

    asyncio.run(run())


class Clock:
    now = 5000.0

    def __call__(self) -> float:
        return self.now


def asks(given: Objects, size: int, who: str | None) -> int:
    with given.reply(f"/bytes/{size}", who) as reply:
        return reply.status


def test_the_hour_ends_and_clients_are_told_apart_by_their_network() -> None:
    clock = Clock()
    given = Objects(ObjectLimits(client_hourly=100, hourly=350), 10, clock)
    assert [asks(given, 100, who) for who in ("192.0.2.1", "192.0.2.1", "192.0.2.2")] == [200, 429, 200]
    assert [asks(given, 100, f"2001:db8::{n}") for n in (1, 2)] == [200, 429]  # one customer's network
    assert asks(given, 100, "2001:db8:0:1::1") == 503  # all had so much together
    assert asks(given, 50, None) == 200
    clock.now += 3599.0
    assert asks(given, 100, "192.0.2.1") == 429
    clock.now += 1.0
    assert asks(given, 100, "192.0.2.1") == 200


def test_so_many_clients_are_kept_apart_and_no_more() -> None:
    given = Objects(ObjectLimits(), 10, Clock())
    told = {asks(given, 1, f"10.{n >> 16}.{n >> 8 & 255}.{n & 255}") for n in range(10_000)}
    assert told == {200}
    assert asks(given, 1, "192.0.2.1") == 503
    assert asks(given, 1, "10.0.0.1") == 200
    assert not any(b"10.0" in name for name in given._clients)


def test_limits_that_promise_more_than_there_is_are_refused() -> None:
    for most in (0, MOST + 1):
        with pytest.raises(ValueError, match="an object has 1 to"):
            ObjectLimits(most=most)


def test_a_signal_ends_a_transfer_that_nobody_reads(sites: Sites) -> None:
    async def run() -> tuple[int, float, bytes]:
        async with process(sites) as (running, url):
            _, writer = await ask(httpx.URL(url).port or 0, MOST, window=4096)
            writer.transport.pause_reading()  # type: ignore[attr-defined]
            await asyncio.sleep(0.2)
            began = time.monotonic()
            running.send_signal(signal.SIGTERM)
            assert running.stderr is not None
            errors = await running.stderr.read()
            code = await running.wait()
            writer.close()
            return code, time.monotonic() - began, errors

    code, took, errors = asyncio.run(asyncio.wait_for(run(), 30))
    assert (code, errors) == (0, b"")
    assert took < 5.0


# -- who gives none


def test_no_pacer_where_no_control_gives_objects(sites: Sites) -> None:
    async def run(url: str) -> Pacer | None:
        async with network(url) as net:
            return await find_pacer(net)

    assert asyncio.run(run(f"http://{HOST}:{sites.http}/")) is None  # another server, as OONI's helper is
    assert asyncio.run(run(f"http://{HOST}:1/")) is None
    assert objects.PREFIX == "/bytes/"
