"""How the chain of a probe lies in a bundle: its links around the records, its checkpoints, its keys.

`chain/PROBE.jsonl` holds links, one canonical JSON object a line, in stretches that begin after a signed checkpoint (or
with the chain) and end with one. `checkpoints/PROBE/SEQUENCE-TIME.json` is the very text that was signed, `.sig` the 64
bytes of the signature and `.tsr` a time stamp; `keys/KEY.pem` are the keys, so that `openssl` can check each.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import msgspec
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key

from measurements.evidence.canonical import canonical
from measurements.evidence.chain import (
    Keys,
    Link,
    PublicKey,
    SignedCheckpoint,
    checkpoint_text,
    number,
    public_key,
)
from measurements.evidence.strict import NotCanonical, Number, Seconds, strict_json

KEYS = "keys/keys.json"
MOST_PROBES, MOST_KEYS = 200, 64
MOST_LINKS, MOST_POINTS = 100_000, 1000
"""Of one probe. More is refused: checking takes time that grows with each."""


class ProbeChain(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of one probe's chain: links by number, with holes between stretches; checkpoints by number."""

    probe: str
    folder: str
    keys: Keys
    links: tuple[Link, ...] = ()
    checkpoints: tuple[SignedCheckpoint, ...] = ()


class _KeyFile(msgspec.Struct, frozen=True, kw_only=True):
    probe: str
    folder: str
    keys: Keys


class _LinkLine(msgspec.Struct, frozen=True, kw_only=True):
    chain: str
    id: str
    record: str
    sequence: Number
    note: str = ""


class _CheckpointText(msgspec.Struct, frozen=True, kw_only=True):
    chain: str
    key: str
    probe: str
    sequence: Number
    time: Seconds
    wazi: str


def files_of(chains: Sequence[ProbeChain]) -> dict[str, bytes]:
    """Write the files of some chains."""
    files: dict[str, bytes] = {}
    listed = []
    for one in chains:
        keys = msgspec.to_builtins(one.keys)
        listed.append({"probe": one.probe, "folder": one.folder, "keys": keys})
        files |= {f"keys/{key.key_id}.pem": pem(key) for key in one.keys.keys}
        if one.links:
            files[f"chain/{one.folder}.jsonl"] = b"".join(_line(link) for link in one.links)
        for point in one.checkpoints:
            stem = f"checkpoints/{one.folder}/{point.sequence}-{point.time}"
            text = checkpoint_text(point.probe_id, point.sequence, point.chain, point.time, point.key_id)
            files[f"{stem}.json"] = text
            files[f"{stem}.sig"] = bytes.fromhex(point.signature)
            if point.stamp:
                files[f"{stem}.tsr"] = point.stamp
    if chains:
        files[KEYS] = canonical(listed)
    return files


def read_chains(files: Mapping[str, bytes]) -> tuple[ProbeChain, ...]:
    """Read what `files_of` wrote; raises NotCanonical, naming the file that cannot be read."""
    if KEYS not in files:
        return ()
    listed = strict_json(files[KEYS], KEYS, tuple[_KeyFile, ...])
    if len({one.probe for one in listed}) + len({one.folder for one in listed}) != 2 * len(listed):
        raise NotCanonical(f"{KEYS} names a probe twice")
    if len(listed) > MOST_PROBES or any(len(k.keys) + len(k.rotations) > MOST_KEYS for k in (o.keys for o in listed)):
        raise NotCanonical(f"{KEYS} names more than {MOST_PROBES} probes, or more than {MOST_KEYS} keys of one")
    for key in (key for one in listed for key in one.keys.keys):
        _check_key(key)
    found = []
    for one in listed:
        name = f"chain/{one.folder}.jsonl"
        links = tuple(_links(one.probe, files.get(name, b""), name))
        points = tuple(_checkpoints(f"checkpoints/{one.folder}/", files))
        found.append(ProbeChain(probe=one.probe, folder=one.folder, keys=one.keys, links=links, checkpoints=points))
    return tuple(found)


def _check_key(key: PublicKey) -> None:
    try:
        same = public_key(bytes.fromhex(key.public)) == key
    except ValueError:
        same = False
    if not same:
        raise NotCanonical(f"{KEYS} holds no Ed25519 key under the fingerprint {key.key_id[:64]}")


def pem(key: PublicKey) -> bytes:
    """Write an Ed25519 key as `openssl` reads it (RFC 8410)."""
    raw = Ed25519PublicKey.from_public_bytes(bytes.fromhex(key.public))
    return raw.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def read_pem(data: bytes) -> PublicKey:
    """Read an Ed25519 public key from a PEM file; raises ValueError when there is none."""
    try:
        key = load_pem_public_key(data)
    except (ValueError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, Ed25519PublicKey):
        raise ValueError("is no Ed25519 public key in PEM")
    return public_key(key.public_bytes_raw())


def _line(link: Link) -> bytes:
    said = {"chain": link.chain, "id": link.measurement_id, "record": link.record, "sequence": number(link.sequence)}
    return canonical({**said, "note": link.note} if link.note else said) + b"\n"


def _links(probe: str, data: bytes, name: str) -> Iterator[Link]:
    if data and not data.endswith(b"\n"):
        raise NotCanonical(f"{name} does not end with a whole line")
    lines = data.splitlines()
    if len(lines) > MOST_LINKS:
        raise NotCanonical(f"{name} has more than {MOST_LINKS} links")
    for place, text in enumerate(lines, 1):
        line = strict_json(text, f"{name} line {place}", _LinkLine)
        yield Link(
            probe_id=probe,
            sequence=line.sequence,
            measurement_id=line.id,
            record=line.record,
            chain=line.chain,
            note=line.note,
        )


def _checkpoints(folder: str, files: Mapping[str, bytes]) -> Iterator[SignedCheckpoint]:
    found = []
    names = [name for name in files if name.startswith(folder) and name.endswith(".json")]
    if len(names) > MOST_POINTS:
        raise NotCanonical(f"{folder} has more than {MOST_POINTS} checkpoints")
    for name in names:
        text = strict_json(files[name], name, _CheckpointText)
        stem = name.removesuffix(".json")
        if checkpoint_text(text.probe, text.sequence, text.chain, text.time, text.key) != files[name]:
            raise NotCanonical(f"{name} is no checkpoint")
        found.append(
            SignedCheckpoint(
                probe_id=text.probe,
                sequence=text.sequence,
                chain=text.chain,
                time=text.time,
                key_id=text.key,
                signature=files.get(f"{stem}.sig", b"").hex(),
                stamp=files.get(f"{stem}.tsr", b""),
            )
        )
    return iter(sorted(found, key=lambda one: (one.sequence, one.time)))
