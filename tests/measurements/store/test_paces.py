"""What earlier sessions of pairs know, from the store of either backend."""

from __future__ import annotations

from msgspec.structs import replace

from measurements.model import Finding, Outcome, PaceSoFar, Throttling, Verdict
from measurements.store import Store, open_store
from measurements.store.paces import DAY, REMEMBERED, sum_up
from tests.measurements.store.samples import measurement

NOON = 20_000 * DAY + DAY / 2
URL = "https://example.org/"


def found(last: float, legs: int = 4, apart: int = 1, spent: int = 100) -> Throttling:
    return Throttling(started=last, last=last, alike_legs=legs, alike_apart=apart, spent=spent)


def verdict(state: Throttling | None) -> Verdict:
    return Verdict(
        outcome=Outcome.INCONCLUSIVE,
        findings=(Finding(rule="throttling.undecided", outcome=Outcome.INCONCLUSIVE, throttling=state),),
        rules_version=3,
    )


def test_the_line_is_known_by_all_targets_in_this_network_and_evidence_by_its_own() -> None:
    sessions = [
        (1, URL, verdict(found(NOON - 3 * DAY))),
        (1, URL, verdict(found(NOON - 2 * DAY))),
        (1, "https://other.example/", verdict(found(NOON - DAY, legs=48, apart=2))),
        (2, URL, verdict(found(NOON - 100.0, legs=10))),
        (1, URL, None),
        (1, URL, verdict(None)),
        (1, URL, verdict(found(NOON + 1.0))),
    ]
    known = sum_up(sessions, URL, 1, NOON)
    assert (known.alike_legs, known.alike_apart, known.spent) == (56, 4, 100)
    assert known.last is not None
    assert known.last.last == NOON - 100.0


def test_evidence_lasts_for_ever_and_the_line_for_four_weeks() -> None:
    old = found(NOON - REMEMBERED - 1.0)
    assert sum_up([(1, URL, verdict(old))], URL, 1, NOON) == PaceSoFar(last=old)
    assert sum_up([], URL, 1, NOON) == PaceSoFar()


def test_the_store_gives_back_what_verdicts_said(url: str) -> None:
    """If sessions of two targets are stored, the newest of each and all pairs of the network are known."""
    with open_store(url, now=lambda: NOON) as store:
        fill(store, NOON)
        known = store.pace_so_far(URL, "probe", 24757)
        assert (known.alike_legs, known.alike_apart) == (8, 2)
        assert known.last == found(NOON - 2 * DAY)
        assert store.pace_so_far(URL, "another probe", 24757) == PaceSoFar()
        assert store.pace_so_far("https://new.example/", "probe", 1).last is None


def fill(store: Store, now: float) -> None:
    for number, (host, age) in enumerate((("example.org", 40 * DAY), ("example.org", 2 * DAY), ("b.example", DAY))):
        fact = measurement(number, host=host, nettest="throttling", started=now - age)
        store.add(fact, verdict(found(now - age)))
    store.add(measurement(9, started=now - 5.0), verdict(None))
    broken = measurement(10, nettest="throttling", started=now - 4.0)
    store.add(broken, replace(verdict(None), outcome=Outcome.INVALID)).result(10)
