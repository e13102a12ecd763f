"""A process of its own for the tests of faults: `python -m tests.measurements.store.child WHAT …`.

It prints what it is told has been stored, line by line, so that whoever kills it knows what to expect. Where it is
killed again and again it is `forked` from a process that has imported everything: importing takes longest, and a kill
that comes then shows nothing.
"""

from __future__ import annotations

import itertools
import multiprocessing
import os
import random
import resource
import secrets
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import TextIO

import pytest

from measurements.events.nouns import Settings
from measurements.standing import Standing
from measurements.store import StoreBroken, StoreError, StoreFull, open_store
from tests.measurements.evidence.chains import Pen
from tests.measurements.store.samples import ACCESSIBLE, BLOCKED, START, measurement


def say(line: str) -> None:
    os.write(1, f"{line}\n".encode())


def write(url: str) -> None:
    """Write and sign until killed; print the id of everything that was acknowledged."""
    pen, signed = Pen(random.Random(9)), None
    with open_store(url) as store:
        for n in itertools.count(store.next_sequence("probe")):
            group = [measurement(n, body=secrets.token_bytes(3000)) for _ in range(n % 7 + 1)]
            for fact, receipt in [(fact, store.add(fact, BLOCKED)) for fact in group]:
                receipt.result(30)
                say(fact.id)
            if n % 3 == 0:
                signed = store.chains.sign("probe", pen, time.time(), remembered=signed).checkpoint


def count(url: str) -> None:
    """Measure hour after hour, in a block every sixteen hours, and count the votes, until killed."""
    settings = Settings(volume_per_week=2000.0, fixed_volume=True)
    with open_store(url) as store:
        standing = Standing(store.ledger, settings, now=lambda: time.time() + 120.0 * os.getpid())
        for hour in itertools.count(store.count()):
            fact = measurement(hour, started=START + hour * 3600.0)
            store.add(fact, BLOCKED if hour % 16 >= 10 else ACCESSIBLE).result(30)
            standing.catch_up(1 + hour % 3)
            say(fact.id)


def hold(url: str) -> None:
    """Open, hold until standard input ends, and print what happened."""
    try:
        with open_store(url) as store:
            say("open")
            sys.stdin.read()
            store.add(measurement()).result(10)
    except StoreError as error:
        say(str(error))


def fill(folder: str) -> None:
    """Fill the small disk under `folder`, make room, go on; then a disk that is full from the start."""
    url = f"sqlite:///{folder}/data/wazi.db"
    ballast = Path(folder, "ballast")
    ballast.write_bytes(bytes(300_000))
    stored: list[str] = []
    with open_store(url) as store:
        error: StoreError | None = None
        while error is None:
            fact = measurement(len(stored), body=secrets.token_bytes(6000))
            error = store.add(fact).exception(10)
            if error is None:
                stored.append(fact.id)
        assert isinstance(error, StoreFull), repr(error)
        assert f"{folder}/data/wazi.db" in str(error)
        assert "no space" in str(error)
        assert store.health().trouble == str(error)
        assert {kept.measurement.id for kept in store.evidence()} == set(stored)
        ballast.unlink()
        fact = measurement(len(stored), body=secrets.token_bytes(6000))
        store.add(fact).result(10)
        stored.append(fact.id)
        assert store.health().trouble is None
    with open_store(url) as store:
        assert store.notices == ()
        assert {kept.measurement.id for kept in store.evidence()} == set(stored)
    shutil.rmtree(Path(folder, "data"))  # or little would be left of the disk for a second store
    fresh = f"sqlite:///{folder}/fresh/wazi.db"
    try:
        with ballast.open("wb", buffering=0) as file:
            while True:
                file.write(bytes(512))
    except OSError:
        pass
    with pytest.raises(StoreError, match="space"):
        open_store(fresh)
    ballast.unlink()
    with open_store(fresh) as store:
        store.add(measurement()).result(10)
    say("ok")


def read_only(folder: str) -> None:
    """Open a store on a disk that was mounted for reading only."""
    url = f"sqlite:///{folder}/data/wazi.db"
    for bad in (url, f"sqlite:///{folder}/new/wazi.db", f"sqlite:///{folder}/new.db"):
        with pytest.raises(StoreError, match=f"{folder}.* cannot be written.*WAZI_STORE__URL"):
            open_store(bad)
    with open_store(url, read_only=True) as store:
        assert store.count() == 1
        assert next(store.evidence()).verdict == BLOCKED
    say("ok")


def keep_one(url: str) -> None:
    """Store one measurement."""
    with open_store(url) as store:
        store.add(measurement(), BLOCKED).result(10)


def fail(url: str) -> None:
    """Write until the disk fails: no file of this process may grow beyond some size."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, 400_000))  # the kernel then answers EFBIG
    with open_store(url) as store:
        for n in itertools.count(1):
            fact = measurement(n, body=secrets.token_bytes(6000))
            error = store.add(fact).exception(10)
            if error is not None:
                break
            say(fact.id)
        assert isinstance(error, StoreBroken), repr(error)
        assert "the disk failed" in str(error)
        resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, 400_000))
        again = store.add(measurement(1, body=b"small")).exception(10)
        assert again is error  # refused without touching the disk


COMMANDS: dict[str, Callable[[str], None]] = {
    "write": write,
    "count": count,
    "hold": hold,
    "fill": fill,
    "read-only": read_only,
    "keep-one": keep_one,
    "fail": fail,
}


@contextmanager
def forked(what: str, url: str) -> Iterator[tuple[BaseProcess, TextIO]]:
    """Run one of `COMMANDS`; give the process and what it prints. It is killed at the end of the block."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    ours, its = context.Pipe(duplex=False)
    process = context.Process(target=_printing_to, args=(its, what, url))
    process.start()
    its.close()
    with ours, open(ours.fileno(), closefd=False) as printed:
        try:
            yield process, printed
        finally:
            process.kill()
            process.join()


def _printing_to(pipe: Connection, what: str, url: str) -> None:
    os.dup2(pipe.fileno(), 1)
    pipe.close()
    COMMANDS[what](url)


if __name__ == "__main__":
    COMMANDS[sys.argv[1]](sys.argv[2])
