"""Transfers: real nginx, and servers that pace, freeze, break and lie."""

from __future__ import annotations

import asyncio
import gzip
import itertools
import socket
import threading
import time
from collections.abc import Sequence

import pytest

from measurements.model import Failure, Purpose, Transfer
from probe.network import Limits
from probe.wire.transfer import MOST_SAMPLES, Samples
from tests.probe.wire.conftest import NAME, Keys, Nginx
from tests.probe.wire.peers import Serve, network, read_request, reset, responds, run, server_context, tcp_peer
from tests.scripted import Pace, ScriptedNetwork, World

LARGE = (1 << 20) + 26
SLOWLY: list[bytes | float] = [b"x" * 1000, 0.02] * 100
OK = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n"


def take(serve: Serve, wanted: int, *, limits: Limits | None = None, **options: float) -> Transfer:
    """Transfer from a server that speaks plain HTTP in its own way."""

    async def main() -> Transfer:
        async with tcp_peer(serve) as port, network(limits=limits) as net:
            tcp = await net.connect("127.0.0.1", port, wide=True)
            return await net.transfer(tcp, f"http://{NAME}/bytes/{wanted}", wanted=wanted, **options)  # type: ignore[arg-type]

    return run(main())


def gives(parts: Sequence[bytes | float]) -> Serve:
    """Answer any request with these bytes, pausing where a number of seconds stands."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        for part in parts:
            if isinstance(part, bytes):
                writer.write(part)
                await writer.drain()
            else:
                await asyncio.sleep(part)

    return serve


def is_sound(leg: Transfer) -> bool:
    times = [at for at, _ in leg.samples]
    totals = [total for _, total in leg.samples]
    ordered = times == sorted(times) and totals == sorted(set(totals))
    return ordered and totals[-1] == leg.received and 0 < len(totals) <= MOST_SAMPLES and times[-1] <= leg.elapsed


# -- whole


@pytest.mark.parametrize("kind", ["clear", "http1", "http2"])
def test_an_object_of_nginx(keys: Keys, nginx: Nginx, kind: str) -> None:
    async def main() -> None:
        async with network(ca_file=keys.ca_file) as net:
            port = {"clear": nginx.plain, "http1": nginx.http1, "http2": nginx.http2}[kind]
            over = tcp = await net.connect("127.0.0.1", port, purpose=Purpose.PACE_TARGET, wide=True)
            if kind != "clear":
                over = await net.handshake(tcp, name=NAME)  # type: ignore[assignment]
            scheme = "http" if kind == "clear" else "https"
            leg = await net.transfer(over, f"{scheme}://{NAME}/large", wanted=LARGE, pair=3)
            again = await net.transfer(over, f"{scheme}://{NAME}/large", wanted=LARGE, enough=100_000)
            received = net.spent.received
        assert (leg.failure, leg.status, leg.received, leg.ended) == (None, 200, LARGE, "whole")
        assert (leg.host, leg.name) == (NAME, None if kind == "clear" else NAME)
        assert (leg.address, leg.port, leg.cause, leg.pair) == ("127.0.0.1", port, over.id, 3)
        assert leg.purpose is Purpose.PACE_TARGET
        assert is_sound(leg)
        assert len(leg.samples) > 40
        assert (again.failure, again.ended) == (None, "enough")  # over the same connection
        assert 100_000 <= again.received <= 100_000 + 16 * 1024
        assert is_sound(again)
        assert received > LARGE + again.received

    run(main())


def test_a_compressed_body_is_counted_as_it_came() -> None:
    data = gzip.compress(b"word " * 20_000)
    leg = take(responds(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n" + OK[17:] % len(data) + data), 100_000)
    assert (leg.failure, leg.received, leg.ended) == (None, len(data), "whole")


def test_no_coding_is_asked_for() -> None:
    asked: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await read_request(reader))
        writer.write(OK % 2 + b"ab")

    assert take(serve, 2).ended == "whole"
    assert b"\r\nAccept-Encoding: identity\r\n" in asked[0]
    assert f"GET /bytes/2 HTTP/1.1\r\nHost: {NAME}\r\n".encode() == asked[0][: asked[0].index(b"User-Agent")]


# -- cut


def test_a_slow_transfer_keeps_what_came() -> None:
    leg = take(gives([OK % 100_000, *SLOWLY]), 100_000, timeout=0.5)
    assert (leg.failure, leg.status, leg.ended) == (None, 200, "time")
    assert 5_000 < leg.received < 30_000
    assert is_sound(leg)
    assert 0.5 <= leg.elapsed < 1.0
    pace = [b[1] / b[0] for b in leg.samples[5:]]  # 50 kB/s at most
    assert max(pace) < 70_000


def test_a_freeze_is_a_stall() -> None:
    leg = take(gives([OK % 100_000 + b"x" * 16_384, 3.0]), 100_000, timeout=5.0, stall=0.4)
    assert (leg.failure, leg.status, leg.received, leg.ended) == (None, 200, 16_384, "stall")
    assert 0.4 <= leg.elapsed < 1.0


def test_a_stall_that_ends_in_time_is_none() -> None:
    leg = take(gives([OK % 20_000 + b"x" * 10_000, 0.3, b"x" * 10_000]), 20_000, stall=0.5)
    assert (leg.ended, leg.received) == ("whole", 20_000)
    assert leg.samples[-1][0] > 0.3


def test_a_record_that_comes_in_pieces_is_no_stall(keys: Keys) -> None:
    """No byte of the body comes before its TLS record is whole; the wire is not silent meanwhile."""

    async def trickle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(512):
            writer.write(data)
            await asyncio.sleep(0.02)

    async def main() -> Transfer:
        object_ = OK % 15_000 + b"x" * 15_000
        async with tcp_peer(responds(object_, 1.0), server_context(keys.leaf)) as behind:

            async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                inner, outer = await asyncio.open_connection("127.0.0.1", behind)
                back = asyncio.create_task(trickle(inner, writer))
                while data := await reader.read(65536):
                    outer.write(data)
                back.cancel()
                outer.close()

            async with tcp_peer(relay) as port, network(ca_file=keys.ca_file) as net:
                tls = await net.handshake(await net.connect("127.0.0.1", port, wide=True), name=NAME)
                return await net.transfer(tls, f"https://{NAME}/x", wanted=15_000, stall=0.2)

    leg = run(main())
    assert (leg.failure, leg.ended, leg.received) == (None, "whole", 15_000)
    assert leg.elapsed > 0.4  # the record alone took longer than a stall


def test_our_own_lateness_is_no_stall() -> None:
    """Bytes that came while this process was held up were not late."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        peer, _ = listener.accept()
        with peer:
            peer.recv(4096)
            peer.sendall(OK % 15_000)
            for _ in range(15):
                peer.sendall(b"x" * 1000)
                time.sleep(0.1)

    async def main() -> Transfer:
        async with network() as net:
            tcp = await net.connect("127.0.0.1", listener.getsockname()[1], wide=True)
            transferring = asyncio.create_task(net.transfer(tcp, f"http://{NAME}/", wanted=15_000, stall=0.4))
            await asyncio.sleep(0.25)
            time.sleep(0.8)  # noqa: ASYNC251
            return await transferring

    with listener:
        server = threading.Thread(target=serve, daemon=True)
        server.start()
        leg = run(main())
    assert (leg.ended, leg.received) == ("whole", 15_000)


