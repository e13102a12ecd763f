"""Plain words for steps, for people who are no engineers; and no control characters, ever.

Titles, headers and error texts come from the network and may be written to fool a terminal or its
reader. Every text on its way to a terminal passes `clean`, which leaves nothing that moves a cursor,
changes a colour, hides, or turns the direction of writing.
"""

from __future__ import annotations

import math

from measurements.model import (
    AnyObservation,
    Capture,
    ControlQuery,
    DnsLookup,
    Failure,
    Hop,
    HttpExchange,
    Outcome,
    Purpose,
    QuicHandshake,
    TcpConnect,
    TlsHandshake,
    Transfer,
    View,
)
from measurements.printable import clean, plural
from probe.network import endpoint

FAILURES: dict[Failure, str] = {
    Failure.CONNECTION_REFUSED: "connection refused",
    Failure.CONNECTION_RESET: "connection reset",
    Failure.CONNECTION_ABORTED: "connection broken off",
    Failure.HOST_UNREACHABLE: "no way to that host",
    Failure.NETWORK_UNREACHABLE: "no way to that network",
    Failure.NETWORK_DOWN: "this computer's network is down",
    Failure.TIMEOUT: "no answer in time",
    Failure.EOF: "connection closed without an answer",
    Failure.NO_DNS_ANSWER: "an answer without an address",
    Failure.DNS_NXDOMAIN: "“no such name”",
    Failure.DNS_REFUSED: "the resolver refused to answer",
    Failure.DNS_SERVFAIL: "the resolver failed",
    Failure.SSL_INVALID_HOSTNAME: "a certificate for another name",
    Failure.SSL_UNKNOWN_AUTHORITY: "a certificate by an unknown authority",
    Failure.SSL_INVALID_CERTIFICATE: "a certificate that is not valid",
    Failure.SSL_FAILED_HANDSHAKE: "handshake failed",
    Failure.QUIC_INCOMPATIBLE_VERSION: "no version of QUIC in common",
    Failure.INTERRUPTED: "cut short by us",
}

PURPOSES: dict[Purpose, str] = {
    Purpose.TARGET_AT_WITNESS: "its name at unrelated servers",
    Purpose.HARMLESS_AT_WITNESS: "a harmless name at those",
    Purpose.HARMLESS_AT_TARGET: "a harmless name at its address",
    Purpose.HARMLESS_AT_RESOLVER: "a harmless name at the resolver",
    Purpose.SIBLING_AT_RESOLVER: "a fresh name under it",
    Purpose.CHECKING_DISABLED: "the lookup without DNSSEC",
    Purpose.FIND_NAME_SERVER: "its name servers",
    Purpose.AT_NAME_SERVER: "its name at those",
    Purpose.SERVERLESS: "its name where no resolver runs",
    Purpose.HARMLESS_SERVERLESS: "a harmless name there",
    Purpose.FIRST_HOP: "its name at the first router",
    Purpose.RESOLVER_AT_HOME: "its name, if the resolver is the first router",
    Purpose.OTHER_HELLO: "another shape of hello",
    Purpose.ANNOUNCEMENT: "its page, for HTTP/3",
    Purpose.HARMLESS_OTHER_HELLO: "a harmless name in that shape",
    Purpose.SMALL_SEGMENTS: "its name in small segments",
    Purpose.OTHER_PORT: "its address, another port",
    Purpose.REPETITION: "once more after a pause",
    Purpose.TRACE_TARGET: "the way to it",
    Purpose.TRACE_HARMLESS: "the way, harmless name",
    Purpose.TRACE_PATH: "the way, no name",
    Purpose.TRACE_NEIGHBOUR: "the way to a neighbour",
    Purpose.TRACE_WITNESS: "the way to a witness",
    Purpose.PACE_TARGET: "how fast under this name",
    Purpose.PACE_HARMLESS: "how fast under a harmless name",
    Purpose.PACE_ALIKE: "how much two alike differ",
    Purpose.PACE_OBJECT: "how fast the site itself is",
}

