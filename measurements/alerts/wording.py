"""What an alert says: a title for a phone's lock screen, and a text that fits a message; pure.

It says what, where and since when, how sure that is, and what to do next. It never says who ordered it, gives no odds
of censorship, and asks that a person looks before anything is published. What is over, or was taken back, is said as
plainly as what began, for whoever was told of a block must be told that there was none. No probe is named.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from measurements.alerts.notice import Change, News, Notice
from measurements.events.nouns import Event, Kind, Status
from measurements.events.telling import HELD, claim
from measurements.printable import clean, clip, columns, plural

TITLE = 80  # columns
TEXT = 600
SHORT_ID = 8  # of an id: enough for `wazi events`
TEST_TITLE = "TEST: nothing happened (Wazi)"
TEST_TEXT = (
    "TEST: nothing happened. Somebody tried whether alerts of Wazi arrive here. They do; there is nothing to do."
)

_LINE = 260  # of the sentence of one event
_BRIEF = 110  # of one event among several
_CONFIRMED = (
    "Confirmed: there is enough evidence to keep the promise of {:g} false {} a week at most, on average. That is not "
    "the odds of censorship."
)
_CONFIRMED_OUTAGE = "Confirmed: what was tried later failed too. Of how far it reaches, one probe says nothing."
_UNCONFIRMED = "Not confirmed: it may be a false alarm; a confirmation or an all-clear follows."
_MEANING = "Not confirmed: it may be a false alarm. Confirmed is not the odds of censorship, nor who is behind it."
_WITHOUT_A_CAUSE = (Kind.UNREACHABLE, Kind.BLIND, Kind.OUTAGE)
_NOT_SETTLED = "Whether the site, the way to it or somebody is the cause is not settled."
_OVER = {
    "ended": "It is over: access is as before.",
    "cleared": "We took this back: later votes spoke against it before it was sure.",
    "merged": "This is no event of its own any more: it is part of event {into}, which goes on by itself.",
    "revised": "We took this back: votes that came late showed it otherwise. Tell those whom you told.",
}
_MARKS = {
    "ended": "over: ",
    "cleared": "cleared: ",
    "merged": "merged: ",
    "revised": "taken back: ",
}
_DO_NOT_PUBLISH = "Do not publish before a person has looked."


def title(notice: Notice) -> str:
    """Return one line of at most 80 columns: what, where and how sure, or how many events have news."""
    if is_test(notice):
        return TEST_TITLE
    news = _newest(notice)
    if len(news) == 1:
        return _headline(news[0].event)
    kind = "Wazi digest" if notice.digest else "Wazi"
    counted = ", ".join(f"{number} {change}" for change, number in _counts(news))
    return clip(f"{kind}: {plural(len(news), 'event')} ({counted or 'no news'})", TITLE)


def text(notice: Notice) -> str:
    """Return a few lines of at most about 600 characters: what, since when, how sure, and what to do next."""
    if is_test(notice):
        return TEST_TEXT
    news = _newest(notice)
    lines = _one(news[0].event) if len(news) == 1 else _several(notice, news)
    return "\n".join([*lines, *filter(None, [page(notice)])])


def page(notice: Notice) -> str:
    """Return where the evidence can be seen, or "" without a public address: of its event, or of all of them."""
    if not notice.public_url or is_test(notice):
        return ""
    news = _newest(notice)
    return link(notice, news[0].event) if len(news) == 1 else f"{notice.public_url}/events"


def link(notice: Notice, event: Event) -> str:
    """Return where one event can be seen, or "" without a public address."""
    return f"{notice.public_url}/events/{event.id}" if notice.public_url else ""


def is_test(notice: Notice) -> bool:
    """Whether a notice is a test: it names no event, or says of each that nothing happened."""
    return all(news.change is Change.TEST for news in notice.news)


def _headline(event: Event) -> str:
    """Say an event in one line, in which how sure it is, or that it is over, is never cut off."""
    before = f"Wazi: {_mark(event)}"
    after = {Status.CONFIRMED: " (confirmed)", Status.UNCONFIRMED: " (not confirmed)"}.get(event.status, "")
    room = TITLE - columns(before) - columns(after)
    whole = (clean(claim(event, most), 1000) for most in (4, 3, 2))
    said = next((words for words in whole if columns(words) <= room), None) or clean(claim(event, 2), 1000)
    return f"{before}{clip(said, room)}{after}"


def _mark(event: Event) -> str:
    """Say in front what became of an event that is not open."""
    return "" if event.is_open else _MARKS.get(event.reason, "over: ")


def _one(event: Event) -> list[str]:
    lines = [clean(event.summary, _LINE) or clean(claim(event), _LINE)]
    if event.is_open:
        lines += [*_how(event), *_sure(event)]
        lines.append(f"Next: wazi events {event.id[:SHORT_ID]}; for the evidence as a page, {_report(event)}.")
        return [*lines, _DO_NOT_PUBLISH]
    lines.append(_OVER.get(event.reason, _OVER["ended"]).format(into=event.into[:SHORT_ID]))
    if event.reason == "ended" and event.confirmed is None:
        lines.append("It was never confirmed.")
    shown = event.into if event.reason == "merged" else event.id
    return [*lines, f"More: wazi events {shown[:SHORT_ID]}"]


def _how(event: Event) -> list[str]:
    """Say by what, where that is known."""
    names = list(dict.fromkeys(clean(name, 40) for name, _ in event.mechanisms))
    return [f"How: {', '.join(names[:3])}{' and more' if len(names) > 3 else ''}."] if names else []


def _sure(event: Event) -> list[str]:
    """Say what is known of the odds, and what is not settled."""
    rate = event.false_alarms_per_week
    words = _CONFIRMED.format(rate, "alarm" if rate == 1 else "alarms")
    if event.kind is Kind.OUTAGE:
        words = _CONFIRMED_OUTAGE
    if event.status is Status.UNCONFIRMED:
        words = " ".join(filter(None, (_UNCONFIRMED, HELD.get(event.reason))))
    return [words, *([_NOT_SETTLED] if event.kind in _WITHOUT_A_CAUSE else [])]


def _report(event: Event) -> str:
    return f"wazi report {event.id[:SHORT_ID]} --pdf"


def _newest(notice: Notice) -> list[News]:
    """Return the last that is said of each event: one that came and went is told as over."""
    return list({news.event.id: news for news in notice.news}.values())


def _several(notice: Notice, newest: Sequence[News]) -> list[str]:
    """List as many events as there is room for, the sure ones first, and say what the words mean."""
    meaning = (
        "Not confirmed: it may be a false alarm. Confirmed is not the odds of censorship, and does not say who did it."
    )
    tail = [meaning, f"Next: wazi events ID; wazi report ID --pdf. {_DO_NOT_PUBLISH}"]
    room = TEXT - sum(len(line) + 1 for line in tail) - len(page(notice))
    ranked = sorted(newest, key=lambda news: _RANK.index(news.event.status))
    lines: list[str] = []
    for number, news in enumerate(ranked):
        line = _brief(news.event)
        rest = len(ranked) - number
        if room - len(line) - 1 < (40 if rest > 1 else 0):
            lines.append(f"… and {plural(rest, 'more event')}: wazi events --all")
            break
        room -= len(line) + 1
        lines.append(line)
    return lines + tail


_RANK = (Status.CONFIRMED, Status.WITHDRAWN, Status.CLOSED, Status.UNCONFIRMED)


def _brief(event: Event) -> str:
    sure = {Status.CONFIRMED: " (confirmed)", Status.UNCONFIRMED: " (not confirmed)"}.get(event.status, "")
    return f"{event.id[:SHORT_ID]} {clip(_mark(event) + clean(claim(event, 2), 400), _BRIEF - len(sure))}{sure}"


def _counts(news: Iterable[News]) -> list[tuple[str, int]]:
    """Count what is new, in the order of the words."""
    counts = dict.fromkeys((Change.OPENED, Change.UPDATED, Change.CLOSED), 0)
    for one in news:
        if one.change in counts:
            counts[one.change] += 1
    return [(str(change), number) for change, number in counts.items() if number]
