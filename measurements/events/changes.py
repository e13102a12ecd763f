"""What one series tells of: a change, and a suspicion of one."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from measurements.events.nouns import Bracket


class Direction(StrEnum):
    """What changed."""

    ONSET = "onset"
    END = "end"


class Nulls(msgspec.Struct, frozen=True, kw_only=True):
    """What a change was weighed with: the null rates, the alternative that crossed, and the threshold.

    `assumed` is how many clean votes a young series was lent for `p0`.
    """

    p0: float
    follow: float
    elsewhere: float
    p1: float
    threshold: float
    assumed: int


class Suspicion(msgspec.Struct, frozen=True, kw_only=True):
    """A score above zero: since which vote (UTC seconds), how far, and on what it rests.

    `bracket` and `likeliest` are where the change would lie, if there is one (see `Change`). `blocked` of `votes` said
    blocked since. `witnesses` are the ids of votes against the state, the first ones and the last ones; `probes` whose
    they were.
    """

    since: float
    bracket: Bracket
    likeliest: Bracket
    open_ended: bool
    log_evidence: float
    blocked: int
    votes: int
    witnesses: tuple[str, ...]
    probes: tuple[str, ...]
    nulls: Nulls


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """A change of standing: it happened after `bracket[0]`, and at `bracket[1]` at the latest (UTC seconds).

    The bracket is a likelihood set: all moments whose log likelihood is within 4 of the best. When it is `open_ended`,
    it begins with the first vote of all, and the change may be older. `likeliest` is the best moment alone: the times
    of the two votes that it lies between. `since` and `time` are the votes that began the suspicion and that settled
    it. `log_evidence` is the logarithm of how much likelier the votes are under a change than without one, which is no
    odds of a change.
    """

    direction: Direction
    bracket: Bracket
    likeliest: Bracket
    open_ended: bool
    since: float
    time: float
    log_evidence: float
    blocked: int
    votes: int
    witnesses: tuple[str, ...]
    probes: tuple[str, ...]
    nulls: Nulls
