"""Files that a command is told to read: regular ones, pipes, and `-` for stdin.

What cannot be opened is refused by its name before anything is read.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO, cast

from probe.commands.console import Refusal

STDIN = "-"


def refuse_missing(names: Sequence[str]) -> None:
    """Raise Refusal for the first that is not there, or is a folder."""
    for name in names:
        if name == STDIN:
            continue
        if Path(name).is_dir():
            raise Refusal(f"{name}: is a folder; name the files in it")
        if not Path(name).exists():
            raise Refusal(f"{name}: there is no such file")


def opened(name: str) -> BinaryIO:
    """Open a file for reading; raises Refusal."""
    try:
        if name == STDIN:
            return os.fdopen(os.dup(sys.stdin.fileno()), "rb")
        return cast(BinaryIO, Path(name).open("rb"))
    except (OSError, AttributeError) as error:  # there is no stdin at all where it was closed
        raise Refusal(f"{name}: cannot be read ({getattr(error, 'strerror', None) or 'it is closed'})") from None


def size(name: str) -> int | None:
    """Return the bytes of a regular file, None for what has no size."""
    return Path(name).stat().st_size if Path(name).is_file() else None
