"""A chain that was altered is found, and the right place named; one that was not is let pass."""

from __future__ import annotations

import random
from collections.abc import Callable
from hashlib import sha256
from itertools import pairwise

import pytest
from msgspec.structs import replace

from measurements.evidence.chain import (
    Kind,
    Link,
    extend,
    find_fault,
    genesis,
)
from tests.measurements.evidence.chains import PROBE, Pen, append, chain_of, signed

Links = list[Link]
Alter = Callable[[Links, random.Random], tuple[Links, set[Kind], set[int]]]


def test_the_hashed_texts_are_those_that_are_documented() -> None:
    line = '{"probe":"p\\"1","sequence":7,"wazi":"genesis 1"}'
    start = genesis('p"1', 7)
    assert start == sha256(line.encode()).hexdigest()
    fields = f'{{"id":"{"0a" * 16}","previous":"{start}","probe":"p\\"1",'
    fields += f'"record":"{"b1" * 32}","sequence":8,"wazi":"link 1"}}'
    made = extend(start, probe_id='p"1', sequence=8, measurement_id="0a" * 16, record="b1" * 32)
    assert made == sha256(fields.encode()).hexdigest()


def changed_content(links: Links, chance: random.Random) -> tuple[Links, set[Kind], set[int]]:
    at = chance.randrange(len(links))
    link = links[at]
    field = chance.choice(("measurement_id", "record") if link.measurement_id else ("record",))
    text = getattr(link, field)
    place = chance.randrange(len(text))
    other = chance.choice([digit for digit in "0123456789abcdef" if digit != text[place]])
    links[at] = replace(link, **{field: text[:place] + other + text[place + 1 :]})
    return links, {Kind.CHANGED}, {link.sequence}


def changed_note(links: Links, chance: random.Random) -> tuple[Links, set[Kind], set[int]]:
    notes = [at for at, link in enumerate(links) if not link.measurement_id]
    at = chance.choice(notes)
    links[at] = replace(links[at], note=links[at].note.replace("hole", "whole"))
    return links, {Kind.CHANGED}, {links[at].sequence}


def changed_hash(links: Links, chance: random.Random) -> tuple[Links, set[Kind], set[int]]:
    at = chance.randrange(len(links))
    links[at] = replace(links[at], chain=chance.randbytes(32).hex())
    return links, {Kind.CHANGED}, {links[at].sequence}


def changed_number(links: Links, chance: random.Random) -> tuple[Links, set[Kind], set[int]]:
    at = chance.choice([at for at, link in enumerate(links) if link.measurement_id])
    right = links[at].sequence
    links[at] = replace(links[at], sequence=right + chance.choice((-1, 1)) * chance.randint(1, 9))
    return links, {Kind.CHANGED}, {right}


def rewritten(links: Links, chance: random.Random) -> tuple[Links, set[Kind], set[int]]:
    """Change a link and its hash with it, so that only the next one does not follow."""
    at = chance.choice([at for at, link in enumerate(links[:-1]) if link.measurement_id])
    link = replace(links[at], record=chance.randbytes(32).hex())
    before = links[at - 1].chain if at else genesis(PROBE, link.sequence - 1)
    links[at] = replace(
        link,
        chain=extend(
            before, probe_id=PROBE, sequence=link.sequence, measurement_id=link.measurement_id, record=link.record
        ),
    )
    return links, {Kind.CHANGED, Kind.CHECKPOINT}, {link.sequence, links[at + 1].sequence}


def removed(links: Links, chance: random.Random) -> tuple[Links, set[Kind], set[int]]:
    count = chance.randint(1, 5)
    at = chance.randrange(1, len(links) - count)
    first = links[at - 1].sequence + 1
    del links[at : at + count]
    return links, {Kind.REMOVED}, {first}


def cut_off(links: Links, chance: random.Random) -> tuple[Links, set[Kind], set[int]]:
    kept = chance.randrange(0, len(links) - 1)
    return links[:kept], {Kind.REMOVED}, {links[kept - 1].sequence + 1 if kept else 1}


def inserted(links: Links, chance: random.Random) -> tuple[Links, set[Kind], set[int]]:
    at = chance.randrange(len(links))
    stranger = replace(links[at], record=chance.randbytes(32).hex(), measurement_id=chance.randbytes(16).hex())
    return [*links[:at], stranger, *links[at:]], {Kind.INSERTED}, {stranger.sequence}


def inserted_and_fitting(links: Links, chance: random.Random) -> tuple[Links, set[Kind], set[int]]:
    at = chance.choice([at for at, link in enumerate(links) if link.measurement_id])
    fork = links[:at]
    append(fork, chance)
    return [*fork, *links[at:]], {Kind.FORKED}, {fork[-1].sequence}


def repeated(links: Links, chance: random.Random) -> tuple[Links, set[Kind], set[int]]:
    source, at = chance.sample(range(len(links)), 2)
    return [*links[:at], links[source], *links[at:]], {Kind.INSERTED, Kind.FORKED}, {links[source].sequence}


def swapped(links: Links, chance: random.Random) -> tuple[Links, set[Kind], set[int]]:
    at = chance.randrange(len(links) - 1)
    links[at], links[at + 1] = links[at + 1], links[at]
    return links, {Kind.REORDERED}, {links[at].sequence}


def swapped_in_place(links: Links, chance: random.Random) -> tuple[Links, set[Kind], set[int]]:
    """Swap all but the numbers of two neighbours, as somebody would do in a table."""
    pairs = pairwise(links)
    at = chance.choice([at for at, (one, two) in enumerate(pairs) if one.measurement_id and two.measurement_id])
    one, two = links[at], links[at + 1]
    links[at], links[at + 1] = replace(two, sequence=one.sequence), replace(one, sequence=two.sequence)
    return links, {Kind.REORDERED}, {one.sequence}


def made_anew(links: Links, chance: random.Random) -> tuple[Links, set[Kind], set[int]]:
    """Write the chain anew from some link on: it fits in itself."""
    at = chance.randrange(len(links))
    fork = links[:at]
    while len(fork) < len(links) or fork[-1].sequence < links[-1].sequence:
        append(fork, chance)
    return fork, {Kind.CHECKPOINT}, {-1}


ALTERATIONS: tuple[Alter, ...] = (
    changed_content,
    changed_note,
    changed_hash,
    changed_number,
    rewritten,
    removed,
    cut_off,
    inserted,
    inserted_and_fitting,
    repeated,
    swapped,
    swapped_in_place,
    made_anew,
)


@pytest.mark.parametrize("alter", ALTERATIONS, ids=lambda alter: alter.__name__)
def test_every_altered_chain_is_found_and_rightly_named(alter: Alter) -> None:
    for seed in range(80):
        chance = random.Random(f"{alter.__name__} {seed}")
        links = chain_of(chance.randint(30, 60), chance, holes=True)
        checkpoints, keys = signed(links, Pen(chance), chance.choice((7, 20, 100)))
        assert find_fault(links, checkpoints, keys) is None
        altered, kinds, places = alter(list(links), chance)
        fault = find_fault(altered, checkpoints, keys)
        assert fault is not None, seed
        if places == {-1}:
            fork = next(one.sequence for one in checkpoints if one.chain not in {link.chain for link in altered})
            places = {fork}
        assert (fault.kind in kinds, fault.sequence in places) == (True, True), (seed, fault, kinds, places)
