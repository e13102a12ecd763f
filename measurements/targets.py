"""Targets: a URL is normalised once, and a list of them is read whole or refused in words.

A normal URL is what a browser would ask for (WHATWG URL), with the freedom taken out: lower-case
scheme and ASCII host (UTS-46), no default port, no fragment, no dot segments, a path of at least
"/", escapes in capitals. `normalise` is idempotent, so that two lists which name one page in two
ways give one series of measurements.

What a browser would silently repair in ways that hide the host (userinfo, backslashes, `0x7f.1`,
escapes in the host name) is refused instead: a measurement must be about what its reader believes.
"""

from __future__ import annotations

import csv
import io
import ipaddress
import re
from collections.abc import Iterator
from urllib.parse import quote

import idna

from measurements.model import Target

PORTS = {"http": 80, "https": 443}
MAX_URL = 8192
CATEGORIES = frozenset(
    "ALDR ANON COMM COMT CTRL CULTR DATE ECON ENV FILE GAME GMB GOVT GRP HACK HATE "  # noqa: SIM905
    "HOST HUMR IGO LGBT MILX MISC MMED NEWS POLR PORN PROV PUBH REL SRCH XED".split()
)
"""The category codes of the Citizen Lab test lists."""

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):(.*)", re.DOTALL)
_PARTS = re.compile(r"([^/?#]*)([^?#]*)(?:\?([^#]*))?(?:#.*)?", re.DOTALL)
_LABEL = re.compile(r"[a-z0-9_-]+")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
_STRAY_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")
_ESCAPE = re.compile(r"%[0-9A-Fa-f]{2}")
_UNSAFE_IN_PATH = re.compile(r"""[^\x21-\x7e]|["<>`{}^]""")
_UNSAFE_IN_QUERY = re.compile(r"""[^\x21-\x7e]|["<>']""")


class BadTarget(ValueError):
    """A URL or a list of them that is not asked; the message says why and what to write instead."""


def normalise(url: str, *, default_scheme: str | None = None, category: str = "", country: str = "") -> Target:
    """Write a URL in its one normal form, or raise `BadTarget` with the reason.

    With `default_scheme` a bare `example.org/page` is taken as a person means it; without it a
    scheme must be there.
    """
    try:
        _refuse_odd_characters(url)
        scheme, rest = _split_scheme(url, default_scheme)
        authority, path, query = _PARTS.fullmatch(rest).groups()  # type: ignore[union-attr]  # matches any text
        host, port = _split_authority(authority, PORTS[scheme])
        bare = not url.partition("//")[0].endswith(":")
        if bare and not _could_be_public(host):
            raise BadTarget("is one word; write the site's whole name, such as example.org")
        netloc = f"[{host}]" if ":" in host else host
        netloc += "" if port == PORTS[scheme] else f":{port}"
        tail = "" if query is None else "?" + _escape(query, _UNSAFE_IN_QUERY)
        normal = f"{scheme}://{netloc}{_normal_path(path)}{tail}"
        if len(normal) > MAX_URL:
            raise BadTarget(f"is longer than {MAX_URL} characters")
    except BadTarget as error:
        raise BadTarget(f"{_shown(url)} {error}") from None
    return Target(url=normal, scheme=scheme, host=host, port=port, category=category, country=country)


def normalise_host(host: str) -> str:
    """Write a host name or an IPv4 address in its one ASCII form; raise `BadTarget` with the reason."""
    if not host.isascii():
        try:
            host = idna.uts46_remap(host, std3_rules=False, transitional=False)
        except idna.IDNAError as error:
            raise BadTarget(f"has a host that is no name (UTS-46: {error})") from None
    host = host.lower().removesuffix(".")
    labels = host.split(".")
    if _NUMBER.fullmatch(labels[-1]):
        return _exact_ipv4(host)
    name = ".".join(_normal_label(label) for label in labels)
    if len(name) > 253:
        raise BadTarget(f"has a host of {len(name)} characters; a name has at most 253")
    return name


