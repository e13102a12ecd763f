"""Fingerprints: what known blockers' pages, answers and certificates look like, and finding that in a measurement.

The lists are data, in the columns of OONI's blocking-fingerprints, so that a user's copy of that list is read
as well as ours (`config/fingerprints`). To their locations (`body`, `header.NAME`, `dns`) are added `title` and
`certificate.issuer`, `.subject`, `.san` and `.sha256` (of the leaf). A pattern is the whole text (`full`), its
beginning (`prefix`), a part of it (`contains`), or a `regexp` as `patterns` reads it; case matters, except in
names of the DNS and of headers.

This module says what is there, and never what it means: see `artefacts`. Each list is sorted once into what one
look at a text answers: whole texts and beginnings by dictionary, parts by Aho-Corasick; a regexp is run only
where a piece of plain text from it was found.
"""

from __future__ import annotations

import csv
import io
import ipaddress
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from typing import Any

import ahocorasick

from measurements.model import DnsLookup, HttpExchange, TlsHandshake
from measurements.patterns import Alternative, BadPattern, translate

COLUMNS = (
    *("name", "scope", "other_names", "location_found", "pattern_type", "pattern"),
    *("confidence_no_fp", "expected_countries", "source", "exp_url", "notes"),
)
KINDS = ("full", "prefix", "contains", "regexp")
CERTIFICATE = ("issuer", "subject", "san", "sha256")
VETO = "fp"
"""The scope of false-positive signatures: of bot walls, default pages and the like."""

MOST_ROWS = 20_000
LONGEST_PATTERN = 16_384
LONGEST_TEXT = 128 * 1024
LONGEST_HEADER = 8192
MOST_HITS = 500_000  # of parts in one text, where each place may end many
MOST_SHOWN = 20  # bad lines that are told one by one
SHORTEST = 3

_HEADER = re.compile(r"header\.[a-z0-9!#$%&'*+.^_`|~-]{1,80}")
_CHARSET = re.compile(rb"charset\s*=\s*[\"']?([A-Za-z0-9_:-]{1,20})", re.IGNORECASE)
_CODECS = frozenset(
    ["utf-8", "utf8", "us-ascii", "utf-16", "utf-16le", "utf-16be", "koi8-r", "koi8-u", "gb2312", "gbk", "gb18030"]
    + ["big5", "shift_jis", "euc-jp", "euc-kr", "tis-620", "windows-874"]
    + [f"windows-125{n}" for n in range(9)]
    + [f"iso-8859-{n}" for n in range(1, 17)]
)
"""What pages are written in. Python knows more codecs, some of which take a hostile page's time."""
_SAME = {"windows-874": "cp874", "tis-620": "tis_620", "iso-8859-12": "latin-1"}


class BadFingerprints(ValueError):
    """A list that cannot be read; the message names its line, its column and what to write."""


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """One row: what to look for, where, and what the list says of it.

    `confidence` is from 0 to 10, `countries` are two capital letters each, and `source` names the list and its
    digest, so that a verdict can say by what it was reached.
    """

    name: str
    scope: str
    location: str
    kind: str
    pattern: str
    confidence: int = 5
    countries: frozenset[str] = frozenset()
    source: str = ""

    @property
    def mark(self) -> str:
        """The name, the list and its whole digest."""
        return f"{self.name} ({self.source})" if self.source else self.name


class Fingerprints:
    """Rows of one or more lists, ready to be looked for. Immutable; the default one finds nothing."""

    def __init__(self, rows: Iterable[Fingerprint] = ()) -> None:
        self.rows = tuple(rows)

    @cached_property
    def _sought(self) -> dict[str, _Sought]:
        """What to look for in each location, made when it is first asked for."""
        by_location: dict[str, list[Fingerprint]] = {}
        for row in self.rows:
            by_location.setdefault(row.location, []).append(row)
        return {location: _Sought(rows) for location, rows in by_location.items()}

    def _in(self, location: str, *texts: str) -> Iterator[Fingerprint]:
        sought = self._sought.get(location)
        if sought is not None:
            for text in texts:
                yield from sought.found_in(text)

    def in_page(self, page: HttpExchange) -> tuple[Fingerprint, ...]:
        """Find what a page's body, title and headers hold, each row once, in the order of the lists."""
        found = set(self._in("title", (page.title or "")[:LONGEST_HEADER]))
        for name, value in page.headers:
            found.update(self._in(f"header.{name.lower()}", value[:LONGEST_HEADER]))
        if page.body and "body" in self._sought:
            whole = page.body_length <= len(page.body)
            found.update(row for row in self._in("body", text_of(page)) if whole or row.kind != "full")
        return self._ordered(found)

    def in_answer(self, lookup: DnsLookup) -> tuple[Fingerprint, ...]:
        """Find what the addresses and the names of any reply to a question say."""
        answers = (answer for reply in lookup.valid_replies for answer in reply.answers)
        return self._ordered(set(self._in("dns", *(_dns_text(answer.data) for answer in answers))))

    def in_certificate(self, hands: TlsHandshake) -> tuple[Fingerprint, ...]:
        """Find what the leaf of a chain says of its issuer, its subject and its names (RFC 4514, RFC 5280)."""
        if not any(location.startswith("certificate.") for location in self._sought):
            return ()
        said = _certificate(hands.chain[0]) if hands.chain else {}
        if hands.issuer is not None:
            said.setdefault("issuer", (hands.issuer,))
        return self._ordered({row for part, texts in said.items() for row in self._in(f"certificate.{part}", *texts)})

    def _ordered(self, found: set[Fingerprint]) -> tuple[Fingerprint, ...]:
        return tuple(sorted(found, key=self._place.__getitem__)) if found else ()

    @cached_property
    def _place(self) -> dict[Fingerprint, int]:
        return {row: place for place, row in reversed(tuple(enumerate(self.rows)))}


