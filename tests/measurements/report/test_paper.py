"""A report on paper: set by WeasyPrint, with page numbers, and without asking anybody for anything."""

from __future__ import annotations

import re
import subprocess
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

from measurements.report import html, pdf
from tests.measurements.report import scenes
from tests.measurements.report.test_page import dossier

ROOT = Path(__file__).resolve().parents[3]


def test_a_page_becomes_a_pdf_that_can_be_read(tmp_path: Path) -> None:
    page = html([dossier(scenes.unconfirmed)], "fr", made=1_794_000_000.0)
    path = tmp_path / "report.pdf"
    path.write_bytes(pdf(page))
    text = subprocess.run(["pdftotext", "-layout", path, "-"], check=True, capture_output=True, text=True).stdout
    assert path.read_bytes().startswith(b"%PDF-1.7")
    assert "signes que facebook.com est bloqué sur" in text
    assert "Chronologie" in text
    pages = text.split("\f")
    assert re.search(rf"\b1\s*/\s*{len(pages) - 1}\s*$", pages[0])


def test_paper_asks_nobody_for_anything() -> None:
    asked: list[str] = []

    class Ear(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)

    server = HTTPServer(("127.0.0.1", 0), Ear)
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        where = f"http://127.0.0.1:{server.server_port}"
        page = (
            f'<link rel="stylesheet" href="{where}/a.css"><img src="{where}/b.png"><img src="file:///etc/passwd">hello'
        )
        assert pdf(page).startswith(b"%PDF")
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    assert asked == []


def test_what_is_missing_is_said(tmp_path: Path) -> None:
    """Modules of that name that cannot be imported stand before the real one."""
    for name, error in (("first", "ImportError('x')"), ("second", "OSError('pango')")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "weasyprint.py").write_text(f"raise {error}")
    code = """
import sys
from measurements.report import NoPaper, pdf
for name in ("first", "second"):
    sys.path.insert(0, sys.argv[1] + "/" + name)
    try:
        pdf("")
    except NoPaper as error:
        print(error)
"""
    done = subprocess.run([sys.executable, "-c", code, tmp_path], cwd=ROOT, capture_output=True, text=True, check=True)
    first, second = done.stdout.splitlines()
    assert "of which the first is missing" in first
    assert "of which the second is missing" in second
    for line in (first, second):
        assert "pip install 'wazi[pdf]'" in line
        assert "apt install libpango-1.0-0" in line
