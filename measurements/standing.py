"""How access stands now: the votes of a store, counted as they arrive, by the detector of `measurements.events`.

The store holds the votes, and the detector's memory as it was after the last one that was counted. A turn takes the
next votes in the order of their arrival and stores the events that changed, the cells that changed and the number of
the last vote in one transaction. What is in memory is only a copy: it is dropped when a turn fails, and when somebody
else had one.

Where several programs share a store one of them counts, and the others leave it to that one until it has been
silent for a minute. A memory that this version cannot read is made anew from all votes in the store; events keep
their ids, which follow from where and when they began.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable

import msgspec

from measurements.events.detector import Detector
from measurements.events.nouns import DETECTOR_VERSION, Event, Settings
from measurements.events.outages import outages
from measurements.events.placebos import Measured
from measurements.model import Gap, Strength
from measurements.store.errors import StoreError
from measurements.store.ledger import Ledger, Turn

BATCH = 500  # votes a turn, so that none keeps others waiting for long
AHEAD = 900.0  # seconds by which a vote may be ahead of the clock; one that is more would make all others too late
SILENT = 60.0  # seconds after which somebody else's counting is taken over
DAMAGED = (StoreError, msgspec.MsgspecError, ValueError, LookupError, ArithmeticError, TypeError, AttributeError)
"""What reading a memory raises that no detector gave; an error of the database is none of these."""

log = logging.getLogger(__name__)


class Memory(msgspec.Struct, frozen=True, kw_only=True):
    """What is kept of a detector besides its cells; the first fields are for those who only look.

    `threshold` is the log evidence that a cell needs, and `suspended` until when nothing is confirmed because placebos
    alarmed (UTC seconds). `rates` are the null rates in force, and what they are from. `newest` is the time of the
    newest vote, `refused` how many came too late.
    """

    version: int = DETECTOR_VERSION
    false_alarms_per_week: float
    threshold: float
    suspended: float | None
    newest: float
    refused: int
    rates: dict[Strength, Measured] = {}
    header: bytes


class Standing:
    """Counts the votes of one store. Every method may be called from any thread; `catch_up` one at a time.

    `trouble` says why the last attempt failed, in a sentence, and is empty when it went well; `is_behind` whether the
    last attempt left votes for the next.
    """

    def __init__(self, ledger: Ledger, settings: Settings, *, now: Callable[[], float] = time.time) -> None:
        self._ledger = ledger
        self._settings = settings
        self._now = now
        self._detector: Detector | None = None
        self._newest = 0.0
        self._votes: dict[str, int] = {}  # of open events, as last stored
        self._turn = -1
        self._counting = threading.Lock()
        self.trouble = ""
        self.is_behind = False

    def use(self, settings: Settings) -> None:
        """Count by other settings from the next turn on."""
        with self._counting:
            if settings != self._settings:
                self._settings = settings
                self._forget()

    def catch_up(self, most: int | None = None) -> list[Event]:
        """Count what has arrived, or the next `most` votes of it; return the events that have news, in order.

        Raises nothing: what goes wrong is logged, kept in `trouble`, and tried again the next time.
        """
        news: list[Event] = []
        with self._counting:
            self.is_behind = False
            try:
                left = most
                while left is None or left > 0:
                    asked = BATCH if left is None else min(BATCH, left)
                    counted, told = self._one_turn(asked)
                    news += told
                    if counted < asked:
                        break
                    left = None if left is None else left - counted
                else:
                    self.is_behind = True
                self.trouble = ""
            except StoreError as error:
                self._failed(f"votes wait to be counted: {error}", error)
            except Exception as error:
                self._failed(f"votes wait to be counted, for a mistake of this program: {error!r}", error)
        return news

    def _failed(self, why: str, error: Exception) -> None:
        self._forget()
        if why != self.trouble:
            log.error("%s", why, exc_info=None if isinstance(error, StoreError) else error)
        self.trouble = why

    def _forget(self) -> None:
        self._detector, self._newest, self._votes = None, 0.0, {}

    def _one_turn(self, most: int) -> tuple[int, list[Event]]:
        """Count some votes; return how many, and the events that have news."""
        with self._ledger.turn() as turn:
            if self._somebody_else_counts(turn):
                return 0, []
            votes = turn.votes(most)
            if not votes:
                return 0, []
            detector = self._remember(turn)
            if turn.number == 0:
                votes = turn.votes(most)
            changed: dict[str, Event] = {}
            latest = self._now() + AHEAD
            early = sum(vote.time > latest for _, vote in votes)
            if early:
                log.warning("%d votes are of a time that has not come, and are not counted: is a clock wrong?", early)
            for _, vote in votes:
                if vote.time > latest:
                    continue
                self._newest = max(self._newest, vote.time)
                for event in detector.add(vote):
                    changed.pop(event.id, None)
                    changed[event.id] = event
            for event in detector.events():  # that one more vote agrees is not told, but the event shall say so
                if event.is_open and self._votes.get(event.id) != event.votes:
                    self._votes[event.id] = event.votes
                    changed[event.id] = event
            is_behind = len(votes) == most  # old votes, perhaps: nobody is told before the rest of them was seen
            checkpoint = detector.checkpoint()
            memory = Memory(
                false_alarms_per_week=self._settings.false_alarms_per_week,
                threshold=detector.threshold,
                suspended=detector.suspended_until,
                newest=self._newest,
                refused=detector.refused,
                rates=detector.rates,
                header=checkpoint.header,
            )
            news = turn.save(
                votes[-1][0],
                msgspec.msgpack.encode(memory),
                checkpoint.cells,
                list(changed.values()),
                is_behind=is_behind,
            )
        self._turn = turn.turn
        return len(votes), news

    def _somebody_else_counts(self, turn: Turn) -> bool:
        theirs = turn.turn not in (0, self._turn)
        return theirs and self._ledger.is_shared and self._now() - turn.updated < SILENT

    def _remember(self, turn: Turn) -> Detector:
        """Return the detector as it was after the last vote that was counted."""
        if self._detector is not None and turn.turn == self._turn:
            return self._detector
        self._forget()
        memory = recall(turn.header)
        if memory is not None:
            try:
                self._detector = Detector.restore(self._settings, memory.header, turn.cells())
                self._newest = memory.newest
            except DAMAGED as error:
                log.error("what was counted cannot be read (%s): all votes are counted anew", error)
        elif turn.header:
            log.warning("votes were counted by another version of the detector: all are counted anew")
        if self._detector is None:
            self._detector = Detector(self._settings)
            turn.begin_anew()
        return self._detector


def recall(header: bytes) -> Memory | None:
    """Read what a turn kept; None when nothing was kept, or by another version of the detector."""
    try:
        memory = msgspec.msgpack.decode(header, type=Memory)
    except msgspec.MsgspecError:
        return None
    return memory if memory.version == DETECTOR_VERSION else None


def keep_outages(ledger: Ledger, gaps: Iterable[Gap], *, country: str | None, asn: int | None) -> list[Event]:
    """Store the outages among a probe's gaps as events; return those that have news. Raises StoreError."""
    found = outages(gaps, country=country, asn=asn)
    if not found:
        return []
    with ledger.turn("outages") as turn:
        return turn.save(turn.number, b"", {}, found)
