"""What a store lets go when it is told for how long to keep what, on both databases, and what it never lets go."""

from __future__ import annotations

import os
import secrets
import sqlite3
import time
from base64 import b64encode
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

import pytest
import zstandard
from msgspec.structs import replace
from sqlalchemy import func, select

from measurements.events.nouns import Event, Kind, Status
from measurements.events.nouns import Settings as Rules
from measurements.exports.judged import Judged
from measurements.keeping import DAY, Keeping, Terms, Tidied
from measurements.model import Gap, HttpExchange, Measurement
from measurements.standing import Standing
from measurements.store import Kept, Store, open_store, tables
from tests.measurements.store import postgres
from tests.measurements.store.samples import ACCESSIBLE, BLOCKED, measurement

NOW = datetime(2026, 11, 26, 12, tzinfo=UTC).timestamp()


def complete(kept: Kept) -> Judged:
    return Judged(kept.measurement, kept.verdict or BLOCKED)


def keeping(store: Store, now: float = NOW, **terms: object) -> Keeping:
    return Keeping(store, Terms(**terms), complete, now=lambda: now)  # type: ignore[arg-type]


def opened(url: str, now: float = NOW) -> Store:
    return open_store(url, now=lambda: now)


def keep(
    store: Store, *days: float, body: bytes | None = None, counted: bool = True, size: int = 40
) -> list[Measurement]:
    """Store a measurement of each of some days ago, and count its votes."""
    facts = [
        measurement(n, started=NOW - day * DAY, body=body or secrets.token_bytes(size)) for n, day in enumerate(days)
    ]
    for fact in facts:
        store.add(fact, BLOCKED)
    store.flush(60)
    if counted:
        count(store)
    return facts


def count(store: Store) -> None:
    with store.ledger.turn() as turn:
        votes = turn.votes(1_000_000)
        if votes:
            turn.save(votes[-1][0], b"", {}, ())


def unseen(store: Store, seen: float) -> None:
    """Let all pages be last seen at a time."""
    with store._engine.begin() as connection:
        connection.execute(tables.body_seen.update().values(seen=seen))


def left(store: Store) -> list[float]:
    return [round((NOW - entry.started) / DAY) for entry in store.measurements()]


def pages(store: Store) -> int:
    with store._engine.connect() as connection:
        return connection.execute(select(func.count()).select_from(tables.body)).scalar_one()


def naming(*facts: Measurement) -> Event:
    return Event(
        id="e1f0a2",
        kind=Kind.BLOCKING,
        status=Status.CLOSED,
        countries=("ET",),
        asns=(24757,),
        targets=("example.org",),
        layers=("tls",),
        onset=(NOW - 500 * DAY, NOW - 499 * DAY),
        opened=NOW - 499 * DAY,
        updated=NOW - 498 * DAY,
        witnesses=tuple(fact.id for fact in facts),
    )


def save(store: Store, *events: Event) -> None:
    with store.ledger.turn() as turn:
        turn.save(turn.number, turn.header, {}, events)


def body_of(store: Store, fact: Measurement) -> bytes:
    step = store.measurement(fact.id).measurement.observations[2]
    assert isinstance(step, HttpExchange)
    return step.body


def test_without_terms_nothing_goes(url: str) -> None:
    with opened(url) as store:
        keep(store, 1000, 1)
        assert keeping(store).tidy() == Tidied()
        assert left(store) == [1, 1000]


def test_what_is_older_goes_with_all_that_hangs_on_it(url: str) -> None:
    with opened(url) as store:
        facts = keep(store, 900, 800, 450, 399, 20, 0)
        unseen(store, NOW - 450 * DAY)
        store.add_gap(gap := _gap())
        store.flush(10)
        done = keeping(store, keep=400 * DAY).tidy()
        assert (done.measurements, done.files, done.trouble) == (3, [], [])
        assert left(store) == [0, 20, 399]
        assert store.gaps() == [gap]
        with store._engine.connect() as connection:
            for table in (tables.verdict, tables.vote):
                ids = set(connection.execute(select(table.c.measurement_id)).scalars())
                assert ids == {bytes.fromhex(fact.id) for fact in facts[3:]}
        assert (done.pages, pages(store)) == (6, 0)
        assert store.last_sequence("probe") == 6
        assert keeping(store, keep=400 * DAY).tidy() == Tidied()  # and again nothing
        store.add(facts[0], BLOCKED).result(30)  # what went may come again, as from an archive
        assert left(store) == [0, 20, 399, 900]


