"""What is in a bundle, and how it is written: everything that an opponent's expert needs, in one file.

`manifest.json` lists every other file with its SHA-256, and is signed; so nothing can change, go or come unseen. It
also lists the records, in order, and each record's entry is signed together with all entries before it (`records.sig`):
where somebody without the key has rewritten the list, the first place that is not what was signed is known.

Everything in JSON is in the one form of RFC 8785, so that a digest of it can be made by others. docs/evidence.md tells
people the formats, byte by byte; `FORMAT` changes when one of them does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import StrEnum
from hashlib import sha256
from typing import Any

import msgspec

from measurements.commitments import Removal, removals
from measurements.events.nouns import Event
from measurements.evidence.archive import name_is_plain, write
from measurements.evidence.canonical import canonical
from measurements.evidence.strict import Number, Seconds
from measurements.model import Measurement, Verdict

FORMAT, ENTRY_FORMAT = "bundle 1", "bundle entry 1"

MANIFEST, SIGNATURE, SUMS, README = "manifest.json", "manifest.sig", "SHA256SUMS", "README.txt"
RECORD_SIGNATURES = "records.sig"
BODIES = "bodies/"
BOGONS = "lists/bogons.csv"
VOTES, GAPS, REDACTIONS = "votes.csv", "gaps.json", "redactions.json"
OUTSIDE = (MANIFEST, SIGNATURE, SUMS)
"""What the manifest cannot list: itself, its signature, and the sums of all."""


class Role(StrEnum):
    """Why a record is here."""

    WITNESS = "witness"  # it speaks against access: the event rests on it
    ACCESS = "access"  # it speaks for access: before, during, after, or elsewhere
    EARLIER = "earlier"  # a verdict on another record looks back to it


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One record in the manifest; `number` counts from 1 and begins the names of its files.

    `digest` is the SHA-256 of the record, `link` its number in the chain of its probe (None: no link). What a
    verdict said is there for people: `verdicts/` has all of it.
    """

    number: Number
    id: str
    probe: str
    sequence: Number
    digest: str
    role: Role
    link: Number | None
    started: float
    target: str
    outcome: str | None = None
    mechanism: str | None = None
    confidence: str | None = None
    rules_version: Number | None = None

    @property
    def stem(self) -> str:
        """How the names of its files begin, after the folder."""
        return f"{self.number:03d}-{self.id}"


class Missing(msgspec.Struct, frozen=True, kw_only=True):
    """A measurement that the event names, or a page that a record names, and that is not here; `why` is a sentence."""

    id: str
    why: str


class UsedList(msgspec.Struct, frozen=True, kw_only=True):
    """A list that the rules looked into: `kind` is bogons or fingerprints, `sha256` is of the file as it was."""

    kind: str
    name: str
    sha256: str
    shipped: bool


class FileEntry(msgspec.Struct, frozen=True, kw_only=True):
    """A file of the bundle."""

    path: str
    size: Number
    sha256: str


class Signed(msgspec.Struct, frozen=True, kw_only=True):
    """Whose key signed: the probe's id, and the fingerprint of its public key."""

    probe: str
    key: str


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """The list of all that a bundle holds. `made` is UTC seconds since the epoch; `left_out` are sentences."""

    wazi: str
    made: Seconds
    software: str
    rules_version: Number
    events: tuple[str, ...]
    signed_by: Signed | None
    records: tuple[Entry, ...]
    missing: tuple[Missing, ...] = ()
    left_out: tuple[str, ...] = ()
    lists: tuple[UsedList, ...] = ()
    files: tuple[FileEntry, ...] = ()


class Opinion(msgspec.Struct, frozen=True, kw_only=True):
    """A verdict, and when it was given."""

    judged_at: float
    verdict: Verdict


class Item(msgspec.Struct, frozen=True, kw_only=True):
    """A measurement for a bundle: its record, the pages that are kept of it, and all that was said about it."""

    measurement: Measurement  # for what the manifest says of it
    record: bytes
    role: Role
    link: int | None
    opinions: tuple[Opinion, ...] = ()
    bodies: Mapping[str, bytes] = {}


class Said(msgspec.Struct, frozen=True, kw_only=True):
    """What an event said when it was stored at a time."""

    stored: float
    event: Event


class EventFile(msgspec.Struct, frozen=True, kw_only=True):
    """An event, and what it said each time it was told to people, in order."""

    event: Event
    versions: tuple[Said, ...] = ()


class Signer(msgspec.Struct, frozen=True, kw_only=True):
    """Who signs: `sign` makes the 64 bytes of an Ed25519 signature (RFC 8032)."""

    by: Signed
    sign: Callable[[bytes], bytes]


