"""Votes in the order of their arrival, the events that follow from them, and how far they were counted.

Counting goes in turns. A turn is one transaction: it reads how far the last one came, takes the votes after that,
and stores the changed events together with what the detector needs to go on. So a kill loses no vote and counts none
twice, and of two programs on one PostgreSQL one waits for the other: the turn locks the detector's row. Whoever
finds that the row was saved since its own last turn has an old memory, and loads it again.

An event is amended in place. What it said before is kept as a version each time something changed that people are
told (`what_is_told`); that one more vote agrees is no new version. With each version it is stored which alert hooks it
is news for (`news`).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from itertools import islice
from operator import attrgetter
from typing import Any

import msgspec
import zstandard
from sqlalchemy import (
    Connection,
    Engine,
    RowMapping,
    Select,
    Table,
    and_,
    bindparam,
    func,
    literal_column,
    select,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.sql.elements import ColumnElement
from sqlalchemy.sql.selectable import NamedFromClause

from measurements.alerts.routing import Rule
from measurements.events.nouns import Event, Status
from measurements.model import Strength, Vote, encode
from measurements.store import tables
from measurements.store.errors import NotFound, StoreError, explain
from measurements.store.months import on_months, started
from measurements.store.news import Planner
from measurements.store.packing import decompress

LIVE = "live"
"""The detector that counts what this store's probes measure."""
OPEN = (Status.UNCONFIRMED.value, Status.CONFIRMED.value)
_SAID = attrgetter(
    *("kind", "status", "reason", "notes", "countries", "asns", "targets", "layers"),
    *("onset", "end", "mechanisms", "into"),
)
_PAGE = 200
_VOTES_PAGE = 2000

log = logging.getLogger(__name__)

_vote, _fact = tables.vote, tables.measurement
_decode_event = msgspec.json.Decoder(Event).decode


class Position(msgspec.Struct, frozen=True, kw_only=True):
    """How far votes were counted: by when, to which number, and how many votes wait since which time (UTC seconds).

    `header` is what the detector remembers besides its cells, empty before the first turn.
    """

    updated: float | None
    number: int
    header: bytes
    waiting: int
    since: float | None


