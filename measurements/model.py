"""The nouns: every value that crosses a module, all frozen.

A `Measurement` is a fact: one nettest, run once, as a list of observations. An `Observation` is one
step; it worked, or it has exactly one `Failure`. Steps form a tree by `cause`: the id of the step
whose result this one used (a handshake follows from a connect, a connect from a lookup, the lookup
of a redirect from the exchange that redirected). A `Verdict` is an opinion about a measurement; it
names its rule and the ids of the observations it rests on.

Units: seconds for times and durations (`started` of an observation counts from the start of its
measurement, on a monotonic clock; `Measurement.started` is UTC seconds since the epoch), bytes for
sizes. Addresses are text as `ipaddress` writes them; names are ASCII (IDNA A-labels), lower case,
without a final dot. Values are `msgspec` structs: `encode` and `decode` are the only JSON codec.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TypeVar

import msgspec

SCHEMA = 1


class Failure(StrEnum):
    """Why a step failed, in the words OONI's probe emits (spec df-007, netxlite's errno list).

    `UNKNOWN` carries the system's own text in the observation's `detail`. `INTERRUPTED` means that
    the measurement's own deadline, or its end, cut the step: it is never evidence.
    """

    CONNECTION_REFUSED = "connection_refused"
    CONNECTION_RESET = "connection_reset"
    CONNECTION_ABORTED = "connection_aborted"
    HOST_UNREACHABLE = "host_unreachable"
    NETWORK_UNREACHABLE = "network_unreachable"
    NETWORK_DOWN = "network_down"
    TIMEOUT = "generic_timeout_error"
    EOF = "eof_error"
    ADDRESS_NOT_AVAILABLE = "address_not_available"
    ADDRESS_FAMILY_NOT_SUPPORTED = "address_family_not_supported"
    PERMISSION_DENIED = "permission_denied"
    INVALID_ARGUMENT = "invalid_argument"
    MESSAGE_SIZE = "message_size"
    NO_BUFFER_SPACE = "no_buffer_space"
    TOO_MANY_OPEN_FILES = "too_many_open_files"  # EMFILE: our own limit, never evidence
    NO_DNS_ANSWER = "dns_no_answer"
    DNS_NXDOMAIN = "dns_nxdomain_error"
    DNS_REFUSED = "dns_refused_error"
    DNS_SERVFAIL = "dns_servfail_error"
    DNS_MISBEHAVING = "dns_server_misbehaving"
    DNS_NON_RECOVERABLE = "dns_non_recoverable_failure"
    SSL_FAILED_HANDSHAKE = "ssl_failed_handshake"
    SSL_INVALID_HOSTNAME = "ssl_invalid_hostname"
    SSL_UNKNOWN_AUTHORITY = "ssl_unknown_authority"
    SSL_INVALID_CERTIFICATE = "ssl_invalid_certificate"
    QUIC_INCOMPATIBLE_VERSION = "quic_incompatible_version"
    HTTP_INVALID_REDIRECT = "http_invalid_redirect_location_host"
    HTTP_INVALID_RESPONSE = "http_invalid_response"
    HTTP_REQUEST_FAILED = "http_request_failed"
    INTERRUPTED = "interrupted"
    UNKNOWN = "unknown_failure"


BAD_CERTIFICATE = frozenset(
    {Failure.SSL_INVALID_HOSTNAME, Failure.SSL_UNKNOWN_AUTHORITY, Failure.SSL_INVALID_CERTIFICATE}
)
"""A handshake with one of these did end: keys are shared, the chain is known, and it may carry a request."""

OURS = frozenset(
    {
        Failure.INTERRUPTED,
        Failure.TOO_MANY_OPEN_FILES,
        Failure.PERMISSION_DENIED,
        Failure.NO_BUFFER_SPACE,
        Failure.INVALID_ARGUMENT,
    }
)
"""Failures that say something about this machine or this program only, and so are never evidence."""


class View(StrEnum):
    """Through whose eyes a step was seen."""

    LOCAL = "local"  # as the volunteer's own browser would
    TRUSTED = "trusted"  # from here, with the help of resolvers reached over DoH
    CONTROL = "control"  # from the control's place
    FOLLOW_UP = "follow_up"  # from here, asked only because something failed


class Purpose(StrEnum):
    """What a follow-up step is for. `H` is a harmless name as long as the target's name `T`."""

    WITNESS = "witness"  # finding a witness's address; what it shows under its own name
    TARGET_AT_WITNESS = "target_at_witness"  # T at an unrelated server (lookup, handshake or exchange)
    SAME_PATH_AT_WITNESS = "same_path_at_witness"  # H there with the path of the target's URL, which H otherwise lacks
    HARMLESS_AT_WITNESS = "harmless_at_witness"  # H there, interleaved with T
    HARMLESS_AT_TARGET = "harmless_at_target"  # H at the target's own address, first and last
    HARMLESS_AT_RESOLVER = "harmless_at_resolver"  # is the local resolver alive for other names?
    SIBLING_AT_RESOLVER = "sibling_at_resolver"  # a fresh label under T: a stale record cannot answer it
    CHECKING_DISABLED = "checking_disabled"  # the same query with CD=1 (RFC 4035, 3.2.2)
    SERVERLESS = "serverless"  # T asked of an address where no resolver runs: any answer is forged
    HARMLESS_SERVERLESS = "harmless_serverless"  # H asked there
    PLAIN_RESOLVER = "plain_resolver"  # a trusted resolver's own address over plain DNS, when none answers over HTTPS
    FIND_NAME_SERVER = "find_name_server"  # whose name servers T has, and where they are
    AT_NAME_SERVER = "at_name_server"  # T asked of one of its own name servers
    RESOLVER_AT_HOME = "resolver_at_home"  # T asked of our own resolver with IP TTL 1: is it the first router itself?
    FIRST_HOP = "first_hop"  # T asked with IP TTL 1: an answer comes from the volunteer's own router
    OTHER_HELLO = "other_hello"  # the other shape of ClientHello
    ANNOUNCEMENT = "announcement"  # T's page over TCP: does it say that HTTP/3 is spoken here (Alt-Svc)?
    HARMLESS_OTHER_HELLO = "harmless_other_hello"  # H in that shape, at the target or at a witness
    SMALL_SEGMENTS = "small_segments"  # T at the target again, in segments that fit through any path
    OTHER_PORT = "other_port"  # the target's address on another port
    REPETITION = "repetition"  # the failed step once more, after a pause
    TRACE_TARGET = "trace_target"  # rising IP TTL towards the target with T
    TRACE_HARMLESS = "trace_harmless"  # rising IP TTL towards the target with H
    TRACE_PATH = "trace_path"  # a SYN of the same IP TTL towards the target: it names the router there
    TRACE_NEIGHBOUR = "trace_neighbour"  # rising IP TTL towards an address beside the target's
    TRACE_WITNESS = "trace_witness"  # rising IP TTL towards a witness
    PACE_TARGET = "pace_target"  # an object of the control's, asked for under T: the leg of a pair that may be slow
    PACE_HARMLESS = "pace_harmless"  # the same object under H: the other leg
    PACE_ALIKE = "pace_alike"  # the same object under two harmless names: what such a pair differs by itself
    PACE_OBJECT = "pace_object"  # an object of the target's own, or one of like size in its network: only a hint


