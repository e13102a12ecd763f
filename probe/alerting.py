"""Alerts in a running probe: from settings to the outbox, and what `wazi status` says of them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

from measurements.alerts.outbox import Outbox, Posting
from measurements.alerts.secrets import Secret
from measurements.model import Outcome
from measurements.printable import clean, plural
from measurements.store import Store
from measurements.store.deliveries import HookState
from probe.clocks import Tempo
from probe.present import moment
from probe.settings import Settings
from probe.settings.alerts import Alert

QUIET = 120.0  # seconds without a measurement, after which the next one that works may mean that the network is back


class Alerting:
    """Sends what the events of a store are news for, until it is closed. Any thread may call it."""

    def __init__(self, store: Store, tempo: Tempo) -> None:
        self._store, self._tempo = store, tempo
        self._outbox = Outbox(store, now=lambda: tempo.read().wall, clock=lambda: tempo.read().boottime)
        self._worked: float | None = None

    def use(self, settings: Settings) -> None:
        """Send by these settings from now on; waits for attempts that go on, a few seconds at most."""
        postings = [posting(alert, settings.web.public_url or "") for alert in settings.alerts]
        self._store.ledger.route([one.rule for one in postings], self._outbox.wake)
        self._outbox.use(postings)

    def measured(self, outcome: Outcome) -> None:
        """Hear of a measurement: when the network works again, what could not be sent is tried at once."""
        if outcome is Outcome.INVALID:
            self._worked = None
            return
        now, before = self._tempo.read().boottime, self._worked
        self._worked = now
        if before is None or now - before > QUIET:
            self._outbox.try_soon()

    def close(self) -> None:
        """Stop sending."""
        self._outbox.close()

    def __enter__(self) -> Alerting:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def posting(alert: Alert, public_url: str) -> Posting:
    """Return what the outbox must know of an alert."""
    return Posting(rule=alert.rule, setting=digest(alert), make=alert.make, public_url=public_url)


def digest(alert: Alert) -> str:
    """Return what changes when a hook's options do, and tells nothing of them to whoever reads the database."""
    options = "\0".join(f"{name}={_revealed(alert.options[name])}" for name in sorted(alert.options))
    text = f"{alert.hook}\0{options}"
    return hashlib.scrypt(text.encode(), salt=f"wazi:{alert.name}".encode(), n=1 << 14, r=8, p=1, dklen=16).hex()


def _revealed(value: object) -> str:
    if isinstance(value, Secret):
        return value.reveal()
    if isinstance(value, tuple):
        return "\n".join(map(_revealed, value))
    return str(value) if isinstance(value, str | int | float) or hasattr(value, "__fspath__") else type(value).__name__


def alert_lines(alerts: Sequence[Alert], states: Sequence[HookState]) -> list[str]:
    """Say how each alert is, and of what is no longer in the settings that something waits for it."""
    known = {state.name: state for state in states}
    lines = [_line(alert.name, alert.hook, known.get(alert.name)) for alert in alerts]
    lines += [
        f"{clean(state.name)}: in the settings no more; news of {plural(state.waiting, 'event')} wait for it, and are "
        "dropped after a week"
        for state in states
        if state.waiting and state.name not in {alert.name for alert in alerts}
    ]
    return [f"{'alerts  ' if number == 0 else '        '} {line}" for number, line in enumerate(lines)]


def _line(name: str, hook: str, state: HookState | None) -> str:
    head = clean(name) if name == hook else f"{clean(name)} ({hook})"
    if state is None:
        return f"{head}: not used yet"
    said = [f"last delivered {moment(state.delivered)}" if state.delivered else "nothing was delivered yet"]
    if state.waiting:
        since = f" since {moment(state.since)}" if state.since is not None else ""
        said.append(f"news of {plural(state.waiting, 'event')} wait{since}")
    if state.given_up:
        said.append(f"news of {plural(state.given_up, 'event')} were given up")
    if state.disabled:
        said.append(f"SWITCHED OFF until its settings change: {clean(state.disabled)}")
    elif state.failing is not None:
        said.append(f"FAILING since {moment(state.failing)}: {clean(state.why)}")
    return f"{head}: {'; '.join(said)}"


def alert_records(alerts: Sequence[Alert], states: Sequence[HookState]) -> list[Mapping[str, object]]:
    """Say the same for programs: one record for each hook that is in the settings, or that something waits for."""
    hooks = {alert.name: alert.hook for alert in alerts}
    known = {state.name: state for state in states}
    shown = [*hooks, *(state.name for state in states if state.waiting and state.name not in hooks)]
    return [
        {
            "name": name,
            "hook": hooks.get(name),
            "waiting": state.waiting,
            "waiting_since": state.since,
            "last_delivered": state.delivered,
            "answer": state.answer,
            "failing_since": state.failing,
            "why": state.why,
            "disabled": state.disabled or None,
            "given_up": state.given_up,
        }
        for name in shown
        for state in [known.get(name) or HookState(name=name)]
    ]
