"""A censor's eyes for QUIC: keys as the RFC has them, and names out of handshakes however they are cut."""

from __future__ import annotations

import hmac
import os

import pytest
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.connection import QuicConnection

from tests.lab.quic_packets import (
    _SALT,
    Hello,
    begins_handshake,
    crypto_frames,
    expand,
    initials,
    is_version_question,
    quic_name,
    varint,
)

V1, V2 = 1, 0x6B3343CF


def first_flight(name: str | None, *, protocols: int = 1, version: int = V1) -> list[bytes]:
    """What a client sends first; many protocols make its hello long."""
    offered = [f"protocol-{number}-{'x' * 60}" for number in range(protocols)]
    quic = QuicConnection(
        configuration=QuicConfiguration(server_name=name, alpn_protocols=offered, supported_versions=[version])
    )
    quic.connect(("192.0.2.1", 443), now=0.0)
    return [datagram for datagram, _ in quic.datagrams_to_send(now=0.0)]


def test_keys_are_those_of_rfc_9001_appendix_a_1() -> None:
    secret = hmac.digest(_SALT[V1], bytes.fromhex("8394c8f03e515708"), "sha256")
    client = expand(secret, "client in", 32)
    assert client.hex() == "c00cf151ca5be075ed0ebfb5c80323c42d6b7db67881289af4008f1f6c357aea"
    assert expand(client, "quic key", 16).hex() == "1f369613dd76d5467730efcbe3b1a22d"
    assert expand(client, "quic iv", 12).hex() == "fa044b2f42a3fd3b46fb255c"
    assert expand(client, "quic hp", 16).hex() == "9f50449e04a0e810283a1e9933adedd2"


@pytest.mark.parametrize("version", [V1, V2])
@pytest.mark.parametrize("name", ["facebook.com", None])
def test_the_name_is_read(name: str | None, version: int) -> None:
    flight = first_flight(name, version=version)
    assert quic_name(flight) == name
    assert all(begins_handshake(datagram) for datagram in flight)


def test_a_hello_that_is_spread_over_datagrams_is_put_together_in_any_order() -> None:
    flight = first_flight("facebook.com", protocols=40)
    assert len(flight) > 1
    assert quic_name(flight) == quic_name(reversed(flight)) == "facebook.com"
    assert quic_name([*flight, *flight]) == "facebook.com"
    hello = Hello()
    assert [hello.add(datagram).complete for datagram in flight] == [False] * (len(flight) - 1) + [True]
    assert quic_name(flight[1:]) is None


def test_what_is_no_handshake_is_passed_over() -> None:
    [datagram, *_] = first_flight("facebook.com")
    for junk in (b"", b"\xc0", os.urandom(1200), datagram[:40], bytes(1200), b"\x40" + datagram[1:]):
        assert quic_name([junk]) is None
    broken = bytearray(datagram)
    broken[100] ^= 1
    assert list(initials(bytes(broken))) == []
    assert not begins_handshake(b"\xc0\x1a\x2a\x3a\x4a" + datagram[5:])


def test_questions_for_versions_are_known() -> None:
    assert is_version_question(b"\xc0\x1a\x2a\x3a\x4a" + bytes(20))
    assert not is_version_question(first_flight("facebook.com")[0])


def test_numbers_and_frames() -> None:
    assert varint(bytes.fromhex("c2197c5eff14e88c"), 0) == (151288809941952652, 8)
    assert varint(bytes.fromhex("9d7f3e7d"), 0) == (494878333, 4)
    assert varint(bytes.fromhex("7bbd"), 0) == (15293, 2)
    assert varint(b"\x25", 0) == (37, 1)
    with pytest.raises(IndexError):
        varint(b"\x7b", 0)
    ack = b"\x02\x05\x00\x01\x00\x00\x00"
    crypto = b"\x06\x03\x02hi"
    assert list(crypto_frames(b"\0\0\x01" + ack + crypto + b"\0")) == [(3, b"hi")]
    assert list(crypto_frames(b"\x1c" + crypto)) == []