class IcmpError(msgspec.Struct, frozen=True, kw_only=True):
    """An ICMP error that the system heard on a socket (IP_RECVERR)."""

    arrival: float
    source: str | None
    type: int
    code: int
    error: str  # the errno's name, such as "ECONNREFUSED"


class DnsAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """One record of an answer section: `data` is an address, a name, or the record's text."""

    name: str
    rtype: str
    data: str
    ttl: int


class DnsReply(msgspec.Struct, frozen=True, kw_only=True):
    """One datagram or message that came back; `problem` says why it is not to be trusted.

    `problem` is one of: wrong_id, wrong_question, foreign_source, malformed, truncated (a reply that was
    cut, so that TCP was asked); None when it answers the query that was asked. `arrival` counts from the
    step's start. `ede` holds extended DNS errors (RFC 8914) as (code, text).
    """

    arrival: float
    source: str
    ip_ttl: int | None = None
    problem: str | None = None
    rcode: str | None = None
    answers: tuple[DnsAnswer, ...] = ()
    authenticated: bool = False  # the AD bit
    truncated: bool = False
    ede: tuple[tuple[int, str], ...] = ()
    size: int = 0


class Observation(msgspec.Struct, frozen=True, kw_only=True):
    """One step: it worked (`failure` is None), or has exactly one failure."""

    id: int
    cause: int | None = None
    view: View = View.LOCAL
    purpose: Purpose | None = None
    started: float = 0.0
    elapsed: float = 0.0
    failure: Failure | None = None
    detail: str = ""


