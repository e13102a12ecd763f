"""Votes become events as they should: what opens, grows, is held back, and ends."""

from __future__ import annotations

import itertools

import msgspec
import pytest

from measurements.events.detector import Detector, detect
from measurements.events.nouns import Event, Kind, Standing, Status
from measurements.model import Strength, Vote
from tests.measurements.events.votes_of import HOUR, SETTINGS, START, hours, live, series, within

CLEAN = [series(f"quiet{i}.org") for i in range(3)]
CLEAN_VOTES = list(itertools.chain(*CLEAN))


def only(events: list[Event]) -> Event:
    (event,) = events
    return event


def test_all_well_is_no_event() -> None:
    detector, told = live(CLEAN_VOTES)
    assert (told, detector.events()) == ([], [])


def test_a_block_seen_by_one_probe() -> None:
    detector, told = live([*series("x.com", within(48, 60), hours=84), *CLEAN_VOTES])
    assert [(event.status, event.reason) for event in told] == [
        (Status.UNCONFIRMED, "evidence"),
        (Status.CONFIRMED, ""),
        (Status.CLOSED, "ended"),
    ]
    assert hours(told[0].updated) == 48.0
    assert hours(told[1].updated) - 48.0 <= 6.0
    event = only(detector.events())
    assert (event.kind, event.targets, event.asns, event.layers) == (Kind.BLOCKING, ("x.com",), (64500,), ("tls",))
    assert hours(event.onset[0]) <= 47.5 <= hours(event.onset[1])
    assert event.end is not None
    assert hours(event.end[0]) <= 59.5 <= hours(event.end[1])
    assert event.witnesses[0] == "p1/x.com/48.0"
    assert event.evidence_ratio > 1000
    assert event.summary.startswith("x.com blocked on AS64500 in TZ, begun between ")


def test_a_second_line_confirms_at_once() -> None:
    one = series("x.com", within(48, 72), every=0.25)
    two = series("x.com", within(48, 72), every=0.25, first=0.1, probe="p2")
    _, told = live([*one, *two])
    confirmed = next(event for event in told if event.status is Status.CONFIRMED)
    assert confirmed.probe_count == 2
    assert hours(confirmed.updated) - 48.0 <= 1.5


@pytest.mark.parametrize("later", [0.05, 0.5])
def test_a_second_network_confirms_within_twenty_minutes(later: float) -> None:
    """Each asks again after 15, 30 and 60 minutes; alone, neither would have enough for hours."""
    votes: list[Vote] = []
    for asn, since in ((64500, 48.0), (64501, 48.0 + later)):
        asked = [*range(48), since, since + 0.25, since + 0.5, since + 1.0, since + 2.0, since + 3.0]
        for hour in asked:
            votes += series("x.com", within(48, 99), asn=asn, probe=f"p{asn}", first=hour, hours=hour + 0.001)
    _, told = live(votes, msgspec.structs.replace(SETTINGS, volume_per_week=20_000.0))
    confirmed = next(event for event in told if event.status is Status.CONFIRMED)
    assert hours(confirmed.updated) - (48.0 + later) <= 1 / 3
    assert {part.standing for part in confirmed.parts} == {Standing.SUSPECTED}
    assert confirmed.asns == (64500, 64501)
    alone = [vote for vote in votes if vote.asn == 64500]
    assert hours(live(alone)[1][-1].updated) == 51.0


@pytest.mark.parametrize("works", [True, False])
def test_a_network_that_still_works_speaks_against_a_pair(works: bool) -> None:
    """What the second network saw after the first was blocked counts as well."""
    one = series("x.com", within(48, 99), every=0.5, hours=49.4)
    before = series("x.com", asn=64501, probe="p2", every=0.5, first=0.1, hours=48.7 if works else 48.0)
    after = series("x.com", within(0, 99), asn=64501, probe="p2", every=0.5, first=48.8, hours=49.4)
    _, told = live([*one, *before, *after], msgspec.structs.replace(SETTINGS, volume_per_week=20_000.0))
    assert (Status.CONFIRMED in {event.status for event in told}) is not works


