"""What `verify` says of whole bundles, of what cannot be checked, and of those who have the key."""

from __future__ import annotations

import dataclasses
import random
import re
import time
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from measurements.bogons import Bogons
from measurements.events.nouns import Kind
from measurements.events.telling import summary
from measurements.events.votes import votes
from measurements.evidence.archive import read, write
from measurements.evidence.bundle import (
    BODIES,
    BOGONS,
    FORMAT,
    MANIFEST,
    VOTES,
    Missing,
    Role,
    Signed,
    Signer,
    record_path,
)
from measurements.evidence.canonical import canonical, read_record, record, record_digest, without_bodies
from measurements.evidence.chain import Keys, public_key, rotate
from measurements.evidence.extras import votes_file
from measurements.evidence.findings import ALTERED, STANDS, UNSETTLED, Report, Wrong, numbers
from measurements.evidence.links import pem, read_chains, read_pem
from measurements.evidence.stamps import read_stamp, request
from measurements.evidence.verify import MOST_RECORDS, NotABundle
from measurements.model import Confidence, Finding, Outcome, Verdict
from measurements.rules import RULES_VERSION
from tests.measurements.evidence.authority import make as found
from tests.measurements.evidence.made import (
    OTHER,
    PROBE,
    START,
    Files,
    Made,
    chain_of,
    check,
    event_of,
    facts,
    key_of,
    make,
    manifest_of,
    put,
    raw,
    sign_again,
    whole,
)


def words(report: Report) -> str:
    return "\n".join([*(fault.words for fault in report.faults), *report.unsettled, *report.notes])


def say(made: Made, number: int, verdict: Verdict) -> None:
    """Let the bundle say something else of a witness."""
    made.verdicts = {**made.verdicts, made.witnesses[number - 1].id: verdict}


def test_the_same_values_give_the_same_bytes() -> None:
    assert make(3).data == make(3).data
    one = manifest_of(dict(read(whole(3)).files))
    assert [entry.number for entry in one.records] == [1, 2, 3, 4]
    assert [entry.role for entry in one.records] == [Role.WITNESS] * 3 + [Role.ACCESS]
    assert one.records[0].mechanism == "tls.reset"


def test_a_verdict_that_these_rules_do_not_give_is_named() -> None:
    made = make()
    say(made, 2, replace(made.verdicts[made.witnesses[1].id], confidence=Confidence.LIKELY))
    report = check(made.data)
    assert report.code == ALTERED
    (fault,) = report.faults
    assert (fault.wrong, fault.record) == (Wrong.VERDICT, 2)
    assert [one.agrees for one in report.records] == [True, False, True, True]


def test_verdicts_by_other_rules_are_told_and_the_release_is_named() -> None:
    made = make()
    old = replace(made.verdicts[made.witnesses[0].id], rules_version=1)
    say(made, 1, old)
    report = check(made.data)
    assert report.code == STANDS
    assert f"was judged by rules version 1, and those of this build ({RULES_VERSION}) say the same" in words(report)
    say(made, 1, replace(old, outcome=Outcome.DOWN))
    report = check(made.data)
    assert report.code == UNSETTLED
    assert "the change log names the release" in words(report)


def test_what_rests_on_lists_of_the_volunteer_s_own_is_no_fault() -> None:
    made = make(names=("bogon",))
    made.extra[BOGONS] = b"prefix,why\n10.0.0.0/8,private\n"
    assert check(made.data).code == STANDS
    report = check(made.data, bogons=Bogons())
    assert report.code == UNSETTLED
    assert "it follows only from the private addresses in lists/bogons.csv" in words(report)
    assert report.unsettled[0].startswith("what is said of record 1 is not confirmed: it follows only from")
    made.extra[BOGONS] = b"\xff"
    assert check(made.data, bogons=Bogons()).code == ALTERED

    made = make()
    found = Finding(rule="http.blockpage", outcome=Outcome.BLOCKED, fingerprint="own (mine.csv sha256:00)")
    verdict = made.verdicts[made.witnesses[0].id]
    say(made, 1, replace(verdict, trigger=None, findings=(found,)))
    report = check(made.data)
    assert report.code == UNSETTLED
    assert "it rests on fingerprints that this build lacks: own (mine.csv sha256:00)" in words(report)