def _gap() -> Gap:
    return Gap(probe_id="probe", since=NOW - 900 * DAY, until=NOW - 899 * DAY, why="stopped")


def test_a_month_goes_only_when_all_of_it_is_old_where_it_is_a_table(url: str) -> None:
    with opened(url) as store:
        keep(store, 45, 40, 20)  # 12 and 17 October, 6 November
        keeping(store, keep=38 * DAY).tidy()
        assert left(store) == ([20, 40, 45] if url.startswith("postgres") else [20])
        keeping(store, keep=25.6 * DAY).tidy()  # 31 October, 21:36
        assert left(store) == ([20, 40, 45] if url.startswith("postgres") else [20])
        keeping(store, keep=25.5 * DAY).tidy()
        assert left(store) == [20]


def test_witnesses_stay_with_their_pages(url: str) -> None:
    with opened(url) as store:
        facts = keep(store, 500, 499, 498, 497)
        unseen(store, NOW - 497 * DAY)
        older = replace(naming(facts[0]), status=Status.CONFIRMED)
        save(store, older)
        save(store, naming(facts[2]))  # what it said before counts too
        for _ in range(2):
            keeping(store, keep=30 * DAY, keep_bodies=10 * DAY).tidy()
            assert left(store) == [498, 500]
        assert [body_of(store, fact) != b"" for fact in (facts[0], facts[2])] == [True, True]
        assert pages(store) == 2
        assert store.measurement(facts[0].id).verdict == BLOCKED
        assert [event.id for event in store.ledger.events()] == [older.id]
        store.add(facts[1], BLOCKED).result(30)
        assert left(store) == [498, 499, 500]


def test_what_goes_next_is_told_without_what_never_goes(url: str) -> None:
    with opened(url) as store:
        facts = keep(store, 500, 20)
        save(store, naming(facts[0]))
        (said,) = keeping(store, keep=100 * DAY).following(None)
        when = "2027-03-11" if store.discards.by_month else "2027-02-15"
        assert said == f"next      measurements of 2026-11 go on {when}"
        save(store, naming(*facts))
        assert keeping(store, keep=100 * DAY).following(None) == []


def test_votes_that_were_not_counted_hold_their_measurement_back(url: str) -> None:
    with opened(url) as store:
        keep(store, 100)
        keep(store, 99, counted=False)
        assert store.discards.uncounted() == 1
        assert keeping(store, keep=30 * DAY).tidy().measurements == 1
        assert left(store) == [99]
        count(store)
        assert store.discards.uncounted() == 0
        assert keeping(store, keep=30 * DAY).tidy().measurements == 1
        assert left(store) == []


def test_pages_go_before_and_those_still_seen_stay(url: str) -> None:
    clock = [NOW - 100 * DAY]
    with open_store(url, now=lambda: clock[0]) as store:
        (old,) = keep(store, 100, body=b"an old page")
        (shared,) = keep(store, 100.001, body=b"a page that does not change")
        clock[0] = NOW - 50 * DAY
        keep(store, 50, body=b"a page that does not change")
        keep(store, 50.001, body=b"a page that does not change")  # on the same day it is not marked again
        clock[0] = NOW
        done = keeping(store, keep_bodies=90 * DAY).tidy()
        assert (done.measurements, done.pages) == (0, 1)
        assert body_of(store, old) == b""
        assert body_of(store, shared) == b"a page that does not change"
        assert keeping(store, keep_bodies=49 * DAY).tidy().pages == 1
        assert len(left(store)) == 4


