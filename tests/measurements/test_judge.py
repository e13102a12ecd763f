"""From a case to a verdict: who speaks first, what history adds, and that nothing else is looked at."""

from __future__ import annotations

from dataclasses import replace

import pytest
from msgspec import structs

from measurements.judge import Case, judge
from measurements.model import (
    Confidence,
    Failure,
    Finding,
    Measurement,
    Mechanism,
    Outcome,
    Past,
    Pattern,
    Proof,
    Vantage,
    Verdict,
    decode,
    encode,
)
from measurements.rules import LAST_RESORT, RULES
from measurements.targets import normalise
from tests.measurements.blocked_worlds import BLOCKED
from tests.measurements.quiet_worlds import QUIET
from tests.measurements.worlds import HOST, OPEN, SITE, Disruption, lie, play
from tests.scripted import BOGONS, ScriptedNetwork

NOW = 1_800_000_000.0  # when the scripted measurements start
MINUTE, DAY = 60.0, 24 * 3600.0
BY_NAME = {disruption.name: disruption for disruption in (*BLOCKED, *QUIET)}
LIKELY_BY_WITNESSES = BY_NAME["sni-reset-place-unknown"]


def earlier(
    age: float,
    mechanism: Mechanism | None = Mechanism.TLS_RESET,
    outcome: Outcome = Outcome.BLOCKED,
    proof: Proof = Proof.ELSEWHERE,
) -> Past:
    """An earlier session, `age` seconds before."""
    found = Finding(rule="tls.blocked", outcome=outcome, mechanism=mechanism, proof=proof)
    return Past(started=NOW - age, verdict=Verdict(outcome=outcome, mechanism=mechanism, findings=(found,)))


@pytest.mark.parametrize("age", [15 * MINUTE, 3600.0, DAY])
def test_what_witnesses_proved_in_two_sessions_is_confirmed(age: float) -> None:
    """If the name failed at witnesses a quarter of an hour to a day before as well, chance is ruled out."""
    alone, _ = play(LIKELY_BY_WITNESSES)
    twice, _ = play(LIKELY_BY_WITNESSES, history=(earlier(age),))
    assert (alone.confidence, twice.confidence) == (Confidence.LIKELY, Confidence.CONFIRMED)
    assert twice.findings[0].confidence is Confidence.CONFIRMED
    assert structs.replace(twice, confidence=alone.confidence, findings=alone.findings) == alone


@pytest.mark.parametrize(
    "past",
    [
        earlier(15 * MINUTE - 1),
        earlier(5 * MINUTE),
        earlier(DAY + 1),
        earlier(-3600.0),
        earlier(3600.0, Mechanism.TLS_TIMEOUT),
        earlier(3600.0, proof=Proof.SHORT),
        earlier(3600.0, Mechanism.TLS_RESET, Outcome.UNREACHABLE),
        earlier(3600.0, None, Outcome.ACCESSIBLE),
    ],
    ids=[
        "just-too-soon",
        "same-session",
        "too-long-ago",
        "later",
        "other-mechanism",
        "other-proof",
        "unreachable",
        "accessible",
    ],
)
def test_what_is_no_second_session_confirms_nothing(past: Past) -> None:
    said, _ = play(LIKELY_BY_WITNESSES, history=(past,))
    assert said.confidence is Confidence.LIKELY


def test_packets_that_die_short_of_the_site_stay_likely_however_often() -> None:
    """If the proof is where packets die, a second session says no more than that the place is the same."""
    dropped = BY_NAME["syn-dropped"]
    said, _ = play(dropped, history=(earlier(3600.0, Mechanism.TCP_TIMEOUT),))
    assert (said.findings[0].proof, said.confidence) == (Proof.SHORT, Confidence.LIKELY)


def test_history_accuses_nobody() -> None:
    """If it was blocked an hour ago and is not now, that is what is said."""
    for name in ("open", "site-firewall-drops", "down"):
        plain, _ = play(BY_NAME[name])
        said, _ = play(BY_NAME[name], history=(earlier(3600.0, Mechanism.TCP_TIMEOUT), earlier(7200.0)))
        assert said == plain


def test_what_fails_again_after_a_pause_is_always() -> None:
    said, net = play(BY_NAME["sni-reset"])
    assert said.pattern is Pattern.ALWAYS
    steps = tuple(o for o in net.observations if o.purpose != "repetition")
    once = structs.replace(net.measurement(normalise(f"https://{HOST}/"), "web"), observations=steps)
    again = judge(Case(measurement=once, bogons=BOGONS))
    assert (again.mechanism, again.pattern) == (Mechanism.TLS_RESET, None)


def test_only_what_is_blocked_is_said_to_be_always_so() -> None:
    said, _ = play(BY_NAME["site-firewall-drops"])
    assert (said.outcome, said.pattern) == (Outcome.UNREACHABLE, None)


def test_the_last_resort_is_silent_when_another_rule_spoke() -> None:
    """If a rule has found something, nobody adds that nothing is known; else one of them says what is missing."""
    spoken, alone = 0, 0
    for disruption in (*BLOCKED, *QUIET):
        _, net = play(disruption)
        said = judge(Case(measurement=net.measurement(normalise(disruption.url), disruption.nettest), bogons=BOGONS))
        last = [f.rule for f in said.findings if f.rule in LAST_RESORT]
        assert len(last) <= 1, disruption.name
        assert not last or len(said.findings) == 1, disruption.name
        case = Case(measurement=net.measurement(normalise(disruption.url), disruption.nettest), bogons=BOGONS)
        would = [name for name, rule in RULES.items() if name in LAST_RESORT and rule(case) is not None]
        spoken += bool(would) and not last
        alone += bool(last)
    assert spoken
    assert alone


