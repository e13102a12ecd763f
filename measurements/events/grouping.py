"""Which spells belong to one event.

Two spells of a country that began within six hours of one another (or between the same two votes, where votes are
fewer) are of one event when they share their target or their network; so is what hangs together by such steps. A spell
that was cleared keeps to its target: now and then one is suspected somewhere in every network, and by its help
everything would hang together. Blind cells keep to themselves: they say that nothing was seen, and not of what. The
rule looks at nothing but the spells, so that the order in which they became known cannot show; a group changes when a
spell joins, goes, is cleared, or turns out to have begun at another time.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable

from measurements.events.nouns import Settings, Standing
from measurements.events.spells import Place, Spell
from measurements.model import Strength

Key = tuple[Place, Strength, int, int]


class Entry:
    """A spell in its place, and the group it belongs to. `id` is that of an event whose first part it is."""

    __slots__ = ("began", "cleared", "first", "group", "id", "key", "place", "spell")

    def __init__(self, key: Key, spell: Spell, group: Group) -> None:
        self.key = key
        self.place = key[0]
        self.spell = spell
        self.first, self.began = spell.first, spell.began
        self.cleared = spell.standing is Standing.CLEARED
        self.group = group
        self.id = _id(key)

    def is_other(self, spell: Spell) -> bool:
        """Whether a spell that takes this one's place may have other neighbours."""
        is_cleared = spell.standing is Standing.CLEARED
        return (spell.first, spell.began, is_cleared) != (self.first, self.began, self.cleared)

    def is_near(self, other: Entry, far: float) -> bool:
        """Whether both began within so many seconds, or may have begun at once for all that their votes say."""
        (after, until), (other_after, other_until) = self.began, other.began
        return abs(until - other_until) <= far or (after < other_until and other_after < until)

    @property
    def rank(self) -> tuple[float, Place, Strength, float]:
        """Who was there first: by when it was worth telling."""
        assert self.spell.seen is not None
        return self.spell.seen, self.place, self.spell.strength, self.first


class Group:
    """Spells that are one event, and the ids under which they were told of."""

    __slots__ = ("entries", "told")

    def __init__(self) -> None:
        self.entries: set[Entry] = set()
        self.told: set[str] = set()

    @property
    def first(self) -> Entry:
        """The spell that was worth telling first: the event has its id."""
        return min(self.entries, key=lambda entry: entry.rank)


class Grouping:
    """All spells worth telling, in their groups."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._of_place: dict[Place, dict[Key, Entry]] = {}
        self._neighbours: dict[tuple[str, str, str | int], set[Entry]] = defaultdict(set)
        self.of_target: dict[str, set[Entry]] = defaultdict(set)
        self.by_id: dict[str, Entry] = {}
        self.groups: set[Group] = set()

    def update(self, place: Place, spells: Iterable[Spell]) -> set[Group]:
        """Put the spells of a place where its former ones were; return the groups that changed."""
        known, now = self._of_place.get(place, {}), self._keyed(place, spells)
        touched: set[Group] = set()
        for key in [key for key, entry in known.items() if key not in now or entry.is_other(now[key])]:
            touched |= self._remove(self._of_place[place][key])  # whose neighbours are entered anew
        for key, spell in now.items():
            entry = self._of_place.get(place, {}).get(key)
            if entry is None:
                touched |= self._insert(key, spell)
            else:
                entry.spell = spell
                touched.add(entry.group)
        return touched & self.groups | {group for group in touched if group.told and not group.entries}

    def settled(self, long_ago: float) -> set[Group]:
        """Return the groups that are over since before `long_ago`, and no longer bear on any that is not."""
        settled = {
            group
            for group in self.groups
            if all(entry.spell.over is not None and entry.spell.over < long_ago for entry in group.entries)
        }
        while needed := {group for group in settled if self._bears_on(group) - settled}:
            settled -= needed
        return settled

    def _bears_on(self, group: Group) -> set[Group]:
        """Return the groups of other countries with the same target at about the time: each may hold the other back."""
        return {
            other.group
            for entry in group.entries
            for other in self.of_target[entry.place.target]
            if other.is_near(entry, self._settings.together)
        }

    def drop(self, group: Group) -> None:
        """Let go of a group that nothing can change any more."""
        for entry in group.entries:
            self._forget(entry)
        self.groups.discard(group)

    def _keyed(self, place: Place, spells: Iterable[Spell]) -> dict[Key, Spell]:
        keyed: dict[Key, Spell] = {}
        for spell in spells:
            number, again = int(spell.first // self._settings.bin), 0
            while (place, spell.strength, number, again) in keyed:
                again += 1
            keyed[place, spell.strength, number, again] = spell
        return keyed

    def _insert(self, key: Key, spell: Spell) -> set[Group]:
        entry = Entry(key, spell, Group())
        entry.group.entries.add(entry)
        self.groups.add(entry.group)
        touched = {entry.group}
        for kind in _kinds(entry):
            for other in self._neighbours[kind]:
                if other.group is not entry.group and other.is_near(entry, self._settings.together):
                    touched.add(self._join(entry, other.group))
            self._neighbours[kind].add(entry)
        self.of_target[entry.place.target].add(entry)
        self.by_id[entry.id] = entry
        self._of_place.setdefault(entry.place, {})[key] = entry
        return touched

    def _join(self, entry: Entry, other: Group) -> Group:
        """Make one of two groups: the larger takes the other in."""
        larger, smaller = sorted((entry.group, other), key=lambda group: -len(group.entries))
        for moved in smaller.entries:
            moved.group = larger
        larger.entries |= smaller.entries
        larger.told |= smaller.told
        self.groups.discard(smaller)
        return larger

    def _remove(self, entry: Entry) -> set[Group]:
        """Take a spell away; what it held together may fall apart."""
        group = entry.group
        rest = sorted(group.entries - {entry}, key=lambda left: left.rank)
        self.drop(group)
        touched = {group}
        for left in rest:
            touched |= self._insert(left.key, left.spell)
        group.entries = set()
        for told in group.told & self.by_id.keys():
            self.by_id[told].group.told.add(told)
        group.told -= self.by_id.keys()
        return touched

    def _forget(self, entry: Entry) -> None:
        for kind in _kinds(entry):
            self._neighbours[kind].discard(entry)
            if not self._neighbours[kind]:
                del self._neighbours[kind]
        same = self.of_target[entry.place.target]
        same.discard(entry)
        if not same:
            del self.of_target[entry.place.target]
        self.by_id.pop(entry.id, None)
        here = self._of_place[entry.place]
        here.pop(entry.key, None)
        if not here:
            del self._of_place[entry.place]


def _kinds(entry: Entry) -> list[tuple[str, str, str | int]]:
    """Return what a spell may share with another; network 0 is unknown, and so is shared with nobody."""
    place = entry.place
    country = f"{place.country} blind" if place.layer == "blind" else place.country
    network: list[tuple[str, str, str | int]] = []
    if place.asn and not entry.cleared:
        network.append((country, "network", place.asn))
    return [(country, "target", place.target), *network]


def _id(key: Key) -> str:
    place, strength, number, again = key
    words = (place.country, str(place.asn), place.target, place.layer, strength, str(number), str(again))
    return hashlib.sha256("\0".join(words).encode()).hexdigest()[:32]
