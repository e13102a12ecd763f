"""A language of the report: its catalogue of messages, and how it writes numbers, times and names.

Messages stand in the code in English and are their own keys; `locale/<language>/LC_MESSAGES/wazi.po` holds each in
another language, and is read when it is asked for: a new language is one file. Where a message has values they are
named (`%(name)s`), and a literal per cent sign is doubled.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, tzinfo
from functools import lru_cache
from io import BytesIO
from pathlib import Path
from zoneinfo import ZoneInfo

from babel import Locale
from babel.core import get_global
from babel.dates import format_date, format_datetime
from babel.lists import format_list
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from babel.numbers import format_decimal
from babel.support import NullTranslations, Translations

ENGLISH = "en"
CATALOGUES = Path(__file__).parent / "locale"
DOMAIN = "wazi"
_LOCALES = {ENGLISH: "en_GB"}  # days before months, and 24 hours
_FIRSTS = {"fr": "1er"}  # how the first of a month is called, where CLDR does not say
_COUNTABLE = 1e15  # above it nobody reads digits, and decimals run out of them
_MINUTE, _HOUR, _DAY = 60, 3600, 86_400


class UnknownLanguage(ValueError):
    """There is no catalogue for a language; the text lists those that there are."""


def mark(message: str) -> str:
    """Mark a text as a message that is translated where it is used."""
    return message


def forms(one: str, many: str) -> tuple[str, str]:
    """Mark a text about one thing and the same about many, for `Language.count`."""
    return one, many


def languages(folder: Path = CATALOGUES) -> tuple[str, ...]:
    """Return the codes of the languages that reports can be written in."""
    found = (path.parent.parent.name for path in folder.glob(f"*/LC_MESSAGES/{DOMAIN}.po"))
    return (ENGLISH, *sorted(found))


def best_language(environment: Mapping[str, str]) -> str:
    """Return the language that an environment asks for (LC_ALL, LC_MESSAGES, LANG), English where there is none."""
    asked = next((environment[name] for name in ("LC_ALL", "LC_MESSAGES", "LANG") if environment.get(name)), "")
    code = asked.partition(".")[0].partition("@")[0]
    return next((one for one in (code, code.partition("_")[0]) if one in languages()), ENGLISH)


def language_of(text: str, folder: Path = CATALOGUES) -> str:
    """Return the code of a language that was asked for, such as fr or fr_CA; raises UnknownLanguage."""
    code = text.strip().replace("-", "_")
    for one in (code, code.partition("_")[0].lower()):
        if one in languages(folder):
            return one
    raise UnknownLanguage(f"there is no report in the language {text!r}: there are {', '.join(languages(folder))}")


@lru_cache(maxsize=8)
def language(code: str, folder: Path = CATALOGUES) -> Language:
    """Return a language by its code, such as fr; raises UnknownLanguage."""
    code = language_of(code, folder)
    if code == ENGLISH:
        return Language(code, NullTranslations())
    with (folder / code / "LC_MESSAGES" / f"{DOMAIN}.po").open("rb") as file:
        catalogue = read_po(file, locale=code, domain=DOMAIN, abort_invalid=True)
    packed = BytesIO()
    write_mo(packed, catalogue)
    packed.seek(0)
    return Language(code, Translations(packed, domain=DOMAIN))


class Language:
    """Says messages, and writes values as the language does."""

    def __init__(self, code: str, translations: NullTranslations) -> None:
        self.code = code
        self._locale = Locale.parse(_LOCALES.get(code, code))
        self._translations = translations

    @property
    def direction(self) -> str:
        """In which direction the language is written: ltr or rtl."""
        return self._locale.text_direction

    def knows(self, message: str) -> bool:
        """Tell whether a message is in the catalogue, as all are in English."""
        return self.code == ENGLISH or self._translations.gettext(message) != message

    def say(self, message: str, **values: object) -> str:
        """Say a message with its values; numbers are written as the language writes them."""
        return _filled(self._translations.gettext(message), message, self._written(values))

    def count(self, one: str, many: str, number: int, **values: object) -> str:
        """Say a message about a number of things, which is `%(number)s` in it."""
        english = one if number == 1 else many
        written = self._written({"number": number, **values})
        return _filled(self._translations.ngettext(one, many, number), english, written)

    def _written(self, values: Mapping[str, object]) -> dict[str, object]:
        return {name: self.number(value) if isinstance(value, int | float) else value for name, value in values.items()}

    def number(self, value: float, digits: int = 0) -> str:
        """Write a number, with at most so many digits after the point."""
        if abs(value) > _COUNTABLE:
            return f"{value:.1e}"
        return str(format_decimal(value, format=f"#,##0.{'#' * digits}" if digits else "#,##0", locale=self._locale))

    def percent_of(self, share: float) -> str:
        """Write a share of one in per cent."""
        return self.say("%(number)s%%", number=self.number(100.0 * share, 1 if share < 0.1 else 0))

    def listed(self, items: Iterable[str], most: int = 5) -> str:
        """Join names as a sentence has them; of more than `most` the rest is counted."""
        names = list(items)
        if len(names) > most:
            rest = len(names) - most + 1
            names = [*names[: most - 1], self.count("%(number)s more", "%(number)s more", rest)]
        return str(format_list(names, locale=self._locale))

    def day(self, time: float, zone: tzinfo = UTC) -> str:
        """Write a day: 25 November 2026."""
        said = self._at(time, zone, lambda moment: format_date(moment, "d MMMM y", locale=self._locale))
        first = _FIRSTS.get(self.code)
        return f"{first}{said[1:]}" if first and said.startswith("1 ") else said

    def clock(self, time: float, zone: tzinfo = UTC) -> str:
        """Write a time of day: 05:24."""
        return self._at(time, zone, lambda moment: format_datetime(moment, "HH:mm", locale=self._locale))

    def moment(self, time: float, zone: tzinfo = UTC) -> str:
        """Write a day and a time of day, without its zone."""
        said = self.say("%(day)s, %(clock)s", day=self.day(time, zone), clock=self.clock(time, zone))
        return said if self.day(time, zone) else ""

    def short_day(self, time: float) -> str:
        """Write a day for an axis: 25 Nov."""
        return self._at(time, UTC, lambda moment: format_date(moment, "d MMM", locale=self._locale))

    def iso(self, time: float) -> str:
        """Write a moment for a table: 2026-11-25 05:24."""
        return self._at(time, UTC, lambda moment: moment.strftime("%Y-%m-%d %H:%M"))

    def between(self, bracket: tuple[float, float], zone: tzinfo = UTC) -> str:
        """Say that something lies in a bracket, as short as it can be: between 05:24 and 05:46 on 25 November 2026."""
        start, end = bracket
        if self.moment(start, zone) == self.moment(end, zone):
            return self.say("at %(clock)s on %(day)s", clock=self.clock(end, zone), day=self.day(end, zone))
        if self.day(start, zone) == self.day(end, zone):
            clocks = {"start": self.clock(start, zone), "end": self.clock(end, zone)}
            return self.say("between %(start)s and %(end)s on %(day)s", day=self.day(end, zone), **clocks)
        moments = {"start": self.moment(start, zone), "end": self.moment(end, zone)}
        return self.say("between %(start)s and %(end)s", **moments)

    def duration(self, seconds: float) -> str:
        """Say how long something lasts, with two units at most."""
        whole = max(0, round(seconds / _MINUTE)) * _MINUTE
        if whole < _HOUR + 30 * _MINUTE:
            return self.count("%(number)s minute", "%(number)s minutes", whole // _MINUTE)
        if whole < 2 * _DAY:
            hours, minutes = divmod(whole // _MINUTE, 60)
            if not minutes:
                return self.count("%(number)s hour", "%(number)s hours", hours)
            return self.say("%(hours)s h %(minutes)s min", hours=hours, minutes=minutes)
        days, hours = divmod(round(whole / _HOUR), 24)
        if not hours:
            return self.count("%(number)s day", "%(number)s days", days)
        return self.say("%(days)s d %(hours)s h", days=days, hours=hours)

    def country(self, code: str) -> str:
        """Name a country by its two letters; what is none stays as it is."""
        return str(self._locale.territories.get(code.upper(), code))

    def odds(self, log_ratio: float) -> str:
        """Write a likelihood ratio in words that can be read aloud."""
        ratio = math.exp(min(max(log_ratio, 0.0), 700.0))
        if ratio < 1e6:
            return self.count("%(number)s time", "%(number)s times", _two_figures(ratio))
        if ratio < 1e9:
            return self.count("%(number)s million times", "%(number)s million times", _two_figures(ratio / 1e6))
        if ratio < 1e12:
            thousands = _two_figures(ratio / 1e9)
            return self.count("%(number)s thousand million times", "%(number)s thousand million times", thousands)
        return self.say("more than a million million times")

    @staticmethod
    def _at(time: float, zone: tzinfo, write: object) -> str:
        """Write a moment that a calendar may not hold: a foreign record may name any."""
        try:
            return str(write(datetime.fromtimestamp(time, zone)))  # type: ignore[operator]
        except (ValueError, OverflowError, OSError):
            return ""


def _filled(message: str, english: str, values: Mapping[str, object]) -> str:
    """Put values into a translation; one that asks for others must not keep a report from being written."""
    try:
        return message % values
    except (KeyError, ValueError, TypeError):
        return english % values


def _two_figures(number: float) -> int:
    """Cut a number from 1 on to two figures that count."""
    unit = 10.0 ** max(0, math.floor(math.log10(number)) - 1)
    return int(math.floor(number / unit) * unit)


def zone_of(country: str, times: Sequence[float]) -> tzinfo | None:
    """Return the zone of a country if all of its zones show the same clock at these times; None when it is not known.

    What the zones are is in Babel's data (CLDR), when clocks change in the system's.
    """
    names = get_global("territory_zones").get(country.upper(), ())
    try:
        zones = [ZoneInfo(name) for name in names]
        clocks = {tuple(datetime.fromtimestamp(time, zone).utcoffset() for time in times) for zone in zones}
    except (ValueError, OverflowError, OSError, KeyError):
        return None
    return zones[0] if len(clocks) == 1 else None
