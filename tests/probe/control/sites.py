"""A little internet on loopback: real nginx sites under a test CA, and a resolver that knows them."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset
import trustme

HOST = "127.0.0.1"
DEAD = "127.0.0.9"

CONFIG = """
daemon off; master_process off; pid {folder}/pid; error_log {folder}/error.log;
events {{ worker_connections 256; }}
http {{
  default_type text/html; add_header Alt-Svc 'h3=":4433"; ma=60';
  client_body_temp_path {folder}/b; proxy_temp_path {folder}/p; fastcgi_temp_path {folder}/f;
  uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s; gzip on; gzip_min_length 1;
  log_format asked '$http_user_agent|$http_accept_language|$http_cookie|$host|$uri';
  access_log {folder}/asked.log asked;
  server {{
    listen {host}:{http}; listen [::1]:{http};
    location = / {{ return 200 "<html><title>A plain site</title>{filler}</html>"; }}
    location = /up {{ return 301 https://$host:{https}/; }}
    location = /loop {{ return 302 /loop; }}
    location ~ ^/chain/a(?<rest>.*)$ {{ return 302 /chain/$rest; }}
    location = /chain/ {{ return 200 "the end"; }}
    location = /to-mail {{ return 302 http://$host:25/; }}
    location = /to-file {{ return 302 file:///etc/passwd; }}
    location = /to-nowhere {{ return 302 http://nowhere.test/; }}
    location = /to-dead {{ return 302 http://dead.test:{http}/; }}
    location = /gone {{ return 410; }}
  }}
  server {{
    listen {host}:{https} ssl http2;
    ssl_certificate {folder}/site.pem; ssl_certificate_key {folder}/site.key;
    location = / {{ return 200 "<html><title>A safe site</title>{filler}</html>"; }}
  }}
}}
"""
FILLER = "words " * 200


@dataclass(frozen=True)
class Sites:
    """Where the sites listen, and the CA that vouches for good.test (and for nothing else)."""

    http: int
    https: int
    ca: Path
    asked: Path

    def requests(self) -> list[list[str]]:
        """User-Agent, Accept-Language, Cookie, host and path of every request so far."""
        return [line.split("|") for line in self.asked.read_text().splitlines()]


def free_port(host: str = HOST) -> int:
    with socket.create_server((host, 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


@contextlib.contextmanager
def nginx(folder: Path) -> Iterator[Sites]:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(folder / "ca.pem")
    leaf = authority.issue_cert("good.test", HOST)
    leaf.private_key_pem.write_to_path(folder / "site.key")
    for blob in leaf.cert_chain_pems:
        blob.write_to_path(folder / "site.pem", append=True)
    sites = Sites(free_port(), free_port(), folder / "ca.pem", folder / "asked.log")
    (folder / "conf").write_text(
        CONFIG.format(folder=folder, host=HOST, http=sites.http, https=sites.https, filler=FILLER)
    )
    process = subprocess.Popen(["nginx", "-p", str(folder), "-c", "conf"], stderr=subprocess.DEVNULL)
    try:
        ends = time.monotonic() + 10
        for port in (sites.http, sites.https):
            while True:
                with contextlib.suppress(OSError), socket.create_connection((HOST, port), 1):
                    break
                assert process.poll() is None, (folder / "error.log").read_text()
                assert time.monotonic() < ends, "nginx does not listen"
                time.sleep(0.02)
        yield sites
    finally:
        process.terminate()
        process.wait(10)


Zone = Mapping[str, list[str] | dns.rcode.Rcode | None]
ZONE: Zone = {
    "good.test": [HOST],
    "bad-name.test": [HOST],
    "partly.test": [DEAD, HOST],
    "dead.test": [DEAD],
    "private.test": ["127.0.1.1"],
    "mixed.test": ["127.0.1.1", HOST],
    "six.test": ["::1"],
    "both.test": [HOST, "::1"],
    "empty.test": [],
    "refused.test": dns.rcode.REFUSED,
    "broken.test": dns.rcode.SERVFAIL,
    "silent.test": None,
}
"""The addresses of each name, or the rcode, or None for silence; any other name does not exist."""


class _Resolver(asyncio.DatagramProtocol):
    def __init__(self) -> None:
        self.asked: list[str] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, peer: tuple[str, int]) -> None:
        query = dns.message.from_wire(data)
        question = query.question[0]
        name = question.name.to_text(omit_final_dot=True).lower()
        self.asked.append(f"{name} {dns.rdatatype.to_text(question.rdtype)}")
        known = ZONE.get(name, dns.rcode.NXDOMAIN)
        if known is None:
            return
        reply = dns.message.make_response(query, recursion_available=True)
        if isinstance(known, dns.rcode.Rcode):
            reply.set_rcode(known)
        else:
            six = question.rdtype == dns.rdatatype.AAAA
            records = [a for a in known if (":" in a) == six and question.rdtype in (1, 28)]
            if records:
                reply.answer.append(dns.rrset.from_text(question.name, 60, "IN", question.rdtype, *records))
        self.transport.sendto(reply.to_wire(), peer)


@contextlib.asynccontextmanager
async def resolver() -> AsyncIterator[tuple[str, list[str]]]:
    """A resolver on loopback: its "ip:port", and the list of what it was asked."""
    loop = asyncio.get_running_loop()
    transport, protocol = await loop.create_datagram_endpoint(_Resolver, (HOST, 0))
    try:
        host, port = transport.get_extra_info("sockname")
        yield f"{host}:{port}", protocol.asked
    finally:
        transport.close()
