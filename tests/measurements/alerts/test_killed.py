"""A program that stores and tells is killed again and again: nothing is lost, and nothing comes under two ids.

`scripts/bench alerts` does the same with ten thousand events and fifty kills, on both databases.
"""

from __future__ import annotations

from pathlib import Path

from tests.bench.alerting import tell


def test_events_are_told_once_and_in_order_through_kills(tmp_path: Path) -> None:
    outcome = tell(f"sqlite:///{tmp_path}/wazi.db", events=240, kills=3, rate=60.0, longest=2.0)
    assert outcome.faults == []
    assert outcome.heard["mute"].repeated > 0
    assert outcome.heard["failing"].attempts > len(outcome.heard["failing"].messages)