class Turn:
    """One turn of a detector. What it was given to save is stored when the turn ends well, and else nothing of it."""

    def __init__(self, connection: Connection, name: str, now: float, rules: Sequence[Rule] = ()) -> None:
        self._connection = connection
        self._name = name
        self._now = now
        self._planner = Planner(connection, rules, now)
        row = connection.execute(select(tables.detector).where(tables.detector.c.name == name).with_for_update())
        found = row.mappings().one()
        self.turn: int = found["turn"]
        self.number: int = found["number"]
        self.updated: float = found["updated"]
        self.header: bytes = found["header"]

    @property
    def planned(self) -> int:
        """How many news alert hooks may hear of since."""
        return self._planner.planned

    def cells(self) -> dict[str, bytes]:
        """Load what the detector remembers of each cell."""
        table = tables.detector_cell
        rows = self._connection.execute(select(table.c.cell, table.c.state).where(table.c.detector == self._name))
        return {cell: decompress(state, f"the count of {cell}") for cell, state in rows}

    def begin_anew(self) -> None:
        """Forget what was counted, so that `votes` begins with the first."""
        table = tables.detector_cell
        self._connection.execute(table.delete().where(table.c.detector == self._name))
        self.number, self.header = 0, b""

    def votes(self, limit: int) -> list[tuple[int, Vote]]:
        """Take the votes after the last one that was counted, with their numbers, in order."""
        time = () if self._connection.dialect.name == "sqlite" else (started("vote").label("started"),)
        those = select(*_vote.c, *time).where(_vote.c.number > self.number).order_by(_vote.c.number).limit(limit)
        # Chosen first, in a subquery, or PostgreSQL may join all that ever voted to find these.
        statement = _votes(those.subquery("those")).order_by(literal_column("those.number"))
        return [(row["number"], _as_vote(row)) for row in self._connection.execute(statement).mappings()]

    def save(
        self,
        number: int,
        header: bytes,
        cells: Mapping[str, bytes],
        events: Sequence[Event],
        *,
        is_behind: bool = False,
    ) -> list[Event]:
        """Save how far it came, with the cells and events that changed; return the events that have news.

        When it `is_behind`, events stand as they once did, and nobody is told before the next turns had time.
        """
        table, cell = tables.detector, tables.detector_cell
        self.turn, self.number, self.header = self.turn + 1, number, header
        values = {"turn": self.turn, "number": number, "updated": self._now, "header": header}
        self._connection.execute(table.update().where(table.c.name == self._name).values(values))
        rows = [
            {"detector": self._name, "cell": key, "state": zstandard.compress(state)} for key, state in cells.items()
        ]
        if rows:
            insert = _insert(self._connection, cell)
            excluded = {"state": insert.excluded.state}
            self._connection.execute(
                insert.on_conflict_do_update(index_elements=["detector", "cell"], set_=excluded), rows
            )
        return self._keep(events, is_behind)

    def _keep(self, events: Sequence[Event], is_behind: bool) -> list[Event]:
        """Store events as they stand now, and whom they are news for; return those that have news."""
        table, history = tables.event, tables.event_version
        known = self._known([event.id for event in events])
        new: list[dict[str, Any]] = []
        changed: list[dict[str, Any]] = []
        kept: list[dict[str, Any]] = []
        told: dict[str, tuple[Event, int]] = {}
        for event in events:
            version, before = known.get(event.id, (0, None))
            if before is None and event.status is Status.WITHDRAWN:
                continue  # it came and went within this turn, and nobody heard of it
            encoded = encode(event)
            news = before is None or _is_news(event, before)
            version += news
            known[event.id] = (version, encoded)
            row: dict[str, Any] = {"status": event.status.value, "opened": event.opened, "updated": event.updated}
            row |= {"version": version, "encoded": encoded}
            if before is None:
                new.append({"id": event.id, **row})
            else:
                changed.append({"its_id": event.id, **row})
            if news:
                kept.append({"event_id": event.id, "version": version, "updated": self._now, "encoded": encoded})
                told[event.id] = (event, version)
        if new:
            self._connection.execute(table.insert(), new)
        if changed:
            self._connection.execute(table.update().where(table.c.id == bindparam("its_id")), changed)
        if kept:
            self._connection.execute(history.insert(), kept)
            self._planner.plan(list(told.values()), is_behind=is_behind)
        return [event for event, _ in told.values()]

    def _known(self, ids: Sequence[str]) -> dict[str, tuple[int, bytes | None]]:
        """Return the version and the encoding of those events that are stored."""
        table = tables.event
        known: dict[str, tuple[int, bytes | None]] = {}
        for start in range(0, len(ids), _PAGE):
            some = select(table.c.id, table.c.version, table.c.encoded).where(
                table.c.id.in_(ids[start : start + _PAGE])
            )
            known |= {row.id: (row.version, row.encoded) for row in self._connection.execute(some)}
        return known


