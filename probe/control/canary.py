"""Something that a control alone can say: `GET /canary?nonce=…`.

It signs the nonce that it is given with a key of its own, and says which key that is; where it also listens for
TLS, it says on which port, and shows the same key there. It says too how long the objects are that it gives
(`objects.py`). A portal, or whoever else answers for all, cannot know the answer beforehand, and cannot show the
key. The key is made anew whenever the control starts: a probe believes it for one look. The answer also tells where
the request came from, which serves to know one's own network.
"""

from __future__ import annotations

import datetime
import hashlib
import ipaddress
import re
from dataclasses import dataclass
from pathlib import Path

import msgspec
from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from measurements.model import HttpExchange

PATH = "/canary"
NONCE = re.compile(r"nonce=([0-9a-f]{8,64})")
_SPKI = (serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
_CONTEXT = b"wazi canary "


class Song(msgspec.Struct, frozen=True, kw_only=True):
    """The body of the answer: all bytes in hex."""

    signature: str
    key: str
    client: str | None = None
    port: int | None = None
    most: int | None = None


@dataclass(frozen=True, slots=True)
class Said:
    """What a control said, its signature checked: its key's digest, where it saw us, and its port for TLS.

    `most` are the bytes of the longest object that it gives, 0 when it gives none.
    """

    key: str
    client: str | None
    port: int | None
    most: int = 0


class Singer:
    """A control's key, made when it starts, and what is signed with it."""

    def __init__(self, *, port: int | None = None, most: int | None = None) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self.port = port
        self._most = most

    def sing(self, query: str, client: str | None) -> bytes | None:
        """Answer a request's query; None when it asks nothing that is answered."""
        asked = NONCE.fullmatch(query)
        if asked is None:
            return None
        signature = self._key.sign(_CONTEXT + asked[1].encode(), ec.ECDSA(hashes.SHA256()))
        public = self._key.public_key().public_bytes(*_SPKI)
        song = Song(signature=signature.hex(), key=public.hex(), client=client, port=self.port, most=self._most)
        return msgspec.json.encode(song)

    @property
    def key(self) -> str:
        """The SHA-256 digest of the public key, in hex."""
        return hashlib.sha256(self._key.public_key().public_bytes(*_SPKI)).hexdigest()

    def certificate(self) -> x509.Certificate:
        """Make a certificate that the key signed itself."""
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "wazi canary")])
        now = datetime.datetime.now(datetime.UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(self._key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=3650))
            .sign(self._key, hashes.SHA256())
        )

    def write_certificate(self, path: Path) -> None:
        """Write the key and its certificate, as PEM; the file is for this user alone."""
        plain = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        path.touch(mode=0o600)
        certificate = self.certificate().public_bytes(serialization.Encoding.PEM)
        path.write_bytes(self._key.private_bytes(*plain) + certificate)


def read(page: HttpExchange, nonce: str) -> Said | None:
    """Read an answer; None when it is none of a control's, or to another nonce."""
    if page.status != 200:
        return None
    try:
        song = msgspec.json.decode(page.body, type=Song)
        public = bytes.fromhex(song.key)
        key = serialization.load_der_public_key(public)
        if not isinstance(key, ec.EllipticCurvePublicKey):
            return None
        key.verify(bytes.fromhex(song.signature), _CONTEXT + nonce.encode(), ec.ECDSA(hashes.SHA256()))
        client = None if song.client is None else str(ipaddress.ip_address(song.client))
    except (msgspec.MsgspecError, ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
        return None
    port = song.port if song.port is not None and 0 < song.port < 65536 else None
    return Said(hashlib.sha256(public).hexdigest(), client, port, max(song.most or 0, 0))


def shows(chain: tuple[bytes, ...], key: str) -> bool:
    """Whether the first certificate of a chain holds the key with this digest."""
    try:
        public = x509.load_der_x509_certificate(chain[0]).public_key().public_bytes(*_SPKI)
    except (IndexError, ValueError, TypeError, UnsupportedAlgorithm):
        return False
    return hashlib.sha256(public).hexdigest() == key
