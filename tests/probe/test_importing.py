"""`wazi import` as a user meets it: what it stores, what it says, and how it goes on."""

from __future__ import annotations

import gzip
import json
import os
import signal
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest
import zstandard
from msgspec.structs import replace

from measurements.exports import jsonl, ooni
from measurements.exports.judged import Judged
from measurements.model import Measurement, Outcome, Verdict, encode
from measurements.rules import RULES_VERSION
from measurements.store import Filter
from tests.measurements.store.samples import ACCESSIBLE, BLOCKED, START, measurement
from tests.probe.desk import Desk


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def rows(number: int, first: int = 0, body: bytes = b"page") -> list[Judged]:
    facts = (measurement(n, id=f"{n:032x}", body=body) for n in range(first, first + number))
    return [Judged(fact, BLOCKED if fact.sequence % 2 else ACCESSIBLE) for fact in facts]


def write(path: Path, rows: list[Judged]) -> None:
    with path.open("wb") as stream:
        jsonl.write(iter(rows), stream)


def kept(desk: Desk) -> list[tuple[Measurement, Verdict | None]]:
    with desk.store() as store:
        return [(one.measurement, one.verdict) for one in store.stream(Filter())]


def test_what_was_exported_is_imported_as_it_was(desk: Desk) -> None:
    made = rows(6)
    write(desk.folder / "a.jsonl", made[:2])
    write(desk.folder / "b.jsonl", made[2:4])
    write(desk.folder / "c.jsonl", made[4:])
    (desk.folder / "b.gz").write_bytes(gzip.compress((desk.folder / "b.jsonl").read_bytes()))
    (desk.folder / "c.zst").write_bytes(zstandard.compress((desk.folder / "c.jsonl").read_bytes()))
    ran = desk.wazi("import", "a.jsonl", "b.gz", "c.zst")
    assert (ran.returncode, ran.stderr.splitlines()[0]) == (0, b"wazi: 6 measurements imported")
    assert kept(desk) == made
    again = desk.wazi("export", "--format", "jsonl").stdout
    assert again == b"".join((desk.folder / f"{name}.jsonl").read_bytes() for name in "abc")


def test_what_is_imported_has_no_link_but_the_one_it_got_where_it_was_measured(desk: Desk) -> None:
    """Whoever hands us a file must not write our chain, and what retention dropped has its link still."""
    mine, theirs = rows(2), rows(4)[2:]
    desk.fill([*mine])
    with desk.store() as store:
        links = list(store.chains.links("probe"))
    for table in ("vote", "verdict", "measurement"):
        with closing(sqlite3.connect(desk.folder / "wazi.db")) as connection, connection:
            connection.execute(f"DELETE FROM {table}")
    write(desk.folder / "a.jsonl", [*mine, *theirs])
    ran = desk.wazi("import", "a.jsonl")
    assert b"wazi: 4 measurements imported" in ran.stderr
    with desk.store() as store:
        assert list(store.chains.links("probe")) == links
        assert [store.chains.link_of(row.measurement.id) for row in [*mine, *theirs]] == [*links, None, None]


def test_an_import_goes_on_after_bad_lines_and_names_them(desk: Desk) -> None:
    write(desk.folder / "a.jsonl", rows(3))
    good = (desk.folder / "a.jsonl").read_bytes().splitlines()
    odd = good[2].replace(b'"id":"' + b"0" * 31 + b'2"', b'"id":"elsewhere"')
    huge = good[2].replace(b'"sequence":2', b'"sequence":%d' % 2**70).replace(b"0002", b"0003")
    (desk.folder / "a.jsonl").write_bytes(b"\n".join([good[0], b"junk", odd, huge, b"", good[1], b'{"a": 1}']))
    ran = desk.wazi("import", "a.jsonl")
    said = ran.stderr.decode().splitlines()
    assert ran.returncode == 3
    assert said[0].startswith("wazi: a.jsonl:2: no JSON")
    assert said[1].startswith("wazi: a.jsonl:3: the measurement id 'elsewhere' is not 32")
    assert [line.split(": ")[1] for line in said[2:4]] == ["a.jsonl:7", "a.jsonl:4"]
    assert "2 measurements imported, 4 left out" in said[-2]
    assert said[-1] == "wazi: 4 votes counted, no event"
    assert [fact.sequence for fact, _ in kept(desk)] == [0, 1]