class Ledger:
    """The votes and events of a store; `Store.ledger` hands it out.

    `broken` tells why nothing may be written any more; one at a time of those that share `queue` may write; `now` is
    the clock, in UTC seconds since the epoch.
    """

    def __init__(
        self,
        engine: Engine,
        place: str,
        now: Callable[[], float],
        broken: Callable[[], StoreError | None],
        queue: AbstractContextManager[object],
    ) -> None:
        self._engine = engine
        self._writing = engine.execution_options(wazi_writes=True)
        self._queue = queue
        self._place = place
        self._now = now
        self._broken = broken
        self._routes: tuple[Sequence[Rule], Callable[[], None]] = ((), lambda: None)

    def route(self, rules: Sequence[Rule], wake: Callable[[], None]) -> None:
        """Store with every event from now on whom it is news for; `wake` is called when that was stored."""
        self._routes = (tuple(rules), wake)

    @property
    def is_shared(self) -> bool:
        """Whether other programs may count the same votes; an SQLite file has one writer."""
        return self._engine.dialect.name != "sqlite"

    @contextmanager
    def turn(self, name: str = LIVE) -> Iterator[Turn]:
        """Begin a detector's turn, once nobody else has one; raises StoreError."""
        if (refusal := self._broken()) is not None:
            raise refusal
        rules, wake = self._routes
        try:
            with self._queue, self._writing.begin() as connection:
                first = {"name": name, "turn": 0, "number": 0, "updated": self._now(), "header": b""}
                connection.execute(_insert(connection, tables.detector).on_conflict_do_nothing(), first)
                turn = Turn(connection, name, self._now(), rules)
                yield turn
        except SQLAlchemyError as error:
            raise explain(error, self._place) from error
        if turn.planned:
            wake()

    def position(self, name: str = LIVE) -> Position:
        """Tell how far votes were counted, and what waits."""
        table = tables.detector
        with self._reading() as connection:
            row = connection.execute(select(table).where(table.c.name == name)).one_or_none()
            number = row.number if row else 0
            left = select(func.count(), func.min(_fact.c.started)).join_from(_vote, _fact, _cast_by(_vote))
            waiting, since = connection.execute(left.where(_vote.c.number > number)).one()
        updated, header = (row.updated, row.header) if row else (None, b"")
        return Position(updated=updated, number=number, header=header, waiting=waiting, since=since)

    def events(self, *, since: float | None = None, only_open: bool = False) -> Iterator[Event]:
        """Stream events, the newest first: those that are open, or that were not over by `since`.

        One that cannot be read is logged and left out.
        """
        table = tables.event
        newest_first = (table.c.opened.desc(), table.c.id.desc())
        statement = select(table.c.id, table.c.encoded, table.c.opened).order_by(*newest_first).limit(_PAGE)
        if only_open:
            statement = statement.where(table.c.status.in_(OPEN))
        if since is not None:
            statement = statement.where(table.c.status.in_(OPEN) | (table.c.updated >= since))
        rest = statement
        while True:
            with self._reading() as connection:
                page = connection.execute(rest).all()
            for row in page:
                try:
                    yield _event(row.id, row.encoded)
                except StoreError as error:
                    log.error("%s: left out", error)
            if len(page) < _PAGE:
                return
            last = page[-1]
            before = (table.c.opened == last.opened) & (table.c.id < last.id)
            rest = statement.where((table.c.opened < last.opened) | before)

    def event(self, prefix: str) -> Event:
        """Find one event by its id or the beginning of it; raises NotFound when none or several begin so."""
        wanted, table = prefix.strip().lower(), tables.event
        if not wanted:
            raise NotFound("an event needs the beginning of its id: `wazi events` shows them")
        begins = func.substr(table.c.id, 1, len(wanted)) == wanted
        with self._reading() as connection:
            found = connection.execute(
                select(table.c.id, table.c.encoded).where(begins).order_by(table.c.id).limit(4)
            ).all()
        if not found:
            raise NotFound(f"no event begins with {wanted}: `wazi events --all` shows their ids")
        if len(found) > 1:
            some = ", ".join(row.id for row in found[:3]) + (", …" if len(found) > 3 else "")
            raise NotFound(f"more than one event begins with {wanted} ({some}): give more digits")
        return _event(found[0].id, found[0].encoded)

    def versions(self, event_id: str) -> list[tuple[float, Event]]:
        """Return what an event said each time it had news, and when that was stored, in order."""
        table = tables.event_version
        statement = select(table.c.updated, table.c.encoded).where(table.c.event_id == event_id)
        with self._reading() as connection:
            rows = connection.execute(statement.order_by(table.c.version)).all()
        return [(row.updated, _event(event_id, row.encoded)) for row in rows]

    def votes(self, hosts: Sequence[str], *, since: float, until: float, limit: int) -> list[Vote]:
        """Return the votes about some hosts in a stretch of time, the first `limit` of them, in order of time."""
        return list(islice(self.stream_votes(hosts, since=since, until=until), limit))

    def stream_votes(
        self,
        hosts: Sequence[str] = (),
        *,
        since: float,
        until: float,
        layers: Sequence[str] = (),
        asns: Sequence[int] = (),
        placebo: bool | None = None,
    ) -> Iterator[Vote]:
        """Stream the votes of a stretch of time in order of time, in bounded memory; `until` is exclusive.

        Of hosts, layers and networks any will do, or all when none is named.
        """
        wanted: list[ColumnElement[bool]] = [_fact.c.started >= since, _fact.c.started < until]
        for column, some in ((_fact.c.host, hosts), (_vote.c.layer, layers), (_fact.c.asn, asns)):
            if some:
                wanted.append(column.in_(some))
        if placebo is not None:
            wanted.append(_vote.c.placebo == placebo)
        statement = _votes().where(*wanted).order_by(_fact.c.started, _vote.c.number).limit(_VOTES_PAGE)
        rest = statement
        while True:
            with self._reading() as connection:
                page = connection.execute(rest).mappings().all()
            yield from map(_as_vote, page)
            if len(page) < _VOTES_PAGE:
                return
            last = page[-1]
            later = (_fact.c.started == last["started"]) & (_vote.c.number > last["number"])
            rest = statement.where((_fact.c.started > last["started"]) | later)

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        try:
            with self._engine.connect() as connection:
                yield connection
        except (SQLAlchemyError, UnicodeDecodeError) as error:
            raise explain(error, self._place) from error


