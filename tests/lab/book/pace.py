"""How fast under which name: what is slowed down for a name, and what is not."""

from __future__ import annotations

from tests.lab.book.verdicts import ACCESSIBLE
from tests.lab.scenario import Expect, Scenario, Throttle

NO_PACER = Expect(outcome="inconclusive", reason="no_pacer")

PACE = (
    Scenario(
        name="pace-throttled",
        about="After a ClientHello with the name, 512 kbit/s come back.",
        nettest="throttling",
        mechanisms=(Throttle(kbit=512, free=8000),),
        expect=Expect(outcome="throttled", mechanism="throttle.rate", trigger="name", where="unknown"),
        without_control=NO_PACER,
        seen="http 200 facebook.com",
    ),
    Scenario(
        name="pace-open",
        about="Nobody slows anything down.",
        nettest="throttling",
        expect=ACCESSIBLE,
        without_control=NO_PACER,
        seen="http 200 facebook.com",
    ),
)
