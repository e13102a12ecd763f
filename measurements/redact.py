"""Takes the volunteer out of a measurement, before it is kept, printed or sent.

Redaction is typed: it walks the observations and knows what each field is for. It takes out

- the probe's own addresses, in every form that `disguises` finds, wherever a text or bytes hold one:
  `[redacted:address]` in prose, `redacted.invalid` in a field that is a name, an address or a URL;
- every other address that a text quotes and that may be the volunteer's public one, which a probe behind NAT
  does not know: all that no step names as a server, a resolver, a router or an answer (`quotes`);
- a certificate that holds one, as a whole: its signature would tell when the address is guessed right;
- the values of cookies, and of headers that echo the client's address or place, whatever they are;
- the routers and resolvers of the home, private ones and those in the volunteer's own prefix: they become
  `private-1`, `private-2` …, the same token for the same address within one measurement, so that rules can
  still tell them apart.

What was taken out is listed in `Measurement.redacted`. All else stays as it was, and a measurement that
holds nothing of this comes back untouched, the very same object. A second run changes nothing more.

The digest of a body that was changed is made anew, or dropped when the rest of the body is not here: a
digest of the original could be inverted by trying all addresses.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from enum import Enum
from functools import lru_cache
from ipaddress import ip_network
from typing import Any, Protocol, TypeVar

import msgspec

from measurements.address_forms import Address, at_home, parse
from measurements.disguises import Disguises, disguises
from measurements.echoes import quiet
from measurements.escapes import undone
from measurements.model import (
    AnyObservation,
    Capture,
    DnsLookup,
    Hop,
    HttpExchange,
    IcmpError,
    Measurement,
    QuicHandshake,
)
from measurements.named import NAMING, named
from measurements.quotes import Quotes

ADDRESS = "[redacted:address]"
NO_HOST = "redacted.invalid"  # RFC 2606: may stand in a URL, and cannot exist
CERTIFICATE = b"[redacted:certificate]"

MAX_BODY = 64 * 1024

_PROSE = frozenset({"body", "title", "detail", "headers", "certificate_error", "issuer", "ede", "software"})
"""Fields for people; every other text is a name, an address or a URL."""

_NAMES_AN_ADDRESS = frozenset({"location", "content-location", "refresh", "link"})  # headers with a URL

S = TypeVar("S", bound=msgspec.Struct)
T = TypeVar("T")
Headers = tuple[tuple[str, str], ...]


def redact(measurement: Measurement, own_addresses: Collection[str]) -> Measurement:
    """Return the measurement without the volunteer; the same object when there was nothing to take out.

    `own_addresses` are this machine's as its sockets and the control saw them. Loopback is not looked
    for, nor what is no address.
    """
    own, quotes = disguises(frozenset(own_addresses)), Quotes(named(measurement))
    redaction = _Redaction(own, quotes, _home_routers(measurement, own.addresses))
    changed = redaction.measurement(measurement)
    if not redaction.done:
        return measurement
    return msgspec.structs.replace(changed, redacted=tuple(sorted({*measurement.redacted, *redaction.done})))


def redact_text(text: str, own_addresses: Collection[str]) -> str:
    """Return a line for the log or the screen without the probe's own addresses."""
    return _struck(text, [disguises(frozenset(own_addresses))], ADDRESS)


class _Finder(Protocol):
    """Finds addresses in texts and in binary data."""

    def strike(self, text: bytes, marker: bytes) -> bytes: ...

    def in_binary(self, data: bytes) -> bool: ...


