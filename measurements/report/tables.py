"""The tables of the report: the witnesses, one line each, and the timeline in words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from measurements.commitments import removals
from measurements.dossier import Dossier, thin
from measurements.events.outages import OUTAGE
from measurements.evidence.canonical import record_digest
from measurements.model import Measurement, Outcome, Proof
from measurements.printable import clean
from measurements.report.headlines import network
from measurements.report.language import Language, forms, mark
from measurements.report.rows import Row, Rows
from measurements.report.story import rest, span
from measurements.report.words import CONFIDENCES, GAPS, OUTCOMES, PLACES, PROOF_NAMES, REASONS
from measurements.store.records import Kept

MOST_WITNESSES, MOST_ACCESSES = 30, 16
MOST_LOST = 12
_URL, _WORD = 160, 60

REDACTED = {
    "address": mark("addresses of the volunteer"),
    "client": mark("what names the volunteer’s computer"),
    "cookie": mark("cookies"),
    "network": mark("names of networks"),
    "router": mark("routers near the volunteer"),
    "name": mark("names"),
}


class Witness(NamedTuple):
    """One measurement, in words."""

    time: str
    target: str
    network: str
    probe: str
    outcome: str
    mechanism: str
    where: str
    sure: str
    id: str
    digest: str
    link: str


class Stretch(NamedTuple):
    """A row of the timeline in words."""

    name: str
    where: str
    began: str
    ended: str
    against: str


def witnesses(kept: Sequence[Kept], language: Language, address: str, most: int) -> tuple[Witness, ...]:
    """Write measurements as lines; `address` is where people can see them, empty when nowhere."""
    return tuple(_witness(one, language, address) for one in thin(kept, most))


def _witness(kept: Kept, language: Language, address: str) -> Witness:
    fact, verdict = kept.measurement, kept.verdict
    vantage = fact.vantage
    country = f", {clean(vantage.country, _WORD)}" if vantage.country else ""
    identity = clean(fact.id, _WORD)
    said = language.say("not judged")
    mechanism = where = sure = ""
    if verdict is not None:
        said = language.say(OUTCOMES[verdict.outcome])
        mechanism = verdict.mechanism.value if verdict.mechanism else ""
        if verdict.reason:
            why = language.say(REASONS[verdict.reason]) if verdict.reason in REASONS else clean(verdict.reason, _WORD)
            said = language.say("%(outcome)s (%(why)s)", outcome=said, why=why)
        where = language.say(PLACES[verdict.where]) if verdict.where else ""
        sure = language.say(CONFIDENCES[verdict.confidence.value]) if verdict.confidence else ""
        proof: Proof | None = verdict.findings[0].proof if verdict.findings else None
        if proof is not None and verdict.outcome is not Outcome.ACCESSIBLE:
            sure = (
                language.say("%(sure)s: %(proof)s", sure=sure, proof=language.say(PROOF_NAMES[proof])) if sure else ""
            )
    return Witness(
        time=language.iso(fact.started),
        target=clean(fact.target.url, _URL),
        network=network(vantage.asn or 0) + country,
        probe=clean(vantage.probe_id, 40),
        outcome=said,
        mechanism=mechanism,
        where=where,
        sure=sure,
        id=identity,
        digest=_digest(fact),
        link=f"{address}/measurements/{identity}" if address else "",
    )


def _digest(measurement: Measurement) -> str:
    try:
        return record_digest(measurement)
    except ValueError:  # a foreign record may hold text that has no canonical form
        return ""


def stretches(rows: Rows, language: Language) -> tuple[Stretch, ...]:
    """Say each row of the timeline in words."""
    return tuple(_stretch(row, rows, language) for row in rows.rows)


def _stretch(row: Row, rows: Rows, language: Language) -> Stretch:
    nothing = "\N{EN DASH}"
    since = row.onset[1] if row.onset else rows.since
    until = row.end[0] if row.end else rows.until
    against, total = row.tally(since, until)
    began = ended = nothing
    if row.onset:
        began = span(row.onset, language)
        ended = span(row.end, language) if row.end else language.say("not over")
    said = language.say("%(against)s of %(all)s", against=against, all=total) if total else nothing
    return Stretch(row.name, row.where, began, ended, said)


def left_out(dossier: Dossier, language: Language) -> Iterator[str]:
    """Say what is not on the page, so that it never looks complete when it is not."""
    hidden = dossier.left_out
    more = max(0, len(dossier.witnesses) - MOST_WITNESSES) + hidden.witnesses
    if more:
        yield language.count(
            "%(number)s more witness is in the store and not shown here.",
            "%(number)s more witnesses are in the store and not shown here.",
            more,
        )
    others = max(0, len(dossier.accesses) - MOST_ACCESSES) + hidden.accesses
    if others:
        yield language.count(
            "%(number)s more measurement in which the site could be reached is in the store and not shown here.",
            "%(number)s more measurements in which a site could be reached are in the store and not shown here.",
            others,
        )
    for ids, (one, many) in (
        (
            dossier.lost,
            forms(
                "%(number)s witness is no longer kept: %(ids)s.", "%(number)s witnesses are no longer kept: %(ids)s."
            ),
        ),
        (
            dossier.damaged,
            forms("%(number)s witness cannot be read: %(ids)s.", "%(number)s witnesses cannot be read: %(ids)s."),
        ),
    ):
        if ids:
            named = [clean(one_id, 40) for one_id in ids[:MOST_LOST]]
            shown = " ".join(filter(None, (", ".join(named), rest(len(ids) - MOST_LOST, language))))
            yield language.count(one, many, len(ids), ids=shown)
    if hidden.targets:
        yield language.count(
            "%(number)s more site is part of this event and was not looked at for this page.",
            "%(number)s more sites are part of this event and were not looked at for this page.",
            hidden.targets,
        )


def hours(dossier: Dossier, language: Language) -> Iterator[str]:
    """Say when nobody looked, by reason; an outage is no such time."""
    lengths: Counter[str] = Counter()
    counts: Counter[str] = Counter()
    for gap in dossier.gaps:
        if gap.why == OUTAGE:
            continue  # somebody looked, and nothing answered
        why = language.say(GAPS[gap.why]) if gap.why in GAPS else _reason(gap.why, language)
        since, until = max(gap.since, dossier.since), min(gap.until, dossier.until)
        lengths[why] += max(0, round(until - since))
        counts[why] += 1
    for why, seconds in lengths.most_common(6):
        yield language.say("%(why)s: %(time)s in all", why=why, time=language.duration(seconds))


def _reason(word: str, language: Language) -> str:
    return language.say(REASONS[word]) if word in REASONS else clean(word, _WORD)


def redactions(kept: Iterable[Kept], language: Language) -> Iterator[str]:
    """Say what was taken out of the witnesses before they were kept."""
    kinds = Counter(removal.kind for one in kept for removal in removals(one.measurement.redacted))
    for kind, number in kinds.most_common(12):
        name = language.say(REDACTED[kind]) if kind in REDACTED else clean(kind, _WORD)
        yield language.count("%(what)s, in %(number)s place", "%(what)s, in %(number)s places", number, what=name)


def versions(dossier: Dossier) -> tuple[str, str, str]:
    """Return the versions of the rules, of the detector and of the software that the page rests on."""
    kept = (*dossier.witnesses, *dossier.accesses)
    rules = sorted({one.verdict.rules_version for one in kept if one.verdict is not None})
    software = sorted({clean(one.measurement.software, 80) for one in kept if one.measurement.software})
    return ", ".join(map(str, rules)), str(dossier.event.detector_version), "; ".join(software[:4])