def test_what_would_go_can_be_asked_first(url: str) -> None:
    with opened(url) as store:
        facts = keep(store, 500, 499, 20)
        unseen(store, NOW - 480 * DAY)
        save(store, naming(facts[0]))
    with open_store(url, read_only=True) as store:
        due = keeping(store, keep=100 * DAY).due()
        assert (due.measurements, due.pages) == (1, 3)
        assert len(left(store)) == 3


def test_what_goes_is_in_the_archive_whole(url: str, tmp_path: Path) -> None:
    archive = tmp_path / "archive"
    with opened(url) as store:
        facts = keep(store, 500, 499, 20)
        save(store, naming(facts[1]))
        done = keeping(store, keep=100 * DAY, archive=archive).tidy()
        assert (done.measurements, done.trouble) == (1, [])
        assert left(store) == [20, 499]
        (file,) = done.files
        assert file.name == "measurements-2025-07.jsonl.zst"
        assert (
            archive / f"{file.name}.sha256"
        ).read_text() == f"{sha256(file.read_bytes()).hexdigest()}  {file.name}\n"
        text = zstandard.ZstdDecompressor().decompressobj().decompress(file.read_bytes())
        assert facts[0].id.encode() in text
        keep(store, 500.5)
        again = keeping(store, keep=100 * DAY, archive=archive).tidy()
        assert [path.name for path in again.files] == ["measurements-2025-07-2.jsonl.zst"]
        assert file.read_bytes()
    assert {path.name for path in archive.iterdir()} == {
        f"measurements-2025-07{part}.jsonl.zst{ending}" for part in ("", "-2") for ending in ("", ".sha256")
    }


def test_what_goes_is_in_the_archive_with_its_pages(url: str, tmp_path: Path) -> None:
    """If its pages were not seen since, they go after it was written, and not before."""
    with opened(url) as store:
        first, waiting = keep(store, 500, 440, body=b"<title>It was here</title>")[0], measurement(9, started=0.0)
        waiting = replace(waiting, started=NOW - 440.5 * DAY, observations=first.observations)
        store.add(waiting, BLOCKED)
        store.flush(60)
        unseen(store, NOW - 440 * DAY)
        done = keeping(store, keep=100 * DAY, archive=tmp_path / "archive").tidy()
        assert (done.measurements, done.pages, done.trouble) == (2, 0, [])  # what is not counted yet shows it still
        count(store)
        again = keeping(store, keep=100 * DAY, archive=tmp_path / "archive").tidy()
        assert (again.measurements, again.pages, pages(store)) == (1, 1, 0)
        for file in (*done.files, *again.files):
            text = zstandard.ZstdDecompressor().decompressobj().decompress(file.read_bytes())
            assert b64encode(b"<title>It was here</title>") in text


def test_drafts_of_an_archive_that_a_kill_left_are_cleared_away(url: str, tmp_path: Path) -> None:
    old, fresh = (tmp_path / f".measurements-2025-07.jsonl.zst.{name}.part" for name in ("old", "fresh"))
    for draft, at in ((old, NOW - 2 * DAY), (fresh, NOW)):
        draft.touch()
        os.utime(draft, (at, at))
    with opened(url) as store:
        keep(store, 500)
        assert keeping(store, keep=100 * DAY, archive=tmp_path).tidy().measurements == 1
    assert (old.exists(), fresh.exists()) == (False, True)


def test_when_the_archive_cannot_be_written_nothing_goes(url: str, tmp_path: Path) -> None:
    (tmp_path / "archive").write_text("a file is in its place")
    with opened(url) as store:
        keep(store, 500)
        done = keeping(store, keep=100 * DAY, archive=tmp_path / "archive").tidy()
        assert "archive" in done.trouble[0]
        assert left(store) == [500]