def test_nothing_at_all_is_a_timeout() -> None:
    silent = take(gives([2.0]), 1000, timeout=2.0, stall=0.2)
    assert (silent.failure, silent.status, silent.ended, silent.samples) == (Failure.TIMEOUT, None, "failure", ())
    assert silent.elapsed < 1.0
    late = take(gives([2.0]), 1000, timeout=0.3)
    assert (late.failure, late.ended) == (Failure.TIMEOUT, "failure")


def test_a_head_without_a_body_is_a_stall() -> None:
    leg = take(gives([OK % 1000, 2.0]), 1000, timeout=2.0, stall=0.2)
    assert (leg.failure, leg.status, leg.ended, leg.received, leg.samples) == (None, 200, "stall", 0, ())


def test_a_deadline_of_the_measurements_interrupts() -> None:
    async def main() -> None:
        async with tcp_peer(gives([OK % 100_000, *SLOWLY])) as port, network() as net:
            tcp = await net.connect("127.0.0.1", port, wide=True)
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.3):
                    await net.transfer(tcp, f"http://{NAME}/", wanted=100_000)
            leg = net.observations[-1]
            assert isinstance(leg, Transfer)
            assert (leg.failure, leg.ended, leg.status) == (Failure.INTERRUPTED, "failure", 200)
            assert is_sound(leg)

    run(main())


# -- broken


