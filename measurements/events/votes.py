"""From a verdict to votes: what one measurement says in each layer, reduced for counting.

A layer in which a measurement can accuse must be one in which it can clear, or a series would hear accusers only. So a
vote for access is cast in each layer that was seen to work, whatever the nettest and the verdict; and a vote against
it in the one layer of the verdict's mechanism (`proven`: blocked and throttled rest on two proofs; a record of OONI's
that holds one only is `failed`) or of the step that failed (`failed`: unreachable). What the volunteer's own network
does, or may do (a `local` block; QUIC that dies at an unknown place, docs/decisions/0016), and what is down, refused
by the site itself, invalid or inconclusive, says nothing in any layer. A censor can cause that too, so whether a
measurement saw anything at all is a vote of its own, in the layer `blind`; only nettests that see something of every
site cast it.

All votes of a measurement are about the target's host: a vote is one per probe, target, layer and stretch of time,
and the names, addresses and routes of a host's many pages are the same. See docs/decisions/0022.
"""

from __future__ import annotations

from collections.abc import Iterator

from measurements.model import (
    CONTROL_CATEGORY,
    HttpExchange,
    Measurement,
    Outcome,
    Strength,
    TcpConnect,
    TlsHandshake,
    Verdict,
    Vote,
    Where,
)
from measurements.reading import Leg, Reading

BLIND = "blind"
NETWORK = "network"
BEFORE = {
    "dns": (),
    "tcp": ("dns",),
    "tls": ("dns", "tcp"),
    "http": ("dns", "tcp", "tls"),
    "quic": ("dns", "tcp", "tls"),
    "throttle": (),
    NETWORK: (),
}
"""Each layer, and those that a measurement got through before it."""
SILENT = frozenset({"trace"})
"""Nettests that cast no vote: they are started by what was found, and so say nothing about how often it is."""
OF_SOME_SITES = frozenset({"quic", "throttling"})
"""Nettests that see nothing of a site that lacks what they ask for, or not before they asked often."""
OWN_LAYERS = {"quic": "quic", "throttling": "throttle"}
"""What else an `accessible` of these nettests shows to work."""
ACCUSED = (Outcome.BLOCKED, Outcome.THROTTLED)
STEP_LAYERS = {TcpConnect: "tcp", TlsHandshake: "tls", HttpExchange: "http"}

Cast = tuple[str, Strength | None]  # a layer; against access with this strength, or (None) for it


def votes(measurement: Measurement, verdict: Verdict) -> tuple[Vote, ...]:
    """Reduce a verdict to votes, at most one a layer; none for a nettest that only looks closer.

    A vote for access carries the strength `proven`; it counts in the series of every strength of its layer.
    """
    if measurement.nettest in SILENT:
        return ()
    cast = list(_cast(measurement, verdict))
    if measurement.nettest not in OF_SOME_SITES:
        cast.append((BLIND, None if cast else Strength.FAILED))
    return tuple(_vote(measurement, verdict, layer, against) for layer, against in cast)


def _vote(measurement: Measurement, verdict: Verdict, layer: str, against: Strength | None) -> Vote:
    mechanism = verdict.mechanism if against is not None and layer != BLIND else None
    return Vote(
        time=measurement.started,
        probe=measurement.vantage.probe_id,
        country=measurement.vantage.country or "",
        asn=measurement.vantage.asn or 0,
        target=measurement.target.host,
        layer=layer,
        blocked=against is not None,
        strength=against or Strength.PROVEN,
        witness=measurement.id,
        mechanism="" if mechanism is None else mechanism.value,
        software=measurement.software,
        placebo=measurement.placebo or measurement.target.category == CONTROL_CATEGORY,
    )


def _cast(measurement: Measurement, verdict: Verdict) -> Iterator[Cast]:
    """Yield what is said in each layer but `blind`."""
    story = Reading(measurement.target, measurement.observations, lambda address: False)
    against = _against(story, measurement, verdict)
    if against is None and verdict.outcome is not Outcome.ACCESSIBLE:
        return
    for layer in _worked(story, measurement.nettest, sure=verdict.outcome is Outcome.ACCESSIBLE):
        if against is None or layer in BEFORE[against[0]]:
            yield layer, None
    if measurement.preconditions.foreign_alive and (against is None or against[0] != NETWORK):
        yield NETWORK, None
    if against is not None:
        yield against


def _against(story: Reading, measurement: Measurement, verdict: Verdict) -> Cast | None:
    """Return the layer that failed, and how well that is proven."""
    if verdict.outcome in ACCUSED and verdict.mechanism is not None:
        layer = verdict.mechanism.partition(".")[0]
        astray = verdict.where is Where.LOCAL or (layer == "quic" and verdict.where in (None, Where.UNKNOWN))
        return None if astray else (layer, _strength(measurement, verdict))
    if verdict.outcome is Outcome.UNREACHABLE and verdict.where is not Where.LOCAL:
        failed = _unreached(story, verdict)
        return None if failed is None else (failed, Strength.FAILED)
    return None


def _strength(measurement: Measurement, verdict: Verdict) -> Strength:
    """Return how well an accusation is proven: a record of somebody else's may hold no second proof.

    Then the site is alive, and not reached from there: that is what `unreachable` means.
    """
    proven = measurement.source == "wazi" or any(finding.proof for finding in verdict.findings[:1])
    return Strength.PROVEN if proven else Strength.FAILED


def _unreached(story: Reading, verdict: Verdict) -> str | None:
    """Return the layer at which a site could not be reached: that of the rule, or of the step that failed."""
    rule = verdict.findings[0].rule.partition(".")[0] if verdict.findings else ""
    if rule in BEFORE:
        return rule
    leg = _leg(story)
    failed = next((f.failed for f in leg.suspects if f.failed is not None), None)
    if failed is not None:
        return STEP_LAYERS.get(type(failed))
    return "dns" if leg.lookups and not leg.local_addresses else None


def _leg(story: Reading) -> Leg:
    """Return the URL of the chain that the verdict is about."""
    return story.troubled or story.legs[-1]


def _worked(story: Reading, nettest: str, *, sure: bool) -> Iterator[str]:
    """Yield the layers that were seen to work; `sure` says that the verdict vouches for what our lookup gave.

    Otherwise an address counts when others know it or it showed the site's own certificate, and a page when it
    came under that: whoever lies about a name can also let connections stand.
    """
    leg = _leg(story)
    true = [f for f in leg.local_flows if sure or f.tcp.address in leg.true_addresses]
    if leg.local_addresses and (sure or set(leg.local_addresses) & leg.true_addresses):
        yield "dns"
    if any(f.tcp.failure is None for f in true):
        yield "tcp"
    if any(f.secure for f in true):
        yield "tls"
    if any(f.page is not None and f.page.failure is None and (sure or f.secure) for f in true):
        yield "http"
    if sure and nettest in OWN_LAYERS:
        yield OWN_LAYERS[nettest]
