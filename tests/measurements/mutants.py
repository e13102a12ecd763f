"""Records of OONI's made odd, the same for the same seed: types swapped, keys gone, numbers and texts beyond measure.

Nothing here makes a record tell of a failure that it did not tell of, so what accused nobody must go on to.
"""

from __future__ import annotations

import base64
import json
import math
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

Record = dict[str, Any]

CASES = Path(__file__).parent.parent / "cases" / "ooni"
QUIET = ("accessible", "control_failure", "down", "expired", "ipv6", "http_diff")
RECORDS: dict[str, Record] = {path.stem: json.loads(path.read_text()) for path in sorted(CASES.glob("*.json"))}


def nested(depth: int, around: Any = None) -> Any:
    """Put a value into many lists."""
    for _ in range(depth):
        around = [around]
    return around


DEEPER = "stands for what no parser follows"
SWAPS: tuple[Callable[[Any], Any], ...] = (
    lambda value: None,
    lambda value: [value],
    lambda value: {"value": value},
    lambda value: str(value),
    lambda value: len(str(value)),
    lambda value: not value,
    lambda value: [],
    lambda value: {},
    lambda value: "",
    lambda value: -1,
    lambda value: 2**63,
    lambda value: 10**400,
    lambda value: 1e308,
    lambda value: math.nan,
    lambda value: -math.inf,
    lambda value: "\ud83d",
    lambda value: f"{value}\0\u202e\ufeff\ud800",
    lambda value: "é" * 20_000,
    lambda value: {"format": "base64", "data": base64.b64encode(repr(value).encode()).decode()},
    lambda value: {"format": "base64", "data": "===="},
    lambda value: {"format": "rot13", "data": value},
    lambda value: nested(90, value),
    lambda value: DEEPER,
    lambda value: [value] * 1_500 if not isinstance(value, dict | list) else [value, value],
)


def places(value: object, path: tuple[object, ...] = ()) -> Iterator[tuple[object, ...]]:
    """Yield the path to everything inside a record."""
    if path:
        yield path
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from places(inner, (*path, key))
    elif isinstance(value, list):
        for n, inner in enumerate(value):
            yield from places(inner, (*path, n))


_PLACES = {name: list(places(whole)) for name, whole in RECORDS.items()}


def mutant(name: str, seed: int) -> Record:
    """Change one to six things in a record: take them away, swap their type, or swap two of them."""
    lots = random.Random(f"{name} {seed}")
    whole: Record = json.loads(json.dumps(RECORDS[name]))
    for _ in range(lots.randint(1, 6)):
        *above, last = lots.choice(_PLACES[name])
        inner: Any = whole
        try:
            for key in above:
                inner = inner[key]
            if lots.random() < 0.3:
                del inner[last]
            elif lots.random() < 0.1 and isinstance(inner, dict):
                other = lots.choice(sorted(inner))
                inner[last], inner[other] = inner[other], inner[last]
            else:
                inner[last] = lots.choice(SWAPS)(inner[last])
        except (KeyError, IndexError, TypeError):
            continue  # an earlier change took it away
    return whole


def mutants(count: int, names: tuple[str, ...] = ()) -> Iterator[tuple[str, Record]]:
    """Yield `count` odd records of each that begins like one of `names`, and its name with the seed."""
    for name in RECORDS:
        if name.startswith(names or ""):
            for seed in range(count):
                yield f"{name}#{seed}", mutant(name, seed)


def spelled(record: Record) -> bytes:
    """Write a record as one line, in JSON as Python's own writer and old programs have it: NaN, half a pair."""
    return json.dumps(record).replace(json.dumps(DEEPER), "[" * 5_000 + "]" * 5_000).encode()
