"""Listening as a control: what `wazi control serve` runs outside the affected country.

It speaks plain HTTP/1.1, one request a connection; TLS belongs to a reverse proxy, whose
X-Forwarded-For is believed when it comes from this machine. With `tls` it also shakes hands, with a key
that its answers to canaries announce, and says no more there: that shows a probe whether TLS is left alone
on the way. A connection that has sent no whole request head within `head_seconds`, or lives beyond any
survey, is hung up on, so that idle strangers cannot hold the door. On SIGTERM or Ctrl-C the surveys that
run get `goodbye_seconds` to end.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import ssl
import tempfile
from collections.abc import AsyncIterator, Callable, Generator
from pathlib import Path
from typing import TYPE_CHECKING

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from measurements.model import Preconditions
from probe.control.app import ControlApp, ServiceLimits
from probe.control.canary import Singer
from probe.control.policy import Policy
from probe.control.survey import AsnOf
from probe.network import Limits, Peers, endpoint
from probe.wire import Wire

if TYPE_CHECKING:
    from measurements.bogons import Bogons

HANDSHAKE = 5.0  # seconds that one may take
LOCAL_PROXIES = ["127.0.0.1", "::1", "::ffff:127.0.0.1"]


class CannotListen(Exception):
    """The address to listen on is wrong or taken; the text says so in a sentence."""


async def serve(
    listen: str,
    *,
    peers: Peers,
    limits: Limits,
    bogons: Bogons,
    ca_file: Path | None = None,
    ipv6: bool = True,
    allow_private: bool = False,
    tls: str | None = None,
    service: ServiceLimits | None = None,
    asn_of: AsnOf = lambda address: 0,
    announce: Callable[[str], None] = lambda url: None,
) -> None:
    """Serve at `listen` ("host:port") until SIGTERM, Ctrl-C or cancellation; raises `CannotListen`.

    At `tls` it shakes hands besides. `announce` is told the URL once connections are taken.
    """
    service = service or ServiceLimits()
    policy = Policy(allow_private=allow_private, seconds=service.total_seconds - 1.0)
    async with contextlib.AsyncExitStack() as stack:
        listener = stack.enter_context(open_listener(listen, service.connections))
        singer = Singer()
        if tls is not None:
            door = stack.enter_context(open_listener(tls, service.connections))
            singer = Singer(port=door.getsockname()[1])
            await stack.enter_async_context(_shaking_hands(door, singer))
        wire = await stack.enter_async_context(
            Wire(peers=peers, limits=limits, bogons=bogons, ca_file=ca_file, ipv6=ipv6)
        )
        app = ControlApp(
            lambda: wire.network(preconditions=Preconditions(), full_body=True),
            policy=policy,
            limits=service,
            asn_of=asn_of,
            singer=singer,
        )
        host, port = listener.getsockname()[:2]
        announce(f"http://{endpoint(host, port)}/")
        await _run(app, listener, service)


@contextlib.asynccontextmanager
async def _shaking_hands(listener: socket.socket, singer: Singer) -> AsyncIterator[None]:
    """Shake hands with the singer's key as long as the context lasts, and hang up after that."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "canary.pem"
        singer.write_certificate(file)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(file)

    async def hang_up(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.transport.abort()

    server = await asyncio.start_server(
        hang_up, sock=listener, ssl=context, ssl_handshake_timeout=HANDSHAKE, ssl_shutdown_timeout=HANDSHAKE
    )
    async with server:
        yield


async def _run(app: ControlApp, listener: socket.socket, limits: ServiceLimits) -> None:
    server = _Server(_config(app, limits))
    loop = asyncio.get_running_loop()

    def stop() -> None:
        server.should_exit = True
        loop.call_later(limits.goodbye_seconds, app.close)

    running = asyncio.create_task(server.serve([listener]))
    with contextlib.ExitStack() as undo:
        for number in (signal.SIGTERM, signal.SIGINT):
            with contextlib.suppress(ValueError, RuntimeError):  # not in the main thread: the caller stops us
                loop.add_signal_handler(number, stop)
                undo.callback(loop.remove_signal_handler, number)
        try:
            await asyncio.shield(running)
        except asyncio.CancelledError:
            stop()
            await running
            raise


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Leave signals to us: uvicorn raises them again before what we opened is closed."""
        yield


def _config(app: ControlApp, limits: ServiceLimits) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http=_protocol(limits),
        ws="none",
        lifespan="off",
        loop="asyncio",
        access_log=False,
        log_config=None,
        log_level="error",
        server_header=False,
        proxy_headers=True,
        forwarded_allow_ips=LOCAL_PROXIES,
        limit_concurrency=limits.connections,
        backlog=limits.connections,
        timeout_graceful_shutdown=int(limits.goodbye_seconds) + 2,
        h11_max_incomplete_event_size=16 * 1024,
    )


def _protocol(limits: ServiceLimits) -> type[H11Protocol]:
    lifetime = limits.head_seconds + limits.body_seconds + limits.total_seconds + 10.0

    class Impatient(H11Protocol):
        """Hangs up on a client that does not speak, or does not listen."""

        _timers: tuple[asyncio.TimerHandle, ...] = ()

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            self._timers = (
                self.loop.call_later(limits.head_seconds, self._expect_request),
                self.loop.call_later(lifetime, transport.abort),
            )

        def connection_lost(self, exc: Exception | None) -> None:
            for timer in self._timers:
                timer.cancel()
            super().connection_lost(exc)

        def _expect_request(self) -> None:
            if self.cycle is None:
                self.transport.abort()

    return Impatient


def open_listener(listen: str, backlog: int) -> socket.socket:
    """Open the socket to listen on; raises `CannotListen`."""
    host, _, port = listen.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not host or not (port.isascii() and port.isdigit() and len(port) <= 5) or int(port) > 65535:
        raise CannotListen(f"{listen!r} is no address to listen on; write HOST:PORT, such as 0.0.0.0:8080 or [::]:8080")
    try:
        family, _, _, _, address = socket.getaddrinfo(host, int(port), type=socket.SOCK_STREAM)[0]
        return socket.create_server(address[:2], family=family, backlog=backlog, dualstack_ipv6=host == "::")
    except OSError as error:
        raise CannotListen(f"cannot listen on {listen}: {error.strerror or error}") from None
