"""How often throttling is found, and how often one is claimed that is none: `scripts/accuracy --pairs`.

Every path is a session of the real nettest, or a year of them, on a line that was made up (`lines`), weighed by the
real code. The seeds are fixed, so that the figures can be made again. Ends with 0 when every figure that is promised
is kept, else with 1.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from measurements.bounds import lower, upper
from measurements.model import PaceSoFar, Throttling
from measurements.pace import CLEAR, tally, weigh
from measurements.targets import normalise
from probe.nettests.throttling import Session
from probe.network import Limits
from tests.lab.accuracy.lines import PACER, Line, LineNetwork, run

TARGET = normalise("https://www.site.example/")
DAY = 86_400.0
UNKNOWN = PaceSoFar()  # the session learns the line itself, as `wazi check` does
PATHS, YEARS = 1500, 100
FEW_PAIRS, FEW_BYTES = 5, 1_500_000


@dataclass(frozen=True)
class Ended:
    """What one session came to: what was found, of how many pairs about the target, all its bytes, and its seconds."""

    found: Throttling
    pairs: int
    received: int
    seconds: float

    @property
    def soon(self) -> bool:
        """Whether it was found within the pairs and bytes that are promised."""
        return self.found.mechanism is not None and self.pairs <= FEW_PAIRS and self.found.spent <= FEW_BYTES


@dataclass(frozen=True)
class Row:
    """A kind of line; `least` of its sessions must find a throttle (within few pairs), or `most` at most may."""

    name: str
    line: Line
    least: float | None = None
    soon: float | None = None
    most: float | None = None


ORDINARY, ROUGH, WILD = 0.3, 0.7, 1.0  # how much a transfer wavers by itself
ROWS = (
    Row("128 kbit/s", Line(cap=128e3), least=0.99, soon=0.99),
    Row("512 kbit/s", Line(cap=512e3), least=0.95),
    Row("1 Mbit/s", Line(cap=1e6), least=0.9),
    Row("frozen after 16 kB", Line(freeze=16_384), least=0.99, soon=0.99),
    Row("128 kbit/s, loss 2 %", Line(cap=128e3, loss=0.02, round_trip=0.05), least=0.95),
    Row("128 kbit/s, rough line", Line(cap=128e3, own=ROUGH), least=0.95),
    Row("1 Mbit/s, rough line", Line(cap=1e6, own=ROUGH)),
    Row("128 kbit/s, wild line", Line(cap=128e3, own=WILD), least=0.9),
    Row("1 Mbit/s, wild line", Line(cap=1e6, own=WILD)),
    Row("honest", Line(), most=0.002),
    Row("honest, rough line", Line(own=ROUGH), most=0.002),
    Row("honest, wild line", Line(own=WILD), most=0.002),
    Row("honest, loss 2 %, jitter", Line(own=ROUGH, loss=0.02, round_trip=0.05, jitter=0.6), most=0.002),
    Row("honest, loss 10 %, jitter", Line(own=WILD, loss=0.1, jitter=0.6), most=0.002),
    Row("honest, 150 kbit/s line", Line(rate=150e3), most=0.002),
    Row("honest, 1 Mbit/s line", Line(rate=1e6, own=ROUGH), most=0.002),
)
YEARLY = (Line(), Line(own=ROUGH), Line(own=WILD))


def session(line: Line, chance: random.Random, so_far: PaceSoFar = UNKNOWN, now: float = 0.0) -> Ended:
    """Lay the pairs of one session and weigh them."""
    net = LineNetwork(line, TARGET.host, chance, so_far, Limits())
    run(Session(net, TARGET, PACER, 443, chance).go())  # type: ignore[arg-type]
    counted = tally(net.observations)
    return Ended(weigh(counted, so_far, now), counted.laid, net.spent.received, net.now)


def year(line: Line, chance: random.Random, every: float = DAY, days: int = 365) -> int | None:
    """Repeat sessions about one target for a year; return the number of the first that claims, or None."""
    last: Throttling | None = None
    alike: deque[tuple[float, int, int]] = deque()
    for number in range(int(days * DAY / every)):
        now = (number + 1) * every
        while alike and alike[0][0] <= now - 28 * DAY:
            alike.popleft()
        known = PaceSoFar(
            last=last, alike_legs=sum(legs for _, legs, _ in alike), alike_apart=sum(apart for _, _, apart in alike)
        )
        last = session(line, chance, known, now).found
        alike.append((now, last.alike_legs, last.alike_apart))
        if last.mechanism is not None:
            return number + 1
    return None


def paths(row: Row, count: int) -> list[Ended]:
    """Play so many sessions of a row, each with a seed of its own."""
    return [session(row.line, random.Random(f"{row.name} {number}")) for number in range(count)]


def kept(row: Row, ended: Sequence[Ended]) -> bool:
    """Whether a row's promises are kept."""
    found = sum(each.found.mechanism is not None for each in ended) / len(ended)
    soon = sum(each.soon for each in ended) / len(ended)
    return (
        (row.least is None or found >= row.least)
        and (row.soon is None or soon >= row.soon)
        and (row.most is None or found <= row.most)
    )


def told(row: Row, ended: Sequence[Ended]) -> str:
    """One line of the report."""
    count = len(ended)
    hits = [each for each in ended if each.found.mechanism is not None]
    soon = sum(each.soon for each in ended)
    clear = sum(each.found.session_evidence <= CLEAR for each in ended)
    pairs = sorted(each.pairs for each in hits)
    return (
        f"{row.name:26} {100 * len(hits) / count:6.2f} % [{100 * lower(len(hits), count):5.2f}, "
        f"{100 * upper(len(hits), count):5.2f}] {100 * soon / count:6.2f} %  {100 * clear / count:6.2f} % "
        f"{pairs[len(pairs) // 2] if pairs else '-':>6} {_mean(e.found.spent for e in ended) / 1e6:6.2f} "
        f"{max(e.found.spent for e in ended) / 1e6:5.2f} {_mean(e.received for e in ended) / 1e6:6.2f} "
        f"{_mean(e.seconds for e in ended):5.0f} {max(e.seconds for e in ended):5.0f}  "
        f"{_mean(e.found.q0 for e in ended):5.3f}{'' if kept(row, ended) else '  MISSED'}"
    )


def _mean(values: Iterable[float]) -> float:
    each = list(values)
    return sum(each) / len(each)


HEAD = (
    f"{'line':26} {'throttled':>8} {'(95 % bounds)':>16} {'in 5 pairs':>11} {'clear':>8} {'pairs':>6} "
    f"{'MB':>6} {'most':>5} {'all MB':>6} {'s':>5} {'most':>5}  q0"
)


def report(count: int, years: int, say: Callable[[str], None] = print) -> int:
    """Play every row, then the years, and say the figures; 1 when a promise is not kept, else 0."""
    missed = False
    say(f"{count} first sessions of each line, which know nothing of it before")
    say(HEAD)
    for row in ROWS:
        ended = paths(row, count)
        missed |= not kept(row, ended)
        say(told(row, ended))
    claims, played = 0, 0
    for line in YEARLY if years else ():
        found = [year(line, random.Random(f"year {line.own} {number}")) for number in range(years)]
        hits = sum(each is not None for each in found)
        claims, played = claims + hits, played + years
        say(f"honest years, own {line.own}: {hits} of {years} targets claimed in 365 daily sessions")
    if played:
        say(f"in all: {claims} of {played} target-years, at most {upper(claims, played):.4f} a target-year (95 %)")
    return int(missed)
