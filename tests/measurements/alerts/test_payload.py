"""A notice as JSON: what programs rely on, and never more than fits."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from measurements.alerts.notice import Change, News, Notice
from measurements.alerts.payload import SMALL, encode, kind
from measurements.alerts.routing import MOST_NEWS
from measurements.events.nouns import Kind
from tests.measurements.alerts.notices import PUBLIC_URL, a_test, confirmed, event, hostile, notice


def read(told: Notice, most: int | None = None) -> dict[str, Any]:
    decoded: dict[str, Any] = msgspec.json.decode(encode(told, most))
    return decoded


def test_a_notice_is_a_frame_with_events() -> None:
    said = read(notice(event(), public_url=PUBLIC_URL))
    assert {name: said[name] for name in ("schema", "type", "timestamp", "id")} == {
        "schema": 1,
        "type": "event.opened",
        "timestamp": "2025-11-25T06:21:00Z",
        "id": "4f1c" * 8,
    }
    data = said["data"]
    assert data["title"].startswith("Wazi: facebook.com")
    assert data["link"] == f"{PUBLIC_URL}/events/{'adf48fdc' * 4}" == data["events"][0]["link"]
    assert (data["digest"], data["left_out"]) == (False, 0)
    [one] = data["events"]
    assert (one["change"], one["version"], one["status"], one["target"]) == ("opened", 1, "unconfirmed", "facebook.com")
    assert one["onset_text"] == ["2025-11-25T06:00:00Z", "2025-11-25T06:20:00Z"]
    assert one["witnesses"] == ["0123456789abcdef" * 2]


def test_no_probe_is_named() -> None:
    assert b"kanari-probe" not in encode(notice(event()))
    assert read(notice(event()))["data"]["events"][0]["probe_count"] == 1


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        (notice(event()), "event.opened"),
        (notice(event(), event("b" * 32), change=Change.CLOSED), "event.closed"),
        (
            Notice(
                id="1",
                time=0.0,
                news=tuple(News(change=c, event=event(), version=1) for c in (Change.OPENED, Change.UPDATED)),
            ),
            "event.changed",
        ),
        (a_test(), "test"),
    ],
)
def test_the_type_tells_what_is_new(told: Notice, expected: str) -> None:
    assert kind(told) == expected


def test_what_fits_is_whole() -> None:
    told = notice(event(), public_url=PUBLIC_URL)
    assert encode(told, SMALL) == encode(told)
    assert read(a_test())["data"]["events"] == []


@pytest.mark.parametrize("count", [1, 2, 10, 40, 300])
@pytest.mark.parametrize("targets", [1, 50, 400])
def test_a_message_is_never_too_large_and_says_what_is_missing(count: int, targets: int) -> None:
    names = tuple(f"site{number}.example" for number in range(targets))
    told = notice(*(confirmed(f"{number:032x}", targets=names) for number in range(count)))
    data = encode(told, SMALL)
    assert len(data) < SMALL
    said = msgspec.json.decode(data)["data"]
    assert len(said["events"]) + said["left_out"] == count
    assert said["events"]
    for one in said["events"]:
        if one.get("brief"):
            continue
        assert len(one["targets"]) + one["left_out"].get("targets", 0) == targets
        assert len(one["parts"]) + one["left_out"].get("parts", 0) == targets


def test_of_as_many_events_as_one_message_may_have_none_is_left_out() -> None:
    """An event of which a receiver never hears would be lost to it."""
    targets = tuple(f"{'long-' * 12}{number}.example" for number in range(40))
    parts = {"kind": Kind.UNREACHABLE, "targets": targets, "asns": (4_294_967_295,), "opened": 1_764_050_400.123456}
    told = notice(*(event(f"{number:032x}", **parts) for number in range(MOST_NEWS)), public_url=PUBLIC_URL)
    data = encode(told, SMALL)
    assert len(data) < SMALL
    said = msgspec.json.decode(data)["data"]
    assert said["left_out"] == 0
    assert [one["id"] for one in said["events"]] == [news.event.id for news in told.news]
    assert {(one["change"], one["status"], one["asn"]) for one in said["events"]} == {
        ("opened", "unconfirmed", 4_294_967_295)
    }


def test_hostile_texts_fit_too() -> None:
    huge = confirmed(summary='\\"' * 50_000, targets=("\x01" * 30_000,), notes=("é" * 20_000,) * 30)
    for told in (notice(huge), notice(*[huge] * 50), notice(hostile())):
        assert len(data := encode(told, SMALL)) < SMALL
        assert msgspec.json.decode(data)["data"]["events"]
