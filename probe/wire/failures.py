"""The border: every error of the system, of OpenSSL and of the HTTP libraries becomes one `Failure`.

Nothing else in the probe names an errno or catches an `OSError`. Two errors of our own carry what a
library cannot say: `StepFailed` ends a step with a failure that we found ourselves, and `LimitReached`
ends a read that would pass one of our bounds; it is a fact about us and says nothing about the peer.

`detail` is for people: the system's words, and for TLS a prefix that tells an alert ("alert: …", the
peer spoke TLS and refused) from an answer that is no TLS at all ("junk: …").
"""

from __future__ import annotations

import asyncio
import errno
import re
import ssl

import h2.exceptions
import httpcore
import httpx

from measurements.model import Failure

DETAIL_LENGTH = 300


class StepFailed(Exception):
    """A step failed for a reason that we found ourselves."""

    def __init__(self, failure: Failure, detail: str = "") -> None:
        super().__init__(detail)
        self.failure = failure
        self.detail = detail


class LimitReached(Exception):
    """A read would have passed a bound of ours; `name` is the bound's name: wire, cpu, …"""

    def __init__(self, name: str) -> None:
        super().__init__(f"the limit '{name}' was reached")
        self.name = name


ERRNO = {
    errno.ECONNREFUSED: Failure.CONNECTION_REFUSED,
    errno.ECONNRESET: Failure.CONNECTION_RESET,
    errno.EPIPE: Failure.CONNECTION_RESET,
    errno.ECONNABORTED: Failure.CONNECTION_ABORTED,
    errno.EHOSTUNREACH: Failure.HOST_UNREACHABLE,
    errno.EHOSTDOWN: Failure.HOST_UNREACHABLE,
    errno.ENETUNREACH: Failure.NETWORK_UNREACHABLE,
    errno.ENETDOWN: Failure.NETWORK_DOWN,
    errno.ENONET: Failure.NETWORK_DOWN,
    errno.ENODEV: Failure.NETWORK_DOWN,
    errno.ETIMEDOUT: Failure.TIMEOUT,
    errno.EADDRNOTAVAIL: Failure.ADDRESS_NOT_AVAILABLE,
    errno.EAFNOSUPPORT: Failure.ADDRESS_FAMILY_NOT_SUPPORTED,
    errno.EPROTONOSUPPORT: Failure.ADDRESS_FAMILY_NOT_SUPPORTED,
    errno.EACCES: Failure.PERMISSION_DENIED,
    errno.EPERM: Failure.PERMISSION_DENIED,
    errno.EINVAL: Failure.INVALID_ARGUMENT,
    errno.EMSGSIZE: Failure.MESSAGE_SIZE,
    errno.ENOBUFS: Failure.NO_BUFFER_SPACE,
    errno.ENOMEM: Failure.NO_BUFFER_SPACE,
    errno.EMFILE: Failure.TOO_MANY_OPEN_FILES,
    errno.ENFILE: Failure.TOO_MANY_OPEN_FILES,
}

_CAME_LATER = "Connect call failed"
"""asyncio's words for an error that came after the first packet was sent. Linux gives ICMPv6's "prohibited" (RFC 4443,
3.1) the number that stands for a refusal of this machine's own, which comes before."""

UNKNOWN_AUTHORITY_CODES = frozenset({2, 18, 19, 20, 21, 24, 27, 33})
"""X509_V_ERR_* that mean: no path to a certificate authority we trust (openssl/x509_vfy.h)."""

WRONG_NAME_CODES = frozenset({62, 63, 64})
"""X509_V_ERR_HOSTNAME_MISMATCH, _EMAIL_MISMATCH, _IP_ADDRESS_MISMATCH."""

_ALERT = re.compile(r"\b(?:sslv3|tlsv1|tlsv13)[ _]alert[ _](?P<name>\w+(?: \w+)*)", re.IGNORECASE)
_ALERTS_WITHOUT_THE_WORD = frozenset(
    {
        "TLSV1_UNSUPPORTED_EXTENSION",
        "TLSV1_CERTIFICATE_UNOBTAINABLE",
        "TLSV1_UNRECOGNIZED_NAME",
        "TLSV1_BAD_CERTIFICATE_STATUS_RESPONSE",
        "TLSV1_BAD_CERTIFICATE_HASH_VALUE",
    }
)