class _Redaction:
    """One measurement's redaction; `done` lists the fields that were changed and what for."""

    def __init__(self, own: Disguises, quotes: Quotes, routers: Mapping[str, str]) -> None:
        self.own = own
        self.quotes = quotes
        self.routers = routers
        self.finders: tuple[_Finder, ...] = ()  # those that would find something
        self.done: set[str] = set()

    def measurement(self, whole: Measurement) -> Measurement:
        self.finders = self._suspicious(whole)
        steps = tuple(self._step(step) for step in whole.observations)
        before = whole.preconditions
        if self.finders:
            before = self._struct(before, "preconditions.")
        frame = msgspec.structs.replace(whole, observations=(), preconditions=before)
        if self.routers:
            frame = self._replaced(
                frame,
                "",
                "router",
                vantage=self._replaced(whole.vantage, "", "router", resolver=self._router(whole.vantage.resolver)),
            )
        self.finders = tuple(finder for finder in self.finders if finder is self.own)  # the target is the user's word
        if self.finders:
            frame = self._struct(frame, "")
        return msgspec.structs.replace(frame, observations=steps)

    def _suspicious(self, whole: Measurement) -> tuple[_Finder, ...]:
        """Look through all text of a measurement at once, which nearly always is all there is to do."""
        said, naming = _everything(whole)
        bare = undone(said)
        found: list[_Finder] = []
        if self.own.addresses and (self.own.suspects_read(said, bare) or self.own.suspects(naming)):
            found.append(self.own)
        if self.quotes.suspects_read(said, bare):
            found.append(self.quotes)
        return tuple(found)

    def _step(self, step: AnyObservation) -> AnyObservation:
        place = f"{step.id}."
        if isinstance(step, HttpExchange):
            step = self._exchange(step, place)
        if self.routers:
            step = self._without_routers(step, place)
        return self._struct(step, place) if self.finders else step

    # The home's routers

    def _without_routers(self, step: AnyObservation, place: str) -> AnyObservation:
        if isinstance(step, DnsLookup):
            replies = tuple(
                self._replaced(reply, f"{place}replies.", "router", source=self._router(reply.source))
                for reply in step.replies
            )
            errors = self._icmp(step.icmp, place)
            resolver = self._router(step.resolver)
            return self._replaced(step, place, "router", resolver=resolver, replies=replies, icmp=errors)
        if isinstance(step, QuicHandshake):
            return self._replaced(step, place, "router", icmp=self._icmp(step.icmp, place))
        if isinstance(step, Hop):
            return self._replaced(step, place, "router", router=self._router(step.router))
        if isinstance(step, Capture):
            peers = tuple(self._router(peer) for peer in step.peers)
            packets = tuple(
                self._replaced(packet, f"{place}packets.", "router", source=self._router(packet.source))
                for packet in step.packets
            )
            return self._replaced(step, place, "router", peers=peers, packets=packets)
        return step

    def _icmp(self, errors: tuple[IcmpError, ...], place: str) -> tuple[IcmpError, ...]:
        return tuple(
            self._replaced(error, f"{place}icmp.", "router", source=self._router(error.source)) for error in errors
        )

    def _router(self, endpoint: str | None) -> str | None:
        """Write the token of a home's router in the place of its address, keeping the port."""
        address = _address(endpoint) if endpoint else None
        if endpoint is None or address is None or str(address) not in self.routers:
            return endpoint
        port = re.search(r"(?:^[0-9.]+|\]):([0-9]+)$", endpoint)
        return self.routers[str(address)] + (f":{port[1]}" if port else "")

    # Headers and bodies

    def _exchange(self, page: HttpExchange, place: str) -> HttpExchange:
        headers = tuple((name, quiet(name, value)) for name, value in page.headers)
        page = self._replaced(page, place, "client", headers=headers)
        if page.body and (page.truncated or page.body_length > len(page.body)):
            body = self.quotes.without_cut(_without_cut_address(page.body, self.own))
            page = self._with_body(page, place, body)
        return page

    def _with_body(self, page: HttpExchange, place: str, body: bytes) -> HttpExchange:
        if body == page.body:
            return page
        complete = page.body_length <= len(page.body) and len(body) <= MAX_BODY
        changed = msgspec.structs.replace(
            page,
            body=body[:MAX_BODY],
            body_length=max(0, page.body_length + len(body) - len(page.body)),
            body_sha256=hashlib.sha256(body).hexdigest() if complete and page.body_sha256 else None,
        )
        return self._noted(changed, f"{place}body", "address")

    # Any field of any type

    def _struct(self, value: S, place: str) -> S:
        changes: dict[str, Any] = {}
        for name in value.__struct_fields__:
            old = getattr(value, name)
            if isinstance(value, HttpExchange) and name == "body":
                continue
            new = self._any(old, name, f"{place}{name}")
            if new is not old:
                changes[name] = new
        value = msgspec.structs.replace(value, **changes) if changes else value
        if isinstance(value, HttpExchange):
            body = _struck_bytes(value.body, self.finders, ADDRESS)
            return self._with_body(value, place, body)  # type: ignore[return-value]  # S is HttpExchange here
        return value

    def _any(self, value: Any, name: str, place: str) -> Any:
        if isinstance(value, str) and not isinstance(value, Enum):
            finders = [finder for finder in self.finders if finder is self.own or name not in NAMING]
            new = _struck(value, finders, ADDRESS if name in _PROSE else NO_HOST)
            return value if new == value else self._noted(new, place, "address")
        if isinstance(value, bytes):
            held = any(finder.in_binary(value) for finder in self.finders)
            return self._noted(CERTIFICATE, place, "address") if held else value
        if isinstance(value, msgspec.Struct):
            return self._struct(value, f"{place}.")
        if isinstance(value, tuple):
            if name == "headers":
                new_items = tuple(self._header(item, place) for item in value)
            else:
                new_items = tuple(self._any(item, name, place) for item in value)
            return value if all(new is old for new, old in zip(new_items, value, strict=True)) else new_items
        return value

    def _header(self, header: tuple[str, str], place: str) -> tuple[str, str]:
        key, value = header
        new_key = self._any(key, "headers", place)
        new_value = self._any(value, "location" if key.lower() in _NAMES_AN_ADDRESS else "headers", place)
        return header if new_key is key and new_value is value else (new_key, new_value)

    def _replaced(self, value: S, place: str, kind: str, **fields: Any) -> S:
        changes = {name: new for name, new in fields.items() if new != getattr(value, name)}
        if not changes:
            return value
        for name in changes:
            self._noted(None, place + name, kind)
        return msgspec.structs.replace(value, **changes)

    def _noted(self, value: T, place: str, kind: str) -> T:
        self.done.add(f"{place}: {kind}")
        return value


