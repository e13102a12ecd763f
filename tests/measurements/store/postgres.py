"""A real PostgreSQL in a temporary folder, on a Unix socket: started for the tests and ended with them."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg

NOBODY = 65534


@dataclass(frozen=True)
class Server:
    folder: Path
    programs: Path
    prefix: tuple[str, ...]

    def url(self, database: str) -> str:
        return f"postgresql://probe@/{database}?host={self.folder}"

    def new_database(self) -> str:
        """Make an empty database and return its URL."""
        name = f"wazi_{uuid.uuid4().hex}"
        self.sql("postgres", f"CREATE DATABASE {name}")
        return self.url(name)

    def sql(self, database: str, statement: str) -> None:
        with psycopg.connect(self.url(database), autocommit=True) as connection:
            connection.execute(statement)

    def start(self) -> None:
        options = f"-k {self.folder} -c listen_addresses='' -c max_connections=50 -c fsync=off"  # no power is cut here
        self._control("start", "-w", "-l", str(self.folder / "log"), "-o", options)

    def stop_at_once(self) -> None:
        """Stop without a checkpoint, as a crash does: the next start recovers from the log."""
        self._control("stop", "-m", "immediate")

    def _control(self, *arguments: str) -> None:
        command = [*self.prefix, str(self.programs / "pg_ctl"), "-D", str(self.folder / "data"), *arguments]
        subprocess.run(command, check=True, cwd=self.folder, stdout=subprocess.DEVNULL)


@contextmanager
def server() -> Iterator[Server]:
    """Start one, and remove it afterwards."""
    programs = max(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))
    folder = Path(tempfile.mkdtemp(prefix="wazi-pg-", dir="/tmp"))  # a socket's path must be short
    prefix: tuple[str, ...] = ()
    if os.geteuid() == 0:  # PostgreSQL refuses to run as root
        os.chown(folder, NOBODY, NOBODY)
        prefix = ("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups")
    it = Server(folder, programs, prefix)
    data = str(folder / "data")
    initdb = [*prefix, str(programs / "initdb"), "-D", data, "-U", "probe", "-A", "trust", "--no-sync", "-E", "UTF8"]
    try:
        subprocess.run(initdb, check=True, cwd=folder, stdout=subprocess.DEVNULL)
        it.start()
        yield it
    finally:
        if (folder / "data" / "postmaster.pid").exists():
            it.stop_at_once()
        shutil.rmtree(folder)