def test_what_cannot_be_read_is_not_deleted_unwritten(url: str, tmp_path: Path) -> None:
    with opened(url) as store:
        facts = keep(store, 500, 499)
        with store._engine.begin() as connection:
            broken = tables.measurement.update().where(tables.measurement.c.id == bytes.fromhex(facts[0].id))
            connection.execute(broken.values(encoded=b"junk"))
        done = keeping(store, keep=100 * DAY, archive=tmp_path / "archive").tidy()
        assert "1 measurements of 2025-07 cannot be read" in done.trouble[0]
        assert left(store) == [499, 500]
        assert list((tmp_path / "archive").iterdir()) == []


def test_events_stay_as_they_were_when_all_is_counted_anew_after_votes_went(url: str) -> None:
    rules = Rules(volume_per_week=2000.0, fixed_volume=True)
    with opened(url) as store:
        for hour in range(24 * 14):
            old = measurement(hour, started=NOW - 400 * DAY + hour * 3600.0)
            store.add(old, BLOCKED if 200 <= hour < 260 else ACCESSIBLE)
        store.flush(60)
        standing = Standing(store.ledger, rules, now=lambda: NOW)
        standing.catch_up()
        before = list(store.ledger.events())
        assert before
        assert keeping(store, keep=300 * DAY).tidy().measurements > 200
        keep(store, 3, 2, 1, counted=False)
        with store._engine.begin() as connection:
            connection.execute(tables.detector.update().values(header=b"of another version"))
        again = Standing(store.ledger, rules, now=lambda: NOW + 120.0)
        again.catch_up()
        assert again.trouble == ""
        assert [event for event in store.ledger.events() if event.id in {one.id for one in before}] == before


@pytest.mark.postgres
def test_a_month_that_is_being_read_goes_another_time(postgres_url: str, tmp_path: Path) -> None:
    with opened(postgres_url) as store:
        keep(store, 500)
        with store._engine.begin() as connection:
            connection.execute(select(tables.measurement.c.id)).all()
            for terms in ({"keep": 100 * DAY}, {"keep": 100 * DAY, "archive": tmp_path}):
                words = "measurements of 2025-07 are being read by another program: they go another time"
                assert keeping(store, **terms).tidy() == Tidied(trouble=[words])
        assert list(tmp_path.iterdir()) == []  # or each attempt would leave a copy
        assert left(store) == [500]
        assert keeping(store, keep=100 * DAY).tidy().measurements == 1


@pytest.mark.postgres
def test_of_two_that_share_a_store_one_deletes(postgres_url: str, tmp_path: Path) -> None:
    with opened(postgres_url) as store, opened(postgres_url) as other:
        keep(store, 500, 470)
        with other.discards.alone() as alone:
            assert alone
            assert keeping(store, keep=100 * DAY, archive=tmp_path / "archive").tidy() == Tidied()
        assert not (tmp_path / "archive").exists()
        assert keeping(store, keep=100 * DAY).tidy().measurements == 2
        with other.discards.alone() as alone:
            assert alone


@pytest.mark.postgres
def test_what_comes_into_a_month_meanwhile_is_not_dropped_with_it(postgres_url: str) -> None:
    with opened(postgres_url) as store:
        keep(store, 500)
        only = set(store.discards.due(store.discards.stretches(NOW)[0], frozenset()))
        keep(store, 500.1)
        assert store.discards.discard(store.discards.stretches(NOW)[0], frozenset(), only) == 0
        assert len(left(store)) == 2


def everything(path: Path) -> bytes:
    return b"".join(file.read_bytes() for file in sorted(path.parent.iterdir()))


def test_what_is_deleted_cannot_be_read_from_the_file_any_more(path: Path) -> None:
    with opened(f"sqlite:///{path}") as store:
        for n in range(300):
            fact = measurement(
                n, started=NOW - 500 * DAY + n, host=f"secret-{n}.example", body=b"a page of %d " % n * 300
            )
            store.add(fact, BLOCKED)
        keep(store, *range(20))
        unseen(store, NOW - 499 * DAY)
        assert everything(path).count(b"secret-") > 300
        before = store.discards.used()
        assert keeping(store, keep=100 * DAY).tidy().measurements == 300
        assert everything(path).count(b"secret-") == 0  # while it is open, the -wal too
        assert (path.parent / "wazi.db-wal").stat().st_size == 0
        assert path.stat().st_size < before / 2
        assert len(left(store)) == 20
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


