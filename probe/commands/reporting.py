"""`wazi report`: events as one page for people, in HTML or PDF."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from measurements.printable import plural
from probe.commands.building import load_settings, read_store
from probe.commands.console import FINE, Common, Refusal, say
from probe.commands.outputs import STDOUT, write_whole

if TYPE_CHECKING:
    from measurements.dossier import Dossier
    from probe.settings import Settings

MOST_EVENTS = 20
HTML, PDF = "html", "pdf"


@dataclass(frozen=True, slots=True)
class Wish:
    """What was asked for: a form or both or none, a file or `-`, and a language, each None where nothing was said."""

    html: bool = False
    pdf: bool = False
    output: str | None = None
    language: str | None = None

    def form(self) -> str:
        """Return the form: as it was said, or as the file's ending says, else HTML."""
        if self.html and self.pdf:
            raise Refusal("--html and --pdf: a report is one of them; run it twice for both")
        if self.pdf or (not self.html and self.output is not None and self.output.lower().endswith(".pdf")):
            return PDF
        return HTML


def report(common: Common, events: Sequence[str], wish: Wish, environment: Mapping[str, str] = os.environ) -> int:
    """Write a report about events."""
    from measurements.report import NoPaper, UnknownLanguage, best_language, html, language_of, pdf

    form = wish.form()
    settings = load_settings(common)
    try:
        code = language_of(wish.language) if wish.language else best_language(environment)
        dossiers = _gather(settings, events)
        page = html(dossiers, code, made=time.time(), address=settings.web.public_url or "")
        data = pdf(page) if form == PDF else page.encode("utf-8", "replace")
    except UnknownLanguage as error:
        raise Refusal(f"--language: {error}") from None
    except NoPaper as error:
        raise Refusal(str(error)) from None
    output = wish.output or (_name(dossiers, form) if os.isatty(1) else STDOUT)
    write_whole(data, output)
    if output != STDOUT:
        say(f"a report about {plural(len(dossiers), 'event')} is in {output}")
    return FINE


def _gather(settings: Settings, prefixes: Sequence[str]) -> list[Dossier]:
    """Gather each event once, in the order in which they were named."""
    from measurements.dossier import gather
    from measurements.store import NotFound, StoreError

    if len(prefixes) > MOST_EVENTS:
        raise Refusal(f"{len(prefixes)} events are too many for a report: {MOST_EVENTS} at the most")
    found: dict[str, Dossier] = {}
    with read_store(settings) as store:
        for prefix in prefixes:
            try:
                event = store.ledger.event(prefix)
                if event.id not in found:
                    found[event.id] = gather(store, event.id)
            except NotFound as error:
                raise Refusal(str(error)) from None
            except StoreError as error:
                raise Refusal(f"the store cannot be read: {error}") from None
    return list(found.values())


def _name(dossiers: Sequence[Dossier], form: str) -> str:
    """Name the file in the present folder after the events in it."""
    ids = [re.sub("[^0-9a-z]", "", dossier.event.id)[:8] or "event" for dossier in dossiers]
    more = f"-and-{len(ids) - 1}-more" if len(ids) > 1 else ""
    return f"wazi-{ids[0]}{more}.{form}"
