"""Parquet, a folder of files by date and country: `verdicts/date=2026-11-23/country=ET/part-0.parquet` (Hive's way).

Rows come in order of time, so that only the files of one day are open at once. `HANDFUL` of them at a time are taken
apart, column by column, since a row holds its whole measurement. What is not yet written is bounded: when `BUFFERED`
rows have gathered, the longest group of them goes to its file, and at the end of a day all do. The columns are those
of `columns.COLUMNS`, typed; `country` stands in the folder's name, as readers of such folders expect, and so does
`date`, the day (UTC) in which the measurement began.

What pandas makes of such a folder bounds the form of it: no other file may stand in it, which is why it is one of its
own beside what describes the export, and no value in a folder's name may be null.

pyarrow is an extra, imported when this format is asked for.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from datetime import UTC, date, datetime
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from measurements.exports import columns
from measurements.exports.columns import COLUMNS, Column, taken
from measurements.exports.judged import Field, Judged, MissingExtra

if TYPE_CHECKING:
    import pyarrow
    import pyarrow.parquet

ROW_GROUP = 10_000
HANDFUL = 250  # rows that are taken apart together; a row group holds a whole number of them
BUFFERED = 16_000  # rows of all groups that are open
OPEN = 50  # files
UNKNOWN = "ZZ"  # OONI's code for a country that is not known
FOLDER = "verdicts"

ABOUT = (
    f"A folder `{FOLDER}` of Parquet files by date and country (Hive's way), zstandard inside. `date` and `country` "
    "are in the folders' names, where DuckDB, pandas and Polars find them."
)
IN_NAMES = ("date", "country")
FIELDS: dict[str, Field] = {
    "date": Field("date", "day on which the measurement began (UTC), from the folder's name"),
    **columns.FIELDS,
    "country": Field("string", f"country of the probe, two letters, {UNKNOWN} when unknown, from the folder's name"),
}

Group = tuple[str, str]


def write(rows: Iterable[Judged], folder: Path) -> int:
    """Write every row below `folder`; raises MissingExtra when pyarrow is not installed."""
    try:
        import pyarrow.parquet
    except ImportError as error:
        raise MissingExtra("--format parquet needs the pyarrow package: pip install 'wazi[parquet]'") from error
    coming = iter(rows)
    with _Groups(folder / FOLDER, _schema(pyarrow)) as groups:
        return sum(map(groups.add, iter(lambda: list(islice(coming, HANDFUL)), [])))


def _schema(arrow: Any) -> Any:
    kinds = {
        "string": arrow.string(),
        "integer": arrow.int64(),
        "number": arrow.float64(),
        "datetime": arrow.timestamp("us", tz="UTC"),
    }

    def kind(column: Column) -> Any:
        return arrow.list_(kinds[column.items]) if column.field.kind == "array" else kinds[column.field.kind]

    return arrow.schema(
        [
            arrow.field(name, kind(column), metadata={"description": column.field.meaning})
            for name, column in COLUMNS.items()
            if name not in IN_NAMES
        ]
    )


class _Groups:
    """The rows of each day and country that wait, and the files that are open."""

    def __init__(self, folder: Path, schema: pyarrow.Schema) -> None:
        self._folder = folder
        self._schema = schema
        self._waiting: dict[Group, list[list[Any]]] = {}  # columns
        self._sizes: dict[Group, int] = {}
        self._files: dict[Group, pyarrow.parquet.ParquetWriter] = {}
        self._parts: dict[Group, int] = {}
        self._day = ""
        self._number = math.nan  # of the day, since the epoch

    def __enter__(self) -> _Groups:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self._end_day()
        else:  # the folder goes away, and half a file with it
            for file in self._files.values():
                file.close()

    def add(self, handful: list[Judged]) -> int:
        """Put what is needed of some rows with their groups, write those that are large, and count the rows."""
        sorted_out: dict[tuple[float, str], list[Judged]] = {}
        for row in handful:
            fact = row.measurement
            sorted_out.setdefault((fact.started // 86_400, fact.vantage.country or UNKNOWN), []).append(row)
        for (number, country), rows in sorted_out.items():
            if number != self._number:
                self._end_day()
                self._day, self._number = _day(rows[0].measurement.started), number
            group = (self._day, country)
            waiting = self._waiting.setdefault(group, [[] for _ in self._schema])
            for column, some in zip(waiting, taken(rows, self._schema.names), strict=True):
                column += some
            self._sizes[group] = self._sizes.get(group, 0) + len(rows)
            if self._sizes[group] > ROW_GROUP - HANDFUL:
                self._flush(group)
        while sum(self._sizes.values()) >= BUFFERED:
            self._flush(max(self._sizes, key=self._sizes.__getitem__))
        return len(handful)

    def _end_day(self) -> None:
        for group in list(self._waiting):
            self._flush(group)
        for group in list(self._files):
            self._close(group)

    def _flush(self, group: Group) -> None:
        import pyarrow

        del self._sizes[group]
        arrays = [
            _array(found, COLUMNS[field.name].field.kind, field.type)
            for found, field in zip(self._waiting.pop(group), self._schema, strict=True)
        ]
        self._file(group).write_table(pyarrow.Table.from_arrays(arrays, schema=self._schema), row_group_size=ROW_GROUP)

    def _file(self, group: Group) -> pyarrow.parquet.ParquetWriter:
        import pyarrow.parquet

        if group not in self._files:
            if len(self._files) >= OPEN:
                self._close(next(iter(self._files)))
            day, country = group
            folder = self._folder / f"date={day}" / f"country={quote(country, safe='')}"
            folder.mkdir(parents=True, exist_ok=True)
            part = self._parts[group] = self._parts.get(group, -1) + 1
            self._files[group] = pyarrow.parquet.ParquetWriter(
                folder / f"part-{part}.parquet", self._schema, compression="zstd"
            )
        return self._files[group]

    def _close(self, group: Group) -> None:
        self._files.pop(group).close()


def _day(seconds: float) -> str:
    """Return the day of a time; of one that no calendar holds, the first or the last of the calendar."""
    try:
        return datetime.fromtimestamp(seconds, UTC).date().isoformat()
    except (ValueError, OverflowError, OSError):  # a foreign record may hold it
        return (date.max if seconds > 0 else date.min).isoformat()


def _array(values: list[Any], kind: str, type: Any) -> Any:
    import pyarrow

    if kind == "datetime":
        return pyarrow.array([round(v * 1e6) if abs(v) < 1e11 else None for v in values], type=type)
    try:
        return pyarrow.array(values, type=type)
    except OverflowError:  # a foreign record may count beyond 64 bits
        return pyarrow.array([v if v is not None and -(2**63) <= v < 2**63 else None for v in values], type=type)
