"""Whether the line to the site, and neither its name nor its address, explains what failed."""

from __future__ import annotations

from measurements.case import Case
from measurements.model import Finding, Outcome
from measurements.proofs import like, tally


def mixed(case: Case) -> Finding | None:
    """The name failed sometimes at unrelated servers too, and not more often than chance allows."""
    leg = case.reading.troubled
    flow = next((f for f in leg.suspects if f.failed is not None), None) if leg is not None else None
    if leg is None or flow is None or leg.served is not None:
        return None
    seen = tally(case.reading, like(flow))
    if not seen.failed or not seen.passed:
        return None
    return Finding(
        rule="line.mixed",
        outcome=Outcome.INCONCLUSIVE,
        reason="unsteady",
        summary=f"The name {leg.host} failed in {seen.failed} of {seen.tried} tries at unrelated servers, a harmless "
        f"one worked there {seen.harmless} times. That may be chance, and may be a block that acts now and then.",
        evidence=tuple(sorted({*flow.ids, *seen.counted})),
    )
