"""What two controls hold in common.

A control may stand in a bad place, be broken, or lie. Two that look at once are believed on what they
both saw, or only one of them looked at; where they contradict each other nothing is known.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TypeGuard

from measurements.model import AnyObservation, QuicHandshake, TcpConnect, TlsHandshake
from probe.control.reading import Account

Endpoint = tuple[str, int]


def differ(one: Account, other: Account) -> str | None:
    """Say on what two controls disagree so much that neither can be believed; None when they do not."""
    if one.asked_dns and other.asked_dns and (one.dns_failure is None) != (other.dns_failure is None):
        return "whether the name has addresses"
    if one.page and other.page and (one.page.failure is None) != (other.page.failure is None):
        return "whether the site answers"
    shared = {e for _, e in _reached(one).keys() & _reached(other).keys()}
    if shared and shared == _disputed(one, other):
        return "whether any of its addresses can be reached"
    return None


def without_contradictions(one: Account, other: Account) -> Account:
    """Leave out of `one` the endpoints of which `other` says the contrary."""
    disputed = _disputed(one, other)
    steps = tuple(s for s in one.steps if not (_is_endpoint(s) and (s.address, s.port) in disputed))
    return replace(one, steps=steps)


def _disputed(one: Account, other: Account) -> set[Endpoint]:
    mine, theirs = _reached(one), _reached(other)
    return {
        endpoint for kind, endpoint in mine.keys() & theirs.keys() if mine[kind, endpoint] != theirs[kind, endpoint]
    }


def _reached(said: Account) -> dict[tuple[type[AnyObservation], Endpoint], bool]:
    """Whether each step at an endpoint worked."""
    return {(type(s), (s.address, s.port)): s.failure is None for s in said.steps if _is_endpoint(s)}


def _is_endpoint(step: AnyObservation) -> TypeGuard[TcpConnect | TlsHandshake | QuicHandshake]:
    return isinstance(step, TcpConnect | TlsHandshake | QuicHandshake)
