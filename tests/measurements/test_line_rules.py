"""What the line does by itself: packets too big for the way, hellos of a shape, connections that are counted."""

from __future__ import annotations

from dataclasses import replace

import pytest
from msgspec import structs

from measurements.judge import Case, judge
from measurements.model import Failure, Outcome, Past, Purpose, TcpConnect, Verdict
from measurements.targets import normalise
from probe.network import CLASSIC, LARGE
from tests.measurements.moods import Counting, Narrow, NarrowForCertificates, Residual, Stumbling
from tests.measurements.worlds import (
    ALL,
    HOST,
    IN_CLEAR,
    OPEN,
    RESET,
    SITE,
    TIMEOUT,
    W1,
    Disruption,
    at_witnesses,
    cut_at,
    play,
)
from tests.scripted import BOGONS, Page, ScriptedNetwork, World

DROPPED = replace(
    OPEN, ports={(SITE, 443): TIMEOUT, (SITE, 80): TIMEOUT}, paths={(SITE, None): cut_at(3, "silence")}, seen=None
)
PORT_ONLY = replace(DROPPED, ports={(SITE, 443): TIMEOUT})
HOME = Page(301, b"", None, f"https://{HOST}/")


def judged(net: ScriptedNetwork, url: str = f"https://{HOST}/", history: tuple[Past, ...] = ()) -> Verdict:
    return play(Disruption("", net.world, "", url=url), net, history)[0]


def asked(net: ScriptedNetwork, purpose: Purpose) -> list[TcpConnect]:
    return [o for o in net.observations if isinstance(o, TcpConnect) and o.purpose is purpose]


# Packets that are too big


@pytest.mark.parametrize(
    ("kind", "url"),
    [(NarrowForCertificates, f"https://{HOST}/"), (Narrow, f"https://{HOST}/"), (Narrow, IN_CLEAR)],
    ids=["certificate", "page", "page-in-clear"],
)
def test_what_comes_in_small_segments_only_is_no_block(kind: type[Narrow], url: str) -> None:
    net = kind(OPEN)
    verdict = judged(net, url)
    assert (verdict.outcome, verdict.reason) == (Outcome.INVALID, "path_mtu"), verdict
    assert [c.mss for c in asked(net, Purpose.SMALL_SEGMENTS)] == [536]


def test_small_segments_clear_nobody_whose_name_fails_at_witnesses() -> None:
    """If the name is cut elsewhere too, a censor that is evaded by small segments is still one; none are tried."""
    net = ScriptedNetwork(replace(OPEN, hands=at_witnesses(TIMEOUT)))
    assert judged(net).outcome is Outcome.BLOCKED
    assert not asked(net, Purpose.SMALL_SEGMENTS)


def test_what_fails_in_small_segments_too_is_no_matter_of_size() -> None:
    net = ScriptedNetwork(replace(OPEN, hands={(SITE, HOST): TIMEOUT}))
    assert judged(net).outcome is Outcome.UNREACHABLE
    assert asked(net, Purpose.SMALL_SEGMENTS)
    reset = ScriptedNetwork(replace(OPEN, hands={(SITE, HOST): RESET}))
    assert judged(reset).outcome is Outcome.UNREACHABLE
    assert not asked(reset, Purpose.SMALL_SEGMENTS)


def test_what_came_again_in_ordinary_segments_was_lost_by_chance() -> None:
    class Once(NarrowForCertificates):
        def _fits(self, over: object) -> bool:
            again = getattr(over, "purpose", None) is Purpose.REPETITION
            return again or super()._fits(over)  # type: ignore[arg-type]

    assert judged(Once(OPEN)).reason == "intermittent"


# The shape of the hello


def test_a_box_that_drops_hellos_of_one_segment_is_no_censor_of_a_name() -> None:
    """If harmless names too get through in two segments only, the shape it is."""
    verdict = judged(Stumbling(OPEN, {(SITE, CLASSIC)}))
    assert (verdict.outcome, verdict.reason) == (Outcome.INVALID, "tls_shape"), verdict
    assert "under any name" in verdict.summary