class _Sought:
    """The rows of one location, sorted by how they are looked for."""

    def __init__(self, rows: list[Fingerprint]) -> None:
        self._full: dict[str, list[Fingerprint]] = {}
        self._prefixes: dict[int, dict[str, list[Fingerprint]]] = {}
        needles: dict[str, list[tuple[Fingerprint, Alternative | None]]] = {}
        for row in rows:
            match row.kind:
                case "full":
                    self._full.setdefault(row.pattern, []).append(row)
                case "prefix":
                    self._prefixes.setdefault(len(row.pattern), {}).setdefault(row.pattern, []).append(row)
                case "contains":
                    needles.setdefault(row.pattern, []).append((row, None))
                case _:
                    for one in translate(row.pattern):
                        needles.setdefault(one.needle, []).append((row, one))
        self._automaton = _automaton(needles)

    def found_in(self, text: str) -> Iterator[Fingerprint]:
        yield from self._full.get(text, ())
        for length, rows in self._prefixes.items():
            yield from rows.get(text[:length], ())
        if self._automaton is None:
            return
        hits = {place: found for _, (place, found) in islice(self._automaton.iter(text), MOST_HITS)}
        for found in hits.values():
            for row, alternative in found:
                if alternative is None or alternative.found_in(text):
                    yield row


def _automaton(needles: dict[str, list[tuple[Fingerprint, Alternative | None]]]) -> Any:
    if not needles:
        return None
    made = ahocorasick.Automaton()
    for place, (needle, rows) in enumerate(needles.items()):
        made.add_word(needle, (place, rows))
    made.make_automaton()
    return made


def text_of(page: HttpExchange) -> str:
    """Decode a body by the charset of its header, else of its own head, else as UTF-8; what is wrong is replaced."""
    declared = _CHARSET.search((page.header("content-type") or "").encode()) or _CHARSET.search(page.body[:1024])
    codec = declared[1].decode().lower() if declared else "utf-8"
    codec = _SAME.get(codec, codec) if codec in _CODECS else "utf-8"
    return page.body[:LONGEST_TEXT].decode(codec, "replace").removeprefix("\ufeff")


def _dns_text(data: str) -> str:
    """Write an address or a name in its one form."""
    try:
        return str(ipaddress.ip_address(data))
    except ValueError:
        return data.lower().removesuffix(".")


def _certificate(der: bytes) -> dict[str, tuple[str, ...]]:
    """Read what a certificate says; nothing where it cannot be read."""
    from hashlib import sha256  # here, with the next one, for few lists speak of certificates

    from cryptography import x509

    said: dict[str, tuple[str, ...]] = {"sha256": (sha256(der).hexdigest(),)}
    try:
        leaf = x509.load_der_x509_certificate(der)
        said["issuer"] = (leaf.issuer.rfc4514_string()[:LONGEST_HEADER],)
        said["subject"] = (leaf.subject.rfc4514_string()[:LONGEST_HEADER],)
        names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        said["san"] = tuple(name.lower() for name in names.get_values_for_type(x509.DNSName)[:100])
    except (ValueError, x509.ExtensionNotFound, x509.DuplicateExtension, x509.UnsupportedGeneralNameType):
        pass
    return said


# -- reading a list


