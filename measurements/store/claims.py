"""Who sends for a hook, where several programs share a database: one of them.

A claim is an advisory lock of a PostgreSQL session that is held for as long as its program sends. It goes with the
session, so that the claim of a program that was killed is free at once, and that of a computer that fell off the
network when the server gives up its connection, after about a minute. An SQLite file has one program that writes.
"""

from __future__ import annotations

import hashlib
import threading

from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import SQLAlchemyError

from measurements.store.errors import explain

_ROOM = 0x414C5254  # of PostgreSQL's advisory locks


class Claims:
    """The claims of one program. Any thread may call it."""

    def __init__(self, engine: Engine, place: str) -> None:
        self._engine = engine
        self._place = place
        self._guard = threading.Lock()
        self._connection: Connection | None = None
        self._mine: set[str] = set()

    @property
    def is_shared(self) -> bool:
        """Whether other programs may use this database at the same time."""
        return self._engine.dialect.name != "sqlite"

    def hold(self, name: str) -> bool:
        """Claim a hook, or tell whether it is still ours; False when another program has it. Raises StoreError."""
        if not self.is_shared:
            return True
        with self._guard:
            try:
                if self._connection is None:
                    connection = self._engine.connect().execution_options(isolation_level="AUTOCOMMIT")
                    self._connection = connection
                if name in self._mine:
                    self._connection.execute(text("SELECT 1"))  # with the session every claim is gone
                    return True
                ask = text("SELECT pg_try_advisory_lock(:room, :hook)")
                given = self._connection.execute(ask, {"room": _ROOM, "hook": _number(name)}).scalar()
            except SQLAlchemyError as error:
                self._leave()
                raise explain(error, self._place) from error
            if given:
                self._mine.add(name)
            return bool(given)

    def release(self, name: str) -> None:
        """Let go of a hook; raises nothing."""
        with self._guard:
            if self._connection is None or name not in self._mine:
                return
            self._mine.discard(name)
            try:
                ask = text("SELECT pg_advisory_unlock(:room, :hook)")
                self._connection.execute(ask, {"room": _ROOM, "hook": _number(name)})
            except SQLAlchemyError:
                self._leave()

    def close(self) -> None:
        """Let go of everything."""
        with self._guard:
            self._leave()

    def _leave(self) -> None:
        if self._connection is not None:
            self._connection.invalidate()  # the session must end, for its claims go with it
            self._connection.close()
        self._connection = None
        self._mine.clear()


def _number(name: str) -> int:
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "big", signed=True)
