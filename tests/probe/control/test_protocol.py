"""The words and shapes of ts-017."""

from __future__ import annotations

import msgspec
import pytest

from measurements.model import Failure
from probe.control.protocol import (
    Answer,
    Malformed,
    Page,
    Question,
    canonical,
    failure_of,
    read_answer,
    read_question,
    split_endpoint,
    word,
)
from probe.network import endpoint
from tests.probe.control import examples


def test_an_answer_without_news_has_every_key_that_a_probe_looks_for() -> None:
    written = msgspec.json.decode(msgspec.json.encode(Answer(http_request=Page())))
    assert written.keys() >= examples.ANSWER.keys()
    assert written["http_request"] == {
        "body_length": -1,
        "discovered_h3_endpoint": "",
        "failure": None,
        "title": "",
        "headers": {},
        "status_code": -1,
    }


def test_a_full_answer_is_read_and_written_alike() -> None:
    data = msgspec.json.encode(examples.ANSWER)
    written = msgspec.json.decode(msgspec.json.encode(read_answer(data)))
    assert written.pop("x_client_address") is None
    assert written == examples.ANSWER


@pytest.mark.parametrize(
    ("failure", "dns", "tcp", "tls", "http"),
    [
        (None, None, None, None, None),
        (Failure.DNS_NXDOMAIN, "dns_name_error", "connect_error", "dns_nxdomain_error", "unknown_error"),
        (Failure.NO_DNS_ANSWER, None, "connect_error", "dns_no_answer", "unknown_error"),
        (Failure.DNS_REFUSED, "dns_server_failure", "connect_error", "dns_refused_error", "unknown_error"),
        (Failure.TIMEOUT, "unknown_error", *["generic_timeout_error"] * 3),
        (
            Failure.CONNECTION_REFUSED,
            "unknown_error",
            "connection_refused_error",
            "connection_refused",
            "connection_refused_error",
        ),
        (Failure.CONNECTION_RESET, "unknown_error", "connect_error", "connection_reset", "unknown_error"),
        (Failure.SSL_INVALID_HOSTNAME, "unknown_error", "connect_error", "ssl_invalid_hostname", "unknown_error"),
    ],
)
def test_a_failure_is_said_in_the_helpers_word_for_its_layer(
    failure: Failure | None, dns: str | None, tcp: str | None, tls: str | None, http: str | None
) -> None:
    assert [word(failure, layer) for layer in ("dns", "tcp", "tls", "http")] == [dns, tcp, tls, http]


@pytest.mark.parametrize(
    ("text", "failure", "detail"),
    [
        (None, None, ""),
        ("connection_reset", Failure.CONNECTION_RESET, ""),
        ("dns_name_error", Failure.DNS_NXDOMAIN, "dns_name_error"),
        ("connection_refused_error", Failure.CONNECTION_REFUSED, "connection_refused_error"),
        ("connect_error", Failure.UNKNOWN, "connect_error"),
        ("unknown_failure: too many redirects", Failure.UNKNOWN, "unknown_failure: too many redirects"),
        ("", Failure.UNKNOWN, ""),
        ("\x1b[2J\nfake" + "x" * 500, Failure.UNKNOWN, ("[2Jfake" + "x" * 500)[:120]),
    ],
)
def test_a_helpers_word_becomes_our_failure(text: str | None, failure: Failure | None, detail: str) -> None:
    assert failure_of(text) == (failure, detail)


@pytest.mark.parametrize("text", ["192.0.2.1:443", "[2001:db8::1]:80"])
def test_an_endpoint_is_read_and_written_alike(text: str) -> None:
    assert endpoint(*split_endpoint(text)) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        ":",
        "192.0.2.1",
        "192.0.2.1:",
        "192.0.2.1:0",
        "192.0.2.1:65536",
        "192.0.2.1:-1",
        "192.0.2.1:٤٤٣",
        "192.0.2.1:" + "9" * 5000,
        "2001:db8::1:443",
        "[192.0.2.1]:443",
        "[fe80::1%eth0]:443",
        "example.org:443",
        "[]:1",
    ],
)
def test_what_is_no_endpoint_is_refused_in_words(text: str) -> None:
    with pytest.raises(Malformed, match=r"endpoint|port between"):
        split_endpoint(text)


def test_an_address_is_written_in_one_way() -> None:
    assert canonical("2001:DB8:0::1") == "2001:db8::1"
    assert canonical("example.org") is None


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"nonsense",
        b"[]",
        b"{}",
        b'{"http_request": 1}',
        b'{"http_request": "x", "tcp_connect": "y"}',
        b'{"http_request": "\\ud800"}',
        b'{"http_request": "\xff"}',
        b'{"http_request": "x", "y": ' + b"[" * 50_000 + b"]" * 50_000 + b"}",
    ],
)
def test_what_is_no_question_is_malformed(data: bytes) -> None:
    with pytest.raises(Malformed):
        read_question(data)


def test_a_question_of_an_older_probe_has_less_in_it() -> None:
    question = read_question(b'{"http_request": "http://x/", "tcp_connect": null, "x_other": true}')
    assert question == Question("http://x/")
    assert read_question(b'{"http_request": "http://x/", "x_quic_enabled": true}').x_quic_enabled
