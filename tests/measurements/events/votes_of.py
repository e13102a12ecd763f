"""Votes as a probe would cast them: the words the detector's tests are written in."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from measurements.events.detector import Detector
from measurements.events.nouns import Event, Settings
from measurements.model import Strength, Vote

START = 1_767_225_600.0  # 2026-01-01 00:00 UTC
HOUR = 3600.0
SETTINGS = Settings(volume_per_week=5_000.0, fixed_volume=True)


def series(
    target: str,
    blocked: Callable[[float], bool] = lambda hour: False,
    *,
    probe: str = "p1",
    asn: int = 64500,
    country: str = "TZ",
    layer: str = "tls",
    strength: Strength = Strength.PROVEN,
    hours: float = 72.0,
    every: float = 1.0,
    first: float = 0.0,
    mechanism: str | Callable[[float], str] = "tls.reset",
    software: str = "wazi 1",
    placebo: bool = False,
) -> Iterator[Vote]:
    """Yield a vote every so many hours; `blocked` says of an hour since `START` what it finds."""
    hour = first
    while hour < hours:
        bad = blocked(hour)
        name = mechanism if isinstance(mechanism, str) else mechanism(hour)
        yield Vote(
            time=START + hour * HOUR,
            probe=probe,
            country=country,
            asn=asn,
            target=target,
            layer=layer,
            blocked=bad,
            strength=strength if bad else Strength.PROVEN,
            witness=f"{probe}/{target}/{hour}",
            mechanism=name if bad else "",
            software=software,
            placebo=placebo,
        )
        hour += every


def within(since: float, until: float) -> Callable[[float], bool]:
    return lambda hour: since <= hour < until


def live(votes: Iterable[Vote], settings: Settings = SETTINGS) -> tuple[Detector, list[Event]]:
    """Give a detector the votes in their order; return it and all that it told."""
    detector = Detector(settings)
    told = [event for vote in sorted(votes, key=lambda vote: vote.time) for event in detector.add(vote)]
    return detector, told


def hours(time: float) -> float:
    return (time - START) / HOUR
