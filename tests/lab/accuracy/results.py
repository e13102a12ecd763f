"""What runs saw, one line of JSON each, kept as soon as it is known; a cut run loses at most the line under way.

A line names the code by a digest of all that decides what is seen (the probe, its rules and data, the lab), and
the scenario by a digest of what it does. So a second run knows what it need not do again, whatever was changed in
the documents, in the expectations or in this report meanwhile.
"""

from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from tests.lab.accuracy.throttles import Pace, pace_in
from tests.lab.scenario import Scenario, recognised
from tests.lab.spaces import REPOSITORY

_DECIDING = ("probe", "measurements", "config", "tests/lab", "requirements-dev.lock")
_NOT_DECIDING = ("tests/lab/accuracy", "tests/lab/book")  # scenarios have digests of their own
_OPINIONS = {"about", "expect", "without_control", "seen", "abroad", "at", "idle", "alike"}  # fields of a scenario
_SAID = ("outcome", "mechanism", "trigger", "where", "reason", "pattern", "confidence", "summary")
_SHOWN = 2000  # characters of an error


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """One thing to do: a scenario, with or without a control, under one seed. `does` is the scenario's digest."""

    scenario: str
    does: str
    control: bool
    seed: int


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a run of the code `code`.

    `said` is the verdict, field by field; `rules` are those that found something. `sent`, `received`
    (bytes) and `runtime` (seconds) are the measurement's own; `elapsed` is the whole command's, its start and its
    look at the network included; `limit` is the deadline that the measurement had. A `broken` run says why nothing
    may be concluded from it.
    """

    code: str
    run: Run
    said: dict[str, str | None] = {}
    rules: tuple[str, ...] = ()
    connections: int = 0
    sent: int = 0
    received: int = 0
    runtime: float = 0.0
    elapsed: float = 0.0
    limit: float = 0.0
    broken: str | None = None
    pace: Pace | None = None

    @property
    def size(self) -> int:
        """Bytes in both directions."""
        return self.sent + self.received


def told(code: str, run: Run, line: dict[str, Any], *, elapsed: float, limit: float) -> Result:
    """Make a result of the line that `wazi check --json` printed."""
    measurement = line["measurement"]
    return Result(
        code=code,
        run=run,
        said={**{field: line.get(field) for field in _SAID}, "fingerprint": recognised(line)},
        rules=tuple(dict.fromkeys(finding["rule"] for finding in line["findings"])),
        connections=measurement.get("connections", 0),
        sent=measurement.get("sent", 0),
        received=measurement.get("received", 0),
        runtime=measurement.get("runtime", 0.0),
        elapsed=elapsed,
        limit=limit,
        pace=pace_in(line),
    )


def broke(code: str, run: Run, why: str) -> Result:
    """Make a result of a run that went wrong."""
    return Result(code=code, run=run, broken=why[-_SHOWN:])


def deed_of(scenario: Scenario) -> str:
    """Return the digest of what a scenario does; what is said and expected of it does not matter."""
    doing = {key: value for key, value in msgspec.to_builtins(scenario).items() if key not in _OPINIONS}
    return hashlib.sha256(msgspec.json.encode(doing)).hexdigest()[:16]


def code_digest(root: Path = REPOSITORY) -> str:
    """Return the digest of everything in the working copy that decides what a run sees."""
    digest = hashlib.sha256()
    for path in sorted(_deciding(root)):
        digest.update(f"{path.relative_to(root)}\0{hashlib.sha256(path.read_bytes()).hexdigest()}\0".encode())
    return digest.hexdigest()[:16]


def _deciding(root: Path) -> Iterator[Path]:
    for name in _DECIDING:
        top = root / name
        for path in [top] if top.is_file() else top.rglob("*"):
            known = path.is_file() and path.suffix != ".pyc" and not path.name.startswith("test_")
            if known and not any(path.is_relative_to(root / other) for other in _NOT_DECIDING):
                yield path


def commit(root: Path = REPOSITORY) -> str:
    """Name the code for people: its commit, and whether it was changed since."""
    try:
        said = subprocess.run(
            ["git", "-C", str(root), "describe", "--always", "--dirty=, changed", "--abbrev=12", "--exclude=*"],
            capture_output=True,
            text=True,
            check=True,
            timeout=30,
        )
    except (OSError, subprocess.SubprocessError):
        return "of no known commit"
    return said.stdout.strip()


class Results:
    """The file of results in `folder`: read once, appended to, never rewritten."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / "results.jsonl"

    def forget(self) -> None:
        """Begin anew."""
        self.path.unlink(missing_ok=True)

    def read(self, code: str) -> dict[Run, Result]:
        """Return what this code has shown already; a broken run counts as not done."""
        known: dict[Run, Result] = {}
        if self.path.exists():
            for line in self.path.read_bytes().splitlines():
                try:
                    result = msgspec.json.decode(line, type=Result)
                except msgspec.DecodeError:
                    continue  # cut short, or of another version
                if result.code == code and not result.broken:
                    known[result.run] = result
        return known

    def keep(self, result: Result) -> None:
        """Append a result; it is in the system's hands when this returns."""
        cut = self.path.exists() and (size := self.path.stat().st_size) and not _ends_line(self.path, size)
        with self.path.open("ab") as file:
            file.write((b"\n" if cut else b"") + msgspec.json.encode(result) + b"\n")


def _ends_line(path: Path, size: int) -> bool:
    with path.open("rb") as file:
        file.seek(size - 1)
        return file.read(1) == b"\n"
