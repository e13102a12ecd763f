"""Plays for a probe to live through: `python -m tests.lab.rehearsals [NAME...]` says which events each ended in.

What a reader should find is in each docstring. One takes one to three minutes, and judges nothing by itself.
"""

from __future__ import annotations

import signal
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from measurements.store import open_store
from tests.lab.client import LabClient
from tests.lab.rehearsal import Rehearsal
from tests.lab.scenario import AddressFilter, ControlCut, HelloFilter, ResolverLie

SHUT = "twitter.com"
RESET = HelloFilter(names=(SHUT,), action="reset")
LIE = ResolverLie(answer="nxdomain", names=(SHUT,))
NOTHING_PASSES = AddressFilter(addresses=("0.0.0.0/0", "::/0"), action="drop", by="home")
SLOWLY = 60.0  # where timeouts fill the time, which go no faster


def quiet(play: Rehearsal) -> None:
    """Nothing happens: no event."""
    play.until(4.0)


def probe_off(play: Rehearsal) -> None:
    """A probe is killed for an hour of a block: one event, unconfirmed, and a gap, in which nobody votes."""
    play.until(1.2)
    play.change(RESET)
    play.until(2.0)
    play.end("one", signal.SIGKILL)
    play.until(3.0)
    play.start("one")
    play.until(4.0)


def outage(play: Rehearsal) -> None:
    """Nothing passes the router for an hour: an outage with its brackets, and no blocking."""
    play.until(0.6)
    play.change(NOTHING_PASSES)
    play.until(1.6)
    play.change()
    play.until(2.0)


def hiccup(play: Rehearsal) -> None:
    """Nothing passes the router for twelve minutes: no blocking."""
    play.until(1.2)
    play.change(NOTHING_PASSES)
    play.until(1.4)
    play.change()
    play.until(2.0)


def other_mechanism(play: Rehearsal) -> None:
    """A lie of the resolver gives way to resets after an hour: one event with both mechanisms."""
    play.until(1.2)
    play.change(LIE)
    play.until(2.2)
    play.change(RESET)
    play.until(3.2)


def control_gone(play: Rehearsal) -> None:
    """The control is cut off amid a block: one event goes on, as far as what is left can prove it."""
    play.until(1.2)
    play.change(RESET)
    play.until(1.8)
    play.change(RESET, ControlCut())
    play.until(3.0)


PLAYS: dict[str, tuple[Callable[[Rehearsal], None], float]] = {
    "quiet": (quiet, 240.0),
    "probe-off": (probe_off, 240.0),
    "outage": (outage, SLOWLY),
    "hiccup": (hiccup, SLOWLY),
    "other-mechanism": (other_mechanism, 240.0),
    "control-gone": (control_gone, 240.0),
}


def rehearse(name: str) -> None:
    """Live through a play, and print what the store says of it, in its hours."""
    act, speed = PLAYS[name]
    with tempfile.TemporaryDirectory(prefix="wazi-rehearsal-") as work:
        lab = LabClient(Path(work))
        try:
            play = Rehearsal(lab, hours=6.0, speed=speed)
            play.start("one")
            act(play)
            play.end("one")
            print(f"{name}: {act.__doc__}")
            with open_store(play.url, read_only=True) as store:
                for event in store.ledger.events():
                    onset, end = ([round(play.hour(t), 2) for t in part or ()] for part in (event.onset, event.end))
                    how = ", ".join(mechanism for mechanism, _ in event.mechanisms)
                    print(f"  {event.status} {event.reason}: {event.summary}\n    hours {onset} to {end}; {how}")
                for gap in store.gaps(since=play.begins):
                    print(f"  gap, {gap.why}: hours {play.hour(gap.since):.2f} to {play.hour(gap.until):.2f}")
                placebos = sum(vote.placebo and vote.blocked for vote in play.votes(store))
                print(f"  votes of placebos against access: {placebos}", flush=True)
        finally:
            lab.close()


def main() -> int:
    for name in sys.argv[1:] or PLAYS:
        rehearse(name)
    return 0


if __name__ == "__main__":
    sys.exit(main())
