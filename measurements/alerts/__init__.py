"""Telling people: the hooks, one file each."""

from __future__ import annotations

from collections.abc import Callable

from measurements.alerts import alertmanager, command, feed, log, webhook
from measurements.alerts.notice import Hook

HOOKS: dict[str, Callable[..., Hook]] = {
    "alertmanager": alertmanager.alertmanager,
    "command": command.command,
    "feed": feed.feed,
    "log": log.log,
    "webhook": webhook.webhook,
}
