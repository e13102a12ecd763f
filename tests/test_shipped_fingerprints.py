"""The fingerprints that ship with Wazi: they are read, say something each, and fit no innocent page."""

from __future__ import annotations

from collections import Counter

import pytest

from measurements.artefacts import ACCUSING, PRODUCTS
from measurements.fingerprints import VETO, Fingerprint
from measurements.model import DnsAnswer, DnsLookup, DnsReply, HttpExchange
from probe.network import Witness
from probe.settings import Settings
from probe.settings.lists import OURS
from probe.settings.sections import TRUSTED_RESOLVERS, WITNESSES

SHIPPED = Settings().fingerprints

NEWS = """<!doctype html><html lang="en"><head><title>Ministry orders provider to block sites | The Daily</title>
<meta name="description" content="A court has ordered internet providers to block access."></head><body>
<h1>Ministry orders providers to block three news sites</h1>
<p>Access to this site is denied, read the page that readers of the weekly saw on Monday: "Access denied. This site
is blocked." The regulator said that the sites were blocked by law. Доступ к сайту заблокирован, so the page in Russia;
erişim engellendi, the one in Turkey; akses diblokir, that in Indonesia. Researchers found filters of Netsweeper,
Fortinet, Cisco, Sophos, Blue Coat and Barracuda at the provider.</p>
<p>By order of the court, the ministry said, the content is prohibited. Censorship is forbidden by the constitution,
the editors answer. The internet was restricted during the election. Прокуратура ограничила доступ. 封锁 禁止.</p>
<script src="/js/blocked.js"></script></body></html>"""

INNOCENT = {
    "news about censorship": HttpExchange(
        id=1,
        url="http://daily.example/",
        status=200,
        body=NEWS.encode(),
        title="Ministry orders provider to block sites",
    ),
    "nginx": HttpExchange(
        id=1,
        url="http://new.example/",
        status=200,
        body=b"<!DOCTYPE html><html><head><title>Welcome to nginx!</title></head><body><h1>Welcome to nginx!</h1>"
        b"<p>If you see this page, the nginx web server is successfully installed and working.</p></body></html>",
        title="Welcome to nginx!",
        headers=(("Server", "nginx/1.22.1"),),
    ),
    "captcha": HttpExchange(
        id=1,
        url="http://shop.example/",
        status=403,
        body=b"<html><head><title>Just a moment...</title></head><body>Enable JavaScript and cookies to continue"
        b'<script src="/cdn-cgi/challenge-platform/h/b/orchestrate/chl_page/v1"></script></body></html>',
        title="Just a moment...",
        headers=(("Server", "cloudflare"), ("cf-mitigated", "challenge")),
    ),
    "plain refusal": HttpExchange(
        id=1,
        url="http://private.example/",
        status=403,
        body=b"<html>\r\n<head><title>403 Forbidden</title></head>\r\n<body>\r\n<center><h1>403 Forbidden</h1></center>"
        b"\r\n<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n",
        title="403 Forbidden",
    ),
    "redirect home": HttpExchange(
        id=1, url="http://a.example/", status=301, headers=(("Location", "https://www.a.example/blocked-users"),)
    ),
}
VETOED = {"nginx", "captcha", "plain refusal"}


@pytest.mark.parametrize("name", INNOCENT)
def test_no_blocker_is_seen_on_an_innocent_page(name: str) -> None:
    found = SHIPPED.in_page(INNOCENT[name])
    assert [row.name for row in found if row.scope != VETO] == []
    assert bool(found) is (name in VETOED)


def test_no_answer_of_a_public_resolver_or_site_is_a_blockers() -> None:
    addresses = (
        "1.1.1.1",
        "8.8.8.8",
        "9.9.9.9",
        "93.184.216.34",
        "157.240.0.35",
        "2a03:2880::1",
        "10.0.0.1",
        "0.0.0.0",
    )
    records = tuple(DnsAnswer(name="a.example", rtype="A", data=a, ttl=1) for a in addresses)
    reply = DnsReply(arrival=0.0, source="r", answers=records)
    assert SHIPPED.in_answer(DnsLookup(id=1, resolver="r", protocol="udp", name="a", rtype="A", replies=(reply,))) == ()


def test_every_row_says_something_of_its_own() -> None:
    rows = SHIPPED.rows
    assert [name for name, count in Counter(row.name for row in rows).items() if count > 1] == []
    same = Counter((row.location, row.kind, row.pattern) for row in rows)
    assert [key for key, count in same.items() if count > 1] == []
    assert [row.name for row in rows if len(row.pattern) < 6] == []
    assert {row.scope for row in rows} <= ACCUSING | PRODUCTS | {VETO, "vbw"}


@pytest.mark.parametrize("row", [row for row in SHIPPED.rows if row.scope in ACCUSING], ids=lambda row: row.name)
def test_what_accuses_names_the_countries_where_it_was_seen(row: Fingerprint) -> None:
    assert row.countries
    assert "ZZ" not in row.countries


def test_two_files_ship_and_each_row_names_its_own() -> None:
    assert {row.source.partition(" ")[0] for row in SHIPPED.rows} == {name.rpartition("/")[2] for name in OURS}
    assert {len(row.source.partition("sha256:")[2]) for row in SHIPPED.rows} == {64}
    dns = [row for row in SHIPPED.rows if row.source.startswith("dns.csv")]
    assert {row.location for row in dns} == {"dns"}
    assert "dns" not in {row.location for row in SHIPPED.rows if row not in dns}


def test_no_host_that_wazi_asks_is_a_blockers() -> None:
    """If a resolver or a witness of ours stood on the list, it would be called a liar."""
    asked = {*TRUSTED_RESOLVERS, *(w.name for w in WITNESSES if isinstance(w, Witness))}
    assert [row.name for row in SHIPPED.rows if row.location == "dns" and any(row.pattern in a for a in asked)] == []


KNOWN = {
    "wazi.ir_iframe": '<html><head><title>M1-6</title></head><body><iframe src="http://10.10.34.36?type=x"></iframe>',
    "wazi.ru_words": "<h1>Доступ к запрашиваемому ресурсу ограничен</h1>",
    "wazi.pk_words": "contains content that is prohibited for viewership from within Pakistan.",
    "wazi.forcepoint_frame": '<iframe src="http://203.0.113.1:15871/cgi-bin/blockpage.cgi?ws-session=1">',
}


@pytest.mark.parametrize("name", KNOWN)
def test_a_page_as_it_was_seen_is_known(name: str) -> None:
    shown = HttpExchange(id=1, url="http://a.example/", status=200, body=KNOWN[name].encode())
    assert name in [row.name for row in SHIPPED.in_page(shown)]


@pytest.mark.parametrize(
    ("name", "location"),
    [
        ("wazi.ir_redirect", "http://10.10.34.34?type=Invalid"),
        ("wazi.kr_warning", "http://www.warning.or.kr/i1.html"),
        ("wazi.id_positif", "http://internet-positif.org/"),
        ("wazi.umbrella", "https://block.opendns.com/?url=1"),
        ("wazi.netsweeper", "http://198.51.100.7:8080/webadmin/deny/index.php?dpid=1"),
    ],
)
def test_a_redirect_as_it_was_seen_is_known(name: str, location: str) -> None:
    shown = HttpExchange(id=1, url="http://a.example/", status=302, headers=(("Location", location),))
    assert [row.name for row in SHIPPED.in_page(shown)] == [name]
