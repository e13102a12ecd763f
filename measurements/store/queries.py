"""The statements that read. A page continues after the last row of the page before it.

Two ways lead from measurements to their latest verdicts. Joining is right for SQLite, and for all that looks at
verdicts first. Where there are many months, PostgreSQL would join whole months for a page; there a page asks for the
verdict of each of its rows (`by_month`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Select, and_, exists, func, literal, select, true, tuple_
from sqlalchemy.sql.elements import ColumnElement
from sqlalchemy.sql.selectable import NamedFromClause

from measurements.model import Outcome
from measurements.store import tables
from measurements.store.months import known, on_months, started

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


def entries(
    wanted: Filter, after: Key | None, size: int, *, newest_first: bool, whole: bool, by_month: bool = False
) -> Query:
    """Select a page of measurements with their latest verdicts, listed or, if `whole`, encoded."""
    columns = [_fact.c.id, _fact.c.started, _fact.c.digest, _fact.c.encoded] if whole else LIST_COLUMNS
    if by_month and wanted.outcome is None and wanted.rules_version is None:
        judged, said = _each_judged()
    else:
        judged, said = _judged(wanted.rules_version), _opinion.c
    statement = select(*columns, *said).select_from(judged).where(*_conditions(wanted))
    return _page(statement, after, size, newest_first=newest_first)


def place(key: bytes) -> Query:
    """Select what a page continues after, to begin with the measurement that follows this one."""
    return select(_fact.c.started, _fact.c.id).where(_fact.c.id == key, _in_its_month(_fact.c.started, key))


def unjudged(rules_version: int, after: Key | None, size: int) -> Query:
    """Select a page of whole measurements that this version of the rules has not judged, oldest first."""
    judged = exists().where(_about(_opinion), _opinion.c.rules_version == rules_version)
    statement = select(_fact.c.id, _fact.c.started, _fact.c.digest, _fact.c.encoded).where(~judged)
    return _page(statement, after, size, newest_first=False)


def by_prefix(prefix: str, *, by_month: bool = False) -> Query:
    """Select at most four ids that begin with `prefix`, 1 to 32 hexadecimal digits."""
    first, last = bytes.fromhex(prefix.ljust(32, "0")), bytes.fromhex(prefix.ljust(32, "f"))
    key = (known if by_month else _fact).c.id
    return select(key).where(key.between(first, last)).order_by(key).limit(4)


def one(key: bytes, *, by_month: bool = False) -> Query:
    """Select a whole measurement with its latest verdict."""
    judged, said = _each_judged() if by_month else (_judged(), _opinion.c)
    columns = [*LIST_COLUMNS, *said, _fact.c.digest, _fact.c.encoded]
    return select(*columns).select_from(judged).where(_fact.c.id == key, _in_its_month(_fact.c.started, key))


def opinions(key: bytes) -> Query:
    """Select all verdicts of a measurement, oldest rules first."""
    mine = (_opinion.c.measurement_id == key, _in_its_month(started("verdict"), key))
    return select(_opinion).where(*mine).order_by(_opinion.c.rules_version)


def history(target: str, probe_id: str, since: float, limit: int, *, by_month: bool = False) -> Query:
    """Select the judged measurements of a target by one probe, newest first."""
    mine = _conditions(Filter(since=since, target=target, probe_id=probe_id))
    return _lately(mine, limit, by_month)


def sessions(
    nettest: str, probe_id: str, since: float, url: str | None, limit: int, *, by_month: bool = False
) -> Query:
    """Select the judged measurements of one probe by one nettest, of one URL or of all, newest first."""
    mine = [_fact.c.nettest == nettest, _fact.c.probe_id == probe_id, _fact.c.started >= since]
    if url is not None:
        mine.append(_fact.c.url == url)
    return _lately(mine, limit, by_month)


def _lately(mine: list[ColumnElement[bool]], limit: int, by_month: bool) -> Query:
    judged, said = _each_judged() if by_month else (_judged(), _opinion.c)
    statement = select(*LIST_COLUMNS, *said).select_from(judged).where(*mine, said.outcome.is_not(None))
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
        return _fact.join(_opinion, and_(_about(_opinion), _opinion.c.rules_version == rules_version))
    newest = select(func.max(_other.c.rules_version)).where(_about(_other)).scalar_subquery()
    return _fact.outerjoin(_opinion, and_(_about(_opinion), _opinion.c.rules_version == newest.correlate(_fact)))


def _each_judged() -> tuple[Any, Any]:
    """Return measurements with the latest verdict on each, looked up for every row, and the columns of the verdict."""
    newest = select(_other).where(_about(_other)).order_by(_other.c.rules_version.desc()).limit(1)
    latest = newest.correlate(_fact).lateral("latest")
    return _fact.outerjoin(latest, true()), latest.c


def _about(opinion: NamedFromClause) -> ColumnElement[bool]:
    """Hold where an opinion is about the measurement; it is in the same month."""
    same = on_months(started(opinion.name) == _fact.c.started)
    return and_(opinion.c.measurement_id == _fact.c.id, same)


def _in_its_month(time: ColumnElement[float], key: bytes) -> ColumnElement[bool]:
    """Look only into the month in which a measurement began."""
    return on_months(time == select(known.c.started).where(known.c.id == key).scalar_subquery())


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
    if newest_first:
        return and_(here < there, on_months(_fact.c.started <= after[0]))
    return and_(here > there, on_months(_fact.c.started >= after[0]))  # no month is left out for what a pair says
