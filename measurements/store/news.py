"""What is stored with an event: for each hook that may hear of it, that there is news.

This happens in the transaction that stores the event, so that neither is there without the other. It is no more than a
mark, one a hook and event: what is said, and when, is decided when it can be sent (`composing`). So fifty changes of
an event while nothing gets through leave one mark, and counting votes never waits for a hook.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import Connection, RowMapping, bindparam, select

from measurements.alerts.notice import Change
from measurements.alerts.routing import Rule, concerns, is_fit, is_old
from measurements.events.nouns import Event
from measurements.store import tables

_PAGE = 200  # events looked up at once
BACKLOG = 30.0  # seconds that news wait which were found while votes had to be caught up with
OLD = "it lay too far back when it was stored"

_marks, _fact = tables.alert_event, tables.measurement


class Planner:
    """Marks news in one transaction; `now` is UTC seconds."""

    def __init__(self, connection: Connection, rules: Sequence[Rule], now: float) -> None:
        self._connection = connection
        self._rules = rules
        self._now = self._due = now
        self._lived: dict[str, float] | None = None
        self._categories: dict[str, str] = {}
        self.planned = 0

    def plan(self, news: Sequence[tuple[Event, int]], *, is_behind: bool = False) -> None:
        """Mark for every hook that may hear of it what events say anew, each by its version.

        When counting `is_behind`, this waits: what began in old votes may be over in the next ones.
        """
        self._due = self._now + (BACKLOG if is_behind else 0.0)
        if not self._rules:
            return
        known = self._known([event.id for event, _ in news])
        new: list[dict[str, Any]] = []
        changed: list[dict[str, Any]] = []
        for event, version in news:
            for rule in self._rules:
                mark = known.get((event.id, rule.name))
                values = self._mark(rule, mark, event, version)
                if values is None:
                    continue
                self.planned += values["due"] is not None
                if mark is None:
                    new.append({**_NOTHING, **values, "event_id": event.id, "hook": rule.name})
                else:
                    changed.append({**mark, **values, "its_id": event.id, "its_hook": rule.name})
        if new:
            self._connection.execute(_marks.insert(), new)
        if changed:
            mine = (_marks.c.event_id == bindparam("its_id")) & (_marks.c.hook == bindparam("its_hook"))
            columns = ("wanted", "first", "since", "due", "born", "held", "skipped")
            rows = [{key: row[key] for key in (*columns, "its_id", "its_hook")} for row in changed]
            self._connection.execute(_marks.update().where(mine), rows)

    def _known(self, ids: Sequence[str]) -> dict[tuple[str, str], RowMapping]:
        """Return the marks of events, by event and hook."""
        known: dict[tuple[str, str], RowMapping] = {}
        for start in range(0, len(ids), _PAGE):
            some = select(_marks).where(_marks.c.event_id.in_(ids[start : start + _PAGE]))
            rows = self._connection.execute(some).mappings()
            known |= {(row["event_id"], row["hook"]): row for row in rows}
        return known

    def _mark(self, rule: Rule, mark: RowMapping | None, event: Event, version: int) -> dict[str, Any] | None:
        """Return what to keep of an event for one hook; None when it is none of its business."""
        if mark is None:
            mark = _NOTHING
        if mark["told"] != Change.OPENED and mark["notice"] is None:  # it knows of nothing, or that it is over
            passed_by = mark is not _NOTHING and mark["first"] is None and not event.is_open
            fit = is_fit(rule, event) and concerns(rule, event, self.categories(rule, event))
            if passed_by or not fit:
                return None if mark is _NOTHING else {**mark_without_news(), "wanted": version}
            if mark["first"] is None and is_old(rule, event, self._now):
                return {**mark_without_news(), "wanted": version, "skipped": OLD}
        return {
            "wanted": version,
            "first": version if mark["first"] is None else mark["first"],
            "since": self._now if mark["since"] is None else mark["since"],
            "due": self._due,
            "born": self._age(rule.name) if mark["since"] is None else mark["born"],
            "skipped": "",
        }

    def categories(self, rule: Rule, event: Event) -> set[str]:
        """Return the categories of an event's targets, where the rule asks for them."""
        return categories(self._connection, event.targets, self._categories) if rule.categories else set()

    def _age(self, hook: str) -> float:
        if self._lived is None:
            table = tables.alert_hook
            self._lived = {row.name: row.lived for row in self._connection.execute(select(table.c.name, table.c.lived))}
        return self._lived.get(hook, 0.0)


_NOTHING: Any = {
    "told": "",
    "status": "",
    "told_at": None,
    "first": None,
    "since": None,
    "born": 0.0,
    "held": False,
    "notice": None,
    "skipped": "",
}


def mark_without_news() -> dict[str, Any]:
    """Return the columns of a mark of which nothing is to be told."""
    return {"first": None, "since": None, "due": None, "held": False}


def categories(connection: Connection, hosts: Iterable[str], known: dict[str, str]) -> set[str]:
    """Return the categories of hosts, each as its last measurement has it; `known` are those looked up before."""
    found = set()
    for host in hosts:
        if host not in known:
            last = select(_fact.c.category).where(_fact.c.host == host).order_by(_fact.c.started.desc()).limit(1)
            known[host] = connection.execute(last).scalar() or ""
        found.add(known[host])
    return found - {""}