def _insert(connection: Connection, table: Table) -> sqlite.Insert | postgresql.Insert:
    return sqlite.insert(table) if connection.dialect.name == "sqlite" else postgresql.insert(table)


def _votes(votes: NamedFromClause = _vote) -> Select[*tuple[object, ...]]:
    facts = (_fact.c.started, _fact.c.probe_id, _fact.c.country, _fact.c.asn, _fact.c.host)
    columns = (votes.c[column.name] for column in _vote.c)
    return select(*columns, *facts).join_from(votes, _fact, _cast_by(votes))


def _cast_by(votes: NamedFromClause) -> ColumnElement[bool]:
    """Hold where a vote is a measurement's; it is in the same month."""
    return and_(votes.c.measurement_id == _fact.c.id, on_months(started(votes.name) == _fact.c.started))


def _as_vote(row: RowMapping) -> Vote:
    return Vote(
        time=row["started"],
        probe=row["probe_id"],
        country=row["country"] or "",
        asn=row["asn"] or 0,
        target=row["host"],
        layer=row["layer"],
        blocked=row["blocked"],
        strength=Strength(row["strength"]),
        witness=row["measurement_id"].hex(),
        mechanism=row["mechanism"],
        software=row["software"],
        placebo=row["placebo"],
    )


def what_is_told(event: Event) -> tuple[object, ...]:
    """Return what is news about an event when it changes.

    Of its confirmation that is whether there is one: each look at the network that fails confirms an outage anew.
    """
    return (*_SAID(event), event.confirmed is not None)


def _is_news(event: Event, before: bytes) -> bool:
    """Tell whether an event says something new; what was kept of it and cannot be read said nothing."""
    try:
        return what_is_told(_event(event.id, before)) != what_is_told(event)
    except StoreError:
        return True


def _event(event_id: str, encoded: bytes) -> Event:
    try:
        return _decode_event(encoded)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise StoreError(f"event {event_id} cannot be read: {error}") from error
