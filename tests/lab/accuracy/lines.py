"""Lines that were made up, on which the real nettest lays its pairs: how fast they are, how they waver, what they do.

A pair's two legs share what the line does meanwhile (log-normal, `shared`), and each has its own luck (`own`). One leg
in twenty collapses to 2 to 30 % of its rate, as a line in use does. Round trips waver too, and a packet of a
handshake is lost now and then, which costs a second. A throttle caps the legs under one name; a freeze stops them.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from typing import Any

from cryptography.hazmat.primitives.serialization import Encoding

from measurements.model import (
    AnyObservation,
    PaceSoFar,
    Preconditions,
    TcpConnect,
    TlsHandshake,
    Transfer,
)
from probe.control.canary import Singer
from probe.network import Limits, Spent
from probe.pacer import Pacer

HEADERS = 3500  # bytes of a handshake and of headers
FIRST = 16_000  # bytes after which a sample is taken

_SINGER = Singer(port=443, most=1_000_000)
_CERTIFICATE = _SINGER.certificate().public_bytes(Encoding.DER)
PACER = Pacer(address="192.0.2.1", port=80, tls_port=443, most=1_000_000, key=_SINGER.key)


@dataclass(frozen=True)
class Line:
    """A line of `rate` bit/s. `cap` holds for the target's name alone; `freeze` stops it after so many bytes."""

    rate: float = 10_000_000.0
    shared: float = 0.5
    own: float = 0.3
    collapses: float = 0.05
    cap: float | None = None
    freeze: int | None = None
    loss: float = 0.0  # of packets: it bounds the rate and delays handshakes
    round_trip: float = 0.1
    jitter: float = 0.3  # standard deviation of the logarithm of a round trip


class LineNetwork:
    """As much of a `Network` as pairs need, over a line. Time is made up, and passes as the legs take it."""

    def __init__(self, line: Line, target: str, chance: random.Random, pace: PaceSoFar, limits: Limits) -> None:
        self.line = line
        self.target = target
        self.chance = chance
        self.pace = pace
        self.limits = limits
        self.spent = Spent()
        self.preconditions = Preconditions()
        self.observations: list[AnyObservation] = []
        self.now = 0.0
        self._pair = 0
        self._together = 1.0

    def _record(self, step: Any) -> Any:
        self.observations.append(step)
        self.now += step.elapsed
        return step

    def _trip(self) -> float:
        late = 1.0 if self.chance.random() < self.line.loss else 0.0
        return late + self.line.round_trip * math.exp(self.chance.gauss(0.0, self.line.jitter))

    def _rate(self, pair: int) -> float:
        if pair != self._pair:
            self._pair, self._together = pair, math.exp(self.chance.gauss(0.0, self.line.shared))
        rate = self.line.rate * self._together * math.exp(self.chance.gauss(0.0, self.line.own))
        if self.chance.random() < self.line.collapses:
            rate *= self.chance.uniform(0.02, 0.3)
        if self.line.loss:  # Mathis et al. 1997: the segment's size over the round trip and the root of the loss
            rate = min(rate, 1448 * 8 / self._trip() * 1.22 / math.sqrt(self.line.loss))
        return rate

    async def connect(self, address: str, port: int, **facts: Any) -> TcpConnect:
        step = TcpConnect(
            id=len(self.observations) + 1,
            purpose=facts["purpose"],
            started=self.now,
            elapsed=self._trip(),
            address=address,
            port=port,
        )
        self.spent.connections += 1
        self._record(step)
        return step

    async def handshake(self, over: TcpConnect, *, name: str | None, **facts: Any) -> TlsHandshake:
        step = TlsHandshake(
            id=len(self.observations) + 1,
            cause=over.id,
            purpose=over.purpose,
            started=self.now,
            elapsed=self._trip(),
            address=over.address,
            port=over.port,
            name=name,
            chain=(_CERTIFICATE,),
        )
        self.spent.received += HEADERS
        self._record(step)
        return step

    async def transfer(
        self, over: TcpConnect | TlsHandshake, url: str, *, wanted: int, pair: int, timeout: float, **facts: Any
    ) -> Transfer:
        """Let an object come at the line's pace, its first bytes over a few round trips."""
        named = url.split("/")[2] == self.target
        rate = self._rate(pair)
        if named and self.line.cap is not None:
            rate = min(rate, self.line.cap * math.exp(self.chance.gauss(0.0, 0.05)))
        most = min(wanted, self.line.freeze) if named and self.line.freeze is not None else wanted
        first = 2.0 * self._trip() + FIRST * 8.0 / rate
        whole = first + (most - FIRST) * 8.0 / rate
        samples: list[tuple[float, int]] = []
        if first > timeout:
            samples.append((timeout, max(1, int(FIRST * timeout / first))))
        else:
            samples.append((first, FIRST))
            here = min(whole, timeout)
            samples.append((here, FIRST + int((here - first) * rate / 8.0)))
            if whole <= timeout:
                samples[-1] = (whole, most)
        received, ended, elapsed = samples[-1][1], "time", min(timeout, whole)
        if received >= wanted:
            ended = "whole"
        elif received >= most:
            silence = min(5.0, timeout - whole)
            ended, elapsed = ("stall" if silence >= 5.0 else "time"), whole + silence
        step = Transfer(
            id=len(self.observations) + 1,
            cause=over.id,
            purpose=over.purpose,
            started=self.now,
            elapsed=elapsed,
            url=url,
            address=over.address,
            port=over.port,
            host=url.split("/")[2],
            name=over.name if isinstance(over, TlsHandshake) else None,
            pair=pair,
            status=200,
            wanted=wanted,
            received=received,
            samples=tuple(samples),
            ended=ended,
        )
        self.spent.received += received
        self._record(step)
        return step

    async def pause(self, seconds: float) -> None:
        self.now += seconds


def run(coroutine: Any) -> None:
    """Run what never waits, without an event loop."""
    try:
        coroutine.send(None)
    except StopIteration:
        return
    raise AssertionError("it waited for something")
