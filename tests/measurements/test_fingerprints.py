"""Lists of fingerprints: every kind in every place, what a bad row says, and hostile pages."""

from __future__ import annotations

import csv
import hashlib
import io
import time
from collections.abc import Callable
from typing import Any

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given
from hypothesis import strategies as st

from measurements import fingerprints
from measurements.fingerprints import (
    COLUMNS,
    KINDS,
    BadFingerprints,
    Fingerprint,
    Fingerprints,
    read_fingerprints,
    text_of,
)
from measurements.model import DnsAnswer, DnsLookup, DnsReply, HttpExchange, TlsHandshake

SITE = "www.site.example"


def listed(*rows: dict[str, str], columns: tuple[str, ...] = COLUMNS) -> str:
    """Write a list, each row from what is given and a plain rest."""
    out = io.StringIO()
    writer = csv.DictWriter(out, columns, restval="", lineterminator="\n")
    writer.writeheader()
    plain = {"name": "test", "scope": "nat", "location_found": "body", "pattern_type": "contains"}
    writer.writerows({**plain, "pattern": "blocked", "confidence_no_fp": "5", **row} for row in rows)
    return out.getvalue()


def one(location: str, kind: str, pattern: str, name: str = "test") -> Fingerprints:
    text = listed({"name": name, "location_found": location, "pattern_type": kind, "pattern": pattern})
    return Fingerprints(read_fingerprints(text, "list.csv", "list.csv")[0])


def page(body: bytes = b"", title: str | None = None, **headers: str) -> HttpExchange:
    return headed(tuple((name.replace("_", "-"), value) for name, value in headers.items()), body, title)


def headed(sent: tuple[tuple[str, str], ...], body: bytes = b"", title: str | None = None) -> HttpExchange:
    return HttpExchange(id=1, url="http://x/", status=200, body=body, body_length=len(body), title=title, headers=sent)


def answer(*data: str) -> DnsLookup:
    records = tuple(DnsAnswer(name=SITE, rtype="CNAME" if d[0].isalpha() else "A", data=d, ttl=60) for d in data)
    reply = DnsReply(arrival=0.0, source="r", rcode="NOERROR", answers=records)
    return DnsLookup(id=1, resolver="r", protocol="udp", name=SITE, rtype="A", replies=(reply,))


def hands(*chain: bytes, issuer: str | None = None) -> TlsHandshake:
    return TlsHandshake(id=1, address="192.0.2.1", port=443, name=SITE, chain=chain, issuer=issuer)


def names(found: tuple[Fingerprint, ...]) -> list[str]:
    return [row.name for row in found]


AUTHORITY = trustme.CA(organization_name="Gov Interception")
LEAF = x509.load_pem_x509_certificate(
    AUTHORITY.issue_cert("notice.example", "*.isp.example").cert_chain_pems[0].bytes()
)
DER = LEAF.public_bytes(Encoding.DER)
WHOLE = "the page known as BLOCKED by law"
PATTERNS = {"full": WHOLE, "prefix": "the page", "contains": "known as BLOCKED", "regexp": "known.*law$"}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "place", ["body", "title", "header.location", "header.server", "header.via", "header.x-app-url"]
)
def test_every_kind_in_every_part_of_a_page(place: str, kind: str) -> None:
    """If a row names a place, its pattern is looked for there, whatever its kind, and nowhere else."""
    sought = one(place, kind, PATTERNS[kind])

    def shown(text: str) -> dict[str, HttpExchange]:
        made = {f"header.{h}": headed(((h.title(), text),)) for h in ("location", "server", "via", "x-app-url")}
        return {**made, "body": page(text.encode()), "title": page(title=text)}

    assert {where: names(sought.in_page(p)) for where, p in shown(WHOLE).items()} == {
        where: ["test"] if where == place else [] for where in shown(WHOLE)
    }
    for other in (WHOLE.upper(), "allowed", "", WHOLE[:3]):
        assert sought.in_page(shown(other)[place]) == ()
    longer = {"full": False, "prefix": True, "contains": True, "regexp": False}[kind]
    assert bool(sought.in_page(shown(f"{WHOLE}.")[place])) is longer
    later = {"full": False, "prefix": False, "contains": True, "regexp": True}[kind]
    assert bool(sought.in_page(shown(f" {WHOLE}")[place])) is later


