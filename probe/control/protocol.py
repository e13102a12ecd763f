"""The words of OONI's test-helper protocol (spec ts-017), as both sides of it write and read them.

A probe POSTs a `Question` and gets an `Answer`, in JSON. Two things are old and stay so for the sake of
every probe in the field: `body_length` and `status_code` are -1 when there was no page, and the failure
words of DNS, TCP and HTTP are those of the first helper, fewer than the probe's own (df-007); only TLS
uses the latter. A lookup that found no address has no failure at all.

Reading is forgiving about what is missing, null or unknown, since helpers of many ages answer, and
strict about types. Wazi's own server adds one key, `x_client_address`: where the request came from, so
that a probe can strike its own address out of what it keeps. QUIC is tried for a question that says
`x_quic_enabled`, as in OONI's own helper; one that does not know the word leaves `quic_handshake` empty.
Wazi's server alone understands `x_body_bytes`: the beginning of the page is wanted too, to look in it for what
stands on ours. It comes as `x_body`, compressed (zlib, RFC 1950). It also says in our own words how the page that
was asked for failed (`x_failure`), where the helper's are too few.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from typing import Literal, TypeVar

import msgspec

from measurements.model import Failure

RESOLVED_BY_PROBE = 1
RESOLVED_BY_CONTROL = 2
IS_BOGON = 4
VALID_FOR_DOMAIN = 8

HEADERS = ("Accept", "Accept-Language", "User-Agent")
"""The only headers that a probe may have sent in its name."""

Layer = Literal["dns", "tcp", "tls", "http"]
T = TypeVar("T")


class Question(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a probe asks: a URL, the headers to send, the endpoints that it found, and what it wants besides."""

    http_request: str
    http_request_headers: Mapping[str, list[str] | None] | None = None
    tcp_connect: list[str] | None = None
    x_quic_enabled: bool | None = False
    x_body_bytes: int | None = 0


class Connected(msgspec.Struct, frozen=True):
    status: bool | None = False
    failure: str | None = None


class Handshaken(msgspec.Struct, frozen=True):
    server_name: str | None = ""
    status: bool | None = False
    failure: str | None = None


class Page(msgspec.Struct, frozen=True):
    """The last response of the chain of redirects; lengths are of the decoded body."""

    body_length: int | None = -1
    discovered_h3_endpoint: str | None = ""
    failure: str | None = None
    title: str | None = ""
    headers: dict[str, str] | None = msgspec.field(default_factory=dict)
    status_code: int | None = -1
    x_body: bytes | msgspec.UnsetType | None = msgspec.UNSET
    x_failure: str | msgspec.UnsetType | None = msgspec.UNSET


class Resolved(msgspec.Struct, frozen=True):
    failure: str | None = None
    addrs: list[str] | None = msgspec.field(default_factory=list)


class AddressInfo(msgspec.Struct, frozen=True):
    """`asn` is 0 when it is not known; `flags` is a sum of the constants above."""

    asn: int | None = 0
    flags: int | None = 0


class Answer(msgspec.Struct, frozen=True):
    """What a control saw; maps are by endpoint, `ip:port` or `[ip6]:port`, and by address."""

    tcp_connect: dict[str, Connected] | None = msgspec.field(default_factory=dict)
    tls_handshake: dict[str, Handshaken] | None = msgspec.field(default_factory=dict)
    quic_handshake: dict[str, Handshaken] | None = msgspec.field(default_factory=dict)
    http_request: Page | None = None
    http3_request: Page | None = None
    dns: Resolved | None = None
    ip_info: dict[str, AddressInfo | None] | None = msgspec.field(default_factory=dict)
    x_client_address: str | None = None


class Malformed(ValueError):
    """What came in is not this protocol; the text says why in a sentence."""


def read_question(data: bytes) -> Question:
    """Decode a question; raises `Malformed`."""
    return _read(data, Question)


def read_answer(data: bytes) -> Answer:
    """Decode an answer; raises `Malformed`."""
    return _read(data, Answer)


def _read(data: bytes, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(data, type=kind)
    except RecursionError:
        raise Malformed("JSON is nested too deeply") from None
    except ValueError as error:  # msgspec's own errors and UnicodeDecodeError
        raise Malformed(str(error)) from None


def split_endpoint(text: str) -> tuple[str, int]:
    """Read `ip:port` or `[ip6]:port` into a canonical address and a port; raises `Malformed`."""
    host, _, port = text.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    address = canonical(host[1:-1] if bracketed else host)
    if address is None or (":" in address) != bracketed or not (port.isascii() and port.isdigit() and len(port) <= 5):
        raise Malformed(f"{text[:80]!r} is not an endpoint: write ip:port or [ip6]:port")
    if not 0 < int(port) < 65536:
        raise Malformed(f"{text[:80]!r} has no port between 1 and 65535")
    return address, int(port)


def canonical(text: str) -> str | None:
    """Write an address as `ipaddress` does; None when `text` is no address or has a zone."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    return None if "%" in text else str(address)


_SERVER_FAILURES = frozenset(
    {Failure.DNS_NON_RECOVERABLE, Failure.DNS_REFUSED, Failure.DNS_SERVFAIL, Failure.DNS_MISBEHAVING}
)


def word(failure: Failure | None, layer: Layer) -> str | None:
    """Say a failure of ours in the helper's word for that layer."""
    if failure is None:
        return None
    if layer == "tls":
        return failure.value
    if layer == "dns":
        if failure is Failure.NO_DNS_ANSWER:
            return None
        if failure is Failure.DNS_NXDOMAIN:
            return "dns_name_error"
        return "dns_server_failure" if failure in _SERVER_FAILURES else "unknown_error"
    if failure is Failure.TIMEOUT:
        return failure.value
    if failure is Failure.CONNECTION_REFUSED:
        return "connection_refused_error"
    return "connect_error" if layer == "tcp" else "unknown_error"


_LEGACY = {
    "dns_name_error": Failure.DNS_NXDOMAIN,
    "dns_server_failure": Failure.DNS_MISBEHAVING,
    "dns_temporary_failure": Failure.DNS_MISBEHAVING,
    "dns_lookup_error": Failure.DNS_NON_RECOVERABLE,
    "connection_refused_error": Failure.CONNECTION_REFUSED,
    "tcp_timed_out_error": Failure.TIMEOUT,
}
_OWN = {failure.value: failure for failure in Failure}


def failure_of(text: str | None) -> tuple[Failure | None, str]:
    """Read a helper's word: our failure, and the word itself when ours says less than it did."""
    if text is None:
        return None, ""
    if (own := _OWN.get(text)) is not None:
        return own, ""
    detail = "".join(c for c in text if c.isprintable())[:120]
    return _LEGACY.get(text, Failure.UNKNOWN), detail
