"""The signing key: made once, readable by its owner and by other programs, replaced whole or not at all."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path

import pytest

from measurements.evidence.chain import handed_over, is_signed, strangers
from probe.identity import IdentityError
from probe.keys import NAME, load_signing_key, read_signing_key, replace_signing_key

REPLACE = """
import sys, time
from pathlib import Path
from probe.keys import replace_signing_key
print("ready", flush=True)
while True:
    print(replace_signing_key(Path(sys.argv[1]), time.time())[1].public.key_id, flush=True)
"""


def openssl(*arguments: str, given: bytes = b"") -> bytes:
    return subprocess.run(["openssl", *arguments], input=given, capture_output=True, check=True, timeout=20).stdout


def test_a_key_is_made_once_and_is_the_owners_only(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "folder"
    assert read_signing_key(folder) is None
    first = load_signing_key(folder)
    assert load_signing_key(folder).public == first.public
    assert (folder / NAME).stat().st_mode & 0o777 == 0o600
    assert folder.stat().st_mode & 0o777 == 0o700
    assert os.listdir(folder) == [NAME]
    assert load_signing_key(tmp_path).public != first.public
    assert is_signed(b"text", first.sign(b"text").hex(), first.public)
    assert "PRIVATE" not in repr(first)


def test_two_that_start_at_once_agree(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        keys = set(pool.map(lambda folder: load_signing_key(folder).public.key_id, [tmp_path] * 40))
    assert len(keys) == 1


def test_other_programs_read_it(tmp_path: Path) -> None:
    key = load_signing_key(tmp_path)
    public = openssl("pkey", "-in", str(tmp_path / NAME), "-pubout")
    assert public.decode() == key.pem
    der = openssl("pkey", "-pubin", "-outform", "DER", given=public)
    assert sha256(der).hexdigest() == key.public.key_id
    (tmp_path / "public.pem").write_bytes(public)
    (tmp_path / "text").write_bytes(b"what was signed")
    (tmp_path / "signature").write_bytes(key.sign(b"what was signed"))
    files = [str(tmp_path / name) for name in ("public.pem", "signature", "text")]
    said = openssl("pkeyutl", "-verify", "-pubin", "-inkey", files[0], "-rawin", "-sigfile", files[1], "-in", files[2])
    assert b"Successfully" in said


def test_a_key_that_openssl_made_is_taken(tmp_path: Path) -> None:
    openssl("genpkey", "-algorithm", "ed25519", "-out", str(tmp_path / NAME))
    key = load_signing_key(tmp_path)
    assert key.history.keys == (key.public,)
    old, new = replace_signing_key(tmp_path, 5.0)
    assert (old.public, new.history.keys) == (key.public, (key.public, new.public))


def test_a_key_is_replaced_with_a_record_that_both_signed(tmp_path: Path) -> None:
    first = load_signing_key(tmp_path)
    with (tmp_path / NAME).open("rb") as before:
        old, second = replace_signing_key(tmp_path, 1_790_000_000.9)
        assert set(before.read()) == {0}  # whoever still has the old file has nothing
    assert old.public == first.public != second.public
    _, third = replace_signing_key(tmp_path, 1_790_000_001.0)
    assert load_signing_key(tmp_path).history == third.history
    assert third.history.keys == (first.public, second.public, third.public)
    assert [turn.time for turn in third.history.rotations] == [1_790_000_000, 1_790_000_001]
    assert all(handed_over(turn, third.history) for turn in third.history.rotations)
    assert strangers(third.history) == ()
    assert b"PRIVATE" in (tmp_path / NAME).read_bytes()
    assert (tmp_path / NAME).stat().st_mode & 0o777 == 0o600
    assert sorted(os.listdir(tmp_path)) == ["signing-key.lock", NAME]


def test_what_is_not_there_cannot_be_replaced(tmp_path: Path) -> None:
    with pytest.raises(IdentityError, match="no signing key"):
        replace_signing_key(tmp_path, 0.0)


def damaged(tmp_path: Path) -> dict[str, bytes]:
    """Return ways in which a file can be damaged."""
    load_signing_key(tmp_path)
    load_signing_key(tmp_path / "other")
    replace_signing_key(tmp_path, 0.0)
    whole, other = ((folder / NAME).read_bytes() for folder in (tmp_path, tmp_path / "other"))
    cut = whole.index(b"-----BEGIN")
    return {
        "empty": b"",
        "cut": whole[: cut + 40],
        "zeros": bytes(len(whole)),
        "another's key": whole[:cut] + other[other.index(b"-----BEGIN") :],
        "another's history": other[: other.index(b"-----BEGIN")] + whole[cut:],
        "no JSON": whole.replace(b"keys: {", b"keys: "),
        "a bad signature": whole.replace(b'"next_signature":"', b'"next_signature":"00'),
        "no base64": whole.replace(b"MC4C", b"????"),
        "RSA": openssl("genpkey", "-algorithm", "rsa", "-pkeyopt", "rsa_keygen_bits:1024"),
    }


def test_a_damaged_file_is_refused_and_left_alone(tmp_path: Path) -> None:
    for name, content in damaged(tmp_path).items():
        (tmp_path / NAME).write_bytes(content)
        for use in (load_signing_key, read_signing_key, lambda folder: replace_signing_key(folder, 0.0)):
            with pytest.raises(IdentityError, match=rf"{NAME} cannot be used .* put the old file back"):
                print(name, use(tmp_path))
        assert (tmp_path / NAME).read_bytes() == content


def test_a_key_that_others_can_read_is_closed_and_told(tmp_path: Path) -> None:
    assert load_signing_key(tmp_path).remarks == ()
    (tmp_path / NAME).chmod(0o644)
    assert "others on this computer could read" in load_signing_key(tmp_path).remarks[0]
    assert (tmp_path / NAME).stat().st_mode & 0o777 == 0o600
    assert load_signing_key(tmp_path).remarks == ()


def test_a_folder_that_cannot_be_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(IdentityError, match="cannot be kept"):
        load_signing_key(tmp_path / "file")


def test_a_kill_while_it_is_replaced_leaves_one_that_is_whole(tmp_path: Path) -> None:
    chance = random.Random(5)
    first = load_signing_key(tmp_path).public
    told: list[str] = []
    for _ in range(4):
        command = [sys.executable, "-c", REPLACE, str(tmp_path)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
            assert child.stdout is not None
            assert child.stdout.readline() == "ready\n"
            time.sleep(chance.uniform(0.0, 0.1))
            child.send_signal(signal.SIGKILL)
            told += [line for line in child.stdout.read().split("\n")[:-1] if len(line) == 64]
    key = load_signing_key(tmp_path)
    known = [one.key_id for one in key.history.keys]
    assert known[0] == first.key_id
    assert [one for one in known if one in told] == told
    assert strangers(key.history) == ()
