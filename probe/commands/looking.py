"""The commands that look, and measure nothing.

`wazi status`, `list` and `show` tell what runs, what was measured and on what a verdict rests;
`config show` and `config check` tell the settings. Only `store upgrade` changes something.
"""

from __future__ import annotations

import sys
import time
from dataclasses import asdict
from typing import TYPE_CHECKING

from msgspec.structs import replace

from measurements.exports.jsonl import line
from measurements.model import Gap, Outcome, encode
from measurements.printable import clean, plural
from probe.commands.building import data_folder, load_settings, read_store, remarks
from probe.commands.chaining import states
from probe.commands.chaining import told as about_chains
from probe.commands.console import FINE, FOUND, Common, Refusal, say, wants_colour, width, write, write_line
from probe.commands.exporting import judged
from probe.commands.standing import standing
from probe.commands.which import Which
from probe.heartbeat import Heartbeat, HeartbeatFile
from probe.present import moment, short, timeline
from probe.silence import SHORTEST
from probe.wording import size

if TYPE_CHECKING:
    from measurements.exports.judged import Judged
    from measurements.store import Health

NEARLY_FULL = 500_000_000  # bytes that are free
LOOK_BACK = 86_400.0  # seconds of gaps and outcomes that `status` tells


def status(common: Common, *, as_json: bool, health: bool) -> int:
    """Tell what runs and how the store is; with `health` only whether the probe is alive."""
    from probe.alerting import alert_lines, alert_records

    settings = load_settings(common)
    heart = HeartbeatFile(data_folder(settings))
    beat, alive = heart.read(), heart.is_alive(time.time())
    if health:
        if not alive:
            say("the probe gave no sign of life" if beat is None else f"no sign of life since {moment(beat.alive)}")
        return FINE if alive else FOUND
    with read_store(settings) as store:
        now = time.time()
        access, told = standing(store, settings)
        hooks = store.deliveries.states()
        chains = states(store, settings)
        kept, outcomes = store.health(), store.outcomes(since=now - LOOK_BACK)
        gaps = [*store.gaps(since=now - LOOK_BACK), *going_on(beat, alive, now)]
    if as_json:
        record = {
            "alive": alive,
            "probe": beat,
            "store": kept,
            "gaps": gaps,
            "outcomes": _counts(outcomes),
            "events": access,
            "alerts": alert_records(settings.alerts, hooks),
            "chains": chains,
        }
        write_line(encode(record) + b"\n")
    else:
        write(
            "\n".join(
                [
                    *_probe(beat, alive),
                    *_store(kept),
                    *about_chains(chains),
                    *_day(gaps, outcomes),
                    *told,
                    *alert_lines(settings.alerts, hooks),
                ]
            )
        )
    return FINE


def list_measurements(common: Common, which: Which, *, limit: int, as_json: bool) -> int:
    """List measurements, the newest first."""
    settings = load_settings(common)
    colour, room = wants_colour(sys.stdout), width(sys.stdout)
    heart = HeartbeatFile(data_folder(settings))
    with read_store(settings) as store:
        now = time.time()
        wanted = which.filter(now)
        gaps: list[Gap] = []
        if wanted.outcome is None and not as_json:
            known = [*store.gaps(since=wanted.since), *going_on(heart.read(), heart.is_alive(now), now)]
            gaps = sorted(known, key=lambda gap: gap.until)  # the newest is taken first
            gaps = [gap for gap in gaps if wanted.until is None or gap.since < wanted.until]
        for entry in store.measurements(
            target=wanted.target, outcome=wanted.outcome, since=wanted.since, until=wanted.until, limit=limit
        ):
            while gaps and gaps[-1].until >= entry.started:
                write(gap_line(gaps.pop()))
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


def going_on(beat: Heartbeat | None, alive: bool, now: float) -> list[Gap]:
    """Return the gaps that go on: what a probe that lives waits for, or that one gives no sign of life."""
    if beat is None:
        return []
    if alive:
        return [replace(gap, until=now) for gap in beat.open_gaps]
    if now - beat.alive < SHORTEST:
        return []
    detail = "Wazi was stopped." if not beat.running else "No sign of life: it was killed, or the power failed."
    return [Gap(probe_id=beat.probe_id, since=beat.alive, until=now, why="off", detail=detail)]


