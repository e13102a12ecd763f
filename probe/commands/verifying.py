"""`wazi verify`: check evidence bundles from what is in them alone, without settings, a store or the network."""

from __future__ import annotations

import logging
import re
import sys
import textwrap
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import msgspec

from measurements.model import encode
from measurements.printable import clean, plural
from probe.commands.building import shipped_lists
from probe.commands.console import FOUND, USAGE, Refusal, say, width, write, write_line

if TYPE_CHECKING:
    from measurements.evidence.chain import SignedCheckpoint
    from measurements.evidence.findings import ChainTold, Report
    from measurements.evidence.verify import Known

log = logging.getLogger(__name__)

MOST_TOLD = 30
_LATEST = 253_402_300_799  # the year 9999, in seconds
_WHOSE_KEY = (
    "This shows that whoever holds that key made the bundle, and nothing about who that is. Learn the fingerprint from "
    "the probe's owner, or from a checkpoint that was published, and insist on it: --key FINGERPRINT"
)
_NOT_PROVEN = (
    "That what was measured is true, or where and when it was: whoever holds the key and the machine can make up a "
    "chain, until a checkpoint of it was published (--checkpoint) or stamped (--timestamp-root). Nor how many votes an "
    "event counts and how sure they make it (`wazi detect votes.csv` counts again those that are here), nor the words "
    "of the report pages and of README.txt: they are of whoever made the bundle. See docs/evidence.md"
)
_FINGERPRINT = re.compile(r"[0-9a-f]{32,64}")
_LARGEST_ASIDE = 1024 * 1024  # bytes of a key, a root or a file of checkpoints


@dataclass(frozen=True, slots=True)
class Aside:
    """What the expert knows from elsewhere, as it was written: keys, files of checkpoints, roots of time stamps."""

    keys: Sequence[str] = ()
    checkpoints: Sequence[str] = ()
    roots: Sequence[str] = ()


def verify_files(files: Sequence[str], aside: Aside, *, as_json: bool) -> int:
    """Verify every file, and return the worst exit code: 1 before 2 before 3 before 0."""
    from measurements.evidence.verify import NotABundle, verify

    known = _known(aside)
    warnings.simplefilter("ignore")  # of odd certificates: what is wrong with a file is told in its own words
    codes = set()
    for name in files:
        data = _read(name)
        try:
            report = verify(data, known)
        except NotABundle as error:
            codes.add(_refused(name, USAGE, "no_bundle", str(error), as_json=as_json))
            continue
        except Exception as error:  # a file that is made to break this must not keep the others from being checked
            log.debug("%s cannot be checked", name, exc_info=True)
            words = f"it broke the checking itself ({type(error).__name__}), and is not to be trusted"
            codes.add(_refused(name, FOUND, "altered", words, as_json=as_json))
            continue
        codes.add(report.code)
        if as_json:
            write_line(encode(_record(name, report)) + b"\n")
        else:
            write("\n".join(_told(name, report, known)))
    return next((code for code in (1, 2, 3) if code in codes), 0)


def _refused(name: str, code: int, result: str, words: str, *, as_json: bool) -> int:
    """Tell of a file that could not be gone through."""
    told = clean(f"{name}: {words}", 1000)
    if as_json:
        write_line(encode({"schema": 1, "file": name, "code": code, "result": result, "error": told}) + b"\n")
    say(told)
    return code


def _known(aside: Aside) -> Known:
    from measurements.evidence.extras import guide, rule_files
    from measurements.evidence.stamps import read_stamp
    from measurements.evidence.verify import Known

    bogons, fingerprints = shipped_lists()
    return Known(
        bogons=bogons,
        fingerprints=fingerprints,
        rules={**rule_files(), **guide()},
        keys=tuple(_key(text) for text in aside.keys),
        checkpoints=tuple(point for name in aside.checkpoints for point in _checkpoints(name)),
        roots=tuple(_root(name) for name in aside.roots),
        read_stamp=read_stamp,
    )


def _key(text: str) -> str:
    """Read a key: a fingerprint, whole or its first half, or a PEM file."""
    from measurements.evidence.links import read_pem

    digits = re.sub(r"[\s:]", "", text).lower()
    if _FINGERPRINT.fullmatch(digits):
        return digits
    if not Path(text).is_file():
        raise Refusal(f"--key {clean(text)}: must be a fingerprint, of which 32 digits will do, or a PEM file")
    try:
        return read_pem(_small(text, "--key")).key_id
    except ValueError as error:
        raise Refusal(f"--key {clean(text)}: {error}") from None


def _root(name: str) -> bytes:
    """Read certificates; one that is none must not look like a fault of the bundle."""
    from cryptography.x509 import load_pem_x509_certificates

    data = _small(name, "--timestamp-root")
    try:
        load_pem_x509_certificates(data)
    except ValueError:
        raise Refusal(f"--timestamp-root {clean(name)}: is no certificate in PEM") from None
    return data


def _checkpoints(name: str) -> Iterator[SignedCheckpoint]:
    """Read published checkpoints: one JSON object a line, as `wazi` prints them."""
    from measurements.evidence.chain import SignedCheckpoint

    for place, line in enumerate(_small(name, "--checkpoint").splitlines(), 1):
        if line.strip():
            try:
                yield msgspec.json.decode(line, type=SignedCheckpoint, strict=False)
            except (ValueError, RecursionError) as error:
                words = f"--checkpoint {clean(name)} line {place}: is no checkpoint ({clean(str(error))})"
                raise Refusal(words) from None


