"""Where on the path a packet was stopped, on paths that are drawn hop by hop."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from measurements.model import (
    AnyObservation,
    Hop,
    Proof,
    Purpose,
    View,
    Where,
)
from measurements.proofs import (
    Shown,
    answered_for,
    place,
    same_prefix,
)
from tests.measurements.scenes import BESIDE, SITE, scene, told

WITNESS, NEAR = "192.0.2.1", "203.0.113.99"
ROUTERS = {1: "192.168.0.1", 2: "198.51.100.9", 3: "198.51.100.10"}


WORDS = {"e": "expired", "r": "reset", ".": "silence", "o": "open", "u": "unreachable", "d": "data", "f": "eof"}


class Paths:
    """Packets along a path: a letter a distance, `e` expired, `r` reset, `.` silence, `o` open, `u` unreachable."""

    def __init__(self) -> None:
        self.steps: list[AnyObservation] = []

    def send(self, purpose: Purpose, path: str, address: str, probe: str = "syn", **routers: str) -> None:
        for ttl, letter in enumerate(path, 1):
            router = routers.get(f"at{ttl}", ROUTERS.get(ttl, f"198.51.100.{ttl + 20}")) if letter in "eu" else None
            self.steps.append(
                Hop(
                    id=len(self.steps) + 1,
                    view=View.FOLLOW_UP,
                    purpose=purpose,
                    address=address,
                    port=443,
                    probe=probe,
                    ttl=ttl,
                    answer=WORDS[letter],
                    router=None if router == "?" else router,
                )
            )


def drawn(ours: str, theirs: str, witness: str = "eeeo", *, again: str | None = None, **facts: Any) -> Shown | None:
    """Place the target's packets beside a neighbour's; `again` is the second try, the same unless told."""
    paths = Paths()
    at = facts.get("at", WITNESS)
    paths.send(Purpose.TRACE_TARGET, ours, SITE)
    paths.send(Purpose.TRACE_TARGET, ours if again is None else again, SITE)
    paths.send(Purpose.TRACE_NEIGHBOUR, theirs, BESIDE, **facts.get("beside", {}))
    paths.send(Purpose.TRACE_WITNESS, witness, at, **facts.get("routers", {}))
    return place(told(paths.steps), Purpose.TRACE_NEIGHBOUR)


def found(shown: Shown | None) -> tuple[Proof, Where, int | None] | None:
    return None if shown is None else (shown.proof, shown.where, shown.hop)


@pytest.mark.parametrize(
    ("ours", "theirs", "where"),
    [
        ("er", "eeeo", (Proof.IMPOSSIBLE, Where.NETWORK, 2)),
        ("eer", "eeeo", (Proof.IMPOSSIBLE, Where.NETWORK, 3)),
        ("eo", "eeeo", (Proof.IMPOSSIBLE, Where.NETWORK, 2)),
        ("ed", "eeeo", (Proof.IMPOSSIBLE, Where.NETWORK, 2)),
        ("ef", "eeeo", (Proof.IMPOSSIBLE, Where.NETWORK, 2)),
        ("eu", "eeeo", (Proof.SHORT, Where.NETWORK, 2)),
        ("r", "eeeo", (Proof.IMPOSSIBLE, Where.LOCAL, 1)),
        ("u", "eeeo", (Proof.SHORT, Where.LOCAL, 1)),
        ("ee..", "eeeo", (Proof.SHORT, Where.NETWORK, 3)),
        ("e...", "eeeo", (Proof.SHORT, Where.NETWORK, 2)),
        ("....", "eeeo", (Proof.SHORT, Where.LOCAL, 1)),
    ],
)
def test_packets_that_end_short_of_the_site_are_placed(ours: str, theirs: str, where: tuple[Proof, Where, int]) -> None:
    """If the target's packets are answered or die where a neighbour's go on, that is where it happens."""
    assert found(drawn(ours, theirs)) == where


@pytest.mark.parametrize(
    ("ours", "theirs", "why"),
    [
        ("eeeo", "eeeo", "both arrive"),
        ("eeer", "eeeo", "the neighbour is reached at the same distance"),
        ("eee.", "eee.", "both die at the gate"),
        ("ee..", "ee..", "both die short of it"),
        ("ee.", "eeeo", "one silence is not enough"),
        ("er", "e", "nothing of the neighbour's is known there"),
        ("er", "e.", "the neighbour's died there too"),
        ("er", "er", "both get the same"),
        ("ee.eo", "eeeeo", "what was silent was passed"),
        ("e..eo", "eeeeo", "two silent routers were passed"),
        ("", "eeeo", "nothing was sent"),
        ("eee", "eeeo", "nothing ended"),
    ],
)
def test_packets_that_end_as_a_neighbours_do_show_nothing(ours: str, theirs: str, why: str) -> None:
    assert drawn(ours, theirs) is None, why


def test_what_was_met_once_does_not_last() -> None:
    """If a second packet that far met something else, or none was sent, a lost answer explains the first."""
    assert drawn("ee..", "eeeo", again="") is None
    assert drawn("er", "eeeo", again="") is None
    assert drawn("er", "eeeo", again="ee") is None
    assert found(drawn("ee..", "eeeo", again="...")) == (Proof.SHORT, Where.NETWORK, 3)


def test_a_lost_answer_of_a_router_is_found_by_the_second_packet() -> None:
    """If one of two packets to a distance met a router, the path goes on there."""
    assert drawn("ee..", "eeeo", again="eee.") is None
    assert found(drawn("e.r", "eeeo", again="eer")) == (Proof.IMPOSSIBLE, Where.NETWORK, 3)


@pytest.mark.parametrize(
    ("witness", "routers"),
    [
        ("ee", {}),
        ("ee.", {}),
        ("eeo", {}),
        ("eeeo", {"at3": "198.51.100.77"}),
        ("eeeo", {"at3": "?"}),
    ],
    ids=["not-that-far", "silent-there", "arrived-there", "another-router", "nameless-router"],
)
def test_a_router_that_carries_nothing_for_others_may_be_the_sites(witness: str, routers: dict[str, str]) -> None:
    """If the router where packets end is not seen on the way to an unrelated site, it may be the site's own gate."""
    assert drawn("eer", "eeeo", witness, routers=routers) is None
    assert drawn("ee..", "eeeo", witness, routers=routers) is None


