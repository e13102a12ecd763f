"""What the detector speaks of: an `Event` is a change of standing over time, made of parts.

A *part* is one cell (a target, in one layer, from one network) that changed. Parts of one country that began within
six hours and share their target or their network are one event. An event says what and where, never who.

Times are UTC seconds since the epoch. A bracket is (from, until): the change lies between the two.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from enum import StrEnum

import msgspec

from measurements.model import Strength

EVENT_SCHEMA = 1
DETECTOR_VERSION = 1

Bracket = tuple[float, float]


class Kind(StrEnum):
    """What changed."""

    BLOCKING = "blocking"
    THROTTLING = "throttling"
    UNREACHABLE = "unreachable"  # it cannot be reached, and no proof tells the site from the network
    BLIND = "blind"  # measurements see nothing any more, which a censor can cause
    ALLOWLIST = "allowlist"  # only what is domestic can be reached
    OUTAGE = "outage"  # the link is up, and nothing answers


class Status(StrEnum):
    """How far an event has got; it is never deleted."""

    UNCONFIRMED = "unconfirmed"  # shown, but the promise on false alarms is not met yet
    CONFIRMED = "confirmed"
    CLOSED = "closed"  # it ended, or was cleared: `reason` says which
    WITHDRAWN = "withdrawn"  # announced, and then taken into another event or taken back


class Standing(StrEnum):
    """How far a part has got."""

    SUSPECTED = "suspected"  # below its threshold
    BLOCKED = "blocked"
    ENDED = "ended"
    CLEARED = "cleared"  # below its threshold, and later votes spoke against it


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """One cell of an event. `mechanisms` are (mechanism, time when it was first seen), in order.

    `votes` of which `blocked` were against access, since the part began. `log_evidence` is the natural logarithm of
    the likelihood ratio of "blocked at rate p1" to "as before, at rate p0", or `follow` right after such a vote of the
    same probe; from `threshold` on it is enough.
    """

    target: str
    country: str = ""
    asn: int = 0
    layer: str
    strength: Strength = Strength.REPORTED
    standing: Standing = Standing.SUSPECTED
    mechanisms: tuple[tuple[str, float], ...] = ()
    onset: Bracket
    end: Bracket | None = None
    blocked: int = 0
    votes: int = 0
    probes: int = 0
    log_evidence: float = 0.0
    p0: float = 0.0
    p1: float = 0.0
    follow: float = 0.0
    threshold: float = 0.0


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """A change of standing. `id` follows from where and when it began, so that counting again gives the same.

    `reason` is a word that tells why it is held back (placebo, elsewhere, software, one_line, evidence), closed
    (ended, cleared) or withdrawn (merged, revised); `into` is the id of the event that took it in. `notes` are
    sentences. `probes` and `witnesses` (ids of measurements) hold the first ones only; `probe_count` counts all.
    `onset` is the bracket of its first part, `end` that of its last, once all have ended. `confirmed` is the time of
    the vote that confirmed it, also when it was held back or closed since.
    """

    id: str
    kind: Kind
    status: Status = Status.UNCONFIRMED
    reason: str = ""
    notes: tuple[str, ...] = ()
    countries: tuple[str, ...] = ()
    asns: tuple[int, ...] = ()
    targets: tuple[str, ...] = ()
    layers: tuple[str, ...] = ()
    onset: Bracket
    end: Bracket | None = None
    mechanisms: tuple[tuple[str, float], ...] = ()
    log_evidence: float = 0.0
    blocked: int = 0
    votes: int = 0
    probe_count: int = 0
    probes: tuple[str, ...] = ()
    witnesses: tuple[str, ...] = ()
    p0: float = 0.0
    p1: float = 0.0
    follow: float = 0.0
    threshold: float = 0.0
    false_alarms_per_week: float = 1.0
    parts: tuple[Part, ...] = ()
    opened: float = 0.0
    confirmed: float | None = None
    updated: float = 0.0
    into: str = ""
    summary: str = ""
    detector_version: int = DETECTOR_VERSION
    schema: int = EVENT_SCHEMA

    @property
    def evidence_ratio(self) -> float:
        """How many times likelier the votes are if access changed than if it did not; not the odds of censorship."""
        return math.exp(min(self.log_evidence, 700.0))

    @property
    def is_open(self) -> bool:
        return self.status in (Status.UNCONFIRMED, Status.CONFIRMED)


class Checkpoint(msgspec.Struct, frozen=True, kw_only=True):
    """What a detector must be given to go on: its header, and the cells that changed since it was last asked."""

    header: bytes
    cells: Mapping[str, bytes]


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """How votes become events; times in seconds.

    `volume_per_week` is how many votes a week all cells give together; it is taken as it is when `fixed_volume`, and
    otherwise until the detector has counted a week of its own. `strengths` is how many series of their own an ok vote
    feeds: they share the promise.
    """

    false_alarms_per_week: float = 1.0
    volume_per_week: float = 20_000.0
    fixed_volume: bool = False
    strengths: int = 2
    bin: float = 900.0
    lateness: float = 172_800.0
    together: float = 21_600.0  # changes this near to one another may be one event
    persistence: float = 10_800.0  # one line alone must see it for this long
    placebo_share: float = 0.1  # how many of the votes are of placebos
