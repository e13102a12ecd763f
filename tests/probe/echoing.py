"""A site, a resolver and a network that say everything they know of their visitor, in every disguise and place.

`python -m tests.probe.echoing FOLDER` is run in a network and a host name of its own, which nothing leaves. It
measures the site with the real commands, over real sockets, and leaves in the folder what these wrote.
"""

from __future__ import annotations

import http.server
import os
import signal
import socket
import socketserver
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import dns.edns
import dns.message
import dns.rrset
import trustme

from tests.measurements.encodings import of_ipv4, of_ipv6

IPV4, IPV6, HOST = "203.0.113.77", "2001:db8:85a3::8a2e:370:7334", "anna-laptop"
SERVER4, SERVER6 = "203.0.113.80", "2001:db8:1::80"
NAMED = "host-203-0-113-77.dsl.test"
SITE, MINE, WITNESS = "echo.test", "mine.test", "witness.test"
SETUP = f"""
ip link set lo up
ip addr add {IPV4}/32 dev lo
ip -6 addr add {IPV6}/128 dev lo nodad
ip addr add 10.7.7.1/32 dev lo
for server in {SERVER4} 10.7.7.53; do ip route replace local $server/32 dev lo src {IPV4}; done
ip route add default dev lo src {IPV4}
ip -6 route add local {SERVER6}/128 dev lo src {IPV6}
ip -6 route add default dev lo src {IPV6}
"""


def planted() -> dict[str, bytes]:
    """Give every disguise of both addresses, and the machine's name, by name."""
    found = {f"{IPV4}, {name}": text for name, text in of_ipv4(IPV4).items()}
    found |= {f"{IPV6}, {name}": text for name, text in of_ipv6(IPV6).items()}
    return found | {"name": HOST.encode(), "name in full": f"{HOST}.mueller.test".encode()}


def _for_headers() -> list[str]:
    return [text.decode("latin-1") for text in planted().values() if not set(text) & set(b"\r\n\0")]


def _parts(texts: list[str], length: int) -> Iterator[list[str]]:
    part: list[str] = []
    for text in texts:
        if part and sum(map(len, part)) + len(text) > length:
            yield part
            part = []
        part.append(text)
    yield part


