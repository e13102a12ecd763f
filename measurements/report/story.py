"""What an event says, as a page tells it: a headline exactly as sure as the event is, where, when, and how surely.

All of it is rebuilt from the event's fields, so that it can be said in any language; it never says who ordered it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, tzinfo
from typing import NamedTuple

from measurements.dossier import Dossier
from measurements.events.nouns import Bracket, Event, Kind, Status
from measurements.model import Strength
from measurements.printable import clean
from measurements.report.headlines import headline, network, networks
from measurements.report.language import Language, zone_of
from measurements.report.words import HELD, KINDS, MECHANISMS, NOTES, STATUSES

MOST_LISTED = 24
MOST_TOLD = 30  # versions
_NAME, _WORD = 120, 60  # characters of a foreign text
NO_BREAK = "\N{NO-BREAK SPACE}"

_UNSEEN = re.compile(r"Nothing was seen for (\d+) minutes of it: the probe did not run\.")


class Said(NamedTuple):
    """A note: in the reader's language, or else quoted as it is, in English."""

    text: str
    quoted: bool = False


class When(NamedTuple):
    """A line about time: in UTC, and on the country's own clock where that is known."""

    utc: str
    local: str = ""


class Version(NamedTuple):
    """What the event said once."""

    time: str
    status: str
    headline: str
    why: str


class Story(NamedTuple):
    """The head of an event's page."""

    id: str
    status: str  # the word itself, for colour and shape
    badge: str
    kind: str
    headline: str
    sure: str
    notes: tuple[Said, ...]
    sites: tuple[str, ...]
    more_sites: str
    networks: str
    began: When
    ended: When
    lasted: str
    how: tuple[tuple[str, str, str], ...]  # (what happens, the mechanism's own word, since when)
    versions: tuple[Version, ...]
    more_versions: str


def tell(dossier: Dossier, language: Language) -> Story:
    """Tell an event in a language."""
    event = dossier.event
    zone = _zone(event)
    versions = dossier.versions[-MOST_TOLD:]
    hidden = dossier.left_out.versions + len(dossier.versions) - len(versions)
    return Story(
        id=clean(event.id, _WORD),
        status=event.status.value,
        badge=language.say(STATUSES[event.status]),
        kind=language.say(KINDS[event.kind]),
        headline=headline(event, language),
        sure=how_sure(event, language),
        notes=tuple(notes(event, language)),
        sites=tuple(clean(target, _NAME) for target in event.targets[:MOST_LISTED]),
        more_sites=rest(len(event.targets) - MOST_LISTED, language),
        networks=language.listed([network(asn) for asn in event.asns], 12) or language.say("not known"),
        began=_when(event.onset, zone, language),
        ended=_ended(dossier, zone, language),
        lasted=lasted(dossier, language),
        how=tuple(_how(event, language)),
        versions=tuple(_version(time, said, language) for time, said in versions),
        more_versions=rest(hidden, language),
    )


def how_sure(event: Event, language: Language) -> str:
    """Say how sure this is, and why it is not surer."""
    why = reason(event, language)
    if event.status is Status.WITHDRAWN:
        return language.say("This is not a finding any more. %(why)s", why=why).strip()
    if event.kind is Kind.OUTAGE:
        if event.confirmed is None:
            return language.say("Not confirmed: one look at the network failed, which a moment’s weakness can cause.")
        return language.say("Confirmed: at least two looks at the network, one after the other, reached nothing.")
    if event.status is Status.CONFIRMED and event.kind in (Kind.UNREACHABLE, Kind.BLIND):
        return language.say(
            "Confirmed on %(time)s UTC that it is so, not why: the measurements are enough to keep the promise on "
            "false alarms.",
            time=language.moment(event.confirmed or event.updated),
        )
    if event.status is Status.CONFIRMED:
        return language.say(
            "Confirmed on %(time)s UTC: the measurements are enough to keep the promise on false alarms, and nothing "
            "points to a faulty line, site or program.",
            time=language.moment(event.confirmed or event.updated),
        )
    if event.status is Status.CLOSED and event.confirmed is not None:
        return language.say(
            "It was confirmed on %(time)s UTC, and is over. %(why)s",
            time=language.moment(event.confirmed),
            why=why,
        ).strip()
    if event.status is Status.CLOSED:
        return language.say("It was never confirmed. %(why)s", why=why).strip()
    return language.say("Not confirmed: this may be a false alarm. %(why)s", why=why).strip()


def reason(event: Event, language: Language) -> str:
    """Say why an event is held back, closed or withdrawn."""
    return language.say(HELD[event.reason]) if event.reason in HELD else ""


def notes(event: Event, language: Language) -> Iterator[Said]:
    """Say the event's notes again, from its fields where that can be; what is only text is quoted."""
    if "together" in event.layers:
        yield Said(
            language.count(
                "%(number)s unrelated service stopped answering at once while harmless sites answered.",
                "%(number)s unrelated services stopped answering at once while harmless sites answered; which of them "
                "were meant, and why they stopped, is not settled.",
                len(event.parts),
            )
        )
    reported = any(part.strength is Strength.REPORTED for part in event.parts)
    if event.kind is Kind.UNREACHABLE:
        yield Said(language.say("That a site cannot be reached accuses nobody: it may be the site’s own doing."))
    for note in event.notes:
        if note == HELD.get(event.reason) or (note.endswith("is not settled.") and "together" in event.layers):
            continue  # said already
        if match := _UNSEEN.fullmatch(note):
            minutes = int(match[1])
            yield Said(
                language.count(
                    "For %(number)s minute of it nothing was seen: the probe did not run.",
                    "For %(number)s minutes of it nothing was seen: the probe did not run.",
                    minutes,
                )
            )
        elif note in NOTES or note in HELD.values():
            reported = reported and note != NOTES[1]
            yield Said(language.say(note))
        else:
            yield Said(clean(note, 1000), quoted=True)
    if reported:
        yield Said(language.say(NOTES[1]))
    if event.into:
        yield Said(language.say("It is part of event %(id)s now.", id=clean(event.into, _WORD)))


