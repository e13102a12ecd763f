"""Campaigns: what is measured again and again, how often, and when in the day."""

from __future__ import annotations

from dataclasses import dataclass

from measurements.model import Target


@dataclass(frozen=True, slots=True)
class Window:
    """A stretch of every day, UTC, in seconds since midnight; it may reach over midnight."""

    start: float
    end: float

    def holds(self, second_of_day: float) -> bool:
        """Tell whether a moment of the day lies in the window."""
        if self.start < self.end:
            return self.start <= second_of_day < self.end
        return second_of_day >= self.start or second_of_day < self.end

    def __str__(self) -> str:
        return "-".join(f"{int(t) // 3600:02d}:{int(t) % 3600 // 60:02d}" for t in (self.start, self.end))


@dataclass(frozen=True, slots=True)
class Campaign:
    """Targets that one nettest measures every `every` seconds, each run up to `jitter` seconds late.

    `window` is None when it measures all day.
    """

    name: str
    targets: tuple[Target, ...]
    nettest: str
    every: float
    jitter: float
    window: Window | None = None