def test_duplicates_are_told_and_skipped(desk: Desk) -> None:
    write(desk.folder / "a.jsonl", [*rows(7), *rows(1)])
    first = desk.wazi("import", "a.jsonl")
    assert first.returncode == 0
    assert b"wazi: a.jsonl:8: measurement " + b"0" * 32 + b" is stored already, skipped" in first.stderr
    other = [row._replace(measurement=replace(row.measurement, software="another")) for row in rows(7)]
    write(desk.folder / "b.jsonl", other)
    second = desk.wazi("import", "b.jsonl")
    assert second.returncode == 0
    assert second.stderr.count(b"is stored already") == 5
    assert b"0 measurements imported, 7 skipped that were stored already" in second.stderr
    assert {fact.software for fact, _ in kept(desk)} == {""}


def test_opinions_are_kept_and_what_has_none_is_judged(desk: Desk) -> None:
    with_old, without = rows(2)
    write(desk.folder / "a.jsonl", [with_old._replace(verdict=replace(BLOCKED, rules_version=3, reason="old"))])
    bare = encode(without.measurement) + b"\n"
    odd = json.loads((desk.folder / "a.jsonl").read_bytes())
    odd["outcome"] = "lovely"
    odd["measurement"]["id"] = "f" * 32
    with (desk.folder / "a.jsonl").open("ab") as stream:
        stream.write(bare + json.dumps(odd).encode())
    assert desk.wazi("import", "a.jsonl").returncode == 0
    with desk.store() as store:
        first, second, third = (store.verdicts(key) for key in ("0" * 32, f"{1:032x}", "f" * 32))
    assert [(one.verdict.rules_version, one.verdict.reason) for one in first] == [(3, "old")]
    assert [one.verdict.rules_version for one in second] == [RULES_VERSION]
    assert [one.verdict.rules_version for one in third] == [RULES_VERSION]


def test_records_of_ooni_are_imported_and_ours_keep_their_ids(desk: Desk) -> None:
    with (desk.folder / "ours.jsonl").open("wb") as stream:
        ooni.write(rows(2), stream)
    theirs = json.loads((desk.folder / "ours.jsonl").read_bytes().splitlines()[0])
    del theirs["test_keys"]["x_wazi"]
    (desk.folder / "theirs.json").write_text(json.dumps(theirs, indent=1))
    assert desk.wazi("import", "ours.jsonl", "theirs.json").returncode == 0
    found = kept(desk)
    assert sorted(fact.source for fact, _ in found) == ["ooni", "wazi", "wazi"]
    assert {fact.id for fact, _ in found if fact.source == "wazi"} == {f"{n:032x}" for n in range(2)}
    assert {verdict for fact, verdict in found if fact.source == "wazi"} == {ACCESSIBLE, BLOCKED}
    assert {verdict.rules_version for fact, verdict in found if fact.source == "ooni" and verdict} == {RULES_VERSION}
    again = desk.wazi("import", "ours.jsonl", "theirs.json")
    assert b"0 measurements imported, 3 skipped" in again.stderr


def _stored(path: Path) -> int:
    if not path.exists():
        return 0
    try:
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
            return int(connection.execute("SELECT count(*) FROM measurement").fetchone()[0])
    except sqlite3.OperationalError:  # its tables are being made
        return 0


