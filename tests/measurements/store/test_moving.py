"""A store moves to another database by an export and an import, and nothing of it changes on the way."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace

from measurements.evidence.canonical import record_digest
from measurements.model import Measurement, Verdict
from measurements.store import Filter, open_store
from tests.measurements.store.samples import ACCESSIBLE, BLOCKED, START, measurement
from tests.probe.desk import Desk


def made() -> list[tuple[Measurement, Verdict]]:
    """Measurements with all that is easily lost: pages, commitments, large numbers, odd text, opinions of two rules."""
    rows = []
    for n in range(12):
        one = measurement(n, id=f"{n:032x}", started=START + n * 3600 + n / 7, body=b"\0\xffpage %d" % (n % 3))
        opinion = replace(BLOCKED if n % 3 else ACCESSIBLE, rules_version=1 + n % 2, reason="é '\"")
        rows.append((replace(one, redacted=(f"3.body: ipv4 {'ab' * 16}",)), opinion))
    odd = replace(rows[0][0], id="e" * 32, sequence=2**62, started=START - 0.1, software="=1+1\r\n\t\0")
    return [*rows, (odd, ACCESSIBLE)]


@pytest.mark.postgres
def test_a_store_moves_to_postgresql_and_back_byte_for_byte(tmp_path: Path, postgres_url: str) -> None:
    places = [f"sqlite:///{tmp_path}/first.db", postgres_url, f"sqlite:///{tmp_path}/last.db"]
    desks = [Desk(tmp_path / str(n)) for n in range(3)]
    for desk, place in zip(desks, places, strict=True):
        desk.config.write_text(desk.config.read_text().replace("sqlite:///wazi.db", place))
    with open_store(places[0]) as store:
        for fact, verdict in made():
            store.add(fact, verdict)
    exports = [desks[0].wazi("export", "--format", "jsonl").stdout]
    assert exports[0].count(b"\n") == len(made())
    for desk in desks[1:]:
        for stored in (len(made()), 0):  # the second time all is there
            ran = desk.wazi("import", "-", stdin=exports[-1])
            assert ran.returncode == 0, ran.stderr
            assert f"wazi: {stored} measurements imported".encode() in ran.stderr
        exports.append(desk.wazi("export", "--format", "jsonl").stdout)
    assert exports[0] == exports[1] == exports[2]
    kept, votes = [], []
    for place in places:
        with open_store(place) as store:
            kept.append([(record_digest(one.measurement), one.verdict) for one in store.stream(Filter())])
            votes.append(store.ledger.votes(["example.org"], since=0.0, until=2 * START, limit=1000))
    assert kept[0] == kept[1] == kept[2]
    assert votes[0] == votes[1] == votes[2]
