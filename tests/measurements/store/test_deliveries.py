"""What is stored with events for alert hooks: marks, messages, who is told what, on both databases."""

from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import create_engine

from measurements.alerts.notice import Change, Notice
from measurements.alerts.outbox import Outbox
from measurements.alerts.pace import Patience
from measurements.alerts.routing import MOST_NEWS, Quiet, Rule
from measurements.events.nouns import Event, Kind, Status
from measurements.store import Store, open_store
from measurements.store.claims import Claims
from measurements.store.deliveries import LOST
from tests.measurements.alerts.happenings import NOON, Ear, changes, ended, event, happen, posting, sendable
from tests.measurements.store import postgres
from tests.measurements.store.samples import ACCESSIBLE, measurement

OPENED, UPDATED, CLOSED = Change.OPENED, Change.UPDATED, Change.CLOSED
HOUR, DAY = 3600.0, 86_400.0


def begin(store: Store, *rules: Rule, now: float = NOON) -> None:
    """Let hooks hear from now on; the store's own clock is the wall's, so `oldest` is far away."""
    store.ledger.route(rules, lambda: None)
    for rule in rules:
        store.deliveries.enter(rule.name, "1", now)


def rule(name: str = "phone", **fields: Any) -> Rule:
    return Rule(name=name, **{"oldest": 100 * 365 * DAY, "cool_down": 0.0, "update_every": 0.0, **fields})


def later(store: Store) -> float:
    """Return a moment after all that was stored, by the store's clock."""
    return time.time() + 1.0


def test_an_event_and_whom_it_is_news_for_are_stored_together_or_not_at_all(store: Store) -> None:
    begin(store, rule())

    def interrupted() -> None:
        with store.ledger.turn("test") as turn:
            turn.save(0, b"", {}, [event()])
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        interrupted()
    assert list(store.ledger.events()) == []
    assert store.deliveries.states()[0].waiting == 0
    happen(store, event())
    assert store.deliveries.states()[0].waiting == 1


def test_many_changes_leave_one_mark_and_the_newest_is_told(store: Store) -> None:
    begin(store, rule())
    for number in range(20):
        happen(store, event(notes=(f"{number}",)))
    (notice,) = sendable(store, rule(), later(store))
    assert changes([notice]) == [[(OPENED, "e1")]]
    assert notice.news[0].event.notes == ("19",)
    assert notice.news[0].version == 20
    assert sendable(store, rule(), later(store)) == []


def test_an_event_that_came_and_went_is_told_as_opened_and_closed(store: Store) -> None:
    begin(store, rule())
    happen(store, event())
    happen(store, event(targets=("e1.example", "other.example")))
    happen(store, ended())
    (notice,) = sendable(store, rule(), later(store))
    assert changes([notice]) == [[(OPENED, "e1"), (CLOSED, "e1")]]
    assert [news.event.is_open for news in notice.news] == [True, False]


def test_who_was_never_told_is_not_told_that_it_ended(store: Store) -> None:
    begin(store, rule())
    happen(store, event(status=Status.UNCONFIRMED, confirmed=None))
    happen(store, ended(confirmed=None, reason="cleared"))
    happen(store, event("e2"))
    happen(store, event("e2", status=Status.WITHDRAWN, reason="revised"))
    assert sendable(store, rule(), later(store)) == []


def test_confirmation_is_awaited_or_told_at_once(store: Store) -> None:
    sure, all_of_it = rule(), rule("log", unconfirmed=True, update_every=DAY)
    begin(store, sure, all_of_it)
    happen(store, event(status=Status.UNCONFIRMED, confirmed=None))
    assert sendable(store, sure, later(store)) == []
    assert changes(sendable(store, all_of_it, later(store))) == [[(OPENED, "e1")]]
    happen(store, event())
    assert changes(sendable(store, sure, later(store))) == [[(OPENED, "e1")]]
    assert changes(sendable(store, all_of_it, later(store))) == [[(UPDATED, "e1")]]
    happen(store, event(notes=("more",)))
    assert changes(sendable(store, all_of_it, later(store))) == []  # it was told an hour ago at most
    assert changes(sendable(store, all_of_it, later(store) + DAY)) == [[(UPDATED, "e1")]]


