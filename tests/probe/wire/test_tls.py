"""Connecting and shaking hands: each way to fail stays distinct."""

from __future__ import annotations

import asyncio
import datetime
import socket
import ssl
from pathlib import Path

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from measurements.model import Failure, Preconditions, TlsHandshake
from probe.network import CLASSIC, LARGE, Limits
from probe.wire.certificates import KEY_TOO_LARGE, WRONG_PURPOSE, Authorities, TrustStore
from tests.probe.wire.conftest import NAME, Keys, Nginx
from tests.probe.wire.peers import Serve, network, reset, run, server_context, tcp_peer

NOW = datetime.datetime.now(datetime.UTC)


async def shake(
    port: int,
    *,
    name: str | None = NAME,
    verify: str | None = None,
    ca_file: Path | None = None,
    limits: Limits | None = None,
    preconditions: Preconditions | None = None,
    timeout: float | None = None,
    hello: str = CLASSIC,
    alpn: tuple[str, ...] = ("h2", "http/1.1"),
    address: str = "127.0.0.1",
) -> TlsHandshake:
    async with network(ca_file=ca_file, limits=limits, preconditions=preconditions) as net:
        tcp = await net.connect(address, port)
        assert tcp.failure is None
        return await net.handshake(tcp, name=name, verify=verify, timeout=timeout, hello=hello, alpn=alpn)


def serve_tls(certificate: trustme.LeafCert, **options: object) -> TlsHandshake:
    """Shake hands with a server of this certificate."""

    async def quiet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)

    async def main() -> TlsHandshake:
        async with tcp_peer(quiet, server_context(certificate)) as port:
            return await shake(port, **options)  # type: ignore[arg-type]

    return run(main())


def serve_plain(serve: Serve, **options: object) -> TlsHandshake:
    async def main() -> TlsHandshake:
        async with tcp_peer(serve) as port:
            return await shake(port, **options)  # type: ignore[arg-type]

    return run(main())


# -- TCP


def test_connecting_fails_in_the_systems_words() -> None:
    async def main() -> None:
        with socket.socket() as closed:
            closed.bind(("127.0.0.1", 0))
            port = closed.getsockname()[1]
            async with network() as net:
                refused = await net.connect("127.0.0.1", port)
                refused6 = await net.connect("::1", port)
                odd = await net.connect("not an address", 443)
                beyond = await net.connect("127.0.0.1", 70_000)
        assert refused.failure is Failure.CONNECTION_REFUSED
        assert refused6.failure is Failure.CONNECTION_REFUSED
        assert odd.failure is Failure.INVALID_ARGUMENT
        assert beyond.failure is Failure.INVALID_ARGUMENT

    run(main())


def test_a_syn_that_nobody_answers_times_out() -> None:
    async def main() -> None:
        with socket.socket() as full:
            full.bind(("127.0.0.1", 0))
            full.listen(0)
            async with network() as net:
                port = full.getsockname()[1]
                steps = [await net.connect("127.0.0.1", port, timeout=0.2) for _ in range(4)]
        assert steps[-1].failure is Failure.TIMEOUT
        assert 0.2 <= steps[-1].elapsed < 0.6

    run(main())


# -- the handshake


def test_a_good_certificate_is_verified_by_name_and_by_address(keys: Keys, nginx: Nginx) -> None:
    async def main() -> None:
        for port, alpn, alpn_chosen in ((nginx.http2, ("h2", "http/1.1"), "h2"), (nginx.http1, (), None)):
            step = await shake(port, ca_file=keys.ca_file, alpn=alpn)
            assert (step.failure, step.certificate_error, step.alpn) == (None, None, alpn_chosen)
            assert (step.version, step.verified_name, step.name) == ("TLSv1.3", NAME, NAME)
            assert step.cipher is not None
            assert step.hello_size == 517
            assert len(step.chain) == 2
            assert x509.load_der_x509_certificate(step.chain[0]).issuer.rfc4514_string() == step.issuer
            assert step.received > sum(map(len, step.chain))
        by_address = await shake(nginx.http1, ca_file=keys.ca_file, name="127.0.0.1")
        assert (by_address.failure, by_address.name, by_address.verified_name) == (None, None, "127.0.0.1")
        without = await shake(nginx.http1, ca_file=keys.ca_file, name=None, verify=NAME)
        assert (without.failure, without.name, without.verified_name) == (None, None, NAME)

    run(main())


def test_a_large_hello_is_taken_by_a_real_server(keys: Keys, nginx: Nginx) -> None:
    async def main() -> None:
        for alpn, chosen in ((("h2", "http/1.1"), "h2"), (("http/1.1",), "http/1.1")):
            step = await shake(nginx.http2, ca_file=keys.ca_file, hello=LARGE, alpn=alpn)
            assert (step.failure, step.alpn, step.alpn_offered) == (None, chosen, alpn)
            assert step.hello_size > 1500
        assert (await shake(nginx.http1, ca_file=keys.ca_file, hello=LARGE, alpn=())).failure is None

    run(main())