def test_a_bundle_that_nobody_signed_says_what_that_means() -> None:
    made = make()
    made.signer = None
    report = check(made.data)
    assert (report.code, report.signed) == (UNSETTLED, None)
    assert "nobody signed the bundle itself" in words(report)
    assert check(made.data, keys=("00" * 32,)).faults[0].wrong is Wrong.KEY


def test_only_the_key_that_was_asked_for_will_do() -> None:
    made = make()
    mine = public_key(raw(made.key)).key_id
    assert check(made.data, keys=(mine,)).code == STANDS
    assert check(made.data, keys=("00" * 32, mine[:32])).code == STANDS
    report = check(made.data, keys=("00" * 32,))
    assert (report.code, report.faults[0].wrong) == (ALTERED, Wrong.KEY)


def test_a_forger_s_key_is_known_by_asking_for_the_right_one() -> None:
    """Whoever makes everything anew with a key of his own has a bundle in order; it is by another key, and shows it."""
    made = make()
    true_key = public_key(raw(made.key)).key_id
    chance = random.Random(8)
    forger = key_of(chance)
    false_key = public_key(raw(forger)).key_id
    witnesses = [replace(fact, runtime=99.0) for fact in made.witnesses]
    chain = chain_of(chance, [*witnesses, *made.others], forger)
    forged = dataclasses.replace(
        made,
        witnesses=witnesses,
        chains=[chain],
        key=forger,
        signer=Signer(by=Signed(probe=PROBE, key=false_key), sign=forger.sign),
    )
    report = check(forged.data)
    assert report.code == STANDS
    assert report.manifest is not None
    assert report.manifest.signed_by == Signed(probe=PROBE, key=false_key)
    assert check(forged.data, keys=(true_key,)).faults[0].wrong is Wrong.KEY

    both = replace(chain, keys=Keys(keys=(public_key(raw(made.key)), public_key(raw(forger)))))
    report = check(dataclasses.replace(forged, chains=[both]).data)
    assert report.code == UNSETTLED
    assert f"no older key of probe {PROBE} has signed that the key {false_key} follows it" in words(report)


def test_a_key_that_was_handed_over_is_as_good_as_the_old_one() -> None:
    made = make()
    old, new = made.key, key_of(random.Random(9))
    first, second = public_key(raw(old)), public_key(raw(new))
    rotation = rotate(first.key_id, second, 1_790_000_000, old.sign, new.sign)
    keys = Keys(keys=(first, second), rotations=(rotation,))
    chain = replace(made.chains[0], keys=keys)
    rotated = dataclasses.replace(
        made, chains=[chain], signer=Signer(by=Signed(probe=PROBE, key=second.key_id), sign=new.sign)
    )
    for asked in (first.key_id, second.key_id):
        report = check(rotated.data, keys=(asked,))
        assert (report.code, words(report)) == (STANDS, "")
    by_one = replace(rotation, next_signature=rotation.signature)
    broken = dataclasses.replace(rotated, chains=[replace(chain, keys=replace(keys, rotations=(by_one,)))])
    report = check(broken.data, keys=(first.key_id,))
    assert {fault.wrong for fault in report.faults} == {Wrong.SIGNATURE, Wrong.KEY}


def edited_by_the_owner(made: Made) -> bytes:
    """Let the one who has the key change a record, and make all of it anew: list, chain, checkpoints, signatures."""
    changed = [replace(made.witnesses[0], runtime=77.0), *made.witnesses[1:]]
    chain = chain_of(random.Random(12), [*changed, *made.others], made.key)
    return dataclasses.replace(made, witnesses=changed, chains=[chain]).data


def test_a_checkpoint_from_elsewhere_catches_the_owner_of_the_key() -> None:
    made = make()
    forged = edited_by_the_owner(made)
    assert check(forged).code == STANDS
    published = made.chains[0].checkpoints[-1]
    assert published.sequence == 30
    report = check(made.data, checkpoints=(published,))
    assert report.code == STANDS
    assert "that you gave holds records 1 to 4: not altered since 2026-09-21" in words(report)
    report = check(forged, checkpoints=(published,))
    assert report.code == ALTERED
    assert (report.faults[0].wrong, report.faults[0].record) == (Wrong.CHAIN, 1)
    assert "is of another chain" in report.faults[0].words


