"""A lab from outside: starts `daemon` in namespaces of its own and speaks to it over a pipe."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from tests.lab.scenario import Deed, Scenario
from tests.lab.settings import config_name
from tests.lab.spaces import INSIDE, LabError, environment, require_packages, unshare_command


class LabClient:
    """One running lab; `work` becomes its folder. `rootless` puts it in a user namespace though we are root."""

    def __init__(self, work: Path, *, rootless: bool = False) -> None:
        require_packages()
        self.work = work
        argv = unshare_command([sys.executable, "-m", "tests.lab.daemon", str(work)], rootless=rootless)
        with (work / "daemon.log").open("wb") as log:
            self._process = subprocess.Popen(
                argv,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env=environment(**{INSIDE: "1"}),
                start_new_session=True,  # Ctrl-C is for whoever started the lab, who then ends it
            )
        try:
            self.start_seconds: float = self._receive()
        except LabError:
            self.close()
            raise

    def _receive(self) -> Any:
        assert self._process.stdout
        line = self._process.stdout.readline()
        if not line:
            raise LabError(f"the lab died:\n{(self.work / 'daemon.log').read_text()[-4000:]}")
        reply = json.loads(line)
        if "error" in reply:
            raise LabError(reply["error"])
        return reply["value"]

    def _ask(self, **command: object) -> Any:
        assert self._process.stdin
        try:
            self._process.stdin.write(json.dumps(command) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            pass  # it died; what it said last tells more
        return self._receive()

    def config(self, *, control: bool) -> Path:
        """Return the probe's settings file."""
        return self.work / config_name(control=control)

    def apply(self, scenario: Scenario, *, control: bool = False, seed: int = 0) -> None:
        """Make a scenario true, from a clean state; the same `seed` draws the same lots, where lots are drawn."""
        self._ask(apply=msgspec.to_builtins(scenario), control=control, seed=seed)

    def deeds(self) -> list[Deed]:
        """Return what those who interfere recorded since the last `apply`."""
        return msgspec.convert(self._ask(deeds=None), list[Deed])

    def run(self, where: str, argv: Sequence[str], *, timeout: float = 30) -> tuple[int, str, str]:
        """Run a command in a namespace; return its exit code and what it wrote."""
        ran = self._ask(run=[where, list(argv), timeout])
        return ran["code"], ran["out"], ran["err"]

    def start(self, name: str, where: str, argv: Sequence[str], env: Mapping[str, str]) -> None:
        """Start a command in a namespace, which goes on until it is told to `end`; NAME.log holds what it writes."""
        self._ask(start=name, inside=[where, list(argv), dict(env)])

    def end(self, name: str, how: int = signal.SIGINT) -> int:
        """End by a signal what was started; return its exit code."""
        code: int = self._ask(end=name, how=int(how))
        return code

    def look(self, where: str, url: str, address: str | None = None) -> str:
        """Return what a plain client sees of `url`; with an `address`, without asking a resolver."""
        seen: str = self._ask(look=[where, url, address])
        return seen

    def check(self, url: str, *, control: bool, nettest: str = "web") -> dict[str, Any]:
        """Return the line of `wazi check --json` about `url`, and its `exit_code` and `stderr` besides."""
        line: dict[str, Any] = self._ask(check=url, control=control, nettest=nettest)
        return line

    def many_sites(self, count: int, *, dead: float) -> list[str]:
        """Return the URLs of `count` new sites, of which a share `dead` is black-holed by the censor."""
        urls: list[str] = self._ask(many=[count, dead])
        return urls

    def kill(self) -> None:
        """End the lab and everything in it at once; whoever waits for its answer gets a `LabError`."""
        self._process.kill()  # --kill-child ends what is inside

    def close(self) -> None:
        """End the lab and everything in it."""
        assert self._process.stdin
        assert self._process.stdout
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self.kill()
            self._process.wait()
        self._process.stdout.close()
