"""What the value of a setting may be, one small reader each.

A reader takes what a file, a variable or a flag said and returns the value to use, or raises
`ValueError` whose message tells what to write instead. Text does for every value, because the
environment has nothing else.
"""

from __future__ import annotations

import ipaddress
import json
import re
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from measurements.alerts.notice import Change
from measurements.bogons import BadBogons, Bogons
from measurements.events.nouns import Kind
from measurements.targets import BadTarget, normalise, normalise_host
from probe.network import Witness
from probe.settings.layers import SHIPPED, SettingsError, read_text

N = TypeVar("N", int, float)

MAX_DATA_FILE = 16 * 1024 * 1024
SYSTEM = "system"


def between(read: Callable[[object], N], low: N, high: N, show: Callable[[N], str]) -> Callable[[object], N]:
    """Make a reader whose value must lie between two bounds."""

    def bounded(value: object) -> N:
        number = read(value)
        if not low <= number <= high:
            raise ValueError(f"must be from {show(low)} to {show(high)}")
        return number

    return bounded


def count(value: object) -> int:
    """Read a whole number."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, str) and re.fullmatch(r"\s*[0-9]{1,12}\s*", value, re.ASCII):
        return int(value)
    raise ValueError("write a whole number")


def number(value: object) -> float:
    """Read a number, whole or not."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    if isinstance(value, str) and re.fullmatch(r"\s*[0-9]{1,12}(\.[0-9]{1,12})?\s*", value, re.ASCII):
        return float(value)
    raise ValueError("write a number such as 0.5")


def switch(value: object) -> bool:
    """Read true or false."""
    if isinstance(value, bool):
        return value
    words = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}
    if isinstance(value, str) and value.strip().lower() in words:
        return words[value.strip().lower()]
    raise ValueError("write true or false")


def listed(value: object) -> object:
    """Read a list: as such, as JSON, or as text with commas."""
    if not isinstance(value, str):
        return value
    if value.lstrip().startswith("["):
        try:
            return json.loads(value)
        except ValueError as error:
            raise ValueError(f"is no JSON list ({error}); write values with commas between them") from None
    return [part.strip() for part in value.split(",") if part.strip()]


def tables(name: str) -> Callable[[object], object]:
    """Make a reader of a list of tables; where there are none, nobody need write any."""

    def listed_tables(value: object) -> object:
        if not isinstance(value, list) or not value:
            raise ValueError(f"must be a table; write [[{name}]], with two brackets")
        return value

    return listed_tables


def one_of(*words: str) -> Callable[[object], str]:
    """Make a reader whose value must be one of some words."""

    def chosen(value: object) -> str:
        if isinstance(value, str) and value.strip().lower() in words:
            return value.strip().lower()
        raise ValueError(f"must be one of {', '.join(words)}")

    return chosen


def kind(value: object) -> Kind:
    """Read what an event is about."""
    return Kind(one_of(*Kind)(value))


def change(value: object) -> Change:
    """Read what may be new about an event."""
    return Change(one_of(Change.OPENED, Change.UPDATED, Change.CLOSED)(value))


def category(value: object) -> str:
    """Read a category of the Citizen Lab's lists."""
    if isinstance(value, str) and re.fullmatch(r"\s*[A-Za-z]{3,5}\s*", value, re.ASCII):
        return value.strip().upper()
    raise ValueError('write a category of the Citizen Lab, such as "NEWS" or "GRP"')


def public_url(value: object) -> str:
    """Read where people can see what was measured; returns it without a slash at its end."""
    url = web_url(value)
    parts = urlsplit(url)
    if parts.query or parts.fragment:
        raise ValueError("must end before ? and #, for paths are put behind it")
    return url.rstrip("/")


def moments(value: object) -> object:
    """Read a list of tables, which may be empty."""
    if not isinstance(value, list):
        raise ValueError("must be a table; write [[campaign.moment]], with two brackets, below its [[campaign]]")
    return value


def distinct(values: tuple[Any, ...]) -> tuple[Any, ...]:
    """Refuse a list that says something twice."""
    again = next((value for place, value in enumerate(values) if value in values[:place]), None)
    if again is not None:
        raise ValueError(f"names {getattr(again, 'name', again)} twice; leave one out")
    return values


def resolver(value: object) -> str:
    """Read "system" or a resolver's address; returns "system", "ip:port" or "[ip6]:port"."""
    wanted = ValueError('write "system", or an address such as "192.0.2.53", "192.0.2.53:5353" or "[2001:db8::53]:53"')
    if not isinstance(value, str):
        raise wanted
    text = value.strip()
    if text.lower() == SYSTEM:
        return SYSTEM
    found = re.fullmatch(r"\[([^\]%]+)\](?::([0-9]{1,5}))?|([^:]+)(?::([0-9]{1,5}))?", text, re.ASCII)
    try:
        address = ipaddress.ip_address(found[1] or found[3] if found else text)
    except ValueError:
        raise wanted from None
    port = int((found[2] or found[4] or 53) if found else 53)
    if not 1 <= port <= 65535 or getattr(address, "scope_id", None):
        raise wanted
    return f"[{address}]:{port}" if address.version == 6 else f"{address}:{port}"


def doh_url(value: object) -> str:
    """Read the URL of a DNS-over-HTTPS resolver (RFC 8484)."""
    if isinstance(value, str) and "{" in value:
        raise ValueError("is a template; leave out what is in braces, for the question is sent as POST")
    url = web_url(value)
    if not url.startswith("https://"):
        raise ValueError("must begin with https://, or nothing would vouch for its answers")
    return url