def test_an_interrupted_import_keeps_what_it_had_and_a_second_goes_on(desk: Desk) -> None:
    number = 2000
    write(desk.folder / "a.jsonl", rows(number, body=b"x" * 20_000))
    process = desk.start("import", "a.jsonl")
    end = time.monotonic() + 20
    while not _stored(desk.folder / "wazi.db"):
        assert time.monotonic() < end, "it never began"
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=20)
    assert process.returncode == 130, said
    before = len(kept(desk))
    assert f"interrupted; {before} measurements imported".encode() in said
    assert 0 < before < number
    second = desk.wazi("import", "a.jsonl")
    assert second.returncode == 0
    assert f"{number - before} measurements imported, {before} skipped".encode() in second.stderr
    assert len(kept(desk)) == number


def test_files_that_are_not_there_and_a_store_that_is_in_use_are_refused(desk: Desk) -> None:
    assert b"nothing.jsonl: there is no such file" in desk.wazi("import", "nothing.jsonl").stderr
    write(desk.folder / "a.jsonl", rows(1))
    with desk.store():
        ran = desk.wazi("import", "a.jsonl")
    assert ran.returncode == 2
    (desk.folder / "empty").touch()
    assert desk.wazi("import", "empty").returncode == 3
    piped = desk.wazi("import", "-", stdin=(desk.folder / "a.jsonl").read_bytes())
    assert (piped.returncode, piped.stderr.splitlines()[0]) == (0, b"wazi: 1 measurement imported")


def test_a_terminal_sees_how_far_it_is(desk: Desk) -> None:
    write(desk.folder / "a.jsonl", rows(20))
    outside, inside = os.openpty()
    process = desk.start("import", "a.jsonl", terminal=inside)
    os.close(inside)
    process.communicate(timeout=20)
    seen = os.read(outside, 65536).decode()
    os.close(outside)
    assert "importing" in seen
    assert "kB" in seen
    assert "20 measurements imported" in seen
    assert {verdict.outcome for _, verdict in kept(desk) if verdict} == {Outcome.ACCESSIBLE, Outcome.BLOCKED}


def test_what_is_no_regular_file_is_read_as_well_and_a_folder_is_refused_as_one(desk: Desk) -> None:
    write(desk.folder / "a.jsonl", rows(3))
    fifo = desk.folder / "fifo"
    os.mkfifo(fifo)
    process = desk.start("import", "fifo")
    with fifo.open("wb") as stream:
        stream.write((desk.folder / "a.jsonl").read_bytes())
    _, said = process.communicate(timeout=20)
    assert process.returncode == 0, said
    assert len(kept(desk)) == 3
    (desk.folder / "folder").mkdir()
    for command in ("import", "judge"):
        ran = desk.wazi(command, "folder")
        assert (ran.returncode, ran.stderr) == (2, b"wazi: folder: is a folder; name the files in it\n")


def test_votes_are_counted_into_events_of_their_time_unless_somebody_is_to_be_alerted(desk: Desk) -> None:
    hours = [measurement(n, id=f"{n:032x}", started=START + n * 3600) for n in range(84)]
    write(desk.folder / "a.jsonl", [Judged(one, BLOCKED if 48 <= one.sequence < 60 else ACCESSIBLE) for one in hours])
    ran = desk.wazi("import", "a.jsonl")
    assert b"168 votes counted, 1 event new or changed: `wazi events --all`" in ran.stderr
    (event,) = [json.loads(line) for line in desk.wazi("events", "--all", "--json").stdout.splitlines()]
    assert event["status"] == "closed"
    assert START < event["updated"] < START + 84 * 3600
    again = desk.wazi("import", "a.jsonl")
    assert b"votes" not in again.stderr

    other = Desk(desk.folder / "other")
    with other.config.open("a") as stream:
        stream.write('[[alert]]\nhook = "log"\n')
    (other.folder / "a.jsonl").write_bytes((desk.folder / "a.jsonl").read_bytes())
    ran = other.wazi("import", "a.jsonl")
    assert b"168 votes to be counted: `wazi run` does, and alerts of what is news" in ran.stderr
    assert other.wazi("events", "--all").stdout == b""
