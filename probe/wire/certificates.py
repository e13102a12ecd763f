"""Judging a certificate chain offline, after the handshake that took it.

A handshake that refuses bad certificates would keep neither the interceptor's chain nor what happens
next, so it takes any, and the chain is judged here: by OpenSSL against the system's or the configured
authorities, at the corrected time; then its purpose; then the name, by RFC 6125 (service-identity).
The error is OpenSSL's own number and words ("20: unable to get local issuer certificate"), also where
its verdict was found by other means (62, 64: the name; 26: the purpose).

The chain is the peer's, so what it can cost is bounded before OpenSSL works on it: certificates and
bytes (`Limits`), and the size of keys, since checking one signature of a huge key takes seconds.
"""

from __future__ import annotations

import ipaddress
import os
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import certifi
import service_identity
import service_identity.cryptography
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import dsa, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID
from OpenSSL import crypto

from measurements.model import Failure
from probe.wire.failures import failure_of_certificate

LARGEST_KEY = 8192  # bits of an RSA or DSA modulus
MALFORMED = "the certificate cannot be read"
WRONG_PURPOSE = "26: unsuitable certificate purpose"
WRONG_NAME = "62: hostname mismatch"
WRONG_ADDRESS = "64: IP address mismatch"
KEY_TOO_LARGE = f"a key of more than {LARGEST_KEY} bits is not checked"


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a chain is worth: its failure and OpenSSL's words, and who signed the leaf."""

    failure: Failure | None
    error: str | None
    issuer: str | None


@dataclass(frozen=True, slots=True)
class Authorities:
    """Where the trusted certificates are: a file, a folder of hashed names, or both."""

    file: str | None
    folder: str | None

    @classmethod
    def find(cls, ca_file: Path | None) -> Authorities:
        """Choose the configured file, else the system's, else the bundle that comes with certifi."""
        if ca_file is not None:
            return cls(str(ca_file), None)
        system = ssl.get_default_verify_paths()
        folder = system.capath if system.capath and os.listdir(system.capath) else None
        if system.cafile or folder:
            return cls(system.cafile, None if system.cafile else folder)
        return cls(certifi.where(), None)

    def client_context(self) -> ssl.SSLContext:
        """Make a verifying TLS context, for connections of our own (DoH, control)."""
        return ssl.create_default_context(cafile=self.file, capath=self.folder)

    def store(self) -> crypto.X509Store:
        store = crypto.X509Store()
        store.load_locations(self.file, self.folder)
        return store


class TrustStore:
    """The authorities, loaded once and shared by all measurements."""

    def __init__(self, authorities: Authorities) -> None:
        self._store = authorities.store()

    def judge(self, chain: Sequence[bytes], name: str | None, at: float) -> Judgement:
        """Judge a DER chain, leaf first, for `name` (None: for no name) at UTC seconds `at`."""
        if not chain:
            return Judgement(Failure.SSL_INVALID_CERTIFICATE, "the peer sent no certificate", None)
        try:
            certificates = [x509.load_der_x509_certificate(der) for der in chain]
            issuer = certificates[0].issuer.rfc4514_string()
        except ValueError:
            return Judgement(Failure.SSL_INVALID_CERTIFICATE, MALFORMED, None)
        try:
            failure, error = self._judge(chain, certificates, name, at)
        except (ValueError, crypto.Error) as broken:  # extensions and keys are read late
            failure, error = Failure.SSL_INVALID_CERTIFICATE, f"{MALFORMED}: {broken}"
        return Judgement(failure, error, issuer)

    def _judge(
        self, chain: Sequence[bytes], certificates: list[x509.Certificate], name: str | None, at: float
    ) -> tuple[Failure | None, str | None]:
        if any(_key_is_huge(certificate) for certificate in certificates):
            return Failure.SSL_INVALID_CERTIFICATE, KEY_TOO_LARGE
        untrusted = self._verify(chain, at)
        if untrusted is not None:
            code, words = untrusted
            return failure_of_certificate(code), f"{code}: {words}"
        if not all(_may_serve(certificate) for certificate in certificates):
            return Failure.SSL_INVALID_CERTIFICATE, WRONG_PURPOSE
        mismatch = None if name is None else _mismatch(certificates[0], name)
        return (None, None) if mismatch is None else (Failure.SSL_INVALID_HOSTNAME, mismatch)

    def _verify(self, chain: Sequence[bytes], at: float) -> tuple[int, str] | None:
        """Let OpenSSL build and check a path; return its code and words when there is none."""
        leaf, *rest = [crypto.load_certificate(crypto.FILETYPE_ASN1, der) for der in chain]
        self._store.set_time(datetime.fromtimestamp(at, UTC))
        try:
            crypto.X509StoreContext(self._store, leaf, rest).verify_certificate()
        except crypto.X509StoreContextError as error:
            code, _depth, words = error.errors
            return int(code), str(words)
        return None


def _key_is_huge(certificate: x509.Certificate) -> bool:
    try:
        key = certificate.public_key()
    except UnsupportedAlgorithm:
        return False  # OpenSSL will say so itself
    return isinstance(key, (rsa.RSAPublicKey, dsa.DSAPublicKey)) and key.key_size > LARGEST_KEY


def _may_serve(certificate: x509.Certificate) -> bool:
    """Whether the extended key usage, if there is one, allows a TLS server (RFC 5280, 4.2.1.12)."""
    try:
        usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        return True
    allowed = (ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE)
    return any(purpose in allowed for purpose in usage)


def is_address(name: str) -> bool:
    """Whether `name` is an IP address."""
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _mismatch(leaf: x509.Certificate, name: str) -> str | None:
    """Say in OpenSSL's words that the certificate is for another name or address."""
    by_address = is_address(name)
    check = (
        service_identity.cryptography.verify_certificate_ip_address
        if by_address
        else service_identity.cryptography.verify_certificate_hostname
    )
    try:
        check(leaf, name)
    except (service_identity.VerificationError, service_identity.CertificateError, ValueError):
        return WRONG_ADDRESS if by_address else WRONG_NAME
    return None
