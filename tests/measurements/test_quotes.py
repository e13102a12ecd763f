"""Behind NAT nobody knows the probe's public address: a page that quotes it must not keep it all the same."""

from __future__ import annotations

import base64
import hashlib
import random
import time
from ipaddress import IPv4Address

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from measurements.clients import public
from measurements.commitments import mark
from measurements.judge import Case, judge
from measurements.model import (
    AnyObservation,
    ControlQuery,
    DnsAnswer,
    DnsLookup,
    DnsReply,
    Hop,
    HttpExchange,
    Mechanism,
    Target,
    TcpConnect,
    TlsHandshake,
    View,
)
from measurements.quotes import Quotes
from measurements.reading import identical
from measurements.redact import redact
from measurements.targets import normalise
from tests.measurements.blocked_worlds import BLOCKED
from tests.measurements.encodings import of_ipv4, of_ipv6
from tests.measurements.test_redact import PLACES, SALT, holds, lookup, measurement, nothing, page, reply, shaken
from tests.measurements.worlds import Disruption, play
from tests.scripted import BOGONS

IPV4, IPV6 = "41.220.17.33", "2a02:8108:8a40:1234:aede:48ff:fe00:1122"
HOME = ("192.168.1.23",)  # all that a probe behind NAT knows of itself

BEYOND_RECOGNITION = {
    *("hex", "hex, upper case", "0x hex", "hex with colons", "hex with dashes, upper case", "hex with spaces"),
    *("\\x hex", "%-escaped raw bytes", "urlencoded raw bytes", "decimal", "raw bytes", "hex of the text"),
    *("base64 of raw bytes", "base64 of raw bytes after 1 byte", "base64 of raw bytes after 2 bytes"),
    *("base64url of raw bytes", "base32 of the text", "character codes", "md5", "sha1", "sha256"),
    *("JSON numbers", "octal parts", "padded octal parts", "hex parts", "octal", "little-endian decimal"),
    *("little-endian hex", "three parts", "two parts", "defanged", "in tags", "=2E for dots", "=3A for colons"),
    *("nibbles", "sha512", "sha256 in base64", "spaces around dots", "dot in words", "thousands"),
    *("zero-width spaces", "signed decimal", "signed little-endian decimal", "two decimals", "Hindi digits in JSON"),
    *("signed decimal of the end", "Persian digits", "Arabic digits and separators", "full-width digits and dots"),
}
"""Forms that nothing tells from other numbers or letters unless the address is known."""
ONLY_OF_IPV4 = {"base64 of the text", "base64 of the text after 1 byte", "base64 of the text after 2 bytes"}

CASES = [
    pytest.param(encoded, id=f"{own}, {name}")
    for own, encodings in ((IPV4, of_ipv4(IPV4)), (IPV6, of_ipv6(IPV6)))
    for name, encoded in encodings.items()
    if name not in BEYOND_RECOGNITION and (own == IPV4 or not (name in ONLY_OF_IPV4 or "base64" in name))
]
EVIDENCE = {"DNS answer", "target", "control"}
"""Places where an address is what was measured."""


@pytest.mark.parametrize("planted", CASES)
def test_an_address_that_nobody_knows_survives_in_no_text(planted: bytes) -> None:
    for place, plant in PLACES.items():
        before = plant(planted)
        if place in EVIDENCE or (place == "redirect" and planted.startswith((IPV4.encode(), b"["))):
            continue
        if place == "certificate" and planted not in (IPV4.encode(), IPV6.encode()):
            continue
        assert holds(before, planted), place
        after = redact(before, HOME, SALT)
        assert not holds(after, planted), place
        assert after.redacted, place
        assert redact(after, HOME, SALT) is after, place


@pytest.mark.parametrize(
    ("page_says", "left"),
    [
        ("Your IP: 41.220.17.33", "Your IP: [redacted:address]"),
        ("\u60a8\u7684IP\u662f41.220.17.33\u3002", "\u60a8\u7684IP\u662f[redacted:address]\u3002"),
        ('{"text":"IP:\\n41.220.17.33"}', '{"text":"IP:\\n[redacted:address]"}'),
        ('"\\u206641.220.17.33\\u2069"', '"\\u2066[redacted:address]\\u2069"'),
        ("Ray ID: 7d1 \u2022 Your IP: <b>5.1.2.3</b>", "Ray ID: 7d1 \u2022 Your IP: <b>[redacted:address]</b>"),
        ("https://www.abuseipdb.com/check/41.220.17.33", "https://www.abuseipdb.com/check/[redacted:address]"),
        ("https://ipinfo.io/41.220.17.33#x", "https://ipinfo.io/[redacted:address]#x"),
        ("client:41.220.17.33:51432", "client:[redacted:address]:51432"),
        ("subscriber 100.64.7.9", "subscriber [redacted:address]"),
        ("ec2-41-220-17-33.compute.example", "ec2-[redacted:address].compute.example"),
        ("pool-1-41-220-17-33.example.net", "pool-1-[redacted:address].example.net"),
        ("33-17-220-10.pool.example.net", "[redacted:address].pool.example.net"),
        ("10.17.220.41.in-addr.arpa", "[redacted:address].in-addr.arpa"),
        ("source:2a02:8108::1, denied", "source:[redacted:address], denied"),
        ("[2a02:8108::1]:443", "[redacted:address]:443"),
        ("41.220.17.33.1049811234567890", "[redacted:address].1049811234567890"),
        ("jquery-3.6.0.1 for 41.220.17.33", "jquery-3.6.0.1 for [redacted:address]"),
    ],
)  # fmt: skip
def test_only_the_address_is_struck(page_says: str, left: str) -> None:
    struck = Quotes(frozenset()).strike(page_says.encode(), _marked)
    assert struck.decode() == left