MEANS = {
    "raw": "raw packets read",
    "recverr": "no raw packets allowed, routers told by the system",
    "none": "no raw packets allowed, no routers told",
}

VIEWS: dict[View, str] = {
    View.LOCAL: "",
    View.TRUSTED: "trusted resolver",
    View.CONTROL: "control",
    View.FOLLOW_UP: "follow-up",
}

OUTCOMES: dict[Outcome, str] = {
    Outcome.ACCESSIBLE: "Proven, for the addresses and the bytes that were tried.",
    Outcome.UNREACHABLE: "It works elsewhere but not from here. Whether the site or something in between "
    "does it is not settled, so nobody is accused.",
    Outcome.DOWN: "It fails for the control too, which stands outside this network.",
    Outcome.SERVER_SIDE: "The site itself answers, and refuses.",
    Outcome.INVALID: "No verdict: this network cannot be judged now.",
    Outcome.INCONCLUSIVE: "No verdict: what was seen proves neither that it works nor that it is blocked.",
}


def describe(step: AnyObservation) -> tuple[str, str]:
    """Say what a step did and what came of it, each in a few words that are fit to print."""
    what, result = _describe(step)
    return clean(what), clean(result)


def purpose(purpose: Purpose) -> str:
    """Say what a follow-up step is for."""
    return PURPOSES.get(purpose, purpose.replace("_", " "))


def problem(step: AnyObservation) -> str:
    """Say why a step failed; empty when it worked."""
    if step.failure is None:
        return ""
    words = FAILURES.get(step.failure, step.failure.replace("_", " "))
    if step.failure is Failure.UNKNOWN and step.detail:
        return f"failed: {clean(step.detail, 100)}"
    return words


def size(count: int) -> str:
    """Write a number of bytes for people, in decimal units."""
    if count < 1000:
        return f"{count} B"
    if count < 999_950:
        return f"{count / 1000:.1f} kB"
    return f"{count / 1e6:.1f} MB" if count < 999_950_000 else f"{count / 1e9:.1f} GB"


def bit_rate(bits: float) -> str:
    """Write bit/s for people, in decimal units."""
    if bits < 999.5:
        return f"{bits:.0f} bit/s"
    if bits < 999_500:
        return f"{bits / 1e3:.0f} kbit/s"
    return f"{bits / 1e6:.1f} Mbit/s" if bits < 999_500_000 else f"{bits / 1e9:.1f} Gbit/s"


def transfer_rate(step: Transfer) -> float:
    """Return the bit/s of a transfer as it is told: all bytes, from the request to the last or until it was left."""
    whole = step.ended in ("whole", "enough") and step.samples
    return 8 * step.received / max(step.samples[-1][0] if whole else step.elapsed, 1e-6)


def ratio(log_evidence: float) -> str:
    """Write a likelihood ratio with two figures that count."""
    likelier = math.exp(min(log_evidence, 700.0))
    if likelier >= 1e6:
        return f"10^{math.floor(log_evidence / math.log(10.0))}"
    digits = max(0, math.floor(math.log10(max(likelier, 1.0))) - 1)
    return f"{round(likelier, -digits):,.0f}"


