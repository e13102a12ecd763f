"""What an export is: rows in, bytes out.

The contract stands beside the registry, not in it, so that a format never imports its siblings.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import BinaryIO, NamedTuple

from measurements.model import Measurement, Verdict


class Judged(NamedTuple):
    """A measurement and what one version of the rules says about it."""

    measurement: Measurement
    verdict: Verdict


Export = Callable[[Iterable[Judged], BinaryIO], int]
"""Write every row to the stream, one at a time and in bounded memory; return how many there were."""
