"""What verifying a bundle comes to: what is wrong, what could not be checked, and what was said of each record."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum

import msgspec

from measurements.evidence.bundle import Entry, Manifest, Role

STANDS, ALTERED, NO_BUNDLE, UNSETTLED = 0, 1, 2, 3
"""What `wazi verify` ends with."""


class Wrong(StrEnum):
    """What is wrong with a bundle, in a word."""

    CHANGED = "changed"
    REMOVED = "removed"
    INSERTED = "inserted"
    REORDERED = "reordered"
    SIGNATURE = "signature"  # one that does not fit
    CHAIN = "chain"  # the chain of a probe does not hold
    KEY = "key"  # it is not the key that was asked for
    STAMP = "stamp"  # a time stamp that does not fit
    EVENT = "event"  # an event and its records do not belong together
    VERDICT = "verdict"  # these rules say something else of a record


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    """Something that is wrong; `record` is the number of the record that it is about, `file` the file."""

    wrong: Wrong
    words: str
    record: int | None = None
    id: str | None = None
    file: str | None = None


@dataclass(slots=True)
class Found:
    """What the steps of verifying have found so far: faults, what could not be checked, and what is worth saying."""

    faults: list[Fault] = field(default_factory=list)
    unsettled: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def fault(self, wrong: Wrong, words: str, entry: Entry | None = None, *, file: str | None = None) -> None:
        """Add a fault, of a record or of a file."""
        number, identifier = (None, None) if entry is None else (entry.number, entry.id)
        self.faults.append(Fault(wrong=wrong, words=words, record=number, id=identifier, file=file))


def called(entry: Entry) -> str:
    """Name a record to people."""
    return f"record {entry.number} ({entry.id})"


def numbers(some: Iterable[int]) -> str:
    """Name records by their numbers: `records 1 to 4, 7`."""
    ordered = sorted(some)
    ranges: list[list[int]] = []
    for number in ordered:
        if ranges and number == ranges[-1][-1] + 1:
            ranges[-1] = [ranges[-1][0], number]
        else:
            ranges.append([number])
    words = ", ".join(" to ".join(map(str, one)) for one in ranges)
    return f"record{'s' if len(ordered) > 1 else ''} {words}"


class Judged(msgspec.Struct, frozen=True, kw_only=True):
    """What came of one record. `said` is the verdict in the bundle, `found` that of this build; both in short.

    `agrees` is None where the two cannot be compared, and `note` says why.
    """

    number: int
    id: str
    role: Role
    target: str
    started: float
    linked: bool
    said: str | None = None
    said_by: int | None = None
    found: str | None = None
    agrees: bool | None = None
    note: str = ""


class Stamp(msgspec.Struct, frozen=True, kw_only=True):
    """A time stamp on a checkpoint, by `authority`: what it covers existed at `time`."""

    probe: str
    sequence: int
    time: float
    authority: str
    trusted: bool


class ChainTold(msgspec.Struct, frozen=True, kw_only=True):
    """What is there of the chain of a probe; `keys` signed its checkpoints."""

    probe: str
    links: int
    checkpoints: int
    keys: tuple[str, ...]


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """All that is known of a bundle once it is verified. `faults` begin with those of the first record."""

    manifest: Manifest | None
    signed: bool | None  # None: nobody claims to have
    faults: tuple[Fault, ...] = ()
    unsettled: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    records: tuple[Judged, ...] = ()
    stamps: tuple[Stamp, ...] = ()
    events: tuple[tuple[str, str], ...] = ()  # id and summary
    rules_version: int = 0
    chains: tuple[ChainTold, ...] = ()

    @property
    def code(self) -> int:
        """The exit code."""
        return ALTERED if self.faults else UNSETTLED if self.unsettled else STANDS

    @property
    def result(self) -> str:
        """The exit code in a word: stands, altered, disagrees (the rules do, and nothing else is wrong), unsettled."""
        if self.faults and all(fault.wrong is Wrong.VERDICT for fault in self.faults):
            return "disagrees"
        return {STANDS: "stands", ALTERED: "altered", UNSETTLED: "unsettled"}[self.code]