@pytest.mark.parametrize(
    ("kind", "pattern", "data"),
    [
        ("full", "192.0.2.80", "192.0.2.80"),
        ("full", "2001:DB8:0::80", "2001:db8::80"),
        ("full", "Notice.ISP.example.", "notice.isp.example"),
        ("prefix", "192.0.2.", "192.0.2.80"),
        ("contains", ".isp.", "notice.isp.example"),
        ("regexp", r"^192\.0\.2\.8[0-9]$", "192.0.2.80"),
    ],
)
def test_every_kind_in_an_answer(kind: str, pattern: str, data: str) -> None:
    sought = one("dns", kind, pattern)
    assert names(sought.in_answer(answer("198.51.100.1", data))) == ["test"]
    assert names(sought.in_answer(answer(data.upper()))) == ["test"]
    assert sought.in_answer(answer("198.51.100.1", "site.example")) == ()
    assert sought.in_page(page(data.encode(), data, location=data)) == ()


@pytest.mark.parametrize(
    ("part", "kind", "pattern", "no"),
    [
        ("issuer", "contains", "O=Gov Interception", "O=Public"),
        ("subject", "regexp", "^.*O=trustme v[0-9]", "CN=Public"),
        ("san", "full", "NOTICE.example", "notice.example.org"),
        ("san", "prefix", "*.isp.", "*.other."),
        ("sha256", "full", hashlib.sha256(DER).hexdigest().upper(), "0" * 64),
    ],
    ids=["issuer", "subject", "san", "san-prefix", "sha256"],  # the digest is another in every process
)
def test_every_part_of_a_certificate(part: str, kind: str, pattern: str, no: str) -> None:
    assert names(one(f"certificate.{part}", kind, pattern).in_certificate(hands(DER))) == ["test"]
    assert one(f"certificate.{part}", "contains", no).in_certificate(hands(DER)) == ()


def test_a_certificate_that_cannot_be_read_says_what_it_can() -> None:
    """If the chain is missing or broken, the issuer that was written down beside it is looked at."""
    issuer = one("certificate.issuer", "contains", "CN=Gov")
    assert names(issuer.in_certificate(hands(issuer="O=x,CN=Gov"))) == ["test"]
    assert names(issuer.in_certificate(hands(b"nonsense", issuer="CN=Gov"))) == ["test"]
    assert issuer.in_certificate(hands()) == ()
    bare = trustme.CA().cert_pem.bytes()
    der = x509.load_pem_x509_certificate(bare).public_bytes(Encoding.DER)
    assert one("certificate.san", "contains", "example").in_certificate(hands(der)) == ()
    assert one("body", "contains", "CN=Gov").in_certificate(hands(DER, issuer="CN=Gov")) == ()


def test_a_body_is_read_in_its_own_letters() -> None:
    words = "Доступ к ресурсу"
    for codec in ("utf-8", "windows-1251", "koi8-r", "utf-16le"):
        told = page(words.encode(codec), content_type=f"text/html; charset={codec.upper()}")
        assert text_of(told) == words
    head = f'<meta charset="windows-1251">{words}'
    assert text_of(page(head.encode("windows-1251"))) == head
    assert text_of(page(b"\xef\xbb\xbfplain")) == "plain"
    for odd in ("unicode_escape", "zlib", "punycode", "nonsense"):
        assert text_of(page(rb"\u0041", content_type=f"text/html; charset={odd}")) == r"\u0041"
    for codec in fingerprints._CODECS:
        assert text_of(page(b"", content_type=f"a/b; charset={codec}")) == ""
    assert text_of(page(b"\xff\xfeab")) == "\ufffd\ufffdab"


