"""What a control refuses to do for strangers."""

from __future__ import annotations

import pytest

from probe.control.policy import Policy, Refused, read, read_url
from probe.control.protocol import Question


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "127.255.0.9",
        "0.0.0.0",
        "169.254.169.254",
        "224.0.0.1",
        "::",
        "::1",
        "fe80::1",
        "ff02::1",
        "::ffff:127.0.0.1",
        "::127.0.0.1",
        "64:ff9b::127.0.0.1",
        "2002:7f00:1::",
        "2001:0:4136:e378:8000:63bf:80ff:fffe",
    ],
)
def test_an_address_that_is_never_public_is_private_whatever_the_list_says(address: str) -> None:
    assert Policy().is_private(address, lambda listed: False)


@pytest.mark.parametrize("address", ["192.0.2.1", "::ffff:192.0.2.1", "64:ff9b::c000:201"])
def test_the_list_decides_about_the_rest_also_inside_ipv6(address: str) -> None:
    assert Policy().is_private(address, lambda listed: listed == "192.0.2.1")
    assert not Policy().is_private(address, lambda listed: False)


@pytest.mark.parametrize(
    "url",
    [
        "ftp://example.org/",
        "file:///etc/passwd",
        "http://user:secret@example.org/",
        "http://127.1/",
        "http://0x7f000001/",
        "http://2130706433/",
        "http://[::1%25lo]/",
        "http://example.org:0/",
        "http://example.org:22/",
        "https://example.org:25/",
        "http://example.org:6667/",
        "//example.org/",
        "",
    ],
)
def test_a_url_that_no_browser_would_open_is_refused_in_words(url: str) -> None:
    with pytest.raises(Refused, match=r"^http_request: .{10}"):
        read_url(url)


def test_only_three_headers_are_taken() -> None:
    headers: dict[str, list[str] | None] = {
        "accept": ["text/html"],
        "ACCEPT-LANGUAGE": ["sw", "en"],
        "User-Agent": [],
        "Cookie": ["a=b"],
        "Host": ["internal"],
        "Authorization": None,
    }
    errand = read(Question("http://example.org", headers), Policy())
    assert errand.headers == {"Accept": "text/html", "Accept-Language": "sw"}
    assert errand.target.url == "http://example.org/"


@pytest.mark.parametrize("value", ["", " ", "a\r\nHost: internal", "a\x00", "ä", "x" * 1025, " a", "a "])
def test_a_header_that_could_break_a_request_is_refused(value: str) -> None:
    with pytest.raises(Refused, match="User-Agent"):
        read(Question("http://example.org/", {"user-agent": [value]}), Policy())


def test_the_probes_endpoints_give_addresses_each_once() -> None:
    listed = ["192.0.2.1:443", "192.0.2.1:80", "[2001:DB8::1]:443"]
    assert read(Question("http://example.org/", None, listed), Policy()).offered == ("192.0.2.1", "2001:db8::1")


def test_too_many_or_wrong_endpoints_are_refused_in_words() -> None:
    with pytest.raises(Refused, match="lists 4 endpoints, of which at most 3"):
        read(Question("http://example.org/", None, ["192.0.2.1:80"] * 4), Policy(offered=3))
    with pytest.raises(Refused, match=r"tcp_connect: 'localhost:80'"):
        read(Question("http://example.org/", None, ["localhost:80"]), Policy())
