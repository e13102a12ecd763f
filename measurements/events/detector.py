"""Votes in, events out: one at a time as they come, or a file at once, by the same code.

A vote goes to the room of its place (`rooms`), whose series say whether anything changed. Only then are the spells of
that place grouped anew (`grouping`), put through the gates (`gates`) and told (`telling`). All of that looks at the
spells and at nothing else, and those at the votes in the order of their times; so the events are the same in whatever
order votes came, as long as none comes later than the settings allow.

An event that was told and is no more (it was taken into another, or late votes showed it otherwise) is told once again,
as withdrawn.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

import msgspec

from measurements.events.crowds import Crowds, is_of_crowd
from measurements.events.gates import WEEK, confirmation, suspended
from measurements.events.grouping import Group, Grouping
from measurements.events.nouns import Checkpoint, Event, Settings, Status
from measurements.events.past import DAY
from measurements.events.placebos import Day, Measured, Placebos
from measurements.events.rates import RATES, Rates
from measurements.events.rooms import Room, order
from measurements.events.spells import Place
from measurements.events.telling import tell
from measurements.events.thresholds import LAG, Thresholds, VolumeState
from measurements.events.together import SIDELINES
from measurements.model import Strength, Vote

_HOUR = 3600.0
RoomKey = tuple[str, int, str, str, bool]
Adders = tuple[Callable[[Vote, float], bool], Callable[[Vote], None] | None]  # of its room, and of its crowd


class Header(msgspec.Struct):
    """What a detector remembers besides its rooms."""

    newest: float = 0.0
    volume: VolumeState = msgspec.field(default_factory=VolumeState)
    refused: int = 0
    told: dict[str, Event] = {}
    placebos: dict[int, Day] = {}
    of_crowds: set[str] = set()


class Detector:
    """Turns votes into events. `refused` counts votes that came too late to be counted.

    `assumed` are the null rates to begin with, until placebos have measured them.
    """

    def __init__(self, settings: Settings | None = None, assumed: Mapping[Strength, Rates] = RATES) -> None:
        self._settings = settings or Settings()
        self._lateness = self._settings.lateness
        self._rooms: dict[RoomKey, Room] = {}
        self._adders: dict[RoomKey, Adders] = {}
        self._networks: dict[tuple[str, str], set[int]] = {}  # that vote on a target in a country
        self._thresholds = Thresholds(self._settings)
        self._placebos = Placebos(assumed=assumed)
        self._tomorrow = 0.0  # when the day of the newest vote ends
        self._grouping = Grouping(self._settings)
        self._crowds = Crowds(self._settings, self._thresholds)
        self._of_crowds: set[str] = set()  # ids, of those told
        self._alarms: dict[tuple[Place, Strength, float], float] = {}
        self._told: dict[str, Event] = {}
        self._suspended: float | None = None
        self._wake = 0.0
        self.refused = 0

    @property
    def suspended_until(self) -> float | None:
        """Until when no event is confirmed, because placebos alarm more often than is promised."""
        return self._suspended

    @property
    def threshold(self) -> float:
        """The log evidence that a cell needs at present."""
        return self._thresholds.at(self._thresholds.newest)

    @property
    def rates(self) -> dict[Strength, Measured]:
        """The null rates in force at present, and what they are from."""
        return self._placebos.at(self._thresholds.newest)

    def add(self, vote: Vote) -> tuple[Event, ...]:
        """Count a vote; return the events that it opened or changed."""
        time, thresholds = vote.time, self._thresholds
        if time > thresholds.newest:
            thresholds.newest = time
            if time >= self._tomorrow:
                self._begin_day()
        elif self._lateness and time < thresholds.newest - self._lateness:
            self.refused += 1
            return ()
        key = (vote.country, vote.asn, vote.target, vote.layer, vote.placebo)
        add, note = self._adders.get(key) or self._open(key, self._new_room(key))
        news = add(vote, thresholds.count(vote))
        if note is not None:
            note(vote)
        if not news and thresholds.newest < self._wake:
            return ()
        groups = self._update(Place(*key), self._rooms[key]) if news else set()
        if thresholds.newest < self._wake:
            return tuple(self._announce(groups))
        groups |= self._tick()
        return (*self._announce(groups), *self._announce_crowds())

    def run(self, votes: Iterable[Vote]) -> Iterator[Event]:
        """Count votes that come in `order`, and yield the events that are settled on the way; nothing else is told."""
        thresholds, adders, due = self._thresholds, self._adders, 0.0
        threshold, counted = thresholds.at(0.0), not self._settings.fixed_volume
        for vote in votes:
            if counted:
                threshold = thresholds.count(vote)
            key = (vote.country, vote.asn, vote.target, vote.layer, vote.placebo)
            add, note = adders.get(key) or self._open(key, self._new_room(key))
            if note is not None:
                note(vote)
            if add(vote, threshold):
                thresholds.newest = vote.time
                self._update(Place(*key), self._rooms[key])
            if vote.time >= due:
                thresholds.newest, due = vote.time, vote.time + DAY
                self._tick()
                yield from self.settle()
        if self._rooms:
            thresholds.newest = max(thresholds.newest, vote.time)

    def events(self) -> list[Event]:
        """Return the events that are open, or closed so lately that a vote may still change them, oldest first."""
        return sorted([*map(self._tell, self._grouping.groups), *self._crowds.events(self._alarm_list())], key=_age)

    def settle(self) -> list[Event]:
        """Let go of what no vote can change any more, and return it."""
        long_ago = self._thresholds.newest - self._lateness - 2 * self._settings.together
        settled = self._crowds.settle(long_ago, self._alarm_list())
        for event in settled:
            self._told.pop(event.id, None)
            self._of_crowds.discard(event.id)
        groups = self._grouping.settled(long_ago)
        settled += [self._tell(group) for group in groups]  # all before any goes, as they bear on one another
        for group in groups:
            for entry in group.entries:
                self._room(entry.place).forget(entry.first, entry.spell.strength)
            self._grouping.drop(group)
            for told in group.told:
                self._told.pop(told, None)
        return sorted(settled, key=_age)

    def checkpoint(self) -> Checkpoint:
        """Return the state: the header, and the rooms that changed since this was last asked."""
        cells = {}
        for key, room in self._rooms.items():
            if room.is_new:
                room.is_new = False
                cells[_key(key)] = room.state()
        cells |= self._crowds.checkpoint()
        header = Header(
            newest=self._thresholds.newest,
            volume=self._thresholds.state(),
            refused=self.refused,
            told=self._told,
            placebos=self._placebos.state(),
            of_crowds=self._of_crowds,
        )
        return Checkpoint(header=msgspec.msgpack.encode(header), cells=cells)

    @classmethod
    def restore(cls, settings: Settings, header: bytes, cells: Mapping[str, bytes]) -> Detector:
        """Return the detector that gave these checkpoints (of every cell the last); it goes on where that stopped.

        Raises `msgspec.MsgspecError` for what no detector gave.
        """
        detector = cls(settings)
        kept = msgspec.msgpack.decode(header, type=Header)
        detector.refused = kept.refused
        detector._thresholds = Thresholds(settings, kept.volume)
        detector._thresholds.newest = kept.newest
        detector._told, detector._of_crowds = kept.told, kept.of_crowds
        detector._placebos = Placebos(kept.placebos)
        detector._crowds = Crowds(settings, detector._thresholds)
        detector._crowds.restore({name: data for name, data in cells.items() if is_of_crowd(name)})
        touched: set[Group] = set()
        for name, data in cells.items():
            if is_of_crowd(name):
                continue
            key = msgspec.json.decode(name, type=RoomKey)
            room = Room.restore(settings, data, detector._thresholds, detector._placebos, is_placebo=key[4])
            _, note = detector._open(key, room)
            if note is not None:
                for vote in room.votes:
                    note(vote)
            touched |= detector._update(Place(*key), room)
        detector._look_at_the_clock()
        for group in detector._grouping.groups:
            group.told |= {entry.id for entry in group.entries} & kept.told.keys()
        return detector

    def _open(self, key: RoomKey, room: Room) -> Adders:
        country, asn, target, layer, _ = key
        self._rooms[key] = room
        note = None if layer in SIDELINES else self._crowds.of(country, asn).note
        adders = self._adders[key] = (room.add, note)
        self._networks.setdefault((country, target), set()).add(asn)
        return adders

    def _new_room(self, key: RoomKey) -> Room:
        return Room(self._settings, self._thresholds, self._placebos, is_placebo=key[4])

    def _begin_day(self) -> None:
        """Let all placebos be counted that rule this day: no vote can come any more that would come before."""
        today = self._thresholds.newest // DAY * DAY
        self._tomorrow = today + DAY
        horizon = min(today - (LAG - 1) * DAY, self._thresholds.newest - self._lateness)
        for key, room in self._rooms.items():
            if key[4]:
                room.fold(horizon)

    def _networks_of(self, country: str, target: str) -> int:
        return len(self._networks.get((country, target), ()))

    def _room(self, place: Place) -> Room:
        return self._rooms[place.country, place.asn, place.target, place.layer, place.placebo]

    def _update(self, place: Place, room: Room) -> set[Group]:
        """Take in what a room says now; return the groups whose event may have changed."""
        if place.placebo:
            return self._placebo(place, room)
        groups = self._grouping.update(place, room.spells())
        others = self._grouping.of_target.get(place.target, ())
        if len({other.place.country for other in others}) > 2:
            groups |= {other.group for other in others}
        return groups

    def _placebo(self, place: Place, room: Room) -> set[Group]:
        """Take in the alarms of a placebo: they are told of nobody, and may hold back everything."""
        before = dict(self._alarms)
        for key in [key for key in self._alarms if key[0] == place]:
            del self._alarms[key]
        for spell in room.spells():
            if spell.crossed is not None:
                self._alarms[place, spell.strength, spell.first] = spell.crossed
        if self._alarms == before:
            return set()
        self._suspended = suspended(self._alarms.values(), self._thresholds.newest, self._settings)
        self._wake = 0.0
        return set(self._grouping.groups)

    def _tick(self) -> set[Group]:
        """Do what only the passing of time calls for; return the groups whose event may have changed."""
        before = self._suspended
        self._look_at_the_clock()
        self._forget_alarms()
        self._crowds.fold()
        if self._settings.lateness:
            self.settle()
        return set(self._grouping.groups) if before != self._suspended else set()

    def _look_at_the_clock(self) -> None:
        """Find whether claims are suspended, and when time alone may change something."""
        now = self._thresholds.newest
        self._suspended = suspended(self._alarms.values(), now, self._settings)
        hour = (now // _HOUR + 1) * _HOUR
        self._wake = hour if self._suspended is None else min(self._suspended, hour)

    def _forget_alarms(self) -> None:
        """Let go of placebo alarms that nothing can be held back by any more."""
        if not self._alarms:
            return
        firsts = [entry.first for group in self._grouping.groups for entry in group.entries]
        firsts += self._crowds.firsts()
        long_ago = self._thresholds.newest - WEEK - 2 * (self._lateness + DAY)
        long_ago = min([long_ago, *(first - self._settings.together for first in firsts)])
        for place, strength, first in [key for key, time in self._alarms.items() if time < long_ago]:
            room = self._room(place)
            if any((spell.first, spell.strength) == (first, strength) and spell.is_over for spell in room.spells()):
                room.forget(first, strength)
                del self._alarms[place, strength, first]

    def _alarm_list(self) -> list[tuple[float, Place]]:
        return [(first, place) for place, _, first in self._alarms]

    def _was_suspended(self, group: Group) -> bool:
        """Whether claims are suspended now, or were when what is closed ended."""
        if not self._alarms:
            return False
        ends = [entry.spell.over for entry in group.entries]
        now = self._thresholds.newest
        return suspended(self._alarms.values(), max((end or now) for end in ends), self._settings) is not None

    def _tell(self, group: Group) -> Event:
        settings, entries = self._settings, list(group.entries)
        confirmed, held = confirmation(
            entries, self._grouping.of_target, self._alarm_list(), self._networks_of, settings.together
        )
        if held in ("", "one_line") and self._was_suspended(group):
            held = "placebo"
        return tell(entries, confirmed, held, settings.false_alarms_per_week)

    def _announce(self, groups: Iterable[Group]) -> Iterator[Event]:
        """Tell of what changed in groups, and withdraw what was told and is no more."""
        orphans: set[str] = set()
        for group in sorted((group for group in groups if group.entries), key=lambda group: group.first.rank):
            event = self._tell(group)
            orphans |= group.told - {event.id}
            group.told = {event.id}
            if _material(event) != _material(self._told.get(event.id)):
                self._told[event.id] = event
                yield event
        for group in groups:
            if not group.entries:
                orphans |= group.told
        for gone in sorted(orphans):
            entry = self._grouping.by_id.get(gone)
            into = "" if entry is None else entry.group.first.id
            if into != gone and gone in self._told:
                yield self._withdraw(self._told.pop(gone), into)

    def _announce_crowds(self) -> Iterator[Event]:
        """Tell of what changed about sites that fail together, which is looked at every hour."""
        found = {event.id: event for event in self._crowds.events(self._alarm_list())}
        for id, event in found.items():
            if _material(event) != _material(self._told.get(id)):
                self._told[id] = event
                self._of_crowds.add(id)
                yield event
        for gone in sorted(self._of_crowds - found.keys()):
            self._of_crowds.discard(gone)
            yield self._withdraw(self._told.pop(gone), "")

    def _withdraw(self, event: Event, into: str) -> Event:
        why = "It is part of another event now." if into else "Votes that came late showed it otherwise."
        return msgspec.structs.replace(
            event, status=Status.WITHDRAWN, reason="merged" if into else "revised", into=into, notes=(why,)
        )


def detect(votes: Iterable[Vote], settings: Settings | None = None) -> list[Event]:
    """Return the events in votes of any order and age, oldest first."""
    return sorted(in_order(sorted(votes, key=order), settings or Settings()), key=_age)


def in_order(votes: Iterable[Vote], settings: Settings) -> Iterator[Event]:
    """Yield the events in votes that come in `order`, each when nothing can change it any more."""
    detector = Detector(msgspec.structs.replace(settings, lateness=0.0))
    yield from detector.run(votes)
    yield from detector.settle()
    yield from detector.events()


def _material(event: Event | None) -> object:
    """Return what of an event is worth telling again when it changes; counts of votes are not."""
    if event is None:
        return None
    parts = {(p.target, p.country, p.asn, p.layer, p.strength): (p.standing, p.probes) for p in event.parts}
    bounds = (event.onset, event.end)
    return (event.status, event.reason, event.kind, bounds, event.targets, event.mechanisms, event.probes, parts)


def _age(event: Event) -> tuple[float, str]:
    return event.opened, event.id


def _key(key: RoomKey) -> str:
    return msgspec.json.encode(key).decode()