def read_fingerprints(
    text: str, origin: str, source: str, *, skip_bad_lines: bool = False
) -> tuple[list[Fingerprint], list[str]]:
    """Read a list of fingerprints, a CSV whose first line names `COLUMNS`.

    Returns its rows, and with `skip_bad_lines` a sentence for each line that was left out; without it, a bad line
    raises `BadFingerprints`. `source` is what a row's `mark` says of the list. `origin` names it to people.
    """
    rows: list[Fingerprint] = []
    bad: list[str] = []
    for line, cells in _cells(text, origin):
        if len(rows) == MOST_ROWS:
            raise BadFingerprints(f"{origin} line {line}: has more than {MOST_ROWS} rows; is it the right file?")
        try:
            rows.append(_row(cells, source))
        except BadFingerprints as error:
            bad.append(f"{origin} line {line}, {error}")
    if bad and not skip_bad_lines:
        more = [f"{origin}: {len(bad) - MOST_SHOWN} more lines are bad"] if len(bad) > MOST_SHOWN else []
        raise BadFingerprints("\n".join([*bad[:MOST_SHOWN], *more]))
    return rows, bad


def _cells(text: str, origin: str) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield (line, {column: value}) of every row; the columns may stand in any order, and others beside them."""
    reader = csv.reader(io.StringIO(text.removeprefix("\ufeff"), newline=""), strict=True)
    columns: list[str] | None = None
    line = 1
    try:
        for cells in reader:
            if not any(cell.strip() for cell in cells):
                pass
            elif columns is None:
                columns = [cell.strip().lower() for cell in cells]
                if missing := [column for column in COLUMNS if column not in columns]:
                    raise BadFingerprints(
                        f"{origin} line {line}: does not name the column {missing[0]}; write {','.join(COLUMNS)}"
                    )
            elif len(cells) != len(columns):
                yield line, {"": f"{len(cells)} columns where {len(columns)} are named"}
            else:
                yield line, dict(zip(columns, cells, strict=True))
            line = reader.line_num + 1
    except csv.Error as error:
        raise BadFingerprints(
            f"{origin} line {line}: no CSV from here on ({error}); close the quotation mark, or double one within"
        ) from None
    if columns is None:
        raise BadFingerprints(f"{origin}: is empty; write {','.join(COLUMNS)} on the first line")


def _row(cells: dict[str, str], source: str) -> Fingerprint:
    """Read one row; the complaint names the column."""
    if "" in cells:
        raise BadFingerprints(f"columns: {cells['']}; quote a value that has a comma")
    name = cells["name"].strip()
    if not name or len(name) > 200 or not name.isprintable():
        raise BadFingerprints("name: must be a name of at most 200 characters")
    location = cells["location_found"].strip().lower()
    known = location in ("body", "title", "dns", *(f"certificate.{part}" for part in CERTIFICATE))
    if not known and not _HEADER.fullmatch(location):
        raise BadFingerprints(
            f"location_found: {location[:40]!r} is no place; write body, title, header.NAME, dns or "
            f"certificate.{'|'.join(CERTIFICATE)}"
        )
    kind = cells["pattern_type"].strip().lower()
    if kind not in KINDS:
        raise BadFingerprints(f"pattern_type: {kind[:40]!r} is none; write {', '.join(KINDS)}")
    return Fingerprint(
        name=name,
        scope=cells["scope"].strip().lower()[:20],
        location=location,
        kind=kind,
        pattern=_pattern(cells["pattern"], location, kind),
        confidence=_confidence(cells["confidence_no_fp"]),
        countries=_countries(cells["expected_countries"]),
        source=source,
    )


def _pattern(text: str, location: str, kind: str) -> str:
    if not SHORTEST <= len(text) <= LONGEST_PATTERN:
        raise BadFingerprints(f"pattern: has {len(text)} characters; it must have {SHORTEST} to {LONGEST_PATTERN}")
    if kind == "regexp":
        try:
            translate(text)
        except BadPattern as error:
            raise BadFingerprints(f"pattern: {text[:40]!r} {error}") from None
    elif location == "dns":
        return _dns_text(text.strip())
    elif location in ("certificate.san", "certificate.sha256"):
        return text.strip().lower()
    return text


def _confidence(text: str) -> int:
    word = text.strip() or "5"
    if not (word.isascii() and word.isdigit() and len(word) <= 2 and int(word) <= 10):
        raise BadFingerprints(f"confidence_no_fp: {text[:20]!r} is no number from 0 to 10")
    return int(word)


def _countries(text: str) -> frozenset[str]:
    words = [word.strip().upper() for word in text.split(",") if word.strip()]
    if bad := [word for word in words if not (len(word) == 2 and word.isascii() and word.isalpha())]:
        raise BadFingerprints(f"expected_countries: {bad[0][:20]!r} is no country; write two letters, such as TZ")
    return frozenset(words)
