"""What a probe measures is signed while it runs; a store that was put back, and a key that was lost, are noticed."""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from measurements.evidence.chain import read_note, strangers
from measurements.evidence.checking import find_fault
from measurements.store import Store, open_store
from probe import keys
from probe.cli import app
from probe.commands.chaining import Verified, verify_chain
from probe.commands.console import Refusal
from probe.identity import IdentityError
from probe.keys import load_signing_key, replace_signing_key
from probe.signing import NAME, Notary, signing
from tests.measurements.store.samples import ACCESSIBLE, START, measurement
from tests.probe.desk import Desk

PROBE = "probe"


def notary(store: Store, folder: Path) -> Notary:
    return Notary(store.chains, folder, PROBE, now=lambda: START)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with open_store(f"sqlite:///{tmp_path}/wazi.db") as opened:
        yield opened


def add(store: Store, *numbers: int) -> None:
    for number in numbers:
        store.add(measurement(number), ACCESSIBLE).result(10)


def fits(store: Store) -> bool:
    chains = store.chains
    return find_fault(chains.links(PROBE), chains.checkpoints(PROBE), chains.keys(PROBE)) is None


def test_it_signs_at_the_start_while_it_goes_on_and_at_the_end(store: Store, tmp_path: Path) -> None:
    add(store, 1)
    with signing(notary(store, tmp_path), lambda: store.flush(10), pause=0.05):
        assert [one.sequence for one in store.chains.checkpoints(PROBE)] == [1]
        add(store, 2)
        end = time.monotonic() + 10
        while len(list(store.chains.checkpoints(PROBE))) < 2 and time.monotonic() < end:
            time.sleep(0.02)
        store.add(measurement(3), ACCESSIBLE)
    assert [one.sequence for one in store.chains.checkpoints(PROBE)] == [1, 2, 3]
    assert (tmp_path / NAME).stat().st_mode & 0o777 == 0o600
    assert fits(store)


def test_nothing_is_signed_twice(store: Store, tmp_path: Path) -> None:
    one = notary(store, tmp_path)
    assert one.sign() is None
    add(store, 1, 2)
    first = one.sign()
    assert first is not None
    assert one.sign() == first == notary(store, tmp_path).sign()
    assert len(list(store.chains.checkpoints(PROBE))) == 1


def test_an_older_copy_of_the_store_is_noticed(tmp_path: Path) -> None:
    url, file = f"sqlite:///{tmp_path}/wazi.db", tmp_path / "wazi.db"
    with open_store(url) as store:
        add(store, 1, 2)
        notary(store, tmp_path).sign()
    shutil.copy(file, tmp_path / "backup")
    with open_store(url) as store:
        add(store, 3, 4, 5)
        notary(store, tmp_path).sign()
    shutil.copy(tmp_path / "backup", file)
    with open_store(url) as store, capture_logs() as logged:
        signed = notary(store, tmp_path).sign()
        assert "an older copy" in logged[-1]["why"]
        note = store.chains.notes(PROBE)[-1]
        said = read_note(note)
        assert said is not None
        assert (said["wazi"], said["sequence"], said["first"], said["last"]) == ("fork 1", 5, 3, 6)
        assert signed is not None
        assert signed.sequence == 6
        assert store.next_sequence(PROBE) == 7
        assert fits(store)
        del logged[:]
        notary(store, tmp_path).sign()
        assert logged == []


def test_another_store_goes_on_behind_what_was_signed(tmp_path: Path) -> None:
    with open_store(f"sqlite:///{tmp_path}/wazi.db") as store:
        add(store, 1, 2)
        notary(store, tmp_path).sign()
    with open_store(f"sqlite:///{tmp_path}/other.db") as store:
        signed = notary(store, tmp_path).sign()
        assert signed is not None
        assert signed.sequence == 3
        add(store, store.next_sequence(PROBE))
        assert [link.sequence for link in store.chains.links(PROBE)] == [3, 4]
        assert fits(store)


