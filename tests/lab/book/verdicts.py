"""What the chapters of the book share: the verdicts that many scenarios deserve."""

from __future__ import annotations

from tests.lab.scenario import Expect, Mechanism, Scenario

ACCESSIBLE = Expect(outcome="accessible")
DOWN = Expect(outcome="down")
SERVER_SIDE = Expect(outcome="server_side")
UNDECIDED = Expect(outcome=("unreachable", "inconclusive"))
NO_CONTROL = Expect(outcome="inconclusive", reason="no_control")
NOT_FROM_HERE = Expect(outcome="unreachable", reason="site_or_network")
FACEBOOK = ("203.0.113.10",)


def blocked(mechanism: str | tuple[str, ...], trigger: str | tuple[str, ...], where: str | tuple[str, ...]) -> Expect:
    """Return a proven block."""
    return Expect(outcome="blocked", mechanism=mechanism, trigger=trigger, where=where)


def everywhere(
    name: str,
    about: str,
    target: str,
    expect: Expect,
    seen: str,
    *,
    mechanisms: tuple[Mechanism, ...] = (),
    without_control: Expect | None = None,
    idle: bool = False,
) -> Scenario:
    """Return a scenario in which the censored home sees what the rest of the world sees."""
    return Scenario(
        name=name,
        about=about,
        target=target,
        mechanisms=mechanisms,
        expect=expect,
        without_control=without_control,
        seen=seen,
        abroad=seen,
        idle=idle,
    )
