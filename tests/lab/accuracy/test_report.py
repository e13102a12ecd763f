"""What is counted, and what counts as reached, by hand-made results."""

from __future__ import annotations

import math
from typing import Any

import pytest

from tests.lab.accuracy.report import rate_table, report, wrong_line
from tests.lab.accuracy.results import Result, Run, broke
from tests.lab.accuracy.tally import Case, Rate, cases, confusion, fired, quantile, spread
from tests.lab.accuracy.targets import Target, targets
from tests.lab.accuracy.throttles import Pace, pace_in
from tests.lab.kinds import Kind, kind_of
from tests.lab.scenario import AddressFilter, Delay, Expect, HelloFilter, LinkDown, Mechanism, Scenario

RESET = HelloFilter(action="reset")
BLOCKED = Expect(outcome="blocked", mechanism="tls.reset", trigger="name", where="network")
INVALID = Expect(outcome="invalid", reason="offline")


def page(name: str, expect: Expect, *mechanisms: Mechanism, without: Expect | None = None) -> Scenario:
    return Scenario(name=name, about="", expect=expect, without_control=without, mechanisms=mechanisms, seen="")


CHAPTERS = {
    "tls": (
        page("reset", BLOCKED, RESET, without=Expect(outcome=("inconclusive", "blocked"))),
        page("site-resets", Expect(outcome=("unreachable", "inconclusive")), RESET),
        page("partial", Expect(outcome=("blocked", "inconclusive")), RESET),
        page("untold", Expect(outcome="blocked", mechanism="tls.reset", trigger="unknown"), RESET),
    ),
    "ordinary": (
        page("open", Expect(outcome="accessible")),
        page("far", Expect(outcome="accessible"), Delay(rtt=100)),
        page("lossy", Expect(outcome="accessible"), Delay(rtt=100, loss=20)),
    ),
    "home": (page("offline", INVALID, LinkDown()), page("filter", BLOCKED, RESET)),
}
BOOK = {one.name: one for chapter in CHAPTERS.values() for one in chapter}
CHAPTER_OF = {one.name: name for name, chapter in CHAPTERS.items() for one in chapter}


def result(name: str, outcome: str, *, control: bool = True, seed: int = 0, **more: Any) -> Result:
    said = {"outcome": outcome, "summary": "A sentence.", **more.pop("said", {})}
    return Result(
        code="c", run=Run(scenario=name, does="", control=control, seed=seed), said=said, **{"limit": 60.0, **more}
    )


def reset(name: str = "reset", **more: Any) -> Result:
    return result(name, "blocked", said={"mechanism": "tls.reset", "trigger": "name", "where": "network"}, **more)


def whole(*results: Result) -> list[Case]:
    return cases(BOOK, CHAPTER_OF, results)


def held(*results: Result) -> dict[str, Target]:
    return {target.promise.partition(":")[0].lstrip("… "): target for target in targets(whole(*results))}


@pytest.mark.parametrize(
    ("hits", "count", "low", "high"),
    [
        (0, 0, 0.0, 1.0),
        (0, 10, 0.0, 0.2775),  # reference values: Newcombe 1998, and R's binom.confint(method = "wilson")
        (10, 10, 0.7225, 1.0),
        (81, 263, 0.2553, 0.3662),
        (1, 29, 0.0061, 0.1718),
        (15, 148, 0.0624, 0.1605),
    ],
)
def test_bounds(hits: int, count: int, low: float, high: float) -> None:
    assert Rate(hits, count).bounds == pytest.approx((low, high), abs=1e-4)
    assert math.isnan(Rate(hits, count).value) == (not count)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("reset", Kind.CENSORING),
        ("site-resets", Kind.QUIET),
        ("open", Kind.OPEN),
        ("far", Kind.OPEN),
        ("lossy", Kind.QUIET),
        ("offline", Kind.VOLUNTEER),
        ("filter", Kind.CENSORING),
    ],
)
def test_kinds(name: str, kind: Kind) -> None:
    assert kind_of(BOOK[name], CHAPTER_OF[name]) is kind


def test_several_right_outcomes_count_as_what_was_said_or_as_the_first() -> None:
    found = whole(
        result("site-resets", "inconclusive"),
        result("site-resets", "blocked"),
        result("reset", "inconclusive", control=False),
    )
    assert confusion(found) == {
        ("inconclusive", "inconclusive"): 2,
        ("unreachable", "blocked"): 1,
    }
    assert [bool(case.wrong) for case in found] == [False, True, False]


