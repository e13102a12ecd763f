"""Is what else a bundle says of its records what they say themselves: in the manifest, the redactions and the votes?

Files that no bundle has are named, too: a signature says who put them in, and nothing of what they are for.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator, Mapping

from measurements.commitments import removals
from measurements.events.votes import votes
from measurements.evidence.bundle import REDACTIONS, VOTES, Manifest, redactions, what_was_said
from measurements.evidence.findings import Found, Wrong, called, numbers
from measurements.evidence.opinions import opinions
from measurements.model import Measurement, Verdict

MOST_ROWS = 200_000
MOST_STRANGE = 5

_OURS = re.compile(
    r"README\.txt|manifest\.(?:json|sig)|records\.sig|SHA256SUMS|votes\.csv|gaps\.json|redactions\.json"
    r"|report\.[a-z]{2,3}(?:_[A-Z]{2})?\.html|events/[0-9a-f]{32}\.json|(?:records|verdicts)/[0-9]{3,6}-[0-9a-f]{32}\.json"
    r"|bodies/[0-9a-f]{64}|chain/[^/]+\.jsonl|checkpoints/[^/]+/[0-9]+-[0-9]+\.(?:json|sig|tsr)"
    r"|keys/(?:keys\.json|[0-9a-f]{64}\.pem)|rules/(?:rules\.json|[a-z0-9_/]+\.py)|lists/(?:bogons|fingerprints)\.csv"
)


def strange_files(names: Iterable[str]) -> Iterator[str]:
    """Say which files no bundle of this build has."""
    strange = sorted(name for name in names if _OURS.fullmatch(name) is None)
    if strange:
        more = f" and {len(strange) - MOST_STRANGE} more" if len(strange) > MOST_STRANGE else ""
        yield f"not known to this build, and not looked into: {', '.join(strange[:MOST_STRANGE])}{more}"


def check_summaries(
    manifest: Manifest, files: Mapping[str, bytes], facts: Mapping[int, Measurement], found: Found
) -> None:
    """See that the list of records and the redactions say what the verdicts and the records do."""
    for entry in manifest.records:
        said = opinions(entry, files)
        latest = said[-1].verdict if said else None
        told = (entry.outcome, entry.mechanism, entry.confidence, entry.rules_version)
        if told != what_was_said(latest):
            words = f"{called(entry)}: the manifest says another verdict than the last one in verdicts/"
            found.fault(Wrong.CHANGED, words, entry)
    taken = ((entry.number, entry.id, removals(facts[entry.number].redacted)) for entry in manifest.records)
    if REDACTIONS in files and files[REDACTIONS] != redactions(taken):
        found.fault(Wrong.CHANGED, f"{REDACTIONS} does not say what the records say was taken out", file=REDACTIONS)


def check_votes(manifest: Manifest, files: Mapping[str, bytes], facts: Mapping[int, Measurement], found: Found) -> None:
    """See that the votes that are ascribed to records are those that their verdicts cast, as this build casts them."""
    entries = {entry.id: entry for entry in manifest.records}
    cast: dict[int, set[tuple[str, ...]]] = {}
    strange: set[int] = set()
    for row in _rows(files.get(VOTES, b"")):
        entry = entries.get(row.get("witness") or "")
        if entry is None:
            continue
        if entry.number not in cast:
            said = opinions(entry, files)
            cast[entry.number] = {vote for one in said for vote in _votes(facts[entry.number], one.verdict)}
        if _row(row) not in cast[entry.number]:
            strange.add(entry.number)
    if strange:
        words = f"{VOTES} ascribes votes to {numbers(strange)} that this build does not cast for what was said of them"
        found.unsettled.append(words)


def _votes(fact: Measurement, verdict: Verdict) -> Iterator[tuple[str, ...]]:
    for vote in votes(fact, verdict):
        yield (repr(vote.time), vote.probe, vote.target, vote.layer, str(int(vote.blocked)), vote.strength.value)


def _row(row: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(row.get(column) or "" for column in ("time", "probe", "target", "layer", "blocked", "strength"))


def _rows(data: bytes) -> Iterator[dict[str, str]]:
    try:
        for place, row in enumerate(csv.DictReader(io.StringIO(data.decode("utf-8", "replace"), newline=""))):
            if place == MOST_ROWS:
                return
            yield row
    except csv.Error:
        return
