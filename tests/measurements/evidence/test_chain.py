"""A chain that was altered is found, and the right place named; one that was not is let pass."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from hashlib import sha256
from itertools import pairwise

import pytest
from msgspec.structs import replace

from measurements.evidence.chain import (
    Keys,
    Kind,
    Link,
    PublicKey,
    SignedCheckpoint,
    extend,
    genesis,
    handed_over,
    holes,
    is_signed,
    link_after,
    note_after,
    rotate,
    sign_checkpoint,
    strangers,
)
from measurements.evidence.checking import AHEAD, find_fault
from tests.measurements.evidence.chains import PROBE, TIME, Pen, append, chain_of, signed

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


def numbered_anew(links: Links, chance: random.Random) -> tuple[Links, set[Kind], set[int]]:
    """Take some out and close the gap in the numbers."""
    links = chain_of(len(links), chance)
    count = chance.randint(1, 5)
    at = chance.randrange(1, len(links) - count - 1)
    rest = [replace(link, sequence=link.sequence - count) for link in links[at + count :]]
    return [*links[:at], *rest], {Kind.REMOVED}, {links[at].sequence}


def test_what_was_removed_is_found_though_the_rest_was_numbered_anew() -> None:
    for seed in range(60):
        chance = random.Random(seed)
        altered, kinds, places = numbered_anew(chain_of(40, chance), chance)
        fault = find_fault(altered)
        assert fault is not None
        assert (fault.kind in kinds, fault.sequence in places) == (True, True), (seed, fault, places)


def test_a_long_chain_is_checked_a_window_at_a_time() -> None:
    chance = random.Random(1)
    links = chain_of(3 * AHEAD, chance)
    taken = 0

    def stream() -> Iterator[Link]:
        nonlocal taken
        for link in links:
            taken += 1
            yield link

    altered = replace(links[AHEAD + 9], record="00" * 32)
    links[AHEAD + 9] = altered
    fault = find_fault(stream())
    assert fault is not None
    assert (fault.kind, fault.sequence) == (Kind.CHANGED, altered.sequence)
    assert taken <= 2 * AHEAD + 9
    far = [links[0], *links[2 * AHEAD :]]
    fault = find_fault(far)
    assert fault is not None
    assert (fault.kind, fault.sequence, fault.words) == (Kind.REMOVED, 2, f"2 to {2 * AHEAD} of the chain was removed")


def test_a_stretch_is_checked_from_the_link_before_it() -> None:
    chance = random.Random(2)
    links = chain_of(20, chance, before=100)
    pen = Pen(chance)
    checkpoints, keys = signed(links, pen, 5)
    assert links[0].sequence == 101
    assert find_fault(links[10:], checkpoints, keys, before=(links[9].sequence, links[9].chain)) is None
    wrong = find_fault(links[10:], checkpoints, keys, before=(links[9].sequence, "00" * 32))
    assert wrong is not None
    assert wrong.sequence == links[10].sequence
    assert find_fault([]) is None
    again = find_fault([*links, links[2]])
    assert again is not None
    assert (again.kind, again.sequence) == (Kind.INSERTED, links[2].sequence)
    assert find_fault(links, checkpoints, keys) is None


def test_checkpoints_are_asked_for_their_signature_their_key_and_their_probe() -> None:
    chance = random.Random(3)
    links, pen, other = chain_of(9, chance), Pen(chance), Pen(chance)
    [checkpoint], keys = signed(links, pen, 9)
    both = Keys(keys=(pen.public, other.public))
    for changed, kind in (
        (replace(checkpoint, signature="00" * 64), Kind.SIGNATURE),
        (replace(checkpoint, signature="no hex"), Kind.SIGNATURE),
        (replace(checkpoint, time=TIME), Kind.SIGNATURE),
        (replace(checkpoint, key_id=other.public.key_id), Kind.SIGNATURE),
        (replace(checkpoint, key_id="00" * 32), Kind.UNKNOWN_KEY),
        (sign_checkpoint(replace(links[-1], probe_id="x"), TIME, pen.public.key_id, pen.sign), Kind.CHECKPOINT),
        (sign_checkpoint(replace(links[-1], chain="00" * 32), TIME, pen.public.key_id, pen.sign), Kind.CHECKPOINT),
        (sign_checkpoint(replace(links[-1], sequence=10), TIME, pen.public.key_id, pen.sign), Kind.REMOVED),
        (sign_checkpoint(replace(links[-1], sequence=0), TIME, pen.public.key_id, pen.sign), Kind.CHECKPOINT),
    ):
        fault = find_fault(links, [changed], both)
        assert fault is not None
        assert fault.kind is kind
    fault = find_fault([], [replace(checkpoint, signature="00" * 64)], keys)
    assert fault is not None
    assert fault.kind is Kind.SIGNATURE
    posing = PublicKey(key_id=pen.public.key_id, public=other.public.public)
    assert not is_signed(b"text", other.sign(b"text").hex(), posing)


def test_a_key_follows_another_when_both_signed() -> None:
    chance = random.Random(4)
    one, two, three = Pen(chance), Pen(chance), Pen(chance)
    first = rotate(one.public.key_id, two.public, TIME, one.sign, two.sign)
    second = rotate(two.public.key_id, three.public, TIME, two.sign, three.sign)
    keys = Keys(keys=(one.public, two.public, three.public), rotations=(first, second))
    assert handed_over(first, keys)
    assert strangers(keys) == ()
    assert strangers(replace(keys, rotations=(second,))) == (two.public, three.public)
    assert strangers(replace(keys, rotations=(second, first))) == ()
    assert strangers(Keys()) == ()
    assert not handed_over(first, Keys(keys=(two.public,)))
    for wrong in (
        replace(first, signature=second.signature),
        replace(first, next_signature=first.signature),
        replace(first, public=three.public.public),
        replace(first, time=TIME + 1),
    ):
        assert not handed_over(wrong, keys)
        assert two.public in strangers(replace(keys, rotations=(wrong, second)))


def test_a_note_has_to_say_for_which_numbers_it_stands() -> None:
    chance = random.Random(5)
    links = chain_of(3, chance)
    last = links[-1]

    def note(text: str, sequence: int) -> Link:
        record = sha256(text.encode()).hexdigest()
        made = link_after(last.chain, probe_id=PROBE, sequence=sequence, measurement_id="", record=record)
        return replace(made, note=text)

    good = note('{"first":4,"last":6,"wazi":"hole 1"}', 6)
    assert find_fault([*links, good]) is None
    assert list(holes([*links, good])) == [(4, 6, "hole 1")]
    for text, sequence in (
        ('{"first":5,"last":6,"wazi":"hole 1"}', 6),
        ('{"first":4,"last":7,"wazi":"hole 1"}', 6),
        ('{"first":7,"last":6,"wazi":"hole 1"}', 6),
        ('{"first":"4","last":6,"wazi":"hole 1"}', 6),
        ('{"first":true,"last":6}', 6),
        ("[]", 6),
        ("no JSON", 6),
        ("", 4),
    ):
        fault = find_fault([*links, note(text, sequence)])
        assert fault is not None, text
        assert list(holes([note(text, sequence)])) in ([], [(5, 6, "hole 1")])
    assert find_fault([*links, replace(good, note="")]) is not None


def test_a_fork_that_the_chain_itself_tells_of_is_no_fault() -> None:
    chance = random.Random(6)
    pen = Pen(chance)
    links = chain_of(5, chance)
    lost = chain_of(9, chance)[-1]
    point = sign_checkpoint(lost, TIME, pen.public.key_id, pen.sign)
    keys = Keys(keys=(pen.public,))
    said: dict[str, str | int] = {"chain": lost.chain, "sequence": 9, "time": TIME}
    fork = note_after(links[-1].chain, probe_id=PROBE, first=6, last=10, kind="fork", **said)
    assert find_fault([*links, fork], [point], keys) is None
    other = note_after(links[-1].chain, probe_id=PROBE, first=6, last=10, kind="fork", **{**said, "chain": "00" * 32})
    hole = note_after(links[-1].chain, probe_id=PROBE, first=6, last=10, kind="hole")
    for wrong in (other, hole):
        fault = find_fault([*links, wrong], [point], keys)
        assert fault is not None
        assert (fault.kind, fault.sequence) == (Kind.CHECKPOINT, 9)


def test_a_key_that_signs_after_it_handed_over_is_noticed() -> None:
    chance = random.Random(7)
    old, new = Pen(chance), Pen(chance)
    links = chain_of(9, chance)
    turn = rotate(old.public.key_id, new.public, TIME, old.sign, new.sign)
    keys = Keys(keys=(old.public, new.public), rotations=(turn,))

    def point(number: int, pen: Pen) -> SignedCheckpoint:
        return sign_checkpoint(links[number - 1], TIME, pen.public.key_id, pen.sign)

    honest = [point(3, old), point(5, old), point(5, new), point(9, new)]
    assert find_fault(links, honest, keys) is None
    assert find_fault(links, [point(5, new), point(5, old)], keys) is None
    fault = find_fault(links, [*honest, point(7, old)], keys)
    assert fault is not None
    assert (fault.kind, fault.sequence) == (Kind.SIGNATURE, 7)
    assert "since 5" in fault.words