def test_a_box_that_drops_hellos_of_two_segments_spoils_sites_that_ask_for_small_ones() -> None:
    """If a harmless hello in two segments gets no answer even from witnesses, the site's failure is no block."""
    everywhere = {(address, LARGE) for address in ALL}
    verdict = judged(Stumbling(OPEN, {(SITE, CLASSIC), *everywhere}))
    assert (verdict.outcome, verdict.reason) == (Outcome.INVALID, "tls_shape"), verdict
    one = judged(Stumbling(OPEN, {(SITE, CLASSIC), (SITE, LARGE), (W1, LARGE)}))
    assert one.outcome is Outcome.UNREACHABLE
    assert judged(Stumbling(OPEN, everywhere)).outcome is Outcome.ACCESSIBLE


def test_a_name_that_gets_through_in_two_segments_is_blocked_all_the_same() -> None:
    """If a censor reads one segment only, the name is cut in the ordinary shape, and the words say how not."""

    class FirstSegment(ScriptedNetwork):
        async def handshake(self, over: TcpConnect, *, hello: str = CLASSIC, **kwargs: object) -> object:  # type: ignore[override]
            self.world.hands = at_witnesses(RESET) if hello == CLASSIC else {}
            return await super().handshake(over, hello=hello, **kwargs)  # type: ignore[arg-type]

    verdict = judged(FirstSegment(replace(OPEN)))
    assert (verdict.outcome, verdict.mechanism) == (Outcome.BLOCKED, "tls.reset")
    assert "in two segments gets through" in verdict.summary


# Counting


def test_a_site_that_takes_no_more_connections_has_counted_them() -> None:
    """If harmless names were taken and later none is, nobody on the way is accused."""
    net = Counting(replace(OPEN, hands={(SITE, HOST): RESET}, paths={(SITE, HOST): cut_at(4, "reset")}), 2)
    verdict = judged(net)
    assert (verdict.outcome, verdict.reason) == (Outcome.UNREACHABLE, "rate_limited"), verdict


def test_a_chain_of_redirects_that_ends_in_silence_was_counted() -> None:
    """If the site's earlier pages came from the same address, its address is not blocked, wherever packets die."""
    pages = {(SITE, HOST): Page(301, b"", None, f"https://www2.{HOST}/"), (SITE, f"www2.{HOST}"): Page()}
    world = World(names={HOST: [SITE], f"www2.{HOST}": [SITE]}, pages=pages, seen=Page())
    assert judged(Counting(world, 2)).outcome is Outcome.ACCESSIBLE
    dying = replace(world, paths={(SITE, None): cut_at(3, "silence")})
    for each in (world, dying):
        verdict = judged(Counting(each, 1))
        assert (verdict.outcome, verdict.reason) == (Outcome.UNREACHABLE, "rate_limited"), verdict


def test_what_a_name_leaves_behind_is_no_counting() -> None:
    """If no connection stood after the one with the name, it may be that name; and witnesses say so."""
    verdict = judged(Residual(OPEN))
    assert (verdict.outcome, verdict.pattern) == (Outcome.BLOCKED, "residual")


# A port that is shut


def test_a_shut_port_is_told_from_what_a_name_left_behind() -> None:
    """If the name is cut at witnesses and shuts them, that is why the site's port is shut; else the port is blocked."""
    primed = Residual(replace(PORT_ONLY, ports={}, seen=Page()))
    primed.shut.add((SITE, 443))
    verdict = judged(primed)
    assert (verdict.outcome, verdict.mechanism) == (Outcome.BLOCKED, "tcp.timeout"), verdict
    assert (verdict.trigger, verdict.pattern, verdict.findings[0].rule) == ("name", "residual", "tcp.residual")
    port = judged(ScriptedNetwork(replace(PORT_ONLY, seen=Page())))
    assert (port.mechanism, port.trigger, port.findings[0].rule) == ("tcp.timeout", "port", "tcp.blocked")
    assert "follow_up" not in primed.spent.limits


