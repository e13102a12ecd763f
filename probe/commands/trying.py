"""`wazi alert test`: send a plainly marked test by each hook, and say what came back. It needs no store."""

from __future__ import annotations

import asyncio
import secrets
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from measurements.alerts.notice import HookFailed, Notice
from measurements.model import encode
from measurements.printable import clean
from probe.commands import logs
from probe.commands.building import load_settings
from probe.commands.console import FINE, FOUND, Common, Refusal, wants_colour, write, write_line

if TYPE_CHECKING:
    from probe.settings import Settings
    from probe.settings.alerts import Alert

SCHEMA = 1


@dataclass(frozen=True, slots=True)
class Came:
    """What came back from one hook."""

    alert: Alert
    fine: bool
    said: str
    seconds: float
    gone: bool = False
    retry_after: float | None = None


def try_alerts(common: Common, name: str | None, *, as_json: bool) -> int:
    """Try every `[[alert]]`, or those of one name or hook; return 0 when all took it, and else 1."""
    settings = load_settings(common)
    alerts = chosen(settings, name)
    logs.configure(common.verbose, for_people=True)
    return asyncio.run(_try_all(alerts, as_json))


def chosen(settings: Settings, name: str | None) -> Sequence[Alert]:
    """Return the alerts that are meant; raises Refusal when there is none."""
    alerts = settings.alerts
    if not alerts:
        raise Refusal("no [[alert]] is configured: nobody is told of events; docs/alerts.md says how")
    if name is None:
        return alerts
    found = [one for one in alerts if one.name == name] or [one for one in alerts if one.hook == name]
    if not found:
        raise Refusal(f"{clean(name, 100)} is the name of no [[alert]]; there are {', '.join(a.name for a in alerts)}")
    return found


async def _try_all(alerts: Sequence[Alert], as_json: bool) -> int:
    """Try them side by side, and tell of each as it ends."""
    colour = wants_colour(sys.stdout)
    is_fine = True
    for ending in asyncio.as_completed([_try(alert) for alert in alerts]):
        came = await ending
        is_fine = is_fine and came.fine
        if as_json:
            write_line(encode(_record(came)) + b"\n")
        else:
            write(_line(came, colour=colour))
    return FINE if is_fine else FOUND


async def _try(alert: Alert) -> Came:
    notice = Notice(id=secrets.token_hex(16), time=time.time(), news=())
    began = time.monotonic()
    try:
        said = await alert.make()(notice)
    except HookFailed as error:
        return Came(alert, False, str(error), time.monotonic() - began, error.gone, error.retry_after)
    except Exception as error:  # a hook's own mistake, whose text may hold anything
        return Came(alert, False, f"an error that should not be: {type(error).__name__}", time.monotonic() - began)
    return Came(alert, True, said, time.monotonic() - began)


def _record(came: Came) -> dict[str, object]:
    return {
        "schema": SCHEMA,
        "alert": came.alert.name,
        "hook": came.alert.hook,
        "fine": came.fine,
        "said": logs.struck(clean(came.said, 500)),
        "seconds": round(came.seconds, 3),
        "gone": came.gone,
        "retry_after": came.retry_after,
    }


def _line(came: Came, *, colour: bool) -> str:
    word = "fine  " if came.fine else "FAILED"
    painted = f"\x1b[{'32' if came.fine else '1;31'}m{word}\x1b[0m" if colour else word
    name = came.alert.name if came.alert.name == came.alert.hook else f"{came.alert.name} ({came.alert.hook})"
    return f"{painted}  {name}, {came.seconds:.1f} s: {logs.struck(clean(came.said, 500))}"
