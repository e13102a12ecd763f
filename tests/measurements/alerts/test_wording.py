"""What an alert says: short, plain, how sure, what next; honest about what was taken back; safe with hostile text."""

from __future__ import annotations

import unicodedata

import pytest

from measurements.alerts.notice import Change, News, Notice
from measurements.alerts.wording import TEXT, TITLE, page, text, title
from measurements.events.nouns import Event, Kind, Status
from measurements.printable import columns
from tests.measurements.alerts.notices import (
    PUBLIC_URL,
    a_test,
    confirmed,
    ended,
    event,
    hostile,
    many,
    notice,
)

REVISED = event(status=Status.WITHDRAWN, reason="revised")
MERGED = event(status=Status.WITHDRAWN, reason="merged", into="b" * 32)
CLEARED = ended(confirmed=None, reason="cleared")
NINE = tuple(f"site{number}.example.com" for number in range(9))
LONG = tuple(f"{'long-' * 12}{number}.example.com" for number in range(9))
EVERY = [
    notice(event()),
    notice(confirmed()),
    notice(confirmed(targets=NINE, asns=(1, 2, 3))),
    notice(confirmed(targets=LONG, kind=Kind.ALLOWLIST)),
    notice(confirmed(targets=(), countries=(), asns=(), kind=Kind.OUTAGE, mechanisms=())),
    notice(ended()),
    notice(CLEARED),
    notice(REVISED),
    notice(MERGED),
    notice(hostile()),
    notice(hostile(), hostile("f" * 32), public_url=PUBLIC_URL),
    notice(*many(3), confirmed(), ended(), REVISED),
    notice(*many(300), digest=True, public_url=PUBLIC_URL),
    notice(*many(5, targets=LONG), public_url=PUBLIC_URL),
    a_test(),
    *(notice(event(kind=kind, reason=reason)) for kind in Kind for reason in ("evidence", "software", "unheard-of")),
]


@pytest.mark.parametrize("told", EVERY, ids=range(len(EVERY)))
def test_a_text_is_short_and_harmless(told: Notice) -> None:
    assert 10 < columns(title(told)) <= TITLE
    assert 20 < len(text(told)) <= TEXT + 50
    for line in (title(told), *text(told).split("\n")):
        assert line.strip()
        assert not [c for c in line if unicodedata.category(c) in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")]
        assert "kanari-probe" not in line


def test_an_event_is_told_with_what_where_when_how_sure_and_what_next() -> None:
    told = notice(event(), public_url=PUBLIC_URL)
    assert title(told) == "Wazi: facebook.com blocked on AS24757 in ET (not confirmed)"
    lines = text(told).split("\n")
    assert lines[0].endswith("in ET, since between 06:00 and 06:20 UTC on 2025-11-25 (not confirmed)")
    assert lines[1] == "How: tls.reset."
    assert lines[2].startswith("Not confirmed: it may be a false alarm")
    assert lines[3] == "Next: wazi events adf48fdc; for the evidence as a page, wazi report adf48fdc --pdf."
    assert lines[4:] == ["Do not publish before a person has looked.", f"{PUBLIC_URL}/events/{'adf48fdc' * 4}"]


def test_confirmed_is_said_without_odds() -> None:
    said = text(notice(confirmed(false_alarms_per_week=0.5)))
    assert "promise of 0.5 false alarms a week at most, on average. That is not the odds of censorship." in said
    assert "(confirmed)" in title(notice(confirmed()))


@pytest.mark.parametrize(
    ("over", "mark", "words"),
    [
        (ended(), "over: ", "It is over: access is as before."),
        (ended(confirmed=None), "over: ", "It was never confirmed."),
        (CLEARED, "cleared: ", "We took this back: later votes spoke against it before it was sure."),
        (
            REVISED,
            "taken back: ",
            "We took this back: votes that came late showed it otherwise. Tell those",
        ),
        (MERGED, "merged: ", "it is part of event bbbbbbbb, which goes on by itself.\nMore: wazi events bbbbbbbb"),
    ],
    ids=["ended", "never confirmed", "cleared", "revised", "merged"],
)
def test_what_is_over_or_taken_back_is_said_so(over: Event, mark: str, words: str) -> None:
    told = notice(over, change=Change.CLOSED)
    assert title(told).startswith(f"Wazi: {mark}facebook.com")
    assert words in text(told)
    assert "wazi report" not in text(told)


def test_what_holds_an_event_back_is_said() -> None:
    assert "Harmless sites raise alarms too" in text(notice(event(reason="placebo")))


@pytest.mark.parametrize("kind", [Kind.UNREACHABLE, Kind.BLIND, Kind.OUTAGE])
def test_where_no_cause_is_settled_none_is_suggested(kind: Kind) -> None:
    for said in (event(kind=kind), confirmed(kind=kind)):
        assert "somebody is the cause is not settled" in text(notice(said))
    assert "not settled" not in text(notice(confirmed()))


def test_an_outage_is_held_to_no_promise() -> None:
    assert "what was tried later failed too" in text(notice(confirmed(kind=Kind.OUTAGE)))


def test_a_long_title_keeps_how_sure_it_is() -> None:
    assert title(notice(confirmed(targets=NINE))) == (
        "Wazi: site0.example.com and 8 more targets blocked on AS24757 in ET (confirmed)"
    )
    cut = title(notice(confirmed(targets=LONG)))
    assert cut.endswith("… (confirmed)")


def test_several_events_are_one_message_with_the_sure_ones_first() -> None:
    told = Notice(
        id="1",
        time=0.0,
        news=(
            News(change=Change.OPENED, event=event("1" * 32), version=1),
            News(change=Change.UPDATED, event=confirmed("2" * 32), version=2),
            News(change=Change.CLOSED, event=ended("3" * 32), version=3),
        ),
    )
    assert title(told) == "Wazi: 3 events (1 opened, 1 updated, 1 closed)"
    lines = text(told).split("\n")
    assert [line.partition(" ")[0] for line in lines[:3]] == ["2" * 8, "3" * 8, "1" * 8]
    assert lines[1] == "33333333 over: facebook.com blocked on AS24757 in ET"
    assert "Do not publish" in lines[-1]


def test_what_has_no_room_is_counted() -> None:
    told = notice(*many(300), digest=True)
    assert title(told) == "Wazi digest: 300 events (300 opened)"
    listed = [line for line in text(told).split("\n") if line.startswith("0000")]
    assert f"… and {300 - len(listed)} more events: wazi events --all" in text(told).split("\n")
    assert len(listed) >= 4


def test_a_test_says_that_nothing_happened() -> None:
    for told in (a_test(), notice(event(), change=Change.TEST, public_url=PUBLIC_URL)):
        assert title(told) == "TEST: nothing happened (Wazi)"
        assert text(told).startswith("TEST: nothing happened.")
        assert page(told) == ""


def test_without_a_public_address_there_is_no_link() -> None:
    assert "http" not in text(notice(event()))
    assert page(notice(event(), event("2" * 32), public_url=PUBLIC_URL)) == f"{PUBLIC_URL}/events"


def test_an_event_that_came_and_went_unheard_is_told_once_as_over() -> None:
    over = ended()
    told = Notice(
        id="n1",
        time=over.updated,
        news=(
            News(change=Change.OPENED, event=confirmed(), version=1),
            News(change=Change.CLOSED, event=over, version=2),
        ),
        public_url=PUBLIC_URL,
    )
    alone = Notice(id="n1", time=over.updated, news=told.news[1:], public_url=PUBLIC_URL)
    assert (title(told), text(told), page(told)) == (title(alone), text(alone), page(alone))
