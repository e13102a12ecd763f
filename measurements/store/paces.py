"""What earlier sessions of pairs know when another begins, read off the verdicts about them."""

from __future__ import annotations

from collections.abc import Iterable

from measurements.model import PaceSoFar, Verdict
from measurements.store import queries
from measurements.store.queries import Query

NETTEST = "throttling"
REMEMBERED = 28 * 86_400.0  # seconds for which pairs that differ in nothing count
DAY = 86_400.0
_SESSIONS = 5000  # that are read to know a network
_LATELY = 20  # about one URL, of which the newest that came to something is wanted

Session = tuple[int | None, str, Verdict | None]
"""The network, the URL, and what was said."""


def wanted(url: str, probe_id: str, now: float, *, by_month: bool = False) -> tuple[Query, Query]:
    """Select the sessions that `sum_up` needs: those that are remembered, and the latest about the URL."""
    return (
        queries.sessions(NETTEST, probe_id, now - REMEMBERED, None, _SESSIONS, by_month=by_month),
        queries.sessions(NETTEST, probe_id, 0.0, url, _LATELY, by_month=by_month),
    )


def sum_up(sessions: Iterable[Session], url: str, asn: int | None, now: float) -> PaceSoFar:
    """Say what is known at `now`, UTC seconds, of a target and of the network.

    Evidence about a target goes on for ever. What lines do by themselves is remembered for four weeks, for each
    network, whatever the target was.
    """
    said = [(network, of, verdict.throttling) for network, of, verdict in sessions if verdict is not None]
    before = [(network, of, found) for network, of, found in said if found is not None and found.last < now]
    alike = [found for network, _, found in before if network == asn and found.last > now - REMEMBERED]
    mine = [found for _, of, found in before if of == url]
    return PaceSoFar(
        last=max(mine, key=lambda found: found.last, default=None),
        alike_legs=sum(found.alike_legs for found in alike),
        alike_apart=sum(found.alike_apart for found in alike),
        spent=sum(found.spent for found in mine if found.last // DAY == now // DAY),
    )
