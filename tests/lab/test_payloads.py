"""What the censor reads must be read from any piece of the stream, and garbage must not stop it."""

from __future__ import annotations

import ssl

import dns.edns
import dns.message
import pytest
import trustme
from hypothesis import given
from hypothesis import strategies as st

from tests.lab.look import addresses_in, query
from tests.lab.packets import checksum, parse
from tests.lab.payloads import (
    KINDS,
    certificate_names,
    client_hello,
    dns_forgery,
    dns_question,
    encrypted_records,
    http_host,
    matches,
)


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
    assert http_host(whole).path == "/"
    assert not any(http_host(whole[:end]).complete for end in range(len(whole)))


def test_a_forgery_answers_its_question() -> None:
    asked = query("facebook.com")
    question = dns_question(asked)
    assert question
    assert question.name == "facebook.com"
    assert addresses_in(dns_forgery(asked, question, ["10.1.2.3", "fd00::1"]), asked) == ["10.1.2.3"]
    assert addresses_in(dns_forgery(asked, question, error="nxdomain"), asked) == "nxdomain"


def test_a_forgery_is_a_message_that_others_read() -> None:
    for kind in KINDS:
        asked = dns.message.make_query("facebook.com", kind)
        question = dns_question(asked.to_wire())
        assert question
        read = dns.message.from_wire(dns_forgery(asked.to_wire(), question, ["10.1.2.3", "fd00::1"], ede=16))
        said = {"A": "10.1.2.3", "AAAA": "fd00::1", "HTTPS": '1 . ipv4hint="10.1.2.3" ipv6hint="fd00::1"'}
        assert [str(record) for record in read.answer[0]] == [said[kind]]
        assert [option.code for option in read.extended_errors()] == [dns.edns.EDECode.CENSORED]
        assert asked.is_response(read)


def test_a_certificate_in_clear_is_read() -> None:
    made = trustme.CA().issue_cert("facebook.com", "*.facebook.com", "other.example")
    der = ssl.PEM_cert_to_DER_cert(made.cert_chain_pems[0].bytes().decode())
    assert certificate_names(b"\x16\x03\x03" + der) == ["facebook.com", "facebook.com", "other.example"]
    assert certificate_names(b"\x17\x03\x03" + der) == []


def test_encrypted_records_are_counted_once_they_are_whole() -> None:
    stream = b"\x16\x03\x03\0\1x" + b"\x17\x03\x03\0\2xy" * 2
    assert [encrypted_records(stream[:end]) for end in (6, 12, 13, 19, 20)] == [0, 0, 1, 1, 2]
    older = b"\x16\x03\x03\0\1x\x14\x03\x03\0\1\1\x16\x03\x03\0\1x"
    assert [encrypted_records(older[:end]) for end in (6, 12, 17, 18)] == [0, 0, 0, 1]


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
