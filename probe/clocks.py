"""The computer's clocks, read at the edge and handed inwards as a value."""

from __future__ import annotations

import time

from probe.schedule import Instant

_BOOTTIME = getattr(time, "CLOCK_BOOTTIME", None)  # Linux; elsewhere sleep cannot be told from stalling


def read_clocks() -> Instant:
    """Read all clocks at one moment."""
    monotonic = time.monotonic()
    boottime = monotonic if _BOOTTIME is None else time.clock_gettime(_BOOTTIME)
    return Instant(wall=time.time(), monotonic=monotonic, boottime=boottime)