class _Page(http.server.BaseHTTPRequestHandler):
    """Says it in the status line's headers, cookies, links, redirects, title and body."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        host = (self.headers["Host"] or "").partition(":")[0]
        if host == WITNESS:
            self._answer(200, b"<title>fine</title>", [])
            return
        texts = _for_headers()
        parts = list(_parts(texts, 3_000))
        step = int(self.path[2]) if self.path.startswith("/s") else 0
        if step < len(parts):
            query = "&".join(f"p{n}={quote(text, safe='%:[].')}" for n, text in enumerate(parts[step]))
            where = f"https://{NAMED}/s{step + 1}?{query}&mac=1E-2D-3E-4F-5A-6B&ssid=Mueller"
            told = [("Location", where), ("Link", f"<http://{IPV4}/>; rel=x"), ("Content-Location", f"/{IPV4}")]
            told += [("Set-Cookie", f"c{n}={text}; Path=/{text}") for n, text in enumerate(parts[step])]
            told += [(f"X-Said-{n}", f"for {text}.") for n, text in enumerate(parts[step])]
            self._answer(302, b"", [*told, ("X-Client-IP", IPV4), ("X-" + IPV4.replace(".", "-"), "1")])
            return
        said = [text for text in planted().values() if b"\0" not in text]
        title = b" ".join(text for text in said if not set(text) & set(b"<>\r\n"))
        body = b"<title>You " + title + b"</title>" + b"".join(b"<p>" + text + b"</p>\n" for text in planted().values())
        self._answer(200, body, [("Content-Type", "text/html; charset=latin-1")])

    def _answer(self, status: int, body: bytes, headers: list[tuple[str, str]]) -> None:
        self.send_response_only(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


class _Server(http.server.ThreadingHTTPServer):
    address_family = socket.AF_INET6
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        pass


class _Resolver(socketserver.BaseRequestHandler):
    """Says it in names, in answers and in extended errors."""

    asked = 0

    def handle(self) -> None:
        data, sock = self.request
        query = dns.message.from_wire(data)
        question = query.question[0]
        name = question.name.to_text(omit_final_dot=True).lower()
        reply = dns.message.make_response(query, recursion_available=True)
        told = list(_parts([text for text in _for_headers() if text.isascii()], 300))
        _Resolver.asked += 1
        reply.use_edns(
            0, options=[dns.edns.EDEOption(dns.edns.EDECode.FORGED_ANSWER, " ".join(told[_Resolver.asked % len(told)]))]
        )
        ours = {1: IPV4 if name == MINE else SERVER4, 28: IPV6 if name == MINE else SERVER6}
        if question.rdtype in ours:
            alias = f"{NAMED}."
            if name not in (NAMED, WITNESS):
                reply.answer.append(dns.rrset.from_text(question.name, 60, "IN", "CNAME", alias))
            owner = question.name.to_text() if name in (NAMED, WITNESS) else alias
            kind = "A" if question.rdtype == 1 else "AAAA"
            reply.answer.append(dns.rrset.from_text(owner, 60, "IN", kind, ours[question.rdtype]))
        sock.sendto(reply.to_wire(), self.client_address)


def _serve(folder: Path) -> int:
    authority = trustme.CA(organization_name=f"Box {IPV4}", organization_unit_name=NAMED)
    authority.cert_pem.write_to_path(folder / "ca.pem")
    leaf = authority.issue_cert(SITE, MINE, WITNESS, NAMED, IPV4, IPV6, common_name=f"seen {IPV4}")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    leaf.configure_cert(context)
    plain, secure = _Server(("::", 80), _Page), _Server(("::", 443), _Page)
    secure.socket = context.wrap_socket(secure.socket, server_side=True)
    resolver = socketserver.ThreadingUDPServer((SERVER4, 0), _Resolver)
    for server in (plain, secure, resolver):
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    port: int = resolver.server_address[1]
    return port


def _settings(folder: Path, port: int) -> None:
    (folder / "bogons.csv").write_text("prefix,why\n10.0.0.0/8,private\n")
    targets = ", ".join(f'"https://{name}/"' for name in (SITE, MINE))
    (folder / "wazi.toml").write_text(
        f"""[network]
resolver = "{SERVER4}:{port}"
trusted_resolvers = []
witnesses = ["{WITNESS}"]
ca_file = "ca.pem"
bogons = "bogons.csv"
ipv6 = true
dns_linger = "50ms"

[vantage]
country = "KE"
asn = 64500

[store]
url = "sqlite:///{folder}/wazi.db"

[[campaign]]
name = "main"
targets = [{targets}]
every = "3600s"
jitter = "0s"
"""
    )


def main() -> None:
    """Measure with `wazi run` and `wazi check`, and keep what they say in the folder."""
    folder = Path(sys.argv[1])
    subprocess.run(["sh", "-ec", SETUP + f"hostname {HOST}"], check=True)
    _settings(folder, _serve(folder))
    environment = {**os.environ, "HOME": str(folder), "PYTHONPATH": str(Path(__file__).resolve().parents[2])}

    def wazi(*arguments: str) -> list[str]:
        return [sys.executable, "-m", "probe.cli", "--config", str(folder / "wazi.toml"), *arguments]

    with (folder / "run.out").open("wb") as out, (folder / "run.err").open("wb") as err:
        run = subprocess.Popen(wazi("--verbose", "run"), cwd=folder, env=environment, stdout=out, stderr=err)
        end = time.monotonic() + 90
        while time.monotonic() < end and run.poll() is None:
            time.sleep(0.1)
            if (folder / "run.err").read_bytes().count(b'"verdict"') >= 2:
                break
        run.send_signal(signal.SIGINT)
        run.wait(60)
    with (folder / "check.out").open("wb") as out, (folder / "check.err").open("wb") as err:
        argv = wazi("check", "--json", "--bodies", f"https://{SITE}/")
        subprocess.run(argv, cwd=folder, env=environment, stdout=out, stderr=err, timeout=60, check=True)


if __name__ == "__main__":
    main()
