"""The lab as a whole, inside its namespaces: start, apply a scenario, run a command in it, stop."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.lab import pki, settings, topology
from tests.lab.home_faults import Run
from tests.lab.mechanisms import Interference
from tests.lab.scenario import Deed, Scenario
from tests.lab.servers import Servers, wait_for
from tests.lab.spaces import LabError, Process, Spaces, check, privatise, require_packages
from tests.lab.topology import CONTROL, ISP_RESOLVER, PUBLIC_RESOLVERS

# The command that is put to the test; LAB_WAZI may name another, such as one that is installed.
WAZI = shlex.split(os.environ.get("LAB_WAZI", "")) or [sys.executable, "-m", "probe.cli"]


@dataclass(frozen=True, slots=True)
class Ran:
    """A command that ended."""

    code: int
    out: str
    err: str


class Lab:
    """A censored country. Use as a context manager, inside namespaces of its own (`spaces.enter`)."""

    def __init__(self, work: Path) -> None:
        require_packages()
        self.work = work
        self.spaces = Spaces(work)
        self._control: Process | None = None
        self._started: dict[str, Process] = {}
        self._run = Run()

    def __enter__(self) -> Lab:
        started = time.monotonic()
        privatise()
        self.work.mkdir(parents=True, exist_ok=True)
        self._own_resolv_conf()
        topology.build(self.spaces)
        self.pki = pki.make(self.work / "pki")
        settings.write(self.work, self.pki)
        self.servers = Servers(self.spaces, self.pki)
        self.interference = Interference(self.spaces, self.servers, self.pki)
        self.start_seconds = time.monotonic() - started
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._started.values():
            process.stop()
        self.interference.clear()
        if self._control:
            self._control.stop()
        self.servers.stop()
        for name in topology.NODES:
            check(["ip", "netns", "del", name])

    def _own_resolv_conf(self) -> None:
        ours = self.work / "resolv.conf"
        ours.write_text(f"nameserver {ISP_RESOLVER}\noptions timeout:2 attempts:1\n")
        check(["mount", "--bind", str(ours), "/etc/resolv.conf"])

    def apply(self, scenario: Scenario, *, control: bool, seed: int = 0) -> None:
        """Make a scenario true; with `control`, see that the control runs. Where lots are drawn, `seed` draws them."""
        if control:
            self.start_control()
        self._run = scenario.run
        self.interference.apply(scenario, seed=seed)

    def start_control(self) -> None:
        """Start `wazi control serve` where nobody censors, unless it runs."""
        if self._control and self._control.alive():
            return
        address, port = CONTROL, settings.CONTROL_PORT
        argv = [*WAZI, "--config", str(self.work / "control.toml"), "control", "serve", "--listen", f"{address}:{port}"]
        argv += ["--tls", f"{address}:443", "--give", "65536"]  # one client, and many scenarios an hour
        self._control = self.spaces.spawn("ctl", argv, log="control.log")
        try:
            wait_for(self.spaces, "ctl", address, port, patience=15)
        except LabError as error:
            raise LabError(f"the control does not start:\n{self._control.tail()}") from error

    def deeds(self) -> list[Deed]:
        """Return what was done to the traffic since the last `apply`, as those who did it recorded it."""
        return self.interference.deeds()

    def run(self, where: str, argv: Sequence[str], *, timeout: float = 30, env: Mapping[str, str] | None = None) -> Ran:
        """Run a command in a namespace, with the lab's folders as its home."""
        try:
            done = self.spaces.run(where, argv, timeout=timeout, env=self._home() | dict(env or {}))
        except subprocess.TimeoutExpired as error:
            raise LabError(f"{shlex.join(argv)} still ran after {timeout:.0f} s") from error
        return Ran(done.returncode, done.stdout, done.stderr)

    def start(self, name: str, where: str, argv: Sequence[str], env: Mapping[str, str]) -> None:
        """Start a command that goes on in a namespace until it is told to `end`; NAME.log holds what it writes."""
        if name in self._started:
            raise LabError(f"{name} was started before")
        self._started[name] = self.spaces.spawn(where, argv, log=f"{name}.log", env=self._home() | dict(env))

    def end(self, name: str, how: int) -> int:
        """End by a signal what was started; return its exit code. It may take 15 s."""
        return self._started.pop(name).stop(how, 15)

    def _home(self) -> dict[str, str]:
        home = str(self.work / "home")
        return {"HOME": home, "XDG_DATA_HOME": f"{home}/data", "XDG_CONFIG_HOME": f"{home}/config"}

    def look(self, where: str, url: str, address: str | None = None) -> str:
        """Return what a plain client sees of `url`, in the censored home (`cli`) or beside the control (`ctl`)."""
        told = dict(self._run.environment).get("WAZI_NETWORK__RESOLVER", f"[{ISP_RESOLVER}]:53")
        resolver = told[1:].partition("]")[0] if where == "cli" else PUBLIC_RESOLVERS[0]
        ran = self.run(
            where, [sys.executable, "-m", "tests.lab.look", resolver, str(self.pki.ca), url, *filter(None, [address])]
        )
        if ran.code:
            raise LabError(ran.err)
        return ran.out.strip()

    def wazi(self, *arguments: str, control: bool, timeout: float = 240) -> Ran:
        """Run the `wazi` command in the censored home, as a user does, in the way that the scenario says."""
        config = self.work / settings.config_name(control=control)
        argv = [*self._run.wrapper, *WAZI, "--config", str(config), *arguments]
        return self.run("cli", argv, timeout=timeout, env=dict(self._run.environment))

    def check(self, url: str, *, control: bool, nettest: str = "web") -> dict[str, object]:
        """Return the line that `wazi check --json` prints about `url`, and its exit code and stderr besides."""
        ran = self.wazi("check", "--json", "--nettest", nettest, url, control=control)
        lines = ran.out.splitlines()
        if len(lines) != 1:
            raise LabError(
                f"wazi check ended with {ran.code}, printed {len(lines)} lines, and said:\n{ran.err[-4000:]}"
            )
        line: dict[str, object] = json.loads(lines[0])
        return line | {"exit_code": ran.code, "stderr": ran.err[-4000:]}