def test_a_part_of_a_page_is_not_the_whole() -> None:
    """If only a sample of a page was kept, a pattern for the whole of it cannot be told."""
    sample = HttpExchange(id=1, url="http://x/", status=200, body=WHOLE.encode(), body_length=len(WHOLE) + 1)
    assert one("body", "full", WHOLE).in_page(sample) == ()
    assert one("body", "prefix", WHOLE).in_page(sample) != ()


def test_rows_come_once_and_in_the_order_of_the_list() -> None:
    rows = [{"name": n, "pattern": p} for n, p in (("b", "law"), ("a", "BLOCKED"), ("c", "page known"), ("d", "law"))]
    sought = Fingerprints(read_fingerprints(listed(*rows), "list.csv", "")[0])
    assert names(sought.in_page(page(f"{WHOLE} law law".encode()))) == ["b", "a", "c", "d"]


def test_a_row_has_a_mark_that_names_its_list() -> None:
    row = read_fingerprints(listed({"name": "isp.page"}), "/home/me/l.csv", "l.csv sha256:00")[0][0]
    assert row.mark == "isp.page (l.csv sha256:00)"
    assert Fingerprint("isp.page", "isp", "body", "full", "abc").mark == "isp.page"


def test_without_rows_nothing_is_found() -> None:
    none = Fingerprints()
    assert (none.in_page(page(b"x", "x", server="x")), none.in_answer(answer("192.0.2.1"))) == ((), ())
    assert none.in_certificate(hands(DER)) == ()


# Reading


def test_columns_may_stand_in_any_order_with_others_and_blank_lines() -> None:
    columns = ("notes", "ours", *reversed(COLUMNS[:-1]))
    text = "\ufeff" + listed({"expected_countries": "ir, TR ,zz", "confidence_no_fp": ""}, columns=columns)
    rows, bad = read_fingerprints(text.replace("\n", "\r\n") + "\r\n ,,\r\n", "l", "s")
    assert (rows[0].countries, rows[0].confidence, bad) == (frozenset({"IR", "TR", "ZZ"}), 5, [])


@pytest.mark.parametrize(
    ("row", "complaint"),
    [
        ({"name": " "}, "name: must be a name"),
        ({"name": "a\nb"}, "name: must be a name"),
        ({"name": "a" * 201}, "name: must be a name"),
        ({"location_found": "footer"}, "location_found: 'footer' is no place; write body, title, header.NAME, dns"),
        ({"location_found": "header."}, "location_found: 'header.' is no place"),
        ({"location_found": "certificate.key"}, "location_found: 'certificate.key' is no place"),
        ({"pattern_type": "glob"}, "pattern_type: 'glob' is none; write full, prefix, contains, regexp"),
        ({"pattern": "ab"}, "pattern: has 2 characters; it must have 3 to 16384"),
        ({"pattern": "a" * 16_385}, "pattern: has 16385 characters"),
        ({"pattern_type": "regexp", "pattern": "(a+)+b"}, "pattern: '(a+)+b' ends a group with a repetition; write it"),
        ({"confidence_no_fp": "11"}, "confidence_no_fp: '11' is no number from 0 to 10"),
        ({"confidence_no_fp": "-1"}, "confidence_no_fp: '-1' is no number"),
        ({"expected_countries": "IR,Turkey"}, "expected_countries: 'TURKEY' is no country; write two letters"),
    ],
)
def test_a_bad_row_is_told_by_line_and_column_or_left_out(row: dict[str, str], complaint: str) -> None:
    text = listed({}, row, {"name": "last"})
    with pytest.raises(BadFingerprints) as refused:
        read_fingerprints(text, "list.csv", "")
    assert str(refused.value).startswith("list.csv line 3, ")
    assert complaint in str(refused.value)
    rows, bad = read_fingerprints(text, "list.csv", "", skip_bad_lines=True)
    assert ([r.name for r in rows], bad) == (["test", "last"], [str(refused.value)])


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "l: is empty; write name,scope"),
        ("a,b\n1,2\n", "l line 1: does not name the column name; write name,scope,"),
        (listed({}) + "x,y\n", "l line 3, columns: 2 columns where 11 are named; quote a value that has a comma"),
        (listed({}) + 'a,"b\n', "l line 3: no CSV from here on (unexpected end of data); close the quotation mark"),
        (listed({"pattern": "x\ny\nz z"}, {"scope": "isp"}) + "x\n", "l line 6, columns: 1 columns"),
    ],
)
def test_a_file_that_is_no_list_is_refused(text: str, complaint: str) -> None:
    with pytest.raises(BadFingerprints) as refused:
        read_fingerprints(text, "l", "")
    assert complaint in str(refused.value)


