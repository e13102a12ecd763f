"""Who a probe is: a random id, made when it first starts, that says nothing about its owner."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import tempfile
from pathlib import Path

_ID = re.compile(r"[0-9a-f]{32}")


class IdentityError(Exception):
    """The probe's id cannot be read or kept; the text says why and what to do."""


def load_probe_id(folder: Path) -> str:
    """Return the id kept in `folder`, or make one; the file is readable by its owner only.

    Two that start at once agree on one id. A file that holds no id is refused rather than replaced: a
    new id would begin a new series of measurements without anybody noticing.
    """
    path = folder / "probe-id"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not path.exists():
            _make(path)
        text = path.read_text(encoding="ascii", errors="replace")[:100].strip()
    except OSError as error:
        raise IdentityError(
            f"the probe's id cannot be kept in {path} ({error.strerror}): give this user the right to write there"
        ) from error
    if not _ID.fullmatch(text):
        raise IdentityError(f"{path} holds no probe id: put the old file back, or delete it to start as a new probe")
    return text


def _make(path: Path) -> None:
    """Write a new id whole and then give it its name, unless somebody was faster."""
    descriptor, draft = tempfile.mkstemp(prefix=".probe-id-", dir=path.parent)  # mode 0600
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(secrets.token_hex(16) + "\n")
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(FileExistsError):
            os.link(draft, path)
    finally:
        os.unlink(draft)
