"""A scenario: what is done to the traffic, what a client sees of it, and the verdict it deserves.

Each mechanism is one small frozen value; `mechanisms` puts them to work. `by` names the namespace
that does it: `home`, `isp` and `censor` are routers on the way, `edge` and `srv` belong to the site.
They are msgspec structs because they cross from the test's process into the lab's as JSON.
"""

from __future__ import annotations

from typing import Literal

import msgspec

By = Literal["home", "isp", "censor", "edge", "srv"]

BLOCK_PAGE = "<html><head><title>Access denied</title></head><body><h1>This site is blocked by order</h1></body></html>"
FACEBOOK = ("facebook.com",)


class ResolverLie(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """The ISP's resolver lies about names and all that is below them.

    `answer` is nxdomain, refused, silence, nodata, or an address.
    """

    names: tuple[str, ...] = FACEBOOK
    answer: str


class DnsTampering(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """A router answers UDP queries for names itself, or drops them, whatever resolver was asked.

    With `beside`, the query goes on too, so that the true reply comes second.
    """

    names: tuple[str, ...] = FACEBOOK
    action: Literal["forge", "nxdomain", "drop"]
    address: str = "10.1.2.3"
    beside: bool = True
    ip_ttl: int = 64
    by: By = "isp"


class AddressFilter(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Packets to addresses are dropped, or connections to them reset; from the client only, or from all."""

    addresses: tuple[str, ...]
    action: Literal["drop", "reset"]
    port: int | None = None
    everyone: bool = False
    by: By = "censor"


class HelloFilter(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """A TLS ClientHello with one of these server names is answered with resets, or swallowed."""

    names: tuple[str, ...] = FACEBOOK
    action: Literal["reset", "drop"]
    by: By = "censor"


class HostFilter(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """A plain HTTP request with one of these Host headers is reset, swallowed, or answered in the site's name."""

    names: tuple[str, ...] = FACEBOOK
    action: Literal["reset", "drop", "page", "redirect"]
    body: str = BLOCK_PAGE
    location: str = ""
    by: By = "censor"


class HttpProxy(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """A transparent proxy takes all of port 80, and answers for these names with a page of its own."""

    names: tuple[str, ...] = FACEBOOK
    body: str = BLOCK_PAGE


class TlsInterception(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """A box ends TLS on port 443 for these names (none: for all), under a CA that nobody trusts."""

    names: tuple[str, ...] = ()


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
    | HostFilter
    | HttpProxy
    | TlsInterception
    | ServerAlert
    | LinkDown
    | ControlCut
    | Delay
)


class Expect(msgspec.Struct, frozen=True, kw_only=True):
    """The verdict that a scenario deserves. A tuple lists what is allowed; None is not looked at."""

    outcome: str | tuple[str, ...]
    mechanism: str | tuple[str, ...] | None = None
    trigger: str | tuple[str, ...] | None = None
    where: str | tuple[str, ...] | None = None
    reason: str | tuple[str, ...] | None = None
    pattern: str | tuple[str, ...] | None = None

    def disagreements(self, verdict: dict[str, object]) -> list[str]:
        """Say, field by field, where `verdict` (a line of `wazi check --json`) is something else."""
        found = []
        for field in self.__struct_fields__:
            wanted = getattr(self, field)
            allowed = (wanted,) if isinstance(wanted, str) else wanted
            if allowed is not None and verdict.get(field) not in allowed:
                found.append(f"{field}: expected {' or '.join(allowed)}, got {verdict.get(field)}")
        return found


class Scenario(msgspec.Struct, frozen=True, kw_only=True):
    """One page of the book.

    `seen` is what `look` (a plain client) says in the censored home, and `abroad` what it says beside
    the control. `without_control` is the verdict when no control is configured, when that differs. When
    `idle`, what interferes has no business with this target.
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
    idle: bool = False

    def expected(self, *, control: bool) -> Expect:
        return self.expect if control or self.without_control is None else self.without_control

    @property
    def acts(self) -> bool:
        """Whether something interferes that must be found in the act."""
        return not self.idle and any(not isinstance(mechanism, LinkDown | Delay) for mechanism in self.mechanisms)


class Deed(msgspec.Struct, frozen=True, kw_only=True):
    """What something on the way did: `by` a namespace or the ISP's resolver, to `subject`, a name or address."""

    by: str
    action: str
    subject: str