def test_one_line_alone_waits_for_three_hours() -> None:
    _, told = live(series("x.com", within(48, 72), every=0.25))
    assert [(event.status, event.reason) for event in told] == [
        (Status.UNCONFIRMED, "evidence"),
        (Status.UNCONFIRMED, "one_line"),
        (Status.CONFIRMED, ""),
    ]
    assert hours(told[-1].updated) == 51.0


def test_the_last_question_confirms_though_a_scheduled_one_came_just_before() -> None:
    """Both are of one quarter of an hour, of which the first vote counts: it says nothing of three hours."""
    asked = [
        vote
        for minutes in (6, 20, 35, 65, 95, 125, 155, 183, 187)
        for vote in series("x.com", within(48, 99), first=48 + minutes / 60, hours=48 + minutes / 60 + 0.001)
    ]
    _, told = live([*series("x.com", within(48, 99), hours=48), *asked])
    assert told[-1].status is Status.CONFIRMED
    assert hours(told[-1].updated) == pytest.approx(48 + 187 / 60)


def test_what_moves_together_is_one_event() -> None:
    targets = {"facebook.com": 48.0, "x.com": 48.5, "whatsapp.com": 49.9}
    votes = [
        vote
        for target, since in targets.items()
        for asn in (64500, 64501, 64502)
        for vote in series(target, within(since, 99), asn=asn, probe=f"p{asn}", first=(asn - 64500) / 10)
    ]
    detector, _ = live(votes)
    event = only(detector.events())
    assert (event.status, len(event.parts)) == (Status.CONFIRMED, 9)
    assert sorted(event.targets) == sorted(targets)
    assert event.asns == (64500, 64501, 64502)
    assert event.probe_count == 3
    assert "facebook.com, x.com and whatsapp.com blocked on 3 networks in TZ, since between" in event.summary


def test_what_is_cleared_leaves_the_event_it_was_told_with() -> None:
    """Noise in the same network neither stays a part nor carries an event on for ever."""
    noise = [v for n in range(12) for v in series(f"n{n}.org", within(40 + 3 * n, 41 + 3 * n), hours=90)]
    detector, told = live([*series("x.com", within(48, 99), hours=90), *noise])
    open_ones = [event for event in detector.events() if event.is_open]
    assert only(open_ones).targets == ("x.com",)
    assert len(only(open_ones).parts) == 1
    assert {event.reason for event in told if event.status is Status.CLOSED} == {"cleared"}
    assert Status.WITHDRAWN not in {event.status for event in told}


def test_what_moves_seven_hours_later_is_another_event() -> None:
    detector, _ = live([*series("x.com", within(40, 99)), *series("y.com", within(47, 99))])
    assert [event.targets for event in detector.events()] == [("x.com",), ("y.com",)]


def test_noise_before_a_block_does_not_part_what_began_together() -> None:
    """The first vote against access is not yet the block: where that most likely began is what counts."""
    noisy = series("x.com", lambda hour: hour == 41 or hour >= 48, strength=Strength.FAILED)
    votes = [*noisy, *series("y.com", within(48, 99), strength=Strength.FAILED)]
    event = only(live(votes)[0].events())
    assert [part.standing for part in event.parts] == [Standing.BLOCKED] * 2


def test_what_began_between_the_same_votes_is_one_event() -> None:
    """Two targets that are asked twice a day, nine hours apart, may have gone at once."""
    votes = [*series("x.com", within(240, 999), every=12, hours=480)]
    votes += series("y.com", within(240, 999), every=12, hours=480, first=9)
    assert len(only(live(votes)[0].events()).parts) == 2


def test_what_links_two_events_makes_them_one() -> None:
    """The one that was told first takes the other in, which is withdrawn and not forgotten."""
    one = series("x.com", within(48, 99), asn=64500)
    other = series("y.com", within(49, 99), asn=64501, probe="p2")
    link = series("x.com", within(51, 99), asn=64501, probe="p2")
    detector, told = live([*one, *other, *link])
    event = only(detector.events())
    gone = only([event for event in told if event.status is Status.WITHDRAWN])
    assert (gone.reason, gone.into, gone.targets) == ("merged", event.id, ("y.com",))
    assert told[0].id == event.id
    assert len(event.parts) == 3


