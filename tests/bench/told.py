"""A program that stores events and tells of them, to be killed: `python -m tests.bench.told STORE PORT COUNT RATE`.

It goes on where the store says that the last one ended. Each event is opened, and closed `LATER` events after that.
It prints a line when it begins and when everything is stored, and then goes on sending until its input ends.
"""

from __future__ import annotations

import base64
import sys
import time

from measurements.alerts.hooks import HOOKS
from measurements.alerts.outbox import Outbox, Posting
from measurements.alerts.pace import Patience
from measurements.alerts.routing import Rule
from measurements.alerts.secrets import Secret
from measurements.bogons import Bogons
from measurements.events.nouns import Event, Kind, Status
from measurements.store import Store, open_store

HOOK_NAMES = ("healthy", "failing", "hanging", "mute")
LATER = 100
TOGETHER = 10  # events of one place a turn
PLACES = 20
SECRET = "whsec_" + base64.b64encode(b"x" * 32).decode()
PATIENCE = Patience(first=0.2, most=4.0, news=1.0, attempt=4.0, asked=2.0, soon=0.5, poll=1.0, away=0.2)


def event(number: int, *, is_open: bool) -> Event:
    """Make the event of a number, as it stands now."""
    now = time.time()
    return Event(
        id=f"{number:08x}" * 4,
        kind=Kind.BLOCKING,
        status=Status.CONFIRMED if is_open else Status.CLOSED,
        reason="" if is_open else "ended",
        countries=(chr(65 + number // TOGETHER % PLACES) + "X",),
        asns=(64_496 + number // TOGETHER % PLACES,),
        targets=(f"site{number}.example",),
        onset=(now, now),
        end=None if is_open else (now, now),
        opened=now,
        confirmed=now,
        updated=now,
    )


def postings(port: int) -> list[Posting]:
    """Return an alert for each of the receivers."""

    def posting(name: str) -> Posting:
        def make() -> object:
            return HOOKS["webhook"](
                url=Secret(f"http://127.0.0.1:{port}/{name}"),
                secrets=(Secret(SECRET),),
                bogons=Bogons.parse("prefix,why\n", ""),
                allow_private=True,
                allow_http=True,
            )

        return Posting(rule=Rule(name=name, cool_down=0.0), setting="", make=make)  # type: ignore[arg-type]

    return [posting(name) for name in HOOK_NAMES]


def feed(store: Store, count: int, rate: float) -> None:
    """Store events, so many a second, from where the store ends."""
    number = sum(1 for _ in store.ledger.events())
    began, first = time.monotonic(), number
    while number < count + LATER:
        news = [event(one, is_open=True) for one in range(number, min(number + TOGETHER, count))]
        news += [
            event(one, is_open=False) for one in range(number - LATER, number - LATER + TOGETHER) if 0 <= one < count
        ]
        with store.ledger.turn("bench") as turn:
            turn.save(0, b"", {}, news)
        number += TOGETHER
        time.sleep(max(0.0, began + (number - first) / rate - time.monotonic()))


def main() -> None:
    url, port, count, rate = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])
    with open_store(url) as store:
        outbox = Outbox(store, patience=PATIENCE)
        told = postings(port)
        store.ledger.route([one.rule for one in told], outbox.wake)
        outbox.use(told)
        print("begins", flush=True)
        feed(store, count, rate)
        print("stored", flush=True)
        sys.stdin.read()
        outbox.close()


if __name__ == "__main__":
    main()
