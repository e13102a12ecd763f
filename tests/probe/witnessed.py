"""A store of real measurements in scripted worlds, over days in which access was lost: what a bundle is made of."""

from __future__ import annotations

import random

from msgspec.structs import replace

from measurements.events.nouns import Event, Settings
from measurements.evidence.rejudge import judge_all, judge_by
from measurements.fingerprints import Fingerprints
from measurements.model import Measurement, Vantage, Verdict
from measurements.standing import Standing
from measurements.store import Store
from tests.measurements.evidence.made import measured
from tests.scripted import BOGONS

PROBE, FRIEND = "0f" * 16, "1e" * 16
START = 1_790_000_000.0
HOUR = 3600.0


def days(seed: int = 1) -> list[tuple[Measurement, Verdict]]:
    """Measure every hour for two and a half days, by two probes; for twelve hours the name is cut."""
    chance = random.Random(seed)
    facts = []
    for hour in range(60):
        world = "sni-eof" if 24 <= hour < 36 else "open"
        for probe, late in ((PROBE, 0.0), (FRIEND, 600.0)):
            facts.append(
                replace(
                    measured(world),
                    id=chance.randbytes(16).hex(),
                    sequence=hour + 1,
                    started=START + hour * HOUR + late,
                    vantage=Vantage(probe_id=probe, country="ET", asn=24757),
                    software="wazi 0.1.0",
                )
            )
    found = judge_all(dict(enumerate(facts)), judge_by(BOGONS, Fingerprints()))
    judged = [(fact, found[place]) for place, fact in enumerate(facts)]
    return [(fact, verdict) for fact, verdict in judged if isinstance(verdict, Verdict)]


def fill(store: Store, rows: list[tuple[Measurement, Verdict]]) -> Event:
    """Store it all and count it; return the event."""
    for row in rows:
        store.add(*row)
    store.flush(60)
    Standing(store.ledger, Settings(volume_per_week=2000.0, fixed_volume=True)).catch_up()
    (event,) = store.ledger.events()
    return event