def lasted(dossier: Dossier, language: Language) -> str:
    """Say how long it lasted, as far as the brackets tell."""
    event = dossier.event
    if event.end is None:
        least = max(event.updated, dossier.seen) - event.onset[1]
        if event.status is Status.WITHDRAWN or least < 60.0:
            return ""
        return language.say("at least %(time)s so far", time=language.duration(least))
    least, most = event.end[0] - event.onset[1], event.end[1] - event.onset[0]
    if least < 60.0:
        return language.say("at most %(time)s", time=language.duration(most))
    if language.duration(least) == language.duration(most):
        return language.duration(most)
    return language.say("%(least)s to %(most)s", least=language.duration(least), most=language.duration(most))


def span(bracket: Bracket, language: Language) -> str:
    """Write a bracket for a column: 2026-10-30 12:00–13:00."""
    start, end = (language.iso(time) for time in bracket)
    day = start[: len("2026-10-30 ")]
    if start == end:
        return start.replace(" ", NO_BREAK)
    if end.startswith(day):
        return f"{start}\N{EN DASH}{end.removeprefix(day)}".replace(" ", NO_BREAK)
    return f"{start.replace(' ', NO_BREAK)} \N{EN DASH} {end.replace(' ', NO_BREAK)}"


def rest(number: int, language: Language) -> str:
    """Say how many more there are; nothing when there are none."""
    return language.count("and %(number)s more", "and %(number)s more", number) if number > 0 else ""


def _zone(event: Event) -> tzinfo | None:
    times = [time for bracket in (event.onset, event.end) if bracket for time in bracket]
    return zone_of(event.countries[0], times) if len(event.countries) == 1 else None


def _when(bracket: Bracket, zone: tzinfo | None, language: Language) -> When:
    utc = language.say("%(time)s (UTC)", time=language.between(bracket))
    if zone is None or zone is UTC:
        return When(utc)
    return When(utc, language.say("%(time)s, local time", time=language.between(bracket, zone)))


def _ended(dossier: Dossier, zone: tzinfo | None, language: Language) -> When:
    event = dossier.event
    if event.end is not None:
        return _when(event.end, zone, language)
    if not event.is_open:
        return When(language.say("not known"))
    seen = language.moment(max(event.updated, dossier.seen))
    return When(language.say("not over at the last measurement: %(time)s (UTC)", time=seen))


def _how(event: Event, language: Language) -> Iterator[tuple[str, str, str]]:
    for name, since in event.mechanisms:
        word = clean(name, _WORD)
        told = next((language.say(text) for mechanism, text in MECHANISMS.items() if mechanism.value == name), word)
        yield told, word, language.say("first seen on %(time)s UTC", time=language.moment(since))


def _version(time: float, said: Event, language: Language) -> Version:
    return Version(
        language.iso(time), language.say(STATUSES[said.status]), headline(said, language), reason(said, language)
    )


def promise(false_alarms_per_week: float, language: Language) -> str:
    """Say what a rate of false alarms means."""
    rate = false_alarms_per_week
    if rate == 1:
        return language.say("Over everything that is watched, one false alarm a week on average is allowed.")
    return language.say(
        "Over everything that is watched, %(rate)s false alarms a week on average are allowed.",
        rate=language.number(rate, 3),
    )


def numbers(event: Event, language: Language) -> Iterator[str]:
    """Say what was counted, and what that is worth."""
    if not event.votes:
        return
    yield language.count(
        "%(blocked)s of %(number)s vote since it began speaks against access.",
        "%(blocked)s of %(number)s votes since it began speak against access.",
        event.votes,
        blocked=event.blocked,
    )
    yield language.count(
        "They are from %(number)s probe, on %(networks)s.",
        "They are from %(number)s probes, on %(networks)s.",
        event.probe_count,
        networks=networks(len(event.asns), language),
    )
    odds = language.odds(event.log_evidence)
    yield language.say(
        "Weighed together, these votes are %(odds)s likelier if access changed than if it did not; %(needed)s are "
        "needed. This ratio is not the odds of censorship: how likely a block was before anybody looked, and whether "
        "it is meant, is not in it. Nobody should write that it is “%(odds)s likelier” to be censored.",
        odds=odds,
        needed=language.odds(event.threshold),
    )
    yield promise(event.false_alarms_per_week, language)


def overview(dossiers: Sequence[Dossier], language: Language) -> Iterable[tuple[str, str, str, str, str]]:
    """Return a row an event: its id, status word, badge, headline, and when."""
    for dossier in dossiers:
        event = dossier.event
        began = span(event.onset, language)
        yield (
            clean(event.id, _WORD),
            event.status.value,
            language.say(STATUSES[event.status]),
            headline(event, language),
            began,
        )
