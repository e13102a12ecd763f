"""A page as a reader's program sees it: its tags, and its text."""

from __future__ import annotations

import re
from html.parser import HTMLParser

EMPTY = frozenset({"meta", "col", "br", "line", "rect", "path"})


class Look(HTMLParser):
    """Reads a page: `tags` with their attributes, `text` outside of quotations and code, `quoted` inside."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.wrong: list[str] = []
        self._text: list[str] = []
        self._quoted: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._text.append(" ")
        if tag not in EMPTY:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.wrong.append(tag)

    def handle_data(self, data: str) -> None:
        if "style" in self.open:
            return
        quoted = {"q", "code", "pre"} & set(self.open)
        (self._quoted if quoted else self._text).append(data)

    @property
    def text(self) -> str:
        return _flat("".join(self._text))

    @property
    def quoted(self) -> str:
        return _flat(" ".join(self._quoted))


def _flat(text: str) -> str:
    """Put text on one line; spaces that do not break stay."""
    return re.sub("[ \n\t]+", " ", text).strip()