class DnsLookup(Observation, frozen=True, kw_only=True, tag="dns_lookup"):
    """A question to one resolver, with every reply seen, true or forged, in order of arrival.

    `resolver` is `address:port` or a DoH URL; `protocol` is udp, tcp or doh. `rtype` is A, AAAA or
    HTTPS. The failure is that of the first reply without a problem. `ip_ttl` is what the query was
    sent with when it was not the system's default.
    """

    resolver: str
    protocol: str
    name: str
    rtype: str
    replies: tuple[DnsReply, ...] = ()
    icmp: tuple[IcmpError, ...] = ()
    ip_ttl: int | None = None

    @property
    def valid_replies(self) -> tuple[DnsReply, ...]:
        return tuple(r for r in self.replies if r.problem is None)

    @property
    def addresses(self) -> tuple[str, ...]:
        """The addresses of the first valid reply, in its order."""
        first = self.valid_replies[:1]
        return tuple(a.data for r in first for a in r.answers if a.rtype in ("A", "AAAA"))

    @property
    def later_addresses(self) -> tuple[str, ...]:
        """The addresses that only later replies gave, which the first contradicts."""
        given = [a.data for r in self.valid_replies[1:] for a in r.answers if a.rtype in ("A", "AAAA")]
        return tuple(dict.fromkeys(a for a in given if a not in self.addresses))


class TcpConnect(Observation, frozen=True, kw_only=True, tag="tcp_connect"):
    """A TCP connection to one address and port; `mss` is the most that a segment may hold, where that was asked for.

    `through` is the IPv6 address by which a NAT64 reaches the address.
    """

    address: str
    port: int
    mss: int | None = None
    through: str | None = None


class TlsHandshake(Observation, frozen=True, kw_only=True, tag="tls_handshake"):
    """A TLS handshake that takes any certificate, whose chain is then judged offline.

    `name` is the SNI that was sent (None: none was). `chain` is DER, leaf first. When the chain does
    not verify for `verified_name` the failure is one of `BAD_CERTIFICATE` and `certificate_error`
    holds OpenSSL's own words. `hello` names the shape of the ClientHello and `hello_size` its bytes.
    """

    address: str
    port: int
    name: str | None
    hello: str = "classic"
    hello_size: int = 0
    alpn_offered: tuple[str, ...] = ()
    alpn: str | None = None
    version: str | None = None
    cipher: str | None = None
    chain: tuple[bytes, ...] = ()
    verified_name: str | None = None
    certificate_error: str | None = None
    issuer: str | None = None  # the leaf's issuer as RFC 4514 text
    received: int = 0

    @property
    def ended(self) -> bool:
        """Whether keys were shared, under whatever certificate."""
        return self.failure is None or self.failure in BAD_CERTIFICATE


class QuicHandshake(Observation, frozen=True, kw_only=True, tag="quic_handshake"):
    """A step with a QUIC server over UDP: a handshake (RFC 9001), or a question for its versions (RFC 8999, 6).

    `probe` is handshake or versions. A handshake takes any certificate, and its chain is judged as that of a
    `TlsHandshake`. A question for versions carries no name, and worked when any Version Negotiation packet
    came back for it: `versions` are those it listed ("0x00000001"). `answered` tells that a packet came that
    only somebody who saw ours could have made; `closed` is the peer's error code when it closed by itself.
    `sent` and `received` are bytes of UDP payload, `datagrams` how many came.
    """

    address: str
    port: int
    name: str | None = None
    probe: str = "handshake"
    alpn_offered: tuple[str, ...] = ()
    alpn: str | None = None
    version: str | None = None
    versions: tuple[str, ...] = ()
    cipher: str | None = None
    chain: tuple[bytes, ...] = ()
    verified_name: str | None = None
    certificate_error: str | None = None
    issuer: str | None = None
    answered: bool = False
    closed: int | None = None
    icmp: tuple[IcmpError, ...] = ()
    sent: int = 0
    received: int = 0
    datagrams: int = 0

    @property
    def ended(self) -> bool:
        """Whether keys were shared, under whatever certificate."""
        return self.probe == "handshake" and (self.failure is None or self.failure in BAD_CERTIFICATE)


