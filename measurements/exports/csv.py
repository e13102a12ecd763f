r"""One row a verdict, for a spreadsheet and for a program.

A cell of text that a spreadsheet would run as a formula or turn into a number must not reach it
as it is, and yet a program must read back exactly what was written. So text is escaped, and `read`
undoes it:

1. a backslash becomes `\\`, and a control character `\xNN`;
2. a semicolon that stands before something a formula begins with becomes `\x3b`, because where the
   decimal sign is a comma a spreadsheet splits cells at semicolons;
3. text that would then begin a formula, looks like a number, or begins with `'` gets a `'` in front.

The first line names the columns (`columns.COLUMNS`). Cells that are empty mean: unknown or none. Numbers are
written as Python writes them (a negative one begins with its sign, and is no formula), times in ISO 8601, the items
of an array with spaces between them. Lines end in CR LF (RFC 4180), the encoding is UTF-8.
"""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Callable, Iterable, Iterator
from datetime import date, timedelta
from functools import lru_cache
from typing import Any, BinaryIO

from measurements.exports.columns import COLUMNS, values
from measurements.exports.judged import Judged

ABOUT = (
    "Comma-separated, UTF-8, one row a verdict. Text that a spreadsheet would run or change is escaped: a leading `'` "
    "is not part of it, and `\\xNN`, `\\uNNNN` and `\\\\` stand for a character. Arrays are joined by spaces; an empty "
    "cell is unknown or none."
)

TOGETHER = 30  # rows that are written at once

_PLAIN = re.compile(r"[A-Za-z][^\x00-\x1f\x7f-\x9f\u2028\u2029\ufeff\\;]*")  # most text: nothing to escape in it
_FORMULA = "=+\\-@\uff1d\uff0b\uff0d\uff20|%"
_BEGINS_FORMULA = re.compile(rf"[\s\"']*[{_FORMULA}]")
_SEMICOLON = re.compile(rf";(?=[\s\"']*[{_FORMULA}])")
_LOOKS_LIKE_NUMBER = re.compile(r"\s*[$€£(]?\s*[\d.,]+(\s*[eE]\s*[+-]?\s*\d+)?\s*[)%]?\s*")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ufeff\\]")
_ESCAPED = re.compile(r"\\(?:\\|x([0-9a-f]{2})|u([0-9a-f]{4}))")


def write(rows: Iterable[Judged], stream: BinaryIO) -> int:
    """Write the heading and one row a verdict."""
    text = io.StringIO(newline="")  # a text stream over the caller's would close it with itself when a write fails
    writer = csv.writer(text)
    writer.writerow(COLUMNS)
    cells = [_CELLS[column.field.kind] for column in COLUMNS.values()]
    take = values(COLUMNS)
    count = 0
    for count, row in enumerate(rows, 1):
        writer.writerow(["" if value is None else cell(value) for value, cell in zip(take(row), cells, strict=True)])
        if count % TOGETHER == 0:
            _pass_on(text, stream)
    _pass_on(text, stream)
    return count


def _pass_on(text: io.StringIO, stream: BinaryIO) -> None:
    stream.write(text.getvalue().encode("utf-8", "backslashreplace"))
    text.seek(0)
    text.truncate()


def read(stream: BinaryIO) -> Iterator[dict[str, str]]:
    """Yield the rows that `write` wrote, each cell as the text it was before escaping."""
    text = io.TextIOWrapper(stream, encoding="utf-8", newline="")
    try:
        for row in csv.DictReader(text):
            yield {name: unescape(cell) for name, cell in row.items()}
    finally:
        text.detach()


@lru_cache(maxsize=4096)  # most cells say one of a few things
def escape(text: str) -> str:
    """Make text safe in a spreadsheet's cell; see the module's docstring for the rules."""
    if _PLAIN.fullmatch(text):
        return text
    escaped = _SEMICOLON.sub(r"\\x3b", _CONTROL.sub(_escape_character, text))
    if escaped.startswith("'") or _BEGINS_FORMULA.match(text) or _LOOKS_LIKE_NUMBER.fullmatch(text):
        return "'" + escaped
    return escaped


def unescape(cell: str) -> str:
    """Give back the text that `escape` was given."""
    return _ESCAPED.sub(_unescape_character, cell.removeprefix("'"))


def _escape_character(match: re.Match[str]) -> str:
    character = match.group()
    if character == "\\":
        return "\\\\"
    code = ord(character)
    return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}"


def _unescape_character(match: re.Match[str]) -> str:
    digits = match.group(1) or match.group(2)
    return chr(int(digits, 16)) if digits else "\\"


def _iso(seconds: float) -> str:
    try:
        whole = math.floor(seconds)
        moment, micro = divmod(round((seconds - whole) * 1e6), 1_000_000)
        day, moment = divmod(whole + moment, 86_400)
        return f"{_date(day)}T{moment // 3600:02d}:{moment // 60 % 60:02d}:{moment % 60:02d}.{micro:06d}Z"
    except (ValueError, OverflowError):  # a foreign record may name a time no calendar holds
        return str(seconds)


@lru_cache(maxsize=64)  # rows come in order of time
def _date(day: int) -> str:
    return (date(1970, 1, 1) + timedelta(day)).isoformat()


def _list(items: Iterable[object]) -> str:
    return escape(" ".join(map(str, items)))


_CELLS: dict[str, Callable[[Any], str]] = {
    "string": escape,
    "integer": str,
    "number": str,
    "datetime": _iso,
    "array": _list,
}
