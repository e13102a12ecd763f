"""Tidying goes on beside the measuring and never ends it; what its commands say."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path

import pytest

from measurements.keeping import Terms, Tidied
from probe.settings import SettingsError, load
from probe.tidying import tidying
from tests.measurements.store.samples import BLOCKED, measurement
from tests.probe.desk import Desk

DAY = 86_400.0


class Keeper:
    """Is too large the third time it is looked at, fails the first time it tidies, and counts."""

    def __init__(self, terms: Terms) -> None:
        self.terms = terms
        self.looks = self.tidied = 0
        self.enough, self.was_ended = threading.Event(), False

    def is_too_large(self) -> bool:
        self.looks += 1
        if self.looks >= 8:
            self.enough.set()
        return self.looks == 3

    def tidy(self) -> Tidied:
        self.tidied += 1
        if self.tidied == 1:
            raise RuntimeError("a mistake")
        return Tidied(measurements=7, trouble=["something is left"])

    def end(self) -> None:
        self.was_ended = True


def test_it_tidies_when_due_and_when_there_is_too_much(capfd: pytest.CaptureFixture[str]) -> None:
    keeper = Keeper(Terms(keep=DAY))
    with tidying(keeper, first=0.0, every=1000.0, look=0.01):
        assert keeper.enough.wait(10)
    assert keeper.tidied == 2  # once because it was due, once because it was too large
    assert keeper.was_ended
    said = "".join(capfd.readouterr())
    assert "a mistake" in said
    assert "something is left" in said
    assert not [thread for thread in threading.enumerate() if thread.name == "wazi-tidy"]


def test_without_terms_it_looks_at_nothing() -> None:
    keeper = Keeper(Terms())
    with tidying(keeper, first=0.0, look=0.001):
        time.sleep(0.1)
    assert (keeper.looks, keeper.tidied) == (0, 0)


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    desk = Desk(tmp_path)
    with desk.store() as store:
        for n in range(30):
            store.add(measurement(n, started=time.time() - n * 10 * DAY, body=b"%d" % n * 999), BLOCKED)
        store.flush(30)
        with store.ledger.turn() as turn:
            turn.save(turn.votes(1000)[-1][0], b"", {}, ())
    return desk


def keep(desk: Desk, *lines: str) -> None:
    """Set for how long the store is kept."""
    text = desk.config.read_text().replace("[network]", "\n".join([*lines, "[network]"]))
    desk.config.write_text(text)


def test_the_store_is_measured_and_tidied_from_the_command_line(desk: Desk) -> None:
    said = desk.wazi("store", "stats").stdout.decode()
    assert "measurement    30" in said
    assert "growth    about" in said
    assert "disk      " in said
    assert "nothing is ever deleted" in said
    keep(desk, 'keep = "95 days"', 'export_before_drop = "archive"')
    found = json.loads(desk.wazi("store", "stats", "--json").stdout)
    parts = {part["name"]: part for part in found["store"]["parts"]}
    assert (parts["measurement"]["rows"], parts["measurement"]["about_rows"]) == (30, False)
    assert parts["measurement"]["newest"] - parts["measurement"]["oldest"] == pytest.approx(290 * DAY)
    assert "are due" in found["next"][0]
    asked = desk.wazi("store", "tidy", "--dry-run").stdout.decode()
    done = desk.wazi("store", "tidy").stdout.decode()
    count = int(asked.split()[2])
    assert 15 <= count <= 20
    assert f"deleted: {count} measurements" in done
    assert "written to" in done
    with desk.store() as store:
        assert store.count() == 30 - count
    names = sorted(path.name for path in (desk.folder / "archive").glob("*.zst"))
    assert len(names) >= 5
    assert desk.wazi("import", *(f"archive/{name}" for name in names)).returncode == 0
    with desk.store() as store:
        assert store.count() == 30


def test_what_cannot_be_tidied_ends_with_1(desk: Desk) -> None:
    (desk.folder / "archive").write_text("in its place")
    keep(desk, 'keep = "95 days"', 'export_before_drop = "archive"')
    ran = desk.wazi("store", "tidy")
    assert ran.returncode == 1
    assert b"archive" in ran.stderr


def test_a_store_in_use_is_not_tidied_by_hand(desk: Desk) -> None:
    keep(desk, 'keep = "95 days"')
    with desk.store():
        ran = desk.wazi("store", "tidy")
    assert ran.returncode == 2
    assert b"in use by another Wazi" in ran.stderr
    assert b"once an hour" in ran.stderr


def test_pages_and_an_archive_do_not_go_together(desk: Desk) -> None:
    keep(desk, 'keep_bodies = "9 days"', 'export_before_drop = "archive"')
    with pytest.raises(SettingsError, match=r"keep_bodies = .*leave one of them out"):
        load(desk.config, environ={}, folders=())
