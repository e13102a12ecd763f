"""Bundles made of real measurements in scripted worlds, with chains, keys and events, and ways to alter them."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from hashlib import sha256

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from msgspec.structs import replace

from measurements.events.nouns import Event, Kind, Status
from measurements.events.telling import summary
from measurements.evidence.bundle import (
    MANIFEST,
    OUTSIDE,
    README,
    RECORD_SIGNATURES,
    SIGNATURE,
    SUMS,
    EventFile,
    FileEntry,
    Item,
    Manifest,
    Missing,
    Opinion,
    Role,
    Said,
    Signed,
    Signer,
    build,
    record_path,
    signatures,
    sums,
)
from measurements.evidence.canonical import canonical, record, record_digest, without_bodies
from measurements.evidence.chain import (
    Keys,
    Link,
    SignedCheckpoint,
    genesis,
    link_after,
    public_key,
    sign_checkpoint,
)
from measurements.evidence.findings import Report
from measurements.evidence.links import ProbeChain, files_of
from measurements.evidence.rejudge import judge_all, judge_by
from measurements.evidence.verify import Known, verify
from measurements.fingerprints import Fingerprints
from measurements.model import Measurement, Vantage, Verdict
from measurements.rules import RULES_VERSION
from measurements.targets import normalise
from tests.measurements.blocked_worlds import BLOCKED
from tests.measurements.quiet_worlds import QUIET
from tests.measurements.worlds import Disruption, play
from tests.scripted import BOGONS

PROBE, OTHER = "0f" * 16, "1e" * 16
START = 1_790_000_000.0
MADE = 1_790_100_000
WITNESSES = ("sni-reset", "nxdomain", "block-page-address")
KNOWN = Known(bogons=BOGONS, fingerprints=Fingerprints())


@cache
def measured(name: str) -> Measurement:
    """Measure in a scripted world, once."""
    worlds: list[Disruption] = [*BLOCKED, *QUIET]
    world = next(world for world in worlds if world.name == name)
    _, net = play(world)
    return net.measurement(normalise(world.url), world.nettest)


def facts(chance: random.Random, names: Sequence[str], probe: str = PROBE, first: int = 11) -> list[Measurement]:
    """Give measurements ids, a place in the sequence of a probe and times of their own."""
    return [
        replace(
            measured(name),
            id=chance.randbytes(16).hex(),
            sequence=first + 3 * place,
            started=START + 900.0 * place,
            vantage=Vantage(probe_id=probe, country="ET", asn=24757),
            software="wazi 0.1.0",
        )
        for place, name in enumerate(names)
    ]


def key_of(chance: random.Random) -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(chance.randbytes(32))


def raw(key: Ed25519PrivateKey) -> bytes:
    return key.public_key().public_bytes_raw()


def chain_of(
    chance: random.Random, found: Sequence[Measurement], key: Ed25519PrivateKey, length: int = 30
) -> ProbeChain:
    """Chain measurements at their places, with others that nobody sees between, and a checkpoint every ten."""
    probe = found[0].vantage.probe_id
    by_place = {fact.sequence: fact for fact in found}
    links: list[Link] = []
    points: list[SignedCheckpoint] = []
    public = public_key(raw(key))
    value = genesis(probe, 0)
    for place in range(1, length + 1):
        fact = by_place.get(place)
        one = link_after(
            value,
            probe_id=probe,
            sequence=place,
            measurement_id=fact.id if fact else chance.randbytes(16).hex(),
            record=record_digest(fact) if fact else chance.randbytes(32).hex(),
        )
        links.append(one)
        value = one.chain
        if place % 10 == 0:
            points.append(sign_checkpoint(one, int(START) + place, public.key_id, key.sign))
    return ProbeChain(
        probe=probe, folder=probe, keys=Keys(keys=(public,)), links=tuple(links), checkpoints=tuple(points)
    )


def event_of(found: Sequence[Measurement]) -> Event:
    event = Event(
        id="adf48fdc" * 4,
        kind=Kind.BLOCKING,
        status=Status.CONFIRMED,
        targets=("www.site.example",),
        countries=("ET",),
        asns=(24757,),
        onset=(START, START + 60.0),
        witnesses=tuple(fact.id for fact in found),
        updated=START + 9000.0,
    )
    return replace(event, summary=summary(event))


@dataclass
class Made:
    """All that a bundle is built of; each part may be replaced before `data` is asked for."""

    witnesses: list[Measurement]
    others: list[Measurement]
    chains: list[ProbeChain]
    key: Ed25519PrivateKey
    signer: Signer | None
    verdicts: Mapping[str, Verdict] = field(default_factory=dict)
    before: Mapping[str, Verdict] = field(default_factory=dict)  # by older rules
    unlinked: frozenset[str] = frozenset()
    missing: tuple[Missing, ...] = ()
    event: Event | None = None
    extra: dict[str, bytes] = field(default_factory=lambda: {README: b"How to check this.\n"})

    @property
    def data(self) -> bytes:
        items = [
            Item(
                measurement=fact,
                record=record(fact),
                role=role,
                link=None if fact.id in self.unlinked else fact.sequence,
                opinions=tuple(
                    Opinion(judged_at=START, verdict=said[fact.id])
                    for said in (self.before, self.verdicts)
                    if fact.id in said
                ),
                bodies={digest.hex(): body for digest, body in without_bodies(fact)[1].items()},
            )
            for role, some in ((Role.WITNESS, self.witnesses), (Role.ACCESS, self.others))
            for fact in some
        ]
        event = self.event or event_of(self.witnesses)
        return build(
            [EventFile(event=event, versions=(Said(stored=START, event=event),))],
            items,
            {**self.extra, **files_of(self.chains)},
            made=MADE,
            software="wazi 0.1.0",
            rules_version=RULES_VERSION,
            signer=self.signer,
            missing=self.missing,
        )


def make(seed: int = 1, names: Sequence[str] = WITNESSES) -> Made:
    """Make what a whole bundle is of: some witnesses and one measurement that speaks for access."""
    chance = random.Random(seed)
    found = facts(chance, [*names, "open"])
    key = key_of(chance)
    judged = judge_all(dict(enumerate(found)), judge_by(BOGONS, Fingerprints()))
    verdicts: dict[str, Verdict] = {}
    for place, fact in enumerate(found):
        said = judged[place]
        assert isinstance(said, Verdict)
        verdicts[fact.id] = said
    public = public_key(raw(key))
    signer = Signer(by=Signed(probe=PROBE, key=public.key_id), sign=key.sign)
    return Made(found[:-1], found[-1:], [chain_of(chance, found, key)], key, signer, verdicts)


@cache
def whole(seed: int = 1) -> bytes:
    """Return a bundle in which nothing is wrong."""
    return make(seed).data


Files = dict[str, bytes]


def manifest_of(files: Files) -> Manifest:
    return msgspec.json.decode(files[MANIFEST], type=Manifest)


def put(files: Files, manifest: Manifest) -> None:
    """Make manifest and sums anew, to fit the files and themselves, as anybody can."""
    records = tuple(
        replace(entry, digest=sha256(files[record_path(entry)]).hexdigest()) if record_path(entry) in files else entry
        for entry in manifest.records
    )
    listed = tuple(
        FileEntry(path=path, size=len(data), sha256=sha256(data).hexdigest())
        for path, data in files.items()
        if path not in OUTSIDE
    )
    files[MANIFEST] = canonical(msgspec.to_builtins(replace(manifest, records=records, files=listed)))
    files.pop(SUMS, None)
    files[SUMS] = sums(files.items())


def sign_again(files: Files, key: Ed25519PrivateKey) -> None:
    """Sign the manifest and each record anew, as the one who has the key can."""
    manifest = manifest_of(files)
    files[RECORD_SIGNATURES] = signatures(manifest, key.sign)
    put(files, manifest)
    files[SIGNATURE] = key.sign(files[MANIFEST])
    files.pop(SUMS)
    files[SUMS] = sums(files.items())


def check(data: bytes, **known: object) -> Report:
    """Verify with what the tests know."""
    return verify(data, dataclasses.replace(KNOWN, **known))  # type: ignore[arg-type]