def test_one_bad_vote_is_cleared() -> None:
    detector, told = live(series("x.com", within(48, 49)))
    assert [(event.status, event.reason) for event in told] == [
        (Status.UNCONFIRMED, "evidence"),
        (Status.CLOSED, "cleared"),
    ]
    event = only(detector.events())
    assert (event.confirmed, event.end, event.parts[0].standing) == (None, None, Standing.CLEARED)
    assert event.summary.endswith("(never confirmed)")


def test_reported_votes_are_told_of_when_they_are_enough() -> None:
    detector, told = live(series("x.com", within(48, 72), strength=Strength.REPORTED))
    assert told[0].status is Status.CONFIRMED
    assert only(detector.events()).blocked == 24


def test_a_site_that_is_down_everywhere_is_held_back() -> None:
    votes = [
        vote
        for country, asn in (("TZ", 1), ("KE", 2), ("UG", 3))
        for vote in series("x.com", within(48, 72), country=country, asn=asn, probe=f"p{asn}")
    ]
    detector, _ = live(votes)
    events = detector.events()
    assert [(event.status, event.reason) for event in events] == [(Status.UNCONFIRMED, "elsewhere")] * 3


def test_a_site_that_was_down_everywhere_is_held_back_in_all_countries() -> None:
    """Each holds the others back until all have been told, also when they are let go of."""
    votes = [
        vote
        for country, asn in (("TZ", 1), ("KE", 2), ("UG", 3), ("RW", 4))
        for vote in series("x.com", within(48, 72), country=country, asn=asn, probe=f"p{asn}", hours=240)
    ]
    events = detect(votes, SETTINGS)
    assert [(event.reason, event.confirmed) for event in events] == [("ended", None)] * 4


def test_many_networks_of_one_country_are_no_veto() -> None:
    votes = [vote for asn in range(1, 6) for vote in series("x.com", within(48, 72), asn=asn, probe=f"p{asn}")]
    detector, _ = live(votes)
    assert only(detector.events()).status is Status.CONFIRMED


@pytest.mark.parametrize("other", ["wazi 1", "wazi 2"])
def test_what_one_version_of_the_software_sees_alone_is_held_back(other: str) -> None:
    new = series("x.com", within(48, 72), every=0.5, software="wazi 2")
    old = series("x.com", every=6.0, first=0.2, probe="p2", software=other)
    detector, _ = live([*new, *old])
    event = only(detector.events())
    assert (event.status, event.reason) == (
        (Status.UNCONFIRMED, "software") if other == "wazi 1" else (Status.CONFIRMED, "")
    )


def test_a_probe_that_is_upgraded_when_the_block_ends_takes_nothing_back() -> None:
    old = series("x.com", within(48, 60), hours=60.0, software="wazi 1")
    new = series("x.com", first=60.0, hours=90.0, software="wazi 2")
    event = only(live([*old, *new])[0].events())
    assert (event.status, event.reason, event.confirmed is not None) == (Status.CLOSED, "ended", True)


def test_a_blind_probe_is_an_event_of_its_own_kind() -> None:
    votes = series("x.com", within(48, 72), layer="blind", strength=Strength.FAILED, mechanism="")
    detector, _ = live([*votes, *series("y.com", within(48, 72))])
    assert {event.kind for event in detector.events()} == {Kind.BLIND, Kind.BLOCKING}


def test_a_block_that_changes_its_mechanism() -> None:
    votes = series("x.com", within(48, 72), mechanism=lambda hour: "tls.reset" if hour < 60 else "tls.timeout")
    detector, told = live(votes)
    event = only(detector.events())
    assert [(name, hours(time)) for name, time in event.mechanisms] == [("tls.reset", 48.0), ("tls.timeout", 60.0)]
    assert hours(told[-1].updated) == 60.0


def test_silence_is_no_evidence_and_ends_nothing() -> None:
    votes = [vote for vote in series("x.com", within(48, 200), hours=120) if not 60 < hours(vote.time) < 100]
    detector, told = live(votes)
    assert only(detector.events()).status is Status.CONFIRMED
    assert [event.status for event in told] == [Status.UNCONFIRMED, Status.CONFIRMED]


