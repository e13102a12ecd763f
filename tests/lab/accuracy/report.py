"""The report, in Markdown, for a terminal as for docs/accuracy.md."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence

from tests.lab.accuracy.results import Result
from tests.lab.accuracy.tally import Case, Rate, confusion, fired, overrun, rate, spread
from tests.lab.accuracy.targets import (
    Target,
    agreement,
    falsely_unreachable,
    kilobytes,
    misjudged,
    percent,
    seconds,
    soon,
)
from tests.lab.accuracy.throttles import least_and_most, middle_and_most
from tests.lab.book.shown import unlike_shown
from tests.lab.kinds import ACCUSATIONS, Kind

OUTCOMES = ("accessible", "blocked", "throttled", "unreachable", "down", "server_side", "invalid", "inconclusive")
_SENTENCE = 160  # characters of a summary


def report(
    of: Sequence[Case],
    promised: Sequence[Target],
    broken: Sequence[Result],
    *,
    circumstances: Mapping[str, str],
    rules: Iterable[str],
) -> str:
    """Write the whole report."""
    paced, others = [case for case in of if case.paced], [case for case in of if not case.paced]
    with_control = [case for case in of if case.control]
    without = [case for case in of if not case.control]
    parts = [
        "\n".join(f"- {key}: {value}" for key, value in circumstances.items()) + "\n",
        section("Targets", target_table(promised)),
        section("Rates", rate_table(others)),
        section("Outcomes with a control", confusion_table(with_control)),
        section("Outcomes without a control", confusion_table(without)),
        section("Time and bytes of a verdict", cost_table(others)),
        *([section("Throttling, with a control", pace_table(paced))] if paced else []),
        section("Wrong verdicts", listed(wrong_line(case) for case in of if case.wrong)),
        section("Broken runs", listed(broken_line(result) for result in broken)),
        section("Chapters", chapter_table(of)),
        section("Rules", rule_table(of, rules)),
    ]
    return "\n".join(parts)


def section(title: str, text: str) -> str:
    return f"## {title}\n\n{text}"


def listed(lines: Iterable[str]) -> str:
    return "".join(f"- {line}\n" for line in lines) or "None.\n"


def table(headings: Sequence[str], rows: Iterable[Sequence[object]], *, left: int = 1) -> str:
    """Lay out a table whose first `left` columns are text."""
    lines = [tuple(headings), *(tuple(map(str, row)) for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(headings))]
    ruler = "|" + "|".join("-" * (w + 1) + ("-" if i < left else ":") for i, w in enumerate(widths)) + "|"
    texts = [
        "| " + " | ".join(f"{c:<{w}}" if i < left else f"{c:>{w}}" for i, (c, w) in enumerate(zip(line, widths))) + " |"  # noqa: B905
        for line in lines
    ]
    return "\n".join([texts[0], ruler, *texts[1:]]) + "\n"


def target_table(promised: Iterable[Target]) -> str:
    words = {True: "reached", False: "MISSED", None: "not run"}
    return table(
        ("It must reach", "Found", ""), ((one.promise, one.found, words[one.reached]) for one in promised), left=3
    )


def rate_table(of: Sequence[Case]) -> str:
    """Every rate with its bounds, with a control and without."""
    kinds = {kind: [case for case in of if case.kind is kind] for kind in Kind}
    silent = kinds[Kind.QUIET] + kinds[Kind.OPEN]
    certain = [case for case in kinds[Kind.CENSORING] if case.certain]
    hidden = [case for case in kinds[Kind.CENSORING] if not case.certain]
    rows: list[tuple[str, Callable[[Sequence[Case]], Rate], Sequence[Case]]] = [
        ("All verdicts as the book says", lambda some: rate(some, lambda case: not case.wrong), of),
        ("Blocking found", lambda some: rate(some, lambda case: case.accused), certain),
        ("Blocking found that chance may hide", lambda some: rate(some, lambda case: case.accused), hidden),
        ("Mechanism exact", lambda some: agreement(some, "mechanism"), kinds[Kind.CENSORING]),
        ("Trigger exact", lambda some: agreement(some, "trigger"), kinds[Kind.CENSORING]),
        ("Place exact", lambda some: agreement(some, "where"), kinds[Kind.CENSORING]),
        ("Quiet called blocked or throttled", lambda some: rate(some, lambda case: case.accused), silent),
        ("Quiet falsely called unreachable", lambda some: rate(some, falsely_unreachable), silent),
        ("Volunteer's fault accused", lambda some: rate(some, lambda case: case.accused), kinds[Kind.VOLUNTEER]),
        ("Volunteer's fault misjudged", lambda some: rate(some, misjudged), kinds[Kind.VOLUNTEER]),
    ]
    return table(
        ("Rate [95 % bounds]", "with a control", "runs", "without", "runs"),
        (
            cells
            for name, count, some in rows
            for yes, no in [([c for c in some if c.control], [c for c in some if not c.control])]
            for cells in [(name, percent(count(yes)), count(yes).count, percent(count(no)), count(no).count)]
        ),
    )


def confusion_table(of: Sequence[Case]) -> str:
    """Expected outcomes down, given ones across; what is right stands on the diagonal."""
    counts = confusion(of)
    across = [name for name in OUTCOMES if any(got == name for _, got in counts)]
    down = [name for name in OUTCOMES if any(expected == name for expected, _ in counts)]
    if not down:
        return "No run.\n"
    return table(
        ("Expected ↓ · said →", *across),
        ((expected, *(counts[expected, got] or "·" for got in across)) for expected in down),
    )


def cost_table(of: Sequence[Case]) -> str:
    """Median, 90 % and worst of time, bytes and overrun, for kinds of verdicts."""
    groups: dict[str, list[Case]] = {
        "open": [case for case in of if case.control and case.kind is Kind.OPEN],
        "blocked": [case for case in of if case.control and case.got in ACCUSATIONS],
        "other": [case for case in of if case.control and case.kind is not Kind.OPEN and not case.accused],
        "without a control": [case for case in of if not case.control],
    }
    quantities: tuple[tuple[str, Callable[[Case], float]], ...] = (
        ("time, s", seconds),
        ("bytes, kB", kilobytes),
        ("connections", lambda case: case.result.connections),
        ("beyond its deadline, s", overrun),
        ("whole command, s", lambda case: case.result.elapsed),
    )
    rows = []
    for name, some in groups.items():
        for unit, quantity in quantities:
            if found := spread(some, quantity):
                figures = (f"{value:.1f}" for value in (found.median, found.ninety, found.worst))
                rows.append((name, unit, found.worst_of.scenario.name, len(some), *figures))
    return table(("Verdicts", "Quantity", "Worst in", "Runs", "Median", "90 %", "Worst"), rows, left=3)


def pace_table(of: Sequence[Case]) -> str:
    """For each line: what was said, how soon, and the median and worst of pairs, bytes, seconds and our own lag."""
    rows = []
    for name in dict.fromkeys(case.scenario.name for case in of if case.control):
        some = [case for case in of if case.scenario.name == name and case.control]
        paces = [case.result.pace for case in some if case.result.pace is not None]
        rows.append(
            (
                name,
                len(some),
                rate(some, lambda case: case.accused).hits,
                rate(some, soon).hits,
                len([case for case in some if case.wrong]),
                middle_and_most([pace.pairs + pace.skipped for pace in paces]),
                middle_and_most([pace.spent for pace in paces], 1e6, 2),
                middle_and_most([case.result.size for case in some], 1e6, 1),
                middle_and_most([seconds(case) for case in some]),
                least_and_most([pace.rate for pace in paces if pace.rate is not None]),
                least_and_most([pace.harmless for pace in paces if pace.harmless is not None]),
                middle_and_most([pace.q0 for pace in paces], 1.0, 2),
                middle_and_most([pace.lag for pace in paces], 0.001),
            )
        )
    heads = ("Line", "Runs", "Throttled", "… soon", "Wrong", "Pairs", "MB of pairs", "MB", "Seconds")
    more = ("kbit/s under the name", "… a harmless one", "q0", "Lag, ms")
    text = (
        "Soon is within 5 pairs and 1.5 MB. Two figures are the median and the worst; of rates, the least and most.\n\n"
    )
    return text + table((*heads, *more), rows)


def out_of_turn(case: Case) -> list[str]:
    """Say which rules did not do what `book.shown` shows of them."""
    found = unlike_shown(case.scenario.name, case.control, case.result.rules)
    return [f"{told_in(case)}: {what}" for what in found]


def told_in(case: Case) -> str:
    return f"{case.scenario.name} (seed {case.result.run.seed}{'' if case.control else ', no control'})"


def wrong_line(case: Case) -> str:
    said = " ".join(filter(None, (case.result.said.get(key) for key in ("outcome", "mechanism", "trigger", "reason"))))
    summary = case.result.said.get("summary") or ""
    text = f"{told_in(case)}: {'; '.join(case.wrong)}. Said: {said}."
    return f"{text} “{shortened(summary)}”"


def broken_line(result: Result) -> str:
    control = "" if result.run.control else ", no control"
    return f"{result.run.scenario} (seed {result.run.seed}{control}): {shortened(result.broken or '')}"


def shortened(text: str) -> str:
    one_line = re.sub(r"\s+", " ", text).strip()
    return one_line if len(one_line) <= _SENTENCE else one_line[: _SENTENCE - 1] + "…"


def chapter_table(of: Sequence[Case]) -> str:
    rows = []
    for chapter in dict.fromkeys(case.chapter for case in of):
        some = [case for case in of if case.chapter == chapter]
        censoring = {case.scenario.name for case in some if case.kind is Kind.CENSORING}
        right = rate(some, lambda case: not case.wrong)
        names = {case.scenario.name for case in some}
        rows.append((chapter, len(names), len(censoring), right.count, right.count - right.hits))
    return table(("Chapter", "Scenarios", "Censoring", "Runs", "Wrong"), rows)


def rule_table(of: Sequence[Case], rules: Iterable[str]) -> str:
    """In how many scenarios each rule found something, and in how many it did not."""
    everywhere = {case.scenario.name for case in of}
    found = fired(of, rules)
    rows = [(rule, len(names), len(everywhere - names)) for rule, names in found.items()]
    silent = [rule for rule, names in found.items() if not names]
    text = f"\nFired in no scenario: {', '.join(silent)}.\n" if silent else ""
    if odd := [line for case in of for line in out_of_turn(case)]:
        text += f"\nOtherwise than the book shows:\n\n{listed(odd)}"
    return table(("Rule", "Found something in", "Silent in"), rows) + text
