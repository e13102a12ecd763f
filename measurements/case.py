"""What a rule may look at: one measurement, its recent history, and the list of private addresses."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

from measurements.bogons import Bogons
from measurements.model import Finding, Measurement, Past
from measurements.reading import Reading


@dataclass(frozen=True)
class Case:
    """A measurement to be judged. `history` holds earlier verdicts about the target from the same probe."""

    measurement: Measurement
    bogons: Bogons
    history: tuple[Past, ...] = ()

    @cached_property
    def reading(self) -> Reading:
        m = self.measurement
        return Reading(m.target, m.observations, self.private)

    def private(self, address: str) -> bool:
        """Whether no public host has this address; False for one that was the volunteer's own and is redacted."""
        try:
            return self.bogons.why(address) is not None
        except ValueError:
            return False


Rule = Callable[[Case], Finding | None]
"""A rule looks at a case and says what it finds, or None. Its docstring is the sentence that users read."""