def test_a_throttled_site() -> None:
    votes = series("x.com", within(48, 72), layer="throttle", mechanism="throttle.rate")
    assert only(live(votes)[0].events()).kind is Kind.THROTTLING


def test_an_allowlist() -> None:
    votes = series("x.com", within(48, 72), layer="network", mechanism="network.allowlist")
    assert only(live(votes)[0].events()).kind is Kind.ALLOWLIST


def test_a_placebo_storm_suspends_all_claims_and_it_passes() -> None:
    block = list(series("x.com", within(60, 400), hours=400))
    storm = [
        vote
        for asn, name in ((64501, "a.org"), (64502, "b.org"))
        for vote in series(name, within(48, 56), asn=asn, hours=300, placebo=True, probe=f"p{asn}")
    ]
    detector, told = live([*block, *storm])
    assert [(event.status, event.reason) for event in told] == [
        (Status.UNCONFIRMED, "evidence"),
        (Status.UNCONFIRMED, "placebo"),
        (Status.CONFIRMED, ""),
    ]
    event = only(detector.events())
    assert (event.status, event.targets) == (Status.CONFIRMED, ("x.com",))
    assert detector.suspended_until is None


def test_a_placebo_in_the_same_network_holds_back_that_network_only() -> None:
    votes = [
        *series("x.com", within(48, 72)),
        *series("y.com", within(48, 72), asn=64501, probe="p2"),
        *series("a.org", within(48, 72), placebo=True),
    ]
    detector, _ = live(votes)
    assert {event.targets[0]: (event.status, event.reason) for event in detector.events()} == {
        "x.com": (Status.UNCONFIRMED, "placebo"),
        "y.com": (Status.CONFIRMED, ""),
    }


def test_a_placebo_that_began_with_an_event_holds_it_back_though_its_alarm_came_later() -> None:
    failing = series("x.com", within(48, 99), hours=90, strength=Strength.FAILED)
    harmless = series("a.org", within(48, 99), hours=90, strength=Strength.FAILED, placebo=True)
    detector, _ = live([*failing, *harmless])
    event = only(detector.events())
    assert (event.status, event.reason) == (Status.UNCONFIRMED, "placebo")


def test_batch_and_live_say_the_same() -> None:
    votes = [*series("x.com", within(48, 60)), *series("y.com", within(50, 99)), *CLEAN_VOTES]
    assert detect(votes, SETTINGS) == live(votes)[0].events()
    assert detect(reversed(votes), SETTINGS) == detect(votes, SETTINGS)


def test_of_a_probe_one_vote_a_bin_counts() -> None:
    votes = list(series("x.com", within(48, 72)))
    twice = [msgspec.structs.replace(vote, time=vote.time + 60, blocked=True, witness="again") for vote in votes]
    assert detect([*votes, *twice], SETTINGS) == detect(votes, SETTINGS)


def test_votes_that_come_too_late_are_refused_and_counted() -> None:
    votes = sorted(series("x.com", hours=72), key=lambda vote: vote.time)
    detector, _ = live(votes)
    assert detector.add(msgspec.structs.replace(votes[0], blocked=True, time=START + 22 * HOUR)) == ()
    assert detector.refused == 1
    assert detector.events() == []


def test_closed_events_are_let_go_of_and_open_ones_are_kept() -> None:
    detector, told = live([*series("x.com", within(48, 60), hours=200), *series("y.com", within(100, 999), hours=200)])
    assert [event.targets for event in detector.events()] == [("y.com",)]
    assert {event.targets for event in told if event.status is Status.CLOSED} == {("x.com",)}
    assert detector.settle() == []


def test_an_empty_detector_says_nothing() -> None:
    detector = Detector()
    assert (detector.events(), detector.settle(), detector.refused) == ([], [], 0)
    assert detector.threshold > 5


def test_what_is_cleared_began_with_the_vote_that_spoke_for_it() -> None:
    """Votes for access that follow it make a later onset likelier, which would be one without any sign of it."""
    detector, _ = live(series("x.com", within(24.0, 24.2), every=0.25))
    (event,) = detector.events()
    assert (event.status, event.reason) == ("closed", "cleared")
    assert hours(event.onset[0]) <= 24.0 == hours(event.onset[1])
