"""`wazi run` in a time that goes faster: `python -m tests.lab.hurried CONFIG SPEED MEETS`.

Its clock goes SPEED times as fast as the computer's, and both show MEETS at the same moment (UTC seconds). Chosen to
be at the rehearsal's end, that moment makes what was measured lie in the past, where `wazi status` and `wazi events`
of the computer's own time find it. Several probes that are told the same live in one time.

What it distorts: the network, deadlines and the pause between two counts of votes stay as slow as they are. At 240 a
second is four minutes: a measurement seems to take some of them, and a stutter of the computer is a gap.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

from probe.clocks import Tempo, read_clocks


def tempo(speed: float, meets: float) -> Tempo:
    """Return the time that goes `speed` times as fast as the computer's, and agrees with it at `meets`."""
    now = read_clocks()
    ahead = meets - now.wall
    return Tempo(speed, replace(now, wall=meets, monotonic=now.monotonic + ahead, boottime=now.boottime + ahead))


def main() -> int:
    from probe.commands.console import Common
    from probe.commands.running import run

    config, speed, meets = sys.argv[1:]
    return run(Common(Path(config)), skip_bad_lines=None, tempo=tempo(float(speed), float(meets)))


if __name__ == "__main__":
    sys.exit(main())
