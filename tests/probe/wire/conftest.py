from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import trustme

from tests.probe.wire.peers import free_port, process, wait_for

NAME = "site.example"


@dataclass(frozen=True)
class Keys:
    """A certificate authority, its file, and a certificate of `NAME` and 127.0.0.1 with its intermediate."""

    authority: trustme.CA
    ca_file: Path
    leaf: trustme.LeafCert
    chain_file: Path
    key_file: Path


@pytest.fixture(scope="session")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    folder = tmp_path_factory.mktemp("keys")
    authority = trustme.CA()
    leaf = authority.create_child_ca().issue_cert(NAME, "127.0.0.1", "::1")
    authority.cert_pem.write_to_path(folder / "ca.pem")
    leaf.private_key_pem.write_to_path(folder / "key.pem")
    (folder / "chain.pem").write_bytes(b"".join(blob.bytes() for blob in leaf.cert_chain_pems))
    return Keys(authority, folder / "ca.pem", leaf, folder / "chain.pem", folder / "key.pem")


@dataclass(frozen=True)
class Nginx:
    plain: int
    http1: int
    http2: int
    rejecting: int  # refuses every handshake with an alert


@pytest.fixture(scope="session")
def nginx(keys: Keys, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nginx]:
    folder = tmp_path_factory.mktemp("nginx")
    (folder / "large").write_bytes(b"<html><title>large</title>" + os.urandom(1 << 20))
    (folder / "text").write_bytes(b"<html><title lang=en>\n Wide &amp; open\n</title>" + b"word " * 20_000)
    ports = Nginx(*(free_port() for _ in range(4)))
    scratch = " ".join(
        f"{kind}_temp_path {folder}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    (folder / "nginx.conf").write_text(f"""
        daemon off; pid {folder}/pid; error_log {folder}/error.log; worker_processes 1;
        {"user root;" if os.getuid() == 0 else ""}
        events {{}}
        http {{
            access_log off; {scratch} default_type text/html; gzip on; gzip_types *; root {folder};
            ssl_certificate {keys.chain_file}; ssl_certificate_key {keys.key_file}; ssl_protocols TLSv1.2 TLSv1.3;
            absolute_redirect off;
            server {{
                listen 127.0.0.1:{ports.plain};
                listen 127.0.0.1:{ports.http1} ssl;
                listen 127.0.0.1:{ports.http2} ssl http2;
                location = / {{ return 200 '<title>front</title>$http_host|$http_user_agent|$http_accept_encoding'; }}
                location = /moved {{ return 302 /text; }}
                location = /empty {{ return 204; }}
            }}
            server {{ listen 127.0.0.1:{ports.rejecting} ssl; ssl_reject_handshake on; }}
        }}""")
    with process("nginx", "-c", str(folder / "nginx.conf")):
        wait_for(ports.plain)
        yield ports


@dataclass(frozen=True)
class Unbound:
    plain: int
    https: int


@pytest.fixture(scope="session")
def unbound(keys: Keys, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Unbound]:
    folder = tmp_path_factory.mktemp("unbound")
    ports = Unbound(free_port(), free_port())
    many = "\n".join(f'local-data: "many.example. 60 IN TXT \\"{"x" * 200}{n}\\""' for n in range(3))
    wide = "\n".join(f'local-data: "wide.example. 60 IN A 192.0.2.{n}"' for n in range(200))
    (folder / "unbound.conf").write_text(f"""
server:
    use-syslog: no
    verbosity: 0
    username: ""
    chroot: ""
    directory: {folder}
    do-daemonize: no
    num-threads: 1
    pidfile: {folder}/pid
    interface: 127.0.0.1@{ports.plain}
    interface: 127.0.0.1@{ports.https}
    https-port: {ports.https}
    tls-service-pem: {keys.chain_file}
    tls-service-key: {keys.key_file}
    access-control: 127.0.0.0/8 allow
    ede: yes
    local-zone: . static
    local-data: "site.example. 60 IN A 192.0.2.1"
    local-data: "site.example. 60 IN A 192.0.2.2"
    local-data: "site.example. 60 IN AAAA 2001:db8::1"
    local-data: 'site.example. 60 IN HTTPS 1 . alpn="h2" ipv4hint=192.0.2.1'
    local-zone: refused.example always_refuse
    local-zone: dropped.example always_deny
    {many}
    {wide}
""")
    with process("unbound", "-d", "-c", str(folder / "unbound.conf")):
        wait_for(ports.plain)
        wait_for(ports.https)
        yield ports
