"""The care of an SQLite file: where it is, who may write it, whether it is sound.

One process writes a file, and holds an exclusive `flock` on the `.lock` file beside it for as long as it
lives. The kernel lets go of it when the process ends, however it ends, so a lock is never stale. Readers
take no lock.

A damaged file is never deleted: it is renamed with the time, together with its -wal (which may hold the
newest rows) and -shm, so that `sqlite3 NAME .recover` works on it later. A file that was never ours is
left where it is and refused: the `.lock` file beside a file, or its application id, says that it is ours.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

from measurements.store import tables
from measurements.store.errors import StoreError, is_damage, sqlite_code

CHECK_TIME = 10.0  # seconds that the check at the start may take; it runs as fast as the disk reads
BUSY_TIMEOUT = 5.0

INCREMENTAL = 2
_MAGIC = b"SQLite format 3\0"


class Lock:
    """The right to write one SQLite file."""

    def __init__(self, path: Path) -> None:
        """Take it; raises StoreError at once when another process holds it."""
        self.path = _beside(path, ".lock")
        self._fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(self._fd, 32, 0).decode("ascii", "replace").strip()
            os.close(self._fd)
            raise StoreError(
                f"the store {path} is in use by another Wazi{f' (process {holder})' if holder else ''}. "
                "Stop that one first, or give this one a store of its own in [store] url (WAZI_STORE__URL)."
            ) from None
        except OSError as error:
            os.close(self._fd)
            raise StoreError(
                f"the folder of the store {path} cannot lock files ({error.strerror}). "
                "Keep the store on a local disk: set [store] url (WAZI_STORE__URL)."
            ) from error
        with suppress(OSError):  # only a help for people; a full disk may refuse it
            os.ftruncate(self._fd, 0)
            os.pwrite(self._fd, f"{os.getpid()}\n".encode(), 0)

    def release(self) -> None:
        """Let go of it. The file stays: removing it would let two processes lock two files of one name."""
        os.close(self._fd)


def prepare(path: Path) -> Lock:
    """Make the folder and the file where needed, take the lock; raises StoreError in words.

    A file that is no SQLite database is refused untouched, unless it was ours before (`set_aside` is
    then what it needs).
    """
    try:
        if not path.parent.is_dir():
            path.parent.mkdir(mode=0o700, parents=True)
        refuse_foreign(path)
        lock = Lock(path)
        try:
            _create(path)
        except OSError:
            lock.release()
            raise
    except OSError as error:
        raise StoreError(
            f"the store {path} cannot be written: {error.strerror}. Give this user the right to write in "
            f"{path.parent}, or name another place in [store] url (WAZI_STORE__URL)."
        ) from error
    return lock


def refuse_foreign(path: Path) -> None:
    """Raise StoreError when there is something at `path` that was never a store of ours."""
    if not path.exists():
        return
    if not path.is_file():
        raise StoreError(f"the store {path} is not a file. Name a file in [store] url (WAZI_STORE__URL).")
    with path.open("rb") as file:
        start = file.read(len(_MAGIC))
    if start and start != _MAGIC and not _beside(path, ".lock").exists():
        raise StoreError(
            f"{path} is not an SQLite database, and Wazi did not make it, so it was left alone. "
            "Name another file in [store] url (WAZI_STORE__URL)."
        )


def find_damage(path: Path) -> str | None:
    """Look through the file for at most `CHECK_TIME` seconds; return what is wrong with it, or None.

    Raises StoreError when it is a sound database of another program, sqlite3.Error when it cannot be read.
    """
    wal = _beside(path, "-wal")
    if path.stat().st_size == 0:  # SQLite would take it for a new file, and delete the -wal
        return "it is empty, yet its -wal is not" if wal.exists() and wal.stat().st_size else None
    try:
        # Read-only, so that closing does not write the -wal into a damaged file.
        name = f"file:{quote(str(path))}?mode=ro"
        with closing(sqlite3.connect(name, uri=True, timeout=BUSY_TIMEOUT)) as connection:
            application = connection.execute("PRAGMA application_id").fetchone()[0]
            names = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
            if application != tables.APPLICATION_ID and names and not names.issuperset(tables.metadata.tables):
                raise StoreError(
                    f"{path} is an SQLite database of another program, so it was left alone. "
                    "Name another file in [store] url (WAZI_STORE__URL)."
                )
            with _at_most(CHECK_TIME, connection):
                answer: str = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
            return None if answer == "ok" else answer.splitlines()[-1]
    except sqlite3.OperationalError as error:
        if sqlite_code(error) == sqlite3.SQLITE_INTERRUPT:
            return None  # too large to look through at every start; its pages are still checked when read
        raise
    except (sqlite3.DatabaseError, UnicodeDecodeError) as error:
        if is_damage(error):
            return str(error)
        raise


@contextmanager
def _at_most(seconds: float, connection: sqlite3.Connection) -> Iterator[None]:
    """Interrupt what the connection does after some seconds."""
    timer = threading.Timer(seconds, connection.interrupt)
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()


def set_aside(path: Path) -> Path:
    """Rename a damaged file with its -wal and -shm, start an empty one, and return the new name."""
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    aside = _beside(path, f".damaged-{stamp}")
    count = 1
    while aside.exists():
        count += 1
        aside = _beside(path, f".damaged-{stamp}-{count}")
    for suffix in ("-wal", "-shm", ""):  # the file last: a crash between leaves it in place, still damaged
        with suppress(FileNotFoundError):
            _beside(path, suffix).rename(_beside(aside, suffix))
    _create(path)
    return aside


def make_shrinkable(path: Path, most: float = float("inf")) -> bool:
    """Rewrite the file so that it can give space back, which files of older versions cannot; tell whether it can now.

    It is left as it is when it is larger than `most` bytes, or the disk has no room for two more of it.
    """
    with closing(sqlite3.connect(path, timeout=BUSY_TIMEOUT, isolation_level=None)) as connection:
        if connection.execute("PRAGMA auto_vacuum").fetchone()[0] == INCREMENTAL:
            return True
        size = path.stat().st_size
        if size > most or shutil.disk_usage(path.parent).free < 2.2 * size:
            return False
        connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
        connection.execute("VACUUM")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return True


def _create(path: Path) -> None:
    """Make an empty file that only its owner may read (SQLite gives -wal and -shm the same mode)."""
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)  # or the name may be lost with the power
    finally:
        os.close(folder)


def _beside(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)