def _small(name: str, flag: str) -> bytes:
    try:
        with Path(name).open("rb") as stream:
            data = stream.read(_LARGEST_ASIDE + 1)
    except OSError as error:
        raise Refusal(f"{flag} {clean(name)}: cannot be read ({error.strerror})") from None
    if len(data) > _LARGEST_ASIDE:
        raise Refusal(f"{flag} {clean(name)}: is larger than {_LARGEST_ASIDE} bytes; is it the right file?")
    return data


def _read(name: str) -> bytes:
    """Read a bundle, of a bounded size; one byte more tells that it is larger."""
    from measurements.evidence.archive import MOST_BYTES

    try:
        if name == "-":
            return cast(Any, sys.stdin.buffer).read(MOST_BYTES + 1)  # type: ignore[no-any-return]
        with Path(name).open("rb") as stream:
            return stream.read(MOST_BYTES + 1)
    except OSError as error:
        raise Refusal(f"{clean(name)}: cannot be read ({error.strerror})") from None


def _record(name: str, report: Report) -> dict[str, Any]:
    """Return what programs get: one flat object, whose names docs/evidence.md tells."""
    manifest = report.manifest
    return {
        "schema": 1,
        "file": name,
        "code": report.code,
        "result": report.result,
        "first": report.faults[0] if report.faults else None,
        "faults": report.faults,
        "unsettled": report.unsettled,
        "notes": report.notes,
        "signed": report.signed,
        "signed_by": None if manifest is None else manifest.signed_by,
        "made": None if manifest is None else manifest.made,
        "software": None if manifest is None else manifest.software,
        "rules_version": None if manifest is None else manifest.rules_version,
        "this_rules_version": report.rules_version,
        "events": [{"id": identifier, "summary": summary} for identifier, summary in report.events],
        "records": report.records,
        "stamps": report.stamps,
        "chains": report.chains,
    }


def _told(name: str, report: Report, known: Known) -> Iterator[str]:
    """Yield what people read."""
    yield f"{report.result.upper()}  {clean(name)}"
    if report.faults:
        yield from _listed("Wrong", [fault.words for fault in report.faults])
    for identifier, summary in report.events:
        yield from _paragraph("Claimed" if report.faults else "Event", f"{identifier[:8]}  {summary}")
    if report.manifest is None:
        return
    made = datetime.fromtimestamp(min(max(report.manifest.made, 0), _LATEST), UTC)
    by = f"rules version {report.manifest.rules_version}; this build has {report.rules_version}"
    yield from _paragraph("Made", f"{made:%Y-%m-%d %H:%M} UTC by {report.manifest.software}, {by}")
    yield from _signature(report, known)
    yield from _records(report)
    chains = [one for one in report.chains if one.links]
    yield from _listed("Chains", [_chain(one) for one in chains])
    if report.unsettled:
        yield from _listed("Not checked", report.unsettled)
    if report.notes:
        yield from _listed("Notes", report.notes)
    if not report.faults:
        yield from _paragraph("Not proven", _NOT_PROVEN)


def _signature(report: Report, known: Known) -> Iterator[str]:
    assert report.manifest is not None
    by = report.manifest.signed_by
    if by is None or not report.signed:
        yield from _paragraph("Signed", "by nobody" if by is None else f"NOT by the key {by.key}, although it says so")
        return
    yield from _paragraph("Signed", f"by the key {by.key} of probe {by.probe}")
    if not known.keys:
        yield from _paragraph("", _WHOSE_KEY)
    elif not any(fault.wrong == "key" for fault in report.faults):
        yield from _paragraph("", "That is the key that you asked for, or one that it is joined to.")


def _records(report: Report) -> Iterator[str]:
    roles = Counter(str(one.role) for one in report.records)
    words = {"witness": "against access", "access": "for it", "earlier": "before, which verdicts look back to"}
    kinds = ", ".join(f"{roles[role]} {text}" for role, text in words.items() if roles[role])
    yield from _paragraph("Records", f"{len(report.records)}: {kinds}" if report.records else "none")
    judged = [one for one in report.records if one.found is not None]
    if judged:
        same = sum(one.agrees is True for one in judged)
        yield from _paragraph("Judged", f"{len(judged)} again, by the rules of this build: {same} as the bundle says")


def _chain(one: ChainTold) -> str:
    signed = f"{plural(one.checkpoints, 'checkpoint')} signed by {', '.join(one.keys) or 'nobody'}"
    return f"of probe {one.probe}: {plural(one.links, 'link')}, {signed}"


def _listed(title: str, lines: Sequence[str]) -> Iterator[str]:
    for place, words in enumerate(lines[:MOST_TOLD]):
        yield from _paragraph("" if place else title, words)
    if len(lines) > MOST_TOLD:
        yield from _paragraph("", f"and {len(lines) - MOST_TOLD} more, which --json lists")


def _paragraph(title: str, words: str) -> list[str]:
    room = max(40, min(width(sys.stdout), 100))
    return textwrap.wrap(
        clean(words, 1000),
        room,
        initial_indent=f"  {title:12}",
        subsequent_indent=" " * 14,
        break_long_words=False,
        break_on_hyphens=False,
    )