def test_the_first_hop_is_ours_whatever_it_carries() -> None:
    """If packets end at the first hop, no witness has to say whose it is."""
    assert found(drawn("r", "eeeo", "")) == (Proof.IMPOSSIBLE, Where.LOCAL, 1)
    assert drawn("r", "r", "") is None


@pytest.mark.parametrize(("theirs", "apart"), [("eeeo", False), ("eeeeo", True)])
def test_a_witness_next_door_excludes_the_gate_of_both(theirs: str, apart: bool) -> None:
    """If the witness is of the site's own prefix, the last router may be the gate of both; one before it is not."""
    assert (drawn("eer", theirs, "eeeeo", at=NEAR) is not None) is apart
    assert (drawn("ee..", theirs, "eeeeo", at=NEAR) is not None) is apart
    assert drawn("eer", theirs, "eeeeo", at=WITNESS) is not None


def test_a_nameless_router_is_named_by_a_syn_of_the_same_distance() -> None:
    """If a hello's answer names no router, the one that a SYN meets there is it; without one, nobody is placed."""
    for path, expected in (("eee", (Proof.IMPOSSIBLE, Where.NETWORK, 3)), ("ee.", None), ("", None)):
        paths = Paths()
        for _ in range(2):
            paths.send(Purpose.TRACE_TARGET, "eer", SITE, "hello")
        paths.send(Purpose.TRACE_HARMLESS, "eeed", SITE, "hello", at2="?", at3="?")
        paths.send(Purpose.TRACE_PATH, path, SITE)
        paths.send(Purpose.TRACE_WITNESS, "eeeo", WITNESS)
        assert found(place(told(paths.steps), Purpose.TRACE_HARMLESS)) == expected


@pytest.mark.parametrize(
    ("harmless", "path", "witness"),
    [("ee.d", "eeee", "eeeo"), ("eeed", "eeu", "eeeo"), ("eeed", "eee", "eeu"), ("eeed", "ee", "eee")],
    ids=["harmless-silent-there", "refused-there", "refused-for-others-there", "nameless-for-both"],
)
def test_only_a_router_that_passes_all_three_on_places_it(harmless: str, path: str, witness: str) -> None:
    """If one of the three packets that go so far did not meet the same forwarding router, nobody is placed."""
    paths = Paths()
    for _ in range(2):
        paths.send(Purpose.TRACE_TARGET, "eer", SITE, "hello")
    paths.send(Purpose.TRACE_HARMLESS, harmless, SITE, "hello", at3="?")
    paths.send(Purpose.TRACE_PATH, path, SITE, at3="198.51.100.10")
    paths.send(Purpose.TRACE_WITNESS, witness, WITNESS, at3="?" if len(path) < 3 else "198.51.100.10")
    assert place(told(paths.steps), Purpose.TRACE_HARMLESS) is None


