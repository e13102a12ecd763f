"""Does the name fail elsewhere? Pairs of tries at unrelated servers: the name, and an equally long harmless one.

Three pairs in which the name always fails and the harmless name never does are proof, unless the name works when
it is tried again at the site. What fails only sometimes takes more pairs, up to eight: it is proof when so many
failures would fall on the name alone with a chance of at most `CHANCE` (Fisher's exact test, one-sided), no
harmless name failed at all, and no single server always took the name.

On a line that loses every third connection, whatever its name, all of this together accuses in fewer than 1 of
100 follow-ups (`tests/measurements/test_chance.py` counts every case); and a follow-up begins only with a failure.

A censor may go on cutting a client from a server for a while after it saw a name. So the harmless name goes first at
each server, and what happens to it there after the name was cut is counted apart: where it never works any more, the
pattern is residual.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

from measurements.model import DnsLookup, Failure, Pattern, Proof, Purpose, TcpConnect, Where
from measurements.proofs.steps import Shown, Step, kind_of, outcomes, worked
from measurements.reading import Reading

ENOUGH = 3  # pairs that settle it when all are alike
MOST = 8  # pairs that are tried in all
CHANCE = 0.015
SERVERS_AFTERWARDS = 2  # that must all refuse the harmless name after the name
CUT_OFF = ("timeout", "reset", "eof", "unreachable")

Bad = Callable[[Step], bool]


@dataclass
class Tally:
    """What pairs came to. `counted` are the ids of the tries that count."""

    failed: int = 0
    passed: int = 0
    harmless: int = 0
    spoilt: bool = False  # a harmless name failed, or the name failed in another way
    servers: dict[str, list[bool]] = field(default_factory=dict)  # whether the name failed, try by try
    afterwards: dict[str, list[bool]] = field(default_factory=dict)  # whether H was cut off after the name was
    counted: list[int] = field(default_factory=list)

    @property
    def tried(self) -> int:
        return self.failed + self.passed

    @property
    def residual(self) -> bool:
        """Whether harmless names that had worked were cut off wherever the name had been cut, and never not."""
        met = list(self.afterwards.values())
        return len(met) >= SERVERS_AFTERWARDS and all(all(cut) for cut in met)

    @property
    def fit(self) -> bool:
        """Whether the harmless name worked as often as is needed, and nothing else is odd."""
        lost = any(any(cut) for cut in self.afterwards.values()) and not self.residual
        return not self.spoilt and not lost and min(self.tried, self.harmless) >= ENOUGH

    @property
    def always(self) -> bool:
        """Whether the name failed each time and the harmless one never."""
        return self.fit and not self.passed

    @property
    def often(self) -> bool:
        """Whether the name failed more often than chance allows, and at each server that it was tried at twice."""
        everywhere = all(any(tries) for tries in self.servers.values() if len(tries) > 1)
        return self.fit and everywhere and chance(self.failed, self.tried, self.harmless) <= CHANCE

    @property
    def mixed(self) -> bool:
        """Whether the name failed sometimes, and more pairs might settle it."""
        return self.fit and self.failed > 0 and not self.often and self.tried < MOST


def chance(failed: int, tried: int, harmless: int) -> float:
    """Say how probable it is that all of `failed` failures fall on the name's tries when names do not matter."""
    return math.comb(tried, failed) / math.comb(tried + harmless, failed)


def tally(story: Reading, bad: Bad) -> Tally:
    """Count the pairs; `bad` says whether a step failed, or answered, in the way that is at issue.

    A connection carries no name: where the name was to be tried and not even that stood, nothing was tried.
    """
    tries = outcomes(story, Purpose.TARGET_AT_WITNESS, Purpose.HARMLESS_AT_WITNESS)
    counted = Tally()
    asked = {step.address for step in tries if step.purpose is Purpose.TARGET_AT_WITNESS}
    cut: set[str] = set()
    for step in tries:
        at = step.address
        if step.purpose is Purpose.TARGET_AT_WITNESS:
            if bad(step):
                cut.add(at)
            elif isinstance(step, TcpConnect):
                continue
            elif worked(step):
                cut.discard(at)
            else:
                counted.spoilt = True
                continue
            counted.servers.setdefault(at, []).append(bad(step))
            counted.failed += bad(step)
            counted.passed += not bad(step)
        elif at in cut and (worked(step) or kind_of(step) in CUT_OFF) and not (worked(step) and bad(step)):
            counted.afterwards.setdefault(at, []).append(not worked(step))
            counted.harmless += worked(step)
        elif worked(step) and not bad(step):
            counted.harmless += 1
        elif at in asked or not _unfit(step):
            counted.spoilt = True
        else:
            continue
        counted.counted.append(step.id)
    return counted


def _unfit(step: Step) -> bool:
    """Whether a server is no witness: it is not there, or takes no name but its own."""
    return isinstance(step, TcpConnect) or step.failure is Failure.SSL_FAILED_HANDSHAKE


def name_fails_elsewhere(story: Reading, bad: Bad) -> Shown | None:
    """Show that the name fails at unrelated servers where a harmless one works: always, or too often for chance."""
    seen, cleared = tally(story, bad), _cleared(story, bad)
    if not (seen.often or (seen.always and not cleared)):
        return None
    partial = cleared or bool(seen.passed)
    pattern = Pattern.RESIDUAL if seen.residual else Pattern.PARTIAL if partial else None
    return Shown(
        Proof.ELSEWHERE,
        Where.NETWORK,
        tuple(sorted(seen.counted)),
        pattern=pattern,
        words=_words(seen, partial) + (_afterwards(seen) if seen.residual else ""),
    )


def unsettled(story: Reading, bad: Bad) -> bool:
    """Whether the pairs prove nothing yet, and more of them might."""
    return tally(story, bad).mixed and name_fails_elsewhere(story, bad) is None


def shut_out(story: Reading) -> bool:
    """Whether the site's own server was out of reach for the harmless name too, after the name had been there."""
    first = outcomes(story, Purpose.HARMLESS_AT_TARGET)[:1]
    return any(not worked(step) and kind_of(step) in CUT_OFF for step in first)


def _cleared(story: Reading, bad: Bad) -> bool:
    """Whether the name worked when it was tried again at the site."""
    return any(worked(step) and not bad(step) for step in outcomes(story, Purpose.REPETITION)[-1:])


def _words(seen: Tally, partial: bool) -> str:
    if not partial:
        return ", at unrelated servers too, where an equally long harmless name works"
    return (
        f", at unrelated servers in {seen.failed} of {seen.tried} tries, where an equally long harmless name worked "
        f"in {seen.harmless} of {seen.harmless}"
    )


def _afterwards(seen: Tally) -> str:
    return f"; for a while after it, {len(seen.afterwards)} of those servers could not be reached under any name"


def repeated(story: Reading) -> bool | None:
    """Say whether the repetition failed too; None when there was none."""
    if tries := outcomes(story, Purpose.REPETITION):
        return not worked(tries[-1])
    lookups = story.follow_ups(DnsLookup, Purpose.REPETITION)
    return lookups[-1].failure is not None if lookups else None
