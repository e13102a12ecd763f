"""An event in one line: what changed and where, exactly as surely as the event says it, and never who ordered it."""

from __future__ import annotations

from collections.abc import Mapping

from measurements.events.nouns import Event, Kind, Status
from measurements.printable import clean
from measurements.report.language import Language, forms

MOST_NAMED = 4
_NAME, _WORD = 120, 60  # characters of a foreign text
UNKNOWN_COUNTRY = "ZZ"  # what ISO 3166 leaves to users, and OONI says where it does not know

Forms = tuple[str, str]
_IS, _SIGNS, _WAS, _WERE_SIGNS, _CLEARED = range(5)

HEADLINES: Mapping[Kind, tuple[Forms, Forms, Forms, Forms, Forms]] = {
    Kind.BLOCKING: (
        forms("%(sites)s is blocked %(place)s", "%(sites)s are blocked %(place)s"),
        forms(
            "Not confirmed: signs that %(sites)s is blocked %(place)s",
            "Not confirmed: signs that %(sites)s are blocked %(place)s",
        ),
        forms("%(sites)s was blocked %(place)s", "%(sites)s were blocked %(place)s"),
        forms(
            "Never confirmed: signs that %(sites)s was blocked %(place)s",
            "Never confirmed: signs that %(sites)s were blocked %(place)s",
        ),
        forms(
            "Not borne out: a suspicion that %(sites)s was blocked %(place)s",
            "Not borne out: a suspicion that %(sites)s were blocked %(place)s",
        ),
    ),
    Kind.THROTTLING: (
        forms("%(sites)s is slowed down %(place)s", "%(sites)s are slowed down %(place)s"),
        forms(
            "Not confirmed: signs that %(sites)s is slowed down %(place)s",
            "Not confirmed: signs that %(sites)s are slowed down %(place)s",
        ),
        forms("%(sites)s was slowed down %(place)s", "%(sites)s were slowed down %(place)s"),
        forms(
            "Never confirmed: signs that %(sites)s was slowed down %(place)s",
            "Never confirmed: signs that %(sites)s were slowed down %(place)s",
        ),
        forms(
            "Not borne out: a suspicion that %(sites)s was slowed down %(place)s",
            "Not borne out: a suspicion that %(sites)s were slowed down %(place)s",
        ),
    ),
    Kind.UNREACHABLE: (
        forms(
            "%(sites)s cannot be reached %(place)s, and why is not settled",
            "%(sites)s cannot be reached %(place)s, and why is not settled",
        ),
        forms(
            "Not confirmed: signs that %(sites)s cannot be reached %(place)s; why is not settled",
            "Not confirmed: signs that %(sites)s cannot be reached %(place)s; why is not settled",
        ),
        forms(
            "%(sites)s could not be reached %(place)s, and why is not settled",
            "%(sites)s could not be reached %(place)s, and why is not settled",
        ),
        forms(
            "Never confirmed: signs that %(sites)s could not be reached %(place)s; why is not settled",
            "Never confirmed: signs that %(sites)s could not be reached %(place)s; why is not settled",
        ),
        forms(
            "Not borne out: a suspicion that %(sites)s could not be reached %(place)s",
            "Not borne out: a suspicion that %(sites)s could not be reached %(place)s",
        ),
    ),
    Kind.BLIND: (
        forms(
            "Measurements of %(sites)s see nothing any more %(place)s",
            "Measurements of %(sites)s see nothing any more %(place)s",
        ),
        forms(
            "Not confirmed: signs that measurements of %(sites)s see nothing any more %(place)s",
            "Not confirmed: signs that measurements of %(sites)s see nothing any more %(place)s",
        ),
        forms(
            "For a time, measurements of %(sites)s saw nothing %(place)s",
            "For a time, measurements of %(sites)s saw nothing %(place)s",
        ),
        forms(
            "Never confirmed: signs that measurements of %(sites)s saw nothing %(place)s",
            "Never confirmed: signs that measurements of %(sites)s saw nothing %(place)s",
        ),
        forms(
            "Not borne out: a suspicion that measurements of %(sites)s saw nothing %(place)s",
            "Not borne out: a suspicion that measurements of %(sites)s saw nothing %(place)s",
        ),
    ),
    Kind.ALLOWLIST: (
        forms("Only what is domestic can be reached %(place)s", "Only what is domestic can be reached %(place)s"),
        forms(
            "Not confirmed: signs that only what is domestic can be reached %(place)s",
            "Not confirmed: signs that only what is domestic can be reached %(place)s",
        ),
        forms(
            "For a time, only what is domestic could be reached %(place)s",
            "For a time, only what is domestic could be reached %(place)s",
        ),
        forms(
            "Never confirmed: signs that only what is domestic could be reached %(place)s",
            "Never confirmed: signs that only what is domestic could be reached %(place)s",
        ),
        forms(
            "Not borne out: a suspicion that only what is domestic could be reached %(place)s",
            "Not borne out: a suspicion that only what is domestic could be reached %(place)s",
        ),
    ),
    Kind.OUTAGE: (
        forms("Nothing can be reached from one probe %(place)s", "Nothing can be reached from one probe %(place)s"),
        forms(
            "Not confirmed: signs that nothing can be reached from one probe %(place)s",
            "Not confirmed: signs that nothing can be reached from one probe %(place)s",
        ),
        forms(
            "For a time, nothing could be reached from one probe %(place)s",
            "For a time, nothing could be reached from one probe %(place)s",
        ),
        forms(
            "Never confirmed: for a moment, nothing could be reached from one probe %(place)s",
            "Never confirmed: for a moment, nothing could be reached from one probe %(place)s",
        ),
        forms(
            "Not borne out: a suspicion that nothing could be reached from one probe %(place)s",
            "Not borne out: a suspicion that nothing could be reached from one probe %(place)s",
        ),
    ),
}


