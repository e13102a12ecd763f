"""Reading lists of fingerprints from where the settings say: ours, a user's file, a folder of them.

A row's `source` is the file's name and the digest of its bytes, by which a verdict can be checked later; never
the path, which may hold the volunteer's name.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from measurements.fingerprints import BadFingerprints, Fingerprint, Fingerprints, read_fingerprints
from probe.settings.layers import SHIPPED, SettingsError, read_data, text_of
from probe.settings.shipped import shipped
from probe.settings.values import MAX_DATA_FILE

OURS = ("fingerprints/http.csv", "fingerprints/dns.csv")
MOST_FILES = 20


def read_lists(named: Sequence[Path | str], *, skip_bad_lines: bool) -> tuple[Fingerprints, list[str]]:
    """Read every list; returns the fingerprints, and a sentence for each bad line that was left out.

    Raises `SettingsError`, which tells everything that is wrong.
    """
    rows: list[Fingerprint] = []
    remarks: list[str] = []
    problems: list[str] = []
    for path in _files(named):
        try:
            data = read_data(path, MAX_DATA_FILE)
            source = f"{path.name} sha256:{hashlib.sha256(data).hexdigest()}"
            found, left_out = read_fingerprints(text_of(path, data), str(path), source, skip_bad_lines=skip_bad_lines)
        except (BadFingerprints, SettingsError) as error:
            problems.append(str(error))
        else:
            rows += found
            remarks += left_out
    if problems:
        raise SettingsError("\n".join(problems))
    return Fingerprints(rows), remarks


def list_files(named: Sequence[Path | str]) -> Iterator[Path]:
    """Name what is to be watched for changes: every file, and the folders that hold some."""
    for entry in named:
        if entry != SHIPPED:
            yield (path := Path(entry))
            yield from sorted(path.glob("*.csv")) if path.is_dir() else ()


def _files(named: Sequence[Path | str]) -> Iterator[Path]:
    """The files of all that is named, in order."""
    for entry in named:
        if entry == SHIPPED:
            yield from (shipped(name) for name in OURS)
            continue
        path = Path(entry)
        if not path.is_dir():
            yield path
            continue
        inside = sorted(path.glob("*.csv"))
        if not 0 < len(inside) <= MOST_FILES:
            raise SettingsError(f"{path}: holds {len(inside)} CSV files, not 1 to {MOST_FILES}; name the files instead")
        yield from inside
