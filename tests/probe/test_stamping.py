"""Checkpoints are stamped by a real authority while the probe runs; whatever it answers stops nothing."""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from measurements.evidence.chain import SignedCheckpoint
from measurements.evidence.stamps import read_stamp
from measurements.store import Store, open_store
from probe.signing import Notary, signing
from probe.stamping import Stamper
from tests.measurements.evidence.authority import Authority, make, serving
from tests.measurements.store.samples import ACCESSIBLE, START, measurement

PROBE = "probe"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return make(tmp_path_factory.mktemp("tsa") / "one")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with open_store(f"sqlite:///{tmp_path}/wazi.db") as opened:
        yield opened


def signed(store: Store, folder: Path, number: int) -> SignedCheckpoint:
    store.add(measurement(number), ACCESSIBLE).result(10)
    made = Notary(store.chains, folder, PROBE, now=lambda: START).sign()
    assert made is not None
    return made


def stamper(store: Store, url: str, now: Callable[[], float] = lambda: START, every: float = 3600.0) -> Stamper:
    return Stamper(store.chains, url, every, now=now, trust=ssl.create_default_context)


def test_a_checkpoint_is_stamped_now_and_then(store: Store, tmp_path: Path, authority: Authority) -> None:
    clock = START
    with serving(lambda question: (200, [authority.answer(question)], 0.0)) as url:
        one = stamper(store, url, lambda: clock)
        assert one.stamp(signed(store, tmp_path, 1))
        clock += 3599.0
        assert not one.stamp(signed(store, tmp_path, 2))
        clock += 1.0
        assert one.stamp(signed(store, tmp_path, 3))
        clock += 3600.0
        last = store.chains.last_checkpoint(PROBE)
        assert last is not None
        assert not one.stamp(last)  # it has one
    points = list(store.chains.checkpoints(PROBE))
    assert [bool(point.stamp) for point in points] == [True, False, True]
    assert read_stamp(points[0], [authority.root]).trusted


def test_it_is_stamped_beside_the_signing(store: Store, tmp_path: Path, authority: Authority) -> None:
    store.add(measurement(1), ACCESSIBLE).result(10)
    notary = Notary(store.chains, tmp_path, PROBE, now=lambda: START)
    with serving(lambda question: (200, [authority.answer(question)], 0.0)) as url:
        one = stamper(store, url)
        with signing(notary, store.flush, pause=60.0, stamp=one.stamp):
            end = time.monotonic() + 10
            while time.monotonic() < end and not any(point.stamp for point in store.chains.checkpoints(PROBE)):
                time.sleep(0.02)
    assert all(point.stamp for point in store.chains.checkpoints(PROBE))


def test_whatever_an_authority_answers_stops_nothing(store: Store, tmp_path: Path, authority: Authority) -> None:
    point = signed(store, tmp_path, 1)
    answers: list[tuple[int, list[bytes], float]] = [
        (500, [b"no"], 0.0),
        (302, [b""], 0.0),
        (200, [b""], 0.0),
        (200, [b"<html>"], 0.0),
        (200, [bytes(4096)] * 40, 0.0),
    ]
    for answer in answers:
        with serving(lambda question, answer=answer: answer) as url, capture_logs() as logged:  # type: ignore[misc]
            assert not stamper(store, url).stamp(point)
            assert logged[0]["event"] == "no time stamp"
    with capture_logs() as logged:
        assert not stamper(store, "http://127.0.0.1:1/").stamp(point)
        assert not stamper(store, "https://127.0.0.1:1/").stamp(point)
    assert len(logged) == 2
    assert not any(one.stamp for one in store.chains.checkpoints(PROBE))


def test_an_answer_that_drips_is_given_up(store: Store, tmp_path: Path) -> None:
    point = signed(store, tmp_path, 1)
    with serving(lambda question: (200, [b"x"] * 20, 0.1)) as url, capture_logs() as logged:
        one = Stamper(store.chains, url, 3600.0, now=lambda: START, trust=ssl.create_default_context, timeout=0.5)
        begun = time.monotonic()
        assert not one.stamp(point)
        assert time.monotonic() - begun < 2.0
    assert "took longer" in logged[0]["why"]