class HttpExchange(Observation, frozen=True, kw_only=True, tag="http_exchange"):
    """One request and what came back, over a connection that already stood.

    `body` holds at most the first 64 KiB, decoded; `body_sha256` and `body_length` are of everything
    that was read and decoded. `truncated` names the limit that was reached: wire, decoded, time, cpu,
    sample (a routine measurement reads less), encoding. `phases` are (httpcore's phase, seconds since the
    step's start). `redirect` is the absolute URL that the response sends a browser to.
    """

    url: str
    address: str = ""
    port: int = 0
    host: str = ""
    method: str = "GET"
    http_version: str | None = None
    status: int | None = None
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    body_sha256: str | None = None
    body_length: int = 0
    title: str | None = None
    wire_bytes: int = 0
    truncated: str | None = None
    redirect: str | None = None
    phases: tuple[tuple[str, float], ...] = ()

    def header(self, name: str) -> str | None:
        """The first value of a header, by its lower-case name."""
        return next((value for key, value in self.headers if key.lower() == name), None)


class Transfer(Observation, frozen=True, kw_only=True, tag="transfer"):
    """An object read over a connection that already stood, for its pace and not for its text.

    `samples` are (seconds since the step's start, bytes of body so far), in order, at most 200 of them, the first
    and the last bytes among them. `wanted` is how many bytes were asked for, `received` how many came. `ended` says
    why reading ended: whole, enough (the reader's limit), time (a transfer too slow for its time keeps what came),
    stall (nothing more came for so long) or failure. `pair` numbers the pair, in its measurement, of which this is a
    leg.
    """

    url: str
    address: str = ""
    port: int = 0
    host: str = ""
    name: str | None = None  # the SNI of the connection, None in clear
    pair: int = 0
    status: int | None = None
    wanted: int = 0
    received: int = 0
    samples: tuple[tuple[float, int], ...] = ()
    ended: str = ""


class Hop(Observation, frozen=True, kw_only=True, tag="hop"):
    """What answered a packet that was sent with a limited IP TTL.

    `probe` is syn, hello, request or initial (of QUIC); `name` the SNI or Host it carried. `answer` is one of: expired
    (ICMP time exceeded from `router`), unreachable (other ICMP from `router`), reset, open (SYN-ACK for
    a syn), data, eof, silence. `local_port` is the port it was sent from, by which the packets of a `Capture` that
    belong to it are known.
    """

    address: str
    port: int
    probe: str
    ttl: int
    name: str | None = None
    answer: str = "silence"
    router: str | None = None
    local_port: int | None = None


class CapturedPacket(msgspec.Struct, frozen=True, kw_only=True):
    """A packet that came back on one of our own flows, or an ICMP error about one.

    `at` counts from the start of the measurement. `protocol` is tcp, udp or icmp; `source` the address it claims to
    be from. `ip_ttl` is the TTL or hop limit it arrived with, `ip_id` IPv4's identification. `flags` are TCP's, as
    letters (S, A, R, P, F …); `size` is its payload.
    """

    at: float
    local_port: int
    protocol: str
    source: str
    ip_ttl: int
    ip_id: int | None = None
    flags: str = ""
    size: int = 0


class Capture(Observation, frozen=True, kw_only=True, tag="capture"):
    """What our own packets to `peers` ("ip:port") brought back, as far as this process may know it.

    `means` is raw (every packet of our own flows was read off the network device), recverr (the system tells
    which router an ICMP error came from, and no more), or none. `packets` is empty unless raw; acknowledgements
    without data are left out. `cut` says that a bound was reached, or that packets came faster than they were read.
    """

    peers: tuple[str, ...]
    means: str
    packets: tuple[CapturedPacket, ...] = ()
    cut: bool = False