def test_a_true_checkpoint_that_stands_alone_vouches_for_nothing() -> None:
    """The owner leaves the published checkpoint in, and no links that lead to it."""
    made = make()
    published = made.chains[0].checkpoints[-1]
    changed = [replace(made.witnesses[0], runtime=77.0), *made.witnesses[1:]]
    chain = chain_of(random.Random(12), [*changed, *made.others], made.key)
    cut = replace(
        chain,
        links=tuple(link for link in chain.links if link.sequence <= 20),
        checkpoints=(*(point for point in chain.checkpoints if point.sequence <= 20), published),
    )
    report = check(dataclasses.replace(made, witnesses=changed, chains=[cut]).data, checkpoints=(published,))
    assert report.code == UNSETTLED
    assert "cannot be compared: no links lead from a record to it" in words(report)


def test_a_checkpoint_of_somebody_else_says_nothing() -> None:
    made = make()
    published = made.chains[0].checkpoints[-1]
    for odd, why in (
        (replace(published, signature="00" * 64), "is not that of the key"),
        (replace(published, key_id="00" * 32), "which is not among the keys"),
        (replace(published, probe_id=OTHER), "no record is of that probe"),
        (replace(published, signature="nonsense"), "is not that of the key"),
    ):
        report = check(made.data, checkpoints=(odd,))
        assert report.code == UNSETTLED
        assert why in words(report)


def test_records_of_two_probes_stand_in_two_chains() -> None:
    made = make()
    chance = random.Random(6)
    theirs = facts(chance, ["nxdomain"], probe=OTHER, first=2)
    other_key = key_of(chance)
    made.witnesses += theirs
    made.verdicts = {**made.verdicts, theirs[0].id: made.verdicts[made.witnesses[1].id]}
    made.chains.append(chain_of(chance, theirs, other_key, length=5))
    report = check(made.data)
    assert report.code == UNSETTLED
    assert words(report) == "record 4: chained, and no signed checkpoint comes after"
    made.chains[1] = chain_of(chance, theirs, other_key)
    assert check(made.data).code == STANDS
    made.chains.pop()
    assert [fault.record for fault in check(made.data).faults] == [4]


def test_what_was_imported_stands_in_no_chain_and_this_is_said() -> None:
    made = make()
    made.unlinked = frozenset({made.witnesses[2].id})
    report = check(made.data)
    assert report.code == UNSETTLED
    assert words(report).startswith("record 3: in no chain: imported, or made before there was one")


def test_stretches_of_a_chain_may_be_left_out_between_checkpoints() -> None:
    made = make(names=["nxdomain"] * 2)
    far = facts(random.Random(4), ["nxdomain"], first=52)
    made.witnesses = [*made.witnesses, *far]
    made.verdicts = {**made.verdicts, far[0].id: made.verdicts[made.witnesses[0].id]}
    chain = chain_of(random.Random(5), [*made.witnesses, *made.others], made.key, length=70)
    cut = tuple(link for link in chain.links if not 31 <= link.sequence <= 50)
    made.chains = [replace(chain, links=cut)]
    assert check(made.data).code == STANDS
    made.chains = [replace(chain, links=tuple(link for link in chain.links if not 33 <= link.sequence <= 50))]
    report = check(made.data)
    assert report.faults == ()  # 31 and 32 are under no checkpoint, and no record is there
    made.chains = [replace(chain, links=tuple(link for link in chain.links if not 31 <= link.sequence <= 52))]
    report = check(made.data)
    assert report.faults[0].record == 3
    assert {fault.wrong for fault in report.faults} == {Wrong.REMOVED}


def test_the_owner_cannot_put_another_record_in_the_place_of_a_link() -> None:
    made = make()
    chains = list(made.chains)
    changed = replace(made.witnesses[1], runtime=5.0)
    made.witnesses[1] = changed
    made.chains = chains
    report = check(made.data)
    assert (report.faults[0].wrong, report.faults[0].record) == (Wrong.CHANGED, 2)
    assert "is not what was chained as 14: it was changed after it was measured" in report.faults[0].words


