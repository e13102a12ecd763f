"""What the chapters of the book share: the verdicts that many scenarios deserve."""

from __future__ import annotations

from tests.lab.scenario import Expect

ACCESSIBLE = Expect(outcome="accessible")
NO_CONTROL = Expect(outcome="inconclusive", reason="no_control")
NOT_FROM_HERE = Expect(outcome="unreachable", reason="site_or_network")
FACEBOOK = ("203.0.113.10",)


def blocked(mechanism: str | tuple[str, ...], trigger: str | tuple[str, ...], where: str | tuple[str, ...]) -> Expect:
    """Return a proven block."""
    return Expect(outcome="blocked", mechanism=mechanism, trigger=trigger, where=where)