def failure_of_errno(number: int) -> Failure:
    """Translate an errno."""
    return ERRNO.get(number, Failure.UNKNOWN)


def failure_of_certificate(code: int) -> Failure:
    """Translate OpenSSL's verification result (X509_V_ERR_*)."""
    if code in WRONG_NAME_CODES:
        return Failure.SSL_INVALID_HOSTNAME
    if code in UNKNOWN_AUTHORITY_CODES:
        return Failure.SSL_UNKNOWN_AUTHORITY
    return Failure.SSL_INVALID_CERTIFICATE


def alert_name(error: ssl.SSLError) -> str | None:
    """Name the TLS alert (RFC 8446, 6.2) that an error of OpenSSL stands for, if it is one."""
    if isinstance(error, ssl.SSLZeroReturnError):
        return "close_notify"
    reason = _reason(error)
    found = _ALERT.search(reason or str(error))  # Python has no symbol for some; then OpenSSL's words are there
    if found:
        return found["name"].lower().replace(" ", "_")
    return reason.removeprefix("TLSV1_").lower() if reason in _ALERTS_WITHOUT_THE_WORD else None


def failure_of(error: BaseException) -> tuple[Failure, str]:
    """Translate whatever ended a step into one failure and its detail."""
    failure, detail = _translate(error)
    return failure, detail[:DETAIL_LENGTH]


def _translate(error: BaseException) -> tuple[Failure, str]:
    words = f"{type(error).__name__}: {error}"
    match error:
        case StepFailed():
            return error.failure, error.detail
        case LimitReached():
            return Failure.HTTP_INVALID_RESPONSE, str(error)
        case TimeoutError():
            return Failure.TIMEOUT, str(error)
        case ssl.SSLError():
            return _of_ssl(error)
        case EOFError():
            return Failure.EOF, str(error)
        case PermissionError() if error.errno == errno.EACCES and _CAME_LATER in str(error):
            return Failure.HOST_UNREACHABLE, f"ICMPv6 prohibition: {words}"
        case OSError():
            return failure_of_errno(error.errno or 0), words
        case httpcore.ReadError() | httpcore.WriteError() | httpcore.ConnectError() if error.__cause__ is not None:
            return _translate(error.__cause__)
        case httpcore.TimeoutException():
            return Failure.TIMEOUT, words
        case httpcore.RemoteProtocolError() | httpcore.ProtocolError() | h2.exceptions.ProtocolError():
            return _of_http(error)
        case httpx.InvalidURL() | UnicodeError():
            return Failure.INVALID_ARGUMENT, words
        case Exception():
            return Failure.UNKNOWN, words
    return Failure.INTERRUPTED, "cut short" if isinstance(error, asyncio.CancelledError) else words


def _of_ssl(error: ssl.SSLError) -> tuple[Failure, str]:
    if isinstance(error, ssl.SSLCertVerificationError):
        code = error.verify_code
        return failure_of_certificate(code), f"{code}: {error.verify_message}"
    alert = alert_name(error)
    if alert is not None:
        return Failure.SSL_FAILED_HANDSHAKE, f"alert: {alert}"
    if isinstance(error, ssl.SSLEOFError):
        return Failure.EOF, "the connection ended inside TLS"
    return Failure.SSL_FAILED_HANDSHAKE, f"tls: {(_reason(error) or str(error)).lower()}"


def _reason(error: ssl.SSLError) -> str:
    """OpenSSL's symbol; errors that Python raises itself have none."""
    return getattr(error, "reason", None) or ""


def _of_http(error: Exception) -> tuple[Failure, str]:
    """Tell a peer that left from one that answered nonsense, and both from a request we cannot send."""
    text = str(error)
    if "disconnected" in text or "peer closed connection" in text:
        return Failure.EOF, text
    if isinstance(error, httpcore.LocalProtocolError) and not _blames_the_peer(error):
        return Failure.INVALID_ARGUMENT, text
    return Failure.HTTP_INVALID_RESPONSE, text


def _blames_the_peer(error: httpcore.LocalProtocolError) -> bool:
    """httpcore wraps what h2 says about the peer's frames as a *local* error."""
    return any(isinstance(argument, h2.exceptions.ProtocolError) for argument in error.args)
