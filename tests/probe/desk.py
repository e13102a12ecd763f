"""A folder with a store and settings, for the commands that need no network."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from measurements.model import Measurement, Verdict
from measurements.store import Store, open_store

ROOT = Path(__file__).resolve().parents[2]


class Desk:
    """Runs `wazi` in its folder; `fill` puts measurements into the store there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(exist_ok=True)
        self.config = folder / "wazi.toml"
        self.config.write_text('[store]\nurl = "sqlite:///wazi.db"\n[network]\nbogons = "bogons.csv"\n')
        (folder / "bogons.csv").write_text("prefix,why\n10.0.0.0/8,private\n")

    def fill(self, rows: Iterable[tuple[Measurement, Verdict | None]]) -> None:
        with self.store() as store:
            receipts = [store.add(*row) for row in rows]
        for receipt in receipts:
            receipt.result(10)

    def store(self) -> Store:
        return open_store(f"sqlite:///{self.folder}/wazi.db")

    def wazi(self, *arguments: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        """Run the command to its end."""
        return subprocess.run(self.argv(*arguments), input=stdin, capture_output=True, timeout=60, **self._where())

    def start(self, *arguments: str, terminal: int | None = None) -> subprocess.Popen[bytes]:
        """Start the command, with its stderr on a terminal or in a pipe."""
        return subprocess.Popen(
            self.argv(*arguments),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE if terminal is None else terminal,
            **self._where(),
        )

    def argv(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "probe.cli", "--config", str(self.config), *arguments]

    def environment(self) -> dict[str, str]:
        """Return the variables that the command is started with: none of the person's who tests."""
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("WAZI_", "XDG_"))}
        return clean | {"PYTHONPATH": str(ROOT), "HOME": "/nonexistent", "TERM": "xterm"}

    def _where(self) -> dict[str, Any]:
        return {"cwd": self.folder, "env": self.environment()}