def test_many_bad_lines_are_told_in_few_and_too_many_rows_are_refused() -> None:
    with pytest.raises(BadFingerprints) as refused:
        read_fingerprints(listed(*[{"pattern": "x"}] * 25), "l", "")
    assert str(refused.value).splitlines()[19:] == [
        "l line 21, pattern: has 1 characters; it must have 3 to 16384",
        "l: 5 more lines are bad",
    ]
    with pytest.raises(BadFingerprints, match=r"line 20002: has more than 20000 rows"):
        read_fingerprints(listed(*[{}] * 20_001), "l", "")


# Hostile


@given(st.text(max_size=200))
def test_any_file_is_read_or_refused(text: str) -> None:
    for start in ("", ",".join(COLUMNS) + "\n"):
        try:
            rows, _ = read_fingerprints(start + text, "l", "s", skip_bad_lines=True)
        except BadFingerprints:
            continue
        assert Fingerprints(rows).in_page(page(text.encode("utf-8", "replace"), text)) is not None


ROWS = st.fixed_dictionaries(
    {
        "location_found": st.sampled_from(["body", "title", "dns", "header.server", "certificate.issuer"]),
        "pattern_type": st.sampled_from(KINDS),
        "pattern": st.text("ab.*[]^$(|)\u0661\u20ac", min_size=3, max_size=12),
    }
)


@given(st.lists(ROWS, max_size=6), st.binary(max_size=300), st.text("ab\u0661\u20ac", max_size=20))
def test_any_page_and_any_pattern_are_borne(rows: list[dict[str, Any]], body: bytes, text: str) -> None:
    """If the pages and the patterns are anything, what is found is what plain Python finds."""
    read, _ = read_fingerprints(listed(*rows), "l", "s", skip_bad_lines=True)
    sought = Fingerprints(read)
    shown = page(body, text, server=text, content_type="text/html")
    plain: dict[str, Callable[[str, str], bool]] = {
        "full": str.__eq__,
        "prefix": str.startswith,
        "contains": str.__contains__,
    }
    places = {"body": body.decode("utf-8", "replace").removeprefix("\ufeff"), "title": text, "header.server": text}
    wanted = {
        r for r in read if r.kind in plain and r.location in places and plain[r.kind](places[r.location], r.pattern)
    }
    assert {r for r in sought.in_page(shown) if r.kind != "regexp"} == wanted
    sought.in_answer(answer("192.0.2.1", text or "x"))
    sought.in_certificate(hands(body, issuer=text))


def test_a_page_made_of_patterns_takes_no_long_time() -> None:
    """If every place of a page ends hundreds of patterns, the looking stops; a natural list has no such patterns."""
    rows = [{"name": f"n{n}", "pattern": "a" * n} for n in range(3, 400)]
    rows += [{"name": f"r{n}", "pattern_type": "regexp", "pattern": "aaa[^b]{0,100}" + "b" * n} for n in range(1, 15)]
    sought = Fingerprints(read_fingerprints(listed(*rows), "l", "")[0])
    began = time.process_time()
    assert len(sought.in_page(page(b"a" * 65_536))) == 397
    assert time.process_time() - began < 4
