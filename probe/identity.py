"""Who a probe is: a random id, made when it first starts, that says nothing about its owner.

Beside it lies the redaction secret, of which the salts are made that what is taken out of measurements is committed to
with (`measurements.commitments`). Whoever has it can try addresses until one fits; once it is deleted, nobody can ever.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

_ID = re.compile(r"[0-9a-f]{32}")
_SECRET = re.compile(r"[0-9a-f]{64}")
_KEPT_AS = "redaction-secret"


class IdentityError(Exception):
    """The probe's id cannot be read or kept; the text says why and what to do."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Who measures, and what the salts of its redactions are made of."""

    probe_id: str
    secret: bytes = field(repr=False)


def load_identity(folder: Path, probe_id: str | None = None) -> Identity:
    """Return what is kept in `folder`, made where it is missing; `probe_id` is one that the settings name."""
    return Identity(probe_id or load_probe_id(folder), load_redaction_secret(folder))


def passing_identity(probe_id: str | None = None) -> Identity:
    """Return one for measurements that are not kept: nobody can show later what was taken out of them."""
    return Identity(probe_id or secrets.token_hex(16), secrets.token_bytes(32))


def load_probe_id(folder: Path) -> str:
    """Return the id kept in `folder`, or make one; the file is readable by its owner only.

    Two that start at once agree on one id. A file that holds no id is refused rather than replaced: a
    new id would begin a new series of measurements without anybody noticing.
    """
    path = folder / "probe-id"
    text = _kept(path, "the probe's id", lambda: secrets.token_hex(16))
    if not _ID.fullmatch(text):
        raise IdentityError(f"{path} holds no probe id: put the old file back, or delete it to start as a new probe")
    return text


def load_redaction_secret(folder: Path) -> bytes:
    """Return the 32 bytes kept in `folder`, or make some, in the same way."""
    path = folder / _KEPT_AS
    return _secret(path, _kept(path, "the redaction secret", lambda: secrets.token_hex(32)))


def read_redaction_secret(folder: Path) -> bytes:
    """Return the 32 bytes kept in `folder`; make none."""
    path = folder / _KEPT_AS
    try:
        return _secret(path, path.read_text(encoding="ascii", errors="replace")[:100].strip())
    except OSError as error:
        raise IdentityError(
            f"the redaction secret cannot be read from {path} ({error.strerror}): without it nobody can show what was "
            "taken out"
        ) from error


def _secret(path: Path, text: str) -> bytes:
    if not _SECRET.fullmatch(text):
        raise IdentityError(
            f"{path} holds no redaction secret: put the old file back, or delete it; a new one is made then, and what "
            "was taken out of earlier measurements can never be shown"
        )
    return bytes.fromhex(text)


def _kept(path: Path, what: str, make: Callable[[], str]) -> str:
    """Return the text kept in a file that its owner alone may read; the file is made when there is none."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not path.exists():
            _write_once(path, make())
        return path.read_text(encoding="ascii", errors="replace")[:100].strip()
    except OSError as error:
        raise IdentityError(
            f"{what} cannot be kept in {path} ({error.strerror}): give this user the right to write there"
        ) from error


def _write_once(path: Path, text: str) -> None:
    """Write a file whole and then give it its name, unless somebody was faster."""
    descriptor, draft = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)  # mode 0600
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(text + "\n")
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(FileExistsError):
            os.link(draft, path)
    finally:
        os.unlink(draft)
