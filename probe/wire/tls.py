"""The TLS handshake that a browser would do, and what is learnt from it.

It takes any certificate (see `certificates`), and its settings take any server that a browser would still
take: TLS 1.2 and 1.3, weak keys (an interceptor may have one; refusing it would hide it), servers that
never learnt secure renegotiation. Finite-field Diffie-Hellman is left out, as browsers do: a peer could
make us compute with huge parameters.

The shape of the ClientHello is an observed fact, since a middlebox may break large hellos for everyone or
read only the first segment. "classic" fits one segment (517 bytes with OpenSSL 3.0); "large" is padded
past one segment, as a browser's post-quantum hello is, by protocol names reserved for being ignored
(GREASE, RFC 8701), made long. An OpenSSL from 3.5 on makes classic hellos large as well, where Python
cannot choose the groups; `hello_size` tells what was sent.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterable
from typing import Any

from measurements.model import Failure
from probe.network import LARGE, Limits
from probe.wire.certificates import is_address
from probe.wire.failures import LimitReached, StepFailed, alert_name
from probe.wire.tcp import Stream

CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20:ECDHE+AES:RSA+AESGCM:RSA+AES:!aNULL:!eNULL:!PSK:!SRP:@SECLEVEL=0"
CLASSIC_GROUPS = "X25519:P-256:P-384"
PADDING = tuple(pair * 125 for pair in ("**", "::", "JJ", "ZZ", "jj", "zz"))
MOST_CONTEXTS = 64
_LEGACY_SERVER_CONNECT = 0x4  # ssl.OP_LEGACY_SERVER_CONNECT, named from Python 3.12 on
_ENCODING_DER = 2  # _ssl.ENCODING_DER
_TLS_RECORDS = (20, 21, 22, 23, 24)


class Contexts:
    """The TLS contexts in use, one for each list of protocols and shape of hello."""

    def __init__(self) -> None:
        self._made: dict[tuple[tuple[str, ...], str], ssl.SSLContext] = {}

    def get(self, alpn: tuple[str, ...], hello: str) -> ssl.SSLContext:
        """Return a shared context; raises ValueError for protocol names that TLS cannot carry."""
        context = self._made.get((alpn, hello))
        if context is None:
            if len(self._made) >= MOST_CONTEXTS:
                self._made.clear()
            context = self._made[alpn, hello] = _make_context(alpn, hello)
        return context


def _make_context(alpn: tuple[str, ...], hello: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(CIPHERS)
    context.options |= _LEGACY_SERVER_CONNECT
    if hasattr(context, "set_groups"):  # Python 3.15
        context.set_groups(CLASSIC_GROUPS)
    offered = (*(alpn or ("http/1.1",)), *PADDING) if hello == LARGE else alpn
    if offered:
        context.set_alpn_protocols(offered)
    return context


def client_hello(context: ssl.SSLContext, name: str | None) -> bytes:
    """Make a ClientHello without sending it; raises StepFailed for a name that TLS cannot carry."""
    outgoing = ssl.MemoryBIO()
    try:
        tls = context.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname=name)
        tls.do_handshake()
    except ssl.SSLWantReadError:
        return outgoing.read()
    except (ValueError, TypeError) as error:
        raise StepFailed(Failure.INVALID_ARGUMENT, f"TLS cannot carry the name {name!r}: {error}") from None
    raise AssertionError("a handshake cannot end before it is answered")


def sent_name(name: str | None) -> str | None:
    """Return the SNI to send: an IP address has none (RFC 6066, 3)."""
    return None if name is None or is_address(name) else name


async def shake_hands(stream: Stream, context: ssl.SSLContext, name: str | None) -> None:
    """Shake hands with SNI `name`; raise what went wrong, alert and junk told apart."""
    beginning = stream.received
    try:
        await stream.shake_hands(context, name)
    except (ValueError, TypeError) as error:
        if isinstance(error, ssl.SSLError):
            raise
        raise StepFailed(Failure.INVALID_ARGUMENT, f"TLS cannot carry the name {name!r}: {error}") from None
    except LimitReached as limit:
        raise StepFailed(Failure.SSL_FAILED_HANDSHAKE, str(limit)) from None
    except ssl.SSLError as error:
        if stream.received > beginning and alert_name(error) is None and _is_junk(stream.first_bytes):
            words = stream.first_bytes[:32].decode("ascii", "backslashreplace")
            raise StepFailed(Failure.SSL_FAILED_HANDSHAKE, f"junk: {words!r}") from None
        raise


def _is_junk(answer: bytes) -> bool:
    """Whether an answer does not even begin like a TLS record (RFC 8446, 5.1)."""
    return answer[0] not in _TLS_RECORDS or (len(answer) > 1 and answer[1] != 3)


def peer_chain(tls: ssl.SSLObject, limits: Limits) -> tuple[tuple[bytes, ...], bool]:
    """Return the chain the peer sent, leaf first, as DER within our limits; and whether that cut it."""
    kept: list[bytes] = []
    left = limits.chain_bytes
    for der in _ders(tls):
        left -= len(der)
        if len(kept) == limits.chain_certificates or left < 0:
            return tuple(kept), True
        kept.append(der)
    return tuple(kept), False


def _ders(tls: ssl.SSLObject) -> Iterable[bytes]:
    public: Callable[[], list[bytes]] | None = getattr(tls, "get_unverified_chain", None)
    if public is not None:  # Python 3.13
        return public()
    inner: Any = tls._sslobj  # type: ignore[attr-defined]
    return (bytes(c.public_bytes(_ENCODING_DER)) for c in inner.get_unverified_chain() or ())
