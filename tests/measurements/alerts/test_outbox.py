"""The outbox at work: real threads, a real store, hooks that fail, hang, block and are gone."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from measurements.alerts.notice import Change, HookFailed, Notice
from measurements.alerts.outbox import Outbox, Posting
from measurements.alerts.pace import Patience
from measurements.store import Store, open_store
from measurements.store.deliveries import HookState
from tests.measurements.alerts.happenings import Ear, changes, ended, event, happen, posting

QUICK = Patience(first=0.02, most=0.2, news=0.1, attempt=0.3, asked=1.0, soon=0.05, poll=0.5, away=0.05)
OPENED, UPDATED, CLOSED = Change.OPENED, Change.UPDATED, Change.CLOSED

Sending = Callable[..., Outbox]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with open_store(f"sqlite:///{tmp_path}/wazi.db") as opened:
        yield opened


@pytest.fixture
def sending(store: Store) -> Iterator[Sending]:
    """Begin to send for some postings; everything ends with the test."""
    boxes = []

    def send(*postings: Posting, patience: Patience = QUICK) -> Outbox:
        box = Outbox(store, patience=patience)
        boxes.append(box)
        store.ledger.route([posting.rule for posting in postings], box.wake)
        box.use(postings)
        return box

    yield send
    for box in boxes:
        box.close()


def until(true: Callable[[], bool], seconds: float = 10.0) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.01)


def now(name: str, **fields: object) -> object:
    return event(name, at=time.time(), **fields)


def state(store: Store) -> HookState:
    """Return how the only hook is."""
    return next(iter(store.deliveries.states()), HookState(name="none yet"))


def failing(times: int, *, why: str = "500", **fields: float | bool) -> Callable[[Notice], None]:
    """Fail the first attempts, and then no more."""
    left = [times]

    def answer(notice: Notice) -> None:
        left[0] -= 1
        if left[0] >= 0:
            raise HookFailed(why, **fields)  # type: ignore[arg-type]

    return answer


def test_news_are_told_at_once_and_in_order(store: Store, sending: Sending) -> None:
    ear = Ear()
    sending(posting(ear))
    began, at = time.monotonic(), time.time()
    happen(store, event(at=at))
    ear.wait(1)
    assert time.monotonic() - began < 2.0
    happen(store, ended(at=at))
    assert changes(ear.wait(2)) == [[(OPENED, "e1")], [(CLOSED, "e1")]]
    until(lambda: state(store).waiting == 0)
    how = state(store)
    assert (how.answer, how.failing, how.disabled) == ("heard", None, "")


def test_a_failed_message_is_tried_again_as_it_was(store: Store, sending: Sending) -> None:
    ear = Ear(failing(3))
    sending(posting(ear))
    at = time.time()
    happen(store, event(at=at))
    until(lambda: len(ear.tried) == 1)
    happen(store, ended(at=at))
    assert changes(ear.wait(2)) == [[(OPENED, "e1")], [(CLOSED, "e1")]]
    assert len({(notice.id, notice.time) for notice in ear.tried}) == 2
    assert [notice.news[0].event.is_open for notice in ear.tried] == [True] * 4 + [False]


def test_a_hook_that_hangs_fails_or_blocks_delays_no_other(store: Store, sending: Sending) -> None:
    def block(notice: Notice) -> None:
        time.sleep(0.5)  # and with it its whole event loop

    async def hang(notice: Notice) -> str:
        while True:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                if stopped.is_set():
                    raise
                continue  # it will not be told to end

    stopped = threading.Event()
    good, bad, slow = Ear(), Ear(failing(10**6)), Ear(block)
    hanging = Posting(rule=posting(good, "hanging").rule, setting="", make=lambda: hang)
    sending(hanging, posting(bad, "bad"), posting(slow, "slow"), posting(good, "good"))
    delays = []
    for number in range(20):
        began = time.monotonic()
        happen(store, event(f"e{number}", at=time.time(), countries=("E" + chr(65 + number),)))
        good.wait(number + 1)
        delays.append(time.monotonic() - began)
    assert sorted(delays)[10] < 0.5
    until(lambda: any("not done after" in how.why for how in store.deliveries.states()))
    stopped.set()


def test_a_message_that_is_never_taken_holds_up_no_other(store: Store, sending: Sending) -> None:
    def picky(notice: Notice) -> None:
        if any(news.event.id == "poison" for news in notice.news):
            raise HookFailed("400: too long")

    ear = Ear(picky)
    sending(posting(ear))
    happen(store, event("poison", at=time.time(), countries=("XX",)))
    until(lambda: len(ear.tried) >= 2)
    for number in range(10):
        happen(store, event(f"e{number}", at=time.time(), countries=("E" + chr(65 + number),)))
    ear.wait(10)
    assert {news.event.id for notice in ear.heard for news in notice.news} == {f"e{number}" for number in range(10)}


def test_an_outage_of_the_hook_is_caught_up_in_few_messages(store: Store, sending: Sending) -> None:
    broken = threading.Event()
    broken.set()

    def answer(notice: Notice) -> None:
        if broken.is_set():
            raise HookFailed("connection refused")

    ear = Ear(answer)
    sending(posting(ear))
    at = time.time()
    for number in range(5):
        happen(store, event(f"first{number}", at=at, countries=("A" + chr(65 + number),)))
    until(lambda: len({notice.id for notice in ear.tried}) >= 3)
    for round_ in range(5):
        happen(store, *(event(f"e{number}", at=at, notes=(f"{round_}",)) for number in range(40)))
    happen(store, *(ended(f"e{number}", at=at) for number in range(10)))
    broken.clear()
    told = [news for notice in ear.wait(3) for news in notice.news]
    until(lambda: state(store).waiting == 0)
    told = [news for notice in ear.heard for news in notice.news]
    assert len({notice.id for notice in ear.heard}) == len(ear.heard) < 20
    by_event: dict[str, list[Change]] = {}
    for news in told:
        by_event.setdefault(news.event.id, []).append(news.change)
    assert len(by_event) == 45
    assert all(by_event[f"e{number}"] == [OPENED, CLOSED] for number in range(10))
    assert all(by_event[f"e{number}"][0] is OPENED for number in range(10, 40))


def test_a_receiver_that_is_gone_switches_the_hook_off_until_its_setting_changes(
    store: Store, sending: Sending
) -> None:
    ear = Ear(failing(1, why="410 Gone", gone=True))
    box = sending(posting(ear))
    happen(store, event(at=time.time()))
    until(lambda: state(store).disabled == "410 Gone")
    happen(store, event("e2", at=time.time(), countries=("KE",)))
    time.sleep(0.1)
    assert len(ear.tried) == 1
    box.close()
    box = sending(posting(ear))  # a restart
    time.sleep(0.1)
    assert len(ear.tried) == 1
    box.use([posting(ear, setting="2")])
    ear.wait(2)
    assert state(store).disabled == ""


def test_a_wish_to_wait_is_granted_within_bounds(store: Store, sending: Sending) -> None:
    ear = Ear(failing(1, retry_after=3600.0))
    sending(posting(ear))
    began = time.monotonic()
    happen(store, event(at=time.time()))
    ear.wait(1)
    assert 0.9 < time.monotonic() - began < 5.0  # `asked` is one second here


def test_when_the_network_is_back_nobody_waits_for_hours(store: Store, sending: Sending) -> None:
    patience = Patience(first=3600.0, most=7200.0, poll=0.2, soon=0.05)
    ear, other = Ear(failing(1)), Ear(failing(3))
    box = sending(posting(ear), posting(other, "other"), patience=patience)
    happen(store, event(at=time.time()))
    until(lambda: bool(ear.tried and other.tried))
    time.sleep(0.1)
    assert not ear.heard
    box.try_soon()
    ear.wait(1)
    until(lambda: len(other.tried) == 2)
    time.sleep(0.1)
    box.try_soon()
    until(lambda: len(other.tried) == 3)
    time.sleep(0.1)
    box.try_soon()
    other.wait(1)


def test_what_waits_outlives_a_restart(store: Store, sending: Sending) -> None:
    patience = Patience(first=3600.0, most=7200.0)
    ear = Ear(failing(1))
    box = sending(posting(ear), patience=patience)
    happen(store, event(at=time.time()))
    until(lambda: state(store).why == "500")
    box.close()
    sending(posting(ear), patience=patience)  # a start tries everything at once
    ear.wait(1)
    assert len({notice.id for notice in ear.tried}) == 1


def test_a_message_is_given_up_in_words_after_its_time(
    store: Store, sending: Sending, caplog: pytest.LogCaptureFixture
) -> None:
    ear = Ear(failing(10**6, why="no route"))
    sending(posting(ear, give_up=0.5))
    at = time.time()
    happen(store, event(at=at))
    until(lambda: state(store).given_up == 1)
    assert "given up after" in caplog.text
    assert "no route" in caplog.text
    tried = len(ear.tried)
    happen(store, ended(at=at))  # of which it never heard
    time.sleep(0.2)
    assert len(ear.tried) == tried
    assert state(store).waiting == 0


@pytest.mark.parametrize("error", [RuntimeError, SystemExit, KeyboardInterrupt])
def test_an_error_of_a_hook_is_told_by_its_type_only(
    store: Store, sending: Sending, caplog: pytest.LogCaptureFixture, error: type[BaseException]
) -> None:
    left = [1]

    def answer(notice: Notice) -> None:
        left[0] -= 1
        if left[0] >= 0:
            raise error("https://canary@example.org")

    ear = Ear(answer)
    sending(posting(ear))
    happen(store, event(at=time.time()))
    ear.wait(1)
    assert error.__name__ in caplog.text
    assert "canary" not in caplog.text


def test_an_alert_that_is_as_before_is_not_disturbed(store: Store, sending: Sending) -> None:
    ear, other = Ear(), Ear()
    box = sending(posting(ear))
    before = {thread for thread in threading.enumerate() if thread.name == "wazi-alert-phone"}
    box.use([posting(ear), posting(other, "other")])
    assert before == {thread for thread in threading.enumerate() if thread.name == "wazi-alert-phone"}
    store.ledger.route([posting(ear).rule, posting(other, "other").rule], box.wake)
    happen(store, event(at=time.time()))
    other.wait(1)
    ear.wait(1)


def test_an_attempt_is_cut_off_at_the_end_and_made_again(store: Store, sending: Sending) -> None:
    entered = threading.Event()

    async def slow(notice: Notice) -> str:
        entered.set()
        await asyncio.sleep(60)
        return ""

    rule = posting(Ear()).rule
    box = sending(Posting(rule=rule, setting="", make=lambda: slow), patience=Patience())
    happen(store, event(at=time.time()))
    assert entered.wait(5)
    began = time.monotonic()
    box.close()
    assert time.monotonic() - began < 5.0
    ear = Ear()
    sending(posting(ear))
    ear.wait(1)


def test_a_clock_that_is_set_delays_nothing(store: Store) -> None:
    """If the wall clock is a day ahead when a message fails, and is then put right, it is tried all the same."""
    ahead = [86_400.0]
    ear = Ear(failing(1))
    patience = Patience(first=0.5, most=1.0, poll=0.1)
    box = Outbox(store, patience=patience, now=lambda: time.time() + ahead[0])
    try:
        store.ledger.route([posting(ear).rule], box.wake)
        box.use([posting(ear)])
        happen(store, event(at=time.time()))
        box.wake()
        until(lambda: bool(ear.tried))
        ahead[0] = 0.0
        ear.wait(1, 5.0)
    finally:
        box.close()


def test_what_waits_for_a_hook_that_is_busy_is_not_taken_for_lost_when_the_clock_leaps(store: Store) -> None:
    """A computer without a clock learns the time while one hook hangs and another one looks around."""
    ahead, later = [0.0], [0.0]
    asked, answered = threading.Event(), threading.Event()

    def hang(notice: Notice) -> None:
        asked.set()
        answered.wait(10.0)
        if not ahead[0]:
            raise HookFailed("500")

    ear, slow = Ear(), Ear(hang)
    box = Outbox(store, patience=QUICK, now=lambda: time.time() + ahead[0], clock=lambda: time.monotonic() + later[0])
    try:
        store.ledger.route([posting(ear, "good").rule, posting(slow, "slow").rule], box.wake)
        box.use([posting(ear, "good"), posting(slow, "slow")])
        happen(store, event(at=time.time()))
        ear.wait(1)
        assert asked.wait(5.0)
        ahead[0], later[0] = 30 * 365 * 86_400.0, 4000.0
        until(lambda: store.deliveries.states()[0].seen > time.time() + 1e8)  # the good one noted that it is there
        waits = {one.name: one.waiting for one in store.deliveries.states()}
        assert waits == {"good": 0, "slow": 1}
    finally:
        answered.set()
        box.close()