def test_a_file_of_an_older_version_is_made_to_give_space_back(path: Path) -> None:
    url = f"sqlite:///{path}"
    with opened(url) as store:
        keep(store, *range(300), size=4000)
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA auto_vacuum = NONE")
        connection.execute("VACUUM")
        connection.execute("DROP TABLE body_seen")
        connection.execute("UPDATE alembic_version SET version_num = '0005'")
    with opened(url) as store:
        before = path.stat().st_size
        with store._engine.connect() as connection:
            assert connection.exec_driver_sql("PRAGMA auto_vacuum").scalar_one() == 2
            assert connection.execute(select(func.count()).select_from(tables.body_seen)).scalar_one() == 300
        unseen(store, NOW - 100 * DAY)
        keeping(store, keep=10 * DAY).tidy()
        assert path.stat().st_size < before / 2


def test_the_size_is_kept_while_much_is_written(path: Path) -> None:
    """Beside the writing, which waits for one look at the size only before it asks for the next."""
    limit = 3_000_000
    with open_store(f"sqlite:///{path}") as store, ThreadPoolExecutor(1) as beside:
        own = Keeping(store, Terms(keep_size=limit), complete)
        sizes: list[int] = []

        def look() -> None:
            if own.is_too_large():
                assert own.tidy().trouble == []
            sizes.append(path.stat().st_size)

        for begin in range(0, 1500, 50):
            looked = beside.submit(look)
            for first in range(begin, begin + 50, 5):
                some = [
                    measurement(n, body=secrets.token_bytes(6000), started=time.time()) for n in range(first, first + 5)
                ]
                for receipt in [store.add(fact) for fact in some]:
                    receipt.result(30)
            looked.result(60)
        look()
        assert store.count() > 100
        newest = next(iter(store.measurements()))
        assert newest.sequence == 1499
    assert max(sizes) < 1.5 * limit  # all that is written would be three times
    assert path.stat().st_size < 1.1 * limit


def test_what_comes_while_room_is_made_may_go_as_well(path: Path) -> None:
    """It is not taken for what is never deleted."""
    clock, coming = [NOW - 20 * DAY], [18.0, 19.0]
    with open_store(f"sqlite:///{path}", now=lambda: clock[0]) as store:

        def now() -> float:
            began = clock[0]
            if coming:
                day = coming.pop()
                clock[0] = NOW - day * DAY
                keep(store, *(day + n / 1000 for n in range(150)), size=3000)
                clock[0] += 1.0
            return began

        keep(store, *(21 + n / 1000 for n in range(100)), size=3000)
        limit = store.discards.used() - 50_000
        done = Keeping(store, Terms(keep_size=limit), complete, now=now).tidy()
        assert done.trouble == []
        assert not coming
        assert store.discards.used() <= limit


def test_what_cannot_be_made_smaller_is_said(path: Path) -> None:
    with opened(f"sqlite:///{path}") as store:
        keep(store, *range(100), counted=False, size=2000)
        done = keeping(store, keep_size=50_000).tidy()
        assert "keep_size" in done.trouble[0]
        assert done.measurements == 0


@pytest.mark.postgres
def test_the_size_is_kept_by_month_on_a_server(postgres_server: postgres.Server) -> None:
    with opened(postgres_server.new_database()) as store:
        keep(store, *(30.4 * month + day / 100 for month in range(6) for day in range(60)), size=3000)
        unseen(store, NOW - 8 * DAY)
        whole = store.discards.used()
        done = keeping(store, keep_size=whole - 400_000).tidy()
        assert (done.measurements, done.trouble) == (0, [])  # pages were enough
        assert done.pages > 0
        done = keeping(store, keep_size=store.discards.used() * 2 // 3).tidy()
        assert 60 <= done.measurements <= 240
        assert max(left(store)) < 140
        assert store.discards.used() < whole
