"""Chains to check, and ways to alter them."""

from __future__ import annotations

import random
from collections.abc import Sequence

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from measurements.evidence.chain import (
    Keys,
    Link,
    SignedCheckpoint,
    genesis,
    link_after,
    note_after,
    public_key,
    sign_checkpoint,
)

PROBE = "0123456789abcdef"
TIME = 1_790_000_000


class Pen:
    """A key to sign with."""

    def __init__(self, chance: random.Random) -> None:
        self._key = Ed25519PrivateKey.from_private_bytes(chance.randbytes(32))
        self.public = public_key(self._key.public_key().public_bytes_raw())
        self.sign = self._key.sign


def append(links: list[Link], chance: random.Random, *, probe_id: str = PROBE, before: int = 0) -> None:
    """Add a link of a measurement that nobody knows."""
    last = links[-1] if links else None
    links.append(
        link_after(
            last.chain if last else genesis(probe_id, before),
            probe_id=probe_id,
            sequence=(last.sequence if last else before) + 1,
            measurement_id=chance.randbytes(16).hex(),
            record=chance.randbytes(32).hex(),
        )
    )


def chain_of(count: int, chance: random.Random, *, before: int = 0, holes: bool = False) -> list[Link]:
    """Make a chain of so many links, some of which are notes of holes."""
    links: list[Link] = []
    while len(links) < count:
        if holes and links and links[-1].measurement_id and chance.random() < 0.1:
            last, skipped = links[-1], chance.randint(1, 5)
            first, until = last.sequence + 1, last.sequence + skipped
            links.append(note_after(last.chain, probe_id=PROBE, first=first, last=until, kind="hole"))
        else:
            append(links, chance, before=before)
    return links


def signed(links: Sequence[Link], pen: Pen, every: int) -> tuple[list[SignedCheckpoint], Keys]:
    """Sign every so many links, and the last."""
    heads = [*links[every - 1 :: every], *links[-1:]]
    made = {one.sequence: sign_checkpoint(one, TIME + one.sequence, pen.public.key_id, pen.sign) for one in heads}
    return list(made.values()), Keys(keys=(pen.public,))
