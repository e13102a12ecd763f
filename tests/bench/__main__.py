"""Run the bench: `scripts/bench [PART…] [--rounds N] [--json FILE]`.

Prints a table (Markdown), or JSON with `--json -`. Ends with 1 when a target is missed.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from tests.bench import alerting, detecting, evidencing, exporting, judging, listing, measuring, recognising, storing
from tests.bench.figures import Figure, circumstances, table

# part -> what it measures, its rounds by default, and how
PARTS: dict[str, tuple[str, int, Callable[[int], Iterator[Figure]]]] = {
    "cpu": ("CPU of a measurement, against bare asyncio and ssl (2 minutes)", 5, measuring.run),
    "store": ("stored measurements a second, against bare sqlite3 (1 minute)", 7, storing.run),
    "judge": ("encoding, redacting and judging (half a minute)", 7, judging.run),
    "export": ("exports, against sqlite3 with csv, json and pyarrow, and their memory (1 minute)", 3, exporting.run),
    "evidence": ("canonical records, chains, and verifying a store (half a minute)", 5, evidencing.run),
    "fingerprints": ("recognising block pages, against a loop of `in` (ten seconds)", 7, recognising.run),
    "detector": ("votes into events, against one bare score a series (1 minute)", 3, detecting.run),
    "alerts": ("10,000 events told through 50 kills, on SQLite and PostgreSQL (20 minutes)", 1, alerting.run),
    "list": ("wall time and memory of a list of 300 sites, in the lab (10 minutes)", 3, listing.run),
}


def main() -> int:
    """Measure what was asked for, and show it."""
    options = _options()
    found = circumstances()
    figures: list[Figure] = []
    for part in options.parts or PARTS:
        _, rounds, run = PARTS[part]
        if part == "export":
            run = partial(exporting.run, rows=options.rows)
        figures += run(options.rounds or rounds)
    report = json.dumps({**found, "figures": [figure.for_programs() for figure in figures]}, indent=1) + "\n"
    if options.json == "-":
        sys.stdout.write(report)
    else:
        print("\n".join(f"{key}: {value}" for key, value in found.items()), end="\n\n")
        print(table(figures), end="")
    if options.json not in (None, "-"):
        Path(options.json).write_text(report)
    return int(any(figure.met is False for figure in figures))


def _options() -> argparse.Namespace:
    parts = "\n".join(f"  {part:14}{what}" for part, (what, _, _) in PARTS.items())
    parser = argparse.ArgumentParser(
        prog="scripts/bench",
        description="Measure Wazi's speed and memory, each beside something bare that does the same.",
        epilog=f"parts:\n{parts}\n\nEnds with 1 when a target is missed. docs/benchmarks.md explains the figures.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("parts", nargs="*", metavar="PART", help="what to measure; everything by default")
    parser.add_argument("--rounds", type=_count, help="how often each side takes its turn")
    parser.add_argument("--rows", type=_count, help=f"how many verdicts are exported ({exporting.ROWS})")
    parser.add_argument(
        "--json", metavar="FILE", help="also write the figures as JSON; - writes nothing else to stdout"
    )
    options = parser.parse_args()
    for part in options.parts:
        if part not in PARTS:
            parser.error(f"there is no part {part!r}: use {', '.join(PARTS)}")
    return options


def _count(text: str) -> int:
    number = int(text)
    if number < 1:
        raise ValueError(text)
    return number


if __name__ == "__main__":
    sys.exit(main())
