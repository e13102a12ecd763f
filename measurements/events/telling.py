"""A group of spells as an event: its parts, its bounds, and its sentence.

The sentence says what, where and since when, and never who: "Facebook, X and WhatsApp" are hosts here, because that is
what was asked for.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

import msgspec

from measurements.events.grouping import Entry
from measurements.events.nouns import Bracket, Event, Kind, Part, Standing, Status
from measurements.events.spells import MOST_NAMES, MOST_PROBES, MOST_WITNESSES, Place, Spell
from measurements.events.together import Outbreak, Struck
from measurements.model import Mechanism, Strength

_WEIGHT = (Kind.ALLOWLIST, Kind.BLOCKING, Kind.THROTTLING, Kind.BLIND, Kind.UNREACHABLE)
_VERBS = {
    Kind.BLOCKING: "blocked",
    Kind.THROTTLING: "throttled",
    Kind.UNREACHABLE: "unreachable",
    Kind.BLIND: "measured in vain",
    Kind.ALLOWLIST: "out of reach, as is all but what is domestic",
    Kind.OUTAGE: "offline",
}
HELD = {
    "evidence": "The votes are not yet enough to keep the promise on false alarms.",
    "one_line": "Only one line saw it, and for less than three hours.",
    "elsewhere": "The same target changed in two or more other countries at about the time, which points to the site.",
    "placebo": "Harmless sites raise alarms too, which points to the network or to the measurement.",
    "software": "All votes against access come from one version of the software, and another sees access.",
}
_TOGETHER = (
    "{} unrelated services stopped answering at once while harmless sites answered; which of them were meant, and why "
    "they stopped, is not settled."
)
CLOSED = {
    "ended": "Access is as before.",
    "cleared": "Later votes spoke against it, before it was sure.",
}


def tell(entries: Sequence[Entry], confirmed: float | None, held: str, false_alarms_per_week: float) -> Event:
    """Return the event that spells make together; `held` is the word for what holds it back."""
    ranked = sorted(entries, key=lambda entry: entry.rank)
    spells = [entry.spell for entry in ranked]
    parts = _parts(ranked)
    sure = [part for part in parts if part.standing in (Standing.BLOCKED, Standing.ENDED)]
    told = sure or parts
    best = max(told, key=lambda part: part.log_evidence)
    onset = min((part.onset for part in told), key=lambda bracket: (bracket[1], bracket[0]))
    is_over = all(spell.is_over for spell in spells)
    end = max((part.end for part in sure if part.end), key=lambda bracket: (bracket[1], bracket[0]), default=None)
    status, reason = _status(is_over, bool(sure), confirmed, held)
    lines = _earliest(item for spell in spells for item in spell.lines.items())
    event = Event(
        id=ranked[0].id,
        kind=_kind(ranked, sure_only=bool(sure)),
        status=status,
        reason=reason,
        notes=tuple(_notes(status, reason, held, told, spells)),
        countries=tuple(sorted({part.country for part in told} - {""})),
        asns=tuple(sorted({part.asn for part in told} - {0})),
        targets=tuple(dict.fromkeys(part.target for part in told)),
        layers=tuple(sorted({part.layer for part in told})),
        onset=onset,
        end=end if is_over else None,
        mechanisms=tuple(_earliest(item for spell in spells for item in spell.mechanisms)[:MOST_NAMES]),
        log_evidence=best.log_evidence,
        blocked=sum(part.blocked for part in parts),
        votes=sum(part.votes for part in parts),
        probe_count=max(len(lines), *(part.probes for part in parts)),
        probes=tuple(probe for probe, _ in lines[:MOST_PROBES]),
        witnesses=tuple(dict.fromkeys(one for spell in spells for one in spell.witnesses))[:MOST_WITNESSES],
        p0=best.p0,
        p1=best.p1,
        follow=best.follow,
        threshold=best.threshold,
        false_alarms_per_week=false_alarms_per_week,
        parts=tuple(parts),
        opened=min(spell.seen for spell in spells if spell.seen is not None),
        confirmed=confirmed,
        updated=max([spell.touched for spell in spells] + [time for time in (confirmed,) if time is not None]),
    )
    return msgspec.structs.replace(event, summary=summary(event))


def tell_together(
    id: str, place: Place, spell: Spell, outbreaks: Sequence[Outbreak], standing: tuple[float | None, str, float]
) -> Event:
    """Return the event of sites that failed together in a network.

    `standing` is when it was confirmed, what holds it back, and the false alarms a week that were promised.
    """
    confirmed, held, false_alarms_per_week = standing
    struck: dict[str, list[Struck]] = {}
    for outbreak in outbreaks:
        for one in outbreak.sites.values():
            struck.setdefault(one.target, []).append(one)
    like = spell.part(place)
    parts = [
        msgspec.structs.replace(
            like,
            target=target,
            onset=(min(one.worked for one in ones), max(one.failed for one in ones)),
            blocked=sum(one.hours for one in ones),
            votes=sum(one.hours for one in ones),
            probes=len(ones),
        )
        for target, ones in sorted(struck.items())
    ]
    status, reason = _status(spell.is_over, True, confirmed, held)
    event = Event(
        id=id,
        kind=Kind.UNREACHABLE,
        status=status,
        reason=reason,
        notes=(_TOGETHER.format(len(parts)), *_notes(status, reason, held, parts, [spell])),
        countries=tuple(filter(None, (place.country,))),
        asns=tuple(filter(None, (place.asn,))),
        targets=tuple(sorted(struck)),
        layers=(place.layer,),
        onset=(min(part.onset[0] for part in parts), max(part.onset[1] for part in parts)),
        end=spell.end,
        log_evidence=spell.log_evidence,
        blocked=spell.blocked,
        votes=spell.votes,
        probe_count=spell.probes,
        probes=tuple(spell.lines),
        witnesses=tuple(dict.fromkeys(one.witness for ones in struck.values() for one in ones))[:MOST_WITNESSES],
        p0=spell.p0,
        p1=spell.p1,
        threshold=spell.threshold,
        false_alarms_per_week=false_alarms_per_week,
        parts=tuple(parts),
        opened=spell.crossed or spell.first,
        confirmed=confirmed,
        updated=max(filter(None, (spell.touched, confirmed))),
    )
    return msgspec.structs.replace(event, summary=summary(event))


def summary(event: Event) -> str:
    """Say an event in one sentence: what, where, since when, and how sure."""
    when = f"since {between(event.onset)}"
    if event.end is not None:
        when = f"begun {between(event.onset)}, ended {between(event.end)}"
    sure = {
        Status.UNCONFIRMED: " (not confirmed)",
        Status.CLOSED: "" if event.confirmed is not None else " (never confirmed)",
    }
    return f"{claim(event)}, {when}{sure.get(event.status, '')}"


def claim(event: Event, most: int = 4) -> str:
    """Say what changed and where, without a time; `most` is how many targets are named."""
    names = listed([_host(target) for target in event.targets] or ["a probe"], most)
    return f"{names} {_VERBS[event.kind]}{_where(event)}"


def between(bracket: Bracket) -> str:
    """Say a bracket: "between 05:24 and 05:46 UTC on 2026-11-25", as short as it can be."""
    start, end = (datetime.fromtimestamp(time, UTC) for time in bracket)
    if start.strftime("%Y-%m-%d %H:%M") == end.strftime("%Y-%m-%d %H:%M"):
        return f"{end:%Y-%m-%d %H:%M} UTC"
    if start.date() == end.date():
        return f"between {start:%H:%M} and {end:%H:%M} UTC on {end:%Y-%m-%d}"
    return f"between {start:%Y-%m-%d %H:%M} and {end:%Y-%m-%d %H:%M} UTC"


def listed(names: Sequence[str], most: int = 4) -> str:
    """Join names as a sentence has them."""
    if len(names) > most:
        names = [*names[: most - 1], f"{len(names) - most + 1} more targets"]
    return " and ".join([part for part in (", ".join(names[:-1]), names[-1]) if part])


def _where(event: Event) -> str:
    country = f" in {listed(event.countries)}" if event.countries else ""
    if len(event.asns) == 1:
        return f" on AS{event.asns[0]}{country}"
    return f" on {len(event.asns)} networks{country}" if event.asns else country


def _host(target: str) -> str:
    return target.partition("://")[2].partition("/")[0] or target


def _status(is_over: bool, is_sure: bool, confirmed: float | None, held: str) -> tuple[Status, str]:
    if is_over:
        return Status.CLOSED, "ended" if is_sure else "cleared"
    return (Status.UNCONFIRMED, held) if confirmed is None or held else (Status.CONFIRMED, "")


def _notes(status: Status, reason: str, held: str, told: Sequence[Part], spells: Sequence[Spell]) -> Iterable[str]:
    if status is Status.CLOSED:
        yield CLOSED[reason]
    if held and reason != "cleared":
        yield HELD[held]
    if any(spell.open_ended for spell in spells):
        yield "In some cells it began before the first vote; the bracket reaches back to that vote only."
    if any(part.strength is Strength.REPORTED for part in told):
        yield "The votes are from elsewhere; nothing is known here of their proofs."


def _kind(entries: Sequence[Entry], *, sure_only: bool) -> Kind:
    kinds = {_kind_of(entry) for entry in entries if entry.spell.crossed is not None or not sure_only}
    return next(kind for kind in _WEIGHT if kind in kinds)


def _kind_of(entry: Entry) -> Kind:
    if entry.place.layer == "blind":
        return Kind.BLIND
    if entry.spell.strength is Strength.FAILED:
        return Kind.UNREACHABLE
    if entry.place.layer == "network" or any(n == Mechanism.NETWORK_ALLOWLIST for n, _ in entry.spell.mechanisms):
        return Kind.ALLOWLIST
    return Kind.THROTTLING if entry.place.layer == "throttle" else Kind.BLOCKING


def _parts(ranked: Sequence[Entry]) -> list[Part]:
    """Return one part a cell and strength; what a cell did again within the event is added to its first part."""
    parts: dict[tuple[object, Strength], Part] = {}
    for entry in ranked:
        key = (entry.place, entry.spell.strength)
        part = entry.spell.part(entry.place)
        parts[key] = _again(parts[key], part) if key in parts else part
    return list(parts.values())


def _again(first: Part, later: Part) -> Part:
    stronger = max(first, later, key=lambda part: (part.standing is not Standing.CLEARED, part.log_evidence))
    open_one = next((part.standing for part in (later, first) if part.standing is Standing.BLOCKED), None)
    return msgspec.structs.replace(
        stronger,
        standing=open_one or (later.standing if later.standing is not Standing.CLEARED else stronger.standing),
        mechanisms=tuple(_earliest((*first.mechanisms, *later.mechanisms))),
        onset=min(first.onset, later.onset) if first.standing is not Standing.CLEARED else stronger.onset,
        end=later.end or (first.end if later.standing is Standing.CLEARED else None),
        blocked=first.blocked + later.blocked,
        votes=first.votes + later.votes,
        probes=max(first.probes, later.probes),
    )


def _earliest(items: Iterable[tuple[str, float]]) -> list[tuple[str, float]]:
    """Return each name once, with its earliest time, in order of those."""
    times: dict[str, float] = {}
    for name, time in items:
        times[name] = min(time, times.get(name, time))
    return sorted(times.items(), key=lambda item: (item[1], item[0]))
