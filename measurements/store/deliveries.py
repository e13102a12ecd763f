"""What alert hooks are to be told, were told, and how each of them is.

News of an event are a mark (`news`). When they may leave, marks become a message: which versions of which events it
tells is frozen under its id, so that it is the same however often it is tried. No event is in two messages of a hook
that are not over, which keeps their order: what is new meanwhile waits as a mark, and messages about other events go
on.

A message is over when it was delivered, or was given up after the time that the hook's rule allows. That time is
counted by how long the hook was ready to send (`lived`), so that neither a clock that was set nor a computer that was
off gives anything up.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass

from sqlalchemy import Connection, Engine, RowMapping, case, func, or_, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import SQLAlchemyError

from measurements.alerts.notice import Change, Notice
from measurements.alerts.routing import Rule, together
from measurements.store import tables
from measurements.store.composing import GIVEN_UP, WAITING, Composing, last_told, read
from measurements.store.errors import StoreError, explain
from measurements.store.news import mark_without_news

DELIVERED, DROPPED = "delivered", "dropped"
GONE = "its alert is in the settings no more"
KEPT = 30 * 86_400.0  # seconds for which what is over is kept
LOST = 7 * 86_400.0  # seconds after which nothing is kept for an alert that is in nobody's settings
_AT_ONCE = 500  # marks

_hook, _mark, _notice = tables.alert_hook, tables.alert_event, tables.alert_notice
_event = tables.event


@dataclass(frozen=True, kw_only=True)
class Message:
    """A message to be tried. `since` is when its oldest news was stored; `notice` is None when it cannot be read."""

    id: str
    attempts: int
    since: float
    born: float
    notice: Notice | None


@dataclass(frozen=True, kw_only=True)
class HookState:
    """How a hook is. `waiting` events have news that it was not told, the oldest since `since`; times are UTC seconds.

    `given_up` events have news that could not be delivered for too long.
    """

    name: str
    waiting: int = 0
    since: float | None = None
    delivered: float | None = None
    answer: str = ""
    failing: float | None = None
    why: str = ""
    disabled: str = ""
    given_up: int = 0
    seen: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Entered:
    """What was known of a hook when somebody began to send for it."""

    lived: float
    disabled: str


class Deliveries:
    """What alert hooks are told, of one store; `Store.deliveries` hands it out. Any thread may call it.

    Every method raises StoreError when the database does not do what it was asked.
    """

    def __init__(
        self,
        engine: Engine,
        place: str,
        broken: Callable[[], StoreError | None],
        queue: AbstractContextManager[object],
    ) -> None:
        self._engine = engine
        self._writing_engine = engine.execution_options(wazi_writes=True)
        self._place = place
        self._broken = broken
        self._queue = queue

    def enter(self, name: str, setting: str, now: float) -> Entered:
        """Begin to send for a hook; one that was switched off stays so until its `setting` changes."""
        with self._writing() as connection:
            insert = _insert(connection)(_hook).values(
                name=name, setting=setting, disabled="", seen=now, lived=0.0, answer="", why=""
            )
            connection.execute(insert.on_conflict_do_nothing())
            row = connection.execute(select(_hook).where(_hook.c.name == name)).mappings().one()
            disabled = row["disabled"] if row["setting"] == setting else ""
            connection.execute(
                _hook.update().where(_hook.c.name == name).values(setting=setting, disabled=disabled, seen=now)
            )
            self._catch_up(connection, name, now, row["lived"])
        return Entered(lived=row["lived"], disabled=disabled)

    def compose(self, rule: Rule, now: float, lived: float, *, public_url: str = "", most: int | None = None) -> int:
        """Make messages of the news that may leave, the first `most` of them; return how many news were given up."""
        with self._writing() as connection:
            connection.execute(select(_hook.c.name).where(_hook.c.name == rule.name).with_for_update())
            due = (_mark.c.hook == rule.name, _mark.c.due <= now, _mark.c.notice.is_(None))
            statement = select(_mark, _event.c.encoded).join_from(_mark, _event).where(*due)
            rows = connection.execute(statement.order_by(_mark.c.since, _mark.c.event_id).limit(_AT_ONCE)).mappings()
            work = Composing(connection, rule, now, lived)
            groups = together(item for row in rows.all() if (item := work.item(row)) is not None)
            for group in groups[:most]:
                work.freeze(group, public_url)
        return work.given_up

    def next_due(self, name: str) -> float | None:
        """Return when there may be something to do for a hook, None when nothing waits."""
        with self._reading() as connection:
            waiting = (
                select(func.min(_mark.c.due)).where(_mark.c.hook == name, _mark.c.notice.is_(None)),
                select(func.min(_notice.c.due)).where(_notice.c.hook == name),
            )
            found = [connection.execute(statement).scalar() for statement in waiting]
        return min((due for due in found if due is not None), default=None)

    def has_news(self, name: str, now: float) -> bool:
        """Tell whether news of a hook wait that are in no message yet."""
        due = (_mark.c.hook == name, _mark.c.due <= now, _mark.c.notice.is_(None))
        with self._reading() as connection:
            return connection.execute(select(_mark.c.event_id).where(*due).limit(1)).first() is not None

    def message(self, name: str, now: float, *, new: bool) -> Message | None:
        """Return the message to be tried next: a `new` one, or one that failed before."""
        due = (_notice.c.hook == name, _notice.c.due <= now, _notice.c.attempts == 0 if new else _notice.c.attempts > 0)
        with self._reading() as connection:
            statement = select(_notice).where(*due).order_by(_notice.c.due, _notice.c.since, _notice.c.id).limit(1)
            row = connection.execute(statement).mappings().one_or_none()
            if row is None:
                return None
            notice = read(connection, row)
        return Message(id=row["id"], attempts=row["attempts"], since=row["since"], born=row["born"], notice=notice)

    def delivered(self, name: str, notice_id: str, now: float, lived: float, answer: str) -> None:
        """Mark a message as delivered; `answer` is what came back."""
        with self._writing() as connection:
            if (row := self._close(connection, notice_id, DELIVERED, now, "")) is None:
                return
            for (change, status), event_ids in last_told(row["encoded"]).items():
                told = {"told": change.value, "status": status.value, "told_at": now, "first": None, "notice": None}
                mine = (_mark.c.notice == notice_id) & _mark.c.event_id.in_(event_ids)
                connection.execute(_mark.update().where(mine).values(told))
            values = {"delivered": now, "answer": answer, "failing": None, "why": "", "lived": lived}
            connection.execute(_hook.update().where(_hook.c.name == name).values(values))

    def failed(self, name: str, notice_id: str, now: float, lived: float, why: str, due: float) -> None:
        """Mark that a message was not delivered, why, and when to try again."""
        with self._writing() as connection:
            mine = (_notice.c.id == notice_id) & (_notice.c.state == WAITING)
            values = {"attempts": _notice.c.attempts + 1, "due": due, "why": why}
            connection.execute(_notice.update().where(mine).values(values))
            self._fail(connection, name, now, lived, why)

    def give_up(self, name: str, notice_id: str, now: float, lived: float, why: str) -> None:
        """Mark that a message will not be tried again; of its events the hook knows no more than before."""
        with self._writing() as connection:
            if self._close(connection, notice_id, GIVEN_UP, now, why) is not None:
                values = {"notice": None, "first": None, "skipped": f"{GIVEN_UP}: {why}"}
                connection.execute(_mark.update().where(_mark.c.notice == notice_id).values(values))
                self._fail(connection, name, now, lived, why)

    def disable(self, name: str, now: float, lived: float, why: str) -> None:
        """Switch a hook off until its setting changes."""
        with self._writing() as connection:
            self._fail(connection, name, now, lived, why)
            connection.execute(_hook.update().where(_hook.c.name == name).values(disabled=why))

    def look_again(self, name: str, now: float) -> None:
        """Let everything that waits for a hook be looked at at once: its rule is another, or the clock was set."""
        with self._writing() as connection:
            connection.execute(_mark.update().where(_mark.c.hook == name, _mark.c.due.is_not(None)).values(due=now))
            connection.execute(_notice.update().where(_notice.c.hook == name, _notice.c.due > now).values(due=now))

    def alive(self, names: Iterable[str], now: float) -> None:
        """Note that hooks are in somebody's settings; drop what waits for those that were in nobody's for long."""
        with self._writing() as connection:
            connection.execute(_hook.update().where(_hook.c.name.in_(list(names))).values(seen=now))
            long_ago = now - LOST
            lost = connection.execute(select(_hook.c.name).where(_hook.c.seen < long_ago)).scalars().all()
            dropped = {"state": DROPPED, "due": None, "why": GONE, "ended": now}
            connection.execute(
                _notice.update().where(_notice.c.hook.in_(lost), _notice.c.state == WAITING).values(dropped)
            )
            waits = (_mark.c.hook.in_(lost), or_(_mark.c.due.is_not(None), _mark.c.notice.is_not(None)))
            unmarked = {**mark_without_news(), "notice": None, "skipped": GONE}
            connection.execute(_mark.update().where(*waits).values(unmarked))
            connection.execute(_notice.delete().where(_notice.c.ended < now - KEPT))

    def states(self) -> list[HookState]:
        """Tell how every hook is that was ever in the settings, by name."""
        waits = or_(_mark.c.due.is_not(None), _mark.c.notice.is_not(None))
        counted = select(_mark.c.hook, func.count(), func.min(_mark.c.since)).where(waits).group_by(_mark.c.hook)
        messages = select(_notice.c.hook, func.min(_notice.c.since)).where(_notice.c.state == WAITING)
        lost = select(_mark.c.hook, func.count()).where(_mark.c.skipped.startswith(GIVEN_UP)).group_by(_mark.c.hook)
        with self._reading() as connection:
            marks = {name: (count, since) for name, count, since in connection.execute(counted)}
            oldest = dict(iter(connection.execute(messages.group_by(_notice.c.hook))))
            given_up: dict[str, int] = dict(iter(connection.execute(lost)))
            rows = connection.execute(select(_hook).order_by(_hook.c.name)).mappings().all()
        states = []
        for row in rows:
            kept = {key: row[key] for key in ("name", "delivered", "answer", "failing", "why", "disabled", "seen")}
            count, since = marks.get(row["name"], (0, None))
            first = min((time for time in (since, oldest.get(row["name"])) if time is not None), default=None)
            states.append(HookState(waiting=count, since=first, given_up=given_up.get(row["name"], 0), **kept))
        return states

    @staticmethod
    def _catch_up(connection: Connection, name: str, now: float, lived: float) -> None:
        """Mark what became of the events that a hook knows of while it was in nobody's settings."""
        newest = select(_event.c.version).where(_event.c.id == _mark.c.event_id).scalar_subquery()
        knows = or_(_mark.c.told == Change.OPENED.value, _mark.c.due.is_not(None), _mark.c.notice.is_not(None))
        born = case((_mark.c.since.is_(None), lived), else_=_mark.c.born)
        values = {"wanted": newest, "due": now, "since": func.coalesce(_mark.c.since, now), "born": born}
        missed = (_mark.c.hook == name, knows, _mark.c.wanted < newest)
        connection.execute(_mark.update().where(*missed).values(values))

    @staticmethod
    def _close(connection: Connection, notice_id: str, state: str, now: float, why: str) -> RowMapping | None:
        """End a message; None when it was over already."""
        mine = (_notice.c.id == notice_id) & (_notice.c.state == WAITING)
        row = connection.execute(select(_notice).where(mine).with_for_update()).mappings().one_or_none()
        values = {"state": state, "due": None, "ended": now, "why": why, "attempts": _notice.c.attempts + 1}
        connection.execute(_notice.update().where(mine).values(values))
        return row

    @staticmethod
    def _fail(connection: Connection, name: str, now: float, lived: float, why: str) -> None:
        values = {"failing": func.coalesce(_hook.c.failing, now), "why": why, "lived": lived}
        connection.execute(_hook.update().where(_hook.c.name == name).values(values))

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        if (refusal := self._broken()) is not None:
            raise refusal
        try:
            with self._queue, self._writing_engine.begin() as connection:
                yield connection
        except SQLAlchemyError as error:
            raise explain(error, self._place) from error

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        try:
            with self._engine.connect() as connection:
                yield connection
        except (SQLAlchemyError, UnicodeDecodeError) as error:
            raise explain(error, self._place) from error


def _insert(connection: Connection) -> Callable[..., sqlite.Insert | postgresql.Insert]:
    return sqlite.insert if connection.dialect.name == "sqlite" else postgresql.insert
