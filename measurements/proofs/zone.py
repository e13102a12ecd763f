"""What the site's own name servers say here: a site may well give a country another answer than the world, or none.

A resolver that repeats them has not lied. They are asked from here, so their word counts only where nothing
answers questions at addresses without a resolver: whatever does that may answer for them too.
"""

from __future__ import annotations

from measurements.model import DnsLookup, Failure, Purpose
from measurements.reading import Leg, Reading

CLAIMS = (None, Failure.DNS_NXDOMAIN, Failure.NO_DNS_ANSWER)


def canonical(leg: Leg) -> str:
    """The name that a host's aliases end at, by what trusted resolvers say."""
    aliases = [a.data for q in leg.trusted for r in q.valid_replies[:1] for a in r.answers if a.rtype == "CNAME"]
    return aliases[-1].rstrip(".") if aliases else leg.host


def said_by_its_own(story: Reading, leg: Leg) -> tuple[int, ...]:
    """Show that the name's own servers, asked from here, say what our resolver says; none when they do not."""
    elsewhere = story.follow_ups(DnsLookup, Purpose.SERVERLESS, Purpose.FIRST_HOP)
    if any(q.valid_replies for q in elsewhere):
        return ()
    told = [q for q in story.follow_ups(DnsLookup, Purpose.AT_NAME_SERVER) if q.valid_replies and q.failure in CLAIMS]
    ours = {q.rtype: q for q in leg.lookups if q.valid_replies}
    if not told or not all(q.rtype in ours and _agree(q, ours[q.rtype]) for q in told):
        return ()
    return tuple(q.id for q in told)


def _agree(one: DnsLookup, other: DnsLookup) -> bool:
    """Whether two lookups came to the same: an address in common, or the same want of one."""
    if one.addresses or other.addresses:
        return bool(set(one.addresses) & set(other.addresses))
    aliased = any(a.rtype == "CNAME" for r in one.valid_replies for a in r.answers)  # it leads on, to others' servers
    return one.failure is other.failure and not aliased
