"""A line in the log for each event that has news, where the log is read by a program anyway."""

from __future__ import annotations

from measurements.alerts.notice import Hook, Notice
from measurements.alerts.wording import link, text, title
from measurements.printable import clean

LEVELS = ("debug", "info", "warning", "error")


def log(*, level: str = "warning") -> Hook:
    """Write to the log at `level`, with the event's names of `wazi events --json`."""
    if level not in LEVELS:
        raise ValueError(f"level must be one of {', '.join(LEVELS)}")

    import structlog  # late: settings are also read where nothing is logged

    say = getattr(structlog.get_logger("wazi.alerts"), level)

    async def write(notice: Notice) -> str:
        if not notice.news:
            say("alert", title=title(notice), text=text(notice), notice_id=notice.id)
        for news in notice.news:
            event = news.event
            say(
                "alert",
                title=title(notice),
                summary=clean(event.summary, 1000),
                change=str(news.change),
                event_id=event.id,
                version=news.version,
                kind=str(event.kind),
                status=str(event.status),
                reason=clean(event.reason, 40) or None,
                countries=[clean(country, 40) for country in event.countries],
                asns=list(event.asns),
                targets=[clean(target, 260) for target in event.targets[:20]],
                link=link(notice, event) or None,
                notice_id=notice.id,
            )
        return f"{max(1, len(notice.news))} written"

    return write
