"""Words that are never shown: tokens, passwords, and the URLs that hold them.

A `Secret` prints as stars wherever it gets to (a log, a traceback, a page of settings), and whoever needs it says so
by `reveal()`. Of a web address it shows scheme and host, for people must know which receiver is meant; of any other
URL only the scheme, because `slack://TOKEN/…` has a token where the host would be.
"""

from __future__ import annotations

from urllib.parse import urlsplit

HIDDEN = "***"


class Secret:
    """A text that does not print. Two are equal when their texts are."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """Return the text itself; for the moment in which it is used only."""
        return self._text

    @property
    def shown(self) -> str:
        """What may be said of it: "https://example.org/***", "slack://***", or "***"."""
        scheme, mark, _ = self._text.partition("://")
        if not mark or not scheme.isascii() or not scheme.replace("+", "").isalnum() or len(scheme) > 20:
            return HIDDEN
        host = _host(self._text) if scheme.lower() in ("http", "https", "socks5", "socks5h") else ""
        return f"{scheme}://{host}/{HIDDEN}" if host else f"{scheme}://{HIDDEN}"

    def struck_from(self, text: str) -> str:
        """Return a text of somebody else's without this one in it."""
        return text.replace(self._text, self.shown) if self._text else text

    def __repr__(self) -> str:
        return f"Secret({self.shown!r})"

    def __str__(self) -> str:
        return self.shown

    def __bool__(self) -> bool:
        return bool(self._text)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._text == self._text

    def __hash__(self) -> int:
        return hash(("secret", self._text))

    def __reduce__(self) -> str:
        raise TypeError("a secret is not pickled")


def _host(url: str) -> str:
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        return ""
    safe = all(character.isascii() and (character.isalnum() or character in ".-:") for character in host)
    return f"[{host}]{port}" if safe and ":" in host else f"{host}{port}" if safe else ""