def test_an_address_in_a_token_of_base64_is_struck() -> None:
    token = base64.urlsafe_b64encode(b'{"user":1,"ip":"41.220.17.33","to":"example.org"}').rstrip(b"=")
    location = f"https://portal.example/?t={token.decode()}"
    after = redact(measurement(page(redirect=location, headers=(("location", location),))), HOME).observations[0]
    assert isinstance(after, HttpExchange)
    assert after.redirect is not None
    left = after.redirect.split("?t=")[1]
    assert "redacted.invalid" in left
    assert left.startswith(token[:12].decode())
    for letters in left.split("redacted.invalid"):
        assert b"41.2" not in base64.urlsafe_b64decode(letters + "=" * (-len(letters) % 4))


INNOCENT = [
    "Chrome/120.0.0.0", "Brave/120.1.61.109", "Server: foo/1.2.3.4", "jquery-3.6.0.1", "libs/jquery/3.6.0.1/jquery.js",
    "v41.22.1.3", '"version":"41.22.1.3"', "?v=3.6.0.12", "OpenSSL 1.1.1.4", "app-11.22.3.44.zip", "nginx/1.25.3",
    "AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.6099.109 Safari/537.36", "1.3.6.1.4.1.311.21.8",
    '<path d="M8.1.5.3.2c-.2.3.4.5l1.5.5.5"/>', "2024-11-12-10-30", "2024.11.12.23.59", "col-12-6-4-3", "01.02.03.04",
    "10.10.34.34", "192.168.0.1", "172.16.1.2", "127.0.0.1", "0.0.0.0", "255.255.255.0", "224.0.0.251", "1.0.0.0",
    "169.254.1.1", "203.0.113.9", "198.51.100.7", "256.1.2.3", "12:30:45", "00:1a:2b:3c:4d:5e", "a::before",
    "2024:12:31 10:20:30", "550e8400-e29b-41d4-a716-446655440000", "fe80::2a02:8108:8a40:1234", "fd00:1::2", "::1",
    "2001:db8::1", "+41-22-917-90-00", "page--active", "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAUAAAAFCAYAAACN",
]  # fmt: skip


@pytest.mark.parametrize("innocent", INNOCENT)
def test_versions_dates_and_addresses_of_nobody_stay(innocent: str) -> None:
    body = f"<p>{innocent}</p> {innocent}\n'{innocent}'".encode()
    whole = measurement(page(body=body, body_length=len(body), title=innocent, headers=(("x-made-by", innocent),)))
    assert redact(whole, HOME) is whole


def test_random_bytes_hold_no_address() -> None:
    dice = random.Random(3)
    quotes = Quotes(frozenset())
    for _ in range(50):
        data = dice.randbytes(16 * 1024)
        assert quotes.spans(data) == []
        assert quotes.spans(base64.b64encode(data)) == []
        assert quotes.spans(data.hex().encode()) == []


def test_addresses_are_not_taken_for_versions() -> None:
    """Of 20,000 random ones none was kept behind `IP: `, and none on its own, when this was written."""
    dice = random.Random(7)
    quotes = Quotes(frozenset())
    addresses = [IPv4Address(dice.getrandbits(32)) for _ in range(30_000)]
    clients = [str(address).encode() for address in addresses if public(address)][:20_000]
    assert len(clients) == 20_000
    for text in (b"Your IP: %s.", b"<td>%s</td>"):
        assert [c for c in clients if quotes.strike(text % c, nothing) != text.replace(b"%s", b"#")] == []


