"""How we know: the two proofs in words, what was asked and what came, and the rules and steps that it rests on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from measurements.dossier import Dossier
from measurements.model import Finding, Mechanism, Outcome, Proof, Trigger, Verdict, View
from measurements.printable import clean
from measurements.report.language import Language, mark
from measurements.report.seen import ACCUSED, WALKS, Alive, Asked, Result, alive, asked, middle, proofs
from measurements.report.story import rest
from measurements.report.words import (
    FAILURES,
    MECHANISMS,
    OTHER_FAILURE,
    OUTCOMES,
    PROOF_OF_PACE,
    PROOFS,
    PURPOSES,
    TRIGGERS,
    VIEWS,
    WORKED,
)
from measurements.store.records import Kept

MOST_RULES, MOST_STEPS, MOST_RESULTS, MOST_GROUPS = 8, 24, 4, 6
_HOPS = {
    "reset": mark("cut off (reset) at hop %(hop)s"),
    "eof": mark("closed at hop %(hop)s"),
    "data": mark("answered at hop %(hop)s"),
    "open": mark("a connection stands at hop %(hop)s"),
    "unreachable": mark("turned away at hop %(hop)s"),
    "silence": mark("nothing more after hop %(hop)s"),
}


NO_PROOF = mark("Its kind of proof is not on record.")


class Compared(NamedTuple):
    """A line of a comparison: what was asked, how often, and what came of it."""

    what: str
    came: str
    total: str


class Ground(NamedTuple):
    """The witnesses of one mechanism, and what their verdicts rest on."""

    title: str
    word: str
    counted: str
    between: tuple[str, ...]
    compared: tuple[Compared, ...]
    rules: tuple[str, ...]
    example: str  # id of a witness
    steps: str
    verbatim: str  # what the rules say of it, in English
    accuses: bool


def alive_in_words(dossier: Dossier, language: Language) -> tuple[tuple[str, ...], Alive]:
    """Say what shows that the site was up."""
    found = alive(dossier)
    ways = (
        (
            found.control,
            mark("In %(number)s of %(all)s witnesses the control outside reached the site at that moment."),
        ),
        (
            found.certificate,
            mark(
                "In %(number)s of %(all)s witnesses one of its addresses showed the site’s own certificate, asked from "
                "this very network in another way."
            ),
        ),
        (
            found.harmless,
            mark("In %(number)s of %(all)s witnesses another name was answered at the site’s own address."),
        ),
        (found.other_port, mark("In %(number)s of %(all)s witnesses the site’s address answered at another port.")),
        (
            found.pace,
            mark("In %(number)s of %(all)s witnesses the same object came under a harmless name, right beside it."),
        ),
    )
    said = [language.say(text, number=number, all=found.witnesses) for number, text in ways if number]
    if found.elsewhere:
        said.append(
            language.count(
                "%(number)s measurement shown here from other networks reached it meanwhile.",
                "%(number)s measurements shown here from other networks reached it meanwhile.",
                found.elsewhere,
            )
        )
    if not said:
        said.append(language.say("Nothing in the witnesses kept here shows that the site was up."))
    return tuple(said), found


def titles(found: Alive, some: Sequence[Ground], language: Language) -> tuple[str, str]:
    """Return the headings of the two proofs: each says whether there is one."""
    if found.any_way or found.elsewhere:
        first = language.say("1. The site was alive")
    elif found.pace:
        first = language.say("1. Server and line can do more")
    else:
        first = language.say("1. That the site was alive is not shown")
    return (
        first,
        language.say("2. Something between did it")
        if any(ground.accuses for ground in some)
        else language.say("2. That something between did it is not shown"),
    )


def grounds(dossier: Dossier, language: Language) -> tuple[Ground, ...]:
    """Return what the witnesses rest on, one ground a mechanism, the most frequent first."""
    groups: dict[tuple[Outcome, Mechanism | None], list[Kept]] = {}
    for kept in dossier.witnesses:
        if kept.verdict is not None:
            groups.setdefault((kept.verdict.outcome, kept.verdict.mechanism), []).append(kept)
    ordered = sorted(groups.items(), key=lambda item: -len(item[1]))[:MOST_GROUPS]
    return tuple(_ground(outcome, mechanism, some, language) for (outcome, mechanism), some in ordered)


def _ground(outcome: Outcome, mechanism: Mechanism | None, kept: Sequence[Kept], language: Language) -> Ground:
    verdicts = [one.verdict for one in kept if one.verdict is not None]
    findings = [finding for verdict in verdicts for finding in _agreeing(verdict)]
    rules = Counter(clean(finding.rule, 60) for finding in findings)
    first, verdict = kept[0].measurement, verdicts[0]
    steps = sorted({step for finding in _agreeing(verdict) for step in finding.evidence})
    shown = ", ".join(str(step) for step in steps[:MOST_STEPS])
    title = language.say(MECHANISMS[mechanism]) if mechanism else language.say(OUTCOMES[outcome])
    return Ground(
        title=title,
        word=mechanism.value if mechanism else outcome.value,
        counted=language.count("%(number)s witness shown here", "%(number)s witnesses shown here", len(kept)),
        between=tuple(_between(outcome, kept, language)),
        compared=tuple(_compared(one, language) for one in asked(kept)),
        rules=tuple(
            language.say("%(rule)s (%(number)s)", rule=rule, number=number)
            for rule, number in rules.most_common(MOST_RULES)
        ),
        example=clean(first.id, 40),
        steps=" ".join(filter(None, (shown, rest(len(steps) - MOST_STEPS, language)))),
        verbatim=clean(verdict.summary, 600),
        accuses=outcome in ACCUSED,
    )


def _agreeing(verdict: Verdict) -> Iterator[Finding]:
    """Yield the findings that say what the verdict says."""
    return (finding for finding in verdict.findings if finding.outcome is verdict.outcome)


def _between(outcome: Outcome, kept: Sequence[Kept], language: Language) -> Iterator[str]:
    decided = Counter(one.verdict.trigger for one in kept if one.verdict is not None and one.verdict.trigger)
    for trigger, number in decided.most_common():
        if trigger is not Trigger.UNKNOWN:
            told = language.say("What decides is %(trigger)s.", trigger=language.say(TRIGGERS[trigger]))
            yield language.say("%(text)s (%(number)s of %(all)s)", text=told, number=number, all=len(kept))
    if outcome not in ACCUSED:
        yield language.say("Nothing proves that something between the reader and the site did it: nobody is accused.")
        return
    counted = proofs(kept)
    for proof, number in counted.most_common():
        text = language.say(_proof(proof, outcome))
        yield language.say("%(text)s (%(number)s of %(all)s)", text=text, number=number, all=counted.total())


def _proof(proof: Proof | None, outcome: Outcome) -> str:
    if proof is Proof.ELSEWHERE and outcome is Outcome.THROTTLED:
        return PROOF_OF_PACE
    return PROOFS[proof] if proof else NO_PROOF


def _compared(one: Asked, language: Language) -> Compared:
    what = language.say(PURPOSES.get(one.purpose, one.purpose.value) if one.purpose else VIEWS[one.view])
    if one.rates:
        typical, least, most = middle(one.rates)
        came = language.say(
            "%(rate)s in the median (%(least)s to %(most)s)",
            rate=bits(typical, language),
            least=bits(least, language),
            most=bits(most, language),
        )
        return Compared(what, came, language.number(len(one.rates)))
    told: Counter[str] = Counter()
    for result, number in one.results.items():
        told[outcome(one, result, language)] += number
    parts = [
        language.say("%(what)s: %(number)s", what=text, number=number) if len(told) > 1 else text
        for text, number in told.most_common(MOST_RESULTS)
    ]
    more = rest(len(told) - MOST_RESULTS, language)
    return Compared(what, "; ".join([*parts, *([more] if more else [])]), language.number(one.total))


def outcome(one: Asked, result: Result, language: Language) -> str:
    """Say what came of a step."""
    if one.purpose in WALKS:
        return language.say(_HOPS.get(result.answer, _HOPS["silence"]), hop=result.hop)
    if result.detail == "no control":
        return language.say("the control did not answer")
    if result.failure is not None:
        known = FAILURES.get(result.failure)
        return language.say(known) if known else language.say(OTHER_FAILURE, word=result.failure.value)
    if one.view is View.TRUSTED:
        return language.say("an address")
    return (
        language.say("%(what)s (%(detail)s)", what=language.say(WORKED), detail=result.detail)
        if result.detail
        else (language.say(WORKED))
    )


def bits(rate: float, language: Language) -> str:
    """Write bit/s for people."""
    for size, unit in ((1e9, "Gbit/s"), (1e6, "Mbit/s"), (1e3, "kbit/s")):
        if rate >= 0.9995 * size:
            return (
                f"{language.number(rate / size, 1 if rate < 100 * size and size > 1e3 else 0)}\N{NO-BREAK SPACE}{unit}"
            )
    return f"{language.number(rate)}\N{NO-BREAK SPACE}bit/s"
