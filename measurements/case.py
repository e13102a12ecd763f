"""What a rule may look at: a measurement, its recent history, the private addresses, and known fingerprints."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

from measurements.bogons import Bogons
from measurements.fingerprints import Fingerprint, Fingerprints
from measurements.model import (
    DnsLookup,
    Finding,
    HttpExchange,
    Measurement,
    PaceSoFar,
    Past,
    Throttling,
    TlsHandshake,
)
from measurements.pace import Tally, tally, weigh
from measurements.reading import Reading

NO_FINGERPRINTS = Fingerprints()
NO_PACE = PaceSoFar()


@dataclass(frozen=True)
class Case:
    """A measurement to be judged. `history` holds earlier verdicts about the target from the same probe."""

    measurement: Measurement
    bogons: Bogons
    history: tuple[Past, ...] = ()
    fingerprints: Fingerprints = NO_FINGERPRINTS

    @cached_property
    def reading(self) -> Reading:
        m = self.measurement
        return Reading(m.target, m.observations, self.private)

    @cached_property
    def tally(self) -> Tally:
        """The pairs of transfers of the measurement."""
        return tally(self.measurement.observations)

    @cached_property
    def throttling(self) -> Throttling | None:
        """What its pairs weigh on top of earlier sessions; None where there are none."""
        counted = self.tally
        if self.measurement.nettest != "throttling" or not counted.seen:
            return None
        return weigh(counted, self.measurement.pace or NO_PACE, self.measurement.started)

    def private(self, address: str) -> bool:
        """Whether no public host has this address; False for one that was the volunteer's own and is redacted."""
        try:
            return self.bogons.why(address) is not None
        except ValueError:
            return False

    @cached_property
    def _recognised(self) -> dict[int, tuple[Fingerprint, ...]]:
        return {}

    def recognised(self, step: DnsLookup | HttpExchange | TlsHandshake) -> tuple[Fingerprint, ...]:
        """Which fingerprints a step shows; several rules ask, and it is looked for once."""
        if not self.fingerprints.rows:
            return ()
        if step.id not in self._recognised:
            match step:
                case DnsLookup():
                    found = self.fingerprints.in_answer(step)
                case HttpExchange():
                    found = self.fingerprints.in_page(step)
                case _:
                    found = self.fingerprints.in_certificate(step)
            self._recognised[step.id] = found
        return self._recognised[step.id]


Rule = Callable[[Case], Finding | None]
"""A rule looks at a case and says what it finds, or None. Its docstring is the sentence that users read."""
