"""The commands that look, and measure nothing.

`wazi status`, `list`, `show` and `export` tell what runs, what was measured and on what a verdict rests;
`config show` and `config check` tell the settings. Only `store upgrade` changes something.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from measurements.exports import EXPORTS
from measurements.exports.jsonl import line
from measurements.exports.judged import Judged
from measurements.model import Gap, Outcome, encode
from probe.commands.building import data_folder, judge_with, load_settings, read_store
from probe.commands.console import FINE, FOUND, Common, Refusal, say, to_reader, wants_colour, width, write, write_line
from probe.heartbeat import Heartbeat, HeartbeatFile
from probe.present import moment, short, timeline
from probe.wording import clean, plural, size

if TYPE_CHECKING:
    from measurements.store import Health, Kept, Store
    from probe.settings import Settings

LOOK_BACK = 86_400.0  # seconds of gaps and outcomes that `status` tells


@dataclass(frozen=True, slots=True)
class Which:
    """Which measurements are meant; times and outcome as they were written."""

    target: str | None = None
    outcome: str | None = None
    since: str | None = None
    until: str | None = None

    def filter(self, now: float) -> dict[str, Any]:
        """Return the store's own filter, or refuse in words."""
        return {
            "target": _target(self.target),
            "outcome": _outcome(self.outcome),
            "since": _moment(self.since, now, "--since"),
            "until": _moment(self.until, now, "--until"),
        }


def status(common: Common, *, as_json: bool, health: bool) -> int:
    """Tell what runs and how the store is; with `health` only whether the probe is alive."""
    settings = load_settings(common)
    heart = HeartbeatFile(data_folder(settings))
    beat, alive = heart.read(), heart.is_alive(time.time())
    if health:
        if not alive:
            say("the probe gave no sign of life" if beat is None else f"no sign of life since {moment(beat.alive)}")
        return FINE if alive else FOUND
    with read_store(settings) as store:
        now = time.time()
        kept, gaps, outcomes = store.health(), store.gaps(since=now - LOOK_BACK), store.outcomes(since=now - LOOK_BACK)
    if as_json:
        record = {"alive": alive, "probe": beat, "store": kept, "gaps": gaps, "outcomes": _counts(outcomes)}
        write_line(encode(record) + b"\n")
    else:
        write("\n".join([*_probe(beat, alive), *_store(kept), *_day(gaps, outcomes)]))
    return FINE


def list_measurements(common: Common, which: Which, *, limit: int, as_json: bool) -> int:
    """List measurements, the newest first."""
    settings = load_settings(common)
    colour, room = wants_colour(sys.stdout), width(sys.stdout)
    with read_store(settings) as store:
        for entry in store.measurements(**which.filter(time.time()), limit=limit):
            if as_json:
                write_line(encode(entry) + b"\n")
            elif entry.verdict is None:
                write(f"{entry.id[:8]}  {moment(entry.started)}  not judged  {clean(entry.url)}")
            else:
                head = f"{entry.id[:8]}  "
                left = room - len(head)
                told = short(entry.started, entry.url, entry.verdict, nettest=entry.nettest, colour=colour, width=left)
                write(head + told)
    return FINE


def show(common: Common, prefix: str, *, as_json: bool, bodies: bool) -> int:
    """Show one measurement with its evidence."""
    from measurements.store import NotFound

    settings = load_settings(common)
    with read_store(settings) as store:
        try:
            row = _judged(settings, store.measurement(prefix))
        except NotFound as error:
            raise Refusal(str(error)) from None
    if as_json:
        write_line(line(row.measurement, row.verdict, bodies=bodies))
    else:
        write(timeline(row.measurement, row.verdict, colour=wants_colour(sys.stdout)))
        if bodies:
            _write_bodies(row)
    return FINE


def export(common: Common, which: Which, *, form: str, output: Path | None) -> int:
    """Write measurements with their verdicts to a file or stdout, the oldest first."""
    write_rows = EXPORTS.get(form)
    if write_rows is None:
        raise Refusal(f"--format {form}: must be one of {', '.join(EXPORTS)}")
    settings = load_settings(common)
    with read_store(settings) as store:
        rows = _rows(settings, store, which)
        if output is None:
            with to_reader() as stdout:
                write_rows(rows, stdout)
            return FINE
        draft = output.with_name(output.name + ".part")
        try:
            with draft.open("wb") as stream:
                draft.chmod(0o600)
                count = write_rows(rows, stream)
            draft.replace(output)
        except OSError as error:
            raise Refusal(f"{output}: cannot be written ({error.strerror})") from None
        finally:
            draft.unlink(missing_ok=True)
    say(f"{plural(count, 'measurement')} written to {output}")
    return FINE


