"""What a captive portal writes into its links: a guest's parameters go, and those of ordinary links stay."""

from __future__ import annotations

import time

import pytest

from measurements.commitments import Removal, commitment, host_mark, mark, removals, salt_of
from measurements.model import ControlQuery, HttpExchange, Target, Transfer
from measurements.redact import redact
from tests.measurements.test_redact import body_of, measurement, page, shaken

SALT = salt_of(bytes(32), "0" * 32)


@pytest.mark.parametrize(
    ("url", "left"),
    [
        ("http://p.example/?mac=1e:2d:3e:4f:5a:6b&to=x", "http://p.example/?mac=*&to=x"),
        ("http://p.example/?client_mac=1E2D3E4F5A6B", "http://p.example/?client_mac=*"),
        ("http://p.example/login?x=1&ssid=Anna%20Home#end", "http://p.example/login?x=1&ssid=*#end"),
        ("http://p.example/?res=notyet&uamip=10.1.0.1&called=AA-BB&mac=x&nasid=hall", None),
        ("http://p.example/?wlanuserip=100.64.3.2&wlanacname=town&ssid=a", None),
        ("http://p.example/?apMac=f0&roomNumber=417&userName=mueller&ip=3405803853", None),
        ("http://p.example/?MSISDN=%2B251911223344", "http://p.example/?MSISDN=*"),
        ("http://p.example/?gw_id=a&gw_address=192.168.1.1&token=77", None),
        ("http://p.example/?u=http%3A%2F%2Fq.example%2F%3Fmac%3D1e-2d-3e%26to%3Dx", "http://p.example/?u=http%3A%2F%2Fq.example%2F%3Fmac%3D*%26to%3Dx"),
        ("http://p.example/?a=1&amp;room=12", "http://p.example/?a=1&amp;room=*"),
        ("http://p.example/#ip=5", "http://p.example/#ip=5"),
        ("http://p.example/?v=1.2.3.4&id=7&lang=en&orig_url=http://x/&client_id=web&state=a", "=="),
        ("http://p.example/?mac=&ip=1&user={user}&room=true", "=="),
        ("http://p.example/mac=1/ssid", "=="),
    ],
)  # fmt: skip
def test_the_url_that_a_portal_sends_us_to(url: str, left: str | None) -> None:
    headers = (("Location", url), ("Refresh", f"0; url={url}"), ("Server", url))
    steps = (page(redirect=url, headers=headers), page(id=2, url=url), ControlQuery(id=3, url=url))
    whole = measurement(*steps)
    after = redact(whole, (), SALT)
    if left == "==" or "#ip=5" in url:
        assert after is whole
        return
    first, second, asked = after.observations
    assert isinstance(first, HttpExchange)
    assert isinstance(second, HttpExchange)
    assert isinstance(asked, ControlQuery)
    assert first.redirect == second.url == asked.url == first.header("location")
    assert first.header("refresh") == f"0; url={first.redirect}"
    for value in (
        "5a",
        "5A",
        "Anna",
        "10.1",
        "hall",
        "AA",
        "100.64",
        "town",
        "417",
        "mueller",
        "340",
        "192",
        "77",
        "12",
    ):
        if value in url:
            assert value not in (first.redirect or "").replace(host_mark(None), "").split("?", 1)[0]
    if left is not None:
        before, behind = left.split("*")
        assert (first.redirect or "").startswith(before)
        assert (first.redirect or "").endswith(behind)
    assert all(one.kind in ("parameter", "address") and one.commitment for one in removals(after.redacted))
    assert redact(after, (), SALT) is after


def test_the_value_opens() -> None:
    after = redact(measurement(page(redirect="http://p.example/?ssid=Anna%20Home&x=1")), (), SALT)
    committed = commitment(SALT, "parameter", "Anna%20Home")
    assert list(removals(after.redacted)) == [Removal("1.redirect", "parameter", committed)]
    assert body_of(after).redirect == f"http://p.example/?ssid={host_mark(committed)}&x=1"


