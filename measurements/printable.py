"""Foreign text made fit to be read; pure.

Titles, headers, names and error texts come from the network and may be written to fool a terminal, a phone or its
reader. Every text on its way to a person passes `clean`, which leaves nothing that moves a cursor, changes a colour,
hides, or turns the direction of writing.
"""

from __future__ import annotations

import unicodedata


def clean(text: str, limit: int = 400) -> str:
    """Make foreign text fit to print: one line, at most `limit` columns, nothing that acts on a terminal."""
    flat = " ".join(text[: 8 * limit].split())
    printable = "".join("\N{REPLACEMENT CHARACTER}" if _acts(character) else character for character in flat)
    return clip(printable, limit)


def clip(text: str, width: int) -> str:
    """Shorten text to `width` terminal columns, with an ellipsis where something is missing."""
    if columns(text) <= width:
        return text
    kept = 0
    used = 1
    for character in text[: 8 * width]:
        used += _columns_of(character)
        if used > width:
            break
        kept += 1
    return text[:kept] + "…"


def columns(text: str) -> int:
    """How many columns of a terminal the text takes; marks count too, so that they cannot pile up."""
    return sum(_columns_of(character) for character in text)


def plural(count: int, word: str) -> str:
    """Write a count with its noun."""
    return f"{count} {word}" if count == 1 else f"{count} {word}s"


def _acts(character: str) -> bool:
    """Whether a character does something other than being seen (controls, formats, surrogates, unassigned)."""
    return unicodedata.category(character) in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")


def _columns_of(character: str) -> int:
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1
