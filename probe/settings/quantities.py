"""Durations, sizes, times of day and moments as people write them: "90s", "50 MB", "08:00-22:00", "2026-12-01".

A bare number is seconds or bytes. MB is a million bytes and MiB 1,048,576, as disks and data plans
have it. A parser raises `ValueError` whose message ends the sentence "… : write …".
"""

from __future__ import annotations

import math
import re
from datetime import UTC, date, datetime, time, timedelta, timezone, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from measurements.alerts.routing import Quiet
from probe.schedule import DAY, Window

_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": DAY, "day": DAY, "days": DAY}
_BYTES = {"B": 1, "kB": 10**3, "MB": 10**6, "GB": 10**9, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}
_FOLDED_BYTES = {unit.lower(): scale for unit, scale in _BYTES.items()}
_PART = re.compile(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([A-Za-z]*)\s*", re.ASCII)
_TIME = re.compile(r"([0-9]{1,2}):([0-9]{2})", re.ASCII)


def duration(value: object) -> float:
    """Read seconds from a number or from text such as "90s", "1h30m" or "500ms"."""
    wanted = ValueError('write a duration such as "30s", "5m", "1h" or "500ms"')
    if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
        return float(value)
    if not isinstance(value, str) or not value.strip() or len(value) > 40:
        raise wanted
    seconds, position = 0.0, 0
    while position < len(value):
        part = _PART.match(value, position)
        if part is None or (not part[2] and part.end() - part.start() != len(value)):
            raise wanted
        scale = _SECONDS.get(part[2].lower() or "s")
        if scale is None:
            raise wanted
        seconds, position = seconds + float(part[1]) * scale, part.end()
    return seconds


def size(value: object) -> int:
    """Read bytes from a whole number or from text such as "50 MB" or "512 KiB"."""
    wanted = ValueError('write a size such as "50 MB" or "512 KiB"')
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    part = _PART.fullmatch(value) if isinstance(value, str) and len(value) <= 40 else None
    scale = _FOLDED_BYTES.get(part[2].lower() or "b") if part else None
    if part is None or scale is None:
        raise wanted
    return round(float(part[1]) * scale)


def time_window(value: object) -> Window:
    """Read a stretch of every day in UTC from text such as "08:00-22:00"."""
    wanted = ValueError('write two times of day in UTC such as "08:00-22:00"')
    if not isinstance(value, str):
        raise wanted
    times = [_TIME.fullmatch(part.strip()) for part in value.split("-")]
    seconds = [int(time[1]) * 3600 + int(time[2]) * 60 for time in times if time and int(time[2]) < 60]
    if len(seconds) != 2 or len(times) != 2 or max(seconds) > DAY:
        raise wanted
    start, end = seconds[0] % DAY, seconds[1]
    if start == end % DAY:
        raise ValueError("write two different times of day, or leave the window out to measure all day")
    return Window(start, end)


def quiet(value: object) -> Quiet:
    """Read a stretch of every day in which nothing rings, from text such as "22:00-07:00"."""
    try:
        window = time_window(value)
    except ValueError:
        raise ValueError('write two times of day such as "22:00-07:00"; time_zone says whose') from None
    return Quiet(window.opens, window.closes)


def zone(value: object) -> tzinfo:
    """Read a time zone by its name, such as "Africa/Nairobi", or its offset, such as "+03:00"."""
    wanted = ValueError('write the name of a time zone such as "Africa/Nairobi", or an offset such as "+03:00"')
    if not isinstance(value, str):
        raise wanted
    text = value.strip()
    if text.upper() in ("UTC", "Z"):
        return UTC
    if offset := re.fullmatch(r"([+-])([0-9]{2}):?([0-5][0-9])", text, re.ASCII):
        minutes = int(offset[2]) * 60 + int(offset[3])
        if minutes > 14 * 60:
            raise wanted
        return timezone(timedelta(minutes=-minutes if offset[1] == "-" else minutes))
    try:
        return ZoneInfo(text)
    except (ValueError, OSError, ZoneInfoNotFoundError):  # a path, a folder, a name nobody has
        raise wanted from None


def show_zone(of: tzinfo) -> str:
    """Write a time zone as `zone` reads it."""
    return of.key if isinstance(of, ZoneInfo) else str(of).removeprefix("UTC") or "UTC"


def beginning(value: object) -> datetime:
    """Read when something begins: a time with its offset, or a date, which begins at midnight UTC."""
    return _moment(value, 0)


def ending(value: object) -> datetime:
    """Read when something ends: a time with its offset, or a date, which ends with its UTC day."""
    return _moment(value, 1)


def _moment(value: object, days: int) -> datetime:
    """Read ISO 8601 from text or as TOML has it; a time without an offset would be taken for somebody's local one."""
    wanted = ValueError('write a time with its offset such as "2026-12-01T06:00+03:00", or a date such as "2026-12-01"')
    read: object = value.strip() if isinstance(value, str) else value
    if isinstance(read, str) and len(read) <= 40:
        try:
            read = date.fromisoformat(read) if len(read) <= len("2026-12-01") else datetime.fromisoformat(read)
        except ValueError:
            raise wanted from None
    try:
        if isinstance(read, datetime):
            if read.tzinfo is None:
                raise ValueError('has no offset: write Z after it if it is in UTC, or an offset such as "+03:00"')
            return read.astimezone(UTC)
        if isinstance(read, date):
            return datetime.combine(read, time(), UTC) + timedelta(days=days)
    except OverflowError:
        pass
    raise wanted


def show_moment(moment: datetime) -> str:
    """Write a time in UTC as `beginning` reads it, to the minute where it is a whole one."""
    return moment.strftime("%Y-%m-%dT%H:%MZ" if not moment.second else "%Y-%m-%dT%H:%M:%SZ")


def show_duration(seconds: float) -> str:
    """Write a duration in the largest unit that keeps it whole."""
    for unit, scale in (("h", 3600), ("m", 60), ("s", 1)):
        if seconds >= scale and seconds % scale == 0:
            return f"{seconds / scale:.0f}{unit}"
    return f"{seconds * 1000:.12g}ms" if seconds else "0s"


def show_size(count: int) -> str:
    """Write a size in the largest unit that keeps it whole."""
    for unit in ("GiB", "GB", "MiB", "MB", "KiB", "kB"):
        if count and count % _BYTES[unit] == 0:
            return f"{count // _BYTES[unit]} {unit}"
    return f"{count} B"
