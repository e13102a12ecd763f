"""The computer's clocks, read at the edge and handed inwards as a value; and the tempo at which they may be told.

A schedule of hours can be lived through in minutes when its time goes faster than the computer's. Nothing in this
package knows which time it lives in: it is given a `Tempo`, which is the computer's own unless a rehearsal says
otherwise.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from probe.schedule import Instant

_BOOTTIME = getattr(time, "CLOCK_BOOTTIME", None)  # Linux; elsewhere sleep cannot be told from stalling


def read_clocks() -> Instant:
    """Read all clocks at one moment."""
    monotonic = time.monotonic()
    boottime = monotonic if _BOOTTIME is None else time.clock_gettime(_BOOTTIME)
    return Instant(wall=time.time(), monotonic=monotonic, boottime=boottime)


_ZERO = Instant(wall=0.0, monotonic=0.0, boottime=0.0)


@dataclass(frozen=True, slots=True)
class Tempo:
    """Time that goes `speed` times as fast as the computer's, and agreed with it at `origin`."""

    speed: float = 1.0
    origin: Instant = _ZERO
    clocks: Callable[[], Instant] = read_clocks

    @classmethod
    def hurried(cls, speed: float) -> Tempo:
        """Return a time that goes faster from now on."""
        return cls(speed, read_clocks())

    def read(self) -> Instant:
        """Read all clocks of this time at one moment."""
        now, origin = self.clocks(), self.origin
        return Instant(
            wall=origin.wall + (now.wall - origin.wall) * self.speed,
            monotonic=origin.monotonic + (now.monotonic - origin.monotonic) * self.speed,
            boottime=origin.boottime + (now.boottime - origin.boottime) * self.speed,
        )

    def to_computer(self, wall: float) -> float:
        """Say what the computer's clock shows when this one shows `wall`; UTC seconds both."""
        return self.origin.wall + (wall - self.origin.wall) / self.speed

    def from_computer(self, wall: float) -> float:
        """Say what this clock shows when the computer's shows `wall`; UTC seconds both."""
        return self.origin.wall + (wall - self.origin.wall) * self.speed

    def wait(self, seconds: float) -> float:
        """Say how many of the computer's seconds pass in `seconds` of this time."""
        return seconds / self.speed
