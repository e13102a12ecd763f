"""A short slice of the figures about throttling, and that a broken promise is noticed."""

from __future__ import annotations

import random
from dataclasses import replace

from msgspec import structs

from measurements.model import Mechanism, PaceSoFar
from tests.lab.accuracy.lines import Line
from tests.lab.accuracy.paces import ROWS, WILD, Row, kept, paths, report, session, told, year

KNOWN = PaceSoFar(alike_legs=48, alike_apart=1)
BY_NAME = {row.name: row for row in ROWS}


def test_128_kbit_is_found_within_five_pairs() -> None:
    ended = paths(BY_NAME["128 kbit/s"], 100)
    assert sum(each.soon for each in ended) >= 98
    assert all(each.found.mechanism is Mechanism.THROTTLE_RATE for each in ended)


def test_a_freeze_is_a_stall() -> None:
    ended = paths(BY_NAME["frozen after 16 kB"], 20)
    assert all(each.found.mechanism is Mechanism.THROTTLE_STALL for each in ended)


def test_honest_lines_are_accused_of_nothing() -> None:
    for name in ("honest", "honest, rough line", "honest, wild line", "honest, loss 10 %, jitter"):
        assert not any(each.found.mechanism for each in paths(BY_NAME[name], 40))


def test_an_honest_line_is_accused_of_nothing_in_a_year() -> None:
    assert year(Line(own=WILD), random.Random("one year")) is None


def test_a_throttle_that_begins_after_many_clear_sessions_is_found_at_once() -> None:
    """If 29 sessions were clear, the next one still finds 128 kbit/s within the day's data."""
    chance = random.Random("later")
    ended = session(Line(), chance)
    for day in range(1, 29):
        ended = session(Line(), chance, structs.replace(KNOWN, last=ended.found), 86_400.0 * day)
    last = session(Line(cap=128e3), chance, structs.replace(KNOWN, last=ended.found), 86_400.0 * 29)
    assert last.found.sessions == 30
    assert last.found.mechanism is Mechanism.THROTTLE_RATE


def test_a_promise_that_is_not_kept_is_noticed() -> None:
    honest = Row("honest", Line(), least=0.5)
    ended = paths(honest, 5)
    assert not kept(honest, ended)
    assert told(honest, ended).endswith("MISSED")
    assert kept(replace(honest, least=None, most=0.0), ended)
    throttled = Row("throttled", Line(cap=128e3), most=0.0)
    assert not kept(throttled, paths(throttled, 5))


def test_the_report_is_written() -> None:
    said: list[str] = []
    assert report(1, 0, said.append) in (0, 1)
    assert len(said) == 2 + len(ROWS)
