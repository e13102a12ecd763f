"""A rehearsal: hours of `wazi run` lived through in minutes, while the censor comes and goes.

Times are hours since the rehearsal began, in its own faster time (`hurried`). What is done at an hour takes a moment,
which is minutes there: `change` returns from when until when it was done.
"""

from __future__ import annotations

import contextlib
import json
import signal
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from measurements.model import Vote
from measurements.store import Store, StoreError, open_store
from tests.lab.client import LabClient
from tests.lab.lab import WAZI
from tests.lab.scenario import Expect, Mechanism, Scenario

HOUR = 3600.0
TARGETS = ("facebook.com", "twitter.com", "news.example", "newer.example")
_SETTINGS = """
[vantage]
country = "ZZ"
asn = 64500

[store]
url = "{url}"

[[campaign]]
name = "rehearsal"
targets = {targets}
nettest = "web"
every = "{every}m"
jitter = "1m"
"""


@dataclass
class Rehearsal:
    """So many hours at so many times the computer's speed, counted from when it was made; `url` is the store.

    Without one it is an SQLite file in the lab's folder. `every` is in minutes; `more` are settings besides.
    """

    lab: LabClient
    hours: float
    speed: float = 240.0
    url: str = ""
    every: int = 15
    targets: Sequence[str] = TARGETS
    more: str = ""
    config: str = field(init=False)

    def __post_init__(self) -> None:
        self.meets = time.time() + self.hours * HOUR / self.speed
        self.begins = self.meets - self.hours * HOUR
        work = self.lab.work
        self.url = self.url or f"sqlite:///{work}/rehearsal-{self.begins:.0f}.db"
        usual = self.lab.config(control=True).read_text()
        network, control = usual.partition("[vantage]")[0], usual.partition("[control]")[2]
        targets = json.dumps([f"https://{name}/" for name in self.targets])
        own = _SETTINGS.format(url=self.url, targets=targets, every=self.every)
        file = work / f"rehearsal-{self.begins:.0f}.toml"
        file.write_text(f"{network}{own}\n[control]{control}\n{self.more}")
        self.config = str(file)
        self.change()

    @property
    def now(self) -> float:
        """The hour that it is."""
        return self.hour(self.meets - (self.meets - time.time()) * self.speed)

    def hour(self, moment: float) -> float:
        """Say what hour it is at a moment in UTC seconds of the rehearsal's time."""
        return (moment - self.begins) / HOUR

    def until(self, hour: float) -> None:
        """Wait until an hour."""
        time.sleep(max(0.0, (hour - self.now) * HOUR / self.speed))

    def wait_for(self, what: Callable[[Store], bool], hours: float) -> None:
        """Wait until something can be seen in the store, for so many hours at most."""
        last = self.now + hours
        while True:
            with contextlib.suppress(StoreError), open_store(self.url, read_only=True) as store:
                if what(store):
                    return
            assert self.now < last, f"it is not so after {hours} hours"
            time.sleep(0.3)

    def votes(self, store: Store) -> list[Vote]:
        """Return all votes that were cast, in order of time."""
        hosts = sorted({entry.host for entry in store.measurements()})
        return store.ledger.votes(hosts, since=self.begins, until=self.meets + 10 * HOUR, limit=100_000)

    def start(self, probe: str) -> None:
        """Start a probe."""
        argv = [sys.executable, "-m", "tests.lab.hurried", self.config, str(self.speed), str(self.meets)]
        self.lab.start(probe, "cli", argv, self._own(probe))

    def end(self, probe: str, how: int = signal.SIGTERM) -> int:
        """End a probe, and return its exit code."""
        return self.lab.end(probe, how)

    def change(self, *mechanisms: Mechanism) -> tuple[float, float]:
        """Have nobody interfere but these; return from what hour until when the change was made."""
        before = self.now
        expect = Expect(outcome="accessible")
        scenario = Scenario(name="act", about="", mechanisms=mechanisms, expect=expect, seen="")
        self.lab.apply(scenario, control=True)
        return before, self.now

    def wazi(self, *arguments: str, probe: str = "") -> str:
        """Run a command as a user does, in the computer's own time, and return what it prints; as `probe`'s owner."""
        own = ["env", *(f"{name}={value}" for name, value in self._own(probe).items())] if probe else []
        code, out, errors = self.lab.run("cli", [*own, *WAZI, "--config", self.config, *arguments])
        assert code == 0, out + errors
        return out

    def _own(self, probe: str) -> dict[str, str]:
        """Return the environment of a probe: its name, and the folder where it keeps what is its own."""
        return {"WAZI_VANTAGE__PROBE_ID": probe, "XDG_DATA_HOME": f"{self.lab.work}/data-{probe}"}

    def events(self) -> list[dict[str, Any]]:
        """Return all events, the oldest first, with brackets in hours."""
        return [json.loads(line) for line in self.wazi("events", "--all", "--json").splitlines()][::-1]
