"""Time stamps by OpenSSL's own authority: read, checked against its root, and never taken for something else's."""

from __future__ import annotations

import dataclasses
import random
import time
from pathlib import Path

import pytest
from msgspec.structs import replace

from measurements.evidence.chain import SignedCheckpoint, sign_checkpoint
from measurements.evidence.findings import Wrong
from measurements.evidence.stamps import LONGEST, check_answer, read_stamp, request
from measurements.evidence.verify import verify
from tests.measurements.evidence.authority import Authority, make, openssl
from tests.measurements.evidence.chains import Pen, chain_of
from tests.measurements.evidence.made import KNOWN
from tests.measurements.evidence.made import make as make_bundle


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return make(tmp_path_factory.mktemp("tsa") / "one", "Test TSA")


@pytest.fixture(scope="module")
def point(authority: Authority) -> SignedCheckpoint:
    one = checkpoint(1)
    return replace(one, stamp=authority.answer(request(one)))


def checkpoint(seed: int) -> SignedCheckpoint:
    chance = random.Random(seed)
    pen = Pen(chance)
    return sign_checkpoint(chain_of(3, chance)[-1], 1_790_000_000, pen.public.key_id, pen.sign)


def test_a_stamp_tells_when_and_by_whom(authority: Authority, point: SignedCheckpoint) -> None:
    check_answer(point.stamp, point)
    stamp = read_stamp(point, [authority.root])
    assert (stamp.probe, stamp.sequence, stamp.trusted) == (point.probe_id, point.sequence, True)
    assert abs(stamp.time - time.time()) < 300
    assert "Test TSA" in stamp.authority


def test_openssl_agrees(authority: Authority, point: SignedCheckpoint, tmp_path: Path) -> None:
    (tmp_path / "signature").write_bytes(bytes.fromhex(point.signature))
    (tmp_path / "stamp.tsr").write_bytes(point.stamp)
    files = ("-data", tmp_path / "signature", "-in", tmp_path / "stamp.tsr", "-CAfile", authority.folder / "root.pem")
    assert b"Verification: OK" in openssl("ts", "-verify", *files)


def test_without_its_root_it_is_not_trusted(point: SignedCheckpoint, tmp_path: Path) -> None:
    other = make(tmp_path / "two", "Other")
    assert not read_stamp(point).trusted
    assert not read_stamp(point, [other.root]).trusted


def test_a_namesake_s_root_does_not_do(point: SignedCheckpoint, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not what the authority signed"):
        read_stamp(point, [make(tmp_path / "two", "Test TSA").root])


def test_a_stamp_of_something_else_is_refused(authority: Authority, point: SignedCheckpoint) -> None:
    with pytest.raises(ValueError, match="something else"):
        read_stamp(replace(checkpoint(2), stamp=point.stamp), [authority.root])


def test_an_altered_stamp_is_never_trusted(authority: Authority, point: SignedCheckpoint) -> None:
    chance = random.Random(3)
    whole = read_stamp(point, [authority.root])
    for _ in range(300):
        at = chance.randrange(len(point.stamp))
        altered = bytearray(point.stamp)
        altered[at] ^= 1 << chance.randrange(8)
        try:
            stamp = read_stamp(replace(point, stamp=bytes(altered)), [authority.root])
        except ValueError:
            continue
        assert not stamp.trusted or stamp == whole  # some bytes are outside of what is signed, and say nothing


@pytest.mark.parametrize("data", [b"", b"nonsense", b"\x30\x03\x02\x01\x02", bytes(LONGEST + 1)])
def test_what_is_no_stamp_is_refused(point: SignedCheckpoint, data: bytes) -> None:
    with pytest.raises(ValueError, match=r"no time stamp|longer"):
        check_answer(data, point)


def test_a_certificate_of_no_known_version_is_told(authority: Authority, point: SignedCheckpoint) -> None:
    third = b"\xa0\x03\x02\x01\x02"  # [0] INTEGER 2: the third version of X.509
    assert third in point.stamp
    odd = point.stamp.replace(third, third[:-1] + b"\x05")
    with pytest.raises(ValueError, match="carries a certificate that cannot be read"):
        read_stamp(replace(point, stamp=odd), [authority.root])


def test_a_refusal_is_told(authority: Authority, point: SignedCheckpoint) -> None:
    refused = authority.answer(b"\x30\x03\x02\x01\x01")
    with pytest.raises(ValueError, match="no time stamp"):
        check_answer(refused, point)


def test_a_bundle_shows_since_when_its_records_exist(authority: Authority) -> None:
    made = make_bundle()
    [chain] = made.chains
    first, *rest = reversed(chain.checkpoints)
    stamped = replace(first, stamp=authority.answer(request(first)))

    def bundle(point: SignedCheckpoint) -> bytes:
        points = (*reversed(rest), point)
        return dataclasses.replace(made, chains=[replace(chain, checkpoints=points)]).data

    known = dataclasses.replace(KNOWN, read_stamp=read_stamp)
    trusting = dataclasses.replace(known, roots=(authority.root,))
    report = verify(bundle(stamped), trusting)
    assert report.faults == ()
    assert [(stamp.sequence, stamp.trusted) for stamp in report.stamps] == [(first.sequence, True)]
    assert "the time stamp on the checkpoint of probe" in " ".join(report.notes)
    assert [stamp.trusted for stamp in verify(bundle(stamped), known).stamps] == [False]
    other = authority.answer(request(rest[0]))
    report = verify(bundle(replace(first, stamp=other)), trusting)
    assert [fault.wrong for fault in report.faults] == [Wrong.STAMP]