def build(
    told: Sequence[EventFile],
    items: Sequence[Item],
    extra: Mapping[str, bytes],
    *,
    made: int,
    software: str,
    rules_version: int,
    signer: Signer | None,
    missing: Sequence[Missing] = (),
    left_out: Sequence[str] = (),
    lists: Sequence[UsedList] = (),
) -> bytes:
    """Make a bundle; `extra` are the files that it does not make itself. The same values give the same bytes.

    Raises ValueError when it would be larger than a bundle may be, or a name could not be one.
    """
    entries = tuple(_entry(number, item) for number, item in enumerate(items, 1))
    manifest = Manifest(
        wazi=FORMAT,
        made=made,
        software=software,
        rules_version=rules_version,
        events=tuple(one.event.id for one in told),
        signed_by=None if signer is None else signer.by,
        records=entries,
        missing=tuple(missing),
        left_out=tuple(left_out),
        lists=tuple(lists),
    )
    files = {**extra, **_event_files(told), **_record_files(entries, items)}
    if signer is not None:
        files[RECORD_SIGNATURES] = signatures(manifest, signer.sign)
    ordered = sorted(files.items(), key=lambda file: (file[0] != README, file[0]))
    listed = tuple(FileEntry(path=path, size=len(data), sha256=_hex(data)) for path, data in ordered)
    signed = canonical(msgspec.to_builtins(msgspec.structs.replace(manifest, files=listed)))
    last = [(MANIFEST, signed)]
    if signer is not None:
        last.append((SIGNATURE, signer.sign(signed)))
    every = [ordered[0], *last, *ordered[1:]] if ordered else last
    return write([*every, (SUMS, sums(every))])


def head_of(manifest: Manifest) -> bytes:
    """Return what a manifest says besides its records and files, which stands before the first record."""
    return canonical(msgspec.to_builtins(msgspec.structs.replace(manifest, records=(), files=())))


def message_of(entry: Entry, before: str, *, last: bool) -> bytes:
    """Return what is signed of a record: its entry, whether it is the last, and the digest of what stands before it."""
    return canonical({"before": before, "last": last, "record": msgspec.to_builtins(entry), "wazi": ENTRY_FORMAT})


def to_sign(digest: str) -> bytes:
    """Return the text whose signature vouches for a record's entry, by the digest of its message."""
    return canonical({"entry": digest, "wazi": ENTRY_FORMAT})


def signatures(manifest: Manifest, sign: Callable[[bytes], bytes]) -> bytes:
    """Sign each entry: a line is its number (0: the head), the digest of its message, and the signature."""
    digests = [_hex(head_of(manifest))]
    for entry in manifest.records:
        last = entry is manifest.records[-1]
        digests.append(_hex(message_of(entry, digests[-1], last=last)))
    lines = (f"{number} {digest} {sign(to_sign(digest)).hex()}\n" for number, digest in enumerate(digests))
    return "".join(lines).encode()


def sums(files: Iterable[tuple[str, bytes]]) -> bytes:
    """Write digests as `sha256sum` does."""
    return b"".join(f"{_hex(data)}  {path}\n".encode() for path, data in files)


def what_was_said(verdict: Verdict | None) -> tuple[str | None, str | None, str | None, int | None]:
    """Return what an entry tells people of a verdict: outcome, mechanism, confidence, version of the rules."""
    if verdict is None:
        return None, None, None, None
    mechanism = None if verdict.mechanism is None else verdict.mechanism.value
    confidence = None if verdict.confidence is None else verdict.confidence.value
    return verdict.outcome.value, mechanism, confidence, verdict.rules_version


def redactions(taken: Iterable[tuple[int, str, Iterable[Removal]]]) -> bytes:
    """Write what was taken out of records, given by number and id."""
    told: list[Any] = []
    for number, identifier, removed in taken:
        rows = [{"place": one.place, "kind": one.kind, "commitment": one.commitment} for one in removed]
        if rows:
            told.append({"record": number, "id": identifier, "removed": rows})
    return canonical(told)


def record_path(entry: Entry) -> str:
    """Return where the record is."""
    return f"records/{entry.stem}.json"


def verdicts_path(entry: Entry) -> str:
    """Return where the verdicts on it are."""
    return f"verdicts/{entry.stem}.json"


def folder_of(probe: str) -> str:
    """Return the name by which a probe's files go: its id, or a digest of it where the id is no plain name."""
    return probe if name_is_plain(probe) and "/" not in probe and len(probe) <= 40 else _hex(probe.encode())[:32]


def _entry(number: int, item: Item) -> Entry:
    fact = item.measurement
    latest = item.opinions[-1].verdict if item.opinions else None
    outcome, mechanism, confidence, rules_version = what_was_said(latest)
    return Entry(
        number=number,
        id=fact.id,
        probe=fact.vantage.probe_id,
        sequence=fact.sequence,
        digest=_hex(item.record),
        role=item.role,
        link=item.link,
        started=fact.started,
        target=fact.target.url,
        outcome=outcome,
        mechanism=mechanism,
        confidence=confidence,
        rules_version=rules_version,
    )


def _event_files(told: Sequence[EventFile]) -> dict[str, bytes]:
    return {f"events/{one.event.id}.json": canonical(msgspec.to_builtins(one)) for one in told}


def _record_files(entries: Sequence[Entry], items: Sequence[Item]) -> dict[str, bytes]:
    files: dict[str, bytes] = {}
    for entry, item in zip(entries, items, strict=True):
        files[record_path(entry)] = item.record
        files[verdicts_path(entry)] = canonical([msgspec.to_builtins(opinion) for opinion in item.opinions])
        files |= {BODIES + digest: body for digest, body in item.bodies.items()}
    facts = (item.measurement for item in items)
    files[REDACTIONS] = redactions(
        (entry.number, entry.id, removals(fact.redacted)) for entry, fact in zip(entries, facts, strict=True)
    )
    return files


def _hex(data: bytes) -> str:
    return sha256(data).hexdigest()
