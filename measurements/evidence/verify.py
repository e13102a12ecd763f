"""Verify a bundle from what is in it alone: is it whole, does it hang together, and do these rules say the same?

The order is from the outside in, and nothing of an inner step is believed before the outer one held: the ZIP and its
sums; the signature and the list of records; the chains; then what the records say, and what the rules make of it. Each
step names what is wrong with which record. Where the outer steps find a fault the rules are not asked: what was altered
is no measurement.

Nothing is executed, and nothing is written anywhere. Pure: what the expert knows from elsewhere is handed over.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from measurements.bogons import Bogons
from measurements.events.nouns import Event
from measurements.evidence import whole
from measurements.evidence.archive import Archive, BadArchive, read
from measurements.evidence.bundle import FORMAT, MANIFEST, SIGNATURE, EventFile, Manifest
from measurements.evidence.chain import SignedCheckpoint, bad_signature
from measurements.evidence.chained import Run, attested, family, key_of, stand
from measurements.evidence.claims import Claims
from measurements.evidence.facts import read_facts
from measurements.evidence.findings import ChainTold, Fault, Found, Report, Stamp, Wrong, numbers
from measurements.evidence.links import ProbeChain, pem, read_chains
from measurements.evidence.opinions import judge_again, unjudged
from measurements.evidence.strict import NotCanonical, strict_json
from measurements.evidence.summaries import check_summaries, check_votes, strange_files
from measurements.fingerprints import Fingerprints
from measurements.rules import RULES_VERSION

MOST_RECORDS = 2000
MOST_FAULTS = 200
MOST_NAMED = 5

ReadStamp = Callable[[SignedCheckpoint, Sequence[bytes]], Stamp]
"""Reads the time stamp of a checkpoint against roots in PEM; raises ValueError with a sentence."""


class NotABundle(ValueError):
    """What was given is no bundle that this build can read; the text says why."""


@dataclass(frozen=True, slots=True)
class Known:
    """What is known from elsewhere: this build's lists and the text of its rules, and what the expert was given.

    `keys` are fingerprints, whole or the first 32 digits, one of which must have signed.
    """

    bogons: Bogons
    fingerprints: Fingerprints
    rules: Mapping[str, bytes] = field(default_factory=dict)
    keys: tuple[str, ...] = ()
    checkpoints: tuple[SignedCheckpoint, ...] = ()
    roots: tuple[bytes, ...] = ()
    read_stamp: ReadStamp | None = None
    judges: bool = True


def verify(data: bytes, known: Known) -> Report:
    """Check a bundle; raises NotABundle when it is none."""
    try:
        archive = read(data)
    except BadArchive as error:
        if f'"wazi":"{FORMAT}"'.encode() not in data:
            raise NotABundle(f"it is no evidence bundle: {error}") from None
        words = f"the ZIP itself was changed: {error}"
        return Report(manifest=None, signed=None, faults=(Fault(wrong=Wrong.CHANGED, words=words),))
    if MANIFEST not in archive.files:
        raise NotABundle(f"it is no evidence bundle: it has no {MANIFEST}")
    try:
        manifest = strict_json(archive.files[MANIFEST], MANIFEST, Manifest)
    except NotCanonical as error:
        fault = Fault(wrong=Wrong.CHANGED, words=f"the manifest cannot be read: {error}", file=MANIFEST)
        return Report(manifest=None, signed=None, faults=(fault,))
    if manifest.wazi != FORMAT:
        raise NotABundle(f"it is a {manifest.wazi!r}, which this build does not read: get the newest release of Wazi")
    if len(manifest.records) > MOST_RECORDS:
        raise NotABundle(f"it lists {len(manifest.records)} records; at most {MOST_RECORDS} are read")
    return _Verifying(archive, manifest, known).report()


class _Verifying:
    """Goes through one bundle and collects what it finds."""

    def __init__(self, archive: Archive, manifest: Manifest, known: Known) -> None:
        self.archive = archive
        self.files = archive.files
        self.manifest = manifest
        self.known = known
        self.found = Found()
        self.chains = self._chains()
        self.runs: list[Run] = []
        self.stamps: list[Stamp] = []

    def report(self) -> Report:
        """Go through all of it."""
        found, manifest = self.found, self.manifest
        signed = self._signature()
        self._asked_for()
        found.faults += [*whole.order_faults(manifest), *whole.file_faults(manifest, self.archive)]
        self.runs = stand(manifest, self.chains, found)
        self._given()
        self._stamped()
        told = self._events()
        facts = {} if found.faults else read_facts(manifest, self.files, found)
        if found.faults or not self.known.judges:
            judged = unjudged(manifest)
        else:
            lists = (self.known.bogons, self.known.fingerprints)
            judged, agreed = judge_again(manifest, self.files, facts, *lists, found)
            if all(fault.wrong is Wrong.VERDICT for fault in found.faults):
                Claims(manifest, self.files, facts, agreed, found).check(told)
                check_summaries(manifest, self.files, facts, found)
                check_votes(manifest, self.files, facts, found)
        self._beside()
        found.unsettled += strange_files(self.files)
        last = len(manifest.records) + 1
        found.faults.sort(key=lambda fault: fault.record or last)  # stable: the outermost reason stays first
        return Report(
            manifest=manifest,
            signed=signed,
            faults=tuple(found.faults[:MOST_FAULTS]),
            unsettled=tuple(found.unsettled),
            notes=tuple(found.notes),
            records=judged,
            stamps=tuple(self.stamps),
            events=tuple((event.id, event.summary) for event in told),
            rules_version=RULES_VERSION,
            chains=tuple(_standing(chain) for chain in self.chains),
        )

    def _chains(self) -> tuple[ProbeChain, ...]:
        try:
            chains = read_chains(self.files)
        except NotCanonical as error:
            self.found.fault(Wrong.CHANGED, str(error))
            return ()
        for key in (key for chain in chains for key in chain.keys.keys):
            path = f"keys/{key.key_id}.pem"
            if self.files.get(path) != pem(key):
                self.found.fault(Wrong.CHANGED, f"{path} is not the key of that fingerprint", file=path)
        return chains

    def _signature(self) -> bool | None:
        """Check the signature of the manifest; where it is not good, find the first place that was changed."""
        by = self.manifest.signed_by
        if by is None:
            self.found.unsettled.append(
                "nobody signed the bundle itself: it was made without the key, or the signature was taken off. What "
                "stands in a chain under a checkpoint is signed there; all else is the word of whoever handed it over"
            )
            return None
        if self.manifest.records and by.probe not in {entry.probe for entry in self.manifest.records}:
            self.found.unsettled.append(f"the bundle is signed by probe {by.probe}, which measured nothing of it")
        key = key_of(self.chains, self.manifest)
        if whole.is_manifest_signed(self.files, key):
            return True
        self.found.faults += whole.list_faults(self.manifest, self.files, key)
        words = f"the signature of the manifest is not that of the key {by.key}"
        self.found.fault(Wrong.SIGNATURE, words, file=SIGNATURE)
        return False

    def _asked_for(self) -> None:
        """See that a key that the expert knows has signed, or is joined to the one that did.

        Where nobody signed the bundle it may still be the key of a chain.
        """
        if not self.known.keys:
            return
        by = self.manifest.signed_by
        others = [chain for chain in self.chains if chain.checkpoints and not self._is_known(chain)]
        if by is None:
            known = any(chain.checkpoints and self._is_known(chain) for chain in self.chains)
        else:
            known = any(self._is_joined(chain, by.key) for chain in self.chains if chain.probe == by.probe)
        if not known:
            who = "nobody" if by is None else f"the key {by.key}"
            words = f"{who} signed the bundle: not the key that you asked for, nor one that it is joined to"
            self.found.fault(Wrong.KEY, words, file=SIGNATURE)
        self.found.notes += [
            f"the chain of probe {chain.probe} is signed with another key than you asked for" for chain in others
        ]

    def _is_known(self, chain: ProbeChain) -> bool:
        return all(self._is_joined(chain, key) for key in {point.key_id for point in chain.checkpoints})

    def _is_joined(self, chain: ProbeChain, key: str) -> bool:
        return any(one.startswith(asked) for one in family(chain, key) for asked in self.known.keys)

    def _given(self) -> None:
        """Compare with the checkpoints that the expert has from elsewhere."""
        by_probe = {chain.probe: chain for chain in self.chains}
        for given in self.known.checkpoints:
            at = f"the checkpoint of probe {given.probe_id} at {given.sequence} that you gave"
            chain = by_probe.get(given.probe_id)
            fault = None if chain is None else bad_signature(given, chain.keys)
            if chain is None or fault is not None:
                why = "no record is of that probe" if fault is None else fault.words
                self.found.unsettled.append(f"{at} says nothing of this bundle: {why}")
                continue
            covered, against = attested(self.runs, given.probe_id, given.sequence, given.chain)
            if against is not None:
                words = f"{at} is of another chain: the one in this bundle was made anew after that was signed"
                self.found.fault(Wrong.CHAIN, words, against.records[0] if against.records else None)
            elif covered:
                self.found.notes.append(f"{at} holds {numbers(covered)}: not altered since {_date(given.time)}")
            else:
                self.found.unsettled.append(f"{at} cannot be compared: no links lead from a record to it")

    def _stamped(self) -> None:
        """Read the time stamps on checkpoints."""
        for point in (point for chain in self.chains for point in chain.checkpoints if point.stamp):
            at = f"the time stamp on the checkpoint of probe {point.probe_id} at {point.sequence}"
            if self.known.read_stamp is None:
                self.found.notes.append(f"{at} was not read")
                continue
            try:
                stamp = self.known.read_stamp(point, self.known.roots)
            except Exception as error:  # a certificate finds more ways to be wrong than one kind of error
                self.found.fault(Wrong.STAMP, f"{at} does not fit: {error or type(error).__name__}")
                continue
            self.stamps.append(stamp)
            covered, _ = attested(self.runs, point.probe_id, point.sequence, point.chain)
            if covered and stamp.trusted:
                words = f"{at} shows that {numbers(covered)} existed on {_date(stamp.time)} ({stamp.authority})"
                self.found.notes.append(words)
            elif covered:
                words = f"{at} says {_date(stamp.time)}, by {stamp.authority}; --timestamp-root checks who that is"
                self.found.notes.append(words)

    def _events(self) -> list[Event]:
        """Read the events, and see that what they rest on is here or known to be missing."""
        here = {entry.id for entry in self.manifest.records} | {one.id for one in self.manifest.missing}
        told: list[Event] = []
        for event_id in self.manifest.events:
            path = f"events/{event_id}.json"
            try:
                event = strict_json(self.files.get(path, b""), path, EventFile).event
            except NotCanonical as error:
                self.found.fault(Wrong.EVENT, str(error), file=path)
                continue
            if event.id != event_id:
                self.found.fault(Wrong.EVENT, f"{path} is about another event", file=path)
            for witness in event.witnesses:
                if witness not in here:
                    words = f"event {event_id} rests on measurement {witness}, which is not here: it was removed"
                    self.found.faults.append(Fault(wrong=Wrong.REMOVED, words=words, id=witness, file=path))
            told.append(event)
        return told

    def _beside(self) -> None:
        """Tell what is not here, and where the text of the rules is another."""
        absent: dict[str, list[str]] = {}
        for one in self.manifest.missing:
            absent.setdefault(one.why, []).append(one.id)
        for why, some in absent.items():
            more = f" and {len(some) - MOST_NAMED} more" if len(some) > MOST_NAMED else ""
            self.found.unsettled.append(f"not in the bundle: {', '.join(some[:MOST_NAMED])}{more}: {why}")
        for path, text in self.known.rules.items():
            if self.manifest.rules_version == RULES_VERSION and self.files.get(path, text) != text:
                words = f"{path} is not that of this build, although both are of rules version {RULES_VERSION}"
                self.found.notes.append(words)
        self.found.notes += [f"left out, as the bundle says: {words}" for words in self.manifest.left_out]


def _standing(chain: ProbeChain) -> ChainTold:
    signers = dict.fromkeys(point.key_id for point in chain.checkpoints)
    return ChainTold(probe=chain.probe, links=len(chain.links), checkpoints=len(chain.checkpoints), keys=tuple(signers))


def _date(time: float) -> str:
    try:
        return datetime.fromtimestamp(time, UTC).strftime("%Y-%m-%d %H:%M UTC")
    except (ValueError, OverflowError, OSError):
        return f"{time} seconds"
