"""What a hotspot's or a household's router does itself. Run as `python -m tests.lab.portal PLAN.json LOG`.

The router redirects ports here: 80 to a login page; 443 to a box that shows the login page under a certificate
made on the spot, or reads along; 53 to a resolver that lies, or takes its time. Each deed is a line in its log.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import sys
from pathlib import Path
from typing import TextIO, cast

import msgspec

from tests.lab.home_faults import HouseDns, Portal
from tests.lab.middlebox import CertificateForger, Plan, accepted, join, listen, original_target, peek, serve
from tests.lab.payloads import dns_forgery, dns_question, http_host, http_response, matches
from tests.lab.scenario import Deed

HTTP_PORT, TLS_PORT, DNS_PORT = 3180, 3143, 3153
MARK = 7  # of the box's own packets, which are not redirected to it
LOGIN = "<html><head><title>Welcome to our Wi-Fi</title></head><body><h1>Please log in to go on</h1></body></html>"
_RESOLVER_PATIENCE = 5.0


class House(msgspec.Struct, frozen=True, kw_only=True):
    """What the router does, and with whose key."""

    by: str
    portal: Portal | None = None
    dns: tuple[HouseDns, ...] = ()
    resolver: str
    gateway: str
    forging: Plan


class Router:
    """Handles connections and questions; each method takes one to its end."""

    def __init__(self, house: House, log: TextIO) -> None:
        self._house = house
        self._log = log
        self._forger = CertificateForger(house.forging)
        self._upstream = ssl.create_default_context()
        self._upstream.check_hostname = False
        self._upstream.verify_mode = ssl.CERT_NONE
        self._upstream.set_alpn_protocols(["http/1.1"])

    def _record(self, action: str, subject: str) -> None:
        deed = Deed(by=self._house.by, action=action, subject=subject)
        self._log.write(msgspec.json.encode(deed).decode() + "\n")

    def _page(self, url: str) -> bytes:
        style = self._house.portal.http if self._house.portal else "page"
        if style == "redirect":
            return http_response("302 Found", "", f"Location: http://{self._house.gateway}/login?for={url}")
        return http_response("511 Network Authentication Required" if style == "status511" else "200 OK", LOGIN)

    async def http(self, connection: socket.socket) -> None:
        """Answer a request with the login page, or the way to it."""
        async with accepted(connection) as client:
            host = http_host(await client[0].readuntil(b"\r\n\r\n")).name or ""
            self._record("portal", host)
            client[1].write(self._page(f"http://{host}/"))

    async def tls(self, connection: socket.socket) -> None:
        """End TLS here, and show the login page or what the true server says."""
        address, port = original_target(connection)
        name = (await peek(connection)).name or address
        self._record("tls interception", name)
        async with accepted(connection, self._forger.context(name)) as client:
            if self._house.portal and self._house.portal.https == "login":
                await client[0].readuntil(b"\r\n\r\n")
                client[1].write(http_response("200 OK", LOGIN))
                return
            family = socket.AF_INET6 if ":" in address else socket.AF_INET
            with socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK) as beyond:
                beyond.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, MARK)
                await asyncio.get_running_loop().sock_connect(beyond, (address, port))
                server = await asyncio.open_connection(sock=beyond.dup(), ssl=self._upstream, server_hostname=name)
            await join(client, server)

    async def answer(self, message: bytes) -> bytes | None:
        """Answer a question of the DNS, by lies or as the ISP's resolver does; None for silence."""
        question = dns_question(message)
        if question is None:
            return None
        if self._house.portal and self._house.portal.wildcard:
            self._record("dns wildcard", question.name)
            return dns_forgery(message, question, (self._house.portal.wildcard,))
        rule = next((rule for rule in self._house.dns if matches(question.name, rule.names)), HouseDns())
        if rule != HouseDns():
            self._record(f"dns {rule.answer}", question.name)
        await asyncio.sleep(rule.delay)
        match rule.answer:
            case "silence":
                return None
            case "nxdomain":
                return dns_forgery(message, question, error="nxdomain")
            case "truth":
                return await asyncio.to_thread(self._ask, message)
            case address:
                return dns_forgery(message, question, (address,))

    def _ask(self, message: bytes) -> bytes | None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as beyond:
            beyond.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, MARK)
            beyond.settimeout(_RESOLVER_PATIENCE)
            with contextlib.suppress(OSError):
                beyond.sendto(message, (self._house.resolver, 53))
                return beyond.recv(4096)
        return None


class Questions(asyncio.DatagramProtocol):
    """The resolver's door."""

    def __init__(self, router: Router) -> None:
        self._router = router
        self._tasks: set[asyncio.Task[None]] = set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, source: tuple[str, int]) -> None:
        task = asyncio.create_task(self._answer(data, source))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _answer(self, data: bytes, source: tuple[str, int]) -> None:
        reply = await self._router.answer(data)
        if reply is not None:
            self._transport.sendto(reply, source)


async def serve_all(router: Router) -> None:
    await asyncio.get_running_loop().create_datagram_endpoint(lambda: Questions(router), ("0.0.0.0", DNS_PORT))
    async with asyncio.TaskGroup() as group:
        for family in (socket.AF_INET, socket.AF_INET6):
            group.create_task(serve(listen(HTTP_PORT, family), router.http))
            group.create_task(serve(listen(TLS_PORT, family), router.tls))
        print("ready", flush=True)


def main() -> None:
    house = msgspec.json.decode(Path(sys.argv[1]).read_bytes(), type=House)
    with Path(sys.argv[2]).open("a", buffering=1) as log:
        asyncio.run(serve_all(Router(house, log)))


if __name__ == "__main__":
    main()