def test_without_a_control_the_other_port_shows_that_a_site_lives() -> None:
    """If its address answers in clear for the name, what stops its protected port is a block; a refusal is no life."""
    for page, outcome in (
        (HOME, Outcome.BLOCKED),
        (Page(), Outcome.BLOCKED),
        (Page(403, b"no", "No"), Outcome.INCONCLUSIVE),
        (Page(302, b"", None, "http://notice.example/"), Outcome.INCONCLUSIVE),
        (Page(200, b"Access denied by order of the court", "Sorry"), Outcome.INCONCLUSIVE),
    ):
        verdict = judged(ScriptedNetwork(replace(PORT_ONLY, pages={(SITE, HOST): page})))
        assert verdict.outcome is outcome, page
    assert judged(ScriptedNetwork(DROPPED)).reason == "no_control"


def test_in_clear_the_certificate_at_the_other_port_shows_that_a_site_lives() -> None:
    """If port 80 is shut and 443 shows the site's certificate, it lives; under a bad one it may be another."""
    shut = replace(PORT_ONLY, ports={(SITE, 80): TIMEOUT})
    assert judged(ScriptedNetwork(shut), IN_CLEAR).outcome is Outcome.BLOCKED
    strange = replace(shut, hands={(SITE, HOST): Failure.SSL_INVALID_HOSTNAME})
    assert judged(ScriptedNetwork(strange), IN_CLEAR).outcome is Outcome.INCONCLUSIVE


def test_a_control_that_found_it_dead_is_believed_more_than_another_port() -> None:
    dead = replace(PORT_ONLY, seen=TIMEOUT)
    assert judged(ScriptedNetwork(dead)).outcome is Outcome.DOWN


@pytest.mark.parametrize(
    ("age", "outcome", "told"),
    [
        (3600.0, Outcome.ACCESSIBLE, Outcome.BLOCKED),
        (86_400.0, Outcome.ACCESSIBLE, Outcome.BLOCKED),
        (86_401.0, Outcome.ACCESSIBLE, Outcome.INCONCLUSIVE),
        (-60.0, Outcome.ACCESSIBLE, Outcome.INCONCLUSIVE),
        (3600.0, Outcome.BLOCKED, Outcome.INCONCLUSIVE),
    ],
)
def test_a_site_that_opened_here_within_a_day_lives(age: float, outcome: Outcome, told: Outcome) -> None:
    """If packets die short of its network and it opened today, it is blocked, likely; nothing else rests on that."""
    past = Past(started=1_800_000_000.0 - age, verdict=Verdict(outcome=outcome))
    verdict = judged(ScriptedNetwork(DROPPED), history=(past,))
    assert (verdict.outcome, verdict.confidence) == (told, "likely" if told is Outcome.BLOCKED else None), verdict
    gate = replace(DROPPED, paths={(SITE, None): cut_at(4, "silence")})
    assert judged(ScriptedNetwork(gate), history=(past,)).outcome is Outcome.INCONCLUSIVE


def test_the_words_say_by_what_a_site_is_known_to_live() -> None:
    past = Past(started=1_800_000_000.0 - 600, verdict=Verdict(outcome=Outcome.ACCESSIBLE))
    assert "opened here 10 minutes ago" in judged(ScriptedNetwork(DROPPED), history=(past,)).summary
    assert "at another port" in judged(ScriptedNetwork(PORT_ONLY)).summary
    assert "The site is up" in judged(ScriptedNetwork(replace(DROPPED, seen=Page()))).summary


def test_packets_that_could_not_be_sent_tell_no_place() -> None:
    """If the connections for the name's packets did not stand, their silence is none of the path's."""
    world = replace(OPEN, hands={(SITE, HOST): RESET}, paths={(SITE, HOST): cut_at(3, "silence")})
    net = ScriptedNetwork(world)
    assert judged(net).outcome is Outcome.BLOCKED
    whole = net.measurement(normalise(f"https://{HOST}/"), "web")
    steps = tuple(
        structs.replace(o, failure=TIMEOUT) if o.purpose is Purpose.TRACE_TARGET else o for o in whole.observations
    )
    verdict = judge(Case(measurement=structs.replace(whole, observations=steps), bogons=BOGONS))
    assert verdict.outcome is Outcome.UNREACHABLE
