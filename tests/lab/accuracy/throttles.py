"""Sessions of pairs in the lab, counted: what each kind of line came to, and what it cost.

They are counted apart from all other verdicts: they take more time and data than any of them, and without a control
nothing can be found by design.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

NETTEST = "throttling"
FEW_PAIRS, FEW_BYTES = 5, 1_500_000


class Pace(msgspec.Struct, frozen=True, kw_only=True):
    """What a session came to: pairs about the target that count and those that do not, and bytes of their objects.

    Rates are bit/s, medians of the session; `harmless` is that under harmless names. `lag` is the longest time in
    seconds for which the probe itself stood still: where it is long, the machine was too busy to measure pace.
    """

    pairs: int
    slower: int
    skipped: int
    spent: int
    q0: float
    rate: float | None = None
    harmless: float | None = None
    lag: float = 0.0

    @property
    def soon(self) -> bool:
        """Whether it took no more pairs and bytes than are promised."""
        return self.pairs + self.skipped <= FEW_PAIRS and self.spent <= FEW_BYTES


def pace_in(line: dict[str, Any]) -> Pace | None:
    """Read what `wazi check --json` says of pairs; None when none were laid."""
    told = next((finding["throttling"] for finding in line["findings"] if finding.get("throttling")), None)
    if told is None:
        return None
    return Pace(
        pairs=told.get("pairs", 0),
        slower=told.get("slower", 0),
        skipped=sum(count for _, count in told.get("skipped", ())),
        spent=told.get("spent", 0),
        q0=told.get("q0", 0.5),
        rate=told.get("rate"),
        harmless=told.get("harmless_rate"),
        lag=line["measurement"].get("loop_lag", 0.0),
    )


def middle_and_most(values: Sequence[float], unit: float = 1.0, digits: int = 0) -> str:
    """Write the median and the largest of some values."""
    if not values:
        return "-"
    ordered = sorted(values)
    middle = ordered[(len(ordered) - 1) // 2]
    return f"{middle / unit:.{digits}f} / {ordered[-1] / unit:.{digits}f}"


def least_and_most(values: Sequence[float]) -> str:
    """Write between which rates, in kbit/s, some values lie."""
    return f"{min(values) / 1e3:,.0f} to {max(values) / 1e3:,.0f}" if values else "-"
