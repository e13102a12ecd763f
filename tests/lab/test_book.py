"""What holds of the book itself: its names, its look-alikes, and that it shows every rule at work and at rest."""

from __future__ import annotations

import re

import pytest
from msgspec import convert, to_builtins

from measurements.rules import RULES
from tests.lab.book import BOOK, CHAPTERS
from tests.lab.book.shown import SHOWN, unlike_shown
from tests.lab.kinds import Kind, kind_of, look_alike
from tests.lab.scenario import Expect, HelloFilter, Scenario

CASES = [(chapter, scenario) for chapter, scenarios in CHAPTERS.items() for scenario in scenarios]


def test_names_are_unique() -> None:
    names = [scenario.name for _, scenario in CASES]
    assert sorted(names) == sorted(set(names))


def test_the_book_is_thick() -> None:
    assert len(BOOK) >= 150


@pytest.mark.parametrize("scenario", BOOK.values(), ids=BOOK)
def test_a_scenario_is_well_described(scenario: Scenario) -> None:
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", scenario.name)
    assert scenario.about.endswith(".")
    assert scenario.seen
    assert scenario.abroad


def test_a_scenario_passes_into_the_lab_whole() -> None:
    assert [one.name for one in BOOK.values() if convert(to_builtins(one), Scenario) != one] == []


@pytest.mark.parametrize(("chapter", "scenario"), CASES, ids=[scenario.name for _, scenario in CASES])
def test_a_censoring_scenario_has_a_quiet_look_alike(chapter: str, scenario: Scenario) -> None:
    if kind_of(scenario, chapter) is Kind.CENSORING:
        twin = look_alike(scenario, CHAPTERS)
        assert twin is not None, f"{scenario.name} needs `alike`: the name of a scenario that must accuse nobody"
        assert twin.nettest == scenario.nettest
    else:
        assert scenario.alike is None, "only a censoring scenario has a look-alike"


def test_every_rule_is_shown_at_work_and_at_rest() -> None:
    assert list(SHOWN) == list(RULES)
    assert [name for shown in SHOWN.values() for name in (shown.fires, shown.silent) if name not in BOOK] == []


def test_a_rule_that_is_silent_or_speaks_out_of_turn_is_noticed() -> None:
    rule, shown = next(iter(SHOWN.items()))
    assert f"{rule} did not speak" in unlike_shown(shown.fires, shown.control, [])
    assert f"{rule} spoke" in unlike_shown(shown.silent, shown.control, [rule])
    assert unlike_shown("no-such-scenario", True, RULES) == []


def page(name: str, outcome: str, alike: str | None = None, target: str = "https://a.example/") -> Scenario:
    mechanisms = (HelloFilter(action="reset"),) if outcome == "blocked" else ()
    return Scenario(
        name=name, about="", expect=Expect(outcome=outcome), mechanisms=mechanisms, seen="", alike=alike, target=target
    )


def test_a_look_alike_is_named_or_the_quiet_scenario_for_the_same_target() -> None:
    chapters = {
        "one": (page("blocked", "blocked"), page("down", "down"), page("other", "down", target="https://b.example/")),
        "two": (page("open", "accessible"), page("b-blocked", "blocked", target="https://b.example/")),
    }
    other = page("x", "blocked", target="https://b.example/")
    assert [
        twin and twin.name
        for scenario in (
            page("blocked", "blocked"),
            page("b-blocked", "blocked", target="https://b.example/"),
            page("named", "blocked", alike="other"),
            page("named", "blocked", alike="no-such-scenario"),
            page("named", "blocked", alike="b-blocked"),
            page("alone", "blocked", target="https://c.example/"),
        )
        for twin in [look_alike(scenario, {**chapters, "three": (other,)})]
    ] == ["down", "other", "other", None, None, None]
