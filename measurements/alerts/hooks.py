"""The hooks by name, one file each. Apart from the rest of alerts, since they load what speaks on a network."""

from __future__ import annotations

from collections.abc import Callable

from measurements.alerts import alertmanager, apprise, command, feed, log, webhook
from measurements.alerts.notice import Hook

HOOKS: dict[str, Callable[..., Hook]] = {
    "alertmanager": alertmanager.alertmanager,
    "apprise": apprise.apprise,
    "command": command.command,
    "feed": feed.feed,
    "log": log.log,
    "webhook": webhook.webhook,
}
