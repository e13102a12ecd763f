"""Each disruption is found and named, and its quiet look-alike accuses nobody."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from measurements.model import DnsLookup, DnsReply, Failure, Hop, HttpExchange, Outcome, Purpose, View
from probe.network import Resolver
from tests.measurements.blocked_worlds import BLOCKED, NEEDS_CONTROL
from tests.measurements.quiet_worlds import QUIET
from tests.measurements.worlds import HOST, OPEN, SITE, TIMEOUT, W1, W2, W3, Disruption, cut_at, play, without_control
from tests.scripted import CONTROL, LOCAL, WITNESSES, ScriptedNetwork


@pytest.mark.parametrize("control", [True, False], ids=["control", "no-control"])
@pytest.mark.parametrize("disruption", BLOCKED, ids=lambda d: d.name)
def test_a_disruption_is_found_and_named(disruption: Disruption, control: bool) -> None:
    """If something blocks the site, the verdict says so and how; without a control, where that can be known."""
    said, net = play(disruption if control else without_control(disruption))
    if not control and disruption.name in NEEDS_CONTROL:
        assert (said.outcome, said.reason) == (Outcome.INCONCLUSIVE, "no_control"), said.summary
        return
    assert said.outcome == disruption.outcome, said
    assert said.mechanism == disruption.mechanism, said
    assert disruption.trigger in (None, said.trigger), said
    assert disruption.where in (None, said.where), said
    assert disruption.confidence in (None, said.confidence), said
    ids = {o.id for o in net.observations}
    assert said.findings[0].evidence
    assert set(said.findings[0].evidence) <= ids


@pytest.mark.parametrize("disruption", QUIET, ids=lambda d: d.name)
def test_a_quiet_look_alike_is_not_accused(disruption: Disruption) -> None:
    """If the site or the line explains it, nobody is accused."""
    said, _ = play(disruption)
    assert said.outcome == disruption.outcome, said
    assert disruption.reason in (None, said.reason), said
    assert disruption.pattern in (None, said.pattern), said


@pytest.mark.parametrize("disruption", QUIET, ids=lambda d: d.name)
def test_without_a_control_nobody_quiet_is_accused(disruption: Disruption) -> None:
    said, _ = play(without_control(disruption))
    assert said.outcome is not Outcome.BLOCKED, said


class LosingAnswers(ScriptedNetwork):
    """The first of a router's answers to the target's own packets, at a distance of three, is lost."""

    async def hop(self, address: str, port: int, **kwargs: Any) -> Hop:
        before = [o for o in self.observations if isinstance(o, Hop) and (o.ttl, o.purpose) == (3, kwargs["purpose"])]
        if kwargs["ttl"] == 3 and kwargs["purpose"] is Purpose.TRACE_TARGET and not before:
            return self._record(Hop, view=View.FOLLOW_UP, address=address, port=port, **kwargs | {"cause": None})
        return await super().hop(address, port, **kwargs)


def test_a_lost_answer_of_a_router_is_not_taken_for_a_drop() -> None:
    """If the site's firewall drops and one ICMP message is lost before it, nobody is accused."""
    world = replace(OPEN, ports={(SITE, 443): TIMEOUT}, paths={(SITE, None): cut_at(4, "silence")})
    said, _ = play(Disruption("one answer lost", world, "unreachable"), LosingAnswers(world))
    assert said.outcome is Outcome.UNREACHABLE, said


class GivingUpFirst(ScriptedNetwork):
    """Our resolver says that it failed, and a moment later what it heard after all."""

    async def lookup(self, name: str, rtype: str, resolver: Resolver, **kwargs: Any) -> DnsLookup:
        told = await super().lookup(name, rtype, resolver, **kwargs)
        if resolver != LOCAL or name != HOST or rtype != "A":
            return told
        gave_up = DnsReply(arrival=0.0, source=LOCAL.address, rcode="SERVFAIL")
        both = msgspec.structs.replace(told, replies=(gave_up, *told.replies), failure=Failure.DNS_SERVFAIL)
        self.observations[-1] = both
        return both


def test_a_resolver_that_gives_up_too_early_forges_nothing() -> None:
    """If SERVFAIL and the true answer both come, nobody injected either."""
    said, _ = play(Disruption("gives up first", OPEN, "unreachable"), GivingUpFirst(OPEN))
    assert said.outcome is Outcome.UNREACHABLE, said


class Hanging(ScriptedNetwork):
    """Every exchange takes its time, and how many were under way at once is known."""

    under_way = most = 0

    async def exchange(self, *args: Any, **kwargs: Any) -> HttpExchange:
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        await asyncio.sleep(0.01)
        self.under_way -= 1
        return await super().exchange(*args, **kwargs)


def test_many_addresses_do_not_use_up_the_time() -> None:
    """If none of six addresses answers the request, the last five are asked at once, and the proof is still found."""
    addresses = [f"203.0.113.{n}" for n in range(10, 16)]
    names = replace(OPEN, names={HOST: addresses})
    world = replace(names, pages={(a, HOST): TIMEOUT for a in (*addresses, W1, W2, W3)})
    net = Hanging(world)
    said, _ = play(Disruption("many", world, "blocked", url=f"http://{HOST}/"), net)
    assert net.most == len(addresses) - 1
    assert said.mechanism == "http.timeout", said


def test_what_answers_at_a_stale_address_does_not_show_that_the_site_lives() -> None:
    """If nothing but a stranger's server answered, nobody says that the site is up."""
    dead = next(d for d in QUIET if d.name == "dead-site-and-a-stale-answer-where-others-live")
    said, _ = play(without_control(dead))
    assert (said.outcome, said.reason) == (Outcome.INCONCLUSIVE, "no_control"), said


def test_a_control_knows_who_signed_the_certificate() -> None:
    """If the control is shown the site's own bad certificate too, a server that both share is no proof of a box."""
    at = [(address, HOST) for address in (SITE, W1, W2, W3)]
    bad = Failure.SSL_UNKNOWN_AUTHORITY
    world = replace(OPEN, hands=dict.fromkeys(at, bad), issuers=dict.fromkeys(at, "CN=own"), seen=bad)
    said, _ = play(Disruption("self-signed", world, "server_side"))
    assert said.outcome is Outcome.SERVER_SIDE, said


def test_the_control_is_never_a_witness() -> None:
    assert CONTROL.split("/")[2] not in WITNESSES
