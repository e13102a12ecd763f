"""The chain of one probe: each link's hash holds the one before it, so that nothing can be altered without a trace.

Every text that is hashed or signed is one line of canonical JSON (RFC 8785) in UTF-8, without a line end; its member
`wazi` says what it is, so that no text can be taken for another. Hashes are SHA-256 in hexadecimal.

    {"probe":P,"sequence":S,"wazi":"genesis 1"}     S is the number before the first link
    {"id":I,"previous":C,"probe":P,"record":R,"sequence":N,"wazi":"link 1"}
    {"chain":C,"key":K,"probe":P,"sequence":N,"time":T,"wazi":"checkpoint 1"}
    {"key":K,"next":K2,"public":X2,"time":T,"wazi":"rotation 1"}

R is the SHA-256 of a measurement's canonical record, I its id, N its sequence number. `previous` is the hash of the
link before, and that of the genesis for the first. A checkpoint signs what the chain has come to; T is UTC seconds,
K the SHA-256 of the key's SubjectPublicKeyInfo (DER), X2 the 32 bytes of an Ed25519 key (RFC 8032) in hexadecimal.
A rotation is signed by the old key and by the new one. Signatures are of the text itself.

Numbers follow on each other. A link without a measurement is a *note*: I is empty, and R is the SHA-256 of the note, a
canonical JSON object with `first` and `last`, the numbers it stands for (its own is `last`), and `wazi`:

    hole 1     these numbers were given to measurements that the store refused
    fork 1     a checkpoint that was signed (`sequence`, `chain`) is not in this store: an older copy, or another store
    fault 1    what follows `sequence` no longer fitted when it was to be signed; the chain goes on all the same

`measurements.evidence.checking` goes along a chain and names what is wrong with it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from enum import StrEnum
from hashlib import sha256

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from measurements.evidence.canonical import EXACT, line

Sign = Callable[[bytes], bytes]


class Link(msgspec.Struct, frozen=True, kw_only=True):
    """A place in the chain. `measurement_id` is empty for a note, whose text is `note`; hashes are hexadecimal."""

    probe_id: str
    sequence: int
    measurement_id: str
    record: str
    chain: str
    note: str = ""


class PublicKey(msgspec.Struct, frozen=True, kw_only=True):
    """An Ed25519 key, its 32 bytes in hexadecimal, under the SHA-256 of its SubjectPublicKeyInfo."""

    key_id: str
    public: str


class SignedCheckpoint(msgspec.Struct, frozen=True, kw_only=True):
    """What the chain had come to at a UTC second. `stamp` is an RFC 3161 token (DER) of `stamped(checkpoint)`."""

    probe_id: str
    sequence: int
    chain: str
    time: int
    key_id: str
    signature: str
    stamp: bytes = b""


class Rotation(msgspec.Struct, frozen=True, kw_only=True):
    """One key follows another; both signed it."""

    key_id: str
    next_id: str
    public: str  # of the next
    time: int
    signature: str
    next_signature: str


class Keys(msgspec.Struct, frozen=True, kw_only=True):
    """The keys that signed for a probe, in the order in which they are first known, and how they follow."""

    keys: tuple[PublicKey, ...] = ()
    rotations: tuple[Rotation, ...] = ()

    def of(self, key_id: str) -> PublicKey | None:
        """Find a key."""
        return next((key for key in self.keys if key.key_id == key_id), None)


class Kind(StrEnum):
    """What is wrong with a chain."""

    CHANGED = "changed"
    REMOVED = "removed"
    INSERTED = "inserted"
    REORDERED = "reordered"
    FORKED = "forked"
    CHECKPOINT = "checkpoint"  # one that does not fit
    SIGNATURE = "signature"
    UNKNOWN_KEY = "unknown_key"


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    """The first thing wrong, in a sentence, at a number of the chain."""

    kind: Kind
    sequence: int
    measurement_id: str = ""
    words: str


# Texts and hashes


def genesis(probe_id: str, before: int) -> str:
    """Return the hash that a chain begins with, whose first link has the number after `before`."""
    return sha256(line(probe=probe_id, sequence=before, wazi="genesis 1")).hexdigest()


def extend(previous: str, *, probe_id: str, sequence: int, measurement_id: str, record: str) -> str:
    """Return the hash of the link that follows the hash `previous`."""
    text = line(id=measurement_id, previous=previous, probe=probe_id, record=record, sequence=sequence, wazi="link 1")
    return sha256(text).hexdigest()


def link_after(previous: str, *, probe_id: str, sequence: int, measurement_id: str, record: str) -> Link:
    """Make the link that follows the hash `previous`."""
    chain = extend(previous, probe_id=probe_id, sequence=sequence, measurement_id=measurement_id, record=record)
    return Link(probe_id=probe_id, sequence=sequence, measurement_id=measurement_id, record=record, chain=chain)


def note_after(previous: str, *, probe_id: str, first: int, last: int, kind: str, **said: str | int) -> Link:
    """Make the note that follows the hash `previous` and stands for some numbers."""
    text = line(**said, first=first, last=last, wazi=f"{kind} 1")
    digest = sha256(text).hexdigest()
    bare = link_after(previous, probe_id=probe_id, sequence=last, measurement_id="", record=digest)
    return msgspec.structs.replace(bare, note=text.decode())


def checkpoint_text(probe_id: str, sequence: int, chain: str, time: int, key_id: str) -> bytes:
    """Return what the signature of a checkpoint is of."""
    return line(chain=chain, key=key_id, probe=probe_id, sequence=sequence, time=time, wazi="checkpoint 1")


def sign_checkpoint(head: Link, time: int, key_id: str, sign: Sign) -> SignedCheckpoint:
    """Sign what a chain has come to; `sign` makes an Ed25519 signature."""
    text = checkpoint_text(head.probe_id, head.sequence, head.chain, time, key_id)
    return SignedCheckpoint(
        probe_id=head.probe_id,
        sequence=head.sequence,
        chain=head.chain,
        time=time,
        key_id=key_id,
        signature=sign(text).hex(),
    )


def stamped(checkpoint: SignedCheckpoint) -> bytes:
    """Return the 32 bytes that a time stamp of a checkpoint is of: the SHA-256 of its signature's 64 bytes."""
    return sha256(bytes.fromhex(checkpoint.signature)).digest()


