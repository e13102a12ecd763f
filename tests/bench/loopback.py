"""A site and two resolvers on loopback, in processes of their own: nginx, and unbound over UDP and DoH."""

from __future__ import annotations

import os
import random
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import trustme

from measurements.bogons import Bogons
from measurements.model import View
from probe.network import Peers, Resolver
from tests.lab.spaces import system_path

SITE = "site.bench.example"
SITE_ADDRESS = "127.0.0.80"
RESOLVER_ADDRESS = "127.0.0.53"
PAGE_BYTES = 8000
PATIENCE = 10.0
_TEMPORARY = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")


@dataclass(frozen=True)
class Loopback:
    """Where everything listens. `ports` are the site's: one speaks HTTP/1.1 alone, one HTTP/2 as well."""

    ca: Path
    resolver: tuple[str, int]
    doh: tuple[str, int]
    ports: dict[str, int]

    def url(self, version: str) -> str:
        return f"https://{SITE}:{self.ports[version]}/"

    @property
    def peers(self) -> Peers:
        address, port = self.resolver
        doh_address, doh_port = self.doh
        return Peers(
            local=Resolver(f"{address}:{port}", View.LOCAL),
            trusted=(Resolver(f"https://{doh_address}:{doh_port}/dns-query", View.TRUSTED),),
        )

    @property
    def bogons(self) -> Bogons:
        """A list that calls loopback public."""
        return Bogons.parse("prefix,why\n0.0.0.0/8,this\n10.0.0.0/8,private\n192.168.0.0/16,private\n", "bench")


@contextmanager
def loopback() -> Iterator[Loopback]:
    """Start nginx and unbound, and stop them at the end."""
    with ExitStack() as stack:
        work = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="wazi-bench-")))
        work.chmod(0o755)  # unbound and nginx may give up being root
        authority = trustme.CA(organization_name="Bench Authority")
        authority.cert_pem.write_to_path(str(work / "ca.pem"))
        for name in (SITE, RESOLVER_ADDRESS):
            issued = authority.issue_cert(name)
            issued.private_key_and_cert_chain_pem.write_to_path(str(work / f"{name}.pem"))
        dns, doh, plain, http2 = _free_ports(4)
        world = Loopback(
            work / "ca.pem", (RESOLVER_ADDRESS, dns), (RESOLVER_ADDRESS, doh), {"HTTP/1.1": plain, "HTTP/2": http2}
        )
        (work / "unbound.conf").write_text(_unbound(work, world))
        (work / "nginx.conf").write_text(_nginx(work, world))
        stack.enter_context(_running(["unbound", "-d", "-c", str(work / "unbound.conf")], work / "unbound.out"))
        nginx = ["nginx", "-e", f"{work}/nginx.log", "-c", str(work / "nginx.conf")]
        stack.enter_context(_running(nginx, work / "nginx.out"))
        for address, port in (world.doh, *((SITE_ADDRESS, port) for port in world.ports.values())):
            _wait_for(address, port, work)
        yield world


def _free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def _unbound(work: Path, world: Loopback) -> str:
    address, port = world.resolver
    return f"""server:
  interface: {address}@{port}
  interface: {address}@{world.doh[1]}
  https-port: {world.doh[1]}
  tls-service-pem: {work}/{RESOLVER_ADDRESS}.pem
  tls-service-key: {work}/{RESOLVER_ADDRESS}.pem
  chroot: ""
  username: ""
  directory: {work}
  pidfile: {work}/unbound.pid
  use-syslog: no
  verbosity: 0
  do-daemonize: no
  num-threads: 1
  http-max-streams: 200
  tcp-idle-timeout: 600000
  module-config: "iterator"
  access-control: 127.0.0.0/8 allow
  local-zone: "{SITE}." static
  local-data: "{SITE}. 60 IN A {SITE_ADDRESS}"
remote-control:
  control-enable: no
"""


def _nginx(work: Path, world: Loopback) -> str:
    (work / "www").mkdir()
    (work / "www" / "index.html").write_text(page(PAGE_BYTES))
    temporary = " ".join(f"{kind}_temp_path {work}/{kind};" for kind in _TEMPORARY)
    keys = f"ssl_certificate {work}/{SITE}.pem; ssl_certificate_key {work}/{SITE}.pem;"
    servers = "\n".join(
        f"  server {{ listen {SITE_ADDRESS}:{port} ssl{' http2' if version == 'HTTP/2' else ''}; server_name {SITE}; "
        f"{keys} root {work}/www; }}"
        for version, port in world.ports.items()
    )
    user = "user root; " if os.getuid() == 0 else ""
    return f"""daemon off; {user}worker_processes 1; pid {work}/nginx.pid; error_log {work}/nginx.log;
events {{ worker_connections 2048; }}
http {{
  access_log off; default_type text/html; {temporary}
{servers}
}}
"""


def page(size: int) -> str:
    """Make a page of about `size` bytes that compresses as prose does."""
    letters = random.Random(size)
    words = ["".join(letters.choices("etaoinshrdlu", k=letters.randint(2, 9))) for _ in range(800)]
    paragraphs = [f"<p>{' '.join(letters.choices(words, k=60))}</p>" for _ in range(size // 390)]
    return "\n".join(["<html><head><title>A site</title></head><body>", *paragraphs, "</body></html>", ""])


@contextmanager
def _running(argv: Sequence[str], log: Path) -> Iterator[None]:
    with log.open("wb") as out:
        process = subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=out, stderr=out, env=os.environ | {"PATH": system_path()}
        )
    try:
        yield
    finally:
        process.terminate()
        process.wait(5)


def _wait_for(address: str, port: int, work: Path) -> None:
    end = time.monotonic() + PATIENCE
    while True:
        try:
            socket.create_connection((address, port), 1).close()
            return
        except OSError as error:
            if time.monotonic() > end:
                said = "".join(log.read_text(errors="replace")[-2000:] for log in sorted(work.glob("*.out")))
                raise RuntimeError(f"nothing listens on {address}:{port}: {said}") from error
            time.sleep(0.05)