def headline(event: Event, language: Language) -> str:
    """Say in one line what changed and where, exactly as surely as the event does."""
    names = [clean(target, _NAME) for target in event.targets]
    sites = language.listed(names, MOST_NAMED) or language.say("a site")
    if event.status is Status.WITHDRAWN:
        taken_back = language.say("Withdrawn: what was told here about %(sites)s no longer stands", sites=sites)
        return taken_back if names else language.say("Withdrawn: what was told here no longer stands")
    one, many = HEADLINES[event.kind][_form(event)]
    return language.count(one, many, len(names), sites=sites, place=place(event, language))


def _form(event: Event) -> int:
    if event.status is Status.CLOSED:
        if event.reason == "cleared":
            return _CLEARED
        return _WAS if event.confirmed is not None else _WERE_SIGNS
    return _IS if event.status is Status.CONFIRMED else _SIGNS


def place(event: Event, language: Language) -> str:
    """Say on which networks and where: on AS24757 in Ethiopia."""
    named = [language.country(clean(code, _WORD)) for code in event.countries if code != UNKNOWN_COUNTRY]
    countries = language.listed(named)
    if len(event.asns) == 1:
        name = network(event.asns[0])
        if countries:
            return language.say("on %(network)s in %(country)s", network=name, country=countries)
        return language.say("on %(network)s", network=name)
    if event.asns:
        if countries:
            return language.count(
                "on %(number)s network in %(country)s",
                "on %(number)s networks in %(country)s",
                len(event.asns),
                country=countries,
            )
        return language.count("on %(number)s network", "on %(number)s networks", len(event.asns))
    if countries:
        return language.say("in %(country)s", country=countries)
    return language.say("on a network that is not known")


def network(asn: int) -> str:
    """Name a network."""
    return f"AS{asn}" if asn else "?"


def networks(number: int, language: Language) -> str:
    """Count networks; one that is not known is one."""
    return language.count("%(number)s network", "%(number)s networks", max(1, number))