def test_ipv6(keys: Keys) -> None:
    async def quiet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)

    async def main() -> None:
        async with tcp_peer(quiet, server_context(keys.leaf), "::1") as port:
            step = await shake(port, address="::1", name="::1", ca_file=keys.ca_file)
        assert (step.failure, step.address) == (None, "::1")

    run(main())


def test_a_wrong_name_is_told_in_openssls_words(keys: Keys) -> None:
    step = serve_tls(keys.leaf, ca_file=keys.ca_file, name="other.example")
    assert (step.failure, step.certificate_error) == (Failure.SSL_INVALID_HOSTNAME, "62: hostname mismatch")
    assert step.ended
    assert len(step.chain) == 2
    step = serve_tls(keys.leaf, ca_file=keys.ca_file, name="192.0.2.9")
    assert (step.failure, step.certificate_error) == (Failure.SSL_INVALID_HOSTNAME, "64: IP address mismatch")


def test_an_unknown_authority(keys: Keys) -> None:
    step = serve_tls(trustme.CA().issue_cert(NAME), ca_file=keys.ca_file)
    assert step.failure is Failure.SSL_UNKNOWN_AUTHORITY
    assert step.certificate_error == "20: unable to get local issuer certificate"


def test_an_expired_certificate_is_judged_at_the_corrected_time(keys: Keys) -> None:
    expired = keys.authority.issue_cert(
        NAME, not_before=NOW - datetime.timedelta(days=30), not_after=NOW - datetime.timedelta(days=10)
    )
    step = serve_tls(expired, ca_file=keys.ca_file)
    assert step.failure is Failure.SSL_INVALID_CERTIFICATE
    assert step.certificate_error == "10: certificate has expired"
    corrected = Preconditions(clock_offset=-20 * 86400.0)
    assert serve_tls(expired, ca_file=keys.ca_file, preconditions=corrected).failure is None
    early = Preconditions(clock_offset=-60 * 86400.0)
    assert serve_tls(expired, ca_file=keys.ca_file, preconditions=early).certificate_error == (
        "9: certificate is not yet valid or the system clock is incorrect"
    )


def test_a_reset_an_end_a_silence_and_an_alert_are_four_things(nginx: Nginx) -> None:
    async def cut(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1000)
        reset(writer)

    async def leave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1000)

    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1000)
        await reader.read(1)

    assert serve_plain(cut).failure is Failure.CONNECTION_RESET
    assert serve_plain(leave).failure is Failure.EOF
    silent = serve_plain(hang, timeout=0.2)
    assert (silent.failure, silent.hello_size) == (Failure.TIMEOUT, 517)
    refused = run(shake(nginx.rejecting))
    assert (refused.failure, refused.detail) == (Failure.SSL_FAILED_HANDSHAKE, "alert: unrecognized_name")
    assert not refused.ended


@pytest.mark.parametrize(
    ("sent", "detail"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "junk: 'HTTP/1.1 400"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "junk: 'SSH-2.0"),
        (b"\x15\x03\x01\x00\x02\x02\x28", "alert: handshake_failure"),
        (b"\x15\x03\x01\x00\x02\x02\x46", "alert: protocol_version"),
        (b"\x15\x03\x01\x00\x02\x01\x00", "alert: close_notify"),
        (b"\x15\x03\x01\x00\x02\x02\x78", "alert: no_application_protocol"),
        (b"\x16\x03\x03\x00\x04\x02\x00\x00\x00", "tls: "),
    ],
)
def test_what_is_no_tls_is_junk_and_what_is_has_a_name(sent: bytes, detail: str) -> None:
    async def say(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1000)
        writer.write(sent)
        await writer.drain()

    step = serve_plain(say)
    assert step.failure is Failure.SSL_FAILED_HANDSHAKE
    assert step.detail.startswith(detail)


def test_an_endless_handshake_is_bounded() -> None:
    async def babble(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1000)
        record = b"\x16\x03\x03\x40\x00" + b"\x00\x00\x00\x00" * 4096  # hello requests without end
        while True:
            writer.write(record)
            await writer.drain()

    step = serve_plain(babble, timeout=5.0)
    assert step.failure is Failure.SSL_FAILED_HANDSHAKE
    assert step.received <= 300 * 1024
    assert step.elapsed < 4


@pytest.mark.parametrize("name", ["a" * 300, ".site.example", "münchen." + "x" * 70, "\0", "a..b"])
def test_a_name_that_tls_cannot_carry_is_a_failed_step(name: str, nginx: Nginx) -> None:
    step = run(shake(nginx.http1, name=name))
    assert step.failure is Failure.INVALID_ARGUMENT
    assert step.hello_size == 0


