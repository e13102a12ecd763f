"""What the canaries' answers mean: pure, from what was seen to `Preconditions`.

The nearest suspect is cleared first (DESIGN, law 4): a machine without a line, a VPN, a portal, a spent bundle, a
dead resolver, an antivirus, a wrong clock. Only what is none of these lets sites be judged. A failure of this
machine's own, such as too many open files, says nothing about any network and counts for nothing here.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Protocol
from urllib.parse import urlsplit

from msgspec.structs import replace

from measurements.model import (
    OURS,
    Canary,
    Failure,
    HttpExchange,
    Preconditions,
    TcpConnect,
    TlsHandshake,
)
from measurements.reading import identical, same_site
from probe.network import Route
from probe.vantage.canaries import CLEAR, CONTROL, DOMESTIC, FOREIGN, SECURE, Seen, Try, offset
from probe.vantage.machine import Machine

ABSENCES = frozenset({"offline", "gateway_only", "nothing_passes", "resolver_dead"})
"""Reasons that rest on what did not come back."""

CLOCK_SKEW = 60.0  # seconds by which a clock may be wrong before it matters to a certificate
NO_ADDRESS = "no_address"
AUTHENTICATION = 511  # Network Authentication Required (RFC 6585, 6)

OFFLINE = "This machine has no route to the internet, so nothing can be said about any site."
CLOSED = "Neither a resolver nor a harmless witness site answers: this network is down or closed."
GATEWAY = "The gateway of this network answers and nothing beyond it does: the line behind it is dead."
NOTHING = "Names are looked up, and nothing else passes: a login page that hides, a spent bundle or a dead line."
VPN = (
    "Traffic leaves through a VPN ({device}), so what is seen is its network and not this one. Turn it off to measure."
)
WILDCARD = "The resolver gives harmless names that have nothing in common the same address: a login page, or a proxy."
PRIVATE = "The resolver gives harmless names private addresses: a login page or a proxy stands in the way."
PORTAL = "Harmless sites are answered by a login page: log in to this network first."
SPENT = "Harmless sites are answered by one page and {name} is not: the data bundle seems spent, or not begun."
STRANGER = "Harmless sites are all answered with one certificate that is none of theirs: a login page, or a proxy."
DEAD = "The resolver of this network answers nothing, not even harmless names."
ISSUER = (
    "Harmless sites are all answered in the name of one unknown authority, on this machine or at the first router, as "
    "an antivirus or a company's own proxy does. Through that, no site can be judged."
)
ISSUER_SOMEWHERE = (
    "Harmless sites are all answered in the name of one unknown authority, and an antivirus or a company's own proxy "
    "near this machine cannot be ruled out. Through that, no site can be judged."
)
CLOCK = "Every witness's certificate seems out of date: set this machine's clock and try again."

VPN_HALF_WAY = (
    "A VPN ({device}) was turned on or off during the measurement, so it is of two networks and says nothing."
)
CHANGED = "This machine moved to another network during the measurement, so it is of two and says nothing."

IN_CONTAINER = (
    "Seen from inside a container: its first hop is the machine's own bridge. That a router or a filter at home, or a "
    "VPN of the machine itself, has a hand in it cannot be seen from here."
)
PROXIES = "A proxy is set in the environment ({names}) and was not used."
NO_IPV6 = "IPv6 has a route here that leads nowhere, so it is left out."
SLOW = "The resolver took {seconds:.1f} seconds for a harmless name."
SLOWLY = 2.0


class Private(Protocol):
    """What is asked of a Network here."""

    def is_private(self, address: str) -> bool: ...


Way = tuple[Route | None, Route | None]
"""The routes of IPv4 and IPv6 to the public internet."""


@dataclass(slots=True)
class Ground:
    """On what we stand: routes, the machine, and the prefix of a NAT64 once it is found."""

    ipv4: Route | None
    ipv6: Route | None
    machine: Machine
    resolver: str | None = None
    nat64: str | None = None

    @property
    def behind_bridge(self) -> bool:
        """Whether the first hop is a container's bridge; one that uses the machine's own network has none."""
        return self.machine.is_bridged(self.ipv4 or self.ipv6, self.resolver)

    @property
    def routed(self) -> bool:
        return self.ipv4 is not None or self.ipv6 is not None

    @property
    def tunnelled(self) -> Route | None:
        """The route that leads into a VPN, if one does."""
        return next((r for r in (self.ipv4, self.ipv6) if r is not None and self.machine.is_tunnel(r)), None)


def conclude(ground: Ground, seen: Seen, net: Private, now: float) -> Preconditions:
    """Say whether the network can be judged, and what was found out about it."""
    portal = _portal(seen, net)
    ours = _ours(seen)
    tried = [Canary(kind=t.kind, way=t.way, name=t.name, problem=_problem(t, portal)) for t in seen.tries]
    canaries = tuple(c for c in tried if c.problem is None or not ours)
    asked = bool(seen.lookups)
    over_ipv6 = [tcp.failure is None for tcp in seen.over_ipv6 if tcp.failure not in OURS]
    found = Preconditions(
        ipv4_route=ground.ipv4 is not None,
        ipv6_route=ground.ipv6 is not None,
        resolver_alive=any(q.addresses for q in seen.lookups.values()) if ground.routed else None,
        trusted_alive=any(q.addresses for q in seen.trusted) if ground.routed else None,
        witness_alive=any(_stood(t) for t in seen.of(FOREIGN, DOMESTIC)) if ground.routed else None,
        clock_offset=_offset(seen, now),
        control_alive=_alive(canaries, CONTROL),
        foreign_alive=_alive(canaries, FOREIGN),
        domestic_alive=_alive(canaries, DOMESTIC),
        ipv6_alive=any(over_ipv6) if over_ipv6 else None,
        nat64=ground.nat64,
        issuer=_issuer(seen),
        container=ground.behind_bridge,
        canaries=canaries,
        notes=tuple(_notes(ground, seen, over_ipv6)),
    )
    reason, detail = _reason(ground, seen, found, portal, net, asked=asked)
    if ours and reason in ABSENCES:
        reason, detail = None, ""
    named = found.issuer if reason is None else None  # one near the volunteer may name an employer, or the home
    return replace(found, reason=reason, detail=detail, issuer=named)


def doubts_clock(seen: Seen, now: float) -> bool:
    """Whether our clock may be wrong, so that a page under a certificate should say the time."""
    dates = [offset(t.step, now) for t in seen.tries if isinstance(t.step, HttpExchange)]
    return any(d is not None and abs(d) > CLOCK_SKEW for d in dates) or bool(_expired(seen))


def _reason(
    ground: Ground, seen: Seen, found: Preconditions, portal: bool, net: Private, *, asked: bool
) -> tuple[str | None, str]:
    """Name the nearest suspect, in the order in which they are cleared."""
    if not ground.routed:
        return "offline", OFFLINE
    if (tunnel := ground.tunnelled) is not None:
        return "vpn", VPN.format(device=tunnel.device)
    passes = [t for t in seen.tries if _right(t)]
    if not (found.resolver_alive or found.trusted_alive or found.witness_alive or passes):
        gateway = not found.container and any(hop.answer == "expired" for hop in seen.hops)
        return ("gateway_only", GATEWAY) if gateway else ("offline", CLOSED)
    secure = [t for t in passes if t.way == SECURE]
    given = [set(q.addresses) for q in seen.lookups.values() if q.addresses]
    if len(given) > 1 and all(net.is_private(a) for addresses in given for a in addresses):
        return "captive", PRIVATE
    if len(given) > 1 and not secure and all(addresses == given[0] for addresses in given):
        return "captive", WILDCARD
    if portal:
        spared = next((t.name for t in secure if t.kind != CONTROL and t.name), None)
        failing = any(not _right(t) for t in seen.of(FOREIGN, way=SECURE))
        return ("data_plan", SPENT.format(name=spared)) if spared and failing else ("captive", PORTAL)
    others = {t.name for t in seen.tries} | {q.resolver for q in seen.trusted}
    if not (found.trusted_alive or found.witness_alive or passes) and len(others) > 1:  # one alone may be down
        return "nothing_passes", NOTHING
    if _one_stranger(seen):
        return "captive", STRANGER
    if found.issuer is not None:
        near = [hop.answer for hop in seen.hops]
        if not near or any(answer != "expired" for answer in near):
            return "private_issuer", ISSUER if "open" in near else ISSUER_SOMEWHERE
    if not found.resolver_alive and asked:
        return "resolver_dead", DEAD
    ended = [t.step for t in seen.of(FOREIGN, DOMESTIC, way=SECURE) if _hands(t) is not None]
    if ended and len(_expired(seen)) == len(ended) and found.clock_offset is None:
        return "clock", CLOCK
    return None, ""


def _notes(ground: Ground, seen: Seen, over_ipv6: Sequence[bool]) -> Iterable[str]:
    if ground.behind_bridge:
        yield IN_CONTAINER
    if ground.machine.proxies:
        yield PROXIES.format(names=", ".join(ground.machine.proxies))
    if over_ipv6 and not any(over_ipv6):
        yield NO_IPV6
    times = [q.elapsed for q in seen.lookups.values() if q.addresses]
    if times and min(times) > SLOWLY:
        yield SLOW.format(seconds=min(times))


def changed(before: Way, after: Way, machine: Machine) -> Preconditions | None:
    """Say that traffic took another way in the end than in the beginning; None when it did not, or has none now.

    IPv6 comes and goes, and its addresses change by themselves: it counts where there is nothing else.
    """
    old, new = (next((r for r in way if r is not None), None) for way in (before, after))
    if new is None or old == new or (old is not None and _same_way(old, new)):
        return None
    tunnel = next((r for r in after if machine.is_tunnel(r)), None) or next(
        (r for r in before if machine.is_tunnel(r)), None
    )
    if tunnel is not None:
        return Preconditions(reason="vpn", detail=VPN_HALF_WAY.format(device=tunnel.device))
    return Preconditions(reason="network_changed", detail=CHANGED)


def _same_way(old: Route, new: Route) -> bool:
    six = ":" in (old.source or "") and ":" in (new.source or "")
    return (old.device, old.gateway) == (new.device, new.gateway) and (six or old.source == new.source)


# What one canary says


def _hands(made: Try) -> TlsHandshake | None:
    """The handshake that a canary ended, under whatever certificate."""
    return made.step if isinstance(made.step, TlsHandshake) and made.step.ended else None


def _stood(made: Try) -> bool:
    """Whether a connection stood, whatever came of it."""
    return made.step is not None and not (isinstance(made.step, TcpConnect) and made.step.failure is not None)


def _ours(seen: Seen) -> bool:
    """Whether this machine failed us, so that what is missing may be missing for that."""
    steps = [*seen.lookups.values(), *seen.trusted, *(t.step for t in seen.tries if t.step is not None)]
    return any(step.failure in OURS - {Failure.INTERRUPTED} for step in steps)


def _right(made: Try) -> bool:
    """Whether a canary got an answer that only the one that was asked can have given."""
    if made.kind == CONTROL:
        return made.right is True
    return made.way == SECURE and isinstance(made.step, TlsHandshake) and made.step.failure is None


def _problem(made: Try, portal: bool) -> str | None:
    if made.kind == CONTROL:
        return None if made.right else "forged" if made.right is False else _failure(made)
    if isinstance(made.step, HttpExchange) and made.step.failure is None:
        return "portal" if portal else None
    return _failure(made)


def _failure(made: Try) -> str | None:
    if not made.named:
        return NO_ADDRESS
    if made.step is None:
        return Failure.TIMEOUT.value
    if made.step.failure is Failure.INTERRUPTED:
        return Failure.TIMEOUT.value
    if made.step.failure is None and not isinstance(made.step, TlsHandshake | HttpExchange):
        return Failure.TIMEOUT.value  # what was to follow was cut
    return made.step.failure.value if made.step.failure is not None else None


def _alive(canaries: Iterable[Canary], kind: str) -> bool | None:
    """Whether any canary of a kind got its own answer; a certificate that seems out of date is one."""
    problems = [c.problem for c in canaries if c.kind == kind]
    return any(p in (None, Failure.SSL_INVALID_CERTIFICATE.value) for p in problems) if problems else None


# What several say together


def _portal(seen: Seen, net: Private) -> bool:
    """Whether one page answers for sites in clear that have nothing in common, or says that we must log in."""
    pages = [t.step for t in seen.of(FOREIGN, way=CLEAR) if isinstance(t.step, HttpExchange)]
    said = [page for page in pages if page.status is not None]
    if any(page.status == AUTHENTICATION for page in said):
        return True
    telling = [page for page in said if page.redirect is not None or page.body_length]
    served = [page for page in telling if page.status is not None and page.status < 400]
    if any(_leads_inside(page, net) for page in served):
        return True
    if len(served) < 2:
        return False
    if all(identical(served[0], page) for page in served[1:]):
        return True
    hosts = {urlsplit(page.redirect or "").hostname for page in served}
    away = all(page.redirect and not same_site(urlsplit(page.redirect).hostname or "", page.host) for page in served)
    return away and len(hosts) == 1


def _leads_inside(page: HttpExchange, net: Private) -> bool:
    host = urlsplit(page.redirect or "").hostname or ""
    return host.replace(".", "").isdigit() and net.is_private(host)


def _one_stranger(seen: Seen) -> bool:
    """Whether all witnesses showed one and the same certificate, of a known authority but for another name."""
    hands = [h for t in seen.of(FOREIGN, DOMESTIC, way=SECURE) if (h := _hands(t)) is not None]
    if len(hands) < 2 or any(h.failure is not Failure.SSL_INVALID_HOSTNAME for h in hands):
        return False
    return len({(h.chain[:1], h.issuer) for h in hands}) == 1


def _issuer(seen: Seen) -> str | None:
    """The unknown authority in whose name all witnesses were answered, if it is one."""
    hands = [h for t in seen.of(FOREIGN, DOMESTIC, way=SECURE) if (h := _hands(t)) is not None]
    issuers = {h.issuer for h in hands if h.failure is Failure.SSL_UNKNOWN_AUTHORITY}
    strangers = [h for h in hands if h.failure is Failure.SSL_UNKNOWN_AUTHORITY]
    return issuers.pop() if len(hands) > 1 and len(strangers) == len(hands) and len(issuers) == 1 else None


def _expired(seen: Seen) -> list[TlsHandshake]:
    hands = [h for t in seen.of(FOREIGN, DOMESTIC, way=SECURE) if (h := _hands(t)) is not None]
    return [h for h in hands if h.failure is Failure.SSL_INVALID_CERTIFICATE]


def _offset(seen: Seen, now: float) -> float | None:
    """Say how wrong our clock is, in seconds, when all who say the time agree about that; None when it is right.

    Only what came under a certificate counts when it was asked for, for a Date in clear may be anybody's.
    """
    pages = [p for p in seen.pages if p.status is not None]
    offsets = [found for page in pages if (found := offset(page, now)) is not None]
    if not offsets or max(offsets) - min(offsets) > CLOCK_SKEW:
        return None
    middle = median(offsets)
    return round(middle) if abs(middle) > CLOCK_SKEW else None
