"""A scenario: what is done to the traffic, what a client sees of it, and the verdict it deserves.

Each mechanism is one small frozen value; `mechanisms` puts them to work. `by` names the namespace
that does it: `home`, `isp` and `censor` are routers on the way, `edge` and `srv` belong to the site.
They are msgspec structs because they cross from the test's process into the lab's as JSON.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import msgspec

from tests.lab import home_faults, world
from tests.lab.home_faults import HomeFault, Run
from tests.lab.world import By, WorldFault

BLOCK_PAGE = "<html><head><title>Access denied</title></head><body><h1>This site is blocked by order</h1></body></html>"
FACEBOOK = ("facebook.com",)


class Residual(msgspec.Struct, frozen=True, kw_only=True):
    """What a trigger leaves behind: for `seconds`, nothing gets through from its client to that address and port.

    With `spares_first`, the connection that pulled the trigger is not struck itself. `primed` names addresses
    on which it was pulled just before the scenario begins.
    """

    seconds: float = 60.0
    action: Literal["drop", "reset"] = "drop"
    spares_first: bool = False
    primed: tuple[str, ...] = ()


class ResolverLie(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """A resolver lies about names and all that is below them.

    `answer` is truth, nxdomain, refused, servfail, nodata, silence, or addresses parted by blanks, of which a question
    gets those of its own type. With `kinds` (A, AAAA, HTTPS), only such questions are lied to. `ede` is the
    extended error that the lie admits to (RFC 8914: 15 blocked, 16 censored, 17 filtered). At `home` the router
    takes every question to any resolver; the `isp` takes those to its own resolver, or with `captures` all. With
    `wait` it answers so many seconds late, and `truth` is no lie.
    """

    names: tuple[str, ...] = FACEBOOK
    answer: str
    kinds: tuple[str, ...] = ()
    ede: int | None = None
    at: Literal["isp", "home"] = "isp"
    captures: bool = False
    wait: float = 0.0


class DnsTampering(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """A router answers UDP queries for names itself, or drops them, whatever resolver was asked.

    With `beside`, the query goes on too, so that the true reply comes second; or first, when the forgery is
    `late` by some seconds. `kinds` are the question types that are tampered with (A, AAAA, HTTPS; none: all).
    A forgery gives an A question `address`, an AAAA question `address6`, and an HTTPS question a record that
    points to both.
    """

    names: tuple[str, ...] = FACEBOOK
    action: Literal["forge", "nxdomain", "servfail", "refused", "nodata", "drop"]
    address: str = "10.1.2.3"
    address6: str = ""
    kinds: tuple[str, ...] = ()
    beside: bool = True
    late: float = 0.0
    ip_ttl: int = 64
    by: By = "isp"


class AddressFilter(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Packets to addresses are dropped, answered with ICMP's "prohibited", or their connections reset.

    From the client only, or from everyone. With `back`, what comes back from them is stopped.
    """

    addresses: tuple[str, ...]
    action: Literal["drop", "reset", "unreachable"]
    port: int | None = None
    everyone: bool = False
    back: bool = False
    by: By = "censor"


