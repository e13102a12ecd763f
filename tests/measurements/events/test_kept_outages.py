"""Outages as events of a store: opened, amended and closed."""

from __future__ import annotations

from pathlib import Path

from msgspec.structs import replace

from measurements.events.nouns import Status
from measurements.model import Gap
from measurements.standing import keep_outages
from measurements.store import open_store

GOING_ON = Gap(probe_id="p", since=1010.0, until=1010.0, why="outage", worked=1000.0, failed=1010.0)


def test_an_outage_opens_is_confirmed_and_ends_as_one_event(tmp_path: Path) -> None:
    with open_store(f"sqlite:///{tmp_path}/wazi.db") as store:
        over = replace(GOING_ON, failed=1100.0, until=1130.0, restored=True)
        for gap, status in (
            (GOING_ON, Status.UNCONFIRMED),
            (replace(GOING_ON, failed=1100.0, until=1100.0), Status.CONFIRMED),
            (over, Status.CLOSED),
        ):
            (news,) = keep_outages(store.ledger, [gap], country="KE", asn=None)
            (kept,) = store.ledger.events()
            assert kept == news
            assert kept.status is status
            more = replace(gap, failed=gap.until + 300.0, until=gap.until + 300.0)
            if status is Status.CONFIRMED:
                assert keep_outages(store.ledger, [more], country="KE", asn=None) == [], "one more look that failed"
        assert (kept.onset, kept.end) == ((1000.0, 1010.0), (1100.0, 1130.0))
        assert keep_outages(store.ledger, [over], country="KE", asn=None) == [], "nothing new"
        assert keep_outages(store.ledger, [replace(over, why="off")], country=None, asn=None) == []
        store.add_gap(over)
        store.flush(5)
        assert store.gaps() == [over]
