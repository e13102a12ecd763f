"""`wazi detect`: files of votes in, events out, and how it ends."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from measurements.model import Vote
from tests.measurements.events.votes_of import START, series, within

ROOT = Path(__file__).resolve().parents[2]
HEADER = "time,probe,country,asn,target,layer,blocked"


def detect(*arguments: str, stdin: bytes = b"") -> tuple[int, str, str]:
    argv = [sys.executable, "-m", "probe.cli", "detect", *arguments]
    ran = subprocess.run(argv, cwd=ROOT, input=stdin, capture_output=True, timeout=60)
    return ran.returncode, ran.stdout.decode(), ran.stderr.decode()


def rows(votes: list[Vote]) -> str:
    lines = [f"{v.time},{v.probe},{v.country},{v.asn},{v.target},{v.layer},{int(v.blocked)}" for v in votes]
    return "\n".join([HEADER, *lines, ""])


BLOCKED = rows([*series("x.com", within(48, 60)), *series("quiet.org")])


def test_a_block_is_found_in_a_file(tmp_path: Path) -> None:
    file = tmp_path / "votes.csv"
    file.write_text(BLOCKED)
    code, out, err = detect(str(file), "--json")
    assert (code, err) == (1, "")
    event: dict[str, Any] = json.loads(out)
    wanted = {
        "schema": 1, "kind": "blocking", "status": "closed", "reason": "ended", "country": "TZ", "countries": ["TZ"],
        "asn": 64500, "asns": [64500], "target": "x.com", "targets": ["x.com"], "layer": "tls", "layers": ["tls"],
        "probe_count": 1, "probes": ["p1"], "false_alarms_per_week": 1.0, "blocked": 12, "mechanism": None,
    }  # fmt: skip
    assert {name: event[name] for name in wanted} == wanted
    assert event["onset"][0] <= START + 47.5 * 3600 <= event["onset"][1]
    assert event["end"][0] <= START + 59.5 * 3600 <= event["end"][1]
    assert event["onset_text"][0].endswith("Z")
    assert event["evidence_ratio"] > 100
    assert event["parts"][0]["strength"] == "reported"
    assert event["summary"].startswith("x.com blocked on AS64500 in TZ, begun between ")


def test_for_people_and_from_stdin(tmp_path: Path) -> None:
    code, out, _ = detect("-", stdin=gzip.compress(BLOCKED.encode()))
    assert code == 1
    assert out.startswith("CLOSED  x.com blocked on AS64500 in TZ, begun between ")
    assert "x.com tls AS64500  ...." in out


def test_a_quiet_file_holds_no_event(tmp_path: Path) -> None:
    code, out, err = detect("-", stdin=rows(list(series("quiet.org"))).encode())
    assert (code, out, err) == (0, "", "wazi: no event in 72 votes\n")


def test_what_was_cleared_is_shown_when_asked_for() -> None:
    text = rows(list(series("x.com", within(48, 49)))).replace(HEADER, f"{HEADER},strength")
    data = text.replace(",1\n", ",1,proven\n").replace(",0\n", ",0,\n").encode()
    code, out, err = detect("-", "--json", "--false-alarms-per-week", "0.1", stdin=data)
    assert (code, out) == (0, "")
    assert "1 suspicion that later votes cleared" in err
    code, out, _ = detect("-", "--json", "--all", "--false-alarms-per-week", "0.1", stdin=data)
    assert (code, json.loads(out)["reason"]) == (1, "cleared")


def test_bad_lines_are_named_and_the_rest_counts() -> None:
    bad = "".join(f"{n},p1,TZ,x,y,tls,0\n" for n in range(25))
    code, out, err = detect("-", stdin=(rows(list(series("quiet.org"))) + bad).encode())
    assert (code, out) == (3, "")
    assert "stdin:74: column asn: 'x' is no network; write 36924 or AS36924" in err
    assert "5 more lines that cannot be read" in err
    code, out, _ = detect("-", stdin=(BLOCKED + bad).encode())
    assert (code, out[:6]) == (1, "CLOSED")


@pytest.mark.parametrize(
    ("arguments", "stdin", "code", "says"),
    [
        (("nowhere.csv",), "", 2, "nowhere.csv: there is no such file"),
        (("/",), "", 2, "/: cannot be read (Is a directory)"),
        (("-",), "time,probe\n", 2, "country, asn, target, layer, blocked missing"),
        (("-",), f"{HEADER}\n", 3, "there is no vote to count"),
        (("-", "--false-alarms-per-week", "0"), BLOCKED, 2, "must be above 0"),
        (("-", "--false-alarms-per-week", "nan"), BLOCKED, 2, "must be above 0"),
        (("-",), BLOCKED.replace(HEADER, f"{HEADER},colour").replace(",0\n", ",0,\n"), 1, "mean nothing here: colour"),
    ],
)
def test_what_is_wrong_is_said(arguments: tuple[str, ...], stdin: str, code: int, says: str) -> None:
    ended, _, err = detect(*arguments, stdin=stdin.replace(",1\n", ",1,\n" if "colour" in stdin else ",1\n").encode())
    assert ended == code
    assert says in err


def test_the_last_second_that_has_a_date_is_told_of() -> None:
    lines = "".join(f"9999-12-31T23:59:59Z,{probe},TZ,1,x.com,tls,1\n" for probe in ("p1", "p2"))
    code, out, _ = detect("-", stdin=f"{HEADER}\n{lines}".encode())
    assert (code, "since 9999-12-31 23:59 UTC" in out) == (1, True)


def test_one_vote_is_no_event_however_little_is_watched() -> None:
    assert detect("-", stdin=f"{HEADER}\n2026-01-01,p,TZ,1,x.com,tls,1\n".encode())[:2] == (0, "")


def test_fewer_false_alarms_ask_for_more_evidence() -> None:
    thresholds = []
    for rate in ("10", "0.1"):
        _, out, _ = detect("-", "--json", "--false-alarms-per-week", rate, stdin=BLOCKED.encode())
        thresholds.append(json.loads(out)["threshold"])
    assert abs(thresholds[1] - thresholds[0] - 4.605) < 0.01
