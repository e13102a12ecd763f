"""Read the records of a bundle: measurements in the one form that was chained, and their pages by digest."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import msgspec

from measurements.evidence.bundle import BODIES, Entry, Manifest, record_path
from measurements.evidence.canonical import read_record, record_as_kept
from measurements.evidence.findings import Found, Wrong, called
from measurements.evidence.strict import NotCanonical, check_canonical
from measurements.model import HttpExchange, Measurement

LARGEST = 4 * 1024 * 1024
"""Bytes of a record: a measurement has some 30 kB."""


def read_facts(manifest: Manifest, files: Mapping[str, bytes], found: Found) -> dict[int, Measurement]:
    """Return the records by number, with their pages; what cannot be read is a fault.

    Their bytes must be those of the manifest already.
    """
    bare: dict[int, Measurement] = {}
    missing = {one.id for one in manifest.missing}
    for entry in manifest.records:
        try:
            bare[entry.number] = _read(entry, files[record_path(entry)], found)
            for page in pages(bare[entry.number]):
                if BODIES + page not in files and page not in missing:
                    raise NotCanonical(f"its page {page} is neither here nor said to be missing")
        except NotCanonical as error:
            found.fault(Wrong.CHANGED, f"{called(entry)}: {error}", entry)
    named = {BODIES + page for fact in bare.values() for page in pages(fact)}
    for path in sorted(name for name in files if name.startswith(BODIES) and name not in named):
        found.fault(Wrong.INSERTED, f"{path} is named by no record: it was inserted", file=path)
    return {number: with_pages(fact, files) for number, fact in bare.items()}


def pages(bare: Measurement) -> Iterator[str]:
    """Yield the digests of the pages that a record names, in hexadecimal."""
    return (step.body.hex() for step in bare.observations if isinstance(step, HttpExchange) and step.body)


def with_pages(bare: Measurement, files: Mapping[str, bytes]) -> Measurement:
    """Put the pages back; one that is not here stays empty."""
    steps = (
        msgspec.structs.replace(step, body=files.get(BODIES + step.body.hex(), b""))
        if isinstance(step, HttpExchange)
        else step
        for step in bare.observations
    )
    return msgspec.structs.replace(bare, observations=tuple(steps))


def _read(entry: Entry, data: bytes, found: Found) -> Measurement:
    if len(data) > LARGEST:
        raise NotCanonical(f"it is larger than {LARGEST} bytes")
    try:
        fact = read_record(data)
        plain = record_as_kept(fact) == data
    except (ValueError, RecursionError) as error:
        raise NotCanonical(f"it is no measurement: {str(error)[:200]}") from None
    if not plain:
        check_canonical(data, record_path(entry))
        found.unsettled.append(f"{called(entry)} holds what this build does not know, written by a later version")
    told = (fact.id, fact.vantage.probe_id, fact.sequence, fact.started, fact.target.url)
    if told != (entry.id, entry.probe, entry.sequence, entry.started, entry.target):
        raise NotCanonical("the manifest says something else of it than it does itself")
    return fact
