"""Is the site's name slowed down? What the pairs of a `throttling` measurement weigh (`measurements.pace`).

Both proofs are in a pair: the harmless leg shows that server and line can do better, now; and that the same server
gives the same bytes slower under one name than under another, again and again, is something that neither the server
nor the line can be. A single slow transfer, or a site that is slow, is none of it.
"""

from __future__ import annotations

import math

from measurements.case import Case
from measurements.model import (
    Confidence,
    Finding,
    Mechanism,
    Outcome,
    Proof,
    Purpose,
    TcpConnect,
    Throttling,
    TlsHandshake,
    Transfer,
    Trigger,
    Where,
)
from measurements.pace import ALPHA, CLEAR, NEEDED, PACES, TOO_WILD, pace_of
from measurements.reading import is_address, of

NETTEST = "throttling"
SLOW = 2_000_000.0  # bit/s below which it is said that both names are slow
REFUSED = 2  # handshakes under the name that fail, beside harmless ones that stand


def throttled(case: Case) -> Finding | None:
    """The site's name makes a transfer slow: under a harmless name the same server gives the same bytes faster."""
    found = case.throttling
    if found is None or found.mechanism is None:
        return None
    if found.mechanism is Mechanism.THROTTLE_STALL:
        how = f"stops for good after a few kilobytes, {_plain(found.rate)} in all"
    else:
        how = f"comes at {_plain(found.rate)} ({_between(found)})"
    return Finding(
        rule="throttling.throttled",
        outcome=Outcome.THROTTLED,
        mechanism=found.mechanism,
        trigger=Trigger.NAME,
        where=Where.UNKNOWN,
        confidence=Confidence.LIKELY,
        proof=Proof.ELSEWHERE,
        summary=f"Under the name {_host(case)} an object of a server of ours {how}, under a harmless name at "
        f"{_plain(found.harmless_rate)}: {_times(found.ratio)} times faster, {_count(found)}. {_evidence(found)}",
        evidence=tuple(sorted(case.tally.evidence)),
        throttling=found,
    )


def alike(case: Case) -> Finding | None:
    """The site's name makes no transfer slow, as far as pairs under it and under a harmless name were read."""
    found = case.throttling
    if found is None or found.session_evidence > CLEAR:
        return None
    slow = (found.harmless_rate or 0.0) < SLOW
    return Finding(
        rule="throttling.alike",
        outcome=Outcome.ACCESSIBLE,
        summary=f"An object of a server of ours comes at {_plain(found.rate)} under the name {_host(case)}, and at "
        f"{_plain(found.harmless_rate)} under a harmless one ({_count(found)}): the name is not slowed down four times "
        f"or more within the first {_read(case)} kB, which is all that was read."
        + (" Both are slow: the line is, or something slows both down alike." if slow else ""),
        evidence=tuple(sorted(case.tally.evidence)),
        throttling=found,
    )


def undecided(case: Case) -> Finding | None:
    """Whether the site's name is slowed down could not be told, and why."""
    if case.measurement.nettest != NETTEST:
        return None
    found = case.throttling
    reason, words = _nothing(case) if found is None else _why(case, found)
    return Finding(
        rule="throttling.undecided",
        outcome=Outcome.INCONCLUSIVE,
        reason=reason,
        summary=words,
        evidence=tuple(sorted(case.tally.evidence)),
        throttling=found,
    )


def _nothing(case: Case) -> tuple[str, str]:
    """Say why no pair was laid."""
    if is_address(_host(case)):
        return "no_name", f"{_host(case)} is an address: there is no name that could be slowed down."
    if any(c.purpose in PACES for c in of(TcpConnect, case.measurement.observations)):
        return "pacer_fails", "No transfer came from a server of ours that gives objects: nothing could be compared."
    return "no_pacer", _hint(case)


def _why(case: Case, found: Throttling) -> tuple[str, str]:
    """Say in a word and a sentence what is missing."""
    skipped = dict(found.skipped)
    name = _host(case)
    if _refused(case) >= REFUSED:
        return "name_fails", f"Handshakes under the name {name} fail at a server of ours: that is no question of pace."
    slow = skipped.get("slow_line", 0)
    if slow > found.pairs and slow >= sum(skipped.values()) - slow:
        return (
            "slow_line",
            "Under a harmless name it is slower than 200 kbit/s too: the line is, or something slows both down alike; "
            "nothing can be told.",
        )
    if not found.calibrated:
        return (
            "uncalibrated",
            f"Fewer than {NEEDED} pairs of transfers that differ in nothing are known of this network: "
            "what it does by itself could not be told from a throttle.",
        )
    if found.q0 > TOO_WILD:
        return "unsteady_line", "Transfers that differ in nothing are too far apart here: this line wavers too much."
    if found.mechanism is None and found.spread is not None and found.slower == found.pairs and _sure(found):
        return (
            "uneven",
            f"Under the name {name} transfers are slower ({_count(found)}), but at no even rate "
            f"({_between(found)}), which a throttle would show.",
        )
    return "undecided", f"Under the name {name} {_count(found).removeprefix('in ')} were slower: that settles nothing."


def _sure(found: Throttling) -> bool:
    return found.evidence >= -math.log(ALPHA)


def _refused(case: Case) -> int:
    hands = [h for h in of(TlsHandshake, case.measurement.observations) if h.purpose is Purpose.PACE_TARGET]
    return 0 if any(h.ended for h in hands) else len(hands)


def _hint(case: Case) -> str:
    """Say that no server of ours gave objects, and how fast the site itself was beside another, if that was seen."""
    words = "No control gives objects for pairs of transfers: nothing can be proven."
    seen = [t for t in of(Transfer, case.measurement.observations) if t.purpose is Purpose.PACE_OBJECT]
    rates = [(t.host, pace_of(t)) for t in seen if t.failure is None and t.received]
    if len(rates) < 2:
        return words
    told = " and ".join(f"{host} at {_plain(rate)}" for host, rate in rates)
    return f"{words} As a hint only: {told}, once each."


def _host(case: Case) -> str:
    return case.measurement.target.host


def _count(found: Throttling) -> str:
    return f"in {found.slower} of {found.pairs} pairs"


def _evidence(found: Throttling) -> str:
    value = math.exp(min(found.evidence, math.log(1e6)))
    least = "more than " if found.evidence > math.log(1e6) else ""
    return (
        f"The evidence value is {least}{value:,.0f}; "
        "by chance it would ever reach 1,000 for one target in 1,000 at most."
    )


def _between(found: Throttling) -> str:
    return f"between {_plain(found.rate_low)} and {_plain(found.rate_high)} with {100 * found.covers:.0f} % certainty"


def _read(case: Case) -> int:
    """How many kB of an object were read under the name, in every pair that counts."""
    return min(leg.transfer.received for leg in case.tally.target) // 1000


def _times(ratio: float | None) -> str:
    times = ratio or 0.0
    return f"{times:.0f}" if times >= 10 else f"{times:.1f}"


def _plain(rate: float | None) -> str:
    """Write bit/s for people."""
    rate = rate or 0.0
    return f"{rate / 1e6:.1f} Mbit/s" if rate >= 1e6 else f"{rate / 1e3:.0f} kbit/s"