def test_a_checkpoint_with_a_false_signature_is_found() -> None:
    made = make()
    points = made.chains[0].checkpoints
    made.chains = [replace(made.chains[0], checkpoints=(replace(points[0], signature="00" * 64), *points[1:]))]
    assert check(made.data).faults[0].wrong is Wrong.SIGNATURE
    made = make()
    made.chains = [replace(made.chains[0], checkpoints=(replace(points[0], probe_id=OTHER), *points[1:]))]
    assert check(made.data).code == ALTERED


def test_an_event_without_its_witness_is_found_unless_it_is_said() -> None:
    made = make()
    gone = made.witnesses[0]
    files = dict(read(made.data).files)
    manifest = manifest_of(files)
    del files[record_path(manifest.records[0])]
    files = {name: data for name, data in files.items() if gone.id not in name}
    records = tuple(replace(entry, number=entry.number - 1) for entry in manifest.records[1:])
    for old, new in zip(manifest.records[1:], records, strict=True):
        for path in [name for name in files if old.stem in name]:
            files[path.replace(old.stem, new.stem)] = files.pop(path)
    bodies = set(without_bodies(gone)[1])
    for body in bodies - {digest for fact in (*made.witnesses[1:], *made.others) for digest in without_bodies(fact)[1]}:
        del files[BODIES + body.hex()]
    put(files, replace(manifest, records=records))
    sign_again(files, made.key)
    report = check(write(files.items()))
    (fault,) = report.faults
    assert (fault.wrong, fault.id) == (Wrong.REMOVED, gone.id)
    put(files, replace(manifest_of(files), missing=(Missing(id=gone.id, why="it is no longer kept"),)))
    sign_again(files, made.key)
    report = check(write(files.items()))
    assert report.code == UNSETTLED
    assert f"not in the bundle: {gone.id}: it is no longer kept" in words(report)


def test_a_page_that_is_gone_must_be_said_to_be() -> None:
    made = make()
    files = dict(read(made.data).files)
    page = next(name for name in files if name.startswith(BODIES))
    del files[page]
    sign_again(files, made.key)
    report = check(write(files.items()))
    assert "is neither here nor said to be missing" in report.faults[0].words
    assert report.faults[0].record is not None
    put(files, replace(manifest_of(files), missing=(Missing(id=page.removeprefix(BODIES), why="no longer kept"),)))
    sign_again(files, made.key)
    assert check(write(files.items()), judges=False).code == UNSETTLED
    files[BODIES + "00" * 32] = b"x"
    sign_again(files, made.key)
    assert check(write(files.items()), judges=False).faults[0].wrong is Wrong.CHANGED
    del files[BODIES + "00" * 32]
    body = b"stray"
    files[BODIES + sha256(body).hexdigest()] = body
    sign_again(files, made.key)
    assert check(write(files.items()), judges=False).faults[0].wrong is Wrong.INSERTED


def signed_with(made: Made, name_of: str, data: bytes) -> Report:
    """Let the owner sign whatever he likes in the place of a file."""
    files = dict(read(made.data).files)
    name = next(name for name in files if name.startswith(name_of))
    files[name] = data
    sign_again(files, made.key)
    return check(write(files.items()))


@pytest.mark.parametrize(
    "data",
    [
        b"{}",
        b"",
        b"[" * 100_000,
        b"\xff",
        b'{"id":"a","id":"b"}',
        b'{"a":' * 100_000,
        canonical({"id": 1}),
    ],
)
def test_even_a_signed_record_must_be_a_measurement_in_the_one_form(data: bytes) -> None:
    made = make()
    made.unlinked = frozenset(fact.id for fact in (*made.witnesses, *made.others))
    report = signed_with(made, "records/002", data)
    assert report.code == ALTERED
    assert report.faults[0].record == 2


