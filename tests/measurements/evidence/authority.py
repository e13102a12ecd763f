"""A time-stamping authority: OpenSSL's own (`openssl ts`), with a root of its own, and a server before it."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

_CONFIG = """
[tsa]
default_tsa = it
[it]
serial = {folder}/serial
signer_cert = {folder}/tsa.pem
signer_key = {folder}/tsa.key
signer_digest = sha256
default_policy = 1.2.3.4.1
digests = sha256
accuracy = secs:1
ess_cert_id_alg = sha256
[root]
basicConstraints = critical,CA:TRUE
keyUsage = critical,keyCertSign
[leaf]
basicConstraints = CA:FALSE
keyUsage = critical,digitalSignature
extendedKeyUsage = critical,timeStamping
[req]
distinguished_name = name
[name]
"""


@dataclass(frozen=True, slots=True)
class Authority:
    """Answers questions for stamps; `root` is its root in PEM."""

    folder: Path

    @property
    def root(self) -> bytes:
        return (self.folder / "root.pem").read_bytes()

    def answer(self, question: bytes) -> bytes:
        """Stamp."""
        asked, given = self.folder / f"{time.monotonic_ns()}.tsq", self.folder / f"{time.monotonic_ns()}.tsr"
        asked.write_bytes(question)
        openssl("ts", "-reply", "-config", self.folder / "tsa.conf", "-queryfile", asked, "-out", given)
        return given.read_bytes()


def openssl(*arguments: str | Path) -> bytes:
    ran = subprocess.run(["openssl", *map(str, arguments)], capture_output=True, check=True, timeout=30)
    return ran.stdout + ran.stderr


def make(folder: Path, name: str = "Authority") -> Authority:
    """Found an authority."""
    folder.mkdir()
    config = folder / "tsa.conf"
    config.write_text(_CONFIG.format(folder=folder))
    (folder / "serial").write_text("01\n")
    for which in ("root", "tsa"):
        openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", folder / f"{which}.key")
    common = ("-config", config, "-days", "30")
    root, leaf = ((folder / f"{which}.key", "-out", folder / f"{which}.pem") for which in ("root", "tsa"))
    issuer = ("-CA", folder / "root.pem", "-CAkey", folder / "root.key")
    openssl("req", "-x509", "-key", *root, "-subj", f"/CN={name} Root", "-extensions", "root", *common)
    openssl("req", "-x509", "-key", *leaf, "-subj", f"/CN={name}", "-extensions", "leaf", *issuer, *common)
    return Authority(folder)


@contextmanager
def serving(answer: Callable[[bytes], tuple[int, list[bytes], float]]) -> Iterator[str]:
    """Serve at a URL; `answer` gives the status, the pieces of the body, and the pause before each."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            question = self.rfile.read(int(self.headers["Content-Length"]))
            assert self.headers["Content-Type"] == "application/timestamp-query"
            status, pieces, pause = answer(question)
            self.send_response(status)
            self.send_header("Content-Type", "application/timestamp-reply")
            self.end_headers()
            with suppress(BrokenPipeError, ConnectionResetError):
                for piece in pieces:
                    time.sleep(pause)
                    self.wfile.write(piece)

        def log_message(self, format: str, *args: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/tsr"
        finally:
            server.shutdown()
            thread.join()
