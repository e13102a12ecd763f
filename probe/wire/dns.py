"""DNS messages: the question that we send, and what is kept of whatever comes back. No sockets here.

A reply is read as a hostile thing. What cannot answer our question keeps a `problem` (foreign_source,
malformed, wrong_id, wrong_question) and is evidence, never an answer. Of an answer section only the
chain that begins at the asked name is kept: its aliases, and the records of the asked type at its end,
which is what a stub resolver would use. Chain, records and texts are bounded; a message that claims more
records than `MOST_RECORDS` is not read at all, since reading it could take seconds.

Sources: RFC 1035; RFC 6840, 5.7 (a query with AD set asks for AD in the reply, without the bulk of DO);
RFC 8914 (extended errors); RFC 8484 (DoH: query id 0).
"""

from __future__ import annotations

import ipaddress
import secrets
import struct
from collections.abc import Iterable
from dataclasses import dataclass

import dns.edns
import dns.exception
import dns.message
import dns.name
import dns.rcode
import dns.rdata
import dns.rdataclass
import dns.rdatatype
import dns.rdtypes.ANY.CNAME  # these are read now: with no file left to open, a reply would seem malformed
import dns.rdtypes.ANY.SOA
import dns.rdtypes.IN.A
import dns.rdtypes.IN.AAAA
import dns.rdtypes.IN.HTTPS
import dns.rrset

from measurements.model import DnsAnswer, DnsReply, Failure
from probe.wire.failures import StepFailed

EDNS_PAYLOAD = 1232
HEADER = 12
QR, OPCODE, TC, RD, AD, CD = 0x8000, 0x7800, 0x0200, 0x0100, 0x0020, 0x0010  # dnspython's cost microseconds a use
MOST_RECORDS = 256
MOST_ANSWERS = 64
MOST_ALIASES = 16
MOST_EXTENDED_ERRORS = 8
LONGEST_DATA = 2048
LONGEST_ERROR_TEXT = 256

FOREIGN_SOURCE = "foreign_source"
MALFORMED = "malformed"
WRONG_ID = "wrong_id"
WRONG_QUESTION = "wrong_question"
TRUNCATED = "truncated"  # the TC bit: TCP was asked instead

_OPT = struct.pack("!BHHIH", 0, dns.rdatatype.OPT, EDNS_PAYLOAD, 0, 0)
_MAY_LACK_THE_QUESTION = (1, 2, 4, 5)  # FORMERR, SERVFAIL, NOTIMP, REFUSED

_FAILURES = {
    "NXDOMAIN": Failure.DNS_NXDOMAIN,
    "REFUSED": Failure.DNS_REFUSED,
    "SERVFAIL": Failure.DNS_SERVFAIL,
}


@dataclass(frozen=True, slots=True)
class Query:
    """One question, as text and in wire format; `question` is its name, class and type."""

    name: str
    rtype: str
    id: int
    question: tuple[dns.name.Name, int, int]
    wire: bytes


def make_query(name: str, rtype: str, *, message_id: int | None = None, checking_disabled: bool = False) -> Query:
    """Make a recursive query with a random id; raises StepFailed for a name that no query can carry."""
    if not name:
        raise StepFailed(Failure.INVALID_ARGUMENT, "an empty name cannot be asked")
    identity = secrets.randbits(16) if message_id is None else message_id
    flags = RD | AD | (CD if checking_disabled else 0)
    try:
        asked = dns.name.from_text(name.encode("ascii").decode("ascii"))
        kind = int(dns.rdatatype.from_text(rtype))
    except (dns.exception.DNSException, UnicodeError) as error:
        raise StepFailed(Failure.INVALID_ARGUMENT, f"{name!r} cannot be asked: {error}") from None
    header = struct.pack("!6H", identity, flags, 1, 0, 0, 1)
    labels = [bytes([len(label)]) + label for label in asked.labels]
    wire = b"".join((header, *labels, struct.pack("!2H", kind, dns.rdataclass.IN), _OPT))
    return Query(name.rstrip(".").lower(), rtype, identity, (asked, dns.rdataclass.IN, kind), wire)


