"""A spell: one cell's time under suspicion or blocked, as a tally of the votes that it saw.

A spell begins with the first blocked vote of a cell that was well, and is over when its statistic is back at nought
(cleared) or says that access is as before (ended). Everything that an event says of the cell follows from the tally,
and every entry of it is bounded, so that a block of a year takes the memory of one of an hour.
"""

from __future__ import annotations

import msgspec

from measurements.events.changes import Change, Direction, Nulls, Suspicion
from measurements.events.nouns import Bracket, Part, Standing
from measurements.model import Strength, Vote

MOST_PROBES = 64
MOST_WITNESSES = 16
MOST_STEPS = 32  # of a trail
MOST_WELL = 8
MOST_NAMES = 16  # of mechanisms, and of versions of software


class Place(msgspec.Struct, frozen=True, order=True):
    """What a cell is about: a target, in one layer, from one network."""

    country: str
    asn: int
    target: str
    layer: str
    placebo: bool = False


class Spell(msgspec.Struct, kw_only=True):
    """A tally. `seen` is the time of the vote that made it worth telling: the first proven one, or the crossing.

    `onset` is the bracket of its beginning and `began` the likeliest moment in it, between two votes: the first blocked
    vote may have been noise of some hours before. `lines` are the probes that voted blocked, with the time of their
    first such vote; `lasting` is the time of the first blocked vote that was late enough for one line alone. `accusing`
    and `clearing` are the versions of the software that voted blocked and for access, the latter while others still
    voted blocked (`waiting`: since then). `trail` is the log evidence after each vote until it was enough; `well` are
    the times of the last votes for access before.
    """

    strength: Strength
    first: float
    last: float
    onset: Bracket
    began: Bracket
    open_ended: bool = False
    standing: Standing = Standing.SUSPECTED
    seen: float | None = None
    crossed: float | None = None
    lasting: float | None = None
    over: float | None = None
    end: Bracket | None = None
    blocked: int = 0
    votes: int = 0
    lines: dict[str, float] = {}
    witnesses: list[str] = []
    mechanisms: list[tuple[str, float]] = []
    accusing: dict[str, None] = {}
    clearing: dict[str, None] = {}
    waiting: dict[str, None] = {}
    trail: list[tuple[float, float]] = []
    well: list[float] = []
    log_evidence: float = 0.0
    p0: float = 0.0
    p1: float = 0.0
    follow: float = 0.0
    elsewhere: float = 0.0
    threshold: float = 0.0

    def count_against(self, vote: Vote, persistence: float) -> bool:
        """Count a blocked vote; return whether anything changed that an event would tell."""
        self.blocked += 1
        self.votes += 1
        self.last = vote.time
        news = self._version(vote.software)
        if len(self.witnesses) < MOST_WITNESSES and vote.witness:
            self.witnesses.append(vote.witness)
        if vote.probe not in self.lines and len(self.lines) < MOST_PROBES:
            self.lines[vote.probe] = vote.time
            news = True
        known = self.mechanisms
        if vote.mechanism and len(known) < MOST_NAMES and all(name != vote.mechanism for name, _ in known):
            known.append((vote.mechanism, vote.time))
            news = True
        return self.lasts(vote.time, persistence) or news

    def lasts(self, time: float, persistence: float) -> bool:
        """Note a blocked vote that is late enough for one line alone; return whether it is the first such one."""
        if self.lasting is not None or time - self.first < persistence:
            return False
        self.lasting = time
        return True

    def count_for(self, vote: Vote) -> None:
        """Count a vote for access."""
        self.votes += 1
        if vote.software and len(self.waiting) < MOST_NAMES:
            self.waiting.setdefault(vote.software)

    def _version(self, version: str) -> bool:
        """Note who sees what; return whether that is new. Those who see access count once somebody is blocked again."""
        before = len(self.accusing), len(self.clearing)
        for name, versions in ((version, self.accusing), *((name, self.clearing) for name in self.waiting)):
            if name and len(versions) < MOST_NAMES:
                versions.setdefault(name)
        self.waiting.clear()
        return before != (len(self.accusing), len(self.clearing))

    def suspected(self, suspicion: Suspicion, time: float) -> None:
        """Note how far the cell is from its threshold."""
        if len(self.trail) < MOST_STEPS:
            self.trail.append((time, suspicion.log_evidence))
        if suspicion.bracket[1] <= self.last:  # it cannot have begun after all that speaks for it
            self.onset, self.open_ended = suspicion.bracket, suspicion.open_ended
            self.began = suspicion.likeliest
        self.log_evidence = suspicion.log_evidence
        self._weighed(suspicion.nulls)

    def changed(self, change: Change) -> None:
        """Note that the cell crossed its threshold, or came back."""
        if change.direction is Direction.ONSET:
            self.standing, self.crossed = Standing.BLOCKED, change.time
            self.trail.append((change.time, change.log_evidence))
            self.seen = change.time if self.seen is None else self.seen
            self.onset, self.open_ended = change.bracket, change.open_ended
            self.began = change.likeliest
            self.log_evidence, self.threshold = change.log_evidence, change.nulls.threshold
            self._weighed(change.nulls)
        else:
            self.standing, self.over, self.end = Standing.ENDED, change.time, change.bracket

    def cleared(self, time: float) -> None:
        """Note that nothing is left of the suspicion."""
        self.standing, self.over = Standing.CLEARED, time

    def _weighed(self, nulls: Nulls) -> None:
        self.p0, self.p1, self.follow, self.elsewhere = nulls.p0, nulls.p1, nulls.follow, nulls.elsewhere

    @property
    def probes(self) -> int:
        return len(self.lines)

    @property
    def is_over(self) -> bool:
        return self.over is not None

    @property
    def touched(self) -> float:
        """The time of the last vote that changed what an event tells."""
        times = [time for time in (self.seen, self.crossed, self.lasting, self.over) if time is not None]
        return max(*times, *self.lines.values(), *(time for _, time in self.mechanisms))

    def part(self, place: Place) -> Part:
        """Return what an event says of this spell."""
        return Part(
            target=place.target,
            country=place.country,
            asn=place.asn,
            layer=place.layer,
            strength=self.strength,
            standing=self.standing,
            mechanisms=tuple(self.mechanisms),
            onset=self.onset,
            end=self.end,
            blocked=self.blocked,
            votes=self.votes,
            probes=self.probes,
            log_evidence=self.log_evidence,
            p0=self.p0,
            p1=self.p1,
            follow=self.follow,
            threshold=self.threshold,
        )
