"""`wazi report`: a file or stdout, in a language, whole or not at all; and what it refuses, in words."""

from __future__ import annotations

import os
import pty
import subprocess
from pathlib import Path

import pytest

from measurements.events.nouns import Event
from probe.commands.console import Common, Refusal
from probe.commands.reporting import Wish, report
from tests.measurements.report import scenes
from tests.probe.desk import Desk

Filled = tuple[Desk, Event, Event]


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Filled:
    """A desk with a block and an outage; tests only read it, and write elsewhere."""
    desk = Desk(tmp_path_factory.mktemp("desk"))
    with desk.store() as store:
        (block,) = scenes.unconfirmed(store)
        (outage,) = [event for event in scenes.outage(store) if event.kind == "outage"]
    return desk, block, outage


def test_a_report_goes_to_whoever_reads_stdout(filled: Filled) -> None:
    desk, block, _ = filled
    piped = desk.wazi("report", block.id[:6])
    assert piped.returncode == 0, piped.stderr
    assert piped.stdout.startswith(b'<!DOCTYPE html>\n<html lang="en"')


def test_on_a_terminal_it_becomes_a_file_that_is_named_after_the_event(filled: Filled) -> None:
    desk, block, outage = filled
    outer, inner = pty.openpty()
    try:
        argv = desk.argv("report", block.id, outage.id, block.id[:8])
        child = subprocess.Popen(argv, stdout=inner, stderr=subprocess.PIPE, **desk._where())
        _, told = child.communicate(timeout=60)
    finally:
        os.close(inner)
        os.close(outer)
    name = f"wazi-{block.id[:8]}-and-1-more.html"
    assert told.decode() == f"wazi: a report about 2 events is in {name}\n"
    assert "2 events in this report" in (desk.folder / name).read_text()


def test_a_file_is_whole_private_and_written_over(filled: Filled, tmp_path: Path) -> None:
    desk, block, outage = filled
    output = tmp_path / "a b.html"
    output.write_text("an older report, which is longer" * 100_000)
    common = Common(desk.config)
    assert report(common, [block.id], Wish(language="fr", output=str(output))) == 0
    assert output.read_text().startswith('<!DOCTYPE html>\n<html lang="fr"')
    assert output.stat().st_mode & 0o077 == 0
    assert report(common, [outage.id], Wish(output=str(output)), {"LC_ALL": "fr_FR.UTF-8"}) == 0
    assert '<html lang="fr"' in output.read_text()
    assert report(common, [outage.id], Wish(output=str(tmp_path / "report.PDF"))) == 0
    assert (tmp_path / "report.PDF").read_bytes().startswith(b"%PDF")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a b.html", "report.PDF"]


def test_links_lead_to_the_public_address(filled: Filled, tmp_path: Path) -> None:
    desk, block, _ = filled
    config = desk.folder / "public.toml"
    config.write_text(desk.config.read_text() + '[web]\npublic_url = "https://wazi.example/"\n')
    output = tmp_path / "linked.html"
    report(Common(config), [block.id], Wish(output=str(output)))
    assert f'href="https://wazi.example/measurements/{block.witnesses[0]}"' in output.read_text()


def test_the_form_is_said_by_a_flag_or_by_the_ending_of_the_file() -> None:
    wishes = (Wish(), Wish(pdf=True), Wish(output="a.pdf"), Wish(html=True, output="a.pdf"))
    assert [wish.form() for wish in wishes] == ["html", "pdf", "pdf", "html"]


def test_what_cannot_be_done_is_said(filled: Filled, tmp_path: Path) -> None:
    desk, block, _ = filled
    common = Common(desk.config)
    there = f"{tmp_path}/no/such/folder.html"
    for events, wish, words in (
        (["zz"], Wish(), "no event begins with zz: `wazi events --all` shows their ids"),
        ([block.id], Wish(language="xx"), "--language: there is no report in the language 'xx': there are en, fr"),
        ([block.id], Wish(html=True, pdf=True), "run it twice for both"),
        ([block.id], Wish(output=there), r"folder.html: cannot be written \(No such file or directory\)"),
        ([block.id], Wish(output="/dev/full"), r"/dev/full: cannot be written \(No space left on device\)"),
        ([block.id] * 21, Wish(), "21 events are too many for a report: 20 at the most"),
    ):
        with pytest.raises(Refusal, match=words):
            report(common, events, wish)
    with pytest.raises(Refusal, match=r"wazi\.db"):
        report(Common(Desk(tmp_path).config), ["a"], Wish())