def test_what_was_merged_goes_along_with_what_took_it_in(store: Store) -> None:
    begin(store, rule())
    happen(store, event("a", asns=(1,)), event("b", asns=(2,)))
    sendable(store, rule(), later(store))
    happen(
        store,
        event("a", asns=(1, 2), targets=("a.example", "b.example")),
        event("b", status=Status.WITHDRAWN, reason="merged", into="a"),
    )
    (notice,) = sendable(store, rule(), later(store))
    assert sorted(changes([notice])[0]) == sorted([(UPDATED, "a"), (CLOSED, "b")])


def test_what_moves_together_is_one_message(store: Store) -> None:
    begin(store, rule())
    happen(store, *(event(f"e{number}") for number in range(30)), event("ke", countries=("KE",)))
    assert [len(notice.news) for notice in sendable(store, rule(), later(store))] == [30, 1]
    happen(store, *(ended(f"e{number}") for number in range(30)), event("new"))
    assert sorted(len(notice.news) for notice in sendable(store, rule(), later(store))) == [1, 30]
    happen(store, *(event(f"m{number}") for number in range(MOST_NEWS + 1)))
    assert sorted(len(notice.news) for notice in sendable(store, rule(), later(store))) == [1, MOST_NEWS]


@pytest.mark.parametrize(
    ("filters", "heard"),
    [
        ({"countries": frozenset({"ET"})}, ["a", "o"]),
        ({"asns": frozenset({36926})}, ["b"]),
        ({"kinds": frozenset({Kind.OUTAGE})}, ["o"]),
        ({"categories": frozenset({"NEWS"})}, ["a", "o"]),
        ({"categories": frozenset({"GRP"})}, ["o"]),
        ({"changes": frozenset({CLOSED})}, []),
    ],
)
def test_a_filter_lets_pass_what_it_names(store: Store, filters: dict[str, Any], heard: list[str]) -> None:
    store.add(measurement(host="a.example"), ACCESSIBLE).result(10)  # of category NEWS
    picky = rule(**filters)
    begin(store, picky)
    happen(store, event("a"), event("b", countries=("KE",), asns=(36926,)), event("o", kind=Kind.OUTAGE, targets=()))
    told = [news.event.id for notice in sendable(store, picky, later(store)) for news in notice.news]
    assert sorted(told) == heard


def test_a_hook_that_hears_of_endings_only_hears_of_those_that_it_would_have_been_told_of(store: Store) -> None:
    only = rule(changes=frozenset({CLOSED}))
    begin(store, only)
    happen(store, event("a"), event("b", status=Status.UNCONFIRMED, confirmed=None))
    assert sendable(store, only, later(store)) == []
    happen(store, ended("a"), ended("b", reason="cleared", confirmed=None))
    assert changes(sendable(store, only, later(store))) == [[(CLOSED, "a")]]


def test_old_news_ring_for_nobody_but_the_end_is_told_to_who_knows(store: Store) -> None:
    begin(store, rule(oldest=2 * DAY))
    now = later(store)
    happen(store, event("imported", at=now - 30 * DAY), event("known", at=now))
    assert changes(sendable(store, rule(), later(store))) == [[(OPENED, "known")]]
    happen(store, ended("imported", at=now - 29 * DAY), ended("known", at=now - 29 * DAY))
    assert changes(sendable(store, rule(), later(store))) == [[(CLOSED, "known")]]


def test_quiet_hours_gather_and_urgent_kinds_break_through(store: Store) -> None:
    now = time.time()
    second = now % DAY
    quiet = Quiet((second - HOUR) % DAY, (second + HOUR) % DAY)
    asleep = rule(quiet=quiet, urgent=frozenset({Kind.OUTAGE}))
    begin(store, asleep)
    happen(store, event("a"), event("b", countries=("KE",)), event("o", kind=Kind.OUTAGE, targets=()))
    happen(store, ended("b"))
    assert changes(sendable(store, asleep, now + 1.0)) == [[(OPENED, "o")]]
    assert sendable(store, asleep, now + 1800.0) == []
    (notice,) = sendable(store, asleep, now + HOUR + 5.0)
    assert notice.digest
    assert changes([notice]) == [[(OPENED, "a"), (OPENED, "b"), (CLOSED, "b")]]


