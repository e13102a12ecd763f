"""The Atom feed: valid with hostile text, whole at every moment, and kept over restarts and damage."""

from __future__ import annotations

import asyncio
import fcntl
import os
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from xml.etree import ElementTree

import pytest

from measurements.alerts.feed import ATOM, MOST_BYTES, _alone
from measurements.alerts.hooks import HOOKS
from measurements.alerts.notice import HookFailed, Notice
from tests.measurements.alerts.notices import PUBLIC_URL, a_test, confirmed, event, hostile, notice

NAMES = {"a": ATOM}


def tell(path: Path, *told: Notice, entries: int = 100, name: str = "Wazi") -> list[str]:
    hook = HOOKS["feed"](path=path, entries=entries, heading=name)
    return [asyncio.run(hook(one)) for one in told]  # type: ignore[arg-type]


def read(path: Path) -> ElementTree.Element:
    root = ElementTree.fromstring(path.read_bytes())
    assert root.tag == f"{{{ATOM}}}feed"
    for element in (root, *root.iterfind("a:entry", NAMES)):
        for name in ("id", "title", "updated"):  # RFC 4287, 4.1.1 and 4.1.2: exactly one
            assert len(element.findall(f"a:{name}", NAMES)) == 1
    assert root.findtext("a:author/a:name", namespaces=NAMES)
    return root


def texts(path: Path, name: str) -> list[str]:
    return [entry.findtext(f"a:{name}", "", NAMES) for entry in read(path).iterfind("a:entry", NAMES)]


def numbered(number: int) -> Notice:
    return notice(event(f"{number:032x}"), id=f"{number:032x}")


def test_a_message_is_an_entry(tmp_path: Path) -> None:
    path = tmp_path / "feed.xml"
    assert tell(path, notice(confirmed(), public_url=PUBLIC_URL)) == ["feed.xml has 1 message"]
    root = read(path)
    [entry] = root.iterfind("a:entry", NAMES)
    assert entry.findtext("a:title", namespaces=NAMES) == "Wazi: facebook.com blocked on AS24757 in ET (confirmed)"
    assert (
        entry.findtext("a:updated", namespaces=NAMES) == "2025-11-25T06:21:00Z" == root.findtext("a:updated", "", NAMES)
    )
    assert "Next: wazi events adf48fdc" in entry.findtext("a:content", "", NAMES)
    link, category = entry.find("a:link", NAMES), entry.find("a:category", NAMES)
    assert link is not None
    assert link.attrib == {"rel": "alternate", "href": f"{PUBLIC_URL}/events/{'adf48fdc' * 4}"}
    assert category is not None
    assert category.attrib == {"term": "event.opened"}
    assert path.read_bytes().startswith(b"<?xml version='1.0' encoding='utf-8'?>\n<feed xmlns=")


def test_hostile_text_stays_text(tmp_path: Path) -> None:
    path = tmp_path / "feed.xml"
    tell(path, notice(hostile(), public_url=PUBLIC_URL), a_test(), name="<Wazi> & \x00 ]]>")
    tell(path, numbered(1), name="<Wazi> & \x00 ]]>")
    assert len(texts(path, "title")) == 3
    assert "</script><b>&\"'" in texts(path, "content")[2]
    assert read(path).findtext("a:title", "", NAMES) == "<Wazi> & \ufffd ]]>"


def test_entries_are_kept_over_restarts_up_to_a_number(tmp_path: Path) -> None:
    path = tmp_path / "feed.xml"
    for number in range(7):
        tell(path, numbered(number), entries=5)
    before = read(path).findtext("a:id", "", NAMES)
    assert [text[-1] for text in texts(path, "content")] == ["."] * 5
    assert [
        f"events {number:032x}"[:15] in text
        for number, text in zip((6, 5, 4, 3, 2), texts(path, "content"), strict=True)
    ]
    tell(path, numbered(8), entries=2)
    assert len(texts(path, "id")) == 2
    assert read(path).findtext("a:id", "", NAMES) == before
    assert before.startswith("urn:uuid:")


def test_a_message_told_again_replaces_its_entry(tmp_path: Path) -> None:
    path = tmp_path / "feed.xml"
    tell(path, numbered(1), numbered(2))
    first, second = texts(path, "id")
    tell(path, numbered(1), numbered(1))
    assert texts(path, "id") == [second, first]
    tell(tmp_path / "other.xml", numbered(1))
    assert texts(tmp_path / "other.xml", "id") == [second]


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9, 0.999])
def test_of_a_file_that_was_cut_what_can_be_read_goes_on(tmp_path: Path, share: float) -> None:
    path = tmp_path / "feed.xml"
    tell(path, *map(numbered, range(10)))
    id, ids, whole = read(path).findtext("a:id", "", NAMES), texts(path, "id"), path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    [said] = tell(path, numbered(10))
    after = texts(path, "id")
    assert after[1:] == ids[: len(after) - 1]
    assert len(after) - 1 >= int(share * 10) - 1
    if share:
        assert said.endswith("the old file was damaged and is kept as feed.xml.damaged")
        assert (tmp_path / "feed.xml.damaged").read_bytes() == whole[: int(share * len(whole))]
    if share >= 0.1:
        assert read(path).findtext("a:id", "", NAMES) == id


