"""Files that are there whole, or not at all.

What is written goes under another name in the same folder, is brought to the disk, and only then gets its own name. So
an export that is interrupted leaves no half file behind; a process that was killed leaves the other name
(`.NAME.….part`), which nothing reads. They are readable by their owner alone, as the store is.
"""

from __future__ import annotations

import gzip
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

import zstandard

BUFFER = 1024 * 1024


@contextmanager
def fresh_file(path: Path) -> Iterator[BinaryIO]:
    """Lend a stream that becomes the file `path` when all went well, compressed as its ending says.

    `.gz` is gzip, `.zst` zstandard. What is no file (a device, a pipe) is written as it is, and a link stays one.
    Raises OSError.
    """
    if path.exists() and not path.is_file():
        with path.open("wb") as device, compressed(device, path.name) as stream:
            yield stream
        return
    ending, path = path.name, path.resolve()
    number, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
    draft = Path(name)
    try:
        with os.fdopen(number, "wb", buffering=BUFFER) as plain:
            with compressed(plain, ending) as stream:
                yield stream
            plain.flush()
            os.fsync(plain.fileno())
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


@contextmanager
def fresh_folder(path: Path) -> Iterator[Path]:
    """Lend a folder that becomes `path` when all went well; raises OSError, also when something is there already."""
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise FileExistsError(17, "it is there already, and not empty", str(path))
    draft = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent))
    try:
        yield draft
        draft.rename(path)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


@contextmanager
def compressed(stream: BinaryIO, name: str) -> Iterator[BinaryIO]:
    """Lend a stream that compresses as the ending of `name` says; the one beneath stays open."""
    opened = next((make for ending, make in _ENDINGS.items() if name.endswith(ending)), None)
    if opened is None:
        yield stream
        return
    with opened(stream) as packed:
        yield packed


def _gzip(stream: BinaryIO) -> BinaryIO:
    return cast(BinaryIO, gzip.GzipFile("", "wb", 6, stream, mtime=0))  # the same rows give the same bytes


def _zstandard(stream: BinaryIO) -> BinaryIO:
    packer = zstandard.ZstdCompressor(level=6, write_checksum=True)
    return cast(BinaryIO, packer.stream_writer(stream, closefd=False))


_ENDINGS: dict[str, Callable[[BinaryIO], BinaryIO]] = {".gz": _gzip, ".zst": _zstandard}
