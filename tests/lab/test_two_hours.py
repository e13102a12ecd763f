"""A site is shut for two hours: the whole chain, from real packets to an event that opens, is confirmed, and closes."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from measurements.events.nouns import Event
from measurements.model import Strength
from measurements.store import Store, open_store
from tests.lab.client import LabClient
from tests.lab.rehearsal import Rehearsal
from tests.lab.scenario import HelloFilter
from tests.measurements.store.postgres import server

pytestmark = [pytest.mark.lab, pytest.mark.timeout(240)]
SHUT = "twitter.com"
_ALERT = """
[[alert]]
hook = "command"
command = ["sh", "-c", "cat >>{file} && echo >>{file}"]
update_every = "0s"
"""
A_MEASUREMENT = 0.1  # hours that one seems to take at this speed: a vote is dated from its start


@pytest.fixture(scope="module")
def database() -> Iterator[str]:
    with server() as running:
        yield running.new_database()


def test_a_block_of_two_hours_is_one_event(lab: LabClient, database: str) -> None:
    """One probe finds it, another on a second line confirms it, and both see it end; nobody else is accused.

    Somebody is told when it is confirmed and when it is over, and its evidence stands without the store.
    """
    told = lab.work / "told.jsonl"
    play = Rehearsal(lab, hours=6.0, url=database, more=_ALERT.format(file=told))
    play.start("one")
    play.wait_for(lambda store: heard(store, "one") >= 3, 4.0)
    on = play.change(HelloFilter(names=(SHUT,), action="reset"))
    found: list[Event] = []

    def is_found(store: Store) -> bool:
        found.extend(store.ledger.events())
        return bool(found)

    play.wait_for(is_found, 1.5)
    play.start("two")
    assert [(event.status, event.targets, event.probes) for event in found] == [("unconfirmed", (SHUT,), ("one",))]
    assert f"confirmed  {SHUT} blocked on AS64500 in ZZ, since " in play.wazi("events")
    play.until(on[1] + 2.0)
    off = play.change()
    play.wait_for(lambda store: not list(store.ledger.events(only_open=True)), 4.0)
    assert [play.end("one"), play.end("two")] == [0, 0]
    with open_store(database, read_only=True) as store:
        votes, (event,) = play.votes(store), store.ledger.events()
        against = [vote for vote in votes if vote.blocked and vote.strength is Strength.PROVEN]
        judged = {vote.witness: store.verdicts(vote.witness)[0].judged_at for vote in against}

    assert (event.status, event.reason, event.kind) == ("closed", "ended", "blocking")
    assert (event.targets, event.layers, event.asns) == ((SHUT,), ("tls",), (64500,))
    assert [name for name, _ in event.mechanisms] == ["tls.reset"]
    assert {(vote.target, vote.layer) for vote in against} == {(SHUT, "tls")}
    assert {vote.target for vote in votes if vote.blocked} == {SHUT}
    first = min(against, key=lambda vote: judged[vote.witness])  # a longer measurement ends after one begun later
    assert event.opened == first.time, "it is told of with the first verdict"
    second = next(vote.time for vote in against if vote.probe == "two")
    assert event.confirmed
    assert second <= event.confirmed <= second + 20 * 60
    assert event.end
    for bracket, true in ((event.onset, on), (event.end, off)):
        since, until = map(play.hour, bracket)
        assert since <= true[1]
        assert true[0] - A_MEASUREMENT <= until
    placebos = {vote.target for vote in votes if vote.placebo}
    assert placebos
    assert not placebos & set(play.targets)

    said = play.wazi("events", event.id)
    for word in ("unconfirmed", "confirmed", "closed"):
        assert f"  {word}: {SHUT} blocked" in said
    assert "events   0 open events" in play.wazi("status")
    assert f"tls.reset        confirmed https://{SHUT}/" in play.wazi("list", "--outcome", "blocked")

    notices = [json.loads(line) for line in told.read_text().splitlines() if line]
    assert [notice["type"] for notice in notices] == ["event.opened", "event.closed"]
    assert {found["id"] for notice in notices for found in notice["data"]["events"]} == {event.id}
    assert f"{SHUT} blocked on AS64500 in ZZ (confirmed)" in notices[0]["data"]["title"]

    bundle, page = lab.work / "event.zip", lab.work / "event.html"
    play.wazi("export", "--format", "bundle", event.id, "--output", str(bundle), probe="one")
    assert "STANDS" in play.wazi("verify", str(bundle))
    play.wazi("report", event.id, "--html", "--output", str(page), probe="one")
    assert SHUT in page.read_text()


def heard(store: Store, probe: str) -> int:
    """Count what a probe has measured of the site that will be shut."""
    return sum(entry.host == SHUT for entry in store.measurements(probe_id=probe))
