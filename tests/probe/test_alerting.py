"""Alerts in a running probe: what `wazi status` says of each, and when the network is taken to be back."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from measurements.model import Outcome
from measurements.store import Store, open_store
from measurements.store.deliveries import HookState
from probe.alerting import Alerting, alert_lines, alert_records
from probe.clocks import Tempo
from probe.settings import Settings, load
from tests.measurements.alerts.happenings import event, happen

NOW = 1_790_078_400.0


def settings(folder: Path, text: str) -> Settings:
    (folder / "wazi.toml").write_text(text)
    return load(folder / "wazi.toml", environ={})


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with open_store(f"sqlite:///{tmp_path}/wazi.db") as opened:
        yield opened


def until(store: Store, told: int) -> list[HookState]:
    end = time.monotonic() + 10.0
    while sum(state.delivered is not None for state in store.deliveries.states()) < told:
        assert time.monotonic() < end
        time.sleep(0.02)
    return store.deliveries.states()


def test_every_alert_says_how_it_does(tmp_path: Path) -> None:
    alerts = settings(tmp_path, "[[alert]]\nhook = 'log'\n[[alert]]\nhook = 'log'\nname = 'phone'").alerts
    states = [
        HookState(name="gone", waiting=2, since=NOW),
        HookState(name="old"),
        HookState(name="phone", waiting=3, since=NOW, delivered=NOW, failing=NOW, why="500 \x1b[31m", given_up=1),
    ]
    assert alert_lines(alerts, states) == [
        "alerts   log: not used yet",
        "         phone (log): last delivered 2026-09-22 12:00 UTC; news of 3 events wait since 2026-09-22 12:00 UTC; "
        "news of 1 event were given up; FAILING since 2026-09-22 12:00 UTC: 500 \N{REPLACEMENT CHARACTER}[31m",
        "         gone: in the settings no more; news of 2 events wait for it, and are dropped after a week",
    ]
    off = HookState(name="log", disabled="410 Gone", failing=NOW, why="410 Gone")
    assert alert_lines(alerts[:1], [off]) == [
        "alerts   log: nothing was delivered yet; SWITCHED OFF until its settings change: 410 Gone"
    ]
    assert alert_lines((), []) == []
    records = alert_records(alerts, states)
    assert [(one["name"], one["hook"], one["waiting"]) for one in records] == [
        ("log", "log", 0),
        ("phone", "log", 3),
        ("gone", None, 2),
    ]
    assert alert_records(alerts[:1], [off])[0]["disabled"] == "410 Gone"


def test_alerts_are_sent_by_the_settings_in_force(tmp_path: Path, store: Store) -> None:
    feed = f"[[alert]]\nhook = 'feed'\npath = '{tmp_path}/feed.xml'\n"
    with Alerting(store, Tempo()) as alerting:
        alerting.use(settings(tmp_path, feed))
        happen(store, event("first", at=time.time()))
        until(store, 1)
        alerting.use(settings(tmp_path, f"{feed}[[alert]]\nhook = 'log'\n"))
        happen(store, event("second", at=time.time(), countries=("KE",)))
        assert [state.name for state in until(store, 2)] == ["feed", "log"]
        alerting.use(settings(tmp_path, ""))
        happen(store, event("third", at=time.time()))
    text = (tmp_path / "feed.xml").read_text()
    assert text.count("<entry>") == 2
    assert sum(state.waiting for state in store.deliveries.states()) == 0


def test_a_measurement_that_works_after_silence_lets_everything_be_tried(tmp_path: Path, store: Store) -> None:
    """If a hook failed and the network was away, the next measurement that works is the sign to try again."""
    target = tmp_path / "there" / "feed.xml"
    target.parent.mkdir()
    with Alerting(store, Tempo()) as alerting:
        alerting.use(settings(tmp_path, f"[[alert]]\nhook = 'feed'\npath = '{target}'\n"))
        target.parent.rmdir()
        happen(store, event(at=time.time()))
        end = time.monotonic() + 10.0
        while not any(state.failing for state in store.deliveries.states()):
            assert time.monotonic() < end
            time.sleep(0.02)
        target.parent.mkdir()
        alerting.measured(Outcome.INVALID)
        alerting.measured(Outcome.BLOCKED)  # well before the pause of five seconds is over
        began = time.monotonic()
        until(store, 1)
        assert time.monotonic() - began < 2.0
