"""Going along a chain: the first thing that is wrong with it, by name.

A link that does not follow the one before it is looked at together with the next ones, to tell whether it was changed,
others were removed or inserted before it, or they stand in another order. A chain that was made anew from the first
altered link fits in itself: only a checkpoint shows it. So what a chain proves begins where somebody else knows one.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from itertools import islice

from measurements.evidence.chain import (
    Fault,
    Keys,
    Kind,
    Link,
    SignedCheckpoint,
    bad_signature,
    follows,
    genesis,
    handed_over,
    number,
    read_note,
    stretch,
)

AHEAD = 256
"""Links that are looked at beyond one that does not fit."""


def find_fault(
    links: Iterable[Link],
    checkpoints: Iterable[SignedCheckpoint] = (),
    keys: Keys | None = None,
    *,
    before: tuple[int, str] | None = None,
) -> Fault | None:
    """Name the first thing that is wrong with a chain, or return None.

    `links` come in order and are read once, `AHEAD` of them ahead at most; `checkpoints` come by number. `before` is
    the number and hash of the link before the first; without it the first must follow its genesis. Checkpoints at or
    before `before` are not asked.
    """
    checking = _Checking(sorted(checkpoints, key=lambda one: one.sequence), keys or Keys(), before)
    ahead: deque[Link] = deque()
    source = iter(links)
    while True:
        ahead.extend(islice(source, AHEAD - len(ahead)) if len(ahead) < AHEAD // 2 else ())
        if not ahead:
            return checking.end()
        if (fault := checking.take(ahead)) is not None:
            return fault


class _Checking:
    """Goes along a chain: `place` is the number and the hash of the last link that fitted."""

    def __init__(self, checkpoints: Sequence[SignedCheckpoint], keys: Keys, before: tuple[int, str] | None) -> None:
        self.keys = keys
        self.place = before
        self.earlier = ""  # the hash before the last link that fitted
        self.checkpoints = deque(one for one in checkpoints if before is None or one.sequence > before[0])
        self.unfit: list[SignedCheckpoint] = []
        self.elder = {one.next_id: one.key_id for one in keys.rotations if handed_over(one, keys)}
        self.retired: dict[str, int] = {}  # keys that handed over, and the number at which a younger one first signed

    def take(self, ahead: deque[Link]) -> Fault | None:
        """Take the first of the links ahead, unless it does not fit."""
        link = ahead[0]
        known = stretch(link)
        if self.place is None:
            self.place = _beginning(ahead)
        before, chain = self.place
        if known is None or known[0] != before + 1 or not follows(chain, link):
            return self._forked(link) or _name(before, chain, list(ahead))
        self.place, self.earlier = (link.sequence, link.chain), chain
        ahead.popleft()
        fault = self._checkpoints(link)
        self._forgive(link)
        return fault

    def _forked(self, link: Link) -> Fault | None:
        """Notice a second link in the place of the last one."""
        if self.place is None or link.sequence != self.place[0] or not follows(self.earlier, link):
            return None
        words = f"two links follow the same one: {_called(link)} is the second"
        return _fault(Kind.FORKED, link, words)

    def _checkpoints(self, link: Link) -> Fault | None:
        while self.checkpoints and self.checkpoints[0].sequence <= link.sequence:
            one = self.checkpoints.popleft()
            if (fault := bad_signature(one, self.keys) or self._signed_late(one)) is not None:
                return fault
            if (one.probe_id, one.sequence, one.chain) != (link.probe_id, link.sequence, link.chain):
                self.unfit.append(one)
        return None

    def _signed_late(self, one: SignedCheckpoint) -> Fault | None:
        """Notice a key that signs after it handed over: somebody kept it."""
        since = self.retired.get(one.key_id, one.sequence)
        if since < one.sequence:
            words = f"the checkpoint at {one.sequence} is signed with the key {one.key_id[:16]}, which handed over"
            return Fault(kind=Kind.SIGNATURE, sequence=one.sequence, words=f"{words} to one that signs since {since}")
        key_id = one.key_id
        while (key_id := self.elder.get(key_id, "")) and key_id not in self.retired:
            self.retired[key_id] = one.sequence
        return None

    def _forgive(self, link: Link) -> None:
        """Let pass the checkpoint that a note of the chain itself tells of: the store was an older copy."""
        said = read_note(link) if self.unfit and not link.measurement_id else None
        if said is not None and said.get("wazi") == "fork 1":
            lost = said.get("sequence"), said.get("chain")
            self.unfit = [one for one in self.unfit if (number(one.sequence), one.chain) != lost]

    def end(self) -> Fault | None:
        """Say what is wrong once all links are known."""
        for one in (*self.unfit, *self.checkpoints):
            if (fault := bad_signature(one, self.keys)) is not None:
                return fault
            last = self.place[0] if self.place else 0
            if one.sequence > last:
                words = f"{one.sequence} was signed, and the chain ends with {last}: what follows was removed"
                return Fault(kind=Kind.REMOVED, sequence=last + 1, words=words)
            words = f"the checkpoint at {one.sequence} does not fit the chain: what it signed was made anew or removed"
            return Fault(kind=Kind.CHECKPOINT, sequence=one.sequence, words=words)
        return None


def _beginning(ahead: Iterable[Link]) -> tuple[int, str]:
    """Return the number and hash of the genesis that one of the first links follows; else of the first."""
    starts = [((stretch(link) or (link.sequence, 0))[0] - 1, link) for link in ahead]
    begun = next((start for start, link in starts if follows(genesis(link.probe_id, start), link)), starts[0][0])
    return begun, genesis(starts[0][1].probe_id, begun)


def _name(before: int, chain: str, ahead: Sequence[Link]) -> Fault:
    """Say what happened where the first of some links does not follow the number and hash before it."""
    link, rest = ahead[0], ahead[1:]
    moved = next((place for place, one in enumerate(rest, 1) if _stands_at(before, chain, one)), None)
    if moved is not None:
        return _strange(before, ahead, moved)
    if _stands_at(before, chain, link):  # only its number is another
        return _fault(Kind.CHANGED, link, f"the number of {_called(link)} was changed from {before + 1}", before + 1)
    if not link.measurement_id and stretch(link) is None:
        return _fault(Kind.CHANGED, link, f"{_called(link)} is not what was chained: it was changed")
    if link.sequence <= before:
        return _fault(Kind.INSERTED, link, f"{_called(link)} stands where {before + 1} should: it was inserted")
    missing = _missing(before, link, rest)
    if missing:
        which = f"{before + 1}" if missing == 1 else f"{before + 1} to {before + missing}"
        return Fault(kind=Kind.REMOVED, sequence=before + 1, words=f"{which} of the chain was removed")
    return _fault(
        Kind.CHANGED, link, f"{_called(link)} does not follow the link before it: it was changed after it was chained"
    )


def _stands_at(before: int, chain: str, link: Link) -> bool:
    """Tell whether a link follows a place, whatever number it has now."""
    if link.measurement_id:
        return follows(chain, link, before + 1)
    return (stretch(link) or (0, 0))[0] == before + 1 and follows(chain, link)


def _strange(before: int, ahead: Sequence[Link], moved: int) -> Fault:
    """Name what stands before the link that should come: it belongs elsewhere, or nowhere."""
    link, right = ahead[0], ahead[moved]
    if any(one.chain == link.chain for one in ahead[1:]):
        return _fault(Kind.INSERTED, link, f"{_called(link)} stands in the chain twice: it was inserted")
    behind = ((one.chain, one.sequence + 1) for one in ahead[1:])
    if any(follows(chain, link, place) for chain, place in ((right.chain, before + 2), *behind)) or (
        not link.measurement_id and any(follows(one.chain, link) for one in ahead[1:])
    ):
        words = f"{_called(link)} stands before {_called(right)}, which it follows: they were reordered"
        return _fault(Kind.REORDERED, link, words)
    return _fault(Kind.INSERTED, link, f"{_called(link)} follows nothing in the chain: it was inserted")


def _missing(before: int, link: Link, rest: Sequence[Link]) -> int:
    """Count the numbers that were removed before a link, also where the rest was numbered anew."""
    jump = (stretch(link) or (link.sequence, 0))[0] - before - 1
    if jump > 0 or not rest or not rest[0].measurement_id:
        return max(0, jump)
    following = rest[0]
    return next((by for by in range(1, AHEAD) if follows(link.chain, following, following.sequence + by)), 0)


def _fault(kind: Kind, link: Link, words: str, sequence: int | None = None) -> Fault:
    place = link.sequence if sequence is None else sequence
    return Fault(kind=kind, sequence=place, measurement_id=link.measurement_id, words=words)


def _called(link: Link) -> str:
    what = f"measurement {link.measurement_id}" if link.measurement_id else "the note"
    return f"{what} ({link.sequence} in the chain)"