def test_a_transfer_and_what_the_target_says_itself() -> None:
    url = "https://example.org/?user=anna&room=1"
    target = Target(url=url, scheme="https", host="example.org", port=443)
    leg = Transfer(id=2, url=url + "&mac=1e2d3e4f5a6b", address="192.0.2.1", host="h", name=None)
    whole = redact(measurement(page(url=url), leg, target=target), (), SALT)
    first, second = whole.observations
    assert isinstance(first, HttpExchange)
    assert isinstance(second, Transfer)
    assert first.url == url
    assert second.url == f"{url}&mac={host_mark(commitment(SALT, 'parameter', '1e2d3e4f5a6b'))}"


@pytest.mark.parametrize(
    ("body", "value"),
    [
        ('<a href="/go?a=1&amp;mac=1E-2D-3E-4F-5A-6B">', "1E-2D-3E-4F-5A-6B"),
        ('{"clientMac": "1e:2d:3e:4f:5a:6b", "v": "1.2"}', "1e:2d:3e:4f:5a:6b"),
        ('{"info":"{\\"mac\\":\\"1e2d.3e4f.5a6b\\"}"}', "1e2d.3e4f.5a6b"),
        ("var ap_mac = '1e2d3e4f5a6b';", "1e2d3e4f5a6b"),
        ('<input type="hidden" name="user_mac" value="1e:2d:3e:4f:5a:6b">', "1e:2d:3e:4f:5a:6b"),
        ("<input value='1e:2d:3e:4f:5a:6b' type=hidden name='mac'>", "1e:2d:3e:4f:5a:6b"),
        ('<meta name="ssid" value="Anna Home">', "Anna Home"),
        ("location.href='http://p.example/?ssid=Anna_Home&mac=1e%3A2d%3A3e%3A4f%3A5a%3A6b'", "Anna_Home"),
    ],
)
def test_a_page_of_a_portal(body: str, value: str) -> None:
    raw = body.encode()
    after = redact(measurement(page(body=raw, body_length=len(raw))), (), SALT)
    told = mark("parameter", commitment(SALT, "parameter", value))
    assert body_of(after).body.decode().replace(told, value)[: len(body)].startswith(body.split(value)[0] + value)
    assert value.encode() not in body_of(after).body
    assert b"1e%3A" not in body_of(after).body
    assert redact(after, (), SALT) is after


@pytest.mark.parametrize(
    "body",
    [
        "macOS 14.1, mac=mini, Mac: new; mac='x'",
        '<a href="/buy?mac=mini&ip=1&user=2&room=3">',
        '{"mac":"","ssid":"","msisdn":"1","ip":"x","room":"417"}',
        "#macaroni{color:#1e2d3e} emac=1 imac=\"1e2d3e4f5a6b\"",
        "if (mac == '1e2d') {} ssid = {{ssid}}",
        "The SSID is the name of a network; the MAC is 48 bits.",
    ],
)  # fmt: skip
def test_other_pages_stay(body: str) -> None:
    raw = body.encode()
    whole = measurement(page(body=raw, body_length=len(raw), title=body))
    assert redact(whole, (), SALT) is whole


def test_a_certificate_has_no_parameters() -> None:
    chain = (b'0\x82 mac="1e2d3e4f5a6b" ?ssid=a',)
    after = redact(measurement(page(title='mac="1e2d3e4f5a6b"'), shaken(chain=chain)), (), SALT)
    assert [one.place for one in removals(after.redacted)] == ["1.title"]


@pytest.mark.parametrize(
    "pattern", ["?mac=", "mac=", 'mac="', "name='mac' ", "value='1' ", "ssid=' ", "&ssid=a", 'mac"']
)
def test_a_page_made_to_be_slow_is_searched_in_time(pattern: str) -> None:
    body = (pattern * 64 * 1024)[: 64 * 1024].encode()
    begin = time.process_time()
    redact(measurement(page(body=body, body_length=len(body))), (), SALT)
    assert time.process_time() - begin < 2
