"""What a control does for strangers, and what it does not.

Anyone may ask, so it goes nowhere that a browser would not go from the open internet: http and https
only, no port on the Fetch standard's list of bad ports, and no private address, whether it is written
in the URL, looked up, offered by the probe or redirected to. It sends three headers of the probe's
choice and nothing else of it, and ports follow from the URL alone, so that it makes a poor scanner.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from measurements.bogons import NEVER_PUBLIC, faces
from measurements.model import Target
from measurements.targets import BadTarget, normalise
from probe.control.protocol import HEADERS, Malformed, Question, split_endpoint

# fmt: off
BAD_PORTS = frozenset({
    0, 1, 7, 9, 11, 13, 15, 17, 19, 20, 21, 22, 23, 25, 37, 42, 43, 53, 69, 77, 79, 87, 95, 101, 102, 103, 104,
    109, 110, 111, 113, 115, 117, 119, 123, 135, 137, 139, 143, 161, 179, 389, 427, 465, 512, 513, 514, 515, 526,
    530, 531, 532, 540, 548, 554, 556, 563, 587, 601, 636, 989, 990, 993, 995, 1719, 1720, 1723, 2049, 3659, 4045,
    4190, 5060, 5061, 6000, 6566, 6665, 6666, 6667, 6668, 6669, 6679, 6697, 10080,
})
# fmt: on
"""The ports that browsers refuse (Fetch standard, "port blocking"): mail, shells, name servers, printers."""

_VALUE = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]{0,1022}[\x21-\x7e])?")


class Refused(ValueError):
    """The question asks for something that this control does not do; the text is a sentence."""


class Unable(Exception):
    """This control cannot tell, for a reason of its own; the text is a sentence."""


@dataclass(frozen=True, slots=True)
class Policy:
    """The bounds of one survey: counts, seconds and bytes.

    At most `endpoints` are connected to, of the `offered` that a question may list, `quic_endpoints` of them over
    QUIC too; a connect and a
    handshake get `step_seconds` each, a request `page_seconds`, or what the Network's limits say when that
    is less, and everything together `seconds`.
    The prefixes in `never` are private whatever the operator's list of bogons says.
    """

    allow_private: bool = False
    endpoints: int = 32
    quic_endpoints: int = 6
    offered: int = 256
    step_seconds: float = 7.0
    page_seconds: float = 10.0
    seconds: float = 24.0
    hop_addresses: int = 3
    header_bytes: int = 16 * 1024
    body_bytes: int = 16 * 1024
    never: tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...] = NEVER_PUBLIC

    def is_private(self, address: str, listed: Callable[[str], bool]) -> bool:
        """Whether an address, or an IPv4 address inside it, is `listed` or can never be a public host."""
        found = faces(ipaddress.ip_address(address))
        return any(listed(str(ip)) or any(ip in prefix for prefix in self.never) for ip in found)


@dataclass(frozen=True, slots=True)
class Errand:
    """A question that was read and may be asked: the URL, the headers to send, the probe's addresses; by QUIC too?

    `body_bytes` are what is wanted of the page itself.
    """

    target: Target
    headers: Mapping[str, str]
    offered: tuple[str, ...]
    quic: bool = False
    body_bytes: int = 0


def read(question: Question, policy: Policy) -> Errand:
    """Check a question; raises `Refused`."""
    offered = question.tcp_connect or []
    if len(offered) > policy.offered:
        raise Refused(f"tcp_connect lists {len(offered)} endpoints, of which at most {policy.offered} are taken")
    try:
        addresses = tuple(dict.fromkeys(split_endpoint(endpoint)[0] for endpoint in offered))
    except Malformed as error:
        raise Refused(f"tcp_connect: {error}") from None
    return Errand(
        read_url(question.http_request),
        _headers(question),
        addresses,
        quic=question.x_quic_enabled is True,
        body_bytes=min(max(question.x_body_bytes or 0, 0), policy.body_bytes),
    )


def read_url(url: str) -> Target:
    """Check a URL that is to be visited; raises `Refused`."""
    try:
        target = normalise(url)
    except BadTarget as error:
        raise Refused(f"http_request: {error}") from None
    if target.port in BAD_PORTS:
        raise Refused(f"http_request: browsers do not open port {target.port}, and neither does this control")
    return target


def _headers(question: Question) -> dict[str, str]:
    given = {name.lower(): values for name, values in (question.http_request_headers or {}).items()}
    headers = {name: values[0] for name in HEADERS if (values := given.get(name.lower()))}
    for name, value in headers.items():
        if not _VALUE.fullmatch(value):
            raise Refused(f"http_request_headers: {name} must be 1 to 1024 printable ASCII characters")
    return headers
