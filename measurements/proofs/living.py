"""Does the site live? What shows that it works now, for a control or by another path of ours; or did, today.

That it opened here within a day is the least of these: where something stands between, and nothing else could tell.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from measurements.case import Case
from measurements.model import HttpExchange, Outcome, Purpose, TlsHandshake
from measurements.pages import speaks_of_blocking
from measurements.reading import Flow, Leg, Reading, redirects_home

LATELY = 24 * 3600.0


@dataclass(frozen=True)
class Life:
    """That the site lives: the steps that show it, none where only an earlier session does; and in words.

    It is `sure` when the site itself was reached, now.
    """

    evidence: tuple[int, ...]
    words: str
    sure: bool


def lives(case: Case, leg: Leg, *, beside: bool = True) -> Life | None:
    """Show that the site lives, by what may be least when it is beyond doubt that something stands between.

    Without a control's word, its other port may speak for it, or that it opened here within a day.
    """
    if seen := alive(case.reading, leg, beside=beside):
        return Life(seen, "The site is up.", sure=True)
    if leg.control is None and (door := _other_door(case.reading, leg)) is not None:
        return Life((door.id,), "Its address answers for it at another port.", sure=isinstance(door, TlsHandshake))
    now = case.measurement.started
    ages = [now - past.started for past in case.history if past.verdict.outcome is Outcome.ACCESSIBLE]
    if leg.control is None and (lately := [age for age in ages if 0.0 < age <= LATELY]):
        return Life((), f"The site opened here {_ago(min(lately))} ago.", sure=False)
    return None


def lives_beyond(case: Case, leg: Leg) -> Life | None:
    """Show that the site lives where nothing that was seen under its certificate counts."""
    control = leg.control or case.reading.control
    if control is not None and control.reached and control.page is not None:
        return Life((control.query.id, control.page.id), "The site is up.", sure=True)
    if (door := _other_door(case.reading, leg)) is not None:
        return Life((door.id,), "Its address answers for it at another port.", sure=False)
    return None


def _ago(seconds: float) -> str:
    return f"{seconds / 3600:.0f} hours" if seconds >= 5400 else f"{max(1.0, seconds / 60):.0f} minutes"


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
    return harmless_at_target(story, _own(leg)) if beside else ()


def _own(leg: Leg) -> set[str]:
    """The addresses that are the site's beyond doubt: where a lie of the resolver's leads, anything may answer."""
    if leg.lookups and not leg.known_addresses:
        return set()
    return {f.tcp.address for f in leg.suspects if given_by_others(leg, f)}


def _other_door(story: Reading, leg: Leg) -> TlsHandshake | HttpExchange | None:
    """Find the site's certificate at the other port of one of its addresses; or in clear, the site's page.

    A page in clear is the site's when it sends us to the site's protected door, or is no refusal and speaks of none.
    """
    hands = [h for h in story.follow_ups(TlsHandshake, Purpose.OTHER_PORT) if h.failure is None]
    pages = [p for p in story.follow_ups(HttpExchange, Purpose.OTHER_PORT) if p.status is not None]
    own = [p for p in pages if redirects_home(leg, p) or ((p.status or 0) < 300 and not speaks_of_blocking(p))]
    shown: list[TlsHandshake | HttpExchange] = [*hands, *own]
    return next((step for step in shown if step.address in _own(leg)), None)


def harmless_at_target(story: Reading, addresses: Collection[str] | None = None) -> tuple[int, ...]:
    """Show that a harmless name is answered at the target's own address, or at one of `addresses`."""
    hands = [h for h in story.follow_ups(TlsHandshake, Purpose.HARMLESS_AT_TARGET) if h.ended]
    pages = [p for p in story.follow_ups(HttpExchange, Purpose.HARMLESS_AT_TARGET) if p.status is not None]
    answered: list[TlsHandshake | HttpExchange] = [*hands, *pages]
    return tuple(o.id for o in answered if addresses is None or o.address in addresses)


def given_by_others(leg: Leg, flow: Flow) -> bool:
    """Whether another view gave the same address, so that it is the site's."""
    return not leg.known_addresses or not leg.lookups or flow.tcp.address in leg.known_addresses
