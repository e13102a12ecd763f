"""The border: every error becomes one failure."""

from __future__ import annotations

import asyncio
import errno
import ssl

import httpcore
import pytest

from measurements.model import Failure
from probe.wire.failures import (
    DETAIL_LENGTH,
    LimitReached,
    StepFailed,
    alert_name,
    failure_of,
    failure_of_certificate,
)


@pytest.mark.parametrize(
    ("number", "failure"),
    [
        (errno.ECONNREFUSED, Failure.CONNECTION_REFUSED),
        (errno.ECONNRESET, Failure.CONNECTION_RESET),
        (errno.EPIPE, Failure.CONNECTION_RESET),
        (errno.ETIMEDOUT, Failure.TIMEOUT),
        (errno.ENETUNREACH, Failure.NETWORK_UNREACHABLE),
        (errno.EHOSTUNREACH, Failure.HOST_UNREACHABLE),
        (errno.EACCES, Failure.PERMISSION_DENIED),
        (errno.EPERM, Failure.PERMISSION_DENIED),
        (errno.EMFILE, Failure.TOO_MANY_OPEN_FILES),
        (errno.EAFNOSUPPORT, Failure.ADDRESS_FAMILY_NOT_SUPPORTED),
        (errno.EXDEV, Failure.UNKNOWN),
    ],
)
def test_an_errno_is_one_failure(number: int, failure: Failure) -> None:
    assert failure_of(OSError(number, "words"))[0] is failure


@pytest.mark.parametrize(
    ("error", "failure"),
    [
        (TimeoutError(), Failure.TIMEOUT),
        (EOFError("ended"), Failure.EOF),
        (PermissionError(errno.EACCES, "Connect call failed ('2001:db8::1', 443)"), Failure.HOST_UNREACHABLE),
        (asyncio.CancelledError(), Failure.INTERRUPTED),
        (KeyboardInterrupt(), Failure.INTERRUPTED),
        (StepFailed(Failure.DNS_REFUSED, "said so"), Failure.DNS_REFUSED),
        (LimitReached("wire"), Failure.HTTP_INVALID_RESPONSE),
        (httpcore.RemoteProtocolError("Server disconnected"), Failure.EOF),
        (httpcore.RemoteProtocolError("illegal status line"), Failure.HTTP_INVALID_RESPONSE),
        (httpcore.LocalProtocolError("illegal header"), Failure.INVALID_ARGUMENT),
        (httpcore.ReadTimeout("slow"), Failure.TIMEOUT),
        (UnicodeError("label too long"), Failure.INVALID_ARGUMENT),
        (RuntimeError("never foreseen"), Failure.UNKNOWN),
    ],
)
def test_every_error_is_one_failure(error: BaseException, failure: Failure) -> None:
    assert failure_of(error)[0] is failure


def test_a_failed_write_is_what_caused_it() -> None:
    error = httpcore.WriteError("reset")
    error.__cause__ = ConnectionResetError(errno.ECONNRESET, "reset")
    assert failure_of(error)[0] is Failure.CONNECTION_RESET


def test_a_detail_is_bounded() -> None:
    assert len(failure_of(RuntimeError("x" * 5000))[1]) == DETAIL_LENGTH


@pytest.mark.parametrize(
    ("code", "failure"),
    [
        (10, Failure.SSL_INVALID_CERTIFICATE),
        (18, Failure.SSL_UNKNOWN_AUTHORITY),
        (19, Failure.SSL_UNKNOWN_AUTHORITY),
        (20, Failure.SSL_UNKNOWN_AUTHORITY),
        (26, Failure.SSL_INVALID_CERTIFICATE),
        (62, Failure.SSL_INVALID_HOSTNAME),
        (64, Failure.SSL_INVALID_HOSTNAME),
    ],
)
def test_openssls_codes(code: int, failure: Failure) -> None:
    assert failure_of_certificate(code) is failure


def test_what_is_no_alert_has_no_alerts_name() -> None:
    error = ssl.SSLError(1, "[SSL: WRONG_VERSION_NUMBER] wrong version number")
    assert alert_name(error) is None
    assert failure_of(error)[0] is Failure.SSL_FAILED_HANDSHAKE
