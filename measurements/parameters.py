"""What a captive portal knows of its guest, and writes into links, forms and scripts: `?mac=…&ssid=…&room=…`.

A parameter's name tells what it is. In a URL that a server sent us on to, every parameter goes that is called after
a guest, a device or a place; in a page, which may be about anything, only hardware addresses and names of wireless
networks that stand as a parameter, a field or a value of JSON. What the target's own URL
says stays: whoever chose the target wrote it. A value in which something was struck already stays as well.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from measurements.commitments import holds_mark
from measurements.disguises import Mark, Span, struck

_KEY = rb"[A-Za-z][A-Za-z0-9_.-]{0,30}"
_IN_URL = re.compile(
    rb"(?:[?&;#]|%3[fF]|%26|\\u0026)(?:amp;)?(" + _KEY + rb")(?:=|%3[dD])((?:(?!%26)[^&#;\s\"'<>\\]){1,200})"
)
_IN_TEXT = (
    re.compile(rb"(?<![A-Za-z0-9_.-])(" + _KEY + rb")\\?[\"']?\s{0,2}[:=]\s{0,2}\\?[\"']([^\"'<>\\\n]{1,100})\\?[\"']"),
    re.compile(rb"name=[\"'](" + _KEY + rb")[\"'][^<>]{0,100}?value=[\"']([^\"'<>\n]{1,100})[\"']", re.IGNORECASE),
)
_VALUE_FIRST = re.compile(
    rb"value=[\"']([^\"'<>\n]{1,100})[\"'][^<>]{0,100}?name=[\"'](" + _KEY + rb")[\"']", re.IGNORECASE
)
_SIGN_OF_DEVICE = re.compile(rb"mac(?:addr(?:ess)?)?(?:\\?[\"']|\s{0,2}[:=]|%3d)")
"""In small letters, what a text with a device's address as a parameter holds."""

_DEVICE = {"mac", "apmac", "clientmac", "usermac", "umac", "devmac", "devicemac", "stamac", "macaddr"}
_DEVICE |= {"bssid", "macaddress", "wlanapmac", "wlanusermac", "gwmac"}
_NETWORK = {"ssid", "essid", "wlanssid", "wifissid", "apssid"}
_GUEST = {
    *("ap", "apname", "called", "calling", "calledstationid", "callingstationid", "nasid", "nas", "nasip", "nasportid"),
    *("ip", "ipaddr", "ipaddress", "ipv4", "ipv6", "clientip", "userip", "uip", "cip", "srcip", "sourceip", "remoteip"),
    *("wlanuserip", "wlanacip", "wlanacname", "acname", "acip", "uamip", "switchip", "vlan", "vlanid"),
    *("user", "username", "uname", "userid", "phone", "mobile", "email", "subscriber"),
    *("room", "roomno", "roomnumber", "guest", "voucher", "hostname", "devicename", "sessionid", "token", "gwid"),
    *("gwaddress", "deviceid", "deviceip", "clienthost", "subscriberid", "userlogin", "wlan", "imsi", "imei", "msisdn"),
}
_IN_A_LINK = _DEVICE | _NETWORK | _GUEST
_HARDWARE = re.compile(rb"(?:[0-9A-Fa-f]{2}(?:[:\-.]|%3[aA]|%2[dD])?){5}[0-9A-Fa-f]{2}")
_NOTHING = re.compile(rb"[0-9]?|true|false|null|none|undefined|[{$<%].{0,99}", re.IGNORECASE)


@dataclass(frozen=True)
class Parameters:
    """Finds what a portal knows of its guest; `target` is the URL that was asked for."""

    target: bytes

    def suspects(self, text: bytes) -> bool:
        """Say whether `strike` could find anything in `text`."""
        small = text.lower()
        return b"ssid" in small or (b"mac" in small and _SIGN_OF_DEVICE.search(small) is not None)

    def suspects_read(self, text: bytes, bare: bytes) -> bool:
        """Say the same; escapes are not undone for this."""
        return self.suspects(text)

    def strike(self, text: bytes, mark: Mark) -> bytes:
        """Put a mark in the place of what a page says; the very same `text` when there is nothing."""
        return struck(text, self._apart(self._in_page(text)), mark) if self.suspects(text) else text

    def strike_url(self, text: bytes, mark: Mark) -> bytes:
        """Put a mark in the place of what a URL says; the very same `text` when there is nothing."""
        found = (m.span(2) for m in _IN_URL.finditer(text) if _meant(m[1]) and self._counts(m[2], m[0]))
        return struck(text, self._apart((start, end, text[start:end]) for start, end in found), mark)

    def in_binary(self, data: bytes) -> bool:
        """A certificate has no parameters."""
        return False

    def _in_page(self, text: bytes) -> Iterator[tuple[int, int, bytes]]:
        for pattern in (_IN_URL, *_IN_TEXT):
            for match in pattern.finditer(text):
                if _fits(match[1], match[2]) and self._counts(match[2], match[0]):
                    yield *match.span(2), match[2]
        for match in _VALUE_FIRST.finditer(text):
            if _fits(match[2], match[1]) and self._counts(match[1], match[0]):
                yield *match.span(1), match[1]

    def _counts(self, value: bytes, whole: bytes) -> bool:
        pair = whole.lstrip(b"?&;")
        return not (_NOTHING.fullmatch(value) or holds_mark(value) or (b"=" in pair and pair in self.target))

    def _apart(self, found: Iterator[tuple[int, int, bytes]]) -> list[Span]:
        spans: list[Span] = []
        for start, end, value in sorted(found):
            if not spans or start >= spans[-1].end:
                spans.append(Span(start, end, "parameter", value.decode("utf-8", "replace")))
        return spans


def _fits(key: bytes, value: bytes) -> bool:
    """Whether a pair in a page tells of a guest: the value must look like what the key says."""
    name = _folded(key)
    if name in _DEVICE:
        return _HARDWARE.fullmatch(value) is not None
    return name in _NETWORK


def _meant(key: bytes) -> bool:
    return _folded(key) in _IN_A_LINK


@lru_cache(maxsize=4096)
def _folded(key: bytes) -> str:
    return re.sub(r"[_.-]", "", key.decode("ascii").lower())