def gap_line(gap: Gap) -> str:
    """Write a gap for people."""
    return f"gap      {moment(gap.since)} to {moment(gap.until)}, {clean(gap.why)}: {clean(gap.detail)}"


def show(common: Common, prefix: str, *, as_json: bool, bodies: bool) -> int:
    """Show one measurement with its evidence."""
    from measurements.store import NotFound

    settings = load_settings(common)
    with read_store(settings) as store:
        try:
            row = judged(settings)(store.measurement(prefix))
        except NotFound as error:
            raise Refusal(str(error)) from None
    if as_json:
        write_line(line(row.measurement, row.verdict, bodies=bodies))
    else:
        write(timeline(row.measurement, row.verdict, colour=wants_colour(sys.stdout)))
        if bodies:
            _write_bodies(row)
    return FINE


def _write_bodies(row: Judged) -> None:
    for step in row.measurement.observations:
        body = getattr(step, "body", b"")
        if body:
            write(f"\nbody of step {step.id}, {size(len(body))}:")
            write("\n".join(clean(text, 2000) for text in body.decode("utf-8", "replace").splitlines()))


def _probe(beat: Heartbeat | None, alive: bool) -> list[str]:
    from probe.settings.quantities import show_duration

    if beat is None:
        return ["probe    never ran here: start it with `wazi run`"]
    state = "running" if alive else f"not running, last seen {moment(beat.alive)}"
    lines = [f"probe    {state}; {plural(beat.measured, 'measurement')} since {moment(beat.started)}"]
    lines.append(f"today    {size(beat.spent)} of {size(beat.budget)} spent when last seen")
    if beat.settings is not None and beat.settings.refused:
        lines.append(f"settings those of {moment(beat.settings.read)}; newer ones were refused:")
        lines += [f"         {clean(problem, 500)}" for problem in beat.settings.refused.splitlines()[:5]]
    lines += [f"settings {clean(sentence)}" for sentence in (beat.settings.waiting if beat.settings else ())]
    if beat.asked_again or beat.waiting:
        waiting = f", {beat.waiting} more when there is room" if beat.waiting else ""
        lines.append(f"finds    {plural(beat.asked_again, 'target')} asked again until confirmed or cleared{waiting}")
    for campaign in beat.campaigns:
        last = moment(campaign.last_run) if campaign.last_run else "never"
        due = f", next run {moment(campaign.next_run)}" if campaign.next_run and alive else ""
        lines.append(f"campaign {clean(campaign.name)}: {plural(campaign.targets, 'target')}, last run {last}{due}")
        if campaign.moment is not None:
            told = f"every {show_duration(campaign.moment.every)} until {moment(campaign.moment.until)}"
            lines.append(f"         in a moment that matters: {told}")
        if (coming := campaign.next_moment) is not None:
            what = f"{plural(coming.targets, 'target')} every {show_duration(coming.every)}"
            lines.append(f"         next moment {moment(coming.since)} to {moment(coming.until)}: {what}")
    return lines


def _store(health: Health) -> list[str]:
    free = f", {size(health.free)} free" if health.free is not None else ""
    first = f" from {moment(health.first)} to {moment(health.last)}" if health.first and health.last else ""
    lines = [f"store    {plural(health.measurements, 'measurement')}{first}; {size(health.size)}{free}"]
    lines.append(f"         {health.place}")
    if health.free is not None and health.free < NEARLY_FULL:
        lines.append("         the disk is nearly full: [store] keep_size limits what is kept (`wazi store stats`)")
    return lines


def _day(gaps: list[Gap], outcomes: dict[Outcome | None, int]) -> list[str]:
    counted = ", ".join(f"{number} {name}" for name, number in _counts(outcomes).items()) or "nothing measured"
    lines = [f"24 hours {counted}"]
    for gap in gaps[-8:]:
        lines.append(gap_line(gap))
    return lines


def _counts(outcomes: dict[Outcome | None, int]) -> dict[str, int]:
    return {str(outcome or "not judged"): number for outcome, number in outcomes.items()}


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
    """Check all settings and what they name, and say what moments will cost."""
    from probe.settings.moments import estimates

    settings = load_settings(common)
    for remark in remarks(settings):
        say(remark)
    campaigns = settings.campaigns
    for estimate in estimates(campaigns, time.time()):
        write(estimate)
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