def test_broken_runs_and_strangers_are_not_counted() -> None:
    assert whole(broke("c", Run(scenario="open", does="", control=True, seed=0), "x"), result("gone", "down")) == []


def test_found_and_agreed() -> None:
    found = held(reset(), reset("untold"), reset("filter"), result("reset", "inconclusive", seed=1))
    assert found["Blocking found, with a control"].found.endswith("(3 of 4)")
    assert found["with the exact mechanism, where it can be known"].found.endswith("(3 of 4)")
    assert found["with the exact trigger, where it can be known"].found.endswith("(2 of 3)")
    assert found["Blocking found, without a control"].reached is None
    assert found["Blocking found, with a control"].reached is False


def test_without_a_control_what_may_stay_open_is_not_found() -> None:
    found = held(result("reset", "inconclusive", control=False), reset(control=False, seed=1))
    assert found["Blocking found, without a control"].found.endswith("(1 of 2)")


def test_what_chance_may_hide_is_told_of_and_promised_by_nobody() -> None:
    some = whole(reset(), result("partial", "inconclusive"), reset("partial", seed=1))
    assert held(*(case.result for case in some))["Blocking found, with a control"].found.endswith("(1 of 1)")
    assert [line for line in rate_table(some).splitlines() if "may hide" in line and "50.0%" in line]


def test_silence() -> None:
    found = held(result("open", "accessible"), result("site-resets", "unreachable"), result("offline", "invalid"))
    quiet, falsely = "Quiet scenarios called blocked or throttled", "Quiet scenarios called unreachable where the book"
    assert found[quiet].reached
    assert "0 of 2 runs, 1 × each" in found[quiet].found
    assert held(result("site-resets", "throttled", control=False))[quiet].reached is False
    assert held(result("open", "unreachable"))[f"{falsely} does not say so"].reached is False
    assert held(result("site-resets", "unreachable"))[f"{falsely} does not say so"].reached


def test_volunteers() -> None:
    accused, judged = "Volunteers' own faults that became an accusation", "Volunteers' own faults judged otherwise"
    judged += " than the book says"
    fine = held(result("offline", "invalid", said={"reason": "offline"}))
    assert (fine[accused].reached, fine[judged].reached) == (True, True)
    unsaid = held(result("offline", "invalid", said={"reason": "offline", "summary": ""}))
    assert (unsaid[accused].reached, unsaid[judged].reached) == (True, False)
    other = held(result("offline", "invalid", said={"reason": "clock"}))
    assert other[judged].reached is False
    assert held(result("offline", "blocked"))[accused].reached is False


def test_costs() -> None:
    found = held(reset(runtime=16, sent=100_000, received=51_000), result("far", "accessible", runtime=2.5))
    assert found["Time of a verdict, worst"].found == "16 s (reset)"
    assert found["Time of a blocked verdict, median"].reached is False
    assert found["Bytes of a blocked verdict, median"].reached is False
    assert found["Time of an open site at 100 ms, worst"].reached
    late = held(reset(runtime=61.5), reset(runtime=3, seed=1))["A measurement outlives its deadline by"]
    assert (late.found, late.reached) == ("1.5 s (reset)", False)
    assert held(result("open", "accessible", runtime=9))["Time of an open site at 100 ms, worst"].reached is None


def test_quantiles_are_values_that_were_seen() -> None:
    assert [quantile(range(1, 11), share) for share in (0.0, 0.5, 0.9, 0.95, 1.0)] == [1, 5, 9, 10, 10]
    assert quantile([3.0], 0.5) == 3.0
    assert spread([], lambda case: 0.0) is None


def test_rules_that_fired() -> None:
    found = fired(whole(reset(rules=("tls.blocked", "tls.new"))), ("tls.blocked", "dns.bogon"))
    assert found == {"tls.blocked": {"reset"}, "dns.bogon": set(), "tls.new": {"reset"}}


def test_a_wrong_verdict_takes_one_line() -> None:
    [case] = whole(
        result("reset", "unreachable", control=False, seed=4, said={"reason": "x", "summary": "Two\nlines " * 40})
    )
    line = wrong_line(case)
    assert line.startswith("reset (seed 4, no control): outcome: expected inconclusive or blocked, got unreachable.")
    assert "Said: unreachable x." in line
    assert "\n" not in line
    assert len(line) < 400


