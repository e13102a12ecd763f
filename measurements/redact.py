"""Takes the volunteer out of a measurement, before it is kept, printed or sent.

Redaction is typed: it walks the observations and knows what each field is for. It takes out

- the probe's own addresses, hardware addresses and names, in every form that `disguises` finds, wherever they stand:
  `[redacted:address:3f2a…]` in prose, `r3f2a….redacted.invalid` in a field that is a name, an address or a URL;
- every other address that a text quotes and that may be the volunteer's public one, which a probe behind NAT
  does not know: all that no step names as a server, a resolver, a router or an answer (`quotes`);
- a certificate that holds one, as a whole: its signature would tell when the address is guessed right;
- the values of cookies, and of headers that echo the client's address or place, whatever they are;
- the routers and resolvers of the home (`home_routers`): they become `private-1`, `private-2` …, the same token for
  the same address within one measurement.

What stands there instead is a commitment to what was taken out (`commitments`): the same for the same thing within one
measurement, so that rules can still tell things apart, and proof of what it was for whom the volunteer tells it.
Without a salt, as for what others measured, the marks carry none. What was taken out, of which kind and with which
commitment is listed in `Measurement.redacted`. All else stays as it was, and a measurement that holds nothing of this
comes back untouched, the very same object. A second run changes nothing more.

The digest of a body that was changed is made anew, or dropped when the rest of the body is not here: a
digest of the original could be inverted by trying all addresses.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Collection, Iterable
from enum import Enum
from typing import Any, Protocol, TypeVar

import msgspec

from measurements.commitments import Removal, commitment, host_mark, is_mark, mark, removals
from measurements.disguises import Disguises, Mark, disguises
from measurements.echoes import quiet
from measurements.escapes import undone
from measurements.home_routers import address_of, home_routers
from measurements.model import (
    AnyObservation,
    Capture,
    ControlQuery,
    DnsLookup,
    Hop,
    HttpExchange,
    IcmpError,
    Measurement,
    QuicHandshake,
    Transfer,
)
from measurements.named import NAMING, named
from measurements.parameters import Parameters
from measurements.quotes import Quotes

MAX_BODY = 64 * 1024
MOST_LISTED = 100  # commitments of one kind in one place; more are in the text and not in the list

_PROSE = frozenset({"body", "title", "detail", "headers", "certificate_error", "issuer", "ede", "software"})
"""Fields for people; every other text is a name, an address or a URL."""

_KEPT = frozenset({"id", "probe_id", "redacted"})
"""Fields that are ours, or that the volunteer chose to tell."""

_NAMES_AN_ADDRESS = frozenset({"location", "content-location", "refresh", "link"})  # headers with a URL

S = TypeVar("S", bound=msgspec.Struct)
Linked = HttpExchange | Transfer | ControlQuery


def redact(measurement: Measurement, own: Collection[str], salt: bytes | None = None) -> Measurement:
    """Return the measurement without the volunteer; the same object when there was nothing to take out.

    `own` are this machine's addresses as its sockets and the control saw them, the hardware addresses that are near,
    and the names of the machine and its network. What tells nothing is not looked for: loopback, names that half the
    world uses, and a name that the target has too. `salt` is this measurement's own (`commitments.salt_of`), or None.
    """
    mine = disguises(frozenset(own)).but_for(measurement.target.host)
    redaction = _Redaction(measurement, mine, salt)
    changed = redaction.measurement(measurement)
    if not redaction.done:
        return measurement
    return msgspec.structs.replace(changed, redacted=tuple(sorted({*measurement.redacted, *map(str, redaction.done)})))


def redact_text(text: str, own: Collection[str]) -> str:
    """Return a line for the log or the screen without what is our `own`."""
    return _struck(text, [disguises(frozenset(own))], lambda kind, value: mark(kind, None).encode())


class _Finder(Protocol):
    """Finds addresses in texts and in binary data."""

    def strike(self, text: bytes, mark: Mark) -> bytes: ...

    def in_binary(self, data: bytes) -> bool: ...


class _Redaction:
    """One measurement's redaction; `done` is what was taken out."""

    def __init__(self, whole: Measurement, own: Disguises, salt: bytes | None) -> None:
        self.own = own
        self.quotes = Quotes(named(whole))
        self.parameters = Parameters(whole.target.url.encode("utf-8", "surrogatepass"))
        self.routers = home_routers(whole, own.addresses)
        self.salt = salt
        self.before = frozenset((one.place, one.kind) for one in removals(whole.redacted))
        self.finders: tuple[_Finder, ...] = ()  # those that would find something
        self.done: set[Removal] = set()
        self.listed: Counter[tuple[str, str]] = Counter()

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
            for address, token in self.routers.items():
                self._note(token, "router", self._commitment("router", address))
        self.finders = tuple(finder for finder in self.finders if finder is self.own)  # the target is the user's word
        if self.finders:
            frame = self._struct(frame, "")
        return msgspec.structs.replace(frame, observations=steps)

    def _suspicious(self, whole: Measurement) -> tuple[_Finder, ...]:
        """Look through all text of a measurement at once, which nearly always is all there is to do."""
        said, naming = _everything(whole)
        bare = undone(said)
        found: list[_Finder] = []
        if self.own.things and (self.own.suspects_read(said, bare) or self.own.suspects(naming)):
            found.append(self.own)
        if self.quotes.suspects_read(said, bare):
            found.append(self.quotes)
        if self.parameters.suspects_read(said, bare):
            found.append(self.parameters)  # behind the others, which know better what a value is
        return tuple(found)

    def _step(self, step: AnyObservation) -> AnyObservation:
        place = f"{step.id}."
        if isinstance(step, HttpExchange):
            step = self._exchange(step, place)
        if self.routers:
            step = self._without_routers(step, place)
        if self.finders:
            step = self._struct(step, place)
        return self._links(step, place) if isinstance(step, Linked) else step

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
        address = address_of(endpoint) if endpoint else None
        if endpoint is None or address is None or str(address) not in self.routers:
            return endpoint
        port = re.search(r"(?:^[0-9.]+|\]):([0-9]+)$", endpoint)
        return self.routers[str(address)] + (f":{port[1]}" if port else "")

    # Headers and bodies

    def _exchange(self, page: HttpExchange, place: str) -> HttpExchange:
        where = f"{place}headers"

        def marked(kind: str, value: str) -> str:
            return mark(kind, self._taken(where, kind, value))

        again = {(where, "client"), (where, "cookie")} & self.before  # the marks in it are ours
        headers = tuple((name, quiet(name, value, marked, again=bool(again))) for name, value in page.headers)
        if headers != page.headers:
            page = msgspec.structs.replace(page, headers=headers)
        if page.body and (page.truncated or page.body_length > len(page.body)):
            body = self.quotes.without_cut(_without_cut_address(page.body, self.own))
            if len(body) < len(page.body):
                self._note(f"{place}body", "address")
                page = self._with_body(page, body)
        return page

    def _with_body(self, page: HttpExchange, body: bytes) -> HttpExchange:
        complete = page.body_length <= len(page.body) and len(body) <= MAX_BODY
        return msgspec.structs.replace(
            page,
            body=body[:MAX_BODY],
            body_length=max(0, page.body_length + len(body) - len(page.body)),
            body_sha256=hashlib.sha256(body).hexdigest() if complete and page.body_sha256 else None,
        )

    # Links

    def _links(self, step: Linked, place: str) -> AnyObservation:
        """Take a guest's parameters out of the URLs that a step went to or was sent to."""
        changes: dict[str, Any] = {}
        for name in ("url", "redirect"):
            if "?" in (old := getattr(step, name, None) or ""):
                changes[name] = self._link(old, f"{place}{name}")
        if isinstance(step, HttpExchange) and step.status is not None:
            changes["headers"] = tuple(
                (key, self._link(value, f"{place}headers"))
                if "?" in value and key.lower() in _NAMES_AN_ADDRESS
                else (key, value)
                for key, value in step.headers
            )
        changed = {name: new for name, new in changes.items() if new != getattr(step, name)}
        return msgspec.structs.replace(step, **changed) if changed else step

    def _link(self, url: str, place: str) -> str:
        raw = url.encode("utf-8", "surrogatepass")
        new = self.parameters.strike_url(raw, self._mark(place, prose=False))
        return url if new is raw else new.decode("utf-8", "replace")

    # Any field of any type

    def _struct(self, value: S, place: str) -> S:
        changes: dict[str, Any] = {}
        for name in value.__struct_fields__:
            old = getattr(value, name)
            if name in _KEPT or (isinstance(value, HttpExchange) and name == "body"):
                continue
            new = self._any(old, name, f"{place}{name}")
            if new is not old:
                changes[name] = new
        value = msgspec.structs.replace(value, **changes) if changes else value
        if isinstance(value, HttpExchange):
            body = _struck_bytes(value.body, self.finders, self._mark(f"{place}body", prose=True))
            if body is not value.body:
                return self._with_body(value, body)  # type: ignore[return-value]  # S is HttpExchange here
        return value

    def _any(self, value: Any, name: str, place: str) -> Any:
        if isinstance(value, str) and not isinstance(value, Enum):
            finders = [finder for finder in self.finders if finder is self.own or name not in NAMING]
            return _struck(value, finders, self._mark(place, prose=name in _PROSE))
        if isinstance(value, bytes):
            if is_mark(value) or not any(finder.in_binary(value) for finder in self.finders):
                return value
            return mark("certificate", self._taken(place, "certificate", value)).encode()
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

    # What stands there instead, and the list of it

    def _mark(self, place: str, *, prose: bool) -> Mark:
        def marked(kind: str, value: str) -> bytes:
            committed = self._taken(place, kind, value)
            return (mark(kind, committed) if prose else host_mark(committed)).encode()

        return marked

    def _taken(self, place: str, kind: str, value: str | bytes) -> str | None:
        """Note what is taken out of a place, and return the commitment to it."""
        committed = self._commitment(kind, value)
        self._note(place, kind, committed)
        return committed

    def _commitment(self, kind: str, value: str | bytes) -> str | None:
        return commitment(self.salt, kind, value) if self.salt else None

    def _replaced(self, value: S, place: str, kind: str, **fields: Any) -> S:
        changes = {name: new for name, new in fields.items() if new != getattr(value, name)}
        if not changes:
            return value
        for name in changes:
            self._note(place + name, kind)
        return msgspec.structs.replace(value, **changes)

    def _note(self, place: str, kind: str, committed: str | None = None) -> None:
        removal = Removal(place, kind, committed)
        if removal in self.done:
            return
        self.listed[place, kind] += 1
        self.done.add(removal if self.listed[place, kind] <= MOST_LISTED else Removal(place, kind))


def _struck(text: str, finders: Iterable[_Finder], mark: Mark) -> str:
    raw = text.encode("utf-8", "surrogatepass")
    struck = _struck_bytes(raw, finders, mark)
    return text if struck is raw else struck.decode("utf-8", "replace")


def _struck_bytes(text: bytes, finders: Iterable[_Finder], mark: Mark) -> bytes:
    for finder in finders:
        text = finder.strike(text, mark)
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
            if name not in _KEPT:
                _gather(getattr(value, name), naming if name in NAMING else texts, naming, raw)
