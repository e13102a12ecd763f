"""`wazi judge`: judge measurements from files by the rules of this version."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, cast

from measurements.exports.jsonl import line
from measurements.model import Measurement, Outcome
from measurements.redact import redact
from probe.commands.building import judge_with, load_settings
from probe.commands.console import Common, Refusal, exit_code, say, wants_colour, width, write, write_line
from probe.present import short
from probe.records import BadRecord, read_records
from probe.wording import clean


def judge_files(common: Common, files: Sequence[str], *, as_json: bool, bodies: bool, bogons: Path | None) -> int:
    """Judge every measurement of every file and return the exit code."""
    for name in files:
        if name != "-" and not Path(name).is_file():
            raise Refusal(f"{name}: there is no such file")
    settings = load_settings(common, {"network": {"bogons": str(bogons) if bogons else None}})
    judge = judge_with(settings.bogons())
    colour, room = wants_colour(sys.stdout), width(sys.stdout)
    outcomes: set[Outcome] = set()
    bad = False
    for record in _records(files):
        if isinstance(record, BadRecord):
            say(clean(str(record), 1000))
            bad = True
            continue
        measurement = redact(record, ())
        verdict = judge(measurement, ())
        outcomes.add(verdict.outcome)
        if as_json:
            write_line(line(measurement, verdict, bodies=bodies))
        else:
            head = short(measurement.started, measurement.target.url, verdict, colour=colour, width=room)
            write(f"{head}\n    {clean(verdict.summary, 1000)}" if verdict.summary else head)
    if not outcomes and not bad:
        say("there was no measurement to judge")
        bad = True
    return exit_code(outcomes, bad=bad)


def _records(files: Sequence[str]) -> Iterator[Measurement | BadRecord]:
    for name in files:
        if name == "-":
            yield from read_records(cast(BinaryIO, sys.stdin.buffer), "stdin")
            continue
        try:
            stream = Path(name).open("rb")  # noqa: SIM115 - only opening it is what may be refused here
        except OSError as error:
            raise Refusal(f"{name}: cannot be read ({error.strerror})") from None
        with stream:
            yield from read_records(stream, name)
