"""Reading QUIC as a censor does: the ClientHello out of a client's Initial packets (RFC 9000, 17.2.2; RFC 9001, 5).

The keys of Initial packets follow from the connection id that the client chose, so whoever sees the packet can
open it. The hello may be spread over CRYPTO frames in any order, packets and datagrams: they are put together.
It shares no code with the probe, nor with the library that the probe uses.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from tests.lab.payloads import Read, server_name

_SALT = {
    1: bytes.fromhex("38762cf7f55934b34d179ae6a4c80cadccbb7f0a"),
    0x6B3343CF: bytes.fromhex("0dede3def700a6db819381be6e269dcbf9bd2ed9"),  # RFC 9369
}
_LABELS = {1: "quic", 0x6B3343CF: "quicv2"}
_INITIAL = {1: 0, 0x6B3343CF: 1}
_PADDING, _PING, _ACK, _ACK_ECN, _CRYPTO = 0, 1, 2, 3, 6
_MOST = 16 * 1024


def is_version_question(datagram: bytes) -> bool:
    """Tell whether a datagram asks for versions: a long header of a version kept for that (RFC 9000, 15)."""
    return len(datagram) > 5 and bool(datagram[0] & 0x80) and all(octet & 0x0F == 0x0A for octet in datagram[1:5])


def begins_handshake(datagram: bytes) -> bool:
    """Tell whether a datagram begins with an Initial packet of a version that is in use."""
    if len(datagram) < 7 or datagram[0] & 0xC0 != 0xC0:
        return False
    version = int.from_bytes(datagram[1:5], "big")
    return version in _SALT and (datagram[0] >> 4) & 3 == _INITIAL[version]


@dataclass(slots=True)
class Hello:
    """What a client has sent of its ClientHello so far, on one connection."""

    pieces: dict[int, bytes] = field(default_factory=dict)

    def add(self, datagram: bytes) -> Read:
        """Take a datagram; complete once the hello is whole."""
        for payload in initials(datagram):
            for offset, data in crypto_frames(payload):
                if offset + len(data) <= _MOST:
                    self.pieces[offset] = max(data, self.pieces.get(offset, b""), key=len)
        hello = self._joined()
        if len(hello) < 4 or len(hello) < 4 + int.from_bytes(hello[1:4], "big"):
            return Read(False)
        return Read(True, server_name(b"\x16\x03\x01\0\0" + hello))

    def _joined(self) -> bytes:
        joined = b""
        for offset, data in sorted(self.pieces.items()):
            if offset > len(joined):
                break
            joined += data[len(joined) - offset :]
        return joined


def quic_name(datagrams: Iterable[bytes]) -> str | None:
    """Return the server name that a client's datagrams carry."""
    hello = Hello()
    found = [hello.add(datagram) for datagram in datagrams]
    return next((read.name for read in found if read.complete), None)


def initials(datagram: bytes) -> Iterator[bytes]:
    """Yield the opened payload of each Initial packet of a client in a datagram."""
    try:
        while datagram and datagram[0] & 0xC0 == 0xC0:
            version = int.from_bytes(datagram[1:5], "big")
            if version not in _SALT:
                return
            at = 6 + datagram[5]
            identity = datagram[6:at]
            at += 1 + datagram[at]
            if (datagram[0] >> 4) & 3 != _INITIAL[version]:
                return
            token, at = varint(datagram, at)
            length, at = varint(datagram, at + token)
            if (payload := opened(datagram[: at + length], at, identity, version)) is not None:
                yield payload
            datagram = datagram[at + length :]
    except IndexError:
        return


def varint(data: bytes, at: int) -> tuple[int, int]:
    """Read a variable-length integer (RFC 9000, 16): its value, and where it ends."""
    size = 1 << (data[at] >> 6)
    if at + size > len(data):
        raise IndexError
    return int.from_bytes(data[at : at + size], "big") & ((1 << (8 * size - 2)) - 1), at + size


def opened(packet: bytes, at: int, identity: bytes, version: int) -> bytes | None:
    """Take protection off a client's Initial packet whose packet number stands at `at`; None when it is none."""
    secret = hmac.digest(_SALT[version], identity, "sha256")
    client = expand(secret, "client in", 32)
    key, iv, mask_key = (
        expand(client, f"{_LABELS[version]} {what}", size) for what, size in (("key", 16), ("iv", 12), ("hp", 16))
    )
    sample = packet[at + 4 : at + 20]
    if len(sample) < 16:
        return None
    mask = Cipher(algorithms.AES(mask_key), modes.ECB()).encryptor().update(sample)
    first = packet[0] ^ mask[0] & 0x0F
    size = (first & 3) + 1
    number = bytes(a ^ b for a, b in zip(packet[at : at + size], mask[1:], strict=False))
    head = bytes([first]) + packet[1:at] + number
    nonce = bytes(a ^ b for a, b in zip(iv, number.rjust(12, b"\0"), strict=True))
    try:
        return AESGCM(key).decrypt(nonce, packet[at + size :], head)
    except InvalidTag:
        return None


def expand(secret: bytes, label: str, size: int) -> bytes:
    """Do HKDF-Expand-Label (RFC 8446, 7.1) for at most 32 bytes of SHA-256."""
    name = f"tls13 {label}".encode()
    info = size.to_bytes(2, "big") + bytes([len(name)]) + name + b"\0"
    return hmac.digest(secret, info + b"\x01", hashlib.sha256)[:size]


def crypto_frames(payload: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield (offset, data) of each CRYPTO frame; what cannot stand in an Initial packet ends the reading."""
    at = 0
    while at < len(payload):
        kind = payload[at]
        at += 1
        if kind == _CRYPTO:
            offset, at = varint(payload, at)
            size, at = varint(payload, at)
            yield offset, payload[at : at + size]
            at += size
        elif kind in (_ACK, _ACK_ECN):
            _largest, at = varint(payload, at)
            _delay, at = varint(payload, at)
            ranges, at = varint(payload, at)
            for _ in range(1 + 2 * ranges + (3 if kind == _ACK_ECN else 0)):
                _number, at = varint(payload, at)
        elif kind not in (_PADDING, _PING):
            return