def test_the_report_is_whole() -> None:
    found = whole(reset(rules=("tls.blocked",)), result("open", "blocked"), result("offline", "invalid", control=False))
    lost = broke("c", Run(scenario="far", does="", control=True, seed=0), "the lab\ndied")
    rules = ("tls.blocked", "dns.bogon")
    text = report(found, targets(found), [lost], circumstances={"date": "today"}, rules=rules)
    assert "- date: today\n" in text
    assert "- open (seed 0): outcome: expected accessible, got blocked." in text
    assert "- far (seed 0): the lab died\n" in text
    assert "Fired in no scenario: dns.bogon." in text
    assert "MISSED" in text
    assert "- open (seed 0): site.accessible did not speak\n" in text
    for block in text.split("\n\n"):
        widths = {line.count("|") for line in block.splitlines() if line.startswith("|")}
        assert len(widths) <= 1, block


def test_the_report_of_nothing_says_so() -> None:
    text = report([], targets([]), [], circumstances={}, rules=())
    assert "No run." in text
    assert "reached" not in text.replace("It must reach", "")


def test_an_address_filter_is_not_open() -> None:
    assert (
        kind_of(page("x", Expect(outcome="accessible"), AddressFilter(addresses=(), action="drop")), "tcp")
        is Kind.QUIET
    )


def paced(name: str, outcome: str, mechanism: str | None = None, **more: Any) -> Result:
    pace = Pace(pairs=more.pop("pairs", 4), slower=4, skipped=0, spent=more.pop("spent", 900_000), q0=0.12, rate=128e3)
    return result(name, outcome, said={"mechanism": mechanism}, pace=pace, **more)


def test_sessions_of_pairs_are_promised_and_shown_apart() -> None:
    slow = Expect(outcome="throttled", mechanism="throttle.rate")
    nothing = Expect(outcome="inconclusive", reason="no_pacer")
    chapter = tuple(
        Scenario(name=name, about="", nettest="throttling", expect=expect, without_control=nothing, seen="")
        for name, expect in (("pace-128", slow), ("pace-open", Expect(outcome="accessible")))
    )
    book, chapters = {one.name: one for one in chapter}, {one.name: "pace" for one in chapter}

    def told(*results: Result) -> dict[str, bool | None]:
        found = targets(cases(book, chapters, results))
        return {each.promise.partition(":")[0].lstrip("… "): each.reached for each in found}

    soon, silent = "at 128 kbit/s within 5 pairs and 1.5 MB", "Lines without a throttle, or without a control, called"
    fine = paced("pace-128", "throttled", "throttle.rate", runtime=70)
    reached = told(fine, paced("pace-open", "accessible"), result("pace-128", "inconclusive", control=False))
    assert (reached[soon], reached[f"{silent} throttled"]) == (True, True)
    assert reached["Time of a verdict, worst"] is None
    assert reached["Blocking found, without a control"] is None
    assert told(paced("pace-128", "throttled", pairs=6))[soon] is False
    assert told(paced("pace-128", "throttled", spent=1_600_000))[soon] is False
    assert told(result("pace-128", "throttled", control=False))[f"{silent} throttled"] is False

    text = report(cases(book, chapters, [fine]), [], [], circumstances={}, rules=())
    [row] = [line for line in text.splitlines() if line.startswith("| pace-128")]
    assert [cell.strip() for cell in row.split("|")][2:11] == [
        "1",
        "1",
        "1",
        "0",
        "4 / 4",
        "0.90 / 0.90",
        "0.0 / 0.0",
        "70 / 70",
        "128 to 128",
    ]


def test_what_pairs_said_is_read_from_a_line() -> None:
    said = {"pairs": 4, "slower": 4, "skipped": [["slump", 1]], "spent": 9, "q0": 0.12, "rate": 128e3}
    line = {"findings": [{"rule": "x"}, {"rule": "y", "throttling": said}], "measurement": {"loop_lag": 0.02}}
    assert pace_in(line) == Pace(pairs=4, slower=4, skipped=1, spent=9, q0=0.12, rate=128e3, lag=0.02)
    assert pace_in({"findings": [{"rule": "x"}], "measurement": {}}) is None
