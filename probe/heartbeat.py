"""The sign of life that `wazi run` leaves in the data folder, for `wazi status` and for its next start.

It tells since when a probe that was killed has been silent, and what it was waiting for. While a probe
lives it holds a lock beside the file, which the kernel lets go of however the process ends; a process id
would tell less, for a container has its own.
"""

from __future__ import annotations

import fcntl
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec

from measurements.model import Gap, decode, encode
from probe.schedule import Campaign, Moment

INTERVAL = 30.0
FRESH = 3 * INTERVAL
LOCK_TRIES, LOCK_PAUSE = 10, 0.02  # a reader holds the lock for an instant


class MomentState(msgspec.Struct, frozen=True, kw_only=True):
    """A moment of a campaign: UTC seconds from when to when, how often it measures then, and how many targets."""

    since: float
    until: float
    every: float
    targets: int


class CampaignState(msgspec.Struct, frozen=True, kw_only=True):
    """Where a campaign is: UTC seconds of its last and next run, how many targets it has, the moment it is in."""

    name: str
    targets: int
    last_run: float | None = None
    next_run: float | None = None
    moment: MomentState | None = None
    next_moment: MomentState | None = None


def state_of(campaign: Campaign, now: float, last_run: float | None, next_run: float | None) -> CampaignState:
    """Say where a campaign is."""
    return CampaignState(
        name=campaign.name,
        targets=len(campaign.at(now).targets),
        last_run=last_run,
        next_run=next_run,
        moment=_moment(campaign.moment(now)),
        next_moment=_moment(campaign.next_moment(now)),
    )


def _moment(moment: Moment | None) -> MomentState | None:
    if moment is None:
        return None
    return MomentState(since=moment.since, until=moment.until, every=moment.every, targets=len(moment.targets))


class SettingsState(msgspec.Struct, frozen=True, kw_only=True):
    """When the settings in force were read, why newer ones were refused, and which of them wait for a restart."""

    read: float
    refused: str = ""
    waiting: tuple[str, ...] = ()


class Heartbeat(msgspec.Struct, frozen=True, kw_only=True):
    """What a running probe last said of itself. `spent` and `budget` are bytes of this UTC day.

    `asked_again` counts the finds that are being confirmed, and `waiting` those that wait for room to be.
    `worked` is the last time that the network was seen to work, in UTC seconds.
    """

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
    worked: float | None = None
    settings: SettingsState | None = None
    asked_again: int = 0
    waiting: int = 0

    def is_fresh(self, now: float) -> bool:
        """Tell whether the probe was alive a moment ago, whichever way the clock was set since."""
        return self.running and abs(now - self.alive) <= FRESH


class HeartbeatFile:
    """A heartbeat kept in a file, replaced whole, readable by its owner only."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "heartbeat.json"
        self._lock = folder / "heartbeat.lock"
        self._writing = threading.Lock()
        self._ended: float | None = None

    def write(self, beat: Heartbeat) -> None:
        """Replace the file, in a folder that is made where there is none; raises OSError.

        Any thread may call this. After the last beat of a life none of that life replaces it.
        """
        with self._writing:
            if beat.running and beat.started == self._ended:
                return
            self._replace(beat)
            self._ended = None if beat.running else beat.started

    def _replace(self, beat: Heartbeat) -> None:
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        draft = self.path.with_suffix(".new")
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(encode(beat) + b"\n")
            file.flush()
            os.fsync(file.fileno())  # or a power cut may leave an empty file in the place of the old one
        draft.replace(self.path)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold the lock that shows that the probe lives; where files cannot be locked, the time alone has to do."""
        descriptor = None
        try:
            with suppress(OSError):
                self._lock.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                descriptor = os.open(self._lock, os.O_RDWR | os.O_CREAT, 0o600)
                _take(descriptor)
            yield
        finally:
            if descriptor is not None:
                os.close(descriptor)

    def is_alive(self, now: float) -> bool:
        """Tell whether the probe that writes here lives."""
        beat = self.read()
        return beat is not None and beat.is_fresh(now) and self._is_held() is not False

    def _is_held(self) -> bool | None:
        """Tell whether somebody holds the lock; None when that cannot be told."""
        try:
            with self._lock.open("rb") as file:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except OSError:
            return None
        return False

    def read(self) -> Heartbeat | None:
        """Return the last heartbeat, or None when there is none that can be read."""
        try:
            return decode(self.path.read_bytes()[:1_000_000], Heartbeat)
        except (OSError, msgspec.DecodeError, UnicodeDecodeError):
            return None


def _take(descriptor: int) -> None:
    """Take the lock; raises BlockingIOError when another probe keeps it."""
    for left in reversed(range(LOCK_TRIES)):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if not left:
                raise
            time.sleep(LOCK_PAUSE)