class HelloFilter(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """A TLS ClientHello with one of these server names is reset, swallowed, hung up on or answered with an alert.

    `addresses` confine it to connections there. It puts the hello together from its segments (`stream`), looks
    into the first segment only (`segment`), or stumbles over every hello that comes in several (`split`). With
    `after`, the hello passes, and so many of the client's encrypted records after it, before it strikes. With a
    `share` below 1, it strikes the first connection, and of those after it as many, by lot.
    """

    names: tuple[str, ...] = FACEBOOK
    action: Literal["reset", "drop", "fin", "alert"]
    addresses: tuple[str, ...] = ()
    reads: Literal["stream", "segment", "split"] = "stream"
    after: int = 0
    share: float = 1.0
    residual: Residual | None = None
    by: By = "censor"


class QuicFilter(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """QUIC to UDP port 443 is swallowed, or answered with ICMP's "prohibited": all of it, or that to `addresses`.

    With `names`, a router opens the first packets of handshakes and swallows those with such a name, and all that
    follows on the same flow; of the handshakes that it meets the first `times` only (0: all). When it `reads` them,
    names or no names, it spares questions for versions, which are no handshakes.
    """

    names: tuple[str, ...] = ()
    addresses: tuple[str, ...] = ()
    action: Literal["drop", "unreachable"] = "drop"
    reads: bool = False
    times: int = 0
    residual: Residual | None = None
    by: By = "censor"


class CertificateFilter(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """A router resets a connection when the server's certificate, in clear up to TLS 1.2, has one of these names."""

    names: tuple[str, ...] = FACEBOOK
    by: By = "censor"


class Throttle(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """What a server sends after one of these names, in a ClientHello or a Host header, comes at `kbit` a second only.

    The first `free` bytes pass at once. What is too much is dropped (`police`), or waits in a queue and is dropped
    when that is full (`shape`). At 0 kbit the connection freezes after the free bytes. The first connections that it is
    about, `passes` of them, are left alone, and so are names that it `spares`; no names at all are every name.
    """

    names: tuple[str, ...] = FACEBOOK
    kbit: float
    free: int = 0
    passes: int = 0
    spares: tuple[str, ...] = ()
    style: Literal["police", "shape"] = "police"
    by: By = "censor"


class HostFilter(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """A plain HTTP request with one of these Host headers is reset, swallowed, hung up on, or answered.

    With `keywords`, its path must hold one of them too. An answer is a page in the site's name, or a redirect.
    `share` is that of `HelloFilter`.
    """

    names: tuple[str, ...] = FACEBOOK
    action: Literal["reset", "drop", "fin", "page", "redirect"]
    keywords: tuple[str, ...] = ()
    addresses: tuple[str, ...] = ()
    status: str = ""
    body: str = BLOCK_PAGE
    location: str = ""
    share: float = 1.0
    residual: Residual | None = None
    by: By = "censor"


class HttpProxy(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """A transparent proxy takes all of port 80, and answers for these names with a page of its own."""

    names: tuple[str, ...] = FACEBOOK
    body: str = BLOCK_PAGE


class TlsInterception(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """A box ends TLS on port 443 for these names (none: for all), under a CA that nobody trusts.

    Or under one that everybody does, when `trusted`. It passes on what the site says, or with a `status`, such
    as "403 Forbidden", says `body` itself.
    """

    names: tuple[str, ...] = ()
    trusted: bool = False
    status: str = ""
    body: str = BLOCK_PAGE


class SmallSegments(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """The site's server asks for segments of `size` bytes at most, so that a ClientHello comes in several."""

    addresses: tuple[str, ...]
    size: int = 300


class ServerAlert(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """The site's own server answers the client's ClientHello with a fatal alert, and serves the rest of the world."""

    address: str


class LinkDown(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """The cable between the client and its home router is out."""


class ControlCut(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """The client's packets to the control are dropped."""


class Delay(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """The way beyond the censor takes `rtt` milliseconds there and back, and loses `loss` percent each way."""

    rtt: float
    jitter: float = 0.0
    loss: float = 0.0


Mechanism = (
    ResolverLie
    | DnsTampering
    | AddressFilter
    | HelloFilter
    | QuicFilter
    | CertificateFilter
    | Throttle
    | HostFilter
    | HttpProxy
    | TlsInterception
    | SmallSegments
    | ServerAlert
    | WorldFault
    | LinkDown
    | ControlCut
    | Delay
    | HomeFault
)


class Expect(msgspec.Struct, frozen=True, kw_only=True):
    """The verdict that a scenario deserves. A tuple lists what is allowed; None is not looked at."""

    outcome: str | tuple[str, ...]
    mechanism: str | tuple[str, ...] | None = None
    trigger: str | tuple[str, ...] | None = None
    where: str | tuple[str, ...] | None = None
    reason: str | tuple[str, ...] | None = None
    pattern: str | tuple[str, ...] | None = None
    fingerprint: str | tuple[str, ...] | None = None  # the name of the one that the first finding tells, or "none"

    def disagreements(self, verdict: dict[str, Any]) -> list[str]:
        """Say, field by field, where `verdict` (a line of `wazi check --json`) is something else."""
        found = []
        for field in self.__struct_fields__:
            wanted = getattr(self, field)
            allowed = (wanted,) if isinstance(wanted, str) else wanted
            said = recognised(verdict) if field == "fingerprint" else verdict.get(field)
            if allowed is not None and said not in allowed:
                found.append(f"{field}: expected {' or '.join(allowed)}, got {said}")
        return found


def recognised(verdict: Mapping[str, Any]) -> str:
    """Return the name of the fingerprint under the first finding, or "none"; a report keeps it by itself."""
    if "fingerprint" in verdict:
        return str(verdict["fingerprint"])
    mark = next((finding.get("fingerprint") for finding in verdict.get("findings", ())), None)
    return str(mark).partition(" ")[0] if mark else "none"


class Scenario(msgspec.Struct, frozen=True, kw_only=True):
    """One page of the book.

    `seen` is what `look` (a plain client) says in the censored home, and `abroad` what it says beside
    the control; they may hold `*`, where every visitor sees another. It asks a resolver, unless it is told to go
    `at` an address, and looks at the target, unless it `looks_at` a URL further on. `without_control` is the
    verdict when no control is configured, when that differs. When `idle`, what interferes has no business with
    this target; where it has, it is about the target's name or addresses, or about `victim`, a name further on.
    `alike` names the scenario that looks like a censoring one and must accuse nobody; `kinds.look_alike` finds
    one when none is named. `run` is how the probe is run.
    """

    name: str
    about: str
    target: str = "https://facebook.com/"
    nettest: str = "web"
    mechanisms: tuple[Mechanism, ...] = ()
    expect: Expect
    without_control: Expect | None = None
    seen: str
    abroad: str = "http 200 facebook.com"
    at: str | None = None
    idle: bool = False
    victim: str = ""
    alike: str | None = None
    looks_at: str = ""
    run: Run = Run()

    def expected(self, *, control: bool) -> Expect:
        return self.expect if control or self.without_control is None else self.without_control

    @property
    def url(self) -> str:
        """The URL at issue, where the plain client looks."""
        return self.looks_at or self.target

    @property
    def undone(self) -> str:
        """What `look` says in the censored home when nobody interferes: sites may well treat it apart."""
        return self.abroad if self.mechanisms else self.seen

    @property
    def acts(self) -> bool:
        """Whether something interferes that must be found in the act."""
        silent = (LinkDown, Delay, SmallSegments, world.SILENT, *home_faults.SILENT)
        return not self.idle and any(not isinstance(mechanism, silent) for mechanism in self.mechanisms)


class Deed(msgspec.Struct, frozen=True, kw_only=True):
    """What something on the way did: `by` a namespace or the ISP's resolver, to `subject`, a name or address."""

    by: str
    action: str
    subject: str
