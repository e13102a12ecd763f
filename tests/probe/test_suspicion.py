from collections import Counter

import msgspec
import pytest

from measurements.model import (
    AnyObservation,
    Failure,
    HttpExchange,
    Measurement,
    Preconditions,
    Purpose,
    Target,
    Vantage,
    View,
)
from probe.schedule import DAY
from probe.suspicion import KEPT, Pace, Paces, pace, sample, suspicious

URL = "https://t0.example/"
TARGET = Target(url=URL, scheme="https", host="t0.example", port=443)


def page(size: int = 16_384, seconds: float = 0.5, thinking: float = 0.2, **changes: object) -> HttpExchange:
    made = HttpExchange(
        id=1,
        url=URL,
        status=200,
        wire_bytes=size,
        elapsed=thinking + seconds,
        phases=(
            ("http11.send_request_headers.complete", 0.01),
            ("http11.receive_response_headers.complete", thinking),
            ("http11.receive_response_body.complete", thinking + seconds),
        ),
    )
    return msgspec.structs.replace(made, **changes)


def seen(*steps: AnyObservation, reason: str | None = None) -> Measurement:
    return Measurement(
        id="0" * 32,
        sequence=1,
        nettest="web",
        target=TARGET,
        vantage=Vantage(probe_id="p1"),
        started=0.0,
        preconditions=Preconditions(reason=reason),
        observations=steps,
    )


def rate(*steps: HttpExchange) -> float | None:
    found = pace(seen(*steps))
    return None if found is None else found.rate


def test_the_pace_of_a_page_is_that_of_its_body() -> None:
    assert rate(page(16_000, 0.5, thinking=3.0)) == pytest.approx(32_000)
    assert rate(page(16_000, 0.5, phases=())) == pytest.approx(16_000 / 0.7), "over HTTP/3 no phases are known"
    assert rate(page(16_000, 0.001)) == pytest.approx(160_000), "a page that came at once is not infinitely fast"


def test_pages_without_a_pace() -> None:
    assert rate() is None
    assert rate(page(7_000)) is None
    assert rate(page(failure=Failure.TIMEOUT)) is None
    assert rate(page(view=View.CONTROL)) is None
    assert rate(page(view=View.FOLLOW_UP, purpose=Purpose.TARGET_AT_WITNESS)) is None


def test_the_last_page_counts_and_long_reads_are_a_kind_of_their_own() -> None:
    found = pace(seen(page(300_000, 1.0), page(16_000, 1.0)))
    assert found == Pace(pytest.approx(16_000), full=False)  # type: ignore[arg-type]
    found = pace(seen(page(16_000, 1.0), page(300_000, 1.0)))
    assert found == Pace(pytest.approx(300_000), full=True)  # type: ignore[arg-type]


def test_a_page_a_quarter_as_fast_as_usual_is_suspicious_once_the_usual_is_known() -> None:
    usual = [100_000.0, 120_000.0, 90_000.0, 110_000.0, 5_000.0]
    assert suspicious(seen(page(16_000, 0.65)), usual) == "slow"
    assert suspicious(seen(page(16_000, 0.60)), usual) is None
    assert suspicious(seen(page(16_000, 0.65)), usual[:4]) is None
    assert suspicious(seen(), usual) is None


@pytest.mark.parametrize(
    ("size", "failure", "found"),
    [
        (16_000, Failure.TIMEOUT, "stalled"),
        (10_000, Failure.EOF, "stalled"),
        (25_000, Failure.TIMEOUT, "stalled"),
        (9_999, Failure.TIMEOUT, None),
        (25_001, Failure.TIMEOUT, None),
        (16_000, Failure.CONNECTION_RESET, None),
        (16_000, Failure.INTERRUPTED, None),
        (16_000, None, None),
    ],
)
def test_a_page_that_stops_after_10_to_25_kb_is_suspicious_at_once(
    size: int, failure: Failure | None, found: str | None
) -> None:
    assert suspicious(seen(page(size, 9.0, failure=failure)), ()) == found


def test_a_network_that_cannot_be_judged_raises_no_suspicion() -> None:
    assert suspicious(seen(page(failure=Failure.TIMEOUT), reason="offline"), ()) is None


def test_the_past_is_small_and_of_its_kind_and_can_be_forgotten() -> None:
    paces = Paces()
    for number in range(50):
        paces.learn(URL, Pace(float(number), full=False))
    paces.learn(URL, Pace(7.0, full=True))
    assert list(paces.of(URL, full=False)) == [float(number) for number in range(50 - KEPT, 50)]
    assert list(paces.of(URL, full=True)) == [7.0]
    assert list(paces.of("https://other.example/", full=True)) == []
    paces.forget(URL)
    assert list(paces.of(URL, full=False)) == list(paces.of(URL, full=True)) == []


def targets(count: int) -> list[Target]:
    names = [f"t{number}.example" for number in range(count)]
    return [Target(url=f"https://{name}/", scheme="https", host=name, port=443) for name in names]


def test_a_few_targets_a_day_are_drawn_at_times_spread_over_the_day() -> None:
    day = 20_000 * DAY
    drawn = sample(targets(60), 4, day + 5000, "seed")
    assert [int((when - day) // (DAY / 4)) for when, _ in drawn] == [0, 1, 2, 3]
    assert len({target.url for _, target in drawn}) == 4
    assert sample(list(reversed(targets(60))), 4, day + 70_000, "seed") == drawn, "a restart draws the same"
    assert sample(targets(60), 4, day + DAY, "seed") != drawn
    assert sample(targets(60), 4, day, "other") != drawn
    assert sample(targets(2), 4, day, "seed")[0][0] < day + DAY / 2
    assert sample(targets(60), 0, day, "seed") == ()
    assert sample([], 4, day, "seed") == ()


def test_every_target_has_its_turn() -> None:
    days = [sample(targets(20), 3, day * DAY, "seed") for day in range(200)]
    drawn = Counter(target.url for day in days for _, target in day)
    assert len(drawn) == 20
    assert min(drawn.values()) > 10
