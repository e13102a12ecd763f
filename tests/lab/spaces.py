"""Running things inside namespaces.

`enter` re-executes this process in private network, mount and process namespaces, and in a user
namespace when it is not root; the kernel ends all that is inside with the outer process. A private
tmpfs over /run keeps `ip netns` away from namespaces of the host.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NoReturn

INSIDE = "LAB_INSIDE"
REPOSITORY = Path(__file__).resolve().parents[2]

# The command that must be there -> the Debian package that brings it.
PACKAGES = {
    "unshare": "util-linux",
    "ip": "iproute2",
    "ethtool": "ethtool",
    "nft": "nftables",
    "iptables-nft-restore": "iptables",
    "ip6tables-nft-restore": "iptables",
    "conntrack": "conntrack",
    "nginx": "nginx-light",
    "unbound": "unbound",
    "unbound-control": "unbound",
    "ping": "iputils-ping",
    "traceroute": "traceroute",
    "tayga": "tayga",
    "faketime": "faketime",
    "prlimit": "util-linux",
}


class LabError(Exception):
    """The lab itself does not work; no verdict may be drawn from it."""


def system_path() -> str:
    """Return PATH with the folders of administration, which an ordinary user's lacks."""
    return os.pathsep.join((os.environ.get("PATH", ""), "/usr/local/sbin", "/usr/sbin", "/sbin"))


def require_packages() -> None:
    """Raise a `LabError` that names every Debian package that is missing."""
    path = system_path()
    missing = sorted({package for command, package in PACKAGES.items() if not shutil.which(command, path=path)})
    if missing:
        raise LabError(f"the lab needs packages that are not installed: apt-get install {' '.join(missing)}")


def unshare_command(argv: Sequence[str], *, rootless: bool) -> list[str]:
    """Return the command that runs `argv` in fresh namespaces, which die with it."""
    own_user = ["--user", "--map-root-user"] if rootless or os.getuid() else []
    fresh = ["--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
    return ["unshare", *own_user, *fresh, *argv]


def environment(**more: str) -> dict[str, str]:
    """Return this process's environment, able to import the repository and to find every command.

    Settings of a Wazi outside are left out.
    """
    inherited = {key: value for key, value in os.environ.items() if not key.startswith("WAZI_")}
    return {**inherited, "PATH": system_path(), "PYTHONPATH": python_path(), "PYTHONUNBUFFERED": "1", **more}


def python_path() -> str:
    inherited = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    return os.pathsep.join(dict.fromkeys([str(REPOSITORY), *filter(None, inherited)]))


def enter(argv: Sequence[str]) -> None:
    """Replace this process by `python argv` inside fresh namespaces, unless it is inside already."""
    if not os.environ.get(INSIDE):
        _replace(unshare_command([sys.executable, *argv], rootless=False))


def _replace(command: Sequence[str]) -> NoReturn:
    sys.stdout.flush()
    os.execvpe(command[0], list(command), environment(**{INSIDE: "1"}))


def privatise() -> None:
    """Cover /run, so that the namespaces are ours alone."""
    if not os.environ.get(INSIDE):
        raise LabError("the lab must be started in namespaces of its own: see tests/lab/spaces.py")
    check(["mount", "-t", "tmpfs", "tmpfs", "/run"])
    Path("/run/netns").mkdir()


def check(argv: Sequence[str], *, text: str | None = None) -> str:
    """Run a command to its end and return what it wrote; raise a `LabError` with it when it fails."""
    done = subprocess.run(list(argv), input=text, capture_output=True, text=True, timeout=60, env=environment())
    if done.returncode:
        given = f"\n{text}" if text else ""
        raise LabError(f"{' '.join(argv)} ended with {done.returncode}:\n{done.stdout}{done.stderr}{given}")
    return done.stdout


def ip_batch(lines: Iterable[str], *, namespace: str | None = None) -> None:
    """Run many `ip` commands at once."""
    inside = ["-n", namespace] if namespace else []
    check(["ip", *inside, "-batch", "-"], text="\n".join(lines) + "\n")


class Spaces:
    """Runs commands in the namespaces, and remembers the ones that go on, so as to end them."""

    def __init__(self, work: Path) -> None:
        self.work = work

    def inside(self, where: str, argv: Sequence[str]) -> list[str]:
        """Return `argv` as it runs in the namespace `where`."""
        return ["nsenter", f"--net=/run/netns/{where}", *argv]

    def check(self, where: str, argv: Sequence[str], *, text: str | None = None) -> str:
        """Run a command in `where`; raise a `LabError` when it fails."""
        return check(self.inside(where, argv), text=text)

    def run(
        self, where: str, argv: Sequence[str], *, timeout: float = 30, env: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run a command in `where` and return what came of it, whatever it was."""
        return subprocess.run(
            self.inside(where, argv),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
            cwd=self.work,
            env=environment(**(env or {})),
        )

    def spawn(
        self, where: str, argv: Sequence[str], *, log: str, ready: str = "", env: Mapping[str, str] | None = None
    ) -> Process:
        """Start a command that goes on in `where`; wait for its line `ready` when one is given."""
        return Process(self.inside(where, argv), self.work, self.work / log, ready, env or {})


class Process:
    """A command that goes on until it is stopped, with its errors in a log of the work folder."""

    def __init__(self, argv: Sequence[str], work: Path, log: Path, ready: str, env: Mapping[str, str]) -> None:
        self.log = log
        with log.open("ab") as errors:
            self._process = subprocess.Popen(
                list(argv),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE if ready else errors,
                stderr=errors,
                cwd=work,
                env=environment(**env),
            )
        if ready:
            self._wait_for(ready)

    def _wait_for(self, ready: str) -> None:
        assert self._process.stdout
        with self._process.stdout as out:
            said = out.readline().decode(errors="replace").strip()
        if said != ready:
            self.stop()
            raise LabError(f"{self.log.name} did not start: {said}\n{self.tail()}")

    def alive(self) -> bool:
        return self._process.poll() is None

    def tail(self) -> str:
        """Return the end of what it wrote."""
        return self.log.read_text(errors="replace")[-3000:]

    def stop(self, how: int = signal.SIGTERM, patience: float = 3) -> int:
        """Ask it to end by a signal, and after `patience` seconds make it; return its exit code."""
        self._process.send_signal(how)
        try:
            return self._process.wait(patience)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait()
