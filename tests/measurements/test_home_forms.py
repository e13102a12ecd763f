"""What else tells a home: hardware addresses and names come out in every form, and common words stay."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator

import pytest

from measurements.commitments import commitment, mark, removals, salt_of
from measurements.disguises import disguises
from measurements.home_forms import Hardware, Name, at_home
from measurements.model import HttpExchange, Target
from measurements.redact import redact, redact_text
from tests.measurements.test_redact import PLACES, body_of, holds, leaves, measurement, page, shaken

CARD, HOST, DOMAIN = "1e:2d:30:4f:5a:6b", "anna-laptop", "mueller-home.example"
FULL = f"{HOST}.{DOMAIN}"
OWN = (CARD, HOST, DOMAIN, FULL, "anna", "fritz.box")
SALT = salt_of(bytes(32), "0" * 32)


def of_card(card: str) -> Iterator[tuple[str, bytes]]:
    """Yield the ways to write a hardware address, written from what portals and routers do."""
    bare, raw = card.replace(":", ""), bytes.fromhex(card.replace(":", ""))
    host = f"{raw[0] ^ 2:02x}{raw[1]:02x}:{raw[2]:02x}ff:fe{raw[3]:02x}:{raw[4]:02x}{raw[5]:02x}"
    full = host.replace(":", "")
    texts = {
        "plain": card,
        "upper case": card.upper(),
        "dashes": card.replace(":", "-"),
        "dashes, upper case": card.replace(":", "-").upper(),
        "spaces": card.replace(":", " "),
        "Cisco's dots": f"{bare[:4]}.{bare[4:8]}.{bare[8:]}",
        "HP's dash": f"{bare[:6]}-{bare[6:]}",
        "bare": bare,
        "bare, upper case": bare.upper(),
        "end of a UUID": f"2fac1234-31f8-11b4-a222-{bare}",
        "%3A": card.replace(":", "%3A"),
        "%253a": card.replace(":", "%253a"),
        "=3A": card.replace(":", "=3A"),
        "entities": card.replace(":", "&#58;"),
        "\\u003a": card.replace(":", "\\u003a"),
        "\\x bytes": "".join(f"\\x{b:02x}" for b in raw),
        "link-local address": f"fe80::{host}",
        "link-local address with a zone": f"[fe80::{host}%eth0]",
        "global address": f"2a02:8108:8a40:1234:{host}",
        "in full": f"fe80:0000:0000:0000:{host}",
        "EUI-64": full.upper(),
        "reverse name": ".".join(reversed(f"fe80{'0' * 12}{full}")) + ".ip6.arpa",
        "dashed name": f"fe80--{host}".replace(":", "-") + ".ipv6-literal.net",
    }
    yield from ((name, text.encode()) for name, text in texts.items())
    for written in (card, card.upper(), card.replace(":", "-"), bare, bare.upper()):
        for lead in range(3):
            yield f"base64 of {written} after {lead}", base64.b64encode(b"x" * lead + written.encode() + b"yz")
        yield f"md5 of {written}", hashlib.md5(written.encode()).hexdigest().encode()
        yield f"sha1 of {written}", hashlib.sha1(written.encode()).hexdigest().encode()
        yield f"sha256 of {written}", hashlib.sha256(written.encode()).hexdigest().encode()


def of_name(name: str) -> Iterator[tuple[str, bytes]]:
    yield from (("plain", name.encode()), ("capital letters", name.upper().encode()))
    yield "%2D and %2E", name.replace("-", "%2D").replace(".", "%2E").encode()
    yield "entities", name.replace("-", "&#45;").replace(".", "&period;").encode()
    yield "\\u", "".join(f"\\u{ord(c):04x}" for c in name).encode()
    yield "UTF-16", name.encode("utf-16-le")
    yield from ((f"base64 after {n}", base64.b64encode(b"x" * n + name.encode() + b"yz")) for n in range(3))


CASES = [
    pytest.param(planted, own, kind, id=f"{own}, {name}")
    for own, kind, forms in (
        (CARD, "hardware", of_card(CARD)),
        (HOST, "name", of_name(HOST)),
        (DOMAIN, "name", of_name(DOMAIN)),
        (FULL, "name", of_name(FULL)),
    )
    for name, planted in forms
]


@pytest.mark.parametrize(("planted", "own", "kind"), CASES)
def test_no_form_survives_anywhere(planted: bytes, own: str, kind: str) -> None:
    for place in ("body", "header", "cookie", "redirect", "DNS answer", "certificate", "detail"):
        before = PLACES[place](planted)
        after = redact(before, OWN, SALT)
        assert not holds(after, planted), place
        assert not disguises(frozenset({own})).suspects(b"\n".join(leaves(after.observations))), place
        if place not in ("cookie", "certificate"):
            assert {(r.kind, r.commitment) for r in removals(after.redacted)} == {(kind, commitment(SALT, kind, own))}
        assert redact(after, OWN, SALT) is after


@pytest.mark.parametrize(
    ("planted", "left"),
    [
        (f"http://{HOST}.{DOMAIN}:8080/", f"http://{mark('name', None)}:8080/"),
        ("anna.fritz.box and anna.lan, Anna", "[redacted:name].[redacted:name] and [redacted:name].lan, Anna"),
        (f"x.{DOMAIN}.", "x.[redacted:name]."),
        ("[fe80::1c2d:30ff:fe4f:5a6b%eth0]:80 up", "[redacted:hardware]:80 up"),
        (f"ap={CARD.replace(':', '-')}&v=1", "ap=[redacted:hardware]&v=1"),
    ],
)  # fmt: skip
def test_only_the_name_is_taken_out(planted: str, left: str) -> None:
    assert redact_text(planted, OWN) == left


INNOCENT = [
    "Anna", "anna.example.org", "anna-laptop2", "my-anna-laptop", "anna_laptop", "mueller-home.example.org",
    "xmueller-home.example", "mueller-home.exam", "fritz.boxes", "fritzbox", "the box", "laptop", "home",
    "1e:2d:30:4f:5a:6c", "01:1e:2d:30:4f:5a", "1e2d304f5a6b7", "a1e2d304f5a6b", "fe80::1c2d:30ff:fe4f:5a6",
    "com", "local", "a home.arpa of localhost",
]  # fmt: skip


def test_what_is_innocent_stays() -> None:
    for text in INNOCENT:
        assert redact_text(f"is {text}; ", OWN) == f"is {text}; "
    body = "\n".join(INNOCENT).encode()
    whole = measurement(page(body=body, body_length=len(body), title=" ".join(INNOCENT)))
    assert redact(whole, OWN) is whole


@pytest.mark.parametrize(
    "text",
    [
        "localhost", "raspberrypi", "ubuntu-22", "debian", "home", "lan", "fritz box", "home.arpa", "cluster.local",
        "MacBook-Pro",
        "svc.cluster.local", "localhost.localdomain", "ab", "a.b", "", ".", "not an address", "00:00:00:00:00:00",
        "ff:ff:ff:ff:ff:ff", "02:00:00:00:00:01", "1e:2d-30:4f:5a:6b", "wazi-probe", "ip-10.compute.internal",
    ],
)  # fmt: skip
def test_what_says_nothing_about_whose_it_is_is_not_looked_for(text: str) -> None:
    assert at_home(text) is None


def test_what_does_is_read() -> None:
    assert at_home("1E-2D-30-4F-5A-6B") == Hardware(bytes.fromhex("1e2d304f5a6b"))
    assert at_home("Anna-Laptop.") == Name("anna-laptop")
    assert str(at_home(CARD)) == CARD


def test_a_name_of_the_target_stays_everywhere() -> None:
    target = Target(url=f"https://www.{DOMAIN}/", scheme="https", host=f"www.{DOMAIN}", port=443)
    whole = measurement(page(url=target.url, title=f"{DOMAIN} by {HOST}"), target=target)
    after = redact(whole, OWN, SALT)
    assert after.target == target
    assert body_of(after).url == target.url
    assert body_of(after).title == f"{DOMAIN} by {mark('name', commitment(SALT, 'name', HOST))}"
    parent = Target(url="https://example/", scheme="https", host="example", port=443)
    assert body_of(redact(measurement(page(title=DOMAIN), target=parent), OWN)).title == DOMAIN


def test_a_probe_keeps_the_id_that_it_was_given() -> None:
    whole = measurement(page(title="x"))
    named = redact(whole, ["probe-77"], SALT)
    assert named is whole


def test_a_certificate_of_the_homes_router_goes() -> None:
    whole = measurement(shaken(chain=(b"0\x82\x01\x0c" + FULL.encode() + b"0", b"0\x82" + CARD.encode()), issuer=FULL))
    after = redact(whole, OWN, SALT).observations[0]
    assert [raw[:22] for raw in after.chain] == [b"[redacted:certificate:"] * 2  # type: ignore[union-attr]


def test_a_url_with_such_an_address_stays_a_url() -> None:
    from urllib.parse import urlsplit

    url = "http://[fe80::1c2d:30ff:fe4f:5a6b]:80/a"
    step = redact(measurement(page(redirect=url)), OWN, SALT).observations[0]
    assert isinstance(step, HttpExchange)
    assert (urlsplit(step.redirect or "").hostname or "").endswith(".redacted.invalid")
