"""How a connection ends: with a reset where its last step did not end well, and quietly elsewhere."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import struct
import threading

import pytest

from measurements.bogons import Bogons
from measurements.model import Failure, TcpConnect
from probe.network import Limits, Peers
from probe.wire import SocketNetwork, Wire
from tests.probe.wire.conftest import NAME, Keys
from tests.probe.wire.peers import Serve, network, read_request, run, server_context, tcp_peer

PAGE = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n"


class Peer:
    """Answers what it is told to, and then sees how the connection ends."""

    def __init__(self, answer: Serve | None = None) -> None:
        self._answer = answer
        self.ended: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            if self._answer is not None:
                await self._answer(reader, writer)
            while await reader.read(65536):
                pass
        except ConnectionResetError:
            self.ended.set_result("reset")
        else:
            self.ended.set_result("end")


def answers(response: bytes) -> Serve:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(response)
        await writer.drain()

    return answer


def no_tickets(keys: Keys) -> ssl.SSLContext:
    """A server's context without session tickets: one left unread makes the system reset by itself."""
    context = server_context(keys.leaf)
    context.num_tickets = 0
    return context


async def swallowed_hello(net: SocketNetwork, tcp: TcpConnect) -> None:
    step = await net.handshake(tcp, name=NAME, timeout=0.1)
    assert (step.failure, step.hello_size > 0) == (Failure.TIMEOUT, True)


async def interrupted_hello(net: SocketNetwork, tcp: TcpConnect) -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await net.handshake(tcp, name=NAME)


async def swallowed_request(net: SocketNetwork, tcp: TcpConnect) -> None:
    step = await net.exchange(tcp, f"http://{NAME}/", timeout=0.1)
    assert (step.failure, step.status) == (Failure.TIMEOUT, None)


async def stalled_page(net: SocketNetwork, tcp: TcpConnect) -> None:
    step = await net.exchange(tcp, f"http://{NAME}/", timeout=0.2)
    assert (step.failure, step.status) == (Failure.TIMEOUT, 200)


async def junk(net: SocketNetwork, tcp: TcpConnect) -> None:
    step = await net.exchange(tcp, f"http://{NAME}/")
    assert step.failure is Failure.HTTP_INVALID_RESPONSE


async def whole_page(net: SocketNetwork, tcp: TcpConnect) -> None:
    step = await net.exchange(tcp, f"http://{NAME}/")
    assert (step.failure, step.body, step.truncated) == (None, b"page", None)


async def sample(net: SocketNetwork, tcp: TcpConnect) -> None:
    step = await net.exchange(tcp, f"http://{NAME}/", body_limit=2)
    assert (step.failure, step.truncated) == (None, "sample")


async def nothing(net: SocketNetwork, tcp: TcpConnect) -> None:
    assert tcp.failure is None


@pytest.mark.parametrize(
    ("step", "answer", "ended"),
    [
        (swallowed_hello, None, "reset"),
        (interrupted_hello, None, "reset"),
        (swallowed_request, None, "reset"),
        (stalled_page, answers(PAGE + b"\r\npa"), "reset"),
        (junk, answers(b"no HTTP at all\r\n\r\n"), "reset"),
        (nothing, None, "end"),
        (whole_page, answers(PAGE + b"\r\npage"), "end"),
        (whole_page, answers(PAGE + b"Connection: close\r\n\r\npage"), "end"),
        (sample, answers(PAGE + b"\r\npage"), "end"),
    ],
)
def test_only_a_step_that_ended_ill_ends_with_a_reset(step: object, answer: Serve | None, ended: str) -> None:
    async def main() -> None:
        peer = Peer(answer)
        async with tcp_peer(peer.serve) as port:
            async with network() as net:
                await step(net, await net.connect("127.0.0.1", port))  # type: ignore[operator]
            assert await peer.ended == ended

    run(main())


def test_a_connection_whose_next_step_ends_ill_is_reset(keys: Keys) -> None:
    """If the handshake ended well, that says nothing about the exchange, nor a good page about the next."""

    async def main(pages: int, timeout: float) -> str:
        peer = Peer(answers(PAGE + b"\r\npage") if pages else None)
        async with tcp_peer(peer.serve, no_tickets(keys)) as port:
            async with network(ca_file=keys.ca_file) as net:
                tls = await net.handshake(await net.connect("127.0.0.1", port), name=NAME)
                assert tls.failure is None
                for _ in range(pages):
                    assert (await net.exchange(tls, f"https://{NAME}/")).failure is None
                if timeout:
                    step = await net.exchange(tls, f"https://{NAME}/", timeout=timeout)
                    assert step.failure is Failure.TIMEOUT
            return await peer.ended

    assert run(main(0, 0.0)) == "end"
    assert run(main(0, 0.1)) == "reset"
    assert run(main(1, 0.0)) == "end"
    assert run(main(1, 0.1)) == "reset"


async def _acknowledged(full_body: bool) -> tuple[int, int]:
    """Fetch a page of 400 kB; return the bytes of the body that were read, and those that crossed the wire."""
    crossed = 0
    listener = socket.socket()
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 1448)
    listener.bind(("127.0.0.2", 0))
    listener.listen()

    def serve() -> None:
        nonlocal crossed
        peer, _ = listener.accept()
        with peer, contextlib.suppress(OSError):
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8192)
            peer.recv(4096)
            peer.settimeout(5)
            peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 400000\r\n\r\n")
            for _ in range(400):
                peer.sendall(b"x" * 1000)
                crossed = struct.unpack_from("<Q", peer.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256), 120)[0]

    server = threading.Thread(target=serve)
    server.start()
    port = listener.getsockname()[1]
    bogons = Bogons.parse("prefix,why\n10.0.0.0/8,private\n", "test")
    async with (
        Wire(peers=Peers(None), limits=Limits(), bogons=bogons) as wire,
        wire.network(full_body=full_body) as net,
    ):
        page = await net.exchange(await net.connect("127.0.0.2", port), f"http://127.0.0.2:{port}/")
    await asyncio.to_thread(server.join)
    listener.close()
    return page.body_length, crossed


def test_a_sample_costs_little_more_than_is_read() -> None:
    """If a routine measurement reads 16 KiB of a long page, the rest is not under way all the same."""
    read, crossed = asyncio.run(_acknowledged(full_body=False))
    assert read == Limits().body_routine
    assert crossed < 4 * read
    read, crossed = asyncio.run(_acknowledged(full_body=True))
    assert read == 400_000
    assert crossed > 350_000


@pytest.mark.parametrize("mss", [None, 536])
def test_small_segments_are_asked_of_the_peer_too(mss: int | None) -> None:
    """If segments are to be small, the peer sends none that is larger, and the step says what was asked."""

    async def go() -> tuple[int, TcpConnect]:
        loop = asyncio.get_running_loop()
        with socket.create_server(("127.0.0.1", 0)) as listener:
            listener.setblocking(False)
            async with network() as net:
                step = await net.connect("127.0.0.1", listener.getsockname()[1], mss=mss)
                accepted, _ = await loop.sock_accept(listener)
                with accepted:
                    return accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG), step

    largest, step = run(go())
    assert (step.failure, step.mss) == (None, mss)
    assert (largest <= 536) is (mss is not None)