def named_everywhere() -> list[AnyObservation]:
    """Make a step for each way to name an address."""
    hints = DnsAnswer(name="e.org", rtype="HTTPS", data='1 . alpn="h2" ipv4hint=104.16.1.8,104.16.2.8', ttl=1)
    one = DnsAnswer(name="e.org", rtype="A", data="93.184.216.34", ttl=1)
    return [
        lookup(
            DnsReply(arrival=0.1, source="81.2.69.142:53", answers=(one, hints)), id=1, resolver="https://9.9.9.9/dns"
        ),
        TcpConnect(id=2, address="2606:2800:220:1:248:1893:25c8:1946", port=443),
        TlsHandshake(id=3, address="151.101.1.69", port=443, name="e.org"),
        Hop(id=4, address="93.184.216.34", port=80, probe="syn", ttl=4, answer="expired", router="62.115.1.2"),
        ControlQuery(id=5, url="http://e.org/", endpoints=("13.32.99.4:80",), resolved=("13.32.99.5",)),
        page(id=6, url="http://e.org/", redirect="http://195.175.254.2:8080/stop?from=e.org"),
    ]


NAMED = [
    "104.16.1.8", "104.16.2.8", "93.184.216.34", "81.2.69.142", "9.9.9.9", "2606:2800:220:1:248:1893:25c8:1946",
    "151.101.1.69", "62.115.1.2", "13.32.99.4", "13.32.99.5", "195.175.254.2", "3.120.33.44",
]  # fmt: skip


def test_what_was_measured_stays_where_a_page_says_it_again() -> None:
    host = "ec2-3-120-33-44.eu-central-1.compute.amazonaws.com"
    target = Target(url=f"http://{host}/", scheme="http", host=host, port=80)
    body = " ".join((*NAMED, *(n.replace(".", "-") for n in NAMED))).encode()
    steps = [*named_everywhere(), page(id=7, url=target.url, host=host, body=body, body_length=len(body))]
    whole = measurement(*steps, target=target)
    assert redact(whole, HOME) is whole
    alone = redact(measurement(steps[-1]), HOME).observations[0]
    assert isinstance(alone, HttpExchange)
    assert not any(n.encode() in alone.body for n in NAMED if n != "9.9.9.9"), "they stay because they are named"


def test_a_url_with_a_quoted_address_stays_the_same_url_in_every_step() -> None:
    url = "https://portal.example/stop?client=41.220.17.33&to=e.org"
    steps = (
        page(id=1, redirect=url, headers=(("Location", url),)),
        page(id=2, url=url, cause=1),
        ControlQuery(id=3, url=url),
    )
    first, second, asked = redact(measurement(*steps), HOME).observations
    assert isinstance(first, HttpExchange)
    assert isinstance(second, HttpExchange)
    assert isinstance(asked, ControlQuery)
    struck = "https://portal.example/stop?client=redacted.invalid&to=e.org"
    assert {first.redirect, second.url, asked.url, first.header("location")} == {struck}


def block_page(**fields: object) -> HttpExchange:
    body = b"<h1>Blocked by order</h1> Your IP: 41.220.17.33 (host-41-220-17-33.example.net), v1.2.3.4"
    digest = hashlib.sha256(body).hexdigest()
    return page(status=200, body=body, body_length=len(body), body_sha256=digest, **fields)


def test_a_page_that_quotes_the_address_is_still_the_same_page_elsewhere() -> None:
    """The digests of a block page agree between the target and a witness, before and after."""
    steps = (block_page(id=1), block_page(id=2), page(id=3, body=b"other", body_length=5, body_sha256="cd" * 32))
    after = redact(measurement(*steps), HOME)
    here, there, other = after.observations
    assert isinstance(here, HttpExchange)
    assert isinstance(there, HttpExchange)
    assert isinstance(other, HttpExchange)
    assert b"41" not in here.body
    assert here.body_sha256 == there.body_sha256 == hashlib.sha256(here.body).hexdigest() != steps[0].body_sha256
    assert identical(here, there)
    assert not identical(here, other)
    assert after.redacted == ("1.body: address", "2.body: address")


def _marked(kind: str, value: str) -> bytes:
    return mark(kind, None).encode()


IN_CLEAR = [d for d in BLOCKED if d.mechanism in (Mechanism.HTTP_BLOCKPAGE, Mechanism.HTTP_REDIRECT)]


@pytest.mark.parametrize("disruption", IN_CLEAR, ids=lambda d: d.name)
def test_the_verdict_is_the_same_when_every_page_quotes_the_address(disruption: Disruption) -> None:
    said, net = play(disruption)
    whole = net.measurement(normalise(disruption.url), disruption.nettest)
    quoting = msgspec.structs.replace(whole, observations=tuple(map(_quoting, whole.observations)))
    after = redact(quoting, HOME, SALT)
    assert after.redacted
    assert not holds(after, IPV4.encode())
    verdict = judge(Case(measurement=after, bogons=BOGONS))
    assert (verdict.outcome, verdict.mechanism, verdict.confidence) == (said.outcome, said.mechanism, said.confidence)
    assert [f.evidence for f in verdict.findings] == [f.evidence for f in said.findings]


