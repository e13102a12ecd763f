"""Sees that files were changed, and that they stand still since: one that is being written must not be taken.

A file is told by its time, size and inode, for editors put a new one in the place of the old. One that was emptied
is taken for one that is about to be written. That a file is not there is a state like any other.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

Stamp = tuple[int, int, int]
"""Time of the last change in nanoseconds, size in bytes, inode."""


class Watch:
    """Compares files as they are with how they were when they were last taken, and last looked at."""

    def __init__(self, files: Iterable[Path]) -> None:
        self._taken: Mapping[Path, Stamp | None] = _stamps(files)
        self._seen = self._taken

    def look(self) -> bool:
        """Say whether files were changed since they were taken and are as they were at the last look."""
        now = _stamps(self._taken)
        still, self._seen = now == self._seen, now
        return still and self.restless and not self.emptied

    @property
    def restless(self) -> bool:
        """Whether files differed at the last look from how they were taken."""
        return self._seen != self._taken

    @property
    def changed(self) -> tuple[Path, ...]:
        """Which ones did."""
        return tuple(path for path in self._taken if self._seen.get(path) != self._taken[path])

    @property
    def emptied(self) -> tuple[Path, ...]:
        """Which ones had been emptied then."""
        sizes = {path: stamp[1] for path, stamp in self._seen.items() if stamp is not None}
        return tuple(path for path in self.changed if sizes.get(path) == 0)

    def is_as_seen(self) -> bool:
        """Tell whether files are still as they were at the last look."""
        return _stamps(self._taken) == self._seen

    def leave(self) -> None:
        """Count the files as they were last seen as taken, though they could not be."""
        self._taken = self._seen

    def take(self, files: Iterable[Path]) -> None:
        """Watch these files from now on, those among them that are known as they were last seen."""
        self._taken = self._seen = {**_stamps(files := tuple(files)), **_of(self._seen, files)}


def _stamps(files: Iterable[Path]) -> dict[Path, Stamp | None]:
    return {path: _stamp(path) for path in files}


def _of(stamps: Mapping[Path, Stamp | None], files: Iterable[Path]) -> dict[Path, Stamp | None]:
    return {path: stamps[path] for path in files if path in stamps}


def _stamp(path: Path) -> Stamp | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