def test_a_record_that_is_written_another_way_is_refused() -> None:
    made = make()
    made.unlinked = frozenset(fact.id for fact in (*made.witnesses, *made.others))
    text = record(made.witnesses[1])
    assert signed_with(made, "records/002", text).code == UNSETTLED
    for other in (
        text.replace(b'{"connections"', b'{"a":1,"connections"').replace(b"{", b"{ ", 1),
        text[:-1] + b',"zz":{"a":1,"a":2}}',
        text.replace(b'"id"', b'"id":"%s","id"' % (b"0" * 32), 1),
        b" " + text,
    ):
        report = signed_with(made, "records/002", other)
        assert (report.code, report.faults[0].record) == (ALTERED, 2)
    report = signed_with(made, "records/002", text[:-1] + b',"zz_later":[1,2]}')
    assert "holds what this build does not know" in words(report)
    report = signed_with(made, "records/002", record(replace(made.witnesses[1], started=5.0)))
    assert "the manifest says something else of it than it does itself" in words(report)
    assert "larger than" in words(signed_with(made, "records/002", b"1" * (9 * 1024 * 1024)))


@pytest.mark.parametrize("name", ["verdicts/001", "events/", "keys/keys.json", "chain/", "checkpoints/", "keys/"])
@pytest.mark.parametrize("data", [b"{}", b"", b"[" * 100_000, b"\xff\n", b'[{"a":1,"a":1}]', b"{}\n\n", b"\n"])
def test_nothing_else_that_is_signed_breaks_it(name: str, data: bytes) -> None:
    report = signed_with(make(), name, data)
    assert report.code == ALTERED
    assert all(fault.words for fault in report.faults)


def test_a_bundle_of_another_event_is_found() -> None:
    made = make()
    files = dict(read(made.data).files)
    put(files, replace(manifest_of(files), events=("00" * 16,)))
    sign_again(files, made.key)
    assert check(write(files.items())).faults[0].wrong is Wrong.EVENT


def test_a_probe_that_is_named_twice_is_refused() -> None:
    made = make()
    made.chains *= 2
    assert "names a probe twice" in words(check(made.data))


def test_too_many_records_are_refused_at_once() -> None:
    files = dict(read(whole(1)).files)
    manifest = manifest_of(files)
    put(files, replace(manifest, records=manifest.records * 600))
    began = time.process_time()
    with pytest.raises(NotABundle, match=f"at most {MOST_RECORDS} are read"):
        check(write(files.items()))
    assert time.process_time() - began < 1.0


def test_a_bundle_of_a_later_kind_is_not_read() -> None:
    files = dict(read(whole(1)).files)
    put(files, replace(manifest_of(files), wazi="bundle 2"))
    with pytest.raises(NotABundle, match="get the newest release"):
        check(write(files.items()))


def test_what_is_no_bundle_is_told_from_a_damaged_one() -> None:
    for data in (b"", b"hello", write([("a", b"b")]), write([]), b"PK\3\4"):
        with pytest.raises(NotABundle, match="it is no evidence bundle"):
            check(data)
    data = whole(1)
    assert check(data[:-1]).faults[0].words.startswith("the ZIP itself was changed")
    files: Files = dict(read(data).files)
    files[MANIFEST] = b'{"wazi":"%s"}' % FORMAT.encode()
    assert check(write(files.items())).faults[0].words.startswith("the manifest cannot be read")


def test_the_text_of_the_rules_is_compared() -> None:
    made = make()
    made.extra["rules/source/tls.py"] = b"x = 1\n"
    assert words(check(made.data, rules={"rules/source/tls.py": b"x = 1\n"})) == ""
    report = check(made.data, rules={"rules/source/tls.py": b"x = 2\n"})
    assert report.code == STANDS
    assert "rules/source/tls.py is not that of this build" in words(report)