def _struck(text: str, finders: Iterable[_Finder], marker: str) -> str:
    raw = text.encode("utf-8", "surrogatepass")
    struck = _struck_bytes(raw, finders, marker)
    return text if struck is raw else struck.decode("utf-8", "replace")


def _struck_bytes(text: bytes, finders: Iterable[_Finder], marker: str) -> bytes:
    for finder in finders:
        text = finder.strike(text, marker.encode())
    return text


def _without_cut_address(body: bytes, own: Disguises) -> bytes:
    """Drop the beginning of an own address at the end of a body that was cut there."""
    for address in own.addresses:
        text = str(address).encode()
        for length in range(len(text) - 1, len(text) // 2, -1):
            if body.endswith(text[:length]):
                return body[:-length]
    return body


def _everything(measurement: Measurement) -> tuple[bytes, bytes]:
    """Gather all text and bytes of a measurement: what may quote an address, and what names one."""
    texts: list[str] = []
    naming: list[str] = []
    raw: list[bytes] = []
    _gather(measurement, texts, naming, raw)
    said = b"\n".join(("\n".join(texts).encode("utf-8", "surrogatepass"), *raw))
    return said, "\n".join(naming).encode("utf-8", "surrogatepass")


_WORDLESS = frozenset({int, float, bool, type(None)})


def _gather(value: Any, texts: list[str], naming: list[str], raw: list[bytes]) -> None:
    kind = type(value)
    if kind is str:
        texts.append(value)
    elif kind is tuple:
        for item in value:
            if type(item) not in _WORDLESS:  # transfers have hundreds of samples
                _gather(item, texts, naming, raw)
    elif kind is bytes:
        raw.append(value)
    elif issubclass(kind, msgspec.Struct):
        for name in value.__struct_fields__:
            _gather(getattr(value, name), naming if name in NAMING else texts, naming, raw)


# The home's routers


@lru_cache(maxsize=4096)
def _address(endpoint: str) -> Address | None:
    """Read an address, or an address and a port; None when it is none."""
    return parse(endpoint)


def _home_routers(measurement: Measurement, own: Collection[Address]) -> dict[str, str]:
    """Name every address of the home that resolvers, replies and the first hops have, in order of appearance.

    It is a private one, or one of the volunteer's own prefix, which would tell nearly as much as his own does: with
    IPv6 the home's router has such a one. A private router beyond the first foreign one is a network's, and evidence.
    """
    prefixes = tuple(ip_network((each, 24 if each.version == 4 else 48), strict=False) for each in own)

    def ours(address: Address) -> bool:
        return at_home(address) or any(address in prefix for prefix in prefixes if prefix.version == address.version)

    met = [(ttl, address) for ttl, router in _routers(measurement) if (address := _address(router)) is not None]
    foreign = min((ttl for ttl, address in met if not ours(address)), default=256)
    heard = [address for each in _heard(measurement) if each and (address := _address(each)) and ours(address)]
    tokens: dict[str, str] = {}
    for address in (*heard, *(address for ttl, address in met if ttl < foreign)):
        tokens.setdefault(str(address), f"private-{len(tokens) + 1}")
    return tokens


def _routers(measurement: Measurement) -> Iterator[tuple[int, str]]:
    """Yield (distance, address) of every router that answered a packet with a limited TTL."""
    for step in measurement.observations:
        if isinstance(step, Hop) and step.router:
            yield step.ttl, step.router
        elif isinstance(step, DnsLookup) and step.ip_ttl is not None:
            yield from ((step.ip_ttl, error.source) for error in step.icmp if error.source)
    for distance, source in _icmp_captured(measurement):
        if distance is not None:
            yield distance, source


def _icmp_captured(measurement: Measurement) -> Iterator[tuple[int | None, str]]:
    """Yield (distance, source) of ICMP errors that were captured; no distance where no `Hop` tells it."""
    steps = measurement.observations
    sent = {step.local_port: step.ttl for step in steps if isinstance(step, Hop) and step.local_port is not None}
    for step in steps:
        if isinstance(step, Capture):
            yield from ((sent.get(p.local_port), p.source) for p in step.packets if p.protocol == "icmp")


def _heard(measurement: Measurement) -> Iterator[str | None]:
    """Yield every resolver, and every source of a reply or of an error about an ordinary question."""
    yield measurement.vantage.resolver
    for step in measurement.observations:
        if isinstance(step, DnsLookup):
            yield step.resolver
            yield from (reply.source for reply in step.replies)
            if step.ip_ttl is None:
                yield from (error.source for error in step.icmp)
        elif isinstance(step, QuicHandshake):
            yield from (error.source for error in step.icmp)
    yield from (source for distance, source in _icmp_captured(measurement) if distance is None)