def public_key(raw: bytes) -> PublicKey:
    """Name an Ed25519 key, given its 32 bytes; raises ValueError."""
    der = Ed25519PublicKey.from_public_bytes(raw).public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return PublicKey(key_id=sha256(der).hexdigest(), public=raw.hex())


def rotate(old_id: str, new: PublicKey, time: int, old: Sign, by_new: Sign) -> Rotation:
    """Let a new key follow an old one; `old` and `by_new` make their signatures."""
    text = _rotation_text(old_id, new.key_id, new.public, time)
    return Rotation(
        key_id=old_id,
        next_id=new.key_id,
        public=new.public,
        time=time,
        signature=old(text).hex(),
        next_signature=by_new(text).hex(),
    )


def number(whole: int) -> int | str:
    """Write a number as canonical JSON has it: beyond 2^53 as text."""
    return whole if -EXACT <= whole <= EXACT else str(whole)


def _rotation_text(key_id: str, next_id: str, public: str, time: int) -> bytes:
    return line(key=key_id, next=next_id, public=public, time=time, wazi="rotation 1")


# Checking


def follows(previous: str, link: Link, sequence: int | None = None) -> bool:
    """Tell whether a link follows a hash, under its own number or another."""
    place = link.sequence if sequence is None else sequence
    found = extend(
        previous, probe_id=link.probe_id, sequence=place, measurement_id=link.measurement_id, record=link.record
    )
    return found == link.chain


def stretch(link: Link) -> tuple[int, int] | None:
    """Return the first and last number that a link stands for; None for a note that is none."""
    if link.measurement_id:
        return link.sequence, link.sequence
    said = read_note(link)
    if said is None:
        return None
    first, last = said.get("first"), said.get("last")
    if type(first) is not int or last != number(link.sequence) or first > link.sequence:
        return None
    return first, link.sequence


def read_note(link: Link) -> dict[str, object] | None:
    """Read what a note says; None when its text is not what the link holds."""
    if sha256(link.note.encode("utf-8", "replace")).hexdigest() != link.record:
        return None
    try:
        return msgspec.json.decode(link.note, type=dict[str, object])
    except msgspec.DecodeError:
        return None


def bad_signature(checkpoint: SignedCheckpoint, keys: Keys) -> Fault | None:
    """Say what is wrong with the signature of a checkpoint."""
    key = keys.of(checkpoint.key_id)
    at = f"the checkpoint at {checkpoint.sequence}"
    if key is None:
        words = f"{at} is signed with the key {checkpoint.key_id[:16]}, which is not among the keys"
        return Fault(kind=Kind.UNKNOWN_KEY, sequence=checkpoint.sequence, words=words)
    text = checkpoint_text(
        checkpoint.probe_id, checkpoint.sequence, checkpoint.chain, checkpoint.time, checkpoint.key_id
    )
    if not is_signed(text, checkpoint.signature, key):
        return Fault(
            kind=Kind.SIGNATURE,
            sequence=checkpoint.sequence,
            words=f"the signature of {at} is not that of the key {checkpoint.key_id[:16]}",
        )
    return None


def is_signed(text: bytes, signature: str, key: PublicKey) -> bool:
    """Tell whether a key, which is the one it is named after, signed a text."""
    try:
        raw = bytes.fromhex(key.public)
        Ed25519PublicKey.from_public_bytes(raw).verify(bytes.fromhex(signature), text)
        return public_key(raw).key_id == key.key_id
    except (ValueError, InvalidSignature):
        return False


def handed_over(rotation: Rotation, keys: Keys) -> bool:
    """Tell whether both keys signed that one follows the other."""
    text = _rotation_text(rotation.key_id, rotation.next_id, rotation.public, rotation.time)
    old, new = keys.of(rotation.key_id), PublicKey(key_id=rotation.next_id, public=rotation.public)
    return (
        old is not None and is_signed(text, rotation.signature, old) and is_signed(text, rotation.next_signature, new)
    )


def strangers(keys: Keys) -> tuple[PublicKey, ...]:
    """Return the keys, but for the first, that no earlier key handed over to: of somebody else, or after a loss."""
    known = {key.key_id for key in keys.keys[:1]}
    left = [rotation for rotation in keys.rotations if handed_over(rotation, keys)]
    while following := {one.next_id for one in left if one.key_id in known} - known:
        known |= following
    return tuple(key for key in keys.keys if key.key_id not in known)


def holes(links: Iterable[Link]) -> Iterator[tuple[int, int, str]]:
    """Yield the notes of a chain: from which number to which, and what they say."""
    for link in links:
        said = read_note(link) if not link.measurement_id else None
        stands = stretch(link)
        if said is not None and stands is not None:
            yield *stands, str(said.get("wazi"))
