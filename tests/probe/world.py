"""A small world on loopback: a resolver, an nginx over TLS, a server that never speaks, and settings for it."""

from __future__ import annotations

import os
import resource
import socket
import socketserver
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any, Self

import dns.flags
import dns.message
import dns.rcode
import dns.rrset
import trustme

SITE, SILENT, WITNESS, RESOLVER = "127.0.0.2", "127.0.0.3", "127.0.0.4", "127.0.0.53"
NAMES = {"open.test": SITE, "other.test": SITE, "silent.test": SILENT, "witness.test": WITNESS}
PAGE = "<html><head><title>Open</title></head><body>Plain to see.</body></html>"


class _Resolver(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        data, sock = self.request
        query = dns.message.from_wire(data)
        reply = dns.message.make_response(query, recursion_available=True)
        question = query.question[0]
        name = question.name.to_text(omit_final_dot=True).lower()
        if name not in NAMES:
            reply.set_rcode(dns.rcode.NXDOMAIN)
        elif question.rdtype == 1:
            reply.answer.append(dns.rrset.from_text(question.name, 60, "IN", "A", NAMES[name]))
        sock.sendto(reply.to_wire(), self.client_address)


class World:
    """Runs while it is entered; `config` is the settings file, `url` gives the site's URL by its name."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.config = folder / "wazi.toml"
        self.ca = trustme.CA()
        self.silent = socket.create_server((SILENT, 0))
        self.dns = socketserver.UDPServer((RESOLVER, 0), _Resolver)
        self.port = _free_port(SITE)

    def __enter__(self) -> Self:
        threading.Thread(target=self.dns.serve_forever, args=(0.05,), daemon=True).start()
        self.nginx = self._start_nginx()
        self.write_config()
        return self

    def __exit__(self, *_: object) -> None:
        self.nginx.terminate()
        self.nginx.wait(10)
        self.dns.shutdown()
        self.dns.server_close()
        self.silent.close()

    def url(self, name: str = "open.test", path: str = "/") -> str:
        port = self.silent.getsockname()[1] if name == "silent.test" else self.port
        return f"https://{name}:{port}{path}"

    def write_config(self, *urls: str, network: str = "", campaign: str = "") -> None:
        """Write settings whose campaign asks about `urls`."""
        (self.folder / "bogons.csv").write_text("prefix,why\n10.0.0.0/8,private\n")
        self.ca.cert_pem.write_to_path(self.folder / "ca.pem")
        listed = ", ".join(f'"{url}"' for url in urls or (self.url(),))
        self.config.write_text(
            f"""[network]
resolver = "{RESOLVER}:{self.dns.server_address[1]}"
trusted_resolvers = []
witnesses = ["witness.test"]
ca_file = "ca.pem"
bogons = "bogons.csv"
ipv6 = false
dns_linger = "50ms"
tls_timeout = "8s"
{network}

[vantage]
country = "KE"
asn = 64500

[store]
url = "sqlite:///wazi.db"

[[campaign]]
name = "main"
targets = [{listed}]
every = "60s"
jitter = "0s"
{campaign}
"""
        )

    def wazi(
        self, *arguments: str, stdin: str = "", file_size: int | None = None, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        """Run the command to its end; no file it writes may grow beyond `file_size`."""

        def limit() -> None:
            if file_size is not None:
                resource.setrlimit(resource.RLIMIT_FSIZE, (file_size, file_size))

        return subprocess.run(
            self.argv(*arguments),
            input=stdin,
            capture_output=True,
            text=True,
            timeout=60,
            env=_environment(environment),
            cwd=self.folder,
            preexec_fn=limit,
        )

    def start(self, *arguments: str, terminal: int | None = None, **environment: str) -> subprocess.Popen[str]:
        """Start the command and let it run, with its output on a terminal or in pipes."""
        output = subprocess.PIPE if terminal is None else terminal
        return self.popen(*arguments, stdout=output, stderr=output, environment=environment)

    def popen(self, *arguments: str, environment: dict[str, str], **options: Any) -> subprocess.Popen[str]:
        """Start the command, away from the terminal of the tests."""
        environment = _environment(environment)
        argv = self.argv(*arguments)
        return subprocess.Popen(argv, text=True, env=environment, cwd=self.folder, start_new_session=True, **options)

    def argv(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "probe.cli", "--config", str(self.config), *arguments]

    def _start_nginx(self) -> subprocess.Popen[bytes]:
        certificate = self.ca.issue_cert("open.test", "other.test")
        (self.folder / "chain.pem").write_bytes(b"".join(pem.bytes() for pem in certificate.cert_chain_pems))
        certificate.private_key_pem.write_to_path(self.folder / "key.pem")
        (self.folder / "index.html").write_text(PAGE)
        temporary = "".join(
            f"{kind}_temp_path {self.folder}/{kind};\n" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        (self.folder / "nginx.conf").write_text(
            f"""daemon off; master_process off; pid {self.folder}/nginx.pid; error_log {self.folder}/error.log;
events {{}}
http {{
access_log off; {temporary}
server {{
    listen {SITE}:{self.port} ssl http2;
    ssl_certificate chain.pem; ssl_certificate_key key.pem;
    root {self.folder}; index index.html; default_type text/html;
}} }}
"""
        )
        process = subprocess.Popen(
            ["nginx", "-p", str(self.folder), "-e", f"{self.folder}/error.log", "-c", f"{self.folder}/nginx.conf"]
        )
        _wait_for(SITE, self.port)
        return process


def _environment(more: dict[str, str]) -> dict[str, str]:
    root = str(Path(__file__).resolve().parents[2])
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("WAZI_", "XDG_"))}
    return clean | {"PYTHONPATH": root, "HOME": "/nonexistent"} | more


def _free_port(address: str) -> int:
    with socket.create_server((address, 0)) as server:
        port: int = server.getsockname()[1]
        return port


def _wait_for(address: str, port: int) -> None:
    end = time.monotonic() + 10
    while True:
        try:
            socket.create_connection((address, port), timeout=1).close()
            return
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.02)