BOMB = b'<?xml version="1.0"?><!DOCTYPE f [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]><feed>&b;</feed>'
DEEP = b"<a>" * 20_000
FILE = b'<?xml version="1.0"?><!DOCTYPE f [<!ENTITY a SYSTEM "file:///etc/passwd">]><feed>&a;</feed>'


@pytest.mark.parametrize(
    "data",
    [
        b"hello",
        bytes(range(256)),
        b"<html/>",
        f'<feed xmlns="{ATOM}"/>'.encode(),
        BOMB,
        FILE,
        b"\xff\xfe<",
        b"<a>" * 20_000,
    ],
    ids=["text", "bytes", "html", "no id", "bomb", "file", "UTF-16", "deep"],
)
def test_what_is_no_feed_is_kept_beside(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "feed.xml"
    path.write_bytes(data)
    [said] = tell(path, numbered(1))
    assert said.startswith("feed.xml has 1 message; the old file was damaged")
    assert (tmp_path / "feed.xml.damaged").read_bytes() == data
    assert len(texts(path, "id")) == 1


def test_a_file_that_is_too_large_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "feed.xml"
    with path.open("wb") as stream:
        stream.truncate(MOST_BYTES + 1)
    assert "damaged" in tell(path, numbered(1))[0]


def test_an_entry_that_lacks_what_it_must_have_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "feed.xml"
    path.write_text(f'<feed xmlns="{ATOM}"><id>urn:uuid:1</id><entry><id>x</id></entry></feed>')
    assert tell(path, numbered(1)) == ["feed.xml has 1 message"]
    assert read(path).findtext("a:id", "", NAMES) == "urn:uuid:1"


def test_who_may_read_it_stays_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "feed.xml"
    tell(path, numbered(1))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.chmod(0o644)
    tell(path, numbered(2))
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["feed.xml"]


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    link = tmp_path / "feed.xml"
    link.symlink_to(tmp_path / "real" / "feed.xml")
    tell(link, numbered(1))
    assert link.is_symlink()
    assert len(texts(tmp_path / "real" / "feed.xml", "id")) == 1


def test_many_writers_lose_nothing(tmp_path: Path) -> None:
    """Two processes and the threads of this one write to one file."""
    path = tmp_path / "feed.xml"
    code = (
        "import sys; from pathlib import Path; from tests.measurements.alerts.test_feed import numbered, tell; "
        "tell(Path(sys.argv[1]), *map(numbered, range(100, 120)))"
    )
    child = subprocess.Popen([sys.executable, "-c", code, str(path)])
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda number: tell(path, numbered(number)), range(20)))
    assert child.wait(30) == 0
    assert len(set(texts(path, "id"))) == 40


def test_a_file_that_cannot_be_written_is_a_failure_in_words(tmp_path: Path) -> None:
    folder = tmp_path / "gone"
    folder.mkdir()
    hook = HOOKS["feed"](path=folder / "feed.xml")
    folder.rmdir()
    with pytest.raises(HookFailed, match=r"feed\.xml could not be written: No such file or directory"):
        asyncio.run(hook(numbered(1)))  # type: ignore[arg-type]


def test_a_wrong_option_is_named(tmp_path: Path) -> None:
    for options, words in (
        ({"path": tmp_path}, r"^path .* must be a file in a folder"),
        ({"path": tmp_path / "no" / "feed.xml"}, r"^path .* must be a file in a folder"),
        ({"path": tmp_path / "f", "entries": 0}, r"^entries must be from 1 to 1000"),
        ({"path": tmp_path / "f", "heading": " "}, r"^heading must be the title"),
    ):
        with pytest.raises(ValueError, match=words):
            HOOKS["feed"](**options)


def test_a_folder_that_somebody_keeps_locked_is_a_failure_and_not_a_thread_for_ever(tmp_path: Path) -> None:
    number = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(number, fcntl.LOCK_EX)
        with pytest.raises(TimeoutError, match="keeps its folder locked"), _alone(tmp_path, 0.1):
            pass
    finally:
        os.close(number)
    with _alone(tmp_path, 0.1):
        pass
