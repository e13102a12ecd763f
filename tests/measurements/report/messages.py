"""The messages that the report's code and templates say, read from their source.

`python -m tests.measurements.report.messages LANGUAGE` brings a catalogue up to date: it adds what is missing (not
translated), takes out what nobody says any more, and keeps the rest.
"""

from __future__ import annotations

import sys
from io import BytesIO
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.extract import extract_from_dir
from babel.messages.pofile import read_po, write_po

from measurements.report.language import CATALOGUES, DOMAIN

PACKAGE = CATALOGUES.parent
KEYWORDS = {"mark": None, "say": None, "count": (1, 2), "forms": (1, 2)}
METHODS = [("**.py", "python"), ("templates/**.html", "jinja2.ext.babel_extract")]
IDLE = (b'"Project-Id', b'"Report-', b'"POT-', b'"PO-', b'"Last-', b'"Language-Team', b'"Generated')  # header lines
HEADER = "# What reports say. The English messages are in the code; this file has each in another language."


def messages() -> Catalog:
    """Read every message from the source, with where it is said."""
    found = Catalog(domain=DOMAIN, project="Wazi", header_comment=HEADER, fuzzy=False)
    for name, _, message, comments, context in extract_from_dir(str(PACKAGE), METHODS, {}, KEYWORDS):
        found.add(message, None, [(name, 0)], auto_comments=comments, context=context)
    return found


def catalogue(code: str) -> Catalog:
    """Read a language's catalogue."""
    with path(code).open("rb") as file:
        return read_po(file, locale=code, domain=DOMAIN, abort_invalid=True)


def path(code: str) -> Path:
    return CATALOGUES / code / "LC_MESSAGES" / f"{DOMAIN}.po"


def update(code: str) -> None:
    """Bring a catalogue up to date with the source."""
    there = path(code).exists()
    old = catalogue(code) if there else Catalog(locale=code, domain=DOMAIN)
    new = messages()
    fresh = Catalog(locale=code, domain=DOMAIN, project="Wazi", header_comment=HEADER, fuzzy=False)
    for message in new:
        if message.id:
            known = old.get(message.id)
            fresh.add(message.id, known.string if known else None, [(n, 0) for n, _ in message.locations])
    packed = BytesIO()
    write_po(packed, fresh, width=120, include_lineno=False)
    said = [line for line in packed.getvalue().split(b"\n") if not line.startswith(IDLE)]
    path(code).parent.mkdir(parents=True, exist_ok=True)
    path(code).write_bytes(b"\n".join(said))


if __name__ == "__main__":
    update(sys.argv[1])