def test_a_damaged_memory_is_said_and_made_anew(store: Store, tmp_path: Path) -> None:
    add(store, 1)
    notary(store, tmp_path).sign()
    (tmp_path / NAME).write_text("{")
    with capture_logs() as logged:
        assert notary(store, tmp_path).sign() is not None
    assert "is damaged" in logged[0]["why"]
    assert json.loads((tmp_path / NAME).read_text())["sequence"] == 1


def test_a_replaced_key_signs_from_the_next_checkpoint_on(store: Store, tmp_path: Path) -> None:
    running = notary(store, tmp_path)
    add(store, 1)
    running.sign()
    old, new = replace_signing_key(tmp_path, START)
    replace_signing_key(tmp_path, START)
    signed = running.sign()
    known = store.chains.keys(PROBE)
    assert signed is not None
    assert signed.key_id == load_signing_key(tmp_path).public.key_id
    assert known == load_signing_key(tmp_path).history
    assert known.keys[:2] == (old.public, new.public)
    assert strangers(known) == ()
    assert fits(store)


def test_a_lost_key_is_told(store: Store, tmp_path: Path) -> None:
    running = notary(store, tmp_path)
    add(store, 1)
    running.sign()
    (tmp_path / keys.NAME).unlink()
    add(store, 2)
    with capture_logs() as logged:
        assert running.sign() is None  # not replaced in silence
        assert "is gone" in logged[0]["why"]
        assert notary(store, tmp_path).sign() is not None
        assert logged[-1]["event"] == "the signing key is a new one"
    assert len(strangers(store.chains.keys(PROBE))) == 1
    assert "no earlier key handed over" in verify_chain(store, PROBE).remarks[0]


def test_a_damaged_key_stops_the_start(store: Store, tmp_path: Path) -> None:
    load_signing_key(tmp_path)
    (tmp_path / keys.NAME).write_text("")
    with pytest.raises(IdentityError, match="put the old file back"):
        notary(store, tmp_path)


def test_a_store_that_fails_does_not_end_it(tmp_path: Path) -> None:
    with open_store(f"sqlite:///{tmp_path}/wazi.db") as store:
        add(store, 1)
    with open_store(f"sqlite:///{tmp_path}/wazi.db", read_only=True) as reader, capture_logs() as logged:
        assert notary(reader, tmp_path).sign() is None
    assert logged[0]["event"] == "what was measured could not be signed"


# The commands


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    made = Desk(tmp_path)
    made.fill((measurement(number, id=f"{number:032x}"), ACCESSIBLE) for number in range(1, 8))
    with made.store() as store:
        notary(store, tmp_path).sign()
    return made


def meddle(desk: Desk, *statements: str) -> None:
    with closing(sqlite3.connect(desk.folder / "wazi.db", isolation_level=None)) as connection:
        for statement in statements:
            connection.execute(statement)


def said(desk: Desk, *arguments: str, code: int = 0) -> str:
    """Run a command in this process, and return what it printed, or why it refused."""
    printed = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
        try:
            found = int(app(["--config", str(desk.config), *arguments], standalone_mode=False) or 0)
        except Refusal as refusal:
            found = refusal.code
            print(refusal)
    printed.flush()
    printed.seek(0)
    text = printed.read()
    assert found == code, text
    return text


def test_the_commands_tell_of_the_chain_and_the_key(desk: Desk) -> None:
    key = load_signing_key(desk.folder).public.key_id
    assert f"chain    7 of probe probe; signed up to 7 at 2026-09-21 14:13 UTC with key {key[:16]}" in said(
        desk, "status"
    )
    chain: dict[str, Any] = json.loads(said(desk, "status", "--json"))["chains"][0]
    assert (chain["sequence"], chain["signed"], chain["key_id"], chain["notes"]) == (7, 7, key, [])
    assert "7 links, 7 with their measurement" in said(desk, "store", "verify")
    found = json.loads(said(desk, "store", "verify", "--json"))
    assert (found["links"], found["kept"], found["dropped"], found["signed"], found["fault"]) == (7, 7, 0, 7, None)


