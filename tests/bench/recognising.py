"""Recognising known block pages: 2,000 patterns on a page of 100 kB, beside a plain loop of `in`.

Both sides get the same bytes, decode them, and must find the same patterns. The patterns are phrases of a few
words, and so is the page, so that much of it begins like one of them, as with lists of real block pages.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator

from measurements.fingerprints import Fingerprint, Fingerprints
from measurements.model import HttpExchange
from tests.bench.figures import Figure, ratios, say

PART = "fingerprints"
PATTERNS = 2000
PAGE_BYTES = 100_000
EACH = 10
REGEXPS = 20
PAGE_WORDS = 700
_NOTE = (
    "fingerprints: one core; the page is decoded on both sides. Making the list ready is done once a process, when the "
    "first page in doubt is judged."
)


def run(rounds: int) -> Iterator[Figure]:
    """Measure how long it takes to look for all patterns of a list."""
    lot = random.Random(2000)
    words = ["".join(lot.choices("abcdefghijklmnoprstuvz", k=lot.randint(2, 9))) for _ in range(PAGE_WORDS)]
    rows = [_row(number, " ".join(lot.choices(words, k=lot.randint(3, 7)))) for number in range(PATTERNS)]
    page = _page(lot, words, rows)
    patterns = [row.pattern for row in rows]
    regexps = [_row(n, f"{rows[n].pattern}.*{rows[-n].pattern}", "regexp") for n in range(1, REGEXPS + 1)]
    ready, mixed = Fingerprints(rows), Fingerprints([*rows, *regexps])
    ours = {row.pattern for row in ready.in_page(page)}
    if ours != {p for p in patterns if p in page.body.decode()} or not 10 <= len(ours) <= 100:
        raise RuntimeError("the two sides do not find the same")
    mixed.in_page(page)
    works: dict[str, Callable[[], object]] = {
        "ours": lambda: ready.in_page(page),
        "loop": lambda: _loop(patterns, page.body),
        "mixed": lambda: mixed.in_page(page),
        "build": lambda: Fingerprints(rows).in_page(_EMPTY),
    }
    taken: dict[str, list[float]] = {name: [] for name in works}
    for number in range(rounds):
        for name, work in works.items():
            taken[name].append(_seconds(work))
        say(f"fingerprints: round {number + 1} of {rounds}")
    ratio = ratios(taken["ours"], taken["loop"])
    yield Figure(PART, "Recognising, against a loop of `in`", "ratio", ratio, at_most=0.2, note=_NOTE)
    for name, what in (
        ("ours", f"Recognising ({PATTERNS:,} patterns, 100 kB)"),
        ("mixed", f"Recognising (and {REGEXPS} regular expressions)"),
        ("loop", "A loop of `in` (the same)"),
        ("build", f"Making {PATTERNS:,} patterns ready"),
    ):
        yield Figure(PART, what, "ms", tuple(s * 1e3 for s in taken[name]), note=_NOTE)


def _row(number: int, pattern: str, kind: str = "contains") -> Fingerprint:
    return Fingerprint(f"bench.{kind}.{number}", "isp", "body", kind, pattern)


def _page(lot: random.Random, words: list[str], rows: list[Fingerprint]) -> HttpExchange:
    """Write a page of the same words, with thirty of the patterns in it."""
    hidden = lot.sample([row.pattern for row in rows], 30)
    parts = [" ".join(lot.choices(words, k=500)) for _ in hidden]
    text = " ".join(part for pair in zip(parts, hidden, strict=True) for part in pair)
    body = (text + " " + " ".join(lot.choices(words, k=PAGE_BYTES))).encode()[:PAGE_BYTES]
    return HttpExchange(id=1, url="http://bench.example/", status=200, body=body, body_length=len(body))


_EMPTY = HttpExchange(id=2, url="http://bench.example/", status=200, body=b"-", body_length=1)


def _loop(patterns: list[str], body: bytes) -> list[str]:
    text = body.decode()
    return [pattern for pattern in patterns if pattern in text]


def _seconds(work: Callable[[], object]) -> float:
    """Do something `EACH` times; return the seconds of CPU of each."""
    began = time.process_time()
    for _ in range(EACH):
        work()
    return (time.process_time() - began) / EACH