class ControlQuery(Observation, frozen=True, kw_only=True, tag="control_query"):
    """The question put to a control (ts-017). What it saw follows as observations with view `control`.

    `resolved` are the addresses that the control's own lookup gave, `dns_failure` why it gave none.
    """

    url: str
    endpoints: tuple[str, ...] = ()
    resolved: tuple[str, ...] = ()
    dns_failure: str | None = None
    ip_asns: tuple[tuple[str, int], ...] = ()


AnyObservation = (
    DnsLookup | TcpConnect | TlsHandshake | QuicHandshake | HttpExchange | Transfer | Hop | Capture | ControlQuery
)


CONTROL_CATEGORY = "CTRL"
"""Citizen Lab's code for targets that are harmless."""


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """What we ask about: a URL normalised once; `host` is an ASCII name or an IP address.

    `category` is a Citizen Lab code (NEWS, GRP, …).
    """

    url: str
    scheme: str
    host: str
    port: int
    category: str = ""
    country: str = ""


class Canary(msgspec.Struct, frozen=True, kw_only=True):
    """Something harmless that was tried to learn about the network, and what came of it.

    `kind` is control (the user's own, asked for what nobody else can know), foreign or domestic (witnesses);
    `way` is http or tls. `problem` is None when the answer was its own, a `Failure`'s word, or one of portal,
    forged (another's key), no_address (its name was not found).
    """

    kind: str
    way: str
    name: str = ""
    problem: str | None = None


class Preconditions(msgspec.Struct, frozen=True, kw_only=True):
    """Whether the network could be judged when the measurement began, and what was found out about it.

    `reason` is None when it could, else a word of DESIGN section 4 (offline, clock, …) and `detail`
    says it in a sentence. `clock_offset` is true time minus ours, in seconds, when it is known. `nat64` is the
    prefix behind which the network's translator reaches IPv4 (RFC 7050), and `issuer` the unknown authority in
    whose name all witnesses were answered from beyond the home. `notes` are sentences about what could not be seen,
    or was left out.
    """

    reason: str | None = None
    detail: str = ""
    ipv4_route: bool | None = None
    ipv6_route: bool | None = None
    resolver_alive: bool | None = None
    trusted_alive: bool | None = None
    witness_alive: bool | None = None
    clock_offset: float | None = None
    control_alive: bool | None = None
    foreign_alive: bool | None = None
    domestic_alive: bool | None = None
    ipv6_alive: bool | None = None
    nat64: str | None = None
    issuer: str | None = None
    container: bool = False
    canaries: tuple[Canary, ...] = ()
    notes: tuple[str, ...] = ()


class Vantage(msgspec.Struct, frozen=True, kw_only=True):
    """Where we stand. Never the volunteer's IP address or the name of the network."""

    probe_id: str
    country: str | None = None
    asn: int | None = None
    network_type: str | None = None
    resolver: str | None = None


class Throttling(msgspec.Struct, frozen=True, kw_only=True):
    """How a target's pace compares with that of a harmless name, as known after one session of pairs.

    It goes on over sessions: each is weighed on top of the one before. Times are UTC seconds since the epoch, rates
    bit/s, evidence the natural logarithm of odds (`measurements.pace` tells how each is found). `evidence` is of all
    sessions since the last one that ended clear, `session_evidence` of this one alone. `alike_legs` and `alike_apart`
    are of this session: how many transfers under a harmless name could be measured against, in pairs that differ in
    nothing, and how many of those pairs were apart all the same; `q0` is the rate of chance that follows from these
    and all earlier ones. `covers` is how surely the true median lies between `rate_low` and `rate_high`.
    """

    started: float
    last: float
    sessions: int = 0
    evidence: float = 0.0
    session_evidence: float = 0.0
    pairs: int = 0  # of this session, that count
    slower: int = 0  # of those, in which the target's leg was slower by the margin
    skipped: tuple[tuple[str, int], ...] = ()  # pairs that say nothing, by reason
    alike_legs: int = 0
    alike_apart: int = 0
    calibrated: bool = False
    q0: float = 0.5
    rates: tuple[tuple[float, float], ...] = ()  # (time, rate) of the target's latest legs, over sessions
    rate: float | None = None  # the median of this session's legs under the target's name
    rate_low: float | None = None
    rate_high: float | None = None
    covers: float = 0.0
    harmless_rate: float | None = None  # the median under harmless names
    ratio: float | None = None  # the median of the pairs' harmless over target
    spread: float | None = None  # of the target's rates: the distance of their quartiles over their median
    spent: int = 0  # bytes of objects that this session read in pairs about the target
    mechanism: Mechanism | None = None  # what was found, if anything