def _quoting(step: AnyObservation) -> AnyObservation:
    if not isinstance(step, HttpExchange) or step.status is None or step.view is View.CONTROL:
        return step
    body = step.body + b" Your IP: " + IPV4.encode()
    redirect = step.redirect and f"{step.redirect}?client={IPV4}"
    return msgspec.structs.replace(
        step,
        body=body,
        body_length=len(body),
        body_sha256=hashlib.sha256(body).hexdigest(),
        title=step.title and f"{step.title} {IPV4}",
        redirect=redirect,
    )


@pytest.mark.parametrize(
    ("end", "left"),
    [
        (b"Your IP: 41.220.17", b"Your IP: "),
        (b"Your IP: 41.220.17.", b"Your IP: "),
        (b"Your IP: 41.220.17.3", b"Your IP: "),
        (b"Your IP: 2a02:8108:8a40:", b"Your IP: "),
        (b"costs 41.22", None),
        (b"jquery-3.6.0", None),
        (b"nginx/1.25.3", None),
        (b"by 172.16.1", None),
        (b"at 93.184.21", None),
    ],
)
def test_the_beginning_of_an_address_at_the_cut_end_of_a_body_goes_too(end: bytes, left: bytes | None) -> None:
    server = TcpConnect(id=9, address="93.184.216.34", port=80)
    whole = measurement(page(body=b"xyz " + end, body_length=2_000, truncated="sample"), server)
    after = redact(whole, HOME)
    if left is None:
        assert after is whole
    else:
        step = after.observations[0]
        assert isinstance(step, HttpExchange)
        assert step.body == b"xyz " + left
        assert redact(after, HOME) is after


def test_a_certificate_that_says_an_address_goes_with_its_issuer() -> None:
    chain = (b"0\x82\x01\x0c" + IPV4.encode() + b"\x30", b"0\x82\x01\x0c1.3.6.1.4.1.311")
    after = redact(measurement(shaken(chain=chain, issuer=f"CN={IPV4}")), HOME).observations[0]
    assert isinstance(after, TlsHandshake)
    assert after.chain == (b"[redacted:certificate]", chain[1])
    assert after.issuer == "CN=[redacted:address]"


def test_an_extended_error_of_a_resolver_is_prose_and_its_answer_is_not() -> None:
    after = redact(measurement(lookup(reply("104.16.1.8", ede=((15, f"{IPV4} asked"),)))), HOME).observations[0]
    assert isinstance(after, DnsLookup)
    assert after.replies[0].ede == ((15, "[redacted:address] asked"),)
    assert after.replies[0].answers[0].data == "104.16.1.8"


PIECES = st.one_of(
    st.sampled_from([case.values[0] for case in CASES]),
    st.sampled_from([text.encode() for text in INNOCENT]),
    st.from_regex(rb"[0-9]{1,3}(\.[0-9]{1,3}){3}", fullmatch=True),
    st.sampled_from([b"IP", b"v", b"/", b"-", b".", b":", b" ", b"client", b"version ", b"\\n", b"%20"]),
)


@settings(max_examples=200, deadline=None)
@given(st.lists(PIECES, max_size=8), st.lists(PIECES, max_size=5))
def test_a_second_run_changesnothing(pieces: list[bytes], others: list[bytes]) -> None:
    body, said = b"".join(pieces), b" ".join(others).decode("latin-1")
    steps = (page(body=body, body_length=len(body), title=said, headers=(("x", said),)), shaken(id=3, issuer=said))
    once = redact(measurement(*steps), HOME, SALT)
    assert redact(once, HOME, SALT) is once


SLOW = [
    "1.2.3.4 ", "41.220.17.33,", "41-220-17-33.", "41.220.17.33", "ip 5.1.2.3 ", "1.", "1-", "2a02:", "2a02-", "2a02::",
    "2a02:8108::1 ", "::ffff:", "0:", "0000:", "NDEu", "MDEu", "MTEx", "a.1.", "a.", "%31.", "&#49;.", "\\u0031.",
    "version ", "client", "/a", "a/",
]  # fmt: skip


@pytest.mark.parametrize("pattern", SLOW)
def test_a_page_made_to_be_slow_is_searched_in_time(pattern: str) -> None:
    """Each took less than 0.6 s when it was written."""
    body = (pattern * 64 * 1024)[: 64 * 1024 - 14].encode() + b"; 41.220.17.33"
    begin = time.process_time()
    after = redact(measurement(page(body=body, body_length=len(body))), HOME).observations[0]
    took = time.process_time() - begin
    assert took < 2
    assert isinstance(after, HttpExchange)
    assert not after.body.endswith(b"41.220.17.33")
