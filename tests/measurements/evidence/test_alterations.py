"""1,000 bundles, each altered at one place: every one is found, and the record is named. Unaltered ones stand.

Half of the alterations are clumsy. The other half are by somebody who knows the format and lacks the key: he makes the
ZIP, the sums, the digests, the list of records and the numbers anew, and where he likes also the chain.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from hashlib import sha256

import pytest
from msgspec.structs import replace

from measurements.evidence.archive import read, write
from measurements.evidence.bundle import (
    SUMS,
    Entry,
    Manifest,
    Role,
    record_path,
    sums,
    verdicts_path,
)
from measurements.evidence.canonical import read_record, record
from measurements.evidence.chain import genesis, link_after
from measurements.evidence.findings import ALTERED, STANDS, Wrong
from measurements.evidence.links import files_of, read_chains
from measurements.evidence.verify import Known, NotABundle, verify
from tests.measurements.evidence.made import KNOWN, Files, check, make, manifest_of, put, whole

SEEDS = 10
RECORDS = 4


def _hex(data: bytes) -> str:
    return sha256(data).hexdigest()


def flip(data: bytes, chance: random.Random) -> bytes:
    """Change one byte."""
    place = chance.randrange(len(data))
    return data[:place] + bytes([data[place] ^ chance.randrange(1, 256)]) + data[place + 1 :]


def count(files: Files) -> int:
    return len(manifest_of(files).records)


def entry_at(files: Files, number: int) -> Entry:
    return manifest_of(files).records[number - 1]


# Each changes files at a place and returns the number of the record that must be named


def byte_of_a_record(files: Files, chance: random.Random) -> int:
    number = chance.randint(1, count(files))
    path = record_path(entry_at(files, number))
    files[path] = flip(files[path], chance)
    return number


def byte_of_a_record_and_all_digests(files: Files, chance: random.Random) -> int:
    number = byte_of_a_record(files, chance)
    put(files, manifest_of(files))
    return number


def value_of_a_record_and_the_whole_chain(files: Files, chance: random.Random) -> int:
    """Change what was measured, well-formed, and make every link anew that follows; only the checkpoints stay."""
    number = chance.randint(1, count(files))
    entry = entry_at(files, number)
    fact = read_record(files[record_path(entry)])
    files[record_path(entry)] = record(replace(fact, runtime=fact.runtime + 1.0))
    chain = next(one for one in read_chains(files) if one.probe == entry.probe)
    value, links = genesis(chain.probe, 0), []
    for link in chain.links:
        digest = _hex(files[record_path(entry)]) if link.sequence == entry.link else link.record
        link = link_after(
            value,
            probe_id=chain.probe,
            sequence=link.sequence,
            measurement_id=link.measurement_id,
            record=digest,
        )
        value = link.chain
        links.append(link)
    name = f"chain/{chain.folder}.jsonl"
    files[name] = files_of([replace(chain, links=tuple(links))])[name]
    put(files, manifest_of(files))
    return number


def value_of_a_link(files: Files, chance: random.Random) -> int:
    """Change a record, its digest everywhere, and the digest in its link."""
    number = chance.randint(1, count(files))
    entry = entry_at(files, number)
    old = entry.digest.encode()
    path = record_path(entry)
    files[path] = files[path].replace(b'"software":"wazi 0.1.0"', b'"software":"wazi 0.1.1"')
    chain = f"chain/{entry.probe}.jsonl"
    files[chain] = files[chain].replace(old, _hex(files[path]).encode())
    put(files, manifest_of(files))
    return number


def what_the_list_says_of_a_record(files: Files, chance: random.Random) -> int:
    number = chance.randint(1, count(files))
    manifest = manifest_of(files)
    records = list(manifest.records)
    records[number - 1] = replace(records[number - 1], outcome="down", role=Role.EARLIER)
    put(files, replace(manifest, records=tuple(records)))
    return number


def file_of_a_record_removed(files: Files, chance: random.Random) -> int:
    number = chance.randint(1, count(files))
    del files[record_path(entry_at(files, number))]
    if chance.random() < 0.5:
        files.pop(SUMS)
        files[SUMS] = sums(files.items())
    return number


def record_removed_with_all_traces(files: Files, chance: random.Random) -> int:
    """Take a record out of the list and close the gap: its place is named, where the next one stands now."""
    manifest = manifest_of(files)
    number = chance.randint(1, count(files))
    gone = manifest.records[number - 1]
    del files[record_path(gone)], files[verdicts_path(gone)]
    kept = [entry for entry in manifest.records if entry.id != gone.id]
    renumber(files, manifest, kept)
    return number


def renumber(files: Files, manifest: Manifest, records: list[Entry]) -> None:
    """Give records the numbers of their places, and their files the names."""
    moved = {}
    entries = []
    for place, entry in enumerate(records, 1):
        new = replace(entry, number=place)
        for path in (record_path, verdicts_path):
            moved[path(new)] = files.pop(path(entry))
        entries.append(new)
    files |= moved
    put(files, replace(manifest, records=tuple(entries)))


def contents_exchanged(files: Files, chance: random.Random) -> int:
    one, other = sorted(chance.sample(range(1, count(files) + 1), 2))
    a, b = record_path(entry_at(files, one)), record_path(entry_at(files, other))
    files[a], files[b] = files[b], files[a]
    if chance.random() < 0.5:
        files.pop(SUMS)
        files[SUMS] = sums(files.items())
    return one


def list_reordered(files: Files, chance: random.Random) -> int:
    one, other = sorted(chance.sample(range(count(files)), 2))
    manifest = manifest_of(files)
    records = list(manifest.records)
    records[one], records[other] = records[other], records[one]
    put(files, replace(manifest, records=tuple(records)))
    return one + 1


def records_exchanged_and_renumbered(files: Files, chance: random.Random) -> int:
    one, other = sorted(chance.sample(range(count(files)), 2))
    manifest = manifest_of(files)
    records = list(manifest.records)
    records[one], records[other] = records[other], records[one]
    renumber(files, manifest, records)
    return one + 1


def record_added(files: Files, chance: random.Random) -> int:
    """Put in a file that the list does not name."""
    number = count(files) + 1
    some = files[record_path(entry_at(files, 1))]
    files[f"records/{number:03d}-{chance.randbytes(16).hex()}.json"] = some
    files.pop(SUMS)
    files[SUMS] = sums(files.items())
    return number


def record_added_with_all_traces(files: Files, chance: random.Random) -> int:
    """Put a made-up measurement into the list, at any place."""
    manifest = manifest_of(files)
    place = chance.randint(0, count(files))
    like = manifest.records[min(place, count(files) - 1)]
    fact = read_record(files[record_path(like)])
    made_up = replace(fact, id=chance.randbytes(16).hex(), sequence=7, started=fact.started + 1.0)
    entry = replace(like, id=made_up.id, sequence=7, link=7, started=made_up.started, number=900)
    files[record_path(entry)] = record(made_up)
    files[verdicts_path(entry)] = files[verdicts_path(like)]
    records = list(manifest.records)
    records.insert(place, entry)
    renumber(files, manifest, records)
    return place + 1


def record_of_another_bundle(files: Files, chance: random.Random) -> int:
    """Put a true record of another bundle of the same probe in the place of one, with all digests."""
    number = chance.randint(1, RECORDS)
    theirs = read(whole(77)).files
    other = manifest_of(dict(theirs)).records[number - 1]
    manifest = manifest_of(files)
    records = list(manifest.records)
    del files[record_path(records[number - 1])], files[verdicts_path(records[number - 1])]
    records[number - 1] = other
    for path in (record_path(other), verdicts_path(other)):
        files[path] = theirs[path]
    put(files, replace(manifest, records=tuple(records)))
    return number


CLUMSY = (byte_of_a_record, file_of_a_record_removed, contents_exchanged, record_added)
SKILLED = (
    byte_of_a_record_and_all_digests,
    value_of_a_record_and_the_whole_chain,
    value_of_a_link,
    what_the_list_says_of_a_record,
    record_removed_with_all_traces,
    list_reordered,
    records_exchanged_and_renumbered,
    record_added_with_all_traces,
    record_of_another_bundle,
)
ALTERATIONS: tuple[Callable[[Files, random.Random], int], ...] = (*CLUMSY, *CLUMSY, *SKILLED)


def not_named(bundles: Sequence[bytes], times: int, known: Known = KNOWN) -> list[object]:
    """Alter bundles in all ways; return what was not found, or named another record."""
    chance = random.Random(20261126)
    wrong: list[object] = []
    for number in range(times):
        files = dict(read(bundles[number % len(bundles)]).files)
        alteration = ALTERATIONS[number % len(ALTERATIONS)]
        expected = alteration(files, chance)
        report = verify(write(files.items()), known)
        named = report.faults[0].record if report.faults else None
        if report.code != ALTERED or named != expected:
            wrong.append((alteration.__name__, number, expected, named, [fault.words for fault in report.faults][:3]))
    return wrong


def test_a_thousand_altered_bundles_are_found_and_the_record_is_named() -> None:
    assert not_named([whole(seed) for seed in range(1, SEEDS + 1)], 1000) == []


def test_unaltered_bundles_stand() -> None:
    for seed in range(1, SEEDS + 1):
        report = check(whole(seed))
        assert (report.code, report.faults, report.unsettled) == (STANDS, (), ())
        assert [one.agrees for one in report.records] == [True] * RECORDS


def test_a_change_of_any_byte_of_the_file_is_seen() -> None:
    data = whole(2)
    chance = random.Random(3)
    places = [*chance.sample(range(len(data)), 150), *chance.sample(range(len(data) - 3000, len(data)), 50)]
    for place in places:
        changed = data[:place] + bytes([data[place] ^ 1 << chance.randrange(8)]) + data[place + 1 :]
        try:
            report = check(changed, judges=False)
        except NotABundle:
            continue
        assert report.code == ALTERED, place
        assert report.faults


@pytest.mark.parametrize("change", [*dict.fromkeys(ALTERATIONS)], ids=lambda change: change.__name__)
def test_what_was_done_is_said(change: Callable[[Files, random.Random], int]) -> None:
    files = dict(read(whole(1)).files)
    expected = change(files, random.Random(1))
    report = check(write(files.items()))
    first = report.faults[0]
    assert first.record == expected
    assert f"record {expected}" in first.words or "records/" in first.words
    said = {fault.wrong for fault in report.faults}
    word = change.__name__
    if "exchanged" in word and "renumbered" not in word:
        assert Wrong.REORDERED in said
    if word in ("file_of_a_record_removed",):
        assert first.wrong is Wrong.REMOVED
    if word == "record_added":
        assert first.wrong is Wrong.INSERTED
    if change in SKILLED:
        assert report.signed is False
        assert Wrong.SIGNATURE in said


def test_whoever_strips_all_signatures_has_a_bundle_that_nobody_signed() -> None:
    files = dict(read(make(5).data).files)
    number = byte_of_a_record(files, random.Random(4))
    for name in [
        name for name in files if name.endswith(".sig") or name.startswith(("keys/", "chain/", "checkpoints/"))
    ]:
        del files[name]
    manifest = manifest_of(files)
    records = tuple(replace(entry, link=None) for entry in manifest.records)
    put(files, replace(manifest, signed_by=None, records=records))
    report = check(write(files.items()))
    assert report.code != STANDS
    assert report.signed is None
    assert number
