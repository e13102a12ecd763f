"""A set that forgets: what is ours changes with every network and every day, and each thing looked for takes time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, MutableSet

MOST = 32


class Recently(MutableSet[str]):
    """The texts that were added last, each once: at most `most`."""

    def __init__(self, texts: Iterable[str] = (), most: int = MOST) -> None:
        self._most = most
        self._texts: dict[str, None] = {}
        for text in texts:
            self.add(text)

    def add(self, text: str) -> None:
        """Add a text, or remember that it is there still."""
        self._texts.pop(text, None)
        self._texts[text] = None
        if len(self._texts) > self._most:
            self.discard(next(iter(self._texts)))

    def discard(self, text: str) -> None:
        self._texts.pop(text, None)

    def __contains__(self, text: object) -> bool:
        return text in self._texts

    def __iter__(self) -> Iterator[str]:
        return iter(tuple(self._texts))

    def __len__(self) -> int:
        return len(self._texts)