def _describe(step: AnyObservation) -> tuple[str, str]:
    match step:
        case DnsLookup():
            far = f", {plural(step.ip_ttl, 'hop')} far" if step.ip_ttl is not None else ""
            return f"lookup of {clean(step.name)} ({step.rtype}) at {clean(step.resolver)}{far}", _lookup_result(step)
        case TcpConnect():
            return f"connection to {endpoint(step.address, step.port)}", problem(step) or "stands"
        case TlsHandshake():
            name = f"as {clean(step.name)}" if step.name else "without a name"
            return f"TLS handshake {name} with {endpoint(step.address, step.port)}", _tls_result(step)
        case QuicHandshake():
            return _quic_step(step), _quic_result(step)
        case HttpExchange():
            host = f" (Host: {clean(step.host)})" if step.purpose and step.host else ""
            return f"{step.method} {clean(step.url)}{host}", _page_result(step)
        case Transfer():
            name = f" as {clean(step.name or step.host)}" if step.name or step.host else ""
            what = f"{size(step.wanted)}{name} from {endpoint(step.address, step.port)}"
            return what, _transfer_result(step)
        case Hop():
            return (
                f"{step.probe} towards {endpoint(step.address, step.port)}, {plural(step.ttl, 'hop')} far",
                _hop_result(step),
            )
        case Capture():
            return f"our packets to {plural(len(step.peers), 'place')} were watched", MEANS.get(
                step.means, clean(step.means)
            ) + (f", {plural(len(step.packets), 'packet')} came back" if step.means == "raw" else "")
        case ControlQuery():
            found = ", ".join(clean(address) for address in step.resolved[:3])
            return f"the control was asked about {clean(step.url)}", problem(
                step
            ) or f"answered: {found or 'no address'}"


def _lookup_result(step: DnsLookup) -> str:
    if step.ip_ttl is not None and step.icmp and step.failure is not None:
        return f"ended at {clean(step.icmp[0].source or 'an unknown router')}"
    if step.failure is not None:
        return problem(step)
    valid = step.valid_replies
    if not valid:  # in a foreign record a lookup may have worked and hold no reply
        return "no answer that counts"
    given = [answer.data for answer in valid[0].answers if answer.rtype == step.rtype]
    shown = ", ".join(clean(data, 60) for data in given[:2]) or "an answer"
    more = f" and {len(given) - 2} more" if len(given) > 2 else ""
    others = {reply.answers for reply in valid} - {valid[0].answers}
    return shown + more + (f"; then {plural(len(others), 'other answer')}" if others else "")


def _tls_result(step: TlsHandshake) -> str:
    if step.failure is None:
        return "worked, valid certificate"
    if step.issuer and step.ended:
        return f"{problem(step)}, by {clean(step.issuer, 80)}"
    return problem(step)


def _quic_step(step: QuicHandshake) -> str:
    where = endpoint(step.address, step.port)
    if step.probe == "versions":
        return f"question for QUIC versions to {where}"
    return f"QUIC handshake {f'as {clean(step.name)}' if step.name else 'without a name'} with {where}"


def _quic_result(step: QuicHandshake) -> str:
    if step.probe == "versions":
        return problem(step) or "answered"
    if step.failure is None:
        return "worked, valid certificate"
    if step.issuer and step.ended:
        return f"{problem(step)}, by {clean(step.issuer, 80)}"
    return problem(step)


def _page_result(step: HttpExchange) -> str:
    if step.status is None:
        return problem(step) or "no status"
    if step.redirect is not None:
        return f"{step.status}, to {clean(step.redirect)}"
    title = f" “{clean(step.title, 60)}”" if step.title else ""
    cut = f", {problem(step)}" if step.failure else ""
    return f"{step.status}, {size(step.body_length)}{title}{cut}"


def _transfer_result(step: Transfer) -> str:
    came = size(step.received)
    last = step.samples[-1][0] if step.samples else step.elapsed
    if step.failure is not None:
        return f"{problem(step)}, after {came}" if step.received else problem(step)
    if step.ended == "stall":
        return f"{came} in {last:.1f} s, then nothing"
    spent = step.elapsed if step.ended == "time" else last
    cut = ", out of time" if step.ended == "time" else ""
    return f"{came} in {spent:.{1 if spent >= 1 else 2}f} s, {bit_rate(transfer_rate(step))}{cut}"


def _hop_result(step: Hop) -> str:
    if step.failure is not None:
        return problem(step)
    return f"{step.answer} at {clean(step.router)}" if step.router else step.answer