def test_an_unknown_shape_of_hello_is_the_callers_mistake(nginx: Nginx) -> None:
    with pytest.raises(ValueError, match="no shape"):
        run(shake(nginx.http1, hello="enormous"))


def test_chains_are_bounded_and_the_bound_is_recorded(keys: Keys) -> None:
    async def quiet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)

    async def main() -> None:
        authority = keys.authority
        for _ in range(5):
            authority = authority.create_child_ca()
        context = server_context(authority.issue_cert(NAME))
        async with tcp_peer(quiet, context) as port:
            for limits in (Limits(chain_certificates=3), Limits(chain_bytes=2000)):
                async with network(ca_file=keys.ca_file, limits=limits) as net:
                    step = await net.handshake(await net.connect("127.0.0.1", port), name=NAME)
                    assert net.spent.limits == ["chain"]
                assert len(step.chain) <= 3
                assert sum(map(len, step.chain)) <= limits.chain_bytes
                assert step.failure is Failure.SSL_UNKNOWN_AUTHORITY
            assert len((await shake(port, ca_file=keys.ca_file)).chain) == 6

    run(main())


def test_weak_servers_that_a_browser_or_a_victim_would_meet_are_still_seen(keys: Keys, tmp_path: Path) -> None:
    """An interceptor with a 1024-bit key must be seen, not refused."""
    key = rsa.generate_private_key(65537, 1024)
    certificate = _certificate(key.public_key(), keys, [ExtendedKeyUsageOID.SERVER_AUTH])
    pem = tmp_path / "weak.pem"
    from cryptography.hazmat.primitives import serialization as s

    pem.write_bytes(
        key.private_bytes(s.Encoding.PEM, s.PrivateFormat.PKCS8, s.NoEncryption())
        + certificate.public_bytes(s.Encoding.PEM)
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_ciphers("DEFAULT@SECLEVEL=0")
    context.load_cert_chain(pem)

    async def quiet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)

    async def main() -> None:
        async with tcp_peer(quiet, context) as port:
            assert (await shake(port, ca_file=keys.ca_file)).ended

    run(main())


# -- judging a chain without a wire


def _certificate(
    key: ec.EllipticCurvePublicKey | rsa.RSAPublicKey, keys: Keys, usages: list[x509.ObjectIdentifier] | None
) -> x509.Certificate:
    """A leaf for `NAME` and `key`, signed by the test's authority."""
    from cryptography.hazmat.primitives import serialization as s

    authority_key = s.load_pem_private_key(keys.authority.private_key_pem.bytes(), None)
    authority = x509.load_pem_x509_certificate(keys.authority.cert_pem.bytes())
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, NAME)]))
        .issuer_name(authority.subject)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW - datetime.timedelta(days=1))
        .not_valid_after(NOW + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(NAME)]), False)
    )
    if usages is not None:
        builder = builder.add_extension(x509.ExtendedKeyUsage(usages), False)
    assert isinstance(authority_key, ec.EllipticCurvePrivateKey)
    return builder.sign(authority_key, hashes.SHA256())


def _judge(certificate: x509.Certificate, keys: Keys) -> tuple[Failure | None, str | None]:
    from cryptography.hazmat.primitives.serialization import Encoding

    store = TrustStore(Authorities.find(keys.ca_file))
    judgement = store.judge([certificate.public_bytes(Encoding.DER)], NAME, NOW.timestamp())
    return judgement.failure, judgement.error


def test_the_usage_must_allow_a_server(keys: Keys) -> None:
    key = ec.generate_private_key(ec.SECP256R1()).public_key()
    client = _certificate(key, keys, [ExtendedKeyUsageOID.CLIENT_AUTH])
    assert _judge(client, keys) == (Failure.SSL_INVALID_CERTIFICATE, WRONG_PURPOSE)
    both = _certificate(key, keys, [ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH])
    assert _judge(both, keys) == (None, None)
    assert _judge(_certificate(key, keys, None), keys) == (None, None)


def test_a_huge_key_is_not_worked_on(keys: Keys) -> None:
    huge = rsa.RSAPublicNumbers(65537, (1 << 16383) | 1).public_key()
    assert _judge(_certificate(huge, keys, None), keys) == (Failure.SSL_INVALID_CERTIFICATE, KEY_TOO_LARGE)


def test_bytes_that_are_no_certificate_are_judged(keys: Keys) -> None:
    store = TrustStore(Authorities.find(keys.ca_file))
    for chain in ([], [b""], [b"\x30\x03junk"], [b"junk", b"junk"]):
        judgement = store.judge(chain, NAME, NOW.timestamp())
        assert judgement.failure is Failure.SSL_INVALID_CERTIFICATE
        assert judgement.issuer is None


def test_the_systems_authorities_are_found() -> None:
    found = Authorities.find(None)
    assert found.file is not None or found.folder is not None
    TrustStore(found)
    assert found.client_context().verify_mode is ssl.CERT_REQUIRED