def test_a_flapping_place_cools_down(store: Store) -> None:
    calm = rule(cool_down=HOUR)
    begin(store, calm)
    now = later(store)
    happen(store, event("a1", targets=("a.example",)))
    sendable(store, calm, now)
    happen(store, ended("a1", targets=("a.example",)))
    assert changes(sendable(store, calm, now)) == [[(CLOSED, "a1")]]
    happen(store, event("a2", targets=("a.example",)), event("b", targets=("b.example",)))
    assert changes(sendable(store, calm, now + 60.0)) == [[(OPENED, "b")]]
    happen(store, ended("a2", targets=("a.example",)))
    happen(store, event("a3", targets=("a.example",)))
    assert changes(sendable(store, calm, now + 1800.0)) == []
    (notice,) = sendable(store, calm, now + HOUR + 1.0)
    assert notice.digest
    assert sorted(changes([notice])[0]) == sorted([(OPENED, "a2"), (CLOSED, "a2"), (OPENED, "a3")])


def test_a_message_that_was_given_up_leaves_the_hook_as_ignorant_as_before(store: Store) -> None:
    begin(store, rule())
    happen(store, event())
    now = later(store)
    store.deliveries.compose(rule(), now, 0.0)
    message = store.deliveries.message("phone", now, new=True)
    assert message is not None
    store.deliveries.give_up("phone", message.id, now, 0.0, "no route")
    assert store.deliveries.states()[0].given_up == 1
    happen(store, event(notes=("more",)))
    assert changes(sendable(store, rule(), later(store))) == [[(OPENED, "e1")]]


def test_news_that_wait_too_long_are_given_up_by_the_time_that_a_hook_was_ready(store: Store) -> None:
    begin(store, rule(give_up=DAY))
    happen(store, event())
    assert store.deliveries.compose(rule(give_up=DAY), later(store) + 365 * DAY, DAY + 1.0) == 1
    assert store.deliveries.message("phone", later(store) + 366 * DAY, new=True) is None
    happen(store, event("e2"))
    assert store.deliveries.compose(rule(give_up=DAY), later(store) + 365 * DAY, DAY - 1.0) == 0  # a clock was set
    assert store.deliveries.message("phone", later(store) + 366 * DAY, new=True) is not None


def test_a_hook_that_comes_back_hears_what_became_of_what_it_knows(store: Store) -> None:
    begin(store, rule())
    happen(store, event(), event("e2"))
    sendable(store, rule(), later(store))
    store.ledger.route((), lambda: None)
    happen(store, ended())
    begin(store, rule(), now=later(store))
    assert changes(sendable(store, rule(), later(store))) == [[(CLOSED, "e1")]]


def test_what_waits_for_an_alert_in_nobodys_settings_is_dropped_in_words(store: Store) -> None:
    begin(store, rule(), now=later(store))
    happen(store, event())
    now = later(store)
    store.deliveries.alive(["other"], now)
    assert store.deliveries.states()[0].waiting == 1
    store.deliveries.alive(["other"], now + LOST + DAY)
    assert store.deliveries.states()[0].waiting == 0


def test_one_of_two_programs_sends(url: str) -> None:
    if url.startswith("sqlite"):
        with open_store(url) as store:
            assert store.claims.hold("phone")
        return
    with open_store(url) as one, open_store(url) as two:
        assert one.claims.hold("phone")
        assert one.claims.hold("phone")
        assert not two.claims.hold("phone")
        assert two.claims.hold("mail")
        one.claims.release("phone")
        assert two.claims.hold("phone")
        two.close()
        assert one.claims.hold("mail")


@pytest.mark.postgres
def test_the_claim_of_a_program_that_was_killed_is_free_at_once(postgres_url: str) -> None:
    with open_store(postgres_url) as store:
        engine = create_engine(postgres_url.replace("postgresql://", "postgresql+psycopg://"))
        theirs = Claims(engine, "theirs")
        assert theirs.hold("phone")
        assert not store.claims.hold("phone")
        assert theirs._connection is not None
        theirs._connection.invalidate()  # as a kill does: the session is gone, once the server has seen it
        end = time.monotonic() + 5.0
        while not (held := store.claims.hold("phone")) and time.monotonic() < end:
            time.sleep(0.02)
        assert held
        theirs.close()
        engine.dispose()