def read_reply(
    data: bytes, query: Query, *, source: str, arrival: float, foreign: bool = False, ip_ttl: int | None = None
) -> DnsReply:
    """Read one datagram or message, whatever it is."""

    def reply(problem: str | None, message: dns.message.Message | None = None) -> DnsReply:
        problem = FOREIGN_SOURCE if foreign else problem
        base = DnsReply(arrival=arrival, source=source, ip_ttl=ip_ttl, problem=problem, size=len(data))
        return base if message is None else _with_contents(base, message, flags, query)

    if len(data) < HEADER:
        return reply(MALFORMED)
    identity, flags, *counts = struct.unpack("!6H", data[:HEADER])
    if not flags & QR or sum(counts) > MOST_RECORDS:
        return reply(MALFORMED)
    try:
        message = dns.message.from_wire(
            data,
            keyring=False,
            one_rr_per_rrset=True,
            ignore_trailing=True,
            continue_on_error=bool(flags & TC),
        )
        if identity != query.id:
            return reply(WRONG_ID, message)
        return reply(None if _is_about(message, flags, query) else WRONG_QUESTION, message)
    except Exception:  # the peer's bytes can break a parser in more ways than it documents
        return reply(MALFORMED)


def _is_about(message: dns.message.Message, flags: int, query: Query) -> bool:
    """Whether a message repeats our question, or is one of the errors that need not."""
    if flags & OPCODE:
        return False
    if not message.question:
        return message.rcode() in _MAY_LACK_THE_QUESTION
    return all((asked.name, asked.rdclass, asked.rdtype) == query.question for asked in message.question)


def _with_contents(base: DnsReply, message: dns.message.Message, flags: int, query: Query) -> DnsReply:
    return DnsReply(
        arrival=base.arrival,
        source=base.source,
        ip_ttl=base.ip_ttl,
        problem=base.problem,
        rcode=dns.rcode.to_text(message.rcode()),
        answers=chain(query.name, query.rtype, _answers(message.answer, query.rtype)),
        authenticated=bool(flags & AD),
        truncated=bool(flags & TC),
        ede=tuple(
            (int(option.code), (option.text or "")[:LONGEST_ERROR_TEXT])
            for option in message.options
            if isinstance(option, dns.edns.EDEOption)
        )[:MOST_EXTENDED_ERRORS],
        size=base.size,
    )


def _answers(records: Iterable[dns.rrset.RRset], rtype: str) -> list[DnsAnswer]:
    return [
        DnsAnswer(name=_name(record.name), rtype=kind, data=_data(kind, rdata), ttl=int(record.ttl))
        for record in records
        if (kind := dns.rdatatype.to_text(record.rdtype)) in (rtype, "CNAME")
        for rdata in record
    ]


def _name(name: dns.name.Name) -> str:
    return name.to_text(omit_final_dot=True).lower()


def _data(kind: str, rdata: dns.rdata.Rdata) -> str:
    match kind:
        case "A" | "AAAA":
            return str(ipaddress.ip_address(rdata.to_text()))
        case "CNAME":
            return rdata.to_text().rstrip(".").lower()
    return rdata.to_text()[:LONGEST_DATA]


def chain(name: str, rtype: str, answers: list[DnsAnswer]) -> tuple[DnsAnswer, ...]:
    """Follow the aliases from `name`; return them and the records of `rtype` at their end, bounded."""
    aliases = {a.name: a for a in reversed(answers) if a.rtype == "CNAME"}
    followed: list[DnsAnswer] = []
    current = name
    while current in aliases and len(followed) < MOST_ALIASES:
        followed.append(aliases.pop(current))
        current = followed[-1].data
    found = [a for a in answers if a.rtype == rtype and a.name == current]
    return tuple((followed + found)[:MOST_ANSWERS])


def failure_of_reply(reply: DnsReply, rtype: str) -> Failure | None:
    """Say why a reply to our question is no answer, or None."""
    if reply.rcode != "NOERROR":
        return _FAILURES.get(reply.rcode or "", Failure.DNS_MISBEHAVING)
    return None if any(a.rtype == rtype for a in reply.answers) else Failure.NO_DNS_ANSWER
