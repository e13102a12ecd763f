"""What is found at the URL: nothing, a store, a damaged one, another program's file."""

from __future__ import annotations

import os
import random
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest

from measurements.model import Measurement
from measurements.store import Store, StoreError, open_store, tables, upgrade
from tests.measurements.store import postgres
from tests.measurements.store.samples import BLOCKED, measurement

ROWS = 60
FLIPS = int(os.environ.get("WAZI_TEST_FLIPS", "40"))


def filled(path: Path) -> str:
    """Make a store with some measurements and close it."""
    url = f"sqlite:///{path}"
    with open_store(url) as store:
        for n in range(ROWS):
            store.add(measurement(n, id=f"{n:032x}", body=random.Random(n).randbytes(3000)), BLOCKED)
    return url


def aside(path: Path) -> list[Path]:
    return sorted(path.parent.glob(f"{path.name}.damaged-*"))


def test_the_folder_and_the_files_are_for_their_owner_only(path: Path) -> None:
    with open_store(f"sqlite:///{path}") as store:
        store.add(measurement()).result(10)
        assert path.parent.stat().st_mode & 0o777 == 0o700
        files = list(path.parent.iterdir())
        assert {file.name for file in files} == {"wazi.db", "wazi.db-wal", "wazi.db-shm", "wazi.db.lock"}
        assert {file.stat().st_mode & 0o777 for file in files} == {0o600}


def test_sqlite_is_durable_at_every_commit(path: Path) -> None:
    with open_store(f"sqlite:///{path}") as store, store._engine.connect() as connection:
        for pragma, value in [("journal_mode", "wal"), ("synchronous", 2), ("foreign_keys", 1), ("busy_timeout", 5000)]:
            assert connection.exec_driver_sql(f"PRAGMA {pragma}").scalar_one() == value


def test_opening_a_store_writes_nothing_to_it(path: Path) -> None:
    with open_store(f"sqlite:///{path}"):
        pass
    before = path.read_bytes(), path.stat().st_mtime_ns
    with open_store(f"sqlite:///{path}") as store:
        assert store.count() == 0
        assert path.with_name("wazi.db-wal").stat().st_size == 0
    assert (path.read_bytes(), path.stat().st_mtime_ns) == before


def test_upgrade_tells_the_versions(url: str) -> None:
    assert upgrade(url) == (None, tables.HEAD)
    assert upgrade(url) == (tables.HEAD, tables.HEAD)


@pytest.mark.parametrize(
    "bad", ["", "wazi.db", "mysql://user:secret@host/db", "sqlite://", "sqlite:///:memory:", "http://secret@"]
)
def test_a_wrong_url_is_refused_in_words_without_repeating_it(bad: str) -> None:
    with pytest.raises(StoreError, match="WAZI_STORE__URL") as caught:
        open_store(bad)
    assert "secret" not in str(caught.value)


def test_a_reader_of_nothing_is_told_so_and_makes_nothing(path: Path) -> None:
    with pytest.raises(StoreError, match="there is no store"):
        open_store(f"sqlite:///{path}", read_only=True)
    assert not path.parent.exists()


def test_a_file_that_is_no_database_is_refused_untouched(path: Path) -> None:
    path.parent.mkdir()
    path.write_text("My thesis, the only copy.")
    for read_only in (False, True, False):
        with pytest.raises(StoreError, match="not an SQLite database"):
            open_store(f"sqlite:///{path}", read_only=read_only)
    assert path.read_text() == "My thesis, the only copy."
    assert list(path.parent.iterdir()) == [path]


def test_a_database_of_another_program_is_refused_untouched(path: Path) -> None:
    path.parent.mkdir()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE measurement (song TEXT)")
    before = path.read_bytes()
    with pytest.raises(StoreError, match="another program"):
        open_store(f"sqlite:///{path}")
    assert path.read_bytes() == before


def test_a_folder_in_its_place_is_refused(path: Path) -> None:
    path.mkdir(parents=True)
    with pytest.raises(StoreError, match="not a file"):
        open_store(f"sqlite:///{path}")


def zero_first_page(data: bytearray) -> None:
    data[:4096] = bytes(4096)


def zero_middle_pages(data: bytearray) -> None:
    for page in range(2, 40):
        data[page * 4096 : page * 4096 + 4096] = bytes(4096)