class PaceSoFar(msgspec.Struct, frozen=True, kw_only=True):
    """What earlier sessions know when one about pace begins.

    `last` is what the latest one of this probe about this target came to. `alike_legs` and `alike_apart` are summed
    over the last four weeks of this probe in this network, whatever the target. `spent` bytes went today into pairs
    about this target.
    """

    last: Throttling | None = None
    alike_legs: int = 0
    alike_apart: int = 0
    spent: int = 0


class Measurement(msgspec.Struct, frozen=True, kw_only=True):
    """A fact: one nettest, run once. `id` is 128 random bits in hex, chosen before measuring.

    `source` is wazi, or ooni for one that was read from OONI's format. `loop_lag` is the longest time
    the event loop was late during the measurement: it taints timings. `sent` and `received` are bytes
    on the wire of TCP and UDP payloads, as far as the probe could count them. `redacted` lists what `redact` took
    out, as "observation id.field: kind commitment" (`commitments.removals`). `placebo` marks a harmless target,
    measured like a suspected one only to learn how often we err.
    """

    id: str
    sequence: int
    nettest: str
    target: Target
    vantage: Vantage
    started: float
    runtime: float = 0.0
    preconditions: Preconditions = Preconditions()
    loop_lag: float = 0.0
    connections: int = 0
    sent: int = 0
    received: int = 0
    limits: tuple[str, ...] = ()  # names of the limits that were reached
    placebo: bool = False
    redacted: tuple[str, ...] = ()
    software: str = ""
    source: str = "wazi"
    schema: int = SCHEMA
    pace: PaceSoFar | None = None  # what was known when pairs were laid: a fact, on which it depended how many
    observations: tuple[AnyObservation, ...] = ()


class Outcome(StrEnum):
    ACCESSIBLE = "accessible"
    BLOCKED = "blocked"
    THROTTLED = "throttled"
    UNREACHABLE = "unreachable"
    DOWN = "down"
    SERVER_SIDE = "server_side"
    INVALID = "invalid"
    INCONCLUSIVE = "inconclusive"


class Mechanism(StrEnum):
    """How it is done, layer first."""

    DNS_NXDOMAIN = "dns.nxdomain"
    DNS_REFUSED = "dns.refused"
    DNS_SERVFAIL = "dns.servfail"
    DNS_NO_ANSWER = "dns.no_answer"
    DNS_TIMEOUT = "dns.timeout"
    DNS_BOGON = "dns.bogon"
    DNS_BLOCKPAGE = "dns.blockpage"
    DNS_REDIRECT = "dns.redirect"
    DNS_INJECTED = "dns.injected"
    TCP_TIMEOUT = "tcp.timeout"
    TCP_RESET = "tcp.reset"
    TCP_UNREACHABLE = "tcp.unreachable"
    TLS_RESET = "tls.reset"
    TLS_TIMEOUT = "tls.timeout"
    TLS_EOF = "tls.eof"
    TLS_MITM = "tls.mitm"
    TLS_ALERT = "tls.alert"
    HTTP_RESET = "http.reset"
    HTTP_TIMEOUT = "http.timeout"
    HTTP_EOF = "http.eof"
    HTTP_BLOCKPAGE = "http.blockpage"
    HTTP_REDIRECT = "http.redirect"
    HTTP_PORTAL = "http.portal"
    HTTP_DIFF = "http.diff"
    QUIC_TIMEOUT = "quic.timeout"
    THROTTLE_RATE = "throttle.rate"
    THROTTLE_STALL = "throttle.stall"
    NETWORK_ALLOWLIST = "network.allowlist"


class Trigger(StrEnum):
    NAME = "name"
    ADDRESS = "address"
    NAME_AND_ADDRESS = "name_and_address"
    PORT = "port"
    PROTOCOL = "protocol"
    ANY = "any"
    UNKNOWN = "unknown"


