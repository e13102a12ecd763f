"""Compare what a bundle says of its records with what the rules of this build say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import msgspec

from measurements.bogons import BadBogons, Bogons
from measurements.evidence.bundle import BOGONS, Entry, Manifest, Opinion, verdicts_path
from measurements.evidence.findings import Found, Judged, Wrong, called, numbers
from measurements.evidence.rejudge import agree, gist, judge_all, judge_by
from measurements.evidence.strict import NotCanonical, strict_json
from measurements.fingerprints import Fingerprints
from measurements.model import Confidence, Measurement, Verdict
from measurements.rules import RULES_VERSION


def unjudged(manifest: Manifest) -> tuple[Judged, ...]:
    """List the records without asking the rules."""
    return tuple(_judged(entry, note="not judged again") for entry in manifest.records)


def judge_again(
    manifest: Manifest,
    files: Mapping[str, bytes],
    facts: Mapping[int, Measurement],
    bogons: Bogons,
    fingerprints: Fingerprints,
    found: Found,
) -> tuple[tuple[Judged, ...], dict[int, Verdict]]:
    """Judge every record by the lists of this build, and where that differs by the private addresses of the bundle.

    Returns what came of each, and by number the verdicts of this build that agree with the bundle.
    """
    ours = judge_all(facts, judge_by(bogons, fingerprints))
    judging = _Judging(manifest, {row.mark for row in fingerprints.rows}, found)
    theirs: dict[int, Verdict | Exception] | None = None
    judged: list[Judged] = []
    agreed: dict[int, Verdict] = {}
    by_other_rules: dict[int, list[int]] = {}
    in_other_words: list[int] = []
    unconfirmed: dict[str, list[int]] = {}
    for entry in manifest.records:
        said = _said(entry, files, found)
        one = _compare(entry, said, ours[entry.number])
        if one.agrees is False and (lists := _bogons(files)) is not None:
            theirs = theirs or judge_all(facts, judge_by(lists, fingerprints))
            if _compare(entry, said, theirs[entry.number]).agrees:
                note = f"it follows only from the private addresses in {BOGONS}, which are not those of this build"
                one = msgspec.structs.replace(one, agrees=None, note=note)
        one = judging.excuse(said, one)
        judging.tell(entry, one)
        if one.agrees is None:
            unconfirmed.setdefault(one.note, []).append(entry.number)
        judged.append(one)
        verdict = ours[entry.number]
        if one.agrees and isinstance(verdict, Verdict):
            agreed[entry.number] = verdict
            if one.said_by != RULES_VERSION:
                by_other_rules.setdefault(one.said_by or 0, []).append(entry.number)
            elif said != verdict:
                in_other_words.append(entry.number)
    for note, some in unconfirmed.items():
        found.unsettled.append(f"what is said of {numbers(some)} is not confirmed: {note}")
    if in_other_words:
        words = "the words and reasons in verdicts/ are not those that this build gives for the same verdict"
        found.notes.append(f"{numbers(in_other_words)}: {words}")
    for version, some in sorted(by_other_rules.items()):
        was = "were" if len(some) > 1 else "was"
        words = f"{was} judged by rules version {version}, and those of this build ({RULES_VERSION}) say the same"
        found.notes.append(f"{numbers(some)} {words}")
    return tuple(judged), agreed


@dataclass(frozen=True, slots=True)
class _Judging:
    """Decides what a difference means; `marks` are the fingerprints that this build knows."""

    manifest: Manifest
    marks: set[str]
    found: Found

    def excuse(self, said: Verdict | None, one: Judged) -> Judged:
        """Let a difference be unsettled where these rules or lists are not those that spoke."""
        if one.agrees is not False or said is None:
            return one
        if said.rules_version != RULES_VERSION:
            words = f"rules version {said.rules_version} says so, and this build has {RULES_VERSION} ({one.found})"
            return msgspec.structs.replace(one, agrees=None, note=f"{words}; {self._release(said.rules_version)}")
        if one.found == gist(msgspec.structs.replace(said, confidence=Confidence.LIKELY)):
            note = f"these rules say {one.found}; what an earlier session of the probe confirmed, which is not here"
            return msgspec.structs.replace(one, agrees=None, note=note)
        strange = [row.fingerprint for row in said.findings if row.fingerprint and row.fingerprint not in self.marks]
        if strange:
            return msgspec.structs.replace(
                one, agrees=None, note=f"it rests on fingerprints that this build lacks: {strange[0][:200]}"
            )
        return one

    def tell(self, entry: Entry, one: Judged) -> None:
        """Add what came of a record to what was found."""
        if one.agrees is False:
            words = f"{called(entry)}: the rules of this build say {one.found}, and the bundle says {one.said}"
            self.found.fault(Wrong.VERDICT, words, entry)

    def _release(self, rules_version: int) -> str:
        if rules_version == self.manifest.rules_version:
            return f"{self.manifest.software} has those rules"
        return "the change log names the release that has those rules"


def opinions(entry: Entry, files: Mapping[str, bytes]) -> tuple[Opinion, ...]:
    """Read what was said of a record; raises NotCanonical."""
    path = verdicts_path(entry)
    return strict_json(files.get(path, b""), path, tuple[Opinion, ...])


def _said(entry: Entry, files: Mapping[str, bytes], found: Found) -> Verdict | None:
    """Return the verdict of the rules of this build if there is one, else the latest."""
    try:
        said = opinions(entry, files)
    except NotCanonical as error:
        found.fault(Wrong.CHANGED, str(error), entry, file=verdicts_path(entry))
        return None
    same = [one.verdict for one in said if one.verdict.rules_version == RULES_VERSION]
    return same[0] if same else said[-1].verdict if said else None


def _compare(entry: Entry, said: Verdict | None, found: Verdict | Exception) -> Judged:
    if isinstance(found, Exception):
        return _judged(entry, said, note=f"the rules of this build cannot judge it ({type(found).__name__})")
    if said is None:
        return _judged(entry, found=found, note="the bundle holds no verdict on it")
    return _judged(entry, said, found, agrees=agree(said, found))


def _bogons(files: Mapping[str, bytes]) -> Bogons | None:
    try:
        return Bogons.parse(files[BOGONS].decode(), BOGONS) if BOGONS in files else None
    except (BadBogons, UnicodeDecodeError):
        return None


def _judged(
    entry: Entry,
    said: Verdict | None = None,
    found: Verdict | None = None,
    *,
    agrees: bool | None = None,
    note: str = "",
) -> Judged:
    return Judged(
        number=entry.number,
        id=entry.id,
        role=entry.role,
        target=entry.target,
        started=entry.started,
        linked=entry.link is not None,
        said=None if said is None else gist(said),
        said_by=None if said is None else said.rules_version,
        found=None if found is None else gist(found),
        agrees=agrees,
        note=note,
    )
