"""Headers that tell who or where the client is, whatever they say: cookies, and echoes of the request.

Proxies and content networks add the client's address and place to a request under many names, and some
servers send them back. Names are judged by their words, for there are too many to list.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache

from measurements.commitments import is_mark, mark

Mark = Callable[[str, str], str]
"""Makes what is put in the place of a value, of its kind and itself."""

COOKIE, CLIENT = mark("cookie", None), mark("client", None)
MAX_COOKIE_NAME = 64

_FLAGS = re.compile(r"\s*(secure|httponly|partitioned|samesite=[a-z]+|domain=[a-z0-9.-]{1,253})\s*", re.IGNORECASE)

_ALONE = {
    *("forwarded", "x-forwarded", "x-forwarded-for", "forwarded-for", "x-original-forwarded-for"),
    *("x-ip", "x-proxyuser-ip", "x-akamai-edgescape", "x-client-geo-location", "x-user-geo", "cf-pseudo-ipv4"),
}
_ONE_WORD = {"clientip", "clientaddr", "userip", "msisdn", "imsi", "imei"}  # the last are what mobile networks add
_WHO = {
    *("client", "real", "remote", "connecting", "originating", "user", "visitor", "true", "external", "viewer"),
    *("your", "my", "peer"),
}
_ADDRESS = {"ip", "ipv4", "ipv6", "ipaddr", "addr", "address", "host", "hostname"}
_WHERE = {"cf", "geo", "geoip", "ip", "appengine", "viewer", "client", "user", "visitor"}
_PLACE = {
    *("city", "citylatlong", "latlong", "latitude", "longitude", "postal", "zip", "region", "metro", "dma"),
    *("timezone", "ipcity", "iplatitude", "iplongitude"),
}


def quiet(name: str, value: str, instead: Mark, *, again: bool = False) -> str:
    """Return a header's value without what it tells about the client.

    `again` says that these headers were redacted before, so that the marks in them are ours. A server may write one
    as well: else it is taken for any other value, unless it carries nothing.
    """
    name = name.lower()
    if name in ("set-cookie", "set-cookie2"):
        return _cookie(value, instead, again)
    if name != "cookie" and not (value and _tells(name)):
        return value
    return value if _stays(value, again) else instead("cookie" if name == "cookie" else "client", value)


def _stays(value: str, again: bool) -> bool:
    return is_mark(value) and (again or value in (COOKIE, CLIENT))


@lru_cache(maxsize=4096)
def _tells(name: str) -> bool:
    words = set(re.split(r"[-_]", name))
    who = bool(words & _WHO and words & _ADDRESS)
    where = bool(words & _WHERE and words & _PLACE)
    return who or where or name in _ALONE or bool(words & _ONE_WORD)


def _cookie(value: str, instead: Mark, again: bool) -> str:
    """Keep what a cookie is called and where it may go; drop what it says and how long."""
    pair, *attributes = value.split(";")
    name, told = pair.partition("=")[::2] if "=" in pair else ("", pair)
    name = name.strip()
    if len(name) > MAX_COOKIE_NAME and "[redacted:" not in name:  # that may have made it longer
        name = ""
    kept = [match[1] for attribute in attributes if (match := _FLAGS.fullmatch(attribute))]
    said = told if _stays(told, again) else instead("cookie", value)
    return "; ".join((f"{name}={said}" if name else said, *kept))
