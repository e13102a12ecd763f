"""Asking a time-stamping authority (RFC 3161), now and then, to vouch for when a checkpoint was there.

Nothing is asked unless the settings name an authority. It gets a digest; its answer is bounded in bytes and time and
goes into the store only if it is a stamp of what was asked. What keeps it from coming is logged, and it is tried again
at the next turn.
"""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable
from typing import Protocol

import structlog

from measurements.evidence.chain import SignedCheckpoint
from measurements.evidence.stamps import LONGEST, check_answer, request
from measurements.store.errors import StoreError

TIMEOUT = 15.0  # seconds for all of an answer

log = structlog.get_logger("wazi.signing")


class Stamps(Protocol):
    """Where stamps are kept (`measurements.store.chains.Chains`)."""

    def add_stamp(self, checkpoint: SignedCheckpoint, stamp: bytes) -> None: ...


class NoStamp(Exception):
    """No stamp came; the text says why."""


class Stamper:
    """Has checkpoints stamped at `url`, one in `every` seconds at most. `trust` makes what TLS trusts."""

    def __init__(
        self,
        stamps: Stamps,
        url: str,
        every: float,
        *,
        now: Callable[[], float],
        trust: Callable[[], ssl.SSLContext],
        timeout: float = TIMEOUT,
    ) -> None:
        self._stamps, self._url, self._every, self._now, self._trust = stamps, url, every, now, trust
        self._timeout = timeout
        self._last: float | None = None

    def stamp(self, checkpoint: SignedCheckpoint) -> bool:
        """Have a checkpoint stamped, if that is due and it is not; tell whether it was."""
        now = self._now()
        if checkpoint.stamp or (self._last is not None and 0 <= now - self._last < self._every):
            return False
        try:
            answer = self._ask(request(checkpoint))
            check_answer(answer, checkpoint)
            self._stamps.add_stamp(checkpoint, answer)
        except (NoStamp, ValueError, StoreError) as error:
            log.warning("no time stamp", why=f"{self._url}: {error}")
            return False
        self._last = now
        return True

    def _ask(self, question: bytes) -> bytes:
        import httpx

        verify = self._trust() if self._url.startswith("https:") else False
        headers = {"Content-Type": "application/timestamp-query", "User-Agent": "wazi", "Accept-Encoding": "identity"}
        end = time.monotonic() + self._timeout
        try:
            with (
                httpx.Client(verify=verify, trust_env=False, timeout=self._timeout / 3) as client,
                client.stream("POST", self._url, content=question, headers=headers) as response,
            ):
                if response.status_code != 200:
                    raise NoStamp(f"it answered {response.status_code}")
                answer = b""
                for piece in response.iter_raw():
                    answer += piece
                    if len(answer) > LONGEST:
                        raise NoStamp(f"its answer is longer than {LONGEST} bytes")
                    if time.monotonic() > end:
                        raise NoStamp(f"its answer took longer than {self._timeout:g} s")
                return answer
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            raise NoStamp(f"{type(error).__name__}") from None
