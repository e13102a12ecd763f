"""Reading an object for its pace: when did its bytes come?

The request is a browser's, over httpcore on our own stream as in `http`, but the body is counted and forgotten: raw
bytes, nothing decoded. The time of a sample is that of the last read of the socket, and no TLS record or frame makes
it later. That nothing came for a while is told by the socket too, not by the body, whose next record may be half
here; and it is looked at twice, for where this process itself was held up, the bytes are waiting already.

Bytes, time, silence and CPU are bounded. A transfer that was left before its end closes the connection.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx

from measurements.model import Failure
from probe.wire.cpu import CpuMeter
from probe.wire.failures import StepFailed
from probe.wire.http import failing_in_our_words, request_of, respond
from probe.wire.tcp import Allowance, Stream

MOST_SAMPLES = 200
CPU_SECONDS = 2.0
OVERHEAD = 64 * 1024  # bytes for a response's head, and besides a quarter of the body for frames and records
SECOND_LOOK = 0.05  # seconds


class Samples:
    """(seconds, bytes so far) of a body of which `most` bytes are wanted: at most 200, even in bytes."""

    def __init__(self, most: int) -> None:
        self._step = most / (MOST_SAMPLES - 2)
        self._kept: list[tuple[float, int]] = []
        self._last: tuple[float, int] | None = None

    def add(self, at: float, total: int) -> None:
        if not self._kept or total - self._kept[-1][1] >= self._step:
            self._kept.append((round(at, 6), total))
            self._last = None
        else:
            self._last = (round(at, 6), total)

    @property
    def taken(self) -> tuple[tuple[float, int], ...]:
        return (*self._kept, *([] if self._last is None else [self._last]))


@dataclass(slots=True)
class Progress:
    """What a transfer has seen so far; `enough` bytes end it."""

    enough: int
    status: int | None = None
    received: int = 0
    ended: str = "failure"
    samples: Samples = field(init=False)

    def __post_init__(self) -> None:
        self.samples = Samples(self.enough)

    def facts(self) -> dict[str, Any]:
        """The fields of a `Transfer` that it knows."""
        return {
            "status": self.status,
            "received": self.received,
            "ended": self.ended,
            "samples": self.samples.taken,
        }


async def transfer(
    stream: Stream, url: httpx.URL, progress: Progress, *, host: str | None, http2: bool, timeout: float, stall: float
) -> None:
    """GET `url` and fill `progress`; raises what the transfer failed with."""
    meter = CpuMeter()
    stream.allowance = Allowance(progress.enough * 5 // 4 + OVERHEAD, CPU_SECONDS, meter)
    try:
        with failing_in_our_words():
            try:
                async with asyncio.timeout(timeout) as deadline:
                    with _listening(stream, stall, deadline) as silence:
                        await meter.run(_read(stream, url, progress, host=host, http2=http2))
            except TimeoutError:
                if progress.status is None or not deadline.expired():
                    raise
                progress.ended = "stall" if silence.told else "time"
    finally:
        stream.allowance = None
        if progress.ended != "whole":
            stream.close()  # whatever else the peer sends would cost the volunteer's data


async def _read(stream: Stream, url: httpx.URL, progress: Progress, *, host: str | None, http2: bool) -> None:
    began = time.perf_counter()
    request = request_of(url, host=host, headers={"Accept-Encoding": "identity"}, http2=http2)
    async with respond(stream, request, http2=http2) as response:
        if response.status_code != 200:
            progress.status = response.status_code
            raise StepFailed(Failure.HTTP_REQUEST_FAILED, f"the server answered {response.status_code}")
        progress.status = 200
        length = response.headers.get("content-length")
        assert isinstance(response.stream, httpx.AsyncByteStream)
        async for data in response.stream:
            progress.received += len(data)
            progress.samples.add(stream.last_arrival - began, progress.received)
            if progress.received >= progress.enough and str(progress.received) != length:  # else its end comes next
                progress.ended = "enough"
                break
        else:
            progress.ended = "whole"


class _Silence:
    """Whether nothing came for `patience` seconds."""

    def __init__(self, stream: Stream, patience: float, deadline: asyncio.Timeout) -> None:
        self.told = False
        self._stream = stream
        self._patience = patience
        self._deadline = deadline
        self._began = time.perf_counter()
        self._heard = 0.0  # when, as it seemed at the first look
        self.timer = asyncio.get_running_loop().call_later(patience, self._look)

    def _look(self) -> None:
        loop = asyncio.get_running_loop()
        heard = max(self._began, self._stream.last_arrival)
        left = heard + self._patience - time.perf_counter()
        if left <= 0 and heard == self._heard:
            if not self._deadline.expired():
                self.told = True
                self._deadline.reschedule(loop.time())
            return
        self._heard = heard
        self.timer = loop.call_later(max(left, SECOND_LOOK), self._look)


@contextmanager
def _listening(stream: Stream, patience: float, deadline: asyncio.Timeout) -> Iterator[_Silence]:
    """Let `deadline` pass at once when nothing comes for `patience` seconds."""
    silence = _Silence(stream, patience, deadline)
    try:
        yield silence
    finally:
        silence.timer.cancel()
