"""Reading JSON that may be odd anywhere, and OONI's words for failures (spec df-007).

OONI's archive holds the output of many programs over ten years. So a field is asked for as what it should
be; one that is missing or null is simply not there, and one that is something else is not there either
and leaves a note, which ends in the detail of the step that it belongs to.
"""

from __future__ import annotations

import base64
import binascii
import ipaddress
import math
from collections.abc import Iterator, Mapping
from typing import Any

from measurements.model import Failure

MAX_ITEMS = 1000
MAX_TEXT = 8192
MAX_NOTES = 8
MAX_DATA = 16 * 1024 * 1024


class Fields:
    """One JSON object; `notes` collects what was odd in it, in words that name the place."""

    def __init__(self, value: object, place: str = "", notes: list[str] | None = None) -> None:
        self.place = place
        self.notes: list[str] = [] if notes is None else notes
        self.values: Mapping[Any, object] = value if isinstance(value, Mapping) else {}
        if value is not None and not isinstance(value, Mapping):
            self._note("is not an object")

    def __contains__(self, key: str) -> bool:
        return self.values.get(key) is not None

    def _note(self, words: str, key: str = "") -> None:
        note = f"{'.'.join(filter(None, (self.place, key)))} {words}"
        if len(self.notes) < MAX_NOTES and note not in self.notes:
            self.notes.append(note)

    def _odd(self, key: str, words: str) -> None:
        if key in self:
            self._note(words, key)

    def text(self, key: str, default: str = "") -> str:
        value = self.values.get(key)
        if isinstance(value, str):
            return clean(value)
        self._odd(key, "is not a text")
        return default

    def number(self, key: str) -> float | None:
        """Read a finite number; JSON as Python reads it may hold NaN and integers beyond any float."""
        value = self.values.get(key)
        if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e15:
            return float(value)
        self._odd(key, "is not a number")
        return None

    def seconds(self, key: str) -> float:
        value = self.number(key)
        return max(0.0, value) if value is not None else 0.0

    def whole(self, key: str, low: int, high: int, none: tuple[int, ...] = ()) -> int | None:
        """Read a whole number between `low` and `high`; those in `none` mean that there is none."""
        value = self.number(key)
        if value is None or value in none:
            return None
        if value != math.floor(value) or not low <= value <= high:
            self._note(f"is not a whole number from {low} to {high}", key)
            return None
        return int(value)

    def flag(self, key: str) -> bool | None:
        value = self.values.get(key)
        if isinstance(value, bool):
            return value
        self._odd(key, "is neither true nor false")
        return None

    def address(self, key: str) -> str | None:
        text = self.text(key)
        if not text:
            return None
        found = canonical(text)
        if found is None:
            self._note("is not an address", key)
        return found

    def items(self, key: str) -> list[object]:
        value = self.values.get(key)
        if not isinstance(value, list | tuple):
            self._odd(key, "is not a list")
            return []
        if len(value) > MAX_ITEMS:
            self._note(f"has more than {MAX_ITEMS} items", key)
        return list(value[:MAX_ITEMS])

    def texts(self, key: str) -> list[str]:
        items = self.items(key)
        if not all(isinstance(item, str) for item in items):
            self._note("holds more than texts", key)
        return [clean(item) for item in items if isinstance(item, str)]

    def objects(self, key: str) -> list[Fields]:
        """Read a list of objects; the notes of each are its own."""
        place = ".".join(filter(None, (self.place, key)))
        return [Fields(item, f"{place}[{n}]") for n, item in enumerate(self.items(key))]

    def within(self, key: str) -> Fields:
        """Read an object inside this one; its notes are this one's."""
        return Fields(self.values.get(key), ".".join(filter(None, (self.place, key))), self.notes)

    def by_key(self, key: str) -> Iterator[tuple[str, Fields]]:
        """Read an object whose keys are data; the notes of each value are its own."""
        inner = self.within(key)
        for name, value in list(inner.values.items())[:MAX_ITEMS]:
            if isinstance(name, str):
                yield clean(name), Fields(value, f"{inner.place}.{name[:80]}")

    def data(self, key: str) -> bytes:
        """Read a text, or bytes as {"format": "base64", "data": …} (spec df-001)."""
        found = binary(self.values.get(key))
        if found is None:
            self._odd(key, "is neither a text nor base64")
        return found or b""

    def failure(self, key: str) -> tuple[Failure | None, str]:
        return failure_of(self.values.get(key))

    @property
    def detail(self) -> str:
        return "; ".join(self.notes)