def test_keys_are_read_back_from_what_openssl_reads() -> None:
    key = public_key(raw(key_of(random.Random(1))))
    assert read_pem(pem(key)) == key
    for bad in (b"", b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", pem(key)[:60], b"\xff" * 50):
        with pytest.raises(ValueError, match="no Ed25519 public key"):
            read_pem(bad)


def test_links_are_read_back() -> None:
    made = make()
    (chain,) = read_chains(read(made.data).files)
    assert chain == made.chains[0]
    assert read_chains({}) == ()
    assert record_digest(read_record(record(made.witnesses[0]))) == record_digest(made.witnesses[0])


def test_numbers_in_words() -> None:
    assert numbers({1}) == "record 1"
    assert numbers({3, 1, 2, 7, 9, 8}) == "records 1 to 3, 7 to 9"
    assert numbers({5, 2}) == "records 2, 5"


def test_a_verdict_that_an_earlier_session_confirmed_is_judged_with_it() -> None:
    made = make(names=("sni-eof", "sni-eof"))
    assert [made.verdicts[fact.id].confidence for fact in made.witnesses] == ["likely", "confirmed"]
    assert check(made.data).code == STANDS
    made.witnesses[0] = replace(made.witnesses[0], started=0.0)  # too long ago to be looked back to
    made.chains = [chain_of(random.Random(1), [*made.witnesses, *made.others], made.key)]
    report = check(made.data)
    assert report.code == UNSETTLED
    assert "these rules say blocked tls.eof name network always likely; what an earlier session" in words(report)
    say(made, 2, replace(made.verdicts[made.witnesses[1].id], mechanism=None))
    assert check(made.data).faults[0].wrong is Wrong.VERDICT


def test_a_time_stamp_shows_that_records_existed(tmp_path: Path) -> None:
    authority, other = found(tmp_path / "one"), found(tmp_path / "two", "Other")
    made = make()
    chain = made.chains[0]
    last = chain.checkpoints[1]
    stamped = replace(last, stamp=authority.answer(request(last)))
    made.chains = [replace(chain, checkpoints=(chain.checkpoints[0], stamped, chain.checkpoints[2]))]
    report = check(made.data, read_stamp=read_stamp, roots=(authority.root,))
    assert report.code == STANDS
    assert [(stamp.sequence, stamp.trusted) for stamp in report.stamps] == [(20, True)]
    assert re.search(
        r"shows that records 1 to 4 existed on \d{4}-\d\d-\d\d \d\d:\d\d UTC \(CN=Authority\)", words(report)
    )
    for roots in ((), (other.root,)):
        report = check(made.data, read_stamp=read_stamp, roots=roots)
        assert (report.code, report.stamps[0].trusted) == (STANDS, False)
        assert "--timestamp-root checks who that is" in words(report)
    assert "was not read" in words(check(made.data))

    made.chains = [
        replace(chain, checkpoints=(replace(chain.checkpoints[0], stamp=stamped.stamp), *chain.checkpoints[1:]))
    ]
    report = check(made.data, read_stamp=read_stamp, roots=(authority.root,))
    assert (report.code, report.faults[0].wrong) == (ALTERED, Wrong.STAMP)


def test_a_stamp_on_a_checkpoint_that_stands_alone_says_nothing_of_records(tmp_path: Path) -> None:
    authority = found(tmp_path / "one")
    made = make()
    chain = made.chains[0]
    last = chain.checkpoints[2]
    stamped = replace(last, stamp=authority.answer(request(last)))
    links = tuple(link for link in chain.links if link.sequence <= 20)
    made.chains = [replace(chain, links=links, checkpoints=(*chain.checkpoints[:2], stamped))]
    report = check(made.data, read_stamp=read_stamp, roots=(authority.root,))
    assert (report.code, report.stamps[0].trusted) == (STANDS, True)
    assert "existed" not in words(report)


@pytest.mark.parametrize(
    ("claim", "odd"),
    [
        ({"targets": ("other.example",)}, "about www.site.example, which the event is not about"),
        ({"asns": (1,)}, "from AS24757, which the event is not about"),
        ({"countries": ("KE",)}, "from ET, which the event is not about"),
    ],
)
def test_an_event_that_is_about_something_else_than_its_records_is_found(claim: dict[str, Any], odd: str) -> None:
    made = make()
    made.event = replace(event_of(made.witnesses), **claim)
    report = check(made.data)
    assert [fault.record for fault in report.faults] == [1, 2, 3]
    assert all(fault.wrong is Wrong.EVENT and fault.words.endswith(odd) for fault in report.faults)


def test_what_works_is_no_witness() -> None:
    made = make()
    made.event = event_of([*made.witnesses, *made.others])
    (fault,) = check(made.data).faults
    assert (fault.wrong, fault.record) == (Wrong.EVENT, 4)
    assert "says that the site works" in fault.words


def claim(made: Made, **what: Any) -> None:
    """Let the one who has the key claim something else, in the words that go with it."""
    event = replace(event_of(made.witnesses), **what)
    made.event = event if "summary" in what else replace(event, summary=summary(event))


@pytest.mark.parametrize(
    ("what", "told"),
    [
        ({"summary": "all of it is blocked everywhere"}, "its sentence does not follow from what it says: 'all of it"),
        ({"summary": "so it was", "detector_version": 0}, "was worded by another version of the detector"),
        ({"countries": ("ET", "KE", "UG")}, "shows this country of it: KE, UG"),
        ({"asns": (24757, *range(1, 8))}, "shows this network of it: AS1, AS2, AS3, AS4, AS5 and 2 more"),
        ({"targets": ("www.site.example", "a.example")}, "shows this target of it: a.example"),
        ({"mechanisms": (("tls.reset", START), ("quic.drop", START))}, "shows this mechanism of it: quic.drop"),
        ({"kind": Kind.ALLOWLIST}, "it claims allowlist, and no record here proves that"),
        ({"kind": Kind.THROTTLING}, "it claims throttling, and no record here proves that"),
        (
            {"onset": (START - 9e6, START - 9e6)},
            "it says that it had begun by 2026-06-09 10:13 UTC, and the first record",
        ),
        ({"end": (START + 9e6, START + 9e6)}, "it says that it lasted until 2027-01-03 18:13 UTC, and the last record"),
        ({"onset": (START + 9e6, START + 9e6)}, "no record here, as these rules judge it, speaks against access"),
    ],
)
def test_what_an_event_claims_and_no_record_shows_is_told(what: dict[str, Any], told: str) -> None:
    made = make()
    claim(made, **what)
    report = check(made.data)
    assert report.code == UNSETTLED
    assert report.unsettled == (next(words for words in report.unsettled if told in words),)


def test_an_outage_rests_on_what_the_probe_says_of_itself() -> None:
    made = make(names=())
    made.event = replace(event_of([]), kind=Kind.OUTAGE, targets=())
    report = check(made.data)
    assert report.code == UNSETTLED
    assert "it rests on what the probe says of itself in gaps.json" in words(report)


@pytest.mark.parametrize("name", ["site-firewall-drops", "servfail", "stale"])
def test_what_was_not_reached_proves_no_block(name: str) -> None:
    made = make(names=(name,))
    claim(made, targets=(made.witnesses[0].target.host,))
    report = check(made.data)
    assert report.code == UNSETTLED
    assert "it claims blocking, and no record here proves that" in words(report)
    claim(made, targets=(made.witnesses[0].target.host,), kind=Kind.UNREACHABLE)
    assert check(made.data).code == STANDS


@pytest.mark.parametrize(("name", "outcome"), [("down", "down"), ("expired", "server_side"), ("offline", "invalid")])
def test_what_does_not_speak_against_access_is_no_witness(name: str, outcome: str) -> None:
    made = make(names=(name,))
    host = made.witnesses[0].target.host
    for kind in (Kind.BLOCKING, Kind.UNREACHABLE):
        claim(made, targets=(host,), kind=kind)
        (fault,) = check(made.data).faults
        assert (fault.wrong, fault.record) == (Wrong.EVENT, 1)
        assert f"says {outcome}, which does not speak against access" in fault.words


def test_a_witness_by_other_rules_only_is_told() -> None:
    made = make(names=("down", "sni-reset"))
    claim(made, targets=tuple({fact.target.host for fact in made.witnesses}))
    old = replace(made.verdicts[made.witnesses[1].id], rules_version=2)
    made.before = {made.witnesses[0].id: old}
    report = check(made.data)
    assert report.code == UNSETTLED
    assert "spoke against access by other rules, and does not by these" in words(report)


def test_what_else_is_said_of_records_must_be_what_they_say() -> None:
    made = make()
    files = dict(read(made.data).files)
    manifest = manifest_of(files)
    lie = replace(manifest.records[1], outcome="blocked", mechanism="quic.drop", confidence="confirmed")
    put(files, replace(manifest, records=(manifest.records[0], lie, *manifest.records[2:])))
    sign_again(files, made.key)
    report = check(write(files.items()))
    assert [(fault.wrong, fault.record) for fault in report.faults] == [(Wrong.CHANGED, 2)]
    assert "the manifest says another verdict" in report.faults[0].words
    report = signed_with(made, "redactions.json", canonical([{"id": "x", "record": 1, "removed": []}]))
    assert [(fault.wrong, fault.file) for fault in report.faults] == [(Wrong.CHANGED, "redactions.json")]


def test_files_that_no_bundle_has_are_named() -> None:
    made = make()
    made.extra |= {"check_chain.py": b"x", "rules/notes.txt": b"x", **{f"lists/{n}.csv": b"" for n in range(5)}}
    report = check(made.data)
    assert report.code == UNSETTLED
    assert words(report).startswith("not known to this build, and not looked into: check_chain.py, lists/0.csv")
    assert "and 2 more" in words(report)


def test_reasons_that_these_rules_do_not_give_are_told() -> None:
    made = make()
    for number in (1, 3):
        say(made, number, replace(made.verdicts[made.witnesses[number - 1].id], summary="somebody ordered it"))
    report = check(made.data)
    assert report.code == STANDS
    assert words(report).startswith("records 1, 3: the words and reasons in verdicts/ are not those that this build")


def test_verdicts_by_other_rules_are_told_in_one_line() -> None:
    made = make()
    made.verdicts = {key: replace(verdict, rules_version=1) for key, verdict in made.verdicts.items()}
    report = check(made.data)
    assert report.notes == (
        f"records 1 to 4 were judged by rules version 1, and those of this build ({RULES_VERSION}) say the same",
    )
    made.verdicts = {key: replace(verdict, outcome=Outcome.DOWN) for key, verdict in made.verdicts.items()}
    others = [words for words in check(made.data).unsettled if "rules version 1 says so" in words]
    assert len(others) == 4  # these rules say something else of each
    made = make(names=["nxdomain"] * 3)
    made.verdicts = {key: replace(one, outcome=Outcome.DOWN, rules_version=1) for key, one in made.verdicts.items()}
    others = [words for words in check(made.data).unsettled if "rules version 1 says so" in words]
    assert [words.split(" is not confirmed")[0] for words in others] == [
        "what is said of records 1 to 3",
        "what is said of record 4",
    ]


def test_sites_that_failed_together_may_be_more_than_the_event_names() -> None:
    made = make()
    claim(made, kind=Kind.UNREACHABLE, targets=("a.example",), layers=("together",))
    assert check(made.data).code == STANDS


def test_votes_that_no_verdict_casts_are_told() -> None:
    made = make()
    cast = [vote for fact in made.witnesses for vote in votes(fact, made.verdicts[fact.id])]
    made.extra[VOTES] = votes_file([*cast, replace(cast[0], witness="ab" * 16)])
    assert check(made.data).code == STANDS
    made.extra[VOTES] = votes_file([*cast, replace(cast[-1], layer="quic")])
    report = check(made.data)
    assert report.code == UNSETTLED
    assert (
        words(report) == "votes.csv ascribes votes to record 3 that this build does not cast for what was said of them"
    )
    for odd in (b"\xff\n\0", b'time,witness\n"', b"", b"witness\n" + b"x" * 200_000):
        made.extra[VOTES] = odd
        assert check(made.data).code == STANDS


def test_the_key_of_a_chain_is_asked_for_where_nobody_signed_the_bundle() -> None:
    made = make()
    made.signer = None
    mine = public_key(raw(made.key)).key_id
    report = check(made.data, keys=(mine,))
    assert (report.code, report.notes) == (UNSETTLED, ())
    report = check(made.data, keys=("00" * 32,))
    assert report.faults[0].wrong is Wrong.KEY
    assert report.notes == (f"the chain of probe {PROBE} is signed with another key than you asked for",)