def test_the_first_rule_that_speaks_decides_and_the_others_are_kept() -> None:
    """If a forged private answer comes beside the true one, both rules say so, and the earlier one decides."""
    both = replace(OPEN, answers=lie([["10.1.2.3"], [SITE]]))
    said, _ = play(Disruption("forged and private", both, "blocked"))
    assert [f.rule for f in said.findings] == ["dns.injected", "dns.bogon"]
    assert list(RULES).index("dns.injected") < list(RULES).index("dns.bogon")
    first = said.findings[0]
    assert (said.outcome, said.mechanism, said.where) == (first.outcome, first.mechanism, first.where)
    assert (said.summary, said.reason, said.trigger) == (first.summary, first.reason, first.trigger)


@pytest.mark.parametrize("disruption", [*BLOCKED, *QUIET], ids=lambda d: d.name)
def test_the_same_case_gives_the_same_verdict(disruption: Disruption) -> None:
    """If the steps ended in another order, or the same case is judged again, the verdict is the same."""
    said, net = play(disruption)
    measurement = net.measurement(normalise(disruption.url), disruption.nettest)
    assert judge(Case(measurement=measurement, bogons=BOGONS)) == said
    backwards = structs.replace(measurement, observations=measurement.observations[::-1])
    assert judge(Case(measurement=backwards, bogons=BOGONS)) == said


def test_nothing_seen_proves_nothing() -> None:
    """If no step was taken, the verdict still has words."""
    empty = Measurement(
        id="0" * 32,
        sequence=1,
        nettest="web",
        target=normalise(f"https://{HOST}/"),
        vantage=Vantage(probe_id="test"),
        started=NOW,
    )
    said = judge(Case(measurement=empty, bogons=BOGONS))
    assert (said.outcome, said.reason) == (Outcome.INCONCLUSIVE, "no_control")
    assert said.summary


def test_a_good_chain_of_another_nettest_is_not_this_ones_success() -> None:
    """If no rule has anything to say, the verdict says that nothing is proven."""
    _, net = play(BY_NAME["open"])
    other = net.measurement(normalise(f"https://{HOST}/"), "something-new")
    said = judge(Case(measurement=other, bogons=BOGONS))
    assert (said.outcome, said.reason, said.findings) == (Outcome.INCONCLUSIVE, "unproven", ())
    assert said.summary


def test_an_address_that_is_redacted_is_not_private() -> None:
    """If a record holds words instead of an address, judging goes on."""
    case = Case(measurement=ScriptedNetwork(OPEN).measurement(normalise(f"https://{HOST}/"), "web"), bogons=BOGONS)
    assert case.private("10.0.0.1")
    assert not case.private("[redacted:client]")
    assert not case.private(SITE)


# This machine's own limits, and this network


@pytest.mark.parametrize(
    ("failure", "reason"), [(Failure.INTERRUPTED, "interrupted"), (Failure.TOO_MANY_OPEN_FILES, "local_error")]
)
def test_what_this_machine_cut_short_is_said_to_be_ours(failure: Failure, reason: str) -> None:
    """If our own deadline or limit stopped every connection, nobody else is suspected."""
    world = replace(OPEN, ports={(SITE, 443): failure})
    said, net = play(Disruption("ours", world, "inconclusive"))
    assert (said.outcome, said.reason) == (Outcome.INCONCLUSIVE, reason)
    assert {o.failure for o in net.observations if o.id in said.findings[0].evidence} == {failure}
    assert not [o for o in net.observations if o.purpose is not None]


@pytest.mark.parametrize(
    ("failure", "reason"), [(Failure.INTERRUPTED, "interrupted"), (Failure.TOO_MANY_OPEN_FILES, "local_error")]
)
def test_a_lookup_that_this_machine_cut_short_says_nothing_of_the_resolver(failure: Failure, reason: str) -> None:
    """If our own deadline or limit stopped the lookup, neither the resolver nor the site is counted against."""
    said, _ = play(Disruption("ours", replace(OPEN, answers=lie(failure)), "inconclusive"))
    assert (said.outcome, said.reason) == (Outcome.INCONCLUSIVE, reason)


def test_one_step_of_ours_that_was_cut_hides_no_page() -> None:
    world = replace(OPEN, names={HOST: [SITE, "203.0.113.12"]}, ports={("203.0.113.12", 443): Failure.INTERRUPTED})
    said, _ = play(Disruption("one cut", world, "accessible"))
    assert (said.outcome, said.pattern) == (Outcome.ACCESSIBLE, None)


def test_a_follow_up_that_was_cut_is_no_reason_by_itself() -> None:
    """If only a step that was asked besides was cut, what is said rests on the others."""
    world = replace(OPEN, ports={(SITE, 443): Failure.TIMEOUT, (SITE, 80): Failure.INTERRUPTED})
    said, _ = play(Disruption("a follow-up cut", world, "unreachable"))
    assert (said.outcome, said.reason) == (Outcome.UNREACHABLE, "site_or_network")


def test_what_is_judged_and_what_is_said_come_back_from_json() -> None:
    said, net = play(BY_NAME["sni-reset"])
    measurement = net.measurement(normalise(f"https://{HOST}/"), "web")
    assert decode(encode(measurement), Measurement) == measurement
    assert decode(encode(said), Verdict) == said