def clean(text: str) -> str:
    """Cut a text to a bound, and replace lone surrogates, which JSON can hold and UTF-8 cannot."""
    return text[:MAX_TEXT].encode("utf-8", "replace").decode()


def canonical(text: str) -> str | None:
    """Write an address as `ipaddress` does; None when it is none."""
    try:
        return str(ipaddress.ip_address(text.partition("%")[0]))
    except ValueError:
        return None


def endpoint(text: str) -> tuple[str, int] | None:
    """Read "address:port" or "[address]:port"; None when it is neither."""
    host, _, port = text.rpartition(":")
    address = canonical(host.removeprefix("[").removesuffix("]"))
    if address is None or not (port.isascii() and port.isdigit() and len(port) <= 5 and int(port) < 65536):
        return None
    return address, int(port)


def binary(value: object) -> bytes | None:
    """Read a text as UTF-8, or base64 in an object; None when it is neither."""
    if isinstance(value, str):
        return value[:MAX_DATA].encode("utf-8", "replace")
    if isinstance(value, Mapping) and value.get("format") == "base64":
        return decoded(value.get("data"))
    return None


def decoded(value: object) -> bytes | None:
    """Decode base64; None when it is none."""
    if not isinstance(value, str) or len(value) > MAX_DATA:
        return None
    try:
        return base64.b64decode(value.encode("ascii"), validate=True)
    except (binascii.Error, UnicodeEncodeError):
        return None


# Failures

_OWN = {failure.value: failure for failure in Failure}

_LEGACY = {
    "address_family_not_supported_error": Failure.ADDRESS_FAMILY_NOT_SUPPORTED,
    "android_dns_cache_no_data": Failure.NO_DNS_ANSWER,  # or NXDOMAIN: Android's resolver does not tell
    "connection_done": Failure.EOF,
    "connection_lost_error": Failure.CONNECTION_RESET,
    "connection_refused_error": Failure.CONNECTION_REFUSED,
    "deferred_timeout_error": Failure.TIMEOUT,
    "dns_lookup_error": Failure.DNS_NON_RECOVERABLE,
    "dns_name_error": Failure.DNS_NXDOMAIN,
    "dns_name_failure": Failure.DNS_MISBEHAVING,
    "dns_server_failure": Failure.DNS_MISBEHAVING,
    "dns_temporary_failure": Failure.DNS_MISBEHAVING,
    "response_never_received": Failure.EOF,
    "ssl_error": Failure.SSL_FAILED_HANDSHAKE,
    "ssl_unknown_autority": Failure.SSL_UNKNOWN_AUTHORITY,  # as the spec once spelled it
    "task_timed_out": Failure.TIMEOUT,
    "tcp_timed_out_error": Failure.TIMEOUT,
    "timed_out": Failure.TIMEOUT,
}

_WORDS = (  # what systems and Go say in an "unknown_failure: …"
    ("no route to host", Failure.HOST_UNREACHABLE),
    ("network is unreachable", Failure.NETWORK_UNREACHABLE),
    ("connection refused", Failure.CONNECTION_REFUSED),
    ("connection reset", Failure.CONNECTION_RESET),
    ("i/o timeout", Failure.TIMEOUT),
    ("deadline exceeded", Failure.TIMEOUT),
    ("no such host", Failure.DNS_NXDOMAIN),
    ("too many open files", Failure.TOO_MANY_OPEN_FILES),
    ("permission denied", Failure.PERMISSION_DENIED),
    ("certificate has expired", Failure.SSL_INVALID_CERTIFICATE),
    ("signed by unknown authority", Failure.SSL_UNKNOWN_AUTHORITY),
)


def failure_of(value: object) -> tuple[Failure | None, str]:
    """Read a failure: ours, and the record's own words when ours say less than they do."""
    if value is None:
        return None, ""
    if not isinstance(value, str):
        return Failure.UNKNOWN, "the failure is not a text"
    if (own := _OWN.get(value)) is not None:
        return own, ""
    words = clean(value)[:300]
    if (known := _LEGACY.get(value)) is not None:
        return known, words
    lower = words.lower()
    return next((failure for phrase, failure in _WORDS if phrase in lower), Failure.UNKNOWN), words
