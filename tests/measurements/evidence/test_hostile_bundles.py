"""Whoever has the key signs what he likes: nothing in a bundle may break the checking, or make it slow."""

from __future__ import annotations

import json
import random
import time
from typing import Any

from measurements.evidence.archive import read, write
from measurements.evidence.canonical import canonical
from measurements.evidence.findings import ALTERED, NO_BUNDLE, STANDS
from measurements.evidence.stamps import read_stamp
from measurements.evidence.verify import NotABundle
from tests.measurements.evidence.made import Files, check, make, sign_again

TIMES = 150
ODD: list[Any] = [
    *(None, True, -1, 0, 2**53 - 1, 1e308, 5e-324, 1.5, "", "x" * 5000, "9" * 400, "-5", "00" * 32),
    *("\u202e\x1b[31m", "../../etc/passwd", [], {}, [[[]]] * 3, {"a": 1}, "2026", "NaN"),
]


def spoiled(value: Any, chance: random.Random) -> Any:
    """Change one place of a JSON value: take out, double, or put something odd there."""
    if isinstance(value, dict) and value:
        key = chance.choice(list(value))
        match chance.randrange(5):
            case 0:
                del value[key]
            case 1:
                value[key] = chance.choice(ODD)
            case _:
                value[key] = spoiled(value[key], chance)
        return value
    if isinstance(value, list) and value:
        place = chance.randrange(len(value))
        match chance.randrange(5):
            case 0:
                del value[place]
            case 1:
                value.insert(place, value[place])
            case 2:
                value[place] = chance.choice(ODD)
            case _:
                value[place] = spoiled(value[place], chance)
        return value
    return chance.choice(ODD)


def spoil(files: Files, chance: random.Random) -> None:
    """Spoil one text of a bundle, and leave it canonical."""
    name = chance.choice([name for name in files if name.endswith((".json", ".jsonl"))])
    lines = files[name].splitlines()
    place = chance.randrange(len(lines))
    lines[place] = canonical(spoiled(json.loads(lines[place]), chance))
    files[name] = b"\n".join(lines) + (b"\n" if name.endswith("l") else b"")


def test_nothing_that_is_signed_breaks_the_checking() -> None:
    made, chance = make(), random.Random(33)
    whole = read(made.data).files
    seen = set()
    for _ in range(TIMES):
        files = dict(whole)
        for _ in range(chance.randint(1, 3)):
            spoil(files, chance)
        try:
            sign_again(files, made.key)
        except ValueError:
            continue  # what is no manifest any more cannot be signed as one
        began = time.process_time()
        try:
            seen.add(check(write(files.items()), read_stamp=read_stamp).code)
        except NotABundle:
            seen.add(NO_BUNDLE)
        assert time.process_time() - began < 2.0
    assert {STANDS, ALTERED} <= seen