class Where(StrEnum):
    LOCAL = "local"
    RESOLVER = "resolver"
    NETWORK = "network"
    UNKNOWN = "unknown"


class Pattern(StrEnum):
    ALWAYS = "always"
    PARTIAL = "partial"
    RESIDUAL = "residual"


class Confidence(StrEnum):
    CONFIRMED = "confirmed"
    LIKELY = "likely"


class Proof(StrEnum):
    """How a finding shows that something between us and the site did it (law 3 of DESIGN)."""

    ELSEWHERE = "a"  # the name fails at an unrelated server where a harmless one works
    IMPOSSIBLE = "b"  # something came back that the site cannot have sent
    SHORT = "c"  # its packets die short of its network, its neighbours' do not
    PEERS = "d"  # another network in the country reaches it now


class Past(msgspec.Struct, frozen=True, kw_only=True):
    """An earlier verdict about the same target from the same probe, for `Case.history`."""

    started: float
    verdict: Verdict


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """What one rule says, and the ids of the observations it rests on."""

    rule: str
    outcome: Outcome
    mechanism: Mechanism | None = None
    trigger: Trigger | None = None
    where: Where | None = None
    pattern: Pattern | None = None
    confidence: Confidence | None = None
    reason: str | None = None
    proof: Proof | None = None
    summary: str = ""
    evidence: tuple[int, ...] = ()
    fingerprint: str | None = None  # the known artefact that was recognised: name, list and digest of the list
    throttling: Throttling | None = None


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """An opinion about one measurement, by one version of the rules."""

    outcome: Outcome
    mechanism: Mechanism | None = None
    trigger: Trigger | None = None
    where: Where | None = None
    pattern: Pattern | None = None
    confidence: Confidence | None = None
    reason: str | None = None
    summary: str = ""
    findings: tuple[Finding, ...] = ()
    rules_version: int = 0

    @property
    def throttling(self) -> Throttling | None:
        """What the measurement came to know about the target's pace, whether or not that decided."""
        return next((found.throttling for found in self.findings if found.throttling is not None), None)


class Strength(StrEnum):
    """How much a vote against access weighs: each strength has a series, and a rate of error, of its own."""

    PROVEN = "proven"  # blocked or throttled: two proofs
    REPORTED = "reported"  # somebody says so, in a file of votes: nothing is known of the proofs
    FAILED = "failed"  # unreachable, or a measurement that saw nothing: an anomaly


class Vote(msgspec.Struct, frozen=True, kw_only=True, gc=False):  # there are millions, of plain values only
    """A verdict reduced for counting: did `target` work, in one layer, from one network, at one time?

    `time` is UTC seconds since the epoch, `probe` the probe's id, `target` a host or URL. `layer` is dns, tcp, tls,
    http, quic, throttle, network, or blind (did the measurement see anything at all?). `witness` is the id of the
    measurement, `placebo` marks a harmless target that was asked only to learn how often we err.
    """

    time: float
    probe: str
    country: str = ""
    asn: int = 0
    target: str
    layer: str
    blocked: bool
    strength: Strength = Strength.REPORTED
    witness: str = ""
    mechanism: str = ""
    software: str = ""
    placebo: bool = False


class Gap(msgspec.Struct, frozen=True, kw_only=True):
    """A stretch without measuring: UTC seconds since the epoch, and why in a word and a sentence.

    `why` is off (no sign of life), asleep, stalled, offline (no link), outage (the link was up, and nothing answered),
    another reason for which a network cannot be judged, window, or budget. Where looks at the network showed it,
    `since` is the first that failed and `failed` the last, `worked` the last time that something had worked before,
    and `restored` whether something did at `until`; None where that is not known.
    """

    probe_id: str
    since: float
    until: float
    why: str
    detail: str = ""
    worked: float | None = None
    failed: float | None = None
    restored: bool | None = None


T = TypeVar("T")

_encoder = msgspec.json.Encoder()


def encode(value: object) -> bytes:
    """Encode any value of this module as one line of JSON; bytes become base64."""
    return _encoder.encode(value)


def decode(data: bytes | str, kind: type[T]) -> T:
    """Read a value back; raises `msgspec.ValidationError` or `msgspec.DecodeError` naming the place."""
    return msgspec.json.decode(data, type=kind)
