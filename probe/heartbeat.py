"""The sign of life that `wazi run` leaves in the data folder, for `wazi status` and for its next start.

It tells since when a probe that was killed has been silent, and what it was waiting for.
"""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from measurements.model import Gap, decode, encode

INTERVAL = 30.0
FRESH = 3 * INTERVAL


class CampaignState(msgspec.Struct, frozen=True, kw_only=True):
    """Where a campaign is: UTC seconds of its last and next run, and how many targets it has."""

    name: str
    targets: int
    last_run: float | None = None
    next_run: float | None = None


class Heartbeat(msgspec.Struct, frozen=True, kw_only=True):
    """What a running probe last said of itself. `spent` and `budget` are bytes of this UTC day."""

    alive: float
    started: float
    pid: int
    running: bool
    software: str
    probe_id: str
    measured: int = 0
    spent: int = 0
    budget: int = 0
    campaigns: tuple[CampaignState, ...] = ()
    open_gaps: tuple[Gap, ...] = ()

    def is_fresh(self, now: float) -> bool:
        """Tell whether the probe was alive a moment ago, whichever way the clock was set since."""
        return self.running and abs(now - self.alive) <= FRESH


class HeartbeatFile:
    """A heartbeat kept in a file, replaced whole, readable by its owner only."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "heartbeat.json"

    def write(self, beat: Heartbeat) -> None:
        """Replace the file, in a folder that is made where there is none; raises OSError."""
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        draft = self.path.with_suffix(".new")
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(encode(beat) + b"\n")
        draft.replace(self.path)

    def read(self) -> Heartbeat | None:
        """Return the last heartbeat, or None when there is none that can be read."""
        try:
            return decode(self.path.read_bytes()[:1_000_000], Heartbeat)
        except (OSError, msgspec.DecodeError, UnicodeDecodeError):
            return None
