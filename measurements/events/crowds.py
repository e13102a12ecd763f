"""The events of sites that fail together: one a network, found by `together`, gated here and told.

They keep to themselves, as the blind ones do: that sites failed at once says nothing of any of them. The gates are
those of other events, as far as they can be asked: two probes or three hours; two other countries in which some of the
same sites failed with others at about the time point to the sites, or to who serves them; harmless sites that alarm
point to the network or to us.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from measurements.events.gates import sure_since, suspended
from measurements.events.nouns import Event, Settings
from measurements.events.spells import Place, Spell
from measurements.events.telling import tell_together
from measurements.events.thresholds import Thresholds
from measurements.events.together import HOUR, Crowd, Outbreak

Network = tuple[str, int]  # country, ASN
Alarms = Sequence[tuple[float, Place]]
_CELL = "together "


class Found:
    """A spell of a network, and the outbreaks that it is made of."""

    __slots__ = ("first", "network", "outbreaks", "sites", "spell")

    def __init__(self, network: Network, spell: Spell, outbreaks: list[Outbreak]) -> None:
        self.network, self.spell, self.outbreaks = network, spell, outbreaks
        self.first = spell.first
        self.sites = {name for outbreak in outbreaks for name in outbreak.sites}

    def is_like(self, other: Found, far: float) -> bool:
        """Whether another country saw some of the same sites fail at about the time."""
        elsewhere = other.network[0] not in ("", self.network[0])
        return elsewhere and abs(other.first - self.first) <= far and not self.sites.isdisjoint(other.sites)


class Crowds:
    """All networks."""

    def __init__(self, settings: Settings, thresholds: Thresholds) -> None:
        self._settings, self._thresholds = settings, thresholds
        self._crowds: dict[Network, Crowd] = {}

    def of(self, country: str, asn: int) -> Crowd:
        """Return the crowd of a network."""
        crowd = self._crowds.get((country, asn))
        if crowd is None:
            crowd = self._crowds[country, asn] = Crowd(self._settings, self._thresholds)
        return crowd

    def fold(self) -> None:
        """Let go of hours that no vote can change any more."""
        for crowd in self._crowds.values():
            crowd.fold(self._thresholds.newest - self._settings.lateness)

    def events(self, alarms: Alarms) -> list[Event]:
        """Return what is open, or closed so lately that a vote may still change it."""
        found = self._found()
        return [self._tell(one, found, alarms) for one in found if one.spell.seen is not None]

    def settle(self, long_ago: float, alarms: Alarms) -> list[Event]:
        """Let go of what no vote can change any more, and return it."""
        found, far = self._found(), self._settings.together
        settled = [one for one in found if one.spell.over is not None and one.spell.over < long_ago]
        while needed := [
            one for one in settled if any(one.is_like(other, far) for other in found if other not in settled)
        ]:
            settled = [one for one in settled if one not in needed]
        events = [self._tell(one, found, alarms) for one in settled]
        for one in settled:
            self._crowds[one.network].forget(one.first)
        return events

    def firsts(self) -> list[float]:
        """Return when that began which is not settled yet."""
        return [one.first for one in self._found()]

    def checkpoint(self) -> dict[str, bytes]:
        """Return the state of each network that changed since this was last asked."""
        cells = {}
        for network, crowd in self._crowds.items():
            if crowd.is_new:
                crowd.is_new = False
                cells[_CELL + msgspec.json.encode(network).decode()] = crowd.state()
        return cells

    def restore(self, cells: Mapping[str, bytes]) -> None:
        """Bring networks back. Raises `msgspec.MsgspecError` for what `checkpoint` never gave."""
        for name, data in cells.items():
            network = msgspec.json.decode(name.removeprefix(_CELL), type=Network)
            self._crowds[network] = Crowd(self._settings, self._thresholds, data)

    def _found(self) -> list[Found]:
        """Return every spell that is worth telling, or may become so."""
        found = []
        for network, crowd in self._crowds.items():
            head = crowd.head(self._thresholds.newest)
            if head is None:
                continue
            for spell in (*head.track.over, *head.track.open.values()):
                found.append(Found(network, spell, head.outbreaks_of(spell)))
        return sorted(found, key=lambda one: (one.network, one.first))

    def _tell(self, one: Found, found: list[Found], alarms: Alarms) -> Event:
        confirmed, held = self._confirmation(one, found, alarms)
        now = one.spell.over or self._thresholds.newest
        if held in ("", "one_line") and alarms and suspended((time for time, _ in alarms), now, self._settings):
            held = "placebo"
        country, asn = one.network
        words = (country, str(asn), "together", str(int(one.first // HOUR)))
        return tell_together(
            hashlib.sha256("\0".join(words).encode()).hexdigest()[:32],
            Place(country, asn, "", "together"),
            one.spell,
            one.outbreaks,
            (confirmed, held, self._settings.false_alarms_per_week),
        )

    def _confirmation(self, one: Found, found: Iterable[Found], alarms: Alarms) -> tuple[float | None, str]:
        far, crossed = self._settings.together, one.spell.crossed
        assert crossed is not None  # or it would not be worth telling
        if len({other.network[0] for other in found if one.is_like(other, far)}) >= 2:
            return None, "elsewhere"
        if any((place.country, place.asn) == one.network and abs(time - one.first) <= far for time, place in alarms):
            return None, "placebo"
        sure = sure_since([one.spell])
        return (None, "one_line") if sure is None else (max(crossed, sure), "")


def is_of_crowd(cell: str) -> bool:
    """Whether a cell of a checkpoint is a network's."""
    return cell.startswith(_CELL)
