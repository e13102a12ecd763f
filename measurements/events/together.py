"""Unrelated sites that stop answering in one hour, while harmless ones answer: evidence that none of them gives alone.

An hour of one probe is looked at when it is over. Sites go by their registrable name (`site`), so that what belongs
together counts once. Of those that answered the last time, a day ago at the most, each fails now with a chance that the
probe's own last 28 days bound; how many do so at once is then at most binomial (Hoeffding 1956: among rates of one
mean, equal ones have the heaviest tail). When more fail in an hour, or in it and the one before, than that allows once
in a thousand, it is an *outbreak*, and a vote against; so is each later hour in which half of them still fail. Other
hours are votes for. An hour says nothing when a harmless site fails that worked within a day, when none was asked, or
when most sites fail: that is the line's own trouble.

These votes are a series like any other (`rooms.Track`), with rates of its own. What comes of them follows from the
votes of the hours alone. Hours that late votes may still change are therefore counted from a state before them.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable
from itertools import pairwise

import msgspec

from measurements.bounds import at_most, upper
from measurements.events.cells import Cell, CellState
from measurements.events.nouns import Settings
from measurements.events.past import DAY, NEVER, Past, PastState
from measurements.events.placebos import Placebos
from measurements.events.rates import TOGETHER
from measurements.events.rooms import Track, TrackState
from measurements.events.sites import site
from measurements.events.spells import Spell
from measurements.events.thresholds import IN_A_CROWD, LEAST_SITES, Thresholds
from measurements.model import Strength, Vote

HOUR = 3600.0
SIDELINES = frozenset({"blind", "quic", "throttle"})  # layers whose failure leaves a site within reach

_LEAST_STRUCK = 4
_LEAST_PAST = 600  # answers before anything is said; they bound a rate of none by .005
_FLOOR = 0.005
_SELDOM = 0.001
_NEITHER = ""  # a measurement that proved a block: told of elsewhere, and no word on what is out of reach
_encoder = msgspec.msgpack.Encoder()


class Known(msgspec.Struct, array_like=True):
    """When a site last answered, and whether it failed since."""

    worked: float = NEVER
    failing: bool = False


class Struck(msgspec.Struct, array_like=True):
    """A site of an outbreak: what was asked for, when it last answered and first failed, and a witness."""

    target: str
    worked: float
    failed: float
    witness: str
    hours: int = 1


class Outbreak(msgspec.Struct):
    """Sites that began to fail at one probe in one hour, or the next, and have not answered since."""

    probe: str
    first: float  # the ends of the first hour and of the last that voted against
    last: float
    most: int
    sites: dict[str, Struck]
    is_open: bool = True


class Before(msgspec.Struct):
    """An hour: when it ended, how many sites that had answered were asked, and those that failed."""

    end: float = NEVER
    trials: int = 0
    struck: dict[str, Struck] = {}


class Watch(msgspec.Struct):
    """What is remembered of one probe."""

    sites: dict[str, Known] = {}
    harmless: dict[str, Known] = {}
    past: PastState = PastState()
    before: Before = msgspec.field(default_factory=lambda: Before())
    outbreak: Outbreak | None = None


class CrowdState(msgspec.Struct):
    """What the hours before `until` leave behind."""

    until: int = 0  # in hours since the epoch
    watches: dict[str, Watch] = {}
    track: TrackState = msgspec.field(default_factory=TrackState)
    outbreaks: list[Outbreak] = []


class Seen(msgspec.Struct):
    """One site in one hour of a probe."""

    worked: float | None = None  # when last
    failed: Struck | None = None  # when first


Asked = tuple[str, str, bool, float]  # probe, target, whether it is harmless, time
_decoder = msgspec.msgpack.Decoder(CrowdState)


class HoursTrack(Track):
    """The track of votes that are hours: their null rate is nothing that a placebo measures."""

    __slots__ = ()

    def _restore(self, strength: Strength, state: CellState) -> Cell:
        return Cell.restore(state, TOGETHER)

    def _fork(self, strength: Strength, time: float) -> Cell:
        return Cell.forked(TOGETHER, self._access.past.state(), self._access.before, self._access.times)


class Head:
    """Hours go in, in their order; outbreaks and the spells of their series are what is left."""

    def __init__(self, settings: Settings, thresholds: Thresholds, state: CrowdState) -> None:
        self._thresholds = thresholds
        self.until, self.watches, self.outbreaks = state.until, state.watches, state.outbreaks
        self.track = HoursTrack(settings, Placebos(), state.track)

    def state(self) -> bytes:
        """Return it as data."""
        return _encoder.encode(CrowdState(self.until, self.watches, self.track.tracked(), self.outbreaks))

    def count(self, number: int, votes: list[Vote]) -> None:
        """Count an hour that is over."""
        end = (number + 1) * HOUR
        self.until = number + 1
        for probe, (sites, harmless) in sorted(_by_probe(votes).items()):
            watch = self.watches.setdefault(probe, Watch())
            fine = _is_fine(watch, sites, harmless, end)
            for name, seen in harmless.items():
                if seen.worked is not None:
                    watch.harmless[name] = Known(seen.worked)
            blocked = self._look(watch, probe, sites, end) if fine else None
            if blocked is not None:
                vote = Vote(
                    time=end, probe=probe, target="", layer="together", blocked=blocked, strength=Strength.FAILED
                )
                self.track.add(vote, self._thresholds.at(end - HOUR) + IN_A_CROWD)
            _forget(watch, end)
        spells = [*self.track.open.values(), *self.track.over]
        self.outbreaks = [o for o in self.outbreaks if o.is_open or any(_overlap(o, spell) for spell in spells)]

    def outbreaks_of(self, spell: Spell) -> list[Outbreak]:
        """Return the outbreaks that a spell is made of."""
        current = {watch.outbreak.probe: watch.outbreak for watch in self.watches.values() if watch.outbreak}
        return [o for o in (*self.outbreaks, *current.values()) if _overlap(o, spell) and o.sites]

    def _look(self, watch: Watch, probe: str, sites: dict[str, Seen], end: float) -> bool | None:
        """Say whether an hour is a vote against, one for, or (None) none."""
        known = watch.sites
        trials = [name for name in sites if name in known and _is_well(known[name], end)]
        struck = {name: failed for name in trials if (failed := sites[name].failed) is not None}
        for name, failed in struck.items():
            failed.worked = known[name].worked
        past = Past(watch.past)
        failures, answers = past.totals(end)
        enough = len(trials) >= LEAST_SITES and answers >= _LEAST_PAST
        both, asked = dict(struck), len(trials)
        if watch.before.end == end - HOUR:
            asked += watch.before.trials
            both |= {n: one for n, one in watch.before.struck.items() if n in sites and sites[n].worked is None}
        many = enough and _is_seldom(len(both), asked, max(_FLOOR, upper(failures, answers)))
        watch.before = Before(end, len(trials), struck)
        if not many:
            past.add(len(struck), len(trials), end)
            watch.past = past.state()
        for name, seen in sites.items():
            before = known.get(name, Known())
            known[name] = Known(before.worked, True) if seen.worked is None else Known(seen.worked)
        if watch.outbreak is None:
            if many:
                watch.outbreak = Outbreak(probe, end, end, len(both), both)
                return True
            return False if enough else None
        return self._go_on(watch, watch.outbreak, sites, struck, end)

    def _go_on(
        self, watch: Watch, outbreak: Outbreak, sites: dict[str, Seen], struck: dict[str, Struck], end: float
    ) -> bool | None:
        left = {name: one for name, one in outbreak.sites.items() if name not in sites or sites[name].worked is None}
        asked = [one for name, one in left.items() if name in sites]
        if end - outbreak.first <= HOUR:  # it began within an hour, and some sites had been asked by then
            left |= struck
            outbreak.most += len(struck)
        if len(left) < _LEAST_STRUCK or 2 * len(left) < outbreak.most:
            outbreak.is_open = False
            self.outbreaks.append(outbreak)
            watch.outbreak = None
            return False
        for one in asked:
            one.hours += 1
        outbreak.sites = left
        if 2 * len(asked) < outbreak.most:
            return None
        outbreak.last = end
        return True


class Crowd:
    """The sites of one network, as its probes see them.

    `_until` is the hour up to which all is settled, and `_closed` that up to which the head was counted. Hours of
    fewer votes than it takes sites are passed over. Most networks have no others: until there may be one (there is none
    while fewer than `_enough` votes are new), votes are not even sorted into hours.
    """

    __slots__ = (
        "_base",
        "_closed",
        "_dirty",
        "_enough",
        "_head",
        "_hours",
        "_new",
        "_settings",
        "_thresholds",
        "_until",
        "is_new",
        "note",
    )

    def __init__(self, settings: Settings, thresholds: Thresholds, base: bytes = b"") -> None:
        self._settings, self._thresholds, self._base = settings, thresholds, base
        self._hours: dict[int, list[Vote]] = {}
        self._new: list[Vote] = []
        self._enough = LEAST_SITES
        self.note: Callable[[Vote], None] = self._new.append  # takes a vote down, and looks at none
        self._head = self._from_base() if base else None
        self._until = self._closed = self._head.until if self._head else 0
        self._dirty = False
        self.is_new = False

    def _sort_in(self) -> None:
        """Put what was taken down into its hours, if any of these is worth a look."""
        if not self._hours and (len(self._new) < self._enough or self._is_sparse()):
            return
        for vote in self._new:
            number = int(vote.time // HOUR)
            if number >= self._until:
                self._hours.setdefault(number, []).append(vote)
                self._dirty = self._dirty or number < self._closed
        self._new.clear()
        self._enough = LEAST_SITES

    def _is_sparse(self) -> bool:
        """Whether no hour has votes enough among the new ones; find how many more could change that.

        Of votes in order it is enough to look at every tenth: twenty of one hour have two of those among them.
        """
        new, settled = self._new, self._until * HOUR
        if not self._settings.lateness:
            del new[: bisect_left(new, settled, key=lambda vote: vote.time)]
            if all(one.time // HOUR < other.time // HOUR for one, other in pairwise(new[:: LEAST_SITES // 2])):
                self._enough = LEAST_SITES
                return True
        new[:] = [vote for vote in new if vote.time >= settled]
        most = max(Counter([vote.time // HOUR for vote in new]).values(), default=0)
        self._enough = len(new) + LEAST_SITES - most
        return most < LEAST_SITES

    def head(self, newest: float) -> Head | None:
        """Return what comes of the hours that are over; None where none was worth a look."""
        self._sort_in()
        if self._dirty:
            self._begin_at_base()
        now = int(newest // HOUR)
        if self._hours:
            self._head = self._count(self._head, self._closed, now)
        self._closed = max(now, self._closed)
        return self._head

    def fold(self, horizon: float) -> None:
        """Let go of hours that no vote can change any more."""
        self._sort_in()
        now = int(horizon // HOUR)
        gone = self._over(self._until, now) if self._hours else []
        if any(len(self._hours[number]) >= LEAST_SITES for number in gone):
            head = self._count(self._from_base(), self._until, now)
            assert head is not None
            self._base, self.is_new = head.state(), True
        for number in gone:
            del self._hours[number]
        self._until = max(now, self._until)
        if self._closed < self._until:
            self._begin_at_base()

    def forget(self, first: float) -> None:
        """Drop a spell that is over for so long that no vote can change it any more."""
        head = self._from_base()
        head.track.over = [spell for spell in head.track.over if spell.first != first]
        self._base, self.is_new, self._dirty = head.state(), True, True

    def state(self) -> bytes:
        """Return what the settled hours left behind."""
        return self._base

    def _begin_at_base(self) -> None:
        self._head, self._closed, self._dirty = (self._from_base() if self._base else None), self._until, False

    def _from_base(self) -> Head:
        state = _decoder.decode(self._base) if self._base else CrowdState()
        return Head(self._settings, self._thresholds, state)

    def _count(self, head: Head | None, since: int, until: int) -> Head | None:
        for number in self._over(since, until):
            if len(self._hours[number]) >= LEAST_SITES:
                head = head or self._from_base()
                head.count(number, self._hours[number])
        return head

    def _over(self, since: int, until: int) -> list[int]:
        """Return the hours from one to before another, of which there was any measurement, in order."""
        if until - since < len(self._hours):
            return [number for number in range(since, until) if number in self._hours]
        return sorted(number for number in self._hours if since <= number < until)


def _measurements(votes: list[Vote]) -> dict[Asked, str | None]:
    """Return whether each measurement failed: None if it did not, its witness after a space if a layer did."""
    asked: dict[Asked, str | None] = {}
    for vote in votes:
        key = (vote.probe, vote.target, vote.placebo, vote.time)
        if not vote.blocked:
            asked.setdefault(key, None)
        elif vote.strength is not Strength.FAILED:
            asked[key] = _NEITHER
        else:
            known, witness = asked.get(key), " " + vote.witness
            asked[key] = witness if known is None else min(known, witness)
    return asked


def _by_probe(votes: list[Vote]) -> dict[str, tuple[dict[str, Seen], dict[str, Seen]]]:
    """Sort an hour by probes; of each return what it saw of sites, and of harmless ones.

    A site that answered once in an hour is within reach in that hour.
    """
    found: dict[str, tuple[dict[str, Seen], dict[str, Seen]]] = {}
    for (probe, target, placebo, time), witness in sorted(_measurements(votes).items(), key=lambda item: item[0]):
        if witness == _NEITHER:
            continue
        of_probe = found.get(probe)
        if of_probe is None:
            of_probe = found[probe] = ({}, {})
        seen = of_probe[placebo].setdefault(site(target), Seen())
        if witness is None:
            seen.worked, seen.failed = time, None
        elif seen.worked is None and seen.failed is None:
            seen.failed = Struck(target, NEVER, time, witness[1:])
    return found


def _is_fine(watch: Watch, sites: dict[str, Seen], harmless: dict[str, Seen], end: float) -> bool:
    """Whether harmless sites answer, and most sites do: the line is well."""
    if not any(seen.worked is not None for seen in harmless.values()):
        return False
    if any(name in watch.harmless and seen.worked is None for name, seen in harmless.items()):
        return False
    return 2 * sum(seen.worked is None for seen in sites.values()) <= len(sites)


def _is_well(known: Known, end: float) -> bool:
    return not known.failing and known.worked >= end - HOUR - DAY


def _is_seldom(struck: int, trials: int, rate: float) -> bool:
    if struck < max(_LEAST_STRUCK, trials * rate + 1):
        return False
    return 1.0 - at_most(struck - 1, trials, rate) <= _SELDOM


def _forget(watch: Watch, end: float) -> None:
    """Let go of what is no longer asked, or answered too long ago to count."""
    for of in (watch.sites, watch.harmless):
        for name in [name for name, known in of.items() if known.worked < end - HOUR - DAY]:
            del of[name]


def _overlap(outbreak: Outbreak, spell: Spell) -> bool:
    return outbreak.first <= spell.last and outbreak.last >= spell.first
