"""What each verdict says in each layer, read off verdicts that were really given."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from msgspec.structs import replace

from measurements.case import Case
from measurements.events.votes import BEFORE, BLIND, votes
from measurements.judge import judge
from measurements.model import (
    Finding,
    Measurement,
    Mechanism,
    Outcome,
    Preconditions,
    Proof,
    Strength,
    Target,
    Vantage,
    Verdict,
    Where,
)
from measurements.targets import normalise
from probe.nettests import NETTESTS
from probe.network import Network
from tests.measurements import quic_worlds
from tests.measurements.blocked_worlds import BLOCKED
from tests.measurements.quiet_worlds import QUIET
from tests.measurements.scenes import RESET, SITE, scene
from tests.measurements.worlds import HOST, OPEN, Disruption, at_witnesses, lie, said
from tests.scripted import BOGONS, Page, ScriptedNetwork, World

DNS, TCP, TLS, HTTP = (("dns", None), ("tcp", None), ("tls", None), ("http", None))
SAW, BLINDED = ((BLIND, None), (BLIND, Strength.FAILED))
PROVEN, FAILED = Strength.PROVEN, Strength.FAILED


async def measure(nettest: str, target: Target, net: Network) -> None:
    await NETTESTS[nettest](target, net)


def measured(world: World, url: str = f"https://{HOST}/", nettest: str = "web", **before: Any) -> Measurement:
    net = ScriptedNetwork(world, preconditions=Preconditions(ipv4_route=True, ipv6_route=False, **before))
    target = normalise(url)
    asyncio.run(measure(nettest, target, net))
    return net.measurement(target, nettest)


def judged(fact: Measurement) -> Verdict:
    return judge(Case(measurement=fact, bogons=BOGONS))


def cast(fact: Measurement, verdict: Verdict | None = None) -> list[tuple[str, Strength | None]]:
    """The layers that are voted on, and how well a vote against access is proven."""
    return [(v.layer, v.strength if v.blocked else None) for v in votes(fact, verdict or judged(fact))]


def accused(mechanism: Mechanism | None, where: Where | None = Where.NETWORK, **more: Any) -> Verdict:
    return Verdict(**{"outcome": Outcome.BLOCKED, "mechanism": mechanism, "where": where, "rules_version": 1} | more)


def unreachable(rule: str, **more: Any) -> Verdict:
    finding = Finding(rule=rule, outcome=Outcome.UNREACHABLE)
    return Verdict(outcome=Outcome.UNREACHABLE, findings=(finding,), rules_version=1, **more)


def test_what_somebody_else_recorded_is_proven_only_where_the_record_holds_a_second_proof() -> None:
    fact = replace(measured(OPEN), source="ooni")
    finding = Finding(rule="tls.blocked", outcome=Outcome.BLOCKED)
    alone = accused(Mechanism.TLS_RESET, findings=(finding,))
    proven = accused(Mechanism.TLS_RESET, findings=(replace(finding, proof=Proof.IMPOSSIBLE),))
    assert cast(fact, alone)[-2] == ("tls", FAILED)
    assert cast(fact, proven)[-2] == ("tls", PROVEN)
    assert cast(replace(fact, source="wazi"), alone)[-2] == ("tls", PROVEN)


def test_an_open_site_votes_for_every_layer_it_was_seen_to_pass() -> None:
    assert cast(measured(OPEN)) == [DNS, TCP, TLS, HTTP, SAW]
    assert cast(measured(OPEN, f"http://{HOST}/")) == [DNS, TCP, HTTP, SAW]
    unnamed = World(names={HOST: [SITE]}, pages={(SITE, SITE): Page()}, seen=Page())
    assert cast(measured(unnamed, f"http://{SITE}/")) == [TCP, HTTP, SAW]  # an address needs no lookup
    assert cast(measured(OPEN, nettest="tcp")) == [DNS, TCP, SAW]


def test_the_dns_nettest_votes_for_what_it_saw_on_the_way() -> None:
    layers = cast(measured(OPEN, nettest="dns"))
    assert layers[0] == DNS
    assert layers[-1] == SAW


def test_that_sites_abroad_answer_is_a_vote_about_the_border() -> None:
    assert ("network", None) in cast(measured(OPEN, foreign_alive=True))
    assert "network" not in dict(cast(measured(OPEN, foreign_alive=False)))
    assert "network" not in dict(cast(measured(OPEN)))
    fact = measured(OPEN, foreign_alive=True)
    assert cast(fact, accused(Mechanism.NETWORK_ALLOWLIST)) == [("network", PROVEN), SAW]


def test_a_block_votes_in_its_layer_and_for_those_before_it() -> None:
    cut = World(names={HOST: [SITE]}, seen=OPEN.seen, hands=at_witnesses(RESET))
    fact = measured(cut)
    verdict = judged(fact)
    assert verdict.mechanism is Mechanism.TLS_RESET
    assert cast(fact, verdict) == [DNS, TCP, ("tls", PROVEN), SAW]


def test_a_lying_resolver_gets_no_vote_for_where_it_led_us() -> None:
    fact = measured(World(names={HOST: [SITE]}, seen=OPEN.seen, answers=lie([["10.0.0.1"]])))
    assert judged(fact).mechanism is Mechanism.DNS_BOGON
    assert cast(fact) == [("dns", PROVEN), SAW]


def test_layers_count_as_passed_only_where_the_address_is_beyond_doubt() -> None:
    fact = Measurement(
        id="1" * 32,
        sequence=1,
        nettest="web",
        target=normalise(f"https://{HOST}/"),
        vantage=Vantage(probe_id="test"),
        started=1.0,
        observations=tuple(scene(failure=None, trusted=("203.0.113.99",))),
    )
    assert cast(fact, accused(Mechanism.TLS_RESET)) == [("tls", PROVEN), SAW]
    known = replace(fact, observations=tuple(scene(failure=None)))
    assert cast(known, accused(Mechanism.TLS_RESET)) == [DNS, TCP, ("tls", PROVEN), SAW]


@pytest.mark.parametrize("mechanism", Mechanism)
def test_every_mechanism_has_a_layer(mechanism: Mechanism) -> None:
    layer = mechanism.partition(".")[0]
    assert layer in BEFORE
    found = cast(measured(OPEN), accused(mechanism))
    assert (layer, PROVEN) in found
    assert [one for one in found if one[1] is not None] == [(layer, PROVEN)]


def test_throttling_is_a_proven_vote_of_its_own() -> None:
    slow = replace(measured(OPEN), nettest="throttling")
    throttled = accused(Mechanism.THROTTLE_RATE, outcome=Outcome.THROTTLED)
    assert cast(slow, throttled) == [("throttle", PROVEN)]
    swift = Verdict(outcome=Outcome.ACCESSIBLE, rules_version=1)
    assert ("throttle", None) in cast(slow, swift)
    unsure = Verdict(outcome=Outcome.INCONCLUSIVE, reason="few_pairs", rules_version=1)
    assert cast(slow, unsure) == []  # most runs add to a count that is not ready yet: that is no blindness


def test_the_volunteers_own_network_never_votes() -> None:
    fact = measured(OPEN)
    assert cast(fact, accused(Mechanism.TLS_RESET, Where.LOCAL)) == [BLINDED]
    assert cast(fact, unreachable("dns.resolver", where=Where.LOCAL)) == [BLINDED]
    assert cast(fact, accused(None)) == [BLINDED]


@pytest.mark.parametrize("where", [None, Where.UNKNOWN, Where.LOCAL])
def test_quic_that_dies_at_an_unknown_place_never_votes(where: Where | None) -> None:
    fact = measured(OPEN, nettest="quic")
    assert cast(fact, accused(Mechanism.QUIC_TIMEOUT, where)) == []
    assert ("quic", PROVEN) in cast(fact, accused(Mechanism.QUIC_TIMEOUT, Where.NETWORK))


def test_quic_that_works_votes_beside_tcp() -> None:
    fact = measured(quic_worlds.world(), quic_worlds.URL, "quic")
    assert judged(fact).outcome is Outcome.ACCESSIBLE
    assert ("quic", None) in cast(fact)
    assert BLIND not in dict(cast(fact))  # a site without QUIC would be blind for ever


@pytest.mark.parametrize("outcome", [Outcome.DOWN, Outcome.SERVER_SIDE, Outcome.INVALID, Outcome.INCONCLUSIVE])
def test_what_saw_nothing_votes_only_that_it_saw_nothing(outcome: Outcome) -> None:
    fact = measured(OPEN, foreign_alive=True)
    assert cast(fact, Verdict(outcome=outcome, rules_version=1)) == [BLINDED]


def test_what_cannot_be_reached_votes_in_a_series_of_its_own() -> None:
    reset = World(names={HOST: [SITE]}, seen=OPEN.seen, hands={(SITE, HOST): RESET})
    fact = measured(reset)
    assert judged(fact).outcome is Outcome.UNREACHABLE
    assert cast(fact) == [DNS, TCP, ("tls", FAILED), SAW]
    assert cast(fact, unreachable("dns.stale")) == [("dns", FAILED), SAW]
    assert ("quic", FAILED) in cast(fact, unreachable("quic.unreachable"))
    assert cast(fact, unreachable("network.allowlist")) == [("network", FAILED), SAW]
    assert cast(fact, Verdict(outcome=Outcome.UNREACHABLE)) == [DNS, TCP, ("tls", FAILED), SAW]
    unnamed = replace(fact, observations=tuple(o for o in fact.observations if o.id == 1))
    silent = replace(unnamed, observations=tuple(replace(o, replies=()) for o in unnamed.observations))
    assert cast(silent, unreachable("site.unreachable")) == [("dns", FAILED), SAW]
    assert cast(replace(fact, observations=()), unreachable("site.unreachable")) == [BLINDED]


def test_a_trace_casts_no_vote() -> None:
    assert votes(replace(measured(OPEN), nettest="trace"), accused(Mechanism.TLS_RESET)) == ()


def test_a_vote_says_who_where_when_and_of_what() -> None:
    fact = replace(
        measured(OPEN, f"https://{HOST}/some/path?x=1"),
        id="ab" * 16,
        vantage=Vantage(probe_id="p1", country="KE", asn=36926),
        started=1234.5,
        software="wazi 0.1.0",
    )
    against = [vote for vote in votes(fact, accused(Mechanism.TLS_RESET)) if vote.blocked]
    (one,) = against
    assert (one.time, one.probe, one.country, one.asn, one.target) == (1234.5, "p1", "KE", 36926, HOST)
    assert (one.witness, one.mechanism, one.software, one.placebo) == ("ab" * 16, "tls.reset", "wazi 0.1.0", False)
    assert {vote.mechanism for vote in votes(fact, accused(Mechanism.TLS_RESET)) if not vote.blocked} == {""}
    unplaced = votes(replace(fact, vantage=Vantage(probe_id="p1")), accused(Mechanism.TLS_RESET))[0]
    assert (unplaced.country, unplaced.asn) == ("", 0)


def test_placebos_are_marked() -> None:
    fact = measured(OPEN)
    harmless = replace(fact, target=Target(url="u", scheme="https", host=HOST, port=443, category="CTRL"))
    assert all(vote.placebo for vote in votes(replace(fact, placebo=True), judged(fact)))
    assert all(vote.placebo for vote in votes(harmless, judged(fact)))
    assert not any(vote.placebo for vote in votes(fact, judged(fact)))


@pytest.mark.parametrize("disruption", BLOCKED, ids=lambda d: d.name)
def test_every_real_accusation_votes_once_and_only_in_its_layer(disruption: Disruption) -> None:
    fact = measured(disruption.world, disruption.url, disruption.nettest)
    verdict = judged(fact)
    found = cast(fact, verdict)
    assert len(dict(found)) == len(found)
    against = [one for one in found if one[1] is not None]
    if verdict.where is Where.LOCAL or verdict.mechanism is None:
        assert against == [BLINDED]
        return
    layer = verdict.mechanism.partition(".")[0]
    assert against == ([(layer, PROVEN)] if verdict.outcome is Outcome.BLOCKED else [(layer, FAILED)])
    assert all(one in (*BEFORE[layer], BLIND, "network") for one, strength in found if strength is None)


@pytest.mark.parametrize("disruption", QUIET, ids=lambda d: d.name)
def test_no_quiet_look_alike_gives_a_proven_vote(disruption: Disruption) -> None:
    fact = measured(disruption.world, disruption.url, disruption.nettest)
    assert PROVEN not in [strength for _, strength in cast(fact)]


def test_said_and_measured_agree() -> None:
    assert said(OPEN).outcome is judged(measured(OPEN)).outcome
