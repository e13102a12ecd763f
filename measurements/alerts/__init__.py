"""Telling people: the hooks, one file each."""

from __future__ import annotations

from collections.abc import Callable

from measurements.alerts import command, log, webhook
from measurements.alerts.notice import Hook

HOOKS: dict[str, Callable[..., Hook]] = {
    "command": command.command,
    "log": log.log,
    "webhook": webhook.webhook,
}