async def _breaks(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await read_request(reader)
    writer.write(OK % 100_000 + b"x" * 5000)
    await writer.drain()
    await asyncio.sleep(0.1)
    reset(writer)


def test_a_reset_keeps_what_came() -> None:
    leg = take(_breaks, 100_000)
    assert (leg.failure, leg.received, leg.ended) == (Failure.CONNECTION_RESET, 5000, "failure")
    assert is_sound(leg)


def test_an_early_end_is_a_failure() -> None:
    leg = take(responds(OK % 100_000 + b"x" * 5000), 100_000)
    assert (leg.failure, leg.received, leg.ended) == (Failure.EOF, 5000, "failure")


def test_another_status_is_no_object() -> None:
    leg = take(responds(b"HTTP/1.1 503 Busy\r\nContent-Length: 5\r\n\r\nbusy\n"), 1000)
    assert (leg.failure, leg.status, leg.ended) == (Failure.HTTP_REQUEST_FAILED, 503, "failure")
    assert (leg.received, leg.detail) == (0, "the server answered 503")


def test_junk_is_no_response() -> None:
    assert take(responds(b"\x00\x01\x02 hello\r\n\r\n"), 1000).failure is Failure.HTTP_INVALID_RESPONSE


def test_an_endless_head_is_bounded() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\n")
        while True:
            writer.write(b"X-More: " + b"y" * 1000 + b"\r\n")
            await writer.drain()

    async def main() -> None:
        async with tcp_peer(serve) as port, network() as net:
            tcp = await net.connect("127.0.0.1", port, wide=True)
            leg = await net.transfer(tcp, f"http://{NAME}/", wanted=1000)
            assert leg.failure is Failure.HTTP_INVALID_RESPONSE
            assert net.spent.received < 200_000

    run(main())


def test_an_endless_body_ends_at_what_is_enough() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            writer.write(b"z" * 10_000)
            await writer.drain()

    leg = take(serve, 50_000)
    assert (leg.failure, leg.ended) == (None, "enough")
    assert 50_000 <= leg.received <= 50_000 + 16 * 1024


def test_a_connection_that_does_not_stand() -> None:
    async def main() -> None:
        async with tcp_peer(responds(OK % 100_000 + b"x" * 100_000)) as port, network() as net:
            tcp = await net.connect("127.0.0.1", port, wide=True)
            await net.transfer(
                tcp, f"http://{NAME}/", wanted=100_000, enough=1000
            )  # its rest is not read: it is closed
            again = await net.transfer(tcp, f"http://{NAME}/", wanted=100_000)
            wrong = await net.transfer(tcp, "gopher://x/", wanted=100_000)
        assert (again.failure, again.ended, again.host) == (Failure.INVALID_ARGUMENT, "failure", NAME)
        assert wrong.failure is Failure.INVALID_ARGUMENT

    run(main())


# -- samples


def test_samples_are_few_and_even() -> None:
    samples = Samples(1_000_000)
    for n in range(10_000):
        samples.add(n / 1000, (n + 1) * 100)
    taken = samples.taken
    assert 150 <= len(taken) <= MOST_SAMPLES
    assert (taken[0], taken[-1]) == ((0.0, 100), (9.999, 1_000_000))
    steps = [b[1] - a[1] for a, b in itertools.pairwise(taken[:-1])]
    assert max(steps) - min(steps) <= 200


def test_few_samples_are_all_kept() -> None:
    samples = Samples(1000)
    assert not samples.taken
    for at, total in ((0.1, 1), (0.2, 2), (0.3, 1000)):
        samples.add(at, total)
    assert samples.taken == ((0.1, 1), (0.3, 1000))  # the second is less than a step from the first


# -- as the script plays it


@pytest.mark.parametrize(
    ("pace", "enough", "came", "ended", "elapsed"),
    [
        (Pace(rate=8_000_000), None, 128_000, "whole", 0.178),
        (Pace(rate=8_000_000), 64_000, 64_000, "enough", 0.114),
        (Pace(rate=128_000), None, None, "time", 8.0),
        (Pace(rate=8_000_000, freeze=16_384), None, 16_384, "stall", 5.066),
        (Pace(rate=128_000, burst=64_000), None, 128_000, "whole", 4.05),
        (Pace(samples=((0.5, 1000), (7.0, 2000))), None, 1000, "stall", 5.5),
    ],
)
def test_the_script_lays_a_path(pace: Pace, enough: int | None, came: int | None, ended: str, elapsed: float) -> None:
    async def main() -> Transfer:
        net = ScriptedNetwork(World(transfers={("192.0.2.9", NAME): pace}))
        tls = await net.handshake(await net.connect("192.0.2.9", 443, wide=True), name=NAME)
        return await net.transfer(tls, f"https://{NAME}/bytes/128000", wanted=128_000, enough=enough, timeout=8.0)

    leg = run(main())
    assert (leg.failure, leg.ended, leg.name) == (None, ended, NAME)
    assert leg.elapsed == pytest.approx(elapsed, abs=0.001)
    assert leg.received == came or (came is None and 120_000 < leg.received < 128_000)
    assert is_sound(leg)


def test_the_script_may_ask_for_each_transfer() -> None:
    async def main() -> list[Transfer]:
        laid: list[Pace | Failure] = [Pace(), Failure.CONNECTION_RESET, Pace(status=503), Pace(freeze=0)]
        net = ScriptedNetwork(World(transfers={("192.0.2.9", "*"): lambda n: laid[n]}))
        tcp = await net.connect("192.0.2.9", 80, wide=True)
        return [await net.transfer(tcp, f"http://{NAME}/", wanted=1000) for _ in laid]

    legs = run(main())
    assert [leg.ended for leg in legs] == ["whole", "failure", "failure", "failure"]
    assert [leg.failure for leg in legs[1:]] == [
        Failure.CONNECTION_RESET,
        Failure.HTTP_REQUEST_FAILED,
        Failure.TIMEOUT,
    ]
