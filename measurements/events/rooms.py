"""A room: the votes of one place in their order, and what they leave behind.

Of each probe the first vote in a time bin counts, whatever it says: later ones of the bin depend on it. (A majority
would have to wait for the bin's end; the worst would count honest faults more often than they are.) Each strength has a
series of its own; a vote for access counts in all of them. A strength that has never accused needs no series yet:
until then it is enough to know when there was access, from which its series is forked when it first accuses.

Votes may come late. A room therefore keeps the votes of the last 48 hours, and its state from before those: a late
vote takes its place in the order, and the votes after it are counted again from that state. What comes of it is
the same as if all had come in order, because nothing else is looked at.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Callable
from functools import partial
from typing import cast

import msgspec

from measurements.events.cells import Cell, CellState
from measurements.events.changes import Suspicion
from measurements.events.nouns import Settings
from measurements.events.past import Access, AccessState
from measurements.events.placebos import Faults, Placebos
from measurements.events.rates import RATES
from measurements.events.spells import MOST_WELL, Spell
from measurements.events.thresholds import ALONE, ENDING, Thresholds
from measurements.model import Strength, Vote

_FOLD_EARLY = 21_600.0  # votes leave the order in batches of some hours
_LONGER = 7200.0  # votes of hours that a late vote may change are kept: `together` counts them again
_encoder = msgspec.msgpack.Encoder()


def order(vote: Vote) -> tuple[float, str, str, bool, str, str, str]:
    """Return the place of a vote among those of its room: total, so that no order of arrival can show."""
    return vote.time, vote.probe, vote.witness, vote.blocked, vote.strength, vote.mechanism, vote.software


class TrackState(msgspec.Struct):
    """What votes in their order leave behind, as data."""

    access: AccessState = AccessState()
    faults: Faults = {}
    series: dict[Strength, CellState] = {}
    bins: dict[str, float] = {}
    open: dict[Strength, Spell] = {}
    over: list[Spell] = []


_decoder = msgspec.msgpack.Decoder(TrackState)


class Track:
    """Votes in their order go in; series and spells are what is left of them.

    `learns` says that its votes are a placebo's, and not given to another track of the place as well.
    """

    __slots__ = (
        "_access",
        "_bin",
        "_faults",
        "_learns",
        "_persistence",
        "_placebos",
        "_series",
        "bins",
        "open",
        "over",
    )

    def __init__(
        self, settings: Settings, placebos: Placebos, state: TrackState | None = None, *, learns: bool = False
    ) -> None:
        state = state or TrackState()
        self._placebos, self._learns, self._faults = placebos, learns, state.faults
        self._bin, self._persistence = settings.bin, settings.persistence
        self._access = Access(state.access)
        self._series = {strength: self._restore(strength, kept) for strength, kept in state.series.items()}
        self.bins, self.open, self.over = state.bins, state.open, state.over

    def tracked(self) -> TrackState:
        """Return what the votes left behind; to be encoded before the next one."""
        series = {strength: cell.state() for strength, cell in self._series.items()}
        return TrackState(self._access.state(), self._faults, series, self.bins, self.open, self.over)

    def state(self) -> bytes:
        """Return the track as data."""
        return _encoder.encode(self.tracked())

    def add(self, vote: Vote, threshold: float) -> bool:
        """Count the next vote; return whether anything changed that an event would tell."""
        time, probe = vote.time, vote.probe
        number = time // self._bin
        if self.bins.get(probe, -1.0) >= number:
            return vote.blocked and self._still(vote)
        self.bins[probe] = number
        if self._learns:
            blocked = [strength for strength, cell in self._series.items() if cell.is_blocked]
            self._placebos.count(vote, self._faults, blocked)
        if vote.blocked:
            return self._against(vote, threshold)
        self._access.add(time)
        if self.open:
            return self._well(vote, threshold)
        for cell in self._series.values():
            cell.add(time, False, probe, "", threshold)
        return False

    def told(self) -> list[Spell]:
        """Return the spells worth telling, over or not."""
        return [*self.over, *(spell for spell in self.open.values() if spell.seen is not None)]

    def _still(self, vote: Vote) -> bool:
        """Let a vote that is not weighed say at least that it lasts: one of the schedule may have come just before."""
        spell = self.open.get(vote.strength)
        return spell is not None and spell.lasts(vote.time, self._persistence) and spell.seen is not None

    def _against(self, vote: Vote, threshold: float) -> bool:
        strength, time = vote.strength, vote.time
        cell = self._series.get(strength)
        if cell is None:
            cell = self._series[strength] = self._fork(strength, time)
        own = threshold if strength is Strength.REPORTED else threshold + ALONE
        change = cell.add(time, True, vote.probe, vote.witness, own)
        spell, since = self.open.get(strength), cell.suspected_since
        if spell is not None and spell.crossed is None and since not in (None, spell.first):
            self._close(spell, time)  # a silence had cleared it
            spell = None
        if spell is None:
            spell = Spell(
                strength=strength, first=time, last=time, onset=(time, time), began=(time, time), threshold=own
            )
            if strength is Strength.PROVEN:
                spell.seen, spell.well = time, self._access.times[-MOST_WELL:]
            self.open[strength] = spell
        news = spell.count_against(vote, self._persistence)
        if change is not None:
            spell.changed(change)
            return True
        if spell.crossed is None:
            if since is None:  # at so high a null rate nothing can be suspected
                self._close(spell, time)
            elif spell.seen is not None:
                spell.suspected(cast(Suspicion, cell.suspicion), time)
                news = True
        return (news or spell.is_over) and spell.seen is not None

    def _well(self, vote: Vote, threshold: float) -> bool:
        news = False
        for strength, cell in self._series.items():
            spell = self.open.get(strength)
            if spell is None:
                cell.add(vote.time, False, vote.probe, "", threshold)
            elif spell.crossed is None:
                cell.add(vote.time, False, vote.probe, "", threshold)
                spell.count_for(vote)
                if cell.suspected_since is None:
                    self._close(spell, vote.time)
                elif spell.seen is not None:
                    spell.suspected(cast(Suspicion, cell.suspicion), vote.time)
                news |= spell.is_over and spell.seen is not None
            else:
                change = cell.add(vote.time, False, vote.probe, vote.witness, min(threshold, ENDING))
                spell.count_for(vote)
                news |= change is not None
                if change is not None:
                    spell.changed(change)
                    self._end(spell)
        return news

    def _restore(self, strength: Strength, state: CellState) -> Cell:
        return Cell.restore(state, RATES[strength], partial(self._placebos.of, strength))

    def _fork(self, strength: Strength, time: float) -> Cell:
        """Begin the series of a strength with the past that all share; its null rate is its own."""
        access = self._access
        ruling = partial(self._placebos.of, strength)
        return Cell.forked(ruling(time), access.past.state(), access.before, access.times, ruling)

    def _close(self, spell: Spell, time: float) -> None:
        spell.cleared(time)
        self._end(spell)

    def _end(self, spell: Spell) -> None:
        del self.open[spell.strength]
        if spell.seen is not None:
            self.over.append(spell)


class RoomState(msgspec.Struct, array_like=True):
    """A room as data: its state before the votes that it keeps, and those."""

    base: bytes
    votes: list[Vote]


class Room:
    """The votes of one place."""

    __slots__ = ("_base", "_head", "_is_placebo", "_placebos", "_settings", "_thresholds", "_votes", "is_new")

    def __init__(self, settings: Settings, thresholds: Thresholds, placebos: Placebos, *, is_placebo: bool) -> None:
        self._settings, self._thresholds, self._placebos = settings, thresholds, placebos
        self._is_placebo = is_placebo
        self._head = Track(settings, placebos, learns=is_placebo and not settings.lateness)
        self._base = b""
        self._votes: list[Vote] = []
        self.is_new = False  # whether it changed since it was last kept

    @property
    def add(self) -> Callable[[Vote, float], bool]:
        """What counts a vote, given the threshold at its time, and returns whether an event may tell of it."""
        return self._add if self._settings.lateness else self._head.add

    def _add(self, vote: Vote, threshold: float) -> bool:
        self.is_new = True
        votes = self._votes
        if not votes or vote.time > votes[-1].time or order(vote) >= order(votes[-1]):
            votes.append(vote)
            news = self._head.add(vote, threshold)
        else:
            insort(votes, vote, key=order)
            self._replay()
            news = True
        horizon = self._thresholds.newest - self._settings.lateness
        if votes[0].time < horizon - _FOLD_EARLY:
            self.fold(horizon - _LONGER)
        return news

    @property
    def votes(self) -> list[Vote]:
        """The votes that are kept, in order: those that a late one may precede, and some more."""
        return self._votes

    def spells(self) -> list[Spell]:
        """Return the spells worth telling, over or not."""
        return self._head.told()

    def forget(self, first: float, strength: Strength) -> None:
        """Drop a spell that is over for so long that no vote can change it any more."""
        if self._settings.lateness:
            self.fold(self._thresholds.newest - self._settings.lateness - _LONGER)
            base = self._track()
            base.over = [spell for spell in base.over if (spell.first, spell.strength) != (first, strength)]
            self._base = base.state()
        head = self._head
        head.over = [spell for spell in head.over if (spell.first, spell.strength) != (first, strength)]
        self.is_new = True

    def state(self) -> bytes:
        """Return the room as data."""
        return _encoder.encode(RoomState(self._base, self._votes))

    @classmethod
    def restore(
        cls, settings: Settings, data: bytes, thresholds: Thresholds, placebos: Placebos, *, is_placebo: bool
    ) -> Room:
        """Bring a room back from what `state` gave; raises `msgspec.MsgspecError` for what it cannot have given."""
        state = msgspec.msgpack.decode(data, type=RoomState)
        room = cls(settings, thresholds, placebos, is_placebo=is_placebo)
        room._base, room._votes = state.base, state.votes
        room._replay()
        return room

    def _track(self, *, learns: bool = False) -> Track:
        state = _decoder.decode(self._base) if self._base else None
        return Track(self._settings, self._placebos, state, learns=learns)

    def _replay(self) -> None:
        self._head, at = self._track(), self._thresholds.at
        for vote in self._votes:
            self._head.add(vote, at(vote.time))

    def fold(self, horizon: float) -> None:
        """Let go of votes from before the horizon: no vote can come before them any more."""
        gone = bisect_left(self._votes, horizon, key=lambda vote: vote.time)
        if gone:
            base, at = self._track(learns=self._is_placebo), self._thresholds.at
            for vote in self._votes[:gone]:
                base.add(vote, at(vote.time))
            oldest = horizon // self._settings.bin
            base.bins = {probe: number for probe, number in base.bins.items() if number >= oldest}
            self._base = base.state()
            del self._votes[:gone]
            self.is_new = True
