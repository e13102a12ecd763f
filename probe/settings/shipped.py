"""Find the data that ships with Wazi: in a wheel inside `probe`, in a source tree beside it."""

from __future__ import annotations

from pathlib import Path

_PROBE = Path(__file__).resolve().parent.parent
_FOLDERS = (_PROBE / "config", _PROBE.parent / "config")


def shipped(name: str) -> Path:
    """Return the path of a file of `config/`, such as "bogons.csv"; `FileNotFoundError` if it is not there."""
    for folder in _FOLDERS:
        if (folder / name).is_file():
            return folder / name
    raise FileNotFoundError(
        f"{name} is missing from this installation of Wazi (looked in {_FOLDERS[0]}, {_FOLDERS[1]})"
    )