def _rows(settings: Settings, store: Store, which: Which) -> Iterator[Judged]:
    for kept in store.evidence(**which.filter(time.time())):
        yield _judged(settings, kept)


def _judged(settings: Settings, kept: Kept) -> Judged:
    """Take the stored verdict, or judge what was never judged."""
    if kept.verdict is not None:
        return Judged(kept.measurement, kept.verdict)
    from probe.measuring import judge_carefully

    judge = judge_with(settings)
    return Judged(kept.measurement, judge_carefully(lambda fact: judge(fact, ()), kept.measurement))


def _write_bodies(row: Judged) -> None:
    for step in row.measurement.observations:
        body = getattr(step, "body", b"")
        if body:
            write(f"\nbody of step {step.id}, {size(len(body))}:")
            write("\n".join(clean(text, 2000) for text in body.decode("utf-8", "replace").splitlines()))


def _probe(beat: Heartbeat | None, alive: bool) -> list[str]:
    if beat is None:
        return ["probe    never ran here: start it with `wazi run`"]
    state = "running" if alive else f"not running, last seen {moment(beat.alive)}"
    lines = [f"probe    {state}; {plural(beat.measured, 'measurement')} since {moment(beat.started)}"]
    lines.append(f"today    {size(beat.spent)} of {size(beat.budget)} spent when last seen")
    for campaign in beat.campaigns:
        last = moment(campaign.last_run) if campaign.last_run else "never"
        due = f", next run {moment(campaign.next_run)}" if campaign.next_run and alive else ""
        lines.append(f"campaign {clean(campaign.name)}: {plural(campaign.targets, 'target')}, last run {last}{due}")
    return lines


def _store(health: Health) -> list[str]:
    free = f", {size(health.free)} free" if health.free is not None else ""
    first = f" from {moment(health.first)} to {moment(health.last)}" if health.first and health.last else ""
    lines = [f"store    {plural(health.measurements, 'measurement')}{first}; {size(health.size)}{free}"]
    lines.append(f"         {health.place}")
    return lines


def _day(gaps: list[Gap], outcomes: dict[Outcome | None, int]) -> list[str]:
    counted = ", ".join(f"{number} {name}" for name, number in _counts(outcomes).items()) or "nothing measured"
    lines = [f"24 hours {counted}"]
    for gap in gaps[-8:]:
        lines.append(f"gap      {moment(gap.since)} to {moment(gap.until)}, {clean(gap.why)}: {clean(gap.detail)}")
    return lines


def _counts(outcomes: dict[Outcome | None, int]) -> dict[str, int]:
    return {str(outcome or "not judged"): number for outcome, number in outcomes.items()}


def _outcome(text: str | None) -> Outcome | None:
    if text is None:
        return None
    try:
        return Outcome(text)
    except ValueError:
        raise Refusal(f"--outcome {text}: must be one of {', '.join(Outcome)}") from None


def _target(text: str | None) -> str | None:
    """Write a target as the store has it: a URL in its normal form, or a host."""
    from measurements.targets import BadTarget, normalise, normalise_host

    if text is None:
        return None
    try:
        return normalise(text).url if "://" in text else normalise_host(text)
    except BadTarget as error:
        raise Refusal(f"--target: {error}") from None


def _moment(text: str | None, now: float, flag: str) -> float | None:
    """Read a moment: a date, a date and time (UTC unless it says otherwise), or how long ago."""
    from probe.settings.quantities import duration

    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except ValueError:
        pass
    try:
        return now - duration(text)
    except ValueError:
        example = "write a date such as 2026-11-23, a time such as 2026-11-23T08:00, or how long ago such as 24h"
        raise Refusal(f"{flag} {text}: {example}") from None


def show_config(common: Common, *, as_json: bool) -> int:
    """Show every setting and where it was written."""
    settings = load_settings(common)
    for row in settings.shown():
        if as_json:
            write_line(encode(asdict(row)) + b"\n")
        else:
            index = "" if row.index is None else f"[{row.index}]"
            write(f"{row.section}{index}.{row.key} = {row.value}   ({row.origin})")
    return FINE


def check_config(common: Common) -> int:
    """Check all settings and what they name."""
    settings = load_settings(common)
    for remark in settings.remarks:
        say(remark)
    campaigns = settings.campaigns
    targets = plural(sum(len(campaign.targets) for campaign in campaigns), "target")
    write(f"the settings are fine: {plural(len(campaigns), 'campaign')} with {targets}")
    return FINE


def upgrade_store(common: Common) -> int:
    """Bring the store's tables up to date."""
    from measurements.store import StoreError, upgrade

    settings = load_settings(common)
    try:
        before, after = upgrade(settings.store.url)
    except StoreError as error:
        raise Refusal(str(error)) from None
    write(f"the store was up to date (version {after})" if before == after else f"the store is at version {after} now")
    return FINE
