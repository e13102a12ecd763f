"""Opening a store: find it, lock it, look whether it is sound, bring its tables up to date.

A store is named by a URL: `sqlite:///relative/path.db`, `sqlite:////absolute/path.db`, or
`postgresql://user:password@host/database`. Migrations run by themselves, under the file's lock on SQLite
and an advisory lock on PostgreSQL, each in one transaction, so that two processes that start at once, or
a kill in the middle, do no harm. A store made by a newer build is refused and left alone.
"""

from __future__ import annotations

import logging
import os
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

from sqlalchemy import URL, Connection, Engine, create_engine, event, inspect, make_url, text
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError

from measurements.store import sqlite_file, tables
from measurements.store.errors import StoreError, explain
from measurements.store.months import Months
from measurements.store.sql_store import Store

_LOCK_KEY = 0x57415A49  # PostgreSQL's advisory lock for migrations

_QUICK = 200e6  # bytes of a file that is rewritten in a few seconds
_MUCH = 500e6  # bytes, whose moving takes long enough to be announced
_MOVED_A_SECOND = 20e6  # bytes, measured on a loaded machine with two cores

Clock = Callable[[], float]

log = logging.getLogger(__name__)


def open_store(url: str, *, read_only: bool = False, now: Callable[[], float] = time.time) -> Store:
    """Open the store at `url` for writing (one process a file) or for reading beside a writer.

    For writing, what is missing is made and old tables are upgraded; a damaged SQLite file is set aside,
    and `Store.notices` says so. `now` is the clock, in UTC seconds since the epoch, by which verdicts are
    dated and data is counted per day. Raises StoreError with a sentence for people.
    """
    parsed = _parse(url)
    if parsed.get_backend_name() == "sqlite":
        path = _path(parsed)
        return _read_sqlite(path, now) if read_only else _write_sqlite(path, now)
    return _open_postgres(parsed, read_only, now)


def upgrade(url: str) -> tuple[str | None, str]:
    """Bring the tables up to date; return the versions before (None: there were no tables) and after."""
    with open_store(url) as store:
        return store.upgraded_from, tables.HEAD


def _parse(url: str) -> URL:
    try:
        parsed = make_url(url)
    except ArgumentError:
        parsed = None
    if parsed is None or parsed.get_backend_name() not in ("sqlite", "postgresql", "postgres"):
        raise StoreError(  # the URL is not repeated: it may hold a password
            "[store] url (WAZI_STORE__URL) must be sqlite:///PATH or postgresql://USER:PASSWORD@HOST/DATABASE"
        )
    return parsed


def _path(url: URL) -> Path:
    if not url.database or url.database == ":memory:":
        raise StoreError("[store] url (WAZI_STORE__URL) names no file: write sqlite:///PATH")
    return Path(url.database).expanduser().resolve()


def _write_sqlite(path: Path, now: Clock) -> Store:
    lock = sqlite_file.prepare(path)
    engine: Engine | None = None
    try:
        notices = _quarantine(path)
        engine = _sqlite_engine(f"sqlite:///{path}", writing=True)
        before = _migrate(engine, str(path))
        if before not in (None, tables.HEAD):
            engine.dispose()
            sqlite_file.make_shrinkable(path, most=_QUICK)
        return Store(engine, str(path), path=path, lock=lock, notices=notices, upgraded_from=before, now=now)
    except BaseException as error:
        if engine is not None:
            engine.dispose()
        lock.release()
        if isinstance(error, SQLAlchemyError | sqlite3.Error | OSError | UnicodeDecodeError):
            raise explain(error, str(path)) from error
        raise


def _quarantine(path: Path) -> tuple[str, ...]:
    damage = sqlite_file.find_damage(path)
    if damage is None:
        return ()
    aside = sqlite_file.set_aside(path)
    notice = (
        f"the store {path} is damaged ({damage}). It was set aside as {aside}, nothing was deleted, and a fresh "
        f"store was started. To save what can be read: sqlite3 '{aside}' .recover"
    )
    log.error("%s", notice)
    return (notice,)


def _read_sqlite(path: Path, now: Clock) -> Store:
    if not path.exists():
        raise StoreError(f"there is no store at {path} yet: `wazi run` makes one.")
    try:
        sqlite_file.refuse_foreign(path)
    except OSError as error:
        raise StoreError(f"the store {path} cannot be read: {error.strerror}.") from error
    engine = _sqlite_engine(f"sqlite:///file:{quote(str(path))}?{_reading_mode(path)}&uri=true", writing=False)
    return _reading(engine, str(path), path, now)


def _reading_mode(path: Path) -> str:
    """Choose how to open for reading: beside a writer, or from a folder or medium that cannot be written.

    A reader joins the -wal through the -shm file, which it must be able to write; without a -wal, a file
    in a folder that cannot be written is read as one that does not change.
    """
    if os.access(path.parent, os.W_OK) and os.access(path, os.W_OK):
        return "mode=rw"
    wal = path.with_name(path.name + "-wal")
    return "mode=ro" if wal.exists() and wal.stat().st_size else "mode=ro&immutable=1"