@pytest.mark.postgres
def test_news_that_another_program_stores_are_sent_soon(postgres_url: str) -> None:
    """If one program counts and another one holds the claim, nobody wakes the one that sends."""
    with open_store(postgres_url) as one, open_store(postgres_url) as two:
        ear = Ear()
        box = Outbox(one)
        try:
            one.ledger.route([posting(ear).rule], box.wake)
            two.ledger.route([posting(ear).rule], lambda: None)
            box.use([posting(ear)])
            time.sleep(0.5)
            happen(two, event(at=time.time()))
            ear.wait(1, 5.0)
        finally:
            box.close()


@pytest.mark.postgres
def test_a_database_that_goes_away_loses_nothing_and_what_was_told_is_not_told_anew(
    postgres_server: postgres.Server, postgres_url: str
) -> None:
    """If the database is gone when a message was just delivered, that is marked once it is back."""
    with open_store(postgres_url) as store:
        ear = Ear(lambda notice: postgres_server.stop_at_once() if len(ear.tried) == 1 else None)
        box = Outbox(store, patience=Patience(first=0.1, poll=0.2, away=0.1, soon=0.1))
        try:
            store.ledger.route([posting(ear).rule], box.wake)
            box.use([posting(ear)])
            happen(store, event("a", at=time.time()))
            ear.wait(1)
            time.sleep(0.3)
            postgres_server.start()
            happen(store, event("b", at=time.time(), countries=("KE",)))
            ear.wait(2, 20.0)
            end = time.monotonic() + 10.0
            while store.deliveries.states()[0].waiting and time.monotonic() < end:
                time.sleep(0.05)
            assert changes(ear.tried) == [[(OPENED, "a")], [(OPENED, "b")]]
            assert store.deliveries.states()[0].waiting == 0
        finally:
            box.close()


Step = tuple[str, int]
STEPS = st.lists(
    st.tuples(st.sampled_from(["open", "update", "close", "send", "fail", "restart"]), st.integers(0, 3)), max_size=30
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS)
def test_whatever_happens_each_event_is_told_in_order_and_once(
    tmp_path_factory: pytest.TempPathFactory, steps: list[Step]
) -> None:
    """Events come, change and go; messages fail, are delivered, or their success is lost by a kill."""
    path = tmp_path_factory.mktemp("told") / "wazi.db"
    told: list[Notice] = []
    open_now: dict[int, int] = {}
    expected: dict[str, int] = {}
    with open_store(f"sqlite:///{path}") as store:
        begin(store, rule())
        now = later(store)

        def send(*, lost: bool) -> None:
            store.deliveries.compose(rule(), now, 0.0)
            for new in (False, True):
                while (message := store.deliveries.message("phone", now, new=new)) is not None:
                    assert message.notice is not None
                    told.append(message.notice)
                    if lost:
                        store.deliveries.failed("phone", message.id, now, 0.0, "lost", now + 1.0)
                    else:
                        store.deliveries.delivered("phone", message.id, now, 0.0, "ok")

        for step, (what, which) in enumerate(steps):
            now += 10.0
            name = f"e{which}"
            if what == "open" or (what in ("update", "close") and which not in open_now):
                fresh = event(name, notes=(f"{step}",))
                open_now[which] = expected[name] = step
                happen(store, fresh)
            elif what == "update":
                happen(store, event(name, notes=(f"{step}",)))
                expected[name] = step
            elif what == "close":
                happen(store, ended(name, notes=(f"{step}",)))
                expected[name] = step
                del open_now[which]
            elif what == "restart":
                store.deliveries.enter("phone", "1", now)
                store.deliveries.look_again("phone", now)
            else:
                send(lost=what == "fail")
        now += 10.0
        send(lost=False)
        now += 10.0
        send(lost=False)
        assert store.deliveries.states()[0].waiting == 0
    once = {notice.id: notice for notice in told}
    assert all(once[notice.id] == notice for notice in told)  # the same, however often it was tried
    last: dict[str, tuple[Change, int, Event]] = {}
    for notice in once.values():
        for news in notice.news:
            before = last.get(news.event.id)
            known = before is not None and before[0] is not CLOSED
            assert (news.change is OPENED) != known
            assert before is None or news.version > before[1]
            last[news.event.id] = (news.change, news.version, news.event)
    for name, step in expected.items():
        if name in last:
            assert last[name][2].notes == (f"{step}",)
