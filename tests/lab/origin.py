"""A web server for sites that nginx is too well-behaved for. Run in `srv` as `python -m tests.lab.origin PKI`.

It reads the server name without taking it off the socket, then opens the door in the site's manner or
shuts it: to all, or to visitors from one country. An unknown name, or none, gets the alert that servers
with many customers send. What is said behind the door is in `answers.py`.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import socket
import ssl
import struct
import sys
from pathlib import Path

from tests.lab.answers import ANSWERS, SUSPENDED, Visit, response, welcome
from tests.lab.middlebox import Stream, accepted, peek, serve
from tests.lab.pki import Pki
from tests.lab.sites import BY_NAME, SITES, STRICT_HOSTER, Site
from tests.lab.topology import CLIENT_NETS

_SHUT = {
    "geo_alert": bytes([21, 3, 3, 0, 2, 2, 112]),  # unrecognized_name
    "old_tls": bytes([21, 3, 1, 0, 2, 2, 70]),  # protocol_version, as a server of TLS 1.0 answers any younger hello
    "plain": response("400 Bad Request", "<h1>This is a plain HTTP port</h1>"),
    "geo_eof": b"",
}
_TARPIT, _DRIP = 30.0, 0.2  # seconds: in all, and between bytes
_LONG_RECORD = b"\x16"  # of these, five make the head of a record of 5,654 bytes, of which these are the next
_HOME = [ipaddress.ip_network(net) for net in CLIENT_NETS]


def site_of(host: str | None) -> Site | None:
    """Return the site of a name that is served by hand."""
    site = BY_NAME.get((host or "").lower().removeprefix("www."))
    return site if site and site.by_hand else None


def from_country(connection: socket.socket) -> bool:
    """Tell whether a visitor's address is one of the censored home's."""
    address = ipaddress.ip_address(connection.getpeername()[0])
    return any(address in net for net in _HOME)


def reset(connection: socket.socket) -> None:
    """Make closing say it with a reset."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


class Origin:
    """Takes connections, each to its end."""

    def __init__(self, pki: Pki) -> None:
        self._visits = 0
        self._contexts = {site.name: self._context(site, pki) for site in SITES if site.by_hand and site.https}

    @staticmethod
    def _context(site: Site, pki: Pki) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pki.chain(site.name), pki.key(site.name))
        context.set_alpn_protocols(["http/1.1"])
        return context

    async def tls(self, connection: socket.socket) -> None:
        """Open the door, or shut it in the site's manner."""
        site = site_of((await peek(connection)).name)
        home = from_country(connection)
        door = site.door if site and (home or not site.door.startswith("geo_")) else "open"
        if door == "flapping":
            self._visits += 1
            door = "open" if self._visits % 2 else "geo_reset"
        if site and door == "open":
            async with accepted(connection, self._contexts[site.name]) as stream:
                await self._converse(stream, connection, home=home, secure=True)
            return
        with connection:
            await self._shut(connection, door if site else "geo_alert")

    @staticmethod
    async def _shut(connection: socket.socket, door: str) -> None:
        loop = asyncio.get_running_loop()
        if door == "geo_reset":
            reset(connection)
        elif door == "geo_tarpit":
            await asyncio.sleep(_TARPIT)
        elif door == "drip":
            for _ in range(int(_TARPIT / _DRIP)):
                await loop.sock_sendall(connection, _LONG_RECORD)
                await asyncio.sleep(_DRIP)
        else:
            await loop.sock_recv(connection, 65536)  # what is left unread would make closing a reset
            await loop.sock_sendall(connection, _SHUT[door])

    async def http(self, connection: socket.socket) -> None:
        """Answer a request in clear."""
        home = from_country(connection)
        async with accepted(connection) as stream:
            await self._converse(stream, connection, home=home, secure=False)

    @staticmethod
    async def _converse(stream: Stream, connection: socket.socket, *, home: bool, secure: bool) -> None:
        reader, writer = stream
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        if len(words := head[0].split(" ")) < 3:
            writer.write(response("400 Bad Request"))
            return
        headers = {key.lower(): value.strip() for key, _, value in (line.partition(":") for line in head[1:])}
        site = site_of(headers.get("host", "").partition(":")[0])
        if site is None:
            strict = connection.getsockname()[0] in STRICT_HOSTER
            stranger = (
                response("200 OK", SUSPENDED) if strict else response("404 Not Found", "<h1>No such customer</h1>")
            )
            writer.write(stranger)
            return
        visit = Visit(site.name, words[1], secure, home, headers)
        for step in ANSWERS[site.origin](visit) if site.origin else (welcome(visit),):
            if step is None:
                reset(connection)
                writer.transport.abort()
                return
            if isinstance(step, float):
                await asyncio.sleep(step)
            else:
                writer.write(step)
                await writer.drain()


def listen(address: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    listener = socket.create_server((address, port), family=family, backlog=256)
    listener.setblocking(False)
    return listener


async def serve_all(origin: Origin) -> None:
    addresses = sorted({address for site in SITES if site.by_hand for address in site.alive})
    async with asyncio.TaskGroup() as group:
        for address in addresses:
            group.create_task(serve(listen(address, 80), origin.http))
            group.create_task(serve(listen(address, 443), origin.tls))
        print("ready", flush=True)


def main() -> None:
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(serve_all(Origin(Pki(Path(sys.argv[1])))))


if __name__ == "__main__":
    main()
