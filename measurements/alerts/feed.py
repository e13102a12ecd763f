"""An Atom feed in a file (RFC 4287), for a reader of feeds or a web server: one entry for each message.

The file is written whole, under another name first, so that nobody reads half of it; who else writes it at that moment
waits. Entries of before stay, up to a number, whichever process wrote them. A message that is told again replaces its
entry, for its id follows from the message's. A file that is damaged is kept beside (`.damaged`), what can be read of it
goes on, and the answer says so.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import os
import shutil
import tempfile
import time
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

from measurements.alerts.notice import Hook, HookFailed, Notice
from measurements.alerts.payload import kind
from measurements.alerts.wording import page, text, title
from measurements.printable import clean, plural

ATOM = "http://www.w3.org/2005/Atom"
LOCKED = 10.0
"""Seconds to wait for who else writes in the folder: a thread that waits for ever keeps the program from ending."""
MOST_BYTES = 16 * 1024 * 1024
"""Bytes of a feed that is read back; a larger one was not written by us."""


def feed(*, path: Path, entries: int = 100, heading: str = "Wazi") -> Hook:
    """Keep the last `entries` messages in the file `path`, under the title `heading`."""
    path = path.resolve()
    if not path.parent.is_dir() or (path.exists() and not path.is_file()):
        raise ValueError(f"path {path} must be a file in a folder that is there")
    if not 1 <= entries <= 1000:
        raise ValueError("entries must be from 1 to 1000")
    if not (name := clean(heading, 200)):
        raise ValueError("heading must be the title of the feed, such as Wazi")

    async def write(notice: Notice) -> str:
        try:
            return await asyncio.to_thread(_add, path, notice, entries, name)
        except OSError as error:
            raise HookFailed(f"{path.name} could not be written: {error.strerror}") from None

    return write


def _add(path: Path, notice: Notice, entries: int, name: str) -> str:
    with _alone(path.parent):
        id, old, is_damaged = _read(path)
        if is_damaged:
            shutil.copy2(path, path.with_name(f"{path.name}.damaged"))
        entry = _entry(notice)
        kept = [one for one in old if _text(one, "id") != _text(entry, "id")]
        whole = _feed(id or uuid.uuid4().urn, name, [entry, *kept][:entries])
        ElementTree.register_namespace("", ATOM)  # there is one register for all, and others write to it too
        _write(path, ElementTree.tostring(whole, encoding="utf-8", xml_declaration=True))
    said = f"{path.name} has {plural(len(whole.findall(_ENTRY)), 'message')}"
    return f"{said}; the old file was damaged and is kept as {path.name}.damaged" if is_damaged else said


@contextlib.contextmanager
def _alone(folder: Path, most: float = LOCKED) -> Iterator[None]:
    """Wait until no other of us writes in this folder, though not for ever; a lock ends with its process."""
    number = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        end = time.monotonic() + most
        while True:
            try:
                fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > end:
                    raise TimeoutError(errno.ETIMEDOUT, "another program keeps its folder locked") from None
                time.sleep(0.05)
        yield
    finally:
        os.close(number)


def _read(path: Path) -> tuple[str, list[Element], bool]:
    """Read a feed back: its id, its entries, and whether it is damaged; of what is damaged, what can be read."""
    try:
        with path.open("rb") as stream:
            data = stream.read(MOST_BYTES + 1)
    except FileNotFoundError:
        return "", [], False
    if not data:
        return "", [], False
    if len(data) > MOST_BYTES or b"<!" in data:  # we write no declarations: they may name files, and grow
        return "", [], True
    parser: ElementTree.XMLPullParser[Element] = ElementTree.XMLPullParser(["start", "end"])
    parser.feed(data)
    happenings: Iterator[Any] = parser.read_events()
    entries: list[Element] = []
    id = root = ""
    try:
        for event, element in happenings:
            root = root or element.tag
            if event == "end" and element.tag == _ENTRY and all(_text(element, name) for name in _REQUIRED):
                entries.append(element)
            elif event == "end" and element.tag == _name("id"):
                id = id or (element.text or "")  # the feed's own comes first
        parser.close()
    except ElementTree.ParseError:
        return id, entries, True
    return id, entries, not id or root != _name("feed")


def _entry(notice: Notice) -> Element:
    moment = datetime.fromtimestamp(notice.time, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    entry = Element(_ENTRY)
    _add_text(entry, "id", uuid.uuid5(uuid.NAMESPACE_URL, f"wazi:notice:{notice.id}").urn)
    _add_text(entry, "title", title(notice))
    _add_text(entry, "published", moment)
    _add_text(entry, "updated", moment)
    SubElement(entry, _name("category"), term=kind(notice))
    if address := page(notice):
        SubElement(entry, _name("link"), rel="alternate", href=address)
    _add_text(entry, "content", text(notice)).set("type", "text")
    return entry


def _feed(id: str, name: str, entries: list[Element]) -> Element:
    whole = Element(_name("feed"))
    _add_text(whole, "id", id)
    _add_text(whole, "title", name)
    _add_text(whole, "updated", max(_text(entry, "updated") for entry in entries))
    _add_text(SubElement(whole, _name("author")), "name", "Wazi")
    _add_text(whole, "generator", "Wazi")
    whole.extend(entries)
    return whole


def _write(path: Path, data: bytes) -> None:
    """Write a file that is there whole or not at all; who may read it stays as it was, and at first is its owner."""
    number, draft = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
    try:
        with os.fdopen(number, "wb") as stream:
            stream.write(data)
            stream.flush()
            if path.exists():
                os.fchmod(stream.fileno(), path.stat().st_mode & 0o777)
            os.fsync(stream.fileno())
        os.replace(draft, path)
    finally:
        Path(draft).unlink(missing_ok=True)


def _name(local: str) -> str:
    return f"{{{ATOM}}}{local}"


_ENTRY = _name("entry")
_REQUIRED = ("id", "title", "updated")  # RFC 4287, 4.1.2


def _text(element: Element, name: str) -> str:
    return element.findtext(_name(name)) or ""


def _add_text(parent: Element, name: str, text: str) -> Element:
    child = SubElement(parent, _name(name))
    child.text = text
    return child
