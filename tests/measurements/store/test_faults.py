"""What is acknowledged is kept: through kills, a full or failing disk, a server that goes away."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from subprocess import PIPE

import pytest

from measurements.evidence.checking import find_fault
from measurements.exports.judged import Judged
from measurements.keeping import Keeping, Terms, Tidied
from measurements.store import StoreError, open_store
from measurements.store.sqlite_file import BUSY_TIMEOUT
from tests.measurements.store import postgres
from tests.measurements.store.child import forked
from tests.measurements.store.samples import ACCESSIBLE, BLOCKED, measurement

CHILD = [sys.executable, "-m", "tests.measurements.store.child"]
OWN_MOUNTS = ["unshare", "-m"] if os.geteuid() == 0 else ["unshare", "-Urm"]
KILLS = int(os.environ.get("WAZI_TEST_KILLS", "12"))


def run(*arguments: str, before: Sequence[str] = ()) -> str:
    done = subprocess.run([*before, *CHILD, *arguments], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def in_small_disk(folder: Path, script: str, *arguments: str) -> str:
    """Run a shell script in a mount namespace of its own, where `folder` can be mounted on."""
    folder.mkdir(exist_ok=True)
    command = [*OWN_MOUNTS, "sh", "-ec", script, "sh", str(folder), *CHILD, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.timeout(600)
def test_kill_9_loses_nothing_that_was_acknowledged(url: str, path: Path) -> None:
    acknowledged: set[str] = set()
    chance = random.Random(2026)
    for n in range(KILLS):
        with forked("write", url) as (child, printed):
            if n and chance.random() < 0.8:  # in the middle of writing; otherwise while it starts, and first migrates
                acknowledged.update(printed.readline().strip() for _ in range(chance.randint(1, 20)))
            time.sleep(chance.uniform(0.0, 0.2))
            child.kill()
            lines = printed.read()
            child.join()
        acknowledged.update(line for line in lines.split("\n")[:-1])
        assert child.exitcode == -signal.SIGKILL
    assert "" not in acknowledged
    with open_store(url) as store:
        assert store.notices == ()
        kept = [kept.measurement.id for kept in store.evidence()]
        assert store.outcomes() == {BLOCKED.outcome: len(kept)}
        links, checkpoints = list(store.chains.links("probe")), list(store.chains.checkpoints("probe"))
        assert find_fault(links, checkpoints, store.chains.keys("probe")) is None
        assert sorted(link.measurement_id for link in links) == sorted(kept)
        assert checkpoints
    assert len(kept) == len(set(kept))
    assert acknowledged <= set(kept)
    assert len(acknowledged) > KILLS
    if url.startswith("sqlite"):
        with closing(sqlite3.connect(path)) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


def test_a_full_disk_is_said_and_passes_when_there_is_room(tmp_path: Path) -> None:
    script = 'mount -t tmpfs -o size=1m tmpfs "$1"; disk="$1"; shift; "$@" "$disk"'
    assert in_small_disk(tmp_path / "disk", script, "fill") == "ok\n"


def test_a_read_only_disk_is_said_and_can_be_read(tmp_path: Path) -> None:
    script = """
        mount -t tmpfs tmpfs "$1"; disk="$1"; shift
        "$1" "$2" "$3" keep-one "sqlite:///$disk/data/wazi.db"
        mount -o remount,ro "$disk"
        "$@" "$disk"
    """
    assert in_small_disk(tmp_path / "disk", script, "read-only") == "ok\n"


def test_a_failing_disk_stops_the_store_and_nothing_acknowledged_is_lost(path: Path) -> None:
    url = f"sqlite:///{path}"
    acknowledged = set(run("fail", url).split())
    assert acknowledged
    with open_store(url) as store:
        assert acknowledged <= {kept.measurement.id for kept in store.evidence()}
        store.add(measurement()).result(10)


def test_a_second_writer_is_refused_in_words_and_a_killed_one_leaves_no_lock(path: Path) -> None:
    url = f"sqlite:///{path}"
    with subprocess.Popen([*CHILD, "hold", url], stdin=PIPE, stdout=PIPE, text=True) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "open\n"
        begun = time.monotonic()
        link = path.parent.parent / "link"
        link.symlink_to(path.parent)
        for same in (url, f"sqlite:///{link}/wazi.db"):
            with pytest.raises(StoreError, match=rf"in use by another Wazi \(process {child.pid}\)"):
                open_store(same)
        assert time.monotonic() - begun < 5
        with open_store(url, read_only=True) as reader:
            assert reader.count() == 0
        child.kill()
    with open_store(url) as store:
        store.add(measurement()).result(10)


def test_two_that_start_at_once_make_the_tables_once(url: str) -> None:
    for _ in range(2):
        children = [subprocess.Popen([*CHILD, "hold", url], stdin=PIPE, stdout=PIPE, text=True) for _ in range(2)]
        said = sorted(child.stdout.readline() for child in children if child.stdout)
        for child in children:
            child.communicate(timeout=60)
        assert [child.returncode for child in children] == [0, 0]
        if url.startswith("sqlite"):
            assert said[0] == "open\n"
            assert "in use by another Wazi" in said[1]
        else:
            assert said == ["open\n", "open\n"]
    with open_store(url, read_only=True) as store:
        assert store.count() == (2 if url.startswith("sqlite") else 4)


@pytest.mark.postgres
def test_a_server_that_crashes_and_returns_loses_and_repeats_nothing(postgres_server: postgres.Server) -> None:
    url = postgres_server.new_database()
    acknowledged: set[str] = set()
    stop = threading.Event()
    with open_store(url) as store:

        def write() -> None:
            sequence = 0
            while not stop.is_set():
                sequence += 1
                facts = [measurement(sequence) for _ in range(20)]
                for fact, receipt in [(fact, store.add(fact, BLOCKED)) for fact in facts]:
                    if receipt.exception(30) is None:
                        acknowledged.add(fact.id)

        writer = threading.Thread(target=write)
        writer.start()
        try:
            for _ in range(3):
                time.sleep(0.3)
                postgres_server.stop_at_once()
                postgres_server.start()
        finally:
            time.sleep(0.3)
            stop.set()
            writer.join()
        kept = [entry.id for entry in store.measurements()]
        assert store.health().trouble is None
    assert len(kept) == len(set(kept))
    assert acknowledged <= set(kept)
    assert len(acknowledged) > 100


@pytest.mark.postgres
def test_a_server_that_stays_away_is_said_and_forgiven(postgres_server: postgres.Server) -> None:
    url = postgres_server.new_database()
    with open_store(url) as store:
        postgres_server.stop_at_once()
        try:
            error = store.add(measurement(1)).exception(30)
            begun = time.monotonic()
            second = store.add(measurement(2)).exception(30)  # patience is for the first only
            assert time.monotonic() - begun < 2
            with pytest.raises(StoreError, match="does not answer"):
                store.count()
        finally:
            postgres_server.start()
        assert "does not answer" in str(error)
        assert "does not answer" in str(second)
        store.add(measurement(3)).result(30)
        assert [entry.sequence for entry in store.measurements()] == [3]


def test_measurements_and_tidying_outlast_a_long_transaction_of_ours(path: Path) -> None:
    """If events and news take longer to be stored than SQLite waits for a lock, the others wait and lose nothing."""
    with open_store(f"sqlite:///{path}") as store, ThreadPoolExecutor(1) as beside:
        store.add(measurement(1)).result(10.0)
        keeping = Keeping(store, Terms(keep=86_400.0), lambda kept: Judged(kept.measurement, BLOCKED))
        with store.ledger.turn("test"):
            receipt = store.add(measurement(2, started=time.time()), ACCESSIBLE)
            tidied = beside.submit(keeping.tidy)
            time.sleep(BUSY_TIMEOUT + 1.5)
        receipt.result(10.0)
        assert tidied.result(10.0) == Tidied(measurements=1)
