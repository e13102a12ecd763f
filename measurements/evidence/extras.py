"""What else is in a bundle: how to check it, the rules and their text, the lists that they looked into, the votes."""

from __future__ import annotations

import ast
import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path

import msgspec

import measurements
from measurements.bogons import Bogons
from measurements.evidence.bundle import README, UsedList
from measurements.evidence.canonical import canonical
from measurements.fingerprints import COLUMNS, Fingerprint
from measurements.model import Gap, Vote
from measurements.rules import RULES, RULES_VERSION

RULES_LIST, FINGERPRINTS = "rules/rules.json", "lists/fingerprints.csv"
_START = "measurements.judge"
_VOTE_COLUMNS = (
    *("time", "probe", "country", "asn", "target", "layer", "blocked"),
    *("strength", "witness", "mechanism", "software", "placebo"),
)

GUIDE = """\
An evidence bundle of Wazi, which measures whether sites can be reached. Nothing here needs to be believed: all of it
can be checked, with Wazi or without. docs/evidence.md of Wazi tells what this proves, and what it does not.

With Wazi:    wazi verify THIS-FILE                    (offline; nothing is unpacked or executed)
              wazi verify --key FINGERPRINT THIS-FILE  (insists on a key that you know from elsewhere)

Without it, in an empty folder:

  unzip THIS-FILE && sha256sum -c SHA256SUMS
      Every file is as it was when the bundle was made. Whoever changes a file can change the sums too, therefore:

  openssl pkeyutl -verify -pubin -inkey keys/KEY.pem -rawin -in manifest.json -sigfile manifest.sig
      manifest.json lists every other file with its SHA-256. KEY is its signed_by.key; without one nobody signed it.
      Who holds that key must be learned elsewhere.

  openssl pkeyutl -verify -pubin -inkey keys/KEY.pem -rawin \\
      -in checkpoints/PROBE/N-TIME.json -sigfile checkpoints/PROBE/N-TIME.sig
      What the chain of a probe had come to. KEY is the text's "key".

  The chain takes forty lines of Python, which docs/evidence.md of Wazi has. No program is in here, for none should be
  run that came with what it is to check: rules/ is text, to be read.

What is here:

  manifest.json          all files, all records in order, what is missing and what was left out
  manifest.sig           its Ed25519 signature (RFC 8032), 64 bytes
  records.sig            a signature of each record's entry, together with all before it
  events/                what is claimed, and what was claimed before
  records/               measurements in canonical JSON (RFC 8785); role "witness" speaks against access, "access" for
                         it, "earlier" is what a verdict looks back to. Pages are named by their SHA-256
  bodies/                those pages, as far as they are kept; the volunteer's own addresses are taken out
  verdicts/              what the rules said of each record, by version of the rules
  chain/, checkpoints/   links of the chains of the probes, and what was signed of them
  keys/                  public keys (PEM), and how they follow each other
  rules/                 the rules: their sentences, and the text of the program that judges
  lists/                 the rows of the lists that the rules looked into
  report.en.html         the same in words and pictures, for people; what counts are the records
  gaps.json              when the probes did not look, or could not
  votes.csv              the votes that were counted; `wazi detect votes.csv` counts them again
  redactions.json        what was taken out of which record, with commitments that can be opened later
"""


class Listening(Bogons):
    """A list that remembers which addresses it was asked about."""

    __slots__ = ("asked",)

    def __init__(self, prefixes: Iterable[tuple[IPv4Network | IPv6Network, str]]) -> None:
        super().__init__(prefixes)
        self.asked: set[str] = set()

    def why(self, address: str) -> str | None:
        """Answer as the list does."""
        found = super().why(address)
        self.asked.add(address)
        return found


def guide() -> dict[str, bytes]:
    """Return how to check a bundle, in words: a program in it would be one more thing to be believed."""
    return {README: GUIDE.encode()}


def rule_files() -> dict[str, bytes]:
    """Return every rule's id and sentence, and the text of all that judges, from the modules of this build."""
    rules = [{"id": name, "sentence": " ".join((rule.__doc__ or "").split())} for name, rule in RULES.items()]
    files = {RULES_LIST: canonical({"version": RULES_VERSION, "rules": rules})}
    root = Path(measurements.__file__).parent
    todo, seen = [_START], {_START}
    while todo:
        name = todo.pop()
        path = _path_of(root, name)
        if path is None:
            continue
        text = path.read_bytes()
        files[f"rules/{path.relative_to(root.parent)}"] = text
        fresh = set(_imports(text)) - seen
        seen |= fresh
        todo += sorted(fresh)
    return files


def votes_file(votes: Iterable[Vote]) -> bytes:
    """Write votes as `wazi detect` reads them, in order of time, each once."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(_VOTE_COLUMNS)
    unique = {(vote.witness, vote.layer, vote.strength): vote for vote in votes}
    for vote in sorted(unique.values(), key=lambda vote: (vote.time, vote.witness, vote.layer)):
        writer.writerow([_cell(getattr(vote, column)) for column in _VOTE_COLUMNS])
    return stream.getvalue().encode("utf-8", "replace")


def gaps_file(gaps: Iterable[Gap]) -> bytes:
    """Write when probes did not look, in order, each once."""
    unique = sorted(dict.fromkeys(gaps), key=lambda gap: (gap.since, gap.until, gap.probe_id))
    return canonical([msgspec.to_builtins(gap) for gap in unique])


def bogons_file(bogons: Bogons) -> bytes:
    """Write a list of private addresses as `Bogons.parse` reads it."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(("prefix", "why"))
    writer.writerows((str(network), why) for network, why in bogons.prefixes)
    return stream.getvalue().encode()


def fingerprints_file(rows: Sequence[Fingerprint]) -> bytes:
    """Write fingerprints in the columns that they are read from."""
    stream = io.StringIO()
    writer = csv.DictWriter(stream, COLUMNS, restval="", lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow(
            {
                "name": row.name,
                "scope": row.scope,
                "location_found": row.location,
                "pattern_type": row.kind,
                "pattern": row.pattern,
                "confidence_no_fp": row.confidence,
                "expected_countries": ",".join(sorted(row.countries)),
                "source": row.source,
            }
        )
    return stream.getvalue().encode()


def used_lists(marks: Iterable[str], rows: Sequence[Fingerprint], shipped: set[str]) -> tuple[list[UsedList], bytes]:
    """Name the lists of the fingerprints that verdicts rest on, and write those rows that ship with Wazi.

    `shipped` are the sources of our own lists; those of others are named, and are not ours to hand on.
    """
    wanted = set(marks)
    used = [row for row in rows if row.mark in wanted]
    lists = []
    for source in sorted({row.source for row in used}):
        name, _, digest = source.partition(" sha256:")
        lists.append(UsedList(kind="fingerprints", name=name, sha256=digest, shipped=source in shipped))
    ours = [row for row in used if row.source in shipped]
    return lists, fingerprints_file(ours) if ours else b""


def _path_of(root: Path, name: str) -> Path | None:
    base = root.parent.joinpath(*name.split("."))
    for path in (base.with_suffix(".py"), base / "__init__.py"):
        if path.is_file():
            return path
    return None


def _imports(text: bytes) -> Iterator[str]:
    """Yield the modules of this package that a text may import."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("measurements"):
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _cell(value: object) -> object:
    return int(value) if isinstance(value, bool) else value
