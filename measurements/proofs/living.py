"""Does the site live? What shows that it works now, for a control or by another path of ours."""

from __future__ import annotations

from collections.abc import Collection

from measurements.model import HttpExchange, Purpose, TlsHandshake
from measurements.reading import Flow, Leg, Reading


def alive(story: Reading, leg: Leg, *, beside: bool = True) -> tuple[int, ...]:
    """Show that the site works now: the observations that say so, or none.

    A control reached it (a page, or this address); or one of its addresses shows the name's certificate
    here; or, with `beside`, another name is answered at its address: where something on the way answers for
    the address itself, that would say nothing.
    """
    if control := leg.control:
        if control.reached and control.page is not None:
            return (control.query.id, control.page.id)
        for flow in leg.local_flows:
            if stood := control.connected(flow.tcp.address, flow.tcp.port):
                hands = control.shook_hands(flow.tcp.address)
                if not leg.encrypted or (hands is not None and hands.failure is None):
                    return (control.query.id, stood.id)
    first = story.control
    if first is not None and leg.control is None and first.reached and first.page is not None:
        return (first.query.id, first.page.id)
    if leg.authentic is not None:
        return leg.authentic.ids
    for flow in leg.flows:
        if not flow.local and not leg.encrypted and flow.page is not None and flow.page.status is not None:
            return flow.ids
    if not beside or (leg.lookups and not leg.known_addresses):
        return ()
    ours = {f.tcp.address for f in leg.suspects if given_by_others(leg, f)}  # where a lie leads, anything may answer
    return harmless_at_target(story, ours)


def harmless_at_target(story: Reading, addresses: Collection[str] | None = None) -> tuple[int, ...]:
    """Show that a harmless name is answered at the target's own address, or at one of `addresses`."""
    hands = [h for h in story.follow_ups(TlsHandshake, Purpose.HARMLESS_AT_TARGET) if h.ended]
    pages = [p for p in story.follow_ups(HttpExchange, Purpose.HARMLESS_AT_TARGET) if p.status is not None]
    answered: list[TlsHandshake | HttpExchange] = [*hands, *pages]
    return tuple(o.id for o in answered if addresses is None or o.address in addresses)


def given_by_others(leg: Leg, flow: Flow) -> bool:
    """Whether another view gave the same address, so that it is the site's."""
    return not leg.known_addresses or not leg.lookups or flow.tcp.address in leg.known_addresses
