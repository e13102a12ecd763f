"""Nothing of the volunteer survives: real commands measure a site that says all it knows; all they wrote is read."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pyarrow.parquet
import pytest
import zstandard

from measurements.commitments import commitment, removals, salt_of
from measurements.exports import EXPORTS
from measurements.model import Measurement, decode
from probe.commands.console import Common, Refusal
from probe.commands.exporting import export
from probe.commands.redaction import check_redaction
from probe.commands.which import Which
from probe.identity import IdentityError, read_redaction_secret
from tests.measurements.test_redact import leaves
from tests.probe.echoing import HOST, IPV4, IPV6, planted

OURS = ("ca.pem", "bogons.csv", "wazi.toml")  # files that the test wrote
PLACES = {
    *("body", "title", "headers", "url", "redirect", "chain", "issuer", "host", "name", "address"),
    *("replies.ede", "replies.answers.data", "replies.answers.name"),
}


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("echo")
    argv = ["unshare", "-rnu", sys.executable, "-m", "tests.probe.echoing", str(folder)]
    ran = subprocess.run(argv, capture_output=True, text=True, timeout=240, cwd=Path(__file__).resolve().parents[2])
    assert ran.returncode == 0, ran.stderr
    for form in EXPORTS:
        output = folder / (form if form == "parquet" else f"export.{form}")
        export(Common(folder / "wazi.toml"), Which(None, None, None), form=form, output=str(output), after=None)
    return folder


def in_database(path: Path) -> Iterator[tuple[str, bytes]]:
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as store:
        for (table,) in store.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
            for row in store.execute(f'SELECT * FROM "{table}"'):
                for value in row:
                    raw = value if isinstance(value, bytes) else str(value).encode()
                    yield table, raw
                    if raw.startswith(zstandard.FRAME_HEADER):
                        plain = zstandard.decompress(raw)
                        yield table, plain
                        yield from ((table, leaf) for leaf in in_json(plain))


def in_json(text: bytes) -> Iterator[bytes]:
    """Yield every text of a measurement, with the bytes that stand there in base64."""
    try:
        yield from leaves(decode(text, Measurement))
    except ValueError:
        whole = json.loads(text) if text.startswith(b"{") else None
        if isinstance(whole, dict) and "measurement" in whole:
            yield from leaves(decode(json.dumps(whole["measurement"]).encode(), Measurement))


def everything(folder: Path) -> Iterator[tuple[str, bytes]]:
    for path in folder.rglob("*"):
        if path.is_dir() or path.name in OURS:
            continue
        raw = path.read_bytes()
        yield path.name, raw
        if path.suffix in (".out", ".jsonl"):
            yield from ((path.name, leaf) for line in raw.splitlines() for leaf in in_json(line))
        if path.suffix == ".parquet":
            yield path.name, str(pyarrow.parquet.read_table(path).to_pylist()).encode()
    yield from in_database(folder / "wazi.db")


def test_no_disguise_survives_in_the_database_the_log_or_an_export(written: Path) -> None:
    forms = planted()
    assert len(forms) >= 100
    seen: set[str] = set()
    for place, text in everything(written):
        seen.add(place)
        for name, form in forms.items():
            if len(form) > 6 or not text.startswith((b"SQLite", zstandard.FRAME_HEADER, b"PAR1")):
                assert form not in text, (place, name, text[max(0, text.find(form) - 60) :][:150])
    assert {"wazi.db", "run.err", "check.out", "export.csv", "export.jsonl", "export.ooni", "body"} <= seen


def test_it_was_said_in_at_least_12_places_and_measured_all_the_same(written: Path) -> None:
    lines = (written / "export.jsonl").read_bytes().splitlines()
    assert len(lines) == 2
    places: set[str] = set()
    for line in lines:
        whole = json.loads(line)
        assert whole["outcome"] == "accessible"
        measurement = decode(json.dumps(whole["measurement"]).encode(), Measurement)
        told = list(removals(measurement.redacted))
        places |= {one.place.partition(".")[2] for one in told}
        assert {"address", "name", "certificate", "cookie", "client", "parameter"} <= {one.kind for one in told}
    assert places >= PLACES


def wazi(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "probe.cli", "--config", str(folder / "wazi.toml"), "redaction", *arguments]
    root = str(Path(__file__).resolve().parents[2])
    environment = {**os.environ, "PYTHONPATH": root, "HOME": str(folder)}
    return subprocess.run(argv, capture_output=True, text=True, timeout=60, cwd=folder, env=environment, check=False)


def test_what_was_taken_out_of_one_measurement_can_be_shown(
    written: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    evidence = written / "export.jsonl"
    one, other = (json.loads(line)["measurement"]["id"] for line in evidence.read_text().splitlines())
    opened = wazi(written, "open", one[:12])
    assert opened.returncode == 0
    assert "can try addresses until one fits" in opened.stderr
    opening = json.loads(opened.stdout)
    assert opening["measurement"] == one
    assert {each["kind"] for each in opening["redacted"]} >= {"address", "router"}
    salt = salt_of(bytes.fromhex((written / "redaction-secret").read_text().strip()), one)
    assert opening["salt"] == salt.hex()
    assert wazi(written, "check", str(evidence), IPV4, "--salt", salt.hex()).returncode == 0

    assert check_redaction(salt.hex(), [f"[{IPV6}]:443", HOST.upper(), "10.1.1.1"], evidence) == 1
    said = capsys.readouterr().out.splitlines()
    assert said[0].startswith(f"[{IPV6}]:443: was taken out as address ")
    assert said[1].startswith(f"{HOST.upper()}: was taken out as name ")
    assert said[2] == f"10.1.1.1: nothing in {evidence} was taken out under this salt that was this"
    with zipfile.ZipFile(tmp_path / "packed.zip", "w", zipfile.ZIP_DEFLATED) as packed:
        packed.write(evidence)
    assert check_redaction(salt.hex(), [IPV4], tmp_path / "packed.zip") == 0
    assert check_redaction(salt_of(salt, other).hex(), [IPV4], evidence) == 1


def test_what_cannot_be_shown_or_checked_is_said(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"PK\x05\x06" + b"\xff" * 18)
    with pytest.raises(Refusal, match="--salt: write the 64 hexadecimal digits"):
        check_redaction("ab", ["x"], file)
    with pytest.raises(Refusal, match="is a damaged ZIP"):
        check_redaction("ab" * 32, ["x"], file)
    with pytest.raises(Refusal, match="no-file: cannot be read"):
        check_redaction("ab" * 32, ["x"], tmp_path / "no-file")
    file.write_bytes(commitment(bytes(32), "certificate", b"\x30\x82").encode())
    (tmp_path / "der").write_bytes(b"\x30\x82")
    assert check_redaction("00" * 32, [f"@{tmp_path / 'der'}"], file) == 0
    assert check_redaction("00" * 32, ["2001:db8::/64", "2001:db8::"], file) == 1
    with pytest.raises(Refusal, match="nothing: cannot be read"):
        check_redaction("00" * 32, [f"@{tmp_path / 'nothing'}"], file)
    with pytest.raises(IdentityError, match="nobody can show what was taken out"):
        read_redaction_secret(tmp_path)
