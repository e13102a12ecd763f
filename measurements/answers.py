"""What DNS answers say, and whether two of them can both be true.

An answer is a set of addresses, or of an HTTPS record's hints (RFC 9460, 7.3), or a refusal. Whoever answers a
question twice with different things has been spoken for by another at least once.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Set

from measurements.model import DnsLookup, DnsReply

NO_CLAIM = frozenset({"SERVFAIL", "REFUSED"})
"""By these a forwarder gives up; when it hears an answer after all, it has not lied."""
FILTERS = {15: "Blocked", 16: "Censored", 17: "Filtered", 18: "Prohibited"}
"""Extended DNS errors by which a resolver says itself that it withholds the answer (RFC 8914, 4.16 to 4.19)."""

_HINTS = re.compile(r"ipv[46]hint=\"?([0-9a-fA-F.:,]{2,400})")
_EMBEDDED = (
    (4, 5, 6, 7),  # behind a prefix of 32 bits
    (5, 6, 7, 9),
    (6, 7, 9, 10),
    (7, 9, 10, 11),
    (9, 10, 11, 12),
    (12, 13, 14, 15),  # behind one of 96
)


def addresses_in(reply: DnsReply) -> frozenset[str]:
    """Return the addresses that a reply gives, or the hints of its HTTPS records."""
    plain = {a.data for a in reply.answers if a.rtype in ("A", "AAAA")}
    services = (a.data for a in reply.answers if a.rtype == "HTTPS")
    hints = {hint for data in services for found in _HINTS.findall(data) for hint in found.split(",") if hint}
    return frozenset(plain | hints)


def contradict(one: DnsReply, other: DnsReply) -> bool:
    """Whether two replies to one question cannot both be true."""
    mine, theirs = addresses_in(one), addresses_in(other)
    if mine or theirs:
        return not mine & theirs
    return one.rcode != other.rcode


def forged_beside(lookup: DnsLookup, known: Set[str]) -> bool:
    """Whether two replies contradict each other and one is not the truth that others tell (`known`).

    A name with many addresses may be answered with one or with another.
    """
    claims = [r for r in lookup.valid_replies if r.rcode not in NO_CLAIM]
    given = [addresses_in(r) for r in claims]
    return len(claims) > 1 and contradict(claims[0], claims[-1]) and not all(g & known for g in given)


def embeds(address: str, known: Set[str]) -> bool:
    """Whether an IPv6 address is one of the IPv4 addresses in `known`, translated by a network (RFC 6052, 2.2)."""
    try:
        packed = ipaddress.IPv6Address(address).packed
    except ValueError:
        return False
    inside = {str(ipaddress.IPv4Address(bytes(packed[i] for i in places))) for places in _EMBEDDED}
    return bool(inside & known)


def says_it_filters(lookups: list[DnsLookup]) -> str | None:
    """Return the name of the extended error by which a resolver says that it withholds the answer, if it does."""
    codes = (code for lookup in lookups for reply in lookup.valid_replies for code, _ in reply.ede)
    return next((f"extended DNS error {code}, {FILTERS[code]}" for code in codes if code in FILTERS), None)