def test_a_path_beyond_which_nothing_was_asked_does_not_exclude_a_gate_next_door() -> None:
    assert drawn("eer", "eee", "eeeeo", at=NEAR) is None
    assert found(drawn("eer", "eee", "eeeeo")) == (Proof.IMPOSSIBLE, Where.NETWORK, 3)


def test_a_hello_is_compared_with_hellos_and_a_syn_with_syns() -> None:
    """If the packets were of two kinds, one kind's end is not laid to the other."""
    paths = Paths()
    for _ in range(2):
        paths.send(Purpose.TRACE_TARGET, "er", SITE, "hello")
    paths.send(Purpose.TRACE_NEIGHBOUR, "eeeo", BESIDE)
    paths.send(Purpose.TRACE_WITNESS, "eeeo", WITNESS)
    assert place(told(paths.steps), Purpose.TRACE_NEIGHBOUR) is None
    assert place(told(paths.steps), Purpose.TRACE_HARMLESS) is None


def test_what_places_it_is_the_evidence() -> None:
    shown = drawn("er", "eeeo")
    assert shown is not None
    paths = Paths()
    for purpose, path, address in (
        (Purpose.TRACE_TARGET, "er", SITE),
        (Purpose.TRACE_TARGET, "er", SITE),
        (Purpose.TRACE_NEIGHBOUR, "eeeo", BESIDE),
        (Purpose.TRACE_WITNESS, "eeeo", WITNESS),
    ):
        paths.send(purpose, path, address)
    by_id = {step.id: step for step in paths.steps}
    hops = [by_id[i] for i in shown.evidence]
    assert {(h.purpose, h.ttl) for h in hops if isinstance(h, Hop)} == {
        (Purpose.TRACE_TARGET, 2),
        (Purpose.TRACE_NEIGHBOUR, 2),
        (Purpose.TRACE_WITNESS, 2),
    }
    near = drawn("r", "eeeo", "")
    assert near is not None
    assert len(near.evidence) == 2


@given(st.text("er.oudf", max_size=6), st.text("er.oudf", max_size=6), st.text("eo.", max_size=6))
def test_a_place_is_only_where_the_neighbours_packets_went_on(ours: str, theirs: str, witness: str) -> None:
    shown = drawn(ours, theirs, witness)
    if shown is None:
        return
    assert shown.hop is not None
    assert theirs[shown.hop - 1] == "e"
    assert ours[shown.hop - 1] != "e"
    assert (shown.where is Where.LOCAL) is (shown.hop == 1)
    assert shown.hop == 1 or witness[shown.hop - 1] == "e"
    assert (shown.proof is Proof.SHORT) is (ours[shown.hop - 1] in ".u")


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("203.0.113.1", "203.0.113.254", True),
        ("203.0.113.1", "203.0.114.1", False),
        ("2001:db8:1::1", "2001:db8:1:ffff::1", True),
        ("2001:db8:1::1", "2001:db8:2::1", False),
        ("203.0.113.1", "2001:db8:1::1", False),
        ("[redacted:client]", "203.0.113.1", False),
        ("203.0.113.1", "", False),
    ],
)
def test_one_prefix_is_what_networks_announce(one: str, other: str, same: bool) -> None:
    assert same_prefix(one, other) is same
    assert same_prefix(other, one) is same


def test_only_an_answer_from_short_of_it_is_another_s() -> None:
    """If packets die there, or arrive, nobody answers for the site; nor for an address that is not known to be its."""
    for ours, trusted, answered in (
        ("eo", SITE, True),
        ("e...", SITE, False),
        ("eeeo", SITE, False),
        ("eo", BESIDE, False),
    ):
        paths = Paths()
        paths.steps = scene(failure=None, trusted=(trusted,))
        for _ in range(2):
            paths.send(Purpose.TRACE_TARGET, ours, SITE)
        paths.send(Purpose.TRACE_NEIGHBOUR, "eeeo", BESIDE)
        paths.send(Purpose.TRACE_WITNESS, "eeeo", WITNESS)
        story = told(paths.steps)
        leg = story.legs[0]
        assert (answered_for(story, leg, leg.flows[0]) is not None) is answered