def web_url(value: object) -> str:
    """Read an http:// or https:// URL and write it in its normal form."""
    if not isinstance(value, str):
        raise ValueError('write a URL such as "https://192.0.2.1/"')
    try:
        return normalise(value.strip()).url
    except BadTarget as error:
        raise ValueError(str(error)) from None


def witness(value: object) -> Witness:
    """Read a witness: a host name, or a table {name = "…", domestic = true}."""
    if isinstance(value, Witness):
        return value
    table: dict[object, object] = value if isinstance(value, dict) else {"name": value}
    name = table.get("name")
    if not isinstance(name, str) or not table.keys() <= {"name", "domestic"}:
        raise ValueError('write a host name, or { name = "example.org", domestic = true }')
    try:
        host = normalise_host(name.strip())
    except BadTarget as error:
        raise ValueError(f"{error}; write a host name such as example.org") from None
    if "." not in host or host.replace(".", "").isdigit():
        raise ValueError("is no public host name; write one such as example.org")
    return Witness(host, domestic=switch(table.get("domestic", False)))


def certificates(value: object) -> Path:
    """Read the path of a PEM file with at least one certificate."""
    path = file_path(value)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        context.load_verify_locations(cafile=path)
    except ssl.SSLError:
        pass  # what it could not read is missing from the store, which is asked next
    except OSError as error:
        raise ValueError(f"cannot be read ({error.strerror}); correct the path or its permissions") from None
    if not context.cert_store_stats()["x509"]:
        raise ValueError("holds no certificate in PEM form (-----BEGIN CERTIFICATE-----)")
    return path


def asn_database(value: object) -> Path:
    """Read the path of a database of networks that can be read."""
    from probe.asn import BadDatabase, open_asns  # here, because most commands need none

    path = file_path(value)
    try:
        open_asns(path)
    except BadDatabase as error:
        raise ValueError(str(error)) from None
    return path


def bogon_list(value: object) -> Path:
    """Read the path of a bogon list that can be read."""
    path = file_path(value)
    try:
        Bogons.parse(read_text(path, MAX_DATA_FILE), str(path))
    except (BadBogons, SettingsError) as error:
        raise ValueError(str(error)) from None
    return path


def file_path(value: object) -> Path:
    """Read a path; ~ is the user's home."""
    if not isinstance(value, str | Path) or not str(value).strip() or "\0" in str(value):
        raise ValueError("write the path of a file")
    return Path(value).expanduser()


def fingerprints(value: object) -> Path | str:
    """Read what names lists of fingerprints: "shipped", or the path of a CSV file or of a folder of them."""
    if value == SHIPPED:
        return SHIPPED
    try:
        path = file_path(value)
    except ValueError:
        raise ValueError('write "shipped", or the path of a CSV file or of a folder of them') from None
    if not path.exists():
        raise ValueError("there is no such file or folder; correct the path")
    return path


def targets(value: object) -> Path | tuple[str, ...]:
    """Read what a campaign asks about: the path of a list, or the URLs themselves."""
    if isinstance(value, list) and value and all(isinstance(url, str) for url in value):
        return tuple(value)
    if isinstance(value, str | Path):
        return file_path(value)
    raise ValueError('write the path of a list, or URLs such as ["https://example.org/"]')


def nettest(value: object) -> str:
    """Read the name of a nettest."""
    from probe.nettests import NETTESTS  # here, because most commands measure nothing

    if value not in NETTESTS:
        raise ValueError(f"must be one of {', '.join(sorted(NETTESTS))}")
    return str(value)


def country(value: object) -> str:
    """Read a country's two letters."""
    if isinstance(value, str) and re.fullmatch(r"\s*[A-Za-z]{2}\s*", value, re.ASCII):
        return value.strip().upper()
    raise ValueError('write the two letters of a country, such as "TZ"')


def asn(value: object) -> int:
    """Read the number of a network, with or without AS before it."""
    digits = re.fullmatch(r"\s*(?:AS)?([0-9]{1,10})\s*", str(value), re.ASCII | re.IGNORECASE)
    if isinstance(value, bool) or digits is None or not 1 <= int(digits[1]) < 2**32:
        raise ValueError('write the number of your network, such as 64496 or "AS64496"')
    return int(digits[1])


def label(value: object) -> str:
    """Read a name that is safe in a file name, a log line and a table."""
    if isinstance(value, str) and re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}", value, re.ASCII):
        return value
    raise ValueError("write 1 to 64 letters, digits, dots, hyphens or underscores, the first a letter or digit")


def store_url(value: object) -> str:
    """Read the URL of a database."""
    wanted = 'write "sqlite:////folder/wazi.db" or "postgresql://user@host/database"'
    if not isinstance(value, str):
        raise ValueError(wanted)
    postgres = r"postgres(ql(\+psycopg)?)?://[^/?]*/[^/?]+(\?.*)?"
    if re.fullmatch(rf"sqlite:///(?!:memory:)[^?]+(\?.*)?|{postgres}", value):
        return value
    raise ValueError(wanted)


def hide_secrets(text: str) -> str:
    """Write a URL without its password."""
    text = re.sub(r"(://[^:/@?]*):.*@", r"\1:***@", text)
    return re.sub(r"([?&](?:password|sslpassword)=)[^&]*", r"\1***", text)
