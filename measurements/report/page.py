"""Dossiers as one page for people: a single file of HTML that loads nothing, runs nothing, and prints well.

All foreign text is made printable where it is read, and escaped by the template; the picture escapes its own. A
Content-Security-Policy in the page forbids scripts and every request, should something slip through all the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template
from markupsafe import Markup

from measurements.dossier import Dossier
from measurements.events.nouns import Kind
from measurements.report import tables
from measurements.report.doubts import Doubt, doubts
from measurements.report.grounds import Ground, alive_in_words, grounds, titles
from measurements.report.language import ENGLISH, Language, language
from measurements.report.picture import pictures
from measurements.report.rows import rows_of
from measurements.report.story import Story, numbers, overview, tell
from measurements.report.tables import MOST_ACCESSES, MOST_WITNESSES, Stretch, Witness
from measurements.report.words import GLOSSARY

TEMPLATES = Path(__file__).parent / "templates"


class Chapter(NamedTuple):
    """All that a page says about one event."""

    key: str
    story: Story
    numbers: tuple[str, ...]
    is_outage: bool
    picture: Markup
    stretches: tuple[Stretch, ...]
    grouped: str
    thinned: bool
    silence: tuple[str, ...]
    alive: tuple[str, ...]
    titles: tuple[str, str]
    grounds: tuple[Ground, ...]
    doubts: tuple[Doubt, ...]
    witnesses: tuple[Witness, ...]
    accesses: tuple[Witness, ...]
    left_out: tuple[str, ...]
    redacted: tuple[str, ...]
    rules_version: str
    detector_version: str
    software: str


def html(dossiers: Sequence[Dossier], code: str = ENGLISH, *, made: float | None = None, address: str = "") -> str:
    """Write a report about events, in their order, as one self-contained HTML file.

    `code` is that of a language (UnknownLanguage lists those that there are), `made` the time of writing in UTC
    seconds, left out when None, and `address` where people can see single measurements, without a slash at its end.
    """
    words = language(code)
    address = address if address.startswith(("https://", "http://")) else ""
    chapters = [_chapter(dossier, words, f"event-{index + 1}", address) for index, dossier in enumerate(dossiers)]
    title = chapters[0].story.headline if len(chapters) == 1 else words.say("What Wazi has seen")
    return str(
        _template().render(
            words=words,
            say=words.say,
            count=words.count,
            title=title,
            chapters=chapters,
            overview=list(overview(dossiers, words)),
            made=words.say("%(time)s UTC", time=words.moment(made)) if made is not None else "",
            glossary=[(words.say(word), words.say(meaning)) for word, meaning in GLOSSARY],
            linked=bool(address),
            ids=[chapter.story.id for chapter in chapters],
        )
    )


def _chapter(dossier: Dossier, words: Language, key: str, address: str) -> Chapter:
    story = tell(dossier, words)
    rows = rows_of(dossier, words)
    rules, detector, software = tables.versions(dossier)
    description = words.say(
        "One row for each site and network, from %(since)s to %(until)s UTC; the table below says the same.",
        since=words.moment(rows.since),
        until=words.moment(rows.until),
    )
    alive, found = alive_in_words(dossier, words)
    some = grounds(dossier, words)
    return Chapter(
        key=key,
        story=story,
        numbers=tuple(numbers(dossier.event, words)),
        is_outage=dossier.event.kind is Kind.OUTAGE,
        picture=Markup(pictures(rows, words.say("Timeline"), description, key, words)),  # noqa: S704 - escapes its own
        stretches=tables.stretches(rows, words),
        grouped=_grouped(rows.grouped, words),
        thinned=bool(dossier.left_out.votes or dossier.left_out.placebos),
        silence=tuple(tables.hours(dossier, words)),
        alive=alive,
        titles=titles(found, some, words),
        grounds=some,
        doubts=doubts(dossier, words),
        witnesses=tables.witnesses(dossier.witnesses, words, address, MOST_WITNESSES),
        accesses=tables.witnesses(dossier.accesses, words, address, MOST_ACCESSES),
        left_out=tuple(tables.left_out(dossier, words)),
        redacted=tuple(tables.redactions((*dossier.witnesses, *dossier.accesses), words)),
        rules_version=rules,
        detector_version=detector,
        software=software,
    )


def _grouped(number: int, words: Language) -> str:
    if not number:
        return ""
    return words.count(
        "%(number)s row with less evidence is drawn together with others.",
        "%(number)s rows with less evidence are drawn together.",
        number,
    )


@lru_cache(maxsize=1)
def _template() -> Template:
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.get_template("report.html")