def verified(desk: Desk) -> Verified:
    with open_store(f"sqlite:///{desk.folder}/wazi.db", read_only=True) as store:
        return verify_chain(store, PROBE)


@pytest.mark.parametrize(
    ("statement", "kind", "sequence"),
    [
        ("UPDATE measurement SET digest = zeroblob(32) WHERE sequence = 3", "changed", 3),
        ("UPDATE measurement SET encoded = x'00' WHERE sequence = 4", "changed", 4),
        ("UPDATE link SET record = zeroblob(32) WHERE sequence = 5", "changed", 5),
        ("DELETE FROM link WHERE sequence = 2", "removed", 2),
        ("DELETE FROM link WHERE sequence > 5", "removed", 6),
        ("UPDATE link SET sequence = 8 - sequence WHERE sequence IN (3, 5)", "reordered", 3),
        ("UPDATE checkpoint SET signature = zeroblob(64)", "signature", 7),
        ("UPDATE checkpoint SET chain = zeroblob(32)", "signature", 7),
        ("DELETE FROM signing_key", "unknown_key", 7),
    ],
)
def test_an_altered_store_is_found(desk: Desk, statement: str, kind: str, sequence: int) -> None:
    if "8 - sequence" in statement:
        meddle(desk, "UPDATE link SET sequence = -sequence WHERE sequence IN (3, 5)")
        statement = "UPDATE link SET sequence = 8 + sequence WHERE sequence < 0"
    meddle(desk, statement)
    fault = verified(desk).fault
    assert fault is not None
    assert (fault.kind, fault.sequence) == (kind, sequence)


def test_a_record_that_was_written_anew_is_found(desk: Desk) -> None:
    """Somebody puts another measurement, digest included, in the place of one."""
    meddle(
        desk,
        "UPDATE measurement SET (encoded, digest) = (SELECT encoded, digest FROM measurement WHERE sequence = 6) "
        "WHERE sequence = 2",
    )
    fault = verified(desk).fault
    assert fault is not None
    assert (fault.kind, fault.sequence, fault.measurement_id) == ("changed", 2, f"{2:032x}")
    assert "WRONG: measurement" in said(desk, "store", "verify", code=1)


def test_measurements_that_are_gone_are_counted_and_told(desk: Desk) -> None:
    for table in ("vote", "verdict", "measurement"):
        column = "id" if table == "measurement" else "measurement_id"
        meddle(desk, f"DELETE FROM {table} WHERE {column} = x'{4:032x}'")
    found = verified(desk)
    assert (found.kept, found.dropped, found.fault) == (6, 1, None)
    assert found.remarks == (
        f"1 measurement gone, the first measurement {4:032x} (4 in the chain): by retention, or removed",
    )


def test_a_store_without_a_chain_is_told(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.fill([])
    assert "nothing is chained here yet" in said(desk, "store", "verify")
    assert said(desk, "store", "verify", "--json").startswith("wazi: nothing is chained")
    for command in ("show", "replace"):
        assert "no signing key" in said(desk, "key", command, code=2)


def test_the_key_is_shown_and_replaced(desk: Desk) -> None:
    first = load_signing_key(desk.folder)
    shown = said(desk, "key", "show")
    assert first.public.key_id in shown
    assert "BEGIN PUBLIC KEY" in shown
    assert first.public.key_id in said(desk, "key", "replace")
    second = json.loads(said(desk, "key", "show", "--json"))
    assert second["key_id"] == load_signing_key(desk.folder).public.key_id != first.public.key_id
    assert second["history"]["rotations"][0]["key_id"] == first.public.key_id
    assert "PRIVATE" not in json.dumps(second)
    assert sorted(os.listdir(desk.folder)).count(keys.NAME) == 1
