"""The spread covers every kind with few cases, and stays as it is while the book grows."""

from __future__ import annotations

import random

import pytest

from tests.lab.book import BOOK, CHAPTERS
from tests.lab.book.shown import SHOWN, Shown
from tests.lab.scenario import AddressFilter, Delay, Expect, HelloFilter, Scenario
from tests.lab.spread import Case, mixtures, spread

FEW = 110  # verdicts that CI has time for

PICKED = spread(CHAPTERS, SHOWN.values())


def page(name: str, outcome: str, *mechanisms: HelloFilter | Delay | AddressFilter, nettest: str = "web") -> Scenario:
    expect = Expect(outcome=outcome)
    return Scenario(name=name, about="", expect=expect, mechanisms=mechanisms, seen="", nettest=nettest)


def names(cases: tuple[Case, ...]) -> set[tuple[str, bool]]:
    return {(case.scenario.name, case.control) for case in cases}


SMALL = {
    "tls": tuple(page(f"reset-{n}", "blocked", HelloFilter(action="reset")) for n in range(9)),
    "open": (
        page("open", "accessible"),
        page("far", "accessible", Delay(rtt=9)),
        page("dns", "accessible", nettest="dns"),
    ),
}


def test_one_of_a_kind_is_picked_and_many_of_a_kind_once() -> None:
    picked = names(spread(SMALL, ()))
    assert {"far", "dns"} <= {name for name, _ in picked}
    resets = [one for one in picked if one[0].startswith("reset")]
    assert sorted(control for _, control in resets) == [False, True]


def test_what_shows_a_rule_is_always_there() -> None:
    shown = [Shown("reset-3", "reset-4"), Shown("reset-5", "no-such-scenario", control=False)]
    assert {("reset-3", True), ("reset-4", True), ("reset-5", False)} <= names(spread(SMALL, shown))


@pytest.mark.parametrize("seed", range(10))
def test_taking_away_what_was_not_picked_changes_nothing(seed: int) -> None:
    picked = {case.scenario.name for case in PICKED}
    others = sorted(set(BOOK) - picked)
    gone = set(random.Random(seed).sample(others, len(others) // 2))
    chapters = {name: tuple(one for one in chapter if one.name not in gone) for name, chapter in CHAPTERS.items()}
    assert names(spread(chapters, SHOWN.values())) == names(PICKED)


def test_one_scenario_stands_for_each_mixture_of_mechanisms() -> None:
    kinds = [{type(one) for one in scenario.mechanisms} for scenario in mixtures(PICKED)]
    assert [kind for n, kind in enumerate(kinds) if kind in kinds[:n]] == []
    assert {one for kind in kinds for one in kind} == {type(one) for case in PICKED for one in case.scenario.mechanisms}


def test_the_order_of_the_book_does_not_matter() -> None:
    turned = {name: chapter[::-1] for name, chapter in reversed(CHAPTERS.items())}
    assert names(spread(turned, SHOWN.values())) == names(PICKED)


def test_the_spread_of_the_book_is_wide_and_short() -> None:
    everything = {type(mechanism) for scenario in BOOK.values() for mechanism in scenario.mechanisms}
    assert {type(mechanism) for case in PICKED for mechanism in case.scenario.mechanisms} == everything
    assert {case.scenario.name for case in PICKED} & {one.name for one in CHAPTERS["tls"]}
    assert len({case.control for case in PICKED}) == 2
    assert len(PICKED) <= FEW, len(PICKED)
