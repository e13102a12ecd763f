"""What is stored with an event: for each hook that may hear of it, that there is news.

This happens in the transaction that stores the event, so that neither is there without the other. It is no more than a
mark, one a hook and event: what is said, and when, is decided when it can be sent (`composing`). So fifty changes of
an event while nothing gets through leave one mark, and counting votes never waits for a hook.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import Connection, RowMapping, select

from measurements.alerts.notice import Change
from measurements.alerts.routing import Rule, concerns, is_fit, is_old
from measurements.events.nouns import Event
from measurements.store import tables

OLD = "it lay too far back when it was stored"

_marks, _fact = tables.alert_event, tables.measurement


class Planner:
    """Marks news in one transaction; `now` is UTC seconds."""

    def __init__(self, connection: Connection, rules: Sequence[Rule], now: float) -> None:
        self._connection = connection
        self._rules = rules
        self._now = now
        self._lived: dict[str, float] | None = None
        self._categories: dict[str, str] = {}
        self.planned = 0

    def plan(self, event: Event, version: int) -> None:
        """Mark for every hook that may hear of it what an event says anew."""
        if not self._rules:
            return
        rows = self._connection.execute(select(_marks).where(_marks.c.event_id == event.id)).mappings()
        known = {row["hook"]: row for row in rows}
        for rule in self._rules:
            mark = known.get(rule.name)
            values = self._mark(rule, mark, event, version)
            if values is None:
                continue
            if mark is None:
                self._connection.execute(_marks.insert().values(event_id=event.id, hook=rule.name, **values))
            else:
                mine = (_marks.c.event_id == event.id) & (_marks.c.hook == rule.name)
                self._connection.execute(_marks.update().where(mine).values(values))
            self.planned += values["due"] is not None

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
                return {**_fresh(mark), **mark_without_news(), "wanted": version, "skipped": OLD}
        return {
            **_fresh(mark),
            "wanted": version,
            "first": version if mark["first"] is None else mark["first"],
            "since": self._now if mark["since"] is None else mark["since"],
            "due": self._now,
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


_NOTHING: Any = {"told": "", "status": "", "first": None, "since": None, "born": 0.0, "notice": None, "held": False}


def _fresh(mark: RowMapping | dict[str, Any]) -> dict[str, Any]:
    """Return the columns that a new mark needs and an old one keeps."""
    return {key: mark[key] for key in ("told", "status", "first", "since", "born", "held")}


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