def read_targets(text: str, origin: str, *, skip_bad_lines: bool = False) -> tuple[list[Target], list[str]]:
    """Read a list of targets: CSV in the Citizen Lab columns, or one URL a line with # comments.

    Returns the targets in order, each once, and a sentence for every line that was left out: one
    that names a target again, and with `skip_bad_lines` one that is bad. Without it any bad line
    raises `BadTarget` naming all of them by line; so does a list with nothing to ask.
    """
    targets: dict[str, Target] = {}
    lines: dict[str, int] = {}
    bad: list[str] = []
    repeated: list[str] = []
    for number, row in _rows(text, origin):
        try:
            target = _target(row)
        except BadTarget as error:
            bad.append(f"{origin} line {number}: {error}")
            continue
        if target.url in targets:
            repeated.append(f"{origin} line {number}: {target.url} is on line {lines[target.url]} already")
            continue
        targets[target.url] = target
        lines[target.url] = number
    if bad and not skip_bad_lines:
        raise BadTarget("\n".join(bad))
    if not targets:
        raise BadTarget("\n".join([f"{origin} holds no URL that can be asked", *bad]))
    return list(targets.values()), bad + repeated


def _rows(text: str, origin: str) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield (line, {column: value}) for every line that says something."""
    lines = io.StringIO(text.removeprefix("\ufeff"), newline=None).readlines()
    first = next((n for n, line in enumerate(lines) if line.strip() and not line.lstrip().startswith("#")), 0)
    head = lines[first] if lines else ""
    delimiter = next((d for d in ",;\t" if "url" in _columns(head, d)), None)
    if delimiter is None:
        for number, line in enumerate(lines, 1):
            if line.strip() and not line.lstrip().startswith("#"):
                yield number, {"url": re.split(r"\s#", line, maxsplit=1)[0].strip()}
        return
    columns = _columns(head, delimiter)
    reader = csv.reader(lines[first + 1 :], delimiter=delimiter, strict=True)
    begin = first + 2
    try:
        for cells in reader:
            if any(cell.strip() for cell in cells) and not cells[0].lstrip().startswith("#"):
                yield begin, dict(zip(columns, (cell.strip() for cell in cells), strict=False))
            begin = first + 2 + reader.line_num
    except csv.Error as error:
        raise BadTarget(f"{origin} line {begin}: no CSV from here on ({error}); close the quotation mark") from None


def _columns(head: str, delimiter: str) -> list[str]:
    return [cell.strip().strip('"').strip().lower() for cell in head.split(delimiter)]


def _target(row: dict[str, str]) -> Target:
    url = row.get("url", "")
    if not url:
        raise BadTarget("the column url is empty")
    if len(row) == 1 and url.count(",") and url.split(",")[1] in CATEGORIES:
        raise BadTarget("this is CSV, so the first line must name the columns: url,category_code,…")
    return normalise(url, category=row.get("category_code", "").upper(), country=row.get("country", "").upper())


def _refuse_odd_characters(url: str) -> None:
    if not url:
        raise BadTarget("is empty; write a URL such as https://example.org/")
    if len(url) > MAX_URL:
        raise BadTarget(f"is longer than {MAX_URL} characters")
    for character in url:
        if character.isspace():
            raise BadTarget("holds a space; write it as %20, or leave it out")
        if ord(character) < 0x20 or 0x7F <= ord(character) < 0xA0 or 0xD800 <= ord(character) < 0xE000:
            raise BadTarget(f"holds a control character (U+{ord(character):04X})")
    if "\\" in re.split(r"[?#]", url, maxsplit=1)[0]:
        raise BadTarget("holds a backslash; write /")


def _split_scheme(url: str, default: str | None) -> tuple[str, str]:
    """Split into a scheme and what follows "//"."""
    match = _SCHEME.fullmatch(url)
    if match and (match[2].startswith("//") or not _is_host_and_port(match[1], match[2])):
        scheme = match[1].lower()
        if scheme not in PORTS:
            raise BadTarget(f"has the scheme {scheme}; only http and https are asked")
        if not match[2].startswith("//"):
            raise BadTarget(f"has no // after {scheme}:; write {scheme}://…")
        return scheme, match[2][2:]
    if default is None:
        raise BadTarget("has no scheme; write https:// before it")
    return default, url.removeprefix("//")


def _is_host_and_port(before: str, after: str) -> bool:
    """Tell `example.org:8080/` from `mailto:someone`, where both look like a scheme."""
    return "." in before or re.match(r"[0-9]+(?:[/?#]|$)", after) is not None


def _split_authority(authority: str, default_port: int) -> tuple[str, int]:
    if "@" in authority:
        raise BadTarget("holds a user name or password; leave out what stands before the @")
    if authority.startswith("["):
        inside, bracket, rest = authority[1:].partition("]")
        if not bracket or (rest and not rest.startswith(":")):
            raise BadTarget("has brackets that do not close around an IPv6 address")
        return _exact_ipv6(inside), _port(rest[1:], default_port)
    host, _, port = authority.partition(":")
    if ":" in port:
        raise BadTarget("has more than one colon in its host; write an IPv6 address in brackets: [2001:db8::1]")
    if not host:
        raise BadTarget("names no host")
    return normalise_host(host), _port(port, default_port)


def _port(text: str, default: int) -> int:
    if not text:
        return default
    if not re.fullmatch(r"[0-9]+", text):
        raise BadTarget(f"has the port {_shown(text)}, which is no number")
    number = int(text[-6:]) if len(text) <= 6 or not text[:-6].strip("0") else 0
    if not 1 <= number <= 65535:
        raise BadTarget(f"has the port {_shown(text)}; a port is from 1 to 65535")
    return number


def _exact_ipv6(text: str) -> str:
    if "%" in text:
        raise BadTarget("has an IPv6 address with a zone, which means something on one machine only")
    try:
        return str(ipaddress.IPv6Address(text))
    except ValueError:
        raise BadTarget(f"has [{_shown(text)}], which is no IPv6 address") from None


def _exact_ipv4(host: str) -> str:
    try:
        return str(ipaddress.IPv4Address(host))
    except ValueError:
        raise BadTarget(
            f"has the host {_shown(host)}, which ends in a number as an IPv4 address does; "
            "write four decimal numbers, such as 192.0.2.1"
        ) from None


def _normal_label(label: str) -> str:
    """Check one label, already lower case, and write it in ASCII.

    ASCII labels are taken as browsers take them (an underscore, a double hyphen), for such hosts
    exist; IDNA's rules hold for the rest.
    """
    if not label:
        raise BadTarget("has an empty label in its host (two dots together, or one in front)")
    if not label.isascii():
        try:
            label = idna.alabel(label).decode("ascii")
        except idna.IDNAError as error:
            raise BadTarget(f"has a host that is no name (IDNA: {error})") from None
    if len(label) > 63:
        raise BadTarget(f"has a label of {len(label)} characters in its host; a label has at most 63")
    if not _LABEL.fullmatch(label):
        raise BadTarget(f"has the host label {_shown(label)}; a name is letters, digits and hyphens")
    return label


def _could_be_public(host: str) -> bool:
    return "." in host or ":" in host or host == "localhost"


def _normal_path(path: str) -> str:
    """Escape a path and take its dot segments out, as a browser does."""
    kept: list[str] = []
    segments = [_escape(segment, _UNSAFE_IN_PATH) for segment in path.split("/")[1:]]
    for position, segment in enumerate(segments, 1):
        plain = segment.replace("%2E", ".")
        if plain not in (".", ".."):
            kept.append(segment)
            continue
        if plain == "..":
            del kept[-1:]
        if position == len(segments):
            kept.append("")
    return "/" + "/".join(kept)


def _escape(text: str, unsafe: re.Pattern[str]) -> str:
    text = _ESCAPE.sub(lambda match: match[0].upper(), _STRAY_PERCENT.sub("%25", text))
    return unsafe.sub(lambda match: quote(match[0], safe=""), text)


def _shown(text: str) -> str:
    """Quote text from outside for a message: one printable line, not long, without a password."""
    text = re.sub(r"^([A-Za-z][A-Za-z0-9+.-]*://|//)?[^/?#]*@", r"\1***@", text)
    text = "".join(c if c.isprintable() else f"\\u{ord(c):04x}" for c in text)
    return text if len(text) <= 100 else text[:100] + "…"
