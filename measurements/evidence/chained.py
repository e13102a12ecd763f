"""Do the records stand in the chains of their probes, under signed checkpoints and keys that follow on each other?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from measurements.evidence.bundle import Entry, Manifest
from measurements.evidence.chain import (
    Kind,
    Link,
    PublicKey,
    bad_signature,
    handed_over,
    strangers,
    stretch,
)
from measurements.evidence.checking import find_fault
from measurements.evidence.findings import Found, Wrong, called, numbers
from measurements.evidence.links import KEYS, ProbeChain

_WRONG = {
    Kind.CHANGED: Wrong.CHANGED,
    Kind.REMOVED: Wrong.REMOVED,
    Kind.INSERTED: Wrong.INSERTED,
    Kind.REORDERED: Wrong.REORDERED,
}


@dataclass(frozen=True)
class Run:
    """Links that follow on each other, the number and hash before them (None: the chain begins here), and the records
    that stand in them.
    """

    probe: str
    before: tuple[int, str] | None
    links: list[Link]
    records: list[Entry] = field(default_factory=list)

    @cached_property
    def values(self) -> dict[int, str]:
        """What the chain has come to, by number."""
        return {link.sequence: link.chain for link in self.links}


def stand(manifest: Manifest, chains: Sequence[ProbeChain], found: Found) -> list[Run]:
    """Check the chains, and find each record in that of its probe."""
    runs: list[Run] = []
    covered: set[int] = set()
    for chain in chains:
        mine = [entry for entry in manifest.records if entry.probe == chain.probe and entry.link is not None]
        _check_keys(chain, found)
        _check_points(chain, found)
        for run in _runs(chain):
            covered |= _check_run(run, chain, mine, found)
            runs.append(run)
    by_probe = {one.probe: {link.sequence: link for link in one.links} for one in chains}
    for entry in manifest.records:
        if entry.link is not None:
            _find(entry, by_probe.get(entry.probe, {}).get(entry.link), found)
    _tell(manifest, covered, found)
    return runs


def _tell(manifest: Manifest, covered: set[int], found: Found) -> None:
    """Say of which records nothing in a chain vouches."""
    loose = [entry.number for entry in manifest.records if entry.link is None]
    open_ends = [entry.number for entry in manifest.records if entry.link is not None and entry.number not in covered]
    if loose:
        words = "in no chain: imported, or made before there was one; only the signature of the bundle holds"
        found.unsettled.append(f"{numbers(loose)}: {words} {'them' if len(loose) > 1 else 'it'}")
    if open_ends and not found.faults:
        found.unsettled.append(f"{numbers(open_ends)}: chained, and no signed checkpoint comes after")


def family(chain: ProbeChain, key_id: str) -> frozenset[str]:
    """Return the keys of a probe that one is joined to by handing over, itself included."""
    good = [rotation for rotation in chain.keys.rotations if handed_over(rotation, chain.keys)]
    joined = {key_id}
    for _ in good:
        joined |= {key for one in good if joined & {one.key_id, one.next_id} for key in (one.key_id, one.next_id)}
    return frozenset(joined)


def _check_keys(chain: ProbeChain, found: Found) -> None:
    for rotation in chain.keys.rotations:
        if not handed_over(rotation, chain.keys):
            words = f"the record that key {rotation.next_id[:16]} follows {rotation.key_id[:16]} is not signed by both"
            found.fault(Wrong.SIGNATURE, words, file=KEYS)
    for key in strangers(chain.keys):
        found.unsettled.append(
            f"no older key of probe {chain.probe} has signed that the key {key.key_id} follows it: "
            "it may be somebody else's, or the old one was lost"
        )


def _check_points(chain: ProbeChain, found: Found) -> None:
    for point in chain.checkpoints:
        if (fault := bad_signature(point, chain.keys)) is not None:
            found.fault(Wrong.SIGNATURE, f"chain of probe {chain.probe}: {fault.words}", file=_file(chain))
        elif point.probe_id != chain.probe:
            found.fault(Wrong.CHAIN, f"{_file(chain)}: a checkpoint is of another probe", file=_file(chain))


def _runs(chain: ProbeChain) -> Iterator[Run]:
    """Cut the links where a signed checkpoint stands just before one that does not follow by its number."""
    points = {one.sequence: one.chain for one in chain.checkpoints}
    run: Run | None = None
    last = 0
    for link in chain.links:
        first = (stretch(link) or (link.sequence, 0))[0]
        if run is None:
            earlier = max((number for number in points if number < first), default=None)
            run = Run(chain.probe, None if earlier is None else (earlier, points[earlier]), [])
        elif first != last + 1 and first - 1 in points:
            yield run
            run = Run(chain.probe, (first - 1, points[first - 1]), [])
        run.links.append(link)
        last = link.sequence
    if run is not None:
        yield run


def _check_run(run: Run, chain: ProbeChain, mine: Sequence[Entry], found: Found) -> set[int]:
    """Check the links of a run; return the numbers of its records that a signed checkpoint covers."""
    start = run.links[0].sequence if run.before is None else run.before[0]
    end = run.links[-1].sequence
    points = [point for point in chain.checkpoints if start <= point.sequence <= end]
    fault = find_fault(run.links, points, chain.keys, before=run.before)
    run.records.extend(entry for entry in mine if start <= (entry.link or 0) <= end)
    if fault is None:
        signed = max((point.sequence for point in points), default=-1)
        return {entry.number for entry in run.records if (entry.link or 0) <= signed}
    entry = next((one for one in run.records if one.link == fault.sequence), None)
    words = f"chain of probe {chain.probe}: {fault.words}"
    if entry is None and fault.kind is Kind.CHECKPOINT and run.records and not any(one.record for one in found.faults):
        entry = run.records[0]  # nothing tells which of them it is
        words += f"; {called(entry)} is the first in the bundle that this is about"
    found.fault(_WRONG.get(fault.kind, Wrong.CHAIN), words, entry, file=_file(chain))
    return set()


def _find(entry: Entry, link: Link | None, found: Found) -> None:
    """See that a record is the one that was chained under its number."""
    if link is None:
        words = f"{called(entry)} should be {entry.link} in the chain of probe {entry.probe}: its link was removed"
        found.fault(Wrong.REMOVED, words, entry)
    elif (link.measurement_id, link.record) != (entry.id, entry.digest):
        words = f"{called(entry)} is not what was chained as {entry.link}: it was changed after it was measured"
        found.fault(Wrong.CHANGED, words, entry)


def _file(chain: ProbeChain) -> str:
    return f"chain/{chain.folder}.jsonl"


def key_of(chains: Sequence[ProbeChain], manifest: Manifest) -> PublicKey | None:
    """Find the key that the manifest says it is signed with."""
    if manifest.signed_by is None:
        return None
    for chain in chains:
        if chain.probe == manifest.signed_by.probe and (key := chain.keys.of(manifest.signed_by.key)) is not None:
            return key
    return None


def attested(runs: Sequence[Run], probe: str, sequence: int, value: str) -> tuple[set[int], Run | None]:
    """Return the records that a checkpoint vouches for, and the run that it speaks against.

    It vouches for records that links lead from to its own number, where the chain has its value. A checkpoint that
    stands alone in the bundle leads to nothing.
    """
    for run in (run for run in runs if run.probe == probe):
        found = run.values.get(sequence)
        if found is not None and found != value:
            return set(), run
        if found is not None:
            return {entry.number for entry in run.records if (entry.link or 0) <= sequence}, None
    return set(), None
