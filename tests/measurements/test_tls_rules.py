"""Handshakes that are broken, or answered by another: what must be added before somebody is accused."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from measurements.model import Failure, Mechanism, Outcome, Proof, Purpose
from tests.measurements.worlds import (
    ALL,
    BESIDE,
    EVERY_NAME,
    HOST,
    OPEN,
    RESET,
    SITE,
    TIMEOUT,
    W1,
    Disruption,
    H,
    Hands,
    Paths,
    at_witnesses,
    by_rule,
    cut_at,
    play,
    said,
)
from tests.scripted import LOCAL, TRUSTED, WITNESSES, Page, ScriptedNetwork, World

Path = dict[int, tuple[str, str | None]]
ALERT, UNKNOWN = Failure.SSL_FAILED_HANDSHAKE, Failure.SSL_UNKNOWN_AUTHORITY
CUT = replace(OPEN, hands=at_witnesses(RESET))


def test_a_name_that_is_cut_everywhere_and_lives_nowhere_is_down() -> None:
    """If the name fails at witnesses and nothing shows that its site lives, nothing is kept from us."""
    assert said(CUT).mechanism is Mechanism.TLS_RESET
    dead = replace(CUT, hands={**CUT.hands, (SITE, H): RESET}, seen=TIMEOUT)
    assert by_rule(said(dead)) == ("down", "site.down")


class Recovering(ScriptedNetwork):
    """The site's own handshake works when it is tried again; witnesses' do not."""

    async def handshake(self, over: Any, **kwargs: Any) -> Any:
        if kwargs.get("purpose") is Purpose.REPETITION:
            self.world.hands = {**self.world.hands, (SITE, HOST): None}
        return await super().handshake(over, **kwargs)


def test_a_place_proves_nothing_of_what_works_when_tried_again() -> None:
    """If the name is cut short of the site and works there a moment later, only witnesses could still accuse."""
    placed = replace(CUT, hands={(SITE, HOST): RESET}, paths={(SITE, HOST): cut_at(3, "reset")})
    assert said(placed).outcome is Outcome.BLOCKED
    verdict, _ = play(Disruption("", placed, ""), Recovering(replace(placed)))
    assert (verdict.outcome, verdict.reason) == (Outcome.INCONCLUSIVE, "intermittent")


def test_an_address_that_shakes_hands_well_clears_the_name() -> None:
    """If one of the site's addresses takes the name and then brings no page, handshakes are not what is stopped."""
    two = World(names={HOST: [SITE, BESIDE]}, hands=CUT.hands, pages={(BESIDE, HOST): Failure.EOF}, seen=Page())
    verdict = said(two)
    assert "tls.blocked" not in {finding.rule for finding in verdict.findings}
    cut = replace(two, hands={**CUT.hands, (BESIDE, HOST): RESET})
    assert by_rule(said(cut)) == ("blocked", "tls.blocked")


@pytest.mark.parametrize(
    ("world", "words"),
    [
        (CUT, "at unrelated servers too"),
        (replace(CUT, paths={(SITE, HOST): cut_at(1, "reset")}), "the first router"),
        (replace(CUT, paths={(SITE, HOST): cut_at(3, "reset")}), "at hop 3"),
    ],
)
def test_the_words_say_what_was_shown(world: World, words: str) -> None:
    assert words in said(world).summary
    alone = said(replace(world, hands={(SITE, HOST): RESET})).summary
    assert "unrelated servers" not in alone


def test_witnesses_are_the_better_proof_than_a_silence() -> None:
    """If packets die short of the site and witnesses say that it is the name, a second session can confirm it."""
    path: Paths = {(SITE, HOST): cut_at(3, "silence")}
    both = replace(OPEN, hands=at_witnesses(TIMEOUT), paths=path)
    assert said(both).findings[0].proof is Proof.ELSEWHERE
    alone = said(replace(both, hands={(SITE, HOST): TIMEOUT}))
    assert (alone.mechanism, alone.findings[0].proof) == (Mechanism.TLS_TIMEOUT, Proof.SHORT)
    gate = replace(both, hands={(SITE, HOST): TIMEOUT}, paths={(SITE, HOST): cut_at(4, "silence")})
    assert said(gate).outcome is Outcome.UNREACHABLE


def far_witnesses(hands: Failure) -> World:
    """Witnesses that stand in networks of their own, all of which fail the name in one way."""
    far = {name: f"198.18.{i}.1" for i, name in enumerate(WITNESSES, 1)}
    failing: Hands = {(address, HOST): hands for address in (SITE, *far.values())}
    taken: Hands = {(address, H): None for address in far.values()}
    return replace(
        OPEN,
        answers={(at.address, name): [[address]] for at in (LOCAL, *TRUSTED) for name, address in far.items()},
        ports=dict.fromkeys((address, 443) for address in far.values()),
        hands=failing | taken,
    )


def test_a_refusal_by_servers_of_one_network_is_that_networks_own() -> None:
    """If all witnesses that refuse the name stand in one prefix, they may be one company's; a reset needs no more."""
    apart, together = far_witnesses(ALERT), replace(OPEN, hands=at_witnesses(ALERT))
    assert said(apart).mechanism is Mechanism.TLS_ALERT
    assert said(together).outcome is Outcome.UNREACHABLE
    assert said(far_witnesses(RESET)).mechanism is Mechanism.TLS_RESET
    assert said(CUT).mechanism is Mechanism.TLS_RESET


def intercepted(names: tuple[str, ...], paths: Paths) -> World:
    hands: Hands = {(a, n): UNKNOWN for a in ALL for n in names}
    return replace(OPEN, hands=hands, issuers=dict.fromkeys(hands, "CN=Proxy"), paths=paths)


def test_only_every_name_at_an_unknown_first_hop_is_called_ours() -> None:
    """If harmless names get their own certificates, or the place is known to be beyond, it is not the volunteer's."""
    near: Paths = {(SITE, None): cut_at(1, "silence"), (BESIDE, None): cut_at(1, "silence")}
    assert said(intercepted(EVERY_NAME, near)).reason == "private_issuer"
    assert said(intercepted((HOST,), near)).mechanism is Mechanism.TLS_MITM
    quiet: Path = {1: ("silence", None)}  # a first router that tells nothing of itself
    beyond: Paths = {
        (SITE, None): quiet | {2: ("open", None)},
        (BESIDE, None): quiet | {2: ("expired", "198.51.100.9"), 3: ("expired", "198.51.100.10")},
    }
    placed = said(intercepted(EVERY_NAME, beyond))
    assert (placed.mechanism, placed.where) == (Mechanism.TLS_MITM, "network")


def test_a_forged_handshake_is_told_apart_in_words() -> None:
    every, name = (said(intercepted(names, {})).summary for names in (EVERY_NAME, (HOST,)))
    assert "all of it is read on the way" in every
    assert "all of it is read on the way" not in name
    assert "unrelated servers" in name


def test_a_certificate_that_no_witness_confirms_accuses_nobody() -> None:
    """If only the site shows an unknown issuer and nothing answers short of it, it may be the site's."""
    own = replace(OPEN, hands={(SITE, HOST): UNKNOWN}, issuers={(SITE, HOST): "CN=Own"})
    assert said(own).outcome is not Outcome.BLOCKED
    one = replace(own, hands={**own.hands, (W1, HOST): UNKNOWN}, issuers={**own.issuers, (W1, HOST): "CN=Other"})
    assert said(one).outcome is not Outcome.BLOCKED
