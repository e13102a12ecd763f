"""The ZIP of a bundle: what other programs make of it, and what is refused."""

from __future__ import annotations

import io
import random
import stat
import struct
import subprocess
import time
import zipfile
import zlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from measurements.evidence.archive import MOST_BYTES, MOST_FILES, BadArchive, name_is_plain, read, write

FILES = {"README.txt": b"read me\n", "records/001-ab.json": b"{}", "empty": b"", "rules/source/__init__.py": b"x = 1\n"}


def whole() -> bytes:
    return write(FILES.items())


def python_zip(files: dict[str, bytes], **how: object) -> bytes:
    """Make a ZIP by Python's own module."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as made:
        for name, content in files.items():
            info = zipfile.ZipInfo(name)
            for key, value in how.items():
                setattr(info, key, value)
            made.writestr(info, content)
    return stream.getvalue()


def test_what_is_written_is_read_back_in_its_order() -> None:
    found = read(whole())
    assert list(found.files.items()) == list(FILES.items())
    assert not found.damaged
    assert write(found.files.items()) == whole()
    assert read(write([])).files == {}


def test_other_programs_open_it(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    path.write_bytes(whole())
    with zipfile.ZipFile(path) as theirs:
        assert theirs.testzip() is None
        assert {name: theirs.read(name) for name in theirs.namelist()} == FILES
    subprocess.run(["unzip", "-q", path, "-d", tmp_path / "out"], check=True)
    for name, content in FILES.items():
        assert (tmp_path / "out" / name).read_bytes() == content
        assert stat.S_IMODE((tmp_path / "out" / name).stat().st_mode) == 0o644


def test_a_change_of_any_one_bit_is_seen() -> None:
    data = whole()
    for place in range(len(data) * 8):
        changed = bytearray(data)
        changed[place // 8] ^= 1 << place % 8
        try:
            found = read(bytes(changed))
        except BadArchive:
            continue
        assert len(found.damaged) == 1, place
        assert found.files.keys() == FILES.keys()


def test_whatever_is_left_out_or_added_is_seen() -> None:
    data = whole()
    for place in range(len(data)):
        for changed in (data[:place], data[place:][1:], data[:place] + b"\0" + data[place:], data[:place] + data):
            if changed != data:
                with pytest.raises(BadArchive):
                    read(changed)
    for changed in (data + b"\0", data + data, b"#!/bin/sh\n" + data, b"\0" * 512 + data, data + b"PK\5\6"):
        with pytest.raises(BadArchive):
            read(changed)


HOSTILE = {
    "compressed": python_zip({"a": b"\0" * 50_000_000}, compress_type=zipfile.ZIP_DEFLATED),
    "bzip2": python_zip({"a": b"\0" * 1_000_000}, compress_type=zipfile.ZIP_BZIP2),
    "path upwards": python_zip({"../../etc/passwd": b"x"}),
    "path within": python_zip({"a/../../b": b"x"}),
    "absolute path": python_zip({"/etc/passwd": b"x"}),
    "folder": python_zip({"a/": b""}),
    "backslash": python_zip({"a\\b": b"x"}),
    "terminal escape": python_zip({"\x1b]0;owned\x07": b"x"}),
    "newline": python_zip({"a\nSHA256SUMS: ok": b"x"}),
    "other letters": python_zip({"reсords": b"x"}),  # a Cyrillic letter that looks like c
    "latin letters by another code page": python_zip({"xx": b"y"}).replace(b"xx", b"\xe9\xe9"),
    "hidden": python_zip({".bashrc": b"x"}),
    "option": python_zip({"-rf": b"x"}),
    "link": python_zip({"a": b"/etc/passwd"}, external_attr=0o120777 << 16, create_system=3),
    "encrypted": python_zip({"a": b"x"}, flag_bits=1),
    "comment": python_zip({"a": b"x"}, comment=b"hello"),
    "extra field": python_zip({"a": b"x"}, extra=struct.pack("<HH4s", 0x7075, 4, b"evil")),
    "another day": python_zip({"a": b"x"}, date_time=(2026, 1, 1, 0, 0, 0)),
    "long name": python_zip({"a" * 60_000: b"x"}),
    "deep name": python_zip({"/".join("a" * 40): b"x"}),
    "nested": python_zip({"a.zip": python_zip({"a": b"x"})}),
    "no ZIP": b"hello",
    "nothing": b"",
    "a beginning": b"PK\3\4" + b"\0" * 100,
    "an end alone that promises files": struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, 60_000, 60_000, 0, 0, 0),
    "an end that lies far away": struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, 1, 1, 2**32 - 1, 2**32 - 1, 0),
    "64 bits": struct.pack("<4s4H2IH", b"PK\5\6", 0xFFFF, 0xFFFF, 0xFFFF, 0xFFFF, 2**32 - 1, 2**32 - 1, 0),
    "a gzip": b"\x1f\x8b\x08\0\0\0\0\0\0\3" + zlib.compress(b"x"),
}


@pytest.mark.parametrize("data", HOSTILE.values(), ids=HOSTILE)
def test_what_another_program_made_is_refused_in_words_and_at_once(data: bytes) -> None:
    began = time.process_time()
    with pytest.raises(BadArchive) as refusal:
        read(data)
    assert time.process_time() - began < 0.5
    assert str(refusal.value).isprintable()


def test_files_that_overlap_or_come_twice_are_refused() -> None:
    """Programs disagree what a ZIP holds in which two entries point to one place, or two files have one name."""
    plain = write([("a", b"1234"), ("b", b"5678")])
    overlapping = bytearray(plain)
    at = plain.rindex(b"PK\1\2")
    overlapping[at + 42 : at + 46] = struct.pack("<I", 0)
    with pytest.raises(BadArchive, match="b in the directory"):
        read(bytes(overlapping))
    with pytest.raises(BadArchive, match="a twice"):
        read(plain.replace(b"b", b"a"))
    gap = plain.replace(b"PK\1\2", b"hole" + b"PK\1\2", 1)
    with pytest.raises(BadArchive):
        read(gap)
    count = bytearray(plain)
    count[-12:-10] = count[-14:-12] = struct.pack("<H", 1)  # a program that counts sees one file, one that walks two
    with pytest.raises(BadArchive, match="belong to no file"):
        read(bytes(count))
    count[-12:-10] = count[-14:-12] = struct.pack("<H", 3)
    with pytest.raises(BadArchive):
        read(bytes(count))


def test_bounds_are_kept() -> None:
    with pytest.raises(ValueError, match="may be called"):
        write([("a", b""), ("a", b"")])
    with pytest.raises(ValueError, match="may be called"):
        write([("../a", b"")])
    with pytest.raises(ValueError, match="is more"):
        write((f"f{n}", b"") for n in range(MOST_FILES + 1))
    with pytest.raises(BadArchive, match="larger"):
        read(bytes(MOST_BYTES + 1))
    data = bytearray(write([]))
    data[8:12] = struct.pack("<HH", MOST_FILES + 1, MOST_FILES + 1)
    with pytest.raises(BadArchive, match="more than"):
        read(bytes(data))


@given(st.binary(max_size=300))
def test_noise_is_refused_and_nothing_worse(noise: bytes) -> None:
    for data in (noise, b"PK\3\4" + noise, b"PK\3\4" + noise + write([])[:22], whole()[:50] + noise + whole()[-22:]):
        with pytest.raises(BadArchive):
            read(data)


def test_parts_of_other_bundles_do_not_fit() -> None:
    """Splice two whole ones at random: what comes out is one of the two, or refused."""
    one, other = whole(), write([(name, content + b"!") for name, content in FILES.items()])
    chance = random.Random(5)
    for _ in range(3000):
        a, b = chance.randrange(len(one)), chance.randrange(len(other))
        spliced = one[:a] + other[b:]
        if spliced not in (one, other):
            with pytest.raises(BadArchive):
                read(spliced)


@pytest.mark.parametrize("name", ["a", "records/001-ab.json", "rules/source/__init__.py", "SHA256SUMS", "_"])
def test_plain_names(name: str) -> None:
    assert name_is_plain(name)


@pytest.mark.parametrize("name", ["", ".", "..", "a/..", "a//b", "/a", "a/", "-a", "é", "a\n", "a\0", "a" * 121, "ａ"])
def test_names_that_are_not_plain(name: str) -> None:
    assert not name_is_plain(name)