def cut_in_half(data: bytearray) -> None:
    del data[len(data) // 2 :]


def cut_to_a_stump(data: bytearray) -> None:
    del data[50:]


def noise(data: bytearray) -> None:
    data[:] = random.Random(7).randbytes(len(data))


def wrong_header(data: bytearray) -> None:
    data[0:16] = b"SQLite format 9\0"


DAMAGES = [zero_first_page, zero_middle_pages, cut_in_half, cut_to_a_stump, noise, wrong_header]


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_is_set_aside_whole_and_a_fresh_one_started(
    path: Path, damage: Callable[[bytearray], None], caplog: pytest.LogCaptureFixture
) -> None:
    url = filled(path)
    data = bytearray(path.read_bytes())
    damage(data)
    path.write_bytes(data)
    with pytest.raises(StoreError, match="damaged"), open_store(url, read_only=True) as reader:
        list(reader.evidence())
    assert path.read_bytes() == bytes(data)  # a reader changes nothing
    with open_store(url) as store:
        (kept,) = [file for file in aside(path) if not file.name.endswith(("-wal", "-shm"))]
        (notice,) = store.notices
        assert str(path) in notice
        assert str(kept) in notice
        assert "nothing was deleted" in notice
        assert notice in caplog.text
        assert kept.read_bytes() == bytes(data)
        assert store.count() == 0
        store.add(measurement()).result(10)
    with open_store(url) as store:
        assert (store.notices, store.count()) == ((), 1)


def test_the_newest_rows_in_the_wal_are_set_aside_too(path: Path, tmp_path: Path) -> None:
    url = f"sqlite:///{path}"
    with open_store(url) as store:
        store.add(measurement()).result(10)
        crashed = tmp_path / "crashed"
        shutil.copytree(path.parent, crashed)  # as a kill would leave it
    copy = crashed / path.name
    wal = (crashed / "wazi.db-wal").read_bytes()
    assert len(wal) > 10_000
    with open_store(f"sqlite:///{copy}") as store:
        assert (store.notices, store.count()) == ((), 1)
    for damaged in (b"", b"SQLite format 3\0" + bytes(8000)):
        copy.write_bytes(damaged)
        (crashed / "wazi.db-wal").write_bytes(wal)
        with open_store(f"sqlite:///{copy}") as store:
            assert len(store.notices) == (1 if not damaged or store.count() == 0 else 0)
        if store.notices:
            newest = max(aside(copy), key=lambda file: (len(file.name.removesuffix("-wal")), file.name))
            assert newest.name.endswith("-wal")
            assert newest.read_bytes() == wal


def readable(store: Store) -> Iterator[Measurement]:
    with suppress(StoreError):  # damage that only shows when read is said, not passed on
        for kept in store.evidence():
            yield kept.measurement


def test_flipped_bytes_never_stop_it_and_never_give_a_wrong_fact(path: Path) -> None:
    url = filled(path)
    sound = path.read_bytes()
    chance = random.Random(14)
    truth = {f"{n:032x}": measurement(n, id=f"{n:032x}", body=random.Random(n).randbytes(3000)) for n in range(ROWS)}
    noticed = 0
    for _ in range(FLIPS):
        data = bytearray(sound)
        for _ in range(chance.choice([1, 1, 4, 64])):
            data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
        path.write_bytes(data)
        with open_store(url) as store:
            if store.notices:
                noticed += 1
                (kept,) = [file for file in aside(path) if not file.name.endswith(("-wal", "-shm"))]
                assert kept.read_bytes() == bytes(data)
            else:
                for fact in readable(store):
                    pages = [getattr(step, "body", None) for step in fact.observations]
                    assert fact == truth[fact.id] or b"" in pages
            store.add(measurement(1000)).exception(10)  # it may find the damage, but it answers
        for file in aside(path):
            file.unlink()
    assert noticed > 3


@pytest.mark.postgres
def test_a_server_that_does_not_answer_is_said_without_the_password(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="does not answer") as caught:
        open_store(f"postgresql://probe:hunter2@/wazi?host={tmp_path}")
    assert "hunter2" not in str(caught.value)
    assert "probe" in str(caught.value)


@pytest.mark.postgres
def test_a_role_without_rights_is_said(postgres_server: postgres.Server) -> None:
    url = postgres_server.new_database()
    name = url.split("/")[3].split("?")[0]
    postgres_server.sql(name, f"CREATE ROLE {name} LOGIN")
    with pytest.raises(StoreError, match="cannot be written"):
        open_store(url.replace("probe@", f"{name}@"))
