"""OONI's records made odd on purpose, some thousand of them: each is read, judged, and accuses nobody anew."""

from __future__ import annotations

import pytest

from measurements.judge import Case, judge
from measurements.model import Measurement, Outcome, decode, encode
from measurements.ooni import OoniError, read
from measurements.redact import redact
from tests.measurements.mutants import QUIET, RECORDS, Record, mutants
from tests.measurements.test_ooni import BOGONS, sound

ACCUSED = (Outcome.BLOCKED, Outcome.THROTTLED)


def refused(record: Record) -> bool:
    """Whether a record names another test, or neither a test nor its keys."""
    name, keys = record.get("test_name"), record.get("test_keys")
    return name != "web_connectivity" if isinstance(name, str) and name else not (isinstance(keys, dict) and keys)


@pytest.mark.parametrize("name", RECORDS)
def test_an_odd_record_is_judged_or_refused_for_its_name(name: str) -> None:
    for which, record in mutants(60, (name,)):
        try:
            whole = read(record)
        except OoniError:
            assert refused(record), which
            continue
        assert sound(whole), which
        assert decode(encode(redact(whole, ())), Measurement).id == whole.id, which
        verdict = judge(Case(measurement=whole, bogons=BOGONS))
        assert verdict.summary, which
        if verdict.outcome is Outcome.INCONCLUSIVE:
            assert verdict.reason, which
        if name.startswith(QUIET):
            assert verdict.outcome not in ACCUSED, which
