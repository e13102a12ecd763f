"""Is every file of a bundle there, and as it was signed? Nothing is understood yet, only counted and compared.

Whoever changed a bundle without its key may have made everything anew that needs no key: sums, digests, the list of
records. So each entry of that list has a signature of its own, made together with all before it. The first place that
is not what was signed is the record that was changed or inserted, or the place where one is missing.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator, Mapping
from hashlib import sha256

from measurements.evidence.archive import Archive
from measurements.evidence.bundle import (
    BODIES,
    MANIFEST,
    OUTSIDE,
    RECORD_SIGNATURES,
    SIGNATURE,
    SUMS,
    Entry,
    Manifest,
    head_of,
    message_of,
    record_path,
    sums,
    to_sign,
)
from measurements.evidence.chain import PublicKey, is_signed
from measurements.evidence.findings import Fault, Wrong

_OF_RECORD = re.compile(r"(?:records|verdicts)/(\d{3,6})-([0-9a-f]{32})\.json")
_PAGE = re.compile(rb'"body":"([A-Za-z0-9+/]{43}=)"')
_SIGNATURE_LINE = re.compile(r"(\d{1,6}) ([0-9a-f]{64}) ([0-9a-f]{128})")


def is_manifest_signed(files: Mapping[str, bytes], key: PublicKey | None) -> bool:
    """Tell whether a key signed the manifest."""
    return key is not None and is_signed(files[MANIFEST], files.get(SIGNATURE, b"").hex(), key)


def list_faults(manifest: Manifest, files: Mapping[str, bytes], key: PublicKey | None) -> Iterator[Fault]:
    """Find the first places of the list of records that are not what was signed.

    It is asked where the signature of the manifest is not good, or not there although the manifest says so.
    """
    text = files.get(RECORD_SIGNATURES, b"").decode("ascii", "replace")
    lines = [_SIGNATURE_LINE.fullmatch(line) for line in text.split("\n")[: len(manifest.records) + 1]]
    signed = {int(line[1]): line[2] for line in lines if line and key and is_signed(to_sign(line[2]), line[3], key)}
    if not signed:
        words = "no signature in records.sig is good: this list of records is not the one that was signed"
        yield Fault(wrong=Wrong.SIGNATURE, words=words, file=RECORD_SIGNATURES)
        return
    head = _hex(head_of(manifest))
    if signed.get(0) != head:
        yield Fault(wrong=Wrong.CHANGED, words="what the manifest says of the bundle was changed", file=MANIFEST)
    before = signed.get(0, head)
    for place, entry in enumerate(manifest.records, 1):
        digest = signed.get(place)
        last = place == len(manifest.records)
        found = _hex(message_of(entry, before, last=last))
        if digest == found:
            pass
        elif digest == _hex(message_of(entry, before, last=not last)):
            yield _end_fault(place, last=last)
        else:
            yield _place_fault(place, entry, Wrong.INSERTED if digest is None else Wrong.CHANGED)
        before = digest or found


def _place_fault(place: int, entry: Entry, wrong: Wrong) -> Fault:
    what = f"the entry of record {place} ({entry.id}) is not what was signed at this place"
    words = f"{what}: it was changed, inserted or moved, or the record before it was removed"
    return Fault(wrong=wrong, words=words, record=place, id=entry.id, file=MANIFEST)


def _end_fault(place: int, *, last: bool) -> Fault:
    """Tell of a record that was signed as the last one and is not, or the other way round."""
    if last:
        words = f"record {place + 1} was removed: more was signed than the list holds"
        return Fault(wrong=Wrong.REMOVED, words=words, record=place + 1, file=MANIFEST)
    words = f"record {place + 1} was inserted: the one before it was signed as the last"
    return Fault(wrong=Wrong.INSERTED, words=words, record=place + 1, file=MANIFEST)


def order_faults(manifest: Manifest) -> Iterator[Fault]:
    """See that records are numbered from 1, and that none comes twice."""
    seen: set[str] = set()
    for place, entry in enumerate(manifest.records, 1):
        if entry.number != place:
            words = f"record {entry.number} stands at place {place} of the list"
            yield Fault(wrong=Wrong.REORDERED, words=words, record=place, id=entry.id, file=MANIFEST)
        if entry.id in seen:
            words = f"record {place} ({entry.id}) is in the list twice"
            yield Fault(wrong=Wrong.INSERTED, words=words, record=place, id=entry.id, file=MANIFEST)
        seen.add(entry.id)


def file_faults(manifest: Manifest, archive: Archive) -> Iterator[Fault]:
    """Compare every file with the manifest."""
    files = archive.files
    digests = {name: _hex(data) for name, data in files.items()}
    by_digest = {entry.digest: entry for entry in manifest.records}
    records = {record_path(entry): entry for entry in manifest.records}
    for entry in manifest.records:
        if (fault := _record_fault(entry, digests, by_digest)) is not None:
            yield fault
    listed = {one.path: one.sha256 for one in manifest.files}
    owners = _owners(files)
    for path, digest in listed.items():
        found, record = digests.get(path), records.get(path)
        if record is not None and found != record.digest:
            continue  # told already
        if found is None:
            yield _file(Wrong.REMOVED, path, f"{path} was removed", owners)
        elif found != digest or (path.startswith(BODIES) and path != BODIES + found):
            yield _file(Wrong.CHANGED, path, f"{path} was changed: its digest is not that of the manifest", owners)
    for path in sorted(files.keys() - listed.keys() - set(OUTSIDE)):
        yield _file(Wrong.INSERTED, path, f"{path} is not in the manifest: it was inserted", owners)
    for path in sorted(archive.damaged):
        yield _file(Wrong.CHANGED, path, f"{path} was changed: its check sum in the ZIP does not fit", owners)
    if files.get(SUMS) != sums((path, data) for path, data in files.items() if path != SUMS):
        words = f"{SUMS} does not hold the sums of the other files, in their order"
        yield Fault(wrong=Wrong.CHANGED, words=words, file=SUMS)


def _record_fault(entry: Entry, digests: Mapping[str, str], by_digest: Mapping[str, Entry]) -> Fault | None:
    path = record_path(entry)
    found = digests.get(path)
    if found == entry.digest:
        return None
    called = f"record {entry.number} ({entry.id})"
    if found is None:
        wrong, words = Wrong.REMOVED, f"{called} was removed: {path} is not there"
    elif (other := by_digest.get(found)) is not None:
        wrong, words = Wrong.REORDERED, f"{called} was exchanged: {path} holds record {other.number} ({other.id})"
    else:
        wrong, words = Wrong.CHANGED, f"{called} was changed: the digest of {path} is not that of the manifest"
    return Fault(wrong=wrong, words=words, record=entry.number, id=entry.id, file=path)


def _owners(files: Mapping[str, bytes]) -> dict[str, str]:
    """Return the first record that names each page."""
    owners: dict[str, str] = {}
    for name in sorted(name for name in files if _OF_RECORD.fullmatch(name)):
        for match in _PAGE.finditer(files[name]):
            owners.setdefault(BODIES + base64.b64decode(match[1]).hex(), name)
    return owners


def _file(wrong: Wrong, path: str, words: str, owners: Mapping[str, str]) -> Fault:
    """Make a fault of a file, with the first record that the file belongs to."""
    match = _OF_RECORD.fullmatch(owners.get(path, path))
    number, identifier = (int(match[1]), match[2]) if match is not None else (None, None)
    return Fault(wrong=wrong, words=words, record=number, id=identifier, file=path)


def _hex(data: bytes) -> str:
    return sha256(data).hexdigest()
