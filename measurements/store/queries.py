"""The statements that read. A page continues after the last row of the page before it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Select, and_, exists, func, literal, select, tuple_
from sqlalchemy.sql.elements import ColumnElement

from measurements.model import Outcome
from measurements.store import tables

_fact = tables.measurement
_opinion = tables.verdict
_other = tables.verdict.alias("newest")

LIST_COLUMNS = [column for column in _fact.c if column.name not in ("digest", "encoded", "full_body")]

Key = tuple[float, bytes]
Query = Select[*tuple[Any, ...]]


@dataclass(frozen=True, slots=True)
class Filter:
    """Which measurements: `since` is inside, `until` is not; `target` is a URL or a host name.

    Of `countries`, `asns` and `categories` any one will do. With `rules_version` only measurements that these rules
    judged, with what they said; without it each comes with its latest verdict, or with none.
    """

    since: float | None = None
    until: float | None = None
    target: str | None = None
    outcome: Outcome | None = None
    probe_id: str | None = None
    countries: tuple[str, ...] = ()
    asns: tuple[int, ...] = ()
    categories: tuple[str, ...] = ()
    rules_version: int | None = None


def entries(wanted: Filter, after: Key | None, size: int, *, newest_first: bool, whole: bool) -> Query:
    """Select a page of measurements with their latest verdicts, listed or, if `whole`, encoded."""
    columns = [_fact.c.id, _fact.c.started, _fact.c.digest, _fact.c.encoded] if whole else LIST_COLUMNS
    judged = _judged(wanted.rules_version)
    statement = select(*columns, *_opinion.c).select_from(judged).where(*_conditions(wanted))
    return _page(statement, after, size, newest_first=newest_first)


def place(key: bytes) -> Query:
    """Select what a page continues after, to begin with the measurement that follows this one."""
    return select(_fact.c.started, _fact.c.id).where(_fact.c.id == key)


def unjudged(rules_version: int, after: Key | None, size: int) -> Query:
    """Select a page of whole measurements that this version of the rules has not judged, oldest first."""
    judged = exists().where(_opinion.c.measurement_id == _fact.c.id, _opinion.c.rules_version == rules_version)
    statement = select(_fact.c.id, _fact.c.started, _fact.c.digest, _fact.c.encoded).where(~judged)
    return _page(statement, after, size, newest_first=False)


def by_prefix(prefix: str) -> Query:
    """Select at most four ids that begin with `prefix`, 1 to 32 hexadecimal digits."""
    first, last = bytes.fromhex(prefix.ljust(32, "0")), bytes.fromhex(prefix.ljust(32, "f"))
    return select(_fact.c.id).where(_fact.c.id.between(first, last)).order_by(_fact.c.id).limit(4)


def one(key: bytes) -> Query:
    """Select a whole measurement with its latest verdict."""
    columns = [*LIST_COLUMNS, *_opinion.c, _fact.c.digest, _fact.c.encoded]
    return select(*columns).select_from(_judged()).where(_fact.c.id == key)


def opinions(key: bytes) -> Query:
    """Select all verdicts of a measurement, oldest rules first."""
    return select(_opinion).where(_opinion.c.measurement_id == key).order_by(_opinion.c.rules_version)


def history(target: str, probe_id: str, since: float, limit: int) -> Query:
    """Select the judged measurements of a target by one probe, newest first."""
    wanted = Filter(since=since, target=target, probe_id=probe_id)
    statement = (
        select(*LIST_COLUMNS, *_opinion.c)
        .select_from(_judged())
        .where(*_conditions(wanted), _opinion.c.outcome.is_not(None))
    )
    return _page(statement, None, limit, newest_first=True)


def sessions(nettest: str, probe_id: str, since: float, url: str | None, limit: int) -> Query:
    """Select the judged measurements of one probe by one nettest, of one URL or of all, newest first."""
    mine = [_fact.c.nettest == nettest, _fact.c.probe_id == probe_id, _fact.c.started >= since]
    if url is not None:
        mine.append(_fact.c.url == url)
    statement = select(*LIST_COLUMNS, *_opinion.c).select_from(_judged()).where(*mine, _opinion.c.outcome.is_not(None))
    return _page(statement, None, limit, newest_first=True)


def outcomes(wanted: Filter) -> Query:
    """Count measurements by the outcome of their latest verdict; NULL when there is none."""
    return (
        select(_opinion.c.outcome, func.count())
        .select_from(_judged())
        .where(*_conditions(wanted))
        .group_by(_opinion.c.outcome)
    )


def count(wanted: Filter, after: Key | None = None) -> Query:
    """Count measurements, those that come after a place in time."""
    source = _fact if wanted.outcome is None and wanted.rules_version is None else _judged(wanted.rules_version)
    statement = select(func.count()).select_from(source).where(*_conditions(wanted))
    return statement if after is None else statement.where(_follows(after))


def last_full_body(url: str, probe_id: str | None) -> Query:
    """Select when a page of `url` was last read in full."""
    mine = [] if probe_id is None else [_fact.c.probe_id == probe_id]
    return select(func.max(_fact.c.started)).where(_fact.c.url == url, _fact.c.full_body, *mine)


def last_measured(url: str, nettest: str, probe_id: str) -> Query:
    """Select when a probe last measured `url` by a nettest."""
    mine = (_fact.c.url == url, _fact.c.nettest == nettest, _fact.c.probe_id == probe_id)
    return select(func.max(_fact.c.started)).where(*mine)


def _judged(rules_version: int | None = None) -> Any:
    if rules_version is not None:
        said = and_(_opinion.c.measurement_id == _fact.c.id, _opinion.c.rules_version == rules_version)
        return _fact.join(_opinion, said)
    newest = select(func.max(_other.c.rules_version)).where(_other.c.measurement_id == _fact.c.id).scalar_subquery()
    return _fact.outerjoin(
        _opinion,
        and_(_opinion.c.measurement_id == _fact.c.id, _opinion.c.rules_version == newest.correlate(_fact)),
    )


def _conditions(wanted: Filter) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = []
    if wanted.since is not None:
        conditions.append(_fact.c.started >= wanted.since)
    if wanted.until is not None:
        conditions.append(_fact.c.started < wanted.until)
    if wanted.target is not None:
        column = _fact.c.url if "://" in wanted.target else _fact.c.host
        conditions.append(column == wanted.target)
    if wanted.outcome is not None:
        conditions.append(_opinion.c.outcome == str(wanted.outcome))
    if wanted.probe_id is not None:
        conditions.append(_fact.c.probe_id == wanted.probe_id)
    for column, some in ((_fact.c.country, wanted.countries), (_fact.c.asn, wanted.asns)):
        if some:
            conditions.append(column.in_(some))
    if wanted.categories:
        conditions.append(_fact.c.category.in_(wanted.categories))
    return conditions


def _page(statement: Query, after: Key | None, size: int, *, newest_first: bool) -> Query:
    order = [_fact.c.started, _fact.c.id]
    if after is not None:
        statement = statement.where(_follows(after, newest_first=newest_first))
    return statement.order_by(*(column.desc() if newest_first else column for column in order)).limit(size)


def _follows(after: Key, *, newest_first: bool = False) -> ColumnElement[bool]:
    here, there = tuple_(_fact.c.started, _fact.c.id), tuple_(literal(after[0]), literal(after[1]))
    return here < there if newest_first else here > there
