"""`wazi judge`: judge measurements from files by the rules of this version.

Nobody vouches for what is in a file, and a record may be well formed and still be one that no rule was
written for. Such a record is named, counts as one that could not be judged, and the rest goes on.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from measurements.exports.jsonl import line
from measurements.model import Measurement, Outcome, Past, Verdict
from measurements.printable import clean
from measurements.redact import redact
from probe.commands.building import judge_with, load_settings
from probe.commands.console import Common, exit_code, say, wants_colour, width, write_line
from probe.commands.inputs import STDIN, opened, refuse_missing
from probe.present import short
from probe.records import BadRecord, Record, read_records

log = logging.getLogger(__name__)


def judge_files(common: Common, files: Sequence[str], *, as_json: bool, bodies: bool, bogons: Path | None) -> int:
    """Judge every measurement of every file and return the exit code."""
    refuse_missing(files)
    settings = load_settings(common, {"network": {"bogons": str(bogons) if bogons else None}})
    if common.verbose:
        from probe.commands import logs

        logs.configure(verbose=True, for_people=True)
    bench = _Bench(judge_with(settings), as_json, bodies, colour=wants_colour(sys.stdout), room=width(sys.stdout))
    outcomes: set[Outcome] = set()
    bad = False
    for record in _records(files):
        result = bench.judge_one(record) if isinstance(record, Record) else record
        if isinstance(result, BadRecord):
            say(clean(str(result), 1000))
            bad = True
            continue
        outcomes.add(result.outcome)
        write_line(result.text)
    if not outcomes and not bad:
        say("there was no measurement to judge")
        bad = True
    return exit_code(outcomes, bad=bad)


@dataclass(frozen=True, slots=True)
class _Result:
    """What became of one record, ready to be written."""

    outcome: Outcome
    text: bytes


@dataclass(frozen=True, slots=True)
class _Bench:
    """How records are judged and shown."""

    judge: Callable[[Measurement, tuple[Past, ...]], Verdict]
    as_json: bool
    bodies: bool
    colour: bool
    room: int

    def judge_one(self, record: Record) -> _Result | BadRecord:
        """Judge a record, or say why it cannot be."""
        try:
            measurement = redact(record.measurement, ())
            verdict = self.judge(measurement, ())
            return _Result(verdict.outcome, self._shown(measurement, verdict))
        except Exception as error:  # foreign data finds every way to be odd, a chain deeper than the stack among them
            log.debug("%s cannot be judged", record.place, exc_info=True)
            return BadRecord(record.place, f"cannot be judged: {error or type(error).__name__}")

    def _shown(self, measurement: Measurement, verdict: Verdict) -> bytes:
        if self.as_json:
            return line(measurement, verdict, bodies=self.bodies)
        head = short(
            measurement.started,
            measurement.target.url,
            verdict,
            nettest=measurement.nettest,
            colour=self.colour,
            width=self.room,
        )
        text = f"{head}\n    {clean(verdict.summary, 1000)}" if verdict.summary else head
        return text.encode(sys.stdout.encoding, "backslashreplace") + b"\n"


def _records(files: Sequence[str]) -> Iterator[Record | BadRecord]:
    for name in files:
        with opened(name) as stream:
            yield from read_records(stream, "stdin" if name == STDIN else name)
