"""What else it could have been: each other explanation, what was seen that speaks for or against it, and what is left.

An explanation is *excluded* when every witness that is kept speaks against it, *partly* when some do or when they only
make it unlikely, and *open* when these data cannot tell. Open ones are shown like the others: a page that hides them
would be worth nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from enum import StrEnum
from typing import NamedTuple

from measurements.dossier import Dossier
from measurements.events.nouns import Kind, Status
from measurements.model import Mechanism, Outcome, Trigger, Where
from measurements.printable import clean
from measurements.report.headlines import networks
from measurements.report.language import Language, mark
from measurements.report.seen import ACCUSED, Alive, address_agrees, alive, of_pace, proofs, shows_address
from measurements.report.story import promise
from measurements.report.words import REASONS
from measurements.store.records import Kept

RIGHT_CLOCK = 60.0  # seconds
ENOUGH_PLACEBOS, HARMLESS_SHARE = 3, 0.95
A_LINE_ALONE = 10_800.0  # seconds after which one line's word is taken


class State(StrEnum):
    """How far an explanation is excluded."""

    EXCLUDED = "excluded"
    PARTLY = "partly"
    OPEN = "open"


STATES: Mapping[State, str] = {
    State.EXCLUDED: mark("excluded"),
    State.PARTLY: mark("unlikely, not excluded"),
    State.OPEN: mark("not excluded"),
}


class Doubt(NamedTuple):
    """Another explanation, how far it is excluded, and what was seen."""

    question: str
    state: State
    verdict: str
    seen: tuple[str, ...]


NOT_FROM_THE_SITE = mark(
    "What was compared came from a server of Wazi’s own and not from the site, whose state and address play no part."
)


class _Case(NamedTuple):
    dossier: Dossier
    language: Language
    alive: Alive

    @property
    def witnesses(self) -> Sequence[Kept]:
        return self.dossier.witnesses


Weighed = tuple[State, list[str]]


def doubts(dossier: Dossier, language: Language) -> tuple[Doubt, ...]:
    """Weigh every other explanation of an event."""
    case = _Case(dossier, language, alive(dossier))
    table = _OF_OUTAGES if dossier.event.kind is Kind.OUTAGE else _QUESTIONS
    found = ((question, *weigh(case)) for question, weigh in table)
    return tuple(
        Doubt(language.say(question), state, language.say(STATES[state]), tuple(seen))
        for question, state, seen in found
    )


def _share(number: int, total: int) -> State:
    if not number:
        return State.OPEN
    return State.EXCLUDED if number == total else State.PARTLY


def _site_down(case: _Case) -> Weighed:
    say, found = case.language.say, case.alive
    if case.witnesses and all(of_pace(kept) for kept in case.witnesses):
        return State.EXCLUDED, [say(NOT_FROM_THE_SITE)]
    state = _share(found.any_way, found.witnesses)
    if state is State.OPEN and found.elsewhere:
        state = State.PARTLY
    seen = [
        say(
            "In %(number)s of %(all)s witnesses something showed that the site was up at that very moment.",
            number=found.any_way,
            all=found.witnesses,
        )
    ]
    if found.elsewhere:
        seen.append(
            case.language.count(
                "%(number)s measurement from another network reached it while this lasted.",
                "%(number)s measurements from other networks reached it while this lasted.",
                found.elsewhere,
            )
        )
    return state, seen


def _own_line(case: _Case) -> Weighed:
    say = case.language.say
    looked = [kept.measurement.preconditions for kept in case.witnesses]
    good = [one for one in looked if one.reason is None and one.foreign_alive]
    state = _share(len(good), len(looked))
    seen = [
        say(
            "In %(number)s of %(all)s witnesses the line had been looked at, and unrelated foreign sites answered.",
            number=len(good),
            all=len(looked),
        )
    ]
    harmless = [vote for vote in case.dossier.placebos if vote.layer != "blind" or vote.blocked]
    worked = sum(not vote.blocked for vote in harmless)
    if harmless:
        seen.append(
            say(
                "Harmless sites that were asked in the same networks in those hours worked in %(number)s of %(all)s "
                "votes.",
                number=worked,
                all=len(harmless),
            )
        )
        fine = worked >= HARMLESS_SHARE * len(harmless) and len(harmless) >= ENOUGH_PLACEBOS
        if not fine:
            state = State.OPEN if state is State.OPEN else State.PARTLY
        elif state is State.OPEN:
            state = State.PARTLY
    return state, seen + list(_set_aside(case))


def _set_aside(case: _Case) -> Iterator[str]:
    for tally in case.dossier.outcomes:
        if tally.outcome is Outcome.INVALID and tally.asn in case.dossier.event.asns:
            why = case.language.say(REASONS[tally.reason]) if tally.reason in REASONS else clean(tally.reason, 60)
            yield case.language.count(
                "%(number)s measurement of these hours was set aside, as the network could not be judged: %(why)s.",
                "%(number)s measurements of these hours were set aside, as the network could not be judged: %(why)s.",
                tally.count,
                why=why,
            )


def _portal(case: _Case) -> Weighed:
    asked = [kept.measurement.preconditions.canaries for kept in case.witnesses]
    clear = [some for some in asked if some and all(canary.problem != "portal" for canary in some)]
    said = case.language.say(
        "In %(number)s of %(all)s witnesses harmless pages came as they are, and no sign-in page in their place.",
        number=len(clear),
        all=len(asked),
    )
    return _share(len(clear), len(asked)), [said]


def _clock(case: _Case) -> Weighed:
    offsets = [kept.measurement.preconditions.clock_offset for kept in case.witnesses]
    known = [abs(offset) for offset in offsets if offset is not None]
    right = [offset for offset in known if offset <= RIGHT_CLOCK]
    if not known:
        return State.OPEN, [case.language.say("The clock could not be compared with another.")]
    said = case.language.say(
        "In %(number)s of %(all)s witnesses the computer’s clock was compared with others’: it was wrong by "
        "%(seconds)s s at the most.",
        number=len(known),
        all=len(offsets),
        seconds=case.language.number(max(known), 1),
    )
    return _share(len(right), len(offsets)), [said]


def _own_device(case: _Case) -> Weighed:
    places = [kept.verdict.where for kept in case.witnesses if kept.verdict is not None]
    beyond = sum(place in (Where.RESOLVER, Where.NETWORK) for place in places)
    said = [
        case.language.say(
            "In %(number)s of %(all)s witnesses it was seen to happen beyond the first router: at the resolver, or in "
            "the network.",
            number=beyond,
            all=len(places),
        )
    ]
    boxed = sum(kept.measurement.preconditions.container for kept in case.witnesses)
    if boxed:
        said.append(
            case.language.count(
                "%(number)s witness measured from inside a container, where the first router is hard to tell.",
                "%(number)s witnesses measured from inside a container, where the first router is hard to tell.",
                boxed,
            )
        )
    state = _share(beyond, len(places))
    lines = {kept.measurement.vantage.asn for kept in case.witnesses} - {None, 0}
    if state is State.EXCLUDED and len(lines) < 2:
        state = State.PARTLY  # the filter of a school or of an employer can be beyond the first router
    return state, said


def _one_line(case: _Case) -> Weighed:
    event, language = case.dossier.event, case.language
    probes = max(event.probe_count, len({kept.measurement.vantage.probe_id for kept in case.witnesses}))
    seen = [
        language.count(
            "%(number)s probe saw it, on %(networks)s.",
            "%(number)s probes saw it, on %(networks)s.",
            probes,
            networks=networks(len(event.asns), language),
        )
    ]
    if probes > 1:
        return State.EXCLUDED if len(event.asns) > 1 else State.PARTLY, seen
    times = [vote.time for vote in case.dossier.votes if vote.blocked and vote.layer != "blind"]
    long = max(times, default=0.0) - min(times, default=0.0)
    seen.append(
        language.say("From its first to its last vote against access are %(time)s.", time=language.duration(long))
    )
    return State.PARTLY if long >= A_LINE_ALONE else State.OPEN, seen


def _wrong_address(case: _Case) -> Weighed:
    say = case.language.say
    named = [kept for kept in case.witnesses if kept.verdict and (kept.verdict.mechanism or "").startswith("dns.")]
    paced = sum(of_pace(kept) for kept in case.witnesses)
    others = [kept for kept in case.witnesses if kept not in named and not of_pace(kept)]
    seen, good, total = [], paced, paced
    if paced:
        seen.append(say(NOT_FROM_THE_SITE))
    if named:
        shown = sum(shows_address(kept.measurement) for kept in named)
        good, total = good + shown, total + len(named)
        seen.append(
            say(
                "Here the directory (DNS) is what is at issue. In %(number)s of %(all)s witnesses the right address "
                "was found in another way, and shown by the site’s own certificate or by the control.",
                number=shown,
                all=len(named),
            )
        )
    if others:
        agreed = [address_agrees(kept.measurement) for kept in others]
        good, total = good + sum(one is True for one in agreed), total + len(others)
        seen.append(
            say(
                "In %(number)s of %(all)s witnesses the address that was tried is one that independent resolvers or "
                "the control give as well.",
                number=sum(one is True for one in agreed),
                all=len(others),
            )
        )
    return _share(good, total), seen or [say("No witness is kept that could tell.")]


def _site_itself(case: _Case) -> Weighed:
    counted = proofs(case.witnesses)
    proven = counted.total() - counted[None]
    said = [
        case.language.say(
            "In %(number)s of %(all)s witnesses there is proof that it happens between the reader and the site, where "
            "the site has no hand in it.",
            number=proven,
            all=counted.total(),
        )
    ]
    refused = sum(tally.count for tally in case.dossier.outcomes if tally.outcome is Outcome.SERVER_SIDE)
    if refused:
        said.append(
            case.language.count(
                "%(number)s measurement of these hours met a refusal of the site itself.",
                "%(number)s measurements of these hours met a refusal of the site itself.",
                refused,
            )
        )
    return _share(proven, counted.total()), said


def _fault(case: _Case) -> Weighed:
    say = case.language.say
    verdicts = [kept.verdict for kept in case.witnesses if kept.verdict is not None]
    by_name = [v for v in verdicts if v.outcome in ACCUSED and v.trigger in (Trigger.NAME, Trigger.NAME_AND_ADDRESS)]
    telling = (Mechanism.HTTP_BLOCKPAGE, Mechanism.DNS_BLOCKPAGE)
    seen = []
    if by_name:
        seen.append(
            say(
                "In %(number)s of %(all)s witnesses the name of the site decided, while harmless names went through: "
                "broken cables and full lines do not read names.",
                number=len(by_name),
                all=len(verdicts),
            )
        )
    if any(verdict.mechanism in telling for verdict in verdicts):
        seen.append(say("A page that tells of blocking was seen."))
    seen.append(say("Whether it was meant or is a mistake in somebody’s settings, such data cannot show."))
    return State.PARTLY if len(seen) > 1 else State.OPEN, seen


def _chance(case: _Case) -> Weighed:
    event, language = case.dossier.event, case.language
    seen = [
        language.say(
            "The votes are %(odds)s likelier if access changed than if it did not; %(needed)s were needed.",
            odds=language.odds(event.log_evidence),
            needed=language.odds(event.threshold),
        ),
        promise(event.false_alarms_per_week, language),
    ]
    if event.log_evidence < event.threshold or event.status is Status.WITHDRAWN:
        return State.OPEN, seen
    return State.PARTLY, seen  # never excluded: some false alarms are allowed


def _our_mistake(case: _Case) -> Weighed:
    language = case.language
    versions = sorted({kept.measurement.software for kept in (*case.witnesses, *case.dossier.accesses)} - {""})
    seen = [
        language.count(
            "The measurements shown here are by %(number)s version of the program.",
            "The measurements shown here are by %(number)s versions of the program.",
            max(1, len(versions)),
        ),
        *([_error_rate(case)] if case.dossier.event.p0 else []),
        language.say("Whoever doubts it can judge the same measurements again, with other tools too."),
    ]
    return State.PARTLY, seen


def _error_rate(case: _Case) -> str:
    return case.language.say(
        "It is taken to be wrong in %(share)s of the measurements of a site that works, by what harmless sites showed "
        "or, before enough are counted, by assumption.",
        share=case.language.percent_of(case.dossier.event.p0),
    )


def _switched_off(case: _Case) -> Weighed:
    mine = [gap for gap in case.dossier.gaps if gap.why == "outage"]
    said = case.language.count(
        "In %(number)s stretch of it the probe ran, its link was up, and nothing answered.",
        "In %(number)s stretches of it the probe ran, its link was up, and nothing answered.",
        len(mine),
    )
    return (State.EXCLUDED if mine else State.OPEN), [said]


def _one_probe(case: _Case) -> Weighed:
    return State.OPEN, [
        case.language.say(
            "An outage is told of by one probe alone; whether its neighbours were cut off too is not known."
        )
    ]


def _provider(case: _Case) -> Weighed:
    return State.OPEN, [
        case.language.say("From inside, a broken line, maintenance and an order to switch off look alike.")
    ]


_QUESTIONS: tuple[tuple[str, Callable[[_Case], Weighed]], ...] = (
    (mark("Was the site itself down, or under maintenance?"), _site_down),
    (mark("Does the site itself turn visitors away, by country or by request?"), _site_itself),
    (mark("Was the volunteer’s own connection broken?"), _own_line),
    (mark("Was it a sign-in page, as hotels and cafés have them?"), _portal),
    (mark("Was the computer’s clock wrong?"), _clock),
    (mark("Was it the volunteer’s own router, or a filter at home, at school or at work?"), _own_device),
    (mark("Was it one probe or one line only?"), _one_line),
    (mark("Was the address wrong or outdated (DNS)?"), _wrong_address),
    (mark("Was it a fault or maintenance in the network, without intent?"), _fault),
    (mark("Was it chance?"), _chance),
    (mark("Was it a mistake of the measurement?"), _our_mistake),
)
_OF_OUTAGES: tuple[tuple[str, Callable[[_Case], Weighed]], ...] = (
    (mark("Was the probe switched off, or unplugged?"), _switched_off),
    (mark("Was it one probe or one line only?"), _one_probe),
    (mark("Was it a fault or maintenance in the network, without intent?"), _provider),
)
