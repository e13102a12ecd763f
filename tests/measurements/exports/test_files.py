"""Files that are there whole, or not at all."""

from __future__ import annotations

import gzip
import os
import threading
from contextlib import suppress
from pathlib import Path

import pytest

from measurements.exports.files import fresh_file, fresh_folder


def test_a_file_is_there_when_it_is_whole_and_stays_as_it_was_when_not(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    for text in (b"one", b"two"):
        with fresh_file(file) as stream:
            stream.write(text)
            assert text not in (file.read_bytes() if file.exists() else b"")
        assert file.read_bytes() == text
    with suppress(RuntimeError), fresh_file(file) as stream:
        stream.write(b"three")
        raise RuntimeError
    assert file.read_bytes() == b"two"
    assert os.listdir(tmp_path) == ["a.csv"]
    assert file.stat().st_mode & 0o777 == 0o600


def test_the_same_bytes_are_compressed_alike(tmp_path: Path) -> None:
    for name in ("a.gz", "b.gz"):
        with fresh_file(tmp_path / name) as stream:
            stream.write(b"text" * 100)
    assert (tmp_path / "a.gz").read_bytes() == (tmp_path / "b.gz").read_bytes()
    assert gzip.decompress((tmp_path / "a.gz").read_bytes()) == b"text" * 100


def test_a_link_stays_a_link_and_a_pipe_a_pipe(tmp_path: Path) -> None:
    link, file, pipe = tmp_path / "link.gz", tmp_path / "file", tmp_path / "pipe"
    link.symlink_to(file)
    with fresh_file(link) as stream:
        stream.write(b"text")
    assert link.is_symlink()
    assert gzip.decompress(file.read_bytes()) == b"text"
    os.mkfifo(pipe)
    read: list[bytes] = []
    reader = threading.Thread(target=lambda: read.append(pipe.read_bytes()))
    reader.start()
    with fresh_file(pipe) as stream:
        stream.write(b"through")
    reader.join(10)
    assert read == [b"through"]
    assert pipe.is_fifo()


def test_a_folder_is_there_when_it_is_whole(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for name in ("new", "empty"):
        with fresh_folder(tmp_path / name) as folder:
            (folder / "a").write_text("text")
        assert (tmp_path / name / "a").read_text() == "text"
    with suppress(RuntimeError), fresh_folder(tmp_path / "never") as folder:
        (folder / "a").touch()
        raise RuntimeError
    with pytest.raises(FileExistsError), fresh_folder(tmp_path / "new"):
        pass
    assert sorted(os.listdir(tmp_path)) == ["empty", "new"]
