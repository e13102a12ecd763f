"""How fast under which name: what is slowed down for a name, and what is slow for all of them.

Without a control nothing of it can be proven, whatever it is.
"""

from __future__ import annotations

from tests.lab.book.verdicts import ACCESSIBLE
from tests.lab.scenario import Delay, Expect, Mechanism, Scenario, Throttle
from tests.lab.sites import DOMESTIC, WITNESSES
from tests.lab.topology import CONTROL
from tests.lab.world import BusyLine, LossyLine, SlowLine

NO_PACER = Expect(outcome="inconclusive", reason="no_pacer")
RATE = Expect(outcome="throttled", mechanism="throttle.rate", trigger="name", where="unknown")
STALL = Expect(outcome="throttled", mechanism="throttle.stall", trigger="name", where="unknown")
SLOW_LINE = Expect(outcome="inconclusive", reason="slow_line")
NOT_SLOWED = Expect(outcome=("accessible", "inconclusive"))  # whatever the line lets be told: nobody is accused
RADIO = ("freeradio.example",)
LINE = SlowLine(kbit=10_000)
KNOWN = tuple(host.name for host in (*WITNESSES, *DOMESTIC))


def paced(
    name: str, about: str, *mechanisms: Mechanism, expect: Expect, host: str = "facebook.com", idle: bool = False
) -> Scenario:
    """Return a scenario that pairs of transfers are about, on a line of 10 Mbit/s unless it has one of its own."""
    own = any(isinstance(mechanism, SlowLine) for mechanism in mechanisms)
    return Scenario(
        name=f"pace-{name}",
        about=about,
        target=f"{'http' if host in RADIO else 'https'}://{host}/",
        nettest="throttling",
        mechanisms=mechanisms if own else (LINE, *mechanisms),
        expect=expect,
        without_control=NO_PACER,
        seen="*",  # a plain client's patience may be too short for it
        abroad=f"http 200 {host}",
        idle=idle,
        victim=CONTROL if any(isinstance(mechanism, BusyLine) for mechanism in mechanisms) else "",
    )


RATES = (
    paced("throttled", "Under the name 512 kbit/s come back.", Throttle(kbit=512, free=8000), expect=RATE),
    paced("open", "Nobody slows anything down.", expect=ACCESSIBLE),
    paced("128", "128 kbit/s under the name, the rest is dropped.", Throttle(kbit=128), expect=RATE),
    paced("128-queued", "128 kbit/s under the name, from a queue.", Throttle(kbit=128, style="shape"), expect=RATE),
    paced("512", "512 kbit/s under the name, the rest is dropped.", Throttle(kbit=512), expect=RATE),
    paced("512-queued", "512 kbit/s under the name, from a queue.", Throttle(kbit=512, style="shape"), expect=RATE),
    paced("1000", "1 Mbit/s under the name, the rest is dropped.", Throttle(kbit=1000), expect=RATE),
    paced("1000-queued", "1 Mbit/s under the name, from a queue.", Throttle(kbit=1000, style="shape"), expect=RATE),
    paced("frozen", "After 16 kB nothing comes under the name.", Throttle(kbit=0, free=16_384), expect=STALL),
)

IN_CLEAR = (
    paced("open-http", "Nobody slows a site of plain HTTP down.", expect=ACCESSIBLE, host=RADIO[0]),
    *(
        paced(
            f"{kbit}-http",
            f"{kbit} kbit/s come after a request with the Host.",
            Throttle(names=RADIO, kbit=kbit, style="shape" if kbit == 512 else "police"),
            expect=RATE,
            host=RADIO[0],
        )
        for kbit in (128, 512, 1000)
    ),
    paced(
        "frozen-http",
        "After 16 kB nothing comes on a connection with the Host.",
        Throttle(names=RADIO, kbit=0, free=16_384),
        expect=STALL,
        host=RADIO[0],
    ),
)

LINES = (
    paced("line-512", "The whole line carries 512 kbit/s.", SlowLine(kbit=512), expect=ACCESSIBLE),
    paced("line-150", "The whole line carries 150 kbit/s.", SlowLine(kbit=150), expect=SLOW_LINE),
    paced("line-lossy", "The line loses a packet in ten, each way.", LossyLine(percent=10), expect=NOT_SLOWED),
    paced("far-loss", "The world is 100 ms away, and 3 % are lost.", Delay(rtt=100, loss=3), expect=NOT_SLOWED),
    paced("far", "The world is 100 ms away.", Delay(rtt=100), expect=ACCESSIBLE),
    paced("jitter", "The world is 50 ms away, give or take 10.", Delay(rtt=50, jitter=10), expect=NOT_SLOWED),
    paced(
        "control-busy",
        "What the control sends comes at 64 kB/s.",
        BusyLine(addresses=(CONTROL,), kilobytes=64),
        expect=NOT_SLOWED,
    ),
    paced(
        "control-slow",
        "What the control sends comes at 16 kB/s.",
        BusyLine(addresses=(CONTROL,), kilobytes=16),
        expect=NOT_SLOWED,
    ),
    paced(
        "other-name",
        "Another site's name is slowed down.",
        Throttle(names=("twitter.com",), kbit=128),
        expect=ACCESSIBLE,
        idle=True,
    ),
)

HARD = (
    paced(
        "128-loss", "128 kbit/s under the name, on a lossy line.", LossyLine(percent=2), Throttle(kbit=128), expect=RATE
    ),
    paced("128-far", "The same, 100 ms away.", Delay(rtt=100), Throttle(kbit=128), expect=RATE),
    paced("512-far", "512 kbit/s, 100 ms away.", Delay(rtt=100), Throttle(kbit=512), expect=RATE),
    paced("128-narrow", "128 kbit/s on a line of 1 Mbit/s.", SlowLine(kbit=1000), Throttle(kbit=128), expect=RATE),
    paced("128-burst", "128 kbit/s after 64 kB that pass.", Throttle(kbit=128, free=65_536), expect=RATE),
    paced(
        "128-late-burst",
        "128 kbit/s after 256 kB that pass: more than is read.",
        Throttle(kbit=128, free=262_144),
        expect=ACCESSIBLE,
        idle=True,
    ),
    paced(
        "128-begins",
        "It begins while pairs are laid: the first connection passes.",
        Throttle(kbit=128, passes=1),
        expect=RATE,
    ),
    paced(
        "all-but-known",
        "Every name but those of well-known sites has 512 kbit/s: a name that nobody knows is no faster.",
        Throttle(names=(), spares=KNOWN, kbit=512),
        expect=NOT_SLOWED,
    ),
)

PACE = (*RATES, *IN_CLEAR, *LINES, *HARD)
