"""Listening as a control: what `wazi control serve` runs outside the affected country.

It speaks HTTP/1.1, one request a connection; as a control it is asked in clear, and TLS belongs to a reverse
proxy, whose X-Forwarded-For is believed when it comes from this machine. With `tls` there is a second door, where the
same is served over TLS, under whatever name a client says, with a key that the answers to canaries announce: it
shows a probe whether TLS is left alone on the way, and gives objects under any SNI. A connection that has sent no
whole request head within `head_seconds`, does not read for `patience_seconds`, or lives beyond any survey, is hung
up on, so that idle strangers cannot hold the door. On SIGTERM or Ctrl-C the surveys that run get `goodbye_seconds`
to end.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import ssl
import tempfile
from collections.abc import Callable, Generator
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

WRITE_AHEAD = 32 * 1024  # bytes of a response that wait in this process
SEND_AHEAD = 64 * 1024  # and in the system: enough that a busy moment of ours is no pause on the wire
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
        door = None if tls is None else stack.enter_context(open_listener(tls, service.connections))
        singer = Singer(port=None if door is None else door.getsockname()[1], most=service.objects.most)
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
        server = _Server(_config(app, service))
        if door is not None:
            server.open_tls(door, _context(singer), service)
        await _run(app, server, listener, service)


def _context(singer: Singer) -> ssl.SSLContext:
    """Make the context of the door for TLS, with the singer's key."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "canary.pem"
        singer.write_certificate(file)
        context.load_cert_chain(file)
    context.set_alpn_protocols(["http/1.1"])
    return context


async def _run(app: ControlApp, server: _Server, listener: socket.socket, limits: ServiceLimits) -> None:
    loop = asyncio.get_running_loop()

    def stop() -> None:
        server.should_exit = True
        loop.call_later(limits.goodbye_seconds, app.close)
        loop.call_later(limits.goodbye_seconds + 1.0, server.hang_up)

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
    """uvicorn with a second door, for TLS, to the same application and within the same bounds."""

    _door: tuple[socket.socket, ssl.SSLContext, ServiceLimits] | None = None

    def open_tls(self, listener: socket.socket, context: ssl.SSLContext, limits: ServiceLimits) -> None:
        """Serve over TLS at `listener` too, from when the server starts."""
        self._door = (listener, context, limits)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self._door is None:
            return
        listener, context, limits = self._door
        kind: type[H11Protocol] = self.config.http_protocol_class  # type: ignore[assignment]
        second = await asyncio.get_running_loop().create_server(
            lambda: kind(self.config, self.server_state, self.lifespan.state),
            sock=listener,
            ssl=context,
            backlog=self.config.backlog,
            ssl_handshake_timeout=limits.handshake_seconds,
            ssl_shutdown_timeout=limits.patience_seconds,  # it ends what is still on its way to a slow client
        )
        self.servers.append(second)

    def hang_up(self) -> None:
        """End every connection that still stands, at once."""
        for protocol in list(self.server_state.connections):
            protocol.transport.abort()

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
        _patience: asyncio.TimerHandle | None = None

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            transport.set_write_buffer_limits(high=WRITE_AHEAD)  # over TLS it would be 512 KiB
            self._timers = (
                self.loop.call_later(limits.head_seconds, self._expect_request),
                self.loop.call_later(lifetime, transport.abort),
            )

        def connection_lost(self, exc: Exception | None) -> None:
            self._listens()
            for timer in self._timers:
                timer.cancel()
            super().connection_lost(exc)

        def pause_writing(self) -> None:
            super().pause_writing()
            self._patience = self.loop.call_later(limits.patience_seconds, self.transport.abort)

        def resume_writing(self) -> None:
            super().resume_writing()
            self._listens()

        def _listens(self) -> None:
            if self._patience is not None:
                self._patience.cancel()
                self._patience = None

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
        listener = socket.create_server(address[:2], family=family, backlog=backlog, dualstack_ipv6=host == "::")
    except OSError as error:
        raise CannotListen(f"cannot listen on {listen}: {error.strerror or error}") from None
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, SEND_AHEAD)  # for what it accepts
    return listener
