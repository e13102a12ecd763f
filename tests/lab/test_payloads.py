"""What the censor reads must be read from any piece of the stream, and garbage must not stop it."""

from __future__ import annotations

import ssl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.lab.look import addresses_in, query
from tests.lab.packets import checksum, parse
from tests.lab.payloads import client_hello, dns_forgery, dns_question, http_host, matches


def hello(name: str) -> bytes:
    """Return the ClientHello that Python sends for `name`."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    connection = ssl.create_default_context().wrap_bio(incoming, outgoing, server_hostname=name)
    with pytest.raises(ssl.SSLWantReadError):
        connection.do_handshake()
    return outgoing.read()


def test_a_hello_is_read_once_it_is_whole() -> None:
    whole = hello("www.facebook.com")
    assert client_hello(whole).name == "www.facebook.com"
    assert not any(client_hello(whole[:end]).complete for end in range(len(whole)))


def test_a_request_is_read_once_its_head_is_whole() -> None:
    whole = b"GET / HTTP/1.1\r\nAccept: */*\r\nhost:  Facebook.com:80\r\n\r\n"
    assert http_host(whole).name == "facebook.com"
    assert not any(http_host(whole[:end]).complete for end in range(len(whole)))


def test_a_forgery_answers_its_question() -> None:
    asked = query("facebook.com")
    question = dns_question(asked)
    assert question
    assert question.name == "facebook.com"
    assert addresses_in(dns_forgery(asked, question, "10.1.2.3"), asked) == ["10.1.2.3"]
    assert addresses_in(dns_forgery(asked, question, None), asked) == "nxdomain"


@pytest.mark.parametrize(
    ("name", "matched"), [("facebook.com", True), ("www.Facebook.com.", True), ("notfacebook.com", False)]
)
def test_a_name_matches_itself_and_what_is_below_it(name: str, matched: bool) -> None:
    assert matches(name, ["facebook.com"]) is matched


def test_checksum_is_that_of_rfc_1071() -> None:
    assert checksum(bytes.fromhex("0001f203f4f5f6f7")) == 0x220D


@given(st.binary(max_size=200))
def test_garbage_is_let_pass(data: bytes) -> None:
    client_hello(data)
    client_hello(b"\x16\x03\x01\x00\x20\x01" + data)
    http_host(data)
    dns_question(data)
    parse(data)
