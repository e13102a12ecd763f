"""Suspicion of throttling: what in an ordinary measurement is worth a test. Pure.

A page that came far more slowly than the same site's pages did before, or that stopped after the first 10 to 25 kB,
proves nothing: lines are slow at times. It only orders a test, which compares pairs under two names, and in which
what raised the suspicion is not counted: the test makes transfers of its own.

The pace of a page is that of its body alone, for a site may think as long as it likes; the first tenth of a second is
not believed, in which a whole page may come at once. Long reads and the routine's first 16 KiB are compared with
their like, for the longer a transfer the faster it gets.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median

from measurements.model import Failure, HttpExchange, Measurement, Target, View
from probe.schedule import DAY

LEAST_BYTES = 8_000  # of a page that has a pace
LEAST_SECONDS = 0.1
SAMPLE = 20_000  # bytes that no routine measurement reads of a page, which takes the first 16 KiB
MARGIN = 4.0  # how many times slower than usual (detection.md 4.2)
FROZEN = (10_000, 25_000)  # bytes after which some censors let no more through (net4people/bbs 490)
KEPT = 20  # paces of a site
ENOUGH = 5  # of them, before any is slow


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast a page came, in bytes a second, and whether more than the routine's sample of it came."""

    rate: float
    full: bool


@dataclass(slots=True)
class Paces:
    """The last paces of each site that were not suspicious."""

    _kept: dict[tuple[str, bool], list[float]] = field(default_factory=dict)

    def of(self, url: str, *, full: bool) -> Sequence[float]:
        """Return the paces of a site, the oldest first."""
        return self._kept.get((url, full), ())

    def learn(self, url: str, pace: Pace) -> None:
        """Remember one more, and forget the oldest beyond so many."""
        self._kept[url, pace.full] = [*self.of(url, full=pace.full), pace.rate][-KEPT:]

    def forget(self, url: str) -> None:
        """Begin anew with a site: its line has changed, and it is not throttled."""
        self._kept.pop((url, True), None)
        self._kept.pop((url, False), None)


def pace(measurement: Measurement) -> Pace | None:
    """Return the pace of the last page that came; None when none was long enough."""
    for page in reversed(_pages(measurement)):
        if page.failure is None and page.wire_bytes >= LEAST_BYTES:
            rate = page.wire_bytes / max(LEAST_SECONDS, page.elapsed - _headers_at(page))
            return Pace(rate, full=page.wire_bytes > SAMPLE)
    return None


def suspicious(measurement: Measurement, past: Sequence[float]) -> str | None:
    """Say why a measurement makes one suspect throttling: slow or stalled; None when it does not.

    `past` holds the site's earlier paces of the same kind, in bytes a second.
    """
    if measurement.preconditions.reason is not None:
        return None
    if any(_stalled(page) for page in _pages(measurement)):
        return "stalled"
    seen = pace(measurement)
    if seen is None or len(past) < ENOUGH or seen.rate * MARGIN >= median(past):
        return None
    return "slow"


def sample(targets: Sequence[Target], count: int, day: float, seed: str) -> tuple[tuple[float, Target], ...]:
    """Draw targets to be tested on a UTC day without suspicion, each at a time of that day; sorted by time.

    The same day and seed give the same, so that a restart tests none twice; without the seed nobody can foretell it.
    """
    chance = random.Random(f"{seed} {int(day // DAY)}")  # noqa: S311 - it hides a pattern, it keeps no secret
    drawn = chance.sample(sorted(targets, key=lambda target: target.url), min(count, len(targets)))
    midnight = day // DAY * DAY
    times = [midnight + (place + chance.random()) * DAY / max(1, len(drawn)) for place in range(len(drawn))]
    return tuple(zip(times, drawn, strict=True))


def _pages(measurement: Measurement) -> list[HttpExchange]:
    mine = (View.LOCAL, View.TRUSTED)
    return [step for step in measurement.observations if isinstance(step, HttpExchange) and step.view in mine]


def _headers_at(page: HttpExchange) -> float:
    """When the headers had come, in seconds since the request; 0 where that is not known."""
    return next((at for phase, at in page.phases if phase.endswith("receive_response_headers.complete")), 0.0)


def _stalled(page: HttpExchange) -> bool:
    low, high = FROZEN
    return page.failure in (Failure.TIMEOUT, Failure.EOF) and low <= page.wire_bytes <= high