def _open_postgres(url: URL, read_only: bool, now: Clock) -> Store:
    place = url.set(drivername="postgresql").render_as_string(hide_password=True)
    url = url.set(drivername="postgresql+psycopg")
    options = ["-c synchronous_commit=on", "-c enable_partitionwise_join=on"]
    options += [f"-c tcp_keepalives_{name}" for name in ("idle=30", "interval=10", "count=3")]  # or claims would stay
    if read_only:
        options.append("-c default_transaction_read_only=on")
    arguments = {"connect_timeout": 5, "tcp_user_timeout": 20_000, "options": " ".join(options)}
    try:
        engine = create_engine(url, connect_args=arguments, pool_pre_ping=True, pool_size=3)
    except (ImportError, NoSuchModuleError) as error:
        raise StoreError("a PostgreSQL store needs the psycopg package: pip install 'wazi[postgres]'") from error
    if read_only:
        return _reading(engine, place, None, now)
    try:
        before = _migrate(engine, place)
        months = Months(engine, now)
        months.make_for()
        notices = (months.trouble,) if months.trouble else ()
        return Store(engine, place, notices=notices, upgraded_from=before, now=now, months=months)
    except SQLAlchemyError as error:
        engine.dispose()
        raise explain(error, place) from error
    except BaseException:
        engine.dispose()
        raise


def _reading(engine: Engine, place: str, path: Path | None, now: Clock) -> Store:
    try:
        with engine.connect() as connection:
            version = _version(connection)
        if version != tables.HEAD:
            _refuse_newer(version, place)
            raise StoreError(f"the tables of the store {place} are not up to date: run `wazi store upgrade`.")
        return Store(engine, place, path=path, read_only=True, now=now)
    except (SQLAlchemyError, UnicodeDecodeError) as error:
        engine.dispose()
        raise explain(error, place) from error
    except BaseException:
        engine.dispose()
        raise


def _sqlite_engine(url: str, *, writing: bool) -> Engine:
    engine = create_engine(url, connect_args={"timeout": sqlite_file.BUSY_TIMEOUT, "check_same_thread": False})

    @event.listens_for(engine, "connect")
    def _set_up(connection: sqlite3.Connection, _record: object) -> None:
        connection.isolation_level = None  # transactions are begun below, so that DDL is inside them too
        connection.execute("PRAGMA foreign_keys = ON")
        if writing:
            if not connection.execute("PRAGMA page_count").fetchone()[0]:
                connection.execute("PRAGMA auto_vacuum = INCREMENTAL")  # would write, and is heeded in a new file only
            connection.execute("PRAGMA secure_delete = ON")  # what is deleted cannot be read from the file
            mode = connection.execute("PRAGMA journal_mode = WAL").fetchone()[0]
            if mode != "wal":  # SQLite does not raise: it goes on in a mode that shuts out readers
                raise StoreError(
                    f"the disk of the store {url.removeprefix('sqlite:///')} failed, or cannot share a file between "
                    "processes (write-ahead logging). Keep the store on a local, sound disk: [store] url "
                    "(WAZI_STORE__URL)."
                )
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute(f"PRAGMA journal_size_limit = {64 * 1024 * 1024}")
        else:
            connection.execute("PRAGMA query_only = ON")

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        # A transaction that reads before it writes must be alone from its start, or what it read may be outdated.
        alone = connection.get_execution_options().get("wazi_writes")
        connection.exec_driver_sql("BEGIN IMMEDIATE" if alone else "BEGIN")

    return engine


def _migrate(engine: Engine, place: str) -> str | None:
    """Bring the tables to `HEAD`, all or nothing; return the version found."""
    with engine.begin() as connection:
        if engine.dialect.name == "postgresql":  # let go of at the end of the transaction, however it ends
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK_KEY})
        before = _version(connection)
        if before == tables.HEAD:
            return before
        _refuse_newer(before, place)
        _say_how_long(connection, before, place)
        if engine.dialect.name == "sqlite":
            connection.exec_driver_sql(f"PRAGMA application_id = {tables.APPLICATION_ID}")
        _run_migrations(connection)
    log.info("the tables of the store %s are now at version %s (before: %s)", place, tables.HEAD, before)
    return before


def _say_how_long(connection: Connection, before: str | None, place: str) -> None:
    """Say beforehand when an upgrade moves much: into a table a month, which came with version 0006."""
    if before is None or before >= "0006" or connection.dialect.name != "postgresql":
        return
    names = ("measurement", "verdict", "vote")
    ask = text("SELECT coalesce(pg_total_relation_size(to_regclass(:name)), 0)")
    size = sum(connection.execute(ask, {"name": name}).scalar_one() for name in names)
    if size > _MUCH:
        log.warning(
            "the %.1f GB of the store %s are moved into a table a month: this takes about %d minutes and as much space "
            "again until it is done. Nothing is lost when it is interrupted: it begins again then.",
            size / 1e9,
            place,
            max(1, round(size / _MOVED_A_SECOND / 60.0)),
        )


def _run_migrations(connection: Connection) -> None:
    from alembic import command  # a tenth of a second, needed once a version

    from measurements.store.migrations import configuration

    config = configuration()
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def _version(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    row = connection.execute(text("SELECT version_num FROM alembic_version")).first()
    return None if row is None else str(row[0])


def _refuse_newer(version: str | None, place: str) -> None:
    if version is not None and version > tables.HEAD:
        raise StoreError(
            f"the store {place} was made by a newer Wazi (its tables have version {version}, this Wazi knows "
            f"{tables.HEAD}). Upgrade Wazi; nothing was changed."
        )
